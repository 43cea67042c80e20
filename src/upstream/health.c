/*
 * The verdict on one target. Pure: time comes in with every input, nothing is called.
 *
 * Each input first becomes evidence (evidence_*: what is known, whatever the state), then a verdict (verdict_*:
 * which state follows). What the operator or DNS withholds is DRAINING meanwhile, whatever the verdict.
 */
#include "upstream/health.h"

#include <math.h>

#include "base/error.h"

/* How long a 503 without Retry-After counts, in probe intervals: one more probe is sure to be answered in
 * it, so a target that goes on refusing stays out, and one that had a bad moment is back soon. */
#define OVERLOADED_INTERVALS 2
/* A Retry-After beyond this is believed to be a mistake: one answer must not take a target away longer. */
#define RETRY_AFTER_MAX_MS (5 * 60 * 1000)
/* An overloaded target needs rest, not exile: damping adds no more than this to what it asks for. */
#define OVERLOADED_HOLD_MAX_MS (60 * 1000)
/* 503s, and silent requests, further apart are not one event; shares fade with this time constant. */
#define BUSY_RUN_MS 10000
#define DEAF_RUN_MS 60000
#define SHARE_FADE_MS 1000.0
/* After the first silent request a probe gets four of its round trips to be answered, at least this. */
#define CONFIRM_LEAST_MS 200
/* On trial: so many answered requests acquit; on a node without work, so much time without a silent one. */
#define TRIAL_ANSWERS 5
#define TRIAL_MS 60000
/* The least time in DEGRADED: a share that jumps about helps nobody. */
#define DEGRADED_LEAST_MS 10000

/* Absence at the n-th loss, and the service that forgives one. */
static const uint32_t holds_ms[] = {0, 10000, 20000, 40000, 80000, 160000, 300000};
#define FORGIVE_MS (5 * 60 * 1000)

void health_init(struct health *health, const struct health_settings *settings, uint64_t now_ms,
                 uint64_t jitter)
{
	*health = (struct health){
		.settings = settings,
		.state = TARGET_UNKNOWN,
		.verdict = TARGET_UNKNOWN,
		.reason = HEALTH_REASON_START,
		.verdict_reason = HEALTH_REASON_START,
		.since_ms = now_ms,
		.verdict_since_ms = now_ms,
		.probe_us = -1,
		.next_probe_ms = now_ms + jitter,
		.share_ms = now_ms,
		.forgive_ms = now_ms,
	};
}

/* ---- states ---- */

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
	return true;
}

static bool is_served(enum target_state verdict)
{
	return verdict == TARGET_UP || verdict == TARGET_DEGRADED;
}

/* It served and no longer does: not before this much later, and longer the next time. */
static void health_damp(struct health *health, uint64_t most_ms, uint64_t now_ms)
{
	uint64_t hold = holds_ms[health->flaps];

	if (hold > most_ms)
		hold = most_ms;
	if (health->hold_until_ms < now_ms + hold)
		health->hold_until_ms = now_ms + hold;
	if (health->flaps < ARRAY_LENGTH(holds_ms) - 1)
		health->flaps++;
	health->forgive_ms = now_ms;
}

static void forget_silence(struct health *health)
{
	health->silent = 0;
	health->deaf = 0;
}

/* What begins with a verdict. */
static void verdict_begins(struct health *health, enum target_state before, uint64_t now_ms)
{
	switch (health->verdict) {
	case TARGET_DOWN:
		health->hits = 0; /* what it answered before speaks for nothing now */
		health->overloaded_until_ms = 0; /* what it asked for was another life */
		if (is_served(before))
			health_damp(health, UINT64_MAX, now_ms);
		break;
	case TARGET_OVERLOADED:
		if (is_served(before))
			health_damp(health, OVERLOADED_HOLD_MAX_MS, now_ms);
		if (health->overloaded_until_ms < health->hold_until_ms)
			health->overloaded_until_ms = health->hold_until_ms;
		break;
	case TARGET_DEGRADED:
		health->trial_answered = 0;
		forget_silence(health);
		if (before == TARGET_UP)
			health_damp(health, UINT64_MAX, now_ms);
		if (health->hold_until_ms < now_ms + DEGRADED_LEAST_MS && !health->one_way)
			health->hold_until_ms = now_ms + DEGRADED_LEAST_MS;
		break;
	case TARGET_UP:
		forget_silence(health);
		health->overloaded_until_ms = 0;
		health->one_way = false;
		health->busy_run = 0;
		health->forgive_ms = now_ms;
		break;
	case TARGET_UNKNOWN:
	case TARGET_DRAINING:
	case TARGET_STATES:
		break;
	}
}

/* The only writer of the verdict. True if the state changes with it. */
static bool health_judge(struct health *health, enum target_state verdict,
                         enum health_reason reason, uint64_t now_ms)
{
	enum target_state before = health->verdict;

	if (before == verdict)
		return false;
	health->verdict = verdict;
	health->verdict_reason = reason;
	health->verdict_since_ms = now_ms;
	verdict_begins(health, before, now_ms);
	if (health->drained || health->removed)
		return false;
	return health_set_state(health, verdict, reason, now_ms);
}

/* The operator or DNS gave or took their leave. */
static bool health_withhold(struct health *health, enum health_reason given, uint64_t now_ms)
{
	if (health->drained)
		return health_set_state(health, TARGET_DRAINING, HEALTH_REASON_OPERATOR, now_ms);
	if (health->removed)
		return health_set_state(health, TARGET_DRAINING, HEALTH_REASON_REMOVED, now_ms);
	return health_set_state(health, health->verdict, given, now_ms);
}

static void probe_not_later_than(struct health *health, uint64_t when_ms)
{
	if (health->next_probe_ms > when_ms)
		health->next_probe_ms = when_ms;
}

/* ---- evidence ---- */

/* It lived then; what was sent later may still be unanswered. */
static void evidence_life(struct health *health, uint64_t when_ms)
{
	if (when_ms >= health->probe_sent_ms)
		health->misses = 0;
	if (when_ms >= health->silent_sent_ms)
		health->silent = 0;
	if (health->last_answer_ms < when_ms)
		health->last_answer_ms = when_ms;
}

static void evidence_call_answered(struct health *health, unsigned answered, uint64_t when_ms)
{
	evidence_life(health, when_ms);
	health->deaf = 0;
	if (health->call_answer_ms < when_ms)
		health->call_answer_ms = when_ms;
	if (health->verdict == TARGET_DEGRADED)
		health->trial_answered += answered;
}

static void evidence_probe(struct health *health, bool answered, uint64_t now_ms)
{
	health->window = health->window << 1 | answered;
	if (health->window_length < 64)
		health->window_length++;
	if (!answered) {
		health->misses++;
		health->hits = 0;
		return;
	}
	evidence_life(health, now_ms);
	health->misses = 0;
	if (health->hits++ == 0)
		health->hits_since_ms = now_ms;
}

static void evidence_overload(struct health *health, uint64_t retry_after_ms, uint64_t now_ms)
{
	uint64_t until;

	if (retry_after_ms == 0)
		retry_after_ms = OVERLOADED_INTERVALS * health->settings->interval_ms;
	if (retry_after_ms > RETRY_AFTER_MAX_MS)
		retry_after_ms = RETRY_AFTER_MAX_MS;
	until = now_ms + retry_after_ms;
	if (health->overloaded_until_ms < until)
		health->overloaded_until_ms = until;
}

static void fade_shares(struct health *health, uint64_t now_ms)
{
	double kept = exp(-(double)(now_ms - health->share_ms) / SHARE_FADE_MS);

	health->busy *= kept;
	health->good *= kept;
	health->share_ms = now_ms;
}

static void evidence_busy(struct health *health, uint64_t now_ms)
{
	fade_shares(health, now_ms);
	health->busy += 1;
	if (now_ms > health->busy_ms + BUSY_RUN_MS)
		health->busy_run = 0;
	health->busy_run++;
	health->busy_ms = now_ms;
}

static void evidence_silent(struct health *health, uint64_t sent_ms, uint64_t now_ms)
{
	if (sent_ms != 0 && sent_ms < health->verdict_since_ms && is_served(health->verdict))
		return; /* a request of an earlier life */
	if (now_ms > health->deaf_since_ms + DEAF_RUN_MS && health->deaf < HEALTH_DEAF_REQUESTS)
		health->deaf = 0;
	if (sent_ms == 0 || sent_ms > health->call_answer_ms) {
		if (health->deaf++ == 0)
			health->deaf_since_ms = now_ms;
	}
	if (sent_ms != 0 && sent_ms <= health->last_answer_ms)
		return; /* it answers others: a loss, not a death */
	if (health->silent++ == 0) {
		health->silent_since_ms = now_ms;
		health->silent_sent_ms = sent_ms;
		probe_not_later_than(health, now_ms);
	}
}

/* Every worker's connection breaks when a target dies: until the probe that the first one calls for has left,
 * they are one event. */
static void evidence_reset(struct health *health, uint64_t now_ms)
{
	if (health->next_probe_ms > now_ms) {
		health->misses++;
		health->hits = 0;
	}
	probe_not_later_than(health, now_ms);
}

/* ---- verdicts ---- */

/* `rise` is reached and damping is over. */
static bool verdict_return(struct health *health, uint64_t now_ms)
{
	if (health->hits < health->settings->rise) {
		probe_not_later_than(health, now_ms + HEALTH_REPROBE_MS);
		return false;
	}
	if (now_ms < health->hold_until_ms)
		return false;
	if (health->one_way)
		return health_judge(health, TARGET_DEGRADED, HEALTH_REASON_TRIAL, now_ms);
	return health_judge(health, TARGET_UP, HEALTH_REASON_PROBES_ANSWERED, now_ms);
}

/* A probe was answered, and not with 503. */
static bool verdict_probe_ok(struct health *health, uint64_t now_ms)
{
	switch (health->verdict) {
	case TARGET_UNKNOWN: /* no history to distrust: serve at once */
		return health_judge(health, TARGET_UP, HEALTH_REASON_PROBES_ANSWERED, now_ms);
	case TARGET_OVERLOADED:
		if (now_ms < health->overloaded_until_ms)
			return false; /* it asked for this time, and OPTIONS is cheap to answer */
		return health_judge(health, TARGET_UP, HEALTH_REASON_RETRY_AFTER_OVER, now_ms);
	case TARGET_DOWN:
		return verdict_return(health, now_ms);
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
	if (health->verdict == TARGET_DOWN && health->hits < health->settings->rise)
		return false;
	return health_judge(health, TARGET_OVERLOADED, reason, now_ms);
}

static bool verdict_busy(struct health *health, uint64_t retry_after_ms, uint64_t now_ms)
{
	if (health->verdict != TARGET_OVERLOADED &&
	    (health->busy_run < HEALTH_BUSY_LEAST || health->busy < health->good))
		return false;
	evidence_overload(health, retry_after_ms, now_ms);
	return verdict_overloaded(health, HEALTH_REASON_TRAFFIC_503, now_ms);
}

static bool verdict_miss(struct health *health, enum health_reason reason, uint64_t now_ms)
{
	if (health->misses < health->settings->fall) {
		probe_not_later_than(health, now_ms + HEALTH_REPROBE_MS);
		return false;
	}
	health->one_way = false; /* dead for probes too: an ordinary death */
	return health_judge(health, TARGET_DOWN, reason, now_ms);
}

static uint64_t confirm_ms(const struct health *health)
{
	uint64_t ms = health->probe_us > 0 ? (uint64_t)health->probe_us * 4 / 1000 : 0;

	if (ms < CONFIRM_LEAST_MS)
		ms = CONFIRM_LEAST_MS;
	return ms < health->settings->timeout_ms ? ms : health->settings->timeout_ms;
}

static bool is_on_trial(const struct health *health)
{
	return health->verdict == TARGET_DEGRADED && health->one_way;
}

/* When the silence seen so far becomes a verdict, UINT64_MAX: not by itself. */
static uint64_t silent_due_ms(const struct health *health)
{
	if (health->verdict == TARGET_DOWN || health->silent < health->settings->fall)
		return UINT64_MAX;
	return health->silent_since_ms + confirm_ms(health);
}

static uint64_t deaf_due_ms(const struct health *health)
{
	if (health->verdict == TARGET_DOWN)
		return UINT64_MAX;
	if (is_on_trial(health) && health->deaf >= health->settings->fall)
		return health->deaf_since_ms;
	if (health->deaf < HEALTH_DEAF_REQUESTS)
		return UINT64_MAX;
	return health->deaf_since_ms + HEALTH_DEAF_MS;
}

static bool verdict_silent(struct health *health, uint64_t now_ms)
{
	if (now_ms >= silent_due_ms(health)) {
		/* A probe that is still on its way decides what kind of death it is. */
		health->one_way = is_on_trial(health);
		return health_judge(health, TARGET_DOWN, HEALTH_REASON_TRAFFIC_SILENT, now_ms);
	}
	if (now_ms >= deaf_due_ms(health)) {
		health->one_way = true;
		return health_judge(health, TARGET_DOWN, HEALTH_REASON_ONE_WAY, now_ms);
	}
	return false;
}

/* Nobody listens: no second opinion is needed, and asking for one would cost requests. */
static bool verdict_refused(struct health *health, uint64_t now_ms)
{
	health->hits = 0;
	health->one_way = false;
	if (health->misses < health->settings->fall)
		health->misses = health->settings->fall;
	probe_not_later_than(health, now_ms + HEALTH_REPROBE_MS);
	return health_judge(health, TARGET_DOWN, HEALTH_REASON_TRAFFIC_REFUSED, now_ms);
}

static bool verdict_outlier(struct health *health, enum health_reason reason, uint64_t now_ms)
{
	if (health->verdict != TARGET_UP)
		return false;
	return health_judge(health, TARGET_DEGRADED, reason, now_ms);
}

static bool verdict_sound(struct health *health, uint64_t now_ms)
{
	if (health->verdict != TARGET_DEGRADED || is_on_trial(health) ||
	    now_ms < health->hold_until_ms)
		return false;
	return health_judge(health, TARGET_UP, HEALTH_REASON_SOUND, now_ms);
}

static bool verdict_call_answered(struct health *health, uint64_t now_ms)
{
	if (!is_on_trial(health) || health->trial_answered < TRIAL_ANSWERS)
		return false;
	return health_judge(health, TARGET_UP, HEALTH_REASON_TRIAL_PASSED, now_ms);
}

/* ---- inputs ---- */

static bool on_probe_result(struct health *health, enum health_input input, uint64_t value,
                            uint64_t now_ms)
{
	bool answered = input == HEALTH_PROBE_OK || input == HEALTH_PROBE_OVERLOADED;

	evidence_probe(health, answered, now_ms);
	switch (input) {
	case HEALTH_PROBE_OK:
		health->probe_us = (int64_t)value;
		return verdict_probe_ok(health, now_ms);
	case HEALTH_PROBE_OVERLOADED:
		evidence_overload(health, value, now_ms);
		return verdict_overloaded(health, HEALTH_REASON_PROBE_503, now_ms);
	case HEALTH_PROBE_REFUSED:
		return verdict_miss(health, HEALTH_REASON_PROBE_REFUSED, now_ms);
	case HEALTH_PROBE_TLS:
		return verdict_miss(health, HEALTH_REASON_PROBE_TLS, now_ms);
	default:
		return verdict_miss(health, HEALTH_REASON_PROBES_LOST, now_ms);
	}
}

bool health_on_input(struct health *health, enum health_input input, uint64_t value,
                     uint64_t now_ms)
{
	switch (input) {
	case HEALTH_PROBE_OK:
	case HEALTH_PROBE_OVERLOADED:
	case HEALTH_PROBE_TIMED_OUT:
	case HEALTH_PROBE_REFUSED:
	case HEALTH_PROBE_TLS:
		return on_probe_result(health, input, value, now_ms);
	case HEALTH_TRAFFIC_ANSWERED: /* only probes bring a target back from DOWN */
		evidence_call_answered(health, 1, now_ms);
		return verdict_call_answered(health, now_ms);
	case HEALTH_TRAFFIC_REFUSED:
		return verdict_refused(health, now_ms);
	case HEALTH_TRAFFIC_RESET:
		evidence_reset(health, now_ms);
		return verdict_miss(health, HEALTH_REASON_TRAFFIC_RESET, now_ms);
	case HEALTH_TRAFFIC_SILENT:
		evidence_silent(health, value, now_ms);
		return verdict_silent(health, now_ms);
	case HEALTH_TRAFFIC_OVERLOADED:
		evidence_call_answered(health, 0, now_ms);
		evidence_busy(health, now_ms);
		return verdict_busy(health, value, now_ms);
	case HEALTH_TRAFFIC_SLOW:
		return verdict_outlier(health, HEALTH_REASON_SLOW, now_ms);
	case HEALTH_TRAFFIC_LOSSY:
		return verdict_outlier(health, HEALTH_REASON_LOSSY, now_ms);
	case HEALTH_TRAFFIC_SOUND:
		return verdict_sound(health, now_ms);
	case HEALTH_OPERATOR_DRAIN:
	case HEALTH_OPERATOR_ENABLE:
		health->drained = input == HEALTH_OPERATOR_DRAIN;
		return health_withhold(health, HEALTH_REASON_OPERATOR, now_ms);
	case HEALTH_REMOVED:
	case HEALTH_NAMED:
		health->removed = input == HEALTH_REMOVED;
		return health_withhold(health, HEALTH_REASON_NAMED, now_ms);
	case HEALTH_INPUTS:
		break;
	}
	ASSERT(input < HEALTH_INPUTS);
	return false;
}

bool health_on_answers(struct health *health, unsigned answered, unsigned busy,
                       uint64_t last_answer_ms, uint64_t now_ms)
{
	unsigned good = answered > busy ? answered - busy : 0;

	if (answered == 0)
		return false;
	evidence_call_answered(health, good, last_answer_ms);
	fade_shares(health, now_ms);
	health->good += good;
	if (good > busy)
		health->busy_run = 0;
	return verdict_call_answered(health, now_ms);
}

/* ---- time ---- */

static bool overload_is_over(struct health *health, uint64_t now_ms)
{
	if (now_ms < health->overloaded_until_ms || health->misses > 0)
		return false; /* a miss: the probe that is on its way decides */
	return health_judge(health, TARGET_UP, HEALTH_REASON_RETRY_AFTER_OVER, now_ms);
}

bool health_on_time(struct health *health, uint64_t now_ms)
{
	if (health->flaps > 0 && health->verdict == TARGET_UP &&
	    now_ms >= health->forgive_ms + FORGIVE_MS) {
		health->flaps--;
		health->forgive_ms = now_ms;
	}
	if (verdict_silent(health, now_ms))
		return true;
	switch (health->verdict) {
	case TARGET_OVERLOADED:
		return overload_is_over(health, now_ms);
	case TARGET_DOWN:
		return health->hits >= health->settings->rise && verdict_return(health, now_ms);
	case TARGET_DEGRADED:
		if (is_on_trial(health) && now_ms >= health->verdict_since_ms + TRIAL_MS)
			return health_judge(health, TARGET_UP, HEALTH_REASON_TRIAL_PASSED, now_ms);
		return false;
	default:
		return false;
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t health_due_ms(const struct health *health)
{
	uint64_t due = earlier(silent_due_ms(health), deaf_due_ms(health));

	if (health->verdict == TARGET_OVERLOADED && health->misses == 0)
		due = earlier(due, health->overloaded_until_ms);
	if (health->verdict == TARGET_DOWN && health->hits >= health->settings->rise)
		due = earlier(due, health->hold_until_ms);
	if (is_on_trial(health))
		due = earlier(due, health->verdict_since_ms + TRIAL_MS);
	if (health->verdict == TARGET_UP && health->flaps > 0)
		due = earlier(due, health->forgive_ms + FORGIVE_MS);
	return due;
}

unsigned health_weight_cut(const struct health *health)
{
	return health->verdict == TARGET_DEGRADED ? HEALTH_DEGRADED_CUT : 0;
}

/* ---- probes ---- */

uint32_t health_begin_probe(struct health *health, uint64_t now_ms, uint32_t random)
{
	uint64_t interval = health->settings->interval_ms;
	uint64_t tenth = interval / 10;

	/* 10 % either way: edges that were started together must not probe together for ever. */
	health->next_probe_ms = now_ms + interval - tenth + random % (2 * tenth + 1);
	health->probe_sent_ms = now_ms;
	return ++health->generation;
}

bool health_probe_is_current(const struct health *health, uint32_t generation)
{
	return health->generation == generation;
}
