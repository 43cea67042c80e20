/* WebSocket over TLS: the layers one on another, with a PROXY header below both. RFC 6455 3, RFC 7118. */
#include "tls_stage.h"
#include "websocket_stage.h"

enum { ACCESS_WSS = ACCESS_TLS };

static int wss_setup_closed(void **state)
{
	struct tls_scene *scene;

	scene_setup_closed(state);
	scene = *state;
	scene->stage->listeners[ACCESS_WSS].transport = TRANSPORT_WSS;
	scene->stage->settings.websocket_ping_ms = PING_MS;
	return 0;
}

static int wss_setup(void **state)
{
	wss_setup_closed(state);
	scene_open(*state);
	return 0;
}

static void say(struct tls_peer *peer, const char *bytes, size_t length)
{
	assert_int_equal(SSL_write(peer->ssl, bytes, (int)length), length);
}

/* Exactly these bytes come, and nothing before them. */
static void hear(struct tls_scene *scene, struct tls_peer *peer, const char *wanted, size_t length)
{
	char heard[512];
	size_t have = 0;

	assert_true(length < sizeof(heard));
	stage_until(scene->stage, ({
			    const int got = SSL_read(peer->ssl, heard + have, (int)(length - have));

			    have += got > 0 ? (size_t)got : 0;
			    ERR_clear_error();
			    have == length;
		    }));
	assert_memory_equal(heard, wanted, length);
}

static struct tls_peer upgraded(struct tls_scene *scene)
{
	struct tls_peer peer = client_begin(scene, ACCESS_WSS, "edge.example.net", NULL);

	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, UPGRADE_REQUEST);
	hear(scene, &peer, UPGRADE_ANSWER, sizeof(UPGRADE_ANSWER) - 1);
	return peer;
}

/* A mask of zeros leaves the bytes as they are. */
#define TEXT_FRAME(text) "\x81\x87\0\0\0\0" text

static void message_over_wss_is_answered_and_pings_are(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = upgraded(scene);

	stage->answer = "answer.";
	say(&peer, TEXT_FRAME("message"), 13);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, "message");
	assert_int_equal(stage->packets[0].hop.transport, TRANSPORT_WSS);
	hear(scene, &peer,
	     "\x81\x07"
	     "answer.",
	     9);
	say(&peer, "\x89\x81\0\0\0\0p", 7);
	hear(scene, &peer, "\x8a\x01p", 3);
	assert_int_equal(stage->keepalive_count, 1);
	assert_int_equal(metrics_read(stage->registry, METRIC_WEBSOCKET_UPGRADES, UPGRADE_ACCEPTED,
	                              0, 0),
	                 1);
	assert_int_equal(transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_WSS),
	                 1);
	peer_end(&peer);
}

static void close_frame_comes_before_the_end_of_tls(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = upgraded(scene);
	char byte;

	say(&peer, "\x81\x01z", 3); /* no mask */
	hear(scene, &peer, "\x88\x02\x03\xea", 4);
	stage_until(stage, SSL_read(peer.ssl, &byte, 1) <= 0 &&
	                           (SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN) != 0);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_WEBSOCKET);
	assert_int_equal(metrics_read(stage->registry, METRIC_PARSE_ERRORS, TRANSPORT_WSS,
	                              PARSE_ERROR_FRAME_PROTOCOL, 0),
	                 1);
	peer_end(&peer);
}

static void client_is_told_1001_when_the_transport_ends(void **state)
{
	struct tls_scene *scene = *state;
	struct tls_peer peer = upgraded(scene);
	char told[8];

	transport_destroy(&scene->stage->transport);
	fcntl(peer.fd, F_SETFL, 0);
	assert_int_equal(SSL_read(peer.ssl, told, sizeof(told)), 4);
	assert_memory_equal(told, "\x88\x02\x03\xe9", 4);
	peer_end(&peer);
}

static void who_shakes_hands_and_says_nothing_gets_408(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer;

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	scene_open(scene);
	peer = client_begin(scene, ACCESS_WSS, "edge.example.net", NULL);
	assert_true(peer_shakes(scene, &peer));
	stage_until(stage,
	            transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_WSS) == 1);
	fake_clock_advance_ms(10100);
	hear(scene, &peer, "HTTP/1.1 408 ", 13);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_SLOW);
	peer_end(&peer);
}

static void proxy_header_stands_before_tls(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct address_range balancer;
	struct tls_peer peer;
	char text[ADDRESS_TEXT_MAX];

	assert_true(address_range_parse(SLICE_LITERAL("127.0.3.9"), &balancer));
	stage->listeners[ACCESS_WSS].proxy_from = &balancer;
	stage->listeners[ACCESS_WSS].proxy_from_count = 1;
	scene_open(scene);
	peer = client_begin(scene, ACCESS_WSS, "edge.example.net", NULL);
	peer_write(peer.fd, "PROXY TCP4 198.51.100.7 203.0.113.9 40000 5063\r\n");
	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, UPGRADE_REQUEST);
	hear(scene, &peer, UPGRADE_ANSWER, sizeof(UPGRADE_ANSWER) - 1);
	say(&peer, TEXT_FRAME("message"), 13);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(address_format(&stage->packets[0].hop.remote, text),
	                    "198.51.100.7:40000");
	peer_end(&peer);
}

#define wss_test(name) cmocka_unit_test_setup_teardown(name, wss_setup, scene_teardown)
#define wss_test_closed(name)                                                                      \
	cmocka_unit_test_setup_teardown(name, wss_setup_closed, scene_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		wss_test(message_over_wss_is_answered_and_pings_are),
		wss_test(close_frame_comes_before_the_end_of_tls),
		wss_test(client_is_told_1001_when_the_transport_ends),
		wss_test_closed(who_shakes_hands_and_says_nothing_gets_408),
		wss_test_closed(proxy_header_stands_before_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
