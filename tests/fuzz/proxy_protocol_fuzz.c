/*
 * The header of a load balancer: no beginning of it may say what the whole does not, and what it asks for
 * must be enough to go on.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "transport/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_protocol_header header = {.length = 1}, whole;
	enum proxy_protocol_verdict verdict, wanted;
	size_t given = 0;

	wanted = proxy_protocol_read(slice_of((const char *)data, size), &whole);
	do {
		char *copy;

		if (header.length > size)
			break; /* it waits for what does not come */
		ASSERT(header.length > given);
		given = header.length;
		copy = malloc(given); /* of that length, so that a read behind it is seen */
		memcpy(copy, data, given);
		verdict = proxy_protocol_read(slice_of(copy, given), &header);
		free(copy);
	} while (verdict == PROXY_PROTOCOL_MORE);
	if (given == 0 || verdict == PROXY_PROTOCOL_MORE) {
		ASSERT(wanted != PROXY_PROTOCOL_DONE);
		return 0;
	}
	ASSERT(verdict == wanted);
	ASSERT(given <= PROXY_PROTOCOL_MAX_BYTES);
	if (verdict == PROXY_PROTOCOL_DONE) {
		ASSERT(header.length == whole.length && header.length == given);
		ASSERT(memcmp(&header.source, &whole.source, sizeof(header.source)) == 0);
		ASSERT(header.source.family == header.destination.family ||
		       header.source.family != AF_UNSPEC);
	}
	return 0;
}
