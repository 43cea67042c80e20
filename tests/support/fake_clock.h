/*
 * Time that a test moves. Set it before anything that reads the clock is made.
 * To move the time of a loop too, see support/fake_loop.h.
 */
#ifndef TESTS_SUPPORT_FAKE_CLOCK_H
#define TESTS_SUPPORT_FAKE_CLOCK_H

#include <stdint.h>

void fake_clock_set_ms(uint64_t now_ms);    /* now_ms > 0 */
void fake_clock_advance_ms(uint64_t by_ms); /* from the time that is, real or fake */
void fake_clock_off(void);                  /* back to the real clock */

/* cmocka setup and teardown: the clock stands at 1000000 ms during the test. */
#define FAKE_CLOCK_START_MS UINT64_C(1000000)
int fake_clock_setup(void **state);
int fake_clock_teardown(void **state);

#endif
