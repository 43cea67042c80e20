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

#include "base/hash.h"
#include "sip_internal.h"

/* sofia's structs for an ordinary message; its strings take as much again as the lines have. */
#define ARENA_BYTES 4096

/* The lines that are judged: those for whose faults a message is refused. All others, the body too, are
 * none of our business (16.3 step 1), so sofia is not shown them: each header costs it 1-3 k
 * instructions. Require and its kin are read from the text by us, Content-Length and CSeq were to their
 * last byte. A response is forwarded even if a header is broken that only its receiver needs. */
#define JUDGED_IN_RESPONSE (1u << LINE_VIA | 1u << LINE_FROM | 1u << LINE_TO | 1u << LINE_CALL_ID)
#define JUDGED_IN_REQUEST                                                                          \
	(JUDGED_IN_RESPONSE | 1u << LINE_ROUTE | 1u << LINE_RECORD_ROUTE |                         \
	 1u << LINE_MAX_FORWARDS | 1u << LINE_CONTACT)

/*
 * Lines that sofia has found sound are remembered by this thread and not shown it again: the answer to a
 * request repeats most of its lines, a call repeats them in every message, a client with every refresh.
 * A line is known by 64 bits of the keyed hash of its text; a newer one takes the place of an older one.
 * How a line reads depends on itself alone, and what must hold between lines (message.c) is checked every
 * time.
 */
#define LINES_KNOWN 4096
static _Thread_local uint64_t lines_known[LINES_KNOWN];

static const msg_mclass_t *header_class;
static msg_hclass_t *line_class[LINE_KINDS]; /* of those that are judged */

int judge_init(void)
{
	/* Content-Length must be there, for sofia looks for the body by it. */
	static const struct {
		const char *name;
		enum line_kind kind;
	} known[] = {
		{"Via", LINE_VIA},
		{"Route", LINE_ROUTE},
		{"Record-Route", LINE_RECORD_ROUTE},
		{"Max-Forwards", LINE_MAX_FORWARDS},
		{"From", LINE_FROM},
		{"To", LINE_TO},
		{"Call-ID", LINE_CALL_ID},
		{"Contact", LINE_CONTACT},
		{"CSeq", LINE_CSEQ},
		{"Content-Length", LINE_CONTENT_LENGTH},
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
		const msg_href_t *header = msg_find_hclass(all, known[i].name, NULL);

		if (msg_mclass_insert(own, header) < 0)
			return -ENOMEM;
		line_class[known[i].kind] = header->hr_class;
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

/* ---- what is known ---- */

static bool is_known(uint64_t hash)
{
	return hash != 0 && lines_known[hash % LINES_KNOWN] == hash;
}

static void remember(uint64_t hash)
{
	lines_known[hash % LINES_KNOWN] = hash;
}

void judge_trust(struct slice line)
{
	remember(hash_slice(line));
}

static uint32_t kinds_judged(const struct message *message)
{
	return message->is_request ? JUDGED_IN_REQUEST : JUDGED_IN_RESPONSE;
}

/* ---- line by line ---- */

/* Struct and strings of an ordinary line; what is longer sofia takes from the heap. */
#define LINE_ARENA_BYTES 1024

/* What sofia does with a line of a message once it has found name and value. */
static bool is_sound_line(const struct line *line)
{
	su_home_t arena[SU_HOME_AUTO_SIZE(LINE_ARENA_BYTES)];
	su_home_t *home = su_home_auto(arena, sizeof(arena));
	msg_hclass_t *class = line_class[line->kind];
	msg_header_t *header = msg_header_alloc(home, class, 0);
	char *value = su_strndup(home, line->value.data, (isize_t)line->value.length);
	bool sound;

	sound = header != NULL && value != NULL &&
	        class->hc_parse(home, header, value, (isize_t)line->value.length) >= 0;
	su_home_deinit(home);
	return sound;
}

/* sofia bears with blanks and brackets within a URI. An address that steers requests and that we cannot read, the
 * next element may read otherwise. */
static bool is_readable(const struct line *line)
{
	const uint32_t addresses = 1u << LINE_ROUTE | 1u << LINE_RECORD_ROUTE | 1u << LINE_CONTACT;
	struct slice value, rest = line->value;
	struct name_addr address;

	if ((addresses >> line->kind & 1) == 0 || slice_equal(rest, SLICE_LITERAL("*")))
		return true;
	while (value_next(&rest, &value)) {
		if (!name_addr_parse(value, &address))
			return false;
	}
	return true;
}

/* True if the start line is known and every line too or found sound now. False: the whole decides. */
static bool judge_lines(const struct message *message)
{
	const struct line *line = message_lines(message), *end = line + message->count;
	uint32_t kinds = kinds_judged(message);
	uint64_t hash;

	if (!is_known(hash_slice(message->start)))
		return false;
	for (; line < end; line++) {
		if ((kinds >> line->kind & 1) == 0)
			continue;
		hash = hash_slice(line->text);
		if (is_known(hash))
			continue;
		if (!is_readable(line) || !is_sound_line(line))
			return false;
		remember(hash);
	}
	return true;
}

/* ---- the whole ---- */

static char *put_start(char *at, const struct message *message, bool is_other)
{
	if (!is_other || !message->is_request)
		return put(at, message->start);
	at = put(at, SLICE_LITERAL(STAND_IN));
	return put(at, slice_skip(message->start, message->method_text.length));
}

/* The start line and the lines that are judged, as a message of their own; NULL: out of memory. CSeq is
 * there since without it no message is whole. One byte is spare behind it, which sofia wants. */
static char *write_extract(su_home_t *home, const struct message *message, size_t *length)
{
	const struct line *lines = message_lines(message);
	const uint32_t kinds = kinds_judged(message) | 1u << LINE_CSEQ;
	bool is_other = message->method == METHOD_OTHER;
	size_t most = message->start.length + 2 * sizeof(STAND_IN) + 4;
	char *text, *at;

	for (unsigned i = 0; i < message->count; i++) {
		if ((kinds >> lines[i].kind & 1) != 0)
			most += lines[i].text.length;
	}
	su_home_preload(home, 1, (isize_t)(ARENA_BYTES + 2 * most));
	text = at = su_alloc(home, (isize_t)most);
	if (text == NULL)
		return NULL;
	at = put_start(at, message, is_other);
	for (unsigned i = 0; i < message->count; i++) {
		if ((kinds >> lines[i].kind & 1) == 0)
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
	/* Broken headers leave rc 1 and only this mask behind. */
	bad = msg_extract_errors(msg);
	bad &= is_request ? sip_mask_request | sip_mask_proxy : sip_mask_response;
	return bad == 0 && sip_sanity_check(sip) == 0 && sip->sip_via != NULL;
}

static bool is_all_readable(const struct message *message)
{
	const struct line *line = message_lines(message), *end = line + message->count;

	for (; line < end; line++) {
		if ((kinds_judged(message) >> line->kind & 1) != 0 && !is_readable(line))
			return false;
	}
	return true;
}

static void remember_all(const struct message *message)
{
	const struct line *line = message_lines(message), *end = line + message->count;

	judge_trust(message->start);
	for (; line < end; line++) {
		if ((kinds_judged(message) >> line->kind & 1) != 0)
			judge_trust(line->text);
	}
}

static enum message_fault judge_whole(const struct message *message)
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
		fault = is_sound(msg, message->is_request) && is_all_readable(message)
		                ? MESSAGE_SOUND
		                : MESSAGE_BAD_HEADER;
		if (fault == MESSAGE_SOUND && msg_extract_errors(msg) == 0)
			remember_all(message);
	}
	msg_destroy(msg);
	return fault;
}

enum message_fault judge_message(const struct message *message)
{
	return judge_lines(message) ? MESSAGE_SOUND : judge_whole(message);
}
