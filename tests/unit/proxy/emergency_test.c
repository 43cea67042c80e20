/* Emergency: registrations marked sos, and calls of clients that are not registered. */
#include "support/peer_world.h"

static const char *const contact = "Contact: <sip:user1@192.0.2.1:10001>\r\n";

static void allow_route(struct world *world)
{
	world->settings.peers.emergency.uri = "sip:10.0.0.50:5062;transport=tcp;lr";
	world->settings.peers.emergency.transport = TRANSPORT_TCP;
	assert_true(address_parse(SLICE_LITERAL("10.0.0.50:5062"),
	                          &world->settings.peers.emergency.address));
}

static void register_sos(struct world *world, const char *call_id, const char *value)
{
	char lines[256];

	snprintf(lines, sizeof(lines), "To: <sip:user1@example.net>\r\nContact: %s\r\n", value);
	world_client_request(world, 1, "REGISTER", "sip:example.net", call_id, lines);
}

static void an_emergency_registration_is_refused_unless_allowed(void **state)
{
	struct world *world = *state;

	register_sos(world, "r1", "<sip:user1@192.0.2.1:10001;sos>");
	assert_status(world, 0, "503");
	assert_contains(world->sent[0].text, "Retry-After: ");
	register_sos(world, "r2", "<sip:user1@192.0.2.1:10001>;sos");
	assert_status(world, 1, "503");
	assert_null(world_flow(world, 1)); /* nothing was made for it */
	world->settings.peers.emergency_register = true;
	register_sos(world, "r3", "<sip:user1@192.0.2.1:10001;sos>");
	assert_memory_equal(world->sent[2].text, "REGISTER ", 9);
	assert_true(world_target_of(&world->sent[2].hop.remote) >= 0);
}

static void a_stranger_in_need_is_refused_without_a_route(void **state)
{
	struct world *world = *state;

	world_client_request(world, 1, "INVITE", "urn:service:sos", "e1", contact);
	assert_status(world, 0, "403");
	world_client_request(world, 1, "INVITE", "urn:service:sos", "e2",
	                     "P-Access-Network-Info: 3GPP-E-UTRAN-FDD\r\n");
	assert_status(world, 1, "403");
}

static void one_who_may_register_for_it_is_told_so(void **state)
{
	struct world *world = *state;
	const char *text, *body;
	char length[32];

	world->settings.peers.emergency_register = true;
	world_client_request(
		world, 1, "INVITE", "urn:service:sos.fire", "e1",
		"Accept: application/sdp, application/3gpp-ims+xml;q=0.5\r\n"
		"Subject: this line makes the request as long as the answer may be, since\r\n"
		"Subject-2: we never send an unproven address much more than it sent us, so "
		"that\r\n"
		"Subject-3: nobody can use us to flood another, and the document has 300 "
		"bytes\r\n");
	assert_status(world, 0, "380");
	text = world->sent[0].text;
	assert_string_equal(world_header(text, "Content-Type"), "application/3gpp-ims+xml");
	body = strstr(text, "\r\n\r\n") + 4;
	snprintf(length, sizeof(length), "%zu", strlen(body));
	assert_string_equal(world_header(text, "Content-Length"), length);
	assert_contains(body, "<type>emergency</type>");
	assert_contains(body, "<action>emergency-registration</action>");
}

static void a_stranger_in_need_reaches_the_e_cscf_and_no_identity_is_asserted(void **state)
{
	struct world *world = *state;
	const char *text;

	allow_route(world);
	world_client_request(world, 1, "INVITE", "URN:service:SOS.police", "e1",
	                     "Contact: <sip:user1@192.0.2.1:10001>\r\n"
	                     "Route: <sip:127.0.1.1:5054;lr;orig>\r\n"
	                     "P-Asserted-Identity: <sip:boss@example.net>\r\n"
	                     "P-Preferred-Identity: <sip:boss@example.net>\r\n");
	assert_int_equal(world->sent_count, 1);
	text = world->sent[0].text;
	assert_int_equal(address_port(&world->sent[0].hop.remote), 5062);
	assert_int_equal(world->sent[0].hop.side, SIDE_CORE);
	assert_string_equal(world_header(text, "Route"), "<sip:10.0.0.50:5062;transport=tcp;lr>");
	assert_lacks(text, "boss");
	assert_int_equal(world_count_lines(text, "Record-Route"), 2);
	/* Words that only begin alike are calls as any other. */
	world_client_request(world, 1, "INVITE", "urn:service:sossy", "e2", contact);
	assert_status(world, 1, "403");
	world_client_request(world, 1, "INVITE", "sip:sos@example.net", "e3", contact);
	assert_status(world, 2, "403");
}

static void an_emergency_call_goes_on_both_ways(void **state)
{
	struct world *world = *state;
	char routes[512], core_routes[512], lines[1024];

	allow_route(world);
	world_client_request(world, 1, "INVITE", "urn:service:sos", "e1", contact);
	snprintf(core_routes, sizeof(core_routes), "%s, %s",
	         peer_record_route(world->sent[0].text, 0),
	         peer_record_route(world->sent[0].text, 1));
	snprintf(lines, sizeof(lines),
	         "Record-Route: <sip:psap@10.0.0.50:5062;lr>, %s\r\n"
	         "Contact: <sip:psap@10.0.0.60>\r\n",
	         core_routes);
	world_answer(world, 0, "200 OK", lines);
	assert_status(world, 1, "200");
	assert_contains(peer_record_route(world->sent[1].text, 0), ";rs=");
	snprintf(routes, sizeof(routes), "%s, %.*s",
	         strrchr(peer_record_route(world->sent[1].text, 0), '<'),
	         (int)strcspn(core_routes, ","), core_routes);
	world_forget_sent(world);
	snprintf(lines, sizeof(lines),
	         "To: <urn:service:sos>;tag=callee\r\n"
	         "Route: %s, <sip:psap@10.0.0.50:5062;lr>\r\n",
	         routes);
	world_client_request(world, 1, "ACK", "sip:psap@10.0.0.60", "e1", lines);
	assert_int_equal(address_port(&world->sent[0].hop.remote), 5062);
	assert_string_equal(world_header(world->sent[0].text, "Route"),
	                    "<sip:psap@10.0.0.50:5062;lr>");
	/* The centre hangs up: to where the caller called from. */
	world_core_request(world, 0, "BYE", "sip:user1@192.0.2.1:10001", core_routes, "e1", "");
	assert_int_equal(world->sent[1].hop.side, SIDE_ACCESS);
	assert_int_equal(address_port(&world->sent[1].hop.remote), 10001);
	/* Nobody else, and no other call, goes along it; nor does this one go elsewhere. */
	world_client_request(world, 1, "BYE", "sip:psap@10.0.0.60", "e9", lines);
	assert_status(world, 2, "403");
	snprintf(lines, sizeof(lines),
	         "To: <urn:service:sos>;tag=callee\r\nRoute: %s, <sip:203.0.113.5;lr>\r\n", routes);
	world_client_request(world, 1, "INFO", "sip:psap@10.0.0.60", "e1", lines);
	assert_status(world, 3, "403");
}

static void a_registered_client_calls_as_always(void **state)
{
	struct world *world = *state;

	allow_route(world);
	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "urn:service:sos", "e1", contact);
	assert_int_equal(world_target_of(&world->sent[0].hop.remote), 0);
	assert_string_equal(world_header(world->sent[0].text, "P-Asserted-Identity"),
	                    "<sip:user1@example.net>");
}

static void a_dead_e_cscf_is_503(void **state)
{
	struct world *world = *state;

	allow_route(world);
	world->other_open_error = -ENETUNREACH;
	world_client_request(world, 1, "INVITE", "urn:service:sos", "e1", contact);
	assert_status(world, 0, "503");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		peer_test(an_emergency_registration_is_refused_unless_allowed),
		peer_test(a_stranger_in_need_is_refused_without_a_route),
		peer_test(one_who_may_register_for_it_is_told_so),
		peer_test(a_stranger_in_need_reaches_the_e_cscf_and_no_identity_is_asserted),
		peer_test(an_emergency_call_goes_on_both_ways),
		peer_test(a_registered_client_calls_as_always),
		peer_test(a_dead_e_cscf_is_503),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
