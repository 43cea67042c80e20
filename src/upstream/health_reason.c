/*
 * The names of reasons: for metrics and JSON, and in words for people. Pure, any thread.
 */
#include "upstream/health.h"

#include "base/error.h"

static const struct {
	const char *name, *words;
} reasons[HEALTH_REASONS] = {
	[HEALTH_REASON_NONE] = {"none", "none"},
	[HEALTH_REASON_START] = {"start", "not probed yet"},
	[HEALTH_REASON_PROBES_ANSWERED] = {"probes_answered", "probes answered"},
	[HEALTH_REASON_PROBES_LOST] = {"probes_lost", "probes lost"},
	[HEALTH_REASON_PROBE_REFUSED] = {"probe_refused", "probe refused"},
	[HEALTH_REASON_PROBE_TLS] = {"probe_tls", "TLS failed"},
	[HEALTH_REASON_PROBE_503] = {"probe_503", "probe answered 503"},
	[HEALTH_REASON_TRAFFIC_REFUSED] = {"traffic_refused", "request refused"},
	[HEALTH_REASON_TRAFFIC_RESET] = {"traffic_reset", "connections reset"},
	[HEALTH_REASON_TRAFFIC_SILENT] = {"traffic_silent", "requests unanswered"},
	[HEALTH_REASON_TRAFFIC_503] = {"traffic_503", "requests answered 503"},
	[HEALTH_REASON_RETRY_AFTER_OVER] = {"retry_after_over", "Retry-After over"},
	[HEALTH_REASON_OPERATOR] = {"operator", "operator"},
	[HEALTH_REASON_ONE_WAY] = {"one_way", "probes answered, requests not"},
	[HEALTH_REASON_TRIAL] = {"trial", "on trial with a small share"},
	[HEALTH_REASON_TRIAL_PASSED] = {"trial_passed", "trial passed"},
	[HEALTH_REASON_SLOW] = {"slow", "slower than the others of its site"},
	[HEALTH_REASON_LOSSY] = {"lossy", "fails more requests than the others of its site"},
	[HEALTH_REASON_SOUND] = {"sound", "as good as the others again"},
	[HEALTH_REASON_REMOVED] = {"removed", "no longer named by configuration or DNS"},
	[HEALTH_REASON_NAMED] = {"named", "named again by configuration or DNS"},
};

const char *health_reason_name(enum health_reason reason)
{
	ASSERT(reason < HEALTH_REASONS);
	return reasons[reason].name;
}

const char *health_reason_words(enum health_reason reason)
{
	ASSERT(reason < HEALTH_REASONS);
	return reasons[reason].words;
}
