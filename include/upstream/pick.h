/*
 * Which target gets this attempt. Pure function of the view, of what was tried, and of the key.
 * The first attempt goes to a site by the shares of the view, where the user's key decides, so that a user moves
 * once when shares shift and never to and fro; further ones go to the sites in order of preference. Within a
 * site weighted rendezvous hashing of the address-of-record, so that one user keeps one Sprout: UP and
 * DEGRADED by their weights of the moment (a further attempt prefers UP: it must not fail once more), then UNKNOWN.
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
 * untried ones are offered, least bad first (OVERLOADED, DOWN that answers probes, DOWN), never DRAINING ones. */
enum pick_answer pick_target(const struct view *view, const struct pick_tried *tried, uint64_t key,
                             const struct view_target **target);
/* The same, but this target first if it is untried and usable, or drains and still answers (Service-Route, Route).
 * Of the users who prefer a DEGRADED one as many keep it as its weight says. */
enum pick_answer pick_target_preferring(const struct view *view, const struct pick_tried *tried,
                                        uint64_t key, const struct view_target *preferred,
                                        const struct view_target **target);
/* As pick_target_preferring for what must stay if it can (requests within a dialog): DEGRADED is good enough. */
enum pick_answer pick_target_of_dialog(const struct view *view, const struct pick_tried *tried,
                                       uint64_t key, const struct view_target *preferred,
                                       const struct view_target **target);
/* Only among the usable ones of this site (a challenge goes back to the site that made it), or only among those of
 * all other sites. */
enum pick_answer pick_target_in_site(const struct view *view, const struct pick_tried *tried,
                                     uint64_t key, unsigned site,
                                     const struct view_target **target);
enum pick_answer pick_target_outside(const struct view *view, const struct pick_tried *tried,
                                     uint64_t key, unsigned site,
                                     const struct view_target **target);
/* The site of this user's first attempt, by the shares; -1 in panic. */
int pick_site(const struct view *view, uint64_t key);
void pick_mark_tried(struct pick_tried *tried,
                     uint32_t id); /* a full list forgets nothing: stays full */
bool pick_was_tried(const struct pick_tried *tried, uint32_t id);

#endif
