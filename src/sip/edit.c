/*
 * Editing a message, and printing it. All edits are of the line table; text that is new lives in
 * the message's room. Whatever fails leaves a message that can still be destroyed.
 */
#include <stdio.h>

#include "base/error.h"
#include "base/memory.h"
#include "sip/message.h"
#include "sip_internal.h"

/* Lines to have in hand at either end when the table grows. */
#define LINES_STEP 16

/* ---- the table ---- */

static int table_grow(struct message *message)
{
	unsigned capacity = message->count + 2 * LINES_STEP;
	struct line *table = memory_alloc(capacity * sizeof(*table));

	if (table == NULL)
		return -ENOMEM;
	memcpy(table + LINES_STEP, message_lines(message), message->count * sizeof(*table));
	memory_free(message->own_lines);
	message->own_lines = message->lines = table;
	message->first = LINES_STEP;
	message->capacity = capacity;
	return 0;
}

/* Opens room for `lines` more in front of everything. */
static int table_open_front(struct message *message, unsigned lines)
{
	int err;

	while (message->first < lines) {
		if (lines > LINES_STEP)
			return -E2BIG;
		err = table_grow(message);
		if (err != 0)
			return err;
	}
	message->first -= lines;
	message->count += lines;
	return 0;
}

static int table_open_back(struct message *message)
{
	int err;

	if (message->first + message->count == message->capacity) {
		err = table_grow(message);
		if (err != 0)
			return err;
	}
	message->count++;
	return 0;
}

void line_remove(struct message *message, struct line *line)
{
	struct line *end = message_lines(message) + message->count;

	memmove(line, line + 1, (size_t)(end - line - 1) * sizeof(*line));
	message->count--;
}

/* ---- text ---- */

/* Puts the pieces together in the message's room. */
static int write_pieces(struct message *message, const struct slice *pieces, unsigned count,
                        struct slice *out)
{
	size_t length = 0;
	char *at;

	for (unsigned i = 0; i < count; i++)
		length += pieces[i].length;
	at = message_room(message, length);
	if (at == NULL)
		return -ENOMEM;
	*out = slice_of(at, length);
	for (unsigned i = 0; i < count; i++) {
		if (pieces[i].length > 0)
			memcpy(at, pieces[i].data, pieces[i].length);
		at += pieces[i].length;
	}
	return 0;
}

static int write_line(struct message *message, struct slice name, struct slice value,
                      struct slice *out)
{
	const struct slice pieces[] = {name, SLICE_LITERAL(": "), value, SLICE_LITERAL("\r\n")};

	return write_pieces(message, pieces, ARRAY_LENGTH(pieces), out);
}

static struct slice write_uint(char text[24], uint64_t number)
{
	char *at = text + 24;

	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number != 0);
	return slice_of(at, (size_t)(text + 24 - at));
}

/* ---- adding ---- */

int message_prepend(struct message *message, const char *name, struct slice value)
{
	struct slice text;
	int err;

	err = write_line(message, slice_from_string(name), value, &text);
	if (err == 0)
		err = table_open_front(message, 1);
	if (err == 0)
		line_read(text, message_lines(message));
	return err;
}

int message_append(struct message *message, const char *name, struct slice value)
{
	struct slice text;
	int err;

	err = write_line(message, slice_from_string(name), value, &text);
	if (err == 0)
		err = table_open_back(message);
	if (err == 0)
		line_read(text, message_lines(message) + message->count - 1);
	return err;
}

int message_prepend_lines(struct message *message, struct slice lines)
{
	struct slice copy, rest;
	unsigned count = 0;
	int err;

	err = write_pieces(message, &lines, 1, &copy);
	if (err != 0)
		return err;
	for (rest = copy; rest.length > 0; count++)
		line_next(&rest);
	err = table_open_front(message, count);
	if (err != 0)
		return err;
	rest = copy;
	for (unsigned i = 0; i < count; i++)
		line_read(line_next(&rest), message_lines(message) + i);
	return 0;
}

/* ---- removing ---- */

/* More names than any table of headers to strip has; those beyond take another walk. */
#define NAMES_A_WALK 48

static void remove_each(struct message *message, const struct slice *names, unsigned count,
                        uint64_t lengths)
{
	struct line *line = message_lines(message), *kept = line, *end = line + message->count;

	for (; line < end; line++) {
		unsigned i = count;

		/* Most lines have a name as long as none of the table. */
		if ((lengths >> (line->name.length & 63) & 1) != 0) {
			for (i = 0; i < count && !line_is_named(line, names[i]);)
				i++;
		}
		if (i < count)
			continue;
		if (kept != line)
			*kept = *line;
		kept++;
	}
	message->count = (unsigned)(kept - message_lines(message));
}

int message_remove_each(struct message *message, const char *const *names, unsigned count)
{
	struct slice wanted[NAMES_A_WALK];

	while (count > 0) {
		unsigned now = count < NAMES_A_WALK ? count : NAMES_A_WALK;
		uint64_t lengths = 0;

		for (unsigned i = 0; i < now; i++) {
			wanted[i] = slice_from_string(names[i]);
			lengths |= UINT64_C(1) << (wanted[i].length & 63);
		}
		remove_each(message, wanted, now, lengths);
		names += now;
		count -= now;
	}
	return 0;
}

/* Half of the lines of an ordinary message. */
#define ALWAYS_KEPT                                                                                \
	(1u << LINE_VIA | 1u << LINE_FROM | 1u << LINE_TO | 1u << LINE_CALL_ID | 1u << LINE_CSEQ | \
	 1u << LINE_MAX_FORWARDS | 1u << LINE_CONTENT_LENGTH)

void message_keep(struct message *message, message_keep_fn *keep, void *arg)
{
	struct line *line = message_lines(message), *kept = line, *end = line + message->count;

	for (; line < end; line++) {
		if ((ALWAYS_KEPT >> line->kind & 1) == 0 && !keep(arg, line->name, line->value))
			continue;
		if (kept != line)
			*kept = *line;
		kept++;
	}
	message->count = (unsigned)(kept - message_lines(message));
}

int message_remove(struct message *message, const char *name)
{
	return message_remove_each(message, &name, 1);
}

int line_rewrite(struct message *message, struct line *line, struct slice value)
{
	struct slice text;
	int err;

	err = write_line(message, line->name, value, &text);
	if (err == 0)
		line_read(text, line);
	return err;
}

int message_pop(struct message *message, enum sip_header header)
{
	struct line *line;
	struct slice rest, value;

	while ((line = message_line(message, (enum line_kind)header, NULL)) != NULL) {
		bool popped;

		rest = line->value;
		popped = value_next(&rest, &value);
		rest = slice_trim(rest);
		if (popped && rest.length > 0)
			return line_rewrite(message, line, rest);
		line_remove(message, line);
		if (popped)
			return 0;
	}
	return 0;
}

int message_pop_last(struct message *message, enum sip_header header)
{
	struct line *line = NULL, *last = NULL;
	struct slice rest, value, kept;
	size_t before = 0;

	while ((line = message_line(message, (enum line_kind)header, line)) != NULL)
		last = line++;
	if (last == NULL)
		return 0;
	rest = last->value;
	while (value_next(&rest, &value))
		before = (size_t)(value.data - last->value.data);
	kept = slice_trim(slice_of(last->value.data, before));
	while (kept.length > 0 && kept.data[kept.length - 1] == ',')
		kept = slice_trim(slice_of(kept.data, kept.length - 1));
	if (kept.length > 0)
		return line_rewrite(message, last, kept);
	line_remove(message, last);
	return 0;
}

/* ---- changing ---- */

/* The line that holds value `index`; *value is that value. NULL: no such. */
static struct line *line_of_value(struct message *message, enum sip_header header, unsigned index,
                                  struct slice *value)
{
	struct line *line = NULL;

	while ((line = message_line(message, (enum line_kind)header, line)) != NULL) {
		struct slice rest = line->value;

		while (value_next(&rest, value)) {
			if (index-- == 0)
				return line;
		}
		line++;
	}
	return NULL;
}

int message_add_uri_param(struct message *message, enum sip_header header, unsigned index,
                          const char *name, struct slice value)
{
	struct name_addr address;
	struct slice found, text;
	struct line *line = line_of_value(message, header, index, &found);
	size_t at;
	int err;

	if (line == NULL || !name_addr_parse(found, &address))
		return 0;
	at = (size_t)(address.uri.text.data + address.uri.text.length - line->value.data);
	if (at >= line->value.length || line->value.data[at] != '>')
		return 0;
	{
		const struct slice pieces[] = {line->name,
		                               SLICE_LITERAL(": "),
		                               slice_of(line->value.data, at),
		                               SLICE_LITERAL(";"),
		                               slice_from_string(name),
		                               SLICE_LITERAL("="),
		                               value,
		                               slice_skip(line->value, at),
		                               SLICE_LITERAL("\r\n")};

		err = write_pieces(message, pieces, ARRAY_LENGTH(pieces), &text);
	}
	if (err == 0)
		line_read(text, line);
	return err;
}

int message_set_request_uri(struct message *message, struct slice uri)
{
	const struct slice pieces[] = {message->method_text, SLICE_LITERAL(" "), uri,
	                               SLICE_LITERAL(" SIP/2.0\r\n")};
	struct slice start;
	int err;

	err = write_pieces(message, pieces, ARRAY_LENGTH(pieces), &start);
	if (err != 0)
		return err;
	message->start = start;
	message->request_uri = slice_of(start.data + message->method_text.length + 1, uri.length);
	return 0;
}

int message_set_max_forwards(struct message *message, unsigned hops)
{
	struct line *line = message_line(message, LINE_MAX_FORWARDS, NULL);
	char digits[24];
	struct slice value = write_uint(digits, hops);
	int err;

	if (line != NULL)
		err = line_rewrite(message, line, value);
	else
		err = message_append(message, "Max-Forwards", value);
	if (err == 0)
		message->max_forwards = (int)hops;
	return err;
}

/* The parameters of a Via value but received and rport, each with its ';'. */
static int write_other_params(struct message *message, struct slice params, struct slice *out)
{
	/* A ';' stood before each of them already, so they cannot get longer. */
	char *at = message_room(message, params.length + 1), *begin = at;
	struct param param;

	if (at == NULL)
		return -ENOMEM;
	while (params_next(&params, &param)) {
		if (slice_equal_nocase(param.name, SLICE_LITERAL("received")) ||
		    slice_equal_nocase(param.name, SLICE_LITERAL("rport")))
			continue;
		*at++ = ';';
		memcpy(at, param.text.data, param.text.length);
		at += param.text.length;
	}
	*out = slice_of(begin, (size_t)(at - begin));
	return 0;
}

/* The first value of the line anew, with what we know of its sender; `rest` are the other values. */
static int mark_via(struct message *message, struct line *line, struct slice value,
                    struct slice rest, struct slice received, struct slice rport)
{
	size_t cut = value_skip(value, 0, ';');
	struct slice params, text;
	int err;

	err = write_other_params(message, slice_skip(value, cut), &params);
	if (err != 0)
		return err;
	const struct slice pieces[] = {
		SLICE_LITERAL("Via: "),
		slice_trim(slice_of(value.data, cut)),
		params,
		received.length > 0 ? SLICE_LITERAL(";received=") : SLICE_NONE,
		received,
		rport.length > 0 ? SLICE_LITERAL(";rport=") : SLICE_NONE,
		rport,
		rest.length > 0 ? SLICE_LITERAL(", ") : SLICE_NONE,
		rest,
		SLICE_LITERAL("\r\n"),
	};
	err = write_pieces(message, pieces, ARRAY_LENGTH(pieces), &text);
	if (err != 0)
		return err;
	line_read(text, line);
	if (message->sound) /* every response will bring it back */
		judge_trust(text);
	/* The reading of it, too: nothing else has changed, and the old text is still there. */
	message->top_via.of = line->value.data;
	message->top_via.via.received = SLICE_NONE;
	if (received.length > 0)
		message->top_via.via.received = slice_of(line->value.data + pieces[1].length +
		                                                 params.length + pieces[3].length,
		                                         received.length);
	return 0;
}

int message_mark_received(struct message *message, const struct address *source)
{
	struct line *line = message_line(message, LINE_VIA, NULL);
	struct slice rest, value, received = SLICE_NONE, rport = SLICE_NONE;
	char host[ADDRESS_TEXT_MAX], digits[24];
	struct address sent_by;
	struct via via;
	bool differs;
	int err;

	if (line == NULL)
		return 0;
	rest = line->value;
	if (!message_via(message, 0, &via) || !value_next(&rest, &value))
		return 0;
	differs =
		!address_parse_host(via.host, 0, &sent_by) || !address_equal_host(&sent_by, source);
	/* Nothing to say, and nothing said by the sender that would be believed as ours. */
	if (!differs && !via.has_rport && via.received.length == 0)
		return 0;
	if (differs || via.has_rport) { /* RFC 3581 4: with rport, always received */
		received = slice_from_string(address_format_host(source, host));
		/* RFC 5118 4.5: received goes without brackets. */
		if (received.length > 2 && received.data[0] == '[')
			received = slice_of(received.data + 1, received.length - 2);
	}
	if (via.has_rport)
		rport = write_uint(digits, address_port(source));
	err = mark_via(message, line, value, slice_trim(rest), received, rport);
	if (err == 0 && via.has_rport)
		message->top_via.via.rport = address_port(source);
	return err;
}

int message_set_via_keep(struct message *message, unsigned seconds)
{
	struct line *line = message_line(message, LINE_VIA, NULL);
	struct slice all, rest, value, params, text;
	struct param param;
	char digits[24];
	size_t cut;
	int err;

	if (line == NULL)
		return 0;
	all = rest = line->value;
	if (!value_next(&rest, &value))
		return 0;
	params = slice_skip(value, value_skip(value, 0, ';'));
	do {
		if (!params_next(&params, &param))
			return 0;
	} while (!slice_equal_nocase(param.text, SLICE_LITERAL("keep")));
	cut = (size_t)(param.text.data + param.text.length - all.data);
	const struct slice pieces[] = {
		SLICE_LITERAL("Via: "),      slice_of(all.data, cut), SLICE_LITERAL("="),
		write_uint(digits, seconds), slice_skip(all, cut),    SLICE_LITERAL("\r\n"),
	};
	err = write_pieces(message, pieces, ARRAY_LENGTH(pieces), &text);
	if (err == 0)
		line_read(text, line);
	return err;
}

/* ---- printing ---- */

struct bytes *message_serialize(struct message *message, bool with_length)
{
	const struct line *lines = message_lines(message);
	char length_line[40] = "\r\n";
	size_t tail = 2, total;
	struct bytes *bytes;
	char *at;

	if (with_length && message_line(message, LINE_CONTENT_LENGTH, NULL) == NULL)
		tail = (size_t)snprintf(length_line, sizeof(length_line),
		                        "Content-Length: %zu\r\n\r\n", message->body.length);
	total = message->start.length + tail + message->body.length;
	for (unsigned i = 0; i < message->count; i++)
		total += lines[i].text.length;
	bytes = bytes_create(total);
	if (bytes == NULL)
		return NULL;
	at = bytes->data;
	memcpy(at, message->start.data, message->start.length);
	at += message->start.length;
	for (unsigned i = 0; i < message->count; i++) {
		memcpy(at, lines[i].text.data, lines[i].text.length);
		at += lines[i].text.length;
	}
	memcpy(at, length_line, tail);
	at += tail;
	if (message->body.length > 0)
		memcpy(at, message->body.data, message->body.length);
	return bytes;
}
