/*
 * One store of several processes: each appends what it learns to a log of its own in a shared directory
 * and reads the logs of the others up to their end before it looks into its memory. So a registration is
 * seen at the other site from the moment it was answered, without timers and without locks.
 *
 * A log is named SITE@HOST:PORT.log and holds lines of fields between tabs:
 *	H  host:port                                       a Sprout that listens there
 *	A  time  aor  {uri path instance call-id cseq reg-id expires}*     what the record holds from then on
 * Of two lines about one address-of-record the later time wins. A process that starts reads all logs, its
 * own of an earlier life too, and begins its log anew with what still stands. Under the lock of struct sim.
 */
#include "sprout_sim.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

/* Simulators of one store, and addresses they listen on. */
#define PEERS_MAX 16
#define PEER_ADDRESSES_MAX 64
#define PEER_NAME_MAX 256
/* Read at once; a longer line than this is no line of ours. */
#define PEER_READ_BYTES 65536
/* A log longer than this is begun anew when at least half of it is history. */
#define PEER_LOG_BYTES (64L * 1024 * 1024)
/* A directory changed within the last tick of the kernel's clock may change again without showing it. */
#define PEER_CLOCK_GRAIN_NS 50000000

struct peer {
	char name[PEER_NAME_MAX];
	int fd;       /* -1: not open now */
	ino_t inode;  /* of the file behind fd: a log begun anew is another file */
	off_t offset; /* read so far, always at the start of a line */
};

struct peers {
	struct sim *sim;
	int directory;
	char name[PEER_NAME_MAX]; /* our own log */
	int log;
	off_t log_length, log_begun; /* begun: its length after it was last begun anew */
	struct timespec scanned;     /* the directory's time when it was last listed */
	struct peer peers[PEERS_MAX];
	unsigned count;
	struct address addresses[PEER_ADDRESSES_MAX];
	atomic_uint address_count; /* grows only: readers need no lock */
	struct buffer line;
	char *chunk; /* PEER_READ_BYTES */
};

/* ---- what others say ---- */

static void learn_address(struct peers *peers, struct slice text)
{
	struct address address;

	if (!address_parse(text, &address) || peers_know_address(peers, &address) ||
	    peers->address_count == PEER_ADDRESSES_MAX)
		return;
	peers->addresses[peers->address_count] = address;
	peers->address_count++; /* after the value: a reader sees both or none */
}

bool peers_know_address(const struct peers *peers, const struct address *address)
{
	if (peers == NULL)
		return false;
	for (unsigned i = 0, count = peers->address_count; i < count; i++)
		if (address_equal(&peers->addresses[i], address))
			return true;
	return false;
}

static bool read_contact(struct slice *rest, struct contact_value *value)
{
	uint64_t cseq, reg_id;

	value->uri = slice_split(*rest, '\t', rest);
	value->path = slice_split(*rest, '\t', rest);
	value->instance = slice_split(*rest, '\t', rest);
	value->call_id = slice_split(*rest, '\t', rest);
	if (!slice_to_uint(slice_split(*rest, '\t', rest), UINT32_MAX, &cseq) ||
	    !slice_to_uint(slice_split(*rest, '\t', rest), UINT32_MAX, &reg_id) ||
	    !slice_to_uint(slice_split(*rest, '\t', rest), UINT64_MAX, &value->expires_ms))
		return false;
	value->cseq = (uint32_t)cseq;
	value->reg_id = (uint32_t)reg_id;
	return value->uri.length > 0;
}

static void learn_record(struct peers *peers, struct slice rest)
{
	uint64_t now_ms = clock_wall_ms();
	uint64_t updated_ms;
	struct slice aor;
	struct record *record;
	struct contact_value value;

	if (!slice_to_uint(slice_split(rest, '\t', &rest), UINT64_MAX, &updated_ms))
		return;
	aor = slice_split(rest, '\t', &rest);
	if (aor.length == 0 || store_obtain(peers->sim->store, aor, now_ms, &record) != 0)
		return;
	if (updated_ms < record->updated_ms)
		return;
	record->updated_ms = updated_ms;
	record_clear(record);
	while (rest.length > 0 && read_contact(&rest, &value))
		if (value.expires_ms > now_ms && record_put(record, &value) != 0)
			log_error("store: no memory for a registration of another simulator");
}

static void learn_line(struct peers *peers, struct slice line)
{
	struct slice rest;
	struct slice kind = slice_split(line, '\t', &rest);

	if (slice_equal(kind, SLICE_LITERAL("A")))
		learn_record(peers, rest);
	else if (slice_equal(kind, SLICE_LITERAL("H")))
		learn_address(peers, rest);
}

/* All whole lines of the chunk; how many bytes they were. */
static size_t learn_chunk(struct peers *peers, struct slice chunk)
{
	size_t done = 0;
	ptrdiff_t end;

	while ((end = slice_index(slice_skip(chunk, done), '\n')) >= 0) {
		learn_line(peers, slice_of(chunk.data + done, (size_t)end));
		done += (size_t)end + 1;
	}
	return done;
}

static void peer_read(struct peers *peers, struct peer *peer, off_t size)
{
	while (peer->offset < size) {
		ssize_t n = pread(peer->fd, peers->chunk, PEER_READ_BYTES, peer->offset);
		size_t done;

		if (n <= 0)
			return;
		done = learn_chunk(peers, slice_of(peers->chunk, (size_t)n));
		if (done == 0 && n == PEER_READ_BYTES)
			done = (size_t)n; /* no line of ours: over it */
		if (done == 0)
			return; /* half a line: the rest comes */
		peer->offset += (off_t)done;
	}
}

static void peer_sync(struct peers *peers, struct peer *peer)
{
	struct stat status;

	if (fstatat(peers->directory, peer->name, &status, 0) != 0)
		return;
	if (peer->fd < 0 || status.st_ino != peer->inode) {
		if (peer->fd >= 0) {
			peer_read(peers, peer, INT64_MAX); /* what came before it was begun anew */
			close(peer->fd);
		}
		peer->fd = openat(peers->directory, peer->name, O_RDONLY | O_CLOEXEC);
		if (peer->fd < 0 || fstat(peer->fd, &status) != 0)
			return;
		peer->inode = status.st_ino;
		peer->offset = 0;
	}
	if (status.st_size > peer->offset)
		peer_read(peers, peer, status.st_size);
}

/* ---- who the others are ---- */

static bool is_log_of_another(const struct peers *peers, const char *name)
{
	size_t length = strlen(name);

	return length > 4 && length < PEER_NAME_MAX && strcmp(name + length - 4, ".log") == 0 &&
	       strcmp(name, peers->name) != 0;
}

static void peers_add(struct peers *peers, const char *name)
{
	struct peer *peer;

	for (unsigned i = 0; i < peers->count; i++)
		if (strcmp(peers->peers[i].name, name) == 0)
			return;
	if (peers->count == PEERS_MAX) {
		log_warning("store: more than %d simulators, %s is not read", PEERS_MAX, name);
		return;
	}
	peer = &peers->peers[peers->count++];
	snprintf(peer->name, sizeof(peer->name), "%s", name);
	peer->fd = -1;
}

static void peers_list(struct peers *peers)
{
	int fd = openat(peers->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	if (directory == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(directory)) != NULL)
		if (is_log_of_another(peers, entry->d_name))
			peers_add(peers, entry->d_name);
	closedir(directory);
}

static bool was_changed_just_now(const struct timespec *changed)
{
	struct timespec now;
	int64_t age_ns;

	clock_gettime(CLOCK_REALTIME, &now);
	age_ns = (int64_t)(now.tv_sec - changed->tv_sec) * 1000000000 + now.tv_nsec -
	         changed->tv_nsec;
	return age_ns < PEER_CLOCK_GRAIN_NS;
}

void peers_sync(struct peers *peers)
{
	struct stat status;

	if (peers == NULL)
		return;
	if (fstat(peers->directory, &status) == 0 &&
	    (status.st_mtim.tv_sec != peers->scanned.tv_sec ||
	     status.st_mtim.tv_nsec != peers->scanned.tv_nsec)) {
		peers_list(peers);
		if (!was_changed_just_now(&status.st_mtim))
			peers->scanned = status.st_mtim;
	}
	for (unsigned i = 0; i < peers->count; i++)
		peer_sync(peers, &peers->peers[i]);
}

/* ---- what we say ---- */

static void write_field(struct buffer *out, struct slice s)
{
	size_t from = out->length + 1;

	buffer_append(out, "\t", 1);
	buffer_append_slice(out, s);
	for (size_t i = from; !out->failed && i < out->length; i++)
		if ((unsigned char)out->data[i] < 0x20)
			out->data[i] = ' ';
}

static void write_record(struct buffer *out, const struct record *record)
{
	buffer_append_string(out, "A\t");
	buffer_append_uint(out, record->updated_ms);
	write_field(out, record_aor(record));
	LIST_FOR_EACH(link, &record->contacts) {
		const struct contact *contact = CONTAINER_OF(link, struct contact, link);

		write_field(out, contact->uri);
		write_field(out, contact->path);
		write_field(out, contact->instance);
		write_field(out, contact->call_id);
		buffer_append_string(out, "\t");
		buffer_append_uint(out, contact->cseq);
		buffer_append_string(out, "\t");
		buffer_append_uint(out, contact->reg_id);
		buffer_append_string(out, "\t");
		buffer_append_uint(out, contact->expires_ms);
	}
	buffer_append_string(out, "\n");
}

static int write_whole(int fd, struct slice s)
{
	ssize_t n = write(fd, s.data, s.length);

	if (n < 0)
		return -errno;
	return (size_t)n == s.length ? 0 : -ENOSPC;
}

struct rewrite {
	struct peers *peers;
	int fd, err;
	off_t length;
};

static bool rewrite_record(struct record *record, void *arg)
{
	struct rewrite *rewrite = arg;
	struct buffer *line = &rewrite->peers->line;

	buffer_reset(line);
	write_record(line, record);
	rewrite->err = line->failed ? -ENOMEM : write_whole(rewrite->fd, buffer_slice(line));
	rewrite->length += (off_t)line->length;
	return rewrite->err == 0;
}

static int rewrite_addresses(struct peers *peers, struct rewrite *rewrite)
{
	buffer_reset(&peers->line);
	for (unsigned i = 0; i < peers->sim->sprout_count; i++) {
		buffer_append_string(&peers->line, "H\t");
		buffer_append_string(&peers->line, peers->sim->sprouts[i]->name);
		buffer_append_string(&peers->line, "\n");
	}
	if (peers->line.failed)
		return -ENOMEM;
	rewrite->length = (off_t)peers->line.length;
	return write_whole(rewrite->fd, buffer_slice(&peers->line));
}

/* Our log begun anew: what stands now, then renamed over the old one. */
static int peers_rewrite(struct peers *peers)
{
	char temporary[PEER_NAME_MAX + 8];
	struct rewrite rewrite = {peers, -1, 0, 0};

	snprintf(temporary, sizeof(temporary), "%s.new", peers->name);
	rewrite.fd = openat(peers->directory, temporary,
	                    O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
	if (rewrite.fd < 0)
		return -errno;
	rewrite.err = rewrite_addresses(peers, &rewrite);
	if (rewrite.err == 0)
		store_visit(peers->sim->store, rewrite_record, &rewrite);
	if (rewrite.err == 0 &&
	    renameat(peers->directory, temporary, peers->directory, peers->name) != 0)
		rewrite.err = -errno;
	if (rewrite.err != 0) {
		close(rewrite.fd);
		return rewrite.err;
	}
	if (peers->log >= 0)
		close(peers->log);
	peers->log = rewrite.fd;
	peers->log_length = peers->log_begun = rewrite.length;
	return 0;
}

void peers_publish(struct peers *peers, const struct record *record)
{
	int err;

	if (peers == NULL)
		return;
	buffer_reset(&peers->line);
	write_record(&peers->line, record);
	err = peers->line.failed ? -ENOMEM : write_whole(peers->log, buffer_slice(&peers->line));
	peers->log_length += (off_t)peers->line.length;
	if (err == 0 && peers->log_length > PEER_LOG_BYTES &&
	    peers->log_length > 2 * peers->log_begun)
		err = peers_rewrite(peers);
	if (err != 0)
		log_error("store: the other simulators were not told, %s", error_text(err));
}

/* ---- life ---- */

/* Our own log of an earlier life: read once like that of another. */
static void read_earlier_life(struct peers *peers)
{
	struct peer self = {.fd = -1};

	snprintf(self.name, sizeof(self.name), "%s", peers->name);
	peer_sync(peers, &self);
	if (self.fd >= 0)
		close(self.fd);
}

static int open_directory(const char *path, int *out)
{
	if (mkdir(path, 0755) != 0 && errno != EEXIST)
		return -errno;
	*out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *out < 0 ? -errno : 0;
}

int peers_create(const char *directory, struct sim *sim, struct peers **out)
{
	struct peers *peers;
	int err;

	ASSERT(sim->sprout_count > 0);
	peers = memory_zalloc(sizeof(*peers));
	if (peers == NULL)
		return -ENOMEM;
	peers->sim = sim;
	peers->directory = peers->log = -1;
	buffer_init(&peers->line);
	snprintf(peers->name, sizeof(peers->name), "%s@%s.log", sim->site, sim->sprouts[0]->name);
	peers->chunk = memory_alloc(PEER_READ_BYTES);
	err = peers->chunk == NULL ? -ENOMEM : open_directory(directory, &peers->directory);
	if (err != 0)
		goto out;
	read_earlier_life(peers);
	peers_sync(peers);
	err = peers_rewrite(peers);
	if (err != 0)
		goto out;
	*out = peers;
	peers = NULL;
out:
	peers_destroy(&peers);
	return err;
}

void peers_destroy(struct peers **peers)
{
	struct peers *p = *peers;

	if (p == NULL)
		return;
	for (unsigned i = 0; i < p->count; i++)
		if (p->peers[i].fd >= 0)
			close(p->peers[i].fd);
	if (p->log >= 0)
		close(p->log);
	if (p->directory >= 0)
		close(p->directory);
	buffer_free(&p->line);
	memory_free(p->chunk);
	memory_free(p);
	*peers = NULL;
}
