/*
 * DNS answers put together byte by byte, sound or not. A header only.
 */
#ifndef TESTS_SUPPORT_DNS_PACKET_H
#define TESTS_SUPPORT_DNS_PACKET_H

#include <arpa/nameser.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/address.h"
#include "upstream/dns_answer.h"

struct dns_packet {
	uint8_t bytes[65535];
	size_t length;
	unsigned answers;
};

static inline void packet_u16(struct dns_packet *packet, unsigned value)
{
	packet->bytes[packet->length++] = (uint8_t)(value >> 8);
	packet->bytes[packet->length++] = (uint8_t)value;
}

static inline void packet_u32(struct dns_packet *packet, uint32_t value)
{
	packet_u16(packet, value >> 16);
	packet_u16(packet, value & 0xffff);
}

static inline void packet_text(struct dns_packet *packet, const char *text)
{
	packet->bytes[packet->length++] = (uint8_t)strlen(text);
	memcpy(packet->bytes + packet->length, text, strlen(text));
	packet->length += strlen(text);
}

static inline void packet_name(struct dns_packet *packet, const char *name)
{
	while (*name != '\0') {
		size_t label = strcspn(name, ".");

		packet->bytes[packet->length++] = (uint8_t)label;
		memcpy(packet->bytes + packet->length, name, label);
		packet->length += label;
		name += label + (name[label] == '.');
	}
	packet->bytes[packet->length++] = 0;
}

/* An answer to this question, without records yet. */
static inline void packet_begin(struct dns_packet *packet, const char *name, int type, int rcode)
{
	memset(packet, 0, sizeof(*packet));
	packet_u16(packet, 4711);
	packet_u16(packet, 0x8180u | (unsigned)rcode);
	packet_u16(packet, 1);
	packet_u16(packet, 0);
	packet_u32(packet, 0);
	packet_name(packet, name);
	packet_u16(packet, (unsigned)type);
	packet_u16(packet, ns_c_in);
}

/* The head of a record; its length is settled by packet_end_record(packet, what this gave). */
static inline size_t packet_record(struct dns_packet *packet, const char *owner, int type,
                                   uint32_t ttl)
{
	packet_name(packet, owner);
	packet_u16(packet, (unsigned)type);
	packet_u16(packet, ns_c_in);
	packet_u32(packet, ttl);
	packet_u16(packet, 0);
	packet->answers++;
	packet->bytes[6] = (uint8_t)(packet->answers >> 8);
	packet->bytes[7] = (uint8_t)packet->answers;
	return packet->length;
}

static inline void packet_end_record(struct dns_packet *packet, size_t data)
{
	size_t length = packet->length - data;

	packet->bytes[data - 2] = (uint8_t)(length >> 8);
	packet->bytes[data - 1] = (uint8_t)length;
}

static inline void packet_address(struct dns_packet *packet, const char *owner, uint32_t ttl,
                                  const char *text)
{
	struct address address;
	size_t data;

	if (!address_parse_host(slice_from_string(text), 0, &address))
		return;
	data = packet_record(packet, owner, address.family == AF_INET ? ns_t_a : ns_t_aaaa, ttl);
	if (address.family == AF_INET)
		memcpy(packet->bytes + packet->length, &address.v4.sin_addr, 4);
	else
		memcpy(packet->bytes + packet->length, &address.v6.sin6_addr, 16);
	packet->length += address.family == AF_INET ? 4 : 16;
	packet_end_record(packet, data);
}

static inline void packet_cname(struct dns_packet *packet, const char *owner, uint32_t ttl,
                                const char *to)
{
	size_t data = packet_record(packet, owner, ns_t_cname, ttl);

	packet_name(packet, to);
	packet_end_record(packet, data);
}

static inline void packet_srv(struct dns_packet *packet, const char *owner, uint32_t ttl,
                              unsigned priority, unsigned weight, unsigned port, const char *to)
{
	size_t data = packet_record(packet, owner, ns_t_srv, ttl);

	packet_u16(packet, priority);
	packet_u16(packet, weight);
	packet_u16(packet, port);
	packet_name(packet, to);
	packet_end_record(packet, data);
}

static inline void packet_naptr(struct dns_packet *packet, const char *owner, uint32_t ttl,
                                unsigned order, unsigned preference, const char *flags,
                                const char *service, const char *expression, const char *to)
{
	size_t data = packet_record(packet, owner, ns_t_naptr, ttl);

	packet_u16(packet, order);
	packet_u16(packet, preference);
	packet_text(packet, flags);
	packet_text(packet, service);
	packet_text(packet, expression);
	packet_name(packet, to);
	packet_end_record(packet, data);
}

#endif
