#include "stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_BYTES (64 * 1024)
#define PATIENCE_MS 20000
#define FRAME_HEADER_MAX 8 /* with a length of two bytes and a mask */

static const struct {
	const char *name, *via, *parameter;
	bool tls, web;
} kinds[] = {
	[STREAM_TCP] = {"tcp", "TCP", ";transport=tcp", false, false},
	[STREAM_TLS] = {"tls", "TLS", ";transport=tls", true, false},
	[STREAM_WS] = {"ws", "WS", ";transport=ws", false, true},
	[STREAM_WSS] = {"wss", "WSS", ";transport=ws", true, true},
};

bool stream_kind_parse(const char *name, enum stream_kind *out)
{
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			*out = (enum stream_kind)i;
			return true;
		}
	}
	return false;
}

const char *stream_via(enum stream_kind kind)
{
	return kinds[kind].via;
}

const char *stream_parameter(enum stream_kind kind)
{
	return kinds[kind].parameter;
}

bool stream_is_tls(enum stream_kind kind)
{
	return kinds[kind].tls;
}

SSL_CTX *stream_context(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (context == NULL || SSL_CTX_set1_groups_list(context, "X25519:P-256") != 1) {
		fprintf(stderr, "OpenSSL gives no context\n");
		exit(1);
	}
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY |
	                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
	return context;
}

int stream_dial(const struct sockaddr_in *edge, struct in_addr from)
{
	struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr = from};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		wire_die("socket");
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0)
		wire_die("bind");
	if (connect(fd, (const struct sockaddr *)edge, sizeof(*edge)) != 0 && errno != EINPROGRESS)
		wire_die("connection to the edge");
	return fd;
}

/* ---- opening: one step after the other ---- */

static void wait_for(int fd, short events)
{
	struct pollfd one = {fd, events, 0};

	if (poll(&one, 1, PATIENCE_MS) <= 0) {
		fprintf(stderr, "load: the edge does not go on with a connection\n");
		exit(1);
	}
}

static void shake_hands(struct stream *stream)
{
	static SSL_CTX *context;
	int result;

	if (context == NULL)
		context = stream_context();
	stream->ssl = SSL_new(context);
	if (stream->ssl == NULL || SSL_set_fd(stream->ssl, stream->fd) != 1)
		wire_die("SSL_new");
	while ((result = SSL_connect(stream->ssl)) != 1) {
		const int error = SSL_get_error(stream->ssl, result);

		if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
			fprintf(stderr, "load: the edge refused a handshake\n");
			exit(1);
		}
		wait_for(stream->fd, error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT);
	}
}

/* As recv: 0 at the end, -1 if nothing is there. */
static ssize_t take(struct stream *stream, char *bytes, size_t size)
{
	ssize_t got;

	if (stream->ssl == NULL) {
		got = recv(stream->fd, bytes, size, MSG_DONTWAIT);
		return got < 0 && errno != EAGAIN ? 0 : got;
	}
	got = SSL_read(stream->ssl, bytes, (int)size);
	if (got > 0)
		return got;
	return SSL_get_error(stream->ssl, (int)got) == SSL_ERROR_WANT_READ ? -1 : 0;
}

static bool give(struct stream *stream, const char *bytes, size_t length)
{
	if (stream->ssl != NULL)
		return SSL_write(stream->ssl, bytes, (int)length) == (int)length;
	return send(stream->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
}

static void upgrade(struct stream *stream, const struct sockaddr_in *edge)
{
	char words[1024];
	size_t length;
	ssize_t got;

	length = (size_t)snprintf(words, sizeof(words),
	                          "GET / HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\n"
	                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
	                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	                          "Sec-WebSocket-Protocol: sip\r\n\r\n",
	                          inet_ntoa(edge->sin_addr), ntohs(edge->sin_port));
	if (!give(stream, words, length))
		wire_die("upgrade");
	length = 0;
	do {
		while ((got = take(stream, words + length, sizeof(words) - 1 - length)) < 0)
			wait_for(stream->fd, POLLIN);
		length += (size_t)got;
	} while (got > 0 && length < sizeof(words) - 1 &&
	         wire_find((struct text){words, length}, "\r\n\r\n") == NULL);
	words[length] = '\0';
	if (strncmp(words, "HTTP/1.1 101", 12) != 0) {
		fprintf(stderr, "load: no upgrade to WebSocket: %s\n", words);
		exit(1);
	}
}

void stream_open(struct stream *stream, enum stream_kind kind, const struct sockaddr_in *edge,
                 struct in_addr from)
{
	int error = 0;
	socklen_t length = sizeof(error);

	memset(stream, 0, sizeof(*stream));
	stream->fd = stream_dial(edge, from);
	wait_for(stream->fd, POLLOUT);
	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0) {
		errno = error;
		wire_die("connection to the edge");
	}
	if (kinds[kind].tls)
		shake_hands(stream);
	if (kinds[kind].web)
		upgrade(stream, edge);
}

/* ---- messages ---- */

bool stream_send(struct stream *stream, enum stream_kind kind, const char *bytes, size_t length)
{
	char frame[WIRE_MAX + FRAME_HEADER_MAX];

	if (!kinds[kind].web)
		return give(stream, bytes, length);
	/* RFC 6455 5.2: text, masked by 0, which changes nothing; ours are longer than 125 bytes. */
	memcpy(frame,
	       (char[]){(char)0x81, (char)(0x80 | 126), (char)(length >> 8), (char)length, 0, 0, 0,
	                0},
	       FRAME_HEADER_MAX);
	memcpy(frame + FRAME_HEADER_MAX, bytes, length);
	return give(stream, frame, length + FRAME_HEADER_MAX);
}

/* One whole message at the front of the stream: its length, 0 if it is not all there. */
static size_t whole_message(struct text stream)
{
	const char *end = wire_find(stream, "\r\n\r\n");
	struct text head;
	size_t length;

	if (end == NULL)
		return 0;
	head = (struct text){stream.at, (size_t)(end + 2 - stream.at)};
	length = head.length + 2 + strtoul(wire_value(head, "\r\nContent-Length: ").at, NULL, 10);
	return length <= stream.length ? length : 0;
}

/* The same of a frame; *message is what it holds, nothing if it is a control frame. */
static size_t whole_frame(struct text stream, struct text *message)
{
	const unsigned char *at = (const unsigned char *)stream.at;
	size_t header = 2, length;

	*message = (struct text){"", 0};
	if (stream.length < 4)
		return 0;
	length = at[1] & 0x7f;
	if (length == 126) {
		length = (size_t)at[2] << 8 | at[3];
		header = 4;
	}
	if (stream.length < header + length)
		return 0;
	if ((at[0] & 0x0f) <= 2)
		*message = (struct text){stream.at + header, length};
	return header + length;
}

static size_t cut(enum stream_kind kind, struct text bytes, void (*on_message)(struct text))
{
	size_t used = 0, one;

	for (;;) {
		struct text rest = {bytes.at + used, bytes.length - used}, message = rest;

		if (kinds[kind].web)
			one = whole_frame(rest, &message);
		else
			message.length = one = whole_message(rest);
		if (one == 0)
			return used;
		if (message.length > 0)
			on_message(message);
		used += one;
	}
}

bool stream_receive(struct stream *stream, enum stream_kind kind, void (*on_message)(struct text))
{
	static char bytes[STREAM_BYTES * 2 + 1];
	size_t length = stream->length, used;
	ssize_t got;

	do {
		if (length > 0 && stream->partial != NULL)
			memcpy(bytes, stream->partial, length);
		got = take(stream, bytes + length, STREAM_BYTES);
		if (got <= 0)
			return got < 0;
		length += (size_t)got;
		bytes[length] = '\0';
		used = cut(kind, (struct text){bytes, length}, on_message);
		length -= used;
		if (length > STREAM_BYTES) {
			fprintf(stderr, "load: a message without end\n");
			exit(1);
		}
		stream->length = length;
		free(stream->partial);
		stream->partial = length > 0 ? malloc(length) : NULL;
		if (length > 0 && stream->partial != NULL)
			memcpy(stream->partial, bytes + used, length);
	} while (stream->ssl != NULL && SSL_has_pending(stream->ssl));
	return true;
}
