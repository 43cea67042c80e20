/*
 * Our own addresses that wildcard listeners were reached by, numbered so that a hop can carry one in a
 * byte: an answer must leave from the address the request came to, or a NAT before the client drops it.
 * Worker thread only.
 */
#include "base/error.h"
#include "base/memory.h"
#include "transport_internal.h"

uint8_t local_number(struct transport *transport, const struct address *address)
{
	struct local *local;

	for (unsigned i = 0; i < transport->local_count; i++) {
		if (address_equal(&transport->locals[i]->address, address))
			return (uint8_t)(i + 1);
	}
	if (transport->local_count == LOCALS_MAX)
		return 0;
	local = memory_zalloc(sizeof(*local));
	if (local == NULL)
		return 0; /* the kernel chooses, as on any host with one address */
	local->address = *address;
	address_format(address, local->text);
	transport->locals[transport->local_count++] = local;
	return (uint8_t)transport->local_count;
}

const struct local *local_find(const struct transport *transport, uint8_t number)
{
	if (number == 0 || number > transport->local_count)
		return NULL;
	return transport->locals[number - 1];
}

void locals_free(struct transport *transport)
{
	while (transport->local_count > 0)
		memory_free(transport->locals[--transport->local_count]);
}
