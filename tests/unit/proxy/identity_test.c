/* Who is calling: P-Preferred-Identity, the default identity, and the Service-Route of whoever it is.
 * RFC 3325 9.1, 9.2, RFC 5876 4.5, RFC 3608 5, TS 24.229 5.2.6.3. */
#include "support/proxy_world.h"

/* The P-Asserted-Identity lines of what goes out for this request, "; " between them. */
static const char *asserted(struct world *world, const char *method, const char *lines)
{
	static char out[1024];
	static unsigned serial;
	char call_id[16];
	const char *text;

	world_forget_sent(world);
	snprintf(call_id, sizeof(call_id), "m%u", serial++);
	world_client_request(world, 1, method, "sip:bob@example.net", call_id, lines);
	assert_int_equal(world->sent_count, 1);
	text = world->sent[0].text;
	assert_int_equal(world->sent[0].hop.side, SIDE_CORE);
	assert_lacks(text, "P-Preferred-Identity");
	out[0] = '\0';
	for (const char *at = text; (at = strstr(at, "\r\nP-Asserted-Identity: ")) != NULL; at++) {
		const char *value = strchr(at, ':') + 2;

		snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s%.*s",
		         out[0] != '\0' ? "; " : "", (int)(strstr(value, "\r\n") - value), value);
	}
	return out;
}

static void what_is_preferred_is_asserted_if_it_is_the_users_own(void **state)
{
	static const struct {
		const char *lines, *asserted;
	} cases[] = {
		{"", "<sip:user1@example.net>"},
		{"P-Preferred-Identity: <sip:user1@example.net>\r\n", "<sip:user1@example.net>"},
		{"P-Preferred-Identity: \"The Boss\" <sip:user1@example.net>\r\n",
	         "<sip:user1@example.net>"},
		{"P-Preferred-Identity: sip:user1@EXAMPLE.net\r\n", "<sip:user1@example.net>"},
		{"P-Preferred-Identity: <tel:+15550001>\r\n", "<tel:+15550001>"},
		{"P-Preferred-Identity: <tel:+1-555-0001>\r\n", "<tel:+15550001>"},
		/* two: one sip, one tel, in one line or two */
		{"P-Preferred-Identity: <sip:user1@example.net>, <tel:+15550001>\r\n",
	         "<sip:user1@example.net>; <tel:+15550001>"},
		{"P-Preferred-Identity: <tel:+15550001>\r\nP-Preferred-Identity: "
	         "<sip:user1@example.net>\r\n",
	         "<tel:+15550001>; <sip:user1@example.net>"},
		/* not hers: never 403, and never asserted */
		{"P-Preferred-Identity: <sip:boss@example.net>\r\n", "<sip:user1@example.net>"},
		{"P-Preferred-Identity: <tel:+15550002>\r\n", "<sip:user1@example.net>"},
		{"P-Preferred-Identity: <sip:boss@example.net>, <tel:+15550002>\r\n",
	         "<sip:user1@example.net>"},
		{"P-Preferred-Identity: <sip:boss@example.net>, <tel:+15550001>\r\n",
	         "<tel:+15550001>"},
		{"P-Preferred-Identity: <sip:user1@example.net>, <tel:+15550002>\r\n",
	         "<sip:user1@example.net>"},
		/* RFC 5876 4.5: of a kind the first counts, other schemes do not */
		{"P-Preferred-Identity: <tel:+15550002>, <tel:+15550001>\r\n",
	         "<sip:user1@example.net>"},
		{"P-Preferred-Identity: <sip:user1@example.net>, <sip:user1@example.net>, "
	         "<tel:+15550001>, <tel:+15550001>\r\n",
	         "<sip:user1@example.net>; <tel:+15550001>"},
		{"P-Preferred-Identity: <urn:service:sos>, <tel:+15550001>\r\n", "<tel:+15550001>"},
		{"P-Preferred-Identity: <http://example.net>\r\n", "<sip:user1@example.net>"},
		/* and what she asserts herself does not count at all */
		{"P-Asserted-Identity: <sip:boss@example.net>\r\n", "<sip:user1@example.net>"},
		{"P-Asserted-Identity: <tel:+15550001>\r\nP-Preferred-Identity: "
	         "<sip:boss@example.net>\r\n",
	         "<sip:user1@example.net>"},
	};
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++)
		assert_string_equal(asserted(world, "MESSAGE", cases[i].lines), cases[i].asserted);
}

/* TS 24.229 5.2.6.3: "initial request for a dialog or standalone transaction". */
static void every_standalone_and_initial_request_is_named_and_routed(void **state)
{
	static const char *const methods[] = {"INVITE",  "MESSAGE",   "OPTIONS",
	                                      "PUBLISH", "SUBSCRIBE", "REFER",
	                                      "INFO",    "NOTIFY",    "FETCH"};
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(methods); i++) {
		assert_string_equal(asserted(world, methods[i], ""), "<sip:user1@example.net>");
		assert_string_equal(world_header(world->sent[0].text, "Route"),
		                    "<sip:orig@127.0.1.1:5054;transport=tcp;lr;orig>");
	}
}

static void an_unregistered_client_is_refused_whatever_it_asks(void **state)
{
	static const char *const methods[] = {"INVITE",    "MESSAGE", "OPTIONS", "PUBLISH",
	                                      "SUBSCRIBE", "BYE",     "FETCH"};
	struct world *world = *state;

	for (unsigned i = 0; i < ARRAY_LENGTH(methods); i++) {
		for (unsigned tag = 0; tag < 2; tag++) {
			char call_id[32];

			world_forget_sent(world);
			snprintf(call_id, sizeof(call_id), "s%u.%u", i, tag);
			world_client_request(world, 3, methods[i], "sip:bob@example.net", call_id,
			                     tag == 0 ? "" : "To: <sip:bob@example.net>;tag=x\r\n");
			assert_int_equal(world->sent_count, 1);
			assert_status(world, 0, "403");
		}
	}
}

static void an_anonymous_caller_is_known_to_the_core_and_keeps_its_from(void **state)
{
	struct world *world = *state;
	struct hop hop = world_client_hop(1);

	world_register(world, 1);
	world_packet(world, &hop,
	             "INVITE sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/UDP "
	             "192.0.2.1:10001;branch=z9hG4bKanon;rport\r\n"
	             "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=a\r\nTo: "
	             "<sip:bob@example.net>\r\nPrivacy: id\r\n"
	             "Call-ID: anon\r\nCSeq: 1 INVITE\r\nContact: "
	             "<sip:user1@192.0.2.1>\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(world->sent_count, 1);
	assert_string_equal(world_header(world->sent[0].text, "From"),
	                    "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=a");
	assert_string_equal(world_header(world->sent[0].text, "P-Asserted-Identity"),
	                    "<sip:user1@example.net>");
	assert_string_equal(world_header(world->sent[0].text, "Privacy"), "id");
}

/* A second user behind the same hop, with a Service-Route of its own. */
static void register_extension(struct world *world, const char *user)
{
	struct hop hop = world_client_hop(1);
	char text[2048];

	world_forget_sent(world);
	snprintf(text, sizeof(text),
	         "REGISTER sip:example.net SIP/2.0\r\nVia: SIP/2.0/UDP "
	         "192.0.2.1:10001;branch=z9hG4bK%s;rport\r\nFrom: <sip:%s@example.net>;tag=e\r\n"
	         "To: <sip:%s@example.net>\r\nCall-ID: r%s\r\nCSeq: 1 REGISTER\r\n"
	         "Contact: <sip:%s@192.0.2.1:10001>\r\nContent-Length: 0\r\n\r\n",
	         user, user, user, user, user);
	world_packet(world, &hop, text);
	snprintf(text, sizeof(text),
	         "Contact: <sip:%s@192.0.2.1:10001>;expires=3600\r\n"
	         "P-Associated-URI: <sip:%s.default@example.net>, <sip:%s@example.net>\r\n"
	         "Service-Route: <sip:of-%s@127.0.1.2:5054;transport=tcp;lr>, "
	         "<sip:second@127.0.2.1;lr>\r\n",
	         user, user, user, user);
	world_answer(world, 0, "200 OK", text);
	world_forget_sent(world);
}

static const char *sent_from(struct world *world, const char *from, const char *lines)
{
	static unsigned serial;
	struct hop hop = world_client_hop(1);
	char text[2048];

	world_forget_sent(world);
	snprintf(text, sizeof(text),
	         "MESSAGE sip:bob@example.net SIP/2.0\r\nVia: SIP/2.0/UDP "
	         "192.0.2.1:10001;branch=z9hG4bKf%u;rport\r\nFrom: <%s>;tag=e\r\n"
	         "To: <sip:bob@example.net>\r\nCall-ID: f%u\r\nCSeq: 1 MESSAGE\r\n%s"
	         "Content-Length: 0\r\n\r\n",
	         serial, from, serial, lines);
	serial++;
	world_packet(world, &hop, text);
	assert_int_equal(world->sent_count, 1);
	return world->sent[0].text;
}

static void on_a_shared_flow_from_says_whose_default_it_is(void **state)
{
	struct world *world = *state;
	const char *text;

	world_register(world, 1);
	register_extension(world, "ext");
	text = sent_from(world, "sip:ext@example.net", "");
	assert_string_equal(world_header(text, "P-Asserted-Identity"),
	                    "<sip:ext.default@example.net>");
	/* 3608 5: the whole Service-Route of that registration, in its order */
	assert_string_equal(
		world_header(text, "Route"),
		"<sip:of-ext@127.0.1.2:5054;transport=tcp;lr>, <sip:second@127.0.2.1;lr>");
	assert_int_equal(world_target_of(&world->sent[0].hop.remote), 1);
	text = sent_from(world, "sip:user1@example.net", "");
	assert_string_equal(world_header(text, "P-Asserted-Identity"), "<sip:user1@example.net>");
	assert_contains(world_header(text, "Route"), "orig@127.0.1.1");
	/* someone else, or nobody: the first */
	text = sent_from(world, "sip:boss@example.net", "");
	assert_string_equal(world_header(text, "P-Asserted-Identity"), "<sip:user1@example.net>");
	text = sent_from(world, "sip:anonymous@anonymous.invalid", "");
	assert_string_equal(world_header(text, "P-Asserted-Identity"), "<sip:user1@example.net>");
	/* what is preferred comes before From, its registration too */
	text = sent_from(world, "sip:user1@example.net",
	                 "P-Preferred-Identity: <sip:ext@example.net>\r\n");
	assert_string_equal(world_header(text, "P-Asserted-Identity"), "<sip:ext@example.net>");
	assert_contains(world_header(text, "Route"), "of-ext@127.0.1.2");
}

/* 24.229 5.2.6.3: a preloaded Route that differs is replaced; ours and the right one are not doubled. */
static void whatever_route_is_preloaded_the_service_route_is_taken(void **state)
{
	static const char *const routes[] = {
		"",
		"Route: <sip:127.0.0.1:5060;lr>\r\n",
		"Route: <sip:127.0.0.1:5060;lr>, <sip:of-ext@127.0.1.2:5054;transport=tcp;lr>, "
		"<sip:second@127.0.2.1;lr>\r\n",
		"Route: <sip:second@127.0.2.1;lr>, "
		"<sip:of-ext@127.0.1.2:5054;transport=tcp;lr>\r\n",
		"Route: <sip:of-ext@127.0.1.2:5054;transport=tcp;lr>\r\nRoute: "
		"<sip:evil.example>\r\n",
		"Route: <tel:+1>\r\n",
	};
	struct world *world = *state;

	register_extension(world, "ext");
	for (unsigned i = 0; i < ARRAY_LENGTH(routes); i++) {
		const char *text = sent_from(world, "sip:ext@example.net", routes[i]);

		assert_int_equal(world_count_lines(text, "Route"), 1);
		assert_string_equal(world_header(text, "Route"),
		                    "<sip:of-ext@127.0.1.2:5054;transport=tcp;lr>, "
		                    "<sip:second@127.0.2.1;lr>");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(what_is_preferred_is_asserted_if_it_is_the_users_own),
		world_test(every_standalone_and_initial_request_is_named_and_routed),
		world_test(an_unregistered_client_is_refused_whatever_it_asks),
		world_test(an_anonymous_caller_is_known_to_the_core_and_keeps_its_from),
		world_test(on_a_shared_flow_from_says_whose_default_it_is),
		world_test(whatever_route_is_preloaded_the_service_route_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
