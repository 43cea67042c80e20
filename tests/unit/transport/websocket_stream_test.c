/* WebSocket connections of a worker: the upgrade, messages, keep-alive, closing. RFC 6455, RFC 7118. */
#include <malloc.h>

#include "websocket_stage.h"

#define NO_LENGTH_TEXT "MESSAGE sip:a SIP/2.0\r\n\r\nhello"

static int64_t upgrades(const struct stage *stage, enum upgrade_result result)
{
	return metrics_read(stage->registry, METRIC_WEBSOCKET_UPGRADES, result, 0, 0);
}

static void message_in_text_and_in_bytes_comes_whole_and_is_answered(void **state)
{
	struct stage *stage = *state;
	int fd = web_connect(stage);

	stage->answer = ANSWER_TEXT;
	web_write_text(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, OPTIONS_TEXT);
	assert_int_equal(stage->packets[0].hop.transport, TRANSPORT_WS);
	assert_false(stage->packets[0].framing_fault);
	web_assert_frame(stage, fd, WEBSOCKET_TEXT, ANSWER_TEXT, sizeof(ANSWER_TEXT) - 1);
	web_write(fd, FIN | WEBSOCKET_BINARY, MESSAGE_TEXT, sizeof(MESSAGE_TEXT) - 1);
	stage_until(stage, stage->packet_count == 2);
	assert_string_equal(stage->packets[1].text, MESSAGE_TEXT);
	web_assert_frame(stage, fd, WEBSOCKET_TEXT, ANSWER_TEXT, sizeof(ANSWER_TEXT) - 1);
	assert_int_equal(upgrades(stage, UPGRADE_ACCEPTED), 1);
	close(fd);
}

static void what_is_no_utf8_goes_out_as_bytes(void **state)
{
	struct stage *stage = *state;
	int fd = web_connect(stage);

	stage->answer = "SIP/2.0 200 \xff\r\n\r\n";
	web_write_text(fd, OPTIONS_TEXT);
	web_assert_frame(stage, fd, WEBSOCKET_BINARY, stage->answer, strlen(stage->answer));
	close(fd);
}

static void request_and_frames_in_single_bytes_are_the_same(void **state)
{
	static const char request[] = UPGRADE_REQUEST;
	struct stage *stage = *state;
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_WS));
	unsigned char frame[] = {FIN | WEBSOCKET_TEXT, 0x80 | 4, 0, 0, 0, 0, 'a', 'b', 'c', 'd'};

	for (size_t i = 0; i < sizeof(request) - 1; i++) {
		assert_int_equal(send(fd, request + i, 1, 0), 1);
		loop_turn(stage->loop);
	}
	web_read(stage, fd, sizeof(UPGRADE_ANSWER) - 1);
	for (size_t i = 0; i < sizeof(frame); i++) {
		assert_int_equal(send(fd, frame + i, 1, 0), 1);
		loop_turn(stage->loop);
	}
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, "abcd");
	close(fd);
}

static void frames_right_behind_the_request_are_not_lost(void **state)
{
	struct stage *stage = *state;
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_WS));

	peer_write(fd, UPGRADE_REQUEST "\x81\x84\x01\x01\x01\x01`cbe");
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, "abcd");
	close(fd);
}

static void largest_message_in_fragments_passes_and_a_byte_more_is_1009(void **state)
{
	struct stage *stage = *state;
	char *text = malloc(STAGE_MESSAGE_BYTES);
	int fd = web_connect(stage);

	memset(text, 'm', STAGE_MESSAGE_BYTES);
	web_write(fd, WEBSOCKET_TEXT, text, 30000);
	web_write(fd, FIN | WEBSOCKET_PING, "p", 1);
	web_write(fd, FIN | 0, text, STAGE_MESSAGE_BYTES - 30000);
	stage_until(stage, stage->packet_count == 1);
	assert_int_equal(stage->packets[0].length, STAGE_MESSAGE_BYTES);
	web_assert_frame(stage, fd, WEBSOCKET_PONG, "p", 1);
	web_write(fd, WEBSOCKET_TEXT, text, 30000);
	web_write(fd, FIN | 0, text, STAGE_MESSAGE_BYTES - 30000 + 1);
	web_assert_closed(stage, fd, WEBSOCKET_TOO_BIG);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_FRAME_TOO_LONG);
	assert_int_equal(web_errors(stage, PARSE_ERROR_FRAME_TOO_LONG), 1);
	assert_int_equal(stage->packet_count, 1);
	close(fd);
	free(text);
}

static void length_is_optional_and_bytes_beyond_it_are_a_fault(void **state)
{
	struct stage *stage = *state;
	int fd = web_connect(stage);

	web_write_text(fd, NO_LENGTH_TEXT);
	web_write_text(fd, MESSAGE_TEXT "x");
	web_write_text(fd, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 3);
	assert_false(stage->packets[0].framing_fault);
	assert_true(stage->packets[1].framing_fault);
	assert_false(stage->packets[2].framing_fault); /* the next message is none the worse */
	assert_int_equal(web_errors(stage, PARSE_ERROR_FRAME_BAD_LENGTH), 1);
	close(fd);
}

static void assert_fault(struct stage *stage, const char *bytes, size_t length,
                         enum websocket_code code, enum parse_error_reason reason)
{
	int64_t before = web_errors(stage, reason);
	int fd = web_connect(stage);

	stage->closed_count = 0;
	assert_int_equal(send(fd, bytes, length, 0), length);
	web_assert_closed(stage, fd, code);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_WEBSOCKET);
	assert_int_equal(web_errors(stage, reason), before + 1);
	close(fd);
}

static void who_breaks_the_protocol_is_told_by_the_code_and_counted(void **state)
{
	struct stage *stage = *state;

	assert_fault(stage, "\x81\x01z", 3, WEBSOCKET_PROTOCOL_ERROR, PARSE_ERROR_FRAME_PROTOCOL);
	assert_fault(stage, "\x83\x81\0\0\0\0z", 7, WEBSOCKET_PROTOCOL_ERROR,
	             PARSE_ERROR_FRAME_PROTOCOL);
	assert_fault(stage, "\xc1\x81\0\0\0\0z", 7, WEBSOCKET_PROTOCOL_ERROR,
	             PARSE_ERROR_FRAME_PROTOCOL);
	assert_fault(stage, "\x81\x81\0\0\0\0\xff", 7, WEBSOCKET_NOT_UTF8,
	             PARSE_ERROR_FRAME_NOT_UTF8);
	assert_int_equal(stage->packet_count, 0);
}

static void refused_upgrade_is_answered_and_the_connection_ends(void **state)
{
	struct stage *stage = *state;
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_WS));

	peer_write(fd, "GET / HTTP/1.1\r\nHost: edge\r\n\r\n");
	assert_string_equal(web_read(stage, fd, 30), "HTTP/1.1 426 Upgrade Required\r");
	stage_until(stage, (peer_read(fd), peer_is_ended(fd)));
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_WEBSOCKET);
	assert_int_equal(upgrades(stage, UPGRADE_NOT_ASKED), 1);
	close(fd);
}

static void origins_of_the_listener_are_kept(void **state)
{
	static const char *const origins[] = {"https://phone.example.net"};
	struct stage *stage = *state;
	int fd;

	stage->listeners[ACCESS_WS].origins = origins;
	stage->listeners[ACCESS_WS].origin_count = 1;
	assert_int_equal(stage_open(stage), 0);
	fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_WS));
	peer_write(fd, "GET / HTTP/1.1\r\nOrigin: https://evil.example\r\n");
	peer_write(fd, strchr(UPGRADE_REQUEST, '\n') + 1);
	assert_string_equal(web_read(stage, fd, 22), "HTTP/1.1 403 Forbidden");
	assert_int_equal(upgrades(stage, UPGRADE_BAD_ORIGIN), 1);
	close(fd);
}

static void slow_request_gets_408_however_it_drips(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_WS));
	stage_until(stage,
	            transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_WS) == 1);
	fake_clock_advance_ms(9000);
	peer_write(fd, "GET / HTTP/1.1\r\n");
	stage_turns(stage);
	assert_false(peer_has_input(fd));
	fake_clock_advance_ms(1100);
	assert_string_equal(web_read(stage, fd, 13), "HTTP/1.1 408 ");
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_SLOW);
	assert_int_equal(upgrades(stage, UPGRADE_SLOW), 1);
	close(fd);
}

static void who_connects_and_says_nothing_is_closed_like_the_slow(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_WS));
	stage_until(stage,
	            transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_WS) == 1);
	fake_clock_advance_ms(10100);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_SLOW);
	close(fd);
}

static void message_begun_and_not_finished_is_closed_though_pings_come(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = web_connect(stage);
	web_write(fd, WEBSOCKET_TEXT, "OPTI", 4);
	stage_turns(stage);
	for (int i = 0; i < 2; i++) {
		fake_clock_advance_ms(4000);
		web_write(fd, FIN | WEBSOCKET_PING, "x", 1);
		web_assert_frame(stage, fd, WEBSOCKET_PONG, "x", 1);
	}
	fake_clock_advance_ms(2100);
	web_assert_closed(stage, fd, WEBSOCKET_POLICY);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_SLOW);
	assert_int_equal(web_errors(stage, PARSE_ERROR_FRAME_SLOW), 1);
	close(fd);
}

/* Behind each message the next has begun, as with a proxy that forwards in blocks. */
static void client_whose_messages_come_to_an_end_is_not_slow(void **state)
{
	static const char ping[] = "\x89\x80\1\2\3\4";
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = web_connect(stage);
	web_write(fd, WEBSOCKET_TEXT, "", 0);
	for (unsigned i = 0; i < 10; i++) {
		char frames[1024], *at = frames;

		*at++ = (char)(FIN | 0); /* the end of one */
		*at++ = (char)(0x80 | strlen(MESSAGE_TEXT));
		at = mempcpy(at, "\0\0\0\0", 4);
		at = mempcpy(at, MESSAGE_TEXT, strlen(MESSAGE_TEXT));
		at = mempcpy(at, ping, 6);
		at = mempcpy(at, "\1\x80\0\0\0\0", 6); /* the next has begun */
		assert_int_equal(send(fd, frames, (size_t)(at - frames), MSG_NOSIGNAL),
		                 at - frames);
		stage_until(stage, stage->packet_count == i + 1);
		fake_clock_advance_ms(4000);
		stage_turns(stage);
	}
	assert_int_equal(stage->closed_count, 0);
	close(fd);
}

static void keepalives_of_all_kinds_are_told_and_answered(void **state)
{
	struct stage *stage = *state;
	int fd = web_connect(stage);

	web_write(fd, FIN | WEBSOCKET_PING, "abc", 3);
	web_assert_frame(stage, fd, WEBSOCKET_PONG, "abc", 3);
	assert_int_equal(stage->keepalive_count, 1);
	web_write_text(fd, "\r\n\r\n"); /* what JsSIP and SIP.js send */
	web_assert_frame(stage, fd, WEBSOCKET_TEXT, "\r\n", 2);
	assert_int_equal(stage->keepalive_count, 2);
	web_write(fd, FIN | WEBSOCKET_PONG, "", 0);
	stage_until(stage, stage->keepalive_count == 3);
	web_write_text(fd, "\r\n");
	web_write_text(fd, "");
	web_write(fd, FIN | WEBSOCKET_PING, "end", 3);
	web_assert_frame(stage, fd, WEBSOCKET_PONG, "end", 3);
	assert_int_equal(stage->packet_count, 0);
	close(fd);
}

static void of_many_pings_at_once_the_last_is_answered(void **state)
{
	struct stage *stage = *state;
	int fd = web_connect(stage);

	assert_int_equal(send(fd, "\x89\x81\0\0\0\0a\x89\x81\0\0\0\0b\x89\x81\0\0\0\0c", 21, 0),
	                 21);
	web_assert_frame(stage, fd, WEBSOCKET_PONG, "c", 1);
	stage_turns(stage);
	assert_false(peer_has_input(fd));
	close(fd);
}

static void flood_of_pings_is_closed_and_a_second_later_they_may_come_again(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = web_connect(stage);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 100; i++)
			web_write(fd, FIN | WEBSOCKET_PONG, "", 0);
		stage_until(stage, stage->keepalive_count == 100u * (unsigned)(round + 1));
		fake_clock_advance_ms(1000);
	}
	for (int i = 0; i < 101; i++)
		web_write(fd, FIN | WEBSOCKET_PONG, "", 0);
	web_assert_closed(stage, fd, WEBSOCKET_POLICY);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_WEBSOCKET);
	close(fd);
}

static void silent_client_is_pinged_and_after_two_pings_gone(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = web_connect(stage);
	fake_clock_advance_ms(PING_MS + 100);
	web_assert_frame(stage, fd, WEBSOCKET_PING, "", 0);
	web_write(fd, FIN | WEBSOCKET_PONG, "", 0);
	stage_until(stage, stage->keepalive_count == 1);
	for (int i = 0; i < 2; i++) {
		fake_clock_advance_ms(PING_MS + 100);
		web_assert_frame(stage, fd, WEBSOCKET_PING, "", 0);
	}
	assert_int_equal(stage->closed_count, 0);
	fake_clock_advance_ms(PING_MS + 100);
	web_assert_closed(stage, fd, WEBSOCKET_GOING_AWAY);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_IDLE);
	close(fd);
}

static void pongs_keep_no_connection_that_no_flow_holds(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	stage->settings.idle_ms = 2 * PING_MS + PING_MS / 2;
	assert_int_equal(stage_open(stage), 0);
	fd = web_connect(stage);
	for (int i = 0; i < 2; i++) {
		fake_clock_advance_ms(PING_MS + 100);
		web_assert_frame(stage, fd, WEBSOCKET_PING, "", 0);
		web_write(fd, FIN | WEBSOCKET_PONG, "", 0);
		stage_until(stage, stage->keepalive_count == (unsigned)i + 1);
	}
	fake_clock_advance_ms(PING_MS / 2);
	web_assert_closed(stage, fd, WEBSOCKET_GOING_AWAY);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_IDLE);
	close(fd);
}

static void close_of_the_client_is_echoed_and_what_follows_is_not_read(void **state)
{
	struct stage *stage = *state;
	int fd = web_connect(stage);

	web_write(fd, FIN | WEBSOCKET_CLOSE, "\x03\xe9 tab closed", 13);
	web_write_text(fd, OPTIONS_TEXT);
	web_assert_closed(stage, fd, WEBSOCKET_GOING_AWAY);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_PEER);
	assert_int_equal(stage->packet_count, 0);
	close(fd);
}

static void connection_that_we_close_is_told_1001_behind_what_was_sent(void **state)
{
	struct stage *stage = *state;
	int fd = web_connect(stage);
	struct hop hop;

	web_write_text(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	hop = stage->packets[0].hop;
	stage_send(stage, &hop, ANSWER_TEXT);
	transport_close(stage->transport, &hop, CLOSE_LOCAL);
	assert_false(transport_is_alive(stage->transport, &hop));
	assert_int_equal(stage_send_status(stage, &hop, "x", 1), -ENOTCONN);
	web_assert_frame(stage, fd, WEBSOCKET_TEXT, ANSWER_TEXT, sizeof(ANSWER_TEXT) - 1);
	web_assert_closed(stage, fd, WEBSOCKET_GOING_AWAY);
	close(fd);
}

static void clients_are_told_1001_when_the_transport_ends(void **state)
{
	struct stage *stage = *state;
	int fd = web_connect(stage), half = web_connect(stage);
	char told[8];

	web_write(half, WEBSOCKET_TEXT, "beg", 3);
	stage_turns(stage);
	transport_destroy(&stage->transport);
	assert_int_equal(recv(fd, told, sizeof(told), 0), 4);
	assert_memory_equal(told, "\x88\x02\x03\xe9", 4);
	assert_int_equal(recv(half, told, sizeof(told), 0), 4);
	close(fd);
	close(half);
}

static void client_that_does_not_read_is_closed_when_its_queue_is_full(void **state)
{
	struct stage *stage = *state;
	static char text[60000];
	struct hop hop;
	int fd, err = 0;

	stage->settings.connection_queue_bytes = 100000;
	assert_int_equal(stage_open(stage), 0);
	fd = web_connect(stage);
	web_write_text(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	hop = stage->packets[0].hop;
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 1000 && err == 0; i++) {
		err = stage_send_status(stage, &hop, text, sizeof(text));
		loop_turn(stage->loop);
	}
	assert_int_equal(err, -ENOBUFS);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_QUEUE_FULL);
	close(fd);
}

static void nobody_is_dialled_by_websocket(void **state)
{
	struct stage *stage = *state;
	struct address peer = stage_address("127.0.3.2:5");
	struct transport_peer way = {.transport = TRANSPORT_WS, .address = &peer};
	struct hop hop;

	assert_int_equal(transport_open(stage->transport, &way, &hop), -EPROTONOSUPPORT);
	assert_int_equal(transport_open_access(stage->transport, &way, &hop), -EPROTONOSUPPORT);
}

#define MANY 500

static size_t heap_of_each(const struct mallinfo2 *before)
{
	const struct mallinfo2 after = mallinfo2();

	return (size_t)(after.uordblks - before->uordblks) / MANY;
}

static void idle_connection_takes_little_more_than_one_over_tcp(void **state)
{
	struct stage *stage = *state;
	static int fds[MANY];
	struct mallinfo2 before;
	size_t idle, begun;

	close(web_connect(stage)); /* what is made once is there */
	stage_until(stage, stage->closed_count == 1);
	before = mallinfo2();
	for (unsigned i = 0; i < MANY; i++) {
		fds[i] = web_connect(stage);
		web_write(fds[i], WEBSOCKET_TEXT, OPTIONS_TEXT, 10);
	}
	stage_turns(stage);
	begun = heap_of_each(&before);
	for (unsigned i = 0; i < MANY; i++)
		web_write(fds[i], FIN | 0, OPTIONS_TEXT + 10, sizeof(OPTIONS_TEXT) - 1 - 10);
	stage_until(stage, stage->packet_count == MANY);
	stage_forget(stage);
	idle = heap_of_each(&before);
	print_message("%zu bytes of heap for each idle connection, %zu with a message begun\n",
	              idle, begun);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	assert_true(idle < 1280);
	assert_true(begun < 12 * 1024);
#endif
	for (unsigned i = 0; i < MANY; i++)
		close(fds[i]);
}

static void scene_of_a_message(void *arg)
{
	struct stage *stage = arg;
	int fd;

	if (stage_open(stage) == 0) {
		fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_WS));
		peer_write(fd, UPGRADE_REQUEST);
		web_write(fd, WEBSOCKET_TEXT, OPTIONS_TEXT, 10);
		web_write(fd, FIN | 0, OPTIONS_TEXT + 10, sizeof(OPTIONS_TEXT) - 1 - 10);
		web_write(fd, FIN | WEBSOCKET_PING, "p", 1);
		web_write(fd, FIN | WEBSOCKET_CLOSE, "\x03\xe8", 2);
		stage_until(stage, alloc_fail_happened() || stage->closed_count == 1);
		stage_turns(stage);
		close(fd);
	}
	stage_close(stage);
	stage_forget(stage);
}

static void every_allocation_may_fail(void **state)
{
	struct stage *stage = *state;

	stage->answer = ANSWER_TEXT;
	assert_true(alloc_fail_each(scene_of_a_message, stage) > 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		web_test(message_in_text_and_in_bytes_comes_whole_and_is_answered),
		web_test(what_is_no_utf8_goes_out_as_bytes),
		web_test(request_and_frames_in_single_bytes_are_the_same),
		web_test(frames_right_behind_the_request_are_not_lost),
		web_test(largest_message_in_fragments_passes_and_a_byte_more_is_1009),
		web_test(length_is_optional_and_bytes_beyond_it_are_a_fault),
		web_test(who_breaks_the_protocol_is_told_by_the_code_and_counted),
		web_test(refused_upgrade_is_answered_and_the_connection_ends),
		web_test_closed(origins_of_the_listener_are_kept),
		web_test_closed(slow_request_gets_408_however_it_drips),
		web_test_closed(who_connects_and_says_nothing_is_closed_like_the_slow),
		web_test_closed(client_whose_messages_come_to_an_end_is_not_slow),
		web_test_closed(message_begun_and_not_finished_is_closed_though_pings_come),
		web_test(keepalives_of_all_kinds_are_told_and_answered),
		web_test(of_many_pings_at_once_the_last_is_answered),
		web_test_closed(flood_of_pings_is_closed_and_a_second_later_they_may_come_again),
		web_test_closed(silent_client_is_pinged_and_after_two_pings_gone),
		web_test_closed(pongs_keep_no_connection_that_no_flow_holds),
		web_test(close_of_the_client_is_echoed_and_what_follows_is_not_read),
		web_test(connection_that_we_close_is_told_1001_behind_what_was_sent),
		web_test(clients_are_told_1001_when_the_transport_ends),
		web_test_closed(client_that_does_not_read_is_closed_when_its_queue_is_full),
		web_test(idle_connection_takes_little_more_than_one_over_tcp),
		web_test(nobody_is_dialled_by_websocket),
		web_test_closed(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
