/*
 * The verdict on one target. Pure: time comes in with every input, nothing is called.
 *
 * Each input first becomes evidence (evidence_*: what is known, whatever the state), then, unless the operator
 * has drained the target, a verdict (verdict_*: which state follows). A target is
 *   lost to probes      after `fall` misses in a row, the second 500 ms after the first;
 *   lost to traffic     at once when nobody listens, after `fall` silent requests without a sign of life;
 *   won by probes only  after `rise` answers in a row (the very first answer of all counts at once).
 */
#include "upstream/health.h"

#include "base/error.h"

/* After a miss the next probe comes this soon: one lost datagram is told from a dead target within a
 * second and a half, and no storm results. */
#define HEALTH_REPROBE_MS 500
/* How long a 503 without Retry-After counts, in probe intervals: one more probe is sure to be answered in
 * it, so a target that goes on refusing stays out, and one that had a bad moment is back soon. */
#define HEALTH_OVERLOADED_INTERVALS 2
/* A Retry-After beyond this is believed to be a mistake: one answer must not take a target away longer. */
#define HEALTH_RETRY_AFTER_MAX_MS (5 * 60 * 1000)

static const struct {
	const char *name, *words;
} reasons[HEALTH_REASONS] = {
	[HEALTH_REASON_NONE] = {"none", "none"},
	[HEALTH_REASON_START] = {"start", "not probed yet"},
	[HEALTH_REASON_PROBES_ANSWERED] = {"probes_answered", "probes answered"},
	[HEALTH_REASON_PROBES_LOST] = {"probes_lost", "probes lost"},
	[HEALTH_REASON_PROBE_REFUSED] = {"probe_refused", "probe refused"},
	[HEALTH_REASON_PROBE_503] = {"probe_503", "probe answered 503"},
	[HEALTH_REASON_TRAFFIC_REFUSED] = {"traffic_refused", "request refused"},
	[HEALTH_REASON_TRAFFIC_RESET] = {"traffic_reset", "connections reset"},
	[HEALTH_REASON_TRAFFIC_SILENT] = {"traffic_silent", "requests unanswered"},
	[HEALTH_REASON_TRAFFIC_503] = {"traffic_503", "request answered 503"},
	[HEALTH_REASON_RETRY_AFTER_OVER] = {"retry_after_over", "Retry-After over"},
	[HEALTH_REASON_OPERATOR] = {"operator", "operator"},
};

const char *health_reason_name(enum health_reason reason)
{
	ASSERT(reason < HEALTH_REASONS);
	return reasons[reason].name;
}

const char *health_reason_words(enum health_reason reason)
{
	ASSERT(reason < HEALTH_REASONS);
	return reasons[reason].words;
}

void health_init(struct health *health, const struct health_settings *settings, uint64_t now_ms,
                 uint64_t jitter)
{
	*health = (struct health){
		.settings = settings,
		.state = TARGET_UNKNOWN,
		.reason = HEALTH_REASON_START,
		.since_ms = now_ms,
		.probe_us = -1,
		.next_probe_ms = now_ms + jitter,
	};
}

/* The only writer of state. */
static bool health_set_state(struct health *health, enum target_state state,
                             enum health_reason reason, uint64_t now_ms)
{
	if (health->state == state)
		return false;
	health->state = state;
	health->reason = reason;
	health->since_ms = now_ms;
	health->transitions++;
	if (state == TARGET_UP || state == TARGET_DOWN)
		health->overloaded_until_ms = 0; /* what it asked for was another life */
	return true;
}

static void probe_not_later_than(struct health *health, uint64_t when_ms)
{
	if (health->next_probe_ms > when_ms)
		health->next_probe_ms = when_ms;
}

/* ---- evidence ---- */

static void evidence_life(struct health *health, uint64_t now_ms)
{
	health->misses = 0;
	health->silent = 0;
	health->last_answer_ms = now_ms;
}

static void evidence_window(struct health *health, bool answered)
{
	health->window = health->window << 1 | answered;
	if (health->window_length < 64)
		health->window_length++;
}

static void evidence_probe_answered(struct health *health, uint64_t now_ms)
{
	evidence_window(health, true);
	evidence_life(health, now_ms);
	health->hits++;
}

static void evidence_miss(struct health *health)
{
	health->misses++;
	health->hits = 0;
}

static void evidence_overload(struct health *health, uint64_t retry_after_ms, uint64_t now_ms)
{
	uint64_t until;

	if (retry_after_ms == 0)
		retry_after_ms = HEALTH_OVERLOADED_INTERVALS * health->settings->interval_ms;
	if (retry_after_ms > HEALTH_RETRY_AFTER_MAX_MS)
		retry_after_ms = HEALTH_RETRY_AFTER_MAX_MS;
	until = now_ms + retry_after_ms;
	if (health->overloaded_until_ms < until)
		health->overloaded_until_ms = until;
}

/* ---- verdicts ---- */

/* A probe was answered, and not with 503. */
static bool verdict_probe_ok(struct health *health, uint64_t now_ms)
{
	switch (health->state) {
	case TARGET_UNKNOWN: /* no history to distrust: serve at once */
		return health_set_state(health, TARGET_UP, HEALTH_REASON_PROBES_ANSWERED, now_ms);
	case TARGET_OVERLOADED:
		if (now_ms < health->overloaded_until_ms)
			return false; /* it asked for this time, and OPTIONS is cheap to answer */
		return health_set_state(health, TARGET_UP, HEALTH_REASON_RETRY_AFTER_OVER, now_ms);
	case TARGET_DOWN:
		if (health->hits < health->settings->rise)
			return false;
		return health_set_state(health, TARGET_UP, HEALTH_REASON_PROBES_ANSWERED, now_ms);
	case TARGET_UP:
	case TARGET_DEGRADED:
	case TARGET_DRAINING:
	case TARGET_STATES:
		break;
	}
	return false;
}

static bool verdict_overloaded(struct health *health, enum health_reason reason, uint64_t now_ms)
{
	/* Alive, but it has not yet answered as often as a return takes. */
	if (health->state == TARGET_DOWN && health->hits < health->settings->rise)
		return false;
	return health_set_state(health, TARGET_OVERLOADED, reason, now_ms);
}

static bool verdict_miss(struct health *health, enum health_reason reason, uint64_t now_ms)
{
	if (health->misses >= health->settings->fall)
		return health_set_state(health, TARGET_DOWN, reason, now_ms);
	probe_not_later_than(health, now_ms + HEALTH_REPROBE_MS);
	return false;
}

static bool verdict_silent(struct health *health, uint64_t now_ms)
{
	if (health->silent >= health->settings->fall)
		return health_set_state(health, TARGET_DOWN, HEALTH_REASON_TRAFFIC_SILENT, now_ms);
	return false;
}

/* Nobody listens: no second opinion is needed, and asking for one would cost requests. */
static bool verdict_refused(struct health *health, uint64_t now_ms)
{
	probe_not_later_than(health, now_ms + HEALTH_REPROBE_MS);
	return health_set_state(health, TARGET_DOWN, HEALTH_REASON_TRAFFIC_REFUSED, now_ms);
}

/* The operator gives it back: what the evidence of meanwhile says. */
static bool verdict_enabled(struct health *health, uint64_t now_ms)
{
	enum target_state state = TARGET_UNKNOWN;

	if (health->misses >= health->settings->fall)
		state = TARGET_DOWN;
	else if (health->overloaded_until_ms > now_ms)
		state = TARGET_OVERLOADED;
	else if (health->hits >= health->settings->rise)
		state = TARGET_UP;
	else
		probe_not_later_than(health, now_ms);
	return health_set_state(health, state, HEALTH_REASON_OPERATOR, now_ms);
}

/* ---- inputs ---- */

static void take_evidence(struct health *health, enum health_input input, uint64_t value,
                          uint64_t now_ms)
{
	switch (input) {
	case HEALTH_PROBE_OK:
		evidence_probe_answered(health, now_ms);
		health->probe_us = (int64_t)value;
		break;
	case HEALTH_PROBE_OVERLOADED:
		evidence_probe_answered(health, now_ms);
		evidence_overload(health, value, now_ms);
		break;
	case HEALTH_PROBE_TIMED_OUT:
	case HEALTH_PROBE_REFUSED:
		evidence_window(health, false);
		evidence_miss(health);
		break;
	case HEALTH_TRAFFIC_ANSWERED:
		evidence_life(health, now_ms);
		break;
	case HEALTH_TRAFFIC_REFUSED:
		health->hits = 0;
		if (health->misses < health->settings->fall)
			health->misses = health->settings->fall;
		break;
	case HEALTH_TRAFFIC_RESET:
		/* Every worker's connection breaks when a target dies: until the probe that the
		 * first one calls for has left, they are one event. */
		if (health->next_probe_ms > now_ms)
			evidence_miss(health);
		probe_not_later_than(health, now_ms);
		break;
	case HEALTH_TRAFFIC_SILENT:
		if (++health->silent == 1)
			probe_not_later_than(health, now_ms);
		break;
	case HEALTH_TRAFFIC_OVERLOADED:
		evidence_life(health, now_ms);
		evidence_overload(health, value, now_ms);
		break;
	case HEALTH_OPERATOR_DRAIN:
		health->drained = true;
		break;
	case HEALTH_OPERATOR_ENABLE:
		health->drained = false;
		break;
	case HEALTH_INPUTS:
		break;
	}
}

bool health_on_input(struct health *health, enum health_input input, uint64_t value,
                     uint64_t now_ms)
{
	ASSERT(input < HEALTH_INPUTS);
	take_evidence(health, input, value, now_ms);
	if (health->drained)
		return health_set_state(health, TARGET_DRAINING, HEALTH_REASON_OPERATOR, now_ms);
	switch (input) {
	case HEALTH_PROBE_OK:
		return verdict_probe_ok(health, now_ms);
	case HEALTH_PROBE_OVERLOADED:
		return verdict_overloaded(health, HEALTH_REASON_PROBE_503, now_ms);
	case HEALTH_PROBE_TIMED_OUT:
		return verdict_miss(health, HEALTH_REASON_PROBES_LOST, now_ms);
	case HEALTH_PROBE_REFUSED:
		return verdict_miss(health, HEALTH_REASON_PROBE_REFUSED, now_ms);
	case HEALTH_TRAFFIC_REFUSED:
		return verdict_refused(health, now_ms);
	case HEALTH_TRAFFIC_RESET:
		return verdict_miss(health, HEALTH_REASON_TRAFFIC_RESET, now_ms);
	case HEALTH_TRAFFIC_SILENT:
		return verdict_silent(health, now_ms);
	case HEALTH_TRAFFIC_OVERLOADED:
		return verdict_overloaded(health, HEALTH_REASON_TRAFFIC_503, now_ms);
	case HEALTH_OPERATOR_ENABLE:
		return health->state == TARGET_DRAINING && verdict_enabled(health, now_ms);
	case HEALTH_TRAFFIC_ANSWERED: /* a sign of life; only probes bring a target back */
	case HEALTH_OPERATOR_DRAIN:
	case HEALTH_INPUTS:
		break;
	}
	return false;
}

bool health_on_time(struct health *health, uint64_t now_ms)
{
	if (health->state != TARGET_OVERLOADED || now_ms < health->overloaded_until_ms)
		return false;
	if (health->misses > 0)
		return false; /* the probe that is on its way decides */
	return health_set_state(health, TARGET_UP, HEALTH_REASON_RETRY_AFTER_OVER, now_ms);
}

uint32_t health_begin_probe(struct health *health, uint64_t now_ms, uint32_t random)
{
	uint64_t interval = health->settings->interval_ms;
	uint64_t tenth = interval / 10;

	/* 10 % either way: edges that were started together must not probe together for ever. */
	health->next_probe_ms = now_ms + interval - tenth + random % (2 * tenth + 1);
	return ++health->generation;
}

bool health_probe_is_current(const struct health *health, uint32_t generation)
{
	return health->generation == generation;
}
