/*
 * The response context of a proxied request: one branch for each contact, in parallel; several flows of one
 * instance one after the other. RFC 3261 16.5 to 16.8, RFC 5626 7. Lives as long as one of its transactions.
 * The Sprout's thread.
 */
#include "sprout_sim.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "sip/reply.h"

/* Timer C, RFC 3261 16.6 step 11: more than three minutes. */
#define TIMER_C_MS 185000
/* Contacts of one address-of-record, or the one next hop of a Route. */
#define FORK_BRANCHES_MAX 16
/* What a branch counts as when its edge or its flow is gone: the user is not here now. */
#define STATUS_AWAY 480
#define STATUS_FLOW_FAILED 430

struct fork_branch {
	struct fork *fork;
	struct client_txn *txn; /* NULL: not begun, or over */
	struct slice uri;       /* new Request-URI; empty: it stays. In fork->text */
	struct slice path;      /* its Routes, one list; empty: none */
	struct slice instance;  /* branches of one instance are tried one at a time; empty: alone */
	bool begun;
	int status; /* final answer; 0: none yet */
};

struct fork {
	struct list_link link; /* in sprout->forks */
	struct sprout *sprout;
	struct server_txn *server; /* NULL: over */
	struct bytes *
		request; /* flat, ready but for Request-URI, Route and Via; NULL once all have begun */
	struct hop hop; /* it came by */
	uint64_t hash;
	enum sip_method method;
	struct timer timer_c;
	bool answered;      /* a final answer has been passed */
	bool cancelled;     /* no further branch begins */
	int best_status;    /* 0: none */
	struct bytes *best; /* NULL: made by ourselves */
	unsigned held;      /* calls that still need this memory */
	unsigned branch_count;
	struct fork_branch branches[FORK_BRANCHES_MAX];
	char *text; /* what the branches' slices point into */
};

/* ---- life ---- */

static void fork_free(struct fork *fork)
{
	list_remove(&fork->sprout->forks, &fork->link);
	timer_stop(loop_timers(fork->sprout->loop), &fork->timer_c);
	bytes_release(&fork->request);
	bytes_release(&fork->best);
	memory_free(fork->text);
	memory_free(fork);
}

static void fork_hold(struct fork *fork)
{
	fork->held++;
}

/* Let go; the memory goes with the last transaction and the last call. */
static void fork_let_go(struct fork *fork)
{
	ASSERT(fork->held > 0);
	if (--fork->held > 0 || fork->server != NULL)
		return;
	for (unsigned i = 0; i < fork->branch_count; i++)
		if (fork->branches[i].txn != NULL)
			return;
	fork_free(fork);
}

void fork_drop_all(struct sprout *sprout)
{
	LIST_FOR_EACH_SAFE(link, &sprout->forks)
		fork_free(CONTAINER_OF(link, struct fork, link));
}

static void on_server_ended(void *arg, struct server_txn *txn)
{
	struct fork *fork = arg;

	(void)txn;
	fork_hold(fork);
	fork->server = NULL;
	fork_let_go(fork);
}

static void on_client_ended(void *arg, struct client_txn *txn)
{
	struct fork_branch *branch = arg;
	struct fork *fork = branch->fork;

	(void)txn;
	fork_hold(fork);
	branch->txn = NULL;
	fork_let_go(fork);
}

/* ---- the answer (RFC 3261 16.7) ---- */

/* Step 6: a 6xx decides; else the lowest class; within 4xx those that help the client to try again. */
static int rank(int status)
{
	static const int helpful[] = {401, 407, 415, 420, 484};

	if (status >= 600)
		return 0;
	for (unsigned i = 0; i < ARRAY_LENGTH(helpful); i++)
		if (status == helpful[i])
			return 4 * 1000;
	if (status == STATUS_FLOW_FAILED || status == 408)
		return 4 * 1000 + 999; /* says the least */
	return status / 100 * 1000 + 500;
}

static void keep_best(struct fork *fork, int status, struct bytes **response)
{
	if (fork->best_status != 0 && rank(status) >= rank(fork->best_status))
		return;
	fork->best_status = status;
	bytes_release(&fork->best);
	if (response != NULL) {
		fork->best = *response;
		*response = NULL;
	}
}

static void fork_cancel_branches(struct fork *fork, struct slice extra)
{
	fork->cancelled = true;
	if (fork->method != METHOD_INVITE)
		return;
	for (unsigned i = 0; i < fork->branch_count; i++)
		if (fork->branches[i].txn != NULL && fork->branches[i].status == 0)
			client_txn_cancel(fork->branches[i].txn, extra);
}

static bool fork_waits(const struct fork *fork)
{
	for (unsigned i = 0; i < fork->branch_count; i++)
		if (fork->branches[i].begun && fork->branches[i].status == 0)
			return true;
	return false;
}

/* Everybody has answered: the best answer goes back. */
static void answer_best(struct fork *fork)
{
	int status = fork->best_status != 0 ? fork->best_status : STATUS_AWAY;

	if (fork->answered || fork->server == NULL)
		return;
	fork->answered = true;
	timer_stop(loop_timers(fork->sprout->loop), &fork->timer_c);
	if (status == 408 && fork->cancelled)
		status = 487; /* cancelled, and the other side never said so */
	if (status == STATUS_FLOW_FAILED) {
		status = STATUS_AWAY; /* RFC 5626 7: 430 is between the edge and us */
		bytes_release(&fork->best);
	}
	if (status == 503) {
		status = 500; /* 16.7 step 6: the 503 of one client is not ours */
		bytes_release(&fork->best);
	}
	if (fork->best != NULL)
		server_txn_forward(fork->server, status, &fork->best);
	else
		server_txn_reply(fork->server, status, reply_reason(status), SLICE_NONE);
}

/* ---- branches ---- */

static int branch_bytes(struct fork_branch *branch, struct message *request, const struct hop *hop,
                        const char *name, struct bytes **out)
{
	struct fork *fork = branch->fork;
	bool record_route = fork->method == METHOD_INVITE || fork->method == METHOD_SUBSCRIBE ||
	                    fork->method == METHOD_REFER || fork->method == METHOD_NOTIFY;
	struct buffer head;
	int err = 0;

	buffer_init(&head);
	forward_write_head(fork->sprout, &head, hop, name, record_route ? &fork->hop : NULL,
	                   branch->path);
	if (head.failed)
		err = -ENOMEM;
	if (err == 0 && branch->uri.length > 0)
		err = message_set_request_uri(request, branch->uri);
	if (err == 0)
		err = message_prepend_lines(request, buffer_slice(&head));
	buffer_free(&head);
	if (err != 0)
		return err;
	*out = message_serialize(request, hop->transport != TRANSPORT_UDP);
	return *out != NULL ? 0 : -ENOMEM;
}

/* Where this branch goes: the first Route it will have, else its Request-URI (16.6 step 7). */
static int branch_open(const struct fork_branch *branch, const struct message *request,
                       struct hop *out)
{
	struct name_addr route;
	struct slice rest;
	struct uri uri;

	if (branch->path.length > 0) {
		/* a URI of a Path holds no comma: a token, an address, parameters */
		if (!name_addr_parse(slice_trim(slice_split(branch->path, ',', &rest)), &route))
			return -EHOSTUNREACH;
		uri = route.uri;
	} else if (message_address(request, HEADER_ROUTE, 0, &route)) {
		uri = route.uri;
	} else if (branch->uri.length > 0) {
		if (!uri_parse(branch->uri, &uri))
			return -EHOSTUNREACH;
	} else if (message_request_uri(request, &uri) == NULL) {
		return -EHOSTUNREACH;
	}
	if (sprout_is_ours(branch->fork->sprout, &uri))
		return -ELOOP;
	return forward_open(branch->fork->sprout, &uri, out);
}

static const struct client_txn_events client_events;

static int branch_send(struct fork_branch *branch)
{
	struct fork *fork = branch->fork;
	char name[BRANCH_TEXT_MAX];
	struct message *request = NULL;
	struct bytes *bytes = NULL;
	enum guard_verdict verdict;
	struct hop hop;
	int err;

	if (message_parse(bytes_slice(fork->request), fork->request->length, &request, &verdict) !=
	    MESSAGE_SOUND) {
		message_destroy(&request);
		return -ENOMEM; /* it was sound when it came */
	}
	err = branch_open(branch, request, &hop);
	if (err == 0) {
		branch_mint(&fork->sprout->branches, fork->hash, name);
		err = branch_bytes(branch, request, &hop, name, &bytes);
	}
	message_destroy(&request);
	if (err == 0)
		err = client_txn_create(fork->sprout->txns, fork->method, name, &hop, &bytes,
		                        &client_events, branch, &branch->txn);
	bytes_release(&bytes);
	return err;
}

/* RFC 5626 7: the next flow of the same instance, when this one has failed. */
static struct fork_branch *next_flow(const struct fork_branch *failed)
{
	struct fork *fork = failed->fork;

	if (failed->instance.length == 0 || fork->cancelled)
		return NULL;
	for (unsigned i = 0; i < fork->branch_count; i++)
		if (!fork->branches[i].begun &&
		    slice_equal(fork->branches[i].instance, failed->instance))
			return &fork->branches[i];
	return NULL;
}

/* Begin the branch; if it cannot even be sent, the next flow of its instance. */
static void branch_begin(struct fork_branch *branch)
{
	struct fork *fork = branch->fork;

	while (branch != NULL) {
		branch->begun = true;
		if (branch_send(branch) == 0)
			return;
		branch->status = STATUS_FLOW_FAILED;
		keep_best(fork, STATUS_FLOW_FAILED, NULL);
		branch = next_flow(branch);
	}
}

static bool instance_has_begun(const struct fork *fork, struct slice instance)
{
	if (instance.length == 0)
		return false;
	for (unsigned i = 0; i < fork->branch_count; i++)
		if (fork->branches[i].begun && slice_equal(fork->branches[i].instance, instance))
			return true;
	return false;
}

static void fork_begin(struct fork *fork)
{
	for (unsigned i = 0; i < fork->branch_count; i++)
		if (!fork->branches[i].begun &&
		    !instance_has_begun(fork, fork->branches[i].instance))
			branch_begin(&fork->branches[i]);
	if (!fork_waits(fork))
		answer_best(fork);
}

/* A final answer other than 2xx, or none at all. */
static void branch_ended(struct fork_branch *branch, int status, struct bytes **response)
{
	struct fork *fork = branch->fork;
	struct fork_branch *next = status == STATUS_FLOW_FAILED ? next_flow(branch) : NULL;

	branch->status = status;
	if (next != NULL)
		branch_begin(next);
	else
		keep_best(fork, status, response);
	if (status >= 600)
		fork_cancel_branches(fork, SLICE_NONE); /* 16.7 step 5 */
	if (!fork_waits(fork))
		answer_best(fork);
}

/* ---- what the transactions tell ---- */

static void pass_success(struct fork_branch *branch, int status, struct bytes **response)
{
	struct fork *fork = branch->fork;

	branch->status = status;
	fork->answered = true;
	timer_stop(loop_timers(fork->sprout->loop), &fork->timer_c);
	if (fork->server != NULL)
		server_txn_forward(fork->server, status, response);
	fork_cancel_branches(fork, SLICE_NONE);
}

static void pass_provisional(struct fork *fork, int status, struct bytes **response)
{
	if (fork->answered || fork->server == NULL)
		return;
	if (fork->method == METHOD_INVITE)
		timer_start(loop_timers(fork->sprout->loop), &fork->timer_c, TIMER_C_MS);
	server_txn_forward(fork->server, status, response);
}

static void on_response(void *arg, struct client_txn *txn, struct message **response)
{
	struct fork_branch *branch = arg;
	struct fork *fork = branch->fork;
	int status = message_status(*response);
	struct bytes *bytes = NULL;

	(void)txn;
	if (status == 100)
		return;
	if (message_pop(*response, HEADER_VIA) == 0 && message_count(*response, HEADER_VIA) > 0)
		bytes = message_serialize(*response, fork->hop.transport != TRANSPORT_UDP);
	fork_hold(fork);
	if (bytes == NULL && status < 200)
		log_error("%s: a provisional answer is lost", fork->sprout->name);
	else if (bytes == NULL)
		branch_ended(branch, 500, NULL);
	else if (status < 200)
		pass_provisional(fork, status, &bytes);
	else if (status < 300)
		pass_success(branch, status, &bytes);
	else
		branch_ended(branch, status, &bytes);
	bytes_release(&bytes);
	fork_let_go(fork);
}

static void on_failed(void *arg, struct client_txn *txn, enum txn_failure failure)
{
	struct fork_branch *branch = arg;
	struct fork *fork = branch->fork;

	(void)txn;
	fork_hold(fork);
	if (branch->status == 0)
		branch_ended(branch, failure == TXN_TIMEOUT ? 408 : STATUS_FLOW_FAILED, NULL);
	fork_let_go(fork);
}

static const struct client_txn_events client_events = {on_response, on_failed, on_client_ended};

/* 16.8: ringing for too long ends like a CANCEL of the caller; the 487 that follows is the answer. */
static void on_timer_c(struct timer *timer, void *arg)
{
	struct fork *fork = arg;

	(void)timer;
	fork_hold(fork);
	fork_cancel_branches(fork, SLICE_NONE);
	fork_let_go(fork);
}

static void write_reasons(const struct message *cancel, struct buffer *out)
{
	struct slice value;

	for (unsigned i = 0; message_header_at(cancel, "Reason", i, &value); i++) {
		buffer_append_string(out, "Reason: ");
		buffer_append_slice(out, value);
		buffer_append_string(out, "\r\n");
	}
}

void fork_on_cancel(struct sprout *sprout, struct message *cancel, const struct hop *hop,
                    struct server_txn *invite)
{
	struct fork *fork = server_txn_arg(invite);
	struct buffer reasons;

	sprout_reply(sprout, cancel, hop, 200, SLICE_NONE);
	if (fork == NULL || fork->answered)
		return;
	buffer_init(&reasons);
	write_reasons(cancel, &reasons);
	fork_hold(fork);
	fork_cancel_branches(fork, reasons.failed ? SLICE_NONE : buffer_slice(&reasons));
	fork_let_go(fork);
	buffer_free(&reasons);
}

/* ---- the targets (16.5) ---- */

static void add_branch(struct fork *fork, struct slice uri, struct slice path,
                       struct slice instance)
{
	if (fork->branch_count == FORK_BRANCHES_MAX)
		return;
	fork->branches[fork->branch_count++] =
		(struct fork_branch){.fork = fork, .uri = uri, .path = path, .instance = instance};
}

static struct slice keep_text(char **place, struct slice s)
{
	struct slice kept = slice_of(*place, s.length);

	if (s.length > 0)
		memcpy(*place, s.data, s.length);
	*place += s.length;
	return kept;
}

/* The store may change while we wait: the branches keep their own words. The newest contact goes first. */
static int add_contacts(struct fork *fork, const struct record *record)
{
	size_t length = 1;
	char *place;

	LIST_FOR_EACH(link, &record->contacts) {
		const struct contact *contact = CONTAINER_OF(link, struct contact, link);

		length += contact->uri.length + contact->path.length + contact->instance.length;
	}
	place = fork->text = memory_alloc(length);
	if (place == NULL)
		return 500;
	for (struct list_link *link = record->contacts.head.previous;
	     link != &record->contacts.head; link = link->previous) {
		const struct contact *contact = CONTAINER_OF(link, struct contact, link);
		struct slice uri = keep_text(&place, contact->uri);
		struct slice path = keep_text(&place, contact->path);

		add_branch(fork, uri, path,
		           contact->reg_id != 0 ? keep_text(&place, contact->instance)
		                                : SLICE_NONE);
	}
	return 0;
}

/* Status of our own when the address-of-record leads nowhere: 404 never heard of, 480 away. */
static int add_registered(struct fork *fork, const struct uri *uri)
{
	struct sim *sim = fork->sprout->sim;
	struct record *record;
	struct buffer aor;
	int status;

	buffer_init(&aor);
	uri_canonical(uri, &aor);
	pthread_mutex_lock(&sim->lock);
	peers_sync(sim->peers);
	record = aor.failed ? NULL : store_find(sim->store, buffer_slice(&aor), clock_wall_ms());
	if (record == NULL)
		status = sim->digest != NULL && digest_knows(sim->digest, uri->user) ? STATUS_AWAY
		                                                                     : 404;
	else
		status =
			list_is_empty(&record->contacts) ? STATUS_AWAY : add_contacts(fork, record);
	pthread_mutex_unlock(&sim->lock);
	buffer_free(&aor);
	return status;
}

/* 0, or the status to refuse with. */
static int find_targets(struct fork *fork, const struct message *request)
{
	struct address address;
	struct uri uri;

	if (message_count(request, HEADER_ROUTE) > 0) {
		add_branch(fork, SLICE_NONE, SLICE_NONE, SLICE_NONE);
		return 0;
	}
	if (message_request_uri(request, &uri) == NULL ||
	    (uri.scheme != URI_SIP && uri.scheme != URI_SIPS))
		return 404;
	/* in a dialogue without Record-Route the Request-URI is the other side itself */
	if (message_to_tag(request).length > 0 && !sprout_is_ours(fork->sprout, &uri) &&
	    address_parse_host(uri.host, uri.port, &address)) {
		add_branch(fork, SLICE_NONE, SLICE_NONE, SLICE_NONE);
		return 0;
	}
	return add_registered(fork, &uri);
}

/* What all branches have in common: 16.6 step 3, then flat. */
static int fork_keep_request(struct fork *fork, struct message *request)
{
	int hops = message_max_forwards(request);
	int err = message_set_max_forwards(request, hops < 0 ? 70 : (unsigned)hops - 1);

	if (err != 0)
		return err;
	fork->request = message_serialize(request, false);
	return fork->request != NULL ? 0 : -ENOMEM;
}

static int fork_create(struct sprout *sprout, struct message *request, const struct hop *hop,
                       uint64_t hash, struct fork **out)
{
	struct fork *fork = memory_zalloc(sizeof(*fork));

	if (fork == NULL)
		return -ENOMEM;
	fork->sprout = sprout;
	fork->hop = *hop;
	fork->hash = hash;
	fork->method = message_method(request);
	timer_init(&fork->timer_c, on_timer_c, fork);
	list_append(&sprout->forks, &fork->link);
	*out = fork;
	return 0;
}

void fork_request(struct sprout *sprout, struct message **request, const struct hop *hop,
                  uint64_t hash)
{
	static const struct server_txn_events events = {on_server_ended};
	struct hop back = sprout_way_back(*request, hop);
	struct fork *fork;
	int status;

	if (fork_create(sprout, *request, hop, hash, &fork) != 0) {
		sprout_refuse(sprout, *request, hop, 503, SLICE_LITERAL("Retry-After: 5\r\n"));
		return;
	}
	fork_hold(fork);
	status = find_targets(fork, *request);
	if (status != 0)
		sprout_refuse(sprout, *request, hop, status, SLICE_NONE);
	else if (server_txn_create(sprout->txns, *request, hop, &back, &events, fork,
	                           &fork->server) != 0)
		sprout_reply(sprout, *request, hop, 503, SLICE_LITERAL("Retry-After: 5\r\n"));
	else if (fork_keep_request(fork, *request) != 0)
		server_txn_reply(fork->server, 500, reply_reason(500), SLICE_NONE);
	else
		fork_begin(fork);
	message_destroy(request);
	fork_let_go(fork);
}
