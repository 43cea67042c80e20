/*
 * TLS on a stream. Worker thread only.
 */
#include "base/error.h"
#include "transport_internal.h"

int tls_may_open(const struct transport *transport, const struct transport_peer *peer)
{
	return transport_is_tls(peer->transport) ? -EINVAL : 0;
}

bool tls_is_due(const struct connection *connection)
{
	return transport_is_tls(connection->hop.transport);
}

void tls_begin(struct connection *connection)
{
}

void tls_shake_soon(struct connection *connection)
{
}

void tls_on_deadline(struct connection *connection)
{
	connection_abort(connection, connection->opened_by_us ? CLOSE_CONNECT_TIMEOUT : CLOSE_TLS);
}

void tls_let_go(struct connection *connection)
{
}
