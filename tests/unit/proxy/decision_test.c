/* What is told of a request that needed more than one attempt, or was lost. */
#include "support/proxy_world.h"

#define WELL "Contact: <sip:user1@192.0.2.1:10001>;expires=60\r\n"

static void lose(struct world *world, unsigned index, int error)
{
	struct hop hop = world->sent[index].hop;

	txn_table_hop_lost(world->txns, &hop, error);
	world_walk(world, 1);
}

/* "site-a/sprout-2" of the index-th packet that was sent. */
static const char *name_of(const struct world *world, unsigned index)
{
	int id = world_target_of(&world->sent[index].hop.remote);
	const struct view_target *target = view_find_id(proxy_view(world->proxy), (uint32_t)id);
	static char names[8][64];
	static unsigned next;
	char *name = names[next++ % ARRAY_LENGTH(names)];

	assert_true(id >= 0);
	snprintf(name, sizeof(names[0]), "%s/%s",
	         proxy_view(world->proxy)->sites[target->site].name, target->name);
	return name;
}

static void assert_told(const struct world *world, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void assert_told(const struct world *world, const char *format, ...)
{
	char expected[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(expected, sizeof(expected), format, arguments);
	va_end(arguments);
	assert_int_equal(world->decided_count, 1);
	assert_string_equal(world->decided[0].text, expected);
}

static void nothing_is_told_of_a_request_that_is_answered_at_once(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "");
	world_answer(world, 0, "200 OK", WELL);
	world_client_register_over(world, 1, "r2", "");
	world_answer(world, 2, "500 Server Internal Error", "");
	assert_int_equal(world->decided_count, 0);
}

static void each_attempt_is_told_with_its_time(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "");
	world_walk(world, 6);
	lose(world, 0, ECONNREFUSED);
	world_walk(world, 500);
	world_walk(world, 12);
	world_answer(world, 2, "200 OK", WELL);
	assert_told(world,
	            "request r1: REGISTER: %s refused after 6 ms, %s silent after 500 ms, "
	            "%s answered 200 after 13 ms",
	            name_of(world, 0), name_of(world, 1), name_of(world, 2));
	assert_false(world->decided[0].lost);
}

static void overload_is_an_answer_that_was_not_taken(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "");
	world_answer(world, 0, "503 Service Unavailable", "Retry-After: 7\r\n");
	lose(world, 1, ECONNRESET);
	world_answer(world, 2, "401 Unauthorized", "");
	assert_told(
		world,
		"request r1: REGISTER: %s answered 503 after 0 ms, %s broke the connection after "
		"0 ms, %s answered 401 after 1 ms",
		name_of(world, 0), name_of(world, 1), name_of(world, 2));
}

static void late_answer_of_one_given_up_is_told_with_the_one_still_asked(void **state)
{
	struct world *world = *state;

	world_client_register_over(world, 1, "r1", "");
	world_walk(world, 501);
	world_answer(world, 0, "200 OK", WELL);
	assert_int_equal(world->decided_count, 1);
	assert_contains(world->decided[0].text, "silent after 500 ms, ");
	assert_contains(world->decided[0].text, "answered 200 after 501 ms");
	assert_contains(world->decided[0].text, "not yet answered after 1 ms");
}

static void target_that_cannot_be_reached_is_told_too(void **state)
{
	struct world *world = *state;

	world->open_error[0] = world->open_error[1] = -ENETUNREACH;
	world_client_register_over(world, 1, "r1", "");
	world_answer(world, 0, "200 OK", WELL);
	assert_int_equal(world->decided_count, 1);
	assert_contains(world->decided[0].text, "site-a/sprout-1 refused after 0 ms");
	assert_contains(world->decided[0].text, "site-a/sprout-2 refused after 0 ms");
}

static void lost_request_is_told_even_after_no_attempt(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < WORLD_TARGETS; i++)
		world->open_error[i] = -ECONNREFUSED;
	world_client_register_over(world, 1, "r1", "");
	assert_int_equal(world->decided_count, 1);
	assert_true(world->decided[0].lost);
	assert_int_equal(world->decided[0].status, 503);
	assert_contains(world->decided[0].text, "; the client got 503 after 0 ms, lost");
}

static void phone_that_is_silent_is_told_of(void **state)
{
	struct world *world = *state;

	world_register(world, 1);
	world_forget_sent(world);
	world_core_to_client(world, 1, "MESSAGE", "m1", "");
	world_walk(world, 33000);
	assert_int_equal(world->decided_count, 1);
	assert_true(world->decided[0].lost);
	assert_contains(world->decided[0].text, "its hop timed out after ");
}

static void long_call_id_leaves_room_for_the_rest(void **state)
{
	struct world *world = *state;
	char call_id[600];

	memset(call_id, 'c', sizeof(call_id) - 1);
	call_id[sizeof(call_id) - 1] = '\0';
	world_client_register_over(world, 1, call_id, "");
	lose(world, 0, ECONNREFUSED);
	world_answer(world, 1, "200 OK", WELL);
	assert_int_equal(world->decided_count, 1);
	assert_contains(world->decided[0].text, "answered 200");
}

static void fail_over(void *arg)
{
	struct world *world = calloc(1, sizeof(*world));

	world_init(world, TRANSPORT_TCP);
	if (world_build(world) == 0) {
		world_set_states(world, TARGET_UP, TARGET_UP, TARGET_UP, TARGET_UP);
		world_client_register_over(world, 1, "r1", "");
		for (unsigned i = 0; i < world->sent_count && i < 3; i++)
			if (world_target_of(&world->sent[i].hop.remote) >= 0)
				lose(world, i, ECONNREFUSED);
		world_walk(world, 70000);
		assert_int_equal(proxy_busy(world->proxy), 0);
		if (!alloc_fail_happened())
			assert_contains(world->decided[0].text, "refused after");
	}
	world_free(world);
	free(world);
}

static void memory_that_ends_is_survived(void **state)
{
	world_bears_the_end_of_memory(state, fail_over, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		world_test(nothing_is_told_of_a_request_that_is_answered_at_once),
		world_test(each_attempt_is_told_with_its_time),
		world_test(overload_is_an_answer_that_was_not_taken),
		world_test(late_answer_of_one_given_up_is_told_with_the_one_still_asked),
		world_test(target_that_cannot_be_reached_is_told_too),
		world_test(lost_request_is_told_even_after_no_attempt),
		world_test(phone_that_is_silent_is_told_of),
		world_test(long_call_id_leaves_room_for_the_rest),
		cmocka_unit_test(memory_that_ends_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
