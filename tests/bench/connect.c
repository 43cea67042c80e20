/*
 * Clients that come over TLS and leave again, at a fixed rate (open loop) or with so many under way at once.
 *
 *	connect -e EDGE -w full|resumed|cycle [-r RATE | -n WINDOW] [-s SECONDS] [-u USERS] [-b FIRST_ADDRESS]
 *
 * full, resumed: a handshake, the server's ticket, the end. cycle: a full handshake, one REGISTER, its 200, the end.
 * Speaks as load.c does: "registered", a line from stdin, "begin", "end", one line of JSON.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "stream.h"

#define VISITS 4096
#define SAMPLES (1u << 20)
#define PATIENCE_US 5000000u
#define BURST 16

enum errand { ERRAND_FULL, ERRAND_RESUMED, ERRAND_CYCLE };
enum state { STATE_FREE, STATE_SHAKING, STATE_TICKET, STATE_ASKED };

struct visit {
	enum state state;
	int fd;
	SSL *ssl;
	uint32_t number;
	uint64_t start_us;
	bool ticket;
};

static struct {
	struct sockaddr_in edge;
	enum errand errand;
	unsigned users, rate, window, seconds;
	uint32_t first;
} options = {.users = 200, .rate = 100, .seconds = 5, .first = 0x7fc80001};

static struct visit visits[VISITS];
static unsigned free_visits[VISITS], free_count, under_way;
static uint32_t samples[SAMPLES];
static size_t sample_count;
static uint64_t done, failed;
static uint32_t next_number;
static int poll_fd;
static SSL_CTX *context;
static SSL_SESSION *session; /* the last that was given */

/* RFC 8446 4.6.1: the server has done its part when its ticket is here. */
static int on_ticket(SSL *ssl, SSL_SESSION *given)
{
	struct visit *visit = SSL_get_app_data(ssl);

	visit->ticket = true;
	SSL_SESSION_free(session);
	session = given;
	return 1;
}

static void leave(struct visit *visit, bool good)
{
	if (good)
		SSL_shutdown(visit->ssl);
	/* its session stays good, however it ended */
	SSL_set_shutdown(visit->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(visit->ssl);
	close(visit->fd);
	visit->state = STATE_FREE;
	free_visits[free_count++] = (unsigned)(visit - visits);
	under_way--;
	if (!good) {
		failed++;
		return;
	}
	done++;
	if (sample_count < SAMPLES)
		samples[sample_count++] = (uint32_t)(wire_now_us() - visit->start_us);
}

static void start_one(void)
{
	struct visit *visit = &visits[free_visits[--free_count]];
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = visit};
	const uint32_t number = next_number++;
	const struct in_addr from = {htonl(options.first + number % options.users)};

	*visit = (struct visit){STATE_SHAKING,    stream_dial(&options.edge, from),
	                        SSL_new(context), number,
	                        wire_now_us(),    false};
	under_way++;
	if (visit->ssl == NULL || SSL_set_fd(visit->ssl, visit->fd) != 1)
		wire_die("SSL_new");
	SSL_set_app_data(visit->ssl, visit);
	SSL_set_connect_state(visit->ssl);
	if (options.errand == ERRAND_RESUMED && session != NULL)
		SSL_set_session(visit->ssl, session);
	if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, visit->fd, &event) != 0)
		wire_die("epoll_ctl");
}

static bool ask(struct visit *visit)
{
	const unsigned user = visit->number % options.users;
	char name[INET_ADDRSTRLEN], words[1024];
	const struct in_addr from = {htonl(options.first + user)};
	int length;

	inet_ntop(AF_INET, &from, name, sizeof(name));
	length = snprintf(
		words, sizeof(words),
		"REGISTER sip:example.net SIP/2.0\r\n"
		"Via: SIP/2.0/TLS %s:5061;branch=z9hG4bKc%08x;rport\r\nMax-Forwards: 70\r\n"
		"From: <sip:u%05u@example.net>;tag=f%08x\r\nTo: <sip:u%05u@example.net>\r\n"
		"Call-ID: c%08x\r\nCSeq: 1 REGISTER\r\n"
		"Supported: path, outbound\r\nUser-Agent: load\r\nExpires: 3600\r\n"
		"Contact: <sip:u%05u@%s:5061;transport=tls>;+sip.instance="
		"\"<urn:uuid:00000000-0000-4000-8000-%012u>\";reg-id=1\r\n"
		"Content-Length: 0\r\n\r\n",
		name, visit->number, user, visit->number, user, visit->number, user, name, user);
	visit->state = STATE_ASKED;
	return SSL_write(visit->ssl, words, length) == length;
}

static bool waits(struct visit *visit, int result)
{
	const int error = SSL_get_error(visit->ssl, result);

	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static void hear(struct visit *visit)
{
	char bytes[WIRE_MAX + 1];
	int got;

	while ((got = SSL_read(visit->ssl, bytes, WIRE_MAX)) > 0) {
		bytes[got] = '\0';
		if (visit->state == STATE_ASKED && strncmp(bytes, "SIP/2.0 1", 9) != 0) {
			leave(visit, strncmp(bytes, "SIP/2.0 200", 11) == 0);
			return;
		}
	}
	if (visit->state == STATE_TICKET && visit->ticket)
		leave(visit, true);
	else if (!waits(visit, got))
		leave(visit, false);
}

static void on_shaken(struct visit *visit)
{
	if (options.errand == ERRAND_CYCLE) {
		if (!ask(visit))
			leave(visit, false);
		return;
	}
	visit->state = STATE_TICKET;
	if ((options.errand == ERRAND_RESUMED && session != NULL) !=
	    (SSL_session_reused(visit->ssl) == 1))
		leave(visit, false);
	else if (SSL_version(visit->ssl) < TLS1_3_VERSION)
		leave(visit, true);
}

static void on_event(struct visit *visit)
{
	int result;

	if (visit->state == STATE_SHAKING) {
		result = SSL_do_handshake(visit->ssl);
		if (result == 1)
			on_shaken(visit);
		else if (!waits(visit, result))
			leave(visit, false);
	}
	if (visit->state == STATE_TICKET || visit->state == STATE_ASKED)
		hear(visit);
}

static void reap(uint64_t now)
{
	for (unsigned i = 0; i < VISITS; i++) {
		if (visits[i].state != STATE_FREE && now - visits[i].start_us > PATIENCE_US)
			leave(&visits[i], false);
	}
}

/* rate: per second, 0: as many as the window lets. count: so many and no more, 0: until the time is over. */
static void work(unsigned rate, unsigned window, uint64_t count)
{
	uint64_t begin = wire_now_us(), end = begin + options.seconds * 1000000ull, started = 0;

	done = failed = 0;
	sample_count = 0;
	for (;;) {
		const uint64_t now = wire_now_us();
		const uint64_t due = rate != 0 ? (now - begin) * rate / 1000000u : UINT64_MAX;
		const bool over = count != 0 ? started >= count : now >= end;
		struct epoll_event events[64];
		int got;

		for (unsigned i = 0; i < BURST && !over && started < due && free_count > 0; i++) {
			if ((window != 0 && under_way >= window) ||
			    (count != 0 && started >= count))
				break;
			start_one();
			started++;
		}
		if (over && under_way == 0)
			return;
		got = epoll_wait(poll_fd, events, 64, 1);
		for (int i = 0; i < got; i++)
			on_event(events[i].data.ptr);
		if (under_way > 0)
			reap(wire_now_us());
	}
}

static int by_size(const void *a, const void *b)
{
	uint32_t one = *(const uint32_t *)a, two = *(const uint32_t *)b;

	return one < two ? -1 : one > two;
}

static uint32_t percentile(double part)
{
	return sample_count == 0 ? 0 : samples[(size_t)((double)(sample_count - 1) * part)];
}

static void say(const char *words)
{
	puts(words);
	fflush(stdout);
}

static void read_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "e:w:r:n:s:u:b:")) != -1) {
		const unsigned number = (unsigned)strtoul(optarg != NULL ? optarg : "", NULL, 10);

		switch (option) {
		case 'e':
			options.edge = wire_argument(optarg);
			break;
		case 'w':
			options.errand = optarg[0] == 'f'   ? ERRAND_FULL
			                 : optarg[0] == 'r' ? ERRAND_RESUMED
			                                    : ERRAND_CYCLE;
			break;
		case 'r':
			options.rate = number;
			break;
		case 'n':
			options.window = number;
			options.rate = 0;
			break;
		case 's':
			options.seconds = number;
			break;
		case 'u':
			options.users = number;
			break;
		case 'b':
			options.first = ntohl(inet_addr(optarg));
			break;
		default:
			exit(2);
		}
	}
	if (options.edge.sin_family == 0 || options.users == 0 || options.window > VISITS) {
		fprintf(stderr, "usage: connect -e EDGE -w full|resumed|cycle ...\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	uint64_t begin, took;

	read_options(argc, argv);
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	context = stream_context();
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, on_ticket);
	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	next_number = (uint32_t)wire_now_us() & 0x3fffffff;
	while (free_count < VISITS) {
		free_visits[free_count] = free_count;
		free_count++;
	}
	/* What is built at the first use is; and there is a ticket. */
	work(0, 1, 20);
	if (failed > 0)
		fprintf(stderr, "connect: %llu of 20 failed\n", (unsigned long long)failed);
	say("registered");
	if (getchar() == EOF)
		return 1;
	say("begin");
	begin = wire_now_us();
	work(options.rate, options.window, 0);
	took = wire_now_us() - begin;
	say("end");
	qsort(samples, sample_count, sizeof(*samples), by_size);
	printf("{\"ok\": %llu, \"failed\": %llu, \"seconds\": %.3f, \"p50_us\": %u, \"p99_us\": "
	       "%u}\n",
	       (unsigned long long)done, (unsigned long long)failed, (double)took / 1e6,
	       percentile(0.5), percentile(0.99));
	fflush(stdout);
	return 0;
}
