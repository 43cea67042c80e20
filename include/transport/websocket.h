/*
 * WebSocket frames of one connection become messages; server's side of RFC 6455, framing by wslay. Bytes in,
 * verdicts out; what goes out is a header in front of bytes that are not copied (a server does not mask).
 *
 * A reader holds 4 KiB and more, so a connection has one only while a frame or a message has begun; those at
 * rest share the one that the pool keeps. The connection's worker only.
 */
#ifndef BONO_TRANSPORT_WEBSOCKET_H
#define BONO_TRANSPORT_WEBSOCKET_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"

enum websocket_opcode {
	WEBSOCKET_TEXT = 1,
	WEBSOCKET_BINARY = 2,
	WEBSOCKET_CLOSE = 8,
	WEBSOCKET_PING = 9,
	WEBSOCKET_PONG = 10,
};

/* RFC 6455 7.4.1 */
enum websocket_code {
	WEBSOCKET_NORMAL = 1000,
	WEBSOCKET_GOING_AWAY = 1001,
	WEBSOCKET_PROTOCOL_ERROR = 1002,
	WEBSOCKET_NO_CODE = 1005, /* never on the wire: a close frame without a code */
	WEBSOCKET_NOT_UTF8 = 1007,
	WEBSOCKET_POLICY = 1008,
	WEBSOCKET_TOO_BIG = 1009,
	WEBSOCKET_INTERNAL = 1011,
};

enum websocket_verdict {
	WEBSOCKET_MORE,        /* everything given is used */
	WEBSOCKET_GOT_MESSAGE, /* text or binary, whole, from however many frames */
	WEBSOCKET_GOT_PING,
	WEBSOCKET_GOT_PONG,
	WEBSOCKET_GOT_CLOSE, /* code: the peer's; nothing after it counts */
	WEBSOCKET_FAULT,     /* code: what to close with; the reader is of no more use */
};

struct websocket_event {
	struct slice payload; /* good until the next call for this reader */
	enum websocket_opcode opcode;
	enum websocket_code code;
};

struct websocket_reader;

struct websocket_pool {                 /* one per worker */
	size_t max_bytes;               /* longest message */
	struct websocket_reader *spare; /* NULL: none */
};
void websocket_pool_init(struct websocket_pool *pool, size_t max_bytes);
void websocket_pool_free(struct websocket_pool *pool);

/* *reader: NULL becomes the spare one or a new one; else it stays. -ENOMEM. */
int websocket_reader_take(struct websocket_pool *pool, struct websocket_reader **reader);
/* Back to the pool if nothing has begun; *reader is NULL then. */
void websocket_reader_rest(struct websocket_pool *pool, struct websocket_reader **reader);
void websocket_reader_destroy(struct websocket_reader **reader); /* NULL inside is fine */
/* Bytes of memory that it holds, for itself and for a message begun. */
size_t websocket_reader_held(const struct websocket_reader *reader);

/* Call with what was read until MORE; *input moves over what is used. */
enum websocket_verdict websocket_read(struct websocket_reader *reader, struct slice *input,
                                      struct websocket_event *out);

#define WEBSOCKET_HEADER_MAX_BYTES 10
/* The header of one whole unmasked frame; returns its length. */
size_t websocket_write_header(enum websocket_opcode opcode, size_t length,
                              char header[WEBSOCKET_HEADER_MAX_BYTES]);
/* A whole control frame; payload: at most 125 bytes. NULL: out of memory. */
struct bytes *websocket_control_frame(enum websocket_opcode opcode, struct slice payload);
/* NO_CODE: a frame without one. */
struct bytes *websocket_close_frame(enum websocket_code code);

bool websocket_is_utf8(struct slice text);

#endif
