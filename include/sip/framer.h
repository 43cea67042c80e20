/*
 * Cuts messages out of a byte stream (TCP, TLS). Holds the scan position of one connection, never the
 * bytes. RFC 3261 18.3; RFC 5626 3.5.1 for the double CRLF. Content-Length must be there once, digits only.
 */
#ifndef BONO_SIP_FRAMER_H
#define BONO_SIP_FRAMER_H

#include "base/slice.h"

enum framer_verdict {
	FRAMER_MORE,       /* not a whole message yet */
	FRAMER_MESSAGE,    /* *length bytes from *start are one message */
	FRAMER_PING,       /* CRLF CRLF: *start + *length bytes consumed; answer CRLF */
	FRAMER_PONG,       /* a single CRLF between messages: consume */
	FRAMER_TOO_LONG,   /* headers or body beyond the limit: close, FRAME_TOO_LONG */
	FRAMER_NO_LENGTH,  /* no Content-Length in a stream: 400 and close */
	FRAMER_BAD_LENGTH, /* not digits, two that differ, or too big: 400 and close */
	FRAMER_BAD_BYTES,  /* NUL in the headers: close */
};

struct framer {
	size_t scanned;   /* bytes already searched for the end of the headers */
	size_t wanted;    /* whole message length once the headers are read, else 0 */
	size_t max_bytes; /* the limit, set by framer_init */
};

void framer_init(struct framer *framer, size_t max_bytes);
/*
 * Look at everything buffered (the same bytes again plus newer ones until something was consumed).
 * *start: bytes to drop first; *length: the frame behind them (MESSAGE, PING, PONG; on NO_LENGTH and
 * BAD_LENGTH the header section, so that a 400 can be made). After MESSAGE, PING or PONG the caller drops
 * *start + *length bytes and calls again.
 * A PING and a PONG are told apart by whether another CRLF follows in the buffer; a lone CRLF is MORE until
 * something else follows, then PONG.
 */
enum framer_verdict framer_next(struct framer *framer, struct slice buffered, size_t *start,
                                size_t *length);

#endif
