/*
 * Messages we make ourselves: answers, CANCEL, ACK, OPTIONS. Built as text, not through the parser.
 * RFC 3261 8.2.6, 9.1, 17.1.1.3, 11.
 */
#ifndef BONO_SIP_REPLY_H
#define BONO_SIP_REPLY_H

#include "base/buffer.h"
#include "sip/message.h"

/* What an answer copies from its request: all Via lines, From, To, Call-ID, CSeq (and Timestamp for
 * 100), as raw lines. Made once when the server transaction is; NULL: out of memory.
 * message_mark_received must have run before. */
struct bytes *reply_template(struct message *request);

/* The answer. to_tag is put on To when it has none and status > 100; may be NULL when 100.
 * extra: complete header lines with CRLF, may be empty; behind an empty line a body may follow, whose length is told. */
struct bytes *reply_build(const struct bytes *template, int status, const char *reason,
                          const char *to_tag, struct slice extra);
/* From a request in one step (stateless: 400 and such). The to_tag is derived from the request by
 * keyed hash, so that a retransmission gets the same. */
struct bytes *reply_to_message(struct message *request, int status, const char *reason,
                               struct slice extra);
/* The standard phrase of RFC 3261 21 and its successors; "Unknown" otherwise. */
const char *reply_reason(int status);
/* to_tag for this request: 16 hex digits, stable for the same request. */
void reply_to_tag(const struct message *request, char text[17]);

/* CANCEL and ACK (for a non-2xx) of a request that we sent, from its flat bytes: Request-URI, top Via, Route,
 * From, Call-ID, CSeq number, Max-Forwards. To: of the request (CANCEL) or of the response (ACK).
 * extra: e.g. the Reason line of the CANCEL we received. */
struct bytes *request_cancel(struct slice sent_request, struct slice extra);
struct bytes *request_ack(struct slice sent_request, const struct message *response);

/* An OPTIONS probe: R-URI and To uri, From <sip:probe@from_host>, no Contact. via: the Via value. */
struct bytes *request_options(struct slice uri, struct slice via, struct slice from_host,
                              struct slice call_id, uint32_t cseq);

#endif
