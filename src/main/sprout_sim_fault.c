/*
 * Faults of one simulated Sprout, as drills and tests ask for them:
 *	none             healthy
 *	refuse           listeners and connections closed: connection refused, ICMP port unreachable
 *	blackhole        takes everything, says nothing; what comes meanwhile is lost
 *	hang             stands still like a stopped process: what comes waits, and is answered when it goes on
 *	slow MS          looks at everything MS milliseconds later
 *	status CODE [RETRY-AFTER]   answers every new request, OPTIONS too, with that status
 *	loss PERCENT     loses that share of the messages, each way
 *	mute             answers OPTIONS to itself; everything else is taken and lost: probes see nothing wrong
 * The Sprout's thread, but for sprout_set_fault.
 */
#include "sprout_sim.h"

#include <semaphore.h>
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"

/* Packets that wait on one Sprout; the kernel's buffers would hold no more either. */
#define HELD_MAX 8192
#define SLOW_MAX_MS 600000
#define RETRY_AFTER_MAX_S 86400

struct held {
	struct list_link link;
	struct hop hop;
	uint64_t due_ms; /* UINT64_MAX: until the fault ends */
	bool framing_fault;
	size_t length;
	char bytes[];
};

/* ---- words ---- */

static const char *const fault_names[] = {
	[FAULT_NONE] = "none", [FAULT_REFUSE] = "refuse", [FAULT_BLACKHOLE] = "blackhole",
	[FAULT_HANG] = "hang", [FAULT_SLOW] = "slow",     [FAULT_STATUS] = "status",
	[FAULT_LOSS] = "loss", [FAULT_MUTE] = "mute",
};

static struct slice next_word(struct slice *rest)
{
	struct slice word;

	*rest = slice_trim(*rest);
	word = slice_split(*rest, ' ', rest);
	*rest = slice_trim(*rest);
	return word;
}

static bool next_number(struct slice *rest, uint64_t max, uint64_t *out)
{
	return slice_to_uint(next_word(rest), max, out);
}

static const char *parse_arguments(struct slice *rest, struct fault *out)
{
	uint64_t number;

	switch (out->kind) {
	case FAULT_SLOW:
		if (!next_number(rest, SLOW_MAX_MS, &number))
			return "slow needs milliseconds";
		out->slow_ms = (uint32_t)number;
		return NULL;
	case FAULT_LOSS:
		if (!next_number(rest, 100, &number))
			return "loss needs a percentage from 0 to 100";
		out->loss_percent = (uint32_t)number;
		return NULL;
	case FAULT_STATUS:
		if (!next_number(rest, 699, &number) || number < 300)
			return "status needs a code from 300 to 699";
		out->status = (int)number;
		if (rest->length == 0)
			return NULL;
		if (!next_number(rest, RETRY_AFTER_MAX_S, &number))
			return "Retry-After is a number of seconds";
		out->retry_after_s = (uint32_t)number;
		return NULL;
	default:
		return NULL;
	}
}

bool fault_parse(struct slice text, struct fault *out, const char **wrong)
{
	struct slice rest = text;
	struct slice word = next_word(&rest);

	*out = (struct fault){0};
	*wrong = "expected none, refuse, blackhole, hang, slow MS, status CODE [RETRY-AFTER], "
		 "loss PERCENT or mute";
	for (unsigned i = 0; i < ARRAY_LENGTH(fault_names); i++) {
		if (!slice_equal(word, slice_from_string(fault_names[i])))
			continue;
		out->kind = (enum fault_kind)i;
		*wrong = parse_arguments(&rest, out);
		if (*wrong == NULL && rest.length > 0)
			*wrong = "too many words";
		return *wrong == NULL;
	}
	return false;
}

/* ---- packets that wait ---- */

void fault_drop_held(struct sprout *sprout)
{
	struct list_link *link;

	timer_stop(loop_timers(sprout->loop), &sprout->held_timer);
	while ((link = list_pop(&sprout->held)) != NULL)
		memory_free(CONTAINER_OF(link, struct held, link));
}

static void arm_held(struct sprout *sprout)
{
	struct list_link *link = list_first(&sprout->held);
	uint64_t now_ms = loop_now_ms(sprout->loop);
	uint64_t due_ms = link != NULL ? CONTAINER_OF(link, struct held, link)->due_ms : UINT64_MAX;

	if (due_ms != UINT64_MAX)
		timer_start(loop_timers(sprout->loop), &sprout->held_timer,
		            due_ms > now_ms ? due_ms - now_ms : 0);
}

void fault_on_held_timer(struct timer *timer, void *arg)
{
	struct sprout *sprout = arg;
	uint64_t now_ms = loop_now_ms(sprout->loop);
	struct list_link *link;

	(void)timer;
	while ((link = list_first(&sprout->held)) != NULL) {
		struct held *held = CONTAINER_OF(link, struct held, link);

		if (held->due_ms > now_ms)
			break;
		list_remove(&sprout->held, link);
		sprout_receive(sprout, slice_of(held->bytes, held->length), &held->hop,
		               held->framing_fault);
		memory_free(held);
	}
	arm_held(sprout);
}

static void hold(struct sprout *sprout, const struct packet *packet, bool framing_fault,
                 uint64_t due_ms)
{
	struct held *held;

	if (sprout->held.length >= HELD_MAX)
		return;
	held = memory_alloc(sizeof(*held) + packet->bytes.length);
	if (held == NULL)
		return;
	*held = (struct held){.hop = packet->hop,
	                      .due_ms = due_ms,
	                      .framing_fault = framing_fault,
	                      .length = packet->bytes.length};
	memcpy(held->bytes, packet->bytes.data, packet->bytes.length);
	list_append(&sprout->held, &held->link);
	if (!timer_is_running(&sprout->held_timer))
		arm_held(sprout);
}

/* Another fault, or none: what waits is looked at now, in order (due 0), or stands still (UINT64_MAX). */
static void postpone_held(struct sprout *sprout, uint64_t due_ms)
{
	timer_stop(loop_timers(sprout->loop), &sprout->held_timer);
	LIST_FOR_EACH(link, &sprout->held)
		CONTAINER_OF(link, struct held, link)->due_ms = due_ms;
	arm_held(sprout);
}

/* ---- the two doors ---- */

static bool lose(const struct sprout *sprout)
{
	return random_below(100) < sprout->fault.loss_percent;
}

bool fault_stops_packet(struct sprout *sprout, const struct packet *packet, bool framing_fault)
{
	switch (sprout->fault.kind) {
	case FAULT_NONE:
	case FAULT_STATUS:
	case FAULT_MUTE: /* told apart when it is read */
		return false;
	case FAULT_LOSS:
		return lose(sprout);
	case FAULT_HANG:
		hold(sprout, packet, framing_fault, UINT64_MAX);
		return true;
	case FAULT_SLOW:
		hold(sprout, packet, framing_fault,
		     loop_now_ms(sprout->loop) + sprout->fault.slow_ms);
		return true;
	default:
		return true;
	}
}

bool fault_stops_send(const struct sprout *sprout)
{
	switch (sprout->fault.kind) {
	case FAULT_LOSS:
		return lose(sprout);
	case FAULT_BLACKHOLE:
	case FAULT_HANG:
		return true;
	default:
		return false;
	}
}

/* ---- change ---- */

/* A new fault on its way from the main thread, which waits for it. */
struct fault_letter {
	struct letter letter;
	struct sprout *sprout;
	const struct fault *fault;
	sem_t done;
};

static void take_fault(struct sprout *sprout, const struct fault *fault)
{
	sprout->fault = *fault;
	if (fault->kind == FAULT_BLACKHOLE)
		fault_drop_held(sprout);
	else
		postpone_held(sprout, fault->kind == FAULT_HANG ? UINT64_MAX : 0);
}

static void on_fault_letter(struct letter *letter, void *arg)
{
	struct fault_letter *l = CONTAINER_OF(letter, struct fault_letter, letter);

	(void)arg;
	take_fault(l->sprout, l->fault);
	sem_post(&l->done);
}

static void on_fault_letter_dropped(struct letter *letter)
{
	sem_post(&CONTAINER_OF(letter, struct fault_letter, letter)->done);
}

static void tell_fault(struct sprout *sprout, const struct fault *fault)
{
	struct fault_letter l = {
		.letter = {.deliver = on_fault_letter, .drop = on_fault_letter_dropped},
		.sprout = sprout,
		.fault = fault,
	};

	sem_init(&l.done, 0, 0);
	loop_post_always(sprout->loop, &l.letter);
	while (sem_wait(&l.done) != 0)
		;
	sem_destroy(&l.done);
}

int sprout_set_fault(struct sprout *sprout, const struct fault *fault)
{
	int err;

	if (fault->kind == FAULT_REFUSE) {
		sprout_close(sprout);
	} else if (sprout->loop != NULL) {
		tell_fault(sprout, fault);
	} else {
		sprout->fault = *fault; /* no thread yet: it begins with it */
		err = sprout_open(sprout);
		if (err != 0)
			return err;
	}
	log_info("%s: fault %s", sprout->name, fault_names[fault->kind]);
	return 0;
}
