/*
 * A thread and its time: a libevent base, timers, a mailbox, and the end of each turn.
 * Everything of a loop is touched on its own thread only, except loop_post and loop_stop.
 */
#ifndef BONO_LOOP_LOOP_H
#define BONO_LOOP_LOOP_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "loop/timer.h"

struct loop;

/* name: "worker-0", "control"; it names the thread too. */
int loop_create(const char *name, struct loop **out);
void loop_destroy(struct loop **loop);

/* Start a thread with an 8 MiB stack (sofia's parser recurses) that runs the loop; or run it here. */
int loop_start(struct loop *loop);
void loop_run(struct loop *loop);
/* Any thread: leave after the current turn. */
void loop_stop(struct loop *loop);
void loop_join(struct loop *loop);
/* As loop_join, but waits no longer than this. False: the thread has not ended, and may still touch everything. */
bool loop_join_within(struct loop *loop, uint64_t limit_ms);
/* True on the loop's own thread, and before it has been started. */
bool loop_is_self(const struct loop *loop);

struct event_base *loop_base(struct loop *loop);
struct timers *loop_timers(struct loop *loop);
/* Read once at the start of each turn (and by tests moved): the time of this turn. */
uint64_t loop_now_ms(const struct loop *loop);
uint64_t loop_now_us(const struct loop *loop);
/* For tests without a running loop: set the turn's time, run what is due, then the turn's end. */
void loop_advance_to(struct loop *loop, uint64_t now_ms);
/* One turn without waiting: events that are ready, letters, timers, turn's end. */
void loop_turn(struct loop *loop);

/* Called at the end of every turn, in the order of adding: flushing of batches. */
typedef void loop_hook_fn(void *arg);
int loop_at_turn_end(struct loop *loop, loop_hook_fn *hook, void *arg);

/* Deferred destruction: the memory of dead objects goes at the end of the turn, after all hooks.
 * Embed the grave; bury once. */
struct grave {
	struct list_link link;
	void (*free_fn)(struct grave *grave);
};
void loop_bury(struct loop *loop, struct grave *grave, void (*free_fn)(struct grave *grave));

/*
 * Letters: the only way between threads. A letter is a block from memory.h that begins with this
 * header; the loop calls deliver on its own thread and deliver frees it. Any thread may post. The queue is
 * bounded (65536): when full -ENOBUFS and the letter stays the caller's, counted. Order is kept per sender.
 * drop is called instead of deliver if the loop is destroyed with letters waiting.
 */
struct letter {
	struct letter *next;
	void (*deliver)(struct letter *letter, void *arg);
	void (*drop)(struct letter *letter);
	void *arg; /* what the receiver owns, e.g. the worker */
};
int loop_post(struct loop *loop, struct letter *letter);
/* As loop_post for letters that must not be lost (snapshots, shutdown): ignores the bound. */
void loop_post_always(struct loop *loop, struct letter *letter);
uint64_t loop_letters_refused(const struct loop *loop);

/* How late the loop runs: the largest delay of a timer in the last whole second, microseconds.
 * Any thread. */
uint64_t loop_lag_us(const struct loop *loop);
/* Wall time of the last turn's start, clock_now_us; any thread: for /livez. */
uint64_t loop_last_turn_us(const struct loop *loop);

#endif
