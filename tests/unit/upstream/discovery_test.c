/*
 * Names kept fresh, against a server of paper: answers are packets, time is moved, failover only writes down what it is
 * given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "support/alloc_fail.h"
#include "support/dns_packet.h"
#include "support/fake_loop.h"
#include "upstream/discovery.h"

#define HOST "core.example.net"
#define SRV_NAME "_sip._tcp.core.example.net"

/* One record of the zone: TYPE OWNER and what its type needs. */
struct zone_record {
	int type;
	const char *owner, *data; /* data: address or name */
	unsigned priority, weight, port;
	const char *service;
	uint32_t ttl;
};

struct question {
	struct timer answer;
	struct scene *scene;
	char name[DNS_NAME_MAX];
	enum dns_type type;
	void (*done)(void *arg, struct dns_answer *answer);
	void *arg;
};

struct scene {
	struct loop *loop;
	struct config config;
	struct config_site sites[2];
	struct config_target names[2], target;
	struct config_listener listeners[3]; /* the third, of TLS, where config says so */
	struct metrics_registry *registry;
	struct metrics *metrics;
	struct discovery *discovery;
	struct zone_record zone[512];
	unsigned zone_count;
	bool silent;            /* the server does not answer: after 600 ms that is known */
	const char *silent_for; /* only questions about this name */
	unsigned asked[256];    /* by type */
	unsigned under_way, most_under_way;
	char given[16384]; /* what failover was told last: "NAME w WEIGHT p PRIORITY\n" ... */
	unsigned gifts;
	unsigned gift_site;
	int refuse; /* what failover says */
};

static struct dns_packet packet;

/* ---- the server ---- */

static void add_to_packet(const struct zone_record *record)
{
	switch (record->type) {
	case ns_t_srv:
		packet_srv(&packet, record->owner, record->ttl, record->priority, record->weight,
		           record->port, record->data);
		break;
	case ns_t_naptr:
		packet_naptr(&packet, record->owner, record->ttl, record->priority, record->weight,
		             "s", record->service, "", record->data);
		break;
	case ns_t_cname:
		packet_cname(&packet, record->owner, record->ttl, record->data);
		break;
	default:
		packet_address(&packet, record->owner, record->ttl, record->data);
	}
}

static void on_answer_time(struct timer *timer, void *arg)
{
	struct question *question = arg;
	struct scene *scene = question->scene;
	struct dns_answer answer;
	bool known = false;

	scene->under_way--;
	for (unsigned i = 0; i < scene->zone_count; i++)
		known |= strcasecmp(scene->zone[i].owner, question->name) == 0;
	packet_begin(&packet, question->name, (int)question->type, known ? 0 : ns_r_nxdomain);
	for (unsigned i = 0; i < scene->zone_count; i++) {
		const struct zone_record *record = &scene->zone[i];

		if (strcasecmp(record->owner, question->name) == 0 &&
		    (record->type == (int)question->type || record->type == ns_t_cname))
			add_to_packet(record);
	}
	if (scene->silent ||
	    (scene->silent_for != NULL && strcasecmp(scene->silent_for, question->name) == 0))
		dns_answer_fail(&answer, DNS_FAILED, "timeout");
	else
		(void)dns_answer_read(packet.bytes, packet.length, question->name, question->type,
		                      &answer);
	question->done(question->arg, &answer);
	dns_answer_free(&answer);
	memory_free(question);
}

static int ask(void *arg, const char *name, enum dns_type type,
               void (*done)(void *arg, struct dns_answer *answer), void *done_arg)
{
	struct scene *scene = arg;
	struct question *question = memory_zalloc(sizeof(*question));

	if (question == NULL)
		return -ENOMEM;
	scene->asked[type]++;
	if (++scene->under_way > scene->most_under_way)
		scene->most_under_way = scene->under_way;
	question->scene = scene;
	snprintf(question->name, sizeof(question->name), "%s", name);
	question->type = type;
	question->done = done;
	question->arg = done_arg;
	timer_init(&question->answer, on_answer_time, question);
	timer_start(loop_timers(scene->loop), &question->answer, scene->silent ? 600 : 1);
	return 0;
}

/* ---- failover ---- */

static int set_targets(void *arg, unsigned site, const struct failover_target_spec *specs,
                       unsigned count)
{
	struct scene *scene = arg;
	size_t length = 0;

	if (scene->refuse != 0)
		return scene->refuse;
	scene->gifts++;
	scene->gift_site = site;
	scene->given[0] = '\0';
	for (unsigned i = 0; i < count; i++) {
		length += (size_t)snprintf(scene->given + length, sizeof(scene->given) - length,
		                           "%s w%u p%u", specs[i].name, specs[i].weight,
		                           specs[i].priority);
		if (specs[i].tls != NULL)
			length += (size_t)snprintf(scene->given + length,
			                           sizeof(scene->given) - length, " by %s as %s",
			                           specs[i].tls,
			                           specs[i].tls_name != NULL ? specs[i].tls_name
			                                                     : "address");
		length += (size_t)snprintf(scene->given + length, sizeof(scene->given) - length,
		                           "\n");
	}
	return 0;
}

static void assert_given(const struct scene *scene, const char *expected)
{
	assert_string_equal(scene->given, expected);
}

static unsigned count_given(const struct scene *scene)
{
	unsigned n = 0;

	for (const char *c = scene->given; *c != '\0'; c++)
		n += *c == '\n';
	return n;
}

/* ---- the scene ---- */

static void record(struct scene *scene, int type, const char *owner, const char *data, uint32_t ttl)
{
	scene->zone[scene->zone_count++] =
		(struct zone_record){.type = type, .owner = owner, .data = data, .ttl = ttl};
}

static void record_srv(struct scene *scene, const char *owner, unsigned priority, unsigned weight,
                       unsigned port, const char *to)
{
	scene->zone[scene->zone_count++] =
		(struct zone_record){ns_t_srv, owner, to, priority, weight, port, NULL, 10};
}

static void two_sprouts(struct scene *scene)
{
	record_srv(scene, SRV_NAME, 1, 5, 5054, "s1.example.net");
	record_srv(scene, SRV_NAME, 1, 5, 5054, "s2.example.net");
	record(scene, ns_t_a, "s1.example.net", "10.0.0.1", 10);
	record(scene, ns_t_a, "s2.example.net", "10.0.0.2", 10);
}
#define TWO_SPROUTS "10.0.0.1:5054/tcp w5 p0\n10.0.0.2:5054/tcp w5 p0\n"

static struct discovery_ways ways_of(struct scene *scene)
{
	return (struct discovery_ways){.ask = ask, .set_targets = set_targets, .arg = scene};
}

static void scene_prepare(struct scene *scene)
{
	memset(scene, 0, sizeof(*scene));
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	assert_int_equal(loop_create("control", &scene->loop), 0);
	loop_advance_to(scene->loop, FAKE_CLOCK_START_MS);
	assert_int_equal(metrics_registry_create(&scene->registry), 0);
	assert_int_equal(metrics_create(scene->registry, "control", &scene->metrics), 0);
	for (unsigned i = 0; i < 3; i++) {
		scene->listeners[i].side = CONFIG_CORE;
		scene->listeners[i].transport = i == 0   ? CONFIG_TCP
		                                : i == 1 ? CONFIG_UDP
		                                         : CONFIG_TLS;
		scene->listeners[i].bind.family = AF_INET;
	}
	scene->names[0] = (struct config_target){.host = (char *)HOST,
	                                         .transport = CONFIG_TCP,
	                                         .has_transport = true,
	                                         .weight = 1};
	scene->sites[0] = (struct config_site){.name = (char *)"site-a", .local = true};
	scene->sites[1] = (struct config_site){.name = (char *)"site-b",
	                                       .names = scene->names,
	                                       .name_count = 1};
	scene->config = (struct config){.listeners = scene->listeners,
	                                .listener_count = 2,
	                                .sites = scene->sites,
	                                .site_count = 2};
}

static void scene_start(struct scene *scene)
{
	const struct discovery_ways ways = ways_of(scene);

	assert_int_equal(discovery_create(scene->loop, &scene->config, scene->registry,
	                                  scene->metrics, &ways, &scene->discovery),
	                 0);
}

/* In small steps: each turn sees one link of a chain of questions. */
static void walk(struct scene *scene, uint64_t ms)
{
	uint64_t end = loop_now_ms(scene->loop) + ms, step = ms > 100000 ? 50 : 2;

	while (loop_now_ms(scene->loop) < end)
		fake_loop_walk(scene->loop, step);
}

static void scene_end(struct scene *scene)
{
	walk(scene, 700); /* questions under way are ours to free */
	while (scene->under_way > 0)
		walk(scene, 10);
	discovery_destroy(&scene->discovery);
	metrics_registry_destroy(&scene->registry);
	loop_destroy(&scene->loop);
	fake_clock_off();
}

static int64_t resolutions(const struct scene *scene, enum dns_result result)
{
	return metrics_read(scene->registry, METRIC_DNS_RESOLUTIONS, 0, result, 0);
}

/* ---- RFC 3263 ---- */

static void srv_gives_a_target_for_each_address(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	record(&scene, ns_t_a, "s2.example.net", "10.0.0.3", 10);
	scene_start(&scene);
	assert_int_equal(scene.gifts, 0); /* nobody waits, nothing happens from inside */
	walk(&scene, 100);
	/* The weight of a server is shared by its addresses. */
	assert_given(&scene, "10.0.0.1:5054/tcp w300 p0\n10.0.0.2:5054/tcp w150 p0\n"
	                     "10.0.0.3:5054/tcp w150 p0\n");
	assert_int_equal(scene.gift_site, 1);
	assert_int_equal(scene.asked[DNS_NAPTR], 0); /* RFC 3263 4.1: the URI names the transport */
	assert_int_equal(scene.asked[DNS_AAAA], 0);  /* nothing of ours leaves by IPv6 */
	scene_end(&scene);
}

static void naptr_decides_where_the_uri_does_not(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	scene.names[0].has_transport = false;
	scene.names[0].transport = CONFIG_UDP;
	scene.zone[scene.zone_count++] =
		(struct zone_record){ns_t_naptr, HOST, "tls.example.net", 1, 1, 0, "SIPS+D2T", 10};
	scene.zone[scene.zone_count++] =
		(struct zone_record){ns_t_naptr, HOST, "udp.example.net", 3, 1, 0, "SIP+D2U", 10};
	scene.zone[scene.zone_count++] =
		(struct zone_record){ns_t_naptr, HOST, "none.example.net", 2, 1, 0, "SIP+D2T", 10};
	record_srv(&scene, "tls.example.net", 1, 1, 5061, "s1.example.net");
	record_srv(&scene, "udp.example.net", 1, 1, 5070, "s1.example.net");
	record(&scene, ns_t_a, "s1.example.net", "10.0.0.1", 10);
	scene_start(&scene);
	walk(&scene, 100);
	/* TLS is not ours to speak, the SRV of TCP is not there. */
	assert_given(&scene, "10.0.0.1:5070/udp w1 p0\n");
	scene_end(&scene);
}

static void without_naptr_every_transport_we_serve_is_tried(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	scene.names[0].has_transport = false;
	scene.names[0].transport = CONFIG_UDP;
	record_srv(&scene, "_sip._udp.core.example.net", 1, 1, 5070, "s1.example.net");
	record(&scene, ns_t_a, "s1.example.net", "10.0.0.1", 10);
	scene_start(&scene);
	walk(&scene, 100);
	assert_given(&scene, "10.0.0.1:5070/udp w1 p0\n");
	assert_int_equal(scene.asked[DNS_SRV], 2);
	scene_end(&scene);
}

static void without_srv_the_host_itself_is_meant(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	record(&scene, ns_t_a, HOST, "10.0.0.1", 10);
	scene_start(&scene);
	walk(&scene, 100);
	assert_given(&scene, "10.0.0.1:5060/tcp w1 p0\n");
	scene_end(&scene);
}

static void with_a_port_nothing_but_addresses_is_asked(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	scene.names[0].port = 5099;
	scene.listeners[1].transport = CONFIG_TCP;
	scene.listeners[1].bind.family = AF_INET6;
	record(&scene, ns_t_a, HOST, "10.0.0.9", 10);
	record(&scene, ns_t_aaaa, HOST, "2001:db8::9", 10);
	scene_start(&scene);
	walk(&scene, 100);
	assert_given(&scene, "10.0.0.9:5099/tcp w1 p0\n[2001:db8::9]:5099/tcp w1 p0\n");
	assert_int_equal(scene.asked[DNS_SRV], 0);
	scene_end(&scene);
}

static void priorities_and_weights_become_ours(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	record_srv(&scene, SRV_NAME, 200, 0, 5054, "s1.example.net");
	record_srv(&scene, SRV_NAME, 10, 3, 5054, "s2.example.net");
	record(&scene, ns_t_a, "s1.example.net", "10.0.0.1", 10);
	record(&scene, ns_t_a, "s2.example.net", "10.0.0.2", 10);
	scene_start(&scene);
	walk(&scene, 100);
	assert_given(&scene, "10.0.0.2:5054/tcp w300 p0\n10.0.0.1:5054/tcp w1 p1\n");
	scene_end(&scene);
}

static void aliases_are_asked_for_but_not_forever(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	scene.names[0].port = 5054;
	record(&scene, ns_t_cname, HOST, "b.example.org", 10);
	record(&scene, ns_t_cname, "b.example.org", "c.example.org", 10);
	record(&scene, ns_t_a, "c.example.org", "10.0.0.1", 3600);
	scene_start(&scene);
	walk(&scene, 100);
	assert_given(&scene, "10.0.0.1:5054/tcp w1 p0\n");
	scene.zone[1].data = HOST; /* in a circle: kept, and the questions end */
	walk(&scene, 10000);
	assert_int_equal(scene.gifts, 1);
	assert_in_range(scene.asked[DNS_A], 6, 40);
	scene_end(&scene);
}

static void sixty_four_servers_are_not_asked_for_at_once(void **state)
{
	static char names[64][32], addresses[128][32];
	struct scene scene;

	scene_prepare(&scene);
	for (unsigned i = 0; i < 64; i++) {
		snprintf(names[i], sizeof(names[i]), "s%u.example.net", i);
		record_srv(&scene, SRV_NAME, 1, 1, 5054, names[i]);
		for (unsigned j = 2 * i; j < 2 * i + 2; j++) {
			snprintf(addresses[j], sizeof(addresses[j]), "10.0.1.%u", j + 1);
			record(&scene, ns_t_a, names[i], addresses[j], 10);
		}
	}
	scene_start(&scene);
	walk(&scene, 500);
	assert_int_equal(count_given(&scene), 128);
	assert_in_range(scene.most_under_way, 16, 32);
	scene_end(&scene);
}

/* ---- time ---- */

static void answers_are_renewed_before_they_are_old(void **state)
{
	struct scene scene;
	unsigned before;

	scene_prepare(&scene);
	two_sprouts(&scene);
	scene.zone[3].ttl = 4; /* the smallest counts */
	scene_start(&scene);
	walk(&scene, 2700);
	assert_int_equal(scene.asked[DNS_SRV], 1);
	walk(&scene, 600);
	assert_int_equal(scene.asked[DNS_SRV], 2);
	before = scene.asked[DNS_SRV];
	walk(&scene, 40000);
	assert_in_range(scene.asked[DNS_SRV] - before, 11, 15);
	assert_int_equal(scene.gifts, 1); /* nothing new, nothing told */
	assert_in_range(metrics_read(scene.registry, METRIC_DNS_AGE_SECONDS, 0, 0, 0), 0, 4000000);
	scene_end(&scene);
}

static void no_time_to_live_is_no_storm(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	for (unsigned i = 0; i < 4; i++)
		scene.zone[i].ttl = 0;
	scene_start(&scene);
	walk(&scene, 10000);
	assert_in_range(scene.asked[DNS_SRV], 15, 21);
	scene_end(&scene);
}

static void order_of_records_is_no_news(void **state)
{
	struct zone_record first;
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	scene_start(&scene);
	walk(&scene, 100);
	first = scene.zone[0];
	scene.zone[0] = scene.zone[1];
	scene.zone[1] = first;
	walk(&scene, 20000);
	assert_int_equal(scene.gifts, 1);
	scene.zone[0].weight = 7;
	walk(&scene, 20000);
	assert_int_equal(scene.gifts, 2);
	scene_end(&scene);
}

/* ---- what is kept ---- */

static void a_record_removed_is_gone(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	scene_start(&scene);
	walk(&scene, 100);
	assert_given(&scene, TWO_SPROUTS);
	scene.zone[0].owner = "nobody.example.net";
	walk(&scene, 10000);
	assert_given(&scene, "10.0.0.2:5054/tcp w5 p0\n");
	assert_int_equal(resolutions(&scene, DNS_RESULT_NEGATIVE), 0);
	scene_end(&scene);
}

static void silence_and_denial_keep_what_was_known(void **state)
{
	struct scene scene;
	unsigned count;

	scene_prepare(&scene);
	two_sprouts(&scene);
	scene_start(&scene);
	walk(&scene, 100);
	scene.silent = true;
	walk(&scene, 60000);
	assert_in_range(resolutions(&scene, DNS_RESULT_FAILED), 5, 20);
	assert_in_range(metrics_read(scene.registry, METRIC_DNS_AGE_SECONDS, 0, 0, 0), 59000000,
	                60100000);
	scene.silent = false;
	count = scene.zone_count;
	scene.zone_count = 0; /* no such name */
	walk(&scene, 60000);
	assert_in_range(resolutions(&scene, DNS_RESULT_NEGATIVE), 5, 20);
	record(&scene, ns_t_a, HOST, "10.0.0.7",
	       10); /* the host's own address is not what its SRV said */
	walk(&scene, 60000);
	assert_int_equal(scene.gifts, 1);
	two_sprouts(&scene);
	walk(&scene, 20000);
	assert_int_equal(scene.gifts, 1);
	assert_int_equal(count, 4);
	assert_in_range(metrics_read(scene.registry, METRIC_DNS_AGE_SECONDS, 0, 0, 0), 0, 10000000);
	scene_end(&scene);
}

static void one_server_of_two_without_an_answer_keeps_its_addresses(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	scene_start(&scene);
	walk(&scene, 100);
	scene.silent_for = "s1.example.net";
	scene.zone[3].data = "10.0.0.22"; /* the other one moves meanwhile */
	walk(&scene, 10000);
	assert_given(&scene, "10.0.0.1:5054/tcp w5 p0\n10.0.0.22:5054/tcp w5 p0\n");
	assert_true(resolutions(&scene, DNS_RESULT_FAILED) > 0);
	scene.silent_for = NULL;
	scene.zone[2].owner = "nobody.example.net"; /* denied, not unanswered */
	walk(&scene, 20000);
	assert_given(&scene, "10.0.0.1:5054/tcp w5 p0\n10.0.0.22:5054/tcp w5 p0\n");
	assert_true(resolutions(&scene, DNS_RESULT_NEGATIVE) > 0);
	scene_end(&scene);
}

static void a_service_withdrawn_is_not_believed_either(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	scene_start(&scene);
	walk(&scene, 100);
	scene.zone_count = 0;
	record_srv(&scene, SRV_NAME, 0, 0, 1, "");
	walk(&scene, 20000);
	assert_int_equal(scene.gifts, 1);
	assert_true(resolutions(&scene, DNS_RESULT_NEGATIVE) > 0);
	scene_end(&scene);
}

static void dns_that_comes_late_is_found_within_its_retry(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	scene.silent = true;
	scene_start(&scene);
	walk(&scene, 3600000);
	assert_int_equal(scene.gifts, 0);
	scene.silent = false;
	walk(&scene, 11000);
	assert_given(&scene, TWO_SPROUTS);
	scene_end(&scene);
}

/* ---- TLS ---- */

/* One name and every service there is. */
static void every_service(struct scene *scene)
{
	static const char *const services[] = {"SIP+D2U", "SIP+D2T", "SIPS+D2T"};
	static const char *const names[] = {"udp.example.net", "tcp.example.net",
	                                    "tls.example.net"};

	for (unsigned i = 0; i < 3; i++) {
		scene->zone[scene->zone_count++] =
			(struct zone_record){ns_t_naptr, HOST, names[i],    i + 1,
		                             1,          0,    services[i], 10};
		record_srv(scene, names[i], 1, 1, 5070 + i, "s1.example.net");
	}
	record(scene, ns_t_a, "s1.example.net", "10.0.0.1", 10);
}

static void scene_prepare_tls(struct scene *scene)
{
	scene_prepare(scene);
	scene->config.listener_count = 3;
	scene->sites[1].tls = (char *)"intersite";
	scene->names[0].transport = CONFIG_TLS;
	scene->names[0].has_transport = false;
}

static void a_tls_site_takes_tls_records_alone_and_keeps_the_name(void **state)
{
	struct scene scene;

	scene_prepare_tls(&scene);
	every_service(&scene);
	scene_start(&scene);
	walk(&scene, 100);
	/* RFC 5922 5.2: not tls.example.net, not s1.example.net. */
	assert_given(&scene, "10.0.0.1:5072/tls w1 p0 by intersite as " HOST "\n");
	scene_end(&scene);
}

static void a_plaintext_site_does_not_take_tls_records(void **state)
{
	struct scene scene;

	scene_prepare_tls(&scene);
	scene.sites[1].tls = NULL;
	scene.names[0].transport = CONFIG_UDP;
	every_service(&scene);
	scene_start(&scene);
	walk(&scene, 100);
	assert_given(&scene, "10.0.0.1:5070/udp w1 p0\n");
	scene_end(&scene);
}

static void a_tls_site_without_naptr_asks_for_sips_alone(void **state)
{
	struct scene scene;

	scene_prepare_tls(&scene);
	record_srv(&scene, "_sip._tcp." HOST, 1, 1, 5070, "s1.example.net");
	record_srv(&scene, "_sips._tcp." HOST, 1, 1, 5072, "s1.example.net");
	record(&scene, ns_t_a, "s1.example.net", "10.0.0.1", 10);
	scene_start(&scene);
	walk(&scene, 100);
	assert_given(&scene, "10.0.0.1:5072/tls w1 p0 by intersite as " HOST "\n");
	assert_int_equal(scene.asked[DNS_SRV], 1);
	scene_end(&scene);
}

static void a_tls_site_without_srv_is_the_host_at_5061(void **state)
{
	struct scene scene;

	scene_prepare_tls(&scene);
	scene.names[0].tls_name = (char *)"other.example.net";
	record(&scene, ns_t_a, HOST, "10.0.0.1", 10);
	scene_start(&scene);
	walk(&scene, 100);
	assert_given(&scene, "10.0.0.1:5061/tls w1 p0 by intersite as other.example.net\n");
	scene_end(&scene);
}

/* ---- sites ---- */

static void configured_and_found_targets_stand_side_by_side_once_each(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	scene.target = (struct config_target){.name = (char *)"sprout-1",
	                                      .uri = (char *)"sip:10.0.0.2:5054;transport=tcp",
	                                      .transport = CONFIG_TCP,
	                                      .weight = 4};
	assert_true(address_parse(SLICE_LITERAL("10.0.0.2:5054"), &scene.target.address));
	scene.sites[1].targets = &scene.target;
	scene.sites[1].target_count = 1;
	scene.names[1] = scene.names[0];
	scene.names[1].host = (char *)"more.example.net";
	scene.names[1].port = 5055;
	scene.names[1].weight = 6;
	scene.sites[1].name_count = 2;
	record(&scene, ns_t_a, "more.example.net", "10.0.0.5", 10);
	scene_start(&scene);
	walk(&scene, 100);
	assert_given(&scene, "sprout-1 w4 p0\n10.0.0.1:5054/tcp w5 p0\n10.0.0.5:5055/tcp w6 p0\n");
	scene_end(&scene);
}

static void targets_that_found_no_room_are_offered_again(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	scene.refuse = -ENOSPC;
	scene_start(&scene);
	walk(&scene, 10000);
	assert_int_equal(scene.gifts, 0);
	assert_true(resolutions(&scene, DNS_RESULT_FAILED) > 2);
	scene.refuse = 0;
	walk(&scene, 11000);
	assert_given(&scene, TWO_SPROUTS);
	scene_end(&scene);
}

static void life_scene(void *arg)
{
	struct scene *scene = arg;
	const struct discovery_ways ways = ways_of(scene);

	scene->given[0] = '\0';
	if (discovery_create(scene->loop, &scene->config, NULL, NULL, &ways, &scene->discovery) !=
	    0) {
		assert_true(alloc_fail_happened());
		return;
	}
	walk(scene, 5000);
	assert_given(scene, TWO_SPROUTS); /* a lack of memory is a failure like any other */
	while (scene->under_way > 0)
		walk(scene, 1);
	discovery_destroy(&scene->discovery);
}

static void every_allocation_may_fail(void **state)
{
	struct scene scene;

	scene_prepare(&scene);
	two_sprouts(&scene);
	assert_true(alloc_fail_each(life_scene, &scene) > 10);
	scene_end(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(srv_gives_a_target_for_each_address),
		cmocka_unit_test(naptr_decides_where_the_uri_does_not),
		cmocka_unit_test(without_naptr_every_transport_we_serve_is_tried),
		cmocka_unit_test(without_srv_the_host_itself_is_meant),
		cmocka_unit_test(with_a_port_nothing_but_addresses_is_asked),
		cmocka_unit_test(priorities_and_weights_become_ours),
		cmocka_unit_test(aliases_are_asked_for_but_not_forever),
		cmocka_unit_test(sixty_four_servers_are_not_asked_for_at_once),
		cmocka_unit_test(answers_are_renewed_before_they_are_old),
		cmocka_unit_test(no_time_to_live_is_no_storm),
		cmocka_unit_test(order_of_records_is_no_news),
		cmocka_unit_test(a_record_removed_is_gone),
		cmocka_unit_test(silence_and_denial_keep_what_was_known),
		cmocka_unit_test(one_server_of_two_without_an_answer_keeps_its_addresses),
		cmocka_unit_test(a_service_withdrawn_is_not_believed_either),
		cmocka_unit_test(dns_that_comes_late_is_found_within_its_retry),
		cmocka_unit_test(a_tls_site_takes_tls_records_alone_and_keeps_the_name),
		cmocka_unit_test(a_plaintext_site_does_not_take_tls_records),
		cmocka_unit_test(a_tls_site_without_naptr_asks_for_sips_alone),
		cmocka_unit_test(a_tls_site_without_srv_is_the_host_at_5061),
		cmocka_unit_test(configured_and_found_targets_stand_side_by_side_once_each),
		cmocka_unit_test(targets_that_found_no_room_are_offered_again),
		cmocka_unit_test(every_allocation_may_fail),
	};

	hash_key_init();
	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
