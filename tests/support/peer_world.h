/*
 * What a trunk and a PBX do in the proxy's world of paper: 198.51.100.0/28 are trunks, 203.0.113.7 is a PBX.
 */
#ifndef TESTS_SUPPORT_PEER_WORLD_H
#define TESTS_SUPPORT_PEER_WORLD_H

#include "support/proxy_world.h"

#define TRUNK "198.51.100.3"
#define PBX "203.0.113.7"

static struct address_range peer_trunks[1], peer_pbxes[1];

static inline void peer_world_settings(struct world *world)
{
	assert_true(address_range_parse(SLICE_LITERAL("198.51.100.0/28"), &peer_trunks[0]));
	assert_true(address_range_parse(SLICE_LITERAL(PBX), &peer_pbxes[0]));
	world->settings.peers.trunks = peer_trunks;
	world->settings.peers.trunk_count = 1;
	world->settings.peers.pbxes = peer_pbxes;
	world->settings.peers.pbx_count = 1;
}

static inline int peer_world_setup(void **state)
{
	int err = world_setup(state);

	peer_world_settings(*state);
	return err;
}

#define peer_test(name) cmocka_unit_test_setup_teardown(name, peer_world_setup, world_teardown)

static inline struct hop peer_hop(const char *host, uint16_t port)
{
	struct hop hop = {.transport = TRANSPORT_UDP, .side = SIDE_ACCESS, .listener = 0};

	assert_true(address_parse_host(slice_from_string(host), port, &hop.remote));
	return hop;
}

/* A request from a host of the access side; `lines` brings its own To if it is in a dialog. */
static inline void peer_request(struct world *world, const char *host, const char *method,
                                const char *uri, const char *call_id, const char *lines)
{
	struct hop hop = peer_hop(host, 5060);
	char text[16384];

	snprintf(text, sizeof(text),
	         "%s %s SIP/2.0\r\n"
	         "Via: SIP/2.0/UDP %s:5060;branch=z9hG4bK%s%s;rport\r\n"
	         "From: <sip:+15551000@other.example>;tag=far\r\n"
	         "%s"
	         "Call-ID: %s\r\n"
	         "CSeq: %u %s\r\n"
	         "%s"
	         "Content-Length: 0\r\n\r\n",
	         method, uri, host, call_id, strcmp(method, "CANCEL") == 0 ? "INVITE" : method,
	         strstr(lines, "To: ") != NULL ? "" : "To: <sip:user1@example.net>\r\n", call_id,
	         strstr(lines, "To: ") != NULL ? 2u : 1u, method, lines);
	world_packet(world, &hop, text);
}

/* The value of our own index-th Record-Route in a sent text, without the name. Static storage. */
static inline const char *peer_record_route(const char *text, unsigned index)
{
	static char value[4][512];
	static unsigned next;
	char *out = value[next++ % 4];
	const char *at = text;

	for (unsigned i = 0; i <= index; i++) {
		at = strstr(at, "\r\nRecord-Route: ");
		assert_non_null(at);
		at += strlen("\r\nRecord-Route: ");
	}
	snprintf(out, 512, "%.*s", (int)(strstr(at, "\r\n") - at), at);
	return out;
}

#endif
