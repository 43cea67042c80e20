/*
 * A subscription of ours to the registration state of one user, for the files reg_*.c alone. RFC 3680, RFC 6665,
 * TS 24.229 5.2.3. Worker thread only.
 */
#ifndef BONO_PROXY_REG_EVENT_H
#define BONO_PROXY_REG_EVENT_H

#include "proxy_internal.h"
#include "sip/reginfo.h"
#include "sip/watch_token.h"

enum reg_watch_state {
	REG_WATCH_NEW,      /* just born */
	REG_WATCH_WAITING,  /* for its turn to send a SUBSCRIBE */
	REG_WATCH_ASKING,   /* the SUBSCRIBE has no final answer yet */
	REG_WATCH_STANDING, /* NOTIFYs come; the timer looks after it */
	REG_WATCH_RESTING,  /* it failed or was refused; the timer begins anew */
};

/* About 500 bytes with its strings. */
struct reg_watch {
	struct hash_link by_id, by_aor;
	struct list_link waiting; /* REG_WATCH_WAITING */
	struct timer timer;
	struct proxy *proxy; /* lent */
	uint64_t id, flow_id;
	enum reg_watch_state state; /* written by reg_watch_set_state alone */
	bool accepted;              /* the notifier has it: there is a dialog, counted */
	bool ending;                /* nothing is registered any more: Expires 0 */
	bool heard;                 /* a NOTIFY came in this dialog */
	bool ended_early;           /* the notifier ended it before its 2xx came */
	bool awaits_full;           /* a NOTIFY was missed */
	bool has_version, has_remote_cseq;
	uint32_t version, remote_cseq; /* of the last NOTIFY */
	uint32_t cseq;                 /* of our last SUBSCRIBE */
	uint32_t min_expires_s;        /* a 423 said so; 0: none did */
	unsigned failures;             /* in a row */
	uint32_t asked_s;              /* its Expires */
	uint64_t asked_ms, refresh_ms;
	uint64_t call[2], local_tag;
	char *aor, *to; /* owned; of the binding; the URI of the default identity */
	char *remote_tag, *target, *routes; /* owned; of the dialog; NULL: not known, none */
};

#define REG_CALL_ID_SIZE 37
struct slice reg_watch_call_id(const struct reg_watch *watch, char text[REG_CALL_ID_SIZE]);
const struct binding *reg_watch_binding(struct proxy *proxy, const struct reg_watch *watch);
struct reg_watch *reg_watch_find(struct proxy *proxy, uint64_t id);
void reg_watch_queue(struct proxy *proxy, struct reg_watch *watch);
/* The dialog is over: again in a new one, later each time it happens; never sooner than min_ms. */
void reg_watch_restart(struct proxy *proxy, struct reg_watch *watch, uint64_t min_ms);
/* Its user is registered here no more. May free it. */
void reg_watch_end(struct proxy *proxy, struct reg_watch *watch);
void reg_watch_free(struct proxy *proxy, struct reg_watch *watch);
/* The notifier says how long it lasts. */
void reg_watch_lasts(struct proxy *proxy, struct reg_watch *watch, uint64_t seconds);

/* ---- reg_subscribe.c ---- */

/* The request, and where it is to go. NULL: no memory. */
struct bytes *reg_subscribe_write(struct proxy *proxy, const struct reg_watch *watch,
                                  uint32_t expires_s, struct request_plan *plan);
/* The Sprout that the dialog leads to; NULL: none that we know. */
const struct view_target *reg_subscribe_target(const struct proxy *proxy,
                                               const struct reg_watch *watch);
/* What a 2xx says of the dialog. 0, -ENOMEM, or -EINVAL: nothing that one could go on with. */
int reg_subscribe_learn(struct reg_watch *watch, const struct message *response);

#endif
