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
	const char *host; /* the name that DNS found it by; NULL: none */
	const char *tls;  /* the profile to reach it by; NULL: none */
	const char *
		tls_name; /* RFC 5922: what its certificate must show; NULL: the address (IP SAN) */
	unsigned
		priority; /* 0 first; within a site the next only when none of it is usable (RFC 2782) */
	unsigned weight;     /* as configured */
	unsigned weight_cut; /* permille of it that is withheld now (DEGRADED, on trial) */
	enum target_state state;
	bool disabled; /* DRAINING, and not even what names it may go there */
	bool answering; /* to probes, whatever its state: DRAINING ones take dialogs, DOWN ones panic */
	const char *reason; /* static words for why it is in that state */
	uint64_t since_wall_ms;
	int64_t probe_us;    /* last answered probe, -1: never */
	uint32_t generation; /* of the probe series; a late answer of an older one is ignored */
};

enum site_state {
	SITE_READY,     /* it takes what the order of preference gives it */
	SITE_SPILLING,  /* the same, and what its capacity cannot carry goes on to the next */
	SITE_DOWN,      /* none of its targets may be given work */
	SITE_HOLD_DOWN, /* usable again, not yet believed */
	SITE_RAMPING,   /* takes a growing share of new work */
	SITE_EVACUATED, /* by the operator's word */
	SITE_STATES
};
const char *site_state_name(enum site_state state); /* "HOLD_DOWN" */

struct view_site {
	const char *name;
	const char *advertise; /* sent-by toward this site, NULL: the listener's */
	bool local;
	unsigned first, count; /* its targets: view->targets[first .. first+count) */
	bool usable;           /* some target may be given work */
	enum site_state state;
	/* Permille of new work; together 1000, or 0 in panic. view_create: all 0 where some site is usable gives all
	 * to the first. */
	unsigned share;
	bool evacuated;       /* tried last */
	uint32_t capacity;    /* requests per second it may be given, 0: no limit */
	uint64_t response_us; /* smoothed time from a request to its first answer, 0: not known */
};

#define VIEW_TARGETS_MAX 1024
#define VIEW_SHARE_ALL 1000 /* permille */

struct view {
	struct snapshot snapshot; /* first; free with snapshot_release */
	uint64_t version;
	struct view_site *sites; /* in order of preference */
	unsigned site_count;
	struct view_target *targets;
	unsigned target_count;
	int serving; /* index of the site that most new work goes to, -1: none usable (panic) */
	bool panic;  /* no target of any site is usable: the least bad are tried */
	/* A count of the views that show the same targets: who keeps a reference of its own sees when they have all
	 * gone. NULL: nobody asks. */
	struct snapshot *roster;
};

/*
 * A deep copy of what `like` shows (strings too), as one block with one reference: for failover, which keeps
 * the living original, and for tests. Computes every site's `usable`, `serving` as the usable site with the largest
 * share (the first of equals), `panic`. Shares its roster.
 * Targets must stand grouped by site, as first and count say. -ENOMEM.
 */
int view_create(const struct view *like, struct view **out);
/* May be given work without panic: UNKNOWN, UP, DEGRADED. */
bool target_state_is_usable(enum target_state state);

/* As transport_open wants it; lent as the target is. Upstream, probes and traffic share the connection. */
struct transport_peer;
void view_target_peer(const struct view_target *target, struct transport_peer *out);

const struct view_target *view_find_id(const struct view *view, uint32_t id);
const struct view_target *view_find_address(const struct view *view, const struct address *address,
                                            enum sip_transport transport);
/* The target that a Route or Request-URI names: host literal equal to the target's address, or name equal to
 * that of its configured URI, port (default 5060) and transport (default UDP unless the port matches one
 * target only). NULL: none. */
const struct view_target *view_find_uri(const struct view *view, const struct uri *uri);

#endif
