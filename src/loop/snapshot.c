/*
 * Counted immutable values between threads.
 */
#include "loop/snapshot.h"

#include <stddef.h>

#include "base/error.h"

void snapshot_init(struct snapshot *snapshot, void (*free_fn)(struct snapshot *snapshot))
{
	atomic_init(&snapshot->references, 1);
	snapshot->free_fn = free_fn;
}

void snapshot_share(struct snapshot *snapshot)
{
	int before = atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);

	ASSERT(before > 0);
}

void snapshot_release(struct snapshot *snapshot)
{
	int before;

	if (snapshot == NULL)
		return;
	/* What every holder did with the value happens before the last one frees it. */
	before = atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel);
	ASSERT(before > 0);
	if (before == 1)
		snapshot->free_fn(snapshot);
}
