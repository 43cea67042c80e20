/*
 * What the files of admin tell each other: the HTTP server below, the routes above it.
 */
#ifndef BONO_ADMIN_INTERNAL_H
#define BONO_ADMIN_INTERNAL_H

#include <jansson.h>

#include "admin/admin.h"
#include "base/buffer.h"
#include "base/slice.h"

/* ---- http.c: connections and requests ---- */

struct http_server;
struct http_client; /* one connection; has at most one request that waits for its reply */

struct http_request {
	struct slice method, path,
		query;              /* path without '?', not decoded; good during the call only */
	struct http_client *client; /* good until it is answered or on_gone */
};

struct http_events {
	/* Answer with http_reply, now or later. */
	void (*on_request)(void *arg, const struct http_request *request);
};

/* Serves on sockets that already listen; takes the descriptors in every case. */
int http_server_create(struct loop *loop, const int *sockets, unsigned socket_count,
                       const struct http_events *events, void *arg, struct http_server **out);
void http_server_destroy(struct http_server **server);

/* status as a number, type as Content-Type; headers: further lines, each with CRLF, or "". */
void http_reply(struct http_client *client, int status, const char *type, const char *headers,
                struct slice body);
void http_reply_text(struct http_client *client, int status, const char *text);
/* Takes the reference of the value (NULL: out of memory, 500). */
void http_reply_json(struct http_client *client, int status, json_t *value);
/* While its request waits: called when the connection ends before the reply. */
void http_on_gone(struct http_client *client, void (*on_gone)(void *arg), void *arg);

/* ---- socket.c: -errno, logged by the caller ---- */
int socket_listen_tcp(const char *text, int *out);
int socket_listen_unix(const char *path, int *out);

/* ---- rates.c: what happened in the last seconds ---- */

#define RATES_SECONDS 10

struct rates;
int rates_create(struct loop *loop, const struct metrics_registry *registry,
                 const struct view *(*view)(void *arg), void *arg, struct rates **out);
void rates_destroy(struct rates **rates);
double rates_requests(const struct rates *rates); /* per second */
double rates_failovers(const struct rates *rates);
double rates_rejected(const struct rates *rates);
/* The site's part of all requests sent upstream, 0 ... 1; without any, 1 for the site that serves. */
double rates_share(const struct rates *rates, const struct view *view, unsigned site);

/* ---- routes.c ---- */

struct admin {
	struct loop *loop;
	struct admin_source source;
	void *arg; /* the source's */
	const struct metrics_registry *registry;
	char *node, *site, *config_hash, *socket;
	uint64_t socket_inode; /* to remove only our own file */
	uint64_t started_us;
	struct rates *rates;
	struct http_server *server;
};
void routes_on_request(void *arg, const struct http_request *request);

/* ---- status.c, query.c ---- */
json_t *status_json(struct admin *admin); /* NULL: out of memory */
void query_start(struct admin *admin, const struct http_request *request);

#endif
