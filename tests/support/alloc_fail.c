/*
 * Runs a scene once for each of its allocations.
 */
#include "support/alloc_fail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"

/* A scene with more allocations than this is a soak, or makes one more each time it fails. */
#define ALLOCATIONS_MAX 20000

static void run(void (*scene)(void *arg), void *arg, unsigned long fail_at)
{
	int64_t before = memory_live_blocks(), after;

	memory_fail_at(fail_at);
	scene(arg);
	after = memory_live_blocks();
	if (after == before)
		return;
	memory_fail_at(0);
	fail_msg("%lld blocks left when allocation %lu failed", (long long)(after - before),
	         fail_at);
}

unsigned long alloc_fail_each(void (*scene)(void *arg), void *arg)
{
	unsigned long n;

	run(scene, arg, 0);
	for (n = 1; n <= ALLOCATIONS_MAX; n++) {
		run(scene, arg, n);
		if (!memory_has_failed())
			break;
	}
	memory_fail_at(0);
	if (n > ALLOCATIONS_MAX)
		fail_msg("more than %d allocations", ALLOCATIONS_MAX);
	return n - 1;
}

bool alloc_fail_happened(void)
{
	return memory_has_failed();
}
