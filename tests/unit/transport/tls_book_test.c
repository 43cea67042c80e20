/*
 * What is loaded, and what is said of that which cannot be used.
 */
#include "tls_stage.h"

static void expect_fault(struct tls_scene *scene, const char *words)
{
	struct tls_book *book = NULL;

	assert_int_equal(scene_load(scene, &book), -EINVAL);
	assert_null(book);
	if (strstr(scene->faults, words) == NULL)
		fail_msg("\"%s\" is not in \"%s\"", words, scene->faults);
	assert_int_equal(ERR_peek_error(), 0);
}

static void book_tells_its_certificates(void **state)
{
	struct tls_scene *scene = *state;
	struct tls_certificate certificate;
	const int64_t now = (int64_t)time(NULL);

	scene->pairs[1] = scene->pairs[2];
	scene->profiles[0].pair_count = 2;
	assert_int_equal(scene_load(scene, &scene->book), 0);
	assert_int_equal(tls_book_certificate_count(scene->book), 3);
	assert_true(tls_book_certificate(scene->book, 0, &certificate));
	assert_string_equal(certificate.name, "public");
	assert_string_equal(certificate.subject, "CN=edge.example.net");
	assert_in_range(certificate.not_after_s, now + 86000, now + 86400);
	assert_true(tls_book_certificate(scene->book, 1, &certificate));
	assert_string_equal(certificate.name, "public-2");
	assert_true(tls_book_certificate(scene->book, 2, &certificate));
	assert_string_equal(certificate.name, "intersite");
	assert_false(tls_book_certificate(scene->book, 3, &certificate));
	assert_true(tls_book_has_profile(scene->book, "public"));
	assert_false(tls_book_has_profile(scene->book, "publi"));
}

static void missing_files_are_named(void **state)
{
	struct tls_scene *scene = *state;

	scene->pairs[0].certificate = "/nowhere/edge.pem";
	expect_fault(scene, "profile public: /nowhere/edge.pem: no such file");
	scene->pairs[0] = scene->pairs[2];
	scene->pairs[0].key = "/nowhere/edge.key";
	expect_fault(scene, "profile public: /nowhere/edge.key: ");
	scene->pairs[0] = scene->pairs[2];
	scene->profiles[0].ca = "/nowhere/ca.pem";
	expect_fault(scene, "profile public: /nowhere/ca.pem: no such file");
}

static void every_fault_is_said_in_one_pass(void **state)
{
	struct tls_scene *scene = *state;

	scene->pairs[0].certificate = "/nowhere/edge.pem";
	scene->pairs[2].certificate = "/nowhere/node.pem";
	scene->settings.ticket_keys = "/nowhere/tickets";
	expect_fault(scene, "edge.pem");
	assert_non_null(strstr(scene->faults, "node.pem"));
	assert_non_null(strstr(scene->faults, "ticket keys: /nowhere/tickets: no such file"));
}

static void key_of_another_certificate_does_not_fit(void **state)
{
	struct tls_scene *scene = *state;

	scene->pairs[0].key = scene->pairs[2].key;
	expect_fault(scene, "not the key of");
}

static void key_that_cannot_be_used_is_told_in_words(void **state)
{
	struct tls_scene *scene = *state;

	scene->pairs[0].key = "/nowhere/edge.key";
	expect_fault(scene, "edge.key: no such file");
	scene->pairs[0].key = scene->pairs[0].certificate;
	expect_fault(scene, "no private key in it that opens without a passphrase");
}

static void authorities_that_are_missing_are_told_once(void **state)
{
	struct tls_scene *scene = *state;
	const char *first;

	scene->profiles[0].ca = "/nowhere/ca.pem";
	expect_fault(scene, "/nowhere/ca.pem: no such file");
	first = strstr(scene->faults, "/nowhere/ca.pem");
	assert_null(strstr(first + 1, "/nowhere/ca.pem"));
}

static void file_that_is_no_certificate_is_a_fault(void **state)
{
	struct tls_scene *scene = *state;

	scene->pairs[0].certificate = scene->pairs[0].key;
	expect_fault(scene, "no certificate in it");
	scene->pairs[0] = scene->pairs[2];
	scene->profiles[0].ca = scene->pairs[0].key;
	expect_fault(scene, "profile public: ");
}

static void certificate_out_of_its_dates_is_a_fault(void **state)
{
	struct tls_scene *scene = *state;
	struct certificate_wish wish = {.name = "edge", .cn = "x", .from_s = -864000, .to_s = -864};

	authority_issue(&scene->authority, &wish);
	expect_fault(scene, "edge.pem: expired 20");
	wish.from_s = 86400;
	wish.to_s = 864000;
	authority_issue(&scene->authority, &wish);
	expect_fault(scene, "edge.pem: not valid before 20");
}

static void chain_that_does_not_hold_is_a_fault(void **state)
{
	struct tls_scene *scene = *state;

	write_certificate(scene->pairs[0].certificate, "a", scene->authority.certificate);
	assert_int_equal(scene_load(scene, &scene->book), 0);
	authority_issue(&scene->authority, &(struct certificate_wish){.name = "edge", .cn = "x"});
	write_certificate(scene->pairs[0].certificate, "a", scene->stranger.certificate);
	expect_fault(scene, "certificate 1 is not issued by certificate 2");
}

static void ticket_keys_are_judged_by_their_form_and_who_may_read_them(void **state)
{
	struct tls_scene *scene = *state;
	char line[200];

	memset(line, 'a', sizeof(line));
	strcpy(line + 160, "\n");
	scene->settings.ticket_keys = scene_file(scene, &scene->authority, "tickets", "keys");
	write_text(scene->settings.ticket_keys, line, 0640);
	expect_fault(scene, "others may read it");
	chmod(scene->settings.ticket_keys, 0600);
	assert_int_equal(scene_load(scene, &scene->book), 0);
	strcpy(line + 159, "\n");
	write_text(scene->settings.ticket_keys, line, 0600);
	expect_fault(scene, "a line that is not 80 bytes");
	line[20] = '!';
	line[159] = 'a';
	strcpy(line + 160, "\n");
	write_text(scene->settings.ticket_keys, line, 0600);
	expect_fault(scene, "a line that is not 80 bytes");
	write_text(scene->settings.ticket_keys, "# nothing\n\n", 0600);
	expect_fault(scene, "no key in it");
	/* base64 of 80 bytes has 107 letters and an = */
	memset(line, 'Q', 107);
	strcpy(line + 106, "E=");
	write_text(scene->settings.ticket_keys, line, 0600);
	snapshot_release(tls_book_snapshot(scene->book));
	scene->book = NULL;
	if (scene_load(scene, &scene->book) != 0)
		fail_msg("%s", scene->faults);
}

static void profile_without_certificate_is_for_clients_alone(void **state)
{
	struct tls_scene *scene = *state;

	scene->profiles[0].pair_count = 0;
	assert_int_equal(scene_load(scene, &scene->book), 0);
	assert_int_equal(tls_book_certificate_count(scene->book), 1);
}

static void on_fault_alone(void *arg, const char *text)
{
}

static void load_and_release(void *arg)
{
	struct tls_scene *scene = arg;
	struct tls_book *book = NULL;

	if (tls_book_load(&scene->settings, NULL, on_fault_alone, NULL, &book) == 0)
		snapshot_release(tls_book_snapshot(book));
	else
		assert_true(alloc_fail_happened());
}

static void loading_survives_every_failed_allocation(void **state)
{
	assert_true(alloc_fail_each(load_and_release, *state) > 10);
}

static void shake_once(void *arg)
{
	struct tls_scene *scene = arg;
	struct stage *stage = scene->stage;

	if (stage_open(stage) == 0) {
		int fd = peer_connect("127.0.3.9:0", stage_listener(stage, ACCESS_TLS));
		SSL_CTX *context = SSL_CTX_new(TLS_client_method());
		struct tls_peer peer;

		transport_set_tls(stage->transport, scene->book);
		peer_begin(&peer, context, fd, false);
		for (int i = 0; i < 2000 && stage->packet_count == 0 && stage->closed_count == 0;
		     i++) {
			if (SSL_do_handshake(peer.ssl) == 1)
				SSL_write(peer.ssl, OPTIONS_TEXT, strlen(OPTIONS_TEXT));
			else if (peer_is_ended(fd))
				break;
			loop_turn(stage->loop);
		}
		assert_true(stage->packet_count > 0 || alloc_fail_happened());
		peer_end(&peer);
	}
	stage_close(stage);
	stage_forget(stage);
}

static void handshake_survives_every_failed_allocation(void **state)
{
	struct tls_scene *scene = *state;

	assert_int_equal(scene_load(scene, &scene->book), 0);
	assert_true(alloc_fail_each(shake_once, scene) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		tls_test_closed(book_tells_its_certificates),
		tls_test_closed(missing_files_are_named),
		tls_test_closed(every_fault_is_said_in_one_pass),
		tls_test_closed(key_of_another_certificate_does_not_fit),
		tls_test_closed(key_that_cannot_be_used_is_told_in_words),
		tls_test_closed(authorities_that_are_missing_are_told_once),
		tls_test_closed(file_that_is_no_certificate_is_a_fault),
		tls_test_closed(certificate_out_of_its_dates_is_a_fault),
		tls_test_closed(chain_that_does_not_hold_is_a_fault),
		tls_test_closed(ticket_keys_are_judged_by_their_form_and_who_may_read_them),
		tls_test_closed(profile_without_certificate_is_for_clients_alone),
		tls_test_closed(loading_survives_every_failed_allocation),
		tls_test_closed(handshake_survives_every_failed_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
