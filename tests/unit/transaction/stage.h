/*
 * The stage for transactions: a loop with a fake clock, a sender that keeps what it was given, messages
 * by the line, and scripts. A script is words in order:
 *
 *	+500    let 500 ms pass            broken  from now on every send fails with ENOTCONN
 *	server: 180  forward that answer   r486  reply ourselves   again  the request once more
 *	        ack  the ACK on its branch   cancel  a CANCEL
 *	        forget
 *	client: 180  that response comes   lost  the hop is gone   cancel  forget
 *
 * Since its last look the stage has written down what was sent and told; stage_look gives
 * "state | sent | told", e.g. "completed | 486 486 |".
 */
#ifndef TESTS_UNIT_TRANSACTION_STAGE_H
#define TESTS_UNIT_TRANSACTION_STAGE_H

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
#include "support/alloc_fail.h"
#include "support/fake_loop.h"
#include "transaction/txn_table.h"

#define STAGE_BRANCH "z9hG4bK-stage-1"
#define STAGE_LIMIT 100000

struct stage {
	struct loop *loop;
	struct txn_table *table;
	struct hop hop;
	uint64_t began_ms;
	int send_error; /* 0: sends succeed */
	unsigned sends;
	char sent[256];  /* first words: statuses of answers, methods of requests */
	char times[256]; /* when, since began_ms */
	char told[256];
	char last[2048]; /* the bytes last sent */
	struct hop last_hop;
	enum txn_match match; /* of the last request that came */
	struct server_txn *server;
	struct client_txn *client;
};

static inline void stage_write(char *text, size_t size, const char *word)
{
	size_t length = strlen(text);

	if (length + strlen(word) + 2 < size)
		snprintf(text + length, size - length, "%s%s", length > 0 ? " " : "", word);
}

/* ---- what the transactions see ---- */

static inline int stage_send(void *arg, const struct hop *hop, struct bytes **bytes)
{
	struct stage *stage = arg;
	char word[32] = "", when[32];
	size_t length = (*bytes)->length;

	ASSERT(length < sizeof(stage->last));
	memcpy(stage->last, (*bytes)->data, length);
	stage->last[length] = '\0';
	stage->last_hop = *hop;
	bytes_release(bytes);
	stage->sends++;
	sscanf(stage->last, strncmp(stage->last, "SIP/2.0 ", 8) == 0 ? "SIP/2.0 %3[0-9]" : "%31s",
	       word);
	stage_write(stage->sent, sizeof(stage->sent), word);
	snprintf(when, sizeof(when), "%llu",
	         (unsigned long long)(loop_now_ms(stage->loop) - stage->began_ms));
	stage_write(stage->times, sizeof(stage->times), when);
	return stage->send_error;
}

static inline void stage_on_server_ended(void *arg, struct server_txn *txn)
{
	struct stage *stage = arg;

	assert_ptr_equal(txn, stage->server);
	stage->server = NULL;
	stage_write(stage->told, sizeof(stage->told), "ended");
}

static inline void stage_on_response(void *arg, struct client_txn *txn, struct message **response)
{
	struct stage *stage = arg;
	char word[16];

	snprintf(word, sizeof(word), "%d", message_status(*response));
	stage_write(stage->told, sizeof(stage->told), word);
}

static inline void stage_on_failed(void *arg, struct client_txn *txn, enum txn_failure failure)
{
	struct stage *stage = arg;

	stage_write(stage->told, sizeof(stage->told),
	            failure == TXN_TIMEOUT ? "timeout" : "transport");
	if (failure == TXN_TRANSPORT)
		assert_true(client_txn_error(txn) > 0);
}

static inline void stage_on_client_ended(void *arg, struct client_txn *txn)
{
	struct stage *stage = arg;

	assert_ptr_equal(txn, stage->client);
	stage->client = NULL;
	stage_write(stage->told, sizeof(stage->told), "ended");
}

static const struct server_txn_events stage_server_events = {.on_ended = stage_on_server_ended};
static const struct client_txn_events stage_client_events = {
	.on_response = stage_on_response,
	.on_failed = stage_on_failed,
	.on_ended = stage_on_client_ended,
};

/* ---- building and striking ---- */

static inline void stage_set_hop(struct stage *stage, enum side side, enum sip_transport transport)
{
	struct hop *hop = &stage->hop;

	memset(hop, 0, sizeof(*hop));
	hop->side = side;
	hop->transport = transport;
	hop->connection = transport_is_stream(transport) ? 7 : 0;
	assert_true(address_parse(slice_from_string("198.51.100.7:5061"), &hop->remote));
}

/* 0 or -ENOMEM: scenes of failing memory come here too. */
static inline int stage_try_build(struct stage *stage, enum sip_transport transport, size_t limit)
{
	struct txn_sender sender = {stage_send, stage};
	int err;

	memset(stage, 0, sizeof(*stage));
	err = loop_create("stage", &stage->loop);
	if (err != 0)
		return err;
	loop_advance_to(stage->loop, FAKE_CLOCK_START_MS);
	stage->began_ms = loop_now_ms(stage->loop);
	stage_set_hop(stage, SIDE_ACCESS, transport);
	err = txn_table_create(stage->loop, &sender, limit, NULL, &stage->table);
	if (err != 0)
		loop_destroy(&stage->loop);
	return err;
}

static inline void stage_build(struct stage *stage, enum sip_transport transport)
{
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(stage_try_build(stage, transport, STAGE_LIMIT), 0);
}

static inline void stage_strike(struct stage *stage)
{
	txn_table_destroy(&stage->table);
	loop_destroy(&stage->loop);
}

/* ---- messages ---- */

struct lines {
	const char *method, *uri, *transport, *sent_by, *branch, *from_tag, *to_tag, *call_id;
	unsigned cseq;
	const char *extra; /* complete lines */
};

/* A request in which only what differs is told. */
static inline int stage_try_request(struct lines lines, struct message **out)
{
	const char *method = lines.method != NULL ? lines.method : "INVITE";
	const char *to_tag = lines.to_tag != NULL ? lines.to_tag : "";
	enum guard_verdict verdict;
	enum message_fault fault;
	char text[2048];

	snprintf(text, sizeof(text),
	         "%s %s SIP/2.0\r\n"
	         "Via: SIP/2.0/%s %s;branch=%s\r\n"
	         "Max-Forwards: 70\r\n"
	         "From: <sip:alice@example.net>;tag=%s\r\n"
	         "To: <sip:bob@example.net>%s%s\r\n"
	         "Call-ID: %s\r\n"
	         "CSeq: %u %s\r\n"
	         "%s"
	         "Content-Length: 0\r\n\r\n",
	         method, lines.uri != NULL ? lines.uri : "sip:bob@example.net",
	         lines.transport != NULL ? lines.transport : "UDP",
	         lines.sent_by != NULL ? lines.sent_by : "192.168.1.10:5061",
	         lines.branch != NULL ? lines.branch : STAGE_BRANCH,
	         lines.from_tag != NULL ? lines.from_tag : "a1", to_tag[0] != '\0' ? ";tag=" : "",
	         to_tag, lines.call_id != NULL ? lines.call_id : "call-1",
	         lines.cseq != 0 ? lines.cseq : 1, method, lines.extra != NULL ? lines.extra : "");
	*out = NULL;
	fault = message_parse(slice_from_string(text), sizeof(text), out, &verdict);
	if (fault == MESSAGE_NO_MEMORY)
		return -ENOMEM;
	assert_int_equal(fault, MESSAGE_SOUND);
	return 0;
}

static inline struct message *stage_request(struct lines lines)
{
	struct message *request;

	assert_int_equal(stage_try_request(lines, &request), 0);
	return request;
}

/* An answer as text, as if our Via were popped (server) or on top (client). */
static inline void stage_response_text(char *text, size_t size, const char *method, int status,
                                       const char *branch)
{
	snprintf(text, size,
	         "SIP/2.0 %d Whatever\r\n"
	         "Via: SIP/2.0/UDP 192.168.1.10:5061;branch=%s\r\n"
	         "From: <sip:alice@example.net>;tag=a1\r\n"
	         "To: <sip:bob@example.net>;tag=b1\r\n"
	         "Call-ID: call-1\r\n"
	         "CSeq: 1 %s\r\n"
	         "Content-Length: 0\r\n\r\n",
	         status, branch, method);
}

static inline struct bytes *stage_response_bytes(const char *method, int status)
{
	char text[1024];

	stage_response_text(text, sizeof(text), method, status, STAGE_BRANCH);
	return bytes_copy(slice_from_string(text));
}

/* A response comes in; true if a transaction took it. */
static inline bool stage_response_comes(struct stage *stage, const char *method, int status,
                                        const char *branch)
{
	struct message *response = NULL;
	enum guard_verdict verdict;
	enum message_fault fault;
	char text[1024];
	bool taken;

	stage_response_text(text, sizeof(text), method, status, branch);
	fault = message_parse(slice_from_string(text), sizeof(text), &response, &verdict);
	if (fault == MESSAGE_NO_MEMORY)
		return false;
	assert_int_equal(fault, MESSAGE_SOUND);
	taken = txn_table_match_response(stage->table, &response, &stage->hop);
	assert_int_equal(taken, response == NULL);
	message_destroy(&response);
	return taken;
}

/* A request comes in by `hop` and is looked up. */
static inline enum txn_match stage_request_comes_by(struct stage *stage, const struct hop *hop,
                                                    struct lines lines)
{
	struct server_txn *named = NULL;
	struct message *request;

	stage->match = TXN_NONE;
	if (stage_try_request(lines, &request) != 0)
		return TXN_NONE;
	stage->match = txn_table_match_request(stage->table, request, hop, &named);
	if (stage->match == TXN_CANCEL)
		assert_ptr_equal(named, stage->server);
	message_destroy(&request);
	return stage->match;
}

static inline enum txn_match stage_request_comes(struct stage *stage, struct lines lines)
{
	return stage_request_comes_by(stage, &stage->hop, lines);
}

static inline int stage_serve(struct stage *stage, struct lines lines)
{
	struct message *request;
	int err = stage_try_request(lines, &request);

	if (err != 0)
		return err;
	err = server_txn_create(stage->table, request, &stage->hop, &stage->hop,
	                        &stage_server_events, stage, &stage->server);
	message_destroy(&request);
	return err;
}

static inline int stage_ask(struct stage *stage, const char *method, const char *branch)
{
	enum sip_method number = METHOD_OTHER;
	struct bytes *flat;
	struct message *request;
	int err = stage_try_request((struct lines){.method = method, .branch = branch}, &request);

	if (err != 0)
		return err;
	number = message_method(request);
	flat = message_serialize(request, true);
	message_destroy(&request);
	if (flat == NULL)
		return -ENOMEM;
	err = client_txn_create(stage->table, number, branch, &stage->hop, &flat,
	                        &stage_client_events, stage, &stage->client);
	assert_null(flat);
	return err;
}

/* ---- scripts ---- */

static inline void stage_play_server(struct stage *stage, const char *method, const char *word)
{
	int status = atoi(word[0] == 'r' ? word + 1 : word);

	if (strcmp(word, "again") == 0) {
		stage_request_comes(stage, (struct lines){.method = method});
		assert_int_equal(stage->match, TXN_ABSORBED);
	} else if (strcmp(word, "ack") == 0) {
		stage_request_comes(stage, (struct lines){.method = "ACK", .to_tag = "b1"});
		stage_write(stage->told, sizeof(stage->told),
		            stage->match == TXN_ABSORBED ? "absorbed" : "passed");
	} else if (strcmp(word, "cancel") == 0) {
		stage_request_comes(stage, (struct lines){.method = "CANCEL"});
		stage_write(stage->told, sizeof(stage->told),
		            stage->match == TXN_CANCEL ? "cancels" : "nothing");
	} else if (strcmp(word, "forget") == 0) {
		server_txn_forget(stage->server);
		stage->server = NULL;
	} else if (word[0] == 'r') {
		server_txn_reply(stage->server, status, "Whatever", SLICE_NONE);
	} else {
		struct bytes *response = stage_response_bytes(method, status);

		assert_non_null(response);
		server_txn_forward(stage->server, status, &response);
		assert_null(response);
	}
}

static inline void stage_play_client(struct stage *stage, const char *method, const char *word)
{
	if (strcmp(word, "lost") == 0)
		txn_table_hop_lost(stage->table, &stage->hop, ECONNRESET);
	else if (strcmp(word, "cancel") == 0)
		client_txn_cancel(stage->client, SLICE_LITERAL("Reason: SIP;cause=200\r\n"));
	else if (strcmp(word, "forget") == 0) {
		client_txn_forget(stage->client);
		stage->client = NULL;
	} else if (!stage_response_comes(stage, method, atoi(word), STAGE_BRANCH))
		stage_write(stage->told, sizeof(stage->told), "stray");
}

static inline void stage_play(struct stage *stage, const char *method, const char *script,
                              void (*play)(struct stage *stage, const char *method,
                                           const char *word))
{
	char copy[256], *word, *rest;

	snprintf(copy, sizeof(copy), "%s", script);
	for (word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
		if (word[0] == '+')
			fake_loop_walk(stage->loop, (uint64_t)atoi(word + 1));
		else if (strcmp(word, "broken") == 0)
			stage->send_error = -ENOTCONN;
		else
			play(stage, method, word);
	}
}

static inline const char *stage_state(const struct stage *stage)
{
	static const char *const servers[] = {"trying",    "proceeding", "completed",
	                                      "confirmed", "accepted",   "terminated"};
	static const char *const clients[] = {"calling",   "trying",   "proceeding",
	                                      "completed", "accepted", "terminated"};

	if (stage->server != NULL)
		return servers[server_txn_state(stage->server)];
	if (stage->client != NULL)
		return clients[client_txn_state(stage->client)];
	return "gone";
}

/* What happened since the last look. */
static inline const char *stage_look(struct stage *stage)
{
	static char text[1024];

	snprintf(text, sizeof(text), "%s | %s | %s", stage_state(stage), stage->sent, stage->told);
	stage->sent[0] = stage->told[0] = stage->times[0] = '\0';
	return text;
}

static inline int stage_group_setup(void **state)
{
	(void)state;
	hash_key_init();
	return message_system_init();
}

#endif
