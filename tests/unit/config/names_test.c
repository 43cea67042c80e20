/*
 * What is to be resolved: `discover`, targets with a host name, and whom to ask.
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

static const char head[] =
	"node: { name: n, site: a, home_domains: [example.net] }\n"                  /* 1 */
	"listeners:\n"                                                               /* 2 */
	"  - { name: au, side: access, transport: udp, bind: \"192.0.2.1:5060\" }\n" /* 3 */
	"  - { name: ct, side: core, transport: tcp, bind: \"10.0.0.1:5058\", allow: "
	"[10.0.0.0/8] }\n" /* 4 */
	"sites:\n";        /* 5 */

static char text[65536], faults[65536];

static int load(const char *rest, struct config **out)
{
	FILE *file = fmemopen(faults, sizeof(faults), "w");
	int err;

	snprintf(text, sizeof(text), "%s%s", head, rest);
	faults[0] = '\0';
	*out = NULL;
	err = config_load_bytes(text, strlen(text), "f", file, out);
	fclose(file);
	return err;
}

static struct config *sound(const char *rest)
{
	struct config *config;

	if (load(rest, &config) != 0)
		fail_msg("not sound: %s", faults);
	return config;
}

static void faulty(const char *rest, const char *words)
{
	struct config *config;

	assert_int_equal(load(rest, &config), -EINVAL);
	if (strncmp(faults, words, strlen(words)) != 0 || strchr(faults, '\n')[1] != '\0')
		fail_msg("expected one fault \"%s\", got:\n%s", words, faults);
}

static void a_site_is_discovered_by_name(void **state)
{
	struct config *config =
		sound("  a: { discover: \"sip:Scscf.example.net;transport=tcp\" }\n");
	const struct config_site *site = &config->sites[0];

	assert_int_equal(site->target_count, 0);
	assert_int_equal(site->name_count, 1);
	assert_string_equal(site->names[0].host, "Scscf.example.net");
	assert_string_equal(site->names[0].uri, "sip:Scscf.example.net;transport=tcp");
	assert_int_equal(site->names[0].port, 0);
	assert_true(site->names[0].has_transport);
	assert_int_equal(site->names[0].transport, CONFIG_TCP);
	assert_int_equal(site->names[0].weight, 1);
	assert_null(site->discover.uri);
	config_free(&config);
}

static void named_targets_stand_apart_and_the_others_keep_their_places(void **state)
{
	struct config *config = sound("  a:\n    discover: \"sip:all.example.net\"\n    targets:\n"
	                              "      - { uri: \"sip:one.example.net:5054;transport=tcp\", "
	                              "weight: 3 }\n"
	                              "      - \"sip:10.0.0.2:5054;transport=tcp\"\n");
	const struct config_site *site = &config->sites[0];

	assert_int_equal(site->target_count, 1);
	assert_string_equal(site->targets[0].name, "sprout-2");
	assert_null(site->targets[0].host);
	assert_int_equal(site->name_count, 2);
	assert_string_equal(site->names[0].host, "all.example.net");
	assert_false(site->names[0].has_transport);
	assert_string_equal(site->names[1].host, "one.example.net");
	assert_int_equal(site->names[1].port, 5054);
	assert_int_equal(site->names[1].weight, 3);
	config_free(&config);
}

static void servers_may_leave_out_their_port(void **state)
{
	struct config *config = sound("  a: { discover: \"sip:x\" }\n"
	                              "dns: { servers: [127.0.0.1, \"127.0.0.1:5353\", \"::1\", "
	                              "\"[::1]:54\"], timeout: 300ms }\n");
	char server[ADDRESS_TEXT_MAX];

	assert_int_equal(config->dns_server_count, 4);
	assert_string_equal(address_format(&config->dns_servers[0], server), "127.0.0.1:53");
	assert_string_equal(address_format(&config->dns_servers[1], server), "127.0.0.1:5353");
	assert_string_equal(address_format(&config->dns_servers[2], server), "[::1]:53");
	assert_string_equal(address_format(&config->dns_servers[3], server), "[::1]:54");
	assert_int_equal(config->dns_timeout_ms, 300);
	config_free(&config);
	config = sound("  a: { discover: \"sip:x\" }\n");
	assert_int_equal(config->dns_server_count, 0);
	assert_int_equal(config->dns_timeout_ms, 2000);
	config_free(&config);
}

static void faults_have_their_place(void **state)
{
	faulty("  a: {}\n", "f:6:3: missing key \"targets\", expected it or \"discover\"");
	faulty("  a: { discover: \"sip:10.0.0.1\" }\n",
	       "f:6:18: wrong value for \"discover\", expected a SIP URI with a host name");
	faulty("  a: { discover: \"sip:x;transport=udp\" }\n", "f:6:18: no way to the target");
	faulty("  a: { targets: [{ name: big, uri: \"sip:x:5054\" }] }\n",
	       "f:6:26: \"name\" beside a host name");
	faulty("  a: { discover: \"sip:x\", targets: [\"sip:X\"] }\n",
	       "f:6:37: duplicate name, expected each name to be resolved once, found \"X\" "
	       "already in "
	       "line 6");
	faulty("  a: { discover: \"sip:x:0\" }\n", "f:6:18: wrong value");
	faulty("  a: { discover: \"sip:x\" }\ndns: { servers: [ns.example.net] }\n",
	       "f:7:18: wrong value for \"servers\", expected ADDRESS or ADDRESS:PORT");
	faulty("  a: { discover: \"sip:x\" }\ndns: { servers: [\"0.0.0.0:53\"] }\n", "f:7:18: ");
	faulty("  a: { discover: \"sip:x\" }\n"
	       "dns: { servers: [1.0.0.1, 1.0.0.2, 1.0.0.3, 1.0.0.4, 1.0.0.5, 1.0.0.6, 1.0.0.7, "
	       "1.0.0.8, 1.0.0.9] }\n",
	       "f:7:17: wrong value for \"servers\", expected at most 8 addresses");
	faulty("  a: { discover: \"sip:x\" }\ndns: { timeout: 2 }\n", "f:7:17: ");
}

static void only_so_many_names(void **state)
{
	static char rest[32768];
	size_t length = (size_t)snprintf(rest, sizeof(rest), "  a:\n    targets:\n");
	struct config *config;

	for (unsigned i = 0; i < 256; i++)
		length += (size_t)snprintf(rest + length, sizeof(rest) - length,
		                           "      - \"sip:h%u;transport=tcp\"\n", i);
	config = sound(rest);
	assert_int_equal(config->sites[0].name_count, 256);
	config_free(&config);
	snprintf(rest + length, sizeof(rest) - length, "      - \"sip:last\"\n");
	faulty(rest, "f:264:9: too many names to be resolved, expected at most 256");
}

static void load_scene(void *arg)
{
	struct config *config;
	int err = load("  a: { discover: \"sip:x\", targets: [\"sip:y:5054\", "
	               "\"sip:10.0.0.2;transport=tcp\"] }\ndns: { servers: [127.0.0.1] }\n",
	               &config);

	assert_true(err == 0 || (err == -ENOMEM && alloc_fail_happened()));
	config_free(&config);
}

static void every_allocation_may_fail(void **state)
{
	assert_true(alloc_fail_each(load_scene, NULL) > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_site_is_discovered_by_name),
		cmocka_unit_test(named_targets_stand_apart_and_the_others_keep_their_places),
		cmocka_unit_test(servers_may_leave_out_their_port),
		cmocka_unit_test(faults_have_their_place),
		cmocka_unit_test(only_so_many_names),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
