/* RFC 3680 and TS 24.229 5.2.3: the edge subscribes to registrations and does what the registrar says of them. */
#include "support/proxy_world.h"

#define FLAT "<?xml version=\"1.0\"?><reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" "

static int setup(void **state)
{
	struct world *world = malloc(sizeof(*world));

	fake_clock_setup(state);
	hash_key_init();
	assert_int_equal(message_system_init(), 0);
	world_init(world, TRANSPORT_TCP);
	world->settings.reg_subscribe = true;
	world->settings.reg_subscribe_expires_s = 600000;
	world->settings.reg_subscriptions_max = 1000;
	assert_int_equal(world_build(world), 0);
	world_set_states(world, TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP);
	*state = world;
	return 0;
}

/* ---- the stage ---- */

static int sent_after(const struct world *world, unsigned from, const char *start)
{
	for (unsigned i = from; i < world->sent_count; i++)
		if (strncmp(world->sent[i].text, start, strlen(start)) == 0)
			return (int)i;
	return -1;
}

static unsigned count_sent(const struct world *world, const char *start)
{
	unsigned n = 0;

	for (int i = sent_after(world, 0, start); i >= 0;
	     i = sent_after(world, (unsigned)i + 1, start))
		n++;
	return n;
}

static unsigned sent_subscribe(const struct world *world)
{
	int index = sent_after(world, 0, "SUBSCRIBE ");

	assert_true(index >= 0);
	return (unsigned)index;
}

static unsigned last_subscribe(const struct world *world)
{
	unsigned last = sent_subscribe(world);

	for (int i = (int)last; i >= 0; i = sent_after(world, (unsigned)i + 1, "SUBSCRIBE "))
		last = (unsigned)i;
	return last;
}

/* Walks until one is sent, but no further: an unanswered one goes from Sprout to Sprout. */
static void await_subscribe(struct world *world, uint64_t within_ms)
{
	for (uint64_t ms = 0; ms < within_ms && count_sent(world, "SUBSCRIBE ") == 0; ms += 100)
		world_walk(world, 100);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 1);
}

/* Subscriptions that were asked for, however many Sprouts each was sent to. */
static unsigned count_asked(const struct world *world)
{
	unsigned n = 0;

	for (unsigned i = 0; i < world->sent_count; i++) {
		char call_id[128];
		bool seen = strncmp(world->sent[i].text, "SUBSCRIBE ", 10) != 0;

		snprintf(call_id, sizeof(call_id), "%s",
		         world_header(world->sent[i].text, "Call-ID"));
		for (unsigned j = 0; j < i && !seen; j++)
			seen = strcmp(call_id, world_header(world->sent[j].text, "Call-ID")) == 0;
		n += !seen;
	}
	return n;
}

/* With what the registrar says of it. */
static void registers(struct world *world, unsigned client, const char *call_id, unsigned expires,
                      const char *more)
{
	char lines[1024];
	int index;

	world_forget_sent(world);
	world_client_register_over(world, client, call_id, "");
	index = sent_after(world, 0, "REGISTER ");
	assert_true(index >= 0);
	snprintf(lines, sizeof(lines),
	         "P-Associated-URI: <sip:user%u@example.net>, <tel:+1555%04u>\r\n%s", client,
	         client, more);
	if (expires > 0)
		snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines),
		         "Contact: <sip:user%u@192.0.2.1:%u>;expires=%u\r\n", client,
		         10000 + client, expires);
	world_answer(world, (unsigned)index, "200 OK", lines);
}

#define SERVICE_ROUTE                                                                              \
	"Service-Route: <sip:edge.example.net;lr>, "                                               \
	"<sip:127.0.1.2:5054;transport=tcp;lr;orig;x=1>\r\n"
#define ROUTE_2 "Service-Route: <sip:127.0.1.2:5054;transport=tcp;lr;orig>\r\n"

/* The dialog as the notifier knows it. */
struct dialog {
	char uri[512], from[512], to[512], call_id[128];
	unsigned cseq, target;
};

/* The SUBSCRIBE that was sent is accepted. */
static struct dialog accepts(struct world *world, const char *expires)
{
	unsigned index = sent_subscribe(world);
	const char *text = world->sent[index].text;
	struct dialog dialog = {.cseq = 0};
	char lines[512];
	const char *contact = world_header(text, "Contact");

	snprintf(dialog.uri, sizeof(dialog.uri), "%.*s", (int)(strlen(contact) - 2), contact + 1);
	snprintf(dialog.to, sizeof(dialog.to), "%s", world_header(text, "From"));
	snprintf(dialog.from, sizeof(dialog.from), "%s%s", world_header(text, "To"),
	         strstr(world_header(text, "To"), "tag=") != NULL ? "" : ";tag=callee");
	snprintf(dialog.call_id, sizeof(dialog.call_id), "%s", world_header(text, "Call-ID"));
	dialog.target = (unsigned)world_target_of(&world->sent[index].hop.remote);
	snprintf(lines, sizeof(lines),
	         "Contact: <sip:scscf@127.0.1.2:5054;transport=tcp>\r\nExpires: %s\r\n", expires);
	world_answer(world, index, "200 OK", lines);
	return dialog;
}

/* The status of its answer. */
static int notifies(struct world *world, struct dialog *dialog, const char *state, const char *body)
{
	struct hop hop = {.worker = world->settings.worker,
	                  .transport = TRANSPORT_TCP,
	                  .side = SIDE_CORE,
	                  .listener = 3,
	                  .connection = 2000};
	char text[8192];

	assert_true(address_parse_host(SLICE_LITERAL("127.0.1.2"), 40000, &hop.remote));
	world_forget_sent(world);
	dialog->cseq++;
	snprintf(text, sizeof(text),
	         "NOTIFY %s SIP/2.0\r\n"
	         "Via: SIP/2.0/TCP 127.0.1.2:5054;branch=z9hG4bKnotify%u\r\n"
	         "Max-Forwards: 70\r\n"
	         "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %u NOTIFY\r\n"
	         "Event: reg\r\nSubscription-State: %s\r\n"
	         "Contact: <sip:scscf@127.0.1.2:5054;transport=tcp>\r\n"
	         "%sContent-Length: %zu\r\n\r\n%s",
	         dialog->uri, dialog->cseq, dialog->from, dialog->to, dialog->call_id, dialog->cseq,
	         state, body[0] != '\0' ? "Content-Type: application/reginfo+xml\r\n" : "",
	         strlen(body), body);
	world_packet(world, &hop, text);
	if (sent_after(world, 0, "SIP/2.0 ") < 0)
		return 0;
	return atoi(world->sent[sent_after(world, 0, "SIP/2.0 ")].text + 8);
}

/* One registration with one contact of client 1. */
static const char *reginfo(unsigned version, const char *kind, const char *aor, const char *state,
                           const char *contact)
{
	static char text[4096];

	snprintf(text, sizeof(text),
	         FLAT "version=\"%u\" state=\"%s\"><registration aor=\"%s\" id=\"r\" state=\"%s\">"
	              "<contact id=\"c\" %s><uri>sip:user1@192.0.2.1:10001</uri></contact>"
	              "</registration></reginfo>",
	         version, kind, aor, state, contact);
	return text;
}

#define AOR "sip:user1@example.net"
#define ACTIVE "state=\"active\" event=\"registered\" expires=\"3600\""
#define ENDED(event) "state=\"terminated\" event=\"" event "\""

static int asks(struct world *world, unsigned client)
{
	static unsigned serial;
	char call_id[32];
	int index;

	world_forget_sent(world);
	snprintf(call_id, sizeof(call_id), "ask%u", serial++);
	world_client_request(world, client, "MESSAGE", "sip:b@example.net", call_id,
	                     "Max-Forwards: 70\r\n");
	index = sent_after(world, 0, "MESSAGE ");
	if (index >= 0)
		return 0; /* it went on */
	index = sent_after(world, 0, "SIP/2.0 ");
	assert_true(index >= 0);
	return atoi(world->sent[index].text + 8);
}

static struct dialog watched(struct world *world)
{
	struct dialog dialog;

	registers(world, 1, "r1", 3600, ROUTE_2);
	world_walk(world, 20);
	dialog = accepts(world, "600000");
	assert_int_equal(notifies(world, &dialog, "active;expires=600000",
	                          reginfo(0, "full", AOR, "active", ACTIVE)),
	                 200);
	assert_int_equal(asks(world, 1), 0);
	world_walk(world, 3000);
	world_forget_sent(world);
	return dialog;
}

/* ---- the SUBSCRIBE ---- */

static void a_registration_is_subscribed_to_as_24_229_says(void **state)
{
	struct world *world = *state;
	const char *text;
	char path[256];

	registers(world, 1, "r1", 3600, SERVICE_ROUTE);
	world_walk(world, 20);
	text = world->sent[sent_subscribe(world)].text;
	assert_memory_equal(text, "SUBSCRIBE sip:user1@example.net SIP/2.0\r\n", 41);
	assert_string_equal(world_header(text, "To"), "<sip:user1@example.net>");
	assert_memory_equal(world_header(text, "From"), "<sip:127.0.0.1:5058>;tag=", 25);
	assert_string_equal(world_header(text, "Event"), "reg");
	assert_string_equal(world_header(text, "Accept"), "application/reginfo+xml");
	assert_string_equal(world_header(text, "Expires"), "600000");
	snprintf(path, sizeof(path), "<sip:%s@127.0.0.1:5058;transport=tcp;lr>",
	         flow_token_text(world_flow(world, 1)));
	assert_string_equal(world_header(text, "P-Asserted-Identity"), path);
	/* Along the Service-Route, but nobody serves us as a caller. */
	assert_string_equal(world_header(text, "Route"),
	                    "<sip:edge.example.net;lr>,<sip:127.0.1.2:5054;transport=tcp;lr;x=1>");
	assert_int_equal(world_count_lines(text, "Route"), 1);
	assert_memory_equal(world_header(text, "Contact"), "<sip:F", 6);
	assert_lacks(text, "P-Charging-Vector");
}

static void the_sprout_of_the_service_route_gets_it_with_charging(void **state)
{
	struct world *world = *state;
	unsigned index;

	world->settings.charging_vector = true;
	world->settings.charging_host = "edge.example.net";
	registers(world, 1, "r1", 3600, ROUTE_2);
	world_walk(world, 20);
	index = sent_subscribe(world);
	assert_int_equal(world_target_of(&world->sent[index].hop.remote), 1);
	assert_memory_equal(world_header(world->sent[index].text, "P-Charging-Vector"),
	                    "icid-value=\"reg-", 16);
	assert_string_equal(world_header(world->sent[index].text, "Route"),
	                    "<sip:127.0.1.2:5054;transport=tcp;lr>");
}

static void it_lasts_longer_than_the_registration(void **state)
{
	struct world *world = *state;

	world->settings.reg_subscribe_expires_s = 60;
	registers(world, 1, "r1", 3600, ROUTE_2);
	world_walk(world, 20);
	assert_in_range(atoi(world_header(world->sent[sent_subscribe(world)].text, "Expires")),
	                4190, 4200);
}

static void a_refresh_of_the_client_asks_nothing_more(void **state)
{
	struct world *world = *state;

	watched(world);
	for (unsigned i = 0; i < 5; i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "again%u", i);
		registers(world, 1, call_id, 3600, ROUTE_2);
		world_walk(world, 1000);
		assert_int_equal(count_sent(world, "SUBSCRIBE "), 0);
	}
}

static void it_is_refreshed_in_its_dialog_before_it_ends(void **state)
{
	struct world *world = *state;
	struct dialog dialog;
	const char *text;

	registers(world, 1, "r1", 7200, ROUTE_2);
	world_walk(world, 20);
	dialog = accepts(world, "3600");
	assert_int_equal(notifies(world, &dialog, "active", ""), 200);
	world_walk(world, 2990000);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 0);
	await_subscribe(world, 20000);
	text = world->sent[sent_subscribe(world)].text;
	assert_memory_equal(text, "SUBSCRIBE sip:scscf@127.0.1.2:5054;transport=tcp SIP/2.0\r\n",
	                    58);
	assert_string_equal(world_header(text, "To"), dialog.from);
	assert_string_equal(world_header(text, "From"), dialog.to);
	assert_string_equal(world_header(text, "Call-ID"), dialog.call_id);
	assert_string_equal(world_header(text, "CSeq"), "2 SUBSCRIBE");
	accepts(world, "3600");
	world_walk(world, 40000);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 1);
}

static void the_route_set_of_the_2xx_is_kept(void **state)
{
	struct world *world = *state;
	unsigned index;

	registers(world, 1, "r1", 7200, ROUTE_2);
	world_walk(world, 20);
	index = sent_subscribe(world);
	world_answer(world, index, "200 OK",
	             "Contact: <sip:scscf@10.9.9.9:5054>\r\nExpires: 60\r\n"
	             "Record-Route: <sip:127.0.2.1:5054;transport=tcp;lr>, <sip:far;lr>\r\n"
	             "Record-Route: <sip:127.0.2.2:5054;transport=tcp;lr>\r\n");
	world_forget_sent(world);
	world_walk(world, 31000);
	index = sent_subscribe(world);
	assert_string_equal(world_header(world->sent[index].text, "Route"),
	                    "<sip:127.0.2.2:5054;transport=tcp;lr>,<sip:far;lr>,"
	                    "<sip:127.0.2.1:5054;transport=tcp;lr>");
	assert_int_equal(world_target_of(&world->sent[index].hop.remote), 3);
}

static void it_ends_when_the_client_leaves(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);
	const char *text;

	registers(world, 1, "bye", 0, "");
	world_walk(world, 20);
	text = world->sent[sent_subscribe(world)].text;
	assert_string_equal(world_header(text, "Expires"), "0");
	assert_string_equal(world_header(text, "Call-ID"), dialog.call_id);
	world_answer(world, sent_subscribe(world), "200 OK", "Expires: 0\r\n");
	assert_int_equal(notifies(world, &dialog, "terminated;reason=timeout", ""), 481);
	world_walk(world, 100000);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 0);
}

static void a_sprout_that_does_not_answer_is_passed_over(void **state)
{
	struct world *world = *state;

	world->open_error[1] = -ECONNREFUSED;
	registers(world, 1, "r1", 3600, ROUTE_2);
	world_walk(world, 20);
	assert_true(world_target_of(&world->sent[sent_subscribe(world)].hop.remote) != 1);
}

static void no_sprout_at_all_is_asked_again_later_and_less_often(void **state)
{
	struct world *world = *state;
	unsigned first;

	registers(world, 1, "r1", 36000, ROUTE_2);
	for (unsigned i = 0; i < WORLD_TARGETS; i++)
		world->open_error[i] = -ECONNREFUSED;
	world_walk(world, 60000);
	world_forget_sent(world);
	for (unsigned i = 0; i < WORLD_TARGETS; i++)
		world->open_error[i] = 0;
	world_walk(world, 1900000);
	first = sent_subscribe(world);
	assert_string_equal(world_header(world->sent[first].text, "CSeq"), "1 SUBSCRIBE");
	assert_in_range(count_sent(world, "SUBSCRIBE "), 1, 40);
}

static void who_refuses_is_left_alone_for_an_hour(void **state)
{
	struct world *world = *state;

	registers(world, 1, "r1", 36000, ROUTE_2);
	world_walk(world, 20);
	world_answer(world, sent_subscribe(world), "403 Forbidden", "");
	registers(world, 1, "r2", 36000, ROUTE_2);
	world_walk(world, 3500000);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 0);
	world_walk(world, 1100000);
	assert_true(count_sent(world, "SUBSCRIBE ") >= 1);
}

static void min_expires_is_honoured(void **state)
{
	struct world *world = *state;

	world->settings.reg_subscribe_expires_s = 60;
	registers(world, 1, "r1", 60, ROUTE_2);
	world_walk(world, 20);
	world_answer(world, sent_subscribe(world), "423 Interval Too Brief",
	             "Min-Expires: 7200\r\n");
	world_walk(world, 20);
	assert_string_equal(world_header(world->sent[last_subscribe(world)].text, "Expires"),
	                    "7200");
}

static void a_notifier_that_never_notifies_is_none(void **state)
{
	struct world *world = *state;

	registers(world, 1, "r1", 3600, ROUTE_2);
	world_walk(world, 20);
	accepts(world, "600000");
	world_forget_sent(world);
	world_walk(world, 31000);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 0);
	world_walk(world, 45000);
	assert_string_equal(world_header(world->sent[sent_subscribe(world)].text, "CSeq"),
	                    "1 SUBSCRIBE");
}

static void a_storm_is_paced(void **state)
{
	struct world *world = *state;
	unsigned asked = 0;

	for (unsigned i = 0; i < 100; i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "s%u", i);
		registers(world, i + 1, call_id, 3600, ROUTE_2);
		asked += count_asked(world);
	}
	assert_in_range(asked, 0, 1); /* no time has passed */
	world_forget_sent(world);
	world_walk(world, 450);
	assert_in_range(count_asked(world), 40, 46);
	world_walk(world, 650);
	assert_in_range(asked + count_asked(world), 99, 101);
}

static void no_more_are_kept_than_the_limit(void **state)
{
	struct world *world = *state;
	unsigned asked = 0;

	world->settings.reg_subscriptions_max = 3;
	for (unsigned i = 0; i < 5; i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "s%u", i);
		registers(world, i + 1, call_id, 3600, ROUTE_2);
		asked += count_asked(world);
	}
	world_forget_sent(world);
	world_walk(world, 400);
	assert_int_equal(asked + count_asked(world), 3);
}

static void without_configuration_nobody_subscribes(void **state)
{
	struct world *world = *state;

	world->settings.reg_subscribe = false;
	registers(world, 1, "r1", 3600, ROUTE_2);
	world_walk(world, 1000);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 0);
}

/* ---- the NOTIFY ---- */

static void the_network_ends_a_registration(void **state)
{
	static const char *const events[] = {ENDED("deactivated"), ENDED("rejected"),
	                                     ENDED("probation"), ENDED("unregistered"),
	                                     ENDED("expired")};

	for (unsigned i = 0; i < ARRAY_LENGTH(events); i++) {
		struct world *world;
		struct dialog dialog;

		if (i > 0) {
			world_teardown(state);
			setup(state);
		}
		world = *state;
		dialog = watched(world);
		assert_int_equal(notifies(world, &dialog, "active;expires=1000",
		                          reginfo(1, "partial", AOR, "active", events[i])),
		                 200);
		assert_int_equal(asks(world, 1), 403);
		/* Its REGISTER proves itself again. */
		world_forget_sent(world);
		world_client_register_over(
			world, 1, "anew",
			"Authorization: Digest username=\"u\", response=\"x\"\r\n");
		assert_contains(world->sent[0].text, "ip-assoc-pending");
	}
}

static void a_terminated_registration_ends_without_a_contact_of_ours(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);

	assert_int_equal(notifies(world, &dialog, "terminated;reason=noresource",
	                          FLAT "version=\"1\" state=\"full\"><registration aor=\"" AOR
	                               "\" id=\"r\" state=\"terminated\"/></reginfo>"),
	                 200);
	assert_int_equal(asks(world, 1), 403);
	assert_int_equal(notifies(world, &dialog, "active", ""), 481);
}

static void another_contact_or_another_user_is_none_of_ours(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);

	assert_int_equal(
		notifies(world, &dialog, "active",
	                 FLAT "version=\"1\" state=\"partial\"><registration aor=\"" AOR
	                      "\" id=\"r\" state=\"active\"><contact id=\"d\" " ENDED(
				      "deactivated") "><uri>sip:user1@192.0.2.99</uri></contact>"
	                                             "</registration></reginfo>"),
		200);
	assert_int_equal(notifies(world, &dialog, "active",
	                          reginfo(2, "partial", "sip:other@example.net", "terminated",
	                                  ENDED("deactivated"))),
	                 200);
	assert_int_equal(asks(world, 1), 0);
}

static void shortened_shortens(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);

	assert_int_equal(notifies(world, &dialog, "active",
	                          reginfo(1, "partial", AOR, "active",
	                                  "state=\"active\" event=\"shortened\" expires=\"60\"")),
	                 200);
	assert_int_equal(asks(world, 1), 0);
	world_walk(world, 61000);
	assert_int_equal(asks(world, 1), 403);
}

static void an_identity_goes_and_the_others_stay(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);
	const struct binding *binding = flow_binding_at(world_flow(world, 1), 0);

	assert_int_equal(binding_identity_count(binding), 2);
	assert_int_equal(notifies(world, &dialog, "active",
	                          reginfo(1, "partial", "tel:+15550001", "terminated",
	                                  ENDED("deactivated"))),
	                 200);
	binding = flow_binding_at(world_flow(world, 1), 0);
	assert_int_equal(binding_identity_count(binding), 1);
	world_forget_sent(world);
	world_client_request(world, 1, "MESSAGE", "sip:b@example.net", "pref",
	                     "Max-Forwards: 70\r\nP-Preferred-Identity: <tel:+15550001>\r\n");
	assert_string_equal(world_header(world->sent[0].text, "P-Asserted-Identity"),
	                    "<sip:user1@example.net>");
}

static void versions_rise(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);

	/* Not newer than what we know: nothing follows. */
	assert_int_equal(notifies(world, &dialog, "active",
	                          reginfo(1, "partial", AOR, "active", ACTIVE)),
	                 200);
	assert_int_equal(notifies(world, &dialog, "active",
	                          reginfo(1, "partial", AOR, "active", ENDED("deactivated"))),
	                 200);
	assert_int_equal(notifies(world, &dialog, "active",
	                          reginfo(0, "full", AOR, "active", ENDED("deactivated"))),
	                 200);
	assert_int_equal(asks(world, 1), 0);
	/* One is missing: the whole state is asked for. */
	world_walk(world, 20);
	world_forget_sent(world);
	assert_int_equal(notifies(world, &dialog, "active",
	                          reginfo(3, "partial", AOR, "active", ACTIVE)),
	                 200);
	world_walk(world, 20);
	assert_string_equal(world_header(world->sent[sent_subscribe(world)].text, "CSeq"),
	                    "2 SUBSCRIBE");
	accepts(world, "600000");
	/* And who is not in it is not registered. */
	assert_int_equal(notifies(world, &dialog, "active",
	                          FLAT "version=\"4\" state=\"full\"><registration aor=\"" AOR
	                               "\" id=\"r\" state=\"active\"/></reginfo>"),
	                 200);
	assert_int_equal(asks(world, 1), 403);
}

static void who_tells_all_each_time_need_not_count(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);

	assert_int_equal(notifies(world, &dialog, "active",
	                          reginfo(0, "full", AOR, "active", ENDED("deactivated"))),
	                 200);
	assert_int_equal(asks(world, 1), 403);
}

static void strays_are_481_and_old_ones_500(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world), wrong = dialog;

	snprintf(wrong.call_id, sizeof(wrong.call_id), "another");
	assert_int_equal(notifies(world, &wrong, "active", ""), 481);
	wrong = dialog;
	snprintf(wrong.from, sizeof(wrong.from), "<sip:user1@example.net>;tag=other");
	assert_int_equal(notifies(world, &wrong, "active", ""), 481);
	wrong = dialog;
	snprintf(wrong.to, sizeof(wrong.to), "<sip:127.0.0.1:5058>;tag=other");
	assert_int_equal(notifies(world, &wrong, "active", ""), 481);
	wrong = dialog;
	wrong.uri[10] ^= 1;
	assert_int_equal(notifies(world, &wrong, "active", ""), 481);
	wrong = dialog;
	wrong.cseq = dialog.cseq - 1; /* the same number once more */
	assert_int_equal(notifies(world, &wrong, "active",
	                          reginfo(1, "partial", AOR, "active", ENDED("deactivated"))),
	                 200);
	assert_int_equal(asks(world, 1), 0);
	dialog.cseq = 10;
	assert_int_equal(notifies(world, &dialog, "active", ""), 200);
	dialog.cseq = 4;
	assert_int_equal(notifies(world, &dialog, "active", ""), 500);
}

static void a_broken_document_changes_nothing(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);

	assert_int_equal(notifies(world, &dialog, "active", "<reginfo"), 400);
	assert_int_equal(notifies(world, &dialog, "active",
	                          "<!DOCTYPE reginfo [<!ENTITY a \"b\">]><reginfo/>"),
	                 400);
	assert_int_equal(asks(world, 1), 0);
}

static void the_worker_of_the_token_gets_it(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);

	world->settings.worker = 1; /* now the subscription is another's */
	assert_int_equal(notifies(world, &dialog, "active", ""), 0);
	assert_int_equal(world->passed, 1);
	assert_int_equal(world->passed_to, 0);
	assert_memory_equal(world->passed_text, "NOTIFY ", 7);
	world->settings.worker = 0;
}

static void a_subscription_of_an_earlier_life_is_unknown(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);

	world->settings.epoch++;
	assert_int_equal(notifies(world, &dialog, "active", ""), 481);
}

static void an_ended_subscription_is_made_anew_unless_it_shall_not(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);
	char old[128];

	snprintf(old, sizeof(old), "%s", dialog.call_id);
	assert_int_equal(notifies(world, &dialog, "terminated;reason=deactivated", ""), 200);
	world_walk(world, 20);
	assert_string_equal(world_header(world->sent[sent_subscribe(world)].text, "CSeq"),
	                    "1 SUBSCRIBE");
	assert_string_not_equal(world_header(world->sent[sent_subscribe(world)].text, "Call-ID"),
	                        old);
	dialog = accepts(world, "600000");
	/* At once again: not so fast. */
	assert_int_equal(notifies(world, &dialog, "terminated;reason=timeout", ""), 200);
	world_walk(world, 20000);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 0);
	await_subscribe(world, 30000);
	dialog = accepts(world, "600000");
	assert_int_equal(notifies(world, &dialog, "terminated;reason=rejected", ""), 200);
	world_walk(world, 3000000);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 0);
}

static void a_notify_before_the_2xx_counts(void **state)
{
	struct world *world = *state;
	struct dialog dialog = {0};
	const char *text, *contact;
	unsigned index;

	registers(world, 1, "r1", 3600, ROUTE_2);
	world_walk(world, 20);
	index = sent_subscribe(world);
	text = world->sent[index].text;
	contact = world_header(text, "Contact");
	snprintf(dialog.uri, sizeof(dialog.uri), "%.*s", (int)(strlen(contact) - 2), contact + 1);
	snprintf(dialog.to, sizeof(dialog.to), "%s", world_header(text, "From"));
	snprintf(dialog.from, sizeof(dialog.from), "%s;tag=callee", world_header(text, "To"));
	snprintf(dialog.call_id, sizeof(dialog.call_id), "%s", world_header(text, "Call-ID"));
	assert_int_equal(notifies(world, &dialog, "active",
	                          reginfo(0, "full", AOR, "active", ENDED("deactivated"))),
	                 200);
	assert_int_equal(asks(world, 1), 403);
}

static void other_methods_are_not_taken(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);

	world_core_request(world, 1, "MESSAGE", dialog.uri, "", dialog.call_id,
	                   "Max-Forwards: 70\r\n");
	assert_status(world, 0, "405");
	assert_string_equal(world_header(world->sent[0].text, "Allow"), "NOTIFY");
}

static void a_dead_sprout_is_left_at_the_next_refresh(void **state)
{
	struct world *world = *state;

	watched(world);
	world_set_states(world, TARGET_UP, TARGET_DOWN, TARGET_UP, TARGET_UP);
	world_walk(world, 1000);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 0);
	registers(world, 1, "again", 3600, ROUTE_2);
	world_walk(world, 20);
	assert_true(world_target_of(&world->sent[sent_subscribe(world)].hop.remote) != 1);
	assert_string_equal(world_header(world->sent[sent_subscribe(world)].text, "CSeq"),
	                    "1 SUBSCRIBE");
}

static void a_new_flow_takes_the_subscription_over(void **state)
{
	struct world *world = *state;
	struct dialog dialog = watched(world);
	struct hop old = world_client_hop(1);
	int index;

	flow_table_hop_lost(world->flows, &old, FLOW_CLOSE_CONNECTION);
	world_client_request(world, 2, "REGISTER", "sip:example.net", "moved",
	                     "To: <sip:user1@example.net>\r\nMax-Forwards: 70\r\n"
	                     "Contact: <sip:user1@192.0.2.1:10002>\r\n");
	index = sent_after(world, 0, "REGISTER ");
	assert_true(index >= 0);
	world_answer(world, (unsigned)index, "200 OK",
	             "Contact: <sip:user1@192.0.2.1:10002>;expires=3600\r\n" ROUTE_2);
	world_walk(world, 1000);
	assert_int_equal(count_sent(world, "SUBSCRIBE "), 0);
	assert_int_equal(asks(world, 2), 0);
	assert_int_equal(
		notifies(world, &dialog, "active",
	                 FLAT
	                 "version=\"1\" state=\"partial\"><registration aor=\"" AOR
	                 "\" id=\"r\" state=\"active\"><contact id=\"d\" " ENDED(
				 "deactivated") "><uri>sip:user1@192.0.2.1:10002</uri></contact>"
	                                        "</registration></reginfo>"),
		200);
	assert_int_equal(asks(world, 2), 403);
}

static void without_memory_nothing_breaks(void **state)
{
	for (unsigned n = 1; n < 80; n++) {
		struct world *world = *state;
		struct dialog dialog = watched(world);

		memory_fail_at(n);
		notifies(world, &dialog, "terminated;reason=deactivated",
		         reginfo(1, "partial", "tel:+15550001", "terminated",
		                 ENDED("deactivated")));
		world_walk(world, 100);
		memory_fail_at(0);
		world_walk(world, 100);
		world_teardown(state);
		setup(state);
	}
}

#define reg_test(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		reg_test(a_registration_is_subscribed_to_as_24_229_says),
		reg_test(the_sprout_of_the_service_route_gets_it_with_charging),
		reg_test(it_lasts_longer_than_the_registration),
		reg_test(a_refresh_of_the_client_asks_nothing_more),
		reg_test(it_is_refreshed_in_its_dialog_before_it_ends),
		reg_test(the_route_set_of_the_2xx_is_kept),
		reg_test(it_ends_when_the_client_leaves),
		reg_test(a_sprout_that_does_not_answer_is_passed_over),
		reg_test(no_sprout_at_all_is_asked_again_later_and_less_often),
		reg_test(who_refuses_is_left_alone_for_an_hour),
		reg_test(min_expires_is_honoured),
		reg_test(a_notifier_that_never_notifies_is_none),
		reg_test(a_storm_is_paced),
		reg_test(no_more_are_kept_than_the_limit),
		reg_test(without_configuration_nobody_subscribes),
		reg_test(the_network_ends_a_registration),
		reg_test(a_terminated_registration_ends_without_a_contact_of_ours),
		reg_test(another_contact_or_another_user_is_none_of_ours),
		reg_test(shortened_shortens),
		reg_test(an_identity_goes_and_the_others_stay),
		reg_test(versions_rise),
		reg_test(who_tells_all_each_time_need_not_count),
		reg_test(strays_are_481_and_old_ones_500),
		reg_test(a_broken_document_changes_nothing),
		reg_test(the_worker_of_the_token_gets_it),
		reg_test(a_subscription_of_an_earlier_life_is_unknown),
		reg_test(an_ended_subscription_is_made_anew_unless_it_shall_not),
		reg_test(a_notify_before_the_2xx_counts),
		reg_test(other_methods_are_not_taken),
		reg_test(a_dead_sprout_is_left_at_the_next_refresh),
		reg_test(a_new_flow_takes_the_subscription_over),
		reg_test(without_memory_nothing_breaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
