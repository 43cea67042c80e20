/*
 * The guard before sofia's parser: cheap limits without which that parser can be killed (recursion
 * over comma lists) or stalled (quadratic walks). Pure, one pass, about 0.4 us a message.
 * RFC 3261 7.3 for what a header line is.
 */
#ifndef BONO_SIP_GUARD_H
#define BONO_SIP_GUARD_H

#include "base/slice.h"

enum guard_verdict {
	GUARD_PASS,
	GUARD_TOO_LARGE,        /* more than the limit of bytes */
	GUARD_TOO_MANY_HEADERS, /* > GUARD_HEADER_LINES */
	GUARD_HEADER_TOO_LONG,  /* one header with its folds > GUARD_HEADER_BYTES */
	GUARD_TOO_MANY_ITEMS,   /* commas in one header > GUARD_HEADER_COMMAS */
	GUARD_NUL,              /* NUL before the body */
	GUARD_BARE_CR,          /* CR without LF before the body: header smuggling */
	GUARD_BARE_LF,          /* LF without CR before the body: the same */
	GUARD_NO_END,           /* no empty line ends the headers */
	GUARD_VERDICTS
};

#define GUARD_HEADER_LINES 256
#define GUARD_HEADER_BYTES 8192
#define GUARD_HEADER_COMMAS 128

/* Leading CR and LF are to be skipped by the caller. */
enum guard_verdict guard_check(struct slice message, size_t limit_bytes);
const char *guard_verdict_name(enum guard_verdict verdict); /* "too_many_headers": metrics label */

#endif
