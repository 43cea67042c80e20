/*
 * The hop as a value, and the names of this layer's enumerations. Pure, any thread.
 */
#include <stdio.h>

#include "base/error.h"
#include "base/hash.h"
#include "transport/transport.h"

_Static_assert(sizeof(struct hop) == 40, "kept in every flow and transaction");

const char *side_name(enum side side)
{
	static const char *const names[SIDES] = {"access", "core"};

	ASSERT((unsigned)side < SIDES);
	return names[side];
}

const char *close_reason_name(enum close_reason reason)
{
	static const char *const names[CLOSE_REASONS] = {
		[CLOSE_PEER] = "peer",
		[CLOSE_RESET] = "reset",
		[CLOSE_REFUSED] = "refused",
		[CLOSE_UNREACHABLE] = "unreachable",
		[CLOSE_CONNECT_TIMEOUT] = "connect_timeout",
		[CLOSE_FRAME_TOO_LONG] = "frame_too_long",
		[CLOSE_FRAME_BAD] = "frame_bad",
		[CLOSE_SLOW] = "slow",
		[CLOSE_QUEUE_FULL] = "queue_full",
		[CLOSE_IDLE] = "idle",
		[CLOSE_SILENT] = "silent",
		[CLOSE_LIMIT] = "limit",
		[CLOSE_LOCAL] = "local",
		[CLOSE_TLS] = "tls",
		[CLOSE_WEBSOCKET] = "websocket",
		[CLOSE_PROXY_HEADER] = "proxy_header",
	};

	ASSERT((unsigned)reason < CLOSE_REASONS);
	return names[reason];
}

bool hop_equal(const struct hop *a, const struct hop *b)
{
	if (a->worker != b->worker || a->transport != b->transport ||
	    a->connection != b->connection)
		return false;
	if (a->connection != 0)
		return true;
	return a->listener == b->listener && a->own_socket == b->own_socket &&
	       address_equal(&a->remote, &b->remote);
}

uint64_t hop_hash(const struct hop *hop)
{
	uint64_t seed;

	if (hop->connection != 0)
		return hash_more(hop->worker, &hop->connection, sizeof(hop->connection));
	seed = (uint64_t)hop->worker << 16 | (uint64_t)hop->listener << 8 | hop->own_socket;
	seed ^= address_hash(&hop->remote);
	return hash_bytes(&seed, sizeof(seed));
}

const char *hop_format(const struct hop *hop, char *text, size_t size)
{
	char address[ADDRESS_TEXT_MAX];

	snprintf(text, size, "%s/%s", address_format(&hop->remote, address),
	         transport_name(hop->transport));
	return text;
}
