/*
 * The token in the Contact of our own subscriptions (RFC 3680): which subscription of which worker a NOTIFY is for. Of
 * one dialog: the MAC covers the Call-ID. Thread-safe after flow_token_key_load.
 */
#ifndef BONO_SIP_WATCH_TOKEN_H
#define BONO_SIP_WATCH_TOKEN_H

#include "sip/flow_token.h"

struct watch_token {
	uint8_t worker;
	uint32_t epoch; /* start of the process */
	uint64_t id;    /* of the subscription, unique in one life of its worker */
};

#define WATCH_TOKEN_TEXT_MAX 33

/* Writes the text with NUL, returns its length. */
size_t watch_token_write(const struct watch_token *token, struct slice call_id,
                         char text[WATCH_TOKEN_TEXT_MAX]);
/* FORGED: of our form, but another dialog's or nobody's. */
enum flow_token_verdict watch_token_read(struct slice text, struct slice call_id,
                                         struct watch_token *out);

#endif
