/* Trunks: both directions, what they may not ask for, what crosses, and how dialogs find their way back. */
#include "support/peer_world.h"

/* It stays in the path of a call. */
#define SPROUT "<sip:127.0.1.2:5054;transport=tcp;lr>"

static const char *const contact = "Contact: <sip:gw@" TRUNK ":5070>\r\n";

/* ---- trunk to core ---- */

static void a_call_from_a_trunk_goes_to_a_sprout_as_to_a_callee(void **state)
{
	struct world *world = *state;
	const char *text;

	peer_request(world, TRUNK, "INVITE", "sip:user1@example.net", "t1",
	             "Contact: <sip:gw@" TRUNK ">\r\nMax-Forwards: 20\r\n"
	             "P-Asserted-Identity: <sip:+15551000@other.example>\r\n"
	             "P-Charging-Vector: icid-value=1\r\nP-Served-User: <sip:boss@example.net>\r\n"
	             "P-Access-Network-Info: IEEE-802.11\r\nP-Visited-Network-ID: x\r\n");
	assert_int_equal(world->sent_count, 1);
	text = world->sent[0].text;
	assert_true(world_target_of(&world->sent[0].hop.remote) >= 0);
	assert_contains(world_header(text, "Route"), ";lr>");
	assert_lacks(world_header(text, "Route"), "orig");
	assert_string_equal(world_header(text, "Max-Forwards"), "19");
	assert_string_equal(world_header(text, "P-Asserted-Identity"),
	                    "<sip:+15551000@other.example>");
	assert_lacks(text, "P-Charging-Vector");
	assert_lacks(text, "P-Served-User");
	assert_lacks(text, "P-Access-Network-Info");
	assert_lacks(text, "P-Visited-Network-ID");
	assert_lacks(text, "Authorization");
	assert_int_equal(world_count_lines(text, "Record-Route"), 2);
	assert_contains(peer_record_route(text, 0), "@127.0.0.1:5058;transport=tcp;lr>");
	assert_contains(peer_record_route(text, 1), "@127.0.0.1:5060;transport=udp;lr>");
}

/* What bills a call is said by us alone, both ways. */
static void our_own_charging_vector_enters_the_core(void **state)
{
	struct world *world = *state;

	world->settings.charging_vector = true;
	world->settings.charging_host = "edge.example.net";
	peer_request(world, TRUNK, "INVITE", "sip:user1@example.net", "t1",
	             "P-Charging-Vector: icid-value=theirs\r\n");
	assert_contains(world_header(world->sent[0].text, "P-Charging-Vector"),
	                "icid-value=\"t1\"");
	assert_int_equal(world_count_lines(world->sent[0].text, "P-Charging-Vector"), 1);
	world_forget_sent(world);
	world_core_request(world, 0, "INVITE", "sip:+15559@" TRUNK, "", "c1",
	                   "P-Charging-Vector: icid-value=cores\r\n");
	assert_lacks(world->sent[0].text, "P-Charging-Vector");
	world_answer(world, 0, "200 OK", "Contact: <sip:gw@" TRUNK ">\r\n");
	assert_contains(world_header(world->sent[1].text, "P-Charging-Vector"), "icid-value=cores");
}

static void what_the_core_answers_is_screened_too(void **state)
{
	struct world *world = *state;

	peer_request(world, TRUNK, "INVITE", "sip:user1@example.net", "t1", contact);
	world_answer(world, 0, "200 OK",
	             "Contact: <sip:user1@127.0.9.9>\r\nP-Charging-Vector: icid-value=1\r\n"
	             "P-Access-Network-Info: IEEE-802.11\r\n");
	assert_int_equal(world->sent_count, 2);
	assert_status(world, 1, "200");
	assert_int_equal(world->sent[1].hop.side, SIDE_ACCESS);
	assert_lacks(world->sent[1].text, "P-Charging-Vector");
	assert_lacks(world->sent[1].text, "P-Access-Network-Info");
}

static void our_own_name_in_a_trunks_request_means_home(void **state)
{
	struct world *world = *state;

	peer_request(world, TRUNK, "INVITE", "sip:+15550001@127.0.0.1:5060;user=phone", "t1",
	             contact);
	assert_memory_equal(world->sent[0].text, "INVITE sip:+15550001@example.net;user=phone SIP",
	                    47);
}

static void a_trunk_that_asks_for_originating_service_gets_403(void **state)
{
	static const char *const routes[] = {
		"Route: <sip:127.0.0.1:5060;lr;orig>\r\n",
		"Route: <sip:example.net;orig>\r\n",
		"Route: <sip:127.0.1.1:5054;transport=tcp;lr;orig>\r\n",
		"Route: <sip:127.0.0.1:5060;lr>,<sip:127.0.1.1:5054;transport=tcp;lr;ORIG=x>\r\n",
		"Route: <sip:127.0.1.1:5054;transport=tcp;lr;%6frig>\r\n",
		"Route: <sip:127.0.1.1:5054;transport=tcp;lr;o%52ig=1>\r\n",
		"Route: <sip:127.0.1.1:5054;transport=tcp;lr>;orig\r\n",
	};
	struct world *world = *state;
	char call[16], lines[512];

	for (unsigned i = 0; i < ARRAY_LENGTH(routes); i++) {
		snprintf(call, sizeof(call), "t%u", i);
		snprintf(lines, sizeof(lines), "%s%s", contact, routes[i]);
		peer_request(world, TRUNK, "INVITE", "sip:user1@example.net", call, lines);
		assert_int_equal(world->sent_count, i + 1);
		assert_status(world, i, "403");
	}
	peer_request(world, TRUNK, "INVITE", "sip:user1@example.net;orig", "ru", contact);
	assert_status(world, ARRAY_LENGTH(routes), "403");
	/* A word that only looks like it. */
	world_forget_sent(world);
	peer_request(world, TRUNK, "INVITE", "sip:user1@example.net", "ok",
	             "Route: <sip:127.0.0.1:5060;lr;original>\r\n");
	assert_int_equal(world_target_of(&world->sent[0].hop.remote) >= 0, 1);
}

static void a_preloaded_route_leads_to_a_sprout_or_nowhere(void **state)
{
	struct world *world = *state;

	peer_request(world, TRUNK, "MESSAGE", "sip:user1@example.net", "t1",
	             "Route: <sip:127.0.0.1:5060;lr>, <sip:127.0.1.2:5054;transport=tcp;lr>\r\n");
	assert_int_equal(world_target_of(&world->sent[0].hop.remote), 1);
	assert_string_equal(world_header(world->sent[0].text, "Route"),
	                    "<sip:127.0.1.2:5054;transport=tcp;lr>");
	peer_request(world, TRUNK, "MESSAGE", "sip:user1@example.net", "t2",
	             "Route: <sip:192.0.2.99;lr>\r\n");
	assert_true(world_target_of(&world->sent[1].hop.remote) >= 0);
	assert_lacks(world->sent[1].text, "192.0.2.99");
	/* Nor by way of the Sprout, which would follow what stands behind it. */
	peer_request(world, TRUNK, "MESSAGE", "sip:user1@example.net", "t3",
	             "Route: <sip:127.0.1.2:5054;transport=tcp;lr>, <sip:192.0.2.99;lr>\r\n");
	assert_int_equal(world_target_of(&world->sent[2].hop.remote), 1);
	assert_lacks(world->sent[2].text, "192.0.2.99");
	assert_string_equal(world_header(world->sent[2].text, "Route"),
	                    "<sip:127.0.1.2:5054;transport=tcp;lr>");
}

static void critical_privacy_that_nobody_gives_is_refused_to_peers_too(void **state)
{
	struct world *world = *state;

	world_core_request(world, 0, "INVITE", "sip:+15551000@" TRUNK, "", "c1",
	                   "Privacy: header;critical\r\n");
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "500");
	world_core_request(world, 0, "MESSAGE", "sip:5@" PBX, "", "c2",
	                   "Privacy: session;critical\r\n");
	assert_status(world, 1, "500");
	world_core_request(world, 0, "INVITE", "sip:+15551000@" TRUNK, "", "c3",
	                   "Privacy: id;critical\r\n");
	assert_memory_equal(world->sent[2].text, "INVITE ", 7);
	assert_int_equal(world->sent[2].hop.side, SIDE_ACCESS);
}

static void register_from_a_trunk_or_the_core_gets_405_with_allow(void **state)
{
	struct world *world = *state;

	peer_request(world, TRUNK, "REGISTER", "sip:example.net", "t1", contact);
	assert_status(world, 0, "405");
	assert_contains(world_header(world->sent[0].text, "Allow"), "INVITE");
	world_core_request(world, 0, "REGISTER", "sip:example.net", "", "c1", "");
	assert_status(world, 1, "405");
	assert_contains(world_header(world->sent[1].text, "Allow"), "INVITE");
}

static void an_address_next_to_the_trunks_is_a_client(void **state)
{
	struct world *world = *state;

	peer_request(world, "198.51.100.16", "INVITE", "sip:user1@example.net", "t1", contact);
	assert_status(world, 0, "403");
}

static void a_dead_sprout_loses_no_call_of_a_trunk(void **state)
{
	struct world *world = *state;
	int first;

	peer_request(world, TRUNK, "INVITE", "sip:user1@example.net", "t1", contact);
	first = world_target_of(&world->sent[0].hop.remote);
	world_walk(world, 600);
	assert_true(world->sent_count >= 2);
	for (unsigned i = 1; i < world->sent_count; i++)
		if (world->sent[i].hop.side == SIDE_CORE) {
			assert_int_not_equal(world_target_of(&world->sent[i].hop.remote), first);
			assert_lacks(world_header(world->sent[i].text, "Route"), "orig");
			return;
		}
	fail_msg("nobody else was asked");
}

/* ---- in the dialog ---- */

/* A trunk's INVITE was answered; gives the route set as the trunk has it. */
static void trunk_calls(struct world *world, char *routes, size_t size)
{
	char lines[1024];
	const char *text;

	peer_request(world, TRUNK, "INVITE", "sip:user1@example.net", "dialog", contact);
	text = world->sent[0].text;
	snprintf(lines, sizeof(lines),
	         "Contact: <sip:user1@127.0.9.9>\r\nRecord-Route: " SPROUT "\r\n"
	         "Record-Route: %s\r\nRecord-Route: %s\r\n",
	         peer_record_route(text, 0), peer_record_route(text, 1));
	world_answer(world, 0, "200 OK", lines);
	text = world->sent[1].text;
	snprintf(routes, size, "%s, %s, %s", peer_record_route(text, 2), peer_record_route(text, 1),
	         peer_record_route(text, 0));
	world_forget_sent(world);
}

static void a_trunk_goes_on_along_our_entries(void **state)
{
	struct world *world = *state;
	char routes[512], lines[1024];

	trunk_calls(world, routes, sizeof(routes));
	snprintf(lines, sizeof(lines), "To: <sip:user1@example.net>;tag=callee\r\nRoute: %s\r\n",
	         routes);
	peer_request(world, TRUNK, "ACK", "sip:user1@127.0.9.9", "dialog", lines);
	peer_request(world, TRUNK, "BYE", "sip:user1@127.0.9.9", "dialog", lines);
	assert_int_equal(world->sent_count, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(world_target_of(&world->sent[i].hop.remote), 1);
		assert_string_equal(world_header(world->sent[i].text, "Route"),
		                    "<sip:127.0.1.2:5054;transport=tcp;lr>");
	}
	/* It may come from another machine of the same network. */
	peer_request(world, "198.51.100.4", "INFO", "sip:user1@127.0.9.9", "dialog", lines);
	assert_int_equal(world_target_of(&world->sent[2].hop.remote), 1);
}

/* RFC 3261 16.4: our entry stands in the Request-URI, the rest in Route, the target last. */
static void a_strict_router_of_a_trunk_is_understood(void **state)
{
	struct world *world = *state;
	char routes[512], lines[1024], own[256];
	char *rest;

	trunk_calls(world, routes, sizeof(routes));
	rest = strstr(routes, ", ");
	assert_non_null(rest);
	snprintf(own, sizeof(own), "%.*s", (int)(rest - routes) - 2, routes + 1);
	snprintf(lines, sizeof(lines),
	         "To: <sip:user1@example.net>;tag=callee\r\nRoute: %s, <sip:user1@127.0.9.9>\r\n",
	         rest + 2);
	peer_request(world, TRUNK, "BYE", own, "dialog", lines);
	assert_int_equal(world_target_of(&world->sent[0].hop.remote), 1);
	assert_memory_equal(world->sent[0].text, "BYE sip:user1@127.0.9.9 SIP", 27);
}

static void the_core_goes_on_to_the_trunks_contact(void **state)
{
	struct world *world = *state;
	char routes[512], lines[1024];
	const char *text;

	peer_request(world, TRUNK, "INVITE", "sip:user1@example.net", "dialog", contact);
	snprintf(routes, sizeof(routes), "%s, %s", peer_record_route(world->sent[0].text, 0),
	         peer_record_route(world->sent[0].text, 1));
	world_answer(world, 0, "200 OK", "Contact: <sip:user1@127.0.9.9>\r\n");
	world_forget_sent(world);
	snprintf(lines, sizeof(lines), "P-Charging-Vector: icid-value=1\r\n");
	world_core_request(world, 0, "BYE", "sip:gw@" TRUNK ":5070", routes, "dialog", lines);
	assert_int_equal(world->sent_count, 1);
	text = world->sent[0].text;
	assert_int_equal(world->sent[0].hop.side, SIDE_ACCESS);
	assert_int_equal(address_port(&world->sent[0].hop.remote), 5070);
	assert_lacks(text, "\r\nRoute: ");
	assert_lacks(text, "P-Charging-Vector");
	assert_contains(text, "Via: SIP/2.0/UDP 127.0.0.1:5060");
	/* A Contact that is a name: back where the dialog came from. */
	world_core_request(world, 0, "INFO", "sip:gw@gateway.other.example", routes, "dialog", "");
	assert_int_equal(address_port(&world->sent[1].hop.remote), 5060);
	assert_memory_equal(world->sent[1].text, "INFO sip:gw@gateway.other.example", 33);
}

static void a_made_up_dialog_leads_nowhere(void **state)
{
	struct world *world = *state;
	char routes[512], lines[1024];

	peer_request(world, TRUNK, "MESSAGE", "sip:user1@example.net", "t1",
	             "To: <sip:user1@example.net>;tag=invented\r\n"
	             "Route: <sip:127.0.1.1:5054;transport=tcp;lr>\r\n");
	assert_status(world, 0, "403");
	world_forget_sent(world);
	trunk_calls(world, routes, sizeof(routes));
	snprintf(lines, sizeof(lines), "To: <sip:user1@example.net>;tag=callee\r\nRoute: %s\r\n",
	         routes);
	peer_request(world, TRUNK, "BYE", "sip:user1@127.0.9.9", "otherdialog", lines);
	assert_status(world, 0, "403");
	peer_request(world, PBX, "BYE", "sip:user1@127.0.9.9", "dialog", lines);
	assert_status(world, 1, "403");
	/* Its own dialog, but along a route of its own making. */
	world_forget_sent(world);
	*strstr(lines, ", " SPROUT) = '\0';
	strcat(lines, ", <sip:127.0.1.1:5054;transport=tcp;lr>\r\n");
	peer_request(world, TRUNK, "BYE", "sip:user1@127.0.9.9", "dialog", lines);
	assert_status(world, 0, "403");
	assert_int_equal(world->sent_count, 1);
	world_forget_sent(world);
	/* Nor may the core use it for another dialog. */
	world_core_request(world, 0, "BYE", "sip:gw@" TRUNK, routes, "otherdialog", "");
	assert_status(world, 0, "403");
}

static void cancel_of_a_trunk_reaches_the_sprout(void **state)
{
	struct world *world = *state;
	unsigned cancels = 0;

	peer_request(world, TRUNK, "INVITE", "sip:user1@example.net", "t1", contact);
	world_answer(world, 0, "180 Ringing", "");
	peer_request(world, TRUNK, "CANCEL", "sip:user1@example.net", "t1", "");
	for (unsigned i = 0; i < world->sent_count; i++)
		cancels += strncmp(world->sent[i].text, "CANCEL ", 7) == 0 &&
		           world->sent[i].hop.side == SIDE_CORE;
	assert_int_equal(cancels, 1);
}

/* ---- core to trunk ---- */

static void the_core_reaches_a_trunk_by_route_or_request_uri(void **state)
{
	struct world *world = *state;
	const char *text;

	world_core_request(world, 0, "INVITE", "sip:+15559@other.example",
	                   "<sip:127.0.0.1:5058;transport=tcp;lr>, <sip:" TRUNK
	                   ":5070;transport=tcp;lr>",
	                   "c1",
	                   "P-Charging-Vector: icid-value=1\r\nP-Access-Network-Info: 3GPP\r\n"
	                   "P-Asserted-Identity: <sip:user1@example.net>\r\n"
	                   "Max-Forwards: 9\r\n");
	assert_int_equal(world->sent_count, 1);
	text = world->sent[0].text;
	assert_int_equal(world->sent[0].hop.side, SIDE_ACCESS);
	assert_int_equal(world->sent[0].hop.transport, TRANSPORT_TCP);
	assert_int_equal(address_port(&world->sent[0].hop.remote), 5070);
	assert_string_equal(world_header(text, "Route"), "<sip:" TRUNK ":5070;transport=tcp;lr>");
	assert_lacks(text, "P-Charging-Vector");
	assert_lacks(text, "P-Access-Network-Info");
	assert_string_equal(world_header(text, "P-Asserted-Identity"), "<sip:user1@example.net>");
	assert_string_equal(world_header(text, "Max-Forwards"), "8");
	/* The real transport on each side, and not TCP for all. */
	assert_contains(peer_record_route(text, 0), "@127.0.0.1:5060;transport=tcp;lr;rs=");
	assert_contains(peer_record_route(text, 1), "@127.0.0.1:5058;transport=tcp;lr>");
	world_core_request(world, 0, "INVITE", "sip:+15559@" TRUNK, "", "c2", "");
	assert_int_equal(world->sent[1].hop.transport, TRANSPORT_UDP);
	assert_int_equal(address_port(&world->sent[1].hop.remote), 5060);
	assert_contains(peer_record_route(world->sent[1].text, 0), "5060;transport=udp;lr;");
}

static void what_a_trunk_answers_is_screened(void **state)
{
	struct world *world = *state;

	world_core_request(world, 0, "INVITE", "sip:+15559@" TRUNK, "", "c1", "");
	world_answer(world, 0, "183 Session Progress",
	             "P-Charging-Vector: icid-value=9\r\nP-Visited-Network-ID: x\r\n"
	             "P-Asserted-Identity: <sip:+15559@other.example>\r\n");
	assert_int_equal(world->sent_count, 2);
	assert_status(world, 1, "183");
	assert_lacks(world->sent[1].text, "P-Charging-Vector");
	assert_lacks(world->sent[1].text, "P-Visited-Network-ID");
	assert_contains(world->sent[1].text, "P-Asserted-Identity");
}

static void both_sides_go_on_in_a_dialog_that_the_core_began(void **state)
{
	struct world *world = *state;
	char routes[512], lines[1024], core_routes[512];

	world_core_request(world, 0, "INVITE", "sip:+15559@" TRUNK ":5070;transport=tcp", "", "c1",
	                   "Record-Route: " SPROUT "\r\n");
	snprintf(routes, sizeof(routes), "%s, %s", peer_record_route(world->sent[0].text, 0),
	         peer_record_route(world->sent[0].text, 1));
	snprintf(core_routes, sizeof(core_routes), "%s, %s",
	         peer_record_route(world->sent[0].text, 1),
	         peer_record_route(world->sent[0].text, 0));
	world_answer(world, 0, "200 OK", "Contact: <sip:gw@" TRUNK ":5070;transport=tcp>\r\n");
	world_forget_sent(world);
	world_core_request(world, 0, "ACK", "sip:gw@" TRUNK ":5070;transport=tcp", core_routes,
	                   "c1", "");
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(world->sent[0].hop.transport, TRANSPORT_TCP);
	assert_memory_equal(world->sent[0].text, "ACK sip:gw@", 11);
	/* What it sends on the connection that we opened is the trunk's, never the core's. */
	snprintf(lines, sizeof(lines),
	         "To: <sip:caller@example.net>;tag=far2\r\nRoute: %s, " SPROUT "\r\n", routes);
	peer_request(world, TRUNK, "BYE", "sip:caller@127.0.9.9", "c1", lines);
	assert_int_equal(world_target_of(&world->sent[1].hop.remote), 1);
}

static void a_new_request_on_a_connection_we_opened_is_the_trunks(void **state)
{
	struct world *world = *state;
	struct hop hop;

	world_core_request(world, 0, "OPTIONS", "sip:" TRUNK ":5070;transport=tcp", "", "c1", "");
	hop = world->sent[0].hop;
	world_packet(world, &hop,
	             "INVITE sip:user1@example.net SIP/2.0\r\n"
	             "Via: SIP/2.0/TCP " TRUNK ":5070;branch=z9hG4bKback\r\n"
	             "Route: <sip:127.0.1.1:5054;transport=tcp;lr;orig>\r\n"
	             "From: <sip:boss@example.net>;tag=1\r\nTo: <sip:user1@example.net>\r\n"
	             "Call-ID: back\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n");
	assert_status(world, 1, "403");
}

static void a_trunk_that_cannot_be_reached_is_503(void **state)
{
	struct world *world = *state;

	world->other_open_error = -ENETUNREACH;
	world_core_request(world, 0, "INVITE", "sip:+15559@" TRUNK, "", "c1", "");
	assert_status(world, 0, "503");
	assert_contains(world->sent[0].text, "Retry-After: ");
}

static void a_trunk_lost_before_it_answers_is_503_and_no_430(void **state)
{
	struct world *world = *state;
	struct hop hop;

	world_core_request(world, 0, "INVITE", "sip:+15559@" TRUNK ";transport=tcp", "", "c1", "");
	hop = world->sent[0].hop;
	txn_table_hop_lost(world->txns, &hop, ECONNREFUSED);
	world_walk(world, 1);
	assert_status(world, 1, "503");
}

/* ---- strangers ---- */

static void a_stranger_is_refused_unless_a_trunk_takes_it(void **state)
{
	struct world *world = *state;

	world_core_request(world, 0, "INVITE", "sip:bob@elsewhere.example", "", "c1", "");
	assert_status(world, 0, "404");
	world_core_request(world, 0, "INVITE", "sip:bob@example.net", "<sip:192.0.2.99;lr>", "c2",
	                   "");
	assert_status(world, 1, "404");
	world_forget_sent(world);
	world->settings.peers.off_net.uri = "sip:" TRUNK ":5080;lr";
	world->settings.peers.off_net.transport = TRANSPORT_UDP;
	assert_true(address_parse(SLICE_LITERAL(TRUNK ":5080"),
	                          &world->settings.peers.off_net.address));
	world_core_request(world, 0, "INVITE", "sip:bob@elsewhere.example", "", "c3", "");
	assert_int_equal(address_port(&world->sent[0].hop.remote), 5080);
	assert_string_equal(world_header(world->sent[0].text, "Route"), "<sip:" TRUNK ":5080;lr>");
	assert_memory_equal(world->sent[0].text, "INVITE sip:bob@elsewhere.example ", 33);
	world->settings.peers.off_net.uri = "sip:" TRUNK ":5080";
	world_core_request(world, 0, "INVITE", "sip:bob@elsewhere.example", "", "c4", "");
	assert_lacks(world->sent[1].text, "\r\nRoute: ");
}

static void what_is_home_goes_back_to_the_core(void **state)
{
	struct world *world = *state;

	world_core_request(world, 0, "INVITE", "sip:bob@example.net", "<sip:example.net;lr;orig>",
	                   "c1", "");
	assert_true(world_target_of(&world->sent[0].hop.remote) >= 0);
	assert_contains(world_header(world->sent[0].text, "Route"), ";lr;orig>");
	world_core_request(world, 0, "INVITE", "tel:+15550001", "<sip:127.0.0.1:5058;lr>", "c2",
	                   "P-Charging-Vector: icid-value=1\r\n");
	assert_true(world_target_of(&world->sent[1].hop.remote) >= 0);
	assert_lacks(world_header(world->sent[1].text, "Route"), "orig");
	assert_contains(world->sent[1].text, "P-Charging-Vector");
}

/* A small world of its own, calls both ways, their ends. */
static void calls_scene(void *arg)
{
	struct world world;

	world_init(&world, TRANSPORT_TCP);
	peer_world_settings(&world);
	if (world_build(&world) == 0) {
		world_set_states(&world, TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP);
		peer_request(&world, TRUNK, "INVITE", "sip:+15550001@127.0.0.1:5060", "t1",
		             contact);
		peer_request(&world, PBX, "INVITE", "sip:user1@example.net", "p1", contact);
		world_core_request(&world, 0, "INVITE", "sip:+15559@" TRUNK, "", "c1", "");
		world_walk(&world, 70000);
		assert_int_equal(proxy_busy(world.proxy), 0);
	}
	world_free(&world);
}

static void no_failed_allocation_leaves_a_call_without_an_end(void **state)
{
	world_bears_the_end_of_memory(state, calls_scene, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		peer_test(a_call_from_a_trunk_goes_to_a_sprout_as_to_a_callee),
		peer_test(our_own_charging_vector_enters_the_core),
		peer_test(what_the_core_answers_is_screened_too),
		peer_test(our_own_name_in_a_trunks_request_means_home),
		peer_test(a_trunk_that_asks_for_originating_service_gets_403),
		peer_test(a_preloaded_route_leads_to_a_sprout_or_nowhere),
		peer_test(critical_privacy_that_nobody_gives_is_refused_to_peers_too),
		peer_test(register_from_a_trunk_or_the_core_gets_405_with_allow),
		peer_test(an_address_next_to_the_trunks_is_a_client),
		peer_test(a_dead_sprout_loses_no_call_of_a_trunk),
		peer_test(a_trunk_goes_on_along_our_entries),
		peer_test(a_strict_router_of_a_trunk_is_understood),
		peer_test(the_core_goes_on_to_the_trunks_contact),
		peer_test(a_made_up_dialog_leads_nowhere),
		peer_test(cancel_of_a_trunk_reaches_the_sprout),
		peer_test(the_core_reaches_a_trunk_by_route_or_request_uri),
		peer_test(what_a_trunk_answers_is_screened),
		peer_test(both_sides_go_on_in_a_dialog_that_the_core_began),
		peer_test(a_new_request_on_a_connection_we_opened_is_the_trunks),
		peer_test(a_trunk_that_cannot_be_reached_is_503),
		peer_test(a_trunk_lost_before_it_answers_is_503_and_no_430),
		peer_test(a_stranger_is_refused_unless_a_trunk_takes_it),
		peer_test(what_is_home_goes_back_to_the_core),
		cmocka_unit_test(no_failed_allocation_leaves_a_call_without_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
