/*
 * Matching (RFC 3261 17.1.3, 17.2.3), limits, lost hops, beginning and end of the table.
 */
#include "unit/transaction/stage.h"

/* ---- requests ---- */

struct match_row {
	const char *why;
	struct lines lines;
	enum txn_match match;
};

static void compare_with(struct lines first, const struct match_row *rows, size_t count)
{
	for (const struct match_row *row = rows; row < rows + count; row++) {
		struct stage stage;

		stage_build(&stage, TRANSPORT_UDP);
		assert_int_equal(stage_serve(&stage, first), 0);
		if (stage_request_comes(&stage, row->lines) != row->match)
			fail_msg("%s: match %d", row->why, stage.match);
		stage_strike(&stage);
	}
}

static void branch_sent_by_and_method_make_a_retransmission(void **state)
{
	static const struct match_row rows[] = {
		{"the same bytes", {0}, TXN_ABSORBED},
		{"7.3.1: case of branch", {.branch = "Z9HG4BK-STAGE-1"}, TXN_ABSORBED},
		{"another branch", {.branch = "z9hG4bK-stage-2"}, TXN_NONE},
		{"a longer branch", {.branch = STAGE_BRANCH "1"}, TXN_NONE},
		{"another sent-by host", {.sent_by = "192.168.1.11:5061"}, TXN_NONE},
		{"another sent-by port", {.sent_by = "192.168.1.10:5062"}, TXN_NONE},
		{"no sent-by port is 5060", {.sent_by = "192.168.1.10"}, TXN_NONE},
		{"another method", {.method = "OPTIONS"}, TXN_NONE},
		{"an unknown method", {.method = "BREW"}, TXN_NONE},
		{"the ACK absorbed before its time", {.method = "ACK"}, TXN_ABSORBED},
		{"the ACK of a 2xx has a branch of its own",
	         {.method = "ACK", .branch = "z9hG4bK-stage-3"},
	         TXN_NONE},
		{"its CANCEL", {.method = "CANCEL"}, TXN_CANCEL},
		{"a CANCEL of something else",
	         {.method = "CANCEL", .branch = "z9hG4bK-stage-2"},
	         TXN_NONE},
		/* the branch alone tells, not the rest of the message */
		{"another Call-ID", {.call_id = "call-2"}, TXN_ABSORBED},
		{"a To tag", {.to_tag = "b2"}, TXN_ABSORBED},
	};

	(void)state;
	compare_with((struct lines){0}, rows, ARRAY_LENGTH(rows));
}

static void the_default_port_may_be_written_or_not(void **state)
{
	static const struct match_row rows[] = {
		{"written", {.sent_by = "EDGE.example.net:5060"}, TXN_ABSORBED},
		{"not written", {.sent_by = "edge.example.net"}, TXN_ABSORBED},
		{"another", {.sent_by = "edge.example.net:5061"}, TXN_NONE},
	};

	(void)state;
	compare_with((struct lines){.sent_by = "edge.example.net"}, rows, ARRAY_LENGTH(rows));
}

static void unknown_methods_are_told_apart_by_their_names(void **state)
{
	static const struct match_row rows[] = {
		{"the same", {.method = "BREW"}, TXN_ABSORBED},
		{"another unknown one", {.method = "BOIL"}, TXN_NONE},
		{"a known one", {.method = "OPTIONS"}, TXN_NONE},
	};

	(void)state;
	compare_with((struct lines){.method = "BREW"}, rows, ARRAY_LENGTH(rows));
}

static void without_the_cookie_all_of_17_2_3_is_compared(void **state)
{
	static const struct match_row rows[] = {
		{"the same bytes", {.branch = "1"}, TXN_ABSORBED},
		{"another branch", {.branch = "2"}, TXN_NONE},
		{"a cookie", {.branch = "z9hG4bK1"}, TXN_NONE},
		{"another sent-by", {.branch = "1", .sent_by = "192.168.1.11:5061"}, TXN_NONE},
		{"another transport", {.branch = "1", .transport = "TCP"}, TXN_NONE},
		{"another Request-URI", {.branch = "1", .uri = "sip:carol@example.net"}, TXN_NONE},
		{"another From tag", {.branch = "1", .from_tag = "a2"}, TXN_NONE},
		{"another To tag", {.branch = "1", .to_tag = "b2"}, TXN_NONE},
		{"another Call-ID", {.branch = "1", .call_id = "call-2"}, TXN_NONE},
		{"another CSeq", {.branch = "1", .cseq = 2}, TXN_NONE},
		{"another method", {.branch = "1", .method = "OPTIONS"}, TXN_NONE},
		{"its CANCEL", {.branch = "1", .method = "CANCEL"}, TXN_CANCEL},
		{"another's CANCEL", {.branch = "1", .method = "CANCEL", .cseq = 2}, TXN_NONE},
	};

	(void)state;
	compare_with((struct lines){.branch = "1"}, rows, ARRAY_LENGTH(rows));
}

static void an_old_ack_matches_by_the_to_tag_of_our_answer(void **state)
{
	const struct lines ack = {.method = "ACK", .branch = "1", .to_tag = "b1"};
	const struct lines other = {.method = "ACK", .branch = "1", .to_tag = "b2"};
	struct stage stage;

	(void)state;
	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){.branch = "1"}), 0);
	stage_play(&stage, "INVITE", "486", stage_play_server); /* with To tag b1 */
	assert_int_equal(stage_request_comes(&stage, other), TXN_NONE);
	assert_int_equal(server_txn_state(stage.server), SERVER_COMPLETED);
	assert_int_equal(stage_request_comes(&stage, ack), TXN_ABSORBED);
	assert_int_equal(server_txn_state(stage.server), SERVER_CONFIRMED);
	assert_int_equal(stage_request_comes(&stage, ack), TXN_ABSORBED);
	assert_int_equal(stage_request_comes(&stage, (struct lines){.branch = "1"}), TXN_ABSORBED);
	stage_strike(&stage);
}

static void an_old_ack_to_our_2xx_passes(void **state)
{
	struct stage stage;

	(void)state;
	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){.branch = "1"}), 0);
	stage_play(&stage, "INVITE", "200", stage_play_server);
	assert_int_equal(stage_request_comes(&stage, (struct lines){.method = "ACK",
	                                                            .branch = "1",
	                                                            .to_tag = "b1"}),
	                 TXN_NONE);
	stage_strike(&stage);
}

static void a_repeated_cancel_gets_its_answer_again(void **state)
{
	struct server_txn *cancel;
	struct message *request;
	struct stage stage;

	(void)state;
	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){0}), 0);
	assert_int_equal(stage_request_comes(&stage, (struct lines){.method = "CANCEL"}),
	                 TXN_CANCEL);
	request = stage_request((struct lines){.method = "CANCEL"});
	assert_int_equal(server_txn_create(stage.table, request, &stage.hop, &stage.hop, NULL, NULL,
	                                   &cancel),
	                 0);
	message_destroy(&request);
	server_txn_reply(cancel, 200, "OK", SLICE_NONE);
	server_txn_forget(cancel);
	assert_int_equal(stage_request_comes(&stage, (struct lines){.method = "CANCEL"}),
	                 TXN_ABSORBED);
	assert_string_equal(stage.sent, "200 200");
	assert_int_equal(server_txn_state(stage.server), SERVER_PROCEEDING);
	stage_strike(&stage);
}

/* Two clients behind two NATs: the same private sent-by, the same poor branch. */
static void on_the_outside_the_source_tells_clients_apart(void **state)
{
	struct stage stage;
	struct hop other;

	(void)state;
	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){0}), 0);
	other = stage.hop;
	assert_true(address_parse(SLICE_LITERAL("198.51.100.8:5061"), &other.remote));
	assert_int_equal(stage_request_comes_by(&stage, &other, (struct lines){0}), TXN_NONE);
	other = stage.hop;
	address_set_port(&other.remote, 40000); /* the same NAT, rebound */
	assert_int_equal(stage_request_comes_by(&stage, &other, (struct lines){0}), TXN_ABSORBED);
	other = stage.hop;
	other.listener = 3;
	assert_int_equal(stage_request_comes_by(&stage, &other, (struct lines){0}), TXN_ABSORBED);
	other.side = SIDE_CORE;
	assert_int_equal(stage_request_comes_by(&stage, &other, (struct lines){0}), TXN_NONE);
	stage_strike(&stage);
}

static void on_the_outside_the_connection_tells_clients_apart(void **state)
{
	struct stage stage;
	struct hop other;

	(void)state;
	stage_build(&stage, TRANSPORT_TCP);
	assert_int_equal(stage_serve(&stage, (struct lines){.transport = "TCP"}), 0);
	other = stage.hop;
	other.connection++;
	assert_int_equal(stage_request_comes_by(&stage, &other, (struct lines){.transport = "TCP"}),
	                 TXN_NONE);
	assert_int_equal(stage_request_comes(&stage, (struct lines){.transport = "TCP"}),
	                 TXN_ABSORBED);
	stage_strike(&stage);
}

static void on_the_inside_sent_by_is_believed(void **state)
{
	struct stage stage;
	struct hop other;

	(void)state;
	stage_build(&stage, TRANSPORT_TCP);
	stage_set_hop(&stage, SIDE_CORE, TRANSPORT_TCP);
	assert_int_equal(stage_serve(&stage, (struct lines){.transport = "TCP"}), 0);
	other = stage.hop;
	other.connection++;
	address_set_port(&other.remote, 40000);
	assert_int_equal(stage_request_comes_by(&stage, &other,
	                                        (struct lines){.method = "CANCEL",
	                                                       .transport = "TCP"}),
	                 TXN_CANCEL);
	stage_strike(&stage);
}

static void a_long_branch_matches_to_its_end(void **state)
{
	static char branch[1400], other[1400];
	struct stage stage;

	(void)state;
	memset(branch, 'b', sizeof(branch) - 1);
	memcpy(branch, "z9hG4bK", 7);
	memcpy(other, branch, sizeof(branch));
	other[sizeof(other) - 2] = 'c';
	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){.branch = branch}), 0);
	assert_int_equal(stage_request_comes(&stage, (struct lines){.branch = branch}),
	                 TXN_ABSORBED);
	assert_int_equal(stage_request_comes(&stage, (struct lines){.branch = other}), TXN_NONE);
	stage_strike(&stage);
}

/* ---- responses ---- */

static void responses_match_by_branch_and_cseq_method(void **state)
{
	struct stage stage;

	(void)state;
	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_ask(&stage, "REGISTER", STAGE_BRANCH), 0);
	assert_false(stage_response_comes(&stage, "REGISTER", 200, "z9hG4bK-stage-2"));
	assert_false(stage_response_comes(&stage, "OPTIONS", 200, STAGE_BRANCH));
	assert_false(stage_response_comes(&stage, "CANCEL", 200, STAGE_BRANCH));
	assert_string_equal(stage.told, "");
	assert_true(stage_response_comes(&stage, "REGISTER", 200, STAGE_BRANCH));
	assert_string_equal(stage.told, "200");
	stage_strike(&stage);
}

static void a_response_finds_no_server_transaction(void **state)
{
	struct stage stage;

	(void)state;
	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){0}), 0);
	assert_false(stage_response_comes(&stage, "INVITE", 200, STAGE_BRANCH));
	stage_strike(&stage);
}

/* ---- lost hops ---- */

struct crowd {
	unsigned failed, ended;
};

static void on_crowd_failed(void *arg, struct client_txn *txn, enum txn_failure failure)
{
	struct crowd *crowd = arg;

	assert_int_equal(failure, TXN_TRANSPORT);
	assert_int_equal(client_txn_error(txn), ECONNREFUSED);
	crowd->failed++;
}

static void on_crowd_ended(void *arg, struct client_txn *txn)
{
	struct crowd *crowd = arg;

	crowd->ended++;
}

static const struct client_txn_events crowd_events = {.on_failed = on_crowd_failed,
                                                      .on_ended = on_crowd_ended};

static void ask_from_crowd(struct stage *stage, struct crowd *crowd, const struct hop *hop,
                           unsigned number)
{
	struct client_txn *client;
	struct bytes *flat = stage_response_bytes("OPTIONS", 200); /* any bytes do */
	char branch[32];

	snprintf(branch, sizeof(branch), "z9hG4bK-%u", number);
	assert_int_equal(client_txn_create(stage->table, METHOD_OPTIONS, branch, hop, &flat,
	                                   &crowd_events, crowd, &client),
	                 0);
}

static void a_lost_connection_fails_its_own_transactions_only(void **state)
{
	struct crowd lost = {0}, kept = {0};
	struct stage stage;
	struct hop other;

	(void)state;
	stage_build(&stage, TRANSPORT_TCP);
	other = stage.hop;
	other.connection++;
	for (unsigned i = 0; i < 300; i++)
		ask_from_crowd(&stage, i % 3 == 0 ? &kept : &lost, i % 3 == 0 ? &other : &stage.hop,
		               i);
	txn_table_hop_lost(stage.table, &stage.hop, ECONNREFUSED);
	assert_int_equal(lost.failed, 0); /* never from inside */
	fake_loop_walk(stage.loop, 0);
	assert_int_equal(lost.failed, 200);
	assert_int_equal(lost.ended, 200);
	assert_int_equal(kept.failed, 0);
	assert_int_equal(txn_table_count(stage.table), 100);
	txn_table_hop_lost(stage.table, &stage.hop, ECONNREFUSED); /* nobody is left there */
	txn_table_hop_lost(stage.table, &other, -ECONNREFUSED);    /* either sign */
	fake_loop_walk(stage.loop, 0);
	assert_int_equal(kept.failed, 100);
	assert_int_equal(lost.ended, 200);
	stage_strike(&stage);
}

static void an_unreachable_udp_peer_is_known_by_its_address(void **state)
{
	struct crowd lost = {0}, kept = {0};
	struct hop icmp, neighbour, stream;
	struct stage stage;

	(void)state;
	stage_build(&stage, TRANSPORT_UDP);
	neighbour = stream = icmp = stage.hop;
	address_set_port(&neighbour.remote, 5099);
	stream.transport = TRANSPORT_TCP; /* the same address by another transport */
	stream.connection = 9;
	icmp.listener = 4; /* ICMP does not tell the socket */
	icmp.side = SIDE_CORE;
	ask_from_crowd(&stage, &lost, &stage.hop, 1);
	ask_from_crowd(&stage, &kept, &neighbour, 2);
	ask_from_crowd(&stage, &kept, &stream, 3);
	txn_table_hop_lost(stage.table, &icmp, ECONNREFUSED);
	fake_loop_walk(stage.loop, 0);
	assert_int_equal(lost.failed, 1);
	assert_int_equal(kept.failed, 0);
	stage_strike(&stage);
}

/* ---- limits ---- */

static int serve_number(struct stage *stage, unsigned number, struct server_txn **out)
{
	struct message *request;
	char branch[32];
	int err;

	snprintf(branch, sizeof(branch), "z9hG4bK-%u", number);
	err = stage_try_request((struct lines){.method = "OPTIONS", .branch = branch}, &request);
	if (err != 0)
		return err;
	err = server_txn_create(stage->table, request, &stage->hop, &stage->hop, NULL, NULL, out);
	message_destroy(&request);
	return err;
}

static bool is_known(struct stage *stage, unsigned number)
{
	char branch[32];

	snprintf(branch, sizeof(branch), "z9hG4bK-%u", number);
	return stage_request_comes(stage, (struct lines){.method = "OPTIONS", .branch = branch}) ==
	       TXN_ABSORBED;
}

static void at_the_limit_new_work_is_refused(void **state)
{
	struct server_txn *server;
	struct client_txn *client;
	struct bytes *flat;
	struct stage stage;

	(void)state;
	stage_build(&stage, TRANSPORT_UDP);
	stage_strike(&stage);
	assert_int_equal(stage_try_build(&stage, TRANSPORT_UDP, 8), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(serve_number(&stage, i, &server), 0);
	assert_int_equal(serve_number(&stage, 8, &server), -ENOBUFS);
	flat = stage_response_bytes("OPTIONS", 200);
	assert_int_equal(client_txn_create(stage.table, METHOD_OPTIONS, STAGE_BRANCH, &stage.hop,
	                                   &flat, NULL, NULL, &client),
	                 -ENOBUFS);
	assert_null(flat);
	assert_int_equal(txn_table_count(stage.table), 8);
	assert_true(is_known(&stage, 0)); /* nothing owed was ended */
	stage_strike(&stage);
}

static void from_three_quarters_on_completed_ones_end_oldest_first(void **state)
{
	struct server_txn *servers[8];
	struct stage stage;

	(void)state;
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_try_build(&stage, TRANSPORT_UDP, 8), 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(serve_number(&stage, i, &servers[i]), 0);
	assert_int_equal(txn_table_busy(stage.table), 6);
	/* answered in another order than begun: 3, 1, 0 */
	server_txn_reply(servers[3], 200, "OK", SLICE_NONE);
	server_txn_reply(servers[1], 200, "OK", SLICE_NONE);
	server_txn_reply(servers[0], 200, "OK", SLICE_NONE);
	assert_int_equal(txn_table_count(stage.table), 6);
	assert_int_equal(txn_table_busy(stage.table), 3);
	assert_int_equal(serve_number(&stage, 6, &servers[6]), 0);
	assert_int_equal(txn_table_count(stage.table), 6);
	assert_false(is_known(&stage, 3));
	assert_true(is_known(&stage, 1));
	assert_int_equal(serve_number(&stage, 7, &servers[7]), 0);
	assert_false(is_known(&stage, 1));
	assert_true(is_known(&stage, 0));
	assert_true(is_known(&stage, 2));
	assert_int_equal(txn_table_busy(stage.table), 5);
	fake_loop_walk(stage.loop, 0);
	stage_strike(&stage);
}

static void early_ends_are_counted_and_told_from_the_loop(void **state)
{
	struct metrics_registry *registry;
	struct txn_sender sender;
	struct metrics *metrics;
	struct stage stage;
	struct server_txn *server;

	(void)state;
	assert_int_equal(metrics_registry_create(&registry), 0);
	assert_int_equal(metrics_create(registry, "worker-0", &metrics), 0);
	stage_build(&stage, TRANSPORT_UDP);
	txn_table_destroy(&stage.table);
	sender = (struct txn_sender){stage_send, &stage};
	assert_int_equal(txn_table_create(stage.loop, &sender, 4, metrics, &stage.table), 0);
	assert_int_equal(stage_ask(&stage, "OPTIONS", STAGE_BRANCH), 0);
	assert_true(stage_response_comes(&stage, "OPTIONS", 200, STAGE_BRANCH));
	assert_int_equal(metrics_read(registry, METRIC_TRANSACTIONS, 1, 0, 0), 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(serve_number(&stage, i, &server), 0);
	assert_int_equal(metrics_total(registry, METRIC_TRANSACTIONS_EARLY_ENDED), 1);
	assert_int_equal(metrics_read(registry, METRIC_TRANSACTIONS, 1, 0, 0), 0);
	assert_int_equal(metrics_read(registry, METRIC_TRANSACTIONS, 0, 0, 0), 3);
	assert_string_equal(stage_look(&stage), "terminated | OPTIONS | 200");
	fake_loop_walk(stage.loop, 0);
	assert_string_equal(stage_look(&stage), "gone |  | ended");
	stage_strike(&stage);
	assert_int_equal(metrics_total(registry, METRIC_TRANSACTIONS), 0);
	metrics_registry_destroy(&registry);
}

static void a_cancel_passes_beyond_the_limit(void **state)
{
	struct stage stage;

	(void)state;
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_try_build(&stage, TRANSPORT_UDP, 1), 0);
	assert_int_equal(stage_ask(&stage, "INVITE", STAGE_BRANCH), 0);
	stage_play(&stage, "INVITE", "180 cancel", stage_play_client);
	assert_string_equal(stage.sent, "INVITE CANCEL");
	stage_strike(&stage);
}

/* ---- life ---- */

static void a_destroyed_table_tells_nobody_and_keeps_nothing(void **state)
{
	struct crowd crowd = {0};
	struct server_txn *server;
	struct stage stage;
	int64_t before;

	(void)state;
	before = memory_live_blocks();
	stage_build(&stage, TRANSPORT_UDP);
	assert_int_equal(stage_serve(&stage, (struct lines){0}), 0);
	assert_int_equal(stage_ask(&stage, "INVITE", STAGE_BRANCH), 0);
	stage_play(&stage, "INVITE", "180 cancel", stage_play_client);
	for (unsigned i = 0; i < 3; i++)
		ask_from_crowd(&stage, &crowd, &stage.hop, i);
	assert_int_equal(serve_number(&stage, 1, &server), 0);
	server_txn_reply(server, 200, "OK", SLICE_NONE); /* completed */
	assert_int_equal(serve_number(&stage, 2, &server), 0);
	server_txn_reply(server, 408, "Request Timeout", SLICE_NONE); /* ending */
	txn_table_hop_lost(stage.table, &stage.hop, ECONNREFUSED);    /* failing */
	stage.told[0] = '\0';
	stage_strike(&stage);
	assert_string_equal(stage.told, "");
	assert_int_equal(crowd.failed + crowd.ended, 0);
	assert_int_equal(memory_live_blocks(), before);
}

static void a_hundred_thousand_come_and_go_and_leave_no_block(void **state)
{
	struct server_txn *server;
	struct crowd crowd = {0};
	struct stage stage;
	int64_t before;

	(void)state;
	before = memory_live_blocks();
	stage_build(&stage, TRANSPORT_UDP);
	txn_table_destroy(&stage.table);
	assert_int_equal(txn_table_create(stage.loop, &(struct txn_sender){stage_send, &stage},
	                                  300000, NULL, &stage.table),
	                 0);
	for (unsigned i = 0; i < 100000; i++) {
		if (i % 2 == 0) {
			assert_int_equal(serve_number(&stage, i, &server), 0);
			server_txn_reply(server, 200, "OK", SLICE_NONE);
		} else {
			ask_from_crowd(&stage, &crowd, &stage.hop, i);
		}
		if (i % 100 == 0)
			loop_advance_to(stage.loop, loop_now_ms(stage.loop) + 1);
	}
	assert_int_equal(txn_table_count(stage.table), 100000);
	txn_table_hop_lost(stage.table, &stage.hop, ECONNREFUSED);
	fake_loop_walk(stage.loop, 40000);
	assert_int_equal(crowd.ended, 50000);
	assert_int_equal(txn_table_count(stage.table), 0);
	stage_strike(&stage);
	assert_int_equal(memory_live_blocks(), before);
}

static void table_scene(void *arg)
{
	struct server_txn *server;
	struct stage stage;

	if (stage_try_build(&stage, TRANSPORT_UDP, 4) != 0)
		return;
	for (unsigned i = 0; i < 6; i++)
		if (serve_number(&stage, i, &server) == 0)
			server_txn_reply(server, 200, "OK", SLICE_NONE);
	assert_true(txn_table_count(stage.table) <= 3);
	assert_int_equal(txn_table_busy(stage.table), 0);
	stage_strike(&stage);
}

static void every_failing_allocation_is_survived(void **state)
{
	(void)state;
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_true(alloc_fail_each(table_scene, NULL) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(branch_sent_by_and_method_make_a_retransmission),
		cmocka_unit_test(the_default_port_may_be_written_or_not),
		cmocka_unit_test(unknown_methods_are_told_apart_by_their_names),
		cmocka_unit_test(without_the_cookie_all_of_17_2_3_is_compared),
		cmocka_unit_test(an_old_ack_matches_by_the_to_tag_of_our_answer),
		cmocka_unit_test(an_old_ack_to_our_2xx_passes),
		cmocka_unit_test(a_repeated_cancel_gets_its_answer_again),
		cmocka_unit_test(on_the_outside_the_source_tells_clients_apart),
		cmocka_unit_test(on_the_outside_the_connection_tells_clients_apart),
		cmocka_unit_test(on_the_inside_sent_by_is_believed),
		cmocka_unit_test(a_long_branch_matches_to_its_end),
		cmocka_unit_test(responses_match_by_branch_and_cseq_method),
		cmocka_unit_test(a_response_finds_no_server_transaction),
		cmocka_unit_test(a_lost_connection_fails_its_own_transactions_only),
		cmocka_unit_test(an_unreachable_udp_peer_is_known_by_its_address),
		cmocka_unit_test(at_the_limit_new_work_is_refused),
		cmocka_unit_test(from_three_quarters_on_completed_ones_end_oldest_first),
		cmocka_unit_test(early_ends_are_counted_and_told_from_the_loop),
		cmocka_unit_test(a_cancel_passes_beyond_the_limit),
		cmocka_unit_test(a_destroyed_table_tells_nobody_and_keeps_nothing),
		cmocka_unit_test(a_hundred_thousand_come_and_go_and_leave_no_block),
		cmocka_unit_test(every_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, stage_group_setup, NULL);
}
