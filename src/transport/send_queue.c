/*
 * What waits to be written on one stream: a ring of counted bytes, the first of them perhaps half written.
 * A few places stand in the queue itself, since an idle connection must be small and a busy one seldom
 * has more waiting. Worker thread only.
 */
#include <string.h>
#include <sys/uio.h>

#include "base/error.h"
#include "base/memory.h"
#include "transport_internal.h"

void send_queue_init(struct send_queue *queue)
{
	memset(queue, 0, sizeof(*queue));
	queue->items = queue->few;
	queue->capacity = SEND_QUEUE_INLINE;
}

static struct bytes **item_at(const struct send_queue *queue, unsigned i)
{
	return &queue->items[(queue->first + i) & (queue->capacity - 1)]; /* a power of two */
}

static void back_to_few(struct send_queue *queue)
{
	if (queue->items != queue->few)
		memory_free(queue->items);
	queue->items = queue->few;
	queue->capacity = SEND_QUEUE_INLINE;
	queue->first = 0;
}

void send_queue_free(struct send_queue *queue)
{
	for (unsigned i = 0; i < queue->count; i++)
		bytes_release(item_at(queue, i));
	queue->count = 0;
	queue->bytes = queue->offset = 0;
	back_to_few(queue);
}

static int grow(struct send_queue *queue)
{
	const unsigned capacity = queue->capacity * 2;
	struct bytes **items;

	items = memory_alloc(capacity * sizeof(struct bytes *));
	if (items == NULL)
		return -ENOMEM;
	for (unsigned i = 0; i < queue->count; i++)
		items[i] = *item_at(queue, i);
	back_to_few(queue);
	queue->items = items;
	queue->capacity = capacity;
	return 0;
}

int send_queue_push(struct send_queue *queue, struct bytes **bytes)
{
	int err;

	if (queue->count == queue->capacity) {
		err = grow(queue);
		if (err != 0)
			return err;
	}
	queue->bytes += (*bytes)->length;
	*item_at(queue, queue->count++) = *bytes;
	*bytes = NULL;
	return 0;
}

unsigned send_queue_pieces(const struct send_queue *queue, struct iovec *pieces)
{
	const unsigned count = queue->count < FLUSH_BATCH ? queue->count : FLUSH_BATCH;

	for (unsigned i = 0; i < count; i++) {
		struct bytes *bytes = *item_at(queue, i);

		pieces[i] = (struct iovec){bytes->data, bytes->length};
	}
	if (count > 0) {
		pieces[0].iov_base = (char *)pieces[0].iov_base + queue->offset;
		pieces[0].iov_len -= queue->offset;
	}
	return count;
}

void send_queue_written(struct send_queue *queue, size_t length)
{
	ASSERT(length <= queue->bytes);
	queue->bytes -= length;
	queue->offset += length;
	while (queue->count > 0 && queue->offset >= (*item_at(queue, 0))->length) {
		queue->offset -= (*item_at(queue, 0))->length;
		bytes_release(item_at(queue, 0));
		queue->first = (queue->first + 1) & (queue->capacity - 1);
		queue->count--;
	}
	if (queue->count == 0)
		back_to_few(queue);
}
