/* The mark in our Record-Route: what it binds, and what a user agent may change without breaking it. */
#include "sip/route_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sip/flow_token.h"
#include "support/sip_text.h"

static const uint8_t key_one[32] = {1}, key_two[32] = {2};

#define TOKEN SLICE_LITERAL("BAfsRsEAAAAAAAAAAAEAAAAAZdGpZwQ4nB8u5wPzVKA")
#define ALICE SLICE_LITERAL("sip:alice@example.net")
#define INSTANCE SLICE_LITERAL("<urn:uuid:00000000-0000-4000-8000-000000000001>")

static const char *const beyond[] = {
	"sip:Tok~En@Scscf.Example.net:5054;transport=tcp;lr;billing-role=charge-orig",
	"sip:10.0.0.2;lr",
};

static void collect(struct route_set *set, const char *const *uris, size_t count)
{
	struct uri uri;

	route_set_begin(set);
	for (size_t i = 0; i < count; i++) {
		assert_true(uri_parse(slice_from_string(uris[i]), &uri));
		route_set_add(set, &uri);
	}
}

static struct route_set_registration of_alice(void)
{
	struct route_set_registration registration;

	route_set_registration(ALICE, INSTANCE, 1, &registration);
	return registration;
}

static void make_mark(char mark[ROUTE_SET_MARK_SIZE])
{
	struct route_set_registration registration = of_alice();
	struct route_set set;

	collect(&set, beyond, 2);
	assert_true(route_set_mark(&set, TOKEN, &registration, mark));
}

static bool agrees(const char *const *uris, size_t count, struct slice token, const char *mark)
{
	struct route_set_registration registration;
	struct route_set set;

	collect(&set, uris, count);
	return route_set_check(&set, token, slice_from_string(mark), &registration);
}

static int setup(void **state)
{
	flow_token_key_set(key_one);
	return 0;
}

static void a_mark_is_24_letters_and_agrees_with_what_it_was_made_for(void **state)
{
	struct route_set_registration given;
	struct route_set set;
	char mark[ROUTE_SET_MARK_SIZE];

	make_mark(mark);
	assert_int_equal(strlen(mark), 24);
	assert_int_equal(strspn(mark, "abcdefghijklmnopqrstuvwxyz234567"), 24);
	collect(&set, beyond, 2);
	assert_true(route_set_check(&set, TOKEN, slice_from_string(mark), &given));
	assert_true(route_set_registration_is(&given, ALICE, INSTANCE, 1));
}

static void no_letter_can_be_changed(void **state)
{
	char mark[ROUTE_SET_MARK_SIZE], other[ROUTE_SET_MARK_SIZE];

	make_mark(mark);
	for (unsigned i = 0; i < 24; i++) {
		for (const char *c = "abcdefghijklmnopqrstuvwxyz23456701=%-"; *c != '\0'; c++) {
			memcpy(other, mark, sizeof(other));
			if (other[i] == *c)
				continue;
			other[i] = *c;
			assert_false(agrees(beyond, 2, TOKEN, other));
		}
	}
	other[23] = '\0';
	assert_false(agrees(beyond, 2, TOKEN, other));
	assert_false(agrees(beyond, 2, TOKEN, ""));
}

static void a_user_agent_may_spell_the_entries_in_its_own_way(void **state)
{
	static const char *const respelt[] = {
		"SIP:Tok%7eEn@scscf.example.NET:5054;billing-role=Charge-Orig;LR=on;Transport=TCP",
		"sip:10.0.0.2;lr=",
	};
	char mark[ROUTE_SET_MARK_SIZE];

	make_mark(mark);
	assert_true(agrees(respelt, 2, TOKEN, mark));
	for (char *c = mark; *c != '\0'; c++)
		if (*c >= 'a')
			*c -= 32;
	assert_true(agrees(beyond, 2, TOKEN, mark));
}

static void every_part_of_every_entry_is_bound(void **state)
{
	static const char *const others[] = {
		"sips:Tok~En@Scscf.Example.net:5054;transport=tcp;lr;billing-role=charge-orig",
		"sip:tok~en@Scscf.Example.net:5054;transport=tcp;lr;billing-role=charge-orig",
		"sip:Scscf.Example.net:5054;transport=tcp;lr;billing-role=charge-orig",
		"sip:Tok~En@Scscf.Example.org:5054;transport=tcp;lr;billing-role=charge-orig",
		"sip:Tok~En@Scscf.Example.net:5055;transport=tcp;lr;billing-role=charge-orig",
		"sip:Tok~En@Scscf.Example.net;transport=tcp;lr;billing-role=charge-orig",
		"sip:Tok~En@Scscf.Example.net:5054;transport=udp;lr;billing-role=charge-orig",
		"sip:Tok~En@Scscf.Example.net:5054;transport=tcp;billing-role=charge-orig",
		"sip:Tok~En@Scscf.Example.net:5054;transport=tcp;lr;billing-role=charge-term",
		"sip:Tok~En@Scscf.Example.net:5054;transport=tcp;lr",
		"sip:Tok~En@Scscf.Example.net:5054;transport=tcp;lr;billing-role=charge-orig;maddr="
		"x",
		"sip:Tok~En@Scscf.Example.net:5054;transport=tcp;lr;billing-role=charge-orig?X=y",
		"sip:Tok~En:pw@Scscf.Example.net:5054;transport=tcp;lr;billing-role=charge-orig",
	};
	char mark[ROUTE_SET_MARK_SIZE];

	make_mark(mark);
	for (unsigned i = 0; i < ARRAY_LENGTH(others); i++) {
		const char *uris[] = {others[i], beyond[1]};

		if (agrees(uris, 2, TOKEN, mark))
			fail_msg("taken for the same: %s", others[i]);
	}
}

static void order_and_number_of_entries_are_bound(void **state)
{
	const char *const turned[] = {beyond[1], beyond[0]};
	const char *const longer[] = {beyond[0], beyond[1], "sip:192.0.2.66;lr"};
	char mark[ROUTE_SET_MARK_SIZE];

	make_mark(mark);
	assert_false(agrees(turned, 2, TOKEN, mark));
	assert_false(agrees(longer, 3, TOKEN, mark));
	assert_false(agrees(beyond, 1, TOKEN, mark));
	assert_false(agrees(beyond, 0, TOKEN, mark));
}

static void the_token_is_bound(void **state)
{
	char mark[ROUTE_SET_MARK_SIZE];

	make_mark(mark);
	assert_false(agrees(beyond, 2, SLICE_LITERAL("BAfsRsEAAAAAAAAAAAEAAAAAZdGpZwQ4nB8u5wPzVKB"),
	                    mark));
	assert_false(agrees(beyond, 2, SLICE_NONE, mark));
}

static void the_registration_is_address_of_record_instance_and_reg_id(void **state)
{
	struct route_set_registration alice = of_alice(), none;

	assert_true(route_set_registration_is(&alice, ALICE, INSTANCE, 1));
	assert_false(route_set_registration_is(&alice, SLICE_LITERAL("sip:bob@example.net"),
	                                       INSTANCE, 1));
	assert_false(route_set_registration_is(&alice, ALICE, SLICE_LITERAL("<urn:uuid:2>"), 1));
	assert_false(route_set_registration_is(&alice, ALICE, INSTANCE, 2));
	/* Without instance or reg-id there is nothing to go on by. */
	route_set_registration(ALICE, SLICE_NONE, 1, &none);
	assert_false(route_set_registration_is(&none, ALICE, SLICE_NONE, 1));
	route_set_registration(ALICE, INSTANCE, 0, &none);
	assert_false(route_set_registration_is(&none, ALICE, INSTANCE, 0));
	assert_false(route_set_registration_is(&none, ALICE, INSTANCE, 1));
}

static void write_file(const char *path, const uint8_t key[32])
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	assert_int_equal(fwrite(key, 1, 32, file), 32);
	assert_int_equal(fclose(file), 0);
}

static void the_previous_key_still_counts(void **state)
{
	char directory[] = "/tmp/route-set-XXXXXX", path[64], previous[80];
	struct route_set_registration given;
	struct route_set set;
	char mark[ROUTE_SET_MARK_SIZE];

	make_mark(mark);
	flow_token_key_set(key_two);
	assert_false(agrees(beyond, 2, TOKEN, mark));
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/key", directory);
	snprintf(previous, sizeof(previous), "%s.previous", path);
	write_file(path, key_two);
	write_file(previous, key_one);
	assert_int_equal(flow_token_key_load(path), 0);
	collect(&set, beyond, 2);
	assert_true(route_set_check(&set, TOKEN, slice_from_string(mark), &given));
	assert_true(route_set_registration_is(&given, ALICE, INSTANCE, 1));
	assert_false(route_set_registration_is(&given, ALICE, INSTANCE, 2));
	unlink(path);
	unlink(previous);
	rmdir(directory);
}

static void what_is_too_long_is_not_marked(void **state)
{
	struct route_set_registration registration = of_alice(), given;
	char mark[ROUTE_SET_MARK_SIZE], long_uri[5000], good[ROUTE_SET_MARK_SIZE];
	const char *uris[] = {long_uri};
	struct route_set set;
	struct uri uri;

	memset(long_uri, 'x', sizeof(long_uri));
	memcpy(long_uri, "sip:", 4);
	memcpy(long_uri + sizeof(long_uri) - 8, "@a.b;lr", 8);
	collect(&set, uris, 1);
	assert_false(route_set_mark(&set, TOKEN, &registration, mark));
	make_mark(good);
	collect(&set, uris, 1);
	assert_false(route_set_check(&set, TOKEN, slice_from_string(good), &given));
	assert_true(uri_parse(SLICE_LITERAL("sip:a.b;lr"), &uri));
	route_set_begin(&set);
	for (unsigned i = 0; i < 70; i++)
		route_set_add(&set, &uri);
	assert_false(route_set_mark(&set, TOKEN, &registration, mark));
	assert_true(uri_parse(SLICE_LITERAL("sip:a;b;c;d;e;f;g;h;i;j;k;l;m;n;o;p;q;r"), &uri));
	route_set_begin(&set);
	route_set_add(&set, &uri);
	assert_false(route_set_mark(&set, TOKEN, &registration, mark));
	assert_true(uri_parse(SLICE_LITERAL("sip:a%00b@c;lr"), &uri));
	route_set_begin(&set);
	route_set_add(&set, &uri);
	assert_false(route_set_mark(&set, TOKEN, &registration, mark));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_mark_is_24_letters_and_agrees_with_what_it_was_made_for,
	                               setup),
		cmocka_unit_test_setup(no_letter_can_be_changed, setup),
		cmocka_unit_test_setup(a_user_agent_may_spell_the_entries_in_its_own_way, setup),
		cmocka_unit_test_setup(every_part_of_every_entry_is_bound, setup),
		cmocka_unit_test_setup(order_and_number_of_entries_are_bound, setup),
		cmocka_unit_test_setup(the_token_is_bound, setup),
		cmocka_unit_test_setup(the_registration_is_address_of_record_instance_and_reg_id,
	                               setup),
		cmocka_unit_test_setup(the_previous_key_still_counts, setup),
		cmocka_unit_test_setup(what_is_too_long_is_not_marked, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
