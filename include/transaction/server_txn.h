/*
 * Server transactions: the part of a request that owes the sender an answer. Absorbs retransmissions,
 * repeats our reply, hears ACK. RFC 3261 17.2, with the Accepted state of RFC 6026. Worker thread only.
 */
#ifndef BONO_TRANSACTION_SERVER_TXN_H
#define BONO_TRANSACTION_SERVER_TXN_H

#include "base/buffer.h"
#include "sip/message.h"
#include "transport/transport.h"

struct server_txn;
struct txn_table;

enum server_txn_state {
	SERVER_TRYING, /* non-INVITE: nothing answered yet */
	SERVER_PROCEEDING,
	SERVER_COMPLETED, /* a final answer sent (INVITE: 300-699), ACK or timer awaited */
	SERVER_CONFIRMED, /* ACK heard */
	SERVER_ACCEPTED,  /* INVITE: 2xx passed; more 2xx may pass (RFC 6026) */
	SERVER_TERMINATED
};

struct server_txn_events {
	/* The transaction is over and leaves the table; the pointer is dead after this. Always called exactly
	 * once, unless the table is destroyed. */
	void (*on_ended)(void *arg, struct server_txn *txn);
};

/*
 * Begin for a request just received and not yet edited, but for message_mark_received (never for ACK).
 * Keeps the reply template and the match key, not the message. It came by `hop` and is answered by
 * `reply_to`, which on UDP may name another port (18.2.2). on_ended may be NULL inside events.
 * INVITE: 100 is sent by itself if no answer was given within 200 ms.
 * -ENOBUFS at the table's limit, -ENOMEM, -EINVAL without a Via.
 */
int server_txn_create(struct txn_table *table, struct message *request, const struct hop *hop,
                      const struct hop *reply_to, const struct server_txn_events *events, void *arg,
                      struct server_txn **out);

/* Pass an answer that came from below (flat bytes, our Via already popped) with its status. Takes the bytes.
 * Provisionals and, in ACCEPTED, repeated 2xx go straight out. A final answer where one was already given
 * is dropped; so is any provisional to a non-INVITE (RFC 4320 4.1), and 408 to one just ends it (4.2). */
void server_txn_forward(struct server_txn *txn, int status, struct bytes **response);
/* Answer by ourselves, from the template. extra: header lines with CRLF. 408 to a non-INVITE is not
 * sent (RFC 4320 4.2): the transaction just ends. */
void server_txn_reply(struct server_txn *txn, int status, const char *reason, struct slice extra);
/* Whoever created it has no more interest: events are not called any more. One without a final answer ends,
 * the pointer is dead then: nobody is left who could answer. */
void server_txn_forget(struct server_txn *txn);

enum server_txn_state server_txn_state(const struct server_txn *txn);
void *server_txn_arg(const struct server_txn *txn);             /* NULL once forgotten */
const struct hop *server_txn_hop(const struct server_txn *txn); /* the way back */

#endif
