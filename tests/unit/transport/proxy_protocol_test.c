/* The PROXY protocol as a value: proxy-protocol.txt 2.1 and 2.2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "transport/proxy_protocol.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static enum proxy_protocol_verdict read_text(const char *text, struct proxy_protocol_header *out)
{
	return proxy_protocol_read(slice_from_string(text), out);
}

static void assert_address(const struct address *address, const char *wanted)
{
	char text[ADDRESS_TEXT_MAX];

	assert_string_equal(address_format(address, text), wanted);
}

static void assert_bad(const char *text)
{
	struct proxy_protocol_header header;

	if (read_text(text, &header) != PROXY_PROTOCOL_BAD)
		fail_msg("not refused: %s", text);
}

static void assert_nobody(const struct proxy_protocol_header *header)
{
	assert_int_equal(header->source.family, AF_UNSPEC);
	assert_int_equal(header->destination.family, AF_UNSPEC);
}

/* 16 bytes and `length` more of which `given` have come. */
static struct slice v2(char *to, unsigned command, unsigned family, size_t length, const void *body,
                       size_t given)
{
	memcpy(to, SIGNATURE, 12);
	to[12] = (char)command;
	to[13] = (char)family;
	to[14] = (char)(length >> 8);
	to[15] = (char)length;
	memcpy(to + 16, body, given);
	return slice_of(to, 16 + given);
}

static const unsigned char four[12] = {198, 51, 100, 7, 203, 0, 113, 9, 0x9c, 0x40, 0x13, 0xc6};

static void line_with_tcp4_names_the_client(void **state)
{
	struct proxy_protocol_header header;

	assert_int_equal(read_text("PROXY TCP4 198.51.100.7 203.0.113.9 40000 5062\r\nGET / ",
	                           &header),
	                 PROXY_PROTOCOL_DONE);
	assert_int_equal(header.length, 48);
	assert_address(&header.source, "198.51.100.7:40000");
	assert_address(&header.destination, "203.0.113.9:5062");
}

static void line_with_tcp6_names_the_client(void **state)
{
	struct proxy_protocol_header header;

	assert_int_equal(read_text("PROXY TCP6 2001:db8::7 2001:db8::1 40000 5062\r\n", &header),
	                 PROXY_PROTOCOL_DONE);
	assert_address(&header.source, "[2001:db8::7]:40000");
	assert_int_equal(read_text("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n", &header),
	                 PROXY_PROTOCOL_DONE);
	assert_address(&header.source, "192.0.2.1:1");
}

static void longest_line_of_the_specification_passes_and_one_byte_more_does_not(void **state)
{
	char text[200];
	struct proxy_protocol_header header;

	memset(text, 'x', sizeof(text));
	memcpy(text, "PROXY UNKNOWN ", 14);
	memcpy(text + 105, "\r\n", 3);
	assert_int_equal(read_text(text, &header), PROXY_PROTOCOL_DONE);
	assert_int_equal(header.length, 107);
	assert_nobody(&header);
	text[105] = 'x';
	memcpy(text + 106, "\r\n", 3);
	assert_bad(text);
	memset(text + 106, 'x', 50);
	assert_int_equal(proxy_protocol_read(slice_of(text, 106), &header), PROXY_PROTOCOL_MORE);
	assert_int_equal(header.length, 107);
	assert_int_equal(proxy_protocol_read(slice_of(text, 107), &header), PROXY_PROTOCOL_BAD);
}

static void line_that_is_not_to_the_letter_is_refused(void **state)
{
	assert_bad("GET / HTTP/1.1\r\n\r\n");
	assert_bad("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n");
	assert_bad("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n");
	assert_bad("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n");
	assert_bad("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n");
	assert_bad("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n");
	assert_bad("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n");
	assert_bad("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n");
	assert_bad("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n");
	assert_bad("PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n");
	assert_bad("PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n");
	assert_bad("PROXY TCP4 2001:db8::1 1.2.3.4 1 2\r\n");
	assert_bad("PROXY TCP6 [2001:db8::1] 2001:db8::1 1 2\r\n");
	assert_bad("PROXY TCP6 fe80::1%lo 2001:db8::1 1 2\r\n");
	assert_bad("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n");
	assert_bad("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n");
}

static void every_beginning_of_a_good_header_asks_for_more(void **state)
{
	static const char line[] = "PROXY TCP4 198.51.100.7 203.0.113.9 40000 5062\r\n";
	char text[64];
	struct proxy_protocol_header header;
	struct slice whole = v2(text, 0x21, 0x11, 12, four, 12);

	for (size_t n = 0; n < sizeof(line) - 1; n++) {
		assert_int_equal(proxy_protocol_read(slice_of(line, n), &header),
		                 PROXY_PROTOCOL_MORE);
		assert_int_equal(header.length, n + 1);
	}
	for (size_t n = 1; n < whole.length; n++) {
		assert_int_equal(proxy_protocol_read(slice_of(whole.data, n), &header),
		                 PROXY_PROTOCOL_MORE);
		assert_int_equal(header.length, n < 16 ? 16 : 28);
	}
}

static void binary_header_names_the_client(void **state)
{
	unsigned char six[36] = {0x20, 1,    0xd,      0xb8, [15] = 7, 0x20, 1,
	                         0xd,  0xb8, [31] = 1, 0x9c, 0x40,     0x13, 0xc6};
	char text[64];
	struct proxy_protocol_header header;

	assert_int_equal(proxy_protocol_read(v2(text, 0x21, 0x11, 12, four, 12), &header),
	                 PROXY_PROTOCOL_DONE);
	assert_int_equal(header.length, 28);
	assert_address(&header.source, "198.51.100.7:40000");
	assert_address(&header.destination, "203.0.113.9:5062");
	assert_int_equal(proxy_protocol_read(v2(text, 0x21, 0x21, 36, six, 36), &header),
	                 PROXY_PROTOCOL_DONE);
	assert_int_equal(header.length, 52);
	assert_address(&header.source, "[2001:db8::7]:40000");
	assert_address(&header.destination, "[2001:db8::1]:5062");
}

static void binary_header_may_carry_more_than_addresses(void **state)
{
	char body[12 + 300], text[16 + sizeof(body)];
	struct proxy_protocol_header header;

	memset(body, 0xee, sizeof(body));
	memcpy(body, four, 12);
	assert_int_equal(proxy_protocol_read(v2(text, 0x21, 0x11, sizeof(body), body, sizeof(body)),
	                                     &header),
	                 PROXY_PROTOCOL_DONE);
	assert_int_equal(header.length, sizeof(text));
	assert_address(&header.source, "198.51.100.7:40000");
}

static void balancer_that_speaks_for_itself_keeps_its_address(void **state)
{
	char text[64];
	struct proxy_protocol_header header;

	assert_int_equal(proxy_protocol_read(v2(text, 0x20, 0x00, 0, four, 0), &header),
	                 PROXY_PROTOCOL_DONE);
	assert_nobody(&header);
	assert_int_equal(proxy_protocol_read(v2(text, 0x20, 0x11, 12, four, 12), &header),
	                 PROXY_PROTOCOL_DONE);
	assert_int_equal(header.length, 28);
	assert_nobody(&header);
	assert_int_equal(proxy_protocol_read(v2(text, 0x21, 0x00, 0, four, 0), &header),
	                 PROXY_PROTOCOL_DONE);
	assert_nobody(&header);
	assert_int_equal(read_text("PROXY UNKNOWN\r\n", &header), PROXY_PROTOCOL_DONE);
	assert_int_equal(header.length, 15);
	assert_nobody(&header);
}

static void binary_header_that_breaks_a_rule_is_refused(void **state)
{
	char text[64];
	struct proxy_protocol_header header;
	const struct {
		unsigned command, family;
		size_t length;
	} cases[] = {
		{0x11, 0x11, 12}, /* version 1 in the binary form */
		{0x22, 0x11, 12}, /* unassigned command */
		{0x21, 0x41, 12}, /* unassigned family */
		{0x21, 0x13, 12}, /* unassigned protocol */
		{0x21, 0x11, 11}, /* too short for its addresses */
		{0x21, 0x21, 12}, {0x21, 0x11, PROXY_PROTOCOL_MAX_BYTES - 15},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const size_t given = cases[i].length < 12 ? cases[i].length : 12;

		assert_int_equal(proxy_protocol_read(v2(text, cases[i].command, cases[i].family,
		                                        cases[i].length, four, given),
		                                     &header),
		                 PROXY_PROTOCOL_BAD);
	}
	v2(text, 0x21, 0x11, 12, four, 12);
	text[11] = 'X';
	assert_int_equal(proxy_protocol_read(slice_of(text, 28), &header), PROXY_PROTOCOL_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_with_tcp4_names_the_client),
		cmocka_unit_test(line_with_tcp6_names_the_client),
		cmocka_unit_test(
			longest_line_of_the_specification_passes_and_one_byte_more_does_not),
		cmocka_unit_test(line_that_is_not_to_the_letter_is_refused),
		cmocka_unit_test(every_beginning_of_a_good_header_asks_for_more),
		cmocka_unit_test(binary_header_names_the_client),
		cmocka_unit_test(binary_header_may_carry_more_than_addresses),
		cmocka_unit_test(balancer_that_speaks_for_itself_keeps_its_address),
		cmocka_unit_test(binary_header_that_breaks_a_rule_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
