#include "sip/route.h"

#include "sip/message.h"
#include "support/alloc_fail.h"
#include "support/sip_text.h"

static const struct route_self core = {{"edge.example.net:5058", 21}, TRANSPORT_TCP};
static const struct route_self access_side = {{"[2001:db8::1]:5060", 18}, TRANSPORT_UDP};

static void a_path_says_who_we_are_and_whose_flow(void **state)
{
	struct buffer out;

	buffer_init(&out);
	route_write_path(&out, &core, SLICE_LITERAL("TOKEN"), true);
	route_write_path(&out, &core, SLICE_NONE, false);
	assert_slice(buffer_slice(&out),
	             "Path: <sip:TOKEN@edge.example.net:5058;transport=tcp;lr;ob>\r\n"
	             "Path: <sip:edge.example.net:5058;transport=tcp;lr>\r\n");
	buffer_free(&out);
}

static void a_record_route_says_who_we_are_whose_flow_and_the_mark(void **state)
{
	struct buffer out;

	buffer_init(&out);
	route_write_record_route(&out, &core, SLICE_LITERAL("T"), SLICE_NONE);
	route_write_record_route(&out, &access_side, SLICE_LITERAL("T"), SLICE_LITERAL("mark"));
	assert_slice(buffer_slice(&out),
	             "Record-Route: <sip:T@edge.example.net:5058;transport=tcp;lr>\r\n"
	             "Record-Route: <sip:T@[2001:db8::1]:5060;transport=udp;lr;rs=mark>\r\n");
	buffer_free(&out);
}

#define REQUEST(uri, routes)                                                                       \
	"BYE " uri " SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\n"                        \
	"From: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: x\nCSeq: 1 BYE\n" routes "\n"

static void a_strict_router_gets_itself_as_request_uri(void **state)
{
	struct message *message =
		sip_parse(REQUEST("sip:c@d", "Route: <sip:strict;x=y>, <sip:p2;lr>\n"));

	assert_int_equal(route_apply_strict(message), 1);
	assert_prints(&message,
	              REQUEST("sip:strict;x=y", "Route: <sip:p2;lr>\nRoute: <sip:c@d>\n"));
	message = sip_parse(REQUEST("sip:c@d;p=1", "Route: <sip:strict>\n"));
	assert_int_equal(route_apply_strict(message), 1);
	assert_prints(&message, REQUEST("sip:strict", "Route: <sip:c@d;p=1>\n"));
}

static void loose_routes_are_left_alone(void **state)
{
	struct message *message = sip_parse(REQUEST("sip:c@d", "Route: <sip:p1;lr>, <sip:p2>\n"));

	assert_int_equal(route_apply_strict(message), 0);
	assert_prints(&message, REQUEST("sip:c@d", "Route: <sip:p1;lr>, <sip:p2>\n"));
	message = sip_parse(REQUEST("sip:c@d", ""));
	assert_int_equal(route_apply_strict(message), 0);
	assert_int_equal(route_undo_strict(message), 0);
	message_destroy(&message);
}

/* 16.12.1.2 of the RFC: the last Route is where it was meant to go. */
static void what_a_strict_router_did_to_us_is_undone(void **state)
{
	struct message *message =
		sip_parse(REQUEST("sip:us;lr", "Route: <sip:p2;lr>, <sip:c@d;x=1>\n"));

	assert_int_equal(route_undo_strict(message), 1);
	assert_prints(&message, REQUEST("sip:c@d;x=1", "Route: <sip:p2;lr>\n"));
}

static void what_cannot_be_a_request_uri_does_not_become_one(void **state)
{
	static const char *const requests[] = {
		REQUEST("sip:c@d", "Route: <http:strict>\n"),
		REQUEST("sip:c@d", "Route: <sip:strict?Route=x>\n"),
	};

	for (size_t i = 0; i < 2; i++) {
		struct message *message = sip_parse(requests[i]);

		assert_int_equal(route_apply_strict(message), -EINVAL);
		assert_int_equal(route_undo_strict(message), -EINVAL);
		assert_prints(&message, requests[i]);
	}
}

static void route_scene(void *arg)
{
	struct message *message;
	enum guard_verdict verdict;
	struct buffer out;
	int done;

	buffer_init(&out);
	route_write_record_route(&out, &core, SLICE_LITERAL("T"), SLICE_NONE);
	assert_int_equal(out.failed, alloc_fail_happened());
	buffer_free(&out);
	sip_parse_fault(REQUEST("sip:c@d", "Route: <sip:strict>\n"), &message, &verdict);
	if (message != NULL) {
		done = route_apply_strict(message);
		assert_true(done == 1 || (done == -ENOMEM && alloc_fail_happened()));
	}
	message_destroy(&message);
}

static void routes_bear_the_end_of_memory(void **state)
{
	assert_true(alloc_fail_each(route_scene, NULL) > 2);
}

static void both_kinds_of_websocket_have_one_name_in_uris(void **state)
{
	static const struct route_self ws = {{"edge:5062", 9}, TRANSPORT_WS},
				       wss = {{"edge:5063", 9}, TRANSPORT_WSS};
	struct buffer out;

	buffer_init(&out);
	route_write_uri(&out, &ws, SLICE_LITERAL("T"), false);
	route_write_uri(&out, &wss, SLICE_LITERAL("T"), false);
	assert_int_equal(out.length, 2 * 33);
	assert_memory_equal(out.data,
	                    "<sip:T@edge:5062;transport=ws;lr><sip:T@edge:5063;transport=ws;lr>",
	                    out.length);
	buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_kinds_of_websocket_have_one_name_in_uris),
		cmocka_unit_test(a_path_says_who_we_are_and_whose_flow),
		cmocka_unit_test(a_record_route_says_who_we_are_whose_flow_and_the_mark),
		cmocka_unit_test(a_strict_router_gets_itself_as_request_uri),
		cmocka_unit_test(loose_routes_are_left_alone),
		cmocka_unit_test(what_a_strict_router_did_to_us_is_undone),
		cmocka_unit_test(what_cannot_be_a_request_uri_does_not_become_one),
		cmocka_unit_test(routes_bear_the_end_of_memory),
	};

	return cmocka_run_group_tests(tests, sip_text_setup, NULL);
}
