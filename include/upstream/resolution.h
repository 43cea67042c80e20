/*
 * From a SIP URI to addresses: RFC 3263 4, one time through. Control thread only.
 * What is told: the servers found, and for each name that was asked for its addresses what the answer was; who
 * asked knows what was true before and decides what a missing answer means.
 */
#ifndef BONO_UPSTREAM_RESOLUTION_H
#define BONO_UPSTREAM_RESOLUTION_H

#include "loop/loop.h"
#include "sip/via.h"
#include "upstream/dns_answer.h"

/* A URI without an address in it. */
struct resolution_name {
	const char *host;
	uint16_t port;      /* 0: none written */
	bool has_transport; /* else NAPTR decides */
	enum sip_transport transport;
};

#define RESOLUTION_V4 1u
#define RESOLUTION_V6 2u

/* How to ask, as resolver_ask (tests bring their own), and what is worth asking for: the families in which
 * each transport can leave this node, 0 none. */
struct resolution_ways {
	int (*ask)(void *arg, const char *name, enum dns_type type,
	           void (*done)(void *arg, struct dns_answer *answer), void *done_arg);
	void *arg;
	uint8_t families[TRANSPORTS];
};

struct resolution_server {
	char host[DNS_NAME_MAX]; /* the SRV's target, or the URI's host */
	uint16_t port, priority, weight;
	enum sip_transport transport;
};

struct resolution_lookup { /* A or AAAA of one host */
	char host[DNS_NAME_MAX];
	enum dns_type type;
	struct dns_answer answer;
};

struct resolution_result {
	enum dns_verdict
		verdict; /* of the way to the servers; DNS_FOUND: servers and lookups are there */
	const char *reason; /* static; of what is not DNS_FOUND, there or in a lookup */
	bool by_srv;        /* else the host's own addresses */
	uint32_t ttl_s;     /* the smallest of everything found */
	unsigned left_out;
	struct resolution_server *servers; /* owned */
	unsigned server_count;
	struct resolution_lookup *lookups; /* owned; each host and type once */
	unsigned lookup_count;
};
void resolution_result_free(struct resolution_result *result);

struct resolution;

/* The result may be taken (leave it zeroed); else it goes with the resolution. The resolution may be destroyed
 * from inside. */
typedef void resolution_done_fn(void *arg, struct resolution_result *result);
/* name and its host, and ways, are copied; done is called once, never from inside. -ENOMEM. */
int resolution_start(struct loop *loop, const struct resolution_ways *ways,
                     const struct resolution_name *name, resolution_done_fn *done, void *arg,
                     struct resolution **out);
/* While questions are under way only after who would answer them (resolver_destroy), or once done. */
void resolution_destroy(struct resolution **resolution);

#endif
