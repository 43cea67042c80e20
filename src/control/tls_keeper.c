/*
 * The node's book of certificates: loaded at the start, given to every worker, loaded anew when its files change or when
 * somebody asks. A book with a fault is not taken, the one before goes on. Tells of certificates whose end is near.
 * Control loop.
 */
#include "control_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "control/tls_files.h"
#include "control/tls_watch.h"

/* A certificate of 90 days is renewed at 30: who sees this has a fortnight to find out why it was not. */
#define NEAR_DAYS 14
#define DAY_S 86400
#define LOOK_MS (60u * 60 * 1000)

struct tls_keeper {
	struct control *control;
	struct tls_book *book; /* shared with the workers */
	struct tls_watch *watch;
	const char **paths; /* owned list of the configuration's texts */
	unsigned path_count;
	struct timer look; /* at the dates */
	int64_t said_s;    /* when they were last said to be near, 0: not of this book */
	/* of a loading under way: whoever asked wants the faults too */
	void (*on_fault)(void *arg, const char *text);
	void *fault_arg;
};

/* ---- dates ---- */

static int64_t now_s(void)
{
	return (int64_t)(clock_wall_ms() / 1000);
}

static void format_day(int64_t wall_s, char *text, size_t size)
{
	clock_format_wall(wall_s > 0 ? (uint64_t)wall_s * 1000 : 0, text, size);
}

static void say_near(struct tls_keeper *keeper, const struct tls_certificate *certificate)
{
	int64_t left_s = certificate->not_after_s - now_s();
	char end[32], evidence[FAILOVER_EVIDENCE_MAX];

	format_day(certificate->not_after_s, end, sizeof(end));
	if (left_s > 0)
		snprintf(evidence, sizeof(evidence), "%lld days left, ends %s, %s",
		         (long long)(left_s / DAY_S), end, certificate->subject);
	else
		snprintf(evidence, sizeof(evidence), "ended %s, %s", end, certificate->subject);
	log_warning("tls certificate %s: %s", certificate->name, evidence);
	explain_tls(keeper->control, certificate->name, left_s > 0 ? "NEAR_ITS_END" : "EXPIRED",
	            "dates", evidence);
}

/* Once when it is near, and once a day from then on. */
static void look_at_dates(struct tls_keeper *keeper)
{
	struct tls_certificate certificate;
	int64_t now = now_s();
	bool near = false;

	if (keeper->said_s != 0 && now < keeper->said_s + DAY_S)
		return;
	for (unsigned i = 0; i < tls_book_certificate_count(keeper->book); i++) {
		if (!tls_book_certificate(keeper->book, i, &certificate) ||
		    certificate.not_after_s - now >= (int64_t)NEAR_DAYS * DAY_S)
			continue;
		say_near(keeper, &certificate);
		near = true;
	}
	keeper->said_s = near ? now : 0;
}

static void on_look(struct timer *timer, void *arg)
{
	struct tls_keeper *keeper = arg;

	look_at_dates(keeper);
	timer_start(loop_timers(keeper->control->loop), timer, LOOK_MS);
}

/* ---- a new book ---- */

static int show_certificates(struct tls_keeper *keeper)
{
	struct control *control = keeper->control;
	struct tls_certificate certificate;
	char end[32];
	int err = 0;

	for (unsigned i = 0; i < METRICS_CERTIFICATES_MAX && err == 0; i++) {
		if (!tls_book_certificate(keeper->book, i, &certificate)) {
			(void)metrics_name_certificate(control->registry, i, NULL);
			continue;
		}
		err = metrics_name_certificate(control->registry, i, certificate.name);
		metrics_set(control->metrics, METRIC_TLS_CERTIFICATE_EXPIRY_SECONDS, i, 0, 0,
		            certificate.not_after_s);
		format_day(certificate.not_after_s, end, sizeof(end));
		log_info("tls certificate %s: loaded, %s, ends %s", certificate.name,
		         certificate.subject, end);
	}
	return err;
}

static void give_to_workers(struct tls_keeper *keeper)
{
	struct control *control = keeper->control;

	for (unsigned i = 0; i < control->worker_count; i++)
		if (worker_post_tls(control->workers[i], keeper->book) != 0)
			log_error("worker-%u: new certificates not sent, out of memory", i);
}

static void take_book(struct tls_keeper *keeper, struct tls_book *book)
{
	if (keeper->book != NULL)
		snapshot_release(tls_book_snapshot(keeper->book));
	keeper->book = book;
	keeper->said_s = 0;
	if (show_certificates(keeper) != 0)
		log_error("tls: dates of certificates are not measured, out of memory");
	look_at_dates(keeper);
}

static void on_fault(void *arg, const char *text)
{
	struct tls_keeper *keeper = arg;

	log_error("tls %s", text);
	explain_tls(keeper->control, keeper->control->config->node_name, "REFUSED", "files", text);
	if (keeper->on_fault != NULL)
		keeper->on_fault(keeper->fault_arg, text);
}

static void count_reload(struct tls_keeper *keeper, int err)
{
	struct metrics *metrics = keeper->control->metrics;

	metrics_add(metrics, METRIC_TLS_RELOADS, err == 0 ? TLS_RELOAD_LOADED : TLS_RELOAD_REFUSED,
	            0, 0, 1);
	metrics_set(metrics, METRIC_TLS_RELOAD_SUCCESS, 0, 0, 0, err == 0);
}

static int reload(struct tls_keeper *keeper)
{
	struct control *control = keeper->control;
	struct tls_book *book = NULL;
	int err;

	tls_watch_settle(keeper->watch);
	err = tls_files_load(control->config, keeper->book, on_fault, keeper, &book);
	count_reload(keeper, err);
	if (err != 0) {
		log_error("tls: not loaded, %s; what was there before goes on",
		          err == -EINVAL ? "see above" : error_text(err));
		return err;
	}
	take_book(keeper, book);
	give_to_workers(keeper);
	explain_tls(control, control->config->node_name, "LOADED", "files",
	            "new connections are shown what is in the files now");
	return 0;
}

static void on_changed(void *arg)
{
	log_info("tls: files have changed");
	(void)reload(arg);
}

/* ---- what admin asks, and SIGHUP ---- */

int tls_keeper_reload(void *arg, void (*fault)(void *fault_arg, const char *text), void *fault_arg)
{
	struct tls_keeper *keeper = ((struct control *)arg)->tls;
	int err;

	if (keeper == NULL)
		return -ENOENT;
	keeper->on_fault = fault;
	keeper->fault_arg = fault_arg;
	err = reload(keeper);
	keeper->on_fault = NULL;
	return err;
}

bool tls_keeper_certificate(void *arg, unsigned index, struct admin_certificate *out)
{
	const struct tls_keeper *keeper = ((struct control *)arg)->tls;
	struct tls_certificate certificate;

	if (keeper == NULL || !tls_book_certificate(keeper->book, index, &certificate))
		return false;
	*out = (struct admin_certificate){certificate.name, certificate.subject,
	                                  certificate.not_after_s};
	return true;
}

/* ---- life ---- */

static void add_path(struct tls_keeper *keeper, const char *path)
{
	if (path != NULL)
		keeper->paths[keeper->path_count++] = path;
}

static int list_paths(struct tls_keeper *keeper)
{
	const struct config *config = keeper->control->config;
	unsigned room = 1; /* of the ticket keys */

	for (unsigned i = 0; i < config->tls_count; i++)
		room += 1 + 2 * config->tls[i].certificate_count;
	keeper->paths = memory_zalloc(room * sizeof(*keeper->paths));
	if (keeper->paths == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < config->tls_count; i++) {
		const struct config_tls *profile = &config->tls[i];

		for (unsigned j = 0; j < profile->certificate_count; j++) {
			add_path(keeper, profile->certificates[j].certificate);
			add_path(keeper, profile->certificates[j].key);
		}
		add_path(keeper, profile->ca);
	}
	add_path(keeper, config->tls_ticket_keys);
	return 0;
}

/* Explicit, and said: whoever reads the log in a year did not write the file. */
static void say_unverified(const struct config *config)
{
	if (config->peers_tls != NULL &&
	    config_find_tls(config, config->peers_tls)->verify == CONFIG_VERIFY_NONE)
		log_warning("peers: reached over TLS by profile %s, which verifies nothing: anyone "
		            "on the way may answer in their place",
		            config->peers_tls);
	for (unsigned i = 0; i < config->site_count; i++) {
		const char *name = config->sites[i].tls;

		if (name != NULL && config_find_tls(config, name)->verify == CONFIG_VERIFY_NONE)
			log_warning("site %s: reached over TLS by profile %s, which verifies "
			            "nothing: anyone on the way may answer in its place",
			            config->sites[i].name, name);
	}
}

/* The watch stands first: what changes while we read is seen. */
static int load_first(struct tls_keeper *keeper)
{
	struct control *control = keeper->control;
	struct tls_book *book = NULL;
	int err;

	err = tls_watch_create(control->loop, keeper->paths, keeper->path_count, on_changed, keeper,
	                       &keeper->watch);
	if (err == 0)
		err = tls_files_load(control->config, NULL, on_fault, keeper, &book);
	if (err != 0)
		return err;
	take_book(keeper, book);
	control->worker_settings.tls = book;
	metrics_set(control->metrics, METRIC_TLS_RELOAD_SUCCESS, 0, 0, 0, 1);
	timer_start(loop_timers(control->loop), &keeper->look, LOOK_MS);
	return 0;
}

int tls_keeper_create(struct control *control)
{
	struct tls_keeper *keeper;
	int err;

	if (control->config->tls_count == 0)
		return 0;
	say_unverified(control->config);
	keeper = memory_zalloc(sizeof(*keeper));
	if (keeper == NULL)
		return -ENOMEM;
	control->tls = keeper;
	keeper->control = control;
	timer_init(&keeper->look, on_look, keeper);
	err = list_paths(keeper);
	return err == 0 ? load_first(keeper) : err;
}

void tls_keeper_destroy(struct control *control)
{
	struct tls_keeper *keeper = control->tls;

	if (keeper == NULL)
		return;
	control->tls = NULL;
	timer_stop(loop_timers(control->loop), &keeper->look);
	tls_watch_destroy(&keeper->watch);
	if (keeper->book != NULL)
		snapshot_release(tls_book_snapshot(keeper->book));
	memory_free(keeper->paths);
	memory_free(keeper);
}
