/*
 * Cuts messages out of a byte stream. Pure but for the scan position; the connection's worker.
 * RFC 3261 18.3, RFC 5626 3.5.1. Each byte of a header section is looked at once however slowly it
 * drips in: line ends are checked as they come, Content-Length once, when the empty line has come.
 */
#include "sip/framer.h"

#include "sip_internal.h"

/* Beyond this a Content-Length is no length but an attack on arithmetic. */
#define CONTENT_LENGTH_MAX INT32_MAX

void framer_init(struct framer *framer, size_t max_bytes)
{
	*framer = (struct framer){.max_bytes = max_bytes};
}

static enum framer_verdict between_messages(struct slice buffered, size_t *length)
{
	if (buffered.length < 2)
		return buffered.data[0] == '\r' ? FRAMER_MORE : FRAMER_BAD_BYTES;
	if (buffered.data[0] != '\r' || buffered.data[1] != '\n')
		return FRAMER_BAD_BYTES;
	if (buffered.length == 2)
		return FRAMER_MORE;
	if (buffered.data[2] == '\r') {
		if (buffered.length == 3)
			return FRAMER_MORE;
		if (buffered.data[3] == '\n') {
			*length = 4;
			return FRAMER_PING;
		}
	}
	*length = 2;
	return FRAMER_PONG;
}

/* Content-Length of the header section: -1 none, -2 broken, -3 two that differ. */
static int64_t content_length(struct slice headers)
{
	int64_t found = -1;
	uint64_t number;
	struct line line;

	line_next(&headers);
	while (headers.length > 0) {
		struct slice text = line_next(&headers);

		while (headers.length > 0 && (headers.data[0] == ' ' || headers.data[0] == '\t'))
			text.length += line_next(&headers).length;
		if (!line_read(text, &line) || line.kind != LINE_CONTENT_LENGTH)
			continue;
		if (!slice_to_uint(line.value, CONTENT_LENGTH_MAX, &number))
			return -2;
		if (found >= 0 && (uint64_t)found != number)
			return -3;
		found = (int64_t)number;
	}
	return found;
}

/* Moves framer->scanned over whole good lines up to the empty one; *end is behind that. */
static enum framer_verdict find_end(struct framer *framer, struct slice buffered, size_t *end)
{
	const char *data = buffered.data;
	size_t from = framer->scanned;

	for (;;) {
		const char *lf = memchr(data + from, '\n', buffered.length - from);
		size_t at;

		if (memchr(data + from, '\0',
		           lf != NULL ? (size_t)(lf - data) - from : buffered.length - from) !=
		    NULL)
			return FRAMER_BAD_BYTES;
		if (lf == NULL) {
			framer->scanned = buffered.length;
			return buffered.length > framer->max_bytes ? FRAMER_TOO_LONG : FRAMER_MORE;
		}
		at = (size_t)(lf - data);
		if (at == 0 || data[at - 1] != '\r')
			return FRAMER_BAD_BYTES;
		from = at + 1;
		framer->scanned = from;
		if (from > framer->max_bytes)
			return FRAMER_TOO_LONG;
		if (at >= 3 && data[at - 2] == '\n') {
			*end = from;
			return FRAMER_MESSAGE;
		}
	}
}

static enum framer_verdict read_headers(struct framer *framer, struct slice buffered,
                                        size_t *length)
{
	enum framer_verdict verdict;
	int64_t body;
	size_t end;

	verdict = find_end(framer, buffered, &end);
	if (verdict != FRAMER_MESSAGE)
		return verdict;
	body = content_length(slice_of(buffered.data, end));
	if (body < 0) {
		*length = end;
		return body == -1 ? FRAMER_NO_LENGTH : FRAMER_BAD_LENGTH;
	}
	if ((uint64_t)body > framer->max_bytes - end) {
		*length = end;
		return FRAMER_TOO_LONG;
	}
	framer->wanted = end + (size_t)body;
	return FRAMER_MESSAGE;
}

enum framer_verdict framer_next(struct framer *framer, struct slice buffered, size_t *start,
                                size_t *length)
{
	enum framer_verdict verdict;

	*start = 0;
	*length = 0;
	if (buffered.length == 0)
		return FRAMER_MORE;
	if (framer->wanted == 0) {
		if (buffered.data[0] == '\r' || buffered.data[0] == '\n')
			return between_messages(buffered, length);
		verdict = read_headers(framer, buffered, length);
		if (verdict != FRAMER_MESSAGE)
			return verdict;
	}
	if (buffered.length < framer->wanted)
		return FRAMER_MORE;
	*length = framer->wanted;
	framer->scanned = 0;
	framer->wanted = 0;
	return FRAMER_MESSAGE;
}
