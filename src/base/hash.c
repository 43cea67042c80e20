/*
 * SipHash-1-3 and the table that grows a few buckets at a time.
 *
 * While the table grows, a hash lives in its old chain until that chain has moved, whole, to the
 * new buckets. So every hash has exactly one chain at any time, duplicates included, and neither
 * finding nor inserting looks in two places.
 */
#include "base/hash.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"

/* The next growth comes no sooner than one insert for two old buckets; with four there is room to spare.
 * No more than one member for two buckets: what is looked for is seldom there, and a bucket that is empty
 * says so without a look at cold memory. */
#define BUCKETS_MOVED_PER_INSERT 4
#define BUCKETS_MIN 8

static uint64_t key[2];

struct sip_state {
	uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void sip_round(struct sip_state *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

static inline void sip_block(struct sip_state *s, uint64_t block)
{
	s->v3 ^= block;
	sip_round(s);
	s->v0 ^= block;
}

static inline struct sip_state sip_start(const uint64_t with[2])
{
	return (struct sip_state){
		with[0] ^ 0x736f6d6570736575ULL,
		with[1] ^ 0x646f72616e646f6dULL,
		with[0] ^ 0x6c7967656e657261ULL,
		with[1] ^ 0x7465646279746573ULL,
	};
}

/* `before`: bytes already taken in blocks; the last block carries the whole length. */
static uint64_t sip_finish(struct sip_state *s, const unsigned char *at, size_t length,
                           size_t before)
{
	uint64_t block, last = (uint64_t)(length + before) << 56;
	size_t rest = length % 8;

	for (; length >= 8; at += 8, length -= 8) {
		memcpy(&block, at, 8); /* little-endian machines only see the reference vectors */
		sip_block(s, block);
	}
	/* A fixed length at a time: the compiler makes a single load of each. */
	if (rest & 4) {
		uint32_t four;

		memcpy(&four, at, 4);
		last |= four;
		at += 4;
	}
	if (rest & 2) {
		uint16_t two;

		memcpy(&two, at, 2);
		last |= (uint64_t)two << (8 * (rest & 4));
		at += 2;
	}
	if (rest & 1)
		last |= (uint64_t)*at << (8 * (rest & 6));
	sip_block(s, last);
	s->v2 ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

uint64_t hash_bytes(const void *data, size_t length)
{
	struct sip_state state = sip_start(key);

	return sip_finish(&state, data, length, 0);
}

uint64_t hash_more(uint64_t seed, const void *data, size_t length)
{
	struct sip_state state = sip_start(key);

	sip_block(&state, seed);
	return sip_finish(&state, data, length, sizeof(seed));
}

uint64_t hash_keyed(const uint64_t with[2], uint64_t seed, const void *data, size_t length)
{
	struct sip_state state = sip_start(with);

	sip_block(&state, seed);
	return sip_finish(&state, data, length, sizeof(seed));
}

void hash_key_init(void)
{
	random_bytes(key, sizeof(key));
}

int hash_table_init(struct hash_table *table, size_t initial_buckets, hash_equal_fn *equal)
{
	size_t buckets = BUCKETS_MIN;

	while (buckets < initial_buckets && buckets <= SIZE_MAX / 2 / sizeof(struct hash_link *))
		buckets *= 2;
	*table = (struct hash_table){.mask = buckets - 1, .equal = equal};
	table->buckets = memory_zalloc(buckets * sizeof(struct hash_link *));
	return table->buckets != NULL ? 0 : -ENOMEM;
}

void hash_table_free(struct hash_table *table)
{
	memory_free(table->buckets);
	memory_free(table->old_buckets);
	*table = (struct hash_table){0};
}

static struct hash_link **chain_of(const struct hash_table *table, uint64_t hash)
{
	if (table->old_buckets != NULL && (hash & table->old_mask) >= table->old_next)
		return &table->old_buckets[hash & table->old_mask];
	return &table->buckets[hash & table->mask];
}

static void move_buckets(struct hash_table *table, size_t n)
{
	for (; n > 0 && table->old_buckets != NULL; n--) {
		struct hash_link *link = table->old_buckets[table->old_next++], *next;

		for (; link != NULL; link = next) {
			struct hash_link **chain = &table->buckets[link->hash & table->mask];

			next = link->next;
			link->next = *chain;
			*chain = link;
		}
		if (table->old_next > table->old_mask) {
			memory_free(table->old_buckets);
			table->old_buckets = NULL;
		}
	}
}

static void grow(struct hash_table *table)
{
	size_t buckets = (table->mask + 1) * 2;
	struct hash_link **grown;

	if (buckets > SIZE_MAX / sizeof(struct hash_link *))
		return;
	grown = memory_zalloc(buckets * sizeof(struct hash_link *));
	if (grown == NULL)
		return;
	table->old_buckets = table->buckets;
	table->old_mask = table->mask;
	table->old_next = 0;
	table->buckets = grown;
	table->mask = buckets - 1;
}

static struct hash_link *find_from(const struct hash_table *table, struct hash_link *link,
                                   uint64_t hash, const void *wanted)
{
	for (; link != NULL; link = link->next)
		if (link->hash == hash && table->equal(link, wanted))
			return link;
	return NULL;
}

struct hash_link *hash_table_find(const struct hash_table *table, uint64_t hash, const void *wanted)
{
	return find_from(table, *chain_of(table, hash), hash, wanted);
}

struct hash_link *hash_table_find_next(const struct hash_table *table, const struct hash_link *link,
                                       const void *wanted)
{
	return find_from(table, link->next, link->hash, wanted);
}

void hash_table_insert(struct hash_table *table, struct hash_link *link, uint64_t hash)
{
	struct hash_link **chain;

	ASSERT(!link->in_table);
	if (table->old_buckets != NULL)
		move_buckets(table, BUCKETS_MOVED_PER_INSERT);
	else if (table->count > table->mask / 2)
		grow(table);
	chain = chain_of(table, hash);
	link->hash = hash;
	link->next = *chain;
	link->in_table = true;
	*chain = link;
	table->count++;
}

/* Moves no bucket: hash_table_visit lets its visitor remove. */
void hash_table_remove(struct hash_table *table, struct hash_link *link)
{
	struct hash_link **at;

	if (!link->in_table)
		return;
	for (at = chain_of(table, link->hash); *at != link; at = &(*at)->next)
		ASSERT(*at != NULL);
	*at = link->next;
	link->next = NULL;
	link->in_table = false;
	table->count--;
}

void hash_table_visit(struct hash_table *table, bool (*visit)(struct hash_link *link, void *arg),
                      void *arg)
{
	move_buckets(table, SIZE_MAX); /* as much work as the visit itself, and then one array */
	for (size_t i = 0; table->buckets != NULL && i <= table->mask; i++) {
		struct hash_link *link = table->buckets[i], *next;

		for (; link != NULL; link = next) {
			next = link->next;
			if (!visit(link, arg))
				return;
		}
	}
}
