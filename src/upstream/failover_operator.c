/*
 * The operator's words: said, kept, obeyed, expired. Control thread only.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "upstream_internal.h"

bool site_is_evacuated(const struct failover *failover, unsigned site)
{
	return words_find(&failover->words, failover->sites[site].name, "") != NULL;
}

void watch_obey(struct failover *failover, struct watch *watch)
{
	const struct operator_word *word =
		words_find(&failover->words, failover->sites[watch->site].name, watch->name);
	bool disabled = word != NULL && word->verb == OPERATOR_DISABLE;

	if (watch->disabled != disabled) {
		watch->disabled = disabled;
		failover_publish_within(failover, 0);
	}
	if (watch->health.drained != (word != NULL))
		watch_input(failover, watch,
		            word != NULL ? HEALTH_OPERATOR_DRAIN : HEALTH_OPERATOR_ENABLE, 0);
}

static void obey(struct failover *failover, const char *site, const char *target)
{
	unsigned i;

	for (i = 0; i < VIEW_TARGETS_MAX; i++) {
		struct watch *watch = failover->watches[i];

		if (watch != NULL && strcmp(watch->name, target) == 0 &&
		    strcmp(failover->sites[watch->site].name, site) == 0)
			watch_obey(failover, watch);
	}
}

static bool is_there(const struct failover *failover, const char *site, const char *target)
{
	unsigned i;

	for (i = 0; i < failover->site_count; i++) {
		if (strcmp(failover->sites[i].name, site) != 0)
			continue;
		if (target[0] == '\0')
			return true;
		LIST_FOR_EACH(link, &failover->sites[i].watches) {
			if (strcmp(CONTAINER_OF(link, struct watch, in_site)->name, target) == 0)
				return true;
		}
	}
	return words_find(&failover->words, site, target) != NULL;
}

static int say(struct failover *failover, const char *site, const char *target,
               enum operator_verb verb, uint64_t until_wall_ms, const char *reason)
{
	struct operator_word word = {.verb = verb, .until_wall_ms = until_wall_ms};
	int err;

	if (strlen(site) >= sizeof(word.site) || strlen(target) >= sizeof(word.target) ||
	    !is_there(failover, site, target))
		return -ENOENT;
	snprintf(word.site, sizeof(word.site), "%s", site);
	snprintf(word.target, sizeof(word.target), "%s", target);
	snprintf(word.reason, sizeof(word.reason), "%s", reason != NULL ? reason : "");
	err = words_say(&failover->words, &word);
	if (err != 0)
		return err;
	log_info("%s%s%s: operator says %s%s%s", site, target[0] != '\0' ? "/" : "", target,
	         operator_verb_name(verb), word.reason[0] != '\0' ? ", " : "", word.reason);
	obey(failover, site, target);
	failover_judge_sites(failover);
	failover_publish_within(failover, 0);
	failover_restart_tick(failover);
	return 0;
}

int failover_operator_target(struct failover *failover, const char *site, const char *target,
                             enum operator_verb verb, uint64_t until_wall_ms, const char *reason)
{
	if (verb > OPERATOR_DISABLE)
		return -EINVAL;
	return target[0] != '\0' ? say(failover, site, target, verb, until_wall_ms, reason)
	                         : -ENOENT;
}

int failover_operator_site(struct failover *failover, const char *site, enum operator_verb verb,
                           uint64_t until_wall_ms, const char *reason)
{
	if (verb != OPERATOR_RESTORE && verb != OPERATOR_EVACUATE)
		return -EINVAL;
	return say(failover, site, "", verb, until_wall_ms, reason);
}

const struct operator_word *failover_operator_words(const struct failover *failover,
                                                    unsigned *count)
{
	*count = failover->words.count;
	return failover->words.all;
}

int failover_operator_words_set(struct failover *failover, const struct operator_word *words,
                                unsigned count)
{
	uint64_t wall_ms = clock_wall_ms();
	unsigned i;
	int err;

	for (i = 0; i < count; i++) {
		if (words[i].until_wall_ms != 0 && words[i].until_wall_ms <= wall_ms)
			continue;
		err = words_say(&failover->words, &words[i]);
		if (err != 0)
			return err;
		obey(failover, words[i].site, words[i].target);
	}
	failover_judge_sites(failover);
	failover_publish_within(failover, 0);
	failover_restart_tick(failover);
	return 0;
}

void operator_on_time(struct failover *failover)
{
	struct operator_word word;

	while (words_expire(&failover->words, clock_wall_ms(), &word)) {
		log_info("%s%s%s: the operator's %s has expired", word.site,
		         word.target[0] != '\0' ? "/" : "", word.target,
		         operator_verb_name(word.verb));
		obey(failover, word.site, word.target);
	}
}
