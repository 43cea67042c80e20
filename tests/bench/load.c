/*
 * The load generator: registered users who register again or call each other, at a fixed rate (open loop:
 * it never waits for the edge) or with so many under way at once (to find what an edge can do).
 *
 *	load -e EDGE -w register|call|hold [-t udp|tcp|tls|ws|wss] [-u USERS] [-r RATE | -n WINDOW] [-s SECONDS]
 *	     [-b FIRST_ADDRESS] [-p PORT] [-x TIMES]
 *
 * Says "registered" when all users are; waits for a line on stdin; says "begin", works, says "end" and then
 * one line of JSON. `hold` ends when stdin does. Over UDP one socket stands for all users, each with a
 * loopback address of its own; otherwise each has a connection.
 * A call is INVITE 180 200 ACK BYE 200, both ends ours, 100 from the edge if it likes.
 */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>

#include "batch.h"
#include "stream.h"

#define SLOTS (1u << 19) /* requests under way: 70,000/s for the 5 s that they may take */
#define SAMPLES (1u << 22)
#define PATIENCE_US 5000000u
#define BURST 64
#define REGISTER_WINDOW 32 /* while all users come: brisk, and no edge drops any */
#define ROUTES_MAX 16

enum work { WORK_REGISTER, WORK_CALL, WORK_HOLD };
enum state { STATE_FREE, STATE_ASKED, STATE_HANGING_UP, STATE_DONE, STATE_FAILED };

struct slot {
	uint64_t start_us;
	uint32_t number;
	uint8_t state;
};

static struct {
	struct sockaddr_in edge;
	bool streams; /* and not datagrams */
	enum stream_kind kind;
	enum work work;
	unsigned users, rate, window, seconds, times;
	uint32_t first; /* the address of user 0, host order */
	unsigned port;
} options = {
	.users = 1000, .rate = 1000, .seconds = 5, .first = 0x7fc80001, .port = 26060, .times = 1};

static struct slot *slots;
static uint32_t *samples;
static size_t sample_count;
static uint32_t next_number, oldest; /* numbers under way: [oldest, next_number) */
static uint64_t done, failed;
static unsigned under_way;
static enum work phase;
static int udp = -1, poll_fd;
static struct stream *clients;
static struct batch in, out;
static char scratch[WIRE_MAX];

/* ---- sending ---- */

static struct in_addr address_of(unsigned user)
{
	return (struct in_addr){htonl(options.first + user)};
}

static struct draft send_begin(unsigned user)
{
	struct in_addr from = address_of(user);

	if (options.streams)
		return (struct draft){scratch, 0};
	return batch_next(&out, udp, &options.edge, &from);
}

static void send_end(unsigned user, const struct draft *draft)
{
	if (!options.streams) {
		batch_done(&out, draft);
		return;
	}
	if (!stream_send(&clients[user], options.kind, draft->at, draft->length))
		fprintf(stderr, "load: connection of user %u would not take a message\n", user);
}

static void add_via(struct draft *draft, unsigned user, char kind, uint32_t number)
{
	char line[160];

	snprintf(line, sizeof(line),
	         "Via: SIP/2.0/%s %s:%u;branch=z9hG4bK%c%08x;rport\r\nMax-Forwards: 70\r\n",
	         options.streams ? stream_via(options.kind) : "UDP", inet_ntoa(address_of(user)),
	         options.port, kind, number);
	draft_words(draft, line);
}

static void add_contact(struct draft *draft, unsigned user, bool outbound)
{
	char line[200];

	snprintf(line, sizeof(line), "Contact: <sip:u%05u@%s:%u%s>", user,
	         inet_ntoa(address_of(user)), options.port,
	         options.streams ? stream_parameter(options.kind) : "");
	draft_words(draft, line);
	if (outbound) {
		snprintf(line, sizeof(line),
		         ";+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-%012u>\";reg-id=1",
		         user);
		draft_words(draft, line);
	}
	draft_words(draft, "\r\n");
}

static void start_register(uint32_t number)
{
	unsigned user = number % options.users;
	struct draft draft = send_begin(user);
	char lines[512];

	draft_words(&draft, "REGISTER sip:example.net SIP/2.0\r\n");
	add_via(&draft, user, 'r', number);
	snprintf(lines, sizeof(lines),
	         "From: <sip:u%05u@example.net>;tag=f%08x\r\nTo: <sip:u%05u@example.net>\r\n"
	         "Call-ID: r%05u-%u\r\nCSeq: %u REGISTER\r\n"
	         "Supported: path, outbound\r\nUser-Agent: load\r\nExpires: 3600\r\n",
	         user, number, user, user, options.port, number + 1);
	draft_words(&draft, lines);
	add_contact(&draft, user, true);
	draft_words(&draft, "Content-Length: 0\r\n\r\n");
	send_end(user, &draft);
}

static unsigned caller_of(uint32_t number)
{
	return number * 2 % (options.users & ~1u);
}

static void add_dialog(struct draft *draft, uint32_t number, struct text to, const char *cseq)
{
	char lines[160];

	snprintf(lines, sizeof(lines), "From: <sip:u%05u@example.net>;tag=a%08x\r\n",
	         caller_of(number), number);
	draft_words(draft, lines);
	draft_words(draft, "To: ");
	draft_text(draft, to);
	snprintf(lines, sizeof(lines), "\r\nCall-ID: c%08x\r\nCSeq: %s\r\n", number, cseq);
	draft_words(draft, lines);
}

#define SDP                                                                                        \
	"v=0\r\no=- 3620633498 955151092 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 "    \
	"0\r\n"                                                                                    \
	"m=audio 20196 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n"        \
	"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=sendrecv\r\n"

static void add_sdp(struct draft *draft)
{
	char line[64];

	snprintf(line, sizeof(line), "Content-Type: application/sdp\r\nContent-Length: %zu\r\n\r\n",
	         strlen(SDP));
	draft_words(draft, line);
	draft_words(draft, SDP);
}

static void start_call(uint32_t number)
{
	unsigned caller = caller_of(number);
	struct draft draft = send_begin(caller);
	char line[160];

	snprintf(line, sizeof(line), "INVITE sip:u%05u@example.net SIP/2.0\r\n", caller + 1);
	draft_words(&draft, line);
	add_via(&draft, caller, 'i', number);
	snprintf(line, sizeof(line), "<sip:u%05u@example.net>", caller + 1);
	add_dialog(&draft, number, (struct text){line, strlen(line)}, "1 INVITE");
	add_contact(&draft, caller, false);
	draft_words(&draft, "Supported: outbound\r\nUser-Agent: load\r\n");
	add_sdp(&draft);
	send_end(caller, &draft);
}

/* ---- what comes back ---- */

static struct slot *slot_of(uint32_t number)
{
	struct slot *slot = &slots[number % SLOTS];

	return slot->number == number &&
	                       (slot->state == STATE_ASKED || slot->state == STATE_HANGING_UP)
	               ? slot
	               : NULL;
}

static void finish(struct slot *slot, bool good)
{
	slot->state = good ? STATE_DONE : STATE_FAILED;
	under_way--;
	if (!good) {
		failed++;
		return;
	}
	done++;
	if (sample_count < SAMPLES)
		samples[sample_count++] = (uint32_t)(wire_now_us() - slot->start_us);
}

static bool call_number(struct text head, uint32_t *number)
{
	struct text value = wire_value(head, "\r\nCall-ID: ");

	if (value.length < 9 || value.at[0] != 'c')
		return false;
	*number = (uint32_t)strtoul(value.at + 1, NULL, 16);
	return true;
}

static void on_register_answer(struct text head, unsigned status)
{
	const char *branch = wire_find(head, "branch=z9hG4bKr");
	struct slot *slot =
		branch == NULL ? NULL : slot_of((uint32_t)strtoul(branch + 15, NULL, 16));

	if (slot != NULL && status >= 200)
		finish(slot, status == 200);
}

/* The dialog's route set at the caller: the answer's Record-Route, last first (RFC 3261 12.1.2). */
static void add_routes(struct draft *draft, struct text head)
{
	struct text values[ROUTES_MAX], line;
	const char *from = head.at;
	unsigned count = 0;

	while (wire_next_line(head, "\r\nRecord-Route: ", &from, &line)) {
		const char *open = line.at, *end = line.at + line.length;

		while (count < ROUTES_MAX &&
		       (open = memchr(open, '<', (size_t)(end - open))) != NULL) {
			const char *shut = memchr(open, '>', (size_t)(end - open));

			if (shut == NULL)
				break;
			values[count++] = (struct text){open, (size_t)(shut + 1 - open)};
			open = shut;
		}
	}
	while (count-- > 0) {
		draft_words(draft, "Route: ");
		draft_text(draft, values[count]);
		draft_words(draft, "\r\n");
	}
}

static void send_in_dialog(uint32_t number, struct text head, const char *method, char kind,
                           const char *cseq)
{
	unsigned caller = caller_of(number);
	struct text contact = wire_value(head, "\r\nContact: ");
	const char *open = memchr(contact.at, '<', contact.length), *shut;
	struct draft draft;

	if (open == NULL ||
	    (shut = memchr(open, '>', (size_t)(contact.at + contact.length - open))) == NULL)
		return;
	draft = send_begin(caller);
	draft_words(&draft, method);
	draft_add(&draft, open + 1, (size_t)(shut - open - 1));
	draft_words(&draft, " SIP/2.0\r\n");
	add_via(&draft, caller, kind, number);
	add_routes(&draft, head);
	add_dialog(&draft, number, wire_value(head, "\r\nTo: "), cseq);
	draft_words(&draft, "Content-Length: 0\r\n\r\n");
	send_end(caller, &draft);
}

static void send_ack_to_failure(uint32_t number, struct text head)
{
	unsigned caller = caller_of(number);
	struct draft draft = send_begin(caller);
	char line[160];

	snprintf(line, sizeof(line), "ACK sip:u%05u@example.net SIP/2.0\r\n", caller + 1);
	draft_words(&draft, line);
	add_via(&draft, caller, 'i', number);
	add_dialog(&draft, number, wire_value(head, "\r\nTo: "), "1 ACK");
	draft_words(&draft, "Content-Length: 0\r\n\r\n");
	send_end(caller, &draft);
}

static void on_invite_answer(struct text head, unsigned status)
{
	struct slot *slot;
	uint32_t number;

	if (status < 200 || !call_number(head, &number))
		return;
	if (status >= 300)
		send_ack_to_failure(number, head);
	slot = slot_of(number);
	if (slot == NULL || slot->state != STATE_ASKED)
		return;
	if (status >= 300) {
		finish(slot, false);
		return;
	}
	slot->state = STATE_HANGING_UP;
	send_in_dialog(number, head, "ACK ", 'a', "1 ACK");
	send_in_dialog(number, head, "BYE ", 'b', "2 BYE");
}

static void on_bye_answer(struct text head, unsigned status)
{
	struct slot *slot;
	uint32_t number;

	if (status < 200 || !call_number(head, &number))
		return;
	slot = slot_of(number);
	if (slot != NULL)
		finish(slot, status == 200);
}

/* The callee speaks. */
static void answer(uint32_t number, struct text head, const char *status, bool with_body)
{
	unsigned callee = caller_of(number) + 1;
	struct draft draft = send_begin(callee);
	struct text to = wire_value(head, "\r\nTo: ");

	draft_words(&draft, status);
	draft_copy(&draft, head, "\r\nVia: ");
	draft_copy(&draft, head, "\r\nRecord-Route: ");
	draft_copy(&draft, head, "\r\nFrom: ");
	draft_words(&draft, "To: ");
	draft_text(&draft, to);
	draft_words(&draft, wire_find(to, ";tag=") == NULL ? ";tag=callee\r\n" : "\r\n");
	draft_copy(&draft, head, "\r\nCall-ID: ");
	draft_copy(&draft, head, "\r\nCSeq: ");
	add_contact(&draft, callee, false);
	if (with_body)
		add_sdp(&draft);
	else
		draft_words(&draft, "Content-Length: 0\r\n\r\n");
	send_end(callee, &draft);
}

static void on_request(struct text head)
{
	uint32_t number;

	if (!call_number(head, &number))
		return;
	if (memcmp(head.at, "INVITE ", 7) == 0) {
		answer(number, head, "SIP/2.0 180 Ringing\r\n", false);
		answer(number, head, "SIP/2.0 200 OK\r\n", true);
	} else if (memcmp(head.at, "BYE ", 4) == 0) {
		answer(number, head, "SIP/2.0 200 OK\r\n", false);
	}
}

static void on_message(struct text message)
{
	struct text head = wire_head(message), cseq;
	unsigned status;

	if (message.length < 20)
		return;
	if (memcmp(message.at, "SIP/2.0 ", 8) != 0) {
		on_request(head);
		return;
	}
	status = (unsigned)strtoul(message.at + 8, NULL, 10);
	cseq = wire_value(head, "\r\nCSeq: ");
	if (wire_find(cseq, "REGISTER") != NULL)
		on_register_answer(head, status);
	else if (wire_find(cseq, "INVITE") != NULL)
		on_invite_answer(head, status);
	else if (wire_find(cseq, "BYE") != NULL)
		on_bye_answer(head, status);
}

static void receive_datagrams(void)
{
	while (batch_receive(&in, udp) > 0) {
		bool full = in.count == BATCH;

		for (unsigned i = 0; i < in.count; i++)
			on_message((struct text){in.bytes[i], in.headers[i].msg_len});
		if (!full)
			return;
	}
}

static void receive_stream(struct stream *client)
{
	if (stream_receive(client, options.kind, on_message))
		return;
	fprintf(stderr, "load: the edge closed a connection\n");
	epoll_ctl(poll_fd, EPOLL_CTL_DEL, client->fd, NULL);
}

/* ---- the work ---- */

static void start_one(void)
{
	uint32_t number = next_number++;

	slots[number % SLOTS] = (struct slot){wire_now_us(), number, STATE_ASKED};
	under_way++;
	if (phase == WORK_CALL)
		start_call(number);
	else
		start_register(number);
}

/* Give up on those that took too long. */
static void reap(uint64_t now)
{
	while (oldest != next_number) {
		struct slot *slot = &slots[oldest % SLOTS];

		if (slot->state == STATE_ASKED || slot->state == STATE_HANGING_UP) {
			if (now - slot->start_us < PATIENCE_US &&
			    next_number - oldest < SLOTS - BURST)
				return;
			finish(slot, false);
		}
		oldest++;
	}
}

static void wait_and_receive(uint64_t wait_us)
{
	struct epoll_event events[64];
	struct timespec timeout = {(time_t)(wait_us / 1000000u), (long)(wait_us % 1000000u) * 1000};
	int count = epoll_pwait2(poll_fd, events, 64, &timeout, NULL);

	for (int i = 0; i < count; i++) {
		if (options.streams)
			receive_stream(&clients[events[i].data.u32]);
		else
			receive_datagrams();
	}
}

/* rate: per second, 0: as many as the window lets. count: so many and no more, 0: until the time is over. */
static void work(enum work what, unsigned rate, unsigned window, uint64_t count, unsigned seconds)
{
	uint64_t begin = wire_now_us(), end = begin + seconds * 1000000ull, started = 0;

	phase = what;
	done = failed = 0;
	sample_count = 0;
	for (;;) {
		uint64_t now = wire_now_us(), wait = 1000;
		bool over = count != 0 ? started >= count : now >= end;
		uint64_t due = rate != 0 ? (now - begin) * rate / 1000000u : UINT64_MAX;

		for (unsigned i = 0; i < BURST && !over && started < due; i++) {
			if (window != 0 && under_way >= window)
				break;
			start_one();
			started++;
			over = count != 0 && started >= count;
		}
		if (!options.streams)
			batch_flush(&out, udp);
		if (over && under_way == 0)
			return;
		if (!over && rate != 0)
			wait = started < due ? 0 : begin + (started + 1) * 1000000u / rate - now;
		wait_and_receive(wait > 1000 ? 1000 : wait);
		if (!options.streams)
			batch_flush(&out, udp);
		reap(wire_now_us());
	}
}

static void say(const char *words)
{
	puts(words);
	fflush(stdout);
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

static void report(uint64_t took_us)
{
	qsort(samples, sample_count, sizeof(*samples), by_size);
	printf("{\"ok\": %llu, \"failed\": %llu, \"seconds\": %.3f, \"p50_us\": %u, \"p90_us\": "
	       "%u, "
	       "\"p99_us\": %u, \"p999_us\": %u, \"max_us\": %u}\n",
	       (unsigned long long)done, (unsigned long long)failed, (double)took_us / 1e6,
	       percentile(0.5), percentile(0.9), percentile(0.99), percentile(0.999),
	       percentile(1.0));
	fflush(stdout);
}

static void open_datagrams(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
	struct epoll_event event = {.events = EPOLLIN};

	udp = batch_socket(&any);
	if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, udp, &event) != 0)
		wire_die("epoll_ctl");
}

static void open_streams(void)
{
	clients = calloc(options.users, sizeof(*clients));
	for (unsigned i = 0; clients != NULL && i < options.users; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};

		stream_open(&clients[i], options.kind, &options.edge, address_of(i));
		if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, clients[i].fd, &event) != 0)
			wire_die("epoll_ctl");
	}
}

static void read_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "e:w:t:u:r:n:s:b:p:x:")) != -1) {
		switch (option) {
		case 'e':
			options.edge = wire_argument(optarg);
			break;
		case 'w':
			options.work = optarg[0] == 'c'   ? WORK_CALL
			               : optarg[0] == 'h' ? WORK_HOLD
			                                  : WORK_REGISTER;
			break;
		case 't':
			options.streams = stream_kind_parse(optarg, &options.kind);
			break;
		case 'u':
			options.users = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			options.rate = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'n':
			options.window = (unsigned)strtoul(optarg, NULL, 10);
			options.rate = 0;
			break;
		case 's':
			options.seconds = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'b':
			options.first = ntohl(inet_addr(optarg));
			break;
		case 'p':
			options.port = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'x':
			options.times = (unsigned)strtoul(optarg, NULL, 10);
			break;
		default:
			exit(2);
		}
	}
	if (options.edge.sin_family == 0 || options.users < 2) {
		fprintf(stderr,
		        "usage: load -e EDGE -w register|call|hold ... (see the head of load.c)\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	uint64_t begin;

	read_options(argc, argv);
	signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
	slots = calloc(SLOTS, sizeof(*slots));
	samples = calloc(SAMPLES, sizeof(*samples));
	if (slots == NULL || samples == NULL)
		wire_die("calloc");
	/* Branches and Call-IDs of an earlier run would be retransmissions to the edge. */
	next_number = oldest = (uint32_t)wire_now_us() & 0x3fffffff;
	batch_init(&in);
	batch_init(&out);
	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (options.streams)
		open_streams();
	else
		open_datagrams();
	/* Everybody comes; so often that peers are compared after the same amount of work. */
	work(WORK_REGISTER, options.work == WORK_HOLD ? options.rate : 0, REGISTER_WINDOW,
	     (uint64_t)options.users * options.times, 0);
	if (failed > 0)
		fprintf(stderr, "load: %llu users could not register\n",
		        (unsigned long long)failed);
	say("registered");
	if (getchar() == EOF)
		return 1;
	if (options.work == WORK_HOLD) {
		while (getchar() != EOF)
			;
		return 0;
	}
	say("begin");
	begin = wire_now_us();
	work(options.work, options.rate, options.window, 0, options.seconds);
	say("end");
	report(wire_now_us() - begin);
	return 0;
}
