/*
 * Targets that come and go while the node runs: their ids, their draining, and when an id may be another's.
 * Control thread only.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "upstream_internal.h"

/* First probes leave within this of the start: soon, and not all in one millisecond. */
#define FIRST_PROBE_SPREAD_MS 100
/* No transaction remembers a target for longer (timer C is above three minutes, RFC 3261 16.6): a late letter must
 * not blame whoever has the id next. */
#define ID_REST_MS (5 * 60 * 1000)

static const enum sip_transport transports[] = {
	[CONFIG_UDP] = TRANSPORT_UDP, [CONFIG_TCP] = TRANSPORT_TCP, [CONFIG_TLS] = TRANSPORT_TLS,
	[CONFIG_WS] = TRANSPORT_WS,   [CONFIG_WSS] = TRANSPORT_WSS,
};

/* ---- rosters ---- */

static void roster_free(struct snapshot *snapshot)
{
	memory_free(CONTAINER_OF(snapshot, struct roster, snapshot));
}

static struct roster *roster_current(const struct failover *failover)
{
	if (list_is_empty(&failover->rosters))
		return NULL;
	return CONTAINER_OF(failover->rosters.head.previous, struct roster, link);
}

int roster_create(struct failover *failover)
{
	uint64_t number = 1;
	struct roster *roster;

	if (!list_is_empty(&failover->rosters))
		number = roster_current(failover)->number + 1;
	roster = memory_zalloc(sizeof(*roster));
	if (roster == NULL)
		return -ENOMEM;
	snapshot_init(&roster->snapshot, roster_free);
	roster->number = number;
	list_append(&failover->rosters, &roster->link);
	return 0;
}

/* Those that no view shows any more, oldest first; never the current one. */
static void rosters_forget(struct failover *failover)
{
	while (failover->rosters.length > 1) {
		struct roster *oldest =
			CONTAINER_OF(list_first(&failover->rosters), struct roster, link);

		if (atomic_load(&oldest->snapshot.references) > 1)
			return;
		list_remove(&failover->rosters, &oldest->link);
		snapshot_release(&oldest->snapshot);
	}
}

/* ---- ids ---- */

static bool id_is_rested(const struct failover *failover, const struct id_rest *rest,
                         uint64_t now_ms)
{
	const struct roster *oldest =
		CONTAINER_OF(list_first(&failover->rosters), struct roster, link);

	return now_ms >= rest->since_ms + ID_REST_MS && oldest->number > rest->roster;
}

/* One that never was used, else the one that has rested longest. -ENOSPC. */
static int id_find(const struct failover *failover, uint32_t *out)
{
	uint64_t now = loop_now_ms(failover->loop), longest = UINT64_MAX;
	uint32_t id;

	for (id = 0; id < VIEW_TARGETS_MAX; id++) {
		const struct id_rest *rest = &failover->rests[id];

		if (failover->watches[id] != NULL)
			continue;
		if (rest->since_ms == 0) {
			*out = id;
			return 0;
		}
		if (rest->since_ms < longest && id_is_rested(failover, rest, now)) {
			longest = rest->since_ms;
			*out = id;
		}
	}
	return longest != UINT64_MAX ? 0 : -ENOSPC;
}

/* ---- one target ---- */

/* The URI with ;lr;orig (TS 24.229 5.2.2: the Route of a REGISTER). */
static char *make_route_uri(const char *uri)
{
	size_t size = strlen(uri) + sizeof(";lr;orig");
	bool has_lr = false;
	struct uri parsed;
	char *text;

	if (uri_parse(slice_from_string(uri), &parsed))
		has_lr = uri_param(&parsed, "lr", NULL);
	text = memory_alloc(size);
	if (text != NULL)
		snprintf(text, size, "%s%s;orig", uri, has_lr ? "" : ";lr");
	return text;
}

void watch_free(struct watch *watch)
{
	if (watch == NULL)
		return;
	memory_free(watch->name);
	memory_free(watch->uri);
	memory_free(watch->route_uri);
	memory_free(watch->host);
	memory_free(watch->tls);
	memory_free(watch->tls_name);
	memory_free(watch);
}

static int watch_take_uri(struct watch *watch, const char *uri)
{
	char *copy = memory_strdup(uri), *route_uri = make_route_uri(uri);

	if (copy == NULL || route_uri == NULL) {
		memory_free(copy);
		memory_free(route_uri);
		return -ENOMEM;
	}
	memory_free(watch->uri);
	memory_free(watch->route_uri);
	watch->uri = copy;
	watch->route_uri = route_uri;
	return 0;
}

/* NULL stays NULL. */
static int copy_text(const char *from, char **out)
{
	char *copy = from != NULL ? memory_strdup(from) : NULL;

	if (from != NULL && copy == NULL)
		return -ENOMEM;
	memory_free(*out);
	*out = copy;
	return 0;
}

static int watch_copy_texts(struct watch *watch, const struct failover_target_spec *spec)
{
	int err;

	ASSERT(spec->name != NULL && spec->uri != NULL);
	err = copy_text(spec->name, &watch->name);
	if (err == 0)
		err = copy_text(spec->host, &watch->host);
	if (err == 0)
		err = copy_text(spec->tls, &watch->tls);
	if (err == 0)
		err = copy_text(spec->tls_name, &watch->tls_name);
	return err == 0 ? watch_take_uri(watch, spec->uri) : err;
}

static void watch_init(struct failover *failover, struct watch *watch, uint32_t id, unsigned site,
                       const struct failover_target_spec *spec)
{
	uint64_t now = loop_now_ms(failover->loop);

	watch->id = id;
	watch->site = site;
	watch->address = spec->address;
	watch->transport = spec->transport;
	watch->weight = spec->weight;
	watch->priority = spec->priority;
	watch->since_wall_ms = clock_wall_ms();
	health_init(&watch->health, &failover->settings, now, random_below(FIRST_PROBE_SPREAD_MS));
	watch->health.generation = failover->rests[id].generation;
	traffic_init(&watch->traffic, now);
}

/* Has its id, stands in no list of its site yet. */
static int watch_create(struct failover *failover, unsigned site,
                        const struct failover_target_spec *spec, struct watch **out)
{
	struct watch *watch;
	uint32_t id;
	int err;

	err = id_find(failover, &id);
	if (err != 0)
		return err;
	watch = memory_zalloc(sizeof(*watch));
	if (watch == NULL)
		return -ENOMEM;
	watch_init(failover, watch, id, site, spec);
	err = watch_copy_texts(watch, spec);
	if (err == 0 && failover->registry != NULL)
		err = metrics_name_target(failover->registry, id, failover->sites[site].name,
		                          watch->name);
	if (err != 0) {
		watch_free(watch);
		return err;
	}
	failover->watches[id] = watch;
	*out = watch;
	return 0;
}

static void watch_join(struct failover *failover, struct watch *watch)
{
	list_append(&failover->sites[watch->site].watches, &watch->in_site);
	failover->watch_count++;
	failover->roster_changed = true;
	measure_target(failover, watch);
	watch_obey(failover, watch);
}

static void watch_leave(struct failover *failover, struct watch *watch)
{
	struct id_rest *rest = &failover->rests[watch->id];
	unsigned state;

	log_info("target %s/%s: gone", failover->sites[watch->site].name, watch->name);
	rest->since_ms = loop_now_ms(failover->loop);
	rest->roster = roster_current(failover)->number;
	rest->generation = watch->health.generation;
	metrics_set(failover->metrics, METRIC_TARGET_UP, watch->id, 0, 0, 0);
	for (state = 0; state < TARGET_STATES; state++)
		metrics_set(failover->metrics, METRIC_TARGET_STATE, watch->id, state, 0, 0);
	list_remove(&failover->sites[watch->site].watches, &watch->in_site);
	failover->watches[watch->id] = NULL;
	failover->watch_count--;
	failover->roster_changed = true;
	watch_free(watch);
	failover_publish_within(failover, 0);
}

void targets_on_time(struct failover *failover, uint64_t now_ms)
{
	unsigned i;

	for (i = 0; i < VIEW_TARGETS_MAX; i++) {
		struct watch *watch = failover->watches[i];

		if (watch != NULL && watch->leaves_ms != 0 && now_ms >= watch->leaves_ms)
			watch_leave(failover, watch);
	}
	rosters_forget(failover);
}

/* ---- one site ---- */

int site_init(struct failover *failover, unsigned index, const struct config_site *from)
{
	struct site *site = &failover->sites[index];
	struct watch *watch;
	unsigned i;
	int err = 0;

	list_init(&site->watches);
	failover->site_count = index + 1;
	failover->shares[index].capacity = from->capacity;
	failover->shares[index].since_ms = loop_now_ms(failover->loop);
	site->local = from->local;
	site->name = memory_strdup(from->name);
	site->advertise = from->advertise != NULL ? memory_strdup(from->advertise) : NULL;
	if (site->name == NULL || (from->advertise != NULL && site->advertise == NULL))
		return -ENOMEM;
	if (failover->registry != NULL)
		err = metrics_name_site(failover->registry, index, site->name);
	for (i = 0; i < from->target_count && err == 0; i++) {
		const struct config_target *target = &from->targets[i];
		struct failover_target_spec spec = {
			.name = target->name,
			.uri = target->uri,
			.address = target->address,
			.transport = transports[target->transport],
			.weight = target->weight,
			.tls = from->tls,
			.tls_name = target->tls_name,
		};

		err = watch_create(failover, index, &spec, &watch);
		if (err == 0)
			watch_join(failover, watch);
	}
	return err;
}

void site_free(struct site *site)
{
	memory_free(site->name);
	memory_free(site->advertise);
}

/* ---- lists at run time ---- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int watch_renew(struct watch *watch, const struct failover_target_spec *spec)
{
	int err = 0;

	if (!same_text(watch->tls, spec->tls))
		err = copy_text(spec->tls, &watch->tls);
	if (err == 0 && !same_text(watch->tls_name, spec->tls_name))
		err = copy_text(spec->tls_name, &watch->tls_name);
	if (err == 0 && strcmp(watch->uri, spec->uri) != 0)
		err = watch_take_uri(watch, spec->uri);
	return err;
}

static bool watch_is(const struct watch *watch, const struct failover_target_spec *spec)
{
	return strcmp(watch->name, spec->name) == 0 && watch->transport == spec->transport &&
	       address_equal(&watch->address, &spec->address);
}

static struct watch *find_in(const struct list *watches, const struct failover_target_spec *spec)
{
	LIST_FOR_EACH(link, watches) {
		struct watch *watch = CONTAINER_OF(link, struct watch, in_site);

		if (watch_is(watch, spec))
			return watch;
	}
	return NULL;
}

/* Claim what is there, make what is not. */
static int claim(struct failover *failover, unsigned site, const struct failover_target_spec *spec,
                 struct list *fresh)
{
	struct watch *watch = find_in(&failover->sites[site].watches, spec);
	int err;

	if (watch == NULL && find_in(fresh, spec) != NULL)
		return 0; /* told twice */
	if (watch != NULL) {
		watch->claimed = true;
		return watch_renew(watch, spec);
	}
	err = watch_create(failover, site, spec, &watch);
	if (err == 0)
		list_append(fresh, &watch->in_site);
	return err;
}

static void undo(struct failover *failover, struct list *fresh)
{
	struct list_link *link;

	while ((link = list_pop(fresh)) != NULL) {
		struct watch *watch = CONTAINER_OF(link, struct watch, in_site);

		failover->watches[watch->id] = NULL;
		watch_free(watch);
	}
}

static void remove_or_name(struct failover *failover, struct watch *watch)
{
	if (watch->claimed && watch->leaves_ms != 0) {
		watch->leaves_ms = 0;
		watch_input(failover, watch, HEALTH_NAMED, 0);
	} else if (!watch->claimed && watch->leaves_ms == 0) {
		watch->leaves_ms = loop_now_ms(failover->loop) + FAILOVER_REMOVED_MS;
		watch_input(failover, watch, HEALTH_REMOVED, 0);
	}
}

static void watch_take_place(struct watch *watch, const struct failover_target_spec *spec)
{
	watch->weight = spec->weight;
	watch->priority = spec->priority;
}

int failover_set_site_targets(struct failover *failover, unsigned site,
                              const struct failover_target_spec *specs, unsigned count)
{
	struct list *watches, fresh;
	struct list_link *link;
	struct watch *watch;
	unsigned i;
	int err = 0;

	if (site >= failover->site_count)
		return -EINVAL;
	watches = &failover->sites[site].watches;
	list_init(&fresh);
	LIST_FOR_EACH(old, watches)
		CONTAINER_OF(old, struct watch, in_site)->claimed = false;
	for (i = 0; i < count && err == 0; i++)
		err = claim(failover, site, &specs[i], &fresh);
	if (err != 0) {
		undo(failover, &fresh);
		return err;
	}
	for (i = 0; i < count; i++) {
		watch = find_in(watches, &specs[i]);
		if (watch != NULL)
			watch_take_place(watch, &specs[i]);
	}
	/* New ones first: a site whose targets all change is not without any in between. */
	LIST_FOR_EACH(old, watches)
		if (CONTAINER_OF(old, struct watch, in_site)->claimed)
			remove_or_name(failover, CONTAINER_OF(old, struct watch, in_site));
	while ((link = list_pop(&fresh)) != NULL) {
		watch = CONTAINER_OF(link, struct watch, in_site);
		watch->claimed = true;
		watch_join(failover, watch);
	}
	LIST_FOR_EACH(old, watches)
		remove_or_name(failover, CONTAINER_OF(old, struct watch, in_site));
	failover_judge_sites(failover);
	failover_publish_within(failover, 0);
	failover_restart_tick(failover);
	return 0;
}
