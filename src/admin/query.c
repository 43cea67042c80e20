/*
 * GET /flows: rows that come from the workers, one by one, before the answer can leave. The query belongs
 * to whoever gathers, and outlives its client and admin itself. Control loop.
 */
#include <string.h>

#include "admin_internal.h"
#include "base/error.h"
#include "base/memory.h"
#include "sip/uri.h"

/* Longer than any worker should need; shorter than the patience of a person. */
#define QUERY_MS 5000

struct admin_query {
	struct loop *loop;
	struct http_client *client; /* NULL once it has gone (with admin, too): nobody waits */
	struct timer deadline;
	json_t *rows;
	unsigned count;
	bool truncated;
	bool failed; /* out of memory */
};

/* From now on nobody waits for the answer. */
static void query_abandon(struct admin_query *query)
{
	timer_stop(loop_timers(query->loop), &query->deadline);
	query->client = NULL;
	json_decref(query->rows);
	query->rows = NULL;
}

static void on_client_gone(void *arg)
{
	query_abandon(arg);
}

static void on_deadline(struct timer *timer, void *arg)
{
	struct admin_query *query = arg;
	struct http_client *client = query->client;

	query_abandon(query);
	http_reply_text(client, 504, "the workers did not answer in time\n");
}

/* The one spelling that bindings are kept under, for what a person writes: "sip:" may be missing. */
static int canonical_aor(const char *text, char **out)
{
	struct buffer written, aor;
	struct uri uri;
	int err = 0;

	buffer_init(&written);
	buffer_init(&aor);
	if (strchr(text, ':') == NULL)
		buffer_append_string(&written, "sip:");
	buffer_append_string(&written, text);
	if (written.failed)
		err = -ENOMEM;
	else if (!uri_parse(buffer_slice(&written), &uri))
		err = -EINVAL;
	if (err == 0) {
		uri_canonical(&uri, &aor);
		*out = aor.failed ? NULL : slice_to_string(buffer_slice(&aor));
		err = *out == NULL ? -ENOMEM : 0;
	}
	buffer_free(&written);
	buffer_free(&aor);
	return err;
}

/* ?identity=AOR; *out NULL: none was asked for. -EINVAL: not a URI, or another parameter. */
static int read_identity(struct slice query, char **out)
{
	static const char *const names[] = {"identity"};
	char *text;
	int err;

	*out = NULL;
	err = parameters_read(query, names, &text, 1);
	if (err == 0 && text != NULL)
		err = canonical_aor(text, out);
	memory_free(text);
	return err;
}

static int query_create(struct admin *admin, struct http_client *client, struct admin_query **out)
{
	struct admin_query *query = memory_zalloc(sizeof(*query));

	if (query == NULL)
		return -ENOMEM;
	query->rows = json_array();
	if (query->rows == NULL) {
		memory_free(query);
		return -ENOMEM;
	}
	query->loop = admin->loop;
	query->client = client;
	timer_init(&query->deadline, on_deadline, query);
	timer_start(loop_timers(admin->loop), &query->deadline, QUERY_MS);
	http_on_gone(client, on_client_gone, query);
	*out = query;
	return 0;
}

void query_start(struct admin *admin, const struct http_request *request)
{
	struct admin_query *query;
	char *identity;
	int err;

	err = read_identity(request->query, &identity);
	if (err == -EINVAL) {
		http_reply_text(request->client, 400,
		                "expected nothing or identity=sip:USER@HOST\n");
		return;
	}
	if (err == 0)
		err = query_create(admin, request->client, &query);
	if (err != 0)
		http_reply_text(request->client, 500, "out of memory\n");
	else
		admin->source.flows(admin->arg, identity, query);
	memory_free(identity);
}

json_t *text_json(const char *text)
{
	char *clean;
	json_t *json;

	json = json_string(text != NULL ? text : "");
	if (json != NULL)
		return json;
	clean = memory_strdup(text);
	if (clean == NULL)
		return NULL;
	for (char *c = clean; *c != '\0'; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	json = json_string(clean);
	memory_free(clean);
	return json;
}

static json_t *bindings_json(const struct admin_flow *flow)
{
	json_t *bindings = json_array();

	for (unsigned i = 0; i < flow->binding_count; i++) {
		const struct admin_binding *binding = &flow->bindings[i];
		json_t *one = json_pack("{s:o, s:o, s:I}", "aor", text_json(binding->aor),
		                        "contact", text_json(binding->contact), "expires_s",
		                        (json_int_t)binding->expires_s);

		if (bindings == NULL || one == NULL || json_array_append_new(bindings, one) != 0) {
			json_decref(bindings);
			return NULL;
		}
	}
	return bindings;
}

static json_t *flow_json(const struct admin_flow *flow)
{
	char id[24];

	snprintf(id, sizeof(id), "%llx", (unsigned long long)flow->id);
	return json_pack("{s:s, s:i, s:s, s:s, s:I, s:b, s:o}", "id", id, "worker",
	                 (int)flow->worker, "hop", flow->hop, "listener",
	                 flow->listener != NULL ? flow->listener : "", "age_s",
	                 (json_int_t)flow->age_s, "registered", flow->binding_count > 0, "bindings",
	                 bindings_json(flow));
}

bool admin_flows_add(struct admin_query *query, const struct admin_flow *flow)
{
	json_t *row;

	if (query->client == NULL || query->failed)
		return false;
	if (query->count == ADMIN_FLOWS_MAX) {
		query->truncated = true;
		return false;
	}
	row = flow_json(flow);
	query->failed = row == NULL || json_array_append_new(query->rows, row) != 0;
	query->count++;
	return !query->failed;
}

void admin_flows_finish(struct admin_query **query, int err)
{
	struct admin_query *q = *query;
	struct http_client *client = q->client;

	*query = NULL;
	if (client != NULL) {
		json_t *rows = json_incref(q->rows);
		bool failed = q->failed || err != 0;

		query_abandon(q);
		if (failed) {
			json_decref(rows);
			http_reply_text(client, 500, "the flows could not be gathered\n");
		} else {
			http_reply_json(client, 200,
			                json_pack("{s:o, s:b}", "flows", rows, "truncated",
			                          q->truncated));
		}
	}
	memory_free(q);
}
