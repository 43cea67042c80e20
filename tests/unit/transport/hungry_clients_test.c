/*
 * Clients that take more than is theirs: too many connections, connections that say nothing, answers that are
 * never read. Each is bounded, counted, and nobody else's harm.
 */
#include "stage.h"

#include <unistd.h>

static unsigned access_connections(struct stage *stage)
{
	return transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_TCP);
}

static unsigned core_connections(struct stage *stage)
{
	return transport_connection_count(stage->transport, SIDE_CORE, TRANSPORT_TCP);
}

static int connected_client(struct stage *stage)
{
	const unsigned before = access_connections(stage);
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));

	stage_until(stage, access_connections(stage) == before + 1);
	return fd;
}

static int listening_sprout(struct address *address)
{
	int fd = peer_socket(SOCK_STREAM, "127.0.3.9:0", address);

	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static int64_t rejected(struct stage *stage, enum rejected_reason reason)
{
	return metrics_read(stage->registry, METRIC_REJECTED, REJECTED_CLASS_CONNECTION, reason, 0);
}

static void one_address_has_its_number_of_connections_and_others_theirs(void **state)
{
	struct stage *stage = *state;
	struct address sprout;
	int fds[2], beyond, other, core[3], listening = listening_sprout(&sprout);

	stage->settings.max_connections_per_address = 2;
	assert_int_equal(stage_open(stage), 0);
	for (unsigned i = 0; i < 2; i++)
		fds[i] = connected_client(stage);
	beyond = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	stage_until(stage, peer_is_ended(beyond));
	assert_int_equal(rejected(stage, REJECTED_ADDRESS_LIMIT), 1);
	assert_int_equal(rejected(stage, REJECTED_CONNECTIONS_LIMIT), 0);
	other = peer_connect("127.0.3.10:0", stage_listener(stage, ACCESS_TCP));
	stage_until(stage, access_connections(stage) == 3);

	/* a Sprout may have any number, and those we open do not count */
	for (unsigned i = 0; i < 3; i++)
		core[i] = peer_connect("127.0.3.9:0", stage_listener(stage, CORE_TCP));
	stage_open_hop(stage, TRANSPORT_TCP, &sprout);
	stage_until(stage, core_connections(stage) == 4);

	/* a place that becomes free is taken again */
	close(fds[0]);
	stage_until(stage, stage->closed_count == 1);
	fds[0] = connected_client(stage);
	for (unsigned i = 0; i < 3; i++)
		close(core[i]);
	close(fds[0]);
	close(fds[1]);
	close(beyond);
	close(other);
	close(listening);
	stage_until(stage, stage->closed_count >= 7);
}

/* IPv4 clients of a dual listener count by their IPv4 address, IPv6 ones by their network. */
static void behind_a_dual_listener_each_family_is_counted_by_its_own(void **state)
{
	struct stage *stage = *state;
	struct address v4, v6;
	int first, second, beyond;

	stage->listeners[ACCESS_TCP].bind = stage_address("[::]:0");
	stage->settings.max_connections_per_address = 1;
	assert_int_equal(stage_open(stage), 0);
	v4 = stage_address("127.0.3.1:0");
	v6 = stage_address("[::1]:0");
	address_set_port(&v4, address_port(stage_listener(stage, ACCESS_TCP)));
	address_set_port(&v6, address_port(stage_listener(stage, ACCESS_TCP)));
	first = peer_connect("127.0.3.9:0", &v4);
	second = peer_connect("127.0.3.10:0", &v4);
	beyond = peer_connect("[::1]:0", &v6);
	stage_until(stage, access_connections(stage) == 3);
	close(beyond);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_hop.remote.family, AF_INET6);
	beyond = peer_connect("127.0.3.9:0", &v4);
	stage_until(stage, peer_is_ended(beyond));
	assert_int_equal(rejected(stage, REJECTED_ADDRESS_LIMIT), 1);
	close(first);
	close(second);
	close(beyond);
	stage_until(stage, stage->closed_count == 3);
}

/* The kernel gives the lowest number that is free: all below the limit are given away. */
static unsigned take_descriptors(unsigned limit, int taken[])
{
	unsigned count = 0;

	for (;;) {
		int fd = dup(STDERR_FILENO);

		assert_true(fd >= 0);
		taken[count++] = fd;
		if (fd + 1 >= (int)limit)
			return count;
	}
}

static void clients_leave_us_the_last_descriptors(void **state)
{
	struct stage *stage = *state;
	struct address sprout;
	int first, second, third, core, listening = listening_sprout(&sprout), taken[64];
	unsigned count;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	first = dup(STDERR_FILENO);
	close(first);
	stage->settings.descriptor_limit = (unsigned)first + 48;
	assert_int_equal(stage_open(stage), 0);
	first = connected_client(stage);
	count = take_descriptors(stage->settings.descriptor_limit, taken);
	second = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	stage_until(stage, peer_is_ended(second));
	assert_int_equal(rejected(stage, REJECTED_DESCRIPTORS), 1);

	/* now it rests; the core does not, and has the reserve */
	third = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	core = peer_connect("127.0.3.9:0", stage_listener(stage, CORE_TCP));
	stage_open_hop(stage, TRANSPORT_TCP, &sprout);
	stage_until(stage, core_connections(stage) == 2);
	assert_false(peer_is_ended(third));
	while (count > 0)
		close(taken[--count]);
	fake_clock_advance_ms(1000);
	stage_until(stage, access_connections(stage) == 2);
	assert_int_equal(rejected(stage, REJECTED_DESCRIPTORS), 1);
	close(first);
	close(second);
	close(third);
	close(core);
	close(listening);
}

static void connection_that_never_says_a_byte_is_closed_soon(void **state)
{
	struct stage *stage = *state;
	int silent, pinging;

	stage->settings.first_byte_ms = 30000;
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	silent = connected_client(stage);
	pinging = connected_client(stage);
	peer_write(pinging, "\r\n\r\n");
	stage_until(stage, peer_has_input(pinging));
	fake_clock_advance_ms(29999);
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 0);
	fake_clock_advance_ms(1);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_SILENT);
	assert_int_equal(metrics_read(stage->registry, METRIC_CONNECTION_CLOSED, SIDE_ACCESS,
	                              CLOSE_SILENT, 0),
	                 1);
	stage_until(stage, peer_is_ended(silent));
	assert_false(peer_is_ended(pinging) && !peer_has_input(pinging));
	assert_int_equal(access_connections(stage), 1);
	close(silent);
	close(pinging);
}

/* ---- a client that asks and does not read ---- */

static int64_t held(struct stage *stage)
{
	return metrics_read(stage->registry, METRIC_CONNECTION_HELD, SIDE_ACCESS, 0, 0);
}

/* Answers of 1 KiB, until the buffers of the kernel and then ours are full. Returns once it is held. */
static int deaf_client(struct stage *stage)
{
	static char answer[1024];
	const struct address *edge = stage_listener(stage, ACCESS_TCP);
	const int small = 32 << 10;
	struct address bound;
	int fd = peer_socket(SOCK_STREAM, "127.0.3.9:0", &bound);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(connect(fd, &edge->any, address_length(edge)), 0);
	memset(answer, 'a', sizeof(answer) - 1);
	stage->answer = answer;
	while (held(stage) == 0) {
		(void)!send(fd, OPTIONS_TEXT, sizeof(OPTIONS_TEXT) - 1,
		            MSG_DONTWAIT | MSG_NOSIGNAL);
		loop_turn(stage->loop);
		if (stage->closed_count != 0)
			fail_msg("closed: %s, after %u", close_reason_name(stage->closed_reason),
			         stage->packet_count);
	}
	return fd;
}

static void who_does_not_read_is_not_read_from_until_it_does(void **state)
{
	struct stage *stage = *state;
	unsigned before;
	int fd;

	stage->settings.connection_queue_bytes = 1 << 20;
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = deaf_client(stage);
	stage_turns(stage);
	before = stage->packet_count;
	for (unsigned i = 0; i < 100; i++)
		(void)!send(fd, OPTIONS_TEXT, sizeof(OPTIONS_TEXT) - 1,
		            MSG_DONTWAIT | MSG_NOSIGNAL);
	stage_turns(stage);
	assert_int_equal(stage->packet_count, before); /* nothing more is heard of it */
	assert_int_equal(stage->closed_count, 0);

	/* others are served, and it is too once it reads */
	close(connected_client(stage));
	stage_until(stage, stage->closed_count == 1);
	stage_until(stage, (peer_read(fd), stage->packet_count >= before + 50));
	assert_int_equal(stage->closed_count, 1);
	stage->answer = NULL;
	close(fd);
}

static void who_does_not_read_for_long_is_closed(void **state)
{
	struct stage *stage = *state;
	int fd;

	stage->settings.connection_queue_bytes = 1 << 20;
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = deaf_client(stage);
	stage->answer = NULL;
	fake_clock_advance_ms(9999);
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 0);
	fake_clock_advance_ms(1);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_QUEUE_FULL);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		stage_test_closed(one_address_has_its_number_of_connections_and_others_theirs),
		stage_test_closed(behind_a_dual_listener_each_family_is_counted_by_its_own),
		stage_test_closed(clients_leave_us_the_last_descriptors),
		stage_test_closed(connection_that_never_says_a_byte_is_closed_soon),
		stage_test_closed(who_does_not_read_is_not_read_from_until_it_does),
		stage_test_closed(who_does_not_read_for_long_is_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
