/*
 * Datagrams of strangers on the clients' port: whatever comes, an answer is bounded, is STUN itself, and answers
 * this request. The first byte chooses the family of the source.
 */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "transport/stun.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at_answer(const uint8_t *request, const uint8_t *answer, size_t length)
{
	ASSERT(length % 4 == 0 && length >= 28);
	ASSERT((size_t)(answer[2] << 8 | answer[3]) + 20 == length);
	ASSERT(answer[0] == 1 && (answer[1] == 0x01 || answer[1] == 0x11));
	ASSERT(memcmp(answer + 4, request + 4, 16) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct address source;
	uint8_t answer[STUN_ANSWER_MAX], echo[STUN_ANSWER_MAX];
	size_t length, echo_length;
	enum stun_result result;

	if (size < 1)
		return 0;
	memset(&source, 0, sizeof(source));
	source.family = data[0] & 1 ? AF_INET6 : AF_INET;
	address_set_port(&source, (uint16_t)(data[0] * 257));
	result = stun_answer(slice_of((const char *)data + 1, size - 1), &source, answer, &length);
	ASSERT(result < STUN_RESULTS);
	ASSERT((length > 0) == (result == STUN_ANSWERED || result == STUN_REFUSED));
	if (length == 0)
		return 0;
	ASSERT(stun_begins(slice_of((const char *)data + 1, size - 1)));
	ASSERT(length <= size - 1 + STUN_SURPLUS_MAX);
	look_at_answer(data + 1, answer, length);
	/* Two of our kind that hear each other fall silent at once. */
	ASSERT(stun_answer(slice_of((const char *)answer, length), &source, echo, &echo_length) ==
	       STUN_NO_REQUEST);
	return 0;
}
