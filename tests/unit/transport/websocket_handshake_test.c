/* The HTTP request that opens a WebSocket: RFC 6455 4.2, RFC 7118 4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "support/alloc_fail.h"
#include "transport/websocket_handshake.h"

#define REQUEST_LINE "GET /ws HTTP/1.1\r\n"
#define HOST "Host: edge.example.net\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
/* the key of RFC 6455 1.3 */
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: sip\r\n"
#define REST HOST UPGRADE KEY VERSION
#define GOOD REQUEST_LINE REST PROTOCOL "\r\n"

static const char *const no_origins[] = {NULL};
static const char *const two_origins[] = {"https://phone.example.net", "https://example.org:8443"};

/* What became of it; the answer's first line is in `line`. */
static enum upgrade_result ask(const char *request, const char *const *origins, unsigned count,
                               char line[64])
{
	struct websocket_handshake handshake;
	const char *end;

	if (!websocket_handshake_read(slice_from_string(request), origins, count, &handshake))
		fail_msg("undecided: %s", request);
	assert_false(handshake.answer.failed);
	end = memchr(handshake.answer.data, '\r', handshake.answer.length);
	snprintf(line, 64, "%.*s", (int)(end - handshake.answer.data), handshake.answer.data);
	if (handshake.result != UPGRADE_ACCEPTED)
		assert_non_null(memmem(handshake.answer.data, handshake.answer.length,
		                       "\r\nConnection: close\r\n", 21));
	websocket_handshake_free(&handshake);
	return handshake.result;
}

static void assert_answer(const char *request, enum upgrade_result result, int status)
{
	char line[64];
	int told = 0;

	if (ask(request, no_origins, 0, line) != result)
		fail_msg("%s: %s", line, request);
	assert_int_equal(sscanf(line, "HTTP/1.1 %d ", &told), 1);
	assert_int_equal(told, status);
}

static void request_of_the_rfc_is_answered_with_its_accept(void **state)
{
	struct websocket_handshake handshake;
	static const char wanted[] = "HTTP/1.1 101 Switching Protocols\r\n"
				     "Upgrade: websocket\r\n"
				     "Connection: Upgrade\r\n"
				     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
				     "Sec-WebSocket-Protocol: sip\r\n\r\n";

	assert_true(websocket_handshake_read(SLICE_LITERAL(GOOD "\x81\x80"), no_origins, 0,
	                                     &handshake));
	assert_int_equal(handshake.result, UPGRADE_ACCEPTED);
	assert_int_equal(handshake.length, sizeof(GOOD) - 1);
	assert_int_equal(handshake.answer.length, sizeof(wanted) - 1);
	assert_memory_equal(handshake.answer.data, wanted, sizeof(wanted) - 1);
	websocket_handshake_free(&handshake);
}

static void every_beginning_of_a_good_request_waits_for_the_rest(void **state)
{
	struct websocket_handshake handshake;

	for (size_t n = 1; n < sizeof(GOOD) - 1; n++)
		assert_false(
			websocket_handshake_read(slice_of(GOOD, n), no_origins, 0, &handshake));
}

static void words_of_a_request_may_be_spelt_as_http_allows(void **state)
{
	assert_answer(
		REQUEST_LINE
		"host:edge\r\nUPGRADE: h2c, WebSocket\r\nconnection: keep-alive , upgrade\r\n"
		"sec-websocket-key:\tdGhlIHNhbXBsZSBub25jZQ== \r\nsec-websocket-version:13\r\n"
		"Sec-WebSocket-Protocol: xmpp\r\nsec-websocket-protocol: msrp,SIP\r\n"
		"Cookie: a=\xc3\xa9\r\nContent-Length: 0\r\n\r\n",
		UPGRADE_ACCEPTED, 101);
}

static void what_is_no_websocket_request_gets_the_status_that_says_why(void **state)
{
	assert_answer("POST /ws HTTP/1.1\r\n" REST PROTOCOL "\r\n", UPGRADE_BAD_METHOD, 405);
	assert_answer("GET /ws HTTP/1.0\r\n" REST PROTOCOL "\r\n", UPGRADE_BAD_REQUEST, 400);
	assert_answer("REGISTER sip:example.net SIP/2.0\r\nVia: x\r\n\r\n", UPGRADE_BAD_REQUEST,
	              400);
	assert_answer("GET /ws\r\n" REST PROTOCOL "\r\n", UPGRADE_BAD_REQUEST, 400);
	assert_answer("GET  HTTP/1.1\r\n" REST PROTOCOL "\r\n", UPGRADE_BAD_REQUEST, 400);
	assert_answer(REQUEST_LINE HOST "\r\n", UPGRADE_NOT_ASKED, 426);
	assert_answer(REQUEST_LINE HOST "Upgrade: websocket\r\n" KEY VERSION PROTOCOL "\r\n",
	              UPGRADE_NOT_ASKED, 426);
	assert_answer(REQUEST_LINE HOST UPGRADE KEY PROTOCOL "\r\n", UPGRADE_BAD_VERSION, 426);
	assert_answer(REQUEST_LINE HOST UPGRADE KEY PROTOCOL "Sec-WebSocket-Version: 8\r\n\r\n",
	              UPGRADE_BAD_VERSION, 426);
	assert_answer(REQUEST_LINE REST "\r\n", UPGRADE_NO_SUBPROTOCOL, 400);
	assert_answer(REQUEST_LINE REST "Sec-WebSocket-Protocol: msrp, sipx\r\n\r\n",
	              UPGRADE_NO_SUBPROTOCOL, 400);
	assert_answer(REQUEST_LINE UPGRADE KEY VERSION PROTOCOL "\r\n", UPGRADE_BAD_REQUEST, 400);
	assert_answer(REQUEST_LINE REST PROTOCOL "Content-Length: 5\r\n\r\n", UPGRADE_TOO_LARGE,
	              413);
	assert_answer(REQUEST_LINE REST PROTOCOL "Transfer-Encoding: chunked\r\n\r\n",
	              UPGRADE_TOO_LARGE, 413);
}

static void keys_that_are_not_sixteen_bytes_are_refused(void **state)
{
	static const char *const keys[] = {"",
	                                   "dGhlIHNhbXBsZSBub25jZQ",
	                                   "dGhlIHNhbXBsZSBub25jZQ=",
	                                   "dGhlIHNhbXBsZSBub25jZWE=",
	                                   "dGhlIHNhbXBsZSBub25j?Q==",
	                                   "dGhlIHNhbXBsZSBub25jZQ==AAAA"};
	char text[512];

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(text, sizeof(text),
		         REQUEST_LINE HOST UPGRADE VERSION PROTOCOL "Sec-WebSocket-Key: %s\r\n\r\n",
		         keys[i]);
		assert_answer(text, UPGRADE_BAD_REQUEST, 400);
	}
}

static void headers_that_may_stand_once_are_refused_twice(void **state)
{
	static const char *const again[] = {HOST, KEY, VERSION};
	char text[512];

	for (size_t i = 0; i < sizeof(again) / sizeof(again[0]); i++) {
		snprintf(text, sizeof(text), "%s%s\r\n", REQUEST_LINE REST PROTOCOL, again[i]);
		assert_answer(text, UPGRADE_BAD_REQUEST, 400);
	}
	assert_answer(REQUEST_LINE REST PROTOCOL "Origin: https://a\r\nOrigin: https://b\r\n\r\n",
	              UPGRADE_BAD_REQUEST, 400);
}

static void bytes_that_http_does_not_have_are_refused_at_once(void **state)
{
	struct websocket_handshake handshake;
	static const struct slice strange[] = {
		SLICE_LITERAL("\x16\x03\x01\x02"),     /* a TLS hello */
		SLICE_LITERAL("\r\n\r\n\0\r\nQUIT\n"), /* a PROXY header of nobody we know */
		SLICE_LITERAL("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"),
		SLICE_LITERAL("OPTIONS sip:a SIP/2.0\r\n"),
		SLICE_LITERAL("GET / HTTP/1.1\nHost: x\n\n"),
		SLICE_LITERAL("GET / HTTP/1.1\rHost: x"),
		SLICE_LITERAL("GET / HTTP/1.1\r\nHost: \x7f"),
		SLICE_LITERAL("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"),
		SLICE_LITERAL("GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
		SLICE_LITERAL("GET / HTTP/1.1\r\nno colon\r\n\r\n"),
	};

	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
		assert_true(websocket_handshake_read(strange[i], no_origins, 0, &handshake));
		assert_int_equal(handshake.result, UPGRADE_BAD_REQUEST);
		websocket_handshake_free(&handshake);
	}
}

static void request_without_end_is_refused_at_the_limit(void **state)
{
	static char text[WEBSOCKET_REQUEST_MAX_BYTES + 1];
	struct websocket_handshake handshake;

	memset(text, 'x', sizeof(text));
	memcpy(text, REQUEST_LINE, sizeof(REQUEST_LINE) - 1);
	assert_false(websocket_handshake_read(slice_of(text, WEBSOCKET_REQUEST_MAX_BYTES - 1),
	                                      no_origins, 0, &handshake));
	assert_true(websocket_handshake_read(slice_of(text, WEBSOCKET_REQUEST_MAX_BYTES),
	                                     no_origins, 0, &handshake));
	assert_int_equal(handshake.result, UPGRADE_TOO_LARGE);
	websocket_handshake_free(&handshake);
}

static void hundred_headers_pass_and_one_more_does_not(void **state)
{
	char text[4096] = REQUEST_LINE REST PROTOCOL;

	for (unsigned i = 7; i <= 100; i++)
		strcat(text, "X: y\r\n");
	strcat(text, "\r\n");
	assert_answer(text, UPGRADE_ACCEPTED, 101);
	strcpy(text + strlen(text) - 2, "X: y\r\n\r\n");
	assert_answer(text, UPGRADE_TOO_LARGE, 413);
}

static void pages_of_strangers_are_refused_and_clients_without_origin_are_not(void **state)
{
	char line[64];

	assert_int_equal(ask(REQUEST_LINE REST PROTOCOL "Origin: https://evil.example\r\n\r\n",
	                     two_origins, 2, line),
	                 UPGRADE_BAD_ORIGIN);
	assert_string_equal(line, "HTTP/1.1 403 Forbidden");
	assert_int_equal(ask(REQUEST_LINE REST PROTOCOL "Origin: null\r\n\r\n", two_origins, 2,
	                     line),
	                 UPGRADE_BAD_ORIGIN);
	/* scheme and port belong to an origin, RFC 6454 4 */
	assert_int_equal(ask(REQUEST_LINE REST PROTOCOL "Origin: https://example.org\r\n\r\n",
	                     two_origins, 2, line),
	                 UPGRADE_BAD_ORIGIN);
	assert_int_equal(ask(REQUEST_LINE REST PROTOCOL "Origin: https://EXAMPLE.org:8443\r\n\r\n",
	                     two_origins, 2, line),
	                 UPGRADE_ACCEPTED);
	assert_int_equal(ask(GOOD, two_origins, 2, line), UPGRADE_ACCEPTED);
	assert_int_equal(ask(REQUEST_LINE REST PROTOCOL "Origin: https://evil.example\r\n\r\n",
	                     no_origins, 0, line),
	                 UPGRADE_ACCEPTED);
}

static void who_is_slow_is_told(void **state)
{
	struct websocket_handshake handshake;

	websocket_handshake_refuse(UPGRADE_SLOW, &handshake);
	assert_int_equal(handshake.result, UPGRADE_SLOW);
	assert_memory_equal(handshake.answer.data, "HTTP/1.1 408 ", 13);
	websocket_handshake_free(&handshake);
}

static void scene_of_an_answer(void *arg)
{
	struct websocket_handshake handshake;

	assert_true(websocket_handshake_read(SLICE_LITERAL(GOOD), no_origins, 0, &handshake));
	assert_int_equal(handshake.answer.failed, alloc_fail_happened());
	websocket_handshake_free(&handshake);
}

static void answer_that_finds_no_memory_says_so(void **state)
{
	assert_true(alloc_fail_each(scene_of_an_answer, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_of_the_rfc_is_answered_with_its_accept),
		cmocka_unit_test(every_beginning_of_a_good_request_waits_for_the_rest),
		cmocka_unit_test(words_of_a_request_may_be_spelt_as_http_allows),
		cmocka_unit_test(what_is_no_websocket_request_gets_the_status_that_says_why),
		cmocka_unit_test(keys_that_are_not_sixteen_bytes_are_refused),
		cmocka_unit_test(headers_that_may_stand_once_are_refused_twice),
		cmocka_unit_test(bytes_that_http_does_not_have_are_refused_at_once),
		cmocka_unit_test(request_without_end_is_refused_at_the_limit),
		cmocka_unit_test(hundred_headers_pass_and_one_more_does_not),
		cmocka_unit_test(pages_of_strangers_are_refused_and_clients_without_origin_are_not),
		cmocka_unit_test(who_is_slow_is_told),
		cmocka_unit_test(answer_that_finds_no_memory_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
