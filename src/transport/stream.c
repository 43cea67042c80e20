/*
 * Bytes of a stream become messages. All streams of a worker are read into one scratch buffer; a connection
 * has memory of its own only while a message has begun and is not whole. RFC 3261 18.3, RFC 5626 3.5.1.
 * Worker thread only.
 */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "transport_internal.h"

/* With so much waiting to be written the peer does not read; a pong tells it nothing then. */
#define PONGS_WAITING_MAX 64

static void deliver(struct connection *connection, const char *data, size_t length,
                    bool framing_fault)
{
	struct transport *transport = connection->transport;
	struct packet packet = {slice_of(data, length), connection->hop};

	transport->events.on_packet(transport->arg, &packet, framing_fault);
}

/* RFC 5626 5.4. A client waits for each pong; who sends pings and does not read gets no more until he does. */
static void answer_ping(struct connection *connection)
{
	struct bytes *pong;

	transport_keepalive(connection->transport, &connection->hop);
	if (connection->queue.count >= PONGS_WAITING_MAX)
		return;
	pong = bytes_share(connection->transport->pong);
	/* a full queue closes the connection: that is all there is to say */
	(void)transport_send(connection->transport, &connection->hop, &pong);
}

static void on_fault(struct connection *connection, enum framer_verdict verdict, const char *data,
                     size_t length)
{
	metrics_add(connection->transport->metrics, METRIC_PARSE_ERRORS, connection->hop.transport,
	            metrics_framer_reason(verdict), 0, 1);
	if (verdict == FRAMER_NO_LENGTH || verdict == FRAMER_BAD_LENGTH)
		deliver(connection, data, length, true);
	connection_close(connection,
	                 verdict == FRAMER_TOO_LONG ? CLOSE_FRAME_TOO_LONG : CLOSE_FRAME_BAD);
}

/* Hand up every whole message; returns how many bytes are done with. */
static size_t cut(struct connection *connection, const char *data, size_t length)
{
	size_t used = 0;

	while (connection->state == CONNECTION_OPEN && used < length) {
		size_t start = 0, frame = 0;
		enum framer_verdict verdict;

		verdict = framer_next(&connection->framer, slice_of(data + used, length - used),
		                      &start, &frame);
		if (verdict == FRAMER_MORE)
			break;
		if (verdict >= FRAMER_TOO_LONG) {
			on_fault(connection, verdict, data + used + start, frame);
			break;
		}
		if (verdict == FRAMER_MESSAGE)
			deliver(connection, data + used + start, frame, false);
		else if (verdict == FRAMER_PING)
			answer_ping(connection);
		used += start + frame;
	}
	return used;
}

void stream_drop(struct connection *connection)
{
	connection->transport->partial_bytes -= connection->partial_capacity;
	memory_free(connection->partial);
	connection->partial = NULL;
	connection->partial_length = connection->partial_capacity = 0;
}

static int partial_reserve(struct connection *connection, size_t length)
{
	struct transport *transport = connection->transport;
	size_t capacity = 2 * connection->partial_capacity;
	char *partial;

	if (length <= connection->partial_capacity)
		return 0;
	if (capacity < length)
		capacity = length;
	if (transport->partial_bytes - connection->partial_capacity + capacity > PARTIAL_BYTES_MAX)
		return -ENOBUFS;
	partial = memory_realloc(connection->partial, capacity);
	if (partial == NULL)
		return -ENOMEM;
	transport->partial_bytes += capacity - connection->partial_capacity;
	connection->partial = partial;
	connection->partial_capacity = capacity;
	return 0;
}

/* Half of a keep-alive is not the beginning of a message: some phones send a lone CRLF. */
static bool begins_message(const char *data, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (data[i] != '\r' && data[i] != '\n')
			return true;
	}
	return false;
}

int stream_keep(struct connection *connection, const char *data, size_t length, size_t same)
{
	const uint64_t now = loop_now_ms(connection->transport->loop);
	int err;

	if (length == 0) {
		stream_drop(connection);
		connection->partial_since = 0;
		return 0;
	}
	err = partial_reserve(connection, length);
	if (err != 0)
		return err;
	memcpy(connection->partial + same, data + same, length - same);
	connection->partial_length = length;
	if (!begins_message(data, length))
		connection->partial_since = 0;
	else if (same == 0 || connection->partial_since == 0)
		connection->partial_since = now;
	return 0;
}

void stream_take(struct connection *connection, size_t length)
{
	struct transport *transport = connection->transport;
	const char *data = transport->scratch;
	size_t used;

	if (connection_is_websocket(connection)) {
		websocket_take(connection, length);
		return;
	}
	connection->active_ms = loop_now_ms(transport->loop);
	used = cut(connection, data, length);
	if (connection->state != CONNECTION_OPEN)
		return;
	if (stream_keep(connection, data + used, length - used,
	                used == 0 ? connection->partial_length : 0) != 0) {
		connection_abort(connection, CLOSE_LIMIT);
		return;
	}
	connection_arm(connection);
}
