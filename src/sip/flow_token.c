/*
 * The edge token: 32 bytes (version, node, worker, flow, generation, epoch, MAC) as 43 letters of
 * base64url. RFC 5626 5.2, RFC 4648 5.
 */
#include "sip/flow_token.h"

#include "token_key.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/error.h"

#define MAC_BYTES 10 /* 80 bits */
/* Makes the first letter 'B' and the second one of 'A'..'P'; another layout takes another. */
#define VERSION_BYTE 0x04
#define FIELD_BYTES (1 + 4 + 1 + 8 + 4 + 4)
#define TOKEN_BYTES (FIELD_BYTES + MAC_BYTES)
#define TOKEN_LETTERS 43

_Static_assert(TOKEN_LETTERS < FLOW_TOKEN_TEXT_MAX, "and a NUL");

/* FNV-1a: known to all, since a node must know the tokens of its earlier lives by it; what keeps
 * others from making one up is the MAC. */
uint32_t flow_token_node_id(struct slice node_name)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < node_name.length; i++)
		hash = (hash ^ (uint8_t)node_name.data[i]) * 16777619u;
	return hash;
}

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

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int letter_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

size_t flow_token_write(const struct flow_token *token, char text[FLOW_TOKEN_TEXT_MAX])
{
	uint8_t raw[TOKEN_BYTES + 1] = {0}, mac[SHA256_DIGEST_LENGTH], *at = raw;
	size_t n = 0;

	ASSERT(token_key(TOKEN_KEY_CURRENT)->is_set);
	*at++ = VERSION_BYTE;
	at = put_number(at, token->node, 4);
	at = put_number(at, token->worker, 1);
	at = put_number(at, token->flow, 8);
	at = put_number(at, token->generation, 4);
	at = put_number(at, token->epoch, 4);
	mac_key_sum(&token_key(TOKEN_KEY_CURRENT)->token, raw, FIELD_BYTES, mac);
	memcpy(at, mac, MAC_BYTES);
	for (size_t i = 0; n < TOKEN_LETTERS; i += 3) {
		uint32_t three = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];

		for (int shift = 18; shift >= 0 && n < TOKEN_LETTERS; shift -= 6)
			text[n++] = letters[three >> shift & 63];
	}
	text[n] = '\0';
	return n;
}

/* 43 letters into 32 bytes; the two bits left over come last. False: not our letters. */
static bool decode(struct slice text, uint8_t raw[TOKEN_BYTES], unsigned *left_over)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t n = 0;

	if (text.length != TOKEN_LETTERS)
		return false;
	for (size_t i = 0; i < TOKEN_LETTERS; i++) {
		int value = letter_value(text.data[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			raw[n++] = (uint8_t)(bits >> held);
		}
	}
	*left_over = bits & 3;
	return raw[0] == VERSION_BYTE;
}

/*
 * The MAC costs more than all else of a request within a dialog, where the same token comes in every message
 * and is looked at more than once. So each thread remembers the whole of those that agreed lately.
 */
#define TOKENS_AGREED 1024
static _Thread_local uint8_t agreed[TOKENS_AGREED][TOKEN_BYTES];
static _Thread_local unsigned agreed_under; /* token_key_times_set then */

static uint8_t *agreed_place(const uint8_t raw[TOKEN_BYTES])
{
	uint16_t place;

	if (agreed_under != token_key_times_set()) {
		memset(agreed, 0, sizeof(agreed));
		agreed_under = token_key_times_set();
	}
	memcpy(&place, raw + FIELD_BYTES, sizeof(place)); /* of the MAC: as good as random */
	return agreed[place % TOKENS_AGREED];
}

static bool mac_agrees(enum token_key_age age, const uint8_t raw[TOKEN_BYTES])
{
	const struct token_key *key = token_key(age);
	uint8_t mac[SHA256_DIGEST_LENGTH];

	if (!key->is_set)
		return false;
	mac_key_sum(&key->token, raw, FIELD_BYTES, mac);
	return CRYPTO_memcmp(mac, raw + FIELD_BYTES, MAC_BYTES) == 0;
}

enum flow_token_verdict flow_token_read(struct slice text, struct flow_token *out)
{
	uint8_t raw[TOKEN_BYTES];
	const uint8_t *at = raw + 1;
	uint64_t number;
	unsigned left_over;

	memset(out, 0, sizeof(*out));
	if (!decode(text, raw, &left_over))
		return FLOW_TOKEN_NOT_OURS;
	if (left_over != 0) /* one token, one spelling */
		return FLOW_TOKEN_FORGED;
	if (CRYPTO_memcmp(agreed_place(raw), raw, TOKEN_BYTES) != 0) {
		if (!mac_agrees(TOKEN_KEY_CURRENT, raw) && !mac_agrees(TOKEN_KEY_PREVIOUS, raw))
			return FLOW_TOKEN_FORGED;
		memcpy(agreed_place(raw), raw, TOKEN_BYTES);
	}
	at = get_number(at, 4, &number);
	out->node = (uint32_t)number;
	at = get_number(at, 1, &number);
	out->worker = (uint8_t)number;
	at = get_number(at, 8, &out->flow);
	at = get_number(at, 4, &number);
	out->generation = (uint32_t)number;
	get_number(at, 4, &number);
	out->epoch = (uint32_t)number;
	return FLOW_TOKEN_VALID;
}
