/*
 * A client's connection to the edge: TCP, TLS, WebSocket or WebSocket over TLS. What comes is cut into SIP messages.
 */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <openssl/ssl.h>

#include "wire.h"

enum stream_kind { STREAM_TCP, STREAM_TLS, STREAM_WS, STREAM_WSS };

struct stream {
	int fd;
	SSL *ssl;      /* NULL without TLS */
	char *partial; /* a message begun */
	size_t length;
};

/* "tcp", "tls", "ws", "wss". */
bool stream_kind_parse(const char *name, enum stream_kind *out);
/* As Via and Contact name it. */
const char *stream_via(enum stream_kind kind);
const char *stream_parameter(enum stream_kind kind);
bool stream_is_tls(enum stream_kind kind);

/* For TLS: any certificate will do. Or the program ends. */
SSL_CTX *stream_context(void);
/* A non-blocking socket that connects from this address to the edge; the kernel chooses the port. Or the program ends. */
int stream_dial(const struct sockaddr_in *edge, struct in_addr from);

/* Connect, shake hands, upgrade: all of it, or the program ends. */
void stream_open(struct stream *stream, enum stream_kind kind, const struct sockaddr_in *edge,
                 struct in_addr from);
/* False: it did not take all of it. */
bool stream_send(struct stream *stream, enum stream_kind kind, const char *bytes, size_t length);
/* Read what is there and hand up every whole message. False: the edge has closed. */
bool stream_receive(struct stream *stream, enum stream_kind kind,
                    void (*on_message)(struct text message));

#endif
