/*
 * What the files of metrics tell each other: the shape of a set and the table.
 */
#ifndef BONO_METRICS_INTERNAL_H
#define BONO_METRICS_INTERNAL_H

#include "metrics/metrics.h"

enum metric_kind {
	METRIC_KIND_COUNTER,
	METRIC_KIND_COUNTER_SPARSE,
	METRIC_KIND_GAUGE,
	METRIC_KIND_GAUGE_US,
	METRIC_KIND_HISTOGRAM,
	METRIC_KIND_HISTOGRAM_SPARSE
};

/* A series of a histogram is its buckets (not cumulated), the one beyond them, and the sum in us. */
#define HISTOGRAM_BUCKETS 18
#define HISTOGRAM_CELLS (HISTOGRAM_BUCKETS + 2)
#define HISTOGRAM_SUM (HISTOGRAM_CELLS - 1)
extern const uint64_t histogram_bounds_us[HISTOGRAM_BUCKETS];

struct metric_row {
	const char *ident, *name, *help;
	enum metric_kind kind;
	enum metrics_label labels[3];
	unsigned sizes[3]; /* 1 for LABEL_NONE */
	size_t offset;     /* first cell of the metric in a set */
	unsigned cells;    /* per series */
};
extern const struct metric_row metric_rows[METRICS];
static inline size_t metric_series(const struct metric_row *row)
{
	return (size_t)row->sizes[0] * row->sizes[1] * row->sizes[2];
}

const char *metrics_label_name(enum metrics_label label);
int64_t metrics_sum_cell(const struct metrics_registry *registry, size_t cell);
int64_t metrics_loop_cell(const struct metrics_registry *registry, unsigned loop, size_t cell);
unsigned metrics_loop_count(const struct metrics_registry *registry);
const char *metrics_loop_name(const struct metrics_registry *registry, unsigned loop);
/* NULL: not named. */
const char *metrics_certificate_name(const struct metrics_registry *registry, unsigned index);
const char *metrics_dns_name(const struct metrics_registry *registry, unsigned index);
const char *metrics_site_name(const struct metrics_registry *registry, unsigned index);
const char *metrics_target_name(const struct metrics_registry *registry, unsigned id,
                                const char **site);

/* process_* of Prometheus' custom, read from /proc. */
void metrics_write_process(struct buffer *out);

#endif
