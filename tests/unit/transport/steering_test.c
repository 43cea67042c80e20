/*
 * The kernel and user space choose the same worker for a client's datagrams, with sockets of one port in the
 * order of binding, and the choice is even.
 */
#include "stage.h"

#include <netinet/ip.h>

#define WORKERS 3

struct crew {
	struct stage *members[WORKERS];
	uint16_t port;
};

static void crew_open(struct crew *crew, const char *bind_to)
{
	const struct address address = free_address(SOCK_DGRAM, bind_to);

	crew->port = address_port(&address);
	for (unsigned i = 0; i < WORKERS; i++) {
		struct stage *stage = stage_new();

		crew->members[i] = stage;
		stage->settings.workers = WORKERS;
		stage->settings.listener_count = 1;
		stage->listeners[0].bind = address;
		assert_int_equal(loop_create("test", &stage->loop), 0);
		assert_int_equal(transport_create(stage->loop, (uint8_t)i, &stage->settings,
		                                  stage->metrics, &stage_events, stage,
		                                  &stage->transport),
		                 0);
	}
}

static void crew_close(struct crew *crew)
{
	for (unsigned i = 0; i < WORKERS; i++) {
		void *stage = crew->members[i];

		stage_teardown(&stage);
	}
}

/* Who got the one datagram that is on its way? */
static unsigned crew_receive(struct crew *crew)
{
	const uint64_t give_up_ms = stage_real_ms() + 5000;

	while (stage_real_ms() < give_up_ms) {
		for (unsigned i = 0; i < WORKERS; i++) {
			loop_turn(crew->members[i]->loop);
			if (crew->members[i]->packet_count > 0) {
				stage_forget(crew->members[i]);
				return i;
			}
		}
	}
	fail_msg("the datagram never came");
	return 0;
}

static void expect_agreement(struct crew *crew, const char *from, const char *to_host,
                             bool with_options)
{
	const unsigned char options[8] = {IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_NOP,
	                                  IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_EOL};
	struct address to = stage_address(to_host);
	unsigned share[WORKERS] = {0};

	address_set_port(&to, crew->port);
	for (unsigned i = 0; i < 150; i++) {
		struct address client;
		int fd = peer_socket(SOCK_DGRAM, from, &client);
		unsigned got;

		if (with_options)
			assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, options,
			                            sizeof(options)),
			                 0);
		peer_send_to(fd, &to, OPTIONS_TEXT);
		got = crew_receive(crew);
		assert_int_equal(got, transport_udp_worker(&client, WORKERS));
		share[got]++;
		close(fd);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		assert_true(share[i] > 150 / WORKERS / 2);
}

static void ipv4_goes_where_user_space_says(void **state)
{
	struct crew crew;

	crew_open(&crew, "127.0.3.10:0");
	expect_agreement(&crew, "127.0.3.9:0", "127.0.3.10:0", false);
	crew_close(&crew);
}

static void ipv4_with_options_goes_there_too(void **state)
{
	struct crew crew;

	crew_open(&crew, "127.0.3.10:0");
	expect_agreement(&crew, "127.0.3.9:0", "127.0.3.10:0", true);
	crew_close(&crew);
}

static void ipv6_goes_where_user_space_says(void **state)
{
	struct crew crew;

	crew_open(&crew, "[::1]:0");
	expect_agreement(&crew, "[::1]:0", "[::1]:0", false);
	crew_close(&crew);
}

static void both_families_on_one_socket_go_where_user_space_says(void **state)
{
	struct crew crew;

	crew_open(&crew, "[::]:0");
	expect_agreement(&crew, "127.0.3.9:0", "127.0.3.10:0", false);
	expect_agreement(&crew, "[::1]:0", "[::1]:0", false);
	crew_close(&crew);
}

static void mapped_and_plain_spelling_are_one_client(void **state)
{
	struct address plain = stage_address("198.51.100.7:5061"),
		       mapped = stage_address("[::ffff:198.51.100.7]:5061");

	for (unsigned workers = 1; workers < 20; workers++)
		assert_int_equal(transport_udp_worker(&plain, workers),
		                 transport_udp_worker(&mapped, workers));
}

/* One host with many ports, and many hosts with one port (all that a carrier's NAT or a fleet of the same
 * phone looks like). */
static void shares_are_even(void **state)
{
	for (unsigned workers = 2; workers <= 16; workers++) {
		unsigned by_port[16] = {0}, by_host[16] = {0};

		for (unsigned i = 0; i < 16000; i++) {
			struct address address = stage_address("198.51.100.7:5060");

			address_set_port(&address, (uint16_t)(1024 + 2 * i));
			by_port[transport_udp_worker(&address, workers)]++;
			address_set_port(&address, 5060);
			address.v4.sin_addr.s_addr = htonl(0x0a000000u + i);
			by_host[transport_udp_worker(&address, workers)]++;
		}
		for (unsigned i = 0; i < workers; i++) {
			assert_in_range(by_port[i], 16000 / workers * 85 / 100,
			                16000 / workers * 115 / 100);
			assert_in_range(by_host[i], 16000 / workers * 85 / 100,
			                16000 / workers * 115 / 100);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_goes_where_user_space_says),
		cmocka_unit_test(ipv4_with_options_goes_there_too),
		cmocka_unit_test(ipv6_goes_where_user_space_says),
		cmocka_unit_test(both_families_on_one_socket_go_where_user_space_says),
		cmocka_unit_test(mapped_and_plain_spelling_are_one_client),
		cmocka_unit_test(shares_are_even),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
