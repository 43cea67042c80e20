/*
 * The last session of each server that we connect to: the next connection to it costs no signature. Worker thread only.
 * RFC 8446 2.2.
 */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "tls_internal.h"

struct known {
	struct list_link link;
	struct address address;
	SSL_SESSION *session; /* owned */
	const char *tls;
	const char *name; /* NULL: its address */
};

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static struct known *find(struct tls_worker *worker, const struct connection *connection)
{
	LIST_FOR_EACH(link, &worker->sessions) {
		struct known *known = CONTAINER_OF(link, struct known, link);

		if (address_equal(&known->address, &connection->hop.remote) &&
		    same_text(known->tls, connection->dialled->tls) &&
		    same_text(known->name, connection->dialled->name))
			return known;
	}
	return NULL;
}

static void forget(struct tls_worker *worker, struct known *known)
{
	list_remove(&worker->sessions, &known->link);
	SSL_SESSION_free(known->session);
	memory_free(known);
}

static struct known *add(struct tls_worker *worker, const struct connection *connection)
{
	const struct dialled *dialled = connection->dialled;
	const size_t tls_size = strlen(dialled->tls) + 1,
		     name_size = dialled->name != NULL ? strlen(dialled->name) + 1 : 0;
	struct known *known = memory_zalloc(sizeof(*known) + tls_size + name_size);
	char *text;

	if (known == NULL)
		return NULL;
	text = (char *)(known + 1);
	known->tls = memcpy(text, dialled->tls, tls_size);
	if (dialled->name != NULL)
		known->name = memcpy(text + tls_size, dialled->name, name_size);
	known->address = connection->hop.remote;
	if (worker->sessions.length == SESSIONS_MAX)
		forget(worker, CONTAINER_OF(list_first(&worker->sessions), struct known, link));
	list_append(&worker->sessions, &known->link);
	return known;
}

int session_on_new(SSL *ssl, SSL_SESSION *session)
{
	const struct connection *connection = SSL_get_app_data(ssl);
	struct tls_worker *worker = connection->transport->tls;
	struct known *known;

	if (connection->tls->book != worker->book)
		return 0; /* judged by certificates that are no longer */
	known = find(worker, connection);
	if (known == NULL)
		known = add(worker, connection);
	if (known == NULL)
		return 0;
	SSL_SESSION_free(known->session);
	known->session = session;
	return 1; /* its reference is ours */
}

/* A session lasts as long as it is taken up, and keeps the certificate it began with: once that has expired the server
 * has another one. */
SSL_SESSION *session_find(struct tls_worker *worker, struct connection *connection)
{
	struct known *known = find(worker, connection);

	if (known != NULL && !verify_session(connection, known->session)) {
		forget(worker, known);
		known = NULL;
	}
	return known != NULL ? known->session : NULL;
}

void sessions_drop(struct tls_worker *worker)
{
	struct list_link *link;

	while ((link = list_first(&worker->sessions)) != NULL)
		forget(worker, CONTAINER_OF(link, struct known, link));
}
