/*
 * A transport on a real loop with real sockets on loopback, and clients and Sprouts that are plain sockets.
 * What it tells upward is remembered. Listeners, all on ports the kernel chose: access on 127.0.3.1, core
 * on 127.0.3.2, which 127.0.3.0/24 may use.
 */
#ifndef TESTS_UNIT_TRANSPORT_STAGE_H
#define TESTS_UNIT_TRANSPORT_STAGE_H

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
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/memory.h"
#include "support/alloc_fail.h"
#include "support/fake_clock.h"
#include "transport/transport.h"

enum { ACCESS_UDP, ACCESS_TCP, CORE_UDP, CORE_TCP, STAGE_LISTENERS };

#define STAGE_REMEMBERED 64
#define STAGE_MESSAGE_BYTES 65535

struct stage_packet {
	struct hop hop;
	char *text; /* malloc */
	size_t length;
	bool framing_fault;
};

struct stage {
	struct loop *loop;
	struct metrics_registry *registry;
	struct metrics *metrics;
	struct address_range allow;
	struct listener_settings listeners[STAGE_LISTENERS];
	struct transport_settings settings;
	struct transport *transport;
	struct stage_packet packets[STAGE_REMEMBERED];
	unsigned packet_count; /* also of those not remembered */
	struct hop closed_hop;
	enum close_reason closed_reason;
	unsigned closed_count;
	struct address unreachable;
	int unreachable_error;
	unsigned unreachable_count;
	struct hop keepalive_hop;
	unsigned keepalive_count;
	const char *answer; /* sent to each packet from inside the callback; NULL: none */
	bool in_call; /* the test is inside a function of transport: nobody may be told anything */
};

static inline void stage_send(struct stage *stage, const struct hop *hop, const char *text);

static inline void stage_on_packet(void *arg, const struct packet *packet, bool framing_fault)
{
	struct stage *stage = arg;

	assert_false(stage->in_call);
	if (stage->packet_count < STAGE_REMEMBERED) {
		struct stage_packet *p = &stage->packets[stage->packet_count];

		p->hop = packet->hop;
		p->length = packet->bytes.length;
		p->text = malloc(p->length + 1);
		memcpy(p->text, packet->bytes.data, p->length);
		p->text[p->length] = '\0';
		p->framing_fault = framing_fault;
	}
	stage->packet_count++;
	if (stage->answer != NULL) {
		struct bytes *bytes = bytes_copy(slice_from_string(stage->answer));

		if (bytes != NULL)
			transport_send(stage->transport, &packet->hop, &bytes);
	}
}

static inline void stage_on_closed(void *arg, const struct hop *hop, enum close_reason reason)
{
	struct stage *stage = arg;

	assert_false(stage->in_call);
	stage->closed_hop = *hop;
	stage->closed_reason = reason;
	stage->closed_count++;
}

static inline void stage_on_unreachable(void *arg, const struct address *peer, int error)
{
	struct stage *stage = arg;

	assert_false(stage->in_call);
	stage->unreachable = *peer;
	stage->unreachable_error = error;
	stage->unreachable_count++;
}

static inline void stage_on_keepalive(void *arg, const struct hop *hop)
{
	struct stage *stage = arg;

	assert_false(stage->in_call);
	stage->keepalive_hop = *hop;
	stage->keepalive_count++;
}

static const struct transport_events stage_events = {stage_on_packet, stage_on_closed,
                                                     stage_on_unreachable, stage_on_keepalive};

static inline struct address stage_address(const char *text)
{
	struct address address;

	assert_true(address_parse(slice_from_string(text), &address));
	return address;
}

static inline void stage_init(struct stage *stage)
{
	memset(stage, 0, sizeof(*stage));
	assert_true(address_range_parse(SLICE_LITERAL("127.0.3.0/24"), &stage->allow));
	for (unsigned i = 0; i < STAGE_LISTENERS; i++) {
		struct listener_settings *listener = &stage->listeners[i];
		const bool core = i >= CORE_UDP;

		listener->name = core ? "core" : "access";
		listener->side = core ? SIDE_CORE : SIDE_ACCESS;
		listener->transport = i % 2 == 0 ? TRANSPORT_UDP : TRANSPORT_TCP;
		listener->bind = stage_address(core ? "127.0.3.2:0" : "127.0.3.1:0");
		listener->advertise = core ? "core.example.net:5058" : "edge.example.net:5060";
		if (core) {
			listener->allow = &stage->allow;
			listener->allow_count = 1;
		}
	}
	stage->settings = (struct transport_settings){
		.listeners = stage->listeners,
		.listener_count = STAGE_LISTENERS,
		.workers = 1,
		.message_bytes = STAGE_MESSAGE_BYTES,
		.max_connections = 2000,
		.connection_queue_bytes = 1 << 20,
		.connect_timeout_ms = 2000,
		.idle_ms = 600000,
		.partial_ms = 10000,
	};
}

static inline int stage_open(struct stage *stage)
{
	int err;

	err = loop_create("test", &stage->loop);
	if (err == 0)
		err = transport_create(stage->loop, 0, &stage->settings, stage->metrics,
		                       &stage_events, stage, &stage->transport);
	return err;
}

static inline void stage_close(struct stage *stage)
{
	transport_destroy(&stage->transport);
	loop_destroy(&stage->loop);
}

static inline void stage_forget(struct stage *stage)
{
	for (unsigned i = 0; i < stage->packet_count && i < STAGE_REMEMBERED; i++)
		free(stage->packets[i].text);
	stage->packet_count = stage->closed_count = stage->unreachable_count = 0;
}

static inline struct stage *stage_new(void)
{
	struct stage *stage = malloc(sizeof(*stage));

	hash_key_init();
	stage_init(stage);
	assert_int_equal(metrics_registry_create(&stage->registry), 0);
	assert_int_equal(metrics_create(stage->registry, "worker-0", &stage->metrics), 0);
	return stage;
}

static inline int stage_setup(void **state)
{
	struct stage *stage = stage_new();

	*state = stage;
	return stage_open(stage);
}

/* For tests that change settings first. */
static inline int stage_setup_closed(void **state)
{
	*state = stage_new();
	return 0;
}

static inline int stage_teardown(void **state)
{
	struct stage *stage = *state;

	stage_close(stage);
	stage_forget(stage);
	metrics_registry_destroy(&stage->registry);
	free(stage);
	clock_set_fake_us(0);
	return 0;
}

#define stage_test(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
#define stage_test_closed(name)                                                                    \
	cmocka_unit_test_setup_teardown(name, stage_setup_closed, stage_teardown)

static inline uint64_t stage_real_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Turn until it is so; the network stack of the kernel has 5 s for it. */
#define stage_until(stage, condition)                                                              \
	do {                                                                                       \
		const uint64_t give_up_ms = stage_real_ms() + 5000;                                \
		while (!(condition)) {                                                             \
			if (stage_real_ms() > give_up_ms)                                          \
				fail_msg("never came: %s", #condition);                            \
			loop_turn((stage)->loop);                                                  \
		}                                                                                  \
	} while (0)

/* Enough turns for whatever loopback has delivered already; to show that nothing more comes. */
static inline void stage_turns(struct stage *stage)
{
	for (int i = 0; i < 20; i++)
		loop_turn(stage->loop);
}

static inline int stage_send_status(struct stage *stage, const struct hop *hop, const char *text,
                                    size_t length)
{
	struct bytes *bytes = bytes_copy(slice_of(text, length));
	int err;

	assert_non_null(bytes);
	stage->in_call = true;
	err = transport_send(stage->transport, hop, &bytes);
	stage->in_call = false;
	assert_null(bytes);
	return err;
}

static inline void stage_send(struct stage *stage, const struct hop *hop, const char *text)
{
	assert_int_equal(stage_send_status(stage, hop, text, strlen(text)), 0);
}

static inline int stage_try_open(struct stage *stage, enum sip_transport kind,
                                 const struct address *peer, struct hop *out)
{
	return transport_open(stage->transport,
	                      &(struct transport_peer){.transport = kind, .address = peer}, out);
}

static inline int stage_try_open_access(struct stage *stage, enum sip_transport kind,
                                        const struct address *peer, struct hop *out)
{
	return transport_open_access(stage->transport,
	                             &(struct transport_peer){.transport = kind, .address = peer},
	                             out);
}

static inline struct hop stage_open_hop(struct stage *stage, enum sip_transport kind,
                                        const struct address *peer)
{
	const struct transport_peer to = {.transport = kind, .address = peer};
	struct hop hop;

	stage->in_call = true;
	assert_int_equal(transport_open(stage->transport, &to, &hop), 0);
	stage->in_call = false;
	return hop;
}

static inline const struct address *stage_listener(struct stage *stage, unsigned listener)
{
	return transport_listener_address(stage->transport, listener);
}

/* ---- the others: plain blocking sockets with a deadline ---- */

static inline int peer_socket(int type, const char *bind_to, struct address *bound)
{
	struct address address = stage_address(bind_to);
	struct timeval deadline = {5, 0};
	socklen_t length = sizeof(*bound);
	const int on = 1;
	int fd = socket(address.family, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline));
	assert_int_equal(bind(fd, &address.any, address_length(&address)), 0);
	memset(bound, 0, sizeof(*bound));
	assert_int_equal(getsockname(fd, &bound->any, &length), 0);
	return fd;
}

/* A port that nobody has, for sockets of several workers, which must share one: bound once, closed again. */
static inline struct address free_address(int type, const char *bind_to)
{
	struct address address;
	int fd = peer_socket(type, bind_to, &address);

	close(fd);
	return address;
}

static inline int peer_connect(const char *from, const struct address *to)
{
	struct address bound;
	int fd = peer_socket(SOCK_STREAM, from, &bound);

	assert_int_equal(connect(fd, &to->any, address_length(to)), 0);
	return fd;
}

static inline void peer_write(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline void peer_send_to(int fd, const struct address *to, const char *text)
{
	assert_int_equal(sendto(fd, text, strlen(text), 0, &to->any, address_length(to)),
	                 strlen(text));
}

/* Text that has come, or "" when none has or the peer has closed. Never waits. */
static inline const char *peer_read(int fd)
{
	static char text[4096];
	ssize_t length = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[length > 0 ? length : 0] = '\0';
	return text;
}

static inline bool peer_has_input(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) == 1;
}

/* True once the stream has ended: by FIN or by reset. */
static inline bool peer_is_ended(int fd)
{
	char byte;
	ssize_t length = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	return length == 0 || (length < 0 && errno != EAGAIN);
}

static inline void peer_reset(int fd)
{
	struct linger now = {1, 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

#define OPTIONS_TEXT "OPTIONS sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n"
#define MESSAGE_TEXT "MESSAGE sip:a SIP/2.0\r\nContent-Length: 5\r\n\r\nhello"
#define ANSWER_TEXT "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"

#endif
