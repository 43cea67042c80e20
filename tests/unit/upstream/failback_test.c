/* Where new work goes: sites that die, come back, toggle, overflow; targets that stand out. */
#include "failover_scene.h"

#include "upstream/pick.h"

/* The permille of a thousand users whose first attempt goes to this target. */
static unsigned share_of(const struct scene *scene, uint32_t id)
{
	struct pick_tried none = {.count = 0};
	const struct view_target *target;
	unsigned mine = 0;
	uint64_t user;

	for (user = 0; user < 1000; user++) {
		assert_int_equal(pick_target(scene->view, &none, user * 7919, &target), PICK_NOW);
		mine += target->id == id;
	}
	return mine;
}

/* What one second of traffic leaves in a worker's letter. */
struct load {
	unsigned rate; /* requests a second */
	uint64_t us;   /* median first answer */
	unsigned loss; /* permille */
};

static void tell_load(struct scene *scene, uint32_t id, const struct load *load, unsigned parts)
{
	struct target_stats stats = {.id = id, .sent = load->rate / parts};
	static unsigned rest[4];
	unsigned i;

	rest[id] += stats.sent * load->loss;
	stats.failed[TRAFFIC_SILENT] = rest[id] / 1000;
	rest[id] %= 1000;
	stats.answered = stats.sent - stats.failed[TRAFFIC_SILENT];
	stats.response_us = stats.answered * load->us;
	stats.last_answer_ms = stats.answered > 0 ? loop_now_ms(scene->loop) : 0;
	stats.steps[target_stats_step(load->us)] = stats.answered;
	for (i = 0; i < stats.failed[TRAFFIC_SILENT]; i++)
		failover_traffic(scene->failover, id, HEALTH_TRAFFIC_SILENT,
		                 loop_now_ms(scene->loop) - 500);
	failover_stats(scene->failover, &stats, 1);
}

static void walk_loaded(struct scene *scene, uint64_t ms, const struct load loads[4])
{
	uint64_t end = loop_now_ms(scene->loop) + ms;
	uint32_t id;

	while (loop_now_ms(scene->loop) < end) {
		walk(scene, 250);
		for (id = 0; id < 4; id++)
			if (loads[id].rate > 0)
				tell_load(scene, id, &loads[id], 4);
	}
}

static const struct failover_event *event_of(const struct scene *scene, const char *subject,
                                             const char *to)
{
	unsigned i;

	for (i = scene->event_count; i-- > 0;) {
		if (strcmp(scene->events[i].subject, subject) == 0 &&
		    strcmp(scene->events[i].to, to) == 0)
			return &scene->events[i];
	}
	fail_msg("no event of %s to %s", subject, to);
	return NULL;
}

/* ---- failback ---- */

static void a_link_that_toggles_every_5_s_moves_traffic_at_most_twice_in_ten_minutes(void **state)
{
	unsigned moves = 0, second;
	int serving, before = 0;
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 5000);
	for (second = 0; second < 600; second += 5) {
		bool broken = second / 5 % 2 == 0;

		set_tempers(&scene, broken ? LOSES : ANSWERS, broken ? LOSES : ANSWERS, ANSWERS,
		            ANSWERS);
		walk(&scene, 5000);
		serving = scene.view->serving;
		moves += serving != before;
		before = serving;
		/* Not even a part of it comes and goes. */
		assert_int_equal(scene.view->sites[serving].share, 1000);
	}
	assert_in_range(moves, 1, 2);
	/* When the link stays, its work comes home: after the damping of its targets, hold-down, ramp. */
	set_tempers(&scene, ANSWERS, ANSWERS, ANSWERS, ANSWERS);
	walk(&scene, 300000 + 30000 + 60000 + 5000);
	expect_view(&scene, "UU UU -> 0");
	assert_int_equal(scene.view->sites[0].share, 1000);
	scene_end(&scene);
}

static void a_site_comes_home_within_hold_down_and_ramp_of_its_first_answer(void **state)
{
	uint64_t began;
	struct scene scene;
	unsigned last = 0, share;

	scene_begin(&scene);
	walk(&scene, 5000);
	set_tempers(&scene, REFUSES, REFUSES, ANSWERS, ANSWERS);
	walk(&scene, 20000);
	assert_int_equal(share_of(&scene, 0) + share_of(&scene, 1), 0);
	assert_string_equal(event_of(&scene, "site-a", "DOWN")->reason, "targets_lost");
	set_tempers(&scene, ANSWERS, ANSWERS, ANSWERS, ANSWERS);
	began = loop_now_ms(scene.loop);
	while (scene.view->sites[0].share < 1000) {
		walk(&scene, 100);
		share = scene.view->sites[0].share;
		assert_true(share >= last); /* users move home, each once */
		last = share;
		assert_true(loop_now_ms(scene.loop) < began + 95000);
	}
	/* up to 2.2 s until the probe that finds it, and a beat */
	assert_in_range(loop_now_ms(scene.loop) - began, 89000, 93000);
	event_of(&scene, "site-a", "HOLD_DOWN");
	event_of(&scene, "site-a", "RAMPING");
	assert_string_equal(event_of(&scene, "site-a", "READY")->reason, "ramp_over");
	scene_end(&scene);
}

static void the_ramp_is_given_up_when_nobody_else_is_left(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 5000);
	set_tempers(&scene, REFUSES, REFUSES, ANSWERS, ANSWERS);
	walk(&scene, 10000);
	set_tempers(&scene, ANSWERS, ANSWERS, ANSWERS, ANSWERS);
	walk(&scene, 10000);
	expect_view(&scene, "UU UU -> 1");
	set_tempers(&scene, ANSWERS, ANSWERS, REFUSES, REFUSES);
	walk(&scene, 5000);
	expect_view(&scene, "UU DD -> 0");
	assert_int_equal(scene.view->sites[0].share, 1000);
	assert_string_equal(event_of(&scene, "site-a", "READY")->reason, "nobody_else");
	scene_end(&scene);
}

static void in_panic_it_says_so_and_the_least_bad_is_picked(void **state)
{
	struct pick_tried none = {.count = 0};
	const struct view_target *target;
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 5000);
	set_tempers(&scene, REFUSES, SAYS_503, REFUSES, REFUSES);
	walk(&scene, 5000);
	expect_view(&scene, "DO DD -> -1");
	assert_true(scene.view->panic);
	event_of(&scene, "sites", "PANIC");
	assert_int_equal(pick_target(scene.view, &none, 1, &target), PICK_NOW);
	assert_int_equal(target->id, 1);
	scene_end(&scene);
}

/* ---- outliers ---- */

static void a_target_that_stands_out(const struct load bad, const char *reason)
{
	const struct load well = {200, 2000, 0};
	struct load loads[4] = {bad, well};
	struct scene scene;

	scene_begin(&scene);
	walk_loaded(&scene, 10000, (struct load[4]){well, well});
	assert_in_range(share_of(&scene, 0), 250, 420); /* weights 1 and 2 */
	walk_loaded(&scene, 9000, loads);
	assert_int_equal(scene.view->targets[0].state, TARGET_DEGRADED);
	assert_string_equal(event_of(&scene, "site-a/sprout-1", "DEGRADED")->reason, reason);
	assert_true(share_of(&scene, 0) < 100);
	assert_int_equal(scene.view->targets[1].state, TARGET_UP);
	loads[0].rate = 20; /* what its small share brings */
	walk_loaded(&scene, 60000, loads);
	assert_int_equal(scene.view->targets[0].state, TARGET_DEGRADED);
	loads[0] = (struct load){20, 2000, 0};
	walk_loaded(&scene, 30000, loads);
	assert_int_equal(scene.view->targets[0].state, TARGET_UP);
	assert_in_range(share_of(&scene, 0), 250, 420);
	scene_end(&scene);
}

static void a_target_ten_times_slower_has_less_than_a_tenth_within_10_s_and_recovers(void **state)
{
	a_target_that_stands_out((struct load){200, 20000, 0}, "slow");
}

static void a_target_that_loses_5_percent_has_less_than_a_tenth_within_10_s_and_recovers(
	void **state)
{
	a_target_that_stands_out((struct load){200, 2000, 50}, "lossy");
}

static void when_all_are_slow_or_lossy_none_is_to_blame(void **state)
{
	const struct load bad = {200, 40000, 50};
	struct scene scene;

	scene_begin(&scene);
	walk_loaded(&scene, 60000, (struct load[4]){bad, bad});
	expect_view(&scene, "UU UU -> 0");
	scene_end(&scene);
}

static void the_response_time_of_a_site_is_learnt(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 2000);
	assert_int_equal(scene.view->sites[0].response_us, 0);
	walk_loaded(&scene, 10000,
	            (struct load[4]){{100, 3000, 0}, {100, 3000, 0}, {20, 90000, 0}, {0, 0, 0}});
	assert_in_range(scene.view->sites[0].response_us, 2900, 3100);
	assert_in_range(scene.view->sites[1].response_us, 89000, 91000);
	scene_end(&scene);
}

/* ---- traffic that kills ---- */

static void under_load_silence_is_told_within_a_second(void **state)
{
	uint64_t began;
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 5000);
	set_tempers(&scene, LOSES, ANSWERS, ANSWERS, ANSWERS);
	began = loop_now_ms(scene.loop);
	walk(&scene, 500);
	while (scene.view->targets[0].state == TARGET_UP &&
	       loop_now_ms(scene.loop) < began + 3000) {
		failover_traffic(scene.failover, 0, HEALTH_TRAFFIC_SILENT,
		                 loop_now_ms(scene.loop) - 500);
		walk(&scene, STEP_MS);
	}
	assert_int_equal(scene.view->targets[0].state, TARGET_DOWN);
	assert_in_range(loop_now_ms(scene.loop) - began, 500, 900);
	assert_non_null(strstr(event_of(&scene, "site-a/sprout-1", "DOWN")->evidence,
	                       "its work goes to the others of site-a"));
	scene_end(&scene);
}

static void one_way_is_seen_by_traffic_and_probes_alone_do_not_bring_it_back(void **state)
{
	struct scene scene;
	unsigned i;

	scene_begin(&scene);
	walk(&scene, 5000);
	for (i = 0; i < 300 && scene.view->targets[0].state == TARGET_UP; i++) {
		failover_traffic(scene.failover, 0, HEALTH_TRAFFIC_SILENT,
		                 loop_now_ms(scene.loop) - 500);
		walk(&scene, STEP_MS);
	}
	assert_int_equal(scene.view->targets[0].state, TARGET_DOWN);
	assert_string_equal(scene.view->targets[0].reason, "probes answered, requests not");
	walk(&scene, 5000);
	assert_int_equal(scene.view->targets[0].state, TARGET_DEGRADED);
	assert_true(share_of(&scene, 0) < 50);
	for (i = 0; i < 2; i++)
		failover_traffic(scene.failover, 0, HEALTH_TRAFFIC_SILENT, loop_now_ms(scene.loop));
	walk(&scene, 9000);
	assert_int_equal(scene.view->targets[0].state, TARGET_DOWN); /* now for longer */
	scene_end(&scene);
}

/* ---- capacity ---- */

static void only_what_local_capacity_cannot_carry_spills(void **state)
{
	const struct load half = {400, 2000, 0};
	struct scene scene;

	scene_begin(&scene);
	failover_destroy(&scene.failover);
	scene.sites[0].capacity = 600;
	scene.sites[1].capacity = 100;
	scene.targets[1].weight = 1;
	assert_int_equal(failover_create(scene.loop, &scene.config, NULL, NULL, &events, &scene,
	                                 &scene.failover),
	                 0);
	walk_loaded(&scene, 20000, (struct load[4]){{200, 2000, 0}, {200, 2000, 0}});
	assert_int_equal(scene.view->sites[0].share, 1000);
	/* 640 a second: 600 are carried here (570 once it spills), the others there */
	walk_loaded(&scene, 20000, (struct load[4]){{320, 2000, 0}, {320, 2000, 0}});
	assert_int_equal(scene.view->sites[0].state, SITE_SPILLING);
	assert_in_range(scene.view->sites[0].share, 860, 940);
	/* 800: never more there than 100, what nobody can carry stays */
	walk_loaded(&scene, 20000, (struct load[4]){half, half});
	assert_in_range(scene.view->sites[1].share, 115, 125);
	assert_in_range(scene.view->sites[0].share, 875, 885);
	/* 400 again, but half of the capacity is dead */
	set_tempers(&scene, ANSWERS, REFUSES, ANSWERS, ANSWERS);
	walk_loaded(&scene, 20000, (struct load[4]){half});
	assert_in_range(scene.view->sites[1].share, 230, 260);
	walk_loaded(&scene, 30000, (struct load[4]){{100, 2000, 0}});
	assert_int_equal(scene.view->sites[0].share, 1000);
	assert_int_equal(scene.view->sites[0].state, SITE_READY);
	scene_end(&scene);
}

static void a_dead_remote_site_changes_no_local_share(void **state)
{
	struct scene scene;
	unsigned before;

	scene_begin(&scene);
	walk(&scene, 5000);
	before = share_of(&scene, 0);
	set_tempers(&scene, ANSWERS, ANSWERS, LOSES, NO_LETTER);
	walk(&scene, 20000);
	expect_view(&scene, "UU DD -> 0");
	assert_int_equal(share_of(&scene, 0), before);
	assert_int_equal(scene.view->sites[0].state, SITE_READY);
	scene_end(&scene);
}

/* ---- anything at all ---- */

static void check_view(const struct view *view)
{
	unsigned i, sum = 0, usable = 0;

	for (i = 0; i < view->site_count; i++) {
		const struct view_site *site = &view->sites[i];

		usable += site->usable;
		sum += site->share;
		assert_true(site->usable || site->share == 0);
		assert_true(!site->usable || site->state != SITE_DOWN);
	}
	assert_int_equal(sum, usable > 0 ? 1000 : 0);
	assert_int_equal(view->panic, usable == 0);
	assert_int_equal(view->serving >= 0, usable > 0);
	if (usable == view->site_count && view->sites[0].evacuated && !view->sites[1].evacuated)
		assert_int_equal(view->sites[0].share, 0);
}

static void disturb(struct scene *scene, uint32_t dice)
{
	static const char *const sites[] = {"site-a", "site-b"};
	const struct load load = {100 + dice % 900, 1000 + dice % 50000, dice % 100};
	uint32_t id = dice % 4;

	switch (dice / 4 % 6) {
	case 0:
		scene->tempers[id] = dice / 24 % (NO_LETTER + 1);
		break;
	case 1:
		set_tempers(scene, ANSWERS, ANSWERS, ANSWERS, ANSWERS);
		break;
	case 2:
		failover_operator_site(scene->failover, sites[id / 2],
		                       dice / 24 % 4 == 0 ? OPERATOR_EVACUATE : OPERATOR_RESTORE, 0,
		                       NULL);
		break;
	case 3:
		failover_operator_target(scene->failover, sites[id / 2],
		                         id % 2 == 0 ? "sprout-1" : "sprout-2",
		                         dice / 24 % 4 == 0 ? OPERATOR_DRAIN : OPERATOR_ENABLE, 0,
		                         NULL);
		break;
	case 4:
		tell_load(scene, id, &load, 4);
		break;
	default:
		failover_traffic(scene->failover, id,
		                 HEALTH_TRAFFIC_ANSWERED + (enum health_input)(dice / 24 % 5),
		                 dice % 3 == 0 ? 0 : dice % 9000);
		break;
	}
}

static void whatever_happens_work_has_a_place_to_go(void **state)
{
	uint64_t seed = 0x9e3779b97f4a7c15;
	struct scene scene;
	unsigned step;

	scene_begin(&scene);
	failover_destroy(&scene.failover);
	scene.sites[0].capacity = 500;
	scene.sites[1].capacity = 300;
	assert_int_equal(failover_create(scene.loop, &scene.config, NULL, NULL, &events, &scene,
	                                 &scene.failover),
	                 0);
	walk(&scene, 100);
	for (step = 0; step < 20000; step++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		disturb(&scene, (uint32_t)(seed >> 20) % 1000000);
		walk(&scene, STEP_MS * (1 + seed % 30));
		check_view(scene.view);
	}
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_link_that_toggles_every_5_s_moves_traffic_at_most_twice_in_ten_minutes),
		cmocka_unit_test(a_site_comes_home_within_hold_down_and_ramp_of_its_first_answer),
		cmocka_unit_test(the_ramp_is_given_up_when_nobody_else_is_left),
		cmocka_unit_test(in_panic_it_says_so_and_the_least_bad_is_picked),
		cmocka_unit_test(
			a_target_ten_times_slower_has_less_than_a_tenth_within_10_s_and_recovers),
		cmocka_unit_test(
			a_target_that_loses_5_percent_has_less_than_a_tenth_within_10_s_and_recovers),
		cmocka_unit_test(when_all_are_slow_or_lossy_none_is_to_blame),
		cmocka_unit_test(the_response_time_of_a_site_is_learnt),
		cmocka_unit_test(under_load_silence_is_told_within_a_second),
		cmocka_unit_test(one_way_is_seen_by_traffic_and_probes_alone_do_not_bring_it_back),
		cmocka_unit_test(only_what_local_capacity_cannot_carry_spills),
		cmocka_unit_test(a_dead_remote_site_changes_no_local_share),
		cmocka_unit_test(whatever_happens_work_has_a_place_to_go),
	};

	hash_key_init();
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
