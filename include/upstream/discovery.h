/*
 * Sites whose targets DNS knows: every name of the configuration is resolved again before its answer grows old, and
 * each address becomes a target, named ADDRESS:PORT/TRANSPORT. DNS may add, change and withdraw; it never empties:
 * while it is silent, denies what it said before or speaks nonsense, what it said last is served on.
 * Control thread only.
 */
#ifndef BONO_UPSTREAM_DISCOVERY_H
#define BONO_UPSTREAM_DISCOVERY_H

#include "config/config.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "upstream/failover.h"
#include "upstream/resolution.h"

struct discovery;

/* Of one name; what stands beyond it is left out. */
#define DISCOVERY_TARGETS_MAX 256

struct discovery_ways {
	/* As resolver_ask. */
	int (*ask)(void *arg, const char *name, enum dns_type type,
	           void (*done)(void *arg, struct dns_answer *answer), void *done_arg);
	/* As failover_set_site_targets: all of the site, those of the configuration first. */
	int (*set_targets)(void *arg, unsigned site, const struct failover_target_spec *specs,
	                   unsigned count);
	void *arg;
};

/* Asks from the first loop turn on; nobody waits for it. config, registry and metrics outlive it; registry and
 * metrics may be NULL. Fine without any name. -ENOMEM. */
int discovery_create(struct loop *loop, const struct config *config,
                     struct metrics_registry *registry, struct metrics *metrics,
                     const struct discovery_ways *ways, struct discovery **out);
/* After who answers (resolver_destroy). */
void discovery_destroy(struct discovery **discovery);

#endif
