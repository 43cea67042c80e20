/*
 * How the tokens that we mint are written: fields as numbers, a MAC behind them, all as letters.
 * Thread-safe after flow_token_key_load.
 */
#ifndef BONO_SIP_TOKEN_FORM_H
#define BONO_SIP_TOKEN_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define TOKEN_MAC_BYTES 10 /* 80 bits */
/* How many letters `bytes` become, without the NUL. */
#define TOKEN_LETTERS_OF(bytes) (((bytes)*8 + 5) / 6)

/* The highest byte first. Both return what stands behind. */
uint8_t *token_put(uint8_t *at, uint64_t number, int bytes);
const uint8_t *token_get(const uint8_t *at, int bytes, uint64_t *number);

/* Puts the MAC of the fields behind them. A token may be bound to what a message says besides, its Call-ID, of
 * which only TOKEN_BOUND_MAX bytes count; else SLICE_NONE. */
#define TOKEN_BOUND_MAX 256
void token_seal(uint8_t *raw, size_t field_bytes, struct slice bound);
/* By the current key or the previous one. */
bool token_is_sealed(const uint8_t *raw, size_t field_bytes, struct slice bound);

/* base64url without padding, with NUL. Returns the length. RFC 4648 5. */
size_t token_letters_write(const uint8_t *raw, size_t bytes, char *text);
/* Fills `bytes`. False: not so many letters, or not ours. *left_over is what the last letter says beyond the
 * last byte, 0 as we write it. */
bool token_letters_read(struct slice text, uint8_t *raw, size_t bytes, unsigned *left_over);

#endif
