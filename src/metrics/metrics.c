/*
 * The sets: cells that one loop writes and anyone reads. Adding is a relaxed load and a relaxed store, never
 * a locked instruction, since each set has one writer.
 */
#include "metrics/metrics.h"

#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "metrics_internal.h"

/* Values of each label, as a constant for the shape below; metrics_registry_create compares with labels.c. */
enum {
	SIZE_SIDE = 2,
	SIZE_TRANSPORT = 5,
	SIZE_METHOD = 15,
	SIZE_CODE_CLASS = 6,
	SIZE_TRANSACTION_KIND = 2,
	SIZE_LOST_REASON = LOST_OTHER + 1,
	SIZE_REJECTED_CLASS = REJECTED_CLASS_PACKET + 1,
	SIZE_REJECTED_REASON = REJECTED_OTHER + 1,
	SIZE_PARSE_ERROR_REASON = PARSE_ERROR_OTHER + 1,
	SIZE_UPGRADE_RESULT = UPGRADE_RESULTS,
	SIZE_TARGET_STATE = 6,
	SIZE_TARGET_STATE_TO = 6,
	SIZE_HEALTH_REASON = 21,
	SIZE_FAILOVER_REASON = FAILOVER_OTHER + 1,
	SIZE_FLOW_CLOSE = 8,
	SIZE_STUN_RESULT = 7,
	SIZE_DEREGISTRATION_RESULT = DEREGISTRATION_DROPPED + 1,
	SIZE_REG_SUBSCRIBE_RESULT = REG_SUBSCRIBE_DROPPED + 1,
	SIZE_REG_NOTIFY_RESULT = REG_NOTIFY_MALFORMED + 1,
	SIZE_CLOSE_REASON = 16,
	SIZE_TLS_RESULT = TLS_RESULT_OTHER + 1,
	SIZE_TLS_RELOAD = TLS_RELOAD_REFUSED + 1,
	SIZE_CERTIFICATE = METRICS_CERTIFICATES_MAX,
	SIZE_TARGET = METRICS_TARGETS_MAX,
	SIZE_SITE = METRICS_SITES_MAX,
	SIZE_SITE_FROM = METRICS_SITES_MAX,
	SIZE_SITE_TO = METRICS_SITES_MAX,
	SIZE_DNS_NAME = METRICS_NAMES_MAX,
	SIZE_DNS_RESULT = DNS_RESULT_FAILED + 1,
	SIZE_CHARGING_RESULT = CHARGING_RETRIED + 1,
	SIZE_LOOP = 1
};

#define CELLS_COUNTER 1
#define CELLS_COUNTER_SPARSE 1
#define CELLS_GAUGE 1
#define CELLS_GAUGE_US 1
#define CELLS_HISTOGRAM HISTOGRAM_CELLS
#define CELLS_HISTOGRAM_SPARSE HISTOGRAM_CELLS

#define L0 1
#define L1(a) (SIZE_##a)
#define L2(a, b) (SIZE_##a * SIZE_##b)
#define L3(a, b, c) (SIZE_##a * SIZE_##b * SIZE_##c)
struct cells {
#define METRIC(kind, ident, name, labels, help) _Atomic int64_t ident[(labels)*CELLS_##kind];
#include "metrics/counters.def"
#undef METRIC
};
#undef L0
#undef L1
#undef L2
#undef L3

/* A cache line of another set is never written with ours, wherever the heap puts us. */
#define PAD_BYTES 64

struct metrics {
	char before[PAD_BYTES];
	struct cells cells;
	char after[PAD_BYTES];
};

#define L0                                                                                         \
	{LABEL_NONE, LABEL_NONE, LABEL_NONE},                                                      \
	{                                                                                          \
		1, 1, 1                                                                            \
	}
#define L1(a)                                                                                      \
	{LABEL_##a, LABEL_NONE, LABEL_NONE},                                                       \
	{                                                                                          \
		SIZE_##a, 1, 1                                                                     \
	}
#define L2(a, b)                                                                                   \
	{LABEL_##a, LABEL_##b, LABEL_NONE},                                                        \
	{                                                                                          \
		SIZE_##a, SIZE_##b, 1                                                              \
	}
#define L3(a, b, c)                                                                                \
	{LABEL_##a, LABEL_##b, LABEL_##c},                                                         \
	{                                                                                          \
		SIZE_##a, SIZE_##b, SIZE_##c                                                       \
	}
const struct metric_row metric_rows[METRICS] = {
#define METRIC(kind, ident, name, labels, help)                                                    \
	{#ident,      name,                                                                        \
	 help,        METRIC_KIND_##kind,                                                          \
	 labels,      offsetof(struct cells, ident) / sizeof(int64_t),                             \
	 CELLS_##kind},
#include "metrics/counters.def"
#undef METRIC
};

/* From a Sprout on the same rack to a phone that rings for three minutes. */
const uint64_t histogram_bounds_us[HISTOGRAM_BUCKETS] = {
	500,    1000,    2500,    5000,    10000,   25000,    50000,    100000,   200000,
	500000, 1000000, 2000000, 4000000, 8000000, 16000000, 32000000, 64000000, 180000000,
};

struct target_name {
	char *site, *target;
};

struct metrics_registry {
	struct metrics *sets[METRICS_LOOPS_MAX];
	char *loop_names[METRICS_LOOPS_MAX];
	unsigned count;
	char *sites[METRICS_SITES_MAX];
	struct target_name targets[METRICS_TARGETS_MAX];
	char *names[METRICS_NAMES_MAX];
	char *certificates[METRICS_CERTIFICATES_MAX];
};

int metrics_registry_create(struct metrics_registry **out)
{
	struct metrics_registry *registry;

	for (unsigned i = 0; i < METRICS; i++)
		for (unsigned j = 0; j < 3; j++)
			ASSERT(metric_rows[i].sizes[j] ==
			       metrics_label_size(metric_rows[i].labels[j]));
	registry = memory_zalloc(sizeof(*registry));
	if (registry == NULL)
		return -ENOMEM;
	*out = registry;
	return 0;
}

void metrics_registry_destroy(struct metrics_registry **registry)
{
	struct metrics_registry *r = *registry;

	if (r == NULL)
		return;
	*registry = NULL;
	for (unsigned i = 0; i < r->count; i++) {
		memory_free(r->sets[i]);
		memory_free(r->loop_names[i]);
	}
	for (unsigned i = 0; i < METRICS_SITES_MAX; i++)
		memory_free(r->sites[i]);
	for (unsigned i = 0; i < METRICS_TARGETS_MAX; i++) {
		memory_free(r->targets[i].site);
		memory_free(r->targets[i].target);
	}
	for (unsigned i = 0; i < METRICS_NAMES_MAX; i++)
		memory_free(r->names[i]);
	for (unsigned i = 0; i < METRICS_CERTIFICATES_MAX; i++)
		memory_free(r->certificates[i]);
	memory_free(r);
}

int metrics_create(struct metrics_registry *registry, const char *loop_name, struct metrics **out)
{
	struct metrics *metrics;
	char *name;

	if (registry->count == METRICS_LOOPS_MAX)
		return -ENOSPC;
	name = memory_strdup(loop_name);
	metrics = memory_zalloc(sizeof(*metrics));
	if (name == NULL || metrics == NULL) {
		memory_free(name);
		memory_free(metrics);
		return -ENOMEM;
	}
	registry->sets[registry->count] = metrics;
	registry->loop_names[registry->count] = name;
	registry->count++;
	*out = metrics;
	return 0;
}

static unsigned clamp(const struct metric_row *row, unsigned label, unsigned index)
{
	const char *last;

	if (index < row->sizes[label])
		return index;
	last = metrics_label_value(row->labels[label], row->sizes[label] - 1);
	ASSERT(last != NULL && strcmp(last, "other") == 0);
	return row->sizes[label] - 1;
}

static size_t cell_index(enum metric metric, unsigned a, unsigned b, unsigned c)
{
	const struct metric_row *row = &metric_rows[metric];
	size_t series;

	a = clamp(row, 0, a);
	b = clamp(row, 1, b);
	c = clamp(row, 2, c);
	series = ((size_t)a * row->sizes[1] + b) * row->sizes[2] + c;
	return row->offset + series * row->cells;
}

/* offsetof in metric_rows is in cells, so a set is an array of them. */
static _Atomic int64_t *cell_at(const struct metrics *metrics, size_t index)
{
	return (_Atomic int64_t *)&metrics->cells + index;
}

static void cell_add(struct metrics *metrics, size_t index, int64_t n)
{
	_Atomic int64_t *cell = cell_at(metrics, index);

	atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
	                      memory_order_relaxed);
}

void metrics_add(struct metrics *metrics, enum metric metric, unsigned a, unsigned b, unsigned c,
                 int64_t n)
{
	if (metrics == NULL)
		return;
	cell_add(metrics, cell_index(metric, a, b, c), n);
}

void metrics_set(struct metrics *metrics, enum metric metric, unsigned a, unsigned b, unsigned c,
                 int64_t value)
{
	if (metrics == NULL)
		return;
	atomic_store_explicit(cell_at(metrics, cell_index(metric, a, b, c)), value,
	                      memory_order_relaxed);
}

void metrics_observe_us(struct metrics *metrics, enum metric metric, unsigned a, unsigned b,
                        uint64_t us)
{
	size_t first;
	unsigned bucket = 0;

	if (metrics == NULL)
		return;
	ASSERT(metric_rows[metric].cells == HISTOGRAM_CELLS);
	first = cell_index(metric, a, b, 0);
	while (bucket < HISTOGRAM_BUCKETS && us > histogram_bounds_us[bucket])
		bucket++;
	cell_add(metrics, first + bucket, 1);
	cell_add(metrics, first + HISTOGRAM_SUM, (int64_t)us);
}

int64_t metrics_loop_cell(const struct metrics_registry *registry, unsigned loop, size_t cell)
{
	return atomic_load_explicit(cell_at(registry->sets[loop], cell), memory_order_relaxed);
}

int64_t metrics_sum_cell(const struct metrics_registry *registry, size_t cell)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < registry->count; i++)
		sum += metrics_loop_cell(registry, i, cell);
	return sum;
}

/* One series of a counter or gauge; of a histogram, its count. */
static int64_t read_series(const struct metrics_registry *registry, const struct metric_row *row,
                           size_t first)
{
	int64_t sum = 0;
	unsigned cells = row->cells == 1 ? 1 : HISTOGRAM_SUM;

	for (unsigned i = 0; i < cells; i++)
		sum += metrics_sum_cell(registry, first + i);
	return sum;
}

int64_t metrics_read(const struct metrics_registry *registry, enum metric metric, unsigned a,
                     unsigned b, unsigned c)
{
	const struct metric_row *row = &metric_rows[metric];

	if (row->labels[0] == LABEL_LOOP)
		return a < registry->count ? metrics_loop_cell(registry, a, row->offset) : 0;
	return read_series(registry, row, cell_index(metric, a, b, c));
}

int64_t metrics_total(const struct metrics_registry *registry, enum metric metric)
{
	const struct metric_row *row = &metric_rows[metric];
	int64_t sum = 0;

	for (size_t i = 0; i < metric_series(row); i++)
		sum += read_series(registry, row, row->offset + i * row->cells);
	return sum;
}

/* ---- names ---- */

static int replace_text(char **place, const char *text)
{
	char *copy = memory_strdup(text);

	if (copy == NULL)
		return -ENOMEM;
	memory_free(*place);
	*place = copy;
	return 0;
}

int metrics_name_site(struct metrics_registry *registry, unsigned index, const char *site)
{
	if (index >= METRICS_SITES_MAX)
		return -ERANGE;
	return replace_text(&registry->sites[index], site);
}

int metrics_name_target(struct metrics_registry *registry, unsigned id, const char *site,
                        const char *target)
{
	int err;

	if (id >= METRICS_TARGETS_MAX)
		return -ERANGE;
	/* The series is written once both are there, so a failure between leaves none half named. */
	err = replace_text(&registry->targets[id].site, site);
	if (err != 0)
		return err;
	return replace_text(&registry->targets[id].target, target);
}

int metrics_name_dns(struct metrics_registry *registry, unsigned index, const char *name)
{
	if (index >= METRICS_NAMES_MAX)
		return -ERANGE;
	return replace_text(&registry->names[index], name);
}

int metrics_name_certificate(struct metrics_registry *registry, unsigned index, const char *name)
{
	if (index >= METRICS_CERTIFICATES_MAX)
		return -ERANGE;
	if (name != NULL)
		return replace_text(&registry->certificates[index], name);
	memory_free(registry->certificates[index]);
	registry->certificates[index] = NULL;
	return 0;
}

unsigned metrics_loop_count(const struct metrics_registry *registry)
{
	return registry->count;
}

const char *metrics_loop_name(const struct metrics_registry *registry, unsigned loop)
{
	return registry->loop_names[loop];
}

const char *metrics_site_name(const struct metrics_registry *registry, unsigned index)
{
	return registry->sites[index];
}

const char *metrics_certificate_name(const struct metrics_registry *registry, unsigned index)
{
	return registry->certificates[index];
}

const char *metrics_dns_name(const struct metrics_registry *registry, unsigned index)
{
	return registry->names[index];
}

const char *metrics_target_name(const struct metrics_registry *registry, unsigned id,
                                const char **site)
{
	*site = registry->targets[id].site;
	return registry->targets[id].target;
}
