/* What the files of the worker tell each other. */
#ifndef BONO_WORKER_INTERNAL_H
#define BONO_WORKER_INTERNAL_H

#include <stdatomic.h>

#include "upstream/probe.h"
#include "worker/worker.h"

/* Clients that came to this worker, told to the others in one letter: a turn learns seldom more. */
#define MOVES_PER_LETTER 32

struct worker {
	uint8_t index;
	const struct worker_settings *settings;
	struct proxy_settings proxy_settings;
	struct worker_reports reports;
	struct loop *loop;
	struct metrics *metrics;
	struct transport *transport;
	struct txn_table *txns;
	struct flow_table *flows;
	struct probes *probes;
	struct proxy *proxy;
	struct branch_source branches;
	struct worker *const *siblings;        /* index = worker */
	struct transport **sibling_transports; /* owned; the same order, lent to our transport */
	unsigned sibling_count;
	atomic_size_t passed_bytes;               /* written by the others too */
	struct flow_move moves[MOVES_PER_LETTER]; /* clients that came here in this turn */
	unsigned move_count;
	struct timer moves_soon;
	struct timer lag_look;
	struct timer stop_look;
	struct timer stats_look;
	uint64_t stop_at_ms; /* UINT64_MAX: not stopping */
};

/* ---- passing.c ---- */

void worker_passing_init(struct worker *worker);
/* A way of the proxy: what finds no room is lost like a datagram, and counted. */
void worker_pass_packet(void *arg, uint8_t to, const struct packet *packet, uint64_t moved_key);
/* An event of the flows: all other workers hear of it at the end of the turn. */
void worker_tell_move(void *arg, const struct flow_move *move);

#endif
