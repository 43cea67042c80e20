/*
 * Accepting streams: a bounded number in a turn, none beyond the limit, none of strangers on the core side.
 * Worker thread only.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "transport_internal.h"

/* A flood of connections must not keep those that are there waiting. */
#define ACCEPTS_PER_TURN 64
/* Without descriptors: somebody has to close first. */
#define ACCEPT_PAUSE_MS 1000

static void reject(struct listener *listener, int fd, enum rejected_reason reason)
{
	close(fd);
	if (reason != REJECTED_NOT_ALLOWED_PEER) { /* that one is counted already */
		struct metrics *metrics = listener->transport->metrics;

		metrics_add(metrics, METRIC_REJECTED, REJECTED_CLASS_CONNECTION, reason, 0, 1);
		metrics_add(metrics, METRIC_CONNECTION_CLOSED, listener->settings->side,
		            CLOSE_LIMIT, 0, 1);
	}
}

static void welcome(struct listener *listener, int fd, struct address *remote)
{
	struct transport *transport = listener->transport;
	struct connection *connection;
	struct address local;
	socklen_t length = sizeof(local);
	bool proxy_due;

	address_normalise(remote);
	proxy_due = proxy_header_is_due(listener, remote); /* then it tells whom to allow */
	if (!proxy_due && !listener_allows(listener, remote)) {
		reject(listener, fd, REJECTED_NOT_ALLOWED_PEER);
		return;
	}
	if (transport->accepted[listener->settings->side] >= transport->settings.max_connections) {
		reject(listener, fd, REJECTED_CONNECTIONS_LIMIT);
		return;
	}
	if (listener->settings->side == SIDE_ACCESS && !proxy_due &&
	    !crowd_has_room(transport, remote)) {
		reject(listener, fd, REJECTED_ADDRESS_LIMIT);
		return;
	}
	if (connection_accept(listener, fd, remote, proxy_due, &connection) != 0)
		return; /* out of memory: the client tries again */
	if (connection->state == CONNECTION_ENDED)
		return;
	if (address_is_wildcard(&listener->settings->bind)) {
		memset(&local, 0, sizeof(local));
		if (getsockname(fd, &local.any, &length) == 0) {
			address_normalise(&local);
			connection->hop.local = local_number(transport, &local);
		}
	}
}

static void rest(struct listener *listener)
{
	log_warning("listener %s: not accepting for %u ms, out of descriptors",
	            listener->settings->name, ACCEPT_PAUSE_MS);
	event_del(&listener->acceptable);
	timer_start(loop_timers(listener->transport->loop), &listener->accept_again,
	            ACCEPT_PAUSE_MS);
}

/* Out of descriptors: those who wait would hang until they time out. Turn one away with the descriptor
 * kept for this, then rest. */
static void on_descriptors_gone(struct listener *listener)
{
	struct transport *transport = listener->transport;
	int fd;

	if (transport->reserve_fd >= 0) {
		close(transport->reserve_fd);
		fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			reject(listener, fd, REJECTED_DESCRIPTORS);
		transport->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	rest(listener);
}

/* The kernel gives the lowest free number, so it tells how many are in use at least. Without a reserve a
 * flood of clients would keep us from reaching the Sprouts, and the operator from reaching us. */
static bool eats_reserve(const struct listener *listener, int fd)
{
	const unsigned limit = listener->transport->settings.descriptor_limit;

	return limit != 0 && (unsigned)fd >= limit && listener->settings->side == SIDE_ACCESS;
}

static void on_acceptable(evutil_socket_t listening, short what, void *arg)
{
	struct listener *listener = arg;

	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct address remote;
		socklen_t length = sizeof(remote);
		int fd;

		memset(&remote, 0, sizeof(remote));
		fd = accept4(listening, &remote.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0 && eats_reserve(listener, fd)) {
			reject(listener, fd, REJECTED_DESCRIPTORS);
			rest(listener);
			return;
		} else if (fd >= 0) {
			welcome(listener, fd, &remote);
		} else if (errno == EAGAIN) {
			return;
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		           errno == ENOMEM) {
			on_descriptors_gone(listener);
			return;
		} /* else it is that connection which failed, accept(2): the next one */
	}
}

static void on_accept_again(struct timer *timer, void *arg)
{
	struct listener *listener = arg;

	if (event_add(&listener->acceptable, NULL) != 0)
		timer_start(loop_timers(listener->transport->loop), timer, ACCEPT_PAUSE_MS);
}

int listener_start_accepting(struct listener *listener)
{
	struct event_base *base = loop_base(listener->transport->loop);

	timer_init(&listener->accept_again, on_accept_again, listener);
	if (event_assign(&listener->acceptable, base, listener->fd, EV_READ | EV_PERSIST,
	                 on_acceptable, listener) != 0 ||
	    event_add(&listener->acceptable, NULL) != 0)
		return -ENOMEM;
	return 0;
}

void listener_stop_accepting(struct listener *listener)
{
	if (listener->fd < 0)
		return;
	if (event_initialized(&listener->acceptable)) {
		event_del(&listener->acceptable);
		timer_stop(loop_timers(listener->transport->loop), &listener->accept_again);
	}
	close(listener->fd);
	listener->fd = -1;
}
