/*
 * What the files of config tell each other: faults with a place, the tree of the file, the table of keys.
 */
#ifndef BONO_CONFIG_INTERNAL_H
#define BONO_CONFIG_INTERNAL_H

#include <stdarg.h>

#include "base/slice.h"
#include "config/config.h"

#define CONFIG_FILE_MAX (1024 * 1024) /* a thousand targets are 100 KiB */
#define CONFIG_DEPTH_MAX 12           /* the schema needs 5 */
#define CONFIG_NODES_MAX 50000
#define CONFIG_KEYS_MAX 256 /* in one map: each is compared with those before it */
#define CONFIG_LISTENERS_MAX 64
#define CONFIG_SITES_MAX 32     /* METRICS_SITES_MAX */
#define CONFIG_TARGETS_MAX 1024 /* of all sites: VIEW_TARGETS_MAX */
#define CONFIG_NAMES_MAX 256    /* to be resolved, of all sites: METRICS_NAMES_MAX */
#define CONFIG_DNS_SERVERS_MAX 8
#define CONFIG_TLS_MAX 64
#define CONFIG_CERTIFICATES_MAX 63 /* beside the first of a profile: TLS_PAIRS_MAX */
#define CONFIG_WORKERS_MAX 256     /* a worker's number is 8 bits in our branch */

/* ---- faults ---- */

struct mark {
	unsigned line, column; /* from 1 */
};

struct faults {
	FILE *out;
	const char *file;
	unsigned count;
	int err; /* -ENOMEM happened: the result is void, the faults said so far hold */
};

/* "FILE:LINE:COL: " and the words. */
void fault_at(struct faults *faults, struct mark mark, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* An allocation failed. */
void fault_memory(struct faults *faults);

/* ---- the tree ---- */

enum node_kind {
	NODE_NOTHING, /* "", ~ or null */
	NODE_TEXT,
	NODE_NUMBER,
	NODE_BOOL,
	NODE_LIST,
	NODE_MAP
};

struct node {
	enum node_kind kind;
	struct mark mark;
	char *text; /* scalars: as written, without quotes */
	char *key;  /* members of a map, else NULL */
	struct mark key_mark;
	struct node *first, *last, *next; /* members; the next one beside */
	unsigned count;                   /* of members */
};

/* Reads the bytes into *out (NULL: a fault was said that left nothing to look at). */
void tree_read(struct slice bytes, struct faults *faults, struct node **out);
void tree_free(struct node **tree);
/* A member of a map by key, of a list by index; NULL: none, or node is NULL or no such thing. */
const struct node *node_member(const struct node *node, const char *key);
const struct node *node_at(const struct node *node, unsigned index);
/* For messages: "\"edge\"", "the number 5", "a list", "nothing". Returns text. */
#define NODE_WORDS_MAX 96
const char *node_words(const struct node *node, char text[NODE_WORDS_MAX]);

/* ---- the table of keys ---- */

enum schema_type {
	SCHEMA_MAP,          /* a section; its keys are rows of their own */
	SCHEMA_LISTENERS,    /* list of maps */
	SCHEMA_SITES,        /* map of maps, by name */
	SCHEMA_TARGETS,      /* list of URIs or maps */
	SCHEMA_TLS,          /* map of maps, by name */
	SCHEMA_CERTIFICATES, /* list of maps */
	SCHEMA_NAME,         /* char *: letters, digits, '.', '-', '_' */
	SCHEMA_DOMAIN,       /* char * */
	SCHEMA_DOMAINS,      /* list of names: char **, unsigned */
	SCHEMA_HOST_PORTS,   /* list of name or address, and port: char **, unsigned */
	SCHEMA_ORIGINS,      /* list of scheme://host[:port]: char **, unsigned */
	SCHEMA_FILE,         /* char *: a path */
	SCHEMA_PEM,       /* char *: a path; if relative, from the directory of the configuration */
	SCHEMA_SOCKET,    /* char *: a path that fits a Unix socket address */
	SCHEMA_COUNT,     /* unsigned */
	SCHEMA_COUNT64,   /* uint64_t */
	SCHEMA_WORKERS,   /* unsigned, or auto */
	SCHEMA_TIME,      /* uint64_t, milliseconds */
	SCHEMA_SIZE,      /* uint64_t, bytes */
	SCHEMA_TRUTH,     /* bool */
	SCHEMA_SIDE,      /* enum config_side */
	SCHEMA_TRANSPORT, /* enum config_transport */
	SCHEMA_ALLOWED,   /* bool: the word "allowed" */
	SCHEMA_VERIFY,    /* enum config_verify */
	SCHEMA_CLIENT_CERTIFICATE, /* enum config_client_certificate */
	SCHEMA_TLS_VERSION,        /* unsigned: 12 or 13 */
	SCHEMA_BIND,               /* struct address */
	SCHEMA_BIND_TEXT,          /* char *: the same, kept as text */
	SCHEMA_HOST_PORT,          /* char *: name or address, and port */
	SCHEMA_RANGES,             /* struct address_range *, unsigned */
	SCHEMA_ADDRESSES,          /* struct address *, unsigned; the port may be left out: 53 */
	SCHEMA_URI,                /* of a target: uri, address or host, transport */
	SCHEMA_DISCOVER,           /* struct config_target: a URI with a host name */
	SCHEMA_ROUTE,              /* char *: a SIP URI that goes into Route as it is */
	SCHEMA_HOP,     /* struct config_target: a SIP URI with an IP address; lr may stand in it */
	SCHEMA_OFF_NET, /* the same, or the word "refuse": uri NULL */
	SCHEMA_REFUSE_ALLOW, /* bool: true is "allow" */
	SCHEMA_IMS,          /* enum config_ims */
};

/* Whose field it is. */
enum schema_record {
	RECORD_CONFIG,
	RECORD_LISTENER,
	RECORD_SITE,
	RECORD_TARGET,
	RECORD_TLS,
	RECORD_CERTIFICATE
};

struct schema_key {
	const char *path; /* "health.interval", "listeners[].bind", "sites.*.targets[].uri" */
	enum schema_type type;
	enum schema_record record;
	size_t offset;        /* of the field in its record */
	size_t offset_count;  /* lists: of the unsigned beside it */
	uint64_t min, max;    /* numbers; times in ms */
	const char *standard; /* the default as one would write it; NULL: none */
	bool required;
	bool reloadable;
	const char *help;
};

extern const struct schema_key schema_keys[];
extern const unsigned schema_key_count;
/* The row of `key` directly under `prefix` ("" for the top, "listeners[]"); NULL: unknown. */
const struct schema_key *schema_find(const char *prefix, const char *key);
/* True if the row stands directly under the prefix; *key is its last part. */
bool schema_is_under(const struct schema_key *row, const char *prefix, const char **key);
/* The known key nearest to a misspelt one, or NULL if none is near. */
const char *schema_suggest(const char *prefix, const char *misspelt);
/* Nearer than a third of its letters: fit to be suggested. */
bool words_are_near(const char *a, const char *b);

/* What a listener or target holds where the file gave nothing sound; the checks pass over it. */
#define CONFIG_SIDE_UNKNOWN ((enum config_side)(CONFIG_CORE + 1))
#define CONFIG_TRANSPORT_UNKNOWN ((enum config_transport)(CONFIG_WSS + 1))

/* ---- values.c: one scalar or list of scalars into its field; faults are said ---- */

struct value {
	struct faults *faults;
	const struct schema_key *row;
	const struct node *node;
	void *record;
};

void *value_field(const struct value *value);
/* "wrong value for ..., expected ..., found ..." at this node. */
#define TIME_WORDS_MAX 32
const char *time_words(uint64_t ms, char text[TIME_WORDS_MAX]); /* "90s", "10m" */
void value_wrong(const struct value *value, const struct node *node, const char *expected);
void value_read_list(const struct value *value);   /* lists.c */
void value_read_number(const struct value *value); /* numbers.c */
void value_read(struct faults *faults, const struct schema_key *row, const struct node *node,
                void *record);
/* The row's default into its field; ours is always sound. */
void value_default(struct faults *faults, const struct schema_key *row, void *record);
extern const char *const config_transport_names[];
bool value_is_name(struct slice text);
bool value_is_domain(struct slice text);
/* "10.0.0.1:5060" or, if names may stand there, "edge.example.net:5060"; *host without brackets. */
bool value_split_host_port(struct slice text, struct slice *host, uint16_t *port);

/* ---- target_uri.c ---- */

/* Into address, port and transport; *host is the host name, empty if it is an address. NULL: sound; else what was
 * expected. */
const char *target_uri_parse(struct slice text, struct config_target *target, struct slice *host);

/* The same for a peer that is dialled as it is written: an address, never a name; `lr` may stand among the
 * parameters. */
const char *hop_uri_parse(struct slice text, struct config_target *target);

/* ---- check_peers.c: the rules of peers, emergency and session_timers ---- */
void config_check_peers(const struct config *config, const struct node *tree,
                        struct faults *faults);

/* ---- check.c, check_tls.c: rules across keys; the tree tells the places ---- */

struct check {
	const struct config *config;
	const struct node *tree;
	struct faults *faults;
};

void config_check(const struct config *config, const struct node *tree, struct faults *faults);

/* The place of a key, or, when the file is silent on it, of the map around. */
struct mark check_mark_in(const struct node *map, const char *key);
const struct node *check_listener_node(const struct check *check, unsigned index);
const struct node *check_site_node(const struct check *check, unsigned index);
const struct node *check_target_node(const struct check *check, unsigned site, unsigned index);

void check_tls_profiles(const struct check *check);
void check_tls_listener(const struct check *check, unsigned index);
/* True if the file says by the names of certificates who may enter. */
bool check_names_suffice(const struct check *check, unsigned index);
void check_tls_site(const struct check *check, unsigned index);
void check_tls_peers(const struct check *check);

#endif
