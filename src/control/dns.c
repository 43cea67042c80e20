/*
 * Discovery between the resolver, which asks, and failover, which is told. Control loop only.
 */
#include "control_internal.h"

static int ask(void *arg, const char *name, enum dns_type type,
               void (*done)(void *arg, struct dns_answer *answer), void *done_arg)
{
	struct control *control = arg;

	return resolver_ask(control->resolver, name, type, done, done_arg);
}

static int set_targets(void *arg, unsigned site, const struct failover_target_spec *specs,
                       unsigned count)
{
	struct control *control = arg;

	explain_discovery(control, site, specs, count);
	return failover_set_site_targets(control->failover, site, specs, count);
}

static bool has_names(const struct config *config)
{
	for (unsigned i = 0; i < config->site_count; i++) {
		if (config->sites[i].name_count > 0)
			return true;
	}
	return false;
}

int dns_create(struct control *control)
{
	const struct config *config = control->config;
	const struct resolver_settings settings = {
		.servers = config->dns_servers,
		.server_count = config->dns_server_count,
		.timeout_ms = config->dns_timeout_ms,
	};
	const struct discovery_ways ways = {.ask = ask, .set_targets = set_targets, .arg = control};
	int err;

	if (!has_names(config))
		return 0;
	err = resolver_create(control->loop, &settings, &control->resolver);
	if (err != 0)
		return err;
	return discovery_create(control->loop, config, control->registry, control->metrics, &ways,
	                        &control->discovery);
}

void dns_destroy(struct control *control)
{
	resolver_destroy(&control->resolver); /* first: it may still owe answers */
	discovery_destroy(&control->discovery);
}
