/*
 * A user part from anywhere is never a valid token unless we wrote it; and what we write is read back.
 */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "sip/flow_token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = {'f', 'u', 'z', 'z'};
	struct slice given = slice_of((const char *)data, size);
	struct flow_token token, again;
	char text[FLOW_TOKEN_TEXT_MAX];
	size_t length;

	flow_token_key_set(key);
	/* Should one ever be found, it must at least be the spelling that we would give it. */
	if (flow_token_read(given, &token) == FLOW_TOKEN_VALID) {
		length = flow_token_write(&token, text);
		ASSERT(slice_equal(slice_of(text, length), given));
	}
	memset(&token, 0, sizeof(token));
	if (size < 21)
		return 0;
	memcpy(&token.node, data, 4);
	token.worker = data[4];
	memcpy(&token.flow, data + 5, 8);
	memcpy(&token.generation, data + 13, 4);
	memcpy(&token.epoch, data + 17, 4);
	length = flow_token_write(&token, text);
	ASSERT(flow_token_read(slice_of(text, length), &again) == FLOW_TOKEN_VALID);
	ASSERT(again.node == token.node && again.worker == token.worker &&
	       again.flow == token.flow && again.generation == token.generation &&
	       again.epoch == token.epoch);
	return 0;
}
