/*
 * The two sockets of admin: TCP, and Unix for bonoctl. A Unix socket's file outlives a daemon that was
 * killed, so one that nobody listens on is replaced, and one that answers is respected.
 */
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin_internal.h"
#include "base/error.h"

#define BACKLOG 64
/* The operator's group may talk to the daemon. */
#define SOCKET_MODE 0660

/* Bind and listen; closes fd when that fails. */
static int bind_and_listen(int fd, const struct sockaddr *address, socklen_t length, int *out)
{
	int err = 0;

	if (bind(fd, address, length) != 0 || listen(fd, BACKLOG) != 0)
		err = -errno;
	if (err != 0)
		close(fd);
	else
		*out = fd;
	return err;
}

int socket_listen_tcp(const char *text, int *out)
{
	struct address address;
	int fd, yes = 1;

	if (!address_parse(slice_from_string(text), &address))
		return -EINVAL;
	fd = socket(address.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* A restart must not wait for connections of the last life to fade. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
	    (address.family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) != 0)) {
		int err = -errno;

		close(fd);
		return err;
	}
	return bind_and_listen(fd, &address.any, address_length(&address), out);
}

/* 0: the path is free now; -EADDRINUSE: somebody lives there, or it is no socket. */
static int clear_path(const struct sockaddr_un *address)
{
	struct stat status;
	int fd, err = 0;

	if (lstat(address->sun_path, &status) != 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -EADDRINUSE;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Any outcome but refused (connected, a full backlog, no permission) is a sign of life. */
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	    errno != ECONNREFUSED)
		err = -EADDRINUSE;
	else if (unlink(address->sun_path) != 0)
		err = -errno;
	close(fd);
	return err;
}

int socket_listen_unix(const char *path, int *out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	err = clear_path(&address);
	if (err != 0)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Linux makes the file with this mode less the umask, so it is never wider than meant. */
	if (fchmod(fd, SOCKET_MODE) != 0) {
		err = -errno;
		close(fd);
		return err;
	}
	err = bind_and_listen(fd, (const struct sockaddr *)&address, sizeof(address), out);
	if (err == 0 && chmod(path, SOCKET_MODE) != 0) {
		err = -errno;
		unlink(path);
		close(*out);
	}
	return err;
}
