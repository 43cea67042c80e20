/*
 * A datagram from anywhere: parse, look at everything, edit, print, answer; what was printed must be
 * read again as the same message. The first bytes say which edits are done.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "sip/message.h"
#include "sip/reply.h"
#include "sip/route.h"
#include "sip/validate.h"

#define LIMIT 65535

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile size_t sink; /* nothing looked at is optimised away */

static void see(struct slice s)
{
	for (size_t i = 0; i < s.length; i++)
		sink += (unsigned char)s.data[i];
}

static void see_uri(const struct uri *uri)
{
	struct buffer canonical;
	struct slice value;

	see(uri->text);
	see(uri->user);
	see(uri->host);
	see(uri->params);
	see(uri->headers);
	if (uri_param(uri, "transport", &value))
		see(value);
	/* One that names a parameter twice need not even equal itself. */
	sink += uri_equal(uri, uri);
	buffer_init(&canonical);
	uri_canonical(uri, &canonical);
	see(buffer_slice(&canonical));
	buffer_free(&canonical);
}

static void look(const struct message *message)
{
	struct name_addr address;
	struct slice value;
	struct address reply;
	struct via via;
	struct uri uri;

	see(message_call_id(message));
	see(message_from_tag(message));
	see(message_to_tag(message));
	see(message_body(message));
	see_uri(message_from(message, &uri));
	see_uri(message_to(message, &uri));
	if (message_is_request(message))
		see_uri(message_request_uri(message, &uri));
	sink += (size_t)message_expires(message) + (size_t)message_max_forwards(message);
	sink += message_contact_is_star(message);
	for (int header = HEADER_ROUTE; header < HEADERS; header++) {
		unsigned count = message_count(message, (enum sip_header)header);

		for (unsigned i = 0; i < count; i++) {
			ASSERT(message_option(message, (enum sip_header)header, i, &value));
			see(value);
			if (message_address(message, (enum sip_header)header, i, &address)) {
				see_uri(&address.uri);
				see(address.display);
				see(address.params);
			}
		}
		ASSERT(!message_option(message, (enum sip_header)header, count, &value));
	}
	for (unsigned i = 0; i < message_count(message, HEADER_VIA); i++) {
		if (!message_via(message, i, &via))
			continue;
		see(via.host);
		see(via.branch);
		sink += via_reply_address(&via, &reply);
	}
	message_header(message, "Subject", &value);
	see(value);
}

/* Some values go, the others stay. */
static void write_half(void *arg, struct slice value, struct buffer *out)
{
	if (value.length % 2 == 0)
		buffer_append(out, value.data, value.length);
}

/* None of them is there any more, whatever was around it. */
static void take_params(struct message *message)
{
	static const char *const names[] = {"ck", "ik", "integrity-protected"};
	struct slice line, value;

	if (message_remove_auth_params(message, "WWW-Authenticate", names, 3) != 0)
		return;
	for (unsigned i = 0; message_header_at(message, "WWW-Authenticate", i, &line); i++)
		for (unsigned n = 0; n < 3; n++)
			ASSERT(!auth_param(line, names[n], 0, &value));
}

static void edit(struct message *message, unsigned what)
{
	static const char *const strip[] = {"P-Asserted-Identity", "Path", "Subject", "X"};
	struct address source;

	ASSERT(address_parse(SLICE_LITERAL("192.0.2.99:5099"), &source));
	if ((what & 1) != 0)
		message_mark_received(message, &source);
	if ((what & 2) != 0)
		message_pop(message, HEADER_ROUTE);
	if ((what & 4) != 0)
		message_pop_last(message, HEADER_ROUTE);
	if ((what & 8) != 0)
		message_remove_each(message, strip, ARRAY_LENGTH(strip));
	if ((what & 16) != 0)
		message_set_authorization_param(message, "Authorization", "integrity-protected",
		                                (what & 32) != 0 ? "yes" : NULL);
	if ((what & 1024) != 0)
		message_edit_values(message, "History-Info", write_half, NULL);
	if ((what & 2048) != 0)
		take_params(message);
	if (message_is_request(message)) {
		if ((what & 64) != 0)
			route_apply_strict(message);
		if ((what & 128) != 0)
			route_undo_strict(message);
		if ((what & 256) != 0)
			message_set_max_forwards(message, 69);
	}
	if ((what & 512) != 0)
		message_prepend_lines(message,
		                      SLICE_LITERAL("Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx\r\n"
		                                    "Record-Route: <sip:192.0.2.1;lr>\r\n"));
}

static void follow_up(struct slice printed)
{
	struct bytes *cancel = request_cancel(printed, SLICE_LITERAL("Reason: SIP\r\n"));

	if (cancel != NULL)
		see(bytes_slice(cancel));
	bytes_release(&cancel);
}

static void print_and_read_again(struct message *message)
{
	struct bytes *printed = message_serialize(message, true);
	enum guard_verdict verdict;
	struct message *again;

	ASSERT(printed != NULL);
	/* Edits lengthen lines and add some, so a limit may be passed; nothing else may go wrong. */
	if (message_parse(bytes_slice(printed), 2 * LIMIT, &again, &verdict) == MESSAGE_SOUND) {
		ASSERT(slice_equal(message_body(again), message_body(message)));
		ASSERT(slice_equal(message_call_id(again), message_call_id(message)));
		ASSERT(message_cseq(again) == message_cseq(message));
		ASSERT(message_count(again, HEADER_VIA) == message_count(message, HEADER_VIA));
		ASSERT(message_count(again, HEADER_ROUTE) == message_count(message, HEADER_ROUTE));
	} else {
		ASSERT(verdict != GUARD_PASS);
	}
	message_destroy(&again);
	if (message_is_request(message))
		follow_up(bytes_slice(printed));
	bytes_release(&printed);
}

static bool is_valid(const struct message *request)
{
	struct validation validation;

	validate_request(request, loop_hash(request), &validation);
	see(buffer_slice(&validation.extra));
	validation_free(&validation);
	return validation.status == 0;
}

static void answer(struct message *message, size_t size)
{
	struct bytes *reply = reply_to_message(message, 400, "Bad Request", SLICE_NONE);

	ASSERT(reply != NULL);
	ASSERT(message_method(message) != METHOD_ACK || message_is_request(message));
	/* No answer to an unverified source exceeds its request by more than 128 bytes; compact names
	 * are copied as they are, and received and rport were not added here. */
	ASSERT(reply->length <= size + 128);
	see(bytes_slice(reply));
	bytes_release(&reply);
}

/* What is remembered of sound lines never changes a verdict. */
static void judge_again(struct slice bytes, enum message_fault fault)
{
	enum guard_verdict verdict;
	struct message *again;

	ASSERT(message_parse(bytes, LIMIT, &again, &verdict) == fault);
	message_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_ready;
	enum guard_verdict verdict;
	struct message *message;
	enum message_fault fault;
	unsigned what;

	if (!is_ready) {
		hash_key_init();
		if (message_system_init() != 0)
			abort();
		is_ready = true;
	}
	if (size < 2)
		return 0;
	what = (unsigned)data[0] << 8 | data[1];
	data += 2;
	size -= 2;
	fault = message_parse(slice_of((const char *)data, size), LIMIT, &message, &verdict);
	judge_again(slice_of((const char *)data, size), fault);
	if (message != NULL && message_is_request(message))
		answer(message, size);
	if (fault == MESSAGE_SOUND) {
		look(message);
		/* What validation refuses is never forwarded. */
		if (!message_is_request(message) || is_valid(message)) {
			edit(message, what);
			look(message);
			print_and_read_again(message);
		}
	}
	message_destroy(&message);
	return 0;
}
