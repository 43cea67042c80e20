/*
 * TCP: listening, connecting, reading, writing. RFC 3261 18. Worker thread only.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"
#include "transport_internal.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* After a start of thousands of clients at once. The kernel has its own maximum (somaxconn). */
#define LISTEN_BACKLOG 4096
/* One connection takes no more of a turn than this. */
#define READ_TURN_BYTES (128u << 10)
#define READ_BYTES (64u << 10)
/* Waiting to be written on all connections of a worker, on top of the limit of each. */
#define QUEUED_BYTES_MAX (256u << 20)

/* How long a peer may be silent before the kernel asks, how often it asks again; and how long it may leave
 * our bytes unacknowledged. A phone is not woken often; a Sprout's death must be known soon. */
static const struct {
	int idle_s, interval_s, probes, unacknowledged_ms;
} keepalive[SIDES] = {
	[SIDE_ACCESS] = {120, 30, 4, 30000},
	[SIDE_CORE] = {10, 3, 3, 10000},
};

void tcp_set_options(int fd, enum side side)
{
	socket_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	socket_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	socket_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, keepalive[side].idle_s);
	socket_set(fd, IPPROTO_TCP, TCP_KEEPINTVL, keepalive[side].interval_s);
	socket_set(fd, IPPROTO_TCP, TCP_KEEPCNT, keepalive[side].probes);
	socket_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, keepalive[side].unacknowledged_ms);
}

int tcp_listen(struct transport *transport, struct listener *listener)
{
	int err;

	err = listener_bind(listener, SOCK_STREAM, &listener->settings->bind, true, &listener->fd,
	                    &listener->bound);
	if (err != 0)
		return err;
	tcp_set_options(listener->fd, listener->settings->side); /* what it accepts inherits them */
	if (listen(listener->fd, LISTEN_BACKLOG) != 0)
		return -errno;
	return listener_start_accepting(listener);
}

/* From the address that the peer knows us by, if there is one. */
static int bind_source(const struct listener *listener, int fd, const struct address *peer)
{
	struct address source = listener->settings->bind;

	if (address_is_wildcard(&source) || source.family != peer->family)
		return 0;
	address_set_port(&source, 0);
	socket_set(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	return bind(fd, &source.any, address_length(&source)) == 0 ? 0 : -errno;
}

static int dial(const struct listener *listener, const struct address *peer, int *out)
{
	int fd, err;

	fd = socket(peer->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = bind_source(listener, fd, peer);
	if (err == 0 && connect(fd, &peer->any, address_length(peer)) != 0 && errno != EINPROGRESS)
		err = -errno;
	if (err != 0) {
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

static int tcp_open(struct transport *transport, struct listener *listener,
                    const struct transport_peer *peer, struct hop *out)
{
	struct connection *connection;
	int fd = -1, err;

	connection = connection_find_pooled(transport, listener->settings->side, peer);
	if (connection != NULL) {
		*out = connection->hop;
		return 0;
	}
	err = tls_may_open(transport, peer);
	if (err == 0)
		err = dial(listener, peer->address, &fd);
	if (err == 0)
		err = connection_open(listener, fd, peer, &connection);
	if (err != 0)
		return err;
	connection->hop.local = local_toward(transport, listener, peer->address);
	*out = connection->hop;
	return 0;
}

static bool is_over_limit(const struct connection *connection, size_t length)
{
	const struct transport *transport = connection->transport;

	/* One that takes its bytes has none waiting, and does not suffer for those that do not. */
	return connection->queue.bytes > 0 &&
	       (transport->queued_bytes + length > QUEUED_BYTES_MAX ||
	        connection->queue.bytes + length > transport->settings.connection_queue_bytes);
}

/* Before it is open what is sent waits: for the peer to be there, and to have shown who it is. */
static bool can_flush(const struct connection *connection)
{
	return connection->state == CONNECTION_OPEN && !connection->blocked;
}

static int push(struct connection *connection, struct bytes **bytes)
{
	const size_t length = (*bytes)->length;
	const int err = send_queue_push(&connection->queue, bytes);

	if (err == 0)
		connection->transport->queued_bytes += length;
	return err;
}

int tcp_queue(struct connection *connection, struct bytes **front, struct bytes **bytes)
{
	struct transport *transport = connection->transport;
	const size_t length = (*bytes)->length + (front != NULL ? (*front)->length : 0);
	int err = 0;

	if (is_over_limit(connection, length) && can_flush(connection)) {
		tcp_flush(connection); /* one turn may bring more than the queue holds */
		if (connection->state != CONNECTION_OPEN)
			return -ENOTCONN;
	}
	if (is_over_limit(connection, length)) {
		connection_abort(connection, CLOSE_QUEUE_FULL);
		return -ENOBUFS;
	}
	if (front != NULL)
		err = push(connection, front);
	if (err == 0)
		err = push(connection, bytes);
	if (err != 0 && front != NULL && *front == NULL)
		connection_abort(connection, CLOSE_LIMIT); /* half of it is queued */
	if (err != 0)
		return err;
	if (connection->blocked)
		connection_weigh(connection);
	if (can_flush(connection) && !list_link_in_list(&connection->in_flush)) {
		list_append(&transport->flush, &connection->in_flush);
		transport_flush_soon(transport);
	}
	return 0;
}

static int tcp_send(struct transport *transport, const struct hop *hop, struct bytes **bytes)
{
	struct connection *connection = connection_find(transport, hop);
	int err;

	if (connection == NULL)
		return -ENOTCONN;
	if ((*bytes)->length == 0)
		return 0;
	err = tcp_queue(connection, NULL, bytes);
	if (err == 0)
		connection->active_ms = loop_now_ms(transport->loop);
	return err;
}

void tcp_close(struct transport *transport, const struct hop *hop, enum close_reason reason)
{
	struct connection *connection = connection_find(transport, hop);

	if (connection != NULL)
		connection_close(connection, reason);
}

/* ---- the plain socket ---- */

static ssize_t plain_read(struct connection *connection, char *bytes, size_t size)
{
	ssize_t length;

	do {
		length = recv(connection->fd, bytes, size, MSG_DONTWAIT);
	} while (length < 0 && errno == EINTR);
	return length >= 0 ? length : -errno;
}

static ssize_t plain_write(struct connection *connection, const struct iovec *pieces,
                           unsigned count)
{
	struct msghdr header = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = count};
	ssize_t written;
	int err;

	do {
		written = sendmsg(connection->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (written < 0 && errno == EINTR);
	if (written >= 0)
		return written;
	if (errno != EAGAIN)
		return -errno;
	err = connection_wait_writable(connection);
	return err == 0 ? -EAGAIN : err;
}

static void plain_end(struct connection *connection)
{
}

const struct stream_io stream_io_plain = {plain_read, plain_write, plain_end};

/* ---- reading and writing, whatever lies below ---- */

static enum close_reason failure(ssize_t err)
{
	return err == -EPROTO ? CLOSE_TLS : CLOSE_RESET;
}

void tcp_flush(struct connection *connection)
{
	struct transport *transport = connection->transport;
	struct iovec pieces[FLUSH_BATCH];

	while (connection->queue.count > 0) {
		const unsigned count = send_queue_pieces(&connection->queue, pieces);
		const ssize_t written = connection->io->write(connection, pieces, count);

		if (written == -EAGAIN)
			break;
		if (written < 0) {
			connection_abort(connection, failure(written));
			return;
		}
		send_queue_written(&connection->queue, (size_t)written);
		transport->queued_bytes -= (size_t)written;
	}
	list_remove(&transport->flush, &connection->in_flush);
	connection_weigh(connection);
	if (connection->queue.count == 0 && connection->state == CONNECTION_DRAINING)
		connection_set_state(connection, CONNECTION_LINGERING);
}

static void on_connected(struct connection *connection)
{
	socklen_t length = sizeof(int);
	int error = 0;

	if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
		error = errno;
	connection_connected(connection, error);
}

void tcp_on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *connection = arg;

	connection->blocked = false;
	if (connection->state == CONNECTION_CONNECTING)
		on_connected(connection);
	else if (connection->state == CONNECTION_TLS)
		tls_shake_soon(connection);
	if (connection->state == CONNECTION_OPEN || connection->state == CONNECTION_DRAINING)
		tcp_flush(connection);
}

/* Our FIN is sent: what still comes is not for us, but must be read for the peer to hear us out. */
static void read_to_nowhere(struct connection *connection)
{
	struct transport *transport = connection->transport;
	ssize_t length;

	length = recv(connection->fd, transport->scratch, transport->scratch_size, MSG_DONTWAIT);
	if (length == 0 || (length < 0 && errno != EAGAIN && errno != EINTR))
		connection_set_state(connection, CONNECTION_ENDED);
}

void tcp_read(struct connection *connection)
{
	struct transport *transport = connection->transport;
	size_t taken = 0;

	while (connection->state == CONNECTION_OPEN && !connection->held &&
	       taken < READ_TURN_BYTES) {
		const size_t kept = connection->partial_length,
			     room = transport->scratch_size - kept;
		ssize_t length;

		if (kept > 0)
			memcpy(transport->scratch, connection->partial, kept);
		length = connection->io->read(connection, transport->scratch + kept, room);
		if (length == -EAGAIN)
			return;
		if (length < 0) {
			connection_abort(connection, failure(length));
		} else if (length == 0) {
			connection_close(connection, CLOSE_PEER);
		} else {
			taken += (size_t)length;
			connection->heard = true;
			stream_take(connection, kept + (size_t)length);
			if ((size_t)length < room && !connection->more)
				return;
		}
	}
}

void tcp_on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct connection *connection = arg;

	if (connection->state == CONNECTION_PROXY_HEADER)
		proxy_header_take(connection);
	switch (connection->state) {
	case CONNECTION_TLS:
		tls_shake_soon(connection);
		break;
	case CONNECTION_OPEN:
		tcp_read(connection);
		break;
	case CONNECTION_LINGERING:
		read_to_nowhere(connection);
		break;
	case CONNECTION_CONNECTING:
	case CONNECTION_PROXY_HEADER:
	case CONNECTION_DRAINING:
	case CONNECTION_ENDED:
		break;
	}
}

size_t tcp_scratch_size(size_t message_bytes)
{
	/* A framer that waits for more holds less than a message; then there is always room to read. */
	return message_bytes + READ_BYTES;
}

const struct transport_kind transport_tcp = {tcp_listen, tcp_open, tcp_send, tcp_close};
