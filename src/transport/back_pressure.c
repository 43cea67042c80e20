/*
 * A client that asks and does not read the answers: it is not read from while too much waits for it, so that
 * it cannot make us produce more. Worker thread only.
 */
#include "base/error.h"
#include "transport_internal.h"

/* A client that leaves this part of its limit unread is not read from until it has taken all but a part of
 * that. One turn of reading (tcp.c) cannot bring so many answers that the rest does not hold them. */
#define HOLD_PART 4
#define RELEASE_PART 16

static void hold(struct connection *connection)
{
	struct transport *transport = connection->transport;

	event_del(&connection->readable);
	connection->held = true;
	connection->held_since = loop_now_ms(transport->loop);
	metrics_add(transport->metrics, METRIC_CONNECTION_HELD, connection->hop.side, 0, 0, 1);
}

static void release(struct connection *connection)
{
	if (event_add(&connection->readable, NULL) != 0) {
		connection_abort(connection, CLOSE_RESET);
		return;
	}
	connection->held = false;
	/* below us, in TLS, there may be bytes that the socket knows nothing of */
	event_active(&connection->readable, EV_READ, 0);
	if (connection->partial_since != 0) /* that it was not read is not its fault */
		connection->partial_since = loop_now_ms(connection->transport->loop);
}

/* Who does not read the answers is not asked for more requests. Not so toward the core: two proxies that
 * each wait for the other to read would wait for ever. */
void connection_weigh(struct connection *connection)
{
	const size_t limit = connection->transport->settings.connection_queue_bytes;

	if (connection->hop.side != SIDE_ACCESS || connection->state != CONNECTION_OPEN)
		return;
	if (!connection->held && connection->queue.bytes > limit / HOLD_PART)
		hold(connection);
	else if (connection->held && connection->queue.bytes <= limit / RELEASE_PART)
		release(connection);
	else
		return;
	connection_arm(connection);
}
