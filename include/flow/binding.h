/*
 * A binding: what a 2xx to REGISTER taught us about one address-of-record on one flow.
 * RFC 3261 10.3, RFC 3608 (Service-Route), RFC 7315 (P-Associated-URI), RFC 5626.
 */
#ifndef BONO_FLOW_BINDING_H
#define BONO_FLOW_BINDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/*
 * What the REGISTER asked; taken from the request when it passed, kept in its response context.
 * A request may move a contact (the old one with expires=0, the new one without): the contacts that shall
 * live are meant then; only if none shall live, those that go are named and requested_s is 0.
 */
struct registration {
	char *aor;      /* canonical To URI; owned */
	char *contacts; /* "\n"-separated contact URIs as written; owned; "*"; "": none (a query) */
	char *instance; /* +sip.instance of the first of them; owned; NULL: none */
	/* The private identity that the credentials name; owned; NULL: no credentials, or several names. */
	char *username;
	uint32_t reg_id;      /* of the first; 0: none */
	uint32_t requested_s; /* expiry asked: contact param, Expires header, else 3600; "*": 0 */
};

struct message;
/* 0, -ENOMEM, or -EINVAL: the To or a Contact cannot be read, or there are more than 16 Contacts (400). */
int registration_read(const struct message *request, struct registration *out);
/* The one username that all Authorization lines name; false: none, or they differ. */
bool registration_username(const struct message *request, struct slice *out);
void registration_free(struct registration *registration); /* fine twice, fine when zeroed */

struct binding;

struct slice binding_aor(const struct binding *binding);
uint64_t binding_expires_ms(const struct binding *binding); /* loop time */
uint64_t binding_learnt_ms(const struct binding *binding);  /* loop time of the last 2xx */
/* Default identity as a name-addr ("<sip:alice@example.net>"): first P-Associated-URI, else the AoR. */
struct slice binding_default_identity(const struct binding *binding);
/* All identities as name-addrs, the default first; without a P-Associated-URI the AoR is the only one. */
unsigned binding_identity_count(const struct binding *binding);
struct slice binding_identity(const struct binding *binding, unsigned index);
/* The value of Service-Route exactly as one comma-separated list, order kept; empty: none was given. */
struct slice binding_service_route(const struct binding *binding);
struct slice binding_contact(const struct binding *binding);
struct slice binding_instance(const struct binding *binding); /* empty: none */
/* The private identity whose REGISTER made or last refreshed it with credentials; as it stands between its quotes.
 * Empty: none ever came. */
struct slice binding_username(const struct binding *binding);
uint32_t binding_reg_id(const struct binding *binding);
/* Its S-CSCF is lost, and the client was told so: see flow_restore. */
bool binding_is_restoring(const struct binding *binding);
/* It has instance and reg-id: the client speaks RFC 5626. Then its key is a hash of AoR, instance and reg-id under a
 * key of the process: the same at all workers, unknown to everyone outside. */
bool binding_has_key(const struct binding *binding);
uint64_t binding_key(const struct binding *binding);

#endif
