/*
 * The judge of the grammar: sofia-sip's parser with a header class of our own, which knows the
 * headers that a proxy works with and leaves all others alone. The class is built before threads
 * start and only read then; a msg_t lives inside one call. No other file includes sofia.
 */
#include <sofia-sip/su_alloc.h>
#include <sofia-sip/su.h>
#include <sofia-sip/msg.h>
#include <sofia-sip/msg_buffer.h>
#include <sofia-sip/msg_header.h>
#include <sofia-sip/msg_mclass.h>
#include <sofia-sip/sip.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/sip_util.h>

#include "sip_internal.h"

/* sofia's structs for an ordinary message; its strings take as much again as the message has. */
#define ARENA_BYTES 6144

static const msg_mclass_t *header_class;

int judge_init(void)
{
	/* Content-Length must be there, for sofia finds the body by it. Require and its kin are
	 * read from the text by us, and are not here: each header known costs 1-3 k instructions. */
	static const char *const known[] = {
		"Via",     "Route", "Record-Route", "Max-Forwards",   "From", "To",           "Call-ID",
		"CSeq",    "Path",  "Contact",      "Content-Length", "Service-Route",
	};
	const msg_mclass_t *all = sip_default_mclass();
	msg_mclass_t *own;

	if (header_class != NULL)
		return 0;
	if (su_init() != 0)
		return -ENOMEM;
	own = msg_mclass_clone(all, MC_HASH_SIZE, 1);
	if (own == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (msg_mclass_insert(own, msg_find_hclass(all, known[i], NULL)) < 0)
			return -ENOMEM;
	}
	header_class = own;
	return 0;
}

static bool is_sound(msg_t *msg, bool is_request)
{
	const sip_t *sip;
	unsigned bad;

	/* 0 says "incomplete", and there will be no more. */
	if (msg_extract(msg) != 1)
		return false;
	sip = sip_object(msg);
	/* Broken headers leave rc 1 and only this mask behind. A response is forwarded even if a
	 * header is broken that only its receiver needs. */
	bad = msg_extract_errors(msg);
	bad &= is_request ? sip_mask_request | sip_mask_proxy : sip_mask_response;
	return bad == 0 && sip_sanity_check(sip) == 0 && sip->sip_via != NULL;
}

enum message_fault judge_message(char *raw, size_t length, bool is_request)
{
	msg_t *msg = msg_create(header_class, MSG_DO_EXTRACT_COPY);
	enum message_fault fault;

	if (msg == NULL)
		return MESSAGE_NO_MEMORY;
	su_home_preload(msg_home(msg), 1, ARENA_BYTES + length);
	msg_buf_set(msg, raw, length + 1);
	msg_buf_commit(msg, length, 1);
	fault = is_sound(msg, is_request) ? MESSAGE_SOUND : MESSAGE_BAD_HEADER;
	msg_destroy(msg);
	return fault;
}
