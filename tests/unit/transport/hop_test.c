/*
 * The hop as a value: which two are one flow, and how they are written.
 */
#include "stage.h"

static struct hop client(const char *address)
{
	struct hop hop = {.worker = 1,
	                  .transport = TRANSPORT_UDP,
	                  .side = SIDE_ACCESS,
	                  .listener = 2};

	hop.remote = stage_address(address);
	return hop;
}

static void same_socket_and_remote_are_one_udp_flow(void **state)
{
	struct hop a = client("198.51.100.7:5061"), b = client("198.51.100.7:5061");

	assert_true(hop_equal(&a, &b));
	assert_int_equal(hop_hash(&a), hop_hash(&b));
	b.local = 3; /* the same client, whatever address of ours it used */
	assert_true(hop_equal(&a, &b));
	assert_int_equal(hop_hash(&a), hop_hash(&b));
}

static void another_port_listener_socket_or_worker_is_another_flow(void **state)
{
	struct hop a = client("198.51.100.7:5061"), b;

	b = client("198.51.100.7:5062");
	assert_false(hop_equal(&a, &b));
	assert_int_not_equal(hop_hash(&a), hop_hash(&b));
	b = a;
	b.listener = 3;
	assert_false(hop_equal(&a, &b));
	assert_int_not_equal(hop_hash(&a), hop_hash(&b));
	b = a;
	b.own_socket = 1;
	assert_false(hop_equal(&a, &b));
	b = a;
	b.worker = 2;
	assert_false(hop_equal(&a, &b));
	b = a;
	b.transport = TRANSPORT_TCP;
	b.connection = 1;
	assert_false(hop_equal(&a, &b));
}

static void connection_alone_makes_a_stream_flow(void **state)
{
	struct hop a = client("198.51.100.7:5061"), b;

	a.transport = TRANSPORT_TCP;
	a.connection = 77;
	b = a;
	b.local = 4;
	assert_true(hop_equal(&a, &b));
	assert_int_equal(hop_hash(&a), hop_hash(&b));
	b.connection = 78; /* the same client after a reconnection from the same port */
	assert_false(hop_equal(&a, &b));
	assert_int_not_equal(hop_hash(&a), hop_hash(&b));
}

static void hop_is_written_with_its_transport(void **state)
{
	char text[ADDRESS_TEXT_MAX + 8];
	struct hop hop = client("198.51.100.7:5061");

	assert_string_equal(hop_format(&hop, text, sizeof(text)), "198.51.100.7:5061/udp");
	hop = client("[2001:db8::1]:65535");
	hop.transport = TRANSPORT_WSS;
	assert_string_equal(hop_format(&hop, text, sizeof(text)), "[2001:db8::1]:65535/wss");
}

/* Labels of metrics, so their order is a contract. */
static void reasons_and_sides_have_the_names_of_the_labels(void **state)
{
	for (unsigned i = 0; i < CLOSE_REASONS; i++)
		assert_string_equal(close_reason_name(i),
		                    metrics_label_value(LABEL_CLOSE_REASON, i));
	assert_int_equal(metrics_label_size(LABEL_CLOSE_REASON), CLOSE_REASONS);
	for (unsigned i = 0; i < SIDES; i++)
		assert_string_equal(side_name(i), metrics_label_value(LABEL_SIDE, i));
	for (unsigned i = 0; i < TRANSPORTS; i++)
		assert_string_equal(transport_name(i), metrics_label_value(LABEL_TRANSPORT, i));
}

static int setup(void **state)
{
	hash_key_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_socket_and_remote_are_one_udp_flow),
		cmocka_unit_test(another_port_listener_socket_or_worker_is_another_flow),
		cmocka_unit_test(connection_alone_makes_a_stream_flow),
		cmocka_unit_test(hop_is_written_with_its_transport),
		cmocka_unit_test(reasons_and_sides_have_the_names_of_the_labels),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
