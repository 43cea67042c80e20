/* Failover inside the request: refused, reset, silent, 503; next target, next site, one answer. */
#include "support/proxy_world.h"

static unsigned target_of(const struct world *world, unsigned index)
{
	int target = world_target_of(&world->sent[index].hop.remote);

	assert_true(target >= 0);
	return (unsigned)target;
}

static void send_message(struct world *world)
{
	world_client_register_over(world, 1, "r1", "");
}

static void lose(struct world *world, unsigned index, int error)
{
	struct hop hop = world->sent[index].hop;

	txn_table_hop_lost(world->txns, &hop, error);
	world_walk(world, 1);
}

static void a_refused_target_is_followed_by_its_neighbour(void **state)
{
	struct world *world = *state;

	send_message(world);
	lose(world, 0, ECONNREFUSED);
	assert_int_equal(world->sent_count, 2);
	assert_int_not_equal(target_of(world, 0), target_of(world, 1));
	assert_true(target_of(world, 1) < 2); /* same site */
	assert_true(world_reported(world, HEALTH_TRAFFIC_REFUSED));
	world_answer(world, 1, "200 OK", "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
	assert_status(world, 2, "200");
	assert_int_equal(flow_state(world_flow(world, 1)), FLOW_REGISTERED);
}

static void each_attempt_has_a_branch_and_a_route_of_its_own(void **state)
{
	struct world *world = *state;

	send_message(world);
	lose(world, 0, ECONNRESET);
	assert_string_not_equal(world_header(world->sent[0].text, "Via"),
	                        world_header(world->sent[1].text, "Via"));
	assert_contains(world_header(world->sent[1].text, "Route"),
	                world_target_host(target_of(world, 1)));
	assert_int_equal(world_count_lines(world->sent[1].text, "Route"), 1);
	assert_true(world_reported(world, HEALTH_TRAFFIC_RESET));
}

static void when_the_site_is_gone_the_other_site_answers(void **state)
{
	struct world *world = *state;

	send_message(world);
	lose(world, 0, ECONNREFUSED);
	lose(world, 1, ECONNREFUSED);
	assert_int_equal(world->sent_count, 3);
	assert_true(target_of(world, 2) >= 2);
	world_answer(world, 2, "200 OK", "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
	assert_status(world, 3, "200");
}

static void a_target_that_cannot_be_opened_is_passed_over_at_once(void **state)
{
	struct world *world = *state;

	world->open_error[0] = world->open_error[1] = -ENETUNREACH;
	send_message(world);
	assert_int_equal(world->sent_count, 1);
	assert_true(target_of(world, 0) >= 2);
}

static void silence_moves_on_and_a_late_answer_is_still_the_answer(void **state)
{
	struct world *world = *state;

	send_message(world);
	world_walk(world, 499);
	assert_int_equal(world->sent_count, 1);
	world_walk(world, 2);
	assert_int_equal(world->sent_count, 2);
	assert_true(world_reported(world, HEALTH_TRAFFIC_SILENT));
	world_answer(world, 0, "200 OK", "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
	assert_status(world, 2, "200");
	world_answer(world, 1, "200 OK", "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
	assert_int_equal(world->sent_count, 3); /* the client sees one answer */
}

static void a_busy_target_that_answers_others_gets_two_seconds(void **state)
{
	struct world *world = *state;
	struct proxy *proxy = world->proxy;

	(void)proxy;
	send_message(world);                            /* to some local target */
	world_client_register_over(world, 1, "r2", ""); /* the same user: the same target */
	assert_int_equal(target_of(world, 0), target_of(world, 1));
	world_walk(world, 100);
	world_answer(world, 1, "200 OK", "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
	world_forget_sent(world);
	world_walk(world, 1500);
	assert_int_equal(world->sent_count, 0);
	world_walk(world, 500);
	assert_int_equal(world->sent_count, 1);
}

static void a_503_moves_on_and_is_never_seen(void **state)
{
	struct world *world = *state;

	send_message(world);
	world_answer(world, 0, "503 Service Unavailable", "Retry-After: 7\r\n");
	assert_int_equal(world->sent_count, 2);
	assert_memory_equal(world->sent[1].text, "REGISTER", 8);
	assert_true(world_reported(world, HEALTH_TRAFFIC_OVERLOADED));
	assert_int_equal(world->reports[world->report_count - 1].value, 7000);
}

static void when_all_say_503_the_shortest_retry_after_goes_back(void **state)
{
	static const char *const after[] = {"Retry-After: 30\r\n",
	                                    "Retry-After: 9 (soon);duration=3\r\n", "",
	                                    "Retry-After: 40\r\n"};
	struct world *world = *state;

	send_message(world);
	for (unsigned i = 0; i < 4; i++)
		world_answer(world, i, "503 Service Unavailable", after[i]);
	assert_int_equal(world->sent_count, 5);
	assert_status(world, 4, "503");
	assert_string_equal(world_header(world->sent[4].text, "Retry-After"), "9");
}

static void with_nobody_left_the_client_gets_503_with_retry_after(void **state)
{
	struct world *world = *state;

	send_message(world);
	for (unsigned i = 0; i < 4; i++)
		lose(world, i, ECONNREFUSED);
	assert_status(world, 4, "503");
	assert_true(atoi(world_header(world->sent[4].text, "Retry-After")) > 0);
}

static void silence_of_all_ends_with_503_at_the_deadline(void **state)
{
	struct world *world = *state;

	send_message(world);
	world_walk(world, 7990);
	assert_int_equal(world->sent_count, 4);
	world_walk(world, 20);
	assert_status(world, 4, "503");
	assert_int_equal(proxy_busy(world->proxy), 0);
}

static void other_finals_are_the_answer(void **state)
{
	struct world *world = *state;

	send_message(world);
	world_answer(world, 0, "500 Server Internal Error", "");
	assert_int_equal(world->sent_count, 2);
	assert_status(world, 1, "500");
}

static void a_482_is_not_final_while_another_branch_lives(void **state)
{
	struct world *world = *state;

	send_message(world);
	world_walk(world, 501);
	assert_int_equal(world->sent_count, 2);
	world_answer(world, 1, "482 Merged Request", "");
	assert_int_equal(world->sent_count, 2);
	world_answer(world, 0, "200 OK", "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
	assert_status(world, 2, "200");
}

static void down_targets_get_no_work(void **state)
{
	struct world *world = *state;

	world_set_states(world, TARGET_DOWN, TARGET_DOWN, TARGET_DOWN, TARGET_UP);
	send_message(world);
	assert_int_equal(target_of(world, 0), 3);
}

static void an_invite_that_rang_is_not_sent_elsewhere(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1",
	                     "Contact: <sip:user1@192.0.2.1>\r\n");
	assert_int_equal(world->sent_count, 1);
	world_answer(world, 0, "180 Ringing", "");
	assert_status(world, 1, "180");
	lose(world, 0, ECONNRESET);
	assert_int_equal(world->sent_count, 3);
	assert_status(world, 2, "503");
}

static void an_invite_that_got_100_waits_beyond_first_answer_and_deadline(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1",
	                     "Contact: <sip:user1@192.0.2.1>\r\n");
	world_answer(world, 0, "100 Trying", "");
	world_walk(world, 60000);
	for (unsigned i = 1; i < world->sent_count; i++)
		assert_status(world, i, "100"); /* ours, once */
	assert_int_equal(world->sent_count, 2);
	world_answer(world, 0, "486 Busy Here", "");
	assert_int_equal(world->sent_count, 4); /* ACK to the Sprout, 486 to the client */
}

static void an_invite_nobody_answers_gets_504_at_the_deadline(void **state)
{
	struct world *world = *state;
	unsigned last;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1",
	                     "Contact: <sip:user1@192.0.2.1>\r\n");
	world_walk(world, 8100);
	last = world->sent_count - 1;
	while (last > 0 && world->sent[last].hop.side != SIDE_ACCESS)
		last--;
	assert_status(world, last, "504");
}

static void a_late_ring_keeps_its_branch_and_the_other_is_cancelled(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "c1",
	                     "Contact: <sip:user1@192.0.2.1>\r\n");
	world_walk(world, 501); /* our 100 at 200 ms, the second target at 500 */
	assert_int_equal(world->sent_count, 3);
	world_answer(world, 2, "100 Trying", "");
	world_answer(world, 0, "180 Ringing", "");
	assert_int_equal(world->sent_count, 5);
	{
		bool cancelled = false;
		bool rang = false;

		for (unsigned i = 3; i < 5; i++) {
			cancelled |= strncmp(world->sent[i].text, "CANCEL ", 7) == 0 &&
			             hop_equal(&world->sent[i].hop, &world->sent[2].hop);
			rang |= strncmp(world->sent[i].text, "SIP/2.0 180", 11) == 0;
		}
		assert_true(cancelled && rang);
	}
}

static void over_udp_icmp_is_as_good_as_a_refusal(void **state)
{
	struct world *world = *state;

	send_message(world);
	lose(world, 0, ECONNREFUSED);
	assert_int_equal(world->sent_count, 2);
	assert_contains(world_header(world->sent[1].text, "Via"), "SIP/2.0/UDP");
	assert_contains(world_header(world->sent[1].text, "Via"), ";rport");
}

/* Refused, then 503, then silence, then the other site's answer. Whatever memory does, nothing stays behind and
 * nobody hears two answers. */
static void search_scene(void *arg)
{
	enum target_state up[WORLD_TARGETS] = {TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP};
	struct world world;
	unsigned finals = 0;

	world_init(&world, TRANSPORT_TCP);
	if (world_build(&world) == 0) {
		struct view *view = world_make_view(TRANSPORT_TCP, up);

		proxy_set_view(world.proxy, view);
		snapshot_release(&view->snapshot);
		send_message(&world);
		for (unsigned i = 0; i < world.sent_count && i < 4; i++) {
			if (strncmp(world.sent[i].text, "REGISTER", 8) != 0)
				continue;
			if (i == 0)
				lose(&world, i, ECONNREFUSED);
			else if (i == 1)
				world_answer(&world, i, "503 Service Unavailable",
				             "Retry-After: 9\r\n");
			else if (i == 2)
				world_walk(&world, 600);
			else
				world_answer(&world, i, "200 OK",
				             "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n");
		}
		world_walk(&world, 40000);
		assert_int_equal(proxy_busy(world.proxy), 0);
		for (unsigned i = 0; i < world.sent_count; i++)
			finals += strncmp(world.sent[i].text, "SIP/2.0 ", 8) == 0;
		assert_in_range(finals, alloc_fail_happened() ? 0 : 1, 1);
	}
	world_free(&world);
}

static void no_failed_allocation_leaves_a_search_without_an_end(void **state)
{
	world_bears_the_end_of_memory(state, search_scene, 20);
}

static int setup_udp(void **state)
{
	return world_setup_over(state, TRANSPORT_UDP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(a_refused_target_is_followed_by_its_neighbour),
		world_test(each_attempt_has_a_branch_and_a_route_of_its_own),
		world_test(when_the_site_is_gone_the_other_site_answers),
		world_test(a_target_that_cannot_be_opened_is_passed_over_at_once),
		world_test(silence_moves_on_and_a_late_answer_is_still_the_answer),
		world_test(a_busy_target_that_answers_others_gets_two_seconds),
		world_test(a_503_moves_on_and_is_never_seen),
		world_test(when_all_say_503_the_shortest_retry_after_goes_back),
		world_test(with_nobody_left_the_client_gets_503_with_retry_after),
		world_test(silence_of_all_ends_with_503_at_the_deadline),
		world_test(other_finals_are_the_answer),
		world_test(a_482_is_not_final_while_another_branch_lives),
		world_test(down_targets_get_no_work),
		world_test(an_invite_that_rang_is_not_sent_elsewhere),
		world_test(an_invite_that_got_100_waits_beyond_first_answer_and_deadline),
		world_test(an_invite_nobody_answers_gets_504_at_the_deadline),
		world_test(a_late_ring_keeps_its_branch_and_the_other_is_cancelled),
		cmocka_unit_test_setup_teardown(over_udp_icmp_is_as_good_as_a_refusal, setup_udp,
	                                        world_teardown),
		cmocka_unit_test(no_failed_allocation_leaves_a_search_without_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
