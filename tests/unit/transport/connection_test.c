/*
 * The life of connections: opened once per peer, refused, reset, idle, pinned, limited, closed; and nothing
 * of them left behind.
 */
#include "stage.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>

static int connected_client(struct stage *stage)
{
	const unsigned before =
		transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_TCP);
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));

	stage_until(stage, transport_connection_count(stage->transport, SIDE_ACCESS,
	                                              TRANSPORT_TCP) == before + 1);
	return fd;
}

static int listening_sprout(struct address *address)
{
	int fd = peer_socket(SOCK_STREAM, "127.0.3.9:0", address);

	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static unsigned core_connections(struct stage *stage)
{
	return transport_connection_count(stage->transport, SIDE_CORE, TRANSPORT_TCP);
}

static void one_connection_serves_all_requests_to_a_peer(void **state)
{
	struct stage *stage = *state;
	struct address sprout, other, from;
	socklen_t length = sizeof(from);
	int listening = listening_sprout(&sprout), listening_other = listening_sprout(&other), fd;
	struct hop first = stage_open_hop(stage, TRANSPORT_TCP, &sprout), second, third;

	stage_send(stage, &first, OPTIONS_TEXT); /* while it connects */
	second = stage_open_hop(stage, TRANSPORT_TCP, &sprout);
	assert_true(hop_equal(&first, &second));
	third = stage_open_hop(stage, TRANSPORT_TCP, &other);
	assert_false(hop_equal(&first, &third));
	assert_int_equal(first.side, SIDE_CORE);
	assert_int_equal(first.listener, CORE_TCP);
	assert_string_equal(transport_sent_by(stage->transport, &first), "core.example.net:5058");

	memset(&from, 0, sizeof(from));
	fd = accept(listening, &from.any, &length);
	assert_true(address_equal_host(&from, stage_listener(stage, CORE_TCP)));
	stage_until(stage, peer_has_input(fd));
	assert_string_equal(peer_read(fd), OPTIONS_TEXT);
	second = stage_open_hop(stage, TRANSPORT_TCP, &sprout);
	assert_true(hop_equal(&first, &second));

	/* what the Sprout sends on it is its word, and is answered on it */
	stage->answer = ANSWER_TEXT;
	peer_write(fd, MESSAGE_TEXT);
	stage_until(stage, peer_has_input(fd));
	assert_true(hop_equal(&stage->packets[0].hop, &first));
	assert_string_equal(peer_read(fd), ANSWER_TEXT);

	close(fd);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_PEER);
	assert_true(hop_equal(&stage->closed_hop, &first));
	second = stage_open_hop(stage, TRANSPORT_TCP, &sprout);
	assert_false(hop_equal(&first, &second)); /* a number is never used again */
	transport_close(stage->transport, &second, CLOSE_LOCAL);
	third = stage_open_hop(stage, TRANSPORT_TCP,
	                       &sprout); /* nor one that waits to be told of */
	assert_false(hop_equal(&second, &third));
	close(listening);
	close(listening_other);
}

static void refused_connection_is_told_later_with_its_reason(void **state)
{
	struct stage *stage = *state;
	struct address sprout;
	int listening = listening_sprout(&sprout);
	struct hop hop;

	close(listening);
	hop = stage_open_hop(stage, TRANSPORT_TCP, &sprout);
	stage_send(stage, &hop, OPTIONS_TEXT);
	assert_int_equal(stage->closed_count, 0);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_REFUSED);
	assert_true(hop_equal(&stage->closed_hop, &hop));
	assert_false(transport_is_alive(stage->transport, &hop));
	assert_int_equal(stage_send_status(stage, &hop, "x", 1), -ENOTCONN);
	assert_int_equal(core_connections(stage), 0);
}

/* The backlog is full, so the kernel drops what we send. */
static void connection_that_nobody_answers_times_out(void **state)
{
	struct stage *stage = *state;
	struct address sprout;
	int listening = peer_socket(SOCK_STREAM, "127.0.3.9:0", &sprout), fill[2];
	struct hop hop;

	assert_int_equal(listen(listening, 0), 0);
	for (unsigned i = 0; i < 2; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(fill[i], &sprout.any, address_length(&sprout));
	}
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	hop = stage_open_hop(stage, TRANSPORT_TCP, &sprout);
	stage_send(stage, &hop, OPTIONS_TEXT);
	fake_clock_advance_ms(1999);
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 0);
	assert_true(transport_is_alive(stage->transport, &hop));
	fake_clock_advance_ms(1);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_CONNECT_TIMEOUT);
	for (unsigned i = 0; i < 2; i++)
		close(fill[i]);
	close(listening);
}

static void reset_is_told_as_reset(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	peer_write(fd, "MESSAGE sip:a SIP/2.0\r\nContent-Le");
	stage_turns(stage);
	peer_reset(fd);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_RESET);
	assert_int_equal(metrics_read(stage->registry, METRIC_CONNECTION_CLOSED, SIDE_ACCESS,
	                              CLOSE_RESET, 0),
	                 1);
	assert_int_equal(metrics_read(stage->registry, METRIC_CONNECTIONS, SIDE_ACCESS,
	                              TRANSPORT_TCP, 0),
	                 0);
}

static void peer_without_a_route_is_an_error_at_once(void **state)
{
	struct stage *stage = *state;
	struct address nowhere =
		stage_address("192.0.2.1:5060"); /* from a loopback address: no way out */
	struct hop hop;

	assert_true(stage_try_open(stage, TRANSPORT_TCP, &nowhere, &hop) < 0);
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 0);
}

/* What comes back on a way that we opened is of the side it was opened to. */
static void a_way_to_a_trunk_is_of_the_access_side(void **state)
{
	struct stage *stage = *state;
	struct address peer;
	int listening = peer_socket(SOCK_STREAM, "127.0.3.9:0", &peer);
	struct hop access, again, core;
	int fd;

	assert_int_equal(listen(listening, 4), 0);
	assert_int_equal(stage_try_open_access(stage, TRANSPORT_TCP, &peer, &access), 0);
	assert_int_equal(stage_try_open_access(stage, TRANSPORT_TCP, &peer, &again), 0);
	assert_int_equal(stage_try_open(stage, TRANSPORT_TCP, &peer, &core), 0);
	assert_true(hop_equal(&access, &again));
	assert_false(hop_equal(&access, &core));
	assert_int_equal(core.side, SIDE_CORE);
	stage_send(stage, &access, OPTIONS_TEXT);
	stage_turns(stage);
	fd = accept(listening, NULL, NULL);
	assert_true(fd >= 0);
	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_int_equal(stage->packets[0].hop.side, SIDE_ACCESS);
	assert_true(hop_equal(&stage->packets[0].hop, &access));
	close(fd);
	close(listening);
}

static void closing_writes_first_what_is_queued(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	stage_send(stage, &stage->packets[0].hop, ANSWER_TEXT);
	stage->in_call = true;
	transport_close(stage->transport, &stage->packets[0].hop, CLOSE_LOCAL);
	transport_close(stage->transport, &stage->packets[0].hop, CLOSE_LOCAL);
	stage->in_call = false;
	assert_false(transport_is_alive(stage->transport, &stage->packets[0].hop));
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_LOCAL);
	assert_string_equal(peer_read(fd), ANSWER_TEXT);
	stage_until(stage, peer_is_ended(fd));
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 1);
	close(fd);
}

static void closing_does_not_wait_for_a_peer_that_never_reads(void **state)
{
	struct stage *stage = *state;
	char *text = calloc(1, 1000000);
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = connected_client(stage);
	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	for (unsigned i = 0; i < 8; i++) { /* until the kernel takes no more */
		assert_int_equal(stage_send_status(stage, &stage->packets[0].hop, text, 500000), 0);
		stage_turns(stage);
	}
	transport_close(stage->transport, &stage->packets[0].hop, CLOSE_LOCAL);
	stage_until(stage, stage->closed_count == 1);
	fake_clock_advance_ms(1000);
	stage_turns(stage);
	/* the descriptor is gone: who reads on finds less than everything, and the end */
	while (!peer_is_ended(fd))
		(void)!recv(fd, text, 1000000, MSG_DONTWAIT);
	free(text);
	close(fd);
}

static void idle_access_connection_is_closed_unless_a_flow_pins_it(void **state)
{
	struct stage *stage = *state;
	int idle, pinned, core;
	struct hop hop;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	idle = connected_client(stage);
	pinned = connected_client(stage);
	core = peer_connect("127.0.3.9:0", stage_listener(stage, CORE_TCP));
	stage_until(stage, core_connections(stage) == 1);
	peer_write(pinned, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	hop = stage->packets[0].hop;
	transport_pin(stage->transport, &hop);
	transport_pin(stage->transport, &hop);

	fake_clock_advance_ms(599000);
	peer_write(idle, OPTIONS_TEXT); /* a sign of life */
	stage_turns(stage);
	fake_clock_advance_ms(599000);
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 0);
	fake_clock_advance_ms(1000);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_IDLE);
	assert_false(hop_equal(&stage->closed_hop, &hop));
	assert_true(transport_is_alive(stage->transport, &hop));

	transport_unpin(stage->transport, &hop);
	fake_clock_advance_ms(3600000);
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 1);
	transport_unpin(stage->transport, &hop);
	fake_clock_advance_ms(600000);
	stage_until(stage, stage->closed_count == 2);
	assert_true(hop_equal(&stage->closed_hop, &hop));
	assert_int_equal(core_connections(stage), 1); /* the core's are never idle */
	close(idle);
	close(pinned);
	close(core);
}

static void connection_beyond_the_limit_is_closed_and_counted(void **state)
{
	struct stage *stage = *state;
	struct address sprout;
	int fds[3], listening = listening_sprout(&sprout), core;

	stage->settings.max_connections = 2;
	assert_int_equal(stage_open(stage), 0);
	for (unsigned i = 0; i < 2; i++)
		fds[i] = connected_client(stage);
	fds[2] = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	stage_until(stage, peer_is_ended(fds[2]));
	assert_int_equal(transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_TCP),
	                 2);
	assert_int_equal(stage->closed_count, 0);
	assert_int_equal(metrics_read(stage->registry, METRIC_CONNECTION_CLOSED, SIDE_ACCESS,
	                              CLOSE_LIMIT, 0),
	                 1);
	assert_int_equal(metrics_read(stage->registry, METRIC_REJECTED, REJECTED_CLASS_CONNECTION,
	                              REJECTED_CONNECTIONS_LIMIT, 0),
	                 1);

	/* clients cannot take the core's places */
	core = peer_connect("127.0.3.9:0", stage_listener(stage, CORE_TCP));
	stage_open_hop(stage, TRANSPORT_TCP, &sprout);
	stage_until(stage, core_connections(stage) == 2);

	/* a place that becomes free is taken again */
	close(fds[0]);
	stage_until(stage, stage->closed_count == 1);
	close(fds[2]);
	fds[2] = connected_client(stage);
	close(fds[1]);
	close(fds[2]);
	close(core);
	close(listening);
}

static void stranger_cannot_connect_to_the_core(void **state)
{
	struct stage *stage = *state;
	int fd = peer_connect("127.0.4.1:0", stage_listener(stage, CORE_TCP));

	stage_until(stage, peer_is_ended(fd));
	assert_int_equal(core_connections(stage), 0);
	assert_int_equal(metrics_read(stage->registry, METRIC_REJECTED, REJECTED_CLASS_CONNECTION,
	                              REJECTED_NOT_ALLOWED_PEER, 0),
	                 1);
	close(fd);
}

static void without_descriptors_accepting_rests_and_goes_on(void **state)
{
	struct stage *stage = *state;
	struct rlimit before, few;
	int waiting[2], free_fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	for (unsigned i = 0; i < 2; i++)
		waiting[i] = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	free_fd = open("/dev/null", O_RDONLY);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)free_fd;
	close(free_fd);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	stage_turns(stage);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

	/* one was turned away with the descriptor kept for this, the other waits for better times */
	assert_true(peer_is_ended(waiting[0]));
	assert_false(peer_is_ended(waiting[1]));
	assert_int_equal(transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_TCP),
	                 0);
	stage_turns(stage);
	assert_int_equal(transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_TCP),
	                 0);
	fake_clock_advance_ms(1000);
	stage_until(stage,
	            transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_TCP) == 1);
	close(waiting[0]);
	close(waiting[1]);
}

static void stopped_listener_refuses_and_connections_live_on(void **state)
{
	struct stage *stage = *state;
	struct address address = *stage_listener(stage, ACCESS_TCP), bound;
	int fd = connected_client(stage), late = peer_socket(SOCK_STREAM, "127.0.3.9:0", &bound);

	transport_stop_accepting(stage->transport);
	assert_int_equal(connect(late, &address.any, address_length(&address)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	stage->answer = ANSWER_TEXT;
	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, peer_has_input(fd));
	close(fd);
	close(late);
}

static void thousand_connections_leave_nothing_behind(void **state)
{
	struct stage *stage = *state;
	static int fds[1000];
	int64_t blocks;

	stage_turns(stage);
	blocks = memory_live_blocks();
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 1000; i++) {
			fds[i] = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
			peer_write(fds[i], i % 2 == 0 ? OPTIONS_TEXT "MESS" : "\r\n\r\nM");
			loop_turn(stage->loop);
		}
		stage_until(stage, transport_connection_count(stage->transport, SIDE_ACCESS,
		                                              TRANSPORT_TCP) == 1000);
		for (unsigned i = 0; i < 1000; i++) {
			if (i % 3 == 0)
				peer_reset(fds[i]);
			else
				close(fds[i]);
		}
		stage_until(stage, stage->closed_count == 1000);
		stage_turns(stage);
		assert_int_equal(transport_connection_count(stage->transport, SIDE_ACCESS,
		                                            TRANSPORT_TCP),
		                 0);
		/* the table of connections may have grown its buckets, in one block still */
		assert_int_equal(memory_live_blocks(), blocks);
		stage_forget(stage);
	}
}

/* Each has begun a message of 64 KiB and all but finished it. */
static void messages_begun_on_all_connections_have_a_limit_together(void **state)
{
	struct stage *stage = *state;
	static int fds[1200];
	static char text[65000];
	unsigned count = 0;

	memset(text, 'x', sizeof(text));
	memcpy(text, "MESSAGE sip:a SIP/2.0\r\nContent-Length: 65000\r\n\r\n", 49);
	while (count < ARRAY_LENGTH(fds) && stage->closed_count == 0) {
		fds[count] = connected_client(stage);
		assert_int_equal(send(fds[count], text, sizeof(text), MSG_NOSIGNAL), sizeof(text));
		count++;
		loop_turn(stage->loop);
	}
	assert_in_range(count, 400, 1100); /* 64 MiB, of which half may be room to grow */
	assert_int_equal(stage->closed_reason, CLOSE_LIMIT);
	assert_int_equal(stage->closed_count, 1);
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
	stage_until(stage, stage->closed_count == count);
	fds[0] = connected_client(stage);
	assert_int_equal(send(fds[0], text, sizeof(text), MSG_NOSIGNAL), sizeof(text));
	stage_turns(stage);
	assert_int_equal(stage->closed_count, count);
	close(fds[0]);
}

static int send_shared(struct stage *stage, const struct hop *hop, struct bytes *shared)
{
	struct bytes *given = bytes_share(shared);

	return transport_send(stage->transport, hop, &given);
}

/* 256 MiB on all connections; only what waits counts, not what has gone. */
static void queues_of_all_connections_have_a_limit_together(void **state)
{
	struct stage *stage = *state;
	struct bytes *shared = bytes_create(1 << 20);
	static char drain[1 << 20];
	unsigned count = 0;
	int fd, err = 0;

	memset(shared->data, 'x', shared->length);
	stage->settings.connection_queue_bytes = (size_t)1 << 30;
	assert_int_equal(stage_open(stage), 0);
	fd = connected_client(stage);
	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	for (size_t sent = 0, got = 0; sent < 300; sent++) {
		assert_int_equal(send_shared(stage, &stage->packets[0].hop, shared), 0);
		while (got < (sent + 1) << 20) {
			ssize_t n = recv(fd, drain, sizeof(drain), MSG_DONTWAIT);

			got += n > 0 ? (size_t)n : 0;
			loop_turn(stage->loop);
		}
	}
	for (; err == 0 && count < 400; count++) {
		err = send_shared(stage, &stage->packets[0].hop, shared);
		loop_turn(stage->loop);
	}
	assert_int_equal(err, -ENOBUFS);
	assert_in_range(count, 257, 280); /* the kernel took some */
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_QUEUE_FULL);
	assert_int_equal(shared->references, 1);
	bytes_release(&shared);
	close(fd);
}

/* The simulated Sprout does so when it shall refuse connections. */
static void transport_may_go_and_come_back_while_its_loop_turns(void **state)
{
	struct stage *stage = *state;
	const int64_t blocks = memory_live_blocks();
	struct address sprout;
	int listening = listening_sprout(&sprout);

	for (unsigned i = 0; i < 3; i++) {
		int fd = connected_client(stage), dead;
		struct hop hop;

		dead = connected_client(stage);
		peer_reset(dead);
		stage_until(stage, stage->closed_count == i + 1);
		peer_write(fd, OPTIONS_TEXT);
		stage_until(stage, stage->packet_count == i + 1);
		stage_send(stage, &stage->packets[i].hop, ANSWER_TEXT);
		hop = stage_open_hop(stage, TRANSPORT_TCP, &sprout);
		stage_send(stage, &hop, OPTIONS_TEXT);
		transport_close(stage->transport, &hop, CLOSE_LOCAL); /* closed, not yet told */
		transport_destroy(&stage->transport);
		stage_turns(stage);
		assert_int_equal(stage->closed_count, i + 1);
		assert_string_equal(peer_read(fd), ANSWER_TEXT); /* the last answer was sent */
		assert_true(peer_is_ended(fd));
		close(fd);
		assert_int_equal(transport_create(stage->loop, 0, &stage->settings, stage->metrics,
		                                  &stage_events, stage, &stage->transport),
		                 0);
		assert_int_equal(memory_live_blocks(), blocks);
	}
	close(listening);
}

static void idle_connection_takes_less_than_a_kibibyte(void **state)
{
	struct stage *stage = *state;
	static int fds[500];
	struct mallinfo2 before, after;

	stage_turns(stage);
	before = mallinfo2();
	for (unsigned i = 0; i < 500; i++) {
		fds[i] = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
		peer_write(fds[i], "MESSAGE sip:a SIP/2.0\r\nConte");
		loop_turn(stage->loop);
	}
	stage_until(stage, transport_connection_count(stage->transport, SIDE_ACCESS,
	                                              TRANSPORT_TCP) == 500);
	for (unsigned i = 0; i < 500; i++)
		peer_write(fds[i], "nt-Length: 0\r\n\r\n");
	stage_until(stage, stage->packet_count == 500);
	after = mallinfo2();
	print_message("%zu bytes of heap for each idle connection\n",
	              (size_t)(after.uordblks - before.uordblks) / 500);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(after.uordblks - before.uordblks < 500 * 1024);
#endif
	for (unsigned i = 0; i < 500; i++)
		close(fds[i]);
}

static void scene(void *arg)
{
	struct stage *stage = arg;
	struct address sprout, client;
	struct bytes *bytes;
	struct hop hop;
	int listening = listening_sprout(&sprout),
	    fd = peer_socket(SOCK_STREAM, "127.0.3.9:0", &client);

	if (stage_open(stage) == 0) {
		const struct address *to = stage_listener(stage, ACCESS_TCP);

		assert_int_equal(connect(fd, &to->any, address_length(to)), 0);
		peer_write(fd, OPTIONS_TEXT MESSAGE_TEXT "\r\n\r\nBEGUN");
		if (stage_try_open(stage, TRANSPORT_TCP, &sprout, &hop) == 0) {
			for (unsigned i = 0; i < 6; i++) { /* more than the queue holds in itself */
				bytes = bytes_copy(SLICE_LITERAL(OPTIONS_TEXT));
				if (bytes != NULL)
					transport_send(stage->transport, &hop, &bytes);
				assert_null(bytes);
			}
		}
		for (unsigned i = 0; i < 5; i++)
			loop_turn(stage->loop);
	}
	stage_close(stage);
	stage_forget(stage);
	close(fd);
	close(listening);
}

static void every_allocation_may_fail(void **state)
{
	struct stage *stage = *state;

	stage->settings.max_connections_per_address = 2;
	stage->answer = ANSWER_TEXT;
	assert_true(alloc_fail_each(scene, stage) > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		stage_test(one_connection_serves_all_requests_to_a_peer),
		stage_test(refused_connection_is_told_later_with_its_reason),
		stage_test_closed(connection_that_nobody_answers_times_out),
		stage_test(reset_is_told_as_reset),
		stage_test(peer_without_a_route_is_an_error_at_once),
		stage_test(a_way_to_a_trunk_is_of_the_access_side),
		stage_test(closing_writes_first_what_is_queued),
		stage_test_closed(closing_does_not_wait_for_a_peer_that_never_reads),
		stage_test_closed(idle_access_connection_is_closed_unless_a_flow_pins_it),
		stage_test_closed(connection_beyond_the_limit_is_closed_and_counted),
		stage_test(stranger_cannot_connect_to_the_core),
		stage_test_closed(without_descriptors_accepting_rests_and_goes_on),
		stage_test(stopped_listener_refuses_and_connections_live_on),
		stage_test(thousand_connections_leave_nothing_behind),
		stage_test(messages_begun_on_all_connections_have_a_limit_together),
		stage_test_closed(queues_of_all_connections_have_a_limit_together),
		stage_test(transport_may_go_and_come_back_while_its_loop_turns),
		stage_test(idle_connection_takes_less_than_a_kibibyte),
		stage_test_closed(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
