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

bool slice_equal(struct slice a, struct slice b);
bool slice_equal_nocase(struct slice a, struct slice b);
bool slice_starts_with(struct slice s, struct slice prefix);
bool slice_starts_with_nocase(struct slice s, struct slice prefix);

/* Index of the first `byte`, or -1. */
ptrdiff_t slice_index(struct slice s, char byte);

/* Without the first n bytes (all of them if it is shorter). */
struct slice slice_skip(struct slice s, size_t n);
/* Without blanks (SP, HT, CR, LF) at both ends. */
struct slice slice_trim(struct slice s);

/* Cut at the first `separator`: what stands before it is returned, *rest goes on behind it.
 * Without a separator everything is returned and *rest is empty. */
struct slice slice_split(struct slice s, char separator, struct slice *rest);

/* Decimal digits only, whole slice, at most max; false otherwise (empty, sign, overflow). */
bool slice_to_uint(struct slice s, uint64_t max, uint64_t *out);

/* A NUL-terminated copy from memory.h, to be freed with memory_free; NULL when out of memory. */
char *slice_to_string(struct slice s);

#endif
