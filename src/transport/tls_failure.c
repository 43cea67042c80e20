/*
 * Why a handshake failed: a name for the counter, words for the log. Worker thread only. RFC 8446 6.2.
 */
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "tls_internal.h"

/* A scan of the whole internet comes by several times a day; nobody reads more than these of a window. */
#define LOG_WINDOW_MS 10000
#define LOG_LINES_MAX 20

static enum tls_result of_certificate(long verdict)
{
	switch (verdict) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return TLS_RESULT_EXPIRED;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLS_RESULT_NOT_YET_VALID;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return TLS_RESULT_WRONG_NAME;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		return TLS_RESULT_UNKNOWN_CA;
	default:
		return TLS_RESULT_OTHER_CERTIFICATE;
	}
}

static enum tls_result of_reason(int reason)
{
	switch (reason) {
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return TLS_RESULT_NO_CLIENT_CERTIFICATE;
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
	case SSL_R_VERSION_TOO_HIGH:
	case SSL_R_WRONG_SSL_VERSION:
	case SSL_R_UNKNOWN_PROTOCOL:
	case SSL_R_NO_PROTOCOLS_AVAILABLE:
		return TLS_RESULT_NO_SHARED_VERSION;
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_CIPHER_MATCH:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
		return TLS_RESULT_NO_SHARED_CIPHER;
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
		return TLS_RESULT_NOT_TLS;
	case ERR_R_MALLOC_FAILURE:
	case ERR_R_INTERNAL_ERROR:
		return TLS_RESULT_OTHER;
	default:
		return TLS_RESULT_PROTOCOL;
	}
}

static enum tls_result of_queue(struct tls_worker *worker, SSL *ssl, char *text)
{
	const unsigned long code = ERR_peek_last_error();
	const int reason = ERR_GET_REASON(code);
	const char *words = ERR_reason_error_string(code);

	if (ERR_GET_LIB(code) != ERR_LIB_SSL) {
		snprintf(text, NOTE_MAX, "%s", words != NULL ? words : "error");
		return TLS_RESULT_OTHER;
	}
	if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		snprintf(text, NOTE_MAX, "%s",
		         worker->note[0] != '\0'
		                 ? worker->note
		                 : X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
		return of_certificate(SSL_get_verify_result(ssl));
	}
	if (reason >= SSL_AD_REASON_OFFSET) {
		snprintf(text, NOTE_MAX, "the peer says: %s",
		         SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
		return TLS_RESULT_PEER_ALERT;
	}
	snprintf(text, NOTE_MAX, "%s", words != NULL ? words : "error");
	return of_reason(reason);
}

enum tls_result failure_classify(struct tls_worker *worker, SSL *ssl, int ssl_error, char *text)
{
	enum tls_result result = TLS_RESULT_OTHER;

	snprintf(text, NOTE_MAX, "error");
	if (worker->write_error != 0) {
		snprintf(text, NOTE_MAX, "%s", error_text(-worker->write_error));
		result = TLS_RESULT_PEER_CLOSED;
	} else if (ssl_error == SSL_ERROR_SSL && ERR_peek_last_error() != 0) {
		result = of_queue(worker, ssl, text);
	} else if (ssl_error == SSL_ERROR_WANT_WRITE) {
		snprintf(text, NOTE_MAX, "the peer does not read");
	}
	ERR_clear_error();
	return result;
}

/* Few lines in a window; of the others how many there were. */
static bool may_log(struct connection *connection)
{
	struct tls_worker *worker = connection->transport->tls;
	const uint64_t now = loop_now_ms(connection->transport->loop);

	if (now >= worker->log_window_ms) {
		if (worker->unlogged > 0)
			log_info("tls: %u more handshakes failed, not told one by one",
			         worker->unlogged);
		worker->log_window_ms = now + LOG_WINDOW_MS;
		worker->logged = worker->unlogged = 0;
	}
	if (worker->logged < LOG_LINES_MAX) {
		worker->logged++;
		return true;
	}
	worker->unlogged++;
	return false;
}

void failure_tell(struct connection *connection, enum tls_result result, const char *text)
{
	const struct transport *transport = connection->transport;
	const char *listener = transport->listeners[connection->hop.listener].settings->name;
	char peer[ADDRESS_TEXT_MAX];

	if (result != TLS_RESULT_OK)
		metrics_add(transport->metrics, METRIC_TLS_HANDSHAKES, connection->hop.side, result,
		            0, 1);
	if (!may_log(connection))
		return;
	address_format(&connection->hop.remote, peer);
	if (result == TLS_RESULT_OK)
		log_info("tls %s %s: record failed: %s", listener, peer, text);
	else
		log_info("tls %s %s: handshake failed, %s: %s", listener, peer,
		         metrics_label_value(LABEL_TLS_RESULT, result), text);
}
