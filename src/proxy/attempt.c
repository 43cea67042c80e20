/*
 * Attempts: one request over one hop after another until somebody answers. Chooses the target, builds
 * the flat request for it, and hears what became of it. RFC 3261 16.6 steps 7-11, 16.9. Failover:
 * refused, reset, silent or a 503 before any provisional sends the same request to the next target.
 * Worker thread only.
 */
#include "proxy_internal.h"

#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"

/* RFC 3261 16.6 step 11: above three minutes. */
#define TIMER_C_MS 185000
/* A non-INVITE has no provisional: while its target goes on answering others it gets this long. */
#define BUSY_ANSWER_MS 2000
/* Signs of life are told to control at most so often for one target. */
#define REPORT_ALIVE_MS 1000

struct slice attempt_route(const struct view_target *target, bool add_route, bool terminating)
{
	const struct slice orig = SLICE_LITERAL(";orig");
	struct slice route;

	if (!add_route || target == NULL)
		return SLICE_NONE;
	route = slice_from_string(target->route_uri);
	if (terminating && route.length > orig.length) /* it is the last of them: targets.c */
		route.length -= orig.length;
	return route;
}

struct bytes *attempt_flatten(struct proxy *proxy, struct slice base, size_t line_end,
                              const struct hop *hop, const struct view_target *target,
                              struct slice route, const char *branch)
{
	const char *sent_by = proxy->ways.sent_by(proxy->ways.arg, hop);
	struct bytes *flat;
	char via[1024]; /* two host names of 255 letters and a target's parameters */
	int length;
	char *out;

	if (target != NULL && proxy->view->sites[target->site].advertise != NULL)
		sent_by = proxy->view->sites[target->site].advertise;
	length = snprintf(via, sizeof(via), "Via: SIP/2.0/%s %s;branch=%s%s\r\n%s%.*s%s",
	                  transport_via_name(hop->transport), sent_by, branch,
	                  hop->transport == TRANSPORT_UDP ? ";rport" : "",
	                  route.length > 0 ? "Route: <" : "", SLICE_ARGS(route),
	                  route.length > 0 ? ">\r\n" : "");
	if (length < 0 || (size_t)length >= sizeof(via))
		return NULL;
	flat = bytes_create(base.length + (size_t)length);
	if (flat == NULL)
		return NULL;
	out = flat->data;
	memcpy(out, base.data, line_end);
	memcpy(out + line_end, via, (size_t)length);
	memcpy(out + line_end + length, base.data + line_end, base.length - line_end);
	return flat;
}

void attempt_report(struct proxy *proxy, uint32_t target_id, enum health_input input,
                    uint64_t value)
{
	if (target_id != UINT32_MAX)
		proxy->ways.report(proxy->ways.arg, target_id, input, value);
}

static void heard_from(struct proxy *proxy, uint32_t target_id)
{
	uint64_t now = loop_now_ms(proxy->loop);

	if (target_id == UINT32_MAX)
		return;
	if (now - proxy->heard_ms[target_id] >= REPORT_ALIVE_MS)
		attempt_report(proxy, target_id, HEALTH_TRAFFIC_ANSWERED, 0);
	proxy->heard_ms[target_id] = now;
}

void attempt_branch_done(struct branch *branch)
{
	struct proxy *proxy = branch->context->proxy;

	if (branch->done)
		return;
	branch->done = true;
	branch->context->live--;
	timer_stop(loop_timers(proxy->loop), &branch->first_answer);
	timer_stop(loop_timers(proxy->loop), &branch->timer_c);
	if (branch->target_id == UINT32_MAX)
		return;
	proxy->outstanding[branch->target_id]--;
	metrics_add(proxy->metrics, METRIC_TARGET_IN_FLIGHT, branch->target_id, 0, 0, -1);
}

/*
 * A client reads in the Vias of a request the branches of everyone it passed, ours toward the core among them.
 * Lest it answer in the core's name, what goes to clients has odd numbers and what goes to the core even ones.
 */
static void mint_branch(struct proxy *proxy, enum side side, uint64_t loop_hash_value,
                        char name[BRANCH_TEXT_MAX])
{
	if ((proxy->branches->next & 1) != (side == SIDE_ACCESS))
		proxy->branches->next++;
	branch_mint(proxy->branches, loop_hash_value, name);
}

bool attempt_branch_is_for_client(struct slice branch)
{
	uint64_t number;

	return branch_read(branch, NULL, &number, NULL) && (number & 1) != 0;
}

/* Whether silence is the target's own. An INVITE gets its 100 and a REGISTER its answer from the Sprout itself;
 * other requests wait for a phone, and who owns a silent phone must not be able to condemn a Sprout with it. */
static bool silence_is_evidence(const struct response_context *context)
{
	return context->method == METHOD_INVITE || context->method == METHOD_REGISTER;
}

/* For the statistics of control: what may be held against the target. */
static void count_failure(const struct branch *branch, enum failover_reason reason)
{
	const struct response_context *context = branch->context;
	struct traffic_stats *stats = context->proxy->stats;
	uint32_t target_id = branch->target_id;

	if (reason == FAILOVER_REFUSED)
		traffic_stats_failed(stats, target_id, TRAFFIC_REFUSED);
	else if (reason == FAILOVER_RESET)
		traffic_stats_failed(stats, target_id, TRAFFIC_RESET);
	else if (reason == FAILOVER_OVERLOADED)
		traffic_stats_failed(stats, target_id, TRAFFIC_OVERLOADED);
	else if (reason == FAILOVER_SILENT && !branch->late && silence_is_evidence(context))
		traffic_stats_failed(stats, target_id, TRAFFIC_SILENT);
}

/* The attempt brought nothing: remember why, for the counters and the decision line. */
static void note_failure(struct branch *branch, enum failover_reason reason)
{
	struct response_context *context = branch->context;

	decision_note_failure(branch, reason);
	if (branch->target_id == UINT32_MAX) {
		context->last_failure = reason;
		return;
	}
	choose_note_failure(context, branch->site, branch->target_id, reason);
	metrics_add(context->proxy->metrics, METRIC_TARGET_FAILURES, branch->target_id, reason, 0,
	            1);
	count_failure(branch, reason);
}

/* Silence is called so after first_answer, or after four times what this site usually takes if that is longer. */
static uint64_t patience_ms(const struct proxy *proxy, uint32_t site)
{
	uint64_t usual_ms = site < proxy->view->site_count
	                            ? proxy->view->sites[site].response_us * 4 / 1000
	                            : 0;
	uint64_t limit = proxy->settings->deadline_ms / 2;

	if (usual_ms > limit)
		usual_ms = limit;
	return usual_ms > proxy->settings->first_answer_ms ? usual_ms
	                                                   : proxy->settings->first_answer_ms;
}

static bool is_down(const struct proxy *proxy, uint32_t target_id)
{
	const struct view_target *target = view_find_id(proxy->view, target_id);

	return target != NULL && target->state == TARGET_DOWN;
}

/* A silent target that goes on answering others is slow, not dead: leaving it costs of the budget. */
static bool may_leave(struct branch *branch, uint64_t now_ms)
{
	struct proxy *proxy = branch->context->proxy;

	if (is_down(proxy, branch->target_id) ||
	    now_ms - proxy->heard_ms[branch->target_id] > proxy->settings->first_answer_ms)
		return true;
	return budget_spend(&proxy->budget, now_ms);
}

/* Told even of a request that waits on and whose repetition will be answered: over UDP that is how a target
 * shows that it loses some. */
static void note_late(struct branch *branch)
{
	count_failure(branch, FAILOVER_SILENT);
	branch->late = true;
}

static void on_first_answer_missing(struct timer *timer, void *arg)
{
	struct branch *branch = arg;
	struct response_context *context = branch->context;
	struct proxy *proxy = context->proxy;
	uint64_t now = loop_now_ms(proxy->loop);
	uint64_t sent_ms = branch->sent_us / 1000;

	if (branch->heard || branch->done || context->answered)
		return;
	note_late(branch);
	if (context->method != METHOD_INVITE && proxy->heard_ms[branch->target_id] >= sent_ms &&
	    now < sent_ms + BUSY_ANSWER_MS && !is_down(proxy, branch->target_id)) {
		timer_start(loop_timers(proxy->loop), timer, sent_ms + BUSY_ANSWER_MS - now);
		return;
	}
	if (!branch->silent && silence_is_evidence(context))
		attempt_report(proxy, branch->target_id, HEALTH_TRAFFIC_SILENT, sent_ms);
	branch->silent = true;
	if (!may_leave(branch, now)) { /* it waits on; the deadline has the last word */
		timer_start(loop_timers(proxy->loop), timer, patience_ms(proxy, branch->site));
		return;
	}
	note_failure(branch, FAILOVER_SILENT);
	/* It stays in the context: a late answer is still an answer (RFC 3261 16.7). */
	branch->abandoned = true;
	attempt_next(context);
}

/* Another worker, or a probe, was told that nobody is there: what waits on it here need not wait longer. Over UDP
 * only who sends again hears of a closed port. */
void attempt_leave_lost(struct response_context *context, const bool lost[VIEW_TARGETS_MAX])
{
	LIST_FOR_EACH(link, &context->branches) {
		struct branch *branch = CONTAINER_OF(link, struct branch, link);

		if (branch->target_id != UINT32_MAX && lost[branch->target_id] &&
		    timer_is_running(&branch->first_answer))
			timer_start(loop_timers(context->proxy->loop), &branch->first_answer, 0);
	}
}

static void on_timer_c(struct timer *timer, void *arg)
{
	struct branch *branch = arg;

	client_txn_cancel(branch->txn, SLICE_NONE); /* on_failed tells the end of it */
}

static void free_branch(struct grave *grave)
{
	memory_free(CONTAINER_OF(grave, struct branch, grave));
}

/* Take the branch out of its context; the memory goes at turn's end. */
static void branch_remove(struct branch *branch)
{
	struct response_context *context = branch->context;

	attempt_branch_done(branch);
	list_remove(&context->branches, &branch->link);
	loop_bury(context->proxy->loop, &branch->grave, free_branch);
}

void attempt_forget_all(struct response_context *context)
{
	LIST_FOR_EACH_SAFE(link, &context->branches) {
		struct branch *branch = CONTAINER_OF(link, struct branch, link);

		if (branch->txn != NULL) {
			if (!branch->done && context->method == METHOD_INVITE)
				client_txn_cancel(branch->txn,
				                  buffer_slice(&context->cancel_extra));
			client_txn_forget(branch->txn);
		}
		branch_remove(branch);
	}
}

static struct branch *branch_create(struct response_context *context,
                                    const struct view_target *target)
{
	struct branch *branch = memory_zalloc(sizeof(*branch));

	if (branch == NULL)
		return NULL;
	branch->context = context;
	branch->target_id = target != NULL ? target->id : UINT32_MAX;
	branch->site = target != NULL ? target->site : UINT32_MAX;
	branch->sent_us = loop_now_us(context->proxy->loop);
	timer_init(&branch->first_answer, on_first_answer_missing, branch);
	timer_init(&branch->timer_c, on_timer_c, branch);
	list_append(&context->branches, &branch->link);
	context->live++;
	if (target != NULL) {
		context->proxy->outstanding[target->id]++;
		metrics_add(context->proxy->metrics, METRIC_TARGET_IN_FLIGHT, target->id, 0, 0, 1);
	}
	return branch;
}

static void branch_start_timers(struct branch *branch)
{
	struct response_context *context = branch->context;
	struct proxy *proxy = context->proxy;

	if (branch->target_id != UINT32_MAX)
		timer_start(loop_timers(proxy->loop), &branch->first_answer,
		            patience_ms(proxy, branch->site));
	if (context->method == METHOD_INVITE)
		timer_start(loop_timers(proxy->loop), &branch->timer_c, TIMER_C_MS);
}

static void count_attempt(struct response_context *context, const struct view_target *target)
{
	struct metrics *metrics = context->proxy->metrics;

	context->attempts++;
	if (target == NULL)
		return;
	metrics_add(metrics, METRIC_TARGET_REQUESTS, target->id, 0, 0, 1);
	traffic_stats_sent(context->proxy->stats, target->id);
	if (context->attempts == 1)
		budget_earn(&context->proxy->budget, loop_now_ms(context->proxy->loop));
	if (context->last_site != UINT32_MAX)
		metrics_add(metrics, METRIC_FAILOVERS, context->last_site, target->site,
		            context->last_failure, 1);
}

/* Send over this hop. -errno: nothing was begun. */
static int attempt_start(struct response_context *context, const struct hop *hop,
                         const struct view_target *target)
{
	struct proxy *proxy = context->proxy;
	char name[BRANCH_TEXT_MAX];
	struct branch *branch;
	struct bytes *flat;
	int err;

	mint_branch(proxy, hop->side, context->loop_hash, name);
	flat = attempt_flatten(
		proxy, bytes_slice(context->base), context->base_line_end, hop, target,
		attempt_route(target, context->add_target_route, context->terminating), name);
	if (flat == NULL)
		return -ENOMEM;
	branch = branch_create(context, target);
	if (branch == NULL) {
		bytes_release(&flat);
		return -ENOMEM;
	}
	count_attempt(context, target);
	err = client_txn_create(proxy->txns, context->method, name, hop, &flat,
	                        &context_client_events, branch, &branch->txn);
	bytes_release(&flat);
	if (err != 0) {
		branch_remove(branch);
		return err;
	}
	branch_start_timers(branch);
	return 0;
}

static void attempt_fixed(struct response_context *context)
{
	if (context->attempts > 0) {
		if (context->live == 0)
			context_give_up(context, context->to_peer ? 503 : 430, LOST_OTHER);
		return;
	}
	/* The transactions' limit or memory: ours to mend, and soon. */
	if (attempt_start(context, &context->hop, NULL) != 0)
		context_give_up(context, 503, LOST_INTERNAL);
}

static bool is_no_way_there(int err)
{
	return err == -ENETUNREACH || err == -EHOSTUNREACH || err == -ECONNREFUSED ||
	       err == -ENETDOWN || err == -EHOSTDOWN;
}

/* One try at this target. -errno: it could not even be begun. */
static int attempt_target(struct response_context *context, const struct view_target *target)
{
	struct proxy *proxy = context->proxy;
	struct transport_peer peer;
	struct hop hop;
	int err;

	pick_mark_tried(&context->tried, target->id);
	view_target_peer(target, &peer);
	err = proxy->ways.open(proxy->ways.arg, &peer, &hop);
	if (err == 0)
		err = attempt_start(context, &hop, target);
	if (err == 0)
		return 0;
	choose_note_failure(context, target->site, target->id,
	                    is_no_way_there(err) ? FAILOVER_REFUSED : FAILOVER_OTHER);
	decision_note_unsent(context, target->id, is_no_way_there(err));
	if (is_no_way_there(err))
		attempt_report(proxy, target->id, HEALTH_TRAFFIC_REFUSED, 0);
	log_debug("target %s/%s: request not sent, %s", proxy->view->sites[target->site].name,
	          target->name, error_text(err));
	return err;
}

static void nothing_left(struct response_context *context, enum lost_reason why)
{
	if (context->live > 0) /* somebody may still answer; the deadline ends the waiting */
		return;
	context_give_up(context, context->too_long ? 513 : 503, why);
}

/* A target that was asked may still answer in time. */
static bool is_asking(const struct response_context *context)
{
	LIST_FOR_EACH(link, &context->branches) {
		const struct branch *branch = CONTAINER_OF(link, struct branch, link);

		if (!branch->done && !branch->abandoned)
			return true;
	}
	return false;
}

/* The next target, or the end of the search. */
void attempt_next(struct response_context *context)
{
	struct proxy *proxy = context->proxy;
	const struct view_target *target;
	int err;

	/* The end of a target that was given up before says nothing of the one that is being asked. */
	if (context->answered || context->provisional || is_asking(context))
		return;
	if (context->cancelled) {
		context_give_up(context, 487, LOST_OTHER);
		return;
	}
	if (context->fixed) {
		attempt_fixed(context);
		return;
	}
	for (;;) {
		switch (choose_target(context, &target)) {
		case PICK_NOW:
			err = attempt_target(context, target);
			if (err == 0)
				return;
			if (err == -ENOBUFS || err == -ENOMEM) { /* ours: no other target helps */
				nothing_left(context, LOST_INTERNAL);
				return;
			}
			break;
		case PICK_LATER:
			list_remove(&proxy->waiting, &context->waiting_link);
			list_append(&proxy->waiting, &context->waiting_link);
			return;
		case PICK_NEVER:
			nothing_left(context, LOST_NO_TARGET);
			return;
		}
	}
}

/* ---- what the client transactions tell ---- */

static enum failover_reason reason_of(const struct client_txn *txn, enum txn_failure failure)
{
	if (failure == TXN_TIMEOUT)
		return FAILOVER_TIMEOUT;
	switch (client_txn_error(txn)) {
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return FAILOVER_REFUSED;
	case ETIMEDOUT:
		return FAILOVER_SILENT;
	case EMSGSIZE: /* not the target's doing: a client chooses how long its request is */
	case ENOMEM:
		return FAILOVER_OTHER;
	default:
		return FAILOVER_RESET;
	}
}

static enum health_input input_of(enum failover_reason reason)
{
	switch (reason) {
	case FAILOVER_REFUSED:
		return HEALTH_TRAFFIC_REFUSED;
	case FAILOVER_RESET:
		return HEALTH_TRAFFIC_RESET;
	default:
		return HEALTH_TRAFFIC_SILENT;
	}
}

static void on_client_failed(void *arg, struct client_txn *txn, enum txn_failure failure)
{
	struct branch *branch = arg;
	struct response_context *context = branch->context;
	enum failover_reason reason = reason_of(txn, failure);
	bool progressed = branch->progressed;

	if (branch->done)
		return;
	note_failure(branch, reason);
	if (failure == TXN_TRANSPORT && client_txn_error(txn) == EMSGSIZE)
		context->too_long = true;
	if (!progressed && reason != FAILOVER_OTHER &&
	    (reason != FAILOVER_TIMEOUT || silence_is_evidence(context)))
		attempt_report(context->proxy, branch->target_id, input_of(reason),
		               input_of(reason) == HEALTH_TRAFFIC_SILENT ? branch->sent_us / 1000
		                                                         : 0);
	attempt_branch_done(branch);
	if (context->answered)
		return;
	if (context->cancelled && context->live == 0)
		context_give_up(context, 487, LOST_OTHER);
	else if (context->fixed || context->provisional) {
		/* RFC 5626 5.3.1: a flow that does not take the request has failed; a silent client has
		 * timed out; a Sprout lost while it rang cannot be replaced. */
		if (context->live == 0)
			context_give_up(context,
			                failure == TXN_TIMEOUT                ? 408
			                : context->too_long                   ? 513
			                : !context->fixed || context->to_peer ? 503
			                                                      : 430,
			                LOST_TIMEOUT);
	} else {
		attempt_next(context);
	}
}

static void on_client_ended(void *arg, struct client_txn *txn)
{
	struct branch *branch = arg;
	struct response_context *context = branch->context;

	branch->txn = NULL;
	branch_remove(branch);
	if (!context->answered && context->live == 0 && list_is_empty(&context->branches) &&
	    !list_link_in_list(&context->waiting_link))
		attempt_next(context);
	context_maybe_free(context);
}

static void heard_first(struct proxy *proxy, const struct branch *branch)
{
	uint64_t us = loop_now_us(proxy->loop) - branch->sent_us;

	metrics_observe_us(proxy->metrics, METRIC_FIRST_ANSWER_SECONDS, branch->site, 0, us);
	traffic_stats_answered(proxy->stats, branch->target_id, us, loop_now_ms(proxy->loop));
}

static void on_client_response(void *arg, struct client_txn *txn, struct message **response)
{
	struct branch *branch = arg;
	struct proxy *proxy = branch->context->proxy;

	heard_from(proxy, branch->target_id);
	if (!branch->heard) {
		branch->heard = true;
		timer_stop(loop_timers(proxy->loop), &branch->first_answer);
		if (branch->site != UINT32_MAX)
			heard_first(proxy, branch);
	}
	if (message_status(*response) >= 101 && message_status(*response) < 200 &&
	    timer_is_running(&branch->timer_c))
		timer_start(loop_timers(proxy->loop), &branch->timer_c, TIMER_C_MS);
	context_on_response(branch, *response);
}

const struct client_txn_events context_client_events = {
	.on_response = on_client_response,
	.on_failed = on_client_failed,
	.on_ended = on_client_ended,
};
