/* The registrar changes its mind: a binding, an identity or some time is taken away. RFC 3680, TS 24.229 5.2.3. */
#include "stage.h"

static int setup(void **state)
{
	struct stage *stage = malloc(sizeof(*stage));

	stage_once();
	stage_set(stage, 100);
	*state = stage;
	return 0;
}

static int teardown(void **state)
{
	stage_strike(*state);
	free(*state);
	return 0;
}

#define THREE_IDENTITIES                                                                           \
	ALICE_CONTACT ";expires=600\r\n"                                                           \
		      "P-Associated-URI: <sip:alice@example.net>, \"A\" <sip:a@example.net>, "     \
		      "<tel:+15550001>\r\n"

static void flow_of_three_identities(struct stage *stage, enum sip_transport transport,
                                     struct flow **out)
{
	*out = stage_client(stage, transport, 1);
	assert_int_equal(stage_exchange(*out, ALICE, ALICE_CONTACT OUTBOUND ";expires=600\r\n",
	                                THREE_IDENTITIES),
	                 0);
}

static bool revoke_identity(struct flow *flow, const char *text)
{
	struct uri uri;

	assert_true(uri_parse(slice_from_string(text), &uri));
	return flow_revoke_identity(flow, &uri);
}

static void revoked_binding_ends_its_udp_flow_and_no_connection(void **state)
{
	struct stage *stage = *state;
	struct flow *flow;

	flow_of_three_identities(stage, TRANSPORT_UDP, &flow);
	assert_false(flow_revoke(flow, SLICE_LITERAL("sip:bob@example.net")));
	assert_true(flow_revoke(flow, SLICE_LITERAL(ALICE)));
	assert_int_equal(stage->closed, 1);
	assert_int_equal(stage->close_reason, FLOW_CLOSE_DEREGISTERED);
	assert_false(flow_revoke(flow, SLICE_LITERAL(ALICE))); /* in the same turn */
	flow_of_three_identities(stage, TRANSPORT_TCP, &flow);
	assert_true(flow_revoke(flow, SLICE_LITERAL(ALICE)));
	assert_int_equal(stage->closed, 1);
	assert_int_equal(flow_state(flow), FLOW_NEW);
	assert_null(flow_binding(flow, SLICE_LITERAL(ALICE)));
	assert_int_equal(flow_table_registrations(stage->table), 0);
}

static void shortened_binding_lapses_sooner_and_never_later(void **state)
{
	struct stage *stage = *state;
	struct flow *flow;

	flow_of_three_identities(stage, TRANSPORT_TCP, &flow);
	assert_true(flow_shorten(flow, SLICE_LITERAL(ALICE), 6000));
	assert_true(flow_shorten(flow, SLICE_LITERAL(ALICE), 10));
	fake_loop_walk(stage->loop, 9999);
	assert_non_null(flow_binding(flow, SLICE_LITERAL(ALICE)));
	fake_loop_walk(stage->loop, 2);
	assert_null(flow_binding(flow, SLICE_LITERAL(ALICE)));
	flow_of_three_identities(stage, TRANSPORT_TCP, &flow);
	assert_true(flow_shorten(flow, SLICE_LITERAL(ALICE), 0));
	assert_null(flow_binding(flow, SLICE_LITERAL(ALICE)));
}

static void revoked_identity_leaves_the_others_as_they_were(void **state)
{
	struct stage *stage = *state;
	const struct binding *binding;
	uint64_t expires_ms, learnt_ms, key;
	struct slice identity;
	struct flow *flow;
	struct uri uri;

	flow_of_three_identities(stage, TRANSPORT_TCP, &flow);
	binding = flow_binding(flow, SLICE_LITERAL(ALICE));
	expires_ms = binding_expires_ms(binding);
	learnt_ms = binding_learnt_ms(binding);
	key = binding_key(binding);
	fake_loop_walk(stage->loop, 5000);
	assert_false(revoke_identity(flow, "sip:stranger@example.net"));
	assert_true(revoke_identity(flow, "sip:a@example.net"));
	binding = flow_binding(flow, SLICE_LITERAL(ALICE));
	assert_int_equal(binding_identity_count(binding), 2);
	assert_slice(binding_identity(binding, 0), "<sip:alice@example.net>");
	assert_slice(binding_identity(binding, 1), "<tel:+15550001>");
	assert_slice(binding_contact(binding), "sip:alice@10.0.0.5:5060");
	assert_true(binding_expires_ms(binding) == expires_ms);
	assert_true(binding_learnt_ms(binding) == learnt_ms);
	assert_true(binding_key(binding) == key);
	assert_ptr_equal(flow_table_find_key(stage->table, key), flow);
	assert_true(uri_parse(SLICE_LITERAL("sip:a@example.net"), &uri));
	assert_null(flow_identity_find(flow, &uri, &identity));
	assert_true(uri_parse(SLICE_LITERAL("tel:+1-555-0001"), &uri));
	assert_ptr_equal(flow_identity_find(flow, &uri, &identity), binding);
	assert_slice(identity, "<tel:+15550001>");
	/* The default one: the next takes its place. The last one: the binding goes. */
	assert_true(revoke_identity(flow, ALICE));
	assert_slice(binding_default_identity(flow_binding(flow, SLICE_LITERAL(ALICE))),
	             "<tel:+15550001>");
	assert_true(revoke_identity(flow, "tel:+15550001"));
	assert_null(flow_binding(flow, SLICE_LITERAL(ALICE)));
	assert_int_equal(flow_table_registrations(stage->table), 0);
}

static void revoked_identity_comes_back_with_the_next_2xx(void **state)
{
	struct stage *stage = *state;
	struct flow *flow;

	flow_of_three_identities(stage, TRANSPORT_TCP, &flow);
	assert_true(revoke_identity(flow, "tel:+15550001"));
	flow_of_three_identities(stage, TRANSPORT_TCP, &flow);
	assert_int_equal(binding_identity_count(flow_binding(flow, SLICE_LITERAL(ALICE))), 3);
	fake_loop_walk(stage->loop, 601000); /* one timer, not two */
	assert_null(flow_binding(flow, SLICE_LITERAL(ALICE)));
}

/* Who cannot be kept without the identity goes with it. */
static void without_memory_the_whole_binding_is_revoked(void **state)
{
	struct stage *stage = *state;
	struct flow *flow;

	flow_of_three_identities(stage, TRANSPORT_TCP, &flow);
	for (unsigned n = 1;; n++) {
		bool revoked;

		flow_of_three_identities(stage, TRANSPORT_TCP, &flow);
		memory_fail_at(n);
		revoked = revoke_identity(flow, "sip:a@example.net");
		if (!memory_has_failed())
			break;
		memory_fail_at(0);
		/* The first allocations are those of looking for it. */
		assert_true(!revoked || flow_binding(flow, SLICE_LITERAL(ALICE)) == NULL);
	}
	memory_fail_at(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(revoked_binding_ends_its_udp_flow_and_no_connection,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(shortened_binding_lapses_sooner_and_never_later,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(revoked_identity_leaves_the_others_as_they_were,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(revoked_identity_comes_back_with_the_next_2xx,
	                                        setup, teardown),
		cmocka_unit_test_setup_teardown(without_memory_the_whole_binding_is_revoked, setup,
	                                        teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
