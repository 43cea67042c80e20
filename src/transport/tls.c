/*
 * TLS on a stream: the handshake, records in and out, the end. One SSL object belongs to one connection and so to one
 * worker for life. Worker thread only. RFC 5246, RFC 8446.
 *
 * OpenSSL reads from a stage of the worker, filled by one recv, and writes to the socket; one BIO does it for all
 * connections, since one is served at a time. Handshakes go on at the end of a turn, a few in each, so that messages on
 * connections that are there come first.
 */
#include <openssl/err.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/memory.h"
#include "tls_internal.h"

/* Read at once. A record that was begun before and all of this find room where streams are read (READ_BYTES). */
#define STAGE_BYTES (48u << 10)
/* A record holds no more (RFC 8446 5.1). */
#define RECORD_BYTES (16u << 10)
/* Each of them is a signature: half a millisecond with RSA, a tenth with ECDSA. */
#define SHAKES_PER_TURN 8
/* Tickets, new keys, warnings, refused renegotiations in one reading, which could bring thousands: each costs us more
 * than a message of SIP. Nobody needs more than two or three. */
#define EXTRAS_MAX 32

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *out, int size)
{
	struct tls_worker *worker = BIO_get_data(bio);
	const size_t staged = worker->staged_end - worker->staged_first;
	const size_t length = staged < (size_t)size ? staged : (size_t)size;

	BIO_clear_retry_flags(bio);
	if (length == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(out, worker->staged + worker->staged_first, length);
	worker->staged_first += length;
	return (int)length;
}

static int bio_write(BIO *bio, const char *bytes, int length)
{
	struct tls_worker *worker = BIO_get_data(bio);
	ssize_t written;

	BIO_clear_retry_flags(bio);
	do {
		written = send(worker->current->fd, bytes, (size_t)length,
		               MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (written < 0 && errno == EINTR);
	if (written >= 0)
		return (int)written;
	if (errno == EAGAIN)
		BIO_set_retry_write(bio);
	else
		worker->write_error = errno;
	return -1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "worker");

	if (method == NULL)
		return;
	if (BIO_meth_set_read(method, bio_read) == 1 &&
	    BIO_meth_set_write(method, bio_write) == 1 &&
	    BIO_meth_set_ctrl(method, bio_control) == 1)
		bio_method = method; /* lives as long as the process */
	else
		BIO_meth_free(method);
}

static int bio_create(struct tls_worker *worker)
{
	static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

	if (CRYPTO_THREAD_run_once(&once, make_bio_method) != 1 || bio_method == NULL)
		return -ENOMEM;
	worker->bio = BIO_new(bio_method);
	if (worker->bio == NULL)
		return -ENOMEM;
	BIO_set_data(worker->bio, worker);
	BIO_set_init(worker->bio, 1);
	return 0;
}

/* Before each call of OpenSSL: whose socket, and an empty queue of errors. */
static struct tls_worker *serve(struct connection *connection)
{
	struct tls_worker *worker = connection->transport->tls;

	if (worker->current != connection)
		worker->staged_first = worker->staged_end = 0;
	worker->current = connection;
	worker->write_error = 0;
	ERR_clear_error();
	return worker;
}

/* Fill the empty stage. As recv: 0 at the end; -errno. */
static ssize_t stage(struct connection *connection)
{
	struct tls_worker *worker = connection->transport->tls;
	ssize_t length;

	do {
		length = recv(connection->fd, worker->staged, STAGE_BYTES, MSG_DONTWAIT);
	} while (length < 0 && errno == EINTR);
	if (length < 0)
		return -errno;
	worker->staged_first = 0;
	worker->staged_end = (size_t)length;
	return length;
}

static bool is_staged(const struct tls_worker *worker)
{
	return worker->staged_first < worker->staged_end;
}

/* ---- records ---- */

/* OpenSSL would go on by itself as long as there is something to read. */
void tls_on_info(const SSL *ssl, int where, int value)
{
	const struct connection *connection = SSL_get_app_data(ssl);
	struct tls_worker *worker = connection->transport->tls;
	struct tls_stream *tls = connection->tls;

	if (connection->state == CONNECTION_TLS || (where & (SSL_CB_LOOP | SSL_CB_ALERT)) == 0)
		return;
	if (tls->extras++ == EXTRAS_MAX) {
		tls->broken = true;
		worker->staged_first = worker->staged_end;
	}
}

/* What SSL_read ended with, kept until what it gave before is told. */
static void on_read_end(struct connection *connection, int result)
{
	struct tls_worker *worker = connection->transport->tls;
	struct tls_stream *tls = connection->tls;
	const int error = SSL_get_error(tls->ssl, result);
	char text[NOTE_MAX];

	if (tls->broken) {
		ERR_clear_error();
		failure_tell(connection, TLS_RESULT_OK, "too much that is no data");
		return;
	}
	if (error == SSL_ERROR_WANT_READ)
		return;
	if (error == SSL_ERROR_ZERO_RETURN) {
		tls->ended = true;
		return;
	}
	/* WANT_WRITE too: a peer that makes us answer (KeyUpdate) and does not read. */
	tls->broken = true;
	failure_classify(worker, tls->ssl, error, text);
	failure_tell(connection, TLS_RESULT_OK, text);
}

static ssize_t tls_read(struct connection *connection, char *bytes, size_t size)
{
	struct tls_worker *worker = serve(connection);
	struct tls_stream *tls = connection->tls;
	size_t total = 0;
	ssize_t length;

	connection->more = false;
	tls->extras = 0;
	if (!tls->ended && !tls->broken && !is_staged(worker)) {
		length = stage(connection);
		if (length <= 0)
			return length; /* a FIN without close_notify is an end: SIP frames its messages */
	}
	while (!tls->ended && !tls->broken && total < size) {
		const int result = SSL_read(tls->ssl, bytes + total, (int)(size - total));

		if (result > 0) {
			total += (size_t)result;
			continue;
		}
		on_read_end(connection, result);
		break;
	}
	connection->more = total > 0 && (tls->ended || tls->broken || is_staged(worker));
	if (total > 0)
		return (ssize_t)total;
	if (tls->broken)
		return -EPROTO;
	return tls->ended ? 0 : -EAGAIN;
}

/* Small messages that wait together leave as one record. */
static struct slice join(struct tls_worker *worker, const struct iovec *pieces, unsigned count)
{
	size_t length = 0;

	if (count == 1 || pieces[0].iov_len >= RECORD_BYTES)
		return slice_of(pieces[0].iov_base, pieces[0].iov_len);
	for (unsigned i = 0; i < count && length < RECORD_BYTES; i++) {
		const size_t room = RECORD_BYTES - length;
		const size_t part = pieces[i].iov_len < room ? pieces[i].iov_len : room;

		memcpy(worker->join + length, pieces[i].iov_base, part);
		length += part;
	}
	return slice_of(worker->join, length);
}

static ssize_t tls_write(struct connection *connection, const struct iovec *pieces, unsigned count)
{
	struct tls_worker *worker = serve(connection);
	struct tls_stream *tls = connection->tls;
	const struct slice bytes = join(worker, pieces, count);
	int result, error, err;

	result = SSL_write(tls->ssl, bytes.data, (int)bytes.length);
	if (result > 0)
		return result;
	error = SSL_get_error(tls->ssl, result);
	ERR_clear_error();
	if (error != SSL_ERROR_WANT_WRITE)
		return worker->write_error != 0 ? -worker->write_error : -EPROTO;
	err = connection_wait_writable(connection);
	return err == 0 ? -EAGAIN : err;
}

/* RFC 8446 6.1. Then nothing of TLS is needed any more: what still comes is read to nowhere. */
static void tls_end(struct connection *connection)
{
	struct tls_stream *tls = connection->tls;

	if (tls->ssl != NULL && !tls->broken) {
		serve(connection);
		SSL_shutdown(tls->ssl);
		ERR_clear_error();
	}
	tls_let_go(connection);
}

static const struct stream_io stream_io_tls = {tls_read, tls_write, tls_end};

/* ---- the handshake ---- */

static const struct listener_settings *listener_of(const struct connection *connection)
{
	return connection->transport->listeners[connection->hop.listener].settings;
}

static void fail(struct connection *connection, enum tls_result result, const char *text)
{
	failure_tell(connection, result, text);
	connection_abort(connection, CLOSE_TLS);
}

/* With names to look for a client without certificate has none. */
static enum tls_client_certificate client_mode(const struct listener_settings *listener)
{
	return listener->allow_name_count > 0 ? TLS_CLIENT_REQUIRED : listener->client_certificate;
}

static void set_up_server(struct connection *connection, SSL *ssl)
{
	static const int verify[] = {
		[TLS_CLIENT_NONE] = SSL_VERIFY_NONE,
		[TLS_CLIENT_OPTIONAL] = SSL_VERIFY_PEER,
		[TLS_CLIENT_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	};
	const enum tls_client_certificate mode = client_mode(listener_of(connection));

	SSL_set_verify(ssl, verify[mode], NULL);
	SSL_set_session_id_context(ssl, connection->tls->profile->session_context[mode],
	                           SESSION_CONTEXT_BYTES);
	SSL_set_accept_state(ssl);
}

static void set_up_client(struct connection *connection, SSL *ssl)
{
	const char *name = connection->dialled->name;
	SSL_SESSION *known = session_find(connection->transport->tls, connection);
	struct address literal;

	/* RFC 6066 3: names only */
	if (name != NULL && !address_parse_host(slice_from_string(name), 0, &literal))
		SSL_set_tlsext_host_name(ssl, name);
	if (known != NULL)
		SSL_set_session(ssl, known);
	SSL_set_connect_state(ssl);
}

static int make_ssl(struct connection *connection)
{
	struct tls_worker *worker = connection->transport->tls;
	struct tls_stream *tls = connection->tls;
	SSL *ssl = SSL_new(connection->opened_by_us ? tls->profile->client
	                                            : tls->profile->identities[0].server);

	if (ssl == NULL)
		return -ENOMEM;
	BIO_up_ref(worker->bio);
	BIO_up_ref(worker->bio);
	SSL_set0_rbio(ssl, worker->bio);
	SSL_set0_wbio(ssl, worker->bio);
	SSL_set_app_data(ssl, connection);
	if (connection->opened_by_us)
		set_up_client(connection, ssl);
	else
		set_up_server(connection, ssl);
	tls->ssl = ssl;
	return 0;
}

static bool is_letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The first bytes of a client are here: is it one, and is there room? Then its SSL object is worth its memory. */
static bool greet(struct connection *connection)
{
	struct tls_worker *worker = connection->transport->tls;

	if (is_letter(worker->staged[0])) {
		fail(connection, TLS_RESULT_NOT_TLS, "plain text on a TLS port");
		return false;
	}
	if (!budget_take(connection)) {
		fail(connection, TLS_RESULT_BUDGET, "too many handshakes under way");
		return false;
	}
	if (make_ssl(connection) != 0) {
		fail(connection, TLS_RESULT_OTHER, "out of memory");
		return false;
	}
	return true;
}

/* Everything that has come is staged. False: it is over with this connection. */
static bool hear(struct connection *connection)
{
	struct tls_stream *tls = connection->tls;
	const ssize_t length = stage(connection);

	if (length > 0)
		return tls->ssl != NULL || greet(connection);
	if (length == -EAGAIN)
		return tls->ssl != NULL;
	if (tls->ssl == NULL) /* a load balancer that looks whether we are there */
		connection_abort(connection, length == 0 ? CLOSE_PEER : CLOSE_RESET);
	else
		fail(connection, TLS_RESULT_PEER_CLOSED,
		     length == 0 ? "the peer closed" : "the peer reset");
	return false;
}

static void on_shaken(struct connection *connection)
{
	struct tls_stream *tls = connection->tls;
	struct tls_worker *worker = connection->transport->tls;
	enum tls_result result = TLS_RESULT_OK;

	budget_give(connection);
	if (SSL_session_reused(tls->ssl)) {
		result = verify_resumed(connection, tls->ssl);
		if (result != TLS_RESULT_RESUMED) {
			fail(connection, result, worker->note);
			return;
		}
	}
	metrics_add(connection->transport->metrics, METRIC_TLS_HANDSHAKES, connection->hop.side,
	            result, 0, 1);
	connection->io = &stream_io_tls;
	connection_proceed(connection);
	if (is_staged(worker)) /* its first message came along */
		tcp_read(connection);
}

static void shake(struct connection *connection)
{
	struct tls_worker *worker = serve(connection);
	struct tls_stream *tls = connection->tls;
	char text[NOTE_MAX];
	int result, error;

	worker->staged_first = worker->staged_end = 0;
	worker->note[0] = '\0';
	if (tls->ssl == NULL && connection->opened_by_us) {
		if (make_ssl(connection) != 0) {
			fail(connection, TLS_RESULT_OTHER, "out of memory");
			return;
		}
	} else if (!hear(connection)) {
		return;
	}
	result = SSL_do_handshake(tls->ssl);
	if (result == 1) {
		on_shaken(connection);
		return;
	}
	error = SSL_get_error(tls->ssl, result);
	if (error == SSL_ERROR_WANT_READ)
		return;
	if (error == SSL_ERROR_WANT_WRITE && !is_staged(worker) &&
	    connection_wait_writable(connection) == 0)
		return;
	fail(connection, failure_classify(worker, tls->ssl, error, text), text);
}

static void on_shake_soon(struct timer *timer, void *arg)
{
	struct transport *transport = arg;
	struct list_link *link;

	for (unsigned i = 0; i < SHAKES_PER_TURN; i++) {
		link = list_pop(&transport->tls->shaking);
		if (link == NULL)
			return;
		shake(CONTAINER_OF(link, struct tls_stream, in_shaking)->connection);
	}
	if (list_first(&transport->tls->shaking) != NULL)
		timer_start(loop_timers(transport->loop), timer, 0);
}

void tls_shake_soon(struct connection *connection)
{
	struct tls_worker *worker = connection->transport->tls;

	if (list_link_in_list(&connection->tls->in_shaking))
		return;
	list_append(&worker->shaking, &connection->tls->in_shaking);
	if (!timer_is_running(&worker->shake_soon))
		timer_start(loop_timers(connection->transport->loop), &worker->shake_soon, 0);
}

/* ---- the life of it ---- */

int tls_may_open(const struct transport *transport, const struct transport_peer *peer)
{
	if (!transport_is_tls(peer->transport))
		return 0;
	return tls_book_profile(transport->tls->book, peer->tls) != NULL ? 0 : -EINVAL;
}

bool tls_is_due(const struct connection *connection)
{
	return transport_is_tls(connection->hop.transport);
}

void tls_begin(struct connection *connection)
{
	struct tls_worker *worker = connection->transport->tls;
	const char *name =
		connection->opened_by_us ? connection->dialled->tls : listener_of(connection)->tls;
	const struct tls_profile *profile = tls_book_profile(worker->book, name);
	struct tls_stream *tls = NULL;

	if (profile != NULL && (connection->opened_by_us || profile->identity_count > 0))
		tls = memory_zalloc(sizeof(*tls));
	if (tls == NULL) {
		connection_abort(connection, CLOSE_TLS);
		return;
	}
	tls->connection = connection;
	tls->book = worker->book;
	snapshot_share(&tls->book->snapshot);
	tls->profile = profile;
	connection->tls = tls;
	if (connection->opened_by_us)
		tls_shake_soon(connection);
}

void tls_on_deadline(struct connection *connection)
{
	failure_tell(connection, TLS_RESULT_TIMEOUT, "not done in time");
	connection_abort(connection, connection->opened_by_us ? CLOSE_CONNECT_TIMEOUT : CLOSE_TLS);
}

void tls_let_go(struct connection *connection)
{
	struct tls_stream *tls = connection->tls;
	struct tls_worker *worker = connection->transport->tls;

	if (tls == NULL)
		return;
	budget_give(connection);
	list_remove(&worker->shaking, &tls->in_shaking);
	if (worker->current == connection)
		worker->staged_first = worker->staged_end = 0;
	if (tls->ssl != NULL) {
		if (!tls->broken) /* how it ends says nothing against its session */
			SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
		SSL_free(tls->ssl);
		ERR_clear_error();
	}
	snapshot_release(&tls->book->snapshot);
	memory_free(tls);
	connection->tls = NULL;
	connection->io = &stream_io_plain;
}

void transport_set_tls(struct transport *transport, struct tls_book *book)
{
	struct tls_worker *worker = transport->tls;

	if (book != NULL)
		snapshot_share(&book->snapshot);
	if (worker->book != NULL)
		snapshot_release(&worker->book->snapshot);
	worker->book = book;
	sessions_drop(worker); /* judged by what is no longer */
}

int tls_worker_create(struct transport *transport)
{
	struct tls_worker *worker = memory_zalloc(sizeof(*worker));

	if (worker == NULL)
		return -ENOMEM;
	transport->tls = worker;
	for (unsigned side = 0; side < SIDES; side++)
		list_init(&worker->under_way[side]);
	list_init(&worker->shaking);
	list_init(&worker->sessions);
	timer_init(&worker->shake_soon, on_shake_soon, transport);
	worker->staged = memory_alloc(STAGE_BYTES);
	worker->join = memory_alloc(RECORD_BYTES);
	if (worker->staged == NULL || worker->join == NULL)
		return -ENOMEM;
	return bio_create(worker);
}

void tls_worker_destroy(struct transport *transport)
{
	struct tls_worker *worker = transport->tls;

	if (worker == NULL)
		return;
	timer_stop(loop_timers(transport->loop), &worker->shake_soon);
	sessions_drop(worker);
	if (worker->book != NULL)
		snapshot_release(&worker->book->snapshot);
	BIO_free(worker->bio);
	memory_free(worker->staged);
	memory_free(worker->join);
	OPENSSL_cleanse(&worker->ticket_today, sizeof(worker->ticket_today));
	memory_free(worker);
	transport->tls = NULL;
}
