/*
 * The torture messages of RFC 4475 and RFC 5118: each through framer, parser and validation, against
 * tests/data/torture/expected.tsv. Runs from the root of the project.
 */
#include <dirent.h>
#include <stdio.h>

#include "sip/framer.h"
#include "sip/reply.h"
#include "sip/validate.h"
#include "support/alloc_fail.h"
#include "support/sip_text.h"

#define DATA "tests/data/torture/"
#define FILE_MAX 16384
#define ROWS_MAX 100

struct row {
	char file[64], udp[32], tcp[32];
};

static struct row rows[ROWS_MAX];
static size_t row_count;

static int read_table(void **state)
{
	FILE *table = fopen(DATA "expected.tsv", "r");
	char line[512];

	if (table == NULL)
		return -1;
	while (fgets(line, sizeof(line), table) != NULL) {
		struct row *row = &rows[row_count];

		if (line[0] == '#')
			continue;
		if (row_count == ROWS_MAX || sscanf(line, "%63[^\t]\t%31[^\t]\t%31[^\t]", row->file,
		                                    row->udp, row->tcp) != 3)
			return -1;
		row_count++;
	}
	fclose(table);
	return sip_text_setup(state);
}

static struct slice read_message(const char *file)
{
	char path[128], *data = malloc(FILE_MAX);
	size_t length;
	FILE *in;

	snprintf(path, sizeof(path), DATA "%s", file);
	in = fopen(path, "rb");
	if (in == NULL)
		fail_msg("cannot open %s", path);
	length = fread(data, 1, FILE_MAX, in);
	fclose(in);
	return slice_of(realloc(data, length), length);
}

/* An answer we would send must be a message itself, and answer this one. */
static void assert_answerable(struct message *message, int status, struct slice extra)
{
	struct bytes *reply = reply_to_message(message, status, reply_reason(status), extra);
	enum guard_verdict verdict;
	struct message *parsed;
	enum message_fault fault;

	assert_non_null(reply);
	fault = message_parse(bytes_slice(reply), SIP_TEXT_LIMIT, &parsed, &verdict);
	/* A broken From stays broken in the answer; the start line and the end are ours. */
	assert_true(fault == MESSAGE_SOUND ? message_status(parsed) == status : parsed == NULL);
	assert_true(fault != MESSAGE_UNPARSABLE && fault != MESSAGE_BAD_LENGTH);
	message_destroy(&parsed);
	bytes_release(&reply);
}

static void outcome_of_sound(struct message *message, char outcome[16])
{
	struct validation validation;

	if (!message_is_request(message)) {
		strcpy(outcome, "absorb");
		return;
	}
	validate_request(message, loop_hash(message), &validation);
	if (validation.status != 0) {
		snprintf(outcome, 16, "%d", validation.status);
		assert_answerable(message, validation.status, buffer_slice(&validation.extra));
	} else {
		strcpy(outcome, "forward");
	}
	validation_free(&validation);
}

static void outcome_of(struct slice bytes, char outcome[16])
{
	enum guard_verdict verdict;
	struct message *message;
	const char *reason;
	enum message_fault fault = message_parse(bytes, SIP_TEXT_LIMIT, &message, &verdict);

	if (fault == MESSAGE_SOUND) {
		outcome_of_sound(message, outcome);
	} else if (message != NULL) {
		int status = message_fault_status(fault, &reason);

		snprintf(outcome, 16, "%d", status);
		assert_answerable(message, status, SLICE_NONE);
	} else {
		strcpy(outcome, "drop");
	}
	message_destroy(&message);
}

static void datagrams_end_as_the_table_says(void **state)
{
	for (size_t i = 0; i < row_count; i++) {
		struct slice bytes = read_message(rows[i].file);
		char outcome[16];

		outcome_of(bytes, outcome);
		if (strcmp(outcome, rows[i].udp) != 0)
			fail_msg("%s: %s, not %s", rows[i].file, outcome, rows[i].udp);
		free((char *)bytes.data);
	}
}

/* The outcomes of all messages in the stream, joined by commas. */
static void outcomes_of_stream(struct slice rest, char outcomes[64])
{
	struct framer framer;
	char outcome[16];

	framer_init(&framer, SIP_TEXT_LIMIT);
	outcomes[0] = '\0';
	while (rest.length > 0) {
		size_t start, length;
		bool goes_on = false;

		switch (framer_next(&framer, rest, &start, &length)) {
		case FRAMER_MESSAGE:
			outcome_of(slice_of(rest.data + start, length), outcome);
			goes_on = true;
			break;
		case FRAMER_PING:
		case FRAMER_PONG:
			rest = slice_skip(rest, start + length);
			continue;
		case FRAMER_NO_LENGTH:
		case FRAMER_BAD_LENGTH:
			/* Then the connection closes, with an answer if there is anybody to have it. */
			outcome_of(slice_of(rest.data, length), outcome);
			strcpy(outcome, strcmp(outcome, "drop") == 0 ? "close" : "400");
			break;
		case FRAMER_MORE:
			strcpy(outcome, "wait");
			break;
		case FRAMER_TOO_LONG:
		case FRAMER_BAD_BYTES:
			strcpy(outcome, "close");
			break;
		}
		if (outcomes[0] != '\0')
			strcat(outcomes, ",");
		strcat(outcomes, outcome);
		if (!goes_on)
			return;
		rest = slice_skip(rest, start + length);
	}
}

static void streams_end_as_the_table_says(void **state)
{
	for (size_t i = 0; i < row_count; i++) {
		struct slice bytes = read_message(rows[i].file);
		char outcomes[64];

		outcomes_of_stream(bytes, outcomes);
		if (strcmp(outcomes, rows[i].tcp) != 0)
			fail_msg("%s: %s, not %s", rows[i].file, outcomes, rows[i].tcp);
		free((char *)bytes.data);
	}
}

/* Headers that are folded are written on one line; nothing else changes. */
static void what_is_forwarded_keeps_its_bytes(void **state)
{
	size_t sound = 0;

	for (size_t i = 0; i < row_count; i++) {
		struct slice bytes = read_message(rows[i].file);
		enum guard_verdict verdict;
		struct message *message;
		struct bytes *printed;

		if (message_parse(bytes, SIP_TEXT_LIMIT, &message, &verdict) == MESSAGE_SOUND) {
			printed = message_serialize(message, false);
			assert_non_null(printed);
			assert_true(printed->length <= bytes.length);
			for (size_t n = 0; n < printed->length; n++) {
				if (printed->data[n] != bytes.data[n] && printed->data[n] != ' ')
					fail_msg("%s: byte %zu", rows[i].file, n);
			}
			bytes_release(&printed);
			sound++;
		}
		message_destroy(&message);
		free((char *)bytes.data);
	}
	assert_true(sound > 30);
}

static size_t count_files(const char *folder)
{
	DIR *directory = opendir(folder);
	struct dirent *item;
	size_t count = 0;

	assert_non_null(directory);
	while ((item = readdir(directory)) != NULL)
		count += strstr(item->d_name, ".dat") != NULL;
	closedir(directory);
	return count;
}

static void the_table_has_a_row_for_every_file(void **state)
{
	assert_int_equal(row_count, count_files(DATA "rfc4475") + count_files(DATA "rfc5118"));
}

static void torture_scene(void *arg)
{
	struct slice bytes = read_message("rfc4475/bext01.dat");
	enum guard_verdict verdict;
	struct message *message;
	struct bytes *reply;

	if (message_parse(bytes, SIP_TEXT_LIMIT, &message, &verdict) == MESSAGE_SOUND) {
		reply = reply_to_message(message, 420, "Bad Extension", SLICE_NONE);
		assert_int_equal(reply == NULL, alloc_fail_happened());
		bytes_release(&reply);
	}
	message_destroy(&message);
	free((char *)bytes.data);
}

static void torture_and_the_end_of_memory_together_leak_nothing(void **state)
{
	assert_true(alloc_fail_each(torture_scene, NULL) > 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_has_a_row_for_every_file),
		cmocka_unit_test(datagrams_end_as_the_table_says),
		cmocka_unit_test(streams_end_as_the_table_says),
		cmocka_unit_test(what_is_forwarded_keeps_its_bytes),
		cmocka_unit_test(torture_and_the_end_of_memory_together_leak_nothing),
	};

	return cmocka_run_group_tests(tests, read_table, NULL);
}
