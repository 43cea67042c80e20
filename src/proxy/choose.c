/*
 * The choice of a target for the next attempt of one request: where it belongs first, then next door, then the
 * other site. What one worker knows of a target at this moment (did it answer lately, is anything outstanding)
 * counts here; the verdict on it comes with the view. Worker thread only.
 */
#include "proxy_internal.h"

/* After so many dead targets a site gets no further try of this request: its neighbours share its fate. */
#define SITE_FAILURES_MAX 2

/* A further target of a site where one has just failed: worth a try only if it shows life, or nothing waits there. */
static bool shows_life(const struct proxy *proxy, const struct view_target *target)
{
	return proxy->outstanding[target->id] == 0 ||
	       loop_now_ms(proxy->loop) - proxy->heard_ms[target->id] <=
	               proxy->settings->first_answer_ms;
}

static const struct view_target *preferred_of(const struct response_context *context)
{
	const struct view *view = context->proxy->view;
	const struct view_target *preferred = context->preferred_id != UINT32_MAX
	                                              ? view_find_id(view, context->preferred_id)
	                                              : NULL;

	/* New work leaves an evacuated site even if the registrar's Service-Route still names it. */
	if (preferred != NULL && !context->in_dialog && view->sites[preferred->site].evacuated)
		return NULL;
	return preferred;
}

/* The first attempt: where the route or the challenge says; if that one is dead, its neighbours, since they share
 * its nonces and its memory; else by the view. */
enum pick_answer choose_first(const struct view *view, const struct pick_tried *tried, uint64_t key,
                              const struct view_target *preferred, bool in_dialog,
                              const struct view_target **target)
{
	enum pick_answer answer =
		in_dialog ? pick_target_of_dialog(view, tried, key, preferred, target)
			  : pick_target_preferring(view, tried, key, preferred, target);

	if (preferred == NULL || (answer == PICK_NOW && (*target)->site == preferred->site))
		return answer;
	if (pick_target_in_site(view, tried, key, preferred->site, target) == PICK_NOW)
		return PICK_NOW;
	return pick_target_preferring(view, tried, key, NULL, target);
}

/* Nothing usable is left: a target that the view calls DOWN may have come back a moment ago. */
static enum pick_answer choose_last_resort(const struct response_context *context,
                                           const struct view_target **out)
{
	const struct view *view = context->proxy->view;
	const struct view_target *best = NULL;

	for (unsigned i = 0; i < view->target_count; i++) {
		const struct view_target *target = &view->targets[i];

		if (target->disabled || pick_was_tried(&context->tried, target->id) ||
		    target->state != TARGET_DOWN)
			continue;
		if (best == NULL || (target->answering && !best->answering))
			best = target;
	}
	if (best == NULL || context->tried.count >= PICK_TRIED_MAX)
		return PICK_NEVER;
	*out = best;
	return PICK_NOW;
}

static enum pick_answer choose_further(const struct response_context *context,
                                       const struct view_target **target)
{
	const struct view *view = context->proxy->view;
	uint32_t site = context->last_site;
	enum pick_answer answer;

	if (site >= view->site_count) /* the view has changed its sites meanwhile */
		return pick_target(view, &context->tried, context->key, target);
	if (context->site_failures < SITE_FAILURES_MAX &&
	    pick_target_in_site(view, &context->tried, context->key, site, target) == PICK_NOW &&
	    shows_life(context->proxy, *target))
		return PICK_NOW;
	answer = pick_target_outside(view, &context->tried, context->key, site, target);
	if (answer == PICK_NEVER)
		answer = pick_target_in_site(view, &context->tried, context->key, site, target);
	if (answer == PICK_NEVER)
		answer = pick_target(view, &context->tried, context->key, target);
	return answer;
}

enum pick_answer choose_target(const struct response_context *context,
                               const struct view_target **target)
{
	enum pick_answer answer;

	if (context->proxy->view == NULL) /* we were ready a moment before control's first word */
		return PICK_LATER;
	answer = context->last_site != UINT32_MAX
	                 ? choose_further(context, target)
	                 : choose_first(context->proxy->view, &context->tried, context->key,
	                                preferred_of(context), context->in_dialog, target);
	if (answer == PICK_NEVER)
		answer = choose_last_resort(context, target);
	return answer;
}

void choose_note_failure(struct response_context *context, uint32_t site, uint32_t target_id,
                         enum failover_reason reason)
{
	context->site_failures = site == context->last_site ? context->site_failures + 1 : 1;
	context->last_failure = reason;
	context->last_site = site;
	context->last_target = target_id;
}

/* ---- challenges ---- */

/* The value of a digest parameter without its quotes, anywhere in a header `Digest a="1", b=2`. */

static struct challenge *challenge_slot(struct proxy *proxy, struct slice nonce, uint64_t *hash)
{
	*hash = hash_slice(nonce);
	return &proxy->challenges[*hash % CHALLENGES_MAX];
}

void challenge_remember(struct proxy *proxy, const struct message *response, uint32_t target_id)
{
	static const char *const names[] = {"WWW-Authenticate", "Proxy-Authenticate"};
	struct slice header;
	struct slice nonce;
	uint64_t hash;

	for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
		if (message_header(response, names[i], &header) &&
		    auth_param(header, "nonce", 0, &nonce)) {
			struct challenge *slot = challenge_slot(proxy, nonce, &hash);

			slot->hash = hash;
			slot->target_id = target_id;
		}
}

const struct view_target *challenge_maker(struct proxy *proxy, const struct message *request)
{
	static const char *const names[] = {"Authorization", "Proxy-Authorization"};
	struct slice header;
	struct slice nonce;
	uint64_t hash;

	if (proxy->view == NULL)
		return NULL;
	for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
		if (message_header(request, names[i], &header) &&
		    auth_param(header, "nonce", 0, &nonce)) {
			struct challenge *slot = challenge_slot(proxy, nonce, &hash);

			if (slot->hash == hash)
				return view_find_id(proxy->view, slot->target_id);
		}
	return NULL;
}

/* ---- the retry budget ---- */

/* A slow core is not hit twice as hard: retries away from a target that still answers others are a fifth of the
 * requests, ten a second are always free, and one second's worth of requests may come in a burst, which is how
 * long the verdict on a target may take. */
#define BUDGET_SHARE 5
#define BUDGET_FLOOR_PER_S 10

void budget_earn(struct retry_budget *budget, uint64_t now_ms)
{
	uint64_t elapsed = now_ms - budget->second_ms;

	if (elapsed >= 1000) {
		budget->last_second = elapsed < 2000 ? budget->this_second : 0;
		budget->this_second = 0;
		budget->second_ms = now_ms;
	}
	budget->this_second++;
	budget->milli += 1000 / BUDGET_SHARE;
}

bool budget_spend(struct retry_budget *budget, uint64_t now_ms)
{
	uint64_t busiest = budget->last_second > budget->this_second ? budget->last_second
	                                                             : budget->this_second;
	uint64_t cap = 1000 * (busiest > BUDGET_FLOOR_PER_S ? busiest : BUDGET_FLOOR_PER_S);

	budget->milli += (now_ms - budget->filled_ms) * BUDGET_FLOOR_PER_S;
	budget->filled_ms = now_ms;
	if (budget->milli > cap)
		budget->milli = cap;
	if (budget->milli < 1000)
		return false;
	budget->milli -= 1000;
	return true;
}
