/*
 * Keep-alives agreed with clients (Flow-Timer, RFC 5626 5.4; keep, RFC 6223), and the registrar told of flows that
 * were lost: the binding is taken away as its client would take it away, unless the client comes back first.
 * Worker thread only.
 */
#include "proxy_internal.h"

#include <stdio.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"

/* Lost bindings that wait, for each worker: when an access network fails with more clients than that, the core learns
 * of the others by 430, as without all this. */
#define LOST_MAX 10000
/* When they all wait no more: so many a second go to the core, a small part of what it serves anyhow. */
#define DEREGISTER_EVERY_MS 20

struct lost_binding {
	struct list_link link;
	struct hash_link by_key;
	uint64_t key;
	uint64_t due_ms;
	uint32_t reg_id;
	char *aor, *contact, *instance, *username; /* owned */
	char token[FLOW_TOKEN_TEXT_MAX];
};

/* ---- keep-alives ---- */

void outbound_read(const struct incoming *in, const struct registration *registration,
                   struct request_plan *plan)
{
	struct via via;

	/* With another Via the client is not one hop away (RFC 5626 5.1), and who wrote `keep` is (RFC 6223 3). */
	if (in->flow == NULL || message_count(in->message, HEADER_VIA) != 1)
		return;
	plan->flow_id = flow_id(in->flow);
	plan->asks_outbound = registration != NULL && registration->instance != NULL &&
	                      registration->reg_id != 0 &&
	                      message_has_option(in->message, HEADER_SUPPORTED, "outbound");
	plan->asks_keep = (registration != NULL || in->method == METHOD_INVITE) &&
	                  message_via(in->message, 0, &via) && via.asks_keep;
}

static unsigned flow_timer_s(const struct proxy *proxy, const struct flow *flow)
{
	return flow_hop(flow)->transport == TRANSPORT_UDP ? proxy->settings->flow_timer_udp_s
	                                                  : proxy->settings->flow_timer_s;
}

/* RFC 5626 5.4: only if the registrar took it for outbound. What it said itself was said for another hop. */
static int give_flow_timer(struct message *response, unsigned seconds)
{
	char digits[16];
	int length = snprintf(digits, sizeof(digits), "%u", seconds);
	int err = message_remove(response, "Flow-Timer");

	if (err != 0)
		return err;
	return message_append(response, "Flow-Timer", slice_of(digits, (size_t)length));
}

int outbound_answer(struct response_context *context, struct message *response)
{
	struct proxy *proxy = context->proxy;
	const struct registration *registration = context->registration;
	struct flow *flow;
	unsigned seconds;
	bool outbound, promised;
	int err = 0;

	if (!context->asks_outbound && !context->asks_keep && registration == NULL)
		return 0;
	flow = flow_table_find(proxy->flows, context->flow_id);
	if (flow == NULL || flow_state(flow) != FLOW_REGISTERED ||
	    (registration != NULL && registration->contacts[0] == '\0')) /* a query: all stays */
		return 0;
	seconds = flow_timer_s(proxy, flow);
	outbound = context->asks_outbound && seconds > 0 &&
	           message_has_option(response, HEADER_REQUIRE, "outbound");
	if (outbound)
		err = give_flow_timer(response, seconds);
	if (err == 0 && context->asks_keep && seconds > 0)
		err = message_set_via_keep(response, seconds);
	/* `keep` of an INVITE holds while its dialog does, of which we know nothing: given, not enforced. */
	if (registration == NULL)
		return err;
	promised = seconds > 0 && (outbound || context->asks_keep);
	flow_expect_keepalives(flow, slice_from_string(registration->aor),
	                       promised ? seconds * 1000 + (uint32_t)proxy->settings->flow_grace_ms
	                                : 0);
	return err;
}

/* ---- lost bindings ---- */

static bool key_of_lost(const struct hash_link *link, const void *key)
{
	return CONTAINER_OF(link, struct lost_binding, by_key)->key == *(const uint64_t *)key;
}

static void count_result(struct proxy *proxy, enum deregistration_result result)
{
	metrics_add(proxy->metrics, METRIC_DEREGISTRATIONS, result, 0, 0, 1);
}

static void lost_free(struct lost_binding *lost)
{
	memory_free(lost->aor);
	memory_free(lost->contact);
	memory_free(lost->instance);
	memory_free(lost->username);
	memory_free(lost);
}

static void lost_remove(struct proxy *proxy, struct lost_binding *lost)
{
	list_remove(&proxy->lost.waiting, &lost->link);
	hash_table_remove(&proxy->lost.keys, &lost->by_key);
	lost_free(lost);
}

static struct lost_binding *lost_find(struct proxy *proxy, uint64_t key)
{
	struct hash_link *link = hash_table_find(&proxy->lost.keys, key, &key);

	return link != NULL ? CONTAINER_OF(link, struct lost_binding, by_key) : NULL;
}

/* Not before its time, and not sooner after the one before than the pace allows. */
static void lost_arm(struct proxy *proxy)
{
	struct list_link *first = list_first(&proxy->lost.waiting);
	uint64_t now_ms = loop_now_ms(proxy->loop), at_ms;

	if (first == NULL)
		return;
	at_ms = CONTAINER_OF(first, struct lost_binding, link)->due_ms;
	if (at_ms < proxy->lost.sent_ms + DEREGISTER_EVERY_MS)
		at_ms = proxy->lost.sent_ms + DEREGISTER_EVERY_MS;
	timer_start(loop_timers(proxy->loop), &proxy->lost.next,
	            at_ms > now_ms ? at_ms - now_ms : 0);
}

static struct lost_binding *lost_create(const struct flow *flow, const struct binding *binding)
{
	struct lost_binding *lost = memory_zalloc(sizeof(*lost));

	if (lost == NULL)
		return NULL;
	lost->key = binding_key(binding);
	lost->reg_id = binding_reg_id(binding);
	lost->aor = slice_to_string(binding_aor(binding));
	lost->contact = slice_to_string(binding_contact(binding));
	lost->instance = slice_to_string(binding_instance(binding));
	lost->username = slice_to_string(binding_username(binding));
	snprintf(lost->token, sizeof(lost->token), "%s", flow_token_text(flow));
	if (lost->aor != NULL && lost->contact != NULL && lost->instance != NULL &&
	    lost->username != NULL)
		return lost;
	lost_free(lost);
	return NULL;
}

/* Only outbound bindings: they name their flow. One without reg-id may just have been registered anew, over another
 * connection and with the same Contact, and would be taken away from under its client. */
void proxy_on_binding_lost(struct proxy *proxy, const struct flow *flow,
                           const struct binding *binding)
{
	struct lost_binding *lost;

	if (!proxy->settings->deregister_lost || !binding_has_key(binding))
		return;
	lost = lost_find(proxy, binding_key(binding)); /* it came back, and was lost again */
	if (lost != NULL)
		lost_remove(proxy, lost);
	lost = proxy->lost.waiting.length < LOST_MAX ? lost_create(flow, binding) : NULL;
	if (lost == NULL) {
		count_result(proxy, DEREGISTRATION_DROPPED);
		return;
	}
	lost->due_ms = loop_now_ms(proxy->loop) + proxy->settings->deregister_after_ms;
	list_append(&proxy->lost.waiting, &lost->link);
	hash_table_insert(&proxy->lost.keys, &lost->by_key, lost->key);
	if (!timer_is_running(&proxy->lost.next))
		lost_arm(proxy);
}

void proxy_on_client_back(struct proxy *proxy, uint64_t key)
{
	struct lost_binding *lost = lost_find(proxy, key);

	if (lost == NULL)
		return;
	count_result(proxy, DEREGISTRATION_RETURNED);
	lost_remove(proxy, lost);
}

/* ---- the de-registration ---- */

static void write_username(struct buffer *text, const struct lost_binding *lost, struct slice user,
                           struct slice domain)
{
	if (lost->username[0] != '\0')
		buffer_append_string(text, lost->username);
	else
		buffer_printf(text, "%.*s@%.*s", SLICE_ARGS(user), SLICE_ARGS(domain));
}

/* As the client's own would reach the registrar. It answers no challenge: the S-CSCF has to trust our word on the
 * standing of this user (TS 24.229 5.2.2 and 5.4.1.2). One who never named a private identity has that which
 * TS 23.003 13.3 derives from the public one. */
static struct bytes *write_request(struct proxy *proxy, const struct lost_binding *lost)
{
	const struct proxy_settings *settings = proxy->settings;
	const struct listener_settings *listener = &settings->listeners[settings->path_listener];
	struct route_self self = {slice_from_string(listener->advertise), listener->transport};
	const char *home = settings->visited_network;
	struct slice domain = slice_from_string(home), user = SLICE_NONE;
	struct bytes *request;
	struct buffer text;
	struct uri aor;

	if (uri_parse(slice_from_string(lost->aor), &aor)) {
		user = aor.user;
		if (aor.scheme != URI_TEL)
			domain = aor.host;
	}
	buffer_init(&text);
	buffer_printf(&text, "REGISTER sip:%.*s SIP/2.0\r\n", SLICE_ARGS(domain));
	route_write_path(&text, &self, slice_from_string(lost->token), true);
	buffer_printf(&text,
	              "Max-Forwards: 70\r\n"
	              "From: <%s>;tag=%016llx\r\n"
	              "To: <%s>\r\n"
	              "Call-ID: lost-%016llx%016llx\r\n"
	              "CSeq: 1 REGISTER\r\n"
	              "Contact: <%s>;+sip.instance=\"%s\";reg-id=%u;expires=0\r\n"
	              "Supported: path, outbound\r\n"
	              "P-Visited-Network-ID: \"%s\"\r\n",
	              lost->aor, (unsigned long long)random_u64(), lost->aor,
	              (unsigned long long)random_u64(), (unsigned long long)random_u64(),
	              lost->contact, lost->instance, lost->reg_id, home);
	buffer_append_string(&text, "Authorization: Digest username=\"");
	write_username(&text, lost, user, domain);
	buffer_printf(&text,
	              "\",realm=\"%.*s\",nonce=\"\","
	              "uri=\"sip:%.*s\",response=\"\",integrity-protected=\"ip-assoc-yes\"\r\n"
	              "Content-Length: 0\r\n\r\n",
	              SLICE_ARGS(domain), SLICE_ARGS(domain));
	request = buffer_to_bytes(&text);
	buffer_free(&text);
	return request;
}

static void on_deregistered(struct proxy *proxy, uint64_t id, int status,
                            const struct message *response)
{
	count_result(proxy, status == 0    ? DEREGISTRATION_FAILED
	                    : status < 300 ? DEREGISTRATION_DONE
	                                   : DEREGISTRATION_REFUSED);
}

static void deregister(struct proxy *proxy, const struct lost_binding *lost)
{
	struct request_plan plan = {.add_target_route = true,
	                            .key = hash_slice(slice_from_string(lost->aor))};
	const struct own_request own = {METHOD_REGISTER, on_deregistered, 0};
	struct bytes *request;

	if (flow_table_find_key(proxy->flows, lost->key) != NULL) {
		count_result(proxy, DEREGISTRATION_RETURNED);
		return;
	}
	request = proxy->stopping ? NULL : write_request(proxy, lost);
	if (request == NULL) {
		count_result(proxy, DEREGISTRATION_DROPPED);
		return;
	}
	proxy->lost.sent_ms = loop_now_ms(proxy->loop);
	log_debug("flow of %s lost: its binding is taken off the registrar", lost->aor);
	context_start_own(proxy, &own, &request, &plan);
}

static void on_next(struct timer *timer, void *arg)
{
	struct proxy *proxy = arg;
	struct list_link *first = list_first(&proxy->lost.waiting);
	struct lost_binding *lost;

	if (first == NULL)
		return;
	lost = CONTAINER_OF(first, struct lost_binding, link);
	if (lost->due_ms <= loop_now_ms(proxy->loop)) {
		deregister(proxy, lost);
		lost_remove(proxy, lost);
	}
	lost_arm(proxy);
}

/* ---- life ---- */

int outbound_init(struct proxy *proxy)
{
	list_init(&proxy->lost.waiting);
	timer_init(&proxy->lost.next, on_next, proxy);
	return hash_table_init(&proxy->lost.keys, 64, key_of_lost);
}

void outbound_free(struct proxy *proxy)
{
	struct list_link *link;

	timer_stop(loop_timers(proxy->loop), &proxy->lost.next);
	while ((link = list_first(&proxy->lost.waiting)) != NULL)
		lost_remove(proxy, CONTAINER_OF(link, struct lost_binding, link));
	hash_table_free(&proxy->lost.keys);
}
