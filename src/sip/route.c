/*
 * The lines that keep us on the way back, and the old strict way of routing. Pure.
 * RFC 3261 16.4, 16.6 steps 4 and 6, 16.12; RFC 3327; RFC 5626 5.1; RFC 5658.
 */
#include "sip/route.h"

#include "base/error.h"
#include "sip/message.h"
#include "sip/route_set.h"
#include "sip_internal.h"

static void write_open_uri(struct buffer *out, const struct route_self *self, struct slice token)
{
	buffer_append_string(out, "<sip:");
	if (token.length > 0) {
		buffer_append_slice(out, token);
		buffer_append(out, "@", 1);
	}
	buffer_append_slice(out, self->host_port);
	buffer_append_string(out, ";transport=");
	buffer_append_string(out, transport_uri_name(self->transport));
	buffer_append_string(out, ";lr");
}

void route_write_uri(struct buffer *out, const struct route_self *self, struct slice token, bool ob)
{
	write_open_uri(out, self, token);
	buffer_append_string(out, ob ? ";ob>" : ">");
}

void route_write_path(struct buffer *out, const struct route_self *self, struct slice token,
                      bool ob)
{
	buffer_append_string(out, "Path: ");
	route_write_uri(out, self, token, ob);
	buffer_append(out, "\r\n", 2);
}

void route_write_record_route(struct buffer *out, const struct route_self *self, struct slice token,
                              struct slice mark)
{
	buffer_append_string(out, "Record-Route: ");
	write_open_uri(out, self, token);
	if (!slice_is_empty(mark)) {
		buffer_append_string(out, ";" ROUTE_SET_PARAM "=");
		buffer_append_slice(out, mark);
	}
	buffer_append(out, ">\r\n", 3);
}

/* May it become a Request-URI? Table 1 of 19.1.1 forbids headers there; other schemes lead nowhere. */
static bool is_request_uri(const struct uri *uri)
{
	return uri->scheme != URI_OTHER && uri->headers.length == 0;
}

int route_apply_strict(struct message *message)
{
	struct slice request_uri = message->request_uri, value;
	struct name_addr top;
	int err;

	if (!message_option(message, HEADER_ROUTE, 0, &value))
		return 0;
	if (!name_addr_parse(value, &top))
		return -EINVAL;
	if (uri_param(&top.uri, "lr", NULL))
		return 0;
	if (!is_request_uri(&top.uri))
		return -EINVAL;
	/* Texts outlive the lines they came from, so the order of these does not matter. */
	err = message_set_request_uri(message, top.uri.text);
	if (err == 0)
		err = message_pop(message, HEADER_ROUTE);
	if (err == 0) {
		struct buffer address;

		buffer_init(&address);
		buffer_append(&address, "<", 1);
		buffer_append_slice(&address, request_uri);
		buffer_append(&address, ">", 1);
		err = address.failed ? -ENOMEM
		                     : message_append(message, "Route", buffer_slice(&address));
		buffer_free(&address);
	}
	return err == 0 ? 1 : err;
}

int route_undo_strict(struct message *message)
{
	unsigned count = message_count(message, HEADER_ROUTE);
	struct name_addr last;
	int err;

	if (count == 0)
		return 0;
	if (!message_address(message, HEADER_ROUTE, count - 1, &last) || !is_request_uri(&last.uri))
		return -EINVAL;
	err = message_set_request_uri(message, last.uri.text);
	if (err == 0)
		err = message_pop_last(message, HEADER_ROUTE);
	return err == 0 ? 1 : err;
}
