/*
 * STUN Binding, the server's side. Pure; each byte of a request is looked at once, the fingerprint's sum aside.
 * RFC 8489 5, 6.3, 14; RFC 5626 8.
 */
#include "transport/stun.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/error.h"

#define HEADER_BYTES 20
#define COOKIE 0x2112a442u
#define FINGERPRINT_XOR 0x5354554eu
#define TYPE_BINDING_REQUEST 0x0001
#define TYPE_BINDING_SUCCESS 0x0101
#define TYPE_BINDING_ERROR 0x0111
/* The class stands in two bits between those of the method. */
#define CLASS_MASK 0x0110
#define FAMILY_IPV4 1
#define FAMILY_IPV6 2
/* Told in one 420; a request with more of them learns of the next when it asks again. */
#define UNKNOWN_TOLD_MAX 8

enum attribute {
	ATTRIBUTE_MAPPED_ADDRESS = 0x0001,
	ATTRIBUTE_USERNAME = 0x0006,
	ATTRIBUTE_MESSAGE_INTEGRITY = 0x0008,
	ATTRIBUTE_ERROR_CODE = 0x0009,
	ATTRIBUTE_UNKNOWN_ATTRIBUTES = 0x000a,
	ATTRIBUTE_REALM = 0x0014,
	ATTRIBUTE_NONCE = 0x0015,
	ATTRIBUTE_MESSAGE_INTEGRITY_SHA256 = 0x001c,
	ATTRIBUTE_PASSWORD_ALGORITHM = 0x001d,
	ATTRIBUTE_USERHASH = 0x001e,
	ATTRIBUTE_XOR_MAPPED_ADDRESS = 0x0020,
	ATTRIBUTE_OPTIONAL = 0x8000, /* from here on nobody needs to understand them */
	ATTRIBUTE_FINGERPRINT = 0x8028,
};

static const char *const result_names[STUN_RESULTS] = {
	[STUN_ANSWERED] = "answered",
	[STUN_REFUSED] = "refused",
	[STUN_OTHER_METHOD] = "other_method",
	[STUN_NO_REQUEST] = "no_request",
	[STUN_NO_COOKIE] = "no_cookie",
	[STUN_MALFORMED] = "malformed",
	[STUN_BAD_FINGERPRINT] = "bad_fingerprint",
};

const char *stun_result_name(enum stun_result result)
{
	ASSERT(result < STUN_RESULTS);
	return result_names[result];
}

/* ---- numbers on the wire ---- */

static uint16_t read16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t read32(const uint8_t *at)
{
	return (uint32_t)read16(at) << 16 | read16(at + 2);
}

static uint8_t *write16(uint8_t *at, uint16_t number)
{
	at[0] = (uint8_t)(number >> 8);
	at[1] = (uint8_t)number;
	return at + 2;
}

static uint8_t *write32(uint8_t *at, uint32_t number)
{
	return write16(write16(at, (uint16_t)(number >> 16)), (uint16_t)number);
}

/* CRC-32 of ITU V.42, four bits at a time. */
static uint32_t crc32_of(const uint8_t *data, size_t length)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
		0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = 0xffffffffu;

	for (size_t i = 0; i < length; i++) {
		crc = table[(crc ^ data[i]) & 15] ^ crc >> 4;
		crc = table[(crc ^ (uint32_t)data[i] >> 4) & 15] ^ crc >> 4;
	}
	return ~crc;
}

/* ---- what came ---- */

bool stun_begins(struct slice datagram)
{
	return datagram.length > 0 && (uint8_t)datagram.data[0] <= 1;
}

struct attributes {
	bool fingerprint;
	unsigned unknown_count;
	uint16_t unknown[UNKNOWN_TOLD_MAX];
};

/* Credentials are understood, and not asked for. */
static bool is_understood(uint16_t type)
{
	switch (type) {
	case ATTRIBUTE_MAPPED_ADDRESS:
	case ATTRIBUTE_USERNAME:
	case ATTRIBUTE_MESSAGE_INTEGRITY:
	case ATTRIBUTE_ERROR_CODE:
	case ATTRIBUTE_UNKNOWN_ATTRIBUTES:
	case ATTRIBUTE_REALM:
	case ATTRIBUTE_NONCE:
	case ATTRIBUTE_MESSAGE_INTEGRITY_SHA256:
	case ATTRIBUTE_PASSWORD_ALGORITHM:
	case ATTRIBUTE_USERHASH:
	case ATTRIBUTE_XOR_MAPPED_ADDRESS:
		return true;
	default:
		return type >= ATTRIBUTE_OPTIONAL;
	}
}

static void note_unknown(struct attributes *attributes, uint16_t type)
{
	for (unsigned i = 0; i < attributes->unknown_count; i++)
		if (attributes->unknown[i] == type)
			return;
	if (attributes->unknown_count < UNKNOWN_TOLD_MAX)
		attributes->unknown[attributes->unknown_count++] = type;
}

/* RFC 8489 14.7: the last attribute, over all that stands before it. */
static bool fingerprint_fits(const uint8_t *message, size_t at, size_t length)
{
	return read16(message + at + 2) == 4 && at + 8 == length &&
	       read32(message + at + 4) == (crc32_of(message, at) ^ FINGERPRINT_XOR);
}

static enum stun_result read_attributes(const uint8_t *message, size_t length,
                                        struct attributes *out)
{
	size_t at = HEADER_BYTES;

	memset(out, 0, sizeof(*out));
	while (at < length) {
		uint16_t type = read16(message + at); /* all lengths are multiples of 4 */
		size_t padded = ((size_t)read16(message + at + 2) + 3) & ~(size_t)3;

		if (padded > length - at - 4)
			return STUN_MALFORMED;
		if (type == ATTRIBUTE_FINGERPRINT) {
			if (!fingerprint_fits(message, at, length))
				return STUN_BAD_FINGERPRINT;
			out->fingerprint = true;
		} else if (!is_understood(type)) {
			note_unknown(out, type);
		}
		at += 4 + padded;
	}
	return out->unknown_count > 0 ? STUN_REFUSED : STUN_ANSWERED;
}

/* ---- what we say ---- */

/* RFC 8489 14.2. An address in clear would be rewritten by some NATs. */
static uint8_t *write_mapped_address(uint8_t *at, const uint8_t *request,
                                     const struct address *source)
{
	const bool v6 = source->family == AF_INET6;
	const size_t length = v6 ? 16 : 4;

	at = write16(at, ATTRIBUTE_XOR_MAPPED_ADDRESS);
	at = write16(at, (uint16_t)(4 + length));
	at = write16(at, v6 ? FAMILY_IPV6 : FAMILY_IPV4);
	at = write16(at, address_port(source) ^ (uint16_t)(COOKIE >> 16));
	memcpy(at, v6 ? (const void *)&source->v6.sin6_addr : (const void *)&source->v4.sin_addr,
	       length);
	for (size_t i = 0; i < length; i++)
		at[i] ^= request[4 + i]; /* cookie and transaction id stand there side by side */
	return at + length;
}

/* RFC 8489 14.8 and 14.10. The reason phrase is for people's eyes; the number says all. */
static uint8_t *write_refusal(uint8_t *at, const struct attributes *attributes)
{
	static const char reason[] = "Unknown Attribute";
	const size_t reason_length = sizeof(reason) - 1;

	at = write16(at, ATTRIBUTE_ERROR_CODE);
	at = write16(at, (uint16_t)(4 + reason_length));
	at = write32(at, 4 << 8 | 20);
	memcpy(at, reason, reason_length);
	at += (reason_length + 3) & ~(size_t)3;
	at = write16(at, ATTRIBUTE_UNKNOWN_ATTRIBUTES);
	at = write16(at, (uint16_t)(2 * attributes->unknown_count));
	for (unsigned i = 0; i < attributes->unknown_count; i++)
		at = write16(at, attributes->unknown[i]);
	return at + 2 * (attributes->unknown_count & 1);
}

static size_t write_answer(const uint8_t *request, const struct attributes *attributes,
                           const struct address *source, uint8_t out[STUN_ANSWER_MAX])
{
	const bool refused = attributes->unknown_count > 0;
	uint8_t *at = out + HEADER_BYTES;
	size_t length;

	memset(out, 0, STUN_ANSWER_MAX);
	write16(out, refused ? TYPE_BINDING_ERROR : TYPE_BINDING_SUCCESS);
	memcpy(out + 4, request + 4, 16);
	at = refused ? write_refusal(at, attributes) : write_mapped_address(at, request, source);
	length = (size_t)(at - out) + (attributes->fingerprint ? 8 : 0);
	ASSERT(length <= STUN_ANSWER_MAX);
	write16(out + 2, (uint16_t)(length - HEADER_BYTES));
	if (attributes->fingerprint) {
		uint32_t sum = crc32_of(out, (size_t)(at - out));

		at = write16(at, ATTRIBUTE_FINGERPRINT);
		at = write16(at, 4);
		write32(at, sum ^ FINGERPRINT_XOR);
	}
	return length;
}

enum stun_result stun_answer(struct slice datagram, const struct address *source,
                             uint8_t out[STUN_ANSWER_MAX], size_t *length)
{
	const uint8_t *request = (const uint8_t *)datagram.data;
	struct attributes attributes;
	enum stun_result result;
	uint16_t type;

	*length = 0;
	if (datagram.length < HEADER_BYTES)
		return STUN_MALFORMED;
	if ((request[0] & 0xc0) != 0 || read32(request + 4) != COOKIE)
		return STUN_NO_COOKIE;
	if (datagram.length % 4 != 0 ||
	    (size_t)read16(request + 2) + HEADER_BYTES != datagram.length)
		return STUN_MALFORMED;
	type = read16(request);
	if ((type & CLASS_MASK) != 0)
		return STUN_NO_REQUEST;
	if (type != TYPE_BINDING_REQUEST)
		return STUN_OTHER_METHOD;
	result = read_attributes(request, datagram.length, &attributes);
	if (result == STUN_ANSWERED || result == STUN_REFUSED)
		*length = write_answer(request, &attributes, source, out);
	return result;
}
