/*
 * Which target gets this attempt. Pure function of the view, of what was tried, and of the key.
 * Local site first, then the next in order; within a site UP before DEGRADED before UNKNOWN before the rest,
 * among equals by weighted rendezvous hashing of the address-of-record, so that one user keeps one Sprout.
 */
#ifndef BONO_UPSTREAM_PICK_H
#define BONO_UPSTREAM_PICK_H

#include "upstream/view.h"

#define PICK_TRIED_MAX 16

struct pick_tried { /* by value in a response context */
	uint32_t ids[PICK_TRIED_MAX];
	unsigned count;
};

enum pick_answer {
	PICK_NOW,   /* *target */
	PICK_LATER, /* a name is being resolved: ask again when the view changes */
	PICK_NEVER, /* nothing left to try */
};

/* DOWN, OVERLOADED and DRAINING targets are picked only in panic: when no target of any site is usable,
 * untried ones are offered, least bad first (OVERLOADED, DOWN), never DRAINING by the operator's word. */
enum pick_answer pick_target(const struct view *view, const struct pick_tried *tried, uint64_t key,
                             const struct view_target **target);
/* The same, but this target first if it is usable and untried (Service-Route, Route). */
enum pick_answer pick_target_preferring(const struct view *view, const struct pick_tried *tried,
                                        uint64_t key, const struct view_target *preferred,
                                        const struct view_target **target);
void pick_mark_tried(struct pick_tried *tried,
                     uint32_t id); /* a full list forgets nothing: stays full */
bool pick_was_tried(const struct pick_tried *tried, uint32_t id);

#endif
