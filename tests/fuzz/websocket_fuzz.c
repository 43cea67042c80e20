/*
 * A WebSocket client from anywhere: the upgrade and the frames behind it, cut at will. What comes of them must
 * be the same however the bytes arrive, and no message may be longer than the limit. The first byte seeds the
 * cuts; if it is even the frames come without an upgrade.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "transport/websocket.h"
#include "transport/websocket_handshake.h"

#define LIMIT 2000
#define EVENTS_MAX 128

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct events {
	enum upgrade_result upgrade;
	unsigned count;
	struct {
		enum websocket_verdict verdict;
		enum websocket_code code;
		enum websocket_opcode opcode;
		size_t length;
		uint64_t hash;
	} event[EVENTS_MAX];
};

static size_t step(unsigned *seed, size_t left)
{
	size_t n;

	if (*seed == 0)
		return left;
	*seed = *seed * 1103515245u + 12345u;
	n = 1 + (*seed >> 16) % 97;
	return n < left ? n : left;
}

/* How many bytes the upgrade took; 0: it did not come about. */
static size_t upgrade(const char *data, size_t size, unsigned seed, struct events *events)
{
	static const char *const origins[] = {"https://a"};
	struct websocket_handshake handshake;
	size_t have = 0, length;

	events->upgrade = UPGRADE_RESULTS;
	while (have < size) {
		have += step(&seed, size - have);
		if (!websocket_handshake_read(slice_of(data, have), origins, 1, &handshake))
			continue;
		ASSERT(handshake.length <= have && handshake.answer.length > 0);
		events->upgrade = handshake.result;
		length = handshake.result == UPGRADE_ACCEPTED ? handshake.length : 0;
		websocket_handshake_free(&handshake);
		return length;
	}
	return 0;
}

static bool note(struct events *events, enum websocket_verdict verdict,
                 const struct websocket_event *event)
{
	const unsigned i = events->count;

	ASSERT(verdict != WEBSOCKET_GOT_MESSAGE || event->payload.length <= LIMIT);
	if (verdict == WEBSOCKET_MORE || i == EVENTS_MAX)
		return false;
	events->event[i].verdict = verdict;
	events->event[i].code = event->code;
	events->event[i].opcode = event->opcode;
	events->event[i].length = event->payload.length;
	events->event[i].hash = hash_slice(event->payload);
	events->count++;
	return verdict != WEBSOCKET_FAULT && verdict != WEBSOCKET_GOT_CLOSE;
}

static void frames(const char *data, size_t size, unsigned seed, struct events *events)
{
	struct websocket_reader *reader = NULL;
	struct websocket_pool pool;
	size_t given = 0;
	bool more = true;

	websocket_pool_init(&pool, LIMIT);
	while (given < size && more) {
		struct slice input = slice_of(data + given, step(&seed, size - given));
		struct websocket_event event;
		enum websocket_verdict verdict;

		given += input.length;
		ASSERT(websocket_reader_take(&pool, &reader) == 0);
		do {
			verdict = websocket_read(reader, &input, &event);
			more = note(events, verdict, &event);
		} while (more);
		ASSERT(verdict != WEBSOCKET_MORE || input.length == 0);
		more = verdict == WEBSOCKET_MORE;
		ASSERT(websocket_reader_held(reader) <= 5 * 4096);
		if (more)
			websocket_reader_rest(&pool, &reader);
	}
	websocket_reader_destroy(&reader);
	websocket_pool_free(&pool);
}

static void run(const char *data, size_t size, unsigned seed, bool with_upgrade,
                struct events *events)
{
	size_t length = 0;

	memset(events, 0, sizeof(*events));
	if (with_upgrade) {
		length = upgrade(data, size, seed, events);
		if (length == 0)
			return;
	}
	frames(data + length, size - length, seed, events);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct events whole, pieces;

	if (size < 1)
		return 0;
	run((const char *)data + 1, size - 1, 0, (data[0] & 1) != 0, &whole);
	run((const char *)data + 1, size - 1, data[0] + 1u, (data[0] & 1) != 0, &pieces);
	/* strange bytes may lie beyond the end that makes a request too large: either is told */
	ASSERT((whole.upgrade == UPGRADE_ACCEPTED) == (pieces.upgrade == UPGRADE_ACCEPTED));
	ASSERT(whole.count == pieces.count);
	for (unsigned i = 0; i < whole.count; i++)
		ASSERT(memcmp(&whole.event[i], &pieces.event[i], sizeof(whole.event[i])) == 0);
	return 0;
}
