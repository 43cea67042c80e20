/*
 * Delivery of what waits in a spool: each record is posted to a Ralf, POST /call-id/CALL-ID with the JSON as body,
 * several at a time over connections that stay. The first endpoint that is well is asked: the local site's first;
 * one that fails rests a while, and the record goes to the next. A record that Ralf refuses (4xx) is given up and
 * counted, and so is one over which it fails again and again (500, no answer) while it takes others: neither holds up
 * the others. While nothing is taken nothing is given up. One thread: that of the loop.
 */
#ifndef BONO_CHARGING_RALF_H
#define BONO_CHARGING_RALF_H

#include "base/address.h"
#include "charging/spool.h"
#include "loop/loop.h"
#include "metrics/metrics.h"

struct ralf;

struct ralf_endpoint { /* lent */
	const char *site;
	const char *host; /* a name, or an address without brackets */
	uint16_t port;
};

struct ralf_settings {
	const struct ralf_endpoint *endpoints; /* in order of preference */
	unsigned endpoint_count;
	const struct address
		*dns_servers; /* none: those of the system; for endpoints with a name */
	unsigned dns_server_count;
};

/* -ENOMEM. */
int ralf_create(struct loop *loop, const struct ralf_settings *settings, struct spool *spool,
                struct metrics *metrics, struct ralf **out);
/* What is under way is left; its records stay in the spool. Not from within the loop, which takes a turn of its events
 * if there are names to resolve. */
void ralf_destroy(struct ralf **ralf);
/* There may be records to read. */
void ralf_wake(struct ralf *ralf);
/* Records under way. */
unsigned ralf_busy(const struct ralf *ralf);

#endif
