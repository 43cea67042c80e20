/*
 * Every name of the configuration, kept fresh. One resolution at a time for each; a good answer is renewed before
 * its time to live is over, anything else is asked for again soon. Control thread only.
 */
#include "upstream/discovery.h"

#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "discovery_internal.h"

/* At this part of its time to live, less up to a tenth: before it is over, and not all names at once. */
#define REFRESH_PERCENT 80
#define REFRESH_JITTER_PERCENT 10
#define REFRESH_MIN_MS 500              /* whatever the time to live, 0 too */
#define REFRESH_MAX_MS (60 * 60 * 1000) /* a day is too long to learn of a mistake */
#define RETRY_FIRST_MS 500
#define RETRY_MAX_MS 10000 /* a server that comes back is found within this */
#define AGE_TICK_MS 1000

struct source { /* one name of the configuration */
	struct discovery *discovery;
	const struct config_target *name;
	unsigned site;
	unsigned label;                  /* of its metrics; the same for the same host */
	struct resolution *running;      /* NULL: nothing is asked now */
	struct resolution_result served; /* empty until there is something */
	uint64_t good_ms;                /* of the last good answer; before it, of the start */
	unsigned failures;               /* since it */
	struct timer refresh;
};

struct discovery {
	struct loop *loop;
	const struct config *config;
	struct metrics *metrics; /* NULL: none */
	struct discovery_ways ways;
	struct resolution_ways resolution_ways;
	struct source *sources; /* owned */
	unsigned source_count, label_count;
	uint64_t *
		given; /* owned; for each site the hash of what failover was given last, 0: nothing */
	struct timer age;
};

static const char *site_name(const struct source *source)
{
	return source->discovery->config->sites[source->site].name;
}

/* ---- what failover is given ---- */

static void fill_list(const struct discovery *discovery, unsigned site, struct target_list *list)
{
	const struct config_site *config = &discovery->config->sites[site];

	for (unsigned i = 0; i < config->target_count; i++)
		target_list_add_configured(list, &config->targets[i], config->tls);
	for (unsigned i = 0; i < discovery->source_count; i++) {
		const struct source *source = &discovery->sources[i];
		unsigned room = list->room;

		if (source->site != site)
			continue;
		if (list->count + DISCOVERY_TARGETS_MAX < room)
			list->room = list->count + DISCOVERY_TARGETS_MAX;
		target_list_add_found(list, source->name, config->tls, &source->served);
		list->room = room;
	}
}

static int give_site(struct discovery *discovery, const struct source *because)
{
	unsigned site = because->site, configured = discovery->config->sites[site].target_count;
	struct target_list list;
	uint64_t hash;
	int err;

	err = target_list_init(&list, VIEW_TARGETS_MAX);
	if (err != 0)
		return err;
	fill_list(discovery, site, &list);
	hash = target_list_hash(&list);
	if (hash != discovery->given[site]) {
		err = discovery->ways.set_targets(discovery->ways.arg, site, list.specs,
		                                  list.count);
		if (err == 0) {
			discovery->given[site] = hash;
			log_info("dns %s: site %s has %u targets from DNS now", because->name->host,
			         site_name(because), list.count - configured);
			if (list.left_out > 0)
				log_warning("dns %s: %u addresses too many, left out",
				            because->name->host, list.left_out);
		}
	}
	target_list_free(&list);
	return err;
}

/* ---- answers ---- */

static void source_serve(struct source *source, struct resolution_result *result)
{
	resolution_result_free(&source->served);
	source->served = *result;
	memset(result, 0, sizeof(*result));
}

/* *result goes into what is served as far as it says anything; *reason is of what is not good. */
static enum dns_result source_take(struct source *source, struct resolution_result *result,
                                   const char **reason)
{
	struct known known;

	*reason = result->reason;
	if (result->verdict != DNS_FOUND)
		return result->verdict == DNS_EMPTY ? DNS_RESULT_NEGATIVE : DNS_RESULT_FAILED;
	/* RFC 3263 would now take the host's own addresses; but those are of whatever else lives there. */
	if (source->served.by_srv && !result->by_srv) {
		*reason = "no SRV any more";
		return DNS_RESULT_NEGATIVE;
	}
	known = known_keep(result, &source->served);
	if (known.addresses == 0)
		return known.failed > 0 ? DNS_RESULT_FAILED : DNS_RESULT_NEGATIVE;
	source_serve(source, result);
	if (give_site(source->discovery, source) != 0) {
		*reason = "no room for its targets";
		return DNS_RESULT_FAILED;
	}
	if (known.failed > 0)
		return DNS_RESULT_FAILED;
	return known.denied > 0 ? DNS_RESULT_NEGATIVE : DNS_RESULT_GOOD;
}

/* ---- time ---- */

static void source_restart(struct source *source, uint64_t delay_ms)
{
	timer_start(loop_timers(source->discovery->loop), &source->refresh, delay_ms);
}

static void source_on_good(struct source *source, uint32_t ttl_s)
{
	uint64_t now = loop_now_ms(source->discovery->loop), wait = (uint64_t)ttl_s * 1000;

	if (source->failures > 0)
		log_info("dns %s: good answers again, after %.1f s", source->name->host,
		         (double)(now - source->good_ms) / 1000);
	source->failures = 0;
	source->good_ms = now;
	if (wait > REFRESH_MAX_MS)
		wait = REFRESH_MAX_MS;
	wait = wait * (REFRESH_PERCENT * 10 - random_below(REFRESH_JITTER_PERCENT * 10)) / 1000;
	source_restart(source, wait > REFRESH_MIN_MS ? wait : REFRESH_MIN_MS);
}

static void source_on_trouble(struct source *source, const char *reason)
{
	uint64_t wait = RETRY_MAX_MS;

	if (source->failures++ == 0) /* told once, not with every try */
		log_warning("dns %s: %s, %s", source->name->host, reason,
		            source->served.server_count > 0 ? "what it said before is kept"
		                                            : "no targets from it yet");
	if (source->failures < 6 && RETRY_FIRST_MS << (source->failures - 1) < RETRY_MAX_MS)
		wait = (uint64_t)RETRY_FIRST_MS << (source->failures - 1);
	source_restart(source, wait - random_below((uint32_t)wait / 5));
}

static void on_resolved(void *arg, struct resolution_result *given)
{
	struct source *source = arg;
	struct resolution_result result = *given;
	const char *reason;
	enum dns_result outcome;
	uint32_t ttl_s = result.ttl_s;

	memset(given, 0, sizeof(*given)); /* ours now */
	resolution_destroy(&source->running);
	outcome = source_take(source, &result, &reason);
	resolution_result_free(&result);
	metrics_add(source->discovery->metrics, METRIC_DNS_RESOLUTIONS, source->label, outcome, 0,
	            1);
	if (outcome == DNS_RESULT_GOOD)
		source_on_good(source, ttl_s);
	else
		source_on_trouble(source, reason);
}

/* A site with TLS takes nothing else from DNS, whatever is offered; one without cannot use it. */
static void leave_families(struct resolution_ways *ways, bool tls)
{
	for (unsigned i = 0; i < TRANSPORTS; i++)
		if ((i == TRANSPORT_TLS) != tls)
			ways->families[i] = 0;
}

static void on_refresh(struct timer *timer, void *arg)
{
	struct source *source = arg;
	struct discovery *discovery = source->discovery;
	struct resolution_name name = {
		.host = source->name->host,
		.port = source->name->port,
		.has_transport = source->name->has_transport,
		.transport = (enum sip_transport)source->name->transport,
	};
	struct resolution_ways ways = discovery->resolution_ways;

	leave_families(&ways, discovery->config->sites[source->site].tls != NULL);
	if (resolution_start(discovery->loop, &ways, &name, on_resolved, source,
	                     &source->running) != 0)
		source_on_trouble(source, "out of memory");
}

/* ---- age ---- */

/* Names of one host share a series: it tells the oldest. */
static void on_age(struct timer *timer, void *arg)
{
	struct discovery *discovery = arg;
	uint64_t now = loop_now_ms(discovery->loop), age[METRICS_NAMES_MAX] = {0};

	for (unsigned i = 0; i < discovery->source_count; i++) {
		const struct source *source = &discovery->sources[i];

		if (now - source->good_ms > age[source->label])
			age[source->label] = now - source->good_ms;
	}
	for (unsigned i = 0; i < discovery->label_count; i++)
		metrics_set(discovery->metrics, METRIC_DNS_AGE_SECONDS, i, 0, 0,
		            (int64_t)age[i] * 1000);
	timer_start(loop_timers(discovery->loop), timer, AGE_TICK_MS);
}

/* ---- life ---- */

/* In which families each transport can leave: those of its core listeners. */
static void fill_families(struct discovery *discovery)
{
	const struct config *config = discovery->config;

	for (unsigned i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		if (listener->side == CONFIG_CORE)
			discovery->resolution_ways.families[listener->transport] |=
				listener->bind.family == AF_INET6 ? RESOLUTION_V6 : RESOLUTION_V4;
	}
}

static int label_source(struct discovery *discovery, struct source *source,
                        struct metrics_registry *registry)
{
	for (const struct source *other = discovery->sources; other < source; other++) {
		if (strcasecmp(other->name->host, source->name->host) == 0) {
			source->label = other->label;
			return 0;
		}
	}
	ASSERT(discovery->label_count < METRICS_NAMES_MAX); /* config/check.c has seen to it */
	source->label = discovery->label_count++;
	if (registry == NULL)
		return 0;
	return metrics_name_dns(registry, source->label, source->name->host);
}

static int add_sources(struct discovery *discovery, struct metrics_registry *registry)
{
	const struct config *config = discovery->config;
	int err = 0;

	for (unsigned i = 0; i < config->site_count; i++) {
		for (unsigned j = 0; j < config->sites[i].name_count && err == 0; j++) {
			struct source *source = &discovery->sources[discovery->source_count++];

			source->discovery = discovery;
			source->name = &config->sites[i].names[j];
			source->site = i;
			source->good_ms = loop_now_ms(discovery->loop);
			timer_init(&source->refresh, on_refresh, source);
			err = label_source(discovery, source, registry);
		}
	}
	return err;
}

static int allocate(struct discovery *discovery)
{
	unsigned count = 0;

	for (unsigned i = 0; i < discovery->config->site_count; i++)
		count += discovery->config->sites[i].name_count;
	/* One more than needed: none is no reason for a NULL. */
	discovery->sources = memory_zalloc((count + 1) * sizeof(*discovery->sources));
	discovery->given =
		memory_zalloc((discovery->config->site_count + 1) * sizeof(*discovery->given));
	return discovery->sources != NULL && discovery->given != NULL ? 0 : -ENOMEM;
}

int discovery_create(struct loop *loop, const struct config *config,
                     struct metrics_registry *registry, struct metrics *metrics,
                     const struct discovery_ways *ways, struct discovery **out)
{
	struct discovery *discovery = memory_zalloc(sizeof(*discovery));
	int err;

	if (discovery == NULL)
		return -ENOMEM;
	discovery->loop = loop;
	discovery->config = config;
	discovery->metrics = metrics;
	discovery->ways = *ways;
	discovery->resolution_ways.ask = ways->ask;
	discovery->resolution_ways.arg = ways->arg;
	fill_families(discovery);
	timer_init(&discovery->age, on_age, discovery);
	err = allocate(discovery);
	if (err == 0)
		err = add_sources(discovery, registry);
	if (err != 0) {
		discovery_destroy(&discovery);
		return err;
	}
	for (unsigned i = 0; i < discovery->source_count; i++)
		source_restart(&discovery->sources[i], 0);
	if (discovery->source_count > 0)
		timer_start(loop_timers(loop), &discovery->age, AGE_TICK_MS);
	*out = discovery;
	return 0;
}

void discovery_destroy(struct discovery **discovery)
{
	struct discovery *dead = *discovery;

	*discovery = NULL;
	if (dead == NULL)
		return;
	for (unsigned i = 0; i < dead->source_count; i++) {
		struct source *source = &dead->sources[i];

		timer_stop(loop_timers(dead->loop), &source->refresh);
		resolution_destroy(&source->running);
		resolution_result_free(&source->served);
	}
	timer_stop(loop_timers(dead->loop), &dead->age);
	memory_free(dead->sources);
	memory_free(dead->given);
	memory_free(dead);
}
