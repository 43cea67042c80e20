/*
 * Counters of one loop (worker or control): written by it alone with relaxed stores, summed by whoever
 * reads. One padded set per loop, so that no cache line is shared. The table is metrics/counters.def:
 *
 *	METRIC(KIND, IDENT, "name", LABELS, "help")
 *
 * KIND: COUNTER, GAUGE (summed over loops) or HISTOGRAM (base unit seconds, observed in microseconds).
 * Labels are small enumerations (metrics_label), so a series is an index, never a string.
 * Metrics with the label LABEL_TARGET are indexed by the target's id (upstream/view.h).
 */
#ifndef BONO_METRICS_METRICS_H
#define BONO_METRICS_METRICS_H

#include <stdint.h>

#include "base/buffer.h"

enum metric {
#define METRIC(kind, ident, name, labels, help) METRIC_##ident,
#include "metrics/counters.def"
#undef METRIC
	METRICS
};

struct metrics;          /* one loop's set */
struct metrics_registry; /* all of them, and the names of targets and sites */

int metrics_registry_create(struct metrics_registry **out);
void metrics_registry_destroy(struct metrics_registry **registry);
/* A new set for one loop, owned by the registry. loop_name labels bono_loop_lag_seconds. */
int metrics_create(struct metrics_registry *registry, const char *loop_name, struct metrics **out);

/* Label indices in the order of the labels in counters.def; unused ones 0. Out of range: counted under
 * the label value "other" (the last) where the label has one, else ASSERT. metrics NULL: nothing. */
void metrics_add(struct metrics *metrics, enum metric metric, unsigned a, unsigned b, unsigned c,
                 int64_t n);
void metrics_set(struct metrics *metrics, enum metric metric, unsigned a, unsigned b, unsigned c,
                 int64_t value);
void metrics_observe_us(struct metrics *metrics, enum metric metric, unsigned a, unsigned b,
                        uint64_t us);
/* The sum over all loops of one series. Any thread. */
int64_t metrics_read(const struct metrics_registry *registry, enum metric metric, unsigned a,
                     unsigned b, unsigned c);
/* The sum over all series of a metric. */
int64_t metrics_total(const struct metrics_registry *registry, enum metric metric);

/* Control names sites and targets; their series exist from then on. Ids as in the view. */
int metrics_name_site(struct metrics_registry *registry, unsigned index, const char *site);
int metrics_name_target(struct metrics_registry *registry, unsigned id, const char *site,
                        const char *target);

/* Prometheus text exposition 0.0.4 of everything. */
void metrics_write(const struct metrics_registry *registry, struct buffer *out);
/* docs/METRICS.md from the table. */
void metrics_write_docs(struct buffer *out);

#endif
