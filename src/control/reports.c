/*
 * What workers tell control, as letters: written on the worker's thread, read on the control loop.
 */
#include "control_internal.h"

#include "base/error.h"
#include "base/memory.h"

struct report_letter {
	struct letter letter;
	uint32_t target_id, generation;
	enum health_input input;
	uint64_t value;
	uint8_t worker;
};

static void drop_report(struct letter *letter)
{
	memory_free(CONTAINER_OF(letter, struct report_letter, letter));
}

static struct report_letter *report_create(struct control *control,
                                           void (*deliver)(struct letter *letter, void *arg))
{
	struct report_letter *letter = memory_zalloc(sizeof(*letter));

	if (letter != NULL)
		letter->letter =
			(struct letter){.deliver = deliver, .drop = drop_report, .arg = control};
	return letter;
}

static void deliver_probe_result(struct letter *letter, void *arg)
{
	struct report_letter *report = CONTAINER_OF(letter, struct report_letter, letter);
	struct control *control = arg;

	if (control->failover != NULL)
		failover_probe_result(control->failover, report->target_id, report->generation,
		                      report->input, report->value);
	memory_free(report);
}

static void on_probe_result(void *arg, uint32_t target_id, uint32_t generation,
                            enum health_input result, uint64_t round_trip_us)
{
	struct control *control = arg;
	struct report_letter *report = report_create(control, deliver_probe_result);

	if (report == NULL) /* control counts a probe without an answer as lost */
		return;
	report->target_id = target_id;
	report->generation = generation;
	report->input = result;
	report->value = round_trip_us;
	loop_post_always(control->loop, &report->letter);
}

static void deliver_traffic(struct letter *letter, void *arg)
{
	struct report_letter *report = CONTAINER_OF(letter, struct report_letter, letter);
	struct control *control = arg;

	if (control->failover != NULL)
		failover_traffic(control->failover, report->target_id, report->input,
		                 report->value);
	memory_free(report);
}

static void on_traffic(void *arg, uint32_t target_id, enum health_input input, uint64_t value)
{
	struct control *control = arg;
	struct report_letter *report = report_create(control, deliver_traffic);

	if (report == NULL)
		return;
	report->target_id = target_id;
	report->input = input;
	report->value = value;
	if (loop_post(control->loop, &report->letter) != 0)
		memory_free(report); /* enough others tell the same */
}

struct stats_letter {
	struct letter letter;
	unsigned count;
	struct target_stats stats[];
};

static void drop_stats(struct letter *letter)
{
	memory_free(CONTAINER_OF(letter, struct stats_letter, letter));
}

static void deliver_stats(struct letter *letter, void *arg)
{
	struct stats_letter *told = CONTAINER_OF(letter, struct stats_letter, letter);
	struct control *control = arg;

	if (control->failover != NULL)
		failover_stats(control->failover, told->stats, told->count);
	memory_free(told);
}

static void on_stats(void *arg, const struct target_stats *stats, unsigned count)
{
	struct control *control = arg;
	size_t length = count * sizeof(*stats);
	struct stats_letter *letter = memory_alloc(sizeof(*letter) + length);

	if (letter == NULL) /* a quarter of a second is not known; the next one will be */
		return;
	letter->letter =
		(struct letter){.deliver = deliver_stats, .drop = drop_stats, .arg = control};
	letter->count = count;
	memcpy(letter->stats, stats, length);
	if (loop_post(control->loop, &letter->letter) != 0)
		memory_free(letter);
}

static void deliver_idle(struct letter *letter, void *arg)
{
	struct report_letter *report = CONTAINER_OF(letter, struct report_letter, letter);

	control_worker_idle(arg, report->worker);
	memory_free(report);
}

static void on_idle(void *arg, uint8_t worker)
{
	struct control *control = arg;
	struct report_letter *report = report_create(control, deliver_idle);

	if (report == NULL) /* control does not wait for ever */
		return;
	report->worker = worker;
	loop_post_always(control->loop, &report->letter);
}

/* On a worker's thread; charging has one of its own. */
static void on_charge(void *arg, const struct charge *charge)
{
	struct control *control = arg;

	if (control->charging != NULL)
		control_charge(control->charging, charge);
}

const struct worker_reports control_reports = {
	.on_probe_result = on_probe_result,
	.on_traffic = on_traffic,
	.on_stats = on_stats,
	.on_decision = explain_decision,
	.on_charge = on_charge,
	.on_idle = on_idle,
};
