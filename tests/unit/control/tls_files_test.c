/*
 * From the configuration to a book of certificates, and what `bono --check` says of files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/hash.h"
#include "control/tls_files.h"
#include "support/alloc_fail.h"
#include "support/certificates.h"

struct scene {
	struct authority authority;
	struct config_certificate pairs[3];
	char paths[6][128];
	struct config_tls profiles[2];
	struct config config;
	char faults[4096];
};

static void name_pair(struct scene *scene, unsigned index, const char *name)
{
	char *certificate = scene->paths[2 * index], *key = scene->paths[2 * index + 1];

	authority_path(&scene->authority, name, "pem", certificate, sizeof(scene->paths[0]));
	authority_path(&scene->authority, name, "key", key, sizeof(scene->paths[0]));
	scene->pairs[index] = (struct config_certificate){certificate, key};
}

static int setup(void **state)
{
	static const struct certificate_wish wishes[] = {
		{.name = "edge", .cn = "edge", .names = "DNS:edge.example.net"},
		{.name = "more", .cn = "more", .names = "DNS:more.example.net"},
		{.name = "node", .cn = "node", .names = "DNS:node.example.net"},
	};
	struct scene *scene = calloc(1, sizeof(*scene));

	hash_key_init();
	authority_create(&scene->authority, "root");
	for (unsigned i = 0; i < 3; i++) {
		authority_issue(&scene->authority, &wishes[i]);
		name_pair(scene, i, wishes[i].name);
	}
	scene->profiles[0] = (struct config_tls){.name = (char *)"public",
	                                         .line = 3,
	                                         .column = 5,
	                                         .certificates = scene->pairs,
	                                         .certificate_count = 2,
	                                         .minimum = 12};
	scene->profiles[1] = (struct config_tls){.name = (char *)"intersite",
	                                         .line = 7,
	                                         .column = 5,
	                                         .certificates = scene->pairs + 2,
	                                         .certificate_count = 1,
	                                         .ca = scene->authority.ca,
	                                         .minimum = 13};
	scene->config = (struct config){.tls = scene->profiles, .tls_count = 2};
	*state = scene;
	return 0;
}

static int teardown(void **state)
{
	struct scene *scene = *state;

	authority_destroy(&scene->authority);
	free(scene);
	return 0;
}

static void on_fault(void *arg, const char *text)
{
	struct scene *scene = arg;
	size_t length = strlen(scene->faults);

	snprintf(scene->faults + length, sizeof(scene->faults) - length, "%s\n", text);
}

static int load(struct scene *scene, struct tls_book **out)
{
	scene->faults[0] = '\0';
	*out = NULL;
	return tls_files_load(&scene->config, NULL, on_fault, scene, out);
}

static void assert_told(const struct scene *scene, const char *words)
{
	if (strstr(scene->faults, words) == NULL)
		fail_msg("not told: %s in\n%s", words, scene->faults);
}

static int check(struct scene *scene)
{
	FILE *file = fmemopen(scene->faults, sizeof(scene->faults), "w");
	int err;

	scene->faults[0] = '\0';
	assert_non_null(file);
	err = tls_files_check(&scene->config, "f.yaml", file);
	fclose(file);
	return err;
}

static void a_book_holds_every_certificate_of_every_profile(void **state)
{
	static const char *const names[] = {"public", "public-2", "intersite"};
	struct scene *scene = *state;
	struct tls_certificate certificate;
	struct tls_book *book;

	assert_int_equal(load(scene, &book), 0);
	assert_string_equal(scene->faults, "");
	assert_int_equal(tls_book_certificate_count(book), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(tls_book_certificate(book, i, &certificate));
		assert_string_equal(certificate.name, names[i]);
	}
	assert_true(tls_book_has_profile(book, "intersite"));
	snapshot_release(tls_book_snapshot(book));
	assert_int_equal(check(scene), 0);
	assert_string_equal(scene->faults, "");
}

static void faults_of_files_have_the_place_of_their_profile(void **state)
{
	struct scene *scene = *state;

	unlink(scene->pairs[2].certificate);
	scene->pairs[1].key = scene->pairs[0].key;
	assert_int_equal(check(scene), -EINVAL);
	assert_told(scene, "f.yaml:3:5: profile public: ");
	assert_told(scene, "f.yaml:7:5: profile intersite: ");
	scene->config.tls_ticket_keys = (char *)"/nonexistent/tickets";
	scene->config.tls_tickets_line = 9;
	scene->config.tls_tickets_column = 12;
	assert_int_equal(check(scene), -EINVAL);
	assert_told(scene, "f.yaml:9:12: ");
	assert_told(scene, "/nonexistent/tickets");
}

/* Opened, a pipe without a writer would hold the node for ever. */
static void what_is_no_file_is_not_opened(void **state)
{
	struct scene *scene = *state;
	struct tls_book *book;

	unlink(scene->pairs[0].certificate);
	assert_int_equal(mkfifo(scene->pairs[0].certificate, 0600), 0);
	scene->profiles[1].ca = (char *)"/tmp";
	assert_int_equal(load(scene, &book), -EINVAL);
	assert_null(book);
	assert_told(scene, "profile public: ");
	assert_told(scene, "edge.pem: no regular file");
	assert_told(scene, "profile intersite: /tmp: no regular file");
}

static void a_file_too_long_is_not_read(void **state)
{
	struct scene *scene = *state;
	struct tls_book *book;

	assert_int_equal(truncate(scene->pairs[0].key, TLS_FILE_MAX_BYTES + 1), 0);
	assert_int_equal(load(scene, &book), -EINVAL);
	assert_told(scene, "edge.key: 1048577 bytes long, expected at most 1048576");
}

static void load_scene(void *arg)
{
	struct tls_book *book;
	int err = load(arg, &book);

	assert_true(err == 0 || err == -ENOMEM);
	assert_true((err == 0) == (book != NULL));
	if (book != NULL)
		snapshot_release(tls_book_snapshot(book));
}

static void every_allocation_may_fail(void **state)
{
	assert_true(alloc_fail_each(load_scene, *state) > 5);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(a_book_holds_every_certificate_of_every_profile),
		SCENE(faults_of_files_have_the_place_of_their_profile),
		SCENE(what_is_no_file_is_not_opened),
		SCENE(a_file_too_long_is_not_read),
		SCENE(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
