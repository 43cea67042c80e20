/*
 * The Sprouts behind every edge that is measured: a registrar and stateless proxy that costs little, so
 * that the edge is what is measured. UDP only.
 *
 *	sprout [-f EDGE] IP:PORT...
 *
 * Registers anybody (Contact, Path), answers OPTIONS, routes to a user's contact through its Path,
 * record-routes. -f: send all that is not an answer of our own to EDGE, for an edge that adds no Path.
 */
#include <getopt.h>
#include <sys/epoll.h>

#include "batch.h"

#define USERS 65536 /* "u00000@": the number is the place in the table */
#define LISTEN_MAX 8

struct user {
	char contact[192]; /* its URI */
	char route[512];   /* Route lines made of its Path lines */
};

static struct user *users;
static struct sockaddr_in own[LISTEN_MAX];
static unsigned own_count;
static struct sockaddr_in fixed_hop;
static bool is_fixed;
static struct batch in, out;

static struct user *user_of(struct text uri)
{
	const char *name = wire_find(uri, "sip:u");

	return name == NULL ? NULL : &users[strtoul(name + 5, NULL, 10) % USERS];
}

static bool is_own(const struct sockaddr_in *address)
{
	for (unsigned i = 0; i < own_count; i++) {
		if (own[i].sin_port == address->sin_port &&
		    own[i].sin_addr.s_addr == address->sin_addr.s_addr)
			return true;
	}
	return false;
}

static struct text inner_uri(struct text value)
{
	const char *open = memchr(value.at, '<', value.length), *shut;

	if (open == NULL)
		return value;
	shut = memchr(open, '>', (size_t)(value.at + value.length - open));
	return shut == NULL ? value : (struct text){open + 1, (size_t)(shut - open - 1)};
}

static void add_answer_head(struct draft *draft, struct text head, const char *status)
{
	struct text to = wire_value(head, "\r\nTo: ");

	draft_words(draft, status);
	draft_copy(draft, head, "\r\nVia: ");
	draft_copy(draft, head, "\r\nFrom: ");
	draft_words(draft, "To: ");
	draft_text(draft, to);
	if (wire_find(to, ";tag=") == NULL)
		draft_words(draft, ";tag=sprout");
	draft_words(draft, "\r\n");
	draft_copy(draft, head, "\r\nCall-ID: ");
	draft_copy(draft, head, "\r\nCSeq: ");
}

static void learn(struct user *user, struct text contact, struct text head)
{
	struct draft route = {user->route, 0};
	const char *from = head.at;
	struct text line;

	snprintf(user->contact, sizeof(user->contact), "%.*s", (int)contact.length, contact.at);
	while (wire_next_line(head, "\r\nPath: ", &from, &line) &&
	       route.length + line.length + 4 < sizeof(user->route)) {
		draft_words(&route, "Route: ");
		draft_add(&route, line.at + 6, line.length - 6);
	}
	user->route[route.length] = '\0';
}

static void on_register(int fd, const struct sockaddr_in *source, const struct sockaddr_in *self,
                        struct text head)
{
	struct text to = inner_uri(wire_value(head, "\r\nTo: "));
	struct text contact = wire_value(head, "\r\nContact: ");
	struct user *user = user_of(to);
	struct draft draft;
	char words[256];

	if (user == NULL)
		return;
	learn(user, inner_uri(contact), head);
	draft = batch_next(&out, fd, source, NULL);
	add_answer_head(&draft, head, "SIP/2.0 200 OK\r\n");
	draft_words(&draft, "Contact: <");
	draft_words(&draft, user->contact);
	draft_words(&draft, ">;expires=3600\r\n");
	draft_copy(&draft, head, "\r\nPath: ");
	snprintf(words, sizeof(words),
	         "Service-Route: <sip:orig@%s:%u;lr;orig>\r\nP-Associated-URI: <%.*s>\r\n",
	         inet_ntoa(self->sin_addr), ntohs(self->sin_port), (int)to.length, to.at);
	draft_words(&draft, words);
	draft_words(&draft, "Content-Length: 0\r\n\r\n");
	batch_done(&out, &draft);
}

static void answer(int fd, const struct sockaddr_in *source, struct text head, const char *status)
{
	struct draft draft = batch_next(&out, fd, source, NULL);

	add_answer_head(&draft, head, status);
	draft_words(&draft, "Content-Length: 0\r\n\r\n");
	batch_done(&out, &draft);
}

/* Responses: our Via off, to where the next one says. */
static void on_response(int fd, struct text message)
{
	struct text head = wire_head(message), first, second;
	const char *from = head.at, *received, *rport;
	struct sockaddr_in to;
	struct draft draft;

	if (!wire_next_line(head, "\r\nVia: ", &from, &first) ||
	    !wire_next_line(head, "\r\nVia: ", &from, &second))
		return;
	if (is_fixed) {
		to = fixed_hop;
	} else {
		struct text at = {second.at + 5, second.length - 5}; /* behind "Via: " */

		at.at += strcspn(at.at, " "); /* behind the protocol */
		at.length = (size_t)(second.at + second.length - at.at);
		if (!wire_address(at, &to))
			return;
		received = wire_find(second, ";received=");
		if (received != NULL) {
			char name[INET_ADDRSTRLEN + 1] = "";

			memcpy(name, received + 10,
			       strspn(received + 10, "0123456789.") % sizeof(name));
			inet_pton(AF_INET, name, &to.sin_addr);
		}
		rport = wire_find(second, ";rport=");
		if (rport != NULL)
			to.sin_port = htons((uint16_t)strtoul(rport + 7, NULL, 10));
	}
	draft = batch_next(&out, fd, &to, NULL);
	draft_add(&draft, message.at, (size_t)(first.at - message.at));
	draft_add(&draft, first.at + first.length,
	          (size_t)(message.at + message.length - first.at - first.length));
	batch_done(&out, &draft);
}

struct passage {
	struct text uri;     /* the new Request-URI */
	const char *route;   /* Route lines to put on top, "" none */
	struct text skipped; /* the Route line that named us */
	struct sockaddr_in to;
};

/* RFC 3261 16.4-16.6 of a registrar's proxy: our Route off; a first request of a dialog goes to the
 * contact by its Path, the others along their Route. */
static bool plan(struct text message, struct text head, struct passage *passage)
{
	const char *space = memchr(head.at, ' ', head.length), *from = head.at;
	struct text line = {"", 0}, next = {"", 0};
	struct sockaddr_in first;

	(void)message;
	passage->uri.at = space + 1;
	passage->uri.length = strcspn(space + 1, " ");
	passage->route = "";
	passage->skipped = (struct text){head.at, 0};
	if (wire_next_line(head, "\r\nRoute: ", &from, &line)) {
		next = line;
		if (wire_address(inner_uri(line), &first) && is_own(&first)) {
			passage->skipped = line;
			next.length = 0;
			/* Several in one line: what follows the comma stays. */
			const char *comma = memchr(line.at, ',', line.length);
			if (comma != NULL) {
				passage->skipped.at = line.at + 7;
				passage->skipped.length = (size_t)(comma + 1 - passage->skipped.at);
				next = (struct text){comma,
				                     (size_t)(line.at + line.length - comma)};
			} else {
				(void)wire_next_line(head, "\r\nRoute: ", &from, &next);
			}
		}
	}
	if (next.length == 0 && wire_find(wire_value(head, "\r\nTo: "), ";tag=") == NULL) {
		struct user *user = user_of(passage->uri);

		if (user == NULL || user->contact[0] == '\0')
			return false;
		passage->uri = (struct text){user->contact, strlen(user->contact)};
		passage->route = user->route;
		next = (struct text){user->route, strlen(user->route)};
	}
	if (is_fixed) {
		passage->to = fixed_hop;
		return true;
	}
	return wire_address(inner_uri(next.length != 0 ? next : passage->uri), &passage->to);
}

static void on_request(int fd, const struct sockaddr_in *source, const struct sockaddr_in *self,
                       struct text message)
{
	struct text head = wire_head(message);
	struct text via = wire_value(head, "\r\nVia: ");
	const char *branch = wire_find(via, "branch="), *after;
	struct passage passage;
	struct draft draft;
	char words[256];

	if (branch == NULL)
		return;
	if (!plan(message, head, &passage)) {
		if (memcmp(message.at, "ACK ", 4) != 0)
			answer(fd, source, head, "SIP/2.0 404 Not Found\r\n");
		return;
	}
	draft = batch_next(&out, fd, &passage.to, NULL);
	draft_add(&draft, head.at, strcspn(head.at, " ") + 1);
	draft_text(&draft, passage.uri);
	snprintf(words, sizeof(words),
	         " SIP/2.0\r\nVia: SIP/2.0/UDP %s:%u;branch=%.*s.s\r\nRecord-Route: "
	         "<sip:%s:%u;lr>\r\n",
	         inet_ntoa(self->sin_addr), ntohs(self->sin_port),
	         (int)strcspn(branch + 7, ";,\r "), branch + 7, inet_ntoa(self->sin_addr),
	         ntohs(self->sin_port));
	draft_words(&draft, words);
	draft_words(&draft, passage.route);
	after = memchr(head.at, '\n', head.length);
	if (after == NULL)
		return;
	after++;
	if (passage.skipped.length != 0) {
		draft_add(&draft, after, (size_t)(passage.skipped.at - after));
		after = passage.skipped.at + passage.skipped.length;
	}
	draft_add(&draft, after, (size_t)(message.at + message.length - after));
	batch_done(&out, &draft);
}

static void on_message(int fd, const struct sockaddr_in *source, const struct sockaddr_in *self,
                       struct text message)
{
	if (message.length < 20)
		return;
	if (memcmp(message.at, "SIP/2.0 ", 8) == 0)
		on_response(fd, message);
	else if (memcmp(message.at, "REGISTER ", 9) == 0)
		on_register(fd, source, self, wire_head(message));
	else if (memcmp(message.at, "OPTIONS ", 8) == 0)
		answer(fd, source, wire_head(message), "SIP/2.0 200 OK\r\n");
	else
		on_request(fd, source, self, message);
}

static void serve(int poll, const int fds[])
{
	for (;;) {
		struct epoll_event events[LISTEN_MAX];
		int count = epoll_wait(poll, events, LISTEN_MAX, -1);

		for (int i = 0; i < count; i++) {
			unsigned which = events[i].data.u32;

			batch_receive(&in, fds[which]);
			for (unsigned k = 0; k < in.count; k++) {
				in.bytes[k][in.headers[k].msg_len < WIRE_MAX ? in.headers[k].msg_len
				                                             : WIRE_MAX - 1] = '\0';
				on_message(fds[which], &in.peers[k], &own[which],
				           (struct text){in.bytes[k], in.headers[k].msg_len});
			}
			batch_flush(&out, fds[which]);
		}
	}
}

int main(int argc, char **argv)
{
	int option, poll, fds[LISTEN_MAX];

	while ((option = getopt(argc, argv, "f:")) != -1) {
		if (option != 'f')
			return 2;
		fixed_hop = wire_argument(optarg);
		is_fixed = true;
	}
	users = calloc(USERS, sizeof(*users));
	if (users == NULL)
		wire_die("calloc");
	batch_init(&in);
	batch_init(&out);
	poll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = optind; i < argc && own_count < LISTEN_MAX; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = own_count};

		own[own_count] = wire_argument(argv[i]);
		fds[own_count] = batch_socket(&own[own_count]);
		if (epoll_ctl(poll, EPOLL_CTL_ADD, fds[own_count], &event) != 0)
			wire_die("epoll_ctl");
		own_count++;
	}
	puts("ready");
	fflush(stdout);
	serve(poll, fds);
}
