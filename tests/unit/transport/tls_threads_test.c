/*
 * Several workers on threads of their own, one port, one book: sessions begun with one are taken up by the other, books
 * change under them. Run under TSan too.
 */
#include "tls_stage.h"

#include <pthread.h>
#include <stdatomic.h>

#define WORKERS 2
#define CLIENTS 60

struct worker {
	struct stage *stage; /* settings */
	struct loop *loop;
	struct transport *transport;
	struct metrics *metrics;
	atomic_uint heard;
};

static void on_packet(void *arg, const struct packet *packet, bool framing_fault)
{
	struct worker *worker = arg;
	struct bytes *bytes = bytes_copy(SLICE_LITERAL(ANSWER_TEXT));

	atomic_fetch_add(&worker->heard, 1);
	transport_send(worker->transport, &packet->hop, &bytes);
}

static void on_closed(void *arg, const struct hop *hop, enum close_reason reason)
{
}

static void on_unreachable(void *arg, const struct address *peer, int error)
{
}

struct posted {
	struct letter letter;
	struct tls_book *book;
};

static void drop(struct letter *letter)
{
	struct posted *posted = CONTAINER_OF(letter, struct posted, letter);

	snapshot_release(tls_book_snapshot(posted->book));
	memory_free(posted);
}

static void deliver(struct letter *letter, void *arg)
{
	struct worker *worker = arg;

	transport_set_tls(worker->transport, CONTAINER_OF(letter, struct posted, letter)->book);
	drop(letter);
}

static void post_book(struct worker *worker, struct tls_book *book)
{
	struct posted *posted = memory_zalloc(sizeof(*posted));

	assert_non_null(posted);
	snapshot_share(tls_book_snapshot(book));
	posted->book = book;
	posted->letter = (struct letter){.deliver = deliver, .drop = drop, .arg = worker};
	loop_post_always(worker->loop, &posted->letter);
}

/* Waits, as the workers have threads. True: its session was taken up. */
static bool visit(SSL_CTX *context, const struct address *to)
{
	int fd = peer_connect("127.0.3.9:0", to);
	SSL *ssl = SSL_new(context);
	char text[100];
	bool reused;

	SSL_set_fd(ssl, fd);
	SSL_set_tlsext_host_name(ssl, "edge.example.net");
	if (taken != NULL)
		SSL_set_session(ssl, taken);
	assert_int_equal(SSL_connect(ssl), 1);
	reused = SSL_session_reused(ssl);
	assert_int_equal(SSL_write(ssl, OPTIONS_TEXT, strlen(OPTIONS_TEXT)), strlen(OPTIONS_TEXT));
	assert_int_equal(SSL_read(ssl, text, sizeof(text)), strlen(ANSWER_TEXT));
	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
	return reused;
}

static void start(struct tls_scene *scene, struct worker *workers)
{
	static const struct transport_events events = {
		.on_packet = on_packet,
		.on_connection_closed = on_closed,
		.on_unreachable = on_unreachable,
	};
	struct stage *stage = scene->stage;

	stage->settings.workers = WORKERS;
	stage->settings.listeners = &stage->listeners[ACCESS_TLS];
	stage->settings.listener_count = 1;
	stage->listeners[ACCESS_TLS].bind = free_address(SOCK_STREAM, "127.0.3.1:0");
	assert_int_equal(scene_load(scene, &scene->book), 0);
	for (uint8_t i = 0; i < WORKERS; i++) {
		assert_int_equal(loop_create("worker", &workers[i].loop), 0);
		assert_int_equal(metrics_create(stage->registry, "worker", &workers[i].metrics), 0);
		assert_int_equal(transport_create(workers[i].loop, i, &stage->settings,
		                                  workers[i].metrics, &events, &workers[i],
		                                  &workers[i].transport),
		                 0);
		transport_set_tls(workers[i].transport, scene->book);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(loop_start(workers[i].loop), 0);
}

static void stop(struct worker *workers)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		loop_stop(workers[i].loop);
		loop_join(workers[i].loop);
		transport_destroy(&workers[i].transport);
		loop_destroy(&workers[i].loop);
	}
}

static void session_begun_with_one_worker_is_taken_up_by_the_other(void **state)
{
	struct tls_scene *scene = *state;
	struct worker workers[WORKERS] = {0};
	SSL_CTX *context = peer_context(TLS_client_method(), scene->authority.ca, NULL);
	unsigned reused = 0;

	start(scene, workers);
	client_keeps_sessions(context);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct tls_book *book;

		reused += visit(context, &scene->stage->listeners[ACCESS_TLS].bind);
		if (i % 8 != 7)
			continue;
		assert_int_equal(scene_load(scene, &book), 0);
		for (unsigned j = 0; j < WORKERS; j++)
			post_book(&workers[j], book);
		snapshot_release(tls_book_snapshot(scene->book));
		scene->book = book;
	}
	stop(workers);
	assert_int_equal(reused, CLIENTS - 1);
	for (unsigned i = 0; i < WORKERS; i++) /* by chance all to one: once in 2^59 */
		assert_true(atomic_load(&workers[i].heard) > 0);
	forget_session();
	SSL_CTX_free(context);
}

static void *many_visits(void *arg)
{
	struct tls_scene *scene = arg;
	SSL_CTX *context = peer_context(TLS_client_method(), scene->authority.ca, NULL);

	for (unsigned i = 0; i < CLIENTS; i++)
		visit(context, &scene->stage->listeners[ACCESS_TLS].bind);
	SSL_CTX_free(context);
	return NULL;
}

static void both_workers_shake_hands_at_once_by_one_book(void **state)
{
	struct tls_scene *scene = *state;
	struct worker workers[WORKERS] = {0};
	pthread_t clients[3];

	start(scene, workers);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&clients[i], NULL, many_visits, scene), 0);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(clients[i], NULL);
	stop(workers);
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_OK), 3 * CLIENTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		tls_test_closed(session_begun_with_one_worker_is_taken_up_by_the_other),
		tls_test_closed(both_workers_shake_hands_at_once_by_one_book),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
