/*
 * Which header may cross which border of the trust domain, and in which direction. The rules are one table
 * (src/proxy/trust_table.c); docs/TRUST.md is written from it.
 * RFC 3325, RFC 3323, RFC 7315, TS 24.229 4.4. Worker thread only, but for trust_init.
 */
#ifndef BONO_PROXY_TRUST_H
#define BONO_PROXY_TRUST_H

#include "base/buffer.h"
#include "sip/message.h"

/* The way a message takes through us; a response takes the way back of its request. */
enum crossing {
	CROSSING_CLIENT_TO_CORE,
	CROSSING_CORE_TO_CLIENT,
	CROSSING_TRUNK_TO_CORE,
	CROSSING_CORE_TO_TRUNK,
	CROSSING_PBX_TO_CORE,
	CROSSING_CORE_TO_PBX,
	CROSSINGS
};
/* The way of the responses to requests that go this way. */
enum crossing crossing_back(enum crossing crossing);

enum trust_rule {
	TRUST_PASS = '.',
	TRUST_STRIP = 'x',
	TRUST_SET = '=',     /* the sender's goes, ours may take its place */
	TRUST_PRIVACY = '?', /* goes if Privacy asks for one of the row's kinds */
	TRUST_PART = '-',    /* passes without a part of its value: the row's `part` */
};

/* Kinds of privacy that a message asks for: RFC 3323 4.2, RFC 3325 9.3, RFC 7044 10.1. */
enum {
	PRIVACY_HEADER = 1,
	PRIVACY_SESSION = 2,
	PRIVACY_USER = 4,
	PRIVACY_NONE = 8,
	PRIVACY_CRITICAL = 16,
	PRIVACY_ID = 32,
	PRIVACY_HISTORY = 64,
};
/* True if the request makes a kind of privacy critical that we, the last trusted element, cannot give. */
bool privacy_is_unavailable(const struct message *request);

/* What is taken out of the value of one header. */
enum trust_part {
	PART_NONE,
	PART_ACCESS_NETWORK, /* values of P-Access-Network-Info that claim to be the network's */
	PART_PRIORITY,       /* psap-callback */
	PART_HISTORY,        /* URIs of entries that ask for privacy */
	PART_AUTHORIZATION,  /* integrity-protected */
	PART_PROXY_AUTHORIZATION, /* the same */
	PART_WWW_AUTHENTICATE,    /* ck and ik */
	PART_PROXY_AUTHENTICATE,  /* the same */
	TRUST_PARTS
};

struct trust_row {
	struct slice name;
	/* One enum trust_rule for each crossing, in the order of enum crossing; NUL-terminated. */
	const char *request, *response;
	const char *why; /* the paragraphs */
	uint8_t privacy; /* TRUST_PRIVACY: any of these asks for it to go */
	uint8_t part;    /* TRUST_PART: enum trust_part */
};
/* Headers without a row pass everywhere. */
const struct trust_row *trust_rows(unsigned *count);
/* By name in its long form, any case; NULL: no row. */
const struct trust_row *trust_row_find(struct slice name);
/* Once before the first of the others; as often as one likes, from any thread. */
void trust_init(void);

/* Take from the message whatever may not cross this way. 0 or -ENOMEM (the message is not fit to be sent). */
int trust_apply(struct message *message, enum crossing crossing);

/* docs/TRUST.md; look at buffer->failed afterwards. */
void trust_write_docs(struct buffer *out);

#endif
