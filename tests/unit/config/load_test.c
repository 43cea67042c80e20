/*
 * Sound files and what they mean; faulty ones and where they are said to be so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/memory.h"
#include "config/config.h"
#include "support/alloc_fail.h"
#include "support/generated_page.h"

/* One key per line, so that the lines below can be counted. */
static const char sound[] =
	"node:\n"                                                                    /* 1 */
	"  name: bono-1\n"                                                           /* 2 */
	"  site: site-a\n"                                                           /* 3 */
	"  home_domains: [example.net, example.org]\n"                               /* 4 */
	"workers: 2\n"                                                               /* 5 */
	"listeners:\n"                                                               /* 6 */
	"  - { name: au, side: access, transport: udp, bind: \"192.0.2.1:5060\" }\n" /* 7 */
	"  - { name: at, side: access, transport: tcp, bind: \"192.0.2.1:5060\" }\n" /* 8 */
	"  - name: cu\n"                                                             /* 9 */
	"    side: core\n"                                                           /* 10 */
	"    transport: udp\n"                                                       /* 11 */
	"    bind: \"10.0.0.10:5058\"\n"                                             /* 12 */
	"    allow: [10.0.0.0/16]\n"                                                 /* 13 */
	"  - name: ct\n"                                                             /* 14 */
	"    side: core\n"                                                           /* 15 */
	"    transport: tcp\n"                                                       /* 16 */
	"    bind: \"10.0.0.10:5058\"\n"                                             /* 17 */
	"    allow: [10.0.0.0/16, 192.0.2.7]\n"                                      /* 18 */
	"sites:\n"                                                                   /* 19 */
	"  site-b:\n"                                                                /* 20 */
	"    plaintext: allowed\n"                                                   /* 21 */
	"    capacity: 500\n"                                                        /* 22 */
	"    targets:\n"                                                             /* 23 */
	"      - sip:10.1.0.21:5054;transport=tcp\n"                                 /* 24 */
	"  site-a:\n"                                                                /* 25 */
	"    targets:\n"                                                             /* 26 */
	"      - sip:10.0.0.21;transport=TCP\n"                                      /* 27 */
	"      - { name: big, uri: \"sip:10.0.0.22:5054\", weight: 2 }\n"            /* 28 */
	"health: { interval: 2s, timeout: 800ms, fall: 2, rise: 3 }\n"               /* 29 */
	"limits:\n"                                                                  /* 30 */
	"  message_bytes: 64KiB\n"                                                   /* 31 */
	"admin: { http: \"127.0.0.1:9090\", socket: /run/bono/admin.sock }\n";       /* 32 */

static char faults[16384];

static int load(const char *text, size_t length, struct config **out)
{
	FILE *file = fmemopen(faults, sizeof(faults), "w");
	int err;

	faults[0] = '\0';
	*out = NULL;
	assert_non_null(file);
	err = config_load_bytes(text, length, "f.yaml", file, out);
	fclose(file);
	assert_true((err == 0) == (*out != NULL));
	assert_true(err == -ENOMEM || (err == 0) == (faults[0] == '\0'));
	return err;
}

static struct config *load_sound(const char *text)
{
	struct config *config;

	if (load(text, strlen(text), &config) != 0)
		fail_msg("not sound: %s", faults);
	return config;
}

/* The sound file with one change. */
static char *changed(const char *from, const char *to)
{
	const char *at = strstr(sound, from);
	size_t size = sizeof(sound) + strlen(to);
	char *text = malloc(size);

	assert_non_null(at);
	snprintf(text, size, "%.*s%s%s", (int)(at - sound), sound, to, at + strlen(from));
	return text;
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

/* Exactly one fault, at this place, saying this. */
static void assert_fault_in(const char *text, size_t length, const char *place, const char *words)
{
	struct config *config;
	char begin[64];

	assert_int_equal(load(text, length, &config), -EINVAL);
	snprintf(begin, sizeof(begin), "f.yaml:%s: ", place);
	if (strncmp(faults, begin, strlen(begin)) != 0 || strstr(faults, words) == NULL ||
	    count_lines(faults) != 1)
		fail_msg("expected one fault at %s with \"%s\", got:\n%s", place, words, faults);
}

static void assert_fault(const char *from, const char *to, const char *place, const char *words)
{
	char *text = changed(from, to);

	assert_fault_in(text, strlen(text), place, words);
	free(text);
}

static void assert_sound(const char *from, const char *to)
{
	char *text = changed(from, to);
	struct config *config = load_sound(text);

	config_free(&config);
	free(text);
}

/* ---- sound ---- */

static void sound_file_means_what_it_says(void **state)
{
	struct config *config = load_sound(sound);
	char text[ADDRESS_TEXT_MAX];

	assert_string_equal(config->node_name, "bono-1");
	assert_string_equal(config->node_site, "site-a");
	assert_int_equal(config->home_domain_count, 2);
	assert_string_equal(config->home_domains[1], "example.org");
	assert_int_equal(config->workers, 2);
	assert_int_equal(config->listener_count, 4);
	assert_int_equal(config->listeners[3].side, CONFIG_CORE);
	assert_int_equal(config->listeners[3].transport, CONFIG_TCP);
	assert_string_equal(address_format(&config->listeners[3].bind, text), "10.0.0.10:5058");
	assert_int_equal(config->listeners[3].allow_count, 2);
	assert_int_equal(config->limit_message_bytes, 65536);
	assert_string_equal(config->admin_http, "127.0.0.1:9090");
	assert_string_equal(config->admin_socket, "/run/bono/admin.sock");
	config_free(&config);
	assert_null(config);
}

static void local_site_comes_first(void **state)
{
	struct config *config = load_sound(sound);

	assert_int_equal(config->site_count, 2);
	assert_string_equal(config->sites[0].name, "site-a");
	assert_true(config->sites[0].local);
	assert_string_equal(config->sites[1].name, "site-b");
	assert_false(config->sites[1].local);
	assert_true(config->sites[1].plaintext_allowed);
	assert_int_equal(config->sites[1].capacity, 500);
	config_free(&config);
}

static void targets_are_named_by_place(void **state)
{
	struct config *config = load_sound(sound);
	const struct config_site *site = &config->sites[0];

	assert_int_equal(site->target_count, 2);
	assert_string_equal(site->targets[0].name, "sprout-1");
	assert_string_equal(site->targets[0].uri, "sip:10.0.0.21;transport=TCP");
	assert_int_equal(address_port(&site->targets[0].address), 5060);
	assert_int_equal(site->targets[0].transport, CONFIG_TCP);
	assert_int_equal(site->targets[0].weight, 1);
	assert_string_equal(site->targets[1].name, "big");
	assert_int_equal(site->targets[1].transport, CONFIG_UDP);
	assert_int_equal(site->targets[1].weight, 2);
	config_free(&config);
}

static void silence_means_the_defaults(void **state)
{
	char *text = changed("health: { interval: 2s, timeout: 800ms, fall: 2, rise: 3 }\n", "");
	struct config *config = load_sound(text);

	assert_string_equal(config->state_dir, "/var/lib/bono");
	assert_int_equal(config->health_interval_ms, 2000);
	assert_int_equal(config->health_timeout_ms, 800);
	assert_int_equal(config->health_fall, 2);
	assert_int_equal(config->health_rise, 3);
	assert_int_equal(config->failover_first_answer_ms, 500);
	assert_int_equal(config->failover_deadline_ms, 8000);
	assert_int_equal(config->failback_hold_down_ms, 30000);
	assert_int_equal(config->failback_ramp_ms, 60000);
	assert_int_equal(config->limit_connections, 100000);
	assert_int_equal(config->limit_flows, 200000);
	assert_int_equal(config->limit_transactions, 200000);
	config_free(&config);
	free(text);
}

static void admin_is_none_unless_said(void **state)
{
	char *text =
		changed("admin: { http: \"127.0.0.1:9090\", socket: /run/bono/admin.sock }\n", "");
	struct config *config = load_sound(text);

	assert_null(config->admin_http);
	assert_null(config->admin_socket);
	config_free(&config);
	free(text);
}

static void first_core_listener_is_in_path_unless_said(void **state)
{
	struct config *config = load_sound(sound);
	char *text = changed("10.0.0.0/16, 192.0.2.7]\n", "10.0.0.0/16]\n    path: true\n");

	assert_false(config->listeners[0].path);
	assert_true(config->listeners[2].path);
	assert_false(config->listeners[3].path);
	config_free(&config);
	config = load_sound(text);
	assert_false(config->listeners[2].path);
	assert_true(config->listeners[3].path);
	config_free(&config);
	free(text);
}

static void wildcard_access_takes_the_name_of_another(void **state)
{
	char *text =
		changed("bind: \"192.0.2.1:5060\" }\n"
	                "  - { name: at, side: access, transport: tcp, bind: \"192.0.2.1:5060\" }",
	                "bind: \"0.0.0.0:5060\", advertise: \"edge.example.net:5070\" }\n"
	                "  - { name: at, side: access, transport: tcp, bind: \"[::]:5062\" }");
	struct config *config = load_sound(text);

	assert_string_equal(config->listeners[0].advertise, "edge.example.net:5070");
	assert_string_equal(config->listeners[1].advertise, "edge.example.net:5062");
	assert_string_equal(config->listeners[2].advertise, "10.0.0.10:5058");
	config_free(&config);
	free(text);
}

static void automatic_workers_are_at_least_one(void **state)
{
	char *text = changed("workers: 2", "workers: auto");
	struct config *config = load_sound(text);

	assert_in_range(config->workers, 1, 256);
	config_free(&config);
	free(text);
}

static void json_is_read_too(void **state)
{
	struct config *config =
		load_sound("{\"node\": {\"name\": \"n\", \"site\": \"s\", \"home_domains\": "
	                   "[\"example.net\"]},\n"
	                   "\t\"listeners\": [\n"
	                   "\t\t{\"name\": \"a\", \"side\": \"access\", \"transport\": \"udp\", "
	                   "\"bind\": \"[::1]:5060\"},\n"
	                   "\t\t{\"name\": \"c\", \"side\": \"core\", \"transport\": \"udp\", "
	                   "\"bind\": \"[::1]:5058\","
	                   " \"allow\": [\"::1\"], \"path\": true}],\n"
	                   "\t\"sites\": {\"s\": {\"targets\": [\"sip:[2001:db8::1]:5054\"]}},\n"
	                   "\t\"health\": {\"interval\": \"5s\"}}\n");

	assert_int_equal(config->health_interval_ms, 5000);
	assert_string_equal(config->listeners[0].advertise, "[::1]:5060");
	assert_int_equal(config->sites[0].targets[0].address.family, AF_INET6);
	config_free(&config);
}

static void hash_follows_the_bytes(void **state)
{
	char *text = changed("workers: 2", "workers: 3");
	struct config *a = load_sound(sound), *b = load_sound(sound), *c = load_sound(text);

	assert_int_equal(strlen(a->hash), 16);
	assert_string_equal(a->hash, b->hash);
	assert_string_not_equal(a->hash, c->hash);
	config_free(&a);
	config_free(&b);
	config_free(&c);
	free(text);
}

static void shipped_example_is_sound(void **state)
{
	struct config *config = NULL;

	assert_int_equal(config_load("conf/bono.yaml", stderr, &config), 0);
	assert_string_equal(config->listeners[1].advertise, "edge.example.net:5060");
	config_free(&config);
}

/* ---- faulty keys and values ---- */

static void unknown_key_is_told_with_its_place(void **state)
{
	assert_fault("  name: bono-1\n", "  name: bono-1\n  colour: red\n", "3:3",
	             "unknown key, expected one of name, site, home_domains, state_dir, found "
	             "\"colour\"");
	assert_fault("workers: 2", "workers: 2\nzzz: {}", "6:1", "unknown key");
}

static void misspelt_key_gets_a_suggestion(void **state)
{
	char *text = changed("plaintext: allowed", "plaintxt: allowed");
	struct config *config;

	assert_int_equal(load(text, strlen(text), &config), -EINVAL);
	assert_non_null(strstr(faults, "f.yaml:21:5: "));
	assert_non_null(strstr(faults, "did you mean \"plaintext\"?"));
	free(text);
	assert_fault("interval: 2s", "intreval: 2s", "29:11", "did you mean \"interval\"?");
	assert_fault("limits:", "limit:", "30:1", "did you mean \"limits\"?");
}

static void duplicate_key_is_told(void **state)
{
	assert_fault("  site: site-a\n", "  site: site-a\n  name: other\n", "4:3",
	             "duplicate key \"name\", expected each key once, found it already in line 2");
	assert_fault("workers: 2", "workers: 2\nworkers: x", "6:1", "duplicate key \"workers\"");
	assert_fault("fall: 2,", "fall: 2, fall: 3,", "29:50", "duplicate key \"fall\"");
}

static void time_without_unit_is_told(void **state)
{
	assert_fault("interval: 2s", "interval: 2", "29:21",
	             "expected a time with its unit: ms, s, m or h, found the number 2");
	assert_fault("interval: 2s", "interval: 2 s", "29:21", "found \"2 s\"");
	assert_fault("interval: 2s", "interval: 2d", "29:21", "units ms, s, m, h");
	assert_fault("interval: 2s", "interval: -2s", "29:21", "found \"-2s\"");
	assert_fault("interval: 2s", "interval: 1.5s", "29:21", "found \"1.5s\"");
}

static void time_out_of_range_is_told(void **state)
{
	assert_fault("interval: 2s", "interval: 2h", "29:21", "a time from 100ms to 1h");
	assert_fault("timeout: 800ms", "timeout: 1ms", "29:34", "a time from 10ms to 1m");
	assert_fault("interval: 2s", "interval: 99999999999999999999s", "29:21", "a time from");
}

static void number_out_of_range_or_kind_is_told(void **state)
{
	assert_fault("fall: 2", "fall: 0", "29:47",
	             "a whole number from 1 to 64, found the number 0");
	assert_fault("fall: 2", "fall: 65", "29:47", "found the number 65");
	assert_fault("fall: 2", "fall: two", "29:47", "found \"two\"");
	assert_fault("fall: 2", "fall: \"2\"", "29:47", "found \"2\"");
	assert_fault("fall: 2", "fall: 2.5", "29:47", "found the number 2.5");
	assert_fault("fall: 2", "fall: 99999999999999999999999", "29:47", "from 1 to 64");
	assert_fault("workers: 2", "workers: many", "5:10", "auto or a whole number from 1 to 256");
	assert_fault("weight: 2", "weight: 0", "28:57", "from 1 to 1000");
	assert_fault("64KiB", "64kb", "31:18", "a size from 1500 to 1048576 bytes");
	assert_fault("64KiB", "100", "31:18", "found the number 100");
}

static void wrong_type_is_told(void **state)
{
	assert_fault("name: bono-1", "name: 17", "2:9", "found the number 17");
	assert_fault("name: bono-1", "name: true", "2:9", "found true");
	assert_fault("name: bono-1", "name: ", "2:8", "found nothing");
	assert_fault("name: bono-1", "name: [a]", "2:9", "found a list");
	assert_fault("workers: 2", "workers: {}", "5:10", "found an empty map");
	assert_fault("workers: 2", "workers: {a: 1}", "5:10", "found a map of keys");
	assert_fault("health: { interval: 2s, timeout: 800ms, fall: 2, rise: 3 }", "health: 5",
	             "29:9",
	             "wrong value for \"health\", expected a map of keys, found the number 5");
	assert_fault("[example.net, example.org]", "example.net", "4:17", "a list of domain names");
	assert_fault("[example.net, example.org]", "[]", "4:17",
	             "at least one, found an empty list");
	assert_fault("[example.net, example.org]", "[example.net, \"a b\"]", "4:31",
	             "a domain name");
	assert_fault("plaintext: allowed", "plaintext: true", "21:16", "the word allowed");
	assert_fault("[10.0.0.0/16]", "[10.0.0.0/33]", "13:13", "ADDRESS/BITS");
	assert_fault("allow: [10.0.0.0/16]", "allow: [10.0.0.0/16]\n    path: yes", "14:11",
	             "true or false, found \"yes\"");
}

static void names_are_narrow(void **state)
{
	assert_fault("name: bono-1", "name: bono/1", "2:9", "a name of up to 64");
	assert_fault("name: bono-1", "name: -bono", "2:9", "a name of up to 64");
	assert_fault("name: bono-1", "name: \"bono 1\"", "2:9", "a name of up to 64");
	assert_fault("  site-b:\n", "  \"site b\":\n", "20:3", "wrong name of a site");
	assert_fault("name: big", "name: \"\"", "28:17", "a name of up to 64");
}

static void missing_key_is_told_where_it_should_be(void **state)
{
	assert_fault("  name: bono-1\n", "", "2:3", "missing key \"name\", expected it in node");
	assert_fault("    side: core\n    transport: tcp\n", "    side: core\n", "14:5",
	             "missing key \"transport\"");
	assert_fault("name: big, uri: \"sip:10.0.0.22:5054\",", "name: big,", "28:9",
	             "missing key \"uri\"");
}

static void addresses_are_literals_with_port(void **state)
{
	assert_fault("bind: \"10.0.0.10:5058\"\n    allow: [10.0.0.0/16, ",
	             "bind: core.example.net:5058\n    allow: [10.0.0.0/16, ", "17:11",
	             "ADDRESS:PORT with an IP address");
	assert_fault("\"127.0.0.1:9090\"", "\"127.0.0.1\"", "32:16", "ADDRESS:PORT");
	assert_fault("\"127.0.0.1:9090\"", "\"127.0.0.1:0\"", "32:16", "ADDRESS:PORT");
	assert_fault("\"127.0.0.1:9090\"", "\"127.0.0.1:65536\"", "32:16", "ADDRESS:PORT");
	assert_fault("\"192.0.2.1:5060\" }\n  - { name: at",
	             "\"192.0.2.1:5060\", advertise: edge }\n  - { name: at", "7:82", "HOST:PORT");
	assert_fault("\"192.0.2.1:5060\" }\n  - { name: at",
	             "\"192.0.2.1:5060\", advertise: \"0.0.0.0:5060\" }\n  - { name: at", "7:82",
	             "that peers can reach");
	assert_fault("\"192.0.2.1:5060\" }\n  - { name: at",
	             "\"192.0.2.1:5060\", advertise: \"2001:db8::1:5060\" }\n  - { name: at",
	             "7:82", "HOST:PORT");
}

static void target_uris_are_narrow(void **state)
{
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "http://10.1.0.21", "24:9",
	             "a SIP URI like");
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sips:10.1.0.21", "24:9",
	             "a SIP URI like");
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sip:10.1.0.300", "24:9",
	             "an IP address or a host name");
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sip:sprout_1.example.net", "24:9",
	             "an IP address or a host name");
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sip:a@10.1.0.21", "24:9",
	             "without a user part");
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sip:10.1.0.21:0", "24:9",
	             "a port from 1");
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sip:10.1.0.21;transport=tls", "24:9",
	             "a TLS target in a site without \"tls\"");
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sip:10.1.0.21;transport=wss", "24:9",
	             "transport udp, tcp or tls (WebSockets are for clients)");
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sip:10.1.0.21;lr", "24:9",
	             "no URI parameter but transport");
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sip:0.0.0.0", "24:9",
	             "a wildcard as target");
}

static void transports_are_those_of_rfc3261_and_rfc7118(void **state)
{
	assert_fault("transport: udp, bind", "transport: carrier-pigeon, bind", "7:42",
	             "udp, tcp, tls, ws or wss, found");
}

/* ---- rules across keys ---- */

static void node_stands_in_one_of_the_sites(void **state)
{
	char *text = changed("site: site-a", "site: site-c");
	struct config *config;

	assert_int_equal(load(text, strlen(text), &config), -EINVAL);
	assert_non_null(strstr(faults, "f.yaml:3:9: unknown site, expected one of \"sites\", found "
	                               "\"site-c\": did you mean \"site-"));
	free(text);
}

static void core_listener_needs_allow(void **state)
{
	assert_fault("    allow: [10.0.0.0/16]\n", "", "9:5", "missing key \"allow\"");
}

/* Its zone means nothing to those whom we would name it to. */
static void link_local_address_is_refused_wherever_we_would_be_named_by_it(void **state)
{
	assert_fault("transport: udp, bind: \"192.0.2.1:5060\"",
	             "transport: udp, bind: \"[fe80::1]:5060\"", "7:53",
	             "expected an address that others can reach, not a link-local address");
	assert_fault("transport: udp, bind: \"192.0.2.1:5060\"",
	             "transport: udp, bind: \"[fe80::1%eth0]:5060\"", "7:53",
	             "expected an address that others can reach, not a link-local address");
	assert_fault("transport: udp, bind: \"192.0.2.1:5060\"",
	             "transport: udp, bind: \"192.0.2.1:5060\", advertise: \"[fe80::1]:5060\"",
	             "7:82", "HOST:PORT that peers can reach");
}

static void wildcard_core_bind_needs_advertise(void **state)
{
	assert_fault("bind: \"10.0.0.10:5058\"\n    allow: [10.0.0.0/16]\n",
	             "bind: \"0.0.0.0:5058\"\n    allow: [10.0.0.0/16]\n", "12:11",
	             "a wildcard bind on the core side, expected \"advertise\"");
	assert_sound("bind: \"10.0.0.10:5058\"\n    allow: [10.0.0.0/16]\n",
	             "bind: \"0.0.0.0:5058\"\n    advertise: \"10.0.0.10:5058\"\n    allow: "
	             "[10.0.0.0/16]\n");
}

static void wildcard_access_bind_may_be_nameless(void **state)
{
	char *text = changed("transport: udp, bind: \"192.0.2.1:5060\"",
	                     "transport: udp, bind: \"0.0.0.0:5060\"");
	struct config *config = load_sound(text);

	assert_string_equal(config->listeners[0].advertise, "0.0.0.0:5060");
	config_free(&config);
	free(text);
}

static void access_listener_has_no_core_keys(void **state)
{
	assert_fault("bind: \"192.0.2.1:5060\" }\n  - { name: at",
	             "bind: \"192.0.2.1:5060\", allow: [0.0.0.0/0] }\n  - { name: at", "7:78",
	             "on the access side");
	assert_fault("bind: \"192.0.2.1:5060\" }\n  - { name: at",
	             "bind: \"192.0.2.1:5060\", path: true }\n  - { name: at", "7:77",
	             "on the access side");
}

static void only_one_listener_is_in_path(void **state)
{
	char *text =
		changed("    allow: [10.0.0.0/16]\n", "    allow: [10.0.0.0/16]\n    path: true\n");
	char *at = strstr(text, ", 192.0.2.7]\n");
	char both[4096];

	snprintf(both, sizeof(both), "%.*s]\n    path: true\n%s", (int)(at - text), text,
	         at + strlen(", 192.0.2.7]\n"));
	assert_fault_in(both, strlen(both), "20:11", "a second path listener");
	free(text);
}

static void both_sides_are_listened_on(void **state)
{
	static const char only_access[] =
		"node: {name: n, site: s, home_domains: [x]}\n"
		"listeners: [{name: a, side: access, transport: udp, bind: \"127.0.0.1:5060\"}]\n"
		"sites: {s: {targets: [\"sip:127.0.0.1\"]}}\n";
	struct config *config;

	assert_int_equal(load(only_access, strlen(only_access), &config), -EINVAL);
	assert_non_null(strstr(faults, "f.yaml:2:12: no core listener"));
}

static void listeners_do_not_share_names_or_ports(void **state)
{
	assert_fault("name: ct", "name: cu", "14:11", "found \"cu\" already in line 9");
	assert_fault("transport: tcp, bind: \"192.0.2.1:5060\"",
	             "transport: udp, bind: \"192.0.2.1:5060\"", "8:53",
	             "found 192.0.2.1:5060 already taken in line 7");
	assert_sound("transport: tcp, bind: \"192.0.2.1:5060\"",
	             "transport: udp, bind: \"192.0.2.1:5061\"");
}

static void wildcard_takes_the_port_of_all(void **state)
{
	char *text =
		changed("transport: tcp, bind: \"192.0.2.1:5060\"",
	                "transport: tcp, advertise: \"e.example:5058\", bind: \"0.0.0.0:5058\"");

	assert_fault_in(text, strlen(text), "17:11", "already taken in line 8");
	free(text);
}

static void targets_need_a_way(void **state)
{
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sip:[2001:db8::1]:5054", "24:9",
	             "no way to the target, expected a core listener of its transport and address "
	             "family");
}

static void targets_do_not_share_names_or_addresses(void **state)
{
	assert_fault("name: big", "name: sprout-1", "28:17",
	             "duplicate name, expected each once in a site, found site-a/sprout-1 already");
	assert_fault("sip:10.1.0.21:5054;transport=tcp", "sip:10.0.0.21;transport=tcp", "27:9",
	             "duplicate target, expected each address and transport once, found "
	             "site-b/sprout-1 already");
}

static void remote_site_in_plaintext_says_so(void **state)
{
	assert_fault("    plaintext: allowed\n", "", "20:3", "a remote site without TLS");
}

static void times_fit_together(void **state)
{
	assert_fault("interval: 2s", "interval: 500ms", "29:37", "health.timeout is too long");
	assert_fault("workers: 2", "workers: 2\nfailover: { first_answer: 8s }", "6:27",
	             "failover.first_answer is too long, expected less than failover.deadline");
}

static void admin_has_a_port_of_its_own(void **state)
{
	assert_fault("127.0.0.1:9090", "192.0.2.1:5060", "32:16", "that of the listener in line 8");
}

static void all_faults_are_told_in_one_pass(void **state)
{
	static const char text[] =
		"node: { name: 5, site: nowhere, home_domains: [example.net] }\n"
		"listeners:\n"
		"  - { name: a, side: outside, transport: udp, bind: \"127.0.0.1:5060\" }\n"
		"  - { name: a, side: core, transport: udp, bind: \"0.0.0.0:5058\" }\n"
		"sites:\n"
		"  s: { targets: [\"sip:@\"], capcity: 3 }\n"
		"health: { interval: 2 }\n";
	static const char *const expected[] = {
		":1:15: ",
		":1:24: unknown site",
		":3:22: ",
		":4:5: missing key \"allow\"",
		":4:50: a wildcard bind",
		":4:13: duplicate listener",
		":6:18: ",
		":6:28: unknown key",
		":6:3: a remote site",
		":7:21: ",
	};
	struct config *config;

	assert_int_equal(load(text, strlen(text), &config), -EINVAL);
	for (unsigned i = 0; i < ARRAY_LENGTH(expected); i++)
		if (strstr(faults, expected[i]) == NULL)
			fail_msg("not told: %s in\n%s", expected[i], faults);
	assert_int_equal(count_lines(faults), ARRAY_LENGTH(expected));
}

/* ---- hostile and broken files ---- */

static void broken_yaml_is_told_with_its_place(void **state)
{
	assert_fault_in("node: [1, 2\n", 12, "2:1", "not YAML");
	assert_fault_in("a: b: c\n", 8, "1:5", "not YAML");
	assert_fault_in("\"abc", 4, "1:5", "not YAML");
	assert_fault_in("a: \xc3\xa4\n\tb: 1\n", 12, "2:1",
	                "expected blanks as indent, found a tab");
	assert_fault_in("a: \xff\xfe\n", 6, "1:1", "not text, expected UTF-8");
	assert_fault_in("a: \"b\\0c\"\n", 10, "1:4", "a NUL byte");
}

static void empty_file_is_told(void **state)
{
	assert_fault_in("", 0, "1:1", "an empty file");
	assert_fault_in("# nothing\n", 10, "1:1", "an empty file");
	assert_fault_in("just words\n", 11, "1:1", "expected a map of keys, found \"just words\"");
}

static void anchors_aliases_tags_and_documents_are_refused(void **state)
{
	assert_fault("workers: 2", "workers: &w 2", "5:10", "an anchor");
	assert_fault("workers: 2", "workers: *w", "5:10", "an alias");
	assert_fault("workers: 2", "workers: !!int 2", "5:10", "a tag");
	assert_fault("node:\n", "node: &n\n", "1:7", "an anchor");
	assert_fault("workers: 2", "workers: 2\n---\na: b", "6:1", "a second document");
	assert_fault("workers: 2", "? [a]\n: 2", "5:3", "a list or map as key");
}

static void deep_nesting_is_refused(void **state)
{
	char *text = malloc(500001);

	memset(text, '[', 500000);
	text[500000] = '\0';
	assert_fault_in(text, 500000, "1:13", "nested too deeply");
	free(text);
}

static void huge_files_are_refused(void **state)
{
	size_t length = 1024 * 1024 + 1;
	char *text = malloc(length);

	memset(text, '#', length);
	assert_fault_in(text, length, "1:1", "too large");
	free(text);
}

static void too_many_values_are_refused(void **state)
{
	size_t length = 200000;
	char *text = malloc(length + 1);

	for (size_t i = 0; i < length; i += 2)
		memcpy(text + i, i == 0 ? "[1" : ",1", 2);
	assert_fault_in(text, length, "1:100000", "too many values");
	free(text);
}

static void too_many_keys_are_refused(void **state)
{
	char text[8192] = "";
	size_t length = 0;

	for (unsigned i = 0; i <= 256; i++)
		length += (size_t)snprintf(text + length, sizeof(text) - length, "k%u: 1\n", i);
	assert_fault_in(text, length, "257:1", "too many keys");
}

static void terminal_controls_do_not_reach_the_terminal(void **state)
{
	assert_fault("name: bono-1", "name: \"\\e[2Jx\"", "2:9", "found \"?[2Jx\"");
}

static void file_that_is_not_there_is_told(void **state)
{
	struct config *config = NULL;
	FILE *file = fmemopen(faults, sizeof(faults), "w");

	assert_int_equal(config_load("/nonexistent/bono.yaml", file, &config), -ENOENT);
	fclose(file);
	assert_non_null(strstr(faults, "/nonexistent/bono.yaml:1:1: cannot be read"));
	assert_null(config);
}

static void the_page_says_what_the_table_says(void **state)
{
	struct buffer text;

	buffer_init(&text);
	config_write_docs(&text);
	generated_page_check("docs/CONFIG.md", &text);
	buffer_free(&text);
}

static void load_and_free(void *arg)
{
	struct config *config;
	int err = load(arg, strlen(arg), &config);

	assert_true(err == 0 || err == -ENOMEM || err == -EINVAL);
	assert_true(err != 0 || !alloc_fail_happened());
	config_free(&config);
}

static void memory_that_ends_is_told(void **state)
{
	char *faulty = changed("interval: 2s", "interval: 2");

	assert_true(alloc_fail_each(load_and_free, (void *)(uintptr_t)sound) > 50);
	assert_true(alloc_fail_each(load_and_free, faulty) > 50);
	free(faulty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sound_file_means_what_it_says),
		cmocka_unit_test(local_site_comes_first),
		cmocka_unit_test(targets_are_named_by_place),
		cmocka_unit_test(silence_means_the_defaults),
		cmocka_unit_test(admin_is_none_unless_said),
		cmocka_unit_test(first_core_listener_is_in_path_unless_said),
		cmocka_unit_test(wildcard_access_takes_the_name_of_another),
		cmocka_unit_test(automatic_workers_are_at_least_one),
		cmocka_unit_test(json_is_read_too),
		cmocka_unit_test(hash_follows_the_bytes),
		cmocka_unit_test(shipped_example_is_sound),
		cmocka_unit_test(unknown_key_is_told_with_its_place),
		cmocka_unit_test(misspelt_key_gets_a_suggestion),
		cmocka_unit_test(duplicate_key_is_told),
		cmocka_unit_test(time_without_unit_is_told),
		cmocka_unit_test(time_out_of_range_is_told),
		cmocka_unit_test(number_out_of_range_or_kind_is_told),
		cmocka_unit_test(wrong_type_is_told),
		cmocka_unit_test(names_are_narrow),
		cmocka_unit_test(missing_key_is_told_where_it_should_be),
		cmocka_unit_test(addresses_are_literals_with_port),
		cmocka_unit_test(target_uris_are_narrow),
		cmocka_unit_test(transports_are_those_of_rfc3261_and_rfc7118),
		cmocka_unit_test(node_stands_in_one_of_the_sites),
		cmocka_unit_test(core_listener_needs_allow),
		cmocka_unit_test(link_local_address_is_refused_wherever_we_would_be_named_by_it),
		cmocka_unit_test(wildcard_core_bind_needs_advertise),
		cmocka_unit_test(wildcard_access_bind_may_be_nameless),
		cmocka_unit_test(access_listener_has_no_core_keys),
		cmocka_unit_test(only_one_listener_is_in_path),
		cmocka_unit_test(both_sides_are_listened_on),
		cmocka_unit_test(listeners_do_not_share_names_or_ports),
		cmocka_unit_test(wildcard_takes_the_port_of_all),
		cmocka_unit_test(targets_need_a_way),
		cmocka_unit_test(targets_do_not_share_names_or_addresses),
		cmocka_unit_test(remote_site_in_plaintext_says_so),
		cmocka_unit_test(times_fit_together),
		cmocka_unit_test(admin_has_a_port_of_its_own),
		cmocka_unit_test(all_faults_are_told_in_one_pass),
		cmocka_unit_test(broken_yaml_is_told_with_its_place),
		cmocka_unit_test(empty_file_is_told),
		cmocka_unit_test(anchors_aliases_tags_and_documents_are_refused),
		cmocka_unit_test(deep_nesting_is_refused),
		cmocka_unit_test(huge_files_are_refused),
		cmocka_unit_test(too_many_values_are_refused),
		cmocka_unit_test(too_many_keys_are_refused),
		cmocka_unit_test(terminal_controls_do_not_reach_the_terminal),
		cmocka_unit_test(file_that_is_not_there_is_told),
		cmocka_unit_test(the_page_says_what_the_table_says),
		cmocka_unit_test(memory_that_ends_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
