/*
 * Requests from clients, other than REGISTER: only over a registered flow, with the identity we vouch for,
 * along the Service-Route that the registrar gave. RFC 3261 16.4 to 16.6, RFC 3608, RFC 3325 5,
 * TS 24.229 5.2.6.3. Worker thread only.
 */
#include "proxy_internal.h"

#include <string.h>

#include "base/hash.h"

static int assert_identity(struct incoming *in, struct slice identity)
{
	int err = trust_apply(in->message, CROSSING_CLIENT_TO_CORE);

	if (err == 0)
		err = message_append(in->message, "P-Asserted-Identity", identity);
	return err;
}

/* The first of a comma-separated list of name-addrs. */
static struct slice first_of(struct slice list)
{
	bool quoted = false;
	bool angled = false;

	for (size_t i = 0; i < list.length; i++) {
		char c = list.data[i];

		if (quoted && c == '\\')
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (c == '<' || c == '>'))
			angled = c == '<';
		else if (!quoted && !angled && c == ',')
			return slice_of(list.data, i);
	}
	return list;
}

/* Initial requests go where the registrar said and nowhere else: a preloaded Route is replaced. */
static int route_initial(struct incoming *in, const struct binding *binding,
                         struct request_plan *plan)
{
	struct slice service_route = binding_service_route(binding);
	const struct view_target *challenger = challenge_maker(in->proxy, in->message);
	struct name_addr first;
	int err;

	err = message_remove(in->message, "Route");
	if (err != 0)
		return err;
	plan->preferred = challenger;
	if (slice_is_empty(service_route)) {
		plan->add_target_route = true;
		return 0;
	}
	if (challenger == NULL && name_addr_parse(first_of(service_route), &first))
		plan->preferred = proxy_target_of(in->proxy, &first.uri);
	return message_append(in->message, "Route", service_route);
}

#define OWN_NAME_MAX 256 /* a host name has 253 bytes at most */

/* Ourselves as a peer. Over TLS our certificate shows the name that we advertise. */
static void own_peer(const struct listener_settings *core, const struct address *self, char *name,
                     struct transport_peer *out)
{
	struct slice host = slice_from_string(core->advertise);
	const char *colon = strrchr(core->advertise, ':');
	struct address literal;

	*out = (struct transport_peer){core->transport, self, core->tls, NULL};
	if (colon != NULL)
		host.length = (size_t)(colon - core->advertise);
	if (address_parse(slice_from_string(core->advertise), &literal) ||
	    host.length >= OWN_NAME_MAX)
		return;
	memcpy(name, host.data, host.length);
	name[host.length] = '\0';
	out->name = name;
}

/* The next Route is an entry of ours with another token: a call between two of our own clients where no
 * Sprout stayed in the path. It comes to us once more, on the core side. */
static bool plan_spiral(struct incoming *in, struct request_plan *plan)
{
	const struct proxy_settings *settings = in->proxy->settings;
	const struct listener_settings *core = &settings->listeners[settings->path_listener];
	struct proxy_ways *ways = &in->proxy->ways;
	struct name_addr next;
	struct address self = core->bind;
	struct transport_peer peer;
	char name[OWN_NAME_MAX];

	if (!message_address(in->message, HEADER_ROUTE, 0, &next) ||
	    !uri_names_us(in->proxy, &next.uri))
		return false;
	if (address_is_wildcard(&self) && !address_parse(slice_from_string(core->advertise), &self))
		return false;
	own_peer(core, &self, name, &peer);
	plan->fixed = ways->open(ways->arg, &peer, &plan->hop) == 0;
	return plan->fixed;
}

/* In a dialog the route set leads; its first entry after ours names a Sprout. One that the view does not hold
 * is not dialled: any Sprout gets the request with its Route as it is, since Sprouts own each other's names. */
static int route_in_dialog(struct incoming *in, struct request_plan *plan)
{
	struct name_addr next;
	struct uri uri;
	int popped = route_pop_own(in->proxy, in->message);

	if (popped < 0)
		return popped;
	plan->in_dialog = true;
	if (plan_spiral(in, plan))
		return 0;
	if (message_address(in->message, HEADER_ROUTE, 0, &next))
		uri = next.uri;
	else
		message_request_uri(in->message, &uri);
	plan->preferred = proxy_target_of(in->proxy, &uri);
	popped = route_apply_strict(in->message);
	return popped == -ENOMEM ? popped : 0;
}

static int add_record_routes(struct incoming *in)
{
	const struct proxy_settings *settings = in->proxy->settings;
	const struct listener_settings *core = &settings->listeners[settings->path_listener];
	const char *access = in->proxy->ways.sent_by(in->proxy->ways.arg, &in->packet->hop);
	struct route_self outgoing = {slice_from_string(core->advertise), core->transport};
	struct route_self incoming = {slice_from_string(access), in->packet->hop.transport};
	struct buffer lines;
	int err;

	buffer_init(&lines);
	route_write_record_routes(&lines, &outgoing, &incoming,
	                          slice_from_string(flow_token_text(in->flow)));
	err = lines.failed ? -ENOMEM : message_prepend_lines(in->message, buffer_slice(&lines));
	buffer_free(&lines);
	return err;
}

static const struct binding *identify(struct incoming *in, struct slice *identity)
{
	struct name_addr preferred;
	bool has = message_address(in->message, HEADER_P_PREFERRED_IDENTITY, 0, &preferred);

	return flow_identity_for(in->flow, has ? &preferred : NULL, identity);
}

static int plan_request(struct incoming *in, const struct binding *binding, struct slice identity,
                        struct request_plan *plan)
{
	int hops = message_max_forwards(in->message);
	int err;

	plan->key = hash_slice(binding_aor(binding));
	err = assert_identity(in, identity);
	if (err == 0 && slice_is_empty(message_to_tag(in->message)))
		err = route_initial(in, binding, plan);
	else if (err == 0)
		err = route_in_dialog(in, plan);
	if (err == 0)
		err = add_record_routes(in);
	if (err == 0)
		err = message_set_max_forwards(in->message, hops < 0 ? 70 : (unsigned)hops - 1);
	return err;
}

void from_client_request(struct incoming *in)
{
	struct request_plan plan = {.crossing = CROSSING_CLIENT_TO_CORE};
	const struct binding *binding = NULL;
	struct slice identity;
	int err;

	if (in->flow != NULL)
		binding = identify(in, &identity);
	if (binding == NULL) {
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_NOT_REGISTERED);
		return;
	}
	err = plan_request(in, binding, identity, &plan);
	if (err != 0)
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
	else if (in->method == METHOD_ACK)
		ack_forward(in, &plan);
	else
		context_start(in, &plan);
}
