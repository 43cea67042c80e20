/*
 * What happened in the last ten seconds, from counters that only grow: one sample a second, kept in a
 * ring. Control loop.
 */
#include "admin_internal.h"
#include "base/error.h"
#include "base/memory.h"

#define SAMPLE_MS 1000

struct sample {
	uint64_t at_ms;
	int64_t requests, failovers, rejected;
	int64_t sites[METRICS_SITES_MAX]; /* sent to their targets */
};

struct rates {
	struct loop *loop;
	const struct metrics_registry *registry;
	const struct view *(*view)(void *arg);
	void *arg;
	struct sample samples[RATES_SECONDS + 1]; /* a ring; the newest is samples[newest] */
	unsigned newest, count;
	struct timer timer;
};

static void take_sample(struct rates *rates, struct sample *sample)
{
	const struct view *view = rates->view(rates->arg);

	*sample = (struct sample){
		.at_ms = loop_now_ms(rates->loop),
		.requests = metrics_total(rates->registry, METRIC_REQUESTS),
		.failovers = metrics_total(rates->registry, METRIC_FAILOVERS),
		.rejected = metrics_total(rates->registry, METRIC_REJECTED),
	};
	for (unsigned i = 0; view != NULL && i < view->target_count; i++)
		if (view->targets[i].site < METRICS_SITES_MAX)
			sample->sites[view->targets[i].site] +=
				metrics_read(rates->registry, METRIC_TARGET_REQUESTS,
			                     view->targets[i].id, 0, 0);
}

static void on_second(struct timer *timer, void *arg)
{
	struct rates *rates = arg;

	rates->newest = (rates->newest + 1) % (RATES_SECONDS + 1);
	if (rates->count < RATES_SECONDS + 1)
		rates->count++;
	take_sample(rates, &rates->samples[rates->newest]);
	timer_start(loop_timers(rates->loop), &rates->timer, SAMPLE_MS);
}

int rates_create(struct loop *loop, const struct metrics_registry *registry,
                 const struct view *(*view)(void *arg), void *arg, struct rates **out)
{
	struct rates *rates = memory_zalloc(sizeof(*rates));

	if (rates == NULL)
		return -ENOMEM;
	rates->loop = loop;
	rates->registry = registry;
	rates->view = view;
	rates->arg = arg;
	timer_init(&rates->timer, on_second, rates);
	/* The source may not have a view yet; the first sample is of the time before any traffic. */
	rates->count = 1;
	rates->samples[0].at_ms = loop_now_ms(loop);
	timer_start(loop_timers(loop), &rates->timer, SAMPLE_MS);
	*out = rates;
	return 0;
}

void rates_destroy(struct rates **rates)
{
	if (*rates == NULL)
		return;
	timer_stop(loop_timers((*rates)->loop), &(*rates)->timer);
	memory_free(*rates);
	*rates = NULL;
}

static const struct sample *oldest(const struct rates *rates)
{
	return &rates->samples[(rates->newest + RATES_SECONDS + 2 - rates->count) %
	                       (RATES_SECONDS + 1)];
}

static double per_second(const struct rates *rates, int64_t before, int64_t after)
{
	uint64_t ms = rates->samples[rates->newest].at_ms - oldest(rates)->at_ms;

	return ms > 0 ? (double)(after - before) * 1000.0 / (double)ms : 0.0;
}

double rates_requests(const struct rates *rates)
{
	return per_second(rates, oldest(rates)->requests, rates->samples[rates->newest].requests);
}

double rates_failovers(const struct rates *rates)
{
	return per_second(rates, oldest(rates)->failovers, rates->samples[rates->newest].failovers);
}

double rates_rejected(const struct rates *rates)
{
	return per_second(rates, oldest(rates)->rejected, rates->samples[rates->newest].rejected);
}

double rates_share(const struct rates *rates, const struct view *view, unsigned site)
{
	const struct sample *first = oldest(rates), *last = &rates->samples[rates->newest];
	int64_t all = 0;

	for (unsigned i = 0; i < METRICS_SITES_MAX; i++)
		all += last->sites[i] - first->sites[i];
	if (all > 0 && site < METRICS_SITES_MAX)
		return (double)(last->sites[site] - first->sites[site]) / (double)all;
	return view->serving == (int)site ? 1.0 : 0.0;
}
