/*
 * URIs and name-addrs as values over slices; no allocation. Pure.
 * RFC 3261 19.1, 20.10, 25.1.
 */
#ifndef BONO_SIP_URI_H
#define BONO_SIP_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

enum uri_scheme { URI_SIP, URI_SIPS, URI_TEL, URI_URN, URI_OTHER };

struct uri {
	struct slice text; /* the whole URI as written */
	enum uri_scheme scheme;
	struct slice scheme_text;
	struct slice user;     /* without password; empty: none. tel: the number */
	struct slice password; /* empty: none */
	struct slice host;     /* IPv6 without brackets; empty for tel and other schemes */
	uint16_t port;         /* 0: none written */
	struct slice params;   /* behind the first ';' of the URI, without it */
	struct slice headers;  /* behind '?', without it */
};

/* False: not a URI (no scheme), or a sip(s) URI whose host or port is broken. */
bool uri_parse(struct slice text, struct uri *out);
/* Parameter by name, case-blind. True if present; *value (may be NULL) is empty for a flag. */
bool uri_param(const struct uri *uri, const char *name, struct slice *value);
/* RFC 3261 19.1.4: user with case (escapes decoded), host without, port. Parameters:
 * transport, user, ttl, method, maddr must agree; others if both have them. */
bool uri_equal(const struct uri *a, const struct uri *b);
/* An address-of-record in one spelling for tables: "sip:user@host" with escapes decoded where allowed,
 * host in lower case, no parameters, no port, no password; "tel:+1..." without visual separators. */
void uri_canonical(const struct uri *uri, struct buffer *out);

struct name_addr {
	struct slice text;    /* the whole value as written */
	struct slice display; /* without quotes; may be empty */
	struct uri uri;
	struct slice params; /* header parameters behind '>', without the first ';' */
};

bool name_addr_parse(struct slice text, struct name_addr *out);
bool name_addr_param(const struct name_addr *address, const char *name, struct slice *value);
/* The same over any ";a=b;c" text (leading ';' optional): quoted values come without quotes. */
bool params_find(struct slice params, const char *name, struct slice *value);

#endif
