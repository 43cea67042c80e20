/*
 * Slices: looking at bytes that somebody else owns. Pure, any thread.
 * Case is folded in ASCII only, whatever the locale says: SIP tokens are ASCII (RFC 3261 7.3.1).
 */
#include "base/slice.h"

#include "base/memory.h"

static inline bool byte_equal_nocase(char a, char b)
{
	char folded = (char)(a | 0x20);

	return a == b || ((a ^ b) == 0x20 && folded >= 'a' && folded <= 'z');
}

/* Nearly always they are the same, or of another kind altogether: eight bytes at a time tell. */
bool slice_bytes_equal_nocase(const char *a, const char *b, size_t length)
{
	uint64_t from_a, from_b;

	for (; length >= sizeof(from_a); a += 8, b += 8, length -= 8) {
		memcpy(&from_a, a, sizeof(from_a));
		memcpy(&from_b, b, sizeof(from_b));
		if (from_a == from_b)
			continue;
		if (((from_a ^ from_b) & ~UINT64_C(0x2020202020202020)) != 0)
			return false;
		for (int i = 0; i < 8; i++)
			if (!byte_equal_nocase(a[i], b[i]))
				return false;
	}
	for (; length > 0; a++, b++, length--)
		if (!byte_equal_nocase(*a, *b))
			return false;
	return true;
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

		/* 19 digits never pass 2^64; no division is needed for them */
		if (digit > 9 || (i >= 19 && number > (UINT64_MAX - digit) / 10))
			return false;
		number = number * 10 + digit;
	}
	if (number > max)
		return false;
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
