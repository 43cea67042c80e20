/* What the files of src/flow tell each other. */
#ifndef BONO_FLOW_FLOW_INTERNAL_H
#define BONO_FLOW_FLOW_INTERNAL_H

#include "base/hash.h"
#include "base/list.h"
#include "flow/flow.h"
#include "flow/flow_table.h"
#include "loop/loop.h"
#include "loop/timer.h"

/* One block: the struct and behind it its text. */
struct binding {
	union {
		struct list_link in_flow; /* while it lives */
		struct grave grave;       /* afterwards */
	};
	struct flow *flow;
	struct hash_link by_instance; /* in table->instances, if it has both instance and reg-id */
	uint64_t expires_ms;
	uint32_t reg_id;
	uint32_t identity_count;
	uint32_t aor_length, contact_length, instance_length, service_route_length,
		identities_length;
	char text[]; /* aor, contact, instance, Service-Route, identities (each followed by '\n') */
};

struct flow {
	struct flow_table *table;
	enum flow_state state; /* written by flow_set_state alone */
	uint32_t generation;   /* carried in the token, compared; 0: hops are not re-used yet */
	struct hop hop;        /* the way back to the client */
	uint64_t id;
	uint64_t born_ms, touched_ms;
	struct list bindings; /* owned; empty until a REGISTER succeeds */
	struct timer life;    /* UDP without binding: idle; with bindings: the earliest expiry */
	struct hash_link by_hop, by_id;
	struct grave grave;
	char token[FLOW_TOKEN_TEXT_MAX];
};

struct flow_table {
	struct loop *loop;
	struct flow_table_settings settings;
	struct metrics *metrics; /* NULL: none */
	const struct flow_table_events *events;
	void *arg;
	struct hash_table hops, ids; /* every flow is in both */
	struct hash_table instances; /* bindings by (AoR, instance, reg-id) */
	struct hash_table ended;     /* tombstones by id */
	struct list ended_by_age;    /* the same, oldest first */
	uint64_t next_id;
	size_t counts[TRANSPORTS];
	size_t registrations;
};

/* ---- binding.c ---- */

/* What the registrar granted to one contact. */
struct grant {
	struct slice contact; /* into the response */
	uint32_t seconds;     /* > 0 */
	struct slice instance;
	uint32_t reg_id;
};

/* Look for one of these contacts ("\n"-separated URIs) in the 2xx: by instance and reg-id if both are known,
 * else by RFC 3261 19.1.4. False: not listed, or with expires 0. */
bool grant_find(const struct message *response, struct slice contacts, struct slice instance,
                uint32_t reg_id, uint32_t requested_s, struct grant *out);
/* True if "\n"-separated contacts name this URI (19.1.4). */
bool contacts_name(struct slice contacts, struct slice uri);
/* In no list and no table yet. */
int binding_create(struct slice aor, const struct grant *grant, const struct message *response,
                   uint64_t now_ms, struct binding **out);
/* Its memory goes at the end of the turn; it has left list and table before. */
void binding_bury(struct loop *loop, struct binding **binding);
bool binding_has_key(const struct binding *binding); /* instance and reg-id: RFC 5626 outbound */
uint64_t binding_key(const struct binding *binding); /* keyed hash of AoR, instance and reg-id */

/* ---- flow.c ---- */

/* The only writer of flow->state: counts, tells the events (not of FLOW_CLOSED). */
void flow_set_state(struct flow *flow, enum flow_state state);
/* (Re)start the life timer for what comes first. */
void flow_restart_life(struct flow *flow);
timer_fn flow_on_life;
/* Out of the flow and of the table's index, buried. */
void flow_drop_binding(struct flow *flow, struct binding *binding);
void flow_drop_bindings(struct flow *flow);

/* ---- flow_table.c ---- */

void flow_table_index_binding(struct flow_table *table, struct binding *binding);
void flow_table_unindex_binding(struct flow_table *table, struct binding *binding);
/* Another binding with the same key, on another flow; NULL: none. */
struct binding *flow_table_rival(struct flow_table *table, const struct binding *binding);
/* End the flow whose last outbound binding had this key; expires_ms: how long the token leads on. */
void flow_table_close_keyed(struct flow_table *table, struct flow *flow, enum flow_close reason,
                            uint64_t key, uint64_t expires_ms);

#endif
