#include "sip/flow_token.h"

#include <fcntl.h>
#include <openssl/hmac.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/alloc_fail.h"
#include "support/sip_text.h"

static const uint8_t key_a[32] = {1, 2, 3, 0xff}, key_b[32] = {1, 2, 4, 0xff};
static const struct flow_token sample = {0xdeadbeef, 7, UINT64_C(0x0123456789abcdef), 9,
                                         1700000000};

static enum flow_token_verdict verdict_of(const char *text)
{
	struct flow_token token;

	return flow_token_read(slice_from_string(text), &token);
}

static void a_token_is_read_back_whole(void **state)
{
	char text[FLOW_TOKEN_TEXT_MAX];
	struct flow_token token;

	flow_token_key_set(key_a);
	assert_int_equal(flow_token_write(&sample, text), 43);
	assert_int_equal(strlen(text), 43);
	/* A user part as it stands: RFC 3261 25.1 "unreserved". */
	assert_int_equal(strspn(text,
	                        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
	                 43);
	assert_int_equal(flow_token_read(slice_of(text, 43), &token), FLOW_TOKEN_VALID);
	assert_int_equal(token.node, sample.node);
	assert_int_equal(token.worker, sample.worker);
	assert_true(token.flow == sample.flow);
	assert_int_equal(token.generation, sample.generation);
	assert_int_equal(token.epoch, sample.epoch);
}

static void no_letter_can_be_changed(void **state)
{
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	char text[FLOW_TOKEN_TEXT_MAX];

	flow_token_key_set(key_a);
	flow_token_write(&sample, text);
	for (size_t i = 0; i < 43; i++) {
		char was = text[i];

		for (size_t j = 0; j < 64; j++) {
			text[i] = letters[j];
			if (letters[j] != was)
				assert_int_not_equal(verdict_of(text), FLOW_TOKEN_VALID);
			/* Behind the version every change is a forgery, not another's name. */
			if (letters[j] != was && i >= 2)
				assert_int_equal(verdict_of(text), FLOW_TOKEN_FORGED);
		}
		text[i] = was;
	}
	assert_int_equal(verdict_of(text), FLOW_TOKEN_VALID);
}

static void ordinary_user_parts_are_not_ours(void **state)
{
	char text[FLOW_TOKEN_TEXT_MAX + 1];

	flow_token_key_set(key_a);
	flow_token_write(&sample, text);
	assert_int_equal(verdict_of(""), FLOW_TOKEN_NOT_OURS);
	assert_int_equal(verdict_of("alice"), FLOW_TOKEN_NOT_OURS);
	assert_int_equal(flow_token_read(slice_of(text, 42), &(struct flow_token){0}),
	                 FLOW_TOKEN_NOT_OURS);
	text[20] = '.';
	assert_int_equal(verdict_of(text), FLOW_TOKEN_NOT_OURS);
	memset(text, 'a', 43);
	text[43] = '\0';
	assert_int_equal(verdict_of(text), FLOW_TOKEN_NOT_OURS);
}

static void a_token_of_another_key_is_forged(void **state)
{
	char text[FLOW_TOKEN_TEXT_MAX];

	flow_token_key_set(key_b);
	flow_token_write(&sample, text);
	assert_int_equal(verdict_of(text), FLOW_TOKEN_VALID);
	flow_token_key_set(key_a);
	assert_int_equal(verdict_of(text), FLOW_TOKEN_FORGED);
}

/* Against OpenSSL's own HMAC over the fields as they are laid out. */
static void the_mac_is_hmac_sha256(void **state)
{
	static const uint8_t fields[22] = {0x04, 0xde, 0xad, 0xbe, 0xef, 7,    0x01, 0x23,
	                                   0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0,    0,
	                                   0,    9,    0x65, 0x53, 0xf1, 0x00};
	static const char letters[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint8_t raw[33] = {0}, mac[32];
	char text[FLOW_TOKEN_TEXT_MAX];
	unsigned length;

	memcpy(raw, fields, sizeof(fields));
	HMAC(EVP_sha256(), key_a, sizeof(key_a), fields, sizeof(fields), mac, &length);
	memcpy(raw + sizeof(fields), mac, 10);
	flow_token_key_set(key_a);
	flow_token_write(&sample, text);
	for (size_t i = 0; i < 43; i++) {
		unsigned bits = (unsigned)(raw[i * 6 / 8] << 8 | raw[i * 6 / 8 + 1]);

		assert_int_equal(text[i], letters[bits >> (10 - i * 6 % 8) & 63]);
	}
}

static void node_names_have_ids(void **state)
{
	assert_int_equal(flow_token_node_id(SLICE_LITERAL("bono-1")),
	                 flow_token_node_id(SLICE_LITERAL("bono-1")));
	assert_int_not_equal(flow_token_node_id(SLICE_LITERAL("bono-1")),
	                     flow_token_node_id(SLICE_LITERAL("bono-2")));
}

/* ---- key files ---- */

static char directory[64], key_path[96], previous_path[112];

static int make_directory(void **state)
{
	strcpy(directory, "/tmp/flow_token_test.XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(key_path, sizeof(key_path), "%s/flow-token.key", directory);
	snprintf(previous_path, sizeof(previous_path), "%s.previous", key_path);
	return 0;
}

static int remove_directory(void **state)
{
	unlink(key_path);
	unlink(previous_path);
	return rmdir(directory); /* also tells when something else was left there */
}

static void write_file(const char *path, const void *data, size_t length, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, length), length);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void a_key_is_made_once_and_kept(void **state)
{
	char text[FLOW_TOKEN_TEXT_MAX];
	struct stat status;

	assert_int_equal(flow_token_key_load(key_path), 0);
	assert_int_equal(stat(key_path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(status.st_size, 32);
	flow_token_write(&sample, text);
	flow_token_key_set(key_a);
	assert_int_equal(verdict_of(text), FLOW_TOKEN_FORGED);
	assert_int_equal(flow_token_key_load(key_path), 0); /* the next life of the process */
	assert_int_equal(verdict_of(text), FLOW_TOKEN_VALID);
}

static void the_previous_key_is_still_accepted_but_not_used(void **state)
{
	char old[FLOW_TOKEN_TEXT_MAX], new[FLOW_TOKEN_TEXT_MAX];

	flow_token_key_set(key_a);
	flow_token_write(&sample, old);
	write_file(previous_path, key_a, 32, 0600);
	write_file(key_path, key_b, 32, 0600);
	assert_int_equal(flow_token_key_load(key_path), 0);
	assert_int_equal(verdict_of(old), FLOW_TOKEN_VALID);
	flow_token_write(&sample, new);
	flow_token_key_set(key_b);
	assert_int_equal(verdict_of(new), FLOW_TOKEN_VALID);
	assert_int_equal(verdict_of(old), FLOW_TOKEN_FORGED);
}

static void a_key_file_that_cannot_be_trusted_is_refused(void **state)
{
	char missing[160];

	write_file(key_path, key_a, 31, 0600);
	assert_int_equal(flow_token_key_load(key_path), -EINVAL);
	write_file(key_path, "123456789012345678901234567890123", 33, 0600);
	assert_int_equal(flow_token_key_load(key_path), -EINVAL);
	write_file(key_path, key_a, 32, 0640);
	assert_int_equal(flow_token_key_load(key_path), -EPERM);
	write_file(key_path, key_a, 32, 0600);
	write_file(previous_path, key_a, 0, 0600);
	assert_int_equal(flow_token_key_load(key_path), -EINVAL);
	snprintf(missing, sizeof(missing), "%s/none/key", directory);
	assert_int_equal(flow_token_key_load(missing), -ENOENT);
}

static void token_scene(void *arg)
{
	char text[FLOW_TOKEN_TEXT_MAX];

	flow_token_key_set(key_a);
	flow_token_write(&sample, text);
	assert_int_equal(verdict_of(text), FLOW_TOKEN_VALID);
}

static void tokens_allocate_nothing(void **state)
{
	assert_int_equal(alloc_fail_each(token_scene, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_is_read_back_whole),
		cmocka_unit_test(no_letter_can_be_changed),
		cmocka_unit_test(ordinary_user_parts_are_not_ours),
		cmocka_unit_test(a_token_of_another_key_is_forged),
		cmocka_unit_test(the_mac_is_hmac_sha256),
		cmocka_unit_test(node_names_have_ids),
		cmocka_unit_test_setup_teardown(a_key_is_made_once_and_kept, make_directory,
	                                        remove_directory),
		cmocka_unit_test_setup_teardown(the_previous_key_is_still_accepted_but_not_used,
	                                        make_directory, remove_directory),
		cmocka_unit_test_setup_teardown(a_key_file_that_cannot_be_trusted_is_refused,
	                                        make_directory, remove_directory),
		cmocka_unit_test(tokens_allocate_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
