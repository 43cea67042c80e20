/*
 * What the files of control tell each other. Control loop only, unless said otherwise.
 */
#ifndef BONO_CONTROL_CONTROL_INTERNAL_H
#define BONO_CONTROL_CONTROL_INTERNAL_H

#include "admin/admin.h"
#include "charging/charging.h"
#include "control/control.h"
#include "control/decisions.h"
#include "control/events.h"
#include "control/operator.h"
#include "upstream/discovery.h"
#include "upstream/failover.h"
#include "upstream/resolver.h"
#include "worker/worker.h"

struct control {
	const struct config *config;
	struct loop *loop;
	struct metrics_registry *registry;
	struct metrics *metrics;
	struct failover *failover;
	struct resolver *resolver; /* both NULL if no name is to be resolved */
	struct discovery *discovery;
	struct admin *admin;
	struct events *events;
	struct decisions *decisions;
	struct operator_book *book;
	struct tls_keeper *tls;                   /* NULL: no profile */
	struct listener_settings *listeners;      /* owned; texts are the configuration's */
	struct worker_settings worker_settings;   /* .tls: the book of the start, the keeper's */
	struct control_charging *charging;        /* NULL: no site has a Ralf */
	char *charging_host, *charging_functions; /* owned, of worker_settings */
	struct worker **workers;                  /* owned; worker_count of them were created */
	unsigned worker_count, workers_running;   /* running: started */
	unsigned workers_idle;   /* of a graceful stop: those that owe nothing any more */
	struct timer stop_limit; /* of a graceful stop, should a worker not answer */
	unsigned next_prober;    /* which worker sends the next probe */
	struct event *signals[3];
	struct timer watch; /* watchdog */
	bool ready, stopping, stopped_hard;
};

/* ---- settings.c: the configuration in the workers' words ---- */

int settings_fill(struct control *control);
void settings_free(struct control *control);

/* ---- descriptors.c ---- */

/* Raise our limit as far as the system allows, warn if limits.connections is more. Returns from which number
 * on a descriptor is not for clients. */
unsigned descriptors_settle(const struct config *config);

/* ---- reports.c: letters from workers ---- */

extern const struct worker_reports control_reports; /* .arg is to be set */

/* ---- dns.c: sites whose targets DNS knows ---- */

int dns_create(struct control *control); /* after failover */
void dns_destroy(struct control *control);

/* ---- tls_keeper.c: certificates ---- */

int tls_keeper_create(struct control *control); /* after settings, before workers */
void tls_keeper_destroy(struct control *control);
/* As admin_source has them. */
int tls_keeper_reload(void *arg, void (*fault)(void *fault_arg, const char *text), void *fault_arg);
bool tls_keeper_certificate(void *arg, unsigned index, struct admin_certificate *out);

/* ---- charging.c: billing records, if a site has a Ralf ---- */

struct control_charging;
/* *out NULL: no site has one. */
int control_charging_start(const struct config *config, struct metrics_registry *registry,
                           struct control_charging **out);
void control_charging_stop(struct control_charging **charging); /* after the workers */
void control_charge(struct control_charging *charging,
                    const struct charge *charge); /* any thread */

/* ---- explain.c: events, decisions, the operator's words ---- */

int explain_create(struct control *control);    /* before workers and failover */
int explain_open_book(struct control *control); /* after failover, before the first turn */
void explain_destroy(struct control *control);  /* after workers, before the loop */

void explain_transition(void *arg, const struct failover_event *event);
void explain_node(struct control *control, const char *to, const char *evidence);
/* to, reason: static. */
void explain_tls(struct control *control, const char *subject, const char *to, const char *reason,
                 const char *evidence);
/* Before failover is told of these. */
void explain_discovery(struct control *control, unsigned index,
                       const struct failover_target_spec *specs, unsigned count);
void explain_decision(void *arg, const struct decision *decision); /* on a worker's thread */

/* As admin_source has them. */
bool explain_next_event(void *arg, uint64_t after, struct admin_event *out);
void explain_decisions(void *arg, struct slice call_id,
                       void (*visit)(void *visit_arg, const struct decision *decision),
                       void *visit_arg);
const struct operator_word *explain_words(void *arg, unsigned *count);
int explain_say(void *arg, const struct operator_word *word);

/* ---- status.c: what admin asks ---- */

extern const struct admin_source control_admin_source;

void control_worker_idle(struct control *control, uint8_t worker);

#endif
