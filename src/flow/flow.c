/*
 * One flow: its state, its life, its bindings. Worker thread only.
 * RFC 5626 5, RFC 3261 10.2.4, TS 24.229 5.2.2 and 5.2.6.3.
 */
#include "flow/flow.h"

#include "base/error.h"
#include "flow_internal.h"

/* An expiry may be 136 years away; looking again once a day costs nothing and fits any timer wheel. */
#define LIFE_LOOK_AGAIN_MS (24ull * 3600 * 1000)

static const char *const close_names[FLOW_CLOSES] = {
	[FLOW_CLOSE_CONNECTION] = "connection", [FLOW_CLOSE_DEREGISTERED] = "deregistered",
	[FLOW_CLOSE_EXPIRED] = "expired",       [FLOW_CLOSE_IDLE] = "idle",
	[FLOW_CLOSE_REPLACED] = "replaced",     [FLOW_CLOSE_SHUTDOWN] = "shutdown",
};

const char *flow_close_name(enum flow_close reason)
{
	ASSERT(reason < FLOW_CLOSES);
	return close_names[reason];
}

enum flow_state flow_state(const struct flow *flow)
{
	return flow->state;
}

uint64_t flow_id(const struct flow *flow)
{
	return flow->id;
}

const struct hop *flow_hop(const struct flow *flow)
{
	return &flow->hop;
}

const char *flow_token_text(const struct flow *flow)
{
	return flow->token;
}

uint64_t flow_born_ms(const struct flow *flow)
{
	return flow->born_ms;
}

void flow_touch(struct flow *flow)
{
	/* The timer looks at this when it fires: a packet costs one store. */
	flow->touched_ms = loop_now_ms(flow->table->loop);
}

/* ---- state and life ---- */

void flow_set_state(struct flow *flow, enum flow_state state)
{
	struct flow_table *table = flow->table;

	if (flow->state == state)
		return;
	flow->state = state;
	if (state == FLOW_CLOSED) {
		timer_stop(loop_timers(table->loop), &flow->life);
		return;
	}
	if (state == FLOW_NEW)
		flow->touched_ms = loop_now_ms(table->loop);
	if (table->events != NULL && table->events->on_flow_state != NULL)
		table->events->on_flow_state(table->arg, flow);
}

static uint64_t flow_earliest_expiry(const struct flow *flow)
{
	uint64_t earliest = UINT64_MAX;

	LIST_FOR_EACH(link, &flow->bindings) {
		const struct binding *binding = CONTAINER_OF(link, struct binding, in_flow);

		if (binding->expires_ms < earliest)
			earliest = binding->expires_ms;
	}
	return earliest;
}

void flow_restart_life(struct flow *flow)
{
	struct timers *timers = loop_timers(flow->table->loop);
	uint64_t now = loop_now_ms(flow->table->loop), due;

	if (!list_is_empty(&flow->bindings)) {
		due = flow_earliest_expiry(flow);
	} else if (flow->hop.transport == TRANSPORT_UDP) {
		due = flow->touched_ms + flow->table->settings.unregistered_ms;
	} else {
		timer_stop(timers, &flow->life);
		return;
	}
	if (due > now + LIFE_LOOK_AGAIN_MS)
		due = now + LIFE_LOOK_AGAIN_MS;
	timer_start(timers, &flow->life, due > now ? due - now : 0);
}

/* The last binding has gone. */
static void flow_unregister(struct flow *flow, enum flow_close reason)
{
	if (flow->hop.transport == TRANSPORT_UDP) {
		flow_table_close(flow->table, flow, reason);
		return;
	}
	flow_set_state(flow, FLOW_NEW); /* a stream's flow is its connection: RFC 5626 3.1 */
	flow_restart_life(flow);
}

static void flow_expire_bindings(struct flow *flow, uint64_t now)
{
	LIST_FOR_EACH_SAFE(link, &flow->bindings) {
		struct binding *binding = CONTAINER_OF(link, struct binding, in_flow);

		if (binding->expires_ms <= now)
			flow_drop_binding(flow, binding);
	}
}

void flow_on_life(struct timer *timer, void *arg)
{
	struct flow *flow = arg;
	uint64_t now = loop_now_ms(flow->table->loop);

	if (flow->state == FLOW_REGISTERED) {
		flow_expire_bindings(flow, now);
		if (list_is_empty(&flow->bindings))
			flow_unregister(flow, FLOW_CLOSE_EXPIRED);
		else
			flow_restart_life(flow);
		return;
	}
	if (now >= flow->touched_ms + flow->table->settings.unregistered_ms)
		flow_table_close(flow->table, flow, FLOW_CLOSE_IDLE);
	else
		flow_restart_life(flow);
}

/* ---- bindings ---- */

void flow_drop_binding(struct flow *flow, struct binding *binding)
{
	flow_table_unindex_binding(flow->table, binding);
	list_remove(&flow->bindings, &binding->in_flow);
	binding_bury(flow->table->loop, &binding);
}

void flow_drop_bindings(struct flow *flow)
{
	struct list_link *link;

	while ((link = list_first(&flow->bindings)) != NULL)
		flow_drop_binding(flow, CONTAINER_OF(link, struct binding, in_flow));
}

static struct binding *flow_find_binding(const struct flow *flow, struct slice aor)
{
	LIST_FOR_EACH(link, &flow->bindings) {
		struct binding *binding = CONTAINER_OF(link, struct binding, in_flow);

		if (slice_equal(binding_aor(binding), aor))
			return binding;
	}
	return NULL;
}

const struct binding *flow_binding(const struct flow *flow, struct slice aor)
{
	return flow_find_binding(flow, aor);
}

const struct binding *flow_binding_at(const struct flow *flow, unsigned index)
{
	LIST_FOR_EACH(link, &flow->bindings) {
		if (index-- == 0)
			return CONTAINER_OF(link, struct binding, in_flow);
	}
	return NULL;
}

/* RFC 5626 5.3: the client has come over another flow; the older one no longer leads to it. */
static void flow_lose_rival(struct binding *rival)
{
	struct flow *flow = rival->flow;
	uint64_t key = binding_key(rival), expires_ms = rival->expires_ms;

	flow_drop_binding(flow, rival);
	if (list_is_empty(&flow->bindings))
		flow_table_close_keyed(flow->table, flow, FLOW_CLOSE_REPLACED, key, expires_ms);
	else
		flow_restart_life(flow);
}

static void flow_put_binding(struct flow *flow, struct binding *old, struct binding *binding)
{
	struct flow_table *table = flow->table;
	struct binding *rival;

	binding->flow = flow;
	if (old != NULL) {
		list_insert_before(&flow->bindings, &old->in_flow, &binding->in_flow);
		flow_drop_binding(flow, old);
	} else {
		list_append(&flow->bindings, &binding->in_flow);
	}
	flow_table_index_binding(table, binding);
	while ((rival = flow_table_rival(table, binding)) != NULL)
		flow_lose_rival(rival);
	flow_restart_life(flow);
	flow_set_state(flow, FLOW_REGISTERED);
}

static void flow_remove_binding(struct flow *flow, struct binding *binding)
{
	flow_drop_binding(flow, binding);
	if (list_is_empty(&flow->bindings))
		flow_unregister(flow, FLOW_CLOSE_DEREGISTERED);
	else
		flow_restart_life(flow);
}

/* RFC 3261 10.2.4: the 2xx lists every binding that stands. What was granted: to a contact of the request, or
 * else still to the one we know, unless this request sent that away. */
static bool flow_find_grant(const struct registration *asked, const struct binding *old,
                            const struct message *response, struct grant *out)
{
	struct slice contacts = slice_from_string(asked->contacts);

	if (slice_equal(contacts, SLICE_LITERAL("*")))
		return false;
	if (asked->requested_s > 0 &&
	    grant_find(response, contacts, slice_from_string(asked->instance), asked->reg_id,
	               asked->requested_s, out))
		return true;
	if (old == NULL || contacts_name(contacts, binding_contact(old)))
		return false;
	return grant_find(response, binding_contact(old), binding_instance(old), old->reg_id,
	                  asked->requested_s, out);
}

int flow_learn(struct flow *flow, const struct registration *registration,
               const struct message *response)
{
	struct slice aor = slice_from_string(registration->aor);
	struct binding *old, *binding;
	struct grant grant;
	int err;

	if (flow->state == FLOW_CLOSED)
		return -ENOENT; /* ended in this very turn */
	old = flow_find_binding(flow, aor);
	if (!flow_find_grant(registration, old, response, &grant)) {
		if (old != NULL)
			flow_remove_binding(flow, old);
		return 0;
	}
	err = binding_create(aor, &grant, response, loop_now_ms(flow->table->loop), &binding);
	if (err != 0)
		return err;
	flow_put_binding(flow, old, binding);
	return 0;
}

/* ---- identity ---- */

static bool binding_find_identity(const struct binding *binding, const struct uri *wanted,
                                  struct slice *identity)
{
	struct name_addr known;
	unsigned i;

	for (i = 0; i < binding->identity_count; i++) {
		*identity = binding_identity(binding, i);
		if (name_addr_parse(*identity, &known) && uri_equal(&known.uri, wanted))
			return true;
	}
	return false;
}

const struct binding *flow_identity_for(const struct flow *flow, const struct name_addr *preferred,
                                        struct slice *identity)
{
	const struct binding *first;

	if (preferred != NULL) {
		LIST_FOR_EACH(link, &flow->bindings) {
			struct binding *binding = CONTAINER_OF(link, struct binding, in_flow);

			if (binding_find_identity(binding, &preferred->uri, identity))
				return binding;
		}
	}
	first = flow_binding_at(flow, 0);
	*identity = first != NULL ? binding_default_identity(first) : SLICE_NONE;
	return first;
}
