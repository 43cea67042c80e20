/*
 * Requests from the core that name no flow: to a trunk or a PBX by its address, back into the core, or to a stranger
 * as far as the operator lets them. TS 24.229 5.10.2 (IBCF). Worker thread only.
 */
#include "proxy_internal.h"

#include <stdio.h>

#include "base/hash.h"

static void cannot_go(struct incoming *in)
{
	char text[48];

	proxy_reject(in, 503, "Service Unavailable", proxy_retry_after(text, 5), REJECTED_NO_ROUTE);
}

static enum peer_token_kind kind_of(enum peer peer)
{
	return peer == PEER_TRUNK ? PEER_TOKEN_TRUNK
	       : peer == PEER_PBX ? PEER_TOKEN_PBX
	                          : PEER_TOKEN_EMERGENCY;
}

/* Our own Routes are off. */
static void send_to_hop(struct incoming *in, enum peer peer, const struct hop *hop)
{
	struct request_plan plan = {.crossing = crossing_to(peer),
	                            .fixed = true,
	                            .to_peer = true,
	                            .hop = *hop};
	int err = route_apply_strict(in->message);

	if (err != -ENOMEM)
		err = charging_keep_vector(in);
	if (err == 0)
		err = trust_apply(in->message, plan.crossing);
	if (err == 0)
		err = peer_add_record_routes(in, kind_of(peer), hop, true);
	if (err == 0)
		err = peer_set_hops(in);
	if (err != 0)
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
	else
		peer_start(in, &plan);
}

static int open_way(struct incoming *in, const struct peer_way *way, struct hop *out)
{
	struct transport_peer peer = {.transport = way->transport,
	                              .address = &way->address,
	                              .tls = in->proxy->settings->peers.tls};
	struct proxy_ways *ways = &in->proxy->ways;

	return ways->open_access(ways->arg, &peer, out);
}

static void send_to_way(struct incoming *in, const struct peer_way *way)
{
	struct hop hop;

	/* RFC 3323 5, as toward a client: in a dialog the caller has long been seen. */
	if (slice_is_empty(message_to_tag(in->message)) && privacy_is_unavailable(in->message))
		proxy_reject(in, 500, "Privacy Unavailable", SLICE_NONE, REJECTED_PRIVACY);
	else if (open_way(in, way, &hop) != 0)
		cannot_go(in);
	else
		send_to_hop(in, way->peer, &hop);
}

/* The next hop by RFC 3261 16.6 step 7: a Route, else the Request-URI. */
static struct uri next_uri(struct incoming *in)
{
	struct name_addr route;
	struct uri uri;

	if (message_address(in->message, HEADER_ROUTE, 0, &route))
		return route.uri;
	message_request_uri(in->message, &uri);
	return uri;
}

/* ---- in a dialog ---- */

/* The hop of a token can be sent on as it is: its connection is of this life, or over UDP its listener still is what
 * it was, and a NAT lets nothing through but from there. */
static bool is_way_itself(const struct proxy *proxy, const struct hop *hop)
{
	const struct proxy_settings *settings = proxy->settings;

	if (hop->transport != TRANSPORT_UDP)
		return hop->connection != 0;
	return hop->listener < settings->listener_count &&
	       settings->listeners[hop->listener].transport == TRANSPORT_UDP &&
	       settings->listeners[hop->listener].side == SIDE_ACCESS;
}

void core_request_by_token(struct incoming *in, const struct peer_token *token)
{
	static const enum peer peers[PEER_TOKEN_KINDS] = {PEER_TRUNK, PEER_PBX, PEER_CLIENT};
	struct peer_way way = {peers[token->kind], token->transport, token->address};
	struct hop hop = peer_token_hop(in->proxy, token);
	struct peer_way named;
	struct uri next;

	if (peer_pop_routes(in) != 0) {
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
		return;
	}
	next = next_uri(in);
	if (token->kind != PEER_TOKEN_EMERGENCY && peer_at(in->proxy, &next, &named) &&
	    named.peer == way.peer) {
		send_to_way(in, &named);
		return;
	}
	/* Its Contact is a name, or hides behind a NAT: back where the dialog came from. */
	if (is_way_itself(in->proxy, &hop) || open_way(in, &way, &hop) == 0)
		send_to_hop(in, way.peer, &hop);
	else
		cannot_go(in);
}

/* ---- new ---- */

/* Routes that lead to us, or to "the home network", are done with here; one of them may have asked that this be
 * served as a caller's (TS 24.229 5.4.3.2). */
static int pop_own_routes(struct incoming *in, bool *originating)
{
	struct name_addr route;
	int err = 0;

	*originating = false;
	while (err == 0 && message_address(in->message, HEADER_ROUTE, 0, &route)) {
		bool is_home = slice_is_empty(route.uri.user) && uri_is_home(in->proxy, &route.uri);

		if (!is_home && !uri_names_us(in->proxy, &route.uri))
			break;
		*originating = *originating || uri_param(&route.uri, "orig", NULL);
		err = message_pop(in->message, HEADER_ROUTE);
	}
	return err;
}

/* To a Sprout, as the core asked. We leave no trace in the route set: nothing of it passes our edge. */
static void send_upstream(struct incoming *in, const struct view_target *target, bool keep_route,
                          bool originating)
{
	struct request_plan plan = {.crossing = CROSSING_NONE,
	                            .preferred = target,
	                            .add_target_route = !keep_route,
	                            .terminating = !originating,
	                            .in_dialog = !slice_is_empty(message_to_tag(in->message))};
	struct uri uri;

	message_request_uri(in->message, &uri);
	plan.key = hash_slice(uri.user);
	if (peer_set_hops(in) != 0)
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
	else
		peer_start(in, &plan);
}

/* Neither ours nor home, nor anybody we know. */
static void send_off_net(struct incoming *in)
{
	const struct peer_hop *trunk = &in->proxy->settings->peers.off_net;
	struct peer_way way = {PEER_TRUNK, trunk->transport, trunk->address};
	char route[1024];
	struct uri uri;
	int err = 0;

	if (trunk->uri == NULL) {
		proxy_reject(in, 404, "Not Found", SLICE_NONE, REJECTED_OFF_NET);
		return;
	}
	if (uri_parse(slice_from_string(trunk->uri), &uri) && uri_param(&uri, "lr", NULL)) {
		snprintf(route, sizeof(route), "<%s>", trunk->uri);
		err = message_prepend(in->message, "Route", slice_from_string(route));
	}
	if (err != 0)
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
	else
		send_to_way(in, &way);
}

void core_request_onward(struct incoming *in)
{
	const struct view_target *target;
	bool originating, has_route;
	struct peer_way way;
	struct uri next;

	if (pop_own_routes(in, &originating) != 0) {
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
		return;
	}
	has_route = message_count(in->message, HEADER_ROUTE) > 0;
	next = next_uri(in);
	target = proxy_target_of(in->proxy, &next);
	if (peer_at(in->proxy, &next, &way))
		send_to_way(in, &way);
	else if (target != NULL)
		send_upstream(in, target, has_route, originating);
	else if (uri_names_us(in->proxy, &next)) /* a client of ours, but by which flow? */
		proxy_reject(in, 404, "Not Found", SLICE_NONE, REJECTED_NO_ROUTE);
	else if (!has_route && (next.scheme == URI_TEL || next.scheme == URI_URN ||
	                        uri_is_home(in->proxy, &next)))
		send_upstream(in, NULL, false, originating);
	else
		send_off_net(in);
}
