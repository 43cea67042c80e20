/*
 * The bindings of one worker: found by flow and address-of-record, by flow and identity, by instance and
 * reg-id. One flow may carry a whole PBX, so nothing here walks the bindings of a flow. Worker thread only.
 */
#include "base/error.h"
#include "flow_internal.h"
#include "sip/uri.h"

#define INDEX_BUCKETS 64
/* Identities in one ring are equal URIs, but for parameters that count only if both have them: a registrar that
 * gives many of those to one flow gets this many looked at, and the default identity asserted beyond. */
#define IDENTITIES_LOOKED_AT_MAX 16

struct aor_key {
	const struct flow *flow;
	struct slice aor;
};

static bool aor_of_binding(const struct hash_link *link, const void *wanted)
{
	const struct binding *binding = CONTAINER_OF(link, struct binding, by_aor);
	const struct aor_key *key = wanted;

	return binding->flow == key->flow && slice_equal(binding_aor(binding), key->aor);
}

/* The key is a 64-bit SipHash under a key of the process: equal hash, same thing. */
static bool same_hash(const struct hash_link *link, const void *key)
{
	return link->hash == *(const uint64_t *)key;
}

static uint64_t aor_hash(const struct flow *flow, struct slice aor)
{
	return hash_more(flow->id, aor.data, aor.length);
}

int binding_index_init(struct binding_index *index, size_t limit)
{
	int err;

	index->count = 0;
	index->limit = limit;
	err = hash_table_init(&index->aors, INDEX_BUCKETS, aor_of_binding);
	if (err != 0)
		return err;
	err = hash_table_init(&index->identities, INDEX_BUCKETS, same_hash);
	if (err != 0)
		goto free_aors;
	err = hash_table_init(&index->instances, INDEX_BUCKETS, same_hash);
	if (err != 0)
		goto free_identities;
	return 0;
free_identities:
	hash_table_free(&index->identities);
free_aors:
	hash_table_free(&index->aors);
	return err;
}

void binding_index_free(struct binding_index *index)
{
	hash_table_free(&index->aors);
	hash_table_free(&index->identities);
	hash_table_free(&index->instances);
}

/* ---- identities ---- */

static void append_lower(struct buffer *out, struct slice s)
{
	size_t i, start = out->length;

	buffer_append_slice(out, s);
	for (i = start; i < out->length; i++) {
		if (out->data[i] >= 'A' && out->data[i] <= 'Z')
			out->data[i] = (char)(out->data[i] - 'A' + 'a');
	}
}

/* URIs that are equal by RFC 3261 19.1.4, or RFC 3966 5 for a number, have one hash. */
uint64_t identity_hash(const struct uri *uri, struct buffer *scratch)
{
	/* Those that equal URIs have both or none. */
	static const char *const sip_params[] = {"transport", "user", "ttl", "method", "maddr"};
	static const char *const tel_params[] = {"ext", "isub", "phone-context"};
	bool tel = uri->scheme == URI_TEL;
	const char *const *params = tel ? tel_params : sip_params;
	size_t i, count = tel ? ARRAY_LENGTH(tel_params) : ARRAY_LENGTH(sip_params);
	struct slice value;

	buffer_reset(scratch);
	uri_canonical(uri, scratch);
	buffer_append(scratch, &uri->scheme, sizeof(uri->scheme)); /* sips is not sip here */
	buffer_append(scratch, &uri->port, sizeof(uri->port));
	for (i = 0; i < count && !slice_is_empty(uri->params); i++) {
		if (!uri_param(uri, params[i], &value))
			continue;
		buffer_append(scratch, ";", 1);
		buffer_append_string(scratch, params[i]);
		buffer_append(scratch, "=", 1);
		append_lower(scratch, value);
	}
	if (scratch->failed)
		return 0;
	return hash_bytes(scratch->data, scratch->length);
}

static uint64_t hash_on_flow(const struct flow *flow, uint64_t uri_hash)
{
	return hash_more(uri_hash, &flow->id, sizeof(flow->id));
}

static struct identity *first_of_ring(const struct binding_index *index, uint64_t hash)
{
	struct hash_link *link = hash_table_find(&index->identities, hash, &hash);

	return link != NULL ? CONTAINER_OF(link, struct identity, by_uri) : NULL;
}

static void identity_join(struct binding_index *index, struct identity *identity)
{
	uint64_t hash = hash_on_flow(identity_binding(identity)->flow, identity->by_uri.hash);
	struct identity *first = first_of_ring(index, hash);

	if (first == NULL) {
		identity->next = identity->previous = identity;
		hash_table_insert(&index->identities, &identity->by_uri, hash);
		return;
	}
	identity->by_uri.hash = hash;
	identity->next = first;
	identity->previous = first->previous;
	first->previous->next = identity;
	first->previous = identity;
}

static void identity_leave(struct binding_index *index, struct identity *identity)
{
	struct identity *next = identity->next;
	bool first = identity->by_uri.in_table;

	identity->previous->next = next;
	next->previous = identity->previous;
	identity->next = identity->previous = NULL;
	if (!first)
		return;
	hash_table_remove(&index->identities, &identity->by_uri);
	if (next != identity)
		hash_table_insert(&index->identities, &next->by_uri, identity->by_uri.hash);
}

static struct identity *find_as_written(const struct binding_index *index, const struct flow *flow,
                                        const struct uri *wanted)
{
	struct identity *first = NULL, *identity;
	struct name_addr known;
	struct buffer scratch;
	unsigned looked_at = 0;
	uint64_t hash;

	buffer_init(&scratch);
	hash = identity_hash(wanted, &scratch);
	if (!scratch.failed)
		first = first_of_ring(index, hash_on_flow(flow, hash));
	buffer_free(&scratch);
	if (first == NULL)
		return NULL;
	identity = first;
	do {
		if (name_addr_parse(identity_text(identity), &known) &&
		    uri_equal(&known.uri, wanted))
			return identity;
		identity = identity->next;
	} while (identity != first && ++looked_at < IDENTITIES_LOOKED_AT_MAX);
	return NULL;
}

struct identity *binding_index_find_identity(const struct binding_index *index,
                                             const struct flow *flow, const struct uri *wanted)
{
	struct identity *found = find_as_written(index, flow, wanted);
	struct uri bare = *wanted;

	if (found != NULL || (wanted->scheme != URI_SIP && wanted->scheme != URI_SIPS))
		return found;
	/* Phones write ";transport=tcp" into From, and others call them by it. That says how to get there, not who it
	 * is (RFC 3261 10.3 step 5). */
	if (slice_is_empty(bare.params) && slice_is_empty(bare.headers) && bare.port == 0)
		return NULL;
	bare.params = bare.headers = SLICE_NONE;
	bare.port = 0;
	return find_as_written(index, flow, &bare);
}

/* ---- bindings ---- */

void binding_index_add(struct binding_index *index, struct binding *binding)
{
	unsigned i;

	hash_table_insert(&index->aors, &binding->by_aor,
	                  aor_hash(binding->flow, binding_aor(binding)));
	if (binding_has_key(binding))
		hash_table_insert(&index->instances, &binding->by_instance, binding_key(binding));
	for (i = 0; i < binding->identity_count; i++)
		identity_join(index, &binding->identities[i]);
	index->count++;
}

void binding_index_remove(struct binding_index *index, struct binding *binding)
{
	unsigned i;

	hash_table_remove(&index->aors, &binding->by_aor);
	hash_table_remove(&index->instances, &binding->by_instance);
	for (i = 0; i < binding->identity_count; i++)
		identity_leave(index, &binding->identities[i]);
	index->count--;
}

struct binding *binding_index_find(const struct binding_index *index, const struct flow *flow,
                                   struct slice aor)
{
	struct aor_key key = {flow, aor};
	struct hash_link *link = hash_table_find(&index->aors, aor_hash(flow, aor), &key);

	return link != NULL ? CONTAINER_OF(link, struct binding, by_aor) : NULL;
}

struct binding *binding_index_find_key(const struct binding_index *index, uint64_t key)
{
	struct hash_link *link = hash_table_find(&index->instances, key, &key);

	return link != NULL ? CONTAINER_OF(link, struct binding, by_instance) : NULL;
}

struct binding *binding_index_rival(const struct binding_index *index,
                                    const struct binding *binding)
{
	struct binding *first;
	struct hash_link *link;
	uint64_t key;

	if (!binding_has_key(binding))
		return NULL;
	key = binding_key(binding);
	first = binding_index_find_key(index, key);
	if (first != binding)
		return first;
	link = hash_table_find_next(&index->instances, &first->by_instance, &key);
	return link != NULL ? CONTAINER_OF(link, struct binding, by_instance) : NULL;
}

bool binding_index_has_room(const struct binding_index *index, const struct binding *binding)
{
	return index->count < index->limit || binding_index_rival(index, binding) != NULL;
}
