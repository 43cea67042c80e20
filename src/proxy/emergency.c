/*
 * Emergency registrations, and emergency calls of clients that are not registered: to the E-CSCF that the operator
 * names, with no identity asserted, and the way back in the token of their dialog. TS 24.229 5.2.10, RFC 5031.
 * Worker thread only.
 */
#include "proxy_internal.h"

bool emergency_registration(const struct message *request)
{
	unsigned count = message_count(request, HEADER_CONTACT);
	struct name_addr contact;

	for (unsigned i = 0; i < count; i++)
		if (message_address(request, HEADER_CONTACT, i, &contact) &&
		    (uri_param(&contact.uri, "sos", NULL) ||
		     name_addr_param(&contact, "sos", NULL)))
			return true;
	return false;
}

/* "urn:service:sos" and its sub-services, "urn:service:sos.fire" (RFC 5031 4.2). */
static bool is_sos(const struct uri *uri)
{
	const struct slice sos = SLICE_LITERAL("urn:service:sos");

	return uri->scheme == URI_URN && slice_starts_with_nocase(uri->text, sos) &&
	       (uri->text.length == sos.length || uri->text.data[sos.length] == '.');
}

/* It goes on where its call began: same host, and the token is of this Call-ID. */
static bool is_in_emergency_call(struct incoming *in)
{
	struct peer_token token;

	return peer_token_of(in, &token) == FLOW_TOKEN_VALID &&
	       token.kind == PEER_TOKEN_EMERGENCY &&
	       address_equal_host(&token.address, &in->packet->hop.remote);
}

bool emergency_is_of_stranger(struct incoming *in)
{
	struct uri uri;

	if (!slice_is_empty(message_to_tag(in->message)))
		return is_in_emergency_call(in);
	return (in->flow == NULL || flow_state(in->flow) != FLOW_REGISTERED) &&
	       is_sos(message_request_uri(in->message, &uri));
}

/* Not taken here. One who could register for it is told so (5.2.10.4); to all others it is as any other call. */
static void refuse(struct incoming *in)
{
	struct buffer extra;

	if (!in->proxy->settings->peers.emergency_register ||
	    !client_speaks_ims(in->proxy, in->message)) {
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_EMERGENCY);
		return;
	}
	buffer_init(&extra);
	alternative_service_write(&extra, SLICE_NONE, "emergency", "not registered",
	                          "emergency-registration");
	if (extra.failed)
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_EMERGENCY);
	else
		proxy_reject(in, 380, "Alternative Service", buffer_slice(&extra),
		             REJECTED_EMERGENCY);
	buffer_free(&extra);
}

static int add_route(struct incoming *in, const char *route)
{
	struct buffer text;
	struct uri uri;
	int err;

	if (!uri_parse(slice_from_string(route), &uri) || !uri_param(&uri, "lr", NULL))
		return 0;
	buffer_init(&text);
	buffer_printf(&text, "<%s>", route);
	err = text.failed ? -ENOMEM : message_prepend(in->message, "Route", buffer_slice(&text));
	buffer_free(&text);
	return err;
}

/* Nothing that it says of itself is believed, and we know no better: no P-Asserted-Identity (5.2.10.2). */
static int edit_request(struct incoming *in, const char *route, struct route_note *note)
{
	bool initial = slice_is_empty(message_to_tag(in->message));
	int err = trust_apply(in->message, CROSSING_CLIENT_TO_CORE);

	if (err == 0)
		err = charging_mark_request(in);
	if (err == 0 && !initial) /* a call for help is no way to anywhere else */
		err = record_route_follow_stranger(in);
	if (err == 0 && initial)
		err = message_remove(in->message, "Route");
	if (err == 0 && initial)
		err = add_route(in, route);
	if (err == 0)
		err = peer_add_record_routes(in, PEER_TOKEN_EMERGENCY, &in->packet->hop, false);
	if (err == 0)
		record_route_note_stranger(in, note);
	return err == 0 ? peer_set_hops(in) : err;
}

void emergency_request(struct incoming *in)
{
	const struct peer_hop *route = &in->proxy->settings->peers.emergency;
	struct transport_peer peer = {.transport = route->transport,
	                              .address = &route->address,
	                              .tls = in->proxy->settings->peers.tls};
	struct request_plan plan = {.crossing = CROSSING_CLIENT_TO_CORE,
	                            .fixed = true,
	                            .to_peer = true};
	struct proxy_ways *ways = &in->proxy->ways;
	char text[48];
	int err;

	if (route->uri == NULL) {
		refuse(in);
		return;
	}
	if (ways->open(ways->arg, &peer, &plan.hop) != 0) {
		proxy_reject(in, 503, "Service Unavailable", proxy_retry_after(text, 5),
		             REJECTED_NO_ROUTE);
		return;
	}
	err = edit_request(in, route->uri, &plan.route_note);
	if (err == -EACCES)
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_BAD_ROUTE);
	else if (err != 0)
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
	else
		peer_start(in, &plan);
}
