#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/address.h"
#include "base/error.h"

static struct address parsed(const char *text)
{
	struct address address;

	if (!address_parse(slice_from_string(text), &address))
		fail_msg("not an address: %s", text);
	return address;
}

static void literals_are_written_in_their_one_spelling(void **state)
{
	static const char *const rows[][2] = {
		{"192.0.2.1:5060", "192.0.2.1:5060"},
		{"0.0.0.0:0", "0.0.0.0:0"},
		{"[2001:DB8:0:0:0:0:0:1]:65535", "[2001:db8::1]:65535"},
		{"[::]:5060", "[::]:5060"},
		{"[2001:db8:0:1:1:1:1:1]:1", "[2001:db8:0:1:1:1:1:1]:1"}, /* RFC 5952 4.2.2 */
		{"[2001:0:0:1:0:0:0:1]:1", "[2001:0:0:1::1]:1"},          /* 4.2.3, the longest */
		{"[2001:db8:0:0:1:0:0:1]:1", "[2001:db8::1:0:0:1]:1"},    /* 4.2.3, the first */
		{"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.1]:1"},         /* 5 */
		{"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
	         "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	};
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		struct address address = parsed(rows[i][0]);

		assert_string_equal(address_format(&address, text), rows[i][1]);
	}
}

static void what_is_no_literal_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		":",
		"192.0.2.1",
		"192.0.2.1:",
		"192.0.2.1:65536",
		"192.0.2.1:-1",
		"192.0.2:1",
		"192.0.2.1.:1",
		"192.0..1:1",
		"192.0.2.256:1",
		"192.0.2.01:1",
		"[192.0.2.1]:1",
		"2001:db8::1:5060",
		"[2001:db8::1]",
		"[2001:db8::1]5060",
		"[fe80::1%eth0]:1",
		"[]:1",
		"[:1",
		"example.net:5060",
		"[2001:db8::1::2]:1",
		" 192.0.2.1:1",
		"192.0.2.1:1 ",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1",
	};
	struct address address;

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		if (address_parse(slice_from_string(bad[i]), &address))
			fail_msg("taken for an address: %s", bad[i]);
	assert_false(address_parse_host((struct slice){"192.0.2.1\0", 10}, 1, &address));
	assert_true(address_parse_host(SLICE_LITERAL("2001:db8::1"), 5061, &address));
	assert_int_equal(address_port(&address), 5061);
	assert_true(address_parse_host(SLICE_LITERAL("[2001:db8::1]"), 1, &address));
}

static void the_port_is_part_of_equality_and_hash(void **state)
{
	struct address a = parsed("192.0.2.1:5060"), b = a, six = parsed("[2001:db8::1]:5060");

	assert_true(address_equal(&a, &b));
	assert_int_equal(address_hash(&a), address_hash(&b));
	address_set_port(&b, 5061);
	assert_false(address_equal(&a, &b));
	assert_true(address_equal_host(&a, &b));
	assert_int_not_equal(address_hash(&a), address_hash(&b));
	assert_false(address_equal_host(&a, &six));
	b = six;
	assert_true(address_equal(&b, &six));
	b.v6.sin6_flowinfo = 7; /* the kernel may fill it; it names no other peer */
	assert_true(address_equal(&b, &six));
	assert_int_equal(address_hash(&b), address_hash(&six));
}

static void a_mapped_peer_has_one_spelling(void **state)
{
	struct address mapped = parsed("[::ffff:192.0.2.1]:5060"), four = parsed("192.0.2.1:5060");
	struct address six = parsed("[2001:db8::1]:1"), before = six;

	address_normalise(&mapped);
	assert_true(address_equal(&mapped, &four));
	assert_int_equal(address_length(&mapped), sizeof(struct sockaddr_in));
	address_normalise(&six);
	assert_true(address_equal(&six, &before));
	assert_int_equal(address_length(&six), sizeof(struct sockaddr_in6));
}

static void nothing_is_an_address_too(void **state)
{
	struct address none = {.family = AF_UNSPEC};
	char text[ADDRESS_TEXT_MAX];

	assert_int_equal(address_length(&none), 0);
	assert_int_equal(address_port(&none), 0);
	assert_false(address_is_wildcard(&none));
	assert_true(address_equal(&none, &none));
	assert_string_equal(address_format(&none, text), "none");
}

static void wildcards_are_known(void **state)
{
	struct address four = parsed("0.0.0.0:1"), six = parsed("[::]:1"), one = parsed("[::1]:1");

	assert_true(address_is_wildcard(&four));
	assert_true(address_is_wildcard(&six));
	assert_false(address_is_wildcard(&one));
}

static void ranges_contain_what_shares_their_bits(void **state)
{
	static const struct {
		const char *range, *address;
		bool inside;
	} rows[] = {
		{"10.0.0.0/16", "10.0.255.255:1", true},
		{"10.0.0.0/16", "10.1.0.0:1", false},
		{"192.0.2.0/28", "192.0.2.15:1", true},
		{"192.0.2.0/28", "192.0.2.16:1", false},
		{"192.0.2.7", "192.0.2.7:9", true},
		{"192.0.2.7", "192.0.2.6:9", false},
		{"0.0.0.0/0", "203.0.113.9:1", true},
		{"0.0.0.0/0", "[2001:db8::1]:1", false},
		{"10.0.0.0/16", "[::ffff:10.0.3.3]:1", true},
		{"2001:db8::/33", "[2001:db8:7fff::1]:1", true},
		{"2001:db8::/33", "[2001:db8:8000::1]:1", false},
		{"[2001:db8::1]", "[2001:db8::1]:1", true},
		{"::1/128", "[::1]:1", true},
		{"::ffff:10.0.0.0/112", "10.0.255.255:1", true},
		{"::ffff:10.0.0.0/112", "10.1.0.0:1", false},
		{"::ffff:192.0.2.7", "192.0.2.7:9", true},
		{"::ffff:192.0.2.7", "192.0.2.6:9", false},
	};

	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		struct address address = parsed(rows[i].address);
		struct address_range range;

		assert_true(address_range_parse(slice_from_string(rows[i].range), &range));
		assert_int_equal(address_range_contains(&range, &address), rows[i].inside);
	}
}

static void a_range_has_no_more_bits_than_its_address(void **state)
{
	static const char *const bad[] = {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8",
	                                  "::/129",      "net/8",     "/8",          ""};
	struct address_range range;

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		assert_false(address_range_parse(slice_from_string(bad[i]), &range));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_are_written_in_their_one_spelling),
		cmocka_unit_test(what_is_no_literal_is_refused),
		cmocka_unit_test(the_port_is_part_of_equality_and_hash),
		cmocka_unit_test(a_mapped_peer_has_one_spelling),
		cmocka_unit_test(nothing_is_an_address_too),
		cmocka_unit_test(wildcards_are_known),
		cmocka_unit_test(ranges_contain_what_shares_their_bits),
		cmocka_unit_test(a_range_has_no_more_bits_than_its_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
