/*
 * The stage of the flow tests: one worker's table with a loop whose time the test moves, clients that are
 * hops, and REGISTERs with their 2xx as text.
 */
#ifndef TESTS_UNIT_FLOW_STAGE_H
#define TESTS_UNIT_FLOW_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "flow/flow_table.h"
#include "support/alloc_fail.h"
#include "support/fake_clock.h"
#include "support/fake_loop.h"

#define STAGE_WORKER 3
#define STAGE_WORKERS 4
#define STAGE_NODE 0xb0b0
#define STAGE_EPOCH 1700000000u
#define STAGE_UNREGISTERED_MS 32000

struct stage {
	struct loop *loop;
	struct flow_table *table;
	unsigned closed;              /* times told */
	enum flow_close close_reason; /* the last */
	uint64_t closed_id;
	unsigned registered, lapsed; /* on_flow_state */
};

static inline void stage_on_closed(void *arg, struct flow *flow, enum flow_close reason)
{
	struct stage *stage = arg;

	stage->closed++;
	stage->close_reason = reason;
	stage->closed_id = flow_id(flow);
}

static inline void stage_on_state(void *arg, struct flow *flow)
{
	struct stage *stage = arg;

	if (flow_state(flow) == FLOW_REGISTERED)
		stage->registered++;
	else
		stage->lapsed++;
}

static const struct flow_table_events stage_events = {
	.on_flow_state = stage_on_state,
	.on_flow_closed = stage_on_closed,
};

static inline struct flow_table_settings stage_settings(size_t limit)
{
	return (struct flow_table_settings){
		.worker = STAGE_WORKER,
		.node = STAGE_NODE,
		.epoch = STAGE_EPOCH,
		.workers = STAGE_WORKERS,
		.limit = limit,
		.unregistered_ms = STAGE_UNREGISTERED_MS,
	};
}

static inline void stage_once(void)
{
	static const uint8_t key[32] = {1, 2, 3};

	hash_key_init();
	flow_token_key_set(key);
	assert_int_equal(message_system_init(), 0);
}

static inline void stage_set(struct stage *stage, size_t limit)
{
	struct flow_table_settings settings = stage_settings(limit);

	memset(stage, 0, sizeof(*stage));
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(loop_create("worker-3", &stage->loop), 0);
	loop_advance_to(stage->loop, FAKE_CLOCK_START_MS);
	assert_int_equal(flow_table_create(stage->loop, &settings, NULL, &stage_events, stage,
	                                   &stage->table),
	                 0);
}

static inline void stage_strike(struct stage *stage)
{
	flow_table_destroy(&stage->table);
	loop_destroy(&stage->loop);
	fake_clock_off();
}

static inline struct hop stage_hop(enum sip_transport transport, unsigned number)
{
	struct hop hop;

	memset(&hop, 0, sizeof(hop));
	hop.worker = STAGE_WORKER;
	hop.transport = (uint8_t)transport;
	hop.side = SIDE_ACCESS;
	hop.remote.v4.sin_family = AF_INET;
	hop.remote.v4.sin_addr.s_addr = htonl(0xc6336400u + number / 50000); /* 198.51.100.x */
	hop.remote.v4.sin_port = htons((uint16_t)(5060 + number % 50000));
	hop.connection = transport_is_stream(transport) ? number + 1 : 0;
	return hop;
}

static inline struct flow *stage_client(struct stage *stage, enum sip_transport transport,
                                        unsigned number)
{
	struct hop hop = stage_hop(transport, number);
	struct flow *flow = NULL;

	assert_int_equal(flow_table_obtain(stage->table, &hop, &flow), 0);
	return flow;
}

/* NULL: out of memory (which only alloc-failure scenes see). */
static inline struct message *stage_parse(const char *text)
{
	struct message *message = NULL;
	enum guard_verdict verdict;
	enum message_fault fault;

	fault = message_parse(slice_from_string(text), 65535, &message, &verdict);
	if (fault != MESSAGE_SOUND) {
		if (fault != MESSAGE_NO_MEMORY)
			fail_msg("%s %s: %s", message_fault_name(fault),
			         guard_verdict_name(verdict), text);
		message_destroy(&message);
		return NULL;
	}
	return message;
}

/* headers: complete lines with CRLF. */
static inline struct message *stage_register(const char *aor, const char *headers)
{
	char text[16384];

	snprintf(text, sizeof(text),
	         "REGISTER sip:example.net SIP/2.0\r\n"
	         "Via: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK-1\r\n"
	         "Max-Forwards: 70\r\nFrom: <%s>;tag=a\r\nTo: <%s>\r\n"
	         "Call-ID: c1\r\nCSeq: 1 REGISTER\r\n%sContent-Length: 0\r\n\r\n",
	         aor, aor, headers);
	return stage_parse(text);
}

static inline struct message *stage_ok(const char *aor, const char *headers)
{
	char text[16384];

	snprintf(text, sizeof(text),
	         "SIP/2.0 200 OK\r\n"
	         "Via: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK-1\r\n"
	         "From: <%s>;tag=a\r\nTo: <%s>;tag=b\r\n"
	         "Call-ID: c1\r\nCSeq: 1 REGISTER\r\n%sContent-Length: 0\r\n\r\n",
	         aor, aor, headers);
	return stage_parse(text);
}

/* The client sends this, the registrar answers that. What flow_learn said. */
static inline int stage_exchange(struct flow *flow, const char *aor, const char *request_headers,
                                 const char *response_headers)
{
	struct message *request = stage_register(aor, request_headers);
	struct message *response = stage_ok(aor, response_headers);
	struct registration registration = {0};
	int err = -ENOMEM;

	if (request != NULL && response != NULL)
		err = registration_read(request, &registration);
	if (err == 0)
		err = flow_learn(flow, &registration, response);
	registration_free(&registration);
	message_destroy(&request);
	message_destroy(&response);
	return err;
}

#define ALICE "sip:alice@example.net"
#define ALICE_CONTACT "Contact: <sip:alice@10.0.0.5:5060>"
#define OUTBOUND ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-000A95A0E128>\";reg-id=1"

/* Alice registers over this flow for so many seconds. */
static inline void stage_registers(struct flow *flow, unsigned seconds)
{
	char asked[256], granted[256];

	snprintf(asked, sizeof(asked), ALICE_CONTACT ";expires=%u\r\n", seconds);
	snprintf(granted, sizeof(granted), ALICE_CONTACT ";expires=%u\r\n", seconds);
	assert_int_equal(stage_exchange(flow, ALICE, asked, granted), 0);
}

/* The same as an RFC 5626 client. */
static inline void stage_registers_outbound(struct flow *flow, unsigned seconds)
{
	char headers[256];

	snprintf(headers, sizeof(headers), ALICE_CONTACT OUTBOUND ";expires=%u\r\n", seconds);
	assert_int_equal(stage_exchange(flow, ALICE, headers, headers), 0);
}

static inline void assert_slice(struct slice got, const char *expected)
{
	char text[4096];

	assert_true(got.length < sizeof(text));
	memcpy(text, got.length > 0 ? got.data : "", got.length);
	text[got.length] = '\0';
	assert_string_equal(text, expected);
}

#endif
