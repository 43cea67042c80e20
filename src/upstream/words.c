/*
 * The operator's words: a short list, searched by name. Control thread only.
 */
#include "upstream_internal.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"

/* One for each target and site there may be, and as many for names that are no longer there. */
#define WORDS_MAX (2 * (VIEW_TARGETS_MAX + METRICS_SITES_MAX))
#define WORDS_FIRST 8

static const char *const verb_names[OPERATOR_VERBS] = {
	[OPERATOR_ENABLE] = "enable",     [OPERATOR_DRAIN] = "drain",
	[OPERATOR_DISABLE] = "disable",   [OPERATOR_RESTORE] = "restore",
	[OPERATOR_EVACUATE] = "evacuate",
};

const char *operator_verb_name(enum operator_verb verb)
{
	ASSERT(verb < OPERATOR_VERBS);
	return verb_names[verb];
}

bool operator_verb_from_name(const char *name, enum operator_verb *out)
{
	unsigned i;

	for (i = 0; i < OPERATOR_VERBS; i++) {
		if (strcmp(verb_names[i], name) == 0) {
			*out = (enum operator_verb)i;
			return true;
		}
	}
	return false;
}

void words_free(struct words *words)
{
	memory_free(words->all);
	*words = (struct words){0};
}

const struct operator_word *words_find(const struct words *words, const char *site,
                                       const char *target)
{
	unsigned i;

	for (i = 0; i < words->count; i++) {
		if (strcmp(words->all[i].site, site) == 0 &&
		    strcmp(words->all[i].target, target) == 0)
			return &words->all[i];
	}
	return NULL;
}

static void words_remove(struct words *words, unsigned index)
{
	memmove(&words->all[index], &words->all[index + 1],
	        (words->count - index - 1) * sizeof(words->all[0]));
	words->count--;
}

static int words_grow(struct words *words)
{
	unsigned room = words->room > 0 ? 2 * words->room : WORDS_FIRST;
	struct operator_word *all;

	if (words->count < words->room)
		return 0;
	if (words->count >= WORDS_MAX)
		return -ENOSPC;
	all = memory_realloc(words->all, room * sizeof(*all));
	if (all == NULL)
		return -ENOMEM;
	words->all = all;
	words->room = room;
	return 0;
}

int words_say(struct words *words, const struct operator_word *word)
{
	const struct operator_word *old = words_find(words, word->site, word->target);
	unsigned index = old != NULL ? (unsigned)(old - words->all) : words->count;
	int err;

	if (word->verb == OPERATOR_ENABLE || word->verb == OPERATOR_RESTORE) {
		if (old != NULL)
			words_remove(words, index);
		return 0;
	}
	if (old == NULL) {
		err = words_grow(words);
		if (err != 0)
			return err;
		words->count++;
	}
	words->all[index] = *word;
	return 0;
}

bool words_expire(struct words *words, uint64_t wall_ms, struct operator_word *out)
{
	unsigned i;

	for (i = 0; i < words->count; i++) {
		if (words->all[i].until_wall_ms == 0 || words->all[i].until_wall_ms > wall_ms)
			continue;
		*out = words->all[i];
		words_remove(words, i);
		return true;
	}
	return false;
}
