/*
 * Making and publishing views. Control thread only.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "upstream_internal.h"

#define VIEW_RETRY_MS 100 /* after a lack of memory */

static void show_target(const struct watch *watch, struct view_target *out)
{
	const struct health *health = &watch->health;

	*out = (struct view_target){
		.id = watch->id,
		.site = watch->site,
		.name = watch->name,
		.uri = watch->uri,
		.route_uri = watch->route_uri,
		.address = watch->address,
		.transport = watch->transport,
		.host = watch->host,
		.tls = watch->tls,
		.tls_name = watch->tls_name,
		.priority = watch->priority,
		.weight = watch->weight,
		.weight_cut = health_weight_cut(health),
		.state = health->state,
		.disabled = watch->disabled,
		.answering = health->hits > 0,
		.reason = health_reason_words(health->reason),
		.since_wall_ms = watch->since_wall_ms,
		.probe_us = health->probe_us,
		.generation = health->generation,
	};
}

static void show_site(const struct failover *failover, unsigned index, struct view *view)
{
	const struct share_site *share = &failover->shares[index];
	const struct site *site = &failover->sites[index];

	view->sites[index] = (struct view_site){
		.name = site->name,
		.advertise = site->advertise,
		.local = site->local,
		.first = view->target_count,
		.count = (unsigned)site->watches.length,
		.state = share->state,
		.share = share->share,
		.evacuated = share->evacuated,
		.capacity = share->capacity,
		.response_us = site->response_us,
	};
	LIST_FOR_EACH(link, &site->watches)
		show_target(CONTAINER_OF(link, struct watch, in_site),
		            &view->targets[view->target_count++]);
}

static int failover_copy(struct failover *failover, struct view **out)
{
	struct roster *roster = CONTAINER_OF(failover->rosters.head.previous, struct roster, link);
	struct view view = {.version = failover->version + 1, .roster = &roster->snapshot};
	int err = -ENOMEM;
	unsigned i;

	/* One more than needed: none is no reason for a NULL. */
	view.targets = memory_alloc((failover->watch_count + 1) * sizeof(*view.targets));
	view.sites = memory_alloc((failover->site_count + 1) * sizeof(*view.sites));
	if (view.targets == NULL || view.sites == NULL)
		goto out;
	for (i = 0; i < failover->site_count; i++)
		show_site(failover, i, &view);
	view.site_count = failover->site_count;
	err = view_create(&view, out);
out:
	memory_free(view.targets);
	memory_free(view.sites);
	return err;
}

/* Make the next one; the old one lives as long as its readers. */
int failover_renew(struct failover *failover)
{
	struct view *view;
	int err;

	if (failover->roster_changed) {
		err = roster_create(failover);
		if (err != 0)
			return err;
		failover->roster_changed = false;
	}
	err = failover_copy(failover, &view);
	if (err != 0)
		return err;
	failover->version++;
	tell_serving(failover, failover->published, view);
	if (failover->published != NULL)
		snapshot_release(&failover->published->snapshot);
	failover->published = view;
	failover->changed = false;
	return 0;
}

static void failover_give_view(struct failover *failover)
{
	snapshot_share(&failover->published->snapshot);
	failover->events->on_view(failover->arg, failover->published);
}

void on_publish(struct timer *timer, void *arg)
{
	struct failover *failover = arg;

	if (failover->changed && failover_renew(failover) != 0) {
		log_error("sites: no memory for the new view, the old one stays");
		timer_start(loop_timers(failover->loop), timer, VIEW_RETRY_MS);
		return;
	}
	failover_give_view(failover);
}

/* Once a turn at most: whatever else changes before the timer fires goes into the same view. */
void failover_publish_within(struct failover *failover, uint64_t delay_ms)
{
	struct timers *timers = loop_timers(failover->loop);

	failover->changed = true;
	if (timer_is_running(&failover->publish) &&
	    failover->publish.due_ms <= loop_now_ms(failover->loop) + delay_ms)
		return;
	timer_start(timers, &failover->publish, delay_ms);
}
