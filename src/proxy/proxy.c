/*
 * The entry: what a packet is, and which of the roads it takes. The functions follow RFC 3261 16.3 to 16.6
 * in order; the roads themselves are register.c, from_client.c, from_core.c, from_peer.c, to_peer.c, emergency.c,
 * reg_notify.c and cancel_ack.c.
 * Worker thread only.
 */
#include "proxy_internal.h"

#include <stdio.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"

/* No answer of our own to an unverified UDP source exceeds its request by more: we amplify nothing. */
#define ANSWER_SURPLUS_MAX 128

/* ---- answers without a transaction ---- */

struct slice proxy_retry_after(char text[48], unsigned base_s)
{
	int n = snprintf(text, 48, "Retry-After: %u\r\n", base_s + random_below(base_s));

	return slice_of(text, (size_t)n);
}

/* The client's own port is proven only when it answers to something we sent: a registered flow. */
static bool is_verified(const struct incoming *in)
{
	return in->packet->hop.transport != TRANSPORT_UDP || in->packet->hop.side == SIDE_CORE ||
	       (in->flow != NULL && flow_state(in->flow) == FLOW_REGISTERED);
}

static void send_reply(struct incoming *in, struct bytes **reply)
{
	struct proxy_ways *ways = &in->proxy->ways;

	if (!is_verified(in) && (*reply)->length > in->packet->bytes.length + ANSWER_SURPLUS_MAX) {
		bytes_release(reply);
		metrics_add(in->proxy->metrics, METRIC_REJECTED, REJECTED_CLASS_RESPONSE,
		            REJECTED_OVERSIZE, 0, 1);
		return;
	}
	ways->send(ways->arg, &in->reply_hop, reply);
	bytes_release(reply);
}

void proxy_answer(struct incoming *in, int status, const char *reason, struct slice extra)
{
	struct bytes *reply;

	if (in->method == METHOD_ACK)
		return;
	reply = reply_to_message(in->message, status, reason, extra);
	if (reply == NULL)
		return;
	metrics_add(in->proxy->metrics, METRIC_RESPONSES, in->packet->hop.side, in->method,
	            metrics_code_class(status), 1);
	send_reply(in, &reply);
}

void proxy_reject(struct incoming *in, int status, const char *reason, struct slice extra,
                  enum rejected_reason why)
{
	metrics_add(in->proxy->metrics, METRIC_REJECTED, REJECTED_CLASS_REQUEST, why, 0, 1);
	log_debug("request %.*s from %s: %d %s", SLICE_ARGS(message_call_id(in->message)),
	          side_name(in->packet->hop.side), status, reason);
	proxy_answer(in, status, reason, extra);
}

/* ---- names of ours ---- */

/* "host:port" or "[v6]:port". */
static bool host_port_matches(const char *advertise, const struct uri *uri)
{
	const char *colon = strrchr(advertise, ':');
	struct slice host;
	uint64_t port;

	if (colon == NULL)
		return false;
	host = slice_of(advertise, (size_t)(colon - advertise));
	if (host.length > 2 && host.data[0] == '[')
		host = slice_of(host.data + 1, host.length - 2);
	return slice_equal_nocase(host, uri->host) &&
	       slice_to_uint(slice_from_string(colon + 1), UINT16_MAX, &port) &&
	       port == (uri->port != 0 ? uri->port : 5060);
}

bool uri_names_us(const struct proxy *proxy, const struct uri *uri)
{
	const struct proxy_settings *settings = proxy->settings;
	struct flow_token token;
	struct address literal;
	bool is_literal;

	if (uri->scheme != URI_SIP && uri->scheme != URI_SIPS)
		return false;
	is_literal = address_parse_host(uri->host, uri->port != 0 ? uri->port : 5060, &literal);
	for (unsigned i = 0; i < settings->listener_count; i++) {
		const struct listener_settings *listener = &settings->listeners[i];

		if (is_literal && address_equal(&literal, &listener->bind))
			return true;
		if (is_literal && address_is_wildcard(&listener->bind) &&
		    address_port(&literal) == address_port(&listener->bind) &&
		    (flow_token_read(uri->user, &token) != FLOW_TOKEN_NOT_OURS ||
		     peer_token_has_form(uri->user)))
			return true; /* any address of ours; the token tells that we wrote it */
		if (host_port_matches(listener->advertise, uri))
			return true;
	}
	return false;
}

bool route_is_own_entry(const struct incoming *in, const struct uri *uri)
{
	struct flow_token token;

	return (flow_token_read(uri->user, &token) != FLOW_TOKEN_NOT_OURS ||
	        peer_token_has_form(uri->user)) &&
	       uri_names_us(in->proxy, uri);
}

const struct view_target *proxy_target_of(const struct proxy *proxy, const struct uri *uri)
{
	return proxy->view != NULL ? view_find_uri(proxy->view, uri) : NULL;
}

_Static_assert(PEER_TOKEN_TEXT_MAX >= FLOW_TOKEN_TEXT_MAX, "either fits");

int route_pop_own(struct proxy *proxy, struct message *message)
{
	struct name_addr route;
	struct slice first = SLICE_NONE;
	char token[PEER_TOKEN_TEXT_MAX] = ""; /* the longest that we write */
	int popped = 0;
	int err;

	/* Both entries of one pass carry the same token; an entry with another token is another pass. */
	while (popped < 2 && message_address(message, HEADER_ROUTE, 0, &route) &&
	       uri_names_us(proxy, &route.uri)) {
		if (popped > 0 && !slice_equal(first, route.uri.user))
			break;
		if (popped == 0 && route.uri.user.length > 0 &&
		    route.uri.user.length < sizeof(token)) {
			memcpy(token, route.uri.user.data, route.uri.user.length);
			first = slice_of(token, route.uri.user.length);
		}
		err = message_pop(message, HEADER_ROUTE);
		if (err != 0)
			return err;
		popped++;
	}
	return popped;
}

/* ---- requests ---- */

/* RFC 3261 18.2.2 and RFC 3581: with rport back to the source; without, to the sent-by port; but a registered
 * flow is answered where it stands, since a NAT lets nothing else through. */
static void find_reply_hop(struct incoming *in)
{
	struct via via;

	in->reply_hop = in->packet->hop;
	if (in->packet->hop.transport != TRANSPORT_UDP || !message_via(in->message, 0, &via))
		return;
	if (via.has_rport || (in->flow != NULL && flow_state(in->flow) == FLOW_REGISTERED))
		return;
	address_set_port(&in->reply_hop.remote, via.port != 0 ? via.port : 5060);
}

/* A literal with the port of a listener that is bound to every address: which ones are ours the kernel knew when it
 * gave us the request. */
static bool names_wildcard(const struct proxy_settings *settings, const struct uri *uri)
{
	struct address literal;

	if (!address_parse_host(uri->host, uri->port != 0 ? uri->port : 5060, &literal))
		return false;
	for (unsigned i = 0; i < settings->listener_count; i++)
		if (address_is_wildcard(&settings->listeners[i].bind) &&
		    address_port(&settings->listeners[i].bind) == address_port(&literal))
			return true;
	return false;
}

static bool is_options_to_us(struct incoming *in)
{
	struct uri uri;

	if (in->method != METHOD_OPTIONS)
		return false;
	message_request_uri(in->message, &uri);
	return slice_is_empty(uri.user) &&
	       (uri_names_us(in->proxy, &uri) || names_wildcard(in->proxy->settings, &uri));
}

static void answer_options(struct incoming *in)
{
	struct proxy_ways *ways = &in->proxy->ways;
	char text[48];

	if (in->proxy->stopping || !ways->is_ready(ways->arg))
		proxy_answer(in, 503, "Service Unavailable", proxy_retry_after(text, 5));
	else
		proxy_answer(in, 200, "OK",
		             SLICE_LITERAL(
				     "Accept: application/sdp\r\nSupported: path, outbound\r\n"));
}

static enum rejected_reason rejected_reason_of(int status)
{
	switch (status) {
	case 482:
		return REJECTED_LOOP;
	case 483:
		return REJECTED_TOO_MANY_HOPS;
	case 416:
		return REJECTED_UNSUPPORTED_SCHEME;
	case 420:
		return REJECTED_BAD_EXTENSION;
	default:
		return REJECTED_BAD_REQUEST;
	}
}

/* 16.3: true if the request is sound; else it has been answered. */
static bool is_sound(struct incoming *in)
{
	struct validation validation;

	in->loop_hash = loop_hash(in->message);
	validate_request(in->message, in->loop_hash, &validation);
	if (validation.status != 0)
		proxy_reject(in, validation.status, validation.reason,
		             buffer_slice(&validation.extra),
		             rejected_reason_of(validation.status));
	validation_free(&validation);
	return validation.status == 0;
}

static void take_register(struct incoming *in)
{
	char text[48];

	if (emergency_registration(in->message) && !in->proxy->settings->peers.emergency_register)
		proxy_reject(in, 503, "Service Unavailable", proxy_retry_after(text, 5),
		             REJECTED_EMERGENCY);
	else
		register_request(in);
}

/* 16.4 to 16.6, by who it came from: by listener and address, never by guess. */
static void route_request(struct incoming *in)
{
	enum peer peer = peer_of(in->proxy, &in->packet->hop);
	char text[48];

	if (is_options_to_us(in))
		answer_options(in);
	else if (in->proxy->stopping && in->method != METHOD_ACK)
		proxy_reject(in, 503, "Service Unavailable", proxy_retry_after(text, 5),
		             REJECTED_DRAINING);
	else if (peer == PEER_CORE)
		from_core_request(in);
	else if (in->method == METHOD_REGISTER && peer == PEER_TRUNK)
		peer_reject_register(in);
	else if (in->method == METHOD_REGISTER)
		take_register(in);
	else if (peer != PEER_CLIENT)
		from_peer_request(in, peer);
	else if (emergency_is_of_stranger(in))
		emergency_request(in);
	else
		from_client_request(in);
}

/* An ACK to an answer that we gave without a transaction ends here (RFC 3261 8.2.7). */
static bool is_ack_to_our_own(struct incoming *in)
{
	char tag[17];

	if (in->method != METHOD_ACK)
		return false;
	reply_to_tag(in->message, tag);
	return slice_equal(message_to_tag(in->message), slice_from_string(tag));
}

/* The client lives: RFC 5626 5.4 takes any message for a keep-alive. */
static struct flow *touch_flow(struct proxy *proxy, const struct hop *hop)
{
	struct flow *flow = flow_table_find_by_hop(proxy->flows, hop);

	if (flow != NULL)
		flow_touch(flow);
	return flow;
}

static void take_request(struct incoming *in)
{
	struct proxy *proxy = in->proxy;
	struct server_txn *server = NULL;
	struct flow_elsewhere elsewhere;

	if (in->packet->hop.side == SIDE_ACCESS) {
		in->flow = touch_flow(proxy, &in->packet->hop);
	} else if (from_core_skip_routes(in) != 0) {
		return;
	} else if (from_core_belongs_elsewhere(in, &elsewhere)) {
		proxy->ways.pass_packet(proxy->ways.arg, elsewhere.worker, in->packet,
		                        elsewhere.key);
		return;
	}
	if (message_mark_received(in->message, &in->packet->hop.remote) != 0)
		return;
	find_reply_hop(in);
	switch (txn_table_match_request(proxy->txns, in->message, &in->packet->hop, &server)) {
	case TXN_ABSORBED:
		return;
	case TXN_CANCEL:
		break;
	case TXN_NONE:
		server = NULL;
		break;
	}
	metrics_add(proxy->metrics, METRIC_REQUESTS, in->packet->hop.side,
	            in->packet->hop.transport, in->method, 1);
	if (is_ack_to_our_own(in) || !is_sound(in))
		return;
	if (in->method == METHOD_CANCEL)
		cancel_request(in, server);
	else
		route_request(in);
}

/* ---- responses: RFC 3261 16.7, 17.1.3 ---- */

/* RFC 6026 7.3: a stray response is dropped, a 2xx too. */
static void count_stray(struct proxy *proxy)
{
	metrics_add(proxy->metrics, METRIC_REJECTED, REJECTED_CLASS_RESPONSE,
	            REJECTED_STRAY_RESPONSE, 0, 1);
}

static void take_response(struct proxy *proxy, const struct packet *packet,
                          struct message **response)
{
	struct via via;
	uint8_t worker;

	if (packet->hop.side == SIDE_ACCESS)
		touch_flow(proxy, &packet->hop);
	/* Only what was sent to a client may be answered by one; see mint_branch. */
	if (packet->hop.side == SIDE_ACCESS &&
	    (!message_via(*response, 0, &via) || !attempt_branch_is_for_client(via.branch))) {
		count_stray(proxy);
		return;
	}
	if (txn_table_match_response(proxy->txns, response, &packet->hop))
		return;
	/* A branch that another worker minted: its owner shall have it. */
	if (message_via(*response, 0, &via) && branch_read(via.branch, &worker, NULL, NULL) &&
	    worker != proxy->settings->worker && !packet_was_passed(proxy, packet)) {
		proxy->ways.pass_packet(proxy->ways.arg, worker, packet, 0);
		return;
	}
	count_stray(proxy);
}

bool packet_was_passed(const struct proxy *proxy, const struct packet *packet)
{
	return packet->hop.worker != proxy->settings->worker;
}

/* ---- bytes that are not a message ---- */

static void take_faulty(struct incoming *in, enum message_fault fault, enum guard_verdict verdict,
                        bool framing_fault)
{
	const char *reason;
	int status = message_fault_status(fault, &reason);
	unsigned label = fault == MESSAGE_GUARDED ? metrics_guard_reason(verdict)
	                                          : metrics_fault_reason(fault);

	if (!framing_fault) /* the transport has counted it */
		metrics_add(in->proxy->metrics, METRIC_PARSE_ERRORS, in->packet->hop.transport,
		            label, 0, 1);
	if (in->message == NULL)
		return;
	in->flow = flow_table_find_by_hop(in->proxy->flows, &in->packet->hop);
	in->method = message_method(in->message);
	if (message_mark_received(in->message, &in->packet->hop.remote) != 0)
		return;
	find_reply_hop(in);
	proxy_answer(in, status, reason, SLICE_NONE);
}

static void take_packet(struct proxy *proxy, const struct packet *packet, bool framing_fault,
                        uint64_t moved_key)
{
	struct incoming in = {.proxy = proxy, .packet = packet, .moved_key = moved_key};
	enum guard_verdict verdict = GUARD_PASS;
	enum message_fault fault;

	fault = message_parse(packet->bytes, proxy->settings->message_bytes, &in.message, &verdict);
	if (fault != MESSAGE_SOUND) {
		take_faulty(&in, fault, verdict, framing_fault);
	} else if (framing_fault) {
		take_faulty(&in, MESSAGE_BAD_LENGTH, verdict, true);
	} else if (message_is_request(in.message)) {
		in.method = message_method(in.message);
		take_request(&in);
	} else {
		take_response(proxy, packet, &in.message);
	}
	message_destroy(&in.message);
	bytes_release(&in.charging_vector);
}

void proxy_on_packet(struct proxy *proxy, const struct packet *packet, bool framing_fault)
{
	take_packet(proxy, packet, framing_fault, 0);
}

void proxy_on_passed_packet(struct proxy *proxy, const struct packet *packet, uint64_t moved_key)
{
	take_packet(proxy, packet, false, moved_key);
}

/* ---- life ---- */

int proxy_create(struct loop *loop, const struct proxy_settings *settings,
                 const struct proxy_ways *ways, struct flow_table *flows, struct txn_table *txns,
                 struct branch_source *branches, struct metrics *metrics, struct proxy **out)
{
	struct proxy *proxy = memory_zalloc(sizeof(*proxy));

	if (proxy == NULL)
		return -ENOMEM;
	trust_init();
	proxy->loop = loop;
	proxy->settings = settings;
	proxy->ways = *ways;
	proxy->flows = flows;
	proxy->txns = txns;
	proxy->branches = branches;
	proxy->metrics = metrics;
	if (traffic_stats_create(&proxy->stats) != 0) {
		memory_free(proxy);
		return -ENOMEM;
	}
	list_init(&proxy->contexts);
	list_init(&proxy->waiting);
	if (outbound_init(proxy) != 0)
		goto no_memory;
	if (reg_event_init(proxy) != 0) {
		outbound_free(proxy);
		goto no_memory;
	}
	*out = proxy;
	return 0;
no_memory:
	traffic_stats_destroy(&proxy->stats);
	memory_free(proxy);
	return -ENOMEM;
}

void proxy_destroy(struct proxy **proxy)
{
	if (*proxy == NULL)
		return;
	context_destroy_all(*proxy);
	outbound_free(*proxy);
	reg_event_free(*proxy);
	if ((*proxy)->view != NULL)
		snapshot_release(&(*proxy)->view->snapshot);
	traffic_stats_destroy(&(*proxy)->stats);
	memory_free(*proxy);
	*proxy = NULL;
}

static void leave_lost_targets(struct proxy *proxy, const struct view *before,
                               const struct view *now)
{
	bool lost[VIEW_TARGETS_MAX] = {false}, any = false;

	for (unsigned i = 0; i < now->target_count; i++) {
		const struct view_target *target = &now->targets[i];
		const struct view_target *earlier = view_find_id(before, target->id);

		if (target->state == TARGET_DOWN && earlier != NULL &&
		    earlier->state != TARGET_DOWN)
			lost[target->id] = any = true;
	}
	if (!any)
		return;
	LIST_FOR_EACH(link, &proxy->contexts)
		attempt_leave_lost(CONTAINER_OF(link, struct response_context, link), lost);
}

void proxy_set_view(struct proxy *proxy, struct view *view)
{
	if (proxy->view != NULL)
		leave_lost_targets(proxy, proxy->view, view);
	snapshot_share(&view->snapshot);
	if (proxy->view != NULL)
		snapshot_release(&proxy->view->snapshot);
	proxy->view = view;
	for (size_t n = proxy->waiting.length; n > 0;
	     n--) /* those that go on waiting stand behind again */
		context_view_changed(CONTAINER_OF(list_first(&proxy->waiting),
		                                  struct response_context, waiting_link));
}

const struct view *proxy_view(const struct proxy *proxy)
{
	return proxy->view;
}

void proxy_stop_new_work(struct proxy *proxy)
{
	proxy->stopping = true;
}

unsigned proxy_take_stats(struct proxy *proxy, struct target_stats *out, unsigned max)
{
	return traffic_stats_take(proxy->stats, out, max);
}

size_t proxy_busy(const struct proxy *proxy)
{
	return proxy->busy;
}
