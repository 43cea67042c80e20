/*
 * Requests from trunks and PBXes, other than REGISTER: into the core as a callee's side (trunk), or as a caller whom
 * the core shall challenge (PBX). TS 24.229 5.10.3 (IBCF), RFC 3325. Worker thread only.
 */
#include "proxy_internal.h"

#include "base/hash.h"

/* TS 24.229 5.10.3: our own name in the Request-URI of another network means the home network. */
static int rewrite_own_host(struct incoming *in)
{
	const struct proxy_settings *settings = in->proxy->settings;
	struct buffer text;
	struct uri uri;
	int err;

	message_request_uri(in->message, &uri);
	if (settings->home_domain_count == 0 || slice_is_empty(uri.user) ||
	    !uri_names_us(in->proxy, &uri))
		return 0;
	buffer_init(&text);
	buffer_printf(&text, "%.*s:%.*s", SLICE_ARGS(uri.scheme_text), SLICE_ARGS(uri.user));
	if (!slice_is_empty(uri.password))
		buffer_printf(&text, ":%.*s", SLICE_ARGS(uri.password));
	buffer_printf(&text, "@%s", settings->home_domains[0]);
	if (!slice_is_empty(uri.params))
		buffer_printf(&text, ";%.*s", SLICE_ARGS(uri.params));
	if (!slice_is_empty(uri.headers))
		buffer_printf(&text, "?%.*s", SLICE_ARGS(uri.headers));
	err = text.failed ? -ENOMEM : message_set_request_uri(in->message, buffer_slice(&text));
	buffer_free(&text);
	return err;
}

/* A preloaded Route that names a Sprout is followed; any other leads nowhere that a stranger may choose, and neither
 * does what stands behind that Sprout: it would send the request on. */
static int route_of_trunk(struct incoming *in, struct request_plan *plan)
{
	struct name_addr next;

	plan->terminating = true;
	if (message_address(in->message, HEADER_ROUTE, 0, &next))
		plan->preferred = proxy_target_of(in->proxy, &next.uri);
	if (plan->preferred != NULL && message_count(in->message, HEADER_ROUTE) == 1)
		return 0;
	plan->add_target_route = true;
	return message_remove(in->message, "Route");
}

static int append_service_route(struct incoming *in, const char *route)
{
	struct buffer text;
	struct uri uri;
	bool has_lr = uri_parse(slice_from_string(route), &uri) && uri_param(&uri, "lr", NULL);
	int err;

	buffer_init(&text);
	buffer_printf(&text, "<%s%s>", route, has_lr ? "" : ";lr");
	err = text.failed ? -ENOMEM : message_append(in->message, "Route", buffer_slice(&text));
	buffer_free(&text);
	return err;
}

/* The empty Digest tells a Sprout that this caller is to be challenged
 * (its non_register_authentication=if_proxy_authorization_present). */
static int ask_for_challenge(struct incoming *in)
{
	struct slice value;

	if (message_header(in->message, "Proxy-Authorization", &value))
		return 0;
	return message_append(in->message, "Proxy-Authorization",
	                      SLICE_LITERAL("Digest nonce=\"\", response=\"\""));
}

static int route_of_pbx(struct incoming *in, struct request_plan *plan)
{
	const char *route = in->proxy->settings->peers.pbx_service_route;
	int err = message_remove(in->message, "Route");
	struct uri uri;

	if (err == 0)
		err = ask_for_challenge(in);
	if (err != 0)
		return err;
	plan->preferred = challenge_maker(in->proxy, in->message);
	plan->add_target_route = route == NULL;
	if (route == NULL)
		return 0;
	if (plan->preferred == NULL && uri_parse(slice_from_string(route), &uri))
		plan->preferred = proxy_target_of(in->proxy, &uri);
	return append_service_route(in, route);
}

static int plan_initial(struct incoming *in, enum peer peer, struct request_plan *plan)
{
	struct uri uri;
	int err = peer_pop_routes(in);

	if (err == 0)
		err = peer == PEER_TRUNK ? rewrite_own_host(in) : 0;
	if (err != 0)
		return err;
	message_request_uri(in->message, &uri);
	plan->key = hash_slice(uri.user);
	return peer == PEER_TRUNK ? route_of_trunk(in, plan) : route_of_pbx(in, plan);
}

/* The route set leads; what the view does not hold is never dialled, Sprouts know each other's names. */
static int plan_in_dialog(struct incoming *in, struct request_plan *plan)
{
	struct name_addr next;
	struct uri uri;
	int err = record_route_follow_stranger(in);

	if (err != 0)
		return err;
	plan->in_dialog = true;
	if (plan_spiral(in, plan))
		return 0;
	if (message_address(in->message, HEADER_ROUTE, 0, &next))
		uri = next.uri;
	else
		message_request_uri(in->message, &uri);
	plan->preferred = proxy_target_of(in->proxy, &uri);
	err = route_apply_strict(in->message);
	return err == -ENOMEM ? err : 0;
}

static int plan_request(struct incoming *in, enum peer peer, struct request_plan *plan)
{
	bool initial = slice_is_empty(message_to_tag(in->message));
	int err = trust_apply(in->message, plan->crossing);

	if (err == 0)
		err = charging_mark_request(in);
	if (err == 0)
		err = initial ? plan_initial(in, peer, plan) : plan_in_dialog(in, plan);
	if (err == 0)
		err = peer_add_record_routes(in,
		                             peer == PEER_TRUNK ? PEER_TOKEN_TRUNK : PEER_TOKEN_PBX,
		                             &in->packet->hop, false);
	if (err == 0 && initial)
		record_route_note_stranger(in, &plan->route_note);
	return err == 0 ? peer_set_hops(in) : err;
}

/* In a dialog only along what we wrote for it: the token is of this Call-ID and of this kind of peer. */
static bool may_go_on(struct incoming *in, enum peer peer)
{
	struct peer_token token;

	if (slice_is_empty(message_to_tag(in->message)))
		return true;
	return peer_token_of(in, &token) == FLOW_TOKEN_VALID &&
	       token.kind == (peer == PEER_TRUNK ? PEER_TOKEN_TRUNK : PEER_TOKEN_PBX);
}

void from_peer_request(struct incoming *in, enum peer peer)
{
	struct request_plan plan = {.crossing = crossing_from(peer)};
	int err;

	if (peer == PEER_TRUNK && routes_ask_originating(in->message)) {
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_ORIGINATING);
		return;
	}
	if (!may_go_on(in, peer)) {
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_FORGED_TOKEN);
		return;
	}
	err = plan_request(in, peer, &plan);
	if (err == -EACCES) /* not the route set that we gave it */
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_BAD_ROUTE);
	else if (err != 0)
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
	else
		peer_start(in, &plan);
}
