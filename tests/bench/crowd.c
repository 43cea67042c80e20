/*
 * A crowd of clients on streams of their own: tcp, tls, ws or wss.
 *
 *   crowd hold WAY EDGE COUNT CLIENT,CLIENT...   each connects and registers; held until the input ends. A line "again"
 *                                                lets each register once more, on the connection that it has.
 *   crowd resume ...                             the same, but TLS sessions are taken up: the last that anybody was given.
 *   crowd kill WAY EDGE COUNT CLIENT,CLIENT...   each goes some way (see enum doom) and is killed by a reset.
 *
 * EDGE: IP:PORT. CLIENT: addresses to come from. The first line of output is said once all have come, "registered N
 * resumed M" or "killed N"; whoever is refused ends it with exit status 1. Certificates are not looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define UNDER_WAY_MAX 64 /* connecting or registering at once: far from any budget */
#define HOSTS_MAX 64
#define BYTES_MAX 16384

enum state { CONNECTING, SHAKING, UPGRADING, REGISTERING, REGISTERED, GONE };

/* Where a client is killed. */
enum doom {
	DOOM_CONNECTED,
	DOOM_HALF_HELLO,
	DOOM_HELLO,
	DOOM_ANSWERED, /* the server's half of the handshake lies unread */
	DOOM_SHAKEN,
	DOOM_HALF_REGISTER,
	DOOM_REGISTER,
	DOOM_REGISTERED,
	DOOMS
};

struct client {
	int fd;
	SSL *ssl; /* NULL on tcp and ws */
	enum state state;
	enum doom doom;
	unsigned number, cseq;
};

static struct {
	bool is_tls, is_web, kill, resume;
	struct sockaddr_in edge, hosts[HOSTS_MAX];
	unsigned host_count, count;
	SSL_CTX *context;
	SSL_SESSION *session; /* the last one given */
	int epoll;
	struct client *clients;
	unsigned begun, under_way, done, resumed;
} crowd;

static void fail(const struct client *client, const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	fprintf(stderr, "client %u: %s: %s\n", client->number, what,
	        why != NULL ? why : strerror(errno));
	exit(1);
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	if (!crowd.resume)
		return 0;
	SSL_SESSION_free(crowd.session);
	crowd.session = session;
	return 1;
}

/* ---- bytes ---- */

static bool write_bytes(struct client *client, const void *bytes, size_t length)
{
	const ssize_t written = client->ssl != NULL ? SSL_write(client->ssl, bytes, (int)length)
	                                            : send(client->fd, bytes, length, MSG_NOSIGNAL);

	return written == (ssize_t)length; /* little, into empty buffers */
}

/* 0: nothing yet; -1: the end. */
static ssize_t read_bytes(struct client *client, char *bytes)
{
	ssize_t length;

	if (client->ssl == NULL) {
		length = recv(client->fd, bytes, BYTES_MAX, 0);
		if (length < 0 && errno == EAGAIN)
			return 0;
		return length > 0 ? length : -1;
	}
	ERR_clear_error();
	length = SSL_read(client->ssl, bytes, BYTES_MAX);
	if (length <= 0 && SSL_get_error(client->ssl, (int)length) == SSL_ERROR_WANT_READ)
		return 0;
	return length > 0 ? length : -1;
}

/* RFC 6455 5.2: a whole text message, masked with zeros. */
static size_t frame(char *out, size_t length)
{
	const unsigned char head[8] = {0x81, 0x80 | 126, (unsigned char)(length >> 8),
	                               (unsigned char)length};

	memmove(out + sizeof(head), out, length);
	memcpy(out, head, sizeof(head));
	return length + sizeof(head);
}

static void upgrade(struct client *client)
{
	static const char request[] =
		"GET / HTTP/1.1\r\nHost: example.net\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n";

	client->state = UPGRADING;
	if (!write_bytes(client, request, sizeof(request) - 1))
		fail(client, "upgrade");
}

static size_t build_register(struct client *client, char *out)
{
	const char *ways[2][2] = {{"TCP", "tcp"}, {"TLS", "tls"}}, *web[2] = {"WS", "WSS"};
	const char *via = crowd.is_web ? web[crowd.is_tls] : ways[crowd.is_tls][0];
	struct sockaddr_in own;
	socklen_t own_length = sizeof(own);
	char host[INET_ADDRSTRLEN];
	int length;

	getsockname(client->fd, (struct sockaddr *)&own, &own_length);
	inet_ntop(AF_INET, &own.sin_addr, host, sizeof(host));
	length = snprintf(
		out, BYTES_MAX - 16,
		"REGISTER sip:example.net SIP/2.0\r\n"
		"Via: SIP/2.0/%s %s:%u;rport;branch=z9hG4bKcrowd%d-%u-%u\r\n"
		"Max-Forwards: 70\r\nFrom: <sip:crowd%u@example.net>;tag=c\r\n"
		"To: <sip:crowd%u@example.net>\r\nCall-ID: crowd%d-%u\r\nCSeq: %u REGISTER\r\n"
		"Contact: <sip:crowd%u@%s:%u;transport=%s>\r\nExpires: 3600\r\nContent-Length: "
		"0\r\n\r\n",
		via, host, ntohs(own.sin_port), (int)getpid(), client->number, client->cseq + 1,
		client->number, client->number, (int)getpid(), client->number, client->cseq + 1,
		client->number, host, ntohs(own.sin_port),
		crowd.is_web ? "ws" : ways[crowd.is_tls][1]);
	client->cseq++;
	return crowd.is_web ? frame(out, (size_t)length) : (size_t)length;
}

/* ---- a client's life ---- */

static void end(struct client *client)
{
	const struct linger reset = {1, 0};

	setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(client->fd);
	SSL_free(client->ssl);
	client->ssl = NULL;
	client->state = GONE;
	crowd.under_way--;
	crowd.done++;
}

static bool is_doomed(const struct client *client, enum doom doom)
{
	return crowd.kill && client->doom == doom;
}

static void register_it(struct client *client)
{
	char bytes[BYTES_MAX];
	size_t length = build_register(client, bytes);

	if (is_doomed(client, DOOM_HALF_REGISTER))
		length /= 2;
	client->state = REGISTERING;
	if (!write_bytes(client, bytes, length))
		fail(client, "REGISTER");
	if (is_doomed(client, DOOM_HALF_REGISTER) || is_doomed(client, DOOM_REGISTER))
		end(client);
}

static void begin(struct client *client)
{
	const struct sockaddr_in *host = &crowd.hosts[client->number % crowd.host_count];
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client};
	const int on = 1;

	client->doom = (enum doom)(client->number % DOOMS);
	client->state = CONNECTING;
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (client->fd < 0)
		fail(client, "socket");
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(client->fd, (const struct sockaddr *)host, sizeof(*host)) != 0)
		fail(client, "bind");
	if (connect(client->fd, (struct sockaddr *)&crowd.edge, sizeof(crowd.edge)) != 0 &&
	    errno != EINPROGRESS)
		fail(client, "connect");
	if (epoll_ctl(crowd.epoll, EPOLL_CTL_ADD, client->fd, &event) != 0)
		fail(client, "epoll");
	crowd.under_way++;
}

static void begin_tls(struct client *client)
{
	client->ssl = SSL_new(crowd.context);
	if (client->ssl == NULL || SSL_set_fd(client->ssl, client->fd) != 1)
		fail(client, "SSL");
	if (crowd.session != NULL)
		SSL_set_session(client->ssl, crowd.session);
	SSL_set_connect_state(client->ssl);
	client->state = SHAKING;
}

/* Only the first part of what a client says first. */
static void send_half_hello(struct client *client)
{
	BIO *out = BIO_new(BIO_s_mem());
	char *bytes;
	long length;

	SSL_set0_wbio(client->ssl, out);
	SSL_do_handshake(client->ssl);
	length = BIO_get_mem_data(out, &bytes);
	if (send(client->fd, bytes, (size_t)length / 2, MSG_NOSIGNAL) < 0)
		fail(client, "half a ClientHello");
}

static void on_shaken(struct client *client)
{
	crowd.resumed += client->ssl != NULL && SSL_session_reused(client->ssl);
	if (is_doomed(client, DOOM_SHAKEN))
		end(client);
	else if (crowd.is_web)
		upgrade(client);
	else
		register_it(client);
}

static void shake(struct client *client, bool is_readable)
{
	int result;

	if (is_doomed(client, DOOM_ANSWERED) && is_readable) {
		end(client);
		return;
	}
	ERR_clear_error();
	result = SSL_do_handshake(client->ssl);
	if (result == 1) {
		on_shaken(client);
		return;
	}
	if (SSL_get_error(client->ssl, result) != SSL_ERROR_WANT_READ)
		fail(client, "handshake");
	if (is_doomed(client, DOOM_HELLO))
		end(client);
}

static void on_connected(struct client *client)
{
	int error = 0;
	socklen_t length = sizeof(error);

	getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	errno = error;
	if (error != 0)
		fail(client, "connect");
	if (is_doomed(client, DOOM_CONNECTED)) {
		end(client);
		return;
	}
	if (!crowd.is_tls) {
		on_shaken(client);
		return;
	}
	begin_tls(client);
	if (is_doomed(client, DOOM_HALF_HELLO)) {
		send_half_hello(client);
		end(client);
		return;
	}
	shake(client, false);
}

/* What comes is an answer of one piece: nobody else talks to these clients. */
static void on_answer(struct client *client, const char *bytes, size_t length)
{
	const char *expected = client->state == UPGRADING ? "HTTP/1.1 101" : "SIP/2.0 200";

	if (memmem(bytes, length, expected, strlen(expected)) == NULL) {
		fprintf(stderr, "client %u was answered: %.*s\n", client->number, (int)length,
		        bytes);
		exit(1);
	}
	if (client->state == UPGRADING) {
		register_it(client);
		return;
	}
	client->state = REGISTERED;
	if (crowd.kill) {
		end(client);
		return;
	}
	crowd.under_way--;
	crowd.done++;
}

static void read_all(struct client *client)
{
	static char bytes[BYTES_MAX];
	ssize_t length;

	while (client->state != GONE && (length = read_bytes(client, bytes)) != 0) {
		if (length < 0)
			fail(client, "closed by the edge");
		if (client->state != REGISTERED) /* else a ping */
			on_answer(client, bytes, (size_t)length);
	}
}

static void on_event(struct client *client, uint32_t events)
{
	if (client->state == CONNECTING && (events & (EPOLLOUT | EPOLLERR)) != 0)
		on_connected(client);
	else if (client->state == SHAKING)
		shake(client, (events & EPOLLIN) != 0);
	if (client->state == GONE || client->state <= SHAKING)
		return;
	read_all(client);
}

/* ---- the crowd ---- */

static void again(void)
{
	while (crowd.under_way < UNDER_WAY_MAX && crowd.begun < crowd.count) {
		crowd.under_way++;
		register_it(&crowd.clients[crowd.begun++]);
	}
}

static void come(void)
{
	while (crowd.under_way < UNDER_WAY_MAX && crowd.begun < crowd.count)
		begin(&crowd.clients[crowd.begun++]);
}

static void run(void (*more)(void))
{
	struct epoll_event events[UNDER_WAY_MAX];
	int count;

	crowd.begun = crowd.done = 0;
	while (crowd.done < crowd.count) {
		more();
		if (crowd.done == crowd.count)
			break;
		count = epoll_wait(crowd.epoll, events, UNDER_WAY_MAX, 20000);
		if (count == 0) {
			fprintf(stderr, "nothing came for 20 s, %u are done\n", crowd.done);
			exit(1);
		}
		for (int i = 0; i < count; i++)
			on_event(events[i].data.ptr, events[i].events);
	}
}

static void hold(void)
{
	char line[64];

	printf("registered %u resumed %u\n", crowd.done, crowd.resumed);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		run(again);
		printf("again %u\n", crowd.done);
		fflush(stdout);
	}
}

static void prepare(char **argv)
{
	struct rlimit limit;
	char *rest = argv[5];

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	crowd.kill = strcmp(argv[1], "kill") == 0;
	crowd.resume = strcmp(argv[1], "hold") != 0;
	crowd.is_web = argv[2][0] == 'w';
	crowd.is_tls = strcmp(argv[2], "tls") == 0 || strcmp(argv[2], "wss") == 0;
	crowd.edge = wire_argument(argv[3]);
	crowd.count = (unsigned)strtoul(argv[4], NULL, 10);
	for (char *host; (host = strsep(&rest, ",")) != NULL && crowd.host_count < HOSTS_MAX;) {
		crowd.hosts[crowd.host_count] = wire_argument(host);
		crowd.hosts[crowd.host_count++].sin_port = 0;
	}
	crowd.clients = calloc(crowd.count, sizeof(*crowd.clients));
	crowd.context = SSL_CTX_new(TLS_client_method());
	crowd.epoll = epoll_create1(0);
	if (crowd.clients == NULL || crowd.context == NULL || crowd.epoll < 0)
		wire_die("crowd");
	for (unsigned i = 0; i < crowd.count; i++)
		crowd.clients[i].number = i;
	SSL_CTX_set_mode(crowd.context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(crowd.context,
	                               SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(crowd.context, on_session);
}

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr,
		        "crowd hold|resume|kill tcp|tls|ws|wss EDGE COUNT CLIENT,CLIENT...\n");
		return 2;
	}
	prepare(argv);
	run(come);
	if (crowd.kill)
		printf("killed %u\n", crowd.done);
	else
		hold();
	return 0;
}
