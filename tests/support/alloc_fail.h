/*
 * Every allocation of a scene fails once.
 *
 *	static void scene(void *arg)
 *	{
 *		struct flow_table *table = NULL;
 *
 *		if (flow_table_create(..., &table) == 0)
 *			...
 *		flow_table_destroy(&table);
 *	}
 *	assert_true(alloc_fail_each(scene, NULL) > 0);
 *
 * The scene runs untouched, then with its first allocation failing, then its second, ... until no
 * allocation is left to fail. It must go through without complaint either way and free all it made:
 * after each run the live blocks of memory.h are what they were before.
 */
#ifndef TESTS_SUPPORT_ALLOC_FAIL_H
#define TESTS_SUPPORT_ALLOC_FAIL_H

#include <stdbool.h>

/* Returns how many allocations were failed. Fails the test on a leak or when the scene never ends.
 * Only allocations of the calling thread fail. */
unsigned long alloc_fail_each(void (*scene)(void *arg), void *arg);

/* True when the running scene is disturbed: one of its allocations has failed. */
bool alloc_fail_happened(void);

#endif
