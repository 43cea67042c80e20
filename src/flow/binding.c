/*
 * Bindings: what the 2xx to a REGISTER granted, and the text we keep of it.
 * Worker thread only. RFC 3261 10.2, 10.3 and 19.1.4, RFC 3608, RFC 5626, RFC 7315 4.1.
 */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "flow_internal.h"
#include "sip/message.h"
#include "sip/uri.h"

/* Contacts of a 2xx that are looked at: all devices of a large family of phones. */
#define GRANT_CONTACTS_MAX 256
/* All that we keep of one binding; an ordinary one has 300 bytes, one with 100 identities 6 KiB. */
#define BINDING_TEXT_MAX 16384

/* ---- what the 2xx granted ---- */

static bool uri_text_equal(const struct uri *uri, struct slice text)
{
	struct uri other;

	if (slice_equal(uri->text, text)) /* nearly always: a registrar repeats what it was told */
		return true;
	return uri_parse(text, &other) && uri_equal(uri, &other);
}

static bool contacts_name_uri(struct slice contacts, const struct uri *uri)
{
	while (!slice_is_empty(contacts)) {
		if (uri_text_equal(uri, slice_split(contacts, '\n', &contacts)))
			return true;
	}
	return false;
}

bool contacts_name(struct slice contacts, struct slice uri)
{
	struct uri parsed;

	return uri_parse(uri, &parsed) && contacts_name_uri(contacts, &parsed);
}

static void grant_consider(const struct message *response, const struct name_addr *contact,
                           uint32_t requested_s, struct grant *best)
{
	uint32_t seconds = contact_expires(contact, response, requested_s);

	if (seconds <= best->seconds)
		return;
	best->seconds = seconds;
	best->contact = contact->uri.text;
}

/* RFC 5626 6: instance and reg-id name the binding, whatever its URI: two phones behind two NATs may well
 * have the same private contact. */
enum key_match { KEY_NONE, KEY_SAME, KEY_OTHER };

static enum key_match contact_compare_key(const struct name_addr *contact, struct slice instance,
                                          uint32_t reg_id)
{
	struct slice theirs = contact_instance(contact);
	uint32_t their_reg_id = contact_reg_id(contact);

	if (slice_is_empty(instance) || reg_id == 0 || slice_is_empty(theirs) || their_reg_id == 0)
		return KEY_NONE;
	return their_reg_id == reg_id && slice_equal(theirs, instance) ? KEY_SAME : KEY_OTHER;
}

bool grant_find(const struct message *response, struct slice contacts, struct slice instance,
                uint32_t reg_id, uint32_t requested_s, struct grant *out)
{
	unsigned i, count = message_count(response, HEADER_CONTACT);
	struct grant by_uri = {0}, by_key = {0};
	struct name_addr contact;

	if (count > GRANT_CONTACTS_MAX)
		count = GRANT_CONTACTS_MAX;
	for (i = 0; i < count; i++) {
		if (!message_address(response, HEADER_CONTACT, i, &contact))
			continue;
		switch (contact_compare_key(&contact, instance, reg_id)) {
		case KEY_SAME:
			grant_consider(response, &contact, requested_s, &by_key);
			break;
		case KEY_OTHER:
			break;
		case KEY_NONE:
			if (contacts_name_uri(contacts, &contact.uri))
				grant_consider(response, &contact, requested_s, &by_uri);
		}
	}
	*out = by_key.seconds > 0 ? by_key : by_uri;
	/* A registrar without outbound does not repeat them (RFC 5626 6); ours are what we sent. */
	out->instance = instance;
	out->reg_id = reg_id;
	return out->seconds > 0;
}

/* ---- the text we keep ---- */

/* A value may be folded over lines (RFC 3261 7.3.1); what we keep stands on one. */
static void append_unfolded(struct buffer *out, struct slice s)
{
	size_t i, start = out->length;

	buffer_append_slice(out, s);
	for (i = start; i < out->length; i++) {
		if (out->data[i] == '\r' || out->data[i] == '\n')
			out->data[i] = ' ';
	}
}

/* One identity as P-Asserted-Identity takes it (RFC 3325 9.1): a name-addr without header parameters. */
static void identity_write(struct buffer *out, const struct name_addr *identity)
{
	const char *end = identity->uri.text.data + identity->uri.text.length;
	const char *text_end = identity->text.data + identity->text.length;

	if (identity->uri.text.data > identity->text.data && end < text_end && *end == '>') {
		append_unfolded(out, slice_of(identity->text.data,
		                              (size_t)(end + 1 - identity->text.data)));
	} else {
		buffer_append(out, "<", 1);
		buffer_append_slice(out, identity->uri.text);
		buffer_append(out, ">", 1);
	}
	buffer_append(out, "\n", 1);
}

static unsigned identities_write(struct buffer *out, struct slice aor,
                                 const struct message *response)
{
	unsigned i, written = 0, count = message_count(response, HEADER_P_ASSOCIATED_URI);
	struct name_addr identity;

	for (i = 0; i < count && out->length <= BINDING_TEXT_MAX; i++) {
		if (!message_address(response, HEADER_P_ASSOCIATED_URI, i, &identity))
			continue;
		identity_write(out, &identity);
		written++;
	}
	if (written > 0)
		return written;
	buffer_append(out, "<", 1);
	buffer_append_slice(out, aor);
	buffer_append(out, ">\n", 2);
	return 1;
}

static void service_route_write(struct buffer *out, const struct message *response)
{
	unsigned i, count = message_count(response, HEADER_SERVICE_ROUTE);
	size_t start = out->length;
	struct name_addr route;

	for (i = 0; i < count && out->length <= BINDING_TEXT_MAX; i++) {
		if (!message_address(response, HEADER_SERVICE_ROUTE, i, &route))
			continue;
		if (out->length > start)
			buffer_append(out, ", ", 2);
		append_unfolded(out, slice_trim(route.text));
	}
}

/* What is kept of one binding, before its block is made. */
struct draft {
	struct buffer text;
	size_t service_route_length, identities_length;
	unsigned identity_count;
};

static int draft_write(struct draft *draft, struct slice aor, const struct grant *grant,
                       const struct message *response)
{
	struct buffer *text = &draft->text;
	size_t start;

	buffer_append_slice(text, aor);
	buffer_append_slice(text, grant->contact);
	buffer_append_slice(text, grant->instance);
	append_unfolded(text, grant->username);
	start = text->length;
	service_route_write(text, response);
	draft->service_route_length = text->length - start;
	start = text->length;
	draft->identity_count = identities_write(text, aor, response);
	draft->identities_length = text->length - start;
	if (text->failed)
		return -ENOMEM;
	return text->length > BINDING_TEXT_MAX ? -EMSGSIZE : 0;
}

/* The message layer lets no more than 128 identities pass; each has some bytes of text. */
_Static_assert(BINDING_TEXT_MAX <= UINT16_MAX, "lengths and counts of a binding have 16 bits");

static char *binding_text(const struct binding *binding)
{
	return (char *)&binding->identities[binding->identity_count];
}

/* Where each stands and what it is found by. One that is no URI (a lenient reader wrote it) is never found. */
static int binding_mark_identities(struct binding *binding, struct buffer *scratch)
{
	struct slice rest =
		slice_of(binding_text(binding) + binding->aor_length + binding->contact_length +
	                         binding->instance_length + binding->username_length +
	                         binding->service_route_length,
	                 binding->identities_length);
	struct name_addr parsed;
	unsigned i;

	for (i = 0; i < binding->identity_count; i++) {
		struct identity *identity = &binding->identities[i];
		struct slice text = slice_split(rest, '\n', &rest);

		*identity = (struct identity){
			.index = (uint16_t)i,
			.at = (uint16_t)(text.data - binding_text(binding)),
			.length = (uint16_t)text.length,
		};
		if (!name_addr_parse(text, &parsed))
			continue;
		identity->by_uri.hash = identity_hash(&parsed.uri, scratch);
		if (scratch->failed)
			return -ENOMEM;
	}
	return 0;
}

static struct binding *binding_from_draft(const struct draft *draft, struct slice aor,
                                          const struct grant *grant)
{
	struct binding *binding;
	size_t identities = draft->identity_count * sizeof(struct identity);

	binding = memory_alloc(sizeof(*binding) + identities + draft->text.length);
	if (binding == NULL)
		return NULL;
	*binding = (struct binding){
		.reg_id = grant->reg_id,
		.aor_length = (uint16_t)aor.length,
		.contact_length = (uint16_t)grant->contact.length,
		.instance_length = (uint16_t)grant->instance.length,
		.username_length = (uint16_t)grant->username.length,
		.service_route_length = (uint16_t)draft->service_route_length,
		.identities_length = (uint16_t)draft->identities_length,
		.identity_count = (uint16_t)draft->identity_count,
	};
	memcpy(binding_text(binding), draft->text.data, draft->text.length);
	return binding;
}

/* Does the binding say all that the draft says? */
static bool binding_is_like(const struct binding *binding, const struct draft *draft,
                            struct slice aor, const struct grant *grant)
{
	size_t length = (size_t)binding->aor_length + binding->contact_length +
	                binding->instance_length + binding->username_length +
	                binding->service_route_length + binding->identities_length;

	return binding->reg_id == grant->reg_id && binding->aor_length == aor.length &&
	       binding->contact_length == grant->contact.length &&
	       binding->instance_length == grant->instance.length &&
	       binding->username_length == grant->username.length &&
	       binding->service_route_length == draft->service_route_length &&
	       binding->identity_count == draft->identity_count && length == draft->text.length &&
	       memcmp(binding_text(binding), draft->text.data, length) == 0;
}

int binding_create(struct slice aor, const struct grant *grant, const struct message *response,
                   uint64_t now_ms, struct binding *old, struct binding **out)
{
	struct binding *binding = NULL;
	struct draft draft = {0};
	int err;

	buffer_init(&draft.text);
	err = draft_write(&draft, aor, grant, response);
	if (err != 0)
		goto out;
	if (old != NULL && binding_is_like(old, &draft, aor, grant)) {
		old->expires_ms = now_ms + (uint64_t)grant->seconds * 1000;
		*out = old;
		goto out;
	}
	err = -ENOMEM;
	binding = binding_from_draft(&draft, aor, grant);
	if (binding == NULL)
		goto out;
	binding->expires_ms = now_ms + (uint64_t)grant->seconds * 1000;
	err = binding_mark_identities(binding, &draft.text);
	if (err != 0)
		goto out;
	*out = binding;
	binding = NULL;
out:
	binding_destroy(&binding);
	buffer_free(&draft.text);
	return err;
}

int binding_without(const struct binding *old, const struct identity *identity,
                    struct binding **out)
{
	/* The line, with its end. */
	const size_t cut = identity->at, gone = (size_t)identity->length + 1;
	const size_t length = (size_t)old->aor_length + old->contact_length + old->instance_length +
	                      old->username_length + old->service_route_length +
	                      old->identities_length;
	const unsigned count = old->identity_count - 1u;
	struct buffer scratch;
	struct binding *binding;
	int err;

	binding = memory_alloc(sizeof(*binding) + count * sizeof(struct identity) + length - gone);
	if (binding == NULL)
		return -ENOMEM;
	*binding = (struct binding){
		.expires_ms = old->expires_ms,
		.reg_id = old->reg_id,
		.aor_length = old->aor_length,
		.contact_length = old->contact_length,
		.instance_length = old->instance_length,
		.username_length = old->username_length,
		.service_route_length = old->service_route_length,
		.identities_length = (uint16_t)(old->identities_length - gone),
		.identity_count = (uint16_t)count,
		.restoring = old->restoring,
	};
	memcpy(binding_text(binding), binding_text(old), cut);
	memcpy(binding_text(binding) + cut, binding_text(old) + cut + gone, length - cut - gone);
	buffer_init(&scratch);
	err = binding_mark_identities(binding, &scratch);
	buffer_free(&scratch);
	if (err != 0)
		binding_destroy(&binding);
	else
		*out = binding;
	return err;
}

void binding_destroy(struct binding **binding)
{
	memory_free(*binding);
	*binding = NULL;
}

static void binding_free(struct grave *grave)
{
	memory_free(CONTAINER_OF(grave, struct binding, grave));
}

void binding_bury(struct loop *loop, struct binding **binding)
{
	struct binding *dead = *binding;

	*binding = NULL;
	memset(&dead->grave, 0, sizeof(dead->grave));
	loop_bury(loop, &dead->grave, binding_free);
}

/* ---- looking at it ---- */

bool binding_has_key(const struct binding *binding)
{
	return binding->instance_length > 0 && binding->reg_id != 0;
}

uint64_t binding_key(const struct binding *binding)
{
	struct slice aor = binding_aor(binding), instance = binding_instance(binding);
	uint64_t hash = hash_bytes(aor.data, aor.length);

	/* The length stands between, so that no pair reads as another. */
	hash = hash_more(hash, &binding->aor_length, sizeof(binding->aor_length));
	hash = hash_more(hash, instance.data, instance.length);
	return hash_more(hash, &binding->reg_id, sizeof(binding->reg_id));
}

struct slice binding_aor(const struct binding *binding)
{
	return slice_of(binding_text(binding), binding->aor_length);
}

uint64_t binding_learnt_ms(const struct binding *binding)
{
	return binding->learnt_us / 1000;
}

uint64_t binding_expires_ms(const struct binding *binding)
{
	return binding->expires_ms;
}

struct slice binding_contact(const struct binding *binding)
{
	return slice_of(binding_text(binding) + binding->aor_length, binding->contact_length);
}

struct slice binding_instance(const struct binding *binding)
{
	struct slice contact = binding_contact(binding);

	return slice_of(contact.data + contact.length, binding->instance_length);
}

struct slice binding_username(const struct binding *binding)
{
	struct slice instance = binding_instance(binding);

	return slice_of(instance.data + instance.length, binding->username_length);
}

struct slice binding_service_route(const struct binding *binding)
{
	struct slice username = binding_username(binding);

	return slice_of(username.data + username.length, binding->service_route_length);
}

struct binding *identity_binding(struct identity *identity)
{
	struct identity *first = identity - identity->index;

	return (struct binding *)((char *)first - offsetof(struct binding, identities));
}

struct slice identity_text(const struct identity *identity)
{
	const struct binding *binding = identity_binding((struct identity *)identity);

	return slice_of(binding_text(binding) + identity->at, identity->length);
}

struct slice binding_identity(const struct binding *binding, unsigned index)
{
	if (index >= binding->identity_count)
		return SLICE_NONE;
	return identity_text(&binding->identities[index]);
}

struct slice binding_default_identity(const struct binding *binding)
{
	return binding_identity(binding, 0);
}

unsigned binding_identity_count(const struct binding *binding)
{
	return binding->identity_count;
}

bool binding_is_restoring(const struct binding *binding)
{
	return binding->restoring;
}

uint32_t binding_reg_id(const struct binding *binding)
{
	return binding->reg_id;
}
