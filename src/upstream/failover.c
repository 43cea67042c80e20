/*
 * The decision: drives probes, feeds every target's health, and publishes the view that follows.
 * Control thread only.
 */
#include "upstream/failover.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "loop/timer.h"

/* A worker answers for every probe when its time is over; beyond this the letter itself was lost. */
#define PROBE_LETTER_MS 1000
/* First probes leave within this of the start: soon, and not all in one millisecond. */
#define FIRST_PROBE_SPREAD_MS 100
/* Mere news (round trips) may wait this long for their view; a change of state waits for nothing. */
#define VIEW_REFRESH_MS 1000
#define VIEW_RETRY_MS 100 /* after a lack of memory */
#define LOG_TEXT_MAX 160

struct watch { /* one target */
	struct health health;
	bool in_flight;   /* a probe is on its way: no second one */
	uint64_t lost_ms; /* when it counts as lost without a letter */
};

struct failover {
	struct loop *loop;
	struct metrics *metrics; /* NULL: none */
	const struct failover_events *events;
	void *arg;
	struct health_settings settings;
	struct view living;     /* sites and targets as they are; views are copies of it */
	struct watch *watches;  /* index as living.targets: also the id */
	char **route_uris;      /* owned; as many as targets */
	struct view *published; /* the last copy; one reference */
	bool changed;           /* since it was published */
	struct timer tick, publish;
};

/* ---- the living original ---- */

static const enum sip_transport transports[] = {
	[CONFIG_UDP] = TRANSPORT_UDP, [CONFIG_TCP] = TRANSPORT_TCP, [CONFIG_TLS] = TRANSPORT_TLS,
	[CONFIG_WS] = TRANSPORT_WS,   [CONFIG_WSS] = TRANSPORT_WSS,
};

/* The URI with ;lr;orig (TS 24.229 5.2.2: the Route of a REGISTER). */
static char *make_route_uri(const char *uri)
{
	size_t size = strlen(uri) + sizeof(";lr;orig");
	bool has_lr = false;
	struct uri parsed;
	char *text;

	if (uri_parse(slice_from_string(uri), &parsed))
		has_lr = uri_param(&parsed, "lr", NULL);
	text = memory_alloc(size);
	if (text != NULL)
		snprintf(text, size, "%s%s;orig", uri, has_lr ? "" : ";lr");
	return text;
}

static int failover_add_target(struct failover *failover, unsigned site,
                               const struct config_target *from)
{
	uint32_t id = failover->living.target_count;

	failover->route_uris[id] = make_route_uri(from->uri);
	if (failover->route_uris[id] == NULL)
		return -ENOMEM;
	failover->living.targets[id] = (struct view_target){
		.id = id,
		.site = site,
		.name = from->name,
		.uri = from->uri,
		.route_uri = failover->route_uris[id],
		.address = from->address,
		.transport = transports[from->transport],
		.weight = from->weight,
		.since_wall_ms = clock_wall_ms(),
	};
	health_init(&failover->watches[id].health, &failover->settings, loop_now_ms(failover->loop),
	            random_below(FIRST_PROBE_SPREAD_MS));
	failover->living.target_count++;
	return 0;
}

static int failover_add_site(struct failover *failover, const struct config_site *from)
{
	unsigned i, index = failover->living.site_count++;
	int err;

	failover->living.sites[index] = (struct view_site){
		.name = from->name,
		.advertise = from->advertise,
		.local = from->local,
		.first = failover->living.target_count,
		.count = from->target_count,
	};
	for (i = 0; i < from->target_count; i++) {
		err = failover_add_target(failover, index, &from->targets[i]);
		if (err != 0)
			return err;
	}
	return 0;
}

static int failover_add_sites(struct failover *failover, const struct config *config)
{
	unsigned i, targets = 0;
	int err;

	for (i = 0; i < config->site_count; i++)
		targets += config->sites[i].target_count;
	if (targets > VIEW_TARGETS_MAX)
		return -EINVAL;
	/* One more than needed: none is no reason for a NULL. */
	failover->living.sites =
		memory_zalloc((config->site_count + 1) * sizeof(*failover->living.sites));
	failover->living.targets = memory_zalloc((targets + 1) * sizeof(*failover->living.targets));
	failover->watches = memory_zalloc((targets + 1) * sizeof(*failover->watches));
	failover->route_uris = memory_zalloc((targets + 1) * sizeof(*failover->route_uris));
	if (failover->living.sites == NULL || failover->living.targets == NULL ||
	    failover->watches == NULL || failover->route_uris == NULL)
		return -ENOMEM;
	for (i = 0; i < config->site_count; i++) {
		err = failover_add_site(failover, &config->sites[i]);
		if (err != 0)
			return err;
	}
	return 0;
}

static const char *site_name(const struct failover *failover, const struct view_target *target)
{
	return failover->living.sites[target->site].name;
}

/* ---- metrics ---- */

static int failover_name_metrics(const struct failover *failover, struct metrics_registry *registry)
{
	const struct view *living = &failover->living;
	unsigned i;
	int err;

	for (i = 0; i < living->site_count; i++) {
		err = metrics_name_site(registry, i, living->sites[i].name);
		if (err != 0)
			return err;
	}
	for (i = 0; i < living->target_count; i++) {
		const struct view_target *target = &living->targets[i];

		err = metrics_name_target(registry, target->id, site_name(failover, target),
		                          target->name);
		if (err != 0)
			return err;
	}
	return 0;
}

static void failover_measure_target(const struct failover *failover, uint32_t id)
{
	const struct health *health = &failover->watches[id].health;
	bool up = health->state == TARGET_UP || health->state == TARGET_DEGRADED;
	unsigned state;

	metrics_set(failover->metrics, METRIC_TARGET_UP, id, 0, 0, up);
	for (state = 0; state < TARGET_STATES; state++) {
		metrics_set(failover->metrics, METRIC_TARGET_STATE, id, state, 0,
		            health->state == state);
	}
}

/* ---- the view ---- */

static void failover_refresh(struct failover *failover)
{
	unsigned i;

	for (i = 0; i < failover->living.target_count; i++) {
		const struct health *health = &failover->watches[i].health;
		struct view_target *target = &failover->living.targets[i];

		target->state = health->state;
		target->reason = health_reason_words(health->reason);
		target->probe_us = health->probe_us;
		target->generation = health->generation;
	}
}

static const char *serving_name(const struct view *view)
{
	return view->serving >= 0 ? view->sites[view->serving].name : "none";
}

static void failover_tell_serving(const struct failover *failover, const struct view *before,
                                  const struct view *now)
{
	unsigned i;

	for (i = 0; i < now->site_count; i++)
		metrics_set(failover->metrics, METRIC_SITE_SERVING, i, 0, 0,
		            now->serving == (int)i);
	if (before == NULL || before->serving == now->serving)
		return;
	if (now->serving < 0)
		log_error("sites: no target is usable, the least bad ones are tried; %s served",
		          serving_name(before));
	else
		log_warning("sites: %s serves new requests, %s did before", serving_name(now),
		            serving_name(before));
}

/* Make the next copy; the old one lives as long as its readers. */
static int failover_renew(struct failover *failover)
{
	struct view *view;
	int err;

	failover_refresh(failover);
	failover->living.version++;
	err = view_create(&failover->living, &view);
	if (err != 0)
		return err;
	failover_tell_serving(failover, failover->published, view);
	if (failover->published != NULL)
		snapshot_release(&failover->published->snapshot);
	failover->published = view;
	failover->changed = false;
	return 0;
}

static void failover_give_view(struct failover *failover)
{
	snapshot_share(&failover->published->snapshot);
	failover->events->on_view(failover->arg, failover->published);
}

static void on_publish(struct timer *timer, void *arg)
{
	struct failover *failover = arg;

	if (failover->changed && failover_renew(failover) != 0) {
		log_error("sites: no memory for the new view, the old one stays");
		timer_start(loop_timers(failover->loop), timer, VIEW_RETRY_MS);
		return;
	}
	failover_give_view(failover);
}

/* Once a turn at most: whatever else changes before the timer fires goes into the same view. */
static void failover_publish_within(struct failover *failover, uint64_t delay_ms)
{
	struct timers *timers = loop_timers(failover->loop);

	failover->changed = true;
	if (timer_is_running(&failover->publish) &&
	    failover->publish.due_ms <= loop_now_ms(failover->loop) + delay_ms)
		return;
	timer_start(timers, &failover->publish, delay_ms);
}

/* ---- transitions ---- */

/* What was seen, in words and numbers. */
static void describe(const struct health *health, char *text, size_t size)
{
	const char *words = health_reason_words(health->reason);

	switch (health->reason) {
	case HEALTH_REASON_PROBES_LOST:
		snprintf(text, size, "%u %s", health->misses, words);
		break;
	case HEALTH_REASON_TRAFFIC_SILENT:
		snprintf(text, size, "%u %s", health->silent, words);
		break;
	case HEALTH_REASON_PROBES_ANSWERED:
		snprintf(text, size, "%u %s", health->hits, words);
		break;
	default:
		snprintf(text, size, "%s", words);
		break;
	}
}

static void log_transition(const struct failover *failover, const struct view_target *target,
                           enum target_state before, uint64_t before_ms)
{
	const struct health *health = &failover->watches[target->id].health;
	uint64_t now = loop_now_ms(failover->loop);
	enum log_level level = health->state == TARGET_DOWN ? LOG_WARNING : LOG_INFO;
	char what[LOG_TEXT_MAX], when[LOG_TEXT_MAX];

	describe(health, what, sizeof(what));
	if (health->state == TARGET_UP)
		snprintf(when, sizeof(when), "%s for %.1f s", target_state_name(before),
		         (double)(now - before_ms) / 1000);
	else if (health->last_answer_ms == 0)
		snprintf(when, sizeof(when), "never answered");
	else
		snprintf(when, sizeof(when), "last answer %.1f s ago",
		         (double)(now - health->last_answer_ms) / 1000);
	log_write(level, "target %s/%s: %s -> %s, %s, %s", site_name(failover, target),
	          target->name, target_state_name(before), target_state_name(health->state), what,
	          when);
}

static void failover_on_transition(struct failover *failover, uint32_t id, enum target_state before,
                                   uint64_t before_ms)
{
	const struct health *health = &failover->watches[id].health;
	struct view_target *target = &failover->living.targets[id];

	target->since_wall_ms = clock_wall_ms();
	log_transition(failover, target, before, before_ms);
	metrics_add(failover->metrics, METRIC_TARGET_TRANSITIONS, id, health->state, health->reason,
	            1);
	failover_measure_target(failover, id);
	failover_publish_within(failover, 0);
}

static void failover_input(struct failover *failover, uint32_t id, enum health_input input,
                           uint64_t value)
{
	struct health *health = &failover->watches[id].health;
	enum target_state before = health->state;
	uint64_t before_ms = health->since_ms;

	if (health_on_input(health, input, value, loop_now_ms(failover->loop)))
		failover_on_transition(failover, id, before, before_ms);
}

/* ---- time ---- */

static void watch_begin_probe(struct failover *failover, uint32_t id, uint64_t now)
{
	struct watch *watch = &failover->watches[id];
	uint64_t timeout = failover->settings.timeout_ms;
	uint32_t generation;

	generation = health_begin_probe(&watch->health, now, (uint32_t)random_u64());
	watch->in_flight = true;
	watch->lost_ms = now + timeout + PROBE_LETTER_MS;
	failover->events->on_probe(failover->arg, id, generation, timeout);
}

static void watch_on_time(struct failover *failover, uint32_t id, uint64_t now)
{
	struct watch *watch = &failover->watches[id];
	enum target_state before = watch->health.state;
	uint64_t before_ms = watch->health.since_ms;

	if (health_on_time(&watch->health, now))
		failover_on_transition(failover, id, before, before_ms);
	if (watch->in_flight && now >= watch->lost_ms) {
		watch->in_flight = false;
		failover_input(failover, id, HEALTH_PROBE_TIMED_OUT, 0);
	}
	if (!watch->in_flight && now >= watch->health.next_probe_ms)
		watch_begin_probe(failover, id, now);
}

/* When this target wants attention next. */
static uint64_t watch_due_ms(const struct watch *watch, uint64_t now)
{
	uint64_t due = watch->in_flight ? watch->lost_ms : watch->health.next_probe_ms;

	if (watch->health.state == TARGET_OVERLOADED && watch->health.overloaded_until_ms > now &&
	    watch->health.overloaded_until_ms < due)
		due = watch->health.overloaded_until_ms;
	return due;
}

static void failover_restart_tick(struct failover *failover)
{
	uint64_t now = loop_now_ms(failover->loop), due, earliest = UINT64_MAX;
	unsigned i;

	for (i = 0; i < failover->living.target_count; i++) {
		due = watch_due_ms(&failover->watches[i], now);
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

	for (i = 0; i < failover->living.target_count; i++)
		watch_on_time(failover, i, now);
	failover_restart_tick(failover);
}

/* ---- the face ---- */

void failover_probe_result(struct failover *failover, uint32_t target_id, uint32_t generation,
                           enum health_input result, uint64_t round_trip_us)
{
	struct watch *watch;

	ASSERT(result <= HEALTH_PROBE_REFUSED);
	if (target_id >= failover->living.target_count)
		return;
	watch = &failover->watches[target_id];
	if (!watch->in_flight || !health_probe_is_current(&watch->health, generation))
		return;
	watch->in_flight = false;
	failover_input(failover, target_id, result, result == HEALTH_PROBE_OK ? round_trip_us : 0);
	if (result == HEALTH_PROBE_OK)
		metrics_set(failover->metrics, METRIC_TARGET_PROBE_SECONDS, target_id, 0, 0,
		            (int64_t)round_trip_us);
	failover_publish_within(failover, VIEW_REFRESH_MS);
	failover_restart_tick(failover);
}

void failover_traffic(struct failover *failover, uint32_t target_id, enum health_input input,
                      uint64_t value)
{
	ASSERT(input > HEALTH_PROBE_REFUSED && input < HEALTH_INPUTS);
	if (target_id >= failover->living.target_count)
		return;
	failover_input(failover, target_id, input, value);
	failover_restart_tick(failover);
}

const struct view *failover_view(const struct failover *failover)
{
	return failover->published;
}

int failover_create(struct loop *loop, const struct config *config,
                    struct metrics_registry *registry, struct metrics *metrics,
                    const struct failover_events *events, void *arg, struct failover **out)
{
	struct failover *failover;
	unsigned i;
	int err;

	failover = memory_zalloc(sizeof(*failover));
	if (failover == NULL)
		return -ENOMEM;
	failover->loop = loop;
	failover->metrics = metrics;
	failover->events = events;
	failover->arg = arg;
	failover->settings = (struct health_settings){
		.interval_ms = config->health_interval_ms,
		.timeout_ms = config->health_timeout_ms,
		.fall = config->health_fall,
		.rise = config->health_rise,
	};
	timer_init(&failover->tick, on_tick, failover);
	timer_init(&failover->publish, on_publish, failover);
	err = failover_add_sites(failover, config);
	if (err == 0 && registry != NULL)
		err = failover_name_metrics(failover, registry);
	if (err == 0)
		err = failover_renew(failover);
	if (err != 0) {
		failover_destroy(&failover);
		return err;
	}
	for (i = 0; i < failover->living.target_count; i++)
		failover_measure_target(failover, i);
	timer_start(loop_timers(loop), &failover->publish, 0);
	failover_restart_tick(failover);
	*out = failover;
	return 0;
}

void failover_destroy(struct failover **failover)
{
	struct failover *dead = *failover;
	unsigned i;

	if (dead == NULL)
		return;
	*failover = NULL;
	timer_stop(loop_timers(dead->loop), &dead->tick);
	timer_stop(loop_timers(dead->loop), &dead->publish);
	for (i = 0; i < dead->living.target_count; i++)
		memory_free(dead->route_uris[i]);
	if (dead->published != NULL)
		snapshot_release(&dead->published->snapshot);
	memory_free(dead->living.sites);
	memory_free(dead->living.targets);
	memory_free(dead->watches);
	memory_free(dead->route_uris);
	memory_free(dead);
}
