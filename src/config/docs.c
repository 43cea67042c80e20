/*
 * docs/CONFIG.md from the table of keys. Main thread, at the wish of a developer.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config_internal.h"

static const char *type_words(enum schema_type type)
{
	switch (type) {
	case SCHEMA_MAP:
		return "section";
	case SCHEMA_LISTENERS:
		return "list of maps";
	case SCHEMA_SITES:
		return "map by name";
	case SCHEMA_TARGETS:
		return "list of URIs or maps";
	case SCHEMA_TLS:
		return "map by name";
	case SCHEMA_CERTIFICATES:
		return "list of maps";
	case SCHEMA_NAME:
		return "name";
	case SCHEMA_DOMAIN:
		return "domain";
	case SCHEMA_HOST_PORTS:
		return "list of HOST:PORT";
	case SCHEMA_ORIGINS:
		return "list of origins";
	case SCHEMA_DOMAINS:
		return "list of domains";
	case SCHEMA_FILE:
	case SCHEMA_PEM:
	case SCHEMA_SOCKET:
		return "path";
	case SCHEMA_COUNT:
	case SCHEMA_COUNT64:
		return "number";
	case SCHEMA_WORKERS:
		return "number or `auto`";
	case SCHEMA_TIME:
		return "time";
	case SCHEMA_SIZE:
		return "size";
	case SCHEMA_TRUTH:
		return "`true` or `false`";
	case SCHEMA_SIDE:
		return "`access` or `core`";
	case SCHEMA_TRANSPORT:
		return "`udp`, `tcp`, `tls`, `ws` or `wss`";
	case SCHEMA_VERIFY:
		return "`name`, `chain` or `none`";
	case SCHEMA_CLIENT_CERTIFICATE:
		return "`none`, `optional` or `required`";
	case SCHEMA_TLS_VERSION:
		return "`\"1.2\"` or `\"1.3\"`";
	case SCHEMA_ALLOWED:
		return "the word `allowed`";
	case SCHEMA_BIND:
	case SCHEMA_BIND_TEXT:
		return "ADDRESS:PORT";
	case SCHEMA_HOST_PORT:
		return "HOST:PORT";
	case SCHEMA_RANGES:
		return "list of ADDRESS or ADDRESS/BITS";
	case SCHEMA_ADDRESSES:
		return "list of ADDRESS or ADDRESS:PORT";
	case SCHEMA_URI:
	case SCHEMA_DISCOVER:
	case SCHEMA_ROUTE:
	case SCHEMA_HOP:
		return "SIP URI";
	case SCHEMA_OFF_NET:
		return "`refuse` or SIP URI";
	case SCHEMA_REFUSE_ALLOW:
		return "`refuse` or `allow`";
	case SCHEMA_IMS:
		return "`auto`, `always` or `never`";
	}
	return "";
}

static void write_time(struct buffer *out, uint64_t ms)
{
	if (ms != 0 && ms % 3600000 == 0)
		buffer_printf(out, "%" PRIu64 "h", ms / 3600000);
	else if (ms != 0 && ms % 60000 == 0)
		buffer_printf(out, "%" PRIu64 "m", ms / 60000);
	else if (ms % 1000 == 0)
		buffer_printf(out, "%" PRIu64 "s", ms / 1000);
	else
		buffer_printf(out, "%" PRIu64 "ms", ms);
}

static void write_range(struct buffer *out, const struct schema_key *row)
{
	if (row->max == 0)
		return;
	if (row->type == SCHEMA_TIME) {
		write_time(out, row->min);
		buffer_append_string(out, " - ");
		write_time(out, row->max);
		return;
	}
	if (row->offset_count != 0 || row->type == SCHEMA_LISTENERS)
		buffer_printf(out, "1 - %" PRIu64 " of them", row->max);
	else
		buffer_printf(out, "%" PRIu64 " - %" PRIu64, row->min, row->max);
}

static void write_row(struct buffer *out, const struct schema_key *row)
{
	buffer_printf(out, "| `%s` | %s | ", row->path, type_words(row->type));
	write_range(out, row);
	buffer_append_string(out, " | ");
	if (row->required)
		buffer_append_string(out, "**required**");
	else if (row->standard != NULL)
		buffer_printf(out, "`%s`", row->standard);
	buffer_printf(out, " | %s | %s |\n",
	              row->type == SCHEMA_MAP ? ""
	              : row->reloadable       ? "yes"
	                                      : "no",
	              row->help);
}

void config_write_docs(struct buffer *out)
{
	buffer_append_string(
		out,
		"# Configuration\n\n"
		"One YAML file (JSON is read too), given with `bono -c FILE`. `bono --check FILE` "
		"tells "
		"every fault in one pass as `FILE:LINE:COL: what is wrong, expected ..., found "
		"...`.\n"
		"An unknown or duplicate key, a missing unit or a wrong type is a fault. Anchors, "
		"aliases, "
		"tags and a second document are refused; the file may be 1 MiB long.\n"
		"A commented example is conf/bono.yaml. This page is made from the table in "
		"src/config/schema.c: a unit test compares, and `BONO_UPDATE_DOCS=1 make unit` "
		"writes it "
		"anew.\n\n"
		"- *time*: a whole number with its unit `ms`, `s`, `m` or `h`.\n"
		"- *size*: a whole number of bytes, or with `KiB`, `MiB`, `kB` or `MB`.\n"
		"- *name*: up to 64 letters, digits, `.`, `-` and `_`; begins with a letter or "
		"digit.\n"
		"- `[]` stands for each member of a list, `*` for each name.\n"
		"- *live*: no restart would be needed for it by its nature. This version reads the "
		"file "
		"at its start only.\n\n"
		"| key | type | range | default | live | meaning |\n|---|---|---|---|---|---|\n");
	for (unsigned i = 0; i < schema_key_count; i++)
		write_row(out, &schema_keys[i]);
	buffer_append_string(
		out,
		"\n## Rules across keys\n\n"
		"- `node.site` is one of `sites`; it is the local one and comes first, the others "
		"follow "
		"as written.\n"
		"- A core listener needs `allow`, or `allow_names`, and on a wildcard bind "
		"`advertise`.\n"
		"- A `tls` or `wss` listener needs `tls`, a profile with a certificate; "
		"`client_certificate` other than `none` needs a `ca` in it, and `allow_names` "
		"needs "
		"`client_certificate: required`.\n"
		"- `certificate` and `key` stand together, and `more` beside them.\n"
		"- A WebSocket listener is on the access side.\n"
		"- `path: true` may stand at one core listener; Path and Record-Route carry its "
		"name.\n"
		"- No two listeners share a name, or an address and port of one protocol; "
		"`admin.http` has "
		"its own.\n"
		"- A site has `targets` or `discover`.\n"
		"- Every target has a core listener of its transport and address family; addresses "
		"from DNS without one are passed over.\n"
		"- A target with a host name has no `name`. Each name is resolved once; at most "
		"256 "
		"over all sites.\n"
		"- No two targets share address, port and transport, or a name in one site.\n"
		"- A site that is not the node's own must have `tls` or say `plaintext: allowed`, "
		"and "
		"not both. With `tls` all its targets are TLS, without it none is.\n"
		"- `health.timeout` is at most `health.interval`; `failover.first_answer` is less "
		"than "
		"`failover.deadline`.\n"
		"- No address is in both `peers.trunks` and `peers.pbxes`; `peers.off_net` is one "
		"of "
		"`peers.trunks`.\n"
		"- `emergency.route` has a core listener of its transport.\n"
		"- `session_timers.minimum` is at most `session_timers.expires`.\n");
}
