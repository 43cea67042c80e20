/*
 * Via: reading it, and minting ours. RFC 3261 8.1.1.7, 16.6 step 8, 18.2, 20.42; RFC 3581.
 *
 * Our branch is "z9hG4bK" "-b" WW "-" UUUUUUUUUUUUUUUU "-" HHHHHHHHHHHHHHHH in lower-case hex:
 * the worker that owns the transaction (2 digits), a number unique in the life of the process and not
 * guessable (random base plus counter), and the keyed loop hash of the request it forwards.
 */
#ifndef BONO_SIP_VIA_H
#define BONO_SIP_VIA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/slice.h"

enum sip_transport {
	TRANSPORT_UDP,
	TRANSPORT_TCP,
	TRANSPORT_TLS,
	TRANSPORT_WS,
	TRANSPORT_WSS,
	TRANSPORTS
};
const char *transport_name(enum sip_transport transport); /* "udp": labels, config */
/* In the transport parameter of a URI: "ws" for both kinds of WebSocket (RFC 7118 5.2.2). */
const char *transport_uri_name(enum sip_transport transport);
const char *transport_via_name(enum sip_transport transport); /* "UDP" */
/* Case-blind. */
bool transport_from_name(struct slice name, enum sip_transport *out);
static inline bool transport_is_stream(enum sip_transport transport)
{
	return transport != TRANSPORT_UDP;
}
static inline bool transport_is_tls(enum sip_transport transport)
{
	return transport == TRANSPORT_TLS || transport == TRANSPORT_WSS;
}

struct via {
	struct slice transport; /* "UDP" as written: may be a transport we do not know */
	struct slice host;      /* sent-by; IPv6 without brackets */
	uint16_t port;          /* 0: none written */
	struct slice branch;    /* empty: none */
	struct slice received;  /* empty: none */
	bool has_rport;         /* with or without value */
	uint16_t rport;         /* 0: no value */
	bool asks_keep;         /* `keep` without a value: RFC 6223 */
};

/* One Via value. False: no protocol or no usable sent-by; broken parameters are passed over. */
bool via_parse(struct slice text, struct via *out);

/* Where to answer, RFC 3261 18.2.2 and RFC 3581: received (or host literal) and rport, else the
 * sent-by port, else 5060. False: the host is a name without received. */
bool via_reply_address(const struct via *via, struct address *out);

#define BRANCH_TEXT_MAX 64

struct branch_source { /* one per worker */
	uint8_t worker;
	uint64_t next;
};
void branch_source_init(struct branch_source *source, uint8_t worker);
/* Writes the branch with its NUL. */
void branch_mint(struct branch_source *source, uint64_t loop_hash, char text[BRANCH_TEXT_MAX]);
/* True if the branch has our form; each out may be NULL. */
bool branch_read(struct slice branch, uint8_t *worker, uint64_t *unique, uint64_t *loop_hash);

struct message;
/* The keyed hash of Request-URI, all Routes, Call-ID, both tags and CSeq number of a request as it was
 * received; and whether one of its Vias carries that hash already (RFC 3261 16.3 step 4). */
uint64_t loop_hash(const struct message *request);
bool loop_detected(const struct message *request, uint64_t hash);

#endif
