/*
 * Rules across keys for those who are no clients: trunks and PBXes, emergency, session timers.
 */
#include <inttypes.h>

#include "config_internal.h"

static struct mark mark_of(const struct node *tree, const char *section, const char *key)
{
	const struct node *map = node_member(tree, section);
	const struct node *node = node_member(map, key);

	if (node != NULL)
		return node->mark;
	return map != NULL ? map->mark : (struct mark){1, 1};
}

/* Ranges are prefixes: two that meet hold each other, one way or the other. */
static bool ranges_meet(const struct address_range *a, const struct address_range *b)
{
	return address_range_contains(a, &b->base) || address_range_contains(b, &a->base);
}

static void check_both(const struct config *config, const struct node *tree, struct faults *faults)
{
	char text[ADDRESS_TEXT_MAX];

	for (unsigned i = 0; i < config->pbx_count; i++)
		for (unsigned j = 0; j < config->trunk_count; j++)
			if (ranges_meet(&config->pbxes[i], &config->trunks[j]))
				fault_at(faults, mark_of(tree, "peers", "pbxes"),
				         "a PBX that is a trunk too, expected each address in one "
				         "of "
				         "\"trunks\" and \"pbxes\", found %s/%u in both",
				         address_format_host(&config->pbxes[i].base, text),
				         config->pbxes[i].bits);
}

static void check_off_net(const struct config *config, const struct node *tree,
                          struct faults *faults)
{
	if (config->off_net.uri == NULL)
		return;
	for (unsigned i = 0; i < config->trunk_count; i++)
		if (address_range_contains(&config->trunks[i], &config->off_net.address))
			return;
	fault_at(faults, mark_of(tree, "peers", "off_net"),
	         "no trunk, expected \"refuse\" or an address of \"trunks\", found \"%s\"",
	         config->off_net.uri);
}

static void check_emergency(const struct config *config, const struct node *tree,
                            struct faults *faults)
{
	const struct config_target *route = &config->emergency_route;

	if (route->uri == NULL)
		return;
	for (unsigned i = 0; i < config->listener_count; i++)
		if (config->listeners[i].side == CONFIG_CORE &&
		    config->listeners[i].transport == route->transport)
			return;
	fault_at(faults, mark_of(tree, "emergency", "route"),
	         "no way to it, expected a core listener of its transport, found none for \"%s\"",
	         route->uri);
}

void config_check_peers(const struct config *config, const struct node *tree, struct faults *faults)
{
	char most[TIME_WORDS_MAX], found[TIME_WORDS_MAX];

	check_both(config, tree, faults);
	check_off_net(config, tree, faults);
	check_emergency(config, tree, faults);
	if (config->session_expires_ms != 0 &&
	    config->session_minimum_ms > config->session_expires_ms)
		fault_at(faults, mark_of(tree, "session_timers", "minimum"),
		         "session_timers.minimum is too long, expected at most "
		         "session_timers.expires (%s), found %s",
		         time_words(config->session_expires_ms, most),
		         time_words(config->session_minimum_ms, found));
}
