/*
 * Files that change as people, certbot and Kubernetes change them. Files are real, the clock is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/tls_watch.h"
#include "base/error.h"
#include "base/memory.h"
#include "loop/loop.h"
#include "support/alloc_fail.h"
#include "support/fake_clock.h"
#include "support/fake_loop.h"

struct scene {
	struct loop *loop;
	struct tls_watch *watch;
	char directory[40], certificate[64], key[64];
	const char *paths[2];
	unsigned changes;
};

static void put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static const char *in(const struct scene *scene, const char *name)
{
	static char paths[4][96];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", scene->directory, name);
	return path;
}

static void on_changed(void *arg)
{
	((struct scene *)arg)->changes++;
}

static int start(struct scene *scene)
{
	return tls_watch_create(scene->loop, scene->paths, 2, on_changed, scene, &scene->watch);
}

static int setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	fake_clock_setup(state);
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	strcpy(scene->directory, "/tmp/tls-watch-XXXXXX");
	assert_non_null(mkdtemp(scene->directory));
	snprintf(scene->certificate, sizeof(scene->certificate), "%s", in(scene, "edge.pem"));
	snprintf(scene->key, sizeof(scene->key), "%s", in(scene, "edge.key"));
	scene->paths[0] = scene->certificate;
	scene->paths[1] = scene->key;
	assert_int_equal(loop_create("test", &scene->loop), 0);
	loop_advance_to(scene->loop, FAKE_CLOCK_START_MS);
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;
	char command[96];

	tls_watch_destroy(&scene->watch);
	loop_destroy(&scene->loop);
	snprintf(command, sizeof(command), "rm -r %s", scene->directory);
	assert_int_equal(system(command), 0);
	free(scene);
	return fake_clock_teardown(state);
}

/* What the kernel has to tell is heard; then time passes. */
static void hear_and_walk(struct scene *scene, uint64_t ms)
{
	loop_turn(scene->loop);
	fake_loop_walk(scene->loop, ms);
	loop_turn(scene->loop);
}

static void plain_files(struct scene *scene)
{
	put(scene->certificate, "one");
	put(scene->key, "one");
	assert_int_equal(start(scene), 0);
}

static void a_file_written_over_is_seen_once_it_is_quiet(void **state)
{
	struct scene *scene = *state;

	plain_files(scene);
	put(scene->certificate, "other");
	hear_and_walk(scene, TLS_WATCH_QUIET_MS / 2);
	assert_int_equal(scene->changes, 0);
	put(scene->key, "other");
	hear_and_walk(scene, TLS_WATCH_QUIET_MS - 1);
	assert_int_equal(scene->changes, 0); /* it begins anew with the key */
	hear_and_walk(scene, 2);
	assert_int_equal(scene->changes, 1);
	hear_and_walk(scene, 3 * TLS_WATCH_LOOK_MS);
	assert_int_equal(scene->changes, 1);
}

static void a_file_renamed_into_place_is_seen(void **state)
{
	struct scene *scene = *state;

	plain_files(scene);
	put(in(scene, "new"), "other");
	assert_int_equal(rename(in(scene, "new"), scene->certificate), 0);
	hear_and_walk(scene, TLS_WATCH_QUIET_MS + 1);
	assert_int_equal(scene->changes, 1);
}

/* certbot: live/edge.pem -> ../archive/edge1.pem becomes edge2.pem. */
static void a_link_that_is_replaced_is_seen(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(mkdir(in(scene, "archive"), 0700), 0);
	put(in(scene, "archive/edge1.pem"), "one");
	put(in(scene, "archive/edge2.pem"), "two");
	put(scene->key, "one");
	assert_int_equal(symlink("archive/edge1.pem", scene->certificate), 0);
	assert_int_equal(start(scene), 0);
	assert_int_equal(unlink(scene->certificate), 0);
	assert_int_equal(symlink("archive/edge2.pem", scene->certificate), 0);
	hear_and_walk(scene, TLS_WATCH_QUIET_MS + 1);
	assert_int_equal(scene->changes, 1);
	put(in(scene, "archive/edge2.pem"), "three"); /* behind the link */
	hear_and_walk(scene, TLS_WATCH_QUIET_MS + 1);
	assert_int_equal(scene->changes, 2);
}

/* Kubernetes: edge.pem -> ..data/edge.pem, and ..data moves from ..one to ..two. */
static void a_link_on_the_way_that_moves_is_seen(void **state)
{
	struct scene *scene = *state;

	assert_int_equal(mkdir(in(scene, "..one"), 0700), 0);
	assert_int_equal(mkdir(in(scene, "..two"), 0700), 0);
	put(in(scene, "..one/edge.pem"), "one");
	put(in(scene, "..two/edge.pem"), "two");
	put(scene->key, "one");
	assert_int_equal(symlink("..one", in(scene, "..data")), 0);
	assert_int_equal(symlink("..data/edge.pem", scene->certificate), 0);
	assert_int_equal(start(scene), 0);
	assert_int_equal(symlink("..two", in(scene, "..data_tmp")), 0);
	assert_int_equal(rename(in(scene, "..data_tmp"), in(scene, "..data")), 0);
	hear_and_walk(scene, TLS_WATCH_QUIET_MS + 1);
	assert_int_equal(scene->changes, 1);
}

static void a_neighbour_is_none_of_ours(void **state)
{
	struct scene *scene = *state;

	plain_files(scene);
	put(in(scene, "other.pem"), "other");
	hear_and_walk(scene, TLS_WATCH_QUIET_MS + 1);
	assert_int_equal(scene->changes, 0);
}

static void a_busy_neighbour_does_not_put_us_off(void **state)
{
	struct scene *scene = *state;

	plain_files(scene);
	put(scene->certificate, "other");
	for (unsigned i = 0; i < 12 && scene->changes == 0; i++) {
		put(in(scene, "busy"), "busy");
		hear_and_walk(scene, TLS_WATCH_QUIET_MS / 2);
	}
	assert_int_equal(scene->changes, 1);
}

static void a_file_that_goes_and_comes_is_two_changes(void **state)
{
	struct scene *scene = *state;

	plain_files(scene);
	assert_int_equal(unlink(scene->key), 0);
	hear_and_walk(scene, TLS_WATCH_QUIET_MS + 1);
	assert_int_equal(scene->changes, 1);
	put(scene->key, "again");
	hear_and_walk(scene, TLS_WATCH_QUIET_MS + 1);
	assert_int_equal(scene->changes, 2);
}

static void what_was_settled_is_no_change(void **state)
{
	struct scene *scene = *state;

	plain_files(scene);
	put(scene->certificate, "other");
	tls_watch_settle(scene->watch); /* somebody asked for a reload meanwhile */
	hear_and_walk(scene, TLS_WATCH_QUIET_MS + 1);
	assert_int_equal(scene->changes, 0);
}

/* The directory was not there to be watched. */
static void without_the_kernel_a_look_finds_it(void **state)
{
	struct scene *scene = *state;

	snprintf(scene->certificate, sizeof(scene->certificate), "%s", in(scene, "late/edge.pem"));
	put(scene->key, "one");
	assert_int_equal(start(scene), 0);
	assert_int_equal(mkdir(in(scene, "late"), 0700), 0);
	hear_and_walk(scene, TLS_WATCH_QUIET_MS + 1);
	put(scene->certificate, "one");
	assert_int_equal(scene->changes, 0);
	hear_and_walk(scene, TLS_WATCH_LOOK_MS);
	hear_and_walk(scene, TLS_WATCH_QUIET_MS + 1);
	assert_int_equal(scene->changes, 1);
}

static void create_scene(void *arg)
{
	struct scene *scene = arg;
	int err = start(scene);

	assert_true(err == 0 || err == -ENOMEM);
	tls_watch_destroy(&scene->watch);
}

static void every_allocation_may_fail(void **state)
{
	assert_true(alloc_fail_each(create_scene, *state) >= 1);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(a_file_written_over_is_seen_once_it_is_quiet),
		SCENE(a_file_renamed_into_place_is_seen),
		SCENE(a_link_that_is_replaced_is_seen),
		SCENE(a_link_on_the_way_that_moves_is_seen),
		SCENE(a_neighbour_is_none_of_ours),
		SCENE(a_busy_neighbour_does_not_put_us_off),
		SCENE(a_file_that_goes_and_comes_is_two_changes),
		SCENE(what_was_settled_is_no_change),
		SCENE(without_the_kernel_a_look_finds_it),
		SCENE(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
