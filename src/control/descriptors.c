/*
 * Descriptors of the process: as many as the system lets us have, and how many of them clients may take.
 * Main thread, before the workers are made.
 */
#include <limits.h>
#include <sys/resource.h>

#include "base/error.h"
#include "base/log.h"
#include "control_internal.h"

/* What the process itself needs in bad times: standard streams, the log, epoll and event descriptors of
 * control, the admin port and those who look at it, DNS. */
#define RESERVE_PROCESS 64
/* And each worker: its listeners, a connection to each of some dozens of Sprouts, and what these open to it. */
#define RESERVE_WORKER 64
/* Where there are few, most of them still are for clients. */
#define RESERVE_PART 4

static unsigned for_clients(rlim_t all, unsigned workers)
{
	rlim_t reserve = RESERVE_PROCESS + (rlim_t)RESERVE_WORKER * workers;

	if (reserve > all / RESERVE_PART)
		reserve = all / RESERVE_PART;
	return all - reserve < UINT_MAX ? (unsigned)(all - reserve) : UINT_MAX;
}

unsigned descriptors_settle(const struct config *config)
{
	struct rlimit limit;
	unsigned clients;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 0;
	if (limit.rlim_cur < limit.rlim_max) {
		const rlim_t before = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
			log_warning("descriptors: the limit of %llu stays, %s",
			            (unsigned long long)before, error_text(-errno));
			limit.rlim_cur = before;
		}
	}
	clients = for_clients(limit.rlim_cur, config->workers);
	if (clients < config->limit_connections)
		log_warning("descriptors: the process may have %llu, so at most %u connections of "
		            "clients, less than limits.connections %llu",
		            (unsigned long long)limit.rlim_cur, clients,
		            (unsigned long long)config->limit_connections);
	return clients;
}
