/*
 * The control loop: starts the workers, owns the failover decision, answers admin, hears signals.
 * Runs on the main thread.
 */
#ifndef BONO_CONTROL_CONTROL_H
#define BONO_CONTROL_CONTROL_H

#include "config/config.h"

/*
 * Run the node until SIGTERM or SIGINT has stopped it gracefully (0), or it could not start (-errno, logged).
 * Writes "bono: ready" to stderr and READY=1 to the service manager once every listener is bound.
 * The configuration is lent.
 */
int control_run(const struct config *config);

#endif
