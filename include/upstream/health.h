/*
 * The verdict on one target: one state machine, pure, driven by control with the time passed in.
 * Inputs are what probes and traffic saw and what the operator says; every transition has a named reason.
 */
#ifndef BONO_UPSTREAM_HEALTH_H
#define BONO_UPSTREAM_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "upstream/view.h"

enum health_input {
	HEALTH_PROBE_OK,         /* any final answer but 503 */
	HEALTH_PROBE_OVERLOADED, /* 503 to a probe */
	HEALTH_PROBE_TIMED_OUT,
	HEALTH_PROBE_REFUSED, /* connection refused, reset, ICMP, no route */
	HEALTH_TRAFFIC_ANSWERED,
	HEALTH_TRAFFIC_REFUSED,    /* refused or unreachable: nobody listens */
	HEALTH_TRAFFIC_RESET,      /* an open connection broke */
	HEALTH_TRAFFIC_SILENT,     /* no first answer in time, or timed out */
	HEALTH_TRAFFIC_OVERLOADED, /* 503; value: Retry-After in ms, 0 none */
	HEALTH_OPERATOR_DRAIN,
	HEALTH_OPERATOR_ENABLE,
	HEALTH_INPUTS
};

enum health_reason {
	HEALTH_REASON_NONE,
	HEALTH_REASON_START,
	HEALTH_REASON_PROBES_ANSWERED,
	HEALTH_REASON_PROBES_LOST,
	HEALTH_REASON_PROBE_REFUSED,
	HEALTH_REASON_PROBE_503,
	HEALTH_REASON_TRAFFIC_REFUSED,
	HEALTH_REASON_TRAFFIC_RESET,
	HEALTH_REASON_TRAFFIC_SILENT,
	HEALTH_REASON_TRAFFIC_503,
	HEALTH_REASON_RETRY_AFTER_OVER,
	HEALTH_REASON_OPERATOR,
	HEALTH_REASONS
};
const char *health_reason_name(enum health_reason reason);  /* "probes_lost": metrics label */
const char *health_reason_words(enum health_reason reason); /* "probes lost" */

struct health_settings {
	uint64_t interval_ms, timeout_ms;
	unsigned fall, rise;
};

struct health {
	const struct health_settings *settings;
	enum target_state state;
	enum health_reason reason;
	uint64_t since_ms; /* when the state began */
	uint64_t window;   /* the last 64 probes, newest in bit 0, 1: answered */
	unsigned window_length;
	unsigned misses, hits;   /* probes lost / answered in a row */
	unsigned silent;         /* requests without a first answer since the last sign of life */
	uint64_t last_answer_ms; /* 0: never */
	uint64_t overloaded_until_ms;
	int64_t probe_us;    /* round trip of the last answered probe, -1 */
	uint32_t generation; /* the probe whose answer counts next */
	uint64_t next_probe_ms;
	uint64_t transitions;
	bool drained; /* the operator's word */
};

void health_init(struct health *health, const struct health_settings *settings, uint64_t now_ms,
                 uint64_t jitter);
/* Take one input. True if the state changed. value: round trip in us (PROBE_OK), Retry-After in ms (503). */
bool health_on_input(struct health *health, enum health_input input, uint64_t value,
                     uint64_t now_ms);
/* Time passes (Retry-After over). True if the state changed. */
bool health_on_time(struct health *health, uint64_t now_ms);
/* A probe leaves: its generation. random: jitter source. Schedules next_probe_ms. */
uint32_t health_begin_probe(struct health *health, uint64_t now_ms, uint32_t random);
/* May its answer still count? (A late answer to an old probe revives nobody.) */
bool health_probe_is_current(const struct health *health, uint32_t generation);

#endif
