/*
 * The mailbox: letters from any thread, delivered by the loop in its own time.
 * The lock is held for a few instructions: to hang a letter at the end, or to take the whole queue.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/memory.h"
#include "loop_internal.h"

/* A worker that is this far behind will not answer in time whatever it is still handed. */
#define LETTERS_MAX 65536
/* One turn's share, so that sockets and timers are not kept waiting by a full mailbox (5 us each). */
#define LETTERS_PER_TURN 256

static void drop_letters(struct letter *letter)
{
	while (letter != NULL) {
		struct letter *next = letter->next;

		if (letter->drop != NULL)
			letter->drop(letter);
		else
			memory_free(letter);
		letter = next;
	}
}

static struct letter *take_queue(struct mailbox *mailbox)
{
	struct letter *first;

	pthread_mutex_lock(&mailbox->lock);
	first = mailbox->first;
	mailbox->first = NULL;
	mailbox->end = &mailbox->first;
	pthread_mutex_unlock(&mailbox->lock);
	return first;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct mailbox *mailbox = arg;
	uint64_t wakes;
	unsigned delivered = 0;

	/* Emptied before the queue is taken: a letter posted in between wakes us once for nothing. */
	if (read(fd, &wakes, sizeof(wakes)) < 0)
		ASSERT(errno == EAGAIN || errno == EINTR);
	if (mailbox->taken == NULL)
		mailbox->taken = take_queue(mailbox);
	while (mailbox->taken != NULL && delivered < LETTERS_PER_TURN) {
		struct letter *letter = mailbox->taken;

		mailbox->taken = letter->next;
		letter->next = NULL;
		delivered++;
		letter->deliver(letter, letter->arg);
	}
	atomic_fetch_sub_explicit(&mailbox->waiting, delivered, memory_order_relaxed);
	if (atomic_load_explicit(&mailbox->waiting, memory_order_relaxed) > 0)
		mailbox_wake(mailbox); /* in the next turn */
}

int mailbox_open(struct mailbox *mailbox, struct event_base *base)
{
	int err;

	*mailbox = (struct mailbox){.end = &mailbox->first};
	mailbox->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (mailbox->wake_fd < 0)
		return -errno;
	mailbox->wake = event_new(base, mailbox->wake_fd, EV_READ | EV_PERSIST, on_wake, mailbox);
	err = mailbox->wake != NULL ? -pthread_mutex_init(&mailbox->lock, NULL) : -ENOMEM;
	if (err == 0 && event_add(mailbox->wake, NULL) != 0) {
		pthread_mutex_destroy(&mailbox->lock);
		err = -ENOMEM;
	}
	if (err != 0) {
		if (mailbox->wake != NULL)
			event_free(mailbox->wake);
		close(mailbox->wake_fd);
		mailbox->wake_fd = -1; /* not open */
	}
	return err;
}

bool mailbox_drop_waiting(struct mailbox *mailbox)
{
	struct letter *taken = mailbox->taken, *queued = take_queue(mailbox);

	mailbox->taken = NULL;
	atomic_store_explicit(&mailbox->waiting, 0, memory_order_relaxed);
	drop_letters(taken);
	drop_letters(queued);
	return taken != NULL || queued != NULL;
}

void mailbox_close(struct mailbox *mailbox)
{
	mailbox_drop_waiting(mailbox);
	event_free(mailbox->wake);
	close(mailbox->wake_fd);
	pthread_mutex_destroy(&mailbox->lock);
}

void mailbox_wake(struct mailbox *mailbox)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, so the loop is being woken already. */
	while (write(mailbox->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

int mailbox_post(struct mailbox *mailbox, struct letter *letter, bool always)
{
	bool was_empty;

	letter->next = NULL;
	pthread_mutex_lock(&mailbox->lock);
	if (!always &&
	    atomic_load_explicit(&mailbox->waiting, memory_order_relaxed) >= LETTERS_MAX) {
		pthread_mutex_unlock(&mailbox->lock);
		atomic_fetch_add_explicit(&mailbox->refused, 1, memory_order_relaxed);
		return -ENOBUFS;
	}
	was_empty = mailbox->first == NULL;
	*mailbox->end = letter;
	mailbox->end = &letter->next;
	atomic_fetch_add_explicit(&mailbox->waiting, 1, memory_order_relaxed);
	pthread_mutex_unlock(&mailbox->lock);
	if (was_empty)
		mailbox_wake(mailbox);
	return 0;
}
