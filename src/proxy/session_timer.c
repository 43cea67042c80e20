/*
 * Session timers as a proxy may ask for them: the interval in a request that can set one up, and the word of it in the
 * 2xx for a callee that knows none. RFC 4028 8. Worker thread only.
 */
#include "proxy_internal.h"

#include <stdio.h>

/* RFC 4028 5: the least that Min-SE may ask, and what holds without one. */
#define LEAST_INTERVAL_S 90
#define LONGEST_INTERVAL_S (1u << 31)

struct interval {
	bool is_there;
	uint64_t seconds;
	struct slice params; /* ";refresher=uac", with its semicolon */
};

static bool can_set_up(enum sip_method method)
{
	return method == METHOD_INVITE || method == METHOD_UPDATE;
}

/* A value that is no number is as if it were not there: the far end may know better. */
static struct interval interval_of(const struct message *message, const char *name)
{
	struct interval interval = {0};
	struct slice value, number;

	if (!message_header(message, name, &value))
		return interval;
	number = slice_split(value, ';', &interval.params);
	if (!slice_is_empty(interval.params)) /* back to the semicolon */
		interval.params = slice_of(interval.params.data - 1, interval.params.length + 1);
	interval.is_there =
		slice_to_uint(slice_trim(number), LONGEST_INTERVAL_S, &interval.seconds);
	return interval;
}

static int set_interval(struct message *message, const char *name, uint64_t seconds,
                        struct slice params)
{
	char copy[256];
	char text[300];
	int err;

	/* What it says of the refresher stays; what is longer than that says something else. */
	if (params.length >= sizeof(copy))
		params = SLICE_NONE;
	snprintf(copy, sizeof(copy), "%.*s", SLICE_ARGS(params));
	snprintf(text, sizeof(text), "%llu%s", (unsigned long long)seconds, copy);
	err = message_remove(message, name);
	return err == 0 ? message_append(message, name, slice_from_string(text)) : err;
}

int session_timer_request(struct incoming *in, struct session_timer *timer)
{
	const struct proxy_settings *settings = in->proxy->settings;
	struct interval wanted, least;
	uint64_t floor_s, seconds;
	int err = 0;

	*timer = (struct session_timer){0};
	if (settings->session_expires_s == 0 || !can_set_up(in->method))
		return 0;
	timer->caller_knows = message_has_option(in->message, HEADER_SUPPORTED, "timer");
	wanted = interval_of(in->message, "Session-Expires");
	least = interval_of(in->message, "Min-SE");
	floor_s = least.is_there && least.seconds > LEAST_INTERVAL_S ? least.seconds
	                                                             : LEAST_INTERVAL_S;
	if (wanted.is_there && wanted.seconds < settings->session_minimum_s) {
		if (timer->caller_knows)
			return -ERANGE;
		/* It could make nothing of a 422: the interval is raised instead, and all beyond are told (8.1). */
		if (floor_s < settings->session_minimum_s) {
			floor_s = settings->session_minimum_s;
			err = set_interval(in->message, "Min-SE", floor_s, SLICE_NONE);
		}
		seconds = floor_s;
	} else if (wanted.is_there && wanted.seconds <= settings->session_expires_s) {
		timer->seconds = wanted.seconds;
		return 0;
	} else {
		seconds = settings->session_expires_s > floor_s ? settings->session_expires_s
		                                                : floor_s;
		if (wanted.is_there && seconds > wanted.seconds) /* never longer than asked */
			seconds = wanted.seconds;
	}
	timer->seconds = seconds;
	if (err == 0)
		err = set_interval(in->message, "Session-Expires", seconds, wanted.params);
	return err;
}

/* 8.2: a callee without timers answers without Session-Expires; then the caller refreshes, if it can. We are the last
 * that knows of the timer only if nobody below has put it in. */
int session_timer_answer(const struct session_timer *timer, struct message *response)
{
	int status = message_status(response);
	struct slice value;
	char text[64];
	int err;

	if (status < 200 || status > 299 || timer->seconds == 0 || !timer->caller_knows ||
	    message_header(response, "Session-Expires", &value))
		return 0;
	snprintf(text, sizeof(text), "%llu;refresher=uac", (unsigned long long)timer->seconds);
	err = message_append(response, "Session-Expires", slice_from_string(text));
	if (err == 0 && !message_has_option(response, HEADER_REQUIRE, "timer"))
		err = message_append(response, "Require", SLICE_LITERAL("timer"));
	return err;
}

void session_timer_reject(struct incoming *in)
{
	char text[48];
	int n = snprintf(text, sizeof(text), "Min-SE: %u\r\n",
	                 in->proxy->settings->session_minimum_s);

	proxy_reject(in, 422, "Session Interval Too Small", slice_of(text, (size_t)n),
	             REJECTED_INTERVAL);
}
