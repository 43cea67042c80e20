/* What the files of src/flow tell each other. */
#ifndef BONO_FLOW_FLOW_INTERNAL_H
#define BONO_FLOW_FLOW_INTERNAL_H

#include "base/buffer.h"
#include "base/hash.h"
#include "base/list.h"
#include "flow/flow.h"
#include "flow/flow_table.h"
#include "loop/loop.h"
#include "loop/timer.h"

/*
 * One identity of a binding. Identities of one flow that read alike (binding_index.c says how much) stand in a
 * ring, the oldest first; that one alone is in the table. So a main number which ten thousand extensions of a
 * PBX share costs as little to add and to take away as any other.
 */
struct identity {
	struct hash_link by_uri;          /* the hash is set in all of the ring */
	struct identity *next, *previous; /* NULL: in no index */
	uint16_t index;                   /* in its binding */
	uint16_t at, length;              /* in the binding's text */
};

/* One block: the struct, its identities, and behind them its text. */
struct binding {
	union {
		struct list_link in_flow; /* while it lives */
		struct grave grave;       /* afterwards */
	};
	struct flow *flow;
	struct timer life;            /* until expires_ms */
	struct hash_link by_aor;      /* (flow, AoR) */
	struct hash_link by_instance; /* if it has both instance and reg-id */
	uint64_t expires_ms;
	uint64_t learnt_us; /* when it came to this flow: of two workers the later has it */
	uint32_t reg_id;
	uint16_t aor_length, contact_length, instance_length, username_length, service_route_length,
		identities_length;
	uint16_t identity_count;
	bool restoring; /* its S-CSCF is lost: the client was told to register anew */
	bool promised;  /* keep-alives, when it was registered */
	/* Behind the last: aor, contact, instance, username, Service-Route, identities (each followed by '\n'). */
	struct identity identities[];
};

/* All bindings of a worker, over all its flows. */
struct binding_index {
	struct hash_table aors;       /* by (flow, AoR) */
	struct hash_table identities; /* by (flow, URI): the first of each ring */
	struct hash_table instances;  /* by (AoR, instance, reg-id) */
	size_t count, limit;
};

struct flow {
	struct flow_table *table;
	enum flow_state state; /* written by flow_set_state alone */
	uint32_t generation;   /* carried in the token, compared; 0: hops are not re-used yet */
	struct hop hop;        /* the way back to the client */
	uint64_t id;
	uint64_t born_ms, touched_ms;
	struct list bindings; /* owned; empty until a REGISTER succeeds */
	struct timer idle; /* runs on UDP without a binding, and where keep-alives were promised */
	uint32_t silence_ms; /* a registered flow may be silent so long; 0: no promise was made */
	uint32_t promises;   /* bindings that were promised keep-alives for */
	struct hash_link by_hop, by_id;
	union {
		struct list_link by_birth; /* while it lives */
		struct grave grave;        /* afterwards */
	};
	struct list_link in_strangers; /* UDP, never registered */
	char token[FLOW_TOKEN_TEXT_MAX];
};

/* Ended flows whose clients may have come back (ended.c). */
struct ended {
	struct hash_table ids;    /* tombstones */
	struct list by_age;       /* the same, oldest first */
	struct hash_table trails; /* by binding_key */
	size_t limit;
};

struct flow_table {
	struct loop *loop;
	struct flow_table_settings settings;
	struct metrics *metrics; /* NULL: none */
	const struct flow_table_events *events;
	void *arg;
	struct hash_table hops, ids; /* every flow is in both */
	struct list by_birth;        /* and in this: ids rise */
	struct list strangers;       /* UDP flows that never registered, oldest first */
	struct binding_index bindings;
	struct ended ended;
	uint64_t next_id;
	size_t counts[TRANSPORTS];
	uint64_t full_told_ms; /* when the log said last that bindings are refused; 0: never */
	uint64_t full_untold;  /* refused since */
};

/* ---- registration.c ---- */

/* RFC 3261 10.2.1.1: contact parameter, Expires header, else `otherwise`. */
uint32_t contact_expires(const struct name_addr *contact, const struct message *message,
                         uint32_t otherwise);
uint32_t contact_reg_id(const struct name_addr *contact);       /* 0: none */
struct slice contact_instance(const struct name_addr *contact); /* empty: none */

/* ---- binding.c ---- */

/* What the registrar granted to one contact. */
struct grant {
	struct slice contact; /* into the response */
	uint32_t seconds;     /* > 0 */
	struct slice instance;
	struct slice username; /* filled in by flow_learn */
	uint32_t reg_id;
};

/* Look for one of these contacts ("\n"-separated URIs) in the 2xx: by instance and reg-id if both are known,
 * else by RFC 3261 19.1.4. False: not listed, or with expires 0. */
bool grant_find(const struct message *response, struct slice contacts, struct slice instance,
                uint32_t reg_id, uint32_t requested_s, struct grant *out);
/* True if "\n"-separated contacts name this URI (19.1.4). */
bool contacts_name(struct slice contacts, struct slice uri);
/* In no list and no index yet. -EMSGSIZE: too much text. When nothing but the time differs from `old` (may
 * be NULL), as with nearly every refresh, that is prolonged where it stands, and *out is it. */
int binding_create(struct slice aor, const struct grant *grant, const struct message *response,
                   uint64_t now_ms, struct binding *old, struct binding **out);
/* A copy that lacks this identity of it, which is not its only one. */
int binding_without(const struct binding *old, const struct identity *identity,
                    struct binding **out);
void binding_destroy(struct binding **binding); /* one that was never used */
/* Its memory goes at the end of the turn; it has left list and index before. */
void binding_bury(struct loop *loop, struct binding **binding);

struct binding *identity_binding(struct identity *identity);
struct slice identity_text(const struct identity *identity);

/* ---- binding_index.c ---- */

int binding_index_init(struct binding_index *index, size_t limit);
void binding_index_free(struct binding_index *index); /* empty by now */
/* False: at the limit, and the binding (its flow is set) would not take the place of another. */
bool binding_index_has_room(const struct binding_index *index, const struct binding *binding);
void binding_index_add(struct binding_index *index, struct binding *binding);
void binding_index_remove(struct binding_index *index, struct binding *binding);
struct binding *binding_index_find(const struct binding_index *index, const struct flow *flow,
                                   struct slice aor);
/* NULL: no binding of the flow has it, or memory is out. */
struct identity *binding_index_find_identity(const struct binding_index *index,
                                             const struct flow *flow, const struct uri *wanted);
/* The binding that has this key now; NULL: none. */
struct binding *binding_index_find_key(const struct binding_index *index, uint64_t key);
/* Another binding with the same key, on whichever flow; NULL: none. */
struct binding *binding_index_rival(const struct binding_index *index,
                                    const struct binding *binding);
/* What of a URI tells it from others, without the flow, hashed. `scratch` is overwritten; look whether it
 * failed. */
uint64_t identity_hash(const struct uri *uri, struct buffer *scratch);

/* ---- ended.c ---- */

int ended_init(struct ended *ended, size_t limit);
void ended_free(struct ended *ended);
/* The flow's token leads on by this key until then. Makes room before it adds; without memory it just leads
 * nowhere. */
void ended_remember(struct ended *ended, const struct flow *flow, uint64_t key,
                    uint64_t expires_ms);
/* By what the client of that flow is found, and at which worker. False: unknown, or its time is over. */
bool ended_follow(struct ended *ended, const struct flow_token *token, uint64_t now_ms,
                  struct flow_elsewhere *out);
void ended_note_move(struct ended *ended, const struct flow_move *move);

/* ---- flow.c ---- */

/* The only writer of flow->state: stops the idle timer, forgets promised keep-alives, tells the events (not of FLOW_CLOSED). */
void flow_set_state(struct flow *flow, enum flow_state state);
void flow_restart_idle(struct flow *flow);
timer_fn flow_on_idle;
/* Out of the flow and of the index, buried. */
void flow_drop_binding(struct flow *flow, struct binding *binding);
void flow_drop_bindings(struct flow *flow);
/* Its client has come over another flow, here or at another worker. */
void flow_lose_rival(struct binding *rival);

/* ---- flow_table.c ---- */

void flow_table_add_binding(struct flow_table *table, struct binding *binding);
void flow_table_remove_binding(struct flow_table *table, struct binding *binding);
/* Count that a binding was refused at the limit; tell the log, once a minute. */
void flow_table_refuse_binding(struct flow_table *table);
/* This outbound binding is new on its flow; known: this worker had one of its key, so the others know where. */
void flow_table_note_key(struct flow_table *table, const struct binding *binding, bool known);
/* End the flow whose last outbound binding had this key; expires_ms: how long the token leads on. */
void flow_table_close_keyed(struct flow_table *table, struct flow *flow, enum flow_close reason,
                            uint64_t key, uint64_t expires_ms);

#endif
