/*
 * Passwords for those who want them: digest authentication of REGISTER, MD5, with and without qop=auth.
 * RFC 3261 22, RFC 2617 3.2. The users file has lines "user:password". A nonce is the time it was made and a
 * keyed hash of that, so none is remembered. Any thread: read-only once loaded.
 */
#include "sprout_sim.h"

#include <openssl/evp.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

/* A client may use one nonce that long, then it is told that it is stale. */
#define NONCE_LIFE_MS 3600000
#define NONCE_TEXT 32 /* two times 16 hex digits */
#define MD5_TEXT 33
#define USERS_LINE_MAX 512

struct digest_user {
	struct hash_link link;
	size_t name_length;
	const char *password; /* behind the name, NUL-terminated */
	char name[];
};

struct digest {
	struct hash_table users;
};

static struct slice user_name(const struct digest_user *user)
{
	return slice_of(user->name, user->name_length);
}

static bool user_is_named(const struct hash_link *link, const void *key)
{
	return slice_equal(user_name(CONTAINER_OF(link, struct digest_user, link)),
	                   *(const struct slice *)key);
}

static const struct digest_user *find_user(const struct digest *digest, struct slice name)
{
	struct hash_link *link = hash_table_find(&digest->users, hash_slice(name), &name);

	return link != NULL ? CONTAINER_OF(link, struct digest_user, link) : NULL;
}

bool digest_knows(const struct digest *digest, struct slice user)
{
	return find_user(digest, user) != NULL;
}

/* ---- the users file ---- */

static int add_user(struct digest *digest, struct slice line)
{
	struct slice password;
	struct slice name = slice_trim(slice_split(line, ':', &password));
	struct digest_user *user;

	if (name.length == 0 || digest_knows(digest, name))
		return -EINVAL;
	password = slice_trim(password);
	user = memory_zalloc(sizeof(*user) + name.length + 1 + password.length + 1);
	if (user == NULL)
		return -ENOMEM;
	user->name_length = name.length;
	memcpy(user->name, name.data, name.length);
	user->password = user->name + name.length + 1;
	if (password.length > 0)
		memcpy(user->name + name.length + 1, password.data, password.length);
	hash_table_insert(&digest->users, &user->link, hash_slice(name));
	return 0;
}

static int read_users(struct digest *digest, FILE *file, const char *path)
{
	char line[USERS_LINE_MAX];
	unsigned number = 0;
	int err;

	while (fgets(line, sizeof(line), file) != NULL) {
		struct slice text = slice_trim(slice_from_string(line));

		number++;
		if (text.length == 0 || text.data[0] == '#')
			continue;
		err = slice_index(text, ':') < 0 ? -EINVAL : add_user(digest, text);
		if (err != 0) {
			log_error("%s:%u: expected USER:PASSWORD, each user once", path, number);
			return err;
		}
	}
	return ferror(file) ? -EIO : 0;
}

int digest_load(const char *path, struct digest **out)
{
	struct digest *digest;
	FILE *file;
	int err;

	digest = memory_zalloc(sizeof(*digest));
	if (digest == NULL)
		return -ENOMEM;
	err = hash_table_init(&digest->users, 64, user_is_named);
	if (err != 0) {
		memory_free(digest);
		return err;
	}
	file = fopen(path, "re");
	err = file == NULL ? -errno : read_users(digest, file, path);
	if (file != NULL)
		fclose(file);
	if (err != 0)
		digest_destroy(&digest);
	*out = digest;
	return err;
}

static bool free_user(struct hash_link *link, void *arg)
{
	struct digest *digest = arg;

	hash_table_remove(&digest->users, link);
	memory_free(CONTAINER_OF(link, struct digest_user, link));
	return true;
}

void digest_destroy(struct digest **digest)
{
	if (*digest == NULL)
		return;
	hash_table_visit(&(*digest)->users, free_user, *digest);
	hash_table_free(&(*digest)->users);
	memory_free(*digest);
	*digest = NULL;
}

/* ---- the sum ---- */

/* MD5 over the parts joined by colons, in hex. */
static bool md5_of(const struct slice *parts, unsigned count, char out[MD5_TEXT])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned length = 0;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context != NULL && EVP_DigestInit_ex(context, EVP_md5(), NULL) == 1;

	for (unsigned i = 0; good && i < count; i++)
		good = (i == 0 || EVP_DigestUpdate(context, ":", 1) == 1) &&
		       EVP_DigestUpdate(context, parts[i].data, parts[i].length) == 1;
	good = good && EVP_DigestFinal_ex(context, sum, &length) == 1 && length == 16;
	EVP_MD_CTX_free(context);
	for (unsigned i = 0; good && i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
	return good;
}

static void nonce_make(uint64_t now_ms, char out[NONCE_TEXT + 1])
{
	snprintf(out, NONCE_TEXT + 1, "%016llx%016llx", (unsigned long long)now_ms,
	         (unsigned long long)hash_more(hash_bytes("nonce", 5), &now_ms, sizeof(now_ms)));
}

/* Made by this process, in time. */
static bool nonce_is_good(struct slice nonce, uint64_t now_ms)
{
	char text[NONCE_TEXT + 1], expected[NONCE_TEXT + 1];
	unsigned long long made_ms;

	if (nonce.length != NONCE_TEXT)
		return false;
	memcpy(text, nonce.data, NONCE_TEXT);
	text[NONCE_TEXT / 2] = '\0';
	if (sscanf(text, "%16llx", &made_ms) != 1)
		return false;
	nonce_make(made_ms, expected);
	return slice_equal(nonce, slice_of(expected, NONCE_TEXT)) && made_ms <= now_ms &&
	       now_ms - made_ms < NONCE_LIFE_MS;
}

/* ---- the credentials ---- */

struct credentials {
	struct slice username, realm, nonce, uri, response, qop, nc, cnonce;
};

static bool credential_field(struct credentials *c, struct slice name, struct slice **out)
{
	static const char *const names[] = {"username", "realm", "nonce", "uri",
	                                    "response", "qop",   "nc",    "cnonce"};
	struct slice *const fields[] = {&c->username, &c->realm, &c->nonce, &c->uri,
	                                &c->response, &c->qop,   &c->nc,    &c->cnonce};

	for (unsigned i = 0; i < ARRAY_LENGTH(names); i++)
		if (slice_equal_nocase(name, slice_from_string(names[i]))) {
			*out = fields[i];
			return true;
		}
	return false;
}

/* One value: a quoted string without its quotes, or a token. */
static struct slice read_value(struct slice *rest)
{
	struct slice value;
	ptrdiff_t end;

	if (rest->length == 0 || rest->data[0] != '"') {
		value = slice_trim(slice_split(*rest, ',', rest));
		return value;
	}
	*rest = slice_skip(*rest, 1);
	end = slice_index(*rest, '"');
	if (end < 0)
		end = (ptrdiff_t)rest->length;
	value = slice_of(rest->data, (size_t)end);
	*rest = slice_skip(*rest, (size_t)end + 1);
	slice_split(*rest, ',', rest);
	return value;
}

static bool credentials_read(struct slice header, struct credentials *out)
{
	struct slice rest = slice_trim(header);

	*out = (struct credentials){0};
	if (!slice_starts_with_nocase(rest, SLICE_LITERAL("Digest ")))
		return false;
	rest = slice_skip(rest, 7);
	while (rest.length > 0) {
		struct slice name = slice_trim(slice_split(rest, '=', &rest));
		struct slice value, *field;

		rest = slice_trim(rest);
		value = read_value(&rest);
		if (credential_field(out, name, &field))
			*field = value;
	}
	return out->username.length > 0;
}

static bool response_is_right(const struct credentials *c, const char *password)
{
	char a1[MD5_TEXT], a2[MD5_TEXT], sum[MD5_TEXT];
	const struct slice first[] = {c->username, c->realm, slice_from_string(password)};
	const struct slice second[] = {SLICE_LITERAL("REGISTER"), c->uri};

	if (!md5_of(first, 3, a1) || !md5_of(second, 2, a2))
		return false;
	if (c->qop.length == 0) {
		const struct slice all[] = {slice_of(a1, 32), c->nonce, slice_of(a2, 32)};

		return md5_of(all, 3, sum) && slice_equal_nocase(c->response, slice_of(sum, 32));
	}
	const struct slice all[] = {slice_of(a1, 32), c->nonce, c->nc,
	                            c->cnonce,        c->qop,   slice_of(a2, 32)};

	return md5_of(all, 6, sum) && slice_equal_nocase(c->response, slice_of(sum, 32));
}

/* The private identity may be written user or user@realm. */
static struct slice credentials_user(const struct digest *digest, const struct credentials *c)
{
	struct slice rest;

	if (digest_knows(digest, c->username))
		return c->username;
	return slice_split(c->username, '@', &rest);
}

static int challenge(struct slice realm, bool stale, struct buffer *extra)
{
	char nonce[NONCE_TEXT + 1];

	nonce_make(clock_wall_ms(), nonce);
	buffer_printf(extra,
	              "WWW-Authenticate: Digest realm=\"%.*s\", nonce=\"%s\", algorithm=MD5, "
	              "qop=\"auth\"%s\r\n",
	              SLICE_ARGS(realm), nonce, stale ? ", stale=true" : "");
	return 401;
}

int digest_check(const struct digest *digest, const struct message *request, struct buffer *extra)
{
	struct credentials credentials;
	const struct digest_user *user;
	struct slice header;
	struct uri to;

	if (message_to(request, &to) == NULL)
		return 403;
	if (!message_header(request, "Authorization", &header) ||
	    !credentials_read(header, &credentials) || credentials.response.length == 0)
		return challenge(to.host, false, extra);
	user = find_user(digest, credentials_user(digest, &credentials));
	if (user == NULL || !slice_equal(to.user, user_name(user)))
		return 403;
	if (!slice_equal_nocase(credentials.realm, to.host) ||
	    !response_is_right(&credentials, user->password))
		return challenge(to.host, false, extra);
	if (!nonce_is_good(credentials.nonce, clock_wall_ms()))
		return challenge(to.host, true, extra);
	return 0;
}
