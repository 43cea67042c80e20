/*
 * A worker: the layers below put together, and the letters that reach it. Every function but the posting ones
 * runs on the worker's own thread, or before that thread exists.
 */
#include "worker/worker.h"

#include <stdio.h>

#include "base/error.h"
#include "base/memory.h"
#include "worker_internal.h"

/* A visit of all flows for the operator lets calls pass between: half a millisecond each time. */
#define FLOWS_VISITED_A_TURN 1000
/* How often a stopping worker looks whether anything is still owed. */
#define STOP_LOOK_MS 20
/* How often control hears what was counted of the targets, and of how many at once. */
#define STATS_MS 250
#define STATS_PER_LETTER 32
/* How often the loop's lag, which is told by the second, is counted. */
#define LAG_LOOK_MS 1000

/* ---- transport -> proxy, flows, transactions ---- */

static void on_packet(void *arg, const struct packet *packet, bool framing_fault)
{
	struct worker *worker = arg;

	proxy_on_packet(worker->proxy, packet, framing_fault);
}

static int errno_of(enum close_reason reason)
{
	switch (reason) {
	case CLOSE_REFUSED:
		return ECONNREFUSED;
	case CLOSE_UNREACHABLE:
		return EHOSTUNREACH;
	case CLOSE_CONNECT_TIMEOUT:
		return ETIMEDOUT;
	case CLOSE_TLS:
		return EPROTO;
	default:
		return ECONNRESET;
	}
}

static void on_connection_closed(void *arg, const struct hop *hop, enum close_reason reason)
{
	struct worker *worker = arg;

	txn_table_hop_lost(worker->txns, hop, errno_of(reason));
	if (hop->side == SIDE_ACCESS)
		flow_table_hop_lost(worker->flows, hop, FLOW_CLOSE_CONNECTION);
}

static void on_unreachable(void *arg, const struct address *peer, int error)
{
	struct worker *worker = arg;
	struct hop hop = {
		.worker = worker->index,
		.transport = TRANSPORT_UDP,
		.side = SIDE_CORE,
		.own_socket = 1,
		.remote = *peer,
	};

	txn_table_hop_lost(worker->txns, &hop, error);
}

static void on_keepalive(void *arg, const struct hop *hop)
{
	if (hop->side == SIDE_ACCESS)
		flow_table_keepalive(((struct worker *)arg)->flows, hop);
}

static const struct transport_events transport_events = {
	.on_packet = on_packet,
	.on_connection_closed = on_connection_closed,
	.on_unreachable = on_unreachable,
	.on_keepalive = on_keepalive,
};

/* ---- flows -> transport ---- */

static void on_flow_state(void *arg, struct flow *flow)
{
	struct worker *worker = arg;

	if (flow_state(flow) == FLOW_REGISTERED)
		transport_pin(worker->transport, flow_hop(flow));
	else
		transport_unpin(worker->transport, flow_hop(flow));
}

/* RFC 5626 5.3: the client has come back over another flow; nobody hears the old connection any more. */
static void on_flow_closed(void *arg, struct flow *flow, enum flow_close reason)
{
	struct worker *worker = arg;
	const struct hop *hop = flow_hop(flow);

	if ((reason == FLOW_CLOSE_REPLACED || reason == FLOW_CLOSE_SILENT) &&
	    transport_is_stream(hop->transport))
		transport_close(worker->transport, hop, CLOSE_LOCAL);
}

static void on_binding_lost(void *arg, struct flow *flow, const struct binding *binding)
{
	proxy_on_binding_lost(((struct worker *)arg)->proxy, flow, binding);
}

static const struct flow_table_events flow_events = {
	.on_flow_state = on_flow_state,
	.on_flow_closed = on_flow_closed,
	.on_binding_lost = on_binding_lost,
	.on_moved_here = worker_tell_move,
};

/* ---- the proxy's ways ---- */

static int way_send(void *arg, const struct hop *hop, struct bytes **bytes)
{
	return transport_send(((struct worker *)arg)->transport, hop, bytes);
}

static int way_open(void *arg, const struct transport_peer *peer, struct hop *out)
{
	return transport_open(((struct worker *)arg)->transport, peer, out);
}

static int way_open_access(void *arg, const struct transport_peer *peer, struct hop *out)
{
	return transport_open_access(((struct worker *)arg)->transport, peer, out);
}

static const char *way_sent_by(void *arg, const struct hop *hop)
{
	return transport_sent_by(((struct worker *)arg)->transport, hop);
}

static void way_report(void *arg, uint32_t target_id, enum health_input input, uint64_t value)
{
	struct worker *worker = arg;

	worker->reports.on_traffic(worker->reports.arg, target_id, input, value);
}

static void way_decided(void *arg, const struct decision *decision)
{
	struct worker *worker = arg;

	if (worker->reports.on_decision != NULL)
		worker->reports.on_decision(worker->reports.arg, decision);
}

static void way_charge(void *arg, const struct charge *charge)
{
	struct worker *worker = arg;

	if (worker->reports.on_charge != NULL)
		worker->reports.on_charge(worker->reports.arg, charge);
}

static bool way_is_ready(void *arg)
{
	return ((struct worker *)arg)->stop_at_ms == UINT64_MAX;
}

static void drop_letter(struct letter *letter)
{
	memory_free(letter);
}

/* ---- probes ---- */

/* Toward a site behind a NAT our Via names what that site can reach, as with requests (sites.X.advertise). */
static const char *probe_sent_by(void *arg, const struct hop *hop)
{
	struct worker *worker = arg;
	const struct view *view = proxy_view(worker->proxy);
	const struct view_target *target =
		view != NULL ? view_find_address(view, &hop->remote, hop->transport) : NULL;

	if (target != NULL && view->sites[target->site].advertise != NULL)
		return view->sites[target->site].advertise;
	return transport_sent_by(worker->transport, hop);
}

static void on_probe_done(void *arg, uint32_t target_id, uint32_t generation,
                          enum health_input result, uint64_t round_trip_us)
{
	struct worker *worker = arg;

	worker->reports.on_probe_result(worker->reports.arg, target_id, generation, result,
	                                round_trip_us);
}

/* ---- statistics of targets ---- */

static void tell_stats(struct timer *timer, void *arg)
{
	struct worker *worker = arg;
	struct target_stats stats[STATS_PER_LETTER];
	unsigned count;

	do {
		count = proxy_take_stats(worker->proxy, stats, STATS_PER_LETTER);
		if (count > 0)
			worker->reports.on_stats(worker->reports.arg, stats, count);
	} while (count == STATS_PER_LETTER);
	timer_start(loop_timers(worker->loop), timer, STATS_MS);
}

/* ---- building ---- */

static int build_tables(struct worker *worker)
{
	const struct worker_settings *settings = worker->settings;
	struct txn_sender sender = {way_send, worker};
	struct flow_table_settings flows = {
		.worker = worker->index,
		.node = settings->node,
		.epoch = settings->epoch,
		.workers = settings->transport.workers,
		.limit = settings->flow_limit,
		.unregistered_ms = settings->unregistered_ms,
	};
	int err;

	err = txn_table_create(worker->loop, &sender, settings->transaction_limit, worker->metrics,
	                       &worker->txns);
	if (err != 0)
		return err;
	return flow_table_create(worker->loop, &flows, worker->metrics, &flow_events, worker,
	                         &worker->flows);
}

static int build_proxy(struct worker *worker)
{
	const struct worker_settings *settings = worker->settings;
	struct probe_ways probe_ways = {way_open, probe_sent_by, worker};
	struct proxy_ways ways = {
		.send = way_send,
		.open = way_open,
		.open_access = way_open_access,
		.sent_by = way_sent_by,
		.pass_packet = worker_pass_packet,
		.report = way_report,
		.decided = way_decided,
		.charge = way_charge,
		.is_ready = way_is_ready,
		.arg = worker,
	};
	int err;

	worker->proxy_settings = settings->proxy;
	worker->proxy_settings.worker = worker->index;
	worker->proxy_settings.epoch = settings->epoch;
	err = probes_create(worker->loop, worker->txns, &probe_ways, &worker->branches,
	                    settings->probe_host, on_probe_done, worker, &worker->probes);
	if (err != 0)
		return err;
	return proxy_create(worker->loop, &worker->proxy_settings, &ways, worker->flows,
	                    worker->txns, &worker->branches, worker->metrics, &worker->proxy);
}

static void look_whether_done(struct timer *timer, void *arg);

static void look_at_lag(struct timer *timer, void *arg)
{
	struct worker *worker = arg;

	metrics_set(worker->metrics, METRIC_LOOP_LAG_SECONDS, 0, 0, 0,
	            (int64_t)loop_lag_us(worker->loop));
	timer_start(loop_timers(worker->loop), timer, LAG_LOOK_MS);
}

int worker_create(const struct worker_settings *settings, uint8_t index,
                  struct metrics_registry *registry, const struct worker_reports *reports,
                  struct worker **out)
{
	struct worker *worker = memory_zalloc(sizeof(*worker));
	char name[16];
	int err;

	if (worker == NULL)
		return -ENOMEM;
	worker->index = index;
	worker->settings = settings;
	worker->reports = *reports;
	worker->stop_at_ms = UINT64_MAX;
	timer_init(&worker->stop_look, look_whether_done, worker);
	timer_init(&worker->stats_look, tell_stats, worker);
	worker_passing_init(worker);
	timer_init(&worker->lag_look, look_at_lag, worker);
	branch_source_init(&worker->branches, index);
	snprintf(name, sizeof(name), "worker-%u", index);
	err = loop_create(name, &worker->loop);
	if (err == 0)
		err = metrics_create(registry, name, &worker->metrics);
	if (err == 0)
		err = transport_create(worker->loop, index, &settings->transport, worker->metrics,
		                       &transport_events, worker, &worker->transport);
	if (err == 0)
		transport_set_tls(worker->transport, settings->tls);
	if (err == 0)
		err = build_tables(worker);
	if (err == 0)
		err = build_proxy(worker);
	if (err != 0)
		goto out;
	look_at_lag(&worker->lag_look, worker);
	tell_stats(&worker->stats_look, worker);
	*out = worker;
	worker = NULL;
out:
	worker_destroy(&worker);
	return err;
}

void worker_destroy(struct worker **out)
{
	struct worker *worker = *out;

	if (worker == NULL)
		return;
	proxy_destroy(&worker->proxy);
	probes_destroy(&worker->probes);
	txn_table_destroy(&worker->txns);
	flow_table_destroy(&worker->flows);
	transport_destroy(&worker->transport);
	loop_destroy(&worker->loop);
	memory_free(worker->sibling_transports);
	memory_free(worker);
	*out = NULL;
}

int worker_connect(struct worker *const *workers, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct worker *worker = workers[i];

		worker->sibling_transports = memory_alloc(count * sizeof(struct transport *));
		if (worker->sibling_transports == NULL)
			return -ENOMEM;
		for (unsigned j = 0; j < count; j++)
			worker->sibling_transports[j] = workers[j]->transport;
		transport_set_siblings(worker->transport, worker->sibling_transports);
		worker->siblings = workers;
		worker->sibling_count = count;
	}
	return 0;
}

int worker_start(struct worker *worker)
{
	return loop_start(worker->loop);
}

struct loop *worker_loop(struct worker *worker)
{
	return worker->loop;
}

/* ---- letters ---- */

/* A value that control publishes: a share of it goes with the letter. */
struct value_letter {
	struct letter letter;
	struct snapshot *snapshot; /* of the value */
	void *value;
	void (*take)(struct worker *worker, void *value);
};

static void drop_value(struct letter *letter)
{
	struct value_letter *posted = CONTAINER_OF(letter, struct value_letter, letter);

	snapshot_release(posted->snapshot);
	memory_free(posted);
}

static void deliver_value(struct letter *letter, void *arg)
{
	struct value_letter *posted = CONTAINER_OF(letter, struct value_letter, letter);

	posted->take(arg, posted->value);
	drop_value(letter);
}

static int post_value(struct worker *worker, struct snapshot *snapshot, void *value,
                      void (*take)(struct worker *worker, void *value))
{
	struct value_letter *posted = memory_alloc(sizeof(*posted));

	if (posted == NULL)
		return -ENOMEM;
	*posted = (struct value_letter){
		.letter = {.deliver = deliver_value, .drop = drop_value, .arg = worker},
		.snapshot = snapshot,
		.value = value,
		.take = take,
	};
	snapshot_share(snapshot);
	loop_post_always(worker->loop, &posted->letter);
	return 0;
}

static void take_view(struct worker *worker, void *view)
{
	proxy_set_view(worker->proxy, view);
}

int worker_post_view(struct worker *worker, struct view *view)
{
	return post_value(worker, &view->snapshot, view, take_view);
}

static void take_tls(struct worker *worker, void *book)
{
	transport_set_tls(worker->transport, book);
}

int worker_post_tls(struct worker *worker, struct tls_book *book)
{
	return post_value(worker, tls_book_snapshot(book), book, take_tls);
}

struct probe_letter {
	struct letter letter;
	uint32_t target_id, generation;
	uint64_t timeout_ms;
};

static void deliver_probe(struct letter *letter, void *arg)
{
	struct probe_letter *posted = CONTAINER_OF(letter, struct probe_letter, letter);
	struct worker *worker = arg;
	const struct view *view = proxy_view(worker->proxy);
	const struct view_target *target =
		view != NULL ? view_find_id(view, posted->target_id) : NULL;

	if (target != NULL) /* else it has left the view: control does not wait for it any more */
		probe_send(worker->probes, target, posted->generation, posted->timeout_ms);
	memory_free(posted);
}

int worker_post_probe(struct worker *worker, uint32_t target_id, uint32_t generation,
                      uint64_t timeout_ms)
{
	struct probe_letter *letter = memory_alloc(sizeof(*letter));

	if (letter == NULL)
		return -ENOMEM;
	letter->letter =
		(struct letter){.deliver = deliver_probe, .drop = drop_letter, .arg = worker};
	letter->target_id = target_id;
	letter->generation = generation;
	letter->timeout_ms = timeout_ms;
	loop_post_always(worker->loop, &letter->letter);
	return 0;
}

struct stop_letter {
	struct letter letter;
	uint64_t limit_ms;
};

/* The loop turns on: answers of other workers may have to leave by connections of this one. */
static void look_whether_done(struct timer *timer, void *arg)
{
	struct worker *worker = arg;

	if (proxy_busy(worker->proxy) == 0 || loop_now_ms(worker->loop) >= worker->stop_at_ms)
		worker->reports.on_idle(worker->reports.arg, worker->index);
	else
		timer_start(loop_timers(worker->loop), timer, STOP_LOOK_MS);
}

static void deliver_stop(struct letter *letter, void *arg)
{
	struct stop_letter *posted = CONTAINER_OF(letter, struct stop_letter, letter);
	struct worker *worker = arg;

	worker->stop_at_ms = loop_now_ms(worker->loop) + posted->limit_ms;
	memory_free(posted);
	transport_stop_accepting(worker->transport);
	proxy_stop_new_work(worker->proxy);
	timer_start(loop_timers(worker->loop), &worker->stop_look, STOP_LOOK_MS);
}

int worker_post_stop(struct worker *worker, uint64_t limit_ms)
{
	struct stop_letter *letter = memory_alloc(sizeof(*letter));

	if (letter == NULL)
		return -ENOMEM;
	letter->letter =
		(struct letter){.deliver = deliver_stop, .drop = drop_letter, .arg = worker};
	letter->limit_ms = limit_ms;
	loop_post_always(worker->loop, &letter->letter);
	return 0;
}

static void deliver_leave(struct letter *letter, void *arg)
{
	loop_stop(((struct worker *)arg)->loop);
	memory_free(letter);
}

void worker_post_leave(struct worker *worker)
{
	struct letter *letter = memory_alloc(sizeof(*letter));

	if (letter == NULL) { /* without waiting for its mailbox, then */
		loop_stop(worker->loop);
		return;
	}
	*letter = (struct letter){.deliver = deliver_leave, .drop = drop_letter, .arg = worker};
	loop_post_always(worker->loop, letter);
}

struct visit_letter {
	struct letter letter;
	struct worker_flow_visit *visit;
	uint64_t after; /* the flow visited last; 0: none yet */
};

struct visiting {
	struct worker *worker;
	struct worker_flow_visit *visit;
};

static bool visit_flow(struct flow *flow, void *arg)
{
	struct visiting *visiting = arg;

	return visiting->visit->visit(visiting->visit, visiting->worker->index, flow,
	                              loop_now_ms(visiting->worker->loop));
}

static void drop_visit(struct letter *letter)
{
	struct visit_letter *posted = CONTAINER_OF(letter, struct visit_letter, letter);

	posted->visit->done(posted->visit);
	memory_free(posted);
}

static void deliver_visit(struct letter *letter, void *arg)
{
	struct visit_letter *posted = CONTAINER_OF(letter, struct visit_letter, letter);
	struct visiting visiting = {arg, posted->visit};

	posted->after = flow_table_visit_some(visiting.worker->flows, posted->after,
	                                      FLOWS_VISITED_A_TURN, visit_flow, &visiting);
	if (posted->after != 0)
		loop_post_always(visiting.worker->loop, letter);
	else
		drop_visit(letter);
}

int worker_post_flow_visit(struct worker *worker, struct worker_flow_visit *visit)
{
	struct visit_letter *letter = memory_alloc(sizeof(*letter));

	if (letter == NULL)
		return -ENOMEM;
	letter->letter =
		(struct letter){.deliver = deliver_visit, .drop = drop_visit, .arg = worker};
	letter->visit = visit;
	letter->after = 0;
	loop_post_always(worker->loop, &letter->letter);
	return 0;
}
