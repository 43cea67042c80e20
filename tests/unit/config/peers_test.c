/* Who is no client, emergency, session timers, restoration: what the keys mean, and their faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "config/config.h"

/* Twelve lines; what a test adds begins in line 13. */
static const char base[] =
	"node:\n"
	"  name: bono-1\n"
	"  site: site-a\n"
	"  home_domains: [example.net]\n"
	"listeners:\n"
	"  - { name: au, side: access, transport: udp, bind: \"192.0.2.1:5060\" }\n"
	"  - { name: ct, side: core, transport: tcp, bind: \"10.0.0.10:5058\",\n"
	"      allow: [10.0.0.0/16] }\n"
	"sites:\n"
	"  site-a:\n"
	"    targets:\n"
	"      - sip:10.0.0.21:5054;transport=tcp\n";

static char faults[4096];

static int load(const char *added, struct config **out)
{
	FILE *file = fmemopen(faults, sizeof(faults), "w");
	char text[8192];
	int err;

	faults[0] = '\0';
	*out = NULL;
	snprintf(text, sizeof(text), "%s%s", base, added);
	err = config_load_bytes(text, strlen(text), "f.yaml", file, out);
	fclose(file);
	return err;
}

static struct config *sound(const char *added)
{
	struct config *config;

	if (load(added, &config) != 0)
		fail_msg("not sound: %s", faults);
	return config;
}

/* One fault, at this place, in these words. */
static void assert_fault(const char *added, const char *place, const char *words)
{
	struct config *config;
	char begin[64];

	assert_int_equal(load(added, &config), -EINVAL);
	snprintf(begin, sizeof(begin), "f.yaml:%s: ", place);
	if (strncmp(faults, begin, strlen(begin)) != 0 || strstr(faults, words) == NULL ||
	    strchr(faults, '\n')[1] != '\0')
		fail_msg("expected one fault at %s with \"%s\", got:\n%s", place, words, faults);
}

static void silence_means_clients_only(void **state)
{
	struct config *config = sound("");

	assert_int_equal(config->trunk_count, 0);
	assert_int_equal(config->pbx_count, 0);
	assert_null(config->pbx_service_route);
	assert_null(config->off_net.uri);
	assert_false(config->emergency_register);
	assert_null(config->emergency_route.uri);
	assert_int_equal(config->session_expires_ms, 0);
	assert_int_equal(config->session_minimum_ms, 90000);
	assert_int_equal(config->restoration_ims, CONFIG_IMS_AUTO);
	assert_int_equal(config->flow_timer_ms, 120000);
	assert_int_equal(config->flow_timer_udp_ms, 29000);
	assert_int_equal(config->flow_grace_ms, 10000);
	assert_false(config->deregister_lost);
	assert_int_equal(config->deregister_after_ms, 10000);
	assert_false(config->reg_subscribe);
	assert_int_equal(config->reg_subscribe_expires_ms, 600000000);
	config_free(&config);
}

static void all_of_it_can_be_said(void **state)
{
	struct config *config =
		sound("peers:\n"
	              "  trunks: [198.51.100.0/28, \"2001:db8::/64\"]\n"
	              "  pbxes: [203.0.113.7]\n"
	              "  pbx_service_route: \"sip:scscf.example.net:5054;transport=tcp;lr;orig\"\n"
	              "  off_net: \"sip:198.51.100.3:5070;lr;transport=tcp\"\n"
	              "emergency: { register: allow, route: \"sip:10.0.0.50;transport=tcp;lr\" }\n"
	              "session_timers: { expires: 30m, minimum: 120s }\n"
	              "restoration: { ims: always }\n");

	assert_int_equal(config->trunk_count, 2);
	assert_int_equal(config->pbx_count, 1);
	assert_string_equal(config->pbx_service_route,
	                    "sip:scscf.example.net:5054;transport=tcp;lr;orig");
	assert_string_equal(config->off_net.uri, "sip:198.51.100.3:5070;lr;transport=tcp");
	assert_int_equal(config->off_net.transport, CONFIG_TCP);
	assert_int_equal(address_port(&config->off_net.address), 5070);
	assert_true(config->emergency_register);
	assert_int_equal(address_port(&config->emergency_route.address), 5060);
	assert_int_equal(config->session_expires_ms, 1800000);
	assert_int_equal(config->session_minimum_ms, 120000);
	assert_int_equal(config->restoration_ims, CONFIG_IMS_ALWAYS);
	config_free(&config);
}

static void the_profile_of_peers_is_one_of_tls(void **state)
{
	struct config *config = sound("tls: { interconnect: { ca: /etc/ca.pem } }\n"
	                              "peers: { tls: interconnect }\n");

	assert_string_equal(config->peers_tls, "interconnect");
	config_free(&config);
	assert_fault("peers: { tls: interconnect }\n", "13:15", "unknown TLS profile");
}

static void refuse_is_a_word_too(void **state)
{
	struct config *config =
		sound("peers: { off_net: refuse }\nemergency: { register: refuse }\n");

	assert_null(config->off_net.uri);
	assert_false(config->emergency_register);
	config_free(&config);
}

static void an_address_is_a_trunk_or_a_pbx(void **state)
{
	assert_fault("peers:\n  trunks: [198.51.100.0/24]\n  pbxes: [198.51.100.7]\n", "15:10",
	             "a PBX that is a trunk too");
	assert_fault("peers:\n  trunks: [198.51.100.7]\n  pbxes: [198.51.0.0/16]\n", "15:10",
	             "found 198.51.0.0/16 in both");
}

static void off_net_is_one_of_the_trunks(void **state)
{
	assert_fault("peers:\n  trunks: [198.51.100.0/28]\n  off_net: \"sip:198.51.100.99\"\n",
	             "15:12", "an address of \"trunks\"");
	assert_fault("peers: { off_net: \"sip:gw.example.com\" }\n", "13:19", "off_net");
	assert_fault("peers: { off_net: allow }\n", "13:19",
	             "expected refuse or a SIP URI with an IP address like");
	assert_fault("peers: { off_net: 5 }\n", "13:19", "off_net");
}

static void a_route_stays_within_its_brackets(void **state)
{
	assert_fault("peers: { pbx_service_route: \"sip:a>,<sip:b\" }\n", "13:29", "a SIP URI");
	assert_fault("peers: { pbx_service_route: \"tel:+1\" }\n", "13:29", "a SIP URI");
	assert_fault("peers: { pbx_service_route: \"sip:a\\r\\nX: y\" }\n", "13:29", "a SIP URI");
}

static void emergency_needs_a_way(void **state)
{
	assert_fault("emergency: { route: \"sip:10.0.0.50;transport=udp\" }\n", "13:21",
	             "no way to it");
	assert_fault("emergency: { register: perhaps }\n", "13:24", "refuse or allow");
}

static void flow_timers_are_whole_seconds(void **state)
{
	struct config *config = sound("outbound: { flow_timer: 0s, flow_timer_udp: 2m, grace: "
	                              "500ms, deregister_lost: true, deregister_after: 0s }\n");

	assert_int_equal(config->flow_timer_ms, 0);
	assert_int_equal(config->flow_timer_udp_ms, 120000);
	assert_int_equal(config->flow_grace_ms, 500);
	assert_true(config->deregister_lost);
	assert_int_equal(config->deregister_after_ms, 0);
	config_free(&config);
	assert_fault("outbound: { flow_timer: 1500ms }\n", "13:25", "is no number of seconds");
	assert_fault("outbound: { flow_timer_udp: 2h }\n", "13:29", "a time from 0ms to 1h");
	assert_fault("outbound: { deregister_lost: maybe }\n", "13:30", "true or false");
}

static void registrations_are_subscribed_to_for_whole_seconds(void **state)
{
	struct config *config = sound("registration: { subscribe: true, subscribe_expires: 2h }\n");

	assert_true(config->reg_subscribe);
	assert_int_equal(config->reg_subscribe_expires_ms, 7200000);
	config_free(&config);
	assert_fault("registration: { subscribe: yes_please }\n", "13:28", "true or false");
	assert_fault("registration: { subscribe_expires: 59s }\n", "13:36", "a time from");
	assert_fault("registration: { subscribe_expires: 60500ms }\n", "13:36",
	             "registration.subscribe_expires is no number of seconds");
}

static void minimum_fits_under_expires(void **state)
{
	assert_fault("session_timers: { expires: 90s, minimum: 120s }\n", "13:42",
	             "session_timers.minimum is too long");
	assert_fault("session_timers: { expires: 60s }\n", "13:28", "a time from 90s to 24h");
	assert_fault("restoration: { ims: sometimes }\n", "13:21", "auto, always or never");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_means_clients_only),
		cmocka_unit_test(all_of_it_can_be_said),
		cmocka_unit_test(the_profile_of_peers_is_one_of_tls),
		cmocka_unit_test(refuse_is_a_word_too),
		cmocka_unit_test(an_address_is_a_trunk_or_a_pbx),
		cmocka_unit_test(off_net_is_one_of_the_trunks),
		cmocka_unit_test(a_route_stays_within_its_brackets),
		cmocka_unit_test(emergency_needs_a_way),
		cmocka_unit_test(flow_timers_are_whole_seconds),
		cmocka_unit_test(registrations_are_subscribed_to_for_whole_seconds),
		cmocka_unit_test(minimum_fits_under_expires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
