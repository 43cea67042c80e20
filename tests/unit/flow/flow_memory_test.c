/* What a registered flow costs. The limit is a promise of docs/PERFORMANCE.md. */
#include "stage.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* gcc installs no header for it. */
size_t __sanitizer_get_current_allocated_bytes(void);
#else
#include <malloc.h>
#endif

#define FLOWS 10000
#define FLOW_BYTES_MAX 1024

static size_t heap_in_use(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return __sanitizer_get_current_allocated_bytes(); /* glibc's heap is not the one in use */
#else
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
#endif
}

static void a_registered_udp_flow_costs_less_than_1024_bytes_of_heap(void **state)
{
	struct message *request, *response;
	struct registration registration;
	struct stage stage;
	size_t before, each;
	unsigned i;

	stage_set(&stage, FLOWS);
	request = stage_register(ALICE, ALICE_CONTACT OUTBOUND "\r\n");
	response = stage_ok(
		ALICE, ALICE_CONTACT OUTBOUND
		";expires=600\r\n"
		"Service-Route: <sip:orig@scscf1.site-a.example.net:5054;transport=tcp;lr>\r\n"
		"P-Associated-URI: <sip:alice@example.net>, <tel:+15551234567>\r\n");
	assert_int_equal(registration_read(request, &registration), 0);
	/* Every user of his own: an AoR of the same length, so that nobody replaces another. */
	before = heap_in_use();
	for (i = 0; i < FLOWS; i++) {
		snprintf(registration.aor, strlen(registration.aor) + 1, "sip:%05u@example.net", i);
		assert_int_equal(flow_learn(stage_client(&stage, TRANSPORT_UDP, i), &registration,
		                            response),
		                 0);
	}
	each = (heap_in_use() - before) / FLOWS;
	print_message("heap per registered UDP flow: %zu bytes\n", each);
	assert_int_equal(flow_table_registrations(stage.table), FLOWS);
	assert_true(each > 300); /* else nothing was measured */
	assert_true(each < FLOW_BYTES_MAX);
	registration_free(&registration);
	message_destroy(&request);
	message_destroy(&response);
	stage_strike(&stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_registered_udp_flow_costs_less_than_1024_bytes_of_heap),
	};

	stage_once();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
