/*
 * Files watched for change, whichever way they are changed: written over, renamed into place, or by another target of a
 * symbolic link on the way. Control loop only.
 */
#ifndef BONO_CONTROL_TLS_WATCH_H
#define BONO_CONTROL_TLS_WATCH_H

#include "loop/loop.h"

struct tls_watch;

/* The paths are lent for the life of the watch. on_changed: from the loop, when something has changed and nothing more
 * has for TLS_WATCH_QUIET_MS (or for long enough). Where the kernel does not tell, a look every TLS_WATCH_LOOK_MS
 * does. -ENOMEM. */
#define TLS_WATCH_QUIET_MS 1000
#define TLS_WATCH_LOOK_MS 30000
int tls_watch_create(struct loop *loop, const char *const *paths, unsigned count,
                     void (*on_changed)(void *arg), void *arg, struct tls_watch **out);
void tls_watch_destroy(struct tls_watch **watch);
/* They are about to be read, as they are now: only later changes count. */
void tls_watch_settle(struct tls_watch *watch);

#endif
