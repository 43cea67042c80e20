/*
 * Random bytes, fetched from OpenSSL a buffer at a time. Each thread has its own buffer.
 */
#include "base/random.h"

#include <openssl/rand.h>
#include <string.h>

#include "base/error.h"

/* 64 branches' worth; OpenSSL's own generator costs about a microsecond a call whatever the size. */
#define BUFFER_BYTES 512

static _Thread_local unsigned char buffer[BUFFER_BYTES];
static _Thread_local size_t left;

static void fetch(void *out, size_t length)
{
	int ok = RAND_bytes(out, (int)length);

	/* Going on with guessable tokens and branches would be worse than not going on. */
	ASSERT(ok == 1);
}

void random_bytes(void *out, size_t length)
{
	unsigned char *to = out;

	while (length > BUFFER_BYTES) {
		fetch(to, BUFFER_BYTES);
		to += BUFFER_BYTES;
		length -= BUFFER_BYTES;
	}
	if (length == 0)
		return;
	if (left < length) {
		fetch(buffer, BUFFER_BYTES);
		left = BUFFER_BYTES;
	}
	left -= length;
	memcpy(to, buffer + left, length);
	memset(buffer + left, 0, length); /* what was given out is not kept */
}

uint64_t random_u64(void)
{
	uint64_t number;

	random_bytes(&number, sizeof(number));
	return number;
}

uint32_t random_below(uint32_t limit)
{
	uint64_t product;
	uint32_t number, threshold;

	ASSERT(limit > 0);
	/* Multiply and reject the few low products that would make small results likelier. */
	threshold = -limit % limit;
	do {
		random_bytes(&number, sizeof(number));
		product = (uint64_t)number * limit;
	} while ((uint32_t)product < threshold);
	return (uint32_t)(product >> 32);
}
