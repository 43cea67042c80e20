/* The ring of events: what is kept, in which order, and what is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/events.h"
#include "support/alloc_fail.h"

static int setup(void **state)
{
	return events_create((struct events **)state);
}

static int teardown(void **state)
{
	events_destroy((struct events **)state);
	return 0;
}

static unsigned count_from(const struct events *events, uint64_t after)
{
	struct admin_event event = {.number = after};
	unsigned count = 0;

	while (events_next(events, event.number, &event))
		count++;
	return count;
}

static void nothing_has_happened_at_first(void **state)
{
	struct admin_event event;

	assert_false(events_next(*state, 0, &event));
}

static void event_is_told_as_it_was_added(void **state)
{
	struct admin_event event;
	uint64_t now = clock_wall_ms();

	events_add(*state, EVENT_DISCOVERY, "site-b/10.0.0.1:5054/TCP", NULL, "NAMED", "dns", NULL);
	assert_true(events_next(*state, 0, &event));
	assert_string_equal(event.kind, "discovery");
	assert_string_equal(event.subject, "site-b/10.0.0.1:5054/TCP");
	assert_string_equal(event.from, "");
	assert_string_equal(event.to, "NAMED");
	assert_string_equal(event.reason, "dns");
	assert_string_equal(event.evidence, "");
	assert_in_range(event.wall_ms, now, now + 60000);
	assert_false(events_next(*state, event.number, &event));
}

static void transition_is_of_a_target_or_of_a_site(void **state)
{
	struct failover_event transition = {.wall_ms = 7,
	                                    .subject = "site-a/sprout-2",
	                                    .from = "UP",
	                                    .to = "DOWN",
	                                    .reason = "probes_lost",
	                                    .evidence = "2 probes lost"};
	struct admin_event event;

	events_add_transition(*state, &transition);
	strcpy(transition.subject, "sites");
	transition.from = NULL;
	events_add_transition(*state, &transition);
	assert_true(events_next(*state, 0, &event));
	assert_string_equal(event.kind, "target");
	assert_string_equal(event.evidence, "2 probes lost");
	assert_int_equal(event.wall_ms, 7);
	assert_true(events_next(*state, event.number, &event));
	assert_string_equal(event.kind, "site");
	assert_string_equal(event.from, "");
}

static void oldest_events_give_way(void **state)
{
	struct admin_event first, event;
	char subject[32];

	for (unsigned i = 0; i < EVENTS_KEPT + 10; i++) {
		snprintf(subject, sizeof(subject), "event-%u", i);
		events_add(*state, EVENT_NODE, subject, NULL, NULL, NULL, NULL);
		if (i == 0)
			assert_true(events_next(*state, 0, &first));
	}
	assert_int_equal(count_from(*state, 0), EVENTS_KEPT);
	assert_true(events_next(*state, first.number, &event));
	assert_string_equal(event.subject, "event-10");
	assert_int_equal(event.number,
	                 first.number + 10); /* by the gap one sees that some are lost */
	assert_int_equal(count_from(*state, event.number + EVENTS_KEPT - 2), 1);
}

static void long_texts_are_cut(void **state)
{
	char text[1000];
	struct admin_event event;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	events_add(*state, EVENT_NODE, text, NULL, NULL, NULL, text);
	assert_true(events_next(*state, 0, &event));
	assert_int_equal(strlen(event.subject), FAILOVER_SUBJECT_MAX - 1);
	assert_int_equal(strlen(event.evidence), FAILOVER_EVIDENCE_MAX - 1);
}

static void numbers_rise_over_a_restart(void **state)
{
	struct events *next_life = NULL;
	struct admin_event before, after;
	uint64_t born = clock_wall_ms();

	events_add(*state, EVENT_NODE, "x", NULL, NULL, NULL, NULL);
	assert_true(events_next(*state, 0, &before));
	while (clock_wall_ms() <= born + 1) /* a restart takes longer */
		;
	assert_int_equal(events_create(&next_life), 0);
	events_add(next_life, EVENT_NODE, "x", NULL, NULL, NULL, NULL);
	assert_true(events_next(next_life, before.number, &after));
	assert_true(after.number > before.number);
	events_destroy(&next_life);
}

static void create_and_add(void *arg)
{
	struct events *events = NULL;

	if (events_create(&events) == 0)
		events_add(events, EVENT_NODE, "x", NULL, NULL, NULL, NULL);
	events_destroy(&events);
	assert_null(events);
}

static void only_the_beginning_needs_memory(void **state)
{
	assert_int_equal(alloc_fail_each(create_and_add, NULL), 1);
}

#define with_ring(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_ring(nothing_has_happened_at_first),
		with_ring(event_is_told_as_it_was_added),
		with_ring(transition_is_of_a_target_or_of_a_site),
		with_ring(oldest_events_give_way),
		with_ring(long_texts_are_cut),
		with_ring(numbers_rise_over_a_restart),
		cmocka_unit_test(only_the_beginning_needs_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
