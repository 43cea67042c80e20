/*
 * The admin port over real sockets, on a loop that the test turns by hand.
 */
#include "stage.h"

/* ---- routes ---- */

static void alive_and_ready_are_told(void **state)
{
	struct stage *stage = *state;

	assert_code(ask(stage, "GET", "/livez"), 200);
	assert_code(ask(stage, "GET", "/readyz"), 200);
	stage->ready = false;
	assert_code(ask(stage, "GET", "/readyz"), 503);
	assert_string_equal(body_of(answer), "not ready\n");
	assert_code(ask(stage, "GET", "/livez"), 200);
	stage->draining = true;
	assert_code(ask(stage, "GET", "/readyz"), 503);
	assert_string_equal(body_of(answer), "draining\n");
	stage->live = false;
	assert_code(ask(stage, "GET", "/livez"), 503);
}

static void root_lists_the_routes(void **state)
{
	static const char *const paths[] = {"/livez", "/readyz", "/metrics", "/status", "/flows"};

	assert_code(ask(*state, "GET", "/"), 200);
	for (unsigned i = 0; i < ARRAY_LENGTH(paths); i++)
		assert_non_null(strstr(body_of(answer), paths[i]));
}

static void unknown_page_is_404_and_other_method_405(void **state)
{
	assert_code(ask(*state, "GET", "/nope"), 404);
	assert_code(ask(*state, "GET", "/status/"), 404);
	assert_code(ask(*state, "DELETE", "/nope"), 404);
	assert_code(ask(*state, "POST", "/status"), 405);
	assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD\r\n"));
	assert_code(ask(*state, "get", "/status"), 405);
}

static void head_is_get_without_the_body(void **state)
{
	char get[64];

	assert_code(ask(*state, "GET", "/livez"), 200);
	snprintf(get, sizeof(get), "%s", strstr(answer, "Content-Length: "));
	assert_code(ask(*state, "HEAD", "/livez"), 200);
	assert_string_equal(body_of(answer), "");
	assert_non_null(strstr(answer, "Content-Length: 6\r\n"));
	assert_int_equal(strncmp(get, "Content-Length: 6\r\n", 19), 0);
}

static void metrics_are_those_of_the_registry(void **state)
{
	struct stage *stage = *state;

	metrics_add(stage->metrics, METRIC_FLOWS, 1, 0, 0, 3);
	assert_code(ask(stage, "GET", "/metrics"), 200);
	assert_non_null(strstr(answer, "\r\nContent-Type: text/plain; version=0.0.4"));
	assert_non_null(strstr(answer, "\nbono_flows{transport=\"tcp\"} 3\n"));
	assert_int_equal(stage->refreshed, 1);
}

static void status_is_as_promised(void **state)
{
	struct stage *stage = *state;
	json_t *json, *site, *target;

	metrics_set(stage->metrics, METRIC_FLOWS, TRANSPORT_UDP, 0, 0, 5);
	metrics_set(stage->metrics, METRIC_REGISTRATIONS, 0, 0, 0, 4);
	metrics_set(stage->metrics, METRIC_TARGET_IN_FLIGHT, 0, 0, 0, 2);
	metrics_add(stage->metrics, METRIC_TARGET_REQUESTS, 0, 0, 0, 9);
	metrics_add(stage->metrics, METRIC_TARGET_FAILURES, 0, FAILOVER_RESET, 0, 1);
	metrics_add(stage->metrics, METRIC_TARGET_FAILURES, 0, FAILOVER_SILENT, 0, 2);
	fake_loop_walk(stage->loop, 65000);
	assert_code(ask(stage, "GET", "/status"), 200);
	assert_non_null(strstr(answer, "\r\nContent-Type: application/json\r\n"));
	json = json_of(answer);
	assert_string_equal(json_string_value(json_object_get(json, "node")), "bono-1");
	assert_string_equal(json_string_value(json_object_get(json, "site")), "site-a");
	assert_string_equal(json_string_value(json_object_get(json, "version")), BONO_VERSION);
	assert_string_equal(json_string_value(json_object_get(json, "config_hash")),
	                    "0123456789abcdef");
	assert_int_equal(json_integer_value(json_object_get(json, "uptime_s")), 65);
	assert_true(json_is_true(json_object_get(json, "ready")));
	assert_true(json_is_false(json_object_get(json, "draining")));
	assert_int_equal(json_integer_value(json_object_get(json, "registrations")), 4);
	assert_int_equal(json_object_size(json_object_get(json, "flows")), 5);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "flows"), "udp")),
	                 5);
	assert_int_equal(json_object_size(json_object_get(json, "rates")), 3);
	assert_int_equal(json_object_size(json), 13);
	site = json_array_get(json_object_get(json, "sites"), 0);
	assert_string_equal(json_string_value(json_object_get(site, "name")), "site-a");
	assert_true(json_is_true(json_object_get(site, "local")));
	assert_true(json_is_true(json_object_get(site, "serving")));
	assert_float_equal(json_number_value(json_object_get(site, "new_work")), 1.0, 0.0001);
	target = json_array_get(json_object_get(site, "targets"), 0);
	assert_int_equal(json_object_size(target), 13);
	assert_string_equal(json_string_value(json_object_get(target, "site")), "site-a");
	assert_string_equal(json_string_value(json_object_get(target, "name")), "sprout-1");
	assert_string_equal(json_string_value(json_object_get(target, "address")),
	                    "127.0.1.1:5054");
	assert_string_equal(json_string_value(json_object_get(target, "transport")), "tcp");
	assert_string_equal(json_string_value(json_object_get(target, "state")), "UP");
	assert_string_equal(json_string_value(json_object_get(target, "reason")),
	                    "probes answered");
	assert_string_equal(json_string_value(json_object_get(target, "since")),
	                    "1970-01-01T00:00:01.000Z");
	assert_float_equal(json_real_value(json_object_get(target, "probe_ms")), 0.25, 0.0001);
	assert_int_equal(json_integer_value(json_object_get(target, "in_flight")), 2);
	assert_int_equal(json_integer_value(json_object_get(target, "weight")), 2);
	assert_int_equal(json_integer_value(json_object_get(target, "requests")), 9);
	assert_int_equal(json_integer_value(json_object_get(target, "failures")), 3);
	site = json_array_get(json_object_get(json, "sites"), 1);
	assert_true(json_is_false(json_object_get(site, "serving")));
	target = json_array_get(json_object_get(site, "targets"), 0);
	assert_true(json_is_null(json_object_get(target, "probe_ms")));
	json_decref(json);
}

static double share_of(struct stage *stage, unsigned site)
{
	json_t *json = json_of(ask(stage, "GET", "/status"));
	double share = json_number_value(
		json_object_get(json_array_get(json_object_get(json, "sites"), site), "share"));

	json_decref(json);
	return share;
}

static double rate_of(struct stage *stage, const char *name)
{
	json_t *json = json_of(ask(stage, "GET", "/status"));
	double rate = json_number_value(json_object_get(json_object_get(json, "rates"), name));

	json_decref(json);
	return rate;
}

static void rates_are_of_the_last_ten_seconds(void **state)
{
	struct stage *stage = *state;

	metrics_add(stage->metrics, METRIC_REQUESTS, 0, 0, 0, 100);
	metrics_add(stage->metrics, METRIC_FAILOVERS, 0, 1, 0, 20);
	metrics_add(stage->metrics, METRIC_REJECTED, 0, 1, 0, 10);
	fake_loop_walk(stage->loop, 10000);
	assert_float_equal(rate_of(stage, "requests"), 10.0, 0.01);
	assert_float_equal(rate_of(stage, "failovers"), 2.0, 0.01);
	assert_float_equal(rate_of(stage, "rejected"), 1.0, 0.01);
	fake_loop_walk(stage->loop, 10000);
	assert_float_equal(rate_of(stage, "requests"), 0.0, 0.01);
}

static void share_follows_the_traffic_and_else_the_verdict(void **state)
{
	struct stage *stage = *state;

	assert_float_equal(share_of(stage, 0), 1.0, 0.001);
	assert_float_equal(share_of(stage, 1), 0.0, 0.001);
	metrics_add(stage->metrics, METRIC_TARGET_REQUESTS, 0, 0, 0, 1);
	metrics_add(stage->metrics, METRIC_TARGET_REQUESTS, 1, 0, 0, 3);
	fake_loop_walk(stage->loop, 1000);
	assert_float_equal(share_of(stage, 0), 0.25, 0.001);
	assert_float_equal(share_of(stage, 1), 0.75, 0.001);
}

/* ---- flows ---- */

static void flows_come_when_the_workers_have_answered(void **state)
{
	struct stage *stage = *state;
	json_t *json, *flow, *binding;
	int fd = dial(stage);

	say(fd, "GET /flows HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_NOTHING);
	assert_string_equal(stage->identity, "all");
	add_flow(stage->query, 0xabc,
	         "sip:al\xfc"
	         "ce@192.0.2.1");
	add_flow(stage->query, 0xdef, NULL);
	admin_flows_finish(&stage->query, 0);
	assert_null(stage->query);
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_BYTES);
	json = json_of(answer);
	assert_true(json_is_false(json_object_get(json, "truncated")));
	assert_int_equal(json_array_size(json_object_get(json, "flows")), 2);
	flow = json_array_get(json_object_get(json, "flows"), 0);
	assert_string_equal(json_string_value(json_object_get(flow, "id")), "abc");
	assert_string_equal(json_string_value(json_object_get(flow, "hop")), "192.0.2.1:5060/udp");
	assert_true(json_is_true(json_object_get(flow, "registered")));
	binding = json_array_get(json_object_get(flow, "bindings"), 0);
	assert_string_equal(json_string_value(json_object_get(binding, "aor")),
	                    "sip:alice@example.net");
	assert_string_equal(json_string_value(json_object_get(binding, "contact")),
	                    "sip:al?ce@192.0.2.1");
	assert_int_equal(json_integer_value(json_object_get(binding, "expires_s")), 599);
	json_decref(json);
	close(fd);
}

static void identity_is_asked_in_its_one_spelling(void **state)
{
	struct stage *stage = *state;

	stage->answer_flows_at_once = true;
	assert_code(ask(stage, "GET", "/flows?identity=sip%3Aalice%40EXAMPLE.net%3Blr"), 200);
	assert_string_equal(stage->identity, "sip:alice@example.net");
	assert_code(ask(stage, "GET", "/flows?identity=alice@example.net"), 200);
	assert_string_equal(stage->identity, "sip:alice@example.net");
}

static void identity_that_is_none_is_refused(void **state)
{
	static const char *const paths[] = {"/flows?identity=",     "/flows?identity=a%zz",
	                                    "/flows?identity=a%4",  "/flows?identity=a%00b",
	                                    "/flows?identity=sip:", "/flows?name=alice"};

	for (unsigned i = 0; i < ARRAY_LENGTH(paths); i++)
		assert_code(ask(*state, "GET", paths[i]), 400);
	assert_string_equal(((struct stage *)*state)->identity, "");
}

static void flows_that_cannot_be_gathered_are_500(void **state)
{
	struct stage *stage = *state;
	int fd = dial(stage);

	say(fd, "GET /flows HTTP/1.1\r\nHost: x\r\n\r\n");
	turn(stage);
	admin_flows_finish(&stage->query, -ENOMEM);
	hear(stage, fd, answer, sizeof(answer));
	assert_code(answer, 500);
	close(fd);
}

static void workers_that_hang_are_504_and_may_answer_later(void **state)
{
	struct stage *stage = *state;
	struct admin_flow flow = {.hop = "h"};
	int fd = dial(stage);

	say(fd, "GET /flows HTTP/1.1\r\nHost: x\r\n\r\n");
	turn(stage);
	assert_non_null(stage->query);
	fake_loop_walk(stage->loop, 5001);
	hear(stage, fd, answer, sizeof(answer));
	assert_code(answer, 504);
	assert_false(admin_flows_add(stage->query, &flow));
	admin_flows_finish(&stage->query, 0);
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_NOTHING);
	close(fd);
}

static void query_outlives_admin(void **state)
{
	struct stage *stage = *state;
	struct admin_flow flow = {.hop = "h"};
	int fd = dial(stage);

	say(fd, "GET /flows HTTP/1.1\r\nHost: x\r\n\r\n");
	turn(stage);
	admin_destroy(&stage->admin);
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_END);
	assert_false(admin_flows_add(stage->query, &flow));
	admin_flows_finish(&stage->query, 0);
	close(fd);
}

static void too_many_flows_are_truncated(void **state)
{
	struct stage *stage = *state;
	struct admin_flow flow = {.hop = "192.0.2.1:5060/udp"};
	json_t *json;
	int fd = dial(stage);

	say(fd, "GET /flows HTTP/1.1\r\nHost: x\r\n\r\n");
	turn(stage);
	for (unsigned i = 0; i < ADMIN_FLOWS_MAX; i++)
		assert_true(admin_flows_add(stage->query, &flow));
	assert_false(admin_flows_add(stage->query, &flow));
	admin_flows_finish(&stage->query, 0);
	hear(stage, fd, answer, sizeof(answer));
	json = json_of(answer);
	assert_int_equal(json_array_size(json_object_get(json, "flows")), ADMIN_FLOWS_MAX);
	assert_true(json_is_true(json_object_get(json, "truncated")));
	json_decref(json);
	close(fd);
}

/* ---- HTTP ---- */

static unsigned count_answers(const char *text)
{
	unsigned n = 0;

	while ((text = strstr(text, "HTTP/1.1 ")) != NULL) {
		n++;
		text += 9;
	}
	return n;
}

static void connection_carries_one_request_after_another(void **state)
{
	struct stage *stage = *state;
	int fd = dial(stage);

	for (unsigned i = 0; i < 3; i++) {
		say(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
		assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_BYTES);
		assert_code(answer, 200);
	}
	say(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\n"
	        "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_END);
	assert_int_equal(count_answers(answer), 3);
	assert_code(answer, 200);
	assert_non_null(strstr(answer, "HTTP/1.1 404 "));
	assert_non_null(strstr(answer, "ready\n"));
	close(fd);
}

static void request_may_come_byte_by_byte(void **state)
{
	static const char request[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
	struct stage *stage = *state;
	int fd = dial(stage);

	for (const char *c = request; *c != '\0'; c++) {
		assert_int_equal(send(fd, c, 1, MSG_NOSIGNAL), 1);
		turn(stage);
	}
	hear(stage, fd, answer, sizeof(answer));
	assert_code(answer, 200);
	close(fd);
}

static void broken_requests_are_refused_and_closed(void **state)
{
	static const struct {
		const char *text;
		int code;
	} cases[] = {
		{"GET\r\n\r\n", 400},
		{"\r\n\r\n", 400},
		{"GET livez HTTP/1.1\r\nHost: x\r\n\r\n", 400},
		{"GET /livez HTTP/1.1\r\n\r\n", 400},
		{"GET /livez HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400},
		{"GET /livez HTTP/1.1\r\n: x\r\n\r\n", 400},
		{"GET /livez HTTP/2.0\r\nHost: x\r\n\r\n", 505},
		{"GET /livez SIP/2.0\r\nHost: x\r\n\r\n", 400},
		{"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n", 400},
	};
	struct stage *stage = *state;

	for (unsigned i = 0; i < ARRAY_LENGTH(cases); i++) {
		int fd = dial(stage);

		say(fd, cases[i].text);
		assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_END);
		assert_code(answer, cases[i].code);
		close(fd);
	}
}

static void nul_bytes_are_refused(void **state)
{
	static const char request[] = "GET /livez HTTP/1.1\r\nHost: \0x\r\n\r\n";
	int fd = dial(*state);

	assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
	assert_int_equal(hear(*state, fd, answer, sizeof(answer)), HEARD_END);
	assert_code(answer, 400);
	close(fd);
}

static void long_head_is_refused(void **state)
{
	struct stage *stage = *state;
	char text[9001];
	int fd = dial(stage);

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	say(fd, "GET /livez HTTP/1.1\r\nHost: x\r\nA: ");
	say(fd, text);
	hear(stage, fd, answer, sizeof(answer));
	assert_code(answer, 431);
	close(fd);
}

static void body_is_not_taken_for_a_request(void **state)
{
	int fd = dial(*state);

	say(fd, "POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n"
	        "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(*state, fd, answer, sizeof(answer));
	assert_code(answer, 405);
	assert_int_equal(count_answers(answer), 1);
	assert_non_null(strstr(answer, "\r\nConnection: close\r\n"));
	close(fd);
}

static void old_client_is_closed_after_its_answer(void **state)
{
	int fd = dial(*state);

	say(fd, "GET /livez HTTP/1.0\r\n\r\n");
	assert_int_equal(hear(*state, fd, answer, sizeof(answer)), HEARD_END);
	assert_code(answer, 200);
	close(fd);
}

static void half_closed_client_gets_its_answer(void **state)
{
	int fd = dial(*state);

	say(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
	shutdown(fd, SHUT_WR);
	assert_int_equal(hear(*state, fd, answer, sizeof(answer)), HEARD_END);
	assert_code(answer, 200);
	close(fd);
}

static void slow_client_is_closed_however_it_dribbles(void **state)
{
	struct stage *stage = *state;
	int fd = dial(stage);

	turn(stage);
	for (unsigned i = 0; i < 9; i++) {
		say(fd, "G");
		turn(stage);
		fake_loop_walk(stage->loop, 1100);
		turn(stage);
	}
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_NOTHING);
	fake_loop_walk(stage->loop, 200);
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_END);
	close(fd);
}

static void idle_connection_is_closed_after_a_minute(void **state)
{
	struct stage *stage = *state;
	int fd = dial(stage);

	say(fd, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(stage, fd, answer, sizeof(answer));
	fake_loop_walk(stage->loop, 59000);
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_NOTHING);
	fake_loop_walk(stage->loop, 1100);
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_END);
	close(fd);
}

static void client_that_never_reads_is_closed(void **state)
{
	struct stage *stage = *state;
	int64_t before = memory_live_blocks();
	int fd = dial(stage);

	for (unsigned i = 0; i < 30; i++)
		say(fd, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
	turn(stage);
	assert_true(memory_live_blocks() > before);
	fake_loop_walk(stage->loop, 61000);
	turn(stage);
	assert_int_equal(memory_live_blocks(), before);
	close(fd);
}

static void one_connection_too_many_takes_the_place_of_an_idle_one(void **state)
{
	struct stage *stage = *state;
	int fds[65];

	for (unsigned i = 0; i < 65; i++) {
		fds[i] = dial(stage);
		say(fds[i], "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
		assert_int_equal(hear(stage, fds[i], answer, sizeof(answer)), HEARD_BYTES);
	}
	assert_int_equal(hear(stage, fds[0], answer, sizeof(answer)), HEARD_END);
	assert_int_equal(hear(stage, fds[1], answer, sizeof(answer)), HEARD_NOTHING);
	for (unsigned i = 0; i < 65; i++)
		close(fds[i]);
}

static void one_connection_too_many_is_refused_when_all_are_busy(void **state)
{
	struct stage *stage = *state;
	int fds[65];

	for (unsigned i = 0; i < 65; i++) {
		fds[i] = dial(stage);
		say(fds[i], "GET /li");
		turn(stage);
	}
	assert_int_equal(hear(stage, fds[64], answer, sizeof(answer)), HEARD_END);
	say(fds[0], "vez HTTP/1.1\r\nHost: x\r\n\r\n");
	hear(stage, fds[0], answer, sizeof(answer));
	assert_code(answer, 200);
	for (unsigned i = 0; i < 65; i++)
		close(fds[i]);
}

/* ---- sockets ---- */

static void socket_is_for_owner_and_group(void **state)
{
	struct stage *stage = *state;
	struct stat status;

	assert_int_equal(lstat(stage->socket, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 0777, 0660);
	admin_destroy(&stage->admin);
	assert_int_equal(lstat(stage->socket, &status), -1);
}

static void socket_of_a_dead_daemon_is_replaced(void **state)
{
	struct stage *stage = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, stage->socket);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(start_admin(stage, &stage->admin), 0);
	assert_code(ask(stage, "GET", "/livez"), 200);
}

static void socket_of_a_living_daemon_is_respected(void **state)
{
	struct stage *stage = *state;
	struct admin *second = NULL;

	assert_int_equal(start_admin(stage, &second), -EADDRINUSE);
	assert_null(second);
	assert_code(ask(stage, "GET", "/livez"), 200);
}

static void file_that_is_no_socket_stays(void **state)
{
	struct stage *stage = *state;
	int fd = open(stage->socket, O_CREAT | O_WRONLY, 0600);

	close(fd);
	assert_int_equal(start_admin(stage, &stage->admin), -EADDRINUSE);
	assert_int_equal(access(stage->socket, F_OK), 0);
}

static void socket_of_a_successor_stays(void **state)
{
	struct stage *stage = *state;

	unlink(stage->socket);
	close(open(stage->socket, O_CREAT | O_WRONLY, 0600));
	admin_destroy(&stage->admin);
	assert_int_equal(access(stage->socket, F_OK), 0);
}

static void missing_directory_is_told(void **state)
{
	struct stage *stage = *state;

	strcpy(stage->socket, "/nonexistent/admin.sock");
	assert_int_equal(start_admin(stage, &stage->admin), -ENOENT);
}

static void tcp_serves_the_same(void **state)
{
	struct stage *stage = *state;
	char http[ADDRESS_TEXT_MAX];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000401)};
	socklen_t length = sizeof(address);
	struct admin_settings settings = {.http = http,
	                                  .node = "n",
	                                  .site = "s",
	                                  .config_hash = "h",
	                                  .registry = stage->registry};
	struct admin *second = NULL;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	/* A port that is free now. */
	assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	close(fd);
	snprintf(http, sizeof(http), "127.0.4.1:%u", ntohs(address.sin_port));
	assert_int_equal(admin_create(stage->loop, &settings, &source, stage, &stage->admin), 0);
	assert_int_equal(admin_create(stage->loop, &settings, &source, stage, &second),
	                 -EADDRINUSE);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	say(fd, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(hear(stage, fd, answer, sizeof(answer)), HEARD_BYTES);
	assert_code(answer, 200);
	close(fd);
}

/* ---- memory ---- */

static void serve_everything(void *arg)
{
	static const char *const paths[] = {"/",
	                                    "/metrics",
	                                    "/status",
	                                    "/flows?identity=alice@example.net",
	                                    "/events",
	                                    "/why?target=site-a/sprout-1",
	                                    "/why?call-id=c1"};
	struct stage *stage = arg;
	struct admin *admin = NULL;
	bool failed_before;

	stage->answer_flows_at_once = true;
	stage->decision = (struct decision){.call_id = SLICE_LITERAL("c1"), .attempt_count = 1};
	stage->decision.attempt[0].site = stage->decision.attempt[0].target = "x";
	if (start_admin(stage, &admin) == 0) {
		for (unsigned i = 0; i < ARRAY_LENGTH(paths); i++) {
			ask(stage, "GET", paths[i]);
			if (!alloc_fail_happened())
				assert_code(answer, 200);
		}
		/* Whatever failed, the next one is served. */
		failed_before = alloc_fail_happened();
		ask(stage, "GET", "/livez");
		if (failed_before || !alloc_fail_happened())
			assert_code(answer, 200);
	}
	admin_destroy(&admin);
	turn(stage);
	assert_int_equal(access(stage->socket, F_OK), -1);
}

static void memory_that_ends_is_survived(void **state)
{
	assert_true(alloc_fail_each(serve_everything, *state) > 10);
}

#define served(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define staged(name) cmocka_unit_test_setup_teardown(name, setup_quiet, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		served(alive_and_ready_are_told),
		served(root_lists_the_routes),
		served(unknown_page_is_404_and_other_method_405),
		served(head_is_get_without_the_body),
		served(metrics_are_those_of_the_registry),
		served(status_is_as_promised),
		served(rates_are_of_the_last_ten_seconds),
		served(share_follows_the_traffic_and_else_the_verdict),
		served(flows_come_when_the_workers_have_answered),
		served(identity_is_asked_in_its_one_spelling),
		served(identity_that_is_none_is_refused),
		served(flows_that_cannot_be_gathered_are_500),
		served(workers_that_hang_are_504_and_may_answer_later),
		served(query_outlives_admin),
		served(too_many_flows_are_truncated),
		served(connection_carries_one_request_after_another),
		served(request_may_come_byte_by_byte),
		served(broken_requests_are_refused_and_closed),
		served(nul_bytes_are_refused),
		served(long_head_is_refused),
		served(body_is_not_taken_for_a_request),
		served(old_client_is_closed_after_its_answer),
		served(half_closed_client_gets_its_answer),
		served(slow_client_is_closed_however_it_dribbles),
		served(idle_connection_is_closed_after_a_minute),
		served(client_that_never_reads_is_closed),
		served(one_connection_too_many_takes_the_place_of_an_idle_one),
		served(one_connection_too_many_is_refused_when_all_are_busy),
		served(socket_is_for_owner_and_group),
		staged(socket_of_a_dead_daemon_is_replaced),
		served(socket_of_a_living_daemon_is_respected),
		staged(file_that_is_no_socket_stays),
		served(socket_of_a_successor_stays),
		staged(missing_directory_is_told),
		staged(tcp_serves_the_same),
		staged(memory_that_ends_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
