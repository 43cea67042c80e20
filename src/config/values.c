/*
 * One value of the file into one field. Strict: a type is what it is, a time has its unit, a number its
 * range; whatever is not so is a fault with its place, and the field keeps what it had.
 */
#include <ctype.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/memory.h"
#include "config_internal.h"

#define NAME_MAX_BYTES 64 /* it stands in tokens, labels and log lines */
#define DOMAIN_MAX_BYTES 253
#define LIST_MAX 256 /* members of allow or home_domains */

const char *const config_transport_names[] = {"udp", "tcp", "tls", "ws", "wss", NULL};
static const char *const side_names[] = {"access", "core", NULL};

struct value {
	struct faults *faults;
	const struct schema_key *row;
	const struct node *node;
	void *record;
};

static void *field(const struct value *value)
{
	return (char *)value->record + value->row->offset;
}

static const char *last_part(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot != NULL ? dot + 1 : path;
}

static void wrong(const struct value *value, const struct node *node, const char *expected)
{
	char found[NODE_WORDS_MAX];

	fault_at(value->faults, node->mark, "wrong value for \"%s\", expected %s, found %s",
	         last_part(value->row->path), expected, node_words(node, found));
}

/* ---- text ---- */

bool value_is_name(struct slice text)
{
	if (text.length == 0 || text.length > NAME_MAX_BYTES ||
	    !isalnum((unsigned char)text.data[0]))
		return false;
	for (size_t i = 0; i < text.length; i++)
		if (!isalnum((unsigned char)text.data[i]) && strchr(".-_", text.data[i]) == NULL)
			return false;
	return true;
}

/* RFC 1123 2.1, and RFC 3261 25.1 hostname; no dot at the end. */
bool value_is_domain(struct slice text)
{
	if (text.length == 0 || text.length > DOMAIN_MAX_BYTES || text.data[text.length - 1] == '.')
		return false;
	while (text.length > 0) {
		struct slice label = slice_split(text, '.', &text);

		if (label.length == 0 || label.length > 63 || label.data[0] == '-' ||
		    label.data[label.length - 1] == '-')
			return false;
		for (size_t i = 0; i < label.length; i++)
			if (!isalnum((unsigned char)label.data[i]) && label.data[i] != '-')
				return false;
	}
	return true;
}

bool value_split_host_port(struct slice text, struct slice *host, uint16_t *port)
{
	ptrdiff_t colon = -1;
	uint64_t number;

	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] == ':')
			colon = (ptrdiff_t)i;
	if (colon <= 0 || !slice_to_uint(slice_skip(text, (size_t)colon + 1), 65535, &number) ||
	    number == 0)
		return false;
	*host = slice_of(text.data, (size_t)colon);
	*port = (uint16_t)number;
	if (host->data[0] == '[' && host->length > 2 && host->data[host->length - 1] == ']')
		*host = slice_of(host->data + 1, host->length - 2);
	else if (slice_index(*host, ':') >= 0)
		return false; /* an IPv6 address without brackets: which colon is it? */
	return true;
}

static void set_text(const struct value *value, struct slice text)
{
	char **place = field(value);
	char *copy = slice_to_string(text);

	if (copy == NULL) {
		fault_memory(value->faults);
		return;
	}
	memory_free(*place);
	*place = copy;
}

static void read_name(const struct value *value)
{
	struct slice text = slice_from_string(value->node->text);

	if (value->node->kind != NODE_TEXT || !value_is_name(text)) {
		wrong(value, value->node,
		      "a name of up to 64 letters, digits, '.', '-' and '_'"
		      " that begins with a letter or digit (all digits: in quotes)");
		return;
	}
	set_text(value, text);
}

static void read_file(const struct value *value, size_t longest)
{
	struct slice text = slice_from_string(value->node->text);
	char expected[64];

	snprintf(expected, sizeof(expected), "a path of at most %zu bytes", longest);
	if (value->node->kind != NODE_TEXT || text.length == 0 || text.length > longest) {
		wrong(value, value->node, expected);
		return;
	}
	set_text(value, text);
}

static void read_host_port(const struct value *value)
{
	struct slice text = slice_from_string(value->node->text), host;
	struct address address;
	uint16_t port;

	if (value->node->kind != NODE_TEXT || !value_split_host_port(text, &host, &port)) {
		wrong(value, value->node, "HOST:PORT");
		return;
	}
	if (address_parse_host(host, port, &address)
	            ? address_is_wildcard(&address)
	            : !value_is_domain(host) ||
	                      isdigit((unsigned char)host.data[host.length - 1])) {
		wrong(value, value->node, "HOST:PORT that peers can reach");
		return;
	}
	set_text(value, text);
}

static bool parse_bind(const struct value *value, struct address *out)
{
	struct slice text = slice_from_string(value->node->text);

	if (value->node->kind == NODE_TEXT && address_parse(text, out) && address_port(out) != 0)
		return true;
	wrong(value, value->node, "ADDRESS:PORT with an IP address, IPv6 in brackets");
	return false;
}

static void read_bind(const struct value *value)
{
	struct address address;

	if (parse_bind(value, &address))
		memcpy(field(value), &address, sizeof(address));
}

static void read_bind_text(const struct value *value)
{
	struct address address;

	if (parse_bind(value, &address))
		set_text(value, slice_from_string(value->node->text));
}

/* ---- lists ---- */

static unsigned *field_count(const struct value *value)
{
	return (unsigned *)((char *)value->record + value->row->offset_count);
}

/* The members of a list; a single one may stand without brackets nowhere: strict. */
static bool expect_list(const struct value *value, const char *expected)
{
	if (value->node->kind != NODE_LIST || value->node->count == 0 ||
	    value->node->count > LIST_MAX) {
		wrong(value, value->node, expected);
		return false;
	}
	return true;
}

static void read_domains(const struct value *value)
{
	char **domains;

	if (!expect_list(value, "a list of domain names, at least one"))
		return;
	domains = memory_zalloc(value->node->count * sizeof(*domains));
	if (domains == NULL) {
		fault_memory(value->faults);
		return;
	}
	*(char ***)field(value) = domains;
	for (const struct node *n = value->node->first; n != NULL; n = n->next) {
		if (n->kind != NODE_TEXT || !value_is_domain(slice_from_string(n->text))) {
			wrong(value, n, "a domain name");
			continue;
		}
		domains[*field_count(value)] = memory_strdup(n->text);
		if (domains[*field_count(value)] == NULL) {
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
	ranges = memory_zalloc(value->node->count * sizeof(*ranges));
	if (ranges == NULL) {
		fault_memory(value->faults);
		return;
	}
	*(struct address_range **)field(value) = ranges;
	for (const struct node *n = value->node->first; n != NULL; n = n->next) {
		if (n->kind == NODE_TEXT &&
		    address_range_parse(slice_from_string(n->text), &ranges[*field_count(value)]))
			(*field_count(value))++;
		else
			wrong(value, n, "an address or ADDRESS/BITS");
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
		wrong(value, value->node, "at most 8 addresses");
		return;
	}
	addresses = memory_zalloc(value->node->count * sizeof(*addresses));
	if (addresses == NULL) {
		fault_memory(value->faults);
		return;
	}
	*(struct address **)field(value) = addresses;
	for (const struct node *n = value->node->first; n != NULL; n = n->next) {
		if (n->kind == NODE_TEXT &&
		    parse_server(slice_from_string(n->text), &addresses[*field_count(value)]))
			(*field_count(value))++;
		else
			wrong(value, n,
			      "ADDRESS or ADDRESS:PORT of a DNS server, IPv6 in brackets");
	}
}

/* ---- numbers ---- */

struct unit {
	const char *name;
	uint64_t factor;
};
static const struct unit time_units[] = {
	{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit size_units[] = {
	{"KiB", 1024}, {"MiB", 1024 * 1024}, {"kB", 1000}, {"MB", 1000000}, {NULL, 0}};

/* Digits and a unit of the table. */
static bool parse_with_unit(const char *text, const struct unit *units, uint64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number;

	/* At most 1e12, so that the product with any factor fits. */
	if (!slice_to_uint(slice_of(text, digits), 1000000000000u, &number))
		return false;
	for (; units->name != NULL; units++)
		if (strcmp(text + digits, units->name) == 0) {
			*out = number * units->factor;
			return true;
		}
	return false;
}

static void write_time(char *text, size_t size, uint64_t ms)
{
	unsigned i = 0;

	while (time_units[i + 1].name != NULL && ms != 0 && ms % time_units[i + 1].factor == 0)
		i++;
	snprintf(text, size, "%" PRIu64 "%s", ms / time_units[i].factor, time_units[i].name);
}

static void read_time(const struct value *value)
{
	char low[32], high[32], expected[128];
	uint64_t ms;

	write_time(low, sizeof(low), value->row->min);
	write_time(high, sizeof(high), value->row->max);
	if (value->node->kind == NODE_NUMBER) {
		wrong(value, value->node, "a time with its unit: ms, s, m or h");
		return;
	}
	snprintf(expected, sizeof(expected), "a time from %s to %s (units ms, s, m, h)", low, high);
	if (value->node->kind != NODE_TEXT ||
	    !parse_with_unit(value->node->text, time_units, &ms) || ms < value->row->min ||
	    ms > value->row->max) {
		wrong(value, value->node, expected);
		return;
	}
	*(uint64_t *)field(value) = ms;
}

static bool parse_number(const struct value *value, uint64_t *out)
{
	return value->node->kind == NODE_NUMBER &&
	       slice_to_uint(slice_from_string(value->node->text), value->row->max, out) &&
	       *out >= value->row->min;
}

static void read_size(const struct value *value)
{
	char expected[128];
	uint64_t bytes;

	snprintf(expected, sizeof(expected),
	         "a size from %" PRIu64 " to %" PRIu64
	         " bytes (a plain number, or with KiB, MiB, kB, MB)",
	         value->row->min, value->row->max);
	if (!parse_number(value, &bytes) &&
	    (value->node->kind != NODE_TEXT ||
	     !parse_with_unit(value->node->text, size_units, &bytes) || bytes < value->row->min ||
	     bytes > value->row->max)) {
		wrong(value, value->node, expected);
		return;
	}
	*(uint64_t *)field(value) = bytes;
}

static bool read_number(const struct value *value, uint64_t *number)
{
	char expected[128];

	if (parse_number(value, number))
		return true;
	snprintf(expected, sizeof(expected), "%sa whole number from %" PRIu64 " to %" PRIu64,
	         value->row->type == SCHEMA_WORKERS ? "auto or " : "", value->row->min,
	         value->row->max);
	wrong(value, value->node, expected);
	return false;
}

/* Processors this process may run on: in a container, those it was given. */
static unsigned processors(void)
{
	cpu_set_t set;
	int count;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	count = CPU_COUNT(&set);
	return count > CONFIG_WORKERS_MAX ? CONFIG_WORKERS_MAX : (unsigned)count;
}

static void read_count(const struct value *value)
{
	uint64_t number;

	if (value->row->type == SCHEMA_WORKERS && value->node->kind == NODE_TEXT &&
	    strcmp(value->node->text, "auto") == 0) {
		*(unsigned *)field(value) = processors();
		return;
	}
	if (!read_number(value, &number))
		return;
	if (value->row->type == SCHEMA_COUNT64)
		*(uint64_t *)field(value) = number;
	else
		*(unsigned *)field(value) = (unsigned)number;
}

/* ---- words ---- */

static void read_truth(const struct value *value)
{
	if (value->node->kind != NODE_BOOL) {
		wrong(value, value->node, "true or false");
		return;
	}
	*(bool *)field(value) = value->node->text[0] == 't';
}

static void read_allowed(const struct value *value)
{
	if (value->node->kind != NODE_TEXT || strcmp(value->node->text, "allowed") != 0) {
		wrong(value, value->node, "the word allowed");
		return;
	}
	*(bool *)field(value) = true;
}

static int word_index(const struct node *node, const char *const *words)
{
	if (node->kind == NODE_TEXT)
		for (int i = 0; words[i] != NULL; i++)
			if (strcmp(node->text, words[i]) == 0)
				return i;
	return -1;
}

static void read_side(const struct value *value)
{
	int index = word_index(value->node, side_names);

	if (index < 0)
		wrong(value, value->node, "access or core");
	else
		*(enum config_side *)field(value) = (enum config_side)index;
}

static void read_transport(const struct value *value)
{
	int index = word_index(value->node, config_transport_names);

	if (index < 0)
		wrong(value, value->node, "udp or tcp");
	else if (index > CONFIG_TCP)
		wrong(value, value->node, "udp or tcp (this one is not available in this version)");
	else
		*(enum config_transport *)field(value) = (enum config_transport)index;
}

/* ---- the URI of a target ---- */

/* Both texts or none. */
static void set_uri(const struct value *value, struct config_target *target,
                    const struct config_target *sound, struct slice host)
{
	char *uri = memory_strdup(value->node->text);
	char *copy = host.length > 0 ? slice_to_string(host) : NULL;

	if (uri == NULL || (host.length > 0 && copy == NULL)) {
		memory_free(uri);
		memory_free(copy);
		fault_memory(value->faults);
		return;
	}
	*target = *sound;
	target->uri = uri;
	target->host = copy;
}

static void read_uri(const struct value *value, struct config_target *target)
{
	struct slice text = SLICE_NONE, host;
	struct config_target sound = *target;
	const char *expected;

	if (value->node->kind == NODE_TEXT)
		text = slice_from_string(value->node->text);
	expected = target_uri_parse(text, &sound, &host);
	if (expected == NULL && value->row->type == SCHEMA_DISCOVER && host.length == 0)
		expected = "a SIP URI with a host name (addresses go to \"targets\")";
	if (expected != NULL)
		wrong(value, value->node, expected);
	else
		set_uri(value, target, &sound, host);
}

/* ---- peers ---- */

#define ROUTE_MAX_BYTES 512

/* What may stand between '<' and '>' of a Route without breaking out of it (RFC 3261 25.1). */
static bool is_route_uri(struct slice text)
{
	if (!slice_starts_with_nocase(text, SLICE_LITERAL("sip:")) || text.length < 5 ||
	    text.length > ROUTE_MAX_BYTES)
		return false;
	for (size_t i = 0; i < text.length; i++)
		if (text.data[i] <= ' ' || text.data[i] >= 0x7f ||
		    strchr("<>\"\\,?", text.data[i]) != NULL)
			return false;
	return true;
}

static void read_route(const struct value *value)
{
	struct slice text = slice_from_string(value->node->text);

	if (value->node->kind != NODE_TEXT || !is_route_uri(text))
		wrong(value, value->node, "a SIP URI like \"sip:scscf.example.net:5054;lr;orig\"");
	else
		set_text(value, text);
}

static void read_hop(const struct value *value)
{
	struct config_target *target = field(value), sound = *target;
	const char *expected = "a SIP URI with an IP address";

	if (value->node->kind == NODE_TEXT)
		expected = hop_uri_parse(slice_from_string(value->node->text), &sound);
	if (expected != NULL)
		wrong(value, value->node, expected);
	else
		set_uri(value, target, &sound, SLICE_NONE);
}

static void read_off_net(const struct value *value)
{
	static const char *const words[] = {"refuse", NULL};

	if (word_index(value->node, words) != 0)
		read_hop(value);
}

static void read_refuse_allow(const struct value *value)
{
	static const char *const words[] = {"refuse", "allow", NULL};
	int index = word_index(value->node, words);

	if (index < 0)
		wrong(value, value->node, "refuse or allow");
	else
		*(bool *)field(value) = index == 1;
}

static void read_ims(const struct value *value)
{
	static const char *const words[] = {"auto", "always", "never", NULL};
	int index = word_index(value->node, words);

	if (index < 0)
		wrong(value, value->node, "auto, always or never");
	else
		*(enum config_ims *)field(value) = (enum config_ims)index;
}

static void read_value(const struct value *value)
{
	switch (value->row->type) {
	case SCHEMA_NAME:
		read_name(value);
		break;
	case SCHEMA_DOMAINS:
		read_domains(value);
		break;
	case SCHEMA_FILE:
		read_file(value, 4000);
		break;
	case SCHEMA_SOCKET:
		read_file(value, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		break;
	case SCHEMA_COUNT:
	case SCHEMA_COUNT64:
	case SCHEMA_WORKERS:
		read_count(value);
		break;
	case SCHEMA_TIME:
		read_time(value);
		break;
	case SCHEMA_SIZE:
		read_size(value);
		break;
	case SCHEMA_TRUTH:
		read_truth(value);
		break;
	case SCHEMA_SIDE:
		read_side(value);
		break;
	case SCHEMA_TRANSPORT:
		read_transport(value);
		break;
	case SCHEMA_ALLOWED:
		read_allowed(value);
		break;
	case SCHEMA_BIND:
		read_bind(value);
		break;
	case SCHEMA_BIND_TEXT:
		read_bind_text(value);
		break;
	case SCHEMA_HOST_PORT:
		read_host_port(value);
		break;
	case SCHEMA_RANGES:
		read_ranges(value);
		break;
	case SCHEMA_ADDRESSES:
		read_addresses(value);
		break;
	case SCHEMA_URI:
		read_uri(value, value->record);
		break;
	case SCHEMA_DISCOVER:
		read_uri(value, field(value));
		break;
	case SCHEMA_ROUTE:
		read_route(value);
		break;
	case SCHEMA_HOP:
		read_hop(value);
		break;
	case SCHEMA_OFF_NET:
		read_off_net(value);
		break;
	case SCHEMA_REFUSE_ALLOW:
		read_refuse_allow(value);
		break;
	case SCHEMA_IMS:
		read_ims(value);
		break;
	case SCHEMA_LATER:
		fault_at(value->faults, value->node->key_mark,
		         "key \"%s\" is not available in this version, expected it to be absent,"
		         " found it",
		         last_part(value->row->path));
		break;
	case SCHEMA_MAP:
	case SCHEMA_LISTENERS:
	case SCHEMA_SITES:
	case SCHEMA_TARGETS:
		ASSERT(!"a value"); /* load.c walks these */
	}
}

void value_read(struct faults *faults, const struct schema_key *row, const struct node *node,
                void *record)
{
	read_value(&(struct value){faults, row, node, record});
}

void value_default(struct faults *faults, const struct schema_key *row, void *record)
{
	struct node node = {.kind = NODE_TEXT, .text = (char *)(uintptr_t)row->standard};
	unsigned before = faults->count;

	if (row->standard == NULL)
		return;
	if (row->type == SCHEMA_COUNT || row->type == SCHEMA_COUNT64 || row->type == SCHEMA_SIZE)
		node.kind = NODE_NUMBER;
	if (row->type == SCHEMA_TRUTH)
		node.kind = NODE_BOOL;
	read_value(&(struct value){faults, row, &node, record});
	ASSERT(faults->count == before);
}
