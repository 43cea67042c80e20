/*
 * The stage of transport with a WebSocket listener where the TCP one for clients is, and a client that speaks
 * just enough of it.
 */
#ifndef TESTS_UNIT_TRANSPORT_WEBSOCKET_STAGE_H
#define TESTS_UNIT_TRANSPORT_WEBSOCKET_STAGE_H

#include "stage.h"
#include "transport/websocket.h"

#define ACCESS_WS ACCESS_TCP
#define PING_MS 30000
#define FIN 0x80

#define UPGRADE_REQUEST                                                                            \
	"GET / HTTP/1.1\r\nHost: edge\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"            \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"             \
	"Sec-WebSocket-Protocol: sip\r\n\r\n"

static inline int web_setup_closed(void **state)
{
	struct stage *stage = stage_new();

	stage->listeners[ACCESS_WS].transport = TRANSPORT_WS;
	stage->settings.websocket_ping_ms = PING_MS;
	*state = stage;
	return 0;
}

static inline int web_setup(void **state)
{
	web_setup_closed(state);
	return stage_open(*state);
}

#define web_test(name) cmocka_unit_test_setup_teardown(name, web_setup, stage_teardown)
#define web_test_closed(name)                                                                      \
	cmocka_unit_test_setup_teardown(name, web_setup_closed, stage_teardown)

/* Turns until so many bytes have come, then takes them; NUL behind them. */
static inline const char *web_read(struct stage *stage, int fd, size_t length)
{
	static char text[70000];
	int waiting = 0;

	assert_true(length < sizeof(text));
	stage_until(stage, ioctl(fd, FIONREAD, &waiting) == 0 && (size_t)waiting >= length);
	assert_int_equal(recv(fd, text, length, 0), length);
	text[length] = '\0';
	return text;
}

/* One frame masked as clients do. */
static inline void web_write(int fd, unsigned first, const void *payload, size_t length)
{
	static const unsigned char mask[4] = {1, 2, 3, 4};
	unsigned char *frame = malloc(length + 14), *at = frame;

	*at++ = (unsigned char)first;
	*at++ = (unsigned char)(0x80 | (length < 126 ? length : length < 65536 ? 126 : 127));
	for (int i = length < 126 ? 0 : length < 65536 ? 2 : 8; i > 0; i--)
		*at++ = (unsigned char)(length >> (8 * (i - 1)));
	memcpy(at, mask, 4);
	at += 4;
	for (size_t i = 0; i < length; i++)
		*at++ = ((const unsigned char *)payload)[i] ^ mask[i % 4];
	assert_int_equal(send(fd, frame, (size_t)(at - frame), MSG_NOSIGNAL), at - frame);
	free(frame);
}

static inline void web_write_text(int fd, const char *text)
{
	web_write(fd, FIN | WEBSOCKET_TEXT, text, strlen(text));
}

#define UPGRADE_ANSWER                                                                             \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"        \
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"                                   \
	"Sec-WebSocket-Protocol: sip\r\n\r\n"

/* A connection that is upgraded. */
static inline int web_connect(struct stage *stage)
{
	int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_WS));

	peer_write(fd, UPGRADE_REQUEST);
	assert_string_equal(web_read(stage, fd, sizeof(UPGRADE_ANSWER) - 1), UPGRADE_ANSWER);
	return fd;
}

static inline void web_assert_frame(struct stage *stage, int fd, unsigned opcode,
                                    const void *payload, size_t length)
{
	const char *frame = web_read(stage, fd, 2 + length);

	assert_int_equal((unsigned char)frame[0], FIN | opcode);
	assert_int_equal((unsigned char)frame[1], length);
	assert_memory_equal(frame + 2, payload, length);
}

/* A close frame with this code, then the end of the stream. */
static inline void web_assert_closed(struct stage *stage, int fd, enum websocket_code code)
{
	const char payload[2] = {(char)(code >> 8), (char)code};

	web_assert_frame(stage, fd, WEBSOCKET_CLOSE, payload, 2);
	stage_until(stage, peer_is_ended(fd));
}

static inline int64_t web_errors(const struct stage *stage, enum parse_error_reason reason)
{
	return metrics_read(stage->registry, METRIC_PARSE_ERRORS, TRANSPORT_WS, reason, 0);
}

#endif
