/*
 * The thread of charging: letters in, records to the spool, the spool to Ralf.
 */
#include "charging/charging.h"

#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

/* Told and not yet written. */
#define TOLD_BYTES_MAX (16u << 20)
/* A power cut loses the records of so long. */
#define SYNC_MS 1000

struct charging {
	const struct charging_settings *settings;
	struct loop *loop;
	struct metrics *metrics;
	struct spool *spool;
	struct ralf *ralf;
	struct timer sync;
	struct buffer record; /* being written */
	atomic_size_t told_bytes;
	atomic_uint_fast64_t lost; /* told, and no room */
	uint64_t spool_lost;       /* so many of the spool's are counted */
	bool full;                 /* said once */
};

struct told {
	struct letter letter;
	size_t bytes;
	struct charge charge;
	char texts[];
};

/* ---- on any thread ---- */

#define TEXTS 7

static void texts_of(struct charge *charge, struct slice *texts[TEXTS])
{
	texts[0] = &charge->method;
	texts[1] = &charge->call_id;
	texts[2] = &charge->icid;
	texts[3] = &charge->from;
	texts[4] = &charge->to;
	texts[5] = &charge->request_uri;
	texts[6] = &charge->user;
}

static void deliver(struct letter *letter, void *arg);
static void drop(struct letter *letter);

static struct told *told_create(struct charging *charging, const struct charge *charge)
{
	struct charge copy = *charge;
	struct slice *texts[TEXTS + 1];
	struct told *told;
	size_t length = 0;
	char *at;

	texts_of(&copy, texts);
	texts[TEXTS] = &copy.access;
	for (unsigned i = 0; i <= TEXTS; i++)
		length += texts[i]->length;
	told = memory_alloc(sizeof(*told) + length);
	if (told == NULL)
		return NULL;
	at = told->texts;
	for (unsigned i = 0; i <= TEXTS; i++) {
		if (texts[i]->length > 0)
			memcpy(at, texts[i]->data, texts[i]->length);
		texts[i]->data = at;
		at += texts[i]->length;
	}
	told->letter = (struct letter){.deliver = deliver, .drop = drop, .arg = charging};
	told->bytes = sizeof(*told) + length;
	told->charge = copy;
	return told;
}

static void told_free(struct told *told)
{
	struct charging *charging = told->letter.arg;

	atomic_fetch_sub_explicit(&charging->told_bytes, told->bytes, memory_order_relaxed);
	memory_free(told);
}

void charging_tell(struct charging *charging, const struct charge *charge)
{
	struct told *told = told_create(charging, charge);

	if (told != NULL) {
		const size_t before = atomic_fetch_add_explicit(&charging->told_bytes, told->bytes,
		                                                memory_order_relaxed);

		if (before + told->bytes <= TOLD_BYTES_MAX &&
		    loop_post(charging->loop, &told->letter) == 0)
			return;
		told_free(told);
	}
	atomic_fetch_add_explicit(&charging->lost, 1, memory_order_relaxed);
}

/* ---- on its own ---- */

static void count(struct charging *charging, enum charging_result result, int64_t n)
{
	metrics_add(charging->metrics, METRIC_CHARGING_RECORDS, result, 0, 0, n);
}

static void show(struct charging *charging)
{
	metrics_set(charging->metrics, METRIC_CHARGING_SPOOL_RECORDS, 0, 0, 0,
	            (int64_t)spool_records(charging->spool));
	metrics_set(charging->metrics, METRIC_CHARGING_SPOOL_BYTES, 0, 0, 0,
	            (int64_t)spool_bytes(charging->spool));
}

/* Once when it begins: a full disk has thousands of them a second. */
static void note_unwritten(struct charging *charging, int err)
{
	if (charging->full != (err != 0)) {
		charging->full = err != 0;
		if (err != 0)
			log_error("charging: records are lost, %s",
			          err == -ENOSPC ? "the spool is full" : error_text(err));
		else
			log_info("charging: records are kept again");
	}
	count(charging, err == 0 ? CHARGING_WRITTEN : CHARGING_LOST, 1);
}

static void take(struct charging *charging, const struct charge *charge)
{
	int err;

	buffer_reset(&charging->record);
	err = charge_write(charge, &charging->settings->charge, &charging->record);
	if (err == 0)
		err = spool_append(charging->spool, buffer_slice(&charging->record));
	note_unwritten(charging, err);
	if (err == 0 && charging->ralf != NULL)
		ralf_wake(charging->ralf);
}

static void deliver(struct letter *letter, void *arg)
{
	struct told *told = CONTAINER_OF(letter, struct told, letter);

	take(arg, &told->charge);
	told_free(told);
}

static void drop(struct letter *letter)
{
	struct told *told = CONTAINER_OF(letter, struct told, letter);

	take(letter->arg, &told->charge); /* it ends, and this was told before */
	told_free(told);
}

static void on_sync(struct timer *timer, void *arg)
{
	struct charging *charging = arg;
	const uint64_t lost = atomic_exchange_explicit(&charging->lost, 0, memory_order_relaxed);
	int err = spool_sync(charging->spool);
	const uint64_t unkept = spool_lost(charging->spool) - charging->spool_lost;

	if (err != 0)
		log_error("charging: spool not written, %s", error_text(err));
	if (unkept > 0)
		log_error("charging: the disk did not keep %llu records",
		          (unsigned long long)unkept);
	charging->spool_lost += unkept;
	if (lost + unkept > 0)
		count(charging, CHARGING_LOST, (int64_t)(lost + unkept));
	show(charging);
	/* What could not be read for want of memory waits there still. */
	ralf_wake(charging->ralf);
	timer_start(loop_timers(charging->loop), timer, SYNC_MS);
}

static int build(struct charging *charging, struct metrics_registry *registry)
{
	const struct charging_settings *settings = charging->settings;
	int err = spool_open(settings->directory, settings->spool_bytes, &charging->spool);

	if (err == 0)
		err = loop_create("charging", &charging->loop);
	if (err == 0)
		err = metrics_create(registry, "charging", &charging->metrics);
	if (err == 0)
		err = ralf_create(charging->loop, &settings->ralf, charging->spool,
		                  charging->metrics, &charging->ralf);
	if (err != 0)
		return err;
	show(charging);
	if (spool_records(charging->spool) > 0)
		log_info("charging: %llu records of before wait to be posted",
		         (unsigned long long)spool_records(charging->spool));
	timer_start(loop_timers(charging->loop), &charging->sync, SYNC_MS);
	return loop_start(charging->loop); /* all of it is the thread's from here on */
}

int charging_start(const struct charging_settings *settings, struct metrics_registry *registry,
                   struct charging **out)
{
	struct charging *charging = memory_zalloc(sizeof(*charging));
	int err;

	if (charging == NULL)
		return -ENOMEM;
	charging->settings = settings;
	buffer_init(&charging->record);
	timer_init(&charging->sync, on_sync, charging);
	err = build(charging, registry);
	if (err != 0)
		charging_stop(&charging);
	*out = charging;
	return err;
}

void charging_stop(struct charging **charging)
{
	struct charging *c = *charging;

	*charging = NULL;
	if (c == NULL)
		return;
	if (c->loop != NULL) {
		loop_stop(c->loop);
		loop_join(c->loop);
		timer_stop(loop_timers(c->loop), &c->sync);
	}
	ralf_destroy(&c->ralf);
	/* Letters that still wait are dropped into the spool; nobody posts them now. */
	loop_destroy(&c->loop);
	spool_close(&c->spool);
	buffer_free(&c->record);
	memory_free(c);
}
