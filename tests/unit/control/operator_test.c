/* The operator's words over a restart: the file, what is read of it, and what becomes of words that end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "control/operator.h"
#include "support/alloc_fail.h"
#include "support/fake_loop.h"

struct stage {
	struct config *config;
	struct loop *loop;
	struct failover *failover;
	struct events *events;
	struct operator_book *book;
	char directory[48], path[96], aside[112];
	unsigned changes;
};

static void on_view(void *arg, struct view *view)
{
	snapshot_release(&view->snapshot);
}

static void on_probe(void *arg, uint32_t id, uint32_t generation, uint64_t timeout_ms)
{
}

static void on_changed(void *arg)
{
	((struct stage *)arg)->changes++;
}

static const struct failover_events failover_events = {.on_view = on_view, .on_probe = on_probe};

static const char yaml[] =
	"node: {name: bono-1, site: site-a, home_domains: [example.net], state_dir: /tmp}\n"
	"listeners:\n"
	"  - {name: a, side: access, transport: udp, bind: \"127.0.34.1:5060\"}\n"
	"  - {name: c, side: core, transport: udp, bind: \"127.0.34.1:5058\", allow: "
	"[127.0.0.0/8]}\n"
	"sites:\n"
	"  site-a: {targets: [\"sip:127.0.34.2:5054\", \"sip:127.0.34.3:5054\"]}\n"
	"  site-b: {targets: [\"sip:127.0.34.4:5054\"], plaintext: allowed}\n";

static int begin_life(struct stage *stage)
{
	int err = loop_create("control", &stage->loop);

	if (err == 0)
		err = events_create(&stage->events);
	if (err == 0)
		err = failover_create(stage->loop, stage->config, NULL, NULL, &failover_events,
		                      stage, &stage->failover);
	if (err == 0)
		err = operator_book_open(stage->loop, stage->path, stage->failover, stage->events,
		                         on_changed, stage, &stage->book);
	return err;
}

static void end_life(struct stage *stage)
{
	operator_book_close(&stage->book);
	failover_destroy(&stage->failover);
	events_destroy(&stage->events);
	loop_destroy(&stage->loop);
}

static void restart(struct stage *stage)
{
	end_life(stage);
	assert_int_equal(begin_life(stage), 0);
}

static int setup_quiet(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	fake_clock_setup(state);
	assert_int_equal(config_load_bytes(yaml, strlen(yaml), "test", stderr, &stage->config), 0);
	strcpy(stage->directory, "/tmp/bono-words-XXXXXX");
	assert_non_null(mkdtemp(stage->directory));
	snprintf(stage->path, sizeof(stage->path), "%s/operator.json", stage->directory);
	snprintf(stage->aside, sizeof(stage->aside), "%s.broken", stage->path);
	*state = stage;
	return 0;
}

static int setup(void **state)
{
	setup_quiet(state);
	return begin_life(*state);
}

static int teardown(void **state)
{
	struct stage *stage = *state;

	end_life(stage);
	config_free(&stage->config);
	unlink(stage->path);
	unlink(stage->aside);
	assert_int_equal(rmdir(stage->directory), 0); /* nothing else was left there */
	free(stage);
	return fake_clock_teardown(state);
}

static struct operator_word word_of(const char *site, const char *target, enum operator_verb verb,
                                    uint64_t until_wall_ms, const char *reason)
{
	struct operator_word word = {.verb = verb, .until_wall_ms = until_wall_ms};

	strcpy(word.site, site);
	strcpy(word.target, target);
	strcpy(word.reason, reason);
	return word;
}

static int say(struct stage *stage, const char *site, const char *target, enum operator_verb verb,
               uint64_t until_wall_ms, const char *reason)
{
	struct operator_word word = word_of(site, target, verb, until_wall_ms, reason);

	return operator_book_say(stage->book, &word);
}

static unsigned count_words(struct stage *stage)
{
	unsigned count;

	failover_operator_words(stage->failover, &count);
	return count;
}

static void assert_word(struct stage *stage, const char *site, const char *target,
                        enum operator_verb verb, uint64_t until_wall_ms, const char *reason)
{
	unsigned count;
	const struct operator_word *words = failover_operator_words(stage->failover, &count);

	for (unsigned i = 0; i < count; i++)
		if (strcmp(words[i].site, site) == 0 && strcmp(words[i].target, target) == 0) {
			assert_int_equal(words[i].verb, verb);
			assert_int_equal(words[i].until_wall_ms, until_wall_ms);
			assert_string_equal(words[i].reason, reason);
			return;
		}
	fail_msg("nothing stands of %s/%s", site, target);
}

static void write_file(struct stage *stage, const char *text)
{
	FILE *file = fopen(stage->path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* ---- kept ---- */

static void without_a_file_nothing_was_said(void **state)
{
	assert_int_equal(count_words(*state), 0);
	assert_int_equal(access(((struct stage *)*state)->path, F_OK), -1);
}

static void words_survive_a_restart(void **state)
{
	struct stage *stage = *state;
	uint64_t later = clock_wall_ms() + 3600000;
	struct stat status;

	assert_int_equal(say(stage, "site-a", "sprout-2", OPERATOR_DISABLE, later,
	                     "a \"disk\" \xc3\xa9"),
	                 0);
	assert_int_equal(say(stage, "site-b", "", OPERATOR_EVACUATE, 0, ""), 0);
	assert_int_equal(stat(stage->path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	restart(stage);
	assert_int_equal(count_words(stage), 2);
	assert_word(stage, "site-a", "sprout-2", OPERATOR_DISABLE, later, "a \"disk\" \xc3\xa9");
	assert_word(stage, "site-b", "", OPERATOR_EVACUATE, 0, "");
}

static void revoked_words_do_not_come_back(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(say(stage, "site-a", "sprout-1", OPERATOR_DRAIN, 0, ""), 0);
	assert_int_equal(say(stage, "site-a", "sprout-1", OPERATOR_ENABLE, 0, ""), 0);
	restart(stage);
	assert_int_equal(count_words(stage), 0);
}

static void word_that_ended_meanwhile_is_forgotten(void **state)
{
	struct stage *stage = *state;

	write_file(stage, "{\"words\": [{\"site\": \"site-a\", \"target\": \"sprout-1\", \"word\": "
	                  "\"drain\", \"until_ms\": 1000, \"reason\": \"\"}]}");
	restart(stage);
	assert_int_equal(count_words(stage), 0);
	restart(stage);
	assert_int_equal(count_words(stage), 0);
}

static void word_of_a_name_that_is_gone_waits_for_it(void **state)
{
	struct stage *stage = *state;

	write_file(stage, "{\"words\": [{\"site\": \"site-b\", \"target\": \"10.0.0.1:5054/TCP\", "
	                  "\"word\": \"drain\", \"until_ms\": 0, \"reason\": \"\"}]}");
	restart(stage);
	restart(stage);
	assert_word(stage, "site-b", "10.0.0.1:5054/TCP", OPERATOR_DRAIN, 0, "");
}

static void unknown_name_is_refused_and_not_kept(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(say(stage, "site-a", "sprout-9", OPERATOR_DRAIN, 0, ""), -ENOENT);
	assert_int_equal(say(stage, "site-c", "", OPERATOR_EVACUATE, 0, ""), -ENOENT);
	assert_int_equal(access(stage->path, F_OK), -1);
}

static void broken_file_is_put_aside(void **state)
{
	static const char *const broken[] = {
		"",
		"[]",
		"{\"words\": {}}",
		"{\"words\": [], \"more\": 1}",
		"{\"words\": [{\"site\": \"site-a\"}]}",
		"{\"words\": [{\"site\": \"site-a\", \"target\": \"x\", \"word\": \"enable\", "
		"\"until_ms\": 0, \"reason\": \"\"}]}",
		"{\"words\": [{\"site\": \"site-a\", \"target\": \"x\", \"word\": \"evacuate\", "
		"\"until_ms\": 0, \"reason\": \"\"}]}",
		"{\"words\": [{\"site\": \"\", \"target\": \"x\", \"word\": \"drain\", "
		"\"until_ms\": 0, \"reason\": \"\"}]}",
		"{\"words\": [{\"site\": \"site-a\", \"target\": \"x\", \"word\": \"drain\", "
		"\"until_ms\": -1, \"reason\": \"\"}]}",
		"{\"words\": [{\"site\": \"site-a\", \"target\": "
		"\"0123456789012345678901234567890123"
		"456789012345678901234567890123\", \"word\": \"drain\", \"until_ms\": 0, "
		"\"reason\": "
		"\"\"}]}",
	};
	struct stage *stage = *state;

	for (unsigned i = 0; i < ARRAY_LENGTH(broken); i++) {
		unlink(stage->aside);
		write_file(stage, broken[i]);
		restart(stage);
		assert_int_equal(count_words(stage), 0);
		assert_int_equal(access(stage->aside, F_OK), 0);
		assert_int_equal(access(stage->path, F_OK), -1);
	}
}

static void word_stands_even_if_it_cannot_be_kept(void **state)
{
	struct stage *stage = *state;

	assert_int_equal(mkdir(stage->path, 0700), 0); /* a directory is not replaced by a file */
	assert_int_equal(say(stage, "site-a", "sprout-1", OPERATOR_DRAIN, 0, ""), -EIO);
	assert_word(stage, "site-a", "sprout-1", OPERATOR_DRAIN, 0, "");
	assert_int_equal(rmdir(stage->path), 0);
}

/* ---- told ---- */

static void assert_event(struct stage *stage, unsigned index, const char *subject, const char *from,
                         const char *to, const char *reason, const char *evidence)
{
	struct admin_event event = {0};

	for (unsigned i = 0; i <= index; i++)
		assert_true(events_next(stage->events, event.number, &event));
	assert_string_equal(event.kind, "operator");
	assert_string_equal(event.subject, subject);
	assert_string_equal(event.from, from);
	assert_string_equal(event.to, to);
	assert_string_equal(event.reason, reason);
	assert_string_equal(event.evidence, evidence);
}

static void words_are_events(void **state)
{
	struct stage *stage = *state;

	say(stage, "site-a", "sprout-1", OPERATOR_DRAIN, 0, "disk");
	say(stage, "site-a", "sprout-1", OPERATOR_DISABLE, 4102444800000, "smoke");
	say(stage, "site-b", "", OPERATOR_EVACUATE, 4102444800000, "");
	assert_event(stage, 0, "site-a/sprout-1", "", "drain", "operator", "disk");
	assert_event(stage, 1, "site-a/sprout-1", "drain", "disable", "operator",
	             "until 2100-01-01T00:00:00.000Z, smoke");
	assert_event(stage, 2, "site-b", "", "evacuate", "operator",
	             "until 2100-01-01T00:00:00.000Z");
	restart(stage);
	assert_event(stage, 0, "site-a/sprout-1", "", "disable", "kept",
	             "until 2100-01-01T00:00:00.000Z, smoke");
}

static void end_of_a_word_is_an_event_and_leaves_the_file(void **state)
{
	struct stage *stage = *state;
	uint64_t over = clock_wall_ms();
	char evidence[64] = "until ";

	clock_format_wall(over, evidence + 6, sizeof(evidence) - 6);
	say(stage, "site-b", "", OPERATOR_EVACUATE, 0, "");
	say(stage, "site-a", "sprout-1", OPERATOR_DRAIN, over, "");
	assert_int_equal(stage->changes, 0);
	fake_loop_walk(stage->loop, 5000);
	assert_int_equal(stage->changes, 1);
	assert_event(stage, 2, "site-a/sprout-1", "drain", "", "expired", evidence);
	assert_int_equal(count_words(stage), 1);
	restart(stage);
	assert_int_equal(count_words(stage), 1);
	assert_word(stage, "site-b", "", OPERATOR_EVACUATE, 0, "");
}

/* ---- memory ---- */

static void live_twice(void *arg)
{
	struct stage *stage = arg;

	unlink(stage->path);
	if (begin_life(stage) == 0) {
		int err = say(stage, "site-a", "sprout-1", OPERATOR_DRAIN, 0, "disk");

		assert_true(err == 0 || err == -ENOMEM || err == -EIO);
	}
	end_life(stage);
	begin_life(stage);
	end_life(stage);
}

static void memory_that_ends_is_survived(void **state)
{
	assert_true(alloc_fail_each(live_twice, *state) > 20);
}

static int setup_all(void **state)
{
	hash_key_init();
	return 0;
}

#define living(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		living(without_a_file_nothing_was_said),
		living(words_survive_a_restart),
		living(revoked_words_do_not_come_back),
		living(word_that_ended_meanwhile_is_forgotten),
		living(word_of_a_name_that_is_gone_waits_for_it),
		living(unknown_name_is_refused_and_not_kept),
		living(broken_file_is_put_aside),
		living(word_stands_even_if_it_cannot_be_kept),
		living(words_are_events),
		living(end_of_a_word_is_an_event_and_leaves_the_file),
		cmocka_unit_test_setup_teardown(memory_that_ends_is_survived, setup_quiet,
	                                        teardown),
	};

	return cmocka_run_group_tests(tests, setup_all, NULL);
}
