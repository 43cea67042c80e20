#include "sip/via.h"

#include "support/alloc_fail.h"
#include "support/sip_text.h"

static struct via parsed(const char *text)
{
	struct via via;

	if (!via_parse(slice_from_string(text), &via))
		fail_msg("not a Via: %s", text);
	return via;
}

static void a_via_falls_into_its_parts(void **state)
{
	struct via via = parsed(
		"SIP/2.0/UDP host.example.com:5062;branch=z9hG4bKx;received=192.0.2.9;rport=99");

	assert_slice(via.transport, "UDP");
	assert_slice(via.host, "host.example.com");
	assert_int_equal(via.port, 5062);
	assert_slice(via.branch, "z9hG4bKx");
	assert_slice(via.received, "192.0.2.9");
	assert_true(via.has_rport);
	assert_int_equal(via.rport, 99);
}

static void keep_without_a_value_is_a_question(void **state)
{
	assert_true(parsed("SIP/2.0/UDP h;branch=a;Keep").asks_keep);
	assert_true(parsed("SIP/2.0/UDP h; keep ;branch=a").asks_keep);
	assert_false(parsed("SIP/2.0/UDP h;branch=a;keep=30").asks_keep);
	assert_false(parsed("SIP/2.0/UDP h;branch=a;keep=").asks_keep);
	assert_false(parsed("SIP/2.0/UDP h;branch=a;keeper").asks_keep);
	assert_false(parsed("SIP/2.0/UDP h;x=\";keep\"").asks_keep);
}

static void blanks_and_brackets_do_not_confuse_it(void **state)
{
	struct via via = parsed("SIP  /   2.0    /TCP     [2001:db8::1] : 5061  ;  branch  =  z9 ; "
	                        "received=[::1];rport");

	assert_slice(via.transport, "TCP");
	assert_slice(via.host, "2001:db8::1");
	assert_int_equal(via.port, 5061);
	assert_slice(via.branch, "z9");
	assert_slice(via.received, "::1");
	assert_true(via.has_rport);
	assert_int_equal(via.rport, 0);
	via = parsed("SIP/2.0/UNKNOWN h;;x=\"a;branch=no\";branch=yes");
	assert_slice(via.transport, "UNKNOWN");
	assert_slice(via.branch, "yes");
}

static void what_is_no_via_is_refused(void **state)
{
	static const char *const bad[] = {"",
	                                  "SIP/2.0",
	                                  "SIP/2.0/UDP",
	                                  "SIP/2.0/UDP :5060",
	                                  "/2.0/UDP h",
	                                  "SIP/2.0/UDP h:0",
	                                  "SIP/2.0/UDP h:99999",
	                                  "SIP/2.0/UDP h x",
	                                  "SIP/2.0/UDP [::1;branch=x"};
	struct via via;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (via_parse(slice_from_string(bad[i]), &via))
			fail_msg("taken for a Via: %s", bad[i]);
	}
}

static void assert_reply_goes_to(const char *via_text, const char *expected)
{
	struct via via = parsed(via_text);
	char text[ADDRESS_TEXT_MAX];
	struct address address;

	assert_true(via_reply_address(&via, &address));
	assert_string_equal(address_format(&address, text), expected);
}

static void answers_go_where_18_2_2_says(void **state)
{
	struct via via = parsed("SIP/2.0/UDP name.example.com");
	struct address address;

	assert_reply_goes_to("SIP/2.0/UDP 192.0.2.1", "192.0.2.1:5060");
	assert_reply_goes_to("SIP/2.0/TLS 192.0.2.1", "192.0.2.1:5061");
	assert_reply_goes_to("SIP/2.0/UDP 192.0.2.1:7000", "192.0.2.1:7000");
	assert_reply_goes_to("SIP/2.0/UDP name:7000;received=192.0.2.5", "192.0.2.5:7000");
	assert_reply_goes_to("SIP/2.0/UDP name:7000;received=192.0.2.5;rport=8000",
	                     "192.0.2.5:8000");
	assert_reply_goes_to("SIP/2.0/UDP name;received=2001:db8::9", "[2001:db8::9]:5060");
	assert_false(via_reply_address(&via, &address));
}

static void transports_have_two_spellings(void **state)
{
	enum sip_transport transport;

	for (int i = 0; i < TRANSPORTS; i++) {
		assert_true(transport_from_name(
			slice_from_string(transport_via_name((enum sip_transport)i)), &transport));
		assert_int_equal(transport, i);
		assert_true(transport_from_name(
			slice_from_string(transport_name((enum sip_transport)i)), &transport));
		assert_int_equal(transport, i);
	}
	assert_false(transport_from_name(slice_from_string("SCTP"), &transport));
	assert_false(transport_is_stream(TRANSPORT_UDP));
	assert_true(transport_is_stream(TRANSPORT_WSS));
}

static void a_branch_of_ours_is_read_back(void **state)
{
	struct branch_source source;
	char text[BRANCH_TEXT_MAX], next[BRANCH_TEXT_MAX];
	uint64_t unique, hash, unique_next;
	uint8_t worker;

	branch_source_init(&source, 0xab);
	branch_mint(&source, UINT64_C(0x0123456789abcdef), text);
	branch_mint(&source, 0, next);
	assert_int_equal(strlen(text), 45);
	assert_memory_equal(text, "z9hG4bK-bab-", 12);
	assert_true(branch_read(slice_from_string(text), &worker, &unique, &hash));
	assert_int_equal(worker, 0xab);
	assert_true(hash == UINT64_C(0x0123456789abcdef));
	assert_true(branch_read(slice_from_string(next), NULL, &unique_next, NULL));
	assert_true(unique_next == unique + 1);
}

static void branches_of_others_are_not_ours(void **state)
{
	struct branch_source source;
	char text[BRANCH_TEXT_MAX];

	branch_source_init(&source, 1);
	branch_mint(&source, 7, text);
	assert_false(branch_read(slice_from_string("z9hG4bK"), NULL, NULL, NULL));
	assert_false(branch_read(SLICE_NONE, NULL, NULL, NULL));
	assert_false(branch_read(slice_of(text, strlen(text) - 1), NULL, NULL, NULL));
	for (size_t i = 0; text[i] != '\0'; i++) {
		char was = text[i];

		text[i] = 'X'; /* nowhere part of our form */
		assert_false(branch_read(slice_from_string(text), NULL, NULL, NULL));
		text[i] = was;
	}
}

#define REQUEST(uri, via, route, tags, cseq)                                                       \
	"INVITE " uri " SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1" via "\nRoute: " route \
	"\nFrom: <sip:a@b>;tag=f\nTo: <sip:c@d>" tags "\nCall-ID: x\nCSeq: " cseq                  \
	" INVITE\nMax-Forwards: 9\n\n"

static uint64_t hash_of(const char *text)
{
	struct message *message = sip_parse(text);
	uint64_t hash = loop_hash(message);

	message_destroy(&message);
	return hash;
}

static void the_loop_hash_sees_what_routing_sees(void **state)
{
	uint64_t hash = hash_of(REQUEST("sip:u@h", "", "<sip:r>", "", "1"));

	assert_true(hash == hash_of(REQUEST("sip:u@h", ";x=y", "<sip:r>", "", "1")));
	assert_true(hash != hash_of(REQUEST("sip:v@h", "", "<sip:r>", "", "1")));
	assert_true(hash != hash_of(REQUEST("sip:u@h", "", "<sip:s>", "", "1")));
	assert_true(hash != hash_of(REQUEST("sip:u@h", "", "<sip:r>", ";tag=t", "1")));
	assert_true(hash != hash_of(REQUEST("sip:u@h", "", "<sip:r>", "", "2")));
}

static void only_our_branch_with_this_hash_is_a_loop(void **state)
{
	struct message *message = sip_parse(REQUEST("sip:u@h", "", "<sip:r>", "", "1"));
	uint64_t hash = loop_hash(message);
	struct branch_source source;
	char branch[BRANCH_TEXT_MAX], via[128];

	assert_false(loop_detected(message, hash));
	branch_source_init(&source, 3);
	branch_mint(&source, hash, branch);
	snprintf(via, sizeof(via), "SIP/2.0/TCP 10.0.0.1, SIP/2.0/UDP 10.0.0.2;branch=%s", branch);
	assert_int_equal(message_prepend(message, "Via", slice_from_string(via)), 0);
	assert_true(loop_detected(message, hash));
	/* A spiral comes back with another Request-URI or Route, and so with another hash. */
	assert_false(loop_detected(message, hash + 1));
	message_destroy(&message);
}

static void loop_scene(void *arg)
{
	struct slice bytes = sip_text(REQUEST("sip:u@h", "", "<sip:r>", "", "1"));
	enum guard_verdict verdict;
	struct message *message;

	if (message_parse(bytes, SIP_TEXT_LIMIT, &message, &verdict) == MESSAGE_SOUND)
		assert_false(loop_detected(message, loop_hash(message)));
	else
		assert_true(alloc_fail_happened());
	message_destroy(&message);
	free((char *)bytes.data);
}

static void looking_for_loops_needs_no_memory_of_its_own(void **state)
{
	assert_int_equal(alloc_fail_each(loop_scene, NULL), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_via_falls_into_its_parts),
		cmocka_unit_test(keep_without_a_value_is_a_question),
		cmocka_unit_test(blanks_and_brackets_do_not_confuse_it),
		cmocka_unit_test(what_is_no_via_is_refused),
		cmocka_unit_test(answers_go_where_18_2_2_says),
		cmocka_unit_test(transports_have_two_spellings),
		cmocka_unit_test(a_branch_of_ours_is_read_back),
		cmocka_unit_test(branches_of_others_are_not_ours),
		cmocka_unit_test(the_loop_hash_sees_what_routing_sees),
		cmocka_unit_test(only_our_branch_with_this_hash_is_a_loop),
		cmocka_unit_test(looking_for_loops_needs_no_memory_of_its_own),
	};

	return cmocka_run_group_tests(tests, sip_text_setup, NULL);
}
