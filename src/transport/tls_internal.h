/*
 * What the files of TLS tell each other. tls_book.c loads, tls_certificate.c judges what is loaded, tls_ticket.c
 * encrypts sessions, tls_verify.c judges the peer, tls.c is the stream, tls_budget.c bounds the handshakes under way,
 * tls_session.c remembers sessions of servers, tls_failure.c says why. Only these files see OpenSSL.
 */
#ifndef BONO_TLS_INTERNAL_H
#define BONO_TLS_INTERNAL_H

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "loop/snapshot.h"
#include "transport/tls.h"
#include "transport_internal.h"

/* ---- tls_ticket.c ---- */

#define TICKET_NAME_BYTES 16
#define TICKET_SECRET_BYTES 32
/* As a line of the file: name, cipher key, MAC key. */
struct ticket_key {
	unsigned char name[TICKET_NAME_BYTES];
	unsigned char cipher[TICKET_SECRET_BYTES], mac[TICKET_SECRET_BYTES];
};

/* Of a worker: the random key of this half day, so that not each handshake makes it anew. */
struct ticket_today {
	uint64_t serial, day; /* of which keys; serial 0: nothing yet */
	struct ticket_key key;
};

struct ticket_keys;
/* Of the file; or, path NULL, those of `previous`, or random ones. -EINVAL: said through on_fault. */
int ticket_keys_load(const char *path, struct ticket_keys *previous,
                     void (*on_fault)(void *arg, const char *text), void *arg,
                     struct ticket_keys **out);
void ticket_keys_release(struct ticket_keys *keys);
/* Sessions that this context gives out are encrypted by these; it holds them. */
int ticket_keys_attach(struct ticket_keys *keys, SSL_CTX *context);

/* ---- tls_book.c ---- */

#define SESSION_CONTEXT_BYTES 32
#define CLIENT_CERTIFICATE_MODES 3

struct tls_identity { /* one certificate of a profile */
	char *label, *subject;
	int64_t not_after_s;
	char **names; /* DNS names, for SNI; may begin with "*." */
	unsigned name_count;
	SSL_CTX *server;
};

struct tls_profile {
	char *name;
	enum tls_verify verify;
	struct tls_identity *identities;
	unsigned identity_count;
	SSL_CTX *client;
	/* A session may be taken up only where the same was asked of the client, by the same authorities. */
	unsigned char session_context[CLIENT_CERTIFICATE_MODES][SESSION_CONTEXT_BYTES];
};

struct tls_book {
	struct snapshot snapshot;
	struct tls_profile *profiles;
	unsigned profile_count;
	struct ticket_keys *tickets;
	bool random_tickets;
};

struct loading { /* what loading passes down */
	const struct tls_profile_settings *settings;
	struct ticket_keys *tickets;
	X509_STORE *authorities;
	void (*on_fault)(void *arg, const char *text);
	void *arg;
	bool faulty;
};
/* "profile NAME: FILE: TEXT" */
void loading_fault(struct loading *loading, const char *file, const char *text);

const struct tls_profile *tls_book_profile(const struct tls_book *book, const char *name);

/* ---- tls_certificate.c ---- */
/* Faults of the chain are said; names, subject and dates are taken. -ENOMEM. */
int certificate_examine(struct loading *loading, const struct tls_pair *pair,
                        struct tls_identity *identity);
void identity_free(struct tls_identity *identity);
/* May begin with "*.", which stands for one label (RFC 6125 6.4.3). */
bool identity_has_name(const struct tls_identity *identity, const char *name, bool wildcards);
/* "2026-01-01" */
#define DATE_TEXT_MAX 16
void asn1_date(const ASN1_TIME *time, char *text);

/* ---- tls_verify.c ---- */
/* RFC 5922 7.1, 7.2. name NULL: the address. */
bool certificate_shows(X509 *certificate, const char *name, const struct address *address);
/* For SSL_CTX_set_cert_verify_callback: the chain, then the name that the connection's role demands. */
int verify_peer(X509_STORE_CTX *chain, void *arg);
/* A session taken up was judged when it began: what may have changed since is judged again. */
enum tls_result verify_resumed(struct connection *connection, SSL *ssl);
/* The same before it is taken up: what would not stand is left, and the peer shows what it has now. */
bool verify_session(struct connection *connection, const SSL_SESSION *session);

/* ---- tls.c ---- */

#define NOTE_MAX 192

struct tls_stream { /* of one connection */
	struct connection *connection;
	SSL *ssl; /* NULL until the client's first bytes, and once our end was told */
	struct tls_book *book;
	const struct tls_profile *profile;
	bool ended;     /* the peer's end was read, not yet told */
	bool broken;    /* the same of an error */
	uint8_t extras; /* of this reading: what came and was no data */
	uint64_t begun_ms;
	struct list_link in_under_way; /* it has a place in the budget */
	struct list_link in_shaking;
};

/* Sessions of servers, by whom they are of. */
#define SESSIONS_MAX 256

struct tls_worker {            /* of one transport */
	struct tls_book *book; /* NULL: none yet */
	BIO *bio;              /* one for all: it serves `current` */
	struct connection *current;
	int write_error;
	char *staged; /* read from the socket of `current`, not yet by OpenSSL */
	size_t staged_first, staged_end;
	char *join;                   /* where pieces become a record */
	struct list under_way[SIDES]; /* handshakes of clients, oldest first */
	struct list shaking;
	struct timer shake_soon;
	struct list sessions; /* the last used first */
	struct ticket_today ticket_today;
	char note[NOTE_MAX]; /* of verify_peer: what was wrong with whose certificate */
	uint64_t log_window_ms;
	unsigned logged, unlogged;
};

/* ---- tls_budget.c ---- */
/* A place for the handshake of a client; false: there is none. */
bool budget_take(struct connection *connection);
void budget_give(struct connection *connection); /* fine without a place */

/* ---- tls.c ---- */
/* For SSL_CTX_set_info_callback: counts what costs us work and is no data. */
void tls_on_info(const SSL *ssl, int where, int value);

/* ---- tls_session.c ---- */
int session_on_new(SSL *ssl, SSL_SESSION *session);
/* What is known of this peer, lent; NULL: nothing, or nothing that may be taken up any more. */
SSL_SESSION *session_find(struct tls_worker *worker, struct connection *connection);
void sessions_drop(struct tls_worker *worker);

/* ---- tls_failure.c ---- */
/* Why it failed, from OpenSSL's queue, which is empty then. text: NOTE_MAX. */
enum tls_result failure_classify(struct tls_worker *worker, SSL *ssl, int ssl_error, char *text);
/* Counted, and told in a line while there are few. */
void failure_tell(struct connection *connection, enum tls_result result, const char *text);
/* What the peer says goes into our log only in letters that can stand there. */
void printable(char *text);

#endif
