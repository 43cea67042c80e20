/*
 * The lower bound: datagrams from one socket to another, recvmmsg and sendmmsg, without looking at them.
 *
 *	forward ACCESS CORE CLIENT SPROUT
 *
 * What comes to ACCESS leaves from CORE to SPROUT; what comes to CORE leaves from ACCESS to CLIENT.
 */
#include <sys/epoll.h>

#include "batch.h"

static struct batch batch;

static void pass(int in, int out, const struct sockaddr_in *to)
{
	while (batch_receive(&batch, in) > 0) {
		bool full = batch.count == BATCH;

		for (unsigned i = 0; i < batch.count; i++) {
			batch.vectors[i].iov_len = batch.headers[i].msg_len;
			batch.peers[i] = *to;
		}
		batch_flush(&batch, out);
		if (!full)
			return;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in access, core, client, sprout;
	int poll, sides[2];

	if (argc != 5) {
		fprintf(stderr, "usage: forward ACCESS CORE CLIENT SPROUT\n");
		return 2;
	}
	access = wire_argument(argv[1]);
	core = wire_argument(argv[2]);
	client = wire_argument(argv[3]);
	sprout = wire_argument(argv[4]);
	batch_init(&batch);
	sides[0] = batch_socket(&access);
	sides[1] = batch_socket(&core);
	poll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};

		if (epoll_ctl(poll, EPOLL_CTL_ADD, sides[i], &event) != 0)
			wire_die("epoll_ctl");
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct epoll_event events[2];
		int count = epoll_wait(poll, events, 2, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.u32 == 0)
				pass(sides[0], sides[1], &sprout);
			else
				pass(sides[1], sides[0], &client);
		}
	}
}
