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
	{"503for9s", HEALTH_PROBE_OVERLOADED, 9000},
	{"lost", HEALTH_PROBE_TIMED_OUT, 0},
	{"noport", HEALTH_PROBE_REFUSED, 0},
	{"notls", HEALTH_PROBE_TLS, 0},
	{"answered", HEALTH_TRAFFIC_ANSWERED, 0},
	{"refused", HEALTH_TRAFFIC_REFUSED, 0},
	{"reset", HEALTH_TRAFFIC_RESET, 0},
	{"silent", HEALTH_TRAFFIC_SILENT, 0},
	{"busy", HEALTH_TRAFFIC_OVERLOADED, 0},
	{"busy9s", HEALTH_TRAFFIC_OVERLOADED, 9000},
	{"busy9h", HEALTH_TRAFFIC_OVERLOADED, 9 * 3600 * 1000},
	{"slow", HEALTH_TRAFFIC_SLOW, 0},
	{"lossy", HEALTH_TRAFFIC_LOSSY, 0},
	{"sound", HEALTH_TRAFFIC_SOUND, 0},
	{"drain", HEALTH_OPERATOR_DRAIN, 0},
	{"enable", HEALTH_OPERATOR_ENABLE, 0},
	{"removed", HEALTH_REMOVED, 0},
	{"named", HEALTH_NAMED, 0},
};

struct scene {
	struct health health;
	uint64_t now_ms;
};

/* "+500": time passes; "probe": one leaves; "good:9": so many answers are told; "silent:9": so many requests sent 9 ms ago;
 * else an input. */
static void play_word(struct scene *scene, const char *text)
{
	unsigned long ms;
	size_t i;

	if (sscanf(text, "+%lu", &ms) == 1) {
		scene->now_ms += ms;
		health_on_time(&scene->health, scene->now_ms);
		return;
	}
	if (sscanf(text, "good:%lu", &ms) == 1) {
		health_on_answers(&scene->health, (unsigned)ms, 0, scene->now_ms, scene->now_ms);
		return;
	}
	if (sscanf(text, "silent:%lu", &ms) == 1) {
		health_on_input(&scene->health, HEALTH_TRAFFIC_SILENT, scene->now_ms - ms,
		                scene->now_ms);
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
	char text[512], *word, *rest = NULL;

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

#define DEAF                                                                                       \
	"silent ok silent ok silent ok silent ok silent ok silent ok silent ok silent ok silent "  \
	"ok silent ok +1000 "

/* "=": stays as it was. In the order of enum health_input. */
static const struct {
	const char *script;
	enum target_state state;
	const char *becomes[HEALTH_INPUTS];
} table[] = {
	{"",
         TARGET_UNKNOWN,
         {"UP probes_answered", "OVERLOADED probe_503", "=", "=", "=", "=", "DOWN traffic_refused",
          "=", "=", "=", "=", "=", "=", "DRAINING operator", "=", "DRAINING removed", "="}},
	{"probe ok",
         TARGET_UP,
         {"=", "OVERLOADED probe_503", "=", "=", "=", "=", "DOWN traffic_refused", "=", "=", "=",
          "DEGRADED slow", "DEGRADED lossy", "=", "DRAINING operator", "=", "DRAINING removed",
          "="}},
	/* one step before each of the edges */
	{"probe ok lost",
         TARGET_UP,
         {"=", "OVERLOADED probe_503", "DOWN probes_lost", "DOWN probe_refused", "DOWN probe_tls",
          "=", "DOWN traffic_refused", "DOWN traffic_reset", "=", "=", "DEGRADED slow",
          "DEGRADED lossy", "=", "DRAINING operator", "=", "DRAINING removed", "="}},
	{"probe ok silent +500",
         TARGET_UP,
         {"=", "OVERLOADED probe_503", "=", "=", "=", "=", "DOWN traffic_refused", "=",
          "DOWN traffic_silent", "=", "DEGRADED slow", "DEGRADED lossy", "=", "DRAINING operator",
          "=", "DRAINING removed", "="}},
	{"probe ok busy busy",
         TARGET_UP,
         {"=", "OVERLOADED probe_503", "=", "=", "=", "=", "DOWN traffic_refused", "=", "=",
          "OVERLOADED traffic_503", "DEGRADED slow", "DEGRADED lossy", "=", "DRAINING operator",
          "=", "DRAINING removed", "="}},
	{"probe ok slow",
         TARGET_DEGRADED,
         {"=", "OVERLOADED probe_503", "=", "=", "=", "=", "DOWN traffic_refused", "=", "=", "=",
          "=", "=", "=", "DRAINING operator", "=", "DRAINING removed", "="}},
	{"probe ok slow +10000",
         TARGET_DEGRADED,
         {"=", "OVERLOADED probe_503", "=", "=", "=", "=", "DOWN traffic_refused", "=", "=", "=",
          "=", "=", "UP sound", "DRAINING operator", "=", "DRAINING removed", "="}},
	/* on trial */
	{"ok " DEAF "ok ok ok",
         TARGET_DEGRADED,
         {"=", "OVERLOADED probe_503", "=", "=", "=", "=", "DOWN traffic_refused", "=", "=", "=",
          "=", "=", "=", "DRAINING operator", "=", "DRAINING removed", "="}},
	{"ok " DEAF "ok ok ok silent ok",
         TARGET_DEGRADED,
         {"=", "OVERLOADED probe_503", "=", "=", "=", "=", "DOWN traffic_refused", "=",
          "DOWN one_way", "=", "=", "=", "=", "DRAINING operator", "=", "DRAINING removed", "="}},
	{"probe ok 503",
         TARGET_OVERLOADED,
         {"=", "=", "=", "=", "=", "=", "DOWN traffic_refused", "=", "=", "=", "=", "=", "=",
          "DRAINING operator", "=", "DRAINING removed", "="}},
	{"probe ok 503 lost +9000",
         TARGET_OVERLOADED,
         {"UP retry_after_over", "=", "DOWN probes_lost", "DOWN probe_refused", "DOWN probe_tls",
          "=", "DOWN traffic_refused", "=", "=", "=", "=", "=", "=", "DRAINING operator", "=",
          "DRAINING removed", "="}},
	{"probe ok lost lost",
         TARGET_DOWN,
         {"=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "DRAINING operator", "=",
          "DRAINING removed", "="}},
	{"probe ok lost lost ok ok",
         TARGET_DOWN,
         {"UP probes_answered", "OVERLOADED probe_503", "=", "=", "=", "=", "=", "=", "=", "=", "=",
          "=", "=", "DRAINING operator", "=", "DRAINING removed", "="}},
	{"probe ok drain",
         TARGET_DRAINING,
         {"=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "UP operator", "=",
          "="}},
	{"probe ok removed",
         TARGET_DRAINING,
         {"=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "=", "DRAINING removed", "=",
          "=", "UP named"}},
};

static void every_state_takes_every_input_as_the_table_says(void **state)
{
	struct scene scene, before;
	char rest[64], label[256];
	unsigned s, i, reached = 0;
	bool changed;

	for (s = 0; s < ARRAY_LENGTH(table); s++) {
		for (i = 0; i < HEALTH_INPUTS; i++) {
			const char *becomes = table[s].becomes[i];

			begin(&scene);
			play(&scene, table[s].script);
			assert_int_equal(scene.health.state, table[s].state);
			reached |= 1u << scene.health.state;
			before = scene;
			changed = health_on_input(&scene.health, i, 0, scene.now_ms);
			snprintf(label, sizeof(label), "%s, input %u", table[s].script, i);
			snprintf(rest, sizeof(rest), "%s %s", target_state_name(table[s].state),
			         health_reason_name(before.health.reason));
			if (table[s].state == TARGET_DRAINING &&
			    strcmp(becomes, "DRAINING removed") == 0)
				becomes = "="; /* it drains already: the first reason stays */
			expect(&scene, label, strcmp(becomes, "=") == 0 ? rest : becomes);
			assert_int_equal(changed, strcmp(becomes, "=") != 0);
			assert_int_equal(scene.health.transitions,
			                 before.health.transitions + changed);
		}
	}
	assert_int_equal(reached, (1u << TARGET_STATES) - 1);
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
		{"probe ok probe notls probe notls", "DOWN probe_tls"},
		{"notls notls ok ok ok", "UP probes_answered"},
		{"probe ok lost ok lost ok lost ok", "UP probes_answered"},
		{"lost lost ok ok", "DOWN probes_lost"},
		{"lost lost ok ok ok", "UP probes_answered"},
		{"lost lost ok ok lost ok ok", "DOWN probes_lost"},
		/* traffic */
		{"ok refused", "DOWN traffic_refused"},
		{"ok refused answered answered answered", "DOWN traffic_refused"},
		{"ok refused ok ok ok", "UP probes_answered"},
		{"ok silent +5000", "UP probes_answered"},
		{"ok silent silent", "UP probes_answered"}, /* a probe gets its chance */
		{"ok silent silent +199", "UP probes_answered"},
		{"ok silent silent +200", "DOWN traffic_silent"},
		{"ok silent silent ok +200", "UP probes_answered"},
		{"ok silent silent answered +200", "UP probes_answered"},
		{"ok silent +100 answered silent +900", "UP probes_answered"},
		{"ok silent ok silent +900", "UP probes_answered"},
		{"ok silent silent silent +199 silent +1", "DOWN traffic_silent"},
		/* it answered others after they were sent: losses, no death */
		{"ok +100 silent:200 silent:150 silent:101 +900", "UP probes_answered"},
		{"ok +100 silent:99 silent:50 +200", "DOWN traffic_silent"},
		{"ok lost answered lost", "UP probes_answered"},
		{"ok probe reset", "UP probes_answered"},
		{"ok probe reset reset reset reset", "UP probes_answered"}, /* one event */
		{"ok probe reset probe lost", "DOWN probes_lost"},
		{"ok probe reset probe reset", "DOWN traffic_reset"},
		{"ok probe reset probe ok probe reset", "UP probes_answered"},
		/* probes answered, requests not */
		{"ok " DEAF, "DOWN one_way"},
		{"ok silent ok silent ok silent ok silent ok +5000", "UP probes_answered"},
		{"ok " DEAF "ok ok", "DOWN one_way"},
		{"ok " DEAF "ok ok ok", "DEGRADED trial"},
		{"ok " DEAF "ok ok ok answered answered answered answered", "DEGRADED trial"},
		{"ok " DEAF "ok ok ok good:5", "UP trial_passed"},
		{"ok " DEAF "ok ok ok silent ok silent ok", "DOWN one_way"},
		{"ok " DEAF "ok ok ok silent ok silent ok ok ok +9999", "DOWN one_way"},
		{"ok " DEAF "ok ok ok silent ok silent ok ok ok +10000", "DEGRADED trial"},
		{"ok " DEAF "ok ok ok +59999", "DEGRADED trial"},
		{"ok " DEAF "ok ok ok +60000", "UP trial_passed"},
		{"ok " DEAF "lost lost ok ok ok", "UP probes_answered"}, /* an ordinary death */
		/* outliers */
		{"ok slow", "DEGRADED slow"},
		{"ok lossy slow", "DEGRADED lossy"},
		{"ok slow +9999 sound", "DEGRADED slow"},
		{"ok slow +10000 sound", "UP sound"},
		{"ok slow +10000 sound slow +10000 sound slow +19999 sound", "DEGRADED slow"},
		{"ok slow +10000 sound slow +10000 sound slow +20000 sound", "UP sound"},
		{"slow", "UNKNOWN start"},
		{"ok slow lost lost +10000 sound", "DOWN probes_lost"},
		/* overload: one answer proves nothing, three of few do, three of many do not */
		{"ok busy9s busy9s", "UP probes_answered"},
		{"ok busy busy busy +3999", "OVERLOADED traffic_503"},
		{"ok busy busy busy +4000", "UP retry_after_over"},
		{"ok good:100 busy busy busy busy", "UP probes_answered"},
		{"ok busy busy good:3 busy", "UP probes_answered"},
		{"ok good:100 +5000 busy busy busy busy", "OVERLOADED traffic_503"},
		{"ok busy +10001 busy +10001 busy", "UP probes_answered"},
		{"ok busy +5000 busy +5000 busy", "OVERLOADED traffic_503"},
		{"ok busy9s busy9s busy9s ok ok ok ok +8999 ok", "OVERLOADED traffic_503"},
		{"ok busy9s busy9s busy9s +9000", "UP retry_after_over"},
		{"ok busy busy busy9s busy +4000", "OVERLOADED traffic_503"}, /* the longer holds */
		{"ok busy busy busy9h +299999", "OVERLOADED traffic_503"},
		{"ok busy busy busy9h +300000", "UP retry_after_over"},
		{"ok 503 +4000", "UP retry_after_over"},
		{"ok 503for9s +8999 ok", "OVERLOADED probe_503"},
		{"ok 503for9s +9000 ok", "UP retry_after_over"},
		{"ok 503 +3000 503 +3000 503 +3000", "OVERLOADED probe_503"},
		{"ok 503 +4000 503 +9999 ok", "OVERLOADED probe_503"}, /* the second time longer */
		{"ok 503 +4000 503 +10000 ok", "UP retry_after_over"},
		{"ok 503for9s lost +9000", "OVERLOADED probe_503"}, /* silent now: no return */
		{"ok 503for9s lost +9000 ok", "UP retry_after_over"},
		{"ok 503for9s lost lost +9000", "DOWN probes_lost"},
		{"ok 503for9s refused ok ok ok", "UP probes_answered"},
		{"503", "OVERLOADED probe_503"},
		{"lost lost 503", "DOWN probes_lost"},
		{"lost lost 503 503 503", "OVERLOADED probe_503"},
		{"lost lost ok ok 503 +4000 ok", "UP retry_after_over"},
		{"lost lost busy busy busy", "DOWN probes_lost"},
		/* damping */
		{"ok refused ok ok ok refused ok ok ok +9999", "DOWN traffic_refused"},
		{"ok refused ok ok ok refused ok ok ok +10000", "UP probes_answered"},
		{"ok refused ok ok ok +300000 refused ok ok ok",
	         "UP probes_answered"}, /* forgiven */
		{"ok refused ok ok ok refused +10000 ok ok ok refused ok ok ok +19999",
	         "DOWN traffic_refused"},
		/* the operator and DNS */
		{"ok drain lost lost refused", "DRAINING operator"},
		{"ok drain lost lost enable", "DOWN operator"},
		{"ok drain refused enable", "DOWN operator"},
		{"ok drain ok ok ok enable", "UP operator"},
		{"drain enable ok", "UP probes_answered"},
		{"ok drain 503for9s enable", "OVERLOADED operator"},
		{"ok drain 503for9s enable +9000", "UP retry_after_over"},
		{"ok drain drain enable enable", "UP operator"},
		{"ok enable", "UP probes_answered"},
		{"ok removed drain named", "DRAINING removed"},
		{"ok removed drain enable", "DRAINING removed"},
		{"ok removed lost lost named", "DOWN named"},
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
	bool drained, removed;
	uint64_t losses_ms[14]; /* the last times that it left full service, a ring */
	unsigned losses;
	unsigned mood;
	uint64_t reasons[HEALTH_REASONS]; /* how often each made a change */
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
	bool overloaded = walk->scene.health.verdict == TARGET_OVERLOADED;
	uint64_t until;

	if (input == HEALTH_PROBE_OK || input == HEALTH_PROBE_OVERLOADED)
		walk->answered++;
	if (input == HEALTH_PROBE_TIMED_OUT || input == HEALTH_PROBE_REFUSED ||
	    input == HEALTH_PROBE_TLS || input == HEALTH_TRAFFIC_REFUSED)
		walk->answered = 0;
	if (input == HEALTH_PROBE_TIMED_OUT || input == HEALTH_PROBE_REFUSED ||
	    input == HEALTH_PROBE_TLS)
		walk->missed++;
	if (input <= HEALTH_PROBE_OVERLOADED || input == HEALTH_TRAFFIC_ANSWERED ||
	    input == HEALTH_TRAFFIC_OVERLOADED)
		walk->missed = 0;
	if (input == HEALTH_PROBE_OVERLOADED ||
	    (input == HEALTH_TRAFFIC_OVERLOADED && overloaded)) {
		value = value > 0 ? value : 2 * INTERVAL;
		until = walk->scene.now_ms + (value < 300000 ? value : 300000);
		if (walk->not_before_ms < until)
			walk->not_before_ms = until;
	}
	if (input == HEALTH_OPERATOR_DRAIN || input == HEALTH_OPERATOR_ENABLE)
		walk->drained = input == HEALTH_OPERATOR_DRAIN;
	if (input == HEALTH_REMOVED || input == HEALTH_NAMED)
		walk->removed = input == HEALTH_REMOVED;
}

static void walk_check_verdict(struct walk *walk, const struct health *before)
{
	const struct health *now = &walk->scene.health;
	bool lost = (before->verdict == TARGET_UP || before->verdict == TARGET_DEGRADED) &&
	            (now->verdict == TARGET_DOWN || now->verdict == TARGET_OVERLOADED);
	bool won = before->verdict != TARGET_UNKNOWN && before->verdict != now->verdict &&
	           now->verdict == TARGET_UP;

	/* Nobody returns from DOWN by less than `rise` answered probes. */
	if (before->verdict == TARGET_DOWN && now->verdict != TARGET_DOWN)
		assert_true(walk->answered >= RISE);
	/* Nobody who asked for time is given work before it is over, nor anybody before damping is. */
	if (before->verdict == TARGET_OVERLOADED && now->verdict == TARGET_UP)
		assert_true(walk->scene.now_ms >= walk->not_before_ms);
	if (won && before->verdict != TARGET_DEGRADED)
		assert_true(walk->scene.now_ms >= now->hold_until_ms);
	if (now->verdict == TARGET_UP || now->verdict == TARGET_DOWN)
		walk->not_before_ms = 0;
	if (before->verdict != TARGET_DOWN && now->verdict == TARGET_DOWN)
		walk->answered = 0;
	/* Never more than 14 losses in ten minutes. */
	if (lost || (before->verdict == TARGET_UP && now->verdict == TARGET_DEGRADED)) {
		uint64_t *slot = &walk->losses_ms[walk->losses++ % ARRAY_LENGTH(walk->losses_ms)];

		assert_true(*slot == 0 || walk->scene.now_ms > *slot + 600000);
		*slot = walk->scene.now_ms;
	}
}

static void walk_check(struct walk *walk, const struct health *before, enum health_input input,
                       bool changed)
{
	const struct health *now = &walk->scene.health;
	bool withheld = walk->drained || walk->removed;

	assert_int_equal(now->state == TARGET_DRAINING, withheld);
	assert_true(withheld || now->state == now->verdict);
	assert_int_equal(changed, now->state != before->state);
	assert_int_equal(now->transitions, before->transitions + changed);
	if (changed) {
		walk->reasons[now->reason]++;
		assert_int_equal(now->since_ms, walk->scene.now_ms);
		assert_int_not_equal(now->reason, HEALTH_REASON_NONE);
		assert_int_not_equal(now->reason, HEALTH_REASON_START);
	}
	walk_check_verdict(walk, before);
	/* Nobody stays in service who lost `fall` probes in a row, or refused. */
	if (walk->missed >= FALL || input == HEALTH_TRAFFIC_REFUSED)
		assert_int_equal(now->verdict, TARGET_DOWN);
	/* Every absence that we make ourselves has an end. */
	assert_true(now->overloaded_until_ms <= walk->scene.now_ms + 300000);
	assert_true(now->hold_until_ms <= walk->scene.now_ms + 300000);
	assert_true(now->next_probe_ms <= walk->scene.now_ms + INTERVAL + INTERVAL / 10);
	/* What is due is done: time alone is never asked twice for the same. */
	if (input == HEALTH_INPUTS)
		assert_true(health_due_ms(now) > walk->scene.now_ms);
}

static enum health_input walk_input(uint64_t r, uint64_t mood)
{
	static const enum health_input moods[] = {
		HEALTH_PROBE_OK,        HEALTH_PROBE_OK,       HEALTH_TRAFFIC_ANSWERED,
		HEALTH_PROBE_TIMED_OUT, HEALTH_TRAFFIC_SILENT, HEALTH_TRAFFIC_OVERLOADED,
		HEALTH_INPUTS, /* heard by probes only */
	};
	enum health_input input = r % 100 < 98 ? moods[mood] : (r >> 20) % HEALTH_INPUTS;

	if (input == HEALTH_INPUTS)
		input = (r >> 20) % 2 == 0 ? HEALTH_PROBE_OK : HEALTH_TRAFFIC_SILENT;

	if (input == HEALTH_PROBE_TIMED_OUT && (r >> 20) % 16 < 3)
		input = (r >> 20) % 16 == 0   ? HEALTH_TRAFFIC_RESET
		        : (r >> 20) % 16 == 1 ? HEALTH_PROBE_REFUSED
		                              : HEALTH_PROBE_TLS;
	/* Who is withheld proves little. */
	if ((r >> 40) % 4 != 0) {
		if (input == HEALTH_OPERATOR_DRAIN)
			return HEALTH_OPERATOR_ENABLE;
		if (input == HEALTH_REMOVED)
			return HEALTH_NAMED;
	}
	return input;
}

static void walk_step(struct walk *walk, uint64_t *seed)
{
	/* Inputs come in moods, else nothing ever stays up. */
	uint64_t r = next_random(seed), value;
	struct health before = walk->scene.health;
	enum health_input input;
	unsigned i;
	bool changed;

	walk->scene.now_ms += r % 700;
	if (walk->scene.now_ms >= walk->scene.health.next_probe_ms)
		health_begin_probe(&walk->scene.health, walk->scene.now_ms, (uint32_t)r);
	/* As failover does: as often as something is due. */
	for (i = 0; i == 0 || health_due_ms(&walk->scene.health) <= walk->scene.now_ms; i++) {
		assert_true(i < 8);
		before = walk->scene.health;
		changed = health_on_time(&walk->scene.health, walk->scene.now_ms);
		walk_check(walk, &before, i > 0 ? HEALTH_INPUTS : HEALTH_NAMED, changed);
	}
	r = next_random(seed);
	if (r % 150 == 0)
		walk->mood = (r >> 10) % 20 < 7 ? (r >> 10) % 20 : 0; /* mostly well */
	r = next_random(seed);
	input = walk_input(r, walk->mood);
	if (before.verdict == TARGET_DEGRADED && (r >> 50) % 8 == 0)
		input = HEALTH_TRAFFIC_SOUND; /* control asks every second */
	if (before.verdict == TARGET_UP && (r >> 50) % 500 < 2)
		input = (r >> 50) % 500 == 0 ? HEALTH_TRAFFIC_SLOW : HEALTH_TRAFFIC_LOSSY;
	value = (r >> 30) % 3 == 0 ? 0 : (r >> 32) % 20000;
	if (input == HEALTH_TRAFFIC_SILENT)
		value = value == 0 ? 0 : walk->scene.now_ms - value % 1000;
	before = walk->scene.health;
	changed = health_on_input(&walk->scene.health, input, value, walk->scene.now_ms);
	walk_count(walk, input, value);
	walk_check(walk, &before, input, changed);
}

static void a_random_walk_of_a_million_steps_breaks_no_promise(void **state)
{
	uint64_t seed = 0x2545f4914f6cdd1d, seen[TARGET_STATES] = {0};
	struct walk walk = {0};
	unsigned step, i;

	begin(&walk.scene);
	for (step = 0; step < 1000000; step++) {
		walk_step(&walk, &seed);
		seen[walk.scene.health.state]++;
	}
	/* It went everywhere, so the promises were tried. */
	for (i = TARGET_UP; i < TARGET_STATES; i++)
		assert_true(seen[i] > 1000);
	for (i = HEALTH_REASON_PROBES_ANSWERED; i < HEALTH_REASONS; i++)
		if (walk.reasons[i] < 5)
			fail_msg("hardly ever %s", health_reason_name(i));
}

/* ---- damping ---- */

/* A target that refuses as soon as it serves, and answers as soon as it does not. */
static unsigned losses_within(struct scene *scene, uint64_t ms)
{
	uint64_t end = scene->now_ms + ms;
	unsigned losses = 0;

	for (; scene->now_ms < end; scene->now_ms += 100) {
		health_on_time(&scene->health, scene->now_ms);
		if (scene->health.state == TARGET_UP) {
			play(scene, "refused");
			losses++;
		}
		if (scene->now_ms >= scene->health.next_probe_ms)
			play(scene, "probe ok");
	}
	return losses;
}

static void whatever_it_does_it_is_lost_seven_times_in_ten_minutes_and_twice_in_the_long_run(
	void **state)
{
	struct scene scene;
	unsigned i;

	begin(&scene);
	play(&scene, "probe ok");
	assert_int_equal(losses_within(&scene, 600000), 7);
	for (i = 0; i < 10; i++)
		assert_in_range(losses_within(&scene, 600000), 1, 2);
	play(&scene, "+600000");
	assert_int_equal(scene.health.state, TARGET_UP); /* no exile lasts */
}

static void a_target_is_won_back_within_a_second_and_a_half_of_its_first_answer(void **state)
{
	struct scene scene;
	uint64_t first;

	begin(&scene);
	play(&scene, "probe ok probe lost probe lost +2000 probe ok");
	first = scene.now_ms;
	while (scene.health.state == TARGET_DOWN) {
		scene.now_ms = scene.health.next_probe_ms;
		play(&scene, "probe ok");
	}
	assert_int_equal(scene.now_ms - first, 1000);
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
		cmocka_unit_test(a_random_walk_of_a_million_steps_breaks_no_promise),
		cmocka_unit_test(
			whatever_it_does_it_is_lost_seven_times_in_ten_minutes_and_twice_in_the_long_run),
		cmocka_unit_test(
			a_target_is_won_back_within_a_second_and_a_half_of_its_first_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
