/*
 * The admin port: HTTP for people, monitors and bonoctl, on TCP (read-only) and on a Unix socket, both
 * from one table of routes. Lives on the control loop. Knows nothing of workers: it asks its source, and
 * reads the counters. Losing it disturbs no traffic.
 *
 *	GET /livez /readyz /metrics /status /flows[?identity=AOR] and / (the list of routes)
 *	GET /events[?since=30m]     JSON lines; with Accept: text/event-stream a stream without an end
 *	GET /why?target=SITE/NAME   a verdict and what led to it
 * and on the Unix socket alone
 *	GET /why?call-id=CALL-ID    what was tried for a request (whom a user calls is his own affair)
 *	POST /target?name=SITE/NAME&word=drain|disable|enable[&for=30m][&reason=TEXT]
 *	POST /site?name=SITE&word=evacuate|restore[&for=30m][&reason=TEXT]
 *	POST /reload?what=tls       certificates, keys, authorities and ticket keys are read again
 */
#ifndef BONO_ADMIN_ADMIN_H
#define BONO_ADMIN_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/loop.h"
#include "metrics/metrics.h"
#include "proxy/decision.h"
#include "upstream/operator.h"
#include "upstream/view.h"

struct admin;
struct admin_query; /* one GET /flows that waits for its rows */

struct admin_binding {
	const char *aor;     /* "sip:alice@example.net" */
	const char *contact; /* its URI; may be NULL */
	uint64_t expires_s;  /* seconds left */
};

/* One flow, as told by the worker that owns it. Texts are copied by admin_flows_add. */
struct admin_flow {
	uint64_t id;
	unsigned worker;
	const char *hop;      /* hop_format: "198.51.100.7:5061/tcp" */
	const char *listener; /* its name; may be NULL */
	uint64_t age_s;
	const struct admin_binding *bindings; /* none: not registered */
	unsigned binding_count;
};

/* One thing that happened. Texts are lent; those that say nothing are empty, never NULL. */
struct admin_event {
	uint64_t number; /* rises, over restarts too */
	uint64_t wall_ms;
	const char *kind;    /* "target", "site", "operator", "discovery", "node", "tls" */
	const char *subject; /* "site-a/sprout-2", "site-a" */
	const char *from, *to, *reason, *evidence;
};

struct admin_certificate { /* texts are lent for the turn */
	const char *name, *subject;
	int64_t not_after_s; /* since 1970 */
};

/* What admin asks of its owner, always on the control loop. */
struct admin_source {
	bool (*live)(void *arg);  /* all loops turn */
	bool (*ready)(void *arg); /* bound, not draining */
	bool (*draining)(void *arg);
	const struct view *(*view)(void *arg); /* lent for the turn; NULL: none yet */
	/* May be NULL. Called before counters are read for a reply: refresh gauges that are only known to
	 * their owner (loop lag, letters refused, lines of log dropped). */
	void (*refresh)(void *arg);
	/*
	 * Collect the flows of all workers, or (identity not NULL) those with a binding of this
	 * address-of-record. Calls admin_flows_add for each, now or later, then admin_flows_finish exactly once
	 * per query, whatever happens (err: -errno when it failed). The query stays valid until then, even if
	 * the client has gone or admin was destroyed. identity is good during this call only.
	 */
	void (*flows)(void *arg, const char *identity, struct admin_query *query);
	/* The first event that is kept and has a number above `after` (0: the oldest), lent for the turn; false: none. */
	bool (*next_event)(void *arg, uint64_t after, struct admin_event *out);
	/* Visit what is kept of requests with this Call-ID, oldest first; each is lent for the call. */
	void (*decisions)(void *arg, struct slice call_id,
	                  void (*visit)(void *visit_arg, const struct decision *decision),
	                  void *visit_arg);
	/* The operator's words that stand, lent for the turn. */
	const struct operator_word *(*words)(void *arg, unsigned *count);
	/* Say one (its verb may be one that revokes). -ENOENT: no such target or site, -ENOMEM, -ENOSPC; -EIO: it
	 * stands, but a restart will forget it. */
	int (*say)(void *arg, const struct operator_word *word);
	/* Read the files of TLS again. Each fault is told; -EINVAL then, and what was there goes on. -ENOENT: no TLS is
	 * configured. */
	int (*reload_tls)(void *arg, void (*on_fault)(void *fault_arg, const char *text),
	                  void *fault_arg);
	/* The certificates that are shown to new connections; false: no more of them. */
	bool (*certificate)(void *arg, unsigned index, struct admin_certificate *out);
};

struct admin_settings {
	const char *http;   /* "127.0.0.1:9090", NULL: none */
	const char *socket; /* path, NULL: none; made with mode 0660 */
	const char *node, *site, *config_hash;
	const struct metrics_registry *registry;
};

/* Binds both and listens. -EADDRINUSE if another daemon listens on the socket (a socket file that nobody
 * listens on is replaced), and other -errno, logged with the address. Settings' texts are copied. */
int admin_create(struct loop *loop, const struct admin_settings *settings,
                 const struct admin_source *source, void *arg, struct admin **out);
/* Closes everything and removes the socket file. */
void admin_destroy(struct admin **admin);

/* There is an event that was not there before: those who follow are told. */
void admin_events_changed(struct admin *admin);

/* False when the answer is full (ADMIN_FLOWS_MAX) or its client has gone: more need not be added. */
bool admin_flows_add(struct admin_query *query, const struct admin_flow *flow);
/* Answers the client; the query is gone afterwards. */
void admin_flows_finish(struct admin_query **query, int err);

/* More rows help nobody and would stall the control loop; the answer then says truncated. */
#define ADMIN_FLOWS_MAX 10000

#endif
