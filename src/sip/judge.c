/*
 * The judge of the grammar: sofia-sip's parser with a header class of our own, which knows the
 * headers that a proxy works with and leaves all others alone. The class is built before threads
 * start and only read then; a msg_t lives inside one call, and may spoil the copy it was given. No other file includes sofia.
 */
#include <sofia-sip/su_alloc.h>
#include <sofia-sip/su.h>
#include <sofia-sip/msg.h>
#include <sofia-sip/msg_buffer.h>
#include <sofia-sip/msg_header.h>
#include <sofia-sip/msg_mclass.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/sip_util.h>

#include "sip_internal.h"

/* sofia's structs for an ordinary message; its strings take as much again as the lines have. */
#define ARENA_BYTES 4096

/* The lines that are judged. All others, the body too, are none of our business (16.3 step 1), so
 * sofia is not shown them: each header costs it 1-3 k instructions. Require and its kin are read
 * from the text by us, Content-Length was. */
#define JUDGED                                                                                     \
	(1u << LINE_VIA | 1u << LINE_ROUTE | 1u << LINE_RECORD_ROUTE | 1u << LINE_MAX_FORWARDS |   \
	 1u << LINE_FROM | 1u << LINE_TO | 1u << LINE_CALL_ID | 1u << LINE_CSEQ |                  \
	 1u << LINE_PATH | 1u << LINE_CONTACT | 1u << LINE_SERVICE_ROUTE)

static const msg_mclass_t *header_class;

int judge_init(void)
{
	/* Content-Length must be there, for sofia looks for the body by it. */
	static const char *const known[] = {
		"Via",  "Route", "Record-Route", "Max-Forwards",   "From",          "To", "Call-ID",
		"CSeq", "Path",  "Contact",      "Content-Length", "Service-Route",
	};
	const msg_mclass_t *all = sip_default_mclass();
	msg_mclass_t *own;

	if (header_class != NULL)
		return 0;
	if (su_init() != 0)
		return -ENOMEM;
	own = msg_mclass_clone(all, MC_HASH_SIZE, 1);
	if (own == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (msg_mclass_insert(own, msg_find_hclass(all, known[i], NULL)) < 0)
			return -ENOMEM;
	}
	header_class = own;
	return 0;
}

/* sofia's reader of methods stumbles over tokens that are no method it knows ("NEW", for it looks for
 * "NOTIFY" there). We have read the method, and that CSeq agrees, so it is shown this one instead. */
#define STAND_IN "XMETHOD"

static char *put(char *at, struct slice s)
{
	memcpy(at, s.data, s.length);
	return at + s.length;
}

static char *put_stand_in(char *at, const struct message *message, const struct line *line)
{
	/* "CSeq: 4711 METHOD", whatever the blanks: cut before the method. */
	struct slice text = line->text;

	text.length = (size_t)(line->value.data + line->value.length - text.data) -
	              message->method_text.length;
	return put(put(at, text), SLICE_LITERAL(STAND_IN "\r\n"));
}

/* The start line and the lines that are judged, as a message of their own; NULL: out of memory.
 * One byte is spare behind it, which sofia wants. */
static char *write_extract(su_home_t *home, const struct message *message, size_t *length)
{
	const struct line *lines = message_lines(message);
	bool is_other = message->method == METHOD_OTHER;
	size_t most = message->start.length + 2 * sizeof(STAND_IN) + 4;
	char *text, *at;

	for (unsigned i = 0; i < message->count; i++) {
		if ((JUDGED >> lines[i].kind & 1) != 0)
			most += lines[i].text.length;
	}
	su_home_preload(home, 1, (isize_t)(ARENA_BYTES + 2 * most));
	text = at = su_alloc(home, (isize_t)most);
	if (text == NULL)
		return NULL;
	if (is_other && message->is_request) {
		at = put(at, SLICE_LITERAL(STAND_IN));
		at = put(at, slice_skip(message->start, message->method_text.length));
	} else {
		at = put(at, message->start);
	}
	for (unsigned i = 0; i < message->count; i++) {
		if ((JUDGED >> lines[i].kind & 1) == 0)
			continue;
		if (is_other && lines[i].kind == LINE_CSEQ)
			at = put_stand_in(at, message, &lines[i]);
		else
			at = put(at, lines[i].text);
	}
	at = put(at, SLICE_LITERAL("\r\n"));
	*length = (size_t)(at - text);
	return text;
}

static bool is_sound(msg_t *msg, bool is_request)
{
	const sip_t *sip;
	unsigned bad;

	/* 0 says "incomplete", and there will be no more. */
	if (msg_extract(msg) != 1)
		return false;
	sip = sip_object(msg);
	/* Broken headers leave rc 1 and only this mask behind. A response is forwarded even if a
	 * header is broken that only its receiver needs. */
	bad = msg_extract_errors(msg);
	bad &= is_request ? sip_mask_request | sip_mask_proxy : sip_mask_response;
	return bad == 0 && sip_sanity_check(sip) == 0 && sip->sip_via != NULL;
}

enum message_fault judge_message(const struct message *message)
{
	enum message_fault fault = MESSAGE_NO_MEMORY;
	msg_t *msg = msg_create(header_class, 0);
	size_t length;
	char *text;

	if (msg == NULL)
		return MESSAGE_NO_MEMORY;
	text = write_extract(msg_home(msg), message, &length);
	if (text != NULL) {
		msg_buf_set(msg, text, (usize_t)length + 1);
		msg_buf_commit(msg, (usize_t)length, 1);
		fault = is_sound(msg, message->is_request) ? MESSAGE_SOUND : MESSAGE_BAD_HEADER;
	}
	msg_destroy(msg);
	return fault;
}
