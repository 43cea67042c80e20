/* A worker is built whole or not at all, whichever allocation fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/hash.h"
#include "sip/message.h"
#include "support/alloc_fail.h"
#include "worker/worker.h"

struct stage {
	struct worker_settings settings;
	struct listener_settings listeners[2];
};

static void stage_init(struct stage *stage)
{
	static const char *const names[] = {"127.0.30.21:0", "127.0.30.22:0"};

	memset(stage, 0, sizeof(*stage));
	hash_key_init();
	assert_int_equal(message_system_init(), 0);
	for (unsigned i = 0; i < 2; i++) {
		stage->listeners[i] =
			(struct listener_settings){.name = i == 0 ? "access" : "core",
		                                   .side = i == 0 ? SIDE_ACCESS : SIDE_CORE,
		                                   .transport =
		                                           i == 0 ? TRANSPORT_UDP : TRANSPORT_TCP,
		                                   .advertise = names[i]};
		assert_true(address_parse(slice_from_string(names[i]), &stage->listeners[i].bind));
	}
	stage->settings.transport = (struct transport_settings){.listeners = stage->listeners,
	                                                        .listener_count = 2,
	                                                        .workers = 1,
	                                                        .message_bytes = 65535,
	                                                        .max_connections = 100,
	                                                        .connection_queue_bytes = 1 << 20,
	                                                        .connect_timeout_ms = 1000,
	                                                        .idle_ms = 240000,
	                                                        .partial_ms = 15000};
	stage->settings.proxy = (struct proxy_settings){.listeners = stage->listeners,
	                                                .listener_count = 2,
	                                                .path_listener = 1,
	                                                .visited_network = "example.net",
	                                                .message_bytes = 65535,
	                                                .first_answer_ms = 500,
	                                                .deadline_ms = 8000};
	stage->settings.flow_limit = stage->settings.transaction_limit = 1000;
	stage->settings.unregistered_ms = 32000;
	stage->settings.probe_host = "bono-1";
}

static void no_probe(void *arg, uint32_t target_id, uint32_t generation, enum health_input result,
                     uint64_t round_trip_us)
{
}

static void no_traffic(void *arg, uint32_t target_id, enum health_input input, uint64_t value)
{
}

static void no_stats(void *arg, const struct target_stats *stats, unsigned count)
{
}

static void no_idle(void *arg, uint8_t worker)
{
}

static const struct worker_reports reports = {.on_probe_result = no_probe,
                                              .on_traffic = no_traffic,
                                              .on_stats = no_stats,
                                              .on_idle = no_idle};

/* Built, connected, sent every kind of letter that can be refused; nobody reads them. */
static void life(void *arg)
{
	struct stage *stage = arg;
	struct metrics_registry *registry = NULL;
	struct worker *worker = NULL;
	struct tls_book *book = NULL;

	if (metrics_registry_create(&registry) == 0 &&
	    tls_book_load(&(struct tls_settings){0}, NULL, NULL, NULL, &book) == 0 &&
	    worker_create(&stage->settings, 0, registry, &reports, &worker) == 0 &&
	    worker_connect(&worker, 1) == 0) {
		worker_post_probe(worker, 1, 1, 100);
		worker_post_tls(worker, book);
		worker_post_stop(worker, 100);
		worker_post_leave(worker);
	}
	worker_destroy(&worker);
	assert_null(worker);
	if (book != NULL)
		snapshot_release(tls_book_snapshot(book));
	metrics_registry_destroy(&registry);
}

static void every_allocation_may_fail(void **state)
{
	struct stage stage;

	stage_init(&stage);
	assert_true(alloc_fail_each(life, &stage) > 10);
}

/* An address of somebody else. */
static void a_listener_that_cannot_be_bound_makes_no_worker(void **state)
{
	struct metrics_registry *registry = NULL;
	struct worker *worker = NULL;
	struct stage stage;

	stage_init(&stage);
	assert_true(address_parse(SLICE_LITERAL("192.0.2.1:5060"), &stage.listeners[0].bind));
	assert_int_equal(metrics_registry_create(&registry), 0);
	assert_int_equal(worker_create(&stage.settings, 0, registry, &reports, &worker),
	                 -EADDRNOTAVAIL);
	assert_null(worker);
	metrics_registry_destroy(&registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(a_listener_that_cannot_be_bound_makes_no_worker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
