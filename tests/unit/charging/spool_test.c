/* The spool of billing records: what was appended comes back in order, over restarts, torn ends and full disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory.h"

#include "base/error.h"
#include "base/log.h"
#include "charging/spool.h"
#include "support/alloc_fail.h"

#define ROOM (64u << 20)

struct stage {
	char directory[64];
	struct spool *spool;
	struct buffer record;
};

static void open_stage(struct stage *stage, uint64_t room)
{
	assert_int_equal(spool_open(stage->directory, room, &stage->spool), 0);
}

static struct stage *stage_begin(void)
{
	static struct stage stage;

	log_set_level(LOG_ERROR);
	stage = (struct stage){.directory = "/tmp/bono-spool-XXXXXX"};
	assert_non_null(mkdtemp(stage.directory));
	buffer_init(&stage.record);
	open_stage(&stage, ROOM);
	return &stage;
}

static void stage_end(struct stage *stage)
{
	spool_close(&stage->spool);
	buffer_free(&stage->record);
	directory_remove(stage->directory);
}

static void append(struct stage *stage, const char *text)
{
	assert_int_equal(spool_append(stage->spool, slice_from_string(text)), 0);
}

static struct spool_place expect(struct stage *stage, const char *text)
{
	struct spool_place place = {0};

	assert_int_equal(spool_read(stage->spool, &place, &stage->record), 0);
	assert_true(slice_equal(buffer_slice(&stage->record), slice_from_string(text)));
	return place;
}

static void expect_nothing(struct stage *stage)
{
	struct spool_place place;

	assert_int_equal(spool_read(stage->spool, &place, &stage->record), -ENOENT);
}

static unsigned segments(const struct stage *stage)
{
	DIR *open = opendir(stage->directory);
	struct dirent *entry;
	unsigned count = 0;

	while ((entry = readdir(open)) != NULL)
		count += strstr(entry->d_name, ".spool") != NULL;
	closedir(open);
	return count;
}

static void records_come_back_in_order_and_once(void **state)
{
	struct stage *stage = stage_begin();
	struct spool_place place;

	append(stage, "one");
	append(stage, "two");
	expect(stage, "one");
	append(stage, "three");
	expect(stage, "two");
	place = expect(stage, "three");
	expect_nothing(stage);
	assert_int_equal(spool_records(stage->spool), 3);
	spool_done(stage->spool, &place, 3);
	assert_int_equal(spool_records(stage->spool), 0);
	stage_end(stage);
}

static void what_is_not_done_is_read_again_in_the_next_life(void **state)
{
	struct stage *stage = stage_begin();
	struct spool_place place;

	append(stage, "one");
	append(stage, "two");
	append(stage, "three");
	place = expect(stage, "one");
	expect(stage, "two");
	spool_done(stage->spool, &place, 1);
	spool_close(&stage->spool);

	open_stage(stage, ROOM);
	assert_int_equal(spool_records(stage->spool), 2);
	append(stage, "four");
	expect(stage, "two");
	expect(stage, "three");
	place = expect(stage, "four");
	expect_nothing(stage);
	spool_done(stage->spool, &place, 3);
	spool_close(&stage->spool);

	open_stage(stage, ROOM);
	assert_int_equal(spool_records(stage->spool), 0);
	expect_nothing(stage);
	append(stage, "five");
	expect(stage, "five");
	stage_end(stage);
}

static void a_torn_end_costs_the_torn_record_only(void **state)
{
	struct stage *stage = stage_begin();
	char path[512];
	struct stat status;

	append(stage, "whole");
	append(stage, "torn by a crash");
	spool_close(&stage->spool);
	snprintf(path, sizeof(path), "%s/%016x.spool", stage->directory, 1);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(truncate(path, status.st_size - 4), 0);

	open_stage(stage, ROOM);
	assert_int_equal(spool_broken(stage->spool), 1);
	assert_int_equal(spool_records(stage->spool), 1);
	append(stage, "after");
	expect(stage, "whole");
	expect(stage, "after");
	expect_nothing(stage);
	stage_end(stage);
}

static void a_changed_byte_is_seen(void **state)
{
	struct stage *stage = stage_begin();
	char path[512];
	int fd;

	append(stage, "as it was");
	spool_close(&stage->spool);
	snprintf(path, sizeof(path), "%s/%016x.spool", stage->directory, 1);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "X", 1, 20), 1);
	close(fd);

	open_stage(stage, ROOM);
	assert_int_equal(spool_records(stage->spool), 0);
	assert_int_equal(spool_broken(stage->spool), 1);
	expect_nothing(stage);
	stage_end(stage);
}

static void a_full_spool_takes_no_more_until_something_is_done(void **state)
{
	struct stage *stage = stage_begin();
	struct spool_place place = {0};
	static char big[100 * 1024];
	unsigned count = 0, done = 0;
	int err;

	spool_close(&stage->spool);
	open_stage(stage, 3 << 20);
	memset(big, 'x', sizeof(big));
	while ((err = spool_append(stage->spool, slice_of(big, sizeof(big)))) == 0)
		count++;
	assert_int_equal(err, -ENOSPC);
	assert_in_range(count, 28, 31);
	assert_true(spool_bytes(stage->spool) <= 3 << 20);
	assert_true(segments(stage) >= 3);
	/* Room comes back by the segment. */
	while (spool_append(stage->spool, slice_of(big, sizeof(big))) != 0) {
		assert_int_equal(spool_read(stage->spool, &place, &stage->record), 0);
		assert_int_equal(stage->record.length, sizeof(big));
		spool_done(stage->spool, &place, 1);
		done++;
	}
	assert_true(done < count);
	assert_int_equal(spool_records(stage->spool), count - done + 1);
	stage_end(stage);
}

static void segments_that_are_done_leave_the_disk(void **state)
{
	struct stage *stage = stage_begin();
	static char big[200 * 1024];
	struct spool_place place = {0};

	memset(big, 'y', sizeof(big));
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(spool_append(stage->spool, slice_of(big, sizeof(big))), 0);
	assert_true(segments(stage) >= 8);
	for (unsigned i = 0; i < 40; i++)
		assert_int_equal(spool_read(stage->spool, &place, &stage->record), 0);
	spool_done(stage->spool, &place, 40);
	assert_int_equal(segments(stage), 1);
	spool_close(&stage->spool);
	open_stage(stage, ROOM);
	expect_nothing(stage);
	append(stage, "next");
	expect(stage, "next");
	stage_end(stage);
}

static uint64_t bytes_on_disk(const struct stage *stage)
{
	DIR *open = opendir(stage->directory);
	struct dirent *entry;
	struct stat status;
	uint64_t bytes = 0;

	while ((entry = readdir(open)) != NULL)
		if (strstr(entry->d_name, ".spool") != NULL &&
		    fstatat(dirfd(open), entry->d_name, &status, 0) == 0)
			bytes += (uint64_t)status.st_size;
	closedir(open);
	return bytes;
}

/* A file may not grow beyond this: as a full disk, in the middle of a record. */
static void set_disk(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void what_a_full_disk_does_not_take_takes_no_room(void **state)
{
	struct stage *stage = stage_begin();
	static char big[1000];
	unsigned lost = 0;

	signal(SIGXFSZ, SIG_IGN);
	memset(big, 'w', sizeof(big));
	append(stage, "before");
	assert_int_equal(spool_sync(stage->spool), 0);
	set_disk(4321);
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(spool_append(stage->spool, slice_of(big, sizeof(big))), 0);
		for (unsigned n = 0; n < 9; n++, lost++)
			assert_int_equal(spool_append(stage->spool, slice_of(big, 999)), 0);
		assert_int_equal(spool_sync(stage->spool), -EFBIG);
		lost++;
	}
	assert_int_equal(spool_lost(stage->spool), lost);
	assert_int_equal(spool_records(stage->spool), 1);
	assert_int_equal(spool_bytes(stage->spool), bytes_on_disk(stage));
	assert_int_equal(segments(stage), 1);
	set_disk(RLIM_INFINITY);
	append(stage, "after");
	expect(stage, "before");
	expect(stage, "after");
	expect_nothing(stage);
	assert_int_equal(spool_broken(stage->spool), 0);
	stage_end(stage);
}

/* What stands behind a broken record of the segment that is being written goes to another one, and is read. */
static void a_record_that_breaks_while_it_waits_costs_its_segment_alone(void **state)
{
	struct stage *stage = stage_begin();
	char path[512];
	int fd;

	append(stage, "broken");
	assert_int_equal(spool_sync(stage->spool), 0);
	snprintf(path, sizeof(path), "%s/%016x.spool", stage->directory, 1);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "X", 1, 20), 1);
	close(fd);
	expect_nothing(stage);
	assert_int_equal(spool_lost(stage->spool), 1);
	append(stage, "one");
	expect(stage, "one");
	append(stage, "two");
	expect(stage, "two");
	assert_int_equal(spool_records(stage->spool), 2);
	stage_end(stage);
}

/* Out of memory just as a segment has begun: it stays, though all before it is done. */
static void append_and_read(void *arg)
{
	static char big[200 * 1024];
	struct spool *spool = NULL;
	struct spool_place place;
	struct buffer record;

	if (spool_open(arg, ROOM, &spool) != 0)
		return;
	buffer_init(&record);
	memset(big, 'v', sizeof(big));
	for (unsigned i = 0; i < 7; i++) {
		(void)spool_append(spool, slice_of(big, sizeof(big)));
		while (spool_read(spool, &place, &record) == 0)
			spool_done(spool, &place, 1);
	}
	while (spool_read(spool, &place, &record) == 0)
		spool_done(spool, &place, 1);
	assert_int_equal(spool_lost(spool), 0);
	buffer_free(&record);
	spool_close(&spool);
}

static void nothing_that_was_taken_is_lost_for_want_of_memory(void **state)
{
	struct stage *stage = stage_begin();

	spool_close(&stage->spool);
	assert_true(alloc_fail_each(append_and_read, stage->directory) > 0);
	open_stage(stage, ROOM);
	stage_end(stage);
}

static void a_record_too_long_or_empty_is_refused(void **state)
{
	struct stage *stage = stage_begin();
	static char big[SPOOL_RECORD_MAX + 1];

	assert_int_equal(spool_append(stage->spool, SLICE_NONE), -EMSGSIZE);
	assert_int_equal(spool_append(stage->spool, slice_of(big, sizeof(big))), -EMSGSIZE);
	memset(big, 'z', sizeof(big));
	assert_int_equal(spool_append(stage->spool, slice_of(big, SPOOL_RECORD_MAX)), 0);
	stage_end(stage);
}

static void a_directory_that_cannot_be_made_is_told(void **state)
{
	struct spool *spool = NULL;

	assert_int_equal(spool_open("/proc/nowhere/spool", ROOM, &spool), -ENOENT);
	assert_null(spool);
}

static void life(void *arg)
{
	const char *directory = arg;
	struct spool *spool = NULL;
	struct spool_place place;
	struct buffer record;

	buffer_init(&record);
	if (spool_open(directory, ROOM, &spool) == 0) {
		(void)spool_append(spool, SLICE_LITERAL("one"));
		(void)spool_append(spool, SLICE_LITERAL("two"));
		(void)spool_sync(spool);
		while (spool_read(spool, &place, &record) == 0)
			spool_done(spool, &place, 1);
	}
	spool_close(&spool);
	buffer_free(&record);
}

static void every_allocation_may_fail(void **state)
{
	struct stage *stage = stage_begin();

	spool_close(&stage->spool);
	assert_true(alloc_fail_each(life, stage->directory) > 0);
	open_stage(stage, ROOM); /* and what is there is still sound */
	assert_int_equal(spool_broken(stage->spool), 0);
	stage_end(stage);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_back_in_order_and_once),
		cmocka_unit_test(what_is_not_done_is_read_again_in_the_next_life),
		cmocka_unit_test(a_torn_end_costs_the_torn_record_only),
		cmocka_unit_test(a_changed_byte_is_seen),
		cmocka_unit_test(a_full_spool_takes_no_more_until_something_is_done),
		cmocka_unit_test(segments_that_are_done_leave_the_disk),
		cmocka_unit_test(what_a_full_disk_does_not_take_takes_no_room),
		cmocka_unit_test(a_record_that_breaks_while_it_waits_costs_its_segment_alone),
		cmocka_unit_test(nothing_that_was_taken_is_lost_for_want_of_memory),
		cmocka_unit_test(a_record_too_long_or_empty_is_refused),
		cmocka_unit_test(a_directory_that_cannot_be_made_is_told),
		cmocka_unit_test(every_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
