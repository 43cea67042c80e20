/*
 * A proxy alone in a world of paper: a fake clock, transactions and flows that are real, and below them a
 * sender that only remembers what was sent where. Two sites of two Sprouts each, clients by number.
 * A header only: tests of the layers below proxy/ do not link it.
 */
#ifndef TESTS_SUPPORT_PROXY_WORLD_H
#define TESTS_SUPPORT_PROXY_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "proxy/proxy.h"
#include "sip/flow_token.h"
#include "sip/route_set.h"
#include "sip/message.h"
#include "support/alloc_fail.h"
#include "support/fake_loop.h"

#define WORLD_SENT_MAX 512
#define WORLD_TARGETS 4
#define WORLD_REPORTS_MAX 64
#define WORLD_DECIDED_MAX 16

struct world_sent {
	struct hop hop;
	char *text; /* malloc */
};

struct world {
	struct loop *loop;
	struct txn_table *txns;
	struct flow_table *flows;
	struct proxy *proxy;
	struct branch_source branches;
	struct listener_settings listeners[4];
	struct proxy_settings settings;
	struct view *view;
	enum sip_transport core; /* transport toward the Sprouts */
	struct world_sent sent[WORLD_SENT_MAX];
	unsigned sent_count;
	int open_error[WORLD_TARGETS]; /* what transport_open says of a target */
	int other_open_error;          /* and of any other address */
	int send_error;                /* what sending to a target says */
	size_t txn_limit;
	const struct flow_table_events *flow_events;            /* NULL: none */
	void (*charge)(void *arg, const struct charge *charge); /* hears of records; NULL: nobody */
	struct {
		uint32_t target;
		enum health_input input;
		uint64_t value;
	} reports[WORLD_REPORTS_MAX];
	unsigned report_count;
	struct {
		char text[512];
		bool lost;
		int status;
	} decided[WORLD_DECIDED_MAX];
	unsigned decided_count;
	unsigned passed; /* packets given to another worker */
	uint8_t passed_to;
	uint64_t passed_key;
	char passed_text[65536];
};

static inline const char *world_target_host(unsigned target)
{
	static const char *const hosts[WORLD_TARGETS] = {"127.0.1.1", "127.0.1.2", "127.0.2.1",
	                                                 "127.0.2.2"};

	return hosts[target];
}

static inline int world_target_of(const struct address *address)
{
	char text[ADDRESS_TEXT_MAX];

	address_format_host(address, text);
	for (int i = 0; i < WORLD_TARGETS; i++)
		if (strcmp(text, world_target_host((unsigned)i)) == 0)
			return i;
	return -1;
}

static inline int world_send(void *arg, const struct hop *hop, struct bytes **bytes)
{
	struct world *world = arg;

	if (hop->side == SIDE_CORE && world->send_error != 0 &&
	    world_target_of(&hop->remote) >= 0) {
		bytes_release(bytes);
		return world->send_error;
	}
	if (world->sent_count < WORLD_SENT_MAX) {
		struct world_sent *sent = &world->sent[world->sent_count++];

		sent->hop = *hop;
		sent->text = malloc((*bytes)->length + 1);
		memcpy(sent->text, (*bytes)->data, (*bytes)->length);
		sent->text[(*bytes)->length] = '\0';
	}
	bytes_release(bytes);
	return 0;
}

static inline int world_open(void *arg, const struct transport_peer *to, struct hop *out)
{
	const struct address *peer = to->address;
	const enum sip_transport kind = to->transport;
	struct world *world = arg;
	int target = world_target_of(peer);

	if (target >= 0 && world->open_error[target] != 0)
		return world->open_error[target];
	if (target < 0 && world->other_open_error != 0)
		return world->other_open_error;
	*out = (struct hop){.transport = kind,
	                    .side = SIDE_CORE,
	                    .listener = 2,
	                    .remote = *peer,
	                    .own_socket = kind == TRANSPORT_UDP,
	                    .connection =
	                            kind == TRANSPORT_UDP ? 0 : 1000 + (uint64_t)(target + 1)};
	return 0;
}

static inline int world_open_access(void *arg, const struct transport_peer *to, struct hop *out)
{
	struct world *world = arg;

	if (world->other_open_error != 0)
		return world->other_open_error;
	*out = (struct hop){.transport = to->transport,
	                    .side = SIDE_ACCESS,
	                    .listener = to->transport == TRANSPORT_UDP ? 0 : 1,
	                    .remote = *to->address,
	                    .connection = to->transport == TRANSPORT_UDP ? 0 : 3000};
	return 0;
}

static inline const char *world_sent_by(void *arg, const struct hop *hop)
{
	return hop->side == SIDE_CORE ? "127.0.0.1:5058" : "127.0.0.1:5060";
}

static inline void world_pass_packet(void *arg, uint8_t worker, const struct packet *packet,
                                     uint64_t moved_key)
{
	struct world *world = arg;

	world->passed++;
	world->passed_to = worker;
	world->passed_key = moved_key;
	snprintf(world->passed_text, sizeof(world->passed_text), "%.*s", SLICE_ARGS(packet->bytes));
}

static inline void world_report(void *arg, uint32_t target_id, enum health_input input,
                                uint64_t value)
{
	struct world *world = arg;

	if (world->report_count == WORLD_REPORTS_MAX)
		return;
	world->reports[world->report_count].target = target_id;
	world->reports[world->report_count].input = input;
	world->reports[world->report_count++].value = value;
}

static inline void world_decided(void *arg, const struct decision *decision)
{
	struct world *world = arg;

	if (world->decided_count == WORLD_DECIDED_MAX)
		return;
	decision_format(decision, world->decided[world->decided_count].text,
	                sizeof(world->decided[0].text));
	world->decided[world->decided_count].lost = decision->lost;
	world->decided[world->decided_count++].status = decision->status;
}

static inline bool world_is_ready(void *arg)
{
	return true;
}

static inline bool world_reported(const struct world *world, enum health_input input)
{
	for (unsigned i = 0; i < world->report_count; i++)
		if (world->reports[i].input == input)
			return true;
	return false;
}

static inline void world_free_view(struct snapshot *snapshot)
{
	struct view *view = CONTAINER_OF(snapshot, struct view, snapshot);

	for (unsigned i = 0; i < view->target_count; i++) {
		free((char *)view->targets[i].uri);
		free((char *)view->targets[i].route_uri);
	}
	free(view->targets);
	free(view->sites);
	free(view);
}

/* All targets in these states: a view as control would publish it. */
static inline struct view *world_make_view(enum sip_transport core,
                                           const enum target_state states[WORLD_TARGETS])
{
	static const char *const names[WORLD_TARGETS] = {"sprout-1", "sprout-2", "sprout-1",
	                                                 "sprout-2"};
	struct view *view = calloc(1, sizeof(*view));

	snapshot_init(&view->snapshot, world_free_view);
	view->sites = calloc(2, sizeof(*view->sites));
	view->targets = calloc(WORLD_TARGETS, sizeof(*view->targets));
	view->site_count = 2;
	view->target_count = WORLD_TARGETS;
	view->serving = -1;
	for (unsigned s = 0; s < 2; s++)
		view->sites[s] = (struct view_site){.name = s == 0 ? "site-a" : "site-b",
		                                    .local = s == 0,
		                                    .first = 2 * s,
		                                    .count = 2};
	for (unsigned i = 0; i < WORLD_TARGETS; i++) {
		struct view_target *target = &view->targets[i];
		char uri[128];

		snprintf(uri, sizeof(uri), "sip:%s:5054;transport=%s", world_target_host(i),
		         transport_name(core));
		target->uri = strdup(uri);
		strcat(uri, ";lr;orig");
		target->route_uri = strdup(uri);
		target->id = i;
		target->site = i / 2;
		target->name = names[i];
		target->transport = core;
		target->weight = 1;
		target->state = states[i];
		target->probe_us = -1;
		assert_true(address_parse_host(slice_from_string(world_target_host(i)), 5054,
		                               &target->address));
		if (states[i] <= TARGET_DEGRADED) {
			view->sites[i / 2].usable = true;
			if (view->serving < 0)
				view->serving = (int)(i / 2);
		}
	}
	return view;
}

static inline void world_set_states(struct world *world, enum target_state a, enum target_state b,
                                    enum target_state c, enum target_state d)
{
	enum target_state states[WORLD_TARGETS] = {a, b, c, d};
	struct view *view = world_make_view(world->core, states);

	proxy_set_view(world->proxy, view);
	snapshot_release(&view->snapshot);
}

static inline int world_build(struct world *world)
{
	static const struct flow_table_events no_events;
	struct flow_table_settings flow_settings = {
		.node = 7, .epoch = 1000, .workers = 2, .limit = 1000, .unregistered_ms = 32000};
	struct txn_sender sender = {world_send, world};
	struct proxy_ways ways = {
		.send = world_send,
		.open = world_open,
		.open_access = world_open_access,
		.sent_by = world_sent_by,
		.pass_packet = world_pass_packet,
		.report = world_report,
		.decided = world_decided,
		.charge = world->charge,
		.is_ready = world_is_ready,
		.arg = world,
	};
	int err;

	err = loop_create("test", &world->loop);
	if (err == 0)
		err = txn_table_create(world->loop, &sender, world->txn_limit, NULL, &world->txns);
	if (err == 0)
		err = flow_table_create(world->loop, &flow_settings, NULL,
		                        world->flow_events != NULL ? world->flow_events
		                                                   : &no_events,
		                        world, &world->flows);
	if (err == 0)
		err = proxy_create(world->loop, &world->settings, &ways, world->flows, world->txns,
		                   &world->branches, NULL, &world->proxy);
	return err;
}

static char world_home_domain[] = "example.net";
static char *const world_home_domains[] = {world_home_domain};

static inline void world_init(struct world *world, enum sip_transport core)
{
	static const uint8_t key[32] = {1, 2, 3};

	memset(world, 0, sizeof(*world));
	world->core = core;
	world->txn_limit = 10000;
	flow_token_key_set(key);
	for (unsigned i = 0; i < 4; i++) {
		struct listener_settings *listener = &world->listeners[i];

		listener->name = i < 2 ? "access" : "core";
		listener->side = i < 2 ? SIDE_ACCESS : SIDE_CORE;
		listener->transport = i % 2 == 0 ? TRANSPORT_UDP : TRANSPORT_TCP;
		listener->advertise = i < 2 ? "127.0.0.1:5060" : "127.0.0.1:5058";
		assert_true(address_parse(slice_from_string(listener->advertise), &listener->bind));
	}
	world->settings = (struct proxy_settings){.listeners = world->listeners,
	                                          .listener_count = 4,
	                                          .path_listener = 3,
	                                          .visited_network = "example.net",
	                                          .home_domains = world_home_domains,
	                                          .home_domain_count = 1,
	                                          .epoch = 1000,
	                                          .message_bytes = 65535,
	                                          .first_answer_ms = 500,
	                                          .deadline_ms = 8000};
	branch_source_init(&world->branches, 0);
}

static inline void world_forget_sent(struct world *world)
{
	for (unsigned i = 0; i < world->sent_count; i++)
		free(world->sent[i].text);
	world->sent_count = 0;
	world->report_count = 0;
}

static inline void world_free(struct world *world)
{
	proxy_destroy(&world->proxy);
	txn_table_destroy(&world->txns);
	flow_table_destroy(&world->flows);
	loop_destroy(&world->loop);
	world_forget_sent(world);
}

/* cmocka setup and teardown: all four targets UP, toward the core over TCP. */
static inline int world_setup_over(void **state, enum sip_transport core)
{
	struct world *world = malloc(sizeof(*world));

	fake_clock_setup(state);
	hash_key_init();
	assert_int_equal(message_system_init(), 0);
	world_init(world, core);
	assert_int_equal(world_build(world), 0);
	world_set_states(world, TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP);
	*state = world;
	return 0;
}

static inline int world_setup(void **state)
{
	return world_setup_over(state, TRANSPORT_TCP);
}

static inline int world_teardown(void **state)
{
	struct world *world = *state;

	world_free(world);
	free(world);
	return fake_clock_teardown(state);
}

static inline void world_walk(struct world *world, uint64_t ms)
{
	fake_loop_walk(world->loop, ms);
}

/* ---- clients and Sprouts speak ---- */

static inline struct hop world_client_hop(unsigned client)
{
	struct hop hop = {.transport = TRANSPORT_UDP, .side = SIDE_ACCESS, .listener = 0};

	assert_true(address_parse_host(SLICE_LITERAL("192.0.2.1"), (uint16_t)(10000 + client),
	                               &hop.remote));
	return hop;
}

static inline void world_packet(struct world *world, const struct hop *hop, const char *text)
{
	struct packet packet = {slice_from_string(text), *hop};

	proxy_on_packet(world->proxy, &packet, false);
	loop_advance_to(world->loop, loop_now_ms(world->loop));
}

static inline bool world_brings_to(const char *lines)
{
	return strncmp(lines, "To: ", 4) == 0 || strstr(lines, "\r\nTo: ") != NULL;
}

/* A request from client n, completed with Via, From, To, Call-ID, CSeq (unless `lines` brings its own To:).
 * lines: further header lines with CRLF. The branch is the Call-ID's. */
static inline void world_client_request(struct world *world, unsigned client, const char *method,
                                        const char *uri, const char *call_id, const char *lines)
{
	struct hop hop = world_client_hop(client);
	char text[16384];

	snprintf(text, sizeof(text),
	         "%s %s SIP/2.0\r\n"
	         "Via: SIP/2.0/UDP 192.0.2.1:%u;branch=z9hG4bK%s;rport\r\n"
	         "From: <sip:user%u@example.net>;tag=f%u\r\n"
	         "%s"
	         "Call-ID: %s\r\n"
	         "CSeq: 1 %s\r\n"
	         "%s"
	         "Content-Length: 0\r\n\r\n",
	         method, uri, 10000 + client, call_id, client, client,
	         world_brings_to(lines) ? "" : "To: <sip:user@example.net>\r\n", call_id, method,
	         lines);
	world_packet(world, &hop, text);
}

static inline void world_client_register_over(struct world *world, unsigned client,
                                              const char *call_id, const char *lines)
{
	char all[8192];

	snprintf(all, sizeof(all),
	         "To: <sip:user%u@example.net>\r\nContact: "
	         "<sip:user%u@192.0.2.1:%u>\r\nMax-Forwards: 70\r\n%s",
	         client, client, 10000 + client, lines);
	world_client_request(world, client, "REGISTER", "sip:example.net", call_id, all);
}

/* The value of the first line `name` in a sent text; "" if it has none. Static storage. */
static inline const char *world_header(const char *text, const char *name)
{
	static char value[4][4096];
	static unsigned next;
	char *out = value[next++ % 4];
	char needle[128];
	const char *at;
	const char *end;

	out[0] = '\0';
	snprintf(needle, sizeof(needle), "\r\n%s: ", name);
	at = strstr(text, needle);
	if (at == NULL)
		return out;
	at += strlen(needle);
	end = strstr(at, "\r\n");
	snprintf(out, 4096, "%.*s", (int)(end - at), at);
	return out;
}

static inline unsigned world_count_lines(const char *text, const char *name)
{
	char needle[128];
	unsigned n = 0;

	snprintf(needle, sizeof(needle), "\r\n%s: ", name);
	for (const char *at = text; (at = strstr(at, needle)) != NULL; at += 2)
		n++;
	return n;
}

/* Whoever got sent[index] answers it. lines: header lines with CRLF. */
static inline void world_answer(struct world *world, unsigned index, const char *status,
                                const char *lines)
{
	const struct world_sent *sent = &world->sent[index];
	char text[16384];
	size_t n;
	const char *at = sent->text;
	bool tagged = strstr(world_header(sent->text, "To"), "tag=") != NULL;

	n = (size_t)snprintf(text, sizeof(text), "SIP/2.0 %s\r\n", status);
	while ((at = strstr(at, "\r\nVia: ")) != NULL) {
		const char *end = strstr(at + 2, "\r\n");

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s\r\n", (int)(end - at - 2),
		                      at + 2);
		at = end;
	}
	snprintf(text + n, sizeof(text) - n,
	         "From: %s\r\nTo: %s%s\r\nCall-ID: %s\r\nCSeq: %s\r\n%sContent-Length: 0\r\n\r\n",
	         world_header(sent->text, "From"), world_header(sent->text, "To"),
	         tagged || strncmp(status, "100", 3) == 0 ? "" : ";tag=callee",
	         world_header(sent->text, "Call-ID"), world_header(sent->text, "CSeq"), lines);
	{
		struct hop hop = sent->hop;

		world_packet(world, &hop, text);
	}
}

/* Client n registers and the Sprout says yes; what was sent for it is forgotten. */
static inline void world_register(struct world *world, unsigned client)
{
	char lines[512];
	char call_id[32];

	snprintf(call_id, sizeof(call_id), "reg%u", client);
	world_client_register_over(world, client, call_id, "");
	assert_int_equal(world->sent_count, 1);
	snprintf(lines, sizeof(lines),
	         "Contact: <sip:user%u@192.0.2.1:%u>;expires=3600\r\n"
	         "P-Associated-URI: <sip:user%u@example.net>, <tel:+1555%04u>\r\n"
	         "Service-Route: <sip:orig@127.0.1.1:5054;transport=tcp;lr;orig>\r\n",
	         client, 10000 + client, client, client);
	world_answer(world, 0, "200 OK", lines);
	assert_int_equal(world->sent_count, 2);
	assert_non_null(strstr(world->sent[1].text, "SIP/2.0 200 "));
	world_forget_sent(world);
}

static inline struct flow *world_flow(struct world *world, unsigned client)
{
	struct hop hop = world_client_hop(client);

	return flow_table_find_by_hop(world->flows, &hop);
}

/* The Route line (with CRLF) of a dialog of client n that we have let it into; `beyond`: the values after ours,
 * comma-separated, "" for none. Static storage. */
static inline const char *world_route(struct world *world, unsigned client, const char *beyond)
{
	static char line[2][4096];
	static unsigned next;
	const char *token = flow_token_text(world_flow(world, client));
	const struct binding *binding = flow_binding_at(world_flow(world, client), 0);
	struct route_set_registration registration;
	char mark[ROUTE_SET_MARK_SIZE];
	struct name_addr address;
	struct route_set set;
	char copy[2048];

	snprintf(copy, sizeof(copy), "%s", beyond);
	route_set_begin(&set);
	for (char *at = strtok(copy, ","); at != NULL; at = strtok(NULL, ",")) {
		assert_true(name_addr_parse(slice_from_string(at), &address));
		route_set_add(&set, &address.uri);
	}
	route_set_registration(binding_aor(binding), binding_instance(binding),
	                       binding_reg_id(binding), &registration);
	assert_true(route_set_mark(&set, slice_from_string(token), &registration, mark));
	next ^= 1;
	snprintf(line[next], sizeof(line[next]),
	         "Route: <sip:%s@127.0.0.1:5060;transport=udp;lr;rs=%s>,"
	         "<sip:%s@127.0.0.1:5058;transport=tcp;lr>%s%s\r\n",
	         token, mark, token, beyond[0] != '\0' ? "," : "", beyond);
	return line[next];
}

/* A request from a Sprout (target n), routed by `route` (a whole Route value, "" for none). */
static inline void world_core_request(struct world *world, unsigned target, const char *method,
                                      const char *uri, const char *route, const char *call_id,
                                      const char *lines)
{
	struct hop hop = {.transport = TRANSPORT_TCP,
	                  .side = SIDE_CORE,
	                  .listener = 3,
	                  .connection = 2000 + target};
	char text[16384];

	assert_true(address_parse_host(slice_from_string(world_target_host(target)), 40000,
	                               &hop.remote));
	snprintf(text, sizeof(text),
	         "%s %s SIP/2.0\r\n"
	         "Via: SIP/2.0/TCP %s:5054;branch=z9hG4bKcore%s\r\n"
	         "%s%s%s"
	         "From: <sip:caller@example.net>;tag=far\r\n"
	         "%s"
	         "Call-ID: %s\r\n"
	         "CSeq: 1 %s\r\n"
	         "%s"
	         "Content-Length: 0\r\n\r\n",
	         method, uri, world_target_host(target), call_id, route[0] != '\0' ? "Route: " : "",
	         route, route[0] != '\0' ? "\r\n" : "",
	         world_brings_to(lines) ? "" : "To: <sip:user@example.net>\r\n", call_id, method,
	         lines);
	world_packet(world, &hop, text);
}

static inline void world_core_to_client(struct world *world, unsigned client, const char *method,
                                        const char *call_id, const char *lines)
{
	char route[256];
	char uri[64];

	snprintf(route, sizeof(route), "<sip:%s@127.0.0.1:5058;transport=tcp;lr;ob>",
	         flow_token_text(world_flow(world, client)));
	snprintf(uri, sizeof(uri), "sip:user%u@192.0.2.1:%u", client, 10000 + client);
	world_core_request(world, 0, method, uri, route, call_id, lines);
}

#define assert_status(world, index, status)                                                        \
	do {                                                                                       \
		assert_true((index) < (world)->sent_count);                                        \
		assert_memory_equal((world)->sent[index].text, "SIP/2.0 " status " ",              \
		                    sizeof("SIP/2.0 " status));                                    \
	} while (0)

#define assert_contains(text, part)                                                                \
	do {                                                                                       \
		if (strstr((text), (part)) == NULL)                                                \
			fail_msg("\"%s\" is not in:\n%s", (part), (text));                         \
	} while (0)

#define assert_lacks(text, part)                                                                   \
	do {                                                                                       \
		if (strstr((text), (part)) != NULL)                                                \
			fail_msg("\"%s\" is in:\n%s", (part), (text));                             \
	} while (0)

/* The scene makes a world of its own, in each turn with another allocation that fails. */
static inline void world_bears_the_end_of_memory(void **state, void (*scene)(void *arg),
                                                 unsigned more_than)
{
	fake_clock_setup(state);
	hash_key_init();
	assert_int_equal(message_system_init(), 0);
	assert_true(alloc_fail_each(scene, NULL) > more_than);
	fake_clock_teardown(state);
}

#define world_test(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

#endif
