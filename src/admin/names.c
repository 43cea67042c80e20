/*
 * Sites and targets by the names that people write, and what they meant when they wrote another. Pure.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "admin_internal.h"

/* A name that is longer is nobody's; the table below stands on the stack. */
#define NAME_MAX_LENGTH 128
/* Two slips: a letter that is missing, one too many, two exchanged. */
#define NEAR_EDITS 2

static void write_name(const struct view *view, const struct view_target *target, char *out,
                       size_t size)
{
	snprintf(out, size, "%s/%s", view->sites[target->site].name, target->name);
}

const struct view_target *names_target(const struct view *view, const char *name)
{
	const char *slash = strchr(name, '/');

	for (unsigned i = 0; slash != NULL && i < view->target_count; i++) {
		const struct view_target *target = &view->targets[i];
		const char *site = view->sites[target->site].name;

		if (strlen(site) == (size_t)(slash - name) &&
		    strncmp(site, name, (size_t)(slash - name)) == 0 &&
		    strcmp(target->name, slash + 1) == 0)
			return target;
	}
	return NULL;
}

const struct view_site *names_site(const struct view *view, const char *name)
{
	for (unsigned i = 0; i < view->site_count; i++)
		if (strcmp(view->sites[i].name, name) == 0)
			return &view->sites[i];
	return NULL;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned d = a < b ? a : b;

	return d < c ? d : c;
}

/* Levenshtein's, without regard to case. */
static unsigned edits(const char *a, const char *b)
{
	unsigned row[NAME_MAX_LENGTH + 1];
	size_t length = strlen(b);

	if (strlen(a) > NAME_MAX_LENGTH || length > NAME_MAX_LENGTH)
		return NAME_MAX_LENGTH;
	for (unsigned j = 0; j <= length; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1] != '\0'; i++) {
		unsigned corner = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= length; j++) {
			bool same = tolower((unsigned char)a[i - 1]) ==
			            tolower((unsigned char)b[j - 1]);
			unsigned here = least(row[j] + 1, row[j - 1] + 1, corner + !same);

			corner = row[j];
			row[j] = here;
		}
	}
	return row[length];
}

/* Better than what was near before? */
static void take_if_nearer(const char *candidate, unsigned distance, unsigned *best, char *out,
                           size_t size)
{
	if (distance >= *best)
		return;
	*best = distance;
	snprintf(out, size, "%s", candidate);
}

bool names_near_target(const struct view *view, const char *name, char *out, size_t size)
{
	unsigned best = NEAR_EDITS + 1;

	for (unsigned i = 0; i < view->target_count; i++) {
		const struct view_target *target = &view->targets[i];
		char full[2 * NAME_MAX_LENGTH];
		unsigned distance;

		write_name(view, target, full, sizeof(full));
		distance = edits(name, full);
		/* "sprout-2" alone: its site was forgotten. */
		if (strcmp(name, target->name) == 0)
			distance = 0;
		take_if_nearer(full, distance, &best, out, size);
	}
	return best <= NEAR_EDITS;
}

bool names_near_site(const struct view *view, const char *name, char *out, size_t size)
{
	unsigned best = NEAR_EDITS + 1;

	for (unsigned i = 0; i < view->site_count; i++)
		take_if_nearer(view->sites[i].name, edits(name, view->sites[i].name), &best, out,
		               size);
	return best <= NEAR_EDITS;
}
