/*
 * events and why: what happened, and why things stand as they do, in sentences.
 */
#include "bonoctl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "base/memory.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

/* ---- events: one line each ---- */

static void print_heading(const struct options *options)
{
	if (!options->json)
		printf("%-24s  %-9s  %-24s  %-20s  %s\n", "TIME", "KIND", "SUBJECT", "CHANGE",
		       "WHY");
}

static void print_row(const json_t *event)
{
	const char *from = text_of(event, "from"), *to = text_of(event, "to");
	const char *reason = text_of(event, "reason"), *evidence = text_of(event, "evidence");
	char change[64];

	snprintf(change, sizeof(change), "%s%s%s", from, from[0] != '\0' ? " -> " : "",
	         to[0] != '\0' ? to : "nothing");
	printf("%-24s  %-9s  %-24s  %-20s  ", text_of(event, "time"), text_of(event, "kind"),
	       text_of(event, "subject"), change);
	bonoctl_print_clean(reason);
	if (reason[0] != '\0' && evidence[0] != '\0')
		fputs(": ", stdout);
	bonoctl_print_clean(evidence);
	putchar('\n');
}

/* arg: the options. */
static void on_event(void *arg, const char *line)
{
	const struct options *options = arg;
	json_t *event = json_loads(line, 0, NULL);

	if (event == NULL)
		return; /* a line that is no event says nothing */
	if (options->json)
		puts(line);
	else
		print_row(event);
	json_decref(event);
	fflush(stdout); /* somebody waits for it */
}

static int show_history(const struct options *options, const char *path)
{
	char *body, *line, *rest;
	int status, code = bonoctl_ask(options, "GET", path, &status, &body);

	if (code != EXIT_WELL)
		return code;
	if (status != 200) {
		fprintf(stderr, "bonoctl: the daemon says %d, %s", status, body);
		memory_free(body);
		return status == 400 ? EXIT_USAGE : EXIT_PROBLEM;
	}
	print_heading(options);
	rest = body;
	while ((line = strsep(&rest, "\n")) != NULL)
		if (line[0] != '\0')
			on_event((void *)options, line);
	memory_free(body);
	return EXIT_WELL;
}

static int follow(const struct options *options, const char *path)
{
	char *body = NULL;
	bool connected;
	int status = 0, err, code = EXIT_PROBLEM;

	print_heading(options);
	fflush(stdout);
	err = bonoctl_stream(options->socket, path, &connected, &status, &body, on_event,
	                     (void *)options);
	if (!connected) {
		fprintf(stderr, "bonoctl: %s: no daemon, %s\n", options->socket, error_text(err));
		code = EXIT_NO_DAEMON;
	} else if (body != NULL) {
		fprintf(stderr, "bonoctl: the daemon says %d, %s", status, body);
		code = status == 400 ? EXIT_USAGE : EXIT_PROBLEM;
	} else {
		fprintf(stderr, "bonoctl: the stream has ended, %s\n",
		        err != 0 ? error_text(err) : "closed by the daemon");
	}
	memory_free(body);
	return code;
}

int bonoctl_events(const struct options *options)
{
	static const char *const names[] = {"since"};
	struct buffer path;
	int code = EXIT_PROBLEM;

	buffer_init(&path);
	bonoctl_path(&path, "/events", names, &options->since, 1);
	if (path.failed)
		fprintf(stderr, "bonoctl: %s\n", error_text(-ENOMEM));
	else
		code = options->follow ? follow(options, path.data)
		                       : show_history(options, path.data);
	buffer_free(&path);
	return code;
}

/* ---- why ---- */

/* "03:02:11", with the day before it if that is not today; UTC, as everywhere. */
static void print_time(const char *rfc3339)
{
	char today[16] = "";
	time_t now = time(NULL);
	struct tm utc;

	if (gmtime_r(&now, &utc) != NULL)
		strftime(today, sizeof(today), "%Y-%m-%d", &utc);
	if (strlen(rfc3339) < 19) {
		bonoctl_print_clean(rfc3339);
		return;
	}
	if (strncmp(rfc3339, today, 10) != 0)
		printf("%.10s ", rfc3339);
	printf("%.8s ", rfc3339 + 11);
}

static void print_sentence(const json_t *event)
{
	const char *subject = text_of(event, "subject"), *slash = strchr(subject, '/');
	const char *kind = text_of(event, "kind"), *evidence = text_of(event, "evidence");
	const char *to = text_of(event, "to"), *reason = text_of(event, "reason");

	print_time(text_of(event, "time"));
	printf("%s ", slash != NULL ? slash + 1 : subject);
	if (strcmp(kind, "operator") != 0)
		fputs(to, stdout);
	else if (strcmp(reason, "expired") == 0)
		printf("operator's %s has expired", text_of(event, "from"));
	else
		printf("operator says %s", to);
	fputs(evidence[0] != '\0' ? ": " : "", stdout);
	bonoctl_print_clean(evidence);
	putchar('\n');
}

static void print_verdict(const json_t *answer)
{
	const json_t *target = json_object_get(answer, "target");
	const json_t *of = target != NULL ? target : json_object_get(answer, "site");
	const json_t *word = json_object_get(of, "operator");

	if (target != NULL)
		printf("%s/%s is %s since %s, %s", text_of(target, "site"), text_of(target, "name"),
		       text_of(target, "state"), text_of(target, "since"),
		       text_of(target, "reason"));
	else
		printf("%s is %s, it is given %.1f%% of new requests and had %.1f%% of the last 10 "
		       "s",
		       text_of(of, "name"), text_of(of, "state"),
		       100 * json_number_value(json_object_get(of, "new_work")),
		       100 * json_number_value(json_object_get(of, "share")));
	if (json_is_object(word)) {
		printf("; operator says %s", text_of(word, "word"));
		if (json_is_string(json_object_get(word, "until")))
			printf(" until %s", text_of(word, "until"));
		fputs(text_of(word, "reason")[0] != '\0' ? ", " : "", stdout);
		bonoctl_print_clean(text_of(word, "reason"));
	}
	putchar('\n');
}

static void print_attempt(const json_t *attempt)
{
	const char *target = text_of(attempt, "target"), *end = text_of(attempt, "end");
	long long ms = json_integer_value(json_object_get(attempt, "ms"));

	printf("%s ", target[0] != '\0' ? target : "its hop");
	for (; *end != '\0'; end++)
		putchar(*end == '_' ? ' ' : *end);
	if (json_object_get(attempt, "status") != NULL)
		printf(" %lld", json_integer_value(json_object_get(attempt, "status")));
	printf(" after %lld ms", ms);
}

static void print_decision(const json_t *decision)
{
	const json_t *attempts = json_object_get(decision, "attempts"), *attempt;
	long long begun = json_integer_value(json_object_get(decision, "attempts_begun"));
	size_t index;

	print_time(text_of(decision, "time"));
	printf("%s: ", text_of(decision, "method"));
	json_array_foreach(attempts, index, attempt)
	{
		fputs(index > 0 ? ", " : "", stdout);
		print_attempt(attempt);
	}
	if (json_array_size(attempts) == 0)
		fputs("no target was there", stdout);
	else if (begun > (long long)json_array_size(attempts))
		printf(", %lld more", begun - (long long)json_array_size(attempts));
	printf("; the client got %lld after %lld ms%s\n",
	       json_integer_value(json_object_get(decision, "status")),
	       json_integer_value(json_object_get(decision, "ms")),
	       json_is_true(json_object_get(decision, "lost")) ? ", lost" : "");
}

static void print_why(const struct options *options, const json_t *answer)
{
	const json_t *member;
	size_t index;

	if (options->json) {
		bonoctl_print_json(answer);
		return;
	}
	if (json_object_get(answer, "decisions") == NULL)
		print_verdict(answer);
	json_array_foreach(json_object_get(answer, "events"), index, member) print_sentence(member);
	json_array_foreach(json_object_get(answer, "decisions"), index, member)
		print_decision(member);
}

/* *refusal: what the daemon said to a name it does not know, from memory.h; NULL: it knew. */
static int ask_why(const struct options *options, const char *name, const char *what,
                   char **refusal)
{
	struct buffer path;
	json_t *answer;
	char *body = NULL;
	int status = 0, code = EXIT_PROBLEM;

	*refusal = NULL;
	buffer_init(&path);
	bonoctl_path(&path, "/why", &name, &what, 1);
	if (path.failed)
		fprintf(stderr, "bonoctl: %s\n", error_text(-ENOMEM));
	else
		code = bonoctl_ask(options, "GET", path.data, &status, &body);
	buffer_free(&path);
	if (code != EXIT_WELL)
		return code;
	if (status == 404) {
		*refusal = body;
		return EXIT_PROBLEM;
	}
	answer = status == 200 ? json_loads(body, 0, NULL) : NULL;
	if (answer != NULL)
		print_why(options, answer);
	else
		fprintf(stderr, "bonoctl: the daemon says %d, %s", status, body);
	json_decref(answer);
	memory_free(body);
	return answer != NULL ? EXIT_WELL : EXIT_PROBLEM;
}

/* A Call-ID may look like a target (RFC 3261 25.1 allows '/' in it): who is asked first decides nothing but time. */
int bonoctl_why(const struct options *options, const char *what)
{
	char *no_target, *no_request = NULL;
	int code = ask_why(options, "target", what, &no_target);

	if (no_target != NULL) {
		code = ask_why(options, "call-id", what, &no_request);
		if (no_request != NULL)
			fprintf(stderr, "bonoctl: %s: %s         %s", what, no_target, no_request);
	}
	memory_free(no_target);
	memory_free(no_request);
	return code;
}
