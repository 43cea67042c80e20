/*
 * What is told of changes: a log line, an event, metrics; the evidence is put in words here, once.
 * Control thread only.
 */
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "upstream_internal.h"

#define ADD(event, ...) text_add((event)->evidence, sizeof((event)->evidence), __VA_ARGS__)

static void tell(const struct failover *failover, const struct failover_event *event)
{
	if (failover->events->on_event != NULL)
		failover->events->on_event(failover->arg, event);
}

void measure_target(const struct failover *failover, const struct watch *watch)
{
	enum target_state now = watch->health.state;
	bool up = now == TARGET_UP || now == TARGET_DEGRADED;
	unsigned state;

	metrics_set(failover->metrics, METRIC_TARGET_UP, watch->id, 0, 0, up);
	for (state = 0; state < TARGET_STATES; state++)
		metrics_set(failover->metrics, METRIC_TARGET_STATE, watch->id, state, 0,
		            now == state);
}

/* ---- targets ---- */

/* What was seen, in words and numbers. */
static void add_cause(struct failover_event *event, const struct health *health)
{
	const char *words = health_reason_words(health->reason);

	switch (health->reason) {
	case HEALTH_REASON_PROBES_LOST:
		ADD(event, "%u %s", health->misses, words);
		break;
	case HEALTH_REASON_TRAFFIC_SILENT:
		ADD(event, "%u %s", health->silent, words);
		break;
	case HEALTH_REASON_TRAFFIC_503:
		ADD(event, "%u %s", health->busy_run, words);
		break;
	case HEALTH_REASON_PROBES_ANSWERED:
		ADD(event, "%u %s answered", health->hits, health->hits == 1 ? "probe" : "probes");
		break;
	default:
		ADD(event, "%s", words);
		break;
	}
}

static void add_operator(const struct failover *failover, const struct watch *watch,
                         struct failover_event *event)
{
	const struct operator_word *word =
		words_find(&failover->words, failover->sites[watch->site].name, watch->name);
	char until[32];

	if (watch->health.reason != HEALTH_REASON_OPERATOR || word == NULL)
		return;
	ADD(event, " said %s", operator_verb_name(word->verb));
	if (word->reason[0] != '\0')
		ADD(event, " (%s)", word->reason);
	if (word->until_wall_ms != 0) {
		clock_format_wall(word->until_wall_ms, until, sizeof(until));
		ADD(event, " until %s", until);
	}
}

static void add_numbers(struct failover_event *event, const struct watch *watch, uint64_t now)
{
	const struct health *health = &watch->health;
	struct traffic_sum sum = {0};

	if (health->last_answer_ms == 0)
		ADD(event, ", never answered");
	else
		ADD(event, ", last answer %.1f s ago",
		    (double)(now - health->last_answer_ms) / 1000);
	if (health->deaf > 0)
		ADD(event, ", %u requests without first answer", health->deaf);
	if (health->state != TARGET_DEGRADED)
		return;
	traffic_sum_add(&watch->traffic, &sum);
	traffic_sum_finish(&sum);
	if (sum.answered > 0)
		ADD(event, ", of %u requests %u failed, median answer in %.1f ms",
		    sum.answered + sum.failed, sum.failed, (double)sum.median_us / 1000);
}

static const char *heir_of(const struct failover *failover, unsigned site)
{
	unsigned i;

	for (i = 0; i < failover->site_count; i++) {
		if (i != site && site_is_usable(failover, i) && !site_is_evacuated(failover, i))
			return failover->sites[i].name;
	}
	return NULL;
}

/* Who works in its place. */
static void add_heir(const struct failover *failover, struct failover_event *event, unsigned site)
{
	const char *heir = heir_of(failover, site);

	if (site_is_usable(failover, site))
		ADD(event, "; its work goes to the others of %s", failover->sites[site].name);
	else if (heir != NULL)
		ADD(event, "; its work goes to %s", heir);
	else
		ADD(event, "; no target is left, the least bad ones are tried");
}

static void add_return(struct failover_event *event, const struct health *health, uint64_t now)
{
	if (health->state == TARGET_DOWN && health->hold_until_ms > now)
		ADD(event, "; not back within %.0f s",
		    (double)(health->hold_until_ms - now) / 1000);
	if (health->state == TARGET_OVERLOADED && health->overloaded_until_ms > now)
		ADD(event, "; for %.0f s", (double)(health->overloaded_until_ms - now) / 1000);
	if (health->state == TARGET_DEGRADED)
		ADD(event, "; it keeps %.0f %% of its weight",
		    (VIEW_SHARE_ALL - health_weight_cut(health)) / 10.0);
}

void tell_target(struct failover *failover, struct watch *watch, enum target_state before,
                 uint64_t before_ms)
{
	const struct health *health = &watch->health;
	const char *site = failover->sites[watch->site].name;
	uint64_t now = loop_now_ms(failover->loop);
	struct failover_event event = {
		.wall_ms = clock_wall_ms(),
		.from = target_state_name(before),
		.to = target_state_name(health->state),
		.reason = health_reason_name(health->reason),
	};

	watch->since_wall_ms = event.wall_ms;
	snprintf(event.subject, sizeof(event.subject), "%s/%s", site, watch->name);
	add_cause(&event, health);
	add_operator(failover, watch, &event);
	if (health->state == TARGET_UP)
		ADD(&event, ", %s for %.1f s", event.from, (double)(now - before_ms) / 1000);
	else
		add_numbers(&event, watch, now);
	add_return(&event, health, now);
	if (!target_state_is_usable(health->state))
		add_heir(failover, &event, watch->site);
	log_write(health->state == TARGET_DOWN ? LOG_WARNING : LOG_INFO, "target %s: %s -> %s, %s",
	          event.subject, event.from, event.to, event.evidence);
	metrics_add(failover->metrics, METRIC_TARGET_TRANSITIONS, watch->id, health->state,
	            health->reason, 1);
	measure_target(failover, watch);
	tell(failover, &event);
}

/* ---- sites ---- */

static void add_targets(const struct failover *failover, struct failover_event *event,
                        unsigned site)
{
	const char *separator = "";

	LIST_FOR_EACH(link, &failover->sites[site].watches) {
		const struct watch *watch = CONTAINER_OF(link, struct watch, in_site);

		ADD(event, "%s%s %s", separator, watch->name,
		    target_state_name(watch->health.state));
		separator = ", ";
	}
}

static void add_site_cause(const struct failover *failover, struct failover_event *event,
                           unsigned index, uint64_t now)
{
	const struct share_site *share = &failover->shares[index];
	const struct operator_word *word =
		words_find(&failover->words, failover->sites[index].name, "");
	const char *heir = heir_of(failover, index);

	switch (share->state) {
	case SITE_DOWN:
		add_targets(failover, event, index);
		add_heir(failover, event, index);
		return;
	case SITE_HOLD_DOWN:
		add_targets(failover, event, index);
		ADD(event, "; takes work again in %.0f s, if it stays",
		    share->until_ms > now ? (double)(share->until_ms - now) / 1000 : 0.0);
		return;
	case SITE_RAMPING:
		ADD(event, "takes its work back within %.0f s",
		    (double)failover->share_settings.ramp_ms / 1000);
		return;
	case SITE_SPILLING:
		ADD(event,
		    "%.0f requests per second, it may be given %u, %u.%u %% of its targets' weight "
		    "is well",
		    failover->demand, share->capacity, share->healthy / 10, share->healthy % 10);
		return;
	case SITE_EVACUATED:
		ADD(event, "operator%s%s", word != NULL && word->reason[0] != '\0' ? ": " : "",
		    word != NULL ? word->reason : "");
		if (heir != NULL)
			ADD(event, "; its work goes to %s", heir);
		else
			ADD(event, "; no other site can take its work");
		return;
	case SITE_READY:
		add_targets(failover, event, index);
		if (share->reason == SHARE_NOBODY_ELSE)
			ADD(event, "; no other site has a usable target");
		return;
	case SITE_STATES:
		break;
	}
}

void tell_site(struct failover *failover, unsigned site, enum site_state before)
{
	const struct share_site *share = &failover->shares[site];
	struct failover_event event = {
		.wall_ms = clock_wall_ms(),
		.from = site_state_name(before),
		.to = site_state_name(share->state),
		.reason = share_reason_name(share->reason),
	};

	snprintf(event.subject, sizeof(event.subject), "%s", failover->sites[site].name);
	add_site_cause(failover, &event, site, loop_now_ms(failover->loop));
	log_write(share->state == SITE_DOWN ? LOG_WARNING : LOG_INFO, "site %s: %s -> %s, %s, %s",
	          event.subject, event.from, event.to, event.reason, event.evidence);
	tell(failover, &event);
}

static const char *serving_name(const struct view *view)
{
	return view->serving >= 0 ? view->sites[view->serving].name : "none";
}

void tell_serving(struct failover *failover, const struct view *before, const struct view *now)
{
	struct failover_event event = {
		.wall_ms = clock_wall_ms(),
		.subject = "sites",
		.from = before != NULL && before->panic ? "PANIC" : "SERVED",
		.to = now->panic ? "PANIC" : "SERVED",
		.reason = now->panic ? "panic" : "serving",
	};
	unsigned i;

	for (i = 0; i < now->site_count; i++)
		metrics_set(failover->metrics, METRIC_SITE_SERVING, i, 0, 0,
		            now->serving == (int)i);
	if (before == NULL || before->serving == now->serving)
		return;
	if (now->panic)
		ADD(&event, "no target is usable, the least bad ones are tried; %s served",
		    serving_name(before));
	else
		ADD(&event, "%s serves new requests, %s did before", serving_name(now),
		    serving_name(before));
	log_write(now->panic ? LOG_ERROR : LOG_WARNING, "sites: %s", event.evidence);
	tell(failover, &event);
}
