/*
 * Client transactions: a request on its way over one hop. RFC 3261 17.1, with the Accepted state of
 * RFC 6026 and RFC 4320. Worker thread only.
 */
#ifndef BONO_TRANSACTION_CLIENT_TXN_H
#define BONO_TRANSACTION_CLIENT_TXN_H

#include "base/buffer.h"
#include "sip/message.h"
#include "transport/transport.h"

struct client_txn;
struct txn_table;

enum client_txn_state {
	CLIENT_CALLING,    /* INVITE: nothing heard */
	CLIENT_TRYING,     /* non-INVITE: nothing heard */
	CLIENT_PROCEEDING, /* a provisional heard */
	CLIENT_COMPLETED,  /* final heard (INVITE: 300-699) */
	CLIENT_ACCEPTED,   /* INVITE: 2xx heard; more may come (RFC 6026) */
	CLIENT_TERMINATED
};

enum txn_failure {
	TXN_TIMEOUT,   /* timer B or F: nothing final in 64*T1 */
	TXN_TRANSPORT, /* connection lost, refused, ICMP; client_txn_error tells */
};

struct client_txn_events {
	/* Every provisional (100 too), the final one, and in ACCEPTED every further 2xx. Takes the message
	 * (leaves NULL) or leaves it to be destroyed. Our Via is still on top. */
	void (*on_response)(void *arg, struct client_txn *txn, struct message **response);
	/* No final response will come. Called at most once; on_ended follows. */
	void (*on_failed)(void *arg, struct client_txn *txn, enum txn_failure failure);
	/* The transaction leaves the table; the pointer is dead after this. Exactly once, unless forgotten
	 * or the table is destroyed. */
	void (*on_ended)(void *arg, struct client_txn *txn);
};

/*
 * Send the request (takes the flat bytes, our Via on top with this branch) and begin. Bytes are kept for
 * retransmission (UDP), CANCEL and ACK. Not for ACK to 2xx, which has no transaction: use the sender.
 * A send that fails at once is told by on_failed from a timer of zero, never from inside.
 * Takes the request in every case. -ENOBUFS at the table's limit, -ENOMEM.
 */
int client_txn_create(struct txn_table *table, enum sip_method method, const char *branch,
                      const struct hop *hop, struct bytes **request,
                      const struct client_txn_events *events, void *arg, struct client_txn **out);

/* CANCEL this INVITE (9.1): sent at once if a provisional was heard, else as soon as one is; not at all
 * after a final. extra: header lines to copy (Reason), with CRLF. If 64*T1 after the CANCEL nothing final
 * came, on_failed(TXN_TIMEOUT). Harmless when repeated. */
void client_txn_cancel(struct client_txn *txn, struct slice extra);
/* No more events; the transaction lives on to ACK and absorb. An INVITE still ringing is given up without a
 * word after three minutes: CANCEL it first if nobody wants it. */
void client_txn_forget(struct client_txn *txn);

enum client_txn_state client_txn_state(const struct client_txn *txn);
int client_txn_error(const struct client_txn *txn); /* errno of TXN_TRANSPORT, positive */

#endif
