/*
 * Time that a test moves.
 */
#include "support/fake_clock.h"

#include "base/clock.h"
#include "base/error.h"

void fake_clock_set_ms(uint64_t now_ms)
{
	ASSERT(now_ms > 0);
	clock_set_fake_us(now_ms * 1000);
}

void fake_clock_advance_ms(uint64_t by_ms)
{
	clock_set_fake_us(clock_now_us() + by_ms * 1000);
}

void fake_clock_off(void)
{
	clock_set_fake_us(0);
}

int fake_clock_setup(void **state)
{
	fake_clock_set_ms(FAKE_CLOCK_START_MS);
	return 0;
}

int fake_clock_teardown(void **state)
{
	fake_clock_off();
	return 0;
}
