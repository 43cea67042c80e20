/*
 * What an IMS client is told to do when what it asked for cannot be: the document of TS 24.229 7.6.1.
 * Pure. Worker thread only.
 */
#include "proxy_internal.h"

#define IMS_XML "application/3gpp-ims+xml"

static bool accepts_ims(const struct message *request)
{
	struct slice value, rest, params;

	for (unsigned i = 0; message_header_at(request, "Accept", i, &value); i++) {
		rest = value;
		while (!slice_is_empty(rest)) {
			struct slice range = slice_split(rest, ',', &rest);

			if (slice_equal_nocase(slice_trim(slice_split(range, ';', &params)),
			                       SLICE_LITERAL(IMS_XML)))
				return true;
		}
	}
	return false;
}

bool client_speaks_ims(const struct proxy *proxy, const struct message *request)
{
	struct slice value;

	switch (proxy->settings->restoration_ims) {
	case RESTORATION_ALWAYS:
		return true;
	case RESTORATION_NEVER:
		return false;
	case RESTORATION_AUTO:
		break;
	}
	return accepts_ims(request) || message_header(request, "P-Access-Network-Info", &value);
}

/* No `sv` in the type: version 1 of the schema is meant then (7.6.5). */
void alternative_service_write(struct buffer *out, struct slice identity, const char *type,
                               const char *reason, const char *action)
{
	if (!slice_is_empty(identity))
		buffer_printf(out, "P-Asserted-Identity: %.*s\r\n", SLICE_ARGS(identity));
	buffer_printf(out,
	              "Content-Type: " IMS_XML "\r\n\r\n"
	              "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	              "<ims-3gpp version=\"1\"><alternative-service><type>%s</type>"
	              "<reason>%s</reason><action>%s</action></alternative-service></ims-3gpp>\n",
	              type, reason, action);
}
