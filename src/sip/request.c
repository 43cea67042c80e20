/*
 * Requests we make ourselves: CANCEL and ACK of a request that we sent, read from its flat bytes,
 * and the OPTIONS of a probe. Pure. RFC 3261 9.1, 11.1, 17.1.1.3.
 */
#include "base/buffer.h"
#include "sip/reply.h"
#include "sip_internal.h"

#define MAX_FORWARDS_LINE "Max-Forwards: 70\r\n"

/* The lines of a sent request that its CANCEL or ACK repeats. */
struct sent {
	struct slice request_uri;
	struct slice via; /* the topmost value */
	struct slice from, to, call_id;
	uint32_t cseq;
};

/* What we printed ourselves has neither folds nor surprises, but a client's lines are in it. */
static bool sent_read(struct slice request, struct sent *out)
{
	struct slice start = line_next(&request), method, rest;
	struct line line;

	*out = (struct sent){.request_uri = SLICE_NONE};
	slice_split(start, ' ', &rest);
	out->request_uri = slice_split(rest, ' ', &rest);
	while (request.length > 0 && request.data[0] != '\r') {
		if (!line_read(line_next(&request), &line))
			continue;
		switch (line.kind) {
		case LINE_VIA:
			rest = line.value;
			if (out->via.length == 0)
				value_next(&rest, &out->via);
			break;
		case LINE_FROM:
			out->from = line.text;
			break;
		case LINE_TO:
			out->to = line.text;
			break;
		case LINE_CALL_ID:
			out->call_id = line.text;
			break;
		case LINE_CSEQ:
			if (!cseq_parse(line.value, &out->cseq, &method))
				return false;
			break;
		default:
			break;
		}
	}
	return out->via.length > 0 && out->from.length > 0 && out->to.length > 0 &&
	       out->call_id.length > 0 && out->request_uri.length > 0;
}

static void append_routes(struct buffer *out, struct slice request)
{
	struct line line;

	line_next(&request);
	while (request.length > 0 && request.data[0] != '\r') {
		if (line_read(line_next(&request), &line) && line.kind == LINE_ROUTE)
			buffer_append_slice(out, line.text);
	}
}

static struct bytes *follow_up(struct slice sent_request, const char *method, struct slice to,
                               struct slice extra)
{
	struct buffer out;
	struct bytes *bytes;
	struct sent sent;

	if (!sent_read(sent_request, &sent))
		return NULL;
	buffer_init(&out);
	buffer_append_string(&out, method);
	buffer_append_string(&out, " ");
	buffer_append_slice(&out, sent.request_uri);
	buffer_append_string(&out, " SIP/2.0\r\nVia: ");
	buffer_append_slice(&out, sent.via);
	buffer_append_string(&out, "\r\n" MAX_FORWARDS_LINE);
	append_routes(&out, sent_request);
	buffer_append_slice(&out, sent.from);
	buffer_append_slice(&out, to.length > 0 ? to : sent.to);
	buffer_append_slice(&out, sent.call_id);
	buffer_append_string(&out, "CSeq: ");
	buffer_append_uint(&out, sent.cseq);
	buffer_append_string(&out, " ");
	buffer_append_string(&out, method);
	buffer_append_string(&out, "\r\n");
	buffer_append_slice(&out, extra);
	buffer_append_string(&out, "Content-Length: 0\r\n\r\n");
	bytes = buffer_to_bytes(&out);
	buffer_free(&out);
	return bytes;
}

struct bytes *request_cancel(struct slice sent_request, struct slice extra)
{
	return follow_up(sent_request, "CANCEL", SLICE_NONE, extra);
}

struct bytes *request_ack(struct slice sent_request, const struct message *response)
{
	const struct line *to = message_line(response, LINE_TO, NULL);

	return follow_up(sent_request, "ACK", to != NULL ? to->text : SLICE_NONE, SLICE_NONE);
}

struct bytes *request_options(struct slice uri, struct slice via, struct slice from_host,
                              struct slice call_id, uint32_t cseq)
{
	struct buffer out;
	struct bytes *bytes;

	buffer_init(&out);
	buffer_append_string(&out, "OPTIONS ");
	buffer_append_slice(&out, uri);
	buffer_append_string(&out, " SIP/2.0\r\nVia: ");
	buffer_append_slice(&out, via);
	buffer_append_string(&out, "\r\n" MAX_FORWARDS_LINE "From: <sip:probe@");
	buffer_append_slice(&out, from_host);
	/* A probe is no dialog: one tag for all of them tells as much as many. */
	buffer_append_string(&out, ">;tag=probe\r\nTo: <");
	buffer_append_slice(&out, uri);
	buffer_append_string(&out, ">\r\nCall-ID: ");
	buffer_append_slice(&out, call_id);
	buffer_append_string(&out, "\r\nCSeq: ");
	buffer_append_uint(&out, cseq);
	buffer_append_string(&out, " OPTIONS\r\nContent-Length: 0\r\n\r\n");
	bytes = buffer_to_bytes(&out);
	buffer_free(&out);
	return bytes;
}
