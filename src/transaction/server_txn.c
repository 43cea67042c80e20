/*
 * Server transactions: the part of a request that owes the sender an answer. Absorbs retransmissions,
 * repeats our reply, hears ACK. Worker thread only.
 * RFC 3261 17.2, with the Accepted state of RFC 6026 and the silences of RFC 4320.
 */
#include "transaction/server_txn.h"

#include <stdio.h>

#include "base/memory.h"
#include "sip/reply.h"
#include "transaction_internal.h"

/* The machine of 17.2.1; all others are of 17.2.2. */
static bool is_invite(const struct server_txn *server)
{
	return server->txn.method == METHOD_INVITE;
}

static bool is_unanswered(const struct server_txn *server)
{
	return server->state == SERVER_TRYING || server->state == SERVER_PROCEEDING;
}

/* The only writer of state: starts the timer of the new one and gives back what it no longer needs. */
static void server_set_state(struct server_txn *server, enum server_txn_state state)
{
	struct txn *txn = &server->txn;
	bool reliable = txn_is_reliable(txn);

	server->state = state;
	switch (state) {
	case SERVER_TRYING:
		return;
	case SERVER_PROCEEDING:
		txn_wait(txn, TXN_TRYING_MS);
		return;
	case SERVER_COMPLETED:
		bytes_release(&server->template);
		txn_mark_completed(txn);
		if (!is_invite(server)) {
			txn_wait(txn, reliable ? 0 : TXN_64_T1_MS); /* timer J */
			return;
		}
		txn->ends_ms = txn_now_ms(txn) + TXN_64_T1_MS; /* timer H */
		txn->interval_ms = TXN_T1_MS;                  /* timer G */
		if (reliable)
			txn_wait(txn, TXN_64_T1_MS);
		else
			txn_wait_interval(txn);
		return;
	case SERVER_CONFIRMED:
		bytes_release(&txn->bytes);
		txn_wait(txn, reliable ? 0 : TXN_T4_MS); /* timer I */
		return;
	case SERVER_ACCEPTED:
		/* RFC 6026 7.1: it never repeats the 2xx by itself, so that need not be kept */
		bytes_release(&server->template);
		bytes_release(&txn->bytes);
		txn_mark_completed(txn);
		txn_wait(txn, TXN_64_T1_MS); /* timer L, on every transport */
		return;
	case SERVER_TERMINATED:
		bytes_release(&server->template);
		txn_retire(txn);
		return;
	}
}

/* Figure 7: a transport error ends COMPLETED and nothing before it (RFC 6026 7.1). Over UDP a failed send
 * is a lost packet, which the next retransmission mends. */
static void server_send(struct server_txn *server, struct bytes *bytes)
{
	int err = txn_send(&server->txn, bytes);

	if (err != 0 && server->state == SERVER_COMPLETED && txn_is_reliable(&server->txn))
		server_set_state(server, SERVER_TERMINATED);
}

/* Keep it as that which is repeated, and send it; takes the bytes. */
static void server_answer(struct server_txn *server, struct bytes **response)
{
	bytes_release(&server->txn.bytes);
	server->txn.bytes = *response;
	*response = NULL;
	server_send(server, server->txn.bytes);
}

static void server_send_trying(struct server_txn *server)
{
	struct bytes *trying = reply_build(server->template, 100, "Trying", NULL, SLICE_NONE);

	if (trying == NULL) {
		txn_wait(&server->txn, TXN_TRYING_MS); /* memory may be back by then */
		return;
	}
	server_answer(server, &trying);
}

/* Timer G */
static void server_repeat_final(struct server_txn *server)
{
	struct txn *txn = &server->txn;

	if (txn_now_ms(txn) >= txn->ends_ms) {
		server_set_state(server, SERVER_TERMINATED); /* timer H: no ACK came */
		return;
	}
	txn->interval_ms = (uint16_t)(2 * txn->interval_ms);
	if (txn->interval_ms > TXN_T2_MS)
		txn->interval_ms = TXN_T2_MS;
	txn_wait_interval(txn);
	server_send(server, txn->bytes);
}

static void server_farewell(struct server_txn *server)
{
	const struct server_txn_events *events = server->events;

	txn_bury(&server->txn);
	if (events != NULL && events->on_ended != NULL)
		events->on_ended(server->txn.arg, server);
}

static void server_on_timer(struct timer *timer, void *arg)
{
	struct server_txn *server = CONTAINER_OF(arg, struct server_txn, txn);

	switch (server->state) {
	case SERVER_TRYING:
		return; /* has no timer */
	case SERVER_PROCEEDING:
		server_send_trying(server);
		return;
	case SERVER_COMPLETED:
		if (is_invite(server)) {
			server_repeat_final(server);
			return;
		}
		server_set_state(server, SERVER_TERMINATED); /* timer J */
		break;
	case SERVER_CONFIRMED: /* timer I */
	case SERVER_ACCEPTED:  /* timer L */
		server_set_state(server, SERVER_TERMINATED);
		break;
	case SERVER_TERMINATED:
		break;
	}
	server_farewell(server);
}

int server_txn_create(struct txn_table *table, struct message *request, const struct hop *hop,
                      const struct hop *reply_to, const struct server_txn_events *events, void *arg,
                      struct server_txn **out)
{
	struct server_txn *server;
	struct txn_key key;
	int err;

	ASSERT(message_method(request) != METHOD_ACK);
	if (!txn_key_of_request(request, hop, &key))
		return -EINVAL;
	err = txn_table_admit(table);
	if (err != 0)
		return err;
	server = memory_zalloc(sizeof(*server));
	if (server == NULL)
		return -ENOMEM;
	server->template = reply_template(request);
	if (server->template == NULL) {
		memory_free(server);
		return -ENOMEM;
	}
	server->events = events;
	txn_begin(&server->txn, table, TXN_SERVER, &key, reply_to, arg, server_on_timer);
	server_set_state(server, is_invite(server) ? SERVER_PROCEEDING : SERVER_TRYING);
	*out = server;
	return 0;
}

static void server_pass_invite(struct server_txn *server, int status, struct bytes **response)
{
	if (server->state == SERVER_ACCEPTED && status / 100 == 2) {
		server_send(
			server,
			*response); /* RFC 6026 7.1: one more 2xx, of another branch or repeated */
		return;
	}
	if (server->state != SERVER_PROCEEDING)
		return;
	if (status < 200) {
		txn_stop_waiting(&server->txn); /* our 100 is not needed any more */
		server_answer(server, response);
		return;
	}
	if (status < 300) {
		server_set_state(server, SERVER_ACCEPTED);
		server_send(server, *response);
		return;
	}
	server_set_state(server, SERVER_COMPLETED);
	server_answer(server, response);
}

static void server_pass_other(struct server_txn *server, int status, struct bytes **response)
{
	if (!is_unanswered(server))
		return;
	/* RFC 4320 4.1: no provisional to a non-INVITE but a late 100 over UDP, which we never owe. */
	if (status < 200)
		return;
	/* RFC 4320 4.2: whoever would hear a 408 has given up by itself. */
	if (status == 408) {
		server_set_state(server, SERVER_TERMINATED);
		return;
	}
	server_set_state(server, SERVER_COMPLETED);
	server_answer(server, response);
}

void server_txn_forward(struct server_txn *server, int status, struct bytes **response)
{
	if (is_invite(server))
		server_pass_invite(server, status, response);
	else
		server_pass_other(server, status, response);
	bytes_release(response);
}

void server_txn_reply(struct server_txn *server, int status, const char *reason, struct slice extra)
{
	struct bytes *response;
	char to_tag[17];
	uint64_t tag;

	if (!is_unanswered(server))
		return;
	/* 8.2.6.2: the same To tag in all answers to one request; what tells the transaction from all
	 * others, hashed once more, is just that and costs no memory. */
	tag = hash_more(server->txn.fingerprint, "to-tag", 6);
	snprintf(to_tag, sizeof(to_tag), "%016llx", (unsigned long long)tag);
	response = reply_build(server->template, status, reason, to_tag, extra);
	if (response == NULL) {
		/* Better no answer than a transaction that waits for one for ever. */
		if (status >= 200)
			server_set_state(server, SERVER_TERMINATED);
		return;
	}
	server_txn_forward(server, status, &response);
}

void server_txn_forget(struct server_txn *server)
{
	server->events = NULL;
	server->txn.arg = NULL;
	/* Nobody is left who could answer. */
	if (is_unanswered(server))
		server_set_state(server, SERVER_TERMINATED);
}

void server_txn_retransmitted(struct server_txn *server)
{
	/* 17.2.1, 17.2.2: the last answer again; CONFIRMED and ACCEPTED absorb (they keep no bytes). */
	if (server->txn.bytes != NULL)
		server_send(server, server->txn.bytes);
}

enum txn_match server_txn_acknowledged(struct server_txn *server)
{
	/* RFC 6026 7.1: an ACK to the 2xx that came on the INVITE's branch, as RFC 2543 clients send it */
	if (server->state == SERVER_ACCEPTED)
		return TXN_NONE;
	if (server->state == SERVER_COMPLETED)
		server_set_state(server, SERVER_CONFIRMED);
	return TXN_ABSORBED;
}

bool server_txn_answered_with_tag(const struct server_txn *server, struct slice to_tag)
{
	struct message *response = NULL;
	enum guard_verdict verdict;
	bool same;

	/* Others than COMPLETED keep no final answer to compare with; the rest of the key has matched. */
	if (server->state != SERVER_COMPLETED || server->txn.bytes == NULL)
		return true;
	if (message_parse(bytes_slice(server->txn.bytes), server->txn.bytes->length, &response,
	                  &verdict) != MESSAGE_SOUND) {
		message_destroy(&response);
		return true;
	}
	same = slice_equal(message_to_tag(response), to_tag);
	message_destroy(&response);
	return same;
}

void server_txn_end(struct server_txn *server)
{
	server_set_state(server, SERVER_TERMINATED);
}

void server_txn_free(struct server_txn *server)
{
	txn_stop_waiting(&server->txn);
	bytes_release(&server->txn.bytes);
	bytes_release(&server->template);
	memory_free(server);
}

enum server_txn_state server_txn_state(const struct server_txn *server)
{
	return server->state;
}

void *server_txn_arg(const struct server_txn *server)
{
	return server->txn.arg;
}

const struct hop *server_txn_hop(const struct server_txn *server)
{
	return &server->txn.hop;
}
