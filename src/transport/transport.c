/*
 * The face of the layer: one transport per worker. Shares the work out by kind, and keeps the two promises
 * that all kinds make: what is queued in a turn leaves at its end, and those above are told from the loop
 * only. Worker thread only.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "transport_internal.h"

static const struct transport_kind *const kinds[TRANSPORTS] = {
	[TRANSPORT_UDP] = &transport_udp, [TRANSPORT_TCP] = &transport_tcp,
	[TRANSPORT_TLS] = &transport_tcp, [TRANSPORT_WS] = &transport_ws,
	[TRANSPORT_WSS] = &transport_wss,
};

/* ---- the end of the turn ---- */

static void flush(struct transport *transport)
{
	struct list_link *link;

	while ((link = list_first(&transport->udp_flush)) != NULL)
		udp_flush(CONTAINER_OF(link, struct udp_socket, in_flush));
	while ((link = list_pop(&transport->flush)) != NULL)
		tcp_flush(CONTAINER_OF(link, struct connection, in_flush));
}

static void on_flush_soon(struct timer *timer, void *arg)
{
	flush(arg);
}

/* A timer without delay runs after all events and letters of this turn, or at once in the next one if it is
 * too late for this. Unlike a hook of the loop it can be stopped, so a transport may go before its loop. */
void transport_flush_soon(struct transport *transport)
{
	if (!timer_is_running(&transport->flush_soon))
		timer_start(loop_timers(transport->loop), &transport->flush_soon, 0);
}

/* ---- telling upward ---- */

static void tell_unreachable(struct transport *transport)
{
	struct unreachable told[UNREACHABLE_MAX];
	const unsigned count = transport->unreachable_count;

	memcpy(told, transport->unreachable, count * sizeof(told[0]));
	transport->unreachable_count = 0;
	for (unsigned i = 0; i < count; i++)
		transport->events.on_unreachable(transport->arg, &told[i].peer, told[i].error);
}

static void on_tell_soon(struct timer *timer, void *arg)
{
	struct transport *transport = arg;

	/* those that go while we tell have their turn in the next one */
	for (size_t waiting = transport->gone.length; waiting > 0; waiting--) {
		struct list_link *link = list_pop(&transport->gone);

		if (link == NULL)
			break;
		connection_tell(CONTAINER_OF(link, struct connection, in_gone));
	}
	if (transport->unreachable_count > 0)
		tell_unreachable(transport);
}

void transport_tell_soon(struct transport *transport)
{
	if (!timer_is_running(&transport->tell_soon))
		timer_start(loop_timers(transport->loop), &transport->tell_soon, 0);
}

void transport_keepalive(struct transport *transport, const struct hop *hop)
{
	if (transport->events.on_keepalive != NULL)
		transport->events.on_keepalive(transport->arg, hop);
}

void transport_blame(struct transport *transport, const struct address *peer, int error)
{
	for (unsigned i = 0; i < transport->unreachable_count; i++) {
		if (address_equal(&transport->unreachable[i].peer, peer))
			return;
	}
	if (transport->unreachable_count == UNREACHABLE_MAX)
		return; /* its next datagram brings the next error */
	transport->unreachable[transport->unreachable_count++] = (struct unreachable){*peer, error};
	transport_tell_soon(transport);
}

/* ---- birth and death ---- */

/* [::] serves IPv4 too unless another listener of the kind has that port in IPv4. */
static bool is_dual(const struct transport_settings *settings,
                    const struct listener_settings *listener)
{
	if (listener->bind.family != AF_INET6 || !address_is_wildcard(&listener->bind))
		return false;
	for (unsigned i = 0; i < settings->listener_count; i++) {
		const struct listener_settings *other = &settings->listeners[i];

		if (other->bind.family == AF_INET &&
		    transport_is_stream(other->transport) ==
		            transport_is_stream(listener->transport) &&
		    address_port(&other->bind) == address_port(&listener->bind) &&
		    address_port(&other->bind) != 0)
			return false;
	}
	return true;
}

static int listener_open(struct transport *transport, uint8_t index)
{
	struct listener *listener = &transport->listeners[index];
	const struct listener_settings *settings = listener->settings;
	char text[ADDRESS_TEXT_MAX];
	int err = -EPROTONOSUPPORT;

	listener->dual = is_dual(&transport->settings, settings);
	if (kinds[settings->transport] != NULL)
		err = kinds[settings->transport]->listen(transport, listener);
	if (err != 0)
		log_error("listener %s: cannot bind %s/%s, %s", settings->name,
		          address_format(&settings->bind, text),
		          transport_name(settings->transport), error_text(err));
	return err;
}

static int create_stream_parts(struct transport *transport)
{
	transport->scratch_size = tcp_scratch_size(transport->settings.message_bytes);
	transport->scratch = memory_alloc(transport->scratch_size);
	transport->pong = bytes_copy(SLICE_LITERAL("\r\n"));
	if (transport->scratch == NULL || transport->pong == NULL)
		return -ENOMEM;
	transport->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return 0;
}

/* Everything that has no failure, so that transport_destroy can take it from any point. */
static void prepare(struct transport *transport)
{
	transport->reserve_fd = -1;
	websocket_pool_init(&transport->web_readers, transport->settings.message_bytes);
	list_init(&transport->udp_flush);
	timer_init(&transport->flush_soon, on_flush_soon, transport);
	timer_init(&transport->tell_soon, on_tell_soon, transport);
}

static int create_listeners(struct transport *transport)
{
	const struct transport_settings *settings = &transport->settings;
	int err;

	transport->listeners =
		memory_zalloc((settings->listener_count + 1) * sizeof(struct listener));
	if (transport->listeners == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < settings->listener_count; i++) {
		struct listener *listener = &transport->listeners[i];
		struct address advertised;

		listener->transport = transport;
		listener->settings = &settings->listeners[i];
		listener->index = (uint8_t)i;
		listener->fd = -1;
		listener->advertises_wildcard =
			address_parse(slice_from_string(listener->settings->advertise),
		                      &advertised) &&
			address_is_wildcard(&advertised);
	}
	for (unsigned i = 0; i < settings->listener_count; i++) {
		err = listener_open(transport, (uint8_t)i);
		if (err != 0)
			return err;
	}
	return 0;
}

int transport_create(struct loop *loop, uint8_t worker, const struct transport_settings *settings,
                     struct metrics *metrics, const struct transport_events *events, void *arg,
                     struct transport **out)
{
	struct transport *transport;
	int err;

	ASSERT(settings->listener_count <= UINT8_MAX && worker < settings->workers);
	transport = memory_zalloc(sizeof(*transport));
	if (transport == NULL)
		return -ENOMEM;
	transport->loop = loop;
	transport->worker = worker;
	transport->settings = *settings;
	transport->metrics = metrics;
	transport->events = *events;
	transport->arg = arg;
	prepare(transport);
	err = connections_init(transport);
	if (err == 0)
		err = create_stream_parts(transport);
	if (err == 0)
		err = tls_worker_create(transport);
	if (err == 0)
		err = create_listeners(transport);
	if (err != 0)
		goto out;
	*out = transport;
	transport = NULL;
out:
	transport_destroy(&transport);
	return err;
}

/* RFC 6455 7.4.1: a browser that is told 1001 comes back at once, one that sees us vanish may wait. */
static void say_goodbye(struct transport *transport)
{
	if (list_is_empty(&transport->all_connections))
		return; /* or not made yet */
	LIST_FOR_EACH_SAFE(link, &transport->all_connections)
		websocket_say_goodbye(CONTAINER_OF(link, struct connection, in_all), CLOSE_LOCAL);
}

void transport_destroy(struct transport **transport)
{
	struct transport *t = *transport;

	if (t == NULL)
		return;
	say_goodbye(t);
	flush(t); /* the last answers */
	connections_free(t);
	tls_worker_destroy(t);
	for (unsigned i = 0; t->listeners != NULL && i < t->settings.listener_count; i++) {
		listener_stop_accepting(&t->listeners[i]);
		udp_socket_destroy(&t->listeners[i].shared);
		udp_socket_destroy(&t->listeners[i].own);
	}
	timer_stop(loop_timers(t->loop), &t->flush_soon);
	timer_stop(loop_timers(t->loop), &t->tell_soon);
	if (t->reserve_fd >= 0)
		close(t->reserve_fd);
	udp_slab_destroy(&t->slab);
	locals_free(t);
	websocket_pool_free(&t->web_readers);
	bytes_release(&t->pong);
	memory_free(t->scratch);
	memory_free(t->listeners);
	memory_free(t);
	*transport = NULL;
}

void transport_set_siblings(struct transport *transport, struct transport *const *siblings)
{
	transport->siblings = siblings;
}

/* ---- the way there ---- */

/* The listener of that side and kind; one of the peer's family before one that reaches it as v4-mapped. */
static struct listener *listener_toward(struct transport *transport, enum side side,
                                        enum sip_transport kind, sa_family_t family)
{
	struct listener *dual = NULL;

	for (unsigned i = 0; i < transport->settings.listener_count; i++) {
		struct listener *listener = &transport->listeners[i];

		if (listener->settings->side != side || listener->settings->transport != kind)
			continue;
		if (listener->settings->bind.family == family)
			return listener;
		if (listener->dual)
			dual = listener;
	}
	return dual;
}

static int open_side(struct transport *transport, enum side side, const struct transport_peer *peer,
                     struct hop *out)
{
	const enum sip_transport kind = peer->transport;
	struct address address = *peer->address;
	struct transport_peer normal = *peer;
	struct listener *listener;

	ASSERT(loop_is_self(transport->loop) && kind < TRANSPORTS);
	address_normalise(&address);
	listener = listener_toward(transport, side, kind, address.family);
	if (listener == NULL)
		return -EPROTONOSUPPORT;
	normal.address = &address;
	return kinds[kind]->open(transport, listener, &normal, out);
}

int transport_open(struct transport *transport, const struct transport_peer *peer, struct hop *out)
{
	return open_side(transport, SIDE_CORE, peer, out);
}

int transport_open_access(struct transport *transport, const struct transport_peer *peer,
                          struct hop *out)
{
	return open_side(transport, SIDE_ACCESS, peer, out);
}

const char *transport_sent_by(const struct transport *transport, const struct hop *hop)
{
	const struct listener *listener = &transport->listeners[hop->listener];
	const struct local *local;

	ASSERT(hop->worker == transport->worker &&
	       hop->listener < transport->settings.listener_count);
	if (hop->own_socket)
		return listener->own_sent_by;
	local = local_find(transport, hop->local);
	return listener->advertises_wildcard && local != NULL ? local->text
	                                                      : listener->settings->advertise;
}

int transport_send(struct transport *transport, const struct hop *hop, struct bytes **bytes)
{
	int err;

	ASSERT(loop_is_self(transport->loop) && hop->listener < transport->settings.listener_count);
	if (hop->worker != transport->worker)
		err = remote_send(transport, hop, bytes);
	else
		err = kinds[hop->transport]->send(transport, hop, bytes);
	bytes_release(bytes);
	return err;
}

/* ---- what a connection is asked for ---- */

bool transport_is_alive(const struct transport *transport, const struct hop *hop)
{
	return hop->worker != transport->worker || hop->connection == 0 ||
	       connection_find(transport, hop) != NULL;
}

void transport_pin(struct transport *transport, const struct hop *hop)
{
	struct connection *connection;

	ASSERT(hop->worker == transport->worker);
	connection = hop->connection != 0 ? connection_find(transport, hop) : NULL;
	if (connection != NULL)
		connection->pins++;
}

void transport_unpin(struct transport *transport, const struct hop *hop)
{
	struct connection *connection;

	ASSERT(hop->worker == transport->worker);
	connection = hop->connection != 0 ? connection_find(transport, hop) : NULL;
	if (connection == NULL)
		return;
	ASSERT(connection->pins > 0);
	connection->pins--;
	connection->active_ms = loop_now_ms(transport->loop); /* idle from now on */
	connection_arm(connection);
}

void transport_close(struct transport *transport, const struct hop *hop, enum close_reason reason)
{
	ASSERT(hop->worker == transport->worker);
	kinds[hop->transport]->close(transport, hop, reason);
}

void transport_stop_accepting(struct transport *transport)
{
	for (unsigned i = 0; i < transport->settings.listener_count; i++)
		listener_stop_accepting(&transport->listeners[i]);
}

unsigned transport_connection_count(const struct transport *transport, enum side side,
                                    enum sip_transport kind)
{
	return transport->counts[side][kind];
}

const struct address *transport_listener_address(const struct transport *transport,
                                                 unsigned listener)
{
	ASSERT(listener < transport->settings.listener_count);
	return &transport->listeners[listener].bound;
}
