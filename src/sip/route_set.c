/*
 * The mark in our Record-Route entry: which route set we gave to whom. See sip/route_set.h. Any thread.
 */
#include "sip/route_set.h"

#include "token_key.h"

#include <openssl/crypto.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "sip_internal.h"

#define REGISTRATION_BYTES 5
#define MAC_BYTES 10 /* 80 bits, as a flow token has */
#define MARK_BYTES (REGISTRATION_BYTES + MAC_BYTES)
#define MARK_LETTERS (ROUTE_SET_MARK_SIZE - 1)
/* A proxy's entry has a handful. */
#define PARAMS_MAX 16
/* A request may pass 70 proxies (RFC 3261 20.22); one that stays in the path of so many is none. */
#define ENTRIES_MAX 64

/* ---- the registration ---- */

static void name_registration(const struct token_key *key, struct slice aor, struct slice instance,
                              uint32_t reg_id, uint8_t out[REGISTRATION_BYTES])
{
	uint64_t parts[2], name;

	memset(out, 0, REGISTRATION_BYTES);
	if (slice_is_empty(instance) || reg_id == 0)
		return;
	parts[0] = hash_keyed(key->registration, reg_id, aor.data, aor.length);
	parts[1] = hash_keyed(key->registration, 0, instance.data, instance.length);
	name = hash_keyed(key->registration, 1, parts, sizeof(parts));
	memcpy(out, &name, REGISTRATION_BYTES);
}

void route_set_registration(struct slice aor, struct slice instance, uint32_t reg_id,
                            struct route_set_registration *out)
{
	out->is_of_previous_key = false;
	name_registration(token_key(TOKEN_KEY_CURRENT), aor, instance, reg_id, out->bytes);
}

bool route_set_registration_is(const struct route_set_registration *given, struct slice aor,
                               struct slice instance, uint32_t reg_id)
{
	static const uint8_t none[REGISTRATION_BYTES];
	enum token_key_age age = given->is_of_previous_key ? TOKEN_KEY_PREVIOUS : TOKEN_KEY_CURRENT;
	uint8_t name[REGISTRATION_BYTES];

	name_registration(token_key(age), aor, instance, reg_id, name);
	return memcmp(name, none, sizeof(name)) != 0 &&
	       CRYPTO_memcmp(name, given->bytes, sizeof(name)) == 0;
}

/* ---- the entries, in one spelling ---- */

static void put(struct route_set *set, char c)
{
	if (set->length == ROUTE_SET_TEXT_MAX)
		set->failed = true;
	else
		set->text[set->length++] = c;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static char lower_of(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Nearly every text: nothing in it has to be looked at twice, and there is room. */
static bool put_plain_text(struct route_set *set, struct slice s, bool lower)
{
	char *at = set->text + set->length;
	size_t i;

	if (s.length >= ROUTE_SET_TEXT_MAX - set->length)
		return false;
	for (i = 0; i < s.length && s.data[i] != '%' && s.data[i] != '\0'; i++)
		at[i] = lower ? lower_of(s.data[i]) : s.data[i];
	if (i < s.length)
		return false;
	at[i] = '\0';
	set->length += i + 1;
	return true;
}

/* Without escapes, ended by a NUL, which no part of an entry may hold. */
static void put_text(struct route_set *set, struct slice s, bool lower)
{
	if (put_plain_text(set, s, lower))
		return;
	for (size_t i = 0; i < s.length; i++) {
		char c = s.data[i];

		if (c == '%' && i + 2 < s.length && hex_value(s.data[i + 1]) >= 0 &&
		    hex_value(s.data[i + 2]) >= 0) {
			c = (char)(hex_value(s.data[i + 1]) << 4 | hex_value(s.data[i + 2]));
			i += 2;
		}
		if (c == '\0')
			set->failed = true;
		put(set, lower ? lower_of(c) : c);
	}
	put(set, '\0');
}

static int compare_nocase(struct slice a, struct slice b)
{
	for (size_t i = 0; i < a.length && i < b.length; i++) {
		int x = a.data[i] >= 'A' && a.data[i] <= 'Z' ? a.data[i] + 32 : a.data[i];
		int y = b.data[i] >= 'A' && b.data[i] <= 'Z' ? b.data[i] + 32 : b.data[i];

		if (x != y)
			return x - y;
	}
	return a.length < b.length ? -1 : a.length > b.length;
}

static void put_params(struct route_set *set, struct slice params)
{
	struct param sorted[PARAMS_MAX], param;
	unsigned count = 0;

	while (params_next(&params, &param)) {
		unsigned at = count;

		if (count == PARAMS_MAX) {
			set->failed = true;
			return;
		}
		for (; at > 0 && compare_nocase(param.name, sorted[at - 1].name) < 0; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = param;
		count++;
	}
	put(set, (char)count);
	for (unsigned i = 0; i < count; i++) {
		/* lr is sometimes given a value for the sake of those who would drop it without. */
		bool is_lr = slice_equal_nocase(sorted[i].name, SLICE_LITERAL("lr"));

		put_text(set, sorted[i].name, true);
		put_text(set, is_lr ? SLICE_NONE : sorted[i].value, true);
	}
}

void route_set_begin(struct route_set *set)
{
	set->length = 0;
	set->count = 0;
	set->failed = false;
}

void route_set_add(struct route_set *set, const struct uri *uri)
{
	if (set->count == ENTRIES_MAX)
		set->failed = true;
	if (set->failed)
		return;
	set->count++;
	put_text(set, uri->scheme_text, true);
	put_text(set, uri->user, false);
	put_text(set, uri->password, false);
	put_text(set, uri->host, true);
	put(set, (char)(uri->port >> 8));
	put(set, (char)uri->port);
	put_params(set, uri->params);
	put_text(set, uri->headers, false);
}

/* ---- the mark ---- */

/* What is under the MAC is read from its end: so much for the registration, the token, which holds no NUL,
 * one byte for the count; and before it the entries. */
static bool sum(struct route_set *set, const struct mac_key *key, struct slice token,
                const uint8_t registration[REGISTRATION_BYTES], uint8_t mac[MAC_BYTES])
{
	uint8_t whole[SHA256_DIGEST_LENGTH];
	size_t length = set->length;
	bool failed;

	put(set, (char)set->count);
	put(set, '\0');
	put_text(set, token, false);
	for (unsigned i = 0; i < REGISTRATION_BYTES; i++)
		put(set, (char)registration[i]);
	failed = set->failed;
	if (!failed)
		mac_key_sum(key, set->text, set->length, whole);
	set->length = length;
	if (!failed)
		memcpy(mac, whole, MAC_BYTES);
	return !failed;
}

static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

static void write_letters(const uint8_t raw[MARK_BYTES], char mark[ROUTE_SET_MARK_SIZE])
{
	uint32_t bits = 0;
	unsigned held = 0;

	for (unsigned i = 0; i < MARK_BYTES; i++) {
		bits = bits << 8 | raw[i];
		for (held += 8; held >= 5; held -= 5)
			*mark++ = letters[bits >> (held - 5) & 31];
	}
	*mark = '\0';
}

static bool read_letters(struct slice mark, uint8_t raw[MARK_BYTES])
{
	uint32_t bits = 0;
	unsigned held = 0;

	if (mark.length != MARK_LETTERS)
		return false;
	for (size_t i = 0; i < mark.length; i++) {
		char c = mark.data[i];
		unsigned value;

		if (c >= '2' && c <= '7')
			value = (unsigned)(c - '2') + 26;
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z')
			value = (unsigned)((c | 0x20) - 'a');
		else
			return false;
		bits = bits << 5 | value;
		held += 5;
		if (held >= 8) {
			held -= 8;
			*raw++ = (uint8_t)(bits >> held);
		}
	}
	return true;
}

bool route_set_mark(struct route_set *set, struct slice token,
                    const struct route_set_registration *registration,
                    char mark[ROUTE_SET_MARK_SIZE])
{
	uint8_t raw[MARK_BYTES];

	ASSERT(token_key(TOKEN_KEY_CURRENT)->is_set);
	memcpy(raw, registration->bytes, REGISTRATION_BYTES);
	if (!sum(set, &token_key(TOKEN_KEY_CURRENT)->route_set, token, raw,
	         raw + REGISTRATION_BYTES))
		return false;
	write_letters(raw, mark);
	return true;
}

static bool agrees(struct route_set *set, enum token_key_age age, struct slice token,
                   const uint8_t raw[MARK_BYTES])
{
	const struct token_key *key = token_key(age);
	uint8_t mac[MAC_BYTES];

	return key->is_set && sum(set, &key->route_set, token, raw, mac) &&
	       CRYPTO_memcmp(mac, raw + REGISTRATION_BYTES, MAC_BYTES) == 0;
}

bool route_set_check(struct route_set *set, struct slice token, struct slice mark,
                     struct route_set_registration *registration)
{
	uint8_t raw[MARK_BYTES];

	if (!read_letters(mark, raw))
		return false;
	registration->is_of_previous_key = false;
	if (!agrees(set, TOKEN_KEY_CURRENT, token, raw)) {
		if (!agrees(set, TOKEN_KEY_PREVIOUS, token, raw))
			return false;
		registration->is_of_previous_key = true;
	}
	memcpy(registration->bytes, raw, REGISTRATION_BYTES);
	return true;
}
