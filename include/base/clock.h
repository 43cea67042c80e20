/*
 * Time. Monotonic for everything that is measured or waited for; wall time only for people.
 * Loops read the clock once a turn (loop_now_ms); tests set a fake. Any thread.
 */
#ifndef BONO_BASE_CLOCK_H
#define BONO_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t clock_now_us(void); /* monotonic microseconds, never 0 */
static inline uint64_t clock_now_ms(void)
{
	return clock_now_us() / 1000;
}
uint64_t clock_wall_ms(void); /* since 1970, UTC */

/* RFC 3339 UTC with milliseconds, "2026-11-22T19:30:52.123Z"; size >= 25. */
void clock_format_wall(uint64_t wall_ms, char *text, size_t size);

/* For tests: from now on clock_now_us is this value, until changed; 0 gives back the real clock. */
void clock_set_fake_us(uint64_t now_us);
bool clock_is_fake(void);

#endif
