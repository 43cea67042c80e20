/*
 * Timers of one loop: a hierarchical wheel of milliseconds, O(1) to start, restart and stop, no
 * allocation. Intrusive. A timer never fires from inside timer_start, and never early.
 */
#ifndef BONO_LOOP_TIMER_H
#define BONO_LOOP_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct timer;
typedef void timer_fn(struct timer *timer, void *arg);

struct timer {
	struct list_link link; /* in a slot of the wheel; none: not running */
	uint64_t due_ms;
	timer_fn *fire;
	void *arg;
	uint16_t slot; /* the wheel's own */
};

struct timers; /* the wheel */
int timers_create(uint64_t now_ms, struct timers **out);
void timers_destroy(struct timers **timers);
/* Fire everything due up to now, in order of due time; a fired timer may start or stop any. */
void timers_run(struct timers *timers, uint64_t now_ms);
/* When the next one is due (may be early by a slot), UINT64_MAX: none. */
uint64_t timers_next_ms(const struct timers *timers);
uint64_t timers_now_ms(const struct timers *timers);

void timer_init(struct timer *timer, timer_fn *fire, void *arg);
/* (Re)start: due `delay_ms` after the wheel's now. */
void timer_start(struct timers *timers, struct timer *timer, uint64_t delay_ms);
void timer_stop(struct timers *timers, struct timer *timer); /* fine if not running */
static inline bool timer_is_running(const struct timer *timer)
{
	return list_link_in_list(&timer->link);
}

#endif
