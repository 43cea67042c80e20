#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"

/* Standard error goes into `end` while a test looks at it. */
static int kept_stderr;

static void divert_stderr(int end)
{
	kept_stderr = dup(STDERR_FILENO);
	dup2(end, STDERR_FILENO);
}

static void restore_stderr(void)
{
	dup2(kept_stderr, STDERR_FILENO);
	close(kept_stderr);
}

/* Everything that was written to the file, NUL-terminated, to be freed. */
static char *text_of(FILE *file)
{
	long size;
	char *text;

	fseek(file, 0, SEEK_END);
	size = ftell(file);
	rewind(file);
	text = calloc(1, (size_t)size + 1);
	assert_int_equal(fread(text, 1, (size_t)size, file), size);
	return text;
}

static void a_line_has_time_level_and_text(void **state)
{
	FILE *file = tmpfile();
	char *text;

	divert_stderr(fileno(file));
	log_set_level(LOG_INFO);
	log_info("flow %s: closed, idle %d s", "3f2a", 600);
	log_debug("flow: not wanted");
	restore_stderr();
	text = text_of(file);
	assert_int_equal(strlen(text), 24 + strlen(" INFO  flow 3f2a: closed, idle 600 s\n"));
	assert_string_equal(text + 24, " INFO  flow 3f2a: closed, idle 600 s\n");
	assert_int_equal(text[10], 'T');
	assert_int_equal(text[23], 'Z');
	free(text);
	fclose(file);
}

static void a_name_with_line_ends_makes_no_second_line(void **state)
{
	FILE *file = tmpfile();
	char *text, long_name[2000];

	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	divert_stderr(fileno(file));
	log_error("target a\r\nb\x1b[2J: down");
	log_error("%s", long_name);
	restore_stderr();
	text = text_of(file);
	assert_non_null(strstr(text, " ERROR target a??b?[2J: down\n"));
	assert_true(strlen(text) < 1100); /* the long one is cut */
	assert_int_equal(text[strlen(text) - 1], '\n');
	free(text);
	fclose(file);
}

enum { WRITERS = 4, LINES_EACH = 500 };

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES_EACH; i++)
		log_info("writer %d: line %d", *(const int *)arg, i);
	return NULL;
}

static void lines_of_many_threads_arrive_whole_and_in_their_order(void **state)
{
	FILE *file = tmpfile();
	int numbers[WRITERS], next[WRITERS] = {0}, lines = 0;
	pthread_t threads[WRITERS];
	char *text, *line;

	divert_stderr(fileno(file));
	assert_int_equal(log_start(LOG_INFO), 0);
	for (int i = 0; i < WRITERS; i++) {
		numbers[i] = i;
		pthread_create(&threads[i], NULL, write_lines, &numbers[i]);
	}
	for (int i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	log_stop();
	restore_stderr();
	assert_int_equal(log_dropped(), 0);
	text = text_of(file);
	for (char *at = text; (line = strsep(&at, "\n")) != NULL && *line != '\0'; lines++) {
		int writer, number;

		assert_int_equal(sscanf(line + 24, " INFO  writer %d: line %d", &writer, &number),
		                 2);
		assert_in_range(writer, 0, WRITERS - 1);
		assert_int_equal(number, next[writer]++);
	}
	assert_int_equal(lines, WRITERS * LINES_EACH);
	free(text);
	fclose(file);
}

static void *drain_pipe(void *arg)
{
	char bytes[4096];
	size_t *lines = arg;
	ssize_t n;

	while ((n = read((int)lines[0], bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines[1] += bytes[i] == '\n';
	return NULL;
}

static void a_stuck_reader_costs_lines_and_never_time(void **state)
{
	enum { LINES = 20000 };
	size_t reader[2] = {0};
	pthread_t thread;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	divert_stderr(ends[1]);
	close(ends[1]);
	assert_int_equal(log_start(LOG_INFO), 0);
	/* Nobody reads: pipe and ring fill, and this loop still ends. */
	for (int i = 0; i < LINES; i++)
		log_info("flow %d: opened", i);
	assert_true(log_dropped() > 0);
	reader[0] = (size_t)ends[0];
	pthread_create(&thread, NULL, drain_pipe, reader);
	log_stop();
	restore_stderr(); /* the last writer's end closes */
	pthread_join(thread, NULL);
	assert_int_equal(reader[1] + log_dropped(), LINES);
	close(ends[0]);
}

static void the_log_starts_again_after_it_stopped(void **state)
{
	FILE *file = tmpfile();
	char *text;

	divert_stderr(fileno(file));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(log_start(LOG_WARNING), 0);
		log_info("node: not wanted");
		log_warning("node: run %d", i);
		log_stop();
		log_stop();
	}
	restore_stderr();
	text = text_of(file);
	assert_non_null(strstr(text, " WARN  node: run 0\n"));
	assert_non_null(strstr(text, " WARN  node: run 1\n"));
	assert_null(strstr(text, "not wanted"));
	free(text);
	fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_has_time_level_and_text),
		cmocka_unit_test(a_name_with_line_ends_makes_no_second_line),
		cmocka_unit_test(lines_of_many_threads_arrive_whole_and_in_their_order),
		cmocka_unit_test(a_stuck_reader_costs_lines_and_never_time),
		cmocka_unit_test(the_log_starts_again_after_it_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
