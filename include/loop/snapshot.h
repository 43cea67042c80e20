/*
 * Immutable counted values that control publishes and workers read: the configuration, the upstream view.
 * The count is atomic; the value is never changed after snapshot_init. Embed it first.
 */
#ifndef BONO_LOOP_SNAPSHOT_H
#define BONO_LOOP_SNAPSHOT_H

#include <stdatomic.h>

struct snapshot {
	atomic_int references;
	void (*free_fn)(struct snapshot *snapshot);
};

void snapshot_init(struct snapshot *snapshot, void (*free_fn)(struct snapshot *snapshot));
void snapshot_share(struct snapshot *snapshot);
void snapshot_release(struct snapshot *snapshot); /* frees with the last; NULL is fine */

#endif
