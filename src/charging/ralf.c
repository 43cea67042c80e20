/*
 * Posting records: a window of postings in the order of the spool, and lanes with connections, over which some of
 * them are posted at once. The spool hears of the end of a record when all before it have ended, too; so one that
 * fails again and again while others are delivered is put behind all that wait before it stops the window, and in
 * the end given up.
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
#define LANES 8
/* Records read and not done, with those that ended behind one that has not. */
#define WINDOW 1024
/* Of the records read and not ended; the last may stand over it. */
#define WINDOW_BYTES_MAX (4u << 20)
/* Ralf answers when it has taken a record over, not when it is billed. */
#define POST_TIMEOUT_MS 2000
/* An endpoint that failed rests so long, twice as long each time, up to the maximum. */
#define REST_MIN_MS 500
#define REST_MAX_MS 30000
/* A record over which a Ralf that takes others stumbles so often (it answers 500, hangs up or says nothing) is given
 * up. Each time others must have been delivered since the time before: in an outage nothing is lost. */
#define FAULTS_MAX 10
/* Between two of its tries, from the second fault on. */
#define FAULT_REST_MS 500
/* Before a record that was put behind: one for each fault. No Call-ID begins so, it is escaped (charge.c). */
#define FAULT_MARK '*'
/* Of an answer nothing but its status is read. */
#define ANSWER_BYTES_MAX 65536

struct endpoint {
	const struct ralf_endpoint *settings;
	uint64_t rests_until_ms; /* 0: well */
	unsigned rest_ms;
	uint64_t delivered;
};

enum posting_state {
	POSTING_FREE,
	POSTING_WAITS, /* for an endpoint that is well */
	POSTING_UNDER_WAY,
	POSTING_ENDED /* waits for those before it */
};

struct posting {
	enum posting_state state;
	struct spool_place place;
	struct buffer record; /* "CALL-ID JSON", perhaps with marks before it; empty when ended */
	unsigned failures, faults; /* all; those for which nobody but itself can be blamed */
	uint64_t rests_until_ms;
	uint64_t delivered_read;   /* of the ralf's, when it was read */
	uint64_t delivered_before; /* the same, when it failed last */
};

struct lane {
	struct ralf *ralf;
	struct posting *posting;                /* under way; NULL: free */
	unsigned endpoint;                      /* asked now */
	uint64_t delivered_before;              /* of the endpoint's, when it was asked */
	struct evhttp_connection **connections; /* one for each endpoint, made when first needed */
};

struct ralf {
	struct loop *loop;
	struct spool *spool;
	struct metrics *metrics;
	struct evdns_base *dns; /* NULL: all endpoints are addresses, or no server is known */
	struct endpoint *endpoints;
	unsigned endpoint_count;
	struct lane lanes[LANES];
	struct posting window[WINDOW]; /* a ring in the order of the spool */
	unsigned first, count;
	size_t bytes; /* of records that have not ended */
	uint64_t delivered;
	struct timer again; /* an endpoint or a record has rested */
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

/* From `start` on, around. False: none is well; *wait_ms is no more than until the first may be asked again. */
static bool choose_endpoint(const struct ralf *ralf, unsigned start, unsigned *index,
                            uint64_t *wait_ms)
{
	const uint64_t now = loop_now_ms(ralf->loop);

	for (unsigned i = 0; i < ralf->endpoint_count; i++) {
		const unsigned at = (start + i) % ralf->endpoint_count;
		const uint64_t until = ralf->endpoints[at].rests_until_ms;

		if (until <= now) {
			*index = at;
			return true;
		}
		if (until - now < *wait_ms)
			*wait_ms = until - now;
	}
	return false;
}

/* ---- the window ---- */

static struct posting *posting_at(struct ralf *ralf, unsigned i)
{
	return &ralf->window[(ralf->first + i) % WINDOW];
}

static bool is_full(const struct ralf *ralf)
{
	return ralf->count == WINDOW || ralf->bytes >= WINDOW_BYTES_MAX;
}

static void count(struct ralf *ralf, enum charging_result result)
{
	metrics_add(ralf->metrics, METRIC_CHARGING_RECORDS, result, 0, 0, 1);
}

static void posting_end(struct ralf *ralf, struct posting *posting)
{
	posting->state = POSTING_ENDED;
	ralf->bytes -= posting->record.length;
	buffer_free(&posting->record);
}

/* The spool forgets what has ended at the front of the window. */
static void tell_spool(struct ralf *ralf)
{
	struct spool_place place;
	unsigned ended = 0;

	while (ralf->count > 0 && posting_at(ralf, 0)->state == POSTING_ENDED) {
		place = posting_at(ralf, 0)->place;
		posting_at(ralf, 0)->state = POSTING_FREE;
		ralf->first = (ralf->first + 1) % WINDOW;
		ralf->count--;
		ended++;
	}
	if (ended > 0)
		spool_done(ralf->spool, &place, ended);
}

/* The record without its marks. */
static struct slice record_of(const struct posting *posting)
{
	struct slice record = buffer_slice(&posting->record);

	while (record.length > 0 && record.data[0] == FAULT_MARK)
		record = slice_skip(record, 1);
	return record;
}

static void read_record(struct posting *posting, uint64_t delivered)
{
	const struct slice record = record_of(posting);

	posting->faults = (unsigned)(posting->record.length - record.length);
	posting->failures = posting->faults;
	posting->rests_until_ms = 0;
	posting->delivered_read = posting->delivered_before = delivered;
}

/* Fill the window from the spool. */
static void take_records(struct ralf *ralf)
{
	while (!is_full(ralf)) {
		struct posting *posting = posting_at(ralf, ralf->count);
		int err = spool_read(ralf->spool, &posting->place, &posting->record);

		if (err != 0)
			return; /* -ENOENT, or out of memory: the next record wakes us */
		read_record(posting, ralf->delivered);
		posting->state = POSTING_WAITS;
		ralf->bytes += posting->record.length;
		ralf->count++;
		if (slice_index(record_of(posting), ' ') <= 0) /* none of ours */
			posting_end(ralf, posting);
	}
}

static int append_marked(struct ralf *ralf, const struct posting *posting)
{
	const char mark = FAULT_MARK;
	const struct slice record = record_of(posting);
	struct buffer text;
	int err;

	buffer_init(&text);
	for (unsigned i = 0; i < posting->faults; i++)
		buffer_append(&text, &mark, 1);
	buffer_append(&text, record.data, record.length);
	err = text.failed ? -ENOMEM : spool_append(ralf->spool, buffer_slice(&text));
	buffer_free(&text);
	return err;
}

/* The first of a full window has failed while others were delivered: it stops them no longer, but waits behind all.
 * Where there is no room it stays, as long as it has not failed too often. */
static void put_first_behind(struct ralf *ralf)
{
	struct posting *first;

	while (is_full(ralf)) {
		first = posting_at(ralf, 0);
		if (first->state != POSTING_WAITS || first->failures == 0 ||
		    first->delivered_read == ralf->delivered)
			return;
		if (append_marked(ralf, first) != 0) {
			if (first->failures < FAULTS_MAX)
				return;
			count(ralf, CHARGING_REFUSED);
		}
		posting_end(ralf, first);
		tell_spool(ralf);
	}
}

/* ---- posting ---- */

/* It will never be taken. Overload passes (408, 429). */
static bool is_refusal(int status)
{
	return status >= 400 && status < 500 && status != 408 && status != 429;
}

/* Overload passes, and so does what fails behind Ralf (502, 503, 504). */
static bool may_be_the_record(int status)
{
	return status == 0 || (status >= 500 && (status < 502 || status > 504));
}

static void posting_failed(struct lane *lane, struct posting *posting, int status)
{
	struct ralf *ralf = lane->ralf;
	const bool suspect = may_be_the_record(status);

	posting->state = POSTING_WAITS;
	posting->failures++; /* the next is asked first */
	if (suspect && ralf->delivered != posting->delivered_before)
		posting->faults++;
	posting->delivered_before = ralf->delivered;
	if (posting->faults >= FAULTS_MAX) {
		log_warning("charging: a record is given up, Ralf has failed over it %u times and "
		            "took others",
		            posting->faults);
		count(ralf, CHARGING_REFUSED);
		posting_end(ralf, posting);
		return;
	}
	count(ralf, CHARGING_RETRIED);
	if (posting->faults > 1)
		posting->rests_until_ms = loop_now_ms(ralf->loop) + FAULT_REST_MS / 2 +
		                          random_below(FAULT_REST_MS / 2 + 1);
	/* Who took others meanwhile is well. */
	if (!suspect || ralf->endpoints[lane->endpoint].delivered == lane->delivered_before)
		endpoint_failed(ralf, lane->endpoint, status);
}

static void on_answer(struct evhttp_request *request, void *arg)
{
	struct lane *lane = arg;
	struct ralf *ralf = lane->ralf;
	struct posting *posting = lane->posting;
	const int status = request != NULL ? evhttp_request_get_response_code(request) : 0;

	ASSERT(posting != NULL && posting->state == POSTING_UNDER_WAY);
	lane->posting = NULL;
	if (status >= 200 && status < 300) {
		endpoint_well(ralf, lane->endpoint);
		count(ralf, CHARGING_DELIVERED);
		ralf->delivered++;
		ralf->endpoints[lane->endpoint].delivered++;
		posting_end(ralf, posting);
	} else if (is_refusal(status)) {
		endpoint_well(ralf, lane->endpoint);
		count(ralf, CHARGING_REFUSED);
		posting_end(ralf, posting);
	} else {
		posting_failed(lane, posting, status);
	}
	/* Not from inside libevent's callback: it has not finished with this connection. */
	timer_start(loop_timers(ralf->loop), &ralf->soon, 0);
}

static struct evhttp_connection *connection_of(struct lane *lane)
{
	struct ralf *ralf = lane->ralf;
	const struct ralf_endpoint *to = ralf->endpoints[lane->endpoint].settings;
	const struct timeval timeout = {POST_TIMEOUT_MS / 1000, POST_TIMEOUT_MS % 1000 * 1000};
	struct evhttp_connection **connection = &lane->connections[lane->endpoint];

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

static int fill_request(const struct lane *lane, struct slice record,
                        struct evhttp_request *request)
{
	const struct ralf_endpoint *to = lane->ralf->endpoints[lane->endpoint].settings;
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

/* Over the lane and to the endpoint that it names. False: out of memory; another time. */
static bool post(struct lane *lane, struct posting *posting)
{
	struct evhttp_connection *connection = connection_of(lane);
	const struct slice record = record_of(posting);
	struct evhttp_request *request;
	struct buffer path;
	bool made;

	if (connection == NULL)
		return false;
	request = evhttp_request_new(on_answer, lane);
	if (request == NULL)
		return false;
	buffer_init(&path);
	buffer_append_string(&path, "/call-id/");
	buffer_append(&path, record.data, (size_t)slice_index(record, ' '));
	buffer_append(&path, "", 1);
	made = !path.failed && fill_request(lane, record, request) == 0;
	if (!made) {
		evhttp_request_free(request);
	} else {
		posting->state = POSTING_UNDER_WAY;
		lane->posting = posting;
		lane->delivered_before = lane->ralf->endpoints[lane->endpoint].delivered;
		/* It takes the request, and frees it when it fails; then nobody is called. */
		made = evhttp_make_request(connection, request, EVHTTP_REQ_POST, path.data) == 0;
		if (!made) {
			posting->state = POSTING_WAITS;
			lane->posting = NULL;
		}
	}
	buffer_free(&path);
	return made;
}

static struct lane *free_lane(struct ralf *ralf)
{
	for (unsigned i = 0; i < LANES; i++)
		if (ralf->lanes[i].posting == NULL)
			return &ralf->lanes[i];
	return NULL;
}

static void work(struct ralf *ralf)
{
	const uint64_t now = loop_now_ms(ralf->loop);
	uint64_t wait_ms = UINT64_MAX;
	struct lane *lane;

	tell_spool(ralf);
	put_first_behind(ralf);
	take_records(ralf);
	lane = free_lane(ralf);
	for (unsigned i = 0; lane != NULL && i < ralf->count; i++) {
		struct posting *posting = posting_at(ralf, i);

		if (posting->state != POSTING_WAITS)
			continue;
		if (posting->rests_until_ms > now) {
			if (posting->rests_until_ms - now < wait_ms)
				wait_ms = posting->rests_until_ms - now;
			continue;
		}
		if (!choose_endpoint(ralf, posting->failures, &lane->endpoint, &wait_ms))
			break;
		if (!post(lane, posting)) {
			endpoint_failed(ralf, lane->endpoint, 0);
			timer_start(loop_timers(ralf->loop), &ralf->soon, 0);
			return;
		}
		lane = free_lane(ralf);
	}
	if (wait_ms != UINT64_MAX)
		timer_start(loop_timers(ralf->loop), &ralf->again, wait_ms);
}

static void on_work(struct timer *timer, void *arg)
{
	work(arg);
}

void ralf_wake(struct ralf *ralf)
{
	if (!is_full(ralf) && !timer_is_running(&ralf->soon))
		timer_start(loop_timers(ralf->loop), &ralf->soon, 0);
}

unsigned ralf_busy(const struct ralf *ralf)
{
	unsigned busy = 0;

	for (unsigned i = 0; i < LANES; i++)
		busy += ralf->lanes[i].posting != NULL;
	return busy;
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

static int create_lanes(struct ralf *ralf)
{
	for (unsigned i = 0; i < WINDOW; i++)
		buffer_init(&ralf->window[i].record);
	for (unsigned i = 0; i < LANES; i++) {
		struct lane *lane = &ralf->lanes[i];

		lane->ralf = ralf;
		lane->connections =
			memory_zalloc(ralf->endpoint_count * sizeof(*lane->connections));
		if (lane->connections == NULL)
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
	err = ralf->endpoints != NULL ? create_lanes(ralf) : -ENOMEM;
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
	for (unsigned i = 0; i < LANES; i++) {
		struct lane *lane = &r->lanes[i];

		for (unsigned e = 0; lane->connections != NULL && e < r->endpoint_count; e++)
			if (lane->connections[e] != NULL)
				evhttp_connection_free(lane->connections[e]);
		memory_free(lane->connections);
	}
	for (unsigned i = 0; i < WINDOW; i++)
		buffer_free(&r->window[i].record);
	if (r->dns != NULL) {
		/* A connection whose name is still being asked for is held by the question, which is told of the end
		 * in the base's next turn and by then lets go. */
		evdns_base_free(r->dns, 1);
		event_base_loop(loop_base(r->loop), EVLOOP_NONBLOCK);
	}
	memory_free(r->endpoints);
	memory_free(r);
}
