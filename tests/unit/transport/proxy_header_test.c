/* The PROXY protocol on a worker's connections: from whom, before what, for how long. */
#include "websocket_stage.h"

#define V1_TEXT "PROXY TCP4 198.51.100.7 203.0.113.9 40000 5060\r\n"

static struct address_range balancer; /* where peer_connect("127.0.3.9:0") comes from */

static int proxy_setup_closed(void **state)
{
	struct stage *stage;

	web_setup_closed(state);
	stage = *state;
	stage->listeners[ACCESS_WS].transport = TRANSPORT_TCP;
	assert_true(address_range_parse(SLICE_LITERAL("127.0.3.9"), &balancer));
	stage->listeners[ACCESS_TCP].proxy_from = &balancer;
	stage->listeners[ACCESS_TCP].proxy_from_count = 1;
	stage->listeners[CORE_TCP].proxy_from = &balancer;
	stage->listeners[CORE_TCP].proxy_from_count = 1;
	return 0;
}

static int proxy_setup(void **state)
{
	proxy_setup_closed(state);
	return stage_open(*state);
}

#define proxy_test(name) cmocka_unit_test_setup_teardown(name, proxy_setup, stage_teardown)
#define proxy_test_closed(name)                                                                    \
	cmocka_unit_test_setup_teardown(name, proxy_setup_closed, stage_teardown)

static void assert_remote(const struct hop *hop, const char *wanted)
{
	char text[ADDRESS_TEXT_MAX];

	assert_string_equal(address_format(&hop->remote, text), wanted);
}

static void assert_closed(struct stage *stage, enum close_reason reason)
{
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, reason);
	assert_int_equal(stage->packet_count, 0);
	stage->closed_count = 0;
}

static void client_behind_a_balancer_has_its_own_address(void **state)
{
	struct stage *stage = *state;
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));

	stage->answer = ANSWER_TEXT;
	peer_write(fd, V1_TEXT OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, OPTIONS_TEXT);
	assert_remote(&stage->packets[0].hop, "198.51.100.7:40000");
	assert_string_equal(web_read(stage, fd, sizeof(ANSWER_TEXT) - 1), ANSWER_TEXT);
	close(fd);
}

static void binary_header_in_single_bytes_is_waited_for(void **state)
{
	static const char header[] =
		"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xcb\0\x71\x09\x9c\x40"
		"\x13\xc4";
	struct stage *stage = *state;
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));

	for (size_t i = 0; i < sizeof(header) - 1; i++) {
		assert_int_equal(send(fd, header + i, 1, 0), 1);
		stage_turns(stage);
	}
	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, OPTIONS_TEXT);
	assert_remote(&stage->packets[0].hop, "198.51.100.7:40000");
	close(fd);
}

static void balancer_that_asks_for_itself_keeps_its_address(void **state)
{
	struct stage *stage = *state;
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));

	peer_write(fd, "PROXY UNKNOWN\r\n" OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_int_equal(ntohl(stage->packets[0].hop.remote.v4.sin_addr.s_addr), 0x7f000309);
	close(fd);
}

static void listed_peer_without_a_sound_header_is_closed(void **state)
{
	struct stage *stage = *state;
	static const char *const bad[] = {OPTIONS_TEXT, "PROXY TCP9 a b c d\r\n" OPTIONS_TEXT,
	                                  "PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n"};

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));

		peer_write(fd, bad[i]);
		assert_closed(stage, CLOSE_PROXY_HEADER);
		close(fd);
	}
	assert_int_equal(metrics_read(stage->registry, METRIC_CONNECTION_CLOSED, SIDE_ACCESS,
	                              CLOSE_PROXY_HEADER, 0),
	                 ARRAY_LENGTH(bad));
}

static void header_of_a_stranger_is_taken_for_what_it_is(void **state)
{
	struct stage *stage = *state;
	int fd = peer_connect("127.0.3.8:0", stage_listener(stage, ACCESS_TCP));

	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_int_equal(ntohl(stage->packets[0].hop.remote.v4.sin_addr.s_addr), 0x7f000308);
	peer_write(fd, V1_TEXT "\r\n" OPTIONS_TEXT); /* a message without Content-Length */
	stage_until(stage, stage->packet_count == 2);
	assert_true(stage->packets[1].framing_fault);
	assert_int_equal(ntohl(stage->packets[1].hop.remote.v4.sin_addr.s_addr), 0x7f000308);
	close(fd);
}

static void header_that_does_not_come_in_time_or_ends_halfway_closes(void **state)
{
	struct stage *stage = *state;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_open(stage), 0);
	fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	peer_write(fd, "PROXY TC");
	stage_turns(stage);
	fake_clock_advance_ms(10100);
	assert_closed(stage, CLOSE_PROXY_HEADER);
	close(fd);
	fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	peer_write(fd, "PROXY TC");
	stage_turns(stage);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_closed(stage, CLOSE_PROXY_HEADER);
	close(fd);
	fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	assert_int_equal(shutdown(fd, SHUT_WR), 0); /* how some balancers look whether we live */
	assert_closed(stage, CLOSE_PEER);
	close(fd);
}

static void clients_behind_a_balancer_are_counted_by_their_own_address(void **state)
{
	struct stage *stage = *state;
	int first, other, beyond;

	stage->settings.max_connections_per_address = 1;
	assert_int_equal(stage_open(stage), 0);
	first = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	peer_write(first, V1_TEXT OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	other = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	peer_write(other, "PROXY TCP4 198.51.100.8 203.0.113.9 1 5060\r\n" OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 2);
	beyond = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TCP));
	peer_write(beyond, V1_TEXT OPTIONS_TEXT);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_LIMIT);
	assert_int_equal(metrics_read(stage->registry, METRIC_REJECTED, REJECTED_CLASS_CONNECTION,
	                              REJECTED_ADDRESS_LIMIT, 0),
	                 1);
	close(first);
	close(other);
	close(beyond);
}

static void core_allows_the_address_that_the_header_names(void **state)
{
	struct stage *stage = *state;
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, CORE_TCP));

	peer_write(fd, V1_TEXT OPTIONS_TEXT);
	assert_closed(stage, CLOSE_PROXY_HEADER);
	assert_int_equal(metrics_read(stage->registry, METRIC_REJECTED, REJECTED_CLASS_CONNECTION,
	                              REJECTED_NOT_ALLOWED_PEER, 0),
	                 1);
	close(fd);
	fd = peer_connect("127.0.3.9:0", stage_listener(stage, CORE_TCP));
	peer_write(fd, "PROXY TCP4 127.0.3.77 127.0.3.2 5 6\r\n" OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_remote(&stage->packets[0].hop, "127.0.3.77:5");
	close(fd);
}

static void header_comes_before_the_upgrade_of_a_websocket(void **state)
{
	struct stage *stage = *state;
	int fd;

	stage->listeners[ACCESS_WS].transport = TRANSPORT_WS;
	assert_int_equal(stage_open(stage), 0);
	fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_WS));
	peer_write(fd, V1_TEXT UPGRADE_REQUEST);
	assert_string_equal(web_read(stage, fd, sizeof(UPGRADE_ANSWER) - 1), UPGRADE_ANSWER);
	web_write_text(fd, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_remote(&stage->packets[0].hop, "198.51.100.7:40000");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		proxy_test(client_behind_a_balancer_has_its_own_address),
		proxy_test(binary_header_in_single_bytes_is_waited_for),
		proxy_test(balancer_that_asks_for_itself_keeps_its_address),
		proxy_test(listed_peer_without_a_sound_header_is_closed),
		proxy_test(header_of_a_stranger_is_taken_for_what_it_is),
		proxy_test_closed(header_that_does_not_come_in_time_or_ends_halfway_closes),
		proxy_test_closed(clients_behind_a_balancer_are_counted_by_their_own_address),
		proxy_test(core_allows_the_address_that_the_header_names),
		proxy_test_closed(header_comes_before_the_upgrade_of_a_websocket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
