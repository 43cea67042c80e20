/*
 * What one worker counts of its targets between two letters to control. Worker thread; the values travel.
 */
#ifndef BONO_UPSTREAM_STATS_H
#define BONO_UPSTREAM_STATS_H

#include <stdbool.h>
#include <stdint.h>

/* Response times are kept in half octaves from 64 us on: enough to tell a median that is twice another. */
#define TARGET_STATS_STEPS 32

enum traffic_failure {
	TRAFFIC_REFUSED,
	TRAFFIC_RESET,
	TRAFFIC_SILENT,     /* no first answer in time */
	TRAFFIC_OVERLOADED, /* 503 */
	TRAFFIC_FAILURES
};

struct target_stats { /* a value */
	uint32_t id;
	uint32_t sent;     /* requests, each attempt once */
	uint32_t answered; /* of them, those that got a first answer, whatever it said */
	uint32_t failed[TRAFFIC_FAILURES];  /* a 503 was answered and failed */
	uint64_t response_us;               /* sum over the answered: sent to first answer */
	uint64_t last_answer_ms;            /* loop_now_ms of the last one, 0: none */
	uint32_t steps[TARGET_STATS_STEPS]; /* how many answers took this long */
};

struct traffic_stats; /* one worker's accumulator */

int traffic_stats_create(struct traffic_stats **out);
void traffic_stats_destroy(struct traffic_stats **stats);

/* Ids as in the view; others are ignored. Never fail: a target for which there is no memory is not counted. */
void traffic_stats_sent(struct traffic_stats *stats, uint32_t id);
/* The first answer of any kind to a request, once for each request: us after it was sent. */
void traffic_stats_answered(struct traffic_stats *stats, uint32_t id, uint64_t us, uint64_t now_ms);
void traffic_stats_failed(struct traffic_stats *stats, uint32_t id, enum traffic_failure kind);
/* Move what was counted since the last taking into out, at most max targets; how many. Take until it is less than max. */
unsigned traffic_stats_take(struct traffic_stats *stats, struct target_stats *out, unsigned max);

/* The step of a response time, and the time in the middle of a step. */
unsigned target_stats_step(uint64_t us);
uint64_t target_stats_step_us(unsigned step);

#endif
