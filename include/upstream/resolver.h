/*
 * Asks DNS servers, never waiting: one question, one answer later. c-ares on the control loop; nobody else
 * talks to it. Truncated answers are asked for again over TCP. Names are taken as they are: no search list,
 * no hosts file.
 */
#ifndef BONO_UPSTREAM_RESOLVER_H
#define BONO_UPSTREAM_RESOLVER_H

#include "loop/loop.h"
#include "upstream/dns_answer.h"

struct resolver;

struct resolver_settings {
	const struct address *servers; /* none: those of the system, /etc/resolv.conf, read once */
	unsigned server_count;
	uint64_t timeout_ms; /* for one server; each is asked twice */
};

/* -ENOMEM. */
int resolver_create(struct loop *loop, const struct resolver_settings *settings,
                    struct resolver **out);
/* Those who still wait are not called. */
void resolver_destroy(struct resolver **resolver);

/* The answer is lent during the call; its records may be taken out of it (leave NULL and 0). */
typedef void resolver_done_fn(void *arg, struct dns_answer *answer);
/* done is called once, later, never from inside. -ENOMEM: it will not be called. */
int resolver_ask(struct resolver *resolver, const char *name, enum dns_type type,
                 resolver_done_fn *done, void *arg);

#endif
