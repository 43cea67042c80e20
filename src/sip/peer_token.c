/*
 * The peer token: 45 bytes (version, kind and transport, worker, listener, local, epoch, connection, address as
 * IPv6, port, MAC) as 60 letters of base64url. RFC 4648 5.
 */
#include "sip/peer_token.h"

#include <string.h>

#include "token_form.h"

/* Makes the first letter 'D'; flow tokens begin with 'B'. */
#define VERSION_BYTE 0x0c
#define FIELD_BYTES (1 + 1 + 1 + 1 + 1 + 4 + 8 + 16 + 2)
#define TOKEN_BYTES (FIELD_BYTES + TOKEN_MAC_BYTES)

_Static_assert(TOKEN_BYTES % 3 == 0, "whole letters");
_Static_assert(TOKEN_LETTERS_OF(TOKEN_BYTES) < PEER_TOKEN_TEXT_MAX, "and a NUL");

/* IPv4 as v4-mapped, so that a token has one length. */
static void put_address(uint8_t at[16], const struct address *address)
{
	memset(at, 0, 16);
	if (address->family == AF_INET) {
		at[10] = at[11] = 0xff;
		memcpy(at + 12, &address->v4.sin_addr, 4);
	} else {
		memcpy(at, &address->v6.sin6_addr, 16);
	}
}

static void get_address(const uint8_t at[16], uint16_t port, struct address *address)
{
	memset(address, 0, sizeof(*address));
	address->v6.sin6_family = AF_INET6;
	memcpy(&address->v6.sin6_addr, at, 16);
	address_set_port(address, port);
	address_normalise(address);
}

size_t peer_token_write(const struct peer_token *token, struct slice call_id,
                        char text[PEER_TOKEN_TEXT_MAX])
{
	uint8_t raw[TOKEN_BYTES], *at = raw;

	*at++ = VERSION_BYTE;
	*at++ = (uint8_t)(token->kind << 4 | token->transport);
	*at++ = token->worker;
	*at++ = token->listener;
	*at++ = token->local;
	at = token_put(at, token->epoch, 4);
	at = token_put(at, token->connection, 8);
	put_address(at, &token->address);
	token_put(at + 16, address_port(&token->address), 2);
	token_seal(raw, FIELD_BYTES, call_id);
	return token_letters_write(raw, TOKEN_BYTES, text);
}

static bool read_letters(struct slice text, uint8_t raw[TOKEN_BYTES])
{
	unsigned left_over;

	return token_letters_read(text, raw, TOKEN_BYTES, &left_over) && raw[0] == VERSION_BYTE;
}

bool peer_token_has_form(struct slice text)
{
	uint8_t raw[TOKEN_BYTES];

	return read_letters(text, raw);
}

enum flow_token_verdict peer_token_read(struct slice text, struct slice call_id,
                                        struct peer_token *out)
{
	uint8_t raw[TOKEN_BYTES];
	const uint8_t *at = raw + 5;
	uint64_t number;

	memset(out, 0, sizeof(*out));
	if (!read_letters(text, raw))
		return FLOW_TOKEN_NOT_OURS;
	if (!token_is_sealed(raw, FIELD_BYTES, call_id))
		return FLOW_TOKEN_FORGED;
	out->kind = (enum peer_token_kind)(raw[1] >> 4);
	out->transport = (enum sip_transport)(raw[1] & 15);
	out->worker = raw[2];
	out->listener = raw[3];
	out->local = raw[4];
	at = token_get(at, 4, &number);
	out->epoch = (uint32_t)number;
	at = token_get(at, 8, &out->connection);
	token_get(at + 16, 2, &number);
	get_address(at, (uint16_t)number, &out->address);
	return FLOW_TOKEN_VALID;
}
