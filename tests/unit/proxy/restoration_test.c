/* When no Sprout can serve: 503 for plain clients, 504 and a new registration for IMS clients. */
#include "support/peer_world.h"

static const char *const plain = "Contact: <sip:user1@192.0.2.1:10001>\r\n";
static const char *const ims = "Contact: <sip:user1@192.0.2.1:10001>\r\n"
			       "P-Access-Network-Info: 3GPP-E-UTRAN-FDD\r\n";

/* Registered, and then all Sprouts die. */
static int dead_setup(void **state)
{
	int err = world_setup(state);
	struct world *world = *state;

	world_register(world, 1);
	for (unsigned i = 0; i < WORLD_TARGETS; i++)
		world->open_error[i] = -ECONNREFUSED;
	world_set_states(world, TARGET_DOWN, TARGET_DOWN, TARGET_DOWN, TARGET_DOWN);
	return err;
}

#define dead_test(name) cmocka_unit_test_setup_teardown(name, dead_setup, world_teardown)

static void let_them_live(struct world *world)
{
	memset(world->open_error, 0, sizeof(world->open_error));
	world_set_states(world, TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP);
	world_forget_sent(world);
}

static void a_plain_client_gets_503_and_may_try_again(void **state)
{
	struct world *world = *state;

	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", plain);
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "503");
	assert_contains(world->sent[0].text, "\r\nRetry-After: ");
	let_them_live(world);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c2", plain);
	assert_true(world_target_of(&world->sent[0].hop.remote) >= 0);
}

static void an_ims_client_is_told_to_register_anew(void **state)
{
	struct world *world = *state;
	char path[256], length[32];
	const char *text, *body;

	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", ims);
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "504");
	text = world->sent[0].text;
	assert_string_equal(world_header(text, "Content-Type"), "application/3gpp-ims+xml");
	snprintf(path, sizeof(path), "<sip:%s@127.0.0.1:5058;transport=tcp;lr;ob>",
	         flow_token_text(world_flow(world, 1)));
	assert_string_equal(world_header(text, "P-Asserted-Identity"), path);
	body = strstr(text, "\r\n\r\n") + 4;
	snprintf(length, sizeof(length), "%zu", strlen(body));
	assert_string_equal(world_header(text, "Content-Length"), length);
	assert_contains(body, "<ims-3gpp version=\"1\"><alternative-service>"
	                      "<type>restoration</type>");
	assert_contains(body, "<action>initial-registration</action>");
}

static void until_it_has_only_register_is_taken(void **state)
{
	struct world *world = *state;

	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", ims);
	let_them_live(world);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "m1", "");
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "504");
	assert_contains(world->sent[0].text, "initial-registration");
	world_forget_sent(world);
	world_client_register_over(world, 1, "reg-again", "");
	assert_memory_equal(world->sent[0].text, "REGISTER ", 9);
	world_answer(world, 0, "200 OK",
	             "Contact: <sip:user1@192.0.2.1:10001>;expires=3600\r\n"
	             "P-Associated-URI: <sip:user1@example.net>, <tel:+15550001>\r\n"
	             "Service-Route: <sip:orig@127.0.1.1:5054;transport=tcp;lr;orig>\r\n");
	world_forget_sent(world);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "m2", "");
	assert_memory_equal(world->sent[0].text, "MESSAGE ", 8);
}

static void a_refused_registration_changes_nothing(void **state)
{
	struct world *world = *state;

	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", ims);
	let_them_live(world);
	world_client_register_over(world, 1, "reg-again", "");
	world_answer(world, 0, "401 Unauthorized",
	             "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n");
	world_forget_sent(world);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "m1", "");
	assert_status(world, 0, "504");
}

static void other_clients_are_not_concerned(void **state)
{
	struct world *world = *state;

	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", ims);
	let_them_live(world);
	world_register(world, 2);
	world_client_request(world, 2, "MESSAGE", "sip:bob@example.net", "m1", "");
	assert_memory_equal(world->sent[0].text, "MESSAGE ", 8);
}

static void silence_until_the_deadline_is_a_lost_s_cscf_too(void **state)
{
	struct world *world = *state;
	bool told = false;

	let_them_live(world);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", ims);
	world_walk(world, 9000);
	for (unsigned i = 0; i < world->sent_count; i++)
		told = told || (strncmp(world->sent[i].text, "SIP/2.0 504 ", 12) == 0 &&
		                strstr(world->sent[i].text, "initial-registration") != NULL);
	assert_true(told);
}

/* Who owns a silent phone must not be able to take another's registration away. */
static void a_silent_callee_is_no_lost_s_cscf(void **state)
{
	struct world *world = *state;

	let_them_live(world);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "m1", ims);
	world_walk(world, 9000);
	for (unsigned i = 0; i < world->sent_count; i++)
		assert_lacks(world->sent[i].text, "initial-registration");
	world_forget_sent(world);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", ims);
	assert_memory_equal(world->sent[0].text, "INVITE ", 7);
}

static void an_overloaded_core_is_no_lost_one(void **state)
{
	struct world *world = *state;
	unsigned n;

	let_them_live(world);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", ims);
	for (n = 0; n < world->sent_count && world->sent[n].hop.side == SIDE_CORE; n++)
		world_answer(world, n, "503 Service Unavailable", "Retry-After: 7\r\n");
	assert_lacks(world->sent[world->sent_count - 1].text, "3gpp");
	assert_status(world, world->sent_count - 1, "503");
}

static void the_operator_has_the_last_word(void **state)
{
	struct world *world = *state;

	world->settings.restoration_ims = RESTORATION_NEVER;
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1", ims);
	assert_status(world, 0, "503");
	world->settings.restoration_ims = RESTORATION_ALWAYS;
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c2", plain);
	assert_status(world, 1, "504");
}

static void a_registration_itself_is_answered_503(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "P-Access-Network-Info: 3GPP-E-UTRAN-FDD\r\n");
	assert_status(world, 0, "503");
}

static void scene(void *arg)
{
	struct world world;

	world_init(&world, TRANSPORT_TCP);
	if (world_build(&world) == 0) {
		world_set_states(&world, TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP);
		world_client_register_over(&world, 1, "r", "");
		if (world.sent_count == 1)
			world_answer(&world, 0, "200 OK",
			             "Contact: <sip:user1@192.0.2.1:10001>;expires=3600\r\n");
		world_set_states(&world, TARGET_DOWN, TARGET_DOWN, TARGET_DOWN, TARGET_DOWN);
		for (unsigned i = 0; i < WORLD_TARGETS; i++)
			world.open_error[i] = -ECONNREFUSED;
		world_client_request(&world, 1, "INVITE", "sip:bob@example.net", "c1", ims);
		world_client_request(&world, 1, "MESSAGE", "sip:bob@example.net", "m1", ims);
		world_walk(&world, 70000);
		assert_int_equal(proxy_busy(world.proxy), 0);
	}
	world_free(&world);
}

static void no_failed_allocation_leaves_a_request_without_an_end(void **state)
{
	world_bears_the_end_of_memory(state, scene, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		dead_test(a_plain_client_gets_503_and_may_try_again),
		dead_test(an_ims_client_is_told_to_register_anew),
		dead_test(until_it_has_only_register_is_taken),
		dead_test(a_refused_registration_changes_nothing),
		dead_test(other_clients_are_not_concerned),
		dead_test(silence_until_the_deadline_is_a_lost_s_cscf_too),
		dead_test(a_silent_callee_is_no_lost_s_cscf),
		dead_test(an_overloaded_core_is_no_lost_one),
		dead_test(the_operator_has_the_last_word),
		dead_test(a_registration_itself_is_answered_503),
		cmocka_unit_test(no_failed_allocation_leaves_a_request_without_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
