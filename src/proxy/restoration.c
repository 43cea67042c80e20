/*
 * When no Sprout can serve a registered client: an IMS client is told to register anew, and until it has, nothing else
 * of it is begun. Failover to every other Sprout of every site has come first. TS 24.229 5.2.6.3.2A, TS 23.380 4.4.
 * Worker thread only.
 */
#include "proxy_internal.h"

#include "base/memory.h"

/* P-Asserted-Identity is our own URI of the Path: by that the client knows the word is ours (5.1.2A.1.6). */
static void write_answer(const struct proxy *proxy, const struct flow *flow, bool first_hop,
                         struct buffer *out)
{
	const struct proxy_settings *settings = proxy->settings;
	const struct listener_settings *listener = &settings->listeners[settings->path_listener];
	struct route_self self = {slice_from_string(listener->advertise), listener->transport};
	struct buffer path;

	buffer_init(&path);
	route_write_uri(&path, &self, slice_from_string(flow_token_text(flow)), first_hop);
	alternative_service_write(out, buffer_slice(&path), "restoration",
	                          "no S-CSCF can be reached", "initial-registration");
	out->failed = out->failed || path.failed;
	buffer_free(&path);
}

/* Without memory for it the answer will be that of a plain client. */
void restoration_note(struct incoming *in, const struct binding *binding,
                      struct restoration *restoration)
{
	restoration->aor = NULL;
	if (!slice_is_empty(message_to_tag(in->message)) || in->method == METHOD_ACK ||
	    !client_speaks_ims(in->proxy, in->message))
		return;
	restoration->flow_id = flow_id(in->flow);
	restoration->first_hop = message_count(in->message, HEADER_VIA) == 1;
	restoration->aor = slice_to_string(binding_aor(binding));
}

/* An overloaded Sprout has lost nothing, and neither has one whose callee is silent: only an INVITE gets its first
 * answer from the Sprout itself. */
static bool is_lost(const struct response_context *context, enum lost_reason why)
{
	if (context->refused_503 > 0 || context->provisional || context->cancelled)
		return false;
	return why == LOST_NO_TARGET || (why == LOST_DEADLINE && context->method == METHOD_INVITE);
}

bool restoration_answer(const struct response_context *context, enum lost_reason why,
                        struct buffer *out)
{
	const struct restoration *restoration = &context->restoration;
	struct flow *flow;

	if (restoration->aor == NULL || !is_lost(context, why))
		return false;
	flow = flow_table_find(context->proxy->flows, restoration->flow_id);
	if (flow == NULL)
		return false;
	write_answer(context->proxy, flow, restoration->first_hop, out);
	if (out->failed)
		return false;
	flow_restore(flow, slice_from_string(restoration->aor));
	return true;
}

void restoration_refuse(struct incoming *in)
{
	struct buffer extra;

	buffer_init(&extra);
	write_answer(in->proxy, in->flow, message_count(in->message, HEADER_VIA) == 1, &extra);
	if (extra.failed)
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
	else
		proxy_reject(in, 504, "Server Time-out", buffer_slice(&extra),
		             REJECTED_RESTORATION);
	buffer_free(&extra);
}
