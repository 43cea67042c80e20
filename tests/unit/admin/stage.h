/*
 * Admin on a loop that the test turns by hand, over real sockets, before a source that says what the test wants. A
 * header only.
 */
#ifndef TESTS_UNIT_ADMIN_STAGE_H
#define TESTS_UNIT_ADMIN_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/admin.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "support/alloc_fail.h"
#include "support/fake_clock.h"
#include "support/fake_loop.h"

#define TURNS 200
#define STAGE_EVENTS 256

struct stage {
	struct loop *loop;
	struct metrics_registry *registry;
	struct metrics *metrics;
	struct admin *admin;
	char directory[32], socket[64];

	/* what the source says */
	bool live, ready, draining, answer_flows_at_once;
	unsigned refreshed;
	struct view_site sites[2];
	struct view_target targets[2];
	struct view view;

	/* numbers from 100 on, the oldest first */
	struct admin_event events[STAGE_EVENTS];
	unsigned first_event, event_count;
	struct decision decision; /* call_id: whose it is */
	struct operator_word words[2];
	unsigned word_count;
	int say_error;
	struct admin_certificate certificates[2];
	unsigned certificate_count, reloads;
	int reload_error;
	const char *reload_fault; /* NULL: none */

	/* what it was asked */
	struct admin_query *query;
	char identity[128];
	struct operator_word said;
	unsigned said_count;
};

static inline bool is_live(void *arg)
{
	return ((struct stage *)arg)->live;
}

static inline bool is_ready(void *arg)
{
	return ((struct stage *)arg)->ready;
}

static inline bool is_draining(void *arg)
{
	return ((struct stage *)arg)->draining;
}

static const struct view *get_view(void *arg)
{
	return &((struct stage *)arg)->view;
}

static inline void refresh(void *arg)
{
	((struct stage *)arg)->refreshed++;
}

static inline void add_flow(struct admin_query *query, uint64_t id, const char *contact)
{
	struct admin_binding binding = {"sip:alice@example.net", contact, 599};
	struct admin_flow flow = {.id = id,
	                          .worker = 1,
	                          .hop = "192.0.2.1:5060/udp",
	                          .listener = "access-udp",
	                          .age_s = 7,
	                          .bindings = &binding,
	                          .binding_count = 1};

	admin_flows_add(query, &flow);
}

static inline void ask_flows(void *arg, const char *identity, struct admin_query *query)
{
	struct stage *stage = arg;

	snprintf(stage->identity, sizeof(stage->identity), "%s",
	         identity != NULL ? identity : "all");
	if (stage->answer_flows_at_once) {
		add_flow(query, 0xabc, "sip:alice@192.0.2.1");
		admin_flows_finish(&query, 0);
		return;
	}
	stage->query = query;
}

static inline bool next_event(void *arg, uint64_t after, struct admin_event *out)
{
	struct stage *stage = arg;

	for (unsigned i = stage->first_event; i < stage->event_count; i++)
		if (stage->events[i].number > after) {
			*out = stage->events[i];
			return true;
		}
	return false;
}

static inline void visit_decisions(void *arg, struct slice call_id,
                                   void (*visit)(void *visit_arg, const struct decision *decision),
                                   void *visit_arg)
{
	struct stage *stage = arg;

	if (call_id.length > 0 && slice_equal(call_id, stage->decision.call_id))
		visit(visit_arg, &stage->decision);
}

static inline const struct operator_word *get_words(void *arg, unsigned *count)
{
	struct stage *stage = arg;

	*count = stage->word_count;
	return stage->words;
}

static inline int say_word(void *arg, const struct operator_word *word)
{
	struct stage *stage = arg;

	stage->said = *word;
	stage->said_count++;
	return stage->say_error;
}

static inline int reload_tls(void *arg, void (*on_fault)(void *fault_arg, const char *text),
                             void *fault_arg)
{
	struct stage *stage = arg;

	stage->reloads++;
	if (stage->reload_fault != NULL)
		on_fault(fault_arg, stage->reload_fault);
	return stage->reload_error;
}

static inline bool get_certificate(void *arg, unsigned index, struct admin_certificate *out)
{
	struct stage *stage = arg;

	if (index >= stage->certificate_count)
		return false;
	*out = stage->certificates[index];
	return true;
}

static const struct admin_source source = {
	.live = is_live,
	.ready = is_ready,
	.draining = is_draining,
	.view = get_view,
	.refresh = refresh,
	.flows = ask_flows,
	.next_event = next_event,
	.decisions = visit_decisions,
	.words = get_words,
	.say = say_word,
	.reload_tls = reload_tls,
	.certificate = get_certificate,
};

static inline void set_view(struct stage *stage)
{
	static const char *const sites[] = {"site-a", "site-b"};

	for (unsigned i = 0; i < 2; i++) {
		stage->sites[i] = (struct view_site){.name = sites[i],
		                                     .local = i == 0,
		                                     .first = i,
		                                     .count = 1,
		                                     .usable = true,
		                                     .share = i == 0 ? VIEW_SHARE_ALL : 0};
		stage->targets[i] = (struct view_target){.id = i,
		                                         .site = i,
		                                         .name = "sprout-1",
		                                         .transport = TRANSPORT_TCP,
		                                         .weight = 2,
		                                         .state = TARGET_UP,
		                                         .reason = "probes answered",
		                                         .since_wall_ms = 1000,
		                                         .probe_us = 250};
		assert_true(
			address_parse(SLICE_LITERAL("127.0.1.1:5054"), &stage->targets[i].address));
	}
	stage->targets[1].state = TARGET_DOWN;
	stage->targets[1].probe_us = -1;
	stage->view = (struct view){.version = 1,
	                            .sites = stage->sites,
	                            .site_count = 2,
	                            .targets = stage->targets,
	                            .target_count = 2,
	                            .serving = 0};
}

static inline int start_admin(struct stage *stage, struct admin **out)
{
	struct admin_settings settings = {.socket = stage->socket,
	                                  .node = "bono-1",
	                                  .site = "site-a",
	                                  .config_hash = "0123456789abcdef",
	                                  .registry = stage->registry};

	return admin_create(stage->loop, &settings, &source, stage, out);
}

static inline int setup_quiet(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	fake_clock_setup(state);
	stage->live = stage->ready = true;
	strcpy(stage->directory, "/tmp/admin-test-XXXXXX");
	assert_non_null(mkdtemp(stage->directory));
	snprintf(stage->socket, sizeof(stage->socket), "%s/admin.sock", stage->directory);
	assert_int_equal(loop_create("test", &stage->loop), 0);
	assert_int_equal(metrics_registry_create(&stage->registry), 0);
	assert_int_equal(metrics_create(stage->registry, "control", &stage->metrics), 0);
	set_view(stage);
	*state = stage;
	return 0;
}

static inline int setup(void **state)
{
	setup_quiet(state);
	return start_admin(*state, &((struct stage *)*state)->admin);
}

static inline int teardown(void **state)
{
	struct stage *stage = *state;

	admin_destroy(&stage->admin);
	if (stage->query != NULL)
		admin_flows_finish(&stage->query, 0);
	loop_destroy(&stage->loop);
	metrics_registry_destroy(&stage->registry);
	unlink(stage->socket);
	assert_int_equal(rmdir(stage->directory), 0);
	free(stage);
	return fake_clock_teardown(state);
}

/* The texts are lent. */
static inline void happen(struct stage *stage, const char *kind, const char *subject,
                          const char *to)
{
	struct admin_event *event = &stage->events[stage->event_count];

	assert_true(stage->event_count < STAGE_EVENTS);
	*event = (struct admin_event){.number = 100 + stage->event_count,
	                              .wall_ms = clock_wall_ms(),
	                              .kind = kind,
	                              .subject = subject,
	                              .from = "UP",
	                              .to = to,
	                              .reason = "probes_lost",
	                              .evidence = "2 probes lost"};
	stage->event_count++;
	if (stage->admin != NULL)
		admin_events_changed(stage->admin);
}

/* ---- the client ---- */

static inline int dial(struct stage *stage)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, stage->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static inline void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline void turn(struct stage *stage)
{
	for (unsigned i = 0; i < 5; i++)
		loop_turn(stage->loop);
}

enum heard { HEARD_NOTHING, HEARD_BYTES, HEARD_END };

/* Turn the loop until nothing more comes. text gets all of it. */
static inline enum heard hear(struct stage *stage, int fd, char *text, size_t size)
{
	size_t length = 0;

	for (unsigned i = 0, quiet = 0; i < 100000 && quiet < TURNS; i++, quiet++) {
		ssize_t n;

		loop_turn(stage->loop);
		n = recv(fd, text + length, size - 1 - length, 0);
		if (n > 0) {
			length += (size_t)n;
			quiet = 0;
		}
		text[length] = '\0';
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return HEARD_END;
	}
	return length > 0 ? HEARD_BYTES : HEARD_NOTHING;
}

static char answer[4 * 1024 * 1024];

/* One request on a connection of its own. */
static const char *ask(struct stage *stage, const char *method, const char *path)
{
	char request[1024];
	int fd = dial(stage);

	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path);
	say(fd, request);
	hear(stage, fd, answer, sizeof(answer));
	close(fd);
	turn(stage);
	return answer;
}

static const char *body_of(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

static inline void assert_code(const char *text, int code)
{
	char begin[32];

	snprintf(begin, sizeof(begin), "HTTP/1.1 %d ", code);
	if (strncmp(text, begin, strlen(begin)) != 0)
		fail_msg("expected %d, got: %.200s", code, text);
}

static inline json_t *json_of(const char *text)
{
	json_t *json = json_loads(body_of(text), 0, NULL);

	assert_non_null(json);
	return json;
}

#endif
