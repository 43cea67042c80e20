/*
 * The one door to the heap. Any thread.
 * Counts live blocks, and in tests can fail the n-th allocation of the calling thread.
 * Every function may return NULL; callers turn that into -ENOMEM.
 */
#ifndef BONO_BASE_MEMORY_H
#define BONO_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

void *memory_alloc(size_t size);
void *memory_zalloc(size_t size);
/* NULL block: as memory_alloc. On failure the old block stays valid. */
void *memory_realloc(void *block, size_t size);
void memory_free(void *block); /* NULL is fine */
char *memory_strdup(const char *text);

/* For tests: let the n-th allocation from now (1 = the next) on this thread fail, once; 0 = never. */
void memory_fail_at(unsigned long n);
/* True if the failure asked for has happened since memory_fail_at. */
int memory_has_failed(void);
/* Live blocks of the whole process; only exact while other threads rest. */
int64_t memory_live_blocks(void);

#endif
