/*
 * The least that a TLS server can do for a request: accept, shake hands, read it, write an answer that never changes,
 * hear the end, close. No SIP. Its contexts are set as an edge would set them, so that what an edge costs beyond it is
 * the edge's own.
 *
 *	tls_server IP:PORT CERTIFICATE KEY
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

/* As long as what an edge sends on for a registrar. */
static const char answer[] =
	"SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS "
	"127.200.0.1:5061;branch=z9hG4bKc00000000;rport=40000\r\n"
	"From: <sip:u00000@example.net>;tag=f00000000\r\nTo: "
	"<sip:u00000@example.net>;tag=sprout\r\n"
	"Call-ID: c00000000\r\nCSeq: 1 REGISTER\r\n"
	"Contact: <sip:u00000@127.200.0.1:5061;transport=tls>;expires=3600\r\n"
	"Path: <sip:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA@127.199.0.1:5058;lr;ob>\r\n"
	"Service-Route: <sip:orig@127.199.1.1:5054;lr;orig>\r\n"
	"P-Associated-URI: <sip:u00000@example.net>\r\nRequire: outbound\r\nFlow-Timer: 120\r\n"
	"Content-Length: 0\r\n\r\n";

struct guest {
	SSL *ssl;
	int fd;
	bool shaken;
};

static SSL_CTX *make_context(const char *certificate, const char *key)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (context == NULL || SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1) {
		ERR_print_errors_fp(stderr);
		exit(1);
	}
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_num_tickets(context, 1);
	SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384");
	SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_id_context(context, (const unsigned char *)"bench", 5);
	return context;
}

static void end(struct guest *guest)
{
	SSL_shutdown(guest->ssl);
	ERR_clear_error();
	SSL_free(guest->ssl);
	close(guest->fd);
	free(guest);
}

static void serve(struct guest *guest)
{
	char bytes[WIRE_MAX];
	int got, error;

	if (!guest->shaken) {
		got = SSL_accept(guest->ssl);
		if (got != 1) {
			error = SSL_get_error(guest->ssl, got);
			ERR_clear_error();
			if (error != SSL_ERROR_WANT_READ)
				end(guest);
			return;
		}
		guest->shaken = true;
	}
	while ((got = SSL_read(guest->ssl, bytes, sizeof(bytes))) > 0)
		SSL_write(guest->ssl, answer, sizeof(answer) - 1);
	error = SSL_get_error(guest->ssl, got);
	ERR_clear_error();
	if (error != SSL_ERROR_WANT_READ)
		end(guest);
}

static void welcome(int listening, int poll, SSL_CTX *context)
{
	int fd;

	while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct guest *guest = calloc(1, sizeof(*guest));
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = guest};

		if (guest == NULL || (guest->ssl = SSL_new(context)) == NULL ||
		    SSL_set_fd(guest->ssl, fd) != 1 ||
		    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0)
			wire_die("a guest");
		guest->fd = fd;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in address;
	struct epoll_event events[64], event = {.events = EPOLLIN};
	int listening, poll, on = 1;
	SSL_CTX *context;

	if (argc != 4) {
		fprintf(stderr, "usage: tls_server IP:PORT CERTIFICATE KEY\n");
		return 2;
	}
	address = wire_argument(argv[1]);
	context = make_context(argv[2], argv[3]);
	listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listening, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* guests inherit it */
	if (bind(listening, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listening, 4096) != 0)
		wire_die("listen");
	poll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(poll, EPOLL_CTL_ADD, listening, &event) != 0)
		wire_die("epoll_ctl");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int got = epoll_wait(poll, events, 64, -1);

		for (int i = 0; i < got; i++) {
			if (events[i].data.ptr == NULL)
				welcome(listening, poll, context);
			else
				serve(events[i].data.ptr);
		}
	}
}
