/*
 * A decision: what the proxy tried for one request that needed more than one attempt, or was lost. A value,
 * made on a worker's thread; who keeps it copies what it lends.
 */
#ifndef BONO_PROXY_DECISION_H
#define BONO_PROXY_DECISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "sip/message.h"

/* More targets than two sites commonly have; further attempts are only counted. */
#define DECISION_ATTEMPTS_MAX 16

enum decision_end {
	DECISION_REFUSED,    /* nobody listens there, or no way leads there */
	DECISION_RESET,      /* the connection broke */
	DECISION_SILENT,     /* no first answer in time, so the next one was asked */
	DECISION_TIMED_OUT,  /* the transaction's own end */
	DECISION_NOT_SENT,   /* for a reason of our own */
	DECISION_UNANSWERED, /* was still being asked when the request was answered */
	DECISION_ANSWERED,   /* status says what */
	DECISION_ENDS
};
const char *decision_end_name(enum decision_end end); /* "timed_out" */

struct decision_attempt {
	const char *site, *target; /* lent; empty: not a target of a site, or one that has left */
	enum decision_end end;
	int status;  /* DECISION_ANSWERED */
	uint32_t ms; /* from the attempt's begin to that */
};

struct decision {
	struct slice call_id; /* lent */
	enum sip_method method;
	uint64_t wall_ms;  /* when the request came */
	uint32_t ms;       /* from then to its final answer */
	int status;        /* which the client got */
	bool lost;         /* we gave that answer because nobody else did */
	unsigned attempts; /* as many as there were, told or not */
	unsigned attempt_count;
	struct decision_attempt attempt[DECISION_ATTEMPTS_MAX];
};

/* For the log: "request CALLID: INVITE, site-a/sprout-2 refused after 1 ms, site-b/sprout-1 answered 200
 * after 12 ms". Cut where size ends. */
void decision_format(const struct decision *decision, char *text, size_t size);

#endif
