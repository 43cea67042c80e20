/*
 * A bounded queue of records on disk, which survives a restart: appended at one end, read from the other, forgotten
 * once they are done with. What was being worked on when the process died is read once more: at least once, never
 * lost but by a disk that is full or broken. Blocks on the disk: for a thread of its own (charging.h).
 *
 * A directory of numbered segments; a record is one line, "LENGTH CRC BYTES\n" with both numbers in eight digits of
 * hex. The file "cursor" names the first record that is not done. The end of a segment that a crash tore is cut off.
 */
#ifndef BONO_CHARGING_SPOOL_H
#define BONO_CHARGING_SPOOL_H

#include "base/buffer.h"

struct spool;

/* A record longer than this is none of ours. */
#define SPOOL_RECORD_MAX (256u << 10)

/* Where a record stands, and where it ends. */
struct spool_place {
	uint64_t segment, offset, end;
};

/* Makes the directory (0700) if it is not there. max_bytes: of all segments. -errno of the disk; -EBADMSG: the
 * directory holds what is not ours. */
int spool_open(const char *directory, uint64_t max_bytes, struct spool **out);
/* Writes what waits. */
void spool_close(struct spool **spool);

/* -ENOSPC: full, or the disk is; -EMSGSIZE; -ENOMEM; -errno of the disk. Kept in memory until spool_sync, until
 * much of it waits, or until it is read. */
int spool_append(struct spool *spool, struct slice record);
/* To the disk, and the cursor too: what was appended before survives even the machine. */
int spool_sync(struct spool *spool);

/* The next record that was not read since the opening; replaces what the buffer holds. -ENOENT: none. What a broken
 * disk does not give back is passed over and counted in spool_broken. */
int spool_read(struct spool *spool, struct spool_place *place, struct buffer *record);
/* This record and all before it are done, `count` of them: never read again. */
void spool_done(struct spool *spool, const struct spool_place *place, unsigned count);

uint64_t spool_bytes(const struct spool *spool);   /* that it takes of max_bytes */
uint64_t spool_records(const struct spool *spool); /* not done */
uint64_t spool_lost(
	const struct spool *spool); /* appended, and then not written or not read back */
uint64_t spool_broken(const struct spool *spool); /* segments whose rest could not be read */

#endif
