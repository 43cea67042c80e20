/*
 * Who is who: the core by its listener, trunks and PBXes by their addresses on the access side, clients all others;
 * and what requests of those without a flow have in common. TS 24.229 5.10, RFC 5658. Worker thread only.
 */
#include "proxy_internal.h"

static bool is_in(const struct address_range *ranges, unsigned count, const struct address *address)
{
	for (unsigned i = 0; i < count; i++)
		if (address_range_contains(&ranges[i], address))
			return true;
	return false;
}

static enum peer peer_by_address(const struct proxy *proxy, const struct address *address)
{
	const struct peer_settings *peers = &proxy->settings->peers;

	if (is_in(peers->trunks, peers->trunk_count, address))
		return PEER_TRUNK;
	if (is_in(peers->pbxes, peers->pbx_count, address))
		return PEER_PBX;
	return PEER_CLIENT;
}

/* A connection that we opened is of the side it was opened to: its hop says so. */
enum peer peer_of(const struct proxy *proxy, const struct hop *hop)
{
	return hop->side == SIDE_CORE ? PEER_CORE : peer_by_address(proxy, &hop->remote);
}

enum crossing crossing_from(enum peer peer)
{
	static const enum crossing of[] = {CROSSING_NONE, CROSSING_CLIENT_TO_CORE,
	                                   CROSSING_TRUNK_TO_CORE, CROSSING_PBX_TO_CORE};

	return of[peer];
}

enum crossing crossing_to(enum peer peer)
{
	static const enum crossing of[] = {CROSSING_NONE, CROSSING_CORE_TO_CLIENT,
	                                   CROSSING_CORE_TO_TRUNK, CROSSING_CORE_TO_PBX};

	return of[peer];
}

bool peer_at(const struct proxy *proxy, const struct uri *uri, struct peer_way *out)
{
	uint16_t standard = uri->scheme == URI_SIPS ? 5061 : 5060; /* RFC 3261 19.1.2 */
	struct slice name;

	if ((uri->scheme != URI_SIP && uri->scheme != URI_SIPS) ||
	    !address_parse_host(uri->host, uri->port != 0 ? uri->port : standard, &out->address))
		return false;
	address_normalise(&out->address);
	out->transport = uri->scheme == URI_SIPS ? TRANSPORT_TLS : TRANSPORT_UDP;
	if (uri->scheme == URI_SIP && uri_param(uri, "transport", &name) &&
	    !transport_from_name(name, &out->transport))
		return false;
	out->peer = peer_by_address(proxy, &out->address);
	return out->peer != PEER_CLIENT;
}

bool uri_is_home(const struct proxy *proxy, const struct uri *uri)
{
	const struct proxy_settings *settings = proxy->settings;

	if (uri->scheme != URI_SIP && uri->scheme != URI_SIPS)
		return false;
	for (unsigned i = 0; i < settings->home_domain_count; i++)
		if (slice_equal_nocase(uri->host, slice_from_string(settings->home_domains[i])))
			return true;
	return false;
}

/* ---- originating service ---- */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3261 19.1.4: "%6Frig" is "orig" to whoever decodes it. */
static bool is_orig(struct slice name)
{
	static const char orig[] = "orig";
	size_t n = 0;

	for (size_t i = 0; i < name.length; i++) {
		char c = name.data[i];

		if (c == '%' && i + 2 < name.length && hex_value(name.data[i + 1]) >= 0 &&
		    hex_value(name.data[i + 2]) >= 0) {
			c = (char)(hex_value(name.data[i + 1]) << 4 | hex_value(name.data[i + 2]));
			i += 2;
		}
		if (n == sizeof(orig) - 1 || (c | 0x20) != orig[n])
			return false;
		n++;
	}
	return n == sizeof(orig) - 1;
}

static bool asks_originating(struct slice params)
{
	while (!slice_is_empty(params)) {
		struct slice value, param = slice_split(params, ';', &params);

		if (is_orig(slice_trim(slice_split(param, '=', &value))))
			return true;
	}
	return false;
}

bool routes_ask_originating(const struct message *message)
{
	unsigned count = message_count(message, HEADER_ROUTE);
	struct name_addr route;
	struct uri uri;

	for (unsigned i = 0; i < count; i++)
		if (!message_address(message, HEADER_ROUTE, i, &route) ||
		    asks_originating(route.uri.params) || asks_originating(route.params))
			return true;
	message_request_uri(message, &uri); /* where a strict router would have put a Route */
	return asks_originating(uri.params);
}

/* ---- what we say and write ---- */

void peer_reject_register(struct incoming *in)
{
	proxy_reject(in, 405, "Method Not Allowed",
	             SLICE_LITERAL("Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, MESSAGE, "
	                           "SUBSCRIBE, NOTIFY, PUBLISH, REFER, UPDATE, PRACK, INFO\r\n"),
	             REJECTED_NOT_ALLOWED_METHOD);
}

int peer_add_record_routes(struct incoming *in, enum peer_token_kind kind, const struct hop *access,
                           bool from_core)
{
	const struct proxy *proxy = in->proxy;
	const struct proxy_settings *settings = proxy->settings;
	const struct listener_settings *listener = &settings->listeners[settings->path_listener];
	struct route_self core = {slice_from_string(listener->advertise), listener->transport};
	struct route_self edge = {slice_from_string(proxy->ways.sent_by(proxy->ways.arg, access)),
	                          access->transport};
	struct peer_token token = {.kind = kind,
	                           .transport = access->transport,
	                           .worker = settings->worker,
	                           .listener = access->listener,
	                           .local = access->local,
	                           .epoch = settings->epoch,
	                           .connection = access->connection,
	                           .address = access->remote};
	char text[PEER_TOKEN_TEXT_MAX], mark[ROUTE_SET_MARK_SIZE] = "";
	struct buffer lines;
	int err;

	peer_token_write(&token, message_call_id(in->message), text);
	if (from_core && slice_is_empty(message_to_tag(in->message)))
		record_route_mark_stranger(in->message, slice_from_string(text), mark);
	buffer_init(&lines);
	if (!from_core)
		route_write_record_route(&lines, &core, slice_from_string(text), SLICE_NONE);
	route_write_record_route(&lines, &edge, slice_from_string(text), slice_from_string(mark));
	if (from_core)
		route_write_record_route(&lines, &core, slice_from_string(text), SLICE_NONE);
	err = lines.failed ? -ENOMEM : message_prepend_lines(in->message, buffer_slice(&lines));
	buffer_free(&lines);
	return err;
}

enum flow_token_verdict peer_token_of(struct incoming *in, struct peer_token *out)
{
	struct slice call_id = message_call_id(in->message);
	struct name_addr route;
	struct uri uri;

	if (message_address(in->message, HEADER_ROUTE, 0, &route) &&
	    peer_token_has_form(route.uri.user) && uri_names_us(in->proxy, &route.uri))
		return peer_token_read(route.uri.user, call_id, out);
	message_request_uri(in->message, &uri);
	if (peer_token_has_form(uri.user) && uri_names_us(in->proxy, &uri))
		return peer_token_read(uri.user, call_id, out);
	return FLOW_TOKEN_NOT_OURS;
}

bool peer_token_is_elsewhere(const struct proxy *proxy, const struct peer_token *token,
                             uint8_t *worker)
{
	*worker = token->worker;
	return token->worker != proxy->settings->worker && token->epoch == proxy->settings->epoch &&
	       (token->connection != 0 || token->local != 0);
}

struct hop peer_token_hop(const struct proxy *proxy, const struct peer_token *token)
{
	bool is_of_now =
		token->epoch == proxy->settings->epoch && token->worker == proxy->settings->worker;

	return (struct hop){.worker = proxy->settings->worker,
	                    .transport = token->transport,
	                    .side = SIDE_ACCESS,
	                    .listener = token->listener,
	                    .local = is_of_now ? token->local : 0,
	                    .remote = token->address,
	                    .connection = is_of_now ? token->connection : 0};
}

int peer_pop_routes(struct incoming *in)
{
	struct uri uri;
	int done = 0;

	message_request_uri(in->message, &uri);
	if (peer_token_has_form(uri.user) && uri_names_us(in->proxy, &uri))
		done = route_undo_strict(in->message); /* RFC 3261 16.4 */
	if (done >= 0)
		done = route_pop_own(in->proxy, in->message);
	return done == -ENOMEM ? done : 0;
}

int peer_set_hops(struct incoming *in)
{
	int hops = message_max_forwards(in->message);

	return message_set_max_forwards(in->message, hops < 0 ? 70 : (unsigned)hops - 1);
}

void peer_start(struct incoming *in, struct request_plan *plan)
{
	if (in->method == METHOD_ACK)
		ack_forward(in, plan);
	else
		context_start(in, plan);
}
