/* What clients may try: to condemn Sprouts, to answer for others, to be relayed past the rules; and our limits. */
#include "support/proxy_world.h"

static const char *const contact = "Contact: <sip:user1@192.0.2.1>\r\n";

/* ---- answers in the name of others ---- */

/* The Vias that a client reads in a request from the core tell our branch toward the core. */
static void a_client_cannot_answer_in_the_name_of_the_core(void **state)
{
	struct world *world = *state;
	struct hop callee = world_client_hop(2);
	char text[4096];

	world_register(world, 1);
	world_register(world, 2);
	world_client_request(world, 1, "INVITE", "sip:user2@example.net", "c1", contact);
	assert_int_equal(world->sent_count, 1);
	snprintf(text, sizeof(text),
	         "SIP/2.0 200 OK\r\nVia: %s\r\nVia: %s\r\n"
	         "From: <sip:user1@example.net>;tag=f1\r\nTo: <sip:user@example.net>;tag=evil\r\n"
	         "Call-ID: c1\r\nCSeq: 1 INVITE\r\nP-Asserted-Identity: <sip:boss@example.net>\r\n"
	         "Contact: <sip:evil@192.0.2.1>\r\nContent-Length: 0\r\n\r\n",
	         world_header(world->sent[0].text, "Via"),
	         "SIP/2.0/UDP 192.0.2.1:10001;branch=z9hG4bKc1;rport");
	world_packet(world, &callee, text);
	assert_int_equal(world->sent_count, 1);
	world_answer(world, 0, "486 Busy Here", "");
	assert_int_equal(world->sent_count, 3); /* ACK and 486: the Sprout's word still counts */
}

static void a_client_answers_what_was_sent_to_it(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < 4; i++) { /* whatever the parity the source stands at */
		char call_id[8];

		snprintf(call_id, sizeof(call_id), "d%u", i);
		world_core_to_client(world, 1, "MESSAGE", call_id, "");
		world_answer(world, 0, "200 OK", "");
		assert_status(world, 1, "200");
		world_forget_sent(world);
		world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", call_id, "");
		world_answer(world, 0, "200 OK", "");
		assert_status(world, 1, "200");
		world_forget_sent(world);
		world->branches.next++;
	}
}

/* ---- condemning Sprouts ---- */

static void a_request_too_long_for_datagrams_gets_513_and_blames_nobody(void **state)
{
	struct world *world = *state;

	world->send_error = -EMSGSIZE;
	world_client_register_over(world, 1, "r1", "");
	world_walk(world, 10);
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "513");
	for (unsigned i = 0; i < world->report_count; i++)
		assert_int_equal(world->reports[i].input, HEALTH_TRAFFIC_ANSWERED);
	assert_int_equal(proxy_busy(world->proxy), 0);
}

static void a_silent_phone_is_no_evidence_against_its_sprout(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "MESSAGE", "sip:user1@example.net", "m1", "");
	world_client_request(world, 1, "MESSAGE", "sip:user1@example.net", "m2", "");
	world_walk(world, 40000);
	assert_false(world_reported(world, HEALTH_TRAFFIC_SILENT));
}

static void silence_to_an_invite_is_evidence(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", contact);
	world_walk(world, 600);
	assert_true(world_reported(world, HEALTH_TRAFFIC_SILENT));
}

/* ---- one attempt at a time ---- */

static void the_end_of_a_target_given_up_starts_no_further_attempt(void **state)
{
	struct world *world = *state;
	struct hop first;

	world_client_register_over(world, 1, "r1", "");
	world_walk(world, 501);
	assert_int_equal(world->sent_count, 2);
	first = world->sent[0].hop;
	txn_table_hop_lost(world->txns, &first, ECONNRESET);
	world_walk(world, 10);
	assert_int_equal(world->sent_count, 2); /* the second is being asked */
	world_answer(world, 1, "200 OK", "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
	assert_status(world, 2, "200");
}

static void a_late_503_of_a_target_given_up_starts_no_further_attempt(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "");
	world_walk(world, 501);
	world_answer(world, 0, "503 Service Unavailable", "");
	assert_int_equal(world->sent_count, 2);
	world_answer(world, 1, "503 Service Unavailable", "");
	assert_int_equal(world->sent_count, 3); /* now the third has its turn */
	assert_memory_equal(world->sent[2].text, "REGISTER", 8);
}

/* ---- limits ---- */

static void at_the_limit_of_transactions_a_client_gets_503(void **state)
{
	struct world *world = *state;

	world_free(world);
	world_init(world, TRANSPORT_TCP);
	world->txn_limit = 1;
	assert_int_equal(world_build(world), 0);
	world_set_states(world, TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP);
	world_client_register_over(world, 1, "r1", "");
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "503");
	assert_true(atoi(world_header(world->sent[0].text, "Retry-After")) > 0);
	assert_int_equal(world->report_count, 0); /* no Sprout is to blame */
}

static void a_register_that_cannot_be_read_makes_no_flow(void **state)
{
	struct world *world = *state;

	world_client_request(
		world, 1, "REGISTER", "sip:example.net", "r1",
		"To: <sip:user1@example.net>\r\nContact: <sip:user1@192.0.2.1:99999>\r\n");
	assert_status(world, 0, "400");
	assert_null(world_flow(world, 1));
}

/* The shortest requests of each kind of answer that we make: compact names, no rport, nothing to spare. */
static void an_answer_to_a_stranger_is_hardly_longer_than_its_request(void **state)
{
	static const struct {
		const char *line, *more, *status;
	} cases[] = {
		{"OPTIONS sip:127.0.0.1:5060", "", "200"},
		{"MESSAGE sip:b", "", "403"},
		{"MESSAGE sip:b", "Max-Forwards: 0\r\n", "483"},
		{"MESSAGE x:b", "", "416"},
		{"MESSAGE sip:b", "Proxy-Require: a\r\n", "420"},
		{"MESSAGE sip:b", "Max-Forwards: x\r\n", "400"},
		{"CANCEL sip:b", "", "481"},
		{"REGISTER sip:b", "m: *;q\r\n", "400"},
		{"REGISTER sip:b", "", "503"}, /* by its transaction, at the deadline */
	};
	struct world *world = *state;
	struct hop hop = world_client_hop(1);
	char text[1024], expected[32];

	for (unsigned i = 0; i < WORLD_TARGETS; i++)
		world->open_error[i] = -ECONNREFUSED;
	for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
		snprintf(text, sizeof(text),
		         "%s SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bK%u\r\n"
		         "f:sip:u@a;tag=1\r\nt:sip:u@a\r\ni:x%u\r\nCSeq:1 %.*s\r\n%s\r\n",
		         cases[i].line, i, i, (int)strcspn(cases[i].line, " "), cases[i].line,
		         cases[i].more);
		world_packet(world, &hop, text);
		world_walk(world, 9000);
		assert_int_equal(world->sent_count, 1);
		snprintf(expected, sizeof(expected), "SIP/2.0 %s ", cases[i].status);
		assert_memory_equal(world->sent[0].text, expected, strlen(expected));
		if (strlen(world->sent[0].text) > strlen(text) + 128)
			fail_msg("%zu bytes for %zu:\n%s", strlen(world->sent[0].text),
			         strlen(text), world->sent[0].text);
		world_forget_sent(world);
	}
}

/* ---- routes made up ---- */

static void a_way_to_ourselves_that_fails_leads_to_a_sprout(void **state)
{
	struct world *world = *state;
	char lines[1024];
	char beyond[256];

	world_register(world, 1);
	world_register(world, 2);
	snprintf(beyond, sizeof(beyond), "<sip:%s@127.0.0.1:5058;transport=tcp;lr>",
	         flow_token_text(world_flow(world, 2)));
	snprintf(lines, sizeof(lines), "To: <sip:user2@example.net>;tag=b\r\n%s",
	         world_route(world, 1, beyond));
	world->other_open_error = -EMFILE;
	world_client_request(world, 1, "BYE", "sip:user2@192.0.2.1:10002", "c1", lines);
	assert_int_equal(world->sent_count, 1);
	assert_true(world_target_of(&world->sent[0].hop.remote) >= 0);
}

static void a_spiral_carries_the_identity_we_vouch_for(void **state)
{
	struct world *world = *state;
	char lines[1024];
	char beyond[256];

	world_register(world, 1);
	world_register(world, 2);
	snprintf(beyond, sizeof(beyond), "<sip:%s@127.0.0.1:5058;transport=tcp;lr>",
	         flow_token_text(world_flow(world, 2)));
	snprintf(lines, sizeof(lines),
	         "To: <sip:user2@example.net>;tag=b\r\nP-Asserted-Identity: "
	         "<sip:boss@example.net>\r\n%s",
	         world_route(world, 1, beyond));
	world_client_request(world, 1, "BYE", "sip:user2@192.0.2.1:10002", "c1", lines);
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(world->sent[0].hop.side, SIDE_CORE);
	assert_int_equal(world_target_of(&world->sent[0].hop.remote), -1); /* ourselves */
	assert_lacks(world->sent[0].text, "boss");
}

/* A Contact at our own address is a user of that name, not the mark of a strict router. */
static void a_user_at_our_address_keeps_its_request_uri(void **state)
{
	struct world *world = *state;
	char route[256];

	world_register(world, 1);
	snprintf(route, sizeof(route), "<sip:%s@127.0.0.1:5058;transport=tcp;lr;ob>",
	         flow_token_text(world_flow(world, 1)));
	world_core_request(world, 0, "MESSAGE", "sip:user1@127.0.0.1:5060", route, "d1", "");
	assert_int_equal(world->sent_count, 1);
	assert_memory_equal(world->sent[0].text, "MESSAGE sip:user1@127.0.0.1:5060 SIP/2.0\r\n",
	                    42);
	assert_lacks(world->sent[0].text, "\r\nRoute:");
}

/* ---- CANCEL ---- */

static void a_cancelled_invite_that_nobody_answers_ends_with_487(void **state)
{
	struct world *world = *state;
	unsigned last;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", contact);
	world_client_request(world, 1, "CANCEL", "sip:bob@example.net", "c1", "");
	world_walk(world, 9000);
	last = world->sent_count - 1;
	while (last > 0 && strncmp(world->sent[last].text, "SIP/2.0 487", 11) != 0)
		last--;
	assert_status(world, last, "487");
	assert_int_equal(proxy_busy(world->proxy), 0);
}

static void a_cancel_from_another_client_reaches_nothing(void **state)
{
	struct world *world = *state;
	struct hop stranger = {.transport = TRANSPORT_UDP, .side = SIDE_ACCESS, .listener = 0};

	assert_true(address_parse_host(SLICE_LITERAL("192.0.2.66"), 10001, &stranger.remote));
	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", contact);
	world_answer(world, 0, "180 Ringing", "");
	world_forget_sent(world);
	world_packet(world, &stranger,
	             "CANCEL sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/UDP "
	             "192.0.2.1:10001;branch=z9hG4bKc1;rport\r\n"
	             "From: <sip:user1@example.net>;tag=f1\r\nTo: <sip:user@example.net>\r\n"
	             "Call-ID: c1\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "481");
}

static void call_scene(void *arg)
{
	struct world world;

	world_init(&world, TRANSPORT_TCP);
	if (world_build(&world) == 0) {
		enum target_state up[WORLD_TARGETS] = {TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP};
		struct view *view = world_make_view(TRANSPORT_TCP, up);

		proxy_set_view(world.proxy, view);
		snapshot_release(&view->snapshot);
		world_client_register_over(&world, 1, "r1", "");
		if (world.sent_count > 0 && strncmp(world.sent[0].text, "REGISTER", 8) == 0)
			world_answer(&world, 0, "200 OK",
			             "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
		world_forget_sent(&world);
		world_client_request(&world, 1, "INVITE", "sip:bob@example.net", "c1", contact);
		if (world.sent_count > 0 && strncmp(world.sent[0].text, "INVITE", 6) == 0)
			world_answer(&world, 0, "180 Ringing", "");
		world_client_request(&world, 1, "CANCEL", "sip:bob@example.net", "c1",
		                     "Reason: SIP;cause=200\r\n");
		if (world.sent_count > 0 && strncmp(world.sent[0].text, "INVITE", 6) == 0)
			world_answer(&world, 0, "487 Request Terminated", "");
		if (world_flow(&world, 1) != NULL)
			world_core_to_client(&world, 1, "INVITE", "d1", "");
		world_walk(&world, 70000);
		assert_int_equal(proxy_busy(world.proxy), 0);
	}
	world_free(&world);
}

static void no_failed_allocation_leaves_a_call_without_an_end(void **state)
{
	world_bears_the_end_of_memory(state, call_scene, 0);
}

static int setup_udp(void **state)
{
	return world_setup_over(state, TRANSPORT_UDP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_client_cannot_answer_in_the_name_of_the_core),
		world_test(a_client_answers_what_was_sent_to_it),
		cmocka_unit_test_setup_teardown(
			a_request_too_long_for_datagrams_gets_513_and_blames_nobody, setup_udp,
			world_teardown),
		world_test(a_silent_phone_is_no_evidence_against_its_sprout),
		world_test(silence_to_an_invite_is_evidence),
		world_test(the_end_of_a_target_given_up_starts_no_further_attempt),
		world_test(a_late_503_of_a_target_given_up_starts_no_further_attempt),
		world_test(at_the_limit_of_transactions_a_client_gets_503),
		world_test(a_register_that_cannot_be_read_makes_no_flow),
		world_test(an_answer_to_a_stranger_is_hardly_longer_than_its_request),
		world_test(a_way_to_ourselves_that_fails_leads_to_a_sprout),
		world_test(a_spiral_carries_the_identity_we_vouch_for),
		world_test(a_user_at_our_address_keeps_its_request_uri),
		world_test(a_cancelled_invite_that_nobody_answers_ends_with_487),
		world_test(a_cancel_from_another_client_reaches_nothing),
		cmocka_unit_test(no_failed_allocation_leaves_a_call_without_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
