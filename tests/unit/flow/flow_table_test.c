/* How flows are born, found, replaced and ended. RFC 5626 5. */
#include "stage.h"

/* ---- birth and finding ---- */

static void one_hop_is_one_flow_and_another_port_is_another(void **state)
{
	struct stage stage;
	struct flow *first, *again, *other;

	stage_set(&stage, 100);
	first = stage_client(&stage, TRANSPORT_UDP, 1);
	again = stage_client(&stage, TRANSPORT_UDP, 1);
	other = stage_client(&stage, TRANSPORT_UDP, 2);
	assert_ptr_equal(first, again);
	assert_ptr_not_equal(first, other);
	assert_int_not_equal(flow_id(first), flow_id(other));
	assert_int_equal(flow_table_count(stage.table, TRANSPORT_UDP), 2);
	assert_ptr_equal(flow_table_find(stage.table, flow_id(other)), other);
	assert_ptr_equal(flow_table_find_by_hop(stage.table, flow_hop(first)), first);
	assert_null(flow_table_find(stage.table, flow_id(other) + 1));
	stage_strike(&stage);
}

static void same_address_over_a_new_connection_is_a_new_flow(void **state)
{
	struct stage stage;
	struct hop hop;
	struct flow *first, *second;

	stage_set(&stage, 100);
	hop = stage_hop(TRANSPORT_TCP, 1);
	assert_int_equal(flow_table_obtain(stage.table, &hop, &first), 0);
	hop.connection = 77;
	assert_int_equal(flow_table_obtain(stage.table, &hop, &second), 0);
	assert_ptr_not_equal(first, second);
	assert_int_equal(flow_table_count(stage.table, TRANSPORT_TCP), 2);
	stage_strike(&stage);
}

static void at_the_limit_new_clients_are_refused_and_old_ones_stay(void **state)
{
	struct stage stage;
	struct hop hop = stage_hop(TRANSPORT_UDP, 3);
	struct flow *first, *flow = NULL;

	stage_set(&stage, 2);
	first = stage_client(&stage, TRANSPORT_TCP, 1);
	stage_client(&stage, TRANSPORT_TCP, 2);
	assert_int_equal(flow_table_obtain(stage.table, &hop, &flow), -ENOBUFS);
	assert_null(flow);
	assert_ptr_equal(stage_client(&stage, TRANSPORT_TCP, 1), first);
	flow_table_close(stage.table, first, FLOW_CLOSE_IDLE);
	assert_int_equal(flow_table_obtain(stage.table, &hop, &flow), 0);
	stage_strike(&stage);
}

static void at_the_limit_the_oldest_stranger_makes_room(void **state)
{
	struct stage stage;
	struct hop first = stage_hop(TRANSPORT_UDP, 1);
	struct hop second = stage_hop(TRANSPORT_UDP, 2);

	stage_set(&stage, 2);
	stage_client(&stage, TRANSPORT_UDP, 1);
	stage_client(&stage, TRANSPORT_UDP, 2);
	stage_client(&stage, TRANSPORT_UDP, 3);
	assert_null(flow_table_find_by_hop(stage.table, &first));
	assert_non_null(flow_table_find_by_hop(stage.table, &second));
	assert_int_equal(stage.close_reason, FLOW_CLOSE_CROWDED);
	assert_int_equal(flow_table_count(stage.table, TRANSPORT_UDP), 2);
	stage_strike(&stage);
}

/* ---- tokens ---- */

static enum flow_lookup look(struct stage *stage, const char *token, struct flow **flow)
{
	struct flow_elsewhere elsewhere;

	*flow = NULL;
	return flow_table_find_by_token(stage->table, slice_from_string(token), flow, &elsewhere);
}

static void token_leads_to_its_flow(void **state)
{
	struct stage stage;
	struct flow *flow, *found;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	assert_int_equal(look(&stage, flow_token_text(flow), &found), FLOW_HERE);
	assert_ptr_equal(found, flow);
	stage_strike(&stage);
}

static void refresh_on_same_flow_keeps_token(void **state)
{
	struct stage stage;
	struct flow *flow;
	char token[FLOW_TOKEN_TEXT_MAX];

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	snprintf(token, sizeof(token), "%s", flow_token_text(flow));
	stage_registers(flow, 60);
	fake_loop_walk(stage.loop, 30000);
	stage_registers(flow, 60);
	assert_string_equal(flow_token_text(flow), token);
	assert_ptr_equal(stage_client(&stage, TRANSPORT_UDP, 1), flow);
	stage_strike(&stage);
}

static void any_changed_character_of_a_token_is_forgery_or_no_token(void **state)
{
	struct stage stage;
	struct flow *flow, *found;
	char token[FLOW_TOKEN_TEXT_MAX];
	unsigned forged = 0;
	size_t i;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	for (i = 0; flow_token_text(flow)[i] != '\0'; i++) {
		enum flow_lookup lookup;

		snprintf(token, sizeof(token), "%s", flow_token_text(flow));
		token[i] = token[i] == 'A' ? 'Q' : 'A';
		lookup = look(&stage, token, &found);
		assert_true(lookup == FLOW_FORGED || lookup == FLOW_NO_TOKEN);
		assert_null(found);
		forged += lookup == FLOW_FORGED;
	}
	assert_true(forged > 20);
	assert_int_equal(look(&stage, "alice", &found), FLOW_NO_TOKEN);
	assert_int_equal(look(&stage, "", &found), FLOW_NO_TOKEN);
	stage_strike(&stage);
}

static void token_of_another_life_node_or_worker_is_told_apart(void **state)
{
	static const struct {
		struct flow_token token;
		enum flow_lookup expected;
	} cases[] = {
		{{STAGE_NODE, STAGE_WORKER, 1, 0, STAGE_EPOCH}, FLOW_GONE}, /* no such flow */
		{{STAGE_NODE + 1, STAGE_WORKER, 1, 0, STAGE_EPOCH}, FLOW_GONE},
		{{STAGE_NODE, STAGE_WORKER, 1, 0, STAGE_EPOCH - 1}, FLOW_GONE},
		{{STAGE_NODE, STAGE_WORKERS, 1, 0, STAGE_EPOCH}, FLOW_GONE},
		{{STAGE_NODE, 200, 1, 0, STAGE_EPOCH}, FLOW_GONE},
		{{STAGE_NODE, 2, 1, 0, STAGE_EPOCH}, FLOW_ELSEWHERE},
	};
	char text[FLOW_TOKEN_TEXT_MAX];
	struct stage stage;
	struct flow *flow = NULL;
	struct flow_elsewhere elsewhere;
	size_t i;

	stage_set(&stage, 100);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		elsewhere = (struct flow_elsewhere){.worker = 255};
		flow_token_write(&cases[i].token, text);
		assert_int_equal(flow_table_find_by_token(stage.table, slice_from_string(text),
		                                          &flow, &elsewhere),
		                 cases[i].expected);
		assert_int_equal(elsewhere.worker, cases[i].expected == FLOW_ELSEWHERE ? 2 : 255);
	}
	stage_strike(&stage);
}

static void token_of_another_generation_is_gone(void **state)
{
	struct flow_token token;
	char text[FLOW_TOKEN_TEXT_MAX];
	struct stage stage;
	struct flow *flow, *found;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	assert_int_equal(flow_token_read(slice_from_string(flow_token_text(flow)), &token),
	                 FLOW_TOKEN_VALID);
	token.generation++;
	flow_token_write(&token, text);
	assert_int_equal(look(&stage, text, &found), FLOW_GONE);
	stage_strike(&stage);
}

/* ---- life ---- */

static void unregistered_udp_flow_ends_after_silence_and_not_before(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	fake_loop_walk(stage.loop, STAGE_UNREGISTERED_MS - 1000);
	flow_touch(flow);
	fake_loop_walk(stage.loop, STAGE_UNREGISTERED_MS - 1000);
	assert_int_equal(stage.closed, 0);
	fake_loop_walk(stage.loop, 2000);
	assert_int_equal(stage.closed, 1);
	assert_int_equal(stage.close_reason, FLOW_CLOSE_IDLE);
	assert_int_equal(flow_table_count(stage.table, TRANSPORT_UDP), 0);
	stage_strike(&stage);
}

static void unregistered_stream_flow_lives_as_long_as_its_connection(void **state)
{
	struct stage stage;
	struct hop hop = stage_hop(TRANSPORT_TCP, 1);

	stage_set(&stage, 100);
	stage_client(&stage, TRANSPORT_TCP, 1);
	fake_loop_walk(stage.loop, 10 * STAGE_UNREGISTERED_MS);
	assert_int_equal(stage.closed, 0);
	flow_table_hop_lost(stage.table, &hop, FLOW_CLOSE_CONNECTION);
	assert_int_equal(stage.closed, 1);
	assert_int_equal(stage.close_reason, FLOW_CLOSE_CONNECTION);
	flow_table_hop_lost(stage.table, &hop, FLOW_CLOSE_CONNECTION); /* nothing to lose twice */
	assert_int_equal(stage.closed, 1);
	stage_strike(&stage);
}

static void udp_flow_dies_with_its_last_binding(void **state)
{
	struct stage stage;
	struct flow *flow, *found;
	char token[FLOW_TOKEN_TEXT_MAX];

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	snprintf(token, sizeof(token), "%s", flow_token_text(flow));
	stage_registers(flow, 60);
	assert_int_equal(flow_state(flow), FLOW_REGISTERED);
	assert_int_equal(stage.registered, 1);
	assert_int_equal(flow_table_registrations(stage.table), 1);
	fake_loop_walk(stage.loop, 59000);
	assert_int_equal(stage.closed, 0);
	fake_loop_walk(stage.loop, 2000);
	assert_int_equal(stage.closed, 1);
	assert_int_equal(stage.close_reason, FLOW_CLOSE_EXPIRED);
	assert_int_equal(flow_table_registrations(stage.table), 0);
	assert_int_equal(look(&stage, token, &found), FLOW_GONE);
	stage_strike(&stage);
}

static void lapse_on_a_stream_leaves_an_unregistered_flow(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_TCP, 1);
	stage_registers(flow, 60);
	fake_loop_walk(stage.loop, 61000);
	assert_int_equal(stage.closed, 0);
	assert_int_equal(stage.lapsed, 1);
	assert_int_equal(flow_state(flow), FLOW_NEW);
	assert_null(flow_binding_at(flow, 0));
	stage_registers(flow, 60);
	assert_int_equal(flow_state(flow), FLOW_REGISTERED);
	assert_int_equal(stage.registered, 2);
	stage_strike(&stage);
}

static void registered_udp_flow_survives_silence(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 3600);
	fake_loop_walk(stage.loop, 3599 * 1000);
	assert_int_equal(stage.closed, 0);
	assert_int_equal(flow_state(flow), FLOW_REGISTERED);
	stage_strike(&stage);
}

static void refresh_moves_the_expiry(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 60);
	fake_loop_walk(stage.loop, 50000);
	stage_registers(flow, 60);
	fake_loop_walk(stage.loop, 59000);
	assert_int_equal(stage.closed, 0);
	fake_loop_walk(stage.loop, 2000);
	assert_int_equal(stage.closed, 1);
	stage_strike(&stage);
}

static void a_refresh_may_shorten_the_expiry(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 3600);
	stage_registers(flow, 10);
	fake_loop_walk(stage.loop, 11000);
	assert_int_equal(stage.closed, 1);
	stage_strike(&stage);
}

static void each_binding_lapses_at_its_own_time(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 60);
	assert_int_equal(stage_exchange(flow, "sip:bob@example.net",
	                                "Contact: <sip:bob@10.0.0.5>\r\nExpires: 30\r\n",
	                                "Contact: <sip:bob@10.0.0.5>;expires=30\r\n"),
	                 0);
	assert_int_equal(flow_table_registrations(stage.table), 2);
	fake_loop_walk(stage.loop, 31000);
	assert_int_equal(flow_table_registrations(stage.table), 1);
	assert_null(flow_binding(flow, SLICE_LITERAL("sip:bob@example.net")));
	assert_non_null(flow_binding(flow, SLICE_LITERAL(ALICE)));
	assert_int_equal(stage.closed, 0);
	fake_loop_walk(stage.loop, 30000);
	assert_int_equal(stage.closed, 1);
	stage_strike(&stage);
}

static void an_expiry_of_136_years_harms_nobody(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 4294967295u);
	fake_loop_walk(stage.loop, 8ull * 24 * 3600 * 1000);
	assert_int_equal(flow_state(flow), FLOW_REGISTERED);
	assert_int_equal(stage.closed, 0);
	stage_strike(&stage);
}

static void a_late_turn_ends_what_lapsed_meanwhile(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 60);
	/* The loop slept for an hour: one turn, no stop on the way. */
	fake_clock_advance_ms(3600 * 1000);
	loop_advance_to(stage.loop, FAKE_CLOCK_START_MS + 3600 * 1000);
	assert_int_equal(stage.closed, 1);
	assert_int_equal(stage.close_reason, FLOW_CLOSE_EXPIRED);
	stage_strike(&stage);
}

/* ---- replacement ---- */

static void same_instance_on_a_newer_flow_ends_the_older_and_its_token_follows(void **state)
{
	struct stage stage;
	struct flow *old, *young, *found;
	char token[FLOW_TOKEN_TEXT_MAX];

	stage_set(&stage, 100);
	old = stage_client(&stage, TRANSPORT_UDP, 1);
	snprintf(token, sizeof(token), "%s", flow_token_text(old));
	stage_registers_outbound(old, 600);
	fake_loop_walk(stage.loop, 1000);
	young = stage_client(&stage, TRANSPORT_UDP, 2);
	stage_registers_outbound(young, 600);
	assert_int_equal(stage.closed, 1);
	assert_int_equal(stage.close_reason, FLOW_CLOSE_REPLACED);
	assert_int_equal(flow_table_registrations(stage.table), 1);
	assert_int_equal(look(&stage, token, &found), FLOW_HERE);
	assert_ptr_equal(found, young);
	stage_strike(&stage);
}

static void a_chain_of_replacements_is_followed_to_its_end(void **state)
{
	struct stage stage;
	struct flow *flow = NULL, *found;
	char token[FLOW_TOKEN_TEXT_MAX];
	unsigned i;

	stage_set(&stage, 100);
	for (i = 0; i < 10; i++) {
		flow = stage_client(&stage, TRANSPORT_UDP, i);
		if (i == 0)
			snprintf(token, sizeof(token), "%s", flow_token_text(flow));
		stage_registers_outbound(flow, 600);
		loop_turn(stage.loop);
	}
	assert_int_equal(stage.closed, 9);
	assert_int_equal(look(&stage, token, &found), FLOW_HERE);
	assert_ptr_equal(found, flow);
	stage_strike(&stage);
}

static void after_a_broken_connection_the_token_leads_to_where_the_client_came_back(void **state)
{
	struct stage stage;
	struct hop hop = stage_hop(TRANSPORT_TCP, 1);
	struct flow *flow, *found;
	char token[FLOW_TOKEN_TEXT_MAX];

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_TCP, 1);
	snprintf(token, sizeof(token), "%s", flow_token_text(flow));
	stage_registers_outbound(flow, 600);
	flow_table_hop_lost(stage.table, &hop, FLOW_CLOSE_CONNECTION);
	fake_loop_walk(stage.loop, 100);
	assert_int_equal(look(&stage, token, &found), FLOW_GONE); /* not back yet: 430 */
	flow = stage_client(&stage, TRANSPORT_TCP, 2);
	stage_registers_outbound(flow, 600);
	assert_int_equal(look(&stage, token, &found), FLOW_HERE);
	assert_ptr_equal(found, flow);
	stage_strike(&stage);
}

static void an_ended_flow_is_followed_no_longer_than_its_binding_would_have_lived(void **state)
{
	struct stage stage;
	struct flow *flow, *found;
	char token[FLOW_TOKEN_TEXT_MAX];

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	snprintf(token, sizeof(token), "%s", flow_token_text(flow));
	stage_registers_outbound(flow, 60);
	flow = stage_client(&stage, TRANSPORT_UDP, 2);
	stage_registers_outbound(flow, 3600);
	fake_loop_walk(stage.loop, 59000);
	assert_int_equal(look(&stage, token, &found), FLOW_HERE);
	fake_loop_walk(stage.loop, 2000);
	assert_int_equal(look(&stage, token, &found), FLOW_GONE);
	assert_int_equal(look(&stage, token, &found), FLOW_GONE);
	stage_strike(&stage);
}

static void another_address_of_record_instance_or_reg_id_replaces_nobody(void **state)
{
	static const char *const others[][2] = {
		{"sip:bob@example.net", ALICE_CONTACT OUTBOUND "\r\n"},
		{ALICE, ALICE_CONTACT ";+sip.instance=\"<urn:uuid:other>\";reg-id=1\r\n"},
		{ALICE, ALICE_CONTACT
	         ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";reg-id=2\r\n"},
		{ALICE, ALICE_CONTACT "\r\n"},
	};
	struct stage stage;
	struct flow *flow;
	unsigned i;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 100);
	stage_registers_outbound(flow, 600);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		flow = stage_client(&stage, TRANSPORT_UDP, i);
		assert_int_equal(stage_exchange(flow, others[i][0], others[i][1], others[i][1]), 0);
		assert_int_equal(stage.closed, 0);
		assert_int_equal(flow_table_registrations(stage.table), i + 2);
	}
	stage_strike(&stage);
}

static void a_replaced_binding_leaves_the_others_of_its_flow_alone(void **state)
{
	struct stage stage;
	struct flow *old, *young, *found;

	stage_set(&stage, 100);
	old = stage_client(&stage, TRANSPORT_TCP, 1);
	stage_registers_outbound(old, 600);
	assert_int_equal(stage_exchange(old, "sip:bob@example.net",
	                                "Contact: <sip:bob@10.0.0.5>\r\n",
	                                "Contact: <sip:bob@10.0.0.5>;expires=600\r\n"),
	                 0);
	young = stage_client(&stage, TRANSPORT_TCP, 2);
	stage_registers_outbound(young, 600);
	assert_int_equal(stage.closed, 0);
	assert_null(flow_binding(old, SLICE_LITERAL(ALICE)));
	assert_non_null(flow_binding(old, SLICE_LITERAL("sip:bob@example.net")));
	/* Its token is still its own: bob's calls go there. */
	assert_int_equal(look(&stage, flow_token_text(old), &found), FLOW_HERE);
	assert_ptr_equal(found, old);
	stage_strike(&stage);
}

static void a_deregistered_flow_is_not_followed(void **state)
{
	struct stage stage;
	struct flow *flow, *found;
	char token[FLOW_TOKEN_TEXT_MAX];

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	snprintf(token, sizeof(token), "%s", flow_token_text(flow));
	stage_registers_outbound(flow, 600);
	assert_int_equal(stage_exchange(flow, ALICE, "Contact: *\r\nExpires: 0\r\n", ""), 0);
	assert_int_equal(stage.close_reason, FLOW_CLOSE_DEREGISTERED);
	stage_registers_outbound(stage_client(&stage, TRANSPORT_UDP, 2), 600);
	assert_int_equal(look(&stage, token, &found), FLOW_GONE);
	stage_strike(&stage);
}

static void of_ended_flows_a_quarter_of_the_limit_is_remembered_oldest_forgotten(void **state)
{
	char tokens[8][FLOW_TOKEN_TEXT_MAX], contact[256];
	struct stage stage;
	struct flow *flow, *found;
	struct hop hop;
	unsigned i, round;

	stage_set(&stage, 16); /* a quarter: 4 */
	for (round = 0; round < 2; round++) {
		for (i = 0; i < 8; i++) {
			flow = stage_client(&stage, TRANSPORT_TCP, 8 * round + i);
			snprintf(contact, sizeof(contact),
			         ALICE_CONTACT ";+sip.instance=\"<urn:uuid:%u>\";reg-id=1\r\n", i);
			assert_int_equal(stage_exchange(flow, ALICE, contact, contact), 0);
			if (round == 0)
				snprintf(tokens[i], sizeof(tokens[i]), "%s", flow_token_text(flow));
		}
		for (i = 0; i < 8 && round == 0; i++) {
			hop = stage_hop(TRANSPORT_TCP, i);
			flow_table_hop_lost(stage.table, &hop, FLOW_CLOSE_CONNECTION);
		}
	}
	for (i = 0; i < 8; i++)
		assert_int_equal(look(&stage, tokens[i], &found), i < 4 ? FLOW_GONE : FLOW_HERE);
	stage_strike(&stage);
}

/* ---- counting ---- */

static bool count_three(struct flow *flow, void *arg)
{
	unsigned *seen = arg;

	return ++*seen < 3;
}

static void a_visit_sees_all_and_stops_when_told(void **state)
{
	struct stage stage;
	unsigned i, seen = 0;

	stage_set(&stage, 100);
	for (i = 0; i < 2; i++)
		stage_client(&stage, TRANSPORT_UDP, i);
	flow_table_visit_some(stage.table, 0, UINT32_MAX, count_three, &seen);
	assert_int_equal(seen, 2);
	for (i = 2; i < 10; i++)
		stage_client(&stage, TRANSPORT_UDP, i);
	seen = 0;
	flow_table_visit_some(stage.table, 0, UINT32_MAX, count_three, &seen);
	assert_int_equal(seen, 3);
	stage_strike(&stage);
}

static void gauges_return_to_zero_when_the_table_goes(void **state)
{
	struct flow_table_settings settings = stage_settings(100);
	struct metrics_registry *registry;
	struct metrics *metrics;
	struct flow_table *table;
	struct stage stage;

	stage_set(&stage, 100);
	flow_table_destroy(&stage.table);
	assert_int_equal(metrics_registry_create(&registry), 0);
	assert_int_equal(metrics_create(registry, "worker-3", &metrics), 0);
	assert_int_equal(flow_table_create(stage.loop, &settings, metrics, NULL, NULL,
	                                   &stage.table),
	                 0);
	table = stage.table;
	stage_registers(stage_client(&stage, TRANSPORT_UDP, 1), 60);
	flow_table_close(table, stage_client(&stage, TRANSPORT_TCP, 2), FLOW_CLOSE_CONNECTION);
	stage_client(&stage, TRANSPORT_TCP, 3);
	assert_int_equal(metrics_read(registry, METRIC_FLOWS, TRANSPORT_UDP, 0, 0), 1);
	assert_int_equal(metrics_read(registry, METRIC_FLOWS, TRANSPORT_TCP, 0, 0), 1);
	assert_int_equal(metrics_read(registry, METRIC_REGISTRATIONS, 0, 0, 0), 1);
	flow_table_destroy(&stage.table);
	assert_int_equal(metrics_total(registry, METRIC_FLOWS), 0);
	assert_int_equal(metrics_total(registry, METRIC_REGISTRATIONS), 0);
	assert_int_equal(metrics_read(registry, METRIC_FLOW_CLOSED, FLOW_CLOSE_CONNECTION, 0, 0),
	                 1);
	assert_int_equal(metrics_read(registry, METRIC_FLOW_CLOSED, FLOW_CLOSE_SHUTDOWN, 0, 0), 2);
	stage_strike(&stage);
	metrics_registry_destroy(&registry);
}

/* ---- without memory ---- */

static void main_path_scene(void *arg)
{
	struct flow_table_settings settings = stage_settings(100);
	struct stage *stage = arg;
	struct hop hop = stage_hop(TRANSPORT_TCP, 1), other = stage_hop(TRANSPORT_TCP, 2);
	struct flow *flow;

	if (flow_table_create(stage->loop, &settings, NULL, &stage_events, stage, &stage->table) !=
	    0) {
		assert_true(alloc_fail_happened());
		return;
	}
	if (flow_table_obtain(stage->table, &hop, &flow) == 0) {
		if (stage_exchange(flow, ALICE, ALICE_CONTACT OUTBOUND "\r\n",
		                   ALICE_CONTACT OUTBOUND "\r\n") == 0)
			assert_int_equal(flow_state(flow), FLOW_REGISTERED);
		else
			assert_int_equal(flow_state(flow), FLOW_NEW);
	}
	flow_table_hop_lost(stage->table, &hop, FLOW_CLOSE_CONNECTION);
	if (flow_table_obtain(stage->table, &other, &flow) == 0)
		(void)stage_exchange(flow, ALICE, ALICE_CONTACT OUTBOUND "\r\n",
		                     ALICE_CONTACT OUTBOUND "\r\n");
	flow_table_destroy(&stage->table);
	loop_advance_to(stage->loop, loop_now_ms(stage->loop)); /* the graves */
}

static void every_allocation_may_fail(void **state)
{
	struct stage stage;

	stage_set(&stage, 100);
	flow_table_destroy(&stage.table);
	assert_true(alloc_fail_each(main_path_scene, &stage) > 6);
	stage_strike(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_hop_is_one_flow_and_another_port_is_another),
		cmocka_unit_test(same_address_over_a_new_connection_is_a_new_flow),
		cmocka_unit_test(at_the_limit_new_clients_are_refused_and_old_ones_stay),
		cmocka_unit_test(at_the_limit_the_oldest_stranger_makes_room),
		cmocka_unit_test(token_leads_to_its_flow),
		cmocka_unit_test(refresh_on_same_flow_keeps_token),
		cmocka_unit_test(any_changed_character_of_a_token_is_forgery_or_no_token),
		cmocka_unit_test(token_of_another_life_node_or_worker_is_told_apart),
		cmocka_unit_test(token_of_another_generation_is_gone),
		cmocka_unit_test(unregistered_udp_flow_ends_after_silence_and_not_before),
		cmocka_unit_test(unregistered_stream_flow_lives_as_long_as_its_connection),
		cmocka_unit_test(udp_flow_dies_with_its_last_binding),
		cmocka_unit_test(lapse_on_a_stream_leaves_an_unregistered_flow),
		cmocka_unit_test(registered_udp_flow_survives_silence),
		cmocka_unit_test(refresh_moves_the_expiry),
		cmocka_unit_test(a_refresh_may_shorten_the_expiry),
		cmocka_unit_test(each_binding_lapses_at_its_own_time),
		cmocka_unit_test(an_expiry_of_136_years_harms_nobody),
		cmocka_unit_test(a_late_turn_ends_what_lapsed_meanwhile),
		cmocka_unit_test(
			same_instance_on_a_newer_flow_ends_the_older_and_its_token_follows),
		cmocka_unit_test(a_chain_of_replacements_is_followed_to_its_end),
		cmocka_unit_test(
			after_a_broken_connection_the_token_leads_to_where_the_client_came_back),
		cmocka_unit_test(
			an_ended_flow_is_followed_no_longer_than_its_binding_would_have_lived),
		cmocka_unit_test(another_address_of_record_instance_or_reg_id_replaces_nobody),
		cmocka_unit_test(a_replaced_binding_leaves_the_others_of_its_flow_alone),
		cmocka_unit_test(a_deregistered_flow_is_not_followed),
		cmocka_unit_test(
			of_ended_flows_a_quarter_of_the_limit_is_remembered_oldest_forgotten),
		cmocka_unit_test(a_visit_sees_all_and_stops_when_told),
		cmocka_unit_test(gauges_return_to_zero_when_the_table_goes),
		cmocka_unit_test(every_allocation_may_fail),
	};

	stage_once();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
