/*
 * The store of a simulated site: addresses-of-record and their contacts, in memory. RFC 3261 10.3.
 * What other processes write comes in through sprout_sim_peers.c. Under the lock of struct sim.
 */
#include "sprout_sim.h"

#include "base/error.h"
#include "base/memory.h"

/* Addresses-of-record kept at once; some 600 bytes each. Those long away make room first. */
#define STORE_RECORDS_MAX 1000000
/* Contacts of one address-of-record: a person has that many devices and no more. */
#define STORE_CONTACTS_MAX 10
#define STORE_BUCKETS 4096

struct store {
	struct hash_table records;
};

static bool record_has_aor(const struct hash_link *link, const void *key)
{
	const struct record *record = CONTAINER_OF(link, struct record, link);

	return slice_equal(record_aor(record), *(const struct slice *)key);
}

int store_create(struct store **out)
{
	struct store *store;
	int err;

	store = memory_zalloc(sizeof(*store));
	if (store == NULL)
		return -ENOMEM;
	err = hash_table_init(&store->records, STORE_BUCKETS, record_has_aor);
	if (err != 0)
		goto out;
	*out = store;
	store = NULL;
out:
	memory_free(store);
	return err;
}

static void record_free(struct store *store, struct record *record)
{
	hash_table_remove(&store->records, &record->link);
	record_clear(record);
	memory_free(record);
}

static bool free_visited(struct hash_link *link, void *arg)
{
	record_free(arg, CONTAINER_OF(link, struct record, link));
	return true;
}

void store_destroy(struct store **store)
{
	if (*store == NULL)
		return;
	hash_table_visit(&(*store)->records, free_visited, *store);
	hash_table_free(&(*store)->records);
	memory_free(*store);
	*store = NULL;
}

/* Lapsed contacts leave when somebody looks: no timer, no sweep, and nobody can tell the difference. */
static void record_lapse(struct record *record, uint64_t now_ms)
{
	LIST_FOR_EACH_SAFE(link, &record->contacts) {
		struct contact *contact = CONTAINER_OF(link, struct contact, link);

		if (contact->expires_ms <= now_ms)
			record_remove(record, contact);
	}
}

struct record *store_find(struct store *store, struct slice aor, uint64_t now_ms)
{
	struct hash_link *link = hash_table_find(&store->records, hash_slice(aor), &aor);
	struct record *record;

	if (link == NULL)
		return NULL;
	record = CONTAINER_OF(link, struct record, link);
	record_lapse(record, now_ms);
	return record;
}

struct lapse_visit {
	struct store *store;
	uint64_t now_ms;
};

static bool lapse_visited(struct hash_link *link, void *arg)
{
	struct lapse_visit *visit = arg;
	struct record *record = CONTAINER_OF(link, struct record, link);

	record_lapse(record, visit->now_ms);
	if (list_is_empty(&record->contacts))
		record_free(visit->store, record);
	return true;
}

int store_obtain(struct store *store, struct slice aor, uint64_t now_ms, struct record **out)
{
	struct record *record = store_find(store, aor, now_ms);

	if (record != NULL) {
		*out = record;
		return 0;
	}
	if (store->records.count >= STORE_RECORDS_MAX)
		hash_table_visit(&store->records, lapse_visited,
		                 &(struct lapse_visit){store, now_ms});
	if (store->records.count >= STORE_RECORDS_MAX)
		return -ENOSPC;
	record = memory_zalloc(sizeof(*record) + aor.length);
	if (record == NULL)
		return -ENOMEM;
	list_init(&record->contacts);
	record->aor_length = aor.length;
	memcpy(record->aor, aor.data, aor.length);
	hash_table_insert(&store->records, &record->link, hash_slice(aor));
	*out = record;
	return 0;
}

/* RFC 5626 6: instance and reg-id name the flow, whatever the URI. A client that gives an instance and no
 * reg-id, and comes back from another port, is the same client too: the old address would only ring in
 * the void. */
static bool contact_is_replaced_by(const struct contact *contact, const struct contact_value *value)
{
	struct uri ours, theirs;

	if (value->instance.length > 0 && slice_equal(contact->instance, value->instance) &&
	    contact->reg_id == value->reg_id)
		return true;
	if (value->reg_id != 0 || contact->reg_id != 0)
		return false;
	if (slice_equal(contact->uri, value->uri))
		return true;
	return uri_parse(contact->uri, &ours) && uri_parse(value->uri, &theirs) &&
	       uri_equal(&ours, &theirs);
}

struct contact *record_match(const struct record *record, const struct contact_value *value)
{
	LIST_FOR_EACH(link, &record->contacts) {
		struct contact *contact = CONTAINER_OF(link, struct contact, link);

		if (contact_is_replaced_by(contact, value))
			return contact;
	}
	return NULL;
}

static struct slice contact_keep(char **place, struct slice s)
{
	struct slice kept = slice_of(*place, s.length);

	if (s.length > 0)
		memcpy(*place, s.data, s.length);
	*place += s.length;
	return kept;
}

static struct contact *contact_create(const struct contact_value *value)
{
	struct contact *contact;
	char *place;

	contact = memory_zalloc(sizeof(*contact) + value->uri.length + value->path.length +
	                        value->instance.length + value->call_id.length);
	if (contact == NULL)
		return NULL;
	place = contact->text;
	contact->uri = contact_keep(&place, value->uri);
	contact->path = contact_keep(&place, value->path);
	contact->instance = contact_keep(&place, value->instance);
	contact->call_id = contact_keep(&place, value->call_id);
	contact->cseq = value->cseq;
	contact->reg_id = value->reg_id;
	contact->expires_ms = value->expires_ms;
	return contact;
}

static bool contact_says_the_same(const struct contact *contact, const struct contact_value *value)
{
	return slice_equal(contact->uri, value->uri) && slice_equal(contact->path, value->path) &&
	       slice_equal(contact->instance, value->instance) &&
	       slice_equal(contact->call_id, value->call_id) && contact->reg_id == value->reg_id;
}

int record_put(struct record *record, const struct contact_value *value)
{
	struct contact *old = record_match(record, value);
	struct contact *contact;

	if (old != NULL && contact_says_the_same(old, value)) {
		/* a refresh: the newest is always last */
		old->cseq = value->cseq;
		old->expires_ms = value->expires_ms;
		list_remove(&record->contacts, &old->link);
		list_append(&record->contacts, &old->link);
		return 0;
	}
	contact = contact_create(value);
	if (contact == NULL)
		return -ENOMEM;
	if (old != NULL)
		record_remove(record, old);
	else if (record->contacts.length >= STORE_CONTACTS_MAX)
		record_remove(record,
		              CONTAINER_OF(list_first(&record->contacts), struct contact, link));
	list_append(&record->contacts, &contact->link);
	return 0;
}

void record_remove(struct record *record, struct contact *contact)
{
	list_remove(&record->contacts, &contact->link);
	memory_free(contact);
}

void record_clear(struct record *record)
{
	LIST_FOR_EACH_SAFE(link, &record->contacts)
		record_remove(record, CONTAINER_OF(link, struct contact, link));
}

struct count_visit {
	uint64_t now_ms;
	size_t contacts;
};

static bool count_visited(struct record *record, void *arg)
{
	struct count_visit *visit = arg;

	record_lapse(record, visit->now_ms);
	visit->contacts += record->contacts.length;
	return true;
}

size_t store_contacts(struct store *store, uint64_t now_ms)
{
	struct count_visit visit = {now_ms, 0};

	store_visit(store, count_visited, &visit);
	return visit.contacts;
}

struct record_visit {
	bool (*visit)(struct record *record, void *arg);
	void *arg;
};

static bool record_visited(struct hash_link *link, void *arg)
{
	struct record_visit *visit = arg;

	return visit->visit(CONTAINER_OF(link, struct record, link), visit->arg);
}

void store_visit(struct store *store, bool (*visit)(struct record *record, void *arg), void *arg)
{
	hash_table_visit(&store->records, record_visited, &(struct record_visit){visit, arg});
}
