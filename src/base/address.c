/*
 * IP addresses with a port: compared, hashed, read and written. Pure, any thread.
 */
#include "base/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"

#define V4_BITS 32
#define V6_BITS 128
#define V4_MAPPED_BITS 96 /* ::ffff:0:0/96 */

socklen_t address_length(const struct address *address)
{
	switch (address->family) {
	case AF_INET:
		return sizeof(address->v4);
	case AF_INET6:
		return sizeof(address->v6);
	default:
		return 0;
	}
}

uint16_t address_port(const struct address *address)
{
	switch (address->family) {
	case AF_INET:
		return ntohs(address->v4.sin_port);
	case AF_INET6:
		return ntohs(address->v6.sin6_port);
	default:
		return 0;
	}
}

void address_set_port(struct address *address, uint16_t port)
{
	if (address->family == AF_INET)
		address->v4.sin_port = htons(port);
	else if (address->family == AF_INET6)
		address->v6.sin6_port = htons(port);
}

bool address_is_wildcard(const struct address *address)
{
	if (address->family == AF_INET)
		return address->v4.sin_addr.s_addr == htonl(INADDR_ANY);
	return address->family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

bool address_is_link_local(const struct address *address)
{
	return address->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&address->v6.sin6_addr);
}

bool address_equal_host(const struct address *a, const struct address *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	if (a->family == AF_INET6)
		return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0 &&
		       a->v6.sin6_scope_id == b->v6.sin6_scope_id;
	return true;
}

bool address_equal(const struct address *a, const struct address *b)
{
	return address_equal_host(a, b) && address_port(a) == address_port(b);
}

uint64_t address_hash(const struct address *address)
{
	unsigned char packed[16 + 4 + 2];
	size_t length = 0;
	uint16_t port = address_port(address);

	if (address->family == AF_INET) {
		memcpy(packed, &address->v4.sin_addr, 4);
		length = 4;
	} else if (address->family == AF_INET6) {
		memcpy(packed, &address->v6.sin6_addr, 16);
		memcpy(packed + 16, &address->v6.sin6_scope_id, 4);
		length = 20;
	}
	memcpy(packed + length, &port, sizeof(port));
	return hash_bytes(packed, length + sizeof(port));
}

void address_normalise(struct address *address)
{
	struct address v4 = {.family = AF_UNSPEC};

	if (address->family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr))
		return;
	v4.v4.sin_family = AF_INET;
	v4.v4.sin_port = address->v6.sin6_port;
	memcpy(&v4.v4.sin_addr, address->v6.sin6_addr.s6_addr + 12, 4);
	memset(address, 0, sizeof(*address));
	address->v4 = v4.v4;
}

/* As inet_pton: four numbers of one to three digits, none above 255, none with a zero in front. */
static bool read_v4(struct slice text, struct in_addr *out)
{
	unsigned char *bytes = (unsigned char *)&out->s_addr;
	size_t at = 0;

	for (int i = 0; i < 4; i++) {
		unsigned number = 0;
		size_t first = at;

		for (; at < text.length && text.data[at] >= '0' && text.data[at] <= '9'; at++) {
			number = number * 10 + (unsigned)(text.data[at] - '0');
			if (number > 255 || (at > first && text.data[first] == '0'))
				return false;
		}
		if (at == first || (i < 3 && (at == text.length || text.data[at++] != '.')))
			return false;
		bytes[i] = (unsigned char)number;
	}
	return at == text.length;
}

bool address_parse_host(struct slice text, uint16_t port, struct address *out)
{
	char copy[INET6_ADDRSTRLEN];
	bool bracketed =
		text.length >= 2 && text.data[0] == '[' && text.data[text.length - 1] == ']';
	struct address parsed;

	if (bracketed)
		text = slice_of(text.data + 1, text.length - 2);
	memset(&parsed, 0, sizeof(parsed));
	if (!bracketed && read_v4(text, &parsed.v4.sin_addr)) {
		parsed.family = AF_INET;
		address_set_port(&parsed, port);
		*out = parsed;
		return true;
	}
	if (text.length == 0 || text.length >= sizeof(copy) || slice_index(text, ':') < 0 ||
	    slice_index(text, '\0') >= 0)
		return false;
	memcpy(copy, text.data, text.length);
	copy[text.length] = '\0';
	if (inet_pton(AF_INET6, copy, &parsed.v6.sin6_addr) != 1)
		return false;
	parsed.family = AF_INET6;
	address_set_port(&parsed, port);
	*out = parsed;
	return true;
}

bool address_parse(struct slice text, struct address *out)
{
	size_t colon = text.length;
	struct slice host;
	uint64_t port;

	while (colon > 0 && text.data[colon - 1] != ':')
		colon--;
	if (colon == 0 || !slice_to_uint(slice_skip(text, colon), UINT16_MAX, &port))
		return false;
	host = slice_of(text.data, colon - 1);
	/* Without brackets the last group of an IPv6 address would pass for a port. */
	if (slice_index(host, ':') >= 0 && host.data[0] != '[')
		return false;
	return address_parse_host(host, (uint16_t)port, out);
}

static char *put_decimal(char *at, unsigned number)
{
	char digits[5], *digit = digits + sizeof(digits);

	do
		*--digit = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	memcpy(at, digit, (size_t)(digits + sizeof(digits) - digit));
	return at + (digits + sizeof(digits) - digit);
}

/* As inet_ntop, without printf: it is done for every request (RFC 3581). */
static char *put_v4(char *at, const struct in_addr *host)
{
	const unsigned char *bytes = (const unsigned char *)&host->s_addr;

	for (int i = 0; i < 4; i++) {
		at = put_decimal(at, bytes[i]);
		*at++ = i < 3 ? '.' : '\0';
	}
	return at - 1;
}

/* inet_ntop of glibc writes the form of RFC 5952: lower case, the first longest run of zeros as "::". */
const char *address_format_host(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN];

	if (address->family == AF_INET)
		put_v4(text, &address->v4.sin_addr);
	else if (address->family == AF_INET6 &&
	         inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof(host)) != NULL)
		snprintf(text, ADDRESS_TEXT_MAX, "[%s]", host);
	else
		snprintf(text, ADDRESS_TEXT_MAX, "none");
	return text;
}

const char *address_format(const struct address *address, char text[ADDRESS_TEXT_MAX])
{
	size_t length;

	address_format_host(address, text);
	length = strlen(text);
	if (address->family != AF_UNSPEC)
		snprintf(text + length, ADDRESS_TEXT_MAX - length, ":%u", address_port(address));
	return text;
}

bool address_range_parse(struct slice text, struct address_range *out)
{
	struct slice bits_text, host = slice_split(text, '/', &bits_text);
	struct address_range range;
	bool host_is_v6;
	uint64_t bits;

	if (!address_parse_host(host, 0, &range.base))
		return false;
	host_is_v6 = range.base.family == AF_INET6;
	bits = host_is_v6 ? V6_BITS : V4_BITS;
	if (host.length < text.length && !slice_to_uint(bits_text, bits, &bits))
		return false;
	if (bits >= V4_MAPPED_BITS) {
		address_normalise(&range.base); /* as the addresses that are compared with it */
		if (range.base.family == AF_INET && host_is_v6)
			bits -= V4_MAPPED_BITS;
	}
	range.bits = (uint8_t)bits;
	*out = range;
	return true;
}

bool address_range_contains(const struct address_range *range, const struct address *address)
{
	struct address one = *address;
	const unsigned char *base, *host;
	unsigned whole = range->bits / 8, rest = range->bits % 8;

	address_normalise(&one);
	if (one.family != range->base.family || one.family == AF_UNSPEC)
		return false;
	base = one.family == AF_INET ? (const unsigned char *)&range->base.v4.sin_addr
	                             : range->base.v6.sin6_addr.s6_addr;
	host = one.family == AF_INET ? (const unsigned char *)&one.v4.sin_addr
	                             : one.v6.sin6_addr.s6_addr;
	if (memcmp(base, host, whole) != 0)
		return false;
	return rest == 0 || ((base[whole] ^ host[whole]) >> (8 - rest)) == 0;
}
