/*
 * TLS profiles, who may use which, and that nobody speaks plaintext by mistake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/memory.h"
#include "config/config.h"
#include "support/alloc_fail.h"

#define NODE "node: { name: n, site: a, home_domains: [example.net] }\n" /* 1 */
#define TLS                                                                                        \
	"tls:\n" /* 2 */                                                                           \
	"  public: { certificate: edge.pem, key: /k/edge.key, more: [{ certificate: b.pem, "       \
	"key: b.key }] }\n" /* 3 */                                                                \
	"  intersite: { certificate: n.pem, key: n.key, ca: ca.pem, verify: chain, minimum: 1.3 "  \
	"}\n"                                                                                      \
	"  client: { ca: ca.pem, minimum: \"1.2\", verify: none }\n" /* 5 */
#define LISTENERS                                                                                  \
	"listeners:\n" /* 6 */                                                                     \
	"  - { name: at, side: access, transport: tls, bind: \"192.0.2.1:5061\", tls: public }\n"  \
	"  - { name: aw, side: access, transport: wss, bind: \"192.0.2.1:443\", tls: public, "     \
	"origins: [\"https://app.example.net\"], proxy_from: [192.0.2.7] }\n" /* 8 */              \
	"  - { name: ct, side: core, transport: tls, bind: \"10.0.0.1:5059\", tls: intersite, "    \
	"allow_names: [b.example.net] }\n" /* 9 */
#define SITES                                                                                      \
	"sites:\n"                                                /* 10 */                         \
	"  a: { tls: intersite, targets: [\"sip:10.0.0.21\"] }\n" /* 11 */                         \
	"  b:\n"                                                  /* 12 */                         \
	"    tls: client\n"                                       /* 13 */                         \
	"    discover: \"sip:scscf.example.net\"\n"               /* 14 */                         \
	"    targets:\n"                                          /* 15 */                         \
	"      - { uri: \"sip:10.1.0.21:5054;transport=tls\", tls_name: b1.example.net }\n" /* 16 */

static const char sound[] = NODE TLS LISTENERS SITES;
static char text[16384], faults[16384];

static int load(const char *name, struct config **out)
{
	FILE *file = fmemopen(faults, sizeof(faults), "w");
	int err;

	faults[0] = '\0';
	*out = NULL;
	err = config_load_bytes(text, strlen(text), name, file, out);
	fclose(file);
	return err;
}

static void change(const char *from, const char *to)
{
	const char *at = strstr(sound, from);

	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - sound), sound, to, at + strlen(from));
}

static struct config *load_sound(const char *from, const char *to)
{
	struct config *config;

	change(from, to);
	if (load("f", &config) != 0)
		fail_msg("not sound: %s", faults);
	return config;
}

static void assert_sound(const char *from, const char *to)
{
	struct config *config = load_sound(from, to);

	config_free(&config);
}

static void assert_fault(const char *from, const char *to, const char *words)
{
	struct config *config;

	change(from, to);
	assert_int_equal(load("f", &config), -EINVAL);
	if (strncmp(faults, words, strlen(words)) != 0 || strchr(faults, '\n')[1] != '\0')
		fail_msg("expected one fault \"%s\", got:\n%s", words, faults);
}

/* ---- sound ---- */

static void profiles_hold_what_the_file_says(void **state)
{
	struct config *config = load_sound("", "");
	const struct config_tls *public = &config->tls[0], *intersite = &config->tls[1];

	assert_int_equal(config->tls_count, 3);
	assert_string_equal(public->name, "public");
	assert_int_equal(public->line, 3);
	assert_int_equal(public->column, 3);
	assert_int_equal(public->certificate_count, 2);
	assert_string_equal(public->certificates[0].certificate, "edge.pem");
	assert_string_equal(public->certificates[0].key, "/k/edge.key");
	assert_string_equal(public->certificates[1].certificate, "b.pem");
	assert_null(public->ca);
	assert_int_equal(public->verify, CONFIG_VERIFY_NAME);
	assert_int_equal(public->minimum, 12);
	assert_int_equal(intersite->verify, CONFIG_VERIFY_CHAIN);
	assert_int_equal(intersite->minimum, 13);
	assert_string_equal(intersite->ca, "ca.pem");
	assert_int_equal(config->tls[2].certificate_count, 0);
	assert_int_equal(config->tls[2].verify, CONFIG_VERIFY_NONE);
	assert_ptr_equal(config_find_tls(config, "intersite"), intersite);
	assert_null(config_find_tls(config, "nobody"));
	assert_null(config->tls_ticket_keys);
	config_free(&config);
}

static void listeners_know_their_profile_and_whom_to_let_in(void **state)
{
	struct config *config = load_sound("", "");

	assert_string_equal(config->listeners[0].tls, "public");
	assert_int_equal(config->listeners[0].client_certificate, CONFIG_CLIENT_NONE);
	assert_int_equal(config->listeners[1].transport, CONFIG_WSS);
	assert_int_equal(config->listeners[1].origin_count, 1);
	assert_string_equal(config->listeners[1].origins[0], "https://app.example.net");
	assert_int_equal(config->listeners[1].proxy_from_count, 1);
	assert_int_equal(config->listeners[2].allow_count, 0);
	assert_int_equal(config->listeners[2].allow_name_count, 1);
	assert_int_equal(config->listeners[2].client_certificate, CONFIG_CLIENT_REQUIRED);
	config_free(&config);
}

static void targets_of_a_tls_site_are_tls_on_5061(void **state)
{
	struct config *config = load_sound("", "");
	const struct config_site *b = &config->sites[1];

	assert_string_equal(config->sites[0].tls, "intersite");
	assert_int_equal(config->sites[0].targets[0].transport, CONFIG_TLS);
	assert_int_equal(address_port(&config->sites[0].targets[0].address), 5061);
	assert_string_equal(config->sites[0].targets[0].uri, "sip:10.0.0.21;transport=tls");
	assert_null(config->sites[0].targets[0].tls_name);
	assert_int_equal(address_port(&b->targets[0].address), 5054);
	assert_string_equal(b->targets[0].tls_name, "b1.example.net");
	assert_string_equal(b->names[0].host, "scscf.example.net");
	assert_int_equal(b->names[0].transport, CONFIG_TLS);
	assert_false(b->names[0].has_transport);
	config_free(&config);
}

static void relative_paths_begin_beside_the_file(void **state)
{
	struct config *config;

	change(SITES, SITES "tls_tickets: { keys: tickets }\n");
	assert_int_equal(load("/etc/bono/bono.yaml", &config), 0);
	assert_string_equal(config->tls[0].certificates[0].certificate, "/etc/bono/edge.pem");
	assert_string_equal(config->tls[0].certificates[0].key, "/k/edge.key");
	assert_string_equal(config->tls[0].certificates[1].key, "/etc/bono/b.key");
	assert_string_equal(config->tls[1].ca, "/etc/bono/ca.pem");
	assert_string_equal(config->tls_ticket_keys, "/etc/bono/tickets");
	config_free(&config);
}

static void limits_and_pings_have_defaults(void **state)
{
	struct config *config = load_sound("", "");

	assert_int_equal(config->limit_connections_per_address, 10000);
	assert_int_equal(config->limit_tls_handshakes, 1000);
	assert_int_equal(config->websocket_ping_ms, 30000);
	config_free(&config);
	config = load_sound(SITES,
	                    SITES "limits: { connections_per_address: 5, tls_handshakes: 7 }\n"
	                          "websocket: { ping: 2m }\n");
	assert_int_equal(config->limit_connections_per_address, 5);
	assert_int_equal(config->limit_tls_handshakes, 7);
	assert_int_equal(config->websocket_ping_ms, 120000);
	config_free(&config);
}

static void a_core_tls_listener_may_ask_for_address_and_name(void **state)
{
	assert_sound("allow_names: [b.example.net]", "allow: [10.0.0.0/8]");
	assert_sound(
		"allow_names: [b.example.net]",
		"allow: [10.0.0.0/8], allow_names: [b.example.net], client_certificate: required");
	assert_sound("allow_names: [b.example.net]",
	             "allow: [10.0.0.0/8], client_certificate: optional");
}

static void an_unused_profile_is_no_fault(void **state)
{
	assert_sound("  client:", "  spare: {}\n  client:");
}

static void plain_websockets_are_for_the_access_side(void **state)
{
	assert_sound(
		"listeners:\n",
		"listeners:\n  - { name: ws, side: access, transport: ws, bind: \"192.0.2.1:80\", "
		"origins: [\"http://localhost:8080\", \"https://[2001:db8::1]:8443\", "
		"\"capacitor://localhost\", \"https://192.0.2.1\"] }\n");
}

/* ---- faults ---- */

static void profiles_are_whole(void **state)
{
	assert_fault(
		"key: /k/edge.key, ", "",
		"f:3:26: \"certificate\" without \"key\", expected both or neither, found one");
	assert_fault("client: { ", "client: { key: a, ",
	             "f:5:18: \"key\" without \"certificate\", expected both or neither");
	assert_fault("client: { ", "client: { more: [{ certificate: a, key: b }], ",
	             "f:5:19: \"more\" without \"certificate\"");
	assert_fault("{ certificate: b.pem, key: b.key }", "{ certificate: b.pem }",
	             "f:3:61: missing key \"key\", expected it in tls.*.more[]");
	assert_fault("{ certificate: b.pem, key: b.key }", "b.pem",
	             "f:3:61: wrong value for \"more\", expected a pair {certificate, key}, found "
	             "\"b.pem\"");
	assert_fault("[{ certificate: b.pem, key: b.key }]", "[]",
	             "f:3:60: wrong value for \"more\", expected a list of 1 to 63");
	assert_fault("verify: chain", "verify: maybe",
	             "f:4:68: wrong value for \"verify\", expected name, chain or none, found "
	             "\"maybe\"");
	assert_fault("minimum: 1.3", "minimum: 1.1",
	             "f:4:84: wrong value for \"minimum\", expected \"1.2\" or \"1.3\", found the "
	             "number 1.1");
	assert_fault("  client: {", "  \"a b\": {}\n  client: {",
	             "f:5:3: wrong name of a TLS profile");
	assert_fault("  client: {", "  spare: x\n  client: {",
	             "f:5:10: wrong value for \"spare\", expected a profile {certificate, key}");
	assert_fault("ca: ca.pem", "ca: 5", "f:4:52: wrong value for \"ca\", expected a path");
}

static void a_tls_listener_names_a_profile_with_a_certificate(void **state)
{
	assert_fault(
		", tls: public }", " }",
		"f:7:5: missing key \"tls\", expected the name of a TLS profile, found nothing");
	assert_fault(
		"tls: public }", "tls: publik }",
		"f:7:76: unknown TLS profile, expected a name that stands under \"tls\", found "
		"\"publik\": did you mean \"public\"?");
	assert_fault(
		"tls: public }", "tls: client }",
		"f:7:76: a TLS profile without a certificate, expected one with \"certificate\" "
		"and \"key\", found \"client\"");
	assert_fault(
		"transport: tls, bind: \"192", "transport: tcp, bind: \"192",
		"f:7:76: key \"tls\" at this listener, expected it on listeners of transport tls "
		"and wss only, found \"public\"");
}

static void client_certificates_need_someone_to_judge_them(void **state)
{
	assert_fault(
		"tls: public }", "tls: public, client_certificate: optional }",
		"f:7:104: client certificates without a \"ca\" to judge them, expected one in the "
		"TLS profile, found none in \"public\"");
	assert_fault("tls: intersite, allow_names", "tls: public, allow_names",
	             "f:9:94: client certificates without a \"ca\"");
	assert_fault("tls: public }", "tls: public, client_certificate: maybe }",
	             "f:7:104: wrong value for \"client_certificate\", expected none, optional or "
	             "required");
	assert_fault(
		"[b.example.net] }", "[b.example.net], client_certificate: optional }",
		"f:9:134: names without proof, expected \"client_certificate: required\" beside "
		"\"allow_names\", found \"optional\"");
}

static void a_core_listener_says_who_may_enter(void **state)
{
	assert_fault(", allow_names: [b.example.net]", "",
	             "f:9:5: missing key \"allow\", expected the addresses that may send to a core "
	             "listener (or, with tls, \"allow_names\")");
	assert_fault(", allow_names: [b.example.net]", ", client_certificate: required",
	             "f:9:5: missing key \"allow\"");
	assert_fault("allow_names: [b.example.net]", "allow_names: [\"b example\"]",
	             "f:9:98: wrong value for \"allow_names\", expected a domain name");
	assert_fault(
		"tls: public }", "tls: public, allow_names: [x] }",
		"f:7:97: key \"allow_names\" at this listener, expected it on core listeners of "
		"transport tls only, found a list");
}

static void keys_stand_where_they_mean_something(void **state)
{
	assert_fault(
		"listeners:\n",
		"listeners:\n  - { name: cw, side: core, transport: ws, bind: \"10.0.0.1:80\" }\n",
		"f:7:40: a WebSocket on the core side, expected udp, tcp or tls there, found "
		"\"ws\"");
	assert_fault("tls: public }", "tls: public, origins: [\"https://x\"] }",
	             "f:7:93: key \"origins\" at this listener");
	assert_fault("listeners:\n",
	             "listeners:\n  - { name: au, side: access, transport: udp, bind: "
	             "\"192.0.2.1:80\", proxy_from: [10.0.0.0/8] }\n",
	             "f:7:81: key \"proxy_from\" at this listener");
}

static void origins_are_as_browsers_print_them(void **state)
{
	static const char *const wrong[] = {
		"https://App.example.net",
		"https://app.example.net/",
		"app.example.net",
		"https://app.example.net:443",
		"http://localhost:80",
		"https://a b",
		"https:app.example.net",
		"://x",
		"https://",
		"https://x:0",
		"https://[::g]",
		"ht tp://x",
	};
	char to[64];

	for (unsigned i = 0; i < ARRAY_LENGTH(wrong); i++) {
		snprintf(to, sizeof(to), "\"%s\"", wrong[i]);
		assert_fault("\"https://app.example.net\"", to,
		             "f:8:93: wrong value for \"origins\", expected an origin as browsers "
		             "print");
	}
}

static void a_site_is_all_tls_or_not_at_all(void **state)
{
	assert_fault("    tls: client\n", "    tls: nobody\n",
	             "f:13:10: unknown TLS profile, expected a name that stands under \"tls\", "
	             "found \"nobody\"");
	assert_fault("    tls: client\n", "    tls: client\n    plaintext: allowed\n",
	             "f:14:16: both \"tls\" and \"plaintext\", expected one of them, found both");
	assert_fault(
		"transport=tls\", tls_name: b1.example.net", "transport=tcp\"",
		"f:16:16: a plaintext target in a site with TLS, expected transport=tls or none");
	assert_fault("scscf.example.net", "scscf.example.net;transport=tcp",
	             "f:14:15: a plaintext target in a site with TLS");
	assert_fault("tls: intersite, targets: [\"sip:10.0.0.21\"",
	             "targets: [\"sip:10.0.0.21;transport=tls\"",
	             "f:11:18: a TLS target in a site without \"tls\"");
}

static void a_remote_site_is_not_in_plaintext_by_silence(void **state)
{
	change("    tls: client\n    discover: \"sip:scscf.example.net\"\n", "");
	assert_int_equal(load("f", &(struct config *){NULL}), -EINVAL);
	assert_non_null(strstr(faults,
	                       "f:12:3: a remote site without TLS, expected \"tls: PROFILE\" "
	                       "or \"plaintext: allowed\""));
}

static void a_tls_site_needs_a_core_tls_listener(void **state)
{
	change("  - { name: ct, side: core, transport: tls, bind: \"10.0.0.1:5059\", tls: "
	       "intersite, "
	       "allow_names: [b.example.net] }\n",
	       "  - { name: ct, side: core, transport: tcp, bind: \"10.0.0.1:5059\", "
	       "allow: [10.0.0.0/8] }\n");
	assert_int_equal(load("f", &(struct config *){NULL}), -EINVAL);
	assert_non_null(strstr(faults, "f:11:34: no way to the target, expected a core listener of "
	                               "its transport and address family, found none for "
	                               "\"sip:10.0.0.21\""));
	assert_non_null(strstr(faults, "f:14:15: no way to the target"));
	assert_non_null(strstr(faults, "f:16:16: no way to the target"));
}

static void tls_names_stand_under_tls_sites(void **state)
{
	change("tls: intersite, targets: [\"sip:10.0.0.21\"]",
	       "targets: [{ uri: \"sip:10.0.0.21;transport=tcp\", tls_name: x }]");
	assert_int_equal(load("f", &(struct config *){NULL}), -EINVAL);
	assert_non_null(strstr(faults, "f:11:66: \"tls_name\" in a site without TLS"));
	assert_fault("b1.example.net", "\"b1_\"",
	             "f:16:62: wrong value for \"tls_name\", expected a domain name");
}

static void load_scene(void *arg)
{
	struct config *config;
	int err;

	change(SITES, SITES "tls_tickets: { keys: tickets }\n");
	err = load("/etc/f", &config);
	assert_true(err == 0 || (err == -ENOMEM && alloc_fail_happened()));
	config_free(&config);
}

static void every_allocation_may_fail(void **state)
{
	assert_true(alloc_fail_each(load_scene, NULL) > 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profiles_hold_what_the_file_says),
		cmocka_unit_test(listeners_know_their_profile_and_whom_to_let_in),
		cmocka_unit_test(targets_of_a_tls_site_are_tls_on_5061),
		cmocka_unit_test(relative_paths_begin_beside_the_file),
		cmocka_unit_test(limits_and_pings_have_defaults),
		cmocka_unit_test(a_core_tls_listener_may_ask_for_address_and_name),
		cmocka_unit_test(an_unused_profile_is_no_fault),
		cmocka_unit_test(plain_websockets_are_for_the_access_side),
		cmocka_unit_test(profiles_are_whole),
		cmocka_unit_test(a_tls_listener_names_a_profile_with_a_certificate),
		cmocka_unit_test(client_certificates_need_someone_to_judge_them),
		cmocka_unit_test(a_core_listener_says_who_may_enter),
		cmocka_unit_test(keys_stand_where_they_mean_something),
		cmocka_unit_test(origins_are_as_browsers_print_them),
		cmocka_unit_test(a_site_is_all_tls_or_not_at_all),
		cmocka_unit_test(a_remote_site_is_not_in_plaintext_by_silence),
		cmocka_unit_test(a_tls_site_needs_a_core_tls_listener),
		cmocka_unit_test(tls_names_stand_under_tls_sites),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
