/*
 * The routes: one table, for TCP and for the Unix socket. What changes anything is a POST, and heard on the Unix socket
 * only: its file says who may, a port of TCP cannot. Control loop.
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

static const struct route {
	const char *path;
	route_fn *get, *post; /* NULL: not this method */
	const char *words;
} routes[] = {
	{"/", get_list, NULL, "this list"},
	{"/livez", get_live, NULL, "200 while the loops turn, whatever happens upstream"},
	{"/readyz", get_ready, NULL, "200 when ready, 503 while draining or before"},
	{"/metrics", get_metrics, NULL, "counters, Prometheus text"},
	{"/status", get_status, NULL, "node, sites and targets, flows, rates (JSON)"},
	{"/flows", query_start, NULL,
         "flows and their bindings (JSON); ?identity=AOR for one user's"},
	{"/events", events_start, NULL,
         "what happened (JSON lines); ?since=30m; Accept: text/event-stream to follow"},
	{"/why", why_start, NULL,
         "?target=SITE/NAME: a verdict and what led to it; ?call-id=ID: a request, Unix socket "
         "only"},
	{"/target", NULL, operate_target,
         "?name=SITE/NAME&word=drain|disable|enable[&for=30m][&reason=TEXT], Unix socket only"},
	{"/site", NULL, operate_site,
         "?name=SITE&word=evacuate|restore[&for=30m][&reason=TEXT], Unix socket only"},
	{"/reload", NULL, reload_start,
         "?what=tls: certificates, keys and authorities are read again, Unix socket only"},
};

static void get_list(struct admin *admin, const struct http_request *request)
{
	struct buffer out;

	buffer_init(&out);
	buffer_printf(&out, "bono " BONO_VERSION " %s in %s\n\n", admin->node, admin->site);
	for (unsigned i = 0; i < ARRAY_LENGTH(routes); i++)
		buffer_printf(&out, "%-4s %-9s %s\n", routes[i].get != NULL ? "GET" : "POST",
		              routes[i].path, routes[i].words);
	if (out.failed)
		http_reply_text(request->client, 500, "out of memory\n");
	else
		http_reply(request->client, 200, "text/plain; charset=utf-8", "",
		           buffer_slice(&out));
	buffer_free(&out);
}

static void refuse_method(const struct route *route, const struct http_request *request)
{
	bool post = route->post != NULL && request->local;

	http_reply(request->client, 405, "text/plain; charset=utf-8",
	           post                 ? "Allow: POST\r\n"
	           : route->get != NULL ? "Allow: GET, HEAD\r\n"
	                                : "Allow:\r\n",
	           post ? SLICE_LITERAL("only POST here\n")
	           : route->get != NULL
	                   ? SLICE_LITERAL("only GET and HEAD here\n")
	                   : SLICE_LITERAL("nothing is changed by this port, ask on the "
	                                   "Unix socket\n"));
}

static void take_route(struct admin *admin, const struct route *route,
                       const struct http_request *request)
{
	bool reads = slice_equal(request->method, SLICE_LITERAL("GET")) ||
	             slice_equal(request->method, SLICE_LITERAL("HEAD"));
	bool writes = slice_equal(request->method, SLICE_LITERAL("POST"));

	if (reads && route->get != NULL)
		route->get(admin, request);
	else if (writes && route->post != NULL && request->local)
		route->post(admin, request);
	else
		refuse_method(route, request);
}

void routes_on_request(void *arg, const struct http_request *request)
{
	for (unsigned i = 0; i < ARRAY_LENGTH(routes); i++)
		if (slice_equal(request->path, slice_from_string(routes[i].path))) {
			take_route(arg, &routes[i], request);
			return;
		}
	http_reply_text(request->client, 404, "no such page; GET / lists them\n");
}
