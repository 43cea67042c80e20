/*
 * The flows of one worker: found by hop, by token, by identity. RFC 5626 5. Worker thread only.
 */
#ifndef BONO_FLOW_FLOW_TABLE_H
#define BONO_FLOW_FLOW_TABLE_H

#include "flow/flow.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "sip/flow_token.h"
#include "transport/transport.h"

struct flow_table;

struct flow_table_settings {
	uint8_t worker;
	uint32_t node;  /* flow_token_node_id */
	uint32_t epoch; /* start of the process, seconds */
	unsigned workers;
	size_t limit; /* flows of this worker, and as many bindings over all of them */
	/* A UDP flow without a binding ends after this silence. A stream's flow ends with its connection,
	 * whose idleness is transport's to judge. */
	uint64_t unregistered_ms;
};

/* An outbound binding (AoR, instance and reg-id, as one keyed hash) is on a flow of this worker now. A value that
 * workers post each other, so that a client leaves no flow behind at the one it came to before. */
struct flow_move {
	uint64_t key;
	uint64_t
		learnt_us; /* loop time: all loops have the same clock. The latest is where the client is */
	uint8_t worker;
};

/* Told from inside flow_learn, flow_table_close, flow_table_hop_lost and from timers; the callee calls neither
 * flow_learn nor flow_table_close from here. */
struct flow_table_events {
	/* It became registered, or (stream) lost its last binding: flow_state tells. Not told on closing. */
	void (*on_flow_state)(void *arg, struct flow *flow);
	/* The flow has left the table; good during the call only. Its bindings have gone before. A connection
	 * whose flow was replaced still lives: the callee closes it. */
	void (*on_flow_closed)(void *arg, struct flow *flow, enum flow_close reason);
	/* Before on_flow_closed, if the flow ends by FLOW_CLOSE_CONNECTION or FLOW_CLOSE_SILENT: each of its bindings,
	 * of which the core does not know yet that nothing leads there. NULL: nobody asks. */
	void (*on_binding_lost)(void *arg, struct flow *flow, const struct binding *binding);
	/* A client that this worker did not hold came here: all other workers shall be told (flow_table_moved).
	 * NULL: there are none. */
	void (*on_moved_here)(void *arg, const struct flow_move *move);
};

int flow_table_create(struct loop *loop, const struct flow_table_settings *settings,
                      struct metrics *metrics, const struct flow_table_events *events, void *arg,
                      struct flow_table **out);
/* All flows end with FLOW_CLOSE_SHUTDOWN, counted, without telling. */
void flow_table_destroy(struct flow_table **table);

/* Results are the table's, good until this loop turn ends. */
struct flow *flow_table_find_by_hop(struct flow_table *table, const struct hop *hop);
struct flow *flow_table_find(struct flow_table *table, uint64_t id);

enum flow_lookup {
	FLOW_HERE,      /* *flow */
	FLOW_ELSEWHERE, /* another worker of this process owns it: *elsewhere */
	FLOW_GONE,   /* ended, of an earlier life, of more workers than now, of another node: 430 */
	FLOW_FORGED, /* 403 */
	FLOW_NO_TOKEN, /* not of our form: an ordinary user part */
};
struct flow_elsewhere {
	uint8_t worker;
	uint64_t
		key; /* the flow is gone and its client went there: to be found by flow_table_find_key; else 0 */
};
/* What a user part of a Route names. A flow that was replaced, fell silent or whose connection broke is followed to
 * the flow that holds the same AoR, instance and reg-id now, here or elsewhere, until the old binding would have
 * lapsed. Of those ended flows a quarter of `limit` is remembered, the oldest forgotten first. */
enum flow_lookup flow_table_find_by_token(struct flow_table *table, struct slice token,
                                          struct flow **flow, struct flow_elsewhere *elsewhere);
/* The flow of this worker where the client of a flow_elsewhere.key is now; NULL: none (any more). */
struct flow *flow_table_find_key(struct flow_table *table, uint64_t key);
/* Another worker's on_moved_here: its client has left us, RFC 5626 5.3. If we know of a later move, that worker is
 * told again. */
void flow_table_moved(struct flow_table *table, const struct flow_move *move);

/* The flow of this hop, or a new, unregistered one. -ENOBUFS at the limit. */
int flow_table_obtain(struct flow_table *table, const struct hop *hop, struct flow **out);
/* A keep-alive came by this hop: if there is a registered flow, it is touched. */
void flow_table_keepalive(struct flow_table *table, const struct hop *hop);
/* A connection has closed: its flow ends. */
void flow_table_hop_lost(struct flow_table *table, const struct hop *hop, enum flow_close reason);
void flow_table_close(struct flow_table *table, struct flow *flow, enum flow_close reason);

size_t flow_table_count(const struct flow_table *table, enum sip_transport transport);
size_t flow_table_registrations(const struct flow_table *table); /* bindings, all flows */
/* Visit at most `count` (> 0) flows younger than the flow `after` (an id, alive or not; 0: from the oldest), the
 * oldest first, until visit returns false; it may close the one it was given, no other. What to go on after, or 0:
 * all have been visited, or visit returned false. 1000 at a time hold up the loop for less than a millisecond. */
uint64_t flow_table_visit_some(struct flow_table *table, uint64_t after, unsigned count,
                               bool (*visit)(struct flow *flow, void *arg), void *arg);

#endif
