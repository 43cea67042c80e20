/*
 * The edge token: 32 bytes (version, node, worker, flow, generation, epoch, MAC) as 43 letters of
 * base64url. Keys are set before threads start and only read then. RFC 5626 5.2, RFC 4648 5.
 */
/* The plain SHA-256 calls are deprecated in favour of EVP_MAC, which costs a context with its
 * allocations per thread and 1.5 us a token. Two prepared states, copied for each token, cost none. */
#define OPENSSL_API_COMPAT 0x10100000L

#include "sip/flow_token.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/random.h"

#define KEY_BYTES 32
#define MAC_BYTES 10 /* 80 bits */
/* Makes the first letter 'B' and the second one of 'A'..'P'; another layout takes another. */
#define VERSION_BYTE 0x04
#define FIELD_BYTES (1 + 4 + 1 + 8 + 4 + 4)
#define TOKEN_BYTES (FIELD_BYTES + MAC_BYTES)
#define TOKEN_LETTERS 43
#define KEY_PATH_MAX 4096

/* A key as HMAC (RFC 2104) begins with it: inner and outer state after their padded block. */
struct key {
	SHA256_CTX inner, outer;
	bool is_set;
};

static struct key current_key, previous_key;

static void key_prepare(struct key *key, const uint8_t secret[KEY_BYTES])
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
	key->is_set = true;
	OPENSSL_cleanse(block, sizeof(block));
}

static void key_mac(const struct key *key, const uint8_t fields[FIELD_BYTES],
                    uint8_t mac[SHA256_DIGEST_LENGTH])
{
	uint8_t inner_digest[SHA256_DIGEST_LENGTH];
	SHA256_CTX state = key->inner;

	SHA256_Update(&state, fields, FIELD_BYTES);
	SHA256_Final(inner_digest, &state);
	state = key->outer;
	SHA256_Update(&state, inner_digest, sizeof(inner_digest));
	SHA256_Final(mac, &state);
}

static unsigned keys_set; /* how often: what agreed under other keys is forgotten */

void flow_token_key_set(const uint8_t key[KEY_BYTES])
{
	key_prepare(&current_key, key);
	previous_key.is_set = false;
	keys_set++;
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
		key_prepare(&previous_key, previous);
	OPENSSL_cleanse(secret, sizeof(secret));
	OPENSSL_cleanse(previous, sizeof(previous));
	return 0;
}

/* ---- tokens ---- */

/* FNV-1a: known to all, since a node must know the tokens of its earlier lives by it; what keeps
 * others from making one up is the MAC. */
uint32_t flow_token_node_id(struct slice node_name)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < node_name.length; i++)
		hash = (hash ^ (uint8_t)node_name.data[i]) * 16777619u;
	return hash;
}

static uint8_t *put_number(uint8_t *at, uint64_t number, int bytes)
{
	for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
		*at++ = (uint8_t)(number >> shift);
	return at;
}

static const uint8_t *get_number(const uint8_t *at, int bytes, uint64_t *number)
{
	*number = 0;
	for (int i = 0; i < bytes; i++)
		*number = *number << 8 | *at++;
	return at;
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int letter_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

size_t flow_token_write(const struct flow_token *token, char text[FLOW_TOKEN_TEXT_MAX])
{
	uint8_t raw[TOKEN_BYTES + 1] = {0}, mac[SHA256_DIGEST_LENGTH], *at = raw;
	size_t n = 0;

	ASSERT(current_key.is_set);
	*at++ = VERSION_BYTE;
	at = put_number(at, token->node, 4);
	at = put_number(at, token->worker, 1);
	at = put_number(at, token->flow, 8);
	at = put_number(at, token->generation, 4);
	at = put_number(at, token->epoch, 4);
	key_mac(&current_key, raw, mac);
	memcpy(at, mac, MAC_BYTES);
	for (size_t i = 0; n < TOKEN_LETTERS; i += 3) {
		uint32_t three = (uint32_t)raw[i] << 16 | (uint32_t)raw[i + 1] << 8 | raw[i + 2];

		for (int shift = 18; shift >= 0 && n < TOKEN_LETTERS; shift -= 6)
			text[n++] = letters[three >> shift & 63];
	}
	text[n] = '\0';
	return n;
}

/* 43 letters into 32 bytes; the two bits left over come last. False: not our letters. */
static bool decode(struct slice text, uint8_t raw[TOKEN_BYTES], unsigned *left_over)
{
	uint32_t bits = 0;
	unsigned held = 0;
	size_t n = 0;

	if (text.length != TOKEN_LETTERS)
		return false;
	for (size_t i = 0; i < TOKEN_LETTERS; i++) {
		int value = letter_value(text.data[i]);

		if (value < 0)
			return false;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			raw[n++] = (uint8_t)(bits >> held);
		}
	}
	*left_over = bits & 3;
	return raw[0] == VERSION_BYTE;
}

/*
 * The MAC costs more than all else of a request within a dialog, where the same token comes in every message
 * and is looked at more than once. So each thread remembers the whole of those that agreed lately.
 */
#define TOKENS_AGREED 1024
static _Thread_local uint8_t agreed[TOKENS_AGREED][TOKEN_BYTES];
static _Thread_local unsigned agreed_under; /* keys_set then */

static uint8_t *agreed_place(const uint8_t raw[TOKEN_BYTES])
{
	uint16_t place;

	if (agreed_under != keys_set) {
		memset(agreed, 0, sizeof(agreed));
		agreed_under = keys_set;
	}
	memcpy(&place, raw + FIELD_BYTES, sizeof(place)); /* of the MAC: as good as random */
	return agreed[place % TOKENS_AGREED];
}

static bool mac_agrees(const struct key *key, const uint8_t raw[TOKEN_BYTES])
{
	uint8_t mac[SHA256_DIGEST_LENGTH];

	if (!key->is_set)
		return false;
	key_mac(key, raw, mac);
	return CRYPTO_memcmp(mac, raw + FIELD_BYTES, MAC_BYTES) == 0;
}

enum flow_token_verdict flow_token_read(struct slice text, struct flow_token *out)
{
	uint8_t raw[TOKEN_BYTES];
	const uint8_t *at = raw + 1;
	uint64_t number;
	unsigned left_over;

	memset(out, 0, sizeof(*out));
	if (!decode(text, raw, &left_over))
		return FLOW_TOKEN_NOT_OURS;
	if (left_over != 0) /* one token, one spelling */
		return FLOW_TOKEN_FORGED;
	if (CRYPTO_memcmp(agreed_place(raw), raw, TOKEN_BYTES) != 0) {
		if (!mac_agrees(&current_key, raw) && !mac_agrees(&previous_key, raw))
			return FLOW_TOKEN_FORGED;
		memcpy(agreed_place(raw), raw, TOKEN_BYTES);
	}
	at = get_number(at, 4, &number);
	out->node = (uint32_t)number;
	at = get_number(at, 1, &number);
	out->worker = (uint8_t)number;
	at = get_number(at, 8, &out->flow);
	at = get_number(at, 4, &number);
	out->generation = (uint32_t)number;
	get_number(at, 4, &number);
	out->epoch = (uint32_t)number;
	return FLOW_TOKEN_VALID;
}
