/*
 * A list of scalars of the file into one field and the count beside it.
 */
#include <ctype.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "config_internal.h"

#define LIST_MAX 256 /* members of allow or home_domains */

static unsigned *field_count(const struct value *value)
{
	return (unsigned *)((char *)value->record + value->row->offset_count);
}

/* The members of a list; a single one may stand without brackets nowhere: strict. */
static bool expect_list(const struct value *value, const char *expected)
{
	if (value->node->kind != NODE_LIST || value->node->count == 0 ||
	    value->node->count > LIST_MAX) {
		value_wrong(value, value->node, expected);
		return false;
	}
	return true;
}

/* RFC 6454 6.2, as browsers print it: a comparison is one of bytes. */
static bool is_origin(struct slice text)
{
	struct slice rest, scheme = slice_split(text, ':', &rest), host;
	uint16_t port = 0;

	if (scheme.length == 0 || !slice_starts_with_nocase(rest, SLICE_LITERAL("//")))
		return false;
	for (size_t i = 0; i < text.length; i++)
		if (isupper((unsigned char)text.data[i]))
			return false;
	for (size_t i = 0; i < scheme.length; i++)
		if (!isalnum((unsigned char)scheme.data[i]) &&
		    strchr("+-.", scheme.data[i]) == NULL)
			return false;
	host = slice_skip(rest, 2);
	if (value_is_domain(host))
		return true;
	if (host.length > 2 && host.data[0] == '[' && host.data[host.length - 1] == ']')
		host = slice_of(host.data + 1, host.length - 2);
	else if (!value_split_host_port(host, &host, &port))
		return false;
	if ((port == 443 && slice_equal_nocase(scheme, SLICE_LITERAL("https"))) ||
	    (port == 80 && slice_equal_nocase(scheme, SLICE_LITERAL("http"))))
		return false; /* nobody would print it so */
	return value_is_domain(host) || address_parse_host(host, 1, &(struct address){0});
}

static bool is_host_port(struct slice text)
{
	struct slice host;
	uint16_t port;

	return value_split_host_port(text, &host, &port) && port != 0;
}

/* Room for as many as there are, in the field already; NULL: a fault was told. */
static void *room_in_field(const struct value *value, size_t size)
{
	void *room = memory_zalloc(value->node->count * size);

	if (room == NULL)
		fault_memory(value->faults);
	else
		memcpy(value_field(value), &room, sizeof(room));
	return room;
}

static void read_texts(const struct value *value, bool (*is_sound)(struct slice text),
                       const char *expected_list, const char *expected)
{
	char **texts;

	if (!expect_list(value, expected_list))
		return;
	texts = room_in_field(value, sizeof(*texts));
	if (texts == NULL)
		return;
	for (const struct node *n = value->node->first; n != NULL; n = n->next) {
		if (n->kind != NODE_TEXT || !is_sound(slice_from_string(n->text))) {
			value_wrong(value, n, expected);
			continue;
		}
		texts[*field_count(value)] = memory_strdup(n->text);
		if (texts[*field_count(value)] == NULL) {
			fault_memory(value->faults);
			return;
		}
		(*field_count(value))++;
	}
}

static void read_ranges(const struct value *value)
{
	struct address_range *ranges;

	if (!expect_list(value, "a list of addresses or ADDRESS/BITS, at least one"))
		return;
	ranges = room_in_field(value, sizeof(*ranges));
	if (ranges == NULL)
		return;
	for (const struct node *n = value->node->first; n != NULL; n = n->next) {
		if (n->kind == NODE_TEXT &&
		    address_range_parse(slice_from_string(n->text), &ranges[*field_count(value)]))
			(*field_count(value))++;
		else
			value_wrong(value, n, "an address or ADDRESS/BITS");
	}
}

/* Servers of DNS. */
static bool parse_server(struct slice text, struct address *out)
{
	if (!address_parse_host(text, 53, out) && !address_parse(text, out))
		return false;
	return address_port(out) != 0 && !address_is_wildcard(out);
}

static void read_addresses(const struct value *value)
{
	struct address *addresses;

	if (!expect_list(value, "a list of addresses, at least one"))
		return;
	if (value->node->count > value->row->max) {
		value_wrong(value, value->node, "at most 8 addresses");
		return;
	}
	addresses = room_in_field(value, sizeof(*addresses));
	if (addresses == NULL)
		return;
	for (const struct node *n = value->node->first; n != NULL; n = n->next) {
		if (n->kind == NODE_TEXT &&
		    parse_server(slice_from_string(n->text), &addresses[*field_count(value)]))
			(*field_count(value))++;
		else
			value_wrong(value, n,
			            "ADDRESS or ADDRESS:PORT of a DNS server, IPv6 in brackets");
	}
}

void value_read_list(const struct value *value)
{
	switch (value->row->type) {
	case SCHEMA_DOMAINS:
		read_texts(value, value_is_domain, "a list of domain names, at least one",
		           "a domain name");
		break;
	case SCHEMA_ORIGINS:
		read_texts(value, is_origin, "a list of origins, at least one",
		           "an origin as browsers print it: https://app.example.net or "
		           "https://app.example.net:8443 (lower case, no path, not the port that "
		           "goes without saying)");
		break;
	case SCHEMA_HOST_PORTS:
		read_texts(value, is_host_port, "a list of HOST:PORT, at least one",
		           "a name or an address, and a port: ralf.example.net:9888");
		break;
	case SCHEMA_RANGES:
		read_ranges(value);
		break;
	case SCHEMA_ADDRESSES:
		read_addresses(value);
		break;
	default:
		ASSERT(!"a list of scalars");
	}
}
