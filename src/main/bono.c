/*
 * The daemon. Reads its arguments and its configuration, then control_run is the node.
 */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "config/config.h"
#include "control/control.h"
#include "control/tls_files.h"
#include "sip/message.h"

enum { EXIT_SOUND = 0, EXIT_FAULTS = 1, EXIT_USAGE = 2 };

static void usage(FILE *out)
{
	fputs("usage: bono -c FILE [-v]     run in the foreground, log to stderr\n"
	      "       bono --check FILE     say what is wrong with a configuration\n"
	      "       bono --version\n",
	      out);
}

static int check(const char *path)
{
	struct config *config = NULL;
	int err;

	if (config_load(path, stdout, &config) != 0)
		return EXIT_FAULTS;
	err = tls_files_check(config, path, stdout);
	if (err == 0)
		printf("%s: ok\n", path);
	config_free(&config);
	return err == 0 ? EXIT_SOUND : EXIT_FAULTS;
}

/* Workers allocate and free a message's memory thousands of times a second: without room to spare glibc gives
 * the top of its arenas back and asks for it again each time (measured: one mprotect for every few requests). */
static void settle_allocator(void)
{
	mallopt(M_TOP_PAD, 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
}

static int run(const char *path, enum log_level level)
{
	struct config *config = NULL;
	int err;

	if (config_load(path, stderr, &config) != 0)
		return EXIT_FAULTS;
	settle_allocator();
	hash_key_init();
	err = message_system_init();
	if (err == 0)
		err = log_start(level);
	if (err == 0) {
		err = control_run(config);
		log_stop();
	} else {
		fprintf(stderr, "bono: cannot start, %s\n", error_text(err));
	}
	config_free(&config);
	return err == 0 ? EXIT_SOUND : EXIT_FAULTS;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"check", required_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	enum log_level level = LOG_INFO;
	const char *path = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "c:vh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			path = optarg;
			break;
		case 'v':
			level = LOG_DEBUG;
			break;
		case 'k':
			return check(optarg);
		case 'V':
			puts("bono " BONO_VERSION);
			return EXIT_SOUND;
		case 'h':
			usage(stdout);
			return EXIT_SOUND;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (path == NULL || optind != argc) {
		usage(stderr);
		return EXIT_USAGE;
	}
	return run(path, level);
}
