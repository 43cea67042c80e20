/*
 * Decisions: what became of each attempt is noted while a request searches for its answer, and told once it has one:
 * as a line of log and to control. Nothing is noted of requests whose first attempt is answered well, which are
 * nearly all. Worker thread only, but decision_format.
 */
#include "proxy_internal.h"

#include <stdio.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

/* A client chooses it; the rest of the line shall be readable. */
#define LOG_CALL_ID_MAX 128
#define LOG_LINE_MAX 480 /* what log.h takes, with the time before it */

struct attempt_note {
	uint32_t target_id;
	uint32_t ms;
	int status;
	enum decision_end end;
};

struct attempt_notes {
	unsigned count;
	struct attempt_note note[DECISION_ATTEMPTS_MAX];
};

static const struct {
	const char *name, *words;
} ends[DECISION_ENDS] = {
	[DECISION_REFUSED] = {"refused", "refused"},
	[DECISION_RESET] = {"reset", "broke the connection"},
	[DECISION_SILENT] = {"silent", "silent"},
	[DECISION_TIMED_OUT] = {"timed_out", "timed out"},
	[DECISION_NOT_SENT] = {"not_sent", "could not be asked"},
	[DECISION_UNANSWERED] = {"unanswered", "not yet answered"},
	[DECISION_ANSWERED] = {"answered", "answered"},
};

const char *decision_end_name(enum decision_end end)
{
	ASSERT(end < DECISION_ENDS);
	return ends[end].name;
}

/* ---- noting ---- */

static void add_note(struct response_context *context, const struct attempt_note *note)
{
	if (context->notes == NULL)
		context->notes = memory_zalloc(sizeof(*context->notes));
	if (context->notes == NULL || context->notes->count == DECISION_ATTEMPTS_MAX)
		return; /* it is told by the number of attempts */
	context->notes->note[context->notes->count++] = *note;
}

static uint32_t ms_since(const struct proxy *proxy, uint64_t begun_us)
{
	return (uint32_t)((loop_now_us(proxy->loop) - begun_us) / 1000);
}

static enum decision_end end_of(enum failover_reason reason)
{
	switch (reason) {
	case FAILOVER_REFUSED:
		return DECISION_REFUSED;
	case FAILOVER_RESET:
		return DECISION_RESET;
	case FAILOVER_SILENT:
		return DECISION_SILENT;
	case FAILOVER_TIMEOUT:
		return DECISION_TIMED_OUT;
	case FAILOVER_OVERLOADED:
	case FAILOVER_OTHER:
		break;
	}
	return DECISION_NOT_SENT;
}

void decision_note_failure(const struct branch *branch, enum failover_reason reason)
{
	struct response_context *context = branch->context;
	struct attempt_note note = {
		.target_id = branch->target_id,
		.ms = ms_since(context->proxy, branch->sent_us),
		.end = end_of(reason),
	};

	/* One that was given up for its silence has been told of. */
	if (!context->answered && !branch->abandoned)
		add_note(context, &note);
}

void decision_note_unsent(struct response_context *context, uint32_t target_id, bool refused)
{
	struct attempt_note note = {
		.target_id = target_id,
		.end = refused ? DECISION_REFUSED : DECISION_NOT_SENT,
	};

	add_note(context, &note);
}

void decision_note_answer(const struct branch *branch, int status)
{
	struct response_context *context = branch->context;
	struct attempt_note note = {
		.target_id = branch->target_id,
		.ms = ms_since(context->proxy, branch->sent_us),
		.status = status,
		.end = DECISION_ANSWERED,
	};

	/* Only what leads to a further attempt, or follows one. */
	if (!context->answered && (context->notes != NULL || (status == 503 && !context->fixed)))
		add_note(context, &note);
}

static void note_open_branches(struct response_context *context)
{
	LIST_FOR_EACH(link, &context->branches) {
		const struct branch *branch = CONTAINER_OF(link, struct branch, link);
		struct attempt_note note = {
			.target_id = branch->target_id,
			.ms = ms_since(context->proxy, branch->sent_us),
			.end = DECISION_UNANSWERED,
		};

		if (!branch->done && !branch->abandoned)
			add_note(context, &note);
	}
}

/* ---- telling ---- */

static void add_attempt(char *text, size_t size, const struct decision_attempt *attempt)
{
	if (attempt->target[0] == '\0')
		text_add(text, size, "its hop %s", ends[attempt->end].words);
	else
		text_add(text, size, "%s/%s %s", attempt->site, attempt->target,
		         ends[attempt->end].words);
	if (attempt->end == DECISION_ANSWERED)
		text_add(text, size, " %d", attempt->status);
	if (attempt->end != DECISION_NOT_SENT)
		text_add(text, size, " after %u ms", attempt->ms);
}

void decision_format(const struct decision *decision, char *text, size_t size)
{
	const struct decision_attempt *last =
		decision->attempt_count > 0 ? &decision->attempt[decision->attempt_count - 1]
					    : NULL;
	struct slice call_id = decision->call_id;

	if (call_id.length > LOG_CALL_ID_MAX)
		call_id.length = LOG_CALL_ID_MAX;
	snprintf(text, size, "request %.*s: %s", SLICE_ARGS(call_id),
	         method_name(decision->method));
	for (unsigned i = 0; i < decision->attempt_count; i++) {
		text_add(text, size, i == 0 ? ": " : ", ");
		add_attempt(text, size, &decision->attempt[i]);
	}
	if (decision->attempts > decision->attempt_count)
		text_add(text, size, ", %u more", decision->attempts - decision->attempt_count);
	if (last == NULL || last->end != DECISION_ANSWERED || last->status != decision->status)
		text_add(text, size, "; the client got %d after %u ms%s", decision->status,
		         decision->ms, decision->lost ? ", lost" : "");
}

/* Looked up in the rare case that it is wanted, rather than kept for every request. */
static struct slice find_call_id(struct slice request)
{
	struct slice value;
	struct slice name;

	while (!slice_is_empty(request)) {
		name = slice_trim(slice_split(slice_split(request, '\n', &request), ':', &value));
		if (slice_equal_nocase(name, SLICE_LITERAL("Call-ID")) ||
		    slice_equal_nocase(name, SLICE_LITERAL("i")))
			return slice_trim(value);
	}
	return SLICE_NONE;
}

static void read_note(const struct view *view, const struct attempt_note *note,
                      struct decision_attempt *out)
{
	const struct view_target *target =
		view != NULL ? view_find_id(view, note->target_id) : NULL;

	*out = (struct decision_attempt){
		.site = target != NULL ? view->sites[target->site].name : "",
		.target = target != NULL ? target->name : "",
		.end = note->end,
		.status = note->status,
		.ms = note->ms,
	};
}

void decision_tell(struct response_context *context, int status, bool lost)
{
	struct proxy *proxy = context->proxy;
	unsigned attempts = context->fixed ? context->attempts : context->tried.count;
	struct decision decision = {
		.method = context->method,
		.ms = ms_since(proxy, context->born_us),
		.status = status,
		.lost = lost,
		.attempts = attempts,
	};
	char line[LOG_LINE_MAX];

	if (attempts < 2 && !lost)
		return;
	note_open_branches(context);
	decision.call_id = find_call_id(bytes_slice(context->base));
	decision.wall_ms = clock_wall_ms() - decision.ms;
	if (context->notes != NULL)
		decision.attempt_count = context->notes->count;
	for (unsigned i = 0; i < decision.attempt_count; i++)
		read_note(proxy->view, &context->notes->note[i], &decision.attempt[i]);
	/* A phone that is silent is no news at 3 a.m.; one that asks why its call failed is told. */
	if (!context->fixed) {
		decision_format(&decision, line, sizeof(line));
		log_info("%s", line);
	}
	if (proxy->ways.decided != NULL)
		proxy->ways.decided(proxy->ways.arg, &decision);
}
