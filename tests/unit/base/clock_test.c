#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "support/fake_clock.h"

static void real_time_goes_forward(void **state)
{
	uint64_t before = clock_now_us();

	assert_true(before > 0);
	for (int i = 0; i < 1000; i++) {
		uint64_t now = clock_now_us();

		assert_true(now >= before);
		before = now;
	}
	assert_false(clock_is_fake());
}

static void fake_time_stands_until_it_is_moved(void **state)
{
	fake_clock_set_ms(5000);
	assert_true(clock_is_fake());
	assert_int_equal(clock_now_us(), 5000000);
	assert_int_equal(clock_now_ms(), 5000);
	fake_clock_advance_ms(250);
	assert_int_equal(clock_now_ms(), 5250);
	fake_clock_off();
	assert_false(clock_is_fake());
}

static void wall_time_is_written_as_rfc_3339_says(void **state)
{
	char text[25];

	clock_format_wall(0, text, sizeof(text));
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	clock_format_wall(UINT64_C(1795376645007), text, sizeof(text));
	assert_string_equal(text, "2026-11-22T19:44:05.007Z");
	clock_format_wall(UINT64_C(951782400999), text, sizeof(text));
	assert_string_equal(text, "2000-02-29T00:00:00.999Z");
}

static void random_numbers_below_a_limit_stay_below_and_reach_all(void **state)
{
	unsigned seen[7] = {0};

	for (int i = 0; i < 7000; i++)
		seen[random_below(7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(seen[i], 700, 1300); /* 1000 each, ten deviations wide */
	assert_int_equal(random_below(1), 0);
}

static void random_bytes_differ_and_fill_any_length(void **state)
{
	unsigned char bytes[2000] = {0};
	unsigned zeros = 0;

	for (size_t length = 1; length < sizeof(bytes); length += 133)
		random_bytes(bytes, length);
	random_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		zeros += bytes[i] == 0;
	assert_true(zeros < 60); /* eight expected */
	random_bytes(bytes, 0);
	assert_true(random_u64() != random_u64());
}

static void errors_have_words_whatever_the_sign(void **state)
{
	assert_string_equal(error_text(-ECONNREFUSED), "connection refused");
	assert_string_equal(error_text(ECONNREFUSED), "connection refused");
	assert_string_equal(error_text(-ENOMEM), "cannot allocate memory");
	assert_string_equal(error_text(-100000), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_time_goes_forward),
		cmocka_unit_test(fake_time_stands_until_it_is_moved),
		cmocka_unit_test(wall_time_is_written_as_rfc_3339_says),
		cmocka_unit_test(random_numbers_below_a_limit_stay_below_and_reach_all),
		cmocka_unit_test(random_bytes_differ_and_fill_any_length),
		cmocka_unit_test(errors_have_words_whatever_the_sign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
