/* Which header crosses which way: what a client says of itself never reaches the core, what the core tells
 * itself never reaches a client. */
#include "support/proxy_world.h"

/*
 * What may never cross, each with the paragraph that says so. Said from the RFCs, not from our table: a row that
 * somebody loosens there fails here. Each line has a mark in its value.
 */
static const char *const never_to_core[] = {
	/* RFC 3325 5: "a proxy MUST NOT forward an identity from an untrusted node" */
	"P-Asserted-Identity: <sip:mark@example.net>\r\n",
	"p-asserted-identity : <sip:mark@example.net>, <tel:+1mark>\r\n",
	"P-ASSERTED-IDENTITY: <sip:mark@example.net>\r\nP-Asserted-Identity: <tel:+1mark>\r\n",
	/* RFC 3325 9.2: the first trusted proxy removes it */
	"P-Preferred-Identity: <sip:mark@example.net>\r\n",
	/* RFC 6050 4.1: not from outside of the trust domain */
	"P-Asserted-Service: urn:mark\r\n",
	/* RFC 7315 4.1, 4.2, 4.3, 4.5, 4.6: each says who alone inserts it, and it is no client */
	"P-Associated-URI: <sip:mark@example.net>\r\n",
	"P-Called-Party-ID: <sip:mark@example.net>\r\n",
	"P-Visited-Network-ID: mark\r\n",
	"P-Charging-Function-Addresses: ccf=mark\r\n",
	"P-Charging-Vector: icid-value=mark\r\n",
	/* RFC 7315 4.4 with 24.229 5.2.1: a client does not speak for the network */
	"P-Access-Network-Info: IEEE-802.11;i-wlan-node-id=mark;network-provided\r\n",
	"P-Access-Network-Info: IEEE-802.11, 3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=mark ;NP\r\n",
	"P-Access-Network-Info: 3GPP-E-UTRAN-FDD;np;x=\"mark\"\r\n",
	/* RFC 5002 4, 4457 4, 5502 6: within the trust domain */
	"P-Profile-Key: <sip:mark@example.net>\r\n",
	"P-User-Database: <aaa://mark>\r\n",
	"P-Served-User: <sip:mark@example.net>\r\n",
	/* RFC 7316 7 */
	"P-Private-Network-Indication: mark.example\r\n",
	/* RFC 5503 4 to 7: not from untrusted user agents */
	"P-DCS-Trace-Party-ID: <sip:mark@example.net>\r\n",
	"P-DCS-OSPS: mark\r\n",
	"P-DCS-Billing-Info: 123/mark@example\r\n",
	"P-DCS-LAES: mark.example:1\r\n",
	"P-DCS-Redirect: <sip:mark@example.net>\r\n",
	/* RFC 6809 4.2: of proxies and registrars */
	"Feature-Caps: *;+g.mark\r\n",
	/* RFC 4412 11: priority is for those who are authorised */
	"Resource-Priority: wps.mark\r\n",
	/* RFC 7090 5: only the emergency network calls back */
	"Priority: psap-callback\r\nX-not: important\r\n",
	/* 24.229 7.2.11, 7.2.12, 7.2.13, 7.2.14, 7.2.17: between nodes of the core */
	"Restoration-Info: mark\r\n",
	"Relayed-Charge: mark\r\n",
	"Resource-Share: mark\r\n",
	"Service-Interact-Info: mark\r\n",
	"Response-Source: mark\r\n",
	/* RFC 3327 5.1, 3608 5 */
	"Path: <sip:mark@192.0.2.66;lr>\r\n",
	"Service-Route: <sip:mark@192.0.2.66;lr>\r\n",
	"Remote-Party-ID: <sip:mark@example.net>\r\n",
	/* 24.229 5.2.2: the P-CSCF alone sets it */
	"Authorization: Digest username=\"u\", integrity-protected=\"mark\"\r\n",
	"Proxy-Authorization: Digest username=\"u\",Integrity-Protected=mark, response=\"r\"\r\n",
	"Authorization: Digest username=\"u\"\r\nAuthorization: Digest "
	"integrity-protected=mark\r\n",
};

static void assert_no_mark(const char *text)
{
	assert_lacks(text, "mark");
	assert_lacks(text, "psap-callback");
}

static void nothing_of_a_clients_standing_reaches_the_core(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(never_to_core); i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "m%u", i);
		world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", call_id,
		                     never_to_core[i]);
		assert_int_equal(world->sent_count, 1);
		assert_no_mark(world->sent[0].text);
		world_answer(world, 0, "200 OK", "");
		world_forget_sent(world);
	}
}

static void nor_with_a_register(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < ARRAY_LENGTH(never_to_core); i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "r%u", i);
		world_client_register_over(world, 1, call_id, never_to_core[i]);
		assert_int_equal(world->sent_count, 1);
		assert_no_mark(world->sent[0].text);
		world_answer(world, 0, "403 Forbidden", "");
		world_forget_sent(world);
	}
}

/* The client answers sent[0] as RFC 3261 12.1.1 says: with the Record-Route it got. */
static void answer_as_callee(struct world *world, const char *status, const char *lines)
{
	char all[8192];
	size_t n = 0;

	for (const char *at = world->sent[0].text; (at = strstr(at, "\r\nRecord-Route: ")) != NULL;
	     at += 2)
		n += (size_t)snprintf(all + n, sizeof(all) - n, "%.*s\r\n",
		                      (int)(strstr(at + 2, "\r\n") - at - 2), at + 2);
	snprintf(all + n, sizeof(all) - n, "%s", lines);
	world_answer(world, 0, status, all);
}

/* Provisional, final, repeated, late and refusing answers alike. */
static void nor_with_an_answer(void **state)
{
	static const char *const statuses[] = {"183 Session Progress", "200 OK", "200 OK",
	                                       "486 Busy Here"};
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(never_to_core); i++) {
		if (strncmp(never_to_core[i], "Priority", 8) == 0)
			continue; /* no header of an answer */
		for (unsigned last = 2; last < 4; last++) {
			char call_id[16];
			unsigned sent = 1;

			snprintf(call_id, sizeof(call_id), "d%u.%u", i, last);
			world_core_to_client(world, 1, "INVITE", call_id, "");
			for (unsigned s = 0; s <= last; s++) {
				if (last == 3 && s > 0 && s < 3)
					continue;
				answer_as_callee(world, statuses[s], never_to_core[i]);
				assert_true(world->sent_count > sent);
				for (; sent < world->sent_count; sent++)
					assert_no_mark(world->sent[sent].text);
			}
			world_forget_sent(world);
		}
	}
}

/* The same toward a client. */
static const char *const never_to_client[] = {
	/* RFC 7315 4.4, 5.4: "proxies at the border remove it" */
	"P-Access-Network-Info: 3GPP-E-UTRAN-FDD;mark\r\n",
	"Cellular-Network-Info: mark\r\n",
	/* RFC 7315 4.3, 4.5, 4.6 */
	"P-Visited-Network-ID: mark\r\n",
	"P-Charging-Function-Addresses: ccf=mark\r\n",
	"p-charging-vector: icid-value=mark\r\n",
	"P-Charging-Vector: icid-value=mark\r\nP-Charging-Vector : icid-value=mark\r\n",
	/* RFC 5002 4, 4457 4, 5502 6, 6050 4.1, 7316 7, 5318 3 */
	"P-Profile-Key: <sip:mark@example.net>\r\n",
	"P-User-Database: <aaa://mark>\r\n",
	"P-Served-User: <sip:mark@example.net>\r\n",
	"P-Asserted-Service: urn:mark\r\n",
	"P-Private-Network-Indication: mark.example\r\n",
	"P-Refused-URI-List: sip:mark@example.net\r\n",
	/* RFC 3325 9.2: from a client to its proxy only */
	"P-Preferred-Identity: <sip:mark@example.net>\r\n",
	/* RFC 5503: billing, tapping and tracing are nothing for user agents */
	"P-DCS-Trace-Party-ID: <sip:mark@example.net>\r\n",
	"P-DCS-Billing-Info: 123/mark@example\r\n",
	"P-DCS-LAES: mark.example:1\r\n",
	"P-DCS-Redirect: <sip:mark@example.net>\r\n",
	/* 24.229 7.2.11, 7.2.12, 7.2.13, 7.2.14, 7.2.17 */
	"Restoration-Info: mark\r\n",
	"Relayed-Charge: mark\r\n",
	"Resource-Share: mark\r\n",
	"Service-Interact-Info: mark\r\n",
	"Response-Source: mark\r\n",
	/* the credentials of others */
	"Authorization: Digest username=\"mark\"\r\n",
	"Proxy-Authorization: Digest username=\"mark\"\r\n",
	/* RFC 3325 7 */
	"P-Asserted-Identity: <sip:mark@example.net>\r\nPrivacy: id\r\n",
	"Privacy: user;ID; critical\r\nP-Asserted-Identity: <sip:mark@example.net>\r\n",
	"Privacy: none\r\nPrivacy: id\r\nRemote-Party-ID: <sip:mark@example.net>\r\n",
	"Identity: \"mark\"\r\nIdentity-Info: <https://mark>;alg=rsa-sha1\r\nPrivacy: id\r\n",
	/* RFC 3323 5.3, 5.1 */
	"s: mark\r\nb: <sip:mark@example.net>\r\nPrivacy: user\r\n",
	"Call-Info: <http://mark/>\r\nOrganization: mark\r\nUser-Agent: mark\r\n"
	"Reply-To: <sip:mark@a.example>\r\nIn-Reply-To: mark@a\r\nPrivacy: user\r\n",
	"Server: mark\r\nOrganization: mark\r\nPrivacy: header\r\n",
	"Warning: 399 mark \"text\"\r\nPrivacy: header\r\n",
	/* RFC 7044 10.1.2 */
	"History-Info: \"mark\" <sip:mark@example.net>;index=1\r\nPrivacy: history\r\n",
	"History-Info: <sip:mark@example.net?Privacy=history&Reason=mark>;index=1, "
	"<sip:open@example.net>;index=1.1\r\n",
	"Diversion: <sip:mark@example.net>;reason=busy\r\nPrivacy: history\r\n",
};

static void nothing_of_the_cores_own_reaches_a_client(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(never_to_client); i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "d%u", i);
		world_core_to_client(world, 1, "MESSAGE", call_id,
		                     strstr(never_to_client[i], "critical") == NULL
		                             ? never_to_client[i]
		                             : "");
		assert_int_equal(world->sent_count, 1);
		assert_lacks(world->sent[0].text, "mark");
		world_answer(world, 0, "200 OK", "");
		world_forget_sent(world);
		world_client_request(world, 1, "INVITE", "sip:bob@example.net", call_id, "");
		world_answer(world, 0, "183 Session Progress", never_to_client[i]);
		world_answer(world, 0, "200 OK", never_to_client[i]);
		world_answer(world, 0, "200 OK", never_to_client[i]);
		assert_int_equal(world->sent_count, 4);
		for (unsigned s = 1; s < 4; s++)
			assert_lacks(world->sent[s].text, "mark");
		world_forget_sent(world);
	}
}

/* RFC 3310, 24.229 5.2.2.1: the keys of a challenge end here, of whichever method, wherever they stand. */
static void the_keys_of_a_challenge_stay_here(void **state)
{
	static const char *const challenges[][2] = {
		{"WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=AKAv1-MD5, "
	         "ck=\"00112233445566778899aabbccddeeff\", "
	         "ik=\"ffeeddccbbaa99887766554433221100\"\r\n",
	         "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=AKAv1-MD5\r\n"},
		{"Proxy-Authenticate: Digest CK=0011, realm=\"ck=1\",Ik=2233 ,nonce=\"n\"\r\n",
	         "Proxy-Authenticate: Digest realm=\"ck=1\",nonce=\"n\"\r\n"},
		{"WWW-Authenticate: Digest realm=\"a\", nonce=\"n\", ik=\"1\"\r\n"
	         "www-authenticate:   Digest  ck = \"1\" , realm=\"b\",\tnonce=\"n\"\r\n",
	         "WWW-Authenticate: Digest realm=\"a\", nonce=\"n\"\r\n"
	         "www-authenticate: Digest  realm=\"b\",\tnonce=\"n\"\r\n"},
		{"Authentication-Info: nextnonce=\"n\", rspauth=\"00\"\r\n",
	         "Authentication-Info: nextnonce=\"n\", rspauth=\"00\"\r\n"},
	};
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < 3 * ARRAY_LENGTH(challenges); i++) {
		const char *const *challenge = challenges[i / 3];
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "c%u", i);
		if (i % 3 == 0)
			world_client_register_over(world, 1, call_id, "");
		else
			world_client_request(world, 1, i % 3 == 1 ? "INVITE" : "MESSAGE",
			                     "sip:bob@example.net", call_id, "");
		world_answer(world, 0, i % 2 == 0 ? "401 Unauthorized" : "407 Proxy", challenge[0]);
		assert_true(world->sent_count >= 2);
		assert_contains(world->sent[world->sent_count - 1].text, challenge[1]);
		world_forget_sent(world);
	}
}

/* RFC 3323 5: whom a kind of privacy is critical to is told that nobody gives it. */
static void critical_privacy_that_nobody_gives_is_refused(void **state)
{
	static const struct {
		const char *privacy, *status;
	} cases[] = {
		{"session;critical", "500"}, {"critical; header", "500"}, {"user;critical", "500"},
		{"id;critical", NULL},       {"history;critical", NULL},  {"session", NULL},
		{"header;user", NULL},       {"critical", NULL},          {"none", NULL},
	};
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
		char call_id[16], lines[128];

		snprintf(call_id, sizeof(call_id), "p%u", i);
		snprintf(lines, sizeof(lines), "Privacy: %s\r\n", cases[i].privacy);
		world_core_to_client(world, 1, "MESSAGE", call_id, lines);
		assert_int_equal(world->sent_count, 1);
		if (cases[i].status != NULL) {
			assert_status(world, 0, "500");
		} else {
			assert_contains(world->sent[0].text, lines); /* passes as it was said */
			world_answer(world, 0, "200 OK", "");
		}
		world_forget_sent(world);
	}
	world_core_to_client(
		world, 1, "BYE", "b1",
		"To: <sip:user1@example.net>;tag=callee\r\nPrivacy: session;critical\r\n");
	assert_memory_equal(world->sent[0].text, "BYE ", 4);
}

static void what_nobody_hides_keeps_its_bytes(void **state)
{
	static const char *const lines = "History-Info:  <sip:a@example.net> "
					 ";index=1,<sip:b@example.net?Privacy=none>;index=1.1\r\n"
					 "Subject:  a  b\r\nPrivacy: id ;  "
					 "critical\r\nP-Called-Party-ID: <sip:c@example.net>\r\n";
	struct world *world = *state;

	world_register(world, 1);
	world_core_to_client(world, 1, "MESSAGE", "d1", lines);
	assert_contains(world->sent[0].text, lines);
	world_forget_sent(world);
	world_core_to_client(world, 1, "MESSAGE", "d2",
	                     "History-Info: <sip:x@example.net?privacy=history>;index=1;mp=2, "
	                     "<sip:y@example.net>;index=1.1\r\n");
	assert_contains(world->sent[0].text,
	                "History-Info: <sip:anonymous@anonymous.invalid>;index=1;mp=2, "
	                "<sip:y@example.net>;index=1.1\r\n");
}

/* ---- who answers: RFC 3325 5, 24.229 5.2.6.4.4 ---- */

static void who_answers_is_asserted(void **state)
{
	static const struct {
		const char *request, *answer, *asserted;
	} cases[] = {
		{"", "", "<sip:user1@example.net>"},
		{"P-Called-Party-ID: <tel:+15550001>\r\n", "", "<tel:+15550001>"},
		{"To: <tel:+15550001>\r\n", "", "<tel:+15550001>"},
		{"P-Called-Party-ID: <sip:other@example.net>\r\n", "", "<sip:user1@example.net>"},
		{"", "P-Preferred-Identity: <tel:+15550001>\r\n", "<tel:+15550001>"},
		{"", "P-Preferred-Identity: <sip:boss@example.net>\r\n", "<sip:user1@example.net>"},
		{"", "P-Asserted-Identity: <sip:boss@example.net>\r\n", "<sip:user1@example.net>"},
		{"To: <sip:user1@example.net>;tag=callee\r\n", "", ""},
		{"To: <sip:user1@example.net>;tag=callee\r\n",
	         "P-Preferred-Identity: <tel:+15550001>\r\n", "<tel:+15550001>"},
	};
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "w%u", i);
		world_core_to_client(world, 1, "INVITE", call_id, cases[i].request);
		answer_as_callee(world, "180 Ringing", cases[i].answer);
		answer_as_callee(world, "200 OK", cases[i].answer);
		answer_as_callee(world, "200 OK", cases[i].answer);
		assert_int_equal(world->sent_count, 4);
		for (unsigned s = 1; s < 4; s++) {
			const char *text = world->sent[s].text;

			assert_string_equal(world_header(text, "P-Asserted-Identity"),
			                    cases[i].asserted);
			assert_int_equal(world_count_lines(text, "P-Asserted-Identity"),
			                 cases[i].asserted[0] != '\0');
			assert_lacks(text, "boss");
		}
		world_forget_sent(world);
	}
}

static void nobody_is_asserted_in_a_refusal_or_among_several(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_core_to_client(world, 1, "MESSAGE", "w1", "");
	world_answer(world, 0, "486 Busy Here", "");
	assert_lacks(world->sent[1].text, "P-Asserted-Identity");
	world_forget_sent(world);
	world_client_request(world, 1, "REGISTER", "sip:example.net", "second",
	                     "To: <sip:other@example.net>\r\n"
	                     "Contact: <sip:other@192.0.2.1:10001>\r\n");
	world_answer(world, 0, "200 OK", "Contact: <sip:other@192.0.2.1:10001>;expires=60\r\n");
	world_forget_sent(world);
	world_core_to_client(world, 1, "MESSAGE", "w2", "");
	world_answer(world, 0, "200 OK", "");
	assert_lacks(world->sent[1].text, "P-Asserted-Identity");
	world_forget_sent(world);
	world_core_to_client(world, 1, "MESSAGE", "w3", "To: <sip:other@example.net>\r\n");
	world_answer(world, 0, "200 OK", "");
	assert_string_equal(world_header(world->sent[1].text, "P-Asserted-Identity"),
	                    "<sip:other@example.net>");
}

/* ---- our own words ---- */

/* 8.2.6: an answer of ours has the request's Via, From, To, Call-ID and CSeq, and nothing else of it. */
static void our_own_errors_repeat_nothing(void **state)
{
	static const char *const all =
		"Max-Forwards: 0\r\nP-Charging-Vector: icid-value=mark\r\n"
		"P-Charging-Function-Addresses: ccf=mark\r\nP-Asserted-Identity: <sip:mark@a>\r\n"
		"P-Access-Network-Info: mark\r\nAuthorization: Digest username=\"mark\"\r\n"
		"Record-Route: <sip:mark@192.0.2.9;lr>\r\nContact: <sip:mark@192.0.2.9>\r\n"
		"X-Any: mark\r\nTimestamp: 54321\r\n";
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "e1", all);
	assert_status(world, 0, "483");
	world_core_to_client(world, 1, "MESSAGE", "e2", all);
	assert_status(world, 1, "483");
	world_client_request(world, 2, "MESSAGE", "sip:bob@example.net", "e3", all + 17);
	assert_status(world, 2, "403");
	world_set_states(world, TARGET_DOWN, TARGET_DOWN, TARGET_DOWN, TARGET_DOWN);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "e4", all + 17);
	world_walk(world, 40000);
	assert_memory_equal(world->sent[world->sent_count - 1].text, "SIP/2.0 50", 10);
	for (unsigned i = 0; i < world->sent_count; i++) {
		if (strncmp(world->sent[i].text, "SIP/2.0 ", 8) != 0)
			continue;
		assert_lacks(world->sent[i].text, "mark");
		if (strncmp(world->sent[i].text, "SIP/2.0 100", 11) != 0)
			assert_lacks(world->sent[i].text, "Timestamp");
	}
}

static void an_identity_that_nobody_hides_reaches_the_client(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_core_to_client(world, 1, "MESSAGE", "d1",
	                     "P-Asserted-Identity: <sip:caller@example.net>\r\nPrivacy: none\r\n");
	assert_contains(world->sent[0].text, "P-Asserted-Identity: <sip:caller@example.net>\r\n");
}

static void other_headers_cross_byte_for_byte(void **state)
{
	static const char *const lines =
		"X-Odd:   two  blanks ,and\ta tab\r\n"
		"Proxy-Authorization: Digest username=\"a, b\", response=\"00\"\r\n"
		"Subject: \xc3\xa4\xff\r\n";
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "m1", lines);
	assert_contains(world->sent[0].text, lines);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(nothing_of_a_clients_standing_reaches_the_core),
		world_test(nor_with_a_register),
		world_test(nor_with_an_answer),
		world_test(nothing_of_the_cores_own_reaches_a_client),
		world_test(the_keys_of_a_challenge_stay_here),
		world_test(critical_privacy_that_nobody_gives_is_refused),
		world_test(what_nobody_hides_keeps_its_bytes),
		world_test(who_answers_is_asserted),
		world_test(nobody_is_asserted_in_a_refusal_or_among_several),
		world_test(our_own_errors_repeat_nothing),
		world_test(an_identity_that_nobody_hides_reaches_the_client),
		world_test(other_headers_cross_byte_for_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
