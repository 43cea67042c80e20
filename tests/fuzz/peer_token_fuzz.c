/* The peer token: no bytes are taken for one under a key that never wrote them but in our own spelling. */
#include "sip/peer_token.h"

#include <string.h>

#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = {'f', 'u', 'z', 'z'};
	struct slice given = slice_of((const char *)data, size),
		     call_id = SLICE_LITERAL("fuzz@call");
	struct peer_token token = {.kind = PEER_TOKEN_TRUNK}, again;
	char text[PEER_TOKEN_TEXT_MAX];
	size_t length;

	flow_token_key_set(key);
	if (peer_token_read(given, call_id, &token) == FLOW_TOKEN_VALID) {
		length = peer_token_write(&token, call_id, text);
		ASSERT(slice_equal(slice_of(text, length), given));
	}
	if (size < 20)
		return 0;
	memset(&token, 0, sizeof(token));
	token.kind = (enum peer_token_kind)(data[0] % PEER_TOKEN_KINDS);
	token.transport = (enum sip_transport)(data[1] % TRANSPORTS);
	memcpy(&token.connection, data + 2, 8);
	token.address.v4.sin_family = AF_INET;
	memcpy(&token.address.v4.sin_addr, data + 10, 4);
	memcpy(&token.address.v4.sin_port, data + 14, 2);
	length = peer_token_write(&token, given, text);
	ASSERT(peer_token_read(slice_of(text, length), given, &again) == FLOW_TOKEN_VALID);
	ASSERT(again.connection == token.connection && again.kind == token.kind &&
	       address_equal(&again.address, &token.address));
	return 0;
}
