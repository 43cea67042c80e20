/*
 * POST /target and /site: the operator's words. On the Unix socket only, whose file says who may; read strictly, since
 * half an order understood drains the wrong thing. Control loop.
 */
#include <stdio.h>
#include <string.h>

#include "admin_internal.h"
#include "base/clock.h"
#include "base/error.h"

enum { NAME, WORD, FOR, REASON, PARAMETERS };
static const char *const parameter_names[PARAMETERS] = {"name", "word", "for", "reason"};

static bool is_of_site(enum operator_verb verb)
{
	return verb == OPERATOR_EVACUATE || verb == OPERATOR_RESTORE;
}

static bool is_plain_text(const char *text)
{
	json_t *json;

	for (const char *c = text; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			return false;
	json = json_string(text); /* checks UTF-8; out of memory counts as broken */
	json_decref(json);
	return json != NULL;
}

/* NULL, or what is wrong with it. */
static const char *read_word(char *const *values, bool of_site, struct operator_word *word)
{
	uint64_t for_ms;

	memset(word, 0, sizeof(*word));
	if (values[NAME] == NULL || values[WORD] == NULL)
		return "expected name=NAME&word=WORD, and for=TIME, reason=TEXT if wanted\n";
	if (!operator_verb_from_name(values[WORD], &word->verb) ||
	    is_of_site(word->verb) != of_site)
		return of_site ? "expected word=evacuate or word=restore\n"
		               : "expected word=drain, word=disable or word=enable\n";
	if (values[FOR] != NULL &&
	    (word->verb == OPERATOR_ENABLE || word->verb == OPERATOR_RESTORE))
		return "what is revoked is revoked: no for=\n";
	if (values[FOR] != NULL && !parameters_duration(values[FOR], &for_ms))
		return "expected for=TIME, as 30m, 2h, 90s\n";
	if (values[FOR] != NULL)
		word->until_wall_ms = clock_wall_ms() + for_ms;
	if (values[REASON] != NULL &&
	    (strlen(values[REASON]) >= sizeof(word->reason) || !is_plain_text(values[REASON])))
		return "expected a reason of at most 127 bytes, one line of UTF-8\n";
	if (values[REASON] != NULL)
		memcpy(word->reason, values[REASON], strlen(values[REASON]) + 1);
	return NULL;
}

/* The name as the view has it; false: answered. */
static bool find_subject(struct admin *admin, struct http_client *client, const char *name,
                         bool of_site, struct operator_word *word)
{
	const struct view *view = admin->source.view(admin->arg);
	const struct view_target *target;
	const struct view_site *site;
	char near[256], text[512];
	bool is_near;

	if (view == NULL) {
		http_reply_text(client, 503, "not ready\n");
		return false;
	}
	target = of_site ? NULL : names_target(view, name);
	site = of_site          ? names_site(view, name)
	       : target != NULL ? &view->sites[target->site]
	                        : NULL;
	if (site != NULL) {
		int site_length = snprintf(word->site, sizeof(word->site), "%s", site->name);
		int length = snprintf(word->target, sizeof(word->target), "%s",
		                      target != NULL ? target->name : "");

		if (site_length < (int)sizeof(word->site) && length < (int)sizeof(word->target))
			return true;
		http_reply_text(client, 400, "the name is too long for a word\n");
		return false;
	}
	is_near = of_site ? names_near_site(view, name, near, sizeof(near))
	                  : names_near_target(view, name, near, sizeof(near));
	snprintf(text, sizeof(text), is_near ? "no such %s; %s is there\n" : "no such %s\n",
	         of_site ? "site" : "target", near);
	http_reply_text(client, 404, text);
	return false;
}

static json_t *said_json(const struct operator_word *word, bool kept)
{
	char subject[2 * OPERATOR_NAME_MAX], until[32];

	snprintf(subject, sizeof(subject), "%s%s%s", word->site, word->target[0] != '\0' ? "/" : "",
	         word->target);
	clock_format_wall(word->until_wall_ms, until, sizeof(until));
	return json_pack("{s:s, s:s, s:o, s:s, s:b}", "subject", subject, "word",
	                 operator_verb_name(word->verb), "until",
	                 word->until_wall_ms != 0 ? json_string(until) : json_null(), "reason",
	                 word->reason, "kept", kept);
}

static void say(struct admin *admin, struct http_client *client, const struct operator_word *word)
{
	int err = admin->source.say(admin->arg, word);
	char text[128];

	if (err == 0 || err == -EIO) {
		http_reply_json(client, 200, said_json(word, err == 0));
		return;
	}
	snprintf(text, sizeof(text), "not done: %s\n", error_text(err));
	http_reply_text(client, err == -ENOENT ? 404 : 500, text);
}

static void operate(struct admin *admin, const struct http_request *request, bool of_site)
{
	struct http_client *client = request->client;
	char *values[PARAMETERS];
	struct operator_word word;
	const char *fault;
	int err = parameters_read(request->query, parameter_names, values, PARAMETERS);

	if (err == -ENOMEM) {
		http_reply_text(client, 500, "out of memory\n");
		return;
	}
	fault = err != 0 ? "a parameter is unknown, broken or given twice\n"
	                 : read_word(values, of_site, &word);
	if (fault != NULL)
		http_reply_text(client, 400, fault);
	else if (find_subject(admin, client, values[NAME], of_site, &word))
		say(admin, client, &word);
	parameters_free(values, PARAMETERS);
}

void operate_target(struct admin *admin, const struct http_request *request)
{
	operate(admin, request, false);
}

void operate_site(struct admin *admin, const struct http_request *request)
{
	operate(admin, request, true);
}
