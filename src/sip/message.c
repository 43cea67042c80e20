/*
 * A message from its bytes: copy, cut into lines, check what must be there, let the grammar be
 * judged. One holder, one worker. RFC 3261 7, 8.1.1, 16.3 step 1, 18.3.
 */
#include "sip/message.h"

#include "base/error.h"
#include "base/memory.h"
#include "sip_internal.h"

/* Room in the table for the lines a proxy adds: Via, two Record-Route, Path, identities. */
#define LINES_BEFORE 8
#define LINES_BEHIND 8
/* Room for their text, and for a request line and a Via written anew. */
#define ROOM_BYTES 1024
/* A refused message is read no further than this for the lines of an answer. */
#define REFUSED_LINES_MAX 2048
/* More Vias than Max-Forwards allows hops, more Contacts than a registrar gives out: bounds the
 * walks to the n-th value. */
#define VALUES_MAX 128

static const char *const method_names[METHODS] = {
	[METHOD_REGISTER] = "REGISTER",
	[METHOD_INVITE] = "INVITE",
	[METHOD_ACK] = "ACK",
	[METHOD_CANCEL] = "CANCEL",
	[METHOD_BYE] = "BYE",
	[METHOD_OPTIONS] = "OPTIONS",
	[METHOD_PRACK] = "PRACK",
	[METHOD_UPDATE] = "UPDATE",
	[METHOD_INFO] = "INFO",
	[METHOD_MESSAGE] = "MESSAGE",
	[METHOD_SUBSCRIBE] = "SUBSCRIBE",
	[METHOD_NOTIFY] = "NOTIFY",
	[METHOD_PUBLISH] = "PUBLISH",
	[METHOD_REFER] = "REFER",
	[METHOD_OTHER] = "other",
};

static const char *const fault_names[MESSAGE_FAULTS] = {
	[MESSAGE_SOUND] = "sound",
	[MESSAGE_GUARDED] = "guarded",
	[MESSAGE_UNPARSABLE] = "unparsable",
	[MESSAGE_BAD_VERSION] = "bad_version",
	[MESSAGE_BAD_HEADER] = "bad_header",
	[MESSAGE_MISSING_HEADER] = "missing_header",
	[MESSAGE_DUPLICATE_HEADER] = "duplicate_header",
	[MESSAGE_CSEQ_MISMATCH] = "cseq_mismatch",
	[MESSAGE_BAD_LENGTH] = "bad_length",
	[MESSAGE_BAD_STATUS] = "bad_status",
	[MESSAGE_NO_MEMORY] = "no_memory",
};

const char *method_name(enum sip_method method)
{
	return (unsigned)method < METHODS ? method_names[method] : "other";
}

/* Methods are case-sensitive (7.1). */
static enum sip_method method_from_text(struct slice text)
{
	for (int i = 0; i < METHOD_OTHER; i++) {
		if (slice_equal(text, slice_from_string(method_names[i])))
			return (enum sip_method)i;
	}
	return METHOD_OTHER;
}

const char *message_fault_name(enum message_fault fault)
{
	return (unsigned)fault < MESSAGE_FAULTS ? fault_names[fault] : "unknown";
}

int message_fault_status(enum message_fault fault, const char **reason)
{
	switch (fault) {
	case MESSAGE_BAD_VERSION:
		*reason = "Version Not Supported";
		return 505;
	case MESSAGE_NO_MEMORY:
		*reason = "Server Internal Error";
		return 500;
	case MESSAGE_GUARDED:
		*reason = "Bad Request (Limit Exceeded)";
		return 400;
	case MESSAGE_MISSING_HEADER:
		*reason = "Bad Request (Missing Header)";
		return 400;
	case MESSAGE_DUPLICATE_HEADER:
		*reason = "Bad Request (Duplicate Header)";
		return 400;
	case MESSAGE_CSEQ_MISMATCH:
		*reason = "Bad Request (CSeq Mismatch)";
		return 400;
	case MESSAGE_BAD_LENGTH:
		*reason = "Bad Request (Content-Length)";
		return 400;
	default:
		*reason = "Bad Request";
		return 400;
	}
}

int message_system_init(void)
{
	return judge_init();
}

/* ---- the block ---- */

static int message_create(struct slice bytes, unsigned lines, struct message **out)
{
	unsigned capacity = lines + LINES_BEFORE + LINES_BEHIND;
	size_t table = capacity * sizeof(struct line);
	struct message *message;

	message = memory_alloc(sizeof(*message) + table + bytes.length + ROOM_BYTES);
	if (message == NULL)
		return -ENOMEM;
	*message = (struct message){
		.method = METHOD_OTHER,
		.max_forwards = -1,
		.lines = (struct line *)(message + 1),
		.first = LINES_BEFORE,
		.capacity = capacity,
		.raw_length = bytes.length,
		.room_left = ROOM_BYTES,
	};
	message->raw = (char *)message->lines + table;
	message->room = message->raw + bytes.length;
	memcpy(message->raw, bytes.data, bytes.length);
	*out = message;
	return 0;
}

void message_destroy(struct message **message)
{
	struct text_block *block;

	if (*message == NULL)
		return;
	while ((block = (*message)->blocks) != NULL) {
		(*message)->blocks = block->next;
		memory_free(block);
	}
	memory_free((*message)->own_lines);
	memory_free(*message);
	*message = NULL;
}

char *message_room(struct message *message, size_t length)
{
	struct text_block *block;
	char *room = message->room;

	if (length <= message->room_left) {
		message->room += length;
		message->room_left -= length;
		return room;
	}
	block = memory_alloc(sizeof(*block) + length);
	if (block == NULL)
		return NULL;
	block->next = message->blocks;
	message->blocks = block;
	return block->data;
}

struct line *message_line(const struct message *message, enum line_kind kind,
                          const struct line *from)
{
	struct line *line = message_lines(message), *end = line + message->count;

	if (from != NULL)
		line += from - line;
	for (; line < end; line++) {
		if (line->kind == kind)
			return line;
	}
	return NULL;
}

/* ---- lines ---- */

/* 7.3.1: a fold is as good as a blank. Written as blanks at once, so that nobody behind us can
 * read the lines otherwise than we did; as many bytes as before. */
static struct slice take_header(struct slice *rest)
{
	struct slice text = line_next(rest);

	while (rest->length > 0 && (rest->data[0] == ' ' || rest->data[0] == '\t')) {
		char *crlf = (char *)text.data + text.length - 2;

		crlf[0] = crlf[1] = ' ';
		text.length += line_next(rest).length;
	}
	return text;
}

static enum message_fault index_lines(struct message *message, size_t header_bytes)
{
	struct slice rest = slice_of(message->raw, header_bytes - 2);
	enum message_fault fault = MESSAGE_SOUND;

	message->start = take_header(&rest);
	while (rest.length > 0) {
		struct line *line = message_lines(message) + message->count++;

		/* 16.3 would let a broken header pass that we do not need; a line that has no name
		 * at all may be read as anything by the next element, so it stops here. */
		if (!line_read(take_header(&rest), line))
			fault = MESSAGE_BAD_HEADER;
	}
	message->body = slice_of(message->raw + header_bytes, message->raw_length - header_bytes);
	return fault;
}

/* What an answer needs of a message that the guard refused. */
static void index_refused(struct message *message, unsigned lines_max)
{
	struct slice rest = slice_of(message->raw, message->raw_length);

	message->start = line_next(&rest);
	while (rest.length > 0 && message->count < lines_max) {
		struct line line;

		if (rest.data[0] == '\r')
			break;
		if (line_read(take_header(&rest), &line))
			message_lines(message)[message->count++] = line;
	}
}

/* ---- start line ---- */

/* "SIP" "/" 1*DIGIT "." 1*DIGIT and not a byte more. */
static bool version_read(struct slice text, bool *is_current)
{
	struct slice minor, major;
	uint64_t number;

	if (!slice_starts_with_nocase(text, SLICE_LITERAL("SIP/")))
		return false;
	major = slice_split(slice_skip(text, 4), '.', &minor);
	if (!slice_to_uint(major, UINT16_MAX, &number) ||
	    !slice_to_uint(minor, UINT16_MAX, &number))
		return false;
	*is_current = slice_equal(slice_skip(text, 4), SLICE_LITERAL("2.0"));
	return true;
}

static enum message_fault read_status_line(struct message *message, struct slice line)
{
	struct slice rest, version = slice_split(line, ' ', &rest);
	struct slice code = slice_split(rest, ' ', &rest);
	bool is_current;
	uint64_t status;

	if (!version_read(version, &is_current))
		return MESSAGE_UNPARSABLE;
	if (!is_current)
		return MESSAGE_BAD_VERSION;
	if (code.length != 3 || !slice_to_uint(code, 699, &status) || status < 100)
		return MESSAGE_BAD_STATUS;
	message->status = (int)status;
	return MESSAGE_SOUND;
}

static enum message_fault read_request_line(struct message *message, struct slice line)
{
	struct slice rest, version;
	bool is_current;

	message->is_request = true;
	message->method_text = slice_split(line, ' ', &rest);
	if (!slice_is_token(message->method_text)) {
		message->method_text = SLICE_NONE;
		return MESSAGE_UNPARSABLE;
	}
	message->method = method_from_text(message->method_text);
	/* 7.1: one SP each, none in the URI, nothing behind the version. */
	message->request_uri = slice_split(rest, ' ', &version);
	if (message->request_uri.length == 0 || !version_read(version, &is_current))
		return MESSAGE_UNPARSABLE;
	return is_current ? MESSAGE_SOUND : MESSAGE_BAD_VERSION;
}

static enum message_fault read_start_line(struct message *message)
{
	struct slice line = message->start;

	while (line.length > 0 &&
	       (line.data[line.length - 1] == '\n' || line.data[line.length - 1] == '\r'))
		line.length--;
	if (slice_starts_with_nocase(line, SLICE_LITERAL("SIP/")))
		return read_status_line(message, line);
	return read_request_line(message, line);
}

/* ---- what must be there ---- */

bool cseq_parse(struct slice value, uint32_t *number, struct slice *method)
{
	uint64_t n;
	size_t i = 0;

	while (i < value.length && !slice_is_blank(value.data[i]))
		i++;
	*method = slice_trim(slice_skip(value, i));
	/* 8.1.1.5 says less than 2**31; senders in the field do not know. */
	if (!slice_to_uint(slice_of(value.data, i), UINT32_MAX, &n) || !slice_is_token(*method))
		return false;
	*number = (uint32_t)n;
	return true;
}

static enum message_fault check_presence(const struct message *message)
{
	static const enum line_kind mandatory[] = {LINE_FROM, LINE_TO, LINE_CALL_ID, LINE_CSEQ};
	unsigned seen[LINE_KINDS] = {0};

	for (unsigned i = 0; i < message->count; i++)
		seen[message_lines(message)[i].kind]++;
	if (seen[HEADER_VIA] == 0)
		return MESSAGE_MISSING_HEADER;
	for (size_t i = 0; i < ARRAY_LENGTH(mandatory); i++) {
		if (seen[mandatory[i]] == 0)
			return MESSAGE_MISSING_HEADER;
	}
	for (size_t i = 0; i < ARRAY_LENGTH(mandatory); i++) {
		if (seen[mandatory[i]] > 1)
			return MESSAGE_DUPLICATE_HEADER;
	}
	if (seen[LINE_MAX_FORWARDS] > 1)
		return MESSAGE_DUPLICATE_HEADER;
	return seen[LINE_CONTENT_LENGTH] > 1 ? MESSAGE_BAD_LENGTH : MESSAGE_SOUND;
}

/* 18.3: what a datagram has beyond the length is no part of the message; too little is an error. */
static enum message_fault check_length(struct message *message)
{
	const struct line *line = message_line(message, LINE_CONTENT_LENGTH, NULL);
	uint64_t length;

	if (line == NULL)
		return MESSAGE_SOUND;
	if (!slice_to_uint(line->value, message->body.length, &length))
		return MESSAGE_BAD_LENGTH;
	message->body.length = length;
	return MESSAGE_SOUND;
}

static enum message_fault read_tags(struct message *message)
{
	const struct line *from = message_line(message, LINE_FROM, NULL);
	const struct line *to = message_line(message, LINE_TO, NULL);
	struct name_addr address;

	if (!name_addr_parse(from->value, &address) ||
	    !name_addr_parse(to->value, &message->read_to.address))
		return MESSAGE_BAD_HEADER;
	message->read_to.of = to->value.data;
	name_addr_param(&address, "tag", &message->from_tag);
	name_addr_param(&message->read_to.address, "tag", &message->to_tag);
	return MESSAGE_SOUND;
}

static enum message_fault read_cseq(struct message *message)
{
	struct slice method;

	if (!cseq_parse(message_line(message, LINE_CSEQ, NULL)->value, &message->cseq, &method))
		return MESSAGE_BAD_HEADER;
	if (message->is_request)
		return slice_equal(method, message->method_text) ? MESSAGE_SOUND
		                                                 : MESSAGE_CSEQ_MISMATCH;
	message->method_text = method;
	message->method = method_from_text(method);
	return MESSAGE_SOUND;
}

static enum message_fault read_max_forwards(struct message *message)
{
	const struct line *line = message_line(message, LINE_MAX_FORWARDS, NULL);
	uint64_t hops;

	if (line == NULL)
		return MESSAGE_SOUND;
	/* 20.22 ends at 255; more is forgiven, and brought down to it by whoever decrements. */
	if (!slice_to_uint(line->value, UINT32_MAX, &hops))
		return message->is_request ? MESSAGE_BAD_HEADER : MESSAGE_SOUND;
	message->max_forwards = hops > 255 ? 255 : (int)hops;
	return MESSAGE_SOUND;
}

static enum message_fault read_values(struct message *message)
{
	enum message_fault fault;
	struct via via;

	message->call_id = message_line(message, LINE_CALL_ID, NULL)->value;
	if (message->call_id.length == 0 || !message_via(message, 0, &via))
		return MESSAGE_BAD_HEADER;
	fault = read_cseq(message);
	if (fault == MESSAGE_SOUND)
		fault = read_tags(message);
	if (fault == MESSAGE_SOUND)
		fault = read_max_forwards(message);
	return fault;
}

/* Lines and commas are an upper bound of the values, and cheaper than they. */
static bool has_too_many_values(const struct message *message)
{
	unsigned values[HEADERS] = {0};

	for (unsigned i = 0; i < message->count; i++) {
		const struct line *line = &message_lines(message)[i];
		const char *at, *end;

		if (line->kind >= (enum line_kind)HEADERS)
			continue;
		values[line->kind]++;
		at = line->value.data;
		end = at + line->value.length;
		while (at < end && (at = memchr(at, ',', (size_t)(end - at))) != NULL) {
			values[line->kind]++;
			at++;
		}
		if (values[line->kind] > VALUES_MAX)
			return true;
	}
	return false;
}

static enum message_fault examine(struct message *message, enum guard_verdict *verdict)
{
	enum message_fault fault = read_start_line(message);

	if (fault == MESSAGE_SOUND && has_too_many_values(message)) {
		*verdict = GUARD_TOO_MANY_ITEMS;
		fault = MESSAGE_GUARDED;
	}
	if (fault == MESSAGE_SOUND)
		fault = check_presence(message);
	if (fault == MESSAGE_SOUND)
		fault = check_length(message);
	if (fault == MESSAGE_SOUND)
		fault = read_values(message);
	if (fault == MESSAGE_SOUND)
		fault = judge_message(message);
	return fault;
}

/* 8.2.6: an answer finds its way by the Via alone; what else is there is copied, what is not cannot
 * be. Nothing is ever answered to an ACK or a response. */
static bool is_answerable(const struct message *message)
{
	struct via via;

	return message->is_request && message->method_text.length > 0 &&
	       message->method != METHOD_ACK && message_via(message, 0, &via);
}

static void give_if_answerable(struct message **message, struct message **out)
{
	if (is_answerable(*message))
		*out = *message;
	else
		message_destroy(message);
}

/* Of what 8.2.6.2 copies. A CR that is followed by LF belongs to a fold. */
static bool answer_would_carry_cr(const struct message *message)
{
	static const enum line_kind copied[] = {LINE_VIA, LINE_FROM, LINE_TO, LINE_CALL_ID,
	                                        LINE_CSEQ};

	for (size_t i = 0; i < ARRAY_LENGTH(copied); i++) {
		const struct line *line = NULL;

		while ((line = message_line(message, copied[i], line)) != NULL) {
			const char *at = line->text.data, *end = at + line->text.length;

			while (at < end && (at = memchr(at, '\r', (size_t)(end - at))) != NULL) {
				if (at + 1 == end || at[1] != '\n')
					return true;
				at++;
			}
			line++;
		}
	}
	return false;
}

static enum message_fault parse_refused(struct slice bytes, const struct guard_scan *scan,
                                        struct message **out)
{
	unsigned lines = scan->lines < REFUSED_LINES_MAX ? scan->lines : REFUSED_LINES_MAX;
	struct message *message;

	/* Not worth an answer: no end, or line ends that each element sees elsewhere. A CR alone ends a line for
	 * some, but may be answered if our answer does not carry it on. */
	switch (scan->verdict) {
	case GUARD_TOO_MANY_HEADERS:
	case GUARD_HEADER_TOO_LONG:
	case GUARD_TOO_MANY_ITEMS:
	case GUARD_NUL:
	case GUARD_BARE_CR:
		break;
	default:
		return MESSAGE_GUARDED;
	}
	if (scan->header_bytes == 0)
		return MESSAGE_GUARDED;
	if (message_create(slice_of(bytes.data, scan->header_bytes), lines, &message) != 0)
		return MESSAGE_NO_MEMORY;
	index_refused(message, lines);
	read_start_line(message);
	if (scan->verdict == GUARD_BARE_CR && answer_would_carry_cr(message))
		message_destroy(&message);
	else
		give_if_answerable(&message, out);
	return MESSAGE_GUARDED;
}

enum message_fault message_parse(struct slice bytes, size_t limit_bytes, struct message **out,
                                 enum guard_verdict *verdict)
{
	enum message_fault fault, lines_fault;
	struct message *message;
	struct guard_scan scan;

	*out = NULL;
	while (bytes.length > 0 && (bytes.data[0] == '\r' || bytes.data[0] == '\n'))
		bytes = slice_skip(bytes, 1);
	guard_scan(bytes, limit_bytes, &scan);
	*verdict = scan.verdict;
	if (scan.verdict != GUARD_PASS)
		return parse_refused(bytes, &scan, out);
	if (message_create(bytes, scan.lines, &message) != 0)
		return MESSAGE_NO_MEMORY;
	lines_fault = index_lines(message, scan.header_bytes);
	fault = examine(message, verdict);
	if (fault == MESSAGE_SOUND)
		fault = lines_fault;
	if (fault == MESSAGE_SOUND) {
		message->sound = true;
		*out = message;
	} else {
		give_if_answerable(&message, out);
	}
	return fault;
}
