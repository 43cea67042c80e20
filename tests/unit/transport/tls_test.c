/*
 * TLS on a stream, seen from a client: handshakes good and bad, records, the end, the budget.
 */
#include "tls_stage.h"

static void client_that_trusts_us_is_heard_and_answered(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	stage->answer = ANSWER_TEXT;
	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, MESSAGE_TEXT);
	assert_int_equal(stage->packets[0].hop.transport, TRANSPORT_TLS);
	stage_until(stage, strcmp(peer_hears(&peer), ANSWER_TEXT) == 0);
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_OK), 1);
	assert_int_equal(transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_TLS),
	                 1);
	peer_end(&peer);
}

/* The authority is among those that the profile trusts, and is not looked up there for every client. */
static void chain_is_what_stands_in_the_file(void **state)
{
	struct tls_scene *scene = *state;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	assert_true(peer_shakes(scene, &peer));
	assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(peer.ssl)), 1);
	peer_end(&peer);
}

static void cheapest_cipher_is_taken_and_stronger_ones_are_there(void **state)
{
	static const struct {
		int version;
		const char *offered, *taken;
	} cases[] = {
		{TLS1_3_VERSION, NULL, "TLS_AES_128_GCM_SHA256"},
		{TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"},
		{TLS1_2_VERSION, NULL, "ECDHE-ECDSA-AES128-GCM-SHA256"},
		{TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"},
	};
	struct tls_scene *scene = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

		SSL_set_max_proto_version(peer.ssl, cases[i].version);
		if (cases[i].offered != NULL && cases[i].version == TLS1_3_VERSION)
			SSL_set_ciphersuites(peer.ssl, cases[i].offered);
		else if (cases[i].offered != NULL)
			SSL_set_cipher_list(peer.ssl, cases[i].offered);
		assert_true(peer_shakes(scene, &peer));
		assert_string_equal(SSL_get_cipher_name(peer.ssl), cases[i].taken);
		peer_end(&peer);
	}
}

static void large_message_comes_whole_both_ways(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);
	char *text = malloc(60000);
	size_t heard = 0;
	int head;

	head = sprintf(text, "MESSAGE sip:a SIP/2.0\r\nContent-Length: 40000\r\n\r\n");
	memset(text + head, 'x', 40000);
	text[head + 40000] = '\0';
	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, text);
	stage_until(stage, stage->packet_count == 1);
	assert_int_equal(stage->packets[0].length, head + 40000);
	assert_string_equal(stage->packets[0].text, text);
	stage_send(stage, &stage->packets[0].hop, text);
	stage_until(stage, (heard += strlen(peer_hears(&peer))) == (size_t)head + 40000);
	free(text);
	peer_end(&peer);
}

static void messages_that_wait_together_leave_in_one_record(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);
	const char *heard;

	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1);
	for (int i = 0; i < 5; i++)
		stage_send(stage, &stage->packets[0].hop, ANSWER_TEXT);
	/* SSL_read gives no more than a record; a ticket is none of its own */
	stage_until(stage, *(heard = peer_hears(&peer)) != '\0');
	assert_string_equal(heard, ANSWER_TEXT ANSWER_TEXT ANSWER_TEXT ANSWER_TEXT ANSWER_TEXT);
	peer_end(&peer);
}

/* The kernel takes no more: what OpenSSL holds of a record must come out once, in its place. */
static void peer_that_reads_late_gets_every_byte_in_order(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);
	const unsigned count = 400;
	size_t length = 0, at = 0;
	char *sent, *heard;

	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1);
	sent = malloc(count * 10000 + 1);
	heard = malloc(count * 10000 + 1);
	for (unsigned i = 0; i < count; i++) {
		const size_t size = 1 + (i * 7919) % 9000;
		char *message = sent + length;

		if (stage->closed_count > 0 || length + size > 900000)
			break; /* what its queue may hold */
		memset(message, 'a' + (int)(i % 26), size);
		message[size] = '\0';
		stage_send(stage, &stage->packets[0].hop, message);
		length += size;
	}
	stage_turns(stage);
	stage_until(stage, ({
			    const char *more = peer_hears(&peer);

			    memcpy(heard + at, more, strlen(more));
			    at += strlen(more);
			    at >= length;
		    }));
	assert_int_equal(stage->closed_count, 0);
	assert_memory_equal(sent, heard, length);
	free(sent);
	free(heard);
	peer_end(&peer);
}

static void client_with_its_first_message_in_the_last_flight_is_heard(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	SSL_CTX_set_max_proto_version(peer.context, TLS1_3_VERSION);
	/* the client is through before we are: its message lies behind its Finished */
	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, OPTIONS_TEXT);
	stage_until(stage, stage->packet_count == 1);
	peer_end(&peer);
}

static void close_notify_ends_the_connection_and_is_answered(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, MESSAGE_TEXT);
	SSL_shutdown(peer.ssl);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->packet_count, 1);
	assert_int_equal(stage->closed_reason, CLOSE_PEER);
	stage_until(stage, (peer_hears(&peer), SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN));
	peer_end(&peer);
}

static void end_without_close_notify_is_an_end(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, MESSAGE_TEXT);
	shutdown(peer.fd, SHUT_WR);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->packet_count, 1);
	assert_int_equal(stage->closed_reason, CLOSE_PEER);
	peer_end(&peer);
}

static void connection_that_we_close_says_so(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1);
	stage_send(stage, &stage->packets[0].hop, ANSWER_TEXT);
	transport_close(stage->transport, &stage->packets[0].hop, CLOSE_LOCAL);
	stage_until(stage, strcmp(peer_hears(&peer), ANSWER_TEXT) == 0);
	stage_until(stage, (peer_hears(&peer), SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN));
	peer_end(&peer);
}

static void broken_record_ends_the_connection(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1);
	peer_write(peer.fd, "\x17\x03\x03\x01\x20 no record of anybody");
	peer_write(peer.fd, "................................................................");
	peer_write(peer.fd, "................................................................");
	peer_write(peer.fd, "................................................................");
	peer_write(peer.fd, "................................................................");
	peer_write(peer.fd, "................................................................");
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_TLS);
	peer_end(&peer);
}

static void plain_sip_on_a_tls_port_is_turned_away_and_counted(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TLS));

	peer_write(fd, OPTIONS_TEXT);
	stage_until(stage, peer_is_ended(fd));
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_NOT_TLS), 1);
	assert_int_equal(stage->packet_count, 0);
	close(fd);
}

static void rubbish_is_a_fault_of_protocol(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TLS));

	peer_write(fd, "\x16\x03\x01\x01\x02\x03 rubbish");
	shutdown(fd, SHUT_WR);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_TLS);
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_PROTOCOL) +
	                         results(scene, SIDE_ACCESS, TLS_RESULT_PEER_CLOSED),
	                 1);
	close(fd);
}

static void tls_1_1_is_too_old(void **state)
{
	struct tls_scene *scene = *state;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	SSL_set_security_level(peer.ssl, 0);
	SSL_set_cipher_list(peer.ssl, "ALL:@SECLEVEL=0");
	SSL_set_min_proto_version(peer.ssl, TLS1_VERSION);
	SSL_set_max_proto_version(peer.ssl, TLS1_1_VERSION);
	assert_false(peer_shakes(scene, &peer));
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_NO_SHARED_VERSION), 1);
	peer_end(&peer);
}

static void cipher_that_we_do_not_have_is_counted_so(void **state)
{
	struct tls_scene *scene = *state;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	SSL_set_max_proto_version(peer.ssl, TLS1_2_VERSION);
	assert_int_equal(SSL_set_cipher_list(peer.ssl, "ECDHE-ECDSA-AES128-SHA"), 1);
	assert_false(peer_shakes(scene, &peer));
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_NO_SHARED_CIPHER), 1);
	peer_end(&peer);
}

static void client_that_does_not_trust_us_is_counted_by_its_alert(void **state)
{
	struct tls_scene *scene = *state;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "other.example.net", NULL);

	assert_false(peer_shakes(scene, &peer));
	stage_until(scene->stage, results(scene, SIDE_ACCESS, TLS_RESULT_PEER_ALERT) == 1);
	peer_end(&peer);
}

static void silent_client_is_closed_at_the_deadline(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	int fd;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	scene_open(scene);
	fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TLS));
	stage_turns(stage);
	fake_clock_advance_ms(9900);
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 0);
	fake_clock_advance_ms(200);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_TLS);
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_TIMEOUT), 1);
	close(fd);
}

static void client_that_connects_and_leaves_is_no_failure(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TLS));

	close(fd);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_PEER);
	assert_int_equal(metrics_total(stage->registry, METRIC_TLS_HANDSHAKES), 0);
}

/* Half a ClientHello holds its place in the budget, and no message of others waits for it. */
static void beyond_the_budget_the_newest_handshake_is_refused(void **state)
{
	static const char begun[] = {0x16, 3, 1, 2, 0};
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer;
	int fds[3];

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	stage->settings.tls_handshakes = 2;
	scene_open(scene);
	peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);
	assert_true(peer_shakes(scene, &peer));
	for (int i = 0; i < 3; i++) {
		fds[i] = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TLS));
		assert_int_equal(send(fds[i], begun, sizeof(begun), 0), sizeof(begun));
		stage_turns(stage);
	}
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_BUDGET), 1);
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1);
	close(fds[0]); /* gives its place back */
	stage_until(stage, stage->closed_count == 2);
	peer_end(&peer);
	peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);
	assert_true(peer_shakes(scene, &peer));
	peer_end(&peer);
	close(fds[1]);
	close(fds[2]);
}

/* Handshakes are for the end of a turn, and few of them: a message does not wait for them all. */
static void message_does_not_wait_for_a_flood_of_handshakes(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL), flood[20];
	unsigned answered = 0;

	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1);
	for (unsigned i = 0; i < 20; i++)
		flood[i] = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);
	stage_turns(stage);
	for (unsigned i = 0; i < 20; i++)
		assert_true(SSL_do_handshake(flood[i].ssl) < 1 && peer_waits(&flood[i], -1));
	peer_says(&peer, MESSAGE_TEXT);
	loop_turn(stage->loop);
	assert_int_equal(stage->packet_count, 2);
	for (unsigned i = 0; i < 20; i++)
		answered += peer_has_input(flood[i].fd);
	assert_in_range(answered, 1, 8);
	for (unsigned i = 0; i < 20; i++) {
		assert_true(peer_shakes(scene, &flood[i]));
		peer_end(&flood[i]);
	}
	peer_end(&peer);
}

static void renegotiation_is_refused(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	SSL_set_max_proto_version(peer.ssl, TLS1_2_VERSION);
	assert_true(peer_shakes(scene, &peer));
	assert_int_equal(SSL_renegotiate(peer.ssl), 1);
	assert_false(peer_shakes(scene, &peer));
	stage_turns(stage);
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_OK), 1);
	peer_end(&peer);
}

static void without_a_book_a_tls_listener_turns_away(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	int fd;

	transport_set_tls(stage->transport, NULL);
	fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TLS));
	stage_until(stage, peer_is_ended(fd));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		tls_test(client_that_trusts_us_is_heard_and_answered),
		tls_test(chain_is_what_stands_in_the_file),
		tls_test(cheapest_cipher_is_taken_and_stronger_ones_are_there),
		tls_test(large_message_comes_whole_both_ways),
		tls_test(messages_that_wait_together_leave_in_one_record),
		tls_test(peer_that_reads_late_gets_every_byte_in_order),
		tls_test(client_with_its_first_message_in_the_last_flight_is_heard),
		tls_test(close_notify_ends_the_connection_and_is_answered),
		tls_test(end_without_close_notify_is_an_end),
		tls_test(connection_that_we_close_says_so),
		tls_test(broken_record_ends_the_connection),
		tls_test(plain_sip_on_a_tls_port_is_turned_away_and_counted),
		tls_test(rubbish_is_a_fault_of_protocol),
		tls_test(tls_1_1_is_too_old),
		tls_test(cipher_that_we_do_not_have_is_counted_so),
		tls_test(client_that_does_not_trust_us_is_counted_by_its_alert),
		tls_test_closed(silent_client_is_closed_at_the_deadline),
		tls_test(client_that_connects_and_leaves_is_no_failure),
		tls_test_closed(beyond_the_budget_the_newest_handshake_is_refused),
		tls_test(message_does_not_wait_for_a_flood_of_handshakes),
		tls_test(renegotiation_is_refused),
		tls_test(without_a_book_a_tls_listener_turns_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
