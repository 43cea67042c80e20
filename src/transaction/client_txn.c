/*
 * Client transactions: a request on its way over one hop. Worker thread only.
 * RFC 3261 17.1 and 9.1, with the Accepted state of RFC 6026.
 */
#include "transaction/client_txn.h"

#include "base/memory.h"
#include "sip/reply.h"
#include "transaction_internal.h"

/* A ringing INVITE whose creator has gone still gets its ACK if the final comes within this time: the
 * least that timer C may be (16.6 step 11). Without a bound it could stay for ever. */
#define FORGOTTEN_INVITE_MS 180000

/* The machine of 17.1.1; all others are of 17.1.2. */
static bool is_invite(const struct client_txn *client)
{
	return client->txn.method == METHOD_INVITE;
}

static bool is_unanswered(const struct client_txn *client)
{
	return client->state <= CLIENT_PROCEEDING;
}

/* CALLING and TRYING: timers A and B, or E and F. */
static void client_wait_for_answer(struct client_txn *client)
{
	struct txn *txn = &client->txn;

	txn->ends_ms = txn_now_ms(txn) + TXN_64_T1_MS;
	txn->interval_ms = TXN_T1_MS;
	if (txn_is_reliable(txn))
		txn_wait(txn, TXN_64_T1_MS);
	else
		txn_wait_interval(txn);
}

/* The only writer of state: starts the timer of the new one and gives back what it no longer needs. */
static void client_set_state(struct client_txn *client, enum client_txn_state state)
{
	struct txn *txn = &client->txn;
	bool reliable = txn_is_reliable(txn);

	client->state = (uint8_t)state;
	switch (state) {
	case CLIENT_CALLING:
	case CLIENT_TRYING:
		client_wait_for_answer(client);
		return;
	case CLIENT_PROCEEDING:
		/* Timers E and F run on (17.1.2.2); how long an INVITE may ring is the proxy's timer C. */
		if (!is_invite(client))
			return;
		if (client->events != NULL)
			txn_stop_waiting(txn);
		else
			txn_wait(txn, FORGOTTEN_INVITE_MS);
		return;
	case CLIENT_COMPLETED:
	case CLIENT_ACCEPTED:
		client->failing = false; /* it answered after all */
		txn_peer_leave(client);
		bytes_release(&client->cancel);
		txn_mark_completed(txn);
		if (state == CLIENT_ACCEPTED) {
			bytes_release(&txn->bytes);
			txn_wait(txn, TXN_64_T1_MS); /* timer M, on every transport */
		} else if (is_invite(client)) {
			txn_wait(txn, reliable ? 0 : TXN_D_MS);
		} else {
			bytes_release(&txn->bytes);
			txn_wait(txn, reliable ? 0 : TXN_T4_MS); /* timer K */
		}
		return;
	case CLIENT_TERMINATED:
		txn_peer_leave(client);
		bytes_release(&client->cancel);
		txn_retire(txn);
		return;
	}
}

static void client_farewell(struct client_txn *client)
{
	const struct client_txn_events *events = client->events;

	txn_bury(&client->txn);
	if (events != NULL && events->on_ended != NULL)
		events->on_ended(client->txn.arg, client);
}

/* From the timer only: no final response will come. */
static void client_fail(struct client_txn *client, enum txn_failure failure)
{
	client_set_state(client, CLIENT_TERMINATED);
	if (client->events != NULL)
		client->events->on_failed(client->txn.arg, client, failure);
	client_farewell(client); /* looks again whether somebody wants to know */
}

void client_txn_lose(struct client_txn *client, int error)
{
	client->error = error < 0 ? -error : error;
	client->failing = true;
	txn_peer_leave(client);
	txn_wait(&client->txn, 0);
}

/* Timers A and E */
static void client_retransmit(struct client_txn *client)
{
	struct txn *txn = &client->txn;
	unsigned next = 2u * txn->interval_ms;
	int err;

	if (txn_now_ms(txn) >= txn->ends_ms) {
		client_fail(client, TXN_TIMEOUT); /* timers B and F */
		return;
	}
	/* 17.1.1.2 doubles without end, 17.1.2.2 up to T2, and T2 itself once something was heard. */
	if (!is_invite(client) && (next > TXN_T2_MS || client->state == CLIENT_PROCEEDING))
		next = TXN_T2_MS;
	txn->interval_ms = (uint16_t)next;
	txn_wait_interval(txn);
	err = txn_send(txn, txn->bytes);
	if (err != 0)
		client_txn_lose(client, err);
}

static void client_on_timer(struct timer *timer, void *arg)
{
	struct client_txn *client = CONTAINER_OF(arg, struct client_txn, txn);

	if (client->failing) {
		client_fail(client, TXN_TRANSPORT);
		return;
	}
	switch ((enum client_txn_state)client->state) {
	case CLIENT_CALLING:
	case CLIENT_TRYING:
		client_retransmit(client);
		return;
	case CLIENT_PROCEEDING:
		if (is_invite(client))
			client_fail(client, TXN_TIMEOUT); /* 9.1: 64*T1 after the CANCEL */
		else
			client_retransmit(client);
		return;
	case CLIENT_COMPLETED: /* timers D and K */
	case CLIENT_ACCEPTED:  /* timer M */
		client_set_state(client, CLIENT_TERMINATED);
		break;
	case CLIENT_TERMINATED:
		break;
	}
	client_farewell(client);
}

/* Everything but the limit; takes the request in every case. */
static int client_begin(struct txn_table *table, const struct txn_key *key, const struct hop *hop,
                        struct bytes **request, const struct client_txn_events *events, void *arg,
                        struct client_txn **out)
{
	struct client_txn *client = memory_zalloc(sizeof(*client));
	int err;

	if (client == NULL || txn_peer_join(table, client, hop) != 0) {
		bytes_release(request);
		memory_free(client);
		return -ENOMEM;
	}
	txn_begin(&client->txn, table, TXN_CLIENT, key, hop, arg, client_on_timer);
	client->events = events;
	client->txn.bytes = *request;
	*request = NULL;
	client_set_state(client, is_invite(client) ? CLIENT_CALLING : CLIENT_TRYING);
	err = txn_send(&client->txn, client->txn.bytes);
	if (err != 0)
		client_txn_lose(client, err);
	/* Never repeated, cancelled or acknowledged: the send queue has what it needs. */
	if (!is_invite(client) && txn_is_reliable(&client->txn))
		bytes_release(&client->txn.bytes);
	*out = client;
	return 0;
}

int client_txn_create(struct txn_table *table, enum sip_method method, const char *branch,
                      const struct hop *hop, struct bytes **request,
                      const struct client_txn_events *events, void *arg, struct client_txn **out)
{
	struct txn_key key;
	int err = txn_table_admit(table);

	if (err != 0) {
		bytes_release(request);
		return err;
	}
	txn_key_of_branch(slice_from_string(branch), method, &key);
	return client_begin(table, &key, hop, request, events, arg, out);
}

/* ---- CANCEL, RFC 3261 9.1 ---- */

/* A non-INVITE transaction of its own, on the INVITE's hop and branch; its answer is of no interest.
 * Beyond the limit too: it makes room. */
static void client_send_cancel(struct client_txn *client)
{
	struct txn *txn = &client->txn;
	const struct txn_key key = {.hash = txn->in_table.hash,
	                            .fingerprint = txn->fingerprint,
	                            .method = METHOD_CANCEL};
	struct client_txn *cancel;

	client->cancel_sent = true;
	if (client->cancel == NULL)
		client->cancel = request_cancel(bytes_slice(txn->bytes), SLICE_NONE);
	/* Without memory for it the INVITE still ends in time, as if the CANCEL had been lost. */
	if (client->cancel != NULL)
		client_begin(txn->table, &key, &txn->hop, &client->cancel, NULL, NULL, &cancel);
	txn_wait(txn, TXN_64_T1_MS);
}

void client_txn_cancel(struct client_txn *client, struct slice extra)
{
	if (!is_invite(client) || !is_unanswered(client) || client->failing ||
	    client->cancel_wanted)
		return;
	client->cancel_wanted = true;
	/* Made now, since extra is only lent; without memory it goes without extra, later. */
	client->cancel = request_cancel(bytes_slice(client->txn.bytes), extra);
	if (client->state == CLIENT_PROCEEDING)
		client_send_cancel(client);
}

/* ---- responses ---- */

static void client_tell(struct client_txn *client, struct message **response)
{
	if (client->events != NULL)
		client->events->on_response(client->txn.arg, client, response);
}

/* 17.1.1.3: the ACK to a non-2xx is ours. It takes the place of the request, to be sent again with
 * every repeated final. */
static void client_acknowledge(struct client_txn *client, const struct message *response)
{
	struct txn *txn = &client->txn;

	if (!client->has_ack) {
		struct bytes *ack = request_ack(bytes_slice(txn->bytes), response);

		if (ack == NULL)
			return; /* the peer repeats its final, and we try again */
		bytes_release(&txn->bytes);
		txn->bytes = ack;
		client->has_ack = true;
	}
	/* Figure 5: a transport error of the ACK ends the transaction; over UDP the final comes again. */
	if (txn_send(txn, txn->bytes) != 0 && txn_is_reliable(txn))
		client_set_state(client, CLIENT_TERMINATED);
}

static void client_hear_provisional(struct client_txn *client, struct message **response)
{
	if (client->failing)
		return;
	if (client->state != CLIENT_PROCEEDING)
		client_set_state(client, CLIENT_PROCEEDING);
	if (client->cancel_wanted && !client->cancel_sent)
		client_send_cancel(client);
	client_tell(client, response);
}

static void client_hear_final(struct client_txn *client, struct message **response)
{
	int status = message_status(*response);

	if (is_invite(client) && status < 300) {
		client_set_state(client, CLIENT_ACCEPTED);
	} else {
		client_set_state(client, CLIENT_COMPLETED);
		if (is_invite(client))
			client_acknowledge(client, *response);
	}
	client_tell(client, response);
}

void client_txn_receive(struct client_txn *client, struct message **response)
{
	int status = message_status(*response);

	switch ((enum client_txn_state)client->state) {
	case CLIENT_CALLING:
	case CLIENT_TRYING:
	case CLIENT_PROCEEDING:
		if (status < 200)
			client_hear_provisional(client, response);
		else
			client_hear_final(client, response);
		return;
	case CLIENT_COMPLETED:
		if (is_invite(client) && status >= 300)
			client_acknowledge(client, *response);
		return;
	case CLIENT_ACCEPTED:
		if (status / 100 == 2) /* RFC 6026 7.2: of another branch downstream, or repeated */
			client_tell(client, response);
		return;
	case CLIENT_TERMINATED:
		return;
	}
}

void client_txn_forget(struct client_txn *client)
{
	client->events = NULL;
	client->txn.arg = NULL;
	if (is_invite(client) && client->state == CLIENT_PROCEEDING &&
	    !timer_is_running(&client->txn.timer))
		txn_wait(&client->txn, FORGOTTEN_INVITE_MS);
}

void client_txn_end(struct client_txn *client)
{
	client_set_state(client, CLIENT_TERMINATED);
}

void client_txn_free(struct client_txn *client)
{
	txn_stop_waiting(&client->txn);
	txn_peer_leave(client);
	bytes_release(&client->txn.bytes);
	bytes_release(&client->cancel);
	memory_free(client);
}

enum client_txn_state client_txn_state(const struct client_txn *client)
{
	return (enum client_txn_state)client->state;
}

int client_txn_error(const struct client_txn *client)
{
	return client->error;
}
