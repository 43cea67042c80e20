/*
 * What the files of bonoctl tell each other.
 */
#ifndef BONO_MAIN_BONOCTL_H
#define BONO_MAIN_BONOCTL_H

#include <jansson.h>
#include <stdbool.h>

/* 0, -errno of the connection attempt (*connected false), or -errno afterwards (-EBADMSG: not HTTP, or cut
 * short). *body: what the daemon said, from memory.h, NUL-terminated; *status: HTTP's. */
int bonoctl_get(const char *socket_path, const char *path, bool *connected, int *status,
                char **body);

/* Tables for people on stdout, of the objects that /status and /flows give. */
void bonoctl_print_status(const json_t *status);
void bonoctl_print_sites(const json_t *status);
void bonoctl_print_targets(const json_t *targets); /* of all sites, in one array */
void bonoctl_print_flows(const json_t *flows);

#endif
