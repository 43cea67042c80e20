/* One loop, turned by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "loop/loop.h"
#include "loop/snapshot.h"
#include "support/alloc_fail.h"
#include "support/fake_clock.h"
#include "support/fake_loop.h"

/* What happened, a letter each. */
static char story[128];

static void tell(char what)
{
	size_t length = strlen(story);

	assert_true(length + 1 < sizeof(story));
	story[length] = what;
	story[length + 1] = '\0';
}

static struct loop *loop_new(void)
{
	struct loop *loop;

	story[0] = '\0';
	assert_int_equal(loop_create("test", &loop), 0);
	return loop;
}

struct note {
	struct letter letter;
	char name;
};

static void deliver_note(struct letter *letter, void *arg)
{
	struct note *note = CONTAINER_OF(letter, struct note, letter);

	tell(note->name);
	if (arg != NULL)
		*(unsigned *)arg += 1;
	memory_free(note);
}

static void drop_note(struct letter *letter)
{
	tell('!');
	memory_free(letter);
}

static struct letter *note_new(char name)
{
	struct note *note = memory_zalloc(sizeof(*note));

	*note = (struct note){.letter = {.deliver = deliver_note, .drop = drop_note}, .name = name};
	return &note->letter;
}

static void letters_arrive_in_order_in_the_next_turn(void **state)
{
	struct loop *loop = loop_new();
	unsigned delivered = 0;

	for (char name = 'a'; name <= 'e'; name++) {
		struct letter *letter = note_new(name);

		letter->arg = &delivered;
		assert_int_equal(loop_post(loop, letter), 0);
	}
	assert_string_equal(story, "");
	loop_turn(loop);
	assert_string_equal(story, "abcde");
	assert_int_equal(delivered, 5);
	loop_turn(loop);
	assert_int_equal(delivered, 5);
	loop_destroy(&loop);
}

struct echo {
	struct letter letter;
	struct loop *loop;
	int left;
};

static void deliver_echo(struct letter *letter, void *arg)
{
	struct echo *echo = CONTAINER_OF(letter, struct echo, letter);

	tell('e');
	if (echo->left-- > 0)
		assert_int_equal(loop_post(echo->loop, letter), 0);
	else
		memory_free(echo);
}

static void a_letter_posted_by_a_letter_waits_for_the_next_turn(void **state)
{
	struct loop *loop = loop_new();
	struct echo *echo = memory_zalloc(sizeof(*echo));

	*echo = (struct echo){.letter.deliver = deliver_echo, .loop = loop, .left = 2};
	loop_post(loop, &echo->letter);
	loop_turn(loop);
	assert_string_equal(story, "e");
	loop_turn(loop);
	loop_turn(loop);
	loop_turn(loop);
	assert_string_equal(story, "eee");
	loop_destroy(&loop);
}

static void deliver_quietly(struct letter *letter, void *arg)
{
	*(unsigned *)arg += 1;
	memory_free(letter);
}

static struct letter *quiet_letter(unsigned *delivered)
{
	struct letter *letter = memory_zalloc(sizeof(*letter));

	letter->deliver = deliver_quietly;
	letter->arg = delivered;
	return letter;
}

static void a_full_mailbox_refuses_and_counts_but_takes_what_must_not_be_lost(void **state)
{
	struct loop *loop = loop_new();
	unsigned delivered = 0, turns;
	struct letter *refused = quiet_letter(&delivered);

	for (unsigned i = 0; i < 65536; i++)
		assert_int_equal(loop_post(loop, quiet_letter(&delivered)), 0);
	assert_int_equal(loop_post(loop, refused), -ENOBUFS);
	assert_int_equal(loop_letters_refused(loop), 1);
	loop_post_always(loop, quiet_letter(&delivered));
	loop_turn(loop);
	assert_in_range(delivered, 1, 1000); /* a full mailbox does not own the turn */
	assert_int_equal(loop_post(loop, refused), 0);
	for (turns = 0; delivered < 65538 && turns < 1000; turns++)
		loop_turn(loop);
	assert_int_equal(delivered, 65538);
	loop_destroy(&loop);
}

static void letters_of_a_destroyed_loop_are_dropped_not_delivered(void **state)
{
	int64_t before = memory_live_blocks();
	struct loop *loop = loop_new();
	unsigned delivered = 0;

	loop_post(loop, note_new('a'));
	loop_post(loop, quiet_letter(&delivered)); /* has no drop: its block is freed */
	loop_post_always(loop, note_new('b'));
	loop_destroy(&loop);
	assert_null(loop);
	assert_string_equal(story, "!!");
	assert_int_equal(delivered, 0);
	assert_int_equal(memory_live_blocks(), before);
}

struct thing {
	struct grave grave;
	struct loop *loop;
	struct timer timer;
	char name;
};

static void free_thing(struct grave *grave)
{
	struct thing *thing = CONTAINER_OF(grave, struct thing, grave);

	tell(thing->name);
	memory_free(thing);
}

static struct thing *thing_new(struct loop *loop, char name)
{
	struct thing *thing = memory_zalloc(sizeof(*thing));

	thing->loop = loop;
	thing->name = name;
	return thing;
}

static void die_by_timer(struct timer *timer, void *arg)
{
	struct thing *thing = arg;

	tell('t');
	loop_bury(thing->loop, &thing->grave, free_thing);
	assert_int_equal(thing->name, 'x'); /* still there, until the turn has ended */
}

static void hook_one(void *arg)
{
	tell('1');
}

static void hook_two(void *arg)
{
	tell('2');
}

static void a_turn_is_letters_then_timers_then_hooks_then_graves(void **state)
{
	struct loop *loop = loop_new();
	struct thing *thing = thing_new(loop, 'x');

	assert_int_equal(loop_at_turn_end(loop, hook_one, NULL), 0);
	assert_int_equal(loop_at_turn_end(loop, hook_two, NULL), 0);
	timer_init(&thing->timer, die_by_timer, thing);
	timer_start(loop_timers(loop), &thing->timer, 0);
	loop_post(loop, note_new('l'));
	loop_turn(loop);
	assert_string_equal(story, "lt12x");
	loop_destroy(&loop);
}

static void graves_are_emptied_when_the_loop_dies(void **state)
{
	struct loop *loop = loop_new();
	struct thing *thing = thing_new(loop, 'x');

	loop_bury(loop, &thing->grave, free_thing);
	loop_destroy(&loop);
	assert_string_equal(story, "x");
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	char byte;

	assert_int_equal(read(fd, &byte, 1), 1);
	tell(byte);
	/* as a transaction does when a request arrives */
	assert_int_equal(loop_now_ms(loop), clock_now_ms());
	assert_int_equal(timers_now_ms(loop_timers(loop)), clock_now_ms());
}

static void an_event_after_a_long_sleep_sees_the_time_of_its_own_turn(void **state)
{
	struct loop *loop = loop_new();
	struct event *event;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	event = event_new(loop_base(loop), ends[0], EV_READ | EV_PERSIST, on_readable, loop);
	event_add(event, NULL);
	loop_turn(loop);
	assert_int_equal(write(ends[1], "r", 1), 1);
	fake_clock_advance_ms(60000);
	loop_turn(loop);
	assert_string_equal(story, "r");
	event_free(event);
	close(ends[0]);
	close(ends[1]);
	loop_destroy(&loop);
}

static void count_up(struct timer *timer, void *arg)
{
	struct thing *thing = arg;

	tell('.');
	timer_start(loop_timers(thing->loop), timer, 500);
}

static void an_advanced_loop_stays_where_the_test_put_it(void **state)
{
	struct loop *loop;

	fake_clock_off();
	loop = loop_new();
	loop_advance_to(loop, loop_now_ms(loop) + 3600000);
	assert_true(loop_now_us(loop) > clock_now_us());
	for (int i = 0; i < 3; i++) {
		uint64_t before = loop_now_us(loop);

		loop_turn(loop);
		assert_int_equal(loop_now_us(loop), before);
	}
	loop_advance_to(loop, 1); /* never back */
	assert_true(loop_now_us(loop) > clock_now_us());
	loop_destroy(&loop);
}

static void walking_stops_at_every_due_time(void **state)
{
	struct loop *loop = loop_new();
	struct thing *thing = thing_new(loop, 'x');
	uint64_t start_ms = loop_now_ms(loop);

	timer_init(&thing->timer, count_up, thing);
	timer_start(loop_timers(loop), &thing->timer, 500);
	fake_loop_walk(loop, 499);
	assert_string_equal(story, "");
	fake_loop_walk(loop, 2001);
	assert_string_equal(story, ".....");
	assert_int_equal(loop_now_ms(loop), start_ms + 2500);
	assert_int_equal(clock_now_ms(), start_ms + 2500);
	timer_stop(loop_timers(loop), &thing->timer);
	memory_free(thing);
	loop_destroy(&loop);
}

static void the_last_turns_time_is_told(void **state)
{
	struct loop *loop = loop_new();

	fake_clock_advance_ms(70);
	loop_turn(loop);
	assert_int_equal(loop_last_turn_us(loop), (FAKE_CLOCK_START_MS + 70) * 1000);
	loop_destroy(&loop);
}

static void lateness_is_told_for_a_second_and_then_forgotten(void **state)
{
	struct loop *loop = loop_new();

	loop_turn(loop); /* the alarm is set to the heartbeat, half a second from now */
	fake_clock_advance_ms(900);
	loop_turn(loop); /* 400 ms late */
	assert_int_equal(loop_lag_us(loop), 0);
	fake_clock_advance_ms(100);
	loop_turn(loop);
	assert_int_equal(loop_lag_us(loop), 400000);
	for (int i = 0; i < 20; i++) {
		fake_clock_advance_ms(100);
		loop_turn(loop);
	}
	assert_int_equal(loop_lag_us(loop), 0);
	loop_destroy(&loop);
}

struct value {
	struct snapshot snapshot; /* first */
	unsigned *freed;
};

static void free_value(struct snapshot *snapshot)
{
	struct value *value = CONTAINER_OF(snapshot, struct value, snapshot);

	++*value->freed;
	memory_free(value);
}

static void a_snapshot_dies_with_its_last_reader(void **state)
{
	struct value *value = memory_zalloc(sizeof(*value));
	unsigned freed = 0;

	value->freed = &freed;
	snapshot_init(&value->snapshot, free_value);
	snapshot_share(&value->snapshot);
	snapshot_release(&value->snapshot);
	assert_int_equal(freed, 0);
	snapshot_release(&value->snapshot);
	assert_int_equal(freed, 1);
	snapshot_release(NULL);
}

static void life_scene(void *arg)
{
	struct loop *loop = NULL;
	int err = loop_create("scene", &loop);

	if (err != 0) {
		assert_int_equal(err, -ENOMEM);
		assert_true(alloc_fail_happened());
		assert_null(loop);
		return;
	}
	for (int i = 0; i < 3; i++)
		err |= loop_at_turn_end(loop, hook_one, NULL);
	assert_int_equal(err, alloc_fail_happened() ? -ENOMEM : 0);
	story[0] = '\0';
	loop_turn(loop);
	assert_string_equal(story, alloc_fail_happened() ? "11" : "111");
	loop_destroy(&loop);
}

static void a_loop_lives_or_says_enomem_when_memory_ends(void **state)
{
	assert_int_equal(alloc_fail_each(life_scene, NULL), 5); /* loop, wheel, three hooks */
}

#define timed_test(test)                                                                           \
	cmocka_unit_test_setup_teardown(test, fake_clock_setup, fake_clock_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_arrive_in_order_in_the_next_turn),
		cmocka_unit_test(a_letter_posted_by_a_letter_waits_for_the_next_turn),
		cmocka_unit_test(a_full_mailbox_refuses_and_counts_but_takes_what_must_not_be_lost),
		cmocka_unit_test(letters_of_a_destroyed_loop_are_dropped_not_delivered),
		cmocka_unit_test(a_turn_is_letters_then_timers_then_hooks_then_graves),
		cmocka_unit_test(graves_are_emptied_when_the_loop_dies),
		timed_test(an_event_after_a_long_sleep_sees_the_time_of_its_own_turn),
		timed_test(an_advanced_loop_stays_where_the_test_put_it),
		timed_test(walking_stops_at_every_due_time),
		timed_test(the_last_turns_time_is_told),
		timed_test(lateness_is_told_for_a_second_and_then_forgotten),
		cmocka_unit_test(a_snapshot_dies_with_its_last_reader),
		cmocka_unit_test(a_loop_lives_or_says_enomem_when_memory_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
