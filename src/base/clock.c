/*
 * Time, real or fake. Any thread.
 */
#include "base/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/error.h"

static atomic_uint_fast64_t fake_us; /* 0: the real clock */

uint64_t clock_now_us(void)
{
	uint64_t fake = atomic_load_explicit(&fake_us, memory_order_relaxed);
	struct timespec now;

	if (fake != 0)
		return fake;
	clock_gettime(CLOCK_MONOTONIC, &now);
	fake = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	return fake != 0 ? fake : 1;
}

uint64_t clock_wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void clock_format_wall(uint64_t wall_ms, char *text, size_t size)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm utc;
	size_t length;

	ASSERT(size >= 25);
	text[0] = '\0';
	if (gmtime_r(&seconds, &utc) == NULL)
		return;
	length = strftime(text, size, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text + length, size - length, ".%03uZ", (unsigned)(wall_ms % 1000));
}

void clock_set_fake_us(uint64_t now_us)
{
	atomic_store_explicit(&fake_us, now_us, memory_order_relaxed);
}

bool clock_is_fake(void)
{
	return atomic_load_explicit(&fake_us, memory_order_relaxed) != 0;
}
