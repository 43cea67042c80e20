/*
 * The values of the labels, in the order of the enumerations that they stand for. Those of layers above are
 * spelt here again, since this layer cannot see them; a test at the proxy compares. Pure, any thread.
 */
#include "base/error.h"
#include "metrics_internal.h"

static const char *const side[] = {"access", "core"};
static const char *const transport[] = {"udp", "tcp", "tls", "ws", "wss"};
static const char *const method[] = {
	"REGISTER", "INVITE",  "ACK",       "CANCEL", "BYE",     "OPTIONS", "PRACK", "UPDATE",
	"INFO",     "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER",   "other",
};
static const char *const code_class[] = {"1xx", "2xx", "3xx", "4xx", "5xx", "6xx"};
static const char *const transaction_kind[] = {"server", "client"};
static const char *const lost_reason[] = {"no_target", "deadline", "timeout", "internal", "other"};
static const char *const rejected_class[] = {"request", "response", "connection", "packet"};
static const char *const rejected_reason[] = {
	"not_registered",
	"forged_token",
	"flow_failed",
	"no_route",
	"not_allowed_method",
	"loop",
	"too_many_hops",
	"unsupported_scheme",
	"bad_extension",
	"bad_request",
	"transactions_limit",
	"flows_limit",
	"connections_limit",
	"not_allowed_peer",
	"draining",
	"stray_response",
	"bad_route",
	"oversize",
	"queue_full",
	"address_limit",
	"descriptors",
	"originating",
	"off_net",
	"emergency",
	"interval",
	"restoration",
	"privacy",
	"other",
};
static const char *const parse_error_reason[] = {
	"too_large",
	"too_many_headers",
	"header_too_long",
	"too_many_items",
	"nul",
	"bare_cr",
	"bare_lf",
	"no_end",
	"unparsable",
	"bad_version",
	"bad_header",
	"missing_header",
	"duplicate_header",
	"cseq_mismatch",
	"bad_length",
	"bad_status",
	"no_memory",
	"frame_too_long",
	"frame_no_length",
	"frame_bad_length",
	"frame_bad_bytes",
	"frame_slow",
	"frame_protocol",
	"frame_not_utf8",
	"other",
};
static const char *const target_state[] = {
	"UNKNOWN", "UP", "DEGRADED", "OVERLOADED", "DOWN", "DRAINING",
};
static const char *const health_reason[] = {
	"none",          "start",          "probes_answered", "probes_lost",
	"probe_refused", "probe_tls",      "probe_503",       "traffic_refused",
	"traffic_reset", "traffic_silent", "traffic_503",     "retry_after_over",
	"operator",      "one_way",        "trial",           "trial_passed",
	"slow",          "lossy",          "sound",           "removed",
	"named",
};
static const char *const dns_result[] = {"good", "negative", "failed"};
static const char *const charging_result[] = {"written", "lost", "delivered", "refused", "retried"};
static const char *const failover_reason[] = {
	"refused", "reset", "silent", "timeout", "overloaded", "other",
};
static const char *const flow_close[] = {
	"connection", "deregistered", "expired", "idle",
	"replaced",   "crowded",      "silent",  "shutdown",
};
static const char *const stun_result[] = {
	"answered",  "refused",   "other_method",    "no_request",
	"no_cookie", "malformed", "bad_fingerprint",
};
static const char *const deregistration_result[] = {
	"done", "refused", "failed", "returned", "dropped",
};
static const char *const reg_subscribe_result[] = {
	"accepted",
	"refused",
	"failed",
	"dropped",
};
static const char *const reg_notify_result[] = {
	"taken", "applied", "stale", "gap", "unknown", "malformed",
};
static const char *const close_reason[] = {
	"peer",      "reset", "refused",    "unreachable",  "connect_timeout", "frame_too_long",
	"frame_bad", "slow",  "queue_full", "idle",         "silent",          "limit",
	"local",     "tls",   "websocket",  "proxy_header",
};

static const char *const tls_result[] = {
	"ok",
	"resumed",
	"timeout",
	"peer_closed",
	"no_shared_version",
	"no_shared_cipher",
	"protocol",
	"no_client_certificate",
	"unknown_ca",
	"expired",
	"not_yet_valid",
	"wrong_name",
	"other_certificate",
	"peer_alert",
	"not_tls",
	"budget",
	"other",
};

static const char *const tls_reload[] = {"loaded", "refused"};
static const char *const upgrade_result[] = {
	"accepted",       "bad_request", "bad_method", "not_asked", "bad_version",
	"no_subprotocol", "bad_origin",  "too_large",  "slow",
};

#define VALUES(name, values)                                                                       \
	{                                                                                          \
		name, values, ARRAY_LENGTH(values)                                                 \
	}
static const struct {
	const char *name;
	const char *const *values; /* NULL: named at run time */
	unsigned count;
} labels[LABELS] = {
	[LABEL_NONE] = {"", NULL, 1},
	[LABEL_SIDE] = VALUES("side", side),
	[LABEL_TRANSPORT] = VALUES("transport", transport),
	[LABEL_METHOD] = VALUES("method", method),
	[LABEL_CODE_CLASS] = VALUES("code_class", code_class),
	[LABEL_TRANSACTION_KIND] = VALUES("kind", transaction_kind),
	[LABEL_LOST_REASON] = VALUES("reason", lost_reason),
	[LABEL_REJECTED_CLASS] = VALUES("class", rejected_class),
	[LABEL_REJECTED_REASON] = VALUES("reason", rejected_reason),
	[LABEL_PARSE_ERROR_REASON] = VALUES("reason", parse_error_reason),
	[LABEL_TARGET_STATE] = VALUES("state", target_state),
	[LABEL_TARGET_STATE_TO] = VALUES("to", target_state),
	[LABEL_HEALTH_REASON] = VALUES("reason", health_reason),
	[LABEL_FAILOVER_REASON] = VALUES("reason", failover_reason),
	[LABEL_FLOW_CLOSE] = VALUES("reason", flow_close),
	[LABEL_STUN_RESULT] = VALUES("result", stun_result),
	[LABEL_DEREGISTRATION_RESULT] = VALUES("result", deregistration_result),
	[LABEL_REG_SUBSCRIBE_RESULT] = VALUES("result", reg_subscribe_result),
	[LABEL_REG_NOTIFY_RESULT] = VALUES("result", reg_notify_result),
	[LABEL_CLOSE_REASON] = VALUES("reason", close_reason),
	[LABEL_TLS_RESULT] = VALUES("result", tls_result),
	[LABEL_TLS_RELOAD] = VALUES("result", tls_reload),
	[LABEL_CERTIFICATE] = {"name", NULL, METRICS_CERTIFICATES_MAX},
	[LABEL_TARGET] = {"target", NULL, METRICS_TARGETS_MAX},
	[LABEL_SITE] = {"site", NULL, METRICS_SITES_MAX},
	[LABEL_SITE_FROM] = {"from_site", NULL, METRICS_SITES_MAX},
	[LABEL_SITE_TO] = {"to_site", NULL, METRICS_SITES_MAX},
	[LABEL_DNS_NAME] = {"name", NULL, METRICS_NAMES_MAX},
	[LABEL_DNS_RESULT] = VALUES("result", dns_result),
	[LABEL_CHARGING_RESULT] = VALUES("result", charging_result),
	[LABEL_UPGRADE_RESULT] = VALUES("result", upgrade_result),
	[LABEL_LOOP] = {"loop", NULL, 1},
};

/* The sizes that the shape of a set is made of (metrics.c) cannot be read from the tables above at compile
 * time, so they are said twice; here they are held together. */
_Static_assert(ARRAY_LENGTH(rejected_reason) == REJECTED_OTHER + 1, "a reason without a name");
_Static_assert(ARRAY_LENGTH(rejected_class) == REJECTED_CLASS_PACKET + 1, "a class without a name");
_Static_assert(ARRAY_LENGTH(parse_error_reason) == PARSE_ERROR_OTHER + 1,
               "a reason without a name");
_Static_assert(ARRAY_LENGTH(failover_reason) == FAILOVER_OTHER + 1, "a reason without a name");
_Static_assert(ARRAY_LENGTH(upgrade_result) == UPGRADE_RESULTS, "a result without a name");
_Static_assert(ARRAY_LENGTH(tls_result) == TLS_RESULT_OTHER + 1, "a result without a name");
_Static_assert(ARRAY_LENGTH(lost_reason) == LOST_OTHER + 1, "a reason without a name");

unsigned metrics_label_size(enum metrics_label label)
{
	return labels[label].count;
}

const char *metrics_label_value(enum metrics_label label, unsigned index)
{
	if (labels[label].values == NULL || index >= labels[label].count)
		return NULL;
	return labels[label].values[index];
}

const char *metrics_label_name(enum metrics_label label)
{
	return labels[label].name;
}
