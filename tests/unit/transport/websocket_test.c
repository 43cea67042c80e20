/* WebSocket frames, server's side: RFC 6455 5, 7, 8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "support/alloc_fail.h"
#include "transport/websocket.h"

#define LIMIT 70000
#define FIN 0x80
#define CONTINUATION 0

struct stage {
	struct websocket_pool pool;
	struct websocket_reader *reader;
	char *wire; /* what the client sends */
	size_t length;
	struct slice input;
	struct websocket_event event;
};

static int set_up(void **state)
{
	struct stage *stage = calloc(1, sizeof(*stage));

	websocket_pool_init(&stage->pool, LIMIT);
	stage->wire = malloc(4 * LIMIT);
	assert_int_equal(websocket_reader_take(&stage->pool, &stage->reader), 0);
	*state = stage;
	return 0;
}

static int tear_down(void **state)
{
	struct stage *stage = *state;

	websocket_reader_destroy(&stage->reader);
	websocket_pool_free(&stage->pool);
	free(stage->wire);
	free(stage);
	return 0;
}

/* A frame as a client writes it; `told` bytes are announced in a length field of `width` bytes (0: in the
 * second byte), `length` of them follow. */
static void put_frame(struct stage *stage, unsigned first, const void *payload, size_t length,
                      size_t told, unsigned width, bool masked)
{
	static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	unsigned char *at = (unsigned char *)stage->wire + stage->length, *begin = at;

	*at++ = (unsigned char)first;
	*at++ = (unsigned char)((masked ? 0x80 : 0) | (width == 0 ? told : width == 2 ? 126 : 127));
	for (unsigned i = width; i > 0; i--)
		*at++ = (unsigned char)(told >> (8 * (i - 1)));
	if (masked) {
		memcpy(at, mask, 4);
		at += 4;
	}
	for (size_t i = 0; i < length; i++)
		*at++ = (unsigned char)(((const unsigned char *)payload)[i] ^
		                        (masked ? mask[i % 4] : 0));
	stage->length += (size_t)(at - begin);
	stage->input = slice_of(stage->wire, stage->length);
}

static void put(struct stage *stage, unsigned first, const void *payload, size_t length)
{
	put_frame(stage, first, payload, length, length,
	          length < 126     ? 0
	          : length < 65536 ? 2
	                           : 8,
	          true);
}

static void put_text(struct stage *stage, unsigned first, const char *text)
{
	put(stage, first, text, strlen(text));
}

static enum websocket_verdict next(struct stage *stage)
{
	return websocket_read(stage->reader, &stage->input, &stage->event);
}

static void assert_message(struct stage *stage, enum websocket_opcode opcode, const char *text)
{
	assert_int_equal(next(stage), WEBSOCKET_GOT_MESSAGE);
	assert_int_equal(stage->event.opcode, opcode);
	assert_int_equal(stage->event.payload.length, strlen(text));
	assert_memory_equal(stage->event.payload.data, text, strlen(text));
}

static void assert_fault(struct stage *stage, enum websocket_code code)
{
	assert_int_equal(next(stage), WEBSOCKET_FAULT);
	assert_int_equal(stage->event.code, code);
	websocket_reader_destroy(&stage->reader);
	assert_int_equal(websocket_reader_take(&stage->pool, &stage->reader), 0);
	stage->length = 0;
}

static void messages_of_text_and_of_bytes_are_told_apart(void **state)
{
	struct stage *stage = *state;

	put_text(stage, FIN | WEBSOCKET_TEXT, "OPTIONS sip:a SIP/2.0\r\n\r\n");
	put(stage, FIN | WEBSOCKET_BINARY, "\xff\xfe\x01", 3);
	put_text(stage, FIN | WEBSOCKET_TEXT, "");
	assert_message(stage, WEBSOCKET_TEXT, "OPTIONS sip:a SIP/2.0\r\n\r\n");
	assert_message(stage, WEBSOCKET_BINARY, "\xff\xfe\x01");
	assert_message(stage, WEBSOCKET_TEXT, "");
	assert_int_equal(next(stage), WEBSOCKET_MORE);
	assert_int_equal(stage->input.length, 0);
}

static void message_in_fragments_with_a_ping_between_is_one_message(void **state)
{
	struct stage *stage = *state;

	put_text(stage, WEBSOCKET_TEXT, "one ");
	put_text(stage, FIN | WEBSOCKET_PING, "still there?");
	put_text(stage, CONTINUATION, "");
	put_text(stage, CONTINUATION, "two ");
	put_text(stage, FIN | CONTINUATION, "three");
	assert_int_equal(next(stage), WEBSOCKET_GOT_PING);
	assert_int_equal(stage->event.payload.length, 12);
	assert_memory_equal(stage->event.payload.data, "still there?", 12);
	assert_message(stage, WEBSOCKET_TEXT, "one two three");
}

/* Whatever the cuts: the same message. */
static void take_in_steps(struct stage *stage, size_t step, const char *wanted, size_t length)
{
	const struct slice whole = slice_of(stage->wire, stage->length);
	enum websocket_verdict verdict = WEBSOCKET_MORE;
	size_t given = 0;

	while (verdict == WEBSOCKET_MORE && given < whole.length) {
		const size_t piece = whole.length - given < step ? whole.length - given : step;

		stage->input = slice_of(whole.data + given, piece);
		verdict = next(stage);
		given += piece - stage->input.length;
	}
	assert_int_equal(given, whole.length);
	assert_int_equal(verdict, WEBSOCKET_GOT_MESSAGE);
	assert_int_equal(stage->event.payload.length, length);
	assert_memory_equal(stage->event.payload.data, wanted, length);
}

static void messages_of_all_lengths_come_whole_however_they_are_cut(void **state)
{
	static const size_t lengths[] = {0, 1, 125, 126, 127, 4082, 4096, 65535, 65536, LIMIT};
	static const size_t steps[] = {1, 2, 7, 4096, 10 * LIMIT};
	struct stage *stage = *state;
	char *payload = malloc(LIMIT);

	for (size_t i = 0; i < LIMIT; i++)
		payload[i] = (char)('a' + i % 23);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		for (size_t j = 0; j < sizeof(steps) / sizeof(steps[0]); j++) {
			stage->length = 0;
			put(stage, FIN | WEBSOCKET_TEXT, payload, lengths[i]);
			take_in_steps(stage, steps[j], payload, lengths[i]);
		}
	}
	free(payload);
}

static void frames_without_mask_or_with_reserved_bits_or_opcodes_are_faults(void **state)
{
	struct stage *stage = *state;

	put_frame(stage, FIN | WEBSOCKET_TEXT, "hello", 5, 5, 0, false);
	assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
	put_frame(stage, FIN | WEBSOCKET_PING, "", 0, 0, 0, false);
	assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
	for (unsigned reserved = 0x10; reserved <= 0x40; reserved *= 2) {
		put_text(stage, FIN | reserved | WEBSOCKET_TEXT, "hello");
		assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
	}
	for (unsigned opcode = 0; opcode < 16; opcode++) {
		if (opcode == WEBSOCKET_TEXT || opcode == WEBSOCKET_BINARY ||
		    (opcode >= WEBSOCKET_CLOSE && opcode <= WEBSOCKET_PONG))
			continue;
		put_text(stage, FIN | opcode, "hello");
		assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
	}
}

static void fragments_out_of_order_are_faults(void **state)
{
	struct stage *stage = *state;

	put_text(stage, WEBSOCKET_TEXT, "one");
	put_text(stage, FIN | WEBSOCKET_TEXT, "another");
	assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
	put_text(stage, FIN | WEBSOCKET_TEXT, "one");
	put_text(stage, FIN | CONTINUATION, "more");
	assert_message(stage, WEBSOCKET_TEXT, "one");
	assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
}

static void control_frames_that_are_long_or_cut_are_faults(void **state)
{
	struct stage *stage = *state;
	char payload[126] = {0};

	put(stage, FIN | WEBSOCKET_PING, payload, 125);
	assert_int_equal(next(stage), WEBSOCKET_GOT_PING);
	assert_int_equal(stage->event.payload.length, 125);
	put(stage, FIN | WEBSOCKET_PONG, payload, 126);
	stage->input = slice_of(stage->wire + 131, stage->length - 131);
	assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
	put(stage, WEBSOCKET_PING, payload, 1);
	assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
}

static void lengths_not_in_their_shortest_form_are_faults(void **state)
{
	struct stage *stage = *state;
	char payload[200] = {0};

	put_frame(stage, FIN | WEBSOCKET_BINARY, payload, 100, 100, 2, true);
	assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
	put_frame(stage, FIN | WEBSOCKET_BINARY, payload, 200, 200, 8, true);
	assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
	put_frame(stage, FIN | WEBSOCKET_BINARY, payload, 1, SIZE_MAX, 8, true);
	assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
}

static void message_over_the_limit_is_refused_before_it_has_come(void **state)
{
	struct stage *stage = *state;
	char *payload = calloc(1, LIMIT);

	put_frame(stage, FIN | WEBSOCKET_BINARY, payload, 1, LIMIT + 1, 8, true);
	assert_fault(stage, WEBSOCKET_TOO_BIG);
	put_frame(stage, FIN | WEBSOCKET_BINARY, payload, 1, SIZE_MAX / 2, 8, true);
	assert_fault(stage, WEBSOCKET_TOO_BIG);
	put(stage, WEBSOCKET_BINARY, payload, LIMIT);
	put(stage, FIN | CONTINUATION, payload, 1);
	assert_fault(stage, WEBSOCKET_TOO_BIG);
	free(payload);
}

static void text_that_is_not_utf8_is_a_fault_and_a_character_cut_in_two_is_not(void **state)
{
	struct stage *stage = *state;

	put_text(stage, FIN | WEBSOCKET_TEXT, "a\xffz");
	assert_fault(stage, WEBSOCKET_NOT_UTF8);
	put(stage, WEBSOCKET_TEXT, "\xc3", 1);
	put(stage, FIN | CONTINUATION, "\xa9", 1);
	assert_message(stage, WEBSOCKET_TEXT, "\xc3\xa9");
	stage->length = 0;
	put(stage, WEBSOCKET_TEXT, "ok \xe2\x82", 5);
	put(stage, FIN | CONTINUATION, "", 0);
	assert_fault(stage, WEBSOCKET_NOT_UTF8);
}

static void utf8_is_what_rfc_3629_says(void **state)
{
	static const char *const good[] = {"",
	                                   "plain",
	                                   "seven..\xc3\xa9",
	                                   "\xc2\x80",
	                                   "\xe0\xa0\x80",
	                                   "\xed\x9f\xbf",
	                                   "\xee\x80\x80",
	                                   "\xef\xbf\xbf",
	                                   "\xf0\x90\x80\x80",
	                                   "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {"\x80",
	                                  "\xc0\x80",
	                                  "\xc1\xbf",
	                                  "\xc3",
	                                  "\xc3(",
	                                  "\xe0\x9f\xbf",
	                                  "\xed\xa0\x80",
	                                  "\xe2\x82",
	                                  "\xf0\x8f\xbf\xbf",
	                                  "\xf4\x90\x80\x80",
	                                  "\xf5\x80\x80\x80",
	                                  "\xf0\x9f\x98",
	                                  "12345678\xff",
	                                  "1234567\xe2\x82"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(websocket_is_utf8(slice_from_string(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(websocket_is_utf8(slice_from_string(bad[i])));
}

static void close_frame_tells_its_code(void **state)
{
	struct stage *stage = *state;

	put(stage, FIN | WEBSOCKET_CLOSE, "\x03\xe8 bye", 6);
	assert_int_equal(next(stage), WEBSOCKET_GOT_CLOSE);
	assert_int_equal(stage->event.code, WEBSOCKET_NORMAL);
	put(stage, FIN | WEBSOCKET_CLOSE, "", 0);
	stage->input = slice_of(stage->wire + 12, stage->length - 12);
	assert_int_equal(next(stage), WEBSOCKET_GOT_CLOSE);
	assert_int_equal(stage->event.code, WEBSOCKET_NO_CODE);
}

static void close_frames_with_half_a_code_or_one_that_may_not_be_sent_are_faults(void **state)
{
	static const unsigned bad[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535};
	struct stage *stage = *state;
	char payload[4] = {'\x03', '\xe8', '\xff', '\xff'};

	put(stage, FIN | WEBSOCKET_CLOSE, payload, 1);
	assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
	put(stage, FIN | WEBSOCKET_CLOSE, payload, 4);
	assert_fault(stage, WEBSOCKET_NOT_UTF8);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		payload[0] = (char)(bad[i] >> 8);
		payload[1] = (char)bad[i];
		put(stage, FIN | WEBSOCKET_CLOSE, payload, 2);
		assert_fault(stage, WEBSOCKET_PROTOCOL_ERROR);
	}
}

static void headers_we_write_have_the_shortest_length(void **state)
{
	unsigned char header[WEBSOCKET_HEADER_MAX_BYTES];

	assert_int_equal(websocket_write_header(WEBSOCKET_TEXT, 125, (char *)header), 2);
	assert_memory_equal(header, "\x81\x7d", 2);
	assert_int_equal(websocket_write_header(WEBSOCKET_BINARY, 126, (char *)header), 4);
	assert_memory_equal(header, "\x82\x7e\x00\x7e", 4);
	assert_int_equal(websocket_write_header(WEBSOCKET_TEXT, 65535, (char *)header), 4);
	assert_memory_equal(header, "\x81\x7e\xff\xff", 4);
	assert_int_equal(websocket_write_header(WEBSOCKET_TEXT, 65536, (char *)header), 10);
	assert_memory_equal(header, "\x81\x7f\0\0\0\0\0\x01\0\0", 10);
}

static void close_frames_we_write_carry_the_code(void **state)
{
	struct bytes *frame = websocket_close_frame(WEBSOCKET_GOING_AWAY);

	assert_int_equal(frame->length, 4);
	assert_memory_equal(frame->data, "\x88\x02\x03\xe9", 4);
	bytes_release(&frame);
	frame = websocket_close_frame(WEBSOCKET_NO_CODE);
	assert_int_equal(frame->length, 2);
	assert_memory_equal(frame->data, "\x88\x00", 2);
	bytes_release(&frame);
}

static void connection_at_rest_has_no_reader_and_one_in_a_message_keeps_its_own(void **state)
{
	struct stage *stage = *state;
	struct websocket_reader *first = stage->reader, *other = NULL;

	put_text(stage, WEBSOCKET_TEXT, "begun");
	assert_int_equal(next(stage), WEBSOCKET_MORE);
	websocket_reader_rest(&stage->pool, &stage->reader);
	assert_ptr_equal(stage->reader, first); /* between the fragments of a message */
	assert_true(websocket_reader_held(first) > 2 * 4096);

	assert_int_equal(websocket_reader_take(&stage->pool, &other), 0);
	assert_ptr_not_equal(other, first);
	websocket_reader_rest(&stage->pool, &other);
	assert_null(other);
	assert_non_null(stage->pool.spare);

	stage->length = 0;
	put_text(stage, FIN | CONTINUATION, ".");
	stage->input.length = 3; /* half a header */
	assert_int_equal(next(stage), WEBSOCKET_MORE);
	websocket_reader_rest(&stage->pool, &stage->reader);
	assert_ptr_equal(stage->reader, first);
	stage->input = slice_of(stage->wire + 3, stage->length - 3);
	assert_message(stage, WEBSOCKET_TEXT, "begun.");
	websocket_reader_rest(&stage->pool, &stage->reader);
	assert_null(stage->reader); /* the pool keeps one */
	assert_int_equal(websocket_reader_take(&stage->pool, &stage->reader), 0);
	assert_null(stage->pool.spare);
	assert_in_range(websocket_reader_held(stage->reader), 4096, 2 * 4096);
}

static void scene_of_two_fragments(void *arg)
{
	struct stage scene = {0}, *stage = &scene;
	char wire[64];

	stage->wire = wire;
	websocket_pool_init(&stage->pool, LIMIT);
	if (websocket_reader_take(&stage->pool, &stage->reader) != 0) {
		assert_null(stage->reader);
		return;
	}
	put_text(stage, WEBSOCKET_TEXT, "in ");
	put_text(stage, FIN | CONTINUATION, "two");
	if (next(stage) == WEBSOCKET_FAULT)
		assert_int_equal(stage->event.code, WEBSOCKET_INTERNAL);
	else
		assert_int_equal(stage->event.payload.length, 6);
	assert_int_equal(stage->event.code == WEBSOCKET_INTERNAL, alloc_fail_happened());
	websocket_reader_destroy(&stage->reader);
}

static void message_that_finds_no_memory_is_our_fault(void **state)
{
	/* the reader and the message */
	assert_int_equal(alloc_fail_each(scene_of_two_fragments, NULL), 2);
}

#define scene(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		scene(messages_of_text_and_of_bytes_are_told_apart),
		scene(message_in_fragments_with_a_ping_between_is_one_message),
		scene(messages_of_all_lengths_come_whole_however_they_are_cut),
		scene(frames_without_mask_or_with_reserved_bits_or_opcodes_are_faults),
		scene(fragments_out_of_order_are_faults),
		scene(control_frames_that_are_long_or_cut_are_faults),
		scene(lengths_not_in_their_shortest_form_are_faults),
		scene(message_over_the_limit_is_refused_before_it_has_come),
		scene(text_that_is_not_utf8_is_a_fault_and_a_character_cut_in_two_is_not),
		cmocka_unit_test(utf8_is_what_rfc_3629_says),
		scene(close_frame_tells_its_code),
		scene(close_frames_with_half_a_code_or_one_that_may_not_be_sent_are_faults),
		cmocka_unit_test(headers_we_write_have_the_shortest_length),
		cmocka_unit_test(close_frames_we_write_carry_the_code),
		scene(connection_at_rest_has_no_reader_and_one_in_a_message_keeps_its_own),
		cmocka_unit_test(message_that_finds_no_memory_is_our_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
