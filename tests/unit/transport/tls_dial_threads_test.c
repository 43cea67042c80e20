/*
 * Workers on their threads that dial each other and share one book of certificates, while control gives them another
 * again and again. Run under TSan too.
 */
#include "tls_stage.h"

#include <stdatomic.h>

#define WORKERS 2
#define CLIENTS 60

struct worker {
	struct loop *loop;
	struct transport *transport;
	struct crew *crew;
};

struct crew {
	struct tls_scene *scene; /* settings and certificates only */
	struct worker workers[WORKERS];
	struct transport *siblings[WORKERS];
	struct address core;
	atomic_uint clients, dialled; /* heard from either */
	atomic_uint books;            /* given to a worker */
};

static void say(struct worker *worker, const struct hop *hop, const char *text)
{
	struct bytes *bytes = bytes_copy(slice_from_string(text));

	(void)transport_send(worker->transport, hop, &bytes);
	bytes_release(&bytes);
}

/* A client's message makes the worker dial whichever worker accepts; who was dialled hangs up, so that the next time
 * is a new connection, with the session of this one. */
static void on_packet(void *arg, const struct packet *packet, bool framing_fault)
{
	struct worker *worker = arg;
	const struct transport_peer core = {TRANSPORT_TLS, &worker->crew->core, "intersite",
	                                    "node.example.net"};
	struct hop hop;

	if (packet->hop.side == SIDE_CORE) {
		atomic_fetch_add(&worker->crew->dialled, 1);
		transport_close(worker->transport, &packet->hop, CLOSE_LOCAL);
		return;
	}
	atomic_fetch_add(&worker->crew->clients, 1);
	say(worker, &packet->hop, ANSWER_TEXT);
	if (transport_open(worker->transport, &core, &hop) == 0)
		say(worker, &hop, OPTIONS_TEXT);
}

static void on_closed(void *arg, const struct hop *hop, enum close_reason reason)
{
}

static void on_unreachable(void *arg, const struct address *peer, int error)
{
}

/* ---- control ---- */

struct book_letter {
	struct letter letter;
	struct tls_book *book;
};

static void drop_book(struct letter *letter)
{
	struct book_letter *posted = CONTAINER_OF(letter, struct book_letter, letter);

	snapshot_release(tls_book_snapshot(posted->book));
	memory_free(posted);
}

static void deliver_book(struct letter *letter, void *arg)
{
	struct worker *worker = arg;

	transport_set_tls(worker->transport,
	                  CONTAINER_OF(letter, struct book_letter, letter)->book);
	atomic_fetch_add(&worker->crew->books, 1);
	drop_book(letter);
}

static void give_a_new_book(struct crew *crew)
{
	struct tls_scene *scene = crew->scene;
	struct tls_book *book;

	if (scene_load(scene, &book) != 0)
		fail_msg("%s", scene->faults);
	for (unsigned i = 0; i < WORKERS; i++) {
		struct book_letter *posted = memory_zalloc(sizeof(*posted));

		assert_non_null(posted);
		posted->letter = (struct letter){.deliver = deliver_book,
		                                 .drop = drop_book,
		                                 .arg = &crew->workers[i]};
		posted->book = book;
		snapshot_share(tls_book_snapshot(book));
		loop_post_always(crew->workers[i].loop, &posted->letter);
	}
	if (scene->book != NULL)
		snapshot_release(tls_book_snapshot(scene->book));
	scene->book = book;
}

/* ---- life ---- */

static void bind_listeners(struct crew *crew)
{
	struct stage *stage = crew->scene->stage;

	stage->settings.workers = WORKERS;
	for (unsigned i = 0; i < STAGE_LISTENERS; i++)
		stage->listeners[i].bind =
			free_address(stage->listeners[i].transport == TRANSPORT_UDP ? SOCK_DGRAM
		                                                                    : SOCK_STREAM,
		                     "127.0.3.21:0");
	crew->core = stage->listeners[CORE_TLS].bind;
}

static int setup(void **state)
{
	static const struct transport_events events = {
		.on_packet = on_packet,
		.on_connection_closed = on_closed,
		.on_unreachable = on_unreachable,
	};
	struct crew *crew = calloc(1, sizeof(*crew));
	void *scene;

	scene_setup_closed(&scene);
	crew->scene = scene;
	bind_listeners(crew);
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *worker = &crew->workers[i];

		worker->crew = crew;
		assert_int_equal(loop_create("worker", &worker->loop), 0);
		assert_int_equal(transport_create(worker->loop, (uint8_t)i,
		                                  &crew->scene->stage->settings, NULL, &events,
		                                  worker, &worker->transport),
		                 0);
		crew->siblings[i] = worker->transport;
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		transport_set_siblings(crew->workers[i].transport, crew->siblings);
		assert_int_equal(loop_start(crew->workers[i].loop), 0);
	}
	*state = crew;
	return 0;
}

static int teardown(void **state)
{
	struct crew *crew = *state;

	for (unsigned i = 0; i < WORKERS; i++)
		loop_stop(crew->workers[i].loop);
	for (unsigned i = 0; i < WORKERS; i++)
		loop_join(crew->workers[i].loop);
	for (unsigned i = 0; i < WORKERS; i++)
		transport_destroy(&crew->workers[i].transport);
	for (unsigned i = 0; i < WORKERS; i++)
		loop_destroy(&crew->workers[i].loop);
	scene_free(crew->scene);
	free(crew);
	return 0;
}

/* Blocking: connect, one message, its answer. True: by the session of the one before. */
static bool come_and_go(struct crew *crew, SSL_CTX *context, SSL_SESSION **session)
{
	const int fd = peer_connect("127.0.3.9:0", &crew->scene->stage->listeners[ACCESS_TLS].bind);
	char answer[sizeof(ANSWER_TEXT)];
	SSL *ssl = SSL_new(context);
	bool reused;

	SSL_set_fd(ssl, fd);
	if (*session != NULL)
		SSL_set_session(ssl, *session);
	assert_int_equal(SSL_connect(ssl), 1);
	reused = SSL_session_reused(ssl);
	assert_int_equal(SSL_write(ssl, MESSAGE_TEXT, sizeof(MESSAGE_TEXT) - 1),
	                 sizeof(MESSAGE_TEXT) - 1);
	assert_int_equal(SSL_read(ssl, answer, sizeof(answer)), sizeof(ANSWER_TEXT) - 1);
	SSL_SESSION_free(*session);
	*session = SSL_get1_session(ssl); /* with the ticket, which came before the answer */
	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
	return reused;
}

static void wait_for(atomic_uint *number, unsigned least)
{
	const struct timespec pause = {0, 1000000};
	const uint64_t give_up_ms = stage_real_ms() + 20000;

	while (atomic_load(number) < least) {
		if (stage_real_ms() > give_up_ms)
			fail_msg("%u of %u", atomic_load(number), least);
		nanosleep(&pause, NULL);
	}
}

static void workers_share_a_book_that_changes(void **state)
{
	struct crew *crew = *state;
	SSL_CTX *context = peer_context(TLS_client_method(), crew->scene->authority.ca, NULL);
	SSL_SESSION *session = NULL;
	unsigned reused = 0;

	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	give_a_new_book(crew);
	wait_for(&crew->books, WORKERS);
	for (unsigned i = 0; i < CLIENTS; i++) {
		reused += come_and_go(crew, context, &session);
		if (i % 4 == 0)
			give_a_new_book(crew);
	}
	/* whichever worker they came to, and over every change */
	assert_int_equal(reused, CLIENTS - 1);
	wait_for(&crew->clients, CLIENTS);
	wait_for(&crew->dialled, WORKERS);
	SSL_SESSION_free(session);
	SSL_CTX_free(context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(workers_share_a_book_that_changes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
