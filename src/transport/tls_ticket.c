/*
 * Session tickets: one set of keys for all workers, from a file that several nodes may share, or random. Nothing of a
 * session is kept here: the client keeps it, encrypted. Random keys change by themselves: each is made from a secret
 * of the process and the number of the present half day, so that nobody writes what workers read. RFC 5077, RFC 8446 4.6.1.
 */
#include <ctype.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"
#include "tls_internal.h"

/* A key of a day that is over opens nothing any more: the last two are accepted. */
#define ROTATE_MS (12ull * 3600 * 1000)
/* Of each ticket; no longer than a key is kept. */
#define TICKET_LIFE_S (12 * 3600)
/* Sixteen lines in hex, with comments. */
#define FILE_BYTES_MAX 8192

struct ticket_keys {
	struct snapshot snapshot;
	uint64_t
		serial; /* no other keys have it, though they may come to stand where these stood */
	bool random;
	unsigned char secret[TICKET_SECRET_BYTES]; /* random */
	struct ticket_key keys[TLS_TICKET_KEYS_MAX];
	unsigned count;
};

static atomic_uint_fast64_t serials;

static void free_keys(struct snapshot *snapshot)
{
	struct ticket_keys *keys = CONTAINER_OF(snapshot, struct ticket_keys, snapshot);

	OPENSSL_cleanse(keys, sizeof(*keys));
	memory_free(keys);
}

void ticket_keys_release(struct ticket_keys *keys)
{
	if (keys != NULL)
		snapshot_release(&keys->snapshot);
}

/* ---- from a file ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(struct slice line, unsigned char *out)
{
	for (size_t i = 0; i < sizeof(struct ticket_key); i++) {
		const int high = hex_digit(line.data[2 * i]), low = hex_digit(line.data[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

#define HEX_LENGTH (2 * sizeof(struct ticket_key))
#define BASE64_LENGTH ((sizeof(struct ticket_key) + 2) / 3 * 4)

static bool read_key(struct slice line, struct ticket_key *out)
{
	unsigned char bytes[BASE64_LENGTH];

	if (line.length == HEX_LENGTH)
		return read_hex(line, (unsigned char *)out);
	if (line.length != BASE64_LENGTH ||
	    EVP_DecodeBlock(bytes, (const unsigned char *)line.data, (int)line.length) < 0)
		return false;
	memcpy(out, bytes, sizeof(*out));
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return true;
}

static const char *read_lines(struct ticket_keys *keys, struct slice text)
{
	size_t at = 0;

	while (at < text.length) {
		const char *end = memchr(text.data + at, '\n', text.length - at);
		const size_t length =
			end != NULL ? (size_t)(end - text.data) - at : text.length - at;
		struct slice line = slice_trim(slice_of(text.data + at, length));

		at += length + 1;
		if (line.length == 0 || line.data[0] == '#')
			continue;
		if (keys->count == TLS_TICKET_KEYS_MAX)
			return "more than 16 keys";
		if (!read_key(line, &keys->keys[keys->count++]))
			return "a line that is not 80 bytes in hex or base64";
	}
	return keys->count > 0 ? NULL : "no key in it";
}

/* Who can read it can read every conversation of the day. */
static const char *read_file(struct ticket_keys *keys, const char *path)
{
	char text[FILE_BYTES_MAX];
	const char *fault = NULL;
	struct stat status;
	ssize_t length;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_text(-errno);
	if (fstat(fd, &status) != 0)
		fault = error_text(-errno);
	else if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		fault = "others may read it, its mode has to be 0600";
	length = fault == NULL ? read(fd, text, sizeof(text)) : 0;
	close(fd);
	if (length < 0)
		return error_text(-errno);
	if ((size_t)length == sizeof(text))
		return "longer than 8 KiB";
	if (fault == NULL)
		fault = read_lines(keys, slice_of(text, (size_t)length));
	OPENSSL_cleanse(text, sizeof(text));
	return fault;
}

int ticket_keys_load(const char *path, struct ticket_keys *previous,
                     void (*on_fault)(void *arg, const char *text), void *arg,
                     struct ticket_keys **out)
{
	struct ticket_keys *keys;
	const char *fault = NULL;
	char text[512];

	if (path == NULL && previous != NULL) {
		snapshot_share(&previous->snapshot);
		*out = previous;
		return 0;
	}
	keys = memory_zalloc(sizeof(*keys));
	if (keys == NULL)
		return -ENOMEM;
	snapshot_init(&keys->snapshot, free_keys);
	keys->serial = atomic_fetch_add(&serials, 1) + 1;
	keys->random = path == NULL;
	if (!keys->random)
		fault = read_file(keys, path);
	else if (RAND_bytes(keys->secret, sizeof(keys->secret)) != 1)
		fault = "no random numbers";
	if (fault == NULL) {
		*out = keys;
		return 0;
	}
	snprintf(text, sizeof(text), "ticket keys: %s: %s", path != NULL ? path : "random", fault);
	on_fault(arg, text);
	ticket_keys_release(keys);
	return -EINVAL;
}

/* ---- random ones ---- */

static bool derive(const struct ticket_keys *keys, uint64_t day, struct ticket_key *out)
{
	unsigned char block[EVP_MAX_MD_SIZE], input[sizeof(day) + 1];
	unsigned length = 0;

	memcpy(input, &day, sizeof(day));
	for (unsigned char i = 0; i < 2; i++) {
		input[sizeof(day)] = i;
		if (HMAC(EVP_sha512(), keys->secret, sizeof(keys->secret), input, sizeof(input),
		         block, &length) == NULL ||
		    length != 64)
			return false;
		if (i == 0) {
			memcpy(out->cipher, block, TICKET_SECRET_BYTES);
			memcpy(out->mac, block + TICKET_SECRET_BYTES, TICKET_SECRET_BYTES);
		} else {
			memcpy(out->name, block, TICKET_NAME_BYTES);
		}
	}
	OPENSSL_cleanse(block, sizeof(block));
	return true;
}

static bool derive_today(const struct ticket_keys *keys, uint64_t day, struct ticket_today *today,
                         struct ticket_key *out)
{
	if (today->serial != keys->serial || today->day != day) {
		today->serial = 0;
		if (!derive(keys, day, &today->key))
			return false;
		today->serial = keys->serial;
		today->day = day;
	}
	*out = today->key;
	return true;
}

static bool key_to_encrypt(const struct ticket_keys *keys, struct ticket_today *today,
                           struct ticket_key *out)
{
	if (keys->random)
		return derive_today(keys, clock_wall_ms() / ROTATE_MS, today, out);
	*out = keys->keys[0];
	return true;
}

/* *renew: by a key that goes. */
static bool key_to_decrypt(const struct ticket_keys *keys, const unsigned char *name,
                           struct ticket_today *today, struct ticket_key *out, bool *renew)
{
	const uint64_t day = clock_wall_ms() / ROTATE_MS;
	const unsigned count = keys->random ? 2 : keys->count;

	for (unsigned i = 0; i < count; i++) {
		if (!keys->random)
			*out = keys->keys[i];
		else if (i == 0 ? !derive_today(keys, day, today, out)
		                : !derive(keys, day - i, out))
			return false;
		*renew = i > 0;
		if (CRYPTO_memcmp(out->name, name, TICKET_NAME_BYTES) == 0)
			return true;
	}
	return false;
}

/* ---- what OpenSSL asks ---- */

static void release_with_context(void *parent, void *value, CRYPTO_EX_DATA *data, int index,
                                 long argl, void *argp)
{
	ticket_keys_release(value);
}

static int context_index_value = -1;

static void make_context_index(void)
{
	context_index_value = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, release_with_context);
}

static int context_index(void)
{
	static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

	return CRYPTO_THREAD_run_once(&once, make_context_index) == 1 ? context_index_value : -1;
}

static bool set_up(const struct ticket_key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int encrypt)
{
	const OSSL_PARAM parameters[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac,
	                                          sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, encrypt) == 1 &&
	       EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

/* 1: done; 2: done, and give it a new ticket; 0: a full handshake then; -1: no handshake. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
	const struct ticket_keys *keys = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index());
	const struct connection *connection = SSL_get_app_data(ssl);
	struct ticket_today *today = &connection->transport->tls->ticket_today;
	struct ticket_key key;
	bool renew = false;
	int answer = -1;

	if (encrypt) {
		if (key_to_encrypt(keys, today, &key) && RAND_bytes(iv, 16) == 1 &&
		    set_up(&key, iv, cipher, mac, 1)) {
			memcpy(name, key.name, TICKET_NAME_BYTES);
			answer = 1;
		}
	} else if (!key_to_decrypt(keys, name, today, &key, &renew)) {
		answer = 0;
	} else if (set_up(&key, iv, cipher, mac, 0)) {
		/* RFC 8446 C.4: a ticket of 1.3 is used once */
		answer = renew || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
	}
	OPENSSL_cleanse(&key, sizeof(key));
	return answer;
}

/* What the client was when the session began it need not be now: then a full handshake shows. */
static SSL_TICKET_RETURN on_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                   size_t name_length, SSL_TICKET_STATUS status, void *arg)
{
	if ((status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) ||
	    !verify_session(SSL_get_app_data(ssl), session))
		return SSL_TICKET_RETURN_IGNORE_RENEW;
	return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

int ticket_keys_attach(struct ticket_keys *keys, SSL_CTX *context)
{
	if (context_index() < 0 || SSL_CTX_set_ex_data(context, context_index(), keys) != 1)
		return -ENOMEM;
	snapshot_share(&keys->snapshot); /* released with the context */
	SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
	SSL_CTX_set_session_ticket_cb(context, NULL, on_opened, NULL);
	/* One is enough: who resumes gets the next. Each costs an encryption and bytes. */
	SSL_CTX_set_num_tickets(context, 1);
	SSL_CTX_set_timeout(context, TICKET_LIFE_S);
	return 0;
}
