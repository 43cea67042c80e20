/*
 * One simulated Sprout: an address with its sockets and transactions. Takes packets in, tells requests that
 * we answer ourselves (OPTIONS, REGISTER) from those that are proxied, and answers. Its own thread, but for open and close.
 */
#include "sprout_sim.h"

#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "sip/reply.h"
#include "sip/validate.h"

#define SPROUT_MESSAGE_BYTES 65535
#define SPROUT_CONNECTIONS 20000
/* A slow reader on the other side gets that much rope: a drill may stop an edge for seconds at full load. */
#define SPROUT_QUEUE_BYTES (16 * 1024 * 1024)
#define SPROUT_CONNECT_TIMEOUT_MS 2000
#define SPROUT_IDLE_MS 3600000
#define SPROUT_PARTIAL_MS 30000
#define SPROUT_TRANSACTIONS 400000

/* The Sprout believes whoever reaches it: it stands in a laboratory. */
static const struct address_range everyone[] = {
	{.base = {.v4 = {.sin_family = AF_INET}}},
	{.base = {.v6 = {.sin6_family = AF_INET6}}},
};

/* ---- out ---- */

int sprout_send(struct sprout *sprout, const struct hop *hop, struct bytes **bytes)
{
	if (fault_stops_send(sprout)) {
		bytes_release(bytes);
		return 0;
	}
	return transport_send(sprout->transport, hop, bytes);
}

static int on_txn_send(void *arg, const struct hop *hop, struct bytes **bytes)
{
	return sprout_send(arg, hop, bytes);
}

/* RFC 3261 18.2.2, RFC 3581 4: over UDP the Via tells where to, over a stream the connection does. */
struct hop sprout_way_back(const struct message *request, const struct hop *hop)
{
	struct hop back = *hop;
	struct via via;

	if (hop->transport == TRANSPORT_UDP && message_via(request, 0, &via) &&
	    !via_reply_address(&via, &back.remote))
		back.remote = hop->remote;
	return back;
}

void sprout_reply(struct sprout *sprout, struct message *request, const struct hop *hop, int status,
                  struct slice extra)
{
	struct hop back = sprout_way_back(request, hop);
	struct bytes *reply = reply_to_message(request, status, reply_reason(status), extra);

	if (reply == NULL) {
		log_error("%s: no memory for an answer", sprout->name);
		return;
	}
	sprout_send(sprout, &back, &reply);
}

void sprout_refuse(struct sprout *sprout, struct message *request, const struct hop *hop,
                   int status, struct slice extra)
{
	static const struct server_txn_events nobody = {NULL};
	struct hop back = sprout_way_back(request, hop);
	struct server_txn *txn;

	if (message_method(request) != METHOD_INVITE ||
	    server_txn_create(sprout->txns, request, hop, &back, &nobody, NULL, &txn) != 0) {
		sprout_reply(sprout, request, hop, status, extra);
		return;
	}
	server_txn_reply(txn, status, reply_reason(status), extra);
}

/* ---- in ---- */

bool sprout_is_ours(const struct sprout *sprout, const struct uri *uri)
{
	const struct sim *sim = sprout->sim;
	struct address address;

	if (!address_parse_host(uri->host, uri->port != 0 ? uri->port : 5060, &address))
		return false;
	for (unsigned i = 0; i < sim->sprout_count; i++)
		if (address_equal(&sim->sprouts[i]->address, &address))
			return true;
	return peers_know_address(sim->peers, &address);
}

/* An OPTIONS that asks us how we are, and not a user behind us (RFC 3261 11). */
static bool is_probe(const struct message *request)
{
	struct uri uri;

	return message_method(request) == METHOD_OPTIONS &&
	       message_count(request, HEADER_ROUTE) == 0 &&
	       message_request_uri(request, &uri) != NULL && uri.user.length == 0;
}

/* FAULT_MUTE: only probes get through. */
static bool is_lost_on_mute(const struct sprout *sprout, const struct message *message)
{
	return sprout->fault.kind == FAULT_MUTE &&
	       !(message_is_request(message) && is_probe(message));
}

static void reply_fault_status(struct sprout *sprout, struct message *request,
                               const struct hop *hop)
{
	char extra[64] = "";

	if (sprout->fault.retry_after_s > 0)
		snprintf(extra, sizeof(extra), "Retry-After: %u\r\n",
		         (unsigned)sprout->fault.retry_after_s);
	sprout_refuse(sprout, request, hop, sprout->fault.status, slice_from_string(extra));
}

/* RFC 3261 16.3; what does not pass is answered. */
static bool validated(struct sprout *sprout, struct message *request, const struct hop *hop,
                      uint64_t hash)
{
	struct validation validation;
	int status;

	validate_request(request, hash, &validation);
	status = validation.status;
	if (status != 0 && message_method(request) != METHOD_ACK)
		sprout_refuse(sprout, request, hop, status, buffer_slice(&validation.extra));
	validation_free(&validation);
	return status == 0;
}

/* A request that goes on to somebody else. */
static void proxy_request(struct sprout *sprout, struct message **request, const struct hop *hop)
{
	uint64_t hash = loop_hash(*request);

	if (!validated(sprout, *request, hop, hash))
		return;
	if (forward_pop_ours(sprout, *request) != 0)
		return;
	if (message_method(*request) == METHOD_ACK)
		forward_ack(sprout, *request);
	else if (is_probe(*request)) /* its Route named us */
		sprout_reply(sprout, *request, hop, 200, SLICE_NONE);
	else
		fork_request(sprout, request, hop, hash);
}

static void on_request(struct sprout *sprout, struct message **request, const struct hop *hop)
{
	enum sip_method method = message_method(*request);
	struct server_txn *invite = NULL;
	enum txn_match match;

	atomic_fetch_add_explicit(&sprout->received[method], 1, memory_order_relaxed);
	if (message_mark_received(*request, &hop->remote) != 0)
		return;
	match = method == METHOD_REGISTER || is_probe(*request)
	                ? TXN_NONE /* idempotent: answered again, as cheap as remembered */
	                : txn_table_match_request(sprout->txns, *request, hop, &invite);
	if (match == TXN_ABSORBED)
		return;
	if (match == TXN_CANCEL)
		fork_on_cancel(sprout, *request, hop, invite);
	else if (method == METHOD_CANCEL)
		sprout_reply(sprout, *request, hop, 481, SLICE_NONE);
	else if (sprout->fault.kind == FAULT_STATUS && method != METHOD_ACK)
		reply_fault_status(sprout, *request, hop);
	else if (is_probe(*request))
		sprout_reply(sprout, *request, hop, 200,
		             SLICE_LITERAL(
				     "Accept: application/sdp\r\nSupported: path, outbound\r\n"));
	else if (method == METHOD_REGISTER)
		registrar_on_register(sprout, *request, hop);
	else
		proxy_request(sprout, request, hop);
}

/* What could be read of a broken request is answered, never an ACK, never a response. */
static void on_broken(struct sprout *sprout, struct message *message, const struct hop *hop,
                      enum message_fault fault)
{
	const char *reason;

	log_debug("%s: broken message, %s", sprout->name, message_fault_name(fault));
	if (message == NULL || !message_is_request(message) ||
	    message_method(message) == METHOD_ACK)
		return;
	if (message_mark_received(message, &hop->remote) == 0)
		sprout_reply(sprout, message, hop, message_fault_status(fault, &reason),
		             SLICE_NONE);
}

void sprout_receive(struct sprout *sprout, struct slice bytes, const struct hop *hop,
                    bool framing_fault)
{
	struct message *message = NULL;
	enum guard_verdict verdict;
	enum message_fault fault = message_parse(bytes, SPROUT_MESSAGE_BYTES, &message, &verdict);

	if (fault == MESSAGE_SOUND && framing_fault)
		fault = MESSAGE_BAD_LENGTH;
	if (fault != MESSAGE_SOUND)
		on_broken(sprout, message, hop, fault);
	else if (is_lost_on_mute(sprout, message))
		log_debug("%s: mute", sprout->name);
	else if (message_is_request(message))
		on_request(sprout, &message, hop);
	else if (!txn_table_match_response(sprout->txns, &message, hop))
		log_debug("%s: stray response %d", sprout->name, message_status(message));
	message_destroy(&message);
}

/* Keep-alives of neighbours: bare CRLF over UDP (RFC 5626 4.4.1 has them on streams; some send them here). */
static bool is_blank(struct slice bytes)
{
	return slice_trim(bytes).length == 0;
}

static void on_packet(void *arg, const struct packet *packet, bool framing_fault)
{
	struct sprout *sprout = arg;

	if (is_blank(packet->bytes) || fault_stops_packet(sprout, packet, framing_fault))
		return;
	sprout_receive(sprout, packet->bytes, &packet->hop, framing_fault);
}

static void on_connection_closed(void *arg, const struct hop *hop, enum close_reason reason)
{
	struct sprout *sprout = arg;

	txn_table_hop_lost(sprout->txns, hop, reason == CLOSE_REFUSED ? ECONNREFUSED : ECONNRESET);
}

static void on_unreachable(void *arg, const struct address *peer, int error)
{
	struct sprout *sprout = arg;
	struct hop hop = {.transport = TRANSPORT_UDP, .side = SIDE_CORE, .remote = *peer};

	txn_table_hop_lost(sprout->txns, &hop, error);
}

/* ---- life ---- */

int sprout_create(struct sim *sim, unsigned index, const struct address *address,
                  struct sprout **out)
{
	struct sprout *sprout = memory_zalloc(sizeof(*sprout));

	if (sprout == NULL)
		return -ENOMEM;
	sprout->sim = sim;
	sprout->index = index;
	sprout->address = *address;
	address_format(address, sprout->name);
	branch_source_init(&sprout->branches, (uint8_t)index);
	list_init(&sprout->forks);
	list_init(&sprout->held);
	timer_init(&sprout->held_timer, fault_on_held_timer, sprout);
	*out = sprout;
	return 0;
}

static void add_listener(struct sprout *sprout, enum sip_transport transport)
{
	sprout->listeners[sprout->listener_count++] = (struct listener_settings){
		.name = sprout->name,
		.side = SIDE_CORE,
		.transport = transport,
		.bind = sprout->address,
		.advertise = sprout->name,
		.allow = everyone,
		.allow_count = ARRAY_LENGTH(everyone),
		.tls = transport_is_tls(transport) ? SIM_TLS : NULL,
		.client_certificate =
			sprout->sim->asks_certificate ? TLS_CLIENT_REQUIRED : TLS_CLIENT_NONE,
	};
}

static void set_listeners(struct sprout *sprout)
{
	sprout->listener_count = 0;
	for (unsigned i = 0; i < TRANSPORTS; i++)
		if (sprout->serves[i])
			add_listener(sprout, (enum sip_transport)i);
}

static int create_transport(struct sprout *sprout)
{
	static const struct transport_events events = {
		.on_packet = on_packet,
		.on_connection_closed = on_connection_closed,
		.on_unreachable = on_unreachable,
	};
	const struct transport_settings settings = {
		.listeners = sprout->listeners,
		.listener_count = sprout->listener_count,
		.workers = 1,
		.message_bytes = SPROUT_MESSAGE_BYTES,
		.max_connections = SPROUT_CONNECTIONS,
		.connection_queue_bytes = SPROUT_QUEUE_BYTES,
		.connect_timeout_ms = SPROUT_CONNECT_TIMEOUT_MS,
		.idle_ms = SPROUT_IDLE_MS,
		.partial_ms = SPROUT_PARTIAL_MS,
	};
	int err = transport_create(sprout->loop, 0, &settings, NULL, &events, sprout,
	                           &sprout->transport);

	if (err != 0)
		return err;
	transport_set_siblings(sprout->transport, &sprout->transport);
	transport_set_tls(sprout->transport, sprout->sim->tls);
	return 0;
}

/* The thread has ended, or never began. */
static void free_parts(struct sprout *sprout)
{
	fork_drop_all(sprout);
	txn_table_destroy(&sprout->txns);
	transport_destroy(&sprout->transport);
	if (sprout->loop != NULL)
		fault_drop_held(sprout);
	loop_destroy(&sprout->loop);
}

int sprout_open(struct sprout *sprout)
{
	const struct txn_sender sender = {on_txn_send, sprout};
	int err;

	ASSERT(sprout->loop == NULL);
	set_listeners(sprout);
	err = loop_create(sprout->name, &sprout->loop);
	if (err == 0)
		err = txn_table_create(sprout->loop, &sender, SPROUT_TRANSACTIONS, NULL,
		                       &sprout->txns);
	if (err == 0)
		err = create_transport(sprout);
	if (err == 0)
		err = loop_start(sprout->loop);
	if (err != 0)
		free_parts(sprout);
	return err;
}

void sprout_close(struct sprout *sprout)
{
	if (sprout->loop == NULL)
		return;
	loop_stop(sprout->loop);
	loop_join(sprout->loop);
	free_parts(sprout);
}

void sprout_destroy(struct sprout **sprout)
{
	if (*sprout == NULL)
		return;
	sprout_close(*sprout);
	memory_free(*sprout);
	*sprout = NULL;
}
