/*
 * The flows of one worker: their indexes, their birth, their end, and where the ended ones lead.
 * Worker thread only. RFC 5626 5.1 to 5.3.
 */
#include "flow/flow_table.h"

#include <inttypes.h>

#include "base/address.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "flow_internal.h"

#define TABLE_BUCKETS 64
/* Ended flows that are remembered, as a part of the limit of flows: when a site's access network fails
 * a quarter of the clients may come back over new flows while calls go on. */
#define ENDED_PART 4
/* A full worker refuses thousands a second: once a minute is enough for the log. */
#define FULL_TOLD_EVERY_MS 60000

static bool hop_of_flow(const struct hash_link *link, const void *key)
{
	return hop_equal(&CONTAINER_OF(link, struct flow, by_hop)->hop, key);
}

static bool id_of_flow(const struct hash_link *link, const void *key)
{
	return CONTAINER_OF(link, struct flow, by_id)->id == *(const uint64_t *)key;
}

static uint64_t id_hash(uint64_t id)
{
	return hash_bytes(&id, sizeof(id));
}

/* ---- the table ---- */

static int flow_table_init_indexes(struct flow_table *table)
{
	int err;

	err = hash_table_init(&table->hops, TABLE_BUCKETS, hop_of_flow);
	if (err != 0)
		return err;
	err = hash_table_init(&table->ids, TABLE_BUCKETS, id_of_flow);
	if (err != 0)
		goto free_hops;
	err = ended_init(&table->ended, table->settings.limit / ENDED_PART);
	if (err != 0)
		goto free_ids;
	err = binding_index_init(&table->bindings, table->settings.limit);
	if (err != 0)
		goto free_ended;
	return 0;
free_ended:
	ended_free(&table->ended);
free_ids:
	hash_table_free(&table->ids);
free_hops:
	hash_table_free(&table->hops);
	return err;
}

int flow_table_create(struct loop *loop, const struct flow_table_settings *settings,
                      struct metrics *metrics, const struct flow_table_events *events, void *arg,
                      struct flow_table **out)
{
	struct flow_table *table;
	int err;

	table = memory_zalloc(sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	table->loop = loop;
	table->settings = *settings;
	table->metrics = metrics;
	table->events = events;
	table->arg = arg;
	/* A token of an earlier life must not name a flow of this one even if the clock stood still. */
	table->next_id = (random_u64() >> 16) + 1;
	list_init(&table->strangers);
	list_init(&table->by_birth);
	err = flow_table_init_indexes(table);
	if (err != 0) {
		memory_free(table);
		return err;
	}
	*out = table;
	return 0;
}

static void flow_free(struct grave *grave)
{
	memory_free(CONTAINER_OF(grave, struct flow, grave));
}

/* Out of every index; counted; buried. */
static void flow_leave(struct flow_table *table, struct flow *flow, enum flow_close reason)
{
	flow_set_state(flow, FLOW_CLOSED);
	flow_drop_bindings(flow);
	hash_table_remove(&table->hops, &flow->by_hop);
	hash_table_remove(&table->ids, &flow->by_id);
	list_remove(&table->by_birth, &flow->by_birth);
	table->counts[flow->hop.transport]--;
	metrics_add(table->metrics, METRIC_FLOWS, flow->hop.transport, 0, 0, -1);
	metrics_add(table->metrics, METRIC_FLOW_CLOSED, reason, 0, 0, 1);
	memset(&flow->grave, 0, sizeof(flow->grave));
	loop_bury(table->loop, &flow->grave, flow_free);
}

void flow_table_destroy(struct flow_table **table)
{
	struct flow_table *dead = *table;
	struct list_link *link;

	if (dead == NULL)
		return;
	*table = NULL;
	while ((link = list_first(&dead->by_birth)) != NULL)
		flow_leave(dead, CONTAINER_OF(link, struct flow, by_birth), FLOW_CLOSE_SHUTDOWN);
	hash_table_free(&dead->hops);
	hash_table_free(&dead->ids);
	ended_free(&dead->ended);
	binding_index_free(&dead->bindings);
	memory_free(dead);
}

/* ---- finding ---- */

struct flow *flow_table_find_by_hop(struct flow_table *table, const struct hop *hop)
{
	struct hash_link *link = hash_table_find(&table->hops, hop_hash(hop), hop);

	return link != NULL ? CONTAINER_OF(link, struct flow, by_hop) : NULL;
}

struct flow *flow_table_find(struct flow_table *table, uint64_t id)
{
	struct hash_link *link = hash_table_find(&table->ids, id_hash(id), &id);

	return link != NULL ? CONTAINER_OF(link, struct flow, by_id) : NULL;
}

struct flow *flow_table_find_key(struct flow_table *table, uint64_t key)
{
	struct binding *binding = binding_index_find_key(&table->bindings, key);

	return binding != NULL ? binding->flow : NULL;
}

/* The flow that now holds the binding of this ended flow, here or at another worker. */
static enum flow_lookup find_successor(struct flow_table *table, const struct flow_token *token,
                                       struct flow **flow, struct flow_elsewhere *elsewhere)
{
	struct flow_elsewhere found;

	if (!ended_follow(&table->ended, token, loop_now_ms(table->loop), &found))
		return FLOW_GONE;
	*flow = flow_table_find_key(table, found.key);
	if (*flow != NULL)
		return FLOW_HERE;
	if (found.worker == table->settings.worker)
		return FLOW_GONE;
	*elsewhere = found;
	return FLOW_ELSEWHERE;
}

enum flow_lookup flow_table_find_by_token(struct flow_table *table, struct slice text,
                                          struct flow **flow, struct flow_elsewhere *elsewhere)
{
	struct flow_token token;
	struct flow *found;

	switch (flow_token_read(text, &token)) {
	case FLOW_TOKEN_NOT_OURS:
		return FLOW_NO_TOKEN;
	case FLOW_TOKEN_FORGED:
		return FLOW_FORGED;
	case FLOW_TOKEN_VALID:
		break;
	}
	if (token.node != table->settings.node || token.epoch != table->settings.epoch ||
	    token.worker >= table->settings.workers)
		return FLOW_GONE;
	if (token.worker != table->settings.worker) {
		*elsewhere = (struct flow_elsewhere){.worker = token.worker};
		return FLOW_ELSEWHERE;
	}
	found = flow_table_find(table, token.flow);
	if (found == NULL)
		return find_successor(table, &token, flow, elsewhere);
	if (found->generation != token.generation)
		return FLOW_GONE;
	*flow = found;
	return FLOW_HERE;
}

/* ---- birth ---- */

static void flow_write_token(struct flow *flow)
{
	const struct flow_table_settings *settings = &flow->table->settings;
	struct flow_token token = {
		.node = settings->node,
		.worker = settings->worker,
		.flow = flow->id,
		.generation = flow->generation,
		.epoch = settings->epoch,
	};

	flow_token_write(&token, flow->token);
}

static int flow_create(struct flow_table *table, const struct hop *hop, struct flow **out)
{
	struct flow *flow;

	flow = memory_zalloc(sizeof(*flow));
	if (flow == NULL)
		return -ENOMEM;
	flow->table = table;
	flow->hop = *hop;
	flow->id = table->next_id++;
	flow->born_ms = flow->touched_ms = loop_now_ms(table->loop);
	list_init(&flow->bindings);
	timer_init(&flow->idle, flow_on_idle, flow);
	flow_write_token(flow);
	hash_table_insert(&table->hops, &flow->by_hop, hop_hash(hop));
	hash_table_insert(&table->ids, &flow->by_id, id_hash(flow->id));
	list_append(&table->by_birth, &flow->by_birth);
	table->counts[hop->transport]++;
	metrics_add(table->metrics, METRIC_FLOWS, hop->transport, 0, 0, 1);
	if (!transport_is_stream(hop->transport)) {
		list_append(&table->strangers, &flow->in_strangers);
		flow_restart_idle(flow);
	}
	*out = flow;
	return 0;
}

/* A flood of REGISTERs from made-up addresses must not keep real clients out until they lapse: who came first of
 * those who never proved themselves goes first. */
static bool make_room(struct flow_table *table)
{
	struct list_link *oldest = list_first(&table->strangers);

	if (oldest == NULL)
		return false;
	flow_table_close(table, CONTAINER_OF(oldest, struct flow, in_strangers),
	                 FLOW_CLOSE_CROWDED);
	return true;
}

int flow_table_obtain(struct flow_table *table, const struct hop *hop, struct flow **out)
{
	struct flow *flow = flow_table_find_by_hop(table, hop);

	if (flow != NULL) {
		*out = flow;
		return 0;
	}
	ASSERT(hop->worker == table->settings.worker && hop->transport < TRANSPORTS);
	if (table->ids.count >= table->settings.limit && !make_room(table))
		return -ENOBUFS;
	return flow_create(table, hop, out);
}

/* ---- end ---- */

static void flow_log_end(const struct flow *flow, enum flow_close reason)
{
	char hop[ADDRESS_TEXT_MAX + 8];

	if (!log_enabled(LOG_DEBUG))
		return;
	log_debug("flow %" PRIx64 " %s: closed, %s", flow->id,
	          hop_format(&flow->hop, hop, sizeof(hop)), flow_close_name(reason));
}

static void flow_table_end(struct flow_table *table, struct flow *flow, enum flow_close reason)
{
	flow_log_end(flow, reason);
	flow_leave(table, flow, reason);
	if (table->events != NULL && table->events->on_flow_closed != NULL)
		table->events->on_flow_closed(table->arg, flow, reason);
}

void flow_table_close_keyed(struct flow_table *table, struct flow *flow, enum flow_close reason,
                            uint64_t key, uint64_t expires_ms)
{
	ended_remember(&table->ended, flow, key, expires_ms);
	flow_table_end(table, flow, reason);
}

/* May the client come back and want its dialogs followed? */
static bool close_is_survivable(enum flow_close reason)
{
	return reason == FLOW_CLOSE_CONNECTION || reason == FLOW_CLOSE_SILENT ||
	       reason == FLOW_CLOSE_REPLACED;
}

static void remember_way(struct flow_table *table, const struct flow *flow)
{
	LIST_FOR_EACH(link, &flow->bindings) {
		struct binding *binding = CONTAINER_OF(link, struct binding, in_flow);

		if (binding_has_key(binding)) {
			ended_remember(&table->ended, flow, binding_key(binding),
			               binding->expires_ms);
			return;
		}
	}
}

static void tell_lost_bindings(struct flow_table *table, struct flow *flow)
{
	if (table->events == NULL || table->events->on_binding_lost == NULL)
		return;
	LIST_FOR_EACH(link, &flow->bindings)
		table->events->on_binding_lost(table->arg, flow,
		                               CONTAINER_OF(link, struct binding, in_flow));
}

void flow_table_close(struct flow_table *table, struct flow *flow, enum flow_close reason)
{
	if (flow->state == FLOW_CLOSED)
		return;
	if (close_is_survivable(reason))
		remember_way(table, flow);
	if (reason == FLOW_CLOSE_CONNECTION || reason == FLOW_CLOSE_SILENT)
		tell_lost_bindings(table, flow);
	flow_table_end(table, flow, reason);
}

void flow_table_hop_lost(struct flow_table *table, const struct hop *hop, enum flow_close reason)
{
	struct flow *flow = flow_table_find_by_hop(table, hop);

	if (flow != NULL)
		flow_table_close(table, flow, reason);
}

void flow_table_keepalive(struct flow_table *table, const struct hop *hop)
{
	struct flow *flow = flow_table_find_by_hop(table, hop);

	if (flow != NULL && flow->state == FLOW_REGISTERED)
		flow_touch(flow);
}

/* ---- bindings ---- */

static struct flow_move move_of(const struct flow_table *table, const struct binding *binding)
{
	return (struct flow_move){
		.key = binding_key(binding),
		.learnt_us = binding->learnt_us,
		.worker = table->settings.worker,
	};
}

static void tell_move(struct flow_table *table, const struct flow_move *move)
{
	if (table->events != NULL && table->events->on_moved_here != NULL)
		table->events->on_moved_here(table->arg, move);
}

void flow_table_note_key(struct flow_table *table, const struct binding *binding, bool known)
{
	struct flow_move move = move_of(table, binding);

	ended_note_move(&table->ended, &move);
	if (!known)
		tell_move(table, &move);
}

/* Of two that came at once all workers choose the same. */
static bool is_newer(const struct flow_move *move, const struct flow_move *other)
{
	if (move->learnt_us != other->learnt_us)
		return move->learnt_us > other->learnt_us;
	return move->worker > other->worker;
}

void flow_table_moved(struct flow_table *table, const struct flow_move *move)
{
	struct binding *binding = binding_index_find_key(&table->bindings, move->key);

	struct flow_move own;

	if (binding != NULL) {
		own = move_of(table, binding);
		if (is_newer(&own, move)) {
			tell_move(table, &own); /* that worker has not heard of it yet */
			return;
		}
		flow_lose_rival(binding);
	}
	ended_note_move(&table->ended, move);
}

void flow_table_add_binding(struct flow_table *table, struct binding *binding)
{
	binding_index_add(&table->bindings, binding);
	metrics_add(table->metrics, METRIC_REGISTRATIONS, 0, 0, 0, 1);
}

void flow_table_remove_binding(struct flow_table *table, struct binding *binding)
{
	binding_index_remove(&table->bindings, binding);
	metrics_add(table->metrics, METRIC_REGISTRATIONS, 0, 0, 0, -1);
}

void flow_table_refuse_binding(struct flow_table *table)
{
	uint64_t now_ms = loop_now_ms(table->loop);

	metrics_add(table->metrics, METRIC_REJECTED, REJECTED_CLASS_RESPONSE, REJECTED_FLOWS_LIMIT,
	            0, 1);
	table->full_untold++;
	if (table->full_told_ms != 0 && now_ms - table->full_told_ms < FULL_TOLD_EVERY_MS)
		return;
	log_warning("registrations: %zu, the limit of flows of a worker; %" PRIu64 " not learnt",
	            table->bindings.count, table->full_untold);
	table->full_told_ms = now_ms;
	table->full_untold = 0;
}

/* ---- counting ---- */

size_t flow_table_count(const struct flow_table *table, enum sip_transport transport)
{
	ASSERT(transport < TRANSPORTS);
	return table->counts[transport];
}

size_t flow_table_registrations(const struct flow_table *table)
{
	return table->bindings.count;
}

/* The first flow younger than this one, which may have ended meanwhile: then it is looked for. */
static struct list_link *link_after(struct flow_table *table, uint64_t id)
{
	struct flow *flow = flow_table_find(table, id);

	if (flow != NULL)
		return flow->by_birth.next;
	LIST_FOR_EACH(link, &table->by_birth) {
		if (CONTAINER_OF(link, struct flow, by_birth)->id > id)
			return link;
	}
	return &table->by_birth.head;
}

uint64_t flow_table_visit_some(struct flow_table *table, uint64_t after, unsigned count,
                               bool (*visit)(struct flow *flow, void *arg), void *arg)
{
	struct list_link *link = link_after(table, after), *next;

	for (; link != &table->by_birth.head && count > 0; link = next, count--) {
		struct flow *flow = CONTAINER_OF(link, struct flow, by_birth);

		next = link->next;
		after = flow->id;
		if (!visit(flow, arg))
			return 0;
	}
	return link != &table->by_birth.head ? after : 0;
}
