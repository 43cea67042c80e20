/* Clients are held to the route set that we wrote for them: who may follow it, over which flow, and that nothing else
 * leads anywhere. */
#include "support/proxy_world.h"

#define SPROUT "<sip:x7@127.0.1.2:5054;transport=tcp;lr;dialog=9>"
#define FAR "<sip:other@127.0.9.9;lr>"

static const char *const callee = "Contact: <sip:bob@203.0.113.5>\r\n";

/* All Record-Route lines of a text, whole. */
static const char *record_routes(const char *text, char out[4096])
{
	size_t n = 0;

	out[0] = '\0';
	for (const char *at = text; (at = strstr(at, "\r\nRecord-Route: ")) != NULL; at += 2) {
		const char *end = strstr(at + 2, "\r\n");

		n += (size_t)snprintf(out + n, 4096 - n, "%.*s\r\n", (int)(end - at - 2), at + 2);
	}
	return out;
}

/* "Route: <...>\r\n": the Record-Route values of a text, last first for a caller. */
static const char *route_of(const char *text, bool backwards)
{
	static char out[4][4096];
	static unsigned next;
	char *route = out[next++ % 4], rest[4096] = "", lines[4096];

	record_routes(text, lines);
	for (char *line = strtok(lines, "\r\n"); line != NULL; line = strtok(NULL, "\r\n")) {
		char was[4096];

		line += strlen("Record-Route: ");
		snprintf(was, sizeof(was), "%s", rest);
		if (was[0] == '\0')
			snprintf(rest, sizeof(rest), "%s", line);
		else if (backwards)
			snprintf(rest, sizeof(rest), "%.2000s, %.2000s", line, was);
		else
			snprintf(rest, sizeof(rest), "%.2000s, %.2000s", was, line);
	}
	snprintf(route, 4096, "Route: %.4000s\r\n", rest);
	return route;
}

/* Client n calls; the Sprout answers with itself on top of the list. The caller's Route. */
static const char *call_out(struct world *world, unsigned client, const char *call_id,
                            const char *lines, const char *above)
{
	char answer[8192], list[4096];
	unsigned first = world->sent_count;

	world_client_request(world, client, "INVITE", "sip:bob@example.net", call_id, lines);
	assert_int_equal(world->sent_count, first + 1);
	assert_lacks(world->sent[first].text, ";rs=");
	snprintf(answer, sizeof(answer), "%s%s%s", above,
	         record_routes(world->sent[first].text, list), callee);
	world_answer(world, first, "200 OK", answer);
	assert_status(world, first + 1, "200");
	return route_of(world->sent[first + 1].text, true);
}

/* A Sprout calls client n. The callee's Route. */
static const char *call_in(struct world *world, unsigned client, const char *method,
                           const char *call_id)
{
	unsigned first = world->sent_count;

	world_core_to_client(world, client, method, call_id,
	                     "Record-Route: " SPROUT ", " FAR
	                     "\r\nContact: <sip:far@127.0.9.9>\r\n");
	assert_int_equal(world->sent_count, first + 1);
	return route_of(world->sent[first].text, false);
}

/* A request in the dialog; the index of what became of it. */
static unsigned in_dialog(struct world *world, unsigned client, const char *method, const char *uri,
                          const char *route)
{
	static unsigned serial;
	unsigned first = world->sent_count;
	char lines[8192], call_id[32];

	snprintf(lines, sizeof(lines), "To: <sip:bob@example.net>;tag=callee\r\n%s", route);
	snprintf(call_id, sizeof(call_id), "in%u", serial++);
	world_client_request(world, client, method, uri, call_id, lines);
	return first;
}

static bool went_out(struct world *world, unsigned index)
{
	return index < world->sent_count && world->sent[index].hop.side == SIDE_CORE;
}

#define assert_refused(world, index)                                                               \
	do {                                                                                       \
		assert_int_equal((world)->sent_count, (index) + 1);                                \
		assert_status(world, index, "403");                                                \
	} while (0)

static void a_caller_follows_the_list_of_the_answer(void **state)
{
	struct world *world = *state;
	const char *route;
	unsigned sent;

	world_register(world, 1);
	route = call_out(world, 1, "c1", "", "Record-Route: " SPROUT "\r\n");
	assert_contains(route, ";lr;rs=");
	sent = in_dialog(world, 1, "BYE", "sip:bob@203.0.113.5", route);
	assert_true(went_out(world, sent));
	assert_int_equal(world_target_of(&world->sent[sent].hop.remote), 1);
	assert_string_equal(world_header(world->sent[sent].text, "Route"), SPROUT);
	assert_lacks(world->sent[sent].text, "rs=");
	sent = in_dialog(world, 1, "ACK", "sip:bob@203.0.113.5", route);
	assert_true(went_out(world, sent));
}

static void an_early_dialog_is_followed_too(void **state)
{
	struct world *world = *state;
	char answer[8192], list[4096];
	unsigned sent;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", "");
	snprintf(answer, sizeof(answer), "Record-Route: %s\r\n%sRequire: 100rel\r\nRSeq: 1\r\n%s",
	         SPROUT, record_routes(world->sent[0].text, list), callee);
	world_answer(world, 0, "183 Session Progress", answer);
	assert_status(world, 1, "183");
	sent = in_dialog(world, 1, "PRACK", "sip:bob@203.0.113.5",
	                 route_of(world->sent[1].text, true));
	assert_true(went_out(world, sent));
	/* Another fork has another way. */
	snprintf(answer, sizeof(answer), "Record-Route: %s\r\n%s%s", FAR,
	         record_routes(world->sent[0].text, list), callee);
	world_answer(world, 0, "200 OK", answer);
	sent = in_dialog(world, 1, "UPDATE", "sip:bob@203.0.113.5",
	                 route_of(world->sent[world->sent_count - 1].text, true));
	assert_true(went_out(world, sent));
	assert_string_equal(world_header(world->sent[sent].text, "Route"), FAR);
}

static void a_callee_follows_the_list_of_the_request(void **state)
{
	static const char *const methods[] = {"INVITE", "SUBSCRIBE", "NOTIFY", "REFER"};
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(methods); i++) {
		const char *route = call_in(world, 1, methods[i], methods[i]);
		unsigned sent = in_dialog(world, 1, "NOTIFY", "sip:far@127.0.9.9", route);

		assert_true(went_out(world, sent));
		assert_string_equal(world_header(world->sent[sent].text, "Route"), SPROUT ", " FAR);
	}
}

static void a_made_up_to_tag_leads_nowhere(void **state)
{
	struct world *world = *state;
	char route[1024];

	world_register(world, 1);
	assert_refused(world, in_dialog(world, 1, "MESSAGE", "sip:bob@203.0.113.5", ""));
	world_forget_sent(world);
	assert_refused(world, in_dialog(world, 1, "INVITE", "sip:bob@127.0.1.1:5054",
	                                "Route: <sip:203.0.113.5;lr>\r\n"));
	world_forget_sent(world);
	snprintf(route, sizeof(route),
	         "Route: <sip:%s@127.0.0.1:5060;lr>, <sip:%s@127.0.0.1:5058;lr>, "
	         "<sip:127.0.1.1:5054;lr>\r\n",
	         flow_token_text(world_flow(world, 1)), flow_token_text(world_flow(world, 1)));
	assert_refused(world, in_dialog(world, 1, "INVITE", "sip:bob@example.net", route));
	world_forget_sent(world);
	(void)in_dialog(world, 1, "ACK", "sip:bob@203.0.113.5", route);
	assert_int_equal(world->sent_count, 0); /* no answer to an ACK, and no way for it */
}

static void replace(char *text, const char *what, const char *with)
{
	char copy[4096], *at = strstr(text, what);

	assert_non_null(at);
	snprintf(copy, sizeof(copy), "%s", at + strlen(what));
	snprintf(at, 4096 - (size_t)(at - text), "%s%s", with, copy);
}

static void whatever_is_changed_in_the_route_set_is_refused(void **state)
{
	static const char *const changes[][2] = {
		{"x7@127.0.1.2:5054", "x7@127.0.1.1:5054"},
		{"x7@127.0.1.2:5054", "x7@203.0.113.5"},
		{"x7@", "x8@"},
		{";dialog=9", ";dialog=8"},
		{";dialog=9", ""},
		{";dialog=9>", ";dialog=9>, <sip:203.0.113.5;lr>"},
		{", <sip:x7@", ", <sip:203.0.113.5;lr>, <sip:x7@"},
		{"transport=tcp;lr;dialog", "transport=udp;lr;dialog"},
		{";rs=", ";rs=q"},
		{";rs=", ";ss="},
		{"Route: ", "Route: <sip:203.0.113.5;lr>, "},
	};
	struct world *world = *state;
	char given[4096], route[4096];

	world_register(world, 1);
	snprintf(given, sizeof(given), "%s",
	         call_out(world, 1, "c1", "", "Record-Route: " SPROUT "\r\n"));
	for (unsigned i = 0; i < ARRAY_LENGTH(changes); i++) {
		world_forget_sent(world);
		snprintf(route, sizeof(route), "%s", given);
		replace(route, changes[i][0], changes[i][1]);
		assert_refused(world, in_dialog(world, 1, "INFO", "sip:bob@203.0.113.5", route));
	}
}

static void what_a_user_agent_spells_otherwise_is_the_same(void **state)
{
	struct world *world = *state;
	char route[4096];

	world_register(world, 1);
	snprintf(route, sizeof(route), "%s",
	         call_out(world, 1, "c1", "", "Record-Route: " SPROUT "\r\n"));
	replace(route, ";transport=tcp;lr;dialog=9", ";lr=on;dialog=9;Transport=TCP");
	assert_true(went_out(world, in_dialog(world, 1, "BYE", "sip:bob@203.0.113.5", route)));
}

static void a_copied_route_set_is_of_no_use_to_another(void **state)
{
	struct world *world = *state;
	const char *route;
	char own[4096], token[FLOW_TOKEN_TEXT_MAX];

	world_register(world, 1);
	world_register(world, 2);
	route = call_out(world, 1, "c1", "", "Record-Route: " SPROUT "\r\n");
	world_forget_sent(world);
	assert_refused(world, in_dialog(world, 2, "BYE", "sip:bob@203.0.113.5", route));
	/* nor with the own token in it */
	snprintf(own, sizeof(own), "%s", route);
	snprintf(token, sizeof(token), "%s", flow_token_text(world_flow(world, 1)));
	replace(own, token, flow_token_text(world_flow(world, 2)));
	replace(own, token, flow_token_text(world_flow(world, 2)));
	world_forget_sent(world);
	assert_refused(world, in_dialog(world, 2, "BYE", "sip:bob@203.0.113.5", own));
	world_forget_sent(world);
	assert_true(went_out(world, in_dialog(world, 1, "BYE", "sip:bob@203.0.113.5", route)));
}

/* Client registers user `user` with RFC 5626 outbound. */
static void register_outbound(struct world *world, unsigned client, unsigned user, unsigned device,
                              unsigned reg_id)
{
	char lines[1024], contact[256], call_id[32];
	static unsigned serial;
	struct hop hop = world_client_hop(client);

	world_forget_sent(world);
	snprintf(call_id, sizeof(call_id), "out%u", serial++);
	snprintf(contact, sizeof(contact),
	         "Contact: <sip:user%u@192.0.2.1:%u>;+sip.instance=\"<urn:uuid:%u>\";reg-id=%u",
	         user, 10000 + client, device, reg_id);
	snprintf(lines, sizeof(lines),
	         "REGISTER sip:example.net SIP/2.0\r\n"
	         "Via: SIP/2.0/UDP 192.0.2.1:%u;branch=z9hG4bK%s;rport\r\n"
	         "From: <sip:user%u@example.net>;tag=f\r\nTo: <sip:user%u@example.net>\r\n"
	         "Call-ID: %s\r\nCSeq: 1 REGISTER\r\nSupported: path, outbound\r\n%s\r\n"
	         "Content-Length: 0\r\n\r\n",
	         10000 + client, call_id, user, user, call_id, contact);
	world_packet(world, &hop, lines);
	assert_int_equal(world->sent_count, 1);
	snprintf(lines, sizeof(lines), "%s;expires=600\r\nRequire: outbound\r\n", contact);
	world_answer(world, 0, "200 OK", lines);
	assert_status(world, 1, "200");
	world_forget_sent(world);
}

static void the_flow_that_replaced_it_goes_on(void **state)
{
	struct world *world = *state;
	char out[4096], in[4096];

	register_outbound(world, 1, 1, 77, 1);
	snprintf(out, sizeof(out), "%s",
	         call_out(world, 1, "c1", "", "Record-Route: " SPROUT "\r\n"));
	snprintf(in, sizeof(in), "%s", call_in(world, 1, "INVITE", "d1"));
	/* somebody else, another device of hers, another of its flows, a thief with the device's name */
	register_outbound(world, 2, 2, 78, 1);
	register_outbound(world, 3, 1, 79, 1);
	register_outbound(world, 4, 1, 77, 2);
	register_outbound(world, 5, 5, 77, 1);
	for (unsigned client = 2; client <= 5; client++) {
		world_forget_sent(world);
		assert_refused(world, in_dialog(world, client, "BYE", "sip:bob@203.0.113.5", out));
		world_forget_sent(world);
		assert_refused(world, in_dialog(world, client, "BYE", "sip:far@127.0.9.9", in));
	}
	register_outbound(world, 6, 1, 77, 1);
	assert_true(went_out(world, in_dialog(world, 6, "BYE", "sip:bob@203.0.113.5", out)));
	assert_true(went_out(world, in_dialog(world, 6, "BYE", "sip:far@127.0.9.9", in)));
}

static void without_outbound_the_dialog_ends_with_its_flow(void **state)
{
	struct world *world = *state;
	char route[4096];

	world_register(world, 1);
	snprintf(route, sizeof(route), "%s",
	         call_out(world, 1, "c1", "", "Record-Route: " SPROUT "\r\n"));
	flow_table_close(world->flows, world_flow(world, 1), FLOW_CLOSE_IDLE);
	loop_advance_to(world->loop, loop_now_ms(world->loop));
	world_forget_sent(world);
	world_client_register_over(world, 1, "again", "");
	world_answer(world, 0, "200 OK", "Contact: <sip:user1@192.0.2.1:10001>;expires=600\r\n");
	world_forget_sent(world);
	assert_refused(world, in_dialog(world, 1, "BYE", "sip:bob@203.0.113.5", route));
}

static void a_proxy_between_client_and_us_stays_in_the_path(void **state)
{
	struct world *world = *state;
	const char *route;
	unsigned sent;

	world_register(world, 1);
	route = call_out(world, 1, "c1", "Record-Route: <sip:192.0.2.1:10001;lr>\r\n",
	                 "Record-Route: " SPROUT "\r\n");
	/* It takes its own entry off before it sends to us. */
	assert_memory_equal(route, "Route: <sip:192.0.2.1:10001;lr>, ", 33);
	{
		char rest[4096];

		snprintf(rest, sizeof(rest), "Route: %s", route + 33);
		sent = in_dialog(world, 1, "BYE", "sip:bob@203.0.113.5", rest);
	}
	assert_true(went_out(world, sent));
	assert_string_equal(world_header(world->sent[sent].text, "Route"), SPROUT);
}

/* It would have us sign what it wrote itself. */
static void a_callers_own_list_below_ours_is_never_marked(void **state)
{
	struct world *world = *state;
	char lines[1024];
	const char *token, *route;

	world_register(world, 1);
	token = flow_token_text(world_flow(world, 1));
	snprintf(lines, sizeof(lines),
	         "Record-Route: <sip:203.0.113.5;lr>, <sip:%s@127.0.0.1:5058;transport=tcp;lr>, "
	         "<sip:%s@127.0.0.1:5060;transport=udp;lr>\r\n",
	         token, token);
	route = call_out(world, 1, "c1", lines, "Record-Route: " SPROUT "\r\n");
	assert_null(strstr(strstr(route, ";rs=") + 1, ";rs="));
	assert_memory_equal(route, "Route: <sip:", 12);
	assert_lacks(strchr(route, ',') - 5, "rs=x"); /* the first entry is the caller's own */
	world_forget_sent(world);
	assert_refused(world, in_dialog(world, 1, "BYE", "sip:bob@203.0.113.5", route));
}

static void a_list_that_the_core_cut_off_is_not_marked(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", "");
	world_answer(world, 0, "200 OK", "Record-Route: " SPROUT "\r\n");
	assert_lacks(world->sent[1].text, "rs=");
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c2", "");
	world_answer(world, 2, "200 OK", "");
	assert_lacks(world->sent[3].text, "rs=");
}

static void without_other_entries_the_request_goes_as_an_initial_one(void **state)
{
	struct world *world = *state;
	const char *route;
	unsigned sent;

	world_register(world, 1);
	route = call_out(world, 1, "c1", "", "");
	sent = in_dialog(world, 1, "BYE", "sip:bob@203.0.113.5", route);
	assert_true(went_out(world, sent));
	assert_int_equal(world_target_of(&world->sent[sent].hop.remote), 0);
	assert_contains(world_header(world->sent[sent].text, "Route"), "<sip:orig@127.0.1.1:5054");
	assert_memory_equal(world->sent[sent].text, "BYE sip:bob@203.0.113.5 SIP/2.0\r\n", 33);
	sent = in_dialog(world, 1, "ACK", "sip:bob@203.0.113.5", route);
	assert_int_equal(world_target_of(&world->sent[sent].hop.remote), 0);
}

static void answers_to_standalone_and_in_dialog_requests_are_left_alone(void **state)
{
	static const char *const methods[] = {"MESSAGE", "OPTIONS", "PUBLISH", "INFO"};
	struct world *world = *state;
	char answer[8192], list[4096];
	const char *route;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(methods); i++) {
		world_forget_sent(world);
		world_client_request(world, 1, methods[i], "sip:bob@example.net", methods[i], "");
		snprintf(answer, sizeof(answer), "Record-Route: %s\r\n%s", SPROUT,
		         record_routes(world->sent[0].text, list));
		world_answer(world, 0, "200 OK", answer);
		assert_lacks(world->sent[1].text, "rs=");
	}
	/* RFC 3261 12.2: a route set does not change within the dialog. */
	world_forget_sent(world);
	route = call_out(world, 1, "c1", "", "Record-Route: " SPROUT "\r\n");
	{
		unsigned sent = in_dialog(world, 1, "INVITE", "sip:bob@203.0.113.5", route);

		snprintf(answer, sizeof(answer), "Record-Route: <sip:203.0.113.5;lr>\r\n%s",
		         record_routes(world->sent[sent].text, list));
		world_answer(world, sent, "200 OK", answer);
		assert_status(world, sent + 1, "200");
		assert_lacks(world->sent[sent + 1].text, "rs=");
	}
}

/* TS 24.229 5.2.6.4: what a callee made of the list does not reach the caller. */
static void a_callees_list_is_replaced_by_what_it_was_sent(void **state)
{
	static const char *const lists[] = {
		"",
		"Record-Route: <sip:203.0.113.5;lr>\r\n",
		"Record-Route: " SPROUT ", " FAR "\r\n",
	};
	struct world *world = *state;
	char expected[4096], got[4096], call_id[16], lines[8192];

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(lists); i++) {
		world_forget_sent(world);
		snprintf(call_id, sizeof(call_id), "d%u", i);
		(void)call_in(world, 1, "INVITE", call_id);
		record_routes(world->sent[0].text, expected);
		world_answer(world, 0, "180 Ringing", lists[i]);
		assert_string_equal(record_routes(world->sent[1].text, got), expected);
		snprintf(lines, sizeof(lines), "%s%s", lists[i],
		         "Contact: <sip:user1@192.0.2.1>\r\n");
		world_answer(world, 0, "200 OK", lines);
		assert_status(world, 2, "200");
		assert_string_equal(record_routes(world->sent[2].text, got), expected);
		world_answer(world, 0, "200 OK", lines); /* again: the first was lost */
		assert_string_equal(record_routes(world->sent[3].text, got), expected);
	}
	/* Entries behind ours changed, in front of ours a proxy of the client's. */
	world_forget_sent(world);
	(void)call_in(world, 1, "INVITE", "d8");
	record_routes(world->sent[0].text, expected);
	snprintf(lines, sizeof(lines), "%s", expected);
	replace(lines, "x7@", "x8@");
	world_answer(world, 0, "200 OK", lines);
	assert_string_equal(record_routes(world->sent[1].text, got), expected);
	world_forget_sent(world);
	(void)call_in(world, 1, "INVITE", "d9");
	snprintf(lines, sizeof(lines), "Record-Route: <sip:192.0.2.1;lr>\r\n%s", expected);
	world_answer(world, 0, "200 OK", lines);
	assert_string_equal(record_routes(world->sent[1].text, got), lines);
}

static void a_strict_router_that_is_given_ours_as_request_uri_is_understood(void **state)
{
	struct world *world = *state;
	char first[512], rest[4096];
	const char *route, *end;
	unsigned sent;

	world_register(world, 1);
	route = call_out(world, 1, "c1", "", "Record-Route: " SPROUT "\r\n");
	end = strchr(route, '>');
	snprintf(first, sizeof(first), "%.*s", (int)(end - strchr(route, '<') - 1),
	         strchr(route, '<') + 1);
	snprintf(rest, sizeof(rest), "Route: %.*s, <sip:bob@203.0.113.5>\r\n",
	         (int)(strlen(end + 3) - 2), end + 3);
	sent = in_dialog(world, 1, "BYE", first, rest);
	assert_true(went_out(world, sent));
	assert_memory_equal(world->sent[sent].text, "BYE sip:bob@203.0.113.5 SIP/2.0\r\n", 33);
	assert_string_equal(world_header(world->sent[sent].text, "Route"), SPROUT);
	replace(rest, "x7@127.0.1.2", "x7@127.0.1.1");
	world_forget_sent(world);
	assert_refused(world, in_dialog(world, 1, "BYE", first, rest));
}

/* A client that calls itself: two passes with one token. */
static void a_call_to_oneself_keeps_both_passes_apart(void **state)
{
	struct world *world = *state;
	char lines[8192], list[4096];
	const char *route;
	unsigned sent;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:user1@example.net", "c1", "");
	snprintf(lines, sizeof(lines), "%s", record_routes(world->sent[0].text, list));
	world_core_to_client(world, 1, "INVITE", "c1core", lines);
	assert_int_equal(world->sent_count, 2);
	snprintf(lines, sizeof(lines), "%s%s", record_routes(world->sent[1].text, list), callee);
	world_answer(world, 1, "200 OK", lines);
	assert_int_equal(world->sent_count, 3);
	snprintf(lines, sizeof(lines), "%s%s", record_routes(world->sent[2].text, list), callee);
	world_answer(world, 0, "200 OK", lines);
	assert_int_equal(world->sent_count, 4);
	route = route_of(world->sent[3].text, true);
	sent = in_dialog(world, 1, "BYE", "sip:user1@192.0.2.1:10001", route);
	assert_true(went_out(world, sent));
	assert_contains(world_header(world->sent[sent].text, "Route"), "127.0.0.1:5058");
	assert_int_equal(address_port(&world->sent[sent].hop.remote), 5058);
}

static void dialogs_scene(void *arg)
{
	enum target_state up[WORLD_TARGETS] = {TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP};
	char lines[8192], list[4096];
	struct world world;

	world_init(&world, TRANSPORT_TCP);
	if (world_build(&world) == 0) {
		struct view *view = world_make_view(TRANSPORT_TCP, up);
		unsigned at;

		proxy_set_view(world.proxy, view);
		snapshot_release(&view->snapshot);
		world_client_register_over(&world, 1, "r1", "");
		if (world.sent_count > 0 && strncmp(world.sent[0].text, "REGISTER", 8) == 0)
			world_answer(&world, 0, "200 OK",
			             "Contact: <sip:user1@192.0.2.1:10001>;expires=600\r\n");
		at = world.sent_count;
		world_client_request(&world, 1, "INVITE", "sip:bob@example.net", "c1",
		                     "P-Preferred-Identity: <sip:user1@example.net>\r\n");
		if (world.sent_count > at && world.sent[at].hop.side == SIDE_CORE) {
			snprintf(lines, sizeof(lines), "Record-Route: %s\r\n%s%s", SPROUT,
			         record_routes(world.sent[at].text, list), callee);
			world_answer(&world, at, "180 Ringing", lines);
			world_answer(&world, at, "200 OK", lines);
			if (strstr(world.sent[world.sent_count - 1].text, "rs=") != NULL)
				(void)in_dialog(&world, 1, "BYE", "sip:bob@203.0.113.5",
				                route_of(world.sent[world.sent_count - 1].text,
				                         true));
		}
		at = world.sent_count;
		if (world_flow(&world, 1) != NULL)
			world_core_to_client(&world, 1, "INVITE", "d1",
			                     "Record-Route: " SPROUT "\r\n");
		if (world.sent_count > at && world.sent[at].hop.side == SIDE_ACCESS) {
			world_answer(&world, at, "180 Ringing", "");
			world_answer(&world, at, "200 OK", "");
			world_answer(&world, at, "200 OK", "");
		}
		world_walk(&world, 300000); /* a lost answer: timer C */
		assert_int_equal(proxy_busy(world.proxy), 0);
	}
	world_free(&world);
}

static void no_failed_allocation_leaves_a_dialog_without_an_end(void **state)
{
	world_bears_the_end_of_memory(state, dialogs_scene, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_caller_follows_the_list_of_the_answer),
		world_test(an_early_dialog_is_followed_too),
		world_test(a_callee_follows_the_list_of_the_request),
		world_test(a_made_up_to_tag_leads_nowhere),
		world_test(whatever_is_changed_in_the_route_set_is_refused),
		world_test(what_a_user_agent_spells_otherwise_is_the_same),
		world_test(a_copied_route_set_is_of_no_use_to_another),
		world_test(the_flow_that_replaced_it_goes_on),
		world_test(without_outbound_the_dialog_ends_with_its_flow),
		world_test(a_proxy_between_client_and_us_stays_in_the_path),
		world_test(a_callers_own_list_below_ours_is_never_marked),
		world_test(a_list_that_the_core_cut_off_is_not_marked),
		world_test(without_other_entries_the_request_goes_as_an_initial_one),
		world_test(answers_to_standalone_and_in_dialog_requests_are_left_alone),
		world_test(a_callees_list_is_replaced_by_what_it_was_sent),
		world_test(a_strict_router_that_is_given_ours_as_request_uri_is_understood),
		world_test(a_call_to_oneself_keeps_both_passes_apart),
		cmocka_unit_test(no_failed_allocation_leaves_a_dialog_without_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
