/* Posting: what endpoints say, leave unsaid, and when they are not there. Over real sockets, on one loop. */
#include "charging/ralf.h"
#include "directory.h"
#include "server.h"
#include "support/alloc_fail.h"

/* For whoever waits: generous, and never the measure of anything. */
#define PATIENCE_MS 60000

struct stage {
	char directory[64];
	struct loop *loop;
	struct spool *spool;
	struct metrics_registry *registry;
	struct metrics *metrics;
	struct server servers[2];
	struct ralf_endpoint endpoints[2];
	struct ralf_settings settings;
	struct ralf *ralf;
};

static int stage_set(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	log_set_level(LOG_ERROR);
	strcpy(stage->directory, "/tmp/bono-ralf-XXXXXX");
	assert_non_null(mkdtemp(stage->directory));
	assert_int_equal(loop_create("test", &stage->loop), 0);
	assert_int_equal(spool_open(stage->directory, 64u << 20, &stage->spool), 0);
	assert_int_equal(metrics_registry_create(&stage->registry), 0);
	assert_int_equal(metrics_create(stage->registry, "charging", &stage->metrics), 0);
	for (unsigned i = 0; i < 2; i++) {
		server_open(&stage->servers[i], stage->loop, 200);
		stage->endpoints[i] = (struct ralf_endpoint){.site = i == 0 ? "near" : "far",
		                                             .host = "127.0.0.1",
		                                             .port = stage->servers[i].port};
	}
	stage->settings =
		(struct ralf_settings){.endpoints = stage->endpoints, .endpoint_count = 2};
	*state = stage;
	return 0;
}

static int stage_strike(void **state)
{
	struct stage *stage = *state;

	ralf_destroy(&stage->ralf);
	for (unsigned i = 0; i < 2; i++)
		server_close(&stage->servers[i]);
	loop_destroy(&stage->loop);
	metrics_registry_destroy(&stage->registry);
	spool_close(&stage->spool);
	directory_remove(stage->directory);
	free(stage);
	return 0;
}

static void start(struct stage *stage)
{
	assert_int_equal(ralf_create(stage->loop, &stage->settings, stage->spool, stage->metrics,
	                             &stage->ralf),
	                 0);
}

static void append(struct stage *stage, const char *record)
{
	assert_int_equal(spool_append(stage->spool, slice_from_string(record)), 0);
	ralf_wake(stage->ralf);
}

static void append_numbers(struct stage *stage, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		char record[64];

		snprintf(record, sizeof(record), "%u {\"n\":%u}", i, i);
		append(stage, record);
	}
}

static int64_t counted(const struct stage *stage, enum charging_result result)
{
	return metrics_read(stage->registry, METRIC_CHARGING_RECORDS, result, 0, 0);
}

#define until(stage, condition)                                                                    \
	do {                                                                                       \
		const uint64_t end_ms = clock_now_us() / 1000 + PATIENCE_MS;                       \
		while (!(condition)) {                                                             \
			assert_true(clock_now_us() / 1000 < end_ms);                               \
			loop_turn((stage)->loop);                                                  \
			usleep(200);                                                               \
		}                                                                                  \
	} while (0)

#define is_empty(stage) (spool_records((stage)->spool) == 0)

static void each_record_is_posted_once_and_then_forgotten(void **state)
{
	struct stage *stage = *state;

	start(stage);
	append_numbers(stage, 0, 100);
	until(stage, is_empty(stage));
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(stage->servers[0].seen[i], 1);
	append(stage, "a%40b {\"x\":1}");
	until(stage, is_empty(stage));
	assert_string_equal(stage->servers[0].path, "/call-id/a%40b");
	assert_string_equal(stage->servers[0].body, "{\"x\":1}");
	assert_int_equal(counted(stage, CHARGING_DELIVERED), 101);
	assert_int_equal(counted(stage, CHARGING_RETRIED), 0);
	assert_int_equal(stage->servers[1].posts, 0);
}

static void who_is_dead_rests_and_who_returns_is_asked_again(void **state)
{
	struct stage *stage = *state;

	server_close(&stage->servers[0]);
	start(stage);
	append_numbers(stage, 0, 20);
	until(stage, is_empty(stage));
	assert_int_equal(stage->servers[1].taken, 20);
	server_open(&stage->servers[0], stage->loop, 200);
	for (unsigned i = 20; stage->servers[0].taken == 0; i++) { /* until it has rested */
		assert_true(i < SERVER_POSTS_MAX);
		append_numbers(stage, i, i + 1);
		until(stage, is_empty(stage));
		usleep(10000);
	}
	/* It dies once more, now with connections that stand. */
	server_close(&stage->servers[0]);
	append_numbers(stage, 3000, 3020);
	until(stage, is_empty(stage));
	for (unsigned i = 3000; i < 3020; i++)
		assert_true(stage->servers[0].seen[i] + stage->servers[1].seen[i] >= 1);
}

static void with_nobody_there_all_waits_for_the_first_who_comes(void **state)
{
	struct stage *stage = *state;

	server_close(&stage->servers[0]);
	server_close(&stage->servers[1]);
	start(stage);
	append_numbers(stage, 0, 20);
	until(stage, counted(stage, CHARGING_RETRIED) >= 16);
	assert_int_equal(spool_records(stage->spool), 20);
	server_open(&stage->servers[1], stage->loop, 204);
	until(stage, is_empty(stage));
	assert_int_equal(stage->servers[1].taken, 20);
}

static void what_is_refused_is_given_up_and_its_ralf_is_well(void **state)
{
	struct stage *stage = *state;

	stage->servers[0].status = 400;
	start(stage);
	append_numbers(stage, 0, 3);
	until(stage, is_empty(stage));
	assert_int_equal(counted(stage, CHARGING_REFUSED), 3);
	stage->servers[0].status = 200;
	append_numbers(stage, 3, 6);
	until(stage, is_empty(stage));
	assert_int_equal(stage->servers[0].taken, 3);
	assert_int_equal(stage->servers[1].posts, 0);
}

static void overload_loses_nothing(void **state)
{
	static const int statuses[] = {503, 429, 302};
	struct stage *stage = *state;

	start(stage);
	for (unsigned i = 0; i < ARRAY_LENGTH(statuses); i++) {
		stage->servers[0].status = statuses[i];
		append_numbers(stage, 10 * i, 10 * i + 10);
		until(stage, is_empty(stage));
	}
	assert_int_equal(counted(stage, CHARGING_REFUSED), 0);
	assert_int_equal(counted(stage, CHARGING_DELIVERED), 30);
	assert_int_equal(stage->servers[1].taken, 30);
}

/* Others come all the time, until this one is over. */
static void feed_until_refused(struct stage *stage)
{
	unsigned fed = 0;

	for (; counted(stage, CHARGING_REFUSED) == 0; fed++) {
		assert_true(fed < SERVER_POSTS_MAX);
		append_numbers(stage, fed, fed + 1);
		until(stage, counted(stage, CHARGING_DELIVERED) == fed + 1);
		usleep(5000);
	}
	until(stage, is_empty(stage));
	assert_int_equal(counted(stage, CHARGING_REFUSED), 1);
	assert_int_equal(counted(stage, CHARGING_DELIVERED), fed);
	assert_true(counted(stage, CHARGING_RETRIED) >= 9);
}

static void a_record_over_which_ralf_stumbles_does_not_stop_the_others(void **state)
{
	struct stage *stage = *state;

	stage->servers[0].bad = stage->servers[1].bad = "/call-id/bad";
	start(stage);
	append(stage, "bad {}");
	feed_until_refused(stage);
}

static void a_record_at_which_ralf_hangs_up_does_not_stop_the_others(void **state)
{
	struct stage *stage = *state;

	stage->servers[0].rude = stage->servers[1].rude = "/call-id/bad";
	start(stage);
	append(stage, "bad {}");
	feed_until_refused(stage);
}

/* More pass it than a window holds: it waits behind them, and is not lost. */
static void a_record_over_which_ralf_hangs_is_put_behind_the_others(void **state)
{
	struct stage *stage = *state;

	stage->servers[0].mute = stage->servers[1].mute = "/call-id/bad";
	start(stage);
	append(stage, "bad {}");
	append_numbers(stage, 0, 4000);
	until(stage, counted(stage, CHARGING_DELIVERED) == 4000);
	assert_int_equal(spool_records(stage->spool), 1);
	assert_int_equal(counted(stage, CHARGING_REFUSED), 0);
	stage->servers[0].mute = stage->servers[1].mute = NULL;
	until(stage, is_empty(stage));
	assert_int_equal(counted(stage, CHARGING_DELIVERED), 4001);
}

/* One has failed often while others were taken; now nobody is there, and however often it fails it stays. */
static void an_outage_gives_up_nothing(void **state)
{
	struct stage *stage = *state;
	unsigned fed = 0;
	int64_t retried;

	stage->settings.endpoint_count = 1;
	stage->servers[0].rude = "/call-id/3000";
	start(stage);
	append_numbers(stage, 3000, 3001);
	for (; counted(stage, CHARGING_RETRIED) < 9; fed++) {
		append_numbers(stage, fed, fed + 1);
		until(stage, counted(stage, CHARGING_DELIVERED) == fed + 1);
		usleep(5000);
	}
	server_close(&stage->servers[0]);
	stage->servers[0].rude = NULL;
	retried = counted(stage, CHARGING_RETRIED);
	until(stage, counted(stage, CHARGING_RETRIED) >= retried + 4);
	server_open(&stage->servers[0], stage->loop, 200);
	until(stage, is_empty(stage));
	assert_int_equal(counted(stage, CHARGING_REFUSED), 0);
	assert_int_equal(stage->servers[0].seen[3000], 1);
	assert_int_equal(counted(stage, CHARGING_DELIVERED), fed + 1);
}

/* Two seconds of silence are as good as an error. */
static void who_does_not_answer_is_left(void **state)
{
	struct stage *stage = *state;

	stage->servers[0].status = 0;
	start(stage);
	append_numbers(stage, 0, 3);
	until(stage, is_empty(stage));
	assert_int_equal(stage->servers[1].taken, 3);
	assert_true(counted(stage, CHARGING_RETRIED) >= 3);
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
	int fd = accept(listener, NULL, NULL);

	if (fd >= 0)
		close(fd);
	(*(unsigned *)arg)++;
}

static void who_hangs_up_is_left(void **state)
{
	struct stage *stage = *state;
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	struct event *event;
	unsigned accepted = 0;

	server_close(&stage->servers[0]);
	address.sin_port = htons(stage->servers[0].port);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	event = event_new(loop_base(stage->loop), fd, EV_READ | EV_PERSIST, on_accept, &accepted);
	event_add(event, NULL);
	start(stage);
	append_numbers(stage, 0, 20);
	until(stage, is_empty(stage));
	assert_true(accepted > 0);
	assert_int_equal(stage->servers[1].taken, 20);
	event_free(event);
	close(fd);
}

static void what_is_under_way_at_the_end_is_posted_in_the_next_life(void **state)
{
	struct stage *stage = *state;

	stage->servers[0].status = 0;
	start(stage);
	append_numbers(stage, 0, 12);
	until(stage, stage->servers[0].posts >= 8);
	assert_int_equal(ralf_busy(stage->ralf), 8);
	ralf_destroy(&stage->ralf);
	spool_close(&stage->spool);
	server_close(&stage->servers[0]);
	server_open(&stage->servers[0], stage->loop, 200);
	assert_int_equal(spool_open(stage->directory, 64u << 20, &stage->spool), 0);
	assert_int_equal(spool_records(stage->spool), 12);
	start(stage);
	until(stage, is_empty(stage));
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(stage->servers[0].seen[i], 1);
}

/* A name whose server says nothing: the end does not wait for it, and leaves nothing behind. */
static void a_name_that_is_being_asked_for_does_not_hold_up_the_end(void **state)
{
	struct stage *stage = *state;
	struct sockaddr_in socket_address = {.sin_family = AF_INET,
	                                     .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof(socket_address);
	struct address server;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	char question[512];

	assert_int_equal(bind(fd, (struct sockaddr *)&socket_address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&socket_address, &length), 0);
	assert_true(address_parse_host(SLICE_LITERAL("127.0.0.1"), ntohs(socket_address.sin_port),
	                               &server));
	stage->endpoints[0].host = "ralf.example.net";
	stage->settings.dns_servers = &server;
	stage->settings.dns_server_count = 1;
	start(stage);
	append_numbers(stage, 0, 3);
	until(stage, recv(fd, question, sizeof(question), 0) > 0);
	ralf_destroy(&stage->ralf);
	loop_turn(stage->loop);
	assert_int_equal(spool_records(stage->spool), 3);
	close(fd);
}

static void a_record_that_is_none_of_ours_is_passed_over(void **state)
{
	struct stage *stage = *state;

	start(stage);
	append(stage, "nothing");
	append(stage, " {}");
	append(stage, "1 {}");
	until(stage, is_empty(stage));
	assert_int_equal(stage->servers[0].posts, 1);
}

static void create_and_destroy(void *arg)
{
	struct stage *stage = arg;
	struct ralf *ralf = NULL;

	if (ralf_create(stage->loop, &stage->settings, stage->spool, stage->metrics, &ralf) == 0) {
		for (int i = 0; i < 3; i++)
			loop_turn(stage->loop);
	}
	ralf_destroy(&ralf);
}

static void every_allocation_may_fail(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(spool_append(stage->spool, SLICE_LITERAL("1 {}")), 0);
	assert_true(alloc_fail_each(create_and_destroy, stage) > 0);
}

#define ralf_test(name) cmocka_unit_test_setup_teardown(name, stage_set, stage_strike)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ralf_test(each_record_is_posted_once_and_then_forgotten),
		ralf_test(who_is_dead_rests_and_who_returns_is_asked_again),
		ralf_test(with_nobody_there_all_waits_for_the_first_who_comes),
		ralf_test(what_is_refused_is_given_up_and_its_ralf_is_well),
		ralf_test(overload_loses_nothing),
		ralf_test(a_record_over_which_ralf_stumbles_does_not_stop_the_others),
		ralf_test(a_record_at_which_ralf_hangs_up_does_not_stop_the_others),
		ralf_test(a_record_over_which_ralf_hangs_is_put_behind_the_others),
		ralf_test(an_outage_gives_up_nothing),
		ralf_test(who_does_not_answer_is_left),
		ralf_test(who_hangs_up_is_left),
		ralf_test(what_is_under_way_at_the_end_is_posted_in_the_next_life),
		ralf_test(a_name_that_is_being_asked_for_does_not_hold_up_the_end),
		ralf_test(a_record_that_is_none_of_ours_is_passed_over),
		ralf_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
