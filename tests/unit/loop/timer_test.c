#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/memory.h"
#include "loop/timer.h"
#include "support/alloc_fail.h"

#define DAY_MS UINT64_C(86400000)

struct alarm {
	struct timer timer;
	struct timers *timers;
	uint64_t fired_at_ms; /* of the last time */
	uint64_t again_ms;    /* restart with this delay; UINT64_MAX: never */
	struct alarm *stops;  /* stopped when this one fires */
	unsigned fired;
};

static uint64_t last_due_ms; /* of whatever fired last */

static void on_fire(struct timer *timer, void *arg)
{
	struct alarm *alarm = arg;

	assert_ptr_equal(timer, &alarm->timer);
	assert_false(timer_is_running(timer));
	assert_true(timer->due_ms >= last_due_ms);
	assert_true(timer->due_ms <= timers_now_ms(alarm->timers));
	last_due_ms = timer->due_ms;
	alarm->fired++;
	alarm->fired_at_ms = timers_now_ms(alarm->timers);
	if (alarm->stops != NULL)
		timer_stop(alarm->timers, &alarm->stops->timer);
	if (alarm->again_ms != UINT64_MAX)
		timer_start(alarm->timers, timer, alarm->again_ms);
}

static void alarm_init(struct alarm *alarm, struct timers *timers)
{
	*alarm = (struct alarm){.timers = timers, .again_ms = UINT64_MAX};
	timer_init(&alarm->timer, on_fire, alarm);
}

static struct timers *wheel_at(uint64_t now_ms)
{
	struct timers *timers;

	assert_int_equal(timers_create(now_ms, &timers), 0);
	last_due_ms = 0;
	return timers;
}

static void a_timer_fires_in_its_millisecond_whatever_the_delay(void **state)
{
	static const uint64_t delays[] = {1,          2,         62,      63,     64,
	                                  65,         500,       4095,    4096,   4097,
	                                  32000,      180000,    3600000, DAY_MS, DAY_MS * 30,
	                                  1ULL << 36, 1ULL << 40};
	static const uint64_t starts[] = {
		0, 1, 63, 64, 4095, 1000000, (1ULL << 36) - 1, (1ULL << 42) - 3};

	for (size_t s = 0; s < ARRAY_LENGTH(starts); s++) {
		for (size_t d = 0; d < ARRAY_LENGTH(delays); d++) {
			struct timers *timers = wheel_at(starts[s]);
			uint64_t due_ms = starts[s] + delays[d];
			struct alarm alarm;

			alarm_init(&alarm, timers);
			timer_start(timers, &alarm.timer, delays[d]);
			assert_true(timer_is_running(&alarm.timer));
			assert_true(timers_next_ms(timers) <= due_ms);
			timers_run(timers, due_ms - 1);
			assert_int_equal(alarm.fired, 0);
			timers_run(timers, due_ms);
			assert_int_equal(alarm.fired, 1);
			assert_true(timers_next_ms(timers) == UINT64_MAX);
			timers_destroy(&timers);
		}
	}
}

static void no_delay_fires_in_the_next_run_and_not_before(void **state)
{
	struct timers *timers = wheel_at(1000);
	struct alarm alarm;

	alarm_init(&alarm, timers);
	alarm.again_ms = 0;
	timer_start(timers, &alarm.timer, 0);
	assert_int_equal(alarm.fired, 0);
	assert_int_equal(timers_next_ms(timers), 1000);
	for (unsigned run = 1; run <= 3; run++) {
		timers_run(timers, 1000); /* restarts itself with no delay, and yet the run ends */
		assert_int_equal(alarm.fired, run);
	}
	timers_run(timers, 5000);
	assert_in_range(alarm.fired, 4, 5);
	timer_stop(timers, &alarm.timer);
	timers_destroy(&timers);
}

static void a_restart_counts_from_now_even_after_a_stall(void **state)
{
	struct timers *timers = wheel_at(0);
	struct alarm alarm;

	alarm_init(&alarm, timers);
	alarm.again_ms = 500;
	timer_start(timers, &alarm.timer, 500);
	timers_run(timers, 2000); /* the loop was stuck: one firing, not three */
	assert_int_equal(alarm.fired, 1);
	assert_int_equal(alarm.timer.due_ms, 2500);
	timers_run(timers, 2499);
	assert_int_equal(alarm.fired, 1);
	timers_run(timers, 2500);
	assert_int_equal(alarm.fired, 2);
	timer_stop(timers, &alarm.timer);
	timers_destroy(&timers);
}

static void a_day_in_one_step_fires_all_in_order_of_due_time(void **state)
{
	enum { TIMERS = 2000 };
	struct timers *timers = wheel_at(123456);
	struct alarm *alarms = memory_alloc(TIMERS * sizeof(*alarms));
	uint32_t random = 1;

	for (size_t i = 0; i < TIMERS; i++) {
		random = random * 1664525 + 1013904223;
		alarm_init(&alarms[i], timers);
		timer_start(timers, &alarms[i].timer, random % DAY_MS);
	}
	timers_run(timers, 123456 + DAY_MS); /* on_fire looks at the order */
	for (size_t i = 0; i < TIMERS; i++)
		assert_int_equal(alarms[i].fired, 1);
	assert_true(timers_next_ms(timers) == UINT64_MAX);
	memory_free(alarms);
	timers_destroy(&timers);
}

static void a_stopped_or_moved_timer_does_not_fire_at_its_old_time(void **state)
{
	struct timers *timers = wheel_at(0);
	struct alarm stopped, moved;

	alarm_init(&stopped, timers);
	alarm_init(&moved, timers);
	timer_stop(timers, &stopped.timer); /* not running: fine */
	timer_start(timers, &stopped.timer, 100);
	timer_start(timers, &moved.timer, 100);
	timer_start(timers, &moved.timer, 5000);
	timer_stop(timers, &stopped.timer);
	assert_false(timer_is_running(&stopped.timer));
	timers_run(timers, 4999);
	assert_int_equal(stopped.fired + moved.fired, 0);
	timers_run(timers, 5000);
	assert_int_equal(moved.fired, 1);
	timers_destroy(&timers);
}

static void a_firing_timer_may_stop_one_that_is_due_with_it(void **state)
{
	struct timers *timers = wheel_at(0);
	struct alarm first, second;

	alarm_init(&first, timers);
	alarm_init(&second, timers);
	first.stops = &second;
	second.stops = &first;
	timer_start(timers, &first.timer, 64);
	timer_start(timers, &second.timer, 64);
	timers_run(timers, 100);
	assert_int_equal(first.fired + second.fired, 1);
	assert_false(timer_is_running(&first.timer) || timer_is_running(&second.timer));
	timers_destroy(&timers);
}

static void timers_of_a_destroyed_wheel_are_not_running(void **state)
{
	struct timers *timers = wheel_at(0);
	struct alarm alarm;

	alarm_init(&alarm, timers);
	timer_start(timers, &alarm.timer, 10);
	timers_destroy(&timers);
	assert_null(timers);
	assert_false(timer_is_running(&alarm.timer));
	timers_destroy(&timers);
}

/* The wheel against the plainest thing that could do its work: a list that is searched whole. */
static void the_wheel_agrees_with_a_plain_list(void **state)
{
	enum { TIMERS = 60, STEPS = 3000 };
	struct timers *timers = wheel_at(77);
	struct alarm alarms[TIMERS];
	uint64_t due_ms[TIMERS], now_ms = 77; /* UINT64_MAX: not running */
	unsigned fired[TIMERS] = {0};

	srandom(4711);
	for (size_t i = 0; i < TIMERS; i++) {
		alarm_init(&alarms[i], timers);
		due_ms[i] = UINT64_MAX;
	}
	for (unsigned step = 0; step < STEPS; step++) {
		size_t i = (size_t)random() % TIMERS;
		uint64_t next_ms = UINT64_MAX;

		if (random() % 4 == 0) {
			timer_stop(timers, &alarms[i].timer);
			due_ms[i] = UINT64_MAX;
		} else {
			uint64_t delay_ms = (uint64_t)random() >> random() % 31;

			timer_start(timers, &alarms[i].timer, delay_ms);
			due_ms[i] = now_ms + delay_ms;
		}
		now_ms += (uint64_t)random() >> (10 + random() % 21);
		timers_run(timers, now_ms);
		for (i = 0; i < TIMERS; i++) {
			if (due_ms[i] <= now_ms) {
				due_ms[i] = UINT64_MAX;
				fired[i]++;
			}
			if (due_ms[i] < next_ms)
				next_ms = due_ms[i];
			assert_int_equal(alarms[i].fired, fired[i]);
			assert_int_equal(timer_is_running(&alarms[i].timer),
			                 due_ms[i] != UINT64_MAX);
		}
		assert_true(timers_next_ms(timers) <= next_ms);
		assert_int_equal(timers_next_ms(timers) == UINT64_MAX, next_ms == UINT64_MAX);
		last_due_ms = 0; /* the next run begins anew */
	}
	timers_destroy(&timers);
}

static void create_scene(void *arg)
{
	struct timers *timers = NULL;
	int err = timers_create(5, &timers);

	assert_int_equal(err, alloc_fail_happened() ? -ENOMEM : 0);
	timers_destroy(&timers);
}

static void a_wheel_is_one_allocation(void **state)
{
	assert_int_equal(alloc_fail_each(create_scene, NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_fires_in_its_millisecond_whatever_the_delay),
		cmocka_unit_test(no_delay_fires_in_the_next_run_and_not_before),
		cmocka_unit_test(a_restart_counts_from_now_even_after_a_stall),
		cmocka_unit_test(a_day_in_one_step_fires_all_in_order_of_due_time),
		cmocka_unit_test(a_stopped_or_moved_timer_does_not_fire_at_its_old_time),
		cmocka_unit_test(a_firing_timer_may_stop_one_that_is_due_with_it),
		cmocka_unit_test(timers_of_a_destroyed_wheel_are_not_running),
		cmocka_unit_test(the_wheel_agrees_with_a_plain_list),
		cmocka_unit_test(a_wheel_is_one_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
