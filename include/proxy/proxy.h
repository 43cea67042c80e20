/*
 * The proxy of one worker: RFC 3261 16 and the rules of a P-CSCF. The only layer that knows both sides.
 * Worker thread only. Its world below comes as a table of ways, so that tests can bring their own.
 */
#ifndef BONO_PROXY_PROXY_H
#define BONO_PROXY_PROXY_H

#include "charging/charge.h"
#include "flow/flow_table.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "proxy/decision.h"
#include "sip/via.h"
#include "transaction/txn_table.h"
#include "transport/transport.h"
#include "upstream/health.h"
#include "upstream/stats.h"
#include "upstream/view.h"

struct proxy;

/* Somebody who is dialled as the operator wrote it. */
struct peer_hop {
	const char *uri; /* NULL: nobody */
	enum sip_transport transport;
	struct address address;
};

/* Who is told of a lost S-CSCF by 504 with a body of 3GPP, and not by 503. */
enum restoration_ims { RESTORATION_AUTO, RESTORATION_ALWAYS, RESTORATION_NEVER };

/* Who on the access side is no client, and what goes to whom. All lent. */
struct peer_settings {
	const struct address_range *trunks, *pbxes;
	unsigned trunk_count, pbx_count;
	const char *pbx_service_route; /* NULL: none */
	const char *tls;               /* the profile to reach them by; NULL: not over TLS */
	struct peer_hop off_net;       /* a trunk */
	bool emergency_register;
	struct peer_hop emergency; /* of the core */
};

struct proxy_settings { /* static for the life of the process; lent */
	uint8_t worker;
	const struct listener_settings *listeners;
	unsigned listener_count;
	unsigned path_listener;      /* index of the core listener named in Path */
	const char *visited_network; /* P-Visited-Network-ID, without quotes */
	char *const *home_domains;   /* the first one names the home network */
	unsigned home_domain_count;
	struct peer_settings peers;
	uint32_t epoch;                                /* start of the process, as in flow tokens */
	uint32_t session_expires_s, session_minimum_s; /* RFC 4028; expires 0: off */
	enum restoration_ims restoration_ims;
	size_t message_bytes;
	uint64_t first_answer_ms; /* failover: silence after which the next target is tried */
	uint64_t deadline_ms;     /* failover: the whole search for an answer */
	/* RFC 5626 5.4, RFC 6223: how often clients on streams and on UDP shall show life; 0: nothing is asked */
	unsigned flow_timer_s, flow_timer_udp_s;
	uint64_t flow_grace_ms; /* silent for so much longer: the flow ends */
	bool deregister_lost; /* the outbound bindings of a lost flow are taken off the registrar, */
	uint64_t deregister_after_ms; /* if the client has not come back by then */
	/* Subscribe to the reg event of each binding (RFC 3680), for so long, and to so many of them at once */
	bool reg_subscribe;
	uint32_t reg_subscribe_expires_s;
	size_t reg_subscriptions_max;
	/* Charging (RFC 7315): P-Charging-Vector is written; icid-generated-at; our network among operators (NULL:
	 * not said); the whole value of P-Charging-Function-Addresses (NULL: not written); records are wanted. */
	bool charging_vector;
	const char *charging_host, *charging_ioi, *charging_functions;
	bool charging_records;
};

struct proxy_ways {
	/* as transport_send, transport_open (to the core), transport_sent_by */
	int (*send)(void *arg, const struct hop *hop, struct bytes **bytes);
	int (*open)(void *arg, const struct transport_peer *peer, struct hop *out);
	/* as transport_open_access: to a trunk or a PBX */
	int (*open_access)(void *arg, const struct transport_peer *peer, struct hop *out);
	const char *(*sent_by)(void *arg, const struct hop *hop);
	/* The packet belongs to another worker of this process: give it a copy of the bytes, and moved_key, by
	 * proxy_on_passed_packet. */
	void (*pass_packet)(void *arg, uint8_t worker, const struct packet *packet,
	                    uint64_t moved_key);
	/* What traffic saw of a target: to control. value as health_on_input. */
	void (*report)(void *arg, uint32_t target_id, enum health_input input, uint64_t value);
	/* A request that needed more than one attempt, or was lost, has its answer; lent during the call. NULL: nobody asks. */
	void (*decided)(void *arg, const struct decision *decision);
	/* A request has its final answer: for billing; lent during the call. NULL: nobody asks. */
	void (*charge)(void *arg, const struct charge *charge);
	/* False while the node is not ready or stopping: OPTIONS to ourselves gets 503. */
	bool (*is_ready)(void *arg);
	void *arg;
};

/* flows and transactions are lent and outlive the proxy. */
int proxy_create(struct loop *loop, const struct proxy_settings *settings,
                 const struct proxy_ways *ways, struct flow_table *flows, struct txn_table *txns,
                 struct branch_source *branches, struct metrics *metrics, struct proxy **out);
void proxy_destroy(struct proxy **proxy);

/* A whole message from the transport (its on_packet). */
void proxy_on_packet(struct proxy *proxy, const struct packet *packet, bool framing_fault);
/* One that another worker passed to us. moved_key: by what its client is found here (flow_elsewhere), 0: by its
 * token. */
void proxy_on_passed_packet(struct proxy *proxy, const struct packet *packet, uint64_t moved_key);
/* A flow was lost with this binding on it (flow_table_events.on_binding_lost). */
void proxy_on_binding_lost(struct proxy *proxy, const struct flow *flow,
                           const struct binding *binding);
/* A client is registered over another worker's flow: what waits to be said of its lost one is not said. */
void proxy_on_client_back(struct proxy *proxy, uint64_t key);
/* A new view from control; shares it. Contexts that wait for a target ask again. */
void proxy_set_view(struct proxy *proxy, struct view *view);
const struct view *proxy_view(const struct proxy *proxy);
/* Refuse new work (graceful stop): 503 to new requests; transactions under way go on. */
void proxy_stop_new_work(struct proxy *proxy);
/* What was counted of the targets since the last taking (traffic_stats_take). */
unsigned proxy_take_stats(struct proxy *proxy, struct target_stats *out, unsigned max);
/* Response contexts that still owe an answer. */
size_t proxy_busy(const struct proxy *proxy);

#endif
