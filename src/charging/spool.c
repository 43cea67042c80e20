/*
 * The spool: segments, the cursor, and what is on its way to the disk. One thread.
 */
#include "charging/spool.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

/* One file: large enough that their number stays small, small enough that what is done frees its room soon. */
#define SEGMENT_BYTES (1u << 20)
/* In memory at most, before it is written without being asked. */
#define WAITING_BYTES_MAX (64u << 10)
/* "LENGTH CRC " before the record, the end of line after it. */
#define HEAD_BYTES 18
#define FRAME_BYTES (HEAD_BYTES + 1)
#define NAME_ROOM 32

struct spool {
	char *directory;
	uint64_t max_bytes, bytes;
	uint64_t first, next;  /* the segments that there are: first .. next-1 */
	int write_fd;          /* of segment next-1; -1: the next record begins a new one */
	uint64_t written;      /* to it, with what waits */
	struct buffer waiting; /* its end */
	uint64_t waiting_records;
	int read_fd;                /* of reading.segment; -1: none */
	struct spool_place reading; /* the next to read stands at .offset */
	struct spool_place done;    /* all before .offset of .segment */
	bool done_moved;            /* since the cursor was written */
	uint64_t records, unread, broken, lost;
};

/* ---- files ---- */

static int path_of(const struct spool *spool, const char *name, struct buffer *out)
{
	buffer_init(out);
	buffer_printf(out, "%s/%s", spool->directory, name);
	buffer_append(out, "", 1);
	return out->failed ? -ENOMEM : 0;
}

static int open_file(const struct spool *spool, const char *name, int flags)
{
	struct buffer path;
	int fd = path_of(spool, name, &path);

	if (fd == 0) {
		fd = open(path.data, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			fd = -errno;
	}
	buffer_free(&path);
	return fd;
}

static void segment_name(uint64_t segment, char name[NAME_ROOM])
{
	snprintf(name, NAME_ROOM, "%016" PRIx64 ".spool", segment);
}

static int open_segment(const struct spool *spool, uint64_t segment, int flags)
{
	char name[NAME_ROOM];

	segment_name(segment, name);
	return open_file(spool, name, flags);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static uint64_t segment_size(const struct spool *spool, uint64_t segment)
{
	struct stat status;
	int fd = open_segment(spool, segment, O_RDONLY);
	uint64_t size = 0;

	if (fd >= 0 && fstat(fd, &status) == 0)
		size = (uint64_t)status.st_size;
	close_fd(&fd);
	return size;
}

static void remove_segment(struct spool *spool, uint64_t segment)
{
	const uint64_t size = segment_size(spool, segment);
	char name[NAME_ROOM];
	struct buffer path;

	segment_name(segment, name);
	if (path_of(spool, name, &path) == 0 && unlink(path.data) != 0 && errno != ENOENT)
		log_warning("charging: %s not removed, %s", path.data, error_text(-errno));
	buffer_free(&path);
	spool->bytes -= size < spool->bytes ? size : spool->bytes;
}

/* ---- records in a file ---- */

static uint32_t crc32_of(struct slice s)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < s.length; i++) {
		crc ^= (uint8_t)s.data[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
	}
	return ~crc;
}

static int write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		length -= (size_t)n;
	}
	return 0;
}

/* -EIO: there are not as many. */
static int read_all(int fd, char *data, size_t length, uint64_t offset)
{
	while (length > 0) {
		ssize_t n = pread(fd, data, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		data += n;
		length -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int make_room(struct buffer *buffer, size_t length)
{
	char *data;

	buffer_reset(buffer);
	if (buffer->capacity >= length)
		return 0;
	data = memory_realloc(buffer->data, length);
	if (data == NULL)
		return -ENOMEM;
	buffer->data = data;
	buffer->capacity = length;
	return 0;
}

/* -EIO: no sound record stands there. */
static int read_record(int fd, uint64_t offset, struct buffer *record)
{
	char head[HEAD_BYTES + 1] = "", end = 0;
	unsigned length, crc;
	int err = read_all(fd, head, HEAD_BYTES, offset);

	if (err != 0)
		return err;
	if (sscanf(head, "%8x %8x ", &length, &crc) != 2 || head[8] != ' ' || head[17] != ' ' ||
	    length == 0 || length > SPOOL_RECORD_MAX)
		return -EIO;
	err = make_room(record, length);
	if (err == 0)
		err = read_all(fd, record->data, length, offset + HEAD_BYTES);
	if (err == 0)
		err = read_all(fd, &end, 1, offset + HEAD_BYTES + length);
	if (err != 0)
		return err;
	record->length = length;
	return end == '\n' && crc32_of(buffer_slice(record)) == crc ? 0 : -EIO;
}

/* ---- what an earlier life left ---- */

static int find_segments(struct spool *spool)
{
	DIR *directory = opendir(spool->directory);
	uint64_t lowest = UINT64_MAX, highest = 0, segment;
	struct dirent *entry;
	char name[NAME_ROOM];

	if (directory == NULL)
		return -errno;
	while ((entry = readdir(directory)) != NULL) {
		if (sscanf(entry->d_name, "%16" SCNx64, &segment) != 1)
			continue;
		segment_name(segment, name);
		if (strcmp(name, entry->d_name) != 0)
			continue;
		lowest = segment < lowest ? segment : lowest;
		highest = segment > highest ? segment : highest;
	}
	closedir(directory);
	spool->next = highest + 1;
	spool->first = lowest != UINT64_MAX ? lowest : spool->next;
	return 0;
}

static void read_cursor(struct spool *spool)
{
	struct spool_place done = {0};
	char text[64] = "";
	int fd = open_file(spool, "cursor", O_RDONLY);

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
	    sscanf(text, "%16" SCNx64 " %" SCNu64, &done.segment, &done.offset) == 2) {
		/* A number once used is not used again: the cursor may be ahead of what is left. */
		if (done.segment >= spool->next)
			spool->next = done.segment + 1;
		if (spool->first > done.segment)
			done = (struct spool_place){.segment = spool->first};
	} else {
		done = (struct spool_place){.segment = spool->first};
	}
	close_fd(&fd);
	spool->done = done;
}

static int count_segment(struct spool *spool, uint64_t segment, struct buffer *record)
{
	uint64_t offset = segment == spool->done.segment ? spool->done.offset : 0;
	const uint64_t size = segment_size(spool, segment);
	int fd = open_segment(spool, segment, O_RDONLY), err;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	while ((err = read_record(fd, offset, record)) == 0) {
		offset += record->length + FRAME_BYTES;
		spool->records++;
	}
	close(fd);
	spool->bytes += size;
	if (err != -EIO)
		return err;
	if (offset < size) {
		spool->broken++;
		log_warning("charging: the last %" PRIu64 " bytes of segment %" PRIx64
		            " are broken, passed over",
		            size - offset, segment);
	}
	return 0;
}

static int recover(struct spool *spool)
{
	struct buffer record;
	int err = find_segments(spool);

	if (err != 0)
		return err;
	read_cursor(spool);
	buffer_init(&record);
	for (uint64_t segment = spool->first; err == 0 && segment < spool->next; segment++) {
		if (segment < spool->done.segment)
			spool->bytes += segment_size(spool, segment);
		else
			err = count_segment(spool, segment, &record);
	}
	buffer_free(&record);
	while (err == 0 && spool->first < spool->done.segment && spool->first < spool->next)
		remove_segment(spool, spool->first++);
	spool->reading = spool->done;
	spool->unread = spool->records;
	return err;
}

int spool_open(const char *directory, uint64_t max_bytes, struct spool **out)
{
	struct spool *spool;
	int err;

	if (mkdir(directory, 0700) != 0 && errno != EEXIST)
		return -errno;
	spool = memory_zalloc(sizeof(*spool));
	if (spool == NULL)
		return -ENOMEM;
	spool->write_fd = spool->read_fd = -1;
	spool->max_bytes = max_bytes;
	buffer_init(&spool->waiting);
	spool->directory = memory_strdup(directory);
	err = spool->directory != NULL ? recover(spool) : -ENOMEM;
	if (err != 0)
		spool_close(&spool);
	*out = spool;
	return err;
}

/* ---- writing ---- */

/* What could not be written is not kept, and takes no room: a disk that fails must not fill the memory, and one that is
 * full not the count of what is on it. What got there of it is cut off again. */
static void forget_waiting(struct spool *spool)
{
	const uint64_t count = spool->waiting_records, length = spool->waiting.length;

	spool->lost += count;
	spool->records -= count;
	spool->unread -= count;
	spool->bytes -= length;
	spool->written -= length;
	if (ftruncate(spool->write_fd, (off_t)spool->written) == 0 &&
	    lseek(spool->write_fd, (off_t)spool->written, SEEK_SET) >= 0)
		return;
	spool->broken++;
	close_fd(&spool->write_fd); /* a torn end: what follows goes to a new one */
}

static int flush(struct spool *spool)
{
	int err;

	if (spool->waiting.length == 0)
		return 0;
	err = write_all(spool->write_fd, spool->waiting.data, spool->waiting.length);
	if (err != 0)
		forget_waiting(spool);
	buffer_reset(&spool->waiting);
	spool->waiting_records = 0;
	return err;
}

static int end_segment(struct spool *spool)
{
	int err = flush(spool);

	if (err == 0 && spool->write_fd >= 0 && fdatasync(spool->write_fd) != 0)
		err = -errno;
	close_fd(&spool->write_fd);
	return err;
}

static int begin_segment(struct spool *spool)
{
	int err = end_segment(spool);

	if (err != 0)
		return err;
	spool->write_fd = open_segment(spool, spool->next, O_WRONLY | O_CREAT | O_EXCL);
	if (spool->write_fd < 0) {
		err = spool->write_fd;
		spool->write_fd = -1;
		return err;
	}
	spool->next++;
	spool->written = 0;
	return 0;
}

int spool_append(struct spool *spool, struct slice record)
{
	const size_t frame = record.length + FRAME_BYTES, before = spool->waiting.length;
	int err = 0;

	if (record.length == 0 || record.length > SPOOL_RECORD_MAX)
		return -EMSGSIZE;
	if (spool->bytes + frame > spool->max_bytes)
		return -ENOSPC;
	if (spool->write_fd < 0 || spool->written + frame > SEGMENT_BYTES)
		err = begin_segment(spool);
	else if (before + frame > WAITING_BYTES_MAX)
		err = flush(spool);
	if (err != 0)
		return err;
	buffer_printf(&spool->waiting, "%08x %08x ", (unsigned)record.length, crc32_of(record));
	buffer_append_slice(&spool->waiting, record);
	buffer_append(&spool->waiting, "\n", 1);
	if (spool->waiting.failed) { /* half a record would spoil what follows */
		spool->waiting.failed = false;
		spool->waiting.length = spool->waiting.length < before ? 0 : before;
		return -ENOMEM;
	}
	spool->waiting_records++;
	spool->written += frame;
	spool->bytes += frame;
	spool->records++;
	spool->unread++;
	return 0;
}

static int write_cursor(struct spool *spool)
{
	struct buffer path, new_path;
	char text[64];
	int length, fd, err;

	length = snprintf(text, sizeof(text), "%016" PRIx64 " %" PRIu64 "\n", spool->done.segment,
	                  spool->done.offset);
	fd = open_file(spool, "cursor.new", O_WRONLY | O_CREAT | O_TRUNC);
	if (fd < 0)
		return fd;
	err = write_all(fd, text, (size_t)length);
	if (err == 0 && fdatasync(fd) != 0)
		err = -errno;
	close(fd);
	if (path_of(spool, "cursor", &path) != 0 && err == 0)
		err = -ENOMEM;
	if (path_of(spool, "cursor.new", &new_path) != 0 && err == 0)
		err = -ENOMEM;
	if (err == 0 && rename(new_path.data, path.data) != 0)
		err = -errno;
	buffer_free(&path);
	buffer_free(&new_path);
	if (err == 0)
		spool->done_moved = false;
	return err;
}

int spool_sync(struct spool *spool)
{
	int err = flush(spool), cursor = 0;

	if (err == 0 && spool->write_fd >= 0 && fdatasync(spool->write_fd) != 0)
		err = -errno;
	if (spool->done_moved)
		cursor = write_cursor(spool);
	return err != 0 ? err : cursor;
}

void spool_close(struct spool **spool)
{
	struct spool *s = *spool;

	*spool = NULL;
	if (s == NULL)
		return;
	if (s->directory != NULL) {
		int err = spool_sync(s);

		if (err != 0)
			log_error("charging: spool not written, %s", error_text(err));
	}
	close_fd(&s->write_fd);
	close_fd(&s->read_fd);
	buffer_free(&s->waiting);
	memory_free(s->directory);
	memory_free(s);
}

/* ---- reading ---- */

/* What should be there and is not. */
static void give_up_unread(struct spool *spool)
{
	log_error("charging: %" PRIu64 " records cannot be read any more", spool->unread);
	spool->records -= spool->unread;
	spool->lost += spool->unread;
	spool->unread = 0;
	spool->broken++;
}

static void next_segment(struct spool *spool)
{
	close_fd(&spool->read_fd);
	spool->reading = (struct spool_place){.segment = spool->reading.segment + 1};
}

static bool is_being_written(const struct spool *spool, uint64_t segment)
{
	return spool->write_fd >= 0 && segment + 1 == spool->next;
}

int spool_read(struct spool *spool, struct spool_place *place, struct buffer *record)
{
	int err;

	while (spool->unread > 0 && spool->reading.segment < spool->next) {
		if (is_being_written(spool, spool->reading.segment)) {
			err = flush(spool);
			if (err != 0)
				return err;
		}
		if (spool->read_fd < 0)
			spool->read_fd = open_segment(spool, spool->reading.segment, O_RDONLY);
		err = spool->read_fd >= 0
		              ? read_record(spool->read_fd, spool->reading.offset, record)
		              : spool->read_fd;
		if (err == -ENOMEM)
			return err;
		if (err != 0) {
			/* Nobody would read what is written behind it. */
			if (is_being_written(spool, spool->reading.segment))
				close_fd(&spool->write_fd);
			next_segment(spool);
			continue;
		}
		*place = spool->reading;
		place->end = place->offset + record->length + FRAME_BYTES;
		spool->reading.offset = place->end;
		spool->unread--;
		return 0;
	}
	if (spool->unread > 0)
		give_up_unread(spool);
	return -ENOENT;
}

void spool_done(struct spool *spool, const struct spool_place *place, unsigned count)
{
	spool->done = (struct spool_place){.segment = place->segment, .offset = place->end};
	spool->done_moved = true;
	spool->records -= count < spool->records ? count : spool->records;
	/* One that is being written stays, though it holds nothing yet. */
	if (spool->records == 0 && spool->write_fd < 0)
		spool->done = (struct spool_place){.segment = spool->next};
	while (spool->first < spool->done.segment && spool->first < spool->next)
		remove_segment(spool, spool->first++);
}

uint64_t spool_bytes(const struct spool *spool)
{
	return spool->bytes;
}

uint64_t spool_records(const struct spool *spool)
{
	return spool->records;
}

uint64_t spool_lost(const struct spool *spool)
{
	return spool->lost;
}

uint64_t spool_broken(const struct spool *spool)
{
	return spool->broken;
}
