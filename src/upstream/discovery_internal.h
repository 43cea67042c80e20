/*
 * What the files of discovery tell each other. Control thread only.
 */
#ifndef BONO_UPSTREAM_DISCOVERY_INTERNAL_H
#define BONO_UPSTREAM_DISCOVERY_INTERNAL_H

#include "upstream/discovery.h"

/* ---- known.c: what holds when an answer says less than the one before ---- */

struct known {
	unsigned failed;    /* lookups without an answer */
	unsigned denied;    /* lookups that know nothing more of a host that had addresses */
	unsigned addresses; /* in the newer result, with those it was given */
};
/* Every lookup of the newer result that found nothing takes what the older one found, if anything. The older one
 * may be empty. Then sorts the servers by priority. */
struct known known_keep(struct resolution_result *newer, struct resolution_result *older);

/* ---- target_list.c: the targets of a site, as failover takes them ---- */

struct target_text {
	char name[ADDRESS_TEXT_MAX + 8]; /* "10.0.0.21:5054/tcp" */
	char uri[ADDRESS_TEXT_MAX + 32]; /* "sip:10.0.0.21:5054;transport=tcp" */
};

struct target_list {
	struct failover_target_spec *specs; /* owned */
	struct target_text *texts;          /* owned; of those that DNS found */
	unsigned count, room, left_out;
};

/* -ENOMEM. */
int target_list_init(struct target_list *list, unsigned room);
void target_list_free(struct target_list *list);
/* tls: the profile of its site, NULL: none. */
void target_list_add_configured(struct target_list *list, const struct config_target *target,
                                const char *tls);
/* All addresses of the result, as targets of this name; those already there once only. Over TLS each must show the
 * name that the resolution began with (RFC 5922 5.2: what DNS says on the way proves nothing). */
void target_list_add_found(struct target_list *list, const struct config_target *name,
                           const char *tls, const struct resolution_result *result);
uint64_t target_list_hash(const struct target_list *list);

#endif
