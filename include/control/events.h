/*
 * What happened, the last of it: a ring of values, filled by control, read by admin. Control loop only.
 */
#ifndef BONO_CONTROL_EVENTS_H
#define BONO_CONTROL_EVENTS_H

#include "admin/admin.h"
#include "upstream/failover.h"

struct events;

/* A link that toggles every five seconds fills it in half a day; two megabytes. */
#define EVENTS_KEPT 4096

enum event_kind {
	EVENT_TARGET,
	EVENT_SITE,
	EVENT_OPERATOR,
	EVENT_DISCOVERY,
	EVENT_NODE,
	EVENT_TLS
};

int events_create(struct events **out);
void events_destroy(struct events **events);

/* from, to, reason: static texts or NULL; subject and evidence are copied, and cut where they are too long. */
void events_add(struct events *events, enum event_kind kind, const char *subject, const char *from,
                const char *to, const char *reason, const char *evidence);
/* What failover tells; "sites" stands for the whole. */
void events_add_transition(struct events *events, const struct failover_event *event);

/* As admin_source.next_event; lent until the next events_add. */
bool events_next(const struct events *events, uint64_t after, struct admin_event *out);

#endif
