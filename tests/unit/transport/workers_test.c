/*
 * Two workers on their threads: each answers on connections of the other. Run under TSan too.
 */
#include "stage.h"

#include <pthread.h>
#include <stdatomic.h>

#define WORKERS 2
#define ROUNDS 200

/* One worker: what it hears it answers through the other worker's transport, or it lends its hop. */
struct worker {
	struct loop *loop;
	struct transport *transport;
	struct pair *pair;
	unsigned index;
	atomic_uint heard, closed;
	struct hop last; /* guarded by the pair's lock */
};

struct pair {
	struct stage *stage; /* settings only */
	struct worker workers[WORKERS];
	struct transport *siblings[WORKERS];
	struct address address; /* of both listeners */
	pthread_mutex_t lock;
};

static void answer(struct transport *transport, const struct hop *hop, const char *text)
{
	struct bytes *bytes = bytes_copy(slice_from_string(text));

	assert_non_null(bytes);
	assert_int_equal(transport_send(transport, hop, &bytes), 0);
	assert_null(bytes);
}

/* A letter that makes the other worker answer on the hop. */
struct please {
	struct letter letter;
	struct hop hop;
};

static void please_drop(struct letter *letter)
{
	memory_free(CONTAINER_OF(letter, struct please, letter));
}

static void please_deliver(struct letter *letter, void *arg)
{
	struct please *please = CONTAINER_OF(letter, struct please, letter);
	struct worker *worker = arg;
	struct bytes *shared = bytes_copy(SLICE_LITERAL("shared"));

	assert_int_not_equal(please->hop.worker, worker->index);
	assert_true(transport_is_alive(worker->transport, &please->hop));
	answer(worker->transport, &please->hop, ANSWER_TEXT);
	/* once more with bytes that a transaction here keeps for a retransmission */
	assert_non_null(shared);
	bytes_share(shared);
	{
		struct bytes *given = shared;

		assert_int_equal(transport_send(worker->transport, &please->hop, &given), 0);
	}
	assert_int_equal(shared->references, 1);
	bytes_release(&shared);
	please_drop(letter);
}

static void on_packet(void *arg, const struct packet *packet, bool framing_fault)
{
	struct worker *worker = arg, *other = &worker->pair->workers[1 - worker->index];
	struct please *please = memory_zalloc(sizeof(*please));

	assert_int_equal(packet->hop.worker, worker->index);
	assert_non_null(please);
	please->letter.deliver = please_deliver;
	please->letter.drop = please_drop;
	please->letter.arg = other;
	please->hop = packet->hop;
	assert_int_equal(loop_post(other->loop, &please->letter), 0);
	pthread_mutex_lock(&worker->pair->lock);
	worker->last = packet->hop;
	pthread_mutex_unlock(&worker->pair->lock);
	atomic_fetch_add(&worker->heard, 1);
}

static void on_closed(void *arg, const struct hop *hop, enum close_reason reason)
{
	struct worker *worker = arg;

	atomic_fetch_add(&worker->closed, 1);
}

static void on_unreachable(void *arg, const struct address *peer, int error)
{
	fail_msg("nobody is unreachable here");
}

static int setup(void **state)
{
	static const struct transport_events events = {
		.on_packet = on_packet,
		.on_connection_closed = on_closed,
		.on_unreachable = on_unreachable,
	};
	struct pair *pair = calloc(1, sizeof(*pair));

	pair->stage = stage_new();
	pthread_mutex_init(&pair->lock, NULL);
	pair->stage->settings.workers = WORKERS;
	pair->stage->settings.listener_count = 2;
	pair->address = free_address(SOCK_STREAM, "127.0.3.20:0");
	pair->stage->listeners[ACCESS_UDP].bind = pair->address;
	pair->stage->listeners[ACCESS_TCP].bind = pair->address;
	for (unsigned i = 0; i < WORKERS; i++) {
		struct worker *worker = &pair->workers[i];
		char name[16];

		worker->pair = pair;
		worker->index = i;
		snprintf(name, sizeof(name), "worker-%u", i);
		assert_int_equal(loop_create(name, &worker->loop), 0);
		assert_int_equal(transport_create(worker->loop, (uint8_t)i, &pair->stage->settings,
		                                  NULL, &events, worker, &worker->transport),
		                 0);
		pair->siblings[i] = worker->transport;
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		transport_set_siblings(pair->workers[i].transport, pair->siblings);
		assert_int_equal(loop_start(pair->workers[i].loop), 0);
	}
	*state = pair;
	return 0;
}

static int teardown(void **state)
{
	struct pair *pair = *state;
	void *stage = pair->stage;

	for (unsigned i = 0; i < WORKERS; i++)
		loop_stop(pair->workers[i].loop);
	for (unsigned i = 0; i < WORKERS; i++)
		loop_join(pair->workers[i].loop);
	for (unsigned i = 0; i < WORKERS; i++)
		transport_destroy(&pair->workers[i].transport);
	for (unsigned i = 0; i < WORKERS; i++)
		loop_destroy(&pair->workers[i].loop);
	stage_teardown(&stage);
	pthread_mutex_destroy(&pair->lock);
	free(pair);
	return 0;
}

static void expect_text(int fd, const char *expected)
{
	char text[256];
	size_t got = 0;

	while (got < strlen(expected)) {
		ssize_t length = recv(fd, text + got, strlen(expected) - got, 0);

		assert_true(length > 0);
		got += (size_t)length;
	}
	assert_memory_equal(text, expected, strlen(expected));
}

static void answers_of_the_other_worker_reach_both_kinds_of_hop(void **state)
{
	struct pair *pair = *state;
	const struct address to = pair->address;
	int streams[8], datagrams[8];

	for (unsigned i = 0; i < 8; i++) {
		struct address bound;

		streams[i] = peer_connect("127.0.3.9:0", &to);
		datagrams[i] = peer_socket(SOCK_DGRAM, "127.0.3.9:0", &bound);
	}
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < 8; i++) {
			peer_write(streams[i], OPTIONS_TEXT);
			peer_send_to(datagrams[i], &to, OPTIONS_TEXT);
		}
		for (unsigned i = 0; i < 8; i++) {
			expect_text(streams[i], ANSWER_TEXT "shared");
			expect_text(datagrams[i], ANSWER_TEXT);
			expect_text(datagrams[i], "shared");
		}
	}
	assert_int_equal(atomic_load(&pair->workers[0].heard) +
	                         atomic_load(&pair->workers[1].heard),
	                 ROUNDS * 16);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_true(atomic_load(&pair->workers[i].heard) > 0);
	for (unsigned i = 0; i < 8; i++) {
		close(streams[i]);
		close(datagrams[i]);
	}
}

/* The hop's connection goes while the letter is on its way. */
static void answer_for_a_connection_that_has_gone_is_a_loss(void **state)
{
	struct pair *pair = *state;
	const struct address to = pair->address;
	const uint64_t give_up_ms = stage_real_ms() + 10000;

	for (unsigned i = 0; i < 50; i++) {
		int fd = peer_connect("127.0.3.9:0", &to);

		peer_write(fd, OPTIONS_TEXT);
		peer_reset(fd);
	}
	while (atomic_load(&pair->workers[0].closed) + atomic_load(&pair->workers[1].closed) < 50) {
		struct pollfd nobody = {-1, 0, 0};

		assert_true(stage_real_ms() < give_up_ms);
		poll(&nobody, 1, 1);
	}
}

/* Workers that do not run: the letters wait, and go with the loops. */
static void letters_never_delivered_are_freed_with_their_bytes(void **state)
{
	static const struct transport_events events = {
		.on_packet = on_packet,
		.on_connection_closed = on_closed,
		.on_unreachable = on_unreachable,
	};
	struct stage *stage = stage_new();
	const int64_t blocks = memory_live_blocks();
	struct hop hop = {.worker = 1, .transport = TRANSPORT_UDP, .listener = ACCESS_UDP};
	struct transport *siblings[WORKERS];
	struct loop *loops[WORKERS];
	void *arg = stage;

	stage->settings.workers = WORKERS;
	stage->settings.listener_count = 1;
	hop.remote = stage_address("127.0.3.9:5060");
	for (unsigned i = 0; i < WORKERS; i++) {
		assert_int_equal(loop_create("test", &loops[i]), 0);
		assert_int_equal(transport_create(loops[i], (uint8_t)i, &stage->settings, NULL,
		                                  &events, NULL, &siblings[i]),
		                 0);
		transport_set_siblings(siblings[i], siblings);
	}
	for (unsigned i = 0; i < 10; i++)
		answer(siblings[0], &hop, ANSWER_TEXT);
	for (unsigned i = 0; i < WORKERS; i++)
		transport_destroy(&siblings[i]);
	for (unsigned i = 0; i < WORKERS; i++)
		loop_destroy(&loops[i]);
	assert_int_equal(memory_live_blocks(), blocks);
	stage_teardown(&arg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_of_the_other_worker_reach_both_kinds_of_hop,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(answer_for_a_connection_that_has_gone_is_a_loss,
	                                        setup, teardown),
		cmocka_unit_test(letters_never_delivered_are_freed_with_their_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
