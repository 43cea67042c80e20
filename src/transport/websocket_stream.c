/*
 * WebSocket connections: the upgrade, then one SIP message per WebSocket message, pings both ways, and the
 * close handshake. Stands where the framer stands on TCP; what is below (plain or TLS) it does not see.
 * RFC 6455, RFC 7118. Worker thread only.
 */
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "transport/websocket_handshake.h"
#include "transport_internal.h"

/* Pings that a silent client may leave unanswered before it counts as gone. */
#define PINGS_UNANSWERED_MAX 2
/* Control frames, keep-alives and empty messages of one client in a second: a phone sends one in twenty
 * seconds. Beyond it they are there to keep us busy. */
#define CONTROLS_PER_SECOND 100
#define CONTROL_WINDOW_MS 1000

/* The last ping of what was read; RFC 6455 5.5.3 allows to answer that one alone. */
struct ping {
	bool waits;
	size_t length;
	char payload[125];
};

static uint64_t now_ms(const struct connection *connection)
{
	return loop_now_ms(connection->transport->loop);
}

/* ---- writing ---- */

static int queue_frame(struct connection *connection, struct bytes **frame)
{
	const int err = *frame != NULL ? tcp_queue(connection, NULL, frame) : -ENOMEM;

	bytes_release(frame);
	return err;
}

/* RFC 6455 5.5.1: nothing may follow. */
static void say_close(struct connection *connection, enum websocket_code code)
{
	struct bytes *frame;

	if (connection->web.close_sent)
		return;
	connection->web.close_sent = true;
	frame = websocket_close_frame(code);
	queue_frame(connection, &frame); /* if it cannot be said, the FIN says it */
}

void websocket_say_goodbye(struct connection *connection, enum close_reason reason)
{
	/* A peer whose FIN has come hears nothing any more. */
	if (connection->web.upgraded && connection->state == CONNECTION_OPEN &&
	    reason != CLOSE_PEER)
		say_close(connection, WEBSOCKET_GOING_AWAY);
}

static void fail(struct connection *connection, enum websocket_code code)
{
	enum parse_error_reason counted = PARSE_ERROR_FRAME_PROTOCOL;
	enum close_reason reason = CLOSE_WEBSOCKET;

	if (code == WEBSOCKET_TOO_BIG) {
		counted = PARSE_ERROR_FRAME_TOO_LONG;
		reason = CLOSE_FRAME_TOO_LONG;
	} else if (code == WEBSOCKET_NOT_UTF8) {
		counted = PARSE_ERROR_FRAME_NOT_UTF8;
	} else if (code == WEBSOCKET_INTERNAL) {
		counted = PARSE_ERROR_NO_MEMORY;
		reason = CLOSE_LIMIT;
	}
	metrics_add(connection->transport->metrics, METRIC_PARSE_ERRORS, connection->hop.transport,
	            counted, 0, 1);
	say_close(connection, code);
	connection_close(connection, reason);
}

static int websocket_send(struct transport *transport, const struct hop *hop, struct bytes **bytes)
{
	struct connection *connection = connection_find(transport, hop);
	char text[WEBSOCKET_HEADER_MAX_BYTES];
	enum websocket_opcode opcode;
	struct bytes *header;
	int err;

	if (connection == NULL || !connection->web.upgraded)
		return -ENOTCONN;
	if ((*bytes)->length == 0)
		return 0;
	/* Browsers hand text to a script as text; what is no UTF-8 may not go as text (RFC 6455 5.6). */
	opcode = websocket_is_utf8(bytes_slice(*bytes)) ? WEBSOCKET_TEXT : WEBSOCKET_BINARY;
	header = bytes_copy(slice_of(text, websocket_write_header(opcode, (*bytes)->length, text)));
	if (header == NULL)
		return -ENOMEM;
	err = tcp_queue(connection, &header, bytes);
	bytes_release(&header);
	if (err == 0)
		connection->active_ms = now_ms(connection);
	return err;
}

/* RFC 7118 describes servers that are dialled by clients; no client listens, and no Sprout speaks it. */
static int websocket_open(struct transport *transport, struct listener *listener,
                          const struct transport_peer *peer, struct hop *out)
{
	return -EPROTONOSUPPORT;
}

/* ---- the upgrade ---- */

/* Counted, and its memory given back. */
static int answer_upgrade(struct connection *connection, struct websocket_handshake *handshake)
{
	struct bytes *answer = buffer_to_bytes(&handshake->answer);

	metrics_add(connection->transport->metrics, METRIC_WEBSOCKET_UPGRADES, handshake->result, 0,
	            0, 1);
	websocket_handshake_free(handshake);
	return queue_frame(connection, &answer);
}

static void finish_upgrade(struct connection *connection, struct websocket_handshake *handshake)
{
	const bool accepted = handshake->result == UPGRADE_ACCEPTED;

	if (answer_upgrade(connection, handshake) != 0)
		connection_abort(connection, CLOSE_LIMIT);
	else if (!accepted)
		connection_close(connection, CLOSE_WEBSOCKET);
	if (connection->state != CONNECTION_OPEN)
		return;
	connection->web.upgraded = true;
	connection->web.heard_ms = now_ms(connection);
	connection->partial_since = 0;
}

/* How many bytes the request took; 0: it is not whole yet, or was refused. */
static size_t take_upgrade(struct connection *connection, struct slice input)
{
	const struct listener_settings *settings =
		connection->transport->listeners[connection->hop.listener].settings;
	const uint64_t since = connection->partial_since;
	struct websocket_handshake handshake;
	size_t length;

	if (websocket_handshake_read(input, settings->origins, settings->origin_count,
	                             &handshake)) {
		length = handshake.length;
		finish_upgrade(connection, &handshake);
		stream_drop(connection);
		return length;
	}
	if (stream_keep(connection, input.data, input.length, connection->partial_length) != 0)
		connection_abort(connection, CLOSE_LIMIT);
	connection->partial_since = since; /* the clock runs from the beginning of the connection */
	return 0;
}

void websocket_on_slow(struct connection *connection)
{
	struct websocket_handshake handshake;

	if (connection->web.upgraded) {
		metrics_add(connection->transport->metrics, METRIC_PARSE_ERRORS,
		            connection->hop.transport, PARSE_ERROR_FRAME_SLOW, 0, 1);
		say_close(connection, WEBSOCKET_POLICY);
	} else {
		websocket_handshake_refuse(UPGRADE_SLOW, &handshake);
		answer_upgrade(connection, &handshake); /* if it cannot be said, the FIN says it */
	}
	connection_close(connection, CLOSE_SLOW);
}

/* ---- messages ---- */

/* False: too many in this second, and it is closed. */
static bool count_control(struct connection *connection)
{
	struct web *web = &connection->web;
	const uint64_t now = now_ms(connection);

	if (now - web->window_ms >= CONTROL_WINDOW_MS) {
		web->window_ms = now;
		web->controls = 0;
	}
	if (++web->controls <= CONTROLS_PER_SECOND)
		return true;
	fail(connection, WEBSOCKET_POLICY);
	return false;
}

static bool is_blank(struct slice message)
{
	return slice_trim(message).length == 0;
}

/* RFC 7118 8 leaves keep-alive to WebSocket pings, which scripts cannot send; so they send the double CRLF of
 * RFC 5626 as a message, and wait for its answer. */
static void take_blank(struct connection *connection, struct slice message)
{
	struct bytes *pong;

	if (!count_control(connection) || !slice_equal(message, SLICE_LITERAL("\r\n\r\n")))
		return;
	transport_keepalive(connection->transport, &connection->hop);
	pong = bytes_share(connection->transport->pong);
	(void)transport_send(connection->transport, &connection->hop, &pong);
}

/* RFC 7118 5.3: one message each; Content-Length may be left out. Where it stands it must not leave bytes
 * over, which another reader might take for a second message; bytes missing are seen by the parser. */
static bool has_surplus(const struct connection *connection, struct slice message)
{
	size_t start, length;
	struct framer framer;

	framer_init(&framer, connection->transport->settings.message_bytes);
	return framer_next(&framer, message, &start, &length) == FRAMER_MESSAGE &&
	       start + length < message.length;
}

static void take_message(struct connection *connection, struct slice message)
{
	struct transport *transport = connection->transport;
	const struct packet packet = {message, connection->hop};
	bool surplus;

	connection->active_ms = now_ms(connection);
	connection->partial_since = 0; /* what stands behind it is another one */
	if (is_blank(message)) {
		take_blank(connection, message);
		return;
	}
	surplus = has_surplus(connection, message);
	if (surplus)
		metrics_add(transport->metrics, METRIC_PARSE_ERRORS, connection->hop.transport,
		            PARSE_ERROR_FRAME_BAD_LENGTH, 0, 1);
	transport->events.on_packet(transport->arg, &packet, surplus);
}

/* ---- frames ---- */

static void take_ping(struct connection *connection, struct slice payload, struct ping *ping)
{
	if (!count_control(connection))
		return;
	connection->active_ms = now_ms(connection);
	ping->waits = true;
	ping->length = payload.length;
	memcpy(ping->payload, payload.data, payload.length);
	transport_keepalive(connection->transport, &connection->hop);
}

static void take_close(struct connection *connection, enum websocket_code code)
{
	say_close(connection, code); /* RFC 6455 5.5.1: the code is echoed */
	connection_close(connection, CLOSE_PEER);
}

static void take_events(struct connection *connection, struct websocket_reader *reader,
                        struct slice input, struct ping *ping)
{
	while (connection->state == CONNECTION_OPEN) {
		struct websocket_event event;

		switch (websocket_read(reader, &input, &event)) {
		case WEBSOCKET_MORE:
			return;
		case WEBSOCKET_GOT_MESSAGE:
			take_message(connection, event.payload);
			break;
		case WEBSOCKET_GOT_PING:
			take_ping(connection, event.payload, ping);
			break;
		case WEBSOCKET_GOT_PONG:
			/* no reason to call it busy: we asked for it */
			if (count_control(connection))
				transport_keepalive(connection->transport, &connection->hop);
			break;
		case WEBSOCKET_GOT_CLOSE:
			take_close(connection, event.code);
			break;
		case WEBSOCKET_FAULT:
			fail(connection, event.code);
			break;
		}
	}
}

/* What the reader holds counts with the begun messages of all streams. */
static void settle(struct connection *connection, struct websocket_reader *reader)
{
	struct transport *transport = connection->transport;
	struct web *web = &connection->web;
	size_t held;

	if (connection->state != CONNECTION_OPEN) {
		websocket_reader_destroy(&reader);
		return;
	}
	websocket_reader_rest(&transport->web_readers, &reader);
	web->reader = reader;
	held = reader != NULL ? websocket_reader_held(reader) : 0;
	transport->partial_bytes += held - web->held;
	web->held = held;
	if (reader == NULL)
		connection->partial_since = 0;
	else if (connection->partial_since == 0)
		connection->partial_since = now_ms(connection);
	if (transport->partial_bytes > PARTIAL_BYTES_MAX && held > 0)
		connection_abort(connection, CLOSE_LIMIT);
}

static void take_frames(struct connection *connection, struct slice input)
{
	struct web *web = &connection->web;
	/* off the connection, which may end in a callback that still reads what the reader holds */
	struct websocket_reader *reader = web->reader;
	struct ping ping = {false};

	web->reader = NULL;
	web->heard_ms = now_ms(connection);
	web->pings = 0;
	if (websocket_reader_take(&connection->transport->web_readers, &reader) != 0) {
		connection_abort(connection, CLOSE_LIMIT);
		return;
	}
	take_events(connection, reader, input, &ping);
	if (ping.waits && connection->state == CONNECTION_OPEN) {
		struct bytes *pong = websocket_control_frame(WEBSOCKET_PONG,
		                                             slice_of(ping.payload, ping.length));

		queue_frame(connection, &pong);
	}
	settle(connection, reader);
}

void websocket_take(struct connection *connection, size_t length)
{
	struct slice input = {connection->transport->scratch, length};

	if (!connection->web.upgraded)
		input = slice_skip(input, take_upgrade(connection, input));
	if (connection->web.upgraded && connection->state == CONNECTION_OPEN && input.length > 0)
		take_frames(connection, input);
	connection_arm(connection);
}

void websocket_let_go(struct connection *connection)
{
	connection->transport->partial_bytes -= connection->web.held;
	connection->web.held = 0;
	websocket_reader_destroy(&connection->web.reader);
}

/* ---- time ---- */

uint64_t websocket_ping_due(const struct connection *connection)
{
	const uint64_t every = connection->transport->settings.websocket_ping_ms;
	const struct web *web = &connection->web;

	return web->upgraded && every > 0 ? web->heard_ms + (web->pings + 1u) * every : UINT64_MAX;
}

void websocket_on_ping_due(struct connection *connection)
{
	struct bytes *ping;

	if (connection->web.pings == PINGS_UNANSWERED_MAX) {
		connection_close(connection, CLOSE_IDLE);
		return;
	}
	connection->web.pings++;
	ping = websocket_control_frame(WEBSOCKET_PING, SLICE_NONE);
	queue_frame(connection, &ping);
}

const struct transport_kind transport_ws = {tcp_listen, websocket_open, websocket_send, tcp_close};
const struct transport_kind transport_wss = {tcp_listen, websocket_open, websocket_send, tcp_close};
