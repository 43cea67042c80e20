/*
 * One probe: an OPTIONS as an ordinary client transaction on the connection that traffic uses.
 * Worker thread. RFC 3261 11. Any final answer but 503 is a sign of life.
 */
#ifndef BONO_UPSTREAM_PROBE_H
#define BONO_UPSTREAM_PROBE_H

#include "transaction/txn_table.h"
#include "transport/transport.h"
#include "upstream/health.h"
#include "upstream/view.h"

struct probes; /* those under way on one worker */

/* value: the round trip in us; of HEALTH_PROBE_OVERLOADED the Retry-After in ms, 0 none. */
typedef void probe_done_fn(void *arg, uint32_t target_id, uint32_t generation,
                           enum health_input result, uint64_t value);

/* open: as transport_open (tests bring their own); sent_by: as transport_sent_by. */
struct probe_ways {
	int (*open)(void *arg, const struct transport_peer *peer, struct hop *out);
	const char *(*sent_by)(void *arg, const struct hop *hop);
	void *arg;
};

int probes_create(struct loop *loop, struct txn_table *table, const struct probe_ways *ways,
                  struct branch_source *branches, const char *from_host, probe_done_fn *done,
                  void *arg, struct probes **out);
/* Before the txn_table and the loop. done is not called for those under way. */
void probes_destroy(struct probes **probes);
/* done is called exactly once, later, never from inside; target is only read during the call.
 * -ENOMEM: nothing was begun and done will not be called (failover's own time limit stands behind it). */
int probe_send(struct probes *probes, const struct view_target *target, uint32_t generation,
               uint64_t timeout_ms);

#endif
