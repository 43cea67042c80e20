/* The decision over two sites, told in scenes with fake time and fake probes. */
#include "failover_scene.h"

/* ---- the start ---- */

static void the_first_view_is_there_at_once_and_published_by_the_loop(void **state)
{
	const struct view *view;
	struct scene scene;

	scene_begin(&scene);
	assert_int_equal(scene.views, 0);
	view = failover_view(scene.failover);
	assert_int_equal(view->target_count, 4);
	assert_string_equal(view->sites[1].name, "site-b");
	assert_true(view->sites[0].local);
	assert_int_equal(view->sites[1].first, 2);
	assert_string_equal(view->targets[3].name, "sprout-2");
	assert_int_equal(view->targets[3].site, 1);
	assert_int_equal(view->targets[3].weight, 4);
	assert_int_equal(view->targets[0].transport, TRANSPORT_TCP);
	assert_int_equal(view->targets[2].transport, TRANSPORT_UDP);
	assert_string_equal(view->targets[0].route_uri, "sip:10.0.0.1:5054;transport=tcp;lr;orig");
	assert_string_equal(view->targets[2].route_uri, "sip:10.0.1.1:5054;lr;orig");
	assert_string_equal(view->targets[0].reason, "not probed yet");
	assert_int_equal(view->targets[0].probe_us, -1);
	fake_loop_walk(scene.loop, 0);
	assert_int_equal(scene.views, 1);
	expect_view(&scene, "?? ?? -> 0"); /* usable from the start: nobody waits for a probe */
	scene_end(&scene);
}

static void all_are_up_within_a_fifth_of_a_second(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 200);
	expect_view(&scene, "UU UU -> 0");
	assert_string_equal(scene.view->targets[0].reason, "probes answered");
	scene_end(&scene);
}

static void changes_of_one_turn_make_one_view(void **state)
{
	struct scene scene;
	unsigned id, views;

	scene_begin(&scene);
	walk(&scene, 1500);
	views = scene.views;
	for (id = 0; id < 4; id++)
		failover_traffic(scene.failover, id, HEALTH_TRAFFIC_REFUSED, 0);
	assert_int_equal(scene.views, views); /* never from inside */
	fake_loop_walk(scene.loop, 0);
	assert_int_equal(scene.views, views + 1);
	expect_view(&scene, "DD DD -> -1");
	scene_end(&scene);
}

static void round_trips_reach_the_view_within_a_second_but_not_each_by_itself(void **state)
{
	struct scene scene;
	unsigned views;

	scene_begin(&scene);
	walk(&scene, 4000);
	assert_int_equal(scene.view->targets[2].probe_us, 2500);
	views = scene.views;
	walk(&scene, 20000); /* 40 probes */
	assert_in_range(scene.views - views, 9, 21);
	scene_end(&scene);
}

/* ---- losing and winning ---- */

static void a_target_that_falls_silent_is_down_within_interval_and_two_probes(void **state)
{
	uint64_t began;
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 5000);
	set_tempers(&scene, LOSES, ANSWERS, ANSWERS, ANSWERS);
	began = loop_now_ms(scene.loop);
	while (scene.view->targets[0].state == TARGET_UP && loop_now_ms(scene.loop) < began + 10000)
		walk(&scene, STEP_MS);
	/* 2.2 s until the next probe, 0.8, 0.5, 0.8 */
	assert_in_range(loop_now_ms(scene.loop) - began, 1500, 4350);
	expect_view(&scene, "DU UU -> 0");
	assert_string_equal(scene.view->targets[0].reason, "probes lost");
	scene_end(&scene);
}

static void a_refused_request_takes_a_target_out_in_the_same_turn(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 5000);
	failover_traffic(scene.failover, 1, HEALTH_TRAFFIC_REFUSED, 0);
	fake_loop_walk(scene.loop, 0);
	expect_view(&scene, "UD UU -> 0");
	assert_string_equal(scene.view->targets[1].reason, "request refused");
	walk(&scene, 10000); /* it answers probes: three in a row bring it back */
	expect_view(&scene, "UU UU -> 0");
	scene_end(&scene);
}

static void the_remote_site_serves_while_the_local_one_is_dead(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 5000);
	set_tempers(&scene, REFUSES, REFUSES, ANSWERS, ANSWERS);
	walk(&scene, 5000);
	expect_view(&scene, "DD UU -> 1");
	assert_false(scene.view->sites[0].usable);
	assert_int_equal(metrics_read(scene.registry, METRIC_SITE_SERVING, 0, 0, 0), 0);
	assert_int_equal(metrics_read(scene.registry, METRIC_SITE_SERVING, 1, 0, 0), 1);
	set_tempers(&scene, ANSWERS, REFUSES, ANSWERS, ANSWERS);
	walk(&scene, 29000);
	expect_view(&scene, "UD UU -> 1"); /* held down */
	assert_int_equal(scene.view->sites[0].state, SITE_HOLD_DOWN);
	assert_int_equal(scene.view->sites[0].share, 0);
	walk(&scene, 33000);
	assert_int_equal(scene.view->sites[0].state, SITE_RAMPING);
	assert_in_range(scene.view->sites[0].share, 400, 600);
	walk(&scene, 32000);
	expect_view(&scene, "UD UU -> 0");
	assert_int_equal(scene.view->sites[0].share, 1000);
	assert_int_equal(metrics_read(scene.registry, METRIC_SITE_SERVING, 0, 0, 0), 1);
	scene_end(&scene);
}

static void a_dead_remote_site_disturbs_nobody(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	set_tempers(&scene, ANSWERS, ANSWERS, LOSES, NO_LETTER);
	walk(&scene, 10000);
	expect_view(&scene, "UU DD -> 0");
	assert_true(scene.view->sites[0].usable);
	scene_end(&scene);
}

static void a_503_in_traffic_is_obeyed_for_as_long_as_it_says(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 5000);
	for (unsigned i = 0; i < HEALTH_BUSY_LEAST; i++)
		failover_traffic(scene.failover, 0, HEALTH_TRAFFIC_OVERLOADED, 7000);
	walk(&scene, 6900);
	expect_view(&scene, "OU UU -> 0"); /* though probes are answered */
	walk(&scene, 200);
	expect_view(&scene, "UU UU -> 0");
	assert_string_equal(scene.view->targets[0].reason, "Retry-After over");
	scene_end(&scene);
}

static void a_target_that_answers_probes_with_503_is_not_up(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	set_tempers(&scene, SAYS_503, ANSWERS, ANSWERS, ANSWERS);
	walk(&scene, 20000);
	expect_view(&scene, "OU UU -> 0");
	scene.tempers[0] = ANSWERS;
	walk(&scene, 10000);
	expect_view(&scene, "UU UU -> 0");
	scene_end(&scene);
}

static void the_operators_drain_holds_until_he_says_otherwise(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 5000);
	assert_int_equal(failover_operator_target(scene.failover, "site-a", "sprout-1",
	                                          OPERATOR_DRAIN, 0, "new disk"),
	                 0);
	walk(&scene, 60000);
	expect_view(&scene, "XU UU -> 0");
	assert_int_equal(failover_operator_target(scene.failover, "site-a", "sprout-1",
	                                          OPERATOR_ENABLE, 0, NULL),
	                 0);
	walk(&scene, 100);
	expect_view(&scene, "UU UU -> 0"); /* its probes were answered all the time */
	scene_end(&scene);
}

/* ---- probes ---- */

static void each_target_is_probed_every_interval(void **state)
{
	struct scene scene;
	unsigned id;

	scene_begin(&scene);
	walk(&scene, 200000);
	for (id = 0; id < 4; id++)
		assert_in_range(scene.probes[id], 90, 112);
	scene_end(&scene);
}

static void a_probe_without_letter_counts_as_lost(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 3000);
	set_tempers(&scene, NO_LETTER, ANSWERS, ANSWERS, ANSWERS);
	walk(&scene, 8000);
	expect_view(&scene, "DU UU -> 0");
	scene_end(&scene);
}

static void late_repeated_and_unknown_answers_change_nothing(void **state)
{
	uint32_t generation;
	struct scene scene;
	unsigned i;

	scene_begin(&scene);
	set_tempers(&scene, REFUSES, ANSWERS, ANSWERS, ANSWERS);
	walk(&scene, 5000);
	expect_view(&scene, "DU UU -> 0");
	generation = failover_view(scene.failover)->targets[0].generation;
	for (i = 0; i < 10; i++) {
		failover_probe_result(scene.failover, 0, generation, HEALTH_PROBE_OK, 1);
		failover_probe_result(scene.failover, 0, generation - 1, HEALTH_PROBE_OK, 1);
		failover_probe_result(scene.failover, 4, generation, HEALTH_PROBE_OK, 1);
		failover_traffic(scene.failover, 1000000, HEALTH_TRAFFIC_REFUSED, 0);
		fake_loop_walk(scene.loop, 0);
	}
	expect_view(&scene, "DU UU -> 0");
	scene_end(&scene);
}

static void a_reset_calls_for_a_probe_in_the_same_turn(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 5000);
	while (loop_now_ms(scene.loop) < scene.last_probe_ms[2] + 500)
		walk(&scene, STEP_MS);
	failover_traffic(scene.failover, 2, HEALTH_TRAFFIC_RESET, 0);
	fake_loop_walk(scene.loop, 0);
	assert_int_equal(scene.last_probe_ms[2], loop_now_ms(scene.loop));
	walk(&scene, 100);
	expect_view(&scene, "UU UU -> 0");
	scene_end(&scene);
}

/* ---- what is told ---- */

static void metrics_follow_every_transition(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	assert_int_equal(metrics_read(scene.registry, METRIC_TARGET_UP, 0, 0, 0), 0);
	assert_int_equal(metrics_read(scene.registry, METRIC_TARGET_STATE, 0, TARGET_UNKNOWN, 0),
	                 1);
	walk(&scene, 5000);
	assert_int_equal(metrics_total(scene.registry, METRIC_TARGET_UP), 4);
	assert_int_equal(metrics_read(scene.registry, METRIC_TARGET_PROBE_SECONDS, 0, 0, 0), 2500);
	failover_traffic(scene.failover, 0, HEALTH_TRAFFIC_REFUSED, 0);
	assert_int_equal(metrics_total(scene.registry, METRIC_TARGET_UP), 3);
	assert_int_equal(metrics_read(scene.registry, METRIC_TARGET_STATE, 0, TARGET_UP, 0), 0);
	assert_int_equal(metrics_read(scene.registry, METRIC_TARGET_STATE, 0, TARGET_DOWN, 0), 1);
	assert_int_equal(metrics_total(scene.registry, METRIC_TARGET_STATE), 4);
	assert_int_equal(metrics_read(scene.registry, METRIC_TARGET_TRANSITIONS, 0, TARGET_DOWN,
	                              HEALTH_REASON_TRAFFIC_REFUSED),
	                 1);
	assert_int_equal(metrics_read(scene.registry, METRIC_TARGET_TRANSITIONS, 0, TARGET_UP,
	                              HEALTH_REASON_PROBES_ANSWERED),
	                 1);
	scene_end(&scene);
}

static void a_view_outlives_its_successors_for_those_who_hold_it(void **state)
{
	struct view *held;
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 1000);
	held = scene.view;
	snapshot_share(&held->snapshot);
	failover_traffic(scene.failover, 0, HEALTH_TRAFFIC_REFUSED, 0);
	walk(&scene, 100);
	assert_ptr_not_equal(held, scene.view);
	assert_true(scene.view->version > held->version);
	assert_int_equal(held->targets[0].state, TARGET_UP);
	assert_string_equal(held->targets[0].name, "sprout-1");
	snapshot_release(&held->snapshot);
	scene_end(&scene);
}

/* ---- limits and lack ---- */

static void a_node_without_sites_has_an_empty_view(void **state)
{
	struct config config = {.health_interval_ms = 2000, .health_timeout_ms = 800};
	struct failover *failover;
	struct scene scene;

	scene_begin(&scene);
	assert_int_equal(failover_create(scene.loop, &config, NULL, NULL, &events, &scene,
	                                 &failover),
	                 0);
	assert_int_equal(failover_view(failover)->target_count, 0);
	assert_int_equal(failover_view(failover)->serving, -1);
	failover_destroy(&failover);
	scene_end(&scene);
}

static void more_targets_than_a_view_holds_are_refused(void **state)
{
	struct failover *failover = NULL;
	struct scene scene;

	scene_begin(&scene);
	scene.sites[0].target_count = VIEW_TARGETS_MAX;
	assert_int_equal(failover_create(scene.loop, &scene.config, NULL, NULL, &events, &scene,
	                                 &failover),
	                 -EINVAL);
	assert_null(failover);
	scene_end(&scene);
}

static void life_scene(void *arg)
{
	struct scene *scene = arg;

	scene->pending_count = 0;
	memset(scene->under_way, 0, sizeof(scene->under_way));
	if (failover_create(scene->loop, &scene->config, NULL, NULL, &events, scene,
	                    &scene->failover) != 0) {
		assert_true(alloc_fail_happened());
		return;
	}
	walk(scene, 300);
	failover_traffic(scene->failover, 0, HEALTH_TRAFFIC_REFUSED, 0);
	walk(scene, 300); /* longer than it takes to try again after a lack of memory */
	assert_int_equal(scene->view->targets[0].state, TARGET_DOWN);
	failover_destroy(&scene->failover);
	snapshot_release(&scene->view->snapshot);
	scene->view = NULL;
}

static void every_allocation_may_fail(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	failover_destroy(&scene.failover);
	assert_true(alloc_fail_each(life_scene, &scene) > 10);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_view_is_there_at_once_and_published_by_the_loop),
		cmocka_unit_test(all_are_up_within_a_fifth_of_a_second),
		cmocka_unit_test(changes_of_one_turn_make_one_view),
		cmocka_unit_test(round_trips_reach_the_view_within_a_second_but_not_each_by_itself),
		cmocka_unit_test(a_target_that_falls_silent_is_down_within_interval_and_two_probes),
		cmocka_unit_test(a_refused_request_takes_a_target_out_in_the_same_turn),
		cmocka_unit_test(the_remote_site_serves_while_the_local_one_is_dead),
		cmocka_unit_test(a_dead_remote_site_disturbs_nobody),
		cmocka_unit_test(a_503_in_traffic_is_obeyed_for_as_long_as_it_says),
		cmocka_unit_test(a_target_that_answers_probes_with_503_is_not_up),
		cmocka_unit_test(the_operators_drain_holds_until_he_says_otherwise),
		cmocka_unit_test(each_target_is_probed_every_interval),
		cmocka_unit_test(a_probe_without_letter_counts_as_lost),
		cmocka_unit_test(late_repeated_and_unknown_answers_change_nothing),
		cmocka_unit_test(a_reset_calls_for_a_probe_in_the_same_turn),
		cmocka_unit_test(metrics_follow_every_transition),
		cmocka_unit_test(a_view_outlives_its_successors_for_those_who_hold_it),
		cmocka_unit_test(a_node_without_sites_has_an_empty_view),
		cmocka_unit_test(more_targets_than_a_view_holds_are_refused),
		cmocka_unit_test(every_allocation_may_fail),
	};

	hash_key_init();
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
