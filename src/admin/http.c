/*
 * A small HTTP/1.1 server for requests without a body (RFC 9110, 9112). Control loop.
 *
 * libevent's own (evhttp, 2.1) was tried first: it can neither bound its connections nor give a request a
 * deadline, its timeouts start again with every byte, and over a filter that counts connections it loses
 * replies at close. Here every connection has one deadline that no byte moves.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin_internal.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

/* A monitor or two, bonoctl, a browser with its six. */
#define CLIENTS_MAX 64
/* Browsers send about 1 KiB. */
#define HEAD_MAX_BYTES 8192
#define HEAD_MS 10000  /* from the first byte awaited to the end of the head */
#define IDLE_MS 60000  /* between requests: a scrape each half minute keeps its connection */
#define REPLY_MS 60000 /* to make the answer and to have it fetched */
/* A stream that says nothing for longer is taken for dead by proxies and people. */
#define BEAT_MS 15000
#define ACCEPT_REST_MS 500
#define LISTENERS_MAX 2

enum client_state {
	CLIENT_IDLE,      /* nothing of a request has come */
	CLIENT_READING,   /* a part of its head */
	CLIENT_WAITING,   /* somebody owes it a reply */
	CLIENT_WRITING,   /* the reply leaves */
	CLIENT_STREAMING, /* a reply without an end: what was given leaves */
	CLIENT_RESTING,   /* the same, and all that was given has left */
	CLIENT_CLOSED     /* in its grave */
};

struct http_server {
	struct loop *loop;
	struct http_events events;
	void *arg;
	struct evconnlistener *listeners[LISTENERS_MAX];
	struct list clients; /* the one longest in its state first */
	struct timer rest;   /* no accepting until then */
};

struct http_client {
	struct list_link in_server;
	struct http_server *server;
	struct bufferevent *stream;
	enum client_state state;
	struct timer deadline; /* of the state */
	bool head_only;        /* the request that waits is a HEAD */
	bool last;             /* close after the reply */
	bool local;            /* came by the Unix socket */
	http_pull_fn *pull;    /* of a stream */
	void (*on_gone)(void *arg);
	void *gone_arg;
	struct grave grave;
};

static void client_free(struct grave *grave)
{
	memory_free(CONTAINER_OF(grave, struct http_client, grave));
}

static void client_set_state(struct http_client *client, enum client_state state)
{
	static const uint64_t limits[] = {
		[CLIENT_IDLE] = IDLE_MS,       [CLIENT_READING] = HEAD_MS,
		[CLIENT_WAITING] = REPLY_MS,   [CLIENT_WRITING] = REPLY_MS,
		[CLIENT_STREAMING] = REPLY_MS, [CLIENT_RESTING] = BEAT_MS,
		[CLIENT_CLOSED] = 0,
	};
	struct list *clients = &client->server->clients;

	client->state = state;
	timer_stop(loop_timers(client->server->loop), &client->deadline);
	list_remove(clients, &client->in_server);
	if (state == CLIENT_CLOSED)
		return;
	list_append(clients, &client->in_server);
	timer_start(loop_timers(client->server->loop), &client->deadline, limits[state]);
}

static void client_close(struct http_client *client)
{
	void (*on_gone)(void *) = client->on_gone;

	if (client->state == CLIENT_CLOSED)
		return;
	client_set_state(client, CLIENT_CLOSED);
	bufferevent_free(client->stream);
	client->on_gone = NULL;
	loop_bury(client->server->loop, &client->grave, client_free);
	if (on_gone != NULL)
		on_gone(client->gone_arg);
}

/* ---- the request ---- */

/* The head in one piece, or NULL: not whole yet (or too long, then it has been answered). */
static char *take_head(struct http_client *client, size_t *length)
{
	struct evbuffer *input = bufferevent_get_input(client->stream);
	struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);

	if (end.pos < 0 && evbuffer_get_length(input) >= HEAD_MAX_BYTES) {
		client->last = true;
		http_reply_text(client, 431, "head too long\n");
		return NULL;
	}
	if (end.pos < 0)
		return NULL;
	*length = (size_t)end.pos + 4;
	return (char *)evbuffer_pullup(input, (ev_ssize_t)*length);
}

static bool next_line(struct slice *rest, struct slice *line)
{
	*line = slice_split(*rest, '\n', rest);
	if (line->length > 0 && line->data[line->length - 1] == '\r')
		line->length--;
	return line->length > 0;
}

/* What of the headers matters here; false: the request is broken. RFC 9112 3.2, 6. */
static bool read_headers(struct http_client *client, struct slice rest, bool needs_host,
                         struct http_request *request)
{
	struct slice line, value;
	bool has_host = false;

	while (next_line(&rest, &line)) {
		struct slice name = slice_split(line, ':', &value);

		value = slice_trim(value);
		if (name.length == line.length || name.length == 0)
			return false;
		if (slice_equal_nocase(name, SLICE_LITERAL("Host")))
			has_host = true;
		if (slice_equal_nocase(name, SLICE_LITERAL("Connection")) &&
		    slice_equal_nocase(value, SLICE_LITERAL("close")))
			client->last = true;
		if (slice_equal_nocase(name, SLICE_LITERAL("Accept")))
			request->accept = value;
		if (slice_equal_nocase(name, SLICE_LITERAL("Last-Event-ID")))
			request->last_event_id = value;
		/* A body is not read: what follows would be taken for the next request. */
		if (slice_equal_nocase(name, SLICE_LITERAL("Transfer-Encoding")) ||
		    (slice_equal_nocase(name, SLICE_LITERAL("Content-Length")) &&
		     !slice_equal(value, SLICE_LITERAL("0"))))
			client->last = true;
	}
	return has_host || !needs_host;
}

/* 0, or the status that refuses the request. */
static int read_head(struct http_client *client, struct slice head, struct http_request *request)
{
	struct slice line, rest = head, target, version;

	client->head_only = false;
	if (memchr(head.data, '\0', head.length) != NULL || !next_line(&rest, &line))
		return 400;
	request->client = client;
	request->local = client->local;
	request->method = slice_split(line, ' ', &target);
	target = slice_split(target, ' ', &version);
	request->path = slice_split(target, '?', &request->query);
	client->last = !slice_equal(version, SLICE_LITERAL("HTTP/1.1"));
	if (client->last && !slice_equal(version, SLICE_LITERAL("HTTP/1.0")))
		return slice_starts_with(version, SLICE_LITERAL("HTTP/")) ? 505 : 400;
	if (request->method.length == 0 || request->path.length == 0 ||
	    request->path.data[0] != '/')
		return 400;
	client->head_only = slice_equal(request->method, SLICE_LITERAL("HEAD"));
	return read_headers(client, rest, !client->last, request) ? 0 : 400;
}

static void refuse(struct http_client *client, int status)
{
	client->last = true;
	http_reply_text(client, status, status == 505 ? "HTTP/1.1, please\n" : "bad request\n");
}

/* One request at a time; the next one is looked at when the reply has left. */
static void client_process(struct http_client *client)
{
	struct http_request request = {.client = client};
	size_t length;
	char *head;
	int status;

	if (client->state != CLIENT_IDLE && client->state != CLIENT_READING)
		return;
	if (client->state == CLIENT_IDLE &&
	    evbuffer_get_length(bufferevent_get_input(client->stream)) > 0)
		client_set_state(client, CLIENT_READING);
	head = take_head(client, &length);
	if (head == NULL)
		return;
	head = slice_to_string(slice_of(head, length));
	evbuffer_drain(bufferevent_get_input(client->stream), length);
	if (head == NULL) {
		client_close(client);
		return;
	}
	client_set_state(client, CLIENT_WAITING);
	status = read_head(client, slice_of(head, length), &request);
	if (status != 0)
		refuse(client, status);
	else
		client->server->events.on_request(client->server->arg, &request);
	memory_free(head);
}

/* ---- the reply ---- */

static const char *status_words(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 403:
		return "Forbidden";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	case 504:
		return "Gateway Timeout";
	case 505:
		return "HTTP Version Not Supported";
	default:
		return "Internal Server Error";
	}
}

void http_reply(struct http_client *client, int status, const char *type, const char *headers,
                struct slice body)
{
	struct evbuffer *output = bufferevent_get_output(client->stream);
	int err = 0;

	ASSERT(client->state == CLIENT_READING || client->state == CLIENT_WAITING);
	client->on_gone = NULL;
	client_set_state(client, CLIENT_WRITING);
	if (evbuffer_add_printf(output,
	                        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
	                        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
	                        "%s%s\r\n",
	                        status, status_words(status), type, body.length, headers,
	                        client->last ? "Connection: close\r\n" : "") < 0)
		err = -ENOMEM;
	if (err == 0 && !client->head_only && body.length > 0 &&
	    evbuffer_add(output, body.data, body.length) != 0)
		err = -ENOMEM;
	if (err != 0)
		client_close(client);
}

void http_reply_text(struct http_client *client, int status, const char *text)
{
	http_reply(client, status, "text/plain; charset=utf-8", "", slice_from_string(text));
}

void http_reply_json(struct http_client *client, int status, json_t *value)
{
	char *text = value != NULL ? json_dumps(value, JSON_COMPACT) : NULL;

	if (text == NULL)
		http_reply_text(client, 500, "out of memory\n");
	else
		http_reply(client, status, "application/json", "", slice_from_string(text));
	free(text); /* jansson's */
	json_decref(value);
}

void http_on_gone(struct http_client *client, void (*on_gone)(void *arg), void *arg)
{
	ASSERT(client->state == CLIENT_WAITING);
	client->on_gone = on_gone;
	client->gone_arg = arg;
}

/* ---- a reply without an end ---- */

/* Only when all that was given before has left, so that a slow reader makes nothing grow. */
static void stream_pull(struct http_client *client)
{
	struct buffer more;
	bool goes_on;
	int err = 0;

	buffer_init(&more);
	goes_on = client->pull(client->gone_arg, &more);
	if (more.failed ||
	    (more.length > 0 && bufferevent_write(client->stream, more.data, more.length) != 0))
		err = -ENOMEM;
	if (err != 0 || !goes_on)
		client_close(client);
	else
		client_set_state(client, more.length > 0 ? CLIENT_STREAMING : CLIENT_RESTING);
	buffer_free(&more);
}

void http_stream(struct http_client *client, const char *type, http_pull_fn *pull,
                 void (*on_gone)(void *arg), void *arg)
{
	struct evbuffer *output = bufferevent_get_output(client->stream);

	ASSERT(client->state == CLIENT_WAITING && !client->head_only);
	client->on_gone = on_gone;
	client->gone_arg = arg;
	client->pull = pull;
	client_set_state(client, CLIENT_STREAMING);
	if (evbuffer_add_printf(output,
	                        "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nCache-Control: no-store\r\n"
	                        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
	                        type) < 0)
		client_close(client);
}

void http_stream_wake(struct http_client *client)
{
	if (client->state == CLIENT_RESTING)
		stream_pull(client);
}

bool http_is_head(const struct http_client *client)
{
	return client->head_only;
}

/* A comment, as text/event-stream knows it: who has gone without a word is found out by it. */
static void stream_beat(struct http_client *client)
{
	if (bufferevent_write(client->stream, ":\n\n", 3) != 0)
		client_close(client);
	else
		client_set_state(client, CLIENT_STREAMING);
}

/* ---- the connection ---- */

static void on_readable(struct bufferevent *stream, void *arg)
{
	client_process(arg);
}

/* The reply has left (the low-water mark is 0). */
static void on_written(struct bufferevent *stream, void *arg)
{
	struct http_client *client = arg;

	if ((client->state != CLIENT_WRITING && client->state != CLIENT_STREAMING) ||
	    evbuffer_get_length(bufferevent_get_output(stream)) > 0)
		return;
	if (client->state == CLIENT_STREAMING) {
		stream_pull(client);
		return;
	}
	if (client->last) {
		client_close(client);
		return;
	}
	client_set_state(client, CLIENT_IDLE);
	client_process(client);
}

static void on_ended(struct bufferevent *stream, short what, void *arg)
{
	struct http_client *client = arg;

	/* A client may end its side after the request and still read: `nc -N`. */
	if ((what & BEV_EVENT_EOF) != 0 &&
	    (client->state == CLIENT_WAITING || client->state == CLIENT_WRITING)) {
		client->last = true;
		bufferevent_disable(stream, EV_READ);
		return;
	}
	client_close(client);
}

static void on_deadline(struct timer *timer, void *arg)
{
	struct http_client *client = arg;

	if (client->state == CLIENT_RESTING)
		stream_beat(client);
	else
		client_close(client);
}

/* At the limit the connection that has been idle longest makes room. */
static bool make_room(struct http_server *server)
{
	if (server->clients.length < CLIENTS_MAX)
		return true;
	LIST_FOR_EACH(link, &server->clients) {
		struct http_client *client = CONTAINER_OF(link, struct http_client, in_server);

		if (client->state == CLIENT_IDLE) {
			client_close(client);
			return true;
		}
	}
	return false;
}

static int client_create(struct http_server *server, evutil_socket_t fd, bool local)
{
	struct http_client *client = memory_zalloc(sizeof(*client));

	if (client == NULL)
		return -ENOMEM;
	client->stream = bufferevent_socket_new(loop_base(server->loop), fd, BEV_OPT_CLOSE_ON_FREE);
	if (client->stream == NULL) {
		memory_free(client);
		return -ENOMEM;
	}
	client->server = server;
	client->local = local;
	timer_init(&client->deadline, on_deadline, client);
	bufferevent_setcb(client->stream, on_readable, on_written, on_ended, client);
	bufferevent_setwatermark(client->stream, EV_READ, 0, HEAD_MAX_BYTES);
	client_set_state(client, CLIENT_READING); /* its first request is due at once */
	if (bufferevent_enable(client->stream, EV_READ | EV_WRITE) != 0)
		client_close(client);
	return 0;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
                      int length, void *arg)
{
	struct http_server *server = arg;

	if (!make_room(server) || client_create(server, fd, peer->sa_family == AF_UNIX) != 0) {
		log_debug("admin: connection refused, %zu are open", server->clients.length);
		close(fd);
	}
}

/* Out of descriptors: the waiting connection would wake this loop again at once, so accepting rests. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct http_server *server = arg;

	log_warning("admin: cannot accept, %s", error_text(-EVUTIL_SOCKET_ERROR()));
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		if (server->listeners[i] != NULL)
			evconnlistener_disable(server->listeners[i]);
	timer_start(loop_timers(server->loop), &server->rest, ACCEPT_REST_MS);
}

static void on_rested(struct timer *timer, void *arg)
{
	struct http_server *server = arg;

	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		if (server->listeners[i] != NULL)
			evconnlistener_enable(server->listeners[i]);
}

static void close_all(const int *sockets, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(sockets[i]);
}

int http_server_create(struct loop *loop, const int *sockets, unsigned socket_count,
                       const struct http_events *events, void *arg, struct http_server **out)
{
	struct http_server *server = memory_zalloc(sizeof(*server));

	if (server == NULL) {
		close_all(sockets, socket_count);
		return -ENOMEM;
	}
	ASSERT(socket_count <= LISTENERS_MAX);
	server->loop = loop;
	server->events = *events;
	server->arg = arg;
	list_init(&server->clients);
	timer_init(&server->rest, on_rested, server);
	for (unsigned i = 0; i < socket_count; i++) {
		/* They listen already: backlog 0. */
		server->listeners[i] =
			evconnlistener_new(loop_base(loop), on_accept, server,
		                           LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0,
		                           sockets[i]);
		if (server->listeners[i] == NULL) {
			close_all(sockets + i, socket_count - i);
			http_server_destroy(&server);
			return -ENOMEM;
		}
		evconnlistener_set_error_cb(server->listeners[i], on_accept_error);
	}
	*out = server;
	return 0;
}

void http_server_destroy(struct http_server **server)
{
	struct http_server *s = *server;
	struct list_link *link;

	if (s == NULL)
		return;
	*server = NULL;
	timer_stop(loop_timers(s->loop), &s->rest);
	while ((link = list_first(&s->clients)) != NULL)
		client_close(CONTAINER_OF(link, struct http_client, in_server));
	for (unsigned i = 0; i < LISTENERS_MAX; i++)
		if (s->listeners[i] != NULL)
			evconnlistener_free(s->listeners[i]);
	memory_free(s);
}
