#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/memory.h"
#include "metrics/metrics.h"
#include "support/alloc_fail.h"
#include "support/generated_page.h"

struct stage {
	struct metrics_registry *registry;
	struct metrics *control, *worker;
	struct buffer text;
};

static int setup(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	assert_int_equal(metrics_registry_create(&stage->registry), 0);
	assert_int_equal(metrics_create(stage->registry, "control", &stage->control), 0);
	assert_int_equal(metrics_create(stage->registry, "worker-0", &stage->worker), 0);
	buffer_init(&stage->text);
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	buffer_free(&stage->text);
	metrics_registry_destroy(&stage->registry);
	assert_null(stage->registry);
	free(stage);
	return 0;
}

static const char *written(struct stage *stage)
{
	buffer_reset(&stage->text);
	metrics_write(stage->registry, &stage->text);
	buffer_append(&stage->text, "", 1);
	assert_false(stage->text.failed);
	return stage->text.data;
}

static void assert_line(const char *text, const char *line)
{
	const char *at = strstr(text, line);

	if (at == NULL || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n')
		fail_msg("no line: %s", line);
}

static void assert_no(const char *text, const char *part)
{
	const char *at = strstr(text, part);

	if (at != NULL)
		fail_msg("should not be there: %.80s", at);
}

static void loops_are_summed(void **state)
{
	struct stage *stage = *state;

	metrics_add(stage->control, METRIC_REQUESTS, 0, 1, 1, 2);
	metrics_add(stage->worker, METRIC_REQUESTS, 0, 1, 1, 3);
	metrics_add(stage->worker, METRIC_REQUESTS, 1, 0, 0, 7);
	assert_int_equal(metrics_read(stage->registry, METRIC_REQUESTS, 0, 1, 1), 5);
	assert_int_equal(metrics_total(stage->registry, METRIC_REQUESTS), 12);
	assert_line(written(stage),
	            "bono_requests_total{side=\"access\",transport=\"tcp\",method=\"INVITE\"} 5");
	assert_line(written(stage),
	            "bono_requests_total{side=\"core\",transport=\"udp\",method=\"REGISTER\"} 7");
}

static void gauges_go_up_and_down(void **state)
{
	struct stage *stage = *state;

	metrics_add(stage->worker, METRIC_FLOWS, 0, 0, 0, 5);
	metrics_add(stage->worker, METRIC_FLOWS, 0, 0, 0, -2);
	metrics_set(stage->control, METRIC_FLOWS, 0, 0, 0, 10);
	assert_line(written(stage), "bono_flows{transport=\"udp\"} 13");
	assert_line(written(stage), "# TYPE bono_flows gauge");
}

static void no_set_counts_nothing(void **state)
{
	metrics_add(NULL, METRIC_FLOWS, 0, 0, 0, 1);
	metrics_set(NULL, METRIC_FLOWS, 0, 0, 0, 1);
	metrics_observe_us(NULL, METRIC_FIRST_ANSWER_SECONDS, 0, 0, 1);
}

/* Writing to one series of every metric changes no other: the cells do not overlap. */
static void every_series_has_its_own_cell(void **state)
{
	struct stage *stage = *state;

	for (unsigned m = 0; m < METRICS; m++)
		if (m != METRIC_TRANSACTION_SECONDS && m != METRIC_FIRST_ANSWER_SECONDS)
			metrics_set(stage->worker, m, 0, 0, 0, (int64_t)m + 1);
	for (unsigned i = 0; i < 3; i++) {
		metrics_observe_us(stage->worker, METRIC_TRANSACTION_SECONDS, 1, 14, 1000000000);
		metrics_observe_us(stage->worker, METRIC_FIRST_ANSWER_SECONDS,
		                   METRICS_SITES_MAX - 1, 0, 0);
	}
	for (unsigned m = 0; m < METRICS; m++)
		if (m != METRIC_TRANSACTION_SECONDS && m != METRIC_FIRST_ANSWER_SECONDS)
			assert_int_equal(metrics_total(stage->registry, m), m + 1);
	assert_int_equal(metrics_total(stage->registry, METRIC_TRANSACTION_SECONDS), 3);
	assert_int_equal(metrics_total(stage->registry, METRIC_FIRST_ANSWER_SECONDS), 3);
}

static void histogram_buckets_are_cumulated(void **state)
{
	struct stage *stage = *state;
	const char *text;

	metrics_name_site(stage->registry, 0, "site-a");
	metrics_observe_us(stage->worker, METRIC_FIRST_ANSWER_SECONDS, 0, 0, 500);
	metrics_observe_us(stage->worker, METRIC_FIRST_ANSWER_SECONDS, 0, 0, 501);
	metrics_observe_us(stage->control, METRIC_FIRST_ANSWER_SECONDS, 0, 0, 400000000);
	text = written(stage);
	assert_line(text, "# TYPE bono_first_answer_seconds histogram");
	assert_line(text, "bono_first_answer_seconds_bucket{site=\"site-a\",le=\"0.0005\"} 1");
	assert_line(text, "bono_first_answer_seconds_bucket{site=\"site-a\",le=\"0.001\"} 2");
	assert_line(text, "bono_first_answer_seconds_bucket{site=\"site-a\",le=\"180\"} 2");
	assert_line(text, "bono_first_answer_seconds_bucket{site=\"site-a\",le=\"+Inf\"} 3");
	assert_line(text, "bono_first_answer_seconds_sum{site=\"site-a\"} 400.001001");
	assert_line(text, "bono_first_answer_seconds_count{site=\"site-a\"} 3");
	assert_int_equal(metrics_read(stage->registry, METRIC_FIRST_ANSWER_SECONDS, 0, 0, 0), 3);
}

static void named_target_has_its_series_from_the_start(void **state)
{
	struct stage *stage = *state;
	const char *text;

	assert_int_equal(metrics_name_target(stage->registry, 3, "site-b", "big"), 0);
	text = written(stage);
	assert_line(text, "bono_target_up{site=\"site-b\",target=\"big\"} 0");
	assert_line(text, "bono_target_state{site=\"site-b\",target=\"big\",state=\"DRAINING\"} 0");
	assert_line(text, "bono_target_probe_seconds{site=\"site-b\",target=\"big\"} 0.000000");
	assert_line(
		text,
		"bono_target_failures_total{site=\"site-b\",target=\"big\",reason=\"silent\"} 0");
	metrics_set(stage->control, METRIC_TARGET_PROBE_SECONDS, 3, 0, 0, 2345);
	assert_line(written(stage),
	            "bono_target_probe_seconds{site=\"site-b\",target=\"big\"} 0.002345");
}

static void unnamed_targets_and_sites_are_not_written(void **state)
{
	struct stage *stage = *state;

	metrics_set(stage->control, METRIC_TARGET_UP, 9, 0, 0, 1);
	metrics_set(stage->control, METRIC_SITE_SERVING, 1, 0, 0, 1);
	assert_no(written(stage), "bono_target_up{");
	assert_no(written(stage), "bono_site_serving{");
	assert_int_equal(metrics_read(stage->registry, METRIC_TARGET_UP, 9, 0, 0), 1);
}

static void sparse_series_appear_once_they_count(void **state)
{
	struct stage *stage = *state;

	metrics_name_target(stage->registry, 0, "site-a", "sprout-1");
	assert_no(written(stage), "bono_target_transitions_total{");
	metrics_add(stage->control, METRIC_TARGET_TRANSITIONS, 0, 4, 3, 1);
	assert_line(written(stage), "bono_target_transitions_total{site=\"site-a\",target=\"sprout-"
	                            "1\",to=\"DOWN\",reason=\"probes_lost\"} 1");
}

static void names_that_are_too_many_are_refused(void **state)
{
	struct stage *stage = *state;
	struct metrics *metrics;

	assert_int_equal(metrics_name_target(stage->registry, METRICS_TARGETS_MAX, "s", "t"),
	                 -ERANGE);
	assert_int_equal(metrics_name_site(stage->registry, METRICS_SITES_MAX, "s"), -ERANGE);
	for (unsigned i = 2; i < METRICS_LOOPS_MAX; i++)
		assert_int_equal(metrics_create(stage->registry, "worker", &metrics), 0);
	assert_int_equal(metrics_create(stage->registry, "worker", &metrics), -ENOSPC);
}

static void value_out_of_range_counts_as_other(void **state)
{
	struct stage *stage = *state;

	metrics_add(stage->worker, METRIC_REQUESTS_LOST, 999, 0, 0, 1);
	assert_int_equal(metrics_read(stage->registry, METRIC_REQUESTS_LOST, LOST_OTHER, 0, 0), 1);
	assert_line(written(stage), "bono_requests_lost_total{reason=\"other\"} 1");
}

static void loop_lag_is_of_each_loop(void **state)
{
	struct stage *stage = *state;

	metrics_set(stage->control, METRIC_LOOP_LAG_SECONDS, 0, 0, 0, 1500);
	metrics_set(stage->worker, METRIC_LOOP_LAG_SECONDS, 0, 0, 0, 2500000);
	assert_line(written(stage), "bono_loop_lag_seconds{loop=\"control\"} 0.001500");
	assert_line(written(stage), "bono_loop_lag_seconds{loop=\"worker-0\"} 2.500000");
	assert_int_equal(metrics_read(stage->registry, METRIC_LOOP_LAG_SECONDS, 1, 0, 0), 2500000);
}

static void hostile_names_are_escaped(void **state)
{
	struct stage *stage = *state;

	metrics_name_site(stage->registry, 0, "a\"b\\c\nd");
	assert_line(written(stage), "bono_site_serving{site=\"a\\\"b\\\\c\\nd\"} 0");
}

static void the_process_describes_itself(void **state)
{
	struct stage *stage = *state;
	const char *text = written(stage);
	const char *fds = strstr(text, "\nprocess_open_fds ");

	assert_line(text, "bono_build_info{version=\"" BONO_VERSION "\"} 1");
	assert_non_null(strstr(text, "\nprocess_cpu_seconds_total "));
	assert_non_null(strstr(text, "\nprocess_resident_memory_bytes "));
	assert_non_null(strstr(text, "\nprocess_start_time_seconds "));
	assert_non_null(strstr(text, "\nprocess_max_fds "));
	assert_non_null(fds);
	assert_true(atoi(fds + strlen("\nprocess_open_fds ")) >= 3);
}

static void promtool_finds_no_fault(void **state)
{
	struct stage *stage = *state;
	FILE *promtool;

	metrics_name_site(stage->registry, 0, "site-a");
	metrics_name_target(stage->registry, 0, "site-a", "sprout-1");
	metrics_add(stage->control, METRIC_TARGET_TRANSITIONS, 0, 1, 1, 1);
	metrics_observe_us(stage->worker, METRIC_TRANSACTION_SECONDS, 0, 0, 123);
	written(stage);
	promtool = popen("promtool check metrics", "w");
	assert_non_null(promtool);
	assert_int_equal(fwrite(stage->text.data, 1, stage->text.length - 1, promtool),
	                 stage->text.length - 1);
	assert_int_equal(pclose(promtool), 0);
}

static void the_page_says_what_the_table_says(void **state)
{
	struct buffer text;

	buffer_init(&text);
	metrics_write_docs(&text);
	generated_page_check("docs/METRICS.md", &text);
	buffer_free(&text);
}

static void build_and_write(void *arg)
{
	struct metrics_registry *registry = NULL;
	struct metrics *metrics = NULL;
	struct buffer text;

	buffer_init(&text);
	if (metrics_registry_create(&registry) == 0) {
		metrics_create(registry, "control", &metrics);
		metrics_name_site(registry, 0, "site-a");
		metrics_name_site(registry, 0, "site-b");
		metrics_name_target(registry, 0, "site-a", "sprout-1");
		metrics_name_target(registry, 0, "site-b", "sprout-2");
		metrics_add(metrics, METRIC_FLOWS, 0, 0, 0, 1);
		metrics_write(registry, &text);
		assert_true(text.failed || text.length > 0);
	}
	buffer_free(&text);
	metrics_registry_destroy(&registry);
}

static void memory_that_ends_is_told(void **state)
{
	assert_true(alloc_fail_each(build_and_write, NULL) > 5);
}

#define staged(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		staged(loops_are_summed),
		staged(gauges_go_up_and_down),
		cmocka_unit_test(no_set_counts_nothing),
		staged(every_series_has_its_own_cell),
		staged(histogram_buckets_are_cumulated),
		staged(named_target_has_its_series_from_the_start),
		staged(unnamed_targets_and_sites_are_not_written),
		staged(sparse_series_appear_once_they_count),
		staged(names_that_are_too_many_are_refused),
		staged(value_out_of_range_counts_as_other),
		staged(loop_lag_is_of_each_loop),
		staged(hostile_names_are_escaped),
		staged(the_process_describes_itself),
		staged(promtool_finds_no_fault),
		cmocka_unit_test(the_page_says_what_the_table_says),
		cmocka_unit_test(memory_that_ends_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
