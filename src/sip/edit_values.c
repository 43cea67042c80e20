/*
 * Editing inside of header values: lists, and the parameters of credentials and challenges.
 * RFC 3261 7.3.1, 20.7, 20.44, 25.1.
 */
#include "base/error.h"
#include "sip/message.h"
#include "sip_internal.h"

/* ---- lists ---- */

/* The whole list anew; *same tells that nothing has changed. */
static void write_values(struct slice list, message_write_value_fn *write, void *arg,
                         struct buffer *out, bool *same)
{
	struct slice value;

	*same = true;
	while (value_next(&list, &value)) {
		size_t separator = out->length, start;

		if (separator > 0)
			buffer_append(out, ", ", 2);
		start = out->length;
		write(arg, value, out);
		if (out->failed)
			return;
		if (out->length == start) {
			out->length = separator;
			*same = false;
		} else if (!slice_equal(slice_of(out->data + start, out->length - start), value)) {
			*same = false;
		}
	}
}

static int edit_line(struct message *message, struct line *line, message_write_value_fn *write,
                     void *arg)
{
	struct buffer list;
	bool same;
	int err = 0;

	buffer_init(&list);
	write_values(line->value, write, arg, &list, &same);
	if (list.failed)
		err = -ENOMEM;
	else if (!same && list.length > 0)
		err = line_rewrite(message, line, buffer_slice(&list));
	else if (!same)
		line_remove(message, line);
	buffer_free(&list);
	return err;
}

int message_edit_values(struct message *message, const char *name, message_write_value_fn *write,
                        void *arg)
{
	struct slice wanted = slice_from_string(name);
	int err;

	/* From the last one up: a line that goes moves those below. */
	for (unsigned i = message->count; i-- > 0;) {
		struct line *line = message_lines(message) + i;

		if (!line_is_named(line, wanted))
			continue;
		err = edit_line(message, line, write, arg);
		if (err != 0)
			return err;
	}
	return 0;
}

/* ---- credentials and challenges ---- */

struct param_names {
	const char *const *names;
	unsigned count;
};

static bool is_one_of(struct slice token, const struct param_names *wanted)
{
	for (unsigned i = 0; i < wanted->count; i++) {
		if (slice_equal_nocase(token, slice_from_string(wanted->names[i])))
			return true;
	}
	return false;
}

/* Behind the quoted string that begins at `at`; a quote that never closes is a byte like others, and hides
 * nothing from us. */
static size_t skip_quoted(struct slice s, size_t at)
{
	for (size_t i = at + 1; i < s.length; i++) {
		if (s.data[i] == '\\')
			i++;
		else if (s.data[i] == '"')
			return i + 1;
	}
	return at + 1;
}

static size_t skip_blanks(struct slice s, size_t at)
{
	while (at < s.length && slice_is_blank(s.data[at]))
		at++;
	return at;
}

static size_t skip_token(struct slice s, size_t at)
{
	while (at < s.length && slice_is_token(slice_of(s.data + at, 1)))
		at++;
	return at;
}

/* A token in [from, behind) names a parameter: a value follows, or it stands alone and is none itself. */
static bool is_param_name(struct slice s, size_t from, size_t behind)
{
	behind = skip_blanks(s, behind);
	if (behind < s.length && s.data[behind] != ',')
		return s.data[behind] == '=';
	while (from > 0 && slice_is_blank(s.data[from - 1]))
		from--;
	return from == 0 || s.data[from - 1] != '=';
}

/* The next parameter of one of these names at or after *at: where it begins and where the comma behind it
 * stands (or the end). Nobody asks whether the grammar allows one just there: who reads us may be lenient. */
static bool find_param(struct slice s, const struct param_names *wanted, size_t *at, size_t *end)
{
	bool quotes = true;
	size_t i = *at;

	while (i < s.length) {
		size_t behind = skip_token(s, i);

		if (behind == i) {
			size_t past = quotes && s.data[i] == '"' ? skip_quoted(s, i) : i + 1;

			/* One that never closes is not looked for again, or this would be quadratic. */
			quotes = quotes && (s.data[i] != '"' || past > i + 1);
			i = past;
			continue;
		}
		if (is_one_of(slice_of(s.data + i, behind - i), wanted) &&
		    is_param_name(s, i, behind)) {
			*at = i;
			*end = value_skip(s, behind, ',');
			return true;
		}
		i = behind;
	}
	return false;
}

bool auth_param(struct slice text, const char *name, unsigned index, struct slice *out)
{
	struct param_names wanted = {&name, 1};
	size_t at = 0, end;

	while (find_param(text, &wanted, &at, &end)) {
		struct slice value, param = slice_of(text.data + at, end - at);

		at = end;
		if (index-- > 0)
			continue;
		(void)slice_split(param, '=', &value);
		value = slice_trim(value);
		if (value.length >= 2 && value.data[0] == '"' &&
		    skip_quoted(value, 0) == value.length && value.data[value.length - 1] == '"')
			value = slice_of(value.data + 1, value.length - 2);
		*out = value;
		return true;
	}
	return false;
}

/* Where `text` is cut when the parameter in [*from, *to) goes: one of its two commas goes with it. */
static void widen_to_comma(struct slice text, size_t *from, size_t *to)
{
	size_t before = *from;

	if (*to < text.length) {
		*to = skip_blanks(text, *to + 1);
		return;
	}
	while (before > 0 && slice_is_blank(text.data[before - 1]))
		before--;
	if (before > 0 && text.data[before - 1] == ',')
		*from = before - 1;
}

/* *out is `text` itself if it has none of them. */
static int without_params(struct message *message, struct slice text,
                          const struct param_names *wanted, struct slice *out)
{
	char *copy = NULL;
	size_t from = 0, to;

	*out = text;
	while (find_param(*out, wanted, &from, &to)) {
		if (copy == NULL) {
			copy = message_room(message, text.length);
			if (copy == NULL)
				return -ENOMEM;
			memcpy(copy, text.data, text.length);
			out->data = copy;
		}
		widen_to_comma(*out, &from, &to);
		memmove(copy + from, copy + to, out->length - to);
		out->length -= to - from;
	}
	*out = slice_trim(*out);
	return 0;
}

int message_remove_auth_params(struct message *message, const char *header_name,
                               const char *const *params, unsigned count)
{
	struct slice name = slice_from_string(header_name), text;
	struct param_names wanted = {params, count};
	int err;

	/* All lines of the name: which of two the next element believes is not ours to guess. */
	for (unsigned i = 0; i < message->count; i++) {
		struct line *line = message_lines(message) + i;

		if (!line_is_named(line, name))
			continue;
		err = without_params(message, line->value, &wanted, &text);
		if (err == 0 && text.length != line->value.length)
			err = line_rewrite(message, line, text);
		if (err != 0)
			return err;
	}
	return 0;
}

static int append_param(struct message *message, struct line *line, const char *param,
                        const char *value)
{
	struct buffer text;
	int err;

	buffer_init(&text);
	buffer_append_slice(&text, line->value);
	/* A scheme alone has no parameter that a comma could follow. */
	buffer_append_string(&text, skip_token(line->value, 0) < line->value.length ? ", " : " ");
	buffer_append_string(&text, param);
	buffer_append(&text, "=", 1);
	buffer_append_string(&text, value);
	err = text.failed ? -ENOMEM : line_rewrite(message, line, buffer_slice(&text));
	buffer_free(&text);
	return err;
}

int message_set_authorization_param(struct message *message, const char *header_name,
                                    const char *param, const char *value)
{
	struct slice name = slice_from_string(header_name);
	int err = message_remove_auth_params(message, header_name, &param, 1);

	for (unsigned i = 0; err == 0 && value != NULL && i < message->count; i++) {
		struct line *line = message_lines(message) + i;

		if (line_is_named(line, name))
			err = append_param(message, line, param, value);
	}
	return err;
}
