/*
 * Two workers on their threads over real sockets: a client on UDP, a Sprout on TCP that is this test. Requests
 * from the core land on either worker, and the stop comes while they wait for an answer. Run under TSan too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "sip/flow_token.h"
#include "sip/message.h"
#include "worker/worker.h"

#define WORKERS 2
/* The kernel gives each connection to either worker: that all go to one happens once in 2^15. */
#define CORE_CONNECTIONS 16
#define PATIENCE_MS 20000
#define ACCEPTED_MAX 8

struct stage {
	struct worker_settings settings;
	struct listener_settings listeners[2];
	struct address_range allow;
	struct metrics_registry *registry;
	struct worker *workers[WORKERS];
	struct view *view;
	char access[32], core[32];
	int client; /* UDP, connected to the access listener */
	int sprout; /* TCP, listening */
	int accepted[ACCEPTED_MAX];
	unsigned accepted_count;
	char token[FLOW_TOKEN_TEXT_MAX];
	unsigned registers; /* sent by the client */
	sem_t idle, probed, visited;
	atomic_uint probe_result, visited_flows;
};

/* ---- sockets ---- */

static struct sockaddr_in ip(const char *host, unsigned port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	assert_int_equal(inet_pton(AF_INET, host, &to.sin_addr), 1);
	return to;
}

static int bound_socket(int type, const char *host, unsigned *port)
{
	struct sockaddr_in to = ip(host, 0);
	socklen_t length = sizeof(to);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &length), 0);
	*port = ntohs(to.sin_port);
	return fd;
}

/* A port that nobody has, for several sockets to share. */
static void free_port(int type, const char *host, char *out)
{
	unsigned port;
	int fd = bound_socket(type, host, &port);

	close(fd);
	snprintf(out, 32, "%s:%u", host, port);
}

static void connect_to(int fd, const char *host_port)
{
	const char *colon = strchr(host_port, ':');
	char host[32];
	struct sockaddr_in to;

	snprintf(host, sizeof(host), "%.*s", (int)(colon - host_port), host_port);
	to = ip(host, (unsigned)atoi(colon + 1));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* One message without a body from this socket; on a stream it comes alone, since we speak in turns. */
static void hear(int fd, char *text, size_t size)
{
	size_t length = 0;

	do {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
		n = recv(fd, text + length, size - 1 - length, 0);
		assert_true(n > 0);
		length += (size_t)n;
		text[length] = '\0';
	} while (strstr(text, "\r\n\r\n") == NULL);
}

/* The Sprout hears a message on whichever connection a worker has made. */
static int sprout_hear(struct stage *stage, char *text, size_t size)
{
	for (;;) {
		struct pollfd ready[ACCEPTED_MAX + 1] = {{.fd = stage->sprout, .events = POLLIN}};

		for (unsigned i = 0; i < stage->accepted_count; i++)
			ready[i + 1] = (struct pollfd){.fd = stage->accepted[i], .events = POLLIN};
		assert_true(poll(ready, stage->accepted_count + 1, PATIENCE_MS) > 0);
		for (unsigned i = 0; i < stage->accepted_count; i++) {
			if (ready[i + 1].revents != 0) {
				hear(stage->accepted[i], text, size);
				return stage->accepted[i];
			}
		}
		assert_true(stage->accepted_count < ACCEPTED_MAX);
		stage->accepted[stage->accepted_count] = accept(stage->sprout, NULL, NULL);
		assert_true(stage->accepted[stage->accepted_count] >= 0);
		stage->accepted_count++;
	}
}

static void wait_for(sem_t *semaphore)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_MS / 1000;
	assert_int_equal(sem_timedwait(semaphore, &until), 0);
}

/* ---- messages ---- */

static const char *line_of(const char *text, const char *name, char *out, size_t size)
{
	char needle[64];
	const char *at;

	snprintf(needle, sizeof(needle), "\r\n%s: ", name);
	at = strstr(text, needle);
	assert_non_null(at);
	at += strlen(needle);
	snprintf(out, size, "%.*s", (int)(strstr(at, "\r\n") - at), at);
	return out;
}

/* The answer to a request as its receiver writes it. */
static void answer(int fd, const char *request, const char *status, const char *lines)
{
	char text[8192], value[4][512];
	const char *at = request;
	size_t n = (size_t)snprintf(text, sizeof(text), "SIP/2.0 %s\r\n", status);

	while ((at = strstr(at, "\r\nVia: ")) != NULL) {
		const char *end = strstr(at + 2, "\r\n");

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s\r\n", (int)(end - at - 2),
		                      at + 2);
		at = end;
	}
	snprintf(text + n, sizeof(text) - n,
	         "From: %s\r\nTo: %s;tag=t\r\nCall-ID: %s\r\nCSeq: %s\r\n%sContent-Length: "
	         "0\r\n\r\n",
	         line_of(request, "From", value[0], sizeof(value[0])),
	         line_of(request, "To", value[1], sizeof(value[1])),
	         line_of(request, "Call-ID", value[2], sizeof(value[2])),
	         line_of(request, "CSeq", value[3], sizeof(value[3])), lines);
	say(fd, text);
}

#define OUTBOUND ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";reg-id=1"

/* By stage->client; parameters of its Contact. */
static void client_registers_as(struct stage *stage, const char *parameters)
{
	unsigned number = ++stage->registers;
	char text[8192], path[512];
	char *at;
	int from;

	snprintf(text, sizeof(text),
	         "REGISTER sip:example.net SIP/2.0\r\n"
	         "Via: SIP/2.0/UDP 127.0.30.4:5060;branch=z9hG4bKreg%u;rport\r\n"
	         "From: <sip:u@example.net>;tag=1\r\nTo: <sip:u@example.net>\r\n"
	         "Call-ID: reg\r\nCSeq: %u REGISTER\r\nContact: "
	         "<sip:u@127.0.30.4>%s\r\nContent-Length: 0\r\n\r\n",
	         number, number, parameters);
	say(stage->client, text);
	from = sprout_hear(stage, text, sizeof(text));
	line_of(text, "Path", path, sizeof(path));
	at = strchr(path, '@');
	assert_non_null(at);
	snprintf(stage->token, sizeof(stage->token), "%.*s", (int)(at - path - 5), path + 5);
	answer(from, text, "200 OK", "Contact: <sip:u@127.0.30.4>;expires=600\r\n");
	hear(stage->client, text, sizeof(text));
	assert_memory_equal(text, "SIP/2.0 200 ", 12);
}

static void client_registers(struct stage *stage)
{
	client_registers_as(stage, "");
}

static void core_asks(struct stage *stage, int fd, unsigned number)
{
	char text[2048];

	snprintf(text, sizeof(text),
	         "MESSAGE sip:u@127.0.30.4 SIP/2.0\r\n"
	         "Via: SIP/2.0/TCP 127.0.30.3:5054;branch=z9hG4bKm%u\r\n"
	         "Route: <sip:%s@%s;transport=tcp;lr;ob>\r\n"
	         "From: <sip:far@example.net>;tag=2\r\nTo: <sip:u@example.net>\r\n"
	         "Call-ID: m%u\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
	         number, stage->token, stage->core, number);
	say(fd, text);
}

/* The client hears the core's request of that number; one of another is a retransmission on a slow machine. */
static void client_hear(struct stage *stage, unsigned number, char *text, size_t size)
{
	char call_id[32], line[256];

	snprintf(call_id, sizeof(call_id), "m%u", number);
	do {
		hear(stage->client, text, size);
		assert_memory_equal(text, "MESSAGE sip:u@127.0.30.4 SIP/2.0\r\n", 34);
	} while (strcmp(line_of(text, "Call-ID", line, sizeof(line)), call_id) != 0);
}

/* ---- what workers report ---- */

static void on_probe_result(void *arg, uint32_t target_id, uint32_t generation,
                            enum health_input result, uint64_t round_trip_us)
{
	struct stage *stage = arg;

	atomic_store(&stage->probe_result, result);
	sem_post(&stage->probed);
}

static void on_traffic(void *arg, uint32_t target_id, enum health_input input, uint64_t value)
{
}

static void on_stats(void *arg, const struct target_stats *stats, unsigned count)
{
}

static void on_idle(void *arg, uint8_t worker)
{
	sem_post(&((struct stage *)arg)->idle);
}

static struct view *make_view(const char *sprout)
{
	struct view_site site = {.name = "site-a", .local = true, .count = 1};
	struct view_target target = {.name = "sprout-1",
	                             .uri = "sip:sprout.example.net;transport=tcp",
	                             .route_uri = "sip:sprout.example.net;transport=tcp;lr;orig",
	                             .transport = TRANSPORT_TCP,
	                             .weight = 1,
	                             .state = TARGET_UP,
	                             .reason = "start",
	                             .probe_us = -1};
	struct view like = {.sites = &site, .site_count = 1, .targets = &target, .target_count = 1};
	struct view *view = NULL;

	assert_true(address_parse(slice_from_string(sprout), &target.address));
	assert_int_equal(view_create(&like, &view), 0);
	return view;
}

static void stage_settings(struct stage *stage)
{
	struct worker_settings *settings = &stage->settings;

	free_port(SOCK_DGRAM, "127.0.30.1", stage->access);
	free_port(SOCK_STREAM, "127.0.30.2", stage->core);
	assert_true(address_range_parse(SLICE_LITERAL("127.0.30.0/24"), &stage->allow));
	stage->listeners[0] = (struct listener_settings){.name = "access",
	                                                 .side = SIDE_ACCESS,
	                                                 .transport = TRANSPORT_UDP,
	                                                 .advertise = stage->access};
	stage->listeners[1] = (struct listener_settings){.name = "core",
	                                                 .side = SIDE_CORE,
	                                                 .transport = TRANSPORT_TCP,
	                                                 .advertise = stage->core,
	                                                 .allow = &stage->allow,
	                                                 .allow_count = 1};
	for (unsigned i = 0; i < 2; i++)
		assert_true(address_parse(slice_from_string(stage->listeners[i].advertise),
		                          &stage->listeners[i].bind));
	settings->transport = (struct transport_settings){.listeners = stage->listeners,
	                                                  .listener_count = 2,
	                                                  .workers = WORKERS,
	                                                  .message_bytes = 65535,
	                                                  .max_connections = 100,
	                                                  .connection_queue_bytes = 1 << 20,
	                                                  .connect_timeout_ms = PATIENCE_MS,
	                                                  .idle_ms = 240000,
	                                                  .partial_ms = 15000};
	settings->proxy = (struct proxy_settings){.listeners = stage->listeners,
	                                          .listener_count = 2,
	                                          .path_listener = 1,
	                                          .visited_network = "example.net",
	                                          .message_bytes = 65535,
	                                          .first_answer_ms = PATIENCE_MS,
	                                          .deadline_ms = PATIENCE_MS};
	settings->node = 7;
	settings->epoch = 1000;
	settings->flow_limit = settings->transaction_limit = 1000;
	settings->unregistered_ms = 32000;
	settings->probe_host = "bono-1";
}

static void stage_start(struct stage *stage)
{
	static const uint8_t key[32] = {1, 2, 3};
	struct worker_reports reports = {.on_probe_result = on_probe_result,
	                                 .on_traffic = on_traffic,
	                                 .on_stats = on_stats,
	                                 .on_idle = on_idle,
	                                 .arg = stage};
	unsigned port;
	char sprout[32];

	memset(stage, 0, sizeof(*stage));
	hash_key_init();
	assert_int_equal(message_system_init(), 0);
	flow_token_key_set(key);
	sem_init(&stage->idle, 0, 0);
	sem_init(&stage->probed, 0, 0);
	sem_init(&stage->visited, 0, 0);
	stage_settings(stage);
	stage->sprout = bound_socket(SOCK_STREAM, "127.0.30.3", &port);
	assert_int_equal(listen(stage->sprout, 16), 0);
	snprintf(sprout, sizeof(sprout), "127.0.30.3:%u", port);
	assert_int_equal(metrics_registry_create(&stage->registry), 0);
	for (uint8_t i = 0; i < WORKERS; i++)
		assert_int_equal(worker_create(&stage->settings, i, stage->registry, &reports,
		                               &stage->workers[i]),
		                 0);
	assert_int_equal(worker_connect(stage->workers, WORKERS), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(worker_start(stage->workers[i]), 0);
	stage->view = make_view(sprout);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(worker_post_view(stage->workers[i], stage->view), 0);
	snapshot_release(&stage->view->snapshot);
	stage->client = bound_socket(SOCK_DGRAM, "127.0.30.4", &port);
	connect_to(stage->client, stage->access);
}

static void stage_end(struct stage *stage)
{
	for (unsigned i = 0; i < WORKERS; i++)
		loop_join(worker_loop(stage->workers[i]));
	for (unsigned i = 0; i < WORKERS; i++)
		worker_destroy(&stage->workers[i]);
	metrics_registry_destroy(&stage->registry);
	for (unsigned i = 0; i < stage->accepted_count; i++)
		close(stage->accepted[i]);
	close(stage->sprout);
	close(stage->client);
}

static void stage_stop_at_once(struct stage *stage)
{
	for (unsigned i = 0; i < WORKERS; i++)
		loop_stop(worker_loop(stage->workers[i]));
	stage_end(stage);
}

static void connect_core(struct stage *stage, int fds[CORE_CONNECTIONS])
{
	unsigned port;

	for (unsigned i = 0; i < CORE_CONNECTIONS; i++) {
		fds[i] = bound_socket(SOCK_STREAM, "127.0.30.3", &port);
		connect_to(fds[i], stage->core);
	}
}

/* ---- scenes ---- */

/* Of many connections the two workers share out, so some requests land where the client is not. */
static void every_connection_is_answered(struct stage *stage)
{
	int fds[CORE_CONNECTIONS];
	char text[8192];

	connect_core(stage, fds);
	for (unsigned i = 0; i < CORE_CONNECTIONS; i++) {
		core_asks(stage, fds[i], i);
		client_hear(stage, i, text, sizeof(text));
		answer(stage->client, text, "200 OK", "");
		hear(fds[i], text, sizeof(text));
		assert_memory_equal(text, "SIP/2.0 200 ", 12);
		close(fds[i]);
	}
}

static void a_request_that_lands_on_the_other_worker_reaches_the_client(void **state)
{
	struct stage stage;

	stage_start(&stage);
	client_registers(&stage);
	every_connection_is_answered(&stage);
	stage_stop_at_once(&stage);
}

/* Whichever worker owes the answer, the one that holds the connection is still there to send it. */
static void a_stop_waits_for_answers_by_way_of_the_other_worker(void **state)
{
	static char heard[CORE_CONNECTIONS][8192];
	int fds[CORE_CONNECTIONS];
	struct stage stage;
	char text[8192];

	stage_start(&stage);
	client_registers(&stage);
	connect_core(&stage, fds);
	for (unsigned i = 0; i < CORE_CONNECTIONS; i++) {
		core_asks(&stage, fds[i], i);
		client_hear(&stage, i, heard[i], sizeof(heard[i]));
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(worker_post_stop(stage.workers[i], PATIENCE_MS), 0);
	wait_for(&stage.idle); /* the one that owes nothing */
	for (unsigned i = 0; i < CORE_CONNECTIONS; i++)
		answer(stage.client, heard[i], "200 OK", "");
	wait_for(&stage.idle);
	for (unsigned i = 0; i < WORKERS; i++)
		worker_post_leave(stage.workers[i]);
	for (unsigned i = 0; i < CORE_CONNECTIONS; i++) {
		hear(fds[i], text, sizeof(text));
		assert_memory_equal(text, "SIP/2.0 200 ", 12);
		close(fds[i]);
	}
	stage_end(&stage);
}

static void a_stopping_worker_takes_no_new_work(void **state)
{
	struct stage stage;
	char text[8192];

	stage_start(&stage);
	client_registers(&stage);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(worker_post_stop(stage.workers[i], PATIENCE_MS), 0);
	for (unsigned i = 0; i < WORKERS; i++)
		wait_for(&stage.idle);
	say(stage.client, "MESSAGE sip:b@example.net SIP/2.0\r\n"
	                  "Via: SIP/2.0/UDP 127.0.30.4:5060;branch=z9hG4bKlate;rport\r\n"
	                  "From: <sip:u@example.net>;tag=1\r\nTo: <sip:b@example.net>\r\n"
	                  "Call-ID: late\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n");
	hear(stage.client, text, sizeof(text));
	assert_memory_equal(text, "SIP/2.0 503 ", 12);
	for (unsigned i = 0; i < WORKERS; i++)
		worker_post_leave(stage.workers[i]);
	stage_end(&stage);
}

struct visiting {
	struct worker_flow_visit visit;
	struct stage *stage;
};

static bool visit(struct worker_flow_visit *seen, uint8_t worker, struct flow *flow,
                  uint64_t now_ms)
{
	atomic_fetch_add(&CONTAINER_OF(seen, struct visiting, visit)->stage->visited_flows, 1);
	return true;
}

static void visit_done(struct worker_flow_visit *seen)
{
	sem_post(&CONTAINER_OF(seen, struct visiting, visit)->stage->visited);
}

static void probes_and_visits_are_answered_by_each_worker(void **state)
{
	struct visiting visits[WORKERS];
	struct stage stage;
	char text[8192];

	stage_start(&stage);
	client_registers(&stage);
	for (unsigned i = 0; i < WORKERS; i++) {
		int from;

		assert_int_equal(worker_post_probe(stage.workers[i], 0, i + 1, PATIENCE_MS), 0);
		from = sprout_hear(&stage, text, sizeof(text));
		assert_memory_equal(text, "OPTIONS ", 8);
		answer(from, text, "200 OK", "");
		wait_for(&stage.probed);
		assert_int_equal(atomic_load(&stage.probe_result), HEALTH_PROBE_OK);
		visits[i] = (struct visiting){{visit, visit_done}, &stage};
		assert_int_equal(worker_post_flow_visit(stage.workers[i], &visits[i].visit), 0);
		wait_for(&stage.visited);
	}
	assert_int_equal(atomic_load(&stage.visited_flows), 1);
	stage_stop_at_once(&stage);
}

static unsigned count_flows(struct stage *stage)
{
	struct visiting visits[WORKERS];

	atomic_store(&stage->visited_flows, 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		visits[i] = (struct visiting){{visit, visit_done}, stage};
		assert_int_equal(worker_post_flow_visit(stage->workers[i], &visits[i].visit), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		wait_for(&stage->visited);
	return atomic_load(&stage->visited_flows);
}

static unsigned worker_of(int fd)
{
	struct address address = {0};
	socklen_t length = sizeof(address);

	assert_int_equal(getsockname(fd, &address.any, &length), 0);
	return transport_udp_worker(&address, WORKERS);
}

/* Another port of the phone, as a NAT that has forgotten the first makes one: at the other worker. */
static void client_moves(struct stage *stage)
{
	unsigned before = worker_of(stage->client), port;

	for (;;) {
		int fd = bound_socket(SOCK_DGRAM, "127.0.30.4", &port);

		if (worker_of(fd) == before) {
			close(fd); /* the kernel gives the next one another port */
			continue;
		}
		close(stage->client);
		stage->client = fd;
		connect_to(fd, stage->access);
		return;
	}
}

static void calls_follow_a_client_that_comes_to_the_other_worker(void **state)
{
	char old_token[FLOW_TOKEN_TEXT_MAX];
	struct stage stage;

	stage_start(&stage);
	client_registers_as(&stage, OUTBOUND);
	for (unsigned times = 0; times < 3; times++) { /* there, back, and there again */
		memcpy(old_token, stage.token, sizeof(old_token));
		client_moves(&stage);
		client_registers_as(&stage, OUTBOUND);
		assert_string_not_equal(stage.token, old_token);
		while (count_flows(&stage) != 1) /* until the other has heard of it */
			;
	}
	memcpy(stage.token, old_token, sizeof(old_token));
	every_connection_is_answered(&stage);
	stage_stop_at_once(&stage);
}

/* Letters that nobody reads any more are dropped, and a visit is told its end all the same. */
static void letters_to_a_worker_that_has_left_are_dropped(void **state)
{
	struct visiting visits[WORKERS];
	struct stage stage;

	stage_start(&stage);
	client_registers(&stage);
	for (unsigned i = 0; i < WORKERS; i++)
		worker_post_leave(stage.workers[i]);
	for (unsigned i = 0; i < WORKERS; i++)
		loop_join(worker_loop(stage.workers[i]));
	for (unsigned i = 0; i < WORKERS; i++) {
		visits[i] = (struct visiting){{visit, visit_done}, &stage};
		assert_int_equal(worker_post_probe(stage.workers[i], 0, 1, 100), 0);
		assert_int_equal(worker_post_flow_visit(stage.workers[i], &visits[i].visit), 0);
	}
	stage_end(&stage);
	for (unsigned i = 0; i < WORKERS; i++)
		wait_for(&stage.visited);
	assert_int_equal(atomic_load(&stage.visited_flows), 0);
	assert_int_equal(memory_live_blocks(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_that_lands_on_the_other_worker_reaches_the_client),
		cmocka_unit_test(calls_follow_a_client_that_comes_to_the_other_worker),
		cmocka_unit_test(a_stop_waits_for_answers_by_way_of_the_other_worker),
		cmocka_unit_test(a_stopping_worker_takes_no_new_work),
		cmocka_unit_test(probes_and_visits_are_answered_by_each_worker),
		cmocka_unit_test(letters_to_a_worker_that_has_left_are_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
