/*
 * The log: a bounded ring of lines that any thread fills without waiting, and one writer thread
 * that empties it to stderr. Each slot carries a ticket that says whose turn it is (the bounded
 * queue of D. Vyukov), so a slow stderr never holds up a loop: lines are dropped and counted.
 */
#include "base/log.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

/* A line that names a URI, an address and a reason fits in half of it; longer ones are cut. */
#define LINE_MAX_BYTES 512
/* A burst of a thousand flows that close at once, while the terminal hangs for a moment. */
#define RING_LINES 4096

struct ring_line {
	atomic_uint_fast64_t ticket; /* position: free for it; position + 1: filled by it */
	uint32_t length;
	char text[LINE_MAX_BYTES];
};

static struct ring_line ring[RING_LINES];
static atomic_uint_fast64_t ring_head; /* the next position to fill */
static uint64_t ring_tail;             /* the next position to write out; the writer's alone */
static atomic_uint_fast64_t dropped;
static atomic_int current_level = LOG_INFO;
static atomic_bool running, stopping;
static sem_t filled;
static pthread_t writer;

static const char *const level_words[] = {"ERROR", "WARN ", "INFO ", "DEBUG"};

/* Time, level and text as one line with its newline; returns its length. */
static size_t compose(char *line, enum log_level level, const char *format, va_list args)
{
	size_t start, length;
	int written;

	clock_format_wall(clock_wall_ms(), line, LINE_MAX_BYTES);
	length = strlen(line);
	length += (size_t)snprintf(line + length, LINE_MAX_BYTES - length, " %s ",
	                           level_words[level]);
	start = length;
	written = vsnprintf(line + length, LINE_MAX_BYTES - length, format, args);
	if (written > 0)
		length += (size_t)written;
	if (length > LINE_MAX_BYTES - 2)
		length = LINE_MAX_BYTES - 2;
	/* One event is one line, whatever a name that came from outside contains. */
	for (size_t i = start; i < length; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[length++] = '\n';
	return length;
}

static void write_out(const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(STDERR_FILENO, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* nobody reads us any more; there is nowhere to say so */
			return;
		text += n;
		length -= (size_t)n;
	}
}

static bool push(const char *line, size_t length)
{
	uint64_t position = atomic_load_explicit(&ring_head, memory_order_relaxed);
	struct ring_line *slot;

	for (;;) {
		uint64_t ticket;

		slot = &ring[position % RING_LINES];
		ticket = atomic_load_explicit(&slot->ticket, memory_order_acquire);
		if (ticket < position)
			return false;
		if (ticket > position)
			position = atomic_load_explicit(&ring_head, memory_order_relaxed);
		else if (atomic_compare_exchange_weak_explicit(&ring_head, &position, position + 1,
		                                               memory_order_relaxed,
		                                               memory_order_relaxed))
			break;
	}
	memcpy(slot->text, line, length);
	slot->length = (uint32_t)length;
	atomic_store_explicit(&slot->ticket, position + 1, memory_order_release);
	return true;
}

/* Write out what is filled, up to the first line that is not. */
static void drain(void)
{
	for (;;) {
		struct ring_line *slot = &ring[ring_tail % RING_LINES];

		if (atomic_load_explicit(&slot->ticket, memory_order_acquire) != ring_tail + 1)
			return;
		write_out(slot->text, slot->length);
		atomic_store_explicit(&slot->ticket, ring_tail + RING_LINES, memory_order_release);
		ring_tail++;
	}
}

static void *writer_run(void *arg)
{
	while (!atomic_load(&stopping)) {
		while (sem_wait(&filled) != 0 && errno == EINTR)
			;
		drain();
	}
	drain();
	return NULL;
}

int log_start(enum log_level level)
{
	sigset_t all, before;
	int err;

	log_set_level(level);
	if (atomic_load(&running))
		return 0;
	for (uint64_t i = 0; i < RING_LINES; i++)
		atomic_store_explicit(&ring[i].ticket, i, memory_order_relaxed);
	atomic_store(&ring_head, 0);
	ring_tail = 0;
	atomic_store(&dropped, 0);
	atomic_store(&stopping, false);
	if (sem_init(&filled, 0, 0) != 0)
		return -errno;
	sigfillset(&all); /* signals are for the main thread */
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = pthread_create(&writer, NULL, writer_run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err != 0) {
		sem_destroy(&filled);
		return -err;
	}
	pthread_setname_np(writer, "log");
	atomic_store(&running, true);
	return 0;
}

void log_stop(void)
{
	if (!atomic_exchange(&running, false))
		return;
	atomic_store(&stopping, true);
	sem_post(&filled);
	pthread_join(writer, NULL);
	drain(); /* a line that another thread was still putting in */
	sem_destroy(&filled);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, level, memory_order_relaxed);
}

int log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&dropped, memory_order_relaxed);
}

void log_write(enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	size_t length;
	va_list args;
	int saved = errno;

	if (!log_enabled(level))
		return;
	va_start(args, format);
	length = compose(line, level, format, args);
	va_end(args);
	if (!atomic_load_explicit(&running, memory_order_acquire))
		write_out(line, length);
	else if (push(line, length))
		sem_post(&filled);
	else
		atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
	errno = saved;
}
