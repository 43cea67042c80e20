/* The view: a deep copy, and what it finds. */
#include "stage.h"

static void a_view_owns_all_it_shows(void **state)
{
	struct stage_view stage;
	char name[] = "sprout-x", site[] = "site-x";
	struct view *view;

	stage_view_init(&stage);
	stage.targets[1].name = name;
	stage.sites[1].name = site;
	stage.view.version = 7;
	assert_int_equal(view_create(&stage.view, &view), 0);
	memset(name, '!', sizeof(name) - 1);
	memset(site, '!', sizeof(site) - 1);
	memset(stage.targets, 0, sizeof(stage.targets));
	assert_string_equal(view->targets[1].name, "sprout-x");
	assert_string_equal(view->sites[1].name, "site-x");
	assert_string_equal(view->sites[1].advertise, "b.example.net:5058");
	assert_null(view->sites[0].advertise);
	assert_string_equal(view->targets[2].uri, "sip:10.0.1.1:5054");
	assert_int_equal(view->version, 7);
	snapshot_share(&view->snapshot);
	snapshot_release(&view->snapshot);
	assert_string_equal(view->targets[3].name, "sprout-2");
	snapshot_release(&view->snapshot);
}

static void the_first_usable_site_serves(void **state)
{
	static const struct {
		const char *states;
		int serving;
	} cases[] = {
		{"UU UU", 0}, {"D? UU", 0}, {"DO UU", 1}, {"XX DG", 1}, {"DD OX", -1},
	};
	struct stage_view stage;
	struct view *view;
	size_t i;

	for (i = 0; i < ARRAY_LENGTH(cases); i++) {
		stage_view_init(&stage);
		stage_view_states(&stage, cases[i].states);
		stage.view.serving = 55;
		assert_int_equal(view_create(&stage.view, &view), 0);
		assert_int_equal(view->serving, cases[i].serving);
		assert_int_equal(view->sites[0].usable, cases[i].serving == 0);
		snapshot_release(&view->snapshot);
	}
}

static void targets_are_found_by_id_and_address(void **state)
{
	struct stage_view stage;
	struct address address;

	stage_view_init(&stage);
	assert_ptr_equal(view_find_id(&stage.view, 3), &stage.targets[3]);
	assert_null(view_find_id(&stage.view, 4));
	stage.targets[0].id = 900; /* ids need not be indices */
	assert_ptr_equal(view_find_id(&stage.view, 900), &stage.targets[0]);
	assert_null(view_find_id(&stage.view, 0));
	assert_true(address_parse(SLICE_LITERAL("10.0.0.2:5054"), &address));
	assert_ptr_equal(view_find_address(&stage.view, &address, TRANSPORT_TCP),
	                 &stage.targets[1]);
	assert_null(view_find_address(&stage.view, &address, TRANSPORT_UDP));
	address_set_port(&address, 5055);
	assert_null(view_find_address(&stage.view, &address, TRANSPORT_TCP));
}

static void targets_are_found_by_what_a_route_says(void **state)
{
	static const struct {
		const char *uri;
		int expected; /* index, -1: none */
	} cases[] = {
		{"sip:10.0.0.1:5054;transport=tcp;lr;orig", 0},
		{"sip:orig@10.0.0.1:5054;transport=TCP;lr", 0},
		{"sip:10.0.0.1:5054;lr", 0}, /* the port tells: no other target has it */
		{"sip:10.0.0.1:5054;transport=udp", -1},
		{"sip:10.0.0.1;transport=tcp", -1},
		{"sip:10.0.1.1:5054", 2},
		{"sip:10.0.1.1:5054;transport=udp", 2},
		{"sip:10.0.1.2", 3},
		{"sip:10.0.1.2:5060;lr", 3},
		{"sip:sprout-2.SITE-B.example.net;lr", 3},
		{"sip:sprout-2.site-b.example.net:5061;lr", -1},
		{"sip:sprout-2.site-b.example.net;transport=tcp", -1},
		{"sip:10.0.0.1:5054;transport=pigeon", -1},
		{"sips:10.0.0.1:5054", -1},
		{"sip:scscf.elsewhere.net;lr", -1},
		{"tel:+15551234", -1},
	};
	const struct view_target *expected;
	struct stage_view stage;
	struct uri uri;
	size_t i;

	stage_view_init(&stage);
	for (i = 0; i < ARRAY_LENGTH(cases); i++) {
		assert_true(uri_parse(slice_from_string(cases[i].uri), &uri));
		expected = cases[i].expected < 0 ? NULL : &stage.targets[cases[i].expected];
		if (view_find_uri(&stage.view, &uri) != expected)
			fail_msg("%s finds another than %d", cases[i].uri, cases[i].expected);
	}
}

static void of_one_address_with_two_transports_udp_is_meant_unless_said(void **state)
{
	struct stage_view stage;
	struct uri uri;

	stage_view_init(&stage);
	stage.targets[3] = stage.targets[0];
	stage.targets[3].transport = TRANSPORT_UDP;
	assert_true(uri_parse(SLICE_LITERAL("sip:10.0.0.1:5054"), &uri));
	assert_ptr_equal(view_find_uri(&stage.view, &uri), &stage.targets[3]);
	assert_true(uri_parse(SLICE_LITERAL("sip:10.0.0.1:5054;transport=tcp"), &uri));
	assert_ptr_equal(view_find_uri(&stage.view, &uri), &stage.targets[0]);
	stage.targets[3].transport = TRANSPORT_TLS; /* two, neither UDP: nobody is meant */
	assert_true(uri_parse(SLICE_LITERAL("sip:10.0.0.1:5054"), &uri));
	assert_null(view_find_uri(&stage.view, &uri));
	assert_true(uri_parse(SLICE_LITERAL("sips:10.0.0.1:5054"), &uri));
	assert_ptr_equal(view_find_uri(&stage.view, &uri), &stage.targets[3]);
}

static void create_scene(void *arg)
{
	struct stage_view stage;
	struct view *view = NULL;

	stage_view_init(&stage);
	if (view_create(&stage.view, &view) != 0)
		assert_null(view);
	else
		snapshot_release(&view->snapshot);
}

static void every_allocation_may_fail(void **state)
{
	assert_int_equal(alloc_fail_each(create_scene, NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_view_owns_all_it_shows),
		cmocka_unit_test(the_first_usable_site_serves),
		cmocka_unit_test(targets_are_found_by_id_and_address),
		cmocka_unit_test(targets_are_found_by_what_a_route_says),
		cmocka_unit_test(of_one_address_with_two_transports_udp_is_meant_unless_said),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
