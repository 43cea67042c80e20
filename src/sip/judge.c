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
 * instructions. Require and its kin are read from the text by us, Content-Length was. A response is
 * forwarded even if a header is broken that only its receiver needs. */
#define JUDGED_IN_RESPONSE                                                                         \
	(1u << LINE_VIA | 1u << LINE_FROM | 1u << LINE_TO | 1u << LINE_CALL_ID | 1u << LINE_CSEQ)
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
#define LINES_KNOWN 8192
static _Thread_local uint64_t lines_known[LINES_KNOWN];
/* Lines of one message whose hashes are kept; the ones behind them are shown each time. */
#define LINES_HASHED 64

static const msg_mclass_t *header_class;

int judge_init(void)
{
	/* Content-Length must be there, for sofia looks for the body by it. */
	static const char *const known[] = {
		"Via",     "Route", "Record-Route", "Max-Forwards", "From",
		"Call-ID", "To",    "CSeq",         "Contact",      "Content-Length",
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

/* What is looked at in one message. */
struct hearing {
	const struct message *message;
	uint32_t kinds;                 /* bits of enum line_kind */
	uint64_t start_hash;
	uint64_t hashes[LINES_HASHED];  /* of lines that are judged, by their place in the table */
	bool is_known[LINES_HASHED];
	bool knows_start;
	unsigned unknown;               /* lines to be shown */
};

static bool is_known(uint64_t hash)
{
	return hash != 0 && lines_known[hash % LINES_KNOWN] == hash;
}

static void hearing_begin(struct hearing *hearing, const struct message *message)
{
	const struct line *lines = message_lines(message);

	hearing->message = message;
	hearing->kinds = message->is_request ? JUDGED_IN_REQUEST : JUDGED_IN_RESPONSE;
	hearing->start_hash = hash_slice(message->start);
	hearing->knows_start = is_known(hearing->start_hash);
	hearing->unknown = 0;
	for (unsigned i = 0; i < message->count; i++) {
		if ((hearing->kinds >> lines[i].kind & 1) == 0)
			continue;
		if (i < LINES_HASHED) {
			hearing->hashes[i] = hash_slice(lines[i].text);
			hearing->is_known[i] = is_known(hearing->hashes[i]);
		}
		if (i >= LINES_HASHED || !hearing->is_known[i])
			hearing->unknown++;
	}
}

static bool is_shown(const struct hearing *hearing, unsigned i, bool all)
{
	const struct line *line = &message_lines(hearing->message)[i];

	return (hearing->kinds >> line->kind & 1) != 0 &&
	       (all || i >= LINES_HASHED || !hearing->is_known[i]);
}

static void learn(const struct hearing *hearing)
{
	const struct message *message = hearing->message;

	lines_known[hearing->start_hash % LINES_KNOWN] = hearing->start_hash;
	for (unsigned i = 0; i < message->count && i < LINES_HASHED; i++) {
		if (is_shown(hearing, i, false))
			lines_known[hearing->hashes[i] % LINES_KNOWN] = hearing->hashes[i];
	}
}

void judge_trust(struct slice line)
{
	uint64_t hash = hash_slice(line);

	lines_known[hash % LINES_KNOWN] = hash;
}

static char *put_start(char *at, const struct message *message, bool is_other)
{
	if (!is_other || !message->is_request)
		return put(at, message->start);
	at = put(at, SLICE_LITERAL(STAND_IN));
	return put(at, slice_skip(message->start, message->method_text.length));
}

/* Stands for a start line that is known. */
#define START_KNOWN "SIP/2.0 200 OK\r\n"

/* The start line and the lines that are judged, as a message of their own; NULL: out of memory.
 * One byte is spare behind it, which sofia wants. */
static char *write_extract(su_home_t *home, const struct hearing *hearing, bool all, size_t *length)
{
	const struct message *message = hearing->message;
	const struct line *lines = message_lines(message);
	bool is_other = message->method == METHOD_OTHER;
	size_t most = message->start.length + sizeof(START_KNOWN) + 2 * sizeof(STAND_IN) + 4;
	char *text, *at;

	for (unsigned i = 0; i < message->count; i++) {
		if (is_shown(hearing, i, all))
			most += lines[i].text.length;
	}
	su_home_preload(home, 1, (isize_t)(ARENA_BYTES + 2 * most));
	text = at = su_alloc(home, (isize_t)most);
	if (text == NULL)
		return NULL;
	at = all ? put_start(at, message, is_other) : put(at, SLICE_LITERAL(START_KNOWN));
	for (unsigned i = 0; i < message->count; i++) {
		if (!is_shown(hearing, i, all))
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

/* Were the lines alone, each to be judged by itself? */
static bool is_without_fault(msg_t *msg)
{
	/* 0 says "incomplete", and there will be no more. */
	return msg_extract(msg) == 1 && msg_extract_errors(msg) == 0;
}

static bool is_sound(msg_t *msg, bool is_request)
{
	const sip_t *sip;
	unsigned bad;

	if (msg_extract(msg) != 1)
		return false;
	sip = sip_object(msg);
	/* Broken headers leave rc 1 and only this mask behind. */
	bad = msg_extract_errors(msg);
	bad &= is_request ? sip_mask_request | sip_mask_proxy : sip_mask_response;
	return bad == 0 && sip_sanity_check(sip) == 0 && sip->sip_via != NULL;
}

/* all: the whole message; else, its start line being known, the lines that are not. */
static enum message_fault show(const struct hearing *hearing, bool all)
{
	enum message_fault fault = MESSAGE_NO_MEMORY;
	msg_t *msg = msg_create(header_class, 0);
	size_t length;
	char *text;
	bool sound;

	if (msg == NULL)
		return MESSAGE_NO_MEMORY;
	text = write_extract(msg_home(msg), hearing, all, &length);
	if (text != NULL) {
		msg_buf_set(msg, text, (usize_t)length + 1);
		msg_buf_commit(msg, (usize_t)length, 1);
		sound = all ? is_sound(msg, hearing->message->is_request) : is_without_fault(msg);
		fault = sound ? MESSAGE_SOUND : MESSAGE_BAD_HEADER;
		if (sound && msg_extract_errors(msg) == 0)
			learn(hearing);
	}
	msg_destroy(msg);
	return fault;
}

enum message_fault judge_message(const struct message *message)
{
	struct hearing hearing;

	hearing_begin(&hearing, message);
	if (hearing.knows_start && hearing.unknown == 0)
		return MESSAGE_SOUND;
	if (hearing.knows_start && show(&hearing, false) == MESSAGE_SOUND)
		return MESSAGE_SOUND;
	return show(&hearing, true);
}
