/*
 * The keys of what we mint: read from the key file, prepared once, read-only from then on.
 * RFC 2104 (HMAC), RFC 5869 in spirit: each use has a key of its own, derived from the one in the file, so
 * that nothing made for one use can stand for another.
 */
/* The plain SHA-256 calls are deprecated in favour of EVP_MAC, which costs a context with its
 * allocations per thread and 1.5 us a token. Two prepared states, copied for each token, cost none. */
#define OPENSSL_API_COMPAT 0x10100000L

#include "token_key.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/random.h"
#include "sip/flow_token.h"

#define KEY_BYTES 32
#define KEY_PATH_MAX 4096

static struct token_key keys[TOKEN_KEYS];
static unsigned times_set;

const struct token_key *token_key(enum token_key_age age)
{
	return &keys[age];
}

unsigned token_key_times_set(void)
{
	return times_set;
}

static void mac_key_prepare(struct mac_key *key, const uint8_t secret[KEY_BYTES])
{
	uint8_t block[SHA256_CBLOCK];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)((i < KEY_BYTES ? secret[i] : 0) ^ 0x36);
	SHA256_Init(&key->inner);
	SHA256_Update(&key->inner, block, sizeof(block));
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&key->outer);
	SHA256_Update(&key->outer, block, sizeof(block));
	OPENSSL_cleanse(block, sizeof(block));
}

void mac_key_sum(const struct mac_key *key, const void *data, size_t length,
                 uint8_t mac[SHA256_DIGEST_LENGTH])
{
	uint8_t inner_digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX state = key->inner;

	SHA256_Update(&state, data, length);
	SHA256_Final(inner_digest, &state);
	state = key->outer;
	SHA256_Update(&state, inner_digest, sizeof(inner_digest));
	SHA256_Final(mac, &state);
}

static void derive(const struct mac_key *from, const char *use, uint8_t out[KEY_BYTES])
{
	mac_key_sum(from, use, strlen(use), out);
}

/* Tokens are signed with the key of the file itself, as they were before there was anything else. */
static void key_prepare(struct token_key *key, const uint8_t secret[KEY_BYTES])
{
	uint8_t derived[KEY_BYTES];

	mac_key_prepare(&key->token, secret);
	derive(&key->token, "bono route set", derived);
	mac_key_prepare(&key->route_set, derived);
	derive(&key->token, "bono registration", derived);
	memcpy(key->registration, derived, sizeof(key->registration));
	key->is_set = true;
	OPENSSL_cleanse(derived, sizeof(derived));
}

void flow_token_key_set(const uint8_t key[KEY_BYTES])
{
	key_prepare(&keys[TOKEN_KEY_CURRENT], key);
	keys[TOKEN_KEY_PREVIOUS].is_set = false;
	times_set++;
}

/* ---- key files ---- */

static int read_key(const char *path, uint8_t secret[KEY_BYTES])
{
	uint8_t bytes[KEY_BYTES + 1];
	struct stat status;
	ssize_t n;
	int err = 0, fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) != 0)
		err = -errno;
	else if (!S_ISREG(status.st_mode))
		err = -EINVAL;
	/* Whoever can read it can forge tokens: better not to start than to go on with it. */
	else if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		err = -EPERM;
	if (err == 0) {
		n = read(fd, bytes, sizeof(bytes));
		if (n < 0)
			err = -errno;
		else if (n != KEY_BYTES)
			err = -EINVAL;
		else
			memcpy(secret, bytes, KEY_BYTES);
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	close(fd);
	return err;
}

/* Under another name first, and linked when whole: nobody ever reads half a key, and of two
 * processes that start at once both end with the same one. */
static int make_key(const char *path)
{
	char temporary[KEY_PATH_MAX];
	uint8_t secret[KEY_BYTES];
	int err = 0, fd;

	if (snprintf(temporary, sizeof(temporary), "%s.%ld.new", path, (long)getpid()) >=
	    (int)sizeof(temporary))
		return -ENAMETOOLONG;
	unlink(temporary);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (fd < 0)
		return -errno;
	random_bytes(secret, sizeof(secret));
	errno = EIO; /* for a short write, which sets none */
	if (write(fd, secret, sizeof(secret)) != (ssize_t)sizeof(secret) || fsync(fd) != 0)
		err = -errno;
	OPENSSL_cleanse(secret, sizeof(secret));
	close(fd);
	if (err == 0 && link(temporary, path) != 0 && errno != EEXIST)
		err = -errno;
	unlink(temporary);
	return err;
}

int flow_token_key_load(const char *path)
{
	char previous_path[KEY_PATH_MAX];
	uint8_t secret[KEY_BYTES] = {0}, previous[KEY_BYTES] = {0};
	bool has_previous = false;
	int err;

	err = read_key(path, secret);
	if (err == -ENOENT) {
		err = make_key(path);
		if (err == 0)
			err = read_key(path, secret);
	}
	if (err != 0)
		return err;
	if (snprintf(previous_path, sizeof(previous_path), "%s.previous", path) >=
	    (int)sizeof(previous_path))
		return -ENAMETOOLONG;
	err = read_key(previous_path, previous);
	if (err == 0)
		has_previous = true;
	else if (err != -ENOENT)
		return err;
	flow_token_key_set(secret);
	if (has_previous)
		key_prepare(&keys[TOKEN_KEY_PREVIOUS], previous);
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(previous, sizeof(previous));
	return 0;
}
