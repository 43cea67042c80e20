/*
 * The URI of a target or of `discover`: sip:HOST[:PORT][;transport=udp|tcp|tls]. Pure.
 */
#include <ctype.h>

#include "config_internal.h"

/* RFC 3261 25.1: the last label begins with a letter; a number would be a misspelt address. */
static bool is_host_name(struct slice text)
{
	size_t last = text.length;

	while (last > 0 && text.data[last - 1] != '.')
		last--;
	return value_is_domain(text) && isalpha((unsigned char)text.data[last]);
}

static const char *parse_host(struct slice host_port, struct config_target *target,
                              struct slice *host)
{
	struct slice rest;
	uint64_t port = 0;

	*host = SLICE_NONE;
	if (slice_index(host_port, '@') >= 0)
		return "a SIP URI without a user part";
	if (address_parse(host_port, &target->address) && address_port(&target->address) != 0) {
		target->port = address_port(&target->address);
		return NULL;
	}
	if (address_parse_host(host_port, 5060, &target->address))
		return NULL;
	target->address.family = AF_UNSPEC;
	*host = slice_split(host_port, ':', &rest);
	if (!is_host_name(*host) ||
	    (host->length < host_port.length && (!slice_to_uint(rest, 65535, &port) || port == 0)))
		return "a SIP URI with an IP address or a host name, and a port from 1 to 65535";
	target->port = (uint16_t)port;
	return NULL;
}

static const char *parse_param(struct slice param, struct config_target *target)
{
	struct slice text, name = slice_split(param, '=', &text);

	if (slice_equal_nocase(name, SLICE_LITERAL("transport")))
		for (unsigned i = 0; config_transport_names[i] != NULL; i++) {
			if (!slice_equal_nocase(text, slice_from_string(config_transport_names[i])))
				continue;
			target->transport = (enum config_transport)i;
			target->has_transport = true;
			if (i <= CONFIG_TLS)
				return NULL;
			return "transport udp, tcp or tls (WebSockets are for clients)";
		}
	return "no URI parameter but transport=udp, transport=tcp or transport=tls";
}

const char *target_uri_parse(struct slice text, struct config_target *target, struct slice *host)
{
	struct slice rest, host_port;
	const char *expected;

	if (!slice_starts_with_nocase(text, SLICE_LITERAL("sip:")))
		return "a SIP URI like \"sip:10.0.0.21:5054;transport=tcp\", or with transport=tls";
	host_port = slice_split(slice_skip(text, 4), ';', &rest);
	target->transport = CONFIG_UDP; /* RFC 3263 4.1: an address without transport */
	expected = parse_host(host_port, target, host);
	while (expected == NULL && rest.length > 0)
		expected = parse_param(slice_split(rest, ';', &rest), target);
	if (expected == NULL && host->length == 0)
		address_normalise(&target->address);
	if (expected == NULL && host->length == 0 && address_is_link_local(&target->address))
		expected = "a SIP URI with an address that is not link-local";
	return expected;
}
