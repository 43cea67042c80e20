/*
 * Server transactions against figures 7 and 8 of RFC 3261 (7 as RFC 6026 7.1 redraws it) and RFC 4320.
 */
#include "unit/transaction/stage.h"

struct row {
	enum sip_transport transport;
	const char *before; /* leads to the state the row begins in */
	const char *input;
	const char *expected; /* state | sent | told */
};

static void play_rows(const char *method, const struct row *rows, size_t count)
{
	for (const struct row *row = rows; row < rows + count; row++) {
		struct stage stage;
		const char *seen;

		stage_build(&stage, row->transport);
		assert_int_equal(stage_serve(&stage, (struct lines){.method = method}), 0);
		stage_play(&stage, method, row->before, stage_play_server);
		stage_look(&stage);
		stage_play(&stage, method, row->input, stage_play_server);
		seen = stage_look(&stage);
		if (strcmp(seen, row->expected) != 0)
			fail_msg("%s over %s, [%s] then [%s]: expected \"%s\", saw \"%s\"", method,
			         transport_name(row->transport), row->before, row->input,
			         row->expected, seen);
		stage_strike(&stage);
	}
}

static void invite_follows_figure_7(void **state)
{
	static const struct row rows[] = {
		/* PROCEEDING */
		{TRANSPORT_UDP, "", "", "proceeding |  | "},
		{TRANSPORT_UDP, "", "again", "proceeding |  | "},
		{TRANSPORT_UDP, "", "+199", "proceeding |  | "},
		{TRANSPORT_UDP, "", "+200", "proceeding | 100 | "},
		{TRANSPORT_UDP, "+200", "+60000", "proceeding |  | "},
		{TRANSPORT_UDP, "+200", "again", "proceeding | 100 | "},
		{TRANSPORT_UDP, "", "180", "proceeding | 180 | "},
		{TRANSPORT_UDP, "180", "+60000", "proceeding |  | "},
		{TRANSPORT_UDP, "180", "again", "proceeding | 180 | "},
		{TRANSPORT_UDP, "180 183", "again again", "proceeding | 183 183 | "},
		{TRANSPORT_UDP, "180", "200", "accepted | 200 | "},
		{TRANSPORT_UDP, "180", "302", "completed | 302 | "},
		{TRANSPORT_UDP, "180", "486", "completed | 486 | "},
		{TRANSPORT_UDP, "180", "699", "completed | 699 | "},
		{TRANSPORT_UDP, "", "r180", "proceeding | 180 | "},
		{TRANSPORT_UDP, "", "r486", "completed | 486 | "},
		{TRANSPORT_UDP, "", "r200", "accepted | 200 | "},
		{TRANSPORT_UDP, "", "408", "completed | 408 | "},
		{TRANSPORT_UDP, "", "ack", "proceeding |  | absorbed"},
		{TRANSPORT_UDP, "180", "cancel", "proceeding |  | cancels"},
		{TRANSPORT_TCP, "broken", "180 +0", "proceeding | 180 | "},
		{TRANSPORT_TCP, "", "+200", "proceeding | 100 | "},
		/* COMPLETED: timers G and H, ACK */
		{TRANSPORT_UDP, "486", "again", "completed | 486 | "},
		{TRANSPORT_UDP, "486", "+499", "completed |  | "},
		{TRANSPORT_UDP, "486", "+500", "completed | 486 | "},
		{TRANSPORT_UDP, "486", "ack", "confirmed |  | absorbed"},
		{TRANSPORT_UDP, "486", "180 200 603 r500", "completed |  | "},
		{TRANSPORT_UDP, "486", "cancel", "completed |  | cancels"},
		{TRANSPORT_UDP, "486 +31500", "+499", "completed |  | "},
		{TRANSPORT_UDP, "486 +31500", "+500", "gone |  | ended"},
		{TRANSPORT_UDP, "broken", "486 +0", "completed | 486 | "},
		{TRANSPORT_TCP, "486", "again", "completed | 486 | "},
		{TRANSPORT_TCP, "486", "+31999", "completed |  | "},
		{TRANSPORT_TCP, "486", "+32000", "gone |  | ended"},
		{TRANSPORT_TCP, "486", "ack +0", "gone |  | absorbed ended"},
		{TRANSPORT_TCP, "broken", "486 +0", "gone | 486 | ended"},
		/* CONFIRMED: timer I */
		{TRANSPORT_UDP, "486 ack", "again", "confirmed |  | "},
		{TRANSPORT_UDP, "486 ack", "ack", "confirmed |  | absorbed"},
		{TRANSPORT_UDP, "486 ack", "200 r500", "confirmed |  | "},
		{TRANSPORT_UDP, "486 ack", "+4999", "confirmed |  | "},
		{TRANSPORT_UDP, "486 ack", "+5000", "gone |  | ended"},
		/* ACCEPTED, RFC 6026: timer L, on every transport */
		{TRANSPORT_UDP, "200", "again", "accepted |  | "},
		{TRANSPORT_UDP, "200", "200 202", "accepted | 200 202 | "},
		{TRANSPORT_UDP, "200", "180 486 r200", "accepted |  | "},
		{TRANSPORT_UDP, "200", "ack", "accepted |  | passed"},
		{TRANSPORT_UDP, "200", "+31999", "accepted |  | "},
		{TRANSPORT_UDP, "200", "+32000", "gone |  | ended"},
		{TRANSPORT_TCP, "200", "+31999", "accepted |  | "},
		{TRANSPORT_TCP, "200", "+32000", "gone |  | ended"},
		{TRANSPORT_TCP, "broken", "200 +0", "accepted | 200 | "},
	};

	(void)state;
	play_rows("INVITE", rows, ARRAY_LENGTH(rows));
}

static void other_methods_follow_figure_8_and_rfc_4320(void **state)
{
	static const struct row rows[] = {
		/* TRYING; nothing early, not even a 100 (RFC 4320 4.1) */
		{TRANSPORT_UDP, "", "", "trying |  | "},
		{TRANSPORT_UDP, "", "again", "trying |  | "},
		{TRANSPORT_UDP, "", "+60000", "trying |  | "},
		{TRANSPORT_UDP, "", "100 180 r183", "trying |  | "},
		{TRANSPORT_UDP, "", "200", "completed | 200 | "},
		{TRANSPORT_UDP, "", "r404", "completed | 404 | "},
		{TRANSPORT_UDP, "", "ack", "trying |  | passed"},
		{TRANSPORT_UDP, "", "cancel", "trying |  | nothing"},
		/* no 408 (RFC 4320 4.2) */
		{TRANSPORT_UDP, "", "r408 +0", "gone |  | ended"},
		{TRANSPORT_UDP, "", "408 +0", "gone |  | ended"},
		{TRANSPORT_TCP, "", "408 +0", "gone |  | ended"},
		/* COMPLETED: timer J */
		{TRANSPORT_UDP, "200", "again again", "completed | 200 200 | "},
		{TRANSPORT_UDP, "200", "100 200 404 408 r500", "completed |  | "},
		{TRANSPORT_UDP, "200", "+31999", "completed |  | "},
		{TRANSPORT_UDP, "200", "+32000", "gone |  | ended"},
		{TRANSPORT_UDP, "broken", "200 +0", "completed | 200 | "},
		{TRANSPORT_TCP, "", "200", "completed | 200 | "},
		{TRANSPORT_TCP, "200", "+0", "gone |  | ended"},
		{TRANSPORT_TCP, "broken", "200 +0", "gone | 200 | ended"},
	};

	(void)state;
	play_rows("OPTIONS", rows, ARRAY_LENGTH(rows));
	play_rows("REGISTER", rows, ARRAY_LENGTH(rows));
	play_rows("BREW", rows, ARRAY_LENGTH(rows));
}

static void timer_g_doubles_up_to_t2_until_timer_h(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){0}), 0);
	stage_play(&stage, "INVITE", "486 +40000", stage_play_server);
	assert_string_equal(stage.times,
	                    "0 500 1500 3500 7500 11500 15500 19500 23500 27500 31500");
	assert_string_equal(stage.told, "ended");
	stage_strike(&stage);
}

static void an_ended_transaction_leaves_the_table_before_it_tells(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_TCP);
	assert_int_equal(stage_serve(&stage, (struct lines){.method = "OPTIONS"}), 0);
	assert_int_equal(txn_table_busy(stage.table), 1);
	stage_play(&stage, "OPTIONS", "408", stage_play_server);
	/* the callback never comes from inside the call */
	assert_string_equal(stage_look(&stage), "terminated |  | ");
	assert_int_equal(txn_table_count(stage.table), 0);
	assert_int_equal(stage_request_comes(&stage, (struct lines){.method = "OPTIONS"}),
	                 TXN_NONE);
	stage_play(&stage, "OPTIONS", "200 r200 +0", stage_play_server);
	assert_string_equal(stage_look(&stage), "gone |  | ended");
	stage_strike(&stage);
}

static void our_answers_of_one_transaction_have_one_to_tag(void **state)
{
	struct stage stage;
	char first[64] = "", second[64] = "";

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){.to_tag = ""}), 0);
	stage_play(&stage, "INVITE", "r180", stage_play_server);
	assert_non_null(strstr(stage.last, "example.net>;tag=a1"));
	assert_int_equal(sscanf(strstr(stage.last, "\r\nTo: "), "\r\nTo: %63[^\r]", first), 1);
	stage_play(&stage, "INVITE", "r486", stage_play_server);
	assert_int_equal(sscanf(strstr(stage.last, "\r\nTo: "), "\r\nTo: %63[^\r]", second), 1);
	assert_string_equal(first, second);
	assert_non_null(strstr(first, ";tag="));
	stage_strike(&stage);
}

static void our_trying_has_no_to_tag(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){0}), 0);
	stage_play(&stage, "INVITE", "+200", stage_play_server);
	assert_memory_equal(stage.last, "SIP/2.0 100 Trying\r\n", 20);
	assert_null(strstr(strstr(stage.last, "\r\nTo: "), ";tag=b"));
	assert_null(strstr(stage.last, "bob@example.net>;tag"));
	stage_strike(&stage);
}

static void extra_lines_travel_with_our_answer(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){.method = "OPTIONS"}), 0);
	server_txn_reply(stage.server, 503, "Service Unavailable",
	                 SLICE_LITERAL("Retry-After: 7\r\n"));
	assert_memory_equal(stage.last, "SIP/2.0 503 Service Unavailable\r\n", 33);
	assert_non_null(strstr(stage.last, "\r\nRetry-After: 7\r\n"));
	stage_strike(&stage);
}

static void answers_go_where_reply_to_says(void **state)
{
	struct hop reply_to;
	struct stage stage;
	struct message *request;

	stage_build(&stage, TRANSPORT_UDP);
	reply_to = stage.hop;
	address_set_port(&reply_to.remote, 5099); /* 18.2.2: no rport, the sent-by port */
	request = stage_request((struct lines){.method = "OPTIONS"});
	assert_int_equal(server_txn_create(stage.table, request, &stage.hop, &reply_to,
	                                   &stage_server_events, &stage, &stage.server),
	                 0);
	message_destroy(&request);
	stage_play(&stage, "OPTIONS", "r200 again", stage_play_server);
	assert_string_equal(stage.sent, "200 200");
	assert_int_equal(address_port(&stage.last_hop.remote), 5099);
	assert_int_equal(address_port(&server_txn_hop(stage.server)->remote), 5099);
	stage_strike(&stage);
}

static void a_forgotten_transaction_answers_on_but_tells_nobody(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){0}), 0);
	assert_ptr_equal(server_txn_arg(stage.server), &stage);
	stage_play(&stage, "INVITE", "486 forget again ack +60000", stage_play_server);
	assert_string_equal(stage_look(&stage), "gone | 486 486 | absorbed");
	assert_int_equal(txn_table_count(stage.table), 0);
	stage_strike(&stage);
}

static void forgotten_without_an_answer_it_ends(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){0}), 0);
	stage_play(&stage, "INVITE", "180 forget", stage_play_server);
	assert_int_equal(txn_table_count(stage.table), 0);
	stage_play(&stage, "INVITE", "+60000", stage_play_server);
	assert_string_equal(stage_look(&stage), "gone | 180 | ");
	stage_strike(&stage);
}

static void a_look_tells_the_hop(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){.method = "BYE"}), 0);
	assert_true(address_equal(&server_txn_hop(stage.server)->remote, &stage.hop.remote));
	stage_strike(&stage);
}

/* An answer that memory does not suffice for ends the transaction, instead of leaving it for ever. */
static void server_scene(void *arg)
{
	struct stage stage;

	if (stage_try_build(&stage, TRANSPORT_UDP, 10) != 0)
		return;
	if (stage_serve(&stage, (struct lines){0}) == 0) {
		fake_loop_walk(stage.loop, 300);
		if (!alloc_fail_happened())
			assert_string_equal(stage.sent, "100");
		stage_request_comes(&stage, (struct lines){0});
		server_txn_reply(stage.server, 486, "Busy Here", SLICE_NONE);
		stage_request_comes(&stage, (struct lines){.method = "ACK"});
		fake_loop_walk(stage.loop, 40000);
		assert_null(stage.server); /* ended, whatever failed */
		assert_int_equal(txn_table_count(stage.table), 0);
	}
	stage_strike(&stage);
}

static void every_failing_allocation_is_survived(void **state)
{
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_true(alloc_fail_each(server_scene, NULL) > 5);
}

static void a_trying_that_memory_refused_is_sent_later(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){0}), 0);
	memory_fail_at(1);
	fake_loop_walk(stage.loop, 399);
	assert_true(memory_has_failed());
	memory_fail_at(0);
	assert_string_equal(stage.sent, "");
	fake_loop_walk(stage.loop, 1);
	assert_string_equal(stage.sent, "100");
	stage_strike(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(invite_follows_figure_7),
		cmocka_unit_test(other_methods_follow_figure_8_and_rfc_4320),
		cmocka_unit_test(timer_g_doubles_up_to_t2_until_timer_h),
		cmocka_unit_test(an_ended_transaction_leaves_the_table_before_it_tells),
		cmocka_unit_test(our_answers_of_one_transaction_have_one_to_tag),
		cmocka_unit_test(our_trying_has_no_to_tag),
		cmocka_unit_test(extra_lines_travel_with_our_answer),
		cmocka_unit_test(answers_go_where_reply_to_says),
		cmocka_unit_test(a_forgotten_transaction_answers_on_but_tells_nobody),
		cmocka_unit_test(forgotten_without_an_answer_it_ends),
		cmocka_unit_test(a_look_tells_the_hop),
		cmocka_unit_test(every_failing_allocation_is_survived),
		cmocka_unit_test(a_trying_that_memory_refused_is_sent_later),
	};

	return cmocka_run_group_tests(tests, stage_group_setup, NULL);
}
