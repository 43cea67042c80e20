/*
 * The peer token: 45 bytes (version, kind and transport, worker, listener, local, epoch, connection, address as
 * IPv6, port, MAC) as 60 letters of base64url. RFC 4648 5.
 */
/* token_key.c says why. */
#define OPENSSL_API_COMPAT 0x10100000L

#include "sip/peer_token.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/error.h"
#include "token_key.h"

#define MAC_BYTES 10 /* 80 bits */
/* Makes the first letter 'D'; flow tokens begin with 'B'. */
#define VERSION_BYTE 0x0c
#define FIELD_BYTES (1 + 1 + 1 + 1 + 1 + 4 + 8 + 16 + 2)
#define TOKEN_BYTES (FIELD_BYTES + MAC_BYTES)
#define TOKEN_LETTERS 60
/* Longer ones share their MAC with those that begin alike, which are the same sender's then. */
#define CALL_ID_MAX 256

_Static_assert(TOKEN_LETTERS * 6 == TOKEN_BYTES * 8, "whole letters");
_Static_assert(TOKEN_LETTERS < PEER_TOKEN_TEXT_MAX, "and a NUL");

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static uint8_t *put_number(uint8_t *at, uint64_t number, int bytes)
{
	for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
		*at++ = (uint8_t)(number >> shift);
	return at;
}

static const uint8_t *get_number(const uint8_t *at, int bytes, uint64_t *number)
{
	*number = 0;
	for (int i = 0; i < bytes; i++)
		*number = *number << 8 | *at++;
	return at;
}

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

static void sum(enum token_key_age age, const uint8_t fields[FIELD_BYTES], struct slice call_id,
                uint8_t mac[SHA256_DIGEST_LENGTH])
{
	uint8_t all[FIELD_BYTES + CALL_ID_MAX];
	size_t length = call_id.length < CALL_ID_MAX ? call_id.length : CALL_ID_MAX;

	memcpy(all, fields, FIELD_BYTES);
	if (length > 0)
		memcpy(all + FIELD_BYTES, call_id.data, length);
	mac_key_sum(&token_key(age)->token, all, FIELD_BYTES + length, mac);
}

size_t peer_token_write(const struct peer_token *token, struct slice call_id,
                        char text[PEER_TOKEN_TEXT_MAX])
{
	uint8_t raw[TOKEN_BYTES], mac[SHA256_DIGEST_LENGTH], *at = raw;
	size_t n = 0;

	*at++ = VERSION_BYTE;
	*at++ = (uint8_t)(token->kind << 4 | token->transport);
	*at++ = token->worker;
	*at++ = token->listener;
	*at++ = token->local;
	at = put_number(at, token->epoch, 4);
	at = put_number(at, token->connection, 8);
	put_address(at, &token->address);
	at = put_number(at + 16, address_port(&token->address), 2);
	sum(TOKEN_KEY_CURRENT, raw, call_id, mac);
	memcpy(at, mac, MAC_BYTES);
	for (size_t i = 0; n < TOKEN_LETTERS; i += 3) {
		uint32_t three = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];

		for (int shift = 18; shift >= 0 && n < TOKEN_LETTERS; shift -= 6)
			text[n++] = letters[three >> shift & 63];
	}
	text[n] = '\0';
	return n;
}

/* 60 letters into 45 bytes. False: not our letters. */
static bool decode(struct slice text, uint8_t raw[TOKEN_BYTES])
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t n = 0;

	if (text.length != TOKEN_LETTERS || text.data[0] != letters[VERSION_BYTE >> 2])
		return false;
	for (size_t i = 0; i < TOKEN_LETTERS; i++) {
		const char *letter = text.data[i] != '\0' ? strchr(letters, text.data[i]) : NULL;

		if (letter == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(letter - letters);
		held += 6;
		if (held >= 8) {
			held -= 8;
			raw[n++] = (uint8_t)(bits >> held);
		}
	}
	return raw[0] == VERSION_BYTE;
}

bool peer_token_has_form(struct slice text)
{
	uint8_t raw[TOKEN_BYTES];

	return decode(text, raw);
}

static bool mac_agrees(enum token_key_age age, const uint8_t raw[TOKEN_BYTES], struct slice call_id)
{
	uint8_t mac[SHA256_DIGEST_LENGTH];

	if (!token_key(age)->is_set)
		return false;
	sum(age, raw, call_id, mac);
	return CRYPTO_memcmp(mac, raw + FIELD_BYTES, MAC_BYTES) == 0;
}

enum flow_token_verdict peer_token_read(struct slice text, struct slice call_id,
                                        struct peer_token *out)
{
	uint8_t raw[TOKEN_BYTES];
	const uint8_t *at = raw + 5;
	uint64_t number;

	memset(out, 0, sizeof(*out));
	if (!decode(text, raw))
		return FLOW_TOKEN_NOT_OURS;
	if (!mac_agrees(TOKEN_KEY_CURRENT, raw, call_id) &&
	    !mac_agrees(TOKEN_KEY_PREVIOUS, raw, call_id))
		return FLOW_TOKEN_FORGED;
	out->kind = (enum peer_token_kind)(raw[1] >> 4);
	out->transport = (enum sip_transport)(raw[1] & 15);
	out->worker = raw[2];
	out->listener = raw[3];
	out->local = raw[4];
	at = get_number(at, 4, &number);
	out->epoch = (uint32_t)number;
	at = get_number(at, 8, &out->connection);
	get_number(at + 16, 2, &number);
	get_address(at, (uint16_t)number, &out->address);
	return FLOW_TOKEN_VALID;
}
