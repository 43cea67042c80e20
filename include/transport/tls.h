/*
 * All certificates, keys, authorities and ticket keys of the process: an immutable counted value, built by control,
 * read by every worker. Its parts are counted too: a connection keeps what it began with, whatever is loaded later.
 * RFC 5246, RFC 8446, RFC 5922.
 */
#ifndef BONO_TRANSPORT_TLS_H
#define BONO_TRANSPORT_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/snapshot.h"

/* Of a server that we connect to (RFC 5922): chain and name; the chain alone; nothing. */
enum tls_verify { TLS_VERIFY_NAME, TLS_VERIFY_CHAIN, TLS_VERIFY_NONE };
/* What a listener asks of clients. One that shows a certificate must show a good one, OPTIONAL or not. */
enum tls_client_certificate { TLS_CLIENT_NONE, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

struct tls_pair { /* PEM files; certificate: the leaf first, then the chain */
	const char *certificate, *key;
};

struct tls_profile_settings {
	const char *name;
	/* The first is the default; the others are chosen by SNI from their SANs. Without any the profile is for
	 * connections that we open, and shows nothing. */
	const struct tls_pair *pairs;
	unsigned pair_count;
	const char *ca; /* PEM file; NULL: the system's */
	enum tls_verify verify;
	unsigned minimum; /* 12 or 13; 0: 12 */
};

struct tls_settings {
	const struct tls_profile_settings *profiles;
	unsigned profile_count;
	/* A file of ours alone (mode 0600 or 0400): 80 bytes in hex or base64 on each line, the first encrypts, all
	 * decrypt; empty lines and those that begin with # are skipped. NULL: random, kept in the process. */
	const char *ticket_keys;
};

/* Certificates of a profile, chosen by SNI; more make no sense on one port. */
#define TLS_PAIRS_MAX 64
#define TLS_TICKET_KEYS_MAX 16

struct tls_book; /* begins with struct snapshot: snapshot_share, snapshot_release */

/*
 * Load and check everything: files readable, key fits certificate, each certificate of the chain issued by the
 * next, dates, authorities readable, names at least one. Each fault is said through on_fault ("profile public:
 * edge.pem: expired 2026-01-01"). -EINVAL: *out untouched, the old book goes on. A certificate that is out of its
 * dates is a fault (with no previous book too: such a listener would serve nobody).
 * previous (may be NULL): random ticket keys are taken over from it, so that a reload does not cost everyone's
 * session. Blocks on files: control only. -ENOMEM.
 */
int tls_book_load(const struct tls_settings *settings, const struct tls_book *previous,
                  void (*on_fault)(void *arg, const char *text), void *arg, struct tls_book **out);
struct snapshot *tls_book_snapshot(struct tls_book *book);
bool tls_book_has_profile(const struct tls_book *book, const char *name);

/* For metrics and status: the leaf of each pair of each profile. */
struct tls_certificate {
	const char *name;    /* "public", of further pairs "public-2" ...; lent */
	const char *subject; /* "CN=edge.example.net"; lent */
	int64_t not_after_s; /* wall clock */
};
unsigned tls_book_certificate_count(const struct tls_book *book);
bool tls_book_certificate(const struct tls_book *book, unsigned index, struct tls_certificate *out);

struct transport;
/* From now on new connections use this one (NULL: TLS listeners turn all away); shares it. Those under way keep what
 * they began with. The transport's own thread, or before its loop runs. */
void transport_set_tls(struct transport *transport, struct tls_book *book);

#endif
