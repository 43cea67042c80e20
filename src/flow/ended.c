/*
 * The flows that have ended and whose clients may come back: each leads to a trail, which says by what its client
 * is known (AoR, instance and reg-id) and which worker it was seen at last. Worker thread only. RFC 5626 5.3.
 */
#include "base/error.h"
#include "base/memory.h"
#include "flow_internal.h"

#define ENDED_BUCKETS 64

/* One for all ended flows of the same client: it moves at once, however many there are. */
struct trail {
	struct hash_link by_key;
	uint64_t key;
	uint64_t moved_us; /* when it was last seen */
	size_t count;      /* tombstones that lead here: the last takes the trail away */
	uint8_t worker;
};

struct tombstone {
	struct hash_link by_id;
	struct list_link by_age;
	struct trail *trail;
	uint64_t id;
	uint64_t expires_ms; /* when the binding would have lapsed */
	uint32_t generation;
};

static bool id_of_tombstone(const struct hash_link *link, const void *key)
{
	return CONTAINER_OF(link, struct tombstone, by_id)->id == *(const uint64_t *)key;
}

static bool key_of_trail(const struct hash_link *link, const void *key)
{
	return CONTAINER_OF(link, struct trail, by_key)->key == *(const uint64_t *)key;
}

static uint64_t id_hash(uint64_t id)
{
	return hash_bytes(&id, sizeof(id));
}

int ended_init(struct ended *ended, size_t limit)
{
	int err;

	ended->limit = limit;
	list_init(&ended->by_age);
	err = hash_table_init(&ended->ids, ENDED_BUCKETS, id_of_tombstone);
	if (err != 0)
		return err;
	err = hash_table_init(&ended->trails, ENDED_BUCKETS, key_of_trail);
	if (err != 0)
		hash_table_free(&ended->ids);
	return err;
}

static struct trail *trail_find(const struct ended *ended, uint64_t key)
{
	struct hash_link *link = hash_table_find(&ended->trails, key, &key);

	return link != NULL ? CONTAINER_OF(link, struct trail, by_key) : NULL;
}

static void tombstone_remove(struct ended *ended, struct tombstone *tombstone)
{
	struct trail *trail = tombstone->trail;

	hash_table_remove(&ended->ids, &tombstone->by_id);
	list_remove(&ended->by_age, &tombstone->by_age);
	memory_free(tombstone);
	if (--trail->count > 0)
		return;
	hash_table_remove(&ended->trails, &trail->by_key);
	memory_free(trail);
}

void ended_free(struct ended *ended)
{
	struct list_link *link;

	while ((link = list_first(&ended->by_age)) != NULL)
		tombstone_remove(ended, CONTAINER_OF(link, struct tombstone, by_age));
	hash_table_free(&ended->ids);
	hash_table_free(&ended->trails);
}

/* The oldest go, and those whose time is over. */
static void make_room(struct ended *ended, uint64_t now_ms)
{
	struct list_link *link;

	while ((link = list_first(&ended->by_age)) != NULL) {
		struct tombstone *oldest = CONTAINER_OF(link, struct tombstone, by_age);

		if (oldest->expires_ms > now_ms && ended->ids.count < ended->limit)
			return;
		tombstone_remove(ended, oldest);
	}
}

static struct trail *trail_obtain(struct ended *ended, uint64_t key, uint8_t worker)
{
	struct trail *trail = trail_find(ended, key);

	if (trail != NULL)
		return trail;
	trail = memory_zalloc(sizeof(*trail));
	if (trail == NULL)
		return NULL;
	trail->key = key;
	trail->worker = worker;
	hash_table_insert(&ended->trails, &trail->by_key, key);
	return trail;
}

void ended_remember(struct ended *ended, const struct flow *flow, uint64_t key, uint64_t expires_ms)
{
	uint64_t now_ms = loop_now_ms(flow->table->loop);
	struct tombstone *tombstone;

	make_room(ended, now_ms);
	if (ended->limit == 0 || expires_ms <= now_ms)
		return;
	tombstone = memory_zalloc(sizeof(*tombstone));
	if (tombstone == NULL)
		return;
	tombstone->trail = trail_obtain(ended, key, flow->table->settings.worker);
	if (tombstone->trail == NULL) {
		memory_free(tombstone);
		return;
	}
	tombstone->trail->count++;
	tombstone->id = flow->id;
	tombstone->generation = flow->generation;
	tombstone->expires_ms = expires_ms;
	hash_table_insert(&ended->ids, &tombstone->by_id, id_hash(flow->id));
	list_append(&ended->by_age, &tombstone->by_age);
}

bool ended_follow(struct ended *ended, const struct flow_token *token, uint64_t now_ms,
                  struct flow_elsewhere *out)
{
	struct hash_link *link = hash_table_find(&ended->ids, id_hash(token->flow), &token->flow);
	struct tombstone *tombstone;

	if (link == NULL)
		return false;
	tombstone = CONTAINER_OF(link, struct tombstone, by_id);
	if (tombstone->generation != token->generation)
		return false;
	if (tombstone->expires_ms <= now_ms) {
		tombstone_remove(ended, tombstone);
		return false;
	}
	out->key = tombstone->trail->key;
	out->worker = tombstone->trail->worker;
	return true;
}

void ended_note_move(struct ended *ended, const struct flow_move *move)
{
	struct trail *trail = trail_find(ended, move->key);

	if (trail == NULL || trail->moved_us > move->learnt_us)
		return;
	trail->worker = move->worker;
	trail->moved_us = move->learnt_us;
}
