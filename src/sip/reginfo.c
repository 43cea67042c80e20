/*
 * reginfo documents through libexpat. There is no DTD in them (RFC 3680 5.4 is a schema), so one that declares a
 * document type, and with it any entity, is refused as soon as it does. What is not of our namespace is skipped.
 */
#include "sip/reginfo.h"

#include <expat.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"

/* A message has no more; sixty contacts make some 15 KiB. */
#define BODY_MAX 65535
/* reginfo, registration, contact, uri; extensions may nest somewhat deeper. */
#define DEPTH_MAX 12
#define ELEMENTS_MAX 4096
/* A contact has ten. */
#define ATTRIBUTES_MAX 32
/* An implicit registration set has a handful, a family of phones a few dozen. */
#define REGISTRATIONS_MAX 128
#define CONTACTS_MAX 512
#define TEXT_MAX 1024 /* of one URI or instance */

#define NS "urn:ietf:params:xml:ns:reginfo|" /* as expat writes names: namespace, separator, name */

/* Where the text of an element goes. */
enum place { PLACE_NONE, PLACE_URI, PLACE_INSTANCE, PLACE_REG_ID };

/* Slices move with their buffer, so that is kept as places until the end. */
struct span {
	uint32_t at, length;
};

struct reading {
	XML_Parser parser;
	struct reginfo *out;
	struct buffer text; /* all AORs, URIs, instances */
	struct span aors[REGISTRATIONS_MAX], uris[CONTACTS_MAX], instances[CONTACTS_MAX];
	struct buffer said; /* the text of this element so far */
	enum place place;
	unsigned place_depth, depth, elements;
	bool in_reginfo, in_registration, in_contact; /* those at depths 1, 2 and 3 are ours */
	int err;
};

/* The value, what it points to behind it. */
struct kept {
	struct reginfo reginfo;
	struct buffer text;
};

static void fail(struct reading *reading, int err)
{
	if (reading->err == 0)
		reading->err = err;
	XML_StopParser(reading->parser, XML_FALSE);
}

/* ---- words ---- */

static const char *const event_names[REGINFO_EVENTS] = {
	"registered",  "created",   "refreshed",    "shortened", "expired",
	"deactivated", "probation", "unregistered", "rejected",
};

const char *reginfo_event_name(enum reginfo_event event)
{
	ASSERT(event < REGINFO_EVENTS);
	return event_names[event];
}

static const char *attribute(const char **attributes, const char *name)
{
	for (; attributes[0] != NULL; attributes += 2)
		if (strcmp(attributes[0], name) == 0)
			return attributes[1];
	return NULL;
}

static bool read_number(const char *text, uint64_t *out)
{
	return text != NULL && slice_to_uint(slice_trim(slice_from_string(text)), UINT32_MAX, out);
}

static bool read_state(const char *text, enum reginfo_state *out)
{
	static const char *const names[] = {"init", "active", "terminated"};

	for (unsigned i = 0; text != NULL && i < ARRAY_LENGTH(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*out = (enum reginfo_state)i;
			return true;
		}
	}
	return false;
}

static bool read_event(const char *text, enum reginfo_event *out)
{
	for (unsigned i = 0; text != NULL && i < REGINFO_EVENTS; i++) {
		if (strcmp(text, event_names[i]) == 0) {
			*out = (enum reginfo_event)i;
			return true;
		}
	}
	return false;
}

/* ---- elements ---- */

static bool keep(struct reading *reading, struct slice text, struct span *out)
{
	text = slice_trim(text);
	if (text.length > TEXT_MAX) {
		fail(reading, -E2BIG);
		return false;
	}
	out->at = (uint32_t)reading->text.length;
	out->length = (uint32_t)text.length;
	buffer_append_slice(&reading->text, text);
	if (reading->text.failed)
		fail(reading, -ENOMEM);
	return !reading->text.failed;
}

static void begin_reginfo(struct reading *reading, const char **attributes)
{
	const char *state = attribute(attributes, "state");
	uint64_t version;

	if (state == NULL || !read_number(attribute(attributes, "version"), &version) ||
	    (strcmp(state, "full") != 0 && strcmp(state, "partial") != 0)) {
		fail(reading, -EINVAL);
		return;
	}
	reading->out->version = (uint32_t)version;
	reading->out->full = state[0] == 'f';
	reading->in_reginfo = true;
}

static void begin_registration(struct reading *reading, const char **attributes)
{
	struct reginfo *out = reading->out;
	const char *aor = attribute(attributes, "aor");
	struct reginfo_registration *registration;

	if (out->registration_count == REGISTRATIONS_MAX) {
		fail(reading, -E2BIG);
		return;
	}
	registration = &out->registrations[out->registration_count];
	if (aor == NULL || !read_state(attribute(attributes, "state"), &registration->state)) {
		fail(reading, -EINVAL);
		return;
	}
	if (!keep(reading, slice_from_string(aor), &reading->aors[out->registration_count]))
		return;
	registration->first = out->contact_count;
	registration->count = 0;
	out->registration_count++;
	reading->in_registration = true;
}

static void begin_contact(struct reading *reading, const char **attributes)
{
	struct reginfo *out = reading->out;
	struct reginfo_contact *contact;
	uint64_t seconds;

	if (out->contact_count == CONTACTS_MAX) {
		fail(reading, -E2BIG);
		return;
	}
	contact = &out->contacts[out->contact_count];
	*contact = (struct reginfo_contact){.expires = -1};
	if (!read_state(attribute(attributes, "state"), &contact->state) ||
	    contact->state == REGINFO_INIT ||
	    !read_event(attribute(attributes, "event"), &contact->event)) {
		fail(reading, -EINVAL);
		return;
	}
	if (read_number(attribute(attributes, "expires"), &seconds))
		contact->expires = (int64_t)seconds;
	out->registrations[out->registration_count - 1].count++;
	out->contact_count++;
	reading->in_contact = true;
}

static enum place place_of(const char *name, const char **attributes)
{
	const char *param;

	if (strcmp(name, NS "uri") == 0)
		return PLACE_URI;
	if (strcmp(name, NS "unknown-param") != 0)
		return PLACE_NONE;
	param = attribute(attributes, "name");
	if (param != NULL && strcmp(param, "+sip.instance") == 0)
		return PLACE_INSTANCE;
	return param != NULL && strcmp(param, "reg-id") == 0 ? PLACE_REG_ID : PLACE_NONE;
}

static void XMLCALL on_start(void *arg, const char *name, const char **attributes)
{
	struct reading *reading = arg;
	unsigned count = 0;

	while (attributes[2 * count] != NULL && count <= ATTRIBUTES_MAX)
		count++;
	reading->depth++;
	if (++reading->elements > ELEMENTS_MAX || reading->depth > DEPTH_MAX ||
	    count > ATTRIBUTES_MAX) {
		fail(reading, -E2BIG);
		return;
	}
	if (reading->depth == 1) {
		if (strcmp(name, NS "reginfo") == 0)
			begin_reginfo(reading, attributes);
		else
			fail(reading, -EINVAL);
	} else if (reading->depth == 2 && strcmp(name, NS "registration") == 0) {
		begin_registration(reading, attributes);
	} else if (reading->depth == 3 && reading->in_registration &&
	           strcmp(name, NS "contact") == 0) {
		begin_contact(reading, attributes);
	} else if (reading->depth == 4 && reading->in_contact) {
		reading->place = place_of(name, attributes);
		buffer_reset(&reading->said);
	}
}

static struct slice unquoted(struct slice text)
{
	text = slice_trim(text);
	if (text.length >= 2 && text.data[0] == '"' && text.data[text.length - 1] == '"')
		return slice_of(text.data + 1, text.length - 2);
	return text;
}

static void end_text(struct reading *reading)
{
	const unsigned index = reading->out->contact_count - 1;
	struct reginfo_contact *contact = &reading->out->contacts[index];
	struct slice said = buffer_slice(&reading->said);
	uint64_t number;

	if (reading->place == PLACE_URI)
		keep(reading, said, &reading->uris[index]);
	else if (reading->place == PLACE_INSTANCE)
		keep(reading, unquoted(said), &reading->instances[index]);
	else if (slice_to_uint(unquoted(said), UINT32_MAX, &number))
		contact->reg_id = (uint32_t)number;
	reading->place = PLACE_NONE;
}

static void XMLCALL on_end(void *arg, const char *name)
{
	struct reading *reading = arg;

	if (reading->err != 0) /* expat closes an empty element even when it was told to stop */
		return;
	if (reading->depth == 4 && reading->place != PLACE_NONE)
		end_text(reading);
	else if (reading->depth == 3)
		reading->in_contact = false;
	else if (reading->depth == 2)
		reading->in_registration = false;
	reading->depth--;
}

static void XMLCALL on_text(void *arg, const char *text, int length)
{
	struct reading *reading = arg;

	if (reading->err != 0 || reading->place == PLACE_NONE || reading->depth != 4)
		return;
	buffer_append(&reading->said, text, (size_t)length);
	if (reading->said.failed)
		fail(reading, -ENOMEM);
	else if (reading->said.length > TEXT_MAX)
		fail(reading, -E2BIG);
}

static void XMLCALL on_doctype(void *arg, const char *name, const char *system, const char *public,
                               int has_subset)
{
	fail(arg, -EINVAL);
}

/* ---- the whole ---- */

static int create(struct kept **out)
{
	struct kept *kept = memory_zalloc(sizeof(*kept));

	if (kept == NULL)
		return -ENOMEM;
	buffer_init(&kept->text);
	kept->reginfo.registrations =
		memory_zalloc(REGISTRATIONS_MAX * sizeof(*kept->reginfo.registrations));
	kept->reginfo.contacts = memory_zalloc(CONTACTS_MAX * sizeof(*kept->reginfo.contacts));
	*out = kept;
	return kept->reginfo.registrations != NULL && kept->reginfo.contacts != NULL ? 0 : -ENOMEM;
}

void reginfo_free(struct reginfo **reginfo)
{
	struct kept *kept;

	if (*reginfo == NULL)
		return;
	kept = CONTAINER_OF(*reginfo, struct kept, reginfo);
	buffer_free(&kept->text);
	memory_free(kept->reginfo.registrations);
	memory_free(kept->reginfo.contacts);
	memory_free(kept);
	*reginfo = NULL;
}

static int run(struct reading *reading, struct slice body)
{
	/* The hash of its tables has a key, which expat would otherwise ask of the kernel each time. */
	XML_SetHashSalt(reading->parser, (unsigned long)random_u64() | 1);
	XML_SetUserData(reading->parser, reading);
	XML_SetElementHandler(reading->parser, on_start, on_end);
	XML_SetCharacterDataHandler(reading->parser, on_text);
	XML_SetStartDoctypeDeclHandler(reading->parser, on_doctype);
	if (XML_Parse(reading->parser, body.data, (int)body.length, 1) == XML_STATUS_OK)
		return reading->err;
	if (reading->err != 0)
		return reading->err;
	return XML_GetErrorCode(reading->parser) == XML_ERROR_NO_MEMORY ? -ENOMEM : -EINVAL;
}

/* The buffer has stopped moving. A contact without its URI names nobody (RFC 3680 5.4 demands one). */
static int settle(const struct reading *reading, struct kept *kept)
{
	struct reginfo *out = &kept->reginfo;
	const char *text = kept->text.data;

	for (unsigned i = 0; i < out->registration_count; i++)
		out->registrations[i].aor =
			slice_of(text + reading->aors[i].at, reading->aors[i].length);
	for (unsigned i = 0; i < out->contact_count; i++) {
		if (reading->uris[i].length == 0)
			return -EINVAL;
		out->contacts[i].uri =
			slice_of(text + reading->uris[i].at, reading->uris[i].length);
		out->contacts[i].instance =
			slice_of(text + reading->instances[i].at, reading->instances[i].length);
	}
	return 0;
}

int reginfo_parse(struct slice body, struct reginfo **out)
{
	struct reading *reading;
	struct kept *kept = NULL;
	struct reginfo *made;
	int err;

	*out = NULL;
	if (slice_is_empty(body))
		return -EINVAL;
	if (body.length > BODY_MAX)
		return -E2BIG;
	reading = memory_zalloc(sizeof(*reading));
	if (reading == NULL)
		return -ENOMEM;
	err = create(&kept);
	reading->parser = err == 0 ? XML_ParserCreateNS(NULL, '|') : NULL;
	if (reading->parser != NULL) {
		reading->out = &kept->reginfo;
		err = run(reading, body);
		kept->text = reading->text;
		if (err == 0)
			err = settle(reading, kept);
		XML_ParserFree(reading->parser);
	} else {
		err = -ENOMEM;
	}
	buffer_free(&reading->said);
	memory_free(reading);
	made = kept != NULL ? &kept->reginfo : NULL;
	if (err != 0)
		reginfo_free(&made);
	*out = made;
	return err;
}
