/*
 * reload tls: the daemon reads the files of TLS again, and says what came of it.
 */
#include "bonoctl.h"

#include <stdio.h>

static void print_faults(const json_t *answer)
{
	const json_t *fault;
	size_t index;

	json_array_foreach(json_object_get(answer, "faults"), index, fault)
	{
		bonoctl_print_clean(json_string_value(fault) != NULL ? json_string_value(fault)
		                                                     : "-");
		putchar('\n');
	}
}

int bonoctl_reload_tls(const struct options *options)
{
	json_t *answer = NULL;
	int code = bonoctl_ask_json(options, "POST", "/reload?what=tls", &answer);

	if (answer == NULL)
		return code;
	if (!json_is_true(json_object_get(answer, "loaded")))
		code = EXIT_PROBLEM;
	if (options->json) {
		bonoctl_print_json(answer);
	} else {
		print_faults(answer);
		bonoctl_print_certificates(json_object_get(answer, "certificates"));
	}
	fflush(stdout);
	if (code != EXIT_WELL)
		fputs("problem: nothing was loaded, what was there before goes on\n", stderr);
	json_decref(answer);
	return code;
}
