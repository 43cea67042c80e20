/*
 * Datagrams when the kernel takes no more, which loopback never does by itself: here sendmmsg is the test's
 * own and refuses when told to.
 */
#include "stage.h"

#include <limits.h>
#include <sys/syscall.h>

static unsigned kernel_room;       /* datagrams that it still takes */
static unsigned kernel_takes = 64; /* of one call */
static unsigned refused;

int sendmmsg(int fd, struct mmsghdr *headers, unsigned int count, int flags)
{
	if (kernel_room == 0) {
		refused++;
		errno = EAGAIN;
		return -1;
	}
	if (count > kernel_takes)
		count = kernel_takes;
	if (count > kernel_room)
		count = kernel_room;
	kernel_room -= count;
	return (int)syscall(SYS_sendmmsg, fd, headers, count, flags);
}

static int setup(void **state)
{
	kernel_room = UINT_MAX;
	kernel_takes = 64;
	refused = 0;
	return stage_setup(state);
}

static struct hop client_hop(int *fd)
{
	struct hop hop = {.transport = TRANSPORT_UDP, .side = SIDE_ACCESS, .listener = ACCESS_UDP};

	*fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &hop.remote);
	return hop;
}

static void expect_numbers(int fd, unsigned from, unsigned to)
{
	char text[16];

	for (unsigned i = from; i < to; i++) {
		snprintf(text, sizeof(text), "number %u", i);
		assert_string_equal(peer_read(fd), text);
	}
}

static void send_numbers(struct stage *stage, const struct hop *hop, unsigned from, unsigned to)
{
	char text[16];

	for (unsigned i = from; i < to; i++) {
		snprintf(text, sizeof(text), "number %u", i);
		stage_send(stage, hop, text);
	}
}

static void partial_batch_is_finished_in_order(void **state)
{
	struct stage *stage = *state;
	int fd;
	struct hop hop = client_hop(&fd);

	kernel_takes = 7;
	send_numbers(stage, &hop, 0, 50);
	loop_turn(stage->loop);
	expect_numbers(fd, 0, 50);
	close(fd);
}

static void what_waits_leaves_when_the_kernel_has_room(void **state)
{
	struct stage *stage = *state;
	int fd;
	struct hop hop = client_hop(&fd);

	kernel_room = 0;
	send_numbers(stage, &hop, 0, 100);
	assert_int_equal(refused, 1); /* from then on it waits to be told of room */
	assert_false(peer_has_input(fd));
	kernel_room = UINT_MAX;
	stage_until(stage, peer_has_input(fd));
	stage_turns(stage);
	expect_numbers(fd, 0, 100);
	assert_int_equal(metrics_total(stage->registry, METRIC_REJECTED), 0);
	close(fd);
}

static void queue_is_bounded_and_drops_are_counted(void **state)
{
	struct stage *stage = *state;
	const int64_t blocks = memory_live_blocks();
	int fd;
	struct hop hop = client_hop(&fd);

	kernel_room = 0;
	send_numbers(stage, &hop, 0, 1024 + 300);
	assert_int_equal(memory_live_blocks(), blocks + 1024);
	assert_int_equal(metrics_read(stage->registry, METRIC_REJECTED, REJECTED_CLASS_PACKET,
	                              REJECTED_QUEUE_FULL, 0),
	                 300);
	for (unsigned i = 0; i < 1024; i += 64) { /* the receiver's buffer is small */
		kernel_room = 64;
		stage_until(stage, kernel_room == 0 && peer_has_input(fd));
		expect_numbers(fd, i, i + 64);
	}
	assert_int_equal(memory_live_blocks(), blocks);
	close(fd);
}

static void destroying_frees_what_waits(void **state)
{
	struct stage *stage = *state;
	const int64_t blocks = memory_live_blocks();
	int fd;
	struct hop hop = client_hop(&fd);

	kernel_room = 0;
	send_numbers(stage, &hop, 0, 100);
	stage_close(stage);
	assert_int_equal(stage_open(stage), 0);
	assert_int_equal(memory_live_blocks(), blocks);
	kernel_room = UINT_MAX;
	stage_turns(stage);
	assert_false(peer_has_input(fd));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(partial_batch_is_finished_in_order, setup,
	                                        stage_teardown),
		cmocka_unit_test_setup_teardown(what_waits_leaves_when_the_kernel_has_room, setup,
	                                        stage_teardown),
		cmocka_unit_test_setup_teardown(queue_is_bounded_and_drops_are_counted, setup,
	                                        stage_teardown),
		cmocka_unit_test_setup_teardown(destroying_frees_what_waits, setup, stage_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
