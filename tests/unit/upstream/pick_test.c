/* Which target gets an attempt. */
#include "stage.h"

#include "upstream/pick.h"

#define KEYS 20000

static uint64_t key_of(unsigned i)
{
	return (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

/* All targets in the order of attempts, as digits. */
static const char *order(const struct stage_view *stage, uint64_t key)
{
	static char text[8];
	struct pick_tried tried = {.count = 0};
	const struct view_target *target = NULL;
	size_t length = 0;

	while (pick_target(&stage->view, &tried, key, &target) == PICK_NOW) {
		assert_true(length < sizeof(text) - 1);
		assert_false(pick_was_tried(&tried, target->id));
		pick_mark_tried(&tried, target->id);
		text[length++] = (char)('0' + target->id);
	}
	text[length] = '\0';
	return text;
}

/* Only the sites' or states' order is told: digits within a group sorted by the caller's choice of states. */
static void local_site_first_and_better_states_first(void **state)
{
	static const struct {
		const char *states, *expected;
	} cases[] = {
		{"UG ?D", "012"}, {"GU D?", "103"}, {"?G UG", "1023"}, {"DD ?U", "32"},
		{"DU DG", "13"},  {"X? UX", "12"},  {"OO GU", "32"},   {"U? G?", "0123"},
	};
	struct stage_view stage;
	size_t i;

	stage_view_init(&stage);
	for (i = 0; i < ARRAY_LENGTH(cases); i++) {
		stage_view_states(&stage, cases[i].states);
		assert_string_equal(order(&stage, key_of((unsigned)i)), cases[i].expected);
	}
}

static void in_panic_the_least_bad_of_all_sites_and_never_a_drained_one(void **state)
{
	static const struct {
		const char *states, *expected;
	} cases[] = {
		{"DO XX", "10"}, {"DX OX", "20"}, {"XX XX", ""}, {"XX DO", "32"}, {"OX DX", "02"},
	};
	struct stage_view stage;
	size_t i;

	stage_view_init(&stage);
	for (i = 0; i < ARRAY_LENGTH(cases); i++) {
		stage_view_states(&stage, cases[i].states);
		assert_string_equal(order(&stage, key_of((unsigned)i)), cases[i].expected);
	}
}

static void all_usable_ones_tried_is_never_even_if_worse_ones_remain(void **state)
{
	struct stage_view stage;
	struct pick_tried tried = {.ids = {1}, .count = 1};
	const struct view_target *target = NULL;

	stage_view_init(&stage);
	stage_view_states(&stage, "DU OD");
	assert_int_equal(pick_target(&stage.view, &tried, 1, &target), PICK_NEVER);
	assert_null(target);
}

static void one_user_keeps_one_target(void **state)
{
	struct pick_tried none = {.count = 0};
	const struct view_target *first, *again;
	struct stage_view stage;
	unsigned i;

	stage_view_init(&stage);
	stage_view_states(&stage, "UU UU");
	for (i = 0; i < 100; i++) {
		assert_int_equal(pick_target(&stage.view, &none, key_of(i), &first), PICK_NOW);
		assert_int_equal(pick_target(&stage.view, &none, key_of(i), &again), PICK_NOW);
		assert_ptr_equal(first, again);
	}
}

static void count_picks(const struct stage_view *stage, unsigned counts[4])
{
	struct pick_tried none = {.count = 0};
	const struct view_target *target;
	unsigned i;

	memset(counts, 0, 4 * sizeof(*counts));
	for (i = 0; i < KEYS; i++) {
		assert_int_equal(pick_target(&stage->view, &none, key_of(i), &target), PICK_NOW);
		counts[target->id]++;
	}
}

static void users_are_spread_by_weight(void **state)
{
	struct stage_view stage;
	unsigned counts[4];

	stage_view_init(&stage);
	stage_view_states(&stage, "UU UU");
	count_picks(&stage, counts);
	assert_in_range(counts[0], KEYS * 48 / 100, KEYS * 52 / 100);
	assert_int_equal(counts[0] + counts[1], KEYS);
	stage.targets[1].weight = 3;
	count_picks(&stage, counts);
	assert_in_range(counts[1], KEYS * 73 / 100, KEYS * 77 / 100);
	stage.targets[1].weight = 1000;
	count_picks(&stage, counts);
	assert_in_range(counts[0], 1, KEYS / 200);
}

static void a_target_that_goes_moves_only_its_own_users(void **state)
{
	struct pick_tried none = {.count = 0};
	const struct view_target *before, *after;
	struct stage_view stage;
	unsigned i, moved[4] = {0};

	stage_view_init(&stage);
	/* One site of four. */
	stage.sites[0].count = 4;
	stage.view.site_count = 1;
	stage.view.serving = 0;
	for (i = 0; i < KEYS; i++) {
		stage.targets[2].state = TARGET_UP;
		assert_int_equal(pick_target(&stage.view, &none, key_of(i), &before), PICK_NOW);
		stage.targets[2].state = TARGET_DOWN;
		assert_int_equal(pick_target(&stage.view, &none, key_of(i), &after), PICK_NOW);
		if (before->id != 2)
			assert_ptr_equal(before, after);
		else
			moved[after->id]++;
	}
	/* And they are spread over all that remain. */
	assert_int_equal(moved[2], 0);
	assert_in_range(moved[0] + moved[1] + moved[3], KEYS * 23 / 100, KEYS * 27 / 100);
	for (i = 0; i < 4; i++) {
		if (i != 2)
			assert_in_range(moved[i], KEYS * 6 / 100, KEYS * 11 / 100);
	}
}

static void the_preferred_target_comes_first_if_usable_and_untried(void **state)
{
	struct pick_tried tried = {.count = 0};
	const struct view_target *target;
	struct stage_view stage;

	stage_view_init(&stage);
	stage_view_states(&stage, "UD U?");
	assert_int_equal(pick_target_preferring(&stage.view, &tried, 1, &stage.targets[3], &target),
	                 PICK_NOW);
	assert_int_equal(target->id, 3);
	pick_mark_tried(&tried, 3);
	assert_int_equal(pick_target_preferring(&stage.view, &tried, 1, &stage.targets[3], &target),
	                 PICK_NOW);
	assert_int_equal(target->id, 0);
	tried.count = 0;
	assert_int_equal(pick_target_preferring(&stage.view, &tried, 1, &stage.targets[1], &target),
	                 PICK_NOW);
	assert_int_equal(target->id, 0); /* DOWN: not even by wish */
	assert_int_equal(pick_target_preferring(&stage.view, &tried, 1, NULL, &target), PICK_NOW);
	assert_int_equal(target->id, 0);
}

static void a_full_list_of_the_tried_ends_the_trying(void **state)
{
	struct pick_tried tried = {.count = 0};
	const struct view_target *target;
	struct stage_view stage;
	unsigned i;

	stage_view_init(&stage);
	stage_view_states(&stage, "UU UU");
	pick_mark_tried(&tried, 100);
	pick_mark_tried(&tried, 100);
	assert_int_equal(tried.count, 1);
	for (i = 0; i < 2 * PICK_TRIED_MAX; i++)
		pick_mark_tried(&tried, 100 + i);
	assert_int_equal(tried.count, PICK_TRIED_MAX);
	assert_int_equal(pick_target(&stage.view, &tried, 1, &target), PICK_NEVER);
	assert_int_equal(pick_target_preferring(&stage.view, &tried, 1, &stage.targets[0], &target),
	                 PICK_NEVER);
}

static void without_sites_nothing_is_picked(void **state)
{
	struct view view = {.serving = -1};
	struct pick_tried none = {.count = 0};
	const struct view_target *target;

	assert_int_equal(pick_target(&view, &none, 1, &target), PICK_NEVER);
}

/* ---- shares ---- */

static unsigned users_of_site(const struct stage_view *stage, unsigned site)
{
	unsigned mine = 0;
	uint64_t user;

	for (user = 0; user < 10000; user++)
		mine += pick_site(&stage->view, user * 104729) == (int)site;
	return mine;
}

static void users_go_to_sites_by_their_shares(void **state)
{
	struct stage_view stage;

	stage_view_init(&stage);
	stage_view_states(&stage, "UU UU");
	stage.sites[0].share = 700;
	stage.sites[1].share = 300;
	assert_in_range(users_of_site(&stage, 0), 6800, 7200);
	assert_in_range(users_of_site(&stage, 1), 2800, 3200);
}

static void along_a_ramp_each_user_moves_once(void **state)
{
	struct stage_view stage;
	unsigned share, moves;
	uint64_t user;
	int before;

	stage_view_init(&stage);
	stage_view_states(&stage, "UU UU");
	for (user = 0; user < 500; user++) {
		moves = 0;
		before = 1;
		for (share = 0; share <= 1000; share += 10) {
			int site;

			stage.sites[0].share = share;
			stage.sites[1].share = 1000 - share;
			site = pick_site(&stage.view, user * 104729);
			moves += site != before;
			before = site;
		}
		assert_int_equal(moves, 1);
		assert_int_equal(before, 0);
	}
}

static void the_next_attempt_goes_on_in_the_order_of_preference(void **state)
{
	struct pick_tried tried = {.count = 0};
	const struct view_target *target;
	struct stage_view stage;

	stage_view_init(&stage);
	stage_view_states(&stage, "UU UU");
	stage.sites[1].share = 1000; /* the local one is held down */
	assert_int_equal(pick_target(&stage.view, &tried, 1, &target), PICK_NOW);
	assert_int_equal(target->site, 1);
	pick_mark_tried(&tried, 2);
	pick_mark_tried(&tried, 3);
	assert_int_equal(pick_target(&stage.view, &tried, 1, &target), PICK_NOW);
	assert_int_equal(target->site, 0);
	assert_int_equal(pick_target_in_site(&stage.view, &tried, 1, 1, &target), PICK_NEVER);
	assert_int_equal(pick_target_in_site(&stage.view, &tried, 1, 7, &target), PICK_NEVER);
	assert_int_equal(pick_target_outside(&stage.view, &tried, 1, 0, &target), PICK_NEVER);
	assert_int_equal(pick_target_outside(&stage.view, &tried, 1, 1, &target), PICK_NOW);
	assert_int_equal(target->site, 0);
}

static void a_degraded_target_keeps_its_small_share_and_no_second_attempt_prefers_it(void **state)
{
	struct pick_tried tried = {.count = 0};
	const struct view_target *target;
	struct stage_view stage;
	unsigned mine = 0, named = 0, again = 0;
	uint64_t user;

	stage_view_init(&stage);
	stage_view_states(&stage, "GU UU");
	stage.sites[0].share = 1000;
	for (user = 0; user < 10000; user++) {
		pick_target(&stage.view, &tried, user * 104729, &target);
		mine += target->id == 0;
		pick_target_preferring(&stage.view, &tried, user * 104729, &stage.targets[0],
		                       &target);
		named += target->id == 0;
	}
	assert_in_range(mine, 100, 300);
	assert_in_range(named, 200, 600);
	pick_target_of_dialog(&stage.view, &tried, 1, &stage.targets[0], &target);
	assert_int_equal(target->id, 0);
	pick_mark_tried(&tried, 2);
	for (user = 0; user < 10000; user++) {
		pick_target(&stage.view, &tried, user * 104729, &target);
		again += target->id == 0;
	}
	assert_int_equal(again, 0);
}

static void the_next_priority_only_when_none_of_the_first_is_left(void **state)
{
	struct pick_tried tried = {.count = 0};
	const struct view_target *target;
	struct stage_view stage;
	uint64_t user;

	stage_view_init(&stage);
	stage_view_states(&stage, "UU DD");
	stage.targets[0].priority = 1;
	for (user = 0; user < 100; user++) {
		assert_int_equal(pick_target(&stage.view, &tried, user, &target), PICK_NOW);
		assert_int_equal(target->id, 1);
	}
	pick_mark_tried(&tried, 1);
	assert_int_equal(pick_target(&stage.view, &tried, 1, &target), PICK_NOW);
	assert_int_equal(target->id, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(local_site_first_and_better_states_first),
		cmocka_unit_test(in_panic_the_least_bad_of_all_sites_and_never_a_drained_one),
		cmocka_unit_test(all_usable_ones_tried_is_never_even_if_worse_ones_remain),
		cmocka_unit_test(one_user_keeps_one_target),
		cmocka_unit_test(users_are_spread_by_weight),
		cmocka_unit_test(a_target_that_goes_moves_only_its_own_users),
		cmocka_unit_test(the_preferred_target_comes_first_if_usable_and_untried),
		cmocka_unit_test(a_full_list_of_the_tried_ends_the_trying),
		cmocka_unit_test(without_sites_nothing_is_picked),
		cmocka_unit_test(users_go_to_sites_by_their_shares),
		cmocka_unit_test(along_a_ramp_each_user_moves_once),
		cmocka_unit_test(the_next_attempt_goes_on_in_the_order_of_preference),
		cmocka_unit_test(
			a_degraded_target_keeps_its_small_share_and_no_second_attempt_prefers_it),
		cmocka_unit_test(the_next_priority_only_when_none_of_the_first_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
