/*
 * The token of a subscription of ours: 24 bytes (version, worker, epoch, id, MAC) as 32 letters of base64url.
 * RFC 4648 5.
 */
#include "sip/watch_token.h"

#include <string.h>

#include "base/error.h"
#include "token_form.h"

/* Makes the first letter 'F'; flow tokens begin with 'B', those of peers with 'D'. */
#define VERSION_BYTE 0x14
#define FIELD_BYTES (1 + 1 + 4 + 8)
#define TOKEN_BYTES (FIELD_BYTES + TOKEN_MAC_BYTES)
/* We write the Call-IDs ourselves, and shorter ones. */
#define CALL_ID_MAX 64

_Static_assert(TOKEN_BYTES % 3 == 0, "whole letters");
_Static_assert(TOKEN_LETTERS_OF(TOKEN_BYTES) < WATCH_TOKEN_TEXT_MAX, "and a NUL");

size_t watch_token_write(const struct watch_token *token, struct slice call_id,
                         char text[WATCH_TOKEN_TEXT_MAX])
{
	uint8_t raw[TOKEN_BYTES], *at = raw;

	ASSERT(call_id.length > 0 && call_id.length <= CALL_ID_MAX);
	*at++ = VERSION_BYTE;
	at = token_put(at, token->worker, 1);
	at = token_put(at, token->epoch, 4);
	token_put(at, token->id, 8);
	token_seal(raw, FIELD_BYTES, call_id);
	return token_letters_write(raw, TOKEN_BYTES, text);
}

enum flow_token_verdict watch_token_read(struct slice text, struct slice call_id,
                                         struct watch_token *out)
{
	uint8_t raw[TOKEN_BYTES];
	const uint8_t *at = raw + 1;
	uint64_t number;
	unsigned left_over;

	memset(out, 0, sizeof(*out));
	if (!token_letters_read(text, raw, TOKEN_BYTES, &left_over) || raw[0] != VERSION_BYTE)
		return FLOW_TOKEN_NOT_OURS;
	if (call_id.length == 0 || call_id.length > CALL_ID_MAX ||
	    !token_is_sealed(raw, FIELD_BYTES, call_id))
		return FLOW_TOKEN_FORGED;
	at = token_get(at, 1, &number);
	out->worker = (uint8_t)number;
	at = token_get(at, 4, &number);
	out->epoch = (uint32_t)number;
	token_get(at, 8, &out->id);
	return FLOW_TOKEN_VALID;
}
