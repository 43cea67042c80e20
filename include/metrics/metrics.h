/*
 * Counters of one loop (worker or control): written by it alone with relaxed stores, summed by whoever
 * reads. One padded set per loop, so that no cache line is shared. The table is metrics/counters.def:
 *
 *	METRIC(KIND, IDENT, "name", LABELS, "help")
 *
 * KIND: COUNTER, GAUGE (summed over loops), GAUGE_US (the same; set in microseconds, written in
 * seconds) or HISTOGRAM (base unit seconds, observed in microseconds).
 * Labels are small enumerations (metrics_label), so a series is an index, never a string.
 * Metrics with the label TARGET are indexed by the target's id (upstream/view.h), those with SITE by the
 * site's index. A metric with the label LOOP belongs to the writer's own loop: pass 0.
 */
#ifndef BONO_METRICS_METRICS_H
#define BONO_METRICS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum metric {
#define METRIC(kind, ident, name, labels, help) METRIC_##ident,
#include "metrics/counters.def"
#undef METRIC
	METRICS
};

#define METRICS_LOOPS_MAX 257 /* 256 workers (the owner's number in a branch has 8 bits), control */
#define METRICS_SITES_MAX 32  /* config/schema.c allows no more */
#define METRICS_TARGETS_MAX 1024 /* VIEW_TARGETS_MAX */
#define METRICS_CERTIFICATES_MAX 64
#define METRICS_NAMES_MAX 256 /* of DNS: config/check.c allows no more */

/*
 * Labels. Most values are those of an enumeration that lives above this layer (named here) and keep its
 * order; tests/unit/proxy/metric_labels_test.c compares. The rest is enumerated below.
 */
enum metrics_label {
	LABEL_NONE,
	LABEL_SIDE,                  /* enum side */
	LABEL_TRANSPORT,             /* enum sip_transport */
	LABEL_METHOD,                /* enum sip_method */
	LABEL_CODE_CLASS,            /* metrics_code_class */
	LABEL_TRANSACTION_KIND,      /* enum transaction_kind */
	LABEL_LOST_REASON,           /* enum lost_reason */
	LABEL_REJECTED_CLASS,        /* enum rejected_class */
	LABEL_REJECTED_REASON,       /* enum rejected_reason */
	LABEL_PARSE_ERROR_REASON,    /* enum parse_error_reason */
	LABEL_TARGET_STATE,          /* enum target_state, as label state */
	LABEL_TARGET_STATE_TO,       /* enum target_state, as label to */
	LABEL_HEALTH_REASON,         /* enum health_reason */
	LABEL_FAILOVER_REASON,       /* enum failover_reason */
	LABEL_FLOW_CLOSE,            /* enum flow_close */
	LABEL_STUN_RESULT,           /* enum stun_result */
	LABEL_DEREGISTRATION_RESULT, /* enum deregistration_result */
	LABEL_REG_SUBSCRIBE_RESULT,  /* enum reg_subscribe_result */
	LABEL_REG_NOTIFY_RESULT,     /* enum reg_notify_result */
	LABEL_CLOSE_REASON,          /* enum close_reason */
	LABEL_TLS_RESULT,            /* enum tls_result */
	LABEL_TLS_RELOAD,            /* enum tls_reload */
	LABEL_CERTIFICATE,           /* metrics_name_certificate */
	LABEL_TARGET,                /* metrics_name_target */
	LABEL_SITE,                  /* metrics_name_site */
	LABEL_SITE_FROM,             /* the same, as label from_site */
	LABEL_SITE_TO,               /* the same, as label to_site */
	LABEL_DNS_NAME,              /* metrics_name_dns */
	LABEL_DNS_RESULT,            /* enum dns_result */
	LABEL_CHARGING_RESULT,       /* enum charging_result */
	LABEL_UPGRADE_RESULT,        /* enum upgrade_result */
	LABEL_LOOP,                  /* metrics_create */
	LABELS
};

/* 180: 0 ... 6xx: 5. */
static inline unsigned metrics_code_class(int status)
{
	return (unsigned)status / 100 - 1;
}

enum transaction_kind { TRANSACTION_KIND_SERVER, TRANSACTION_KIND_CLIENT };

enum lost_reason { LOST_NO_TARGET, LOST_DEADLINE, LOST_TIMEOUT, LOST_INTERNAL, LOST_OTHER };

enum rejected_class {
	REJECTED_CLASS_REQUEST,
	REJECTED_CLASS_RESPONSE,
	REJECTED_CLASS_CONNECTION,
	REJECTED_CLASS_PACKET
};

enum rejected_reason {
	REJECTED_NOT_REGISTERED,
	REJECTED_FORGED_TOKEN,
	REJECTED_FLOW_FAILED,
	REJECTED_NO_ROUTE,
	REJECTED_NOT_ALLOWED_METHOD,
	REJECTED_LOOP,
	REJECTED_TOO_MANY_HOPS,
	REJECTED_UNSUPPORTED_SCHEME,
	REJECTED_BAD_EXTENSION,
	REJECTED_BAD_REQUEST,
	REJECTED_TRANSACTIONS_LIMIT,
	REJECTED_FLOWS_LIMIT,
	REJECTED_CONNECTIONS_LIMIT,
	REJECTED_NOT_ALLOWED_PEER,
	REJECTED_DRAINING,
	REJECTED_STRAY_RESPONSE,
	REJECTED_BAD_ROUTE,
	REJECTED_OVERSIZE,
	REJECTED_QUEUE_FULL,
	REJECTED_ADDRESS_LIMIT, /* too many connections from one address */
	REJECTED_DESCRIPTORS,   /* the rest of them is our own reserve */
	REJECTED_ORIGINATING,   /* a trunk asks to be served as a caller of ours */
	REJECTED_OFF_NET,       /* the core names a stranger */
	REJECTED_EMERGENCY,     /* an emergency registration or call that we do not take */
	REJECTED_INTERVAL,      /* 422 */
	REJECTED_RESTORATION,   /* who was told to register anew has not */
	REJECTED_PRIVACY,       /* critical, and not ours to give */
	REJECTED_OTHER
};

enum failover_reason {
	FAILOVER_REFUSED,
	FAILOVER_RESET,
	FAILOVER_SILENT,     /* no first answer in time */
	FAILOVER_TIMEOUT,    /* the transaction timed out */
	FAILOVER_OVERLOADED, /* 503 */
	FAILOVER_OTHER
};

/* How a TLS handshake ended. */
enum tls_result {
	TLS_RESULT_OK,
	TLS_RESULT_RESUMED,
	TLS_RESULT_TIMEOUT,
	TLS_RESULT_PEER_CLOSED,
	TLS_RESULT_NO_SHARED_VERSION,
	TLS_RESULT_NO_SHARED_CIPHER,
	TLS_RESULT_PROTOCOL,
	TLS_RESULT_NO_CLIENT_CERTIFICATE,
	TLS_RESULT_UNKNOWN_CA,
	TLS_RESULT_EXPIRED,
	TLS_RESULT_NOT_YET_VALID,
	TLS_RESULT_WRONG_NAME,
	TLS_RESULT_OTHER_CERTIFICATE,
	TLS_RESULT_PEER_ALERT, /* the peer refused us */
	TLS_RESULT_NOT_TLS,    /* plain SIP or HTTP on a TLS port */
	TLS_RESULT_BUDGET,     /* too many under way */
	TLS_RESULT_OTHER
};

enum deregistration_result {
	DEREGISTRATION_DONE,     /* 2xx */
	DEREGISTRATION_REFUSED,  /* any other answer of the registrar */
	DEREGISTRATION_FAILED,   /* no answer */
	DEREGISTRATION_RETURNED, /* not sent: the client had come back */
	DEREGISTRATION_DROPPED /* not sent: too many at once, no memory, or this node was stopping */
};

enum reg_subscribe_result {
	REG_SUBSCRIBE_ACCEPTED, /* 2xx */
	REG_SUBSCRIBE_REFUSED,  /* an answer that trying again does not change soon */
	REG_SUBSCRIBE_FAILED,   /* no answer, or one that another time may be better */
	REG_SUBSCRIBE_DROPPED   /* not sent: too many wait, or no memory */
};

enum reg_notify_result {
	REG_NOTIFY_TAKEN,   /* nothing of ours changed */
	REG_NOTIFY_APPLIED, /* a registration ended, lost an identity or became shorter */
	REG_NOTIFY_STALE,   /* older than one that came before */
	REG_NOTIFY_GAP,     /* one before it is missing: the whole state is asked for */
	REG_NOTIFY_UNKNOWN, /* 481: of no subscription of ours */
	REG_NOTIFY_MALFORMED
};

enum tls_reload { TLS_RELOAD_LOADED, TLS_RELOAD_REFUSED };

enum dns_result {
	DNS_RESULT_GOOD,
	DNS_RESULT_NEGATIVE, /* no such name, no such record: what was known is kept */
	DNS_RESULT_FAILED /* no answer, or none that could be used, to some question of it at least */
};

/* How an HTTP request on a WebSocket listener ended (RFC 6455 4.2). */
enum upgrade_result {
	UPGRADE_ACCEPTED,
	UPGRADE_BAD_REQUEST,    /* 400 */
	UPGRADE_BAD_METHOD,     /* 405: no GET */
	UPGRADE_NOT_ASKED,      /* 426: a plain request */
	UPGRADE_BAD_VERSION,    /* 426: no version 13 */
	UPGRADE_NO_SUBPROTOCOL, /* 400: sip is not offered */
	UPGRADE_BAD_ORIGIN,     /* 403 */
	UPGRADE_TOO_LARGE,      /* 413 */
	UPGRADE_SLOW,           /* 408 */
	UPGRADE_RESULTS
};

enum charging_result {
	CHARGING_WRITTEN, /* to the spool */
	CHARGING_LOST,    /* no room for it, or the disk failed */
	CHARGING_DELIVERED,
	CHARGING_REFUSED, /* by Ralf, for good: given up */
	CHARGING_RETRIED  /* not taken this time: another Ralf, or later */
};

/* The guard's verdicts but GUARD_PASS, the message's faults but SOUND and GUARDED, the framer's. */
enum parse_error_reason {
	PARSE_ERROR_TOO_LARGE,
	PARSE_ERROR_TOO_MANY_HEADERS,
	PARSE_ERROR_HEADER_TOO_LONG,
	PARSE_ERROR_TOO_MANY_ITEMS,
	PARSE_ERROR_NUL,
	PARSE_ERROR_BARE_CR,
	PARSE_ERROR_BARE_LF,
	PARSE_ERROR_NO_END,
	PARSE_ERROR_UNPARSABLE,
	PARSE_ERROR_BAD_VERSION,
	PARSE_ERROR_BAD_HEADER,
	PARSE_ERROR_MISSING_HEADER,
	PARSE_ERROR_DUPLICATE_HEADER,
	PARSE_ERROR_CSEQ_MISMATCH,
	PARSE_ERROR_BAD_LENGTH,
	PARSE_ERROR_BAD_STATUS,
	PARSE_ERROR_NO_MEMORY,
	PARSE_ERROR_FRAME_TOO_LONG,
	PARSE_ERROR_FRAME_NO_LENGTH,
	PARSE_ERROR_FRAME_BAD_LENGTH,
	PARSE_ERROR_FRAME_BAD_BYTES,
	PARSE_ERROR_FRAME_SLOW,
	PARSE_ERROR_FRAME_PROTOCOL, /* WebSocket: RFC 6455 broken */
	PARSE_ERROR_FRAME_NOT_UTF8, /* WebSocket: a text message */
	PARSE_ERROR_OTHER
};
/* enum guard_verdict (not GUARD_PASS), enum message_fault (not SOUND, GUARDED), enum framer_verdict (from
 * FRAMER_TOO_LONG on) as the label of bono_parse_errors_total. */
static inline unsigned metrics_guard_reason(unsigned guard_verdict)
{
	return PARSE_ERROR_TOO_LARGE + guard_verdict - 1;
}
static inline unsigned metrics_fault_reason(unsigned message_fault)
{
	return PARSE_ERROR_UNPARSABLE + message_fault - 2;
}
static inline unsigned metrics_framer_reason(unsigned framer_verdict)
{
	return PARSE_ERROR_FRAME_TOO_LONG + framer_verdict - 4;
}

/* How many values a label has (of TARGET, SITE: how many there is room for), and their texts; NULL beyond
 * the last, and for labels that are named at run time. */
unsigned metrics_label_size(enum metrics_label label);
const char *metrics_label_value(enum metrics_label label, unsigned index);

struct metrics;          /* one loop's set */
struct metrics_registry; /* all of them, and the names of targets and sites */

int metrics_registry_create(struct metrics_registry **out);
void metrics_registry_destroy(struct metrics_registry **registry);
/* A new set for one loop, owned by the registry. loop_name labels bono_loop_lag_seconds. Before the
 * threads start. -ENOSPC beyond METRICS_LOOPS_MAX. */
int metrics_create(struct metrics_registry *registry, const char *loop_name, struct metrics **out);

/* Label indices in the order of the labels in counters.def; unused ones 0. Out of range: counted under
 * the label value "other" (the last) where the label has one, else ASSERT. metrics NULL: nothing. */
void metrics_add(struct metrics *metrics, enum metric metric, unsigned a, unsigned b, unsigned c,
                 int64_t n);
void metrics_set(struct metrics *metrics, enum metric metric, unsigned a, unsigned b, unsigned c,
                 int64_t value);
void metrics_observe_us(struct metrics *metrics, enum metric metric, unsigned a, unsigned b,
                        uint64_t us);
/* The sum over all loops of one series; of a histogram, how many were observed. With the label LOOP: `a`
 * is the loop, in order of metrics_create. Any thread. */
int64_t metrics_read(const struct metrics_registry *registry, enum metric metric, unsigned a,
                     unsigned b, unsigned c);
/* The sum over all series of a metric. Any thread. */
int64_t metrics_total(const struct metrics_registry *registry, enum metric metric);

/* Control names sites, targets and names of DNS; their series are written from then on. Ids as in the view. A name given
 * again replaces the first. -ERANGE beyond the maximum. The thread that calls metrics_write. */
int metrics_name_site(struct metrics_registry *registry, unsigned index, const char *site);
int metrics_name_target(struct metrics_registry *registry, unsigned id, const char *site,
                        const char *target);
/* name NULL: no longer written. */
int metrics_name_certificate(struct metrics_registry *registry, unsigned index, const char *name);
int metrics_name_dns(struct metrics_registry *registry, unsigned index, const char *name);

/* Prometheus text exposition 0.0.4 of everything. */
void metrics_write(const struct metrics_registry *registry, struct buffer *out);
/* docs/METRICS.md from the table. */
void metrics_write_docs(struct buffer *out);

#endif
