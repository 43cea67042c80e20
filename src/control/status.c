/*
 * What admin asks of control: is it alive, is it ready, how do the targets stand, which flows are there.
 * Flows are gathered from the workers by letters: each fills rows on its own thread, and they come home
 * to the control loop, which alone talks to admin.
 */
#include "control_internal.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

/* A loop that has not turned for this long hangs. */
#define LIVE_MS 5000
/* Bindings told of one flow; a PBX with more is told by its first ones. */
#define ROW_BINDINGS_MAX 16

static bool is_live(void *arg)
{
	struct control *control = arg;
	uint64_t now = clock_now_us();

	for (unsigned i = 0; i < control->workers_running; i++) {
		uint64_t last = loop_last_turn_us(worker_loop(control->workers[i]));

		if (now > last && now - last > LIVE_MS * 1000)
			return false;
	}
	return true;
}

static bool is_ready(void *arg)
{
	struct control *control = arg;

	return control->ready && !control->stopping;
}

static bool is_draining(void *arg)
{
	return ((struct control *)arg)->stopping;
}

static const struct view *get_view(void *arg)
{
	struct control *control = arg;

	return control->failover != NULL ? failover_view(control->failover) : NULL;
}

static void refresh(void *arg)
{
	struct control *control = arg;
	uint64_t refused = loop_letters_refused(control->loop);

	for (unsigned i = 0; i < control->worker_count; i++)
		refused += loop_letters_refused(worker_loop(control->workers[i]));
	metrics_set(control->metrics, METRIC_LETTERS_REFUSED, 0, 0, 0, (int64_t)refused);
	metrics_set(control->metrics, METRIC_DECISIONS_DROPPED, 0, 0, 0,
	            (int64_t)decisions_dropped(control->decisions));
	metrics_set(control->metrics, METRIC_LOG_DROPPED, 0, 0, 0, (int64_t)log_dropped());
	metrics_set(control->metrics, METRIC_LOOP_LAG_SECONDS, 0, 0, 0,
	            (int64_t)loop_lag_us(control->loop));
	metrics_set(control->metrics, METRIC_DRAINING, 0, 0, 0, control->stopping);
}

/* ---- flows ---- */

struct gather; /* one query */

struct row {
	struct row *next;
	struct admin_flow flow;
	struct admin_binding bindings[ROW_BINDINGS_MAX];
	struct buffer texts; /* NUL-terminated, in the order of use */
};

/* One worker's share of a query: filled there, then posted home. */
struct gather_part {
	struct worker_flow_visit visit;
	struct letter letter;
	struct gather *gather;
	struct control *control;
	struct row *rows;
	unsigned row_count;
	bool failed;
};

struct gather {
	struct admin_query *query;
	char *identity; /* canonical; NULL: all. Read by all parts */
	unsigned waiting;
	int err;
	struct gather_part parts[];
};

static const char *keep_text(struct buffer *texts, struct slice text, size_t *at)
{
	*at = texts->length;
	buffer_append_slice(texts, text);
	buffer_append(texts, "", 1);
	return NULL;
}

/* Texts are appended first and pointed to afterwards, since the buffer moves while it grows. */
static struct row *row_create(const struct listener_settings *listeners, struct flow *flow,
                              uint8_t worker, uint64_t now_ms)
{
	struct row *row = memory_zalloc(sizeof(*row));
	size_t at[2 * ROW_BINDINGS_MAX];
	char hop[ADDRESS_TEXT_MAX + 8];
	size_t hop_at;
	unsigned n = 0;
	const struct binding *binding;

	if (row == NULL)
		return NULL;
	buffer_init(&row->texts);
	hop_format(flow_hop(flow), hop, sizeof(hop));
	keep_text(&row->texts, slice_from_string(hop), &hop_at);
	for (; n < ROW_BINDINGS_MAX && (binding = flow_binding_at(flow, n)) != NULL; n++) {
		uint64_t expires = binding_expires_ms(binding);

		keep_text(&row->texts, binding_aor(binding), &at[2 * n]);
		keep_text(&row->texts, binding_contact(binding), &at[2 * n + 1]);
		row->bindings[n].expires_s = expires > now_ms ? (expires - now_ms) / 1000 : 0;
	}
	if (row->texts.failed) {
		buffer_free(&row->texts);
		memory_free(row);
		return NULL;
	}
	for (unsigned i = 0; i < n; i++) {
		row->bindings[i].aor = row->texts.data + at[2 * i];
		row->bindings[i].contact = row->texts.data + at[2 * i + 1];
	}
	row->flow = (struct admin_flow){
		.id = flow_id(flow),
		.worker = worker,
		.hop = row->texts.data + hop_at,
		.listener = listeners[flow_hop(flow)->listener].name,
		.age_s = (now_ms - flow_born_ms(flow)) / 1000,
		.bindings = row->bindings,
		.binding_count = n,
	};
	return row;
}

/* On the worker's thread. */
static bool visit_flow(struct worker_flow_visit *visit, uint8_t worker, struct flow *flow,
                       uint64_t now_ms)
{
	struct gather_part *part = CONTAINER_OF(visit, struct gather_part, visit);
	const char *identity = part->gather->identity;
	struct row *row;

	if (identity != NULL && flow_binding(flow, slice_from_string(identity)) == NULL)
		return true;
	if (part->row_count > ADMIN_FLOWS_MAX) /* one too many tells that there are more */
		return false;
	row = row_create(part->control->listeners, flow, worker, now_ms);
	if (row == NULL) {
		part->failed = true;
		return false;
	}
	row->next = part->rows;
	part->rows = row;
	part->row_count++;
	return true;
}

static void rows_free(struct gather_part *part)
{
	struct row *row;

	while ((row = part->rows) != NULL) {
		part->rows = row->next;
		buffer_free(&row->texts);
		memory_free(row);
	}
}

/* Back home: on the control loop (or at its end, when the letter is dropped: then admin is gone too, and a
 * query outlives it until it is finished). */
static void take_part(struct gather_part *part)
{
	struct gather *gather = part->gather;

	for (struct row *row = part->rows; row != NULL; row = row->next)
		if (!admin_flows_add(gather->query, &row->flow))
			break;
	rows_free(part);
	if (part->failed)
		gather->err = -ENOMEM;
	if (--gather->waiting > 0)
		return;
	admin_flows_finish(&gather->query, gather->err);
	memory_free(gather->identity);
	memory_free(gather);
}

static void deliver_part(struct letter *letter, void *arg)
{
	take_part(CONTAINER_OF(letter, struct gather_part, letter));
}

static void drop_part(struct letter *letter)
{
	take_part(CONTAINER_OF(letter, struct gather_part, letter));
}

/* On the worker's thread. */
static void part_done(struct worker_flow_visit *visit)
{
	struct gather_part *part = CONTAINER_OF(visit, struct gather_part, visit);

	part->letter = (struct letter){.deliver = deliver_part, .drop = drop_part, .arg = NULL};
	loop_post_always(part->control->loop, &part->letter);
}

static struct gather *gather_create(struct control *control, const char *identity,
                                    struct admin_query *query)
{
	struct gather *gather =
		memory_zalloc(sizeof(*gather) + control->worker_count * sizeof(gather->parts[0]));

	if (gather == NULL)
		return NULL;
	gather->query = query;
	gather->identity = identity != NULL ? memory_strdup(identity) : NULL;
	if (identity != NULL && gather->identity == NULL) {
		memory_free(gather);
		return NULL;
	}
	return gather;
}

static void gather_flows(void *arg, const char *identity, struct admin_query *query)
{
	struct control *control = arg;
	struct gather *gather = gather_create(control, identity, query);

	if (gather == NULL) {
		admin_flows_finish(&query, -ENOMEM);
		return;
	}
	gather->waiting = control->worker_count + 1; /* ourselves, until all were asked */
	for (unsigned i = 0; i < control->worker_count; i++) {
		struct gather_part *part = &gather->parts[i];

		part->visit = (struct worker_flow_visit){visit_flow, part_done};
		part->gather = gather;
		part->control = control;
		if (worker_post_flow_visit(control->workers[i], &part->visit) != 0) {
			gather->err = -ENOMEM;
			gather->waiting--;
		}
	}
	if (--gather->waiting == 0) {
		admin_flows_finish(&gather->query, gather->err);
		memory_free(gather->identity);
		memory_free(gather);
	}
}

const struct admin_source control_admin_source = {
	.live = is_live,
	.ready = is_ready,
	.draining = is_draining,
	.view = get_view,
	.refresh = refresh,
	.flows = gather_flows,
	.next_event = explain_next_event,
	.decisions = explain_decisions,
	.words = explain_words,
	.say = explain_say,
	.reload_tls = tls_keeper_reload,
	.certificate = tls_keeper_certificate,
};
