/*
 * Reasonableness of a request. Pure. RFC 3261 16.3 steps 1-5, in that order.
 */
#include "sip/validate.h"

#include "sip_internal.h"

static void refuse(struct validation *out, int status, const char *reason)
{
	out->status = status;
	out->reason = reason;
}

/* Step 1, the part that concerns the Request-URI; message_parse did the headers. */
static void check_request_uri(const struct message *request, struct validation *out)
{
	struct uri uri;

	if (!request_uri_read((struct message *)request, &uri))
		refuse(out, 400, "Bad Request (Request-URI)");
	/* Table 1 of 19.1.1: headers are not allowed in a Request-URI. */
	else if (uri.headers.length > 0)
		refuse(out, 400, "Bad Request (Headers in Request-URI)");
	else if (uri.scheme == URI_OTHER)
		refuse(out, 416, "Unsupported URI Scheme");
}

/* Step 5. We support no proxy extension that would have to be asked for. */
static void check_proxy_require(const struct message *request, struct validation *out)
{
	struct slice tag;
	unsigned i;

	/* 8.2.2.3: not for these, which cannot be refused or could not be repaired. */
	if (request->method == METHOD_ACK || request->method == METHOD_CANCEL)
		return;
	for (i = 0; message_option(request, HEADER_PROXY_REQUIRE, i, &tag); i++) {
		if (!slice_is_token(tag)) {
			buffer_reset(&out->extra);
			refuse(out, 400, "Bad Request (Proxy-Require)");
			return;
		}
		buffer_append_string(&out->extra, i == 0 ? "Unsupported: " : ", ");
		buffer_append_slice(&out->extra, tag);
	}
	if (i == 0)
		return;
	buffer_append_string(&out->extra, "\r\n");
	refuse(out, 420, "Bad Extension");
	if (out->extra.failed) {
		buffer_reset(&out->extra);
		refuse(out, 500, "Server Internal Error");
	}
}

void validate_request(const struct message *request, uint64_t hash, struct validation *out)
{
	out->status = 0;
	out->reason = NULL;
	buffer_init(&out->extra);
	check_request_uri(request, out);
	if (out->status == 0 && request->max_forwards == 0)
		refuse(out, 483, "Too Many Hops");
	if (out->status == 0 && loop_detected(request, hash))
		refuse(out, 482, "Loop Detected");
	if (out->status == 0)
		check_proxy_require(request, out);
}

void validation_free(struct validation *validation)
{
	buffer_free(&validation->extra);
}
