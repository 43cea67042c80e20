/*
 * Directories are watched by inotify, not files: certbot and Kubernetes never write into a file, they move a link.
 * What the kernel tells is only a hint to look; what stat() says of each file decides. Control loop only.
 */
#include "control/tls_watch.h"

#include <event2/event.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"

/* A directory in which something happens all the time does not put the look off for ever. */
#define PUT_OFF_MAX_MS 5000
/* In one reading; more wait for the next turn. */
#define EVENT_BYTES 16384
/* IN_ATTRIB: a key whose mode was corrected. */
#define EVENTS                                                                                     \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB |        \
	 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)

struct tls_watch {
	struct loop *loop;
	const char *const *paths; /* lent */
	unsigned count;
	void (*on_changed)(void *arg);
	void *arg;
	uint64_t settled; /* hash of what stat() said of all when they were read last */
	int fd;           /* inotify; -1: none */
	struct event *readable;
	struct timer quiet, look;
	uint64_t hinted_ms; /* of the first hint that no look has followed, 0: none */
	bool said;          /* that the kernel does not watch for us */
};

/* ---- what stat() says ---- */

static uint64_t look_at(const struct tls_watch *watch)
{
	uint64_t hash = 0;

	for (unsigned i = 0; i < watch->count; i++) {
		struct stat at;
		uint64_t words[8] = {1};

		if (stat(watch->paths[i], &at) == 0) {
			words[0] = 0;
			words[1] = at.st_dev;
			words[2] = at.st_ino;
			words[3] = (uint64_t)at.st_size;
			words[4] = (uint64_t)at.st_mtim.tv_sec;
			words[5] = (uint64_t)at.st_mtim.tv_nsec;
			words[6] = (uint64_t)at.st_ctim.tv_sec; /* a mode put right, too */
			words[7] = (uint64_t)at.st_ctim.tv_nsec;
		}
		hash = hash_more(hash, words, sizeof(words));
	}
	return hash;
}

/* ---- inotify ---- */

static void add_directory_of(struct tls_watch *watch, const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');
	/* The root keeps its slash. */
	const int length = slash == NULL ? 0 : (int)(slash == path ? 1 : slash - path);

	if (length >= (int)sizeof(directory))
		return;
	snprintf(directory, sizeof(directory), "%.*s", slash == NULL ? 1 : length,
	         slash == NULL ? "." : path);
	/* Again and again is one watch to the kernel. */
	if (inotify_add_watch(watch->fd, directory, EVENTS) >= 0 || watch->said)
		return;
	watch->said = true;
	log_warning("tls: changes in %s are seen late, it cannot be watched, %s", directory,
	            error_text(-errno));
}

/* Where the path stands, and where its links lead now. */
static void add_directories(struct tls_watch *watch)
{
	char real[PATH_MAX];

	for (unsigned i = 0; i < watch->count && watch->fd >= 0; i++) {
		add_directory_of(watch, watch->paths[i]);
		if (realpath(watch->paths[i], real) != NULL)
			add_directory_of(watch, real);
	}
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct tls_watch *watch = arg;
	char events[EVENT_BYTES] __attribute__((aligned(8)));
	uint64_t now = loop_now_ms(watch->loop);

	if (read(watch->fd, events, sizeof(events)) <= 0)
		return;
	if (watch->hinted_ms == 0)
		watch->hinted_ms = now;
	if (now < watch->hinted_ms + PUT_OFF_MAX_MS || !timer_is_running(&watch->quiet))
		timer_start(loop_timers(watch->loop), &watch->quiet, TLS_WATCH_QUIET_MS);
}

/* ---- looking ---- */

static void look(struct tls_watch *watch)
{
	watch->hinted_ms = 0;
	if (look_at(watch) == watch->settled)
		return;
	tls_watch_settle(watch);
	watch->on_changed(watch->arg);
}

static void on_quiet(struct timer *timer, void *arg)
{
	look(arg);
}

/* A second look decides, as after a hint: what is being written now is not read half. */
static void on_look(struct timer *timer, void *arg)
{
	struct tls_watch *watch = arg;

	if (look_at(watch) != watch->settled && !timer_is_running(&watch->quiet))
		timer_start(loop_timers(watch->loop), &watch->quiet, TLS_WATCH_QUIET_MS);
	timer_start(loop_timers(watch->loop), timer, TLS_WATCH_LOOK_MS);
}

void tls_watch_settle(struct tls_watch *watch)
{
	add_directories(watch);
	watch->settled = look_at(watch);
}

/* ---- life ---- */

static int listen_to_kernel(struct tls_watch *watch)
{
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0) {
		log_warning("tls: changed files are seen late, the kernel does not watch, %s",
		            error_text(-errno));
		return 0;
	}
	watch->readable = event_new(loop_base(watch->loop), watch->fd, EV_READ | EV_PERSIST,
	                            on_readable, watch);
	return watch->readable != NULL && event_add(watch->readable, NULL) == 0 ? 0 : -ENOMEM;
}

int tls_watch_create(struct loop *loop, const char *const *paths, unsigned count,
                     void (*on_changed)(void *arg), void *arg, struct tls_watch **out)
{
	struct tls_watch *watch = memory_zalloc(sizeof(*watch));
	int err;

	if (watch == NULL)
		return -ENOMEM;
	watch->loop = loop;
	watch->paths = paths;
	watch->count = count;
	watch->on_changed = on_changed;
	watch->arg = arg;
	timer_init(&watch->quiet, on_quiet, watch);
	timer_init(&watch->look, on_look, watch);
	err = listen_to_kernel(watch);
	if (err != 0) {
		tls_watch_destroy(&watch);
		return err;
	}
	tls_watch_settle(watch);
	timer_start(loop_timers(loop), &watch->look, TLS_WATCH_LOOK_MS);
	*out = watch;
	return 0;
}

void tls_watch_destroy(struct tls_watch **watch)
{
	struct tls_watch *dead = *watch;

	*watch = NULL;
	if (dead == NULL)
		return;
	timer_stop(loop_timers(dead->loop), &dead->quiet);
	timer_stop(loop_timers(dead->loop), &dead->look);
	if (dead->readable != NULL)
		event_free(dead->readable);
	if (dead->fd >= 0)
		close(dead->fd);
	memory_free(dead);
}
