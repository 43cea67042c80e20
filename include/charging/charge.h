/*
 * What a billing record says of one request and its final answer: a value, lent, made on a worker's thread.
 * TS 32.260 5.2 (which record when), TS 32.299 (what stands in it).
 */
#ifndef BONO_CHARGING_CHARGE_H
#define BONO_CHARGING_CHARGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

/* Values of Accounting-Record-Type (RFC 6733 9.8.1). */
enum charge_type { CHARGE_EVENT = 1, CHARGE_START, CHARGE_INTERIM, CHARGE_STOP };

struct charge {
	enum charge_type type;
	bool terminating; /* the client is the called one */
	int status;       /* the final answer */
	uint64_t request_wall_ms, response_wall_ms;
	struct slice method, call_id;
	struct slice icid;        /* empty: none known */
	struct slice from, to;    /* URIs */
	struct slice request_uri; /* as it came */
	struct slice user;        /* URI of the client whom we serve; empty: not known */
	struct slice access;      /* its P-Access-Network-Info; empty: none */
	int64_t expires;          /* seconds asked; -1: none */
};

struct charge_settings {  /* lent */
	const char *node; /* icid-generated-at, Origin */
	const char *ioi;  /* orig-ioi of requests we put into the network; NULL: none */
	const char *const *ccf, *const *ecf;
	unsigned ccf_count, ecf_count;
};

/* Appends "ESCAPED-CALL-ID JSON" as ralf.h sends it. -ENOMEM. */
int charge_write(const struct charge *charge, const struct charge_settings *settings,
                 struct buffer *out);

#endif
