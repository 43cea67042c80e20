/*
 * Parsing and looking. Editing is in edit_test.c.
 */
#include "sip/message.h"

#include "base/buffer.h"
#include "base/memory.h"
#include "sip/reply.h"
#include "support/alloc_fail.h"
#include "support/sip_text.h"

#define HEAD                                                                                       \
	"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport\n"                                  \
	"From: \"Alice\" <sip:alice@example.net>;tag=from1\n"                                      \
	"To: <sip:bob@example.net;x=y>\n"                                                          \
	"Call-ID: call-1@192.0.2.1\n"

#define INVITE "INVITE sip:bob@example.net SIP/2.0\n" HEAD "CSeq: 17 INVITE\n"

static void a_request_shows_its_parts(void **state)
{
	struct message *message = sip_parse(INVITE "Max-Forwards: 0068\nExpires: 30\n"
	                                           "Content-Length: 4\n\nbody and more");
	struct uri uri;

	assert_true(message_is_request(message));
	assert_int_equal(message_method(message), METHOD_INVITE);
	assert_slice(message_method_text(message), "INVITE");
	assert_int_equal(message_status(message), 0);
	assert_slice(message_call_id(message), "call-1@192.0.2.1");
	assert_int_equal(message_cseq(message), 17);
	assert_slice(message_from_tag(message), "from1");
	assert_int_equal(message_to_tag(message).length, 0);
	assert_slice(message_from(message, &uri)->text, "sip:alice@example.net");
	assert_slice(message_to(message, &uri)->text, "sip:bob@example.net;x=y");
	assert_slice(message_request_uri(message, &uri)->text, "sip:bob@example.net");
	assert_slice(uri.host, "example.net");
	assert_int_equal(message_max_forwards(message), 68);
	assert_int_equal(message_expires(message), 30);
	assert_slice(message_body(message), "body"); /* 18.3: the rest is not of it */
	message_destroy(&message);
	assert_null(message);
}

static void a_response_shows_its_parts(void **state)
{
	struct message *message =
		sip_parse("SIP/2.0 487 Request  Terminated\n" HEAD "CSeq: 1 NEW\n\n");

	assert_false(message_is_request(message));
	assert_int_equal(message_status(message), 487);
	assert_int_equal(message_method(message), METHOD_OTHER);
	assert_slice(message_method_text(message), "NEW");
	assert_int_equal(message_max_forwards(message), -1);
	assert_int_equal(message_expires(message), -1);
	assert_int_equal(message_body(message).length, 0);
	message_destroy(&message);
}

static void values_are_counted_over_lines_and_commas(void **state)
{
	struct message *message = sip_parse(
		INVITE "v: SIP/2.0/TCP b.example.net, SIP/2.0/UDP 10.0.0.3;branch=z9hG4bKc\n"
		       "Contact: \"a, b\" <sip:a@b;x=1,2>;q=1, <sip:c@d>\n"
		       "m: <sip:e@f>\n"
		       "Supported: path, , 100rel\nk: outbound\nRequire: sec-agree\n\n");
	struct name_addr address;
	struct slice option;
	struct via via;

	assert_int_equal(message_count(message, HEADER_VIA), 3);
	assert_true(message_via(message, 0, &via));
	assert_slice(via.branch, "z9hG4bKa");
	assert_true(message_via(message, 1, &via));
	assert_slice(via.host, "b.example.net");
	assert_true(message_via(message, 2, &via));
	assert_slice(via.branch, "z9hG4bKc");
	assert_false(message_via(message, 3, &via));
	assert_int_equal(message_count(message, HEADER_CONTACT), 3);
	assert_true(message_address(message, HEADER_CONTACT, 0, &address));
	assert_slice(address.display, "a, b");
	assert_slice(address.uri.text, "sip:a@b;x=1,2");
	assert_true(message_address(message, HEADER_CONTACT, 1, &address));
	assert_slice(address.uri.text, "sip:c@d");
	assert_true(message_address(message, HEADER_CONTACT, 2, &address));
	assert_slice(address.uri.text, "sip:e@f");
	assert_false(message_address(message, HEADER_CONTACT, 3, &address));
	assert_int_equal(message_count(message, HEADER_SUPPORTED), 3);
	assert_true(message_has_option(message, HEADER_SUPPORTED, "OUTBOUND"));
	assert_true(message_has_option(message, HEADER_SUPPORTED, "100rel"));
	assert_false(message_has_option(message, HEADER_SUPPORTED, "100re"));
	assert_true(message_option(message, HEADER_REQUIRE, 0, &option));
	assert_slice(option, "sec-agree");
	assert_false(message_option(message, HEADER_REQUIRE, 1, &option));
	assert_int_equal(message_count(message, HEADER_ROUTE), 0);
	message_destroy(&message);
}

static void headers_are_found_by_long_name_however_written(void **state)
{
	struct message *message =
		sip_parse(INVITE "subject :  one \n\t two\ns: three\nc:application/sdp\nX-New: \n"
	                         "P-Asserted-Identity: <sip:x@y>, <tel:+1>\n\n");
	struct name_addr address;
	struct slice value;

	assert_true(message_header(message, "SUBJECT", &value));
	assert_true(slice_starts_with(value, SLICE_LITERAL("one ")));
	assert_true(slice_index(value, '\r') < 0); /* a fold is read as blanks */
	assert_true(message_header_at(message, "Subject", 1, &value));
	assert_slice(value, "three");
	assert_false(message_header_at(message, "Subject", 2, &value));
	assert_true(message_header(message, "Content-Type", &value));
	assert_slice(value, "application/sdp");
	assert_true(message_header(message, "x-new", &value));
	assert_int_equal(value.length, 0);
	assert_false(message_header(message, "X-Ne", &value));
	assert_true(message_header(message, "from", &value));
	assert_true(message_address(message, HEADER_P_ASSERTED_IDENTITY, 1, &address));
	assert_slice(address.uri.text, "tel:+1");
	message_destroy(&message);
}

static void every_header_we_read_is_known_in_any_case(void **state)
{
	static const char *const names[HEADERS] = {
		[HEADER_VIA] = "via",
		[HEADER_ROUTE] = "ROUTE",
		[HEADER_RECORD_ROUTE] = "record-Route",
		[HEADER_PATH] = "pAth",
		[HEADER_SERVICE_ROUTE] = "SERVICE-route",
		[HEADER_CONTACT] = "cONTACT",
		[HEADER_REQUIRE] = "requirE",
		[HEADER_PROXY_REQUIRE] = "proxy-require",
		[HEADER_SUPPORTED] = "SUPPORTED",
		[HEADER_P_ASSOCIATED_URI] = "p-associated-uri",
		[HEADER_P_ASSERTED_IDENTITY] = "P-ASSERTED-IDENTITY",
		[HEADER_P_PREFERRED_IDENTITY] = "p-Preferred-identity",
	};

	for (int i = 0; i < HEADERS; i++) {
		struct message *message;
		char text[512];

		snprintf(text, sizeof(text), INVITE "%s: %s\n\n", names[i],
		         i == HEADER_VIA ? "SIP/2.0/UDP h" : "<sip:x>");
		message = sip_parse(text);
		for (int j = 0; j < HEADERS; j++)
			assert_int_equal(message_count(message, (enum sip_header)j),
			                 (j == i) + (j == HEADER_VIA));
		message_destroy(&message);
	}
}

static void a_star_contact_is_known(void **state)
{
	struct message *message =
		sip_parse("REGISTER sip:example.net SIP/2.0\n" HEAD "CSeq: 1 REGISTER\nContact: *\n"
	                  "Expires: 0\n\n");
	struct name_addr address;

	assert_true(message_contact_is_star(message));
	assert_false(message_address(message, HEADER_CONTACT, 0, &address));
	assert_int_equal(message_expires(message), 0);
	message_destroy(&message);
	message = sip_parse(INVITE "Contact: <sip:a@b>\nExpires: soon\n\n");
	assert_false(message_contact_is_star(message));
	assert_int_equal(message_expires(message), -1);
	message_destroy(&message);
	message = sip_parse(INVITE "Expires: 99999999999999\n\n");
	assert_true(message_expires(message) == UINT32_MAX);
	message_destroy(&message);
}

/* Parses, expects the fault, and tells whether the message can be answered. */
static bool answerable(const char *text, enum message_fault expected)
{
	enum guard_verdict verdict;
	struct message *message;
	enum message_fault fault = sip_parse_fault(text, &message, &verdict);
	bool result = message != NULL;

	if (fault != expected)
		fail_msg("%s, not %s: %s", message_fault_name(fault), message_fault_name(expected),
		         text);
	message_destroy(&message);
	return result;
}

#define VIA "Via: SIP/2.0/UDP 192.0.2.1\n"
#define REST "From: <sip:a@b>;tag=1\nTo: <sip:c@d>\nCall-ID: x\n"

static void faults_of_requests_are_told_apart_and_answered(void **state)
{
	static const struct {
		const char *text;
		enum message_fault fault;
	} rows[] = {
		{"INVITE sip:a SIP/2.0\n" VIA REST "\n", MESSAGE_MISSING_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA "\n", MESSAGE_MISSING_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\nTo: <sip:e@f>\n\n",
	         MESSAGE_DUPLICATE_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\nt: <sip:e@f>\n\n",
	         MESSAGE_DUPLICATE_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA REST
	         "CSeq: 1 INVITE\nMax-Forwards: 1\nMax-Forwards: 1\n\n",
	         MESSAGE_DUPLICATE_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 BYE\n\n", MESSAGE_CSEQ_MISMATCH},
		{"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 4294967296 INVITE\n\n",
	         MESSAGE_BAD_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: INVITE\n\n", MESSAGE_BAD_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\nMax-Forwards: -1\n\n",
	         MESSAGE_BAD_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\nRoute: <sip:x\n\n",
	         MESSAGE_BAD_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\nno colon here\n\n",
	         MESSAGE_BAD_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA REST
	         "CSeq: 1 INVITE\nP-Asserted-Identity\x01: <sip:x@y>\n\n",
	         MESSAGE_BAD_HEADER},
		{"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\nl: 5\n\nbody",
	         MESSAGE_BAD_LENGTH},
		{"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\nl: -4\n\nbody",
	         MESSAGE_BAD_LENGTH},
		{"INVITE sip:a SIP/2.0\n" VIA REST
	         "CSeq: 1 INVITE\nl: 4\nContent-Length: 4\n\nbody",
	         MESSAGE_BAD_LENGTH},
		{"INVITE sip:a SIP/3.0\n" VIA REST "CSeq: 1 INVITE\n\n", MESSAGE_BAD_VERSION},
		{"INVITE sip:a SIP/2.0 \n" VIA REST "CSeq: 1 INVITE\n\n", MESSAGE_UNPARSABLE},
		{"INVITE  sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\n\n", MESSAGE_UNPARSABLE},
		{"INVITE sip:a HTTP/1.1\n" VIA REST "CSeq: 1 INVITE\n\n", MESSAGE_UNPARSABLE},
		{"INVITE sip:a SIP/2.0\n folded\n" VIA REST "CSeq: 1 INVITE\n\n",
	         MESSAGE_UNPARSABLE},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!answerable(rows[i].text, rows[i].fault))
			fail_msg("cannot be answered: %s", rows[i].text);
	}
}

static void acks_responses_and_the_unreadable_are_never_answered(void **state)
{
	assert_false(answerable("ACK sip:a SIP/2.0\n" VIA REST "\n", MESSAGE_MISSING_HEADER));
	assert_false(
		answerable("ACK sip:a SIP/9.9\n" VIA REST "CSeq: 1 ACK\n\n", MESSAGE_BAD_VERSION));
	assert_false(answerable("SIP/2.0 200 OK\n" VIA "\n", MESSAGE_MISSING_HEADER));
	assert_false(answerable("SIP/2.0 099 OK\n" VIA REST "CSeq: 1 BYE\n\n", MESSAGE_BAD_STATUS));
	assert_false(answerable("SIP/2.0 700 OK\n" VIA REST "CSeq: 1 BYE\n\n", MESSAGE_BAD_STATUS));
	assert_false(
		answerable("SIP/2.0 2000 OK\n" VIA REST "CSeq: 1 BYE\n\n", MESSAGE_BAD_STATUS));
	assert_false(answerable("SIP/2.0\n" VIA REST "CSeq: 1 BYE\n\n", MESSAGE_BAD_STATUS));
	assert_false(
		answerable("SIP/7.0 200 OK\n" VIA REST "CSeq: 1 BYE\n\n", MESSAGE_BAD_VERSION));
	assert_false(answerable("INVITE sip:a SIP/2.0\n" REST "CSeq: 1 INVITE\n\n",
	                        MESSAGE_MISSING_HEADER));
	assert_false(answerable("INVITE sip:a SIP/2.0\nVia: nonsense\n" REST "CSeq: 1 INVITE\n\n",
	                        MESSAGE_BAD_HEADER));
	assert_false(answerable("in(vite sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\n\n",
	                        MESSAGE_UNPARSABLE));
	assert_false(answerable("\n\n", MESSAGE_GUARDED));
	assert_false(answerable("", MESSAGE_GUARDED));
	assert_false(
		answerable("INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\n", MESSAGE_GUARDED));
}

static void odd_but_sound_things_pass(void **state)
{
	static const char *const texts[] = {
		"\n\n\nINVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\n\n",
		"INVITE sip:a sip/2.0\n" VIA REST "CSeq: 1 INVITE\n\n",
		"INVITE urn:service:sos SIP/2.0\n" VIA REST "CSeq: 1 INVITE\n\n",
		"INVITE tel:+1 SIP/2.0\n" VIA REST "CSeq: 1 INVITE\nMax-Forwards: 300\n\n",
		"INVITE sip:a SIP/2.0\n" VIA REST "CSeq: 1 INVITE\nDate: whenever\n\n",
		"SIP/2.0 200\n" VIA REST "CSeq: 1 BYE\n\n",
		"SIP/2.0 200 OK\n" VIA REST "CSeq: 1 BYE\nContact: ;;;\n\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct message *message = sip_parse(texts[i]);

		message_destroy(&message);
	}
}

/* A request with `count` times `line`. */
static enum message_fault parse_many(const char *line, unsigned count, struct message **out,
                                     enum guard_verdict *verdict)
{
	enum message_fault fault;
	struct buffer buffer;
	struct slice bytes;

	buffer_init(&buffer);
	buffer_append_string(&buffer, INVITE);
	for (unsigned i = 0; i < count; i++)
		buffer_append_string(&buffer, line);
	buffer_append_string(&buffer, "\n");
	buffer_append(&buffer, "", 1);
	bytes = sip_text(buffer.data);
	fault = message_parse(bytes, SIP_TEXT_LIMIT, out, verdict);
	free((char *)bytes.data);
	buffer_free(&buffer);
	return fault;
}

static void what_the_guard_refuses_is_answered_when_it_can_be(void **state)
{
	static const struct {
		const char *line;
		unsigned count;
		enum guard_verdict verdict;
		bool answerable;
	} rows[] = {
		{"a: b\n", 300, GUARD_TOO_MANY_HEADERS, true},
		{"Via: SIP/2.0/UDP 192.0.2.9\n", 1000, GUARD_TOO_MANY_HEADERS, true},
		{"a:\n", 9000, GUARD_TOO_MANY_HEADERS, false},
		{"Via: SIP/2.0/UDP h,SIP/2.0/UDP h\n", 100, GUARD_TOO_MANY_ITEMS, true},
		{"Route: <sip:h>,<sip:h>,<sip:h>,<sip:h>\n", 200, GUARD_TOO_MANY_ITEMS, true},
		{"Contact: <sip:a@b>\n", 130, GUARD_TOO_MANY_ITEMS, true},
		/* a CR alone: not if the answer would carry it on */
		{"X: a\rb\n", 1, GUARD_BARE_CR, true},
		{"X: a\r\n", 1, GUARD_BARE_CR, true},
		{"From: <sip:a\rb>\n", 1, GUARD_BARE_CR, false},
		{"Via: SIP/2.0/UDP h;x=a\rb\n", 1, GUARD_BARE_CR, false},
		{"v: SIP/2.0/UDP h;x=a\r\n", 1, GUARD_BARE_CR, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum guard_verdict verdict;
		struct message *message;

		assert_int_equal(parse_many(rows[i].line, rows[i].count, &message, &verdict),
		                 MESSAGE_GUARDED);
		assert_int_equal(verdict, rows[i].verdict);
		assert_int_equal(message != NULL, rows[i].answerable);
		message_destroy(&message);
	}
}

static void every_fault_has_a_name_and_a_status(void **state)
{
	const char *reason;

	for (int i = MESSAGE_SOUND + 1; i < MESSAGE_FAULTS; i++) {
		int status = message_fault_status((enum message_fault)i, &reason);

		assert_true(status == 400 || status == 500 || status == 505);
		assert_non_null(reason);
		assert_string_not_equal(message_fault_name((enum message_fault)i),
		                        message_fault_name((enum message_fault)(i - 1)));
	}
	assert_int_equal(message_fault_status(MESSAGE_BAD_VERSION, &reason), 505);
	assert_string_equal(method_name(METHOD_REFER), "REFER");
	assert_string_equal(method_name(METHOD_OTHER), "other");
}

static void bytes_nobody_edits_come_out_as_they_went_in(void **state)
{
	static const char text[] = INVITE "v:SIP / 2.0 / TCP  h\nX-Odd :\t value \n"
					  "Content-Length: 14\n\nv=0\no=- \xff\n\n";
	struct message *message = sip_parse(text);

	assert_prints(&message, text);
}

static void a_stream_gets_the_content_length_it_needs(void **state)
{
	struct message *message = sip_parse(INVITE "\nbody");
	struct bytes *bytes = message_serialize(message, true);

	assert_bytes(bytes_slice(bytes), INVITE "Content-Length: 4\n\nbody");
	bytes_release(&bytes);
	message_destroy(&message);
	message = sip_parse(INVITE "l: 4\n\nbody");
	bytes = message_serialize(message, true);
	assert_bytes(bytes_slice(bytes), INVITE "l: 4\n\nbody");
	bytes_release(&bytes);
	message_destroy(&message);
}

static void a_body_keeps_every_byte_there_is(void **state)
{
	char text[512 + 256];
	struct slice head = sip_text(INVITE "\n");
	enum guard_verdict verdict;
	struct message *message;
	struct bytes *bytes;

	memcpy(text, head.data, head.length);
	for (int i = 0; i < 256; i++)
		text[head.length + (size_t)i] = (char)i;
	assert_int_equal(message_parse(slice_of(text, head.length + 256), SIP_TEXT_LIMIT, &message,
	                               &verdict),
	                 MESSAGE_SOUND);
	assert_int_equal(message_body(message).length, 256);
	bytes = message_serialize(message, false);
	assert_true(slice_equal(bytes_slice(bytes), slice_of(text, head.length + 256)));
	bytes_release(&bytes);
	message_destroy(&message);
	free((char *)head.data);
}

static void parse_scene(void *arg)
{
	enum guard_verdict verdict;
	struct message *message;
	struct bytes *bytes;

	if (sip_parse_fault(INVITE "\n", &message, &verdict) != MESSAGE_SOUND) {
		assert_true(alloc_fail_happened());
		assert_null(message);
		return;
	}
	bytes = message_serialize(message, true);
	assert_int_equal(bytes == NULL, alloc_fail_happened());
	bytes_release(&bytes);
	message_destroy(&message);
}

static void parse_and_print_bear_the_end_of_memory(void **state)
{
	assert_int_equal(alloc_fail_each(parse_scene, NULL), 2);
}

/* Sound lines are remembered: that must not let a fault of another line through, on either side. */
static void a_fault_is_seen_among_lines_that_are_known(void **state)
{
	static const char *const broken[] = {
		"INVITE sip:bob@example.net SIP/2.0\n" HEAD
		"CSeq: 17 INVITE\nContact: <sip:a@b\n\n",
		"INVITE sip:bob@example.net SIP/2.0\n" HEAD "CSeq: 17 INVITE\nRoute: <sip:x\n\n",
		/* What only a lenient reader takes for one address. */
		"INVITE sip:bob@example.net SIP/2.0\n" HEAD
		"CSeq: 17 INVITE\nContact: <sip:a@b;c, <sip:d@e>\n\n",
		"INVITE sip:bob@example.net SIP/2.0\n" HEAD
		"CSeq: 17 INVITE\nRecord-Route: <sip:a;lr, <sip:d;lr>\n\n",
		"INVITE sip: SIP/2.0\n" HEAD "CSeq: 17 INVITE\n\n",
		"INVITE sip:bob@example.net SIP/2.0\n" HEAD "CSeq: 17 INVITE\n"
		"Via: SIP/2.0/UDP 192.0.2.7:x\n\n",
	};
	enum guard_verdict verdict;
	struct message *message;

	for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
		message = sip_parse(INVITE "\n");
		assert_non_null(message);
		message_destroy(&message);
		for (int times = 0; times < 2; times++) {
			if (sip_parse_fault(broken[i], &message, &verdict) != MESSAGE_BAD_HEADER)
				fail_msg("passed: %s", broken[i]);
			message_destroy(&message);
		}
	}
}

/* A broken Contact of a response is its receiver's business; the same line in a request is not sound. */
static void a_line_that_a_response_may_have_is_judged_anew_in_a_request(void **state)
{
	enum guard_verdict verdict;
	struct message *message;

	message = sip_parse("SIP/2.0 200 OK\n" HEAD "CSeq: 17 INVITE\nContact: <sip:a@b\n\n");
	assert_non_null(message);
	message_destroy(&message);
	assert_int_equal(sip_parse_fault(INVITE "Contact: <sip:a@b\n\n", &message, &verdict),
	                 MESSAGE_BAD_HEADER);
	message_destroy(&message);
}

/* What was read once is read anew after the line has changed. */
static void the_top_via_is_the_one_that_stands_there_now(void **state)
{
	struct message *message =
		sip_parse(INVITE "Via: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKb\n\n");
	struct address source;
	struct via via;

	assert_true(message_via(message, 0, &via));
	assert_slice(via.branch, "z9hG4bKa");
	assert_true(address_parse(SLICE_LITERAL("198.51.100.1:7000"), &source));
	assert_int_equal(message_mark_received(message, &source), 0);
	assert_true(message_via(message, 0, &via));
	assert_slice(via.received, "198.51.100.1");
	assert_int_equal(via.rport, 7000);
	assert_int_equal(message_prepend(message, "Via",
	                                 SLICE_LITERAL("SIP/2.0/UDP c;branch=z9hG4bKc")),
	                 0);
	assert_true(message_via(message, 0, &via));
	assert_slice(via.branch, "z9hG4bKc");
	assert_int_equal(message_pop(message, HEADER_VIA), 0);
	assert_int_equal(message_pop(message, HEADER_VIA), 0);
	assert_true(message_via(message, 0, &via));
	assert_slice(via.branch, "z9hG4bKb");
	message_destroy(&message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_shows_its_parts),
		cmocka_unit_test(a_response_shows_its_parts),
		cmocka_unit_test(values_are_counted_over_lines_and_commas),
		cmocka_unit_test(headers_are_found_by_long_name_however_written),
		cmocka_unit_test(every_header_we_read_is_known_in_any_case),
		cmocka_unit_test(a_star_contact_is_known),
		cmocka_unit_test(faults_of_requests_are_told_apart_and_answered),
		cmocka_unit_test(acks_responses_and_the_unreadable_are_never_answered),
		cmocka_unit_test(odd_but_sound_things_pass),
		cmocka_unit_test(what_the_guard_refuses_is_answered_when_it_can_be),
		cmocka_unit_test(every_fault_has_a_name_and_a_status),
		cmocka_unit_test(bytes_nobody_edits_come_out_as_they_went_in),
		cmocka_unit_test(a_stream_gets_the_content_length_it_needs),
		cmocka_unit_test(a_body_keeps_every_byte_there_is),
		cmocka_unit_test(a_fault_is_seen_among_lines_that_are_known),
		cmocka_unit_test(a_line_that_a_response_may_have_is_judged_anew_in_a_request),
		cmocka_unit_test(the_top_via_is_the_one_that_stands_there_now),
		cmocka_unit_test(parse_and_print_bear_the_end_of_memory),
	};

	return cmocka_run_group_tests(tests, sip_text_setup, NULL);
}
