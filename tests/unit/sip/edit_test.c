/*
 * Editing messages.
 */
#include "base/buffer.h"
#include "sip/message.h"
#include "sip/reply.h"
#include "support/alloc_fail.h"
#include "support/sip_text.h"

#define START "INVITE sip:bob@example.net SIP/2.0\n"
#define VIA "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa\n"
#define TAIL                                                                                       \
	"From: <sip:alice@example.net>;tag=1\n"                                                    \
	"To: <sip:bob@example.net>\n"                                                              \
	"Call-ID: x\n"                                                                             \
	"CSeq: 1 INVITE\n"
#define END "\nbody"

static void lines_go_to_the_top_and_to_the_end(void **state)
{
	struct message *message = sip_parse(START VIA TAIL END);
	struct via via;

	assert_int_equal(message_prepend(message, "Via", SLICE_LITERAL("SIP/2.0/TCP h")), 0);
	assert_int_equal(message_append(message, "X", SLICE_LITERAL("y")), 0);
	assert_int_equal(message_prepend_lines(message, SLICE_LITERAL("A: 1\r\nB: 2\r\n")), 0);
	assert_true(message_via(message, 0, &via));
	assert_slice(via.transport, "TCP");
	assert_int_equal(message_count(message, HEADER_VIA), 2);
	assert_prints(&message, START "A: 1\nB: 2\nVia: SIP/2.0/TCP h\n" VIA TAIL "X: y\n" END);
}

static void any_number_of_lines_can_be_added(void **state)
{
	struct message *message = sip_parse(START VIA TAIL END);
	struct slice value;

	for (int i = 0; i < 100; i++) {
		assert_int_equal(message_prepend(message, "X-A", SLICE_LITERAL("some value")), 0);
		assert_int_equal(message_append(message, "X-B", SLICE_LITERAL("another value")), 0);
	}
	assert_true(message_header_at(message, "X-A", 99, &value));
	assert_true(message_header_at(message, "X-B", 99, &value));
	assert_slice(value, "another value");
	assert_int_equal(message_remove(message, "x-a"), 0);
	assert_int_equal(message_remove(message, "x-b"), 0);
	assert_prints(&message, START VIA TAIL END);
}

static void more_lines_at_once_than_fit_are_refused(void **state)
{
	struct message *message = sip_parse(START VIA TAIL END);
	struct buffer lines;

	buffer_init(&lines);
	for (int i = 0; i < 17; i++)
		buffer_append_string(&lines, "A: 1\r\n");
	assert_int_equal(message_prepend_lines(message, buffer_slice(&lines)), -E2BIG);
	lines.length -= 6;
	assert_int_equal(message_prepend_lines(message, buffer_slice(&lines)), 0);
	buffer_free(&lines);
	message_destroy(&message);
}

static void removal_takes_every_spelling_and_fold(void **state)
{
	static const char *const names[] = {"P-Asserted-Identity", "Subject", "Path"};
	struct message *message =
		sip_parse(START VIA "P-ASSERTED-identity: <sip:x@y>\n" TAIL
	                            "s: compact\nSubject: long\n folded\n"
	                            "Keep: me\np-asserted-identity :\n <sip:z@y>\nPath: "
	                            "<sip:p;lr>\nSubjects: no\n" END);

	assert_int_equal(message_remove_each(message, names, 3), 0);
	assert_int_equal(message_remove_each(message, names, 3), 0);
	assert_prints(&message, START VIA TAIL "Keep: me\nSubjects: no\n" END);
}

static void a_pop_takes_one_value(void **state)
{
	struct message *message =
		sip_parse(START VIA "Route: \"a,b\" <sip:1;lr>;x=1, <sip:2;lr> ,<sip:3;lr>\n"
	                            "route: <sip:4;lr>\n" TAIL END);

	assert_int_equal(message_pop(message, HEADER_ROUTE), 0);
	assert_int_equal(message_count(message, HEADER_ROUTE), 3);
	assert_int_equal(message_pop(message, HEADER_ROUTE), 0);
	assert_int_equal(message_pop_last(message, HEADER_ROUTE), 0);
	assert_int_equal(message_pop(message, HEADER_VIA), 0);
	assert_int_equal(message_pop(message, HEADER_RECORD_ROUTE), 0);
	assert_prints(&message, START "Route: <sip:3;lr>\n" TAIL END);
}

static struct slice top_route_user(const struct message *message)
{
	struct name_addr route;

	return message_address(message, HEADER_ROUTE, 0, &route) ? route.uri.user : SLICE_NONE;
}

static void top_route_is_what_stands_there_now(void **state)
{
	struct message *message =
		sip_parse(START VIA "Route: <sip:one@h;lr>, <sip:two@h;lr>, <sip:three@h;lr>\n"
	                            "route: <sip:four@h;lr>\n" TAIL END);

	assert_slice(top_route_user(message), "one");
	assert_int_equal(message_pop(message, HEADER_ROUTE), 0);
	assert_slice(top_route_user(message), "two");
	assert_int_equal(message_pop_last(message, HEADER_ROUTE), 0);
	assert_int_equal(message_pop_last(message, HEADER_ROUTE), 0);
	assert_slice(top_route_user(message), "two");
	assert_int_equal(message_prepend(message, "Route", SLICE_LITERAL("<sip:zero@h;lr>")), 0);
	assert_slice(top_route_user(message), "zero");
	assert_int_equal(message_add_uri_param(message, HEADER_ROUTE, 0, "a", SLICE_LITERAL("b")),
	                 0);
	assert_slice(top_route_user(message), "zero");
	assert_int_equal(message_pop(message, HEADER_ROUTE), 0);
	assert_slice(top_route_user(message), "two");
	assert_int_equal(message_pop(message, HEADER_ROUTE), 0);
	assert_slice(top_route_user(message), "");
	assert_int_equal(message_append(message, "Route", SLICE_LITERAL("<sip:five@h;lr>")), 0);
	assert_slice(top_route_user(message), "five");
	message_destroy(&message);
}

static void a_pop_of_the_last_value_leaves_the_others(void **state)
{
	struct message *message =
		sip_parse(START VIA "Route: <sip:1;lr>,<sip:2;lr>,<sip:3;lr>\n" TAIL END);

	assert_int_equal(message_pop_last(message, HEADER_ROUTE), 0);
	assert_int_equal(message_pop_last(message, HEADER_ROUTE), 0);
	assert_int_equal(message_count(message, HEADER_ROUTE), 1);
	assert_int_equal(message_pop_last(message, HEADER_ROUTE), 0);
	assert_int_equal(message_pop_last(message, HEADER_ROUTE), 0);
	assert_prints(&message, START VIA TAIL END);
}

static void request_uri_and_hops_change_in_place(void **state)
{
	struct message *message = sip_parse(START VIA "Max-Forwards : 70\n" TAIL END);
	struct uri uri;

	assert_int_equal(message_set_request_uri(message, SLICE_LITERAL("sip:new@h;x")), 0);
	assert_slice(message_request_uri(message, &uri)->text, "sip:new@h;x");
	assert_int_equal(message_set_max_forwards(message, 69), 0);
	assert_int_equal(message_max_forwards(message), 69);
	assert_prints(&message, "INVITE sip:new@h;x SIP/2.0\n" VIA "Max-Forwards: 69\n" TAIL END);
	message = sip_parse(START VIA TAIL END);
	assert_int_equal(message_set_max_forwards(message, 70), 0);
	assert_prints(&message, START VIA TAIL "Max-Forwards: 70\n" END);
}

static void assert_marked(const char *via, const char *source, const char *expected)
{
	char text[512], wanted[512];
	struct message *message;
	struct address address;

	assert_true(address_parse(slice_from_string(source), &address));
	snprintf(text, sizeof(text), START "v:  %s\n" TAIL END, via);
	snprintf(wanted, sizeof(wanted), START "%s\n" TAIL END, expected);
	message = sip_parse(text);
	assert_int_equal(message_mark_received(message, &address), 0);
	assert_prints(&message, wanted);
}

static void the_top_via_learns_where_the_request_came_from(void **state)
{
	/* 18.2.1: only when the host differs, and a name always does. */
	assert_marked("SIP/2.0/UDP 192.0.2.1:5060;branch=a", "192.0.2.1:5070",
	              "v:  SIP/2.0/UDP 192.0.2.1:5060;branch=a");
	assert_marked("SIP/2.0/UDP 10.0.0.1;branch=a", "192.0.2.1:5070",
	              "Via: SIP/2.0/UDP 10.0.0.1;branch=a;received=192.0.2.1");
	assert_marked("SIP/2.0/TCP name.example.net", "192.0.2.1:5070",
	              "Via: SIP/2.0/TCP name.example.net;received=192.0.2.1");
	/* RFC 3581 4 */
	assert_marked("SIP/2.0/UDP 192.0.2.1;rport;branch=a", "192.0.2.1:5070",
	              "Via: SIP/2.0/UDP 192.0.2.1;branch=a;received=192.0.2.1;rport=5070");
	/* RFC 5118 4.5 */
	assert_marked("SIP/2.0/UDP [2001:db8::1];rport", "[2001:db8::9]:5070",
	              "Via: SIP/2.0/UDP [2001:db8::1];received=2001:db8::9;rport=5070");
	/* What the sender made up is not believed. */
	assert_marked("SIP/2.0/UDP 192.0.2.1;received=203.0.113.9;branch=a", "192.0.2.1:5070",
	              "Via: SIP/2.0/UDP 192.0.2.1;branch=a");
	assert_marked("SIP/2.0/UDP 10.0.0.1;Received=203.0.113.9;rport=99;branch=a",
	              "192.0.2.1:5070",
	              "Via: SIP/2.0/UDP 10.0.0.1;branch=a;received=192.0.2.1;rport=5070");
	/* Others in the same line stay. */
	assert_marked(
		"SIP/2.0/UDP h;rport;branch=a , SIP/2.0/UDP i;rport", "192.0.2.1:5070",
		"Via: SIP/2.0/UDP h;branch=a;received=192.0.2.1;rport=5070, SIP/2.0/UDP i;rport");
}

static void assert_kept(const char *via, const char *expected)
{
	char text[512];
	struct message *message;
	struct slice value;

	snprintf(text, sizeof(text), START "Via: %s\n" TAIL END, via);
	message = sip_parse(text);
	assert_int_equal(message_set_via_keep(message, 120), 0);
	assert_true(message_header(message, "Via", &value));
	assert_slice(value, expected);
	message_destroy(&message);
}

static void keep_gets_its_value_where_it_stands(void **state)
{
	assert_kept("SIP/2.0/UDP h;keep;branch=a", "SIP/2.0/UDP h;keep=120;branch=a");
	assert_kept("SIP/2.0/UDP h;branch=a;Keep", "SIP/2.0/UDP h;branch=a;Keep=120");
	assert_kept("SIP/2.0/UDP h;branch=a;keep=5", "SIP/2.0/UDP h;branch=a;keep=5");
	assert_kept("SIP/2.0/UDP h;branch=a", "SIP/2.0/UDP h;branch=a");
	assert_kept("SIP/2.0/UDP h;keep , SIP/2.0/UDP i;keep",
	            "SIP/2.0/UDP h;keep=120 , SIP/2.0/UDP i;keep");
	assert_kept("SIP/2.0/UDP h;branch=a, SIP/2.0/UDP i;keep",
	            "SIP/2.0/UDP h;branch=a, SIP/2.0/UDP i;keep");
}

#define DIGEST "Authorization: Digest username=\"a, b\", realm=\"r\""

static void authorization_params_come_and_go(void **state)
{
	struct message *message = sip_parse(
		START VIA TAIL DIGEST
		", Integrity-Protected=\"yes\",uri=\"sip:a,integrity-protected=no\","
		"integrity-protected=no\nauthorization: Digest\tintegrity-protected=yes\n" END);

	assert_int_equal(message_set_authorization_param(message, "Authorization",
	                                                 "integrity-protected", NULL),
	                 0);
	assert_int_equal(message_set_authorization_param(message, "Proxy-Authorization",
	                                                 "integrity-protected", "no"),
	                 0);
	assert_prints(&message, START VIA TAIL DIGEST
	              ", uri=\"sip:a,integrity-protected=no\"\nauthorization: Digest\n" END);

	message = sip_parse(START VIA TAIL DIGEST ", integrity-protected=\"yes\"\n" END);
	assert_int_equal(message_set_authorization_param(message, "Authorization",
	                                                 "integrity-protected", "\"no\""),
	                 0);
	assert_prints(&message, START VIA TAIL DIGEST ", integrity-protected=\"no\"\n" END);
}

/* Spellings of one parameter in a value, and what is left. */
static const char *const without_ck[][2] = {
	{"Digest realm=\"r\", ck=\"11\", ik=\"22\", nonce=\"n\"",
         "Digest realm=\"r\", nonce=\"n\""},
	{"Digest realm=\"r\",nonce=\"n\",ik=22,ck=11", "Digest realm=\"r\",nonce=\"n\""},
	{"Digest CK=\"11\"  ,\trealm=\"r\"", "Digest realm=\"r\""},
	{"Digest   ik = \"22\" , realm=\"r\"", "Digest   realm=\"r\""},
	{"Digest realm=\"r\", ck", "Digest realm=\"r\""},
	{"Digest realm=\"r\", ck=", "Digest realm=\"r\""},
	{"Digest ck=\"11\"", "Digest"},
	{"Digest realm=\"a\", ck=\"1,\\\"1\", Digest ik=\"2\", realm=\"b\"",
         "Digest realm=\"a\", Digest realm=\"b\""},
	{"Digest realm=\"a\", ck=1, ck=2, ck=3", "Digest realm=\"a\""},
	/* nothing to take */
	{"Digest realm=\"ck=1, ik=2\",  nonce=\"a\\\", ck=1\"", NULL},
	{"Digest  xck=\"11\",ckx=1 , realm=\"ik\"", NULL},
	{"Digest nonce=ck", "Digest nonce=ck"},
};

static void auth_params_are_cut_out_and_the_rest_stays_byte_for_byte(void **state)
{
	static const char *const names[] = {"ck", "ik"};
	char before[1024], after[1024];

	for (size_t i = 0; i < sizeof(without_ck) / sizeof(without_ck[0]); i++) {
		const char *left = without_ck[i][1] != NULL ? without_ck[i][1] : without_ck[i][0];
		struct message *message;

		snprintf(before, sizeof(before),
		         START VIA TAIL "WWW-Authenticate: %s\nX: y\nwww-authenticate: %s\n" END,
		         without_ck[i][0], without_ck[i][0]);
		snprintf(after, sizeof(after),
		         START VIA TAIL "WWW-Authenticate: %s\nX: y\nwww-authenticate: %s\n" END,
		         left, left);
		message = sip_parse(before);
		assert_int_equal(message_remove_auth_params(message, "WWW-Authenticate", names, 2),
		                 0);
		assert_prints(&message, after);
	}
}

/* Millions of quotes of which none closes: looked at once each, or this would never end. */
static void quotes_that_never_close_are_no_work(void **state)
{
	static const size_t pairs = 4u << 20;
	const size_t head = strlen("Digest \"");
	char *text = malloc(head + 2 * pairs + 64);
	struct slice value;
	size_t length;

	strcpy(text, "Digest \"");
	for (size_t i = 0; i < pairs; i++)
		memcpy(text + head + 2 * i, "\\\"", 2);
	length = head + 2 * pairs;
	memcpy(text + length, ", username=u", 13);
	assert_true(auth_param(slice_of(text, length + 12), "username", 0, &value));
	assert_true(slice_equal(value, SLICE_LITERAL("u")));
	assert_false(auth_param(slice_of(text, length + 12), "username", 1, &value));
	free(text);
}

static bool keep_not_named_x(void *arg, struct slice name, struct slice value)
{
	(*(unsigned *)arg)++;
	return name.data[0] != 'X';
}

static void lines_are_kept_by_whoever_asks(void **state)
{
	struct message *message = sip_parse(START VIA "X-A: 1\n" TAIL "s: short\nXB: 2\n" END);
	unsigned seen = 0;

	message_keep(message, keep_not_named_x, &seen);
	assert_int_equal(seen, 3); /* not of Via, From, To, Call-ID and CSeq */
	assert_prints(&message, START VIA TAIL "s: short\n" END);
}

/* Drops "b", doubles "c". */
static void write_abc(void *arg, struct slice value, struct buffer *out)
{
	if (slice_equal(value, SLICE_LITERAL("b")))
		return;
	buffer_append_slice(out, value);
	if (slice_equal(value, SLICE_LITERAL("c")))
		buffer_append_slice(out, value);
}

static void values_are_dropped_or_written_anew(void **state)
{
	struct message *message = sip_parse(
		START VIA TAIL "Q: b\nQ: a ,b,  \"b, b\"\nq:   a,\ta\nq2: b\nQ: b, c\nQ: b\n" END);

	assert_int_equal(message_edit_values(message, "q", write_abc, NULL), 0);
	assert_prints(&message, START VIA TAIL "Q: a, \"b, b\"\nq:   a,\ta\nq2: b\nQ: cc\n" END);
}

static void write_first_letter(void *arg, struct slice value, struct buffer *out)
{
	buffer_append(out, value.data, 1);
}

static void edit_scene(void *arg)
{
	struct slice bytes =
		sip_text(START VIA "Route: <sip:1;lr>, <sip:2;lr>\n" TAIL DIGEST "\n" END);
	static char long_value[2001];
	enum guard_verdict verdict;
	struct message *message;
	struct address source;
	int err = -ENOMEM;

	memset(long_value, 'x', sizeof(long_value) - 1);
	assert_true(address_parse(SLICE_LITERAL("203.0.113.1:5060"), &source));
	message_parse(bytes, SIP_TEXT_LIMIT, &message, &verdict);
	free((char *)bytes.data);
	if (message != NULL)
		err = message_mark_received(message, &source);
	for (int i = 0; err == 0 && i < 3; i++)
		err = message_prepend(message, "X-A", slice_of(long_value, sizeof(long_value) - 1));
	for (int i = 0; err == 0 && i < 30; i++)
		err = message_prepend(message, "X-A", SLICE_LITERAL("1"));
	for (int i = 0; err == 0 && i < 30; i++)
		err = message_append(message, "X-B", slice_of(long_value, 100));
	if (err == 0)
		err = message_pop(message, HEADER_ROUTE);
	if (err == 0)
		err = message_set_max_forwards(message, 70);
	if (err == 0)
		err = message_set_request_uri(message,
		                              slice_of(long_value, sizeof(long_value) - 1));
	if (err == 0)
		err = message_set_authorization_param(message, "Authorization", "x",
		                                      long_value + 1900);
	if (err == 0)
		err = message_edit_values(message, "X-A", write_first_letter, NULL);
	assert_int_equal(err, alloc_fail_happened() ? -ENOMEM : 0);
	message_destroy(&message);
}

static void edits_bear_the_end_of_memory(void **state)
{
	assert_true(alloc_fail_each(edit_scene, NULL) > 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keep_gets_its_value_where_it_stands),
		cmocka_unit_test(lines_go_to_the_top_and_to_the_end),
		cmocka_unit_test(any_number_of_lines_can_be_added),
		cmocka_unit_test(more_lines_at_once_than_fit_are_refused),
		cmocka_unit_test(removal_takes_every_spelling_and_fold),
		cmocka_unit_test(a_pop_takes_one_value),
		cmocka_unit_test(top_route_is_what_stands_there_now),
		cmocka_unit_test(a_pop_of_the_last_value_leaves_the_others),
		cmocka_unit_test(request_uri_and_hops_change_in_place),
		cmocka_unit_test(the_top_via_learns_where_the_request_came_from),
		cmocka_unit_test(authorization_params_come_and_go),
		cmocka_unit_test(auth_params_are_cut_out_and_the_rest_stays_byte_for_byte),
		cmocka_unit_test(quotes_that_never_close_are_no_work),
		cmocka_unit_test(lines_are_kept_by_whoever_asks),
		cmocka_unit_test(values_are_dropped_or_written_anew),
		cmocka_unit_test(edits_bear_the_end_of_memory),
	};

	return cmocka_run_group_tests(tests, sip_text_setup, NULL);
}
