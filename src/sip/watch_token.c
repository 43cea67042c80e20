/*
 * The token of a subscription of ours: 24 bytes (version, worker, epoch, id, MAC) as 32 letters of base64url.
 * RFC 4648 5.
 */
/* token_key.c says why. */
#define OPENSSL_API_COMPAT 0x10100000L

#include "sip/watch_token.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/error.h"
#include "token_key.h"

#define MAC_BYTES 10 /* 80 bits */
/* Makes the first letter 'F'; flow tokens begin with 'B', those of peers with 'D'. */
#define VERSION_BYTE 0x14
#define FIELD_BYTES (1 + 1 + 4 + 8)
#define TOKEN_BYTES (FIELD_BYTES + MAC_BYTES)
#define TOKEN_LETTERS 32
/* We write the Call-IDs ourselves, and shorter ones. */
#define CALL_ID_MAX 64

_Static_assert(TOKEN_LETTERS * 6 == TOKEN_BYTES * 8, "whole letters");
_Static_assert(TOKEN_LETTERS < WATCH_TOKEN_TEXT_MAX, "and a NUL");

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

static void sum(enum token_key_age age, const uint8_t fields[FIELD_BYTES], struct slice call_id,
                uint8_t mac[SHA256_DIGEST_LENGTH])
{
	uint8_t all[FIELD_BYTES + CALL_ID_MAX];

	memcpy(all, fields, FIELD_BYTES);
	memcpy(all + FIELD_BYTES, call_id.data, call_id.length);
	mac_key_sum(&token_key(age)->token, all, FIELD_BYTES + call_id.length, mac);
}

size_t watch_token_write(const struct watch_token *token, struct slice call_id,
                         char text[WATCH_TOKEN_TEXT_MAX])
{
	uint8_t raw[TOKEN_BYTES], mac[SHA256_DIGEST_LENGTH], *at = raw;
	size_t n = 0;

	ASSERT(call_id.length > 0 && call_id.length <= CALL_ID_MAX);
	*at++ = VERSION_BYTE;
	at = put_number(at, token->worker, 1);
	at = put_number(at, token->epoch, 4);
	at = put_number(at, token->id, 8);
	sum(TOKEN_KEY_CURRENT, raw, call_id, mac);
	memcpy(at, mac, MAC_BYTES);
	for (size_t i = 0; i < TOKEN_BYTES; i += 3) {
		uint32_t three = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];

		for (int shift = 18; shift >= 0; shift -= 6)
			text[n++] = letters[three >> shift & 63];
	}
	text[n] = '\0';
	return n;
}

/* 32 letters into 24 bytes. False: not our letters. */
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

static bool mac_agrees(enum token_key_age age, const uint8_t raw[TOKEN_BYTES], struct slice call_id)
{
	uint8_t mac[SHA256_DIGEST_LENGTH];

	if (!token_key(age)->is_set || call_id.length == 0 || call_id.length > CALL_ID_MAX)
		return false;
	sum(age, raw, call_id, mac);
	return CRYPTO_memcmp(mac, raw + FIELD_BYTES, MAC_BYTES) == 0;
}

enum flow_token_verdict watch_token_read(struct slice text, struct slice call_id,
                                         struct watch_token *out)
{
	uint8_t raw[TOKEN_BYTES];
	const uint8_t *at = raw + 1;
	uint64_t number;

	memset(out, 0, sizeof(*out));
	if (!decode(text, raw))
		return FLOW_TOKEN_NOT_OURS;
	if (!mac_agrees(TOKEN_KEY_CURRENT, raw, call_id) &&
	    !mac_agrees(TOKEN_KEY_PREVIOUS, raw, call_id))
		return FLOW_TOKEN_FORGED;
	at = get_number(at, 1, &number);
	out->worker = (uint8_t)number;
	at = get_number(at, 4, &number);
	out->epoch = (uint32_t)number;
	get_number(at, 8, &out->id);
	return FLOW_TOKEN_VALID;
}
