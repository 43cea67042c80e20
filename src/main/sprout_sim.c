/*
 * sprout-sim: the Sprouts of one site, simulated. A registrar and proxy with faults on demand; the demo, the
 * tests and the measurements stand on it. One process, any number of addresses with a thread each.
 */
#include "sprout_sim.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

#define EXIT_USAGE 2

struct options {
	const char *site, *peer_store, *users, *control;
	const char *certificate, *key, *ca;
	uint32_t min_expires_s;
	bool verbose;
};

static const char usage[] =
	"sprout-sim: simulated Sprouts of one site: registrar and proxy with faults on demand\n"
	"\n"
	"  --site NAME                       the site, in logs and in the store\n"
	"  --listen HOST:PORT[/udp|/tcp|/tls] an address of a Sprout; UDP and TCP if none is "
	"named; repeat it\n"
	"  --certificate FILE --key FILE     PEM, for /tls\n"
	"  --ca FILE                         over TLS both ways only peers with a certificate of "
	"it\n"
	"  --peer-store DIRECTORY            share registrations with the simulators that name the "
	"same directory\n"
	"  --users FILE                      lines USER:PASSWORD: ask for digest credentials on "
	"REGISTER\n"
	"  --control SOCKET                  take fault lines on this Unix socket:\n"
	"      fault TARGET none|refuse|blackhole|hang|slow MS|status CODE [RETRY-AFTER]|loss "
	"PERCENT|mute\n"
	"      requests TARGET               count of requests by method\n"
	"      registrations                 count of contacts in the store\n"
	"      TARGET is the HOST:PORT of a --listen or *\n"
	"  --min-expires SECONDS             answer 423 to shorter registrations\n"
	"  --verbose                         log what is dropped and why\n"
	"\n"
	"Prints \"ready\" when everything is bound. SIGTERM or SIGINT ends it.\n";

static int complain(const char *what, const char *value)
{
	fprintf(stderr, "sprout-sim: %s%s%s\n", what, value != NULL ? ": " : "",
	        value != NULL ? value : "");
	return -EINVAL;
}

/* ---- options ---- */

static int obtain_sprout(struct sim *sim, const struct address *address, struct sprout **out)
{
	int err;

	for (unsigned i = 0; i < sim->sprout_count; i++)
		if (address_equal(&sim->sprouts[i]->address, address)) {
			*out = sim->sprouts[i];
			return 0;
		}
	if (sim->sprout_count == SPROUTS_MAX)
		return complain("too many different --listen", NULL);
	err = sprout_create(sim, sim->sprout_count, address, out);
	if (err == 0)
		sim->sprouts[sim->sprout_count++] = *out;
	return err;
}

static int add_listen(struct sim *sim, const char *text)
{
	struct slice kind;
	struct slice host_port = slice_split(slice_from_string(text), '/', &kind);
	struct sprout *sprout;
	struct address address;
	int err;

	if (!address_parse(host_port, &address) || address_is_wildcard(&address) ||
	    address_port(&address) == 0)
		return complain(
			"--listen needs an address with its port, and maybe /udp, /tcp or /tls",
			text);
	err = obtain_sprout(sim, &address, &sprout);
	if (err != 0)
		return err;
	if (slice_equal(kind, SLICE_LITERAL("udp")))
		sprout->serves[TRANSPORT_UDP] = true;
	else if (slice_equal(kind, SLICE_LITERAL("tcp")))
		sprout->serves[TRANSPORT_TCP] = true;
	else if (slice_equal(kind, SLICE_LITERAL("tls")))
		sprout->serves[TRANSPORT_TLS] = true;
	else if (slice_index(slice_from_string(text), '/') < 0)
		sprout->serves[TRANSPORT_UDP] = sprout->serves[TRANSPORT_TCP] = true;
	else
		return complain("--listen knows udp, tcp and tls", text);
	return 0;
}

static bool wants_tls(const struct sim *sim)
{
	for (unsigned i = 0; i < sim->sprout_count; i++)
		if (sim->sprouts[i]->serves[TRANSPORT_TLS])
			return true;
	return false;
}

static int check_options(const struct sim *sim, const struct options *options)
{
	if (options->site == NULL)
		return complain("--site is missing", NULL);
	if (strchr(options->site, '/') != NULL)
		return complain("--site must not hold a slash", options->site);
	if (sim->sprout_count == 0)
		return complain("--listen is missing", NULL);
	if ((options->certificate == NULL) != (options->key == NULL))
		return complain("--certificate and --key go together", NULL);
	if (wants_tls(sim) && options->certificate == NULL)
		return complain("/tls needs --certificate and --key", NULL);
	return 0;
}

static int read_options(int argc, char **argv, struct sim *sim, struct options *out)
{
	static const struct option known[] = {
		{"site", required_argument, NULL, 's'},
		{"listen", required_argument, NULL, 'l'},
		{"peer-store", required_argument, NULL, 'p'},
		{"users", required_argument, NULL, 'u'},
		{"control", required_argument, NULL, 'c'},
		{"min-expires", required_argument, NULL, 'm'},
		{"certificate", required_argument, NULL, 'C'},
		{"key", required_argument, NULL, 'K'},
		{"ca", required_argument, NULL, 'A'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	uint64_t seconds;
	int option, err = 0;

	while (err == 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 's':
			out->site = optarg;
			break;
		case 'l':
			err = add_listen(sim, optarg);
			break;
		case 'p':
			out->peer_store = optarg;
			break;
		case 'u':
			out->users = optarg;
			break;
		case 'c':
			out->control = optarg;
			break;
		case 'm':
			if (!slice_to_uint(slice_from_string(optarg), UINT32_MAX, &seconds))
				return complain("--min-expires needs seconds", optarg);
			out->min_expires_s = (uint32_t)seconds;
			break;
		case 'C':
			out->certificate = optarg;
			break;
		case 'K':
			out->key = optarg;
			break;
		case 'A':
			out->ca = optarg;
			break;
		case 'v':
			out->verbose = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return -EINVAL;
		}
	}
	if (err == 0 && optind < argc)
		return complain("unexpected argument", argv[optind]);
	return err == 0 ? check_options(sim, out) : err;
}

/* ---- life ---- */

static int open_sprouts(struct sim *sim)
{
	int err;

	for (unsigned i = 0; i < sim->sprout_count; i++) {
		err = sprout_open(sim->sprouts[i]);
		if (err != 0) {
			fprintf(stderr, "sprout-sim: %s: %s\n", sim->sprouts[i]->name,
			        error_text(err));
			return err;
		}
	}
	return 0;
}

static void on_tls_fault(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "sprout-sim: %s\n", text);
}

static int load_tls(struct sim *sim, const struct options *options)
{
	const struct tls_pair pair = {options->certificate, options->key};
	const struct tls_profile_settings profile = {
		.name = SIM_TLS,
		.pairs = &pair,
		.pair_count = 1,
		.ca = options->ca,
		/* who registered by a way is reached by it, whatever its name */
		.verify = options->ca != NULL ? TLS_VERIFY_CHAIN : TLS_VERIFY_NONE,
	};
	const struct tls_settings settings = {.profiles = &profile, .profile_count = 1};

	if (options->certificate == NULL)
		return 0;
	sim->asks_certificate = options->ca != NULL;
	return tls_book_load(&settings, NULL, on_tls_fault, NULL, &sim->tls);
}

static int open_rest(struct sim *sim, const struct options *options)
{
	int err = store_create(&sim->store);

	if (err != 0)
		return err;
	if (options->users != NULL) {
		err = digest_load(options->users, &sim->digest);
		if (err != 0)
			return complain(options->users, error_text(err));
	}
	if (options->peer_store != NULL) {
		err = peers_create(options->peer_store, sim, &sim->peers);
		if (err != 0)
			return complain(options->peer_store, error_text(err));
	}
	err = load_tls(sim, options);
	if (err == 0)
		err = open_sprouts(sim);
	if (err == 0 && options->control != NULL) {
		err = console_create(sim, options->control, &sim->console);
		if (err != 0)
			return complain(options->control, error_text(err));
	}
	return err;
}

static void sim_close(struct sim *sim)
{
	console_destroy(&sim->console);
	for (unsigned i = 0; i < sim->sprout_count; i++)
		sprout_destroy(&sim->sprouts[i]);
	peers_destroy(&sim->peers);
	digest_destroy(&sim->digest);
	store_destroy(&sim->store);
	if (sim->tls != NULL)
		snapshot_release(tls_book_snapshot(sim->tls));
	loop_destroy(&sim->loop);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	loop_stop(arg);
}

static int run(struct sim *sim)
{
	struct event *terminated =
		evsignal_new(loop_base(sim->loop), SIGTERM, on_signal, sim->loop);
	struct event *interrupted =
		evsignal_new(loop_base(sim->loop), SIGINT, on_signal, sim->loop);
	int err = -ENOMEM;

	if (terminated != NULL && interrupted != NULL && event_add(terminated, NULL) == 0 &&
	    event_add(interrupted, NULL) == 0) {
		puts("ready");
		fflush(stdout);
		loop_run(sim->loop);
		err = 0;
	}
	if (terminated != NULL)
		event_free(terminated);
	if (interrupted != NULL)
		event_free(interrupted);
	return err;
}

int main(int argc, char **argv)
{
	struct options options = {0};
	struct sim sim = {.lock = PTHREAD_MUTEX_INITIALIZER};
	int err;

	signal(SIGPIPE, SIG_IGN);
	hash_key_init();
	err = message_system_init();
	if (err == 0)
		err = loop_create("sprout-sim", &sim.loop);
	if (err != 0)
		return 1;
	if (read_options(argc, argv, &sim, &options) != 0) {
		fputs("sprout-sim --help tells the options\n", stderr);
		sim_close(&sim);
		return EXIT_USAGE;
	}
	sim.site = options.site;
	sim.min_expires_s = options.min_expires_s;
	err = log_start(options.verbose ? LOG_DEBUG : LOG_INFO);
	if (err == 0)
		err = open_rest(&sim, &options);
	if (err == 0)
		err = run(&sim);
	sim_close(&sim);
	log_stop();
	return err == 0 ? 0 : 1;
}
