/*
 * Who is the other one? Servers that we connect to and clients that we ask for a certificate: names, authorities, dates
 * (RFC 5922). Sessions taken up again; certificates that change while connections are there.
 */
#include "tls_stage.h"

/* ---- servers ---- */

/* A Sprout of the test: listens, and speaks TLS with what it was given. */
static struct hop open_to(struct tls_scene *scene, const struct address *address, const char *name)
{
	const struct transport_peer to = {TRANSPORT_TLS, address, "intersite", name};
	struct hop hop;

	assert_int_equal(transport_open(scene->stage->transport, &to, &hop), 0);
	return hop;
}

static int listening(struct address *bound)
{
	int fd = peer_socket(SOCK_STREAM, "127.0.3.9:0", bound);

	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static struct tls_peer sprout_begin(struct tls_scene *scene, int listening_fd,
                                    const struct tls_pair *pair)
{
	struct tls_peer peer;

	peer_begin(&peer, peer_context(TLS_server_method(), scene->authority.ca, pair),
	           accept(listening_fd, NULL, NULL), true);
	return peer;
}

static const struct certificate_wish sprout_wish = {
	.name = "sprout",
	.cn = "sprout",
	.names = "URI:sip:site-b.example.net,DNS:sprout.example.net"};

struct attempt { /* what the Sprout shows, and whom we wanted */
	struct certificate_wish wish;
	const char *name;
	bool stranger;
};

/* How our end of it went. */
static enum tls_result try_sprout(struct tls_scene *scene, const struct attempt *attempt)
{
	struct stage *stage = scene->stage;
	struct authority *authority = attempt->stranger ? &scene->stranger : &scene->authority;
	const struct tls_pair pair = scene_pair(scene, authority, &attempt->wish);
	int64_t before[TLS_RESULT_OTHER + 1];
	const unsigned closed = stage->closed_count;
	struct address address;
	struct tls_peer peer;
	int fd = listening(&address);
	struct hop hop = open_to(scene, &address, attempt->name);
	bool good;

	for (unsigned i = 0; i <= TLS_RESULT_OTHER; i++)
		before[i] = results(scene, SIDE_CORE, i);
	stage_send(stage, &hop, OPTIONS_TEXT);
	peer = sprout_begin(scene, fd, &pair);
	good = peer_shakes(scene, &peer);
	stage_until(stage, stage->closed_count > closed ||
	                           (good && strcmp(peer_hears(&peer), OPTIONS_TEXT) == 0));
	if (stage->closed_count > closed)
		assert_int_equal(stage->closed_reason, CLOSE_TLS);
	else
		transport_close(stage->transport, &hop, CLOSE_LOCAL);
	peer_end(&peer);
	close(fd);
	stage_until(stage, stage->closed_count > closed);
	for (unsigned i = 0; i <= TLS_RESULT_OTHER; i++) {
		if (results(scene, SIDE_CORE, i) > before[i])
			return i;
	}
	fail_msg("nothing was counted");
	return TLS_RESULT_OTHER;
}

static void what_waits_is_sent_once_the_server_has_shown_its_name(void **state)
{
	struct tls_scene *scene = *state;

	assert_int_equal(try_sprout(scene,
	                            &(struct attempt){sprout_wish, "sprout.example.net", false}),
	                 TLS_RESULT_OK);
}

static void server_is_known_by_uri_dns_name_or_address(void **state)
{
	static const struct {
		const char *cn, *names, *wanted;
		enum tls_result result;
	} cases[] = {
		{"x", "URI:sip:site-b.example.net", "site-b.example.net", TLS_RESULT_OK},
		{"x", "URI:sip:site-b.example.net", "SITE-B.example.NET", TLS_RESULT_OK},
		{"x", "URI:sip:user@site-b.example.net", "site-b.example.net",
	         TLS_RESULT_WRONG_NAME},
		{"x", "URI:https://site-b.example.net", "site-b.example.net",
	         TLS_RESULT_WRONG_NAME},
		{"x", "DNS:site-b.example.net", "site-b.example.net", TLS_RESULT_OK},
		/* RFC 5922 7.2: no wildcards, no subdomains */
		{"x", "DNS:*.example.net", "site-b.example.net", TLS_RESULT_WRONG_NAME},
		{"x", "DNS:example.net", "site-b.example.net", TLS_RESULT_WRONG_NAME},
		{"x", "DNS:sub.site-b.example.net", "site-b.example.net", TLS_RESULT_WRONG_NAME},
		/* the CN speaks only for certificates without names */
		{"site-b.example.net", NULL, "site-b.example.net", TLS_RESULT_OK},
		{"site-b.example.net", "DNS:other.example.net", "site-b.example.net",
	         TLS_RESULT_WRONG_NAME},
		{"x", "IP:127.0.3.9", NULL, TLS_RESULT_OK},
		{"x", "IP:127.0.3.9", "127.0.3.9", TLS_RESULT_OK},
		{"x", "IP:127.0.3.8", NULL, TLS_RESULT_WRONG_NAME},
		{"127.0.3.9", NULL, NULL, TLS_RESULT_WRONG_NAME},
	};
	struct tls_scene *scene = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct attempt attempt = {{.name = "sprout",
		                                 .cn = cases[i].cn,
		                                 .names = cases[i].names},
		                                cases[i].wanted,
		                                false};

		if (try_sprout(scene, &attempt) != cases[i].result)
			fail_msg("case %zu: %s for %s", i, cases[i].names, cases[i].wanted);
	}
}

static void server_of_an_unknown_authority_is_refused(void **state)
{
	struct tls_scene *scene = *state;

	assert_int_equal(try_sprout(scene,
	                            &(struct attempt){sprout_wish, "sprout.example.net", true}),
	                 TLS_RESULT_UNKNOWN_CA);
}

static void server_out_of_its_dates_is_refused(void **state)
{
	struct tls_scene *scene = *state;
	struct attempt attempt = {sprout_wish, "sprout.example.net", false};

	attempt.wish.from_s = -7200;
	attempt.wish.to_s = -3600;
	assert_int_equal(try_sprout(scene, &attempt), TLS_RESULT_EXPIRED);
	attempt.wish.from_s = 3600;
	attempt.wish.to_s = 7200;
	assert_int_equal(try_sprout(scene, &attempt), TLS_RESULT_NOT_YET_VALID);
}

static void verify_chain_leaves_the_name_alone(void **state)
{
	struct tls_scene *scene = *state;
	struct attempt attempt = {sprout_wish, "nobody.example.net", false};

	scene->profiles[1].verify = TLS_VERIFY_CHAIN;
	scene_open(scene);
	assert_int_equal(try_sprout(scene, &attempt), TLS_RESULT_OK);
	attempt.stranger = true;
	assert_int_equal(try_sprout(scene, &attempt), TLS_RESULT_UNKNOWN_CA);
}

static void verify_none_takes_anybody(void **state)
{
	struct tls_scene *scene = *state;

	scene->profiles[1].verify = TLS_VERIFY_NONE;
	scene_open(scene);
	assert_int_equal(try_sprout(scene,
	                            &(struct attempt){sprout_wish, "nobody.example.net", true}),
	                 TLS_RESULT_OK);
}

static void name_is_part_of_what_a_pooled_connection_is(void **state)
{
	struct tls_scene *scene = *state;
	struct address address;
	int fd = listening(&address);
	struct hop one = open_to(scene, &address, "sprout.example.net"),
		   same = open_to(scene, &address, "sprout.example.net"),
		   other = open_to(scene, &address, "other.example.net"),
		   none = open_to(scene, &address, NULL);

	assert_true(hop_equal(&one, &same));
	assert_false(hop_equal(&one, &other));
	assert_false(hop_equal(&one, &none));
	close(fd);
}

static void profile_that_is_not_there_opens_nothing(void **state)
{
	struct tls_scene *scene = *state;
	struct address address = stage_address("127.0.3.9:5061");
	struct transport_peer to = {TRANSPORT_TLS, &address, "nobody", NULL};
	struct hop hop;

	assert_int_equal(transport_open(scene->stage->transport, &to, &hop), -EINVAL);
	to.tls = NULL;
	assert_int_equal(transport_open(scene->stage->transport, &to, &hop), -EINVAL);
}

static void server_that_says_nothing_is_given_up_with_the_connect_time(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct address address;
	int fd = listening(&address);

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	scene_open(scene);
	open_to(scene, &address, "sprout.example.net");
	stage_turns(stage);
	fake_clock_advance_ms(1999);
	stage_turns(stage);
	assert_int_equal(stage->closed_count, 0);
	fake_clock_advance_ms(2);
	stage_until(stage, stage->closed_count == 1);
	assert_int_equal(stage->closed_reason, CLOSE_CONNECT_TIMEOUT);
	assert_int_equal(results(scene, SIDE_CORE, TLS_RESULT_TIMEOUT), 1);
	close(fd);
}

static void second_connection_to_a_server_takes_its_session_up(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	const struct tls_pair pair = scene_pair(scene, &scene->authority, &sprout_wish);
	SSL_CTX *context = peer_context(TLS_server_method(), NULL, &pair);
	struct address address;
	int fd = listening(&address);

	for (unsigned i = 0; i < 3; i++) {
		struct hop hop = open_to(scene, &address, "sprout.example.net");
		struct tls_peer peer;

		SSL_CTX_up_ref(context);
		peer_begin(&peer, context, accept(fd, NULL, NULL), true);
		assert_true(peer_shakes(scene, &peer));
		assert_int_equal(SSL_session_reused(peer.ssl), i > 0);
		peer_says(&peer, ANSWER_TEXT); /* behind the ticket */
		stage_until(stage, stage->packet_count == i + 1);
		transport_close(stage->transport, &hop, CLOSE_LOCAL);
		stage_until(stage, stage->closed_count == i + 1);
		peer_end(&peer);
	}
	assert_int_equal(results(scene, SIDE_CORE, TLS_RESULT_OK), 1);
	assert_int_equal(results(scene, SIDE_CORE, TLS_RESULT_RESUMED), 2);
	SSL_CTX_free(context);
	close(fd);
}

/* ---- clients ---- */

static enum tls_result try_client(struct tls_scene *scene, const struct tls_pair *pair)
{
	struct stage *stage = scene->stage;
	const unsigned closed = stage->closed_count, packets = stage->packet_count;
	struct tls_peer peer = client_begin(scene, CORE_TLS, "node.example.net", pair);
	int64_t before[TLS_RESULT_OTHER + 1];

	for (unsigned i = 0; i <= TLS_RESULT_OTHER; i++)
		before[i] = results(scene, SIDE_CORE, i);
	if (peer_shakes(scene, &peer)) /* in 1.3 it hears of its refusal later */
		SSL_write(peer.ssl, MESSAGE_TEXT, strlen(MESSAGE_TEXT));
	ERR_clear_error();
	stage_until(stage, stage->packet_count > packets || stage->closed_count > closed);
	peer_end(&peer);
	stage_until(stage, stage->closed_count > closed);
	for (unsigned i = 0; i <= TLS_RESULT_OTHER; i++) {
		if (results(scene, SIDE_CORE, i) > before[i])
			return i;
	}
	fail_msg("nothing was counted");
	return TLS_RESULT_OTHER;
}

static const struct certificate_wish client_wish = {.name = "client",
                                                    .cn = "client",
                                                    .names = "DNS:client.example.net"};

static void required_client_certificate_is_judged(void **state)
{
	struct tls_scene *scene = *state;
	struct certificate_wish wish = client_wish;
	struct tls_pair pair;

	scene->stage->listeners[CORE_TLS].client_certificate = TLS_CLIENT_REQUIRED;
	scene_open(scene);
	assert_int_equal(try_client(scene, NULL), TLS_RESULT_NO_CLIENT_CERTIFICATE);
	pair = scene_pair(scene, &scene->authority, &wish);
	assert_int_equal(try_client(scene, &pair), TLS_RESULT_OK);
	pair = scene_pair(scene, &scene->stranger, &wish);
	assert_int_equal(try_client(scene, &pair), TLS_RESULT_UNKNOWN_CA);
	wish.from_s = -7200;
	wish.to_s = -3600;
	pair = scene_pair(scene, &scene->authority, &wish);
	assert_int_equal(try_client(scene, &pair), TLS_RESULT_EXPIRED);
	assert_int_equal(scene->stage->packet_count, 1);
}

static void optional_client_certificate_may_be_missing_and_not_bad(void **state)
{
	struct tls_scene *scene = *state;
	struct tls_pair pair;

	scene->stage->listeners[CORE_TLS].client_certificate = TLS_CLIENT_OPTIONAL;
	scene_open(scene);
	assert_int_equal(try_client(scene, NULL), TLS_RESULT_OK);
	pair = scene_pair(scene, &scene->stranger, &client_wish);
	assert_int_equal(try_client(scene, &pair), TLS_RESULT_UNKNOWN_CA);
}

static void only_named_peers_enter_from_wherever_they_come(void **state)
{
	static const char *const names[] = {"bono-2.example.net", "sip:site-b.example.net"};
	struct tls_scene *scene = *state;
	struct listener_settings *listener = &scene->stage->listeners[CORE_TLS];
	struct tls_pair pair;

	listener->allow_names = names;
	listener->allow_name_count = 2;
	listener->allow_count = 0;
	scene_open(scene);
	assert_int_equal(try_client(scene, NULL), TLS_RESULT_NO_CLIENT_CERTIFICATE);
	pair = scene_pair(scene, &scene->authority, &client_wish);
	assert_int_equal(try_client(scene, &pair), TLS_RESULT_WRONG_NAME);
	pair = scene_pair(scene, &scene->authority,
	                  &(struct certificate_wish){.name = "b2",
	                                             .cn = "x",
	                                             .names = "DNS:bono-2.example.net"});
	assert_int_equal(try_client(scene, &pair), TLS_RESULT_OK);
	pair = scene_pair(scene, &scene->authority,
	                  &(struct certificate_wish){.name = "b3",
	                                             .cn = "x",
	                                             .names = "URI:sip:site-b.example.net"});
	assert_int_equal(try_client(scene, &pair), TLS_RESULT_OK);
	assert_int_equal(scene->stage->packet_count, 2);
}

/* ---- sessions that clients take up ---- */

static void write_ticket_keys(struct tls_scene *scene, const char *lines, int mode)
{
	const char *path = scene_file(scene, &scene->authority, "tickets", "keys");

	write_text(path, lines, mode);
	scene->settings.ticket_keys = path;
}

#define TEN "0123456789abcdef0123"
#define KEY_A TEN TEN TEN TEN TEN TEN TEN TEN
#define KEY_B                                                                                      \
	"ff"                                                                                       \
	"23456789abcdef0123" TEN TEN TEN TEN TEN TEN TEN

static void load_again(struct tls_scene *scene)
{
	struct tls_book *book;

	if (scene_load(scene, &book) != 0)
		fail_msg("%s", scene->faults);
	transport_set_tls(scene->stage->transport, book);
	snapshot_release(tls_book_snapshot(scene->book));
	scene->book = book;
}

static void session_is_taken_up_over_a_reload(void **state)
{
	struct tls_scene *scene = *state;

	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		assert_false(reconnect(scene, ACCESS_TLS, version, NULL));
		assert_true(reconnect(scene, ACCESS_TLS, version, NULL));
		load_again(scene);
		assert_true(reconnect(scene, ACCESS_TLS, version, NULL));
		forget_session();
	}
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_RESUMED), 4);
}

/* The book before is gone, and the next one often stands where it stood. */
static void random_keys_made_anew_open_nothing_of_before(void **state)
{
	struct tls_scene *scene = *state;

	for (unsigned i = 0; i < 8; i++) {
		assert_false(reconnect(scene, ACCESS_TLS, TLS1_3_VERSION, NULL));
		assert_true(reconnect(scene, ACCESS_TLS, TLS1_3_VERSION, NULL));
		transport_set_tls(scene->stage->transport, NULL);
		snapshot_release(tls_book_snapshot(scene->book));
		scene->book = NULL;
		assert_int_equal(scene_load(scene, &scene->book), 0);
		transport_set_tls(scene->stage->transport, scene->book);
	}
	forget_session();
}

/* Another node with the same file: another book, nothing else in common. */
static void nodes_that_share_keys_take_up_each_others_sessions(void **state)
{
	struct tls_scene *scene = *state;

	write_ticket_keys(scene, "# shared\n" KEY_A "\n" KEY_B "\n", 0600);
	scene_open(scene);
	assert_false(reconnect(scene, ACCESS_TLS, TLS1_3_VERSION, NULL));
	snapshot_release(tls_book_snapshot(scene->book));
	scene->book = NULL;
	assert_int_equal(scene_load(scene, &scene->book), 0);
	transport_set_tls(scene->stage->transport, scene->book);
	assert_true(reconnect(scene, ACCESS_TLS, TLS1_3_VERSION, NULL));
	/* the old first key is second now: still opened, and a new ticket given */
	write_ticket_keys(scene, KEY_B "\n" KEY_A "\n", 0600);
	load_again(scene);
	assert_true(reconnect(scene, ACCESS_TLS, TLS1_3_VERSION, NULL));
	write_ticket_keys(scene, KEY_B "\n", 0400);
	load_again(scene);
	assert_true(reconnect(scene, ACCESS_TLS, TLS1_3_VERSION, NULL));
	write_ticket_keys(scene, KEY_A, 0600);
	load_again(scene);
	assert_false(reconnect(scene, ACCESS_TLS, TLS1_3_VERSION, NULL));
	forget_session();
}

static void session_of_another_listener_proves_nothing(void **state)
{
	struct tls_scene *scene = *state;
	struct tls_pair pair;

	scene->stage->listeners[CORE_TLS].client_certificate = TLS_CLIENT_REQUIRED;
	scene->stage->listeners[ACCESS_TLS].tls = "intersite";
	scene_open(scene);
	pair = scene_pair(scene, &scene->authority, &client_wish);
	{
		struct tls_peer peer = client_begin(scene, ACCESS_TLS, "node.example.net", NULL);

		client_keeps_sessions(peer.context);
		assert_true(peer_shakes(scene, &peer));
		peer_says(&peer, MESSAGE_TEXT);
		stage_until(scene->stage, scene->stage->packet_count == 1);
		peer_hears(&peer);
		peer_end(&peer);
	}
	assert_non_null(taken);
	assert_false(reconnect(scene, CORE_TLS, TLS1_3_VERSION, &pair));
	assert_true(reconnect(scene, CORE_TLS, TLS1_3_VERSION, &pair));
	forget_session();
}

/* ---- what is shown by name, and changes ---- */

static void expect_shown(struct tls_scene *scene, const char *asked, const char *shown)
{
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, asked, NULL);
	char cn[64] = "";

	SSL_set1_host(peer.ssl, NULL);
	assert_true(peer_shakes(scene, &peer));
	X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(peer.ssl)),
	                          NID_commonName, cn, sizeof(cn));
	assert_string_equal(cn, shown);
	peer_end(&peer);
}

static void certificate_is_chosen_by_the_name_asked_for(void **state)
{
	struct tls_scene *scene = *state;

	scene->pairs[1] = scene_pair(scene, &scene->authority,
	                             &(struct certificate_wish){.name = "wild",
	                                                        .cn = "wild",
	                                                        .names = "DNS:*.example.org"});
	scene->profiles[0].pair_count = 2;
	scene_open(scene);
	expect_shown(scene, "edge.example.net", "edge.example.net");
	expect_shown(scene, "a.example.org", "wild");
	expect_shown(scene, "A.EXAMPLE.ORG", "wild");
	expect_shown(scene, "b.a.example.org", "edge.example.net");
	expect_shown(scene, "nobody.example.com", "edge.example.net");
}

static void reload_leaves_connections_alone_and_shows_new_ones_the_new(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1);
	for (unsigned i = 0; i < 100; i++) {
		char cn[32];

		snprintf(cn, sizeof(cn), "edge %u", i);
		authority_issue(&scene->authority,
		                &(struct certificate_wish){.name = "edge",
		                                           .cn = cn,
		                                           .names = "DNS:edge.example.net"});
		load_again(scene);
	}
	expect_shown(scene, "edge.example.net", "edge 99");
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 2);
	stage_send(stage, &stage->packets[0].hop, ANSWER_TEXT);
	stage_until(stage, strcmp(peer_hears(&peer), ANSWER_TEXT) == 0);
	peer_end(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		tls_test(what_waits_is_sent_once_the_server_has_shown_its_name),
		tls_test(server_is_known_by_uri_dns_name_or_address),
		tls_test(server_of_an_unknown_authority_is_refused),
		tls_test(server_out_of_its_dates_is_refused),
		tls_test_closed(verify_chain_leaves_the_name_alone),
		tls_test_closed(verify_none_takes_anybody),
		tls_test(name_is_part_of_what_a_pooled_connection_is),
		tls_test(profile_that_is_not_there_opens_nothing),
		tls_test_closed(server_that_says_nothing_is_given_up_with_the_connect_time),
		tls_test(second_connection_to_a_server_takes_its_session_up),
		tls_test_closed(required_client_certificate_is_judged),
		tls_test_closed(optional_client_certificate_may_be_missing_and_not_bad),
		tls_test_closed(only_named_peers_enter_from_wherever_they_come),
		tls_test(session_is_taken_up_over_a_reload),
		tls_test(random_keys_made_anew_open_nothing_of_before),
		tls_test_closed(nodes_that_share_keys_take_up_each_others_sessions),
		tls_test_closed(session_of_another_listener_proves_nothing),
		tls_test_closed(certificate_is_chosen_by_the_name_asked_for),
		tls_test(reload_leaves_connections_alone_and_shows_new_ones_the_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
