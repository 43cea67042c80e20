#include "sip/guard.h"

#include "base/buffer.h"
#include "support/alloc_fail.h"
#include "support/sip_text.h"

static enum guard_verdict check(const char *text)
{
	struct slice bytes = sip_text(text);
	enum guard_verdict verdict = guard_check(bytes, SIP_TEXT_LIMIT);

	free((char *)bytes.data);
	return verdict;
}

/* "OPTIONS ...", then `count` times `piece`, then the end. */
static enum guard_verdict check_many(const char *before, const char *piece, unsigned count)
{
	enum guard_verdict verdict;
	struct buffer buffer;

	buffer_init(&buffer);
	buffer_append_string(&buffer, "OPTIONS sip:a SIP/2.0\r\n");
	buffer_append_string(&buffer, before);
	for (unsigned i = 0; i < count; i++)
		buffer_append_string(&buffer, piece);
	buffer_append_string(&buffer, "\r\n\r\n");
	verdict = guard_check(buffer_slice(&buffer), SIP_TEXT_LIMIT);
	buffer_free(&buffer);
	return verdict;
}

static void an_ordinary_message_passes(void **state)
{
	assert_int_equal(check("OPTIONS sip:a SIP/2.0\nVia: x\nTo: y\n z\n\nbody\n"), GUARD_PASS);
}

static void each_limit_holds_to_the_item(void **state)
{
	/* The last piece takes its line end from the end of the message. */
	assert_int_equal(check_many("", "a:b\r\n", GUARD_HEADER_LINES - 1), GUARD_PASS);
	assert_int_equal(check_many("", "a:b\r\n", GUARD_HEADER_LINES), GUARD_PASS);
	assert_int_equal(check_many("", "a:b\r\n", GUARD_HEADER_LINES + 1), GUARD_TOO_MANY_HEADERS);
	assert_int_equal(check_many("m:", ",", GUARD_HEADER_COMMAS), GUARD_PASS);
	assert_int_equal(check_many("m:", ",", GUARD_HEADER_COMMAS + 1), GUARD_TOO_MANY_ITEMS);
	assert_int_equal(check_many("m:", "x", GUARD_HEADER_BYTES - 4), GUARD_PASS);
	assert_int_equal(check_many("m:", "x", GUARD_HEADER_BYTES - 3), GUARD_HEADER_TOO_LONG);
}

static void folds_count_with_their_header(void **state)
{
	assert_int_equal(check_many("m:x", "\r\n ,,,,", GUARD_HEADER_COMMAS / 4), GUARD_PASS);
	assert_int_equal(check_many("m:x", "\r\n ,,,,", GUARD_HEADER_COMMAS / 4 + 1),
	                 GUARD_TOO_MANY_ITEMS);
	assert_int_equal(check_many("m:x", "\r\n         ", 1000), GUARD_HEADER_TOO_LONG);
	assert_int_equal(check_many("m:x\r\n", "n:y\r\n z\r\n", 150), GUARD_PASS);
}

static void line_ends_that_split_opinions_are_refused(void **state)
{
	struct slice nul = slice_of("A b c\r\nX: \0\r\n\r\n", 15);

	assert_int_equal(guard_check(SLICE_LITERAL("A b c\r\nX: a\rY: b\r\n\r\n"), 100),
	                 GUARD_BARE_CR);
	assert_int_equal(guard_check(SLICE_LITERAL("A b c\r\nX: a\r\r\n\r\n"), 100), GUARD_BARE_CR);
	assert_int_equal(guard_check(SLICE_LITERAL("A b c\r\nX: a\nY: b\r\n\r\n"), 100),
	                 GUARD_BARE_LF);
	assert_int_equal(guard_check(SLICE_LITERAL("A b c\n\n"), 100), GUARD_BARE_LF);
	assert_int_equal(guard_check(SLICE_LITERAL("A b c\r\nX: a\r\n"), 100), GUARD_NO_END);
	assert_int_equal(guard_check(SLICE_LITERAL("A b c"), 100), GUARD_NO_END);
	assert_int_equal(guard_check(SLICE_NONE, 100), GUARD_NO_END);
	assert_int_equal(guard_check(nul, 100), GUARD_NUL);
}

static void the_body_may_hold_anything(void **state)
{
	assert_int_equal(guard_check(slice_of("A b c\r\n\r\n\0\r\n\n,,,,\r", 20), 100), GUARD_PASS);
}

static void the_size_limit_is_the_callers(void **state)
{
	struct slice bytes = SLICE_LITERAL("A b c\r\n\r\n");

	assert_int_equal(guard_check(bytes, bytes.length), GUARD_PASS);
	assert_int_equal(guard_check(bytes, bytes.length - 1), GUARD_TOO_LARGE);
}

static void every_verdict_has_a_name_of_its_own(void **state)
{
	for (int i = 0; i < GUARD_VERDICTS; i++) {
		assert_non_null(guard_verdict_name((enum guard_verdict)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(guard_verdict_name((enum guard_verdict)i),
			                        guard_verdict_name((enum guard_verdict)j));
	}
	assert_string_equal(guard_verdict_name(GUARD_TOO_MANY_HEADERS), "too_many_headers");
}

static void guard_scene(void *arg)
{
	assert_int_equal(check("OPTIONS sip:a SIP/2.0\nVia: x\n\n"), GUARD_PASS);
}

static void the_guard_allocates_nothing(void **state)
{
	assert_int_equal(alloc_fail_each(guard_scene, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ordinary_message_passes),
		cmocka_unit_test(each_limit_holds_to_the_item),
		cmocka_unit_test(folds_count_with_their_header),
		cmocka_unit_test(line_ends_that_split_opinions_are_refused),
		cmocka_unit_test(the_body_may_hold_anything),
		cmocka_unit_test(the_size_limit_is_the_callers),
		cmocka_unit_test(every_verdict_has_a_name_of_its_own),
		cmocka_unit_test(the_guard_allocates_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
