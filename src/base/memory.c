/*
 * The one door to the heap. Any thread.
 * Each thread counts in a cell of its own, so that counting costs no shared cache line; the reader
 * sums the cells. A cell may go below zero: a block may be freed by another thread than its maker.
 */
#include "base/memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Messages and what is printed of them are longer than the blocks of which glibc keeps a few at hand for each
 * thread (1032 bytes), and would be cut out of its heap and melted into it again several times for each
 * request. So each thread keeps the last few of that size itself. Not under sanitizers, which must see what
 * is used after it was freed.
 */
#define SPARE_MIN_BYTES 1025
#define SPARE_MAX_BYTES 16384
#define SPARES 16

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEPS_SPARES 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define KEEPS_SPARES 0
#endif
#endif
#ifndef KEEPS_SPARES
#define KEEPS_SPARES 1
#endif

struct spare {
	void *block;
	size_t size;
};

static _Thread_local struct spare spares[SPARES]; /* the last freed at the end */
static _Thread_local unsigned spare_count;

struct cell {
	atomic_int_fast64_t live; /* written by its thread only */
	struct cell *next;        /* under registry_lock */
	bool registered;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cell *registry;
static int64_t live_of_ended_threads; /* under registry_lock */
static pthread_key_t cell_key;
static pthread_once_t cell_key_once = PTHREAD_ONCE_INIT;

static _Thread_local struct cell cell;
static _Thread_local unsigned long fail_countdown; /* 0: never */
static _Thread_local bool failed;

/* A thread ends: its cell leaves, its sum stays. */
static void cell_unregister(void *arg)
{
	struct cell *ending = arg;

	while (spare_count > 0)
		free(spares[--spare_count].block);
	pthread_mutex_lock(&registry_lock);
	for (struct cell **at = &registry; *at != NULL; at = &(*at)->next) {
		if (*at == ending) {
			*at = ending->next;
			break;
		}
	}
	live_of_ended_threads += atomic_load_explicit(&ending->live, memory_order_relaxed);
	atomic_store_explicit(&ending->live, 0, memory_order_relaxed);
	ending->registered = false;
	pthread_mutex_unlock(&registry_lock);
}

static void cell_key_create(void)
{
	if (pthread_key_create(&cell_key, cell_unregister) != 0)
		abort();
}

static void cell_register(void)
{
	pthread_once(&cell_key_once, cell_key_create);
	pthread_setspecific(cell_key, &cell);
	pthread_mutex_lock(&registry_lock);
	cell.next = registry;
	registry = &cell;
	cell.registered = true;
	pthread_mutex_unlock(&registry_lock);
}

static void count(int difference)
{
	int64_t live = atomic_load_explicit(&cell.live, memory_order_relaxed);

	if (!cell.registered)
		cell_register();
	atomic_store_explicit(&cell.live, live + difference, memory_order_relaxed);
}

static bool must_fail(void)
{
	if (fail_countdown == 0 || --fail_countdown > 0)
		return false;
	failed = true;
	return true;
}

/* The youngest that fits, if it is not so large that the rest of it would be missed. */
static void *spare_take(size_t size)
{
	void *block;

	for (unsigned i = spare_count; i-- > 0;) {
		if (spares[i].size < size || spares[i].size > size + size / 4)
			continue;
		block = spares[i].block;
		memmove(&spares[i], &spares[i + 1], (--spare_count - i) * sizeof(spares[0]));
		return block;
	}
	return NULL;
}

/* The oldest makes room: sizes that are not asked for any more do not stay. */
static void spare_keep(void *block, size_t size)
{
	if (spare_count == SPARES) {
		free(spares[0].block);
		memmove(&spares[0], &spares[1], --spare_count * sizeof(spares[0]));
	}
	spares[spare_count++] = (struct spare){block, size};
}

static bool is_spare_size(size_t size)
{
	return KEEPS_SPARES && size >= SPARE_MIN_BYTES && size <= SPARE_MAX_BYTES;
}

void *memory_alloc(size_t size)
{
	void *block;

	if (must_fail())
		return NULL;
	block = is_spare_size(size) ? spare_take(size) : NULL;
	if (block == NULL)
		block = malloc(size > 0 ? size : 1);
	if (block != NULL)
		count(+1);
	return block;
}

void *memory_zalloc(size_t size)
{
	void *block;

	if (must_fail())
		return NULL;
	block = calloc(1, size > 0 ? size : 1);
	if (block != NULL)
		count(+1);
	return block;
}

void *memory_realloc(void *block, size_t size)
{
	if (block == NULL)
		return memory_alloc(size);
	if (must_fail())
		return NULL;
	return realloc(block, size > 0 ? size : 1);
}

void memory_free(void *block)
{
	size_t size;

	if (block == NULL)
		return;
	count(-1);
	size = malloc_usable_size(block);
	if (is_spare_size(size))
		spare_keep(block, size);
	else
		free(block);
}

char *memory_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = memory_alloc(size);

	return copy != NULL ? memcpy(copy, text, size) : NULL;
}

void memory_fail_at(unsigned long n)
{
	fail_countdown = n;
	failed = false;
}

int memory_has_failed(void)
{
	return failed;
}

int64_t memory_live_blocks(void)
{
	int64_t live;

	pthread_mutex_lock(&registry_lock);
	live = live_of_ended_threads;
	for (const struct cell *at = registry; at != NULL; at = at->next)
		live += atomic_load_explicit(&at->live, memory_order_relaxed);
	pthread_mutex_unlock(&registry_lock);
	return live;
}
