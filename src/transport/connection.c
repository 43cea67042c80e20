/*
 * The life of one stream connection: opened or accepted, open, draining what is queued, lingering until the
 * peer has read it, ended; and its deadlines. Those above hear of its end once, from the loop; its memory
 * goes when both are over. Worker thread only. RFC 3261 18, RFC 5626 5.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "transport_internal.h"

/* Time for a peer to take our last answer (the 400 of a broken stream) before the reset that closing with
 * unread bytes would be destroys it. */
#define LINGER_MS 1000
/* For a TLS handshake: three round trips of a phone on a bad network, and a few retransmissions. */
#define HANDSHAKE_MS 10000

static bool same_connection(const struct hash_link *link, const void *key)
{
	return CONTAINER_OF(link, struct connection, in_table)->hop.connection ==
	       *(const uint64_t *)key;
}

struct pool_key {
	enum side
		side; /* a way to a trunk is never one to a Sprout, though they share an address */
	const struct transport_peer *peer;
};

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_dialled(const struct dialled *dialled, const struct transport_peer *peer)
{
	return dialled == NULL ||
	       (same_text(dialled->tls, peer->tls) && same_text(dialled->name, peer->name));
}

static bool same_peer(const struct hash_link *link, const void *key)
{
	const struct connection *connection = CONTAINER_OF(link, struct connection, in_pool);
	const struct pool_key *wanted = key;

	return connection->hop.side == wanted->side &&
	       connection->hop.transport == wanted->peer->transport &&
	       address_equal(&connection->hop.remote, wanted->peer->address) &&
	       same_dialled(connection->dialled, wanted->peer);
}

/* Our own numbers, which no client chooses: no keyed hash needed. */
static uint64_t id_hash(uint64_t id)
{
	id *= 0x9e3779b97f4a7c15u;
	return id ^ id >> 32;
}

int connections_init(struct transport *transport)
{
	int err;

	transport->next_connection = 1;
	list_init(&transport->all_connections);
	list_init(&transport->flush);
	list_init(&transport->gone);
	err = hash_table_init(&transport->connections, 64, same_connection);
	if (err == 0)
		err = hash_table_init(&transport->pool, 64, same_peer);
	if (err == 0)
		err = crowds_init(transport);
	return err;
}

struct connection *connection_find(const struct transport *transport, const struct hop *hop)
{
	struct hash_link *link;

	link = hash_table_find(&transport->connections, id_hash(hop->connection), &hop->connection);
	return link != NULL ? CONTAINER_OF(link, struct connection, in_table) : NULL;
}

struct connection *connection_find_pooled(const struct transport *transport, enum side side,
                                          const struct transport_peer *peer)
{
	const struct pool_key key = {side, peer};
	struct hash_link *link;

	link = hash_table_find(&transport->pool, address_hash(peer->address) + peer->transport,
	                       &key);
	return link != NULL ? CONTAINER_OF(link, struct connection, in_pool) : NULL;
}

/* When something has to happen to it if nothing else does; UINT64_MAX: never. */
static uint64_t open_deadline(const struct connection *connection)
{
	const struct transport_settings *settings = &connection->transport->settings;

	const uint64_t ping_due = websocket_ping_due(connection);
	uint64_t due = UINT64_MAX;

	if (connection->held)
		return connection->held_since + settings->partial_ms;
	if (connection->partial_since != 0)
		return connection->partial_since + settings->partial_ms;
	if (connection->hop.side == SIDE_ACCESS && connection->pins == 0)
		due = connection->active_ms + (connection->heard || settings->first_byte_ms == 0
		                                       ? settings->idle_ms
		                                       : settings->first_byte_ms);
	return ping_due < due ? ping_due : due;
}

/* Every message moves the deadline, so a timer that would fire too early is left: it looks again. */
void connection_arm(struct connection *connection)
{
	struct transport *transport = connection->transport;
	const uint64_t now = loop_now_ms(transport->loop);
	uint64_t due;

	if (connection->state != CONNECTION_OPEN)
		return;
	due = open_deadline(connection);
	if (due == UINT64_MAX ||
	    (timer_is_running(&connection->life) && connection->life.due_ms <= due))
		return;
	timer_start(loop_timers(transport->loop), &connection->life, due > now ? due - now : 0);
}

/* Something has to come from it before partial_ms are over. */
static void expect(struct connection *connection)
{
	connection->partial_since = loop_now_ms(connection->transport->loop);
	connection_arm(connection);
}

static void on_open_deadline(struct connection *connection)
{
	struct transport *transport = connection->transport;

	if (loop_now_ms(transport->loop) < open_deadline(connection)) {
		connection_arm(connection);
	} else if (connection->held) {
		connection_abort(connection, CLOSE_QUEUE_FULL);
	} else if (connection->partial_since != 0 && connection_is_websocket(connection)) {
		websocket_on_slow(connection);
	} else if (connection->partial_since != 0) {
		metrics_add(transport->metrics, METRIC_PARSE_ERRORS, connection->hop.transport,
		            PARSE_ERROR_FRAME_SLOW, 0, 1);
		connection_abort(connection, CLOSE_SLOW);
	} else if (loop_now_ms(transport->loop) >= websocket_ping_due(connection)) {
		websocket_on_ping_due(connection);
		connection_arm(connection);
	} else {
		connection_close(connection, connection->heard ? CLOSE_IDLE : CLOSE_SILENT);
	}
}

static enum close_reason connect_failure(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return CLOSE_REFUSED;
	case ETIMEDOUT:
		return CLOSE_CONNECT_TIMEOUT;
	case ECONNRESET:
		return CLOSE_RESET;
	default:
		return CLOSE_UNREACHABLE;
	}
}

void connection_connected(struct connection *connection, int error)
{
	if (error != 0) {
		connection_abort(connection, connect_failure(error));
		return;
	}
	if (event_add(&connection->readable, NULL) != 0) {
		connection_abort(connection, CLOSE_RESET);
		return;
	}
	connection_proceed(connection);
}

void connection_proceed(struct connection *connection)
{
	ASSERT(connection->state < CONNECTION_OPEN);
	if (!connection->opened_by_us && !connection->in_crowd && crowd_enter(connection) != 0) {
		connection_abort(connection, CLOSE_LIMIT);
		return;
	}
	if (connection->state < CONNECTION_TLS && tls_is_due(connection))
		connection_set_state(connection, CONNECTION_TLS);
	else
		connection_set_state(connection, CONNECTION_OPEN);
}

int connection_wait_writable(struct connection *connection)
{
	if (event_add(&connection->writable, NULL) != 0)
		return -ENOMEM;
	connection->blocked = true;
	return 0;
}

static void on_life(struct timer *timer, void *arg)
{
	struct connection *connection = arg;

	switch (connection->state) {
	case CONNECTION_CONNECTING:
		connection_connected(connection, ETIMEDOUT);
		break;
	case CONNECTION_PROXY_HEADER:
		connection_abort(connection, CLOSE_PROXY_HEADER);
		break;
	case CONNECTION_TLS:
		tls_on_deadline(connection);
		break;
	case CONNECTION_OPEN:
		on_open_deadline(connection);
		break;
	case CONNECTION_DRAINING:
	case CONNECTION_LINGERING:
		connection_set_state(connection, CONNECTION_ENDED);
		break;
	case CONNECTION_ENDED:
		break;
	}
}

static void count(struct connection *connection, int by)
{
	const struct hop *hop = &connection->hop;

	connection->transport->counts[hop->side][hop->transport] += (unsigned)by;
	connection->counted = by > 0;
	metrics_add(connection->transport->metrics, METRIC_CONNECTIONS, hop->side, hop->transport,
	            0, by);
}

/* From now on it is gone to those above, who are told soon. */
static void leave(struct connection *connection)
{
	struct transport *transport = connection->transport;

	hash_table_remove(&transport->connections, &connection->in_table);
	hash_table_remove(&transport->pool, &connection->in_pool);
	if (connection->counted)
		count(connection, -1);
	metrics_add(transport->metrics, METRIC_CONNECTION_CLOSED, connection->hop.side,
	            connection->reason, 0, 1);
	list_append(&transport->gone, &connection->in_gone);
	transport_tell_soon(transport);
	if (log_enabled(LOG_DEBUG)) {
		char text[ADDRESS_TEXT_MAX + 8];

		log_debug("connection %llu %s: closed, %s",
		          (unsigned long long)connection->hop.connection,
		          hop_format(&connection->hop, text, sizeof(text)),
		          close_reason_name(connection->reason));
	}
}

/* All that it holds but its own memory. */
static void let_go(struct connection *connection)
{
	struct transport *transport = connection->transport;

	timer_stop(loop_timers(transport->loop), &connection->life);
	event_del(&connection->readable);
	event_del(&connection->writable);
	close(connection->fd);
	connection->fd = -1;
	list_remove(&transport->all_connections, &connection->in_all);
	list_remove(&transport->flush, &connection->in_flush);
	if (!connection->opened_by_us)
		transport->accepted[connection->hop.side]--;
	crowd_leave(connection);
	transport->queued_bytes -= connection->queue.bytes;
	send_queue_free(&connection->queue);
	stream_drop(connection);
	websocket_let_go(connection);
	tls_let_go(connection);
}

static void free_connection(struct grave *grave)
{
	struct connection *connection = CONTAINER_OF(grave, struct connection, grave);

	memory_free(connection->dialled);
	memory_free(connection);
}

static void linger(struct connection *connection)
{
	timer_start(loop_timers(connection->transport->loop), &connection->life, LINGER_MS);
}

static void open_up(struct connection *connection)
{
	struct transport *transport = connection->transport;

	timer_stop(loop_timers(transport->loop), &connection->life);
	connection->active_ms = loop_now_ms(transport->loop);
	count(connection, 1);
	if (!connection->opened_by_us && connection_is_websocket(connection))
		expect(connection); /* who has to speak first */
	else
		connection_arm(connection);
	if (connection->queue.count > 0 && !connection->blocked) {
		list_append(&transport->flush, &connection->in_flush);
		transport_flush_soon(transport);
	}
}

/* The only one that writes the state; it goes forward alone. */
void connection_set_state(struct connection *connection, enum connection_state state)
{
	struct transport *transport = connection->transport;
	const enum connection_state before = connection->state;

	ASSERT(state > before);
	connection->state = state;
	if (before <= CONNECTION_OPEN && state > CONNECTION_OPEN)
		leave(connection);
	switch (state) {
	case CONNECTION_CONNECTING:
		break;
	case CONNECTION_PROXY_HEADER:
		timer_start(loop_timers(transport->loop), &connection->life,
		            transport->settings.partial_ms);
		break;
	case CONNECTION_TLS:
		/* of those that we open the time for connecting goes on */
		if (!connection->opened_by_us)
			timer_start(loop_timers(transport->loop), &connection->life, HANDSHAKE_MS);
		tls_begin(connection);
		break;
	case CONNECTION_OPEN:
		open_up(connection);
		break;
	case CONNECTION_DRAINING:
		event_del(
			&connection
				 ->readable); /* level-triggered: would wake us for what we do not read */
		linger(connection);
		break;
	case CONNECTION_LINGERING:
		connection->io->end(connection);
		shutdown(connection->fd, SHUT_WR);
		linger(connection);
		if (event_add(&connection->readable, NULL) != 0)
			connection_set_state(connection, CONNECTION_ENDED);
		break;
	case CONNECTION_ENDED:
		let_go(connection);
		if (connection->told)
			loop_bury(transport->loop, &connection->grave, free_connection);
		break;
	}
}

void connection_close(struct connection *connection, enum close_reason reason)
{
	if (connection->state > CONNECTION_OPEN)
		return;
	if (connection->state < CONNECTION_OPEN) {
		connection_abort(connection, reason);
		return;
	}
	websocket_say_goodbye(connection, reason);
	if (connection->state > CONNECTION_OPEN)
		return; /* its queue was full */
	connection->reason = reason;
	if (connection->queue.bytes > 0) {
		connection_set_state(connection, CONNECTION_DRAINING);
	} else if (reason == CLOSE_PEER) {
		connection->io->end(connection);
		connection_set_state(connection, CONNECTION_ENDED);
	} else {
		connection_set_state(connection, CONNECTION_LINGERING);
	}
}

void connection_abort(struct connection *connection, enum close_reason reason)
{
	if (connection->state <= CONNECTION_OPEN)
		connection->reason = reason;
	if (connection->state != CONNECTION_ENDED)
		connection_set_state(connection, CONNECTION_ENDED);
}

void connection_tell(struct connection *connection)
{
	struct transport *transport = connection->transport;
	const struct hop hop = connection->hop;
	const enum close_reason reason = connection->reason;

	connection->told = true;
	if (connection->state == CONNECTION_ENDED)
		loop_bury(transport->loop, &connection->grave, free_connection);
	transport->events.on_connection_closed(transport->arg, &hop, reason);
}

static void name_hop(struct connection *connection, struct listener *listener,
                     const struct address *remote)
{
	struct hop *hop = &connection->hop;

	hop->worker = listener->transport->worker;
	hop->transport = listener->settings->transport;
	hop->side = listener->settings->side;
	hop->listener = listener->index;
	hop->remote = *remote;
	hop->connection = listener->transport->next_connection++;
}

static int connection_create(struct listener *listener, int fd, const struct address *remote,
                             bool opened_by_us, struct connection **out)
{
	struct transport *transport = listener->transport;
	struct event_base *base = loop_base(transport->loop);
	struct connection *connection;

	connection = memory_zalloc(sizeof(*connection));
	if (connection == NULL)
		goto fail;
	connection->transport = transport;
	connection->fd = fd;
	connection->io = &stream_io_plain;
	connection->opened_by_us = opened_by_us;
	connection->state = CONNECTION_CONNECTING;
	name_hop(connection, listener, remote);
	framer_init(&connection->framer, transport->settings.message_bytes);
	send_queue_init(&connection->queue);
	timer_init(&connection->life, on_life, connection);
	if (event_assign(&connection->readable, base, fd, EV_READ | EV_PERSIST, tcp_on_readable,
	                 connection) != 0 ||
	    event_assign(&connection->writable, base, fd, EV_WRITE, tcp_on_writable, connection) !=
	            0 ||
	    event_add(opened_by_us ? &connection->writable : &connection->readable, NULL) != 0)
		goto fail;
	connection->blocked = opened_by_us;
	if (opened_by_us) /* others have them from their listener */
		tcp_set_options(fd, connection->hop.side);
	hash_table_insert(&transport->connections, &connection->in_table,
	                  id_hash(connection->hop.connection));
	list_append(&transport->all_connections, &connection->in_all);
	*out = connection;
	return 0;
fail:
	memory_free(connection);
	close(fd);
	return -ENOMEM;
}

/* NULL without TLS. */
static int dialled_create(const struct transport_peer *peer, struct dialled **out)
{
	const size_t tls_size = peer->tls != NULL ? strlen(peer->tls) + 1 : 0,
		     name_size = peer->name != NULL ? strlen(peer->name) + 1 : 0;
	struct dialled *dialled;
	char *text;

	*out = NULL;
	if (!transport_is_tls(peer->transport))
		return 0;
	dialled = memory_zalloc(sizeof(*dialled) + tls_size + name_size);
	if (dialled == NULL)
		return -ENOMEM;
	text = (char *)(dialled + 1);
	if (peer->tls != NULL)
		dialled->tls = memcpy(text, peer->tls, tls_size);
	if (peer->name != NULL)
		dialled->name = memcpy(text + tls_size, peer->name, name_size);
	*out = dialled;
	return 0;
}

int connection_open(struct listener *listener, int fd, const struct transport_peer *peer,
                    struct connection **out)
{
	struct transport *transport = listener->transport;
	struct connection *connection;
	struct dialled *dialled;
	int err;

	err = dialled_create(peer, &dialled);
	if (err != 0) {
		close(fd);
		return err;
	}
	err = connection_create(listener, fd, peer->address, true, &connection);
	if (err != 0) {
		memory_free(dialled);
		return err;
	}
	connection->dialled = dialled;
	hash_table_insert(&transport->pool, &connection->in_pool,
	                  address_hash(peer->address) + peer->transport);
	timer_start(loop_timers(transport->loop), &connection->life,
	            transport->settings.connect_timeout_ms);
	*out = connection;
	return 0;
}

int connection_accept(struct listener *listener, int fd, const struct address *remote,
                      bool proxy_due, struct connection **out)
{
	int err;

	err = connection_create(listener, fd, remote, false, out);
	if (err != 0)
		return err;
	listener->transport->accepted[listener->settings->side]++;
	if (proxy_due)
		connection_set_state(*out, CONNECTION_PROXY_HEADER);
	else
		connection_proceed(*out);
	return 0;
}

/* No event, no telling: for transport_destroy. */
static void connection_destroy(struct connection **connection)
{
	struct connection *c = *connection;

	if (c == NULL)
		return;
	list_remove(&c->transport->gone, &c->in_gone);
	if (c->state <= CONNECTION_OPEN) {
		hash_table_remove(&c->transport->connections, &c->in_table);
		hash_table_remove(&c->transport->pool, &c->in_pool);
		if (c->counted)
			count(c, -1);
	}
	if (c->state != CONNECTION_ENDED)
		let_go(c);
	memory_free(c->dialled);
	memory_free(c);
	*connection = NULL;
}

void connections_free(struct transport *transport)
{
	struct list_link *link;

	while ((link = list_first(&transport->all_connections)) != NULL) {
		struct connection *connection = CONTAINER_OF(link, struct connection, in_all);

		connection_destroy(&connection);
	}
	while ((link = list_first(&transport->gone)) != NULL) {
		struct connection *connection = CONTAINER_OF(link, struct connection, in_gone);

		connection_destroy(&connection);
	}
	hash_table_free(&transport->connections);
	hash_table_free(&transport->pool);
	crowds_free(transport);
}
