/*
 * TLS with those who mean ill, or whose certificate has changed since: places held for nothing, work made for nothing,
 * sessions that outlive what they began with.
 */
#include "tls_stage.h"

/* OpenSSL looks at the dates of certificates by this: a test moves it. */
static time_t ahead_s;

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += ahead_s;
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}

/* ---- the budget ---- */

/* Half a ClientHello. */
static int begin_and_wait(struct tls_scene *scene)
{
	static const char begun[] = {0x16, 3, 1, 2, 0};
	int fd = peer_connect("127.0.3.9:0", stage_listener(scene->stage, ACCESS_TLS));

	assert_int_equal(send(fd, begun, sizeof(begun), 0), sizeof(begun));
	stage_turns(scene->stage);
	return fd;
}

static void slow_handshakes_make_room_for_others(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer;
	int fds[3];

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	stage->settings.tls_handshakes = 2;
	scene_open(scene);
	fds[0] = begin_and_wait(scene);
	fake_clock_advance_ms(100);
	fds[1] = begin_and_wait(scene);
	fake_clock_advance_ms(1899);
	fds[2] = begin_and_wait(scene); /* too early to send somebody away */
	stage_until(stage, peer_is_ended(fds[2]));
	fake_clock_advance_ms(1);
	peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);
	assert_true(peer_shakes(scene, &peer));
	assert_true(peer_is_ended(fds[0]));
	assert_false(peer_is_ended(fds[1]));
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_BUDGET), 2);
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1);
	peer_end(&peer);
	for (unsigned i = 0; i < 3; i++)
		close(fds[i]);
}

static void clients_take_no_place_of_peers(void **state)
{
	struct tls_scene *scene = *state;
	struct tls_peer peer;
	int fd;

	scene->stage->settings.tls_handshakes = 1;
	scene_open(scene);
	fd = begin_and_wait(scene);
	peer = client_begin(scene, CORE_TLS, "node.example.net", NULL);
	assert_true(peer_shakes(scene, &peer));
	assert_int_equal(results(scene, SIDE_CORE, TLS_RESULT_BUDGET), 0);
	peer_end(&peer);
	close(fd);
}

/* ---- work for nothing ---- */

static void send_key_updates(struct tls_peer *peer, unsigned count, int kind)
{
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(SSL_key_update(peer->ssl, kind), 1);
		assert_int_equal(SSL_do_handshake(peer->ssl), 1);
	}
}

static void few_key_updates_are_fine_and_hundreds_are_not(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	assert_true(peer_shakes(scene, &peer));
	for (unsigned i = 0; i < 20; i++) { /* over a long life many */
		send_key_updates(&peer, 3,
		                 i % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED
		                            : SSL_KEY_UPDATE_NOT_REQUESTED);
		peer_says(&peer, MESSAGE_TEXT);
		stage_until(stage, stage->packet_count == i + 1);
		assert_string_equal(peer_hears(&peer), "");
	}
	assert_int_equal(stage->closed_count, 0);
	send_key_updates(&peer, 300, SSL_KEY_UPDATE_NOT_REQUESTED);
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_TLS);
	assert_int_equal(stage->packet_count, 20);
	peer_end(&peer);
}

/* ---- sessions older than certificates ---- */

/* Of two, the first ends in an hour. */
static void issue_both(struct tls_scene *scene, const char *names, struct tls_pair pairs[2])
{
	pairs[0] = scene_pair(scene, &scene->authority,
	                      &(struct certificate_wish){.name = "before",
	                                                 .cn = "before",
	                                                 .names = names,
	                                                 .from_s = -60,
	                                                 .to_s = 3600});
	pairs[1] = scene_pair(scene, &scene->authority,
	                      &(struct certificate_wish){.name = "after",
	                                                 .cn = "after",
	                                                 .names = names});
}

static void peer_with_a_new_certificate_need_not_forget_its_session(void **state)
{
	struct tls_scene *scene = *state;
	struct tls_pair pairs[2];

	scene->stage->listeners[CORE_TLS].client_certificate = TLS_CLIENT_REQUIRED;
	scene_open(scene);
	issue_both(scene, "DNS:peer.example.net", pairs);
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		assert_false(reconnect(scene, CORE_TLS, version, &pairs[0]));
		assert_true(reconnect(scene, CORE_TLS, version, &pairs[0]));
		ahead_s = 7200;
		assert_false(reconnect(scene, CORE_TLS, version, &pairs[1]));
		assert_true(reconnect(scene, CORE_TLS, version, &pairs[1]));
		ahead_s = 0;
		forget_session();
	}
	assert_int_equal(results(scene, SIDE_CORE, TLS_RESULT_EXPIRED), 0);
}

static SSL_CTX *sprout_context(const struct tls_pair *pair)
{
	static const unsigned char keys[80] = "the same before and after";
	SSL_CTX *context = peer_context(TLS_server_method(), NULL, pair);

	assert_int_equal(SSL_CTX_set_tlsext_ticket_keys(context, (void *)(uintptr_t)keys,
	                                                sizeof(keys)),
	                 1);
	return context;
}

/* True: it was known to us. */
static bool dial(struct tls_scene *scene, int listening, const struct address *address,
                 const struct tls_pair *pair)
{
	const struct transport_peer to = {TRANSPORT_TLS, address, "intersite",
	                                  "sprout.example.net"};
	struct stage *stage = scene->stage;
	const unsigned packets = stage->packet_count, closed = stage->closed_count;
	struct tls_peer peer;
	struct hop hop;
	bool reused;

	assert_int_equal(transport_open(stage->transport, &to, &hop), 0);
	peer_begin(&peer, sprout_context(pair), accept(listening, NULL, NULL), true);
	assert_true(peer_shakes(scene, &peer));
	reused = SSL_session_reused(peer.ssl);
	peer_says(&peer, ANSWER_TEXT); /* behind the ticket */
	stage_until(stage, stage->packet_count > packets);
	transport_close(stage->transport, &hop, CLOSE_LOCAL);
	stage_until(stage, stage->closed_count > closed);
	peer_end(&peer);
	return reused;
}

static void server_with_a_new_certificate_is_asked_for_it(void **state)
{
	struct tls_scene *scene = *state;
	struct address address;
	struct tls_pair pairs[2];
	int fd = peer_socket(SOCK_STREAM, "127.0.3.9:0", &address);

	assert_int_equal(listen(fd, 8), 0);
	issue_both(scene, "DNS:sprout.example.net", pairs);
	assert_false(dial(scene, fd, &address, &pairs[0]));
	assert_true(dial(scene, fd, &address, &pairs[0]));
	ahead_s = 7200;
	assert_false(dial(scene, fd, &address, &pairs[1]));
	assert_true(dial(scene, fd, &address, &pairs[1]));
	ahead_s = 0;
	assert_int_equal(results(scene, SIDE_CORE, TLS_RESULT_EXPIRED), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		tls_test_closed(slow_handshakes_make_room_for_others),
		tls_test_closed(clients_take_no_place_of_peers),
		tls_test(few_key_updates_are_fine_and_hundreds_are_not),
		tls_test_closed(peer_with_a_new_certificate_need_not_forget_its_session),
		tls_test(server_with_a_new_certificate_is_asked_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
