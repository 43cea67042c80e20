/*
 * Requests from clients, other than REGISTER: only over a registered flow, with the identity we vouch for,
 * along the Service-Route that the registrar gave. RFC 3261 16.4 to 16.6, RFC 3608, RFC 3325 5,
 * TS 24.229 5.2.6.3. Worker thread only.
 */
#include "proxy_internal.h"

#include <string.h>

#include "base/hash.h"

struct slice name_addr_first(struct slice list)
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
	if (challenger == NULL && name_addr_parse(name_addr_first(service_route), &first))
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
bool plan_spiral(struct incoming *in, struct request_plan *plan)
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

/* In a dialog the route set leads, the one that we gave and no other; its first entry after ours names a Sprout. One
 * that the view does not hold is not dialled: any Sprout gets the request with its Route as it is, since Sprouts
 * own each other's names. Where nobody but us stayed in the path, only the client says where the other end
 * is: the request goes as an initial one would, to where the registrar said. */
static int route_in_dialog(struct incoming *in, const struct binding *binding,
                           struct request_plan *plan)
{
	struct name_addr next;
	int done = record_route_follow(in, binding);

	if (done != 0)
		return done;
	plan->in_dialog = true;
	if (!message_address(in->message, HEADER_ROUTE, 0, &next))
		return route_initial(in, binding, plan);
	if (plan_spiral(in, plan))
		return 0;
	plan->preferred = proxy_target_of(in->proxy, &next.uri);
	done = route_apply_strict(in->message);
	return done == -ENOMEM ? done : 0;
}

/* ---- who is calling ---- */

/* Up to two identities to assert: one sip or sips, one tel (RFC 3325 9.1). */
struct identities {
	const struct binding *binding; /* of the first; NULL: not registered on this flow */
	struct slice values[2];
	unsigned count;
};

/* RFC 5876 4.5: of more than one value of a kind the first counts, other schemes do not; TS 24.229 5.2.6.3: one that
 * is not this user's is as if it were not there. */
static void prefer(struct incoming *in, struct identities *out)
{
	bool seen[2] = {false, false};
	const struct binding *binding;
	struct name_addr preferred;
	struct slice identity;

	for (unsigned i = 0, n = message_count(in->message, HEADER_P_PREFERRED_IDENTITY); i < n;
	     i++) {
		bool tel;

		if (!message_address(in->message, HEADER_P_PREFERRED_IDENTITY, i, &preferred) ||
		    preferred.uri.scheme > URI_TEL)
			continue;
		tel = preferred.uri.scheme == URI_TEL;
		if (seen[tel])
			continue;
		seen[tel] = true;
		binding = flow_identity_find(in->flow, &preferred.uri, &identity);
		if (binding == NULL)
			continue;
		if (out->binding == NULL)
			out->binding = binding;
		out->values[out->count++] = identity;
	}
}

/* The default identity: where several users share the flow, that of the one who is From, else of the first. A From
 * that is not theirs, anonymous for one, says nothing. */
static void assume(struct incoming *in, struct identities *out)
{
	const struct binding *binding = NULL;
	struct slice identity;
	struct uri from;

	if (flow_binding_at(in->flow, 1) != NULL && message_from(in->message, &from) != NULL)
		binding = flow_identity_find(in->flow, &from, &identity);
	if (binding == NULL)
		binding = flow_binding_at(in->flow, 0);
	if (binding == NULL)
		return;
	out->binding = binding;
	out->values[out->count++] = binding_default_identity(binding);
}

static void identify(struct incoming *in, struct identities *out)
{
	*out = (struct identities){0};
	if (in->flow == NULL)
		return;
	prefer(in, out);
	if (out->binding == NULL)
		assume(in, out);
}

static int assert_identities(struct incoming *in, const struct identities *identities)
{
	int err = trust_apply(in->message, CROSSING_CLIENT_TO_CORE);

	if (err == 0)
		err = charging_mark_request(in);
	for (unsigned i = 0; err == 0 && i < identities->count; i++)
		err = message_append(in->message, "P-Asserted-Identity", identities->values[i]);
	return err;
}

/* ---- the request ---- */

static int plan_request(struct incoming *in, const struct identities *identities,
                        struct request_plan *plan)
{
	const struct binding *binding = identities->binding;
	int hops = message_max_forwards(in->message);
	int err;

	plan->key = hash_slice(binding_aor(binding));
	if (slice_is_empty(message_to_tag(in->message)))
		err = route_initial(in, binding, plan);
	else
		err = route_in_dialog(in, binding, plan);
	if (err == 0)
		err = assert_identities(in, identities);
	if (err == 0)
		err = record_route_from_client(in, binding, &plan->route_note);
	if (err == 0)
		err = message_set_max_forwards(in->message, hops < 0 ? 70 : (unsigned)hops - 1);
	return err;
}

static void start_request(struct incoming *in, const struct binding *binding,
                          struct request_plan *plan)
{
	restoration_note(in, binding, &plan->restoration);
	context_start(in, plan);
}

void from_client_request(struct incoming *in)
{
	struct request_plan plan = {.crossing = CROSSING_CLIENT_TO_CORE};
	struct identities identities;
	int err;

	identify(in, &identities);
	if (identities.binding == NULL) {
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_NOT_REGISTERED);
		return;
	}
	if (binding_is_restoring(identities.binding) && in->method != METHOD_ACK &&
	    slice_is_empty(message_to_tag(in->message))) {
		restoration_refuse(in);
		return;
	}
	outbound_read(in, NULL, &plan);
	err = plan_request(in, &identities, &plan);
	if (err == -EACCES)
		proxy_reject(in, 403, "Forbidden", SLICE_NONE, REJECTED_BAD_ROUTE);
	else if (err != 0)
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
	else if (in->method == METHOD_ACK)
		ack_forward(in, &plan);
	else
		start_request(in, identities.binding, &plan);
}
