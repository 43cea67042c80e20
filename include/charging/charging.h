/*
 * Charging: the thread that writes billing records to the spool and posts them to Ralf. Disk and HTTP are its own
 * affair: whoever tells it something is never kept waiting, and a dead Ralf delays nothing but its records.
 */
#ifndef BONO_CHARGING_CHARGING_H
#define BONO_CHARGING_CHARGING_H

#include "charging/charge.h"
#include "charging/ralf.h"

struct charging;

struct charging_settings { /* lent for its life */
	struct charge_settings charge;
	struct ralf_settings ralf;
	const char *directory; /* of the spool */
	uint64_t spool_bytes;
};

/* Opens the spool and goes on with what an earlier life left; starts the thread. -errno of the disk, -ENOMEM. */
int charging_start(const struct charging_settings *settings, struct metrics_registry *registry,
                   struct charging **out);
/* What was told is written to the spool; what is not yet posted is posted after the next start. */
void charging_stop(struct charging **charging);

/* Any thread, never waits. What finds no room is lost, and counted. */
void charging_tell(struct charging *charging, const struct charge *charge);

#endif
