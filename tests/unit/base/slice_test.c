#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/slice.h"
#include "support/alloc_fail.h"

#define L(text) SLICE_LITERAL(text)

static void assert_slice(struct slice s, const char *text)
{
	assert_int_equal(s.length, strlen(text));
	if (s.length > 0)
		assert_memory_equal(s.data, text, s.length);
}

static void equality_minds_case_and_nocase_folds_ascii_only(void **state)
{
	assert_true(slice_equal(L("Via"), L("Via")));
	assert_false(slice_equal(L("Via"), L("via")));
	assert_false(slice_equal(L("Via"), L("Vi")));
	assert_true(slice_equal(SLICE_NONE, L("")));
	assert_true(slice_equal_nocase(L("CSeq"), L("csEQ")));
	assert_false(slice_equal_nocase(L("CSeq"), L("CSeqs")));
	/* '@' and '`', '[' and '{' differ in the same bit as letters do */
	assert_false(slice_equal_nocase(L("@["), L("`{")));
	assert_false(slice_equal_nocase(L("\xc3\x84"), L("\xc3\xa4")));
}

static void prefix_is_found_only_at_the_start(void **state)
{
	assert_true(slice_starts_with(L("sip:alice"), L("sip:")));
	assert_false(slice_starts_with(L("sip:alice"), L("SIP:")));
	assert_true(slice_starts_with_nocase(L("sip:alice"), L("SIP:")));
	assert_false(slice_starts_with(L("si"), L("sip:")));
	assert_true(slice_starts_with(SLICE_NONE, L("")));
}

static void index_finds_the_first_byte_or_says_minus_one(void **state)
{
	assert_int_equal(slice_index(L("a;b;c"), ';'), 1);
	assert_int_equal(slice_index(L("abc"), ';'), -1);
	assert_int_equal(slice_index(SLICE_NONE, ';'), -1);
}

static void skipping_more_than_there_is_leaves_nothing(void **state)
{
	assert_slice(slice_skip(L("abc"), 1), "bc");
	assert_slice(slice_skip(L("abc"), 3), "");
	assert_slice(slice_skip(L("abc"), 99), "");
	assert_slice(slice_skip(SLICE_NONE, 1), "");
}

static void trimming_takes_blanks_at_both_ends_and_none_within(void **state)
{
	assert_slice(slice_trim(L(" \t\r\n a b \r\n")), "a b");
	assert_slice(slice_trim(L(" \t ")), "");
	assert_slice(slice_trim(SLICE_NONE), "");
}

static void splitting_walks_a_list_to_its_end(void **state)
{
	struct slice rest = L("a,,b");

	assert_slice(slice_split(rest, ',', &rest), "a");
	assert_slice(slice_split(rest, ',', &rest), "");
	assert_slice(slice_split(rest, ',', &rest), "b");
	assert_true(slice_is_empty(rest));
	assert_slice(slice_split(rest, ',', &rest), "");
}

static void numbers_keep_to_their_maximum(void **state)
{
	uint64_t n = 7;

	assert_true(slice_to_uint(L("0"), 70, &n));
	assert_int_equal(n, 0);
	assert_true(slice_to_uint(L("070"), 70, &n));
	assert_int_equal(n, 70);
	assert_false(slice_to_uint(L("71"), 70, &n));
	assert_false(slice_to_uint(L("700"), 70, &n));
	assert_false(slice_to_uint(L("5"), 4, &n));
	assert_int_equal(n, 70);
	assert_true(slice_to_uint(L("18446744073709551615"), UINT64_MAX, &n));
	assert_true(n == UINT64_MAX);
	assert_false(slice_to_uint(L("18446744073709551616"), UINT64_MAX, &n));
	assert_false(slice_to_uint(L("99999999999999999999999"), UINT64_MAX, &n));
}

static void what_is_not_only_digits_is_no_number(void **state)
{
	const struct slice bad[] = {L(""),
	                            L("-1"),
	                            L("+1"),
	                            L(" 1"),
	                            L("1 "),
	                            L("0x1"),
	                            L("1a"),
	                            L("\xb2"),
	                            {"1\0"
	                             "2",
	                             3}};
	uint64_t n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(slice_to_uint(bad[i], UINT64_MAX, &n));
}

static void copy_scene(void *arg)
{
	char *text = slice_to_string(L("abcd"));

	if (text != NULL)
		assert_string_equal(text, "abcd");
	memory_free(text);
}

static void a_copy_ends_with_nul_or_is_null_when_memory_ends(void **state)
{
	char *text = slice_to_string(SLICE_NONE);

	assert_string_equal(text, "");
	memory_free(text);
	assert_int_equal(alloc_fail_each(copy_scene, NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equality_minds_case_and_nocase_folds_ascii_only),
		cmocka_unit_test(prefix_is_found_only_at_the_start),
		cmocka_unit_test(index_finds_the_first_byte_or_says_minus_one),
		cmocka_unit_test(skipping_more_than_there_is_leaves_nothing),
		cmocka_unit_test(trimming_takes_blanks_at_both_ends_and_none_within),
		cmocka_unit_test(splitting_walks_a_list_to_its_end),
		cmocka_unit_test(numbers_keep_to_their_maximum),
		cmocka_unit_test(what_is_not_only_digits_is_no_number),
		cmocka_unit_test(a_copy_ends_with_nul_or_is_null_when_memory_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
