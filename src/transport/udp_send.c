/*
 * Datagrams out: queued on their socket, sent by sendmmsg at the end of the turn or when a batch is full.
 * Worker thread only.
 */
#define _GNU_SOURCE
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/log.h"
#include "transport_internal.h"

/* 65535 less the headers of IPv4 and UDP. */
#define DATAGRAM_MAX_BYTES 65507
/* With IP_RECVERR a send may return the pending error of another peer. Each try takes one of them. */
#define SEND_TRIES 4

union local_control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct send_batch {
	struct mmsghdr headers[FLUSH_BATCH];
	struct iovec pieces[FLUSH_BATCH];
	union local_control control[FLUSH_BATCH];
};

int udp_queue(struct udp_socket *socket, const struct hop *hop, struct bytes **bytes)
{
	struct transport *transport = socket->listener->transport;
	struct udp_queued *queued;

	if ((*bytes)->length > DATAGRAM_MAX_BYTES)
		return -EMSGSIZE;
	if (socket->count == UDP_QUEUE_MAX) {
		metrics_add(transport->metrics, METRIC_REJECTED, REJECTED_CLASS_PACKET,
		            REJECTED_QUEUE_FULL, 0, 1);
		return 0; /* a loss as any other: the transaction will repeat it */
	}
	queued = &socket->queue[(socket->first + socket->count) % UDP_QUEUE_MAX];
	queued->bytes = *bytes;
	queued->to = address_for_family(&hop->remote, socket->family);
	queued->local = socket->tells_local ? hop->local : 0;
	*bytes = NULL;
	socket->count++;
	if (!list_link_in_list(&socket->in_flush))
		list_append(&transport->udp_flush, &socket->in_flush);
	if (socket->count >= FLUSH_BATCH)
		udp_flush(socket);
	transport_flush_soon(transport);
	return 0;
}

/* Let it leave from the address that the request came to. */
static void write_local(struct udp_socket *socket, uint8_t number, union local_control *control,
                        struct msghdr *header)
{
	const struct local *local = local_find(socket->listener->transport, number);
	struct cmsghdr *c = &control->align;

	if (local == NULL)
		return;
	memset(control, 0, sizeof(*control));
	header->msg_control = control;
	if (socket->family == AF_INET) {
		struct in_pktinfo info = {.ipi_spec_dst = local->address.v4.sin_addr};

		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		header->msg_controllen = CMSG_SPACE(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	} else {
		struct address mapped = address_for_family(&local->address, AF_INET6);
		struct in6_pktinfo info = {.ipi6_addr = mapped.v6.sin6_addr};

		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		header->msg_controllen = CMSG_SPACE(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
	}
}

static unsigned batch_fill(struct udp_socket *socket, struct send_batch *batch)
{
	unsigned count = socket->count < FLUSH_BATCH ? socket->count : FLUSH_BATCH;

	for (unsigned i = 0; i < count; i++) {
		struct udp_queued *queued = &socket->queue[(socket->first + i) % UDP_QUEUE_MAX];
		struct msghdr *header = &batch->headers[i].msg_hdr;

		batch->pieces[i] = (struct iovec){queued->bytes->data, queued->bytes->length};
		memset(header, 0, sizeof(*header));
		header->msg_name = &queued->to;
		header->msg_namelen = address_length(&queued->to);
		header->msg_iov = &batch->pieces[i];
		header->msg_iovlen = 1;
		if (queued->local != 0)
			write_local(socket, queued->local, &batch->control[i], header);
	}
	return count;
}

static void queue_drop(struct udp_socket *socket, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		bytes_release(&socket->queue[(socket->first + i) % UDP_QUEUE_MAX].bytes);
	socket->first = (socket->first + count) % UDP_QUEUE_MAX;
	socket->count -= count;
}

/* The first datagram cannot go. Say so if it is the peer's address and not this datagram or our host. */
static void give_up_first(struct udp_socket *socket, int error)
{
	struct transport *transport = socket->listener->transport;
	struct address peer = socket->queue[socket->first].to;
	char text[ADDRESS_TEXT_MAX];

	address_normalise(&peer);
	log_debug("transport: %s: cannot send to %s, %s", socket->listener->settings->name,
	          address_format(&peer, text), error_text(-error));
	metrics_add(transport->metrics, METRIC_REJECTED, REJECTED_CLASS_PACKET, REJECTED_OTHER, 0,
	            1);
	if (socket->own && (error == ENETUNREACH || error == EHOSTUNREACH || error == ENETDOWN ||
	                    error == EHOSTDOWN))
		transport_blame(transport, &peer, error);
	queue_drop(socket, 1);
}

void udp_flush(struct udp_socket *socket)
{
	struct send_batch batch;
	unsigned tries = 0;

	while (socket->count > 0 && !socket->blocked) {
		unsigned count = batch_fill(socket, &batch);
		int sent = sendmmsg(socket->fd, batch.headers, count, MSG_DONTWAIT);
		int error = errno;

		if (sent > 0) {
			queue_drop(socket, (unsigned)sent);
			tries = 0;
		} else if (error == EAGAIN && event_add(&socket->writable, NULL) == 0) {
			socket->blocked = true;
		} else if (socket->own && error != EAGAIN && ++tries < SEND_TRIES) {
			udp_drain_errors(socket);
		} else {
			give_up_first(socket, error);
			tries = 0;
		}
	}
	if (socket->count == 0 || socket->blocked)
		list_remove(&socket->listener->transport->udp_flush, &socket->in_flush);
}
