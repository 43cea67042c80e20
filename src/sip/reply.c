/*
 * Answers we make ourselves, as text. Pure. RFC 3261 8.2.6.
 *
 * A template is what an answer copies from its request, made once: a struct template_head, the
 * Timestamp line (only a 100 carries it on), the lines that every answer copies, and the To line
 * without its CRLF, last, so that a tag can be put behind it.
 */
#define _GNU_SOURCE
#include "sip/reply.h"

#include <ctype.h>
#include <stdio.h>

#include "base/error.h"
#include "base/hash.h"
#include "sip_internal.h"

struct template_head {
	uint32_t timestamp_length;
	uint32_t to_length; /* 0: the request has no To */
	bool to_has_tag;
};

static const struct {
	int status;
	const char *reason;
} reasons[] = {
	{100, "Trying"},
	{180, "Ringing"},
	{181, "Call Is Being Forwarded"},
	{182, "Queued"},
	{183, "Session Progress"},
	{199, "Early Dialog Terminated"},
	{200, "OK"},
	{202, "Accepted"},
	{204, "No Notification"},
	{300, "Multiple Choices"},
	{301, "Moved Permanently"},
	{302, "Moved Temporarily"},
	{305, "Use Proxy"},
	{380, "Alternative Service"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{410, "Gone"},
	{412, "Conditional Request Failed"},
	{413, "Request Entity Too Large"},
	{414, "Request-URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Unsupported URI Scheme"},
	{417, "Unknown Resource-Priority"},
	{420, "Bad Extension"},
	{421, "Extension Required"},
	{422, "Session Interval Too Small"},
	{423, "Interval Too Brief"},
	{424, "Bad Location Information"},
	{428, "Use Identity Header"},
	{429, "Provide Referrer Identity"},
	{430, "Flow Failed"},
	{433, "Anonymity Disallowed"},
	{436, "Bad Identity Info"},
	{437, "Unsupported Credential"},
	{438, "Invalid Identity Header"},
	{439, "First Hop Lacks Outbound Support"},
	{440, "Max-Breadth Exceeded"},
	{469, "Bad Info Package"},
	{470, "Consent Needed"},
	{480, "Temporarily Unavailable"},
	{481, "Call/Transaction Does Not Exist"},
	{482, "Loop Detected"},
	{483, "Too Many Hops"},
	{484, "Address Incomplete"},
	{485, "Ambiguous"},
	{486, "Busy Here"},
	{487, "Request Terminated"},
	{488, "Not Acceptable Here"},
	{489, "Bad Event"},
	{491, "Request Pending"},
	{493, "Undecipherable"},
	{494, "Security Agreement Required"},
	{500, "Server Internal Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Server Time-out"},
	{505, "Version Not Supported"},
	{513, "Message Too Large"},
	{580, "Precondition Failure"},
	{600, "Busy Everywhere"},
	{603, "Decline"},
	{604, "Does Not Exist Anywhere"},
	{606, "Not Acceptable"},
};

const char *reply_reason(int status)
{
	for (size_t i = 0; i < ARRAY_LENGTH(reasons); i++) {
		if (reasons[i].status == status)
			return reasons[i].reason;
	}
	return "Unknown";
}

static char *put(char *at, struct slice s)
{
	if (s.length > 0)
		memcpy(at, s.data, s.length);
	return at + s.length;
}

/* A line, or nothing if there is none; of the headers that stand once the first. */
static struct slice line_text(const struct message *request, enum line_kind kind)
{
	const struct line *line = message_line(request, kind, NULL);

	return line != NULL ? line->text : SLICE_NONE;
}

/* A To that cannot be parsed may still have a tag, and a second one would be worse than none. */
static bool has_tag(struct slice value)
{
	struct name_addr address;

	if (name_addr_parse(value, &address))
		return name_addr_param(&address, "tag", NULL);
	for (size_t i = 0; i + 4 < value.length; i++) {
		if (value.data[i] == ';' &&
		    slice_starts_with_nocase(slice_trim(slice_skip(value, i + 1)),
		                             SLICE_LITERAL("tag")))
			return true;
	}
	return false;
}

struct bytes *reply_template(struct message *request)
{
	const struct line *via = NULL, *to = message_line(request, LINE_TO, NULL);
	const struct slice parts[] = {line_text(request, LINE_FROM),
	                              line_text(request, LINE_CALL_ID),
	                              line_text(request, LINE_CSEQ),
	                              to != NULL ? slice_trim(to->text) : SLICE_NONE};
	struct slice timestamp = line_text(request, LINE_TIMESTAMP);
	struct template_head head = {.timestamp_length = (uint32_t)timestamp.length};
	size_t length = sizeof(head) + timestamp.length;
	struct bytes *bytes;
	char *at;

	while ((via = message_line(request, LINE_VIA, via)) != NULL)
		length += via++->text.length;
	for (size_t i = 0; i < ARRAY_LENGTH(parts); i++)
		length += parts[i].length;
	bytes = bytes_create(length);
	if (bytes == NULL)
		return NULL;
	head.to_length = (uint32_t)parts[3].length;
	head.to_has_tag = request->to_tag.length > 0 || (to != NULL && has_tag(to->value));
	memcpy(bytes->data, &head, sizeof(head));
	at = put(bytes->data + sizeof(head), timestamp);
	while ((via = message_line(request, LINE_VIA, via)) != NULL)
		at = put(at, via++->text);
	for (size_t i = 0; i < ARRAY_LENGTH(parts); i++)
		at = put(at, parts[i]);
	return bytes;
}

/* Where the body begins in "lines CRLF CRLF body"; all of it if there is none. */
static size_t lines_length(struct slice extra)
{
	const char *end = extra.length > 0 ? memmem(extra.data, extra.length, "\r\n\r\n", 4) : NULL;

	return end != NULL ? (size_t)(end - extra.data) + 2 : extra.length;
}

struct bytes *reply_build(const struct bytes *template, int status, const char *reason,
                          const char *to_tag, struct slice extra)
{
	struct slice copied = bytes_slice(template), timestamp, tag = SLICE_NONE;
	struct slice lines = slice_of(extra.data, lines_length(extra));
	struct slice body = slice_skip(slice_skip(extra, lines.length), 2);
	char start[32], content_length[48];
	struct template_head head;
	struct bytes *bytes;
	char *at;

	memcpy(&head, template->data, sizeof(head));
	copied = slice_skip(copied, sizeof(head));
	timestamp = slice_of(copied.data, status == 100 ? head.timestamp_length : 0);
	copied = slice_skip(copied, head.timestamp_length);
	if (head.to_length > 0 && !head.to_has_tag && status > 100)
		tag = slice_from_string(to_tag);
	snprintf(start, sizeof(start), "SIP/2.0 %d ", status);
	snprintf(content_length, sizeof(content_length), "Content-Length: %zu\r\n\r\n",
	         body.length);
	bytes = bytes_create(strlen(start) + strlen(reason) + 2 + timestamp.length + copied.length +
	                     5 + tag.length + 2 + extra.length + strlen(content_length));
	if (bytes == NULL)
		return NULL;
	at = put(bytes->data, slice_from_string(start));
	at = put(at, slice_from_string(reason));
	at = put(at, SLICE_LITERAL("\r\n"));
	at = put(at, timestamp);
	at = put(at, copied);
	if (tag.length > 0) {
		at = put(at, SLICE_LITERAL(";tag="));
		at = put(at, tag);
	}
	if (head.to_length > 0)
		at = put(at, SLICE_LITERAL("\r\n"));
	at = put(at, lines);
	at = put(at, slice_from_string(content_length));
	at = put(at, body);
	bytes->length = (uint32_t)(at - bytes->data);
	return bytes;
}

/* Not of the method and not of Max-Forwards: 9.2 wants the tag of a CANCEL's answer to be that of
 * its INVITE's, and they have the same branch. */
void reply_to_tag(const struct message *request, char text[17])
{
	const struct line *call_id = message_line(request, LINE_CALL_ID, NULL);
	const struct line *from = message_line(request, LINE_FROM, NULL);
	uint64_t hash = hash_bytes(&request->cseq, sizeof(request->cseq));
	struct via via;

	if (call_id != NULL)
		hash = hash_more(hash, call_id->value.data, call_id->value.length);
	if (from != NULL)
		hash = hash_more(hash, from->value.data, from->value.length);
	if (message_via(request, 0, &via) && via.branch.length > 0)
		hash = hash_more(hash, via.branch.data, via.branch.length);
	snprintf(text, 17, "%016llx", (unsigned long long)hash);
}

struct bytes *reply_to_message(struct message *request, int status, const char *reason,
                               struct slice extra)
{
	struct bytes *template = reply_template(request), *reply;
	char tag[17];

	if (template == NULL)
		return NULL;
	reply_to_tag(request, tag);
	reply = reply_build(template, status, reason, tag, extra);
	bytes_release(&template);
	return reply;
}
