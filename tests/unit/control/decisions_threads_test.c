/* Decisions: told from workers' threads, kept by control, found by Call-ID, bounded in every way. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "control/decisions.h"
#include "support/alloc_fail.h"

struct stage {
	struct loop *loop;
	struct decisions *decisions;
};

static int setup(void **state)
{
	static struct stage stage;

	*state = &stage;
	assert_int_equal(loop_create("control", &stage.loop), 0);
	assert_int_equal(decisions_create(stage.loop, &stage.decisions), 0);
	return 0;
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	decisions_destroy(&stage->decisions);
	loop_destroy(
		&stage->loop); /* letters that still wait are dropped after the table has gone */
	return 0;
}

static void tell(struct decisions *decisions, const char *call_id, int status)
{
	struct decision decision = {
		.call_id = slice_from_string(call_id),
		.method = METHOD_INVITE,
		.status = status,
		.attempts = 2,
		.attempt_count = 2,
		.attempt = {{"site-a", "sprout-1", DECISION_REFUSED, 0, 1},
	                    {"site-b", "sprout-2", DECISION_ANSWERED, status, 12}},
	};

	decisions_tell(decisions, &decision);
}

struct seen {
	unsigned count;
	int first, last; /* status */
	char text[512];
};

static void see(void *arg, const struct decision *decision)
{
	struct seen *seen = arg;

	if (seen->count++ == 0)
		seen->first = decision->status;
	seen->last = decision->status;
	decision_format(decision, seen->text, sizeof(seen->text));
}

static struct seen look(struct stage *stage, const char *call_id)
{
	struct seen seen = {0};

	decisions_visit(stage->decisions, slice_from_string(call_id), see, &seen);
	return seen;
}

static void turn(struct stage *stage)
{
	for (unsigned i = 0; i < 50; i++)
		loop_turn(stage->loop);
}

static void decision_is_found_by_its_call_id(void **state)
{
	struct stage *stage = *state;
	char call_id[] = "c1@host";

	tell(stage->decisions, call_id, 200);
	memset(call_id, 'x', sizeof(call_id) - 1); /* it was lent */
	turn(stage);
	assert_int_equal(look(stage, "c1@host").count, 1);
	assert_string_equal(look(stage, "c1@host").text,
	                    "request c1@host: INVITE: site-a/sprout-1 refused after 1 ms, "
	                    "site-b/sprout-2 answered 200 after 12 ms");
	assert_int_equal(look(stage, "c1@hos").count, 0);
	assert_int_equal(look(stage, "").count, 0);
}

static void requests_of_one_call_come_oldest_first(void **state)
{
	struct stage *stage = *state;

	for (int i = 0; i < 5; i++)
		tell(stage->decisions, "call", 200 + i);
	turn(stage);
	assert_int_equal(look(stage, "call").count, 5);
	assert_int_equal(look(stage, "call").first, 200);
	assert_int_equal(look(stage, "call").last, 204);
}

static void one_call_id_for_everything_drives_out_only_itself(void **state)
{
	struct stage *stage = *state;

	tell(stage->decisions, "other", 200);
	for (int i = 0; i < 1000; i++) {
		tell(stage->decisions, "same", i);
		turn(stage);
	}
	assert_int_equal(look(stage, "same").count, 16);
	assert_int_equal(look(stage, "same").first, 984);
	assert_int_equal(look(stage, "same").last, 999);
	assert_int_equal(look(stage, "other").count, 1);
}

static void oldest_give_way(void **state)
{
	struct stage *stage = *state;
	char call_id[32];

	for (int i = 0; i < DECISIONS_KEPT + 3; i++) {
		snprintf(call_id, sizeof(call_id), "call-%d", i);
		tell(stage->decisions, call_id, 200);
		if (i % 100 == 0)
			turn(stage);
	}
	turn(stage);
	assert_int_equal(look(stage, "call-2").count, 0);
	assert_int_equal(look(stage, "call-3").count, 1);
	assert_int_equal(look(stage, call_id).count, 1);
	assert_int_equal(decisions_dropped(stage->decisions), 0);
}

static void number_call_id(char *call_id, unsigned number)
{
	for (unsigned i = 0; i < 8; i++)
		call_id[i] = (char)('a' + (number >> 4 * i & 15));
}

static void kept_bytes_are_bounded(void **state)
{
	struct stage *stage = *state;
	size_t length = 60000;
	char *call_id = memory_zalloc(length + 1);
	unsigned kept = 0;

	memset(call_id, 'x', length);
	for (unsigned i = 0; i < 300; i++) {
		number_call_id(call_id, i);
		tell(stage->decisions, call_id, 200);
		turn(stage);
	}
	for (unsigned i = 0; i < 300; i++) {
		number_call_id(call_id, i);
		kept += look(stage, call_id).count;
	}
	assert_in_range(kept, DECISIONS_KEPT_BYTES / 70000, DECISIONS_KEPT_BYTES / 60000);
	memory_free(call_id);
}

static void too_many_at_once_are_dropped_and_counted(void **state)
{
	struct stage *stage = *state;
	char call_id[32];

	for (unsigned i = 0; i < DECISIONS_WAITING_MAX + 7; i++) {
		snprintf(call_id, sizeof(call_id), "call-%u", i);
		tell(stage->decisions, call_id, 200);
	}
	assert_int_equal(decisions_dropped(stage->decisions), 7);
	turn(stage);
	assert_int_equal(look(stage, "call-0").count, 1);
	assert_int_equal(look(stage, call_id).count, 0);
	tell(stage->decisions, call_id, 200); /* there is room again */
	turn(stage);
	assert_int_equal(look(stage, call_id).count, 1);
}

static void letters_that_wait_go_with_the_loop(void **state)
{
	struct stage *stage = *state;

	tell(stage->decisions, "late", 200); /* teardown and the sanitizer look */
}

static void *work(void *arg)
{
	struct decisions *decisions = arg;
	char call_id[32];

	for (unsigned i = 0; i < 200; i++) {
		snprintf(call_id, sizeof(call_id), "%lx-%u", (unsigned long)pthread_self(), i);
		tell(decisions, call_id, 200);
	}
	return NULL;
}

static void workers_tell_side_by_side(void **state)
{
	struct stage *stage = *state;
	pthread_t workers[4];
	char call_id[32];

	for (unsigned i = 0; i < ARRAY_LENGTH(workers); i++)
		assert_int_equal(pthread_create(&workers[i], NULL, work, stage->decisions), 0);
	for (unsigned i = 0; i < 100; i++)
		loop_turn(stage->loop);
	for (unsigned i = 0; i < ARRAY_LENGTH(workers); i++)
		pthread_join(workers[i], NULL);
	turn(stage);
	assert_int_equal(decisions_dropped(stage->decisions), 0);
	for (unsigned i = 0; i < ARRAY_LENGTH(workers); i++) {
		snprintf(call_id, sizeof(call_id), "%lx-199", (unsigned long)workers[i]);
		assert_int_equal(look(stage, call_id).count, 1);
	}
}

static void create_and_tell(void *arg)
{
	struct stage stage = {.loop = arg};

	if (decisions_create(stage.loop, &stage.decisions) == 0) {
		tell(stage.decisions, "call", 200);
		turn(&stage);
		assert_int_equal(look(&stage, "call").count + decisions_dropped(stage.decisions),
		                 1);
	}
	decisions_destroy(&stage.decisions);
}

static void memory_that_ends_is_counted(void **state)
{
	struct loop *loop = NULL;

	assert_int_equal(loop_create("control", &loop), 0);
	assert_true(alloc_fail_each(create_and_tell, loop) >= 3);
	loop_destroy(&loop);
}

static int setup_all(void **state)
{
	hash_key_init();
	return 0;
}

#define staged(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		staged(decision_is_found_by_its_call_id),
		staged(requests_of_one_call_come_oldest_first),
		staged(one_call_id_for_everything_drives_out_only_itself),
		staged(oldest_give_way),
		staged(kept_bytes_are_bounded),
		staged(too_many_at_once_are_dropped_and_counted),
		staged(letters_that_wait_go_with_the_loop),
		staged(workers_tell_side_by_side),
		cmocka_unit_test(memory_that_ends_is_counted),
	};

	return cmocka_run_group_tests(tests, setup_all, NULL);
}
