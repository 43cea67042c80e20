/* Which header crosses which way: what a client says of itself never reaches the core, what the core tells
 * itself never reaches a client. */
#include "support/proxy_world.h"

/* Each line, with a mark in its value, from a registered client. */
static const char *const never_to_core[] = {
	"P-Asserted-Identity: <sip:mark@example.net>\r\n",
	"P-Asserted-Service: urn:mark\r\n",
	"P-Associated-URI: <sip:mark@example.net>\r\n",
	"P-Called-Party-ID: <sip:mark@example.net>\r\n",
	"P-Charging-Function-Addresses: ccf=mark\r\n",
	"P-Charging-Vector: icid-value=mark\r\n",
	"P-Profile-Key: <sip:mark@example.net>\r\n",
	"P-Served-User: <sip:mark@example.net>\r\n",
	"P-User-Database: <aaa://mark>\r\n",
	"Path: <sip:mark@192.0.2.66;lr>\r\n",
	"Service-Route: <sip:mark@192.0.2.66;lr>\r\n",
	"Remote-Party-ID: <sip:mark@example.net>\r\n",
	"p-asserted-identity : <sip:mark@example.net>\r\n",
	"Authorization: Digest username=\"u\", integrity-protected=\"mark\"\r\n",
	"Proxy-Authorization: Digest username=\"u\",Integrity-Protected=mark, response=\"r\"\r\n",
	"Authorization: Digest username=\"u\"\r\nAuthorization: Digest "
	"integrity-protected=mark\r\n",
};

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
		assert_lacks(world->sent[0].text, "mark");
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
		assert_lacks(world->sent[0].text, "mark");
		world_answer(world, 0, "403 Forbidden", "");
		world_forget_sent(world);
	}
}

static void nor_with_an_answer(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(never_to_core); i++) {
		char call_id[16];

		if (strstr(never_to_core[i], "uthorization") != NULL)
			continue; /* no header of an answer */
		snprintf(call_id, sizeof(call_id), "d%u", i);
		world_core_to_client(world, 1, "MESSAGE", call_id, "");
		world_answer(world, 0, "200 OK", never_to_core[i]);
		assert_int_equal(world->sent_count, 2);
		assert_status(world, 1, "200");
		assert_lacks(world->sent[1].text, "mark");
		world_forget_sent(world);
	}
}

static const char *const never_to_client[] = {
	"P-Access-Network-Info: 3GPP-E-UTRAN-FDD;mark\r\n",
	"P-Charging-Function-Addresses: ccf=mark\r\n",
	"P-Charging-Vector: icid-value=mark\r\n",
	"P-Profile-Key: <sip:mark@example.net>\r\n",
	"P-Served-User: <sip:mark@example.net>\r\n",
	"P-User-Database: <aaa://mark>\r\n",
	"P-Visited-Network-ID: mark\r\n",
};

static void nothing_of_the_cores_own_reaches_a_client(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < ARRAY_LENGTH(never_to_client); i++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "d%u", i);
		world_core_to_client(world, 1, "MESSAGE", call_id, never_to_client[i]);
		assert_int_equal(world->sent_count, 1);
		assert_lacks(world->sent[0].text, "mark");
		world_answer(world, 0, "200 OK", "");
		world_forget_sent(world);
		world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", call_id, "");
		world_answer(world, 0, "200 OK", never_to_client[i]);
		assert_int_equal(world->sent_count, 2);
		assert_lacks(world->sent[1].text, "mark");
		world_forget_sent(world);
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
		world_test(an_identity_that_nobody_hides_reaches_the_client),
		world_test(other_headers_cross_byte_for_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
