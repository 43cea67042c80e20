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

enum { EXIT_WELL = 0, EXIT_PROBLEM = 1, EXIT_USAGE = 2, EXIT_NO_DAEMON = 3 };

#define DEFAULT_SOCKET "/run/bono/admin.sock"

struct options {
	const char *socket;
	const char *identity; /* NULL: all */
	bool json;
};

static void usage(FILE *out)
{
	fputs("usage: bonoctl [-s SOCKET] [-o json|table] VERB\n"
	      "  status                  the node and its sites; exit 1 if it is not ready or no "
	      "site serves\n"
	      "  sites                   which site serves, and what part of the traffic each has\n"
	      "  targets                 every Sprout: state, reason, since when, its numbers\n"
	      "  flows [--identity AOR]  clients and what they registered\n"
	      "The socket is " DEFAULT_SOCKET " unless said.\n"
	      "Exit: 0 well, 1 a problem was found, 2 usage, 3 no daemon.\n",
	      out);
}

/* 0 and *out, or the exit code, with the reason told. */
static int ask(const struct options *options, const char *path, json_t **out)
{
	json_error_t error;
	char *body = NULL;
	bool connected;
	int status, err, code = EXIT_PROBLEM;

	err = bonoctl_get(options->socket, path, &connected, &status, &body);
	if (err != 0) {
		fprintf(stderr, "bonoctl: %s: %s, %s\n", options->socket,
		        connected ? "no proper answer" : "no daemon", error_text(err));
		return connected ? EXIT_PROBLEM : EXIT_NO_DAEMON;
	}
	if (status == 400)
		code = EXIT_USAGE; /* what we passed on was the operator's */
	if (status != 200)
		fprintf(stderr, "bonoctl: the daemon says %d, %s", status, body);
	else if ((*out = json_loads(body, 0, &error)) == NULL)
		fprintf(stderr, "bonoctl: the answer is not JSON, %s\n", error.text);
	else
		code = 0;
	memory_free(body);
	return code;
}

static void print_json(const json_t *value)
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
		print_json(status);
	else
		bonoctl_print_status(status);
	fflush(stdout);
	return judge(status);
}

static int show_sites(const struct options *options, const json_t *status)
{
	if (options->json)
		print_json(json_object_get(status, "sites"));
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
		print_json(targets);
	else
		bonoctl_print_targets(targets);
	json_decref(targets);
	return EXIT_WELL;
}

static int show_flows(const struct options *options, const json_t *flows)
{
	if (options->json)
		print_json(flows);
	else
		bonoctl_print_flows(flows);
	return EXIT_WELL;
}

static const struct verb {
	const char *name;
	const char *path;
	int (*show)(const struct options *options, const json_t *answer);
	bool takes_identity;
} verbs[] = {
	{"status", "/status", show_status, false},
	{"sites", "/status", show_sites, false},
	{"targets", "/status", show_targets, false},
	{"flows", "/flows", show_flows, true},
};

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

static int run(const struct options *options, const struct verb *verb)
{
	struct buffer path;
	json_t *answer = NULL;
	int code = EXIT_PROBLEM;

	buffer_init(&path);
	buffer_append_string(&path, verb->path);
	if (options->identity != NULL) {
		buffer_append_string(&path, "?identity=");
		append_encoded(&path, options->identity);
	}
	buffer_append(&path, "", 1);
	if (path.failed)
		fprintf(stderr, "bonoctl: %s\n", error_text(-ENOMEM));
	else
		code = ask(options, path.data, &answer);
	if (answer != NULL)
		code = verb->show(options, answer);
	json_decref(answer);
	buffer_free(&path);
	return code;
}

static int usage_error(void)
{
	usage(stderr);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"socket", required_argument, NULL, 's'},
		{"output", required_argument, NULL, 'o'},
		{"identity", required_argument, NULL, 'i'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options options = {.socket = DEFAULT_SOCKET};
	int option;

	while ((option = getopt_long(argc, argv, "s:o:h", long_options, NULL)) != -1) {
		switch (option) {
		case 's':
			options.socket = optarg;
			break;
		case 'o':
			options.json = strcmp(optarg, "json") == 0;
			if (!options.json && strcmp(optarg, "table") != 0)
				return usage_error();
			break;
		case 'i':
			options.identity = optarg;
			break;
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
	if (optind + 1 != argc)
		return usage_error();
	for (unsigned i = 0; i < ARRAY_LENGTH(verbs); i++)
		if (strcmp(argv[optind], verbs[i].name) == 0 &&
		    (options.identity == NULL || verbs[i].takes_identity))
			return run(&options, &verbs[i]);
	return usage_error();
}
