/*
 * Sound answers and what they say; broken and hostile ones, which say nothing.
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
#include "support/alloc_fail.h"
#include "support/dns_packet.h"

#define NAME "sprout.example.net"

static struct dns_packet packet;
static struct dns_answer answer;

/* A copy that ends where the packet ends, so that a sanitizer sees a step beyond. */
static void read_as(enum dns_type type)
{
	uint8_t *copy = malloc(packet.length);

	memcpy(copy, packet.bytes, packet.length);
	assert_int_equal(dns_answer_read(copy, packet.length, NAME, type, &answer), 0);
	free(copy);
}

static void expect_failed(enum dns_type type)
{
	read_as(type);
	assert_int_equal(answer.verdict, DNS_FAILED);
	assert_int_equal(answer.count, 0);
	assert_null(answer.records);
}

static const char *address(unsigned i)
{
	static char text[ADDRESS_TEXT_MAX];

	return address_format_host(&answer.records[i].address, text);
}

static void addresses_and_the_smallest_time_to_live(void **state)
{
	packet_begin(&packet, NAME, ns_t_a, 0);
	packet_address(&packet, NAME, 60, "10.0.0.1");
	packet_address(&packet, "SPROUT.example.NET", 30, "10.0.0.2");
	packet_address(&packet, "other.example.net", 5, "10.0.0.3");
	packet_address(&packet, NAME, 5, "2001:db8::1");
	read_as(DNS_A);
	assert_int_equal(answer.verdict, DNS_FOUND);
	assert_int_equal(answer.count, 2);
	assert_string_equal(address(1), "10.0.0.2");
	assert_int_equal(answer.ttl_s, 30);
	dns_answer_free(&answer);
	read_as(DNS_AAAA);
	assert_int_equal(answer.count, 1);
	assert_string_equal(address(0), "[2001:db8::1]");
	dns_answer_free(&answer);
}

static void srv_records_have_all_they_need(void **state)
{
	packet_begin(&packet, NAME, ns_t_srv, 0);
	packet_srv(&packet, NAME, 7, 10, 20, 5054, "s1.example.net");
	packet_srv(&packet, NAME, 9, 65535, 0, 65535, "");
	packet_srv(&packet, NAME, 9, 1, 1, 0, "no-port.example.net");
	read_as(DNS_SRV);
	assert_int_equal(answer.count, 2);
	assert_int_equal(answer.left_out, 1);
	assert_int_equal(answer.records[0].priority, 10);
	assert_int_equal(answer.records[0].weight, 20);
	assert_int_equal(answer.records[0].port, 5054);
	assert_string_equal(answer.records[0].name, "s1.example.net");
	assert_string_equal(answer.records[1].name, "");
	dns_answer_free(&answer);
}

static void naptr_services_are_those_of_sip(void **state)
{
	packet_begin(&packet, NAME, ns_t_naptr, 0);
	packet_naptr(&packet, NAME, 7, 10, 20, "s", "SIP+D2T", "", "_sip._tcp.example.net");
	packet_naptr(&packet, NAME, 7, 11, 20, "S", "sips+d2t", "", "_sips._tcp.example.net");
	packet_naptr(&packet, NAME, 7, 12, 20, "s", "SIP+D2U", "", "_sip._udp.example.net");
	packet_naptr(&packet, NAME, 7, 13, 20, "u", "SIP+D2T", "", "x.example.net");
	packet_naptr(&packet, NAME, 7, 14, 20, "s", "SIP+D2T", "!.*!x!", "x.example.net");
	packet_naptr(&packet, NAME, 7, 15, 20, "s", "E2U+sip", "", "x.example.net");
	read_as(DNS_NAPTR);
	assert_int_equal(answer.count, 6);
	assert_int_equal(answer.records[0].service, DNS_SERVICE_SIP_TCP);
	assert_int_equal(answer.records[0].priority, 10);
	assert_int_equal(answer.records[0].weight, 20);
	assert_string_equal(answer.records[0].name, "_sip._tcp.example.net");
	assert_int_equal(answer.records[1].service, DNS_SERVICE_SIPS_TCP);
	assert_int_equal(answer.records[2].service, DNS_SERVICE_SIP_UDP);
	for (unsigned i = 3; i < 6; i++)
		assert_int_equal(answer.records[i].service, DNS_SERVICE_OTHER);
	dns_answer_free(&answer);
}

static void aliases_are_followed_in_whatever_order(void **state)
{
	packet_begin(&packet, NAME, ns_t_a, 0);
	packet_address(&packet, "c.example.net", 60, "10.0.0.1");
	packet_cname(&packet, "b.example.net", 20, "c.example.net");
	packet_cname(&packet, NAME, 40, "b.example.net");
	read_as(DNS_A);
	assert_int_equal(answer.count, 1);
	assert_int_equal(answer.ttl_s, 20);
	assert_string_equal(answer.alias, "");
	dns_answer_free(&answer);
}

static void an_alias_without_its_records_is_to_be_asked_for(void **state)
{
	packet_begin(&packet, NAME, ns_t_a, 0);
	packet_cname(&packet, NAME, 40, "elsewhere.example.org");
	read_as(DNS_A);
	assert_int_equal(answer.verdict, DNS_EMPTY);
	assert_string_equal(answer.alias, "elsewhere.example.org");
	assert_int_equal(answer.ttl_s, 40);
	dns_answer_free(&answer);
}

static void aliases_in_a_circle_are_nonsense(void **state)
{
	packet_begin(&packet, NAME, ns_t_a, 0);
	packet_cname(&packet, NAME, 40, "b.example.net");
	packet_cname(&packet, "b.example.net", 40, NAME);
	expect_failed(DNS_A);
}

static void denial_is_not_failure(void **state)
{
	packet_begin(&packet, NAME, ns_t_a, ns_r_nxdomain);
	read_as(DNS_A);
	assert_int_equal(answer.verdict, DNS_EMPTY);
	assert_string_equal(answer.reason, "no such name");
	packet_begin(&packet, NAME, ns_t_a, ns_r_noerror);
	read_as(DNS_A);
	assert_int_equal(answer.verdict, DNS_EMPTY);
	assert_string_equal(answer.reason, "no such record");
	packet_begin(&packet, NAME, ns_t_a, ns_r_servfail);
	expect_failed(DNS_A);
	packet_begin(&packet, NAME, ns_t_a, ns_r_refused);
	expect_failed(DNS_A);
}

static void what_there_is_but_cannot_be_used_is_failure(void **state)
{
	packet_begin(&packet, NAME, ns_t_a, 0);
	packet_address(&packet, NAME, 60, "0.0.0.0");
	expect_failed(DNS_A);
	packet_begin(&packet, NAME, ns_t_srv, 0);
	packet_srv(&packet, NAME, 60, 1, 1, 5060, "a b.example.net");
	expect_failed(DNS_SRV);
	packet_begin(&packet, NAME, ns_t_srv, 0);
	packet_srv(&packet, NAME, 60, 1, 1, 5060, "x\n.example.net");
	expect_failed(DNS_SRV);
	packet_begin(&packet, NAME, ns_t_a, 0);
	/* of another length than an address has */
	packet_end_record(&packet, packet_record(&packet, NAME, ns_t_a, 60));
	expect_failed(DNS_A);
}

static void a_time_to_live_beyond_all_measure_is_none(void **state)
{
	packet_begin(&packet, NAME, ns_t_a, 0);
	packet_address(&packet, NAME, 0x80000000u, "10.0.0.1");
	read_as(DNS_A);
	assert_int_equal(answer.ttl_s, 0);
	dns_answer_free(&answer);
}

static void records_beyond_the_limit_are_left_out(void **state)
{
	char text[32];

	packet_begin(&packet, NAME, ns_t_a, 0);
	for (unsigned i = 0; i < 300; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", i / 200 + 1, i % 200 + 1);
		packet_address(&packet, NAME, 60, text);
	}
	read_as(DNS_A);
	assert_int_equal(answer.count, DNS_RECORDS_MAX);
	assert_int_equal(answer.left_out, 300 - DNS_RECORDS_MAX);
	dns_answer_free(&answer);
}

static void every_cut_of_a_packet_is_survived(void **state)
{
	size_t whole;

	packet_begin(&packet, NAME, ns_t_naptr, 0);
	packet_cname(&packet, NAME, 40, "b.example.net");
	packet_naptr(&packet, "b.example.net", 7, 10, 20, "s", "SIP+D2T", "", "_sip._tcp.x");
	whole = packet.length;
	for (packet.length = 1; packet.length < whole; packet.length++)
		expect_failed(DNS_NAPTR);
	read_as(DNS_NAPTR);
	assert_int_equal(answer.count, 1);
	dns_answer_free(&answer);
}

static void names_that_point_at_themselves_are_survived(void **state)
{
	size_t data;

	packet_begin(&packet, NAME, ns_t_srv, 0);
	data = packet_record(&packet, NAME, ns_t_srv, 60);
	packet_u32(&packet, 1);
	packet_u16(&packet, 5060);
	packet_u16(&packet, 0xc000 | (unsigned)packet.length);
	packet_end_record(&packet, data);
	expect_failed(DNS_SRV);
}

static void read_scene(void *arg)
{
	int err;

	packet_begin(&packet, NAME, ns_t_a, 0);
	packet_address(&packet, NAME, 60, "10.0.0.1");
	err = dns_answer_read(packet.bytes, packet.length, NAME, DNS_A, &answer);
	assert_true(err == 0 || (alloc_fail_happened() && answer.verdict == DNS_FAILED));
	dns_answer_free(&answer);
}

static void every_allocation_may_fail(void **state)
{
	assert_int_equal(alloc_fail_each(read_scene, NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_and_the_smallest_time_to_live),
		cmocka_unit_test(srv_records_have_all_they_need),
		cmocka_unit_test(naptr_services_are_those_of_sip),
		cmocka_unit_test(aliases_are_followed_in_whatever_order),
		cmocka_unit_test(an_alias_without_its_records_is_to_be_asked_for),
		cmocka_unit_test(aliases_in_a_circle_are_nonsense),
		cmocka_unit_test(denial_is_not_failure),
		cmocka_unit_test(what_there_is_but_cannot_be_used_is_failure),
		cmocka_unit_test(a_time_to_live_beyond_all_measure_is_none),
		cmocka_unit_test(records_beyond_the_limit_are_left_out),
		cmocka_unit_test(every_cut_of_a_packet_is_survived),
		cmocka_unit_test(names_that_point_at_themselves_are_survived),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
