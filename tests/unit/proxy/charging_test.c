/* Charging at the edge: what the core is told, what clients are not, and which records are made. RFC 7315, TS 32.260. */
#include "support/peer_world.h"

#define RECORDS_MAX 32
#define VECTOR "P-Charging-Vector"
#define FUNCTIONS "P-Charging-Function-Addresses"
#define CCF "ccf=cdf.example.net"
#define LIES                                                                                       \
	VECTOR ": icid-value=lie;orig-ioi=lie\r\np-charging-VECTOR : icid-value=lie\r\n" FUNCTIONS \
	       ": ccf=lie\r\n" FUNCTIONS ": ecf=lie\r\n"

static const char *const contact = "Contact: <sip:user1@192.0.2.1:10001>\r\n";

/* The records of the scene, as words. */
static struct record {
	char text[512];
	enum charge_type type;
	bool terminating;
	int status;
	int64_t expires;
} records[RECORDS_MAX];
static unsigned record_count;

static void on_charge(void *arg, const struct charge *charge)
{
	struct record *record;

	assert_true(record_count < RECORDS_MAX);
	record = &records[record_count++];
	*record = (struct record){.type = charge->type,
	                          .terminating = charge->terminating,
	                          .status = charge->status,
	                          .expires = charge->expires};
	assert_true(charge->response_wall_ms >= charge->request_wall_ms);
	snprintf(record->text, sizeof(record->text),
	         "%.*s call=%.*s icid=%.*s from=%.*s to=%.*s uri=%.*s user=%.*s access=%.*s",
	         SLICE_ARGS(charge->method), SLICE_ARGS(charge->call_id), SLICE_ARGS(charge->icid),
	         SLICE_ARGS(charge->from), SLICE_ARGS(charge->to), SLICE_ARGS(charge->request_uri),
	         SLICE_ARGS(charge->user), SLICE_ARGS(charge->access));
}

static void configure(struct world *world)
{
	world->charge = on_charge;
	world->settings.charging_vector = true;
	world->settings.charging_host = "edge.example.net";
	world->settings.charging_ioi = "home.example.net";
	world->settings.charging_functions = CCF;
	world->settings.charging_records = true;
	peer_world_settings(world);
}

static int setup_with(void **state, bool configured)
{
	struct world *world = malloc(sizeof(*world));

	fake_clock_setup(state);
	hash_key_init();
	assert_int_equal(message_system_init(), 0);
	record_count = 0;
	world_init(world, TRANSPORT_TCP);
	world->charge = on_charge;
	peer_world_settings(world);
	if (configured)
		configure(world);
	assert_int_equal(world_build(world), 0);
	world_set_states(world, TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP);
	*state = world;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, true);
}

static int setup_without(void **state)
{
	return setup_with(state, false);
}

static void forget(struct world *world)
{
	world_forget_sent(world);
	record_count = 0;
}

static void registered(struct world *world, unsigned client)
{
	world_register(world, client);
	record_count = 0;
}

static const struct world_sent *last(const struct world *world)
{
	assert_true(world->sent_count > 0);
	return &world->sent[world->sent_count - 1];
}

#define assert_marked(text, icid, role)                                                            \
	do {                                                                                       \
		assert_int_equal(world_count_lines((text), VECTOR), 1);                            \
		assert_int_equal(world_count_lines((text), FUNCTIONS), 1);                         \
		assert_string_equal(world_header((text), FUNCTIONS), CCF);                         \
		assert_string_equal(world_header((text), VECTOR),                                  \
		                    "icid-value=\"" icid                                           \
		                    "\";icid-generated-at=edge.example.net;" role                  \
		                    "-ioi=home.example.net");                                      \
		assert_lacks((text), "lie");                                                       \
	} while (0)

#define assert_bare(text)                                                                          \
	do {                                                                                       \
		assert_lacks((text), "harging");                                                   \
		assert_lacks((text), "HARGING");                                                   \
		assert_lacks((text), "lie");                                                       \
	} while (0)

static void whatever_a_client_sends_is_marked_by_us(void **state)
{
	static const char *const methods[] = {"INVITE", "MESSAGE", "SUBSCRIBE", "PUBLISH"};
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", LIES);
	assert_marked(world->sent[0].text, "r1", "orig");
	forget(world);
	registered(world, 2);
	for (unsigned i = 0; i < ARRAY_LENGTH(methods); i++) {
		char call_id[8];

		snprintf(call_id, sizeof(call_id), "a%u", i);
		world_client_request(world, 2, methods[i], "sip:bob@example.net", call_id,
		                     "Contact: <sip:user2@192.0.2.1:10002>\r\n" LIES);
		assert_int_equal(last(world)->hop.side, SIDE_CORE);
		assert_int_equal(world_count_lines(last(world)->text, VECTOR), 1);
		assert_string_equal(world_header(last(world)->text, FUNCTIONS), CCF);
		assert_lacks(last(world)->text, "lie");
	}
}

static void what_the_core_says_reaches_no_client(void **state)
{
	struct world *world = *state;

	registered(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", contact);
	world_answer(world, 0, "180 Ringing", LIES);
	assert_status(world, 1, "180");
	assert_bare(world->sent[1].text);
	world_answer(world, 0, "200 OK", LIES);
	assert_status(world, 2, "200");
	assert_bare(world->sent[2].text);
	world_answer(world, 0, "200 OK", LIES); /* again, and late */
	assert_status(world, 3, "200");
	assert_bare(world->sent[3].text);
	forget(world);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "c2", "");
	world_answer(world, 0, "302 Moved", LIES);
	assert_bare(world->sent[1].text);
	forget(world);
	world_core_to_client(world, 1, "MESSAGE", "c3", LIES);
	assert_memory_equal(world->sent[0].text, "MESSAGE ", 8);
	assert_bare(world->sent[0].text);
}

/* Our own errors are written from the request, into which we have put things. */
static void nor_does_it_with_errors_of_ours(void **state)
{
	struct world *world = *state;

	registered(world, 1);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "c1", LIES);
	world_answer(world, 0, "503 Busy", LIES);
	while (strncmp(last(world)->text, "MESSAGE", 7) == 0)
		world_answer(world, world->sent_count - 1, "503 Busy", LIES);
	assert_memory_equal(last(world)->text, "SIP/2.0 503", 11);
	assert_bare(last(world)->text);
	forget(world);
	world_client_request(world, 5, "MESSAGE", "sip:bob@example.net", "c2", LIES);
	assert_status(world, 0, "403");
	assert_bare(world->sent[0].text);
	assert_int_equal(record_count, 0); /* nobody was served */
}

static void a_callee_answers_with_the_vector_of_the_core_and_our_name(void **state)
{
	static const char *const core = VECTOR ": "
					       "icid-value=\"of;core\";icid-generated-at=10.0.0.1;"
					       "orig-ioi=far.example\r\n" FUNCTIONS ": ccf=far\r\n";
	static const char *const want =
		"icid-value=\"of;core\";icid-generated-at=10.0.0.1;orig-ioi=far.example"
		";term-ioi=home.example.net";
	struct world *world = *state;
	unsigned n;

	registered(world, 1);
	world_core_to_client(world, 1, "INVITE", "c1", core);
	assert_bare(world->sent[0].text);
	for (n = 1; n <= 4; n++) { /* rings, answers, and again, and another fork's */
		world_answer(world, 0, n == 1 ? "180 Ringing" : "200 OK",
		             n == 4 ? "X-Fork: 2\r\n" LIES : LIES);
		assert_int_equal(world->sent_count, n + 1);
		assert_int_equal(world->sent[n].hop.side, SIDE_CORE);
		assert_int_equal(world_count_lines(world->sent[n].text, VECTOR), 1);
		assert_string_equal(world_header(world->sent[n].text, VECTOR), want);
		assert_string_equal(world_header(world->sent[n].text, FUNCTIONS), CCF);
		assert_lacks(world->sent[n].text, "lie");
	}
	forget(world);
	world_core_to_client(world, 1, "MESSAGE", "c2", ""); /* the core has said nothing */
	world_answer(world, 0, "486 Busy", LIES);
	assert_marked(world->sent[1].text, "c2", "term");
}

static void trunks_are_told_nothing_and_believed_in_nothing(void **state)
{
	struct world *world = *state;

	peer_request(world, TRUNK, "INVITE", "sip:user1@example.net", "t1", LIES);
	assert_int_equal(last(world)->hop.side, SIDE_CORE);
	assert_marked(last(world)->text, "t1", "orig");
	world_answer(world, world->sent_count - 1, "200 OK", LIES);
	assert_int_equal(last(world)->hop.side, SIDE_ACCESS);
	assert_bare(last(world)->text);
	assert_int_equal(record_count, 1);
	assert_int_equal(records[0].type, CHARGE_START);
	forget(world);
	world_core_request(world, 0, "INVITE", "sip:+15551000@" TRUNK, "", "t2", LIES);
	assert_int_equal(last(world)->hop.side, SIDE_ACCESS);
	assert_bare(last(world)->text);
	world_answer(world, 0, "200 OK", VECTOR ": icid-value=theirs\r\n");
	assert_int_equal(last(world)->hop.side, SIDE_CORE);
	assert_string_equal(world_header(last(world)->text, VECTOR),
	                    "icid-value=lie;orig-ioi=lie;term-ioi=home.example.net");
	assert_int_equal(record_count, 1);
	assert_true(records[0].terminating);
}

static void unconfigured_nothing_is_said_and_nothing_told(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", LIES);
	assert_bare(world->sent[0].text);
	world_forget_sent(world);
	registered(world, 2);
	world_client_request(world, 2, "MESSAGE", "sip:bob@example.net", "c1", LIES);
	assert_bare(world->sent[0].text);
	world_answer(world, 0, "200 OK", LIES);
	assert_bare(world->sent[1].text);
	world_forget_sent(world);
	world_core_to_client(world, 2, "MESSAGE", "c2", LIES);
	assert_bare(world->sent[0].text);
	world_answer(world, 0, "200 OK", LIES);
	assert_bare(world->sent[1].text);
	assert_int_equal(record_count, 0);
}

static void the_method_and_its_answer_say_which_record_it_is(void **state)
{
	static const struct {
		const char *method, *lines, *answer;
		enum charge_type type;
		int64_t expires;
	} cases[] = {
		{"INVITE", "", "200 OK", CHARGE_START, -1},
		{"INVITE", "", "486 Busy", CHARGE_EVENT, -1},
		{"INVITE", "", "302 Moved", CHARGE_EVENT, -1},
		{"MESSAGE", "", "202 Accepted", CHARGE_EVENT, -1},
		{"SUBSCRIBE", "Event: presence\r\nExpires: 0\r\n", "200 OK", CHARGE_EVENT, 0},
		{"PUBLISH", "Event: presence\r\nExpires: 600\r\n", "200 OK", CHARGE_EVENT, 600},
		{"OPTIONS", "", "200 OK", CHARGE_EVENT, -1},
	};
	struct world *world = *state;

	registered(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
		char lines[256], call_id[8];

		snprintf(call_id, sizeof(call_id), "m%u", i);
		snprintf(lines, sizeof(lines), "%s%s", contact, cases[i].lines);
		forget(world);
		world_client_request(world, 1, cases[i].method, "sip:bob@example.net", call_id,
		                     lines);
		assert_int_equal(record_count, 0);
		world_answer(world, 0, cases[i].answer, "");
		assert_int_equal(record_count, 1);
		assert_int_equal(records[0].type, cases[i].type);
		assert_int_equal(records[0].status, atoi(cases[i].answer));
		assert_int_equal(records[0].expires, cases[i].expires);
		assert_false(records[0].terminating);
	}
}

static void a_call_makes_one_record_for_each_of_its_steps(void **state)
{
	struct world *world = *state;
	char lines[8192];

	registered(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "call1",
	                     "P-Access-Network-Info: IEEE-802.11\r\n"
	                     "Contact: <sip:user1@192.0.2.1:10001>\r\n");
	world_answer(world, 0, "180 Ringing", "");
	assert_int_equal(record_count, 0);
	world_answer(world, 0, "200 OK", "");
	world_answer(world, 0, "200 OK", "");
	assert_int_equal(record_count, 1); /* repeated, it is the same call */
	assert_int_equal(records[0].type, CHARGE_START);
	assert_string_equal(records[0].text,
	                    "INVITE call=call1 icid=call1 from=sip:user1@example.net "
	                    "to=sip:user@example.net uri=sip:bob@example.net "
	                    "user=sip:user1@example.net access=IEEE-802.11");
	snprintf(lines, sizeof(lines), "To: <sip:user@example.net>;tag=callee\r\n%s%s",
	         world_route(world, 1, ""), contact);
	forget(world);
	world_client_request(world, 1, "ACK", "sip:bob@127.0.1.1", "call1", lines);
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(record_count, 0);
	world_client_request(world, 1, "UPDATE", "sip:bob@127.0.1.1", "call1", lines);
	world_answer(world, 1, "200 OK", "");
	assert_int_equal(record_count, 1);
	assert_int_equal(records[0].type, CHARGE_INTERIM);
	forget(world);
	world_client_request(world, 1, "BYE", "sip:bob@127.0.1.1", "call1", lines);
	world_answer(world, 0, "200 OK", "");
	assert_int_equal(record_count, 1);
	assert_int_equal(records[0].type, CHARGE_STOP);
}

static void a_cancelled_call_makes_one_record(void **state)
{
	struct world *world = *state;

	registered(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", contact);
	world_answer(world, 0, "180 Ringing", "");
	world_client_request(world, 1, "CANCEL", "sip:bob@example.net", "c1", "");
	assert_int_equal(record_count, 0);
	world_answer(world, 0, "487 Terminated", "");
	assert_int_equal(record_count, 1);
	assert_int_equal(records[0].status, 487);
	assert_int_equal(records[0].type, CHARGE_EVENT);
}

static void of_a_call_to_a_client_the_called_one_is_served(void **state)
{
	struct world *world = *state;

	registered(world, 1);
	world_core_to_client(world, 1, "INVITE", "c1",
	                     VECTOR ": orig-ioi=far; icid-value=\"of; core\"\r\n"
	                            "P-Called-Party-ID: \"U\" <tel:+15550001>\r\n");
	world_answer(world, 0, "200 OK", contact);
	assert_int_equal(record_count, 1);
	assert_true(records[0].terminating);
	assert_int_equal(records[0].type, CHARGE_START);
	assert_contains(records[0].text, "icid=of; core ");
	assert_contains(records[0].text, "from=sip:caller@example.net ");
	forget(world);
	world_core_to_client(world, 1, "MESSAGE", "c2", "");
	world_answer(world, 0, "200 OK", "");
	assert_contains(records[0].text, " user=sip:user@example.net ");
}

/* A stranger's From names whom it likes. */
static void who_is_not_known_is_not_named(void **state)
{
	struct world *world = *state;

	world->settings.peers.emergency.uri = "sip:10.0.0.50:5062;transport=tcp;lr";
	world->settings.peers.emergency.transport = TRANSPORT_TCP;
	assert_true(address_parse(SLICE_LITERAL("10.0.0.50:5062"),
	                          &world->settings.peers.emergency.address));
	world_client_request(world, 1, "INVITE", "urn:service:sos", "e1", contact);
	world_answer(world, 0, "200 OK", "");
	assert_int_equal(record_count, 1);
	assert_contains(records[0].text, "from=sip:user1@example.net ");
	assert_contains(records[0].text, " user= ");
	forget(world);
	peer_request(world, TRUNK, "MESSAGE", "sip:user1@example.net", "t1",
	             "P-Asserted-Identity: <tel:+15559>\r\n");
	world_answer(world, 0, "200 OK", "");
	assert_contains(records[0].text, " user=tel:+15559 ");
}

static void a_registration_makes_a_record_and_a_lost_one_none(void **state)
{
	struct world *world = *state;
	static const char *const outbound =
		"Contact: "
		"<sip:user1@192.0.2.1:10001>;+sip.instance=\"<urn:uuid:1>\";reg-id=1%s\r\n";
	char lines[512], at[128];
	const struct flow *flow;

	world->settings.deregister_lost = true;
	snprintf(at, sizeof(at), outbound, "");
	snprintf(lines, sizeof(lines), "To: <sip:user1@example.net>\r\nSupported: outbound\r\n%s",
	         at);
	world_client_request(world, 1, "REGISTER", "sip:example.net", "r1", lines);
	snprintf(at, sizeof(at), outbound, ";expires=600");
	world_answer(world, 0, "200 OK", at);
	assert_int_equal(record_count, 1);
	assert_int_equal(records[0].type, CHARGE_EVENT);
	forget(world);
	flow = world_flow(world, 1);
	proxy_on_binding_lost(world->proxy, flow, flow_binding_at(flow, 0));
	flow_table_hop_lost(world->flows, flow_hop(flow), FLOW_CLOSE_CONNECTION);
	world_walk(world, 1000);
	assert_int_equal(world->sent_count, 1);
	assert_memory_equal(world->sent[0].text, "REGISTER ", 9);
	world_answer(world, 0, "200 OK", "");
	assert_int_equal(record_count, 0);
}

/* A small world of its own: calls both ways, with all that charging does. */
static void calls_scene(void *arg)
{
	struct world world;

	record_count = 0;
	world_init(&world, TRANSPORT_TCP);
	configure(&world);
	if (world_build(&world) == 0) {
		world_set_states(&world, TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP);
		peer_request(&world, TRUNK, "MESSAGE", "sip:user1@example.net", "t1", LIES);
		if (world.sent_count > 0 && world.sent[0].text[0] == 'M')
			world_answer(&world, 0, "200 OK", LIES);
		world_forget_sent(&world);
		world_core_request(&world, 0, "MESSAGE", "sip:+15559@" TRUNK, "", "c1", LIES);
		if (world.sent_count > 0 && world.sent[0].text[0] == 'M')
			world_answer(&world, 0, "200 OK", LIES);
		for (unsigned i = 0; i < world.sent_count; i++)
			if (world.sent[i].hop.side == SIDE_ACCESS)
				assert_bare(world.sent[i].text);
			else
				assert_null(strstr(world.sent[i].text, "theirs"));
		world_walk(&world, 70000);
		assert_int_equal(proxy_busy(world.proxy), 0);
	}
	world_free(&world);
}

static void no_failed_allocation_leaks_a_word(void **state)
{
	world_bears_the_end_of_memory(state, calls_scene, 20);
}

#define charging_test(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		charging_test(whatever_a_client_sends_is_marked_by_us),
		charging_test(what_the_core_says_reaches_no_client),
		charging_test(nor_does_it_with_errors_of_ours),
		charging_test(a_callee_answers_with_the_vector_of_the_core_and_our_name),
		charging_test(trunks_are_told_nothing_and_believed_in_nothing),
		cmocka_unit_test_setup_teardown(unconfigured_nothing_is_said_and_nothing_told,
	                                        setup_without, world_teardown),
		charging_test(the_method_and_its_answer_say_which_record_it_is),
		charging_test(a_call_makes_one_record_for_each_of_its_steps),
		charging_test(a_cancelled_call_makes_one_record),
		charging_test(of_a_call_to_a_client_the_called_one_is_served),
		charging_test(who_is_not_known_is_not_named),
		charging_test(a_registration_makes_a_record_and_a_lost_one_none),
		cmocka_unit_test(no_failed_allocation_leaks_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
