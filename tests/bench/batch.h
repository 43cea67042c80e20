/*
 * Datagrams in batches: recvmmsg in, sendmmsg out, with the local address of each by IP_PKTINFO, so that one
 * socket can stand for thousands of clients on addresses of their own.
 */
#ifndef BENCH_BATCH_H
#define BENCH_BATCH_H

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define BATCH 64

struct batch {
	struct mmsghdr headers[BATCH];
	struct iovec vectors[BATCH];
	struct sockaddr_in peers[BATCH];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
	} controls[BATCH];
	char bytes[BATCH][WIRE_MAX];
	unsigned count;
};

static inline void batch_init(struct batch *batch)
{
	memset(batch, 0, sizeof(*batch));
	for (unsigned i = 0; i < BATCH; i++) {
		batch->vectors[i].iov_base = batch->bytes[i];
		batch->headers[i].msg_hdr.msg_iov = &batch->vectors[i];
		batch->headers[i].msg_hdr.msg_iovlen = 1;
		batch->headers[i].msg_hdr.msg_name = &batch->peers[i];
	}
}

/* Takes what waits; the number of datagrams. */
static inline unsigned batch_receive(struct batch *batch, int fd)
{
	int got;

	for (unsigned i = 0; i < BATCH; i++) {
		batch->vectors[i].iov_len = WIRE_MAX;
		batch->headers[i].msg_hdr.msg_namelen = sizeof(batch->peers[i]);
		batch->headers[i].msg_hdr.msg_control = NULL;
		batch->headers[i].msg_hdr.msg_controllen = 0;
	}
	got = recvmmsg(fd, batch->headers, BATCH, MSG_DONTWAIT, NULL);
	batch->count = got > 0 ? (unsigned)got : 0;
	return batch->count;
}

static inline void batch_flush(struct batch *batch, int fd)
{
	unsigned sent = 0;

	while (sent < batch->count) {
		int done = sendmmsg(fd, batch->headers + sent, batch->count - sent, 0);

		if (done > 0)
			sent += (unsigned)done;
		else if (errno != EINTR && errno != ECONNREFUSED)
			sent++; /* this one is lost, as on a wire */
	}
	batch->count = 0;
}

/* A place for one more datagram to `to`, from the local address `from` (NULL: the socket's own).
 * Fill it and call batch_done. */
static inline struct draft batch_next(struct batch *batch, int fd, const struct sockaddr_in *to,
                                      const struct in_addr *from)
{
	struct msghdr *header;

	if (batch->count == BATCH)
		batch_flush(batch, fd);
	header = &batch->headers[batch->count].msg_hdr;
	batch->peers[batch->count] = *to;
	header->msg_namelen = sizeof(*to);
	header->msg_control = NULL;
	header->msg_controllen = 0;
	if (from != NULL) {
		struct cmsghdr *control = &batch->controls[batch->count].align;
		struct in_pktinfo info = {.ipi_spec_dst = *from};

		header->msg_control = control;
		header->msg_controllen = sizeof(batch->controls[0].bytes);
		control->cmsg_level = IPPROTO_IP;
		control->cmsg_type = IP_PKTINFO;
		control->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(control), &info, sizeof(info));
	}
	return (struct draft){batch->bytes[batch->count], 0};
}

static inline void batch_done(struct batch *batch, const struct draft *draft)
{
	batch->vectors[batch->count].iov_len = draft->length;
	batch->count++;
}

static inline int batch_socket(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int size = 4 << 20;

	if (fd < 0)
		wire_die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
		wire_die("bind");
	return fd;
}

#endif
