/*
 * The registrar: one look into the store, one answer, no transaction: a REGISTER is idempotent.
 * RFC 3261 10.3, RFC 3327 5.3 (Path), RFC 3608 6 (Service-Route), RFC 5626 6 (outbound), RFC 7315 4.1
 * (P-Associated-URI). The Sprout's thread.
 */
#include "sprout_sim.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"

#define REGISTRATION_DEFAULT_S 3600
/* Longer ones are shortened; the answer says so. */
#define REGISTRATION_MAX_S 86400

/* One REGISTER being served. */
struct registration {
	struct sprout *sprout;
	struct message *request;
	const struct hop *hop;
	uint64_t now_ms;
	struct record *record;
	struct buffer path; /* the Path values as one list */
	bool outbound;      /* RFC 5626 6: both sides and the first hop speak it */
	struct buffer extra;
};

/* ---- what the request says ---- */

static void read_path(struct registration *r)
{
	struct name_addr value;
	unsigned count = message_count(r->request, HEADER_PATH);

	for (unsigned i = 0; i < count; i++) {
		if (!message_address(r->request, HEADER_PATH, i, &value))
			continue;
		if (r->path.length > 0)
			buffer_append_string(&r->path, ", ");
		buffer_append_slice(&r->path, value.text);
	}
}

/* RFC 5626 6: the client's first hop must be an edge that keeps flows, and says so by `ob`. A client that is
 * our direct neighbour (one Via) needs none. */
static bool speaks_outbound(const struct registration *r)
{
	unsigned count = message_count(r->request, HEADER_PATH);
	struct name_addr edge;

	if (!message_has_option(r->request, HEADER_SUPPORTED, "outbound"))
		return false;
	if (count == 0)
		return message_count(r->request, HEADER_VIA) == 1;
	return message_address(r->request, HEADER_PATH, count - 1, &edge) &&
	       uri_param(&edge.uri, "ob", NULL);
}

static uint64_t asked_expires_s(const struct registration *r, const struct name_addr *contact)
{
	struct slice text;
	uint64_t seconds;

	if (name_addr_param(contact, "expires", &text)) {
		/* 10.3 step 7: a malformed value counts as 3600 */
		if (!slice_to_uint(text, UINT32_MAX, &seconds))
			seconds = REGISTRATION_DEFAULT_S;
	} else if (message_expires(r->request) >= 0) {
		seconds = (uint64_t)message_expires(r->request);
	} else {
		seconds = REGISTRATION_DEFAULT_S;
	}
	return seconds < REGISTRATION_MAX_S ? seconds : REGISTRATION_MAX_S;
}

static void read_contact(const struct registration *r, const struct name_addr *contact,
                         struct contact_value *out)
{
	struct slice text;
	uint64_t reg_id = 0;

	*out = (struct contact_value){
		.uri = contact->uri.text,
		.path = buffer_slice(&r->path),
		.call_id = message_call_id(r->request),
		.cseq = message_cseq(r->request),
	};
	if (name_addr_param(contact, "+sip.instance", &text))
		out->instance = text;
	if (r->outbound && out->instance.length > 0 && name_addr_param(contact, "reg-id", &text) &&
	    slice_to_uint(text, UINT32_MAX, &reg_id))
		out->reg_id = (uint32_t)reg_id;
	out->expires_ms = r->now_ms + 1000 * asked_expires_s(r, contact);
}

/* ---- what the answer says ---- */

static void write_contacts(struct registration *r)
{
	LIST_FOR_EACH(link, &r->record->contacts) {
		const struct contact *contact = CONTAINER_OF(link, struct contact, link);

		buffer_append_string(&r->extra, "Contact: <");
		buffer_append_slice(&r->extra, contact->uri);
		buffer_append_string(&r->extra, ">;expires=");
		buffer_append_uint(&r->extra, (contact->expires_ms - r->now_ms + 999) / 1000);
		if (contact->instance.length > 0) {
			buffer_append_string(&r->extra, ";+sip.instance=\"");
			buffer_append_slice(&r->extra, contact->instance);
			buffer_append_string(&r->extra, "\"");
		}
		if (contact->reg_id != 0) {
			buffer_append_string(&r->extra, ";reg-id=");
			buffer_append_uint(&r->extra, contact->reg_id);
		}
		buffer_append_string(&r->extra, "\r\n");
	}
}

static void write_routes(struct registration *r, bool outbound)
{
	buffer_append_string(&r->extra, "Service-Route: <sip:orig@");
	buffer_append_string(&r->extra, r->sprout->name);
	buffer_append_string(&r->extra, ";transport=");
	buffer_append_string(&r->extra, transport_name((enum sip_transport)r->hop->transport));
	buffer_append_string(&r->extra, ";lr;orig>\r\nP-Associated-URI: <");
	buffer_append_slice(&r->extra, record_aor(r->record));
	buffer_append_string(&r->extra, ">\r\n");
	if (r->path.length > 0 && message_has_option(r->request, HEADER_SUPPORTED, "path")) {
		buffer_append_string(&r->extra, "Path: ");
		buffer_append_slice(&r->extra, buffer_slice(&r->path));
		buffer_append_string(&r->extra, "\r\n");
	}
	if (outbound)
		buffer_append_string(&r->extra, "Require: outbound\r\n");
	buffer_append_string(&r->extra, "Supported: path, outbound\r\n");
}

/* ---- the steps of 10.3 ---- */

/* 10.3 step 7: an older request of the same client that arrives late must not undo a newer one. */
static bool is_out_of_order(const struct registration *r, const struct contact *contact)
{
	return contact != NULL && slice_equal(contact->call_id, message_call_id(r->request)) &&
	       message_cseq(r->request) < contact->cseq;
}

static int check_contact(struct registration *r, const struct name_addr *contact)
{
	struct contact_value value;
	uint64_t seconds = asked_expires_s(r, contact);

	if (seconds > 0 && seconds < r->sprout->sim->min_expires_s) {
		buffer_printf(&r->extra, "Min-Expires: %u\r\n",
		              (unsigned)r->sprout->sim->min_expires_s);
		return 423;
	}
	read_contact(r, contact, &value);
	return is_out_of_order(r, record_match(r->record, &value)) ? 500 : 0;
}

/* All contacts are looked at before one is changed: the update is done wholly or not at all. */
static int check_contacts(struct registration *r, unsigned count)
{
	struct name_addr contact;
	int status;

	for (unsigned i = 0; i < count; i++) {
		if (!message_address(r->request, HEADER_CONTACT, i, &contact))
			return 400;
		status = check_contact(r, &contact);
		if (status != 0)
			return status;
	}
	return 0;
}

static int update_contacts(struct registration *r, unsigned count, bool *outbound)
{
	struct name_addr contact;
	struct contact_value value;
	struct contact *old;

	for (unsigned i = 0; i < count; i++) {
		if (!message_address(r->request, HEADER_CONTACT, i, &contact))
			return 400;
		read_contact(r, &contact, &value);
		if (value.reg_id != 0)
			*outbound = true;
		if (value.expires_ms > r->now_ms) {
			if (record_put(r->record, &value) != 0)
				return 500;
			continue;
		}
		old = record_match(r->record, &value);
		if (old != NULL)
			record_remove(r->record, old);
	}
	return 0;
}

static int remove_all(struct registration *r)
{
	if (message_expires(r->request) != 0 || message_count(r->request, HEADER_CONTACT) > 1)
		return 400; /* 10.3 step 6 */
	record_clear(r->record);
	return 0;
}

/* The status of the answer; what it carries is in r->extra. Under the lock. */
static int serve(struct registration *r)
{
	unsigned count = message_count(r->request, HEADER_CONTACT);
	bool outbound = false;
	int status;

	if (message_contact_is_star(r->request)) {
		status = remove_all(r);
	} else {
		status = check_contacts(r, count);
		if (status == 0)
			status = update_contacts(r, count, &outbound);
	}
	if (status != 0)
		return status;
	if (count > 0) {
		r->record->updated_ms = r->now_ms;
		peers_publish(r->sprout->sim->peers, r->record);
	}
	write_contacts(r);
	write_routes(r, outbound);
	return 200;
}

/* 10.3 steps 2 and 3: what we must understand, and who it is. */
static int check_request(struct registration *r)
{
	static const char *const understood[] = {"path", "outbound", "gruu", "sec-agree"};
	struct slice tag;
	unsigned known;

	for (unsigned i = 0; message_option(r->request, HEADER_REQUIRE, i, &tag); i++) {
		for (known = 0; known < ARRAY_LENGTH(understood); known++)
			if (slice_equal_nocase(tag, slice_from_string(understood[known])))
				break;
		if (known < ARRAY_LENGTH(understood))
			continue;
		buffer_printf(&r->extra, "Unsupported: %.*s\r\n", SLICE_ARGS(tag));
		return 420;
	}
	if (r->sprout->sim->digest == NULL)
		return 0;
	return digest_check(r->sprout->sim->digest, r->request, &r->extra);
}

static int find_record(struct registration *r)
{
	struct buffer aor;
	struct uri to;
	int err = 0;

	if (message_to(r->request, &to) == NULL || (to.scheme != URI_SIP && to.scheme != URI_SIPS))
		return 404;
	buffer_init(&aor);
	uri_canonical(&to, &aor);
	peers_sync(r->sprout->sim->peers);
	err = aor.failed ? -ENOMEM
	                 : store_obtain(r->sprout->sim->store, buffer_slice(&aor), r->now_ms,
	                                &r->record);
	buffer_free(&aor);
	return err == 0 ? 0 : 500;
}

void registrar_on_register(struct sprout *sprout, struct message *request, const struct hop *hop)
{
	struct registration r = {.sprout = sprout,
	                         .request = request,
	                         .hop = hop,
	                         .now_ms = clock_wall_ms()};
	struct sim *sim = sprout->sim;
	int status;

	buffer_init(&r.path);
	buffer_init(&r.extra);
	status = check_request(&r);
	if (status == 0) {
		read_path(&r);
		r.outbound = speaks_outbound(&r);
		pthread_mutex_lock(&sim->lock);
		status = find_record(&r);
		if (status == 0)
			status = serve(&r);
		pthread_mutex_unlock(&sim->lock);
	}
	if (r.extra.failed || r.path.failed)
		log_error("%s: no memory for an answer to REGISTER", sprout->name);
	else
		sprout_reply(sprout, request, hop, status, buffer_slice(&r.extra));
	buffer_free(&r.path);
	buffer_free(&r.extra);
}
