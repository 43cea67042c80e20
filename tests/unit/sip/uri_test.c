#include "sip/uri.h"

#include "base/memory.h"
#include "support/alloc_fail.h"
#include "support/sip_text.h"

static struct uri parsed(const char *text)
{
	struct uri uri;

	if (!uri_parse(slice_from_string(text), &uri))
		fail_msg("not a URI: %s", text);
	return uri;
}

static void a_full_sip_uri_falls_into_its_parts(void **state)
{
	struct uri uri =
		parsed("sips:al%20ice;day=mon:pw@Edge.example.NET:5061;transport=TCP;lr?a=b&c=d");
	struct slice value;

	assert_int_equal(uri.scheme, URI_SIPS);
	assert_slice(uri.user, "al%20ice;day=mon");
	assert_slice(uri.password, "pw");
	assert_slice(uri.host, "Edge.example.NET");
	assert_int_equal(uri.port, 5061);
	assert_slice(uri.params, "transport=TCP;lr");
	assert_slice(uri.headers, "a=b&c=d");
	assert_true(uri_param(&uri, "LR", &value));
	assert_int_equal(value.length, 0);
	assert_true(uri_param(&uri, "Transport", &value));
	assert_slice(value, "TCP");
	assert_false(uri_param(&uri, "ob", &value));
}

static void hosts_of_all_kinds_are_read(void **state)
{
	struct uri uri = parsed("sip:[2001:DB8::1]:5070;lr");

	assert_slice(uri.host, "2001:DB8::1");
	assert_int_equal(uri.port, 5070);
	assert_slice(uri.params, "lr");
	assert_int_equal(uri.user.length, 0);
	uri = parsed("sip:[2001:db8::10:5070]");
	assert_slice(uri.host, "2001:db8::10:5070");
	assert_int_equal(uri.port, 0);
	uri = parsed("sip:192.0.2.1?x=y");
	assert_slice(uri.host, "192.0.2.1");
	assert_slice(uri.headers, "x=y");
	uri = parsed("sip:user?part;with/odd&chars@host");
	assert_slice(uri.user, "user?part;with/odd&chars");
}

static void tel_and_other_schemes_are_read(void **state)
{
	struct uri uri = parsed("tel:+1-201-555-0123;phone-context=example.com");

	assert_int_equal(uri.scheme, URI_TEL);
	assert_slice(uri.user, "+1-201-555-0123");
	assert_slice(uri.params, "phone-context=example.com");
	assert_int_equal(parsed("urn:service:sos").scheme, URI_URN);
	assert_int_equal(parsed("soap.beep://192.0.2.103:3002").scheme, URI_OTHER);
}

static void what_is_no_uri_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"sip",
		"sip:",
		":a@b",
		"1sip:a@b",
		"sip:@host",
		"sip:a@",
		"sip:a@b@c",
		"sip:a@b:",
		"sip:a@b:0",
		"sip:a@b:65536",
		"sip:a@b:5x",
		"sip:a@[::1",
		"sip:a@[1.2.3.4]",
		"sip:a@[:::1]",
		"sip:2001:db8::1",
		"sip:a b@c",
		"<sip:a@b>",
		"sip:a@b;x=\"y\"",
		"sip:a@b,c",
		"sip::pw@host",
		"tel:",
		"urn:",
		"sip:a\tb@c",
		"sip:a@[::1]x",
		"sip:a@b:123456",
	};
	struct uri uri;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (uri_parse(slice_from_string(bad[i]), &uri))
			fail_msg("taken for a URI: %s", bad[i]);
	}
}

static bool equal(const char *a, const char *b)
{
	struct uri left = parsed(a), right = parsed(b);
	bool forth = uri_equal(&left, &right), back = uri_equal(&right, &left);

	assert_int_equal(forth, back);
	return forth;
}

static void a_thousand_parameters_are_not_compared_one_by_one(void **state)
{
	char a[4096], b[4096];
	size_t n = (size_t)snprintf(a, sizeof(a), "sip:h");

	for (int i = 0; i < 500; i++)
		n += (size_t)snprintf(a + n, sizeof(a) - n, ";p%d=1", i);
	memcpy(b, a, n + 1);
	assert_true(equal(a, b));
	strcpy(b + n, ";more");
	assert_false(equal(a, b));
}

/* The examples of RFC 3261 19.1.4, and of RFC 3966 4. */
static void uris_compare_as_the_rfc_says(void **state)
{
	assert_true(equal("sip:%61lice@atlanta.com;transport=TCP",
	                  "sip:alice@AtLanTa.CoM;Transport=tcp"));
	assert_true(equal("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"));
	assert_true(equal("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"));
	assert_false(equal("SIP:ALICE@AtLanTa.CoM;Transport=udp",
	                   "sip:alice@AtLanTa.CoM;Transport=UDP"));
	assert_false(equal("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"));
	assert_false(equal("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"));
	assert_false(
		equal("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"));
	assert_false(equal("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"));
	assert_false(equal("sip:a@b", "sips:a@b"));
	assert_false(equal("sip:a%40b@c", "sip:a@c"));
	assert_false(equal("sip:a%3Bb@c", "sip:a;b@c"));
	assert_true(equal("sip:a%3bb@c", "sip:a%3Bb@c"));
	assert_true(equal("tel:+1-201-555-0123", "tel:+12015550123"));
	assert_false(equal("tel:+1-201-555-0123", "tel:+12015550124"));
	assert_true(equal("urn:service:SOS", "urn:service:sos"));
}

static void assert_canonical(const char *text, const char *expected)
{
	struct uri uri = parsed(text);
	struct buffer buffer;

	buffer_init(&buffer);
	uri_canonical(&uri, &buffer);
	assert_slice(buffer_slice(&buffer), expected);
	buffer_free(&buffer);
}

static void an_address_of_record_has_one_spelling(void **state)
{
	assert_canonical("sip:Alice@Example.NET:5060;transport=tcp", "sip:Alice@example.net");
	assert_canonical("sips:%41lice:pw@example.net", "sip:Alice@example.net");
	assert_canonical("sip:a%40b@example.net", "sip:a%40b@example.net");
	assert_canonical("sip:a%3b%00@example.net", "sip:a%3B%00@example.net");
	assert_canonical("sip:[2001:DB8::1]", "sip:[2001:db8::1]");
	assert_canonical("tel:+1-(201)-555.0123;phone-context=x", "tel:+12015550123");
	assert_canonical("urn:Service:SOS", "urn:service:sos");
	/* A broken escape is no escape. */
	assert_canonical("sip:a%zz%4@example.net", "sip:a%zz%4@example.net");
}

static void name_addrs_of_all_forms_are_read(void **state)
{
	struct name_addr address;
	struct slice value;

	assert_true(name_addr_parse(
		slice_from_string(
			" \"A. \\\"<x>, B\\\\\" <sip:a@b;lr?h=1> ;tag=1;q = \"0.5;x\" ; flag"),
		&address));
	assert_slice(address.display, "A. \\\"<x>, B\\\\");
	assert_slice(address.uri.text, "sip:a@b;lr?h=1");
	assert_true(name_addr_param(&address, "TAG", &value));
	assert_slice(value, "1");
	assert_true(name_addr_param(&address, "q", &value));
	assert_slice(value, "0.5;x");
	assert_true(name_addr_param(&address, "flag", NULL));
	assert_false(name_addr_param(&address, "x\"", NULL));

	assert_true(name_addr_parse(slice_from_string("Bell Labs<sip:a@b>"), &address));
	assert_slice(address.display, "Bell Labs");
	assert_true(name_addr_parse(slice_from_string("sip:a@b;tag=x"), &address));
	assert_slice(address.uri.text, "sip:a@b");
	assert_slice(address.params, "tag=x");
}

static void broken_name_addrs_are_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"*",
		"\"A <sip:a@b>",
		"\"A\" sip:a@b",
		"<sip:a@b",
		"<sip:a@b> x",
		"< sip:a@b>",
		"<>",
		"A\"B <sip:a@b>",
		"sip:a@b?Route=x",
		"sip:a@b,sip:c@d",
		"\"",
		"\"\\",
	};
	struct name_addr address;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (name_addr_parse(slice_from_string(bad[i]), &address))
			fail_msg("taken for an address: %s", bad[i]);
	}
}

static void parameters_survive_odd_writing(void **state)
{
	struct slice value;

	assert_true(params_find(slice_from_string(";;a=1; ;b;c=\"x;y\""), "c", &value));
	assert_slice(value, "x;y");
	assert_true(params_find(slice_from_string("a=1"), "A", &value));
	assert_slice(value, "1");
	assert_true(params_find(slice_from_string("a=\"never ends;b=2"), "b", &value));
	assert_slice(value, "2");
	assert_false(params_find(SLICE_NONE, "a", &value));
	assert_false(params_find(slice_from_string(";;; ;"), "a", &value));
	assert_int_equal(value.length, 0);
}

static void canonical_scene(void *arg)
{
	struct uri uri = parsed("sip:alice@example.net");
	struct buffer buffer;

	buffer_init(&buffer);
	uri_canonical(&uri, &buffer);
	assert_int_equal(buffer.failed, alloc_fail_happened());
	buffer_free(&buffer);
}

static void canonical_tells_when_memory_ends(void **state)
{
	assert_true(alloc_fail_each(canonical_scene, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_sip_uri_falls_into_its_parts),
		cmocka_unit_test(hosts_of_all_kinds_are_read),
		cmocka_unit_test(tel_and_other_schemes_are_read),
		cmocka_unit_test(what_is_no_uri_is_refused),
		cmocka_unit_test(uris_compare_as_the_rfc_says),
		cmocka_unit_test(a_thousand_parameters_are_not_compared_one_by_one),
		cmocka_unit_test(an_address_of_record_has_one_spelling),
		cmocka_unit_test(name_addrs_of_all_forms_are_read),
		cmocka_unit_test(broken_name_addrs_are_refused),
		cmocka_unit_test(parameters_survive_odd_writing),
		cmocka_unit_test(canonical_tells_when_memory_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
