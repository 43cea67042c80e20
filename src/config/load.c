/*
 * From the file to the value: read, build the tree, walk it along the table of keys, then the rules
 * across keys. All faults of a file are told in one pass. Main or control thread.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "config_internal.h"

struct loader {
	struct faults *faults;
	struct config *config;
	unsigned targets; /* of all sites */
};

static void walk_map(struct loader *loader, const struct node *node, const char *prefix,
                     void *record);

static void wrong_kind(struct loader *loader, const struct node *node, const char *what,
                       const char *expected)
{
	char found[NODE_WORDS_MAX];

	fault_at(loader->faults, node->mark, "wrong value for \"%s\", expected %s, found %s", what,
	         expected, node_words(node, found));
}

static void unknown_key(struct loader *loader, const struct node *node, const char *prefix)
{
	const char *suggestion = schema_suggest(prefix, node->key), *name;
	struct node key = {.kind = NODE_TEXT, .text = node->key};
	char found[NODE_WORDS_MAX], known[512] = "";

	for (unsigned i = 0; i < schema_key_count; i++) {
		size_t length = strlen(known);

		if (schema_is_under(&schema_keys[i], prefix, &name))
			snprintf(known + length, sizeof(known) - length, "%s%s",
			         length > 0 ? ", " : "", name);
	}
	node_words(&key, found);
	if (suggestion != NULL)
		fault_at(loader->faults, node->key_mark,
		         "unknown key, expected one of %s, found %s: did you mean \"%s\"?", known,
		         found, suggestion);
	else
		fault_at(loader->faults, node->key_mark,
		         "unknown key, expected one of %s, found %s", known, found);
}

static void apply_defaults(struct loader *loader, enum schema_record kind, void *record)
{
	for (unsigned i = 0; i < schema_key_count; i++)
		if (schema_keys[i].record == kind)
			value_default(loader->faults, &schema_keys[i], record);
}

/* ---- lists and maps of records ---- */

static void walk_listeners(struct loader *loader, const struct node *node)
{
	struct config *config = loader->config;
	unsigned i = 0;

	if (node->kind != NODE_LIST || node->count == 0 || node->count > CONFIG_LISTENERS_MAX) {
		wrong_kind(loader, node, "listeners", "a list of 1 to 64 listeners");
		return;
	}
	config->listeners = memory_zalloc(node->count * sizeof(*config->listeners));
	if (config->listeners == NULL) {
		fault_memory(loader->faults);
		return;
	}
	config->listener_count = node->count;
	for (const struct node *n = node->first; n != NULL; n = n->next, i++) {
		struct config_listener *listener = &config->listeners[i];

		listener->side = CONFIG_SIDE_UNKNOWN;
		listener->transport = CONFIG_TRANSPORT_UNKNOWN;
		apply_defaults(loader, RECORD_LISTENER, listener);
		if (n->kind == NODE_MAP)
			walk_map(loader, n, "listeners[]", listener);
		else
			wrong_kind(loader, n, "listeners",
			           "a listener {name, side, transport, bind}");
	}
}

static void name_target(struct loader *loader, struct config_target *target, unsigned index)
{
	char name[32];

	if (target->name != NULL)
		return;
	snprintf(name, sizeof(name), "sprout-%u", index + 1);
	target->name = memory_strdup(name);
	if (target->name == NULL)
		fault_memory(loader->faults);
}

static void walk_targets(struct loader *loader, const struct node *node, struct config_site *site)
{
	unsigned i = 0;

	if (node->kind != NODE_LIST || node->count == 0 ||
	    loader->targets + node->count > CONFIG_TARGETS_MAX) {
		wrong_kind(loader, node, "targets",
		           "a list of SIP URIs or {name, uri, weight}, at least one, at most 1024 "
		           "over all sites");
		return;
	}
	site->targets = memory_zalloc(node->count * sizeof(*site->targets));
	if (site->targets == NULL) {
		fault_memory(loader->faults);
		return;
	}
	site->target_count = node->count;
	loader->targets += node->count;
	for (const struct node *n = node->first; n != NULL; n = n->next, i++) {
		struct config_target *target = &site->targets[i];

		target->transport = CONFIG_TRANSPORT_UNKNOWN;
		apply_defaults(loader, RECORD_TARGET, target);
		if (n->kind == NODE_MAP)
			walk_map(loader, n, "sites.*.targets[]", target);
		else
			value_read(loader->faults, schema_find("sites.*.targets[]", "uri"), n,
			           target);
		name_target(loader, target, i);
	}
}

static void named_map(struct loader *loader, const struct node *node, const char *what,
                      const char *expected, char **name)
{
	struct node key = {.kind = NODE_TEXT, .text = node->key};
	char found[NODE_WORDS_MAX];

	*name = memory_strdup(node->key);
	if (*name == NULL)
		fault_memory(loader->faults);
	if (!value_is_name(slice_from_string(node->key)))
		fault_at(loader->faults, node->key_mark,
		         "wrong name of a %s, expected up to 64 letters, digits, '.', '-' and "
		         "'_', "
		         "found %s",
		         what, node_words(&key, found));
	if (node->kind != NODE_MAP)
		wrong_kind(loader, node, node->key, expected);
}

static void walk_site(struct loader *loader, const struct node *node, struct config_site *site)
{
	named_map(loader, node, "site", "a site {targets}", &site->name);
	apply_defaults(loader, RECORD_SITE, site);
	if (node->kind == NODE_MAP)
		walk_map(loader, node, "sites.*", site);
}

static void walk_sites(struct loader *loader, const struct node *node)
{
	struct config *config = loader->config;
	unsigned i = 0;

	if (node->kind != NODE_MAP || node->count == 0 || node->count > CONFIG_SITES_MAX) {
		wrong_kind(loader, node, "sites", "a map of 1 to 32 sites by name");
		return;
	}
	config->sites = memory_zalloc(node->count * sizeof(*config->sites));
	if (config->sites == NULL) {
		fault_memory(loader->faults);
		return;
	}
	config->site_count = node->count;
	for (const struct node *n = node->first; n != NULL; n = n->next, i++)
		walk_site(loader, n, &config->sites[i]);
}

/* One place is left free for the pair that stands in the profile itself. */
static void walk_certificates(struct loader *loader, const struct node *node,
                              struct config_tls *profile)
{
	unsigned i = 1;

	if (node->kind != NODE_LIST || node->count == 0 || node->count > CONFIG_CERTIFICATES_MAX) {
		wrong_kind(loader, node, "more", "a list of 1 to 63 {certificate, key}");
		return;
	}
	profile->certificates = memory_zalloc((node->count + 1) * sizeof(*profile->certificates));
	if (profile->certificates == NULL) {
		fault_memory(loader->faults);
		return;
	}
	profile->certificate_count = node->count + 1;
	for (const struct node *n = node->first; n != NULL; n = n->next, i++) {
		if (n->kind == NODE_MAP)
			walk_map(loader, n, "tls.*.more[]", &profile->certificates[i]);
		else
			wrong_kind(loader, n, "more", "a pair {certificate, key}");
	}
}

/* `certificate` without `key`, or `more` without both, are faults told by check_tls.c. */
static void complete_profile(struct loader *loader, struct config_tls *profile)
{
	if (profile->first.certificate == NULL && profile->certificates == NULL)
		return;
	if (profile->certificates == NULL) {
		profile->certificates = memory_zalloc(sizeof(*profile->certificates));
		if (profile->certificates == NULL) {
			fault_memory(loader->faults);
			return;
		}
		profile->certificate_count = 1;
	}
	profile->certificates[0] = profile->first;
	memset(&profile->first, 0, sizeof(profile->first));
}

static void walk_profile(struct loader *loader, const struct node *node, struct config_tls *profile)
{
	named_map(loader, node, "TLS profile", "a profile {certificate, key}", &profile->name);
	profile->line = node->key_mark.line;
	profile->column = node->key_mark.column;
	apply_defaults(loader, RECORD_TLS, profile);
	if (node->kind == NODE_MAP)
		walk_map(loader, node, "tls.*", profile);
	complete_profile(loader, profile);
}

static void walk_profiles(struct loader *loader, const struct node *node)
{
	struct config *config = loader->config;
	unsigned i = 0;

	if (node->kind != NODE_MAP || node->count == 0 || node->count > CONFIG_TLS_MAX) {
		wrong_kind(loader, node, "tls", "a map of 1 to 64 profiles by name");
		return;
	}
	config->tls = memory_zalloc(node->count * sizeof(*config->tls));
	if (config->tls == NULL) {
		fault_memory(loader->faults);
		return;
	}
	config->tls_count = node->count;
	for (const struct node *n = node->first; n != NULL; n = n->next, i++)
		walk_profile(loader, n, &config->tls[i]);
}

/* ---- maps of known keys ---- */

static void walk_value(struct loader *loader, const struct schema_key *row, const struct node *node,
                       void *record)
{
	switch (row->type) {
	case SCHEMA_MAP:
		if (node->kind == NODE_MAP)
			walk_map(loader, node, row->path, record);
		else
			wrong_kind(loader, node, row->path, "a map of keys");
		break;
	case SCHEMA_LISTENERS:
		walk_listeners(loader, node);
		break;
	case SCHEMA_SITES:
		walk_sites(loader, node);
		break;
	case SCHEMA_TARGETS:
		walk_targets(loader, node, record);
		break;
	case SCHEMA_TLS:
		walk_profiles(loader, node);
		break;
	case SCHEMA_CERTIFICATES:
		walk_certificates(loader, node, record);
		break;
	default:
		value_read(loader->faults, row, node, record);
	}
}

static void walk_map(struct loader *loader, const struct node *node, const char *prefix,
                     void *record)
{
	const char *name;

	for (const struct node *n = node->first; n != NULL; n = n->next) {
		const struct schema_key *row = schema_find(prefix, n->key);

		if (row == NULL)
			unknown_key(loader, n, prefix);
		else if (node_member(node, n->key) == n) /* else a duplicate, told by tree.c */
			walk_value(loader, row, n, record);
	}
	for (unsigned i = 0; i < schema_key_count; i++)
		if (schema_keys[i].required && schema_is_under(&schema_keys[i], prefix, &name) &&
		    node_member(node, name) == NULL)
			fault_at(loader->faults, node->mark,
			         "missing key \"%s\", expected it %s%s, found nothing", name,
			         prefix[0] != '\0' ? "in " : "at the top", prefix);
}

/* ---- what the file left open ---- */

static void advertise_bind(struct loader *loader, struct config_listener *listener)
{
	char text[ADDRESS_TEXT_MAX];

	listener->advertise = memory_strdup(address_format(&listener->bind, text));
	if (listener->advertise == NULL)
		fault_memory(loader->faults);
}

/* "[2001:db8::1]:5062" from another's "[2001:db8::1]:5060". */
static void advertise_like(struct loader *loader, struct config_listener *listener,
                           const char *other)
{
	char text[512];

	snprintf(text, sizeof(text), "%.*s:%u", (int)(strrchr(other, ':') - other), other,
	         address_port(&listener->bind));
	listener->advertise = memory_strdup(text);
	if (listener->advertise == NULL)
		fault_memory(loader->faults);
}

static const char *access_advertise(const struct config *config)
{
	for (unsigned i = 0; i < config->listener_count; i++)
		if (config->listeners[i].side == CONFIG_ACCESS &&
		    config->listeners[i].advertise != NULL)
			return config->listeners[i].advertise;
	return NULL;
}

/* A core wildcard is left without: a fault, told by check.c. */
static void complete_listeners(struct loader *loader)
{
	struct config *config = loader->config;
	const char *other = access_advertise(config);
	bool path_said = false;

	for (unsigned i = 0; i < config->listener_count; i++) {
		struct config_listener *listener = &config->listeners[i];

		path_said = path_said || listener->path;
		/* Names are believed only of those who prove them; another word is a fault, told by check_tls.c. */
		if (listener->side == CONFIG_CORE && listener->transport == CONFIG_TLS &&
		    listener->allow_name_count > 0 &&
		    listener->client_certificate == CONFIG_CLIENT_NONE)
			listener->client_certificate = CONFIG_CLIENT_REQUIRED;
		if (listener->advertise != NULL || listener->bind.family == AF_UNSPEC)
			continue;
		if (address_is_wildcard(&listener->bind) && listener->side == CONFIG_CORE)
			continue;
		if (address_is_wildcard(&listener->bind) && other != NULL)
			advertise_like(loader, listener, other);
		else
			advertise_bind(loader, listener);
	}
	for (unsigned i = 0; i < config->listener_count && !path_said; i++) {
		config->listeners[i].path = config->listeners[i].side == CONFIG_CORE;
		path_said = config->listeners[i].path;
	}
}

/* RFC 3261 19.1.2: 5061 is the port of TLS. A URI without transport= stands for TLS in a site that has it. */
static void complete_target(const struct config_site *site, struct config_target *target)
{
	if (target->uri == NULL)
		return;
	if (site->tls != NULL && !target->has_transport)
		target->transport = CONFIG_TLS;
	if (target->transport == CONFIG_TLS && target->host == NULL && target->port == 0)
		address_set_port(&target->address, 5061);
}

static void complete_tickets(struct config *config, const struct node *keys)
{
	if (keys == NULL)
		return;
	config->tls_tickets_line = keys->mark.line;
	config->tls_tickets_column = keys->mark.column;
}

static void complete_sites(struct config *config)
{
	for (unsigned i = 0; i < config->site_count; i++) {
		struct config_site *site = &config->sites[i];

		for (unsigned j = 0; j < site->target_count; j++)
			complete_target(site, &site->targets[j]);
		complete_target(site, &site->discover);
	}
}

/* After the checks, which find places by the order of the file. */
static void local_site_first(struct config *config)
{
	struct config_site local;
	unsigned i = 0;

	while (i < config->site_count && strcmp(config->sites[i].name, config->node_site) != 0)
		i++;
	ASSERT(i < config->site_count); /* check.c has seen to it */
	local = config->sites[i];
	local.local = true;
	memmove(&config->sites[1], &config->sites[0], i * sizeof(local));
	config->sites[0] = local;
}

/* What is known by name goes to `names`, what by address stays. */
static int site_part(struct config_site *site)
{
	unsigned kept = 0, count = site->discover.uri != NULL;

	for (unsigned i = 0; i < site->target_count; i++)
		count += site->targets[i].host != NULL;
	if (count == 0)
		return 0;
	site->names = memory_zalloc(count * sizeof(*site->names));
	if (site->names == NULL)
		return -ENOMEM;
	if (site->discover.uri != NULL) {
		site->discover.weight = 1;
		site->names[site->name_count++] = site->discover;
		memset(&site->discover, 0, sizeof(site->discover));
	}
	for (unsigned i = 0; i < site->target_count; i++) {
		if (site->targets[i].host != NULL)
			site->names[site->name_count++] = site->targets[i];
		else
			site->targets[kept++] = site->targets[i];
	}
	site->target_count = kept;
	return 0;
}

/* The Route to a target says what it is reached by, also where the site said so for all. */
static int spell_tls(struct config_target *target)
{
	size_t size = strlen(target->uri) + sizeof(";transport=tls");
	char *uri;

	if (target->transport != CONFIG_TLS || target->has_transport)
		return 0;
	uri = memory_alloc(size);
	if (uri == NULL)
		return -ENOMEM;
	snprintf(uri, size, "%s;transport=tls", target->uri);
	memory_free(target->uri);
	target->uri = uri;
	return 0;
}

static int sites_part(struct config *config)
{
	int err = 0;

	for (unsigned i = 0; i < config->site_count && err == 0; i++) {
		struct config_site *site = &config->sites[i];

		err = site_part(site);
		for (unsigned j = 0; j < site->target_count && err == 0; j++)
			err = spell_tls(&site->targets[j]);
	}
	return err;
}

/* FNV-1a: the same on every node and in every life, so that /status of two can be compared. */
static void hash_text(struct slice bytes, char text[17])
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (size_t i = 0; i < bytes.length; i++)
		hash = (hash ^ (unsigned char)bytes.data[i]) * 0x100000001b3u;
	snprintf(text, 17, "%016" PRIx64, hash);
}

static void load_tree(struct loader *loader, const struct node *tree)
{
	apply_defaults(loader, RECORD_CONFIG, loader->config);
	if (tree->kind != NODE_MAP) {
		wrong_kind(loader, tree, "the file", "a map of keys");
		return;
	}
	walk_map(loader, tree, "", loader->config);
	if (loader->faults->err != 0)
		return;
	complete_listeners(loader);
	complete_sites(loader->config);
	complete_tickets(loader->config, node_member(node_member(tree, "tls_tickets"), "keys"));
	config_check(loader->config, tree, loader->faults);
}

static int load_slice(struct slice bytes, struct faults *faults, struct config **out)
{
	struct loader loader = {.faults = faults};
	struct node *tree;
	struct mark start = {1, 1};

	if (bytes.length > CONFIG_FILE_MAX) {
		fault_at(faults, start, "too large, expected at most 1 MiB, found more");
		return -EINVAL;
	}
	loader.config = memory_zalloc(sizeof(*loader.config));
	if (loader.config == NULL)
		return -ENOMEM;
	tree_read(bytes, faults, &tree);
	if (tree != NULL)
		load_tree(&loader, tree);
	tree_free(&tree);
	if (faults->err == 0 && faults->count > 0)
		faults->err = -EINVAL;
	if (faults->err == 0)
		faults->err = sites_part(loader.config);
	if (faults->err != 0) {
		config_free(&loader.config);
		return faults->err;
	}
	local_site_first(loader.config);
	hash_text(bytes, loader.config->hash);
	*out = loader.config;
	return 0;
}

int config_load_bytes(const char *bytes, size_t length, const char *name, FILE *faults,
                      struct config **out)
{
	struct faults list = {.out = faults, .file = name};
	int err = load_slice(slice_of(bytes, length), &list, out);

	if (err == -ENOMEM && faults != NULL)
		fprintf(faults, "%s:1:1: out of memory\n", name);
	return err;
}

/* At most one byte more than may be, so that the limit is seen. */
static int read_file(const char *path, char **bytes, size_t *length)
{
	size_t size = CONFIG_FILE_MAX + 1;
	ssize_t n;
	int fd, err = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*length = 0;
	*bytes = memory_alloc(size);
	if (*bytes == NULL)
		err = -ENOMEM;
	while (err == 0 && *length < size) {
		n = read(fd, *bytes + *length, size - *length);
		if (n == 0)
			break;
		if (n > 0)
			*length += (size_t)n;
		else if (errno != EINTR)
			err = -errno;
	}
	close(fd);
	if (err != 0) {
		memory_free(*bytes);
		*bytes = NULL;
	}
	return err;
}

int config_load(const char *path, FILE *faults, struct config **out)
{
	char *bytes = NULL;
	size_t length = 0;
	int err;

	err = read_file(path, &bytes, &length);
	if (err != 0) {
		if (faults != NULL)
			fprintf(faults, "%s:1:1: cannot be read, expected a file, found: %s\n",
			        path, error_text(err));
		return err;
	}
	err = config_load_bytes(bytes, length, path, faults, out);
	memory_free(bytes);
	return err;
}
