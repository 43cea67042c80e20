/*
 * The decision: all targets' health, which site serves, and the view that follows. Owned by control,
 * runs on its loop; knows neither sockets nor letters: it is told by calls and speaks by callbacks.
 */
#ifndef BONO_UPSTREAM_FAILOVER_H
#define BONO_UPSTREAM_FAILOVER_H

#include "config/config.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "upstream/health.h"
#include "upstream/operator.h"
#include "upstream/stats.h"
#include "upstream/view.h"

struct failover;

#define FAILOVER_SUBJECT_MAX 128
#define FAILOVER_EVIDENCE_MAX 320

/* One transition of a target, of a site, or of the whole; a value that may be kept. */
struct failover_event {
	uint64_t wall_ms;
	char subject[FAILOVER_SUBJECT_MAX]; /* "site-a/sprout-2", "site-a", "sites" */
	/* Static texts: states of targets ("UP"), of sites ("HOLD_DOWN"), of "sites" SERVED or PANIC. */
	const char *from, *to;
	const char *reason; /* static: "probes_lost" */
	/* "2 probes lost, last answer 3.1 s ago, 14 requests without first answer; its work goes to site-b" */
	char evidence[FAILOVER_EVIDENCE_MAX];
};

struct failover_events {
	/* A new view: share it to every worker. The callee takes one reference. */
	void (*on_view)(void *arg, struct view *view);
	/* Send a probe to this target now, on some worker; answer with failover_probe_result. */
	void (*on_probe)(void *arg, uint32_t target_id, uint32_t generation, uint64_t timeout_ms);
	/* Something changed. May come from inside the calls below; must not call back. NULL: nobody asks. */
	void (*on_event)(void *arg, const struct failover_event *event);
};

/* Publishes the first view, and probes, from the first loop turn on. Names sites and targets in the registry.
 * config, registry and metrics outlive it; registry and metrics may be NULL. -EINVAL: more targets than
 * VIEW_TARGETS_MAX. */
int failover_create(struct loop *loop, const struct config *config,
                    struct metrics_registry *registry, struct metrics *metrics,
                    const struct failover_events *events, void *arg, struct failover **out);
void failover_destroy(struct failover **failover);

/* A target as configuration or DNS tells it; texts are copied. */
struct failover_target_spec {
	const char *name, *uri; /* as in struct view_target */
	struct address address;
	enum sip_transport transport;
	unsigned weight;
	unsigned priority; /* 0 first; the next only when none of it is usable (RFC 2782) */
	const char *host;  /* the configured name it was found by; NULL: configured as an address */
	const char *tls, *tls_name; /* as in struct view_target */
};

/*
 * From now on these are the targets of the site (index as in the view). A target is the same one if name, address
 * and transport are: it keeps its id and its health, and takes the new weight, URI and TLS. Others are new: UNKNOWN,
 * probed at once. Those no longer named drain: they are DRAINING (no new work, dialogs go on) for
 * FAILOVER_REMOVED_MS, then leave the view; one that is named again meanwhile is back. An id is given to another target only when
 * no view shows it any more and no transaction may remember it.
 * An empty list empties the site: who must not let a mere DNS failure do that does not call.
 * All or nothing: -ENOMEM, -ENOSPC (VIEW_TARGETS_MAX), -EINVAL (no such site).
 */
#define FAILOVER_REMOVED_MS (5 * 60 * 1000)
int failover_set_site_targets(struct failover *failover, unsigned site,
                              const struct failover_target_spec *specs, unsigned count);

/* result: HEALTH_PROBE_*; value: round trip in us, of HEALTH_PROBE_OVERLOADED Retry-After in ms (0 none). Late, repeated and unknown ones
 * are ignored. A probe of which nothing is heard for a second beyond its time counts as lost. */
void failover_probe_result(struct failover *failover, uint32_t target_id, uint32_t generation,
                           enum health_input result, uint64_t value);
/* What workers suffer, at once: HEALTH_TRAFFIC_*.
 * value: Retry-After in ms of HEALTH_TRAFFIC_OVERLOADED, 0 none; of HEALTH_TRAFFIC_SILENT when the request was sent (loop_now_ms),
 * 0 not known. */
void failover_traffic(struct failover *failover, uint32_t target_id, enum health_input input,
                      uint64_t value);
/* What a worker counted since it last told, every 250 to 500 ms. */
void failover_stats(struct failover *failover, const struct target_stats *stats, unsigned count);

/*
 * The operator's words. until_wall_ms: 0 until revoked. reason may be NULL. They stand for names, so that a target
 * that leaves and comes back finds them. A later word replaces the earlier one; OPERATOR_ENABLE and
 * OPERATOR_RESTORE revoke. -ENOENT: no such target or site; -EINVAL: not a verb for it; -ENOMEM; -ENOSPC.
 */
int failover_operator_target(struct failover *failover, const char *site, const char *target,
                             enum operator_verb verb, uint64_t until_wall_ms, const char *reason);
int failover_operator_site(struct failover *failover, const char *site, enum operator_verb verb,
                           uint64_t until_wall_ms, const char *reason);
/* All that stand now, to be kept over a restart; lent until the next call of any of these. */
const struct operator_word *failover_operator_words(const struct failover *failover,
                                                    unsigned *count);
/* Take back what was kept, before the first turn; expired ones are dropped, those for names that are not there
 * wait. -ENOMEM, -ENOSPC. */
int failover_operator_words_set(struct failover *failover, const struct operator_word *words,
                                unsigned count);

/* As last published, at most a second old in its probe times: state, reason, since, round trip of all targets.
 * Lent. */
const struct view *failover_view(const struct failover *failover);

#endif
