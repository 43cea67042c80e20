/*
 * Datagrams: in and out by the right socket, hostile ones counted, ICMP blamed on the right peer.
 */
#include "stage.h"

#include "transport/stun.h"

static void datagram_comes_with_its_source_and_is_answered_there(void **state)
{
	struct stage *stage = *state;
	struct address client, from;
	socklen_t length = sizeof(from);
	char text[128];
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &client);

	peer_send_to(fd, stage_listener(stage, ACCESS_UDP), OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, OPTIONS_TEXT);
	assert_true(address_equal(&stage->packets[0].hop.remote, &client));
	assert_int_equal(stage->packets[0].hop.side, SIDE_ACCESS);
	assert_int_equal(stage->packets[0].hop.listener, ACCESS_UDP);
	assert_int_equal(stage->packets[0].hop.own_socket, 0);
	assert_true(transport_is_alive(stage->transport, &stage->packets[0].hop));
	assert_string_equal(transport_sent_by(stage->transport, &stage->packets[0].hop),
	                    "edge.example.net:5060");

	stage_send(stage, &stage->packets[0].hop, ANSWER_TEXT);
	stage_until(stage, peer_has_input(fd));
	memset(&from, 0, sizeof(from));
	assert_int_equal(recvfrom(fd, text, sizeof(text), 0, &from.any, &length),
	                 strlen(ANSWER_TEXT));
	assert_memory_equal(text, ANSWER_TEXT, strlen(ANSWER_TEXT));
	assert_true(address_equal(&from, stage_listener(stage, ACCESS_UDP)));
	close(fd);
}

static void answer_leaves_at_the_end_of_the_turn(void **state)
{
	struct stage *stage = *state;
	struct address client;
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &client);
	struct hop hop = {.transport = TRANSPORT_UDP, .side = SIDE_ACCESS, .listener = ACCESS_UDP};

	hop.remote = client;
	stage_send(stage, &hop, ANSWER_TEXT);
	assert_false(peer_has_input(fd));
	loop_turn(stage->loop);
	assert_true(peer_has_input(fd));
	close(fd);
}

static void full_batch_leaves_at_once_and_in_order(void **state)
{
	struct stage *stage = *state;
	struct address client;
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &client);
	struct hop hop = {.transport = TRANSPORT_UDP, .side = SIDE_ACCESS, .listener = ACCESS_UDP};
	char text[16];

	hop.remote = client;
	for (unsigned i = 0; i < 64; i++) {
		assert_false(peer_has_input(fd));
		snprintf(text, sizeof(text), "number %u", i);
		stage_send(stage, &hop, text);
	}
	for (unsigned i = 0; i < 64; i++) {
		snprintf(text, sizeof(text), "number %u", i);
		assert_string_equal(peer_read(fd), text);
	}
	close(fd);
}

static void keepalives_are_dropped_quietly(void **state)
{
	struct stage *stage = *state;
	struct address client;
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &client);

	peer_send_to(fd, stage_listener(stage, ACCESS_UDP), "");
	peer_send_to(fd, stage_listener(stage, ACCESS_UDP), "\r\n");
	peer_send_to(fd, stage_listener(stage, ACCESS_UDP), "\r\n\r\n");
	peer_send_to(fd, stage_listener(stage, ACCESS_UDP), OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, OPTIONS_TEXT);
	assert_int_equal(metrics_total(stage->registry, METRIC_PARSE_ERRORS), 0);
	assert_int_equal(stage->keepalive_count, 3);
	close(fd);
}

#define STUN_REQUEST "\x00\x01\x00\x00\x21\x12\xa4\x42transaction1"
#define STUN_BYTES 20

static void send_stun(int fd, const struct address *to)
{
	assert_int_equal(sendto(fd, STUN_REQUEST, STUN_BYTES, 0, &to->any, address_length(to)),
	                 STUN_BYTES);
}

static int64_t stun_count(struct stage *stage, enum stun_result result)
{
	return metrics_read(stage->registry, METRIC_STUN, result, 0, 0);
}

static void stun_is_answered_from_the_port_it_came_to_and_told_as_a_keepalive(void **state)
{
	struct stage *stage = *state;
	struct address client, from;
	socklen_t length = sizeof(from);
	uint8_t answer[128];
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &client);

	send_stun(fd, stage_listener(stage, ACCESS_UDP));
	stage_until(stage, peer_has_input(fd));
	assert_int_equal(recvfrom(fd, answer, sizeof(answer), 0, &from.any, &length), 32);
	assert_memory_equal(answer, "\x01\x01\x00\x0c\x21\x12\xa4\x42transaction1", 20);
	assert_int_equal((answer[26] << 8 | answer[27]) ^ 0x2112, address_port(&client));
	assert_true(address_equal(&from, stage_listener(stage, ACCESS_UDP)));
	assert_int_equal(stage->packet_count, 0);
	assert_int_equal(stage->keepalive_count, 1);
	assert_true(address_equal(&stage->keepalive_hop.remote, &client));
	assert_int_equal(stun_count(stage, STUN_ANSWERED), 1);
	close(fd);
}

static void other_stun_is_counted_and_dropped(void **state)
{
	struct stage *stage = *state;
	struct address client;
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &client);
	const struct address *to = stage_listener(stage, ACCESS_UDP);

	assert_int_equal(sendto(fd, "\x00\x11\x00\x00\x21\x12\xa4\x42transaction1", STUN_BYTES, 0,
	                        &to->any, address_length(to)),
	                 STUN_BYTES);
	assert_int_equal(sendto(fd, "\x01zzzz", 5, 0, &to->any, address_length(to)), 5);
	peer_send_to(fd, to, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	loop_turn(stage->loop);
	assert_false(peer_has_input(fd));
	assert_int_equal(stage->keepalive_count, 0);
	assert_int_equal(stun_count(stage, STUN_NO_REQUEST), 1);
	assert_int_equal(stun_count(stage, STUN_MALFORMED), 1);
	assert_int_equal(metrics_total(stage->registry, METRIC_PARSE_ERRORS), 0);
	close(fd);
}

static void the_core_has_no_use_for_stun(void **state)
{
	struct stage *stage = *state;
	struct address sprout;
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &sprout);

	send_stun(fd, stage_listener(stage, CORE_UDP));
	stage_until(stage, stage->packet_count == 1); /* whoever parses it will count it */
	loop_turn(stage->loop);
	assert_false(peer_has_input(fd));
	assert_int_equal(metrics_total(stage->registry, METRIC_STUN), 0);
	close(fd);
}

static void datagram_beyond_the_limit_is_counted_and_dropped(void **state)
{
	struct stage *stage = *state;
	struct address client;
	char *text;
	int fd;

	stage->settings.message_bytes = 2000;
	assert_int_equal(stage_open(stage), 0);
	fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &client);
	text = malloc(60001);
	memset(text, 'a', 60000);
	text[60000] = '\0';
	peer_send_to(fd, stage_listener(stage, ACCESS_UDP), text);
	text[2001] = '\0';
	peer_send_to(fd, stage_listener(stage, ACCESS_UDP), text);
	text[2000] = '\0';
	peer_send_to(fd, stage_listener(stage, ACCESS_UDP), text);
	stage_until(stage, stage->packet_count == 1);
	assert_int_equal(stage->packets[0].length, 2000);
	assert_int_equal(metrics_read(stage->registry, METRIC_PARSE_ERRORS, TRANSPORT_UDP,
	                              PARSE_ERROR_TOO_LARGE, 0),
	                 2);
	free(text);
	close(fd);
}

static void stranger_on_the_core_port_is_counted_and_dropped(void **state)
{
	struct stage *stage = *state;
	struct address stranger, sprout;
	int stranger_fd = peer_socket(SOCK_DGRAM, "127.0.4.1:0", &stranger);
	int sprout_fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &sprout);

	peer_send_to(stranger_fd, stage_listener(stage, CORE_UDP), OPTIONS_TEXT);
	peer_send_to(sprout_fd, stage_listener(stage, CORE_UDP), OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_true(address_equal(&stage->packets[0].hop.remote, &sprout));
	assert_int_equal(stage->packets[0].hop.side, SIDE_CORE);
	assert_int_equal(metrics_read(stage->registry, METRIC_REJECTED, REJECTED_CLASS_PACKET,
	                              REJECTED_NOT_ALLOWED_PEER, 0),
	                 1);
	close(stranger_fd);
	close(sprout_fd);
}

static void core_requests_leave_from_a_port_of_our_own_which_our_via_names(void **state)
{
	struct stage *stage = *state;
	struct address sprout, from;
	socklen_t length = sizeof(from);
	char text[128], sent_by[64];
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &sprout);
	struct hop hop = stage_open_hop(stage, TRANSPORT_UDP, &sprout);

	assert_int_equal(hop.connection, 0);
	stage_send(stage, &hop, OPTIONS_TEXT);
	stage_until(stage, peer_has_input(fd));
	memset(&from, 0, sizeof(from));
	assert_int_equal(recvfrom(fd, text, sizeof(text), 0, &from.any, &length),
	                 strlen(OPTIONS_TEXT));
	assert_true(address_equal_host(&from, stage_listener(stage, CORE_UDP)));
	assert_int_not_equal(address_port(&from), address_port(stage_listener(stage, CORE_UDP)));
	snprintf(sent_by, sizeof(sent_by), "core.example.net:%u", address_port(&from));
	assert_string_equal(transport_sent_by(stage->transport, &hop), sent_by);

	/* the answer comes home, and a request that came there is answered from there */
	peer_send_to(fd, &from, ANSWER_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_true(hop_equal(&stage->packets[0].hop, &hop));
	stage_send(stage, &stage->packets[0].hop, "again");
	stage_until(stage, peer_has_input(fd));
	length = sizeof(from);
	assert_int_equal(recvfrom(fd, text, sizeof(text), 0, &from.any, &length), 5);
	assert_string_equal(transport_sent_by(stage->transport, &stage->packets[0].hop), sent_by);
	assert_int_not_equal(address_port(&from), address_port(stage_listener(stage, CORE_UDP)));
	close(fd);
}

static void request_on_the_core_port_is_answered_from_the_core_port(void **state)
{
	struct stage *stage = *state;
	struct address sprout, from;
	socklen_t length = sizeof(from);
	char text[128];
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &sprout);

	stage->answer = ANSWER_TEXT;
	peer_send_to(fd, stage_listener(stage, CORE_UDP), OPTIONS_TEXT);
	stage_until(stage, peer_has_input(fd));
	memset(&from, 0, sizeof(from));
	assert_int_equal(recvfrom(fd, text, sizeof(text), 0, &from.any, &length),
	                 strlen(ANSWER_TEXT));
	assert_true(address_equal(&from, stage_listener(stage, CORE_UDP)));
	assert_string_equal(transport_sent_by(stage->transport, &stage->packets[0].hop),
	                    "core.example.net:5058");
	close(fd);
}

static void icmp_blames_the_dead_peer_and_not_the_healthy_one(void **state)
{
	struct stage *stage = *state;
	struct address healthy, dead = free_address(SOCK_DGRAM, "127.0.3.8:0");
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &healthy);
	struct hop to_dead = stage_open_hop(stage, TRANSPORT_UDP, &dead);
	struct hop to_healthy = stage_open_hop(stage, TRANSPORT_UDP, &healthy);

	stage_send(stage, &to_dead, OPTIONS_TEXT);
	stage_until(stage, stage->unreachable_count == 1);
	assert_true(address_equal(&stage->unreachable, &dead));
	assert_int_equal(stage->unreachable_error, ECONNREFUSED);

	/* in one batch: the error of the first is pending when the second is to be sent */
	for (unsigned i = 0; i < 5; i++) {
		stage_send(stage, &to_dead, OPTIONS_TEXT);
		stage_send(stage, &to_healthy, "for the healthy one");
	}
	stage_until(stage, stage->unreachable_count == 2);
	for (unsigned i = 0; i < 5; i++) {
		stage_until(stage, peer_has_input(fd));
		assert_string_equal(peer_read(fd), "for the healthy one");
	}
	stage_turns(stage);
	assert_true(address_equal(&stage->unreachable, &dead));
	close(fd);
}

/* Two full batches without a turn between them: the first leaves an error for the send of the second. */
static void pending_icmp_does_not_stop_sending(void **state)
{
	struct stage *stage = *state;
	struct address healthy, dead = free_address(SOCK_DGRAM, "127.0.3.8:0");
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &healthy);
	struct hop to_dead = stage_open_hop(stage, TRANSPORT_UDP, &dead);
	struct hop to_healthy = stage_open_hop(stage, TRANSPORT_UDP, &healthy);

	for (unsigned i = 0; i < 64; i++)
		stage_send(stage, &to_dead, OPTIONS_TEXT);
	for (unsigned i = 0; i < 64; i++)
		stage_send(stage, &to_healthy, "for the healthy one");
	for (unsigned i = 0; i < 64; i++)
		assert_string_equal(peer_read(fd), "for the healthy one");
	stage_until(stage, stage->unreachable_count > 0);
	assert_true(address_equal(&stage->unreachable, &dead));
	assert_int_equal(metrics_total(stage->registry, METRIC_REJECTED), 0);
	close(fd);
}

static void icmp_on_a_dual_socket_blames_the_peer_in_its_own_spelling(void **state)
{
	struct stage *stage = *state;
	struct address dead = free_address(SOCK_DGRAM, "127.0.3.8:0");
	struct hop hop;

	stage->listeners[CORE_UDP].bind = stage_address("[::]:0");
	assert_int_equal(stage_open(stage), 0);
	hop = stage_open_hop(stage, TRANSPORT_UDP, &dead);
	stage_send(stage, &hop, OPTIONS_TEXT);
	stage_until(stage, stage->unreachable_count == 1);
	assert_true(address_equal(&stage->unreachable, &dead));
}

static void pending_icmp_does_not_stop_reading(void **state)
{
	struct stage *stage = *state;
	struct address sprout, dead = free_address(SOCK_DGRAM, "127.0.3.8:0"), ours;
	char sent_by[64];
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &sprout);
	struct hop hop = stage_open_hop(stage, TRANSPORT_UDP, &dead);

	snprintf(sent_by, sizeof(sent_by), "127.0.3.2%s",
	         strchr(transport_sent_by(stage->transport, &hop), ':'));
	ours = stage_address(sent_by);
	for (unsigned i = 0; i < 10; i++) {
		stage_send(stage, &hop, OPTIONS_TEXT);
		loop_turn(stage->loop);
		peer_send_to(fd, &ours, ANSWER_TEXT);
	}
	stage_until(stage, stage->packet_count == 10);
	assert_true(stage->unreachable_count > 0);
	close(fd);
}

static void peer_without_a_route_is_unreachable(void **state)
{
	struct stage *stage = *state;
	struct address nowhere =
		stage_address("192.0.2.1:5060"); /* from a loopback address: no way out */
	struct hop hop = stage_open_hop(stage, TRANSPORT_UDP, &nowhere);

	/* EINVAL on most kernels, which blames nobody, or no route, which blames the peer */
	stage_send(stage, &hop, OPTIONS_TEXT);
	stage_turns(stage);
	assert_int_equal(metrics_read(stage->registry, METRIC_REJECTED, REJECTED_CLASS_PACKET,
	                              REJECTED_OTHER, 0),
	                 1);
}

static void message_longer_than_a_datagram_is_refused(void **state)
{
	struct stage *stage = *state;
	struct address sprout = stage_address("127.0.3.9:5060");
	struct hop hop = stage_open_hop(stage, TRANSPORT_UDP, &sprout);
	char *text = calloc(1, 65508);

	assert_int_equal(stage_send_status(stage, &hop, text, 65508), -EMSGSIZE);
	assert_int_equal(stage_send_status(stage, &hop, text, 65507), 0);
	stage_turns(stage);
	free(text);
}

static void wildcard_answers_from_the_address_the_request_came_to(void **state)
{
	struct stage *stage = *state;
	struct address client, to, from;
	socklen_t length = sizeof(from);
	char text[128];
	int fd;

	stage->listeners[ACCESS_UDP].bind = stage_address("0.0.0.0:0");
	stage->listeners[ACCESS_UDP].advertise = "0.0.0.0:0";
	assert_int_equal(stage_open(stage), 0);
	stage->answer = ANSWER_TEXT;
	fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &client);
	for (unsigned host = 70; host < 73; host++) {
		snprintf(text, sizeof(text), "127.0.3.%u:%u", host,
		         address_port(stage_listener(stage, ACCESS_UDP)));
		to = stage_address(text);
		peer_send_to(fd, &to, OPTIONS_TEXT);
		stage_until(stage, peer_has_input(fd));
		memset(&from, 0, sizeof(from));
		assert_true(recvfrom(fd, text, sizeof(text), 0, &from.any, &length) > 0);
		assert_true(address_equal(&from, &to));
		assert_string_equal(transport_sent_by(stage->transport,
		                                      &stage->packets[host - 70].hop),
		                    address_format(&to, text));
	}
	assert_int_not_equal(stage->packets[0].hop.local, stage->packets[1].hop.local);
	close(fd);
}

static void dual_wildcard_answers_both_families(void **state)
{
	struct stage *stage = *state;
	static const char *const clients[] = {"127.0.3.9:0", "[::1]:0"}, *const ours[] = {
										 "127.0.3.77",
										 "[::1]"};

	stage->listeners[ACCESS_UDP].bind = stage_address("[::]:0");
	assert_int_equal(stage_open(stage), 0);
	stage->answer = ANSWER_TEXT;
	for (unsigned i = 0; i < 2; i++) {
		struct address client, to, from;
		socklen_t length = sizeof(from);
		char text[128];
		int fd = peer_socket(SOCK_DGRAM, clients[i], &client);

		assert_true(address_parse_host(slice_from_string(ours[i]),
		                               address_port(stage_listener(stage, ACCESS_UDP)),
		                               &to));
		peer_send_to(fd, &to, OPTIONS_TEXT);
		stage_until(stage, peer_has_input(fd));
		memset(&from, 0, sizeof(from));
		assert_true(recvfrom(fd, text, sizeof(text), 0, &from.any, &length) > 0);
		assert_true(address_equal(&from, &to));
		assert_true(address_equal(&stage->packets[i].hop.remote, &client));
		close(fd);
	}
}

static void second_process_on_the_port_is_told_so(void **state)
{
	struct stage *stage = *state;
	struct transport *second = NULL;
	struct listener_settings taken = stage->listeners[ACCESS_UDP];
	struct transport_settings settings = stage->settings;

	taken.bind = *stage_listener(stage, ACCESS_UDP);
	settings.listeners = &taken;
	settings.listener_count = 1;
	assert_int_equal(transport_create(stage->loop, 0, &settings, NULL, &stage_events, stage,
	                                  &second),
	                 -EADDRINUSE);
	taken = stage->listeners[ACCESS_TCP];
	taken.bind = *stage_listener(stage, ACCESS_TCP);
	assert_int_equal(transport_create(stage->loop, 0, &settings, NULL, &stage_events, stage,
	                                  &second),
	                 -EADDRINUSE);
	assert_null(second);
}

static void transport_without_its_kind_is_not_supported(void **state)
{
	struct stage *stage = *state;
	struct address peer = stage_address("127.0.3.9:5060"), v6 = stage_address("[::1]:5060");
	struct hop hop;

	assert_int_equal(stage_try_open(stage, TRANSPORT_TLS, &peer, &hop), -EPROTONOSUPPORT);
	assert_int_equal(stage_try_open(stage, TRANSPORT_UDP, &v6, &hop), -EPROTONOSUPPORT);
}

static void access_requests_leave_from_the_listeners_port(void **state)
{
	struct stage *stage = *state;
	struct address trunk;
	int fd = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &trunk);
	struct hop hop;

	assert_int_equal(stage_try_open_access(stage, TRANSPORT_UDP, &trunk, &hop), 0);
	assert_int_equal(hop.side, SIDE_ACCESS);
	assert_string_equal(transport_sent_by(stage->transport, &hop), "edge.example.net:5060");
	stage_send(stage, &hop, OPTIONS_TEXT);
	stage_turns(stage);
	{
		char text[2048];
		struct address from;
		socklen_t length = sizeof(from);
		ssize_t n = recvfrom(fd, text, sizeof(text), 0, &from.any, &length);

		assert_int_equal(n, strlen(OPTIONS_TEXT));
		assert_true(address_equal(&from, stage_listener(stage, ACCESS_UDP)));
	}
	close(fd);
}

static void wildcard_without_a_name_names_the_address_it_sends_from(void **state)
{
	struct stage *stage = *state;
	struct address trunk = stage_address("127.0.3.9:5060");
	char want[ADDRESS_TEXT_MAX];
	struct hop hop;

	stage->listeners[ACCESS_UDP].bind = stage_address("0.0.0.0:0");
	stage->listeners[ACCESS_UDP].advertise = "0.0.0.0:0";
	assert_int_equal(stage_open(stage), 0);
	assert_int_equal(stage_try_open_access(stage, TRANSPORT_UDP, &trunk, &hop), 0);
	snprintf(want, sizeof(want), "127.0.0.1:%u",
	         address_port(stage_listener(stage, ACCESS_UDP)));
	assert_string_equal(transport_sent_by(stage->transport, &hop), want);
}

static void scene(void *arg)
{
	struct stage *stage = arg;
	struct address client = stage_address("127.0.3.9:9");
	struct hop hop;
	struct bytes *bytes;

	if (stage_open(stage) == 0) {
		if (stage_try_open(stage, TRANSPORT_UDP, &client, &hop) == 0 &&
		    (bytes = bytes_copy(SLICE_LITERAL(OPTIONS_TEXT))) != NULL) {
			transport_send(stage->transport, &hop, &bytes);
			assert_null(bytes);
		}
		loop_turn(stage->loop);
	}
	stage_close(stage);
}

static void every_allocation_may_fail(void **state)
{
	assert_true(alloc_fail_each(scene, *state) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		stage_test(datagram_comes_with_its_source_and_is_answered_there),
		stage_test(answer_leaves_at_the_end_of_the_turn),
		stage_test(full_batch_leaves_at_once_and_in_order),
		stage_test(keepalives_are_dropped_quietly),
		stage_test(stun_is_answered_from_the_port_it_came_to_and_told_as_a_keepalive),
		stage_test(other_stun_is_counted_and_dropped),
		stage_test(the_core_has_no_use_for_stun),
		stage_test_closed(datagram_beyond_the_limit_is_counted_and_dropped),
		stage_test(stranger_on_the_core_port_is_counted_and_dropped),
		stage_test(core_requests_leave_from_a_port_of_our_own_which_our_via_names),
		stage_test(request_on_the_core_port_is_answered_from_the_core_port),
		stage_test(icmp_blames_the_dead_peer_and_not_the_healthy_one),
		stage_test(pending_icmp_does_not_stop_sending),
		stage_test_closed(icmp_on_a_dual_socket_blames_the_peer_in_its_own_spelling),
		stage_test(pending_icmp_does_not_stop_reading),
		stage_test(peer_without_a_route_is_unreachable),
		stage_test(message_longer_than_a_datagram_is_refused),
		stage_test_closed(wildcard_answers_from_the_address_the_request_came_to),
		stage_test_closed(dual_wildcard_answers_both_families),
		stage_test(second_process_on_the_port_is_told_so),
		stage_test(transport_without_its_kind_is_not_supported),
		stage_test(access_requests_leave_from_the_listeners_port),
		stage_test_closed(wildcard_without_a_name_names_the_address_it_sends_from),
		stage_test_closed(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
