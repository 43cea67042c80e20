/* One flow that carries many addresses-of-record: a PBX, a gateway, a load generator on one port. */
#include "stage.h"

#include <time.h>
#include <unistd.h>

#define MANY 100000
#define BLOCK 1000

/* What every one of these users is granted, learnt for whichever AoR: parsing is not what is measured. */
struct crowd {
	struct stage stage;
	struct flow *flow;
	struct registration registration;
	struct message *response;
	char *given_aor;
	char aor[64];
};

static void crowd_set(struct crowd *crowd, enum sip_transport transport, size_t limit,
                      const char *granted)
{
	struct message *request = stage_register(ALICE, ALICE_CONTACT OUTBOUND "\r\n");

	stage_set(&crowd->stage, limit);
	crowd->flow = stage_client(&crowd->stage, transport, 1);
	crowd->response = stage_ok(ALICE, granted);
	assert_int_equal(registration_read(request, &crowd->registration), 0);
	message_destroy(&request);
	crowd->given_aor = crowd->registration.aor;
	crowd->registration.aor = crowd->aor;
}

static void crowd_strike(struct crowd *crowd)
{
	crowd->registration.aor = crowd->given_aor;
	registration_free(&crowd->registration);
	message_destroy(&crowd->response);
	stage_strike(&crowd->stage);
}

static const char *user(unsigned i)
{
	static char aor[64];

	snprintf(aor, sizeof(aor), "sip:user%06u@example.net", i);
	return aor;
}

static int crowd_learn(struct crowd *crowd, struct flow *flow, unsigned i)
{
	snprintf(crowd->aor, sizeof(crowd->aor), "%s", user(i));
	return flow_learn(flow, &crowd->registration, crowd->response);
}

static bool holds(const struct flow *flow, unsigned i)
{
	return flow_binding(flow, slice_from_string(user(i))) != NULL;
}

static void user_registers(struct flow *flow, unsigned i, unsigned seconds)
{
	char contact[128];

	snprintf(contact, sizeof(contact), "Contact: <sip:u%u@10.0.0.5>;expires=%u\r\n", i,
	         seconds);
	assert_int_equal(stage_exchange(flow, user(i), contact, contact), 0);
}

static const char *asserted(const struct flow *flow, const char *preferred)
{
	static char text[256];
	struct name_addr address;
	struct slice found;

	assert_true(name_addr_parse(slice_from_string(preferred), &address));
	assert_non_null(flow_identity_for(flow, &address, &found));
	snprintf(text, sizeof(text), "%.*s", SLICE_ARGS(found));
	return text;
}

/* ---- cost ---- */

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One REGISTER as the proxy handles it, with what a call of this user looks at. */
static uint64_t block_cost(struct crowd *crowd, unsigned first)
{
	uint64_t begun = cpu_ns();
	struct slice identity;
	unsigned i;

	for (i = first; i < first + BLOCK; i++) {
		assert_int_equal(crowd_learn(crowd, crowd->flow, i), 0);
		assert_true(holds(crowd->flow, i));
		assert_non_null(flow_identity_for(crowd->flow, NULL, &identity));
		assert_string_equal(asserted(crowd->flow, "<tel:+1-555>"), "<tel:+1555>");
		assert_string_equal(asserted(crowd->flow, "<sip:nobody@example.net>"),
		                    "<sip:main@example.net>");
	}
	return cpu_ns() - begun;
}

/* The cheapest of ten blocks: what disturbs one does not disturb ten. */
static uint64_t cheapest_cost(struct crowd *crowd, unsigned first)
{
	uint64_t cost, cheapest = UINT64_MAX;
	unsigned i;

	for (i = 0; i < 10; i++) {
		cost = block_cost(crowd, first + i * BLOCK);
		if (cost < cheapest)
			cheapest = cost;
	}
	return cheapest;
}

/* Processor time of this thread, and only as a ratio: a walk over the bindings makes it 50 and more, caches that
 * no longer hold everything make it 2. */
static void a_binding_costs_the_same_whether_a_flow_has_ten_thousand_or_a_hundred_thousand(
	void **state)
{
	struct crowd crowd;
	uint64_t few, many;
	unsigned i;

	crowd_set(&crowd, TRANSPORT_UDP, MANY,
	          ALICE_CONTACT OUTBOUND
	          ";expires=600\r\n"
	          "P-Associated-URI: <sip:main@example.net>, <tel:+1555>\r\n");
	few = cheapest_cost(&crowd, 0);
	for (i = 10 * BLOCK; i < MANY; i += 10 * BLOCK) {
		many = cheapest_cost(&crowd, i);
		assert_true(many < 10 * few);
	}
	assert_int_equal(flow_table_registrations(crowd.stage.table), MANY);
	many = cheapest_cost(&crowd, 0); /* refreshes */
	assert_true(many < 10 * few);
	assert_int_equal(flow_table_registrations(crowd.stage.table), MANY);
	print_message("%d bindings on one flow: the last cost %.1f times the first\n", MANY,
	              (double)many / (double)few);
	flow_table_close(crowd.stage.table, crowd.flow, FLOW_CLOSE_CONNECTION);
	assert_int_equal(flow_table_registrations(crowd.stage.table), 0);
	crowd_strike(&crowd);
}

/* ---- finding, order ---- */

static void each_binding_is_found_on_its_own_flow_and_on_no_other(void **state)
{
	struct stage stage;
	struct flow *even, *odd;
	unsigned i;

	stage_set(&stage, 1000);
	even = stage_client(&stage, TRANSPORT_UDP, 1);
	odd = stage_client(&stage, TRANSPORT_UDP, 2);
	for (i = 0; i < 200; i++)
		user_registers(i % 2 == 0 ? even : odd, i, 600);
	for (i = 0; i < 200; i++) {
		assert_true(holds(i % 2 == 0 ? even : odd, i));
		assert_false(holds(i % 2 == 0 ? odd : even, i));
	}
	assert_false(holds(even, 200));
	assert_null(flow_binding(even, SLICE_NONE));
	stage_strike(&stage);
}

static void order_of_registration_survives_refreshes_and_removals(void **state)
{
	struct stage stage;
	struct flow *flow;
	struct slice identity;
	unsigned i;

	stage_set(&stage, 1000);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	for (i = 0; i < 10; i++)
		user_registers(flow, i, 600);
	for (i = 0; i < 10; i += 2)
		user_registers(flow, i, 1200);
	for (i = 0; i < 10; i++)
		assert_slice(binding_aor(flow_binding_at(flow, i)), user(i));
	assert_null(flow_binding_at(flow, 10));
	for (i = 0; i < 9; i += 3)
		assert_int_equal(stage_exchange(flow, user(i), "Contact: *\r\nExpires: 0\r\n", ""),
		                 0);
	assert_slice(binding_aor(flow_binding_at(flow, 0)), user(1));
	assert_slice(binding_aor(flow_binding_at(flow, 2)), user(4));
	assert_slice(binding_aor(flow_binding_at(flow, 6)), user(9));
	assert_null(flow_binding_at(flow, 7));
	assert_ptr_equal(flow_identity_for(flow, NULL, &identity), flow_binding_at(flow, 0));
	stage_strike(&stage);
}

static void bindings_lapse_in_order_of_their_expiry_not_of_their_registration(void **state)
{
	enum { USERS = 101 };
	struct stage stage;
	struct flow *flow;
	unsigned i, second;

	stage_set(&stage, 1000);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	/* 37 is no divisor of 101: all seconds from 60 to 160, once each, in disorder. */
	for (i = 0; i < USERS; i++)
		user_registers(flow, i, 60 + i * 37 % USERS);
	fake_loop_walk(stage.loop, 59500);
	for (second = 60; second < 60 + USERS; second++) {
		assert_int_equal(stage.closed, 0);
		for (i = 0; i < USERS; i++)
			assert_int_equal(holds(flow, i), 60 + i * 37 % USERS >= second);
		fake_loop_walk(stage.loop, 1000);
	}
	assert_int_equal(stage.closed, 1);
	assert_int_equal(stage.close_reason, FLOW_CLOSE_EXPIRED);
	assert_int_equal(flow_table_registrations(stage.table), 0);
	stage_strike(&stage);
}

static void all_bindings_that_lapse_at_once_end_the_flow_once(void **state)
{
	struct stage stage;
	struct flow *flow;
	unsigned i;

	stage_set(&stage, 1000);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	for (i = 0; i < 100; i++)
		user_registers(flow, i, 60);
	fake_loop_walk(stage.loop, 61000);
	assert_int_equal(stage.closed, 1);
	assert_int_equal(flow_table_registrations(stage.table), 0);
	fake_loop_walk(stage.loop, 3600 * 1000);
	assert_int_equal(stage.closed, 1);
	stage_strike(&stage);
}

static void a_flow_closed_with_bindings_is_left_by_their_timers(void **state)
{
	struct stage stage;
	struct flow *flow;
	unsigned i;

	stage_set(&stage, 1000);
	flow = stage_client(&stage, TRANSPORT_TCP, 1);
	for (i = 0; i < 100; i++)
		user_registers(flow, i, 60 + i);
	flow_table_close(stage.table, flow, FLOW_CLOSE_CONNECTION);
	fake_loop_walk(stage.loop, 3600 * 1000);
	assert_int_equal(stage.closed, 1);
	assert_int_equal(stage.lapsed, 0);
	stage_strike(&stage);
}

/* ---- replacement ---- */

static void users_who_move_to_another_flow_leave_one_by_one_and_the_last_ends_the_old(void **state)
{
	struct crowd crowd;
	struct flow *young, *found;
	char token[FLOW_TOKEN_TEXT_MAX];
	struct flow_elsewhere elsewhere;
	unsigned i;

	crowd_set(&crowd, TRANSPORT_TCP, 1000, ALICE_CONTACT OUTBOUND ";expires=600\r\n");
	snprintf(token, sizeof(token), "%s", flow_token_text(crowd.flow));
	for (i = 0; i < 50; i++)
		assert_int_equal(crowd_learn(&crowd, crowd.flow, i), 0);
	young = stage_client(&crowd.stage, TRANSPORT_TCP, 2);
	for (i = 50; i-- > 0;) {
		assert_int_equal(crowd.stage.closed, 0);
		assert_true(holds(crowd.flow, i));
		assert_int_equal(crowd_learn(&crowd, young, i), 0);
		assert_true(holds(young, i));
		assert_int_equal(flow_table_registrations(crowd.stage.table), 50);
	}
	assert_int_equal(crowd.stage.closed, 1);
	assert_int_equal(crowd.stage.close_reason, FLOW_CLOSE_REPLACED);
	assert_int_equal(flow_table_find_by_token(crowd.stage.table, slice_from_string(token),
	                                          &found, &elsewhere),
	                 FLOW_HERE);
	assert_ptr_equal(found, young);
	crowd_strike(&crowd);
}

/* ---- the limit ---- */

/* Lines that hold `part` of what is logged meanwhile. */
static int log_held(FILE **to)
{
	int kept = dup(STDERR_FILENO);

	*to = tmpfile();
	assert_non_null(*to);
	fflush(stderr);
	dup2(fileno(*to), STDERR_FILENO);
	return kept;
}

static unsigned log_lines(FILE **from, int kept, const char *part)
{
	char line[512];
	unsigned lines = 0;

	fflush(stderr);
	dup2(kept, STDERR_FILENO);
	close(kept);
	rewind(*from);
	while (fgets(line, sizeof(line), *from) != NULL)
		lines += strstr(line, part) != NULL;
	fclose(*from);
	return lines;
}

static void one_client_cannot_hold_more_bindings_than_a_worker_may_have_flows(void **state)
{
	struct flow_table_settings settings = stage_settings(10);
	struct metrics_registry *registry;
	struct metrics *metrics;
	struct stage stage;
	struct flow *flow;
	unsigned i, lines;
	FILE *log;
	int kept;

	stage_set(&stage, 10);
	flow_table_destroy(&stage.table);
	assert_int_equal(metrics_registry_create(&registry), 0);
	assert_int_equal(metrics_create(registry, "worker-3", &metrics), 0);
	assert_int_equal(flow_table_create(stage.loop, &settings, metrics, &stage_events, &stage,
	                                   &stage.table),
	                 0);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	for (i = 0; i < 10; i++)
		user_registers(flow, i, 600);
	kept = log_held(&log);
	for (i = 10; i < 20; i++)
		assert_int_equal(stage_exchange(flow, user(i), ALICE_CONTACT "\r\n",
		                                ALICE_CONTACT "\r\n"),
		                 -ENOBUFS);
	fake_loop_walk(stage.loop, 59000);
	assert_int_equal(stage_exchange(flow, user(20), ALICE_CONTACT "\r\n", ALICE_CONTACT "\r\n"),
	                 -ENOBUFS);
	lines = log_lines(&log, kept, "10, the limit of flows of a worker; 1 not learnt");
	assert_int_equal(lines, 1);
	kept = log_held(&log);
	fake_loop_walk(stage.loop, 2000);
	assert_int_equal(stage_exchange(flow, user(21), ALICE_CONTACT "\r\n", ALICE_CONTACT "\r\n"),
	                 -ENOBUFS);
	lines = log_lines(&log, kept, "; 11 not learnt"); /* those untold are told */
	assert_int_equal(lines, 1);
	assert_int_equal(flow_table_registrations(stage.table), 10);
	assert_false(holds(flow, 10));
	user_registers(flow, 3, 600); /* a refresh is none the more */
	assert_int_equal(metrics_read(registry, METRIC_REJECTED, REJECTED_CLASS_RESPONSE,
	                              REJECTED_FLOWS_LIMIT, 0),
	                 12);
	flow_table_destroy(&stage.table);
	stage_strike(&stage);
	metrics_registry_destroy(&registry);
}

static void at_the_limit_of_bindings_those_that_are_may_refresh_move_and_make_room(void **state)
{
	struct crowd crowd;
	struct flow *other;
	unsigned i;

	crowd_set(&crowd, TRANSPORT_TCP, 10, ALICE_CONTACT OUTBOUND ";expires=600\r\n");
	for (i = 0; i < 10; i++)
		assert_int_equal(crowd_learn(&crowd, crowd.flow, i), 0);
	other = stage_client(&crowd.stage, TRANSPORT_TCP, 2);
	assert_int_equal(crowd_learn(&crowd, other, 10), -ENOBUFS);
	assert_int_equal(flow_state(other), FLOW_NEW);
	assert_int_equal(crowd_learn(&crowd, crowd.flow, 3), 0); /* a refresh */
	assert_int_equal(crowd_learn(&crowd, other, 4), 0);      /* moves: none the more */
	assert_false(holds(crowd.flow, 4));
	assert_int_equal(flow_table_registrations(crowd.stage.table), 10);
	assert_int_equal(stage_exchange(crowd.flow, user(5), "Contact: *\r\nExpires: 0\r\n", ""),
	                 0);
	assert_int_equal(crowd_learn(&crowd, other, 10), 0);
	assert_true(holds(other, 10));
	crowd_strike(&crowd);
}

/* ---- identities ---- */

static void user_registers_as(struct flow *flow, unsigned i, const char *identities)
{
	char granted[512];

	snprintf(granted, sizeof(granted), ALICE_CONTACT "\r\nP-Associated-URI: %s\r\n",
	         identities);
	assert_int_equal(stage_exchange(flow, user(i), ALICE_CONTACT "\r\n", granted), 0);
}

static void an_identity_shared_by_many_is_asserted_until_the_last_of_them_goes(void **state)
{
	/* The first in the ring, one amid, the last, and so on. */
	static const unsigned leaving[] = {0, 4, 9, 1, 8, 2, 3, 7, 5, 6};
	struct stage stage;
	struct flow *flow;
	char identities[128];
	unsigned i;

	stage_set(&stage, 1000);
	flow = stage_client(&stage, TRANSPORT_TCP, 1);
	user_registers(flow, 99, 3600);
	for (i = 0; i < 10; i++) {
		snprintf(identities, sizeof(identities),
		         "<%s>, <sip:reception@example.net>, <tel:+1555>", user(i));
		user_registers_as(flow, i, identities);
	}
	for (i = 0; i < 10; i++) {
		struct name_addr wanted;
		struct slice identity;
		const struct binding *binding;

		assert_true(name_addr_parse(SLICE_LITERAL("<sip:reception@example.net>"), &wanted));
		binding = flow_identity_for(flow, &wanted, &identity);
		assert_slice(identity, "<sip:reception@example.net>");
		assert_ptr_equal(binding, flow_binding(flow, binding_aor(binding)));
		assert_string_equal(asserted(flow, "<tel:+1555>"), "<tel:+1555>");
		assert_int_equal(stage_exchange(flow, user(leaving[i]),
		                                "Contact: *\r\nExpires: 0\r\n", ""),
		                 0);
	}
	assert_string_equal(asserted(flow, "<sip:reception@example.net>"),
	                    "<sip:user000099@example.net>");
	stage_strike(&stage);
}

static void an_identity_is_known_in_whatever_spelling_and_only_on_its_own_flow(void **state)
{
	static const struct {
		const char *associated, *preferred;
		bool equal; /* RFC 3261 19.1.4, RFC 3966 5; or the address-of-record, 10.3 step 5 */
	} cases[] = {
		{"<sip:bob@example.net>", "<sip:bob@EXAMPLE.NET>", true},
		{"<sip:bob@example.net>", "<sip:%62ob@example.net>", true},
		{"<sip:bob@example.net>", "\"Bob\" <sip:bob@example.net>;tag=1", true},
		{"<sip:bob@example.net>", "<sip:bob@example.net;x=1>", true},
		{"<sip:bob@example.net>", "<sip:Bob@example.net>", false},
		{"<sip:bob@example.net>", "<sips:bob@example.net>", false},
		{"<sip:bob@example.net>", "<sip:bob@example.net:5060>", true},
		{"<sip:bob@example.net>", "<sip:bob@example.net;user=phone>", true},
		{"<sip:bob@example.net>", "<sip:bob@example.net;transport=tcp>", true},
		{"<sip:bob@example.net;user=phone>", "<sip:bob@example.net>", false},
		{"<sip:+1555@example.net;user=phone>", "<sip:+1555@example.net;USER=Phone>", true},
		{"<tel:+1555123>", "<tel:+1-555-(123)>", true},
		{"<tel:+1555123>", "<tel:+1555124>", false},
		{"<tel:+1555;ext=1>", "<tel:+1555;ext=2>", false},
		{"<tel:7042;phone-context=example.net>", "<tel:7042;phone-context=EXAMPLE.net>",
	         true},
		{"<urn:service:x>", "<URN:service:x>", true},
	};
	struct stage stage;
	struct flow *flow, *other;
	size_t i;

	stage_set(&stage, 1000);
	other = stage_client(&stage, TRANSPORT_TCP, 2);
	user_registers_as(other, 1, "<sip:other@example.net>");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		flow = stage_client(&stage, TRANSPORT_TCP, 10 + (unsigned)i);
		user_registers_as(flow, 0, "<sip:default@example.net>");
		user_registers_as(flow, 1, cases[i].associated);
		if (strcmp(asserted(flow, cases[i].preferred),
		           cases[i].equal ? cases[i].associated : "<sip:default@example.net>") != 0)
			fail_msg("%s for %s", cases[i].preferred, cases[i].associated);
		assert_string_equal(asserted(other, cases[i].preferred), "<sip:other@example.net>");
	}
	stage_strike(&stage);
}

static void each_of_128_identities_of_one_binding_is_found(void **state)
{
	char granted[8192], identity[64];
	struct stage stage;
	struct flow *flow;
	unsigned i;

	stage_set(&stage, 1000);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	strcpy(granted, ALICE_CONTACT "\r\nP-Associated-URI: <sip:0@h>");
	for (i = 1; i < 128; i++)
		snprintf(granted + strlen(granted), sizeof(granted) - strlen(granted),
		         i % 40 == 0 ? "\r\nP-Associated-URI: <sip:%u@h>" : ", <sip:%u@h>", i);
	strcat(granted, "\r\n");
	assert_int_equal(stage_exchange(flow, ALICE, ALICE_CONTACT "\r\n", granted), 0);
	for (i = 0; i < 128; i++) {
		snprintf(identity, sizeof(identity), "<sip:%u@h>", i);
		assert_string_equal(asserted(flow, identity), identity);
		assert_slice(binding_identity(flow_binding_at(flow, 0), i), identity);
	}
	assert_int_equal(binding_identity_count(flow_binding_at(flow, 0)), 128);
	assert_int_equal(binding_identity(flow_binding_at(flow, 0), 128).length, 0);
	stage_strike(&stage);
}

/* ---- visits ---- */

struct tour {
	struct stage *stage;
	unsigned seen, closing; /* 0: closes none; 3: every third it is given */
	uint64_t last;
};

static bool tour_visit(struct flow *flow, void *arg)
{
	struct tour *tour = arg;

	assert_true(flow_id(flow) > tour->last); /* the oldest first, none twice */
	tour->last = flow_id(flow);
	tour->seen++;
	if (tour->closing > 0 && tour->seen % tour->closing == 0)
		flow_table_close(tour->stage->table, flow, FLOW_CLOSE_IDLE);
	return true;
}

static void a_visit_in_pieces_sees_all_even_if_where_it_rested_has_gone(void **state)
{
	struct stage stage;
	struct tour tour = {.stage = &stage, .closing = 3};
	uint64_t after = 0;
	unsigned i, pieces = 0;

	stage_set(&stage, 1000);
	assert_int_equal(flow_table_visit_some(stage.table, 0, 10, tour_visit, &tour), 0);
	for (i = 0; i < 100; i++)
		stage_client(&stage, TRANSPORT_TCP, i);
	do {
		after = flow_table_visit_some(stage.table, after, 9, tour_visit, &tour);
		loop_turn(stage.loop); /* the graves */
		if (pieces++ == 5)
			stage_client(&stage, TRANSPORT_TCP, 100); /* comes meanwhile */
	} while (after != 0);
	assert_int_equal(pieces, 12);
	assert_int_equal(tour.seen, 101);
	assert_int_equal(flow_table_count(stage.table, TRANSPORT_TCP), 101 - 33);
	tour = (struct tour){.stage = &stage};
	flow_table_visit_some(stage.table, 0, UINT32_MAX, tour_visit, &tour);
	assert_int_equal(tour.seen, 101 - 33);
	stage_strike(&stage);
}

/* ---- without memory ---- */

static void two_users_scene(void *arg)
{
	struct crowd *crowd = arg;
	struct flow *flow = crowd->flow;
	unsigned i;
	int err;

	for (i = 0; i < 3; i++) {
		bool known = holds(flow, i % 2);

		err = crowd_learn(crowd, flow, i % 2);
		assert_true(err == 0 || (err == -ENOMEM && alloc_fail_happened()));
		assert_int_equal(holds(flow, i % 2), err == 0 || known);
		(void)asserted(flow, "<tel:+1555>"); /* the default one, without memory */
	}
	for (i = 0; i < 2; i++)
		(void)stage_exchange(flow, user(i), "Contact: *\r\nExpires: 0\r\n", "");
	loop_advance_to(crowd->stage.loop, loop_now_ms(crowd->stage.loop)); /* the graves */
	for (i = 0; i < 2 && alloc_fail_happened(); i++) {
		(void)stage_exchange(flow, user(i), "Contact: *\r\nExpires: 0\r\n", "");
		loop_advance_to(crowd->stage.loop, loop_now_ms(crowd->stage.loop));
	}
	assert_false(holds(flow, 0));
	assert_false(holds(flow, 1));
}

static void every_allocation_may_fail(void **state)
{
	struct crowd crowd;

	crowd_set(&crowd, TRANSPORT_TCP, 100,
	          ALICE_CONTACT OUTBOUND
	          ";expires=600\r\n"
	          "P-Associated-URI: <sip:main@example.net>, <tel:+1555>\r\n");
	user_registers(crowd.flow, 9, 3600); /* stays */
	assert_true(alloc_fail_each(two_users_scene, &crowd) > 8);
	crowd_strike(&crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_binding_costs_the_same_whether_a_flow_has_ten_thousand_or_a_hundred_thousand),
		cmocka_unit_test(each_binding_is_found_on_its_own_flow_and_on_no_other),
		cmocka_unit_test(order_of_registration_survives_refreshes_and_removals),
		cmocka_unit_test(bindings_lapse_in_order_of_their_expiry_not_of_their_registration),
		cmocka_unit_test(all_bindings_that_lapse_at_once_end_the_flow_once),
		cmocka_unit_test(a_flow_closed_with_bindings_is_left_by_their_timers),
		cmocka_unit_test(
			users_who_move_to_another_flow_leave_one_by_one_and_the_last_ends_the_old),
		cmocka_unit_test(one_client_cannot_hold_more_bindings_than_a_worker_may_have_flows),
		cmocka_unit_test(
			at_the_limit_of_bindings_those_that_are_may_refresh_move_and_make_room),
		cmocka_unit_test(
			an_identity_shared_by_many_is_asserted_until_the_last_of_them_goes),
		cmocka_unit_test(
			an_identity_is_known_in_whatever_spelling_and_only_on_its_own_flow),
		cmocka_unit_test(each_of_128_identities_of_one_binding_is_found),
		cmocka_unit_test(a_visit_in_pieces_sees_all_even_if_where_it_rested_has_gone),
		cmocka_unit_test(every_allocation_may_fail),
	};

	stage_once();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
