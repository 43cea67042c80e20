/*
 * Slices: looking at bytes that somebody else owns. Pure, any thread.
 * Case is folded in ASCII only, whatever the locale says: SIP tokens are ASCII (RFC 3261 7.3.1).
 */
#include "base/slice.h"

#include "base/memory.h"

static unsigned char fold(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool slice_equal(struct slice a, struct slice b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
	if (a.length != b.length)
		return false;
	for (size_t i = 0; i < a.length; i++)
		if (fold((unsigned char)a.data[i]) != fold((unsigned char)b.data[i]))
			return false;
	return true;
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
	return s.length >= prefix.length && slice_equal(slice_of(s.data, prefix.length), prefix);
}

bool slice_starts_with_nocase(struct slice s, struct slice prefix)
{
	return s.length >= prefix.length &&
	       slice_equal_nocase(slice_of(s.data, prefix.length), prefix);
}

ptrdiff_t slice_index(struct slice s, char byte)
{
	const char *found = s.length > 0 ? memchr(s.data, byte, s.length) : NULL;

	return found != NULL ? found - s.data : -1;
}

struct slice slice_skip(struct slice s, size_t n)
{
	if (n > s.length)
		n = s.length;
	return n > 0 ? slice_of(s.data + n, s.length - n) : s;
}

struct slice slice_trim(struct slice s)
{
	while (s.length > 0 && is_blank(s.data[0]))
		s = slice_skip(s, 1);
	while (s.length > 0 && is_blank(s.data[s.length - 1]))
		s.length--;
	return s;
}

struct slice slice_split(struct slice s, char separator, struct slice *rest)
{
	ptrdiff_t at = slice_index(s, separator);

	if (at < 0) {
		*rest = slice_skip(s, s.length);
		return s;
	}
	*rest = slice_skip(s, (size_t)at + 1);
	return slice_of(s.data, (size_t)at);
}

bool slice_to_uint(struct slice s, uint64_t max, uint64_t *out)
{
	uint64_t number = 0;

	if (s.length == 0)
		return false;
	for (size_t i = 0; i < s.length; i++) {
		unsigned digit = (unsigned)((unsigned char)s.data[i]) - '0';

		if (digit > 9 || number > (max - digit) / 10 || digit > max)
			return false;
		number = number * 10 + digit;
	}
	*out = number;
	return true;
}

char *slice_to_string(struct slice s)
{
	char *text = memory_alloc(s.length + 1);

	if (text == NULL)
		return NULL;
	if (s.length > 0)
		memcpy(text, s.data, s.length);
	text[s.length] = '\0';
	return text;
}
