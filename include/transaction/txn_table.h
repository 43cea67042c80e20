/*
 * The transactions of one worker: matching, limits, and what every transaction shares.
 * RFC 3261 17, RFC 6026, RFC 4320. Worker thread only.
 */
#ifndef BONO_TRANSACTION_TXN_TABLE_H
#define BONO_TRANSACTION_TXN_TABLE_H

#include "loop/loop.h"
#include "metrics/metrics.h"
#include "sip/message.h"
#include "transaction/client_txn.h"
#include "transaction/server_txn.h"
#include "transport/transport.h"

struct txn_table;

/* What transactions need of the world below; the real one is transport_send, tests bring their own. */
struct txn_sender {
	/* as transport_send */
	int (*send)(void *arg, const struct hop *hop, struct bytes **bytes);
	void *arg;
};

/* limit: server plus client transactions of this worker. From three quarters of it on, completed ones end
 * early, oldest first, counted; at the limit create fails with -ENOBUFS. */
int txn_table_create(struct loop *loop, const struct txn_sender *sender, size_t limit,
                     struct metrics *metrics, struct txn_table **out);
/* Ends all without telling anyone. */
void txn_table_destroy(struct txn_table **table);
size_t txn_table_count(const struct txn_table *table);
/* Transactions still owed something (not merely absorbing retransmissions): for the graceful stop. */
size_t txn_table_busy(const struct txn_table *table);

enum txn_match {
	TXN_NONE,     /* a new request; or an ACK to a 2xx; or a CANCEL without its INVITE */
	TXN_ABSORBED, /* a retransmission or the ACK to our non-2xx: dealt with, drop it */
	TXN_CANCEL,   /* a CANCEL: *server is the INVITE transaction it names (17.2.3, 9.2) */
};
/* Look at a request that came by `hop`. For TXN_CANCEL the CANCEL itself has no transaction yet;
 * a retransmitted CANCEL is TXN_ABSORBED. */
enum txn_match txn_table_match_request(struct txn_table *table, const struct message *request,
                                       const struct hop *hop, struct server_txn **server);
/* Give a response to the client transaction of its branch and CSeq method: true if there was one (the message
 * is taken). False: stray; the message stays the caller's. */
bool txn_table_match_response(struct txn_table *table, struct message **response,
                              const struct hop *hop);

/* The hop's connection died, or that UDP peer is unreachable (hop without connection): every client
 * transaction that sent its request there and has no final response fails with TXN_TRANSPORT, by a timer of
 * zero, never from inside this call. `error` is kept as the evidence. */
void txn_table_hop_lost(struct txn_table *table, const struct hop *hop, int error);

#endif
