/*
 * Reading DNS answers. The packet is anybody's: the C library's ns_ functions keep within it and follow
 * its compression, we bound what is taken out of it. Pure.
 */
#include "upstream/dns_answer.h"

#include <arpa/nameser.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/memory.h"

/* 256 addresses, the aliases before them and their signatures; a hostile packet holds 4000. */
#define ANSWER_SCAN_MAX 1024
/* RFC 1034 3.6.2 wants none in a row; content networks use three. */
#define ANSWER_ALIASES_MAX 8
/* RFC 2181 8: with the top bit set it means none. */
#define TTL_MAX 0x7fffffffu

struct reading {
	ns_msg packet;
	unsigned records; /* in its answer section, as many as we look at */
	enum dns_type type;
	char owner
		[DNS_NAME_MAX]; /* whose records are wanted: the name asked for, then its aliases */
	struct dns_answer *out;
};

/* ---- names ---- */

/* Letters, digits, '-', '_' and dots: what may go into a query, a log line and a label. */
static bool name_is_plain(const char *name)
{
	for (; *name != '\0'; name++) {
		if (!isalnum((unsigned char)*name) && strchr("-_.", *name) == NULL)
			return false;
	}
	return true;
}

/* The name at this place of the packet, without the dot at the end: the root is empty. */
static bool name_read(const struct reading *reading, const uint8_t *place, char out[DNS_NAME_MAX])
{
	char text[NS_MAXDNAME];
	size_t length;

	if (ns_name_uncompress(ns_msg_base(reading->packet), ns_msg_end(reading->packet), place,
	                       text, sizeof(text)) < 0)
		return false;
	length = strlen(text);
	if (length > 0 && text[length - 1] == '.')
		text[--length] = '\0';
	if (length >= DNS_NAME_MAX || !name_is_plain(text))
		return false;
	memcpy(out, text, length + 1);
	return true;
}

/* ---- records ---- */

static bool read_address(const ns_rr *rr, struct dns_record *out)
{
	memset(&out->address, 0, sizeof(out->address));
	if (ns_rr_type(*rr) == ns_t_a && ns_rr_rdlen(*rr) == 4) {
		out->address.v4.sin_family = AF_INET;
		memcpy(&out->address.v4.sin_addr, ns_rr_rdata(*rr), 4);
	} else if (ns_rr_type(*rr) == ns_t_aaaa && ns_rr_rdlen(*rr) == 16) {
		out->address.v6.sin6_family = AF_INET6;
		memcpy(&out->address.v6.sin6_addr, ns_rr_rdata(*rr), 16);
		address_normalise(&out->address);
	} else {
		return false;
	}
	return !address_is_wildcard(&out->address); /* a connection to it reaches ourselves */
}

static bool read_srv(const struct reading *reading, const ns_rr *rr, struct dns_record *out)
{
	const uint8_t *data = ns_rr_rdata(*rr);

	if (ns_rr_rdlen(*rr) < 7)
		return false;
	out->priority = (uint16_t)ns_get16(data);
	out->weight = (uint16_t)ns_get16(data + 2);
	out->port = (uint16_t)ns_get16(data + 4);
	return name_read(reading, data + 6, out->name) && (out->port != 0 || out->name[0] == '\0');
}

/* A character-string of RFC 1035 3.3; *data moves behind it. */
static bool read_string(const uint8_t **data, const uint8_t *end, struct slice *out)
{
	size_t length;

	if (*data >= end)
		return false;
	length = **data;
	if (length > (size_t)(end - *data) - 1)
		return false;
	*out = slice_of((const char *)*data + 1, length);
	*data += 1 + length;
	return true;
}

static enum dns_service service_of(struct slice flags, struct slice service)
{
	static const struct {
		struct slice name;
		enum dns_service service;
	} known[] = {
		{SLICE_LITERAL("SIP+D2U"), DNS_SERVICE_SIP_UDP},
		{SLICE_LITERAL("SIP+D2T"), DNS_SERVICE_SIP_TCP},
		{SLICE_LITERAL("SIPS+D2T"), DNS_SERVICE_SIPS_TCP},
	};

	for (unsigned i = 0; i < ARRAY_LENGTH(known); i++) {
		if (slice_equal_nocase(flags, SLICE_LITERAL("s")) &&
		    slice_equal_nocase(service, known[i].name))
			return known[i].service;
	}
	return DNS_SERVICE_OTHER;
}

static bool read_naptr(const struct reading *reading, const ns_rr *rr, struct dns_record *out)
{
	const uint8_t *data = ns_rr_rdata(*rr), *end = data + ns_rr_rdlen(*rr);
	struct slice flags, service, expression;

	if (ns_rr_rdlen(*rr) < 8)
		return false;
	out->priority = (uint16_t)ns_get16(data);
	out->weight = (uint16_t)ns_get16(data + 2);
	data += 4;
	if (!read_string(&data, end, &flags) || !read_string(&data, end, &service) ||
	    !read_string(&data, end, &expression) || data >= end)
		return false;
	out->service = service_of(flags, service);
	/* RFC 3263 4.1: the services of SIP name their SRV; an expression would be a way around it. */
	if (!slice_is_empty(expression))
		out->service = DNS_SERVICE_OTHER;
	return name_read(reading, data, out->name);
}

static bool read_record(const struct reading *reading, const ns_rr *rr, struct dns_record *out)
{
	memset(out, 0, sizeof(*out));
	switch (reading->type) {
	case DNS_A:
	case DNS_AAAA:
		return read_address(rr, out);
	case DNS_SRV:
		return read_srv(reading, rr, out);
	case DNS_NAPTR:
		return read_naptr(reading, rr, out);
	}
	return false;
}

/* ---- the answer section ---- */

static bool owned_by(const struct reading *reading, const ns_rr *rr)
{
	const char *name = ns_rr_name(*rr);
	size_t length = strlen(name);

	if (length > 0 && name[length - 1] == '.')
		length--;
	return ns_rr_class(*rr) == ns_c_in && length == strlen(reading->owner) &&
	       strncasecmp(name, reading->owner, length) == 0;
}

static void take_ttl(struct dns_answer *out, const ns_rr *rr)
{
	uint32_t ttl = ns_rr_ttl(*rr);

	if (ttl > TTL_MAX)
		ttl = 0;
	if (ttl < out->ttl_s)
		out->ttl_s = ttl;
}

static void take_record(struct reading *reading, const ns_rr *rr)
{
	struct dns_answer *out = reading->out;

	if (out->count == DNS_RECORDS_MAX || !read_record(reading, rr, &out->records[out->count])) {
		out->left_out++;
		return;
	}
	take_ttl(out, rr);
	out->count++;
}

/* The records of the owner, or where its CNAME leads. False: the packet is broken. */
static bool scan(struct reading *reading, bool *has_alias)
{
	char alias[DNS_NAME_MAX];
	unsigned i;
	ns_rr rr;

	*has_alias = false;
	for (i = 0; i < reading->records; i++) {
		if (ns_parserr(&reading->packet, ns_s_an, (int)i, &rr) != 0)
			return false;
		if (!owned_by(reading, &rr))
			continue;
		if (ns_rr_type(rr) == (ns_type)reading->type) {
			take_record(reading, &rr);
		} else if (ns_rr_type(rr) == ns_t_cname && !*has_alias) {
			if (!name_read(reading, ns_rr_rdata(rr), alias) || alias[0] == '\0')
				return false;
			take_ttl(reading->out, &rr);
			*has_alias = true;
		}
	}
	if (*has_alias)
		memcpy(reading->owner, alias, sizeof(alias));
	return true;
}

/* A chain of aliases within one packet, in whatever order it stands there. */
static bool follow(struct reading *reading)
{
	bool has_alias = true, aliased = false;
	unsigned i;

	for (i = 0; i <= ANSWER_ALIASES_MAX && has_alias && reading->out->count == 0; i++) {
		if (!scan(reading, &has_alias))
			return false;
		aliased |= has_alias;
	}
	if (reading->out->count == 0 && aliased && !has_alias)
		memcpy(reading->out->alias, reading->owner, sizeof(reading->owner));
	return reading->out->count > 0 || !has_alias; /* else a circle */
}

/* A broken packet says nothing, not even what could be read of it. */
static void answer_break(struct dns_answer *out)
{
	memory_free(out->records);
	dns_answer_fail(out, DNS_FAILED, "malformed answer");
}

static int read_packet(struct reading *reading)
{
	struct dns_answer *out = reading->out;
	int rcode = ns_msg_getflag(reading->packet, ns_f_rcode);
	bool is_sound;

	if (rcode != ns_r_noerror) {
		if (rcode == ns_r_nxdomain)
			dns_answer_fail(out, DNS_EMPTY, "no such name");
		else
			dns_answer_fail(out, DNS_FAILED, "server failure");
		return 0;
	}
	reading->records = ns_msg_count(reading->packet, ns_s_an);
	if (reading->records > ANSWER_SCAN_MAX)
		reading->records = ANSWER_SCAN_MAX;
	dns_answer_fail(out, DNS_EMPTY, "no such record");
	if (reading->records == 0)
		return 0;
	out->records = memory_alloc(
		(reading->records < DNS_RECORDS_MAX ? reading->records : DNS_RECORDS_MAX) *
		sizeof(*out->records));
	if (out->records == NULL)
		return -ENOMEM;
	out->ttl_s = TTL_MAX;
	is_sound = follow(reading);
	if (is_sound && out->count > 0)
		out->verdict = DNS_FOUND;
	else if (!is_sound || out->left_out > 0) /* something we cannot use is not nothing */
		answer_break(out);
	return 0;
}

int dns_answer_read(const uint8_t *packet, size_t length, const char *name, enum dns_type type,
                    struct dns_answer *out)
{
	struct reading reading = {.type = type, .out = out};
	int err;

	dns_answer_fail(out, DNS_FAILED, "malformed answer");
	if (length > NS_MAXMSG || strlen(name) >= DNS_NAME_MAX ||
	    ns_initparse(packet, (int)length, &reading.packet) != 0 ||
	    !ns_msg_getflag(reading.packet, ns_f_qr))
		return 0;
	memcpy(reading.owner, name, strlen(name) + 1);
	err = read_packet(&reading);
	if (err != 0)
		dns_answer_fail(out, DNS_FAILED, "out of memory");
	return err;
}

void dns_answer_fail(struct dns_answer *out, enum dns_verdict verdict, const char *reason)
{
	*out = (struct dns_answer){.verdict = verdict, .reason = reason};
}

void dns_answer_free(struct dns_answer *answer)
{
	memory_free(answer->records);
	answer->records = NULL;
	answer->count = 0;
}
