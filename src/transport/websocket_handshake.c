/*
 * The HTTP request that opens a WebSocket. Pure, any thread. RFC 6455 4.2.1, 4.2.2, 4.4; RFC 7118 4; RFC 9112
 * for what a header line is. A parser of our own: libevent's belongs to its own server, and a hundred lines
 * that refuse everything unusual are safer than a lenient one.
 */
#include "transport/websocket_handshake.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/error.h"

/* RFC 6455 1.3 */
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define SHA1_BYTES 20
/* 16 bytes in base64 */
#define KEY_LENGTH 24

struct request {
	struct slice method, host, key, version, origin, protocol;
	unsigned hosts, keys, versions, origins, headers;
	bool upgrade, connection, body, http_1_1;
};

static const struct {
	int status;
	const char *phrase, *headers, *text;
} answers[UPGRADE_RESULTS] = {
	[UPGRADE_ACCEPTED] = {101, "Switching Protocols", "", ""},
	[UPGRADE_BAD_REQUEST] = {400, "Bad Request", "",
                                 "not a WebSocket handshake (RFC 6455 4.2.1)\n"},
	[UPGRADE_BAD_METHOD] = {405, "Method Not Allowed", "Allow: GET\r\n", "GET only\n"},
	[UPGRADE_NOT_ASKED] = {426, "Upgrade Required",
                               "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                               "SIP over WebSocket only (RFC 7118)\n"},
	[UPGRADE_BAD_VERSION] = {426, "Upgrade Required",
                                 "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                                 "WebSocket version 13 only (RFC 6455)\n"},
	[UPGRADE_NO_SUBPROTOCOL] = {400, "Bad Request", "",
                                    "the sub-protocol sip must be offered (RFC 7118 4.1)\n"},
	[UPGRADE_BAD_ORIGIN] = {403, "Forbidden", "", "not from this origin\n"},
	[UPGRADE_TOO_LARGE] = {413, "Content Too Large", "", "request too large\n"},
	[UPGRADE_SLOW] = {408, "Request Timeout", "", "the request did not come in time\n"},
};

/* ---- reading ---- */

static bool is_token_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_token(struct slice s)
{
	for (size_t i = 0; i < s.length; i++) {
		if (!is_token_byte((unsigned char)s.data[i]))
			return false;
	}
	return s.length > 0;
}

/* The next non-empty item of a comma list. */
static bool next_item(struct slice *list, struct slice *item)
{
	while (list->length > 0) {
		*item = slice_trim(slice_split(*list, ',', list));
		if (item->length > 0)
			return true;
	}
	return false;
}

static bool list_has(struct slice list, struct slice wanted, struct slice *found)
{
	struct slice item;

	while (next_item(&list, &item)) {
		if (slice_equal_nocase(item, wanted)) {
			*found = item;
			return true;
		}
	}
	return false;
}

static void note_once(struct slice value, struct slice *out, unsigned *count)
{
	*out = value;
	(*count)++;
}

static void note_header(struct request *request, struct slice name, struct slice value)
{
	struct slice item;

	if (slice_equal_nocase(name, SLICE_LITERAL("Host")))
		note_once(value, &request->host, &request->hosts);
	else if (slice_equal_nocase(name, SLICE_LITERAL("Sec-WebSocket-Key")))
		note_once(value, &request->key, &request->keys);
	else if (slice_equal_nocase(name, SLICE_LITERAL("Sec-WebSocket-Version")))
		note_once(value, &request->version, &request->versions);
	else if (slice_equal_nocase(name, SLICE_LITERAL("Origin")))
		note_once(value, &request->origin, &request->origins);
	else if (slice_equal_nocase(name, SLICE_LITERAL("Upgrade")))
		request->upgrade |= list_has(value, SLICE_LITERAL("websocket"), &item);
	else if (slice_equal_nocase(name, SLICE_LITERAL("Connection")))
		request->connection |= list_has(value, SLICE_LITERAL("Upgrade"), &item);
	else if (slice_equal_nocase(name, SLICE_LITERAL("Sec-WebSocket-Protocol")))
		list_has(value, SLICE_LITERAL("sip"), &request->protocol);
	else if (slice_equal_nocase(name, SLICE_LITERAL("Transfer-Encoding")) ||
	         (slice_equal_nocase(name, SLICE_LITERAL("Content-Length")) &&
	          !slice_equal(value, SLICE_LITERAL("0"))))
		request->body = true;
}

/* Without its CRLF; the caller has seen that every LF follows a CR and no other byte is a control. */
static struct slice next_line(struct slice *text)
{
	struct slice line = slice_split(*text, '\n', text);

	if (line.length > 0)
		line.length--;
	return line;
}

static bool read_request_line(struct slice line, struct request *out)
{
	struct slice target;

	out->method = slice_split(line, ' ', &line);
	target = slice_split(line, ' ', &line);
	out->http_1_1 = slice_equal(line, SLICE_LITERAL("HTTP/1.1"));
	return is_token(out->method) && target.length > 0 &&
	       slice_starts_with(line, SLICE_LITERAL("HTTP/"));
}

static bool read_header(struct slice line, struct request *out)
{
	const ptrdiff_t colon = slice_index(line, ':');
	struct slice name;

	if (colon < 0)
		return false;
	name = slice_of(line.data, (size_t)colon);
	if (!is_token(name)) /* RFC 9112 5.1, 5.2: no blank before the colon, no folding */
		return false;
	out->headers++;
	note_header(out, name, slice_trim(slice_skip(line, (size_t)colon + 1)));
	return true;
}

/* Bytes that no HTTP request has, a TLS hello for one: no need to wait for an end that will not come. */
static bool has_strange_bytes(struct slice text)
{
	for (size_t i = 0; i < text.length; i++) {
		const unsigned char c = (unsigned char)text.data[i];

		if (c >= ' ' && c != 0x7f)
			continue;
		if (c == '\n' ? i == 0 || text.data[i - 1] != '\r' : c != '\r' && c != '\t')
			return true;
		if (c == '\r' && i + 1 < text.length && text.data[i + 1] != '\n')
			return true;
	}
	return false;
}

/* ---- judging ---- */

/* RFC 6455 4.2.1 point 5: sixteen bytes in base64. */
static bool is_key(struct slice key)
{
	unsigned char nonce[KEY_LENGTH];

	return key.length == KEY_LENGTH && key.data[KEY_LENGTH - 1] == '=' &&
	       key.data[KEY_LENGTH - 2] == '=' && key.data[KEY_LENGTH - 3] != '=' &&
	       EVP_DecodeBlock(nonce, (const unsigned char *)key.data, KEY_LENGTH) ==
	               KEY_LENGTH / 4 * 3;
}

static bool is_welcome(struct slice origin, const char *const *origins, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (slice_equal_nocase(origin, slice_from_string(origins[i])))
			return true;
	}
	return count == 0;
}

static enum upgrade_result judge(const struct request *request, const char *const *origins,
                                 unsigned origin_count)
{
	if (request->headers > WEBSOCKET_REQUEST_MAX_HEADERS || request->body)
		return UPGRADE_TOO_LARGE;
	if (!slice_equal(request->method, SLICE_LITERAL("GET")))
		return UPGRADE_BAD_METHOD;
	if (!request->http_1_1 || request->hosts != 1 || request->host.length == 0)
		return UPGRADE_BAD_REQUEST;
	if (!request->upgrade || !request->connection)
		return UPGRADE_NOT_ASKED;
	if (request->versions > 1 || request->keys > 1 || request->origins > 1)
		return UPGRADE_BAD_REQUEST;
	if (!slice_equal(request->version, SLICE_LITERAL("13")))
		return UPGRADE_BAD_VERSION;
	if (!is_key(request->key))
		return UPGRADE_BAD_REQUEST;
	if (request->origins == 1 && !is_welcome(request->origin, origins, origin_count))
		return UPGRADE_BAD_ORIGIN;
	if (request->protocol.length == 0)
		return UPGRADE_NO_SUBPROTOCOL;
	return UPGRADE_ACCEPTED;
}

/* ---- answering ---- */

/* RFC 6455 4.2.2 point 5.4 */
static void append_accept(struct buffer *answer, struct slice key)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[KEY_LENGTH + sizeof(ACCEPT_GUID)];
	char base64[4 * ((SHA1_BYTES + 2) / 3) + 1];

	memcpy(text, key.data, KEY_LENGTH);
	memcpy(text + KEY_LENGTH, ACCEPT_GUID, sizeof(ACCEPT_GUID) - 1);
	if (EVP_Digest(text, KEY_LENGTH + sizeof(ACCEPT_GUID) - 1, digest, NULL, EVP_sha1(),
	               NULL) != 1) {
		answer->failed = true;
		return;
	}
	EVP_EncodeBlock((unsigned char *)base64, digest, SHA1_BYTES);
	buffer_append_string(answer, base64);
}

static void accept_upgrade(struct buffer *answer, const struct request *request)
{
	buffer_append_string(answer, "HTTP/1.1 101 Switching Protocols\r\n"
	                             "Upgrade: websocket\r\n"
	                             "Connection: Upgrade\r\n"
	                             "Sec-WebSocket-Accept: ");
	append_accept(answer, request->key);
	/* as the client wrote it, since browsers compare with case */
	buffer_append_string(answer, "\r\nSec-WebSocket-Protocol: ");
	buffer_append_slice(answer, request->protocol);
	buffer_append_string(answer, "\r\n\r\n");
}

void websocket_handshake_refuse(enum upgrade_result result, struct websocket_handshake *out)
{
	ASSERT(result != UPGRADE_ACCEPTED && result < UPGRADE_RESULTS);
	memset(out, 0, sizeof(*out));
	buffer_init(&out->answer);
	out->result = result;
	buffer_printf(&out->answer,
	              "HTTP/1.1 %d %s\r\n%sConnection: close\r\nContent-Type: text/plain\r\n"
	              "Content-Length: %zu\r\n\r\n%s",
	              answers[result].status, answers[result].phrase, answers[result].headers,
	              strlen(answers[result].text), answers[result].text);
}

/* A whole request, its empty line included. */
static void answer(struct slice text, const char *const *origins, unsigned origin_count,
                   struct websocket_handshake *out)
{
	struct request request = {0};
	enum upgrade_result result = UPGRADE_BAD_REQUEST;
	struct slice rest = text, line;
	bool sound;

	sound = read_request_line(next_line(&rest), &request);
	while (sound && (line = next_line(&rest)).length > 0)
		sound = read_header(line, &request);
	if (sound)
		result = judge(&request, origins, origin_count);
	if (result != UPGRADE_ACCEPTED) {
		websocket_handshake_refuse(result, out);
	} else {
		memset(out, 0, sizeof(*out));
		buffer_init(&out->answer);
		out->result = result;
		accept_upgrade(&out->answer, &request);
	}
	out->length = text.length;
}

/* SIP, or a PROXY header that nobody expects, shows in the first line. */
static bool may_become_request(struct slice text)
{
	struct request request = {0};

	return slice_index(text, '\n') < 0 || read_request_line(next_line(&text), &request);
}

bool websocket_handshake_read(struct slice bytes, const char *const *origins, unsigned origin_count,
                              struct websocket_handshake *out)
{
	struct slice head = bytes;
	const char *end;

	if (head.length > WEBSOCKET_REQUEST_MAX_BYTES)
		head.length = WEBSOCKET_REQUEST_MAX_BYTES;
	end = memmem(head.data, head.length, "\r\n\r\n", 4);
	if (end != NULL)
		head.length = (size_t)(end - head.data) + 4;
	if (has_strange_bytes(head) || !may_become_request(head)) {
		websocket_handshake_refuse(UPGRADE_BAD_REQUEST, out);
		return true;
	}
	if (end == NULL && bytes.length < WEBSOCKET_REQUEST_MAX_BYTES)
		return false;
	if (end == NULL)
		websocket_handshake_refuse(UPGRADE_TOO_LARGE, out);
	else
		answer(head, origins, origin_count, out);
	return true;
}

void websocket_handshake_free(struct websocket_handshake *handshake)
{
	buffer_free(&handshake->answer);
}
