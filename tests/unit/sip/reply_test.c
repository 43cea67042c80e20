#include "sip/reply.h"

#include "support/alloc_fail.h"
#include "support/sip_text.h"

#define START "INVITE sip:bob@example.net SIP/2.0\n"
#define VIAS                                                                                       \
	"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa, SIP/2.0/UDP h;branch=z9hG4bKb\n"              \
	"v: SIP/2.0/TCP i;branch=z9hG4bKc\n"
#define FROM "From: <sip:alice@example.net>;tag=1\n"
#define CALL "Call-ID: x\nCSeq: 1 INVITE\n"
#define TO "t: <sip:bob@example.net>"
#define REQUEST START "Timestamp: 54\n" VIAS "X: y\n" FROM TO "\n" CALL "Subject: s\n"

static void assert_reply(const char *request, int status, const char *tag, struct slice extra,
                         const char *expected)
{
	struct message *message = sip_parse(request);
	struct bytes *template = reply_template(message), *reply;

	assert_non_null(template);
	message_destroy(&message); /* the template stands on its own */
	reply = reply_build(template, status, reply_reason(status), tag, extra);
	assert_non_null(reply);
	assert_bytes(bytes_slice(reply), expected);
	bytes_release(&reply);
	bytes_release(&template);
}

static void an_answer_copies_what_8_2_6_lists(void **state)
{
	assert_reply(REQUEST "\n", 403, "tag9", SLICE_LITERAL("Retry-After: 5\r\n"),
	             "SIP/2.0 403 Forbidden\n" VIAS FROM CALL TO
	             ";tag=tag9\nRetry-After: 5\nContent-Length: 0\n\n");
}

static void a_hundred_has_the_timestamp_and_no_tag(void **state)
{
	assert_reply(REQUEST "\n", 100, "tag9", SLICE_NONE,
	             "SIP/2.0 100 Trying\nTimestamp: 54\n" VIAS FROM CALL TO
	             "\nContent-Length: 0\n\n");
	assert_reply(REQUEST "\n", 100, NULL, SLICE_NONE,
	             "SIP/2.0 100 Trying\nTimestamp: 54\n" VIAS FROM CALL TO
	             "\nContent-Length: 0\n\n");
}

static void a_tag_that_is_there_stays_alone(void **state)
{
	assert_reply(START VIAS FROM TO ";Tag=old\n" CALL "\n", 486, "tag9", SLICE_NONE,
	             "SIP/2.0 486 Busy Here\n" VIAS FROM CALL TO ";Tag=old\nContent-Length: 0\n\n");
}

static void a_broken_request_is_answered_with_what_it_has(void **state)
{
	static const struct {
		const char *request, *reply;
	} rows[] = {
		{START VIAS "\n", "SIP/2.0 400 Bad Request\n" VIAS "Content-Length: 0\n\n"},
		{START VIAS FROM "To: \"no end <sip:a@b>\n" CALL "\n",
	         "SIP/2.0 400 Bad Request\n" VIAS FROM CALL
	         "To: \"no end <sip:a@b>;tag=TTTTTTTTTTTTTTTT\nContent-Length: 0\n\n"},
		{START VIAS FROM "To: \"no end <sip:a@b> ; tag=x\n" CALL "\n",
	         "SIP/2.0 400 Bad Request\n" VIAS FROM CALL
	         "To: \"no end <sip:a@b> ; tag=x\nContent-Length: 0\n\n"},
		{START VIAS FROM "To: <sip:a@b>;tag=x\nTo: <sip:c@d>\n" CALL "\n",
	         "SIP/2.0 400 Bad Request\n" VIAS FROM CALL
	         "To: <sip:a@b>;tag=x\nContent-Length: 0\n\n"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum guard_verdict verdict;
		struct message *message;
		struct bytes *reply;
		char *tag;

		assert_int_not_equal(sip_parse_fault(rows[i].request, &message, &verdict),
		                     MESSAGE_SOUND);
		assert_non_null(message);
		reply = reply_to_message(message, 400, "Bad Request", SLICE_NONE);
		assert_non_null(reply);
		/* The tag is a hash under a random key. */
		tag = memmem(rows[i].reply, strlen(rows[i].reply), "TTTTTTTTTTTTTTTT", 16);
		if (tag != NULL) {
			char text[17];

			reply_to_tag(message, text);
			tag = memmem(reply->data, reply->length, text, 16);
			assert_non_null(tag);
			memset(tag, 'T', 16);
		}
		assert_bytes(bytes_slice(reply), rows[i].reply);
		bytes_release(&reply);
		message_destroy(&message);
	}
}

static void tag_of(const char *text, char tag[17])
{
	struct message *message = sip_parse(text);

	reply_to_tag(message, tag);
	message_destroy(&message);
}

static void retransmission_and_cancel_get_the_tag_of_the_invite(void **state)
{
	char first[17], again[17], cancel[17], other[17];

	tag_of(REQUEST "\n", first);
	tag_of(REQUEST "\n", again);
	tag_of("CANCEL sip:bob@example.net SIP/2.0\nVia: SIP/2.0/UDP "
	       "192.0.2.1;branch=z9hG4bKa\n" FROM TO "\nCall-ID: x\nCSeq: 1 CANCEL\n\n",
	       cancel);
	tag_of(START "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKz\n" FROM TO "\n" CALL "\n", other);
	assert_int_equal(strlen(first), 16);
	assert_int_equal(strspn(first, "0123456789abcdef"), 16);
	assert_string_equal(first, again);
	assert_string_equal(first, cancel);
	assert_string_not_equal(first, other);
}

static void phrases_are_those_of_the_rfcs(void **state)
{
	assert_string_equal(reply_reason(483), "Too Many Hops");
	assert_string_equal(reply_reason(430), "Flow Failed");
	assert_string_equal(reply_reason(439), "First Hop Lacks Outbound Support");
	assert_string_equal(reply_reason(699), "Unknown");
}

#define SENT                                                                                       \
	"INVITE sip:bob@example.net SIP/2.0\n"                                                     \
	"Via: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKours, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\n"    \
	"Record-Route: <sip:me;lr>\n"                                                              \
	"Route: <sip:one;lr>, <sip:two;lr>\n"                                                      \
	"Max-Forwards: 12\n"                                                                       \
	"f: <sip:alice@example.net>;tag=1\n"                                                       \
	"route: <sip:three;lr>\n" TO "\n"                                                          \
	"i: x\nCSeq:  0017   INVITE\nSubject: s\nContent-Length: 4\n\nbody"

#define FOLLOW(method, to, extra)                                                                  \
	method " sip:bob@example.net SIP/2.0\n"                                                    \
	       "Via: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKours\n"                                    \
	       "Max-Forwards: 70\n"                                                                \
	       "Route: <sip:one;lr>, <sip:two;lr>\n"                                               \
	       "route: <sip:three;lr>\n"                                                           \
	       "f: <sip:alice@example.net>;tag=1\n" to "i: x\nCSeq: 17 " method "\n" extra         \
	       "Content-Length: 0\n\n"

static void a_cancel_follows_9_1(void **state)
{
	struct slice sent = sip_text(SENT);
	struct bytes *cancel = request_cancel(sent, SLICE_LITERAL("Reason: SIP;cause=200\r\n"));

	assert_non_null(cancel);
	assert_bytes(bytes_slice(cancel), FOLLOW("CANCEL", TO "\n", "Reason: SIP;cause=200\n"));
	bytes_release(&cancel);
	free((char *)sent.data);
}

static void an_ack_has_the_to_of_the_response(void **state)
{
	struct message *response = sip_parse("SIP/2.0 486 Busy Here\n" VIAS FROM
	                                     "To: <sip:bob@example.net>;tag=far\n" CALL "\n");
	struct slice sent = sip_text(SENT);
	struct bytes *ack = request_ack(sent, response);

	assert_non_null(ack);
	assert_bytes(bytes_slice(ack), FOLLOW("ACK", "To: <sip:bob@example.net>;tag=far\n", ""));
	bytes_release(&ack);
	message_destroy(&response);
	free((char *)sent.data);
}

static void what_we_make_our_own_parser_takes(void **state)
{
	struct slice sent = sip_text(SENT);
	struct bytes *made[] = {
		request_cancel(sent, SLICE_NONE),
		request_options(SLICE_LITERAL("sip:10.0.0.2:5054;transport=tcp"),
	                        SLICE_LITERAL("SIP/2.0/TCP 10.0.0.1:5058;branch=z9hG4bKx"),
	                        SLICE_LITERAL("edge.example.net"), SLICE_LITERAL("call-7"), 42),
	};
	struct uri uri;

	for (size_t i = 0; i < 2; i++) {
		enum guard_verdict verdict;
		struct message *message;

		assert_non_null(made[i]);
		assert_int_equal(message_parse(bytes_slice(made[i]), SIP_TEXT_LIMIT, &message,
		                               &verdict),
		                 MESSAGE_SOUND);
		if (i == 1) {
			assert_int_equal(message_method(message), METHOD_OPTIONS);
			assert_int_equal(message_cseq(message), 42);
			assert_int_equal(message_max_forwards(message), 70);
			assert_slice(message_from(message, &uri)->text,
			             "sip:probe@edge.example.net");
			assert_slice(message_to(message, &uri)->text,
			             "sip:10.0.0.2:5054;transport=tcp");
		}
		message_destroy(&message);
		bytes_release(&made[i]);
	}
	free((char *)sent.data);
	assert_null(request_cancel(SLICE_LITERAL("garbage\r\n\r\n"), SLICE_NONE));
}

static void reply_scene(void *arg)
{
	struct slice sent = sip_text(SENT);
	enum guard_verdict verdict;
	struct message *message;
	struct bytes *bytes;

	sip_parse_fault(REQUEST "\n", &message, &verdict);
	if (message != NULL) {
		bytes = reply_to_message(message, 400, "Bad Request", SLICE_NONE);
		assert_int_equal(bytes == NULL, alloc_fail_happened());
		bytes_release(&bytes);
	}
	message_destroy(&message);
	if (!alloc_fail_happened()) {
		bytes = request_cancel(sent, SLICE_NONE);
		assert_int_equal(bytes == NULL, alloc_fail_happened());
		bytes_release(&bytes);
	}
	free((char *)sent.data);
}

static void answers_bear_the_end_of_memory(void **state)
{
	assert_true(alloc_fail_each(reply_scene, NULL) > 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_copies_what_8_2_6_lists),
		cmocka_unit_test(a_hundred_has_the_timestamp_and_no_tag),
		cmocka_unit_test(a_tag_that_is_there_stays_alone),
		cmocka_unit_test(a_broken_request_is_answered_with_what_it_has),
		cmocka_unit_test(retransmission_and_cancel_get_the_tag_of_the_invite),
		cmocka_unit_test(phrases_are_those_of_the_rfcs),
		cmocka_unit_test(a_cancel_follows_9_1),
		cmocka_unit_test(an_ack_has_the_to_of_the_response),
		cmocka_unit_test(what_we_make_our_own_parser_takes),
		cmocka_unit_test(answers_bear_the_end_of_memory),
	};

	return cmocka_run_group_tests(tests, sip_text_setup, NULL);
}
