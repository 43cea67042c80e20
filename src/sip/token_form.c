/*
 * How the tokens that we mint are written. HMAC-SHA256 truncated to 80 bits (RFC 2104 5); base64url (RFC 4648 5).
 */
/* token_key.c says why. */
#define OPENSSL_API_COMPAT 0x10100000L

#include "token_form.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/error.h"
#include "token_key.h"

#define FIELD_BYTES_MAX 64

/* ---- numbers ---- */

uint8_t *token_put(uint8_t *at, uint64_t number, int bytes)
{
	for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
		*at++ = (uint8_t)(number >> shift);
	return at;
}

const uint8_t *token_get(const uint8_t *at, int bytes, uint64_t *number)
{
	*number = 0;
	for (int i = 0; i < bytes; i++)
		*number = *number << 8 | *at++;
	return at;
}

/* ---- the MAC ---- */

static void sum(const struct token_key *key, const uint8_t *fields, size_t field_bytes,
                struct slice bound, uint8_t mac[SHA256_DIGEST_LENGTH])
{
	uint8_t all[FIELD_BYTES_MAX + TOKEN_BOUND_MAX];
	size_t length = bound.length < TOKEN_BOUND_MAX ? bound.length : TOKEN_BOUND_MAX;

	ASSERT(key->is_set && field_bytes <= FIELD_BYTES_MAX);
	memcpy(all, fields, field_bytes);
	if (length > 0)
		memcpy(all + field_bytes, bound.data, length);
	mac_key_sum(&key->token, all, field_bytes + length, mac);
}

void token_seal(uint8_t *raw, size_t field_bytes, struct slice bound)
{
	uint8_t mac[SHA256_DIGEST_LENGTH];

	sum(token_key(TOKEN_KEY_CURRENT), raw, field_bytes, bound, mac);
	memcpy(raw + field_bytes, mac, TOKEN_MAC_BYTES);
}

bool token_is_sealed(const uint8_t *raw, size_t field_bytes, struct slice bound)
{
	uint8_t mac[SHA256_DIGEST_LENGTH];

	for (enum token_key_age age = TOKEN_KEY_CURRENT; age < TOKEN_KEYS; age++) {
		if (!token_key(age)->is_set)
			continue;
		sum(token_key(age), raw, field_bytes, bound, mac);
		if (CRYPTO_memcmp(mac, raw + field_bytes, TOKEN_MAC_BYTES) == 0)
			return true;
	}
	return false;
}

/* ---- letters ---- */

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

size_t token_letters_write(const uint8_t *raw, size_t bytes, char *text)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t n = 0;

	for (size_t i = 0; i < bytes; i++) {
		bits = bits << 8 | raw[i];
		for (held += 8; held >= 6; held -= 6)
			text[n++] = letters[bits >> (held - 6) & 63];
	}
	if (held > 0)
		text[n++] = letters[bits << (6 - held) & 63];
	text[n] = '\0';
	return n;
}

bool token_letters_read(struct slice text, uint8_t *raw, size_t bytes, unsigned *left_over)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t n = 0;

	if (text.length != TOKEN_LETTERS_OF(bytes))
		return false;
	for (size_t i = 0; i < text.length; i++) {
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
	*left_over = bits & ((1u << held) - 1);
	return true;
}
