/* Loops on threads of their own. Worth most under ThreadSanitizer. */
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/memory.h"
#include "loop/loop.h"
#include "loop/snapshot.h"

enum { LOOPS = 3, LETTERS_EACH = 3000, IN_FLIGHT = 32 };

struct station {
	struct loop *loop;
	struct station *all;
	unsigned index;
	/* the loop's own: no atomics, so that a letter delivered on a wrong thread shows as a race */
	unsigned next_from[LOOPS]; /* the number expected from each sender */
	unsigned received, sent;
};

static atomic_uint stations_done;
static struct loop *last_stopper; /* told by whoever finishes last */

struct parcel {
	struct letter letter;
	unsigned from, number;
};

static void send_next(struct station *from);

static void deliver_parcel(struct letter *letter, void *arg)
{
	struct parcel *parcel = CONTAINER_OF(letter, struct parcel, letter);
	struct station *self = arg;

	ASSERT(loop_is_self(self->loop));
	ASSERT(parcel->number == self->next_from[parcel->from]);
	self->next_from[parcel->from]++;
	self->received++;
	memory_free(parcel);
	send_next(self);
	if (self->received == LOOPS * LETTERS_EACH &&
	    atomic_fetch_add(&stations_done, 1) == LOOPS - 1)
		loop_stop(last_stopper);
}

static void post_parcel(struct station *from, struct station *to, unsigned number)
{
	struct parcel *parcel = memory_zalloc(sizeof(*parcel));

	ASSERT(parcel != NULL);
	*parcel = (struct parcel){.letter = {.deliver = deliver_parcel, .arg = to},
	                          .from = from->index,
	                          .number = number};
	ASSERT(loop_post(to->loop, &parcel->letter) == 0);
}

/* One letter to everyone, itself included. */
static void send_next(struct station *from)
{
	if (from->sent == LETTERS_EACH)
		return;
	for (unsigned i = 0; i < LOOPS; i++)
		post_parcel(from, &from->all[i], from->sent);
	from->sent++;
}

static void begin(struct letter *letter, void *arg)
{
	memory_free(letter);
	for (unsigned i = 0; i < IN_FLIGHT; i++)
		send_next(arg);
}

static void letters_between_three_loops_arrive_whole_and_in_their_senders_order(void **state)
{
	int64_t before = memory_live_blocks();
	struct station stations[LOOPS] = {0};
	struct loop *waiting;

	atomic_store(&stations_done, 0);
	assert_int_equal(loop_create("waiting", &waiting), 0);
	last_stopper = waiting;
	for (unsigned i = 0; i < LOOPS; i++) {
		stations[i].all = stations;
		stations[i].index = i;
		assert_int_equal(loop_create("station", &stations[i].loop), 0);
		assert_true(loop_is_self(stations[i].loop));
	}
	for (unsigned i = 0; i < LOOPS; i++) {
		struct letter *letter = memory_zalloc(sizeof(*letter));

		letter->deliver = begin;
		letter->arg = &stations[i];
		loop_post_always(stations[i].loop, letter);
		assert_int_equal(loop_start(stations[i].loop), 0);
		assert_false(loop_is_self(stations[i].loop));
	}
	loop_run(waiting);
	for (unsigned i = 0; i < LOOPS; i++) {
		loop_stop(stations[i].loop);
		loop_join(stations[i].loop);
	}
	for (unsigned i = 0; i < LOOPS; i++) {
		assert_int_equal(stations[i].received, LOOPS * LETTERS_EACH);
		assert_int_equal(loop_letters_refused(stations[i].loop), 0);
		loop_destroy(&stations[i].loop);
	}
	loop_destroy(&waiting);
	assert_int_equal(memory_live_blocks(), before);
}

static void deliver_or_drop(struct letter *letter, void *arg)
{
	memory_free(letter);
}

static void *post_until_told(void *arg)
{
	struct {
		struct loop *loop;
		atomic_bool stop;
		unsigned posted;
	} *sender = arg;

	while (!atomic_load(&sender->stop) && sender->posted < 50000) {
		struct letter *letter = memory_zalloc(sizeof(*letter));

		letter->deliver = deliver_or_drop;
		if (loop_post(sender->loop, letter) != 0)
			memory_free(letter);
		sender->posted++;
	}
	return NULL;
}

static void a_loop_stopped_with_letters_waiting_drops_them(void **state)
{
	int64_t before = memory_live_blocks();
	struct {
		struct loop *loop;
		atomic_bool stop;
		unsigned posted;
	} sender = {0};
	pthread_t thread;

	assert_int_equal(loop_create("stopped", &sender.loop), 0);
	assert_int_equal(loop_start(sender.loop), 0);
	assert_int_equal(pthread_create(&thread, NULL, post_until_told, &sender), 0);
	loop_stop(sender.loop);
	loop_join(sender.loop); /* the sender goes on posting to a loop that turns no more */
	atomic_store(&sender.stop, true);
	pthread_join(thread, NULL);
	for (int i = 0; i < 10; i++) {
		struct letter *letter = memory_zalloc(sizeof(*letter));

		letter->deliver = deliver_or_drop;
		loop_post_always(sender.loop, letter);
	}
	loop_destroy(&sender.loop);
	assert_int_equal(memory_live_blocks(), before);
}

static void wait_for_semaphore(struct timer *timer, void *arg)
{
	while (sem_wait(arg) != 0)
		;
}

static void a_loop_that_hangs_is_waited_for_no_longer_than_said(void **state)
{
	struct loop *loop;
	struct timer timer;
	sem_t blocked;

	sem_init(&blocked, 0, 0);
	assert_int_equal(loop_create("hangs", &loop), 0);
	timer_init(&timer, wait_for_semaphore, &blocked);
	timer_start(loop_timers(loop), &timer, 0);
	assert_true(loop_join_within(loop, 0)); /* it has no thread yet */
	assert_int_equal(loop_start(loop), 0);
	loop_stop(loop);
	assert_false(loop_join_within(loop, 50));
	sem_post(&blocked);
	assert_true(loop_join_within(loop, 20000));
	assert_true(loop_join_within(loop, 0)); /* once more does nothing */
	loop_destroy(&loop);
	sem_destroy(&blocked);
}

static void stop_loop(struct timer *timer, void *arg)
{
	loop_stop(arg);
}

static void a_loop_wakes_for_its_timers_by_itself(void **state)
{
	struct loop *loop;
	struct timer timer;
	uint64_t start_ms;

	assert_int_equal(loop_create("sleeper", &loop), 0);
	start_ms = loop_now_ms(loop);
	timer_init(&timer, stop_loop, loop);
	timer_start(loop_timers(loop), &timer, 30);
	assert_int_equal(loop_start(loop), 0);
	loop_join(loop);
	assert_true(loop_now_ms(loop) >= start_ms + 30);
	loop_destroy(&loop);
}

static void a_loop_stopped_before_it_ran_ends_at_once(void **state)
{
	struct loop *loop;

	assert_int_equal(loop_create("early", &loop), 0);
	loop_stop(loop);
	loop_run(loop);
	assert_true(loop_is_self(loop));
	loop_destroy(&loop);
}

static void note_stack_and_name(struct timer *timer, void *arg)
{
	pthread_attr_t attributes;
	size_t size = 0;
	char name[16];

	pthread_getattr_np(pthread_self(), &attributes);
	pthread_attr_getstacksize(&attributes, &size);
	pthread_attr_destroy(&attributes);
	pthread_getname_np(pthread_self(), name, sizeof(name));
	ASSERT(size >= 8u << 20);
	ASSERT(strcmp(name, "worker-17") == 0);
	loop_stop(arg);
}

static void a_loops_thread_has_its_name_and_eight_mebibytes_of_stack(void **state)
{
	struct loop *loop;
	struct timer timer;

	assert_int_equal(loop_create("worker-17", &loop), 0);
	timer_init(&timer, note_stack_and_name, loop);
	timer_start(loop_timers(loop), &timer, 20);
	assert_int_equal(loop_start(loop), 0);
	loop_join(loop);
	loop_destroy(&loop);
}

struct number {
	struct snapshot snapshot;
	int value;
};

static atomic_int numbers_freed;

static void free_number(struct snapshot *snapshot)
{
	struct number *number = CONTAINER_OF(snapshot, struct number, snapshot);

	number->value = -1; /* a reader that still reads is a race */
	atomic_fetch_add(&numbers_freed, 1);
	memory_free(number);
}

static void *read_number(void *arg)
{
	struct number *number = arg;

	ASSERT(number->value == 42);
	snapshot_release(&number->snapshot);
	return NULL;
}

static void the_last_of_many_readers_frees_a_snapshot(void **state)
{
	struct number *number = memory_zalloc(sizeof(*number));
	pthread_t threads[4];

	number->value = 42;
	snapshot_init(&number->snapshot, free_number);
	for (int i = 0; i < 4; i++) {
		snapshot_share(&number->snapshot);
		pthread_create(&threads[i], NULL, read_number, number);
	}
	snapshot_release(&number->snapshot);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&numbers_freed), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			letters_between_three_loops_arrive_whole_and_in_their_senders_order),
		cmocka_unit_test(a_loop_stopped_with_letters_waiting_drops_them),
		cmocka_unit_test(a_loop_that_hangs_is_waited_for_no_longer_than_said),
		cmocka_unit_test(a_loop_wakes_for_its_timers_by_itself),
		cmocka_unit_test(a_loop_stopped_before_it_ran_ends_at_once),
		cmocka_unit_test(a_loops_thread_has_its_name_and_eight_mebibytes_of_stack),
		cmocka_unit_test(the_last_of_many_readers_frees_a_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
