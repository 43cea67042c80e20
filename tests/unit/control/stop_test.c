/* The node's end: a whole node in a child process, its signals, and what it owes when they come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "config/config.h"
#include "control/control.h"
#include "sip/message.h"

#define PATIENCE_MS 20000

struct node {
	char state_dir[64], socket[96];
	unsigned access_port, core_port;
	int client; /* UDP */
	int sprout; /* UDP: hears and never answers by itself */
	unsigned sprout_port;
	int words; /* the node's stderr */
	pid_t pid;
};

static int udp(const char *host, unsigned *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t length = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(inet_pton(AF_INET, host, &at.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &length), 0);
	*port = ntohs(at.sin_port);
	return fd;
}

static unsigned free_port(const char *host)
{
	unsigned port;

	close(udp(host, &port));
	return port;
}

/* In the child: as main does. */
static int run(const char *yaml)
{
	struct config *config = NULL;
	int err;

	if (config_load_bytes(yaml, strlen(yaml), "test", stderr, &config) != 0)
		return 3;
	hash_key_init();
	err = message_system_init();
	if (err == 0)
		err = log_start(LOG_INFO);
	if (err == 0) {
		err = control_run(config);
		log_stop();
	}
	config_free(&config);
	return err == 0 ? 0 : 1;
}

static void hear_word(struct node *node, const char *word)
{
	char text[65536];
	size_t length = 0;

	text[0] = '\0';
	while (strstr(text, word) == NULL) {
		struct pollfd ready = {.fd = node->words, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
		n = read(node->words, text + length, sizeof(text) - 1 - length);
		if (n <= 0)
			fail_msg("the node did not say \"%s\" but:\n%s", word, text);
		length += (size_t)n;
		text[length] = '\0';
	}
}

/* Until each worker has probed, so has its view of the Sprouts. */
static void hear_probes(struct node *node)
{
	struct pollfd ready = {.fd = node->sprout, .events = POLLIN};
	bool first = false, second = false;
	char text[8192];

	while (!first || !second) {
		ssize_t n;

		assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
		n = recv(node->sprout, text, sizeof(text) - 1, 0);
		assert_true(n > 0);
		text[n] = '\0';
		first |= strstr(text, "branch=z9hG4bK-b00-") != NULL;
		second |= strstr(text, "branch=z9hG4bK-b01-") != NULL;
	}
}

static void node_start(struct node *node)
{
	char yaml[4096];
	int ends[2];

	memset(node, 0, sizeof(*node));
	strcpy(node->state_dir, "/tmp/bono-stop-XXXXXX");
	assert_non_null(mkdtemp(node->state_dir));
	node->access_port = free_port("127.0.30.11");
	node->core_port = free_port("127.0.30.12");
	node->sprout = udp("127.0.30.13", &node->sprout_port);
	snprintf(yaml, sizeof(yaml),
	         "node: {name: bono-1, site: site-a, home_domains: [example.net], state_dir: %s}\n"
	         "workers: 2\n"
	         "listeners:\n"
	         "  - {name: a, side: access, transport: udp, bind: \"127.0.30.11:%u\"}\n"
	         "  - {name: c, side: core, transport: udp, bind: \"127.0.30.12:%u\", allow: "
	         "[127.0.30.0/24]}\n"
	         "sites:\n"
	         "  site-a: {targets: [\"sip:127.0.30.13:%u;transport=udp\"]}\n"
	         "health: {interval: 100ms, timeout: 90ms, fall: 2, rise: 3}\n"
	         "failover: {first_answer: 15s, deadline: 20s}\n"
	         "admin: {socket: %s/admin.sock}\n",
	         node->state_dir, node->access_port, node->core_port, node->sprout_port,
	         node->state_dir);
	assert_int_equal(pipe(ends), 0);
	node->pid = fork();
	assert_true(node->pid >= 0);
	if (node->pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		_exit(run(yaml));
	}
	close(ends[1]);
	node->words = ends[0];
	hear_word(node, "bono: ready");
	{
		struct sockaddr_in to = {.sin_family = AF_INET,
		                         .sin_port = htons((uint16_t)node->access_port)};
		unsigned port;

		inet_pton(AF_INET, "127.0.30.11", &to.sin_addr);
		node->client = udp("127.0.30.14", &port);
		assert_int_equal(connect(node->client, (struct sockaddr *)&to, sizeof(to)), 0);
	}
	hear_probes(node);
}

static void node_tell(struct node *node, int signal_number)
{
	assert_int_equal(kill(node->pid, signal_number), 0);
}

static void node_forget(struct node *node)
{
	char path[128];

	close(node->words);
	close(node->client);
	close(node->sprout);
	snprintf(path, sizeof(path), "%s/flow-token.key", node->state_dir);
	unlink(path);
	assert_int_equal(rmdir(node->state_dir), 0); /* the admin socket has been removed, too */
}

/* Exit code, once it has said all it had to say. */
static int node_wait(struct node *node)
{
	struct pollfd ready = {.fd = node->words, .events = POLLIN};
	char text[4096];
	int status;

	do
		assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
	while (read(node->words, text, sizeof(text)) > 0);
	assert_int_equal(waitpid(node->pid, &status, 0), node->pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The client asks; returns once the Sprout has the request, with the Sprout's view of it. */
static void ask(struct node *node, char *request, size_t size, struct sockaddr_in *from)
{
	static const char text[] = "REGISTER sip:example.net SIP/2.0\r\n"
				   "Via: SIP/2.0/UDP 127.0.30.14:5060;branch=z9hG4bKreg;rport\r\n"
				   "From: <sip:u@example.net>;tag=1\r\nTo: <sip:u@example.net>\r\n"
				   "Call-ID: reg\r\nCSeq: 1 REGISTER\r\nContact: "
				   "<sip:u@127.0.30.14>\r\nContent-Length: 0\r\n\r\n";
	struct pollfd ready = {.fd = node->sprout, .events = POLLIN};

	assert_int_equal(send(node->client, text, sizeof(text) - 1, 0), sizeof(text) - 1);
	do {
		socklen_t length = sizeof(*from);
		ssize_t n;

		assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
		n = recvfrom(node->sprout, request, size - 1, 0, (struct sockaddr *)from, &length);
		assert_true(n > 0);
		request[n] = '\0';
	} while (strncmp(request, "REGISTER ", 9) != 0); /* probes come, too */
}

static void an_idle_node_stops_with_0_while_it_probes(void **state)
{
	struct node node;
	uint64_t began;

	node_start(&node);
	began = clock_now_us();
	node_tell(&node, SIGTERM);
	assert_int_equal(node_wait(&node), 0);
	assert_true(clock_now_us() - began < 4000000); /* nothing was owed: no need to wait */
	node_forget(&node);
}

static void what_is_owed_is_answered_before_the_end(void **state)
{
	char request[8192], answer[8192], text[8192];
	struct sockaddr_in from;
	struct pollfd ready;
	struct node node;
	const char *at = request;
	size_t n;
	ssize_t got;

	node_start(&node);
	ask(&node, request, sizeof(request), &from);
	node_tell(&node, SIGTERM);
	hear_word(&node, "no new work is taken");
	n = (size_t)snprintf(answer, sizeof(answer), "SIP/2.0 200 OK\r\n");
	while ((at = strstr(at, "\r\nVia: ")) != NULL) {
		const char *end = strstr(at + 2, "\r\n");

		n += (size_t)snprintf(answer + n, sizeof(answer) - n, "%.*s\r\n",
		                      (int)(end - at - 2), at + 2);
		at = end;
	}
	n += (size_t)
		snprintf(answer + n, sizeof(answer) - n,
	                 "From: <sip:u@example.net>;tag=1\r\nTo: <sip:u@example.net>;tag=2\r\n"
	                 "Call-ID: reg\r\nCSeq: 1 REGISTER\r\n"
	                 "Contact: <sip:u@127.0.30.14>;expires=60\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(sendto(node.sprout, answer, n, 0, (struct sockaddr *)&from, sizeof(from)),
	                 (ssize_t)n);
	ready = (struct pollfd){.fd = node.client, .events = POLLIN};
	assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
	got = recv(node.client, text, sizeof(text) - 1, 0);
	assert_true(got > 12);
	assert_memory_equal(text, "SIP/2.0 200 ", 12);
	assert_int_equal(node_wait(&node), 0);
	node_forget(&node);
}

static void a_second_signal_ends_at_once(void **state)
{
	struct sockaddr_in from;
	char request[8192];
	struct node node;
	uint64_t began;

	node_start(&node);
	ask(&node, request, sizeof(request), &from);
	node_tell(&node, SIGTERM);
	hear_word(&node, "no new work is taken");
	began = clock_now_us();
	node_tell(&node, SIGTERM);
	assert_int_equal(node_wait(&node), 0);
	assert_true(clock_now_us() - began < 4000000);
	node_forget(&node);
}

static void what_stays_unanswered_is_waited_for_five_seconds(void **state)
{
	struct sockaddr_in from;
	char request[8192];
	struct node node;
	uint64_t began;

	node_start(&node);
	ask(&node, request, sizeof(request), &from);
	began = clock_now_us();
	node_tell(&node, SIGINT);
	assert_int_equal(node_wait(&node), 0);
	assert_in_range(clock_now_us() - began, 4900000, 12000000);
	node_forget(&node);
}

static void a_port_that_is_taken_is_a_failure(void **state)
{
	char yaml[2048], dir[] = "/tmp/bono-stop-XXXXXX", path[64];
	unsigned port;
	int taken = udp("127.0.30.11", &port), status;
	pid_t pid;

	assert_non_null(mkdtemp(dir));
	snprintf(yaml, sizeof(yaml),
	         "node: {name: bono-1, site: site-a, home_domains: [example.net], state_dir: %s}\n"
	         "workers: 2\n"
	         "listeners:\n"
	         "  - {name: c, side: core, transport: udp, bind: \"127.0.30.12:%u\", allow: "
	         "[127.0.30.0/24]}\n"
	         "  - {name: a, side: access, transport: udp, bind: \"127.0.30.11:%u\"}\n"
	         "sites:\n"
	         "  site-a: {targets: [\"sip:127.0.30.13:5054;transport=udp\"]}\n",
	         dir, free_port("127.0.30.12"), port);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(STDERR_FILENO);
		_exit(run(yaml));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
	close(taken);
	snprintf(path, sizeof(path), "%s/flow-token.key", dir);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_node_stops_with_0_while_it_probes),
		cmocka_unit_test(what_is_owed_is_answered_before_the_end),
		cmocka_unit_test(a_second_signal_ends_at_once),
		cmocka_unit_test(what_stays_unanswered_is_waited_for_five_seconds),
		cmocka_unit_test(a_port_that_is_taken_is_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
