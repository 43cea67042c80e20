/*
 * The configuration said in the workers' words. Control loop, before the workers start.
 */
#include "control_internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "sip/flow_token.h"

/* Waiting to be written on one connection: a Sprout that stops reading may hold a second of hard traffic, a
 * client much less. */
#define CONNECTION_QUEUE_BYTES (1024 * 1024)
#define CONNECT_TIMEOUT_MS 2000
/* RFC 5626 4.4.1 lets a client be silent for 120 s between keep-alives; twice that before a connection
 * that never registered goes. */
#define IDLE_MS 240000
/* A phone on a bad link still sends its message within this; a slow-loris does not get more. */
#define PARTIAL_MS 15000
/* A client connects in order to register, which it does at once; behind TLS or on a slow link within seconds.
 * Its place is for one who speaks. */
#define FIRST_BYTE_MS 30000
/* A client that got no 2xx keeps its flow through a challenge and a retry or two (64*T1). */
#define UNREGISTERED_MS 32000

static void fill_listener(const struct config_listener *from, struct listener_settings *to)
{
	to->name = from->name;
	to->side = from->side == CONFIG_ACCESS ? SIDE_ACCESS : SIDE_CORE;
	to->transport = (enum sip_transport)from->transport;
	to->bind = from->bind;
	to->advertise = from->advertise;
	to->allow = from->allow;
	to->allow_count = from->allow_count;
	to->tls = from->tls;
	to->client_certificate = (enum tls_client_certificate)from->client_certificate;
	to->allow_names = (const char *const *)from->allow_names;
	to->allow_name_count = from->allow_name_count;
	to->proxy_from = from->proxy_from;
	to->proxy_from_count = from->proxy_from_count;
	to->origins = (const char *const *)from->origins;
	to->origin_count = from->origin_count;
}

static int fill_listeners(struct control *control, unsigned *path_listener)
{
	const struct config *config = control->config;

	control->listeners = memory_zalloc(config->listener_count * sizeof(*control->listeners));
	if (control->listeners == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < config->listener_count; i++) {
		fill_listener(&config->listeners[i], &control->listeners[i]);
		if (config->listeners[i].path)
			*path_listener = i;
	}
	return 0;
}

static struct peer_hop hop_of(const struct config_target *target)
{
	return (struct peer_hop){target->uri, (enum sip_transport)target->transport,
	                         target->address};
}

static struct peer_settings peers_of(const struct config *config)
{
	return (struct peer_settings){
		.trunks = config->trunks,
		.trunk_count = config->trunk_count,
		.pbxes = config->pbxes,
		.pbx_count = config->pbx_count,
		.pbx_service_route = config->pbx_service_route,
		.tls = config->peers_tls,
		.off_net = hop_of(&config->off_net),
		.emergency_register = config->emergency_register,
		.emergency = hop_of(&config->emergency_route),
	};
}

/* A limit of the node in shares of its workers, rounded up. */
static size_t share(uint64_t limit, unsigned workers)
{
	return (size_t)((limit + workers - 1) / workers);
}

/* ccf=a;ccf=b;ecf=c, RFC 7315 5.5. */
static void write_functions(const struct config *config, struct buffer *out)
{
	for (unsigned i = 0; i < config->charging_ccf_count; i++)
		buffer_printf(out, "%sccf=%s", out->length > 0 ? ";" : "", config->charging_ccf[i]);
	for (unsigned i = 0; i < config->charging_ecf_count; i++)
		buffer_printf(out, "%secf=%s", out->length > 0 ? ";" : "", config->charging_ecf[i]);
}

static int fill_charging(struct control *control, const char *advertise)
{
	const struct config *config = control->config;
	struct proxy_settings *proxy = &control->worker_settings.proxy;
	struct buffer functions;
	int err = 0;

	buffer_init(&functions);
	write_functions(config, &functions);
	if (functions.length > 0)
		control->charging_functions = slice_to_string(buffer_slice(&functions));
	if (functions.failed || (functions.length > 0 && control->charging_functions == NULL))
		err = -ENOMEM;
	buffer_free(&functions);
	control->charging_host =
		slice_to_string(slice_of(advertise, (size_t)(strrchr(advertise, ':') - advertise)));
	if (control->charging_host == NULL)
		err = -ENOMEM;
	proxy->charging_vector = config->charging_vector;
	proxy->charging_host = control->charging_host;
	proxy->charging_ioi = config->charging_ioi;
	proxy->charging_functions = control->charging_functions;
	for (unsigned i = 0; i < config->site_count; i++)
		proxy->charging_records |= config->sites[i].ralf_count > 0;
	return err;
}

int settings_fill(struct control *control)
{
	const struct config *config = control->config;
	struct worker_settings *settings = &control->worker_settings;
	unsigned path_listener = 0;
	int err = fill_listeners(control, &path_listener);

	if (err != 0)
		return err;
	settings->transport = (struct transport_settings){
		.listeners = control->listeners,
		.listener_count = config->listener_count,
		.workers = config->workers,
		.message_bytes = config->limit_message_bytes,
		.max_connections = (unsigned)share(config->limit_connections, config->workers),
		.max_connections_per_address =
			(unsigned)share(config->limit_connections_per_address, config->workers),
		.tls_handshakes = (unsigned)share(config->limit_tls_handshakes, config->workers),
		.websocket_ping_ms = config->websocket_ping_ms,
		.descriptor_limit = descriptors_settle(config),
		.connection_queue_bytes = CONNECTION_QUEUE_BYTES,
		.connect_timeout_ms = CONNECT_TIMEOUT_MS,
		.idle_ms = IDLE_MS,
		.partial_ms = PARTIAL_MS,
		.first_byte_ms = FIRST_BYTE_MS,
	};
	settings->proxy = (struct proxy_settings){
		.listeners = control->listeners,
		.listener_count = config->listener_count,
		.path_listener = path_listener,
		.visited_network =
			config->home_domain_count > 0 ? config->home_domains[0] : config->node_name,
		.home_domains = config->home_domains,
		.home_domain_count = config->home_domain_count,
		.peers = peers_of(config),
		.session_expires_s = (uint32_t)(config->session_expires_ms / 1000),
		.session_minimum_s = (uint32_t)(config->session_minimum_ms / 1000),
		.restoration_ims = (enum restoration_ims)config->restoration_ims,
		.message_bytes = config->limit_message_bytes,
		.first_answer_ms = config->failover_first_answer_ms,
		.deadline_ms = config->failover_deadline_ms,
		.flow_timer_s = (unsigned)(config->flow_timer_ms / 1000),
		.flow_timer_udp_s = (unsigned)(config->flow_timer_udp_ms / 1000),
		.flow_grace_ms = config->flow_grace_ms,
		.deregister_lost = config->deregister_lost,
		.deregister_after_ms = config->deregister_after_ms,
		.reg_subscribe = config->reg_subscribe,
		.reg_subscribe_expires_s = (uint32_t)(config->reg_subscribe_expires_ms / 1000),
		.reg_subscriptions_max = share(config->limit_flows, config->workers),
	};
	err = fill_charging(control, config->listeners[path_listener].advertise);
	settings->node = flow_token_node_id(slice_from_string(config->node_name));
	settings->epoch = (uint32_t)(clock_wall_ms() / 1000);
	settings->flow_limit = share(config->limit_flows, config->workers);
	settings->transaction_limit = share(config->limit_transactions, config->workers);
	settings->unregistered_ms = UNREGISTERED_MS;
	settings->probe_host = config->node_name;
	return err;
}

void settings_free(struct control *control)
{
	memory_free(control->listeners);
	control->listeners = NULL;
	memory_free(control->charging_host);
	memory_free(control->charging_functions);
	control->charging_host = control->charging_functions = NULL;
}
