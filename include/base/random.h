/*
 * Random bytes from OpenSSL, buffered per thread (thread-local), so that a branch costs no system call.
 */
#ifndef BONO_BASE_RANDOM_H
#define BONO_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *out, size_t length); /* aborts if the system has no randomness */
uint64_t random_u64(void);
/* Uniform in [0, limit); limit > 0. */
uint32_t random_below(uint32_t limit);

#endif
