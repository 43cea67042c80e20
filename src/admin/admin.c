/*
 * The admin port as a whole: its sockets, its server, its memory of rates. Control loop.
 */
#include "admin/admin.h"

#include <sys/stat.h>
#include <unistd.h>

#include "admin_internal.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

/* Whose file it is, so that the socket of a daemon that came after us stays. */
static uint64_t socket_inode(const char *path)
{
	struct stat status;

	return lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

static int listen_all(struct admin *admin, const struct admin_settings *settings, int *sockets,
                      unsigned *count)
{
	int err;

	if (settings->http != NULL) {
		err = socket_listen_tcp(settings->http, &sockets[*count]);
		if (err != 0) {
			log_error("admin: cannot listen on %s, %s", settings->http,
			          error_text(err));
			return err;
		}
		(*count)++;
	}
	if (settings->socket != NULL) {
		err = socket_listen_unix(settings->socket, &sockets[*count]);
		if (err != 0) {
			log_error("admin: cannot listen on %s, %s", settings->socket,
			          error_text(err));
			return err;
		}
		(*count)++;
		admin->socket_inode = socket_inode(settings->socket);
	}
	return 0;
}

static int copy_texts(struct admin *admin, const struct admin_settings *settings)
{
	admin->node = memory_strdup(settings->node);
	admin->site = memory_strdup(settings->site);
	admin->config_hash = memory_strdup(settings->config_hash);
	if (settings->socket != NULL)
		admin->socket = memory_strdup(settings->socket);
	if (admin->node == NULL || admin->site == NULL || admin->config_hash == NULL ||
	    (settings->socket != NULL && admin->socket == NULL))
		return -ENOMEM;
	return 0;
}

static int start(struct admin *admin, const struct admin_settings *settings)
{
	static const struct http_events events = {routes_on_request};
	int sockets[2];
	unsigned count = 0;
	int err;

	err = copy_texts(admin, settings);
	if (err == 0)
		err = rates_create(admin->loop, admin->registry, admin->source.view, admin->arg,
		                   &admin->rates);
	if (err != 0)
		return err;
	err = listen_all(admin, settings, sockets, &count);
	if (err == 0)
		return http_server_create(admin->loop, sockets, count, &events, admin,
		                          &admin->server);
	while (count > 0)
		close(sockets[--count]);
	return err;
}

int admin_create(struct loop *loop, const struct admin_settings *settings,
                 const struct admin_source *source, void *arg, struct admin **out)
{
	struct admin *admin = memory_zalloc(sizeof(*admin));
	int err;

	if (admin == NULL)
		return -ENOMEM;
	admin->loop = loop;
	admin->source = *source;
	admin->arg = arg;
	admin->registry = settings->registry;
	list_init(&admin->followers);
	admin->started_us = clock_now_us();
	err = start(admin, settings);
	if (err != 0)
		admin_destroy(&admin);
	else
		*out = admin;
	return err;
}

void admin_destroy(struct admin **admin)
{
	struct admin *a = *admin;

	if (a == NULL)
		return;
	*admin = NULL;
	http_server_destroy(&a->server); /* queries that still gather are told that nobody waits */
	rates_destroy(&a->rates);
	if (a->socket_inode != 0 && socket_inode(a->socket) == a->socket_inode)
		unlink(a->socket);
	memory_free(a->node);
	memory_free(a->site);
	memory_free(a->config_hash);
	memory_free(a->socket);
	memory_free(a);
}
