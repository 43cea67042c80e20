/*
 * Posting records: a window of postings in the order of the spool, each with its own connections. The spool hears of
 * the end of a record when all before it have ended, too.
 */
#include "charging/ralf.h"

#include <event2/buffer.h>
#include <event2/dns.h>
#include <event2/http.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"

/* Records posted at once. */
#define WINDOW 8
/* Ralf answers when it has taken a record over, not when it is billed. */
#define POST_TIMEOUT_MS 2000
/* An endpoint that failed rests so long, twice as long each time, up to the maximum. */
#define REST_MIN_MS 500
#define REST_MAX_MS 30000
/* A record over which a Ralf that takes others stumbles so often is given up: it would stop the whole window. */
#define FAULTS_MAX 6
/* Of an answer nothing but its status is read. */
#define ANSWER_BYTES_MAX 65536

struct endpoint {
	const struct ralf_endpoint *settings;
	uint64_t rests_until_ms; /* 0: well */
	unsigned rest_ms;
};

enum posting_state {
	POSTING_FREE,
	POSTING_WAITS, /* for an endpoint that is well */
	POSTING_UNDER_WAY,
	POSTING_ENDED /* waits for those before it */
};

struct posting {
	struct ralf *ralf;
	enum posting_state state;
	struct spool_place place;
	struct buffer record;                   /* "CALL-ID JSON" */
	unsigned faults;                        /* answered 500 and the like */
	uint64_t delivered_before;              /* of the ralf's, when it was read */
	unsigned endpoint;                      /* asked now */
	struct evhttp_connection **connections; /* one for each endpoint, made when first needed */
};

struct ralf {
	struct loop *loop;
	struct spool *spool;
	struct metrics *metrics;
	struct evdns_base *dns; /* NULL: all endpoints are addresses, or no server is known */
	struct endpoint *endpoints;
	unsigned endpoint_count;
	struct posting window[WINDOW]; /* a ring in the order of the spool */
	unsigned first, count;
	uint64_t delivered;
	struct timer again; /* an endpoint has rested */
	struct timer soon;  /* there may be something to do */
};

static void work(struct ralf *ralf);

/* ---- endpoints ---- */

/* status: its answer, 0: none. */
static void endpoint_failed(struct ralf *ralf, unsigned index, int status)
{
	struct endpoint *endpoint = &ralf->endpoints[index];
	const uint64_t now = loop_now_ms(ralf->loop);
	char answer[32];

	if (endpoint->rests_until_ms > now)
		return; /* told by another posting of the same moment */
	snprintf(answer, sizeof(answer), "answers %d", status);
	if (endpoint->rest_ms == 0)
		log_warning("charging: the Ralf of %s (%s:%u) %s; records wait on the disk, or go "
		            "to the "
		            "next",
		            endpoint->settings->site, endpoint->settings->host,
		            endpoint->settings->port, status != 0 ? answer : "cannot be reached");
	endpoint->rest_ms = endpoint->rest_ms == 0 ? REST_MIN_MS : endpoint->rest_ms * 2;
	if (endpoint->rest_ms > REST_MAX_MS)
		endpoint->rest_ms = REST_MAX_MS;
	endpoint->rests_until_ms =
		now + endpoint->rest_ms / 2 + random_below(endpoint->rest_ms / 2 + 1);
}

static void endpoint_well(struct ralf *ralf, unsigned index)
{
	struct endpoint *endpoint = &ralf->endpoints[index];

	if (endpoint->rest_ms != 0)
		log_info("charging: the Ralf of %s (%s:%u) takes records again",
		         endpoint->settings->site, endpoint->settings->host,
		         endpoint->settings->port);
	endpoint->rest_ms = 0;
	endpoint->rests_until_ms = 0;
}

/* False: none is well; *wait_ms until the first may be asked again. */
static bool choose_endpoint(const struct ralf *ralf, unsigned *index, uint64_t *wait_ms)
{
	const uint64_t now = loop_now_ms(ralf->loop);

	*wait_ms = UINT64_MAX;
	for (unsigned i = 0; i < ralf->endpoint_count; i++) {
		const uint64_t until = ralf->endpoints[i].rests_until_ms;

		if (until <= now) {
			*index = i;
			return true;
		}
		if (until - now < *wait_ms)
			*wait_ms = until - now;
	}
	return false;
}

/* ---- posting ---- */

static void count(struct ralf *ralf, enum charging_result result)
{
	metrics_add(ralf->metrics, METRIC_CHARGING_RECORDS, result, 0, 0, 1);
}

/* The spool forgets what has ended at the front of the window. */
static void tell_spool(struct ralf *ralf)
{
	struct spool_place place;
	unsigned ended = 0;

	while (ralf->count > 0 && ralf->window[ralf->first].state == POSTING_ENDED) {
		place = ralf->window[ralf->first].place;
		ralf->window[ralf->first].state = POSTING_FREE;
		ralf->first = (ralf->first + 1) % WINDOW;
		ralf->count--;
		ended++;
	}
	if (ended > 0)
		spool_done(ralf->spool, &place, ended);
}

/* It will never be taken. Overload, and what stands behind Ralf, pass (408, 429, 502, 503, 504). */
static bool is_hopeless(struct posting *posting, int status)
{
	if (status >= 400 && status < 500)
		return status != 408 && status != 429;
	if (status < 500 || (status >= 502 && status <= 504))
		return false;
	return ++posting->faults >= FAULTS_MAX &&
	       posting->ralf->delivered != posting->delivered_before;
}

static void on_answer(struct evhttp_request *request, void *arg)
{
	struct posting *posting = arg;
	struct ralf *ralf = posting->ralf;
	const int status = request != NULL ? evhttp_request_get_response_code(request) : 0;

	ASSERT(posting->state == POSTING_UNDER_WAY);
	if (status >= 200 && status < 300) {
		endpoint_well(ralf, posting->endpoint);
		count(ralf, CHARGING_DELIVERED);
		ralf->delivered++;
		posting->state = POSTING_ENDED;
	} else if (is_hopeless(posting, status)) {
		endpoint_well(ralf, posting->endpoint);
		count(ralf, CHARGING_REFUSED);
		posting->state = POSTING_ENDED;
	} else {
		endpoint_failed(ralf, posting->endpoint, status);
		count(ralf, CHARGING_RETRIED);
		posting->state = POSTING_WAITS;
	}
	/* Not from inside libevent's callback: it has not finished with this connection. */
	timer_start(loop_timers(ralf->loop), &ralf->soon, 0);
}

static struct evhttp_connection *connection_of(struct posting *posting)
{
	struct ralf *ralf = posting->ralf;
	const struct ralf_endpoint *to = ralf->endpoints[posting->endpoint].settings;
	const struct timeval timeout = {POST_TIMEOUT_MS / 1000, POST_TIMEOUT_MS % 1000 * 1000};
	struct evhttp_connection **connection = &posting->connections[posting->endpoint];

	if (*connection != NULL)
		return *connection;
	*connection =
		evhttp_connection_base_new(loop_base(ralf->loop), ralf->dns, to->host, to->port);
	if (*connection == NULL)
		return NULL;
	evhttp_connection_set_timeout_tv(*connection, &timeout);
	evhttp_connection_set_retries(*connection, 0);
	evhttp_connection_set_max_body_size(*connection, ANSWER_BYTES_MAX);
	evhttp_connection_set_max_headers_size(*connection, ANSWER_BYTES_MAX);
	return *connection;
}

static int fill_request(const struct posting *posting, struct evhttp_request *request)
{
	const struct ralf_endpoint *to = posting->ralf->endpoints[posting->endpoint].settings;
	const struct slice record = buffer_slice(&posting->record);
	const struct slice body = slice_skip(record, (size_t)slice_index(record, ' ') + 1);
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	char host[300];

	snprintf(host, sizeof(host), strchr(to->host, ':') != NULL ? "[%s]:%u" : "%s:%u", to->host,
	         to->port);
	if (evhttp_add_header(headers, "Host", host) != 0 ||
	    evhttp_add_header(headers, "Content-Type", "application/json") != 0 ||
	    evbuffer_add(evhttp_request_get_output_buffer(request), body.data, body.length) != 0)
		return -ENOMEM;
	return 0;
}

/* False: out of memory; another time. */
static bool post(struct posting *posting)
{
	struct evhttp_connection *connection = connection_of(posting);
	const struct slice record = buffer_slice(&posting->record);
	struct evhttp_request *request;
	struct buffer path;
	bool made;

	if (connection == NULL)
		return false;
	request = evhttp_request_new(on_answer, posting);
	if (request == NULL)
		return false;
	buffer_init(&path);
	buffer_append_string(&path, "/call-id/");
	buffer_append(&path, record.data, (size_t)slice_index(record, ' '));
	buffer_append(&path, "", 1);
	made = !path.failed && fill_request(posting, request) == 0;
	if (!made) {
		evhttp_request_free(request);
	} else {
		posting->state = POSTING_UNDER_WAY;
		/* It takes the request, and frees it when it fails; then nobody is called. */
		made = evhttp_make_request(connection, request, EVHTTP_REQ_POST, path.data) == 0;
		if (!made)
			posting->state = POSTING_WAITS;
	}
	buffer_free(&path);
	return made;
}

/* Fill the window from the spool. */
static void take_records(struct ralf *ralf)
{
	while (ralf->count < WINDOW) {
		struct posting *posting = &ralf->window[(ralf->first + ralf->count) % WINDOW];
		int err = spool_read(ralf->spool, &posting->place, &posting->record);

		if (err != 0)
			return; /* -ENOENT, or out of memory: the next record wakes us */
		posting->state = slice_index(buffer_slice(&posting->record), ' ') > 0
		                         ? POSTING_WAITS
		                         : POSTING_ENDED; /* none of ours */
		posting->faults = 0;
		posting->delivered_before = ralf->delivered;
		ralf->count++;
	}
}

static void work(struct ralf *ralf)
{
	uint64_t wait_ms = 0;

	tell_spool(ralf);
	take_records(ralf);
	for (unsigned i = 0; i < ralf->count; i++) {
		struct posting *posting = &ralf->window[(ralf->first + i) % WINDOW];

		if (posting->state != POSTING_WAITS)
			continue;
		if (!choose_endpoint(ralf, &posting->endpoint, &wait_ms))
			break;
		if (!post(posting)) {
			endpoint_failed(ralf, posting->endpoint, 0);
			timer_start(loop_timers(ralf->loop), &ralf->soon, 0);
			return;
		}
	}
	if (wait_ms != 0 && wait_ms != UINT64_MAX)
		timer_start(loop_timers(ralf->loop), &ralf->again, wait_ms);
}

static void on_work(struct timer *timer, void *arg)
{
	work(arg);
}

void ralf_wake(struct ralf *ralf)
{
	if (ralf->count < WINDOW && !timer_is_running(&ralf->soon))
		timer_start(loop_timers(ralf->loop), &ralf->soon, 0);
}

unsigned ralf_busy(const struct ralf *ralf)
{
	return ralf->count;
}

/* ---- life ---- */

static bool has_names(const struct ralf_settings *settings)
{
	struct address address;

	for (unsigned i = 0; i < settings->endpoint_count; i++)
		if (!address_parse_host(slice_from_string(settings->endpoints[i].host),
		                        settings->endpoints[i].port, &address))
			return true;
	return false;
}

static int create_dns(struct ralf *ralf, const struct ralf_settings *settings)
{
	int flags = EVDNS_BASE_DISABLE_WHEN_INACTIVE;

	if (!has_names(settings))
		return 0;
	if (settings->dns_server_count == 0)
		flags |= EVDNS_BASE_INITIALIZE_NAMESERVERS;
	ralf->dns = evdns_base_new(loop_base(ralf->loop), flags);
	if (ralf->dns == NULL) {
		log_warning("charging: no name server is known, names of Ralf are not resolved");
		return 0;
	}
	for (unsigned i = 0; i < settings->dns_server_count; i++) {
		const struct address *server = &settings->dns_servers[i];

		if (evdns_base_nameserver_sockaddr_add(ralf->dns, &server->any,
		                                       address_length(server), 0) != 0)
			return -ENOMEM;
	}
	return 0;
}

static int create_window(struct ralf *ralf)
{
	for (unsigned i = 0; i < WINDOW; i++) {
		struct posting *posting = &ralf->window[i];

		posting->ralf = ralf;
		buffer_init(&posting->record);
		posting->connections =
			memory_zalloc(ralf->endpoint_count * sizeof(*posting->connections));
		if (posting->connections == NULL)
			return -ENOMEM;
	}
	return 0;
}

int ralf_create(struct loop *loop, const struct ralf_settings *settings, struct spool *spool,
                struct metrics *metrics, struct ralf **out)
{
	struct ralf *ralf = memory_zalloc(sizeof(*ralf));
	int err;

	ASSERT(settings->endpoint_count > 0);
	if (ralf == NULL)
		return -ENOMEM;
	ralf->loop = loop;
	ralf->spool = spool;
	ralf->metrics = metrics;
	timer_init(&ralf->again, on_work, ralf);
	timer_init(&ralf->soon, on_work, ralf);
	ralf->endpoint_count = settings->endpoint_count;
	ralf->endpoints = memory_zalloc(settings->endpoint_count * sizeof(*ralf->endpoints));
	err = ralf->endpoints != NULL ? create_window(ralf) : -ENOMEM;
	for (unsigned i = 0; err == 0 && i < settings->endpoint_count; i++)
		ralf->endpoints[i].settings = &settings->endpoints[i];
	if (err == 0)
		err = create_dns(ralf, settings);
	if (err != 0)
		ralf_destroy(&ralf);
	else
		ralf_wake(ralf);
	*out = ralf;
	return err;
}

void ralf_destroy(struct ralf **ralf)
{
	struct ralf *r = *ralf;

	*ralf = NULL;
	if (r == NULL)
		return;
	timer_stop(loop_timers(r->loop), &r->again);
	timer_stop(loop_timers(r->loop), &r->soon);
	for (unsigned i = 0; i < WINDOW; i++) {
		struct posting *posting = &r->window[i];

		for (unsigned e = 0; posting->connections != NULL && e < r->endpoint_count; e++)
			if (posting->connections[e] != NULL)
				evhttp_connection_free(posting->connections[e]);
		memory_free(posting->connections);
		buffer_free(&posting->record);
	}
	if (r->dns != NULL) {
		/* A connection whose name is still being asked for is held by the question, which is told of the end
		 * in the base's next turn and by then lets go. */
		evdns_base_free(r->dns, 1);
		event_base_loop(loop_base(r->loop), EVLOOP_NONBLOCK);
	}
	memory_free(r->endpoints);
	memory_free(r);
}
