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
	/* Good during the call only. path without '?', not decoded; accept, last_event_id: as the headers say. */
	struct slice method, path, query, accept, last_event_id;
	bool local;                 /* came by the Unix socket */
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

bool http_is_head(const struct http_client *client);

/* Append what there is now; empty: nothing until http_stream_wake. False: that was all, close. */
typedef bool http_pull_fn(void *arg, struct buffer *out);
/* Not a HEAD. A reply that ends with the connection, text/event-stream: pull is asked whenever all it gave has left, so
 * what waits for a slow reader is one answer of pull. A reader that takes nothing for a minute is closed. on_gone is
 * called once in any case. */
void http_stream(struct http_client *client, const char *type, http_pull_fn *pull,
                 void (*on_gone)(void *arg), void *arg);
void http_stream_wake(struct http_client *client);

/* ---- parameters.c: what stands behind the '?' ---- */

/* Copy the decoded value of each parameter to values[i] (memory.h; NULL: not given), names as listed.
 * -EINVAL: broken, unknown, or given twice; -ENOMEM. Nothing is left to free then. */
int parameters_read(struct slice query, const char *const *names, char **values, unsigned count);
void parameters_free(char **values, unsigned count);
/* "30m": a number with ms, s, m, h or d, above 0, of at most ten years. */
bool parameters_duration(const char *text, uint64_t *out_ms);

/* ---- names.c: sites and targets by what people write ---- */

/* "site-a/sprout-2"; NULL: none. */
const struct view_target *names_target(const struct view *view, const char *name);
const struct view_site *names_site(const struct view *view, const char *name);
/* Of the targets' or the sites' names the one that was probably meant; false: nothing is near. */
bool names_near_target(const struct view *view, const char *name, char *out, size_t size);
bool names_near_site(const struct view *view, const char *name, char *out, size_t size);

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
	struct list followers; /* of events, events.c */
};
void routes_on_request(void *arg, const struct http_request *request);

/* ---- status.c, query.c ---- */
json_t *status_json(struct admin *admin); /* NULL: out of memory */
json_t *target_json(const struct admin *admin, const struct view *view,
                    const struct view_target *target);
json_t *site_json(const struct admin *admin, const struct view *view, unsigned index);
/* A client's own words may be any bytes; JSON takes only UTF-8. */
json_t *text_json(const char *text);
void query_start(struct admin *admin, const struct http_request *request);

/* ---- events.c, why.c, operate.c ---- */
json_t *event_json(const struct admin_event *event); /* NULL: out of memory */
void events_start(struct admin *admin, const struct http_request *request);
void why_start(struct admin *admin, const struct http_request *request);
void operate_target(struct admin *admin, const struct http_request *request);
void operate_site(struct admin *admin, const struct http_request *request);
/* ---- reload.c ---- */
void reload_start(struct admin *admin, const struct http_request *request);
json_t *certificates_json(const struct admin *admin); /* NULL: out of memory */

#endif
