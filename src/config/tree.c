/*
 * The operator's file as a tree with a place for each value. YAML 1.1 by libyaml, of which JSON is a part.
 * What makes YAML dangerous is refused: anchors, aliases, tags, several documents, deep nesting.
 */
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "base/error.h"
#include "base/memory.h"
#include "config_internal.h"

void fault_at(struct faults *faults, struct mark mark, const char *format, ...)
{
	va_list list;

	faults->count++;
	if (faults->out == NULL)
		return;
	fprintf(faults->out, "%s:%u:%u: ", faults->file, mark.line, mark.column);
	va_start(list, format);
	vfprintf(faults->out, format, list);
	va_end(list);
	fputc('\n', faults->out);
}

void fault_memory(struct faults *faults)
{
	faults->err = -ENOMEM;
}

/* Members first, without recursion: children are hung behind the list of what is still to be freed. */
void tree_free(struct node **tree)
{
	struct node *todo = *tree, *node;

	*tree = NULL;
	while (todo != NULL) {
		node = todo;
		todo = node->next;
		if (node->first != NULL) {
			node->last->next = todo;
			todo = node->first;
		}
		memory_free(node->text);
		memory_free(node->key);
		memory_free(node);
	}
}

const struct node *node_member(const struct node *node, const char *key)
{
	if (node == NULL || node->kind != NODE_MAP)
		return NULL;
	for (const struct node *m = node->first; m != NULL; m = m->next)
		if (strcmp(m->key, key) == 0)
			return m;
	return NULL;
}

const struct node *node_at(const struct node *node, unsigned index)
{
	const struct node *m;

	if (node == NULL)
		return NULL;
	for (m = node->first; m != NULL && index > 0; m = m->next)
		index--;
	return m;
}

/* The file's own words, cut and without what could move an operator's terminal. */
static void copy_clean(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; i + 1 < size && from[i] != '\0'; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 127 ? '?' : from[i];
	to[i] = '\0';
	if (from[i] != '\0' && size > 4)
		memcpy(to + size - 4, "...", 4);
}

const char *node_words(const struct node *node, char text[NODE_WORDS_MAX])
{
	char clean[64];

	copy_clean(clean, sizeof(clean), node->text != NULL ? node->text : "");
	switch (node->kind) {
	case NODE_NOTHING:
		snprintf(text, NODE_WORDS_MAX, "nothing");
		break;
	case NODE_TEXT:
		snprintf(text, NODE_WORDS_MAX, "\"%s\"", clean);
		break;
	case NODE_NUMBER:
		snprintf(text, NODE_WORDS_MAX, "the number %s", clean);
		break;
	case NODE_BOOL:
		snprintf(text, NODE_WORDS_MAX, "%s", clean);
		break;
	case NODE_LIST:
		snprintf(text, NODE_WORDS_MAX, "%s", node->count > 0 ? "a list" : "an empty list");
		break;
	case NODE_MAP:
		snprintf(text, NODE_WORDS_MAX, "%s",
		         node->count > 0 ? "a map of keys" : "an empty map");
		break;
	}
	return text;
}

/* ---- building ---- */

struct builder {
	struct faults *faults;
	struct node *root;
	struct node *open[CONFIG_DEPTH_MAX]; /* lists and maps not yet closed, outermost first */
	unsigned depth;
	unsigned nodes;
	char *key; /* a map's key that waits for its value; owned */
	struct mark key_mark;
	bool has_document;
	bool failed; /* no use in reading on */
};

static struct mark mark_of(const yaml_mark_t *mark)
{
	return (struct mark){(unsigned)mark->line + 1, (unsigned)mark->column + 1};
}

static bool is_number(const char *text)
{
	size_t digits, i = text[0] == '-' || text[0] == '+' ? 1 : 0;

	digits = strspn(text + i, "0123456789");
	i += digits;
	if (text[i] == '.')
		i += 1 + strspn(text + i + 1, "0123456789");
	return digits > 0 && text[i] == '\0';
}

/* YAML's core schema for plain scalars, without its surprises (yes, no, on, off stay words). */
static enum node_kind scalar_kind(const char *text, bool quoted)
{
	if (quoted)
		return NODE_TEXT;
	if (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0)
		return NODE_NOTHING;
	if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
		return NODE_BOOL;
	return is_number(text) ? NODE_NUMBER : NODE_TEXT;
}

static void stop(struct builder *builder, struct mark mark, const char *words)
{
	fault_at(builder->faults, mark, "%s", words);
	builder->failed = true;
}

static void no_memory(struct builder *builder)
{
	fault_memory(builder->faults);
	builder->failed = true;
}

/* Hang the node where the file stands. */
static void place(struct builder *builder, struct node *node)
{
	struct node *parent = builder->depth > 0 ? builder->open[builder->depth - 1] : NULL;
	const struct node *earlier = NULL;

	if (parent == NULL) {
		builder->root = node;
		return;
	}
	if (parent->kind == NODE_MAP) {
		earlier = node_member(parent, builder->key);
		node->key = builder->key;
		node->key_mark = builder->key_mark;
		builder->key = NULL;
		if (parent->count == CONFIG_KEYS_MAX)
			stop(builder, node->key_mark,
			     "too many keys, expected at most 256 in one map, found more");
	}
	if (earlier != NULL) {
		char clean[64];

		copy_clean(clean, sizeof(clean), node->key);
		fault_at(
			builder->faults, node->key_mark,
			"duplicate key \"%s\", expected each key once, found it already in line %u",
			clean, earlier->key_mark.line);
	}
	if (parent->last != NULL)
		parent->last->next = node;
	else
		parent->first = node;
	parent->last = node;
	parent->count++;
}

static struct node *add_node(struct builder *builder, enum node_kind kind, struct mark mark)
{
	struct node *node;

	if (++builder->nodes > CONFIG_NODES_MAX) {
		stop(builder, mark, "too many values, expected at most 50000, found more");
		return NULL;
	}
	node = memory_zalloc(sizeof(*node));
	if (node == NULL) {
		no_memory(builder);
		return NULL;
	}
	node->kind = kind;
	node->mark = mark;
	place(builder, node);
	return node;
}

static void refuse_anchor(struct builder *builder, const yaml_char_t *anchor,
                          const yaml_char_t *tag, struct mark mark)
{
	if (anchor != NULL)
		stop(builder, mark, "an anchor, expected a plain value, found \"&\"");
	else if (tag != NULL)
		stop(builder, mark, "a tag, expected a plain value, found \"!\"");
}

static bool wants_key(const struct builder *builder)
{
	return builder->depth > 0 && builder->open[builder->depth - 1]->kind == NODE_MAP &&
	       builder->key == NULL;
}

static void on_scalar(struct builder *builder, const yaml_event_t *event)
{
	struct mark mark = mark_of(&event->start_mark);
	const char *value = (const char *)event->data.scalar.value;
	bool quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	struct node *node;
	char *text;

	refuse_anchor(builder, event->data.scalar.anchor, event->data.scalar.tag, mark);
	if (builder->failed)
		return;
	if (strlen(value) != event->data.scalar.length) {
		stop(builder, mark, "a NUL byte in a value, expected text, found \"\\0\"");
		return;
	}
	text = memory_strdup(value);
	if (text == NULL) {
		no_memory(builder);
		return;
	}
	if (wants_key(builder)) {
		builder->key = text;
		builder->key_mark = mark;
		return;
	}
	node = add_node(builder, scalar_kind(text, quoted), mark);
	if (node == NULL)
		memory_free(text);
	else
		node->text = text;
}

static void on_open(struct builder *builder, enum node_kind kind, struct mark mark)
{
	struct node *node;

	if (wants_key(builder)) {
		stop(builder, mark, "a list or map as key, expected a name, found a bracket");
		return;
	}
	if (builder->depth == CONFIG_DEPTH_MAX) {
		stop(builder, mark, "nested too deeply, expected at most 12 levels, found more");
		return;
	}
	node = add_node(builder, kind, mark);
	if (node != NULL)
		builder->open[builder->depth++] = node;
}

static void on_event(struct builder *builder, const yaml_event_t *event)
{
	struct mark mark = mark_of(&event->start_mark);

	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (builder->has_document)
			stop(builder, mark, "a second document, expected one, found \"---\"");
		builder->has_document = true;
		break;
	case YAML_ALIAS_EVENT:
		stop(builder, mark, "an alias, expected a plain value, found \"*\"");
		break;
	case YAML_SCALAR_EVENT:
		on_scalar(builder, event);
		break;
	case YAML_SEQUENCE_START_EVENT:
		refuse_anchor(builder, event->data.sequence_start.anchor,
		              event->data.sequence_start.tag, mark);
		if (!builder->failed)
			on_open(builder, NODE_LIST, mark);
		break;
	case YAML_MAPPING_START_EVENT:
		refuse_anchor(builder, event->data.mapping_start.anchor,
		              event->data.mapping_start.tag, mark);
		if (!builder->failed)
			on_open(builder, NODE_MAP, mark);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		if (builder->depth > 0)
			builder->depth--;
		break;
	default:
		break;
	}
}

/* The parser counts characters. */
static bool is_tab_at(struct slice text, size_t index)
{
	size_t i = 0;

	for (; i < text.length; i++) {
		if (((unsigned char)text.data[i] & 0xc0) == 0x80)
			continue;
		if (index == 0)
			break;
		index--;
	}
	return i < text.length && text.data[i] == '\t';
}

static void on_syntax_error(struct builder *builder, const yaml_parser_t *parser, struct slice text)
{
	struct mark mark = mark_of(&parser->problem_mark);
	const char *context = parser->context != NULL ? parser->context : "";

	if (parser->error == YAML_MEMORY_ERROR) {
		no_memory(builder);
		return;
	}
	builder->failed = true;
	if (parser->error == YAML_READER_ERROR) {
		/* The reader knows the byte only. */
		fault_at(builder->faults, mark_of(&parser->mark),
		         "not text, expected UTF-8, found at byte %zu: %s", parser->problem_offset,
		         parser->problem != NULL ? parser->problem : "?");
		return;
	}
	if (is_tab_at(text, parser->problem_mark.index)) {
		fault_at(builder->faults, mark, "not YAML, expected blanks as indent, found a tab");
		return;
	}
	fault_at(builder->faults, mark,
	         "not YAML, expected well-formed YAML or JSON, found: %s%s%s",
	         parser->problem != NULL ? parser->problem : "?", context[0] != '\0' ? " " : "",
	         context);
}

void tree_read(struct slice bytes, struct faults *faults, struct node **out)
{
	struct builder builder = {.faults = faults};
	struct mark start = {1, 1};
	yaml_parser_t parser;
	bool ended = false;

	*out = NULL;
	if (yaml_parser_initialize(&parser) == 0) {
		fault_memory(faults);
		return;
	}
	/* Not to be guessed from a byte order mark. */
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)bytes.data, bytes.length);
	while (!ended && !builder.failed) {
		yaml_event_t event;

		if (yaml_parser_parse(&parser, &event) == 0) {
			on_syntax_error(&builder, &parser, bytes);
			break;
		}
		on_event(&builder, &event);
		ended = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	memory_free(builder.key);
	if (builder.failed) {
		tree_free(&builder.root);
		return;
	}
	if (builder.root == NULL)
		fault_at(faults, start, "an empty file, expected the configuration, found nothing");
	*out = builder.root;
}
