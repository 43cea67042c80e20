/*
 * Who answers: the identity that we assert in what a client answers to the core, as RFC 3325 5 asks of requests and
 * responses alike, and TS 24.229 5.2.6.4.4 of a P-CSCF. Worker thread only.
 */
#include "proxy_internal.h"

/* Which of the flow's identities was called: the S-CSCF says so (RFC 7315 4.2), or the To does. With several users
 * on the flow and no word of which it is, we vouch for none. */
struct slice connected_identity(const struct message *request, const struct flow *flow)
{
	struct slice called, identity = SLICE_NONE;
	struct name_addr address;
	struct uri to;

	if (!slice_is_empty(message_to_tag(request))) /* the dialog knows who it is with */
		return SLICE_NONE;
	if (message_header(request, "P-Called-Party-ID", &called) &&
	    name_addr_parse(called, &address) &&
	    flow_identity_find(flow, &address.uri, &identity) != NULL)
		return identity;
	if (flow_identity_find(flow, message_to(request, &to), &identity) != NULL)
		return identity;
	if (flow_binding_at(flow, 1) != NULL || flow_identity_for(flow, NULL, &identity) == NULL)
		return SLICE_NONE;
	return identity;
}

struct slice connected_identity_of_response(const struct response_context *context,
                                            const struct message *response)
{
	const struct flow *flow;
	struct name_addr preferred;
	struct slice identity;

	if (message_status(response) >= 300)
		return SLICE_NONE;
	flow = flow_table_find(context->proxy->flows, context->flow_id);
	if (flow != NULL && message_address(response, HEADER_P_PREFERRED_IDENTITY, 0, &preferred) &&
	    flow_identity_find(flow, &preferred.uri, &identity) != NULL)
		return identity;
	return context->connected != NULL ? slice_from_string(context->connected) : SLICE_NONE;
}
