/*
 * RFC 3263 4.1 and 4.2 as steps: NAPTR, then SRV, then A and AAAA, each asked only where the step before
 * leaves it open. A server that says nothing is not a server that says no: a step without an answer ends the
 * resolution, it never leads on to another transport or port. Control thread only.
 */
#include "upstream/resolution.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/memory.h"

/* Questions under way at once: 64 SRV records are not 128 packets in one millisecond. */
#define ASKED_MAX 32
/* Over all packets; each packet may hold a chain of its own. */
#define ALIASES_MAX 4
#define SIP_PORT 5060
#define SIPS_PORT 5061
/* An address needs no refreshing. */
#define TTL_FOREVER 0x7fffffffu

struct candidate { /* an SRV name to be asked */
	char name[DNS_NAME_MAX];
	enum sip_transport transport;
};
/* One for each transport and its NAPTR spare; more is somebody's joke. */
#define CANDIDATES_MAX 8

struct asking { /* a question under way */
	struct resolution *resolution;
	char name[DNS_NAME_MAX]; /* as asked: an alias after the first time */
	enum dns_type type;
	unsigned aliases;
	uint32_t ttl_s;                   /* of the aliases */
	struct resolution_lookup *lookup; /* whose answer it is; NULL: of the NAPTR or SRV step */
	bool busy;
};

struct resolution {
	struct loop *loop;
	struct resolution_ways ways;
	struct resolution_name name;
	char host[DNS_NAME_MAX];
	resolution_done_fn *done;
	void *arg;
	struct resolution_result result;
	struct candidate candidates[CANDIDATES_MAX];
	unsigned candidate_count, next_candidate;
	struct asking asked[ASKED_MAX];
	unsigned asked_count, next_lookup;
	struct timer step; /* the first step, and the last: never from inside */
	bool started, finished;
};

static void ask_next_srv(struct resolution *resolution);
static void begin_lookups(struct resolution *resolution);

/* ---- the end ---- */

static void finish(struct resolution *resolution, enum dns_verdict verdict, const char *reason)
{
	resolution->result.verdict = verdict;
	if (verdict != DNS_FOUND)
		resolution->result.reason = reason;
	resolution->finished = true;
	timer_start(loop_timers(resolution->loop), &resolution->step, 0);
}

static void heed_ttl(struct resolution *resolution, uint32_t ttl_s)
{
	if (ttl_s < resolution->result.ttl_s)
		resolution->result.ttl_s = ttl_s;
}

/* ---- asking ---- */

static void on_naptr(struct resolution *resolution, struct dns_answer *answer);
static void on_srv(struct resolution *resolution, struct dns_answer *answer);
static void on_lookup(struct resolution *resolution, struct resolution_lookup *lookup,
                      struct dns_answer *answer);
static void on_answer(void *arg, struct dns_answer *answer);

static void give(struct asking *asking, struct dns_answer *answer)
{
	struct resolution *resolution = asking->resolution;
	struct resolution_lookup *lookup = asking->lookup;
	enum dns_type type = asking->type;

	asking->busy = false;
	resolution->asked_count--;
	if (answer->verdict == DNS_FOUND && asking->ttl_s < answer->ttl_s)
		answer->ttl_s = asking->ttl_s;
	resolution->result.left_out += answer->left_out;
	if (lookup != NULL)
		on_lookup(resolution, lookup, answer);
	else if (type == DNS_NAPTR)
		on_naptr(resolution, answer);
	else
		on_srv(resolution, answer);
}

static int ask_on(struct asking *asking)
{
	const struct resolution_ways *ways = &asking->resolution->ways;

	return ways->ask(ways->arg, asking->name, asking->type, on_answer, asking);
}

/* A server that is not asked to recurse, or will not, names the alias and leaves the rest to us. */
static bool follow_alias(struct asking *asking, const struct dns_answer *answer)
{
	if (answer->verdict != DNS_EMPTY || answer->alias[0] == '\0' ||
	    asking->aliases == ALIASES_MAX)
		return false;
	asking->aliases++;
	if (answer->ttl_s < asking->ttl_s)
		asking->ttl_s = answer->ttl_s;
	memcpy(asking->name, answer->alias, sizeof(asking->name));
	return ask_on(asking) == 0;
}

static void on_answer(void *arg, struct dns_answer *answer)
{
	struct asking *asking = arg;

	if (!follow_alias(asking, answer))
		give(asking, answer);
}

static int ask(struct resolution *resolution, const char *name, enum dns_type type,
               struct resolution_lookup *lookup)
{
	struct asking *asking = resolution->asked;
	int err;

	while (asking->busy)
		asking++;
	ASSERT(asking < resolution->asked + ASKED_MAX);
	*asking = (struct asking){.resolution = resolution,
	                          .type = type,
	                          .ttl_s = TTL_FOREVER,
	                          .lookup = lookup,
	                          .busy = true};
	snprintf(asking->name, sizeof(asking->name), "%s", name);
	err = ask_on(asking);
	asking->busy = err == 0;
	resolution->asked_count += asking->busy;
	return err;
}

/* ---- NAPTR: RFC 3263 4.1 ---- */

static const struct {
	const char *prefix;
	enum sip_transport transport;
	enum dns_service service;
} services[] = {
	/* in our own order of preference, where NAPTR says none */
	{"_sips._tcp.", TRANSPORT_TLS, DNS_SERVICE_SIPS_TCP},
	{"_sip._tcp.", TRANSPORT_TCP, DNS_SERVICE_SIP_TCP},
	{"_sip._udp.", TRANSPORT_UDP, DNS_SERVICE_SIP_UDP},
};

static void add_candidate(struct resolution *resolution, const char *prefix, const char *name,
                          enum sip_transport transport)
{
	struct candidate *candidate = &resolution->candidates[resolution->candidate_count];
	int n;

	if (resolution->candidate_count == CANDIDATES_MAX) {
		resolution->result.left_out++;
		return;
	}
	n = snprintf(candidate->name, sizeof(candidate->name), "%s%s", prefix, name);
	if (n < 0 || n >= (int)sizeof(candidate->name))
		return; /* no such name can exist */
	candidate->transport = transport;
	resolution->candidate_count++;
}

/* The SRV names that the host itself makes: of its transport, or of all that we serve. */
static void add_own_candidates(struct resolution *resolution)
{
	const struct resolution_name *name = &resolution->name;

	for (unsigned i = 0; i < ARRAY_LENGTH(services); i++) {
		enum sip_transport transport = services[i].transport;

		if (name->has_transport ? transport == name->transport
		                        : resolution->ways.families[transport] != 0)
			add_candidate(resolution, services[i].prefix, name->host, transport);
	}
}

static int compare_naptr(const void *a, const void *b)
{
	const struct dns_record *x = a, *y = b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return x->weight < y->weight ? -1 : x->weight > y->weight;
}

static void add_naptr_candidates(struct resolution *resolution, struct dns_answer *answer)
{
	qsort(answer->records, answer->count, sizeof(*answer->records), compare_naptr);
	for (unsigned i = 0; i < answer->count; i++) {
		const struct dns_record *record = &answer->records[i];

		for (unsigned j = 0; j < ARRAY_LENGTH(services); j++) {
			if (record->service == services[j].service && record->name[0] != '\0' &&
			    resolution->ways.families[services[j].transport] != 0)
				add_candidate(resolution, "", record->name, services[j].transport);
		}
	}
}

static void on_naptr(struct resolution *resolution, struct dns_answer *answer)
{
	if (answer->verdict == DNS_FAILED) {
		finish(resolution, DNS_FAILED, answer->reason);
		return;
	}
	if (answer->verdict == DNS_FOUND) {
		add_naptr_candidates(resolution, answer);
		if (resolution->candidate_count > 0)
			heed_ttl(resolution, answer->ttl_s);
	}
	if (resolution->candidate_count == 0)
		add_own_candidates(resolution);
	ask_next_srv(resolution);
}

/* ---- SRV: RFC 3263 4.2, RFC 2782 ---- */

/* RFC 3263 4.1: UDP where nothing says otherwise; but a transport that we can send by. */
static enum sip_transport own_transport(const struct resolution *resolution)
{
	if (resolution->name.has_transport)
		return resolution->name.transport;
	if (resolution->ways.families[TRANSPORT_UDP] != 0)
		return TRANSPORT_UDP;
	if (resolution->ways.families[TRANSPORT_TCP] == 0 &&
	    resolution->ways.families[TRANSPORT_TLS] != 0)
		return TRANSPORT_TLS;
	return TRANSPORT_TCP;
}

/* No SRV at all: the host's own addresses, at the standard port. */
static int use_host(struct resolution *resolution)
{
	const struct resolution_name *name = &resolution->name;
	struct resolution_result *result = &resolution->result;
	enum sip_transport transport = own_transport(resolution);

	result->servers = memory_zalloc(sizeof(*result->servers));
	if (result->servers == NULL)
		return -ENOMEM;
	result->server_count = 1;
	memcpy(result->servers[0].host, resolution->host, sizeof(resolution->host));
	result->servers[0].transport = transport;
	result->servers[0].weight = 1;
	result->servers[0].port = name->port;
	if (name->port == 0)
		result->servers[0].port = transport == TRANSPORT_TLS ? SIPS_PORT : SIP_PORT;
	return 0;
}

static int use_srv(struct resolution *resolution, const struct dns_answer *answer)
{
	struct resolution_result *result = &resolution->result;
	enum sip_transport transport =
		resolution->candidates[resolution->next_candidate - 1].transport;

	result->servers = memory_zalloc(answer->count * sizeof(*result->servers));
	if (result->servers == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < answer->count; i++) {
		const struct dns_record *record = &answer->records[i];
		struct resolution_server *server = &result->servers[result->server_count];

		if (record->name[0] == '\0')
			continue; /* RFC 2782: "." means that the service is not there */
		memcpy(server->host, record->name, sizeof(server->host));
		server->port = record->port;
		server->priority = record->priority;
		server->weight = record->weight;
		server->transport = transport;
		result->server_count++;
	}
	result->by_srv = true;
	heed_ttl(resolution, answer->ttl_s);
	return 0;
}

static void ask_next_srv(struct resolution *resolution)
{
	const struct candidate *candidate = &resolution->candidates[resolution->next_candidate];

	if (resolution->next_candidate == resolution->candidate_count) {
		if (use_host(resolution) == 0)
			begin_lookups(resolution);
		else
			finish(resolution, DNS_FAILED, "out of memory");
		return;
	}
	resolution->next_candidate++;
	if (ask(resolution, candidate->name, DNS_SRV, NULL) != 0)
		finish(resolution, DNS_FAILED, "out of memory");
}

static void on_srv(struct resolution *resolution, struct dns_answer *answer)
{
	if (answer->verdict == DNS_FAILED)
		finish(resolution, DNS_FAILED, answer->reason);
	else if (answer->verdict == DNS_EMPTY)
		ask_next_srv(resolution);
	else if (use_srv(resolution, answer) != 0)
		finish(resolution, DNS_FAILED, "out of memory");
	else if (resolution->result.server_count == 0)
		finish(resolution, DNS_EMPTY, "SRV says: not available");
	else
		begin_lookups(resolution);
}

/* ---- A and AAAA ---- */

static bool has_lookup(const struct resolution_result *result, const char *host)
{
	for (unsigned i = 0; i < result->lookup_count; i++) {
		if (strcasecmp(result->lookups[i].host, host) == 0)
			return true;
	}
	return false;
}

static void add_lookup(struct resolution_result *result, const char *host, enum dns_type type)
{
	struct resolution_lookup *lookup = &result->lookups[result->lookup_count++];

	snprintf(lookup->host, sizeof(lookup->host), "%s", host);
	dns_answer_fail(&lookup->answer, DNS_FAILED, "not asked");
	lookup->type = type;
}

static void fill_lookups(struct resolution *resolution)
{
	struct resolution_result *result = &resolution->result;

	for (unsigned i = 0; i < result->server_count; i++) {
		const struct resolution_server *server = &result->servers[i];
		uint8_t families = resolution->ways.families[server->transport];

		if (has_lookup(result, server->host))
			continue;
		if ((families & RESOLUTION_V4) != 0)
			add_lookup(result, server->host, DNS_A);
		if ((families & RESOLUTION_V6) != 0)
			add_lookup(result, server->host, DNS_AAAA);
	}
}

/* As many at once as may be; those for which there is no memory have failed. */
static void ask_lookups(struct resolution *resolution)
{
	struct resolution_result *result = &resolution->result;

	while (resolution->next_lookup < result->lookup_count &&
	       resolution->asked_count < ASKED_MAX) {
		struct resolution_lookup *lookup = &result->lookups[resolution->next_lookup++];

		if (ask(resolution, lookup->host, lookup->type, lookup) != 0)
			dns_answer_fail(&lookup->answer, DNS_FAILED, "out of memory");
	}
	if (resolution->asked_count == 0)
		finish(resolution, DNS_FOUND, NULL);
}

static void begin_lookups(struct resolution *resolution)
{
	struct resolution_result *result = &resolution->result;

	/* Two types for each server at most. */
	result->lookups = memory_zalloc(result->server_count * 2 * sizeof(*result->lookups));
	if (result->lookups == NULL) {
		finish(resolution, DNS_FAILED, "out of memory");
		return;
	}
	fill_lookups(resolution);
	if (result->lookup_count == 0)
		finish(resolution, DNS_FAILED, "no listener of its transport");
	else
		ask_lookups(resolution);
}

static void on_lookup(struct resolution *resolution, struct resolution_lookup *lookup,
                      struct dns_answer *answer)
{
	lookup->answer = *answer;
	answer->records = NULL; /* ours now */
	answer->count = 0;
	if (lookup->answer.verdict == DNS_FOUND)
		heed_ttl(resolution, lookup->answer.ttl_s);
	else
		resolution->result.reason = lookup->answer.reason;
	ask_lookups(resolution);
}

/* ---- life ---- */

static void begin(struct resolution *resolution)
{
	const struct resolution_name *name = &resolution->name;

	resolution->started = true;
	if (name->port != 0) { /* RFC 3263 4.2: with a port there is no SRV */
		ask_next_srv(resolution);
	} else if (name->has_transport) {
		add_own_candidates(resolution);
		ask_next_srv(resolution);
	} else if (ask(resolution, name->host, DNS_NAPTR, NULL) != 0) {
		finish(resolution, DNS_FAILED, "out of memory");
	}
}

static void on_step(struct timer *timer, void *arg)
{
	struct resolution *resolution = arg;

	if (!resolution->started)
		begin(resolution);
	else
		resolution->done(resolution->arg, &resolution->result);
}

int resolution_start(struct loop *loop, const struct resolution_ways *ways,
                     const struct resolution_name *name, resolution_done_fn *done, void *arg,
                     struct resolution **out)
{
	struct resolution *resolution;

	if (strlen(name->host) >= DNS_NAME_MAX)
		return -EINVAL;
	resolution = memory_zalloc(sizeof(*resolution));
	if (resolution == NULL)
		return -ENOMEM;
	resolution->loop = loop;
	resolution->ways = *ways;
	snprintf(resolution->host, sizeof(resolution->host), "%s", name->host);
	resolution->name = *name;
	resolution->name.host = resolution->host;
	resolution->done = done;
	resolution->arg = arg;
	resolution->result.ttl_s = TTL_FOREVER;
	timer_init(&resolution->step, on_step, resolution);
	timer_start(loop_timers(loop), &resolution->step, 0);
	*out = resolution;
	return 0;
}

void resolution_result_free(struct resolution_result *result)
{
	for (unsigned i = 0; i < result->lookup_count; i++)
		dns_answer_free(&result->lookups[i].answer);
	memory_free(result->lookups);
	memory_free(result->servers);
	memset(result, 0, sizeof(*result));
}

void resolution_destroy(struct resolution **resolution)
{
	struct resolution *dead = *resolution;

	*resolution = NULL;
	if (dead == NULL)
		return;
	timer_stop(loop_timers(dead->loop), &dead->step);
	resolution_result_free(&dead->result);
	memory_free(dead);
}
