/*
 * The drill's clients: registered users who register again and call each other at fixed rates while things
 * break, and a record of every request they made.
 *
 *	load -e EDGE -o RECORDS [-u USERS] [-r REGISTERS/s] [-c CALLS/s] [-d TALK_MS] [-b FIRST_ADDRESS]
 *	     [-p PORT] [-s SECONDS]
 *
 * Says "registered" when all users are; waits for a line; says "begin" and works until the next line (or for
 * SECONDS), waits for what is under way, writes RECORDS and says "end". One UDP socket stands for all users,
 * each with an address of its own.
 *
 * They behave as phones do: requests are repeated until they are answered (RFC 3261 17.1), nobody registers
 * while his last REGISTER is unanswered (10.2), 2xx are repeated until the ACK comes and each is acknowledged
 * (13.3.1.4). One thing is lenient: an INVITE that comes a second time by another branch is answered again,
 * not with 482, since the first answer may have died with a Sprout.
 * A call is INVITE 180 200 ACK, TALK_MS of silence, BYE 200.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <sys/epoll.h>

#include "../bench/batch.h"

#define PATIENCE_US 12000000u /* longer than the edge's deadline, so that its answer is seen */
#define T1_US 500000u
#define T2_US 4000000u
#define CALLS (1u << 13) /* under way at once; 200/s that last 14 s are 2,800 */
#define RECORDS_MAX (1u << 22)
#define TICK_US 10000u
#define BURST 64
#define REGISTER_WINDOW 32
#define ROUTES_MAX 16

enum kind { KIND_REGISTER, KIND_INVITE, KIND_BYE };

/* One request made, as the file has it. */
struct record {
	uint64_t start_us; /* CLOCK_MONOTONIC */
	uint32_t latency_us;
	uint32_t server; /* REGISTER: the Sprout of its Service-Route, network order; else 0 */
	uint16_t status; /* 0: never answered */
	uint8_t kind, repeats;
} __attribute__((packed));

/* A request that waits for its final answer. */
struct asked {
	uint64_t start_us, repeat_us; /* start 0: none */
	uint32_t interval_us;
	uint8_t repeats;
	bool provisional;
};

struct user {
	struct asked asked;
	uint32_t number;
};

enum call_state { CALL_FREE, CALL_INVITED, CALL_TALKING, CALL_ENDING };

struct call {
	enum call_state state;
	uint32_t number;
	struct asked asked;
	uint64_t end_us; /* of the talk */
	char *bye, *ok;  /* as they are repeated */
	size_t bye_length, ok_length;
	uint64_t ok_us; /* when the 200 is due again; 0: acknowledged */
	uint32_t ok_interval_us;
};

static struct {
	struct sockaddr_in edge;
	unsigned users, registers, calls, talk_ms, seconds, port;
	uint32_t first;
	const char *records;
} options = {.users = 1000,
             .registers = 500,
             .calls = 200,
             .talk_ms = 2000,
             .seconds = 600,
             .first = 0x7fc80001,
             .port = 26060};

static struct user *users;
static struct call *calls;
static struct record *records;
static size_t record_count;
static unsigned next_user, under_way;
static uint32_t next_register, next_call;
static int udp = -1, poll_fd;
static bool told; /* a line came on stdin */
static struct batch in, out;

/* ---- records ---- */

static void finish(struct asked *asked, enum kind kind, unsigned status, uint32_t server)
{
	if (record_count < RECORDS_MAX)
		records[record_count++] = (struct record){
			asked->start_us, (uint32_t)(wire_now_us() - asked->start_us),
			server,          (uint16_t)status,
			(uint8_t)kind,   asked->repeats};
	asked->start_us = 0;
	under_way--;
}

static void ask(struct asked *asked)
{
	uint64_t now = wire_now_us();

	*asked = (struct asked){now, now + T1_US, T1_US, 0, false};
	under_way++;
}

static void write_records(void)
{
	FILE *file = fopen(options.records, "wb");

	if (file == NULL || fwrite(records, sizeof(*records), record_count, file) != record_count ||
	    fclose(file) != 0)
		wire_die(options.records);
}

/* ---- requests ---- */

static struct in_addr address_of(unsigned user)
{
	return (struct in_addr){htonl(options.first + user)};
}

static struct draft send_begin(unsigned user)
{
	struct in_addr from = address_of(user);

	return batch_next(&out, udp, &options.edge, &from);
}

static void add_line(struct draft *draft, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void add_line(struct draft *draft, const char *format, ...)
{
	char line[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	draft_words(draft, line);
	draft_words(draft, "\r\n");
}

static void add_via(struct draft *draft, unsigned user, char kind, uint32_t a, uint32_t b)
{
	add_line(draft,
	         "Via: SIP/2.0/UDP %s:%u;branch=z9hG4bK%c%08x.%08x;rport\r\nMax-Forwards: 70",
	         inet_ntoa(address_of(user)), options.port, kind, a, b);
}

static void send_register(unsigned user)
{
	struct draft draft = send_begin(user);
	uint32_t number = users[user].number;

	draft_words(&draft, "REGISTER sip:example.net SIP/2.0\r\n");
	add_via(&draft, user, 'r', user, number);
	add_line(&draft,
	         "From: <sip:u%05u@example.net>;tag=f%08x\r\nTo: <sip:u%05u@example.net>\r\n"
	         "Call-ID: r%05u-%u\r\nCSeq: %u REGISTER\r\nSupported: path, outbound\r\nExpires: "
	         "3600",
	         user, number, user, user, options.port, number);
	add_line(&draft,
	         "Contact: "
	         "<sip:u%05u@%s:%u>;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-%012u>\";"
	         "reg-id=1\r\nContent-Length: 0\r\n",
	         user, inet_ntoa(address_of(user)), options.port, user);
	batch_done(&out, &draft);
}

/* The next user whose last REGISTER was answered. */
static void start_register(void)
{
	for (unsigned i = 0; i < options.users; i++) {
		unsigned user = next_user++ % options.users;

		if (users[user].asked.start_us != 0)
			continue;
		users[user].number = ++next_register;
		ask(&users[user].asked);
		send_register(user);
		return;
	}
}

static unsigned caller_of(uint32_t number)
{
	return number * 2 % (options.users & ~1u);
}

static struct call *call_of(uint32_t number)
{
	struct call *call = &calls[number % CALLS];

	return call->state != CALL_FREE && call->number == number ? call : NULL;
}

static void add_dialog(struct draft *draft, uint32_t number, struct text to, const char *cseq)
{
	add_line(draft, "From: <sip:u%05u@example.net>;tag=a%08x", caller_of(number), number);
	draft_words(draft, "To: ");
	draft_text(draft, to);
	add_line(draft, "\r\nCall-ID: c%08x\r\nCSeq: %s", number, cseq);
}

static void add_contact_and_sdp(struct draft *draft, unsigned user)
{
	static const char sdp[] =
		"v=0\r\no=- 3620633498 955151092 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\n"
		"t=0 0\r\nm=audio 20196 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

	add_line(draft, "Contact: <sip:u%05u@%s:%u>", user, inet_ntoa(address_of(user)),
	         options.port);
	add_line(draft, "Content-Type: application/sdp\r\nContent-Length: %zu\r\n", strlen(sdp));
	draft_words(draft, sdp);
}

static struct text callee_uri(char *line, size_t size, uint32_t number)
{
	snprintf(line, size, "<sip:u%05u@example.net>", caller_of(number) + 1);
	return (struct text){line, strlen(line)};
}

static void send_invite(uint32_t number)
{
	unsigned caller = caller_of(number);
	struct draft draft = send_begin(caller);
	char to[64];

	add_line(&draft, "INVITE sip:u%05u@example.net SIP/2.0", caller + 1);
	add_via(&draft, caller, 'i', number, 0);
	add_dialog(&draft, number, callee_uri(to, sizeof(to), number), "1 INVITE");
	add_contact_and_sdp(&draft, caller);
	batch_done(&out, &draft);
}

static void forget_call(struct call *call)
{
	free(call->bye);
	free(call->ok);
	*call = (struct call){.state = CALL_FREE};
}

static void start_call(void)
{
	struct call *call = &calls[next_call % CALLS];

	if (call->state != CALL_FREE) {
		fprintf(stderr, "load: too many calls at once\n");
		exit(1);
	}
	*call = (struct call){.state = CALL_INVITED, .number = next_call++};
	ask(&call->asked);
	send_invite(call->number);
}

static void send_kept(unsigned user, const char *at, size_t length)
{
	struct draft draft = send_begin(user);

	draft_add(&draft, at, length);
	batch_done(&out, &draft);
}

static char *keep(const struct draft *draft)
{
	char *copy = malloc(draft->length);

	if (copy == NULL)
		wire_die("malloc");
	memcpy(copy, draft->at, draft->length);
	return copy;
}

/* ---- the caller's answers ---- */

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

static bool draft_in_dialog(struct draft *draft, uint32_t number, struct text head,
                            const char *method, char kind, const char *cseq)
{
	struct text contact = wire_value(head, "\r\nContact: ");
	const char *open = memchr(contact.at, '<', contact.length), *shut;

	if (open == NULL ||
	    (shut = memchr(open, '>', (size_t)(contact.at + contact.length - open))) == NULL)
		return false;
	draft_words(draft, method);
	draft_add(draft, open + 1, (size_t)(shut - open - 1));
	draft_words(draft, " SIP/2.0\r\n");
	add_via(draft, caller_of(number), kind, number, 0);
	add_routes(draft, head);
	add_dialog(draft, number, wire_value(head, "\r\nTo: "), cseq);
	draft_words(draft, "Content-Length: 0\r\n\r\n");
	return true;
}

static void send_ack(uint32_t number, struct text head)
{
	struct draft draft = send_begin(caller_of(number));

	if (draft_in_dialog(&draft, number, head, "ACK ", 'a', "1 ACK"))
		batch_done(&out, &draft);
}

static void send_ack_to_failure(uint32_t number, struct text head)
{
	unsigned caller = caller_of(number);
	struct draft draft = send_begin(caller);

	add_line(&draft, "ACK sip:u%05u@example.net SIP/2.0", caller + 1);
	add_via(&draft, caller, 'i', number, 0);
	add_dialog(&draft, number, wire_value(head, "\r\nTo: "), "1 ACK");
	draft_words(&draft, "Content-Length: 0\r\n\r\n");
	batch_done(&out, &draft);
}

static void keep_bye(struct call *call, struct text head)
{
	static char bytes[WIRE_MAX];
	struct draft draft = {bytes, 0};

	if (!draft_in_dialog(&draft, call->number, head, "BYE ", 'b', "2 BYE"))
		return;
	call->bye = keep(&draft);
	call->bye_length = draft.length;
}

static bool call_number(struct text head, uint32_t *number)
{
	struct text value = wire_value(head, "\r\nCall-ID: ");

	if (value.length < 9 || value.at[0] != 'c')
		return false;
	*number = (uint32_t)strtoul(value.at + 1, NULL, 16);
	return true;
}

static void on_invite_answer(struct text head, unsigned status)
{
	struct call *call;
	uint32_t number;

	if (!call_number(head, &number))
		return;
	if (status >= 300)
		send_ack_to_failure(number, head);
	else if (status >= 200)
		send_ack(number, head); /* each of them: the callee repeats until it hears us */
	call = call_of(number);
	if (call == NULL || call->state != CALL_INVITED)
		return;
	call->asked.provisional = true;
	if (status < 200)
		return;
	finish(&call->asked, KIND_INVITE, status, 0);
	if (status >= 300) {
		forget_call(call);
		return;
	}
	keep_bye(call, head);
	call->state = CALL_TALKING;
	call->end_us = wire_now_us() + options.talk_ms * 1000u;
}

static void on_bye_answer(struct text head, unsigned status)
{
	struct call *call;
	uint32_t number;

	if (status < 200 || !call_number(head, &number) || (call = call_of(number)) == NULL ||
	    call->state != CALL_ENDING)
		return;
	finish(&call->asked, KIND_BYE, status, 0);
	forget_call(call);
}

static void on_register_answer(struct text head, unsigned status)
{
	const char *branch = wire_find(head, "branch=z9hG4bKr");
	struct text service_route = wire_value(head, "\r\nService-Route: ");
	struct sockaddr_in server = {0};
	uint32_t user, number;

	if (branch == NULL || status < 200 || sscanf(branch + 15, "%8x.%8x", &user, &number) != 2 ||
	    user >= options.users || users[user].number != number ||
	    users[user].asked.start_us == 0)
		return;
	if (service_route.length > 0)
		wire_address(service_route, &server);
	finish(&users[user].asked, KIND_REGISTER, status, server.sin_addr.s_addr);
}

/* ---- the callee ---- */

static void draft_answer(struct draft *draft, uint32_t number, struct text head, const char *status,
                         bool with_body)
{
	unsigned callee = caller_of(number) + 1;
	struct text to = wire_value(head, "\r\nTo: ");

	draft_words(draft, status);
	draft_copy(draft, head, "\r\nVia: ");
	draft_copy(draft, head, "\r\nRecord-Route: ");
	draft_copy(draft, head, "\r\nFrom: ");
	draft_words(draft, "To: ");
	draft_text(draft, to);
	draft_words(draft, wire_find(to, ";tag=") == NULL ? ";tag=callee\r\n" : "\r\n");
	draft_copy(draft, head, "\r\nCall-ID: ");
	draft_copy(draft, head, "\r\nCSeq: ");
	if (with_body)
		add_contact_and_sdp(draft, callee);
	else
		add_line(draft, "Contact: <sip:u%05u@%s:%u>\r\nContent-Length: 0\r\n", callee,
		         inet_ntoa(address_of(callee)), options.port);
}

static void answer(uint32_t number, struct text head, const char *status)
{
	struct draft draft = send_begin(caller_of(number) + 1);

	draft_answer(&draft, number, head, status, false);
	batch_done(&out, &draft);
}

static void accept_call(struct call *call, struct text head)
{
	static char bytes[WIRE_MAX];
	struct draft draft = {bytes, 0};

	answer(call->number, head, "SIP/2.0 180 Ringing\r\n");
	draft_answer(&draft, call->number, head, "SIP/2.0 200 OK\r\n", true);
	free(call->ok);
	call->ok = keep(&draft);
	call->ok_length = draft.length;
	call->ok_interval_us = T1_US;
	call->ok_us = wire_now_us() + T1_US;
	send_kept(caller_of(call->number) + 1, call->ok, call->ok_length);
}

static void on_request(struct text head)
{
	struct call *call;
	uint32_t number;

	if (!call_number(head, &number))
		return;
	call = call_of(number);
	if (memcmp(head.at, "INVITE ", 7) == 0) {
		if (call != NULL && call->state != CALL_ENDING)
			accept_call(call, head);
		else
			answer(number, head, "SIP/2.0 487 Request Terminated\r\n");
	} else if (memcmp(head.at, "ACK ", 4) == 0) {
		if (call != NULL)
			call->ok_us = 0;
	} else {
		answer(number, head, "SIP/2.0 200 OK\r\n"); /* BYE, CANCEL of an abandoned branch */
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

/* ---- time ---- */

/* True if it is to be sent again. */
static bool is_due(struct asked *asked, enum kind kind, uint64_t now)
{
	if (asked->provisional || now < asked->repeat_us)
		return false;
	asked->interval_us *= 2;
	if (kind != KIND_INVITE && asked->interval_us > T2_US)
		asked->interval_us = T2_US;
	asked->repeat_us = now + asked->interval_us;
	asked->repeats++;
	return true;
}

static bool is_hopeless(const struct asked *asked, uint64_t now)
{
	return now > asked->start_us + PATIENCE_US;
}

static void tick_call(struct call *call, uint64_t now)
{
	unsigned caller = caller_of(call->number);

	if (call->ok_us != 0 && now >= call->ok_us && call->state != CALL_ENDING) {
		call->ok_interval_us =
			call->ok_interval_us * 2 > T2_US ? T2_US : call->ok_interval_us * 2;
		call->ok_us = now + call->ok_interval_us;
		send_kept(caller + 1, call->ok, call->ok_length);
	}
	if (call->state == CALL_TALKING && now >= call->end_us) {
		call->state = CALL_ENDING;
		ask(&call->asked);
		send_kept(caller, call->bye, call->bye_length);
		return;
	}
	if (call->state == CALL_TALKING)
		return;
	if (is_hopeless(&call->asked, now)) {
		finish(&call->asked, call->state == CALL_INVITED ? KIND_INVITE : KIND_BYE, 0, 0);
		forget_call(call);
	} else if (call->state == CALL_INVITED && is_due(&call->asked, KIND_INVITE, now)) {
		send_invite(call->number);
	} else if (call->state == CALL_ENDING && is_due(&call->asked, KIND_BYE, now)) {
		send_kept(caller, call->bye, call->bye_length);
	}
}

static unsigned tick(uint64_t now)
{
	unsigned busy = 0;

	for (unsigned user = 0; user < options.users; user++) {
		struct asked *asked = &users[user].asked;

		if (asked->start_us == 0)
			continue;
		if (is_hopeless(asked, now))
			finish(asked, KIND_REGISTER, 0, 0);
		else if (is_due(asked, KIND_REGISTER, now))
			send_register(user);
	}
	for (unsigned i = 0; i < CALLS; i++) {
		if (calls[i].state != CALL_FREE) {
			tick_call(&calls[i], now);
			busy++;
		}
	}
	return busy;
}

static void receive_all(void)
{
	bool full = true;

	while (full && batch_receive(&in, udp) > 0) {
		full = in.count == BATCH;
		for (unsigned i = 0; i < in.count; i++)
			on_message((struct text){in.bytes[i], in.headers[i].msg_len});
	}
}

static void wait_and_receive(uint64_t wait_us)
{
	struct epoll_event events[2];
	struct timespec timeout = {0, (long)(wait_us > 1000 ? 1000 : wait_us) * 1000};
	int count = epoll_pwait2(poll_fd, events, 2, &timeout, NULL);
	char bytes[64];

	for (int i = 0; i < count; i++) {
		if (events[i].data.fd == udp) {
			receive_all();
		} else {
			told = true;
			if (read(STDIN_FILENO, bytes, sizeof(bytes)) <= 0)
				epoll_ctl(poll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
		}
	}
}

/* ---- the work ---- */

/* Everybody comes: brisk, and no edge drops any. */
static void register_all(void)
{
	uint64_t last_tick = 0;

	while (next_register < options.users || under_way > 0) {
		uint64_t now = wire_now_us();

		while (next_register < options.users && under_way < REGISTER_WINDOW)
			start_register();
		if (now - last_tick > TICK_US) {
			tick(now);
			last_tick = now;
		}
		batch_flush(&out, udp);
		wait_and_receive(1000);
	}
	for (size_t i = 0; i < record_count; i++) {
		if (records[i].status != 200) {
			fprintf(stderr, "load: a user could not register: %u\n", records[i].status);
			exit(1);
		}
	}
	record_count = 0;
}

static void start_due(uint64_t *started, uint64_t elapsed_us, unsigned rate, void (*start)(void))
{
	uint64_t due = elapsed_us * rate / 1000000u;

	for (unsigned i = 0; i < BURST && *started < due; i++, ++*started)
		start();
}

static void work(void)
{
	uint64_t begin = wire_now_us(), registers = 0, invites = 0, last_tick = begin;
	unsigned busy = 1;

	told = false;
	while (busy > 0 || under_way > 0) {
		uint64_t now = wire_now_us();

		if (!told && now - begin < options.seconds * 1000000ull) {
			start_due(&registers, now - begin, options.registers, start_register);
			start_due(&invites, now - begin, options.calls, start_call);
		} else {
			told = true;
		}
		if (now - last_tick > TICK_US) {
			busy = tick(now) + !told;
			last_tick = now;
		}
		batch_flush(&out, udp);
		wait_and_receive(500);
		batch_flush(&out, udp);
	}
}

static void say(const char *words)
{
	puts(words);
	fflush(stdout);
}

static void read_options(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "e:o:u:r:c:d:b:p:s:")) != -1) {
		unsigned number = (unsigned)strtoul(optarg != NULL ? optarg : "0", NULL, 10);

		switch (option) {
		case 'e':
			options.edge = wire_argument(optarg);
			break;
		case 'o':
			options.records = optarg;
			break;
		case 'u':
			options.users = number;
			break;
		case 'r':
			options.registers = number;
			break;
		case 'c':
			options.calls = number;
			break;
		case 'd':
			options.talk_ms = number;
			break;
		case 'b':
			options.first = ntohl(inet_addr(optarg));
			break;
		case 'p':
			options.port = number;
			break;
		case 's':
			options.seconds = number;
			break;
		default:
			exit(2);
		}
	}
	if (options.edge.sin_family == 0 || options.records == NULL || options.users < 2) {
		fprintf(stderr, "usage: load -e EDGE -o RECORDS ... (see the head of load.c)\n");
		exit(2);
	}
}

static void watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		wire_die("epoll_ctl");
}

int main(int argc, char **argv)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	char line[64];

	read_options(argc, argv);
	any.sin_port = htons((uint16_t)options.port);
	users = calloc(options.users, sizeof(*users));
	calls = calloc(CALLS, sizeof(*calls));
	records = malloc(RECORDS_MAX * sizeof(*records));
	if (users == NULL || calls == NULL || records == NULL)
		wire_die("calloc");
	batch_init(&in);
	batch_init(&out);
	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	udp = batch_socket(&any);
	watch(udp);
	register_all();
	say("registered");
	if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
		return 1;
	watch(STDIN_FILENO);
	say("begin");
	work();
	write_records();
	say("end");
	return 0;
}
