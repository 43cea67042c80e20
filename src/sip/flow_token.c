/*
 * The edge token: 32 bytes (version, node, worker, flow, generation, epoch, MAC) as 43 letters of
 * base64url. RFC 5626 5.2, RFC 4648 5.
 */
#include "sip/flow_token.h"

#include <openssl/crypto.h>
#include <string.h>

#include "token_form.h"
#include "token_key.h"

/* Makes the first letter 'B' and the second one of 'A'..'P'; another layout takes another. */
#define VERSION_BYTE 0x04
#define FIELD_BYTES (1 + 4 + 1 + 8 + 4 + 4)
#define TOKEN_BYTES (FIELD_BYTES + TOKEN_MAC_BYTES)

_Static_assert(TOKEN_LETTERS_OF(TOKEN_BYTES) < FLOW_TOKEN_TEXT_MAX, "and a NUL");

/* FNV-1a: known to all, since a node must know the tokens of its earlier lives by it; what keeps
 * others from making one up is the MAC. */
uint32_t flow_token_node_id(struct slice node_name)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < node_name.length; i++)
		hash = (hash ^ (uint8_t)node_name.data[i]) * 16777619u;
	return hash;
}

size_t flow_token_write(const struct flow_token *token, char text[FLOW_TOKEN_TEXT_MAX])
{
	uint8_t raw[TOKEN_BYTES], *at = raw;

	*at++ = VERSION_BYTE;
	at = token_put(at, token->node, 4);
	at = token_put(at, token->worker, 1);
	at = token_put(at, token->flow, 8);
	at = token_put(at, token->generation, 4);
	token_put(at, token->epoch, 4);
	token_seal(raw, FIELD_BYTES, SLICE_NONE);
	return token_letters_write(raw, TOKEN_BYTES, text);
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

enum flow_token_verdict flow_token_read(struct slice text, struct flow_token *out)
{
	uint8_t raw[TOKEN_BYTES];
	const uint8_t *at = raw + 1;
	uint64_t number;
	unsigned left_over;

	memset(out, 0, sizeof(*out));
	if (!token_letters_read(text, raw, TOKEN_BYTES, &left_over) || raw[0] != VERSION_BYTE)
		return FLOW_TOKEN_NOT_OURS;
	if (left_over != 0) /* one token, one spelling */
		return FLOW_TOKEN_FORGED;
	if (CRYPTO_memcmp(agreed_place(raw), raw, TOKEN_BYTES) != 0) {
		if (!token_is_sealed(raw, FIELD_BYTES, SLICE_NONE))
			return FLOW_TOKEN_FORGED;
		memcpy(agreed_place(raw), raw, TOKEN_BYTES);
	}
	at = token_get(at, 4, &number);
	out->node = (uint32_t)number;
	at = token_get(at, 1, &number);
	out->worker = (uint8_t)number;
	at = token_get(at, 8, &out->flow);
	at = token_get(at, 4, &number);
	out->generation = (uint32_t)number;
	token_get(at, 4, &number);
	out->epoch = (uint32_t)number;
	return FLOW_TOKEN_VALID;
}
