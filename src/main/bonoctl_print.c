/*
 * Tables for people. Texts that came from clients are printed without control bytes.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bonoctl.h"

#define COLUMNS_MAX 10
#define CELL_MAX 96

struct row {
	char cells[COLUMNS_MAX][CELL_MAX];
};

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "-";
}

static long long number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

static void set_cell(struct row *row, unsigned column, const char *text)
{
	char *cell = row->cells[column];

	snprintf(cell, CELL_MAX, "%s", text);
	for (; *cell != '\0'; cell++)
		if ((unsigned char)*cell < ' ' || *cell == 127)
			*cell = '?';
}

void bonoctl_print_clean(const char *text)
{
	for (; *text != '\0'; text++)
		putchar((unsigned char)*text < ' ' || *text == 127 ? '?' : *text);
}

/* "drain until 2026-11-22T21:15:44.000Z, new disk"; "-": nothing was said. */
static void set_word(struct row *row, unsigned column, const json_t *object)
{
	const json_t *word = json_object_get(object, "operator");
	const char *until = json_string_value(json_object_get(word, "until"));
	const char *reason = json_string_value(json_object_get(word, "reason"));
	char text[CELL_MAX];

	snprintf(text, sizeof(text), "%s%s%s%s%s", text_of(word, "word"),
	         until != NULL ? " until " : "", until != NULL ? until : "",
	         reason != NULL && reason[0] != '\0' ? ", " : "", reason != NULL ? reason : "");
	set_cell(row, column, text);
}

/* "3d 4h", "5m 12s": the two units that matter. */
static void format_seconds(char *text, size_t size, long long s)
{
	if (s >= 86400)
		snprintf(text, size, "%lldd %lldh", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(text, size, "%lldh %lldm", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(text, size, "%lldm %llds", s / 60, s % 60);
	else
		snprintf(text, size, "%llds", s);
}

/* ---- a table: a heading and one row per member, columns as wide as their widest cell ---- */

typedef void fill_fn(const json_t *member, struct row *row);

struct table {
	unsigned columns;
	const char *const *heads;
	fill_fn *fill;
};

static void print_row(const struct table *table, const struct row *row, const size_t *widths)
{
	for (unsigned c = 0; c < table->columns; c++) {
		if (c + 1 == table->columns)
			printf("%s\n", row->cells[c]);
		else
			printf("%-*s  ", (int)widths[c], row->cells[c]);
	}
}

static void print_table(const struct table *table, const json_t *array)
{
	size_t widths[COLUMNS_MAX] = {0}, index;
	const json_t *member;
	struct row row;

	for (unsigned c = 0; c < table->columns; c++)
		widths[c] = strlen(table->heads[c]);
	json_array_foreach(array, index, member)
	{
		table->fill(member, &row);
		for (unsigned c = 0; c < table->columns; c++)
			if (strlen(row.cells[c]) > widths[c])
				widths[c] = strlen(row.cells[c]);
	}
	for (unsigned c = 0; c < table->columns; c++)
		set_cell(&row, c, table->heads[c]);
	print_row(table, &row, widths);
	json_array_foreach(array, index, member)
	{
		table->fill(member, &row);
		print_row(table, &row, widths);
	}
}

/* ---- sites ---- */

static unsigned count_up(const json_t *targets)
{
	const json_t *target;
	unsigned count = 0;
	size_t index;

	json_array_foreach(targets, index, target)
	{
		const char *state = text_of(target, "state");

		count += strcmp(state, "UP") == 0 || strcmp(state, "DEGRADED") == 0;
	}
	return count;
}

static void fill_site(const json_t *site, struct row *row)
{
	const json_t *targets = json_object_get(site, "targets");
	char text[CELL_MAX];

	set_cell(row, 0, text_of(site, "name"));
	set_cell(row, 1, is_true(site, "local") ? "local" : "remote");
	set_cell(row, 6, text_of(site, "state"));
	set_word(row, 7, site);
	set_cell(row, 2, is_true(site, "serving") ? "yes" : "no");
	snprintf(text, sizeof(text), "%.1f%%",
	         100 * json_number_value(json_object_get(site, "new_work")));
	set_cell(row, 3, text);
	snprintf(text, sizeof(text), "%.1f%%",
	         100 * json_number_value(json_object_get(site, "share")));
	set_cell(row, 4, text);
	snprintf(text, sizeof(text), "%u of %zu up", count_up(targets), json_array_size(targets));
	set_cell(row, 5, text);
}

void bonoctl_print_sites(const json_t *status)
{
	static const char *const heads[] = {"SITE",      "WHERE",   "SERVING", "NEW WORK",
	                                    "LAST 10 S", "TARGETS", "STATE",   "OPERATOR"};
	static const struct table table = {8, heads, fill_site};

	print_table(&table, json_object_get(status, "sites"));
}

void bonoctl_print_status(const json_t *status)
{
	const json_t *rates = json_object_get(status, "rates");
	json_t *flows = json_object_get(status, "flows"), *count;
	const char *transport;
	char uptime[32];

	format_seconds(uptime, sizeof(uptime), number_of(status, "uptime_s"));
	printf("node %s in %s, version %s, up %s, configuration %s\n", text_of(status, "node"),
	       text_of(status, "site"), text_of(status, "version"), uptime,
	       text_of(status, "config_hash"));
	printf("%s%s\n", is_true(status, "ready") ? "ready" : "NOT READY",
	       is_true(status, "draining") ? ", draining" : "");
	printf("%lld registrations; flows:", number_of(status, "registrations"));
	json_object_foreach(flows, transport, count)
		printf(" %s %lld", transport, (long long)json_integer_value(count));
	printf("\nper second: %.1f requests, %.1f failovers, %.1f rejected\n\n",
	       json_number_value(json_object_get(rates, "requests")),
	       json_number_value(json_object_get(rates, "failovers")),
	       json_number_value(json_object_get(rates, "rejected")));
	bonoctl_print_sites(status);
	if (json_array_size(json_object_get(status, "certificates")) > 0) {
		putchar('\n');
		bonoctl_print_certificates(json_object_get(status, "certificates"));
		if (json_is_false(json_object_get(status, "tls_loaded")))
			puts("problem: what is in their files now was refused; bonoctl reload tls "
			     "tells why");
	}
}

/* ---- certificates ---- */

static void fill_certificate(const json_t *certificate, struct row *row)
{
	char text[CELL_MAX];

	set_cell(row, 0, text_of(certificate, "name"));
	set_cell(row, 1, text_of(certificate, "not_after"));
	snprintf(text, sizeof(text), "%lld", number_of(certificate, "days_left"));
	set_cell(row, 2, text);
	set_cell(row, 3, text_of(certificate, "subject"));
}

void bonoctl_print_certificates(const json_t *certificates)
{
	static const char *const heads[] = {"CERTIFICATE", "ENDS", "DAYS LEFT", "SUBJECT"};
	static const struct table table = {4, heads, fill_certificate};

	print_table(&table, certificates);
}

/* ---- targets ---- */

static void fill_target(const json_t *target, struct row *row)
{
	const json_t *probe = json_object_get(target, "probe_ms");
	char text[CELL_MAX];

	snprintf(text, sizeof(text), "%s/%s", text_of(target, "site"), text_of(target, "name"));
	set_cell(row, 0, text);
	snprintf(text, sizeof(text), "%s/%s", text_of(target, "address"),
	         text_of(target, "transport"));
	set_cell(row, 1, text);
	set_cell(row, 2, text_of(target, "state"));
	set_cell(row, 3, text_of(target, "reason"));
	set_cell(row, 4, text_of(target, "since"));
	snprintf(text, sizeof(text), "%.1f ms", json_number_value(probe));
	set_cell(row, 5, json_is_number(probe) ? text : "never");
	snprintf(text, sizeof(text), "%lld", number_of(target, "in_flight"));
	set_cell(row, 6, text);
	snprintf(text, sizeof(text), "%lld", number_of(target, "requests"));
	set_cell(row, 7, text);
	snprintf(text, sizeof(text), "%lld", number_of(target, "failures"));
	set_cell(row, 8, text);
	set_word(row, 9, target);
}

void bonoctl_print_targets(const json_t *targets)
{
	static const char *const heads[] = {"TARGET",   "ADDRESS", "STATE",     "REASON",
	                                    "SINCE",    "PROBE",   "IN FLIGHT", "REQUESTS",
	                                    "FAILURES", "OPERATOR"};
	static const struct table table = {10, heads, fill_target};

	print_table(&table, targets);
}

/* ---- flows: one line per binding ---- */

static void fill_flow(const json_t *line, struct row *row)
{
	char text[CELL_MAX];

	set_cell(row, 0, text_of(line, "id"));
	snprintf(text, sizeof(text), "%lld", number_of(line, "worker"));
	set_cell(row, 1, text);
	set_cell(row, 2, text_of(line, "hop"));
	format_seconds(text, sizeof(text), number_of(line, "age_s"));
	set_cell(row, 3, text);
	format_seconds(text, sizeof(text), number_of(line, "expires_s"));
	set_cell(row, 4, json_object_get(line, "aor") != NULL ? text : "-");
	set_cell(row, 5, text_of(line, "aor"));
	set_cell(row, 6, text_of(line, "contact"));
}

/* A flow with each of its bindings; without any, alone. NULL: out of memory. */
static json_t *flow_lines(const json_t *flows)
{
	json_t *lines = json_array();
	json_t *flow, *binding;
	size_t i, j;

	json_array_foreach(flows, i, flow)
	{
		const json_t *bindings = json_object_get(flow, "bindings");

		if (json_array_size(bindings) == 0)
			json_array_append(lines, flow);
		json_array_foreach(bindings, j, binding)
		{
			json_t *line = json_copy(flow);

			json_object_update(line, binding);
			json_array_append_new(lines, line);
		}
	}
	return lines;
}

void bonoctl_print_flows(const json_t *flows)
{
	static const char *const heads[] = {"FLOW",    "WORKER", "HOP",    "AGE",
	                                    "EXPIRES", "AOR",    "CONTACT"};
	static const struct table table = {7, heads, fill_flow};
	json_t *lines = flow_lines(json_object_get(flows, "flows"));

	print_table(&table, lines);
	if (is_true(flows, "truncated"))
		printf("... and more: ask for one with --identity\n");
	json_decref(lines);
}
