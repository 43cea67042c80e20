/*
 * Errors are negative errno values; 0 is success. ASSERT is for our own mistakes only:
 * what the world or a peer does wrong never asserts.
 */
#ifndef BONO_BASE_ERROR_H
#define BONO_BASE_ERROR_H

#include <errno.h>

#define ASSERT(condition) ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))

/* Writes the broken condition to stderr and aborts. */
void assert_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

/* Words for -errno ("connection refused"), static text, any thread. */
const char *error_text(int err);

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
