/*
 * target and site: the operator's words, passed on.
 */
#include "bonoctl.h"

#include <stdio.h>

#include "base/error.h"

static void print_said(const json_t *said)
{
	const char *until = json_string_value(json_object_get(said, "until"));
	const char *reason = json_string_value(json_object_get(said, "reason"));

	printf("%s: %s", json_string_value(json_object_get(said, "subject")),
	       json_string_value(json_object_get(said, "word")));
	if (until != NULL)
		printf(" until %s", until);
	if (reason != NULL && reason[0] != '\0') {
		fputs(", ", stdout);
		bonoctl_print_clean(reason);
	}
	putchar('\n');
}

int bonoctl_operate(const struct options *options, const char *kind, const char *name,
                    const char *word)
{
	static const char *const names[] = {"name", "word", "for", "reason"};
	const char *const values[] = {name, word, options->time, options->reason};
	struct buffer path;
	json_t *said = NULL;
	char page[16];
	int code = EXIT_PROBLEM;

	buffer_init(&path);
	snprintf(page, sizeof(page), "/%s", kind);
	bonoctl_path(&path, page, names, values, ARRAY_LENGTH(names));
	if (path.failed)
		fprintf(stderr, "bonoctl: %s\n", error_text(-ENOMEM));
	else
		code = bonoctl_ask_json(options, "POST", path.data, &said);
	buffer_free(&path);
	if (said == NULL)
		return code;
	if (options->json)
		bonoctl_print_json(said);
	else
		print_said(said);
	if (!json_is_true(json_object_get(said, "kept"))) {
		fputs("problem: it stands, but could not be written down: a restart will forget "
		      "it\n",
		      stderr);
		code = EXIT_PROBLEM;
	}
	json_decref(said);
	return code;
}
