/*
 * How many accepted connections each client's address holds with this worker, and how many it may. An IPv6
 * client is its /64: whoever has one of its addresses has them all (RFC 4291 2.5.1, RFC 8504 6.4).
 * 88 bytes for each such source. Worker thread only.
 */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "transport_internal.h"

/* The half of an IPv6 address that tells hosts of one network apart. */
#define INTERFACE_BYTES 8

struct crowd {
	struct hash_link in_table;
	struct address source;
	unsigned count;
};

static bool same_source(const struct hash_link *link, const void *key)
{
	return address_equal_host(&CONTAINER_OF(link, struct crowd, in_table)->source, key);
}

int crowds_init(struct transport *transport)
{
	return hash_table_init(&transport->crowds, 64, same_source);
}

void crowds_free(struct transport *transport)
{
	hash_table_free(&transport->crowds);
}

static struct address source_of(const struct address *remote)
{
	struct address source = *remote;

	address_set_port(&source, 0);
	if (source.family == AF_INET6)
		memset(source.v6.sin6_addr.s6_addr + sizeof(source.v6.sin6_addr) - INTERFACE_BYTES,
		       0, INTERFACE_BYTES);
	return source;
}

static struct crowd *find(const struct transport *transport, const struct address *source)
{
	struct hash_link *link = hash_table_find(&transport->crowds, address_hash(source), source);

	return link != NULL ? CONTAINER_OF(link, struct crowd, in_table) : NULL;
}

bool crowd_has_room(const struct transport *transport, const struct address *remote)
{
	const struct address source = source_of(remote);
	const struct crowd *crowd;

	if (transport->settings.max_connections_per_address == 0)
		return true;
	crowd = find(transport, &source);
	return crowd == NULL || crowd->count < transport->settings.max_connections_per_address;
}

int crowd_enter(struct connection *connection)
{
	struct transport *transport = connection->transport;
	const struct address source = source_of(&connection->hop.remote);
	struct crowd *crowd;

	ASSERT(!connection->in_crowd);
	if (transport->settings.max_connections_per_address == 0 ||
	    connection->hop.side != SIDE_ACCESS)
		return 0;
	crowd = find(transport, &source);
	if (crowd == NULL) {
		crowd = memory_zalloc(sizeof(*crowd));
		if (crowd == NULL)
			return -ENOMEM;
		crowd->source = source;
		hash_table_insert(&transport->crowds, &crowd->in_table, address_hash(&source));
	}
	if (crowd->count >= transport->settings.max_connections_per_address) {
		metrics_add(transport->metrics, METRIC_REJECTED, REJECTED_CLASS_CONNECTION,
		            REJECTED_ADDRESS_LIMIT, 0, 1);
		return -EUSERS;
	}
	crowd->count++;
	connection->in_crowd = true;
	return 0;
}

void crowd_leave(struct connection *connection)
{
	struct transport *transport = connection->transport;
	const struct address source = source_of(&connection->hop.remote);
	struct crowd *crowd;

	if (!connection->in_crowd)
		return;
	connection->in_crowd = false;
	crowd = find(transport, &source);
	ASSERT(crowd != NULL && crowd->count > 0);
	if (--crowd->count > 0)
		return;
	hash_table_remove(&transport->crowds, &crowd->in_table);
	memory_free(crowd);
}
