/*
 * An IP address with a port, as the kernel wants it. Small value, copied freely.
 */
#ifndef BONO_BASE_ADDRESS_H
#define BONO_BASE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/slice.h"

struct address {
	union {
		sa_family_t family; /* AF_UNSPEC: none */
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};

/* "[2001:db8::1]:65535" and its NUL */
#define ADDRESS_TEXT_MAX 56

socklen_t address_length(const struct address *address);
uint16_t address_port(const struct address *address);
void address_set_port(struct address *address, uint16_t port);
bool address_is_wildcard(const struct address *address);                   /* 0.0.0.0 or :: */
bool address_is_link_local(const struct address *address);                 /* fe80::/10 */
bool address_equal(const struct address *a, const struct address *b);      /* with port */
bool address_equal_host(const struct address *a, const struct address *b); /* without */
uint64_t address_hash(const struct address *address);                      /* with port */
/* v4-mapped IPv6 becomes IPv4, so that one peer has one spelling. */
void address_normalise(struct address *address);

/* A literal without port: 192.0.2.1, 2001:db8::1 or [2001:db8::1]. False: not a literal. */
bool address_parse_host(struct slice text, uint16_t port, struct address *out);
/* A literal with port: 192.0.2.1:5060, [2001:db8::1]:5060. */
bool address_parse(struct slice text, struct address *out);
/* Both write a NUL and return text. IPv6 in brackets, in lower case, shortest form (RFC 5952). */
const char *address_format(const struct address *address, char text[ADDRESS_TEXT_MAX]);
const char *address_format_host(const struct address *address, char text[ADDRESS_TEXT_MAX]);

/* 10.0.0.0/16, 2001:db8::/32, or a bare address (all bits). ::ffff:10.0.0.0/112 is 10.0.0.0/16. */
struct address_range {
	struct address base;
	uint8_t bits;
};
bool address_range_parse(struct slice text, struct address_range *out);
bool address_range_contains(const struct address_range *range, const struct address *address);

#endif
