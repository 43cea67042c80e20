/* The table of trust: every pair of a header and a crossing that it has is tried, in every spelling; and what may
 * never cross is said once more, from the RFCs alone. */
#include "base/hash.h"
#include "proxy/trust.h"
#include "support/alloc_fail.h"
#include "support/generated_page.h"
#include "support/sip_text.h"

#include <ctype.h>

static const char *const head[2] = {
	"SIP/2.0 200 OK\n",
	"MESSAGE sip:bob@example.net SIP/2.0\n",
};
#define VIA "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa\n"
#define TAIL                                                                                       \
	"From: <sip:alice@example.net>;tag=1\n"                                                    \
	"To: <sip:bob@example.net>;tag=2\n"                                                        \
	"Call-ID: x\n"                                                                             \
	"CSeq: 1 MESSAGE\n"

/* A value that each header's grammar allows, with a mark in it, and a second one where it is a list. */
static const struct {
	const char *name, *value, *second;
} samples[] = {
	{"P-Asserted-Identity", "<sip:mark@example.net>", "<tel:+1555mark>"},
	{"P-Preferred-Identity", "<sip:mark@example.net>", "<sip:mark2@example.net>"},
	{"P-Associated-URI", "<sip:mark@example.net>", "<sip:mark2@example.net>"},
	{"P-Called-Party-ID", "<sip:mark@example.net>", NULL},
	{"P-Access-Network-Info", "3GPP-E-UTRAN-FDD;utran-cell-id-3gpp=mark", "IEEE-802.11;mark"},
	{"P-Visited-Network-ID", "mark", "\"mark, two\""},
	{"P-Charging-Vector", "icid-value=mark;icid-generated-at=192.0.2.1", NULL},
	{"P-Charging-Function-Addresses", "ccf=mark", "ecf=mark"},
	{"Path", "<sip:mark@192.0.2.66;lr>", "<sip:mark2@192.0.2.66;lr>"},
	{"Service-Route", "<sip:mark@192.0.2.66;lr>", "<sip:mark2@192.0.2.66;lr>"},
	{"Authorization",
         "Digest username=\"mark\", realm=\"r\", nonce=\"n\", uri=\"sip:a\", response=\"0\"", NULL},
	{"Proxy-Authorization",
         "Digest username=\"mark\", realm=\"r\", nonce=\"n\", uri=\"sip:a\", response=\"0\"", NULL},
	{"WWW-Authenticate", "Digest realm=\"mark\", nonce=\"n\"", NULL},
	{"Proxy-Authenticate", "Digest realm=\"mark\", nonce=\"n\"", NULL},
	{"Authentication-Info", "nextnonce=\"mark\"", NULL},
	{"Privacy", "none", NULL},
	{"History-Info", "<sip:mark@example.net>;index=1", "<sip:mark2@example.net>;index=1.1"},
	{"Reply-To", "<sip:mark@example.net>", NULL},
	{"Referred-By", "<sip:mark@example.net>", NULL},
	{"Remote-Party-ID", "<sip:mark@example.net>;party=calling", NULL},
	{"Call-Info", "<http://mark.example.net/>;purpose=icon", NULL},
	{"In-Reply-To", "mark@example.net", "mark2@example.net"},
	{"Warning", "399 mark \"mark\"", NULL},
	{"Geolocation", "<sip:mark@example.net>", NULL},
	{"Identity", "\"bWFyaw==\"", NULL},
	{"Identity-Info", "<https://mark.example.net/c.cer>;alg=rsa-sha1", NULL},
	{"Priority", "mark", NULL},
	{"Resource-Priority", "wps.0", "dsn.flash"},
};

static const char *value_of(const struct trust_row *row, const char **second)
{
	*second = NULL;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		if (!slice_equal(row->name, slice_from_string(samples[i].name)))
			continue;
		*second = samples[i].second;
		return samples[i].value;
	}
	return "mark";
}

/* Spellings of a name: as registered, in other letters, with blanks before the colon, in its compact form. */
enum { SPELLINGS = 5 };

static const char *compact_of(const struct trust_row *row)
{
	static const char *const forms[][2] = {{"Subject", "s"},
	                                       {"Referred-By", "B"},
	                                       {"Identity", "y"},
	                                       {"Identity-Info", "N"}};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (slice_equal(row->name, slice_from_string(forms[i][0])))
			return forms[i][1];
	return NULL;
}

static void spell(char out[64], const struct trust_row *row, int spelling)
{
	if (spelling == 4 && compact_of(row) != NULL) {
		strcpy(out, compact_of(row));
		return;
	}
	snprintf(out, 64, "%.*s%s", SLICE_ARGS(row->name), spelling == 3 ? " \t" : "");
	for (char *at = out; spelling > 0 && *at != '\0'; at++)
		*at = (char)(spelling == 1 || (at - out) % 2 == 0 ? tolower(*at) : toupper(*at));
}

/* The row's header thrice: one value, a list of two or the one again, and the first once more. */
static void write_message(char out[2048], bool is_request, const struct trust_row *row,
                          int spelling, const char *privacy, bool without_row)
{
	const char *second, *value = value_of(row, &second);
	char name[64];

	spell(name, row, spelling);
	if (without_row)
		snprintf(out, 2048, "%s" VIA "%sX-Before: 1\nX-After: 2\n" TAIL "\n",
		         head[is_request], privacy);
	else
		snprintf(out, 2048,
		         "%s" VIA "%s: %s\n%sX-Before: 1\n%s: %s%s%s\n%s: %s\nX-After: 2\n" TAIL
		         "\n",
		         head[is_request], name, value, privacy, name, value,
		         second != NULL ? ", " : "", second != NULL ? second : "", name, value);
}

static char rule_of(const struct trust_row *row, bool is_request, enum crossing crossing)
{
	return (is_request ? row->request : row->response)[crossing];
}

static void try_pair(const struct trust_row *row, bool is_request, enum crossing crossing,
                     const char *privacy, bool stays)
{
	char before[2048], after[2048];

	for (int spelling = 0; spelling < SPELLINGS; spelling++) {
		struct message *message;

		write_message(before, is_request, row, spelling, privacy, false);
		write_message(after, is_request, row, spelling, privacy, !stays);
		message = sip_parse(before);
		assert_int_equal(trust_apply(message, crossing), 0);
		assert_prints(&message, after);
	}
}

static const char *privacy_line(unsigned kinds)
{
	static char text[128];

	snprintf(text, sizeof(text), "Privacy: critical%s%s%s%s%s\n",
	         kinds & PRIVACY_ID ? ";ID" : "", kinds & PRIVACY_USER ? " ; user" : "",
	         kinds & PRIVACY_HEADER ? ";header" : "", kinds & PRIVACY_HISTORY ? ";history" : "",
	         kinds & PRIVACY_SESSION ? ";session" : "");
	return text;
}

static const unsigned all_kinds[] = {PRIVACY_ID, PRIVACY_USER, PRIVACY_HEADER, PRIVACY_HISTORY,
                                     PRIVACY_SESSION};

static void every_pair_of_the_table_is_done(void **state)
{
	unsigned count, pairs = 0;
	const struct trust_row *rows = trust_rows(&count);

	for (unsigned i = 0; i < count; i++) {
		for (unsigned at = 0; at < 2 * CROSSINGS; at++) {
			enum crossing crossing = (enum crossing)(at / 2);
			bool is_request = at % 2 == 0;
			char rule = rule_of(&rows[i], is_request, crossing);

			try_pair(&rows[i], is_request, crossing, "",
			         rule != TRUST_STRIP && rule != TRUST_SET);
			for (unsigned k = 0; rule == TRUST_PRIVACY && k < 5; k++)
				try_pair(&rows[i], is_request, crossing, privacy_line(all_kinds[k]),
				         (rows[i].privacy & all_kinds[k]) == 0);
			pairs++;
		}
	}
	assert_int_equal(pairs, count * 2 * CROSSINGS);
}

static void the_rows_are_whole(void **state)
{
	unsigned count;
	const struct trust_row *rows = trust_rows(&count);

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(strlen(rows[i].request), CROSSINGS);
		assert_int_equal(strlen(rows[i].response), CROSSINGS);
		assert_int_equal(strspn(rows[i].request, ".x=?-"), CROSSINGS);
		assert_int_equal(strspn(rows[i].response, ".x=?-"), CROSSINGS);
		assert_int_equal(strchr(rows[i].request, '-') != NULL ||
		                         strchr(rows[i].response, '-') != NULL,
		                 rows[i].part != PART_NONE);
		assert_int_equal(strchr(rows[i].request, '?') != NULL ||
		                         strchr(rows[i].response, '?') != NULL,
		                 rows[i].privacy != 0);
		assert_ptr_equal(trust_row_find(rows[i].name), &rows[i]);
	}
	assert_null(trust_row_find(SLICE_LITERAL("Via")));
	assert_null(trust_row_find(SLICE_LITERAL("P-Asserted-Identitx")));
	assert_null(trust_row_find(SLICE_NONE));
}

/* Half of what may not cross is worse than no message: every failure is told. */
static void scene(void *arg)
{
	struct slice bytes = sip_text("SIP/2.0 401 No\n" VIA TAIL
	                              "WWW-Authenticate: Digest realm=\"r\", ck=\"1\", ik=\"2\"\n"
	                              "History-Info: <sip:a@b>;index=1, <sip:c@d>;index=1.1\n"
	                              "Privacy: history\n\n");
	enum guard_verdict verdict;
	struct message *message;
	int err = -ENOMEM;

	message_parse(bytes, SIP_TEXT_LIMIT, &message, &verdict);
	free((char *)bytes.data);
	if (message != NULL)
		err = trust_apply(message, CROSSING_CORE_TO_CLIENT);
	assert_int_equal(err, alloc_fail_happened() ? -ENOMEM : 0);
	message_destroy(&message);
}

static void the_end_of_memory_is_told(void **state)
{
	assert_true(alloc_fail_each(scene, NULL) > 0);
}

static void the_page_says_what_the_table_says(void **state)
{
	struct buffer out;

	buffer_init(&out);
	trust_write_docs(&out);
	generated_page_check("docs/TRUST.md", &out);
	buffer_free(&out);
}

static int setup(void **state)
{
	hash_key_init();
	trust_init();
	return message_system_init();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rows_are_whole),
		cmocka_unit_test(every_pair_of_the_table_is_done),
		cmocka_unit_test(the_end_of_memory_is_told),
		cmocka_unit_test(the_page_says_what_the_table_says),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
