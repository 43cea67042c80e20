/*
 * The PROXY protocol, versions 1 and 2, receiver's side. Pure, any thread. proxy-protocol.txt (HAProxy) 2.1,
 * 2.2. Strict, since the sender is a machine of ours: what is not to the letter is an attack or a mistake in
 * the configuration, and neither may choose the address that the rest of Bono believes.
 */
#include "transport/proxy_protocol.h"

#include <arpa/inet.h>
#include <string.h>

/* 2.1: the longest possible line with its CRLF. */
#define V1_MAX_BYTES 107

#define V2_SIGNATURE SLICE_LITERAL("\r\n\r\n\0\r\nQUIT\n")
#define V2_FIXED_BYTES 16
#define V2_IPV4_BYTES 12
#define V2_IPV6_BYTES 36

/* ---- version 1 ---- */

/* Exactly one space between two words (2.1). */
static struct slice next_word(struct slice *line)
{
	return slice_split(*line, ' ', line);
}

/* 2.1: digits without a leading zero. */
static bool read_port(struct slice word, uint16_t *out)
{
	uint64_t port;

	if ((word.length > 1 && word.data[0] == '0') || !slice_to_uint(word, UINT16_MAX, &port))
		return false;
	*out = (uint16_t)port;
	return true;
}

/* A literal of that family in the form of inet_pton; nothing in brackets, no scope. */
static bool read_host(struct slice word, sa_family_t family, struct address *out)
{
	char text[INET6_ADDRSTRLEN];

	if (word.length == 0 || word.length >= sizeof(text))
		return false;
	memcpy(text, word.data, word.length);
	text[word.length] = '\0';
	memset(out, 0, sizeof(*out));
	out->family = family;
	return inet_pton(family, text,
	                 family == AF_INET ? (void *)&out->v4.sin_addr
	                                   : (void *)&out->v6.sin6_addr) == 1;
}

static enum proxy_protocol_verdict read_v1_addresses(struct slice rest, sa_family_t family,
                                                     struct proxy_protocol_header *out)
{
	struct slice source = next_word(&rest), destination = next_word(&rest);
	struct slice source_port = next_word(&rest);
	uint16_t from, to;

	if (!read_host(source, family, &out->source) ||
	    !read_host(destination, family, &out->destination) || !read_port(source_port, &from) ||
	    !read_port(rest, &to))
		return PROXY_PROTOCOL_BAD;
	address_set_port(&out->source, from);
	address_set_port(&out->destination, to);
	return PROXY_PROTOCOL_DONE;
}

static enum proxy_protocol_verdict read_v1(struct slice bytes, struct proxy_protocol_header *out)
{
	const ptrdiff_t lf = slice_index(bytes, '\n');
	struct slice line, word;

	if (lf < 0) {
		out->length = bytes.length + 1;
		return bytes.length < V1_MAX_BYTES ? PROXY_PROTOCOL_MORE : PROXY_PROTOCOL_BAD;
	}
	out->length = (size_t)lf + 1;
	if (out->length > V1_MAX_BYTES || bytes.data[lf - 1] != '\r')
		return PROXY_PROTOCOL_BAD;
	line = slice_of(bytes.data, (size_t)lf - 1);
	next_word(&line); /* PROXY */
	word = next_word(&line);
	if (slice_equal(word, SLICE_LITERAL("UNKNOWN")))
		return PROXY_PROTOCOL_DONE; /* 2.1: whatever follows is to be ignored */
	if (slice_equal(word, SLICE_LITERAL("TCP4")))
		return read_v1_addresses(line, AF_INET, out);
	if (slice_equal(word, SLICE_LITERAL("TCP6")))
		return read_v1_addresses(line, AF_INET6, out);
	return PROXY_PROTOCOL_BAD;
}

/* ---- version 2 ---- */

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum { V2_TCP4 = 0x11, V2_TCP6 = 0x21 };

static void read_v4(const unsigned char *at, struct proxy_protocol_header *out)
{
	out->source.v4.sin_family = out->destination.v4.sin_family = AF_INET;
	memcpy(&out->source.v4.sin_addr, at, 4);
	memcpy(&out->destination.v4.sin_addr, at + 4, 4);
	memcpy(&out->source.v4.sin_port, at + 8, 2);
	memcpy(&out->destination.v4.sin_port, at + 10, 2);
}

static void read_v6(const unsigned char *at, struct proxy_protocol_header *out)
{
	out->source.v6.sin6_family = out->destination.v6.sin6_family = AF_INET6;
	memcpy(&out->source.v6.sin6_addr, at, 16);
	memcpy(&out->destination.v6.sin6_addr, at + 16, 16);
	memcpy(&out->source.v6.sin6_port, at + 32, 2);
	memcpy(&out->destination.v6.sin6_port, at + 34, 2);
}

/* `length` bytes stand behind the fixed part: addresses, then TLVs that are passed over. */
static enum proxy_protocol_verdict read_v2_addresses(const unsigned char *fixed, size_t length,
                                                     struct proxy_protocol_header *out)
{
	const unsigned char command = fixed[12], family = fixed[13];

	if (command == V2_LOCAL)
		return PROXY_PROTOCOL_DONE; /* 2.2: the balancer itself, to see whether we live */
	if (command != V2_PROXY || family >> 4 > 3 || (family & 15) > 2)
		return PROXY_PROTOCOL_BAD; /* 2.2: unassigned: receivers must drop */
	if (family == V2_TCP4) {
		if (length < V2_IPV4_BYTES)
			return PROXY_PROTOCOL_BAD;
		read_v4(fixed + V2_FIXED_BYTES, out);
	} else if (family == V2_TCP6) {
		if (length < V2_IPV6_BYTES)
			return PROXY_PROTOCOL_BAD;
		read_v6(fixed + V2_FIXED_BYTES, out);
	}
	return PROXY_PROTOCOL_DONE; /* else unspecified, or a socket that is no TCP: 2.2 */
}

static enum proxy_protocol_verdict read_v2(struct slice bytes, struct proxy_protocol_header *out)
{
	const unsigned char *at = (const unsigned char *)bytes.data;
	size_t length;

	out->length = V2_FIXED_BYTES;
	if (bytes.length < V2_FIXED_BYTES)
		return PROXY_PROTOCOL_MORE;
	length = (size_t)at[14] << 8 | at[15];
	if (V2_FIXED_BYTES + length > PROXY_PROTOCOL_MAX_BYTES)
		return PROXY_PROTOCOL_BAD;
	out->length = V2_FIXED_BYTES + length;
	if (bytes.length < out->length)
		return PROXY_PROTOCOL_MORE;
	return read_v2_addresses(at, length, out);
}

/* ---- both ---- */

static bool may_begin_with(struct slice bytes, struct slice signature)
{
	const size_t length = bytes.length < signature.length ? bytes.length : signature.length;

	return length == 0 || memcmp(bytes.data, signature.data, length) == 0;
}

enum proxy_protocol_verdict proxy_protocol_read(struct slice bytes,
                                                struct proxy_protocol_header *out)
{
	enum proxy_protocol_verdict verdict = PROXY_PROTOCOL_BAD;

	memset(out, 0, sizeof(*out));
	if (may_begin_with(bytes, SLICE_LITERAL("PROXY ")))
		verdict = read_v1(bytes, out);
	else if (may_begin_with(bytes, V2_SIGNATURE))
		verdict = read_v2(bytes, out);
	if (verdict == PROXY_PROTOCOL_DONE) {
		address_normalise(&out->source);
		address_normalise(&out->destination);
	}
	return verdict;
}
