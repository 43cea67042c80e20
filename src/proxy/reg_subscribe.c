/*
 * The SUBSCRIBEs of our own subscriptions: what they say, where they go, and what their 2xx teaches.
 * TS 24.229 5.2.3, RFC 6665 4.1.2, RFC 3261 12.1.2 and 12.2.1.1. Worker thread only.
 */
#include "reg_event.h"

#include "base/hash.h"
#include "base/memory.h"

/* What we keep of a dialog: a tag, a Contact, a route set of a few Sprouts. */
#define DIALOG_TEXT_MAX 2048

static struct route_self core_self(const struct proxy *proxy)
{
	const struct proxy_settings *settings = proxy->settings;
	const struct listener_settings *core = &settings->listeners[settings->path_listener];

	return (struct route_self){slice_from_string(core->advertise), core->transport};
}

/* ---- where to ---- */

/* The Service-Route leads to the S-CSCF that has the registration; but this is a request to its user, not one of the
 * user's own, so nobody shall serve us as a caller (TS 24.229 5.4.3.2). */
static void append_without_orig(struct buffer *out, const struct uri *uri)
{
	const char *end = uri->text.data + uri->text.length;
	struct slice rest = uri->params, value;

	buffer_append(out, "<", 1);
	if (slice_is_empty(rest)) {
		buffer_append_slice(out, uri->text);
	} else {
		buffer_append(out, uri->text.data, (size_t)(rest.data - 1 - uri->text.data));
		while (!slice_is_empty(rest)) {
			struct slice param = slice_split(rest, ';', &rest);

			if (slice_equal_nocase(slice_trim(slice_split(param, '=', &value)),
			                       SLICE_LITERAL("orig")))
				continue;
			buffer_append(out, ";", 1);
			buffer_append_slice(out, param);
		}
		buffer_append(out, uri->params.data + uri->params.length,
		              (size_t)(end - uri->params.data - uri->params.length));
	}
	buffer_append(out, ">", 1);
}

static void write_initial_route(struct proxy *proxy, const struct binding *binding,
                                struct buffer *out, struct request_plan *plan)
{
	struct slice rest = binding_service_route(binding), first;
	struct name_addr entry;
	unsigned count = 0;

	plan->terminating = true;
	while (!slice_is_empty(rest)) {
		first = name_addr_first(rest);
		rest = slice_skip(rest, first.length + 1);
		if (!name_addr_parse(slice_trim(first), &entry))
			continue;
		if (count == 0)
			plan->preferred = proxy_target_of(proxy, &entry.uri);
		buffer_append_string(out, count++ == 0 ? "Route: " : ",");
		append_without_orig(out, &entry.uri);
	}
	plan->add_target_route = count == 0;
	if (count > 0)
		buffer_append(out, "\r\n", 2);
}

const struct view_target *reg_subscribe_target(const struct proxy *proxy,
                                               const struct reg_watch *watch)
{
	struct name_addr entry;
	struct uri uri;

	if (watch->routes != NULL &&
	    name_addr_parse(name_addr_first(slice_from_string(watch->routes)), &entry))
		return proxy_target_of(proxy, &entry.uri);
	if (watch->target != NULL && uri_parse(slice_from_string(watch->target), &uri))
		return proxy_target_of(proxy, &uri);
	return NULL;
}

static void write_dialog_route(struct proxy *proxy, const struct reg_watch *watch,
                               struct buffer *out, struct request_plan *plan)
{
	plan->in_dialog = true;
	plan->preferred = reg_subscribe_target(proxy, watch);
	if (watch->routes != NULL)
		buffer_printf(out, "Route: %s\r\n", watch->routes);
}

/* ---- the request ---- */

static void write_asserted(struct proxy *proxy, const struct reg_watch *watch,
                           const struct route_self *self, struct buffer *out)
{
	struct flow *flow = flow_table_find(proxy->flows, watch->flow_id);

	/* TS 24.229 5.2.3: as it stands in the Path of that registration, by which the S-CSCF knows that we may ask
	 * (5.4.2.1.1). */
	buffer_append_string(out, "P-Asserted-Identity: ");
	route_write_uri(out, self,
	                flow != NULL ? slice_from_string(flow_token_text(flow)) : SLICE_NONE,
	                false);
	buffer_append(out, "\r\n", 2);
}

static void write_contact(struct proxy *proxy, const struct reg_watch *watch, struct slice call_id,
                          const struct route_self *self, struct buffer *out)
{
	struct watch_token token = {proxy->settings->worker, proxy->settings->epoch, watch->id};
	char text[WATCH_TOKEN_TEXT_MAX];

	watch_token_write(&token, call_id, text);
	buffer_printf(out, "Contact: <sip:%s@%.*s;transport=%s>\r\n", text,
	              SLICE_ARGS(self->host_port), transport_uri_name(self->transport));
}

struct bytes *reg_subscribe_write(struct proxy *proxy, const struct reg_watch *watch,
                                  uint32_t expires_s, struct request_plan *plan)
{
	struct route_self self = core_self(proxy);
	char call_text[REG_CALL_ID_SIZE];
	struct slice call_id = reg_watch_call_id(watch, call_text);
	struct bytes *request;
	struct buffer text;

	plan->key = hash_slice(slice_from_string(watch->aor));
	plan->crossing = CROSSING_NONE;
	buffer_init(&text);
	buffer_printf(&text, "SUBSCRIBE %s SIP/2.0\r\n",
	              watch->accepted ? watch->target : watch->to);
	if (watch->accepted)
		write_dialog_route(proxy, watch, &text, plan);
	else
		write_initial_route(proxy, reg_watch_binding(proxy, watch), &text, plan);
	buffer_printf(&text,
	              "Max-Forwards: 70\r\n"
	              "From: <sip:%.*s>;tag=%016llx\r\n"
	              "To: <%s>%s%s\r\n"
	              "Call-ID: %.*s\r\n"
	              "CSeq: %u SUBSCRIBE\r\n",
	              SLICE_ARGS(self.host_port), (unsigned long long)watch->local_tag, watch->to,
	              watch->accepted ? ";tag=" : "", watch->accepted ? watch->remote_tag : "",
	              SLICE_ARGS(call_id), watch->cseq);
	write_contact(proxy, watch, call_id, &self, &text);
	write_asserted(proxy, watch, &self, &text);
	if (proxy->settings->charging_vector) {
		buffer_append_string(&text, "P-Charging-Vector: ");
		charging_write_vector(proxy, call_id, &text);
		buffer_append(&text, "\r\n", 2);
	}
	buffer_printf(&text,
	              "Event: reg\r\n"
	              "Accept: application/reginfo+xml\r\n"
	              "Expires: %u\r\n"
	              "Content-Length: 0\r\n\r\n",
	              expires_s);
	request = buffer_to_bytes(&text);
	buffer_free(&text);
	return request;
}

/* ---- its 2xx ---- */

/* RFC 3261 12.1.2: from its end. Values of ours are printed on one line. */
static char *read_routes(const struct message *response)
{
	unsigned count = message_count(response, HEADER_RECORD_ROUTE);
	struct name_addr entry;
	struct buffer text;
	char *routes;

	buffer_init(&text);
	for (unsigned i = count; i > 0; i--)
		if (message_address(response, HEADER_RECORD_ROUTE, i - 1, &entry))
			buffer_printf(&text, "%s<%.*s>", text.length > 0 ? "," : "",
			              SLICE_ARGS(entry.uri.text));
	routes = text.failed ? NULL : slice_to_string(buffer_slice(&text));
	buffer_free(&text);
	return routes;
}

static int replace(char **kept, char *with)
{
	if (with == NULL)
		return -ENOMEM;
	memory_free(*kept);
	*kept = with;
	return 0;
}

int reg_subscribe_learn(struct reg_watch *watch, const struct message *response)
{
	struct slice tag = message_to_tag(response);
	struct name_addr contact;
	int err;

	if (slice_is_empty(tag) || !message_address(response, HEADER_CONTACT, 0, &contact) ||
	    contact.uri.scheme > URI_SIPS || tag.length + contact.uri.text.length > DIALOG_TEXT_MAX)
		return -EINVAL;
	err = replace(&watch->target, slice_to_string(contact.uri.text));
	if (err != 0 || watch->accepted) /* 12.2: a refresh moves the target and nothing else */
		return err;
	err = replace(&watch->remote_tag, slice_to_string(tag));
	if (err == 0 && message_count(response, HEADER_RECORD_ROUTE) > 0)
		err = replace(&watch->routes, read_routes(response));
	if (err == 0 && watch->routes != NULL && strlen(watch->routes) > DIALOG_TEXT_MAX)
		err = -EINVAL;
	return err;
}
