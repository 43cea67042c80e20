/*
 * Numbers of the file, with their unit and in their range.
 */
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "config_internal.h"

struct unit {
	const char *name;
	uint64_t factor;
};
static const struct unit time_units[] = {
	{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
static const struct unit size_units[] = {
	{"KiB", 1024}, {"MiB", 1024 * 1024}, {"kB", 1000}, {"MB", 1000000}, {NULL, 0}};

/* Digits and a unit of the table. */
static bool parse_with_unit(const char *text, const struct unit *units, uint64_t *out)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t number;

	/* At most 1e12, so that the product with any factor fits. */
	if (!slice_to_uint(slice_of(text, digits), 1000000000000u, &number))
		return false;
	for (; units->name != NULL; units++)
		if (strcmp(text + digits, units->name) == 0) {
			*out = number * units->factor;
			return true;
		}
	return false;
}

const char *time_words(uint64_t ms, char text[TIME_WORDS_MAX])
{
	unsigned i = 0;

	while (time_units[i + 1].name != NULL && ms != 0 && ms % time_units[i + 1].factor == 0)
		i++;
	snprintf(text, TIME_WORDS_MAX, "%" PRIu64 "%s", ms / time_units[i].factor,
	         time_units[i].name);
	return text;
}

static void read_time(const struct value *value)
{
	char low[TIME_WORDS_MAX], high[TIME_WORDS_MAX], expected[128];
	uint64_t ms;

	if (value->node->kind == NODE_NUMBER) {
		value_wrong(value, value->node, "a time with its unit: ms, s, m or h");
		return;
	}
	snprintf(expected, sizeof(expected), "a time from %s to %s (units ms, s, m, h)",
	         time_words(value->row->min, low), time_words(value->row->max, high));
	if (value->node->kind != NODE_TEXT ||
	    !parse_with_unit(value->node->text, time_units, &ms) || ms < value->row->min ||
	    ms > value->row->max) {
		value_wrong(value, value->node, expected);
		return;
	}
	*(uint64_t *)value_field(value) = ms;
}

static bool parse_number(const struct value *value, uint64_t *out)
{
	return value->node->kind == NODE_NUMBER &&
	       slice_to_uint(slice_from_string(value->node->text), value->row->max, out) &&
	       *out >= value->row->min;
}

static void read_size(const struct value *value)
{
	char expected[128];
	uint64_t bytes;

	snprintf(expected, sizeof(expected),
	         "a size from %" PRIu64 " to %" PRIu64
	         " bytes (a plain number, or with KiB, MiB, kB, MB)",
	         value->row->min, value->row->max);
	if (!parse_number(value, &bytes) &&
	    (value->node->kind != NODE_TEXT ||
	     !parse_with_unit(value->node->text, size_units, &bytes) || bytes < value->row->min ||
	     bytes > value->row->max)) {
		value_wrong(value, value->node, expected);
		return;
	}
	*(uint64_t *)value_field(value) = bytes;
}

static bool read_number(const struct value *value, uint64_t *number)
{
	char expected[128];

	if (parse_number(value, number))
		return true;
	snprintf(expected, sizeof(expected), "%sa whole number from %" PRIu64 " to %" PRIu64,
	         value->row->type == SCHEMA_WORKERS ? "auto or " : "", value->row->min,
	         value->row->max);
	value_wrong(value, value->node, expected);
	return false;
}

/* Processors this process may run on: in a container, those it was given. */
static unsigned processors(void)
{
	cpu_set_t set;
	int count;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	count = CPU_COUNT(&set);
	return count > CONFIG_WORKERS_MAX ? CONFIG_WORKERS_MAX : (unsigned)count;
}

static void read_count(const struct value *value)
{
	uint64_t number;

	if (value->row->type == SCHEMA_WORKERS && value->node->kind == NODE_TEXT &&
	    strcmp(value->node->text, "auto") == 0) {
		*(unsigned *)value_field(value) = processors();
		return;
	}
	if (!read_number(value, &number))
		return;
	if (value->row->type == SCHEMA_COUNT64)
		*(uint64_t *)value_field(value) = number;
	else
		*(unsigned *)value_field(value) = (unsigned)number;
}

void value_read_number(const struct value *value)
{
	if (value->row->type == SCHEMA_TIME)
		read_time(value);
	else if (value->row->type == SCHEMA_SIZE)
		read_size(value);
	else
		read_count(value);
}
