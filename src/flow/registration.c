/*
 * What a REGISTER asks: its address-of-record, its contacts, who says so. Worker thread only.
 * RFC 3261 10.2, RFC 5626, TS 24.229 5.2.2.
 */
#include "base/error.h"
#include "base/memory.h"
#include "flow_internal.h"
#include "sip/message.h"
#include "sip/uri.h"

/* A phone names one contact, a gateway that moves a few; each is compared with each that is answered. */
#define REGISTRATION_CONTACTS_MAX 16
/* One stands in credentials; each further one costs a walk over the whole line. */
#define USERNAMES_MAX 4
/* RFC 3261 10.2: what a registrar may assume when nothing is said. */
#define EXPIRES_DEFAULT_S 3600
#define EXPIRES_MAX_S 0xffffffffu

/* RFC 3261 10.2.1.1: contact parameter, Expires header, else the default. A malformed number counts as
 * the default (20.19). */
uint32_t contact_expires(const struct name_addr *contact, const struct message *message,
                         uint32_t otherwise)
{
	struct slice value;
	uint64_t seconds;
	int64_t header;

	if (name_addr_param(contact, "expires", &value)) {
		if (slice_to_uint(value, EXPIRES_MAX_S, &seconds))
			return (uint32_t)seconds;
		return otherwise;
	}
	header = message_expires(message);
	if (header >= 0)
		return header > (int64_t)EXPIRES_MAX_S ? EXPIRES_MAX_S : (uint32_t)header;
	return otherwise;
}

uint32_t contact_reg_id(const struct name_addr *contact)
{
	struct slice value;
	uint64_t number;

	if (!name_addr_param(contact, "reg-id", &value) ||
	    !slice_to_uint(value, UINT32_MAX, &number))
		return 0;
	return (uint32_t)number;
}

struct slice contact_instance(const struct name_addr *contact)
{
	struct slice value;

	if (!name_addr_param(contact, "+sip.instance", &value))
		return SLICE_NONE;
	return value;
}

static int registration_take_contact(struct registration *out, struct buffer *contacts,
                                     const struct name_addr *contact, uint32_t seconds)
{
	struct slice instance;

	if (contacts->length > 0) {
		buffer_append(contacts, "\n", 1);
		buffer_append_slice(contacts, contact->uri.text);
		return 0;
	}
	buffer_append_slice(contacts, contact->uri.text);
	out->requested_s = seconds;
	out->reg_id = contact_reg_id(contact);
	instance = contact_instance(contact);
	if (slice_is_empty(instance))
		return 0;
	out->instance = slice_to_string(instance);
	return out->instance != NULL ? 0 : -ENOMEM;
}

/* Take the contacts that shall live (or, dying, those that shall go). */
static int registration_take(const struct message *request, unsigned count, bool dying,
                             struct registration *out, struct buffer *contacts)
{
	struct name_addr contact;
	uint32_t seconds;
	unsigned i;
	int err;

	for (i = 0; i < count; i++) {
		if (!message_address(request, HEADER_CONTACT, i, &contact))
			return -EINVAL;
		seconds = contact_expires(&contact, request, EXPIRES_DEFAULT_S);
		if ((seconds == 0) != dying)
			continue;
		err = registration_take_contact(out, contacts, &contact, seconds);
		if (err != 0)
			return err;
	}
	return 0;
}

static int registration_read_contacts(const struct message *request, struct registration *out)
{
	struct buffer contacts;
	unsigned count;
	int err = 0;

	buffer_init(&contacts);
	count = message_count(request, HEADER_CONTACT);
	if (message_contact_is_star(request)) {
		buffer_append_string(&contacts, "*");
	} else if (count > REGISTRATION_CONTACTS_MAX) {
		err = -EINVAL;
	} else {
		err = registration_take(request, count, false, out, &contacts);
		if (err == 0 && contacts.length == 0)
			err = registration_take(request, count, true, out, &contacts);
	}
	if (err == 0 && contacts.failed)
		err = -ENOMEM;
	if (err == 0) {
		out->contacts = slice_to_string(buffer_slice(&contacts));
		if (out->contacts == NULL)
			err = -ENOMEM;
	}
	buffer_free(&contacts);
	return err;
}

static int registration_read_aor(const struct message *request, struct registration *out)
{
	struct buffer aor;
	struct uri to;

	if (message_to(request, &to) == NULL)
		return -EINVAL;
	buffer_init(&aor);
	uri_canonical(&to, &aor);
	if (!aor.failed)
		out->aor = slice_to_string(buffer_slice(&aor));
	buffer_free(&aor);
	return out->aor != NULL ? 0 : -ENOMEM;
}

/* What stands between quotes as it is: no quote and no last backslash but escaped ones. */
static bool is_quotable(struct slice s)
{
	for (size_t i = 0; i < s.length; i++) {
		if (s.data[i] == '"' || (s.data[i] == '\\' && ++i == s.length))
			return false;
	}
	return s.length > 0;
}

bool registration_username(const struct message *request, struct slice *out)
{
	struct slice line, name;
	bool found = false;

	for (unsigned i = 0; message_header_at(request, "Authorization", i, &line); i++) {
		for (unsigned at = 0; auth_param(line, "username", at, &name); at++) {
			if (at == USERNAMES_MAX || (found && !slice_equal(name, *out)))
				return false;
			*out = name;
			found = true;
		}
	}
	return found && is_quotable(*out);
}

static int registration_read_username(const struct message *request, struct registration *out)
{
	struct slice username;

	if (!registration_username(request, &username))
		return 0;
	out->username = slice_to_string(username);
	return out->username != NULL ? 0 : -ENOMEM;
}

int registration_read(const struct message *request, struct registration *out)
{
	int err;

	*out = (struct registration){0};
	err = registration_read_aor(request, out);
	if (err == 0)
		err = registration_read_contacts(request, out);
	if (err == 0)
		err = registration_read_username(request, out);
	if (err != 0)
		registration_free(out);
	return err;
}

void registration_free(struct registration *registration)
{
	memory_free(registration->aor);
	memory_free(registration->contacts);
	memory_free(registration->instance);
	memory_free(registration->username);
	*registration = (struct registration){0};
}
