/*
 * What DNS said last, and what it says now. A name that is denied or not answered for keeps the addresses it
 * had: DNS is more often wrong than a Sprout gone, and of a Sprout that is gone the probes tell. Pure.
 */
#include <stdlib.h>
#include <strings.h>

#include "discovery_internal.h"

static struct resolution_lookup *find(struct resolution_result *result,
                                      const struct resolution_lookup *like)
{
	for (unsigned i = 0; i < result->lookup_count; i++) {
		struct resolution_lookup *lookup = &result->lookups[i];

		if (lookup->type == like->type && strcasecmp(lookup->host, like->host) == 0)
			return lookup;
	}
	return NULL;
}

static int compare_servers(const void *a, const void *b)
{
	const struct resolution_server *x = a, *y = b;

	return x->priority < y->priority ? -1 : x->priority > y->priority;
}

struct known known_keep(struct resolution_result *newer, struct resolution_result *older)
{
	struct known known = {0};

	for (unsigned i = 0; i < newer->lookup_count; i++) {
		struct resolution_lookup *lookup = &newer->lookups[i];
		struct resolution_lookup *before = NULL;

		if (lookup->answer.verdict != DNS_FOUND)
			before = find(older, lookup);
		known.failed += lookup->answer.verdict == DNS_FAILED;
		if (before != NULL && before->answer.count > 0) {
			known.denied += lookup->answer.verdict == DNS_EMPTY;
			dns_answer_free(&lookup->answer);
			lookup->answer = before->answer;
			before->answer.records = NULL;
			before->answer.count = 0;
		}
		known.addresses += lookup->answer.count;
	}
	qsort(newer->servers, newer->server_count, sizeof(*newer->servers), compare_servers);
	return known;
}
