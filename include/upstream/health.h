/*
 * The verdict on one target: one state machine, pure, driven by control with the time passed in.
 * Inputs are what probes and traffic saw, what DNS and what the operator say; every transition has a named reason.
 *
 *   lost to probes    after `fall` misses in a row, the second probe HEALTH_REPROBE_MS after the first miss;
 *   lost to traffic   at once when nobody listens; after `fall` silent requests with no sign of life since they
 *                     were sent, once a probe that left with the first of them had time to be answered;
 *   one way           probes answered, but HEALTH_DEAF_REQUESTS requests in a row not: DOWN, and back only on trial;
 *   overloaded        by a 503 to a probe, or by HEALTH_BUSY_LEAST 503s to requests that are at least half of all
 *                     answers (so that no client ejects a target by provoking some): for the Retry-After or two
 *                     intervals, and no probe lifts it early;
 *   degraded          slower or less sound than the others of its site: it keeps a small share, which is what
 *                     shows that it recovered;
 *   won by probes     after `rise` answers in a row (the very first answer of all counts at once).
 *
 * Flap damping. Every loss of a target that served costs it a longer absence the next time: 0 (`rise` alone), then
 * 10, 20, 40, 80, 160, 300 s (of a 503 no more than 60 s, or its Retry-After); five minutes of service without
 * interruption forgive one step. So, whatever it does, a target leaves service at most 7 times in any ten minutes
 * (14 if by 503s), and no more than twice in each ten minutes in the long run. No absence lasts longer than
 * 300 s beyond what `rise` demands.
 */
#ifndef BONO_UPSTREAM_HEALTH_H
#define BONO_UPSTREAM_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "upstream/view.h"

enum health_input {
	HEALTH_PROBE_OK,         /* any final answer but 503 */
	HEALTH_PROBE_OVERLOADED, /* 503 to a probe; value: Retry-After in ms, 0 none */
	HEALTH_PROBE_TIMED_OUT,
	HEALTH_PROBE_REFUSED, /* connection refused, reset, ICMP, no route */
	HEALTH_PROBE_TLS, /* TLS failed: who answers there is not believed, or does not believe us */
	HEALTH_TRAFFIC_ANSWERED, /* a request had its first answer */
	HEALTH_TRAFFIC_REFUSED,  /* refused or unreachable: nobody listens */
	HEALTH_TRAFFIC_RESET,    /* an open connection broke */
	/* No first answer in time, or timed out; value: when it was sent (ms), 0 not known. */
	HEALTH_TRAFFIC_SILENT,
	HEALTH_TRAFFIC_OVERLOADED, /* 503; value: Retry-After in ms, 0 none */
	HEALTH_TRAFFIC_SLOW,       /* control finds it much slower than the others of its site, */
	HEALTH_TRAFFIC_LOSSY,      /* or that it fails much more of its requests, */
	HEALTH_TRAFFIC_SOUND,      /* or no longer */
	HEALTH_OPERATOR_DRAIN,
	HEALTH_OPERATOR_ENABLE,
	HEALTH_REMOVED, /* configuration or DNS no longer name it */
	HEALTH_NAMED,   /* they do again */
	HEALTH_INPUTS
};

enum health_reason {
	HEALTH_REASON_NONE,
	HEALTH_REASON_START,
	HEALTH_REASON_PROBES_ANSWERED,
	HEALTH_REASON_PROBES_LOST,
	HEALTH_REASON_PROBE_REFUSED,
	HEALTH_REASON_PROBE_TLS,
	HEALTH_REASON_PROBE_503,
	HEALTH_REASON_TRAFFIC_REFUSED,
	HEALTH_REASON_TRAFFIC_RESET,
	HEALTH_REASON_TRAFFIC_SILENT,
	HEALTH_REASON_TRAFFIC_503,
	HEALTH_REASON_RETRY_AFTER_OVER,
	HEALTH_REASON_OPERATOR,
	HEALTH_REASON_ONE_WAY,
	HEALTH_REASON_TRIAL,
	HEALTH_REASON_TRIAL_PASSED,
	HEALTH_REASON_SLOW,
	HEALTH_REASON_LOSSY,
	HEALTH_REASON_SOUND,
	HEALTH_REASON_REMOVED,
	HEALTH_REASON_NAMED,
	HEALTH_REASONS
};
const char *health_reason_name(enum health_reason reason);  /* "probes_lost": metrics label */
const char *health_reason_words(enum health_reason reason); /* "probes lost" */

/* After a miss the next probe comes this soon, and after an answer of one that is DOWN: one lost datagram is told
 * from a dead target, and a target is won back, within a second and a half, and no storm results. */
#define HEALTH_REPROBE_MS 500
/* Silent requests in a row, while probes are answered, that make a target deaf; and for how long at least. The callee
 * of a request may be slow (a MESSAGE has no 100): a handful of them proves nothing about the target. */
#define HEALTH_DEAF_REQUESTS 10
#define HEALTH_DEAF_MS 1000
#define HEALTH_BUSY_LEAST 3
/* Permille of its weight that a DEGRADED target does without: what remains is enough to see it recover. */
#define HEALTH_DEGRADED_CUT 980

struct health_settings {
	uint64_t interval_ms, timeout_ms;
	unsigned fall, rise;
};

struct health {
	const struct health_settings *settings;
	enum target_state state; /* as seen: DRAINING hides the verdict */
	enum target_state verdict;
	enum health_reason reason, verdict_reason;
	uint64_t since_ms;         /* when the state began */
	uint64_t verdict_since_ms; /* when the verdict did */
	uint64_t transitions;
	bool drained, removed; /* withheld by the operator, by DNS */

	/* Probes. */
	uint64_t window; /* the last 64 probes, newest in bit 0, 1: answered */
	unsigned window_length;
	unsigned misses, hits;  /* probes lost without a sign of life, answered in a row */
	uint64_t hits_since_ms; /* the first of the hits */
	int64_t probe_us;       /* round trip of the last answered probe, -1 */
	uint32_t generation;    /* the probe whose answer counts next */
	uint64_t probe_sent_ms, next_probe_ms;

	/* Traffic. */
	uint64_t last_answer_ms; /* any sign of life, 0: never */
	uint64_t call_answer_ms; /* the last answer to a request */
	unsigned silent; /* requests sent since the last sign of life, and not answered in time */
	uint64_t silent_since_ms; /* when the first of them was told */
	uint64_t silent_sent_ms;  /* when it was sent, 0: not known */
	unsigned deaf;            /* the same since the last answer to a request */
	uint64_t deaf_since_ms;
	unsigned busy_run;       /* 503s with few other answers between them */
	uint64_t busy_ms;        /* the last of them */
	double busy, good;       /* 503s and other answers of the last second or so */
	uint64_t share_ms;       /* when these were brought up to date */
	unsigned trial_answered; /* since DEGRADED began */

	/* Absence. */
	uint64_t overloaded_until_ms;
	uint64_t hold_until_ms; /* not UP before, by damping */
	unsigned flaps;         /* steps of damping */
	uint64_t forgive_ms;    /* when one is forgiven, counted from the last loss or forgiving */
	bool one_way;           /* lost while its probes were answered: comes back on trial */
};

void health_init(struct health *health, const struct health_settings *settings, uint64_t now_ms,
                 uint64_t jitter);
/* Take one input. True if the state changed. value: round trip in us (PROBE_OK), else as said above. */
bool health_on_input(struct health *health, enum health_input input, uint64_t value,
                     uint64_t now_ms);
/* Statistics of a worker: so many requests got an answer, so many of these a 503, the last one then. True if the state changed. */
bool health_on_answers(struct health *health, unsigned answered, unsigned busy,
                       uint64_t last_answer_ms, uint64_t now_ms);
/* Time passes. True if the state changed. */
bool health_on_time(struct health *health, uint64_t now_ms);
/* When time alone may change something, UINT64_MAX: never. Probes apart. */
uint64_t health_due_ms(const struct health *health);
/* Permille of its weight that the target does without. */
unsigned health_weight_cut(const struct health *health);
/* A probe leaves: its generation. random: jitter source. Schedules next_probe_ms. */
uint32_t health_begin_probe(struct health *health, uint64_t now_ms, uint32_t random);
/* May its answer still count? (A late answer to an old probe revives nobody.) */
bool health_probe_is_current(const struct health *health, uint32_t generation);

#endif
