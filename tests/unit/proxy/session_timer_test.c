/* Session timers as a proxy may ask for them: RFC 4028 8.1 and 8.2. */
#include "support/peer_world.h"

static int timer_setup(void **state)
{
	int err = world_setup(state);
	struct world *world = *state;

	world->settings.session_expires_s = 1800;
	world->settings.session_minimum_s = 120;
	world_register(world, 1);
	return err;
}

#define timer_test(name) cmocka_unit_test_setup_teardown(name, timer_setup, world_teardown)

/* What the Sprout sees of an INVITE with these lines; its text stays in world->sent[0]. */
static const char *invite(struct world *world, const char *lines)
{
	char all[1024];

	world_forget_sent(world);
	snprintf(all, sizeof(all), "Contact: <sip:user1@192.0.2.1:10001>\r\n%s", lines);
	world_client_request(world, 1, "INVITE", "sip:bob@example.net", "s1", all);
	return world->sent[0].text;
}

static void silence_gets_our_interval(void **state)
{
	const char *text = invite(*state, "");

	assert_string_equal(world_header(text, "Session-Expires"), "1800");
	assert_lacks(text, "Supported"); /* never said in a client's name */
	assert_lacks(text, "Min-SE");
}

static void a_long_interval_is_lowered_and_its_refresher_kept(void **state)
{
	assert_string_equal(world_header(invite(*state, "Session-Expires: 7200;refresher=uas\r\n"),
	                                 "Session-Expires"),
	                    "1800;refresher=uas");
}

static void a_compact_name_is_the_same_header(void **state)
{
	const char *text = invite(*state, "x: 7200\r\n");

	assert_string_equal(world_header(text, "Session-Expires"), "1800");
	assert_lacks(text, "7200");
}

static void an_interval_between_is_left_alone(void **state)
{
	assert_string_equal(world_header(invite(*state, "Session-Expires: 600;refresher=uac\r\n"),
	                                 "Session-Expires"),
	                    "600;refresher=uac");
}

static void it_is_never_lowered_below_min_se(void **state)
{
	const char *text = invite(*state, "Session-Expires: 7200\r\nMin-SE: 3600\r\n");

	assert_string_equal(world_header(text, "Session-Expires"), "3600");
	assert_string_equal(world_header(text, "Min-SE"), "3600");
}

static void an_inserted_one_honours_min_se(void **state)
{
	assert_string_equal(world_header(invite(*state, "Min-SE: 2400\r\n"), "Session-Expires"),
	                    "2400");
}

static void too_short_is_422_for_one_who_knows_timers(void **state)
{
	struct world *world = *state;

	invite(world, "Supported: timer\r\nSession-Expires: 100\r\n");
	assert_int_equal(world->sent_count, 1);
	assert_status(world, 0, "422");
	assert_string_equal(world_header(world->sent[0].text, "Min-SE"), "120");
	assert_int_equal(world->sent[0].hop.side, SIDE_ACCESS);
}

static void too_short_is_raised_for_one_who_does_not(void **state)
{
	const char *text = invite(*state, "Session-Expires: 100;refresher=uas\r\n");

	assert_memory_equal(text, "INVITE ", 7);
	assert_string_equal(world_header(text, "Session-Expires"), "120;refresher=uas");
	assert_string_equal(world_header(text, "Min-SE"), "120");
}

static void a_callee_without_timers_makes_the_caller_refresh(void **state)
{
	struct world *world = *state;

	invite(world, "Supported: timer, 100rel\r\n");
	world_answer(world, 0, "200 OK", "Contact: <sip:bob@127.0.9.9>\r\nRequire: 100rel\r\n");
	assert_status(world, 1, "200");
	assert_string_equal(world_header(world->sent[1].text, "Session-Expires"),
	                    "1800;refresher=uac");
	assert_contains(world->sent[1].text, "\r\nRequire: timer\r\n");
	assert_contains(world->sent[1].text, "\r\nRequire: 100rel\r\n");
	/* So does the 2xx that comes again. */
	world_answer(world, 0, "200 OK", "Contact: <sip:bob@127.0.9.9>\r\n");
	assert_string_equal(world_header(world->sent[2].text, "Session-Expires"),
	                    "1800;refresher=uac");
}

static void a_callees_own_word_stands(void **state)
{
	struct world *world = *state;

	invite(world, "Supported: timer\r\n");
	world_answer(world, 0, "200 OK",
	             "Contact: <sip:bob@127.0.9.9>\r\nRequire: timer\r\n"
	             "Session-Expires: 900;refresher=uas\r\n");
	assert_string_equal(world_header(world->sent[1].text, "Session-Expires"),
	                    "900;refresher=uas");
	assert_int_equal(world_count_lines(world->sent[1].text, "Require"), 1);
}

static void a_caller_without_timers_is_asked_for_nothing(void **state)
{
	struct world *world = *state;

	invite(world, "");
	world_answer(world, 0, "200 OK", "Contact: <sip:bob@127.0.9.9>\r\n");
	assert_lacks(world->sent[1].text, "Session-Expires");
	assert_lacks(world->sent[1].text, "Require");
}

static void only_invite_and_update_have_timers_and_only_2xx_tell(void **state)
{
	struct world *world = *state;

	invite(world, "Supported: timer\r\n");
	world_answer(world, 0, "486 Busy Here", "");
	for (unsigned i = 1; i < world->sent_count; i++)
		if (world->sent[i].hop.side == SIDE_ACCESS)
			assert_lacks(world->sent[i].text, "Session-Expires");
	world_forget_sent(world);
	world_client_request(world, 1, "MESSAGE", "sip:bob@example.net", "m1", "");
	assert_lacks(world->sent[0].text, "Session-Expires");
	/* Toward a client, too. */
	world_forget_sent(world);
	world_core_to_client(world, 1, "INVITE", "d1", "Contact: <sip:far@127.0.9.9>\r\n");
	assert_string_equal(world_header(world->sent[0].text, "Session-Expires"), "1800");
}

static void off_means_untouched(void **state)
{
	struct world *world = *state;
	const char *text;

	world->settings.session_expires_s = 0;
	text = invite(world, "Supported: timer\r\nSession-Expires: 95\r\n");
	assert_string_equal(world_header(text, "Session-Expires"), "95");
}

static void what_is_no_number_is_replaced(void **state)
{
	assert_string_equal(world_header(invite(*state, "Session-Expires: soon\r\n"),
	                                 "Session-Expires"),
	                    "1800");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		timer_test(silence_gets_our_interval),
		timer_test(a_long_interval_is_lowered_and_its_refresher_kept),
		timer_test(a_compact_name_is_the_same_header),
		timer_test(an_interval_between_is_left_alone),
		timer_test(it_is_never_lowered_below_min_se),
		timer_test(an_inserted_one_honours_min_se),
		timer_test(too_short_is_422_for_one_who_knows_timers),
		timer_test(too_short_is_raised_for_one_who_does_not),
		timer_test(a_callee_without_timers_makes_the_caller_refresh),
		timer_test(a_callees_own_word_stands),
		timer_test(a_caller_without_timers_is_asked_for_nothing),
		timer_test(only_invite_and_update_have_timers_and_only_2xx_tell),
		timer_test(off_means_untouched),
		timer_test(what_is_no_number_is_replaced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
