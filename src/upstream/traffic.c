/*
 * The last seconds of one target's traffic, and the comparison of it with the others of its site. Pure.
 *
 * Medians, not means: the callee of a few requests may be slow, and that says nothing of the target. Peers, not
 * limits: when all are slow, none is to blame, and work must go somewhere.
 */
#include "upstream_internal.h"

#include <string.h>

/* So much slower, by ratio and by difference (below it a loaded machine is slow by itself), with so many answers on either side. */
#define SLOW_RATIO 4
#define SLOW_LEAST_US 5000
#define SLOW_ANSWERS 20
/* Sound again below half of that. */
#define SOUND_RATIO 2
#define SOUND_ANSWERS 10
/* So many failed of a hundred, at least so many, and three times as often as the peers'. */
#define LOSSY_PERCENT 3
#define LOSSY_LEAST 5
#define LOSSY_TRIES 50
#define LOSSY_RATIO 3
/* Sound again if of so many tries less than one of a hundred failed: one that loses 5 % is taken for sound once in
 * 170 times. */
#define SOUND_TRIES 100
/* With too little work to tell, it is given another chance after this. */
#define SOUND_WITHOUT_WORK_MS 60000

void traffic_init(struct traffic *traffic, uint64_t now_ms)
{
	memset(traffic, 0, sizeof(*traffic));
	traffic->second = now_ms / 1000;
}

void traffic_roll(struct traffic *traffic, uint64_t now_ms)
{
	uint64_t second = now_ms / 1000, steps = second - traffic->second;

	if (steps > TRAFFIC_SECONDS + 1)
		traffic->second = second - (TRAFFIC_SECONDS + 1);
	while (traffic->second < second) {
		traffic->second++;
		memset(&traffic->seconds[traffic->second % (TRAFFIC_SECONDS + 1)], 0,
		       sizeof(struct traffic_second));
	}
}

void traffic_add(struct traffic *traffic, const struct target_stats *stats, uint64_t now_ms)
{
	struct traffic_second *second;
	uint32_t failed = 0;
	unsigned i;

	traffic_roll(traffic, now_ms);
	second = &traffic->seconds[traffic->second % (TRAFFIC_SECONDS + 1)];
	for (i = 0; i < TRAFFIC_FAILURES; i++)
		failed += stats->failed[i];
	second->answered += stats->answered;
	second->failed += failed;
	for (i = 0; i < TARGET_STATS_STEPS; i++)
		second->steps[i] += stats->steps[i];
	traffic->tries += stats->answered + failed;
	traffic->losses += failed;
}

void traffic_sum_add(const struct traffic *traffic, struct traffic_sum *sum)
{
	unsigned i, j;

	for (i = 0; i < TRAFFIC_SECONDS + 1; i++) {
		const struct traffic_second *second = &traffic->seconds[i];

		sum->answered += second->answered;
		sum->failed += second->failed;
		for (j = 0; j < TARGET_STATS_STEPS; j++)
			sum->steps[j] += second->steps[j];
	}
}

void traffic_sum_finish(struct traffic_sum *sum)
{
	uint64_t all = 0, below = 0;
	unsigned i;

	for (i = 0; i < TARGET_STATS_STEPS; i++)
		all += sum->steps[i];
	sum->median_us = 0;
	for (i = 0; i < TARGET_STATS_STEPS && all > 0; i++) {
		below += sum->steps[i];
		if (2 * below >= all) {
			sum->median_us = target_stats_step_us(i);
			return;
		}
	}
}

static bool is_slow(const struct traffic_sum *own, const struct traffic_sum *peers, unsigned ratio,
                    unsigned answers)
{
	return own->answered >= answers && peers->answered >= answers &&
	       own->median_us >= ratio * peers->median_us &&
	       own->median_us >= peers->median_us + SLOW_LEAST_US;
}

static bool is_lossy(const struct traffic_sum *own, const struct traffic_sum *peers)
{
	uint64_t tries = own->answered + own->failed, peer_tries = peers->answered + peers->failed;

	return tries >= LOSSY_TRIES && peer_tries >= LOSSY_TRIES && own->failed >= LOSSY_LEAST &&
	       (uint64_t)own->failed * 100 >= tries * LOSSY_PERCENT &&
	       (uint64_t)own->failed * peer_tries >= LOSSY_RATIO * peers->failed * tries;
}

static bool is_fast_again(const struct traffic_sum *own, const struct traffic_sum *peers,
                          uint64_t age_ms)
{
	if (own->answered < SOUND_ANSWERS || peers->answered < SOUND_ANSWERS)
		return age_ms >= SOUND_WITHOUT_WORK_MS;
	return !is_slow(own, peers, SOUND_RATIO, SOUND_ANSWERS);
}

static bool is_sound_again(struct traffic *traffic, uint64_t age_ms)
{
	bool sound;

	if (traffic->tries < SOUND_TRIES)
		return age_ms >= SOUND_WITHOUT_WORK_MS &&
		       traffic->losses * 100 <= traffic->tries * LOSSY_PERCENT;
	sound = traffic->losses * 100 < traffic->tries;
	traffic->tries = 0; /* the next hundred */
	traffic->losses = 0;
	return sound;
}

enum health_input traffic_judge(struct traffic *traffic, const struct traffic_sum *own,
                                const struct traffic_sum *peers, const struct health *health,
                                uint64_t now_ms)
{
	uint64_t age_ms = now_ms - health->verdict_since_ms;

	if (health->verdict == TARGET_UP) {
		traffic->tries = 0;
		traffic->losses = 0;
		if (is_slow(own, peers, SLOW_RATIO, SLOW_ANSWERS))
			return HEALTH_TRAFFIC_SLOW;
		if (is_lossy(own, peers))
			return HEALTH_TRAFFIC_LOSSY;
	}
	if (health->verdict == TARGET_DEGRADED && now_ms >= health->hold_until_ms) {
		if (health->verdict_reason == HEALTH_REASON_SLOW ? is_fast_again(own, peers, age_ms)
		                                                 : is_sound_again(traffic, age_ms))
			return HEALTH_TRAFFIC_SOUND;
	}
	return HEALTH_INPUTS;
}
