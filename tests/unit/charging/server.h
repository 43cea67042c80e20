/* A Ralf for tests: an HTTP server on some loop, which keeps what was posted to it and answers as it is told. */
#ifndef TESTS_UNIT_CHARGING_SERVER_H
#define TESTS_UNIT_CHARGING_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "loop/loop.h"

#define SERVER_POSTS_MAX 4096

struct server {
	struct evhttp *http;
	uint16_t port;
	int status;                           /* 0: never answers */
	const char *bad;                      /* a path that is answered 500; NULL: none */
	const char *rude;                     /* at which it hangs up; NULL: none */
	const char *mute;                     /* over which it hangs; NULL: none */
	struct evhttp_request *held;          /* the last that got no answer */
	atomic_uint posts, taken;             /* all; those answered 2xx */
	char path[256], body[4096];           /* of the last */
	unsigned char seen[SERVER_POSTS_MAX]; /* times that /call-id/N was taken */
};

static inline void server_on_request(struct evhttp_request *request, void *arg)
{
	struct server *server = arg;
	struct evbuffer *body = evhttp_request_get_input_buffer(request);
	const char *path = evhttp_request_get_uri(request);
	size_t length = evbuffer_get_length(body);
	unsigned long number;
	char *end;

	assert_int_equal(evhttp_request_get_command(request), EVHTTP_REQ_POST);
	snprintf(server->path, sizeof(server->path), "%s", path);
	if (length >= sizeof(server->body))
		length = sizeof(server->body) - 1;
	evbuffer_copyout(body, server->body, length);
	server->body[length] = '\0';
	atomic_fetch_add(&server->posts, 1);
	if (server->rude != NULL && strcmp(path, server->rude) == 0) {
		shutdown(bufferevent_getfd(evhttp_connection_get_bufferevent(
				 evhttp_request_get_connection(request))),
		         SHUT_RDWR);
		return;
	}
	if (server->status == 0 || (server->mute != NULL && strcmp(path, server->mute) == 0)) {
		server->held = request;
		return;
	}
	if (server->bad != NULL && strcmp(path, server->bad) == 0) {
		evhttp_send_reply(request, 500, "No", NULL);
		return;
	}
	if (server->status < 300) {
		number = strtoul(path + strlen("/call-id/"), &end, 10);
		if (*end == '\0' && number < SERVER_POSTS_MAX)
			server->seen[number]++;
		atomic_fetch_add(&server->taken, 1);
	}
	evhttp_send_reply(request, server->status, "Said", NULL);
}

/* port 0: any that is free; it is kept for the next time. */
static inline void server_open(struct server *server, struct loop *loop, int status)
{
	struct evhttp_bound_socket *socket;
	struct sockaddr_in address;
	socklen_t length = sizeof(address);

	server->status = status;
	server->held = NULL;
	server->http = evhttp_new(loop_base(loop));
	assert_non_null(server->http);
	evhttp_set_gencb(server->http, server_on_request, server);
	socket = evhttp_bind_socket_with_handle(server->http, "127.0.0.1", server->port);
	assert_non_null(socket);
	assert_int_equal(getsockname(evhttp_bound_socket_get_fd(socket),
	                             (struct sockaddr *)&address, &length),
	                 0);
	server->port = ntohs(address.sin_port);
}

static inline void server_close(struct server *server)
{
	if (server->http != NULL)
		evhttp_free(server->http);
	server->http = NULL;
	server->held = NULL;
}

#endif
