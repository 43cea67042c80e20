/*
 * Looking into a message. Pure: nothing is kept, slices point into the lines.
 */
#include "base/error.h"
#include "sip/message.h"
#include "sip_internal.h"

/* Who asks for more than a day is not believed. */
#define RETRY_AFTER_MAX_S 86400

bool message_is_request(const struct message *message)
{
	return message->is_request;
}

enum sip_method message_method(const struct message *message)
{
	return message->method;
}

struct slice message_method_text(const struct message *message)
{
	return message->method_text;
}

int message_status(const struct message *message)
{
	return message->status;
}

struct slice message_call_id(const struct message *message)
{
	return message->call_id;
}

uint32_t message_cseq(const struct message *message)
{
	return message->cseq;
}

struct slice message_from_tag(const struct message *message)
{
	return message->from_tag;
}

struct slice message_to_tag(const struct message *message)
{
	return message->to_tag;
}

int message_max_forwards(const struct message *message)
{
	return message->max_forwards;
}

struct slice message_body(const struct message *message)
{
	return message->body;
}

static const struct uri *uri_of_line(const struct line *line, struct uri *out)
{
	struct name_addr address;

	memset(out, 0, sizeof(*out));
	out->scheme = URI_OTHER;
	if (line != NULL && name_addr_parse(line->value, &address))
		*out = address.uri;
	return out;
}

const struct uri *message_from(const struct message *message, struct uri *out)
{
	return uri_of_line(message_line(message, LINE_FROM, NULL), out);
}

const struct uri *message_to(const struct message *message, struct uri *out)
{
	const struct line *line = message_line(message, LINE_TO, NULL);

	if (line == NULL || line->value.data != message->read_to.of)
		return uri_of_line(line, out);
	*out = message->read_to.address.uri;
	return out;
}

bool request_uri_read(struct message *message, struct uri *out)
{
	const char *of = message->request_uri.data;

	if (of != NULL && of == message->read_request_uri.of) {
		*out = message->read_request_uri.uri;
		return true;
	}
	if (!uri_parse(message->request_uri, out))
		return false;
	message->read_request_uri.of = of;
	message->read_request_uri.uri = *out;
	return true;
}

const struct uri *message_request_uri(const struct message *message, struct uri *out)
{
	struct message *own = (struct message *)message;

	/* What cannot be parsed still has a text, which is all that forwarding needs; host stays
	 * empty, and validate_request says 400. */
	if (!request_uri_read(own, out)) {
		memset(out, 0, sizeof(*out));
		out->scheme = URI_OTHER;
		out->text = message->request_uri;
	}
	return out;
}

int64_t message_expires(const struct message *message)
{
	const struct line *line = message_line(message, LINE_EXPIRES, NULL);
	uint64_t seconds;

	if (line == NULL)
		return -1;
	/* 20.19 ends at 2**32-1; more digits mean "very long", other things nothing. */
	if (slice_to_uint(line->value, UINT32_MAX, &seconds))
		return (int64_t)seconds;
	for (size_t i = 0; i < line->value.length; i++) {
		if (line->value.data[i] < '0' || line->value.data[i] > '9')
			return -1;
	}
	return line->value.length > 0 ? (int64_t)UINT32_MAX : -1;
}

/* ---- values ---- */

unsigned message_count(const struct message *message, enum sip_header header)
{
	const struct line *line = NULL;
	unsigned count = 0;

	while ((line = message_line(message, (enum line_kind)header, line)) != NULL) {
		struct slice rest = line->value, value;

		while (value_next(&rest, &value))
			count++;
		line++;
	}
	return count;
}

static bool value_at(const struct message *message, enum sip_header header, unsigned index,
                     struct slice *out)
{
	const struct line *line = NULL;

	while ((line = message_line(message, (enum line_kind)header, line)) != NULL) {
		struct slice rest = line->value;

		while (value_next(&rest, out)) {
			if (index-- == 0)
				return true;
		}
		line++;
	}
	return false;
}

static bool top_via(struct message *message, struct via *out)
{
	const struct line *line = message_line(message, LINE_VIA, NULL);
	struct slice value;

	if (line == NULL)
		return false;
	if (line->value.data == message->top_via.of) {
		*out = message->top_via.via;
		return true;
	}
	if (!value_at(message, HEADER_VIA, 0, &value) || !via_parse(value, out))
		return false;
	message->top_via.of = line->value.data;
	message->top_via.via = *out;
	return true;
}

bool message_via(const struct message *message, unsigned index, struct via *out)
{
	struct slice value;

	if (index == 0)
		return top_via((struct message *)message, out);
	return value_at(message, HEADER_VIA, index, &value) && via_parse(value, out);
}

static bool top_route(struct message *message, struct name_addr *out)
{
	const struct line *line = message_line(message, LINE_ROUTE, NULL);
	struct slice value;

	if (line == NULL)
		return false;
	if (line->value.data == message->top_route.of) {
		*out = message->top_route.address;
		return true;
	}
	if (!value_at(message, HEADER_ROUTE, 0, &value) || !name_addr_parse(value, out))
		return false;
	message->top_route.of = line->value.data;
	message->top_route.address = *out;
	return true;
}

bool message_address(const struct message *message, enum sip_header header, unsigned index,
                     struct name_addr *out)
{
	struct slice value;

	if (header == HEADER_ROUTE && index == 0)
		return top_route((struct message *)message, out);
	return value_at(message, header, index, &value) && name_addr_parse(value, out);
}

bool message_option(const struct message *message, enum sip_header header, unsigned index,
                    struct slice *out)
{
	return value_at(message, header, index, out);
}

bool message_has_option(const struct message *message, enum sip_header header, const char *tag)
{
	struct slice wanted = slice_from_string(tag);
	const struct line *line = NULL;

	while ((line = message_line(message, (enum line_kind)header, line)) != NULL) {
		struct slice rest = line->value, value;

		while (value_next(&rest, &value)) {
			if (slice_equal_nocase(value, wanted))
				return true;
		}
		line++;
	}
	return false;
}

bool message_contact_is_star(const struct message *message)
{
	const struct line *line = message_line(message, LINE_CONTACT, NULL);

	return line != NULL && slice_equal(line->value, SLICE_LITERAL("*"));
}

bool message_header_at(const struct message *message, const char *name, unsigned index,
                       struct slice *out)
{
	struct slice wanted = slice_from_string(name);
	const struct line *line = message_lines(message);

	for (unsigned i = 0; i < message->count; i++, line++) {
		if (line_is_named(line, wanted) && index-- == 0) {
			*out = line->value;
			return true;
		}
	}
	*out = SLICE_NONE;
	return false;
}

bool message_header(const struct message *message, const char *name, struct slice *out)
{
	return message_header_at(message, name, 0, out);
}

/* "120 (maintenance);duration=60": the digits lead. */
bool message_retry_after(const struct message *message, uint64_t *seconds)
{
	struct slice value;
	size_t digits = 0;

	*seconds = 0;
	if (!message_header(message, "Retry-After", &value))
		return false;
	while (digits < value.length && value.data[digits] >= '0' && value.data[digits] <= '9')
		digits++;
	return slice_to_uint(slice_of(value.data, digits), RETRY_AFTER_MAX_S, seconds);
}
