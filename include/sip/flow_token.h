/*
 * The edge token in our Path and Record-Route: which flow of which worker, authenticated.
 * RFC 5626 5.2. The text is base64url, case-sensitive, a SIP user part without escapes.
 * Thread-safe after flow_token_key_load: keys are read-only then.
 */
#ifndef BONO_SIP_FLOW_TOKEN_H
#define BONO_SIP_FLOW_TOKEN_H

#include <stdint.h>

#include "base/slice.h"

struct flow_token {
	uint32_t node; /* keyed-less hash of node.name: flow_token_node_id */
	uint8_t worker;
	uint64_t flow;       /* id of the flow, unique in one life of its worker */
	uint32_t generation; /* counts re-uses; carried, compared */
	uint32_t epoch;      /* seconds since 1970 when this process started */
};

#define FLOW_TOKEN_TEXT_MAX 44 /* every flow keeps one; with its NUL */

enum flow_token_verdict {
	FLOW_TOKEN_VALID,
	FLOW_TOKEN_NOT_OURS, /* not of our form at all: an ordinary user part */
	FLOW_TOKEN_FORGED,   /* our form, wrong MAC: 403 */
};

/* Key file of 32 random bytes, 0600, made if absent; file.previous is accepted too if there.
 * 0 or -errno. */
int flow_token_key_load(const char *path);
/* For tests and fuzzing: a fixed key. */
void flow_token_key_set(const uint8_t key[32]);
uint32_t flow_token_node_id(struct slice node_name);

/* Writes the text with NUL, returns its length. HMAC-SHA256 truncated to 80 bits, version byte first. */
size_t flow_token_write(const struct flow_token *token, char text[FLOW_TOKEN_TEXT_MAX]);
enum flow_token_verdict flow_token_read(struct slice text, struct flow_token *out);

#endif
