/*
 * Prometheus text exposition 0.0.4, and docs/METRICS.md. Control thread.
 */
#include <inttypes.h>
#include <stdio.h>

#include "metrics/metrics.h"
#include "metrics_internal.h"

/* Backslash, quote and newline are the only bytes that the format escapes. */
static void write_value(struct buffer *out, const char *value)
{
	for (; *value != '\0'; value++) {
		if (*value == '\n') {
			buffer_append_string(out, "\\n");
			continue;
		}
		if (*value == '\\' || *value == '"')
			buffer_append(out, "\\", 1);
		buffer_append(out, value, 1);
	}
}

static void write_pair(struct buffer *out, unsigned *count, const char *name, const char *value)
{
	buffer_append_string(out, (*count)++ == 0 ? "{" : ",");
	buffer_append_string(out, name);
	buffer_append_string(out, "=\"");
	write_value(out, value);
	buffer_append_string(out, "\"");
}

struct series {
	const struct metrics_registry *registry;
	const struct metric_row *row;
	unsigned index[3];
	int loop; /* -1: the sum of all */
	size_t first;
};

static const char *label_text(const struct series *series, unsigned label)
{
	enum metrics_label kind = series->row->labels[label];

	switch (kind) {
	case LABEL_SITE:
	case LABEL_SITE_FROM:
	case LABEL_SITE_TO:
		return metrics_site_name(series->registry, series->index[label]);
	case LABEL_DNS_NAME:
		return metrics_dns_name(series->registry, series->index[label]);
	case LABEL_CERTIFICATE:
		return metrics_certificate_name(series->registry, series->index[label]);
	case LABEL_LOOP:
		return metrics_loop_name(series->registry, (unsigned)series->loop);
	default:
		return metrics_label_value(kind, series->index[label]);
	}
}

/* "name{a="x",b="y"" without the closing brace, so that le can follow. */
static unsigned write_name(struct buffer *out, const struct series *series, const char *suffix)
{
	unsigned pairs = 0;

	buffer_append_string(out, series->row->name);
	buffer_append_string(out, suffix);
	for (unsigned i = 0; i < 3 && series->row->labels[i] != LABEL_NONE; i++) {
		enum metrics_label label = series->row->labels[i];

		if (label == LABEL_TARGET) {
			const char *site;
			const char *target =
				metrics_target_name(series->registry, series->index[i], &site);

			write_pair(out, &pairs, "site", site);
			write_pair(out, &pairs, "target", target);
			continue;
		}
		write_pair(out, &pairs, metrics_label_name(label), label_text(series, i));
	}
	return pairs;
}

static void write_end(struct buffer *out, unsigned pairs)
{
	buffer_append_string(out, pairs > 0 ? "} " : " ");
}

static void write_seconds(struct buffer *out, int64_t us)
{
	if (us < 0)
		us = 0;
	buffer_printf(out, "%" PRId64 ".%06" PRId64 "\n", us / 1000000, us % 1000000);
}

static int64_t series_cell(const struct series *series, unsigned cell)
{
	if (series->loop >= 0)
		return metrics_loop_cell(series->registry, (unsigned)series->loop,
		                         series->first + cell);
	return metrics_sum_cell(series->registry, series->first + cell);
}

static void write_histogram(struct buffer *out, const struct series *series)
{
	int64_t count = 0;
	unsigned pairs;

	for (unsigned i = 0; i <= HISTOGRAM_BUCKETS; i++)
		count += series_cell(series, i);
	if (count == 0 && series->row->kind == METRIC_KIND_HISTOGRAM_SPARSE)
		return;
	count = 0;
	for (unsigned i = 0; i <= HISTOGRAM_BUCKETS; i++) {
		char bound[32] = "+Inf";

		if (i < HISTOGRAM_BUCKETS)
			snprintf(bound, sizeof(bound), "%g", (double)histogram_bounds_us[i] / 1e6);
		count += series_cell(series, i);
		pairs = write_name(out, series, "_bucket");
		write_pair(out, &pairs, "le", bound);
		write_end(out, pairs);
		buffer_printf(out, "%" PRId64 "\n", count);
	}
	write_end(out, write_name(out, series, "_sum"));
	write_seconds(out, series_cell(series, HISTOGRAM_SUM));
	write_end(out, write_name(out, series, "_count"));
	buffer_printf(out, "%" PRId64 "\n", count); /* as +Inf, even while loops count on */
}

static void write_series(struct buffer *out, const struct series *series)
{
	int64_t value;

	if (series->row->cells == HISTOGRAM_CELLS) {
		write_histogram(out, series);
		return;
	}
	value = series_cell(series, 0);
	if (value == 0 && series->row->kind == METRIC_KIND_COUNTER_SPARSE)
		return;
	write_end(out, write_name(out, series, ""));
	if (series->row->kind == METRIC_KIND_GAUGE_US)
		write_seconds(out, value);
	else
		buffer_printf(out, "%" PRId64 "\n", value);
}

/* Sites and targets without a name have no series. */
static bool is_named(const struct metrics_registry *registry, enum metrics_label label,
                     unsigned index)
{
	const char *site;

	switch (label) {
	case LABEL_SITE:
	case LABEL_SITE_FROM:
	case LABEL_SITE_TO:
		return metrics_site_name(registry, index) != NULL;
	case LABEL_DNS_NAME:
		return metrics_dns_name(registry, index) != NULL;
	case LABEL_CERTIFICATE:
		return metrics_certificate_name(registry, index) != NULL;
	case LABEL_TARGET:
		return metrics_target_name(registry, index, &site) != NULL;
	default:
		return true;
	}
}

static const char *kind_text(enum metric_kind kind)
{
	switch (kind) {
	case METRIC_KIND_COUNTER:
	case METRIC_KIND_COUNTER_SPARSE:
		return "counter";
	case METRIC_KIND_GAUGE:
	case METRIC_KIND_GAUGE_US:
		return "gauge";
	default:
		return "histogram";
	}
}

static void write_head(struct buffer *out, const char *name, const char *help, const char *kind)
{
	buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void write_metric(struct buffer *out, const struct metrics_registry *registry,
                         const struct metric_row *row)
{
	struct series series = {.registry = registry, .row = row, .loop = -1};
	const unsigned *sizes = row->sizes;

	write_head(out, row->name, row->help, kind_text(row->kind));
	if (row->labels[0] == LABEL_LOOP) {
		series.first = row->offset;
		for (unsigned i = 0; i < metrics_loop_count(registry); i++) {
			series.loop = (int)i;
			write_series(out, &series);
		}
		return;
	}
	for (size_t i = 0; i < metric_series(row); i++) {
		series.index[2] = (unsigned)(i % sizes[2]);
		series.index[1] = (unsigned)(i / sizes[2] % sizes[1]);
		series.index[0] = (unsigned)(i / sizes[2] / sizes[1]);
		series.first = row->offset + i * row->cells;
		if (is_named(registry, row->labels[0], series.index[0]) &&
		    is_named(registry, row->labels[1], series.index[1]))
			write_series(out, &series);
	}
}

void metrics_write(const struct metrics_registry *registry, struct buffer *out)
{
	write_head(out, "bono_build_info", "The version of this program, always 1.", "gauge");
	buffer_printf(out, "bono_build_info{version=\"%s\"} 1\n", BONO_VERSION);
	for (unsigned i = 0; i < METRICS; i++)
		write_metric(out, registry, &metric_rows[i]);
	metrics_write_process(out);
}

/* ---- docs/METRICS.md ---- */

static void write_doc_labels(struct buffer *out, const struct metric_row *row)
{
	if (row->labels[0] == LABEL_NONE)
		buffer_append_string(out, "none");
	for (unsigned i = 0; i < 3 && row->labels[i] != LABEL_NONE; i++)
		buffer_printf(out, "%s%s`%s`", i > 0 ? ", " : "",
		              row->labels[i] == LABEL_TARGET ? "`site`, " : "",
		              metrics_label_name(row->labels[i]));
}

static bool has_label(enum metrics_label label)
{
	for (unsigned i = 0; i < METRICS; i++)
		for (unsigned j = 0; j < 3; j++)
			if (metric_rows[i].labels[j] == label)
				return true;
	return false;
}

static void write_doc_values(struct buffer *out)
{
	buffer_append_string(
		out, "\n## Values of the labels\n\n"
		     "`site`, `from_site`, `to_site`, `target` and `name` are the names of the "
		     "configuration; `loop` is `control` or `worker-N`.\n\n"
		     "| label | of | values |\n|---|---|---|\n");
	for (unsigned i = LABEL_NONE + 1; i < LABELS; i++) {
		unsigned users = 0;

		if (!has_label(i) || metrics_label_value(i, 0) == NULL)
			continue;
		buffer_printf(out, "| `%s` | ", metrics_label_name(i));
		for (unsigned m = 0; m < METRICS; m++)
			for (unsigned j = 0; j < 3; j++)
				if (metric_rows[m].labels[j] == i)
					buffer_printf(out, "%s`%s`", users++ > 0 ? ", " : "",
					              metric_rows[m].name);
		buffer_append_string(out, " | ");
		for (unsigned v = 0; v < metrics_label_size(i); v++)
			buffer_printf(out, "%s`%s`", v > 0 ? ", " : "", metrics_label_value(i, v));
		buffer_append_string(out, " |\n");
	}
}

void metrics_write_docs(struct buffer *out)
{
	buffer_append_string(
		out, "# Metrics\n\n"
		     "`GET /metrics` on the admin port or socket, Prometheus text format 0.0.4. "
		     "Times are seconds. No label names a user.\n"
		     "This page is made from the table in include/metrics/counters.def: a unit "
		     "test compares, "
		     "and `BONO_UPDATE_DOCS=1 make unit` writes it anew.\n\n"
		     "| metric | kind | labels | meaning |\n|---|---|---|---|\n"
		     "| `bono_build_info` | gauge | `version` | The version of this program, "
		     "always 1. |\n");
	for (unsigned i = 0; i < METRICS; i++) {
		const struct metric_row *row = &metric_rows[i];

		buffer_printf(out, "| `%s` | %s | ", row->name, kind_text(row->kind));
		write_doc_labels(out, row);
		buffer_printf(out, " | %s%s |\n", row->help,
		              row->kind == METRIC_KIND_COUNTER_SPARSE ||
		                              row->kind == METRIC_KIND_HISTOGRAM_SPARSE
		                      ? " A series appears once it is not zero."
		                      : "");
	}
	buffer_append_string(out, "\n`process_cpu_seconds_total`, `process_open_fds`, "
	                          "`process_max_fds`, `process_resident_memory_bytes`, "
	                          "`process_virtual_memory_bytes`, `process_threads` and "
	                          "`process_start_time_seconds` describe the process.\n");
	write_doc_values(out);
}
