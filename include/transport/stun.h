/*
 * The one thing of STUN that a SIP port owes its clients: the answer to a Binding request, which keeps a NAT's
 * mapping alive and tells the client what it is. Pure. RFC 8489 (RFC 5389) as RFC 5626 4.4.2 and 8 use it.
 * No authentication (RFC 5626 8), no other method, no indication, nothing sent unasked.
 */
#ifndef BONO_TRANSPORT_STUN_H
#define BONO_TRANSPORT_STUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/slice.h"

enum stun_result { /* label of bono_stun_total */
	           STUN_ANSWERED,
	           STUN_REFUSED, /* an attribute that must be understood is not: answered by 420 */
	           STUN_OTHER_METHOD,    /* a request, but not Binding */
	           STUN_NO_REQUEST,      /* an indication, or somebody's answer */
	           STUN_NO_COOKIE,       /* RFC 3489, or no STUN at all */
	           STUN_MALFORMED,       /* lengths that do not fit */
	           STUN_BAD_FINGERPRINT, /* there, and wrong or not the last */
	           STUN_RESULTS
};
const char *stun_result_name(enum stun_result result);

/* No answer is longer than its request by more: nobody amplifies through us. */
#define STUN_SURPLUS_MAX 32
#define STUN_ANSWER_MAX 80

/* It is STUN or nothing: no SIP message begins like this (RFC 5626 8: the first octet is 0 or 1). */
bool stun_begins(struct slice datagram);
/* What to do with it; for STUN_ANSWERED and STUN_REFUSED the answer is in out, `*length` of it. source: where the
 * datagram came from, IPv4 or IPv6, not v4-mapped. */
enum stun_result stun_answer(struct slice request, const struct address *source,
                             uint8_t out[STUN_ANSWER_MAX], size_t *length);

#endif
