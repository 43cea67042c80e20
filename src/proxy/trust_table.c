/*
 * The table of trust, and how a header finds its row. Pure.
 * TS 24.229 4.4 is the list of what may leave or enter the trust domain; clients are outside of it, and so
 * are PBXes and trunks but for what the operator lets them say (identities, since they authenticate elsewhere).
 */
#include <pthread.h>

#include "base/error.h"
#include "proxy/trust.h"

/*
 * Columns: client to core, core to client, trunk to core, core to trunk, PBX to core, core to PBX.
 * '.' passes, 'x' goes, '=' ours takes its place, '?' goes if privacy asks, '-' a part of the value goes.
 */
#define ROW(header, requests, responses, ...)                                                      \
	{                                                                                          \
		.name = {header, sizeof(header) - 1}, .request = (requests),                       \
		.response = (responses), __VA_ARGS__                                               \
	}

static const struct trust_row rows[] = {
	/* ---- who somebody is ---- */
	ROW("P-Asserted-Identity", "=?.?.?", "=?.?.?", .privacy = PRIVACY_ID,
            .why = "RFC 3325 5, 7; 24.229 4.4.2, 5.2.6.3, 5.2.6.4.4"),
	ROW("P-Preferred-Identity", "xxxxxx", "xxxxxx",
            .why = "RFC 3325 9.2: to the first trusted hop only"),
	ROW("P-Asserted-Service", "xxxxxx", "xxxxxx", .why = "RFC 6050 4; 24.229 4.4.5"),
	ROW("P-Preferred-Service", ".xxx.x", ".xxx.x", .why = "RFC 6050 4: the S-CSCF reads it"),
	ROW("P-Associated-URI", "x.xxx.", "x.xxx.",
            .why = "RFC 7315 4.1: of a registrar to its client"),
	ROW("P-Called-Party-ID", "x.xxx.", "x.xxx.",
            .why = "RFC 7315 4.2: of the S-CSCF to the callee"),
	ROW("P-Served-User", "xxxxxx", "xxxxxx", .why = "RFC 5502 6; 24.229 4.4.9"),
	ROW("P-User-Database", "xxxxxx", "xxxxxx", .why = "RFC 4457 4"),
	ROW("P-Profile-Key", "xxxxxx", "xxxxxx", .why = "RFC 5002 4; 24.229 4.4.8"),
	ROW("P-Private-Network-Indication", "xxxxxx", "xxxxxx", .why = "RFC 7316 7; 24.229 4.4.10"),
	ROW("Remote-Party-ID", "x?x?x?", "x?x?x?", .privacy = PRIVACY_ID,
            .why = "what P-Asserted-Identity was before RFC 3325"),
	ROW("Additional-Identity", ".?x?.?", ".?x?.?", .privacy = PRIVACY_ID,
            .why = "24.229 7.2.20"),
	ROW("Identity", ".?.?.?", ".?.?.?", .privacy = PRIVACY_ID,
            .why = "RFC 8224: its PASSporT names the caller"),
	ROW("Identity-Info", ".?.?.?", ".?.?.?", .privacy = PRIVACY_ID,
            .why = "RFC 4474: goes with Identity"),
	ROW("Attestation-Info", "xx..xx", "xx..xx", .why = "24.229 7.2.18: between networks"),
	ROW("Origination-Id", "xx..xx", "xx..xx", .why = "24.229 7.2.19: between networks"),
	ROW("Priority-Verstat", "x...x.", "x...x.",
            .why = "24.229 7.2.21: a verdict of the network"),

	/* ---- where one is, and through which network one came ---- */
	ROW("P-Visited-Network-ID", "=xxxxx", "xxxxxx", .why = "RFC 7315 4.3; 24.229 5.2.2.1"),
	ROW("P-Access-Network-Info", "-xxx-x", "-xxx-x", .part = PART_ACCESS_NETWORK,
            .why = "RFC 7315 4.4: network-provided only by us; 24.229 4.4.3"),
	ROW("Cellular-Network-Info", ".xxx.x", ".xxx.x",
            .why = "24.229 7.2.15: of a UE to its core"),
	ROW("Geolocation", "......", "......", .why = "RFC 6442"),
	ROW("Geolocation-Routing", "......", "......", .why = "RFC 6442"),
	ROW("Path", "=.xxxx", "x.xxxx", .why = "RFC 3327 5.1: of a REGISTER ours alone; 5.3"),
	ROW("Service-Route", "x.xxxx", "x.xxxx", .why = "RFC 3608 5: of a registrar alone"),

	/* ---- charging ---- */
	ROW("P-Charging-Vector", "=x=x=x", "=x=x=x", .why = "RFC 7315 4.6, 5.6; 24.229 5.2.6.3"),
	ROW("P-Charging-Function-Addresses", "=x=x=x", "=x=x=x", .why = "RFC 7315 4.5, 5.5"),
	ROW("Relayed-Charge", "xxxxxx", "xxxxxx", .why = "24.229 7.2.12: within one network"),
	ROW("P-DCS-Trace-Party-ID", "xxxxxx", "xxxxxx", .why = "RFC 5503 4"),
	ROW("P-DCS-OSPS", "xxxxxx", "xxxxxx", .why = "RFC 5503 5"),
	ROW("P-DCS-Billing-Info", "xxxxxx", "xxxxxx", .why = "RFC 5503 6"),
	ROW("P-DCS-LAES", "xxxxxx", "xxxxxx", .why = "RFC 5503 7"),
	ROW("P-DCS-Redirect", "xxxxxx", "xxxxxx", .why = "RFC 5503 7"),

	/* ---- what nodes of the core tell each other ---- */
	ROW("P-Early-Media", "......", "x...x.",
            .why = "RFC 5009 8: a client may ask, the network alone authorises"),
	ROW("P-Answer-State", "x.xxx.", "x.xxx.", .why = "RFC 4964 4"),
	ROW("P-Refused-URI-List", "xxxxxx", "xxxxxx", .why = "RFC 5318 3: between list servers"),
	ROW("Feature-Caps", "x.x.x.", "x.x.x.", .why = "RFC 6809 4.2; 24.229 4.4.13"),
	ROW("Resource-Share", "xxxxxx", "xxxxxx", .why = "24.229 7.2.13"),
	ROW("Restoration-Info", "xxxxxx", "xxxxxx", .why = "24.229 7.2.11"),
	ROW("Service-Interact-Info", "xxxxxx", "xxxxxx", .why = "24.229 7.2.14"),
	ROW("Response-Source", "xxxxxx", "xxxxxx", .why = "24.229 7.2.17"),
	ROW("Resource-Priority", "x...x.", "x...x.",
            .why = "RFC 4412 11: no client here is authorised; 24.229 4.4.6"),
	ROW("Priority", "-.-.-.", "......", .part = PART_PRIORITY,
            .why = "RFC 7090: psap-callback is the network's word; 24.229 4.4.14"),

	/* ---- credentials ---- */
	ROW("Authorization", "-xxx-x", "xxxxxx", .part = PART_AUTHORIZATION,
            .why = "24.229 5.2.2: integrity-protected is ours"),
	ROW("Proxy-Authorization", "-xxx-x", "xxxxxx", .part = PART_PROXY_AUTHORIZATION,
            .why = "24.229 5.2.2: integrity-protected is ours"),
	ROW("WWW-Authenticate", "......", "---.--", .part = PART_WWW_AUTHENTICATE,
            .why = "24.229 5.2.2.1: ck and ik stay here"),
	ROW("Proxy-Authenticate", "......", "---.--", .part = PART_PROXY_AUTHENTICATE,
            .why = "24.229 5.2.2.1: ck and ik stay here"),
	ROW("Authentication-Info", "......", "......", .why = "RFC 3261 20.6"),

	/* ---- privacy ---- */
	ROW("Privacy", "......", "......",
            .why = "RFC 3323 5: who is no privacy service leaves it; RFC 3325 9.3"),
	ROW("History-Info", ".-.-.-", ".-.-.-", .part = PART_HISTORY,
            .why = "RFC 7044 10.1; 24.229 4.4.4"),
	ROW("Diversion", ".?.?.?", ".?.?.?",
            .privacy = PRIVACY_HISTORY | PRIVACY_HEADER | PRIVACY_USER,
            .why = "RFC 5806; as History-Info"),
	ROW("Referred-By", ".?.?.?", ".?.?.?", .privacy = PRIVACY_USER,
            .why = "RFC 3892; RFC 3323 5.3"),
	ROW("Subject", ".?.?.?", ".?.?.?", .privacy = PRIVACY_USER, .why = "RFC 3323 5.3"),
	ROW("Call-Info", ".?.?.?", ".?.?.?", .privacy = PRIVACY_USER, .why = "RFC 3323 5.3"),
	ROW("Organization", ".?.?.?", ".?.?.?", .privacy = PRIVACY_USER | PRIVACY_HEADER,
            .why = "RFC 3323 5.1, 5.3"),
	ROW("User-Agent", ".?.?.?", ".?.?.?", .privacy = PRIVACY_USER, .why = "RFC 3323 5.3"),
	ROW("Server", ".?.?.?", ".?.?.?", .privacy = PRIVACY_USER | PRIVACY_HEADER,
            .why = "RFC 3323 5.1, 5.3"),
	ROW("Reply-To", ".?.?.?", ".?.?.?", .privacy = PRIVACY_USER, .why = "RFC 3323 5.3"),
	ROW("In-Reply-To", ".?.?.?", ".?.?.?", .privacy = PRIVACY_USER, .why = "RFC 3323 5.3"),
	ROW("Warning", ".?.?.?", ".?.?.?", .privacy = PRIVACY_USER | PRIVACY_HEADER,
            .why = "RFC 3323 5.1: it names the host that warns"),
};

/* ---- finding a row ---- */

#define BUCKETS 256 /* a power of two, some times the rows: most names find an empty one */
#define NOTHING 0xff

static struct {
	uint8_t first[BUCKETS];
	uint8_t next[ARRAY_LENGTH(rows)];
} table;
_Static_assert(ARRAY_LENGTH(rows) < NOTHING, "rows are numbered in a byte");

static unsigned bucket_of(struct slice name)
{
	unsigned middle = (unsigned char)name.data[name.length / 2] | 0x20;
	unsigned last = (unsigned char)name.data[name.length - 1] | 0x20;
	unsigned first = (unsigned char)name.data[0] | 0x20;

	return (unsigned)(name.length * 37 + first * 3 + middle * 11 + last * 61) % BUCKETS;
}

static void table_build(void)
{
	memset(table.first, NOTHING, sizeof(table.first));
	for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++) {
		unsigned bucket = bucket_of(rows[i].name);

		table.next[i] = table.first[bucket];
		table.first[bucket] = (uint8_t)i;
	}
}

void trust_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, table_build);
}

const struct trust_row *trust_row_find(struct slice name)
{
	unsigned i;

	if (name.length == 0)
		return NULL;
	for (i = table.first[bucket_of(name)]; i != NOTHING; i = table.next[i]) {
		/* Nearly all write it as it is registered. */
		if (slice_equal(rows[i].name, name) || slice_equal_nocase(rows[i].name, name))
			return &rows[i];
	}
	return NULL;
}

const struct trust_row *trust_rows(unsigned *count)
{
	*count = ARRAY_LENGTH(rows);
	return rows;
}

/* ---- crossings ---- */

static const char *const crossing_names[CROSSINGS] = {
	[CROSSING_CLIENT_TO_CORE] = "client to core", [CROSSING_CORE_TO_CLIENT] = "core to client",
	[CROSSING_TRUNK_TO_CORE] = "trunk to core",   [CROSSING_CORE_TO_TRUNK] = "core to trunk",
	[CROSSING_PBX_TO_CORE] = "PBX to core",       [CROSSING_CORE_TO_PBX] = "core to PBX",
};

/* Each way and its way back stand side by side. */
enum crossing crossing_back(enum crossing crossing)
{
	return (enum crossing)(crossing ^ 1);
}

/* ---- the page ---- */

static const char *const part_names[TRUST_PARTS] = {
	[PART_ACCESS_NETWORK] = "values that say `network-provided` or `np`",
	[PART_PRIORITY] = "`psap-callback`",
	[PART_HISTORY] = "the URIs of entries that ask for privacy",
	[PART_AUTHORIZATION] = "`integrity-protected`",
	[PART_PROXY_AUTHORIZATION] = "`integrity-protected`",
	[PART_WWW_AUTHENTICATE] = "`ck` and `ik`",
	[PART_PROXY_AUTHENTICATE] = "`ck` and `ik`",
};

static const struct {
	unsigned kind;
	const char *name;
} privacy_names[] = {
	{PRIVACY_HEADER, "header"},   {PRIVACY_SESSION, "session"},   {PRIVACY_USER, "user"},
	{PRIVACY_NONE, "none"},       {PRIVACY_CRITICAL, "critical"}, {PRIVACY_ID, "id"},
	{PRIVACY_HISTORY, "history"},
};

static void write_rule(struct buffer *out, const struct trust_row *row, char rule)
{
	const char *separator = "";

	switch ((enum trust_rule)rule) {
	case TRUST_PASS:
		buffer_append_string(out, "pass");
		break;
	case TRUST_STRIP:
		buffer_append_string(out, "strip");
		break;
	case TRUST_SET:
		buffer_append_string(out, "**set**");
		break;
	case TRUST_PART:
		buffer_append_string(out, "part");
		break;
	case TRUST_PRIVACY:
		for (size_t i = 0; i < ARRAY_LENGTH(privacy_names); i++) {
			if ((row->privacy & privacy_names[i].kind) == 0)
				continue;
			buffer_printf(out, "%s`%s`", separator, privacy_names[i].name);
			separator = " ";
		}
		break;
	}
}

/* One rule if requests and responses have the same, else both. */
static void write_row(struct buffer *out, const struct trust_row *row)
{
	buffer_printf(out, "| `%.*s` |", SLICE_ARGS(row->name));
	for (unsigned i = 0; i < CROSSINGS; i++) {
		buffer_append_string(out, " ");
		write_rule(out, row, row->request[i]);
		if (row->response[i] != row->request[i]) {
			buffer_append_string(out, " / ");
			write_rule(out, row, row->response[i]);
		}
		buffer_append_string(out, " |");
	}
	buffer_printf(out, " %s |\n", row->why);
}

static void write_parts(struct buffer *out)
{
	buffer_append_string(out, "\n*part*: passes without\n\n");
	for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++)
		if (rows[i].part != PART_NONE)
			buffer_printf(out, "- `%.*s`: %s\n", SLICE_ARGS(rows[i].name),
			              part_names[rows[i].part]);
}

void trust_write_docs(struct buffer *out)
{
	buffer_append_string(
		out,
		"# Which header crosses which way\n\n"
		"Written from the table in src/proxy/trust_table.c: a unit test compares, and "
		"`BONO_UPDATE_DOCS=1 make unit` writes it anew. Headers without a row pass "
		"everywhere; compact forms count as their long ones.\n\n"
		"*pass*: untouched. *strip*: every line of it goes. **set**: the sender's goes, "
		"and "
		"what Bono knows takes its place where a rule asks for it. Kinds of privacy (`id`, "
		"`user` ...): it goes if the message's Privacy header asks for one of them. Two "
		"rules: of requests / of responses. A response crosses the way it travels, so what "
		"a client answers is under *client to core*.\n\n| header |");
	for (unsigned i = 0; i < CROSSINGS; i++)
		buffer_printf(out, " %s |", crossing_names[i]);
	buffer_append_string(out, " why |\n|---|");
	for (unsigned i = 0; i <= CROSSINGS; i++)
		buffer_append_string(out, "---|");
	buffer_append_string(out, "\n");
	for (unsigned i = 0; i < ARRAY_LENGTH(rows); i++)
		write_row(out, &rows[i]);
	write_parts(out);
}
