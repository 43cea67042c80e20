/* The timer values of RFC 3261 17 (table 4), milliseconds. */
#ifndef BONO_TRANSACTION_TXN_TIMERS_H
#define BONO_TRANSACTION_TXN_TIMERS_H

#define TXN_T1_MS 500
#define TXN_T2_MS 4000
#define TXN_T4_MS 5000
#define TXN_64_T1_MS (64 * TXN_T1_MS)
/* Timer D: how long a client INVITE transaction absorbs repeated finals over UDP (17.1.1.2). */
#define TXN_D_MS 32000
/* An INVITE gets our own 100 if nothing else answered in this time (17.2.1). */
#define TXN_TRYING_MS 200

#endif
