/* Which target comes next: neighbours with life, the other site, dialogs, challenges, the retry budget. */
#include "support/proxy_world.h"

static const enum target_state all_up[WORLD_TARGETS] = {TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP};

static unsigned target_of(const struct world *world, unsigned index)
{
	int target = world_target_of(&world->sent[index].hop.remote);

	assert_true(target >= 0);
	return (unsigned)target;
}

static void lose(struct world *world, unsigned index, int error)
{
	struct hop hop = world->sent[index].hop;

	txn_table_hop_lost(world->txns, &hop, error);
	world_walk(world, 1);
}

/* A request in a dialog whose route set names this Sprout. */
static void in_dialog(struct world *world, const char *method, unsigned sprout, const char *call_id)
{
	char lines[512];
	char beyond[128];

	snprintf(beyond, sizeof(beyond), "<sip:%s:5054;transport=tcp;lr>",
	         world_target_host(sprout));
	snprintf(lines, sizeof(lines), "To: <sip:bob@example.net>;tag=b\r\n%s",
	         world_route(world, 1, beyond));
	world_client_request(world, 1, method, "sip:bob@203.0.113.5", call_id, lines);
}

static void a_silent_neighbour_with_work_outstanding_is_passed_over(void **state)
{
	struct world *world = *state;
	unsigned first;

	/* Users enough that both local Sprouts have work that nobody answers. */
	for (unsigned user = 1; user <= 12; user++) {
		char call_id[16];

		snprintf(call_id, sizeof(call_id), "r%u", user);
		world_client_register_over(world, user, call_id, "");
	}
	assert_int_equal(world->sent_count, 12);
	first = target_of(world, 0);
	for (unsigned i = 1; i < 12; i++)
		if (target_of(world, i) != first)
			first = UINT32_MAX;
	assert_int_equal(first, UINT32_MAX);
	world_walk(world, 501);
	assert_int_equal(world->sent_count, 24);
	for (unsigned i = 12; i < 24; i++)
		assert_true(target_of(world, i) >= 2); /* straight to the other site */
}

static void two_refusals_end_a_sites_turn(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "");
	lose(world, 0, ECONNREFUSED);
	assert_true(target_of(world, 1) < 2);
	lose(world, 1, ECONNREFUSED);
	assert_true(target_of(world, 2) >= 2);
}

static void a_request_in_a_dialog_goes_to_a_neighbour_of_its_dead_sprout(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_set_states(world, TARGET_UP, TARGET_UP, TARGET_DOWN, TARGET_UP);
	in_dialog(world, "BYE", 2, "c1");
	assert_int_equal(world->sent_count, 1);
	assert_int_equal(target_of(world, 0), 3); /* same site as the dead one */
	assert_contains(world_header(world->sent[0].text, "Route"), world_target_host(2));
}

static void a_request_in_a_dialog_of_a_dead_site_goes_to_the_other(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_set_states(world, TARGET_UP, TARGET_UP, TARGET_DOWN, TARGET_DOWN);
	in_dialog(world, "BYE", 2, "c1");
	assert_true(target_of(world, 0) < 2);
	assert_contains(world_header(world->sent[0].text, "Route"), world_target_host(2));
}

static void a_bye_tries_everything(void **state)
{
	struct world *world = *state;
	bool seen[WORLD_TARGETS] = {false};

	world_register(world, 1);
	world_set_states(world, TARGET_UP, TARGET_DOWN, TARGET_DOWN, TARGET_DOWN);
	in_dialog(world, "BYE", 0, "c1");
	for (unsigned i = 0; i < WORLD_TARGETS; i++) {
		assert_int_equal(world->sent_count, i + 1);
		seen[target_of(world, i)] = true;
		lose(world, i, ECONNREFUSED);
	}
	for (unsigned i = 0; i < WORLD_TARGETS; i++)
		assert_true(seen[i]);
	assert_status(world, 4, "503");
}

static void a_service_route_of_a_dead_sprout_leads_next_door(void **state)
{
	struct world *world = *state;

	world_register(world, 1); /* its Service-Route names target 0 */
	world_set_states(world, TARGET_DOWN, TARGET_UP, TARGET_UP, TARGET_UP);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "m1", "");
	assert_int_equal(target_of(world, 0), 1);
	assert_contains(world_header(world->sent[0].text, "Route"), "127.0.1.1:5054");
}

static void a_request_leaves_its_target_when_the_others_say_that_it_is_dead(void **state)
{
	struct world *world = *state;
	unsigned first;

	world_client_register_over(world, 1, "r1", "");
	assert_int_equal(world->sent_count, 1);
	first = target_of(world, 0);
	world_set_states(world, first == 0 ? TARGET_DOWN : TARGET_UP,
	                 first == 1 ? TARGET_DOWN : TARGET_UP, TARGET_UP, TARGET_UP);
	fake_loop_walk(world->loop, 1);
	assert_int_equal(world->sent_count, 2);
	assert_int_not_equal(target_of(world, 1), first);
	world_set_states(world, first == 0 ? TARGET_DOWN : TARGET_UP,
	                 first == 1 ? TARGET_DOWN : TARGET_UP, TARGET_UP, TARGET_DOWN);
	fake_loop_walk(world->loop, 1);
	assert_int_equal(world->sent_count, 2); /* it is told once, and not of others */
	world_answer(world, 0, "200 OK", "");   /* late, and still an answer */
	assert_status(world, 2, "200");
}

static void the_answer_to_a_challenge_goes_to_who_made_it(void **state)
{
	struct world *world = *state;
	unsigned maker;

	world_client_register_over(world, 1, "r1", "");
	lose(world, 0, ECONNREFUSED);
	lose(world, 1, ECONNREFUSED);
	maker = target_of(world, 2);
	world_answer(world, 2, "401 Unauthorized",
	             "WWW-Authenticate: Digest realm=\"r\", nonce=\"abc,def\", qop=\"auth\"\r\n");
	assert_status(world, 3, "401");
	world_client_register_over(
		world, 1, "r2",
		"Authorization: Digest username=\"u\", nonce=\"abc,def\", response=\"1\"\r\n");
	assert_int_equal(target_of(world, 4), maker);
	world_client_register_over(
		world, 1, "r3",
		"Authorization: Digest username=\"u\", nonce=\"other\", response=\"1\"\r\n");
	assert_true(target_of(world, 5) < 2);
}

static void a_challenge_of_a_dead_site_is_answered_elsewhere(void **state)
{
	struct world *world = *state;

	world_set_states(world, TARGET_DOWN, TARGET_DOWN, TARGET_UP, TARGET_UP);
	world_client_register_over(world, 1, "r1", "");
	world_answer(world, 0, "401 Unauthorized",
	             "WWW-Authenticate: Digest realm=\"r\", nonce=\"n1\"\r\n");
	world_set_states(world, TARGET_UP, TARGET_UP, TARGET_DOWN, TARGET_DOWN);
	world_client_register_over(
		world, 1, "r2",
		"Authorization: Digest username=\"u\", nonce=\"n1\", response=\"1\"\r\n");
	assert_true(target_of(world, 2) < 2);
}

static void a_target_marked_down_is_tried_when_all_others_refuse(void **state)
{
	struct world *world = *state;

	world_set_states(world, TARGET_UP, TARGET_UP, TARGET_DOWN, TARGET_DOWN);
	world_client_register_over(world, 1, "r1", "");
	lose(world, 0, ECONNREFUSED);
	lose(world, 1, ECONNREFUSED);
	assert_int_equal(world->sent_count, 3);
	assert_true(target_of(world, 2) >= 2);
}

static unsigned invites_to_core(const struct world *world, const char *name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < world->sent_count; i++)
		n += world->sent[i].hop.side == SIDE_CORE &&
		     strncmp(world->sent[i].text, "INVITE", 6) == 0 &&
		     strncmp(world_header(world->sent[i].text, "Call-ID"), name, strlen(name)) == 0;
	return n;
}

/* So many new INVITEs; one of them is answered just before the others are missed. How many were sent again? */
static unsigned wave_sent_again(struct world *world, const char *name, unsigned count)
{
	char call_id[32];
	unsigned before;

	world_forget_sent(world);
	for (unsigned i = 0; i < count; i++) {
		snprintf(call_id, sizeof(call_id), "%s%u", name, i);
		world_client_request(world, 1, "INVITE", "sip:bob@example.net", call_id,
		                     "Contact: <sip:user1@192.0.2.1>\r\n");
	}
	world_walk(world, 450);
	world_answer(world, 0, "486 Busy Here", "");
	before = invites_to_core(world, name);
	world_walk(world, 60);
	return invites_to_core(world, name) - before;
}

/* A target answers some and is silent to others: leaving it costs of the budget. One second's worth of requests
 * may go at once; then it is a fifth of them and ten a second. */
static void a_slow_core_is_not_hit_twice_as_hard(void **state)
{
	struct world *world = *state;
	unsigned again;

	world_set_states(world, TARGET_UP, TARGET_DOWN, TARGET_UP, TARGET_DOWN);
	world_register(world, 1);
	assert_int_equal(wave_sent_again(world, "a", 20), 19);
	again = wave_sent_again(world, "b", 20);
	assert_true(again >= 4);
	assert_true(again <= 15);
}

static void wholly_silent_targets_spend_no_budget(void **state)
{
	struct world *world = *state;
	unsigned again = 0;
	char call_id[16];

	world_set_states(world, TARGET_UP, TARGET_DOWN, TARGET_UP, TARGET_DOWN);
	world_register(world, 1);
	world_walk(world, 1000);
	for (unsigned i = 0; i < 30; i++) {
		snprintf(call_id, sizeof(call_id), "i%u", i);
		world_client_request(world, 1, "INVITE", "sip:bob@example.net", call_id,
		                     "Contact: <sip:user1@192.0.2.1>\r\n");
	}
	world_forget_sent(world);
	world_walk(world, 510);
	for (unsigned i = 0; i < world->sent_count; i++)
		again += world->sent[i].hop.side == SIDE_CORE &&
		         strncmp(world->sent[i].text, "INVITE", 6) == 0;
	assert_int_equal(again, 30);
}

static void a_request_before_the_first_view_waits_for_it(void **state)
{
	struct world *world = *state;
	struct view *view = world_make_view(TRANSPORT_TCP, all_up);

	world_client_register_over(world, 1, "r1", "");
	assert_int_equal(world->sent_count, 0);
	world_walk(world, 100);
	proxy_set_view(world->proxy, view);
	snapshot_release(&view->snapshot);
	assert_int_equal(world->sent_count, 1);
	assert_memory_equal(world->sent[0].text, "REGISTER", 8);
}

static void the_deadline_answers_without_any_view(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "");
	world_walk(world, 8100);
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "503");
}

static int setup_without_view(void **state)
{
	struct world *world = malloc(sizeof(*world));

	fake_clock_setup(state);
	hash_key_init();
	assert_int_equal(message_system_init(), 0);
	world_init(world, TRANSPORT_TCP);
	assert_int_equal(world_build(world), 0);
	*state = world;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_silent_neighbour_with_work_outstanding_is_passed_over),
		world_test(two_refusals_end_a_sites_turn),
		world_test(a_request_in_a_dialog_goes_to_a_neighbour_of_its_dead_sprout),
		world_test(a_request_in_a_dialog_of_a_dead_site_goes_to_the_other),
		world_test(a_bye_tries_everything),
		world_test(a_service_route_of_a_dead_sprout_leads_next_door),
		world_test(a_request_leaves_its_target_when_the_others_say_that_it_is_dead),
		world_test(the_answer_to_a_challenge_goes_to_who_made_it),
		world_test(a_challenge_of_a_dead_site_is_answered_elsewhere),
		world_test(a_target_marked_down_is_tried_when_all_others_refuse),
		world_test(a_slow_core_is_not_hit_twice_as_hard),
		world_test(wholly_silent_targets_spend_no_budget),
		cmocka_unit_test_setup_teardown(a_request_before_the_first_view_waits_for_it,
	                                        setup_without_view, world_teardown),
		cmocka_unit_test_setup_teardown(the_deadline_answers_without_any_view,
	                                        setup_without_view, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
