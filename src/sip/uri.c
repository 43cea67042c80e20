/*
 * URIs and name-addrs as values over slices; no allocation. Pure, any thread.
 * RFC 3261 19.1, 20.10, 25.1. Lenient where a proxy need not care, strict where a wrong reading
 * would send a request to the wrong place: host, port, a second '@'.
 */
#include "sip/uri.h"

#include <ctype.h>
#include <string.h>

#include "base/address.h"
#include "sip_internal.h"

/* "[" + the longest IPv6 text + "]" */
#define HOST_LITERAL_MAX 64
/* Every pair of parameters is looked at; URIs with more of them are equal only if written alike. */
#define PARAMS_COMPARED 32

static bool scheme_of(struct slice text, struct slice *scheme, struct slice *rest)
{
	size_t i;

	if (text.length > 3 && (text.data[0] | 0x20) == 's' && (text.data[1] | 0x20) == 'i' &&
	    (text.data[2] | 0x20) == 'p' && text.data[3] == ':') { /* nearly all */
		*scheme = slice_of(text.data, 3);
		*rest = slice_skip(text, 4);
		return true;
	}

	if (text.length == 0 || !isalpha((unsigned char)text.data[0]))
		return false;
	for (i = 1; i < text.length; i++) {
		unsigned char c = (unsigned char)text.data[i];

		if (c == ':') {
			*scheme = slice_of(text.data, i);
			*rest = slice_skip(text, i + 1);
			return true;
		}
		if (!isalnum(c) && c != '+' && c != '-' && c != '.')
			return false;
	}
	return false;
}

static enum uri_scheme scheme_kind(struct slice scheme)
{
	static const struct {
		struct slice name;
		enum uri_scheme scheme;
	} known[] = {
		{{"sip", 3}, URI_SIP},
		{{"sips", 4}, URI_SIPS},
		{{"tel", 3}, URI_TEL},
		{{"urn", 3}, URI_URN},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (slice_equal_nocase(scheme, known[i].name))
			return known[i].scheme;
	}
	return URI_OTHER;
}

/* No URI holds blanks, controls, quotes or angle brackets; bytes above 127 are borne with. */
static const bool uri_bytes[256] = {
	['!'] = true,         ['#' ... ';'] = true, ['='] = true,
	['?' ... '~'] = true, [128 ... 255] = true,
};
/* '_' is in no host name by the grammar, yet found in the field. */
static const bool host_bytes[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
	['-'] = true,         ['.'] = true,         ['_'] = true,
};

static bool uri_bytes_are_sane(struct slice text)
{
	for (size_t i = 0; i < text.length; i++) {
		if (!uri_bytes[(unsigned char)text.data[i]])
			return false;
	}
	return true;
}

bool host_port_parse(struct slice text, struct slice *host, uint16_t *port, struct slice *rest)
{
	struct slice digits;
	struct address literal;
	uint64_t number;
	size_t n = 0;

	*port = 0;
	if (text.length > 0 && text.data[0] == '[') {
		ptrdiff_t end = slice_index(text, ']');

		if (end < 0 || end > HOST_LITERAL_MAX)
			return false;
		*host = slice_of(text.data + 1, (size_t)end - 1);
		if (!address_parse_host(*host, 0, &literal) || literal.family != AF_INET6)
			return false;
		text = slice_skip(text, (size_t)end + 1);
	} else {
		while (n < text.length && host_bytes[(unsigned char)text.data[n]])
			n++;
		*host = slice_of(text.data, n);
		if (n == 0)
			return false;
		text = slice_skip(text, n);
	}
	*rest = text;
	if (text.length == 0 || text.data[0] != ':')
		return true;
	text = slice_skip(text, 1);
	for (n = 0; n < text.length && text.data[n] >= '0' && text.data[n] <= '9';)
		n++;
	digits = slice_of(text.data, n);
	if (!slice_to_uint(digits, UINT16_MAX, &number) || number == 0)
		return false;
	*port = (uint16_t)number;
	*rest = slice_skip(text, n);
	return true;
}

static bool sip_uri_parse(struct slice rest, struct uri *out)
{
	ptrdiff_t at = slice_index(rest, '@');
	ptrdiff_t cut;

	if (at == 0)
		return false;
	if (at > 0) {
		out->user = slice_split(slice_of(rest.data, (size_t)at), ':', &out->password);
		if (out->user.length == 0)
			return false;
		rest = slice_skip(rest, (size_t)at + 1);
		/* Two readings of one URI are one too many. */
		if (slice_index(rest, '@') >= 0)
			return false;
	}
	if (!host_port_parse(rest, &out->host, &out->port, &rest))
		return false;
	if (rest.length == 0)
		return true;
	if (rest.data[0] != ';' && rest.data[0] != '?')
		return false;
	cut = slice_index(rest, '?');
	if (cut >= 0) {
		out->headers = slice_skip(rest, (size_t)cut + 1);
		rest.length = (size_t)cut;
	}
	out->params = slice_skip(rest, 1);
	return true;
}

bool uri_parse(struct slice text, struct uri *out)
{
	struct slice rest;

	memset(out, 0, sizeof(*out));
	if (!uri_bytes_are_sane(text) || !scheme_of(text, &out->scheme_text, &rest))
		return false;
	out->text = text;
	out->scheme = scheme_kind(out->scheme_text);
	switch (out->scheme) {
	case URI_SIP:
	case URI_SIPS:
		return sip_uri_parse(rest, out);
	case URI_TEL:
		out->user = slice_split(rest, ';', &out->params);
		return out->user.length > 0;
	case URI_URN:
	case URI_OTHER:
		return rest.length > 0;
	}
	return false;
}

/* Where the parameter that starts at `i` ends, and its '=' (the end if it has none). */
static size_t param_end(struct slice s, size_t i, size_t *equals)
{
	const char *data = s.data;

	for (; i < s.length && data[i] != ';'; i++) {
		if (data[i] == '=') {
			*equals = i;
			for (i++; i < s.length && data[i] != ';'; i++) {
				if (data[i] == '"')
					return value_skip(s, *equals + 1, ';');
			}
			return i;
		}
		if (data[i] == '"') {
			*equals = i;
			return value_skip(s, i, ';');
		}
	}
	*equals = i;
	return i;
}

bool params_next(struct slice *rest, struct param *out)
{
	struct slice s = *rest;
	size_t i = 0, equals, end;

	while (i < s.length && (s.data[i] == ';' || slice_is_blank(s.data[i])))
		i++;
	if (i == s.length)
		return false;
	end = param_end(s, i, &equals);
	out->name = slice_trim(slice_of(s.data + i, equals - i));
	out->value = SLICE_NONE;
	if (equals < end && s.data[equals] == '=')
		out->value = slice_trim(slice_of(s.data + equals + 1, end - equals - 1));
	out->text = slice_trim(slice_of(s.data + i, end - i));
	*rest = slice_skip(s, end);
	return true;
}

bool params_find(struct slice params, const char *name, struct slice *value)
{
	struct slice wanted = slice_from_string(name);
	struct param param;

	while (params_next(&params, &param)) {
		if (!slice_equal_nocase(param.name, wanted))
			continue;
		if (value == NULL)
			return true;
		*value = param.value;
		if (value->length >= 2 && value->data[0] == '"' &&
		    value->data[value->length - 1] == '"')
			*value = slice_of(value->data + 1, value->length - 2);
		return true;
	}
	if (value != NULL)
		*value = SLICE_NONE;
	return false;
}

bool uri_param(const struct uri *uri, const char *name, struct slice *value)
{
	return params_find(uri->params, name, value);
}

/* ---- comparison ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The next character with its escape decoded; *escaped tells whether it was one. -1 at the end. */
static int next_decoded(struct slice *s, bool *escaped)
{
	int high, low, c;

	*escaped = false;
	if (s->length == 0)
		return -1;
	c = (unsigned char)s->data[0];
	if (c == '%' && s->length >= 3) {
		high = hex_digit(s->data[1]);
		low = hex_digit(s->data[2]);
		if (high >= 0 && low >= 0) {
			*escaped = true;
			*s = slice_skip(*s, 3);
			return high * 16 + low;
		}
	}
	*s = slice_skip(*s, 1);
	return c;
}

/* 19.1.4: an escape equals its character unless that character is reserved. */
static bool is_reserved(int c)
{
	return c > 0 && strchr(";/?:@&=+$,", c) != NULL;
}

static bool equal_decoded(struct slice a, struct slice b, bool with_case)
{
	bool escaped_a, escaped_b;
	int ca, cb;

	do {
		ca = next_decoded(&a, &escaped_a);
		cb = next_decoded(&b, &escaped_b);
		if (ca != cb && (with_case || ca < 0 || cb < 0 || tolower(ca) != tolower(cb)))
			return false;
		if (escaped_a != escaped_b && is_reserved(ca))
			return false;
	} while (ca >= 0);
	return true;
}

static bool params_agree(const struct uri *a, const struct uri *b)
{
	static const char *const both_or_none[] = {"transport", "user", "ttl", "method", "maddr"};
	struct slice rest = a->params, va, vb;
	struct param param;

	for (size_t i = 0; i < sizeof(both_or_none) / sizeof(both_or_none[0]); i++) {
		bool in_a = uri_param(a, both_or_none[i], &va);
		bool in_b = uri_param(b, both_or_none[i], &vb);

		if (in_a != in_b || (in_a && !equal_decoded(va, vb, false)))
			return false;
	}
	for (unsigned n = 0; params_next(&rest, &param); n++) {
		struct slice other = b->params;
		struct param found;

		if (n == PARAMS_COMPARED)
			return slice_equal(a->params, b->params);
		for (unsigned m = 0; params_next(&other, &found); m++) {
			if (m == PARAMS_COMPARED)
				return slice_equal(a->params, b->params);
			if (!slice_equal_nocase(found.name, param.name))
				continue;
			if (!equal_decoded(found.value, param.value, false))
				return false;
			break;
		}
	}
	return true;
}

static bool is_visual_separator(int c)
{
	return c == '-' || c == '.' || c == '(' || c == ')';
}

/* RFC 3966 4: separators do not count. */
static bool tel_number_equal(struct slice a, struct slice b)
{
	size_t i = 0, j = 0;

	for (;;) {
		while (i < a.length && is_visual_separator(a.data[i]))
			i++;
		while (j < b.length && is_visual_separator(b.data[j]))
			j++;
		if (i == a.length || j == b.length)
			return i == a.length && j == b.length;
		if (tolower((unsigned char)a.data[i++]) != tolower((unsigned char)b.data[j++]))
			return false;
	}
}

bool uri_equal(const struct uri *a, const struct uri *b)
{
	if (a->scheme != b->scheme)
		return false;
	switch (a->scheme) {
	case URI_TEL:
		return tel_number_equal(a->user, b->user) && params_agree(a, b);
	case URI_SIP:
	case URI_SIPS:
		return equal_decoded(a->user, b->user, true) &&
		       equal_decoded(a->password, b->password, true) &&
		       slice_equal_nocase(a->host, b->host) && a->port == b->port &&
		       params_agree(a, b) && equal_decoded(a->headers, b->headers, false);
	case URI_URN:
	case URI_OTHER:
		return slice_equal_nocase(a->text, b->text);
	}
	return false;
}

static void append_lower(struct buffer *out, struct slice s)
{
	for (size_t i = 0; i < s.length; i++) {
		char c = (char)tolower((unsigned char)s.data[i]);

		buffer_append(out, &c, 1);
	}
}

/* Characters that may stand in a user part as they are (RFC 3261 25.1). */
static bool is_plain_user_byte(int c)
{
	return c > 0 && c < 128 && (isalnum(c) || strchr("-_.!~*'()&=+$,;?/", c) != NULL);
}

static void append_canonical_user(struct buffer *out, struct slice user)
{
	static const char hex[] = "0123456789ABCDEF";
	bool escaped;
	int c;

	while ((c = next_decoded(&user, &escaped)) >= 0) {
		char text[3] = {'%', hex[c >> 4], hex[c & 15]};
		char plain = (char)c;

		/* A reserved character and its escape are two things (19.1.4). */
		if (!escaped || (is_plain_user_byte(c) && !is_reserved(c)))
			buffer_append(out, &plain, 1);
		else
			buffer_append(out, text, sizeof(text));
	}
}

void uri_canonical(const struct uri *uri, struct buffer *out)
{
	switch (uri->scheme) {
	case URI_SIP:
	case URI_SIPS:
		/* One address-of-record whether written sip or sips: RFC 3261 10.3 step 5 removes
		 * all that tells them apart but the scheme, which names the way, not the person. */
		buffer_append_string(out, "sip:");
		if (uri->user.length > 0) {
			append_canonical_user(out, uri->user);
			buffer_append_string(out, "@");
		}
		if (slice_index(uri->host, ':') >= 0) {
			buffer_append_string(out, "[");
			append_lower(out, uri->host);
			buffer_append_string(out, "]");
		} else {
			append_lower(out, uri->host);
		}
		return;
	case URI_TEL:
		buffer_append_string(out, "tel:");
		for (size_t i = 0; i < uri->user.length; i++) {
			char c = (char)tolower((unsigned char)uri->user.data[i]);

			if (!is_visual_separator(c))
				buffer_append(out, &c, 1);
		}
		return;
	case URI_URN:
	case URI_OTHER:
		append_lower(out, uri->text);
		return;
	}
}

/* ---- name-addr ---- */

/* Past the quoted string that starts at `at`; 0 if it never ends. */
static size_t quoted_end(struct slice s, size_t at)
{
	for (at++; at < s.length; at++) {
		if (s.data[at] == '\\')
			at++;
		else if (s.data[at] == '"')
			return at + 1;
	}
	return 0;
}

size_t value_skip(struct slice s, size_t at, char separator)
{
	bool quotes = true, brackets = separator != ';';
	const char *found;

	if (at >= s.length)
		return s.length;
	found = memchr(s.data + at, separator, s.length - at);
	if (found == NULL)
		return s.length;
	/* Nearly always there is nothing to hide it. */
	if (memchr(s.data + at, '"', (size_t)(found - s.data) - at) == NULL &&
	    (!brackets || memchr(s.data + at, '<', (size_t)(found - s.data) - at) == NULL))
		return (size_t)(found - s.data);
	while (at < s.length && s.data[at] != separator) {
		size_t end = 0;

		/* One that never closes is not looked for again, or this would be quadratic. */
		if (s.data[at] == '"' && quotes) {
			end = quoted_end(s, at);
			quotes = end != 0;
		} else if (s.data[at] == '<' && brackets) {
			const char *close = memchr(s.data + at, '>', s.length - at);

			end = close != NULL ? (size_t)(close - s.data) + 1 : 0;
			brackets = end != 0;
		}
		at = end != 0 ? end : at + 1;
	}
	return at;
}

bool value_next(struct slice *rest, struct slice *value)
{
	while (rest->length > 0) {
		size_t end = value_skip(*rest, 0, ',');

		*value = slice_trim(slice_of(rest->data, end));
		*rest = slice_skip(*rest, end + 1);
		if (value->length > 0)
			return true;
	}
	return false;
}

bool name_addr_parse(struct slice text, struct name_addr *out)
{
	struct slice rest, uri;
	ptrdiff_t open, close;

	memset(out, 0, sizeof(*out));
	text = slice_trim(text);
	out->text = text;
	rest = text;
	if (rest.length > 0 && rest.data[0] == '"') {
		size_t end = quoted_end(rest, 0);

		if (end == 0)
			return false;
		out->display = slice_of(rest.data + 1, end - 2);
		rest = slice_trim(slice_skip(rest, end));
		if (rest.length == 0 || rest.data[0] != '<')
			return false;
	}
	open = slice_index(rest, '<');
	if (open < 0) {
		/* 20.10: without brackets the parameters are the header's, and '?' may not stand. */
		uri = slice_trim(slice_split(rest, ';', &out->params));
		return slice_index(uri, '?') < 0 && slice_index(uri, ',') < 0 &&
		       uri_parse(uri, &out->uri);
	}
	if (open > 0) {
		out->display = slice_trim(slice_of(rest.data, (size_t)open));
		if (slice_index(out->display, '"') >= 0)
			return false;
	}
	rest = slice_skip(rest, (size_t)open + 1);
	close = slice_index(rest, '>');
	if (close < 0 || !uri_parse(slice_of(rest.data, (size_t)close), &out->uri))
		return false;
	rest = slice_trim(slice_skip(rest, (size_t)close + 1));
	if (rest.length == 0)
		return true;
	if (rest.data[0] != ';')
		return false;
	out->params = slice_skip(rest, 1);
	return true;
}

bool name_addr_param(const struct name_addr *address, const char *name, struct slice *value)
{
	return params_find(address->params, name, value);
}
