/*
 * What the files of bonoctl tell each other.
 */
#ifndef BONO_MAIN_BONOCTL_H
#define BONO_MAIN_BONOCTL_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buffer.h"

enum { EXIT_WELL = 0, EXIT_PROBLEM = 1, EXIT_USAGE = 2, EXIT_NO_DAEMON = 3 };

struct options {
	const char *socket;
	bool json, follow;
	const char *identity, *since, *time, *reason; /* NULL: not given */
};

/* ---- bonoctl.c ---- */

/* "/path", then for each name whose value is not NULL "?name=value" or "&name=value", encoded; NUL-terminated. */
void bonoctl_path(struct buffer *out, const char *path, const char *const *names,
                  const char *const *values, unsigned count);
/* 0, or the exit code with the reason told. *status: HTTP's, 0 if there was none; *body from memory.h. */
int bonoctl_ask(const struct options *options, const char *method, const char *path, int *status,
                char **body);
/* The same of an answer that must be 200 and JSON. */
int bonoctl_ask_json(const struct options *options, const char *method, const char *path,
                     json_t **out);
void bonoctl_print_json(const json_t *value);

/* ---- bonoctl_http.c ---- */

/* 0, -errno of the connection attempt (*connected false), or -errno afterwards (-EBADMSG: not HTTP, or cut
 * short). *body: what the daemon said, from memory.h, NUL-terminated; *status: HTTP's. */
int bonoctl_request(const char *socket_path, const char *method, const char *path, bool *connected,
                    int *status, char **body);
/* GET a text/event-stream; on_data gets each "data:" line, as it comes. Returns when the daemon ends the stream (0) or as
 * above; another status than 200 comes with its body. */
int bonoctl_stream(const char *socket_path, const char *path, bool *connected, int *status,
                   char **body, void (*on_data)(void *arg, const char *data), void *arg);

/* ---- bonoctl_print.c: tables for people on stdout, of the objects that /status and /flows give ---- */

void bonoctl_print_status(const json_t *status);
void bonoctl_print_sites(const json_t *status);
void bonoctl_print_targets(const json_t *targets); /* of all sites, in one array */
void bonoctl_print_flows(const json_t *flows);
void bonoctl_print_certificates(const json_t *certificates);
/* Text without control bytes, whoever wrote it. */
void bonoctl_print_clean(const char *text);

/* ---- bonoctl_explain.c, bonoctl_operate.c, bonoctl_reload.c: verbs ---- */

int bonoctl_events(const struct options *options);
int bonoctl_why(const struct options *options, const char *what);
int bonoctl_operate(const struct options *options, const char *kind, const char *name,
                    const char *word);
int bonoctl_reload_tls(const struct options *options);

#endif
