/*
 * Is the peer who it should be? A server: the configured name or address. A client of a listener with names: one of
 * those. RFC 5922 7.1 to 7.4. Worker thread.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "sip/uri.h"
#include "tls_internal.h"

/* ---- names ---- */

static struct slice text_of(const ASN1_STRING *string)
{
	return slice_of((const char *)ASN1_STRING_get0_data(string),
	                (size_t)ASN1_STRING_length(string));
}

/* RFC 5922 7.2: no wildcard, and no part of a name. A NUL inside makes it longer than any name of ours. */
static bool is_name(struct slice shown, const char *name)
{
	return slice_equal_nocase(shown, slice_from_string(name));
}

/* sip:example.net, without a user: the identity of the domain (RFC 5922 7.1). */
static bool uri_is_name(struct slice shown, const char *name)
{
	struct uri uri;

	return uri_parse(shown, &uri) && uri.scheme == URI_SIP && slice_is_empty(uri.user) &&
	       is_name(uri.host, name);
}

static bool common_name_is(X509 *certificate, const char *name)
{
	X509_NAME *subject = X509_get_subject_name(certificate);
	const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	return at >= 0 &&
	       is_name(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))), name);
}

static bool shows_name(X509 *certificate, const char *name)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	bool has_names = false, found = false;

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && !found; i++) {
		const GENERAL_NAME *shown = sk_GENERAL_NAME_value(names, i);

		has_names |= shown->type == GEN_URI || shown->type == GEN_DNS;
		if (shown->type == GEN_URI)
			found = uri_is_name(text_of(shown->d.uniformResourceIdentifier), name);
		else if (shown->type == GEN_DNS)
			found = is_name(text_of(shown->d.dNSName), name);
	}
	GENERAL_NAMES_free(names);
	return found || (!has_names && common_name_is(certificate, name));
}

static bool shows_address(X509 *certificate, const struct address *address)
{
	const bool v4 = address->family == AF_INET;

	return X509_check_ip(certificate,
	                     v4 ? (const unsigned char *)&address->v4.sin_addr
	                        : (const unsigned char *)&address->v6.sin6_addr,
	                     v4 ? 4 : 16, 0) == 1;
}

bool certificate_shows(X509 *certificate, const char *name, const struct address *address)
{
	struct address literal;

	if (name == NULL)
		return shows_address(certificate, address);
	if (address_parse_host(slice_from_string(name), 0, &literal))
		return shows_address(certificate, &literal);
	return shows_name(certificate, name);
}

static bool shows_one_of(X509 *certificate, const struct listener_settings *listener)
{
	for (unsigned i = 0; i < listener->allow_name_count; i++) {
		const char *name = listener->allow_names[i];

		if (strncasecmp(name, "sip:", 4) == 0)
			name += 4;
		if (certificate_shows(certificate, name, NULL))
			return true;
	}
	return listener->allow_name_count == 0;
}

/* ---- the verdict ---- */

static const struct listener_settings *listener_of(const struct connection *connection)
{
	return connection->transport->listeners[connection->hop.listener].settings;
}

static bool name_is_right(const struct connection *connection, X509 *certificate)
{
	if (!connection->opened_by_us)
		return shows_one_of(certificate, listener_of(connection));
	if (connection->tls->profile->verify != TLS_VERIFY_NAME)
		return true;
	return certificate_shows(certificate, connection->dialled->name, &connection->hop.remote);
}

/* For the log: whose certificate, and what of it. */
static void note(struct connection *connection, X509 *certificate, int error)
{
	struct tls_worker *worker = connection->transport->tls;
	char subject[64] = "?", date[DATE_TEXT_MAX];

	worker->note[0] = '\0';
	if (certificate == NULL)
		return;
	X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, subject,
	                          sizeof(subject));
	printable(subject);
	asn1_date(error == X509_V_ERR_CERT_NOT_YET_VALID ? X509_get0_notBefore(certificate)
	                                                 : X509_get0_notAfter(certificate),
	          date);
	if (error == X509_V_ERR_CERT_HAS_EXPIRED)
		snprintf(worker->note, NOTE_MAX, "certificate of CN=%s expired %s", subject, date);
	else if (error == X509_V_ERR_CERT_NOT_YET_VALID)
		snprintf(worker->note, NOTE_MAX, "certificate of CN=%s is not valid before %s",
		         subject, date);
	else if (error == X509_V_ERR_HOSTNAME_MISMATCH && connection->opened_by_us &&
	         connection->dialled->name != NULL)
		snprintf(worker->note, NOTE_MAX, "certificate of CN=%s does not show %.80s",
		         subject, connection->dialled->name);
	else
		snprintf(worker->note, NOTE_MAX, "certificate of CN=%s: %s", subject,
		         X509_verify_cert_error_string(error));
}

int verify_peer(X509_STORE_CTX *chain, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct connection *connection = SSL_get_app_data(ssl);
	X509 *leaf = X509_STORE_CTX_get0_cert(chain);

	if (connection->opened_by_us && connection->tls->profile->verify == TLS_VERIFY_NONE)
		return 1;
	if (X509_verify_cert(chain) != 1) {
		note(connection, X509_STORE_CTX_get_current_cert(chain),
		     X509_STORE_CTX_get_error(chain));
		return 0;
	}
	if (name_is_right(connection, leaf))
		return 1;
	X509_STORE_CTX_set_error(chain, X509_V_ERR_HOSTNAME_MISMATCH);
	note(connection, leaf, X509_V_ERR_HOSTNAME_MISMATCH);
	return 0;
}

/* X509_V_OK, or what is wrong with it by now. */
static int judge_again(const struct connection *connection, X509 *certificate)
{
	if (certificate == NULL ||
	    (connection->opened_by_us && connection->tls->profile->verify == TLS_VERIFY_NONE))
		return X509_V_OK;
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		return X509_V_ERR_CERT_HAS_EXPIRED;
	return name_is_right(connection, certificate) ? X509_V_OK : X509_V_ERR_HOSTNAME_MISMATCH;
}

bool verify_session(struct connection *connection, const SSL_SESSION *session)
{
	/* lends, though its type does not say so */
	return judge_again(connection, SSL_SESSION_get0_peer((SSL_SESSION *)session)) == X509_V_OK;
}

enum tls_result verify_resumed(struct connection *connection, SSL *ssl)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	const int error = judge_again(connection, certificate);

	if (error == X509_V_OK)
		return TLS_RESULT_RESUMED;
	note(connection, certificate, error);
	return error == X509_V_ERR_CERT_HAS_EXPIRED ? TLS_RESULT_EXPIRED : TLS_RESULT_WRONG_NAME;
}
