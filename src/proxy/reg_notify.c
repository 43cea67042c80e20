/*
 * NOTIFYs for our own subscriptions, and what they end: a binding that the network took away, an identity of it, some
 * of its time. From the core alone, found by the token in our Contact. RFC 6665 4.1.3, RFC 3680 5, TS 24.229 5.2.3.
 * Worker thread only.
 */
#include "reg_event.h"

#include <inttypes.h>

#include "base/log.h"

/* A contact that left by its client's own word or by time may have come back meanwhile: what the registrar says of it
 * is not held against a binding that is younger. */
#define FRESH_MS 2000

/* ---- whose it is ---- */

static enum flow_token_verdict token_of(const struct incoming *in, struct watch_token *out)
{
	enum flow_token_verdict verdict;
	struct uri uri;

	message_request_uri(in->message, &uri);
	verdict = watch_token_read(uri.user, message_call_id(in->message), out);
	/* Somebody may well be called like that. */
	return verdict == FLOW_TOKEN_FORGED && !uri_names_us(in->proxy, &uri) ? FLOW_TOKEN_NOT_OURS
	                                                                      : verdict;
}

bool reg_event_belongs_elsewhere(const struct incoming *in, uint8_t *worker)
{
	const struct proxy_settings *settings = in->proxy->settings;
	struct watch_token token;

	if (!settings->reg_subscribe || token_of(in, &token) != FLOW_TOKEN_VALID ||
	    token.epoch != settings->epoch || token.worker == settings->worker)
		return false;
	*worker = token.worker;
	return true;
}

/* RFC 3261 12.2.2; before the 2xx we do not know the notifier's tag. */
static struct reg_watch *find(const struct incoming *in, const struct watch_token *token)
{
	const struct proxy_settings *settings = in->proxy->settings;
	char call_id[REG_CALL_ID_SIZE], tag[17];
	struct reg_watch *watch;

	if (token->epoch != settings->epoch || token->worker != settings->worker)
		return NULL;
	watch = reg_watch_find(in->proxy, token->id);
	if (watch == NULL ||
	    !slice_equal(message_call_id(in->message), reg_watch_call_id(watch, call_id)))
		return NULL;
	snprintf(tag, sizeof(tag), "%016llx", (unsigned long long)watch->local_tag);
	if (!slice_equal(message_to_tag(in->message), slice_from_string(tag)))
		return NULL;
	if (watch->remote_tag != NULL &&
	    !slice_equal(message_from_tag(in->message), slice_from_string(watch->remote_tag)))
		return NULL;
	return watch->state == REG_WATCH_ASKING || watch->accepted ? watch : NULL;
}

/* ---- what the registrar says of a binding ---- */

struct word {
	enum { WORD_KEEP, WORD_GONE, WORD_SHORTER } what;
	const char *why;
	uint32_t seconds;
};

static bool is_contact_of(const struct reginfo_contact *contact, const struct binding *binding)
{
	struct uri theirs, ours;

	/* RFC 5626 6: instance and reg-id name the binding, whatever its URI. */
	if (!slice_is_empty(contact->instance) && contact->reg_id != 0 && binding_has_key(binding))
		return contact->reg_id == binding_reg_id(binding) &&
		       slice_equal(contact->instance, binding_instance(binding));
	return uri_parse(contact->uri, &theirs) && uri_parse(binding_contact(binding), &ours) &&
	       uri_equal(&theirs, &ours);
}

static bool is_by_the_network(enum reginfo_event event)
{
	return event == REGINFO_DEACTIVATED || event == REGINFO_REJECTED ||
	       event == REGINFO_PROBATION;
}

static struct word judge_contact(const struct reginfo_contact *contact, bool fresh)
{
	if (contact->state == REGINFO_TERMINATED) {
		if (fresh && !is_by_the_network(contact->event))
			return (struct word){WORD_KEEP, NULL, 0};
		return (struct word){WORD_GONE, reginfo_event_name(contact->event), 0};
	}
	/* Of other events the time is that of our own 2xx, or of an older one. */
	if (contact->event == REGINFO_SHORTENED && contact->expires >= 0)
		return (struct word){contact->expires > 0 ? WORD_SHORTER : WORD_GONE,
		                     reginfo_event_name(contact->event),
		                     (uint32_t)contact->expires};
	return (struct word){WORD_KEEP, NULL, 0};
}

/* missed: NOTIFYs were, and this one tells everything: who is not in it, is not registered. */
static struct word judge(const struct proxy *proxy, const struct reginfo *reginfo,
                         const struct reginfo_registration *registration,
                         const struct binding *binding, bool missed)
{
	bool fresh = loop_now_ms(proxy->loop) < binding_learnt_ms(binding) + FRESH_MS;

	for (unsigned i = 0; i < registration->count; i++) {
		const struct reginfo_contact *contact = &reginfo->contacts[registration->first + i];

		if (is_contact_of(contact, binding))
			return judge_contact(contact, fresh);
	}
	if (registration->state == REGINFO_TERMINATED && !fresh)
		return (struct word){WORD_GONE, "terminated", 0};
	if (registration->state == REGINFO_ACTIVE && missed && !fresh)
		return (struct word){WORD_GONE, "not listed", 0};
	return (struct word){WORD_KEEP, NULL, 0};
}

/* ---- what follows ---- */

/* True: something changed. */
static bool apply_registration(struct proxy *proxy, uint64_t id, const struct reginfo *reginfo,
                               const struct reginfo_registration *registration, bool missed)
{
	/* Looked up each time: what went before may have ended it. */
	struct flow *flow = flow_table_find(proxy->flows, id);
	const struct binding *binding;
	struct buffer aor;
	struct slice identity;
	struct word word;
	struct uri uri;
	bool whole, changed = false;

	if (flow == NULL || !uri_parse(registration->aor, &uri))
		return false;
	buffer_init(&aor);
	uri_canonical(&uri, &aor);
	binding = aor.failed ? NULL : flow_binding(flow, buffer_slice(&aor));
	whole = binding != NULL;
	if (!whole)
		binding = flow_identity_find(flow, &uri, &identity);
	word = binding != NULL ? judge(proxy, reginfo, registration, binding, missed)
	                       : (struct word){WORD_KEEP, NULL, 0};
	if (word.what != WORD_KEEP)
		log_info("flow %" PRIx64 ": registration of %.*s %s by the network, %s", id,
		         SLICE_ARGS(binding_aor(binding)),
		         word.what == WORD_SHORTER ? "shortened"
		         : whole                   ? "ended"
		                                   : "lost an identity",
		         word.why);
	if (word.what == WORD_GONE)
		changed = whole ? flow_revoke(flow, buffer_slice(&aor))
		                : flow_revoke_identity(flow, &uri);
	else if (word.what == WORD_SHORTER)
		changed = flow_shorten(flow, binding_aor(binding), word.seconds);
	buffer_free(&aor);
	return changed;
}

static bool apply(struct proxy *proxy, const struct reg_watch *watch, const struct reginfo *reginfo,
                  bool missed)
{
	bool changed = false;

	for (unsigned i = 0; i < reginfo->registration_count; i++)
		changed |= apply_registration(proxy, watch->flow_id, reginfo,
		                              &reginfo->registrations[i], missed);
	return changed;
}

/* Once, until it comes: a notifier that cannot count shall not have us ask for ever. */
static void ask_for_all(struct proxy *proxy, struct reg_watch *watch)
{
	if (watch->awaits_full)
		return;
	watch->awaits_full = true;
	if (watch->state == REG_WATCH_STANDING && !watch->ending)
		reg_watch_queue(proxy, watch);
}

/* RFC 3680 5.2: versions rise by one; with a gap the whole state is asked for. What a document with a gap before it
 * says is still the registrar's word. Some notifiers tell the whole state each time and never count (Kamailio): their
 * CSeq says which is the later. */
static enum reg_notify_result take_document(struct proxy *proxy, struct reg_watch *watch,
                                            const struct reginfo *reginfo)
{
	bool gap =
		!reginfo->full && (!watch->has_version || reginfo->version != watch->version + 1);
	bool missed = reginfo->full && watch->awaits_full;
	bool same = watch->has_version && reginfo->version == watch->version;

	if ((watch->has_version && reginfo->version < watch->version) || (same && !reginfo->full))
		return REG_NOTIFY_STALE;
	watch->has_version = true;
	watch->version = reginfo->version;
	if (reginfo->full)
		watch->awaits_full = false;
	if (gap)
		ask_for_all(proxy, watch);
	if (apply(proxy, watch, reginfo, missed))
		return REG_NOTIFY_APPLIED;
	return gap ? REG_NOTIFY_GAP : REG_NOTIFY_TAKEN;
}

/* ---- the subscription itself ---- */

/* RFC 6665 4.1.3. May free it. */
static void take_terminated(struct proxy *proxy, struct reg_watch *watch, struct slice params)
{
	struct slice reason = SLICE_NONE, value;
	uint64_t seconds = 0;

	params_find(params, "reason", &reason);
	if (params_find(params, "retry-after", &value))
		slice_to_uint(value, 24 * 3600, &seconds);
	if (watch->ending || slice_equal_nocase(reason, SLICE_LITERAL("rejected")) ||
	    slice_equal_nocase(reason, SLICE_LITERAL("noresource")) ||
	    slice_equal_nocase(reason, SLICE_LITERAL("invariant")))
		reg_watch_free(proxy, watch); /* the client's next REGISTER begins another */
	else if (watch->state == REG_WATCH_ASKING)
		watch->ended_early = true;
	else
		reg_watch_restart(proxy, watch, seconds * 1000);
}

static void take_state(struct proxy *proxy, struct reg_watch *watch, struct slice state)
{
	struct slice params, expires;
	struct slice name = slice_trim(slice_split(state, ';', &params));
	uint64_t seconds;

	if (slice_equal_nocase(name, SLICE_LITERAL("terminated")))
		take_terminated(proxy, watch, params);
	else if (reg_watch_binding(proxy, watch) == NULL)
		reg_watch_end(proxy, watch);
	else if (watch->state == REG_WATCH_STANDING && params_find(params, "expires", &expires) &&
	         slice_to_uint(expires, UINT32_MAX, &seconds))
		reg_watch_lasts(proxy, watch, seconds);
}

/* ---- the request ---- */

struct verdict {
	int status;
	const char *extra;
	enum reg_notify_result result;
};

static bool is_reginfo(const struct message *message)
{
	struct slice value, params;

	return message_header(message, "Content-Type", &value) &&
	       slice_equal_nocase(slice_trim(slice_split(value, ';', &params)),
	                          SLICE_LITERAL("application/reginfo+xml"));
}

static bool is_reg_event(const struct message *message)
{
	struct slice value, params;

	return message_header(message, "Event", &value) &&
	       slice_equal_nocase(slice_trim(slice_split(value, ';', &params)),
	                          SLICE_LITERAL("reg"));
}

static struct verdict take_body(struct incoming *in, struct reg_watch *watch)
{
	struct slice body = message_body(in->message);
	enum reg_notify_result result;
	struct reginfo *reginfo;
	int err;

	if (slice_is_empty(body))
		return (struct verdict){200, "", REG_NOTIFY_TAKEN};
	if (!is_reginfo(in->message))
		return (struct verdict){415, "Accept: application/reginfo+xml\r\n",
		                        REG_NOTIFY_MALFORMED};
	err = reginfo_parse(body, &reginfo);
	if (err == -ENOMEM)
		return (struct verdict){500, "", REG_NOTIFY_MALFORMED};
	if (err != 0)
		return (struct verdict){400, "", REG_NOTIFY_MALFORMED};
	result = take_document(in->proxy, watch, reginfo);
	reginfo_free(&reginfo);
	return (struct verdict){200, "", result};
}

static struct verdict take_notify(struct incoming *in, struct reg_watch *watch)
{
	uint32_t cseq = message_cseq(in->message);
	struct verdict verdict;
	struct slice state;

	if (!is_reg_event(in->message))
		return (struct verdict){489, "Allow-Events: reg\r\n", REG_NOTIFY_MALFORMED};
	if (!message_header(in->message, "Subscription-State", &state))
		return (struct verdict){400, "", REG_NOTIFY_MALFORMED};
	if (watch->has_remote_cseq && cseq == watch->remote_cseq) /* it was answered so before */
		return (struct verdict){200, "", REG_NOTIFY_STALE};
	if (watch->has_remote_cseq && cseq < watch->remote_cseq) /* RFC 3261 12.2.2 */
		return (struct verdict){500, "", REG_NOTIFY_STALE};
	verdict = take_body(in, watch);
	if (verdict.status != 200)
		return verdict;
	watch->has_remote_cseq = true;
	watch->remote_cseq = cseq;
	watch->heard = true;
	take_state(in->proxy, watch, state); /* may free it */
	return verdict;
}

bool reg_event_request(struct incoming *in)
{
	struct verdict verdict = {481, "", REG_NOTIFY_UNKNOWN};
	struct watch_token token;
	struct reg_watch *watch;
	enum flow_token_verdict whose;

	if (!in->proxy->settings->reg_subscribe)
		return false;
	whose = token_of(in, &token);
	if (whose == FLOW_TOKEN_NOT_OURS)
		return false;
	if (in->method != METHOD_NOTIFY) {
		proxy_reject(in, 405, reply_reason(405), SLICE_LITERAL("Allow: NOTIFY\r\n"),
		             REJECTED_NOT_ALLOWED_METHOD);
		return true;
	}
	watch = whose == FLOW_TOKEN_VALID ? find(in, &token) : NULL;
	if (watch != NULL)
		verdict = take_notify(in, watch);
	metrics_add(in->proxy->metrics, METRIC_REG_NOTIFIES, verdict.result, 0, 0, 1);
	proxy_answer(in, verdict.status, reply_reason(verdict.status),
	             slice_from_string(verdict.extra));
	return true;
}
