#include "sip/framer.h"

#include "support/alloc_fail.h"
#include "support/sip_text.h"

#define LIMIT 500

/* A connection: bytes come in, frames go out. */
struct stream {
	struct framer framer;
	char data[4096];
	size_t length;
	struct slice frame; /* of the last verdict */
};

static void stream_init(struct stream *stream)
{
	framer_init(&stream->framer, LIMIT);
	stream->length = 0;
}

static enum framer_verdict stream_next(struct stream *stream)
{
	enum framer_verdict verdict;
	size_t start, length;
	/* Exactly as long as what has come, for ASan. */
	char *exact = malloc(stream->length > 0 ? stream->length : 1);
	static char frame[4096];

	memcpy(exact, stream->data, stream->length);
	verdict = framer_next(&stream->framer, slice_of(exact, stream->length), &start, &length);
	free(exact);
	assert_true(start + length <= stream->length);
	memcpy(frame, stream->data + start, length);
	stream->frame = slice_of(frame, length);
	if (verdict == FRAMER_MESSAGE || verdict == FRAMER_PING || verdict == FRAMER_PONG) {
		stream->length -= start + length;
		memmove(stream->data, stream->data + start + length, stream->length);
	}
	return verdict;
}

static void stream_put(struct stream *stream, const void *data, size_t length)
{
	assert_true(stream->length + length <= sizeof(stream->data));
	memcpy(stream->data + stream->length, data, length);
	stream->length += length;
}

static enum framer_verdict first_verdict(const char *text)
{
	struct stream stream;

	stream_init(&stream);
	stream_put(&stream, text, strlen(text));
	return stream_next(&stream);
}

#define FIRST "OPTIONS sip:a SIP/2.0\r\nContent-Length: 4\r\nX: y\r\n\r\nbody"
#define SECOND "SIP/2.0 200 OK\r\nX: y\r\nl :\r\n 0\r\n\r\n"

static void pipelined_messages_come_out_one_by_one(void **state)
{
	struct stream stream;

	stream_init(&stream);
	stream_put(&stream, FIRST SECOND "OPT", strlen(FIRST SECOND "OPT"));
	assert_int_equal(stream_next(&stream), FRAMER_MESSAGE);
	assert_slice(stream.frame, FIRST);
	assert_int_equal(stream_next(&stream), FRAMER_MESSAGE);
	assert_slice(stream.frame, SECOND);
	assert_int_equal(stream_next(&stream), FRAMER_MORE);
	assert_int_equal(stream.length, 3);
}

static void bytes_that_drip_one_by_one_make_the_same_frames(void **state)
{
	static const char text[] = "\r\n\r\n" FIRST "\r\n" SECOND;
	static const enum framer_verdict expected[] = {FRAMER_PING, FRAMER_MESSAGE, FRAMER_PONG,
	                                               FRAMER_MESSAGE};
	struct stream stream;
	size_t seen = 0;

	stream_init(&stream);
	for (size_t i = 0; i < sizeof(text) - 1; i++) {
		enum framer_verdict verdict;

		stream_put(&stream, text + i, 1);
		while ((verdict = stream_next(&stream)) != FRAMER_MORE) {
			assert_true(seen < 4);
			assert_int_equal(verdict, expected[seen]);
			if (seen == 1)
				assert_slice(stream.frame, FIRST);
			seen++;
		}
	}
	assert_int_equal(seen, 4);
	assert_int_equal(stream.length, 0);
}

static void every_cut_in_two_makes_the_same_frames(void **state)
{
	static const char text[] = FIRST SECOND;

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		struct stream stream;
		int messages = 0;

		stream_init(&stream);
		stream_put(&stream, text, cut);
		while (stream_next(&stream) == FRAMER_MESSAGE)
			messages++;
		stream_put(&stream, text + cut, sizeof(text) - 1 - cut);
		while (stream_next(&stream) == FRAMER_MESSAGE)
			messages++;
		assert_int_equal(messages, 2);
	}
}

static void double_crlf_is_a_ping_and_a_single_one_a_pong(void **state)
{
	assert_int_equal(first_verdict("\r"), FRAMER_MORE);
	assert_int_equal(first_verdict("\r\n"), FRAMER_MORE);
	assert_int_equal(first_verdict("\r\n\r"), FRAMER_MORE);
	assert_int_equal(first_verdict("\r\n\r\n"), FRAMER_PING);
	assert_int_equal(first_verdict("\r\nO"), FRAMER_PONG);
	assert_int_equal(first_verdict("\r\n\rO"), FRAMER_PONG);
	assert_int_equal(first_verdict(""), FRAMER_MORE);
}

static void a_stream_needs_one_clean_content_length(void **state)
{
	assert_int_equal(first_verdict("A b c\r\nX: y\r\n\r\n"), FRAMER_NO_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nl: -1\r\n\r\n"), FRAMER_BAD_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nl: +1\r\n\r\n"), FRAMER_BAD_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nl:\r\n\r\n"), FRAMER_BAD_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nl: 1 2\r\n\r\n"), FRAMER_BAD_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nl: 1, 1\r\n\r\n"), FRAMER_BAD_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nl: 0x1\r\n\r\n"), FRAMER_BAD_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nl: 1\r\ncontent-LENGTH: 2\r\n\r\n"),
	                 FRAMER_BAD_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nl: 99999999999999999999\r\n\r\n"),
	                 FRAMER_BAD_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nl: 4294967297\r\n\r\n"), FRAMER_BAD_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nContent-Length\t: 0\r\n\r\n"), FRAMER_MESSAGE);
	/* In the start line or inside another header it is none. */
	assert_int_equal(first_verdict("l: 0 c\r\nX: y\r\n\r\n"), FRAMER_NO_LENGTH);
	assert_int_equal(first_verdict("A b c\r\nX: y\r\n l: 0\r\n\r\n"), FRAMER_NO_LENGTH);
}

static void errors_give_the_headers_for_an_answer(void **state)
{
	struct stream stream;

	stream_init(&stream);
	stream_put(&stream, "A b c\r\nl: -1\r\n\r\nbody", 20);
	assert_int_equal(stream_next(&stream), FRAMER_BAD_LENGTH);
	assert_slice(stream.frame, "A b c\r\nl: -1\r\n\r\n");
}

static void what_is_too_long_is_told_as_soon_as_known(void **state)
{
	struct stream stream;
	char filler[LIMIT + 1];

	memset(filler, 'x', sizeof(filler));
	stream_init(&stream);
	stream_put(&stream, filler, LIMIT);
	assert_int_equal(stream_next(&stream), FRAMER_MORE);
	stream_put(&stream, filler, 1);
	assert_int_equal(stream_next(&stream), FRAMER_TOO_LONG);
	/* 17 bytes of headers */
	assert_int_equal(first_verdict("A b c\r\nl: 483\r\n\r\n"), FRAMER_MORE);
	assert_int_equal(first_verdict("A b c\r\nl: 484\r\n\r\n"), FRAMER_TOO_LONG);
	assert_int_equal(first_verdict("A b c\r\nl: 2147483647\r\n\r\n"), FRAMER_TOO_LONG);
}

static void bytes_that_no_header_may_hold_close_the_stream(void **state)
{
	struct stream stream;

	assert_int_equal(first_verdict("\n"), FRAMER_BAD_BYTES);
	assert_int_equal(first_verdict("\rX"), FRAMER_BAD_BYTES);
	assert_int_equal(first_verdict("A b c\nl: 0\n\n"), FRAMER_BAD_BYTES);
	stream_init(&stream);
	stream_put(&stream, "A b\0c", 5);
	assert_int_equal(stream_next(&stream), FRAMER_BAD_BYTES);
	stream_init(&stream);
	stream_put(&stream, "A b c\r\nl: 2\r\n\r\n\0\n", 17);
	assert_int_equal(stream_next(&stream), FRAMER_MESSAGE);
}

static void framer_scene(void *arg)
{
	assert_int_equal(first_verdict(FIRST), FRAMER_MESSAGE);
}

static void the_framer_allocates_nothing(void **state)
{
	assert_int_equal(alloc_fail_each(framer_scene, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pipelined_messages_come_out_one_by_one),
		cmocka_unit_test(bytes_that_drip_one_by_one_make_the_same_frames),
		cmocka_unit_test(every_cut_in_two_makes_the_same_frames),
		cmocka_unit_test(double_crlf_is_a_ping_and_a_single_one_a_pong),
		cmocka_unit_test(a_stream_needs_one_clean_content_length),
		cmocka_unit_test(errors_give_the_headers_for_an_answer),
		cmocka_unit_test(what_is_too_long_is_told_as_soon_as_known),
		cmocka_unit_test(bytes_that_no_header_may_hold_close_the_stream),
		cmocka_unit_test(the_framer_allocates_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
