/* Random bytes: fresh in every call and on every thread, and no number more often than another. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/random.h"

enum { NUMBERS = 20000, THREADS = 4 };

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void *draw(void *arg)
{
	uint64_t *numbers = arg;

	for (int i = 0; i < NUMBERS; i++)
		numbers[i] = random_u64();
	return NULL;
}

/* Each thread has a buffer of its own: two that began alike would give the same branches. */
static void no_number_comes_twice_on_whatever_thread(void **state)
{
	uint64_t *numbers = calloc(THREADS * NUMBERS, sizeof(*numbers));
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, draw, numbers + i * NUMBERS), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	qsort(numbers, THREADS * NUMBERS, sizeof(*numbers), compare);
	for (int i = 1; i < THREADS * NUMBERS; i++)
		assert_true(numbers[i - 1] != numbers[i]);
	free(numbers);
}

static void any_length_is_filled_and_nothing_behind_it(void **state)
{
	static const size_t lengths[] = {0, 1, 7, 8, 31, 256, 5000};
	uint8_t bytes[5016], before[5016];

	for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++) {
		size_t length = lengths[i];

		memset(bytes, 0xa5, sizeof(bytes));
		random_bytes(bytes, length);
		memcpy(before, bytes, sizeof(bytes));
		for (size_t j = length; j < sizeof(bytes); j++)
			assert_int_equal(bytes[j], 0xa5);
		random_bytes(bytes, length);
		if (length >= 8)
			assert_memory_not_equal(bytes, before, length);
	}
}

static void below_a_limit_all_come_about_equally_often(void **state)
{
	unsigned seen[7] = {0};

	for (int i = 0; i < 70000; i++) {
		uint32_t number = random_below(7);

		assert_in_range(number, 0, 6);
		seen[number]++;
	}
	for (int i = 0; i < 7; i++) /* ten standard deviations */
		assert_in_range(seen[i], 9000, 11000);
	assert_int_equal(random_below(1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_number_comes_twice_on_whatever_thread),
		cmocka_unit_test(any_length_is_filled_and_nothing_behind_it),
		cmocka_unit_test(below_a_limit_all_come_about_equally_often),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
