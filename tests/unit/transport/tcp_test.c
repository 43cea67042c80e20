/*
 * Bytes of a stream become messages, however they come; answers go back on the same connection.
 */
#include "stage.h"

#include <netinet/tcp.h>

/* A client whose connection has been accepted. */
static int connected_client(struct stage *stage)
{
	const unsigned before =
		transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_TCP);
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));

	stage_until(stage, transport_connection_count(stage->transport, SIDE_ACCESS,
	                                              TRANSPORT_TCP) == before + 1);
	return fd;
}

static void message_comes_with_its_connection_and_is_answered_on_it(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	stage->answer = ANSWER_TEXT;
	peer_write(fd, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1 && peer_has_input(fd));
	assert_string_equal(stage->packets[0].text, MESSAGE_TEXT);
	assert_int_equal(stage->packets[0].hop.transport, TRANSPORT_TCP);
	assert_int_equal(stage->packets[0].hop.listener, ACCESS_TCP);
	assert_int_not_equal(stage->packets[0].hop.connection, 0);
	assert_false(stage->packets[0].framing_fault);
	assert_string_equal(peer_read(fd), ANSWER_TEXT);
	assert_string_equal(transport_sent_by(stage->transport, &stage->packets[0].hop),
	                    "edge.example.net:5060");
	assert_int_equal(metrics_read(stage->registry, METRIC_CONNECTIONS, SIDE_ACCESS,
	                              TRANSPORT_TCP, 0),
	                 1);
	close(fd);
}

/* Ours of this connection: the descriptor that has the client at its other end. */
static int other_end(int client)
{
	struct sockaddr_in own, peer;
	socklen_t length = sizeof(own);

	assert_int_equal(getsockname(client, (struct sockaddr *)&own, &length), 0);
	for (int fd = 0; fd < 1024; fd++) {
		length = sizeof(peer);
		if (getpeername(fd, (struct sockaddr *)&peer, &length) == 0 &&
		    peer.sin_family == AF_INET && peer.sin_port == own.sin_port &&
		    peer.sin_addr.s_addr == own.sin_addr.s_addr)
			return fd;
	}
	fail_msg("nobody has this client");
	return -1;
}

static int option_of(int fd, int level, int name)
{
	socklen_t length = sizeof(int);
	int value = -1;

	assert_int_equal(getsockopt(fd, level, name, &value, &length), 0);
	return value;
}

static void accepted_connection_is_watched_over_by_the_kernel(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage), ours = other_end(fd);

	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option_of(ours, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_KEEPIDLE), 120);
	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_KEEPINTVL), 30);
	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_KEEPCNT), 4);
	assert_int_equal(option_of(ours, IPPROTO_TCP, TCP_USER_TIMEOUT), 30000);
	close(fd);
}

static void answer_leaves_in_the_turn_of_its_message(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	stage->answer = ANSWER_TEXT;
	for (unsigned i = 1; i <= 3; i++) {
		peer_write(fd, OPTIONS_TEXT MESSAGE_TEXT);
		stage_until(stage, stage->packet_count == 2 * i);
		/* that turn is over; loopback delivers before the send returns */
		assert_string_equal(peer_read(fd), ANSWER_TEXT ANSWER_TEXT);
	}
	close(fd);
}

static void message_byte_by_byte_is_one_message(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	for (const char *c = MESSAGE_TEXT; *c != '\0'; c++) {
		const char byte[2] = {*c, '\0'};

		assert_int_equal(stage->packet_count, 0);
		peer_write(fd, byte);
		loop_turn(stage->loop);
	}
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, MESSAGE_TEXT);
	close(fd);
}

static void pipelined_messages_come_one_by_one_and_the_rest_later(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	peer_write(fd, OPTIONS_TEXT MESSAGE_TEXT OPTIONS_TEXT "MESSAGE sip:b SIP/2.0\r\nConte");
	stage_until(stage, stage->packet_count == 3);
	assert_string_equal(stage->packets[0].text, OPTIONS_TEXT);
	assert_string_equal(stage->packets[1].text, MESSAGE_TEXT);
	assert_string_equal(stage->packets[2].text, OPTIONS_TEXT);
	peer_write(fd, "nt-Length: 2\r\n\r\nyo" OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 5);
	assert_string_equal(stage->packets[3].text,
	                    "MESSAGE sip:b SIP/2.0\r\nContent-Length: 2\r\n\r\nyo");
	assert_string_equal(stage->packets[4].text, OPTIONS_TEXT);
	close(fd);
}

static void longest_message_passes_and_one_byte_more_closes(void **state)
{
	struct stage *stage = *state;
	char *text = malloc(STAGE_MESSAGE_BYTES + 2);
	int fd = connected_client(stage), head;
	unsigned body;

	head = snprintf(text, 100, "MESSAGE sip:a SIP/2.0\r\nContent-Length: %05u\r\n\r\n", 0);
	for (unsigned more = 0; more < 2; more++) {
		body = STAGE_MESSAGE_BYTES - (unsigned)head + more;
		snprintf(text, 100, "MESSAGE sip:a SIP/2.0\r\nContent-Length: %05u\r\n\r\n", body);
		memset(text + head, 'x', body);
		text[head + (int)body] = '\0';
		for (size_t sent = 0; sent < strlen(text);) {
			ssize_t n = send(fd, text + sent,
			                 strlen(text) - sent < 9000 ? strlen(text) - sent : 9000,
			                 MSG_NOSIGNAL | MSG_DONTWAIT);

			sent += n > 0 ? (size_t)n : 0;
			loop_turn(stage->loop);
			if (n < 0 && errno != EAGAIN)
				break; /* closed in our face, as it should */
		}
		if (more == 0) {
			stage_until(stage, stage->packet_count == 1);
			assert_string_equal(stage->packets[0].text, text);
		}
	}
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_FRAME_TOO_LONG);
	assert_int_equal(stage->packet_count, 1);
	assert_int_equal(metrics_read(stage->registry, METRIC_PARSE_ERRORS, TRANSPORT_TCP,
	                              PARSE_ERROR_FRAME_TOO_LONG, 0),
	                 1);
	free(text);
	close(fd);
}

static void headers_without_end_close_at_the_limit(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	peer_write(fd, "MESSAGE sip:a SIP/2.0\r\n");
	for (unsigned i = 0; i < 4000 && stage->closed_count == 0; i++) {
		(void)!send(fd, "Subject: all work and no play\r\n", 31,
		            MSG_NOSIGNAL | MSG_DONTWAIT);
		loop_turn(stage->loop);
	}
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_FRAME_TOO_LONG);
	close(fd);
}

static void expect_fault(struct stage *stage, const char *text, bool answerable)
{
	const struct hop *hop = &stage->packets[0].hop;
	int fd = connected_client(stage);

	stage_forget(stage);
	stage->answer = "SIP/2.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
	peer_write(fd, text);
	/* sent behind it: neither a message nor, being unread, the death of our answer */
	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_FRAME_BAD);
	assert_int_equal(stage->packet_count, answerable ? 1 : 0);
	if (answerable) {
		assert_true(stage->packets[0].framing_fault);
		assert_int_equal(stage_send_status(stage, hop, "x", 1), -ENOTCONN);
		stage_until(stage, peer_has_input(fd));
		assert_string_equal(peer_read(fd), stage->answer);
	}
	stage_until(stage, peer_is_ended(fd));
	close(fd);
	stage_turns(stage);
	assert_int_equal(stage->packet_count, answerable ? 1 : 0);
	assert_int_equal(stage->closed_count, 1);
}

/* Time stands still: the end is our FIN, and not a linger that has run out. */
static void framing_faults_are_answered_where_they_can_be_and_close(void **state)
{
	struct stage *stage = *state;
	int64_t blocks;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	stage_turns(stage);
	blocks = memory_live_blocks();
	expect_fault(stage, "MESSAGE sip:a SIP/2.0\r\nTo: b\r\n\r\n", true);
	assert_string_equal(stage->packets[0].text, "MESSAGE sip:a SIP/2.0\r\nTo: b\r\n\r\n");
	expect_fault(stage, "MESSAGE sip:a SIP/2.0\r\nContent-Length: 1x\r\n\r\n", true);
	expect_fault(stage, "MESSAGE sip:a SIP/2.0\r\nl: 1\r\nContent-Length: 2\r\n\r\n", true);
	expect_fault(stage, "MESSAGE sip:a SIP/2.0\r\nTo: \n\r\n", false);
	stage_until(stage, memory_live_blocks() == blocks);
	assert_int_equal(metrics_read(stage->registry, METRIC_PARSE_ERRORS, TRANSPORT_TCP,
	                              PARSE_ERROR_FRAME_NO_LENGTH, 0),
	                 1);
	assert_int_equal(metrics_read(stage->registry, METRIC_PARSE_ERRORS, TRANSPORT_TCP,
	                              PARSE_ERROR_FRAME_BAD_LENGTH, 0),
	                 2);
	assert_int_equal(metrics_read(stage->registry, METRIC_PARSE_ERRORS, TRANSPORT_TCP,
	                              PARSE_ERROR_FRAME_BAD_BYTES, 0),
	                 1);
}

static void ping_is_answered_with_a_pong(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	peer_write(fd, "\r\n\r\n");
	stage_until(stage, peer_has_input(fd));
	assert_string_equal(peer_read(fd), "\r\n");
	peer_write(fd, "\r\n\r\n\r\n\r\n" OPTIONS_TEXT "\r\n\r\n");
	stage_until(stage, stage->packet_count == 1);
	stage_turns(stage);
	assert_string_equal(peer_read(fd), "\r\n\r\n\r\n");
	assert_int_equal(stage->packet_count, 1);
	close(fd);
}

static void ping_in_pieces_is_one_ping(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	for (const char *piece = "\r\n\r\n"; *piece != '\0'; piece++) {
		char one[2] = {*piece, '\0'};

		assert_int_equal(stage->keepalive_count, 0);
		peer_write(fd, one);
		stage_turns(stage);
	}
	stage_until(stage, peer_has_input(fd));
	assert_string_equal(peer_read(fd), "\r\n");
	assert_int_equal(stage->keepalive_count, 1);
	/* and the rest of one with the first half of a message */
	peer_write(fd, "\r\n\r");
	stage_turns(stage);
	peer_write(fd, "\nOPTIONS");
	stage_until(stage, stage->keepalive_count == 2);
	peer_write(fd, OPTIONS_TEXT + 7);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, OPTIONS_TEXT);
	close(fd);
}

static void who_pings_and_does_not_read_gets_no_more_pongs(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);
	char *pings = test_malloc(4 * 5000 + 1);

	for (unsigned i = 0; i < 5000; i++)
		memcpy(pings + 4 * i, "\r\n\r\n", 5);
	peer_write(fd, pings);
	stage_until(stage, stage->keepalive_count == 5000);
	stage_turns(stage);
	/* each turn's reading may queue no more than 64 */
	assert_true(strlen(peer_read(fd)) <= 2 * 5000 / 4);
	assert_int_equal(stage->closed_count, 0);
	test_free(pings);
	close(fd);
}

static void message_begun_must_be_finished_in_time(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = connected_client(stage);
	peer_write(fd, OPTIONS_TEXT "MESS");
	stage_until(stage, stage->packet_count == 1);
	for (unsigned i = 0; i < 9; i++) {
		fake_clock_advance_ms(1000);
		peer_write(fd, "A"); /* a byte a second does not help */
		stage_turns(stage);
		assert_int_equal(stage->closed_count, 0);
	}
	fake_clock_advance_ms(1000);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_SLOW);
	assert_int_equal(metrics_read(stage->registry, METRIC_PARSE_ERRORS, TRANSPORT_TCP,
	                              PARSE_ERROR_FRAME_SLOW, 0),
	                 1);
	close(fd);
}

static void message_finished_in_time_leaves_no_deadline(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = connected_client(stage);
	peer_write(fd, "OPTIO");
	stage_turns(stage);
	peer_write(fd, "NS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n");
	stage_until(stage, stage->packet_count == 1);
	fake_clock_advance_ms(100000);
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 0);
	close(fd);
}

static void next_message_begun_has_its_own_time(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = connected_client(stage);
	peer_write(fd, "OPTIO");
	for (unsigned i = 1; i <= 3; i++) {
		stage_turns(stage);
		fake_clock_advance_ms(9000);
		peer_write(fd, "NS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\nOPTIO");
		stage_until(stage, stage->packet_count == i);
	}
	assert_int_equal(stage->closed_count, 0);
	fake_clock_advance_ms(10000);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_SLOW);
	close(fd);
}

static void lone_crlf_is_no_message_begun(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = connected_client(stage);
	peer_write(fd, "\r\n");
	stage_turns(stage);
	fake_clock_advance_ms(60000);
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 0);
	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, OPTIONS_TEXT);
	close(fd);
}

static void half_closed_peer_still_gets_the_answer_that_is_ready(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	stage->answer = ANSWER_TEXT;
	peer_write(fd, OPTIONS_TEXT);
	shutdown(fd, SHUT_WR);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->packet_count, 1);
	assert_int_equal(stage->closed_reason, CLOSE_PEER);
	stage_until(stage, peer_has_input(fd));
	assert_string_equal(peer_read(fd), ANSWER_TEXT);
	stage_until(stage, peer_is_ended(fd));
	close(fd);
}

static void peer_that_ends_within_a_message_is_gone(void **state)
{
	struct stage *stage = *state;
	int fd = connected_client(stage);

	peer_write(fd, "MESSAGE sip:a SIP/2.0\r\nContent-Le");
	close(fd);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_PEER);
	assert_int_equal(stage->packet_count, 0);
	assert_int_equal(transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_TCP),
	                 0);
}

/* 300 messages of 30,000 bytes to a peer that reads later: much more than the kernel buffers. */
static void slow_reader_gets_every_byte_in_order(void **state)
{
	struct stage *stage = *state;
	const size_t length = 30000, count = 300;
	char *text = malloc(length), *read_back = malloc(length);
	size_t got = 0;
	int fd;

	stage->settings.connection_queue_bytes = length * count;
	assert_int_equal(stage_open(stage), 0);
	fd = connected_client(stage);
	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	for (size_t i = 0; i < count; i++) {
		memset(text, 'a' + (int)(i % 26), length);
		assert_int_equal(stage_send_status(stage, &stage->packets[0].hop, text, length), 0);
		if (i % 7 == 0)
			loop_turn(stage->loop);
	}
	while (got < length * count) {
		ssize_t n = recv(fd, read_back, length, MSG_DONTWAIT);

		loop_turn(stage->loop);
		for (ssize_t i = 0; i < n; i++, got++)
			assert_int_equal(read_back[i], 'a' + (int)(got / length % 26));
	}
	assert_int_equal(stage->closed_count, 0);
	free(text);
	free(read_back);
	close(fd);
}

static void reader_that_does_not_read_is_closed_when_the_queue_is_full(void **state)
{
	struct stage *stage = *state;
	char *text = calloc(1, 60000);
	int fd, err = 0;

	fd = connected_client(stage);
	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	for (unsigned i = 0; i < 1000 && err == 0; i++) {
		err = stage_send_status(stage, &stage->packets[0].hop, text, 60000);
		if (i % 8 == 0)
			loop_turn(stage->loop);
	}
	assert_int_equal(err, -ENOBUFS);
	assert_int_equal(stage->closed_count, 0); /* not from inside the call */
	assert_false(transport_is_alive(stage->transport, &stage->packets[0].hop));
	assert_int_equal(stage_send_status(stage, &stage->packets[0].hop, text, 10), -ENOTCONN);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_QUEUE_FULL);
	assert_true(hop_equal(&stage->closed_hop, &stage->packets[0].hop));
	free(text);
	close(fd);
}

/* A burst in one turn larger than the queue, to a peer that reads: written meanwhile, not closed. */
static void burst_beyond_the_queue_is_written_at_once(void **state)
{
	struct stage *stage = *state;
	char text[3000];
	size_t got = 0;
	int fd;

	stage->settings.connection_queue_bytes = 10000;
	assert_int_equal(stage_open(stage), 0);
	fd = connected_client(stage);
	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	memset(text, 'z', sizeof(text));
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(stage_send_status(stage, &stage->packets[0].hop, text,
		                                   sizeof(text)),
		                 0);
	while (got < 20 * sizeof(text)) {
		got += strlen(peer_read(fd));
		loop_turn(stage->loop);
	}
	assert_int_equal(stage->closed_count, 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		stage_test(message_comes_with_its_connection_and_is_answered_on_it),
		stage_test(accepted_connection_is_watched_over_by_the_kernel),
		stage_test(answer_leaves_in_the_turn_of_its_message),
		stage_test(message_byte_by_byte_is_one_message),
		stage_test(pipelined_messages_come_one_by_one_and_the_rest_later),
		stage_test(longest_message_passes_and_one_byte_more_closes),
		stage_test(headers_without_end_close_at_the_limit),
		stage_test_closed(framing_faults_are_answered_where_they_can_be_and_close),
		stage_test(ping_is_answered_with_a_pong),
		stage_test(ping_in_pieces_is_one_ping),
		stage_test(who_pings_and_does_not_read_gets_no_more_pongs),
		stage_test_closed(message_begun_must_be_finished_in_time),
		stage_test_closed(message_finished_in_time_leaves_no_deadline),
		stage_test_closed(next_message_begun_has_its_own_time),
		stage_test_closed(lone_crlf_is_no_message_begun),
		stage_test(half_closed_peer_still_gets_the_answer_that_is_ready),
		stage_test(peer_that_ends_within_a_message_is_gone),
		stage_test_closed(slow_reader_gets_every_byte_in_order),
		stage_test(reader_that_does_not_read_is_closed_when_the_queue_is_full),
		stage_test_closed(burst_beyond_the_queue_is_written_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
