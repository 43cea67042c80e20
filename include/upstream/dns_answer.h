/*
 * One DNS answer as a value: the records that were asked for, read from the packet. Pure; any thread.
 * RFC 1035 4.1, RFC 2782 (SRV), RFC 3403 (NAPTR), RFC 3596 (AAAA).
 */
#ifndef BONO_UPSTREAM_DNS_ANSWER_H
#define BONO_UPSTREAM_DNS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "base/address.h"

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33, DNS_NAPTR = 35 };

#define DNS_NAME_MAX 256 /* RFC 1035 2.3.4, with NUL; without the dot at the end */

/* A site of more Sprouts than this is several sites; beyond it records are left out. */
#define DNS_RECORDS_MAX 256

/* NAPTR services of RFC 3263 4.1, and all others. */
enum dns_service {
	DNS_SERVICE_OTHER,
	DNS_SERVICE_SIP_UDP,  /* SIP+D2U */
	DNS_SERVICE_SIP_TCP,  /* SIP+D2T */
	DNS_SERVICE_SIPS_TCP, /* SIPS+D2T */
};

struct dns_record {
	uint16_t priority;        /* SRV; NAPTR: order */
	uint16_t weight;          /* SRV; NAPTR: preference */
	uint16_t port;            /* SRV */
	enum dns_service service; /* NAPTR; OTHER unless its flag is "s" */
	struct address address;   /* A, AAAA; without port */
	char name[DNS_NAME_MAX];  /* SRV: target, empty for "."; NAPTR: replacement */
};

enum dns_verdict {
	DNS_FOUND,  /* at least one record */
	DNS_EMPTY,  /* the server says: no such name, or nothing of this type */
	DNS_FAILED, /* no answer, or none that tells anything */
};

struct dns_answer {
	enum dns_verdict verdict;
	const char *reason;         /* static, for log lines: "no such name", "timeout" */
	uint32_t ttl_s;             /* the smallest of the records and of the aliases before them */
	struct dns_record *records; /* owned */
	unsigned count;
	unsigned left_out; /* records too many or too strange to be used */
	char alias
		[DNS_NAME_MAX]; /* a CNAME leads here and nothing more is said: ask for it. Else empty */
};

/*
 * Read the packet as answer to this question. Whatever the packet is, *out becomes a verdict that
 * dns_answer_free takes. -ENOMEM.
 */
int dns_answer_read(const uint8_t *packet, size_t length, const char *name, enum dns_type type,
                    struct dns_answer *out);
/* A verdict without records. */
void dns_answer_fail(struct dns_answer *out, enum dns_verdict verdict, const char *reason);
void dns_answer_free(struct dns_answer *answer);

#endif
