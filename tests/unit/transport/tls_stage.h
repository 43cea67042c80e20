/*
 * The stage with TLS: listeners, certificates of an authority of its own, and peers that are OpenSSL itself on plain
 * sockets. Peers never wait: both sides take their turns on this thread.
 */
#ifndef TESTS_UNIT_TRANSPORT_TLS_STAGE_H
#define TESTS_UNIT_TRANSPORT_TLS_STAGE_H

#include "stage.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "support/certificates.h"

/* In the places of UDP and TCP of the stage. */
enum { ACCESS_TLS = ACCESS_TCP, CORE_TLS = CORE_TCP };

struct tls_scene {
	struct stage *stage;
	struct authority authority, stranger;
	struct tls_pair pairs[4];
	char files[10][128];
	unsigned file_count;
	struct tls_profile_settings
		profiles[2]; /* "public": edge; "intersite": node, with our authority */
	struct tls_settings settings;
	struct tls_book *book;
	char faults[2048];
};

static inline void scene_on_fault(void *arg, const char *text)
{
	struct tls_scene *scene = arg;
	const size_t length = strlen(scene->faults);

	snprintf(scene->faults + length, sizeof(scene->faults) - length, "%s\n", text);
}

static inline const char *scene_file(struct tls_scene *scene, const struct authority *authority,
                                     const char *name, const char *ending)
{
	char *path = scene->files[scene->file_count++ % 10];

	authority_path(authority, name, ending, path, sizeof(scene->files[0]));
	return path;
}

static inline struct tls_pair scene_pair(struct tls_scene *scene, struct authority *authority,
                                         const struct certificate_wish *wish)
{
	struct tls_pair pair;

	authority_issue(authority, wish);
	pair.certificate = scene_file(scene, authority, wish->name, "pem");
	pair.key = scene_file(scene, authority, wish->name, "key");
	return pair;
}

static inline int scene_load(struct tls_scene *scene, struct tls_book **out)
{
	scene->faults[0] = '\0';
	return tls_book_load(&scene->settings, scene->book, scene_on_fault, scene, out);
}

static inline void scene_init(struct tls_scene *scene)
{
	memset(scene, 0, sizeof(*scene));
	scene->stage = stage_new();
	authority_create(&scene->authority, "Test authority");
	authority_create(&scene->stranger, "Stranger");
	scene->pairs[0] = scene_pair(scene, &scene->authority,
	                             &(struct certificate_wish){.name = "edge",
	                                                        .cn = "edge.example.net",
	                                                        .names = "DNS:edge.example.net"});
	scene->pairs[2] =
		scene_pair(scene, &scene->authority,
	                   &(struct certificate_wish){
				   .name = "node",
				   .cn = "node",
				   .names = "DNS:node.example.net,URI:sip:core.example.net"});
	scene->profiles[0] = (struct tls_profile_settings){.name = "public",
	                                                   .pairs = &scene->pairs[0],
	                                                   .pair_count = 1,
	                                                   .ca = scene->authority.ca};
	scene->profiles[1] = (struct tls_profile_settings){.name = "intersite",
	                                                   .pairs = &scene->pairs[2],
	                                                   .pair_count = 1,
	                                                   .ca = scene->authority.ca};
	scene->settings = (struct tls_settings){.profiles = scene->profiles, .profile_count = 2};
	scene->stage->listeners[ACCESS_TLS].transport = TRANSPORT_TLS;
	scene->stage->listeners[ACCESS_TLS].name = "access-tls";
	scene->stage->listeners[ACCESS_TLS].tls = "public";
	scene->stage->listeners[CORE_TLS].transport = TRANSPORT_TLS;
	scene->stage->listeners[CORE_TLS].name = "core-tls";
	scene->stage->listeners[CORE_TLS].tls = "intersite";
}

static inline void scene_open(struct tls_scene *scene)
{
	assert_int_equal(stage_open(scene->stage), 0);
	if (scene_load(scene, &scene->book) != 0)
		fail_msg("%s", scene->faults);
	transport_set_tls(scene->stage->transport, scene->book);
}

static inline void scene_free(struct tls_scene *scene)
{
	void *stage = scene->stage;

	stage_teardown(&stage);
	if (scene->book != NULL)
		snapshot_release(tls_book_snapshot(scene->book));
	authority_destroy(&scene->authority);
	authority_destroy(&scene->stranger);
	free(scene);
}

static inline int scene_setup_closed(void **state)
{
	struct tls_scene *scene = malloc(sizeof(*scene));

	scene_init(scene);
	*state = scene;
	return 0;
}

static inline int scene_setup(void **state)
{
	scene_setup_closed(state);
	scene_open(*state);
	return 0;
}

static inline int scene_teardown(void **state)
{
	scene_free(*state);
	return 0;
}

#define tls_test(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
#define tls_test_closed(name)                                                                      \
	cmocka_unit_test_setup_teardown(name, scene_setup_closed, scene_teardown)

/* ---- peers ---- */

struct tls_peer {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
};

/* Client or server; trusting our authority, or nobody if NULL. */
static inline SSL_CTX *peer_context(const SSL_METHOD *method, const char *ca,
                                    const struct tls_pair *pair)
{
	SSL_CTX *context = SSL_CTX_new(method);

	assert_non_null(context);
	if (ca != NULL)
		assert_int_equal(SSL_CTX_load_verify_file(context, ca), 1);
	if (pair != NULL) {
		assert_int_equal(SSL_CTX_use_certificate_chain_file(context, pair->certificate), 1);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(context, pair->key, SSL_FILETYPE_PEM),
		                 1);
	}
	return context;
}

static inline void peer_begin(struct tls_peer *peer, SSL_CTX *context, int fd, bool server)
{
	const int on = 1;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	/* what it says is there at once, not when the last words were acknowledged */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	peer->context = context;
	peer->fd = fd;
	peer->ssl = SSL_new(context);
	SSL_set_fd(peer->ssl, fd);
	if (server)
		SSL_set_accept_state(peer->ssl);
	else
		SSL_set_connect_state(peer->ssl);
}

static inline void peer_end(struct tls_peer *peer)
{
	SSL_free(peer->ssl);
	SSL_CTX_free(peer->context);
	close(peer->fd);
	ERR_clear_error();
}

static inline bool peer_waits(struct tls_peer *peer, int result)
{
	const int error = SSL_get_error(peer->ssl, result);

	ERR_clear_error();
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* Both sides in turn until this one is through with it. */
static inline bool peer_shakes(struct tls_scene *scene, struct tls_peer *peer)
{
	const uint64_t give_up_ms = stage_real_ms() + 5000;

	for (;;) {
		const int result = SSL_do_handshake(peer->ssl);

		if (result == 1 || !peer_waits(peer, result))
			return result == 1;
		if (stage_real_ms() > give_up_ms)
			fail_msg("a handshake that does not end");
		loop_turn(scene->stage->loop);
	}
}

static inline void peer_says(struct tls_peer *peer, const char *text)
{
	assert_int_equal(SSL_write(peer->ssl, text, (int)strlen(text)), strlen(text));
}

/* What has come, or "". */
static inline const char *peer_hears(struct tls_peer *peer)
{
	static char text[40000];
	const int length = SSL_read(peer->ssl, text, sizeof(text) - 1);

	ERR_clear_error();
	text[length > 0 ? length : 0] = '\0';
	return text;
}

static inline struct tls_peer client_begin(struct tls_scene *scene, unsigned listener,
                                           const char *name, const struct tls_pair *pair)
{
	struct tls_peer peer;

	peer_begin(&peer, peer_context(TLS_client_method(), scene->authority.ca, pair),
	           peer_connect("127.0.3.9:0", stage_listener(scene->stage, listener)), false);
	SSL_set_verify(peer.ssl, SSL_VERIFY_PEER, NULL);
	SSL_set_tlsext_host_name(peer.ssl, name);
	SSL_set1_host(peer.ssl, name);
	return peer;
}

/* ---- sessions that clients take up ---- */

static SSL_SESSION *taken; /* the last ticket */

static inline int on_new_session(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION_free(taken);
	taken = session;
	return 1;
}

static inline void client_keeps_sessions(SSL_CTX *context)
{
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, on_new_session);
}

/* A client that takes up what it has and keeps what it gets. True: by the session it had. */
static inline bool reconnect(struct tls_scene *scene, unsigned listener, int version,
                             const struct tls_pair *pair)
{
	struct stage *stage = scene->stage;
	const unsigned packets = stage->packet_count, closed = stage->closed_count;
	struct tls_peer peer =
		client_begin(scene, listener,
	                     listener == ACCESS_TLS ? "edge.example.net" : "node.example.net",
	                     pair);
	bool reused;

	client_keeps_sessions(peer.context);
	SSL_set_max_proto_version(peer.ssl, version);
	if (taken != NULL)
		SSL_set_session(peer.ssl, taken);
	assert_true(peer_shakes(scene, &peer));
	reused = SSL_session_reused(peer.ssl);
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count > packets);
	peer_hears(&peer); /* the ticket */
	SSL_shutdown(peer.ssl);
	peer_end(&peer);
	stage_until(stage, stage->closed_count > closed);
	return reused;
}

static inline void forget_session(void)
{
	SSL_SESSION_free(taken);
	taken = NULL;
}

static inline int64_t results(struct tls_scene *scene, enum side side, enum tls_result result)
{
	return metrics_read(scene->stage->registry, METRIC_TLS_HANDSHAKES, side, result, 0);
}

#endif
