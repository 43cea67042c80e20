/*
 * Rules across keys where TLS is concerned: profiles, the listeners and sites that name them, and that no site
 * is reached in plaintext unless the file says so.
 */
#include <string.h>

#include "base/error.h"
#include "config_internal.h"

static bool is_tls(const struct config_listener *listener)
{
	return listener->transport == CONFIG_TLS || listener->transport == CONFIG_WSS;
}

static bool is_websocket(const struct config_listener *listener)
{
	return listener->transport == CONFIG_WS || listener->transport == CONFIG_WSS;
}

/* ---- profiles ---- */

void check_tls_profiles(const struct check *check)
{
	const struct node *tls = node_member(check->tree, "tls");

	for (unsigned i = 0; i < check->config->tls_count; i++) {
		const struct node *node = node_at(tls, i);
		const struct node *certificate = node_member(node, "certificate");
		const struct node *key = node_member(node, "key");
		const struct node *more = node_member(node, "more");

		if (certificate != NULL && key == NULL)
			fault_at(check->faults, certificate->mark,
			         "\"certificate\" without \"key\", expected both or neither, found "
			         "one");
		else if (key != NULL && certificate == NULL)
			fault_at(check->faults, key->mark,
			         "\"key\" without \"certificate\", expected both or neither, found "
			         "one");
		else if (more != NULL && certificate == NULL)
			fault_at(check->faults, more->mark,
			         "\"more\" without \"certificate\", expected a default beside the "
			         "others, found none");
	}
}

/* The profile that a key names; NULL, and a fault, when there is none. */
static const struct config_tls *named_profile(const struct check *check, const struct node *map,
                                              const char *name)
{
	const struct config_tls *found = config_find_tls(check->config, name);
	const char *suggestion = NULL;

	if (found != NULL)
		return found;
	for (unsigned i = 0; i < check->config->tls_count; i++)
		if (words_are_near(name, check->config->tls[i].name))
			suggestion = check->config->tls[i].name;
	fault_at(check->faults, check_mark_in(map, "tls"),
	         "unknown TLS profile, expected a name that stands under \"tls\", found "
	         "\"%s\"%s%s%s",
	         name, suggestion != NULL ? ": did you mean \"" : "",
	         suggestion != NULL ? suggestion : "", suggestion != NULL ? "\"?" : "");
	return NULL;
}

/* ---- listeners ---- */

bool check_names_suffice(const struct check *check, unsigned index)
{
	return check->config->listeners[index].transport == CONFIG_TLS &&
	       node_member(check_listener_node(check, index), "allow_names") != NULL;
}

/* A key that has no meaning at this listener. */
static void refuse_key(const struct check *check, const struct node *node, const char *key,
                       const char *expected)
{
	const struct node *member = node_member(node, key);
	char found[NODE_WORDS_MAX];

	if (member != NULL)
		fault_at(check->faults, member->mark,
		         "key \"%s\" at this listener, expected it on %s only, found %s", key,
		         expected, node_words(member, found));
}

static void check_profile_of_listener(const struct check *check, const struct node *node,
                                      const struct config_listener *listener)
{
	const struct config_tls *profile;
	const struct node *in_file;

	if (listener->tls == NULL) {
		if (node_member(node, "tls") == NULL)
			fault_at(check->faults, node->mark,
			         "missing key \"tls\", expected the name of a TLS profile, found "
			         "nothing");
		return;
	}
	profile = named_profile(check, node, listener->tls);
	if (profile == NULL)
		return;
	in_file =
		node_at(node_member(check->tree, "tls"), (unsigned)(profile - check->config->tls));
	if (profile->certificate_count == 0 && node_member(in_file, "certificate") == NULL)
		fault_at(check->faults, check_mark_in(node, "tls"),
		         "a TLS profile without a certificate, expected one with \"certificate\" "
		         "and "
		         "\"key\", found \"%s\"",
		         profile->name);
	if (listener->client_certificate != CONFIG_CLIENT_NONE &&
	    node_member(in_file, "ca") == NULL)
		fault_at(check->faults,
		         check_mark_in(node, node_member(node, "client_certificate") != NULL
		                                     ? "client_certificate"
		                                     : "allow_names"),
		         "client certificates without a \"ca\" to judge them, expected one in the "
		         "TLS "
		         "profile, found none in \"%s\"",
		         profile->name);
}

static void check_allow_names(const struct check *check, const struct node *node,
                              const struct config_listener *listener)
{
	const struct node *said = node_member(node, "client_certificate");

	if (listener->side == CONFIG_ACCESS || listener->transport != CONFIG_TLS)
		refuse_key(check, node, "allow_names", "core listeners of transport tls");
	else if (listener->allow_name_count > 0 && said != NULL && said->kind == NODE_TEXT &&
	         strcmp(said->text, "required") != 0)
		fault_at(check->faults, said->mark,
		         "names without proof, expected \"client_certificate: required\" beside "
		         "\"allow_names\", found \"%s\"",
		         said->text);
}

void check_tls_listener(const struct check *check, unsigned index)
{
	const struct config_listener *listener = &check->config->listeners[index];
	const struct node *node = check_listener_node(check, index);

	if (listener->transport == CONFIG_TRANSPORT_UNKNOWN ||
	    listener->side == CONFIG_SIDE_UNKNOWN)
		return;
	if (is_websocket(listener) && listener->side == CONFIG_CORE)
		fault_at(check->faults, check_mark_in(node, "transport"),
		         "a WebSocket on the core side, expected udp, tcp or tls there, found "
		         "\"%s\"",
		         config_transport_names[listener->transport]);
	if (is_tls(listener)) {
		check_profile_of_listener(check, node, listener);
	} else {
		refuse_key(check, node, "tls", "listeners of transport tls and wss");
		refuse_key(check, node, "client_certificate", "listeners of transport tls and wss");
	}
	check_allow_names(check, node, listener);
	if (!is_websocket(listener))
		refuse_key(check, node, "origins", "listeners of transport ws and wss");
	if (listener->transport == CONFIG_UDP)
		refuse_key(check, node, "proxy_from",
		           "listeners of transport tcp, tls, ws and wss");
}

/* ---- sites ---- */

static void check_target(const struct check *check, const struct config_site *site,
                         const struct config_target *target, struct mark mark)
{
	if (target->uri == NULL)
		return;
	if (site->tls != NULL && target->transport != CONFIG_TLS)
		fault_at(check->faults, mark,
		         "a plaintext target in a site with TLS, expected transport=tls or none, "
		         "found \"%s\"",
		         target->uri);
	if (site->tls == NULL && target->transport == CONFIG_TLS)
		fault_at(check->faults, mark,
		         "a TLS target in a site without \"tls\", expected the name of a TLS "
		         "profile "
		         "there, found \"%s\"",
		         target->uri);
}

static void check_tls_names(const struct check *check, unsigned index)
{
	const struct config_site *site = &check->config->sites[index];

	for (unsigned i = 0; i < site->target_count; i++) {
		const struct node *node = check_target_node(check, index, i);
		const struct node *name = node_member(node, "tls_name");

		if (name != NULL && site->tls == NULL)
			fault_at(
				check->faults, name->mark,
				"\"tls_name\" in a site without TLS, expected \"tls\" at the site, "
				"found none");
		check_target(check, site, &site->targets[i], check_mark_in(node, "uri"));
	}
}

void check_tls_site(const struct check *check, unsigned index)
{
	const struct config *config = check->config;
	const struct config_site *site = &config->sites[index];
	const struct node *node = check_site_node(check, index);
	const struct node *plaintext = node_member(node, "plaintext");
	const struct node *tls = node_member(node, "tls");

	if (config->node_site != NULL && strcmp(site->name, config->node_site) != 0 &&
	    plaintext == NULL && tls == NULL)
		fault_at(check->faults, node->key_mark,
		         "a remote site without TLS, expected \"tls: PROFILE\" or \"plaintext: "
		         "allowed\" (if the sites are joined by something like IPsec), found "
		         "nothing");
	if (plaintext != NULL && tls != NULL)
		fault_at(check->faults, plaintext->mark,
		         "both \"tls\" and \"plaintext\", expected one of them, found both");
	if (tls != NULL && site->tls == NULL)
		return; /* a faulty value, told already */
	if (site->tls != NULL)
		named_profile(check, node, site->tls);
	check_target(check, site, &site->discover, check_mark_in(node, "discover"));
	check_tls_names(check, index);
}

void check_tls_peers(const struct check *check)
{
	if (check->config->peers_tls != NULL)
		(void)named_profile(check, node_member(check->tree, "peers"),
		                    check->config->peers_tls);
}
