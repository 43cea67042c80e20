/*
 * POST /reload, and the certificates in /status.
 */
#include "stage.h"

static void two_certificates(struct stage *stage)
{
	int64_t now = (int64_t)(clock_wall_ms() / 1000);

	stage->certificates[0] = (struct admin_certificate){"public", "CN=edge.example.net",
	                                                    now + 30 * 86400 + 3600};
	stage->certificates[1] = (struct admin_certificate){"intersite", "CN=bono-1", now - 3600};
	stage->certificate_count = 2;
}

static void a_reload_says_what_is_shown_now(void **state)
{
	struct stage *stage = *state;
	json_t *answer_json, *certificate;

	two_certificates(stage);
	assert_code(ask(stage, "POST", "/reload?what=tls"), 200);
	assert_int_equal(stage->reloads, 1);
	answer_json = json_of(answer);
	assert_true(json_is_true(json_object_get(answer_json, "loaded")));
	assert_int_equal(json_array_size(json_object_get(answer_json, "faults")), 0);
	assert_int_equal(json_array_size(json_object_get(answer_json, "certificates")), 2);
	certificate = json_array_get(json_object_get(answer_json, "certificates"), 0);
	assert_string_equal(json_string_value(json_object_get(certificate, "name")), "public");
	assert_string_equal(json_string_value(json_object_get(certificate, "subject")),
	                    "CN=edge.example.net");
	assert_int_equal(json_integer_value(json_object_get(certificate, "days_left")), 30);
	certificate = json_array_get(json_object_get(answer_json, "certificates"), 1);
	assert_int_equal(json_integer_value(json_object_get(certificate, "days_left")), -1);
	json_decref(answer_json);
}

static void a_refused_reload_says_why(void **state)
{
	struct stage *stage = *state;
	json_t *answer_json;

	two_certificates(stage);
	stage->reload_error = -EINVAL;
	stage->reload_fault = "profile public: edge.pem: expired 2026-01-01";
	assert_code(ask(stage, "POST", "/reload?what=tls"), 200);
	answer_json = json_of(answer);
	assert_true(json_is_false(json_object_get(answer_json, "loaded")));
	assert_string_equal(json_string_value(
				    json_array_get(json_object_get(answer_json, "faults"), 0)),
	                    "profile public: edge.pem: expired 2026-01-01");
	assert_int_equal(json_array_size(json_object_get(answer_json, "certificates")), 2);
	json_decref(answer_json);
}

static void a_failure_without_words_is_told_too(void **state)
{
	struct stage *stage = *state;
	json_t *answer_json;

	stage->reload_error = -ENOMEM;
	assert_code(ask(stage, "POST", "/reload?what=tls"), 200);
	answer_json = json_of(answer);
	assert_true(json_is_false(json_object_get(answer_json, "loaded")));
	assert_int_equal(json_array_size(json_object_get(answer_json, "faults")), 1);
	json_decref(answer_json);
}

static void without_tls_there_is_nothing_to_reload(void **state)
{
	struct stage *stage = *state;

	stage->reload_error = -ENOENT;
	assert_code(ask(stage, "POST", "/reload?what=tls"), 404);
}

static void only_what_is_known_is_reloaded(void **state)
{
	struct stage *stage = *state;

	assert_code(ask(stage, "POST", "/reload"), 400);
	assert_code(ask(stage, "POST", "/reload?what=all"), 400);
	assert_code(ask(stage, "POST", "/reload?what=tls&now=1"), 400);
	assert_code(ask(stage, "GET", "/reload?what=tls"), 405);
	assert_int_equal(stage->reloads, 0);
}

static void status_tells_the_certificates(void **state)
{
	struct stage *stage = *state;
	json_t *status;

	two_certificates(stage);
	assert_code(ask(stage, "GET", "/status"), 200);
	status = json_of(answer);
	assert_int_equal(json_array_size(json_object_get(status, "certificates")), 2);
	json_decref(status);
	stage->certificate_count = 0;
	assert_code(ask(stage, "GET", "/status"), 200);
	status = json_of(answer);
	assert_int_equal(json_array_size(json_object_get(status, "certificates")), 0);
	json_decref(status);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(a_reload_says_what_is_shown_now),
		SCENE(a_refused_reload_says_why),
		SCENE(a_failure_without_words_is_told_too),
		SCENE(without_tls_there_is_nothing_to_reload),
		SCENE(only_what_is_known_is_reloaded),
		SCENE(status_tells_the_certificates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
