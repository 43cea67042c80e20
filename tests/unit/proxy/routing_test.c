/* Requests other than REGISTER, both ways: who may, where to, by which route; CANCEL and ACK. */
#include "support/proxy_world.h"

static const char *const contact = "Contact: <sip:user1@192.0.2.1>\r\n";

static void an_unregistered_client_gets_403(void **state)
{
	struct world *world = *state;

	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", contact);
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "403");
	world_client_request(world, 1, "ACK", "sip:bob@example.net", "c1", "");
	assert_int_equal(world->sent_count, 1); /* never a reply to an ACK */
}

static void a_registered_client_is_named_and_routed(void **state)
{
	struct world *world = *state;
	const char *text;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1",
	                     "Contact: <sip:user1@192.0.2.1>\r\n"
	                     "Route: <sip:127.0.0.1:5060;lr>, <sip:evil.example;lr>\r\n"
	                     "P-Asserted-Identity: <sip:boss@example.net>\r\n");
	text = world->sent[0].text;
	assert_string_equal(world_header(text, "P-Asserted-Identity"), "<sip:user1@example.net>");
	assert_int_equal(world_count_lines(text, "P-Asserted-Identity"), 1);
	assert_contains(world_header(text, "Route"),
	                "<sip:orig@127.0.1.1:5054;transport=tcp;lr;orig>");
	assert_int_equal(world_count_lines(text, "Route"), 1);
	assert_lacks(text, "evil");
	assert_int_equal(world_target_of(&world->sent[0].hop.remote),
	                 0); /* the Service-Route's Sprout */
}

static void a_preferred_identity_is_honoured_only_if_it_is_ones_own(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "m1",
	                     "P-Preferred-Identity: <tel:+15550001>\r\n");
	assert_string_equal(world_header(world->sent[0].text, "P-Asserted-Identity"),
	                    "<tel:+15550001>");
	assert_lacks(world->sent[0].text, "P-Preferred-Identity");
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "m2",
	                     "P-Preferred-Identity: <sip:boss@example.net>\r\n");
	assert_string_equal(world_header(world->sent[1].text, "P-Asserted-Identity"),
	                    "<sip:user1@example.net>");
}

static void record_routes_are_double_and_carry_the_token(void **state)
{
	struct world *world = *state;
	const char *text;
	const char *token;

	world_register(world, 1);
	token = flow_token_text(world_flow(world, 1));
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", contact);
	text = world->sent[0].text;
	assert_int_equal(world_count_lines(text, "Record-Route"), 2);
	assert_contains(world_header(text, "Record-Route"), "@127.0.0.1:5058;transport=tcp");
	assert_contains(world_header(text, "Record-Route"), token);
	world_forget_sent(world);
	world_core_to_client(world, 1, "INVITE", "d1", "Contact: <sip:far@127.0.9.9>\r\n");
	text = world->sent[0].text;
	assert_int_equal(world_count_lines(text, "Record-Route"), 2);
	assert_contains(world_header(text, "Record-Route"), "@127.0.0.1:5060;transport=udp");
}

static void in_dialog_requests_follow_their_route_set(void **state)
{
	struct world *world = *state;
	char lines[1024];

	world_register(world, 1);
	snprintf(lines, sizeof(lines), "To: <sip:bob@example.net>;tag=b\r\n%s",
	         world_route(world, 1,
	                     "<sip:127.0.1.2:5054;transport=tcp;lr>,<sip:other@127.0.9.9;lr>"));
	world_client_request(world, 1, "BYE", "sip:bob@203.0.113.5", "c1", lines);
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(world_target_of(&world->sent[0].hop.remote), 1);
	assert_contains(world_header(world->sent[0].text, "Route"),
	                "<sip:127.0.1.2:5054;transport=tcp;lr>");
	assert_memory_equal(world->sent[0].text, "BYE sip:bob@203.0.113.5 SIP/2.0\r\n", 33);
}

static void a_made_up_route_does_not_make_us_dial(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(
		world, 1, "MESSAGE", "sip:bob@203.0.113.5", "m1",
		"To: <sip:bob@example.net>;tag=invented\r\nRoute: <sip:203.0.113.5;lr>\r\n");
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "403");
}

static void the_core_reaches_a_client_by_its_token(void **state)
{
	struct world *world = *state;
	const char *text;

	world_register(world, 1);
	world_core_to_client(world, 1, "INVITE", "d1",
	                     "Max-Forwards: 10\r\nP-Charging-Vector: icid-value=1\r\n"
	                     "P-Asserted-Identity: <sip:caller@example.net>\r\n");
	assert_int_equal(world->sent_count, 1);
	text = world->sent[0].text;
	assert_int_equal(address_port(&world->sent[0].hop.remote), 10001);
	assert_memory_equal(text, "INVITE sip:user1@192.0.2.1:10001 SIP/2.0\r\n", 41);
	assert_lacks(text, "icid-value");
	assert_lacks(text, "\r\nRoute:");
	assert_contains(text, "<sip:caller@example.net>");
	assert_string_equal(world_header(text, "Max-Forwards"), "9");
	world_answer(world, 0, "180 Ringing", "");
	world_answer(world, 0, "200 OK", "Contact: <sip:user1@192.0.2.1:10001>\r\n");
	assert_status(world, 1, "180");
	assert_status(world, 2, "200");
	assert_int_equal(world->sent[2].hop.side, SIDE_CORE);
	assert_int_equal(world_count_lines(world->sent[2].text, "Via"), 1);
}

static void an_asserted_identity_is_hidden_when_privacy_asks(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_core_to_client(
		world, 1, "INVITE", "d1",
		"P-Asserted-Identity: <sip:caller@secret.example>\r\nPrivacy: user;id\r\n");
	assert_lacks(world->sent[0].text, "secret.example");
}

/* A Sprout puts the name it knows us by above the Path that we gave. */
static void the_token_below_our_bare_name_leads_to_the_client(void **state)
{
	static const char *const above[] = {
		"<sip:127.0.0.1:5058;transport=tcp;lr>",
		"<sip:127.0.0.1:5058;lr;orig>, <sip:bono@127.0.0.1:5060;lr>",
	};
	struct world *world = *state;
	char route[512], call_id[8];

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(above); i++) {
		world_forget_sent(world);
		snprintf(route, sizeof(route), "%s, <sip:%s@127.0.0.1:5058;transport=tcp;lr;ob>",
		         above[i], flow_token_text(world_flow(world, 1)));
		snprintf(call_id, sizeof(call_id), "bare%u", i);
		world_core_request(world, 0, "MESSAGE", "sip:user1@192.0.2.1:10001", route, call_id,
		                   "");
		assert_int_equal(world->sent_count, 1);
		assert_memory_equal(world->sent[0].text, "MESSAGE sip:user1@192.0.2.1:10001 ", 34);
		assert_true(world->sent[0].hop.side == SIDE_ACCESS);
		assert_lacks(world->sent[0].text, "\r\nRoute:");
	}
	/* Of another's name between them we are no judge. */
	world_forget_sent(world);
	snprintf(route, sizeof(route), "%s, <sip:192.0.2.99;lr>, <sip:%s@127.0.0.1:5058;lr>",
	         above[0], flow_token_text(world_flow(world, 1)));
	world_core_request(world, 0, "MESSAGE", "sip:user1@192.0.2.1:10001", route, "bare9", "");
	assert_status(world, 0, "404");
}

static void a_forged_token_gets_403_and_a_gone_flow_430(void **state)
{
	struct world *world = *state;
	char route[256];
	char token[FLOW_TOKEN_TEXT_MAX];

	world_register(world, 1);
	snprintf(token, sizeof(token), "%s", flow_token_text(world_flow(world, 1)));
	token[strlen(token) - 2] = token[strlen(token) - 2] == 'A' ? 'B' : 'A';
	snprintf(route, sizeof(route), "<sip:%s@127.0.0.1:5058;lr>", token);
	world_core_request(world, 0, "INVITE", "sip:user1@192.0.2.1", route, "d1", "");
	assert_status(world, 0, "403");
	snprintf(route, sizeof(route), "<sip:%s@127.0.0.1:5058;lr>",
	         flow_token_text(world_flow(world, 1)));
	flow_table_close(world->flows, world_flow(world, 1), FLOW_CLOSE_IDLE);
	world_core_request(world, 0, "INVITE", "sip:user1@192.0.2.1", route, "d2", "");
	assert_status(world, 1, "430");
	assert_contains(world->sent[1].text, "430 Flow Failed");
}

static void a_token_of_another_worker_moves_the_bytes_there(void **state)
{
	struct world *world = *state;
	struct flow_token token = {.node = 7, .worker = 1, .flow = 5, .epoch = 1000};
	char text[FLOW_TOKEN_TEXT_MAX];
	char route[256];

	flow_token_write(&token, text);
	snprintf(route, sizeof(route), "<sip:%s@127.0.0.1:5058;lr>", text);
	world_core_request(world, 0, "INVITE", "sip:user1@192.0.2.1", route, "d1", "");
	assert_int_equal(world->passed, 1);
	assert_int_equal(world->passed_to, 1);
	assert_contains(world->passed_text, "INVITE sip:user1@192.0.2.1");
	assert_int_equal(world->sent_count, 0);
}

static void register_from_the_core_gets_405_with_allow(void **state)
{
	struct world *world = *state;

	world_core_request(world, 0, "REGISTER", "sip:example.net", "", "d1", "");
	assert_status(world, 0, "405");
	assert_contains(world_header(world->sent[0].text, "Allow"), "INVITE");
}

static void options_to_ourselves_is_answered_for_anyone(void **state)
{
	struct world *world = *state;

	world_client_request(world, 1, "OPTIONS", "sip:127.0.0.1:5060", "o1", "");
	assert_status(world, 0, "200");
	proxy_stop_new_work(world->proxy);
	world_client_request(world, 1, "OPTIONS", "sip:127.0.0.1:5060", "o2", "");
	assert_status(world, 1, "503");
	assert_true(atoi(world_header(world->sent[1].text, "Retry-After")) > 0);
}

static void validation_comes_before_standing(void **state)
{
	struct world *world = *state;

	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "v1",
	                     "Max-Forwards: 0\r\n");
	assert_status(world, 0, "483");
	world_client_request(world, 1, "MESSAGE", "http://example.net", "v2", "");
	assert_status(world, 1, "416");
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "v3",
	                     "Proxy-Require: foo, bar\r\n");
	assert_status(world, 2, "420");
	assert_contains(world_header(world->sent[2].text, "Unsupported"), "foo");
}

static void a_request_that_comes_back_unchanged_is_a_loop(void **state)
{
	struct world *world = *state;
	struct hop hop = world_client_hop(1);
	char text[4096];

	world_register(world, 1);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "l1", "");
	snprintf(text, sizeof(text),
	         "MESSAGE sip:bob@example.net SIP/2.0\r\n"
	         "Via: SIP/2.0/UDP 192.0.2.1:10001;branch=z9hG4bKother;rport\r\n"
	         "Via: %s\r\n"
	         "From: <sip:user1@example.net>;tag=f1\r\nTo: <sip:user@example.net>\r\n"
	         "Call-ID: l1\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
	         world_header(world->sent[0].text, "Via"));
	world_packet(world, &hop, text);
	assert_status(world, 1, "482");
}

static void cancel_waits_for_a_provisional_and_takes_the_reason_along(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", contact);
	world_client_request(world, 1, "CANCEL", "sip:bob@example.net", "c1",
	                     "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n");
	assert_int_equal(world->sent_count, 2); /* 200 to the CANCEL, nothing to the Sprout yet */
	assert_status(world, 1, "200");
	world_answer(world, 0, "100 Trying", "");
	assert_int_equal(world->sent_count, 3);
	assert_memory_equal(world->sent[2].text, "CANCEL sip:bob@example.net SIP/2.0\r\n", 35);
	assert_contains(world->sent[2].text,
	                "Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n");
	world_answer(world, 0, "487 Request Terminated", "");
	assert_int_equal(world->sent_count, 5); /* ACK down, 487 up */
	{
		unsigned up = world->sent[3].hop.side == SIDE_ACCESS ? 3 : 4;

		assert_status(world, up, "487");
		assert_memory_equal(world->sent[7 - up].text, "ACK ", 4);
	}
}

static void cancel_from_an_anonymous_from_is_answered(void **state)
{
	struct world *world = *state;
	struct hop hop = world_client_hop(1);

	world_register(world, 1);
	world_packet(world, &hop,
	             "INVITE sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/UDP "
	             "192.0.2.1:10001;branch=z9hG4bKanon;rport\r\n"
	             "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=a\r\nTo: "
	             "<sip:bob@example.net>\r\n"
	             "Call-ID: anon\r\nCSeq: 1 INVITE\r\nContact: "
	             "<sip:user1@192.0.2.1>\r\nContent-Length: 0\r\n\r\n");
	world_answer(world, 0, "180 Ringing", "");
	world_packet(world, &hop,
	             "CANCEL sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/UDP "
	             "192.0.2.1:10001;branch=z9hG4bKanon;rport\r\n"
	             "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=a\r\nTo: "
	             "<sip:bob@example.net>\r\n"
	             "Call-ID: anon\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(world->sent_count, 4);
	assert_status(world, 2, "200");
	assert_memory_equal(world->sent[3].text, "CANCEL ", 7);
}

static void a_cancel_of_nothing_gets_481(void **state)
{
	struct world *world = *state;

	world_client_request(world, 1, "CANCEL", "sip:bob@example.net", "none", "");
	assert_status(world, 0, "481");
}

static void every_2xx_and_its_ack_pass(void **state)
{
	struct world *world = *state;
	char lines[512];

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", contact);
	world_answer(world, 0, "200 OK", "Contact: <sip:bob@203.0.113.5>\r\n");
	world_answer(world, 0, "200 OK", "Contact: <sip:bob@203.0.113.5>\r\n");
	assert_int_equal(world->sent_count, 3);
	assert_status(world, 1, "200");
	assert_status(world, 2, "200");
	snprintf(lines, sizeof(lines), "To: <sip:user@example.net>;tag=callee\r\n%s",
	         world_route(world, 1, "<sip:127.0.1.1:5054;transport=tcp;lr>"));
	world_client_request(world, 1, "ACK", "sip:bob@203.0.113.5", "c1ack", lines);
	assert_int_equal(world->sent_count, 4);
	assert_memory_equal(world->sent[3].text,
	                    "ACK sip:bob@203.0.113.5 SIP/2.0\r\nVia: SIP/2.0/TCP ", 50);
	assert_int_equal(world_target_of(&world->sent[3].hop.remote), 0);
}

static void the_body_crosses_unchanged(void **state)
{
	struct world *world = *state;
	struct hop hop = world_client_hop(1);
	static const char head[] =
		"MESSAGE sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/UDP "
		"192.0.2.1:10001;branch=z9hG4bKb;rport\r\n"
		"From: <sip:user1@example.net>;tag=a\r\nTo: <sip:bob@example.net>\r\nCall-ID: "
		"b\r\nCSeq: 1 MESSAGE\r\n"
		"Content-Type: application/octet-stream\r\nContent-Length: 9\r\n\r\n";
	static const char body[9] = {'a', '\0', '\r', '\n', '\r', '\n', (char)0xff, '\r', 'z'};
	char bytes[sizeof(head) - 1 + sizeof(body)];
	struct packet packet = {slice_of(bytes, sizeof(bytes)), hop};
	const char *end;

	memcpy(bytes, head, sizeof(head) - 1);
	memcpy(bytes + sizeof(head) - 1, body, sizeof(body));
	world_register(world, 1);
	proxy_on_packet(world->proxy, &packet, false);
	assert_int_equal(world->sent_count, 1);
	end = strstr(world->sent[0].text, "\r\n\r\n");
	assert_non_null(end);
	assert_memory_equal(end + 4, body, sizeof(body));
}

static void a_stray_response_is_dropped(void **state)
{
	struct world *world = *state;
	struct hop hop = world_client_hop(1);

	world_packet(world, &hop,
	             "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKnone\r\n"
	             "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: s\r\nCSeq: 1 "
	             "INVITE\r\n\r\n");
	assert_int_equal(world->sent_count, 0);
}

static void a_call_between_two_own_clients_without_a_sprout_in_between_comes_to_us_again(
	void **state)
{
	struct world *world = *state;
	char lines[1024];
	char beyond[512];
	const char *two;

	world_register(world, 1);
	world_register(world, 2);
	two = flow_token_text(world_flow(world, 2));
	snprintf(beyond, sizeof(beyond),
	         "<sip:%s@127.0.0.1:5058;transport=tcp;lr>,<sip:%s@127.0.0.1:5060;lr>", two, two);
	snprintf(lines, sizeof(lines), "To: <sip:bob@example.net>;tag=b\r\n%s",
	         world_route(world, 1, beyond));
	world_client_request(world, 1, "BYE", "sip:user2@192.0.2.1:10002", "c1", lines);
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(address_port(&world->sent[0].hop.remote), 5058);
	assert_contains(world_header(world->sent[0].text, "Route"), two);
}

static unsigned count_sent(const struct world *world, const char *begin)
{
	unsigned n = 0;

	for (unsigned i = 0; i < world->sent_count; i++)
		n += strncmp(world->sent[i].text, begin, strlen(begin)) == 0;
	return n;
}

/* RFC 3261 16.6 step 11, 16.7 step 2, 16.8: more than three minutes after the last provisional but 100. */
static void a_call_that_rings_for_ever_is_cancelled_by_timer_c(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1",
	                     "Contact: <sip:user1@192.0.2.1:10001>\r\n");
	world_answer(world, 0, "180 Ringing", "");
	world_walk(world, 150000);
	world_answer(world, 0, "183 Session Progress", ""); /* it begins anew */
	world_walk(world, 100000);
	world_answer(world, 0, "100 Trying", ""); /* this one says nothing of the callee */
	assert_int_equal(count_sent(world, "CANCEL "), 0);
	world_walk(world, 79000);
	assert_int_equal(count_sent(world, "CANCEL "), 0);
	world_walk(world, 20000);
	assert_int_equal(count_sent(world, "CANCEL "), 1);
	world_answer(world, 0, "487 Request Terminated", "");
	assert_int_equal(count_sent(world, "SIP/2.0 487 "), 1);
	assert_int_equal(count_sent(world, "ACK "), 1);
	assert_int_equal(proxy_busy(world->proxy), 0);
}

static void a_call_whose_cancel_nobody_answers_ends_with_408(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_core_to_client(world, 1, "INVITE", "d1", "");
	world_answer(world, 0, "180 Ringing", "");
	world_walk(world, 300000);
	assert_true(count_sent(world, "CANCEL ") > 0);
	assert_true(count_sent(world, "SIP/2.0 408 ") > 0);
	assert_int_equal(proxy_busy(world->proxy), 0);
}

/* RFC 4320 4.2: whoever sent a request other than INVITE has given up by himself. */
static void a_silent_phone_makes_no_408_but_for_an_invite(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_core_to_client(world, 1, "MESSAGE", "d1", "");
	world_walk(world, 60000);
	assert_int_equal(count_sent(world, "SIP/2.0 "), 0);
	assert_int_equal(proxy_busy(world->proxy), 0);
	world_core_to_client(world, 1, "INVITE", "d2", "");
	world_walk(world, 60000);
	assert_true(count_sent(world, "SIP/2.0 408 ") > 0);
	assert_int_equal(proxy_busy(world->proxy), 0);
}

/* RFC 3261 16.7 step 6: the core would take it for our word, and for all clients. */
static void a_phones_503_is_not_ours(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_core_to_client(world, 1, "INVITE", "d1", "");
	world_answer(world, world->sent_count - 1, "503 Service Unavailable",
	             "Retry-After: 100000\r\n");
	assert_int_equal(count_sent(world, "SIP/2.0 503 "), 0);
	assert_int_equal(count_sent(world, "SIP/2.0 500 "), 1);
	assert_int_equal(count_sent(world, "ACK "), 1);
	assert_null(strstr(world->sent[world->sent_count - 1].text, "Retry-After"));
	assert_int_equal(proxy_busy(world->proxy), 0);
}

/* A call each way with all that belongs to it: 180, 200, ACK, BYE. */
static void calls_scene(void *arg)
{
	enum target_state up[WORLD_TARGETS] = {TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP};
	struct world world;

	world_init(&world, TRANSPORT_TCP);
	if (world_build(&world) == 0) {
		struct view *view = world_make_view(TRANSPORT_TCP, up);

		proxy_set_view(world.proxy, view);
		snapshot_release(&view->snapshot);
		world_client_register_over(&world, 1, "r1", "");
		if (count_sent(&world, "REGISTER ") > 0)
			world_answer(&world, 0, "200 OK",
			             "Contact: <sip:user1@192.0.2.1:10001>;expires=600\r\n");
		for (unsigned way = 0; way < 2; way++) {
			static const char *const methods[] = {"INVITE", "ACK", "BYE"};

			for (unsigned i = 0; i < ARRAY_LENGTH(methods); i++) {
				char call_id[16];

				snprintf(call_id, sizeof(call_id), "c%u%u", way, i);
				world_forget_sent(&world);
				if (way == 0)
					world_client_request(&world, 1, methods[i],
					                     "sip:bob@example.net", call_id,
					                     i == 0 ? ""
					                            : "To: <sip:b@c>;tag=1\r\n");
				else if (world_flow(&world, 1) != NULL)
					world_core_to_client(&world, 1, methods[i], call_id, "");
				if (i == 1 || world.sent_count == 0 ||
				    strncmp(world.sent[0].text, methods[i], 3) != 0)
					continue;
				world_answer(&world, 0, "180 Ringing", "");
				world_answer(&world, 0, "200 OK", "");
				world_answer(&world, 0, "200 OK", "");
			}
		}
		world_walk(&world, 70000);
		assert_int_equal(proxy_busy(world.proxy), 0);
	}
	world_free(&world);
}

static void no_failed_allocation_leaves_a_dialog_without_an_end(void **state)
{
	world_bears_the_end_of_memory(state, calls_scene, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(an_unregistered_client_gets_403),
		world_test(a_registered_client_is_named_and_routed),
		world_test(a_preferred_identity_is_honoured_only_if_it_is_ones_own),
		world_test(record_routes_are_double_and_carry_the_token),
		world_test(in_dialog_requests_follow_their_route_set),
		world_test(a_made_up_route_does_not_make_us_dial),
		world_test(the_core_reaches_a_client_by_its_token),
		world_test(an_asserted_identity_is_hidden_when_privacy_asks),
		world_test(the_token_below_our_bare_name_leads_to_the_client),
		world_test(a_forged_token_gets_403_and_a_gone_flow_430),
		world_test(a_token_of_another_worker_moves_the_bytes_there),
		world_test(register_from_the_core_gets_405_with_allow),
		world_test(options_to_ourselves_is_answered_for_anyone),
		world_test(validation_comes_before_standing),
		world_test(a_request_that_comes_back_unchanged_is_a_loop),
		world_test(cancel_waits_for_a_provisional_and_takes_the_reason_along),
		world_test(cancel_from_an_anonymous_from_is_answered),
		world_test(a_cancel_of_nothing_gets_481),
		world_test(every_2xx_and_its_ack_pass),
		world_test(the_body_crosses_unchanged),
		world_test(a_stray_response_is_dropped),
		world_test(
			a_call_between_two_own_clients_without_a_sprout_in_between_comes_to_us_again),
		world_test(a_call_that_rings_for_ever_is_cancelled_by_timer_c),
		world_test(a_call_whose_cancel_nobody_answers_ends_with_408),
		world_test(a_silent_phone_makes_no_408_but_for_an_invite),
		world_test(a_phones_503_is_not_ours),
		cmocka_unit_test(no_failed_allocation_leaves_a_dialog_without_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
