/*
 * Probes under way on one worker: each an OPTIONS by an ordinary client transaction, with a time limit of
 * its own. Worker thread only. RFC 3261 11, 17.1.2.
 */
#include "upstream/probe.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/random.h"
#include "sip/reply.h"
#include "transaction/client_txn.h"

#define VIA_TEXT_MAX 384
#define CALL_ID_TEXT_MAX 24

struct probes {
	struct loop *loop;
	struct txn_table *table;
	struct probe_ways ways;
	struct branch_source *branches;
	char *from_host;
	probe_done_fn *done;
	void *arg;
	struct list under_way;
};

struct probe {
	struct probes *probes;
	struct list_link in_probes; /* in probes->under_way until its result is told */
	struct client_txn *txn;     /* NULL: not sent, or over */
	struct timer limit;       /* its time is over; or: tell the result that is already known */
	enum health_input result; /* what the timer tells */
	uint32_t target_id, generation;
	uint64_t sent_us;
	struct grave grave;
};

static void probe_free(struct grave *grave)
{
	memory_free(CONTAINER_OF(grave, struct probe, grave));
}

/* No more events, out of the list; its memory goes at the turn's end. */
static void probe_end(struct probe *probe)
{
	struct probes *probes = probe->probes;

	if (probe->txn != NULL)
		client_txn_forget(probe->txn);
	probe->txn = NULL;
	timer_stop(loop_timers(probes->loop), &probe->limit);
	list_remove(&probes->under_way, &probe->in_probes);
	loop_bury(probes->loop, &probe->grave, probe_free);
}

static void probe_tell(struct probe *probe, enum health_input result, uint64_t value)
{
	struct probes *probes = probe->probes;

	probe_end(probe);
	probes->done(probes->arg, probe->target_id, probe->generation, result, value);
}

static void probe_finish(struct probe *probe, enum health_input result)
{
	probe_tell(probe, result, clock_now_us() - probe->sent_us);
}

static void on_limit(struct timer *timer, void *arg)
{
	struct probe *probe = arg;

	probe_finish(probe, probe->result);
}

static void on_response(void *arg, struct client_txn *txn, struct message **response)
{
	int status = message_status(*response);
	uint64_t seconds;

	if (status < 200)
		return; /* RFC 3261 8.1.3.2: somebody works on it; the time limit goes on */
	if (status != 503) {
		probe_finish(arg, HEALTH_PROBE_OK);
		return;
	}
	(void)message_retry_after(*response, &seconds);
	probe_tell(arg, HEALTH_PROBE_OVERLOADED, seconds * 1000);
}

static void on_failed(void *arg, struct client_txn *txn, enum txn_failure failure)
{
	enum health_input result = HEALTH_PROBE_REFUSED;

	if (failure == TXN_TIMEOUT)
		result = HEALTH_PROBE_TIMED_OUT;
	else if (client_txn_error(txn) == EPROTO) /* as the worker says CLOSE_TLS */
		result = HEALTH_PROBE_TLS;
	probe_finish(arg, result);
}

/* Only of a transaction that neither answered nor failed. */
static void on_ended(void *arg, struct client_txn *txn)
{
	struct probe *probe = arg;

	probe->txn = NULL;
	probe_finish(probe, HEALTH_PROBE_TIMED_OUT);
}

static const struct client_txn_events txn_events = {on_response, on_failed, on_ended};

/* ---- sending ---- */

static struct bytes *probe_build(struct probes *probes, const struct view_target *target,
                                 const struct hop *hop, const char *branch)
{
	char via[VIA_TEXT_MAX], call_id[CALL_ID_TEXT_MAX];
	int length;

	/* rport (RFC 3581) also on streams: harmless there, and one form less. */
	length = snprintf(via, sizeof(via), "SIP/2.0/%s %s;rport;branch=%s",
	                  transport_via_name(target->transport),
	                  probes->ways.sent_by(probes->ways.arg, hop), branch);
	if (length < 0 || (size_t)length >= sizeof(via))
		return NULL;
	snprintf(call_id, sizeof(call_id), "probe-%016" PRIx64, random_u64());
	return request_options(slice_from_string(target->uri), slice_of(via, (size_t)length),
	                       slice_from_string(probes->from_host), slice_from_string(call_id), 1);
}

static int probe_start(struct probe *probe, const struct view_target *target)
{
	struct probes *probes = probe->probes;
	char branch[BRANCH_TEXT_MAX];
	struct bytes *request;
	struct transport_peer peer;
	struct hop hop;
	int err;

	view_target_peer(target, &peer);
	err = probes->ways.open(probes->ways.arg, &peer, &hop);
	if (err != 0)
		return err;
	branch_mint(probes->branches, 0, branch);
	request = probe_build(probes, target, &hop, branch);
	if (request == NULL)
		return -ENOMEM;
	err = client_txn_create(probes->table, METHOD_OPTIONS, branch, &hop, &request, &txn_events,
	                        probe, &probe->txn);
	bytes_release(&request);
	return err;
}

/* A lack of our own says nothing of the target; what else keeps us from it does. */
static enum health_input result_of_error(int err)
{
	switch (err) {
	case -ENOMEM:
	case -ENOBUFS:
	case -EMFILE:
	case -ENFILE:
		return HEALTH_PROBE_TIMED_OUT;
	default:
		return HEALTH_PROBE_REFUSED;
	}
}

int probe_send(struct probes *probes, const struct view_target *target, uint32_t generation,
               uint64_t timeout_ms)
{
	struct probe *probe;
	int err;

	probe = memory_zalloc(sizeof(*probe));
	if (probe == NULL)
		return -ENOMEM;
	probe->probes = probes;
	probe->target_id = target->id;
	probe->generation = generation;
	probe->result = HEALTH_PROBE_TIMED_OUT;
	probe->sent_us = clock_now_us();
	timer_init(&probe->limit, on_limit, probe);
	list_append(&probes->under_way, &probe->in_probes);
	err = probe_start(probe, target);
	if (err != 0) {
		probe->result = result_of_error(err);
		timeout_ms = 0; /* told by the loop, never from inside */
	}
	timer_start(loop_timers(probes->loop), &probe->limit, timeout_ms);
	return 0;
}

/* ---- all of them ---- */

int probes_create(struct loop *loop, struct txn_table *table, const struct probe_ways *ways,
                  struct branch_source *branches, const char *from_host, probe_done_fn *done,
                  void *arg, struct probes **out)
{
	struct probes *probes;

	probes = memory_zalloc(sizeof(*probes));
	if (probes == NULL)
		return -ENOMEM;
	probes->from_host = memory_strdup(from_host);
	if (probes->from_host == NULL) {
		memory_free(probes);
		return -ENOMEM;
	}
	probes->loop = loop;
	probes->table = table;
	probes->ways = *ways;
	probes->branches = branches;
	probes->done = done;
	probes->arg = arg;
	list_init(&probes->under_way);
	*out = probes;
	return 0;
}

void probes_destroy(struct probes **probes)
{
	struct probes *dead = *probes;
	struct list_link *link;

	if (dead == NULL)
		return;
	*probes = NULL;
	while ((link = list_first(&dead->under_way)) != NULL)
		probe_end(CONTAINER_OF(link, struct probe, in_probes));
	memory_free(dead->from_host);
	memory_free(dead);
}
