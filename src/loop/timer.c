/*
 * The wheel: eleven levels of 64 slots, a millisecond at the lowest, so that any 64-bit time has its
 * place and nothing needs a cap. A timer hangs on the level of the highest six bits in which its due
 * time differs from the wheel's position; as the position reaches a slot of a higher level, the slot's
 * timers move down. A bitmap per level finds the next slot at once, so a day without timers is one step.
 */
#include <errno.h>

#include "base/error.h"
#include "base/memory.h"
#include "loop_internal.h"

#define LEVEL_BITS 6
#define LEVEL_SLOTS 64
#define LEVELS 11 /* 11 * 6 >= 64 */
/* Due timers that wait for their turn within timers_run. */
#define SLOT_FIRING (LEVELS * LEVEL_SLOTS)
/* Longer than any uptime; keeps due times away from UINT64_MAX, which says "none". */
#define DELAY_MAX_MS (UINT64_C(1) << 62)

struct timers {
	uint64_t now_ms;        /* what starts count from; position_ms <= now_ms */
	uint64_t position_ms;   /* everything due before it has fired */
	timers_clock_fn *clock; /* NULL: now_ms only */
	const void *clock_arg;
	unsigned occupied_levels;  /* bit per level */
	uint64_t occupied[LEVELS]; /* bit per slot */
	struct list slots[SLOT_FIRING + 1];
};

int timers_create(uint64_t now_ms, struct timers **out)
{
	struct timers *timers = memory_zalloc(sizeof(*timers));

	if (timers == NULL)
		return -ENOMEM;
	timers->now_ms = timers->position_ms = now_ms;
	for (size_t i = 0; i < ARRAY_LENGTH(timers->slots); i++)
		list_init(&timers->slots[i]);
	*out = timers;
	return 0;
}

/* Timers still running are let go, so that their owners may stop them without harm... */
void timers_destroy(struct timers **timers)
{
	struct timers *destroyed = *timers;

	*timers = NULL;
	if (destroyed == NULL)
		return;
	/* ...even after the wheel has gone. */
	for (size_t i = 0; i < ARRAY_LENGTH(destroyed->slots); i++)
		while (list_pop(&destroyed->slots[i]) != NULL)
			;
	memory_free(destroyed);
}

void timers_follow(struct timers *timers, timers_clock_fn *clock, const void *arg)
{
	timers->clock = clock;
	timers->clock_arg = arg;
}

uint64_t timers_now_ms(const struct timers *timers)
{
	uint64_t now_ms = timers->clock != NULL ? timers->clock(timers->clock_arg) : 0;

	return now_ms > timers->now_ms ? now_ms : timers->now_ms;
}

static void hang(struct timers *timers, struct timer *timer)
{
	uint64_t differing = timer->due_ms ^ timers->position_ms;
	unsigned level =
		differing != 0 ? (63 - (unsigned)__builtin_clzll(differing)) / LEVEL_BITS : 0;
	unsigned slot = timer->due_ms >> (level * LEVEL_BITS) & (LEVEL_SLOTS - 1);

	timers->occupied[level] |= UINT64_C(1) << slot;
	timers->occupied_levels |= 1u << level;
	timer->slot = (uint16_t)(level * LEVEL_SLOTS + slot);
	list_append(&timers->slots[timer->slot], &timer->link);
}

static void unhang(struct timers *timers, struct timer *timer)
{
	struct list *list = &timers->slots[timer->slot];
	unsigned level = timer->slot / LEVEL_SLOTS;

	list_remove(list, &timer->link);
	if (timer->slot == SLOT_FIRING || !list_is_empty(list))
		return;
	timers->occupied[level] &= ~(UINT64_C(1) << timer->slot % LEVEL_SLOTS);
	if (timers->occupied[level] == 0)
		timers->occupied_levels &= ~(1u << level);
}

/* The first occupied slot and when it begins: those of a lower level come before any of a higher one.
 * False: no timer runs. */
static bool find_next(const struct timers *timers, unsigned *slot, uint64_t *begins_ms)
{
	unsigned level, index, shift;
	uint64_t above;

	if (timers->occupied_levels == 0)
		return false;
	level = (unsigned)__builtin_ctz(timers->occupied_levels);
	index = (unsigned)__builtin_ctzll(timers->occupied[level]);
	shift = level * LEVEL_BITS;
	above = shift + LEVEL_BITS < 64
	                ? timers->position_ms >> (shift + LEVEL_BITS) << (shift + LEVEL_BITS)
	                : 0;
	*slot = level * LEVEL_SLOTS + index;
	*begins_ms = above | (uint64_t)index << shift;
	return true;
}

uint64_t timers_next_ms(const struct timers *timers)
{
	unsigned slot;
	uint64_t begins_ms;

	return find_next(timers, &slot, &begins_ms) ? begins_ms : UINT64_MAX;
}

/* Move the slot's timers one or more levels down; those of the lowest level go to be fired. */
static void empty_slot(struct timers *timers, unsigned slot)
{
	struct list *list = &timers->slots[slot];
	struct list_link *link;

	while ((link = list_first(list)) != NULL) {
		struct timer *timer = CONTAINER_OF(link, struct timer, link);

		unhang(timers, timer);
		if (slot >= LEVEL_SLOTS) {
			hang(timers, timer);
			continue;
		}
		timer->slot = SLOT_FIRING;
		list_append(&timers->slots[SLOT_FIRING], link);
	}
}

void timers_run(struct timers *timers, uint64_t now_ms)
{
	unsigned slot;
	uint64_t begins_ms;
	struct list_link *link;
	bool last = false;

	if (now_ms > timers->now_ms)
		timers->now_ms = now_ms;
	now_ms = timers->now_ms;
	/* A timer that restarts itself with no delay is due now again: it waits for the next run. */
	while (!last && find_next(timers, &slot, &begins_ms) && begins_ms <= now_ms) {
		last = slot < LEVEL_SLOTS && begins_ms == now_ms;
		timers->position_ms = begins_ms;
		empty_slot(timers, slot);
		while ((link = list_pop(&timers->slots[SLOT_FIRING])) != NULL) {
			struct timer *timer = CONTAINER_OF(link, struct timer, link);

			timer->fire(timer, timer->arg);
		}
	}
	timers->position_ms = now_ms;
}

void timer_init(struct timer *timer, timer_fn *fire, void *arg)
{
	*timer = (struct timer){.fire = fire, .arg = arg};
}

void timer_start(struct timers *timers, struct timer *timer, uint64_t delay_ms)
{
	if (timer_is_running(timer))
		unhang(timers, timer);
	if (delay_ms > DELAY_MAX_MS)
		delay_ms = DELAY_MAX_MS;
	timer->due_ms = timers_now_ms(timers) + delay_ms;
	hang(timers, timer);
}

void timer_stop(struct timers *timers, struct timer *timer)
{
	if (timer_is_running(timer))
		unhang(timers, timer);
}
