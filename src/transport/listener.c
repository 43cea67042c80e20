/*
 * Binding: sockets of the listeners, with the options every socket of ours has. Sockets of all workers
 * share the port, bound in worker order. Before the loop runs.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/ip.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "transport_internal.h"

void socket_set(int fd, int level, int name, int value)
{
	/* Best effort: what a kernel lacks costs comfort, not correctness. */
	if (setsockopt(fd, level, name, &value, sizeof(value)) != 0)
		log_debug("transport: socket option %d/%d refused, %s", level, name,
		          error_text(-errno));
}

struct address address_for_family(const struct address *address, sa_family_t family)
{
	struct address mapped;

	if (family != AF_INET6 || address->family != AF_INET)
		return *address;
	memset(&mapped, 0, sizeof(mapped));
	mapped.v6.sin6_family = AF_INET6;
	mapped.v6.sin6_port = address->v4.sin_port;
	mapped.v6.sin6_addr.s6_addr[10] = mapped.v6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&mapped.v6.sin6_addr.s6_addr[12], &address->v4.sin_addr, 4);
	return mapped;
}

static int bind_one(struct listener *listener, int type, const struct address *address, bool shared,
                    int *out)
{
	const int on = 1, v6_only = !listener->dual;
	int fd, err = 0;

	fd = socket(address->family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (address->family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) != 0)
		err = -errno;
	if (err == 0 && type == SOCK_STREAM &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		err = -errno;
	if (err == 0 && shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
		err = -errno;
	if (err == 0 && bind(fd, &address->any, address_length(address)) != 0)
		err = -errno;
	if (err != 0) {
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

/* SO_REUSEPORT lets a second process of the same user join in silence and take half of the traffic. So
 * the first worker binds alone once, which fails while anybody holds the port. */
static int port_is_free(struct listener *listener, int type, const struct address *address)
{
	int err, fd = -1;

	if (listener->transport->worker != 0 || address_port(address) == 0)
		return 0;
	err = bind_one(listener, type, address, false, &fd);
	if (err == 0)
		close(fd);
	return err;
}

int listener_bind(struct listener *listener, int type, const struct address *bind_to, bool shared,
                  int *fd, struct address *bound)
{
	socklen_t length = sizeof(*bound);
	int err;

	if (shared) {
		err = port_is_free(listener, type, bind_to);
		if (err != 0)
			return err;
	}
	err = bind_one(listener, type, bind_to, shared, fd);
	if (err != 0)
		return err;
	memset(bound, 0, sizeof(*bound));
	if (getsockname(*fd, &bound->any, &length) != 0) {
		err = -errno;
		close(*fd);
		*fd = -1;
	}
	return err;
}

bool listener_allows(struct listener *listener, const struct address *peer)
{
	const struct listener_settings *settings = listener->settings;

	if (settings->side == SIDE_ACCESS)
		return true;
	for (unsigned i = 0; i < settings->allow_count; i++) {
		if (address_range_contains(&settings->allow[i], peer))
			return true;
	}
	if (transport_is_tls(settings->transport) && settings->allow_count == 0 &&
	    settings->allow_name_count > 0)
		return true; /* its certificate decides */
	metrics_add(listener->transport->metrics, METRIC_REJECTED,
	            settings->transport == TRANSPORT_UDP ? REJECTED_CLASS_PACKET
	                                                 : REJECTED_CLASS_CONNECTION,
	            REJECTED_NOT_ALLOWED_PEER, 0, 1);
	return false;
}
