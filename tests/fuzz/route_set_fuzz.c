/*
 * A mark and the entries behind it as a client may send them, one a line, the token first, then the mark: none is ours;
 * and what we mark we know again, whatever the entries are.
 */
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "sip/flow_token.h"
#include "sip/route_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = {'f', 'u', 'z', 'z'};
	struct slice rest = slice_of((const char *)data, size), token, given;
	struct route_set_registration registration, again;
	char mark[ROUTE_SET_MARK_SIZE];
	struct route_set set;
	struct uri uri;
	size_t length;

	flow_token_key_set(key);
	token = slice_split(rest, '\n', &rest);
	given = slice_split(rest, '\n', &rest);
	route_set_begin(&set);
	while (!slice_is_empty(rest)) {
		if (uri_parse(slice_split(rest, '\n', &rest), &uri))
			route_set_add(&set, &uri);
	}
	length = set.length;
	ASSERT(!route_set_check(&set, token, given, &registration));
	route_set_registration(token, given, 1, &registration);
	if (!route_set_mark(&set, token, &registration, mark))
		return 0;
	ASSERT(set.length == length);
	ASSERT(route_set_check(&set, token, slice_from_string(mark), &again));
	ASSERT(memcmp(registration.bytes, again.bytes, sizeof(again.bytes)) == 0);
	ASSERT(slice_is_empty(given) || route_set_registration_is(&again, token, given, 1));
	return 0;
}
