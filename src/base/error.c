/*
 * Broken assertions and words for errors. Any thread.
 */
#include "base/error.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Linux ends at EHWPOISON (133); the longest text of glibc has 49 bytes. */
#define ERROR_NUMBERS 134
#define ERROR_TEXT_MAX 64

static char texts[ERROR_NUMBERS][ERROR_TEXT_MAX];
static pthread_once_t texts_once = PTHREAD_ONCE_INIT;

void assert_failed(const char *condition, const char *file, int line)
{
	fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
	abort();
}

/* The text stands inside a log line, so it begins in lower case unless it is an abbreviation. */
static void texts_fill(void)
{
	for (int number = 0; number < ERROR_NUMBERS; number++) {
		const char *text = strerrordesc_np(number);
		char *own = texts[number];

		snprintf(own, ERROR_TEXT_MAX, "%s", text != NULL ? text : "unknown error");
		if (own[0] >= 'A' && own[0] <= 'Z' && own[1] >= 'a' && own[1] <= 'z')
			own[0] |= 0x20;
	}
}

const char *error_text(int err)
{
	long number = err < 0 ? -(long)err : err;

	if (number >= ERROR_NUMBERS)
		return "unknown error";
	pthread_once(&texts_once, texts_fill);
	return texts[number];
}
