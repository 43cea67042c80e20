/*
 * The PROXY protocol on connections from listed load balancers: it comes before TLS and before SIP, and is
 * peeked at, so that what stands behind it is left to them. Worker thread only. proxy-protocol.txt 2, 5.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sys/socket.h>

#include "base/error.h"
#include "transport/proxy_protocol.h"
#include "transport_internal.h"

bool proxy_header_is_due(const struct listener *listener, const struct address *peer)
{
	const struct listener_settings *settings = listener->settings;

	for (unsigned i = 0; i < settings->proxy_from_count; i++) {
		if (address_range_contains(&settings->proxy_from[i], peer))
			return true;
	}
	return false;
}

/* Wake us when there is more than what was looked at, not again for the same. */
static void wait_for(struct connection *connection, size_t length)
{
	socket_set(connection->fd, SOL_SOCKET, SO_RCVLOWAT, (int)length);
}

/* Its FIN is there, so that we would be woken for ever. */
static bool has_ended(int fd)
{
	struct pollfd ended = {.fd = fd, .events = POLLRDHUP};

	return poll(&ended, 1, 0) > 0;
}

/* The header is whole: take it off the stream. */
static int drop(struct connection *connection, size_t length)
{
	char nowhere[PROXY_PROTOCOL_MAX_BYTES];

	return recv(connection->fd, nowhere, length, MSG_DONTWAIT) == (ssize_t)length ? 0 : -EIO;
}

static void take(struct connection *connection, const struct proxy_protocol_header *header)
{
	struct listener *listener = &connection->transport->listeners[connection->hop.listener];

	if (drop(connection, header->length) != 0) {
		connection_abort(connection, CLOSE_PROXY_HEADER);
		return;
	}
	wait_for(connection, 1);
	if (header->source.family != AF_UNSPEC)
		connection->hop.remote = header->source;
	if (listener_allows(listener, &connection->hop.remote))
		connection_proceed(connection);
	else
		connection_abort(connection, CLOSE_PROXY_HEADER);
}

void proxy_header_take(struct connection *connection)
{
	char bytes[PROXY_PROTOCOL_MAX_BYTES];
	struct proxy_protocol_header header;
	ssize_t length;

	length = recv(connection->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (length <= 0) {
		connection_abort(connection, length == 0 ? CLOSE_PEER : CLOSE_RESET);
		return;
	}
	switch (proxy_protocol_read(slice_of(bytes, (size_t)length), &header)) {
	case PROXY_PROTOCOL_MORE:
		if (has_ended(connection->fd))
			connection_abort(connection, CLOSE_PROXY_HEADER);
		else
			wait_for(connection, header.length);
		break;
	case PROXY_PROTOCOL_DONE:
		take(connection, &header);
		break;
	case PROXY_PROTOCOL_BAD:
		connection_abort(connection, CLOSE_PROXY_HEADER);
		break;
	}
}
