#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "support/alloc_fail.h"

static void live_blocks_follow_alloc_and_free(void **state)
{
	int64_t before = memory_live_blocks();
	char *a = memory_alloc(0), *b = memory_zalloc(9), *c = memory_strdup("abc");

	assert_non_null(a);
	assert_int_equal(b[8], 0);
	assert_string_equal(c, "abc");
	assert_int_equal(memory_live_blocks() - before, 3);
	c = memory_realloc(c, 4000);
	assert_string_equal(c, "abc");
	assert_int_equal(memory_live_blocks() - before, 3);
	memory_free(a);
	memory_free(b);
	memory_free(c);
	memory_free(NULL);
	assert_int_equal(memory_live_blocks(), before);
}

static void the_nth_allocation_fails_once(void **state)
{
	void *a, *b, *c;

	memory_fail_at(2);
	a = memory_alloc(1);
	assert_non_null(a);
	assert_false(memory_has_failed());
	b = memory_zalloc(1);
	assert_null(b);
	assert_true(memory_has_failed());
	c = memory_strdup("x");
	assert_non_null(c);
	memory_fail_at(0);
	assert_false(memory_has_failed());
	memory_free(a);
	memory_free(c);
}

static void a_failed_realloc_leaves_the_block_as_it_was(void **state)
{
	char *block = memory_strdup("still here");

	memory_fail_at(1);
	assert_null(memory_realloc(block, 100));
	assert_string_equal(block, "still here");
	memory_free(block);
	memory_fail_at(1);
	assert_null(memory_realloc(NULL, 100));
	memory_fail_at(0);
}

static void *make_block(void *arg)
{
	void **out = arg;

	*out = memory_alloc(1);
	return NULL;
}

static void a_block_may_die_on_another_thread_than_its_makers(void **state)
{
	int64_t before = memory_live_blocks();
	pthread_t threads[4];
	void *blocks[4];

	memory_fail_at(1); /* this thread's only: the others do not notice */
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_block, &blocks[i]), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	memory_fail_at(0);
	assert_int_equal(memory_live_blocks() - before, 4);
	for (int i = 0; i < 4; i++)
		memory_free(blocks[i]);
	assert_int_equal(memory_live_blocks(), before);
}

static void three_allocations(void *arg)
{
	unsigned *disturbed = arg;
	void *a = memory_alloc(1), *b = memory_alloc(1), *c = memory_alloc(1);

	*disturbed += alloc_fail_happened();
	assert_int_equal((a == NULL) + (b == NULL) + (c == NULL), alloc_fail_happened());
	memory_free(a);
	memory_free(b);
	memory_free(c);
}

static void a_scene_is_run_once_for_each_allocation(void **state)
{
	unsigned disturbed = 0;

	assert_int_equal(alloc_fail_each(three_allocations, &disturbed), 3);
	assert_int_equal(disturbed, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(live_blocks_follow_alloc_and_free),
		cmocka_unit_test(the_nth_allocation_fails_once),
		cmocka_unit_test(a_failed_realloc_leaves_the_block_as_it_was),
		cmocka_unit_test(a_block_may_die_on_another_thread_than_its_makers),
		cmocka_unit_test(a_scene_is_run_once_for_each_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
