/*
 * Reasonableness of a request, RFC 3261 16.3 steps 1-5 (authorisation is the proxy's). Pure.
 */
#ifndef BONO_SIP_VALIDATE_H
#define BONO_SIP_VALIDATE_H

#include "base/buffer.h"
#include "sip/message.h"

struct validation {
	int status;         /* 0: sound. 400, 416, 483, 420, 482 */
	const char *reason; /* the phrase */
	struct buffer
		extra; /* header lines the answer must carry (Unsupported: ...), each with CRLF */
};

/* hash: loop_hash(request). Never called for ACK answers: the caller drops a bad ACK.
 * A sips/sip/tel/urn Request-URI passes; other schemes 416. Proxy-Require with any tag we do not
 * support 420 (not for ACK and CANCEL). Call validation_free. */
void validate_request(const struct message *request, uint64_t hash, struct validation *out);
void validation_free(struct validation *validation);

#endif
