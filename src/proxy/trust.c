/*
 * A message at the border of the trust domain: the table's rules are done to it. One walk over the lines, another
 * when privacy takes some away. Pure but for the message it edits. Worker thread only.
 * RFC 3325 5 and 7, RFC 3323 5, RFC 7044 10.1.2, TS 24.229 4.4.
 */
#include "proxy/trust.h"

#include "base/error.h"

/* What is put in the place of a URI that nobody shall read (RFC 7044 10.1.2). */
#define ANONYMOUS_URI "<sip:anonymous@anonymous.invalid>"

/* ---- privacy ---- */

static const struct {
	struct slice name;
	unsigned kind;
} kinds[] = {
	{SLICE_LITERAL("id"), PRIVACY_ID},
	{SLICE_LITERAL("none"), PRIVACY_NONE},
	{SLICE_LITERAL("user"), PRIVACY_USER},
	{SLICE_LITERAL("header"), PRIVACY_HEADER},
	{SLICE_LITERAL("session"), PRIVACY_SESSION},
	{SLICE_LITERAL("history"), PRIVACY_HISTORY},
	{SLICE_LITERAL("critical"), PRIVACY_CRITICAL},
};

/* RFC 3323 4.2 puts semicolons between them; commas, as in other lists, are not believed to hide a wish. */
static unsigned privacy_of(struct slice value)
{
	unsigned asked = 0;

	while (!slice_is_empty(value)) {
		struct slice items = slice_split(value, ';', &value);

		while (!slice_is_empty(items)) {
			struct slice item = slice_trim(slice_split(items, ',', &items));

			for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
				if (slice_equal_nocase(item, kinds[i].name))
					asked |= kinds[i].kind;
		}
	}
	return asked;
}

static unsigned privacy_asked(const struct message *message)
{
	unsigned asked = 0;
	struct slice value;

	for (unsigned i = 0; message_header_at(message, "Privacy", i, &value); i++)
		asked |= privacy_of(value);
	return asked;
}

/* Addresses and media of both ends would have to be ours to hide them: we are no back-to-back user agent. A From
 * that the caller made anonymous himself (RFC 3323 4.1.1.3) leaves nothing to do for "user". */
bool privacy_is_unavailable(const struct message *request)
{
	unsigned asked = privacy_asked(request);
	struct uri from;

	if ((asked & PRIVACY_CRITICAL) == 0)
		return false;
	if ((asked & (PRIVACY_HEADER | PRIVACY_SESSION)) != 0)
		return true;
	return (asked & PRIVACY_USER) != 0 &&
	       !slice_equal_nocase(message_from(request, &from)->host,
	                           SLICE_LITERAL("anonymous.invalid"));
}

/* ---- parts of values ---- */

/* True if one of these words is a parameter of a value in the list. A separator inside of quotes only makes us look
 * at more: nothing is taken for harmless by it. */
static bool claims_network(struct slice list)
{
	while (!slice_is_empty(list)) {
		struct slice params = slice_split(list, ',', &list);

		(void)slice_split(params, ';', &params);
		while (!slice_is_empty(params)) {
			struct slice ignored, param = slice_split(params, ';', &params);
			struct slice name = slice_trim(slice_split(param, '=', &ignored));

			if (slice_equal_nocase(name, SLICE_LITERAL("network-provided")) ||
			    slice_equal_nocase(name, SLICE_LITERAL("np")))
				return true;
		}
	}
	return false;
}

static void write_access_network(void *arg, struct slice value, struct buffer *out)
{
	if (!claims_network(value))
		buffer_append_slice(out, value);
}

static void write_priority(void *arg, struct slice value, struct buffer *out)
{
	if (!slice_equal_nocase(value, SLICE_LITERAL("psap-callback")))
		buffer_append_slice(out, value);
}

/* The Privacy header in the URI of an entry: of this one alone (RFC 7044 10.1.2). */
static bool entry_is_private(const struct uri *uri)
{
	struct slice rest = uri->headers;

	while (!slice_is_empty(rest)) {
		struct slice value = SLICE_NONE;
		struct slice header = slice_split(rest, '&', &rest);

		if (slice_equal_nocase(slice_split(header, '=', &value), SLICE_LITERAL("Privacy")))
			return !slice_equal_nocase(value, SLICE_LITERAL("none"));
	}
	return false;
}

/* The entry stays, and its index with it: others refer to it. What cannot be read is not shown either. */
static void write_history(void *arg, struct slice value, struct buffer *out)
{
	unsigned asked = *(const unsigned *)arg;
	struct name_addr entry;
	bool readable = name_addr_parse(value, &entry);

	if ((asked & (PRIVACY_HISTORY | PRIVACY_HEADER)) == 0 &&
	    (!readable || !entry_is_private(&entry.uri))) {
		buffer_append_slice(out, value);
	} else if (readable) {
		buffer_append_string(out, ANONYMOUS_URI);
		if (!slice_is_empty(entry.params))
			buffer_append(out, ";", 1);
		buffer_append_slice(out, entry.params);
	}
}

static int take_standing(struct message *message, const char *header)
{
	static const char *const params[] = {"integrity-protected"};

	return message_remove_auth_params(message, header, params, ARRAY_LENGTH(params));
}

static int take_keys(struct message *message, const char *header)
{
	static const char *const params[] = {"ck", "ik"};

	return message_remove_auth_params(message, header, params, ARRAY_LENGTH(params));
}

static int take_part(struct message *message, enum trust_part part, unsigned asked)
{
	switch (part) {
	case PART_ACCESS_NETWORK:
		return message_edit_values(message, "P-Access-Network-Info", write_access_network,
		                           NULL);
	case PART_PRIORITY:
		return message_edit_values(message, "Priority", write_priority, NULL);
	case PART_HISTORY:
		return message_edit_values(message, "History-Info", write_history, &asked);
	case PART_AUTHORIZATION:
		return take_standing(message, "Authorization");
	case PART_PROXY_AUTHORIZATION:
		return take_standing(message, "Proxy-Authorization");
	case PART_WWW_AUTHENTICATE:
		return take_keys(message, "WWW-Authenticate");
	case PART_PROXY_AUTHENTICATE:
		return take_keys(message, "Proxy-Authenticate");
	case PART_NONE:
	case TRUST_PARTS:
		break;
	}
	return 0;
}

/* ---- the walk ---- */

struct walk {
	enum crossing crossing;
	bool is_request;
	unsigned asked;   /* by the Privacy lines seen */
	unsigned private; /* the kinds that would take a line away that we saw */
	unsigned parts;   /* a bit for each enum trust_part that we saw */
};

static enum trust_rule rule_of(const struct walk *walk, const struct trust_row *row)
{
	const char *rules = walk->is_request ? row->request : row->response;

	return (enum trust_rule)rules[walk->crossing];
}

static bool keep_line(void *arg, struct slice name, struct slice value)
{
	const struct trust_row *row = trust_row_find(name);
	struct walk *walk = arg;

	if (row == NULL)
		return true;
	switch (rule_of(walk, row)) {
	case TRUST_STRIP:
	case TRUST_SET:
		return false;
	case TRUST_PRIVACY:
		walk->private |= row->privacy;
		return true;
	case TRUST_PART:
		if (row->part != PART_ACCESS_NETWORK || claims_network(value))
			walk->parts |= 1u << row->part;
		return true;
	case TRUST_PASS:
		if (slice_equal_nocase(name, SLICE_LITERAL("Privacy")))
			walk->asked |= privacy_of(value);
	}
	return true;
}

static bool keep_in_private(void *arg, struct slice name, struct slice value)
{
	const struct trust_row *row = trust_row_find(name);
	const struct walk *walk = arg;

	return row == NULL || rule_of(walk, row) != TRUST_PRIVACY ||
	       (row->privacy & walk->asked) == 0;
}

int trust_apply(struct message *message, enum crossing crossing)
{
	struct walk walk = {.crossing = crossing, .is_request = message_is_request(message)};
	int err;

	message_keep(message, keep_line, &walk);
	if ((walk.asked & walk.private) != 0)
		message_keep(message, keep_in_private, &walk);
	for (unsigned part = 1; walk.parts >> part != 0; part++) {
		if ((walk.parts >> part & 1) == 0)
			continue;
		err = take_part(message, (enum trust_part)part, walk.asked);
		if (err != 0)
			return err;
	}
	return 0;
}
