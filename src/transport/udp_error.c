/*
 * ICMP errors of this worker's own UDP sockets toward the core, read from the error queue, where each stands
 * with the address that it is about. Worker thread only.
 */
#define _GNU_SOURCE
#include <time.h> /* linux/errqueue.h needs it before */

#include <linux/errqueue.h>
#include <string.h>
#include <sys/socket.h>

#include "transport_internal.h"

/* A peer that is gone answers each datagram with one; what is left waits for the next turn. */
#define ERRORS_PER_TURN 64

static bool is_unreachable(int error)
{
	switch (error) {
	case ECONNREFUSED: /* port unreachable */
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENETDOWN:
	case ENOPROTOOPT: /* protocol unreachable */
	case EACCES:      /* administratively prohibited, IPv6 */
		return true;
	default:
		return false; /* EMSGSIZE and such blame the datagram */
	}
}

static const struct sock_extended_err *find_error(struct msghdr *header)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
		    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			return (const struct sock_extended_err *)CMSG_DATA(c);
	}
	return NULL;
}

bool udp_drain_errors(struct udp_socket *socket)
{
	bool found = false;

	for (unsigned i = 0; i < ERRORS_PER_TURN; i++) {
		union {
			struct cmsghdr align;
			char bytes[512];
		} control;
		char start[1]; /* of the datagram that failed: of no use to us */
		struct iovec piece = {start, sizeof(start)};
		struct address peer;
		struct msghdr header = {.msg_name = &peer,
		                        .msg_namelen = sizeof(peer),
		                        .msg_iov = &piece,
		                        .msg_iovlen = 1,
		                        .msg_control = &control,
		                        .msg_controllen = sizeof(control)};
		const struct sock_extended_err *error;

		memset(&peer, 0, sizeof(peer));
		if (recvmsg(socket->fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
			break;
		found = true;
		error = find_error(&header);
		if (error == NULL || peer.family == AF_UNSPEC ||
		    !is_unreachable((int)error->ee_errno))
			continue;
		address_normalise(&peer);
		transport_blame(socket->listener->transport, &peer, (int)error->ee_errno);
	}
	return found;
}
