/*
 * CANCEL is ours to answer, hop by hop (RFC 3261 9.2, 16.10); ACK to a 2xx passes without a transaction
 * (13.2.2.4, 16.11). Worker thread only.
 */
#include "proxy_internal.h"

#include "base/log.h"

/* The Reason lines of the CANCEL (RFC 3326) go on with ours: "answered elsewhere" must not be lost. */
static void collect_reasons(const struct message *cancel, struct buffer *out)
{
	struct slice value;

	for (unsigned i = 0; message_header_at(cancel, "Reason", i, &value); i++) {
		buffer_append_string(out, "Reason: ");
		buffer_append_slice(out, value);
		buffer_append_string(out, "\r\n");
	}
}

static const struct server_txn_events no_events;

void cancel_request(struct incoming *in, struct server_txn *invite)
{
	struct proxy *proxy = in->proxy;
	struct response_context *context;
	struct server_txn *txn;
	struct buffer reasons;

	if (invite == NULL) {
		proxy_reject(in, 481, "Call/Transaction Does Not Exist", SLICE_NONE,
		             REJECTED_OTHER);
		return;
	}
	/* Nobody asks who sent it: it names a transaction of this hop by its branch (9.2). */
	if (server_txn_create(proxy->txns, in->message, &in->packet->hop, &in->reply_hop,
	                      &no_events, NULL, &txn) == 0) {
		server_txn_reply(txn, 200, "OK", SLICE_NONE);
		server_txn_forget(txn);
	} else {
		proxy_reject(in, 200, "OK", SLICE_NONE, REJECTED_TRANSACTIONS_LIMIT);
	}
	context = server_txn_arg(invite);
	if (context == NULL) /* finally answered already: the CANCEL has no effect (9.1) */
		return;
	buffer_init(&reasons);
	collect_reasons(in->message, &reasons);
	/* Half a line would spoil the whole CANCEL: without memory it goes without reasons. */
	context_cancel(context, reasons.failed ? SLICE_NONE : buffer_slice(&reasons));
	buffer_free(&reasons);
}

static const struct view_target *ack_target(struct proxy *proxy, const struct request_plan *plan)
{
	struct pick_tried tried = {.count = 0};
	const struct view_target *target = NULL;

	if (proxy->view == NULL || choose_first(proxy->view, &tried, plan->key, plan->preferred,
	                                        true, &target) != PICK_NOW)
		return NULL;
	return target;
}

void ack_forward(struct incoming *in, const struct request_plan *plan)
{
	struct proxy *proxy = in->proxy;
	struct proxy_ways *ways = &proxy->ways;
	const struct view_target *target = NULL;
	struct hop hop = plan->hop;
	struct transport_peer peer;
	char branch[BRANCH_TEXT_MAX];
	struct bytes *base;
	struct bytes *flat;
	const char *end;

	if (!plan->fixed) {
		target = ack_target(proxy, plan);
		if (target == NULL)
			return;
		view_target_peer(target, &peer);
		if (ways->open(ways->arg, &peer, &hop) != 0)
			return;
	}
	base = message_serialize(in->message, true);
	if (base == NULL)
		return;
	end = memchr(base->data, '\n', base->length);
	branch_mint(proxy->branches, in->loop_hash, branch);
	flat = attempt_flatten(proxy, bytes_slice(base), (size_t)(end - base->data) + 1, &hop,
	                       target,
	                       attempt_route(target, plan->add_target_route, plan->terminating),
	                       branch);
	bytes_release(&base);
	if (flat != NULL && ways->send(ways->arg, &hop, &flat) != 0)
		log_debug("ACK not sent: its connection is gone");
	bytes_release(&flat);
}
