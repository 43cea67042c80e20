/*
 * The operator's words over a restart: a small JSON file, written whole beside the old one and put in its place.
 *
 *	{"words": [{"site": "site-a", "target": "sprout-2", "word": "drain", "until_ms": 0, "reason": "disk"}]}
 *
 * Failover lets words expire by itself; a timer looks afterwards, so that the file and the events follow. Control loop.
 */
#include "control/operator.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

/* A word for each target that there may be, with room to spare. */
#define FILE_MAX_BYTES (1u << 20)
/* Failover looks at the words at its own times: so long after the end of one we look whether it has gone. */
#define LOOK_MS 500
#define PATH_ROOM 16

struct operator_book {
	struct loop *loop;
	struct failover *failover;
	struct events *events;
	void (*on_changed)(void *arg);
	void *arg;
	char *path;
	struct operator_word *known; /* as they stood when we last looked */
	unsigned known_count;
	struct timer look;
};

/* ---- words and JSON ---- */

static json_t *word_json(const struct operator_word *word)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:s}", "site", word->site, "target", word->target,
	                 "word", operator_verb_name(word->verb), "until_ms",
	                 (json_int_t)word->until_wall_ms, "reason", word->reason);
}

static json_t *words_json(const struct operator_word *words, unsigned count)
{
	json_t *all = json_array();

	for (unsigned i = 0; i < count; i++) {
		json_t *one = word_json(&words[i]);

		if (all == NULL || one == NULL || json_array_append_new(all, one) != 0) {
			json_decref(all);
			return NULL;
		}
	}
	return json_pack("{s:o}", "words", all);
}

static bool copy_name(char *to, size_t size, const char *from)
{
	size_t length = strlen(from);

	if (length >= size)
		return false;
	memcpy(to, from, length + 1);
	return true;
}

static bool read_word(json_t *json, struct operator_word *word)
{
	const char *site, *target, *verb, *reason;
	json_int_t until_ms;

	memset(word, 0, sizeof(*word));
	if (json_unpack(json, "{s:s, s:s, s:s, s:I, s:s !}", "site", &site, "target", &target,
	                "word", &verb, "until_ms", &until_ms, "reason", &reason) != 0)
		return false;
	word->until_wall_ms = (uint64_t)until_ms;
	return until_ms >= 0 && operator_verb_from_name(verb, &word->verb) &&
	       word->verb != OPERATOR_ENABLE && word->verb != OPERATOR_RESTORE &&
	       (word->verb == OPERATOR_EVACUATE) == (target[0] == '\0') && site[0] != '\0' &&
	       copy_name(word->site, sizeof(word->site), site) &&
	       copy_name(word->target, sizeof(word->target), target) &&
	       copy_name(word->reason, sizeof(word->reason), reason);
}

/* -EBADMSG: not what we write. */
static int read_words(const char *text, size_t length, struct operator_word **out, unsigned *count)
{
	json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL), *all;
	struct operator_word *words = NULL;
	size_t n = 0;
	int err = -EBADMSG;

	if (root != NULL && json_unpack(root, "{s:o !}", "words", &all) == 0 &&
	    json_is_array(all)) {
		n = json_array_size(all);
		words = memory_alloc((n + 1) * sizeof(*words));
		err = words != NULL ? 0 : -ENOMEM;
	}
	for (size_t i = 0; err == 0 && i < n; i++)
		if (!read_word(json_array_get(all, i), &words[i]))
			err = -EBADMSG;
	json_decref(root);
	if (err != 0) {
		memory_free(words);
		return err;
	}
	*out = words;
	*count = (unsigned)n;
	return 0;
}

/* ---- the file ---- */

/* -ENOENT: there is none. */
static int load_file(const char *path, char **out, size_t *length)
{
	char *text;
	ssize_t n = 0;
	int fd, err = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*length = 0;
	text = memory_alloc(FILE_MAX_BYTES);
	while (text != NULL && *length < FILE_MAX_BYTES &&
	       (n = read(fd, text + *length, FILE_MAX_BYTES - *length)) > 0)
		*length += (size_t)n;
	if (text == NULL)
		err = -ENOMEM;
	else if (n < 0)
		err = -errno;
	else if (*length == FILE_MAX_BYTES)
		err = -EBADMSG;
	close(fd);
	if (err != 0)
		memory_free(text);
	else
		*out = text;
	return err;
}

static int write_all(int fd, const char *text)
{
	size_t length = strlen(text), done = 0;

	while (done < length) {
		ssize_t n = write(fd, text + done, length - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return fdatasync(fd) == 0 ? 0 : -errno;
}

static int replace_file(const char *path, const char *text)
{
	size_t size = strlen(path) + PATH_ROOM;
	char *beside = memory_alloc(size);
	int fd, err;

	if (beside == NULL)
		return -ENOMEM;
	snprintf(beside, size, "%s.new", path);
	unlink(beside); /* what a life that was killed left: its mode may not be ours */
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	err = fd >= 0 ? write_all(fd, text) : -errno;
	if (fd >= 0)
		close(fd);
	if (err == 0 && rename(beside, path) != 0)
		err = -errno;
	if (err != 0 && fd >= 0)
		unlink(beside);
	memory_free(beside);
	return err;
}

/* Take note of how the words stand now, in memory and in the file. */
static int save(struct operator_book *book)
{
	unsigned count;
	const struct operator_word *words = failover_operator_words(book->failover, &count);
	struct operator_word *known = memory_alloc((count + 1) * sizeof(*known));
	json_t *json = words_json(words, count);
	char *text = json != NULL ? json_dumps(json, JSON_INDENT(2)) : NULL;
	int err = -ENOMEM;

	if (known != NULL) {
		if (count > 0)
			memcpy(known, words, count * sizeof(*known));
		memory_free(book->known);
		book->known = known;
		book->known_count = count;
	}
	if (text != NULL)
		err = replace_file(book->path, text);
	free(text); /* jansson's */
	json_decref(json);
	if (err != 0)
		log_error("operator's words: cannot be kept in %s, %s", book->path,
		          error_text(err));
	return err;
}

/* ---- said and expired ---- */

static void tell(struct operator_book *book, const struct operator_word *word, const char *from,
                 const char *to, const char *reason)
{
	char subject[2 * OPERATOR_NAME_MAX], evidence[FAILOVER_EVIDENCE_MAX], until[32];

	snprintf(subject, sizeof(subject), "%s%s%s", word->site, word->target[0] != '\0' ? "/" : "",
	         word->target);
	clock_format_wall(word->until_wall_ms, until, sizeof(until));
	snprintf(evidence, sizeof(evidence), "%s%s%s%s", word->until_wall_ms != 0 ? "until " : "",
	         word->until_wall_ms != 0 ? until : "",
	         word->until_wall_ms != 0 && word->reason[0] != '\0' ? ", " : "", word->reason);
	events_add(book->events, EVENT_OPERATOR, subject, from, to, reason, evidence);
}

static const struct operator_word *find_word(const struct operator_word *words, unsigned count,
                                             const struct operator_word *like)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(words[i].site, like->site) == 0 &&
		    strcmp(words[i].target, like->target) == 0)
			return &words[i];
	return NULL;
}

/* The next end of a word, not before it; or never. */
static void look_again(struct operator_book *book)
{
	uint64_t now = clock_wall_ms(), first = UINT64_MAX;

	for (unsigned i = 0; i < book->known_count; i++)
		if (book->known[i].until_wall_ms != 0 && book->known[i].until_wall_ms < first)
			first = book->known[i].until_wall_ms;
	timer_stop(loop_timers(book->loop), &book->look);
	if (first != UINT64_MAX)
		timer_start(loop_timers(book->loop), &book->look,
		            (first > now ? first - now : 0) + LOOK_MS);
}

static void on_look(struct timer *timer, void *arg)
{
	struct operator_book *book = arg;
	unsigned count;
	const struct operator_word *words = failover_operator_words(book->failover, &count);
	bool gone = false;

	for (unsigned i = 0; i < book->known_count; i++) {
		if (find_word(words, count, &book->known[i]) != NULL)
			continue;
		tell(book, &book->known[i], operator_verb_name(book->known[i].verb), NULL,
		     "expired");
		gone = true;
	}
	if (gone)
		save(book);
	look_again(book);
	if (gone)
		book->on_changed(book->arg);
}

int operator_book_say(struct operator_book *book, const struct operator_word *word)
{
	const struct operator_word *old = find_word(book->known, book->known_count, word);
	const char *from = old != NULL ? operator_verb_name(old->verb) : NULL;
	int err;

	if (word->target[0] != '\0')
		err = failover_operator_target(book->failover, word->site, word->target, word->verb,
		                               word->until_wall_ms, word->reason);
	else
		err = failover_operator_site(book->failover, word->site, word->verb,
		                             word->until_wall_ms, word->reason);
	if (err != 0)
		return err;
	tell(book, word, from, operator_verb_name(word->verb), "operator");
	err = save(book);
	look_again(book);
	return err == 0 ? 0 : -EIO;
}

/* ---- birth and death ---- */

static void put_aside(const struct operator_book *book)
{
	size_t size = strlen(book->path) + PATH_ROOM;
	char *aside = memory_alloc(size);

	if (aside != NULL) {
		snprintf(aside, size, "%s.broken", book->path);
		if (rename(book->path, aside) == 0)
			log_error(
				"operator's words: %s cannot be understood, it is put aside as %s",
				book->path, aside);
	}
	memory_free(aside);
}

static int restore(struct operator_book *book)
{
	struct operator_word *words = NULL;
	unsigned count = 0;
	char *text = NULL;
	size_t length = 0;
	int err = load_file(book->path, &text, &length);

	if (err == -ENOENT)
		return 0;
	if (err == 0)
		err = read_words(text, length, &words, &count);
	memory_free(text);
	if (err == -EBADMSG) {
		put_aside(book);
		return 0;
	}
	if (err == 0)
		err = failover_operator_words_set(book->failover, words, count);
	memory_free(words);
	if (err != 0)
		return err;
	words = NULL;
	save(book); /* without those that ended meanwhile */
	for (unsigned i = 0; i < book->known_count; i++)
		tell(book, &book->known[i], NULL, operator_verb_name(book->known[i].verb), "kept");
	look_again(book);
	return 0;
}

int operator_book_open(struct loop *loop, const char *path, struct failover *failover,
                       struct events *events, void (*on_changed)(void *arg), void *arg,
                       struct operator_book **out)
{
	struct operator_book *book = memory_zalloc(sizeof(*book));
	int err = -ENOMEM;

	if (book == NULL)
		return err;
	book->loop = loop;
	book->failover = failover;
	book->events = events;
	book->on_changed = on_changed;
	book->arg = arg;
	timer_init(&book->look, on_look, book);
	book->path = memory_strdup(path);
	if (book->path != NULL)
		err = restore(book);
	if (err != 0) {
		log_error("operator's words: %s cannot be read, %s", path, error_text(err));
		operator_book_close(&book);
		return err;
	}
	*out = book;
	return 0;
}

void operator_book_close(struct operator_book **book)
{
	struct operator_book *b = *book;

	if (b == NULL)
		return;
	*book = NULL;
	timer_stop(loop_timers(b->loop), &b->look);
	memory_free(b->known);
	memory_free(b->path);
	memory_free(b);
}
