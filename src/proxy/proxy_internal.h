/*
 * What the files of the proxy tell each other. Worker thread only.
 */
#ifndef BONO_PROXY_PROXY_INTERNAL_H
#define BONO_PROXY_PROXY_INTERNAL_H

#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "flow/binding.h"
#include "proxy/proxy.h"
#include "proxy/trust.h"
#include "sip/peer_token.h"
#include "sip/reply.h"
#include "sip/route.h"
#include "sip/route_set.h"
#include "sip/validate.h"
#include "upstream/pick.h"
#include "upstream/stats.h"

struct response_context;

/* Which Sprout made a nonce: a direct-mapped memory, where a newer one may push an older one out. */
#define CHALLENGES_MAX 4096
struct challenge {
	uint64_t hash; /* of the nonce */
	uint32_t target_id;
};

/* A bucket of retries, in thousandths (choose.c). */
struct retry_budget {
	uint64_t milli;
	uint64_t filled_ms, second_ms;
	uint64_t this_second, last_second; /* requests begun */
};

/* Bindings whose flow was lost, until the registrar is told (outbound.c). */
struct lost_bindings {
	struct list waiting; /* oldest first */
	struct hash_table keys;
	struct timer next;
	uint64_t sent_ms; /* when the last of them went */
};

/* Our own subscriptions to registrations (reg_event.c). */
struct reg_events {
	struct hash_table ids, aors; /* all */
	struct list waiting;         /* for their turn, the oldest first */
	struct timer next;
	uint64_t sent_ms; /* when the last one went */
	uint64_t last_id;
};

struct proxy {
	struct loop *loop;
	const struct proxy_settings *settings;
	struct proxy_ways ways;
	struct flow_table *flows;
	struct txn_table *txns;
	struct branch_source *branches;
	struct metrics *metrics;
	struct view *view; /* NULL until control has sent the first */
	bool stopping;
	struct list contexts; /* all response contexts */
	struct list waiting;  /* those to ask again when the view changes */
	size_t busy;          /* contexts whose server transaction has no final answer yet */
	uint64_t heard_ms[VIEW_TARGETS_MAX]; /* when a target last answered anything, by its id */
	uint32_t outstanding[VIEW_TARGETS_MAX]; /* requests that wait for its final answer */
	struct traffic_stats *stats;            /* for control, taken several times a second */
	struct retry_budget budget;
	struct lost_bindings lost;
	struct reg_events reg_events;
	struct challenge challenges[CHALLENGES_MAX];
};

/* A request as it travels through the steps of RFC 3261 16.3 to 16.6. */
struct incoming {
	struct proxy *proxy;
	const struct packet *packet;
	struct message *message; /* owned by proxy_on_packet, which destroys what is left */
	enum sip_method method;
	uint64_t loop_hash;
	struct hop reply_hop; /* where answers go: RFC 3261 18.2.2, RFC 3581 */
	struct flow *flow;    /* of the client this came from; NULL: none, or from the core */
	uint64_t
		moved_key; /* another worker says that the client of its gone flow is here; else 0 */
	struct bytes *charging_vector; /* owned; what the core said of it; NULL: nothing */
};

struct branch;
struct attempt_notes; /* decision.c */

struct request_plan;

/* Who somebody is, by where a message came from or goes to; never by what it says. */
enum peer { PEER_CORE, PEER_CLIENT, PEER_TRUNK, PEER_PBX };

/* ---- proxy.c ---- */

/* Answer without a transaction (RFC 3261 16.3, 8.2.7): the same request always gets the same answer.
 * Counts the reason. Nothing is ever said to an ACK. */
void proxy_reject(struct incoming *in, int status, const char *reason, struct slice extra,
                  enum rejected_reason why);
/* The same without counting: an answer of our own that refuses nothing. */
void proxy_answer(struct incoming *in, int status, const char *reason, struct slice extra);
/* It came to another worker, which passed it to us: never passed on again. */
bool packet_was_passed(const struct proxy *proxy, const struct packet *packet);
/* "Retry-After: N\r\n" with N jittered in [base, 2*base). */
struct slice proxy_retry_after(char text[48], unsigned base_s);

/* ---- the steps after validation; each takes what it needs of in->message ---- */

void from_client_request(struct incoming *in); /* from_client.c */
/* The core has put our name above the Path that we wrote: off with it, the token below says where to. 0 or -ENOMEM. */
int from_core_skip_routes(struct incoming *in);
void from_core_request(struct incoming *in); /* from_core.c */
/* The token names a flow of another worker, or one of ours whose client has gone there: it shall have the bytes. */
bool from_core_belongs_elsewhere(struct incoming *in, struct flow_elsewhere *elsewhere);
/* The next Route is an entry of ours, of another pass: it comes to us once more, on the core side. from_client.c */
bool plan_spiral(struct incoming *in, struct request_plan *plan);
/* A trunk or a PBX, other than REGISTER; from_peer.c */
void from_peer_request(struct incoming *in, enum peer peer);
void register_request(struct incoming *in); /* register.c */
/* A 2xx to a REGISTER: teach the flow. */
void register_learn(struct proxy *proxy, uint64_t flow_id, const struct registration *registration,
                    const struct message *response);
void cancel_request(struct incoming *in, struct server_txn *invite); /* cancel_ack.c */
/* An ACK has no transaction: send it once, where `context_start` would have sent a request. */
void ack_forward(struct incoming *in, const struct request_plan *plan);

/* If the top Route values are ours (they carry our token or name one of our listeners), pop them: those of one pass,
 * at most two. Returns how many, or negative errno. */
int route_pop_own(struct proxy *proxy, struct message *message);
/* True if this URI's host and port name one of our listeners (bind or advertise). */
/* The target that a URI names, or NULL: none, or there is no view yet. */
const struct view_target *proxy_target_of(const struct proxy *proxy, const struct uri *uri);
bool uri_names_us(const struct proxy *proxy, const struct uri *uri);
/* RFC 3261 16.4: a strict router has put our own entry in the Request-URI. A user of that name who lives at
 * our address is none. */
bool route_is_own_entry(const struct incoming *in, const struct uri *uri);

/* ---- peers.c ---- */

enum peer peer_of(const struct proxy *proxy, const struct hop *hop);
/* A URI that names a trunk or a PBX by its address. */
struct peer_way {
	enum peer peer;
	enum sip_transport transport;
	struct address address;
};
bool peer_at(const struct proxy *proxy, const struct uri *uri, struct peer_way *out);
bool uri_is_home(const struct proxy *proxy, const struct uri *uri);
/* Any of its Routes asks for originating service, however its name is spelt; or cannot be read. */
bool routes_ask_originating(const struct message *message);
void peer_reject_register(struct incoming *in);
/* Double Record-Route with a token of its own for a dialog over this hop of the access side, where there is no flow. */
int peer_add_record_routes(struct incoming *in, enum peer_token_kind kind, const struct hop *access,
                           bool from_core);
/* The token in our entry, on top of Route, or in the Request-URI where a strict router put it. */
enum flow_token_verdict peer_token_of(struct incoming *in, struct peer_token *out);
/* The hop of a token for this worker. */
struct hop peer_token_hop(const struct proxy *proxy, const struct peer_token *token);
/* Only that worker can send on it. */
bool peer_token_is_elsewhere(const struct proxy *proxy, const struct peer_token *token,
                             uint8_t *worker);
/* Our own entries off, strict routing undone and done. 0 or -ENOMEM. */
int peer_pop_routes(struct incoming *in);
int peer_set_hops(struct incoming *in);
/* All edits are done. */
void peer_start(struct incoming *in, struct request_plan *plan);
/* A new request from the core that names no flow: to a trunk or PBX, back to the core, or nowhere. to_peer.c */
void core_request_onward(struct incoming *in);
/* In a dialog with somebody who has no flow. */
void core_request_by_token(struct incoming *in, const struct peer_token *token);

/* ---- emergency.c ---- */

/* A Contact is marked "sos": TS 24.229 5.1.6.2. */
bool emergency_registration(const struct message *request);
/* An emergency call, or a request within one, of a client that is not registered. */
bool emergency_is_of_stranger(struct incoming *in);
void emergency_request(struct incoming *in);

/* ---- restoration.c ---- */

/* Who is to be told if no Sprout can serve; kept in the response context. */
struct restoration {
	char *aor; /* of the binding; owned by who holds this; NULL: nobody is */
	uint64_t flow_id;
	bool first_hop;
};
/* An initial request of a registered client: note it if the client understands such an answer. */
void restoration_note(struct incoming *in, const struct binding *binding,
                      struct restoration *restoration);
struct response_context;
/* True: the answer is 504 with these header lines and body, and the binding is marked. */
bool restoration_answer(const struct response_context *context, enum lost_reason why,
                        struct buffer *out);
/* A client that was told so and has not registered since. */
void restoration_refuse(struct incoming *in);

/* ---- session_timer.c ---- */

/* What was asked of the session; kept in the response context. */
struct session_timer {
	uint64_t seconds; /* Session-Expires as it went on; 0: none */
	bool caller_knows;
};
/* 0, -ENOMEM, or -ERANGE: the caller asks for less than we take, 422. */
int session_timer_request(struct incoming *in, struct session_timer *timer);
void session_timer_reject(struct incoming *in);
int session_timer_answer(const struct session_timer *timer, struct message *response);

/* ---- alternative_service.c ---- */

/* The client understands application/3gpp-ims+xml, or the operator says so. */
bool client_speaks_ims(const struct proxy *proxy, const struct message *request);
/* Header lines and body of an answer that says what to do instead (TS 24.229 7.6.1); identity: the name-addr in
 * P-Asserted-Identity, empty: none. */
void alternative_service_write(struct buffer *out, struct slice identity, const char *type,
                               const char *reason, const char *action);

/* ---- choose.c ---- */

/* The target of the next attempt. */
enum pick_answer choose_target(const struct response_context *context,
                               const struct view_target **target);
/* That of the first one, which an ACK takes too. */
enum pick_answer choose_first(const struct view *view, const struct pick_tried *tried, uint64_t key,
                              const struct view_target *preferred, bool in_dialog,
                              const struct view_target **target);
void choose_note_failure(struct response_context *context, uint32_t site, uint32_t target_id,
                         enum failover_reason reason);
/* A challenge passed: its answer shall go back to who made it (RFC 3261 22.2: the nonce is that server's). */
void challenge_remember(struct proxy *proxy, const struct message *response, uint32_t target_id);
/* The target that made the nonce this request answers; NULL: no nonce, or not remembered. */
const struct view_target *challenge_maker(struct proxy *proxy, const struct message *request);
/* A request begins; a retry away from a target that still answers others wants to. */
void budget_earn(struct retry_budget *budget, uint64_t now_ms);
bool budget_spend(struct retry_budget *budget, uint64_t now_ms);

/* ---- outbound.c ---- */

int outbound_init(struct proxy *proxy);
void outbound_free(struct proxy *proxy);
/* Before the request is edited: does its client, one hop away, want keep-alives agreed? registration: NULL if it is
 * no REGISTER. */
void outbound_read(const struct incoming *in, const struct registration *registration,
                   struct request_plan *plan);
/* A 2xx, our Via popped, what it teaches learnt: say what we agree to. 0 or -ENOMEM. */
int outbound_answer(struct response_context *context, struct message *response);

/* ---- reg_event.c, reg_subscribe.c, reg_notify.c ---- */

int reg_event_init(struct proxy *proxy);
void reg_event_free(struct proxy *proxy);
/* A 2xx to a REGISTER has taught the flow: this binding is there now, or is not. */
void reg_event_learnt(struct proxy *proxy, const struct flow *flow, struct slice aor);
/* A request from the core: is it for a subscription of another worker; is it for ours? Then it has been answered. */
bool reg_event_belongs_elsewhere(const struct incoming *in, uint8_t *worker);
bool reg_event_request(struct incoming *in);

/* ---- decision.c ---- */

/* Before the branch is marked abandoned. */
void decision_note_failure(const struct branch *branch, enum failover_reason reason);
void decision_note_unsent(struct response_context *context, uint32_t target_id, bool refused);
void decision_note_answer(const struct branch *branch, int status);
/* Its final answer goes back. */
void decision_tell(struct response_context *context, int status, bool lost);

/* ---- record_route.c ---- */

/* What the answer's Record-Route is to be looked at for; kept in the response context. */
struct route_note {
	enum { ROUTE_NOTE_NONE, ROUTE_NOTE_CALLER, ROUTE_NOTE_CALLEE } kind;
	unsigned below;      /* caller: values that stood in the request when it came */
	uint64_t token_hash; /* caller: of our entries' user part */
	struct route_set_registration registration; /* caller */
	char mark[ROUTE_SET_MARK_SIZE];             /* callee */
};
/* Put our double Record-Route on top. 0 or -ENOMEM. */
int record_route_from_client(struct incoming *in, const struct binding *binding,
                             struct route_note *note);
int record_route_to_client(struct incoming *in, const struct flow *flow, struct route_note *note);
struct response_context;
/* An answer passes: a caller's gets its mark, a callee's is held to what it was sent. 0, or -errno: it cannot pass. */
int record_route_answer(struct response_context *context, struct message *response);
/* A client's request in a dialog: takes our entries off its Route. 0, -ENOMEM, or -EACCES: we did not give this
 * client this route set. */
int record_route_follow(struct incoming *in, const struct binding *binding);
/* The same for one that is no flow's: its entries, which stand on top already, carry a token that the caller of this
 * has judged and judges. */
void record_route_note_stranger(struct incoming *in, struct route_note *note);
int record_route_follow_stranger(struct incoming *in);
/* To a callee that is no flow's: the mark for the entry with this token; empty if the set is too long for one. */
void record_route_mark_stranger(const struct message *request, struct slice token,
                                char mark[ROUTE_SET_MARK_SIZE]);

/* The first of a comma-separated list of name-addrs. from_client.c */
struct slice name_addr_first(struct slice list);

/* ---- the border ---- */

#define CROSSING_NONE CROSSINGS              /* within the core: no border is crossed */
enum crossing crossing_from(enum peer peer); /* to the core */
enum crossing crossing_to(enum peer peer);   /* from the core */

/* ---- connected.c ---- */

/* Whom to assert when the flow's client answers this; empty: we cannot tell. The flow's. */
struct slice connected_identity(const struct message *request, const struct flow *flow);
/* The same for this answer, in which the client may prefer another of its identities. */
struct slice connected_identity_of_response(const struct response_context *context,
                                            const struct message *response);

/* ---- charging.c ---- */

/* A request on its way into the core, its sender's own words taken away: ours are added. 0 or -ENOMEM. */
int charging_mark_request(struct incoming *in);
/* Before trust_apply: what the core says of its request, for the answers to it. 0 or -ENOMEM. */
int charging_keep_vector(struct incoming *in);
/* After trust_apply: an answer on its way into the core. 0 or -ENOMEM. */
int charging_mark_answer(const struct response_context *context, struct message *response);
/* The value for a request of our own. */
void charging_write_vector(const struct proxy *proxy, struct slice call_id, struct buffer *out);
/* A final answer goes back: a billing record, if they are wanted. */
void charging_tell_answer(const struct response_context *context, int status);

/* ---- response_context.c and attempt.c ---- */

/* Where a request is to go, decided by the steps above. */
struct request_plan {
	enum crossing crossing;
	bool fixed;     /* one hop and no other: a client's flow, a peer, or ourselves */
	bool to_peer;   /* fixed: it is no flow, so its end is 503 and not 430 */
	struct hop hop; /* fixed */
	const struct view_target *preferred; /* the Sprout that a route names, or NULL */
	bool in_dialog;                      /* it stays with `preferred` if it can */
	bool add_target_route;               /* each attempt gets a Route of its own target */
	struct session_timer session;        /* filled by context_start */
	struct restoration restoration;      /* taken over */
	bool terminating; /* that Route without `orig`: the caller is none of ours */
	uint64_t key;     /* of the address-of-record, for pick */
	uint64_t
		flow_id; /* of the client: the flow it came on, where its answer concerns that, or goes to */
	struct slice connected;        /* to a client: whom we assert when it answers */
	bool asks_outbound, asks_keep; /* the client wants to promise keep-alives (outbound.c) */
	struct registration *registration; /* REGISTER: taken over */
	struct route_note route_note;
};

/* A request of our own making. */
struct own_request {
	enum sip_method method;
	/* Its final answer; or status 0 and NULL: none came. May be called from within context_start_own. NULL: it is no
	 * such request. */
	void (*on_ended)(struct proxy *proxy, uint64_t id, int status,
	                 const struct message *response);
	uint64_t id; /* of whom it is about */
};

struct branch {
	struct list_link link; /* in context->branches, until its transaction has ended */
	struct grave grave;
	struct response_context *context;
	struct client_txn *txn; /* NULL: none yet, or ended */
	uint32_t target_id;     /* UINT32_MAX: a client */
	uint32_t site;          /* index in the view at the time */
	uint64_t sent_us;
	struct timer first_answer; /* to the core: silence means the next target */
	struct timer timer_c;      /* RFC 3261 16.6 step 11, INVITE */
	bool heard;                /* any answer, 100 too */
	bool late;                 /* no answer in time: told to the statistics, once */
	bool progressed;           /* a provisional above 100 */
	bool silent;               /* its first answer is late */
	bool abandoned;            /* another target was tried since */
	bool done;                 /* a final answer or a failure */
};

struct response_context {
	struct list_link link;         /* in proxy->contexts */
	struct list_link waiting_link; /* in proxy->waiting */
	struct grave grave;
	struct proxy *proxy;
	struct server_txn *server; /* NULL once it has ended */
	enum sip_method method;
	enum crossing crossing; /* of the request; CROSSING_NONE: none */
	bool fixed, to_peer;
	bool in_dialog;
	bool add_target_route, terminating;
	struct session_timer session;
	struct restoration restoration;
	bool answered;    /* a final answer was given to the server transaction */
	bool provisional; /* an answer above 100 went back */
	bool cancelled;
	bool too_long;                 /* for a datagram: RFC 3261 21.5.7 */
	struct own_request own;        /* its on_ended NULL: somebody waits for the answer */
	bool asks_outbound, asks_keep; /* of the plan */
	struct bytes *base; /* the request without our Via and target Route; NULL once answered */
	uint32_t base_line_end; /* length of its start line with CRLF */
	uint64_t loop_hash;
	struct list branches;
	unsigned live; /* branches not done */
	unsigned attempts;
	struct pick_tried tried;
	uint64_t key;
	uint32_t preferred_id; /* UINT32_MAX: none */
	struct hop hop;        /* fixed */
	struct timer deadline;
	uint64_t retry_after_s; /* shortest of the 503s, UINT64_MAX: none heard */
	unsigned refused_503;
	struct bytes *best; /* best final not passed on (482 while another lives) */
	int best_status;
	struct buffer cancel_extra; /* Reason lines of the CANCEL */
	uint64_t flow_id;
	char *connected;                   /* owned; NULL: nobody to assert */
	struct registration *registration; /* owned; NULL unless REGISTER */
	struct route_note route_note;
	struct bytes *spoilt;          /* the request, if an answer came without our Record-Route */
	struct bytes *charging_vector; /* owned; NULL: none */
	enum failover_reason last_failure;
	uint32_t last_site, last_target; /* of the last failed attempt; UINT32_MAX none */
	unsigned site_failures;          /* in a row in last_site */
	struct attempt_notes *notes;     /* owned; NULL until an attempt has failed */
	uint64_t born_us;
};

/* Begin: server transaction, response context, first attempt. Edits of the message are done; it is
 * serialised here. Takes plan->registration in every case. */
void context_start(struct incoming *in, struct request_plan *plan);
/* The same for a request of our own (flat, complete but for our Via and the target's Route). Takes the bytes. */
void context_start_own(struct proxy *proxy, const struct own_request *own, struct bytes **request,
                       const struct request_plan *plan);
void context_cancel(struct response_context *context, struct slice reason_lines);
void context_view_changed(struct response_context *context);
void context_destroy_all(struct proxy *proxy);

/* For attempt.c and response_context.c of each other. */
void attempt_next(struct response_context *context);
/* These targets have just gone DOWN: whatever still waits for their first answer goes elsewhere, next turn. */
void attempt_leave_lost(struct response_context *context, const bool lost[VIEW_TARGETS_MAX]);
/* No more events from any branch; those still open are cancelled (INVITE) and left to themselves. */
void attempt_forget_all(struct response_context *context);
void context_on_response(struct branch *branch, struct message *response);
void attempt_branch_done(struct branch *branch);
/* The flat request for one hop: start line, our Via, Route of the target, the rest. */
struct bytes *attempt_flatten(struct proxy *proxy, struct slice base, size_t line_end,
                              const struct hop *hop, const struct view_target *target,
                              struct slice route, const char *branch);
/* What its Route is to say: nothing, the target as originating, or as terminating. */
struct slice attempt_route(const struct view_target *target, bool add_route, bool terminating);
/* True if a request to a client carried this branch, so that a client may answer it. */
bool attempt_branch_is_for_client(struct slice branch);
void attempt_report(struct proxy *proxy, uint32_t target_id, enum health_input input,
                    uint64_t value);
extern const struct client_txn_events context_client_events;
void context_give_up(struct response_context *context, int status, enum lost_reason why);
void context_maybe_free(struct response_context *context);

#endif
