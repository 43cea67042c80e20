/*
 * A slice: bytes that somebody else owns. Never NUL-terminated, never freed.
 * Pure functions, any thread.
 */
#ifndef BONO_BASE_SLICE_H
#define BONO_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const char *data; /* may be NULL when length is 0 */
	size_t length;
};

#define SLICE_NONE ((struct slice){NULL, 0})
#define SLICE_LITERAL(text) ((struct slice){(text), sizeof(text) - 1})

/* For printf: printf("%.*s", SLICE_ARGS(s)). */
#define SLICE_ARGS(s) (int)(s).length, (s).data

static inline struct slice slice_of(const char *data, size_t length)
{
	return (struct slice){data, length};
}

static inline struct slice slice_from_string(const char *text)
{
	return (struct slice){text, text != NULL ? strlen(text) : 0};
}

static inline bool slice_is_empty(struct slice s)
{
	return s.length == 0;
}

/* The small ones stand here: they are called a hundred times for each message. */

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool slice_bytes_equal_nocase(const char *a, const char *b, size_t length);

/* ASCII only, whatever the locale says: SIP tokens are ASCII (RFC 3261 7.3.1). */
static inline bool slice_equal_nocase(struct slice a, struct slice b)
{
	return a.length == b.length && slice_bytes_equal_nocase(a.data, b.data, a.length);
}

static inline bool slice_starts_with(struct slice s, struct slice prefix)
{
	return s.length >= prefix.length && slice_equal(slice_of(s.data, prefix.length), prefix);
}

static inline bool slice_starts_with_nocase(struct slice s, struct slice prefix)
{
	return s.length >= prefix.length &&
	       slice_bytes_equal_nocase(s.data, prefix.data, prefix.length);
}

/* Index of the first `byte`, or -1. */
static inline ptrdiff_t slice_index(struct slice s, char byte)
{
	const char *found = s.length > 0 ? (const char *)memchr(s.data, byte, s.length) : NULL;

	return found != NULL ? found - s.data : -1;
}

/* Without the first n bytes (all of them if it is shorter). */
static inline struct slice slice_skip(struct slice s, size_t n)
{
	if (n > s.length)
		n = s.length;
	return n > 0 ? slice_of(s.data + n, s.length - n) : s;
}

/* SP, HT, CR, LF */
static inline bool slice_is_blank_byte(char c)
{
	return c == ' ' || (c <= '\r' && (c == '\t' || c == '\r' || c == '\n'));
}

/* Without blanks at both ends. */
static inline struct slice slice_trim(struct slice s)
{
	while (s.length > 0 && slice_is_blank_byte(s.data[s.length - 1]))
		s.length--;
	while (s.length > 0 && slice_is_blank_byte(s.data[0])) {
		s.data++;
		s.length--;
	}
	return s;
}

/* Cut at the first `separator`: what stands before it is returned, *rest goes on behind it.
 * Without a separator everything is returned and *rest is empty. */
struct slice slice_split(struct slice s, char separator, struct slice *rest);

/* Decimal digits only, whole slice, at most max; false otherwise (empty, sign, overflow). */
bool slice_to_uint(struct slice s, uint64_t max, uint64_t *out);

/* A NUL-terminated copy from memory.h, to be freed with memory_free; NULL when out of memory. */
char *slice_to_string(struct slice s);

#endif
