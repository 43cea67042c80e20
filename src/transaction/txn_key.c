/*
 * What makes two messages belong to one transaction. RFC 3261 17.1.3, 17.2.3.
 * Pure, but for the process's hash key.
 */
#include <netinet/in.h>
#include <string.h>

#include "sip/via.h"
#include "transaction_internal.h"

/* Both halves of a key, fed piece by piece. Pieces are gathered first: most keys fit in one block, and a
 * call of the hash costs more than its bytes. */
struct digest {
	uint64_t hash, fingerprint;
	size_t length;
	char block[256];
};

static void digest_init(struct digest *digest)
{
	digest->hash = 0;
	digest->fingerprint = 1;
	digest->length = 0;
}

static void digest_flush(struct digest *digest)
{
	digest->hash = hash_more(digest->hash, digest->block, digest->length);
	digest->fingerprint = hash_more(digest->fingerprint, digest->block, digest->length);
	digest->length = 0;
}

static inline void digest_bytes(struct digest *digest, const void *data, size_t length)
{
	const char *from = data;

	if (length < sizeof(digest->block) - digest->length) {
		memcpy(digest->block + digest->length, data, length);
		digest->length += length;
		return;
	}
	while (length > 0) {
		size_t room = sizeof(digest->block) - digest->length;
		size_t n = length < room ? length : room;

		memcpy(digest->block + digest->length, from, n);
		digest->length += n;
		from += n;
		length -= n;
		if (digest->length == sizeof(digest->block))
			digest_flush(digest);
	}
}

/* Pieces carry their length, so that "a" "bc" is not "ab" "c". */
static void digest_text(struct digest *digest, struct slice text)
{
	uint32_t length = (uint32_t)text.length;

	digest_bytes(digest, &length, sizeof(length));
	digest_bytes(digest, text.data, text.length);
}

/* Letters in lower case, eight bytes at a time; bytes above 127 stay as they are. */
static uint64_t lower_eight(uint64_t bytes)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t low = bytes & (0x7f * ones);
	uint64_t from_a = low + (0x80 - 'A') * ones;       /* bit 7: at or above 'A' */
	uint64_t behind_z = low + (0x80 - 'Z' - 1) * ones; /* bit 7: above 'Z' */

	return bytes | ((from_a & ~behind_z & ~bytes & (0x80 * ones)) >> 2);
}

/* Host names, branches and transports compare without case (7.3.1). */
static void digest_text_nocase(struct digest *digest, struct slice text)
{
	uint32_t length = (uint32_t)text.length;
	uint64_t eight;

	digest_bytes(digest, &length, sizeof(length));
	while (text.length > 0) {
		size_t n = text.length < sizeof(eight) ? text.length : sizeof(eight);

		eight = 0;
		memcpy(&eight, text.data, n);
		eight = lower_eight(eight);
		digest_bytes(digest, &eight, n);
		text = slice_skip(text, n);
	}
}

/*
 * Clients behind different NATs may share a private sent-by, and a poor generator repeats branches; so on
 * the outside a transaction also belongs to its source, beyond what 17.2.3 asks: host and connection. Not
 * the UDP port: answers may go to another port than the request came from (18.2.2), and a NAT may rebind
 * between INVITE and CANCEL. On the inside sent-by is believed.
 */
static void digest_source(struct digest *digest, const struct hop *hop)
{
	uint64_t connection = hop->connection;

	digest_bytes(digest, hop->side == SIDE_ACCESS ? "a" : "c", 1);
	if (hop->side != SIDE_ACCESS)
		return;
	digest_bytes(digest, &connection, sizeof(connection));
	if (hop->remote.family == AF_INET6)
		digest_bytes(digest, &hop->remote.v6.sin6_addr, sizeof(hop->remote.v6.sin6_addr));
	else
		digest_bytes(digest, &hop->remote.v4.sin_addr, sizeof(hop->remote.v4.sin_addr));
}

/* An absent port is the default one (18.2.2): "host" and "host:5060" are the same sent-by. */
static void digest_sent_by(struct digest *digest, const struct via *via)
{
	bool secure = slice_equal_nocase(via->transport, SLICE_LITERAL("TLS"));
	uint16_t port = via->port;

	if (port == 0)
		port = secure ? 5061 : 5060;
	digest_text_nocase(digest, via->host);
	digest_bytes(digest, &port, sizeof(port));
}

/* 17.2.3, the rules for RFC 2543 clients. Only that of the Via which nobody changes on the way: the
 * marks of 18.2.1 may be there or not. */
static void digest_legacy(struct digest *digest, const struct message *request,
                          const struct via *via)
{
	uint32_t cseq = message_cseq(request);
	struct uri uri;

	digest_text_nocase(digest, via->transport);
	digest_text_nocase(digest, via->branch);
	digest_text(digest, message_request_uri(request, &uri)->text);
	digest_text(digest, message_from_tag(request));
	digest_text(digest, message_call_id(request));
	digest_bytes(digest, &cseq, sizeof(cseq));
}

bool txn_key_of_request(const struct message *request, const struct hop *hop, struct txn_key *out)
{
	enum sip_method method = message_method(request);
	struct digest digest;
	struct via via;
	bool modern;

	if (!message_via(request, 0, &via))
		return false;
	modern = slice_starts_with_nocase(via.branch, SLICE_LITERAL("z9hG4bK"));
	digest_init(&digest);
	digest_bytes(&digest, modern ? "3" : "2", 1);
	digest_source(&digest, hop);
	digest_sent_by(&digest, &via);
	if (modern)
		digest_text_nocase(&digest, via.branch);
	else
		digest_legacy(&digest, request, &via);
	if (method == METHOD_OTHER)
		digest_text(&digest, message_method_text(request));
	digest_flush(&digest);
	/* Not in the hash, so that an ACK, with the To tag of our response, finds its place. */
	if (!modern) {
		struct slice to_tag = message_to_tag(request);

		digest.fingerprint = hash_more(digest.fingerprint, to_tag.data, to_tag.length);
	}
	out->hash = digest.hash;
	out->fingerprint = digest.fingerprint;
	out->method = method == METHOD_ACK ? METHOD_INVITE : method;
	out->any_to_tag = !modern && method == METHOD_ACK;
	return true;
}

void txn_key_of_branch(struct slice branch, enum sip_method method, struct txn_key *out)
{
	struct digest digest;

	digest_init(&digest);
	digest_bytes(&digest, "r", 1);
	digest_text_nocase(&digest, branch);
	digest_flush(&digest);
	out->hash = digest.hash;
	out->fingerprint = digest.fingerprint;
	out->method = method;
	out->any_to_tag = false;
}

bool txn_key_of_response(const struct message *response, struct txn_key *out)
{
	struct via via;

	if (!message_via(response, 0, &via) || slice_is_empty(via.branch))
		return false;
	txn_key_of_branch(via.branch, message_method(response), out);
	return true;
}
