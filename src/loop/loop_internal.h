/*
 * What the files of this layer tell each other.
 */
#ifndef BONO_LOOP_INTERNAL_H
#define BONO_LOOP_INTERNAL_H

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "loop/timer.h"

/*
 * Between two runs the wheel's now would be the end of the last one, long ago if the loop slept; a
 * timer started by an event would then be early. So the wheel of a loop asks the loop.
 */
typedef uint64_t timers_clock_fn(const void *arg);
void timers_follow(struct timers *timers, timers_clock_fn *clock, const void *arg);

/* Letters that wait for the loop. */
struct mailbox {
	pthread_mutex_t lock;
	struct letter *first, **end; /* under lock */
	struct letter *taken;        /* the loop's: out of the queue, not yet delivered */
	atomic_uint waiting;         /* in the queue and taken */
	atomic_uint_fast64_t refused;
	int wake_fd; /* eventfd, readable when the queue was not empty */
	struct event *wake;
};

int mailbox_open(struct mailbox *mailbox, struct event_base *base);
void mailbox_close(struct mailbox *mailbox); /* drops what still waits */
int mailbox_post(struct mailbox *mailbox, struct letter *letter, bool always);
void mailbox_wake(struct mailbox *mailbox); /* any thread, signal handlers too */
/* Drop what waits; true if there was anything. */
bool mailbox_drop_waiting(struct mailbox *mailbox);

#endif
