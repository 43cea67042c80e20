/*
 * Our own subscriptions to the registration state of those who register here: who is watched, when a SUBSCRIBE
 * goes, and what becomes of it. One for each address-of-record of a flow, whatever its client refreshes.
 * TS 24.229 5.2.3, RFC 6665 4.1. Worker thread only.
 */
#include "reg_event.h"

#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"

/* So many SUBSCRIBEs a second and worker at most: when everybody registers at once, the core has enough to do. */
#define SUBSCRIBE_EVERY_MS 10
/* Of those who wait for their first one; who comes when so many wait is watched from the next refresh on. */
#define WAITING_MAX 10000
/* Flows of one address-of-record that are watched: devices of one user on one worker. */
#define WATCHES_PER_AOR 16
/* RFC 6665 4.1.2.4, timer N: a subscription without any NOTIFY after this is none. */
#define FIRST_NOTIFY_MS 32000
/* After the first failure, and at most. */
#define REST_MS 30000
#define REST_MAX_MS (30 * 60000)
/* Who does not let us subscribe is asked again so seldom. */
#define REFUSED_REST_MS (60 * 60000)
/* TS 24.229 5.2.3: longer than the registration. */
#define EXPIRES_BEYOND_S 600
/* TS 24.229 5.2.3: refreshed 600 s before its end, or at half of it. */
#define REFRESH_BEFORE_S 600
/* A notifier that says less is refreshed as if it had said this. */
#define SECONDS_MIN 20
/* RFC 6665 4.2.1.1: what a notifier may demand at least, as far as we go along. */
#define MIN_EXPIRES_MAX_S 600000

static void on_answered(struct proxy *proxy, uint64_t id, int status,
                        const struct message *response);

static void count(struct proxy *proxy, enum reg_subscribe_result result)
{
	metrics_add(proxy->metrics, METRIC_REG_SUBSCRIBES, result, 0, 0, 1);
}

struct slice reg_watch_call_id(const struct reg_watch *watch, char text[REG_CALL_ID_SIZE])
{
	int length =
		snprintf(text, REG_CALL_ID_SIZE, "reg-%016llx%016llx",
	                 (unsigned long long)watch->call[0], (unsigned long long)watch->call[1]);

	return slice_of(text, (size_t)length);
}

const struct binding *reg_watch_binding(struct proxy *proxy, const struct reg_watch *watch)
{
	struct flow *flow = flow_table_find(proxy->flows, watch->flow_id);

	return flow != NULL ? flow_binding(flow, slice_from_string(watch->aor)) : NULL;
}

/* ---- finding ---- */

static bool has_id(const struct hash_link *link, const void *key)
{
	return CONTAINER_OF(link, struct reg_watch, by_id)->id == *(const uint64_t *)key;
}

static bool has_aor(const struct hash_link *link, const void *key)
{
	const struct slice *aor = key;

	return slice_equal(slice_from_string(CONTAINER_OF(link, struct reg_watch, by_aor)->aor),
	                   *aor);
}

struct reg_watch *reg_watch_find(struct proxy *proxy, uint64_t id)
{
	struct hash_link *link =
		hash_table_find(&proxy->reg_events.ids, hash_bytes(&id, sizeof(id)), &id);

	return link != NULL ? CONTAINER_OF(link, struct reg_watch, by_id) : NULL;
}

/* That of this flow; else, to be taken over, one whose flow has lost the binding: the client has come to another.
 * *full: this user has as many as one may. */
static struct reg_watch *find_for(struct proxy *proxy, struct slice aor, uint64_t flow_id,
                                  bool *full)
{
	struct hash_table *table = &proxy->reg_events.aors;
	struct hash_link *link = hash_table_find(table, hash_slice(aor), &aor);
	struct reg_watch *left_over = NULL;
	unsigned looked_at = 0;

	for (; link != NULL && looked_at < WATCHES_PER_AOR; looked_at++) {
		struct reg_watch *watch = CONTAINER_OF(link, struct reg_watch, by_aor);

		if (watch->flow_id == flow_id)
			return watch;
		if (left_over == NULL && reg_watch_binding(proxy, watch) == NULL)
			left_over = watch;
		link = hash_table_find_next(table, link, &aor);
	}
	*full = looked_at == WATCHES_PER_AOR;
	return left_over;
}

/* ---- state ---- */

static void set_state(struct proxy *proxy, struct reg_watch *watch, enum reg_watch_state state)
{
	list_remove(&proxy->reg_events.waiting, &watch->waiting);
	timer_stop(loop_timers(proxy->loop), &watch->timer);
	watch->state = state;
	if (state == REG_WATCH_WAITING)
		list_append(&proxy->reg_events.waiting, &watch->waiting);
}

static void set_accepted(struct proxy *proxy, struct reg_watch *watch, bool accepted)
{
	if (watch->accepted != accepted)
		metrics_add(proxy->metrics, METRIC_REG_SUBSCRIPTIONS, 0, 0, 0, accepted ? 1 : -1);
	watch->accepted = accepted;
}

/* A new dialog, if there is to be one, shares nothing with the old. */
static void forget_dialog(struct proxy *proxy, struct reg_watch *watch)
{
	set_accepted(proxy, watch, false);
	memory_free(watch->remote_tag);
	memory_free(watch->target);
	memory_free(watch->routes);
	watch->remote_tag = watch->target = watch->routes = NULL;
	watch->heard = watch->ended_early = watch->awaits_full = false;
	watch->has_version = watch->has_remote_cseq = false;
	watch->cseq = 0;
	watch->call[0] = random_u64();
	watch->call[1] = random_u64();
	watch->local_tag = random_u64();
}

void reg_watch_free(struct proxy *proxy, struct reg_watch *watch)
{
	set_state(proxy, watch, REG_WATCH_RESTING);
	set_accepted(proxy, watch, false);
	hash_table_remove(&proxy->reg_events.ids, &watch->by_id);
	hash_table_remove(&proxy->reg_events.aors, &watch->by_aor);
	memory_free(watch->remote_tag);
	memory_free(watch->target);
	memory_free(watch->routes);
	memory_free(watch->aor);
	memory_free(watch->to);
	memory_free(watch);
}

/* ---- whose turn it is ---- */

static void arm(struct proxy *proxy)
{
	struct reg_events *events = &proxy->reg_events;
	uint64_t now_ms = loop_now_ms(proxy->loop), at_ms = events->sent_ms + SUBSCRIBE_EVERY_MS;

	if (!list_is_empty(&events->waiting) && !timer_is_running(&events->next))
		timer_start(loop_timers(proxy->loop), &events->next,
		            at_ms > now_ms ? at_ms - now_ms : 0);
}

void reg_watch_queue(struct proxy *proxy, struct reg_watch *watch)
{
	set_state(proxy, watch, REG_WATCH_WAITING);
	arm(proxy);
}

static void rest(struct proxy *proxy, struct reg_watch *watch, uint64_t ms)
{
	forget_dialog(proxy, watch);
	set_state(proxy, watch, REG_WATCH_RESTING);
	/* Those who failed together shall not come back together. */
	timer_start(loop_timers(proxy->loop), &watch->timer,
	            ms + random_below((uint32_t)ms / 4 + 1));
}

void reg_watch_restart(struct proxy *proxy, struct reg_watch *watch, uint64_t min_ms)
{
	uint64_t ms = REST_MS;

	for (unsigned i = 1; i < watch->failures && ms < REST_MAX_MS; i++)
		ms *= 2;
	if (watch->failures++ == 0)
		ms = 0;
	if (ms > REST_MAX_MS)
		ms = REST_MAX_MS;
	rest(proxy, watch, ms > min_ms ? ms : min_ms);
}

static uint32_t wanted_expires(struct proxy *proxy, const struct reg_watch *watch)
{
	const struct binding *binding = reg_watch_binding(proxy, watch);
	uint64_t seconds = proxy->settings->reg_subscribe_expires_s;
	uint64_t now_ms = loop_now_ms(proxy->loop), end_ms;

	if (watch->ending || binding == NULL)
		return 0;
	end_ms = binding_expires_ms(binding) + EXPIRES_BEYOND_S * 1000;
	if (now_ms + seconds * 1000 < end_ms)
		seconds = (end_ms - now_ms) / 1000;
	if (seconds < watch->min_expires_s)
		seconds = watch->min_expires_s;
	return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

static void subscribe(struct proxy *proxy, struct reg_watch *watch)
{
	struct request_plan plan = {0};
	struct own_request own = {METHOD_SUBSCRIBE, on_answered, watch->id};
	struct bytes *request;
	uint32_t expires_s = wanted_expires(proxy, watch);

	if (expires_s == 0)
		watch->ending = true;
	if (expires_s == 0 && !watch->accepted) { /* nobody knows of it */
		reg_watch_free(proxy, watch);
		return;
	}
	watch->cseq++;
	set_state(proxy, watch, REG_WATCH_ASKING);
	watch->asked_ms = loop_now_ms(proxy->loop);
	watch->asked_s = expires_s;
	request = reg_subscribe_write(proxy, watch, expires_s, &plan);
	if (request == NULL)
		on_answered(proxy, watch->id, 0, NULL);
	else
		context_start_own(proxy, &own, &request,
		                  &plan); /* may end at once: no more of it */
}

static void on_next(struct timer *timer, void *arg)
{
	struct proxy *proxy = arg;
	struct list_link *first = list_first(&proxy->reg_events.waiting);

	if (first == NULL || proxy->stopping)
		return;
	proxy->reg_events.sent_ms = loop_now_ms(proxy->loop);
	subscribe(proxy, CONTAINER_OF(first, struct reg_watch, waiting));
	arm(proxy);
}

/* ---- while it stands ---- */

static void look_after(struct proxy *proxy, struct reg_watch *watch)
{
	const struct binding *binding = reg_watch_binding(proxy, watch);
	uint64_t now_ms = loop_now_ms(proxy->loop), at_ms = watch->refresh_ms;

	if (binding != NULL && binding_expires_ms(binding) + 1000 < at_ms)
		at_ms = binding_expires_ms(binding) + 1000;
	if (watch->failures > 0 || !watch->heard)
		if (watch->asked_ms + FIRST_NOTIFY_MS < at_ms)
			at_ms = watch->asked_ms + FIRST_NOTIFY_MS;
	timer_start(loop_timers(proxy->loop), &watch->timer, at_ms > now_ms ? at_ms - now_ms : 0);
}

void reg_watch_lasts(struct proxy *proxy, struct reg_watch *watch, uint64_t seconds)
{
	uint64_t now_ms = loop_now_ms(proxy->loop);

	if (seconds < SECONDS_MIN)
		seconds = SECONDS_MIN;
	watch->refresh_ms = now_ms + (seconds > 2 * REFRESH_BEFORE_S ? seconds - REFRESH_BEFORE_S
	                                                             : (seconds + 1) / 2) *
	                                     1000;
	if (watch->state == REG_WATCH_STANDING)
		look_after(proxy, watch);
}

static void on_watch(struct timer *timer, void *arg)
{
	struct reg_watch *watch = arg;
	struct proxy *proxy = watch->proxy;
	uint64_t now_ms = loop_now_ms(proxy->loop);

	if (reg_watch_binding(proxy, watch) == NULL) {
		reg_watch_end(proxy, watch);
	} else if (watch->state == REG_WATCH_RESTING || now_ms >= watch->refresh_ms) {
		reg_watch_queue(proxy, watch);
	} else if (!watch->heard && now_ms >= watch->asked_ms + FIRST_NOTIFY_MS) {
		count(proxy, REG_SUBSCRIBE_FAILED);
		reg_watch_restart(proxy, watch, REST_MS);
	} else {
		if (watch->heard && now_ms >= watch->asked_ms + FIRST_NOTIFY_MS)
			watch->failures = 0;
		look_after(proxy, watch);
	}
}

/* ---- answers ---- */

/* Another time may be better; else whoever answered has made up its mind. */
static bool may_change(int status)
{
	return status == 0 || status == 408 || status == 480 || status == 481 || status >= 500;
}

static void take_accepted(struct proxy *proxy, struct reg_watch *watch,
                          const struct message *response)
{
	int64_t granted = message_expires(response);

	count(proxy, REG_SUBSCRIBE_ACCEPTED);
	if (watch->ended_early || reg_subscribe_learn(watch, response) != 0) {
		reg_watch_restart(proxy, watch, REST_MS);
		return;
	}
	set_accepted(proxy, watch, true);
	set_state(proxy, watch, REG_WATCH_STANDING);
	reg_watch_lasts(proxy, watch,
	                granted > 0 ? (uint64_t)granted : proxy->settings->reg_subscribe_expires_s);
	if (reg_watch_binding(proxy, watch) == NULL)
		reg_watch_end(proxy, watch);
}

/* RFC 6665 4.1.2.1: once more, for as long as the notifier wants it. */
static bool takes_longer(struct reg_watch *watch, const struct message *response)
{
	struct slice value;
	uint64_t seconds;

	if (!message_header(response, "Min-Expires", &value) ||
	    !slice_to_uint(slice_trim(value), MIN_EXPIRES_MAX_S, &seconds) ||
	    seconds <= watch->min_expires_s)
		return false;
	watch->min_expires_s = (uint32_t)seconds;
	return true;
}

static void on_answered(struct proxy *proxy, uint64_t id, int status,
                        const struct message *response)
{
	struct reg_watch *watch = reg_watch_find(proxy, id);

	if (watch == NULL || watch->state != REG_WATCH_ASKING)
		return;
	if (watch->ending && (watch->asked_s == 0 || status < 200 || status >= 300)) {
		reg_watch_free(proxy, watch);
	} else if (watch->asked_s == 0) { /* its user has come back meanwhile */
		reg_watch_restart(proxy, watch, 0);
	} else if (status >= 200 && status < 300) {
		take_accepted(proxy, watch, response);
	} else if (status == 423 && takes_longer(watch, response)) {
		reg_watch_queue(proxy, watch);
	} else if (may_change(status)) {
		count(proxy, REG_SUBSCRIBE_FAILED);
		reg_watch_restart(proxy, watch, status == 481 ? 0 : REST_MS);
	} else {
		count(proxy, REG_SUBSCRIBE_REFUSED);
		log_debug("reg event of %s: %d", watch->aor, status);
		rest(proxy, watch, REFUSED_REST_MS);
	}
}

/* ---- who is watched ---- */

/* The URI that the notifier knows the user by: the default identity, if that is a SIP URI. */
static char *uri_of(const struct binding *binding)
{
	struct slice aor = binding_aor(binding);
	struct name_addr identity;

	if (name_addr_parse(binding_default_identity(binding), &identity) &&
	    identity.uri.scheme != URI_TEL)
		return slice_to_string(identity.uri.text);
	return slice_to_string(aor);
}

static struct reg_watch *create(struct proxy *proxy, const struct flow *flow,
                                const struct binding *binding)
{
	struct reg_events *events = &proxy->reg_events;
	struct reg_watch *watch = memory_zalloc(sizeof(*watch));

	if (watch == NULL)
		return NULL;
	watch->proxy = proxy;
	watch->id = ++events->last_id;
	watch->flow_id = flow_id(flow);
	timer_init(&watch->timer, on_watch, watch);
	watch->aor = slice_to_string(binding_aor(binding));
	watch->to = uri_of(binding);
	forget_dialog(proxy, watch);
	if (watch->aor == NULL || watch->to == NULL) {
		reg_watch_free(proxy, watch);
		return NULL;
	}
	hash_table_insert(&events->ids, &watch->by_id, hash_bytes(&watch->id, sizeof(watch->id)));
	hash_table_insert(&events->aors, &watch->by_aor, hash_slice(binding_aor(binding)));
	return watch;
}

static void begin(struct proxy *proxy, const struct flow *flow, const struct binding *binding,
                  bool full)
{
	struct reg_events *events = &proxy->reg_events;
	struct reg_watch *watch = NULL;

	if (!full && events->ids.count < proxy->settings->reg_subscriptions_max &&
	    events->waiting.length < WAITING_MAX)
		watch = create(proxy, flow, binding);
	if (watch == NULL)
		count(proxy, REG_SUBSCRIBE_DROPPED);
	else
		reg_watch_queue(proxy, watch);
}

/* Its Sprout is gone: the others may know of the subscription or not, so it is made anew, as its client comes by. */
static bool lost_its_sprout(const struct proxy *proxy, const struct reg_watch *watch)
{
	const struct view_target *target;

	if (watch->state != REG_WATCH_STANDING)
		return false;
	target = reg_subscribe_target(proxy, watch);
	return target != NULL && target->state == TARGET_DOWN;
}

/* TS 24.229 5.2.3 and 5.2.10: an emergency registration is not watched. */
static bool is_emergency(const struct binding *binding)
{
	struct uri contact;

	return uri_parse(binding_contact(binding), &contact) && uri_param(&contact, "sos", NULL);
}

void reg_event_learnt(struct proxy *proxy, const struct flow *flow, struct slice aor)
{
	const struct binding *binding;
	struct reg_watch *watch;
	bool full = false;

	if (!proxy->settings->reg_subscribe)
		return;
	binding = flow_binding(flow, aor);
	watch = find_for(proxy, aor, flow_id(flow), &full);
	if (binding == NULL || is_emergency(binding)) {
		if (watch != NULL && watch->flow_id == flow_id(flow))
			reg_watch_end(proxy, watch);
	} else if (watch == NULL) {
		begin(proxy, flow, binding, full);
	} else {
		watch->flow_id = flow_id(flow);
		watch->ending = false;
		if (lost_its_sprout(proxy, watch))
			reg_watch_restart(proxy, watch, 0);
		else if (watch->state == REG_WATCH_STANDING)
			look_after(proxy, watch);
	}
}

void reg_watch_end(struct proxy *proxy, struct reg_watch *watch)
{
	watch->ending = true;
	if (watch->state == REG_WATCH_ASKING) /* its answer comes first */
		return;
	if (watch->accepted)
		reg_watch_queue(proxy, watch);
	else
		reg_watch_free(proxy, watch);
}

/* ---- life ---- */

int reg_event_init(struct proxy *proxy)
{
	struct reg_events *events = &proxy->reg_events;
	int err;

	list_init(&events->waiting);
	timer_init(&events->next, on_next, proxy);
	err = hash_table_init(&events->ids, 64, has_id);
	if (err != 0)
		return err;
	err = hash_table_init(&events->aors, 64, has_aor);
	if (err != 0)
		hash_table_free(&events->ids);
	return err;
}

static bool free_one(struct hash_link *link, void *arg)
{
	reg_watch_free(arg, CONTAINER_OF(link, struct reg_watch, by_id));
	return true;
}

void reg_event_free(struct proxy *proxy)
{
	struct reg_events *events = &proxy->reg_events;

	timer_stop(loop_timers(proxy->loop), &events->next);
	hash_table_visit(&events->ids, free_one, proxy);
	hash_table_free(&events->ids);
	hash_table_free(&events->aors);
}
