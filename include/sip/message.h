/*
 * A SIP message as a value: parse, look, edit, print. The only users of sofia-sip's types are the
 * files of src/sip; everyone else sees this. One holder, one worker, moved as struct message **.
 *
 * Slices given out point into the message and are good until it is edited in that place or destroyed.
 * Edits keep every byte they do not concern; body bytes in are body bytes out.
 */
#ifndef BONO_SIP_MESSAGE_H
#define BONO_SIP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "sip/guard.h"
#include "sip/uri.h"
#include "sip/via.h"

struct message;

enum sip_method {
	METHOD_REGISTER,
	METHOD_INVITE,
	METHOD_ACK,
	METHOD_CANCEL,
	METHOD_BYE,
	METHOD_OPTIONS,
	METHOD_PRACK,
	METHOD_UPDATE,
	METHOD_INFO,
	METHOD_MESSAGE,
	METHOD_SUBSCRIBE,
	METHOD_NOTIFY,
	METHOD_PUBLISH,
	METHOD_REFER,
	METHOD_OTHER, /* the name tells */
	METHODS
};
const char *method_name(enum sip_method method); /* "other" for METHOD_OTHER: metrics label */

/* Why bytes are not a message we work with. Names are metrics labels. */
enum message_fault {
	MESSAGE_SOUND,
	MESSAGE_GUARDED,          /* guard_check refused; see its verdict */
	MESSAGE_UNPARSABLE,       /* not SIP at all, or start line broken */
	MESSAGE_BAD_VERSION,      /* not SIP/2.0: 505 */
	MESSAGE_BAD_HEADER,       /* a header we need is there but malformed: 400 */
	MESSAGE_MISSING_HEADER,   /* Via, From, To, Call-ID or CSeq missing: 400 */
	MESSAGE_DUPLICATE_HEADER, /* two of a header that may stand once: 400 */
	MESSAGE_CSEQ_MISMATCH,    /* CSeq method is not the request's: 400 */
	MESSAGE_BAD_LENGTH,       /* Content-Length wrong or beyond the packet: 400 */
	MESSAGE_BAD_STATUS,       /* response code outside 100..699: dropped */
	MESSAGE_NO_MEMORY,
	MESSAGE_FAULTS
};
const char *message_fault_name(enum message_fault fault);
/* The status a request with this fault deserves (400, 505, 500), and its reason phrase. */
int message_fault_status(enum message_fault fault, const char **reason);

/* Once in main, before threads; and by tests. */
int message_system_init(void);

/*
 * Parse one whole message (a datagram, or what the framer cut). Copies the bytes; folded headers
 * become one line (blanks for CRLF); bytes beyond Content-Length are dropped, and so are leading CRLFs.
 * Runs guard_check first. Returns the fault; on MESSAGE_SOUND *out is the message.
 * With another fault *out is NULL, or, when the top Via could be read, a message good for
 * message_mark_received, message_via and reply_to_message and nothing else (never for an ACK or a
 * response): the answer copies what there is of Via, From, To, Call-ID and CSeq.
 */
enum message_fault message_parse(struct slice bytes, size_t limit_bytes, struct message **out,
                                 enum guard_verdict *verdict);
void message_destroy(struct message **message);

/* ---- look ---- */

bool message_is_request(const struct message *message);
enum sip_method message_method(const struct message *message); /* a response: that of its CSeq */
struct slice message_method_text(const struct message *message);
int message_status(const struct message *message); /* 0 for a request */
struct slice message_call_id(const struct message *message);
uint32_t message_cseq(const struct message *message);
struct slice message_from_tag(const struct message *message); /* empty: none */
struct slice message_to_tag(const struct message *message);
/* The URI of From / To. */
const struct uri *message_from(const struct message *message, struct uri *out);
const struct uri *message_to(const struct message *message, struct uri *out);
/* The Request-URI; out->text is its exact bytes. */
const struct uri *message_request_uri(const struct message *message, struct uri *out);
/* -1: absent. */
int message_max_forwards(const struct message *message);
/* Seconds of the Expires header, -1: absent. */
int64_t message_expires(const struct message *message);
struct slice message_body(const struct message *message);

/* The headers the parser knows and splits into values; all others go by name. */
enum sip_header {
	HEADER_VIA,
	HEADER_ROUTE,
	HEADER_RECORD_ROUTE,
	HEADER_PATH,
	HEADER_SERVICE_ROUTE,
	HEADER_CONTACT,
	HEADER_REQUIRE,
	HEADER_PROXY_REQUIRE,
	HEADER_SUPPORTED,
	HEADER_P_ASSOCIATED_URI,
	HEADER_P_ASSERTED_IDENTITY,
	HEADER_P_PREFERRED_IDENTITY,
	HEADERS
};

/* How many comma-separated values the header has in all its lines. */
unsigned message_count(const struct message *message, enum sip_header header);
/* Via number `index` from the top; false: no such. */
bool message_via(const struct message *message, unsigned index, struct via *out);
/* Value `index` of a header of addresses (Route, Record-Route, Path, Service-Route, Contact,
 * P-Associated-URI, P-Asserted-Identity, P-Preferred-Identity); false: no such or malformed. */
bool message_address(const struct message *message, enum sip_header header, unsigned index,
                     struct name_addr *out);
/* True if a list header (Require, Proxy-Require, Supported) holds the option tag (case-blind). */
bool message_has_option(const struct message *message, enum sip_header header, const char *tag);
/* Value `index` of Require, Proxy-Require or Supported. */
bool message_option(const struct message *message, enum sip_header header, unsigned index,
                    struct slice *out);
/* True if Contact is "*". */
bool message_contact_is_star(const struct message *message);
/* Text of the first header of that name (any, known to the parser or not); false: none.
 * Name without colon, case-blind, long form. */
bool message_header(const struct message *message, const char *name, struct slice *out);
/* The same for the index-th header line of that name. */
bool message_header_at(const struct message *message, const char *name, unsigned index,
                       struct slice *out);
/* Parameter number `index` of that name (any case) in the value of a header of credentials or challenges, without
 * its quotes, escapes as they are; not fooled by quotes. False: no such. */
bool auth_param(struct slice text, const char *name, unsigned index, struct slice *out);
/* Seconds of Retry-After; false: none, or no number up to a day (RFC 3261 20.33). */
bool message_retry_after(const struct message *message, uint64_t *seconds);

/* ---- edit: 0 or -ENOMEM; after a failure the message is only good for message_destroy ---- */

/* A new topmost line of all: prepend(m, "Via", "SIP/2.0/UDP ...;branch=..."). The value must be
 * well-formed; no grammar is checked again, and the look functions see it from now on. */
int message_prepend(struct message *message, const char *name, struct slice value);
/* A new last line, before the body. */
int message_append(struct message *message, const char *name, struct slice value);
/* Several complete lines "Name: value\r\n..." at the top, before the existing headers, in one go:
 * the fast path for Via + Record-Route + Path. At most 16 lines: -E2BIG beyond. */
int message_prepend_lines(struct message *message, struct slice lines);
/* Remove the topmost value of Via, Route or Record-Route; none: nothing done, 0. */
int message_pop(struct message *message, enum sip_header header);
/* The same for the last value. */
int message_pop_last(struct message *message, enum sip_header header);
/* Remove all lines of that name; known or unknown. Returns 0 also if there were none. */
int message_remove(struct message *message, const char *name);
/* Remove every line whose name is in the table (count names, any case); one walk. */
int message_remove_each(struct message *message, const char *const *names, unsigned count);
/* Keep the lines of which `keep` says so; one walk. Names come in their long form, in any case. What no message can
 * do without stays unasked: Via, From, To, Call-ID, CSeq, Max-Forwards, Content-Length. */
typedef bool message_keep_fn(void *arg, struct slice name, struct slice value);
void message_keep(struct message *message, message_keep_fn *keep, void *arg);
/* Each comma-separated value of all lines of that name is written anew by `write`: what it appends takes the
 * value's place, nothing drops it, and a line without values goes. A line whose values all stay as they are
 * stays byte for byte. */
typedef void message_write_value_fn(void *arg, struct slice value, struct buffer *out);
int message_edit_values(struct message *message, const char *name, message_write_value_fn *write,
                        void *arg);
/* Add ";name=value" to the URI of value `index`, which is an address in <>; none such: nothing done, 0. */
int message_add_uri_param(struct message *message, enum sip_header header, unsigned index,
                          const char *name, struct slice value);
int message_set_request_uri(struct message *message, struct slice uri);
int message_set_max_forwards(struct message *message, unsigned hops); /* adds it if absent */
/* Writes ;received= and fills ;rport on the top Via, as RFC 3261 18.2.1 and RFC 3581 4 say:
 * received when the sent-by host differs from source or rport was asked. What the sender put there
 * itself goes: an answer must not be sent where a stranger points. */
int message_mark_received(struct message *message, const struct address *source);
/* Give the `keep` of the top Via, if it has one without value, this value: RFC 6223 4.4. */
int message_set_via_keep(struct message *message, unsigned seconds);
/* Take parameters of these names (any case) out of every line of credentials or challenges: Authorization,
 * WWW-Authenticate and their kin. Wherever in the line, however often and however spaced, in each of several
 * challenges; not inside quotes. The rest stays byte for byte. */
int message_remove_auth_params(struct message *message, const char *header_name,
                               const char *const *params, unsigned count);
/* The same for one parameter of credentials; then, unless value is NULL, it is set: last in the line, the value
 * as given (quote it where its grammar wants quotes). No such header: 0, nothing done (creates nothing). */
int message_set_authorization_param(struct message *message, const char *header_name,
                                    const char *param, const char *value);

/* ---- print ---- */

/* The flat bytes, Content-Length as received (added when a stream needs it and it lacks one:
 * with_length true). NULL: out of memory. */
struct bytes *message_serialize(struct message *message, bool with_length);

#endif
