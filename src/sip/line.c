/*
 * Header lines and their names. Pure, any thread. RFC 3261 7.3, 7.3.3 and 25.1.
 */
#include "sip_internal.h"

#define NAME(text)                                                                                 \
	{                                                                                          \
		text, sizeof(text) - 1                                                             \
	}

/* The names that we treat by kind, by their length. */
static const struct kind_name {
	struct slice name;
	enum line_kind kind;
} kind_names[] = {
	{NAME("To"), LINE_TO},
	{NAME("Via"), LINE_VIA},
	{NAME("From"), LINE_FROM},
	{NAME("CSeq"), LINE_CSEQ},
	{NAME("Path"), LINE_PATH},
	{NAME("Route"), LINE_ROUTE},
	{NAME("Call-ID"), LINE_CALL_ID},
	{NAME("Contact"), LINE_CONTACT},
	{NAME("Require"), LINE_REQUIRE},
	{NAME("Expires"), LINE_EXPIRES},
	{NAME("Supported"), LINE_SUPPORTED},
	{NAME("Timestamp"), LINE_TIMESTAMP},
	{NAME("Max-Forwards"), LINE_MAX_FORWARDS},
	{NAME("Record-Route"), LINE_RECORD_ROUTE},
	{NAME("Proxy-Require"), LINE_PROXY_REQUIRE},
	{NAME("Service-Route"), LINE_SERVICE_ROUTE},
	{NAME("Content-Length"), LINE_CONTENT_LENGTH},
	{NAME("P-Associated-URI"), LINE_P_ASSOCIATED_URI},
	{NAME("P-Asserted-Identity"), LINE_P_ASSERTED_IDENTITY},
	{NAME("P-Preferred-Identity"), LINE_P_PREFERRED_IDENTITY},
};

#define KIND_NAME_MAX 20
/* Where in kind_names the names of each length begin; one more, to end the last. */
static const uint8_t first_of_length[KIND_NAME_MAX + 2] = {
	0, 0, 0, 1, 2, 5, 6, 6, 10, 10, 12, 12, 12, 14, 16, 17, 17, 18, 18, 18, 19, 20,
};

/* Every compact form that IANA lists: read as its long form, so that nothing passes a rule by being
 * written short. */
static const struct slice compact_names[26] = {
	['a' - 'a'] = NAME("Accept-Contact"),
	['b' - 'a'] = NAME("Referred-By"),
	['c' - 'a'] = NAME("Content-Type"),
	['d' - 'a'] = NAME("Request-Disposition"),
	['e' - 'a'] = NAME("Content-Encoding"),
	['f' - 'a'] = NAME("From"),
	['i' - 'a'] = NAME("Call-ID"),
	['j' - 'a'] = NAME("Reject-Contact"),
	['k' - 'a'] = NAME("Supported"),
	['l' - 'a'] = NAME("Content-Length"),
	['m' - 'a'] = NAME("Contact"),
	['n' - 'a'] = NAME("Identity-Info"),
	['o' - 'a'] = NAME("Event"),
	['r' - 'a'] = NAME("Refer-To"),
	['s' - 'a'] = NAME("Subject"),
	['t' - 'a'] = NAME("To"),
	['u' - 'a'] = NAME("Allow-Events"),
	['v' - 'a'] = NAME("Via"),
	['x' - 'a'] = NAME("Session-Expires"),
	['y' - 'a'] = NAME("Identity"),
};

/* RFC 3261 25.1: token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~") */
static const bool token_bytes[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true,
	['.'] = true,         ['!'] = true,         ['%'] = true,         ['*'] = true,
	['_'] = true,         ['+'] = true,         ['`'] = true,         ['\''] = true,
	['~'] = true,
};

bool slice_is_token(struct slice s)
{
	for (size_t i = 0; i < s.length; i++) {
		if (!token_bytes[(unsigned char)s.data[i]])
			return false;
	}
	return s.length > 0;
}

static enum line_kind kind_of(struct slice name)
{
	const struct kind_name *known, *end;

	if (name.length > KIND_NAME_MAX)
		return LINE_OTHER;
	known = &kind_names[first_of_length[name.length]];
	end = &kind_names[first_of_length[name.length + 1]];
	for (; known < end; known++) {
		if ((known->name.data[0] ^ name.data[0]) & 0x5f)
			continue;
		if (slice_equal(known->name, name) || slice_equal_nocase(known->name, name))
			return known->kind;
	}
	return LINE_OTHER;
}

static struct slice long_name(struct slice name)
{
	unsigned letter = (unsigned)(name.data[0] | 0x20) - 'a';

	if (name.length == 1 && letter < 26 && compact_names[letter].length > 0)
		return compact_names[letter];
	return name;
}

struct slice line_next(struct slice *rest)
{
	const char *lf = memchr(rest->data, '\n', rest->length);
	size_t length = lf != NULL ? (size_t)(lf - rest->data) + 1 : rest->length;
	struct slice text = slice_of(rest->data, length);

	*rest = slice_skip(*rest, length);
	return text;
}

bool line_read(struct slice text, struct line *out)
{
	size_t n = 0, colon;

	*out = (struct line){.text = text, .kind = LINE_OTHER};
	while (n < text.length && token_bytes[(unsigned char)text.data[n]])
		n++;
	for (colon = n; colon < text.length && slice_is_blank(text.data[colon]);)
		colon++;
	if (n == 0 || colon >= text.length || text.data[colon] != ':')
		return false;
	out->name = long_name(slice_of(text.data, n));
	colon++;
	if (colon < text.length && text.data[colon] == ' ')
		colon++;
	out->value = slice_trim(slice_of(text.data + colon, text.length - colon));
	out->kind = kind_of(out->name);
	return true;
}

bool line_is_named(const struct line *line, struct slice name)
{
	return line->name.length == name.length && name.length > 0 &&
	       ((line->name.data[0] ^ name.data[0]) & 0x5f) == 0 &&
	       slice_equal_nocase(line->name, name);
}
