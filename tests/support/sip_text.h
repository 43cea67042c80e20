/*
 * Messages in tests, from text with "\n" for line ends.
 */
#ifndef TESTS_SUPPORT_SIP_TEXT_H
#define TESTS_SUPPORT_SIP_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/hash.h"
#include "sip/message.h"

#define SIP_TEXT_LIMIT 65535

#define assert_slice(s, text)                                                                      \
	do {                                                                                       \
		struct slice s_ = (s);                                                             \
		char *copy_ = strndup(s_.length > 0 ? s_.data : "", s_.length);                    \
		assert_string_equal(copy_, text);                                                  \
		free(copy_);                                                                       \
	} while (0)

static inline int sip_text_setup(void **state)
{
	hash_key_init();
	return message_system_init();
}

/* With CRLF for LF, in malloc'd memory of exactly that size, so that ASan sees every overrun. */
static inline struct slice sip_text(const char *text)
{
	char *copy = malloc(2 * strlen(text) + 1);
	size_t n = 0;

	for (; *text != '\0'; text++) {
		if (*text == '\n')
			copy[n++] = '\r';
		copy[n++] = *text;
	}
	return slice_of(realloc(copy, n > 0 ? n : 1), n);
}

static inline enum message_fault sip_parse_fault(const char *text, struct message **out,
                                                 enum guard_verdict *verdict)
{
	struct slice bytes = sip_text(text);
	enum message_fault fault = message_parse(bytes, SIP_TEXT_LIMIT, out, verdict);

	free((char *)bytes.data);
	return fault;
}

static inline struct message *sip_parse(const char *text)
{
	enum guard_verdict verdict;
	struct message *message;
	enum message_fault fault = sip_parse_fault(text, &message, &verdict);

	if (fault != MESSAGE_SOUND)
		fail_msg("%s %s: %s", message_fault_name(fault), guard_verdict_name(verdict), text);
	return message;
}

static inline void assert_bytes(struct slice bytes, const char *text)
{
	struct slice expected = sip_text(text);

	if (!slice_equal(bytes, expected))
		fail_msg("got:\n%.*s\nwanted:\n%.*s", SLICE_ARGS(bytes), SLICE_ARGS(expected));
	free((char *)expected.data);
}

/* Prints, compares, and destroys the message. */
static inline void assert_prints(struct message **message, const char *text)
{
	struct bytes *bytes = message_serialize(*message, false);

	assert_non_null(bytes);
	assert_bytes(bytes_slice(bytes), text);
	bytes_release(&bytes);
	message_destroy(message);
}

#endif
