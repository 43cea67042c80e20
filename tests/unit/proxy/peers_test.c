/* Who is who; PBXes that do not register: their calls, what the core is asked for, and calls to them. */
#include "support/peer_world.h"

static const char *const contact = "Contact: <sip:ext@" PBX ":5060>\r\n";
static const char service_route[] = "sip:pbx@127.0.1.2:5054;transport=tcp;lr;orig";

static void a_pbx_is_served_without_registering_and_challenged(void **state)
{
	struct world *world = *state;
	const char *text;

	world->settings.peers.pbx_service_route = service_route;
	peer_request(
		world, PBX, "INVITE", "sip:bob@example.net", "p1",
		"Contact: <sip:ext@" PBX ">\r\nRoute: <sip:evil.example;lr>\r\n"
		"P-Charging-Vector: icid-value=1\r\nP-Served-User: <sip:boss@example.net>\r\n");
	assert_int_equal(world->sent_count, 1);
	text = world->sent[0].text;
	assert_int_equal(world_target_of(&world->sent[0].hop.remote), 1);
	assert_string_equal(world_header(text, "Route"),
	                    "<sip:pbx@127.0.1.2:5054;transport=tcp;lr;orig>");
	assert_int_equal(world_count_lines(text, "Route"), 1);
	assert_string_equal(world_header(text, "Proxy-Authorization"),
	                    "Digest nonce=\"\", response=\"\"");
	assert_lacks(text, "P-Charging-Vector");
	assert_lacks(text, "P-Served-User");
	assert_int_equal(world_count_lines(text, "Record-Route"), 2);
}

static void without_a_service_route_any_sprout_serves_it_as_a_caller(void **state)
{
	struct world *world = *state;

	peer_request(world, PBX, "INVITE", "sip:bob@example.net", "p1", contact);
	assert_true(world_target_of(&world->sent[0].hop.remote) >= 0);
	assert_contains(world_header(world->sent[0].text, "Route"), ";lr;orig>");
}

static void its_answer_to_the_challenge_is_left_alone(void **state)
{
	struct world *world = *state;

	world->settings.peers.pbx_service_route = service_route;
	peer_request(
		world, PBX, "INVITE", "sip:bob@example.net", "p1",
		"Proxy-Authorization: Digest username=\"ext\", realm=\"r\", nonce=\"n\", "
		"uri=\"sip:bob@example.net\", response=\"00\", integrity-protected=\"yes\"\r\n");
	assert_int_equal(world_count_lines(world->sent[0].text, "Proxy-Authorization"), 1);
	assert_contains(world_header(world->sent[0].text, "Proxy-Authorization"),
	                "username=\"ext\"");
	assert_lacks(world->sent[0].text, "integrity-protected");
}

static void a_service_route_whose_sprout_is_unknown_goes_to_any(void **state)
{
	struct world *world = *state;

	world->settings.peers.pbx_service_route = "sip:scscf.example.net:5054";
	peer_request(world, PBX, "INVITE", "sip:bob@example.net", "p1", contact);
	assert_true(world_target_of(&world->sent[0].hop.remote) >= 0);
	assert_string_equal(world_header(world->sent[0].text, "Route"),
	                    "<sip:scscf.example.net:5054;lr>");
}

static void a_pbx_may_cancel_and_go_on_in_its_dialog(void **state)
{
	struct world *world = *state;
	char routes[512], lines[1024];
	unsigned cancels = 0;
	const char *text;

	peer_request(world, PBX, "INVITE", "sip:bob@example.net", "p1", contact);
	snprintf(lines, sizeof(lines),
	         "Contact: <sip:bob@127.0.9.9>\r\n"
	         "Record-Route: <sip:127.0.1.2:5054;transport=tcp;lr>\r\n"
	         "Record-Route: %s\r\nRecord-Route: %s\r\n",
	         peer_record_route(world->sent[0].text, 0),
	         peer_record_route(world->sent[0].text, 1));
	world_answer(world, 0, "180 Ringing", lines);
	text = world->sent[1].text;
	snprintf(routes, sizeof(routes), "%s, %s, %s", peer_record_route(text, 2),
	         peer_record_route(text, 1), peer_record_route(text, 0));
	peer_request(world, PBX, "CANCEL", "sip:bob@example.net", "p1", "");
	for (unsigned i = 0; i < world->sent_count; i++)
		cancels += strncmp(world->sent[i].text, "CANCEL ", 7) == 0;
	assert_int_equal(cancels, 1);
	world_forget_sent(world);
	snprintf(lines, sizeof(lines), "To: <sip:bob@example.net>;tag=callee\r\nRoute: %s\r\n",
	         routes);
	peer_request(world, PBX, "BYE", "sip:bob@127.0.9.9", "p1", lines);
	assert_int_equal(world_target_of(&world->sent[0].hop.remote), 1);
	assert_lacks(world->sent[0].text, "Proxy-Authorization");
}

static void the_core_calls_a_pbx_without_any_trunk_configured(void **state)
{
	struct world *world = *state;

	world->settings.peers.trunk_count = 0;
	world_core_request(world, 0, "INVITE", "sip:ext@" PBX ":5060", "", "c1",
	                   "P-Charging-Vector: icid-value=1\r\n");
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(world->sent[0].hop.side, SIDE_ACCESS);
	assert_lacks(world->sent[0].text, "P-Charging-Vector");
	assert_contains(peer_record_route(world->sent[0].text, 0), "5060;transport=udp;lr;");
	world_answer(world, 0, "200 OK",
	             "Contact: <sip:ext@" PBX ">\r\nP-Served-User: <sip:x@y>\r\n");
	assert_status(world, 1, "200");
	assert_lacks(world->sent[1].text, "P-Served-User");
}

static void a_pbx_may_register_as_a_client(void **state)
{
	struct world *world = *state;

	peer_request(world, PBX, "REGISTER", "sip:example.net", "r1", contact);
	assert_memory_equal(world->sent[0].text, "REGISTER ", 9);
	assert_contains(world->sent[0].text, "\r\nPath: ");
}

/* The dialog came over a connection that it opened: the way back is that one, whatever its Contact says. */
static void a_pbx_behind_a_nat_is_reached_by_its_connection(void **state)
{
	struct world *world = *state;
	struct hop hop = peer_hop(PBX, 40123);
	char routes[512], text[2048];

	hop.transport = TRANSPORT_TCP;
	hop.listener = 1;
	hop.connection = 77;
	world_packet(world, &hop,
	             "INVITE sip:bob@example.net SIP/2.0\r\n"
	             "Via: SIP/2.0/TCP 10.9.9.9:5060;branch=z9hG4bKnat\r\n"
	             "From: <sip:ext@example.net>;tag=1\r\nTo: <sip:bob@example.net>\r\n"
	             "Call-ID: nat\r\nCSeq: 1 INVITE\r\nContact: <sip:ext@10.9.9.9>\r\n"
	             "Content-Length: 0\r\n\r\n");
	snprintf(routes, sizeof(routes), "%s, %s", peer_record_route(world->sent[0].text, 0),
	         peer_record_route(world->sent[0].text, 1));
	world_forget_sent(world);
	world_core_request(world, 0, "BYE", "sip:ext@10.9.9.9", routes, "nat", "");
	assert_int_equal(world->sent[0].hop.connection, 77);
	/* Another worker has the packet: it is passed to the one that has the connection. */
	world_forget_sent(world);
	world->settings.worker = 1;
	hop = (struct hop){.worker = 1,
	                   .transport = TRANSPORT_TCP,
	                   .side = SIDE_CORE,
	                   .listener = 3,
	                   .remote = proxy_view(world->proxy)->targets[0].address,
	                   .connection = 2001};
	snprintf(text, sizeof(text),
	         "INFO sip:ext@10.9.9.9 SIP/2.0\r\n"
	         "Via: SIP/2.0/TCP 127.0.1.1:5054;branch=z9hG4bKinfo\r\nRoute: %s\r\n"
	         "From: <sip:bob@example.net>;tag=far\r\nTo: <sip:ext@example.net>;tag=1\r\n"
	         "Call-ID: nat\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n",
	         routes);
	world_packet(world, &hop, text);
	assert_int_equal(world->passed, 1);
	assert_int_equal(world->passed_to, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		peer_test(a_pbx_is_served_without_registering_and_challenged),
		peer_test(without_a_service_route_any_sprout_serves_it_as_a_caller),
		peer_test(its_answer_to_the_challenge_is_left_alone),
		peer_test(a_service_route_whose_sprout_is_unknown_goes_to_any),
		peer_test(a_pbx_may_cancel_and_go_on_in_its_dialog),
		peer_test(the_core_calls_a_pbx_without_any_trunk_configured),
		peer_test(a_pbx_may_register_as_a_client),
		peer_test(a_pbx_behind_a_nat_is_reached_by_its_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
