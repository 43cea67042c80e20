/*
 * What one worker counts of its targets: a slot for each id that was used since the last taking, found by a
 * table of bytes' worth; no allocation after the first use of an id. Worker thread only.
 */
#include "upstream/stats.h"

#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "upstream/view.h"

#define STEP_FIRST_US 64

struct traffic_stats {
	struct target_stats *slots[VIEW_TARGETS_MAX]; /* by id; owned; NULL: never used */
	bool touched[VIEW_TARGETS_MAX];               /* stands in ids */
	uint32_t ids[VIEW_TARGETS_MAX];               /* touched since the last taking */
	unsigned count;
};

int traffic_stats_create(struct traffic_stats **out)
{
	*out = memory_zalloc(sizeof(**out));
	return *out != NULL ? 0 : -ENOMEM;
}

void traffic_stats_destroy(struct traffic_stats **stats)
{
	struct traffic_stats *dead = *stats;
	unsigned i;

	if (dead == NULL)
		return;
	*stats = NULL;
	for (i = 0; i < VIEW_TARGETS_MAX; i++)
		memory_free(dead->slots[i]);
	memory_free(dead);
}

static struct target_stats *slot_of(struct traffic_stats *stats, uint32_t id)
{
	if (id >= VIEW_TARGETS_MAX)
		return NULL;
	if (stats->slots[id] == NULL) {
		stats->slots[id] = memory_zalloc(sizeof(struct target_stats));
		if (stats->slots[id] == NULL)
			return NULL;
		stats->slots[id]->id = id;
	}
	if (!stats->touched[id]) {
		stats->touched[id] = true;
		stats->ids[stats->count++] = id;
	}
	return stats->slots[id];
}

void traffic_stats_sent(struct traffic_stats *stats, uint32_t id)
{
	struct target_stats *slot = slot_of(stats, id);

	if (slot != NULL)
		slot->sent++;
}

void traffic_stats_answered(struct traffic_stats *stats, uint32_t id, uint64_t us, uint64_t now_ms)
{
	struct target_stats *slot = slot_of(stats, id);

	if (slot == NULL)
		return;
	slot->answered++;
	slot->response_us += us;
	slot->last_answer_ms = now_ms;
	slot->steps[target_stats_step(us)]++;
}

void traffic_stats_failed(struct traffic_stats *stats, uint32_t id, enum traffic_failure kind)
{
	struct target_stats *slot = slot_of(stats, id);

	ASSERT(kind < TRAFFIC_FAILURES);
	if (slot != NULL)
		slot->failed[kind]++;
}

unsigned traffic_stats_take(struct traffic_stats *stats, struct target_stats *out, unsigned max)
{
	unsigned taken = 0;

	while (taken < max && stats->count > 0) {
		uint32_t id = stats->ids[--stats->count];

		out[taken++] = *stats->slots[id];
		*stats->slots[id] = (struct target_stats){.id = id};
		stats->touched[id] = false;
	}
	return taken;
}

/* ---- steps ---- */

unsigned target_stats_step(uint64_t us)
{
	unsigned octave, step;

	if (us < STEP_FIRST_US)
		return 0;
	octave = 63 - (unsigned)__builtin_clzll(us); /* 6 for 64 us */
	/* The upper half of an octave begins at 1.5 times its start. */
	step = 2 * (octave - 6) + ((us >> (octave - 1)) & 1) + 1;
	return step < TARGET_STATS_STEPS ? step : TARGET_STATS_STEPS - 1;
}

uint64_t target_stats_step_us(unsigned step)
{
	uint64_t start;

	ASSERT(step < TARGET_STATS_STEPS);
	if (step == 0)
		return STEP_FIRST_US / 2;
	start = (uint64_t)STEP_FIRST_US << ((step - 1) / 2);
	return (step - 1) % 2 == 0 ? start + start / 4 : start + start * 3 / 4;
}
