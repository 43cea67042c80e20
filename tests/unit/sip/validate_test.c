#include "sip/validate.h"

#include "support/alloc_fail.h"
#include "support/sip_text.h"

#define REQUEST(method, uri, headers)                                                              \
	method " " uri " SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\n"                    \
	       "From: <sip:a@b>;tag=1\nTo: <sip:c@d>\nCall-ID: x\nCSeq: 1 " method "\n" headers    \
	       "\n"

static void assert_status(const char *text, int status, const char *extra)
{
	struct message *message = sip_parse(text);
	struct validation validation;

	validate_request(message, loop_hash(message), &validation);
	if (validation.status != status)
		fail_msg("%d, not %d: %s", validation.status, status, text);
	assert_int_equal(validation.reason == NULL, status == 0);
	assert_slice(buffer_slice(&validation.extra), extra);
	validation_free(&validation);
	message_destroy(&message);
}

static void good_requests_pass(void **state)
{
	assert_status(REQUEST("OPTIONS", "sip:a@b", ""), 0, "");
	assert_status(REQUEST("OPTIONS", "sips:b;x=y", "Max-Forwards: 1\n"), 0, "");
	assert_status(REQUEST("INVITE", "tel:+1-201", "Require: 100rel\n"), 0, "");
	assert_status(REQUEST("INVITE", "urn:service:sos.fire", ""), 0, "");
}

static void request_uris_we_cannot_route_are_refused(void **state)
{
	assert_status(REQUEST("OPTIONS", "http://example.com", ""), 416, "");
	assert_status(REQUEST("OPTIONS", "unknown:opaque", ""), 416, "");
	assert_status(REQUEST("INVITE", "sip:a@b?Route=%3Csip:x%3E", ""), 400, "");
	assert_status(REQUEST("INVITE", "sip:a@b@c", ""), 400, "");
}

static void the_last_hop_ends_here(void **state)
{
	assert_status(REQUEST("OPTIONS", "sip:a@b", "Max-Forwards: 0\n"), 483, "");
	assert_status(REQUEST("BYE", "sip:a@b", "Max-Forwards: 000\n"), 483, "");
}

static void extensions_asked_of_proxies_are_named(void **state)
{
	assert_status(REQUEST("OPTIONS", "sip:a@b",
	                      "Proxy-Require: one, two\nProxy-Require: three\n"),
	              420, "Unsupported: one, two, three\r\n");
	assert_status(REQUEST("OPTIONS", "sip:a@b", "Proxy-Require: one two\n"), 400, "");
	assert_status(REQUEST("OPTIONS", "sip:a@b", "Proxy-Require: one, <sip:x>\n"), 400, "");
	assert_status(REQUEST("CANCEL", "sip:a@b", "Proxy-Require: one\n"), 0, "");
	assert_status(REQUEST("ACK", "sip:a@b", "Proxy-Require: one\n"), 0, "");
}

static void the_order_is_that_of_16_3(void **state)
{
	assert_status(REQUEST("OPTIONS", "http://x", "Max-Forwards: 0\nProxy-Require: one\n"), 416,
	              "");
	assert_status(REQUEST("OPTIONS", "sip:x", "Max-Forwards: 0\nProxy-Require: one\n"), 483,
	              "");
}

static void a_request_that_has_our_branch_with_its_hash_loops(void **state)
{
	struct message *message = sip_parse(REQUEST("OPTIONS", "sip:a@b", ""));
	uint64_t hash = loop_hash(message);
	char branch[BRANCH_TEXT_MAX], via[128];
	struct validation validation;
	struct branch_source source;

	branch_source_init(&source, 1);
	branch_mint(&source, hash, branch);
	snprintf(via, sizeof(via), "SIP/2.0/UDP 10.0.0.1;branch=%s", branch);
	assert_int_equal(message_prepend(message, "Via", slice_from_string(via)), 0);
	validate_request(message, loop_hash(message), &validation);
	assert_int_equal(validation.status, 482);
	validation_free(&validation);
	/* The same way back with another Request-URI is a spiral. */
	assert_int_equal(message_set_request_uri(message, SLICE_LITERAL("sip:other@b")), 0);
	validate_request(message, loop_hash(message), &validation);
	assert_int_equal(validation.status, 0);
	validation_free(&validation);
	message_destroy(&message);
}

static void validate_scene(void *arg)
{
	struct validation validation;
	enum guard_verdict verdict;
	struct message *message;

	sip_parse_fault(REQUEST("OPTIONS", "sip:a@b", "Proxy-Require: one\n"), &message, &verdict);
	if (message == NULL)
		return;
	validate_request(message, loop_hash(message), &validation);
	assert_int_equal(validation.status, alloc_fail_happened() ? 500 : 420);
	validation_free(&validation);
	message_destroy(&message);
}

static void validation_bears_the_end_of_memory(void **state)
{
	assert_true(alloc_fail_each(validate_scene, NULL) > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_requests_pass),
		cmocka_unit_test(request_uris_we_cannot_route_are_refused),
		cmocka_unit_test(the_last_hop_ends_here),
		cmocka_unit_test(extensions_asked_of_proxies_are_named),
		cmocka_unit_test(the_order_is_that_of_16_3),
		cmocka_unit_test(a_request_that_has_our_branch_with_its_hash_loops),
		cmocka_unit_test(validation_bears_the_end_of_memory),
	};

	return cmocka_run_group_tests(tests, sip_text_setup, NULL);
}
