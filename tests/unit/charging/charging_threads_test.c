/* Charging on its own thread, told by others. Worth most under ThreadSanitizer. */
#include <pthread.h>

#include "charging/charging.h"
#include "directory.h"
#include "server.h"

#define TELLERS 2
#define TOLD_EACH 300
#define PATIENCE_MS 60000

struct stage {
	char directory[64];
	struct metrics_registry *registry;
	struct loop *loop; /* of the server */
	struct server server;
	struct ralf_endpoint endpoint;
	struct charging_settings settings;
	struct charging *charging;
};

static void server_life(struct stage *stage)
{
	assert_int_equal(loop_create("ralf", &stage->loop), 0);
	server_open(&stage->server, stage->loop, 200);
}

static int stage_set(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	log_set_level(LOG_ERROR);
	strcpy(stage->directory, "/tmp/bono-charging-XXXXXX");
	assert_non_null(mkdtemp(stage->directory));
	assert_int_equal(metrics_registry_create(&stage->registry), 0);
	server_life(stage);
	stage->endpoint = (struct ralf_endpoint){"near", "127.0.0.1", stage->server.port};
	stage->settings = (struct charging_settings){.charge = {.node = "edge.example.net"},
	                                             .ralf = {.endpoints = &stage->endpoint,
	                                                      .endpoint_count = 1},
	                                             .directory = stage->directory,
	                                             .spool_bytes = 64u << 20};
	*state = stage;
	return 0;
}

static void end_server(struct stage *stage)
{
	loop_stop(stage->loop);
	loop_join(stage->loop);
	server_close(&stage->server);
	loop_destroy(&stage->loop);
}

static int stage_strike(void **state)
{
	struct stage *stage = *state;

	charging_stop(&stage->charging);
	end_server(stage);
	metrics_registry_destroy(&stage->registry);
	directory_remove(stage->directory);
	free(stage);
	return 0;
}

static void start(struct stage *stage)
{
	assert_int_equal(charging_start(&stage->settings, stage->registry, &stage->charging), 0);
}

static void tell(struct charging *charging, unsigned number)
{
	char call_id[32], *lent = malloc(64);
	struct charge charge = {.type = CHARGE_EVENT,
	                        .status = 200,
	                        .method = SLICE_LITERAL("MESSAGE"),
	                        .from = SLICE_LITERAL("sip:a@example.net"),
	                        .expires = -1};

	snprintf(call_id, sizeof(call_id), "%u", number);
	charge.call_id = slice_from_string(call_id);
	strcpy(lent, "sip:b@example.net"); /* gone as soon as it was told */
	charge.to = charge.request_uri = slice_from_string(lent);
	charging_tell(charging, &charge);
	free(lent);
}

struct teller {
	struct charging *charging;
	unsigned first;
};

static void *run_teller(void *arg)
{
	const struct teller *teller = arg;

	for (unsigned i = 0; i < TOLD_EACH; i++)
		tell(teller->charging, teller->first + i);
	return NULL;
}

static void tell_from_all(struct stage *stage)
{
	struct teller tellers[TELLERS];
	pthread_t threads[TELLERS];

	for (unsigned i = 0; i < TELLERS; i++) {
		tellers[i] = (struct teller){stage->charging, i * TOLD_EACH};
		assert_int_equal(pthread_create(&threads[i], NULL, run_teller, &tellers[i]), 0);
	}
	for (unsigned i = 0; i < TELLERS; i++)
		pthread_join(threads[i], NULL);
}

static void await(struct stage *stage, unsigned taken)
{
	const uint64_t end_ms = clock_now_us() / 1000 + PATIENCE_MS;

	while (atomic_load(&stage->server.taken) < taken) {
		assert_true(clock_now_us() / 1000 < end_ms);
		usleep(2000);
	}
}

static void what_two_threads_tell_is_posted_once_each(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(loop_start(stage->loop), 0);
	start(stage);
	tell_from_all(stage);
	await(stage, TELLERS * TOLD_EACH);
	charging_stop(&stage->charging);
	assert_int_equal(atomic_load(&stage->server.taken), TELLERS * TOLD_EACH);
	loop_stop(stage->loop);
	loop_join(stage->loop);
	for (unsigned i = 0; i < TELLERS * TOLD_EACH; i++)
		assert_int_equal(stage->server.seen[i], 1);
}

/* Letters that have not been read are written all the same; a later life posts them. */
static void what_was_told_just_before_the_end_is_kept(void **state)
{
	struct stage *stage = *state;
	struct spool *spool;

	start(stage); /* the server's loop does not run: it accepts and says nothing */
	tell_from_all(stage);
	charging_stop(&stage->charging);
	assert_int_equal(spool_open(stage->directory, 64u << 20, &spool), 0);
	assert_int_equal(spool_records(spool), TELLERS * TOLD_EACH);
	spool_close(&spool);
	assert_int_equal(loop_start(stage->loop), 0);
	start(stage);
	await(stage, TELLERS * TOLD_EACH);
}

/* The same with a name of Ralf that is being asked for: its question ends in the middle of it all. */
static void nor_does_a_name_that_nobody_answers_lose_any(void **state)
{
	struct stage *stage = *state;
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof(address);
	struct address silent;
	struct spool *spool;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	char question[512];

	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	assert_true(
		address_parse_host(SLICE_LITERAL("127.0.0.1"), ntohs(address.sin_port), &silent));
	stage->endpoint.host = "ralf.example.net";
	stage->settings.ralf.dns_servers = &silent;
	stage->settings.ralf.dns_server_count = 1;
	start(stage);
	tell(stage->charging, 4000);
	assert_true(recv(fd, question, sizeof(question), 0) > 0);
	tell_from_all(stage);
	charging_stop(&stage->charging);
	assert_int_equal(spool_open(stage->directory, 64u << 20, &spool), 0);
	assert_int_equal(spool_records(spool), TELLERS * TOLD_EACH + 1);
	spool_close(&spool);
	close(fd);
}

static void what_finds_no_room_is_lost_and_counted(void **state)
{
	struct stage *stage = *state;
	struct spool *spool;
	uint64_t kept;

	stage->settings.spool_bytes = 64 * 1024;
	start(stage);
	tell_from_all(stage);
	charging_stop(&stage->charging);
	assert_int_equal(spool_open(stage->directory, 64u << 20, &spool), 0);
	kept = spool_records(spool);
	spool_close(&spool);
	assert_true(kept > 0 && kept < TELLERS * TOLD_EACH);
	assert_int_equal(metrics_read(stage->registry, METRIC_CHARGING_RECORDS, CHARGING_LOST, 0,
	                              0) +
	                         kept,
	                 TELLERS * TOLD_EACH);
}

static void a_spool_that_cannot_be_opened_is_told(void **state)
{
	struct stage *stage = *state;

	stage->settings.directory = "/proc/nowhere/spool";
	assert_int_equal(charging_start(&stage->settings, stage->registry, &stage->charging),
	                 -ENOENT);
	assert_null(stage->charging);
}

#define charging_test(name) cmocka_unit_test_setup_teardown(name, stage_set, stage_strike)

int main(void)
{
	const struct CMUnitTest tests[] = {
		charging_test(what_two_threads_tell_is_posted_once_each),
		charging_test(what_was_told_just_before_the_end_is_kept),
		charging_test(nor_does_a_name_that_nobody_answers_lose_any),
		charging_test(what_finds_no_room_is_lost_and_counted),
		charging_test(a_spool_that_cannot_be_opened_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
