/*
 * Which target gets this attempt. Pure; any thread. Weighted rendezvous hashing, so that a target that
 * goes or comes moves only the users who were or will be its own.
 */
#include "upstream/pick.h"

#include <math.h>

#include "base/error.h"

bool pick_was_tried(const struct pick_tried *tried, uint32_t id)
{
	unsigned i;

	for (i = 0; i < tried->count; i++) {
		if (tried->ids[i] == id)
			return true;
	}
	return false;
}

void pick_mark_tried(struct pick_tried *tried, uint32_t id)
{
	if (tried->count < PICK_TRIED_MAX && !pick_was_tried(tried, id))
		tried->ids[tried->count++] = id;
}

/* splitmix64's finaliser: every bit of the input moves every bit of the output. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/* The share of the highest score is proportional to the weight: -w / ln(u), u uniform in (0, 1). */
static double score(const struct view_target *target, uint64_t key)
{
	uint64_t hash = mix(key ^ mix(target->id));
	double u = ((double)(hash >> 11) + 0.5) / 9007199254740992.0; /* 2^53 */

	return -(double)target->weight / log(u);
}

static const struct view_target *best_of_site(const struct view *view, unsigned site_index,
                                              enum target_state state,
                                              const struct pick_tried *tried, uint64_t key)
{
	const struct view_site *site = &view->sites[site_index];
	const struct view_target *best = NULL;
	double best_score = 0, this_score;
	unsigned i;

	for (i = site->first; i < site->first + site->count; i++) {
		const struct view_target *target = &view->targets[i];

		if (target->state != state || pick_was_tried(tried, target->id))
			continue;
		this_score = score(target, key);
		if (best == NULL || this_score > best_score) {
			best = target;
			best_score = this_score;
		}
	}
	return best;
}

/* The n-th site in the order of this moment: the serving one, then the others in preference. */
static unsigned site_in_order(const struct view *view, unsigned n)
{
	unsigned serving = view->serving > 0 ? (unsigned)view->serving : 0;

	if (n == 0)
		return serving;
	return n <= serving ? n - 1 : n;
}

static const struct view_target *best_usable(const struct view *view,
                                             const struct pick_tried *tried, uint64_t key)
{
	static const enum target_state order[] = {TARGET_UP, TARGET_DEGRADED, TARGET_UNKNOWN};
	const struct view_target *target;
	unsigned n, i;

	for (n = 0; n < view->site_count; n++) {
		for (i = 0; i < ARRAY_LENGTH(order); i++) {
			target = best_of_site(view, site_in_order(view, n), order[i], tried, key);
			if (target != NULL)
				return target;
		}
	}
	return NULL;
}

/* Nothing is usable: the least bad of all sites. The operator's DRAINING is obeyed even now. */
static const struct view_target *best_in_panic(const struct view *view,
                                               const struct pick_tried *tried, uint64_t key)
{
	static const enum target_state order[] = {TARGET_OVERLOADED, TARGET_DOWN};
	const struct view_target *target;
	unsigned n, i;

	for (i = 0; i < ARRAY_LENGTH(order); i++) {
		for (n = 0; n < view->site_count; n++) {
			target = best_of_site(view, n, order[i], tried, key);
			if (target != NULL)
				return target;
		}
	}
	return NULL;
}

enum pick_answer pick_target(const struct view *view, const struct pick_tried *tried, uint64_t key,
                             const struct view_target **target)
{
	const struct view_target *best;

	/* What cannot be remembered as tried would be tried for ever. */
	if (tried->count >= PICK_TRIED_MAX)
		return PICK_NEVER;
	best = view->serving >= 0 ? best_usable(view, tried, key) : best_in_panic(view, tried, key);
	if (best == NULL)
		return PICK_NEVER;
	*target = best;
	return PICK_NOW;
}

enum pick_answer pick_target_preferring(const struct view *view, const struct pick_tried *tried,
                                        uint64_t key, const struct view_target *preferred,
                                        const struct view_target **target)
{
	if (preferred != NULL && tried->count < PICK_TRIED_MAX &&
	    target_state_is_usable(preferred->state) && !pick_was_tried(tried, preferred->id)) {
		*target = preferred;
		return PICK_NOW;
	}
	return pick_target(view, tried, key, target);
}
