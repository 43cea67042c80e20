/*
 * Who waits for whom: client transactions without a final answer, by the connection or UDP peer they were
 * sent to, so that its loss is told to them without a walk over all. Worker thread only.
 */
#include "base/memory.h"
#include "transaction_internal.h"

/* A connection is known by its number; a UDP peer by its address, whichever socket was used, since an
 * ICMP error tells no more. */
static uint64_t peer_hash(const struct hop *hop)
{
	if (hop->connection != 0)
		return hash_more(hop->worker, &hop->connection, sizeof(hop->connection));
	return address_hash(&hop->remote);
}

bool txn_peer_equal(const struct hash_link *link, const void *key)
{
	const struct txn_peer *peer = CONTAINER_OF(link, struct txn_peer, in_table);
	const struct hop *hop = key;

	if (peer->connection != hop->connection)
		return false;
	if (hop->connection != 0)
		return peer->worker == hop->worker;
	return address_equal(&peer->remote, &hop->remote);
}

static struct txn_peer *peer_find(struct txn_table *table, const struct hop *hop)
{
	struct hash_link *link = hash_table_find(&table->peers, peer_hash(hop), hop);

	return link != NULL ? CONTAINER_OF(link, struct txn_peer, in_table) : NULL;
}

int txn_peer_join(struct txn_table *table, struct client_txn *client, const struct hop *hop)
{
	struct txn_peer *peer = peer_find(table, hop);

	if (peer == NULL) {
		peer = memory_zalloc(sizeof(*peer));
		if (peer == NULL)
			return -ENOMEM;
		list_init(&peer->waiting);
		peer->connection = hop->connection;
		peer->remote = hop->remote;
		peer->worker = hop->worker;
		hash_table_insert(&table->peers, &peer->in_table, peer_hash(hop));
	}
	list_append(&peer->waiting, &client->waiting);
	client->peer = peer;
	return 0;
}

void txn_peer_leave(struct client_txn *client)
{
	struct txn_peer *peer = client->peer;

	if (peer == NULL)
		return;
	client->peer = NULL;
	list_remove(&peer->waiting, &client->waiting);
	if (!list_is_empty(&peer->waiting))
		return;
	hash_table_remove(&client->txn.table->peers, &peer->in_table);
	memory_free(peer);
}

void txn_table_hop_lost(struct txn_table *table, const struct hop *hop, int error)
{
	struct txn_peer *peer = peer_find(table, hop);

	if (peer == NULL)
		return;
	/* Each leaves the peer as it is told, the last one frees it. */
	for (size_t n = peer->waiting.length; n > 0; n--) {
		struct list_link *link = list_first(&peer->waiting);

		client_txn_lose(CONTAINER_OF(link, struct client_txn, waiting), error);
	}
}
