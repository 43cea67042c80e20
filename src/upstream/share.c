/*
 * Which site gets how much of the new work. Pure: time and demand come in.
 *
 * Preferred first, each as much as its healthy capacity carries; a site that comes back waits for its hold-down and
 * takes its work back along a ramp, as long as another carries it meanwhile; what nobody can carry stays with
 * the first. A site that is lost again on its return waits twice as long the next time.
 */
#include "upstream_internal.h"

#include "base/error.h"

/* Hold-downs double up to this (or stay as configured, if that is longer), and are single again after so much service
 * without a loss. */
#define HOLD_DOWN_MAX_MS (10 * 60 * 1000)
#define FORGIVE_MS (10 * 60 * 1000)
#define DOUBLINGS_MAX 8
/* Who spills goes on until this much of the capacity would do: a demand at the edge must not switch to and fro. */
#define SPILL_END 0.95

static const char *const reason_names[SHARE_REASONS] = {
	[SHARE_START] = "start",
	[SHARE_TARGETS_LOST] = "targets_lost",
	[SHARE_TARGETS_BACK] = "targets_back",
	[SHARE_NOBODY_ELSE] = "nobody_else",
	[SHARE_HOLD_DOWN_OVER] = "hold_down_over",
	[SHARE_RAMP_OVER] = "ramp_over",
	[SHARE_OPERATOR] = "operator",
	[SHARE_CAPACITY] = "capacity",
};

const char *share_reason_name(enum share_reason reason)
{
	ASSERT(reason < SHARE_REASONS);
	return reason_names[reason];
}

/* The only writer of state. */
static bool site_set_state(struct share_site *site, enum site_state state, enum share_reason reason,
                           uint64_t now_ms)
{
	if (site->state == state)
		return false;
	site->state = state;
	site->reason = reason;
	site->since_ms = now_ms;
	return true;
}

static uint64_t share_hold_ms(const struct share_site *site, const struct share_settings *settings)
{
	uint64_t hold = settings->hold_down_ms;
	unsigned i, doublings = site->losses > 1 ? site->losses - 1 : 0;

	for (i = 0; i < doublings && i < DOUBLINGS_MAX && hold < HOLD_DOWN_MAX_MS; i++)
		hold *= 2;
	if (hold > HOLD_DOWN_MAX_MS && settings->hold_down_ms < HOLD_DOWN_MAX_MS)
		hold = HOLD_DOWN_MAX_MS;
	return hold;
}

static bool carries(const struct share_site *site)
{
	return site->usable && (site->state == SITE_READY || site->state == SITE_SPILLING ||
	                        site->state == SITE_RAMPING);
}

/* Is there another that has the work meanwhile? */
static bool another_carries(const struct share_site *sites, unsigned count, unsigned except)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		if (i != except && carries(&sites[i]))
			return true;
	}
	return false;
}

static bool site_is_lost(struct share_site *site, uint64_t now_ms)
{
	if (carries(site) || site->state == SITE_READY || site->state == SITE_SPILLING ||
	    site->state == SITE_RAMPING) {
		if (site->losses < DOUBLINGS_MAX + 1)
			site->losses++;
		site->forgive_ms = UINT64_MAX;
	}
	return site_set_state(site, SITE_DOWN, SHARE_TARGETS_LOST, now_ms);
}

static bool site_is_ready(struct share_site *site, enum share_reason reason, uint64_t now_ms)
{
	site->forgive_ms = now_ms + FORGIVE_MS;
	return site_set_state(site, SITE_READY, reason, now_ms);
}

static bool site_is_back(struct share_site *site, const struct share_settings *settings,
                         uint64_t now_ms)
{
	uint64_t since = site->answering_since_ms < now_ms ? site->answering_since_ms : now_ms;

	if (since < site->since_ms)
		since = site->since_ms; /* what it answered before the loss does not count */
	site->until_ms = since + share_hold_ms(site, settings);
	return site_set_state(site, SITE_HOLD_DOWN, SHARE_TARGETS_BACK, now_ms);
}

/* One step of one site. True if its state changed. */
static bool site_on_time(struct share_site *sites, unsigned count, unsigned index,
                         const struct share_settings *settings, uint64_t now_ms)
{
	struct share_site *site = &sites[index];

	if (site->evacuated && site->usable)
		return site_set_state(site, SITE_EVACUATED, SHARE_OPERATOR, now_ms);
	if (!site->usable)
		return site->state != SITE_DOWN && site_is_lost(site, now_ms);
	if (!site->begun) {
		site->begun = true;
		site->losses = 0;
		return site->state == SITE_DOWN && site_is_ready(site, SHARE_START, now_ms);
	}
	if (now_ms >= site->forgive_ms)
		site->losses = 0;
	switch (site->state) {
	case SITE_DOWN:
		if (!another_carries(sites, count, index))
			return site_is_ready(site, SHARE_NOBODY_ELSE, now_ms);
		return site_is_back(site, settings, now_ms);
	case SITE_HOLD_DOWN:
		if (!another_carries(sites, count, index))
			return site_is_ready(site, SHARE_NOBODY_ELSE, now_ms);
		if (now_ms < site->until_ms)
			return false;
		return site_set_state(site, SITE_RAMPING, SHARE_HOLD_DOWN_OVER, now_ms);
	case SITE_RAMPING:
		if (now_ms < site->since_ms + settings->ramp_ms)
			return false;
		return site_is_ready(site, SHARE_RAMP_OVER, now_ms);
	case SITE_EVACUATED: /* the operator knows that it is well */
		return site_set_state(site, SITE_RAMPING, SHARE_OPERATOR, now_ms);
	case SITE_READY:
	case SITE_SPILLING:
	case SITE_STATES:
		break;
	}
	return false;
}

/* ---- shares ---- */

/* The part of all work that its healthy capacity carries, 1: all. */
static double room_of(const struct share_site *site, double demand)
{
	double room;

	if (site->capacity == 0 || demand <= 0)
		return 1;
	room = site->capacity * (site->healthy / 1000.0) / demand;
	if (site->state == SITE_SPILLING)
		room *= SPILL_END;
	return room < 1 ? room : 1;
}

/* The part that hold-down and ramp let it have. */
static double leave_of(const struct share_site *site, const struct share_settings *settings,
                       uint64_t now_ms)
{
	switch (site->state) {
	case SITE_READY:
	case SITE_SPILLING:
		return 1;
	case SITE_RAMPING:
		return settings->ramp_ms > 0
		               ? (double)(now_ms - site->since_ms) / (double)settings->ramp_ms
		               : 1;
	default:
		return 0;
	}
}

static bool takes_part(const struct share_site *site)
{
	return site->usable && site->state != SITE_EVACUATED;
}

/* What nobody can carry stays with the first that takes part, else with the first that is usable at all. */
static int last_resort(const struct share_site *sites, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		if (takes_part(&sites[i]))
			return (int)i;
	}
	for (i = 0; i < count; i++) {
		if (sites[i].usable)
			return (int)i;
	}
	return -1;
}

static void give_shares(struct share_site *sites, unsigned count,
                        const struct share_settings *settings, double demand, uint64_t now_ms)
{
	double left = 1, room, leave, most;
	unsigned pass, i, given = 0;
	int last = last_resort(sites, count);

	for (i = 0; i < count; i++)
		sites[i].share = 0;
	/* First all within their leave; then those who should still wait help out. */
	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < count && left > 0; i++) {
			if (!takes_part(&sites[i]))
				continue;
			room = room_of(&sites[i], demand);
			leave = pass == 0 ? leave_of(&sites[i], settings, now_ms) : 1;
			most = (room < leave ? room : leave) - sites[i].share / 1000.0;
			if (most > left)
				most = left;
			if (most <= 0)
				continue;
			sites[i].share += (unsigned)(most * VIEW_SHARE_ALL);
			left -= most;
		}
	}
	for (i = 0; i < count; i++)
		given += sites[i].share;
	if (last >= 0)
		sites[last].share += VIEW_SHARE_ALL - given; /* roundings too */
}

/* A ready site that cannot carry all that comes to it spills. */
static bool judge_spill(struct share_site *site, bool others, double demand, uint64_t now_ms)
{
	if (site->state == SITE_READY && others && room_of(site, demand) < 1 && site->share > 0)
		return site_set_state(site, SITE_SPILLING, SHARE_CAPACITY, now_ms);
	if (site->state == SITE_SPILLING && (!others || room_of(site, demand) >= 1))
		return site_set_state(site, SITE_READY, SHARE_CAPACITY, now_ms);
	return false;
}

bool share_on_time(struct share_site *sites, unsigned count, const struct share_settings *settings,
                   double demand, uint64_t now_ms)
{
	bool changed = false, others;
	unsigned i;

	for (i = 0; i < count; i++)
		changed |= site_on_time(sites, count, i, settings, now_ms);
	give_shares(sites, count, settings, demand, now_ms);
	for (i = 0; i < count; i++) {
		others = sites[i].share < VIEW_SHARE_ALL;
		changed |= judge_spill(&sites[i], others, demand, now_ms);
	}
	return changed;
}
