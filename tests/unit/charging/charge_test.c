/* Billing records as JSON: what Ralf and Diameter want to find in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "charging/charge.h"
#include "support/alloc_fail.h"

static const char *const ccf[] = {"ccf1.example.net", "ccf2.example.net"};
static const struct charge_settings settings = {.node = "bono-1",
                                                .ioi = "example.net",
                                                .ccf = ccf,
                                                .ccf_count = 2};

static struct charge invite(void)
{
	return (struct charge){
		.type = CHARGE_START,
		.status = 200,
		.request_wall_ms = 1700000000123,
		.response_wall_ms = 1700000004567,
		.method = SLICE_LITERAL("INVITE"),
		.call_id = SLICE_LITERAL("a84b/4c@198.51.100.7"),
		.icid = SLICE_LITERAL("a84b/4c198.51.100.7"),
		.from = SLICE_LITERAL("sip:alice@example.net"),
		.to = SLICE_LITERAL("sip:bob@example.net"),
		.request_uri = SLICE_LITERAL("tel:+15551234"),
		.user = SLICE_LITERAL("sip:alice@example.net"),
		.expires = -1,
	};
}

static json_t *written(const struct charge *charge, char path[128])
{
	struct buffer out;
	json_t *record;
	size_t cut;

	buffer_init(&out);
	assert_int_equal(charge_write(charge, &settings, &out), 0);
	cut = (size_t)slice_index(buffer_slice(&out), ' ');
	assert_in_range(cut, 1, 127);
	memcpy(path, out.data, cut);
	path[cut] = '\0';
	record = json_loadb(out.data + cut + 1, out.length - cut - 1, 0, NULL);
	assert_non_null(record);
	buffer_free(&out);
	return record;
}

static json_t *ims_of(json_t *record)
{
	json_t *event = json_object_get(record, "event");

	return json_object_get(json_object_get(event, "Service-Information"), "IMS-Information");
}

static json_int_t integer_of(json_t *object, const char *key)
{
	assert_true(json_is_integer(json_object_get(object, key)));
	return json_integer_value(json_object_get(object, key));
}

static void the_start_of_a_call_names_who_collects_and_who_calls(void **state)
{
	struct charge charge = invite();
	char path[128];
	json_t *record = written(&charge, path), *ims = ims_of(record), *list;

	assert_string_equal(path, "a84b%2F4c%40198.51.100.7");
	list = json_object_get(json_object_get(record, "peers"), "ccf");
	assert_string_equal(json_string_value(json_array_get(list, 1)), "ccf2.example.net");
	assert_int_equal(integer_of(json_object_get(record, "event"), "Accounting-Record-Type"), 2);
	assert_int_equal(integer_of(ims, "Role-Of-Node"), 0);
	assert_string_equal(json_string_value(json_object_get(ims, "User-Session-Id")),
	                    "a84b/4c@198.51.100.7");
	list = json_object_get(ims, "Time-Stamps");
	assert_int_equal(integer_of(list, "SIP-Request-Timestamp"), 1700000000);
	assert_int_equal(integer_of(list, "SIP-Request-Timestamp-Fraction"), 123);
	assert_int_equal(integer_of(list, "SIP-Response-Timestamp"), 1700000004);
	assert_null(json_object_get(ims, "Cause-Code"));
	json_decref(record);
}

static void what_goes_on_goes_where_it_began(void **state)
{
	struct charge charge = invite();
	char path[128];
	json_t *record;

	charge.type = CHARGE_INTERIM;
	record = written(&charge, path);
	assert_null(json_object_get(record, "peers"));
	json_decref(record);
	charge.type = CHARGE_STOP;
	record = written(&charge, path);
	assert_null(json_object_get(record, "peers"));
	assert_int_equal(integer_of(ims_of(record), "Cause-Code"), 0);
	json_decref(record);
}

static void the_cause_tells_success_from_failure(void **state)
{
	static const struct {
		const char *method;
		int status;
		int64_t expires;
		json_int_t cause;
	} cases[] = {
		{"MESSAGE", 200, -1, -1},   {"MESSAGE", 202, -1, -202}, {"INVITE", 486, -1, 486},
		{"INVITE", 302, -1, -302},  {"SUBSCRIBE", 200, 0, -2},  {"PUBLISH", 200, 0, -3},
		{"REGISTER", 200, 600, -1},
	};
	char path[128];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct charge charge = invite();
		json_t *record;

		charge.type = CHARGE_EVENT;
		charge.method = slice_from_string(cases[i].method);
		charge.status = cases[i].status;
		charge.expires = cases[i].expires;
		record = written(&charge, path);
		assert_int_equal(integer_of(ims_of(record), "Cause-Code"), cases[i].cause);
		json_decref(record);
	}
}

static void bytes_that_are_no_text_do_not_spoil_the_record(void **state)
{
	struct charge charge = invite();
	char path[128];
	json_t *record;

	charge.from = SLICE_LITERAL("sip:\xff\xfe@example.net");
	charge.call_id = SLICE_LITERAL("\"\\\x80");
	record = written(&charge, path);
	assert_string_equal(path, "%22%5C%80");
	json_decref(record);
}

static void a_long_call_id_makes_no_long_path(void **state)
{
	struct charge charge = invite();
	static char call_id[8000];
	struct buffer out;

	memset(call_id, '%', sizeof(call_id));
	charge.call_id = slice_of(call_id, sizeof(call_id));
	buffer_init(&out);
	assert_int_equal(charge_write(&charge, &settings, &out), 0);
	assert_int_equal(slice_index(buffer_slice(&out), ' '), 3 * 256);
	assert_true(out.length > sizeof(call_id)); /* which is whole in the record */
	buffer_free(&out);
}

static void write_one(void *arg)
{
	struct buffer out;

	buffer_init(&out);
	(void)charge_write(arg, &settings, &out);
	buffer_free(&out);
}

static void every_allocation_may_fail(void **state)
{
	struct charge charge = invite();

	assert_true(alloc_fail_each(write_one, &charge) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_start_of_a_call_names_who_collects_and_who_calls),
		cmocka_unit_test(what_goes_on_goes_where_it_began),
		cmocka_unit_test(the_cause_tells_success_from_failure),
		cmocka_unit_test(bytes_that_are_no_text_do_not_spoil_the_record),
		cmocka_unit_test(a_long_call_id_makes_no_long_path),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
