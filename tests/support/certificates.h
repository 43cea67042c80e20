/*
 * A certification authority in a directory of its own, made by OpenSSL's C API: certificates sound and unsound, as
 * PEM files. ECDSA keys, since they are made in no time.
 */
#ifndef TESTS_SUPPORT_CERTIFICATES_H
#define TESTS_SUPPORT_CERTIFICATES_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct authority {
	char directory[64];
	EVP_PKEY *key;
	X509 *certificate;
	char ca[128]; /* its certificate as a file */
};

struct certificate_wish {
	const char *name;  /* of the files: NAME.pem, NAME.key */
	const char *cn;    /* NULL: none */
	const char *names; /* "DNS:a.example,URI:sip:b.example,IP:127.0.0.1"; NULL: none */
	long from_s, to_s; /* from now; both 0: a day around it */
};

static inline void authority_path(const struct authority *authority, const char *name,
                                  const char *ending, char *path, size_t size)
{
	assert_true(snprintf(path, size, "%s/%s.%s", authority->directory, name, ending) <
	            (int)size);
}

static inline void extension_add(X509 *certificate, int nid, const char *value)
{
	X509_EXTENSION *extension;
	X509V3_CTX context;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	assert_non_null(extension);
	assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static inline X509 *certificate_make(const struct certificate_wish *wish, EVP_PKEY *key,
                                     X509 *issuer, EVP_PKEY *issuer_key)
{
	static long serial = 1;
	X509 *certificate = X509_new();
	const bool ca = issuer == NULL;

	assert_non_null(certificate);
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
	X509_gmtime_adj(X509_getm_notBefore(certificate), wish->to_s != 0 ? wish->from_s : -86400);
	X509_gmtime_adj(X509_getm_notAfter(certificate), wish->to_s != 0 ? wish->to_s : 86400);
	if (wish->cn != NULL)
		X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
		                           (const unsigned char *)wish->cn, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(ca ? certificate : issuer));
	X509_set_pubkey(certificate, key);
	if (ca)
		extension_add(certificate, NID_basic_constraints, "critical,CA:TRUE");
	if (wish->names != NULL)
		extension_add(certificate, NID_subject_alt_name, wish->names);
	assert_true(X509_sign(certificate, ca ? key : issuer_key, EVP_sha256()) > 0);
	return certificate;
}

static inline void write_certificate(const char *path, const char *mode, X509 *certificate)
{
	FILE *file = fopen(path, mode);

	assert_non_null(file);
	assert_int_equal(PEM_write_X509(file, certificate), 1);
	fclose(file);
}

static inline void write_text(const char *path, const char *text, int mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	chmod(path, (mode_t)mode);
}

static inline void authority_create(struct authority *authority, const char *cn)
{
	const struct certificate_wish wish = {.cn = cn};

	snprintf(authority->directory, sizeof(authority->directory), "/tmp/bono-ca-XXXXXX");
	assert_non_null(mkdtemp(authority->directory));
	authority->key = EVP_EC_gen("P-256");
	authority->certificate = certificate_make(&wish, authority->key, NULL, NULL);
	authority_path(authority, "ca", "pem", authority->ca, sizeof(authority->ca));
	write_certificate(authority->ca, "w", authority->certificate);
}

/* NAME.pem and NAME.key in its directory. */
static inline void authority_issue(struct authority *authority, const struct certificate_wish *wish)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = certificate_make(wish, key, authority->certificate, authority->key);
	char path[128];
	FILE *file;

	authority_path(authority, wish->name, "pem", path, sizeof(path));
	write_certificate(path, "w", certificate);
	authority_path(authority, wish->name, "key", path, sizeof(path));
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

static inline void authority_destroy(struct authority *authority)
{
	char command[128];

	X509_free(authority->certificate);
	EVP_PKEY_free(authority->key);
	snprintf(command, sizeof(command), "rm -rf '%s'", authority->directory);
	assert_int_equal(system(command), 0);
}

#endif
