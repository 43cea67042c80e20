/* What a REGISTER asks and what its 2xx teaches. RFC 3261 10, RFC 3608, RFC 5626 6, RFC 7315 4.1. */
#include "stage.h"

/* ---- what the request asked ---- */

static struct registration reads(const char *headers)
{
	struct message *request = stage_register(ALICE, headers);
	struct registration registration;

	assert_int_equal(registration_read(request, &registration), 0);
	message_destroy(&request);
	return registration;
}

static void registration_names_the_address_of_record_in_one_spelling(void **state)
{
	struct message *request = stage_register("sip:%61lice@EXAMPLE.net:5060;user=phone",
	                                         "Contact: <sip:alice@10.0.0.5>\r\n");
	struct registration registration;

	assert_int_equal(registration_read(request, &registration), 0);
	assert_string_equal(registration.aor, ALICE);
	registration_free(&registration);
	message_destroy(&request);
}

static void expiry_is_of_the_contact_else_of_the_header_else_an_hour(void **state)
{
	static const struct {
		const char *headers;
		uint32_t expected;
	} cases[] = {
		{"Contact: <sip:a@10.0.0.5>;expires=120\r\nExpires: 60\r\n", 120},
		{"Contact: <sip:a@10.0.0.5>\r\nExpires: 60\r\n", 60},
		{"Contact: <sip:a@10.0.0.5>\r\n", 3600},
		{"Contact: <sip:a@10.0.0.5>;expires=never\r\n", 3600},
		{"Contact: <sip:a@10.0.0.5>;expires=99999999999\r\n", 3600},
		{"Contact: <sip:a@10.0.0.5>;expires=0\r\nExpires: 60\r\n", 0},
		{"Contact: <sip:a@10.0.0.5>\r\nExpires: 0\r\n", 0},
		{"Contact: *\r\nExpires: 0\r\n", 0},
	};
	struct registration registration;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		registration = reads(cases[i].headers);
		assert_int_equal(registration.requested_s, cases[i].expected);
		registration_free(&registration);
	}
}

static void of_a_moved_contact_the_new_one_is_meant(void **state)
{
	struct registration registration =
		reads("Contact: <sip:a@10.0.0.5>;expires=0\r\n"
	              "Contact: <sip:a@10.0.0.6>;expires=300;reg-id=7"
	              ";+sip.instance=\"<urn:uuid:1>\", <sip:a@10.0.0.7>\r\n");

	assert_string_equal(registration.contacts, "sip:a@10.0.0.6\nsip:a@10.0.0.7");
	assert_int_equal(registration.requested_s, 300);
	assert_int_equal(registration.reg_id, 7);
	assert_string_equal(registration.instance, "<urn:uuid:1>");
	registration_free(&registration);
}

static void star_and_query_are_told_apart(void **state)
{
	struct registration registration = reads("Contact: *\r\nExpires: 0\r\n");

	assert_string_equal(registration.contacts, "*");
	registration_free(&registration);
	registration = reads("");
	assert_string_equal(registration.contacts, "");
	assert_null(registration.instance);
	registration_free(&registration);
	registration_free(&registration); /* twice is fine */
}

static void more_than_sixteen_contacts_are_refused(void **state)
{
	char headers[2048] = "Contact: <sip:a0@10.0.0.5>";
	struct registration registration;
	struct message *request;
	unsigned i;

	for (i = 1; i <= 16; i++)
		snprintf(headers + strlen(headers), sizeof(headers) - strlen(headers),
		         ", <sip:a%u@10.0.0.5>", i);
	strcat(headers, "\r\n");
	request = stage_register(ALICE, headers);
	assert_int_equal(registration_read(request, &registration), -EINVAL);
	message_destroy(&request);
}

/* ---- what the 2xx teaches ---- */

static void all_identities_and_the_whole_service_route_are_learnt(void **state)
{
	struct stage stage;
	struct flow *flow;
	const struct binding *binding;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	assert_int_equal(
		stage_exchange(flow, ALICE, ALICE_CONTACT "\r\n",
	                       ALICE_CONTACT
	                       ";expires=77\r\n"
	                       "P-Associated-URI: \"Alice A.\" <sip:alice.a@example.net>;x=1,"
	                       " <tel:+15551234>\r\n"
	                       "Service-Route: <sip:orig@scscf1.example.net;lr>\r\n"
	                       "P-Associated-URI: <sip:work@example.net;user=phone>\r\n"
	                       "Service-Route: <sip:b;lr>,<sip:c;lr;x=1>;p=\"1,2\"\r\n"),
		0);
	binding = flow_binding(flow, SLICE_LITERAL(ALICE));
	assert_non_null(binding);
	assert_slice(binding_aor(binding), ALICE);
	assert_slice(binding_contact(binding), "sip:alice@10.0.0.5:5060");
	assert_slice(binding_instance(binding), "");
	assert_int_equal(binding_expires_ms(binding), FAKE_CLOCK_START_MS + 77000);
	assert_int_equal(binding_identity_count(binding), 3);
	assert_slice(binding_default_identity(binding), "\"Alice A.\" <sip:alice.a@example.net>");
	assert_slice(binding_identity(binding, 1), "<tel:+15551234>");
	assert_slice(binding_identity(binding, 2), "<sip:work@example.net;user=phone>");
	assert_slice(binding_identity(binding, 3), "");
	assert_slice(binding_service_route(binding),
	             "<sip:orig@scscf1.example.net;lr>, <sip:b;lr>, <sip:c;lr;x=1>;p=\"1,2\"");
	stage_strike(&stage);
}

static void a_later_2xx_replaces_all_that_was_known(void **state)
{
	struct stage stage;
	struct flow *flow;
	const struct binding *binding;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	assert_int_equal(stage_exchange(flow, ALICE, ALICE_CONTACT "\r\n",
	                                ALICE_CONTACT
	                                "\r\n"
	                                "P-Associated-URI: <sip:a@x.net>, <sip:b@x.net>\r\n"
	                                "Service-Route: <sip:one;lr>\r\n"),
	                 0);
	assert_int_equal(stage_exchange(flow, ALICE, ALICE_CONTACT "\r\n",
	                                ALICE_CONTACT "\r\n"
	                                              "P-Associated-URI: <sip:b@x.net>\r\n"),
	                 0);
	binding = flow_binding(flow, SLICE_LITERAL(ALICE));
	assert_int_equal(binding_identity_count(binding), 1);
	assert_slice(binding_default_identity(binding), "<sip:b@x.net>");
	assert_slice(binding_service_route(binding), "");
	assert_null(flow_binding_at(flow, 1));
	assert_int_equal(flow_table_registrations(stage.table), 1);
	stage_strike(&stage);
}

static void without_associated_uris_the_address_of_record_is_the_identity(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 60);
	assert_slice(binding_default_identity(flow_binding_at(flow, 0)), "<" ALICE ">");
	assert_int_equal(binding_identity_count(flow_binding_at(flow, 0)), 1);
	stage_strike(&stage);
}

static void expiry_is_of_this_contact_among_those_of_other_devices(void **state)
{
	static const struct {
		const char *granted; /* Contact and Expires lines of the 2xx */
		uint32_t seconds;
	} cases[] = {
		{"Contact: <sip:alice@10.9.9.9>;expires=11, <sip:alice@10.0.0.5:5060>;expires=22,"
	         " <sip:alice@10.8.8.8>;expires=33\r\nExpires: 44\r\n",
	         22},
		{"Contact: <sip:alice@10.9.9.9>;expires=11, <sip:alice@10.0.0.5:5060>\r\n"
	         "Expires: 44\r\n",
	         44},
		{"Contact: <sip:alice@10.0.0.5:5060>\r\n", 3600},
		{"Contact: \"Alice\" <sip:%61lice@10.0.0.5:5060>;q=0.5;expires=5\r\n", 5},
		{"Contact: <sip:ALICE@10.0.0.5:5060>;expires=5, <sip:alice@10.0.0.5>;expires=6,"
	         " <sip:alice@10.0.0.5:5060;x=1>;expires=7\r\n",
	         7},
	};
	struct stage stage;
	struct flow *flow;
	size_t i;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(stage_exchange(flow, ALICE, ALICE_CONTACT "\r\n",
		                                cases[i].granted),
		                 0);
		assert_int_equal(binding_expires_ms(flow_binding_at(flow, 0)),
		                 FAKE_CLOCK_START_MS + cases[i].seconds * UINT64_C(1000));
	}
	stage_strike(&stage);
}

static void instance_and_reg_id_name_the_binding_whatever_its_uri(void **state)
{
	struct stage stage;
	struct flow *flow;
	const struct binding *binding;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	/* Another phone has the same private address; ours was rewritten by the registrar. */
	assert_int_equal(
		stage_exchange(flow, ALICE, ALICE_CONTACT OUTBOUND "\r\n",
	                       ALICE_CONTACT
	                       ";+sip.instance=\"<urn:uuid:another>\";reg-id=1;expires=500\r\n"
	                       "Contact: <sip:alice@192.0.2.1:1024>" OUTBOUND ";expires=40\r\n"),
		0);
	binding = flow_binding_at(flow, 0);
	assert_non_null(binding);
	assert_int_equal(binding_expires_ms(binding), FAKE_CLOCK_START_MS + 40000);
	assert_slice(binding_contact(binding), "sip:alice@192.0.2.1:1024");
	assert_slice(binding_instance(binding), "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>");
	assert_int_equal(binding_reg_id(binding), 1);
	stage_strike(&stage);
}

static void registrar_without_outbound_is_matched_by_uri(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	assert_int_equal(stage_exchange(flow, ALICE, ALICE_CONTACT OUTBOUND "\r\n",
	                                ALICE_CONTACT ";expires=50\r\n"),
	                 0);
	assert_int_equal(binding_reg_id(flow_binding_at(flow, 0)), 1);
	stage_strike(&stage);
}

static void a_2xx_that_does_not_list_the_contact_registers_nobody(void **state)
{
	static const char *const granted[] = {
		"",
		"Contact: <sip:alice@10.9.9.9>;expires=3600\r\n",
		ALICE_CONTACT ";expires=0\r\n",
	};
	struct stage stage;
	struct flow *flow;
	size_t i;

	stage_set(&stage, 100);
	for (i = 0; i < 3; i++) {
		flow = stage_client(&stage, TRANSPORT_UDP, (unsigned)i);
		assert_int_equal(stage_exchange(flow, ALICE, ALICE_CONTACT "\r\n", granted[i]), 0);
		assert_int_equal(flow_state(flow), FLOW_NEW);
		assert_null(flow_binding_at(flow, 0));
	}
	/* A flow that never registered is not deregistered either. */
	assert_int_equal(stage.closed, 0);
	stage_strike(&stage);
}

static void removal_ends_the_binding_and_a_udp_flow_with_it(void **state)
{
	static const char *const ways[][2] = {
		{"Contact: *\r\nExpires: 0\r\n", ""},
		{ALICE_CONTACT ";expires=0\r\n", ""},
		{ALICE_CONTACT "\r\nExpires: 0\r\n", "Contact: <sip:alice@10.9.9.9>;expires=9\r\n"},
		{ALICE_CONTACT "\r\nExpires: 0\r\n", ALICE_CONTACT ";expires=60\r\n"},
		{ALICE_CONTACT "\r\n", ""}, /* refused silently */
		{ALICE_CONTACT "\r\n", ALICE_CONTACT ";expires=0\r\n"},
		{"", ""}, /* a query: gone meanwhile */
	};
	struct stage stage;
	struct flow *udp, *tcp;
	unsigned i;

	stage_set(&stage, 100);
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		udp = stage_client(&stage, TRANSPORT_UDP, i);
		tcp = stage_client(&stage, TRANSPORT_TCP, i);
		stage_registers(udp, 600);
		stage_registers(tcp, 600);
		stage.closed = 0;
		assert_int_equal(stage_exchange(udp, ALICE, ways[i][0], ways[i][1]), 0);
		assert_int_equal(stage_exchange(tcp, ALICE, ways[i][0], ways[i][1]), 0);
		assert_int_equal(flow_state(udp), FLOW_CLOSED);
		assert_int_equal(flow_state(tcp), FLOW_NEW);
		assert_int_equal(stage.closed, 1);
		assert_int_equal(stage.close_reason, FLOW_CLOSE_DEREGISTERED);
		assert_int_equal(flow_table_registrations(stage.table), 0);
		loop_turn(stage.loop);
	}
	stage_strike(&stage);
}

static void a_query_teaches_without_a_contact(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 600);
	assert_int_equal(stage_exchange(flow, ALICE, "",
	                                ALICE_CONTACT
	                                ";expires=300\r\n"
	                                "P-Associated-URI: <sip:new@example.net>\r\n"),
	                 0);
	assert_int_equal(flow_state(flow), FLOW_REGISTERED);
	assert_int_equal(binding_expires_ms(flow_binding_at(flow, 0)),
	                 FAKE_CLOCK_START_MS + 300000);
	assert_slice(binding_default_identity(flow_binding_at(flow, 0)), "<sip:new@example.net>");
	stage_strike(&stage);
}

static void removing_another_devices_contact_keeps_ours(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 600);
	assert_int_equal(stage_exchange(flow, ALICE, "Contact: <sip:alice@10.9.9.9>;expires=0\r\n",
	                                ALICE_CONTACT ";expires=500\r\n"),
	                 0);
	assert_int_equal(flow_state(flow), FLOW_REGISTERED);
	assert_slice(binding_contact(flow_binding_at(flow, 0)), "sip:alice@10.0.0.5:5060");
	stage_strike(&stage);
}

static void a_client_that_moves_its_contact_keeps_its_binding(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 600);
	assert_int_equal(stage_exchange(flow, ALICE,
	                                ALICE_CONTACT ";expires=0, <sip:alice@10.0.0.6>\r\n",
	                                "Contact: <sip:alice@10.0.0.6>;expires=100\r\n"),
	                 0);
	assert_slice(binding_contact(flow_binding_at(flow, 0)), "sip:alice@10.0.0.6");
	assert_int_equal(flow_table_registrations(stage.table), 1);
	stage_strike(&stage);
}

static void text_beyond_16_kib_is_refused_and_the_old_binding_stays(void **state)
{
	char *text = calloc(1, 40000);
	struct message *request, *response;
	struct registration registration;
	struct stage stage;
	struct flow *flow;
	unsigned i;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	stage_registers(flow, 600);
	strcat(text, "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK-1\r\n"
	             "From: <" ALICE ">;tag=a\r\nTo: <" ALICE ">;tag=b\r\nCall-ID: c\r\n"
	             "CSeq: 1 REGISTER\r\n" ALICE_CONTACT ";expires=60\r\n");
	for (i = 0; i < 40; i++)
		snprintf(text + strlen(text), 40000 - strlen(text),
		         "P-Associated-URI: <sip:%0500u@example.net>\r\n", i);
	strcat(text, "Content-Length: 0\r\n\r\n");
	request = stage_register(ALICE, ALICE_CONTACT "\r\n");
	response = stage_parse(text);
	assert_int_equal(registration_read(request, &registration), 0);
	assert_int_equal(flow_learn(flow, &registration, response), -EMSGSIZE);
	assert_int_equal(binding_expires_ms(flow_binding_at(flow, 0)),
	                 FAKE_CLOCK_START_MS + 600000);
	registration_free(&registration);
	message_destroy(&request);
	message_destroy(&response);
	free(text);
	stage_strike(&stage);
}

/* ---- identity ---- */

static const char *identity(struct flow *flow, const char *preferred)
{
	static char text[256];
	struct name_addr address;
	struct slice found;

	if (preferred != NULL)
		assert_true(name_addr_parse(slice_from_string(preferred), &address));
	if (flow_identity_for(flow, preferred != NULL ? &address : NULL, &found) == NULL)
		return NULL;
	snprintf(text, sizeof(text), "%.*s", SLICE_ARGS(found));
	return text;
}

static void preferred_identity_counts_only_if_it_is_associated(void **state)
{
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_TCP, 1);
	assert_null(identity(flow, "<sip:alice@example.net>"));
	assert_int_equal(
		stage_exchange(flow, ALICE, ALICE_CONTACT "\r\n",
	                       ALICE_CONTACT
	                       "\r\n"
	                       "P-Associated-URI: <sip:alice@example.net>, <tel:+15551234>\r\n"),
		0);
	assert_int_equal(stage_exchange(flow, "sip:bob@example.net",
	                                "Contact: <sip:bob@10.0.0.5>\r\n",
	                                "Contact: <sip:bob@10.0.0.5>\r\n"
	                                "P-Associated-URI: \"Bob\" <sip:bob@example.net>\r\n"),
	                 0);
	assert_string_equal(identity(flow, NULL), "<sip:alice@example.net>");
	assert_string_equal(identity(flow, "<tel:+15551234>"), "<tel:+15551234>");
	assert_string_equal(identity(flow, "\"The Boss\" <sip:bob@EXAMPLE.net>"),
	                    "\"Bob\" <sip:bob@example.net>");
	assert_string_equal(identity(flow, "<sip:mallory@example.net>"), "<sip:alice@example.net>");
	stage_strike(&stage);
}

/* ---- without memory ---- */

static void read_scene(void *arg)
{
	struct message *request =
		stage_register(ALICE, ALICE_CONTACT OUTBOUND ", <sip:alice@10.0.0.6>\r\n");
	struct registration registration;

	if (request == NULL)
		return;
	if (registration_read(request, &registration) == 0)
		registration_free(&registration);
	else
		assert_true(alloc_fail_happened());
	message_destroy(&request);
}

struct refresh {
	struct stage stage;
	struct flow *flow;
};

static void refresh_scene(void *arg)
{
	struct refresh *refresh = arg;
	struct loop *loop = refresh->stage.loop;
	int err;

	err = stage_exchange(refresh->flow, ALICE, ALICE_CONTACT OUTBOUND "\r\n",
	                     ALICE_CONTACT OUTBOUND ";expires=600\r\n");
	assert_true(err == 0 || alloc_fail_happened());
	assert_int_equal(flow_state(refresh->flow), FLOW_REGISTERED); /* what was known stays */
	loop_advance_to(loop, loop_now_ms(loop));                     /* the graves */
}

static void every_allocation_may_fail(void **state)
{
	struct refresh refresh;

	assert_true(alloc_fail_each(read_scene, NULL) > 3);
	stage_set(&refresh.stage, 100);
	refresh.flow = stage_client(&refresh.stage, TRANSPORT_UDP, 1);
	stage_registers_outbound(refresh.flow, 600);
	assert_true(alloc_fail_each(refresh_scene, &refresh) > 5);
	stage_strike(&refresh.stage);
}

/* ---- the registrar changes its mind in a late turn ---- */

static void on_news(struct timer *timer, void *arg)
{
	struct uri uri;

	assert_true(uri_parse(SLICE_LITERAL("sip:office@example.net"), &uri));
	assert_true(flow_revoke_identity(arg, &uri));
}

static void binding_that_lapsed_in_a_late_turn_gains_no_time_by_news_of_it(void **state)
{
	struct timer news;
	struct stage stage;
	struct flow *flow;

	stage_set(&stage, 100);
	flow = stage_client(&stage, TRANSPORT_UDP, 1);
	timer_init(&news, on_news, flow);
	timer_start(loop_timers(stage.loop), &news, 59000); /* before the binding's end */
	assert_int_equal(stage_exchange(flow, ALICE, ALICE_CONTACT ";expires=60\r\n",
	                                ALICE_CONTACT ";expires=60\r\nP-Associated-URI: <" ALICE
	                                              ">, <sip:office@example.net>\r\n"),
	                 0);
	fake_clock_advance_ms(90000); /* the loop slept past both */
	loop_advance_to(stage.loop, FAKE_CLOCK_START_MS + 90000);
	fake_loop_walk(stage.loop, 1000);
	assert_int_equal(stage.closed, 1);
	assert_int_equal(stage.close_reason, FLOW_CLOSE_EXPIRED);
	stage_strike(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registration_names_the_address_of_record_in_one_spelling),
		cmocka_unit_test(expiry_is_of_the_contact_else_of_the_header_else_an_hour),
		cmocka_unit_test(of_a_moved_contact_the_new_one_is_meant),
		cmocka_unit_test(star_and_query_are_told_apart),
		cmocka_unit_test(more_than_sixteen_contacts_are_refused),
		cmocka_unit_test(all_identities_and_the_whole_service_route_are_learnt),
		cmocka_unit_test(a_later_2xx_replaces_all_that_was_known),
		cmocka_unit_test(without_associated_uris_the_address_of_record_is_the_identity),
		cmocka_unit_test(expiry_is_of_this_contact_among_those_of_other_devices),
		cmocka_unit_test(instance_and_reg_id_name_the_binding_whatever_its_uri),
		cmocka_unit_test(registrar_without_outbound_is_matched_by_uri),
		cmocka_unit_test(a_2xx_that_does_not_list_the_contact_registers_nobody),
		cmocka_unit_test(removal_ends_the_binding_and_a_udp_flow_with_it),
		cmocka_unit_test(a_query_teaches_without_a_contact),
		cmocka_unit_test(removing_another_devices_contact_keeps_ours),
		cmocka_unit_test(a_client_that_moves_its_contact_keeps_its_binding),
		cmocka_unit_test(text_beyond_16_kib_is_refused_and_the_old_binding_stays),
		cmocka_unit_test(preferred_identity_counts_only_if_it_is_associated),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(binding_that_lapsed_in_a_late_turn_gains_no_time_by_news_of_it),
	};

	stage_once();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
