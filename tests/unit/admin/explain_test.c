/*
 * Events that are asked for and followed, why, and the operator's words, over the admin port's real sockets.
 */
#include "stage.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	assert_non_null(text);
	return text;
}

/* ---- events ---- */

static void events_are_json_lines_oldest_first(void **state)
{
	struct stage *stage = *state;
	char *line, *rest;
	json_t *event;

	happen(stage, "target", "site-a/sprout-1", "DOWN");
	happen(stage, "site", "site-a", "DOWN");
	assert_code(ask(stage, "GET", "/events"), 200);
	assert_non_null(strstr(answer, "\r\nContent-Type: application/x-ndjson\r\n"));
	rest = (char *)body_of(answer);
	line = strsep(&rest, "\n");
	event = json_loads(line, 0, NULL);
	assert_string_equal(text_of(event, "kind"), "target");
	assert_string_equal(text_of(event, "subject"), "site-a/sprout-1");
	assert_string_equal(text_of(event, "from"), "UP");
	assert_string_equal(text_of(event, "to"), "DOWN");
	assert_string_equal(text_of(event, "reason"), "probes_lost");
	assert_string_equal(text_of(event, "evidence"), "2 probes lost");
	assert_int_equal(strlen(text_of(event, "time")), 24);
	assert_int_equal(json_object_size(event), 7);
	json_decref(event);
	line = strsep(&rest, "\n");
	event = json_loads(line, 0, NULL);
	assert_string_equal(text_of(event, "subject"), "site-a");
	json_decref(event);
	assert_string_equal(rest, "");
}

static void since_leaves_out_what_is_older(void **state)
{
	struct stage *stage = *state;

	happen(stage, "target", "old", "DOWN");
	stage->events[0].wall_ms -= 31 * 60 * 1000;
	happen(stage, "target", "new", "DOWN");
	assert_code(ask(stage, "GET", "/events?since=30m"), 200);
	assert_null(strstr(answer, "\"old\""));
	assert_non_null(strstr(answer, "\"new\""));
	ask(stage, "GET", "/events?since=32m");
	assert_non_null(strstr(answer, "\"old\""));
}

static void since_is_read_strictly(void **state)
{
	static const char *const wrong[] = {"since=",      "since=30",
	                                    "since=m",     "since=-1m",
	                                    "since=0s",    "since=30m30s",
	                                    "since=1y",    "since=1m&since=2m",
	                                    "until=1m",    "since=99999999999999999999s",
	                                    "since=3651d", "since"};
	char path[96];

	for (unsigned i = 0; i < ARRAY_LENGTH(wrong); i++) {
		snprintf(path, sizeof(path), "/events?%s", wrong[i]);
		assert_code(ask(*state, "GET", path), 400);
	}
	assert_code(ask(*state, "GET", "/events?since=3650d"), 200);
	assert_code(ask(*state, "GET", "/events?since=5%6d"), 200);
}

static int follow(struct stage *stage, const char *path, const char *headers)
{
	char request[512];
	int fd = dial(stage);

	snprintf(request, sizeof(request),
	         "GET %s HTTP/1.1\r\nHost: x\r\nAccept: text/html, "
	         "text/event-stream;q=0.9\r\n%s\r\n",
	         path, headers);
	say(fd, request);
	return fd;
}

static void follower_hears_what_was_and_what_comes(void **state)
{
	struct stage *stage = *state;
	int fd;

	happen(stage, "target", "first", "DOWN");
	fd = follow(stage, "/events?since=1m", "");
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_BYTES);
	assert_code(answer, 200);
	assert_non_null(strstr(answer, "\r\nContent-Type: text/event-stream\r\n"));
	assert_null(strstr(answer, "Content-Length"));
	assert_int_equal(strncmp(body_of(answer), "id: 100\ndata: {", 15), 0);
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_NOTHING);
	happen(stage, "target", "second", "UP");
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_BYTES);
	assert_int_equal(strncmp(answer, "id: 101\ndata: {", 15), 0);
	assert_non_null(strstr(answer, "\"second\""));
	assert_string_equal(answer + strlen(answer) - 2, "\n\n");
	close(fd);
	turn(stage);
	happen(stage, "target", "unheard", "UP"); /* nobody is there any more */
}

static void follower_who_asks_for_no_past_hears_none(void **state)
{
	struct stage *stage = *state;
	int fd;

	happen(stage, "target", "first", "DOWN");
	fd = follow(stage, "/events", "");
	hear(stage, fd, answer, sizeof(answer));
	assert_string_equal(body_of(answer), "");
	happen(stage, "target", "second", "UP");
	hear(stage, fd, answer, sizeof(answer));
	assert_int_equal(strncmp(answer, "id: 101\n", 8), 0);
	close(fd);
}

static void follower_who_comes_back_goes_on_where_it_was(void **state)
{
	struct stage *stage = *state;
	int fd;

	for (unsigned i = 0; i < 5; i++)
		happen(stage, "target", "x", "DOWN");
	fd = follow(stage, "/events", "Last-Event-ID: 102\r\n");
	hear(stage, fd, answer, sizeof(answer));
	assert_int_equal(strncmp(body_of(answer), "id: 103\n", 8), 0);
	close(fd);
	/* A number that was never said is none. */
	fd = follow(stage, "/events", "Last-Event-ID: 999999\r\n");
	hear(stage, fd, answer, sizeof(answer));
	assert_string_equal(body_of(answer), "");
	happen(stage, "target", "x", "UP");
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_BYTES);
	close(fd);
}

static void quiet_stream_has_a_beat(void **state)
{
	struct stage *stage = *state;
	int fd = follow(stage, "/events", "");

	hear(stage, fd, answer, sizeof(answer));
	for (unsigned i = 0; i < 10; i++) { /* ten times: the deadline of a reply is long over */
		fake_loop_walk(stage->loop, 15000);
		assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_BYTES);
		assert_string_equal(answer, ":\n\n");
	}
	close(fd);
}

static void follower_that_takes_nothing_is_closed(void **state)
{
	struct stage *stage = *state;
	int fd, small = 1;
	char *evidence = malloc(60000);

	memset(evidence, 'x', 59999);
	evidence[59999] = '\0';
	for (unsigned i = 0; i < STAGE_EVENTS; i++) {
		happen(stage, "target", "x", "DOWN");
		stage->events[i].evidence = evidence;
	}
	fd = follow(stage, "/events?since=1m", "");
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	for (unsigned i = 0; i < 50; i++)
		turn(stage);
	fake_loop_walk(stage->loop, 61000);
	turn(stage);
	/* What the kernel held comes, then the end: not all of it, and nothing is left. */
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_END);
	assert_true(strlen(answer) < 60000ul * STAGE_EVENTS / 2);
	close(fd);
	free(evidence);
}

static void follower_that_the_ring_has_passed_is_closed(void **state)
{
	struct stage *stage = *state;
	int fd = follow(stage, "/events", "");

	hear(stage, fd, answer, sizeof(answer));
	happen(stage, "target", "x", "DOWN");
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_BYTES);
	stage->event_count += 3; /* it was busy */
	stage->first_event = stage->event_count;
	happen(stage, "target", "x", "UP");
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_END);
	assert_string_equal(answer, "");
	close(fd);
}

static void followers_are_bounded_and_leave_room(void **state)
{
	struct stage *stage = *state;
	int fds[16], fd;

	for (unsigned i = 0; i < ARRAY_LENGTH(fds); i++) {
		fds[i] = follow(stage, "/events", "");
		hear(stage, fds[i], answer, sizeof(answer));
		assert_code(answer, 200);
	}
	fd = follow(stage, "/events", "");
	hear(stage, fd, answer, sizeof(answer));
	assert_code(answer, 503);
	close(fd);
	assert_code(ask(stage, "GET", "/livez"), 200);
	close(fds[0]);
	turn(stage);
	fds[0] = follow(stage, "/events", "");
	hear(stage, fds[0], answer, sizeof(answer));
	assert_code(answer, 200);
	for (unsigned i = 0; i < ARRAY_LENGTH(fds); i++)
		close(fds[i]);
}

static void head_of_a_stream_ends(void **state)
{
	struct stage *stage = *state;
	int fd = dial(stage);

	say(fd, "HEAD /events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n");
	hear(stage, fd, answer, sizeof(answer));
	assert_code(answer, 200);
	assert_string_equal(body_of(answer), "");
	say(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(stage, fd, answer, sizeof(answer));
	assert_code(answer, 200);
	close(fd);
}

/* ---- why ---- */

static void why_tells_the_verdict_and_what_led_to_it(void **state)
{
	struct stage *stage = *state;
	json_t *json, *events;

	happen(stage, "target", "site-b/sprout-1", "DOWN");
	happen(stage, "target", "site-b/sprout-10", "DOWN");
	happen(stage, "target", "site-a/sprout-1", "DOWN");
	happen(stage, "site", "site-b", "DOWN");
	stage->words[0] =
		(struct operator_word){"site-b", "sprout-1", OPERATOR_DRAIN, 1000, "disk"};
	stage->word_count = 1;
	assert_code(ask(stage, "GET", "/why?target=site-b%2Fsprout-1"), 200);
	json = json_of(answer);
	events = json_object_get(json, "events");
	assert_int_equal(json_array_size(events), 2);
	assert_string_equal(text_of(json_array_get(events, 0), "subject"), "site-b/sprout-1");
	assert_string_equal(text_of(json_array_get(events, 1), "subject"), "site-b");
	assert_string_equal(text_of(json_object_get(json, "target"), "state"), "DOWN");
	assert_string_equal(text_of(json_object_get(json_object_get(json, "target"), "operator"),
	                            "until"),
	                    "1970-01-01T00:00:01.000Z");
	json_decref(json);
	assert_code(ask(stage, "GET", "/why?target=site-a"), 200);
	json = json_of(answer);
	assert_int_equal(json_array_size(json_object_get(json, "events")), 0);
	assert_string_equal(text_of(json_object_get(json, "site"), "name"), "site-a");
	json_decref(json);
}

static void why_keeps_to_the_last_events(void **state)
{
	struct stage *stage = *state;
	json_t *json, *events;

	for (unsigned i = 0; i < 100; i++)
		happen(stage, "target", "site-a/sprout-1", i < 99 ? "DOWN" : "UP");
	assert_code(ask(stage, "GET", "/why?target=site-a/sprout-1"), 200);
	json = json_of(answer);
	events = json_object_get(json, "events");
	assert_int_equal(json_array_size(events), 64);
	assert_string_equal(text_of(json_array_get(events, 63), "to"), "UP");
	json_decref(json);
}

static void near_name_is_told(void **state)
{
	assert_code(ask(*state, "GET", "/why?target=site-a/sprot-1"), 404);
	assert_string_equal(body_of(answer), "no such target; site-a/sprout-1 is there\n");
	assert_code(ask(*state, "GET", "/why?target=SITE-B/sprout-1"), 404);
	assert_string_equal(body_of(answer), "no such target; site-b/sprout-1 is there\n");
	assert_code(ask(*state, "GET", "/why?target=sitea"), 404);
	assert_string_equal(body_of(answer), "no such target; site-a is there\n");
	assert_code(ask(*state, "GET", "/why?target=quite/another"), 404);
	assert_string_equal(body_of(answer), "no such target\n");
}

static void why_tells_what_was_tried(void **state)
{
	struct stage *stage = *state;
	json_t *json, *decision, *attempt;

	stage->decision = (struct decision){
		.call_id = SLICE_LITERAL("a b@c"),
		.method = METHOD_INVITE,
		.wall_ms = 1000,
		.ms = 13,
		.status = 200,
		.attempts = 2,
		.attempt_count = 2,
		.attempt = {{"site-a", "sprout-1", DECISION_REFUSED, 0, 1},
	                    {"", "", DECISION_ANSWERED, 200, 12}},
	};
	assert_code(ask(stage, "GET", "/why?call-id=a%20b%40c"), 200);
	json = json_of(answer);
	decision = json_array_get(json_object_get(json, "decisions"), 0);
	assert_string_equal(text_of(decision, "time"), "1970-01-01T00:00:01.000Z");
	assert_string_equal(text_of(decision, "method"), "INVITE");
	assert_int_equal(json_integer_value(json_object_get(decision, "status")), 200);
	attempt = json_array_get(json_object_get(decision, "attempts"), 0);
	assert_string_equal(text_of(attempt, "target"), "site-a/sprout-1");
	assert_string_equal(text_of(attempt, "end"), "refused");
	assert_null(json_object_get(attempt, "status"));
	attempt = json_array_get(json_object_get(decision, "attempts"), 1);
	assert_string_equal(text_of(attempt, "target"), "");
	assert_int_equal(json_integer_value(json_object_get(attempt, "status")), 200);
	json_decref(json);
	assert_code(ask(stage, "GET", "/why?call-id=another"), 404);
}

static void why_is_asked_for_one_thing(void **state)
{
	static const char *const wrong[] = {
		"/why",           "/why?target=a&call-id=b", "/why?target",
		"/why?site=a",    "/why?target=a&target=a",  "/why?target=%zz",
		"/why?target=%00"};

	for (unsigned i = 0; i < ARRAY_LENGTH(wrong); i++)
		assert_code(ask(*state, "GET", wrong[i]), 400);
}

/* ---- the operator's word ---- */

static void word_is_passed_on_as_it_was_said(void **state)
{
	struct stage *stage = *state;
	json_t *json;
	uint64_t now = clock_wall_ms();

	assert_code(ask(stage, "POST",
	                "/target?name=site-a%2Fsprout-1&word=drain&for=30m&reason=new%20disk%21"),
	            200);
	assert_string_equal(stage->said.site, "site-a");
	assert_string_equal(stage->said.target, "sprout-1");
	assert_int_equal(stage->said.verb, OPERATOR_DRAIN);
	assert_string_equal(stage->said.reason, "new disk!");
	assert_in_range(stage->said.until_wall_ms, now + 1800000, now + 1800000 + 60000);
	json = json_of(answer);
	assert_string_equal(text_of(json, "subject"), "site-a/sprout-1");
	assert_true(json_is_true(json_object_get(json, "kept")));
	json_decref(json);
	assert_code(ask(stage, "POST", "/site?word=evacuate&name=site-b"), 200);
	assert_string_equal(stage->said.site, "site-b");
	assert_string_equal(stage->said.target, "");
	assert_int_equal(stage->said.until_wall_ms, 0);
	assert_int_equal(stage->said_count, 2);
}

static void word_that_is_not_understood_is_not_passed_on(void **state)
{
	static const struct {
		const char *path;
		int code;
	} wrong[] = {
		{"/target?name=site-a/sprout-2&word=drain", 404},
		{"/target?name=site-a&word=drain", 404},
		{"/site?name=site-a/sprout-1&word=evacuate", 404},
		{"/target?name=site-a/sprout-1&word=evacuate", 400},
		{"/target?name=site-a/sprout-1&word=DRAIN", 400},
		{"/site?name=site-a&word=drain", 400},
		{"/target?name=site-a/sprout-1", 400},
		{"/target?word=drain", 400},
		{"/target", 400},
		{"/target?name=site-a/sprout-1&word=drain&for=", 400},
		{"/target?name=site-a/sprout-1&word=drain&for=1", 400},
		{"/target?name=site-a/sprout-1&word=enable&for=1m", 400},
		{"/target?name=site-a/sprout-1&word=drain&why=x", 400},
		{"/target?name=site-a/sprout-1&word=drain&word=drain", 400},
		{"/target?name=site-a/sprout-1&word=drain&reason=a%0ab", 400},
		{"/target?name=site-a/sprout-1&word=drain&reason=%ff", 400},
	};
	struct stage *stage = *state;

	for (unsigned i = 0; i < ARRAY_LENGTH(wrong); i++)
		assert_code(ask(stage, "POST", wrong[i].path), wrong[i].code);
	assert_int_equal(stage->said_count, 0);
}

static void word_that_fails_is_told(void **state)
{
	struct stage *stage = *state;
	json_t *json;

	stage->say_error = -ENOMEM;
	assert_code(ask(stage, "POST", "/site?name=site-a&word=evacuate"), 500);
	stage->say_error = -ENOENT;
	assert_code(ask(stage, "POST", "/site?name=site-a&word=evacuate"), 404);
	stage->say_error = -EIO;
	assert_code(ask(stage, "POST", "/site?name=site-a&word=evacuate"), 200);
	json = json_of(answer);
	assert_true(json_is_false(json_object_get(json, "kept")));
	json_decref(json);
}

static void orders_are_posts(void **state)
{
	struct stage *stage = *state;

	assert_code(ask(stage, "GET", "/target?name=site-a/sprout-1&word=drain"), 405);
	assert_non_null(strstr(answer, "\r\nAllow: POST\r\n"));
	assert_code(ask(stage, "POST", "/events"), 405);
	assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD\r\n"));
	assert_int_equal(stage->said_count, 0);
}

static void standing_words_are_part_of_the_status(void **state)
{
	struct stage *stage = *state;
	json_t *json, *site, *word;

	stage->words[0] = (struct operator_word){"site-b", "", OPERATOR_EVACUATE, 0, "power"};
	stage->word_count = 1;
	ask(stage, "GET", "/status");
	json = json_of(answer);
	site = json_array_get(json_object_get(json, "sites"), 1);
	word = json_object_get(site, "operator");
	assert_string_equal(text_of(word, "word"), "evacuate");
	assert_true(json_is_null(json_object_get(word, "until")));
	assert_string_equal(text_of(word, "reason"), "power");
	assert_true(json_is_null(
		json_object_get(json_array_get(json_object_get(site, "targets"), 0), "operator")));
	json_decref(json);
}

/* ---- memory ---- */

static void ask_and_follow(void *arg)
{
	static const char *const orders[] = {"/target?name=site-a/sprout-1&word=drain&reason=x",
	                                     "/site?name=site-a&word=restore"};
	struct stage *stage = arg;
	struct admin *admin = NULL;
	int fd;

	stage->event_count = 0;
	happen(stage, "target", "site-a/sprout-1", "DOWN");
	stage->decision = (struct decision){.call_id = SLICE_LITERAL("c1"), .attempt_count = 1};
	stage->decision.attempt[0].site = stage->decision.attempt[0].target = "x";
	if (start_admin(stage, &admin) == 0) {
		fd = follow(stage, "/events?since=1m", "");
		turn(stage);
		happen(stage, "target", "site-a/sprout-1", "UP");
		admin_events_changed(admin);
		hear(stage, fd, answer, sizeof(answer));
		if (!alloc_fail_happened())
			assert_non_null(strstr(answer, "id: 101\n"));
		for (unsigned i = 0; i < ARRAY_LENGTH(orders); i++)
			ask(stage, "POST", orders[i]);
		ask(stage, "GET", "/why?call-id=c1");
		ask(stage, "GET", "/why?target=site-a");
		close(fd);
	}
	admin_destroy(&admin);
	turn(stage);
}

static void memory_that_ends_is_survived(void **state)
{
	assert_true(alloc_fail_each(ask_and_follow, *state) > 10);
}

#define served(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define staged(name) cmocka_unit_test_setup_teardown(name, setup_quiet, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		served(events_are_json_lines_oldest_first),
		served(since_leaves_out_what_is_older),
		served(since_is_read_strictly),
		served(follower_hears_what_was_and_what_comes),
		served(follower_who_asks_for_no_past_hears_none),
		served(follower_who_comes_back_goes_on_where_it_was),
		served(quiet_stream_has_a_beat),
		served(follower_that_takes_nothing_is_closed),
		served(follower_that_the_ring_has_passed_is_closed),
		served(followers_are_bounded_and_leave_room),
		served(head_of_a_stream_ends),
		served(why_tells_the_verdict_and_what_led_to_it),
		served(why_keeps_to_the_last_events),
		served(near_name_is_told),
		served(why_tells_what_was_tried),
		served(why_is_asked_for_one_thing),
		served(word_is_passed_on_as_it_was_said),
		served(word_that_is_not_understood_is_not_passed_on),
		served(word_that_fails_is_told),
		served(orders_are_posts),
		served(standing_words_are_part_of_the_status),
		staged(memory_that_ends_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
