/*
 * The guard before sofia's parser. Pure, any thread.
 * That parser takes comma lists by recursion (a 65 kB Contact needs more than 256 KiB of stack) and
 * walks all headers for each header it adds (a 65 kB datagram of short lines: 0.6 s), so both are
 * bounded here. A CR or LF alone ends a line for some parsers and not for others: refused, lest two
 * elements read two messages out of the same bytes.
 */
#include "sip/guard.h"

#include "sip_internal.h"

/* A header line needs three bytes ("a:\n" ...), so no count beyond this is worth the walk. */
#define GUARD_LINES_COUNTED 4096

static const char *const verdict_names[GUARD_VERDICTS] = {
	[GUARD_PASS] = "pass",
	[GUARD_TOO_LARGE] = "too_large",
	[GUARD_TOO_MANY_HEADERS] = "too_many_headers",
	[GUARD_HEADER_TOO_LONG] = "header_too_long",
	[GUARD_TOO_MANY_ITEMS] = "too_many_items",
	[GUARD_NUL] = "nul",
	[GUARD_BARE_CR] = "bare_cr",
	[GUARD_BARE_LF] = "bare_lf",
	[GUARD_NO_END] = "no_end",
};

const char *guard_verdict_name(enum guard_verdict verdict)
{
	return (unsigned)verdict < GUARD_VERDICTS ? verdict_names[verdict] : "unknown";
}

static unsigned count_commas(const char *from, const char *to)
{
	unsigned commas = 0;

	while (from < to && (from = memchr(from, ',', (size_t)(to - from))) != NULL) {
		commas++;
		from++;
	}
	return commas;
}

/* One whole header, folds included. */
static enum guard_verdict check_header(const char *from, const char *to)
{
	if ((size_t)(to - from) > GUARD_HEADER_BYTES)
		return GUARD_HEADER_TOO_LONG;
	/* A header that is shorter than the limit cannot hold as many commas. */
	if (to - from > GUARD_HEADER_COMMAS && count_commas(from, to) > GUARD_HEADER_COMMAS)
		return GUARD_TOO_MANY_ITEMS;
	return GUARD_PASS;
}

/* The LF that ends the line at `from`, or NULL. What is wrong with it goes to *verdict: a line with a CR in its
 * midst has its end, and those after it theirs. */
static const char *line_end(const char *from, const char *end, enum guard_verdict *verdict)
{
	const char *lf = memchr(from, '\n', (size_t)(end - from));
	const char *cr;

	if (lf == NULL) {
		*verdict = GUARD_NO_END;
		return NULL;
	}
	cr = memchr(from, '\r', (size_t)(lf - from));
	if (cr == NULL) {
		*verdict = GUARD_BARE_LF;
		return NULL;
	}
	if (cr != lf - 1)
		*verdict = GUARD_BARE_CR;
	return lf[-1] == '\r' ? lf : NULL;
}

/* Keeps the first fault found; the walk goes on, so that the lines of a refused message are counted
 * and it can be answered. */
static void note(struct guard_scan *out, enum guard_verdict verdict)
{
	if (out->verdict == GUARD_PASS)
		out->verdict = verdict;
}

void guard_scan(struct slice message, size_t limit_bytes, struct guard_scan *out)
{
	const char *at = message.data, *end = message.data + message.length;
	const char *header = message.data;
	bool first = true;

	*out = (struct guard_scan){.verdict = GUARD_PASS};
	if (message.length > limit_bytes) {
		out->verdict = GUARD_TOO_LARGE;
		return;
	}
	if (message.length == 0) {
		out->verdict = GUARD_NO_END;
		return;
	}
	for (;; first = false) {
		enum guard_verdict broken = GUARD_PASS;
		const char *lf = line_end(at, end, &broken);

		if (lf == NULL) {
			out->verdict = broken;
			return;
		}
		note(out, broken);
		if (*at != ' ' && *at != '\t') { /* not a fold: the header before is whole */
			note(out, check_header(header, at));
			header = at;
			if (lf == at + 1)
				break;
			if (!first && ++out->lines == GUARD_HEADER_LINES + 1)
				note(out, GUARD_TOO_MANY_HEADERS);
			if (out->lines > GUARD_LINES_COUNTED)
				return;
		}
		at = lf + 1;
	}
	out->header_bytes = (size_t)(at - message.data) + 2;
	if (memchr(message.data, '\0', out->header_bytes) != NULL)
		note(out, GUARD_NUL);
}

enum guard_verdict guard_check(struct slice message, size_t limit_bytes)
{
	struct guard_scan scan;

	guard_scan(message, limit_bytes, &scan);
	return scan.verdict;
}
