/* What a worker counts of its targets. */
#include "stage.h"

#include "upstream/stats.h"

static struct traffic_stats *begin(void)
{
	struct traffic_stats *stats;

	assert_int_equal(traffic_stats_create(&stats), 0);
	return stats;
}

static void what_was_counted_is_taken_once(void **state)
{
	struct traffic_stats *stats = begin();
	struct target_stats out[4];

	assert_int_equal(traffic_stats_take(stats, out, 4), 0);
	traffic_stats_sent(stats, 7);
	traffic_stats_sent(stats, 7);
	traffic_stats_sent(stats, 7);
	traffic_stats_answered(stats, 7, 1000, 50);
	traffic_stats_answered(stats, 7, 3000, 60);
	traffic_stats_failed(stats, 7, TRAFFIC_SILENT);
	assert_int_equal(traffic_stats_take(stats, out, 4), 1);
	assert_int_equal(out[0].id, 7);
	assert_int_equal(out[0].sent, 3);
	assert_int_equal(out[0].answered, 2);
	assert_int_equal(out[0].failed[TRAFFIC_SILENT], 1);
	assert_int_equal(out[0].failed[TRAFFIC_REFUSED], 0);
	assert_int_equal(out[0].response_us, 4000);
	assert_int_equal(out[0].last_answer_ms, 60);
	assert_int_equal(out[0].steps[target_stats_step(1000)], 1);
	assert_int_equal(out[0].steps[target_stats_step(3000)], 1);
	assert_int_equal(traffic_stats_take(stats, out, 4), 0);
	traffic_stats_sent(stats, 7);
	assert_int_equal(traffic_stats_take(stats, out, 4), 1);
	assert_int_equal(out[0].sent, 1);
	assert_int_equal(out[0].answered, 0);
	traffic_stats_destroy(&stats);
	assert_null(stats);
}

static void many_targets_are_taken_in_parts(void **state)
{
	struct traffic_stats *stats = begin();
	unsigned taken, all = 0, seen[10] = {0}, i;
	struct target_stats out[4];

	for (i = 0; i < 10; i++)
		traffic_stats_failed(stats, i, TRAFFIC_REFUSED);
	do {
		taken = traffic_stats_take(stats, out, 4);
		for (i = 0; i < taken; i++)
			seen[out[i].id]++;
		all += taken;
	} while (taken == 4);
	assert_int_equal(all, 10);
	for (i = 0; i < 10; i++)
		assert_int_equal(seen[i], 1);
	traffic_stats_destroy(&stats);
}

static void an_id_beyond_the_view_is_not_counted(void **state)
{
	struct traffic_stats *stats = begin();
	struct target_stats out;

	traffic_stats_sent(stats, VIEW_TARGETS_MAX);
	traffic_stats_answered(stats, UINT32_MAX, 1, 1);
	assert_int_equal(traffic_stats_take(stats, &out, 1), 0);
	traffic_stats_destroy(&stats);
}

static void steps_rise_by_half_octaves_and_their_middle_lies_within(void **state)
{
	unsigned step, last = 0;
	uint64_t us;

	assert_int_equal(target_stats_step(0), 0);
	assert_int_equal(target_stats_step(63), 0);
	assert_int_equal(target_stats_step(64), 1);
	assert_int_equal(target_stats_step(95), 1);
	assert_int_equal(target_stats_step(96), 2);
	assert_int_equal(target_stats_step(128), 3);
	assert_int_equal(target_stats_step(UINT64_MAX), TARGET_STATS_STEPS - 1);
	for (us = 1; us < 10000000; us += 1 + us / 50) {
		step = target_stats_step(us);
		assert_in_range(step, last, last + 1);
		last = step;
	}
	for (step = 0; step < TARGET_STATS_STEPS; step++)
		assert_int_equal(target_stats_step(target_stats_step_us(step)), step);
}

static void scene(void *arg)
{
	struct traffic_stats *stats;
	struct target_stats out;

	if (traffic_stats_create(&stats) != 0) {
		assert_true(alloc_fail_happened());
		return;
	}
	traffic_stats_sent(stats, 3);
	traffic_stats_answered(stats, 3, 100, 1);
	assert_true(traffic_stats_take(stats, &out, 1) == 1);
	traffic_stats_destroy(&stats);
}

static void every_allocation_may_fail(void **state)
{
	assert_true(alloc_fail_each(scene, NULL) > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_counted_is_taken_once),
		cmocka_unit_test(many_targets_are_taken_in_parts),
		cmocka_unit_test(an_id_beyond_the_view_is_not_counted),
		cmocka_unit_test(steps_rise_by_half_octaves_and_their_middle_lies_within),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
