/* REGISTER through the proxy: what is added, what is taken away, what a 2xx teaches. */
#include "support/proxy_world.h"

#include <ctype.h>

static void register_gets_path_with_token_and_ob(void **state)
{
	struct world *world = *state;
	const char *text;

	world_client_register_over(world, 1, "r1", "");
	assert_int_equal(world->sent_count, 1);
	text = world->sent[0].text;
	assert_contains(text, "\r\nPath: <sip:");
	assert_contains(world_header(text, "Path"), flow_token_text(world_flow(world, 1)));
	assert_contains(world_header(text, "Path"), "@127.0.0.1:5058;transport=tcp;lr;ob>");
	assert_string_equal(world_header(text, "P-Visited-Network-ID"), "\"example.net\"");
	assert_string_equal(world_header(text, "Max-Forwards"), "69");
}

static void path_of_a_client_behind_a_proxy_has_no_ob(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1",
	                           "Via: SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKinner\r\n");
	assert_contains(world_header(world->sent[0].text, "Path"), ";lr>");
}

static void register_goes_to_one_local_sprout_with_one_route(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "Route: <sip:127.0.0.1:5060;lr>\r\n");
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(world_count_lines(world->sent[0].text, "Route"), 1);
	assert_contains(world_header(world->sent[0].text, "Route"), "<sip:127.0.1.");
	assert_contains(world_header(world->sent[0].text, "Route"), ":5054;transport=tcp;lr;orig>");
	assert_contains(world_header(world->sent[0].text, "Via"),
	                "SIP/2.0/TCP 127.0.0.1:5058;branch=z9hG4bK");
}

static void what_a_client_says_of_its_standing_is_taken_away(void **state)
{
	struct world *world = *state;
	const char *text;

	world_client_register_over(
		world, 1, "r1",
		"Path: <sip:evil@192.0.2.66;lr>\r\n"
		"P-Asserted-Identity: <sip:boss@example.net>\r\n"
		"P-Charging-Vector: icid-value=1\r\n"
		"P-Visited-Network-ID: evil.example\r\n"
		"Authorization: Digest username=\"u\",realm=\"r\",response=\"abc\","
		"integrity-protected=\"yes\"\r\n");
	text = world->sent[0].text;
	assert_lacks(text, "evil");
	assert_lacks(text, "boss");
	assert_lacks(text, "icid-value");
	assert_lacks(text, "\"yes\"");
	assert_contains(text, "integrity-protected=\"ip-assoc-pending\"");
	assert_int_equal(world_count_lines(text, "Path"), 1);
}

#define DIGEST(user) "Authorization: Digest username=\"" user "\",realm=\"r\",response=\"abc\"\r\n"
#define GRANTED "Contact: <sip:user1@192.0.2.1:10001>;expires=3600\r\n"

static const char *integrity_of(const char *text)
{
	const char *at = strstr(world_header(text, "Authorization"), "integrity-protected=");

	return at != NULL ? at + strlen("integrity-protected=") : "";
}

/* Over client 1's flow, with these credentials; what the Sprout saw. It says yes if told so. */
static const char *register_as(struct world *world, const char *call_id, const char *credentials,
                               bool granted)
{
	static char seen[4096];

	world_forget_sent(world);
	world_client_register_over(world, 1, call_id, credentials);
	assert_int_equal(world->sent_count, 1);
	snprintf(seen, sizeof(seen), "%s", world->sent[0].text);
	world_answer(world, 0, granted ? "200 OK" : "403 Forbidden", granted ? GRANTED : "");
	world_forget_sent(world);
	return seen;
}

static void credentials_are_pending_until_their_owner_is_registered_here(void **state)
{
	struct world *world = *state;

	assert_string_equal(integrity_of(register_as(world, "a", DIGEST("u"), false)),
	                    "\"ip-assoc-pending\"");
	assert_string_equal(integrity_of(register_as(world, "b", DIGEST("u"), true)),
	                    "\"ip-assoc-pending\"");
	assert_string_equal(integrity_of(register_as(world, "c", DIGEST("u"), true)),
	                    "\"ip-assoc-yes\"");
}

/* Our own credentials quote the Request-URI: it must not write in them. */
static void nothing_of_a_request_uri_becomes_a_credential(void **state)
{
	static const char *const uris[] = {"sip:example.net;a=b\\",
	                                   "sip:example.net;a=\",username=\"v\",b=\"",
	                                   "sip:example.net\\;a=,username=v,b",
	                                   "sip:u\\@example.net", "sip:u\"@example.net"};
	struct hop hop = world_client_hop(1);
	struct world *world = *state;

	register_as(world, "a", DIGEST("u"), true);
	for (unsigned i = 0; i < ARRAY_LENGTH(uris); i++) {
		char text[1024];

		world_forget_sent(world);
		snprintf(text, sizeof(text),
		         "REGISTER %s SIP/2.0\r\n"
		         "Via: SIP/2.0/UDP 192.0.2.1:10001;branch=z9hG4bKq%u;rport\r\n"
		         "From: <sip:user1@example.net>;tag=f\r\nTo: <sip:user1@example.net>\r\n"
		         "Call-ID: q%u\r\nCSeq: 1 REGISTER\r\n"
		         "Contact: <sip:user1@192.0.2.1:10001>\r\nContent-Length: 0\r\n\r\n",
		         uris[i], i, i);
		world_packet(world, &hop, text);
		assert_int_equal(world->sent_count, 1);
		assert_status(world, 0, "400");
	}
}

/* Whoever else speaks over this flow proves himself, in whatever way he writes the name of its owner. */
static void another_private_identity_is_not_vouched_for(void **state)
{
	static const char *const others[] = {
		DIGEST("v"),
		DIGEST("U"),
		"Authorization: Digest realm=\"x, username=u, "
		"y\",username=\"v\",response=\"abc\"\r\n",
		"Authorization: Digest realm=\"x\\\", "
		"username=\\\"u\",username=\"v\",response=\"a\"\r\n",
		DIGEST("u") DIGEST("v"),
		DIGEST("v") DIGEST("u"),
		"Authorization: Digest username=\"u\", username=\"v\", response=\"abc\"\r\n",
		"Authorization: Digest realm=\"r\", response=\"abc\"\r\n",
		"Authorization: Digest username=\"u\", username=\"u\", username=\"u\", "
		"username=\"u\", username=\"u\", response=\"abc\"\r\n",
	};
	struct world *world = *state;

	register_as(world, "a", DIGEST("u"), true);
	for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
		char call_id[8];
		const char *seen;

		snprintf(call_id, sizeof(call_id), "o%zu", i);
		seen = register_as(world, call_id, others[i], false);
		assert_lacks(seen, "ip-assoc-yes");
		assert_contains(seen, "ip-assoc-pending");
	}
	assert_string_equal(integrity_of(register_as(world, "b", DIGEST("u"), true)),
	                    "\"ip-assoc-yes\"");
	/* once the registrar has taken his word, he is the owner */
	register_as(world, "c", DIGEST("v"), true);
	assert_string_equal(integrity_of(register_as(world, "d", DIGEST("v"), true)),
	                    "\"ip-assoc-yes\"");
	assert_string_equal(integrity_of(register_as(world, "e", DIGEST("u"), true)),
	                    "\"ip-assoc-pending\"");
}

static void a_refresh_without_credentials_names_the_owner(void **state)
{
	struct world *world = *state;
	const char *seen;

	seen = register_as(world, "a", "", true);
	assert_lacks(seen, "Authorization");
	register_as(world, "b", DIGEST("u\\\"1"), true);
	for (unsigned i = 0; i < 2; i++) {
		seen = register_as(world, i == 0 ? "c" : "d", "", true);
		assert_string_equal(
			world_header(seen, "Authorization"),
			"Digest username=\"u\\\"1\", realm=\"example.net\", nonce=\"\", "
			"uri=\"sip:example.net\", response=\"\", "
			"integrity-protected=\"ip-assoc-yes\"");
	}
}

static void nobody_is_vouched_for_on_another_flow(void **state)
{
	struct world *world = *state;

	register_as(world, "a", DIGEST("u"), true);
	world_client_register_over(world, 2, "b", "To: <sip:user1@example.net>\r\n" DIGEST("u"));
	world_forget_sent(world);
	world_client_request(world, 2, "REGISTER", "sip:example.net", "c",
	                     "To: <sip:user1@example.net>\r\nContact: "
	                     "<sip:user1@192.0.2.1:10002>\r\n" DIGEST("u"));
	assert_string_equal(integrity_of(world->sent[0].text), "\"ip-assoc-pending\"");
}

/* What a client wrote there itself is gone, in whatever spelling. */
static void what_a_client_says_of_its_integrity_is_gone_in_every_spelling(void **state)
{
	static const char *const names[] = {"integrity-protected", "Integrity-Protected",
	                                    "INTEGRITY-PROTECTED", "integrity-pRotected"};
	static const char *const equals[] = {"=", " = ", "\t=", "=  "};
	static const char *const values[] = {"yes",          "\"yes\"",  "\"tls-yes\"",
	                                     "ip-assoc-yes", "\"y,es\"", "\"ye\\\"s\"",
	                                     "auth-done"};
	static const char *const places[] = {
		"Digest %s, username=\"v\", response=\"abc\"",
		"Digest username=\"v\",%s,response=\"abc\"",
		"Digest username=\"v\", response=\"abc\" ,\t%s",
		"Digest username=\"v\", response=\"abc\", %s, %s",
		"DIGEST %s",
		"Bearer %s",
	};
	static const char *const headers[] = {"Authorization", "authorization", "AUTHORIZATION ",
	                                      "Proxy-Authorization"};
	struct world *world = *state;
	unsigned n = 0;

	for (unsigned i = 0; i < 4 * 4 * 7 * 6 * 4; i++) {
		char param[96], value[300], lines[700], call_id[16];

		snprintf(param, sizeof(param), "%s%s%s", names[i % 4], equals[i / 4 % 4],
		         values[i / 16 % 7]);
		snprintf(value, sizeof(value), places[i / 112 % 6], param, param);
		snprintf(lines, sizeof(lines), "%s: %s\r\n%s: %s\r\n", headers[i / 672], value,
		         headers[i / 672], value);
		snprintf(call_id, sizeof(call_id), "i%u", i);
		world_client_register_over(world, 1, call_id, lines);
		assert_int_equal(world->sent_count, 1);
		if (strncmp(world->sent[0].text, "REGISTER ", 9) == 0) {
			char *seen = strdup(world->sent[0].text);

			for (char *at = seen; *at != '\0'; at++)
				*at = (char)tolower(*at);
			assert_lacks(seen, "yes");
			assert_lacks(seen, "auth-done");
			assert_lacks(seen, "y,es");
			free(seen);
			world_answer(world, 0, "403 Forbidden", "");
			n++;
		}
		world_forget_sent(world);
	}
	assert_true(n > 1000); /* some are no grammar, and were refused */
}

static void a_200_makes_the_flow_registered(void **state)
{
	struct world *world = *state;
	const struct binding *binding;

	world_register(world, 1);
	assert_int_equal(flow_state(world_flow(world, 1)), FLOW_REGISTERED);
	binding = flow_binding(world_flow(world, 1), SLICE_LITERAL("sip:user1@example.net"));
	assert_non_null(binding);
	assert_int_equal(binding_identity_count(binding), 2);
}

static void a_challenge_passes_and_teaches_nothing(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "");
	world_answer(world, 0, "401 Unauthorized",
	             "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\r\n");
	assert_status(world, 1, "401");
	assert_contains(world->sent[1].text, "nonce=\"n\"");
	assert_int_equal(flow_state(world_flow(world, 1)), FLOW_NEW);
}

/* TS 24.229 5.2.2.1: the registrar must understand Path; the client says for itself whether it does. */
static void path_is_required_of_the_registrar_once(void **state)
{
	static const char *const cases[][3] = {
		{"", "path", ""},
		{"Supported: path, outbound\r\n", "path", "path, outbound"},
		{"Require: PATH, gruu\r\n", "PATH, gruu", ""},
		{"Require: gruu\r\n", "path", ""},
	};
	struct world *world = *state;

	for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "q%u", i);
		world_client_register_over(world, 1, call_id, cases[i][0]);
		assert_string_equal(world_header(world->sent[0].text, "Require"), cases[i][1]);
		assert_string_equal(world_header(world->sent[0].text, "Supported"), cases[i][2]);
		assert_int_equal(world_count_lines(world->sent[0].text, "Require"), i == 3 ? 2 : 1);
		world_answer(world, 0, "403 Forbidden", "");
		world_forget_sent(world);
	}
}

static void what_the_registrar_asks_of_the_client_passes(void **state)
{
	static const char *const answers[][2] = {
		{"420 Bad Extension", "Unsupported: path\r\n"},
		{"423 Interval Too Brief", "Min-Expires: 300\r\n"},
		{"439 First Hop Lacks Outbound Support", "Supported: outbound\r\n"},
		{"305 Use Proxy", "Contact: <sip:other.example.net;lr>\r\n"},
		{"302 Moved Temporarily", "Contact: <sip:user1@192.0.2.9>;q=0.5\r\n"},
		{"380 Alternative Service", "Contact: <urn:service:sos>\r\n"},
		{"494 Security Agreement Required", "Security-Server: ipsec-3gpp;q=0.1\r\n"},
	};
	struct world *world = *state;

	for (unsigned i = 0; i < ARRAY_LENGTH(answers); i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "s%u", i);
		world_client_register_over(world, 1, call_id, "");
		world_answer(world, 0, answers[i][0], answers[i][1]);
		assert_int_equal(world->sent_count, 2);
		assert_memory_equal(world->sent[1].text + 8, answers[i][0], 3);
		assert_contains(world->sent[1].text, answers[i][1]);
		assert_int_equal(flow_state(world_flow(world, 1)), FLOW_NEW);
		world_forget_sent(world);
	}
}

static void the_answer_goes_back_with_the_clients_via_alone(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "");
	world_answer(world, 0, "200 OK",
	             "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n"
	             "P-Charging-Vector: icid-value=1\r\n");
	assert_status(world, 1, "200");
	assert_int_equal(world_count_lines(world->sent[1].text, "Via"), 1);
	assert_contains(world_header(world->sent[1].text, "Via"), "rport=10001");
	assert_lacks(world->sent[1].text, "icid-value");
	assert_int_equal(address_port(&world->sent[1].hop.remote), 10001);
}

static void a_retransmitted_register_reaches_no_sprout_twice(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "");
	world_client_register_over(world, 1, "r1", "");
	assert_int_equal(world->sent_count, 1);
	world_answer(world, 0, "200 OK", "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
	world_client_register_over(world, 1, "r1", "");
	assert_int_equal(world->sent_count, 3);
	assert_string_equal(world->sent[1].text, world->sent[2].text);
}

static void without_rport_an_unregistered_client_is_answered_at_its_sent_by(void **state)
{
	struct world *world = *state;
	struct hop hop = world_client_hop(1);

	world_packet(world, &hop,
	             "REGISTER sip:example.net SIP/2.0\r\nVia: SIP/2.0/UDP "
	             "192.0.2.1:7777;branch=z9hG4bKx\r\n"
	             "From: <sip:u@example.net>;tag=1\r\nTo: <sip:u@example.net>\r\nCall-ID: "
	             "x\r\nCSeq: 1 REGISTER\r\n"
	             "Contact: <sip:u@192.0.2.1:7777>\r\nContent-Length: 0\r\n\r\n");
	world_answer(world, 0, "401 Unauthorized", "");
	assert_int_equal(address_port(&world->sent[1].hop.remote), 7777);
	assert_string_equal(world_header(world->sent[0].text, "Max-Forwards"), "70");
}

static void register_with_a_bad_contact_is_refused(void **state)
{
	struct world *world = *state;
	struct hop hop = world_client_hop(1);

	world_packet(world, &hop,
	             "REGISTER sip:example.net SIP/2.0\r\nVia: SIP/2.0/UDP "
	             "192.0.2.1:10001;branch=z9hG4bKx;rport\r\n"
	             "From: <sip:u@example.net>;tag=1\r\nTo: <sip:u@example.net>\r\nCall-ID: "
	             "x\r\nCSeq: 1 REGISTER\r\n"
	             "Contact: <sip:u@192.0.2.1:99999>\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "400");
}

static void scene(void *arg)
{
	struct world world;

	world_init(&world, TRANSPORT_TCP);
	if (world_build(&world) == 0) {
		enum target_state up[WORLD_TARGETS] = {TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP};
		struct view *view = world_make_view(TRANSPORT_TCP, up);

		proxy_set_view(world.proxy, view);
		snapshot_release(&view->snapshot);
		world_client_register_over(&world, 1, "r1", "");
		if (world.sent_count > 0 && strncmp(world.sent[0].text, "REGISTER", 8) == 0)
			world_answer(&world, 0, "200 OK",
			             "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
		world_client_request(&world, 1, "MESSAGE", "sip:bob@example.net", "m1", "");
	}
	world_free(&world);
}

static void no_failed_allocation_breaks_a_registration(void **state)
{
	world_bears_the_end_of_memory(state, scene, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(register_gets_path_with_token_and_ob),
		world_test(path_of_a_client_behind_a_proxy_has_no_ob),
		world_test(register_goes_to_one_local_sprout_with_one_route),
		world_test(what_a_client_says_of_its_standing_is_taken_away),
		world_test(credentials_are_pending_until_their_owner_is_registered_here),
		world_test(another_private_identity_is_not_vouched_for),
		world_test(nothing_of_a_request_uri_becomes_a_credential),
		world_test(a_refresh_without_credentials_names_the_owner),
		world_test(nobody_is_vouched_for_on_another_flow),
		world_test(what_a_client_says_of_its_integrity_is_gone_in_every_spelling),
		world_test(a_200_makes_the_flow_registered),
		world_test(a_challenge_passes_and_teaches_nothing),
		world_test(path_is_required_of_the_registrar_once),
		world_test(what_the_registrar_asks_of_the_client_passes),
		world_test(the_answer_goes_back_with_the_clients_via_alone),
		world_test(a_retransmitted_register_reaches_no_sprout_twice),
		world_test(without_rport_an_unregistered_client_is_answered_at_its_sent_by),
		world_test(register_with_a_bad_contact_is_refused),
		cmocka_unit_test(no_failed_allocation_breaks_a_registration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
