/*
 * The decision: drives probes, feeds every target's health, shares new work among the sites, and publishes the view
 * that follows. Control thread only.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "upstream_internal.h"

/* A worker answers for every probe when its time is over; beyond this the letter itself was lost. */
#define PROBE_LETTER_MS 1000
/* Statistics are compared, shares counted, words and rests looked at this often; faster along a ramp. */
#define BEAT_MS 1000
#define BEAT_RAMP_MS 250
/* Shares that differ less than this from what the view shows are not worth a new one. */
#define SHARE_STEP 10
/* Demand follows its measurement by a third each beat. */
#define DEMAND_GAIN 3
/* A site's response time follows n answers by n / 64, at most by half. */
#define RESPONSE_ANSWERS 64
/* Mere news (round trips) may wait this long for their view; a change of state waits for nothing. */
#define VIEW_REFRESH_MS 1000

/* ---- targets ---- */

bool site_is_usable(const struct failover *failover, unsigned site)
{
	LIST_FOR_EACH(link, &failover->sites[site].watches) {
		if (target_state_is_usable(CONTAINER_OF(link, struct watch, in_site)->health.state))
			return true;
	}
	return false;
}

static struct watch *watch_of(struct failover *failover, uint32_t id)
{
	return id < VIEW_TARGETS_MAX ? failover->watches[id] : NULL;
}

static void watch_changed(struct failover *failover, struct watch *watch, enum target_state before,
                          uint64_t before_ms)
{
	tell_target(failover, watch, before, before_ms);
	failover_judge_sites(failover);
	failover_publish_within(failover, 0);
}

void watch_input(struct failover *failover, struct watch *watch, enum health_input input,
                 uint64_t value)
{
	enum target_state before = watch->health.state;
	uint64_t before_ms = watch->health.since_ms;

	if (health_on_input(&watch->health, input, value, loop_now_ms(failover->loop)))
		watch_changed(failover, watch, before, before_ms);
}

/* ---- time ---- */

static void watch_begin_probe(struct failover *failover, struct watch *watch, uint64_t now)
{
	uint64_t timeout = failover->settings.timeout_ms;
	uint32_t generation;

	generation = health_begin_probe(&watch->health, now, (uint32_t)random_u64());
	watch->in_flight = true;
	watch->lost_ms = now + timeout + PROBE_LETTER_MS;
	failover->events->on_probe(failover->arg, watch->id, generation, timeout);
}

static void watch_on_time(struct failover *failover, struct watch *watch, uint64_t now)
{
	enum target_state before = watch->health.state;
	uint64_t before_ms = watch->health.since_ms;

	if (health_on_time(&watch->health, now))
		watch_changed(failover, watch, before, before_ms);
	if (watch->in_flight && now >= watch->lost_ms) {
		watch->in_flight = false;
		watch_input(failover, watch, HEALTH_PROBE_TIMED_OUT, 0);
	}
	if (!watch->in_flight && now >= watch->health.next_probe_ms)
		watch_begin_probe(failover, watch, now);
}

/* When this target wants attention next. */
static uint64_t watch_due_ms(const struct watch *watch)
{
	uint64_t due = watch->in_flight ? watch->lost_ms : watch->health.next_probe_ms;
	uint64_t health_due = health_due_ms(&watch->health);

	return health_due < due ? health_due : due;
}

void failover_restart_tick(struct failover *failover)
{
	uint64_t now = loop_now_ms(failover->loop), due, earliest = UINT64_MAX;
	unsigned i;

	for (i = 0; i < VIEW_TARGETS_MAX; i++) {
		if (failover->watches[i] == NULL)
			continue;
		due = watch_due_ms(failover->watches[i]);
		if (due < earliest)
			earliest = due;
	}
	if (earliest != UINT64_MAX)
		timer_start(loop_timers(failover->loop), &failover->tick,
		            earliest > now ? earliest - now : 0);
}

static void on_tick(struct timer *timer, void *arg)
{
	struct failover *failover = arg;
	uint64_t now = loop_now_ms(failover->loop);
	unsigned i;

	for (i = 0; i < VIEW_TARGETS_MAX; i++) {
		if (failover->watches[i] != NULL)
			watch_on_time(failover, failover->watches[i], now);
	}
	failover_restart_tick(failover);
}

/* ---- sites ---- */

/* Since when it proves itself: a target won back by probes since the first of them. */
static uint64_t answering_since(const struct health *health)
{
	return health->verdict_reason == HEALTH_REASON_PROBES_ANSWERED ||
	                       health->verdict_reason == HEALTH_REASON_TRIAL
	               ? health->hits_since_ms
	               : health->verdict_since_ms;
}

static void site_measure(struct failover *failover, unsigned index)
{
	struct share_site *share = &failover->shares[index];
	uint64_t since = UINT64_MAX, all = 0, fit = 0;

	share->usable = false;
	LIST_FOR_EACH(link, &failover->sites[index].watches) {
		const struct watch *watch = CONTAINER_OF(link, struct watch, in_site);
		const struct health *health = &watch->health;

		if (watch->leaves_ms == 0)
			all += watch->weight * UINT64_C(1000);
		if (!target_state_is_usable(health->state))
			continue;
		share->usable = true;
		fit += watch->weight * (UINT64_C(1000) - health_weight_cut(health));
		if (answering_since(health) < since)
			since = answering_since(health);
	}
	share->healthy = all > 0 ? (unsigned)(fit * 1000 / all) : 0;
	share->answering_since_ms = since;
	share->evacuated = site_is_evacuated(failover, index);
}

static bool shares_moved(const struct failover *failover)
{
	const struct view *view = failover->published;
	unsigned i;

	for (i = 0; i < failover->site_count && view != NULL; i++) {
		unsigned now = failover->shares[i].share, shown = view->sites[i].share;
		unsigned by = now > shown ? now - shown : shown - now;

		if (by >= SHARE_STEP || (by > 0 && (now == 0 || now == VIEW_SHARE_ALL)))
			return true;
	}
	return false;
}

void failover_judge_sites(struct failover *failover)
{
	enum site_state before[METRICS_SITES_MAX] = {0};
	bool changed;
	unsigned i;

	for (i = 0; i < failover->site_count; i++) {
		before[i] = failover->shares[i].state;
		site_measure(failover, i);
	}
	changed = share_on_time(failover->shares, failover->site_count, &failover->share_settings,
	                        failover->demand, loop_now_ms(failover->loop));
	for (i = 0; i < failover->site_count && changed; i++) {
		if (failover->shares[i].state != before[i])
			tell_site(failover, i, before[i]);
	}
	if (changed || shares_moved(failover))
		failover_publish_within(failover, 0);
}

/* ---- statistics ---- */

static void site_judge_targets(struct failover *failover, struct site *site, uint64_t now)
{
	enum health_input input;

	LIST_FOR_EACH(link, &site->watches) {
		struct watch *watch = CONTAINER_OF(link, struct watch, in_site);
		struct traffic_sum own = {0}, peers = {0};

		LIST_FOR_EACH(other, &site->watches) {
			struct watch *peer = CONTAINER_OF(other, struct watch, in_site);

			traffic_roll(&peer->traffic, now);
			if (peer == watch)
				traffic_sum_add(&peer->traffic, &own);
			else if (peer->health.state == TARGET_UP)
				traffic_sum_add(&peer->traffic, &peers);
		}
		traffic_sum_finish(&own);
		traffic_sum_finish(&peers);
		input = traffic_judge(&watch->traffic, &own, &peers, &watch->health, now);
		if (input != HEALTH_INPUTS)
			watch_input(failover, watch, input, 0);
	}
}

static void site_learn_response(struct site *site, const struct target_stats *stats)
{
	uint64_t mean = stats->response_us / stats->answered;
	uint64_t gain =
		stats->answered < RESPONSE_ANSWERS / 2 ? stats->answered : RESPONSE_ANSWERS / 2;

	if (site->response_us == 0)
		site->response_us = mean > 0 ? mean : 1;
	else
		site->response_us = (site->response_us * (RESPONSE_ANSWERS - gain) + mean * gain) /
		                    RESPONSE_ANSWERS;
}

static void watch_on_stats(struct failover *failover, struct watch *watch,
                           const struct target_stats *stats)
{
	uint64_t now = loop_now_ms(failover->loop), last = stats->last_answer_ms;
	enum target_state before = watch->health.state;
	uint64_t before_ms = watch->health.since_ms;
	unsigned i;

	failover->sent += stats->sent;
	for (i = 0; i < TRAFFIC_FAILURES; i++)
		failover->failed += stats->failed[i];
	traffic_add(&watch->traffic, stats, now);
	if (stats->answered == 0)
		return;
	site_learn_response(&failover->sites[watch->site], stats);
	/* A worker's turn may be a little ahead of ours. */
	if (health_on_answers(&watch->health, stats->answered, stats->failed[TRAFFIC_OVERLOADED],
	                      last < now ? last : now, now))
		watch_changed(failover, watch, before, before_ms);
}

static void measure_demand(struct failover *failover, uint64_t now)
{
	uint64_t passed = now - failover->measured_ms;
	double rate;

	if (passed < BEAT_MS)
		return;
	rate = failover->sent > failover->failed
	               ? (double)(failover->sent - failover->failed) * 1000 / (double)passed
	               : 0;
	failover->demand += (rate - failover->demand) / DEMAND_GAIN;
	failover->sent = 0;
	failover->failed = 0;
	failover->measured_ms = now;
}

static void restart_beat(struct failover *failover)
{
	uint64_t delay = BEAT_MS;
	unsigned i;

	for (i = 0; i < failover->site_count; i++) {
		if (failover->shares[i].state == SITE_RAMPING ||
		    failover->shares[i].state == SITE_HOLD_DOWN)
			delay = BEAT_RAMP_MS;
	}
	timer_start(loop_timers(failover->loop), &failover->beat, delay);
}

static void on_beat(struct timer *timer, void *arg)
{
	struct failover *failover = arg;
	uint64_t now = loop_now_ms(failover->loop);
	unsigned i;

	operator_on_time(failover);
	targets_on_time(failover, now);
	measure_demand(failover, now);
	for (i = 0; i < failover->site_count; i++)
		site_judge_targets(failover, &failover->sites[i], now);
	failover_judge_sites(failover);
	restart_beat(failover);
	failover_restart_tick(failover);
}

/* ---- the face ---- */

void failover_probe_result(struct failover *failover, uint32_t target_id, uint32_t generation,
                           enum health_input result, uint64_t value)
{
	struct watch *watch = watch_of(failover, target_id);

	ASSERT(result <= HEALTH_PROBE_TLS);
	if (watch == NULL || !watch->in_flight ||
	    !health_probe_is_current(&watch->health, generation))
		return;
	watch->in_flight = false;
	watch_input(failover, watch, result, value);
	if (result == HEALTH_PROBE_OK)
		metrics_set(failover->metrics, METRIC_TARGET_PROBE_SECONDS, target_id, 0, 0,
		            (int64_t)value);
	failover_publish_within(failover, VIEW_REFRESH_MS);
	failover_restart_tick(failover);
}

void failover_traffic(struct failover *failover, uint32_t target_id, enum health_input input,
                      uint64_t value)
{
	struct watch *watch = watch_of(failover, target_id);

	ASSERT(input >= HEALTH_TRAFFIC_ANSWERED && input <= HEALTH_TRAFFIC_OVERLOADED);
	if (watch == NULL)
		return;
	watch_input(failover, watch, input, value);
	failover_restart_tick(failover);
}

void failover_stats(struct failover *failover, const struct target_stats *stats, unsigned count)
{
	struct watch *watch;
	unsigned i;

	for (i = 0; i < count; i++) {
		watch = watch_of(failover, stats[i].id);
		if (watch != NULL)
			watch_on_stats(failover, watch, &stats[i]);
	}
	failover_publish_within(failover, VIEW_REFRESH_MS);
	failover_restart_tick(failover);
}

const struct view *failover_view(const struct failover *failover)
{
	return failover->published;
}

static int failover_fill(struct failover *failover, const struct config *config)
{
	unsigned i, targets = 0;
	int err;

	for (i = 0; i < config->site_count; i++)
		targets += config->sites[i].target_count;
	if (config->site_count > METRICS_SITES_MAX || targets > VIEW_TARGETS_MAX)
		return -EINVAL;
	/* One more than needed: none is no reason for a NULL. */
	failover->sites = memory_zalloc((config->site_count + 1) * sizeof(*failover->sites));
	failover->shares = memory_zalloc((config->site_count + 1) * sizeof(*failover->shares));
	if (failover->sites == NULL || failover->shares == NULL)
		return -ENOMEM;
	for (i = 0; i < config->site_count; i++) {
		err = site_init(failover, i, &config->sites[i]);
		if (err != 0)
			return err;
	}
	err = roster_create(failover);
	if (err != 0)
		return err;
	failover_judge_sites(failover);
	return failover_renew(failover);
}

static void failover_init(struct failover *failover, const struct config *config)
{
	failover->settings = (struct health_settings){
		.interval_ms = config->health_interval_ms,
		.timeout_ms = config->health_timeout_ms,
		.fall = config->health_fall,
		.rise = config->health_rise,
	};
	failover->share_settings = (struct share_settings){
		.hold_down_ms = config->failback_hold_down_ms,
		.ramp_ms = config->failback_ramp_ms,
	};
	failover->measured_ms = loop_now_ms(failover->loop);
	list_init(&failover->rosters);
	timer_init(&failover->tick, on_tick, failover);
	timer_init(&failover->publish, on_publish, failover);
	timer_init(&failover->beat, on_beat, failover);
}

int failover_create(struct loop *loop, const struct config *config,
                    struct metrics_registry *registry, struct metrics *metrics,
                    const struct failover_events *events, void *arg, struct failover **out)
{
	struct failover *failover;
	int err;

	failover = memory_zalloc(sizeof(*failover));
	if (failover == NULL)
		return -ENOMEM;
	failover->loop = loop;
	failover->registry = registry;
	failover->metrics = metrics;
	failover->events = events;
	failover->arg = arg;
	failover_init(failover, config);
	err = failover_fill(failover, config);
	if (err != 0) {
		failover_destroy(&failover);
		return err;
	}
	timer_start(loop_timers(loop), &failover->publish, 0);
	restart_beat(failover);
	failover_restart_tick(failover);
	*out = failover;
	return 0;
}

void failover_destroy(struct failover **failover)
{
	struct failover *dead = *failover;
	struct list_link *link;
	unsigned i;

	if (dead == NULL)
		return;
	*failover = NULL;
	timer_stop(loop_timers(dead->loop), &dead->tick);
	timer_stop(loop_timers(dead->loop), &dead->publish);
	timer_stop(loop_timers(dead->loop), &dead->beat);
	for (i = 0; i < VIEW_TARGETS_MAX; i++)
		watch_free(dead->watches[i]);
	for (i = 0; i < dead->site_count; i++)
		site_free(&dead->sites[i]);
	if (dead->published != NULL)
		snapshot_release(&dead->published->snapshot);
	while ((link = list_pop(&dead->rosters)) != NULL)
		snapshot_release(&CONTAINER_OF(link, struct roster, link)->snapshot);
	words_free(&dead->words);
	memory_free(dead->sites);
	memory_free(dead->shares);
	memory_free(dead);
}
