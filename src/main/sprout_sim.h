/*
 * What the files of sprout-sim tell each other. One process is one site: several simulated Sprouts
 * (struct sprout, each an address of its own with its faults) over one store of registrations.
 *
 * Each Sprout is a worker: a loop with a thread of its own, made when its address is opened and gone when it
 * refuses. The main thread has signals and the control socket. The store plays the database server that
 * stands behind a real site's Sprouts: it is the one thing they share, under the lock of struct sim.
 */
#ifndef BONO_MAIN_SPROUT_SIM_H
#define BONO_MAIN_SPROUT_SIM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/slice.h"
#include "loop/loop.h"
#include "sip/message.h"
#include "sip/via.h"
#include "transaction/txn_table.h"
#include "transport/transport.h"

/* Addresses of one process; a site of more Sprouts than this is simulated by several processes. */
#define SPROUTS_MAX 16

struct sprout;
struct store;
struct peers;
struct digest;
struct console;

/* The one profile of TLS. */
#define SIM_TLS "sim"

struct sim {
	struct loop *loop; /* main thread: signals and control socket */
	const char *site;
	pthread_mutex_t
		lock; /* of store and peers; held for a look and an update, never while waiting */
	struct store *store;
	struct peers *peers;     /* NULL: no --peer-store, registrations stay in this process */
	struct digest *digest;   /* NULL: no --users, anyone registers without a password */
	struct console *console; /* NULL: no --control */
	struct tls_book *tls;    /* NULL: no --certificate */
	bool asks_certificate;   /* --ca: who connects over TLS has to show one of that authority */
	uint32_t min_expires_s;  /* shorter registrations get 423; 0: any is taken */
	struct sprout *sprouts[SPROUTS_MAX];
	unsigned sprout_count;
};

/* ---- sprout_sim_store.c: addresses-of-record and their contacts; under the lock ---- */

/* One registered contact. All slices point into `text`. */
struct contact {
	struct list_link link;
	struct slice uri;
	struct slice path;     /* value of Path as one comma-separated list; empty: none */
	struct slice instance; /* +sip.instance without quotes; empty: none */
	struct slice call_id;
	uint32_t cseq;
	uint32_t reg_id;     /* 0: none */
	uint64_t expires_ms; /* wall time, so that other processes understand it */
	char text[];
};

/* An address-of-record that was registered at least once: without contacts it is known, but away. */
struct record {
	struct hash_link link;
	struct list contacts; /* oldest first */
	uint64_t
		updated_ms; /* wall time of the last change: in the shared store the later one wins */
	size_t aor_length;
	char aor[];
};

static inline struct slice record_aor(const struct record *record)
{
	return slice_of(record->aor, record->aor_length);
}

/* A contact has one place only while it is being read: this is its value before it is stored. */
struct contact_value {
	struct slice uri, path, instance, call_id;
	uint32_t cseq, reg_id;
	uint64_t expires_ms;
};

int store_create(struct store **out);
void store_destroy(struct store **store);
/* NULL: never registered. Contacts that have lapsed by now_ms are gone from what is returned. */
struct record *store_find(struct store *store, struct slice aor, uint64_t now_ms);
/* The same, made if absent. -ENOMEM, -ENOSPC at the limit. */
int store_obtain(struct store *store, struct slice aor, uint64_t now_ms, struct record **out);
/* The contact that this value replaces (same instance and reg-id, else the same URI), or NULL. */
struct contact *record_match(const struct record *record, const struct contact_value *value);
/* Put the value in, in the place of what it replaces; the oldest contact leaves when there are too many. */
int record_put(struct record *record, const struct contact_value *value);
void record_remove(struct record *record, struct contact *contact);
void record_clear(struct record *record);
size_t store_contacts(struct store *store, uint64_t now_ms);
void store_visit(struct store *store, bool (*visit)(struct record *record, void *arg), void *arg);

/* ---- sprout_sim_peers.c: the directory that makes one store of several processes; under the lock ---- */

int peers_create(const char *directory, struct sim *sim, struct peers **out);
void peers_destroy(struct peers **peers);
/* Read what the others wrote since; before every look into the store. NULL: nothing. */
void peers_sync(struct peers *peers);
/* Tell the others what this record holds now. NULL: nothing. */
void peers_publish(struct peers *peers, const struct record *record);
/* True if another simulator of the store listens there. NULL: no. Needs no lock. */
bool peers_know_address(const struct peers *peers, const struct address *address);

/* ---- sprout_sim_digest.c: RFC 2617 with MD5 ---- */

int digest_load(const char *path, struct digest **out);
void digest_destroy(struct digest **digest);
/* 0: the request may pass. 401 or 403, with the challenge line appended to extra. */
int digest_check(const struct digest *digest, const struct message *request, struct buffer *extra);
bool digest_knows(const struct digest *digest, struct slice user);

/* ---- sprout_sim_sprout.c: one simulated Sprout ---- */

enum fault_kind {
	FAULT_NONE,
	FAULT_REFUSE,
	FAULT_BLACKHOLE,
	FAULT_HANG,
	FAULT_SLOW,
	FAULT_STATUS,
	FAULT_LOSS,
	FAULT_MUTE
};

struct fault {
	enum fault_kind kind;
	uint32_t slow_ms;
	int status;
	uint32_t retry_after_s; /* 0: none */
	uint32_t loss_percent;
};

struct sprout {
	struct sim *sim;
	unsigned index;
	char name[ADDRESS_TEXT_MAX]; /* HOST:PORT, as operators and fault lines call it */
	struct address address;
	bool serves[TRANSPORTS];
	struct listener_settings listeners[TRANSPORTS];
	unsigned listener_count;

	struct loop *loop; /* NULL while refusing; everything below is its thread's then */
	struct transport *transport; /* lives and dies with the loop, */
	struct txn_table *txns;      /* this too */
	struct branch_source branches;
	struct list forks; /* struct fork */

	struct fault fault;
	struct list held; /* packets that wait: slow and hang */
	struct timer held_timer;

	atomic_ullong received
		[METHODS]; /* requests that passed the fault, whole life; any thread reads */
};

int sprout_create(struct sim *sim, unsigned index, const struct address *address,
                  struct sprout **out);
void sprout_destroy(struct sprout **sprout);
/* Main thread, all four. Bind and start the thread. */
int sprout_open(struct sprout *sprout);
/* The address refuses from now on: listeners and connections are closed, what was under way is forgotten. */
void sprout_close(struct sprout *sprout);
/* A packet that no fault holds back any more. */
void sprout_receive(struct sprout *sprout, struct slice bytes, const struct hop *hop,
                    bool framing_fault);
/* Out to the world, if the fault lets it. Takes the bytes. */
int sprout_send(struct sprout *sprout, const struct hop *hop, struct bytes **bytes);
/* Where the answer goes: over UDP the Via tells (RFC 3261 18.2.2, RFC 3581 4), over a stream the connection. */
struct hop sprout_way_back(const struct message *request, const struct hop *hop);
/* Answer without a transaction: what is idempotent needs none. extra: header lines with CRLF. */
void sprout_reply(struct sprout *sprout, struct message *request, const struct hop *hop, int status,
                  struct slice extra);
/* Answer with a final of our own: an INVITE gets a transaction that waits for its ACK. */
void sprout_refuse(struct sprout *sprout, struct message *request, const struct hop *hop,
                   int status, struct slice extra);
/* True if the URI names a Sprout of this process or of the store. */
bool sprout_is_ours(const struct sprout *sprout, const struct uri *uri);

/* ---- sprout_sim_fault.c ---- */

/* "none", "slow 200", "status 503 5" ...; false: not a fault; *wrong tells why. */
bool fault_parse(struct slice text, struct fault *out, const char **wrong);
/* The one place where the fault of a Sprout changes. Main thread; in force when it returns. */
int sprout_set_fault(struct sprout *sprout, const struct fault *fault);
/* True: the packet must not be looked at now; it was dropped or is held. */
bool fault_stops_packet(struct sprout *sprout, const struct packet *packet, bool framing_fault);
bool fault_stops_send(const struct sprout *sprout);
void fault_drop_held(struct sprout *sprout);
void fault_on_held_timer(struct timer *timer, void *arg);

/* ---- sprout_sim_registrar.c ---- */

/* A REGISTER: one look into the store and one answer. RFC 3261 10.3, 3327, 3608, 5626 6. */
void registrar_on_register(struct sprout *sprout, struct message *request, const struct hop *hop);

/* ---- sprout_sim_forward.c: where a request goes ---- */

/* Remove the Routes on top that name us (RFC 3261 16.4). 0 or -ENOMEM. */
int forward_pop_ours(struct sprout *sprout, struct message *request);
/* The hop that a URI names; -EHOSTUNREACH when it is no address that we can reach. */
int forward_open(struct sprout *sprout, const struct uri *uri, struct hop *out);
/* The lines a forwarded request begins with: Via, Record-Route when asked, Route when there is a path. */
void forward_write_head(struct sprout *sprout, struct buffer *out, const struct hop *hop,
                        const char *branch, const struct hop *record_route_for, struct slice path);
/* Forward an ACK for a 2xx: no transaction (RFC 3261 16.11). */
void forward_ack(struct sprout *sprout, struct message *ack);

/* ---- sprout_sim_fork.c: the response context ---- */

struct fork;

/* Proxy a request, statefully (RFC 3261 16): takes it. The Routes of ours have been popped. */
void fork_request(struct sprout *sprout, struct message **request, const struct hop *hop,
                  uint64_t hash);
/* A CANCEL for this INVITE transaction. */
void fork_on_cancel(struct sprout *sprout, struct message *cancel, const struct hop *hop,
                    struct server_txn *invite);
/* The tables are going: forget everything under way. */
void fork_drop_all(struct sprout *sprout);

/* ---- sprout_sim_console.c: the Unix socket for faults ---- */

int console_create(struct sim *sim, const char *path, struct console **out);
void console_destroy(struct console **console);

#endif
