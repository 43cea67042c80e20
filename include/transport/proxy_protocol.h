/*
 * The header a load balancer puts in front of a connection it passes on: whose it is. Versions 1 and 2 of
 * the PROXY protocol (proxy-protocol.txt of HAProxy). Pure: bytes in, verdict out.
 */
#ifndef BONO_TRANSPORT_PROXY_PROTOCOL_H
#define BONO_TRANSPORT_PROXY_PROTOCOL_H

#include "base/address.h"
#include "base/slice.h"

enum proxy_protocol_verdict {
	PROXY_PROTOCOL_MORE, /* not whole yet */
	PROXY_PROTOCOL_DONE,
	PROXY_PROTOCOL_BAD
};

/* No header is longer: 16 bytes, addresses, and as many TLVs as a balancer reasonably adds (the
 * certificate of a client is not among them). */
#define PROXY_PROTOCOL_MAX_BYTES 2048

struct proxy_protocol_header {
	/* DONE: bytes of the header. MORE: the least number of bytes that can tell more. */
	size_t length;
	/* AF_UNSPEC: the header names nobody (LOCAL, UNKNOWN, AF_UNIX): the socket's own addresses hold. */
	struct address source, destination;
};

/* `bytes`: everything that has come so far, from the first byte of the connection on. */
enum proxy_protocol_verdict proxy_protocol_read(struct slice bytes,
                                                struct proxy_protocol_header *out);

#endif
