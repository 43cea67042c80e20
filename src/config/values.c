/*
 * One value of the file into one field. Strict: a type is what it is, a time has its unit, a number its
 * range; whatever is not so is a fault with its place, and the field keeps what it had.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/memory.h"
#include "config_internal.h"

#define NAME_MAX_BYTES 64 /* it stands in tokens, labels and log lines */
#define DOMAIN_MAX_BYTES 253
#define FILE_MAX_BYTES 4000

const char *const config_transport_names[] = {"udp", "tcp", "tls", "ws", "wss", NULL};
static const char *const side_names[] = {"access", "core", NULL};
static const char *const ims_names[] = {"auto", "always", "never", NULL};
static const char *const verify_names[] = {"name", "chain", "none", NULL};
static const char *const client_certificate_names[] = {"none", "optional", "required", NULL};

void *value_field(const struct value *value)
{
	return (char *)value->record + value->row->offset;
}

static const char *last_part(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot != NULL ? dot + 1 : path;
}

void value_wrong(const struct value *value, const struct node *node, const char *expected)
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
	char **place = value_field(value);
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
		value_wrong(value, value->node,
		            "a name of up to 64 letters, digits, '.', '-' and '_'"
		            " that begins with a letter or digit (all digits: in quotes)");
		return;
	}
	set_text(value, text);
}

static void read_domain(const struct value *value)
{
	struct slice text = slice_from_string(value->node->text);

	if (value->node->kind != NODE_TEXT || !value_is_domain(text))
		value_wrong(value, value->node, "a domain name");
	else
		set_text(value, text);
}

static void read_file(const struct value *value, size_t longest)
{
	struct slice text = slice_from_string(value->node->text);
	char expected[64];

	snprintf(expected, sizeof(expected), "a path of at most %zu bytes", longest);
	if (value->node->kind != NODE_TEXT || text.length == 0 || text.length > longest) {
		value_wrong(value, value->node, expected);
		return;
	}
	set_text(value, text);
}

/* A relative path begins where the configuration stands, whatever directory we were started in. */
static void read_pem(const struct value *value)
{
	const char *file = value->faults->file, *slash = strrchr(file, '/');
	char path[2 * FILE_MAX_BYTES];
	unsigned before = value->faults->count;

	read_file(value, FILE_MAX_BYTES);
	if (value->faults->count > before || value->node->text[0] == '/' || slash == NULL)
		return;
	if (slash - file > FILE_MAX_BYTES - 2) {
		value_wrong(value, value->node, "a path that is not so long");
		return;
	}
	snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - file), file, value->node->text);
	set_text(value, slice_from_string(path));
}

static void read_host_port(const struct value *value)
{
	struct slice text = slice_from_string(value->node->text), host;
	struct address address;
	uint16_t port;

	if (value->node->kind != NODE_TEXT || !value_split_host_port(text, &host, &port)) {
		value_wrong(value, value->node, "HOST:PORT");
		return;
	}
	if (address_parse_host(host, port, &address)
	            ? address_is_wildcard(&address) || address_is_link_local(&address)
	            : !value_is_domain(host) ||
	                      isdigit((unsigned char)host.data[host.length - 1])) {
		value_wrong(value, value->node, "HOST:PORT that peers can reach");
		return;
	}
	set_text(value, text);
}

/* A link-local address means nothing without its zone (RFC 4007), and that nothing to anybody else: no Via,
 * Path or Record-Route could name it. */
static bool is_link_local(struct slice text, const struct address *address)
{
	return address_is_link_local(address) ||
	       (slice_index(text, '%') >= 0 &&
	        slice_starts_with_nocase(text, SLICE_LITERAL("[fe80:")));
}

static bool parse_bind(const struct value *value, struct address *out)
{
	struct address address = {.family = AF_UNSPEC};
	struct slice text = SLICE_NONE;
	const char *expected = NULL;

	if (value->node->kind == NODE_TEXT)
		text = slice_from_string(value->node->text);
	if (!address_parse(text, &address) || address_port(&address) == 0)
		expected = "ADDRESS:PORT with an IP address, IPv6 in brackets";
	if (is_link_local(text, &address))
		expected = "an address that others can reach, not a link-local address";
	if (expected != NULL) {
		value_wrong(value, value->node, expected);
		return false;
	}
	address_normalise(&address);
	*out = address;
	return true;
}

static void read_bind(const struct value *value)
{
	struct address address;

	if (parse_bind(value, &address))
		memcpy(value_field(value), &address, sizeof(address));
}

static void read_bind_text(const struct value *value)
{
	struct address address;

	if (parse_bind(value, &address))
		set_text(value, slice_from_string(value->node->text));
}

/* ---- words ---- */

static void read_truth(const struct value *value)
{
	if (value->node->kind != NODE_BOOL) {
		value_wrong(value, value->node, "true or false");
		return;
	}
	*(bool *)value_field(value) = value->node->text[0] == 't';
}

static void read_allowed(const struct value *value)
{
	if (value->node->kind != NODE_TEXT || strcmp(value->node->text, "allowed") != 0) {
		value_wrong(value, value->node, "the word allowed");
		return;
	}
	*(bool *)value_field(value) = true;
}

static int word_index(const struct node *node, const char *const *words)
{
	if (node->kind == NODE_TEXT)
		for (int i = 0; words[i] != NULL; i++)
			if (strcmp(node->text, words[i]) == 0)
				return i;
	return -1;
}

/* One of the words into its number: an enum, which is an unsigned to us. */
static void read_word(const struct value *value, const char *const *words, const char *expected)
{
	int index = word_index(value->node, words);

	if (index < 0)
		value_wrong(value, value->node, expected);
	else
		*(unsigned *)value_field(value) = (unsigned)index;
}

/* Unquoted it looks like a number. */
static void read_tls_version(const struct value *value)
{
	bool scalar = value->node->kind == NODE_TEXT || value->node->kind == NODE_NUMBER;

	if (scalar && strcmp(value->node->text, "1.2") == 0)
		*(unsigned *)value_field(value) = 12;
	else if (scalar && strcmp(value->node->text, "1.3") == 0)
		*(unsigned *)value_field(value) = 13;
	else
		value_wrong(value, value->node, "\"1.2\" or \"1.3\"");
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
		value_wrong(value, value->node, expected);
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
		value_wrong(value, value->node,
		            "a SIP URI like \"sip:scscf.example.net:5054;lr;orig\"");
	else
		set_text(value, text);
}

static void read_hop(const struct value *value, const char *or_else)
{
	struct config_target *target = value_field(value), sound = *target;
	const char *expected = "a SIP URI with an IP address";
	char words[160];

	if (value->node->kind == NODE_TEXT)
		expected = hop_uri_parse(slice_from_string(value->node->text), &sound);
	if (expected != NULL) {
		snprintf(words, sizeof(words), "%s%s", or_else, expected);
		value_wrong(value, value->node, words);
	} else {
		set_uri(value, target, &sound, SLICE_NONE);
	}
}

static void read_off_net(const struct value *value)
{
	static const char *const words[] = {"refuse", NULL};

	if (word_index(value->node, words) != 0)
		read_hop(value, "refuse or ");
}

static void read_refuse_allow(const struct value *value)
{
	static const char *const words[] = {"refuse", "allow", NULL};
	int index = word_index(value->node, words);

	if (index < 0)
		value_wrong(value, value->node, "refuse or allow");
	else
		*(bool *)value_field(value) = index == 1;
}

static void read_value(const struct value *value)
{
	switch (value->row->type) {
	case SCHEMA_NAME:
		read_name(value);
		break;
	case SCHEMA_DOMAIN:
		read_domain(value);
		break;
	case SCHEMA_FILE:
		read_file(value, FILE_MAX_BYTES);
		break;
	case SCHEMA_PEM:
		read_pem(value);
		break;
	case SCHEMA_SOCKET:
		read_file(value, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		break;
	case SCHEMA_COUNT:
	case SCHEMA_COUNT64:
	case SCHEMA_WORKERS:
	case SCHEMA_TIME:
	case SCHEMA_SIZE:
		value_read_number(value);
		break;
	case SCHEMA_TRUTH:
		read_truth(value);
		break;
	case SCHEMA_SIDE:
		read_word(value, side_names, "access or core");
		break;
	case SCHEMA_TRANSPORT:
		read_word(value, config_transport_names, "udp, tcp, tls, ws or wss");
		break;
	case SCHEMA_ALLOWED:
		read_allowed(value);
		break;
	case SCHEMA_VERIFY:
		read_word(value, verify_names, "name, chain or none");
		break;
	case SCHEMA_CLIENT_CERTIFICATE:
		read_word(value, client_certificate_names, "none, optional or required");
		break;
	case SCHEMA_TLS_VERSION:
		read_tls_version(value);
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
	case SCHEMA_DOMAINS:
	case SCHEMA_ORIGINS:
	case SCHEMA_HOST_PORTS:
	case SCHEMA_RANGES:
	case SCHEMA_ADDRESSES:
		value_read_list(value);
		break;
	case SCHEMA_URI:
		read_uri(value, value->record);
		break;
	case SCHEMA_DISCOVER:
		read_uri(value, value_field(value));
		break;
	case SCHEMA_ROUTE:
		read_route(value);
		break;
	case SCHEMA_HOP:
		read_hop(value, "");
		break;
	case SCHEMA_OFF_NET:
		read_off_net(value);
		break;
	case SCHEMA_REFUSE_ALLOW:
		read_refuse_allow(value);
		break;
	case SCHEMA_IMS:
		read_word(value, ims_names, "auto, always or never");
		break;
	case SCHEMA_MAP:
	case SCHEMA_LISTENERS:
	case SCHEMA_SITES:
	case SCHEMA_TARGETS:
	case SCHEMA_TLS:
	case SCHEMA_CERTIFICATES:
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
