/*
 * The ring of events. Its memory is had at the start, so that what happens when memory ends is told, too. Control loop.
 */
#include "control/events.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"

struct event {
	uint64_t number, wall_ms;
	enum event_kind kind;
	char subject[FAILOVER_SUBJECT_MAX];
	const char *from, *to, *reason; /* static, never NULL */
	char evidence[FAILOVER_EVIDENCE_MAX];
};

struct events {
	uint64_t first, next;           /* numbers of the first of all, and of the one to come */
	struct event ring[EVENTS_KEPT]; /* by number */
};

static const char *const kind_names[] = {
	[EVENT_TARGET] = "target",       [EVENT_SITE] = "site", [EVENT_OPERATOR] = "operator",
	[EVENT_DISCOVERY] = "discovery", [EVENT_NODE] = "node", [EVENT_TLS] = "tls",
};

int events_create(struct events **out)
{
	struct events *events = memory_zalloc(sizeof(*events));

	if (events == NULL)
		return -ENOMEM;
	/* Begun by the clock on the wall, numbers rise over a restart: nobody makes an event each millisecond. */
	events->first = events->next = clock_wall_ms() + 1;
	*out = events;
	return 0;
}

void events_destroy(struct events **events)
{
	memory_free(*events);
	*events = NULL;
}

static const char *or_empty(const char *text)
{
	return text != NULL ? text : "";
}

static void add(struct events *events, const struct event *event)
{
	struct event *slot = &events->ring[events->next % EVENTS_KEPT];

	*slot = *event;
	slot->number = events->next++;
}

void events_add(struct events *events, enum event_kind kind, const char *subject, const char *from,
                const char *to, const char *reason, const char *evidence)
{
	struct event event = {
		.wall_ms = clock_wall_ms(),
		.kind = kind,
		.from = or_empty(from),
		.to = or_empty(to),
		.reason = or_empty(reason),
	};

	snprintf(event.subject, sizeof(event.subject), "%s", subject);
	snprintf(event.evidence, sizeof(event.evidence), "%s", or_empty(evidence));
	add(events, &event);
}

void events_add_transition(struct events *events, const struct failover_event *event)
{
	struct event copy = {
		.wall_ms = event->wall_ms,
		.kind = strchr(event->subject, '/') != NULL ? EVENT_TARGET : EVENT_SITE,
		.from = or_empty(event->from),
		.to = or_empty(event->to),
		.reason = or_empty(event->reason),
	};

	memcpy(copy.subject, event->subject, sizeof(copy.subject));
	memcpy(copy.evidence, event->evidence, sizeof(copy.evidence));
	add(events, &copy);
}

bool events_next(const struct events *events, uint64_t after, struct admin_event *out)
{
	uint64_t oldest = events->next - events->first > EVENTS_KEPT ? events->next - EVENTS_KEPT
	                                                             : events->first;
	uint64_t number = after + 1 > oldest ? after + 1 : oldest;
	const struct event *event;

	if (number >= events->next)
		return false;
	event = &events->ring[number % EVENTS_KEPT];
	*out = (struct admin_event){
		.number = event->number,
		.wall_ms = event->wall_ms,
		.kind = kind_names[event->kind],
		.subject = event->subject,
		.from = event->from,
		.to = event->to,
		.reason = event->reason,
		.evidence = event->evidence,
	};
	return true;
}
