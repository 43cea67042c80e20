/*
 * metrics/ spells the values of labels that layers above it own. Here both are in sight.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "flow/flow.h"
#include "metrics/metrics.h"
#include "sip/framer.h"
#include "sip/guard.h"
#include "sip/message.h"
#include "sip/via.h"
#include "transport/transport.h"
#include "upstream/health.h"
#include "upstream/view.h"

#define assert_same(label, count, name)                                                            \
	do {                                                                                       \
		assert_int_equal(metrics_label_size(label), count);                                \
		for (unsigned i = 0; i < (count); i++)                                             \
			assert_string_equal(metrics_label_value(label, i), name(i));               \
		assert_null(metrics_label_value(label, count));                                    \
	} while (0)

static void labels_of_sip_are_those_of_sip(void **state)
{
	assert_same(LABEL_METHOD, METHODS, method_name);
	assert_same(LABEL_TRANSPORT, TRANSPORTS, transport_name);
}

static void labels_of_transport_are_those_of_transport(void **state)
{
	assert_same(LABEL_SIDE, SIDES, side_name);
	assert_same(LABEL_CLOSE_REASON, CLOSE_REASONS, close_reason_name);
}

static void labels_of_flow_are_those_of_flow(void **state)
{
	assert_same(LABEL_FLOW_CLOSE, FLOW_CLOSES, flow_close_name);
}

static void labels_of_upstream_are_those_of_upstream(void **state)
{
	assert_same(LABEL_TARGET_STATE, TARGET_STATES, target_state_name);
	assert_same(LABEL_TARGET_STATE_TO, TARGET_STATES, target_state_name);
	assert_same(LABEL_HEALTH_REASON, HEALTH_REASONS, health_reason_name);
	assert_true(VIEW_TARGETS_MAX <= METRICS_TARGETS_MAX);
}

static void parse_errors_are_the_verdicts_and_the_faults(void **state)
{
	for (unsigned v = GUARD_PASS + 1; v < GUARD_VERDICTS; v++)
		assert_string_equal(metrics_label_value(LABEL_PARSE_ERROR_REASON,
		                                        metrics_guard_reason(v)),
		                    guard_verdict_name(v));
	for (unsigned f = MESSAGE_UNPARSABLE; f < MESSAGE_FAULTS; f++)
		assert_string_equal(metrics_label_value(LABEL_PARSE_ERROR_REASON,
		                                        metrics_fault_reason(f)),
		                    message_fault_name(f));
	assert_int_equal(metrics_guard_reason(GUARD_VERDICTS), PARSE_ERROR_UNPARSABLE);
	assert_int_equal(metrics_fault_reason(MESSAGE_FAULTS), PARSE_ERROR_FRAME_TOO_LONG);
	assert_int_equal(metrics_framer_reason(FRAMER_TOO_LONG), PARSE_ERROR_FRAME_TOO_LONG);
	assert_int_equal(metrics_framer_reason(FRAMER_BAD_BYTES), PARSE_ERROR_FRAME_BAD_BYTES);
}

static void a_status_has_the_class_of_its_hundreds(void **state)
{
	assert_string_equal(metrics_label_value(LABEL_CODE_CLASS, metrics_code_class(100)), "1xx");
	assert_string_equal(metrics_label_value(LABEL_CODE_CLASS, metrics_code_class(699)), "6xx");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels_of_sip_are_those_of_sip),
		cmocka_unit_test(labels_of_transport_are_those_of_transport),
		cmocka_unit_test(labels_of_flow_are_those_of_flow),
		cmocka_unit_test(labels_of_upstream_are_those_of_upstream),
		cmocka_unit_test(parse_errors_are_the_verdicts_and_the_faults),
		cmocka_unit_test(a_status_has_the_class_of_its_hundreds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
