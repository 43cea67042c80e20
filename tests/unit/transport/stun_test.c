/* STUN Binding by the vectors of RFC 5769 and by what a stranger may send instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "transport/stun.h"

/* RFC 5769 2.1: a Binding request of an ICE agent. */
static const uint8_t sample_request[108] =
	"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
	"\x80\x22\x00\x10STUN test client"
	"\x00\x24\x00\x04\x6e\x00\x01\xff"
	"\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36"
	"\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20"
	"\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5"
	"\x71"
	"\xa2"
	"\x80\x28\x00\x04\xe5\x7a\x3b\xcf";
#define SAMPLE_ID "\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"

/* A request without attributes. */
static const uint8_t bare_request[20] = "\x00\x01\x00\x00" SAMPLE_ID;

static struct address source_of(const char *text)
{
	struct address source;

	assert_true(address_parse(slice_from_string(text), &source));
	return source;
}

static enum stun_result ask(const void *request, size_t length, const char *from,
                            uint8_t out[STUN_ANSWER_MAX], size_t *out_length)
{
	struct address source = source_of(from);
	/* on the heap, so that a sanitizer sees every byte too far */
	char *copy = test_malloc(length + 1);
	enum stun_result result;

	memcpy(copy, request, length);
	result = stun_answer(slice_of(copy, length), &source, out, out_length);
	test_free(copy);
	return result;
}

#define assert_silence(request, length, why)                                                       \
	do {                                                                                       \
		uint8_t silent_out[STUN_ANSWER_MAX];                                               \
		size_t silent_length = 1;                                                          \
		assert_int_equal(ask(request, length, "192.0.2.1:32853", silent_out,               \
		                     &silent_length),                                              \
		                 why);                                                             \
		assert_int_equal(silent_length, 0);                                                \
	} while (0)

/* RFC 5769 2.2 has this address in this transaction. */
static void a_client_on_ipv4_learns_its_address(void **state)
{
	static const uint8_t expected[32] =
		"\x01\x01\x00\x0c" SAMPLE_ID "\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43";
	uint8_t out[STUN_ANSWER_MAX];
	size_t length;

	assert_int_equal(ask(bare_request, 20, "192.0.2.1:32853", out, &length), STUN_ANSWERED);
	assert_int_equal(length, sizeof(expected));
	assert_memory_equal(out, expected, sizeof(expected));
}

/* RFC 5769 2.3. */
static void a_client_on_ipv6_learns_its_address(void **state)
{
	static const uint8_t expected[44] =
		"\x01\x01\x00\x18" SAMPLE_ID "\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5"
		"\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";
	uint8_t out[STUN_ANSWER_MAX];
	size_t length;

	assert_int_equal(ask(bare_request, 20, "[2001:db8:1234:5678:11:2233:4455:6677]:32853", out,
	                     &length),
	                 STUN_ANSWERED);
	assert_int_equal(length, sizeof(expected));
	assert_memory_equal(out, expected, sizeof(expected));
}

static void the_sample_request_is_refused_for_its_priority(void **state)
{
	static const uint8_t expected[56] =
		"\x01\x11\x00\x2c" SAMPLE_ID
		"\x00\x09\x00\x15\x00\x00\x04\x14Unknown Attribute\0\0\0"
		"\x00\x0a\x00\x02\x00\x24\x00\x00";
	uint8_t out[STUN_ANSWER_MAX];
	size_t length;

	assert_int_equal(ask(sample_request, 108, "192.0.2.1:32853", out, &length), STUN_REFUSED);
	assert_int_equal(length, sizeof(expected) + 8);
	assert_memory_equal(out, expected, 2);
	assert_int_equal(out[3], sizeof(expected) + 8 - 20);
	assert_memory_equal(out + 4, expected + 4, sizeof(expected) - 4);
	assert_memory_equal(out + 56, "\x80\x28\x00\x04", 4);
}

static void a_fingerprint_is_answered_by_one_that_fits(void **state)
{
	uint8_t out[STUN_ANSWER_MAX], again[STUN_ANSWER_MAX], request[28];
	size_t length, again_length;

	/* both sums made by zlib */
	memcpy(request, "\x00\x01\x00\x08" SAMPLE_ID "\x80\x28\x00\x04\xfd\xf6\xae\x02", 28);
	assert_int_equal(ask(request, 28, "192.0.2.1:32853", out, &length), STUN_ANSWERED);
	assert_int_equal(length, 40);
	assert_memory_equal(out + 32, "\x80\x28\x00\x04", 4);
	assert_memory_equal(out + 36, "\x7d\x28\x1f\x59", 4);
	request[27] ^= 1;
	assert_int_equal(ask(request, 28, "192.0.2.1:32853", again, &again_length),
	                 STUN_BAD_FINGERPRINT);
	assert_int_equal(again_length, 0);
}

static void a_fingerprint_that_is_wrong_or_not_the_last_is_dropped(void **state)
{
	uint8_t request[112];

	memcpy(request, sample_request, 108);
	request[30] ^= 0x20; /* in the name of its software */
	assert_silence(request, 108, STUN_BAD_FINGERPRINT);
	memcpy(request, sample_request, 108);
	memcpy(request + 108, "\x80\x22\x00\x00", 4);
	request[3] += 4;
	assert_silence(request, 112, STUN_BAD_FINGERPRINT);
}

static void only_a_binding_request_is_answered(void **state)
{
	static const struct {
		uint16_t type;
		enum stun_result why;
	} others[] = {
		{0x0011, STUN_NO_REQUEST},   /* Binding indication */
		{0x0101, STUN_NO_REQUEST},   /* Binding success */
		{0x0111, STUN_NO_REQUEST},   /* Binding error */
		{0x0002, STUN_OTHER_METHOD}, /* shared secret of RFC 3489 */
		{0x0003, STUN_OTHER_METHOD}, /* Allocate of RFC 8656 */
		{0x0000, STUN_OTHER_METHOD},
	};
	uint8_t request[20];

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		memcpy(request, bare_request, 20);
		request[0] = (uint8_t)(others[i].type >> 8);
		request[1] = (uint8_t)others[i].type;
		assert_silence(request, 20, others[i].why);
	}
}

static void lengths_that_do_not_fit_are_dropped(void **state)
{
	uint8_t request[32];

	for (size_t length = 0; length < 20; length++)
		assert_silence(bare_request, length, STUN_MALFORMED);
	memcpy(request, bare_request, 20);
	memset(request + 20, 0, 12);
	assert_silence(request, 24, STUN_MALFORMED); /* more than it says */
	request[3] = 4;
	assert_silence(request, 20, STUN_MALFORMED); /* less */
	request[3] = 3;
	assert_silence(request, 23, STUN_MALFORMED);
	request[3] = 4;
	memcpy(request + 20, "\x80\x22\x00\x01", 4); /* an attribute that ends behind the message */
	assert_silence(request, 24, STUN_MALFORMED);
	memcpy(request + 20, "\x80\x22\xff\xff", 4);
	assert_silence(request, 24, STUN_MALFORMED);
}

static void what_has_no_cookie_is_not_ours(void **state)
{
	uint8_t request[20];

	memcpy(request, bare_request, 20);
	request[4] ^= 1;
	assert_silence(request, 20, STUN_NO_COOKIE);
}

static void no_answer_is_much_longer_than_its_request(void **state)
{
	uint8_t request[20 + 4 * 40], out[STUN_ANSWER_MAX];
	size_t length;

	for (unsigned count = 0; count <= 40; count++) {
		memcpy(request, bare_request, 20);
		for (unsigned i = 0; i < count; i++)
			memcpy(request + 20 + 4 * i, ((uint8_t[]){0x7f, (uint8_t)i, 0x00, 0x00}),
			       4);
		request[3] = (uint8_t)(4 * count);
		assert_int_equal(ask(request, 20 + 4 * count, "[2001:db8::1]:1", out, &length),
		                 count == 0 ? STUN_ANSWERED : STUN_REFUSED);
		assert_true(length > 0 && length <= 20 + 4 * count + STUN_SURPLUS_MAX);
		assert_int_equal(length % 4, 0);
	}
}

static void sip_never_begins_like_stun(void **state)
{
	assert_true(stun_begins(slice_of("\x00\x01", 2)));
	assert_true(stun_begins(slice_of("\x01\x01", 2)));
	assert_false(stun_begins(SLICE_LITERAL("")));
	assert_false(stun_begins(SLICE_LITERAL("\r\n\r\n")));
	for (int c = 0x20; c < 0x7f; c++)
		assert_false(stun_begins(slice_of(((char[]){(char)c}), 1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_on_ipv4_learns_its_address),
		cmocka_unit_test(a_client_on_ipv6_learns_its_address),
		cmocka_unit_test(the_sample_request_is_refused_for_its_priority),
		cmocka_unit_test(a_fingerprint_is_answered_by_one_that_fits),
		cmocka_unit_test(a_fingerprint_that_is_wrong_or_not_the_last_is_dropped),
		cmocka_unit_test(only_a_binding_request_is_answered),
		cmocka_unit_test(lengths_that_do_not_fit_are_dropped),
		cmocka_unit_test(what_has_no_cookie_is_not_ours),
		cmocka_unit_test(no_answer_is_much_longer_than_its_request),
		cmocka_unit_test(sip_never_begins_like_stun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
