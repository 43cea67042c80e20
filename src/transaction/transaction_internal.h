/*
 * What the files of src/transaction tell each other: the part that server and client transactions
 * share, the table they stand in, and the keys they are found by. Worker thread only.
 */
#ifndef BONO_TRANSACTION_INTERNAL_H
#define BONO_TRANSACTION_INTERNAL_H

#include <errno.h>
#include <stddef.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "loop/loop.h"
#include "transaction/txn_table.h"
#include "transaction/txn_timers.h"

enum txn_kind { TXN_SERVER, TXN_CLIENT };

/*
 * Over UDP at 2000 requests a second 64,000 completed transactions absorb retransmissions at any moment,
 * so every byte here counts: one timer serves for all of a machine's timers (retransmission and end run
 * on the same one, ends_ms remembers the second), and the grave lies where the list link was.
 */
struct txn {
	struct hash_link in_table; /* of servers or clients, under txn_key.hash */
	uint64_t fingerprint;      /* the other half of the key */
	struct timer timer;
	union {
		struct list_link
			queued;     /* completed, or ending; in neither while an answer is owed */
		struct grave grave; /* once dead */
	};
	struct txn_table *table;
	/* What would be sent again: the request, then the ACK; or our last response. NULL: nothing. */
	struct bytes *bytes;
	void *arg;
	uint64_t ends_ms; /* timers B, F, H: when retransmitting gives up */
	struct hop hop;
	uint16_t interval_ms; /* timers A, E, G: the current wait */
	uint8_t kind;         /* enum txn_kind */
	uint8_t method;       /* enum sip_method */
};

struct server_txn {
	struct txn txn;
	const struct server_txn_events *events; /* NULL once forgotten */
	struct bytes *template;                 /* until a final answer */
	enum server_txn_state state;
};

/* The client transactions that wait for a final answer of one connection or one UDP peer. */
struct txn_peer {
	struct hash_link in_table;
	struct list waiting; /* of struct client_txn */
	uint64_t connection; /* 0: a UDP peer, then remote names it */
	struct address remote;
	uint8_t worker; /* connections are numbered by worker */
};

struct client_txn {
	struct txn txn;
	const struct client_txn_events *events; /* NULL once forgotten */
	struct txn_peer *peer;    /* NULL: no final answer awaited, or it has failed */
	struct list_link waiting; /* of the peer */
	struct bytes *cancel;     /* the CANCEL that waits for a provisional; may be NULL */
	int error;                /* positive errno of TXN_TRANSPORT */
	uint8_t state;            /* enum client_txn_state */
	bool failing;             /* the timer of zero will tell of TXN_TRANSPORT */
	bool has_ack;             /* txn.bytes is the ACK */
	bool cancel_wanted;
	bool cancel_sent;
};

struct txn_table {
	struct loop *loop;
	struct txn_sender sender;
	struct metrics *metrics;
	size_t limit;
	size_t early_from; /* three quarters of limit */
	struct hash_table servers;
	struct hash_table clients;
	struct hash_table peers;
	struct list
		completed; /* by time of completion: only absorbing, first to go when it gets tight */
	struct list ending; /* out of the tables, on_ended due by a timer of zero */
};

/* ---- keys: txn_key.c ---- */

/* 128 bits of keyed hash over all that 17.1.3 and 17.2.3 compare but the method, which is compared as it
 * is: so CANCEL and ACK find their INVITE under the same hash. With a secret key two transactions in a
 * million million millions would be taken for one another; the texts need not be kept. */
struct txn_key {
	uint64_t hash, fingerprint;
	enum sip_method method;
	/* An ACK without the magic cookie: its To tag is that of our response, so the fingerprint, which
	 * covers the To tag of the request, says nothing. */
	bool any_to_tag;
};
/* False: no Via to go by. */
bool txn_key_of_request(const struct message *request, const struct hop *hop, struct txn_key *out);
bool txn_key_of_response(const struct message *response, struct txn_key *out);
void txn_key_of_branch(struct slice branch, enum sip_method method, struct txn_key *out);

/* ---- the table: txn_table.c ---- */

/* Make room if it gets tight; -ENOBUFS at the limit. */
int txn_table_admit(struct txn_table *table);
/* Fill the shared part and enter the table. hop: where it sends. */
void txn_begin(struct txn *txn, struct txn_table *table, enum txn_kind kind,
               const struct txn_key *key, const struct hop *hop, void *arg, timer_fn *on_timer);
/* A final answer has passed: from here on it only absorbs. Does nothing the second time. */
void txn_mark_completed(struct txn *txn);
/* Leave the table, release the bytes, and let the timer fire at once for the farewell. */
void txn_retire(struct txn *txn);
/* The last step of a retired one: its memory goes at the end of the turn. */
void txn_bury(struct txn *txn);
/* Send another reference of these bytes on the transaction's hop. */
int txn_send(struct txn *txn, struct bytes *bytes);
static inline bool txn_is_reliable(const struct txn *txn)
{
	return transport_is_stream((enum sip_transport)txn->hop.transport);
}
uint64_t txn_now_ms(const struct txn *txn);
void txn_wait(struct txn *txn, uint64_t delay_ms);
void txn_stop_waiting(struct txn *txn);
/* Wait for the next retransmission or for ends_ms, whichever comes first. */
void txn_wait_interval(struct txn *txn);

/* ---- peers: txn_peer.c ---- */

bool txn_peer_equal(const struct hash_link *link, const void *key); /* key: a struct hop */
int txn_peer_join(struct txn_table *table, struct client_txn *client, const struct hop *hop);
/* Does nothing for one that waits for nobody. */
void txn_peer_leave(struct client_txn *client);

/* ---- machines ---- */

void server_txn_retransmitted(struct server_txn *server);
/* An ACK on the branch of the INVITE; TXN_NONE: it is for the 2xx, above. */
enum txn_match server_txn_acknowledged(struct server_txn *server);
bool server_txn_answered_with_tag(const struct server_txn *server, struct slice to_tag);
void server_txn_end(struct server_txn *server);
void server_txn_free(struct server_txn *server); /* with the table */
void client_txn_receive(struct client_txn *client, struct message **response);
void client_txn_lose(struct client_txn *client, int error);
void client_txn_end(struct client_txn *client);
void client_txn_free(struct client_txn *client);

#endif
