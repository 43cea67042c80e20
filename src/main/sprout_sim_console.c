/*
 * The control socket: lines in, one answer line for each.
 *	fault TARGET none|refuse|blackhole|hang|slow MS|status CODE [RETRY-AFTER]|loss PERCENT|mute   -> ok
 *	requests TARGET      -> ok REGISTER=12 INVITE=3 ... (what passed the fault since the start)
 *	registrations        -> ok 12 (contacts in the store)
 * TARGET is the HOST:PORT of a --listen, or *. Anything else -> error: why. Main thread.
 */
#include "sprout_sim.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

/* A line of ours is short; a client that sends more without an end is cut off. */
#define CONSOLE_LINE_MAX 512
#define CONSOLE_CLIENTS_MAX 16

struct client {
	struct list_link link;
	struct console *console;
	struct event *readable;
	int fd;
	size_t length;
	char line[CONSOLE_LINE_MAX];
};

struct console {
	struct sim *sim;
	int fd;
	struct event *readable;
	struct list clients;
	struct sockaddr_un address;
};

/* ---- words ---- */

static bool targets_sprout(struct slice target, const struct sprout *sprout)
{
	return slice_equal(target, SLICE_LITERAL("*")) ||
	       slice_equal(target, slice_from_string(sprout->name));
}

static void do_fault(struct sim *sim, struct slice rest, struct buffer *answer)
{
	struct slice target = slice_split(rest, ' ', &rest);
	struct fault fault;
	const char *wrong;
	unsigned found = 0;
	int err;

	if (!fault_parse(rest, &fault, &wrong)) {
		buffer_printf(answer, "error: %s\n", wrong);
		return;
	}
	for (unsigned i = 0; i < sim->sprout_count; i++) {
		if (!targets_sprout(target, sim->sprouts[i]))
			continue;
		found++;
		err = sprout_set_fault(sim->sprouts[i], &fault);
		if (err != 0) {
			buffer_printf(answer, "error: %s: %s\n", sim->sprouts[i]->name,
			              error_text(err));
			return;
		}
	}
	buffer_append_string(
		answer, found > 0
				? "ok\n"
				: "error: no such target, expected a HOST:PORT of --listen or *\n");
}

static void do_requests(struct sim *sim, struct slice target, struct buffer *answer)
{
	uint64_t received[METHODS] = {0};
	unsigned found = 0;

	for (unsigned i = 0; i < sim->sprout_count; i++) {
		if (!targets_sprout(target, sim->sprouts[i]))
			continue;
		found++;
		for (unsigned m = 0; m < METHODS; m++)
			received[m] += atomic_load_explicit(&sim->sprouts[i]->received[m],
			                                    memory_order_relaxed);
	}
	if (found == 0) {
		buffer_append_string(
			answer, "error: no such target, expected a HOST:PORT of --listen or *\n");
		return;
	}
	buffer_append_string(answer, "ok");
	for (unsigned m = 0; m < METHODS; m++)
		buffer_printf(answer, " %s=%llu", method_name((enum sip_method)m),
		              (unsigned long long)received[m]);
	buffer_append_string(answer, "\n");
}

static void do_registrations(struct sim *sim, struct buffer *answer)
{
	size_t contacts;

	pthread_mutex_lock(&sim->lock);
	peers_sync(sim->peers);
	contacts = store_contacts(sim->store, clock_wall_ms());
	pthread_mutex_unlock(&sim->lock);
	buffer_printf(answer, "ok %zu\n", contacts);
}

static void do_line(struct sim *sim, struct slice line, struct buffer *answer)
{
	struct slice rest;
	struct slice verb = slice_split(slice_trim(line), ' ', &rest);

	if (slice_equal(verb, SLICE_LITERAL("fault"))) {
		do_fault(sim, rest, answer);
	} else if (slice_equal(verb, SLICE_LITERAL("requests"))) {
		do_requests(sim, rest, answer);
	} else if (slice_equal(verb, SLICE_LITERAL("registrations"))) {
		do_registrations(sim, answer);
	} else {
		buffer_append_string(answer, "error: expected fault, requests or registrations\n");
	}
}

/* ---- sockets ---- */

static void client_free(struct client *client)
{
	list_remove(&client->console->clients, &client->link);
	if (client->readable != NULL)
		event_free(client->readable);
	close(client->fd);
	memory_free(client);
}

/* Answers are short and the socket's buffer is not: a client that does not read loses them. */
static bool client_answer(struct client *client, struct slice line)
{
	struct buffer answer;
	ssize_t n;

	buffer_init(&answer);
	do_line(client->console->sim, line, &answer);
	n = answer.failed
	            ? -1
	            : send(client->fd, answer.data, answer.length, MSG_NOSIGNAL | MSG_DONTWAIT);
	buffer_free(&answer);
	return n > 0;
}

static bool client_lines(struct client *client)
{
	struct slice rest = slice_of(client->line, client->length);
	ptrdiff_t end;

	while ((end = slice_index(rest, '\n')) >= 0) {
		if (!client_answer(client, slice_of(rest.data, (size_t)end)))
			return false;
		rest = slice_skip(rest, (size_t)end + 1);
	}
	memmove(client->line, rest.data, rest.length);
	client->length = rest.length;
	return client->length < sizeof(client->line);
}

static void on_client_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *client = arg;
	ssize_t n = recv(fd, client->line + client->length, sizeof(client->line) - client->length,
	                 MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		client->length += (size_t)n;
	if (n <= 0 || !client_lines(client))
		client_free(client);
}

static void on_connectable(evutil_socket_t fd, short what, void *arg)
{
	struct console *console = arg;
	struct client *client;
	int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (peer < 0)
		return;
	client = console->clients.length < CONSOLE_CLIENTS_MAX ? memory_zalloc(sizeof(*client))
	                                                       : NULL;
	if (client == NULL) {
		close(peer);
		return;
	}
	client->console = console;
	client->fd = peer;
	list_append(&console->clients, &client->link);
	client->readable = event_new(loop_base(console->sim->loop), peer, EV_READ | EV_PERSIST,
	                             on_client_readable, client);
	if (client->readable == NULL || event_add(client->readable, NULL) != 0)
		client_free(client);
}

static int console_bind(struct console *console, const char *path)
{
	int length =
		snprintf(console->address.sun_path, sizeof(console->address.sun_path), "%s", path);

	if (length < 0 || (size_t)length >= sizeof(console->address.sun_path))
		return -ENAMETOOLONG;
	console->address.sun_family = AF_UNIX;
	console->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (console->fd < 0)
		return -errno;
	unlink(path); /* of an earlier life */
	if (bind(console->fd, (struct sockaddr *)&console->address, sizeof(console->address)) !=
	            0 ||
	    chmod(path, 0600) != 0 || listen(console->fd, CONSOLE_CLIENTS_MAX) != 0)
		return -errno;
	return 0;
}

int console_create(struct sim *sim, const char *path, struct console **out)
{
	struct console *console = memory_zalloc(sizeof(*console));
	int err;

	if (console == NULL)
		return -ENOMEM;
	console->sim = sim;
	console->fd = -1;
	list_init(&console->clients);
	err = console_bind(console, path);
	if (err != 0)
		goto out;
	console->readable = event_new(loop_base(sim->loop), console->fd, EV_READ | EV_PERSIST,
	                              on_connectable, console);
	if (console->readable == NULL || event_add(console->readable, NULL) != 0) {
		err = -ENOMEM;
		goto out;
	}
	*out = console;
	console = NULL;
out:
	console_destroy(&console);
	return err;
}

void console_destroy(struct console **console)
{
	struct console *c = *console;

	if (c == NULL)
		return;
	LIST_FOR_EACH_SAFE(link, &c->clients)
		client_free(CONTAINER_OF(link, struct client, link));
	if (c->readable != NULL)
		event_free(c->readable);
	if (c->fd >= 0) {
		close(c->fd);
		unlink(c->address.sun_path);
	}
	memory_free(c);
	*console = NULL;
}
