/*
 * GET /why: a verdict with what led to it, and what was tried for a request. Control loop.
 */
#include <stdio.h>
#include <string.h>

#include "admin_internal.h"
#include "base/clock.h"
#include "base/error.h"

/* What a person reads; GET /events has all of them. */
#define WHY_EVENTS_MAX 64
#define WHY_DECISIONS_MAX 64

/* Takes the member; false: out of memory, somewhere. */
static bool append(json_t *array, json_t *member)
{
	return array != NULL && member != NULL && json_array_append_new(array, member) == 0;
}

/* ---- of a target or a site ---- */

/* What happened to it, and to the site that it stands in. */
static bool concerns(const struct admin_event *event, const char *subject)
{
	size_t length = strlen(event->subject);

	if (strcmp(event->subject, subject) == 0)
		return true;
	return strchr(event->subject, '/') == NULL &&
	       strncmp(event->subject, subject, length) == 0 && subject[length] == '/';
}

static json_t *events_of(struct admin *admin, const char *subject)
{
	struct admin_event event = {0};
	json_t *events = json_array();

	while (admin->source.next_event(admin->arg, event.number, &event)) {
		if (!concerns(&event, subject))
			continue;
		if (!append(events, event_json(&event))) {
			json_decref(events);
			return NULL;
		}
		if (json_array_size(events) > WHY_EVENTS_MAX)
			json_array_remove(events, 0);
	}
	return events;
}

static void no_such_target(const struct view *view, struct http_client *client, const char *name)
{
	char near[256], text[512];

	if (names_near_target(view, name, near, sizeof(near)) ||
	    names_near_site(view, name, near, sizeof(near)))
		snprintf(text, sizeof(text), "no such target; %s is there\n", near);
	else
		snprintf(text, sizeof(text), "no such target\n");
	http_reply_text(client, 404, text);
}

static void why_target(struct admin *admin, struct http_client *client, const char *name)
{
	const struct view *view = admin->source.view(admin->arg);
	const struct view_target *target;
	const struct view_site *site;

	if (view == NULL) {
		http_reply_text(client, 503, "not ready\n");
		return;
	}
	target = names_target(view, name);
	site = names_site(view, name);
	if (target == NULL && site == NULL)
		no_such_target(view, client, name);
	else if (target != NULL)
		http_reply_json(client, 200,
		                json_pack("{s:o, s:o}", "target", target_json(admin, view, target),
		                          "events", events_of(admin, name)));
	else
		http_reply_json(client, 200,
		                json_pack("{s:o, s:o}", "site",
		                          site_json(admin, view, (unsigned)(site - view->sites)),
		                          "events", events_of(admin, name)));
}

/* ---- of a request ---- */

static json_t *attempt_json(const struct decision_attempt *attempt)
{
	char target[256] = "";
	const char *end = decision_end_name(attempt->end);

	if (attempt->target[0] != '\0')
		snprintf(target, sizeof(target), "%s/%s", attempt->site, attempt->target);
	if (attempt->end == DECISION_ANSWERED)
		return json_pack("{s:s, s:s, s:i, s:I}", "target", target, "end", end, "status",
		                 attempt->status, "ms", (json_int_t)attempt->ms);
	return json_pack("{s:s, s:s, s:I}", "target", target, "end", end, "ms",
	                 (json_int_t)attempt->ms);
}

static json_t *decision_json(const struct decision *decision)
{
	json_t *attempts = json_array();
	char time[32];

	for (unsigned i = 0; i < decision->attempt_count; i++)
		if (!append(attempts, attempt_json(&decision->attempt[i]))) {
			json_decref(attempts);
			return NULL;
		}
	clock_format_wall(decision->wall_ms, time, sizeof(time));
	return json_pack("{s:s, s:s, s:I, s:i, s:b, s:i, s:o}", "time", time, "method",
	                 method_name(decision->method), "ms", (json_int_t)decision->ms, "status",
	                 decision->status, "lost", decision->lost, "attempts_begun",
	                 (int)decision->attempts, "attempts", attempts);
}

struct gathering {
	json_t *decisions; /* NULL: out of memory */
};

static void on_decision(void *arg, const struct decision *decision)
{
	struct gathering *gathering = arg;

	if (gathering->decisions == NULL)
		return;
	if (!append(gathering->decisions, decision_json(decision))) {
		json_decref(gathering->decisions);
		gathering->decisions = NULL;
	} else if (json_array_size(gathering->decisions) > WHY_DECISIONS_MAX) {
		json_array_remove(gathering->decisions, 0);
	}
}

static void why_request(struct admin *admin, struct http_client *client, const char *call_id)
{
	struct gathering gathering = {json_array()};

	admin->source.decisions(admin->arg, slice_from_string(call_id), on_decision, &gathering);
	if (gathering.decisions == NULL || json_array_size(gathering.decisions) > 0) {
		http_reply_json(client, 200,
		                json_pack("{s:o, s:o}", "call_id", text_json(call_id), "decisions",
		                          gathering.decisions));
		return;
	}
	json_decref(gathering.decisions);
	http_reply_text(
		client, 404,
		"nothing is kept of such a Call-ID: its requests needed one attempt each, or it "
		"is long ago\n");
}

void why_start(struct admin *admin, const struct http_request *request)
{
	static const char *const names[] = {"target", "call-id"};
	struct http_client *client = request->client;
	char *values[2];
	int err = parameters_read(request->query, names, values, 2);

	if (err == 0 && (values[0] == NULL) == (values[1] == NULL))
		err = -EINVAL;
	if (err == -EINVAL)
		http_reply_text(client, 400, "expected target=SITE/NAME or call-id=CALL-ID\n");
	else if (err != 0)
		http_reply_text(client, 500, "out of memory\n");
	else if (values[0] != NULL)
		why_target(admin, client, values[0]);
	else if (!request->local) /* whom a user calls is personal data */
		http_reply_text(client, 403, "Call-IDs are told on the Unix socket only\n");
	else
		why_request(admin, client, values[1]);
	parameters_free(values, 2);
}
