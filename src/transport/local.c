/*
 * Our own addresses that wildcard listeners were reached by, numbered so that a hop can carry one in a
 * byte: an answer must leave from the address the request came to, or a NAT before the client drops it.
 * Worker thread only.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* A datagram socket that is connected sends nothing, but the kernel has chosen its address then. */
static bool route_lookup(const struct address *peer, struct address *local)
{
	socklen_t length = sizeof(*local);
	int fd = socket(peer->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool found;

	if (fd < 0)
		return false;
	memset(local, 0, sizeof(*local));
	found = connect(fd, &peer->any, address_length(peer)) == 0 &&
	        getsockname(fd, &local->any, &length) == 0;
	close(fd);
	return found;
}

uint8_t local_toward(struct transport *transport, const struct listener *listener,
                     const struct address *peer)
{
	struct address local;

	if (!listener->advertises_wildcard || !route_lookup(peer, &local))
		return 0;
	address_set_port(&local, address_port(&listener->bound));
	return local_number(transport, &local);
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
