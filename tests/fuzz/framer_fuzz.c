/*
 * A stream from anywhere, cut at will: the frames must be the same however the bytes arrive. The first
 * byte seeds the cuts.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "sip/framer.h"

#define LIMIT 2000
#define FRAMES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct frames {
	enum framer_verdict verdict[FRAMES_MAX];
	size_t at[FRAMES_MAX], length[FRAMES_MAX];
	unsigned count;
};

static bool is_final(enum framer_verdict verdict)
{
	return verdict != FRAMER_MORE && verdict != FRAMER_MESSAGE && verdict != FRAMER_PING &&
	       verdict != FRAMER_PONG;
}

/* `step` bytes more at a time (0: all at once); 1..n varies with the seed. */
static void cut(const char *data, size_t size, unsigned seed, struct frames *frames)
{
	struct framer framer;
	size_t from = 0, have = seed == 0 ? size : 0;

	framer_init(&framer, LIMIT);
	frames->count = 0;
	for (;;) {
		size_t start, length;
		enum framer_verdict verdict =
			framer_next(&framer, slice_of(data + from, have - from), &start, &length);

		if (verdict == FRAMER_MORE) {
			if (have == size)
				return;
			seed = seed * 1103515245u + 12345u;
			have += 1 + (seed >> 16) % 97;
			if (have > size)
				have = size;
			continue;
		}
		ASSERT(start + length <= have - from);
		if (frames->count == FRAMES_MAX)
			return;
		frames->verdict[frames->count] = verdict;
		frames->at[frames->count] = from + start;
		frames->length[frames->count++] = length;
		if (is_final(verdict))
			return;
		ASSERT(start + length > 0);
		from += start + length;
	}
}

/* Bytes that close the stream may lie beyond those that make it too long: which of the two is told
 * depends on how much has come. */
static bool agree(enum framer_verdict a, enum framer_verdict b)
{
	return a == b || ((a == FRAMER_TOO_LONG || a == FRAMER_BAD_BYTES) &&
	                  (b == FRAMER_TOO_LONG || b == FRAMER_BAD_BYTES));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct frames whole, pieces;

	if (size < 1)
		return 0;
	cut((const char *)data + 1, size - 1, 0, &whole);
	cut((const char *)data + 1, size - 1, data[0] + 1u, &pieces);
	ASSERT(whole.count == pieces.count);
	for (unsigned i = 0; i < whole.count; i++) {
		ASSERT(agree(whole.verdict[i], pieces.verdict[i]));
		if (whole.verdict[i] != pieces.verdict[i])
			continue;
		ASSERT(whole.at[i] == pieces.at[i]);
		ASSERT(whole.length[i] == pieces.length[i]);
	}
	return 0;
}
