/*
 * A thread and its time. One turn: wait, what is ready (sockets, letters), timers that are due,
 * hooks, graves. The loop's own thread, except loop_post, loop_stop and the two gauges.
 */
#include "loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "loop_internal.h"

/* sofia's parser recurses over comments; 8 MiB is what the main thread has, whatever ulimit says. */
#define STACK_BYTES (8u << 20)
/* An idle loop turns this often, so that /livez can tell an idle loop from a stuck one. */
#define HEARTBEAT_US 500000

struct hook {
	loop_hook_fn *call;
	void *arg;
};

struct loop {
	char name[16]; /* the kernel keeps 15 bytes of a thread's name */
	struct event_base *base;
	struct timers *timers;
	struct mailbox mailbox;
	struct event *alarm; /* wakes us for timers and heartbeat */
	uint64_t alarm_us;   /* when it goes off; 0: not set */
	uint64_t now_us;     /* this turn's time, once it has been read */
	bool now_is_old;     /* a turn has begun: the next reader reads the clock */
	bool driven;         /* by loop_advance_to, until the loop runs by itself */
	struct hook *hooks;  /* owned */
	size_t hook_count;
	struct list graves;
	pthread_t thread;
	bool has_thread; /* to be joined */
	atomic_bool running, stopping;
	atomic_uint_fast64_t last_turn_us, lag_us;
	uint64_t lag_second;      /* which second lag_this_second belongs to */
	uint64_t lag_this_second; /* microseconds */
};

static _Thread_local const struct loop *running_here;

/*
 * libevent tells us nothing between its waking up and the first callback, so whoever asks for the time
 * first in a turn reads the clock. A loop that a test has moved stays there, or follows a fake clock.
 */
uint64_t loop_now_us(const struct loop *loop)
{
	struct loop *own = (struct loop *)loop;
	uint64_t now_us;

	if (!loop->now_is_old)
		return loop->now_us;
	own->now_is_old = false;
	if (loop->driven && !clock_is_fake())
		return loop->now_us;
	now_us = clock_now_us();
	if (now_us > loop->now_us)
		own->now_us = now_us;
	return loop->now_us;
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return loop_now_us(loop) / 1000;
}

static uint64_t wheel_clock(const void *arg)
{
	return loop_now_ms(arg);
}

static void on_alarm(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;

	loop->alarm_us = 0; /* the turn's end does the work */
}

/* EVLOOP_ONCE returns after every pass, so the end of a turn is ours to do, and no hook can be missed. */
static int base_create(struct event_base **out)
{
	struct event_config *config = event_config_new();

	if (config == NULL)
		return -ENOMEM;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK); /* one thread; others post letters */
	*out = event_base_new_with_config(config);
	event_config_free(config);
	return *out != NULL ? 0 : -ENOMEM;
}

int loop_create(const char *name, struct loop **out)
{
	struct loop *loop = memory_zalloc(sizeof(*loop));
	int err;

	if (loop == NULL)
		return -ENOMEM;
	snprintf(loop->name, sizeof(loop->name), "%s", name);
	list_init(&loop->graves);
	loop->mailbox.wake_fd = -1;
	loop->now_us = clock_now_us();
	atomic_store(&loop->last_turn_us, loop->now_us);
	err = timers_create(loop_now_ms(loop), &loop->timers);
	if (err != 0)
		goto out;
	timers_follow(loop->timers, wheel_clock, loop);
	err = base_create(&loop->base);
	if (err != 0)
		goto out;
	err = mailbox_open(&loop->mailbox, loop->base);
	if (err != 0)
		goto out;
	loop->alarm = evtimer_new(loop->base, on_alarm, loop);
	if (loop->alarm == NULL) {
		err = -ENOMEM;
		goto out;
	}
	*out = loop;
	loop = NULL;
out:
	loop_destroy(&loop);
	return err;
}

static void empty_graves(struct loop *loop)
{
	struct list_link *link;

	while ((link = list_pop(&loop->graves)) != NULL) {
		struct grave *grave = CONTAINER_OF(link, struct grave, link);

		grave->free_fn(grave);
	}
}

void loop_destroy(struct loop **loop)
{
	struct loop *destroyed = *loop;

	*loop = NULL;
	if (destroyed == NULL)
		return;
	ASSERT(loop_is_self(destroyed));
	if (destroyed->mailbox.wake_fd >= 0) {
		/* Dropping a letter may bury what it carried, and a grave may hold letters back. */
		do
			empty_graves(destroyed);
		while (mailbox_drop_waiting(&destroyed->mailbox));
		mailbox_close(&destroyed->mailbox);
	}
	if (destroyed->alarm != NULL)
		event_free(destroyed->alarm);
	timers_destroy(&destroyed->timers);
	if (destroyed->base != NULL)
		event_base_free(destroyed->base);
	memory_free(destroyed->hooks);
	memory_free(destroyed);
}

/* The gauge tells the last whole second; a second in which nothing was late says 0. */
static void note_lag(struct loop *loop, uint64_t now_us)
{
	uint64_t second = now_us / 1000000;

	if (second != loop->lag_second) {
		atomic_store_explicit(&loop->lag_us,
		                      second == loop->lag_second + 1 ? loop->lag_this_second : 0,
		                      memory_order_relaxed);
		loop->lag_second = second;
		loop->lag_this_second = 0;
	}
	if (loop->alarm_us != 0 && now_us > loop->alarm_us &&
	    now_us - loop->alarm_us > loop->lag_this_second)
		loop->lag_this_second = now_us - loop->alarm_us;
}

/* Setting the alarm costs a heap operation, so one that goes off early enough is left as it is. */
static void set_alarm(struct loop *loop, uint64_t now_us)
{
	uint64_t next_ms = timers_next_ms(loop->timers), wake_us = now_us + HEARTBEAT_US, wait_us;
	struct timeval wait;

	if (next_ms <= wake_us / 1000)
		wake_us = next_ms * 1000 > now_us ? next_ms * 1000 : now_us;
	if (loop->alarm_us > now_us && loop->alarm_us <= wake_us)
		return;
	wait_us = wake_us - now_us;
	wait = (struct timeval){(time_t)(wait_us / 1000000), (suseconds_t)(wait_us % 1000000)};
	/* Adding a set timer moves it and allocates nothing: it has its place in the heap already. */
	if (evtimer_add(loop->alarm, &wait) == 0)
		loop->alarm_us = wake_us;
}

/* What is due, hooks, graves: the order that loop.h promises. */
static void end_turn(struct loop *loop)
{
	uint64_t now_us = loop_now_us(loop);

	note_lag(loop, now_us);
	atomic_store_explicit(&loop->last_turn_us, now_us, memory_order_relaxed);
	timers_run(loop->timers, now_us / 1000);
	for (size_t i = 0; i < loop->hook_count; i++)
		loop->hooks[i].call(loop->hooks[i].arg);
	empty_graves(loop);
	set_alarm(loop, now_us);
}

void loop_run(struct loop *loop)
{
	const struct loop *outer = running_here;

	running_here = loop;
	atomic_store(&loop->running, true);
	loop->driven = false;
	loop->now_is_old = true;
	end_turn(loop); /* sets the alarm for timers that were started before */
	while (!atomic_load_explicit(&loop->stopping, memory_order_acquire)) {
		loop->now_is_old = true;
		event_base_loop(loop->base, EVLOOP_ONCE);
		end_turn(loop);
	}
	running_here = outer;
	if (!loop->has_thread)
		atomic_store(&loop->running, false);
}

void loop_turn(struct loop *loop)
{
	ASSERT(loop_is_self(loop));
	loop->now_is_old = true;
	event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NONBLOCK); /* without ONCE: until idle */
	end_turn(loop);
}

void loop_advance_to(struct loop *loop, uint64_t now_ms)
{
	ASSERT(loop_is_self(loop));
	loop->driven = true;
	loop->now_is_old = false;
	if (now_ms > loop_now_ms(loop))
		loop->now_us = now_ms * 1000;
	end_turn(loop);
}

static void *thread_run(void *arg)
{
	struct loop *loop = arg;

	loop_run(loop);
	return NULL;
}

int loop_start(struct loop *loop)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int err;

	ASSERT(!loop->has_thread && !atomic_load(&loop->running));
	err = pthread_attr_init(&attributes);
	if (err != 0)
		return -err;
	err = pthread_attr_setstacksize(&attributes, STACK_BYTES);
	if (err != 0)
		goto out;
	loop->has_thread = true;
	atomic_store(&loop->running, true);
	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = pthread_create(&loop->thread, &attributes, thread_run, loop);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err != 0) {
		loop->has_thread = false;
		atomic_store(&loop->running, false);
		goto out;
	}
	pthread_setname_np(loop->thread, loop->name);
out:
	pthread_attr_destroy(&attributes);
	return -err;
}

void loop_stop(struct loop *loop)
{
	atomic_store_explicit(&loop->stopping, true, memory_order_release);
	mailbox_wake(&loop->mailbox);
}

void loop_join(struct loop *loop)
{
	if (!loop->has_thread)
		return;
	pthread_join(loop->thread, NULL);
	loop->has_thread = false;
	atomic_store(&loop->running, false);
}

bool loop_join_within(struct loop *loop, uint64_t limit_ms)
{
	struct timespec until;

	if (!loop->has_thread)
		return true;
	/* Not the clock that tests drive: the thread ends in the world's time. */
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(limit_ms / 1000);
	until.tv_nsec += (long)(limit_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	if (pthread_timedjoin_np(loop->thread, NULL, &until) != 0)
		return false;
	loop->has_thread = false;
	atomic_store(&loop->running, false);
	return true;
}

bool loop_is_self(const struct loop *loop)
{
	return !atomic_load_explicit(&loop->running, memory_order_acquire) || running_here == loop;
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

struct timers *loop_timers(struct loop *loop)
{
	return loop->timers;
}

int loop_at_turn_end(struct loop *loop, loop_hook_fn *call, void *arg)
{
	struct hook *hooks = memory_realloc(loop->hooks, (loop->hook_count + 1) * sizeof(*hooks));

	if (hooks == NULL)
		return -ENOMEM;
	hooks[loop->hook_count] = (struct hook){call, arg};
	loop->hooks = hooks;
	loop->hook_count++;
	return 0;
}

void loop_bury(struct loop *loop, struct grave *grave, void (*free_fn)(struct grave *grave))
{
	ASSERT(loop_is_self(loop));
	grave->free_fn = free_fn;
	list_append(&loop->graves, &grave->link);
}

int loop_post(struct loop *loop, struct letter *letter)
{
	return mailbox_post(&loop->mailbox, letter, false);
}

void loop_post_always(struct loop *loop, struct letter *letter)
{
	mailbox_post(&loop->mailbox, letter, true);
}

uint64_t loop_letters_refused(const struct loop *loop)
{
	return atomic_load_explicit(&loop->mailbox.refused, memory_order_relaxed);
}

uint64_t loop_lag_us(const struct loop *loop)
{
	return atomic_load_explicit(&loop->lag_us, memory_order_relaxed);
}

uint64_t loop_last_turn_us(const struct loop *loop)
{
	return atomic_load_explicit(&loop->last_turn_us, memory_order_relaxed);
}
