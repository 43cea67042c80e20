/*
 * How many handshakes of clients may be under way at once: each holds tens of kilobytes. Those of clients take nothing
 * from those of Sprouts and peers. Worker thread only.
 */
#include "base/error.h"
#include "tls_internal.h"

/* A client that sends half a hello and waits costs itself nothing; so whoever had this long makes room when others need
 * it. Three round trips of a phone on a bad network. */
#define PATIENCE_MS 2000

static bool make_room(struct transport *transport, struct list *under_way)
{
	const struct tls_stream *oldest =
		CONTAINER_OF(list_first(under_way), struct tls_stream, in_under_way);
	struct connection *connection = oldest->connection;

	if (loop_now_ms(transport->loop) < oldest->begun_ms + PATIENCE_MS)
		return false;
	failure_tell(connection, TLS_RESULT_BUDGET, "slow, and others wait");
	connection_abort(connection, CLOSE_TLS); /* gives its place */
	return true;
}

bool budget_take(struct connection *connection)
{
	struct transport *transport = connection->transport;
	struct list *under_way = &transport->tls->under_way[connection->hop.side];
	const unsigned limit = transport->settings.tls_handshakes != 0
	                               ? transport->settings.tls_handshakes
	                               : TLS_HANDSHAKES_DEFAULT;

	if (under_way->length >= limit && !make_room(transport, under_way))
		return false;
	connection->tls->begun_ms = loop_now_ms(transport->loop);
	list_append(under_way, &connection->tls->in_under_way);
	return true;
}

void budget_give(struct connection *connection)
{
	list_remove(&connection->transport->tls->under_way[connection->hop.side],
	            &connection->tls->in_under_way);
}
