/* Targets that come and go, and the operator's words. */
#include "failover_scene.h"

#include "base/clock.h"
#include "upstream/pick.h"

static struct failover_target_spec spec(const char *name, const char *address)
{
	struct failover_target_spec it = {.name = name,
	                                  .uri = "sip:found.example.net",
	                                  .transport = TRANSPORT_UDP,
	                                  .weight = 1};

	assert_true(address_parse(slice_from_string(address), &it.address));
	return it;
}

static const struct view_target *target_named(const struct scene *scene, unsigned site,
                                              const char *name)
{
	const struct view_site *in = &scene->view->sites[site];
	unsigned i;

	for (i = in->first; i < in->first + in->count; i++)
		if (strcmp(scene->view->targets[i].name, name) == 0)
			return &scene->view->targets[i];
	return NULL;
}

static void set_site_b(struct scene *scene, const struct failover_target_spec *specs,
                       unsigned count)
{
	assert_int_equal(failover_set_site_targets(scene->failover, 1, specs, count), 0);
	walk(scene, 200);
}

static void who_stays_keeps_id_and_health_and_takes_the_new_weight(void **state)
{
	struct failover_target_spec specs[2] = {spec("found-1", "10.0.9.1:5060"),
	                                        spec("found-2", "10.0.9.2:5060")};
	const struct view_target *target;
	struct scene scene;
	uint32_t id;

	scene_begin(&scene);
	memset(scene.tempers, 0, sizeof(scene.tempers));
	walk(&scene, 1000);
	set_site_b(&scene, specs, 2);
	target = target_named(&scene, 1, "found-1");
	assert_non_null(target);
	id = target->id;
	assert_int_equal(target->state, TARGET_UP);
	assert_string_equal(target->route_uri, "sip:found.example.net;lr;orig");
	failover_traffic(scene.failover, id, HEALTH_TRAFFIC_REFUSED, 0);
	specs[0].weight = 7;
	specs[0].uri = "sip:other.example.net";
	set_site_b(&scene, specs, 2);
	target = target_named(&scene, 1, "found-1");
	assert_int_equal(target->id, id);
	assert_int_equal(target->state, TARGET_DOWN);
	assert_int_equal(target->weight, 7);
	assert_string_equal(target->uri, "sip:other.example.net");
	scene_end(&scene);
}

static void who_is_no_longer_named_drains_then_leaves(void **state)
{
	struct failover_target_spec specs[1] = {spec("found-1", "10.0.9.1:5060")};
	struct pick_tried none = {.count = 0};
	const struct view_target *picked, *gone;
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 1000);
	set_site_b(&scene, specs, 1);
	gone = target_named(&scene, 1, "sprout-1");
	assert_int_equal(gone->state, TARGET_DRAINING);
	assert_string_equal(gone->reason, "no longer named by configuration or DNS");
	/* new work goes elsewhere, a dialog may go on there */
	assert_int_equal(pick_target_in_site(scene.view, &none, 5, 1, &picked), PICK_NOW);
	assert_string_equal(picked->name, "found-1");
	assert_int_equal(pick_target_of_dialog(scene.view, &none, 5, gone, &picked), PICK_NOW);
	assert_ptr_equal(picked, gone);
	walk(&scene, FAILOVER_REMOVED_MS - 2000);
	assert_non_null(target_named(&scene, 1, "sprout-1"));
	walk(&scene, 4000);
	assert_null(target_named(&scene, 1, "sprout-1"));
	assert_int_equal(scene.view->target_count, 3);
	assert_int_equal(metrics_total(scene.registry, METRIC_TARGET_STATE), 3);
	scene_end(&scene);
}

static void who_is_named_again_is_back_at_once(void **state)
{
	struct failover_target_spec specs[2] = {spec("found-1", "10.0.9.1:5060"),
	                                        spec("found-2", "10.0.9.2:5060")};
	struct scene scene;
	uint32_t id;

	scene_begin(&scene);
	walk(&scene, 1000);
	set_site_b(&scene, specs, 2);
	id = target_named(&scene, 1, "found-2")->id;
	set_site_b(&scene, specs, 1);
	assert_int_equal(target_named(&scene, 1, "found-2")->state, TARGET_DRAINING);
	set_site_b(&scene, specs, 2);
	assert_int_equal(target_named(&scene, 1, "found-2")->state, TARGET_UP);
	assert_int_equal(target_named(&scene, 1, "found-2")->id, id);
	walk(&scene, FAILOVER_REMOVED_MS + 5000);
	assert_non_null(target_named(&scene, 1, "found-2"));
	scene_end(&scene);
}

static void an_id_is_anothers_only_when_no_view_shows_it_and_after_a_rest(void **state)
{
	struct failover_target_spec one = spec("only", "10.0.9.1:5060");
	static char names[VIEW_TARGETS_MAX][16];
	static struct failover_target_spec many[VIEW_TARGETS_MAX];
	struct scene scene;
	struct view *held;
	uint32_t generation;
	unsigned i;

	scene_begin(&scene);
	walk(&scene, 1000);
	for (i = 0; i < VIEW_TARGETS_MAX; i++) {
		char address[32];

		snprintf(names[i], sizeof(names[i]), "t%u", i);
		snprintf(address, sizeof(address), "10.1.%u.%u:5060", i / 200, i % 200 + 1);
		many[i] = spec(names[i], address);
	}
	/* Four are configured: there is no room for so many. */
	assert_int_equal(failover_set_site_targets(scene.failover, 1, many, VIEW_TARGETS_MAX),
	                 -ENOSPC);
	walk(&scene, 100);
	assert_int_equal(scene.view->target_count, 4);
	set_site_b(&scene, &one, 1);
	walk(&scene, FAILOVER_REMOVED_MS - 1000);
	held = scene.view; /* a slow worker: it still sees ids 2 and 3 */
	snapshot_share(&held->snapshot);
	generation = held->targets[2].generation;
	walk(&scene, FAILOVER_REMOVED_MS + 10000);
	assert_int_equal(scene.view->target_count, 3);
	/* 1021 others are possible but for the two that are held */
	assert_int_equal(failover_set_site_targets(scene.failover, 0, many, VIEW_TARGETS_MAX - 3),
	                 -ENOSPC);
	snapshot_release(&held->snapshot);
	walk(&scene, 2000);
	assert_int_equal(failover_set_site_targets(scene.failover, 0, many, VIEW_TARGETS_MAX - 3),
	                 0);
	fake_loop_walk(scene.loop, 0);
	for (i = 0; i < scene.view->target_count; i++)
		if (scene.view->targets[i].id == 2)
			break;
	assert_true(i < scene.view->target_count);
	assert_true(scene.view->targets[i].generation >= generation);
	scene_end(&scene);
}

/* ---- the operator ---- */

static void a_drained_target_takes_dialogs_and_a_disabled_one_nothing(void **state)
{
	struct pick_tried none = {.count = 0};
	const struct view_target *picked;
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 3000);
	assert_int_equal(failover_operator_target(scene.failover, "site-a", "sprout-2",
	                                          OPERATOR_DRAIN, 0, NULL),
	                 0);
	walk(&scene, 100);
	expect_view(&scene, "UX UU -> 0");
	assert_int_equal(pick_target_preferring(scene.view, &none, 1, &scene.view->targets[1],
	                                        &picked),
	                 PICK_NOW);
	assert_int_equal(picked->id, 1);
	assert_int_equal(failover_operator_target(scene.failover, "site-a", "sprout-2",
	                                          OPERATOR_DISABLE, 0, NULL),
	                 0);
	walk(&scene, 100);
	assert_int_equal(pick_target_preferring(scene.view, &none, 1, &scene.view->targets[1],
	                                        &picked),
	                 PICK_NOW);
	assert_int_equal(picked->id, 0);
	scene_end(&scene);
}

static void a_word_with_a_time_expires_by_itself_and_a_restart_keeps_it(void **state)
{
	const struct operator_word *words;
	struct operator_word kept[2];
	struct scene scene;
	unsigned count;

	scene_begin(&scene);
	walk(&scene, 3000);
	assert_int_equal(failover_operator_target(scene.failover, "site-a", "sprout-1",
	                                          OPERATOR_DRAIN, clock_wall_ms() + 3600000,
	                                          "disk"),
	                 0);
	assert_int_equal(failover_operator_site(scene.failover, "site-b", OPERATOR_EVACUATE, 0,
	                                        NULL),
	                 0);
	words = failover_operator_words(scene.failover, &count);
	assert_int_equal(count, 2);
	memcpy(kept, words, sizeof(kept));
	failover_destroy(&scene.failover);
	scene.pending_count = 0;
	memset(scene.under_way, 0, sizeof(scene.under_way));
	assert_int_equal(failover_create(scene.loop, &scene.config, NULL, NULL, &events, &scene,
	                                 &scene.failover),
	                 0);
	assert_int_equal(failover_operator_words_set(scene.failover, kept, 2), 0);
	walk(&scene, 200);
	expect_view(&scene, "XU UU -> 0");
	assert_true(scene.view->sites[1].evacuated);
	/* Wall time is not faked: a word whose time is just over. */
	assert_int_equal(failover_operator_target(scene.failover, "site-a", "sprout-1",
	                                          OPERATOR_DRAIN, clock_wall_ms(), NULL),
	                 0);
	walk(&scene, 2000);
	expect_view(&scene, "UU UU -> 0");
	words = failover_operator_words(scene.failover, &count);
	assert_int_equal(count, 1);
	assert_string_equal(words[0].site, "site-b");
	scene_end(&scene);
}

static void unknown_names_and_wrong_verbs_are_refused(void **state)
{
	struct scene scene;
	enum operator_verb verb;
	unsigned i;

	scene_begin(&scene);
	assert_int_equal(failover_operator_target(scene.failover, "site-a", "sprout-9",
	                                          OPERATOR_DRAIN, 0, NULL),
	                 -ENOENT);
	assert_int_equal(failover_operator_target(scene.failover, "site-a", "", OPERATOR_DRAIN, 0,
	                                          NULL),
	                 -ENOENT);
	assert_int_equal(failover_operator_site(scene.failover, "site-z", OPERATOR_EVACUATE, 0,
	                                        NULL),
	                 -ENOENT);
	assert_int_equal(failover_operator_site(scene.failover, "site-a", OPERATOR_DRAIN, 0, NULL),
	                 -EINVAL);
	assert_int_equal(failover_operator_target(scene.failover, "site-a", "sprout-1",
	                                          OPERATOR_EVACUATE, 0, NULL),
	                 -EINVAL);
	for (i = 0; i < OPERATOR_VERBS; i++) {
		assert_true(operator_verb_from_name(operator_verb_name(i), &verb));
		assert_int_equal(verb, i);
	}
	assert_false(operator_verb_from_name("explode", &verb));
	scene_end(&scene);
}

static void an_evacuated_site_is_left_and_taken_back_along_the_ramp(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	walk(&scene, 3000);
	assert_int_equal(failover_operator_site(scene.failover, "site-a", OPERATOR_EVACUATE, 0,
	                                        "new power"),
	                 0);
	walk(&scene, 100);
	expect_view(&scene, "UU UU -> 1");
	assert_int_equal(scene.view->sites[0].state, SITE_EVACUATED);
	assert_int_equal(scene.view->sites[0].share, 0);
	/* Its neighbour dies: better the evacuated one than none. */
	set_tempers(&scene, ANSWERS, ANSWERS, REFUSES, REFUSES);
	walk(&scene, 5000);
	expect_view(&scene, "UU DD -> 0");
	set_tempers(&scene, ANSWERS, ANSWERS, ANSWERS, ANSWERS);
	walk(&scene, 60000);
	expect_view(&scene, "UU UU -> 1");
	assert_int_equal(failover_operator_site(scene.failover, "site-a", OPERATOR_RESTORE, 0,
	                                        NULL),
	                 0);
	walk(&scene, 30000);
	assert_int_equal(scene.view->sites[0].state, SITE_RAMPING);
	assert_in_range(scene.view->sites[0].share, 450, 550);
	walk(&scene, 32000);
	assert_int_equal(scene.view->sites[0].share, 1000);
	scene_end(&scene);
}

/* ---- lack of memory ---- */

static void change_scene(void *arg)
{
	struct failover_target_spec specs[2] = {spec("found-1", "10.0.9.1:5060"),
	                                        spec("sprout-1", "10.0.1.1:5054")};
	struct scene *scene = arg;
	int err;

	scene->pending_count = 0;
	memset(scene->under_way, 0, sizeof(scene->under_way));
	if (failover_create(scene->loop, &scene->config, scene->registry, NULL, &events, scene,
	                    &scene->failover) != 0) {
		assert_true(alloc_fail_happened());
		return;
	}
	err = failover_set_site_targets(scene->failover, 1, specs, 2);
	assert_true(err == 0 || alloc_fail_happened());
	if (failover_operator_site(scene->failover, "site-a", OPERATOR_EVACUATE, 0, NULL) != 0)
		assert_true(alloc_fail_happened());
	walk(scene, 400); /* longer than it takes to try again after a lack of memory */
	assert_int_equal(scene->view->target_count, err == 0 ? 5 : 4);
	failover_destroy(&scene->failover);
	snapshot_release(&scene->view->snapshot);
	scene->view = NULL;
}

static void every_allocation_may_fail(void **state)
{
	struct scene scene;

	scene_begin(&scene);
	failover_destroy(&scene.failover);
	change_scene(&scene); /* names stay in the registry */
	assert_true(alloc_fail_each(change_scene, &scene) > 10);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_stays_keeps_id_and_health_and_takes_the_new_weight),
		cmocka_unit_test(who_is_no_longer_named_drains_then_leaves),
		cmocka_unit_test(who_is_named_again_is_back_at_once),
		cmocka_unit_test(an_id_is_anothers_only_when_no_view_shows_it_and_after_a_rest),
		cmocka_unit_test(a_drained_target_takes_dialogs_and_a_disabled_one_nothing),
		cmocka_unit_test(a_word_with_a_time_expires_by_itself_and_a_restart_keeps_it),
		cmocka_unit_test(unknown_names_and_wrong_verbs_are_refused),
		cmocka_unit_test(an_evacuated_site_is_left_and_taken_back_along_the_ramp),
		cmocka_unit_test(every_allocation_may_fail),
	};

	hash_key_init();
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
