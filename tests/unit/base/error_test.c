/* Words for errors, and the end of the process for mistakes of our own. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"

static void an_error_has_words_whatever_its_sign_and_however_odd(void **state)
{
	assert_non_null(strstr(error_text(-ECONNREFUSED), "refused"));
	for (int err = -200; err <= 200; err++)
		assert_true(strlen(error_text(err)) > 0);
	assert_string_not_equal(error_text(-ENOMEM), error_text(-ECONNREFUSED));
	assert_true(strlen(error_text(INT32_MIN)) > 0);
}

static void a_broken_assertion_is_named_and_ends_the_process(void **state)
{
	char text[512];
	ssize_t length;
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		ASSERT(1 + 1 == 3);
		_exit(0);
	}
	close(ends[1]);
	length = read(ends[0], text, sizeof(text) - 1);
	assert_true(length > 0);
	text[length] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(text, "1 + 1 == 3"));
	assert_non_null(strstr(text, "error_test.c"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_has_words_whatever_its_sign_and_however_odd),
		cmocka_unit_test(a_broken_assertion_is_named_and_ends_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
