/*
 * What the files of this layer tell each other.
 */
#ifndef BONO_UPSTREAM_UPSTREAM_INTERNAL_H
#define BONO_UPSTREAM_UPSTREAM_INTERNAL_H

#include "base/list.h"
#include "loop/timer.h"
#include "upstream/failover.h"

/* ---- traffic.c: one target's last seconds, and who stands out in its site. Pure. ---- */

#define TRAFFIC_SECONDS 5

struct traffic_second {
	uint32_t answered, failed;
	uint32_t steps[TARGET_STATS_STEPS];
};

struct traffic {
	struct traffic_second
		seconds[TRAFFIC_SECONDS + 1]; /* a ring; the current one is not complete */
	uint64_t second;                      /* which one is current */
	/* Since it is DEGRADED. */
	uint32_t tries, losses;
};

void traffic_init(struct traffic *traffic, uint64_t now_ms);
void traffic_add(struct traffic *traffic, const struct target_stats *stats, uint64_t now_ms);
/* Forget the seconds that have passed away. */
void traffic_roll(struct traffic *traffic, uint64_t now_ms);

struct traffic_sum {
	uint32_t answered, failed;
	uint32_t steps[TARGET_STATS_STEPS];
	uint64_t median_us; /* 0: no answer */
};
/* Of the whole window; added to what sum holds. */
void traffic_sum_add(const struct traffic *traffic, struct traffic_sum *sum);
void traffic_sum_finish(struct traffic_sum *sum);

/* What the comparison of a target with its peers (the UP others of its site, together) says of it: HEALTH_TRAFFIC_SLOW, _LOSSY, _SOUND, or
 * HEALTH_INPUTS: nothing. reason: why it is DEGRADED, for how long. */
enum health_input traffic_judge(struct traffic *traffic, const struct traffic_sum *own,
                                const struct traffic_sum *peers, const struct health *health,
                                uint64_t now_ms);

/* ---- share.c: which site gets how much of the new work. Pure. ---- */

enum share_reason {
	SHARE_START,
	SHARE_TARGETS_LOST,
	SHARE_TARGETS_BACK,
	SHARE_NOBODY_ELSE,
	SHARE_HOLD_DOWN_OVER,
	SHARE_RAMP_OVER,
	SHARE_OPERATOR,
	SHARE_CAPACITY,
	SHARE_REASONS
};
const char *share_reason_name(enum share_reason reason); /* "hold_down_over" */

struct share_settings {
	uint64_t hold_down_ms, ramp_ms;
};

struct share_site {
	/* Told before share_on_time. */
	bool usable, evacuated;
	uint64_t
		answering_since_ms; /* usable: since when one of its targets answers probes again */
	uint32_t capacity;          /* requests per second, 0: no limit */
	unsigned healthy;           /* permille of its targets' weights that may be used */
	/* Kept. */
	bool begun; /* it has been usable: before that it is not lost, its targets are not known yet */
	enum site_state state;
	enum share_reason reason;
	uint64_t until_ms;   /* HOLD_DOWN: its end */
	uint64_t since_ms;   /* when the state began */
	unsigned losses;     /* of late: each doubles the hold-down */
	uint64_t forgive_ms; /* when they are forgotten */
	/* Given. */
	unsigned share; /* permille */
};

/* One turn of all sites. demand: requests per second. True if a state changed (state, reason, since_ms say which). */
bool share_on_time(struct share_site *sites, unsigned count, const struct share_settings *settings,
                   double demand, uint64_t now_ms);

/* ---- words.c: the operator's words, by name ---- */

struct words {
	struct operator_word *all; /* owned */
	unsigned count, room;
};

void words_free(struct words *words);
const struct operator_word *words_find(const struct words *words, const char *site,
                                       const char *target);
/* Set, replace, or (verb ENABLE, RESTORE) remove. -ENOMEM, -ENOSPC, -ENAMETOOLONG. */
int words_say(struct words *words, const struct operator_word *word);
/* Remove one that has expired, into out; false: none has. */
bool words_expire(struct words *words, uint64_t wall_ms, struct operator_word *out);

/* ---- failover*.c ---- */

struct watch { /* one target */
	uint32_t id;
	unsigned site;
	struct list_link in_site;
	char *name, *uri, *route_uri; /* owned */
	char *host;                   /* owned; NULL: none */
	char *tls, *tls_name;         /* owned; NULL: none */
	unsigned priority;
	struct address address;
	enum sip_transport transport;
	unsigned weight;
	bool disabled;          /* the operator's DISABLE */
	bool claimed;           /* by the list that is being set */
	uint64_t leaves_ms;     /* removed: when it leaves the view; 0: it is named */
	uint64_t since_wall_ms; /* of its state */
	struct health health;
	bool in_flight;   /* a probe is on its way: no second one */
	uint64_t lost_ms; /* when it counts as lost without a letter */
	struct traffic traffic;
};

struct site {
	char *name, *advertise;
	bool local;
	struct list watches;
	uint64_t response_us; /* smoothed, 0: not known */
};

struct roster { /* which targets views show; counted by the views */
	struct snapshot snapshot;
	struct list_link link; /* in failover->rosters, oldest first */
	uint64_t number;
};

struct id_rest {             /* of an id whose target has left */
	uint64_t since_ms;   /* 0: never used, or in use */
	uint64_t roster;     /* the last that shows it */
	uint32_t generation; /* a later target goes on from there: no old probe is its own */
};

struct failover {
	struct loop *loop;
	struct metrics_registry *registry; /* NULL: none */
	struct metrics *metrics;           /* NULL: none */
	const struct failover_events *events;
	void *arg;
	struct health_settings settings;
	struct share_settings share_settings;
	struct site *sites;
	struct share_site *shares; /* index as sites */
	unsigned site_count;
	struct watch *watches[VIEW_TARGETS_MAX]; /* by id; NULL: free */
	unsigned watch_count;
	struct id_rest rests[VIEW_TARGETS_MAX];
	struct words words;
	double demand; /* requests per second, smoothed */
	uint64_t sent,
		failed; /* attempts since demand was last measured; each failed one is made again */
	uint64_t measured_ms;
	struct list rosters;
	bool roster_changed;    /* the next view shows other targets */
	uint64_t version;       /* of the last view */
	struct view *published; /* the last one; one reference */
	bool changed;           /* since it was published */
	struct timer tick, publish, beat;
};

/* targets.c */
int site_init(struct failover *failover, unsigned index, const struct config_site *from);
void site_free(struct site *site);
void watch_free(struct watch *watch);
/* Those whose time is over leave; ids that nobody remembers become free. */
void targets_on_time(struct failover *failover, uint64_t now_ms);
int roster_create(struct failover *failover);

/* failover_view.c: views */
int failover_renew(struct failover *failover);
void failover_publish_within(struct failover *failover, uint64_t delay_ms);
void on_publish(struct timer *timer, void *arg);

/* failover_events.c: what is told of changes */
void tell_target(struct failover *failover, struct watch *watch, enum target_state before,
                 uint64_t before_ms);
void tell_site(struct failover *failover, unsigned site, enum site_state before);
void tell_serving(struct failover *failover, const struct view *before, const struct view *now);
void measure_target(const struct failover *failover, const struct watch *watch);

/* failover.c */
bool site_is_usable(const struct failover *failover, unsigned site);
void watch_input(struct failover *failover, struct watch *watch, enum health_input input,
                 uint64_t value);
void failover_judge_sites(struct failover *failover);
void failover_restart_tick(struct failover *failover);
/* failover_operator.c: what stands of this target applies to it from now on */
void watch_obey(struct failover *failover, struct watch *watch);
void operator_on_time(struct failover *failover);
bool site_is_evacuated(const struct failover *failover, unsigned site);

#endif
