/* The token of our own subscriptions: what it carries, whose dialog it is of, and who cannot write one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sip/peer_token.h"
#include "sip/watch_token.h"

#define CALL SLICE_LITERAL("reg-00112233445566778899aabbccddeeff")

static const struct watch_token token = {3, 0x65432100, 0x0102030405060708};

static int setup(void **state)
{
	static const uint8_t key[32] = {4, 5, 6};

	flow_token_key_set(key);
	return 0;
}

static void token_says_what_was_written(void **state)
{
	char text[WATCH_TOKEN_TEXT_MAX];
	struct watch_token read;
	size_t length = watch_token_write(&token, CALL, text);

	assert_int_equal(length, strlen(text));
	assert_int_equal(watch_token_read(slice_from_string(text), CALL, &read), FLOW_TOKEN_VALID);
	assert_int_equal(read.worker, 3);
	assert_int_equal(read.epoch, token.epoch);
	assert_true(read.id == token.id);
}

static void token_is_of_one_dialog(void **state)
{
	char text[WATCH_TOKEN_TEXT_MAX];
	struct watch_token read;

	watch_token_write(&token, CALL, text);
	assert_int_equal(watch_token_read(slice_from_string(text), SLICE_LITERAL("other"), &read),
	                 FLOW_TOKEN_FORGED);
	assert_int_equal(watch_token_read(slice_from_string(text), SLICE_NONE, &read),
	                 FLOW_TOKEN_FORGED);
}

static void every_letter_counts(void **state)
{
	char text[WATCH_TOKEN_TEXT_MAX];
	struct watch_token read;
	size_t length = watch_token_write(&token, CALL, text);

	for (size_t i = 0; i < length; i++) {
		char kept = text[i];

		text[i] = kept == 'x' ? 'y' : 'x';
		assert_int_not_equal(watch_token_read(slice_from_string(text), CALL, &read),
		                     FLOW_TOKEN_VALID);
		text[i] = '@';
		assert_int_equal(watch_token_read(slice_from_string(text), CALL, &read),
		                 FLOW_TOKEN_NOT_OURS);
		text[i] = kept;
	}
	assert_int_equal(watch_token_read(slice_of(text, length - 1), CALL, &read),
	                 FLOW_TOKEN_NOT_OURS);
}

static void no_kind_of_token_is_taken_for_another(void **state)
{
	struct flow_token flow = {.node = 1, .flow = 2, .epoch = 3};
	char text[WATCH_TOKEN_TEXT_MAX], flow_text[FLOW_TOKEN_TEXT_MAX];
	struct watch_token read;
	struct flow_token read_flow;

	watch_token_write(&token, CALL, text);
	flow_token_write(&flow, flow_text);
	assert_int_equal(watch_token_read(slice_from_string(flow_text), CALL, &read),
	                 FLOW_TOKEN_NOT_OURS);
	assert_int_equal(flow_token_read(slice_from_string(text), &read_flow), FLOW_TOKEN_NOT_OURS);
	assert_false(peer_token_has_form(slice_from_string(text)));
}

static void another_key_writes_another_token(void **state)
{
	static const uint8_t key[32] = {9};
	char text[WATCH_TOKEN_TEXT_MAX];
	struct watch_token read;

	watch_token_write(&token, CALL, text);
	flow_token_key_set(key);
	assert_int_equal(watch_token_read(slice_from_string(text), CALL, &read), FLOW_TOKEN_FORGED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(token_says_what_was_written, setup),
		cmocka_unit_test_setup(token_is_of_one_dialog, setup),
		cmocka_unit_test_setup(every_letter_counts, setup),
		cmocka_unit_test_setup(no_kind_of_token_is_taken_for_another, setup),
		cmocka_unit_test_setup(another_key_writes_another_token, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
