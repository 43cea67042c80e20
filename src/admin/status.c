/*
 * GET /status: the node as one JSON object. Control loop.
 */
#include <math.h>
#include <string.h>

#include "admin_internal.h"
#include "base/clock.h"
#include "sip/via.h"

static int64_t target_failures(const struct metrics_registry *registry, uint32_t id)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < metrics_label_size(LABEL_FAILOVER_REASON); i++)
		sum += metrics_read(registry, METRIC_TARGET_FAILURES, id, i, 0);
	return sum;
}

/* The operator's word that stands of a site (target ""), or null. NULL: out of memory. */
static json_t *word_json(const struct admin *admin, const char *site, const char *target)
{
	const struct operator_word *words;
	unsigned count = 0;

	words = admin->source.words != NULL ? admin->source.words(admin->arg, &count) : NULL;
	for (unsigned i = 0; i < count; i++) {
		char until[32];

		if (strcmp(words[i].site, site) != 0 || strcmp(words[i].target, target) != 0)
			continue;
		clock_format_wall(words[i].until_wall_ms, until, sizeof(until));
		return json_pack("{s:s, s:o, s:o}", "word", operator_verb_name(words[i].verb),
		                 "until",
		                 words[i].until_wall_ms != 0 ? json_string(until) : json_null(),
		                 "reason", text_json(words[i].reason));
	}
	return json_null();
}

json_t *target_json(const struct admin *admin, const struct view *view,
                    const struct view_target *target)
{
	char address[ADDRESS_TEXT_MAX], since[32];
	const struct metrics_registry *r = admin->registry;

	clock_format_wall(target->since_wall_ms, since, sizeof(since));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:o}",
	                 "site", view->sites[target->site].name, "name", target->name, "address",
	                 address_format(&target->address, address), "transport",
	                 transport_name(target->transport), "state",
	                 target_state_name(target->state), "reason",
	                 target->reason != NULL ? target->reason : "", "since", since, "probe_ms",
	                 target->probe_us < 0 ? json_null()
	                                      : json_real((double)target->probe_us / 1000.0),
	                 "in_flight",
	                 (json_int_t)metrics_read(r, METRIC_TARGET_IN_FLIGHT, target->id, 0, 0),
	                 "weight", (json_int_t)target->weight, "requests",
	                 (json_int_t)metrics_read(r, METRIC_TARGET_REQUESTS, target->id, 0, 0),
	                 "failures", (json_int_t)target_failures(r, target->id), "operator",
	                 word_json(admin, view->sites[target->site].name, target->name));
}

/* Takes the member; false: out of memory, somewhere. */
static bool append(json_t *array, json_t *member)
{
	return array != NULL && member != NULL && json_array_append_new(array, member) == 0;
}

json_t *site_json(const struct admin *admin, const struct view *view, unsigned index)
{
	const struct view_site *site = &view->sites[index];
	json_t *targets = json_array();

	for (unsigned i = 0; i < site->count; i++)
		if (!append(targets, target_json(admin, view, &view->targets[site->first + i]))) {
			json_decref(targets);
			return NULL;
		}
	return json_pack("{s:s, s:s, s:b, s:b, s:f, s:f, s:o, s:o}", "name", site->name, "state",
	                 site_state_name(site->state), "local", site->local, "serving",
	                 view->serving == (int)index, "new_work",
	                 site->share / (double)VIEW_SHARE_ALL, "share",
	                 round(rates_share(admin->rates, view, index) * 1000) / 1000, "operator",
	                 word_json(admin, site->name, ""), "targets", targets);
}

static json_t *sites_json(const struct admin *admin)
{
	const struct view *view = admin->source.view(admin->arg);
	json_t *sites = json_array();

	for (unsigned i = 0; view != NULL && i < view->site_count; i++)
		if (!append(sites, site_json(admin, view, i))) {
			json_decref(sites);
			return NULL;
		}
	return sites;
}

static json_t *flows_json(const struct admin *admin)
{
	json_t *flows = json_object();

	for (unsigned i = 0; i < TRANSPORTS; i++)
		if (json_object_set_new(flows, transport_name(i),
		                        json_integer(metrics_read(admin->registry, METRIC_FLOWS, i,
		                                                  0, 0))) != 0) {
			json_decref(flows);
			return NULL;
		}
	return flows;
}

static json_t *rates_json(const struct admin *admin)
{
	return json_pack("{s:f, s:f, s:f}", "requests",
	                 round(rates_requests(admin->rates) * 10) / 10, "failovers",
	                 round(rates_failovers(admin->rates) * 10) / 10, "rejected",
	                 round(rates_rejected(admin->rates) * 10) / 10);
}

/* json_pack takes the parts ("o") and fails with NULL when one of them is. */
json_t *status_json(struct admin *admin)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:s, s:b, s:b, s:o, s:o, s:I, s:o, s:o, s:b}",
	                 "node", admin->node, "site", admin->site, "version", BONO_VERSION,
	                 "uptime_s", (json_int_t)((clock_now_us() - admin->started_us) / 1000000),
	                 "config_hash", admin->config_hash, "ready",
	                 admin->source.ready(admin->arg), "draining",
	                 admin->source.draining(admin->arg), "sites", sites_json(admin), "flows",
	                 flows_json(admin), "registrations",
	                 (json_int_t)metrics_total(admin->registry, METRIC_REGISTRATIONS), "rates",
	                 rates_json(admin), "certificates", certificates_json(admin), "tls_loaded",
	                 metrics_total(admin->registry, METRIC_TLS_RELOAD_SUCCESS) != 0);
}
