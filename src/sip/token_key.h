/*
 * The keys of what we mint, for the files of this layer: tokens and the marks of route sets.
 * Thread-safe after flow_token_key_load: read-only then.
 */
#ifndef BONO_SIP_TOKEN_KEY_H
#define BONO_SIP_TOKEN_KEY_H

/* Whoever includes this says why: see token_key.c. */
#ifndef OPENSSL_API_COMPAT
#define OPENSSL_API_COMPAT 0x10100000L
#endif

#include <openssl/sha.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A key as HMAC begins with it: inner and outer state after their padded block. */
struct mac_key {
	SHA256_CTX inner, outer;
};

enum token_key_age { TOKEN_KEY_CURRENT, TOKEN_KEY_PREVIOUS, TOKEN_KEYS };

struct token_key {
	bool is_set; /* the previous one need not be */
	struct mac_key token, route_set;
	uint64_t registration[2]; /* for hash_keyed */
};

const struct token_key *token_key(enum token_key_age age);
/* How often keys were set: what agreed under others is forgotten. */
unsigned token_key_times_set(void);
void mac_key_sum(const struct mac_key *key, const void *data, size_t length,
                 uint8_t mac[SHA256_DIGEST_LENGTH]);

#endif
