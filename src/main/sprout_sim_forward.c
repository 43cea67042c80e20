/*
 * Where a request goes and what it begins with: our Routes popped, the next hop opened, Via, Record-Route
 * and Route written. RFC 3261 16.4 and 16.6. The Sprout's thread.
 */
#include "sprout_sim.h"

#include "base/error.h"
#include "base/log.h"

/* A call passes the originating and the terminating half here, and may come back once more. */
#define OWN_ROUTES_MAX 8

int forward_pop_ours(struct sprout *sprout, struct message *request)
{
	struct name_addr route;
	int err = 0;

	for (unsigned i = 0; err == 0 && i < OWN_ROUTES_MAX; i++) {
		if (!message_address(request, HEADER_ROUTE, 0, &route) ||
		    !sprout_is_ours(sprout, &route.uri))
			return 0;
		err = message_pop(request, HEADER_ROUTE);
	}
	return err;
}

static bool uri_transport(const struct uri *uri, enum sip_transport *out)
{
	struct slice name;

	if (uri->scheme != URI_SIP)
		return false;
	*out = TRANSPORT_UDP;
	return !uri_param(uri, "transport", &name) || transport_from_name(name, out);
}

int forward_open(struct sprout *sprout, const struct uri *uri, struct hop *out)
{
	enum sip_transport transport;
	struct address address;
	int err;

	if (!uri_transport(uri, &transport) ||
	    !address_parse_host(uri->host, uri->port != 0 ? uri->port : 5060, &address)) {
		log_debug("%s: next hop is no address, %.*s", sprout->name, SLICE_ARGS(uri->text));
		return -EHOSTUNREACH;
	}
	err = transport_open(sprout->transport,
	                     &(struct transport_peer){.transport = transport,
	                                              .address = &address,
	                                              .tls = SIM_TLS},
	                     out);
	if (err != 0)
		log_warning("%s: no way to %.*s, %s", sprout->name, SLICE_ARGS(uri->text),
		            error_text(err));
	return err;
}

void forward_write_head(struct sprout *sprout, struct buffer *out, const struct hop *hop,
                        const char *branch, const struct hop *record_route_for, struct slice path)
{
	enum sip_transport transport = (enum sip_transport)hop->transport;

	buffer_append_string(out, "Via: SIP/2.0/");
	buffer_append_string(out, transport_via_name(transport));
	buffer_append_string(out, " ");
	buffer_append_string(out, transport_sent_by(sprout->transport, hop));
	buffer_append_string(out, transport == TRANSPORT_UDP ? ";rport;branch=" : ";branch=");
	buffer_append_string(out, branch);
	buffer_append_string(out, "\r\n");
	if (record_route_for != NULL) {
		buffer_append_string(out, "Record-Route: <sip:");
		buffer_append_string(out, sprout->name);
		buffer_append_string(out, ";transport=");
		buffer_append_string(out, transport_name(
						  (enum sip_transport)record_route_for->transport));
		buffer_append_string(out, ";lr>\r\n");
	}
	if (path.length > 0) {
		buffer_append_string(out, "Route: ");
		buffer_append_slice(out, path);
		buffer_append_string(out, "\r\n");
	}
}

void forward_ack(struct sprout *sprout, struct message *ack)
{
	char branch[BRANCH_TEXT_MAX];
	struct name_addr route;
	struct buffer head;
	struct bytes *bytes = NULL;
	struct uri uri;
	struct hop hop;
	int hops = message_max_forwards(ack);

	if (message_address(ack, HEADER_ROUTE, 0, &route))
		uri = route.uri;
	else if (message_request_uri(ack, &uri) == NULL || sprout_is_ours(sprout, &uri))
		return;
	if (forward_open(sprout, &uri, &hop) != 0)
		return;
	branch_mint(&sprout->branches, loop_hash(ack), branch);
	buffer_init(&head);
	forward_write_head(sprout, &head, &hop, branch, NULL, SLICE_NONE);
	if (!head.failed &&
	    message_set_max_forwards(ack, hops < 0 ? 70 : (unsigned)hops - 1) == 0 &&
	    message_prepend_lines(ack, buffer_slice(&head)) == 0)
		bytes = message_serialize(ack, hop.transport != TRANSPORT_UDP);
	buffer_free(&head);
	if (bytes != NULL)
		sprout_send(sprout, &hop, &bytes);
}
