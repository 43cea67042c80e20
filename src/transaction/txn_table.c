/*
 * The transactions of one worker: matching, limits, beginning and end. Worker thread only.
 * RFC 3261 17.1.3, 17.2.3.
 */
#include "transaction/txn_table.h"

#include "base/memory.h"
#include "transaction_internal.h"

/* A table that grows starts here; doubling is the hash table's business. */
#define TXN_FIRST_BUCKETS 1024
#define TXN_PEER_FIRST_BUCKETS 64
/* New work may end this many completed ones, so that room is made twice as fast as it is taken while no
 * single request pays for all that has piled up. */
#define TXN_EARLY_PER_CREATE 2

static bool txn_equal(const struct hash_link *link, const void *arg)
{
	const struct txn *txn = CONTAINER_OF(link, struct txn, in_table);
	const struct txn_key *key = arg;

	return txn->method == key->method &&
	       (key->any_to_tag || txn->fingerprint == key->fingerprint);
}

int txn_table_create(struct loop *loop, const struct txn_sender *sender, size_t limit,
                     struct metrics *metrics, struct txn_table **out)
{
	struct txn_table *table;
	int err;

	table = memory_zalloc(sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	table->loop = loop;
	table->sender = *sender;
	table->metrics = metrics;
	table->limit = limit;
	table->early_from = limit - limit / 4;
	list_init(&table->completed);
	list_init(&table->ending);
	err = hash_table_init(&table->servers, TXN_FIRST_BUCKETS, txn_equal);
	if (err == 0)
		err = hash_table_init(&table->clients, TXN_FIRST_BUCKETS, txn_equal);
	if (err == 0)
		err = hash_table_init(&table->peers, TXN_PEER_FIRST_BUCKETS, txn_peer_equal);
	if (err != 0)
		goto out;
	*out = table;
	table = NULL;
out:
	txn_table_destroy(&table);
	return err;
}

static void txn_free(struct txn *txn)
{
	if (txn->kind == TXN_SERVER)
		server_txn_free(CONTAINER_OF(txn, struct server_txn, txn));
	else
		client_txn_free(CONTAINER_OF(txn, struct client_txn, txn));
}

static bool free_visited(struct hash_link *link, void *arg)
{
	struct txn *txn = CONTAINER_OF(link, struct txn, in_table);
	struct hash_table *table = arg;

	hash_table_remove(table, link);
	metrics_add(txn->table->metrics, METRIC_TRANSACTIONS, txn->kind, 0, 0, -1);
	list_remove(&txn->table->completed, &txn->queued);
	txn_free(txn);
	return true;
}

void txn_table_destroy(struct txn_table **table_p)
{
	struct txn_table *table = *table_p;
	struct list_link *link;

	*table_p = NULL;
	if (table == NULL)
		return;
	/* A table whose creation failed half-way has no buckets to visit. */
	if (table->servers.buckets != NULL)
		hash_table_visit(&table->servers, free_visited, &table->servers);
	if (table->clients.buckets != NULL)
		hash_table_visit(&table->clients, free_visited, &table->clients);
	while ((link = list_pop(&table->ending)) != NULL)
		txn_free(CONTAINER_OF(link, struct txn, queued));
	hash_table_free(&table->servers);
	hash_table_free(&table->clients);
	hash_table_free(&table->peers);
	memory_free(table);
}

size_t txn_table_count(const struct txn_table *table)
{
	return table->servers.count + table->clients.count;
}

size_t txn_table_busy(const struct txn_table *table)
{
	return txn_table_count(table) - table->completed.length;
}

static void end_early(struct txn_table *table)
{
	struct txn *txn = CONTAINER_OF(list_first(&table->completed), struct txn, queued);

	if (txn->kind == TXN_SERVER)
		server_txn_end(CONTAINER_OF(txn, struct server_txn, txn));
	else
		client_txn_end(CONTAINER_OF(txn, struct client_txn, txn));
	metrics_add(table->metrics, METRIC_TRANSACTIONS_EARLY_ENDED, 0, 0, 0, 1);
}

int txn_table_admit(struct txn_table *table)
{
	for (int n = 0; n < TXN_EARLY_PER_CREATE; n++)
		if (txn_table_count(table) >= table->early_from &&
		    !list_is_empty(&table->completed))
			end_early(table);
	return txn_table_count(table) < table->limit ? 0 : -ENOBUFS;
}

/* ---- what the two kinds share ---- */

static struct hash_table *table_of(struct txn *txn)
{
	return txn->kind == TXN_SERVER ? &txn->table->servers : &txn->table->clients;
}

void txn_begin(struct txn *txn, struct txn_table *table, enum txn_kind kind,
               const struct txn_key *key, const struct hop *hop, void *arg, timer_fn *on_timer)
{
	txn->table = table;
	txn->kind = (uint8_t)kind;
	txn->method = (uint8_t)key->method;
	txn->fingerprint = key->fingerprint;
	txn->hop = *hop;
	txn->arg = arg;
	timer_init(&txn->timer, on_timer, txn);
	metrics_add(table->metrics, METRIC_TRANSACTIONS, kind, 0, 0, 1);
	hash_table_insert(table_of(txn), &txn->in_table, key->hash);
}

void txn_mark_completed(struct txn *txn)
{
	if (!list_link_in_list(&txn->queued))
		list_append(&txn->table->completed, &txn->queued);
}

void txn_retire(struct txn *txn)
{
	hash_table_remove(table_of(txn), &txn->in_table);
	metrics_add(txn->table->metrics, METRIC_TRANSACTIONS, txn->kind, 0, 0, -1);
	list_remove(&txn->table->completed, &txn->queued);
	list_append(&txn->table->ending, &txn->queued);
	bytes_release(&txn->bytes);
	txn_wait(txn, 0);
}

static void free_grave(struct grave *grave)
{
	/* txn is the first member of both kinds */
	memory_free(CONTAINER_OF(grave, struct txn, grave));
}

void txn_bury(struct txn *txn)
{
	txn_stop_waiting(txn);
	list_remove(&txn->table->ending, &txn->queued);
	loop_bury(txn->table->loop, &txn->grave, free_grave);
}

int txn_send(struct txn *txn, struct bytes *bytes)
{
	struct bytes *share = bytes_share(bytes);

	return txn->table->sender.send(txn->table->sender.arg, &txn->hop, &share);
}

uint64_t txn_now_ms(const struct txn *txn)
{
	return timers_now_ms(loop_timers(txn->table->loop));
}

void txn_wait(struct txn *txn, uint64_t delay_ms)
{
	timer_start(loop_timers(txn->table->loop), &txn->timer, delay_ms);
}

void txn_stop_waiting(struct txn *txn)
{
	timer_stop(loop_timers(txn->table->loop), &txn->timer);
}

void txn_wait_interval(struct txn *txn)
{
	uint64_t now = txn_now_ms(txn);
	uint64_t left = txn->ends_ms > now ? txn->ends_ms - now : 0;

	txn_wait(txn, txn->interval_ms < left ? txn->interval_ms : left);
}

/* ---- matching ---- */

static struct server_txn *find_server(struct txn_table *table, const struct txn_key *key)
{
	struct hash_link *link = hash_table_find(&table->servers, key->hash, key);

	return link != NULL ? CONTAINER_OF(link, struct server_txn, txn.in_table) : NULL;
}

static enum txn_match match_ack(struct txn_table *table, const struct message *ack,
                                const struct txn_key *key)
{
	struct hash_link *link = hash_table_find(&table->servers, key->hash, key);

	for (; link != NULL; link = hash_table_find_next(&table->servers, link, key)) {
		struct server_txn *server = CONTAINER_OF(link, struct server_txn, txn.in_table);

		if (key->any_to_tag && !server_txn_answered_with_tag(server, message_to_tag(ack)))
			continue;
		return server_txn_acknowledged(server);
	}
	return TXN_NONE;
}

enum txn_match txn_table_match_request(struct txn_table *table, const struct message *request,
                                       const struct hop *hop, struct server_txn **server)
{
	struct server_txn *found;
	struct txn_key key;

	if (!txn_key_of_request(request, hop, &key))
		return TXN_NONE;
	if (message_method(request) == METHOD_ACK)
		return match_ack(table, request, &key);
	found = find_server(table, &key);
	if (found != NULL) {
		server_txn_retransmitted(found);
		return TXN_ABSORBED;
	}
	if (message_method(request) != METHOD_CANCEL)
		return TXN_NONE;
	key.method = METHOD_INVITE; /* 9.2: by the rules of 17.2.3, but for the method */
	found = find_server(table, &key);
	if (found == NULL)
		return TXN_NONE;
	*server = found;
	return TXN_CANCEL;
}

bool txn_table_match_response(struct txn_table *table, struct message **response,
                              const struct hop *hop)
{
	struct hash_link *link;
	struct txn_key key;

	if (!txn_key_of_response(*response, &key))
		return false;
	link = hash_table_find(&table->clients, key.hash, &key);
	if (link == NULL)
		return false;
	client_txn_receive(CONTAINER_OF(link, struct client_txn, txn.in_table), response);
	message_destroy(response);
	return true;
}
