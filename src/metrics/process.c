/*
 * process_*: what Prometheus' client libraries tell of a process, read from /proc. What cannot be read is
 * left out. Control thread.
 */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "metrics_internal.h"

struct process_stat {
	uint64_t user_ticks, system_ticks, threads, start_ticks, virtual_bytes, resident_pages;
};

/* proc(5): the name in field 2 may hold anything, so fields are counted from its last ')'. */
static bool read_stat(struct process_stat *stat)
{
	char text[1024];
	const char *fields;
	size_t length;
	FILE *file = fopen("/proc/self/stat", "re");

	if (file == NULL)
		return false;
	length = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[length] = '\0';
	fields = strrchr(text, ')');
	if (fields == NULL)
		return false;
	return sscanf(fields + 1,
	              " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
	              " %*d %*d %*d %*d %" SCNu64 " %*d %" SCNu64 " %" SCNu64 " %" SCNu64,
	              &stat->user_ticks, &stat->system_ticks, &stat->threads, &stat->start_ticks,
	              &stat->virtual_bytes, &stat->resident_pages) == 6;
}

/* Seconds since 1970 when the machine started. */
static bool read_boot_time(uint64_t *seconds)
{
	char line[4096];
	bool found = false;
	FILE *file = fopen("/proc/stat", "re");

	if (file == NULL)
		return false;
	while (!found && fgets(line, sizeof(line), file) != NULL)
		found = sscanf(line, "btime %" SCNu64, seconds) == 1;
	fclose(file);
	return found;
}

static bool count_descriptors(uint64_t *count)
{
	DIR *dir = opendir("/proc/self/fd");

	if (dir == NULL)
		return false;
	*count = 0;
	while (readdir(dir) != NULL)
		(*count)++;
	closedir(dir);
	*count -= 3; /* ".", ".." and the one that reads them */
	return true;
}

static void write_one(struct buffer *out, const char *name, const char *kind, const char *help,
                      uint64_t whole, uint64_t hundredths)
{
	buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRIu64, name, help, name, kind, name,
	              whole);
	if (hundredths > 0)
		buffer_printf(out, ".%02" PRIu64, hundredths);
	buffer_append_string(out, "\n");
}

static void write_stat(struct buffer *out, const struct process_stat *stat)
{
	uint64_t hertz = (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t ticks = stat->user_ticks + stat->system_ticks;
	uint64_t boot;

	write_one(out, "process_cpu_seconds_total", "counter", "User and system CPU time spent.",
	          ticks / hertz, ticks % hertz * 100 / hertz);
	write_one(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
	          stat->resident_pages * (uint64_t)sysconf(_SC_PAGESIZE), 0);
	write_one(out, "process_virtual_memory_bytes", "gauge", "Virtual memory.",
	          stat->virtual_bytes, 0);
	write_one(out, "process_threads", "gauge", "Threads.", stat->threads, 0);
	if (read_boot_time(&boot))
		write_one(out, "process_start_time_seconds", "gauge",
		          "Start of the process, seconds since 1970.",
		          boot + stat->start_ticks / hertz,
		          stat->start_ticks % hertz * 100 / hertz);
}

void metrics_write_process(struct buffer *out)
{
	struct process_stat stat;
	struct rlimit limit;
	uint64_t count;

	if (read_stat(&stat))
		write_stat(out, &stat);
	if (count_descriptors(&count))
		write_one(out, "process_open_fds", "gauge", "Open file descriptors.", count, 0);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		write_one(out, "process_max_fds", "gauge", "How many file descriptors may be open.",
		          limit.rlim_cur, 0);
}
