/*
 * Which target gets this attempt. Pure; any thread. Weighted rendezvous hashing, so that a target that
 * goes, comes or changes its weight moves only the users who were or will be its own.
 */
#include "upstream/pick.h"

#include <limits.h>
#include <math.h>

#include "base/error.h"

/* Keeps the choice of the site independent of the choice of the target. */
#define SITE_SALT UINT64_C(0x51b3c0f1e8d7a695)
#define PREFER_SALT UINT64_C(0x7f4a1c2b9d3e5061)

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
	double weight = (double)target->weight * (VIEW_SHARE_ALL - (double)target->weight_cut);

	return -weight / log(u);
}

#define STATE(state) (1u << (state))

static bool is_open(const struct view_target *target, unsigned states,
                    const struct pick_tried *tried)
{
	return (states & STATE(target->state)) != 0 && !pick_was_tried(tried, target->id);
}

/* RFC 2782: the lowest number that has one left. */
static unsigned first_priority(const struct view *view, unsigned site, unsigned states,
                               const struct pick_tried *tried)
{
	unsigned i, first = view->sites[site].first, priority = UINT_MAX;

	for (i = first; i < first + view->sites[site].count; i++) {
		if (is_open(&view->targets[i], states, tried) &&
		    view->targets[i].priority < priority)
			priority = view->targets[i].priority;
	}
	return priority;
}

/* The user's own among the untried ones of the site in these states, of this priority; NULL: none. */
static const struct view_target *best_of_site(const struct view *view, unsigned site,
                                              unsigned states, unsigned priority,
                                              const struct pick_tried *tried, uint64_t key)
{
	const struct view_target *best = NULL;
	double best_score = 0, this_score;
	unsigned i, first = view->sites[site].first;

	for (i = first; i < first + view->sites[site].count; i++) {
		const struct view_target *target = &view->targets[i];

		if (!is_open(target, states, tried) || target->priority != priority)
			continue;
		this_score = score(target, key);
		if (best == NULL || this_score > best_score) {
			best = target;
			best_score = this_score;
		}
	}
	return best;
}

#define USABLE (STATE(TARGET_UP) | STATE(TARGET_DEGRADED) | STATE(TARGET_UNKNOWN))

static const struct view_target *usable_of_site(const struct view *view, unsigned site,
                                                const struct pick_tried *tried, uint64_t key)
{
	static const unsigned first_order[] = {STATE(TARGET_UP) | STATE(TARGET_DEGRADED),
	                                       STATE(TARGET_UNKNOWN)};
	static const unsigned next_order[] = {STATE(TARGET_UP), STATE(TARGET_DEGRADED),
	                                      STATE(TARGET_UNKNOWN)};
	const unsigned *order = tried->count == 0 ? first_order : next_order;
	unsigned i,
		steps = tried->count == 0 ? ARRAY_LENGTH(first_order) : ARRAY_LENGTH(next_order);
	unsigned priority = first_priority(view, site, USABLE, tried);
	const struct view_target *target = NULL;

	for (i = 0; i < steps && target == NULL; i++)
		target = best_of_site(view, site, order[i], priority, tried, key);
	return target;
}

/* Sites stand in the order of preference on a line of length 1000, each as long as its share; the user is
 * a point on it. When the first grows, it takes its next users from the second: each moves once. */
int pick_site(const struct view *view, uint64_t key)
{
	unsigned place = (unsigned)(mix(key ^ SITE_SALT) % VIEW_SHARE_ALL), i, end = 0;

	for (i = 0; i < view->site_count; i++) {
		end += view->sites[i].share;
		if (place < end)
			return (int)i;
	}
	return view->serving;
}

/* All sites but `except` in the order of preference, those that the operator evacuated last. */
static const struct view_target *usable_of_others(const struct view *view, int except,
                                                  const struct pick_tried *tried, uint64_t key)
{
	const struct view_target *target;
	unsigned pass, i;

	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < view->site_count; i++) {
			if ((int)i == except || view->sites[i].evacuated != (pass == 1))
				continue;
			target = usable_of_site(view, i, tried, key);
			if (target != NULL)
				return target;
		}
	}
	return NULL;
}

static const struct view_target *best_usable(const struct view *view,
                                             const struct pick_tried *tried, uint64_t key)
{
	int site = pick_site(view, key);
	const struct view_target *target = NULL;

	if (site >= 0)
		target = usable_of_site(view, (unsigned)site, tried, key);
	return target != NULL ? target : usable_of_others(view, site, tried, key);
}

/* The user's own among the DOWN ones that do or do not answer probes. */
static const struct view_target *best_down(const struct view *view, unsigned site, bool answering,
                                           const struct pick_tried *tried, uint64_t key)
{
	const struct view_target *best = NULL;
	unsigned i, first = view->sites[site].first;

	for (i = first; i < first + view->sites[site].count; i++) {
		const struct view_target *target = &view->targets[i];

		if (target->state != TARGET_DOWN || target->answering != answering ||
		    pick_was_tried(tried, target->id))
			continue;
		if (best == NULL || score(target, key) > score(best, key))
			best = target;
	}
	return best;
}

/* Nothing is usable: the least bad of all sites. The operator's DRAINING is obeyed even now. */
static const struct view_target *best_in_panic(const struct view *view,
                                               const struct pick_tried *tried, uint64_t key)
{
	const unsigned overloaded = STATE(TARGET_OVERLOADED);
	const struct view_target *target = NULL;
	unsigned i;

	for (i = 0; i < view->site_count && target == NULL; i++)
		target = best_of_site(view, i, overloaded,
		                      first_priority(view, i, overloaded, tried), tried, key);
	for (i = 0; i < view->site_count && target == NULL; i++)
		target = best_down(view, i, true, tried, key);
	for (i = 0; i < view->site_count && target == NULL; i++)
		target = best_down(view, i, false, tried, key);
	return target;
}

/* What cannot be remembered as tried would be tried for ever. */
static enum pick_answer answer(const struct pick_tried *tried, const struct view_target *best,
                               const struct view_target **target)
{
	if (best == NULL || tried->count >= PICK_TRIED_MAX)
		return PICK_NEVER;
	*target = best;
	return PICK_NOW;
}

enum pick_answer pick_target(const struct view *view, const struct pick_tried *tried, uint64_t key,
                             const struct view_target **target)
{
	return answer(tried,
	              view->serving >= 0 ? best_usable(view, tried, key)
	                                 : best_in_panic(view, tried, key),
	              target);
}

enum pick_answer pick_target_in_site(const struct view *view, const struct pick_tried *tried,
                                     uint64_t key, unsigned site, const struct view_target **target)
{
	if (site >= view->site_count)
		return PICK_NEVER;
	return answer(tried, usable_of_site(view, site, tried, key), target);
}

enum pick_answer pick_target_outside(const struct view *view, const struct pick_tried *tried,
                                     uint64_t key, unsigned site, const struct view_target **target)
{
	return answer(tried, usable_of_others(view, (int)site, tried, key), target);
}

/* What names a target may go there: not new work, so the operator's drain allows it. */
static bool may_be_named(const struct view_target *target)
{
	return target_state_is_usable(target->state) ||
	       (target->state == TARGET_DRAINING && target->answering && !target->disabled);
}

enum pick_answer pick_target_of_dialog(const struct view *view, const struct pick_tried *tried,
                                       uint64_t key, const struct view_target *preferred,
                                       const struct view_target **target)
{
	if (preferred != NULL && tried->count < PICK_TRIED_MAX && may_be_named(preferred) &&
	    !pick_was_tried(tried, preferred->id)) {
		*target = preferred;
		return PICK_NOW;
	}
	return pick_target(view, tried, key, target);
}

enum pick_answer pick_target_preferring(const struct view *view, const struct pick_tried *tried,
                                        uint64_t key, const struct view_target *preferred,
                                        const struct view_target **target)
{
	if (preferred != NULL && preferred->weight_cut > 0 &&
	    mix(key ^ PREFER_SALT) % VIEW_SHARE_ALL < preferred->weight_cut)
		preferred = NULL;
	return pick_target_of_dialog(view, tried, key, preferred, target);
}
