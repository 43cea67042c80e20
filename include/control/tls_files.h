/*
 * What the configuration says of TLS, in the words of transport/tls.h. Blocks on files: control loop, or the main thread
 * before there is one.
 */
#ifndef BONO_CONTROL_TLS_FILES_H
#define BONO_CONTROL_TLS_FILES_H

#include "config/config.h"
#include "transport/tls.h"

/* A longer file is no certificate, and is not read: what blocks the control loop is bounded. A bundle of all public
 * authorities is 220 KiB. */
#define TLS_FILE_MAX_BYTES (1024 * 1024)

/* All profiles and the ticket keys. previous (NULL: none) as tls_book_load has it; -EINVAL: faults were said. */
int tls_files_load(const struct config *config, const struct tls_book *previous,
                   void (*on_fault)(void *arg, const char *text), void *arg, struct tls_book **out);

/* Load each by itself and throw it away: every fault with the place of the profile in the file. -EINVAL. */
int tls_files_check(const struct config *config, const char *file, FILE *faults);

#endif
