/*
 * REGISTER, both ways: what we add and take away on its way to a Sprout, and what its 2xx teaches.
 * RFC 3327 (Path), RFC 5626 5.1 (flow token, ob), RFC 7315 4.3, TS 24.229 5.2.2. Worker thread only.
 */
#include "proxy_internal.h"

#include <inttypes.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"

/* What the registrar has accepted before over this flow, for this AoR: the word of the same private identity, or of
 * nobody in particular. Other credentials prove themselves. */
static bool is_known(const struct incoming *in, const struct binding *binding)
{
	struct slice username, line;

	if (binding == NULL || slice_is_empty(binding_username(binding)))
		return false;
	if (!message_header(in->message, "Authorization", &line))
		return true;
	return registration_username(in->message, &username) &&
	       slice_equal(username, binding_username(binding));
}

static bool has_response(const struct incoming *in)
{
	struct slice line, response;

	for (unsigned i = 0; message_header_at(in->message, "Authorization", i, &line); i++)
		if (auth_param(line, "response", 0, &response) && !slice_is_empty(response))
			return true;
	return false;
}

/* A refresh without credentials: ours name the private identity that the registrar knows (24.229 5.2.2.5). -EINVAL: a
 * Request-URI that would not stay between its quotes, which no grammar allows. */
static int add_credentials(struct incoming *in, const struct binding *binding)
{
	struct buffer value;
	struct slice line;
	struct uri uri;
	int err;

	if (message_header(in->message, "Authorization", &line))
		return 0;
	message_request_uri(in->message, &uri);
	if (slice_index(uri.text, '"') >= 0 || slice_index(uri.text, '\\') >= 0)
		return -EINVAL;
	buffer_init(&value);
	buffer_printf(&value,
	              "Digest username=\"%.*s\", realm=\"%.*s\", nonce=\"\", uri=\"%.*s\", "
	              "response=\"\"",
	              SLICE_ARGS(binding_username(binding)), SLICE_ARGS(uri.host),
	              SLICE_ARGS(uri.text));
	err = value.failed ? -ENOMEM
	                   : message_append(in->message, "Authorization", buffer_slice(&value));
	buffer_free(&value);
	return err;
}

/* TS 24.229 5.2.2: over a flow where this user is registered already, the registrar needs no new proof; a digest
 * with a response is pending; without an answer nothing is said. What the client itself wrote there has been
 * taken away by trust_apply. */
static int mark_integrity(struct incoming *in, struct slice aor)
{
	const struct binding *binding = in->flow != NULL ? flow_binding(in->flow, aor) : NULL;
	int err;

	if (is_known(in, binding)) {
		err = add_credentials(in, binding);
		if (err != 0)
			return err;
		return message_set_authorization_param(in->message, "Authorization",
		                                       "integrity-protected", "\"ip-assoc-yes\"");
	}
	if (!has_response(in))
		return 0;
	return message_set_authorization_param(in->message, "Authorization", "integrity-protected",
	                                       "\"ip-assoc-pending\"");
}

static int add_lines(struct incoming *in)
{
	const struct proxy_settings *settings = in->proxy->settings;
	const struct listener_settings *listener = &settings->listeners[settings->path_listener];
	struct route_self self = {slice_from_string(listener->advertise), listener->transport};
	/* RFC 5626 5.1: ob only if the client is one hop away. */
	bool first_hop = message_count(in->message, HEADER_VIA) == 1;
	struct buffer lines;
	int err;

	buffer_init(&lines);
	route_write_path(&lines, &self, slice_from_string(flow_token_text(in->flow)), first_hop);
	buffer_printf(&lines, "P-Visited-Network-ID: \"%s\"\r\n", settings->visited_network);
	/* TS 24.229 5.2.2.1: a registrar that would lose our Path must say so (420). Whether the client understands
	 * a Path in the answer is its own to say, by Supported (RFC 3327 5.3). */
	if (!message_has_option(in->message, HEADER_REQUIRE, "path"))
		buffer_append_string(&lines, "Require: path\r\n");
	err = lines.failed ? -ENOMEM : message_prepend_lines(in->message, buffer_slice(&lines));
	buffer_free(&lines);
	return err;
}

static int edit_request(struct incoming *in, struct slice aor)
{
	int hops = message_max_forwards(in->message);
	int err;

	err = trust_apply(in->message, CROSSING_CLIENT_TO_CORE);
	if (err == 0)
		err = charging_mark_request(in);
	if (err == 0)
		err = mark_integrity(in, aor);
	if (err == 0)
		err = message_remove(in->message, "Route");
	if (err == 0)
		err = message_set_max_forwards(in->message, hops < 0 ? 70 : (unsigned)hops - 1);
	if (err == 0)
		err = add_lines(in);
	return err;
}

void register_request(struct incoming *in)
{
	struct proxy *proxy = in->proxy;
	struct request_plan plan = {.crossing = CROSSING_CLIENT_TO_CORE, .add_target_route = true};
	struct registration *registration;
	char text[48];
	int err;

	registration = memory_zalloc(sizeof(*registration));
	err = registration != NULL ? registration_read(in->message, registration) : -ENOMEM;
	if (err == 0) /* a request that cannot be read makes no flow */
		err = flow_table_obtain(proxy->flows, &in->packet->hop, &in->flow);
	if (err == 0)
		flow_touch(in->flow);
	if (err == 0) {
		outbound_read(in, registration, &plan);
		err = edit_request(in, slice_from_string(registration->aor));
	}
	if (err == -EINVAL) {
		proxy_reject(in, 400, "Bad Request", SLICE_NONE, REJECTED_BAD_REQUEST);
	} else if (err == -ENOBUFS) {
		proxy_reject(in, 503, "Service Unavailable", proxy_retry_after(text, 5),
		             REJECTED_FLOWS_LIMIT);
	} else if (err != 0) {
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
	} else {
		plan.flow_id = flow_id(in->flow);
		plan.key = hash_slice(slice_from_string(registration->aor));
		plan.registration = registration;
		plan.preferred = challenge_maker(proxy, in->message);
		registration = NULL;
		context_start(in, &plan);
	}
	if (registration != NULL)
		registration_free(registration);
	memory_free(registration);
}

void register_learn(struct proxy *proxy, uint64_t flow_id, const struct registration *registration,
                    const struct message *response)
{
	struct flow *flow = flow_table_find(proxy->flows, flow_id);
	int err;

	if (flow == NULL) /* the client left before the answer came */
		return;
	err = flow_learn(flow, registration, response);
	if (err == 0)
		reg_event_learnt(proxy, flow, slice_from_string(registration->aor));
	/* At its limit the flow table counts and tells by itself. */
	if (err != 0 && err != -ENOBUFS)
		log_warning("flow %" PRIx64 ": registration not learnt, %s", flow_id,
		            error_text(err));
}
