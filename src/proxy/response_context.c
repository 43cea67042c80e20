/*
 * The response context: one request of one client, all the branches that were tried for it, and the one
 * answer that goes back. RFC 3261 16.7, 16.8; RFC 6026 for late 2xx. Worker thread only.
 */
#include "proxy_internal.h"

#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"

/* Retry-After of our own 503s, seconds, before jitter. */
#define RETRY_AFTER_S 5

/* ---- birth and death ---- */

static void on_server_ended(void *arg, struct server_txn *txn)
{
	struct response_context *context = arg;

	context->server = NULL;
	if (!context->answered) { /* ended by the limit: nobody waits for an answer any more */
		context->answered = true;
		context->proxy->busy--;
	}
	attempt_forget_all(context);
	context_maybe_free(context);
}

static const struct server_txn_events server_events = {.on_ended = on_server_ended};

static void free_context(struct grave *grave)
{
	struct response_context *context = CONTAINER_OF(grave, struct response_context, grave);

	bytes_release(&context->base);
	bytes_release(&context->best);
	bytes_release(&context->spoilt);
	bytes_release(&context->charging_vector);
	buffer_free(&context->cancel_extra);
	memory_free(context->notes);
	memory_free(context->connected);
	memory_free(context->restoration.aor);
	if (context->registration != NULL)
		registration_free(context->registration);
	memory_free(context->registration);
	memory_free(context);
}

static void context_remove(struct response_context *context)
{
	struct proxy *proxy = context->proxy;

	timer_stop(loop_timers(proxy->loop), &context->deadline);
	list_remove(&proxy->waiting, &context->waiting_link);
	list_remove(&proxy->contexts, &context->link);
	loop_bury(proxy->loop, &context->grave, free_context);
}

/* A context lives while its server transaction or one of its branches does. */
void context_maybe_free(struct response_context *context)
{
	if (context->server == NULL && list_is_empty(&context->branches) &&
	    list_link_in_list(&context->link))
		context_remove(context);
}

void context_destroy_all(struct proxy *proxy)
{
	LIST_FOR_EACH_SAFE(link, &proxy->contexts) {
		struct response_context *context =
			CONTAINER_OF(link, struct response_context, link);

		if (context->server != NULL)
			server_txn_forget(context->server);
		context->server = NULL;
		attempt_forget_all(context);
		context_maybe_free(context);
	}
}

/* The deadline of the search: until the first answer of any kind (INVITE) or the final one (others). */
static void on_deadline(struct timer *timer, void *arg)
{
	struct response_context *context = arg;

	if (context->method == METHOD_INVITE)
		LIST_FOR_EACH(link, &context->branches)
			if (CONTAINER_OF(link, struct branch, link)->heard &&
			    !CONTAINER_OF(link, struct branch, link)->done)
				return; /* it rings, or will: timer C watches it */
	if (context->cancelled)
		context_give_up(context, 487, LOST_OTHER);
	else
		context_give_up(context, context->method == METHOD_INVITE ? 504 : 503,
		                LOST_DEADLINE);
}

static struct response_context *context_create(struct proxy *proxy, enum sip_method method,
                                               const struct request_plan *plan)
{
	struct response_context *context = memory_zalloc(sizeof(*context));

	if (context == NULL)
		return NULL;
	context->proxy = proxy;
	context->method = method;
	context->crossing = plan->crossing;
	context->fixed = plan->fixed;
	context->to_peer = plan->to_peer;
	context->terminating = plan->terminating;
	context->session = plan->session;
	context->in_dialog = plan->in_dialog;
	context->hop = plan->hop;
	context->add_target_route = plan->add_target_route;
	context->key = plan->key;
	context->preferred_id = plan->preferred != NULL ? plan->preferred->id : UINT32_MAX;
	context->flow_id = plan->flow_id;
	context->route_note = plan->route_note;
	context->asks_outbound = plan->asks_outbound;
	context->asks_keep = plan->asks_keep;
	context->retry_after_s = UINT64_MAX;
	context->last_site = context->last_target = UINT32_MAX;
	context->born_us = loop_now_us(proxy->loop);
	list_init(&context->branches);
	buffer_init(&context->cancel_extra);
	timer_init(&context->deadline, on_deadline, context);
	return context;
}

/* Takes the request. */
static void context_take_base(struct response_context *context, struct bytes **base)
{
	context->base = *base;
	*base = NULL;
	context->base_line_end =
		(uint32_t)((char *)memchr(context->base->data, '\n', context->base->length) -
	                   context->base->data) +
		1;
}

static struct response_context *context_of_request(struct incoming *in, struct request_plan *plan)
{
	struct response_context *context = context_create(in->proxy, in->method, plan);
	struct bytes *base;

	if (context == NULL)
		return NULL;
	base = message_serialize(in->message, true);
	if (base == NULL) {
		free_context(&context->grave);
		return NULL;
	}
	context_take_base(context, &base);
	if (!slice_is_empty(plan->connected)) {
		context->connected = slice_to_string(plan->connected);
		if (context->connected == NULL) {
			free_context(&context->grave);
			return NULL;
		}
	}
	context->loop_hash = in->loop_hash;
	context->registration = plan->registration;
	plan->registration = NULL;
	context->charging_vector = in->charging_vector;
	in->charging_vector = NULL;
	context->restoration = plan->restoration;
	plan->restoration.aor = NULL;
	return context;
}

static void reject_start(struct incoming *in, int err)
{
	char text[48];

	if (err == -ENOBUFS)
		proxy_reject(in, 503, "Service Unavailable", proxy_retry_after(text, RETRY_AFTER_S),
		             REJECTED_TRANSACTIONS_LIMIT);
	else
		proxy_reject(in, 500, "Server Internal Error", SLICE_NONE, REJECTED_OTHER);
}

/* What the context has not taken over. */
static void plan_free(struct request_plan *plan)
{
	if (plan->registration != NULL)
		registration_free(plan->registration);
	memory_free(plan->registration);
	plan->registration = NULL;
	memory_free(plan->restoration.aor);
	plan->restoration.aor = NULL;
}

void context_start(struct incoming *in, struct request_plan *plan)
{
	struct proxy *proxy = in->proxy;
	struct response_context *context = NULL;
	int err = session_timer_request(in, &plan->session);

	if (err == -ERANGE) { /* never a REGISTER */
		session_timer_reject(in);
		plan_free(plan);
		return;
	}
	if (err == 0) {
		context = context_of_request(in, plan);
		err = context != NULL ? 0 : -ENOMEM;
	}
	if (err == 0)
		err = server_txn_create(proxy->txns, in->message, &in->packet->hop, &in->reply_hop,
		                        &server_events, context, &context->server);
	plan_free(plan);
	if (err != 0) {
		if (context != NULL)
			free_context(&context->grave);
		reject_start(in, err);
		return;
	}
	list_append(&proxy->contexts, &context->link);
	proxy->busy++;
	if (!context->fixed)
		timer_start(loop_timers(proxy->loop), &context->deadline,
		            proxy->settings->deadline_ms);
	attempt_next(context);
}

void context_start_own(struct proxy *proxy, const struct own_request *own, struct bytes **request,
                       const struct request_plan *plan)
{
	struct response_context *context = context_create(proxy, own->method, plan);

	if (context == NULL) {
		bytes_release(request);
		own->on_ended(proxy, own->id, 0, NULL);
		return;
	}
	context->own = *own;
	context_take_base(context, request);
	list_append(&proxy->contexts, &context->link);
	timer_start(loop_timers(proxy->loop), &context->deadline, proxy->settings->deadline_ms);
	attempt_next(context);
}

void context_view_changed(struct response_context *context)
{
	list_remove(&context->proxy->waiting, &context->waiting_link);
	attempt_next(context);
}

/* ---- the one answer ---- */

/* A final answer goes back now: account for it, stop searching. */
static void context_answered(struct response_context *context, int status, bool lost)
{
	struct proxy *proxy = context->proxy;
	unsigned side = server_txn_hop(context->server)->side;

	decision_tell(context, status, lost);
	charging_tell_answer(context, status);
	context->answered = true;
	proxy->busy--;
	timer_stop(loop_timers(proxy->loop), &context->deadline);
	list_remove(&proxy->waiting, &context->waiting_link);
	metrics_add(proxy->metrics, METRIC_RESPONSES, side, context->method,
	            metrics_code_class(status), 1);
	metrics_observe_us(proxy->metrics, METRIC_TRANSACTION_SECONDS, side, context->method,
	                   loop_now_us(proxy->loop) - context->born_us);
	bytes_release(&context->base);
}

/* After a final answer that cannot be followed by another: nothing more is asked of anyone. */
static void context_finish(struct response_context *context)
{
	if (context->server != NULL)
		server_txn_forget(context->server);
	context->server = NULL;
	attempt_forget_all(context);
	context_maybe_free(context);
}

/* Our own request has come to its end; response NULL: without an answer. */
static void own_ended(struct response_context *context, const struct message *response)
{
	const struct own_request own = context->own;
	struct proxy *proxy = context->proxy;

	context->answered = true;
	timer_stop(loop_timers(proxy->loop), &context->deadline);
	list_remove(&proxy->waiting, &context->waiting_link);
	bytes_release(&context->base);
	attempt_forget_all(context);
	context_maybe_free(context);
	own.on_ended(proxy, own.id, response != NULL ? message_status(response) : 0, response);
}

static void forward_final(struct response_context *context, int status, struct bytes **flat)
{
	bool accepted = context->method == METHOD_INVITE && status < 300;

	context_answered(context, status, false);
	server_txn_forward(context->server, status, flat);
	if (!accepted) {
		context_finish(context);
		return;
	}
	/* RFC 3261 16.7 step 10: the others are not needed any more; their late 2xx would still pass. */
	LIST_FOR_EACH(link, &context->branches) {
		struct branch *branch = CONTAINER_OF(link, struct branch, link);

		if (!branch->done && branch->txn != NULL)
			client_txn_cancel(branch->txn, SLICE_NONE);
	}
}

/* Answer by ourselves. 503 carries the shortest Retry-After that was heard, else our own. */
void context_give_up(struct response_context *context, int status, enum lost_reason why)
{
	char text[48];
	struct slice extra = SLICE_NONE;
	struct buffer restoration;
	bool lost;

	if (context->answered)
		return;
	if (context->own.on_ended != NULL) {
		own_ended(context, NULL);
		return;
	}
	if (context->server == NULL)
		return;
	if (context->best != NULL && status != 487) {
		forward_final(context, context->best_status, &context->best);
		return;
	}
	if (context->refused_503 > 0 && context->refused_503 == context->attempts)
		status = 503;
	buffer_init(&restoration);
	if (restoration_answer(context, why, &restoration)) {
		status = 504;
		extra = buffer_slice(&restoration);
	} else if (status == 503 && context->retry_after_s != UINT64_MAX) {
		int n = snprintf(text, sizeof(text), "Retry-After: %llu\r\n",
		                 (unsigned long long)context->retry_after_s);
		extra = slice_of(text, (size_t)n);
	} else if (status == 503) {
		extra = proxy_retry_after(text, RETRY_AFTER_S);
	}
	lost = status == 408 || status == 500 || status == 503 || status == 504;
	if (lost)
		metrics_add(context->proxy->metrics, METRIC_REQUESTS_LOST, why, 0, 0, 1);
	context_answered(context, status, lost);
	server_txn_reply(context->server, status, reply_reason(status), extra);
	buffer_free(&restoration);
	context_finish(context);
}

/* ---- answers from below: RFC 3261 16.7 ---- */

static struct bytes *prepare_upstream(struct response_context *context, struct message *response)
{
	enum crossing crossing = context->crossing == CROSSING_NONE
	                                 ? CROSSING_NONE
	                                 : crossing_back(context->crossing);
	struct slice identity = SLICE_NONE;
	int err;

	if (crossing == CROSSING_CLIENT_TO_CORE)
		identity = connected_identity_of_response(context, response);
	err = message_pop(response, HEADER_VIA); /* step 3 */
	if (err == 0 && message_status(response) >= 200 && message_status(response) < 300)
		err = outbound_answer(context, response);
	if (err == 0)
		err = crossing == CROSSING_NONE ? 0 : trust_apply(response, crossing);
	if (err == 0 && !slice_is_empty(identity))
		err = message_append(response, "P-Asserted-Identity", identity);
	if (err == 0)
		err = charging_mark_answer(context, response);
	if (err == 0)
		err = record_route_answer(context, response);
	if (err == 0)
		err = session_timer_answer(&context->session, response);
	if (err != 0 || message_count(response, HEADER_VIA) == 0)
		return NULL;
	return message_serialize(response, true);
}

static void pass_provisional(struct branch *branch, struct message *response, int status)
{
	struct response_context *context = branch->context;
	struct bytes *flat;

	branch->progressed = true;
	if (context->answered || context->own.on_ended != NULL)
		return;
	context->provisional = true;
	/* A late ring on a branch we had given up: this one reached the callee, the others are withdrawn. */
	LIST_FOR_EACH(link, &context->branches) {
		struct branch *other = CONTAINER_OF(link, struct branch, link);

		if (other != branch && !other->done && other->txn != NULL)
			client_txn_cancel(other->txn, SLICE_NONE);
	}
	flat = prepare_upstream(context, response);
	if (flat == NULL)
		return;
	metrics_add(context->proxy->metrics, METRIC_RESPONSES,
	            server_txn_hop(context->server)->side, context->method, 0, 1);
	server_txn_forward(context->server, status, &flat);
}

static void note_retry_after(struct response_context *context, struct branch *branch,
                             struct message *response)
{
	uint64_t seconds = 0;

	if (message_retry_after(response, &seconds) && seconds < context->retry_after_s)
		context->retry_after_s = seconds;
	context->refused_503++;
	attempt_report(context->proxy, branch->target_id, HEALTH_TRAFFIC_OVERLOADED,
	               seconds * 1000);
	choose_note_failure(context, branch->site, branch->target_id, FAILOVER_OVERLOADED);
	traffic_stats_failed(context->proxy->stats, branch->target_id, TRAFFIC_OVERLOADED);
	metrics_add(context->proxy->metrics, METRIC_TARGET_FAILURES, branch->target_id,
	            FAILOVER_OVERLOADED, 0, 1);
}

/* A 503 of a target that serves others is its way to say "less": moving all of it next door would only move the
 * flood. Those beyond the budget hear the 503 themselves. */
static bool may_try_elsewhere(struct response_context *context)
{
	struct proxy *proxy = context->proxy;
	const struct view_target *target =
		proxy->view != NULL ? view_find_id(proxy->view, context->last_target) : NULL;

	if (target == NULL || !target_state_is_usable(target->state))
		return true;
	return budget_spend(&proxy->budget, loop_now_ms(proxy->loop));
}

/* While another branch lives, "merged request" only says that it got there twice, by us. */
static bool keep_waiting(struct response_context *context, int status)
{
	return status == 482 && context->live > 0;
}

/* 16.7 step 6: a 503 speaks of the element it came from. Passed on, a phone's would be ours, and its Retry-After
 * would keep the core from every client here. */
static bool is_phones_own(const struct response_context *context, int status)
{
	return status == 503 && context->crossing == CROSSING_CORE_TO_CLIENT;
}

static void answer_500(struct response_context *context)
{
	context_answered(context, 500, false);
	server_txn_reply(context->server, 500, reply_reason(500), SLICE_NONE);
	context_finish(context);
}

static void take_final(struct branch *branch, struct message *response, int status)
{
	struct response_context *context = branch->context;
	struct bytes *flat;

	attempt_branch_done(branch);
	if (context->server == NULL && context->own.on_ended == NULL)
		return;
	decision_note_answer(branch, status);
	if (context->answered && !(context->method == METHOD_INVITE && status < 300))
		return;
	if (status == 503 && !context->fixed && !branch->progressed && !context->cancelled) {
		note_retry_after(context, branch, response);
		if (may_try_elsewhere(context)) {
			attempt_next(context);
			return;
		}
	}
	if (context->own.on_ended != NULL) {
		own_ended(context, response);
		return;
	}
	if (is_phones_own(context, status)) {
		answer_500(context);
		return;
	}
	if (context->registration != NULL && status < 300)
		register_learn(context->proxy, context->flow_id, context->registration, response);
	if ((status == 401 || status == 407) && branch->target_id != UINT32_MAX)
		challenge_remember(context->proxy, response, branch->target_id);
	flat = prepare_upstream(context, response);
	if (flat == NULL) {
		context_give_up(context, 500, LOST_INTERNAL);
		return;
	}
	if (keep_waiting(context, status)) {
		bytes_release(&context->best);
		context->best = flat;
		flat = NULL;
		context->best_status = status;
	} else if (context->answered) { /* a further 2xx: RFC 3261 16.7 step 5, RFC 6026 */
		server_txn_forward(context->server, status, &flat);
	} else {
		forward_final(context, status, &flat);
	}
	bytes_release(&flat);
}

void context_on_response(struct branch *branch, struct message *response)
{
	int status = message_status(response);

	if (status == 100) /* 16.7 step 5: never forwarded */
		return;
	if (status < 200)
		pass_provisional(branch, response, status);
	else
		take_final(branch, response, status);
}

/* ---- CANCEL: RFC 3261 16.10, 9.2 ---- */

void context_cancel(struct response_context *context, struct slice reason_lines)
{
	if (context->answered || context->cancelled)
		return;
	context->cancelled = true;
	buffer_append_slice(&context->cancel_extra, reason_lines);
	if (context->live == 0) {
		context_give_up(context, 487, LOST_OTHER);
		return;
	}
	LIST_FOR_EACH(link, &context->branches) {
		struct branch *branch = CONTAINER_OF(link, struct branch, link);

		if (!branch->done && branch->txn != NULL)
			client_txn_cancel(branch->txn, reason_lines);
	}
}
