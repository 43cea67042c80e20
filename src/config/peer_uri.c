/*
 * The URI of a peer that is dialled as it is written: an IP address, a transport, and perhaps `lr`.
 */
#include "base/buffer.h"
#include "config_internal.h"

#define EXPECTED "a SIP URI with an IP address like \"sip:192.0.2.1:5060;transport=tcp;lr\""

const char *hop_uri_parse(struct slice text, struct config_target *target)
{
	struct slice rest = text, host = SLICE_NONE;
	struct buffer plain;
	const char *expected = EXPECTED;

	buffer_init(&plain);
	buffer_append_slice(&plain, slice_split(rest, ';', &rest));
	while (!slice_is_empty(rest)) {
		struct slice param = slice_split(rest, ';', &rest);

		if (slice_equal_nocase(param, SLICE_LITERAL("lr")))
			continue;
		buffer_append(&plain, ";", 1);
		buffer_append_slice(&plain, param);
	}
	if (!plain.failed)
		expected = target_uri_parse(buffer_slice(&plain), target, &host);
	if (!slice_starts_with_nocase(text, SLICE_LITERAL("sip:")))
		expected = EXPECTED;
	if (expected == NULL && (host.length > 0 || address_is_wildcard(&target->address)))
		expected = EXPECTED;
	if (expected == NULL && target->transport == CONFIG_TLS)
		expected = "transport udp or tcp (TLS is for sites)";
	buffer_free(&plain);
	return expected;
}
