/*
 * The control loop's life: build everything in order, run, stop gracefully, tear down in reverse.
 * Main thread.
 */
#include "control_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "sip/flow_token.h"

/* Transactions in flight finish, at most this long. */
#define STOP_LIMIT_MS 5000
/* A worker tells when its time is over; one that does not hangs, or its letter was lost. */
#define STOP_GRACE_MS 1000
/* A worker that was told to leave does so after its turn; one that takes longer never will. */
#define JOIN_LIMIT_MS 2000

/* ---- failover <-> workers ---- */

static void on_view(void *arg, struct view *view)
{
	struct control *control = arg;

	for (unsigned i = 0; i < control->worker_count; i++)
		if (worker_post_view(control->workers[i], view) != 0)
			log_error("worker-%u: new view not sent, out of memory", i);
	snapshot_release(&view->snapshot);
}

/* Workers take turns, so that each proves its own connections now and then. */
static void on_probe(void *arg, uint32_t target_id, uint32_t generation, uint64_t timeout_ms)
{
	struct control *control = arg;
	struct worker *worker = control->workers[control->next_prober++ % control->worker_count];

	if (worker_post_probe(worker, target_id, generation, timeout_ms) != 0)
		log_error("target %u: probe not sent, out of memory", target_id);
}

static const struct failover_events failover_events = {.on_view = on_view,
                                                       .on_probe = on_probe,
                                                       .on_event = explain_transition};

/* ---- stopping ---- */

/* They leave together: one that owes nothing may hold the connection by which another answers. */
void control_worker_idle(struct control *control, uint8_t worker)
{
	log_debug("worker-%u: nothing is owed any more", worker);
	if (++control->workers_idle < control->worker_count)
		return;
	for (unsigned i = 0; i < control->worker_count; i++)
		worker_post_leave(control->workers[i]);
	loop_stop(control->loop);
}

static void stop_at_once(struct control *control)
{
	log_warning("node %s: stopping at once, transactions in flight are lost",
	            control->config->node_name);
	control->stopped_hard = true;
	timer_stop(loop_timers(control->loop), &control->stop_limit);
	for (unsigned i = 0; i < control->worker_count; i++)
		loop_stop(worker_loop(control->workers[i]));
	loop_stop(control->loop);
}

static void on_stop_limit(struct timer *timer, void *arg)
{
	stop_at_once(arg);
}

static void on_stop_signal(evutil_socket_t signal_number, short what, void *arg)
{
	struct control *control = arg;

	if (control->stopping) {
		stop_at_once(control);
		return;
	}
	control->stopping = true;
	log_info("node %s: stopping, no new work is taken", control->config->node_name);
	explain_node(control, "STOPPING", "no new work is taken");
	sd_notify(0, "STOPPING=1");
	timer_init(&control->stop_limit, on_stop_limit, control);
	timer_start(loop_timers(control->loop), &control->stop_limit,
	            STOP_LIMIT_MS + STOP_GRACE_MS);
	for (unsigned i = 0; i < control->worker_count && !control->stopped_hard; i++)
		if (worker_post_stop(control->workers[i], STOP_LIMIT_MS) != 0)
			stop_at_once(control);
}

static void on_hangup(evutil_socket_t signal_number, short what, void *arg)
{
	struct control *control = arg;

	log_info("node %s: SIGHUP, the files of TLS are read again; this version cannot reload the "
	         "rest",
	         control->config->node_name);
	(void)tls_keeper_reload(control, NULL, NULL);
}

static int watch_signals(struct control *control)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	struct event_base *base = loop_base(control->loop);

	signal(SIGPIPE, SIG_IGN);
	for (unsigned i = 0; i < ARRAY_LENGTH(numbers); i++) {
		event_callback_fn on_signal = numbers[i] == SIGHUP ? on_hangup : on_stop_signal;

		control->signals[i] = evsignal_new(base, numbers[i], on_signal, control);
		if (control->signals[i] == NULL || event_add(control->signals[i], NULL) != 0)
			return -ENOMEM;
	}
	return 0;
}

/* ---- service manager ---- */

static void on_watch(struct timer *timer, void *arg)
{
	struct control *control = arg;
	uint64_t limit_us;

	if (control_admin_source.live(control))
		sd_notify(0, "WATCHDOG=1");
	if (sd_watchdog_enabled(0, &limit_us) > 0)
		timer_start(loop_timers(control->loop), timer, limit_us / 2000);
}

static void say_ready(struct control *control)
{
	control->ready = true;
	log_info("node %s: %u workers, %u listeners, site %s", control->config->node_name,
	         control->worker_count, control->config->listener_count,
	         control->config->node_site);
	explain_node(control, "READY", "version " BONO_VERSION);
	fputs("bono: ready\n", stderr);
	sd_notify(0, "READY=1");
	timer_init(&control->watch, on_watch, control);
	on_watch(&control->watch, control);
}

/* ---- building ---- */

static int load_token_key(struct control *control)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/flow-token.key", control->config->state_dir);
	int err;

	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	if (mkdir(control->config->state_dir, 0700) != 0 && errno != EEXIST) {
		err = -errno;
		log_error("state_dir %s: cannot be made, %s", control->config->state_dir,
		          error_text(err));
		return err;
	}
	err = flow_token_key_load(path);
	if (err == -EPERM)
		log_error(
			"flow token key %s: others than its owner may read it, expected mode 0600",
			path);
	else if (err == -EINVAL)
		log_error("flow token key %s: not a key, expected a file of 32 bytes", path);
	else if (err != 0)
		log_error("flow token key %s: cannot be used, %s", path, error_text(err));
	return err;
}

static int create_workers(struct control *control)
{
	struct worker_reports reports = control_reports;
	unsigned count = control->config->workers;
	int err = 0;

	reports.arg = control;
	control->workers = memory_zalloc(count * sizeof(*control->workers));
	if (control->workers == NULL)
		return -ENOMEM;
	while (err == 0 && control->worker_count < count) {
		err = worker_create(&control->worker_settings, (uint8_t)control->worker_count,
		                    control->registry, &reports,
		                    &control->workers[control->worker_count]);
		if (err == 0)
			control->worker_count++;
	}
	if (err == 0)
		err = worker_connect(control->workers, count);
	return err;
}

static int start_workers(struct control *control)
{
	int err = 0;

	while (err == 0 && control->workers_running < control->worker_count) {
		err = worker_start(control->workers[control->workers_running]);
		if (err == 0)
			control->workers_running++;
	}
	return err;
}

static int create_admin(struct control *control)
{
	const struct config *config = control->config;
	struct admin_settings settings = {
		.http = config->admin_http,
		.socket = config->admin_socket,
		.node = config->node_name,
		.site = config->node_site,
		.config_hash = config->hash,
		.registry = control->registry,
	};

	return admin_create(control->loop, &settings, &control_admin_source, control,
	                    &control->admin);
}

static int build(struct control *control)
{
	int err;

	err = loop_create("control", &control->loop);
	if (err == 0)
		err = metrics_registry_create(&control->registry);
	if (err == 0)
		err = metrics_create(control->registry, "control", &control->metrics);
	if (err == 0)
		err = explain_create(control);
	if (err == 0)
		err = load_token_key(control);
	if (err == 0)
		err = settings_fill(control);
	if (err == 0)
		err = control_charging_start(control->config, control->registry,
		                             &control->charging);
	if (err == 0)
		err = tls_keeper_create(control);
	if (err == 0)
		err = create_workers(control);
	if (err == 0)
		err = create_admin(control);
	if (err == 0)
		err = failover_create(control->loop, control->config, control->registry,
		                      control->metrics, &failover_events, control,
		                      &control->failover);
	if (err == 0)
		err = explain_open_book(control);
	if (err == 0)
		err = dns_create(control);
	if (err == 0)
		err = watch_signals(control);
	return err;
}

/* What a thread may still touch cannot be freed: the process ends around it. */
static void join_workers(struct control *control)
{
	for (unsigned i = 0; i < control->worker_count; i++) {
		if (loop_join_within(worker_loop(control->workers[i]), JOIN_LIMIT_MS))
			continue;
		log_error("worker-%u: hangs, node %s ends without it", i,
		          control->config->node_name);
		log_stop();
		_exit(EXIT_FAILURE);
	}
}

static void tear_down(struct control *control)
{
	admin_destroy(&control->admin);
	dns_destroy(control);
	operator_book_close(&control->book);
	failover_destroy(&control->failover);
	if (control->stopped_hard || !control->stopping)
		for (unsigned i = 0; i < control->workers_running; i++)
			loop_stop(worker_loop(control->workers[i]));
	join_workers(control);
	for (unsigned i = 0; i < control->worker_count; i++)
		worker_destroy(&control->workers[i]);
	memory_free(control->workers);
	control_charging_stop(&control->charging);
	for (unsigned i = 0; i < ARRAY_LENGTH(control->signals); i++)
		if (control->signals[i] != NULL)
			event_free(control->signals[i]);
	tls_keeper_destroy(control);
	explain_destroy(control);
	loop_destroy(&control->loop);
	settings_free(control);
	metrics_registry_destroy(&control->registry);
}

int control_run(const struct config *config)
{
	struct control control = {.config = config};
	int err = build(&control);

	if (err == 0)
		err = start_workers(&control);
	if (err == 0) {
		say_ready(&control);
		loop_run(control.loop);
		log_info("node %s: stopped", config->node_name);
	} else {
		log_error("node %s: cannot start, %s", config->node_name, error_text(err));
	}
	tear_down(&control);
	return err;
}
