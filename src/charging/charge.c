/*
 * A billing record as the JSON that Ralf makes a Diameter ACR of: names are those of the AVPs. TS 32.299 7.2;
 * TS 32.260 6.1.3. Any thread.
 */
#include "charging/charge.h"

#include <jansson.h>

#include "base/error.h"
#include "base/memory.h"

#define NODE_FUNCTIONALITY_P_CSCF 1 /* TS 32.299 7.2.111 */
#define ROLE_ORIGINATING 0          /* 7.2.155 */
#define ROLE_TERMINATING 1
#define SUBSCRIPTION_E164 0 /* RFC 8506 8.47 */
#define SUBSCRIPTION_SIP_URI 2
#define INTERIM_INTERVAL_S 300
/* Of a Call-ID in the path: a client must not choose one that no server reads. Longer ones share the path with those
 * that begin alike, which are the same client's; the record holds the whole. */
#define PATH_CALL_ID_MAX 256

/* Names of clients may hold bytes that are not UTF-8; JSON must not. */
static json_t *text(struct slice s)
{
	json_t *value = json_stringn(s.data != NULL ? s.data : "", s.length);

	return value != NULL ? value : json_string("?");
}

/* A failure leaves NULL in the tree, which json_dumps refuses: one look at the end. */
static void set(json_t *object, const char *key, json_t *value, bool *failed)
{
	if (value == NULL || json_object_set_new(object, key, value) != 0)
		*failed = true;
}

static json_t *one_of(json_t *value)
{
	json_t *list = json_array();

	/* It takes the value in every case, and no value is none. */
	if (json_array_append_new(list, value) != 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

static json_t *names(const char *const *list, unsigned count)
{
	json_t *array = json_array();

	for (unsigned i = 0; array != NULL && i < count; i++)
		if (json_array_append_new(array, json_string(list[i])) != 0) {
			json_decref(array);
			return NULL;
		}
	return array;
}

/* TS 32.299 7.2.35: 0 the normal end of a session, below it other success, above it what failed. Nothing stands in
 * the record of a session that goes on. */
static bool cause_of(const struct charge *charge, int *cause)
{
	if (charge->status >= 300) {
		*cause = charge->status < 400 ? -charge->status : charge->status;
		return true;
	}
	if (charge->type == CHARGE_START || charge->type == CHARGE_INTERIM)
		return false;
	if (charge->type == CHARGE_STOP)
		*cause = 0;
	else if (charge->expires == 0 && slice_equal(charge->method, SLICE_LITERAL("SUBSCRIBE")))
		*cause = -2;
	else if (charge->expires == 0 && slice_equal(charge->method, SLICE_LITERAL("PUBLISH")))
		*cause = -3;
	else
		*cause = charge->status == 200 ? -1 : -charge->status;
	return true;
}

static json_t *subscription(struct slice user, bool *failed)
{
	const bool tel = slice_starts_with_nocase(user, SLICE_LITERAL("tel:"));
	json_t *id = json_object();

	set(id, "Subscription-Id-Type",
	    json_integer(tel ? SUBSCRIPTION_E164 : SUBSCRIPTION_SIP_URI), failed);
	set(id, "Subscription-Id-Data", text(tel ? slice_skip(user, 4) : user), failed);
	return one_of(id);
}

static json_t *event_type(const struct charge *charge, bool *failed)
{
	json_t *event = json_object();

	set(event, "SIP-Method", text(charge->method), failed);
	if (charge->expires >= 0)
		set(event, "Expires", json_integer(charge->expires), failed);
	return event;
}

static json_t *time_stamps(const struct charge *charge, bool *failed)
{
	json_t *stamps = json_object();

	set(stamps, "SIP-Request-Timestamp",
	    json_integer((json_int_t)charge->request_wall_ms / 1000), failed);
	set(stamps, "SIP-Request-Timestamp-Fraction",
	    json_integer((json_int_t)charge->request_wall_ms % 1000), failed);
	set(stamps, "SIP-Response-Timestamp",
	    json_integer((json_int_t)charge->response_wall_ms / 1000), failed);
	set(stamps, "SIP-Response-Timestamp-Fraction",
	    json_integer((json_int_t)charge->response_wall_ms % 1000), failed);
	return stamps;
}

static json_t *ims_information(const struct charge *charge, const struct charge_settings *settings,
                               bool *failed)
{
	json_t *ims = json_object(), *ioi;
	int cause;

	set(ims, "Event-Type", event_type(charge, failed), failed);
	set(ims, "Role-Of-Node",
	    json_integer(charge->terminating ? ROLE_TERMINATING : ROLE_ORIGINATING), failed);
	set(ims, "Node-Functionality", json_integer(NODE_FUNCTIONALITY_P_CSCF), failed);
	set(ims, "User-Session-Id", text(charge->call_id), failed);
	set(ims, "Calling-Party-Address", one_of(text(charge->from)), failed);
	set(ims, "Called-Party-Address", text(charge->to), failed);
	set(ims, "Requested-Party-Address", one_of(text(charge->request_uri)), failed);
	set(ims, "Time-Stamps", time_stamps(charge, failed), failed);
	if (!slice_is_empty(charge->icid))
		set(ims, "IMS-Charging-Identifier", text(charge->icid), failed);
	if (!slice_is_empty(charge->access))
		set(ims, "Access-Network-Information", one_of(text(charge->access)), failed);
	if (settings->ioi != NULL) {
		ioi = json_object();
		set(ioi, "Originating-IOI", json_string(settings->ioi), failed);
		set(ims, "Inter-Operator-Identifier", one_of(ioi), failed);
	}
	if (cause_of(charge, &cause))
		set(ims, "Cause-Code", json_integer(cause), failed);
	return ims;
}

static json_t *event(const struct charge *charge, const struct charge_settings *settings,
                     bool *failed)
{
	json_t *event = json_object(), *service = json_object();

	if (!slice_is_empty(charge->user)) {
		set(event, "User-Name", text(charge->user), failed);
		set(service, "Subscription-Id", subscription(charge->user, failed), failed);
	}
	set(service, "IMS-Information", ims_information(charge, settings, failed), failed);
	set(event, "Accounting-Record-Type", json_integer(charge->type), failed);
	set(event, "Event-Timestamp", json_integer((json_int_t)charge->response_wall_ms / 1000),
	    failed);
	set(event, "Origin-Host", json_string(settings->node), failed);
	if (charge->type == CHARGE_START || charge->type == CHARGE_INTERIM)
		set(event, "Acct-Interim-Interval", json_integer(INTERIM_INTERVAL_S), failed);
	set(event, "Service-Information", service, failed);
	return event;
}

/* Who collects must be told where a session or an event begins; what follows goes there too. */
static json_t *peers(const struct charge_settings *settings, bool *failed)
{
	json_t *peers = json_object();

	set(peers, "ccf", names(settings->ccf, settings->ccf_count), failed);
	if (settings->ecf_count > 0)
		set(peers, "ecf", names(settings->ecf, settings->ecf_count), failed);
	return peers;
}

/* RFC 3986 2.3: what needs no escape in a path segment. */
static void append_escaped(struct buffer *out, struct slice s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.length; i++) {
		const uint8_t c = (uint8_t)s.data[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '-' || c == '.' || c == '_' || c == '~') {
			buffer_append(out, &c, 1);
		} else {
			const char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};

			buffer_append(out, escaped, 3);
		}
	}
}

static int append_chunk(const char *chunk, size_t size, void *arg)
{
	struct buffer *out = arg;

	buffer_append(out, chunk, size);
	return out->failed ? -1 : 0;
}

int charge_write(const struct charge *charge, const struct charge_settings *settings,
                 struct buffer *out)
{
	json_t *record = json_object();
	bool failed = record == NULL;

	if (charge->type == CHARGE_START || charge->type == CHARGE_EVENT)
		set(record, "peers", peers(settings, &failed), &failed);
	set(record, "event", event(charge, settings, &failed), &failed);
	append_escaped(out, slice_of(charge->call_id.data, charge->call_id.length < PATH_CALL_ID_MAX
	                                                           ? charge->call_id.length
	                                                           : PATH_CALL_ID_MAX));
	buffer_append_string(out, " ");
	if (!failed && json_dump_callback(record, append_chunk, out, JSON_COMPACT) != 0)
		failed = true;
	json_decref(record);
	return failed || out->failed ? -ENOMEM : 0;
}
