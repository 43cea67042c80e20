/*
 * Requests from the core to a client: the flow token in the top Route says which, and which worker has it.
 * RFC 5626 5.3, RFC 3261 16.4. Worker thread only.
 */
#include "proxy_internal.h"

int from_core_skip_routes(struct incoming *in)
{
	const unsigned count = message_count(in->message, HEADER_ROUTE);
	struct name_addr route;
	unsigned above = 0;
	int err = 0;

	while (above < count && message_address(in->message, HEADER_ROUTE, above, &route) &&
	       uri_names_us(in->proxy, &route.uri) && !route_is_own_entry(in, &route.uri))
		above++;
	if (above == 0 || above == count ||
	    !message_address(in->message, HEADER_ROUTE, above, &route) ||
	    !route_is_own_entry(in, &route.uri))
		return 0;
	while (err == 0 && above-- > 0)
		err = message_pop(in->message, HEADER_ROUTE);
	return err;
}

static bool token_of(struct incoming *in, struct slice *token)
{
	struct name_addr route;
	struct uri uri;

	if (message_address(in->message, HEADER_ROUTE, 0, &route) &&
	    uri_names_us(in->proxy, &route.uri)) {
		*token = route.uri.user;
		return true;
	}
	message_request_uri(in->message, &uri);
	if (route_is_own_entry(in, &uri)) {
		*token = uri.user;
		return true;
	}
	return false;
}

bool from_core_belongs_elsewhere(struct incoming *in, struct flow_elsewhere *elsewhere)
{
	struct peer_token peer_token;
	struct slice token;
	struct flow *flow;

	if (reg_event_belongs_elsewhere(in, &elsewhere->worker)) {
		elsewhere->key = 0;
		return !packet_was_passed(in->proxy, in->packet);
	}
	if (peer_token_of(in, &peer_token) == FLOW_TOKEN_VALID) {
		elsewhere->key = 0;
		return !packet_was_passed(in->proxy, in->packet) &&
		       peer_token_is_elsewhere(in->proxy, &peer_token, &elsewhere->worker);
	}
	if (in->moved_key != 0 || !token_of(in, &token) ||
	    flow_table_find_by_token(in->proxy->flows, token, &flow, elsewhere) != FLOW_ELSEWHERE)
		return false;
	/* The worker that the token names was asked already; it knows where its client has gone, if anyone does. */
	return elsewhere->key != 0 || !packet_was_passed(in->proxy, in->packet);
}

static int pop_routes(struct incoming *in)
{
	struct uri uri;
	int done = 0;

	message_request_uri(in->message, &uri);
	if (route_is_own_entry(in, &uri))
		done = route_undo_strict(in->message);
	if (done >= 0)
		done = route_pop_own(in->proxy, in->message);
	if (done >= 0)
		done = route_apply_strict(in->message);
	return done == -EINVAL ? 0 : done; /* a Route that cannot be read is not ours to judge */
}

static int edit_request(struct incoming *in, const struct flow *flow, struct route_note *note)
{
	int hops = message_max_forwards(in->message);
	int err = pop_routes(in);

	if (err >= 0)
		err = charging_keep_vector(in);
	if (err == 0)
		err = trust_apply(in->message, CROSSING_CORE_TO_CLIENT);
	if (err == 0)
		err = record_route_to_client(in, flow, note);
	if (err == 0)
		err = message_set_max_forwards(in->message, hops < 0 ? 70 : (unsigned)hops - 1);
	return err;
}

static void send_to_flow(struct incoming *in, const struct flow *flow)
{
	struct request_plan plan = {
		.crossing = CROSSING_CORE_TO_CLIENT,
		.fixed = true,
		.hop = *flow_hop(flow),
		.flow_id = flow_id(flow),
		.connected = connected_identity(in->message, flow),
	};
	int err;

	/* RFC 3323 5. Within a dialog the caller has long been seen: its BYE must arrive. */
	if (slice_is_empty(message_to_tag(in->message)) && privacy_is_unavailable(in->message)) {
		proxy_reject(in, 500, "Privacy Unavailable", SLICE_NONE, REJECTED_PRIVACY);
		return;
	}
	err = edit_request(in, flow, &plan.route_note);
	if (err != 0)
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
	else if (in->method == METHOD_ACK)
		ack_forward(in, &plan);
	else
		context_start(in, &plan);
}

/* Once another worker has said that the client came to us, its token is read no more. */
static enum flow_lookup find_flow(struct incoming *in, struct slice token, struct flow **flow)
{
	struct flow_elsewhere elsewhere;

	if (in->moved_key == 0)
		return flow_table_find_by_token(in->proxy->flows, token, flow, &elsewhere);
	*flow = flow_table_find_key(in->proxy->flows, in->moved_key);
	return *flow != NULL ? FLOW_HERE : FLOW_GONE;
}

void from_core_request(struct incoming *in)
{
	struct peer_token peer_token;
	struct slice token = SLICE_NONE;
	struct flow *flow = NULL;

	if (in->method == METHOD_REGISTER) { /* a registrar does not register through its edge */
		peer_reject_register(in);
		return;
	}
	if (reg_event_request(in))
		return;
	switch (peer_token_of(in, &peer_token)) {
	case FLOW_TOKEN_VALID:
		core_request_by_token(in, &peer_token);
		return;
	case FLOW_TOKEN_FORGED:
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_FORGED_TOKEN);
		return;
	case FLOW_TOKEN_NOT_OURS:
		break;
	}
	if (!token_of(in, &token)) {
		core_request_onward(in);
		return;
	}
	switch (find_flow(in, token, &flow)) {
	case FLOW_HERE:
		send_to_flow(in, flow);
		break;
	case FLOW_FORGED:
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_FORGED_TOKEN);
		break;
	case FLOW_NO_TOKEN:
		core_request_onward(in);
		break;
	case FLOW_ELSEWHERE: /* it was passed on before; that worker is no more */
	case FLOW_GONE:
		proxy_reject(in, 430, "Flow Failed", SLICE_NONE, REJECTED_FLOW_FAILED);
		break;
	}
}
