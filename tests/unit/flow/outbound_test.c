/* Flows of clients that speak RFC 5626: promised keep-alives, and clients that come over another worker. */
#include "stage.h"

#define KEY_MAX 8

struct outbound_stage {
	struct stage stage;
	struct flow_move moves[KEY_MAX]; /* told by on_moved_here */
	unsigned move_count;
	char lost[KEY_MAX][64]; /* contacts told by on_binding_lost */
	unsigned lost_count;
	struct flow_table *other; /* another worker of the same process */
	struct flow_move other_moves[KEY_MAX];
	unsigned other_move_count;
};

#define OTHER_WORKER 1

static void on_moved_here(void *arg, const struct flow_move *move)
{
	struct outbound_stage *o = arg;

	assert_true(o->move_count < KEY_MAX);
	o->moves[o->move_count++] = *move;
}

static void on_moved_there(void *arg, const struct flow_move *move)
{
	struct outbound_stage *o = arg;

	assert_true(o->other_move_count < KEY_MAX);
	o->other_moves[o->other_move_count++] = *move;
}

static void on_binding_lost(void *arg, struct flow *flow, const struct binding *binding)
{
	struct outbound_stage *o = arg;
	struct slice contact = binding_contact(binding);

	assert_int_equal(flow_state(flow), FLOW_REGISTERED);
	assert_true(o->lost_count < KEY_MAX);
	snprintf(o->lost[o->lost_count++], sizeof(o->lost[0]), "%.*s", SLICE_ARGS(contact));
}

static const struct flow_table_events events = {
	.on_flow_state = stage_on_state,
	.on_flow_closed = stage_on_closed,
	.on_binding_lost = on_binding_lost,
	.on_moved_here = on_moved_here,
};
static const struct flow_table_events other_events = {.on_moved_here = on_moved_there};

static int setup(void **state)
{
	struct outbound_stage *o = test_calloc(1, sizeof(*o));
	struct flow_table_settings settings = stage_settings(100);

	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(loop_create("worker-3", &o->stage.loop), 0);
	loop_advance_to(o->stage.loop, FAKE_CLOCK_START_MS);
	assert_int_equal(flow_table_create(o->stage.loop, &settings, NULL, &events, o,
	                                   &o->stage.table),
	                 0);
	settings.worker = OTHER_WORKER;
	assert_int_equal(flow_table_create(o->stage.loop, &settings, NULL, &other_events, o,
	                                   &o->other),
	                 0);
	*state = o;
	return 0;
}

static int teardown(void **state)
{
	struct outbound_stage *o = *state;

	flow_table_destroy(&o->other);
	stage_strike(&o->stage);
	test_free(o);
	return 0;
}

static struct flow *other_client(struct outbound_stage *o, unsigned number)
{
	struct hop hop = stage_hop(TRANSPORT_UDP, number);
	struct flow *flow;

	hop.worker = OTHER_WORKER;
	assert_int_equal(flow_table_obtain(o->other, &hop, &flow), 0);
	return flow;
}

static enum flow_lookup look(struct flow_table *table, const char *token, struct flow **flow,
                             struct flow_elsewhere *elsewhere)
{
	*flow = NULL;
	*elsewhere = (struct flow_elsewhere){0};
	return flow_table_find_by_token(table, slice_from_string(token), flow, elsewhere);
}

static void walk(struct outbound_stage *o, uint64_t ms)
{
	fake_loop_walk(o->stage.loop, ms);
}

#define BOB "sip:bob@example.net"

/* ---- keep-alives ---- */

static const struct slice alice = {ALICE, sizeof(ALICE) - 1};
static const struct slice bob = {BOB, sizeof(BOB) - 1};

static void bob_registers(struct flow *flow)
{
	assert_int_equal(stage_exchange(flow, BOB, "Contact: <sip:bob@10.0.0.5:5060>\r\n",
	                                "Contact: <sip:bob@10.0.0.5:5060>;expires=3600\r\n"),
	                 0);
}

static void a_flow_that_promised_keepalives_and_is_silent_ends(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, 1);

	stage_registers_outbound(flow, 3600);
	flow_touch(flow);
	flow_expect_keepalives(flow, alice, 39000);
	walk(o, 38000);
	assert_int_equal(o->stage.closed, 0);
	walk(o, 2000);
	assert_int_equal(o->stage.closed, 1);
	assert_int_equal(o->stage.close_reason, FLOW_CLOSE_SILENT);
	assert_int_equal(o->lost_count, 1);
	assert_string_equal(o->lost[0], "sip:alice@10.0.0.5:5060");
}

static void every_sign_of_life_keeps_it(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_TCP, 1);

	stage_registers_outbound(flow, 3600);
	flow_expect_keepalives(flow, alice, 39000);
	for (unsigned i = 0; i < 10; i++) {
		walk(o, 30000);
		flow_table_keepalive(o->stage.table, flow_hop(flow));
	}
	assert_int_equal(o->stage.closed, 0);
	walk(o, 40000);
	assert_int_equal(o->stage.close_reason, FLOW_CLOSE_SILENT);
}

static void who_promised_nothing_may_be_silent(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, 1);

	stage_registers_outbound(flow, 3600);
	flow_expect_keepalives(flow, alice, 39000);
	walk(o, 10000);
	flow_expect_keepalives(flow, alice, 0); /* registered again, without outbound */
	walk(o, 1000000);
	assert_int_equal(o->stage.closed, 0);
}

static void one_without_a_promise_does_not_end_that_of_another(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, 1);

	stage_registers_outbound(flow, 3600);
	flow_expect_keepalives(flow, alice, 39000);
	bob_registers(flow);
	flow_expect_keepalives(flow, bob, 0);
	flow_touch(flow);
	walk(o, 40000);
	assert_int_equal(o->stage.closed, 1);
	assert_int_equal(o->stage.close_reason, FLOW_CLOSE_SILENT);
}

static void a_promise_goes_with_the_last_binding_that_has_one(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, 1);

	stage_registers_outbound(flow, 3600);
	bob_registers(flow);
	flow_expect_keepalives(flow, alice, 39000);
	flow_expect_keepalives(flow, bob, 0);
	assert_true(flow_revoke(flow, alice));
	walk(o, 1000000);
	assert_int_equal(o->stage.closed, 0);
	assert_int_equal(flow_state(flow), FLOW_REGISTERED);
	flow_expect_keepalives(flow, bob, 39000);
	walk(o, 1000); /* bob's own: he has been silent for longer already */
	assert_int_equal(o->stage.closed, 1);
}

/* What the registrar says of it anew makes another binding of it. */
static void a_promise_stays_with_a_binding_that_changes(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, 1);
	struct slice pbx = SLICE_LITERAL("sip:pbx@example.net");
	struct uri second;

	assert_int_equal(stage_exchange(flow, "sip:pbx@example.net", ALICE_CONTACT "\r\n",
	                                ALICE_CONTACT ";expires=3600\r\n"
	                                              "P-Associated-URI: <sip:1@example.net>, "
	                                              "<sip:2@example.net>\r\n"),
	                 0);
	flow_expect_keepalives(flow, pbx, 39000);
	assert_true(uri_parse(SLICE_LITERAL("sip:2@example.net"), &second));
	assert_true(flow_revoke_identity(flow, &second));
	assert_non_null(flow_binding(flow, pbx));
	flow_touch(flow);
	walk(o, 40000);
	assert_int_equal(o->stage.close_reason, FLOW_CLOSE_SILENT);
}

static void a_promise_ends_with_the_registration(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_TCP, 1);

	stage_registers_outbound(flow, 60);
	flow_expect_keepalives(flow, alice, 130000);
	walk(o, 61000); /* the binding lapses, the connection is transport's to judge */
	assert_int_equal(flow_state(flow), FLOW_NEW);
	walk(o, 1000000);
	assert_int_equal(o->stage.closed, 0);
	flow_expect_keepalives(flow, alice, 1000); /* nobody is registered: nothing to promise */
	walk(o, 10000);
	assert_int_equal(o->stage.closed, 0);
}

static void pings_do_not_keep_a_stranger(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, 1);

	walk(o, STAGE_UNREGISTERED_MS - 1000);
	flow_table_keepalive(o->stage.table, flow_hop(flow));
	walk(o, 2000);
	assert_int_equal(o->stage.close_reason, FLOW_CLOSE_IDLE);
	assert_int_equal(o->lost_count, 0);
}

static void what_went_in_order_is_not_told_as_lost(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, 1);
	struct flow *newer = stage_client(&o->stage, TRANSPORT_UDP, 2);

	stage_registers_outbound(flow, 3600);
	stage_registers_outbound(newer, 3600);
	assert_int_equal(o->stage.close_reason, FLOW_CLOSE_REPLACED);
	flow_table_close(o->stage.table, newer, FLOW_CLOSE_DEREGISTERED);
	assert_int_equal(o->lost_count, 0);
}

/* ---- other workers ---- */

static void only_a_client_that_was_not_here_is_told_to_the_others(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, 1);

	stage_registers_outbound(flow, 600);
	assert_int_equal(o->move_count, 1);
	assert_int_equal(o->moves[0].worker, STAGE_WORKER);
	stage_registers_outbound(flow, 600); /* a refresh */
	stage_registers_outbound(stage_client(&o->stage, TRANSPORT_UDP, 2), 600);
	assert_int_equal(o->move_count, 1);
	stage_registers(stage_client(&o->stage, TRANSPORT_UDP, 3), 600); /* no outbound: no key */
	assert_int_equal(o->move_count, 1);
}

static void a_client_that_came_to_another_worker_leaves_no_flow_here(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, 1), *newer, *found;
	struct flow_elsewhere elsewhere;
	char token[FLOW_TOKEN_TEXT_MAX];

	stage_registers_outbound(flow, 600);
	strcpy(token, flow_token_text(flow));
	walk(o, 1000);
	newer = other_client(o, 2);
	stage_registers_outbound(newer, 600);
	assert_int_equal(o->other_move_count, 1);
	flow_table_moved(o->stage.table, &o->other_moves[0]);
	assert_int_equal(o->stage.close_reason, FLOW_CLOSE_REPLACED);
	assert_int_equal(flow_table_registrations(o->stage.table), 0);

	assert_int_equal(look(o->stage.table, token, &found, &elsewhere), FLOW_ELSEWHERE);
	assert_int_equal(elsewhere.worker, OTHER_WORKER);
	assert_ptr_equal(flow_table_find_key(o->other, elsewhere.key), newer);
	assert_int_equal(look(o->other, token, &found, &elsewhere), FLOW_ELSEWHERE);
	assert_int_equal(elsewhere.worker, STAGE_WORKER);
	assert_int_equal(elsewhere.key, 0);
}

static void a_flow_that_broke_before_is_followed_too(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_TCP, 1), *found;
	struct flow_elsewhere elsewhere;
	char token[FLOW_TOKEN_TEXT_MAX];

	stage_registers_outbound(flow, 600);
	strcpy(token, flow_token_text(flow));
	flow_table_hop_lost(o->stage.table, flow_hop(flow), FLOW_CLOSE_CONNECTION);
	assert_int_equal(look(o->stage.table, token, &found, &elsewhere), FLOW_GONE);
	walk(o, 1000);
	stage_registers_outbound(other_client(o, 2), 600);
	flow_table_moved(o->stage.table, &o->other_moves[0]);
	assert_int_equal(look(o->stage.table, token, &found, &elsewhere), FLOW_ELSEWHERE);
	/* and back again: */
	walk(o, 1000);
	flow = stage_client(&o->stage, TRANSPORT_TCP, 3);
	stage_registers_outbound(flow, 600);
	assert_int_equal(look(o->stage.table, token, &found, &elsewhere), FLOW_HERE);
	assert_ptr_equal(found, flow);
	/* until the first binding would have lapsed */
	walk(o, 599000);
	assert_int_equal(look(o->stage.table, token, &found, &elsewhere), FLOW_GONE);
}

static void of_two_that_came_at_once_the_later_stays_at_both(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *earlier = other_client(o, 2), *later;

	stage_registers_outbound(earlier, 600);
	walk(o, 5);
	later = stage_client(&o->stage, TRANSPORT_UDP, 1);
	stage_registers_outbound(later, 600);
	/* both letters cross */
	flow_table_moved(o->stage.table, &o->other_moves[0]);
	flow_table_moved(o->other, &o->moves[0]);
	assert_int_equal(flow_table_registrations(o->stage.table), 1);
	assert_int_equal(flow_table_registrations(o->other), 0);
	assert_int_equal(flow_state(later), FLOW_REGISTERED);
	/* who was told of the past tells what he knows: told once more, nothing happens */
	assert_int_equal(o->move_count, 2);
	flow_table_moved(o->other, &o->moves[1]);
	assert_int_equal(o->other_move_count, 1);
}

static void of_two_in_the_same_instant_one_stays(void **state)
{
	struct outbound_stage *o = *state;

	stage_registers_outbound(other_client(o, 2), 600);
	stage_registers_outbound(stage_client(&o->stage, TRANSPORT_UDP, 1), 600);
	flow_table_moved(o->stage.table, &o->other_moves[0]);
	flow_table_moved(o->other, &o->moves[0]);
	assert_int_equal(flow_table_registrations(o->stage.table) +
	                         flow_table_registrations(o->other),
	                 1);
}

static void another_reg_id_of_the_instance_stays(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *first = stage_client(&o->stage, TRANSPORT_UDP, 1);
	struct flow *second = other_client(o, 2);
	static const char other_id[] =
		ALICE_CONTACT ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\""
			      ";reg-id=2;expires=600\r\n";

	stage_registers_outbound(first, 600);
	assert_int_equal(stage_exchange(second, ALICE, other_id, other_id), 0);
	flow_table_moved(o->stage.table, &o->other_moves[0]);
	flow_table_moved(o->other, &o->moves[0]);
	assert_int_equal(flow_state(first), FLOW_REGISTERED);
	assert_int_equal(flow_state(second), FLOW_REGISTERED);
}

static void a_stale_word_changes_no_trail(void **state)
{
	struct outbound_stage *o = *state;
	struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, 1), *found;
	struct flow_elsewhere elsewhere;
	struct flow_move late, early;
	char token[FLOW_TOKEN_TEXT_MAX];

	stage_registers_outbound(flow, 600);
	strcpy(token, flow_token_text(flow));
	late = early = o->moves[0];
	early.worker = 2;
	early.learnt_us += 1000;
	late.worker = 0;
	late.learnt_us += 2000;
	flow_table_moved(o->stage.table, &late);
	flow_table_moved(o->stage.table, &early);
	assert_int_equal(look(o->stage.table, token, &found, &elsewhere), FLOW_ELSEWHERE);
	assert_int_equal(elsewhere.worker, 0);
	late.key++; /* somebody unknown */
	flow_table_moved(o->stage.table, &late);
	assert_int_equal(look(o->stage.table, token, &found, &elsewhere), FLOW_ELSEWHERE);
}

static void many_ended_flows_of_one_client_move_as_one(void **state)
{
	struct outbound_stage *o = *state;
	char tokens[10][FLOW_TOKEN_TEXT_MAX];
	struct flow_elsewhere elsewhere;
	struct flow *found;

	for (unsigned i = 0; i < 10; i++) {
		struct flow *flow = stage_client(&o->stage, TRANSPORT_UDP, i);

		stage_registers_outbound(flow, 600);
		strcpy(tokens[i], flow_token_text(flow));
		walk(o, 10);
	}
	stage_registers_outbound(other_client(o, 100), 600);
	flow_table_moved(o->stage.table, &o->other_moves[0]);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(look(o->stage.table, tokens[i], &found, &elsewhere),
		                 FLOW_ELSEWHERE);
		assert_int_equal(elsewhere.worker, OTHER_WORKER);
	}
}

static void scene(void *arg)
{
	struct flow_table_settings settings = stage_settings(100);
	struct stage stage = {0};
	struct hop hop = stage_hop(TRANSPORT_UDP, 1);
	struct flow *flow;

	if (loop_create("worker-3", &stage.loop) != 0)
		return;
	if (flow_table_create(stage.loop, &settings, NULL, NULL, NULL, &stage.table) == 0 &&
	    flow_table_obtain(stage.table, &hop, &flow) == 0 &&
	    stage_exchange(flow, ALICE, ALICE_CONTACT OUTBOUND "\r\n",
	                   ALICE_CONTACT OUTBOUND ";expires=600\r\n") == 0) {
		flow_expect_keepalives(flow, alice, 1000);
		flow_table_close(stage.table, flow, FLOW_CLOSE_SILENT);
	}
	flow_table_destroy(&stage.table);
	loop_destroy(&stage.loop);
}

static void every_allocation_may_fail(void **state)
{
	assert_true(alloc_fail_each(scene, NULL) > 5);
}

#define outbound_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		outbound_test(a_flow_that_promised_keepalives_and_is_silent_ends),
		outbound_test(every_sign_of_life_keeps_it),
		outbound_test(who_promised_nothing_may_be_silent),
		outbound_test(one_without_a_promise_does_not_end_that_of_another),
		outbound_test(a_promise_goes_with_the_last_binding_that_has_one),
		outbound_test(a_promise_stays_with_a_binding_that_changes),
		outbound_test(a_promise_ends_with_the_registration),
		outbound_test(pings_do_not_keep_a_stranger),
		outbound_test(what_went_in_order_is_not_told_as_lost),
		outbound_test(only_a_client_that_was_not_here_is_told_to_the_others),
		outbound_test(a_client_that_came_to_another_worker_leaves_no_flow_here),
		outbound_test(a_flow_that_broke_before_is_followed_too),
		outbound_test(of_two_that_came_at_once_the_later_stays_at_both),
		outbound_test(of_two_in_the_same_instant_one_stays),
		outbound_test(another_reg_id_of_the_instance_stays),
		outbound_test(a_stale_word_changes_no_trail),
		outbound_test(many_ended_flows_of_one_client_move_as_one),
		cmocka_unit_test(every_allocation_may_fail),
	};

	stage_once();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
