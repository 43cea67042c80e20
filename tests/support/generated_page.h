/*
 * A page of docs/ that is made from a table: it must say what the table says. With BONO_UPDATE_DOCS set it
 * is written instead. Paths are from the top of the repository, where make runs the tests.
 */
#ifndef TESTS_SUPPORT_GENERATED_PAGE_H
#define TESTS_SUPPORT_GENERATED_PAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"

static inline void generated_page_check(const char *path, const struct buffer *text)
{
	char *page = malloc(text->length + 2);
	FILE *file;
	size_t length;

	assert_false(text->failed);
	if (getenv("BONO_UPDATE_DOCS") != NULL) {
		file = fopen(path, "w");
		assert_non_null(file);
		assert_int_equal(fwrite(text->data, 1, text->length, file), text->length);
		fclose(file);
	}
	file = fopen(path, "r");
	if (file == NULL)
		fail_msg("%s is not there: run from the top of the repository", path);
	length = fread(page, 1, text->length + 1, file);
	fclose(file);
	if (length != text->length || memcmp(page, text->data, length) != 0)
		fail_msg("%s is not what the table says: BONO_UPDATE_DOCS=1 make unit", path);
	free(page);
}

#endif
