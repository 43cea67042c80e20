/* RFC 5626 and RFC 6223 at the edge: keep-alives agreed, calls that follow their client, lost flows told. */
#include "support/proxy_world.h"

#define INSTANCE "+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\""
#define FLOW_TIMER 120
#define FLOW_TIMER_UDP 29
#define GRACE_MS 10000
#define AFTER_MS 5000

static struct proxy *told_proxy; /* the flow table's events know the world alone */

static void on_binding_lost(void *arg, struct flow *flow, const struct binding *binding)
{
	proxy_on_binding_lost(told_proxy, flow, binding);
}

static int setup(void **state)
{
	struct world *world = malloc(sizeof(*world));
	static const struct flow_table_events events = {.on_binding_lost = on_binding_lost};

	fake_clock_setup(state);
	hash_key_init();
	assert_int_equal(message_system_init(), 0);
	world_init(world, TRANSPORT_TCP);
	world->settings.flow_timer_s = FLOW_TIMER;
	world->settings.flow_timer_udp_s = FLOW_TIMER_UDP;
	world->settings.flow_grace_ms = GRACE_MS;
	world->settings.deregister_lost = true;
	world->settings.deregister_after_ms = AFTER_MS;
	world->flow_events = &events;
	assert_int_equal(world_build(world), 0);
	told_proxy = world->proxy;
	world_set_states(world, TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP);
	*state = world;
	return 0;
}

struct phone {
	unsigned number;
	bool tcp;
	const char *via;     /* parameters, and further Vias */
	const char *contact; /* parameters */
	const char *lines;
};

static struct hop phone_hop(const struct phone *phone)
{
	struct hop hop = world_client_hop(phone->number);

	if (phone->tcp) {
		hop.transport = TRANSPORT_TCP;
		hop.listener = 1;
		hop.connection = 100 + phone->number;
	}
	return hop;
}

/* All phones are user 1. */
static void phone_says(struct world *world, const struct phone *phone, const char *method,
                       const char *uri, const char *call_id)
{
	struct hop hop = phone_hop(phone);
	char text[4096];

	snprintf(text, sizeof(text),
	         "%s %s SIP/2.0\r\n"
	         "Via: SIP/2.0/%s 192.0.2.1:%u;branch=z9hG4bK%s%s\r\n"
	         "From: <sip:user1@example.net>;tag=f\r\nTo: <sip:user1@example.net>\r\n"
	         "Call-ID: %s\r\nCSeq: 1 %s\r\nMax-Forwards: 70\r\n"
	         "Contact: <sip:user1@10.0.0.1:5060>%s\r\n%sContent-Length: 0\r\n\r\n",
	         method, uri, phone->tcp ? "TCP" : "UDP", 10000 + phone->number, call_id,
	         phone->via != NULL ? phone->via : ";rport", call_id, method,
	         phone->contact != NULL ? phone->contact : "",
	         phone->lines != NULL ? phone->lines : "");
	world_packet(world, &hop, text);
}

/* The text of the 200 that the phone got. */
static const char *registers(struct world *world, const struct phone *phone, const char *call_id,
                             const char *registrar_says)
{
	char lines[1024];

	world_forget_sent(world);
	phone_says(world, phone, "REGISTER", "sip:example.net", call_id);
	assert_int_equal(world->sent_count, 1);
	snprintf(lines, sizeof(lines), "Contact: <sip:user1@10.0.0.1:5060>%s;expires=3600\r\n%s",
	         phone->contact != NULL ? phone->contact : "", registrar_says);
	world_answer(world, 0, "200 OK", lines);
	assert_int_equal(world->sent_count, 2);
	assert_status(world, 1, "200");
	return world->sent[1].text;
}

static struct flow *flow_of(struct world *world, const struct phone *phone)
{
	struct hop hop = phone_hop(phone);

	return flow_table_find_by_hop(world->flows, &hop);
}

static void lose(struct world *world, const struct phone *phone)
{
	struct hop hop = phone_hop(phone);

	world_forget_sent(world);
	flow_table_hop_lost(world->flows, &hop, FLOW_CLOSE_CONNECTION);
}

#define REQUIRES "Require: outbound\r\n"
static const struct phone udp_phone = {1, false, NULL, ";" INSTANCE ";reg-id=1",
                                       "Supported: path, outbound\r\n"};
static const struct phone tcp_phone = {2, true, NULL, ";" INSTANCE ";reg-id=1",
                                       "Supported: path, outbound\r\n"};

/* ---- Flow-Timer ---- */

static void outbound_gets_the_timer_of_its_transport(void **state)
{
	struct world *world = *state;

	assert_string_equal(world_header(registers(world, &udp_phone, "u", REQUIRES), "Flow-Timer"),
	                    "29");
	assert_string_equal(world_header(registers(world, &tcp_phone, "t", REQUIRES), "Flow-Timer"),
	                    "120");
}

static void who_did_not_ask_or_was_not_taken_gets_none(void **state)
{
	struct world *world = *state;
	struct phone phone = tcp_phone;

	assert_lacks(registers(world, &phone, "no-require", ""), "Flow-Timer");
	phone.lines = "Supported: path\r\n";
	assert_lacks(registers(world, &phone, "no-supported", REQUIRES), "Flow-Timer");
	phone = tcp_phone;
	phone.contact = ";" INSTANCE;
	assert_lacks(registers(world, &phone, "no-reg-id", REQUIRES), "Flow-Timer");
	phone.contact = ";reg-id=1";
	assert_lacks(registers(world, &phone, "no-instance", REQUIRES), "Flow-Timer");
	phone = tcp_phone;
	phone.via = "\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKinner";
	assert_lacks(registers(world, &phone, "not-direct", REQUIRES), "Flow-Timer");
	/* none of them promised anything */
	world_walk(world, 3000 * 1000);
	assert_int_equal(flow_state(flow_of(world, &phone)), FLOW_REGISTERED);
}

static void the_registrars_own_timer_is_replaced(void **state)
{
	struct world *world = *state;
	const char *text = registers(world, &tcp_phone, "t", REQUIRES "Flow-Timer: 7\r\n");

	assert_int_equal(world_count_lines(text, "Flow-Timer"), 1);
	assert_string_equal(world_header(text, "Flow-Timer"), "120");
}

static void configured_to_none_there_is_none(void **state)
{
	struct world *world = *state;

	world->settings.flow_timer_s = 0;
	assert_lacks(registers(world, &tcp_phone, "t", REQUIRES), "Flow-Timer");
	world_walk(world, 3000 * 1000);
	assert_int_equal(flow_state(flow_of(world, &tcp_phone)), FLOW_REGISTERED);
}

static void a_silent_flow_ends_after_timer_and_grace(void **state)
{
	struct world *world = *state;
	struct hop hop = phone_hop(&udp_phone);

	registers(world, &udp_phone, "u", REQUIRES);
	world_walk(world, 28000);
	phone_says(world, &udp_phone, "OPTIONS", "sip:127.0.0.1:5060",
	           "o"); /* any message counts */
	world_walk(world, FLOW_TIMER_UDP * 1000 + GRACE_MS - 1000);
	assert_non_null(flow_of(world, &udp_phone));
	flow_table_keepalive(world->flows, &hop);
	world_walk(world, FLOW_TIMER_UDP * 1000 + GRACE_MS - 1000);
	assert_non_null(flow_of(world, &udp_phone));
	world_walk(world, 2000);
	assert_null(flow_of(world, &udp_phone));
}

static void its_answers_are_signs_of_life(void **state)
{
	struct world *world = *state;
	char route[256];

	registers(world, &udp_phone, "u", REQUIRES);
	world_walk(world, 28000);
	world_forget_sent(world);
	snprintf(route, sizeof(route), "<sip:%s@127.0.0.1:5058;transport=tcp;lr;ob>",
	         flow_token_text(flow_of(world, &udp_phone)));
	world_core_request(world, 0, "MESSAGE", "sip:user1@10.0.0.1:5060", route, "m", "");
	assert_int_equal(world->sent_count, 1);
	world_answer(world, 0, "200 OK", "");
	world_walk(world, FLOW_TIMER_UDP * 1000 + GRACE_MS - 1000);
	assert_non_null(flow_of(world, &udp_phone));
}

/* ---- keep ---- */

static void keep_is_answered_on_a_2xx_and_enforced_for_a_registration(void **state)
{
	struct world *world = *state;
	const struct phone phone = {3, false, ";rport;keep", NULL, NULL};
	const char *via;

	phone_says(world, &phone, "REGISTER", "sip:example.net", "k0");
	world_answer(world, 0, "401 Unauthorized",
	             "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\r\n");
	assert_lacks(world->sent[1].text, "keep=");
	via = world_header(registers(world, &phone, "k1", ""), "Via");
	assert_contains(via, ";keep=29");
	assert_contains(via, ";branch=z9hG4bKk1");
	assert_contains(via, ";rport=10003");
	world_walk(world, FLOW_TIMER_UDP * 1000 + GRACE_MS + 1000);
	assert_null(flow_of(world, &phone));
}

static void keep_of_an_invite_is_answered_and_not_enforced(void **state)
{
	struct world *world = *state;
	struct phone phone = {3, true, NULL, NULL, NULL};

	registers(world, &phone, "r", "");
	world_forget_sent(world);
	phone.via = ";keep";
	phone_says(world, &phone, "INVITE", "sip:far@example.net", "i");
	world_answer(world, 0, "180 Ringing", "");
	assert_int_equal(world->sent_count, 2);
	assert_lacks(world->sent[1].text, "keep=");
	world_answer(world, 0, "200 OK", "Contact: <sip:far@127.0.1.1>\r\n");
	assert_int_equal(world->sent_count, 3);
	assert_contains(world_header(world->sent[2].text, "Via"), ";keep=120");
	world_walk(world, 1000 * 1000);
	assert_non_null(flow_of(world, &phone));
}

static void keep_with_a_value_or_of_another_hop_is_no_question(void **state)
{
	struct world *world = *state;
	struct phone phone = {3, true, ";keep=5", NULL, NULL};

	assert_contains(registers(world, &phone, "k1", ""), ";keep=5\r\n");
	phone.via = "\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKinner;keep";
	assert_lacks(registers(world, &phone, "k2", ""), "keep=");
}

/* ---- calls follow their client to another worker ---- */

static void what_is_for_a_client_that_went_elsewhere_is_passed_there(void **state)
{
	struct world *world = *state;
	struct flow_move move = {.learnt_us = UINT64_MAX, .worker = 1};
	struct hop hop = phone_hop(&udp_phone);
	char route[256];

	registers(world, &udp_phone, "u", REQUIRES);
	snprintf(route, sizeof(route), "<sip:%s@127.0.0.1:5058;transport=tcp;lr;ob>",
	         flow_token_text(flow_of(world, &udp_phone)));
	move.key = binding_key(
		flow_binding(flow_of(world, &udp_phone), SLICE_LITERAL("sip:user1@example.net")));
	flow_table_moved(world->flows, &move);
	assert_null(flow_table_find_by_hop(world->flows, &hop));
	world_forget_sent(world);
	world_core_request(world, 0, "BYE", "sip:user1@10.0.0.1:5060", route, "b1", "");
	assert_int_equal(world->sent_count, 0);
	assert_int_equal(world->passed, 1);
	assert_int_equal(world->passed_to, 1);
	assert_true(world->passed_key == move.key);
}

static void what_another_worker_passes_with_a_key_reaches_the_client_here(void **state)
{
	struct world *world = *state;
	struct hop core = {.worker = 1,
	                   .transport = TRANSPORT_TCP,
	                   .side = SIDE_CORE,
	                   .listener = 3,
	                   .connection = 77};
	struct flow_token token = {.node = 7, .epoch = 1000, .worker = 1, .flow = 4711};
	char name[FLOW_TOKEN_TEXT_MAX], text[1024];
	struct packet packet = {.hop = core};
	uint64_t key;

	registers(world, &udp_phone, "u", REQUIRES);
	key = binding_key(
		flow_binding(flow_of(world, &udp_phone), SLICE_LITERAL("sip:user1@example.net")));
	flow_token_write(&token, name);
	snprintf(text, sizeof(text),
	         "BYE sip:user1@10.0.0.1:5060 SIP/2.0\r\n"
	         "Via: SIP/2.0/TCP 127.0.1.1:5054;branch=z9hG4bKbye\r\n"
	         "Route: <sip:%s@127.0.0.1:5058;transport=tcp;lr;ob>\r\n"
	         "From: <sip:far@example.net>;tag=2\r\nTo: <sip:user1@example.net>;tag=1\r\n"
	         "Call-ID: b\r\nCSeq: 2 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
	         name);
	packet.bytes = slice_from_string(text);
	world_forget_sent(world);
	proxy_on_passed_packet(world->proxy, &packet, key);
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(address_port(&world->sent[0].hop.remote), 10001);
	assert_lacks(world->sent[0].text, "\r\nRoute: ");
	/* without the key, or with one that nobody here has: passed once, not twice */
	proxy_on_passed_packet(world->proxy, &packet, key + 1);
	assert_int_equal(world->passed, 0);
}

/* ---- lost flows ---- */

static void a_lost_flow_is_taken_off_the_registrar(void **state)
{
	struct world *world = *state;
	const char *text;
	char path[FLOW_TOKEN_TEXT_MAX + 16];

	registers(world, &tcp_phone, "t", REQUIRES);
	snprintf(path, sizeof(path), "<sip:%s@", flow_token_text(flow_of(world, &tcp_phone)));
	lose(world, &tcp_phone);
	world_walk(world, AFTER_MS - 1000);
	assert_int_equal(world->sent_count, 0);
	world_walk(world, 1001);
	assert_int_equal(world->sent_count, 1);
	text = world->sent[0].text;
	assert_memory_equal(text, "REGISTER sip:example.net SIP/2.0\r\n", 34);
	assert_string_equal(world_header(text, "Contact"),
	                    "<sip:user1@10.0.0.1:5060>;" INSTANCE ";reg-id=1;expires=0");
	assert_string_equal(world_header(text, "To"), "<sip:user1@example.net>");
	assert_contains(world_header(text, "Path"), path);
	assert_contains(world_header(text, "Authorization"),
	                "Digest username=\"user1@example.net\",");
	assert_contains(world_header(text, "Authorization"),
	                "integrity-protected=\"ip-assoc-yes\"");
	assert_contains(world_header(text, "Route"), ";lr;orig>");
	assert_int_equal(world_count_lines(text, "Via"), 1);
	world_answer(world, 0, "200 OK", "");
	world_walk(world, 100000);
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(proxy_busy(world->proxy), 0);
}

/* A public identity may be of several private ones: our word is for that which registered. */
static void it_is_taken_off_in_the_name_that_registered(void **state)
{
	struct world *world = *state;
	struct phone phone = tcp_phone;
	char lines[256];

	snprintf(lines, sizeof(lines),
	         "%sAuthorization: Digest username=\"private\\\"1@home\", realm=\"r\"\r\n",
	         tcp_phone.lines);
	phone.lines = lines;
	registers(world, &phone, "t", REQUIRES);
	lose(world, &phone);
	world_walk(world, AFTER_MS + 1);
	assert_int_equal(world->sent_count, 1);
	assert_contains(world_header(world->sent[0].text, "Authorization"),
	                "Digest username=\"private\\\"1@home\",realm=\"example.net\"");
}

static void it_goes_to_the_next_sprout_when_one_is_down(void **state)
{
	struct world *world = *state;

	registers(world, &tcp_phone, "t", REQUIRES);
	lose(world, &tcp_phone);
	world_walk(world, AFTER_MS + 1);
	assert_int_equal(world->sent_count, 1);
	world_answer(world, 0, "503 Service Unavailable", "");
	assert_int_equal(world->sent_count, 2);
	assert_memory_equal(world->sent[1].text, "REGISTER ", 9);
	assert_true(world_target_of(&world->sent[0].hop.remote) !=
	            world_target_of(&world->sent[1].hop.remote));
	world_walk(world, 600); /* silence is no answer either */
	assert_true(world->sent_count >= 3);
	world_answer(world, world->sent_count - 1, "403 Forbidden", "");
	world_walk(world, 100000);
}

static void a_client_that_comes_back_is_left_alone(void **state)
{
	struct world *world = *state;
	struct phone again = tcp_phone;
	uint64_t key;

	registers(world, &tcp_phone, "t", REQUIRES);
	key = binding_key(
		flow_binding(flow_of(world, &tcp_phone), SLICE_LITERAL("sip:user1@example.net")));
	lose(world, &tcp_phone);
	again.number = 9;
	registers(world, &again, "t2", REQUIRES);
	world_forget_sent(world);
	world_walk(world, AFTER_MS + 1000);
	assert_int_equal(world->sent_count, 0);
	/* and one that came back at another worker */
	lose(world, &again);
	proxy_on_client_back(world->proxy, key);
	world_walk(world, AFTER_MS + 1000);
	assert_int_equal(world->sent_count, 0);
}

static void only_outbound_bindings_are_taken_off(void **state)
{
	struct world *world = *state;
	const struct phone plain = {4, true, NULL, NULL, NULL};

	registers(world, &plain, "t", "");
	lose(world, &plain);
	world_walk(world, AFTER_MS + 1000);
	assert_int_equal(world->sent_count, 0);
}

static void when_many_are_lost_the_core_hears_of_them_by_and_by(void **state)
{
	struct world *world = *state;
	char contact[128], call_id[16];

	for (unsigned i = 0; i < 100; i++) {
		struct phone phone = tcp_phone;

		snprintf(contact, sizeof(contact), ";" INSTANCE ";reg-id=%u", i + 1);
		snprintf(call_id, sizeof(call_id), "t%u", i);
		phone.contact = contact;
		phone.number = 10 + i;
		registers(world, &phone, call_id, REQUIRES);
	}
	for (unsigned i = 0; i < 100; i++) {
		struct phone phone = tcp_phone;

		phone.number = 10 + i;
		lose(world, &phone);
	}
	world_walk(world, AFTER_MS + 200);
	assert_true(world->sent_count >= 2 && world->sent_count <= 12);
	world_walk(world, 2000);
	assert_true(world->sent_count >= 100);
}

static void not_asked_for_nothing_is_taken_off(void **state)
{
	struct world *world = *state;

	world->settings.deregister_lost = false;
	registers(world, &tcp_phone, "t", REQUIRES);
	lose(world, &tcp_phone);
	world_walk(world, AFTER_MS + 1000);
	assert_int_equal(world->sent_count, 0);
}

static void a_stopping_node_begins_nothing(void **state)
{
	struct world *world = *state;

	registers(world, &tcp_phone, "t", REQUIRES);
	lose(world, &tcp_phone);
	proxy_stop_new_work(world->proxy);
	world_walk(world, AFTER_MS + 1000);
	assert_int_equal(world->sent_count, 0);
}

static void a_request_under_way_when_the_flow_breaks_gets_430(void **state)
{
	struct world *world = *state;
	struct hop hop = phone_hop(&tcp_phone);
	char route[256];

	registers(world, &tcp_phone, "t", REQUIRES);
	snprintf(route, sizeof(route), "<sip:%s@127.0.0.1:5058;transport=tcp;lr;ob>",
	         flow_token_text(flow_of(world, &tcp_phone)));
	world_forget_sent(world);
	world_core_request(world, 0, "MESSAGE", "sip:user1@10.0.0.1:5060", route, "m1", "");
	assert_int_equal(world->sent_count, 1);
	txn_table_hop_lost(world->txns, &hop, ECONNRESET);
	flow_table_hop_lost(world->flows, &hop, FLOW_CLOSE_CONNECTION);
	world_walk(world, 10);
	assert_int_equal(world->sent_count, 2);
	assert_status(world, 1, "430");
	world_core_request(world, 0, "MESSAGE", "sip:user1@10.0.0.1:5060", route, "m2", "");
	assert_status(world, 2, "430");
}

static void scene(void *arg)
{
	static const struct flow_table_events events = {.on_binding_lost = on_binding_lost};
	enum target_state up[WORLD_TARGETS] = {TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP};
	struct phone phone = tcp_phone;
	struct hop hop = phone_hop(&phone);
	struct world world;
	struct view *view;

	phone.via = ";keep";
	world_init(&world, TRANSPORT_TCP);
	world.settings.flow_timer_s = FLOW_TIMER;
	world.settings.deregister_lost = true;
	world.flow_events = &events;
	if (world_build(&world) == 0) {
		told_proxy = world.proxy;
		view = world_make_view(TRANSPORT_TCP, up);
		proxy_set_view(world.proxy, view);
		snapshot_release(&view->snapshot);
		phone_says(&world, &phone, "REGISTER", "sip:example.net", "r");
		if (world.sent_count > 0 && strncmp(world.sent[0].text, "REGISTER", 8) == 0)
			world_answer(&world, 0, "200 OK",
			             REQUIRES "Contact: <sip:user1@10.0.0.1:5060>;" INSTANCE
			                      ";reg-id=1;expires=3600\r\n");
		flow_table_hop_lost(world.flows, &hop, FLOW_CLOSE_CONNECTION);
		world_walk(&world, 1);
		if (world.sent_count > 2 && strncmp(world.sent[2].text, "REGISTER", 8) == 0)
			world_answer(&world, 2, "200 OK", "");
	}
	world_free(&world);
}

static void no_failed_allocation_breaks_it(void **state)
{
	world_bears_the_end_of_memory(state, scene, 20);
}

#define outbound_test(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		outbound_test(outbound_gets_the_timer_of_its_transport),
		outbound_test(who_did_not_ask_or_was_not_taken_gets_none),
		outbound_test(the_registrars_own_timer_is_replaced),
		outbound_test(configured_to_none_there_is_none),
		outbound_test(a_silent_flow_ends_after_timer_and_grace),
		outbound_test(its_answers_are_signs_of_life),
		outbound_test(keep_is_answered_on_a_2xx_and_enforced_for_a_registration),
		outbound_test(keep_of_an_invite_is_answered_and_not_enforced),
		outbound_test(keep_with_a_value_or_of_another_hop_is_no_question),
		outbound_test(what_is_for_a_client_that_went_elsewhere_is_passed_there),
		outbound_test(what_another_worker_passes_with_a_key_reaches_the_client_here),
		outbound_test(a_lost_flow_is_taken_off_the_registrar),
		outbound_test(it_is_taken_off_in_the_name_that_registered),
		outbound_test(it_goes_to_the_next_sprout_when_one_is_down),
		outbound_test(a_client_that_comes_back_is_left_alone),
		outbound_test(only_outbound_bindings_are_taken_off),
		outbound_test(when_many_are_lost_the_core_hears_of_them_by_and_by),
		outbound_test(not_asked_for_nothing_is_taken_off),
		outbound_test(a_stopping_node_begins_nothing),
		outbound_test(a_request_under_way_when_the_flow_breaks_gets_430),
		cmocka_unit_test(no_failed_allocation_breaks_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
