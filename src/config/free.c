/*
 * The end of a configuration, and looking something up in it.
 */
#include <string.h>

#include "base/memory.h"
#include "config/config.h"

const struct config_tls *config_find_tls(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->tls_count; i++)
		if (config->tls[i].name != NULL && strcmp(config->tls[i].name, name) == 0)
			return &config->tls[i];
	return NULL;
}

static void targets_free(struct config_target *targets, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		memory_free(targets[i].name);
		memory_free(targets[i].uri);
		memory_free(targets[i].host);
		memory_free(targets[i].tls_name);
	}
}

static void texts_free(char **texts, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		memory_free(texts[i]);
	memory_free(texts);
}

static void listener_free(struct config_listener *listener)
{
	memory_free(listener->name);
	memory_free(listener->advertise);
	memory_free(listener->allow);
	memory_free(listener->tls);
	memory_free(listener->proxy_from);
	texts_free(listener->allow_names, listener->allow_name_count);
	texts_free(listener->origins, listener->origin_count);
}

static void certificate_free(struct config_certificate *certificate)
{
	memory_free(certificate->certificate);
	memory_free(certificate->key);
}

static void profile_free(struct config_tls *profile)
{
	certificate_free(&profile->first);
	for (unsigned i = 0; i < profile->certificate_count; i++)
		certificate_free(&profile->certificates[i]);
	memory_free(profile->certificates);
	memory_free(profile->name);
	memory_free(profile->ca);
}

static void site_free(struct config_site *site)
{
	targets_free(site->targets, site->target_count);
	targets_free(site->names, site->name_count);
	targets_free(&site->discover, 1);
	memory_free(site->targets);
	memory_free(site->names);
	memory_free(site->name);
	memory_free(site->advertise);
	memory_free(site->tls);
	texts_free(site->ralf, site->ralf_count);
}

void config_free(struct config **config)
{
	struct config *c = *config;

	*config = NULL;
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->listener_count; i++)
		listener_free(&c->listeners[i]);
	for (unsigned i = 0; i < c->tls_count; i++)
		profile_free(&c->tls[i]);
	for (unsigned i = 0; i < c->site_count; i++)
		site_free(&c->sites[i]);
	texts_free(c->home_domains, c->home_domain_count);
	memory_free(c->tls);
	memory_free(c->tls_ticket_keys);
	memory_free(c->listeners);
	memory_free(c->sites);
	targets_free(&c->off_net, 1);
	targets_free(&c->emergency_route, 1);
	memory_free(c->trunks);
	memory_free(c->pbxes);
	memory_free(c->pbx_service_route);
	memory_free(c->peers_tls);
	texts_free(c->charging_ccf, c->charging_ccf_count);
	texts_free(c->charging_ecf, c->charging_ecf_count);
	memory_free(c->charging_ioi);
	memory_free(c->dns_servers);
	memory_free(c->node_name);
	memory_free(c->node_site);
	memory_free(c->state_dir);
	memory_free(c->admin_http);
	memory_free(c->admin_socket);
	memory_free(c);
}
