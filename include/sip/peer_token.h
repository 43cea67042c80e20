/*
 * The token in our Record-Route of a dialog with somebody who has no flow: a trunk, a PBX, an emergency call of a
 * client that is not registered. It holds the way back itself, so any worker of any life of this node can read it;
 * and it is of one dialog, since the MAC covers the Call-ID. RFC 5626 5.2 in spirit, RFC 3261 16.6 step 4.
 * Thread-safe after flow_token_key_load.
 */
#ifndef BONO_SIP_PEER_TOKEN_H
#define BONO_SIP_PEER_TOKEN_H

#include "base/address.h"
#include "sip/flow_token.h"
#include "sip/via.h"

enum peer_token_kind { PEER_TOKEN_TRUNK, PEER_TOKEN_PBX, PEER_TOKEN_EMERGENCY, PEER_TOKEN_KINDS };

struct peer_token {
	enum peer_token_kind kind;
	enum sip_transport transport;
	uint8_t worker, listener,
		local;          /* as in struct hop; the last of that worker and life alone */
	uint32_t epoch;         /* start of the process: connection and local are of that life */
	uint64_t connection;    /* 0: UDP */
	struct address address; /* the peer's */
};

#define PEER_TOKEN_TEXT_MAX 61

/* Writes the text with NUL, returns its length. */
size_t peer_token_write(const struct peer_token *token, struct slice call_id,
                        char text[PEER_TOKEN_TEXT_MAX]);
/* FORGED: of our form, but another dialog's or nobody's. */
enum flow_token_verdict peer_token_read(struct slice text, struct slice call_id,
                                        struct peer_token *out);
/* It has the form of one, whoever wrote it. */
bool peer_token_has_form(struct slice text);

#endif
