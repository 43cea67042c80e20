/*
 * Which header may cross which way. One table; the complete rules of TS 24.229 and RFC 3325 grow here.
 * Pure but for the message it edits. Worker thread only.
 */
#include "proxy_internal.h"

/* What a client says of its own standing, charging or path is never believed (ARCHITECTURE, invariants);
 * P-Preferred-Identity has been read before this runs (RFC 3325 9.2: removed by the first trusted hop). */
static const char *const client_to_core[] = {
	"P-Asserted-Identity",
	"P-Preferred-Identity",
	"P-Asserted-Service",
	"P-Associated-URI",
	"P-Called-Party-ID",
	"P-Charging-Function-Addresses",
	"P-Charging-Vector",
	"P-DCS-Trace-Party-ID",
	"P-Profile-Key",
	"P-Served-User",
	"P-User-Database",
	"P-Visited-Network-ID",
	"Path",
	"Service-Route",
	"Remote-Party-ID",
};

/* What the core tells itself is nothing for a client: charging, location of the served user, and the
 * standing of other people's credentials. */
static const char *const core_to_client[] = {
	"P-Access-Network-Info", "P-Charging-Function-Addresses",
	"P-Charging-Vector",     "P-Profile-Key",
	"P-Served-User",         "P-User-Database",
	"P-Visited-Network-ID",
};

/* RFC 3325 7: an asserted identity does not go to an element outside the trust domain when the caller asked
 * for privacy of the kind "id". */
static bool asks_id_privacy(const struct message *message)
{
	struct slice value;
	struct slice rest;

	for (unsigned i = 0; message_header_at(message, "Privacy", i, &value); i++) {
		rest = value;
		while (!slice_is_empty(rest)) {
			struct slice item = slice_trim(slice_split(rest, ';', &rest));

			if (slice_equal_nocase(item, SLICE_LITERAL("id")))
				return true;
		}
	}
	return false;
}

int trust_strip(struct message *message, enum crossing crossing)
{
	int err;

	if (crossing == CROSSING_CLIENT_TO_CORE)
		return message_remove_each(message, client_to_core, ARRAY_LENGTH(client_to_core));
	err = 0;
	if (asks_id_privacy(message))
		err = message_remove(message, "P-Asserted-Identity");
	if (err != 0)
		return err;
	return message_remove_each(message, core_to_client, ARRAY_LENGTH(core_to_client));
}

int trust_strip_standing(struct message *message)
{
	int err = message_set_authorization_param(message, "Authorization", "integrity-protected",
	                                          NULL);

	if (err == 0)
		err = message_set_authorization_param(message, "Proxy-Authorization",
		                                      "integrity-protected", NULL);
	return err;
}
