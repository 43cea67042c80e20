/*
 * WebSocket frames, server's side. wslay's frame layer reads headers, unmasks, and refuses lengths that are
 * not in their shortest form and control frames that are long or cut; the rest of RFC 6455 5 is judged here: masks, opcodes,
 * the order of fragments, sizes, UTF-8, close codes. Its event layer does that too, but reads until nothing
 * is left, where we must be able to stop after a message, and holds 8 KiB for each connection.
 * The connection's worker only.
 */
#include "transport/websocket.h"

#include <string.h>

#include <wslay/wslay.h>

#include "base/error.h"
#include "base/memory.h"

/* RFC 6455 5.5 */
#define CONTROL_MAX_BYTES 125
/* First memory for a message that did not come in one piece; doubled as it grows. */
#define MESSAGE_FIRST_BYTES 4096

/* What wslay takes for a connection: a buffer of 4 KiB and its state. */
#define WSLAY_BYTES (4096 + 128)

struct websocket_reader {
	wslay_frame_context_ptr frames;
	struct slice input;       /* during websocket_read: what wslay may take */
	uint64_t taken, finished; /* bytes given to wslay; bytes of whole frames */
	bool in_frame;            /* its header has been judged */
	uint64_t frame_read;      /* bytes of its payload that have come */
	size_t max_bytes;

	unsigned message_opcode; /* 0: none begun */
	char *message;           /* NULL: no memory needed so far */
	size_t message_length, message_capacity;

	unsigned char control[CONTROL_MAX_BYTES];
	size_t control_length;
};

#define READER_BYTES (sizeof(struct websocket_reader) + WSLAY_BYTES)

/* ---- readers ---- */

static ssize_t on_wslay_wants(uint8_t *into, size_t room, int flags, void *arg)
{
	struct websocket_reader *reader = arg;
	const size_t length = reader->input.length < room ? reader->input.length : room;

	memcpy(into, reader->input.data, length);
	reader->input = slice_skip(reader->input, length);
	reader->taken += length;
	return (ssize_t)length;
}

static int create(size_t max_bytes, struct websocket_reader **out)
{
	const struct wslay_frame_callbacks callbacks = {.recv_callback = on_wslay_wants};
	struct websocket_reader *reader = memory_zalloc(sizeof(*reader));

	if (reader == NULL)
		return -ENOMEM;
	reader->max_bytes = max_bytes;
	if (wslay_frame_context_init(&reader->frames, &callbacks, reader) != 0) {
		memory_free(reader);
		return -ENOMEM;
	}
	*out = reader;
	return 0;
}

void websocket_reader_destroy(struct websocket_reader **reader)
{
	struct websocket_reader *r = *reader;

	if (r == NULL)
		return;
	wslay_frame_context_free(r->frames);
	memory_free(r->message);
	memory_free(r);
	*reader = NULL;
}

void websocket_pool_init(struct websocket_pool *pool, size_t max_bytes)
{
	*pool = (struct websocket_pool){.max_bytes = max_bytes};
}

void websocket_pool_free(struct websocket_pool *pool)
{
	websocket_reader_destroy(&pool->spare);
}

int websocket_reader_take(struct websocket_pool *pool, struct websocket_reader **reader)
{
	if (*reader != NULL)
		return 0;
	if (pool->spare == NULL)
		return create(pool->max_bytes, reader);
	*reader = pool->spare;
	pool->spare = NULL;
	return 0;
}

static void message_drop(struct websocket_reader *reader)
{
	memory_free(reader->message);
	reader->message = NULL;
	reader->message_length = reader->message_capacity = 0;
}

void websocket_reader_rest(struct websocket_pool *pool, struct websocket_reader **reader)
{
	struct websocket_reader *r = *reader;

	if (r == NULL || r->taken != r->finished || r->message_opcode != 0)
		return;
	message_drop(r);
	if (pool->spare != NULL) {
		websocket_reader_destroy(reader);
		return;
	}
	r->taken = r->finished = 0;
	pool->spare = r;
	*reader = NULL;
}

size_t websocket_reader_held(const struct websocket_reader *reader)
{
	return READER_BYTES + reader->message_capacity;
}

/* ---- UTF-8 ---- */

/* The length of the sequence that begins here, 0: none. RFC 3629 4: no surrogates, no longer spelling than
 * needed, nothing beyond U+10FFFF. */
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
	static const unsigned char least[] = {0, 0, 0x80, 0xa0, 0x90};
	size_t length;

	if (at[0] < 0x80)
		return 1;
	length = at[0] < 0xc2 ? 0 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : at[0] < 0xf5 ? 4 : 0;
	if (length == 0 || length > left)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((at[0] == 0xe0 || at[0] == 0xf0) && at[1] < least[length])
		return 0;
	if ((at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return length;
}

bool websocket_is_utf8(struct slice text)
{
	const unsigned char *at = (const unsigned char *)text.data;
	size_t left = text.length;

	while (left > 0) {
		uint64_t eight;
		size_t length = 8;

		/* SIP is nearly all ASCII. */
		if (left >= 8)
			memcpy(&eight, at, 8);
		if (left < 8 || (eight & 0x8080808080808080u) != 0)
			length = utf8_sequence(at, left);
		if (length == 0)
			return false;
		at += length;
		left -= length;
	}
	return true;
}

/* ---- frames ---- */

static enum websocket_verdict fault(struct websocket_event *out, enum websocket_code code)
{
	*out = (struct websocket_event){.code = code};
	return WEBSOCKET_FAULT;
}

/* The header of a frame: 0 or the code to close with. RFC 6455 5.1, 5.2, 5.4. */
static enum websocket_code judge_header(struct websocket_reader *reader,
                                        const struct wslay_frame_iocb *frame)
{
	if (!frame->mask || frame->rsv != WSLAY_RSV_NONE)
		return WEBSOCKET_PROTOCOL_ERROR;
	switch (frame->opcode) {
	case WSLAY_CONNECTION_CLOSE:
	case WSLAY_PING:
	case WSLAY_PONG:
		reader->control_length = 0;
		return 0;
	case WSLAY_CONTINUATION_FRAME:
		if (reader->message_opcode == 0)
			return WEBSOCKET_PROTOCOL_ERROR;
		break;
	case WSLAY_TEXT_FRAME:
	case WSLAY_BINARY_FRAME:
		if (reader->message_opcode != 0)
			return WEBSOCKET_PROTOCOL_ERROR;
		reader->message_opcode = frame->opcode;
		message_drop(reader);
		break;
	default:
		return WEBSOCKET_PROTOCOL_ERROR;
	}
	if (frame->payload_length > reader->max_bytes - reader->message_length)
		return WEBSOCKET_TOO_BIG;
	return 0;
}

static int message_reserve(struct websocket_reader *reader, size_t more)
{
	const size_t wanted = reader->message_length + more;
	size_t capacity = reader->message_capacity;
	char *message;

	if (wanted <= capacity)
		return 0;
	if (capacity == 0)
		capacity = MESSAGE_FIRST_BYTES;
	while (capacity < wanted)
		capacity *= 2;
	message = memory_realloc(reader->message, capacity);
	if (message == NULL)
		return -ENOMEM;
	reader->message = message;
	reader->message_capacity = capacity;
	return 0;
}

static enum websocket_verdict message_done(struct websocket_reader *reader, struct slice payload,
                                           struct websocket_event *out)
{
	out->opcode = (enum websocket_opcode)reader->message_opcode;
	out->payload = payload;
	reader->message_opcode = 0;
	if (out->opcode == WEBSOCKET_TEXT && !websocket_is_utf8(payload))
		return fault(out, WEBSOCKET_NOT_UTF8); /* RFC 6455 8.1 */
	return WEBSOCKET_GOT_MESSAGE;
}

/* A piece of a text or binary message. One that came in one piece, as nearly all do, is not copied. */
static enum websocket_verdict take_data(struct websocket_reader *reader,
                                        const struct wslay_frame_iocb *frame, bool whole,
                                        struct websocket_event *out)
{
	const struct slice piece = {(const char *)frame->data, frame->data_length};

	if (whole && frame->fin && reader->message_length == 0)
		return message_done(reader, piece, out);
	if (message_reserve(reader, piece.length) != 0)
		return fault(out, WEBSOCKET_INTERNAL);
	if (piece.length > 0)
		memcpy(reader->message + reader->message_length, piece.data, piece.length);
	reader->message_length += piece.length;
	if (!whole || !frame->fin)
		return WEBSOCKET_MORE;
	return message_done(reader, slice_of(reader->message, reader->message_length), out);
}

/* RFC 6455 7.4: codes that may stand on the wire; 1012 to 1014 are registered since. */
static bool may_be_sent(unsigned code)
{
	return (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) ||
	       (code >= 3000 && code <= 4999);
}

static enum websocket_verdict close_got(struct slice payload, struct websocket_event *out)
{
	const unsigned char *at = (const unsigned char *)payload.data;
	unsigned code = WEBSOCKET_NO_CODE;

	if (payload.length > 0) {
		code = payload.length >= 2 ? (unsigned)at[0] << 8 | at[1] : 0;
		if (!may_be_sent(code))
			return fault(out, WEBSOCKET_PROTOCOL_ERROR);
		if (!websocket_is_utf8(slice_skip(payload, 2)))
			return fault(out, WEBSOCKET_NOT_UTF8);
	}
	out->code = (enum websocket_code)code;
	return WEBSOCKET_GOT_CLOSE;
}

static enum websocket_verdict take_control(struct websocket_reader *reader,
                                           const struct wslay_frame_iocb *frame, bool whole,
                                           struct websocket_event *out)
{
	ASSERT(reader->control_length + frame->data_length <= CONTROL_MAX_BYTES);
	if (frame->data_length > 0)
		memcpy(reader->control + reader->control_length, frame->data, frame->data_length);
	reader->control_length += frame->data_length;
	if (!whole)
		return WEBSOCKET_MORE;
	out->opcode = (enum websocket_opcode)frame->opcode;
	out->payload = slice_of((const char *)reader->control, reader->control_length);
	if (frame->opcode == WSLAY_CONNECTION_CLOSE)
		return close_got(out->payload, out);
	return frame->opcode == WSLAY_PING ? WEBSOCKET_GOT_PING : WEBSOCKET_GOT_PONG;
}

static size_t header_length(uint64_t payload_length)
{
	return payload_length < 126 ? 2 : payload_length <= UINT16_MAX ? 4 : 10;
}

/* What wslay read of a frame: its header and a piece of its payload, or one more piece. */
static enum websocket_verdict take_piece(struct websocket_reader *reader,
                                         const struct wslay_frame_iocb *frame,
                                         struct websocket_event *out)
{
	bool whole;

	if (!reader->in_frame) {
		const enum websocket_code code = judge_header(reader, frame);

		if (code != 0)
			return fault(out, code);
		reader->in_frame = true;
		reader->frame_read = 0;
	}
	reader->frame_read += frame->data_length;
	whole = reader->frame_read == frame->payload_length;
	if (whole) {
		reader->in_frame = false;
		/* the mask has four bytes */
		reader->finished +=
			header_length(frame->payload_length) + 4 + frame->payload_length;
	}
	if (wslay_is_ctrl_frame(frame->opcode))
		return take_control(reader, frame, whole, out);
	return take_data(reader, frame, whole, out);
}

enum websocket_verdict websocket_read(struct websocket_reader *reader, struct slice *input,
                                      struct websocket_event *out)
{
	enum websocket_verdict verdict = WEBSOCKET_MORE;
	struct wslay_frame_iocb frame;

	memset(out, 0, sizeof(*out));
	reader->input = *input;
	while (verdict == WEBSOCKET_MORE) {
		ssize_t length;

		memset(&frame, 0, sizeof(frame));
		length = wslay_frame_recv(reader->frames, &frame);
		if (length == WSLAY_ERR_WANT_READ)
			break;
		verdict = length < 0 ? fault(out, WEBSOCKET_PROTOCOL_ERROR)
		                     : take_piece(reader, &frame, out);
	}
	*input = reader->input;
	reader->input = SLICE_NONE;
	return verdict;
}

/* ---- writing ---- */

size_t websocket_write_header(enum websocket_opcode opcode, size_t length,
                              char header[WEBSOCKET_HEADER_MAX_BYTES])
{
	const size_t size = header_length(length);

	header[0] = (char)(0x80 | opcode);
	header[1] = (char)(size == 2 ? length : size == 4 ? 126 : 127);
	for (size_t i = size, rest = length; i > 2; rest >>= 8)
		header[--i] = (char)(rest & 0xff);
	return size;
}

struct bytes *websocket_control_frame(enum websocket_opcode opcode, struct slice payload)
{
	struct bytes *frame;

	ASSERT(payload.length <= CONTROL_MAX_BYTES);
	frame = bytes_create(2 + payload.length);
	if (frame == NULL)
		return NULL;
	websocket_write_header(opcode, payload.length, frame->data);
	if (payload.length > 0)
		memcpy(frame->data + 2, payload.data, payload.length);
	return frame;
}

struct bytes *websocket_close_frame(enum websocket_code code)
{
	const char payload[2] = {(char)(code >> 8), (char)(code & 0xff)};

	return websocket_control_frame(WEBSOCKET_CLOSE,
	                               slice_of(payload, code == WEBSOCKET_NO_CODE ? 0 : 2));
}
