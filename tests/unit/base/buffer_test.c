#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "support/alloc_fail.h"

static void assert_text(const struct buffer *buffer, const char *text)
{
	assert_false(buffer->failed);
	assert_true(slice_equal(buffer_slice(buffer), slice_from_string(text)));
}

static void appends_of_every_kind_follow_one_another(void **state)
{
	struct buffer buffer;

	buffer_init(&buffer);
	assert_text(&buffer, "");
	buffer_append_string(&buffer, "CSeq: ");
	buffer_append_uint(&buffer, 0);
	buffer_append_uint(&buffer, UINT64_MAX);
	buffer_append_slice(&buffer, SLICE_LITERAL(" INVITE"));
	buffer_append_slice(&buffer, SLICE_NONE);
	buffer_printf(&buffer, ";%s=%d%%", "q", 7);
	buffer_printf(&buffer, "%s", "");
	assert_text(&buffer, "CSeq: 018446744073709551615 INVITE;q=7%");
	buffer_reset(&buffer);
	assert_text(&buffer, "");
	buffer_append(&buffer, "a\0b", 3);
	assert_int_equal(buffer.length, 3);
	buffer_free(&buffer);
	assert_null(buffer.data);
}

static void a_long_text_grows_the_buffer_without_harm(void **state)
{
	struct buffer buffer;

	buffer_init(&buffer);
	for (unsigned i = 0; i < 70000; i++)
		buffer_append(&buffer, &(char){(char)('a' + i % 26)}, 1);
	assert_false(buffer.failed);
	assert_int_equal(buffer.length, 70000);
	for (unsigned i = 0; i < 70000; i++)
		assert_int_equal(buffer.data[i], 'a' + i % 26);
	buffer_printf(&buffer, "%200000d", 1); /* more than doubling gives */
	assert_int_equal(buffer.length, 270000);
	buffer_free(&buffer);
}

static void a_failed_append_is_remembered_until_reset(void **state)
{
	struct buffer buffer;

	buffer_init(&buffer);
	memory_fail_at(1);
	buffer_append_string(&buffer, "lost");
	memory_fail_at(0);
	buffer_append_string(&buffer, "must not stand alone");
	assert_true(buffer.failed);
	assert_int_equal(buffer.length, 0);
	assert_null(buffer_to_bytes(&buffer));
	buffer_reset(&buffer);
	buffer_append_string(&buffer, "fine");
	assert_text(&buffer, "fine");
	buffer_free(&buffer);
}

static void bytes_live_until_the_last_holder_lets_go(void **state)
{
	int64_t before = memory_live_blocks();
	struct bytes *bytes = bytes_copy(SLICE_LITERAL("200 OK")), *second = bytes_share(bytes);

	assert_ptr_equal(bytes, second);
	bytes_release(&bytes);
	assert_null(bytes);
	assert_true(slice_equal(bytes_slice(second), SLICE_LITERAL("200 OK")));
	assert_int_equal(memory_live_blocks() - before, 1);
	bytes_release(&second);
	bytes_release(&second);
	assert_int_equal(memory_live_blocks(), before);
}

static void bytes_too_long_to_count_are_refused(void **state)
{
	assert_null(bytes_create((size_t)UINT32_MAX + 1));
}

static void text_in_an_array_grows_until_it_is_full(void **state)
{
	char text[10] = "";

	text_add(text, sizeof(text), "%d", 12345);
	assert_string_equal(text, "12345");
	text_add(text, sizeof(text), ", %s", "678");
	assert_string_equal(text, "12345, 67");
	text_add(text, sizeof(text), "9");
	assert_string_equal(text, "12345, 67");
}

static void building_scene(void *arg)
{
	struct buffer buffer;
	struct bytes *bytes;

	buffer_init(&buffer);
	for (int i = 0; i < 40; i++)
		buffer_printf(&buffer, "%040d", i);
	bytes = buffer_to_bytes(&buffer);
	assert_int_equal(bytes == NULL, alloc_fail_happened());
	if (bytes != NULL)
		assert_int_equal(bytes->length, 1600);
	bytes_release(&bytes);
	buffer_free(&buffer);
}

static void building_gives_everything_or_null_when_memory_ends(void **state)
{
	assert_int_equal(alloc_fail_each(building_scene, NULL), 5); /* 256 512 1024 2048, bytes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_of_every_kind_follow_one_another),
		cmocka_unit_test(a_long_text_grows_the_buffer_without_harm),
		cmocka_unit_test(a_failed_append_is_remembered_until_reset),
		cmocka_unit_test(bytes_live_until_the_last_holder_lets_go),
		cmocka_unit_test(bytes_too_long_to_count_are_refused),
		cmocka_unit_test(text_in_an_array_grows_until_it_is_full),
		cmocka_unit_test(building_gives_everything_or_null_when_memory_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
