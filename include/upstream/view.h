/*
 * The upstream view: all sites and targets as they stand now, immutable, published by control to every
 * worker. A target keeps its id for life (keyed by site and name), whatever the configuration does.
 */
#ifndef BONO_UPSTREAM_VIEW_H
#define BONO_UPSTREAM_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "loop/snapshot.h"
#include "sip/uri.h"
#include "sip/via.h"

enum target_state {
	TARGET_UNKNOWN, /* not yet probed: may be used, after the UP ones */
	TARGET_UP,
	TARGET_DEGRADED,
	TARGET_OVERLOADED,
	TARGET_DOWN,
	TARGET_DRAINING,
	TARGET_STATES
};
const char *target_state_name(enum target_state state); /* "UP" */

struct view_target {
	uint32_t id;            /* also the slot of its metrics; < VIEW_TARGETS_MAX */
	uint32_t site;          /* index in view->sites */
	const char *name, *uri; /* uri as configured, "sip:10.0.0.21:5054;transport=tcp" */
	const char *
		route_uri; /* "sip:10.0.0.21:5054;transport=tcp;lr;orig" without <>: for the Route */
	struct address address;
	enum sip_transport transport;
	unsigned weight;
	enum target_state state;
	const char *reason; /* static words for why it is in that state */
	uint64_t since_wall_ms;
	int64_t probe_us;    /* last answered probe, -1: never */
	uint32_t generation; /* of the probe series; a late answer of an older one is ignored */
};

struct view_site {
	const char *name;
	const char *advertise; /* sent-by toward this site, NULL: the listener's */
	bool local;
	unsigned first, count; /* its targets: view->targets[first .. first+count) */
	bool usable;           /* some target may be given work */
};

#define VIEW_TARGETS_MAX 1024

struct view {
	struct snapshot snapshot; /* first; free with snapshot_release */
	uint64_t version;
	struct view_site *sites; /* in order of preference */
	unsigned site_count;
	struct view_target *targets;
	unsigned target_count;
	int serving; /* index of the site that new work goes to first, -1: none usable (panic) */
};

/*
 * A deep copy of what `like` shows (strings too), as one block with one reference: for failover, which keeps
 * the living original, and for tests. Computes every site's `usable`, and `serving` as the first usable site.
 * Targets must stand grouped by site, as first and count say. -ENOMEM.
 */
int view_create(const struct view *like, struct view **out);
/* May be given work without panic: UNKNOWN, UP, DEGRADED. */
bool target_state_is_usable(enum target_state state);

const struct view_target *view_find_id(const struct view *view, uint32_t id);
const struct view_target *view_find_address(const struct view *view, const struct address *address,
                                            enum sip_transport transport);
/* The target that a Route or Request-URI names: host literal equal to the target's address, or name equal to
 * that of its configured URI, port (default 5060) and transport (default UDP unless the port matches one
 * target only). NULL: none. */
const struct view_target *view_find_uri(const struct view *view, const struct uri *uri);

#endif
