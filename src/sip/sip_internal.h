/*
 * What the files of this layer tell each other: the message as a table of header lines, and the
 * small scanners over them.
 *
 * A message is one block: this struct, its lines, a private copy of the bytes, and some room for
 * inserted text. sofia-sip judges the bytes once, in message_parse (judge.c), and is let go; all
 * looking and editing is done on the lines. That keeps every byte we do not touch, costs a tenth of
 * what edits of sofia's header chain cost, and gives messages that sofia refuses the same shape as
 * sound ones, so that they can be answered.
 */
#ifndef BONO_SIP_INTERNAL_H
#define BONO_SIP_INTERNAL_H

#include "base/slice.h"
#include "sip/guard.h"
#include "sip/message.h"
#include "sip/uri.h"
#include "sip/via.h"

/* ---- lines ---- */

/* Kinds below HEADERS are enum sip_header. */
enum line_kind {
	LINE_VIA = HEADER_VIA,
	LINE_ROUTE = HEADER_ROUTE,
	LINE_RECORD_ROUTE = HEADER_RECORD_ROUTE,
	LINE_PATH = HEADER_PATH,
	LINE_SERVICE_ROUTE = HEADER_SERVICE_ROUTE,
	LINE_CONTACT = HEADER_CONTACT,
	LINE_REQUIRE = HEADER_REQUIRE,
	LINE_PROXY_REQUIRE = HEADER_PROXY_REQUIRE,
	LINE_SUPPORTED = HEADER_SUPPORTED,
	LINE_P_ASSOCIATED_URI = HEADER_P_ASSOCIATED_URI,
	LINE_P_ASSERTED_IDENTITY = HEADER_P_ASSERTED_IDENTITY,
	LINE_P_PREFERRED_IDENTITY = HEADER_P_PREFERRED_IDENTITY,
	LINE_FROM = HEADERS,
	LINE_TO,
	LINE_CALL_ID,
	LINE_CSEQ,
	LINE_MAX_FORWARDS,
	LINE_CONTENT_LENGTH,
	LINE_EXPIRES,
	LINE_TIMESTAMP,
	LINE_OTHER,
	LINE_KINDS
};

struct line {
	struct slice text;  /* the whole line with its CRLF */
	struct slice name;  /* in its long form; empty: no header line at all */
	struct slice value; /* trimmed; folds have become blanks */
	enum line_kind kind;
};

/* Reads "Name: value CRLF". False: no name, or no colon behind it; out->text is set all the same. */
bool line_read(struct slice text, struct line *out);
/* The next line of *rest with its end; *rest moves on. A line without LF is the whole rest. */
struct slice line_next(struct slice *rest);
bool line_is_named(const struct line *line, struct slice name);

/* ---- the message ---- */

struct text_block { /* room for inserted text when the first is used up */
	struct text_block *next;
	char data[];
};

struct message {
	bool is_request;
	bool sound;             /* false: good for an answer only */
	enum sip_method method; /* a response: of its CSeq */
	int status;             /* 0: a request */
	int max_forwards;       /* -1: absent */
	uint32_t cseq;
	struct slice start; /* the first line with its CRLF */
	struct slice method_text;
	struct slice request_uri;
	struct slice call_id, from_tag, to_tag;
	struct slice body;

	char *raw; /* our copy of the bytes */
	size_t raw_length;

	struct line *lines; /* lines[first .. first + count) are the header lines, in order */
	unsigned first, count, capacity;
	struct line *own_lines; /* the table if it had to grow out of our block, else NULL */

	char *room; /* for inserted text */
	size_t room_left;
	struct text_block *blocks;

	/* What is asked for again and again, as it was read last. A text never changes its place while
	 * the message lives, so its place tells whether the reading still holds. */
	struct {
		const char *of; /* value.data of the first Via line; NULL: none read */
		struct via via;
	} top_via;
	struct {
		const char *of;
		struct uri uri;
	} read_request_uri;
	struct {
		const char *of;
		struct name_addr address;
	} read_to;
	struct {
		const char *of; /* value.data of the first Route line */
		struct name_addr address;
	} top_route;
};

/* Walk the lines: for (line = message_lines(m), end = line + m->count; line < end; line++) */
static inline struct line *message_lines(const struct message *message)
{
	return message->lines + message->first;
}
/* The first line of the kind at or after `from` (NULL: the first of all); NULL: none. */
struct line *message_line(const struct message *message, enum line_kind kind,
                          const struct line *from);
/* Room that lives as long as the message; NULL: out of memory. */
char *message_room(struct message *message, size_t length);

/* ---- edit.c ---- */

/* The same name with another value. 0 or -ENOMEM. */
int line_rewrite(struct message *message, struct line *line, struct slice value);
void line_remove(struct message *message, struct line *line);

/* The one place where sofia-sip is asked: do the lines obey the grammar?
 * MESSAGE_SOUND, MESSAGE_BAD_HEADER or MESSAGE_NO_MEMORY. */
enum message_fault judge_message(const struct message *message);
/* We have written this line ourselves out of parts that were judged. */
void judge_trust(struct slice line);
int judge_init(void);

/* The Request-URI as a value; false: it is none. */
bool request_uri_read(struct message *message, struct uri *out);

/* "4711 INVITE" */
bool cseq_parse(struct slice value, uint32_t *number, struct slice *method);
bool slice_is_token(struct slice s);

/* ---- guard ---- */

struct guard_scan {
	enum guard_verdict verdict;
	size_t header_bytes; /* start line and headers with the empty line, when verdict is PASS */
	unsigned lines;      /* header lines without start line and folds, capped on a refusal */
};
void guard_scan(struct slice message, size_t limit_bytes, struct guard_scan *out);

/* ---- values ---- */

static inline bool slice_is_blank(char c)
{
	return slice_is_blank_byte(c);
}

/* Index of the first `separator` at or after `at` that stands in no quotes (and, when the separator
 * is not ';', in no angle brackets); the length if there is none. Quotes or brackets that never
 * close do not hide anything. */
size_t value_skip(struct slice s, size_t at, char separator);
/* The next comma-separated value, trimmed; false at the end. Empty values are skipped. */
bool value_next(struct slice *rest, struct slice *value);

struct param {
	struct slice text; /* name and value as written */
	struct slice name, value;
};
bool params_next(struct slice *rest, struct param *out);

/* host [":" port], brackets taken off; *rest starts behind it. */
bool host_port_parse(struct slice text, struct slice *host, uint16_t *port, struct slice *rest);

#endif
