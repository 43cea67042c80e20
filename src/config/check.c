/*
 * Rules across keys: names that must exist, ways that must be there, numbers that must fit together. What
 * the walk has already called faulty is passed over, so that one mistake is told once.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "config_internal.h"

struct mark check_mark_in(const struct node *map, const char *key)
{
	const struct node *node = node_member(map, key);

	if (node != NULL)
		return node->mark;
	return map != NULL ? map->mark : (struct mark){1, 1};
}

const struct node *check_listener_node(const struct check *check, unsigned index)
{
	return node_at(node_member(check->tree, "listeners"), index);
}

const struct node *check_site_node(const struct check *check, unsigned index)
{
	return node_at(node_member(check->tree, "sites"), index);
}

const struct node *check_target_node(const struct check *check, unsigned site, unsigned index)
{
	return node_at(node_member(check_site_node(check, site), "targets"), index);
}

/* The URI of a target, wherever it is written. */
static struct mark target_mark(const struct check *check, unsigned site, unsigned index,
                               const char *key)
{
	return check_mark_in(check_target_node(check, site, index), key);
}

/* ---- node ---- */

static void check_node_site(const struct check *check)
{
	const struct config *config = check->config;
	const char *suggestion = NULL;

	if (config->node_site == NULL || config->site_count == 0)
		return;
	for (unsigned i = 0; i < config->site_count; i++) {
		if (strcmp(config->sites[i].name, config->node_site) == 0)
			return;
		if (words_are_near(config->node_site, config->sites[i].name))
			suggestion = config->sites[i].name;
	}
	fault_at(check->faults, check_mark_in(node_member(check->tree, "node"), "site"),
	         "unknown site, expected one of \"sites\", found \"%s\"%s%s%s", config->node_site,
	         suggestion != NULL ? ": did you mean \"" : "",
	         suggestion != NULL ? suggestion : "", suggestion != NULL ? "\"?" : "");
}

/* ---- listeners ---- */

static void check_core_listener(const struct check *check, unsigned index)
{
	const struct config_listener *listener = &check->config->listeners[index];
	const struct node *node = check_listener_node(check, index);

	/* A WebSocket there is refused as a whole (check_tls_listener). */
	if (node_member(node, "allow") == NULL && !check_names_suffice(check, index) &&
	    listener->transport != CONFIG_WS && listener->transport != CONFIG_WSS)
		fault_at(check->faults, node->mark,
		         "missing key \"allow\", expected the addresses that may send to a core "
		         "listener (or, with tls, \"allow_names\"), found nothing");
	if (listener->bind.family != AF_UNSPEC && listener->advertise == NULL &&
	    node_member(node, "advertise") == NULL)
		fault_at(
			check->faults, check_mark_in(node, "bind"),
			"a wildcard bind on the core side, expected \"advertise\" beside it, found "
			"none");
}

static void check_access_listener(const struct check *check, unsigned index)
{
	const struct config_listener *listener = &check->config->listeners[index];
	const struct node *node = check_listener_node(check, index);

	if (node_member(node, "allow") != NULL)
		fault_at(check->faults, check_mark_in(node, "allow"),
		         "key \"allow\" on the access side, expected it on core listeners only, "
		         "found "
		         "it");
	if (listener->path)
		fault_at(check->faults, check_mark_in(node, "path"),
		         "\"path\" on the access side, expected it on a core listener, found true");
}

/* Two that would fight for one port: the same address, or one of them a wildcard. [::] leaves IPv4 to
 * the listener that asks for it, so families do not meet. */
static bool binds_clash(const struct address *a, const struct address *b)
{
	if (a->family == AF_UNSPEC || a->family != b->family || address_port(a) != address_port(b))
		return false;
	return address_equal_host(a, b) || address_is_wildcard(a) || address_is_wildcard(b);
}

static void check_listener_pair(const struct check *check, unsigned first, unsigned second)
{
	const struct config_listener *a = &check->config->listeners[first];
	const struct config_listener *b = &check->config->listeners[second];
	const struct node *node = check_listener_node(check, second);
	unsigned line = check_listener_node(check, first)->mark.line;
	char text[ADDRESS_TEXT_MAX];

	if (a->name != NULL && b->name != NULL && strcmp(a->name, b->name) == 0)
		fault_at(check->faults, check_mark_in(node, "name"),
		         "duplicate listener, expected each name once, found \"%s\" already in "
		         "line %u",
		         b->name, line);
	if (a->transport == CONFIG_TRANSPORT_UNKNOWN || b->transport == CONFIG_TRANSPORT_UNKNOWN)
		return;
	if ((a->transport == CONFIG_UDP) == (b->transport == CONFIG_UDP) &&
	    binds_clash(&a->bind, &b->bind))
		fault_at(check->faults, check_mark_in(node, "bind"),
		         "duplicate bind, expected each address and port once, found %s already "
		         "taken "
		         "in line %u",
		         address_format(&b->bind, text), line);
}

static void check_sides(const struct check *check)
{
	static const char *const words[] = {"access", "core"};
	unsigned found[2] = {0, 0}, paths = 0;

	for (unsigned i = 0; i < check->config->listener_count; i++) {
		const struct config_listener *listener = &check->config->listeners[i];

		if (listener->side == CONFIG_SIDE_UNKNOWN)
			return; /* it may have been meant as the missing one */
		found[listener->side]++;
		if (listener->side == CONFIG_CORE && listener->path && ++paths == 2)
			fault_at(check->faults,
			         check_mark_in(check_listener_node(check, i), "path"),
			         "a second path listener, expected one, found true");
	}
	for (unsigned side = 0; side < 2; side++)
		if (found[side] == 0 && check->config->listener_count > 0)
			fault_at(check->faults, node_member(check->tree, "listeners")->mark,
			         "no %s listener, expected at least one of each side, found none",
			         words[side]);
}

static void check_listeners(const struct check *check)
{
	const struct config *config = check->config;

	for (unsigned i = 0; i < config->listener_count; i++) {
		if (check_listener_node(check, i)->kind != NODE_MAP)
			continue;
		if (config->listeners[i].side == CONFIG_CORE)
			check_core_listener(check, i);
		else if (config->listeners[i].side == CONFIG_ACCESS)
			check_access_listener(check, i);
		check_tls_listener(check, i);
		for (unsigned j = 0; j < i; j++)
			check_listener_pair(check, j, i);
	}
	check_sides(check);
}

/* ---- sites ---- */

/* [::] serves IPv4 too unless another listener of the kind has that port in IPv4. */
static bool is_dual(const struct config *config, unsigned index)
{
	const struct config_listener *listener = &config->listeners[index];

	if (listener->bind.family != AF_INET6 || !address_is_wildcard(&listener->bind))
		return false;
	for (unsigned i = 0; i < config->listener_count; i++) {
		const struct config_listener *other = &config->listeners[i];

		if (other->bind.family == AF_INET &&
		    (other->transport == CONFIG_UDP) == (listener->transport == CONFIG_UDP) &&
		    address_port(&other->bind) == address_port(&listener->bind))
			return false;
	}
	return true;
}

/* The core listener whose name goes into the Via toward this target. */
static bool has_way(const struct config *config, const struct config_target *target)
{
	for (unsigned i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		/* A faulty listener may have been meant as the way. */
		if (listener->side == CONFIG_SIDE_UNKNOWN ||
		    listener->transport == CONFIG_TRANSPORT_UNKNOWN ||
		    listener->bind.family == AF_UNSPEC)
			return true;
		if (listener->side != CONFIG_CORE)
			continue;
		/* A name's family, and without transport= its transport, are not known before DNS says; but
		 * where TLS is asked for, it is nothing else. */
		if ((listener->transport == target->transport ||
		     (target->host != NULL && !target->has_transport &&
		      target->transport != CONFIG_TLS)) &&
		    (target->host != NULL || listener->bind.family == target->address.family ||
		     is_dual(config, i)))
			return true;
	}
	return config->listener_count == 0;
}

static void check_way(const struct check *check, const struct config_site *site,
                      const struct config_target *target, struct mark mark)
{
	/* The other way about is told by check_tls.c, and enough. */
	if ((site->tls != NULL) == (target->transport == CONFIG_TLS) &&
	    !has_way(check->config, target))
		fault_at(check->faults, mark,
		         "no way to the target, expected a core listener of its transport and "
		         "address "
		         "family, found none for \"%s\"",
		         target->uri);
}

static void check_target_pair(const struct check *check, unsigned site_a, unsigned a,
                              unsigned site_b, unsigned b)
{
	const struct config_target *first = &check->config->sites[site_a].targets[a];
	const struct config_target *second = &check->config->sites[site_b].targets[b];

	if (second->uri != NULL && first->uri != NULL && second->host == NULL &&
	    first->host == NULL && first->transport == second->transport &&
	    address_equal(&first->address, &second->address))
		fault_at(check->faults, target_mark(check, site_b, b, "uri"),
		         "duplicate target, expected each address and transport once, found %s/%s "
		         "already",
		         check->config->sites[site_a].name, first->name);
	if (site_a == site_b && strcmp(first->name, second->name) == 0)
		fault_at(check->faults, target_mark(check, site_b, b, "name"),
		         "duplicate name, expected each once in a site, found %s/%s already",
		         check->config->sites[site_a].name, first->name);
}

static void check_target(const struct check *check, unsigned site, unsigned index)
{
	const struct config *config = check->config;
	const struct config_target *target = &config->sites[site].targets[index];

	if (target->uri != NULL && target->host == NULL && address_is_wildcard(&target->address))
		fault_at(check->faults, target_mark(check, site, index, "uri"),
		         "a wildcard as target, expected an address that can be reached, found "
		         "\"%s\"",
		         target->uri);
	else if (target->uri != NULL)
		check_way(check, &config->sites[site], target,
		          target_mark(check, site, index, "uri"));
	if (target->host != NULL &&
	    node_member(check_target_node(check, site, index), "name") != NULL)
		fault_at(check->faults, target_mark(check, site, index, "name"),
		         "\"name\" beside a host name, expected none: each of its addresses is a "
		         "target, named ADDRESS:PORT/TRANSPORT; found \"%s\"",
		         target->name);
	for (unsigned s = 0; s <= site; s++)
		for (unsigned t = 0; t < (s == site ? index : config->sites[s].target_count); t++)
			check_target_pair(check, s, t, site, index);
}

static void check_sites(const struct check *check)
{
	const struct config *config = check->config;

	for (unsigned i = 0; i < config->site_count; i++) {
		const struct config_site *site = &config->sites[i];
		const struct node *node = check_site_node(check, i);

		if (node->kind == NODE_MAP)
			check_tls_site(check, i);
		if (node->kind == NODE_MAP && node_member(node, "targets") == NULL &&
		    node_member(node, "discover") == NULL)
			fault_at(check->faults, node->key_mark,
			         "missing key \"targets\", expected it or \"discover\" in a site, "
			         "found "
			         "neither");
		for (unsigned j = 0; j < site->target_count; j++)
			check_target(check, i, j);
		if (site->discover.uri != NULL)
			check_way(check, site, &site->discover, check_mark_in(node, "discover"));
	}
}

/* ---- names ---- */

struct name_place {
	const struct config_target *name;
	struct mark mark;
};

static bool same_name(const struct config_target *a, const struct config_target *b)
{
	return strcasecmp(a->host, b->host) == 0 && a->port == b->port &&
	       a->has_transport == b->has_transport && a->transport == b->transport;
}

/* One more name; the one too many, or met before, is a fault. */
static void check_name(const struct check *check, struct name_place *places, unsigned *count,
                       const struct config_target *name, struct mark mark)
{
	if (name->host == NULL)
		return;
	for (unsigned i = 0; i < *count; i++) {
		if (!same_name(places[i].name, name))
			continue;
		fault_at(check->faults, mark,
		         "duplicate name, expected each name to be resolved once, found \"%s\" "
		         "already "
		         "in line %u",
		         name->host, places[i].mark.line);
		return;
	}
	if (*count == CONFIG_NAMES_MAX) {
		fault_at(check->faults, mark,
		         "too many names to be resolved, expected at most %u, found more",
		         CONFIG_NAMES_MAX);
		return;
	}
	places[(*count)++] = (struct name_place){name, mark};
}

static void check_names(const struct check *check)
{
	const struct config *config = check->config;
	struct name_place places[CONFIG_NAMES_MAX];
	unsigned count = 0;

	for (unsigned i = 0; i < config->site_count; i++) {
		const struct config_site *site = &config->sites[i];

		check_name(check, places, &count, &site->discover,
		           check_mark_in(check_site_node(check, i), "discover"));
		for (unsigned j = 0; j < site->target_count; j++)
			check_name(check, places, &count, &site->targets[j],
			           target_mark(check, i, j, "uri"));
	}
}

/* ---- numbers ---- */

static void check_times(const struct check *check)
{
	const struct config *config = check->config;
	char most[TIME_WORDS_MAX], found[TIME_WORDS_MAX];

	if (config->health_timeout_ms > config->health_interval_ms)
		fault_at(check->faults,
		         check_mark_in(node_member(check->tree, "health"), "timeout"),
		         "health.timeout is too long, expected at most health.interval (%s), found "
		         "%s",
		         time_words(config->health_interval_ms, most),
		         time_words(config->health_timeout_ms, found));
	if (config->failover_first_answer_ms >= config->failover_deadline_ms)
		fault_at(check->faults,
		         check_mark_in(node_member(check->tree, "failover"), "first_answer"),
		         "failover.first_answer is too long, expected less than failover.deadline "
		         "(%s), found %s",
		         time_words(config->failover_deadline_ms, most),
		         time_words(config->failover_first_answer_ms, found));
}

/* Flow-Timer, keep and Expires count in seconds. */
static void check_seconds(const struct check *check, const char *section, const char *key,
                          uint64_t ms)
{
	if (ms % 1000 != 0)
		fault_at(check->faults, check_mark_in(node_member(check->tree, section), key),
		         "%s.%s is no number of seconds, expected one, found %" PRIu64 "ms",
		         section, key, ms);
}

static void check_admin(const struct check *check)
{
	const struct config *config = check->config;
	struct address http;

	if (config->admin_http == NULL ||
	    !address_parse(slice_from_string(config->admin_http), &http))
		return;
	for (unsigned i = 0; i < config->listener_count; i++)
		if (config->listeners[i].transport != CONFIG_UDP &&
		    binds_clash(&config->listeners[i].bind, &http))
			fault_at(check->faults,
			         check_mark_in(node_member(check->tree, "admin"), "http"),
			         "admin.http is taken, expected an address and port of its own, "
			         "found "
			         "that of the listener in line %u",
			         check_listener_node(check, i)->mark.line);
}

/* TS 32.260 6.1.3: a record that names no one who collects it is of no use to Ralf. */
static void check_charging(const struct check *check)
{
	const struct config *config = check->config;

	for (unsigned i = 0; i < config->site_count; i++)
		if (config->sites[i].ralf_count > 0 && config->charging_ccf_count == 0 &&
		    config->charging_ecf_count == 0)
			fault_at(check->faults, check_mark_in(check_site_node(check, i), "ralf"),
			         "a Ralf without anybody who collects, expected charging.ccf or "
			         "charging.ecf, found neither");
}

void config_check(const struct config *config, const struct node *tree, struct faults *faults)
{
	struct check check = {config, tree, faults};

	check_node_site(&check);
	check_tls_profiles(&check);
	check_listeners(&check);
	check_sites(&check);
	check_names(&check);
	check_times(&check);
	check_seconds(&check, "outbound", "flow_timer", config->flow_timer_ms);
	check_seconds(&check, "outbound", "flow_timer_udp", config->flow_timer_udp_ms);
	check_seconds(&check, "registration", "subscribe_expires",
	              config->reg_subscribe_expires_ms);
	check_charging(&check);
	check_admin(&check);
	config_check_peers(config, tree, faults);
	check_tls_peers(&check);
}
