/*
 * Via: reading it, and minting ours. Pure but for the worker's branch source.
 * RFC 3261 8.1.1.7, 16.6 step 8, 18.2, 20.42; RFC 3581.
 */
#include "sip/via.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/random.h"
#include "sip/message.h"
#include "sip_internal.h"

#define SIP_PORT 5060
#define SIPS_PORT 5061
#define BRANCH_PREFIX "z9hG4bK-b"
/* prefix, 2 digits, '-', 16 digits, '-', 16 digits */
#define BRANCH_LENGTH (sizeof(BRANCH_PREFIX) - 1 + 2 + 1 + 16 + 1 + 16)

static const struct {
	const char *name, *via_name;
} transports[TRANSPORTS] = {
	[TRANSPORT_UDP] = {"udp", "UDP"}, [TRANSPORT_TCP] = {"tcp", "TCP"},
	[TRANSPORT_TLS] = {"tls", "TLS"}, [TRANSPORT_WS] = {"ws", "WS"},
	[TRANSPORT_WSS] = {"wss", "WSS"},
};

const char *transport_name(enum sip_transport transport)
{
	return (unsigned)transport < TRANSPORTS ? transports[transport].name : "unknown";
}

const char *transport_uri_name(enum sip_transport transport)
{
	return transport_name(transport == TRANSPORT_WSS ? TRANSPORT_WS : transport);
}

const char *transport_via_name(enum sip_transport transport)
{
	return (unsigned)transport < TRANSPORTS ? transports[transport].via_name : "unknown";
}

bool transport_from_name(struct slice name, enum sip_transport *out)
{
	for (int i = 0; i < TRANSPORTS; i++) {
		if (slice_equal_nocase(name, slice_from_string(transports[i].name))) {
			*out = (enum sip_transport)i;
			return true;
		}
	}
	return false;
}

/* ---- reading ---- */

/* "SIP / 2.0 / UDP": leaves *rest at the sent-by. */
static bool read_protocol(struct slice text, struct slice *transport, struct slice *rest)
{
	struct slice name = slice_trim(slice_split(text, '/', &text));
	struct slice version = slice_trim(slice_split(text, '/', &text));
	size_t n = 0;

	text = slice_trim(text);
	while (n < text.length && !slice_is_blank(text.data[n]))
		n++;
	*transport = slice_of(text.data, n);
	*rest = slice_trim(slice_skip(text, n));
	return slice_is_token(name) && slice_is_token(version) && slice_is_token(*transport);
}

/* Sent-by allows blanks round its colon. */
static bool read_sent_by(struct slice text, struct via *out)
{
	struct slice rest;
	uint64_t port;

	text = slice_trim(text);
	if (!host_port_parse(text, &out->host, &out->port, &rest))
		return false;
	rest = slice_trim(rest);
	if (rest.length == 0)
		return true;
	if (rest.data[0] != ':' || out->port != 0 ||
	    !slice_to_uint(slice_trim(slice_skip(rest, 1)), UINT16_MAX, &port) || port == 0)
		return false;
	out->port = (uint16_t)port;
	return true;
}

bool via_parse(struct slice text, struct via *out)
{
	struct slice rest, params;
	struct param param;
	uint64_t port;
	size_t cut;

	memset(out, 0, sizeof(*out));
	if (!read_protocol(text, &out->transport, &rest))
		return false;
	cut = value_skip(rest, 0, ';');
	params = slice_skip(rest, cut);
	if (!read_sent_by(slice_of(rest.data, cut), out))
		return false;
	while (params_next(&params, &param)) {
		if (slice_equal_nocase(param.name, SLICE_LITERAL("branch"))) {
			out->branch = param.value;
		} else if (slice_equal_nocase(param.name, SLICE_LITERAL("received"))) {
			out->received = param.value;
			if (out->received.length > 2 && out->received.data[0] == '[')
				out->received =
					slice_of(param.value.data + 1, param.value.length - 2);
		} else if (slice_equal_nocase(param.name, SLICE_LITERAL("rport"))) {
			out->has_rport = true;
			if (slice_to_uint(param.value, UINT16_MAX, &port))
				out->rport = (uint16_t)port;
		} else if (slice_equal_nocase(param.text, SLICE_LITERAL("keep"))) {
			out->asks_keep = true;
		}
	}
	return true;
}

bool via_reply_address(const struct via *via, struct address *out)
{
	enum sip_transport transport;
	uint16_t port = via->rport != 0 ? via->rport : via->port;

	if (port == 0) {
		port = SIP_PORT;
		if (transport_from_name(via->transport, &transport) && transport == TRANSPORT_TLS)
			port = SIPS_PORT;
	}
	return address_parse_host(via->received.length > 0 ? via->received : via->host, port, out);
}

/* ---- branches ---- */

void branch_source_init(struct branch_source *source, uint8_t worker)
{
	source->worker = worker;
	source->next = random_u64();
}

static char *put_hex(char *at, uint64_t number, int digits)
{
	static const char hex[] = "0123456789abcdef";

	for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
		*at++ = hex[(number >> shift) & 15];
	return at;
}

void branch_mint(struct branch_source *source, uint64_t loop_hash_value, char text[BRANCH_TEXT_MAX])
{
	uint64_t counter = source->next++;
	char *at = text;

	memcpy(at, BRANCH_PREFIX, sizeof(BRANCH_PREFIX) - 1);
	at = put_hex(at + sizeof(BRANCH_PREFIX) - 1, source->worker, 2);
	*at++ = '-';
	at = put_hex(at, counter, 16);
	*at++ = '-';
	at = put_hex(at, loop_hash_value, 16);
	*at = '\0';
}

static bool read_hex(const char *text, int digits, uint64_t *out)
{
	uint64_t number = 0;

	for (int i = 0; i < digits; i++) {
		char c = text[i];

		if (c >= '0' && c <= '9')
			number = number << 4 | (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			number = number << 4 | (uint64_t)(c - 'a' + 10);
		else
			return false;
	}
	*out = number;
	return true;
}

bool branch_read(struct slice branch, uint8_t *worker, uint64_t *unique, uint64_t *loop_hash_value)
{
	const char *at;
	uint64_t w, u, h;

	if (branch.length != BRANCH_LENGTH ||
	    !slice_starts_with(branch, SLICE_LITERAL(BRANCH_PREFIX)))
		return false;
	at = branch.data + sizeof(BRANCH_PREFIX) - 1;
	if (!read_hex(at, 2, &w) || at[2] != '-' || !read_hex(at + 3, 16, &u) || at[19] != '-' ||
	    !read_hex(at + 20, 16, &h))
		return false;
	if (worker != NULL)
		*worker = (uint8_t)w;
	if (unique != NULL)
		*unique = u;
	if (loop_hash_value != NULL)
		*loop_hash_value = h;
	return true;
}

/* ---- loops ---- */

static uint64_t hash_part(uint64_t seed, struct slice part)
{
	return part.length > 0 ? hash_more(seed, part.data, part.length) : seed;
}

uint64_t loop_hash(const struct message *request)
{
	/* With the lengths, so that no two lists of parts run into the same bytes. */
	const uint64_t head[] = {request->cseq, request->request_uri.length,
	                         request->call_id.length, request->from_tag.length,
	                         request->to_tag.length};
	uint64_t hash = hash_bytes(head, sizeof(head));
	const struct line *route = NULL;

	while ((route = message_line(request, LINE_ROUTE, route)) != NULL) {
		hash = hash_more(hash, &route->value.length, sizeof(route->value.length));
		hash = hash_part(hash, route->value);
		route++;
	}
	hash = hash_part(hash, request->request_uri);
	hash = hash_part(hash, request->call_id);
	hash = hash_part(hash, request->from_tag);
	return hash_part(hash, request->to_tag);
}

bool loop_detected(const struct message *request, uint64_t hash)
{
	const struct line *line = NULL;
	uint64_t carried;
	struct via via;

	while ((line = message_line(request, LINE_VIA, line)) != NULL) {
		struct slice rest = line->value, value;

		/* Hardly ever is one of ours among them. */
		if (memmem(rest.data, rest.length, BRANCH_PREFIX, sizeof(BRANCH_PREFIX) - 1) ==
		    NULL)
			rest = SLICE_NONE;
		while (value_next(&rest, &value)) {
			if (via_parse(value, &via) &&
			    branch_read(via.branch, NULL, NULL, &carried) && carried == hash)
				return true;
		}
		line++;
	}
	return false;
}
