/*
 * The operator's configuration as an immutable value. Built by config_load from the file; never changed
 * afterwards; freed with config_free. Times are milliseconds. Names of keys are those of docs/CONFIG.md.
 */
#ifndef BONO_CONFIG_CONFIG_H
#define BONO_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/address.h"
#include "base/buffer.h"

enum config_side { CONFIG_ACCESS, CONFIG_CORE };
enum config_transport { CONFIG_UDP, CONFIG_TCP, CONFIG_TLS, CONFIG_WS, CONFIG_WSS };

/* Of a server we connect to (RFC 5922 7.3): chain and name, the chain alone, nothing. */
enum config_verify { CONFIG_VERIFY_NAME, CONFIG_VERIFY_CHAIN, CONFIG_VERIFY_NONE };
/* Of those who connect to a listener. */
enum config_client_certificate {
	CONFIG_CLIENT_NONE,
	CONFIG_CLIENT_OPTIONAL,
	CONFIG_CLIENT_REQUIRED
};

/* PEM files; a relative path of the file is already joined to the directory of the configuration. */
struct config_certificate {
	char *certificate, *key;
};

struct config_tls {
	char *name;
	unsigned line, column;                   /* where the file names it */
	struct config_certificate first;         /* while loading; moves to certificates */
	struct config_certificate *certificates; /* the default one, then `more` */
	unsigned certificate_count;              /* 0: fit for connecting only */
	char *ca;                                /* NULL: the system's */
	enum config_verify verify;
	unsigned minimum; /* 12 or 13 */
};

struct config_listener {
	char *name;
	enum config_side side;
	enum config_transport transport;
	struct address bind;
	/* "host:port"; never NULL. If the file is silent: the bind; for a wildcard on the access side the host
	 * that another access listener advertises, with our port; without one the wildcard, which transport
	 * replaces by the address each packet came to. */
	char *advertise;
	struct address_range *allow;
	unsigned allow_count;
	char *tls; /* name of a profile that has a certificate: of tls and wss, else NULL */
	enum config_client_certificate client_certificate;
	char **allow_names; /* core tls: what a peer's certificate may show; then allow may be empty */
	unsigned allow_name_count;
	struct address_range *proxy_from; /* they, and they alone, begin with a PROXY header */
	unsigned proxy_from_count;
	char **origins; /* ws and wss: RFC 6454 6.2, lower case; none: any */
	unsigned origin_count;
	bool path; /* the one named in Path; exactly one core listener has it: the first if the file is silent */
};

struct config_target {
	char *name; /* "sprout-1" ... if the file gives none */
	char *uri;  /* as written, and ;transport=tls where only the site said so */
	struct address address;
	enum config_transport transport;
	unsigned weight; /* 1..1000, default 1 */
	char *tls_name; /* what its certificate must show; NULL: host, or without one its address */
	/* Of those that DNS knows (config_site.names); there address is AF_UNSPEC. */
	char *host;         /* NULL in config_site.targets */
	uint16_t port;      /* 0: none written */
	bool has_transport; /* else `transport` is only what RFC 3263 falls back to */
};

struct config_site {
	char *name;
	bool local;      /* it is node.site */
	char *advertise; /* NULL: none */
	bool plaintext_allowed;
	char *tls; /* profile; NULL: plaintext. With it every target's transport is CONFIG_TLS */
	uint32_t capacity;             /* requests per second it may be given; 0: no limit */
	struct config_target *targets; /* with an address */
	unsigned target_count;
	struct config_target discover; /* while loading; moves to names */
	struct config_target *names;   /* to resolve: `discover`, then named targets */
	unsigned name_count;
	char **ralf; /* "host:port" of those that take billing records, in order */
	unsigned ralf_count;
};

/* What a client is told when no Sprout can serve it: TS 24.229 5.2.6.3. */
enum config_ims { CONFIG_IMS_AUTO, CONFIG_IMS_ALWAYS, CONFIG_IMS_NEVER };

struct config {
	char *node_name, *node_site, *state_dir;
	char **home_domains;
	unsigned home_domain_count;
	unsigned workers; /* `auto` already resolved to the number of processors */

	struct config_listener *listeners;
	unsigned listener_count;
	struct config_tls *tls; /* profiles, as in the file */
	unsigned tls_count;
	char *tls_ticket_keys;                         /* file; NULL: random ones of this process */
	unsigned tls_tickets_line, tls_tickets_column; /* where the file names it */
	struct config_site *sites; /* the local one first, then as in the file */
	unsigned site_count;

	uint64_t health_interval_ms, health_timeout_ms;
	unsigned health_fall, health_rise;
	uint64_t failover_first_answer_ms, failover_deadline_ms;
	uint64_t failback_hold_down_ms, failback_ramp_ms;

	uint64_t flow_timer_ms, flow_timer_udp_ms; /* whole seconds; 0: none is given */
	uint64_t flow_grace_ms;
	bool deregister_lost;
	uint64_t deregister_after_ms;

	bool reg_subscribe; /* to the reg event of each binding */
	uint64_t reg_subscribe_expires_ms;

	struct address *dns_servers; /* none: those of the system */
	unsigned dns_server_count;
	uint64_t dns_timeout_ms;

	struct address_range *trunks, *pbxes; /* of the access side; no address is in both */
	unsigned trunk_count, pbx_count;
	char *pbx_service_route;      /* SIP URI; NULL: as for clients without one */
	char *peers_tls;              /* a profile; NULL: none */
	struct config_target off_net; /* .uri NULL: refused; else one of trunks */
	bool emergency_register;      /* REGISTER with a Contact for emergency calls is taken */
	struct config_target emergency_route;            /* .uri NULL: none */
	uint64_t session_expires_ms, session_minimum_ms; /* expires 0: off */
	enum config_ims restoration_ims;

	bool charging_vector; /* P-Charging-Vector goes with what clients ask of the core */
	char **charging_ccf, **charging_ecf;
	unsigned charging_ccf_count, charging_ecf_count;
	char *charging_ioi;            /* NULL: none */
	uint64_t charging_spool_bytes; /* of records on disk; used if a site has a Ralf */

	uint64_t limit_message_bytes, limit_connections, limit_flows, limit_transactions;
	uint64_t limit_connections_per_address, limit_tls_handshakes;
	uint64_t websocket_ping_ms;

	char *admin_http;   /* "127.0.0.1:9090"; NULL: none */
	char *admin_socket; /* path; NULL: none */
	char hash[17];      /* of the file's bytes, for /status */
};

/*
 * Read and check the file. Every fault in one pass is written to `faults` as
 * "FILE:LINE:COL: what is wrong, expected ..., found ...\n". 0 and *out when there is none; -EINVAL with
 * faults; -errno if it cannot be read (said on `faults` too).
 */
int config_load(const char *path, FILE *faults, struct config **out);
/* The same from memory; `name` stands for the file in messages. For tests and fuzzing. */
int config_load_bytes(const char *bytes, size_t length, const char *name, FILE *faults,
                      struct config **out);
void config_free(struct config **config); /* NULL inside is fine */

/* The profile of that name, or NULL. */
const struct config_tls *config_find_tls(const struct config *config, const char *name);

/* docs/CONFIG.md, made from the table of keys (config/schema.c). */
void config_write_docs(struct buffer *out);

#endif
