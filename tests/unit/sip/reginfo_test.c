/* RFC 3680 5: reginfo documents, those of the RFC and those of an enemy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "sip/reginfo.h"
#include "support/alloc_fail.h"

#define NS "xmlns=\"urn:ietf:params:xml:ns:reginfo\""

/* RFC 3680 5.3.3, with a contact more. */
static const char rfc[] =
	"<?xml version=\"1.0\"?>\n"
	"<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\">\n"
	" <registration aor=\"sip:joe@example.com\" id=\"as9\" state=\"active\">\n"
	"  <contact id=\"6\" state=\"active\" event=\"registered\" duration-registered=\"7322\" "
	"q=\"0.8\">\n"
	"   <uri>sip:joe@pc887.example.com</uri>\n"
	"  </contact>\n"
	"  <contact id=\"7\" state=\"terminated\" event=\"rejected\" duration-registered=\"45\"\n"
	"   expires=\"12\">\n"
	"   <uri> sip:joe@phone7.example.com?a=b&amp;c=d </uri>\n"
	"   <display-name>Joe</display-name>\n"
	"   <unknown-param name=\"+sip.instance\">\"&lt;urn:uuid:1&gt;\"</unknown-param>\n"
	"   <unknown-param name=\"reg-id\">2</unknown-param>\n"
	"   <unknown-param name=\"audio\"/>\n"
	"  </contact>\n"
	" </registration>\n"
	" <registration aor=\"tel:+15550001\" id=\"t\" state=\"terminated\"/>\n"
	"</reginfo>\n";

static void assert_slice(struct slice got, const char *expected)
{
	assert_int_equal(got.length, strlen(expected));
	assert_memory_equal(got.data, expected, got.length);
}

static void the_rfcs_document_is_read(void **state)
{
	struct reginfo *info;

	assert_int_equal(reginfo_parse(slice_from_string(rfc), &info), 0);
	assert_int_equal(info->version, 0);
	assert_true(info->full);
	assert_int_equal(info->registration_count, 2);
	assert_int_equal(info->contact_count, 2);
	assert_slice(info->registrations[0].aor, "sip:joe@example.com");
	assert_int_equal(info->registrations[0].state, REGINFO_ACTIVE);
	assert_int_equal(info->registrations[0].first, 0);
	assert_int_equal(info->registrations[0].count, 2);
	assert_slice(info->registrations[1].aor, "tel:+15550001");
	assert_int_equal(info->registrations[1].state, REGINFO_TERMINATED);
	assert_int_equal(info->registrations[1].count, 0);
	assert_slice(info->contacts[0].uri, "sip:joe@pc887.example.com");
	assert_int_equal(info->contacts[0].state, REGINFO_ACTIVE);
	assert_int_equal(info->contacts[0].event, REGINFO_REGISTERED);
	assert_int_equal(info->contacts[0].expires, -1);
	assert_int_equal(info->contacts[0].reg_id, 0);
	assert_slice(info->contacts[1].uri, "sip:joe@phone7.example.com?a=b&c=d");
	assert_int_equal(info->contacts[1].event, REGINFO_REJECTED);
	assert_int_equal(info->contacts[1].expires, 12);
	assert_slice(info->contacts[1].instance, "<urn:uuid:1>");
	assert_int_equal(info->contacts[1].reg_id, 2);
	reginfo_free(&info);
	assert_null(info);
}

static void what_is_of_other_namespaces_is_skipped(void **state)
{
	static const char text[] =
		"<r:reginfo xmlns:r=\"urn:ietf:params:xml:ns:reginfo\" xmlns:x=\"urn:x\" "
		"version=\"7\" "
		"state=\"partial\"><x:registration aor=\"a\"/><r:registration aor=\"sip:a@b\" "
		"state=\"init\"><x:contact state=\"q\"><r:uri>sip:no</r:uri></x:contact>"
		"<r:contact state=\"active\" event=\"created\"><x:uri>sip:x</x:uri>"
		"<r:uri>sip:y<x:in>no</x:in>z</r:uri></r:contact></r:registration></r:reginfo>";
	struct reginfo *info;

	assert_int_equal(reginfo_parse(slice_from_string(text), &info), 0);
	assert_false(info->full);
	assert_int_equal(info->version, 7);
	assert_int_equal(info->registration_count, 1);
	assert_int_equal(info->contact_count, 1);
	assert_slice(info->contacts[0].uri, "sip:yz");
	reginfo_free(&info);
}

static void a_broken_document_is_none(void **state)
{
	static const char *const texts[] = {
		"",
		"x",
		"<reginfo/>",
		"<reginfo " NS " version=\"0\" state=\"full\">",
		"<reginfo " NS " state=\"full\"/>",
		"<reginfo " NS " version=\"-1\" state=\"full\"/>",
		"<reginfo " NS " version=\"4294967296\" state=\"full\"/>",
		"<reginfo " NS " version=\"0\" state=\"half\"/>",
		"<reginfo " NS " version=\"0\" version=\"1\" state=\"full\"/>",
		"<other " NS " version=\"0\" state=\"full\"/>",
		"<reginfo " NS
		" version=\"0\" state=\"full\"><registration state=\"active\"/></reginfo>",
		"<reginfo " NS " version=\"0\" state=\"full\"><registration aor=\"a\"/></reginfo>",
		"<reginfo " NS " version=\"0\" state=\"full\"><registration aor=\"a\" "
		"state=\"active\"><contact state=\"active\" event=\"new\"><uri>a</uri></contact>"
		"</registration></reginfo>",
		"<reginfo " NS " version=\"0\" state=\"full\"><registration aor=\"a\" "
		"state=\"active\"><contact state=\"init\" event=\"created\"><uri>a</uri></contact>"
		"</registration></reginfo>",
		/* A contact that nobody is. */
		"<reginfo " NS " version=\"0\" state=\"full\"><registration aor=\"a\" "
		"state=\"active\"><contact state=\"active\" event=\"created\"/>"
		"</registration></reginfo>",
		"<reginfo " NS " version=\"0\" state=\"full\">&nosuch;</reginfo>",
	};
	struct reginfo *info;

	for (unsigned i = 0; i < ARRAY_LENGTH(texts); i++) {
		assert_int_equal(reginfo_parse(slice_from_string(texts[i]), &info), -EINVAL);
		assert_null(info);
	}
}

static void a_document_type_is_refused(void **state)
{
	static const char *const texts[] = {
		"<!DOCTYPE reginfo><reginfo " NS " version=\"0\" state=\"full\"/>",
		"<!DOCTYPE reginfo SYSTEM \"file:///etc/passwd\"><reginfo " NS
		" version=\"0\" state=\"full\"/>",
		"<!DOCTYPE r [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;\">]>"
		"<reginfo " NS " version=\"0\" state=\"full\">&b;</reginfo>",
	};
	struct reginfo *info;

	for (unsigned i = 0; i < ARRAY_LENGTH(texts); i++)
		assert_int_equal(reginfo_parse(slice_from_string(texts[i]), &info), -EINVAL);
}

/* `piece` so many times inside a sound document, or what stands before and behind it. */
static int parse_many(unsigned count, const char *before, const char *piece, const char *behind)
{
	struct reginfo *info;
	size_t room = 4096 + count * (strlen(piece) + strlen(behind));
	char *text = malloc(room), *at = text;
	int err;

	at += sprintf(at, "<reginfo " NS " version=\"0\" state=\"full\">%s", before);
	for (unsigned i = 0; i < count; i++)
		at += sprintf(at, "%s", piece);
	if (behind[0] == '<' && behind[1] == '/')
		for (unsigned i = 0; i < count; i++)
			at += sprintf(at, "%s", behind);
	if (before[0] != '\0')
		at += sprintf(at, "</registration>");
	at += sprintf(at, "</reginfo>");
	err = reginfo_parse(slice_of(text, (size_t)(at - text)), &info);
	reginfo_free(&info);
	free(text);
	return err;
}

#define CONTACT "<contact state=\"active\" event=\"created\"><uri>a</uri></contact>"
#define ACTIVE "<registration aor=\"a\" state=\"active\">"

static void everything_is_bounded(void **state)
{
	char attributes[2048] = "<x",
	     uri[2048] = "<contact state=\"active\" event=\"created\"><uri>";

	assert_int_equal(parse_many(10, "", "<a>", "</a>"), 0);
	assert_int_equal(parse_many(30, "", "<a>", "</a>"), -E2BIG);
	assert_int_equal(parse_many(128, "", "<registration aor=\"a\" state=\"active\"/>", ""), 0);
	assert_int_equal(parse_many(129, "", "<registration aor=\"a\" state=\"active\"/>", ""),
	                 -E2BIG);
	assert_int_equal(parse_many(512, ACTIVE, CONTACT, ""), 0);
	assert_int_equal(parse_many(513, ACTIVE, CONTACT, ""), -E2BIG);
	assert_int_equal(parse_many(4000, "", "<a/>", ""), 0);
	assert_int_equal(parse_many(5000, "", "<a/>", ""), -E2BIG);
	assert_int_equal(parse_many(20000, "", "<a/>", ""), -E2BIG); /* of bytes */
	for (unsigned i = 0; i < 40; i++)
		sprintf(attributes + strlen(attributes), " a%u=\"\"", i);
	strcat(attributes, "/>");
	assert_int_equal(parse_many(1, "", attributes, ""), -E2BIG);
	memset(uri + strlen(uri), 'u', 1100);
	strcat(uri, "</uri></contact>");
	assert_int_equal(parse_many(1, ACTIVE, uri, ""), -E2BIG);
}

static void scene(void *arg)
{
	struct reginfo *info;
	int err = reginfo_parse(slice_from_string(rfc), &info);

	assert_true(err == 0 || (err == -ENOMEM && alloc_fail_happened()));
	reginfo_free(&info);
}

static void without_memory_it_says_so(void **state)
{
	assert_true(alloc_fail_each(scene, NULL) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rfcs_document_is_read),
		cmocka_unit_test(what_is_of_other_namespaces_is_skipped),
		cmocka_unit_test(a_broken_document_is_none),
		cmocka_unit_test(a_document_type_is_refused),
		cmocka_unit_test(everything_is_bounded),
		cmocka_unit_test(without_memory_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
