/*
 * c-ares on our loop: its sockets become events, its time a timer of ours, its answers values that are
 * handed on at a time of our own choosing. Control thread only.
 */
#include "upstream/resolver.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

/* A lost packet is no reason to call a server dead. */
#define TRIES 2
/* What passes any path without fragments (DNS flag day 2020). */
#define UDP_BYTES 1232

struct query {
	struct list_link link; /* in resolver->asked, then resolver->answered */
	struct resolver *resolver;
	char name[DNS_NAME_MAX];
	enum dns_type type;
	resolver_done_fn *done;
	void *arg;
	struct dns_answer answer;
};

struct socket_watch { /* a socket of c-ares */
	struct list_link link;
	ares_socket_t fd;
	struct event *event; /* NULL: it wants nothing now */
	short wants;
};

struct resolver {
	struct loop *loop;
	ares_channel channel; /* NULL while being made and while being destroyed */
	bool has_library;
	struct list asked, answered; /* of struct query, owned */
	struct list sockets;         /* of struct socket_watch, owned */
	struct timer wake;           /* c-ares wants to look at its clock */
	struct timer deliver;
	bool closing;
};

/* ---- time ---- */

/* c-ares tells how long it may be left alone; nothing to tell while nothing is asked. */
static void resolver_restart_wake(struct resolver *resolver)
{
	struct timeval wait, *given;

	given = ares_timeout(resolver->channel, NULL, &wait);
	if (given == NULL)
		timer_stop(loop_timers(resolver->loop), &resolver->wake);
	else
		timer_start(loop_timers(resolver->loop), &resolver->wake,
		            (uint64_t)given->tv_sec * 1000 + (uint64_t)given->tv_usec / 1000 + 1);
}

static void on_wake(struct timer *timer, void *arg)
{
	struct resolver *resolver = arg;

	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	resolver_restart_wake(resolver);
}

/* ---- sockets ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct resolver *resolver = arg;

	ares_process_fd(resolver->channel, (what & EV_READ) != 0 ? fd : ARES_SOCKET_BAD,
	                (what & EV_WRITE) != 0 ? fd : ARES_SOCKET_BAD);
	resolver_restart_wake(resolver);
}

static struct socket_watch *socket_find(struct resolver *resolver, ares_socket_t fd)
{
	LIST_FOR_EACH(link, &resolver->sockets) {
		struct socket_watch *watch = CONTAINER_OF(link, struct socket_watch, link);

		if (watch->fd == fd)
			return watch;
	}
	return NULL;
}

static void socket_forget(struct resolver *resolver, struct socket_watch *watch)
{
	list_remove(&resolver->sockets, &watch->link);
	if (watch->event != NULL)
		event_free(watch->event);
	memory_free(watch);
}

/* Without memory for the event the query runs into its timeout: no worse than a lost packet. */
static void socket_set(struct resolver *resolver, struct socket_watch *watch, short wants)
{
	if (watch->event != NULL)
		event_free(watch->event);
	watch->wants = wants;
	watch->event = event_new(loop_base(resolver->loop), watch->fd, (short)(wants | EV_PERSIST),
	                         on_socket, resolver);
	if (watch->event != NULL && event_add(watch->event, NULL) != 0) {
		event_free(watch->event);
		watch->event = NULL;
	}
}

/* c-ares: what this socket waits for now; for nothing before it is closed. */
static void on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct resolver *resolver = arg;
	struct socket_watch *watch = socket_find(resolver, fd);
	short wants = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));

	if (wants == 0) {
		if (watch != NULL)
			socket_forget(resolver, watch);
		return;
	}
	if (watch == NULL) {
		watch = memory_zalloc(sizeof(*watch));
		if (watch == NULL)
			return;
		watch->fd = fd;
		list_append(&resolver->sockets, &watch->link);
	}
	if (watch->event == NULL || watch->wants != wants)
		socket_set(resolver, watch, wants);
}

/* ---- answers ---- */

/* Callbacks of c-ares come from inside its own calls, ours never do. */
static void on_answer(void *arg, int status, int timeouts, unsigned char *packet, int length)
{
	struct query *query = arg;
	struct resolver *resolver = query->resolver;

	list_remove(&resolver->asked, &query->link);
	if (resolver->closing) {
		memory_free(query);
		return;
	}
	if (packet != NULL && length > 0)
		(void)dns_answer_read(packet, (size_t)length, query->name, query->type,
		                      &query->answer); /* without memory: DNS_FAILED, as it says */
	else if (status == ARES_ENOTFOUND)
		dns_answer_fail(&query->answer, DNS_EMPTY, "no such name");
	else if (status == ARES_ENODATA)
		dns_answer_fail(&query->answer, DNS_EMPTY, "no such record");
	else if (status == ARES_ETIMEOUT)
		dns_answer_fail(&query->answer, DNS_FAILED, "timeout");
	else if (status == ARES_ECONNREFUSED)
		dns_answer_fail(&query->answer, DNS_FAILED, "no server reached");
	else
		dns_answer_fail(&query->answer, DNS_FAILED, ares_strerror(status));
	list_append(&resolver->answered, &query->link);
	timer_start(loop_timers(resolver->loop), &resolver->deliver, 0);
}

/* Only those that are there now: who is called may ask again. */
static void on_deliver(struct timer *timer, void *arg)
{
	struct resolver *resolver = arg;
	size_t count = resolver->answered.length;
	struct list_link *link;

	while (count-- > 0 && (link = list_pop(&resolver->answered)) != NULL) {
		struct query *query = CONTAINER_OF(link, struct query, link);

		query->done(query->arg, &query->answer);
		dns_answer_free(&query->answer);
		memory_free(query);
	}
}

int resolver_ask(struct resolver *resolver, const char *name, enum dns_type type,
                 resolver_done_fn *done, void *arg)
{
	struct query *query;

	if (strlen(name) >= DNS_NAME_MAX)
		return -EINVAL;
	query = memory_zalloc(sizeof(*query));
	if (query == NULL)
		return -ENOMEM;
	query->resolver = resolver;
	memcpy(query->name, name, strlen(name) + 1);
	query->type = type;
	query->done = done;
	query->arg = arg;
	list_append(&resolver->asked, &query->link);
	ares_query(resolver->channel, query->name, ns_c_in, (int)type, on_answer, query);
	resolver_restart_wake(resolver);
	return 0;
}

/* ---- life ---- */

static int status_to_error(int status)
{
	if (status == ARES_SUCCESS)
		return 0;
	return status == ARES_ENOMEM ? -ENOMEM : -EIO;
}

static int resolver_set_servers(struct resolver *resolver, const struct resolver_settings *settings)
{
	struct ares_addr_port_node *nodes;
	unsigned i;
	int err;

	if (settings->server_count == 0)
		return 0;
	nodes = memory_zalloc(settings->server_count * sizeof(*nodes));
	if (nodes == NULL)
		return -ENOMEM;
	for (i = 0; i < settings->server_count; i++) {
		const struct address *server = &settings->servers[i];

		nodes[i].next = i + 1 < settings->server_count ? &nodes[i + 1] : NULL;
		nodes[i].family = server->family;
		nodes[i].udp_port = nodes[i].tcp_port = address_port(server);
		if (server->family == AF_INET)
			nodes[i].addr.addr4 = server->v4.sin_addr;
		else
			memcpy(&nodes[i].addr.addr6, &server->v6.sin6_addr, 16);
	}
	err = status_to_error(ares_set_servers_ports(resolver->channel, nodes));
	memory_free(nodes);
	return err;
}

static int resolver_open(struct resolver *resolver, const struct resolver_settings *settings)
{
	static char only_dns[] = "b";
	struct ares_options options = {
		/* The servers' word on names as we spell them; sizes as below. */
		.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | ARES_FLAG_EDNS,
		.timeout = (int)settings->timeout_ms,
		.tries = TRIES,
		.ednspsz = UDP_BYTES,
		.lookups = only_dns,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = resolver,
	};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
	           ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_NOROTATE;
	int err;

	err = status_to_error(ares_library_init(ARES_LIB_INIT_ALL));
	if (err != 0)
		return err;
	resolver->has_library = true;
	err = status_to_error(ares_init_options(&resolver->channel, &options, mask));
	if (err != 0) {
		resolver->channel = NULL;
		return err;
	}
	return resolver_set_servers(resolver, settings);
}

int resolver_create(struct loop *loop, const struct resolver_settings *settings,
                    struct resolver **out)
{
	struct resolver *resolver = memory_zalloc(sizeof(*resolver));
	int err;

	if (resolver == NULL)
		return -ENOMEM;
	resolver->loop = loop;
	list_init(&resolver->asked);
	list_init(&resolver->answered);
	list_init(&resolver->sockets);
	timer_init(&resolver->wake, on_wake, resolver);
	timer_init(&resolver->deliver, on_deliver, resolver);
	err = resolver_open(resolver, settings);
	if (err != 0) {
		resolver_destroy(&resolver);
		return err;
	}
	*out = resolver;
	return 0;
}

void resolver_destroy(struct resolver **resolver)
{
	struct resolver *dead = *resolver;
	struct list_link *link;

	*resolver = NULL;
	if (dead == NULL)
		return;
	dead->closing = true;
	if (dead->channel != NULL)
		ares_destroy(dead->channel); /* answers everything asked, forgets its sockets */
	if (dead->has_library)
		ares_library_cleanup();
	while ((link = list_first(&dead->sockets)) != NULL)
		socket_forget(dead, CONTAINER_OF(link, struct socket_watch, link));
	while ((link = list_pop(&dead->answered)) != NULL) {
		struct query *query = CONTAINER_OF(link, struct query, link);

		dns_answer_free(&query->answer);
		memory_free(query);
	}
	timer_stop(loop_timers(dead->loop), &dead->wake);
	timer_stop(loop_timers(dead->loop), &dead->deliver);
	memory_free(dead);
}
