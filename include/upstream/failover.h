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
#include "upstream/view.h"

struct failover;

struct failover_events {
	/* A new view: share it to every worker. The callee takes one reference. */
	void (*on_view)(void *arg, struct view *view);
	/* Send a probe to this target now, on some worker; answer with failover_probe_result. */
	void (*on_probe)(void *arg, uint32_t target_id, uint32_t generation, uint64_t timeout_ms);
};

/* Publishes the first view, and probes, from the first loop turn on. Names sites and targets in the registry.
 * config, registry and metrics outlive it; registry and metrics may be NULL. -EINVAL: more targets than
 * VIEW_TARGETS_MAX. */
int failover_create(struct loop *loop, const struct config *config,
                    struct metrics_registry *registry, struct metrics *metrics,
                    const struct failover_events *events, void *arg, struct failover **out);
void failover_destroy(struct failover **failover);

/* result: HEALTH_PROBE_*. Late, repeated and unknown ones are ignored. A probe of which nothing is heard for a
 * second beyond its time counts as lost. */
void failover_probe_result(struct failover *failover, uint32_t target_id, uint32_t generation,
                           enum health_input result, uint64_t round_trip_us);
/* What workers suffer: HEALTH_TRAFFIC_*, and the operator's words: HEALTH_OPERATOR_*.
 * value: Retry-After in ms of HEALTH_TRAFFIC_OVERLOADED, 0 none. */
void failover_traffic(struct failover *failover, uint32_t target_id, enum health_input input,
                      uint64_t value);
/* As last published, at most a second old in its probe times: state, reason, since, round trip of all targets.
 * Lent. */
const struct view *failover_view(const struct failover *failover);

#endif
