/*
 * GET /events: what is kept, as JSON lines; or, for who accepts text/event-stream, that and then every event as it
 * comes. A follower is a place in the owner's ring, never a queue: it is given the next few when it has taken the last
 * ones, and who is so slow that the ring has passed it is closed. Control loop.
 */
#include <stdio.h>

#include "admin_internal.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/memory.h"

/* Operators' terminals and status pages; of HTTP's 64 connections the rest stays for monitors. */
#define FOLLOWERS_MAX 16
/* Given to a follower at once. */
#define PIECE_BYTES 16384

struct follower {
	struct list_link link; /* in admin->followers */
	struct admin *admin;
	struct http_client *client;
	uint64_t after;         /* the number of the last event given or passed over */
	uint64_t since_wall_ms; /* older ones are passed over */
	bool began;             /* one was given: from now on none may be missing */
};

json_t *event_json(const struct admin_event *event)
{
	char time[32];

	clock_format_wall(event->wall_ms, time, sizeof(time));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "time", time, "kind", event->kind,
	                 "subject", event->subject, "from", event->from, "to", event->to, "reason",
	                 event->reason, "evidence", text_json(event->evidence));
}

static void append_line(struct buffer *out, const struct admin_event *event, bool streamed)
{
	json_t *json = event_json(event);
	char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;

	json_decref(json);
	if (text == NULL) {
		out->failed = true;
		return;
	}
	if (streamed)
		buffer_printf(out, "id: %llu\ndata: %s\n\n", (unsigned long long)event->number,
		              text);
	else
		buffer_printf(out, "%s\n", text);
	free(text); /* jansson's */
}

/* ---- history ---- */

static void give_history(struct admin *admin, struct http_client *client, uint64_t since_wall_ms)
{
	struct admin_event event = {0};
	struct buffer out;

	buffer_init(&out);
	while (!out.failed && admin->source.next_event(admin->arg, event.number, &event))
		if (event.wall_ms >= since_wall_ms)
			append_line(&out, &event, false);
	if (out.failed)
		http_reply_text(client, 500, "out of memory\n");
	else
		http_reply(client, 200, "application/x-ndjson", "", buffer_slice(&out));
	buffer_free(&out);
}

/* ---- followers ---- */

static void on_follower_gone(void *arg)
{
	struct follower *follower = arg;

	list_remove(&follower->admin->followers, &follower->link);
	memory_free(follower);
}

static bool pull(void *arg, struct buffer *out)
{
	struct follower *follower = arg;
	struct admin *admin = follower->admin;
	struct admin_event event;

	while (out->length < PIECE_BYTES && !out->failed &&
	       admin->source.next_event(admin->arg, follower->after, &event)) {
		if (follower->began && event.number != follower->after + 1)
			return false; /* the ring has passed it */
		follower->after = event.number;
		if (event.wall_ms < follower->since_wall_ms)
			continue;
		follower->began = true;
		append_line(out, &event, true);
	}
	return true;
}

static void follow(struct admin *admin, struct http_client *client, uint64_t after,
                   uint64_t since_wall_ms)
{
	struct follower *follower;

	if (admin->followers.length >= FOLLOWERS_MAX) {
		http_reply_text(client, 503, "too many follow the events\n");
		return;
	}
	follower = memory_zalloc(sizeof(*follower));
	if (follower == NULL) {
		http_reply_text(client, 500, "out of memory\n");
		return;
	}
	follower->admin = admin;
	follower->client = client;
	follower->after = after;
	follower->since_wall_ms = since_wall_ms;
	list_append(&admin->followers, &follower->link);
	http_stream(client, "text/event-stream", pull, on_follower_gone, follower);
}

void admin_events_changed(struct admin *admin)
{
	LIST_FOR_EACH_SAFE(link, &admin->followers)
		http_stream_wake(CONTAINER_OF(link, struct follower, link)->client);
}

/* The list of media types names it; weights (RFC 9110 12.5.1) are for who offers both. */
static bool accepts_stream(struct slice accept)
{
	while (accept.length > 0) {
		struct slice parameters, range = slice_split(accept, ',', &accept);

		range = slice_split(range, ';', &parameters);
		if (slice_equal_nocase(slice_trim(range), SLICE_LITERAL("text/event-stream")))
			return true;
	}
	return false;
}

/* ?since=30m. False: answered. */
static bool read_since(const struct http_request *request, bool *given, uint64_t *since_wall_ms)
{
	static const char *const names[] = {"since"};
	uint64_t back_ms, now = clock_wall_ms();
	char *text;
	int err = parameters_read(request->query, names, &text, 1);

	*given = err == 0 && text != NULL;
	*since_wall_ms = 0;
	if (*given && parameters_duration(text, &back_ms))
		*since_wall_ms = back_ms < now ? now - back_ms : 0;
	else if (*given)
		err = -EINVAL;
	if (err == -EINVAL)
		http_reply_text(request->client, 400,
		                "expected nothing or since=TIME, as 30m, 2h, 90s\n");
	else if (err != 0)
		http_reply_text(request->client, 500, "out of memory\n");
	memory_free(text);
	return err == 0;
}

void events_start(struct admin *admin, const struct http_request *request)
{
	struct admin_event newest = {0};
	uint64_t since_wall_ms, after = 0;
	bool given;

	if (!read_since(request, &given, &since_wall_ms))
		return;
	if (!accepts_stream(request->accept)) {
		give_history(admin, request->client, since_wall_ms);
		return;
	}
	if (http_is_head(request->client)) {
		http_reply(request->client, 200, "text/event-stream", "", SLICE_NONE);
		return;
	}
	while (admin->source.next_event(admin->arg, newest.number, &newest))
		;
	/* A browser that lost its connection goes on where it was; a number that we never said is none. */
	if (!slice_to_uint(request->last_event_id, newest.number, &after) && !given)
		after = newest.number;
	follow(admin, request->client, after, since_wall_ms);
}
