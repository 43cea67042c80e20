/*
 * The routes: one table, for TCP and for the Unix socket. All of them only read. Control loop.
 */
#include <string.h>

#include "admin_internal.h"
#include "base/error.h"

typedef void route_fn(struct admin *admin, const struct http_request *request);

static void get_list(struct admin *admin, const struct http_request *request);

static void get_live(struct admin *admin, const struct http_request *request)
{
	if (admin->source.live(admin->arg))
		http_reply_text(request->client, 200, "alive\n");
	else
		http_reply_text(request->client, 503, "a loop does not turn\n");
}

static void get_ready(struct admin *admin, const struct http_request *request)
{
	/* Draining is asked first: a node that drains is often not ready, and the reason is wanted. */
	if (admin->source.draining(admin->arg))
		http_reply_text(request->client, 503, "draining\n");
	else if (!admin->source.ready(admin->arg))
		http_reply_text(request->client, 503, "not ready\n");
	else
		http_reply_text(request->client, 200, "ready\n");
}

static void get_metrics(struct admin *admin, const struct http_request *request)
{
	struct buffer out;

	buffer_init(&out);
	if (admin->source.refresh != NULL)
		admin->source.refresh(admin->arg);
	metrics_write(admin->registry, &out);
	if (out.failed)
		http_reply_text(request->client, 500, "out of memory\n");
	else
		http_reply(request->client, 200, "text/plain; version=0.0.4; charset=utf-8", "",
		           buffer_slice(&out));
	buffer_free(&out);
}

static void get_status(struct admin *admin, const struct http_request *request)
{
	if (admin->source.refresh != NULL)
		admin->source.refresh(admin->arg);
	http_reply_json(request->client, 200, status_json(admin));
}

static const struct {
	const char *path;
	route_fn *get;
	const char *words;
} routes[] = {
	{"/", get_list, "this list"},
	{"/livez", get_live, "200 while the loops turn, whatever happens upstream"},
	{"/readyz", get_ready, "200 when ready, 503 while draining or before"},
	{"/metrics", get_metrics, "counters, Prometheus text"},
	{"/status", get_status, "node, sites and targets, flows, rates (JSON)"},
	{"/flows", query_start, "flows and their bindings (JSON); ?identity=AOR for one user's"},
};

static void get_list(struct admin *admin, const struct http_request *request)
{
	struct buffer out;

	buffer_init(&out);
	buffer_printf(&out, "bono " BONO_VERSION " %s in %s\n\n", admin->node, admin->site);
	for (unsigned i = 0; i < ARRAY_LENGTH(routes); i++)
		buffer_printf(&out, "GET %-10s %s\n", routes[i].path, routes[i].words);
	if (out.failed)
		http_reply_text(request->client, 500, "out of memory\n");
	else
		http_reply(request->client, 200, "text/plain; charset=utf-8", "",
		           buffer_slice(&out));
	buffer_free(&out);
}

void routes_on_request(void *arg, const struct http_request *request)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(routes); i++) {
		if (!slice_equal(request->path, slice_from_string(routes[i].path)))
			continue;
		if (slice_equal(request->method, SLICE_LITERAL("GET")) ||
		    slice_equal(request->method, SLICE_LITERAL("HEAD")))
			routes[i].get(arg, request);
		else
			http_reply(request->client, 405, "text/plain; charset=utf-8",
			           "Allow: GET, HEAD\r\n",
			           SLICE_LITERAL("only GET and HEAD here\n"));
		return;
	}
	http_reply_text(request->client, 404, "no such page; GET / lists them\n");
}
