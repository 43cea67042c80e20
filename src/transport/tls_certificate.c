/*
 * Our own certificates, looked at before they are used: what a peer would refuse is a fault here, when somebody is
 * there to read it. Control thread only. RFC 5280, RFC 6125.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/error.h"
#include "base/memory.h"
#include "tls_internal.h"

#define SUBJECT_MAX 256

void asn1_date(const ASN1_TIME *time, char *text)
{
	struct tm date;

	if (ASN1_TIME_to_tm(time, &date) != 1 ||
	    strftime(text, DATE_TEXT_MAX, "%Y-%m-%d", &date) == 0)
		snprintf(text, DATE_TEXT_MAX, "?");
}

static int64_t asn1_seconds(const ASN1_TIME *time)
{
	struct tm date;

	return ASN1_TIME_to_tm(time, &date) == 1 ? (int64_t)timegm(&date) : 0;
}

void printable(char *text)
{
	for (; *text != '\0'; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
}

/* ---- names ---- */

static int add_name(struct tls_identity *identity, const unsigned char *text, int length)
{
	char **names, *name;

	if (length <= 0 || memchr(text, '\0', (size_t)length) != NULL)
		return 0; /* not a name that a client can ask for */
	names = memory_realloc(identity->names,
	                       (identity->name_count + 1) * sizeof(*identity->names));
	if (names == NULL)
		return -ENOMEM;
	identity->names = names;
	name = memory_alloc((size_t)length + 1);
	if (name == NULL)
		return -ENOMEM;
	memcpy(name, text, (size_t)length);
	name[length] = '\0';
	identity->names[identity->name_count++] = name;
	return 0;
}

static int add_common_name(struct tls_identity *identity, X509 *certificate)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	const ASN1_STRING *text;

	if (at < 0)
		return 0;
	text = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
	return add_name(identity, ASN1_STRING_get0_data(text), ASN1_STRING_length(text));
}

static int take_names(struct tls_identity *identity, X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	int err = 0;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && err == 0; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			err = add_name(identity, ASN1_STRING_get0_data(name->d.dNSName),
			               ASN1_STRING_length(name->d.dNSName));
	}
	GENERAL_NAMES_free(names);
	if (err == 0 && identity->name_count == 0)
		err = add_common_name(identity, certificate);
	return err;
}

bool identity_has_name(const struct tls_identity *identity, const char *name, bool wildcards)
{
	const char *rest = strchr(name, '.');

	for (unsigned i = 0; i < identity->name_count; i++) {
		const char *own = identity->names[i];

		if (!wildcards && strcasecmp(own, name) == 0)
			return true;
		if (wildcards && rest != NULL && own[0] == '*' && strcasecmp(own + 1, rest) == 0)
			return true;
	}
	return false;
}

static int take_subject(struct tls_identity *identity, X509 *certificate)
{
	char text[SUBJECT_MAX];

	text[0] = '\0';
	if (X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text,
	                              sizeof(text)) < 0 &&
	    identity->name_count > 0)
		snprintf(text, sizeof(text), "%s", identity->names[0]);
	printable(text);
	identity->subject = memory_alloc(strlen(text) + sizeof("CN="));
	if (identity->subject == NULL)
		return -ENOMEM;
	memcpy(identity->subject, "CN=", 3);
	memcpy(identity->subject + 3, text, strlen(text) + 1);
	return 0;
}

void identity_free(struct tls_identity *identity)
{
	for (unsigned i = 0; i < identity->name_count; i++)
		memory_free(identity->names[i]);
	memory_free(identity->names);
	memory_free(identity->label);
	memory_free(identity->subject);
	SSL_CTX_free(identity->server);
}

/* ---- the chain ---- */

static void check_dates(struct loading *loading, const char *file, X509 *certificate,
                        unsigned place)
{
	char text[96], date[DATE_TEXT_MAX], which[48] = "";

	if (place > 0)
		snprintf(which, sizeof(which), "certificate %u of the chain ", place + 1);
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
		asn1_date(X509_get0_notAfter(certificate), date);
		snprintf(text, sizeof(text), "%sexpired %s", which, date);
		loading_fault(loading, file, text);
	} else if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
		asn1_date(X509_get0_notBefore(certificate), date);
		snprintf(text, sizeof(text), "%snot valid before %s", which, date);
		loading_fault(loading, file, text);
	}
}

static void check_issued(struct loading *loading, const char *file, X509 *subject, X509 *issuer,
                         unsigned place)
{
	char text[96];

	if (X509_check_issued(issuer, subject) == X509_V_OK &&
	    X509_verify(subject, X509_get0_pubkey(issuer)) == 1)
		return;
	snprintf(text, sizeof(text), "certificate %u is not issued by certificate %u behind it",
	         place, place + 1);
	loading_fault(loading, file, text);
}

/* One after the other, as they stand in the file. */
static X509 *read_leaf(struct loading *loading, const char *file, FILE *stream)
{
	X509 *leaf = NULL, *before = NULL, *next;
	unsigned place = 0;

	while ((next = PEM_read_X509(stream, NULL, NULL, NULL)) != NULL) {
		check_dates(loading, file, next, place);
		if (before != NULL)
			check_issued(loading, file, before, next, place);
		if (before != leaf)
			X509_free(before);
		if (leaf == NULL)
			leaf = next;
		before = next;
		place++;
	}
	if (before != leaf)
		X509_free(before);
	ERR_clear_error(); /* the end of the file is one */
	return leaf;
}

int certificate_examine(struct loading *loading, const struct tls_pair *pair,
                        struct tls_identity *identity)
{
	FILE *stream = fopen(pair->certificate, "re");
	X509 *leaf;
	int err;

	if (stream == NULL) {
		loading_fault(loading, pair->certificate, error_text(-errno));
		return 0;
	}
	leaf = read_leaf(loading, pair->certificate, stream);
	fclose(stream);
	if (leaf == NULL) {
		loading_fault(loading, pair->certificate, "no certificate in it");
		return 0;
	}
	identity->not_after_s = asn1_seconds(X509_get0_notAfter(leaf));
	err = take_names(identity, leaf);
	if (err == 0)
		err = take_subject(identity, leaf);
	X509_free(leaf);
	return err;
}
