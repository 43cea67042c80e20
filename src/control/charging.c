/*
 * Charging as the configuration wants it: which Ralfs in which order, where the spool lies. Before the workers start,
 * and after they have ended.
 */
#include "control_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

struct control_charging {
	struct charging_settings settings;
	struct charging *charging;
	char *directory;
	struct ralf_endpoint *endpoints; /* their hosts are owned */
	unsigned endpoint_count;
};

static unsigned count_endpoints(const struct config *config)
{
	unsigned count = 0;

	for (unsigned i = 0; i < config->site_count; i++)
		count += config->sites[i].ralf_count;
	return count;
}

/* "host:port" as config has checked it; an address of IPv6 stands in brackets. */
static int add_endpoint(struct control_charging *c, const char *site, const char *text)
{
	const char *colon = strrchr(text, ':');
	struct slice host = slice_of(text, (size_t)(colon - text));
	struct ralf_endpoint *endpoint = &c->endpoints[c->endpoint_count];
	uint64_t port = 0;

	if (host.data[0] == '[')
		host = slice_of(host.data + 1, host.length - 2);
	endpoint->site = site;
	endpoint->host = slice_to_string(host);
	if (endpoint->host == NULL)
		return -ENOMEM;
	c->endpoint_count++;
	slice_to_uint(slice_from_string(colon + 1), UINT16_MAX, &port);
	endpoint->port = (uint16_t)port;
	return 0;
}

static int fill(const struct config *config, struct control_charging *c)
{
	const size_t size = strlen(config->state_dir) + sizeof("/charging");
	struct charging_settings *settings = &c->settings;
	int err = 0;

	c->endpoints = memory_zalloc(count_endpoints(config) * sizeof(*c->endpoints));
	c->directory = memory_alloc(size);
	if (c->endpoints == NULL || c->directory == NULL)
		return -ENOMEM;
	snprintf(c->directory, size, "%s/charging", config->state_dir);
	for (unsigned i = 0; i < config->site_count; i++) /* the local one is the first */
		for (unsigned j = 0; err == 0 && j < config->sites[i].ralf_count; j++)
			err = add_endpoint(c, config->sites[i].name, config->sites[i].ralf[j]);
	settings->directory = c->directory;
	settings->spool_bytes = config->charging_spool_bytes;
	settings->charge = (struct charge_settings){
		.node = config->node_name,
		.ioi = config->charging_ioi,
		.ccf = (const char *const *)config->charging_ccf,
		.ccf_count = config->charging_ccf_count,
		.ecf = (const char *const *)config->charging_ecf,
		.ecf_count = config->charging_ecf_count,
	};
	settings->ralf = (struct ralf_settings){
		.endpoints = c->endpoints,
		.endpoint_count = c->endpoint_count,
		.dns_servers = config->dns_servers,
		.dns_server_count = config->dns_server_count,
	};
	return err;
}

int control_charging_start(const struct config *config, struct metrics_registry *registry,
                           struct control_charging **out)
{
	struct control_charging *c;
	int err;

	*out = NULL;
	if (count_endpoints(config) == 0)
		return 0;
	c = memory_zalloc(sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	err = fill(config, c);
	if (err == 0)
		err = charging_start(&c->settings, registry, &c->charging);
	if (err != 0) {
		log_error("charging: cannot begin in %s, %s", c->directory, error_text(err));
		control_charging_stop(&c);
	}
	*out = c;
	return err;
}

void control_charging_stop(struct control_charging **charging)
{
	struct control_charging *c = *charging;

	*charging = NULL;
	if (c == NULL)
		return;
	charging_stop(&c->charging);
	for (unsigned i = 0; i < c->endpoint_count; i++)
		memory_free((char *)c->endpoints[i].host);
	memory_free(c->endpoints);
	memory_free(c->directory);
	memory_free(c);
}

void control_charge(struct control_charging *charging, const struct charge *charge)
{
	charging_tell(charging->charging, charge);
}
