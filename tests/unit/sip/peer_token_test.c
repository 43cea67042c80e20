/* The peer token: what it carries, whose dialog it is of, and who cannot write one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sip/peer_token.h"

#define CALL SLICE_LITERAL("a84b4c76e66710@192.0.2.5")

static struct peer_token token_of(const char *address)
{
	struct peer_token token = {.kind = PEER_TOKEN_PBX,
	                           .transport = TRANSPORT_TCP,
	                           .worker = 3,
	                           .listener = 2,
	                           .local = 9,
	                           .epoch = 0x65432100,
	                           .connection = 0x0102030405060708};

	assert_true(address_parse(slice_from_string(address), &token.address));
	return token;
}

static int setup(void **state)
{
	static const uint8_t key[32] = {4, 5, 6};

	flow_token_key_set(key);
	return 0;
}

static void token_says_what_was_written(void **state)
{
	static const char *const addresses[] = {"192.0.2.5:5070", "[2001:db8::7]:5061"};

	for (unsigned i = 0; i < 2; i++) {
		struct peer_token token = token_of(addresses[i]), read;
		char text[PEER_TOKEN_TEXT_MAX];
		size_t length = peer_token_write(&token, CALL, text);

		assert_int_equal(length, strlen(text));
		assert_true(peer_token_has_form(slice_from_string(text)));
		assert_int_equal(peer_token_read(slice_from_string(text), CALL, &read),
		                 FLOW_TOKEN_VALID);
		assert_int_equal(read.kind, PEER_TOKEN_PBX);
		assert_int_equal(read.transport, TRANSPORT_TCP);
		assert_int_equal(read.worker, 3);
		assert_int_equal(read.listener, 2);
		assert_int_equal(read.local, 9);
		assert_int_equal(read.epoch, token.epoch);
		assert_true(read.connection == token.connection);
		assert_true(address_equal(&read.address, &token.address));
	}
}

static void token_is_of_one_dialog(void **state)
{
	struct peer_token token = token_of("192.0.2.5:5070"), read;
	char text[PEER_TOKEN_TEXT_MAX];

	peer_token_write(&token, CALL, text);
	assert_int_equal(peer_token_read(slice_from_string(text), SLICE_LITERAL("another"), &read),
	                 FLOW_TOKEN_FORGED);
	assert_int_equal(peer_token_read(slice_from_string(text), SLICE_NONE, &read),
	                 FLOW_TOKEN_FORGED);
}

static void every_letter_counts(void **state)
{
	struct peer_token token = token_of("192.0.2.5:5070"), read;
	char text[PEER_TOKEN_TEXT_MAX];
	size_t length = peer_token_write(&token, CALL, text);

	for (size_t i = 0; i < length; i++) {
		char was = text[i];

		text[i] = was == 'Q' ? 'R' : 'Q';
		assert_int_not_equal(peer_token_read(slice_from_string(text), CALL, &read),
		                     FLOW_TOKEN_VALID);
		text[i] = was;
	}
}

static void other_words_are_not_ours(void **state)
{
	struct flow_token flow = {.node = 1, .flow = 2}, flow_read;
	struct peer_token token = token_of("192.0.2.5:5070"), read;
	char text[PEER_TOKEN_TEXT_MAX], flow_text[FLOW_TOKEN_TEXT_MAX];

	flow_token_write(&flow, flow_text);
	peer_token_write(&token, CALL, text);
	assert_int_equal(peer_token_read(slice_from_string(flow_text), CALL, &read),
	                 FLOW_TOKEN_NOT_OURS);
	assert_int_equal(flow_token_read(slice_from_string(text), &flow_read), FLOW_TOKEN_NOT_OURS);
	assert_int_equal(peer_token_read(SLICE_LITERAL("alice"), CALL, &read), FLOW_TOKEN_NOT_OURS);
	assert_int_equal(peer_token_read(SLICE_NONE, CALL, &read), FLOW_TOKEN_NOT_OURS);
	text[5] = '%';
	assert_int_equal(peer_token_read(slice_from_string(text), CALL, &read),
	                 FLOW_TOKEN_NOT_OURS);
}

static void a_token_of_another_key_is_forged(void **state)
{
	static const uint8_t other[32] = {7};
	struct peer_token token = token_of("192.0.2.5:5070"), read;
	char text[PEER_TOKEN_TEXT_MAX];

	peer_token_write(&token, CALL, text);
	flow_token_key_set(other);
	assert_int_equal(peer_token_read(slice_from_string(text), CALL, &read), FLOW_TOKEN_FORGED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(token_says_what_was_written, setup),
		cmocka_unit_test_setup(token_is_of_one_dialog, setup),
		cmocka_unit_test_setup(every_letter_counts, setup),
		cmocka_unit_test_setup(other_words_are_not_ours, setup),
		cmocka_unit_test_setup(a_token_of_another_key_is_forged, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
