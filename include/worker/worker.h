/*
 * One worker: a loop with its transport, flows, transactions, probes and proxy, built in that order.
 * Created and connected on the main thread before any loop runs; afterwards reached by letters only.
 */
#ifndef BONO_WORKER_WORKER_H
#define BONO_WORKER_WORKER_H

#include "base/buffer.h"
#include "metrics/metrics.h"
#include "proxy/proxy.h"
#include "transport/transport.h"
#include "upstream/health.h"
#include "upstream/view.h"

struct worker;

/* The same for all workers, lent for their life. */
struct worker_settings {
	struct transport_settings transport;
	struct tls_book *tls;                 /* lent to worker_create; NULL: none */
	struct proxy_settings proxy;          /* .worker is set by each */
	uint32_t node, epoch;                 /* of the flow tokens */
	size_t flow_limit, transaction_limit; /* of one worker */
	uint64_t unregistered_ms;
	const char *probe_host; /* host of the From of our probes */
};

/* What a worker tells control, called on the worker's thread: post a letter and return. */
struct worker_reports {
	void (*on_probe_result)(void *arg, uint32_t target_id, uint32_t generation,
	                        enum health_input result, uint64_t round_trip_us);
	void (*on_traffic)(void *arg, uint32_t target_id, enum health_input input, uint64_t value);
	/* What was counted of some targets in the last quarter of a second; lent during the call. */
	void (*on_stats)(void *arg, const struct target_stats *stats, unsigned count);
	/* A request needed more than one attempt, or was lost; lent during the call. NULL: nobody asks. */
	void (*on_decision)(void *arg, const struct decision *decision);
	/* A request has its final answer, for billing; lent during the call. NULL: nobody asks. */
	void (*on_charge)(void *arg, const struct charge *charge);
	/* The graceful stop has come to its end here: nothing is owed any more, or the time is over. The
	 * worker goes on serving the others until it is told to leave. */
	void (*on_idle)(void *arg, uint8_t worker);
	void *arg;
};

/* Binds this worker's sockets. Workers are created in order of their index. */
int worker_create(const struct worker_settings *settings, uint8_t index,
                  struct metrics_registry *registry, const struct worker_reports *reports,
                  struct worker **out);
/* Tell everyone where the others live (the array outlives them); then start each. 0 or -ENOMEM. */
int worker_connect(struct worker *const *workers, unsigned count);
int worker_start(struct worker *worker);
struct loop *worker_loop(struct worker *worker);
/* After its loop has been joined. */
void worker_destroy(struct worker **worker);

/* ---- letters, from any thread ---- */

/* Shares the view for the letter. */
int worker_post_view(struct worker *worker, struct view *view);
/* Shares the book for the letter: new connections use it from then on. */
int worker_post_tls(struct worker *worker, struct tls_book *book);
int worker_post_probe(struct worker *worker, uint32_t target_id, uint32_t generation,
                      uint64_t timeout_ms);
/* No new work; on_idle is called when nothing is owed any more, or after limit_ms. */
int worker_post_stop(struct worker *worker, uint64_t limit_ms);
/* Leave the loop once everything posted before this has been dealt with: when all workers are idle, the last
 * answers that one sends by a connection of another have left, too. */
void worker_post_leave(struct worker *worker);

/* Visit the flows on the worker's own thread; then done, there too. identity NULL: all. */
struct worker_flow_visit {
	/* False: enough. */
	bool (*visit)(struct worker_flow_visit *visit, uint8_t worker, struct flow *flow,
	              uint64_t now_ms);
	void (*done)(struct worker_flow_visit *visit);
};
int worker_post_flow_visit(struct worker *worker, struct worker_flow_visit *visit);

#endif
