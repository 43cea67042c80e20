/*
 * Certificates, keys and authorities from files into contexts of OpenSSL. Built by control; workers read it.
 * RFC 5246, RFC 8446, RFC 9325 for what is offered.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/memory.h"
#include "tls_internal.h"

/* RFC 9325 4.2: forward secrecy, authenticated encryption. Those of 1.3 are all of that kind. The first is what both
 * must have (RFC 8446 9.1), and by a tenth the cheapest handshake: processors have SHA-256, of SHA-384 they know nothing. */
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CIPHERS_1_2 "ECDHE+AES128+AESGCM:ECDHE+AESGCM:ECDHE+CHACHA20"
#define GROUPS "X25519:P-256:P-384"
#define LABEL_MAX 300

void loading_fault(struct loading *loading, const char *file, const char *text)
{
	char line[512];

	loading->faulty = true;
	snprintf(line, sizeof(line), "profile %s: %s: %s", loading->settings->name, file, text);
	loading->on_fault(loading->arg, line);
}

/* The words of OpenSSL for what it did not like. */
static void library_fault(struct loading *loading, const char *file)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	loading_fault(loading, file, reason != NULL ? reason : "not understood");
	ERR_clear_error();
}

/* OpenSSL has no words for these that help: "system lib", "PEM lib". */
static void key_fault(struct loading *loading, const struct tls_pair *pair)
{
	const unsigned long error = ERR_peek_last_error();
	char text[400];
	FILE *stream = fopen(pair->key, "re");

	snprintf(text, sizeof(text), "no private key in it that opens without a passphrase");
	if (stream == NULL)
		snprintf(text, sizeof(text), "%s", error_text(-errno));
	else if (ERR_GET_LIB(error) == ERR_LIB_X509 &&
	         (ERR_GET_REASON(error) == X509_R_KEY_VALUES_MISMATCH ||
	          ERR_GET_REASON(error) == X509_R_KEY_TYPE_MISMATCH))
		snprintf(text, sizeof(text), "not the key of %s", pair->certificate);
	if (stream != NULL)
		fclose(stream);
	loading_fault(loading, pair->key, text);
	ERR_clear_error();
}

/* ---- what contexts of both roles have ---- */

/* Nobody is there to type it. */
static int no_passphrase(char *buffer, int size, int writing, void *arg)
{
	return 0;
}

static SSL_CTX *make_context(struct loading *loading, const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);

	if (context == NULL)
		return NULL;
	SSL_CTX_set_min_proto_version(context, loading->settings->minimum == 13 ? TLS1_3_VERSION
	                                                                        : TLS1_2_VERSION);
	SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
	                                     SSL_OP_CIPHER_SERVER_PREFERENCE |
	                                     SSL_OP_PRIORITIZE_CHACHA);
	/* The chain is what stands in the file. Otherwise each handshake looks for more of it among the authorities: of
	 * the system's it reads a directory, and waits for the disk. */
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
	                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
	                                  SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_max_early_data(context, 0); /* replayed REGISTERs are nobody's friend */
	SSL_CTX_set_default_passwd_cb(context, no_passphrase);
	SSL_CTX_set_cert_verify_callback(context, verify_peer, NULL);
	SSL_CTX_set_info_callback(context, tls_on_info);
	if (SSL_CTX_set_ciphersuites(context, CIPHERS_1_3) != 1 ||
	    SSL_CTX_set_cipher_list(context, CIPHERS_1_2) != 1 ||
	    SSL_CTX_set1_groups_list(context, GROUPS) != 1) {
		SSL_CTX_free(context);
		return NULL;
	}
	SSL_CTX_set1_cert_store(context, loading->authorities);
	return context;
}

static void use_pair(struct loading *loading, const struct tls_pair *pair, SSL_CTX *context)
{
	if (SSL_CTX_use_certificate_chain_file(context, pair->certificate) != 1)
		library_fault(loading, pair->certificate);
	else if (SSL_CTX_use_PrivateKey_file(context, pair->key, SSL_FILETYPE_PEM) != 1 ||
	         SSL_CTX_check_private_key(context) != 1)
		key_fault(loading, pair);
}

/* ---- servers ---- */

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const struct connection *connection = SSL_get_app_data(ssl);
	const struct tls_profile *profile = connection->tls->profile;

	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	for (unsigned wildcards = 0; wildcards < 2; wildcards++) {
		for (unsigned i = 0; i < profile->identity_count; i++) {
			const struct tls_identity *identity = &profile->identities[i];

			if (!identity_has_name(identity, name, wildcards == 1))
				continue;
			if (i > 0)
				SSL_set_SSL_CTX(ssl, identity->server);
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_NOACK; /* an old phone by address: the default may still do */
}

/* RFC 7301. Who offers something else is served all the same. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_length,
                   const unsigned char *in, unsigned in_length, void *arg)
{
	const struct connection *connection = SSL_get_app_data(ssl);
	const char *wanted = connection->hop.transport == TRANSPORT_WSS ? "http/1.1" : "sip/2";

	for (unsigned at = 0; at < in_length; at += 1u + in[at]) {
		if (at + 1 + in[at] <= in_length && in[at] == strlen(wanted) &&
		    memcmp(in + at + 1, wanted, in[at]) == 0) {
			*out = in + at + 1;
			*out_length = in[at];
			return SSL_TLSEXT_ERR_OK;
		}
	}
	return SSL_TLSEXT_ERR_NOACK;
}

static int make_server(struct loading *loading, const struct tls_pair *pair, SSL_CTX **out)
{
	const char *ca = loading->settings->ca;
	SSL_CTX *context = make_context(loading, TLS_server_method());
	STACK_OF(X509_NAME) * names;

	if (context == NULL)
		return -ENOMEM;
	*out = context;
	use_pair(loading, pair, context);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); /* tickets are enough */
	SSL_CTX_set_tlsext_servername_callback(context, on_server_name);
	SSL_CTX_set_alpn_select_cb(context, on_alpn, NULL);
	if (ca != NULL && !loading->faulty) { /* told to clients that are asked for a certificate */
		names = SSL_load_client_CA_file(ca);
		if (names == NULL)
			library_fault(loading, ca);
		else
			SSL_CTX_set_client_CA_list(context, names);
	}
	return ticket_keys_attach(loading->tickets, context);
}

static int load_identity(struct loading *loading, unsigned index, struct tls_identity *identity)
{
	const struct tls_pair *pair = &loading->settings->pairs[index];
	char label[LABEL_MAX];
	int err;

	if (index == 0)
		snprintf(label, sizeof(label), "%s", loading->settings->name);
	else
		snprintf(label, sizeof(label), "%s-%u", loading->settings->name, index + 1);
	identity->label = memory_strdup(label);
	if (identity->label == NULL)
		return -ENOMEM;
	err = certificate_examine(loading, pair, identity);
	if (err != 0 || loading->faulty)
		return err;
	return make_server(loading, pair, &identity->server);
}

/* ---- clients ---- */

static int make_client(struct loading *loading, SSL_CTX **out)
{
	SSL_CTX *context = make_context(loading, TLS_client_method());

	if (context == NULL)
		return -ENOMEM;
	*out = context;
	if (loading->settings->pair_count > 0)
		use_pair(loading, &loading->settings->pairs[0], context);
	SSL_CTX_set_verify(context,
	                   loading->settings->verify == TLS_VERIFY_NONE ? SSL_VERIFY_NONE
	                                                                : SSL_VERIFY_PEER,
	                   NULL);
	/* Ours to keep, by whom they are of: tls_session.c. */
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, session_on_new);
	return 0;
}

/* ---- profiles ---- */

/* Their names and keys count, not the file's: hashed as it stands, so that nodes with the same file agree. */
static int hash_file(const char *path, EVP_MD_CTX *hash)
{
	char bytes[4096];
	size_t length;
	FILE *stream = path != NULL ? fopen(path, "re") : NULL;

	if (stream == NULL)
		return path == NULL ? 0 : -errno;
	while ((length = fread(bytes, 1, sizeof(bytes), stream)) > 0)
		EVP_DigestUpdate(hash, bytes, length);
	fclose(stream);
	return 0;
}

static int name_sessions(struct loading *loading, struct tls_profile *profile)
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	int err = hash != NULL ? 0 : -ENOMEM;

	for (unsigned char mode = 0; mode < CLIENT_CERTIFICATE_MODES && err == 0; mode++) {
		if (EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1) {
			err = -ENOMEM;
			break;
		}
		EVP_DigestUpdate(hash, profile->name, strlen(profile->name) + 1);
		EVP_DigestUpdate(hash, &mode, 1);
		err = mode != TLS_CLIENT_NONE ? hash_file(loading->settings->ca, hash) : 0;
		EVP_DigestFinal_ex(hash, profile->session_context[mode], NULL);
	}
	EVP_MD_CTX_free(hash);
	if (err != 0 && err != -ENOMEM) {
		loading_fault(loading, loading->settings->ca, error_text(err));
		err = 0;
	}
	return err;
}

static int load_authorities(struct loading *loading)
{
	const char *ca = loading->settings->ca;
	struct stat status;

	loading->authorities = X509_STORE_new();
	if (loading->authorities == NULL)
		return -ENOMEM;
	if (ca == NULL) {
		if (X509_STORE_set_default_paths(loading->authorities) != 1)
			library_fault(loading, "the system's authorities");
	} else if (stat(ca, &status) != 0) {
		loading_fault(loading, ca, error_text(-errno));
	} else if (X509_STORE_load_file(loading->authorities, ca) != 1) {
		library_fault(loading, ca);
	}
	return 0;
}

static int load_profile(struct loading *loading, struct tls_profile *profile)
{
	const struct tls_profile_settings *settings = loading->settings;
	int err;

	ERR_clear_error();
	profile->verify = settings->verify;
	profile->name = memory_strdup(settings->name);
	profile->identities =
		memory_zalloc((settings->pair_count + 1) * sizeof(*profile->identities));
	if (profile->name == NULL || profile->identities == NULL)
		return -ENOMEM;
	if (settings->pair_count > TLS_PAIRS_MAX) {
		loading_fault(loading, settings->name, "more than 64 certificates");
		return 0;
	}
	err = load_authorities(loading);
	for (unsigned i = 0; i < settings->pair_count && err == 0; i++)
		err = load_identity(loading, i, &profile->identities[profile->identity_count++]);
	if (err == 0 && !loading->faulty)
		err = name_sessions(loading, profile);
	if (err == 0 && !loading->faulty)
		err = make_client(loading, &profile->client);
	X509_STORE_free(loading->authorities);
	loading->authorities = NULL;
	return err;
}

static void book_free(struct snapshot *snapshot)
{
	struct tls_book *book = CONTAINER_OF(snapshot, struct tls_book, snapshot);

	for (unsigned i = 0; i < book->profile_count; i++) {
		struct tls_profile *profile = &book->profiles[i];

		for (unsigned j = 0; j < profile->identity_count; j++)
			identity_free(&profile->identities[j]);
		memory_free(profile->identities);
		memory_free(profile->name);
		SSL_CTX_free(profile->client);
	}
	memory_free(book->profiles);
	ticket_keys_release(book->tickets);
	memory_free(book);
}

static int book_fill(struct tls_book *book, const struct tls_settings *settings,
                     const struct tls_book *previous, void (*on_fault)(void *arg, const char *text),
                     void *arg)
{
	struct ticket_keys *kept =
		previous != NULL && previous->random_tickets ? previous->tickets : NULL;
	struct loading loading = {.on_fault = on_fault, .arg = arg};
	bool faulty = false;
	int err;

	book->random_tickets = settings->ticket_keys == NULL;
	err = ticket_keys_load(settings->ticket_keys, kept, on_fault, arg, &book->tickets);
	if (err == -ENOMEM)
		return err;
	faulty = err != 0;
	/* Every fault in one pass: without its keys a profile is still looked at. */
	if (faulty && ticket_keys_load(NULL, NULL, on_fault, arg, &book->tickets) != 0)
		return -ENOMEM;
	err = 0;
	for (unsigned i = 0; i < settings->profile_count && err == 0; i++) {
		loading.settings = &settings->profiles[i];
		loading.tickets = book->tickets;
		loading.faulty = false;
		err = load_profile(&loading, &book->profiles[book->profile_count++]);
		faulty |= loading.faulty;
	}
	return err == 0 && faulty ? -EINVAL : err;
}

int tls_book_load(const struct tls_settings *settings, const struct tls_book *previous,
                  void (*on_fault)(void *arg, const char *text), void *arg, struct tls_book **out)
{
	struct tls_book *book = memory_zalloc(sizeof(*book));
	int err;

	if (book == NULL)
		return -ENOMEM;
	snapshot_init(&book->snapshot, book_free);
	book->profiles = memory_zalloc((settings->profile_count + 1) * sizeof(*book->profiles));
	err = book->profiles != NULL ? book_fill(book, settings, previous, on_fault, arg) : -ENOMEM;
	if (err != 0) {
		snapshot_release(&book->snapshot);
		return err;
	}
	*out = book;
	return 0;
}

/* ---- reading ---- */

struct snapshot *tls_book_snapshot(struct tls_book *book)
{
	return &book->snapshot;
}

const struct tls_profile *tls_book_profile(const struct tls_book *book, const char *name)
{
	for (unsigned i = 0; book != NULL && name != NULL && i < book->profile_count; i++) {
		if (strcmp(book->profiles[i].name, name) == 0)
			return &book->profiles[i];
	}
	return NULL;
}

bool tls_book_has_profile(const struct tls_book *book, const char *name)
{
	return tls_book_profile(book, name) != NULL;
}

unsigned tls_book_certificate_count(const struct tls_book *book)
{
	unsigned count = 0;

	for (unsigned i = 0; i < book->profile_count; i++)
		count += book->profiles[i].identity_count;
	return count;
}

bool tls_book_certificate(const struct tls_book *book, unsigned index, struct tls_certificate *out)
{
	for (unsigned i = 0; i < book->profile_count; i++) {
		const struct tls_profile *profile = &book->profiles[i];

		if (index < profile->identity_count) {
			const struct tls_identity *identity = &profile->identities[index];

			*out = (struct tls_certificate){identity->label, identity->subject,
			                                identity->not_after_s};
			return true;
		}
		index -= profile->identity_count;
	}
	return false;
}
