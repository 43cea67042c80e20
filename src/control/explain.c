/*
 * Explaining: what failover, discovery, the operator and the workers' decisions tell is kept here and given to admin.
 * Control loop, but on_decision.
 */
#include "control_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"

/* ---- what happens ---- */

static void changed(struct control *control)
{
	if (control->admin != NULL)
		admin_events_changed(control->admin);
}

void explain_transition(void *arg, const struct failover_event *event)
{
	struct control *control = arg;

	events_add_transition(control->events, event);
	changed(control);
}

void explain_node(struct control *control, const char *to, const char *evidence)
{
	if (control->events == NULL)
		return;
	events_add(control->events, EVENT_NODE, control->config->node_name, NULL, to, NULL,
	           evidence);
	changed(control);
}

void explain_tls(struct control *control, const char *subject, const char *to, const char *reason,
                 const char *evidence)
{
	events_add(control->events, EVENT_TLS, subject, NULL, to, reason, evidence);
	changed(control);
}

static void discovered(struct control *control, const char *site, const char *target,
                       const char *from, const char *to, const char *evidence)
{
	char subject[FAILOVER_SUBJECT_MAX];

	snprintf(subject, sizeof(subject), "%s/%s", site, target);
	events_add(control->events, EVENT_DISCOVERY, subject, from, to, "dns", evidence);
}

static bool is_named(const struct failover_target_spec *specs, unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(specs[i].name, name) == 0)
			return true;
	return false;
}

static bool was_named(const struct view *view, const struct view_site *site, const char *name)
{
	for (unsigned i = 0; i < site->count; i++) {
		const struct view_target *target = &view->targets[site->first + i];

		if (target->state != TARGET_DRAINING && strcmp(target->name, name) == 0)
			return true;
	}
	return false;
}

void explain_discovery(struct control *control, unsigned index,
                       const struct failover_target_spec *specs, unsigned count)
{
	const struct view *view = failover_view(control->failover);
	const struct view_site *site;

	if (view == NULL || index >= view->site_count)
		return;
	site = &view->sites[index];
	for (unsigned i = 0; i < count; i++)
		if (!was_named(view, site, specs[i].name))
			discovered(control, site->name, specs[i].name, NULL, "NAMED", specs[i].uri);
	for (unsigned i = 0; i < site->count; i++) {
		const struct view_target *target = &view->targets[site->first + i];

		if (target->state != TARGET_DRAINING && !is_named(specs, count, target->name))
			discovered(control, site->name, target->name, "NAMED", "WITHDRAWN",
			           target->uri);
	}
	changed(control);
}

/* On a worker's thread. */
void explain_decision(void *arg, const struct decision *decision)
{
	decisions_tell(((struct control *)arg)->decisions, decision);
}

/* ---- what admin asks ---- */

bool explain_next_event(void *arg, uint64_t after, struct admin_event *out)
{
	return events_next(((struct control *)arg)->events, after, out);
}

void explain_decisions(void *arg, struct slice call_id,
                       void (*visit)(void *visit_arg, const struct decision *decision),
                       void *visit_arg)
{
	decisions_visit(((struct control *)arg)->decisions, call_id, visit, visit_arg);
}

const struct operator_word *explain_words(void *arg, unsigned *count)
{
	struct control *control = arg;

	*count = 0;
	return control->failover != NULL ? failover_operator_words(control->failover, count) : NULL;
}

int explain_say(void *arg, const struct operator_word *word)
{
	struct control *control = arg;
	int err = operator_book_say(control->book, word);

	changed(control);
	return err;
}

/* ---- life ---- */

int explain_create(struct control *control)
{
	int err = events_create(&control->events);

	return err != 0 ? err : decisions_create(control->loop, &control->decisions);
}

static void on_book_changed(void *arg)
{
	changed(arg);
}

int explain_open_book(struct control *control)
{
	const char *name = "operator.json";
	size_t size = strlen(control->config->state_dir) + strlen(name) + 2;
	char *path = memory_alloc(size);
	int err;

	if (path == NULL)
		return -ENOMEM;
	snprintf(path, size, "%s/%s", control->config->state_dir, name);
	err = operator_book_open(control->loop, path, control->failover, control->events,
	                         on_book_changed, control, &control->book);
	memory_free(path);
	return err;
}

void explain_destroy(struct control *control)
{
	decisions_destroy(&control->decisions);
	events_destroy(&control->events);
}
