/*
 * Hash table with the link inside the member, and the keyed hash it stands on (SipHash-1-3 with a
 * random key of the process, so that no client can choose its bucket). Grows by doubling, moving a few
 * buckets an operation, so no insert stalls the loop. No thread safety: one table, one worker.
 */
#ifndef BONO_BASE_HASH_H
#define BONO_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Keyed with the process key; hash_key_init must have run (main, tests' setup). */
uint64_t hash_bytes(const void *data, size_t length);
/* Chains: the hash of what was hashed before, then these bytes. */
uint64_t hash_more(uint64_t seed, const void *data, size_t length);
/* The same with a key of the caller's: for what must hold longer than this process. */
uint64_t hash_keyed(const uint64_t with[2], uint64_t seed, const void *data, size_t length);
static inline uint64_t hash_slice(struct slice s)
{
	return hash_bytes(s.data, s.length);
}
void hash_key_init(void); /* once, before threads start; takes the key from random.h */

struct hash_link {
	struct hash_link *next;
	uint64_t hash;
	bool in_table;
};

/* true if the member behind `link` has this key */
typedef bool hash_equal_fn(const struct hash_link *link, const void *key);

struct hash_table {
	struct hash_link **buckets, **old_buckets;
	size_t mask, old_mask, old_next; /* buckets of old_buckets below old_next have moved */
	size_t count;
	hash_equal_fn *equal;
};

int hash_table_init(struct hash_table *table, size_t initial_buckets, hash_equal_fn *equal);
void hash_table_free(struct hash_table *table); /* members are the caller's */
struct hash_link *hash_table_find(const struct hash_table *table, uint64_t hash, const void *key);
/* The next member with the same hash and key after `link`, or NULL: duplicates are allowed. */
struct hash_link *hash_table_find_next(const struct hash_table *table, const struct hash_link *link,
                                       const void *key);
/* Cannot fail: when it cannot grow, chains get longer. */
void hash_table_insert(struct hash_table *table, struct hash_link *link, uint64_t hash);
/* Does nothing if the link is in no table. */
void hash_table_remove(struct hash_table *table, struct hash_link *link);
/* Visit all; visit may remove the link it was given, no other. Stops when visit returns false. */
void hash_table_visit(struct hash_table *table, bool (*visit)(struct hash_link *link, void *arg),
                      void *arg);

#endif
