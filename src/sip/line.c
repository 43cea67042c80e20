/*
 * Header lines and their names. Pure, any thread. RFC 3261 7.3, 7.3.3 and 25.1.
 */
#include "sip_internal.h"

#define NAME(text) {text, sizeof(text) - 1}

/* Every name that we treat by kind, and every compact form that IANA lists: a compact name is
 * read as its long form, so that nothing passes a rule by being written short. */
static const struct known_name {
	struct slice name;
	char compact; /* 0: none */
	enum line_kind kind;
} known_names[] = {
	{NAME("Via"), 'v', LINE_VIA},
	{NAME("From"), 'f', LINE_FROM},
	{NAME("To"), 't', LINE_TO},
	{NAME("Call-ID"), 'i', LINE_CALL_ID},
	{NAME("CSeq"), 0, LINE_CSEQ},
	{NAME("Contact"), 'm', LINE_CONTACT},
	{NAME("Content-Length"), 'l', LINE_CONTENT_LENGTH},
	{NAME("Max-Forwards"), 0, LINE_MAX_FORWARDS},
	{NAME("Route"), 0, LINE_ROUTE},
	{NAME("Record-Route"), 0, LINE_RECORD_ROUTE},
	{NAME("Path"), 0, LINE_PATH},
	{NAME("Service-Route"), 0, LINE_SERVICE_ROUTE},
	{NAME("Require"), 0, LINE_REQUIRE},
	{NAME("Proxy-Require"), 0, LINE_PROXY_REQUIRE},
	{NAME("Supported"), 'k', LINE_SUPPORTED},
	{NAME("P-Associated-URI"), 0, LINE_P_ASSOCIATED_URI},
	{NAME("P-Asserted-Identity"), 0, LINE_P_ASSERTED_IDENTITY},
	{NAME("P-Preferred-Identity"), 0, LINE_P_PREFERRED_IDENTITY},
	{NAME("Expires"), 0, LINE_EXPIRES},
	{NAME("Timestamp"), 0, LINE_TIMESTAMP},
	{NAME("Accept-Contact"), 'a', LINE_OTHER},
	{NAME("Referred-By"), 'b', LINE_OTHER},
	{NAME("Content-Type"), 'c', LINE_OTHER},
	{NAME("Request-Disposition"), 'd', LINE_OTHER},
	{NAME("Content-Encoding"), 'e', LINE_OTHER},
	{NAME("Reject-Contact"), 'j', LINE_OTHER},
	{NAME("Identity-Info"), 'n', LINE_OTHER},
	{NAME("Event"), 'o', LINE_OTHER},
	{NAME("Refer-To"), 'r', LINE_OTHER},
	{NAME("Subject"), 's', LINE_OTHER},
	{NAME("Allow-Events"), 'u', LINE_OTHER},
	{NAME("Session-Expires"), 'x', LINE_OTHER},
	{NAME("Identity"), 'y', LINE_OTHER},
};

#define KNOWN_BY_KIND 20 /* the first so many; those behind are there for their compact forms */

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

static void classify(struct line *line)
{
	struct slice name = line->name;
	int letter = name.data[0] | 0x20;

	line->kind = LINE_OTHER;
	if (name.length == 1) {
		for (size_t i = 0; i < sizeof(known_names) / sizeof(known_names[0]); i++) {
			if (known_names[i].compact == letter) {
				line->kind = known_names[i].kind;
				line->name = known_names[i].name;
				return;
			}
		}
		return;
	}
	for (size_t i = 0; i < KNOWN_BY_KIND; i++) {
		if (known_names[i].name.length == name.length &&
		    (known_names[i].name.data[0] | 0x20) == letter &&
		    (slice_equal(known_names[i].name, name) ||
		     slice_equal_nocase(known_names[i].name, name))) {
			line->kind = known_names[i].kind;
			return;
		}
	}
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
	out->name = slice_of(text.data, n);
	out->value = slice_trim(slice_skip(text, colon + 1));
	classify(out);
	return true;
}

bool line_is_named(const struct line *line, struct slice name)
{
	return line->name.length == name.length && name.length > 0 &&
	       ((line->name.data[0] ^ name.data[0]) & 0x5f) == 0 &&
	       slice_equal_nocase(line->name, name);
}
