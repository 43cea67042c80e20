/*
 * The operator's tool: asks the running daemon over its Unix socket.
 * Exit: 0 well, 1 a problem was found, 2 usage, 3 no daemon.
 */
#include "bonoctl.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"

#define DEFAULT_SOCKET "/run/bono/admin.sock"

static void usage(FILE *out)
{
	fputs("usage: bonoctl [-s SOCKET] [-o json|table] VERB\n"
	      "  status                  the node and its sites; exit 1 if it is not ready or no "
	      "site serves\n"
	      "  sites                   which site serves, and what part of the traffic each has\n"
	      "  targets                 every Sprout: state, reason, since when, its numbers\n"
	      "  flows [--identity AOR]  clients and what they registered\n"
	      "  events [-f] [--since 30m]\n"
	      "                          what happened; -f: and what happens from now on\n"
	      "  why SITE/NAME|CALL-ID   a target's verdict and what led to it; what was tried for "
	      "a request\n"
	      "  target SITE/NAME drain|disable|enable [--for 30m] [--reason TEXT]\n"
	      "                          drain: no new work; disable: nothing at all; enable: "
	      "revoke\n"
	      "  site NAME evacuate|restore [--for 30m] [--reason TEXT]\n"
	      "                          evacuate: new work goes to the others; restore: revoke\n"
	      "  reload tls              certificates, keys and authorities are read again\n"
	      "The socket is " DEFAULT_SOCKET " unless said.\n"
	      "Exit: 0 well, 1 a problem was found, 2 usage, 3 no daemon.\n",
	      out);
}

static int usage_error(void)
{
	usage(stderr);
	return EXIT_USAGE;
}

int bonoctl_ask(const struct options *options, const char *method, const char *path, int *status,
                char **body)
{
	bool connected;
	int err;

	*status = 0;
	*body = NULL;
	err = bonoctl_request(options->socket, method, path, &connected, status, body);
	if (err == 0)
		return EXIT_WELL;
	fprintf(stderr, "bonoctl: %s: %s, %s\n", options->socket,
	        connected ? "no proper answer" : "no daemon", error_text(err));
	return connected ? EXIT_PROBLEM : EXIT_NO_DAEMON;
}

int bonoctl_ask_json(const struct options *options, const char *method, const char *path,
                     json_t **out)
{
	json_error_t error;
	char *body;
	int status, code = bonoctl_ask(options, method, path, &status, &body);

	if (code != EXIT_WELL)
		return code;
	code = EXIT_PROBLEM;
	if (status == 400)
		code = EXIT_USAGE; /* what we passed on was the operator's */
	if (status != 200)
		fprintf(stderr, "bonoctl: the daemon says %d, %s", status, body);
	else if ((*out = json_loads(body, 0, &error)) == NULL)
		fprintf(stderr, "bonoctl: the answer is not JSON, %s\n", error.text);
	else
		code = EXIT_WELL;
	memory_free(body);
	return code;
}

void bonoctl_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2));
	putchar('\n');
}

/* Told on stderr, so that -o json stays JSON. */
static int judge(const json_t *status)
{
	const json_t *site;
	bool serving = false;
	size_t index;

	json_array_foreach(json_object_get(status, "sites"), index, site) serving =
		serving || json_is_true(json_object_get(site, "serving"));
	if (!serving)
		fputs("problem: no site serves\n", stderr);
	if (!json_is_true(json_object_get(status, "ready"))) {
		fputs(json_is_true(json_object_get(status, "draining"))
		              ? "problem: the node drains\n"
		              : "problem: the node is not ready\n",
		      stderr);
		return EXIT_PROBLEM;
	}
	return serving ? EXIT_WELL : EXIT_PROBLEM;
}

/* ---- verbs ---- */

static int show_status(const struct options *options, const json_t *status)
{
	if (options->json)
		bonoctl_print_json(status);
	else
		bonoctl_print_status(status);
	fflush(stdout);
	return judge(status);
}

static int show_sites(const struct options *options, const json_t *status)
{
	if (options->json)
		bonoctl_print_json(json_object_get(status, "sites"));
	else
		bonoctl_print_sites(status);
	return EXIT_WELL;
}

static int show_targets(const struct options *options, const json_t *status)
{
	json_t *targets = json_array();
	const json_t *site;
	size_t index;

	json_array_foreach(json_object_get(status, "sites"), index, site)
		json_array_extend(targets, json_object_get(site, "targets"));
	if (options->json)
		bonoctl_print_json(targets);
	else
		bonoctl_print_targets(targets);
	json_decref(targets);
	return EXIT_WELL;
}

static int show_flows(const struct options *options, const json_t *flows)
{
	if (options->json)
		bonoctl_print_json(flows);
	else
		bonoctl_print_flows(flows);
	return EXIT_WELL;
}

/* RFC 3986 2.3: all but the unreserved, so that nothing of it can end the request line. */
static void append_encoded(struct buffer *out, const char *text)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

	for (; *text != '\0'; text++)
		if (strchr(plain, *text) != NULL)
			buffer_append(out, text, 1);
		else
			buffer_printf(out, "%%%02X", (unsigned char)*text);
}

void bonoctl_path(struct buffer *out, const char *path, const char *const *names,
                  const char *const *values, unsigned count)
{
	char separator = '?';

	buffer_append_string(out, path);
	for (unsigned i = 0; i < count; i++) {
		if (values[i] == NULL)
			continue;
		buffer_printf(out, "%c%s=", separator, names[i]);
		append_encoded(out, values[i]);
		separator = '&';
	}
	buffer_append(out, "", 1);
}

/* ---- verbs ---- */

static int show(const struct options *options, const char *path, const char *identity,
                int (*show_answer)(const struct options *options, const json_t *answer))
{
	static const char *const names[] = {"identity"};
	struct buffer target;
	json_t *answer = NULL;
	int code = EXIT_PROBLEM;

	buffer_init(&target);
	bonoctl_path(&target, path, names, &identity, 1);
	if (target.failed)
		fprintf(stderr, "bonoctl: %s\n", error_text(-ENOMEM));
	else
		code = bonoctl_ask_json(options, "GET", target.data, &answer);
	if (answer != NULL)
		code = show_answer(options, answer);
	json_decref(answer);
	buffer_free(&target);
	return code;
}

static int do_status(const struct options *options, char **words)
{
	return show(options, "/status", NULL, show_status);
}

static int do_sites(const struct options *options, char **words)
{
	return show(options, "/status", NULL, show_sites);
}

static int do_targets(const struct options *options, char **words)
{
	return show(options, "/status", NULL, show_targets);
}

static int do_flows(const struct options *options, char **words)
{
	return show(options, "/flows", options->identity, show_flows);
}

static int do_events(const struct options *options, char **words)
{
	return bonoctl_events(options);
}

static int do_why(const struct options *options, char **words)
{
	return bonoctl_why(options, words[1]);
}

static int do_reload(const struct options *options, char **words)
{
	return strcmp(words[1], "tls") == 0 ? bonoctl_reload_tls(options) : usage_error();
}

static int do_operate(const struct options *options, char **words)
{
	return bonoctl_operate(options, words[0], words[1], words[2]);
}

/* What may be said beside -s, -o and the words themselves. */
enum { TAKES_IDENTITY = 1, TAKES_FOLLOW = 2, TAKES_SINCE = 4, TAKES_WORD = 8 };

static const struct verb {
	const char *name;
	int words; /* with the verb itself */
	unsigned takes;
	int (*run)(const struct options *options, char **words);
} verbs[] = {
	{"status", 1, 0, do_status},
	{"sites", 1, 0, do_sites},
	{"targets", 1, 0, do_targets},
	{"flows", 1, TAKES_IDENTITY, do_flows},
	{"events", 1, TAKES_FOLLOW | TAKES_SINCE, do_events},
	{"why", 2, 0, do_why},
	{"target", 3, TAKES_WORD, do_operate},
	{"site", 3, TAKES_WORD, do_operate},
	{"reload", 2, 0, do_reload},
};

static unsigned taken(const struct options *options)
{
	return (options->identity != NULL ? TAKES_IDENTITY : 0) |
	       (options->follow ? TAKES_FOLLOW : 0) | (options->since != NULL ? TAKES_SINCE : 0) |
	       (options->time != NULL || options->reason != NULL ? TAKES_WORD : 0);
}

/* -1, or the exit code. */
static int read_option(struct options *options, int option)
{
	switch (option) {
	case 's':
		options->socket = optarg;
		return -1;
	case 'o':
		options->json = strcmp(optarg, "json") == 0;
		return options->json || strcmp(optarg, "table") == 0 ? -1 : usage_error();
	case 'i':
		options->identity = optarg;
		return -1;
	case 'f':
		options->follow = true;
		return -1;
	case 'S':
		options->since = optarg;
		return -1;
	case 'F':
		options->time = optarg;
		return -1;
	case 'R':
		options->reason = optarg;
		return -1;
	case 'V':
		puts("bonoctl " BONO_VERSION);
		return EXIT_WELL;
	case 'h':
		usage(stdout);
		return EXIT_WELL;
	default:
		return usage_error();
	}
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"socket", required_argument, NULL, 's'},
		{"output", required_argument, NULL, 'o'},
		{"identity", required_argument, NULL, 'i'},
		{"follow", no_argument, NULL, 'f'},
		{"since", required_argument, NULL, 'S'},
		{"for", required_argument, NULL, 'F'},
		{"reason", required_argument, NULL, 'R'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options options = {.socket = DEFAULT_SOCKET};
	int option, code;

	while ((option = getopt_long(argc, argv, "s:o:fh", long_options, NULL)) != -1) {
		code = read_option(&options, option);
		if (code >= 0)
			return code;
	}
	for (unsigned i = 0; optind < argc && i < ARRAY_LENGTH(verbs); i++)
		if (strcmp(argv[optind], verbs[i].name) == 0 && argc - optind == verbs[i].words &&
		    (taken(&options) & ~verbs[i].takes) == 0)
			return verbs[i].run(&options, argv + optind);
	return usage_error();
}
