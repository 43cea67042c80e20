/*
 * The targets of a site, as failover takes them: those of the configuration, and one for each address that DNS
 * found. RFC 2782 for weight and priority. Control thread only.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "discovery_internal.h"

/* Divided among the addresses of a server; up to six divide it evenly. */
#define WEIGHT_PARTS 60
/* RFC 2782: a weight of 0 beside others has a very small chance. */
#define WEIGHT_OF_ONE 100
#define WEIGHT_MAX 1000000u

static const enum sip_transport transports[] = {
	[CONFIG_UDP] = TRANSPORT_UDP, [CONFIG_TCP] = TRANSPORT_TCP, [CONFIG_TLS] = TRANSPORT_TLS,
	[CONFIG_WS] = TRANSPORT_WS,   [CONFIG_WSS] = TRANSPORT_WSS,
};

int target_list_init(struct target_list *list, unsigned room)
{
	memset(list, 0, sizeof(*list));
	/* One more than needed: none is no reason for a NULL. */
	list->specs = memory_zalloc((room + 1) * sizeof(*list->specs));
	list->texts = memory_zalloc((room + 1) * sizeof(*list->texts));
	if (list->specs == NULL || list->texts == NULL) {
		target_list_free(list);
		return -ENOMEM;
	}
	list->room = room;
	return 0;
}

void target_list_free(struct target_list *list)
{
	memory_free(list->specs);
	memory_free(list->texts);
	memset(list, 0, sizeof(*list));
}

static bool has(const struct target_list *list, const struct failover_target_spec *spec)
{
	for (unsigned i = 0; i < list->count; i++) {
		if (list->specs[i].transport == spec->transport &&
		    address_equal(&list->specs[i].address, &spec->address))
			return true;
	}
	return false;
}

/* NULL: it is there already, or there is no room. */
static struct failover_target_spec *add(struct target_list *list,
                                        const struct failover_target_spec *spec)
{
	if (has(list, spec))
		return NULL;
	if (list->count == list->room) {
		list->left_out++;
		return NULL;
	}
	list->specs[list->count] = *spec;
	return &list->specs[list->count++];
}

void target_list_add_configured(struct target_list *list, const struct config_target *target,
                                const char *tls)
{
	add(list, &(struct failover_target_spec){
			  .name = target->name,
			  .uri = target->uri,
			  .address = target->address,
			  .transport = transports[target->transport],
			  .weight = target->weight,
			  .tls = tls,
			  .tls_name = target->tls_name,
		  });
}

/* ---- weights ---- */

struct weights { /* of the servers of one name, against each other */
	unsigned of_one, of_zero;
};

static bool is_of(const struct resolution_lookup *lookup, const struct resolution_server *server)
{
	return strcasecmp(lookup->host, server->host) == 0;
}

static unsigned count_addresses(const struct resolution_result *result,
                                const struct resolution_server *server)
{
	unsigned count = 0;

	for (unsigned i = 0; i < result->lookup_count; i++) {
		if (is_of(&result->lookups[i], server))
			count += result->lookups[i].answer.count;
	}
	return count;
}

/* Small numbers where they do, since the operator sees them. */
static struct weights weigh(const struct resolution_result *result)
{
	bool zero = false, positive = false, single = true;
	struct weights weights = {1, 1};

	for (unsigned i = 0; i < result->server_count; i++) {
		zero |= result->servers[i].weight == 0;
		positive |= result->servers[i].weight > 0;
		single &= count_addresses(result, &result->servers[i]) <= 1;
	}
	if (!single)
		weights.of_one = weights.of_zero = WEIGHT_PARTS;
	if (zero && positive)
		weights.of_one *= WEIGHT_OF_ONE;
	return weights;
}

static unsigned weight_of(const struct weights *weights, const struct resolution_server *server,
                          unsigned addresses, unsigned configured)
{
	uint64_t weight =
		server->weight > 0 ? (uint64_t)server->weight * weights->of_one : weights->of_zero;

	weight = weight * configured / addresses;
	if (weight == 0)
		return 1;
	return weight < WEIGHT_MAX ? (unsigned)weight : WEIGHT_MAX;
}

/* ---- what DNS found ---- */

static void add_address(struct target_list *list, const struct failover_target_spec *like,
                        const struct address *address, uint16_t port)
{
	struct failover_target_spec spec = *like, *added;
	struct target_text *text = &list->texts[list->count];
	char words[ADDRESS_TEXT_MAX];

	spec.address = *address;
	address_set_port(&spec.address, port);
	added = add(list, &spec);
	if (added == NULL)
		return;
	address_format(&spec.address, words);
	snprintf(text->name, sizeof(text->name), "%s/%s", words, transport_name(spec.transport));
	snprintf(text->uri, sizeof(text->uri), "sip:%s;transport=%s", words,
	         transport_name(spec.transport));
	added->name = text->name;
	added->uri = text->uri;
}

void target_list_add_found(struct target_list *list, const struct config_target *name,
                           const char *tls, const struct resolution_result *result)
{
	struct weights weights = weigh(result);
	unsigned rank = 0;

	for (unsigned i = 0; i < result->server_count; i++) {
		const struct resolution_server *server = &result->servers[i];
		unsigned addresses = count_addresses(result, server);
		struct failover_target_spec like = {.transport = server->transport,
		                                    .host = name->host,
		                                    .tls = tls};

		if (tls != NULL)
			like.tls_name = name->tls_name != NULL ? name->tls_name : name->host;

		rank += i > 0 && server->priority != server[-1].priority;
		like.priority = rank;
		/* SRV weighs servers against each other; without it each address is as the file says. */
		like.weight = name->weight;
		if (result->by_srv && addresses > 0)
			like.weight = weight_of(&weights, server, addresses, name->weight);
		for (unsigned j = 0; j < result->lookup_count; j++) {
			const struct resolution_lookup *lookup = &result->lookups[j];

			if (!is_of(lookup, server))
				continue;
			for (unsigned k = 0; k < lookup->answer.count; k++)
				add_address(list, &like, &lookup->answer.records[k].address,
				            server->port);
		}
	}
}

/* Without regard to order: servers shuffle their records (RFC 1794). */
uint64_t target_list_hash(const struct target_list *list)
{
	uint64_t sum = list->count;

	for (unsigned i = 0; i < list->count; i++) {
		const struct failover_target_spec *spec = &list->specs[i];
		uint64_t hash = hash_bytes(spec->name, strlen(spec->name));

		hash = hash_more(hash, &spec->weight, sizeof(spec->weight));
		sum += hash_more(hash, &spec->priority, sizeof(spec->priority));
	}
	return sum;
}
