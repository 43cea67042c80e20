/*
 * What a registrar tells of registrations: application/reginfo+xml, RFC 3680 5. Pure functions, any thread.
 */
#ifndef BONO_SIP_REGINFO_H
#define BONO_SIP_REGINFO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* RFC 3680 5.1 */
enum reginfo_state { REGINFO_INIT, REGINFO_ACTIVE, REGINFO_TERMINATED };

/* RFC 3680 3.2 and 5.2: why a contact is in its state. */
enum reginfo_event {
	REGINFO_REGISTERED,
	REGINFO_CREATED,
	REGINFO_REFRESHED,
	REGINFO_SHORTENED,
	REGINFO_EXPIRED,
	REGINFO_DEACTIVATED,
	REGINFO_PROBATION,
	REGINFO_UNREGISTERED,
	REGINFO_REJECTED,
	REGINFO_EVENTS
};
const char *reginfo_event_name(enum reginfo_event event);

struct reginfo_contact {
	enum reginfo_state state; /* never REGINFO_INIT */
	enum reginfo_event event;
	int64_t expires; /* seconds, -1: not said */
	struct slice uri;
	struct slice
		instance; /* unknown-param +sip.instance without quotes (RFC 5628); empty: not said */
	uint32_t reg_id; /* unknown-param reg-id; 0: not said */
};

struct reginfo_registration {
	struct slice aor; /* as written */
	enum reginfo_state state;
	unsigned first, count; /* of reginfo.contacts */
};

struct reginfo {
	uint32_t version;
	bool full;
	struct reginfo_registration *registrations;
	struct reginfo_contact *contacts;
	unsigned registration_count, contact_count;
};

/* 0; -EINVAL: no reginfo document, or one that says nothing certain; -E2BIG: beyond the limits of reginfo.c;
 * -ENOMEM. The slices are the value's own. */
int reginfo_parse(struct slice body, struct reginfo **out);
void reginfo_free(struct reginfo **reginfo); /* NULL inside is fine */

#endif
