#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "support/alloc_fail.h"

struct member {
	struct hash_link link;
	unsigned key;
	bool seen;
};

static bool member_equal(const struct hash_link *link, const void *key)
{
	return CONTAINER_OF(link, struct member, link)->key == *(const unsigned *)key;
}

static uint64_t key_hash(unsigned key)
{
	return hash_bytes(&key, sizeof(key));
}

static struct member *find(const struct hash_table *table, unsigned key)
{
	struct hash_link *link = hash_table_find(table, key_hash(key), &key);

	return link != NULL ? CONTAINER_OF(link, struct member, link) : NULL;
}

/* Runs before hash_key_init, so the key is zero: the answers are CPython's, whose hash of bytes is
 * SipHash-1-3, with PYTHONHASHSEED=0. */
static void hash_without_a_key_is_siphash_1_3(void **state)
{
	unsigned char counting[16];

	for (unsigned char i = 0; i < sizeof(counting); i++)
		counting[i] = i;
	assert_true(hash_bytes("hello", 5) == UINT64_C(0xe2e77b41cb4e1f9e));
	assert_true(hash_bytes(counting, 15) == UINT64_C(0xf30eb725bb91c9ea));
	assert_true(hash_bytes(counting, 16) == UINT64_C(0x8972188433a5c5b7));
	assert_true(hash_bytes("hello", 5) == hash_slice(SLICE_LITERAL("hello")));
}

static void hash_depends_on_every_byte_and_the_length(void **state)
{
	char text[20] = {0};
	uint64_t zeros[20];

	for (size_t n = 0; n < sizeof(text); n++) {
		zeros[n] = hash_bytes(text, n);
		for (size_t shorter = 0; shorter < n; shorter++)
			assert_true(zeros[n] != zeros[shorter]);
		for (size_t i = 0; i < n; i++) {
			text[i] = 1;
			assert_true(hash_bytes(text, n) != zeros[n]);
			text[i] = 0;
		}
	}
}

static void chained_hash_depends_on_what_came_before(void **state)
{
	uint64_t a = hash_bytes("a", 1), b = hash_bytes("b", 1);

	assert_true(hash_more(a, "x", 1) == hash_more(a, "x", 1));
	assert_true(hash_more(a, "x", 1) != hash_more(b, "x", 1));
	assert_true(hash_more(a, "x", 1) != hash_more(a, "y", 1));
	assert_true(hash_more(a, "", 0) != a);
}

static void the_key_of_the_process_changes_every_hash(void **state)
{
	uint64_t before = hash_bytes("Call-ID", 7);

	hash_key_init();
	assert_true(hash_bytes("Call-ID", 7) != before);
}

static void members_are_found_at_every_step_of_growing_and_shrinking(void **state)
{
	enum { MEMBERS = 3000 };
	struct member *members = memory_zalloc(MEMBERS * sizeof(*members));
	struct hash_table table;

	assert_int_equal(hash_table_init(&table, 1, member_equal), 0);
	for (unsigned i = 0; i < MEMBERS; i++) {
		members[i].key = i;
		hash_table_insert(&table, &members[i].link, key_hash(i));
		assert_ptr_equal(find(&table, i), &members[i]);
		assert_ptr_equal(find(&table, i / 2), &members[i / 2]);
		assert_null(find(&table, i + 1));
		if (i % 7 == 0) { /* out and in again, wherever its bucket stands just now */
			hash_table_remove(&table, &members[i / 3].link);
			assert_null(find(&table, i / 3));
			hash_table_insert(&table, &members[i / 3].link, key_hash(i / 3));
		}
	}
	assert_int_equal(table.count, MEMBERS);
	assert_true(table.mask + 1 >= MEMBERS / 2);
	for (unsigned i = 0; i < MEMBERS; i++) {
		hash_table_remove(&table, &members[i].link);
		hash_table_remove(&table, &members[i].link); /* does nothing */
		assert_null(find(&table, i));
		assert_true(i + 1 == MEMBERS || find(&table, i + 1) != NULL);
	}
	assert_int_equal(table.count, 0);
	hash_table_free(&table);
	memory_free(members);
}

static void duplicates_are_all_found_while_the_table_grows(void **state)
{
	enum { COPIES = 5, OTHERS = 400 };
	struct member copies[COPIES] = {0}, others[OTHERS] = {0};
	struct hash_table table;
	unsigned wanted = 7;

	assert_int_equal(hash_table_init(&table, 8, member_equal), 0);
	for (unsigned i = 0; i < OTHERS; i++) {
		unsigned found = 0;

		if (i % 100 == 3) {
			copies[i / 100].key = wanted;
			hash_table_insert(&table, &copies[i / 100].link, key_hash(wanted));
		}
		others[i].key = 1000 + i;
		hash_table_insert(&table, &others[i].link, key_hash(1000 + i));
		for (struct hash_link *link = hash_table_find(&table, key_hash(wanted), &wanted);
		     link != NULL; link = hash_table_find_next(&table, link, &wanted))
			found++;
		assert_int_equal(found, (i + 97) / 100);
	}
	hash_table_free(&table);
}

static bool remove_odd(struct hash_link *link, void *arg)
{
	struct member *member = CONTAINER_OF(link, struct member, link);

	assert_false(member->seen);
	member->seen = true;
	if (member->key % 2 == 1)
		hash_table_remove(arg, link);
	return true;
}

static bool stop_at_third(struct hash_link *link, void *arg)
{
	unsigned *visits = arg;

	return ++*visits < 3;
}

static void a_visit_sees_all_and_its_visitor_may_remove(void **state)
{
	/* 17 in 8 buckets: in the middle of moving */
	struct member members[17] = {0};
	struct hash_table table;
	unsigned visits = 0;

	assert_int_equal(hash_table_init(&table, 8, member_equal), 0);
	for (unsigned i = 0; i < ARRAY_LENGTH(members); i++) {
		members[i].key = i;
		hash_table_insert(&table, &members[i].link, key_hash(i));
	}
	hash_table_visit(&table, remove_odd, &table);
	assert_int_equal(table.count, 9);
	for (unsigned i = 0; i < ARRAY_LENGTH(members); i++) {
		assert_true(members[i].seen);
		assert_int_equal(find(&table, i) != NULL, i % 2 == 0);
	}
	hash_table_visit(&table, stop_at_third, &visits);
	assert_int_equal(visits, 3);
	hash_table_free(&table);
}

static void growing_scene(void *arg)
{
	struct member members[200] = {0};
	struct hash_table table;

	if (hash_table_init(&table, 8, member_equal) != 0) {
		assert_true(alloc_fail_happened());
		return;
	}
	for (unsigned i = 0; i < ARRAY_LENGTH(members); i++) {
		members[i].key = i;
		hash_table_insert(&table, &members[i].link, key_hash(i));
	}
	for (unsigned i = 0; i < ARRAY_LENGTH(members); i++)
		assert_ptr_equal(find(&table, i), &members[i]);
	hash_table_free(&table);
}

static void a_table_that_cannot_grow_still_takes_members(void **state)
{
	assert_true(alloc_fail_each(growing_scene, NULL) >= 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hash_without_a_key_is_siphash_1_3),
		cmocka_unit_test(hash_depends_on_every_byte_and_the_length),
		cmocka_unit_test(chained_hash_depends_on_what_came_before),
		cmocka_unit_test(the_key_of_the_process_changes_every_hash),
		cmocka_unit_test(members_are_found_at_every_step_of_growing_and_shrinking),
		cmocka_unit_test(duplicates_are_all_found_while_the_table_grows),
		cmocka_unit_test(a_visit_sees_all_and_its_visitor_may_remove),
		cmocka_unit_test(a_table_that_cannot_grow_still_takes_members),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
