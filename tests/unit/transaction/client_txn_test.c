/*
 * Client transactions against figures 5 and 6 of RFC 3261 (5 as RFC 6026 7.2 redraws it), CANCEL of 9.1.
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
		assert_int_equal(stage_ask(&stage, method, STAGE_BRANCH), 0);
		assert_string_equal(stage.sent, method);
		stage_look(&stage);
		stage_play(&stage, method, row->before, stage_play_client);
		stage_look(&stage);
		stage_play(&stage, method, row->input, stage_play_client);
		seen = stage_look(&stage);
		if (strcmp(seen, row->expected) != 0)
			fail_msg("%s over %s, [%s] then [%s]: expected \"%s\", saw \"%s\"", method,
			         transport_name(row->transport), row->before, row->input,
			         row->expected, seen);
		stage_strike(&stage);
	}
}

static void invite_follows_figure_5(void **state)
{
	static const struct row rows[] = {
		/* CALLING: timers A and B */
		{TRANSPORT_UDP, "", "", "calling |  | "},
		{TRANSPORT_UDP, "", "+499", "calling |  | "},
		{TRANSPORT_UDP, "", "+500", "calling | INVITE | "},
		{TRANSPORT_UDP, "", "100", "proceeding |  | 100"},
		{TRANSPORT_UDP, "", "180", "proceeding |  | 180"},
		{TRANSPORT_UDP, "", "200", "accepted |  | 200"},
		{TRANSPORT_UDP, "", "302", "completed | ACK | 302"},
		{TRANSPORT_UDP, "", "699", "completed | ACK | 699"},
		{TRANSPORT_UDP, "+31999", "+1", "gone |  | timeout ended"},
		{TRANSPORT_TCP, "", "+31999", "calling |  | "},
		{TRANSPORT_TCP, "", "+32000", "gone |  | timeout ended"},
		{TRANSPORT_UDP, "", "lost", "calling |  | "}, /* not from inside */
		{TRANSPORT_UDP, "", "lost +0", "gone |  | transport ended"},
		{TRANSPORT_TCP, "", "lost +0", "gone |  | transport ended"},
		{TRANSPORT_UDP, "broken", "+500", "gone | INVITE | transport ended"},
		/* PROCEEDING: no timer but the proxy's */
		{TRANSPORT_UDP, "180", "+600000", "proceeding |  | "},
		{TRANSPORT_UDP, "180", "180 183 100", "proceeding |  | 180 183 100"},
		{TRANSPORT_UDP, "180", "200", "accepted |  | 200"},
		{TRANSPORT_UDP, "180", "486", "completed | ACK | 486"},
		{TRANSPORT_TCP, "180", "lost +0", "gone |  | transport ended"},
		{TRANSPORT_UDP, "180", "lost 180 +0", "gone |  | transport ended"},
		{TRANSPORT_UDP, "180", "lost 200 +0", "accepted |  | 200"}, /* alive after all */
		{TRANSPORT_UDP, "", "lost 486 +0", "completed | ACK | 486"},
		/* COMPLETED: timer D */
		{TRANSPORT_UDP, "486", "486 486", "completed | ACK ACK | "},
		{TRANSPORT_UDP, "486", "180 200", "completed |  | "},
		{TRANSPORT_UDP, "486", "+31999", "completed |  | "},
		{TRANSPORT_UDP, "486", "+32000", "gone |  | ended"},
		{TRANSPORT_UDP, "486", "lost +0", "completed |  | "},
		{TRANSPORT_UDP, "broken", "486 +0", "completed | ACK | 486"},
		{TRANSPORT_TCP, "", "486", "completed | ACK | 486"},
		{TRANSPORT_TCP, "486", "+0", "gone |  | ended"},
		{TRANSPORT_TCP, "broken", "486 +0", "gone | ACK | 486 ended"},
		/* ACCEPTED, RFC 6026: timer M, on every transport */
		{TRANSPORT_UDP, "200", "200 202", "accepted |  | 200 202"},
		{TRANSPORT_UDP, "200", "180 486", "accepted |  | "},
		{TRANSPORT_UDP, "200", "lost +0", "accepted |  | "},
		{TRANSPORT_UDP, "200", "+31999", "accepted |  | "},
		{TRANSPORT_UDP, "200", "+32000", "gone |  | ended"},
		{TRANSPORT_UDP, "200 +32000", "200", "gone |  | stray"},
		{TRANSPORT_TCP, "200", "+31999", "accepted |  | "},
		{TRANSPORT_TCP, "200", "+32000", "gone |  | ended"},
	};

	(void)state;
	play_rows("INVITE", rows, ARRAY_LENGTH(rows));
}

static void other_methods_follow_figure_6(void **state)
{
	static const struct row rows[] = {
		/* TRYING: timers E and F */
		{TRANSPORT_UDP, "", "", "trying |  | "},
		{TRANSPORT_UDP, "", "+499", "trying |  | "},
		{TRANSPORT_UDP, "", "+500", "trying | OPTIONS | "},
		{TRANSPORT_UDP, "", "100", "proceeding |  | 100"},
		{TRANSPORT_UDP, "", "200", "completed |  | 200"},
		{TRANSPORT_UDP, "", "404", "completed |  | 404"},
		{TRANSPORT_UDP, "+31999", "+1", "gone |  | timeout ended"},
		{TRANSPORT_TCP, "", "+31999", "trying |  | "},
		{TRANSPORT_TCP, "", "+32000", "gone |  | timeout ended"},
		{TRANSPORT_UDP, "", "lost +0", "gone |  | transport ended"},
		{TRANSPORT_TCP, "", "lost +0", "gone |  | transport ended"},
		{TRANSPORT_UDP, "broken", "+500", "gone | OPTIONS | transport ended"},
		{TRANSPORT_UDP, "", "cancel 100", "proceeding |  | 100"}, /* INVITE only */
		/* PROCEEDING: E goes on, with T2 */
		{TRANSPORT_UDP, "100", "+500", "proceeding | OPTIONS | "},
		{TRANSPORT_UDP, "100 +500", "+3999", "proceeding |  | "},
		{TRANSPORT_UDP, "100 +500", "+4000", "proceeding | OPTIONS | "},
		{TRANSPORT_UDP, "100", "180", "proceeding |  | 180"},
		{TRANSPORT_UDP, "100", "200", "completed |  | 200"},
		{TRANSPORT_UDP, "100 +31999", "+1", "gone |  | timeout ended"},
		{TRANSPORT_TCP, "100", "+31999", "proceeding |  | "},
		{TRANSPORT_TCP, "100", "+32000", "gone |  | timeout ended"},
		{TRANSPORT_TCP, "100", "lost +0", "gone |  | transport ended"},
		{TRANSPORT_UDP, "", "lost 200 +0", "completed |  | 200"},
		/* COMPLETED: timer K */
		{TRANSPORT_UDP, "200", "200 404 100", "completed |  | "},
		{TRANSPORT_UDP, "200", "lost +0", "completed |  | "},
		{TRANSPORT_UDP, "200", "+4999", "completed |  | "},
		{TRANSPORT_UDP, "200", "+5000", "gone |  | ended"},
		{TRANSPORT_TCP, "200", "", "completed |  | "},
		{TRANSPORT_TCP, "200", "+0", "gone |  | ended"},
	};

	(void)state;
	play_rows("OPTIONS", rows, ARRAY_LENGTH(rows));
}

static void cancel_waits_for_a_provisional(void **state)
{
	static const struct row rows[] = {
		{TRANSPORT_UDP, "", "cancel", "calling |  | "},
		{TRANSPORT_UDP, "cancel", "cancel +500", "calling | INVITE | "},
		{TRANSPORT_UDP, "cancel", "100", "proceeding | CANCEL | 100"},
		{TRANSPORT_UDP, "180", "cancel", "proceeding | CANCEL | "},
		{TRANSPORT_TCP, "180", "cancel cancel 180", "proceeding | CANCEL | 180"},
		{TRANSPORT_UDP, "180 cancel", "+500", "proceeding | CANCEL | "},
		/* not at all after a final, which may itself be the first answer */
		{TRANSPORT_UDP, "cancel", "200", "accepted |  | 200"},
		{TRANSPORT_UDP, "cancel", "487", "completed | ACK | 487"},
		{TRANSPORT_UDP, "200", "cancel", "accepted |  | "},
		{TRANSPORT_UDP, "486", "cancel", "completed |  | "},
		{TRANSPORT_UDP, "180 cancel", "487", "completed | ACK | 487"},
		{TRANSPORT_UDP, "180 cancel", "200", "accepted |  | 200"},
		/* 9.1: nothing final 64*T1 after the CANCEL */
		{TRANSPORT_TCP, "180 +100000 cancel", "+31999", "proceeding |  | "},
		{TRANSPORT_TCP, "180 +100000 cancel", "+32000", "gone |  | timeout ended"},
		{TRANSPORT_TCP, "180 cancel +31000", "180 +1000", "gone |  | 180 timeout ended"},
		{TRANSPORT_TCP, "cancel +10000 100", "+32000", "gone |  | timeout ended"},
		/* no provisional at all: timer B as ever */
		{TRANSPORT_TCP, "cancel", "+32000", "gone |  | timeout ended"},
		{TRANSPORT_TCP, "180 cancel", "lost +0", "gone |  | transport ended"},
		{TRANSPORT_TCP, "180", "lost cancel +0", "gone |  | transport ended"},
	};

	(void)state;
	play_rows("INVITE", rows, ARRAY_LENGTH(rows));
}

static void sent_at(const char *method, const char *script, const char *times)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_ask(&stage, method, STAGE_BRANCH), 0);
	stage_play(&stage, method, script, stage_play_client);
	assert_string_equal(stage.times, times);
	stage_strike(&stage);
}

static void timer_a_doubles_without_end(void **state)
{
	sent_at("INVITE", "+40000", "0 500 1500 3500 7500 15500 31500");
}

static void timer_e_doubles_up_to_t2(void **state)
{
	sent_at("REGISTER", "+40000", "0 500 1500 3500 7500 11500 15500 19500 23500 27500 31500");
}

static void timer_e_is_t2_after_a_provisional(void **state)
{
	sent_at("REGISTER", "+600 100 +40000",
	        "0 500 1500 5500 9500 13500 17500 21500 25500 29500");
}

static void the_cancel_is_a_transaction_on_the_branch_of_its_invite(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_ask(&stage, "INVITE", STAGE_BRANCH), 0);
	stage_play(&stage, "INVITE", "180 cancel", stage_play_client);
	assert_memory_equal(stage.last, "CANCEL sip:bob@example.net SIP/2.0\r\n", 36);
	assert_non_null(strstr(stage.last, ";branch=" STAGE_BRANCH "\r\n"));
	assert_non_null(strstr(stage.last, "\r\nCSeq: 1 CANCEL\r\n"));
	assert_non_null(strstr(stage.last, "\r\nReason: SIP;cause=200\r\n"));
	assert_int_equal(txn_table_count(stage.table), 2);
	stage_look(&stage);
	/* its answers are nobody's business; it is repeated by timer E until they come */
	stage_play(&stage, "INVITE", "+500", stage_play_client);
	assert_true(stage_response_comes(&stage, "CANCEL", 200, STAGE_BRANCH));
	stage_play(&stage, "INVITE", "+10000", stage_play_client);
	assert_string_equal(stage_look(&stage), "proceeding | CANCEL | ");
	assert_int_equal(txn_table_count(stage.table), 1);
	assert_true(stage_response_comes(&stage, "INVITE", 487, STAGE_BRANCH));
	assert_string_equal(stage_look(&stage), "completed | ACK | 487");
	stage_strike(&stage);
}

static void the_ack_carries_the_to_of_the_response(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_ask(&stage, "INVITE", STAGE_BRANCH), 0);
	stage_play(&stage, "INVITE", "180 486", stage_play_client);
	assert_memory_equal(stage.last, "ACK sip:bob@example.net SIP/2.0\r\n", 33);
	assert_non_null(strstr(stage.last, ";branch=" STAGE_BRANCH "\r\n"));
	assert_non_null(strstr(stage.last, "bob@example.net>;tag=b1\r\n"));
	assert_non_null(strstr(stage.last, "\r\nCSeq: 1 ACK\r\n"));
	assert_true(hop_equal(&stage.last_hop, &stage.hop));
	stage_strike(&stage);
}

static void a_send_that_fails_at_once_is_told_later(void **state)
{
	static const char *const methods[] = {"INVITE", "OPTIONS"};

	for (size_t i = 0; i < 4; i++) {
		struct stage stage;

		stage_build(&stage, i % 2 == 0 ? TRANSPORT_UDP : TRANSPORT_TCP);
		stage.send_error = -ENOTCONN;
		assert_int_equal(stage_ask(&stage, methods[i / 2], STAGE_BRANCH), 0);
		assert_string_equal(stage.told, "");
		assert_int_equal(client_txn_error(stage.client), ENOTCONN);
		fake_loop_walk(stage.loop, 0);
		assert_string_equal(stage.told, "transport ended");
		assert_null(stage.client);
		stage_strike(&stage);
	}
}

static void forgotten_it_still_acknowledges_and_absorbs(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_ask(&stage, "INVITE", STAGE_BRANCH), 0);
	stage_play(&stage, "INVITE", "180 forget +60000 180 486 486 +40000", stage_play_client);
	assert_string_equal(stage_look(&stage), "gone | INVITE ACK ACK | 180");
	assert_int_equal(txn_table_count(stage.table), 0);
	stage_strike(&stage);
}

static void forgotten_while_it_rings_it_does_not_stay_for_ever(void **state)
{
	static const struct {
		const char *script;
		uint64_t lives_ms; /* timer C's three minutes; timer B while nothing was heard */
	} scenes[] = {{"180 forget", 180000}, {"forget +1000 180", 180000}, {"forget", 32000}};

	for (size_t i = 0; i < ARRAY_LENGTH(scenes); i++) {
		struct stage stage;

		stage_build(&stage, TRANSPORT_TCP);
		assert_int_equal(stage_ask(&stage, "INVITE", STAGE_BRANCH), 0);
		stage_play(&stage, "INVITE", scenes[i].script, stage_play_client);
		fake_loop_walk(stage.loop, scenes[i].lives_ms - 1);
		assert_int_equal(txn_table_count(stage.table), 1);
		fake_loop_walk(stage.loop, 1);
		assert_int_equal(txn_table_count(stage.table), 0);
		assert_null(strstr(stage.told, "ended"));
		stage_strike(&stage);
	}
}

static void cancelled_and_forgotten_it_still_sends_the_cancel(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_TCP);
	assert_int_equal(stage_ask(&stage, "INVITE", STAGE_BRANCH), 0);
	stage_play(&stage, "INVITE", "cancel forget +1000 100", stage_play_client);
	assert_string_equal(stage_look(&stage), "gone | INVITE CANCEL | ");
	assert_int_equal(txn_table_count(stage.table), 2);
	fake_loop_walk(stage.loop, 32000);
	assert_int_equal(txn_table_count(stage.table), 0);
	stage_strike(&stage);
}

/* ---- callbacks that act on what they were given ---- */

static void forget_at_response(void *arg, struct client_txn *txn, struct message **response)
{
	stage_on_response(arg, txn, response);
	message_destroy(response);
	client_txn_cancel(txn, SLICE_NONE);
	client_txn_forget(txn);
}

static void forget_at_failure(void *arg, struct client_txn *txn, enum txn_failure failure)
{
	struct stage *stage = arg;

	stage_on_failed(arg, txn, failure);
	client_txn_cancel(txn, SLICE_NONE);
	client_txn_forget(txn);
	/* the next attempt begins while the old one dies */
	assert_int_equal(stage_ask(stage, "INVITE", "z9hG4bK-stage-2"), 0);
}

static const struct client_txn_events hasty_events = {
	.on_response = forget_at_response,
	.on_failed = forget_at_failure,
	.on_ended = stage_on_client_ended,
};

static void ask_hastily(struct stage *stage)
{
	struct message *request = stage_request((struct lines){0});
	struct bytes *flat = message_serialize(request, true);

	message_destroy(&request);
	assert_int_equal(client_txn_create(stage->table, METHOD_INVITE, STAGE_BRANCH, &stage->hop,
	                                   &flat, &hasty_events, stage, &stage->client),
	                 0);
}

static void a_response_may_forget_and_cancel_its_transaction(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_UDP);
	ask_hastily(&stage);
	stage_play(&stage, "INVITE", "180 487 +40000", stage_play_client);
	assert_string_equal(stage.sent,
	                    "INVITE CANCEL ACK CANCEL CANCEL CANCEL CANCEL CANCEL CANCEL "
	                    "CANCEL CANCEL CANCEL CANCEL");
	assert_string_equal(stage.told, "180");
	assert_int_equal(txn_table_count(stage.table), 0);
	stage_strike(&stage);
}

static void a_failure_may_forget_its_transaction_and_begin_another(void **state)
{
	struct stage stage;

	stage_build(&stage, TRANSPORT_TCP);
	ask_hastily(&stage);
	stage_play(&stage, "INVITE", "lost +0", stage_play_client);
	assert_string_equal(stage.told, "transport");
	assert_string_equal(stage.sent, "INVITE INVITE");
	assert_int_equal(txn_table_count(stage.table), 1);
	assert_true(stage_response_comes(&stage, "INVITE", 200, "z9hG4bK-stage-2"));
	assert_string_equal(stage_look(&stage), "accepted | INVITE INVITE | transport 200");
	stage_strike(&stage);
}

static void client_scene(void *arg)
{
	struct stage stage;

	if (stage_try_build(&stage, TRANSPORT_UDP, 10) != 0)
		return;
	if (stage_ask(&stage, "INVITE", STAGE_BRANCH) == 0) {
		client_txn_cancel(stage.client, SLICE_LITERAL("Reason: SIP;cause=200\r\n"));
		stage_response_comes(&stage, "INVITE", 180, STAGE_BRANCH);
		stage_response_comes(&stage, "CANCEL", 200, STAGE_BRANCH);
		stage_response_comes(&stage, "INVITE", 487, STAGE_BRANCH);
		stage_response_comes(&stage, "INVITE", 487,
		                     STAGE_BRANCH); /* an ACK at the latest now */
		assert_non_null(strstr(stage.sent, "ACK"));
		fake_loop_walk(stage.loop, 70000);
		assert_null(stage.client);
		assert_int_equal(txn_table_count(stage.table), 0);
	}
	stage_strike(&stage);
}

static void every_failing_allocation_is_survived(void **state)
{
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_true(alloc_fail_each(client_scene, NULL) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(invite_follows_figure_5),
		cmocka_unit_test(other_methods_follow_figure_6),
		cmocka_unit_test(cancel_waits_for_a_provisional),
		cmocka_unit_test(timer_a_doubles_without_end),
		cmocka_unit_test(timer_e_doubles_up_to_t2),
		cmocka_unit_test(timer_e_is_t2_after_a_provisional),
		cmocka_unit_test(the_cancel_is_a_transaction_on_the_branch_of_its_invite),
		cmocka_unit_test(the_ack_carries_the_to_of_the_response),
		cmocka_unit_test(a_send_that_fails_at_once_is_told_later),
		cmocka_unit_test(forgotten_it_still_acknowledges_and_absorbs),
		cmocka_unit_test(forgotten_while_it_rings_it_does_not_stay_for_ever),
		cmocka_unit_test(cancelled_and_forgotten_it_still_sends_the_cancel),
		cmocka_unit_test(a_response_may_forget_and_cancel_its_transaction),
		cmocka_unit_test(a_failure_may_forget_its_transaction_and_begin_another),
		cmocka_unit_test(every_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, stage_group_setup, NULL);
}
