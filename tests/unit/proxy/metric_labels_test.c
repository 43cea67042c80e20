/* Metrics spell the values of their labels again, since they lie below the layers whose enumerations these are:
 * here both are seen, and compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow/flow.h"
#include "metrics/metrics.h"
#include "sip/framer.h"
#include "sip/guard.h"
#include "sip/message.h"
#include "transport/stun.h"
#include "transport/transport.h"
#include "upstream/health.h"

#define DEFINE_COMPARE(label, name_of, type, count)                                                \
	static void label##_values_are_the_names(void **state)                                     \
	{                                                                                          \
		assert_int_equal(metrics_label_size(LABEL_##label), count);                        \
		for (unsigned i = 0; i < (unsigned)(count); i++)                                   \
			assert_string_equal(metrics_label_value(LABEL_##label, i),                 \
			                    name_of((type)i));                                     \
	}

DEFINE_COMPARE(METHOD, method_name, enum sip_method, METHODS)
DEFINE_COMPARE(TRANSPORT, transport_name, enum sip_transport, TRANSPORTS)
DEFINE_COMPARE(SIDE, side_name, enum side, SIDES)
DEFINE_COMPARE(CLOSE_REASON, close_reason_name, enum close_reason, CLOSE_REASONS)
DEFINE_COMPARE(FLOW_CLOSE, flow_close_name, enum flow_close, FLOW_CLOSES)
DEFINE_COMPARE(STUN_RESULT, stun_result_name, enum stun_result, STUN_RESULTS)
DEFINE_COMPARE(HEALTH_REASON, health_reason_name, enum health_reason, HEALTH_REASONS)
DEFINE_COMPARE(TARGET_STATE, target_state_name, enum target_state, TARGET_STATES)
DEFINE_COMPARE(TARGET_STATE_TO, target_state_name, enum target_state, TARGET_STATES)

static const char *parse_error(unsigned reason)
{
	const char *value = metrics_label_value(LABEL_PARSE_ERROR_REASON, reason);

	assert_non_null(value);
	return value;
}

static void the_guards_verdicts_are_reasons_of_parse_errors(void **state)
{
	for (unsigned i = GUARD_PASS + 1; i < GUARD_VERDICTS; i++)
		assert_string_equal(parse_error(metrics_guard_reason(i)),
		                    guard_verdict_name((enum guard_verdict)i));
}

static void the_faults_of_messages_are_reasons_of_parse_errors(void **state)
{
	for (unsigned i = MESSAGE_GUARDED + 1; i < MESSAGE_FAULTS; i++)
		assert_string_equal(parse_error(metrics_fault_reason(i)),
		                    message_fault_name((enum message_fault)i));
}

static void the_classes_of_codes_are_their_first_digits(void **state)
{
	for (int status = 100; status < 700; status += 100)
		assert_int_equal(metrics_label_value(LABEL_CODE_CLASS,
		                                     metrics_code_class(status))[0],
		                 '0' + status / 100);
}

static void targets_have_room_for_every_id_of_a_view(void **state)
{
	assert_int_equal(METRICS_TARGETS_MAX, VIEW_TARGETS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(METHOD_values_are_the_names),
		cmocka_unit_test(TRANSPORT_values_are_the_names),
		cmocka_unit_test(SIDE_values_are_the_names),
		cmocka_unit_test(CLOSE_REASON_values_are_the_names),
		cmocka_unit_test(FLOW_CLOSE_values_are_the_names),
		cmocka_unit_test(STUN_RESULT_values_are_the_names),
		cmocka_unit_test(HEALTH_REASON_values_are_the_names),
		cmocka_unit_test(TARGET_STATE_values_are_the_names),
		cmocka_unit_test(TARGET_STATE_TO_values_are_the_names),
		cmocka_unit_test(the_guards_verdicts_are_reasons_of_parse_errors),
		cmocka_unit_test(the_faults_of_messages_are_reasons_of_parse_errors),
		cmocka_unit_test(the_classes_of_codes_are_their_first_digits),
		cmocka_unit_test(targets_have_room_for_every_id_of_a_view),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
