/*
 * Sending on a hop of another worker: the bytes go there by letter. The only file of this layer that crosses
 * threads.
 */
#include "base/error.h"
#include "base/memory.h"
#include "transport_internal.h"

struct send_letter {
	struct letter letter;
	struct hop hop;
	struct bytes *bytes; /* with no other reference: the count is not atomic */
};

static void drop(struct letter *letter)
{
	struct send_letter *send = CONTAINER_OF(letter, struct send_letter, letter);

	bytes_release(&send->bytes);
	memory_free(send);
}

static void deliver(struct letter *letter, void *arg)
{
	struct send_letter *send = CONTAINER_OF(letter, struct send_letter, letter);
	struct transport *transport = arg;

	/* Gone in the meantime: to the sender a loss as on the network. */
	(void)transport_send(transport, &send->hop, &send->bytes);
	drop(letter);
}

int remote_send(struct transport *transport, const struct hop *hop, struct bytes **bytes)
{
	struct transport *owner;
	struct send_letter *send;
	int err;

	ASSERT(transport->siblings != NULL && hop->worker < transport->settings.workers);
	owner = transport->siblings[hop->worker];
	send = memory_zalloc(sizeof(*send));
	if (send == NULL)
		return -ENOMEM;
	send->letter.deliver = deliver;
	send->letter.drop = drop;
	send->letter.arg = owner;
	send->hop = *hop;
	if ((*bytes)->references == 1) {
		send->bytes = *bytes;
		*bytes = NULL;
	} else {
		send->bytes = bytes_copy(bytes_slice(*bytes));
	}
	err = send->bytes != NULL ? loop_post(owner->loop, &send->letter) : -ENOMEM;
	if (err != 0)
		drop(&send->letter);
	return err;
}
