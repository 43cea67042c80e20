/* Two sites of two targets under the decision, with fake time and fake probes. */
#ifndef TESTS_UNIT_UPSTREAM_FAILOVER_SCENE_H
#define TESTS_UNIT_UPSTREAM_FAILOVER_SCENE_H

#include "stage.h"

#include "base/hash.h"
#include "base/log.h"
#include "support/fake_loop.h"
#include "upstream/failover.h"

#define STEP_MS 10

/* What a target does with probes. */
enum temper { ANSWERS, LOSES, REFUSES, SAYS_503, NO_LETTER };

struct pending {
	uint32_t id, generation;
	uint64_t due_ms;
	enum health_input result;
};

struct scene {
	struct config_target targets[4];
	struct config_site sites[2];
	struct config config;
	struct loop *loop;
	struct metrics_registry *registry;
	struct metrics *metrics;
	struct failover *failover;
	struct view *view; /* the last published, ours to release */
	unsigned views;
	enum temper tempers[VIEW_TARGETS_MAX];
	unsigned probes[VIEW_TARGETS_MAX];
	unsigned under_way[VIEW_TARGETS_MAX]; /* on_probe without a result yet */
	uint64_t last_probe_ms[VIEW_TARGETS_MAX];
	struct pending pending[2 * VIEW_TARGETS_MAX];
	unsigned pending_count;
	struct failover_event events[32];
	unsigned event_count;
};

static inline void on_view(void *arg, struct view *view)
{
	struct scene *scene = arg;

	if (scene->view != NULL)
		snapshot_release(&scene->view->snapshot);
	scene->view = view;
	scene->views++;
}

static inline void on_probe(void *arg, uint32_t id, uint32_t generation, uint64_t timeout_ms)
{
	static const enum health_input results[] = {
		[ANSWERS] = HEALTH_PROBE_OK,      [LOSES] = HEALTH_PROBE_TIMED_OUT,
		[REFUSES] = HEALTH_PROBE_REFUSED, [SAYS_503] = HEALTH_PROBE_OVERLOADED,
		[NO_LETTER] = HEALTH_PROBE_OK,
	};
	struct scene *scene = arg;
	enum temper temper = scene->tempers[id];

	assert_int_equal(timeout_ms, 800);
	assert_int_equal(scene->under_way[id], 0); /* one at a time */
	scene->probes[id]++;
	scene->last_probe_ms[id] = loop_now_ms(scene->loop);
	if (temper == NO_LETTER)
		return;
	scene->under_way[id]++;
	assert_true(scene->pending_count < ARRAY_LENGTH(scene->pending));
	scene->pending[scene->pending_count++] =
		(struct pending){id, generation,
	                         loop_now_ms(scene->loop) + (temper == LOSES ? 800 : STEP_MS),
	                         results[temper]};
}

/* The last ones, newest last. */
static inline void on_event(void *arg, const struct failover_event *event)
{
	struct scene *scene = arg;

	if (scene->event_count == ARRAY_LENGTH(scene->events))
		memmove(scene->events, scene->events + 1,
		        --scene->event_count * sizeof(scene->events[0]));
	scene->events[scene->event_count++] = *event;
}

static const struct failover_events events = {.on_view = on_view,
                                              .on_probe = on_probe,
                                              .on_event = on_event};

static inline void deliver_letters(struct scene *scene)
{
	unsigned i = 0;

	while (i < scene->pending_count) {
		struct pending letter = scene->pending[i];

		if (letter.due_ms > loop_now_ms(scene->loop)) {
			i++;
			continue;
		}
		scene->pending[i] = scene->pending[--scene->pending_count];
		scene->under_way[letter.id]--;
		failover_probe_result(scene->failover, letter.id, letter.generation, letter.result,
		                      2500);
	}
}

static inline void walk(struct scene *scene, uint64_t ms)
{
	uint64_t end = loop_now_ms(scene->loop) + ms;

	while (loop_now_ms(scene->loop) < end) {
		fake_loop_walk(scene->loop, STEP_MS);
		deliver_letters(scene);
	}
	fake_loop_walk(scene->loop, 0);
}

static inline void scene_config(struct scene *scene)
{
	static char names[2][16] = {"sprout-1", "sprout-2"};
	static char site_names[2][16] = {"site-a", "site-b"};
	static char uris[4][48] = {"sip:10.0.0.1:5054;transport=tcp",
	                           "sip:10.0.0.2:5054;transport=tcp", "sip:10.0.1.1:5054;lr",
	                           "sip:10.0.1.2:5054"};
	static const char *const addresses[] = {"10.0.0.1:5054", "10.0.0.2:5054", "10.0.1.1:5054",
	                                        "10.0.1.2:5054"};
	unsigned i;

	for (i = 0; i < 4; i++) {
		scene->targets[i] = (struct config_target){
			.name = names[i % 2],
			.uri = uris[i],
			.transport = i < 2 ? CONFIG_TCP : CONFIG_UDP,
			.weight = 1 + i,
		};
		assert_true(
			address_parse(slice_from_string(addresses[i]), &scene->targets[i].address));
	}
	for (i = 0; i < 2; i++)
		scene->sites[i] = (struct config_site){
			.name = site_names[i],
			.local = i == 0,
			.targets = &scene->targets[2 * i],
			.target_count = 2,
		};
	scene->config = (struct config){
		.sites = scene->sites,
		.site_count = 2,
		.health_interval_ms = 2000,
		.health_timeout_ms = 800,
		.health_fall = 2,
		.health_rise = 3,
		.failback_hold_down_ms = 30000,
		.failback_ramp_ms = 60000,
	};
}

static inline void scene_begin(struct scene *scene)
{
	memset(scene, 0, sizeof(*scene));
	scene_config(scene);
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(loop_create("control", &scene->loop), 0);
	loop_advance_to(scene->loop, FAKE_CLOCK_START_MS);
	assert_int_equal(metrics_registry_create(&scene->registry), 0);
	assert_int_equal(metrics_create(scene->registry, "control", &scene->metrics), 0);
	assert_int_equal(failover_create(scene->loop, &scene->config, scene->registry,
	                                 scene->metrics, &events, scene, &scene->failover),
	                 0);
}

static inline void scene_end(struct scene *scene)
{
	failover_destroy(&scene->failover);
	if (scene->view != NULL)
		snapshot_release(&scene->view->snapshot);
	metrics_registry_destroy(&scene->registry);
	loop_destroy(&scene->loop);
	fake_clock_off();
}

static inline void set_tempers(struct scene *scene, enum temper a, enum temper b, enum temper c,
                               enum temper d)
{
	const enum temper tempers[] = {a, b, c, d};

	memcpy(scene->tempers, tempers, sizeof(tempers));
}

/* "UU DU -> 0": states of the published view, and which site serves. */
static inline void expect_view(const struct scene *scene, const char *expected)
{
	static const char letters[] = "?UGODX";
	const struct view_target *targets = scene->view->targets;
	char got[32];

	snprintf(got, sizeof(got), "%c%c %c%c -> %d", letters[targets[0].state],
	         letters[targets[1].state], letters[targets[2].state], letters[targets[3].state],
	         scene->view->serving);
	assert_string_equal(got, expected);
}

#endif
