/*
 * TLS on a stream, seen from a client: handshakes good and bad, records, the end, the budget.
 */
#include "tls_stage.h"

static void client_that_trusts_us_is_heard_and_answered(void **state)
{
	struct tls_scene *scene = *state;
	struct stage *stage = scene->stage;
	struct tls_peer peer = client_begin(scene, ACCESS_TLS, "edge.example.net", NULL);

	stage->answer = ANSWER_TEXT;
	assert_true(peer_shakes(scene, &peer));
	peer_says(&peer, MESSAGE_TEXT);
	stage_until(stage, stage->packet_count == 1);
	assert_string_equal(stage->packets[0].text, MESSAGE_TEXT);
	assert_int_equal(stage->packets[0].hop.transport, TRANSPORT_TLS);
	stage_until(stage, strcmp(peer_hears(&peer), ANSWER_TEXT) == 0);
	assert_int_equal(results(scene, SIDE_ACCESS, TLS_RESULT_OK), 1);
	assert_int_equal(transport_connection_count(stage->transport, SIDE_ACCESS, TRANSPORT_TLS),
	                 1);
	peer_end(&peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		tls_test(client_that_trusts_us_is_heard_and_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
