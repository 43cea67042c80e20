/*
 * The mark in our Record-Route entry, by which a client's Route is known again: this client was given this
 * route set by us. RFC 3261 12.1, 16.6 step 4, 16.12; TS 24.229 5.2.6.3 and 5.2.6.4 ask a P-CSCF to hold
 * clients to the route set of their dialog; a mark lets it do so without remembering dialogs.
 *
 * A mark is 24 letters of base32 (RFC 4648 6, read in any case since RFC 3261 19.1.4 compares parameters so): 5 bytes
 * that name the registration, 10 of HMAC-SHA256 over those, the flow token and every entry beyond ours. What
 * user agents may change without meaning it is not under the MAC: the order of URI parameters, upper and
 * lower case outside the user part, escapes.
 * No allocation. Thread-safe after flow_token_key_load.
 */
#ifndef BONO_SIP_ROUTE_SET_H
#define BONO_SIP_ROUTE_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "sip/uri.h"

/* The URI parameter that carries the mark. */
#define ROUTE_SET_PARAM "rs"
#define ROUTE_SET_MARK_SIZE 25 /* with its NUL */
#define ROUTE_SET_TEXT_MAX 4096

/* Which registration of RFC 5626 a dialog belongs to, so that it outlives its flow: a keyed hash of address-of-record,
 * instance and reg-id. All zero: none of those, the dialog ends with its flow. */
struct route_set_registration {
	uint8_t bytes[5];
	bool is_of_previous_key;
};
/* instance empty or reg_id 0: all zero. */
void route_set_registration(struct slice aor, struct slice instance, uint32_t reg_id,
                            struct route_set_registration *out);
bool route_set_registration_is(const struct route_set_registration *given, struct slice aor,
                               struct slice instance, uint32_t reg_id);

/* The entries beyond ours, in the order in which the client's Route has them. */
struct route_set {
	size_t length;
	unsigned count;
	bool failed; /* too long to be marked */
	char text[ROUTE_SET_TEXT_MAX];
};
void route_set_begin(struct route_set *set);
void route_set_add(struct route_set *set, const struct uri *uri);

/* False: it failed, nothing is written. */
bool route_set_mark(struct route_set *set, struct slice token,
                    const struct route_set_registration *registration,
                    char mark[ROUTE_SET_MARK_SIZE]);
/* True if we made this mark, with the key of today or the previous one, for these entries and this token;
 * *registration is what it names. */
bool route_set_check(struct route_set *set, struct slice token, struct slice mark,
                     struct route_set_registration *registration);

#endif
