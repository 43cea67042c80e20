/*
 * What workers pass each other while SIP is processed: packets whose flow is another's, and the word that a client
 * has come over a new flow. By letter and by value; nobody waits. Each function runs on its worker's own thread.
 */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "worker_internal.h"

/* Packets that other workers passed to this one and it has not yet read: the mailbox counts letters, and what a
 * stranger chooses the length of must be counted in bytes. */
#define PASSED_BYTES_MAX (16u << 20)

/* ---- packets ---- */

struct packet_letter {
	struct letter letter;
	struct hop hop;
	uint64_t moved_key;
	size_t length;
	char data[];
};

static void free_packet(struct packet_letter *posted)
{
	struct worker *to = posted->letter.arg;

	atomic_fetch_sub_explicit(&to->passed_bytes, posted->length, memory_order_relaxed);
	memory_free(posted);
}

static void drop_packet(struct letter *letter)
{
	free_packet(CONTAINER_OF(letter, struct packet_letter, letter));
}

static void deliver_packet(struct letter *letter, void *arg)
{
	struct packet_letter *posted = CONTAINER_OF(letter, struct packet_letter, letter);
	struct worker *worker = arg;
	struct packet packet = {slice_of(posted->data, posted->length), posted->hop};

	proxy_on_passed_packet(worker->proxy, &packet, posted->moved_key);
	free_packet(posted);
}

/* Room for so many bytes more at that worker: taken. */
static bool take_room(struct worker *to, size_t length)
{
	size_t before = atomic_fetch_add_explicit(&to->passed_bytes, length, memory_order_relaxed);

	if (before + length <= PASSED_BYTES_MAX)
		return true;
	atomic_fetch_sub_explicit(&to->passed_bytes, length, memory_order_relaxed);
	return false;
}

void worker_pass_packet(void *arg, uint8_t to, const struct packet *packet, uint64_t moved_key)
{
	struct worker *worker = arg;
	struct packet_letter *letter;
	size_t length = packet->bytes.length;

	if (to >= worker->sibling_count)
		return; /* a number that no worker of ours has */
	letter = memory_alloc(sizeof(*letter) + length);
	if (letter == NULL || !take_room(worker->siblings[to], length)) {
		memory_free(letter);
		metrics_add(worker->metrics, METRIC_REJECTED, REJECTED_CLASS_PACKET,
		            REJECTED_QUEUE_FULL, 0, 1);
		return;
	}
	letter->letter = (struct letter){.deliver = deliver_packet,
	                                 .drop = drop_packet,
	                                 .arg = worker->siblings[to]};
	letter->hop = packet->hop;
	letter->moved_key = moved_key;
	letter->length = length;
	memcpy(letter->data, packet->bytes.data, length);
	if (loop_post(worker->siblings[to]->loop, &letter->letter) != 0)
		free_packet(letter); /* the loop counts it */
}

/* ---- clients that came over a new flow: RFC 5626 5.3 ---- */

struct moves_letter {
	struct letter letter;
	unsigned count;
	struct flow_move moves[];
};

static void drop_moves(struct letter *letter)
{
	memory_free(letter);
}

static void deliver_moves(struct letter *letter, void *arg)
{
	struct moves_letter *posted = CONTAINER_OF(letter, struct moves_letter, letter);
	struct worker *worker = arg;

	for (unsigned i = 0; i < posted->count; i++) {
		proxy_on_client_back(worker->proxy, posted->moves[i].key);
		flow_table_moved(worker->flows, &posted->moves[i]);
	}
	memory_free(posted);
}

/* As many as registrations succeed, which the core bounds. Without memory an old flow lives until it lapses. */
static void post_moves(struct worker *worker, struct worker *to)
{
	const size_t length = worker->move_count * sizeof(worker->moves[0]);
	struct moves_letter *letter = memory_alloc(sizeof(*letter) + length);

	if (letter == NULL)
		return;
	letter->letter = (struct letter){.deliver = deliver_moves, .drop = drop_moves, .arg = to};
	letter->count = worker->move_count;
	memcpy(letter->moves, worker->moves, length);
	loop_post_always(to->loop, &letter->letter);
}

static void tell_moves(struct worker *worker)
{
	for (unsigned i = 0; i < worker->sibling_count; i++)
		if (worker->siblings[i] != worker)
			post_moves(worker, worker->siblings[i]);
	worker->move_count = 0;
}

static void on_moves_soon(struct timer *timer, void *arg)
{
	tell_moves(arg);
}

void worker_tell_move(void *arg, const struct flow_move *move)
{
	struct worker *worker = arg;

	if (worker->sibling_count < 2)
		return;
	worker->moves[worker->move_count++] = *move;
	if (worker->move_count == MOVES_PER_LETTER)
		tell_moves(worker);
	else if (!timer_is_running(&worker->moves_soon))
		timer_start(loop_timers(worker->loop), &worker->moves_soon, 0);
}

void worker_passing_init(struct worker *worker)
{
	timer_init(&worker->moves_soon, on_moves_soon, worker);
}
