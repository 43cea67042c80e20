/*
 * What was tried for requests that needed more than one attempt, the last of them: made on the workers' threads
 * as letters, kept by control, found by Call-ID.
 */
#ifndef BONO_CONTROL_DECISIONS_H
#define BONO_CONTROL_DECISIONS_H

#include "loop/loop.h"
#include "proxy/decision.h"

struct decisions;

/* A site that dies under two thousand requests a second leaves two seconds of them: enough to explain it. */
#define DECISIONS_KEPT 4096
/* Names and Call-IDs are bounded by the configuration and the parser, but not to little. */
#define DECISIONS_KEPT_BYTES (8u << 20)
/* Letters under way: a burst of lost requests must leave the mailbox to the verdicts. */
#define DECISIONS_WAITING_MAX 1024

/* The loop is control's, and outlives the table. */
int decisions_create(struct loop *loop, struct decisions **out);
/* After the workers' end, before the loop's: letters that still wait there are dropped by it. */
void decisions_destroy(struct decisions **decisions);

/* From any thread: a copy goes to the loop; dropped, and counted, when too many wait or memory ends. */
void decisions_tell(struct decisions *decisions, const struct decision *decision);
/* Any thread. */
uint64_t decisions_dropped(const struct decisions *decisions);

/* On the loop: all of this Call-ID, oldest first; lent for the call. */
void decisions_visit(struct decisions *decisions, struct slice call_id,
                     void (*visit)(void *arg, const struct decision *decision), void *arg);

#endif
