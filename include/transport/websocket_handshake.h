/*
 * The HTTP request that opens a WebSocket, server's side: RFC 6455 4.2 with the sub-protocol of RFC 7118 4.
 * Pure: bytes in, verdict and answer out.
 *
 * Origin (RFC 6455 10.2): it protects the users of browsers from pages that are not ours, nothing else. So a
 * list of origins binds those who send one; a client without Origin is no browser (4.2.1) and may enter: it
 * could write any Origin it likes.
 */
#ifndef BONO_TRANSPORT_WEBSOCKET_HANDSHAKE_H
#define BONO_TRANSPORT_WEBSOCKET_HANDSHAKE_H

#include <stdbool.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "metrics/metrics.h"

/* Browsers send about 600 bytes in 15 lines; the rest is for cookies and what balancers add. */
#define WEBSOCKET_REQUEST_MAX_BYTES 8192
#define WEBSOCKET_REQUEST_MAX_HEADERS 100

struct websocket_handshake {
	enum upgrade_result result;
	size_t length; /* bytes of the request: what follows are frames */
	/* The whole HTTP answer, 101 or a refusal after which the connection is to be closed. failed: out of
	 * memory. */
	struct buffer answer;
};

/* `bytes`: everything that has come so far, not empty. origins: count 0: any. False: not whole yet, and not
 * wrong yet; *out is untouched. True: decided; websocket_handshake_free(out) later. */
bool websocket_handshake_read(struct slice bytes, const char *const *origins, unsigned origin_count,
                              struct websocket_handshake *out);
/* A request that did not come to its end in time. */
void websocket_handshake_refuse(enum upgrade_result result, struct websocket_handshake *out);
void websocket_handshake_free(struct websocket_handshake *handshake);

#endif
