/*
 * Our Record-Route entries, and what holds a client to the route set it was given. RFC 3261 16.6 step 4, 16.7 step
 * 8, 16.12; RFC 5658; TS 24.229 5.2.6.3 and 5.2.6.4. Worker thread only.
 *
 * The access entry, which stands first in what the client sends, carries a mark (sip/route_set.h) over all that stands
 * behind our entries. To a callee the request brings all of that when it comes, so the mark is written then.
 * A caller's route set is whole only in the answer: RFC 3261 16.7 step 8 lets a proxy rewrite the entry it has
 * put in, and there the mark is added. No dialog is remembered.
 */
#include "proxy_internal.h"

#include "base/log.h"
#include "sip/route_set.h"

/* A flow with more outbound bindings than this must name the right one by its From. */
#define BINDINGS_LOOKED_AT 16

/* Those from which a dialog may come: RFC 3261 12.1, 6665 4.1 and 4.2, 3515, 3311 5.1. Another method may. */
static bool may_form_dialog(enum sip_method method)
{
	switch (method) {
	case METHOD_INVITE:
	case METHOD_SUBSCRIBE:
	case METHOD_NOTIFY:
	case METHOD_REFER:
	case METHOD_UPDATE:
	case METHOD_OTHER:
		return true;
	default:
		return false;
	}
}

static void name_binding(const struct binding *binding, struct route_set_registration *out)
{
	if (binding != NULL)
		route_set_registration(binding_aor(binding), binding_instance(binding),
		                       binding_reg_id(binding), out);
	else
		*out = (struct route_set_registration){0};
}

static bool is_access_entry(const struct proxy *proxy, const struct uri *uri, struct slice token)
{
	return slice_equal(uri->user, token) && uri_names_us(proxy, uri);
}

static struct route_self access_self(struct proxy *proxy, const struct hop *hop)
{
	return (struct route_self){slice_from_string(proxy->ways.sent_by(proxy->ways.arg, hop)),
	                           hop->transport};
}

static struct route_self core_self(const struct proxy *proxy)
{
	const struct proxy_settings *settings = proxy->settings;
	const struct listener_settings *core = &settings->listeners[settings->path_listener];

	return (struct route_self){slice_from_string(core->advertise), core->transport};
}

static int prepend(struct message *message, struct buffer *lines)
{
	int err = lines->failed ? -ENOMEM : message_prepend_lines(message, buffer_slice(lines));

	buffer_free(lines);
	return err;
}

/* ---- of a caller ---- */

static void note_caller(const struct incoming *in, struct slice token, unsigned below,
                        struct route_note *note)
{
	if (!may_form_dialog(in->method) || !slice_is_empty(message_to_tag(in->message)))
		return;
	note->kind = ROUTE_NOTE_CALLER;
	note->below = below;
	note->token_hash = hash_slice(token);
}

int record_route_from_client(struct incoming *in, const struct binding *binding,
                             struct route_note *note)
{
	struct route_self core = core_self(in->proxy);
	struct route_self access = access_self(in->proxy, &in->packet->hop);
	struct slice token = slice_from_string(flow_token_text(in->flow));
	struct buffer lines;

	note_caller(in, token, message_count(in->message, HEADER_RECORD_ROUTE), note);
	if (note->kind == ROUTE_NOTE_CALLER)
		name_binding(binding, &note->registration);
	buffer_init(&lines);
	route_write_record_route(&lines, &core, token, SLICE_NONE);
	route_write_record_route(&lines, &access, token, SLICE_NONE);
	return prepend(in->message, &lines);
}

void record_route_note_stranger(struct incoming *in, struct route_note *note)
{
	unsigned count = message_count(in->message, HEADER_RECORD_ROUTE);
	struct name_addr access;

	if (count >= 2 && message_address(in->message, HEADER_RECORD_ROUTE, 1, &access))
		note_caller(in, access.uri.user, count - 2, note);
}

/* Our access entry in the answer: at the place where we put it and nowhere else, since a client may have put some that
 * look like it below. */
static bool is_the_callers_entry(const struct response_context *context,
                                 const struct message *response, unsigned index,
                                 struct name_addr *entry)
{
	return message_address(response, HEADER_RECORD_ROUTE, index, entry) &&
	       uri_names_us(context->proxy, &entry->uri) &&
	       !uri_param(&entry->uri, ROUTE_SET_PARAM, NULL) &&
	       hash_slice(entry->uri.user) == context->route_note.token_hash;
}

static int mark_callers_entry(const struct response_context *context, struct message *response)
{
	const struct route_note *note = &context->route_note;
	unsigned count = message_count(response, HEADER_RECORD_ROUTE);
	char mark[ROUTE_SET_MARK_SIZE];
	struct name_addr entry, beyond;
	struct route_set set;

	if (count < note->below + 2 ||
	    !is_the_callers_entry(context, response, count - note->below - 1, &entry))
		return 0;
	route_set_begin(&set);
	/* 12.1.2: the caller reads the list from its end. */
	for (unsigned i = count - note->below - 2; i > 0; i--) {
		if (!message_address(response, HEADER_RECORD_ROUTE, i - 1, &beyond))
			return 0;
		route_set_add(&set, &beyond.uri);
	}
	if (!route_set_mark(&set, entry.uri.user, &note->registration, mark)) {
		log_debug("route set too long to be marked: %u entries", count);
		return 0;
	}
	return message_add_uri_param(response, HEADER_RECORD_ROUTE, count - note->below - 1,
	                             ROUTE_SET_PARAM, slice_from_string(mark));
}

/* ---- of a callee ---- */

static const struct binding *binding_of_address(const struct flow *flow, const char *header,
                                                const struct message *message)
{
	struct slice value, identity;
	struct name_addr address;

	if (!message_header(message, header, &value) || !name_addr_parse(value, &address))
		return NULL;
	return flow_identity_find(flow, &address.uri, &identity);
}

/* Which registration was called: RFC 7315 4.2, else To, else the first. */
static const struct binding *called_binding(const struct flow *flow, const struct message *message)
{
	const struct binding *binding = NULL;

	if (flow_binding_at(flow, 1) != NULL) {
		binding = binding_of_address(flow, "P-Called-Party-ID", message);
		if (binding == NULL)
			binding = binding_of_address(flow, "To", message);
	}
	return binding != NULL ? binding : flow_binding_at(flow, 0);
}

static void mark_set(const struct message *request, struct slice token,
                     const struct route_set_registration *registration,
                     char mark[ROUTE_SET_MARK_SIZE])
{
	struct name_addr beyond;
	struct route_set set;
	unsigned count = message_count(request, HEADER_RECORD_ROUTE);

	route_set_begin(&set);
	for (unsigned i = 0; i < count; i++) {
		if (!message_address(request, HEADER_RECORD_ROUTE, i, &beyond))
			return;
		route_set_add(&set, &beyond.uri);
	}
	(void)route_set_mark(&set, token, registration, mark);
}

static void mark_callees_set(const struct message *request, const struct flow *flow,
                             char mark[ROUTE_SET_MARK_SIZE])
{
	struct route_set_registration registration;

	name_binding(called_binding(flow, request), &registration);
	mark_set(request, slice_from_string(flow_token_text(flow)), &registration, mark);
}

void record_route_mark_stranger(const struct message *request, struct slice token,
                                char mark[ROUTE_SET_MARK_SIZE])
{
	const struct route_set_registration nobody = {0};

	mark_set(request, token, &nobody, mark);
}

int record_route_to_client(struct incoming *in, const struct flow *flow, struct route_note *note)
{
	struct route_self access = access_self(in->proxy, flow_hop(flow));
	struct route_self core = core_self(in->proxy);
	struct slice token = slice_from_string(flow_token_text(flow));
	struct buffer lines;

	if (may_form_dialog(in->method))
		mark_callees_set(in->message, flow, note->mark);
	if (note->mark[0] != '\0' && slice_is_empty(message_to_tag(in->message)))
		note->kind = ROUTE_NOTE_CALLEE;
	buffer_init(&lines);
	route_write_record_route(&lines, &access, token, slice_from_string(note->mark));
	route_write_record_route(&lines, &core, token, SLICE_NONE);
	return prepend(in->message, &lines);
}

/* The list of the answer ends with what we sent: our entry, whose mark agrees with all behind it. */
static bool is_as_we_sent_it(const struct response_context *context, const struct message *response)
{
	struct route_set_registration registration;
	struct slice mark = slice_from_string(context->route_note.mark), token, value;
	struct name_addr entry, beyond;
	struct route_set set;
	unsigned at = 0;

	for (;; at++) {
		if (!message_address(response, HEADER_RECORD_ROUTE, at, &entry))
			return false;
		if (uri_param(&entry.uri, ROUTE_SET_PARAM, &value) &&
		    slice_equal_nocase(value, mark) && uri_names_us(context->proxy, &entry.uri))
			break;
	}
	token = entry.uri.user;
	if (!message_address(response, HEADER_RECORD_ROUTE, ++at, &entry) ||
	    !is_access_entry(context->proxy, &entry.uri, token))
		return false;
	route_set_begin(&set);
	while (message_address(response, HEADER_RECORD_ROUTE, ++at, &beyond))
		route_set_add(&set, &beyond.uri);
	return route_set_check(&set, token, mark, &registration);
}

/* TS 24.229 5.2.6.4: what a callee made of the list is replaced by what it was sent. The request is kept then, since
 * this 2xx may come again; a second fork that differs from the first is not passed on. */
static int restore(struct response_context *context, struct message *response)
{
	struct message *request = NULL;
	enum guard_verdict verdict;
	struct slice value;
	int err;

	if (context->spoilt == NULL && context->base != NULL)
		context->spoilt = bytes_share(context->base);
	if (context->spoilt == NULL)
		return -EINVAL;
	if (message_parse(bytes_slice(context->spoilt), SIZE_MAX, &request, &verdict) !=
	    MESSAGE_SOUND) {
		message_destroy(&request);
		return -ENOMEM;
	}
	err = message_remove(response, "Record-Route");
	for (unsigned i = 0; err == 0 && message_header_at(request, "Record-Route", i, &value); i++)
		err = message_append(response, "Record-Route", value);
	message_destroy(&request);
	return err;
}

int record_route_answer(struct response_context *context, struct message *response)
{
	int status = message_status(response);

	if (status < 101 || status > 299)
		return 0;
	switch (context->route_note.kind) {
	case ROUTE_NOTE_CALLER:
		return mark_callers_entry(context, response);
	case ROUTE_NOTE_CALLEE:
		return is_as_we_sent_it(context, response) ? 0 : restore(context, response);
	case ROUTE_NOTE_NONE:
		break;
	}
	return 0;
}

/* ---- within the dialog ---- */

/* The dialog is of this flow, or of a registration that stood on another and stands here now (RFC 5626 5.3). */
static bool is_of_this_client(const struct incoming *in, const struct binding *binding,
                              struct slice token, const struct route_set_registration *registration)
{
	const struct binding *other;

	if (slice_equal(token, slice_from_string(flow_token_text(in->flow))))
		return true;
	if (route_set_registration_is(registration, binding_aor(binding), binding_instance(binding),
	                              binding_reg_id(binding)))
		return true;
	for (unsigned i = 0; i < BINDINGS_LOOKED_AT; i++) {
		other = flow_binding_at(in->flow, i);
		if (other == NULL)
			return false;
		if (route_set_registration_is(registration, binding_aor(other),
		                              binding_instance(other), binding_reg_id(other)))
			return true;
	}
	return false;
}

static bool is_own_entry(const struct incoming *in, const struct uri *uri)
{
	return route_is_own_entry(in, uri) ||
	       (peer_token_has_form(uri->user) && uri_names_us(in->proxy, uri));
}

/* Takes our entries off; *token and *registration are what the mark was made for. */
static int take_marked_set(struct incoming *in, struct slice *token,
                           struct route_set_registration *registration)
{
	struct name_addr top, beyond;
	struct slice mark = SLICE_NONE;
	struct route_set set;
	int popped;

	if (is_own_entry(in, message_request_uri(in->message, &top.uri))) {
		popped = route_undo_strict(in->message); /* 16.4 */
		if (popped <= 0)
			return popped == -ENOMEM ? -ENOMEM : -EACCES;
	} else if (!message_address(in->message, HEADER_ROUTE, 0, &top) ||
	           !uri_names_us(in->proxy, &top.uri)) {
		return -EACCES;
	}
	*token = top.uri.user;
	if (!uri_param(&top.uri, ROUTE_SET_PARAM, &mark))
		return -EACCES;
	popped = route_pop_own(in->proxy, in->message);
	if (popped < 0)
		return popped;
	route_set_begin(&set);
	for (unsigned i = 0, count = message_count(in->message, HEADER_ROUTE); i < count; i++) {
		if (!message_address(in->message, HEADER_ROUTE, i, &beyond))
			return -EACCES;
		route_set_add(&set, &beyond.uri);
	}
	return route_set_check(&set, *token, mark, registration) ? 0 : -EACCES;
}

int record_route_follow(struct incoming *in, const struct binding *binding)
{
	struct route_set_registration registration;
	struct slice token;
	int err = take_marked_set(in, &token, &registration);

	if (err == 0 && !is_of_this_client(in, binding, token, &registration))
		err = -EACCES;
	return err;
}

int record_route_follow_stranger(struct incoming *in)
{
	struct route_set_registration registration;
	struct slice token;

	return take_marked_set(in, &token, &registration);
}
