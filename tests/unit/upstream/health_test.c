/* The verdict on one target: every state with every input, scenes in words, and a long random walk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "upstream/health.h"

#define INTERVAL 2000
#define FALL 2
#define RISE 3

static const struct health_settings settings = {.interval_ms = INTERVAL,
                                                .timeout_ms = 800,
                                                .fall = FALL,
                                                .rise = RISE};

/* ---- a script: words in order ---- */

static const struct word {
	const char *text;
	enum health_input input;
	uint64_t value;
} words[] = {
	{"ok", HEALTH_PROBE_OK, 1500},
	{"503", HEALTH_PROBE_OVERLOADED, 0},
	{"lost", HEALTH_PROBE_TIMED_OUT, 0},
	{"noport", HEALTH_PROBE_REFUSED, 0},
	{"answered", HEALTH_TRAFFIC_ANSWERED, 0},
	{"refused", HEALTH_TRAFFIC_REFUSED, 0},
	{"reset", HEALTH_TRAFFIC_RESET, 0},
	{"silent", HEALTH_TRAFFIC_SILENT, 0},
	{"busy", HEALTH_TRAFFIC_OVERLOADED, 0},
	{"busy9s", HEALTH_TRAFFIC_OVERLOADED, 9000},
	{"busy9h", HEALTH_TRAFFIC_OVERLOADED, 9 * 3600 * 1000},
	{"drain", HEALTH_OPERATOR_DRAIN, 0},
	{"enable", HEALTH_OPERATOR_ENABLE, 0},
};

struct scene {
	struct health health;
	uint64_t now_ms;
};

/* "+500": time passes; "probe": one leaves; else an input. */
static void play_word(struct scene *scene, const char *text)
{
	unsigned long ms;
	size_t i;

	if (sscanf(text, "+%lu", &ms) == 1) {
		scene->now_ms += ms;
		health_on_time(&scene->health, scene->now_ms);
		return;
	}
	if (strcmp(text, "probe") == 0) {
		health_begin_probe(&scene->health, scene->now_ms, 0);
		return;
	}
	for (i = 0; i < ARRAY_LENGTH(words); i++) {
		if (strcmp(words[i].text, text) == 0) {
			health_on_input(&scene->health, words[i].input, words[i].value,
			                scene->now_ms);
			return;
		}
	}
	fail_msg("no such word: %s", text);
}

static void play(struct scene *scene, const char *script)
{
	char text[256], *word, *rest = NULL;

	assert_true(strlen(script) < sizeof(text));
	strcpy(text, script);
	for (word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
		play_word(scene, word);
}

static void begin(struct scene *scene)
{
	scene->now_ms = 1000000;
	health_init(&scene->health, &settings, scene->now_ms, 0);
}

static void expect(const struct scene *scene, const char *script, const char *expected)
{
	char got[64];

	snprintf(got, sizeof(got), "%s %s", target_state_name(scene->health.state),
	         health_reason_name(scene->health.reason));
	if (strcmp(got, expected) != 0)
		fail_msg("%s: %s, expected %s", script, got, expected);
}

/* ---- every state with every input ---- */

static const char *const state_scripts[TARGET_STATES] = {
	[TARGET_UNKNOWN] = "",
	[TARGET_UP] = "probe ok",
	[TARGET_DEGRADED] = NULL, /* nothing enters it yet */
	[TARGET_OVERLOADED] = "probe ok busy9s",
	[TARGET_DOWN] = "probe ok probe lost probe lost",
	[TARGET_DRAINING] = "probe ok drain",
};

/* "=": stays as it was. In the order of enum health_input. */
static const char *const table[TARGET_STATES][HEALTH_INPUTS] = {
	[TARGET_UNKNOWN] = {"UP probes_answered", "OVERLOADED probe_503", "=", "=", "=",
                            "DOWN traffic_refused", "=", "=", "OVERLOADED traffic_503",
                            "DRAINING operator", "="},
	[TARGET_UP] = {"=", "OVERLOADED probe_503", "=", "=", "=", "DOWN traffic_refused", "=", "=",
                       "OVERLOADED traffic_503", "DRAINING operator", "="},
	[TARGET_OVERLOADED] = {"=", "=", "=", "=", "=", "DOWN traffic_refused", "=", "=", "=",
                               "DRAINING operator", "="},
	[TARGET_DOWN] = {"=", "=", "=", "=", "=", "=", "=", "=", "=", "DRAINING operator", "="},
	[TARGET_DRAINING] = {"=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "UNKNOWN operator"},
};

static void every_state_takes_every_input_as_the_table_says(void **state)
{
	struct scene scene, before;
	char rest[64], label[64];
	unsigned s, i;
	bool changed;

	for (s = 0; s < TARGET_STATES; s++) {
		if (state_scripts[s] == NULL)
			continue;
		for (i = 0; i < HEALTH_INPUTS; i++) {
			begin(&scene);
			play(&scene, state_scripts[s]);
			assert_int_equal(scene.health.state, s);
			before = scene;
			changed = health_on_input(&scene.health, i, 0, scene.now_ms);
			snprintf(label, sizeof(label), "%s, input %u", target_state_name(s), i);
			snprintf(rest, sizeof(rest), "%s %s", target_state_name(s),
			         health_reason_name(before.health.reason));
			expect(&scene, label, strcmp(table[s][i], "=") == 0 ? rest : table[s][i]);
			assert_int_equal(changed, strcmp(table[s][i], "=") != 0);
			assert_int_equal(scene.health.transitions,
			                 before.health.transitions + changed);
		}
	}
}

/* ---- scenes ---- */

static void scenes_end_as_told(void **state)
{
	static const struct {
		const char *script, *expected;
	} scenes[] = {
		{"", "UNKNOWN start"},
		/* fall and rise */
		{"probe ok", "UP probes_answered"},
		{"probe lost", "UNKNOWN start"},
		{"probe lost probe lost", "DOWN probes_lost"},
		{"probe ok probe lost", "UP probes_answered"},
		{"probe ok probe lost probe noport", "DOWN probe_refused"},
		{"probe ok lost ok lost ok lost ok", "UP probes_answered"},
		{"lost lost ok ok", "DOWN probes_lost"},
		{"lost lost ok ok ok", "UP probes_answered"},
		{"lost lost ok ok lost ok ok", "DOWN probes_lost"},
		/* traffic */
		{"ok refused", "DOWN traffic_refused"},
		{"ok refused answered answered answered", "DOWN traffic_refused"},
		{"ok refused ok ok ok", "UP probes_answered"},
		{"ok silent", "UP probes_answered"},
		{"ok silent silent", "DOWN traffic_silent"},
		{"ok silent answered silent", "UP probes_answered"},
		{"ok silent ok silent", "UP probes_answered"},
		{"ok lost answered lost", "UP probes_answered"},
		{"ok probe reset", "UP probes_answered"},
		{"ok probe reset reset reset reset", "UP probes_answered"}, /* one event */
		{"ok probe reset probe lost", "DOWN probes_lost"},
		{"ok probe reset probe reset", "DOWN traffic_reset"},
		{"ok probe reset probe ok probe reset", "UP probes_answered"},
		/* overload */
		{"ok busy +3999", "OVERLOADED traffic_503"},
		{"ok busy +4000", "UP retry_after_over"},
		{"ok busy9s ok ok ok ok +8999 ok", "OVERLOADED traffic_503"},
		{"ok busy9s +9000", "UP retry_after_over"},
		{"ok busy9s busy +4000", "OVERLOADED traffic_503"}, /* the longer holds */
		{"ok busy9h +299999", "OVERLOADED traffic_503"},
		{"ok busy9h +300000", "UP retry_after_over"},
		{"ok 503 +4000", "UP retry_after_over"},
		{"ok 503 +3000 503 +3000 503 +3000", "OVERLOADED probe_503"},
		{"ok busy9s lost +9000", "OVERLOADED traffic_503"}, /* silent now: no return */
		{"ok busy9s lost +9000 ok", "UP retry_after_over"},
		{"ok busy9s lost lost +9000", "DOWN probes_lost"},
		{"ok busy9s refused ok ok ok", "UP probes_answered"},
		{"503", "OVERLOADED probe_503"},
		{"lost lost 503", "DOWN probes_lost"},
		{"lost lost 503 503 503", "OVERLOADED probe_503"},
		{"lost lost ok ok 503 +4000 ok", "UP retry_after_over"},
		{"lost lost busy", "DOWN probes_lost"},
		/* the operator */
		{"ok drain lost lost refused", "DRAINING operator"},
		{"ok drain lost lost enable", "DOWN operator"},
		{"ok drain refused enable", "DOWN operator"},
		{"ok drain ok ok ok enable", "UP operator"},
		{"ok drain enable ok", "UP probes_answered"},
		{"ok drain busy9s enable", "OVERLOADED operator"},
		{"ok drain busy9s enable +9000", "UP retry_after_over"},
		{"ok drain drain enable enable", "UNKNOWN operator"},
		{"ok enable", "UP probes_answered"},
	};
	struct scene scene;
	size_t i;

	for (i = 0; i < ARRAY_LENGTH(scenes); i++) {
		begin(&scene);
		play(&scene, scenes[i].script);
		expect(&scene, scenes[i].script, scenes[i].expected);
	}
}

/* ---- probes ---- */

static void after_a_miss_the_next_probe_comes_in_half_a_second(void **state)
{
	struct scene scene;

	begin(&scene);
	play(&scene, "ok probe +800 lost");
	assert_int_equal(scene.health.next_probe_ms, scene.now_ms + 500);
	/* Then the matter is decided, and the interval is the usual one. */
	play(&scene, "+500 probe +800 lost");
	assert_int_equal(scene.health.state, TARGET_DOWN);
	assert_true(scene.health.next_probe_ms > scene.now_ms + 500);
}

static void a_broken_connection_and_a_first_silence_call_for_a_probe_at_once(void **state)
{
	static const char *const scripts[] = {"ok probe +100 reset", "ok probe +100 silent"};
	struct scene scene;
	unsigned i;

	for (i = 0; i < 2; i++) {
		begin(&scene);
		play(&scene, scripts[i]);
		assert_int_equal(scene.health.next_probe_ms, scene.now_ms);
	}
}

static void a_storm_of_silence_calls_for_one_probe(void **state)
{
	struct scene scene;
	unsigned i;

	begin(&scene);
	play(&scene, "ok probe silent probe");
	for (i = 0; i < 1000; i++) {
		play(&scene, "silent");
		assert_true(scene.health.next_probe_ms > scene.now_ms);
	}
}

static void probes_spread_ten_percent_either_way(void **state)
{
	uint64_t earliest = UINT64_MAX, latest = 0;
	struct scene scene;
	uint32_t i;

	begin(&scene);
	for (i = 0; i < 5000; i++) {
		uint64_t delay;

		health_begin_probe(&scene.health, scene.now_ms, i * 2654435761u);
		delay = scene.health.next_probe_ms - scene.now_ms;
		earliest = delay < earliest ? delay : earliest;
		latest = delay > latest ? delay : latest;
	}
	assert_in_range(earliest, 1800, 1810);
	assert_in_range(latest, 2190, 2200);
}

static void only_the_answer_to_the_last_probe_counts(void **state)
{
	struct scene scene;
	uint32_t first, second;

	begin(&scene);
	first = health_begin_probe(&scene.health, scene.now_ms, 0);
	assert_true(health_probe_is_current(&scene.health, first));
	second = health_begin_probe(&scene.health, scene.now_ms, 0);
	assert_false(health_probe_is_current(&scene.health, first));
	assert_true(health_probe_is_current(&scene.health, second));
}

static void the_window_keeps_the_last_64_probes(void **state)
{
	struct scene scene;
	unsigned i;

	begin(&scene);
	assert_int_equal(scene.health.probe_us, -1);
	play(&scene, "ok lost ok 503");
	assert_int_equal(scene.health.window, 0xb); /* newest in bit 0 */
	assert_int_equal(scene.health.window_length, 4);
	assert_int_equal(scene.health.probe_us, 1500);
	for (i = 0; i < 100; i++)
		play(&scene, "ok");
	assert_true(scene.health.window == UINT64_MAX);
	assert_int_equal(scene.health.window_length, 64);
}

static void every_reason_has_a_name_and_words(void **state)
{
	unsigned i, j;

	for (i = 0; i < HEALTH_REASONS; i++) {
		assert_non_null(health_reason_name(i));
		assert_non_null(health_reason_words(i));
		for (j = 0; j < i; j++)
			assert_string_not_equal(health_reason_name(i), health_reason_name(j));
	}
}

/* ---- a long random walk ---- */

struct walk {
	struct scene scene;
	unsigned answered, missed; /* probes in a row, counted apart from the code under test */
	uint64_t not_before_ms;    /* what the last 503s asked for */
	bool drained;
};

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void walk_count(struct walk *walk, enum health_input input, uint64_t value)
{
	uint64_t until;

	if (input == HEALTH_PROBE_OK || input == HEALTH_PROBE_OVERLOADED)
		walk->answered++;
	if (input == HEALTH_PROBE_TIMED_OUT || input == HEALTH_PROBE_REFUSED ||
	    input == HEALTH_TRAFFIC_REFUSED)
		walk->answered = 0;
	if (input == HEALTH_PROBE_TIMED_OUT || input == HEALTH_PROBE_REFUSED)
		walk->missed++;
	if (input <= HEALTH_PROBE_OVERLOADED || input == HEALTH_TRAFFIC_ANSWERED ||
	    input == HEALTH_TRAFFIC_OVERLOADED)
		walk->missed = 0;
	if (input == HEALTH_TRAFFIC_OVERLOADED || input == HEALTH_PROBE_OVERLOADED) {
		value = value > 0 ? value : 2 * INTERVAL;
		until = walk->scene.now_ms + (value < 300000 ? value : 300000);
		if (walk->not_before_ms < until)
			walk->not_before_ms = until;
	}
	if (input == HEALTH_OPERATOR_DRAIN)
		walk->drained = true;
	if (input == HEALTH_OPERATOR_ENABLE)
		walk->drained = false;
}

static void walk_check(struct walk *walk, const struct health *before, enum health_input input,
                       bool changed)
{
	const struct health *now = &walk->scene.health;

	assert_int_equal(now->state == TARGET_DRAINING, walk->drained);
	assert_int_equal(changed, now->state != before->state);
	assert_int_equal(now->transitions, before->transitions + changed);
	if (changed) {
		assert_int_equal(now->since_ms, walk->scene.now_ms);
		assert_int_not_equal(now->reason, HEALTH_REASON_NONE);
		assert_int_not_equal(now->reason, HEALTH_REASON_START);
	}
	/* Nobody returns from DOWN by less than `rise` answered probes. */
	if (before->state == TARGET_DOWN && changed && !walk->drained)
		assert_true(walk->answered >= RISE);
	/* Nobody who asked for time is given work before it is over. */
	if (before->state == TARGET_OVERLOADED && now->state == TARGET_UP)
		assert_true(walk->scene.now_ms >= walk->not_before_ms);
	if (now->state == TARGET_UP)
		walk->not_before_ms = 0;
	if (now->state == TARGET_DOWN)
		walk->not_before_ms = 0;
	/* Nobody stays in service who lost `fall` probes in a row, or refused. */
	if (walk->missed >= FALL || input == HEALTH_TRAFFIC_REFUSED)
		assert_true(now->state == TARGET_DOWN || now->state == TARGET_DRAINING);
	assert_true(now->overloaded_until_ms <= walk->scene.now_ms + 300000);
	assert_true(now->next_probe_ms <= walk->scene.now_ms + INTERVAL + INTERVAL / 10);
}

static void a_random_walk_of_300000_steps_breaks_no_promise(void **state)
{
	uint64_t seed = 0x2545f4914f6cdd1d, value, seen[TARGET_STATES] = {0};
	struct walk walk = {0};
	struct health before;
	unsigned step;
	bool changed;

	begin(&walk.scene);
	for (step = 0; step < 300000; step++) {
		/* Inputs come in moods, else nothing ever stays up. */
		uint64_t r = next_random(&seed), mood = step / 50 % 4;
		enum health_input input;

		walk.scene.now_ms += r % 700;
		if (walk.scene.now_ms >= walk.scene.health.next_probe_ms)
			health_begin_probe(&walk.scene.health, walk.scene.now_ms, (uint32_t)r);
		before = walk.scene.health;
		changed = health_on_time(&walk.scene.health, walk.scene.now_ms);
		walk_check(&walk, &before, HEALTH_INPUTS, changed);
		r = next_random(&seed);
		input = r % 100 < 85 ? (mood < 2    ? HEALTH_PROBE_OK
		                        : mood == 2 ? HEALTH_TRAFFIC_ANSWERED
		                                    : HEALTH_PROBE_TIMED_OUT)
		                     : (r >> 20) % HEALTH_INPUTS;
		if (input == HEALTH_OPERATOR_DRAIN && (r >> 40) % 4 != 0)
			input = HEALTH_OPERATOR_ENABLE;
		value = (r >> 30) % 3 == 0 ? 0 : (r >> 32) % 20000;
		before = walk.scene.health;
		changed = health_on_input(&walk.scene.health, input, value, walk.scene.now_ms);
		walk_count(&walk, input, value);
		walk_check(&walk, &before, input, changed);
		seen[walk.scene.health.state]++;
	}
	/* It went everywhere, so the promises were tried. */
	assert_true(seen[TARGET_UP] > 1000 && seen[TARGET_DOWN] > 1000);
	assert_true(seen[TARGET_OVERLOADED] > 1000 && seen[TARGET_DRAINING] > 1000);
	assert_true(seen[TARGET_UNKNOWN] > 10);
	assert_true(walk.scene.health.transitions > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_takes_every_input_as_the_table_says),
		cmocka_unit_test(scenes_end_as_told),
		cmocka_unit_test(after_a_miss_the_next_probe_comes_in_half_a_second),
		cmocka_unit_test(a_broken_connection_and_a_first_silence_call_for_a_probe_at_once),
		cmocka_unit_test(a_storm_of_silence_calls_for_one_probe),
		cmocka_unit_test(probes_spread_ten_percent_either_way),
		cmocka_unit_test(only_the_answer_to_the_last_probe_counts),
		cmocka_unit_test(the_window_keeps_the_last_64_probes),
		cmocka_unit_test(every_reason_has_a_name_and_words),
		cmocka_unit_test(a_random_walk_of_300000_steps_breaks_no_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
