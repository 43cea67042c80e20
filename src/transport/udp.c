/*
 * Datagrams in: batches by recvmmsg into one slab of the worker. Each listener has its shared port; toward
 * the core there is also a port of this worker's own, so that answers and ICMP errors come home (on a shared
 * port they arrive at any worker). RFC 3261 18.2.1, 18.4. Worker thread only.
 */
#define _GNU_SOURCE
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "transport/stun.h"
#include "transport_internal.h"

#define RECEIVE_BATCH 32
/* So many batches from one socket, then the others have their turn. */
#define BATCHES_PER_TURN 4
/* A burst of 2000 registrations a second survives a worker that is away for a second. */
#define SOCKET_BUFFER_BYTES (4 << 20)

struct udp_slab {
	size_t room; /* per datagram: the longest message, and a byte that tells of a longer one */
	struct mmsghdr headers[RECEIVE_BATCH];
	struct iovec pieces[RECEIVE_BATCH];
	struct address sources[RECEIVE_BATCH];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
		           CMSG_SPACE(sizeof(struct in_pktinfo))];
	} control[RECEIVE_BATCH];
	char bytes[];
};

static int udp_slab_create(size_t message_bytes, struct udp_slab **out)
{
	const size_t room = message_bytes + 1;
	struct udp_slab *slab;

	slab = memory_alloc(sizeof(*slab) +
	                    RECEIVE_BATCH * room); /* pages never touched cost nothing */
	if (slab == NULL)
		return -ENOMEM;
	memset(slab, 0, sizeof(*slab));
	slab->room = room;
	for (unsigned i = 0; i < RECEIVE_BATCH; i++) {
		slab->pieces[i] = (struct iovec){slab->bytes + i * room, room};
		slab->headers[i].msg_hdr.msg_iov = &slab->pieces[i];
		slab->headers[i].msg_hdr.msg_iovlen = 1;
		slab->headers[i].msg_hdr.msg_name = &slab->sources[i];
	}
	*out = slab;
	return 0;
}

void udp_slab_destroy(struct udp_slab **slab)
{
	memory_free(*slab);
	*slab = NULL;
}

/* The kernel overwrites lengths with what it used, so they are set anew for each batch. */
static int slab_receive(struct udp_slab *slab, struct udp_socket *socket)
{
	for (unsigned i = 0; i < RECEIVE_BATCH; i++) {
		struct msghdr *header = &slab->headers[i].msg_hdr;

		header->msg_namelen = sizeof(slab->sources[i]);
		header->msg_control = socket->tells_local ? &slab->control[i] : NULL;
		header->msg_controllen = socket->tells_local ? sizeof(slab->control[i]) : 0;
		header->msg_flags = 0;
	}
	return recvmmsg(socket->fd, slab->headers, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
}

/* Which of our addresses a datagram came to. */
static uint8_t read_local(struct udp_socket *socket, struct msghdr *header)
{
	struct address local;

	memset(&local, 0, sizeof(local));
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			local.v4.sin_family = AF_INET;
			/* ipi_spec_dst would be another address for a broadcast */
			memcpy(&local.v4.sin_addr,
			       CMSG_DATA(c) + offsetof(struct in_pktinfo, ipi_spec_dst), 4);
			break;
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			local.v6.sin6_family = AF_INET6;
			memcpy(&local.v6.sin6_addr,
			       CMSG_DATA(c) + offsetof(struct in6_pktinfo, ipi6_addr), 16);
			break;
		}
	}
	if (local.family == AF_UNSPEC)
		return 0;
	address_normalise(&local);
	address_set_port(&local, address_port(&socket->listener->bound));
	return local_number(socket->listener->transport, &local);
}

/* Keep-alives of phones are a CRLF or two, sometimes NULs or blanks: nothing to parse, nothing to count. */
static bool is_keepalive(const char *data, size_t length)
{
	if (length > 4)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (data[i] != '\r' && data[i] != '\n' && data[i] != '\0' && data[i] != ' ')
			return false;
	}
	return true;
}

/* RFC 5626 8: STUN has its place on the port of the clients, beside SIP. Answered where it came from, by the socket
 * and the address it came to. */
static void take_stun(struct udp_socket *socket, const struct packet *packet)
{
	struct transport *transport = socket->listener->transport;
	uint8_t answer[STUN_ANSWER_MAX];
	struct bytes *bytes;
	size_t length;
	enum stun_result result = stun_answer(packet->bytes, &packet->hop.remote, answer, &length);

	metrics_add(transport->metrics, METRIC_STUN, result, 0, 0, 1);
	if (length == 0)
		return;
	bytes = bytes_copy(slice_of((const char *)answer, length));
	if (bytes == NULL)
		return; /* lost like any datagram: the client asks again */
	udp_queue(socket, &packet->hop, &bytes);
	bytes_release(&bytes);
	transport_keepalive(transport, &packet->hop);
}

static void deliver(struct udp_socket *socket, struct mmsghdr *received, struct address *source)
{
	struct listener *listener = socket->listener;
	struct transport *transport = listener->transport;
	const bool access = listener->settings->side == SIDE_ACCESS;
	const char *data = received->msg_hdr.msg_iov->iov_base;
	struct packet packet;

	address_normalise(source);
	if (!listener_allows(listener, source))
		return;
	if (received->msg_len > transport->settings.message_bytes ||
	    (received->msg_hdr.msg_flags & MSG_TRUNC) != 0) {
		metrics_add(transport->metrics, METRIC_PARSE_ERRORS, TRANSPORT_UDP,
		            PARSE_ERROR_TOO_LARGE, 0, 1);
		return;
	}
	memset(&packet, 0, sizeof(packet));
	packet.bytes = slice_of(data, received->msg_len);
	packet.hop.worker = transport->worker;
	packet.hop.transport = TRANSPORT_UDP;
	packet.hop.side = listener->settings->side;
	packet.hop.own_socket = socket->own;
	packet.hop.listener = listener->index;
	packet.hop.remote = *source;
	if (socket->tells_local)
		packet.hop.local = read_local(socket, &received->msg_hdr);
	if (is_keepalive(data, received->msg_len)) {
		if (access)
			transport_keepalive(transport, &packet.hop);
	} else if (access && stun_begins(packet.bytes)) {
		take_stun(socket, &packet);
	} else {
		transport->events.on_packet(transport->arg, &packet, false);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct udp_socket *socket = arg;
	struct udp_slab *slab = socket->listener->transport->slab;

	for (unsigned batch = 0; batch < BATCHES_PER_TURN; batch++) {
		int count = slab_receive(slab, socket);

		if (count < 0) {
			/* An ICMP error stands before the data, and wakes us without any. */
			if (socket->own && udp_drain_errors(socket))
				continue;
			return;
		}
		for (int i = 0; i < count; i++)
			deliver(socket, &slab->headers[i], &slab->sources[i]);
		if (count < RECEIVE_BATCH)
			return;
	}
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct udp_socket *socket = arg;

	socket->blocked = false;
	udp_flush(socket);
}

static void set_options(struct udp_socket *socket)
{
	const int fd = socket->fd;
	const bool v6 = socket->family == AF_INET6, dual = socket->listener->dual;
	const int size = SOCKET_BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		socket_set(fd, SOL_SOCKET, SO_RCVBUF, size);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) != 0)
		socket_set(fd, SOL_SOCKET, SO_SNDBUF, size);
	if (!v6 || dual) {
		/* A SIP message may be longer than the path's MTU: let it be cut on the way rather than
		 * lose the first one of each kind. */
		socket_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
		if (socket->own)
			socket_set(fd, IPPROTO_IP, IP_RECVERR, 1);
	}
	if (v6 && socket->own)
		socket_set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
	if (socket->tells_local)
		socket_set(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_RECVPKTINFO : IP_PKTINFO,
		           1);
}

static int udp_socket_create(struct listener *listener, bool own, struct udp_socket **out)
{
	struct transport *transport = listener->transport;
	struct event_base *base = loop_base(transport->loop);
	struct address bind_to = listener->settings->bind, bound;
	struct udp_socket *socket;
	int err;

	socket = memory_zalloc(sizeof(*socket));
	if (socket == NULL)
		return -ENOMEM;
	socket->listener = listener;
	socket->own = own;
	socket->fd = -1;
	socket->family = bind_to.family;
	socket->tells_local = !own && address_is_wildcard(&bind_to);
	if (own)
		address_set_port(&bind_to, 0);
	err = listener_bind(listener, SOCK_DGRAM, &bind_to, !own, &socket->fd, &bound);
	if (err == 0 && !own) {
		listener->bound = bound;
		err = steering_attach(socket->fd, transport->settings.workers);
	}
	if (err != 0)
		goto out;
	set_options(socket);
	if (event_assign(&socket->readable, base, socket->fd, EV_READ | EV_PERSIST, on_readable,
	                 socket) != 0 ||
	    event_assign(&socket->writable, base, socket->fd, EV_WRITE, on_writable, socket) != 0 ||
	    event_add(&socket->readable, NULL) != 0) {
		err = -ENOMEM;
		goto out;
	}
	if (own)
		snprintf(listener->own_sent_by, sizeof(listener->own_sent_by), "%.*s:%u",
		         (int)(strrchr(listener->settings->advertise, ':') -
		               listener->settings->advertise),
		         listener->settings->advertise, address_port(&bound));
	*out = socket;
	socket = NULL;
out:
	udp_socket_destroy(&socket);
	return err;
}

void udp_socket_destroy(struct udp_socket **socket)
{
	struct udp_socket *s = *socket;

	if (s == NULL)
		return;
	if (s->fd >= 0) {
		if (event_initialized(&s->readable))
			event_del(&s->readable);
		if (event_initialized(&s->writable))
			event_del(&s->writable);
		close(s->fd);
	}
	list_remove(&s->listener->transport->udp_flush, &s->in_flush);
	for (; s->count > 0; s->count--)
		bytes_release(&s->queue[s->first++ % UDP_QUEUE_MAX].bytes);
	memory_free(s);
	*socket = NULL;
}

static int udp_listen(struct transport *transport, struct listener *listener)
{
	int err;

	if (transport->slab == NULL) {
		err = udp_slab_create(transport->settings.message_bytes, &transport->slab);
		if (err != 0)
			return err;
	}
	err = udp_socket_create(listener, false, &listener->shared);
	if (err == 0 && listener->settings->side == SIDE_CORE)
		err = udp_socket_create(listener, true, &listener->own);
	return err;
}

static int udp_open(struct transport *transport, struct listener *listener,
                    const struct transport_peer *peer, struct hop *out)
{
	memset(out, 0, sizeof(*out));
	out->worker = transport->worker;
	out->transport = TRANSPORT_UDP;
	out->side = listener->settings->side;
	out->own_socket = out->side == SIDE_CORE;
	out->local = local_toward(transport, listener, peer->address);
	out->listener = listener->index;
	out->remote = *peer->address;
	return 0;
}

static int udp_send(struct transport *transport, const struct hop *hop, struct bytes **bytes)
{
	struct listener *listener = &transport->listeners[hop->listener];
	struct udp_socket *socket = hop->own_socket ? listener->own : listener->shared;

	if (socket == NULL)
		return -ENOTCONN;
	return udp_queue(socket, hop, bytes);
}

static void udp_close(struct transport *transport, const struct hop *hop, enum close_reason reason)
{
	/* Nothing stands behind a datagram. */
}

const struct transport_kind transport_udp = {udp_listen, udp_open, udp_send, udp_close};
