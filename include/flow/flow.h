/*
 * A flow: one client seen through one hop, and what its registrations taught us. RFC 5626.
 * Owned by the flow table of its worker. Memory is stated: see docs/PERFORMANCE.md (under 1 KiB on UDP
 * with one binding of ordinary length).
 * A flow may carry a whole PBX: whatever stands here costs the same with one binding and with 100,000, except
 * flow_binding_at, and the end of the flow.
 */
#ifndef BONO_FLOW_FLOW_H
#define BONO_FLOW_FLOW_H

#include "base/slice.h"
#include "flow/binding.h"
#include "sip/message.h"
#include "transport/transport.h"

struct flow;

enum flow_state {
	FLOW_NEW,        /* no 2xx to a REGISTER yet, or the last binding has gone on a stream */
	FLOW_REGISTERED, /* at least one binding */
	FLOW_CLOSED
};

enum flow_close {
	FLOW_CLOSE_CONNECTION,   /* its connection ended */
	FLOW_CLOSE_DEREGISTERED, /* UDP: the last binding was removed */
	FLOW_CLOSE_EXPIRED,      /* UDP: the last binding lapsed */
	FLOW_CLOSE_IDLE,         /* never registered, silent */
	FLOW_CLOSE_REPLACED,     /* same instance and reg-id registered over a newer flow */
	FLOW_CLOSE_CROWDED,      /* never registered, and its place was needed at the limit */
	FLOW_CLOSE_SILENT,       /* keep-alives were promised and did not come */
	FLOW_CLOSE_SHUTDOWN,
	FLOW_CLOSES
};
const char *flow_close_name(enum flow_close reason);

enum flow_state flow_state(const struct flow *flow);
uint64_t flow_id(const struct flow *flow);
const struct hop *flow_hop(const struct flow *flow);
/* NUL-terminated, for Path and Record-Route; the flow's. */
const char *flow_token_text(const struct flow *flow);
uint64_t flow_born_ms(const struct flow *flow);
/* Any packet of the client: restarts the clock of an unregistered UDP flow, and of promised keep-alives. */
void flow_touch(struct flow *flow);
/* The client has promised keep-alives (RFC 5626 4.4, RFC 6223) when it registered this address-of-record: silent for
 * longer than this the registered flow ends with FLOW_CLOSE_SILENT. 0: no promise for this one, or none any more. The
 * flow is held to it as long as any of its bindings has one, and to what was told last; nothing happens where there is
 * no such binding. Costs one timer that runs once in that time, however much the client says. */
void flow_expect_keepalives(struct flow *flow, struct slice aor, uint32_t silence_ms);

/*
 * What a 2xx to a REGISTER transaction of this flow teaches: identities, Service-Route and expiry of the
 * binding whose contact we sent; see binding.h. That binding is removed when it was asked to go or is not
 * listed any more, and a UDP flow ends with its last one (look at flow_state afterwards; the pointer is good
 * until the turn ends). A binding of the same AoR, instance and reg-id on another flow of this worker is
 * replaced (RFC 5626 5.3). What was known is left by -ENOMEM, -EMSGSIZE (beyond 16 KiB of text), -ENOBUFS
 * (the worker holds its limit of bindings and this would be one more; the table counts and logs it) and
 * -ENOENT (the flow has ended in this very turn).
 */
int flow_learn(struct flow *flow, const struct registration *registration,
               const struct message *response);

/* The client of this binding was told to register anew (TS 24.229 5.2.6.3): binding_is_restoring until the next 2xx. */
void flow_restore(struct flow *flow, struct slice aor);
/*
 * The registrar has changed its mind (RFC 3680, TS 24.229 5.2.3): as by a 2xx that no longer lists the binding, one
 * that lists it for this many seconds from now (never longer than before), one whose P-Associated-URI lacks this
 * identity. The last identity gone, or no memory to keep the others: the binding is gone. A UDP flow ends with its last
 * binding. Nothing happens where there is no such binding or identity: false then.
 */
bool flow_revoke(struct flow *flow, struct slice aor);
bool flow_shorten(struct flow *flow, struct slice aor, uint32_t seconds);
bool flow_revoke_identity(struct flow *flow, const struct uri *uri);
/* The binding of this address-of-record (canonical spelling, uri_canonical), or NULL. */
const struct binding *flow_binding(const struct flow *flow, struct slice aor);
/* All bindings in order of registration, a refresh keeps its place: 0.. Walks there: for the operator's eyes. */
const struct binding *flow_binding_at(const struct flow *flow, unsigned index);
/* The binding whose associated identities hold this URI, and the identity as the registrar wrote it; NULL: none of
 * this flow has it, or memory is out. */
const struct binding *flow_identity_find(const struct flow *flow, const struct uri *uri,
                                         struct slice *identity);
/* A binding whose associated identities hold this URI (or, none given: the first); NULL: the flow has
 * none. *identity: the name-addr of the P-Asserted-Identity we vouch for: the preferred one if it is one
 * of the associated URIs, else the default. TS 24.229 5.2.6.3, RFC 3325 5. */
const struct binding *flow_identity_for(const struct flow *flow, const struct name_addr *preferred,
                                        struct slice *identity);

#endif
