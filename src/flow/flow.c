/*
 * One flow: its state, its life, its bindings. Worker thread only.
 * RFC 5626 5, RFC 3261 10.2.4, TS 24.229 5.2.2 and 5.2.6.3.
 */
#include "flow/flow.h"

#include "base/error.h"
#include "flow_internal.h"

static const char *const close_names[FLOW_CLOSES] = {
	[FLOW_CLOSE_CONNECTION] = "connection", [FLOW_CLOSE_DEREGISTERED] = "deregistered",
	[FLOW_CLOSE_EXPIRED] = "expired",       [FLOW_CLOSE_IDLE] = "idle",
	[FLOW_CLOSE_REPLACED] = "replaced",     [FLOW_CLOSE_CROWDED] = "crowded",
	[FLOW_CLOSE_SILENT] = "silent",         [FLOW_CLOSE_SHUTDOWN] = "shutdown",
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
	list_remove(&table->strangers, &flow->in_strangers);
	/* A stream's silence is transport's to judge, and a UDP flow never is unregistered again. */
	timer_stop(loop_timers(table->loop), &flow->idle);
	flow->silence_ms = 0;
	if (state != FLOW_CLOSED && table->events != NULL && table->events->on_flow_state != NULL)
		table->events->on_flow_state(table->arg, flow);
}

static uint64_t flow_silence_due(const struct flow *flow)
{
	return flow->touched_ms + (flow->state == FLOW_REGISTERED
	                                   ? flow->silence_ms
	                                   : flow->table->settings.unregistered_ms);
}

void flow_restart_idle(struct flow *flow)
{
	uint64_t due_ms = flow_silence_due(flow);
	uint64_t now_ms = loop_now_ms(flow->table->loop);

	timer_start(loop_timers(flow->table->loop), &flow->idle,
	            due_ms > now_ms ? due_ms - now_ms : 0);
}

/* Each packet moves the deadline, so the timer looks again rather than being moved with it. */
void flow_on_idle(struct timer *timer, void *arg)
{
	struct flow *flow = arg;

	if (loop_now_ms(flow->table->loop) < flow_silence_due(flow))
		flow_restart_idle(flow);
	else
		flow_table_close(flow->table, flow,
		                 flow->state == FLOW_REGISTERED ? FLOW_CLOSE_SILENT
		                                                : FLOW_CLOSE_IDLE);
}

/* The promise is of the binding, the silence of the flow: it ends with the last binding that has one. */
static void flow_set_promise(struct flow *flow, struct binding *binding, bool promised)
{
	if (binding->promised == promised)
		return;
	binding->promised = promised;
	flow->promises = promised ? flow->promises + 1 : flow->promises - 1;
}

static void flow_set_silence(struct flow *flow, uint32_t silence_ms)
{
	if (flow->silence_ms == silence_ms)
		return;
	flow->silence_ms = silence_ms;
	if (silence_ms == 0)
		timer_stop(loop_timers(flow->table->loop), &flow->idle);
	else
		flow_restart_idle(flow);
}

void flow_expect_keepalives(struct flow *flow, struct slice aor, uint32_t silence_ms)
{
	struct binding *binding = binding_index_find(&flow->table->bindings, flow, aor);

	if (flow->state != FLOW_REGISTERED || binding == NULL)
		return;
	flow_set_promise(flow, binding, silence_ms > 0);
	if (silence_ms > 0 || flow->promises == 0)
		flow_set_silence(flow, silence_ms);
}

/* A binding has gone; if it was the last, so has the registration. */
static void flow_lost_binding(struct flow *flow, enum flow_close reason)
{
	if (!list_is_empty(&flow->bindings))
		return;
	if (flow->hop.transport == TRANSPORT_UDP)
		flow_table_close(flow->table, flow, reason);
	else
		flow_set_state(flow,
		               FLOW_NEW); /* a stream's flow is its connection: RFC 5626 3.1 */
}

static void binding_on_life(struct timer *timer, void *arg)
{
	struct binding *binding = arg;
	struct flow *flow = binding->flow;

	flow_drop_binding(flow, binding);
	flow_lost_binding(flow, FLOW_CLOSE_EXPIRED);
}

/* ---- bindings ---- */

void flow_drop_binding(struct flow *flow, struct binding *binding)
{
	timer_stop(loop_timers(flow->table->loop), &binding->life);
	flow_set_promise(flow, binding, false);
	if (flow->promises == 0)
		flow_set_silence(flow, 0);
	flow_table_remove_binding(flow->table, binding);
	list_remove(&flow->bindings, &binding->in_flow);
	binding_bury(flow->table->loop, &binding);
}

void flow_drop_bindings(struct flow *flow)
{
	struct list_link *link;

	while ((link = list_first(&flow->bindings)) != NULL)
		flow_drop_binding(flow, CONTAINER_OF(link, struct binding, in_flow));
}

const struct binding *flow_binding(const struct flow *flow, struct slice aor)
{
	return binding_index_find(&flow->table->bindings, flow, aor);
}

static struct binding *flow_first_binding(const struct flow *flow)
{
	struct list_link *link = list_first(&flow->bindings);

	return link != NULL ? CONTAINER_OF(link, struct binding, in_flow) : NULL;
}

const struct binding *flow_binding_at(const struct flow *flow, unsigned index)
{
	if (index >= flow->bindings.length)
		return NULL;
	LIST_FOR_EACH(link, &flow->bindings) {
		if (index-- == 0)
			return CONTAINER_OF(link, struct binding, in_flow);
	}
	return NULL;
}

/* RFC 5626 5.3: the older flow no longer leads to the client. */
void flow_lose_rival(struct binding *rival)
{
	struct flow *flow = rival->flow;
	uint64_t key = binding_key(rival), expires_ms = rival->expires_ms;

	flow_drop_binding(flow, rival);
	if (list_is_empty(&flow->bindings))
		flow_table_close_keyed(flow->table, flow, FLOW_CLOSE_REPLACED, key, expires_ms);
}

static void flow_restart_life(struct flow *flow, struct binding *binding)
{
	struct loop *loop = flow->table->loop;
	uint64_t now_ms = loop_now_ms(loop);

	/* In a late turn it may have lapsed already, its timer only not come. */
	timer_start(loop_timers(loop), &binding->life,
	            binding->expires_ms > now_ms ? binding->expires_ms - now_ms : 0);
}

/* The new one takes the old one's place in the order. */
static void flow_put_binding(struct flow *flow, struct binding *old, struct binding *binding)
{
	struct flow_table *table = flow->table;
	struct binding *rival;
	bool known = old != NULL && binding_has_key(old) && binding_has_key(binding) &&
	             binding_key(old) == binding_key(binding);

	if (old != NULL) {
		flow_set_promise(flow, binding, old->promised); /* until its 2xx is answered */
		list_insert_before(&flow->bindings, &old->in_flow, &binding->in_flow);
		flow_drop_binding(flow, old);
	} else {
		list_append(&flow->bindings, &binding->in_flow);
	}
	flow_table_add_binding(table, binding);
	binding->learnt_us = loop_now_us(table->loop);
	while ((rival = binding_index_rival(&table->bindings, binding)) != NULL) {
		flow_lose_rival(rival);
		known = true;
	}
	if (binding_has_key(binding))
		flow_table_note_key(table, binding, known);
	timer_init(&binding->life, binding_on_life, binding);
	flow_restart_life(flow, binding);
	flow_set_state(flow, FLOW_REGISTERED);
}

static void flow_remove_binding(struct flow *flow, struct binding *binding)
{
	flow_drop_binding(flow, binding);
	flow_lost_binding(flow, FLOW_CLOSE_DEREGISTERED);
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

/* A refresh without credentials is of who gave them before. */
static struct slice username_of(const struct registration *asked, const struct binding *old)
{
	if (asked->username != NULL)
		return slice_from_string(asked->username);
	return old != NULL ? binding_username(old) : SLICE_NONE;
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
	old = binding_index_find(&flow->table->bindings, flow, aor);
	if (!flow_find_grant(registration, old, response, &grant)) {
		if (old != NULL)
			flow_remove_binding(flow, old);
		return 0;
	}
	grant.username = username_of(registration, old);
	err = binding_create(aor, &grant, response, loop_now_ms(flow->table->loop), old, &binding);
	if (err != 0)
		return err;
	if (binding == old) {
		old->learnt_us = loop_now_us(flow->table->loop);
		old->restoring = false;
		flow_restart_life(flow, old);
		return 0;
	}
	binding->flow = flow;
	if (old == NULL && !binding_index_has_room(&flow->table->bindings, binding)) {
		binding_destroy(&binding);
		flow_table_refuse_binding(flow->table);
		return -ENOBUFS;
	}
	flow_put_binding(flow, old, binding);
	return 0;
}

/* ---- the registrar changes its mind ---- */

bool flow_revoke(struct flow *flow, struct slice aor)
{
	struct binding *binding = binding_index_find(&flow->table->bindings, flow, aor);

	if (binding == NULL)
		return false;
	flow_remove_binding(flow, binding);
	return true;
}

bool flow_shorten(struct flow *flow, struct slice aor, uint32_t seconds)
{
	struct binding *binding = binding_index_find(&flow->table->bindings, flow, aor);
	uint64_t expires_ms = loop_now_ms(flow->table->loop) + (uint64_t)seconds * 1000;

	if (binding == NULL || seconds == 0)
		return flow_revoke(flow, aor);
	if (expires_ms < binding->expires_ms) {
		binding->expires_ms = expires_ms;
		flow_restart_life(flow, binding);
	}
	return true;
}

bool flow_revoke_identity(struct flow *flow, const struct uri *uri)
{
	struct identity *identity = binding_index_find_identity(&flow->table->bindings, flow, uri);
	struct binding *old, *binding;
	uint64_t learnt_us;

	if (identity == NULL)
		return false;
	old = identity_binding(identity);
	if (old->identity_count == 1 || binding_without(old, identity, &binding) != 0) {
		flow_remove_binding(flow, old);
		return true;
	}
	binding->flow = flow;
	learnt_us = old->learnt_us;
	flow_put_binding(flow, old, binding);
	binding->learnt_us = learnt_us; /* it is no younger for that */
	return true;
}

void flow_restore(struct flow *flow, struct slice aor)
{
	struct binding *binding = binding_index_find(&flow->table->bindings, flow, aor);

	if (binding != NULL)
		binding->restoring = true;
}

/* ---- identity ---- */

const struct binding *flow_identity_find(const struct flow *flow, const struct uri *uri,
                                         struct slice *identity)
{
	struct identity *found = binding_index_find_identity(&flow->table->bindings, flow, uri);

	if (found == NULL)
		return NULL;
	*identity = identity_text(found);
	return identity_binding(found);
}

const struct binding *flow_identity_for(const struct flow *flow, const struct name_addr *preferred,
                                        struct slice *identity)
{
	const struct binding *first = flow_first_binding(flow);
	struct identity *found = NULL;

	if (preferred != NULL && first != NULL)
		found = binding_index_find_identity(&flow->table->bindings, flow, &preferred->uri);
	if (found != NULL) {
		*identity = identity_text(found);
		return identity_binding(found);
	}
	*identity = first != NULL ? binding_default_identity(first) : SLICE_NONE;
	return first;
}
