/*
 * The table of keys: what the file may hold. Reading, checking and docs/CONFIG.md are made from it.
 */
#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "config_internal.h"

#define C(member) RECORD_CONFIG, offsetof(struct config, member)
#define L(member) RECORD_LISTENER, offsetof(struct config_listener, member)
#define S(member) RECORD_SITE, offsetof(struct config_site, member)
#define T(member) RECORD_TARGET, offsetof(struct config_target, member)
#define P(member) RECORD_TLS, offsetof(struct config_tls, member)
#define M(member) RECORD_CERTIFICATE, offsetof(struct config_certificate, member)
#define SECTION(name, is_required, words)                                                          \
	{                                                                                          \
		name, SCHEMA_MAP, RECORD_CONFIG, 0, 0, 0, 0, NULL, is_required, false, words       \
	}
#define REQUIRED true
#define OPTIONAL false
#define RELOAD true
#define RESTART false
#define MS 1
#define SECONDS 1000u
#define MINUTES 60000u
#define HOURS 3600000u

/* path, type, field, (count beside it), min, max, default, required, reloadable, help */
/* clang-format off */
const struct schema_key schema_keys[] = {
	SECTION("node", REQUIRED, "This node."),
	{"node.name", SCHEMA_NAME, C(node_name), 0, 0, 0, NULL, REQUIRED, RESTART,
	 "Name of this node: in flow tokens, metrics and log lines. Unique over all nodes."},
	{"node.site", SCHEMA_NAME, C(node_site), 0, 0, 0, NULL, REQUIRED, RESTART,
	 "The site this node stands in; one of `sites`."},
	{"node.home_domains", SCHEMA_DOMAINS, C(home_domains),
	 offsetof(struct config, home_domain_count), 0, 0, NULL, REQUIRED, RELOAD,
	 "Domains of the home network; the first one names it toward the registrar."},
	{"node.state_dir", SCHEMA_FILE, C(state_dir), 0, 0, 0, "/var/lib/bono", OPTIONAL, RESTART,
	 "Directory of what must survive a restart: the key of the flow tokens."},
	{"workers", SCHEMA_WORKERS, C(workers), 0, 1, CONFIG_WORKERS_MAX, "auto", OPTIONAL, RESTART,
	 "Worker threads; `auto`: as many as processors this process may use."},

	{"listeners", SCHEMA_LISTENERS, C(listeners), offsetof(struct config, listener_count), 0,
	 CONFIG_LISTENERS_MAX, NULL, REQUIRED, RESTART,
	 "Where this node listens: at least one listener of each side."},
	{"listeners[].name", SCHEMA_NAME, L(name), 0, 0, 0, NULL, REQUIRED, RESTART,
	 "Name of the listener in log lines. Unique."},
	{"listeners[].side", SCHEMA_SIDE, L(side), 0, 0, 0, NULL, REQUIRED, RESTART,
	 "`access`: the outside, nothing it says is believed. `core`: peers that are believed."},
	{"listeners[].transport", SCHEMA_TRANSPORT, L(transport), 0, 0, 0, NULL, REQUIRED, RESTART,
	 "What is spoken there. `ws` and `wss` (RFC 7118) are for the access side only."},
	{"listeners[].bind", SCHEMA_BIND, L(bind), 0, 0, 0, NULL, REQUIRED, RESTART,
	 "Address and port to listen on."},
	{"listeners[].advertise", SCHEMA_HOST_PORT, L(advertise), 0, 0, 0, NULL, OPTIONAL, RESTART,
	 "What others are told in Via, Path and Record-Route. Without it the bind; a wildcard "
	 "on the access side takes the host that another access listener advertises, else the "
	 "address that the client reached."},
	{"listeners[].allow", SCHEMA_RANGES, L(allow),
	 offsetof(struct config_listener, allow_count), 0, 0, NULL, OPTIONAL, RELOAD,
	 "Core side only, and needed there unless `allow_names` says who: the addresses that may send here. All others "
	 "are dropped and counted."},
	{"listeners[].path", SCHEMA_TRUTH, L(path), 0, 0, 0, "false", OPTIONAL, RESTART,
	 "The core listener that Path names; one may say so, else it is the first core listener."},
	{"listeners[].tls", SCHEMA_NAME, L(tls), 0, 0, 0, NULL, OPTIONAL, RESTART,
	 "Of `tls` and `wss`, and needed there: the profile of `tls` whose certificate is shown."},
	{"listeners[].client_certificate", SCHEMA_CLIENT_CERTIFICATE, L(client_certificate), 0, 0, 0, "none", OPTIONAL,
	 RESTART,
	 "Of `tls` and `wss`. `optional`: asked for, and if one comes it must be issued by the profile's `ca`. `required`: "
	 "who shows none does not enter. `required` is the default beside `allow_names`."},
	{"listeners[].allow_names", SCHEMA_DOMAINS, L(allow_names), offsetof(struct config_listener, allow_name_count), 0,
	 0, NULL, OPTIONAL, RESTART,
	 "Core `tls` only: the peers that may enter, by a name in their certificate (subjectAltName: DNS, or URI "
	 "`sip:NAME`; RFC 5922). Beside `allow` both must hold."},
	{"listeners[].proxy_from", SCHEMA_RANGES, L(proxy_from), offsetof(struct config_listener, proxy_from_count), 0, 0,
	 NULL, OPTIONAL, RESTART,
	 "Not of `udp`: the load balancers, whose connections begin with a PROXY protocol header (version 1 or 2). From "
	 "nobody else such a header is taken."},
	{"listeners[].origins", SCHEMA_ORIGINS, L(origins), offsetof(struct config_listener, origin_count), 0, 0, NULL,
	 OPTIONAL, RESTART,
	 "Of `ws` and `wss`: the pages that may connect, as browsers name them: `https://app.example.net`. Without it "
	 "any; a client that names none is no browser and is let in."},

	{"tls", SCHEMA_TLS, C(tls), offsetof(struct config, tls_count), 0, CONFIG_TLS_MAX, NULL, OPTIONAL, RESTART,
	 "TLS profiles by name, used by listeners and sites. The files are watched, and read again when they change or by "
	 "`bonoctl reload tls`; relative paths begin at the directory of this file."},
	{"tls.*.certificate", SCHEMA_PEM, P(first.certificate), 0, 0, 0, NULL, OPTIONAL, RESTART,
	 "PEM file: the certificate, then those between it and the root. Needed by listeners; toward a site it is what we "
	 "show of ourselves."},
	{"tls.*.key", SCHEMA_PEM, P(first.key), 0, 0, 0, NULL, OPTIONAL, RESTART, "PEM file: its private key."},
	{"tls.*.more", SCHEMA_CERTIFICATES, P(certificates), offsetof(struct config_tls, certificate_count), 0,
	 CONFIG_CERTIFICATES_MAX, NULL, OPTIONAL, RESTART,
	 "Further pairs: a client that asks for one of their names (SNI) is shown that one, all others the first."},
	{"tls.*.more[].certificate", SCHEMA_PEM, M(certificate), 0, 0, 0, NULL, REQUIRED, RESTART, "As above."},
	{"tls.*.more[].key", SCHEMA_PEM, M(key), 0, 0, 0, NULL, REQUIRED, RESTART, "As above."},
	{"tls.*.ca", SCHEMA_PEM, P(ca), 0, 0, 0, NULL, OPTIONAL, RESTART,
	 "PEM file: the roots by which the other end is judged. Without it those of the system, and no client "
	 "certificate is asked for."},
	{"tls.*.verify", SCHEMA_VERIFY, P(verify), 0, 0, 0, "name", OPTIONAL, RESTART,
	 "Of a server that we connect to. `name`: it is issued by `ca` and shows the name we went to (RFC 5922). `chain`: "
	 "issued by `ca`. `none`: anything, and a warning at the start."},
	{"tls.*.minimum", SCHEMA_TLS_VERSION, P(minimum), 0, 0, 0, "1.2", OPTIONAL, RESTART,
	 "The oldest TLS that is spoken."},
	SECTION("tls_tickets", OPTIONAL, "TLS sessions that are taken up again."),
	{"tls_tickets.keys", SCHEMA_PEM, C(tls_ticket_keys), 0, 0, 0, NULL, OPTIONAL, RESTART,
	 "File of the keys that seal them: one a line, 80 bytes in hex or base64, mode 0600; the first seals, all open. The same on several "
	 "nodes, a client resumes at any of them. Without it they are random and of this process."},

	{"sites", SCHEMA_SITES, C(sites), offsetof(struct config, site_count), 0, CONFIG_SITES_MAX,
	 NULL, REQUIRED, RELOAD, "The sites by name, in order of preference after the node's own."},
	{"sites.*.targets", SCHEMA_TARGETS, S(targets), offsetof(struct config_site, target_count),
	 0, CONFIG_TARGETS_MAX, NULL, OPTIONAL, RELOAD,
	 "The Sprouts of the site: each a SIP URI, or `{name, uri, weight}`. A site has `targets`, "
	 "or `discover`, or both."},
	{"sites.*.targets[].name", SCHEMA_NAME, T(name), 0, 0, 0, NULL, OPTIONAL, RELOAD,
	 "Name of the target, unique in its site; without one `sprout-1`, `sprout-2` ... by "
	 "place."},
	{"sites.*.targets[].uri", SCHEMA_URI, T(uri), 0, 0, 0, NULL, REQUIRED, RELOAD,
	 "SIP URI with an IP address: `sip:10.0.0.21:5054;transport=tcp`. Port 5060 and UDP "
	 "unless said; in a site with `tls` port 5061 and TLS. A core listener of that transport is needed. With a host name it is "
	 "resolved as `discover` is, and each address is a target of its own."},
	{"sites.*.targets[].weight", SCHEMA_COUNT, T(weight), 0, 1, 1000, "1", OPTIONAL, RELOAD,
	 "Its part of the site's work, against the weights of the others."},
	{"sites.*.targets[].tls_name", SCHEMA_DOMAIN, T(tls_name), 0, 0, 0, NULL, OPTIONAL, RELOAD,
	 "In a site with `tls`: the name that its certificate must show. Without it the URI's host; that may be an "
	 "address, which the certificate must show then."},
	{"sites.*.advertise", SCHEMA_HOST_PORT, S(advertise), 0, 0, 0, NULL, OPTIONAL, RELOAD,
	 "What Via says toward this site only, instead of the listener's."},
	{"sites.*.capacity", SCHEMA_COUNT, S(capacity), 0, 1, 1000000, NULL, OPTIONAL, RELOAD,
	 "Requests per second that the site may be given; without it there is no limit. "
	 "What is beyond goes on to the next site."},
	{"sites.*.plaintext", SCHEMA_ALLOWED, S(plaintext_allowed), 0, 0, 0, NULL, OPTIONAL, RELOAD,
	 "`allowed`: this remote site is reached without TLS. Say so only if the sites are "
	 "joined by something like IPsec."},
	{"sites.*.ralf", SCHEMA_HOST_PORTS, S(ralf), offsetof(struct config_site, ralf_count), 0, 0, NULL, OPTIONAL,
	 RESTART,
	 "HOST:PORT of the Ralfs of this site, which take billing records over HTTP. Those of the node's own site are "
	 "asked first, then those of the others in their order. Without any there are no records."},
	{"sites.*.discover", SCHEMA_DISCOVER, S(discover), 0, 0, 0, NULL, OPTIONAL, RELOAD,
	 "SIP URI with a host name whose Sprouts DNS knows: "
	 "`sip:scscf.example.net;transport=tcp`. RFC 3263: NAPTR unless it names a transport, SRV "
	 "unless it names a port, then A and AAAA. Each address is a target, named "
	 "ADDRESS:PORT/TRANSPORT."},
	{"sites.*.tls", SCHEMA_NAME, S(tls), 0, 0, 0, NULL, OPTIONAL, RELOAD,
	 "The profile of `tls` by which all its targets are reached; DNS is asked for TLS only."},

	SECTION("dns", OPTIONAL, "How names are resolved."),
	{"dns.servers", SCHEMA_ADDRESSES, C(dns_servers), offsetof(struct config, dns_server_count),
	 0, CONFIG_DNS_SERVERS_MAX, NULL, OPTIONAL, RESTART,
	 "The servers to ask, each ADDRESS or ADDRESS:PORT; without it those of /etc/resolv.conf as "
	 "it stands at the start. Its search list and /etc/hosts are not used."},
	{"dns.timeout", SCHEMA_TIME, C(dns_timeout_ms), 0, 100 * MS, 30 * SECONDS, "2s", OPTIONAL,
	 RESTART, "A server that has not answered after this is asked again, or another one."},

	SECTION("health", OPTIONAL, "How targets are watched."),
	{"health.interval", SCHEMA_TIME, C(health_interval_ms), 0, 100 * MS, 1 * HOURS, "2s",
	 OPTIONAL, RELOAD, "From one probe of a target to the next."},
	{"health.timeout", SCHEMA_TIME, C(health_timeout_ms), 0, 10 * MS, 1 * MINUTES, "800ms",
	 OPTIONAL, RELOAD,
	 "A probe without an answer after this is lost. Not longer than the interval."},
	{"health.fall", SCHEMA_COUNT, C(health_fall), 0, 1, 64, "2", OPTIONAL, RELOAD,
	 "Probes lost in a row until a target is DOWN."},
	{"health.rise", SCHEMA_COUNT, C(health_rise), 0, 1, 64, "3", OPTIONAL, RELOAD,
	 "Probes answered in a row until a target is UP again."},

	SECTION("failover", OPTIONAL, "What one request may wait for."),
	{"failover.first_answer", SCHEMA_TIME, C(failover_first_answer_ms), 0, 10 * MS, 1 * MINUTES,
	 "500ms", OPTIONAL, RELOAD,
	 "A target that has answered nothing after this is left for the next one."},
	{"failover.deadline", SCHEMA_TIME, C(failover_deadline_ms), 0, 100 * MS, 5 * MINUTES, "8s",
	 OPTIONAL, RELOAD,
	 "All attempts of a request together, until the first answer (INVITE) or the final "
	 "one (others)."},

	SECTION("failback", OPTIONAL, "How work returns to a site that has recovered."),
	{"failback.hold_down", SCHEMA_TIME, C(failback_hold_down_ms), 0, 0, 24 * HOURS, "30s",
	 OPTIONAL, RELOAD,
	 "A recovered site must stay well this long before it serves again, unless no other site can."},
	{"failback.ramp", SCHEMA_TIME, C(failback_ramp_ms), 0, 0, 24 * HOURS, "60s", OPTIONAL,
	 RELOAD, "From its first work to all of it."},

	SECTION("peers", OPTIONAL, "Who on the access side is no client."),
	{"peers.trunks", SCHEMA_RANGES, C(trunks), offsetof(struct config, trunk_count), 0, 0, NULL,
	 OPTIONAL, RESTART,
	 "Other networks (IBCF): believed as RFC 3325 says, reached from the access listeners, "
	 "never served as callers of this network."},
	{"peers.pbxes", SCHEMA_RANGES, C(pbxes), offsetof(struct config, pbx_count), 0, 0, NULL,
	 OPTIONAL, RESTART,
	 "Exchanges that do not register: their initial requests go to the core with an empty "
	 "Proxy-Authorization, so that it challenges them."},
	{"peers.pbx_service_route", SCHEMA_ROUTE, C(pbx_service_route), 0, 0, 0, NULL, OPTIONAL,
	 RESTART,
	 "The Route of an initial request of a PBX; without it that of a client without "
	 "Service-Route: any Sprout, `orig`."},
	{"peers.tls", SCHEMA_NAME, C(peers_tls), 0, 0, 0, NULL, OPTIONAL, RESTART,
	 "The profile of `tls` by which trunks and PBXes are reached over TLS; their certificates show "
	 "the address (subjectAltName: IP)."},
	{"peers.off_net", SCHEMA_OFF_NET, C(off_net), 0, 0, 0, "refuse", OPTIONAL, RESTART,
	 "What the core sends to a domain that is neither home nor a trunk: `refuse` (404), or the "
	 "SIP URI of the trunk that gets it (one of `trunks`, over UDP or TCP; with `lr` it stands in Route)."},

	SECTION("emergency", OPTIONAL, "Emergency registrations and calls: TS 24.229 5.2.10."),
	{"emergency.register", SCHEMA_REFUSE_ALLOW, C(emergency_register), 0, 0, 0, "refuse",
	 OPTIONAL, RESTART,
	 "A REGISTER whose Contact is marked `sos`: refused with 503, or taken as any other."},
	{"emergency.route", SCHEMA_HOP, C(emergency_route), 0, 0, 0, NULL, OPTIONAL, RESTART,
	 "SIP URI with an IP address, over UDP or TCP: who takes `urn:service:sos` from clients that are not "
	 "registered (an E-CSCF). Without it they are refused."},

	SECTION("outbound", OPTIONAL, "Flows of clients and their keep-alives: RFC 5626, RFC 6223."),
	{"outbound.flow_timer", SCHEMA_TIME, C(flow_timer_ms), 0, 0, 1 * HOURS, "120s", OPTIONAL,
	 RESTART,
	 "Flow-Timer given to clients on TCP, TLS and WebSocket that register with outbound, and the value of "
	 "`keep`: they shall show a sign of life so often. `0s`: none is given."},
	{"outbound.flow_timer_udp", SCHEMA_TIME, C(flow_timer_udp_ms), 0, 0, 1 * HOURS, "29s",
	 OPTIONAL, RESTART,
	 "The same on UDP, where a NAT forgets a silent flow after 30 s or so. `0s`: none is given."},
	{"outbound.grace", SCHEMA_TIME, C(flow_grace_ms), 0, 0, 5 * MINUTES, "10s", OPTIONAL,
	 RESTART, "A flow that was given a timer and is silent for so much longer is closed."},
	{"outbound.deregister_lost", SCHEMA_TRUTH, C(deregister_lost), 0, 0, 0, "false", OPTIONAL,
	 RESTART,
	 "When a flow is lost, its outbound bindings are taken off the registrar, unless the client has "
	 "come back."},
	{"outbound.deregister_after", SCHEMA_TIME, C(deregister_after_ms), 0, 0, 1 * HOURS, "10s",
	 OPTIONAL, RESTART, "So long a lost client may take to come back before that."},

	SECTION("registration", OPTIONAL, "What the registrar says of registrations by itself: RFC 3680, TS 24.229 5.2.3."),
	{"registration.subscribe", SCHEMA_TRUTH, C(reg_subscribe), 0, 0, 0, "false", OPTIONAL, RESTART,
	 "Subscribe to the reg event of each user that registers, so that a registration which the network ends, ends here "
	 "too: one subscription for each address-of-record of a flow."},
	{"registration.subscribe_expires", SCHEMA_TIME, C(reg_subscribe_expires_ms), 0, 60 * SECONDS, 600000 * SECONDS,
	 "600000s", OPTIONAL, RESTART,
	 "How long such a subscription is asked to last (longer, if the registration does); it is refreshed in time."},

	SECTION("session_timers", OPTIONAL, "What this proxy asks of sessions: RFC 4028."),
	{"session_timers.expires", SCHEMA_TIME, C(session_expires_ms), 0, 90 * SECONDS, 24 * HOURS,
	 NULL, OPTIONAL, RESTART,
	 "The longest session interval without a refresh; without it sessions are left alone."},
	{"session_timers.minimum", SCHEMA_TIME, C(session_minimum_ms), 0, 90 * SECONDS, 24 * HOURS,
	 "90s", OPTIONAL, RESTART,
	 "The shortest one: who asks for less gets 422 (or more, if it knows no 422)."},

	SECTION("restoration", OPTIONAL, "When no Sprout can serve: TS 23.380."),
	{"restoration.ims", SCHEMA_IMS, C(restoration_ims), 0, 0, 0, "auto", OPTIONAL, RESTART,
	 "Who is told to register anew by a 504 with a body of 3GPP instead of 503: `auto` (who "
	 "accepts application/3gpp-ims+xml or sends P-Access-Network-Info), `always`, `never`."},


	SECTION("charging", OPTIONAL, "What tells the core, and Ralf, whom to bill: RFC 7315, TS 32.260."),
	{"charging.vector", SCHEMA_TRUTH, C(charging_vector), 0, 0, 0, "false", OPTIONAL, RESTART,
	 "P-Charging-Vector goes into what clients ask of the core: `icid-value`, `icid-generated-at`, `orig-ioi`."},
	{"charging.ccf", SCHEMA_DOMAINS, C(charging_ccf), offsetof(struct config, charging_ccf_count), 0, 0, NULL,
	 OPTIONAL, RESTART,
	 "Charging collection functions, the first one first: `ccf` of P-Charging-Function-Addresses, and who collects "
	 "the records that Ralf is given. Without it that header is not written."},
	{"charging.ecf", SCHEMA_DOMAINS, C(charging_ecf), offsetof(struct config, charging_ecf_count), 0, 0, NULL,
	 OPTIONAL, RESTART, "Event charging functions, in the same way."},
	{"charging.ioi", SCHEMA_DOMAIN, C(charging_ioi), 0, 0, 0, NULL, OPTIONAL, RESTART,
	 "`orig-ioi` of P-Charging-Vector: the name of this network among operators. Without it none is written."},
	{"charging.spool", SCHEMA_SIZE, C(charging_spool_bytes), 0, 1024 * 1024, 1024ull * 1024 * 1024 * 1024,
	 "67108864", OPTIONAL, RESTART,
	 "Bytes of billing records that are kept in node.state_dir while no Ralf takes them; beyond they are lost, and "
	 "counted."},

	SECTION("limits", OPTIONAL,
	 "Beyond these, work is refused and counted. Of the whole process."),
	{"limits.message_bytes", SCHEMA_SIZE, C(limit_message_bytes), 0, 1500, 1024 * 1024, "65535",
	 OPTIONAL, RESTART, "The longest SIP message."},
	{"limits.connections", SCHEMA_COUNT64, C(limit_connections), 0, 1, 10000000, "100000",
	 OPTIONAL, RESTART, "Connections, both sides."},
	{"limits.flows", SCHEMA_COUNT64, C(limit_flows), 0, 1, 10000000, "200000", OPTIONAL,
	 RESTART, "Flows, registered or not."},
	{"limits.transactions", SCHEMA_COUNT64, C(limit_transactions), 0, 100, 10000000, "200000",
	 OPTIONAL, RESTART,
	 "Transactions; from three quarters on completed ones end early, oldest first."},

	{"limits.connections_per_address", SCHEMA_COUNT64, C(limit_connections_per_address), 0, 1, 10000000, "10000",
	 OPTIONAL, RESTART, "Connections of one IPv4 address, or of one IPv6 /64, on the access side, in equal shares of the workers. "
	 "Thousands of phones may stand behind the address of a company or of a carrier."},
	{"limits.tls_handshakes", SCHEMA_COUNT64, C(limit_tls_handshakes), 0, 1, 1000000, "1000", OPTIONAL, RESTART,
	 "TLS handshakes of clients under way at once, and as many of Sprouts and peers. Beyond it the slow ones make room."},

	SECTION("websocket", OPTIONAL, "Care for WebSocket connections."),
	{"websocket.ping", SCHEMA_TIME, C(websocket_ping_ms), 0, 1 * SECONDS, 1 * HOURS, "30s", OPTIONAL, RESTART,
	 "A connection that was silent this long is sent a ping (RFC 6455 5.5.2)."},

	SECTION("admin", OPTIONAL, "The admin port."),
	{"admin.http", SCHEMA_BIND_TEXT, C(admin_http), 0, 0, 0, NULL, OPTIONAL, RESTART,
	 "Address and port of the read-only HTTP server; without it there is none."},
	{"admin.socket", SCHEMA_SOCKET, C(admin_socket), 0, 0, 0, NULL, OPTIONAL, RESTART,
	 "Unix socket that `bonoctl` speaks to; without it there is none."},
};
/* clang-format on */

const unsigned schema_key_count = ARRAY_LENGTH(schema_keys);

bool schema_is_under(const struct schema_key *row, const char *prefix, const char **key)
{
	size_t length = strlen(prefix);

	if (length > 0) {
		if (strncmp(row->path, prefix, length) != 0 || row->path[length] != '.')
			return false;
		length++;
	}
	*key = row->path + length;
	return strchr(*key, '.') == NULL && strchr(*key, '[') == NULL;
}

const struct schema_key *schema_find(const char *prefix, const char *key)
{
	const char *name;

	for (unsigned i = 0; i < schema_key_count; i++)
		if (schema_is_under(&schema_keys[i], prefix, &name) && strcmp(name, key) == 0)
			return &schema_keys[i];
	return NULL;
}

/* ---- "did you mean" ---- */

#define WORD_MAX 64

/* Letters to insert, delete, change or swap with their neighbour; one row of the matrix before the last. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2], *free_row;
	size_t n = strlen(a), m = strlen(b);

	for (size_t j = 0; j <= m; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		now[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned best = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			now[j] = best;
		}
		free_row = before;
		before = last;
		last = now;
		now = free_row;
	}
	return last[m];
}

static unsigned allowed_distance(const char *word)
{
	return (unsigned)(strlen(word) + 2) / 3;
}

bool words_are_near(const char *a, const char *b)
{
	return strlen(a) <= WORD_MAX && strlen(b) <= WORD_MAX &&
	       distance(a, b) <= allowed_distance(b);
}

const char *schema_suggest(const char *prefix, const char *misspelt)
{
	const char *name, *best = NULL;
	unsigned best_distance = WORD_MAX;

	for (unsigned i = 0; i < schema_key_count; i++) {
		if (!schema_is_under(&schema_keys[i], prefix, &name) ||
		    !words_are_near(misspelt, name))
			continue;
		if (distance(misspelt, name) < best_distance) {
			best_distance = distance(misspelt, name);
			best = name;
		}
	}
	return best;
}
