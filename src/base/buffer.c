/*
 * Counted bytes for one worker, and text being put together.
 */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

/* The first append allocates at least this: most of what we build is a short header. */
#define BUFFER_FIRST_BYTES 256

struct bytes *bytes_create(size_t length)
{
	struct bytes *bytes;

	if (length > UINT32_MAX)
		return NULL;
	bytes = memory_alloc(sizeof(*bytes) + length);
	if (bytes == NULL)
		return NULL;
	bytes->references = 1;
	bytes->length = (uint32_t)length;
	return bytes;
}

struct bytes *bytes_copy(struct slice s)
{
	struct bytes *bytes = bytes_create(s.length);

	if (bytes != NULL && s.length > 0)
		memcpy(bytes->data, s.data, s.length);
	return bytes;
}

struct bytes *bytes_share(struct bytes *bytes)
{
	ASSERT(bytes->references > 0);
	bytes->references++;
	return bytes;
}

void bytes_release(struct bytes **bytes)
{
	struct bytes *released = *bytes;

	*bytes = NULL;
	if (released == NULL)
		return;
	ASSERT(released->references > 0);
	if (--released->references == 0)
		memory_free(released);
}

void buffer_init(struct buffer *buffer)
{
	*buffer = (struct buffer){0};
}

void buffer_free(struct buffer *buffer)
{
	memory_free(buffer->data);
	buffer_init(buffer);
}

void buffer_reset(struct buffer *buffer)
{
	buffer->length = 0;
	buffer->failed = false;
}

/* Room for `more` bytes behind the length; false (and failed) when there is none. */
static bool reserve(struct buffer *buffer, size_t more)
{
	size_t capacity = buffer->capacity > 0 ? buffer->capacity : BUFFER_FIRST_BYTES;
	char *data;

	if (buffer->failed)
		return false;
	if (buffer->capacity - buffer->length >= more)
		return true;
	while (capacity - buffer->length < more && capacity <= SIZE_MAX / 2)
		capacity *= 2;
	data = capacity - buffer->length >= more ? memory_realloc(buffer->data, capacity) : NULL;
	if (data == NULL) {
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

void buffer_append(struct buffer *buffer, const void *data, size_t length)
{
	if (length == 0 || !reserve(buffer, length))
		return;
	memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
}

void buffer_append_slice(struct buffer *buffer, struct slice s)
{
	buffer_append(buffer, s.data, s.length);
}

void buffer_append_string(struct buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void buffer_append_uint(struct buffer *buffer, uint64_t number)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	buffer_append(buffer, digits + at, sizeof(digits) - at);
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0) {
		buffer->failed = true;
		return;
	}
	if (!reserve(buffer, (size_t)length + 1)) /* vsnprintf writes a NUL, which is not kept */
		return;
	va_start(args, format);
	vsnprintf(buffer->data + buffer->length, (size_t)length + 1, format, args);
	va_end(args);
	buffer->length += (size_t)length;
}

struct bytes *buffer_to_bytes(const struct buffer *buffer)
{
	return buffer->failed ? NULL : bytes_copy(buffer_slice(buffer));
}

/* ---- text in an array ---- */

void text_add(char *text, size_t size, const char *format, ...)
{
	size_t length = strlen(text);
	va_list args;

	va_start(args, format);
	vsnprintf(text + length, size - length, format, args);
	va_end(args);
}
