/*
 * Decisions: each is one block, packed on the worker's thread, that is its own letter and then its own record. The
 * oldest go when there are too many, or too many bytes of them.
 */
#include "control/decisions.h"

#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/memory.h"

/* Enough for a quiet day; it grows. */
#define BUCKETS_FIRST 64
/* A client chooses its Call-IDs, and might choose one for all: neither may it make searching slow, nor drive
 * out with it what is kept of the others. A call's own requests that needed a second attempt are fewer. */
#define SAME_CALL_ID_MAX 16

struct record {
	struct letter letter;
	struct hash_link by_call_id;
	struct list_link by_age; /* oldest first */
	size_t bytes;            /* of all of us */
	uint64_t number;         /* from 1, in order of coming */
	struct decision decision;
	char texts[]; /* what it lends */
};

struct decisions {
	struct loop *loop;
	struct list kept; /* struct record */
	struct hash_table call_ids;
	size_t bytes;    /* of all kept */
	uint64_t number; /* of the last that came */
	atomic_uint waiting;
	atomic_uint_fast64_t dropped;
};

static bool has_call_id(const struct hash_link *link, const void *key)
{
	const struct record *record = CONTAINER_OF(link, struct record, by_call_id);

	return slice_equal(record->decision.call_id, *(const struct slice *)key);
}

int decisions_create(struct loop *loop, struct decisions **out)
{
	struct decisions *decisions = memory_zalloc(sizeof(*decisions));
	int err;

	if (decisions == NULL)
		return -ENOMEM;
	decisions->loop = loop;
	list_init(&decisions->kept);
	err = hash_table_init(&decisions->call_ids, BUCKETS_FIRST, has_call_id);
	if (err != 0) {
		memory_free(decisions);
		return err;
	}
	*out = decisions;
	return 0;
}

static void forget(struct decisions *decisions, struct record *record)
{
	list_remove(&decisions->kept, &record->by_age);
	hash_table_remove(&decisions->call_ids, &record->by_call_id);
	decisions->bytes -= record->bytes;
	memory_free(record);
}

static void forget_oldest(struct decisions *decisions)
{
	forget(decisions, CONTAINER_OF(list_first(&decisions->kept), struct record, by_age));
}

void decisions_destroy(struct decisions **decisions)
{
	struct decisions *d = *decisions;

	if (d == NULL)
		return;
	*decisions = NULL;
	while (!list_is_empty(&d->kept))
		forget_oldest(d);
	hash_table_free(&d->call_ids);
	memory_free(d);
}

/* ---- on the worker's thread ---- */

static size_t texts_length(const struct decision *decision)
{
	size_t length = decision->call_id.length;

	for (unsigned i = 0; i < decision->attempt_count; i++)
		length += strlen(decision->attempt[i].site) + 1 +
		          strlen(decision->attempt[i].target) + 1;
	return length;
}

static const char *pack_text(char **at, const char *text)
{
	size_t size = strlen(text) + 1;
	const char *packed = memcpy(*at, text, size);

	*at += size;
	return packed;
}

static struct record *record_create(const struct decision *from)
{
	size_t bytes = sizeof(struct record) + texts_length(from);
	struct record *record = memory_alloc(bytes);
	char *at;

	if (record == NULL)
		return NULL;
	memset(record, 0, sizeof(*record));
	record->bytes = bytes;
	record->decision = *from;
	at = record->texts;
	for (unsigned i = 0; i < from->attempt_count; i++) {
		record->decision.attempt[i].site = pack_text(&at, from->attempt[i].site);
		record->decision.attempt[i].target = pack_text(&at, from->attempt[i].target);
	}
	if (from->call_id.length > 0)
		memcpy(at, from->call_id.data, from->call_id.length);
	record->decision.call_id.data = at;
	return record;
}

static void deliver_record(struct letter *letter, void *arg);

static void drop_record(struct letter *letter)
{
	memory_free(CONTAINER_OF(letter, struct record, letter));
}

void decisions_tell(struct decisions *decisions, const struct decision *decision)
{
	struct record *record = NULL;

	if (atomic_fetch_add_explicit(&decisions->waiting, 1, memory_order_relaxed) <
	    DECISIONS_WAITING_MAX)
		record = record_create(decision);
	if (record != NULL) {
		record->letter = (struct letter){.deliver = deliver_record,
		                                 .drop = drop_record,
		                                 .arg = decisions};
		if (loop_post(decisions->loop, &record->letter) == 0)
			return;
		memory_free(record);
	}
	atomic_fetch_sub_explicit(&decisions->waiting, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&decisions->dropped, 1, memory_order_relaxed);
}

uint64_t decisions_dropped(const struct decisions *decisions)
{
	return atomic_load_explicit(&decisions->dropped, memory_order_relaxed);
}

/* ---- on control's ---- */

/* The one of this Call-ID that came next after `number`, or NULL: the table keeps no order, and they are few. */
static struct record *next_of(const struct decisions *decisions, struct slice call_id,
                              uint64_t number)
{
	struct hash_link *link =
		hash_table_find(&decisions->call_ids, hash_slice(call_id), &call_id);
	struct record *best = NULL;

	for (; link != NULL; link = hash_table_find_next(&decisions->call_ids, link, &call_id)) {
		struct record *record = CONTAINER_OF(link, struct record, by_call_id);

		if (record->number > number && (best == NULL || record->number < best->number))
			best = record;
	}
	return best;
}

/* Only the last few of one Call-ID are kept. */
static void make_room(struct decisions *decisions, struct slice call_id)
{
	struct hash_link *link =
		hash_table_find(&decisions->call_ids, hash_slice(call_id), &call_id);
	unsigned count = 0;

	for (; link != NULL; link = hash_table_find_next(&decisions->call_ids, link, &call_id))
		count++;
	if (count >= SAME_CALL_ID_MAX)
		forget(decisions, next_of(decisions, call_id, 0));
}

static void deliver_record(struct letter *letter, void *arg)
{
	struct record *record = CONTAINER_OF(letter, struct record, letter);
	struct decisions *decisions = arg;

	atomic_fetch_sub_explicit(&decisions->waiting, 1, memory_order_relaxed);
	make_room(decisions, record->decision.call_id);
	record->number = ++decisions->number;
	list_append(&decisions->kept, &record->by_age);
	hash_table_insert(&decisions->call_ids, &record->by_call_id,
	                  hash_slice(record->decision.call_id));
	decisions->bytes += record->bytes;
	while (decisions->kept.length > DECISIONS_KEPT || decisions->bytes > DECISIONS_KEPT_BYTES)
		forget_oldest(decisions);
}

void decisions_visit(struct decisions *decisions, struct slice call_id,
                     void (*visit)(void *arg, const struct decision *decision), void *arg)
{
	const struct record *record = next_of(decisions, call_id, 0);

	while (record != NULL) {
		visit(arg, &record->decision);
		record = next_of(decisions, call_id, record->number);
	}
}
