/*
 * Two kinds of bytes we own.
 *
 * struct bytes: immutable once filled, counted, for one worker only (the count is a plain int):
 * a serialised message that waits in send queues and in transactions for retransmission.
 *
 * struct buffer: text being put together. Appends remember failure, so callers check once at the end.
 *
 * And text_add, for text in an array of fixed size.
 */
#ifndef BONO_BASE_BUFFER_H
#define BONO_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct bytes {
	uint32_t references;
	uint32_t length;
	char data[];
};

struct bytes *bytes_create(size_t length); /* uninitialised, one reference; NULL: out of memory */
struct bytes *bytes_copy(struct slice s);
struct bytes *bytes_share(struct bytes *bytes); /* one more reference; returns its argument */
void bytes_release(struct bytes **bytes);       /* NULL inside is fine; leaves NULL */
static inline struct slice bytes_slice(const struct bytes *bytes)
{
	return (struct slice){bytes->data, bytes->length};
}

struct buffer {
	char *data; /* NULL until the first append */
	size_t length, capacity;
	bool failed; /* out of memory at some append; stays so */
};

void buffer_init(struct buffer *buffer);
void buffer_free(struct buffer *buffer);
void buffer_reset(struct buffer *buffer); /* length 0, keeps the memory, forgets failure */
void buffer_append(struct buffer *buffer, const void *data, size_t length);
void buffer_append_slice(struct buffer *buffer, struct slice s);
void buffer_append_string(struct buffer *buffer, const char *text);
void buffer_append_uint(struct buffer *buffer, uint64_t number);
void buffer_printf(struct buffer *buffer, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static inline struct slice buffer_slice(const struct buffer *buffer)
{
	return (struct slice){buffer->data, buffer->length};
}
/* The text as counted bytes; NULL if it failed or memory ends. The buffer stays usable. */
struct bytes *buffer_to_bytes(const struct buffer *buffer);

/* Adds to the text with NUL that the array of `size` holds, as much as there is room for. */
void text_add(char *text, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
