/*
 * Moves the fake clock and a loop together, stopping at every due time on the way, so that a timer that
 * restarts itself fires as often as it would in real life. A header only: tests of the layers below
 * loop/ do not link it.
 */
#ifndef TESTS_SUPPORT_FAKE_LOOP_H
#define TESTS_SUPPORT_FAKE_LOOP_H

#include "loop/loop.h"
#include "support/fake_clock.h"

static inline void fake_loop_walk_to(struct loop *loop, uint64_t to_ms)
{
	uint64_t next_ms, now_ms;

	for (;;) {
		now_ms = loop_now_ms(loop);
		next_ms = timers_next_ms(loop_timers(loop));
		if (next_ms > to_ms)
			break;
		if (next_ms <=
		    now_ms) /* due already, and once more for each restart without delay */
			next_ms = now_ms;
		fake_clock_set_ms(next_ms);
		loop_advance_to(loop, next_ms);
		if (next_ms == now_ms && timers_next_ms(loop_timers(loop)) <= now_ms)
			break; /* a timer that restarts itself without delay never lets time pass */
	}
	fake_clock_set_ms(to_ms);
	loop_advance_to(loop, to_ms);
}

static inline void fake_loop_walk(struct loop *loop, uint64_t by_ms)
{
	fake_loop_walk_to(loop, loop_now_ms(loop) + by_ms);
}

#endif
