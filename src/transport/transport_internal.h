/*
 * What the files of this layer tell each other. All of it belongs to one worker's thread.
 *
 * transport.c answers the layers above and shares the work out by kind (udp.c, tcp.c, tls.c,
 * websocket_stream.c; one table of four functions each). listener.c binds, accept.c accepts, crowd.c counts
 * those of one address, connection.c is the life of a stream, proxy_header.c hears whom a load balancer stands
 * for, local.c numbers our own addresses, steering.c chooses the worker of a datagram, remote.c reaches the
 * other workers.
 */
#ifndef BONO_TRANSPORT_INTERNAL_H
#define BONO_TRANSPORT_INTERNAL_H

#include <event2/event_struct.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/hash.h"
#include "base/list.h"
#include "loop/timer.h"
#include "sip/framer.h"
#include "transport/transport.h"
#include "transport/websocket.h"

/* What one system call sends: datagrams of sendmmsg, pieces of one sendmsg. */
#define FLUSH_BATCH 64

struct iovec;
struct listener;
struct udp_socket;
struct connection;

/* One kind of transport, as transport.c sees it. */
struct transport_kind {
	int (*listen)(struct transport *transport, struct listener *listener);
	/* peer->address in the form that hops have (address_normalise) */
	int (*open)(struct transport *transport, struct listener *listener,
	            const struct transport_peer *peer, struct hop *out);
	int (*send)(struct transport *transport, const struct hop *hop, struct bytes **bytes);
	void (*close)(struct transport *transport, const struct hop *hop, enum close_reason reason);
};
extern const struct transport_kind transport_udp, transport_tcp, transport_ws, transport_wss;

struct listener {
	struct transport *transport;
	const struct listener_settings *settings;
	uint8_t index;
	bool dual; /* bound to ::, serves IPv4 too */
	bool advertises_wildcard;
	struct address bound; /* as the kernel told it */

	struct udp_socket *shared; /* UDP: the listener's port */
	struct udp_socket *own;    /* UDP, core: this worker's own port */
	char own_sent_by[288];     /* "host:port" of it; a host name has 253 bytes at most */

	int fd; /* streams: the listening socket; -1: none */
	struct event acceptable;
	struct timer accept_again; /* after running out of descriptors */
};

/* One of our own addresses that a wildcard listener was reached by. */
struct local {
	struct address address; /* with the listener's port */
	char text[ADDRESS_TEXT_MAX];
};
#define LOCALS_MAX                                                                                 \
	255 /* hop.local is a byte, 0 is none; more of our own addresses: the kernel chooses */

/* The peer of a datagram that could not go, until it can be told from the loop. */
struct unreachable {
	struct address peer;
	int error;
};
/* Told once a turn; in one turn there are few peers toward the core, and each is noted once. */
#define UNREACHABLE_MAX 64

struct tls_stream;
struct tls_worker; /* what TLS has on this worker */
struct udp_slab;   /* where datagrams are received */

struct transport {
	struct loop *loop;
	uint8_t worker;
	struct transport_settings settings;
	struct metrics *metrics;
	struct transport_events events;
	void *arg;
	struct transport *const *siblings; /* NULL until told */

	struct listener *listeners;
	struct local *locals[LOCALS_MAX];
	unsigned local_count;

	struct timer flush_soon; /* something was queued */
	struct timer tell_soon;  /* something waits to be told upward */

	struct udp_slab *slab; /* NULL without UDP */
	struct list udp_flush; /* sockets with datagrams to send */
	struct unreachable unreachable[UNREACHABLE_MAX];
	unsigned unreachable_count;

	struct hash_table connections; /* by hop.connection */
	struct hash_table pool;        /* those we opened, by transport and address */
	struct hash_table crowds;      /* by the client's address */
	struct list all_connections;   /* every one that has a descriptor */
	struct list flush;             /* connections with bytes to write */
	struct list gone;              /* closed, not yet told */
	unsigned counts[SIDES][TRANSPORTS];
	unsigned accepted[SIDES]; /* descriptors in use */
	uint64_t next_connection;
	size_t partial_bytes, queued_bytes; /* over all connections */
	char *scratch;                      /* where streams are read */
	size_t scratch_size;
	struct bytes *pong; /* CRLF */
	struct websocket_pool web_readers;
	struct tls_worker *tls;
	int reserve_fd; /* given up for a moment to turn somebody away when descriptors run out */
};

/* ---- transport.c ---- */
void transport_flush_soon(struct transport *transport);
void transport_tell_soon(struct transport *transport);
/* A keep-alive of the client came by this hop: told upward. */
void transport_keepalive(struct transport *transport, const struct hop *hop);
void transport_blame(struct transport *transport, const struct address *peer, int error);

/* ---- listener.c ---- */
/* A non-blocking socket of the listener's family, bound to `bind` (several may share its port if
 * `shared`). *bound: what the kernel made of it. */
int listener_bind(struct listener *listener, int type, const struct address *bind, bool shared,
                  int *fd, struct address *bound);
/* May this peer send to the listener? Counts if not. */
bool listener_allows(struct listener *listener, const struct address *peer);
void socket_set(int fd, int level, int name, int value);
/* `address` as a socket of that family wants it: IPv4 becomes v4-mapped on IPv6. */
struct address address_for_family(const struct address *address, sa_family_t family);

/* ---- accept.c ---- */
int listener_start_accepting(struct listener *listener);
void listener_stop_accepting(struct listener *listener);

/* ---- local.c ---- */
/* The number of this address of ours, 0 if there is no more room. */
uint8_t local_number(struct transport *transport, const struct address *address);
/* For a way that we open from a listener that names none of our addresses: the one that the kernel would send from;
 * 0: the listener has a name, or there is no way. */
uint8_t local_toward(struct transport *transport, const struct listener *listener,
                     const struct address *peer);
const struct local *local_find(const struct transport *transport, uint8_t number);
void locals_free(struct transport *transport);

/* ---- udp.c, udp_send.c, udp_error.c ---- */

/* A power of two. Beyond it datagrams are dropped: the kernel's own buffer of 4 MiB is full by then. */
#define UDP_QUEUE_MAX 1024

struct udp_queued {
	struct bytes *bytes;
	struct address to;
	uint8_t local;
};

struct udp_socket {
	struct listener *listener;
	int fd;
	sa_family_t family;
	bool own;         /* the worker's own port toward the core; hears of ICMP errors */
	bool tells_local; /* wildcard: the kernel says which address a datagram came to */
	bool blocked;     /* the kernel's buffer is full; `writable` waits */
	struct event readable, writable;
	struct list_link in_flush;
	unsigned first, count;
	struct udp_queued queue[UDP_QUEUE_MAX];
};

void udp_slab_destroy(struct udp_slab **slab);
void udp_socket_destroy(struct udp_socket **socket);
int udp_queue(struct udp_socket *socket, const struct hop *hop, struct bytes **bytes);
void udp_flush(struct udp_socket *socket);
/* Empty the error queue: each address in it is blamed. True if there was anything. */
bool udp_drain_errors(struct udp_socket *socket);

/* ---- steering.c ---- */
/* Let the kernel choose among the sockets of a port as transport_udp_worker does. */
int steering_attach(int fd, unsigned workers);

/* ---- connection.c ---- */
/* It goes forward through these, and only through those that it needs (connection_proceed). */
enum connection_state {
	CONNECTION_CONNECTING, /* opened by us; the kernel has not told yet */
	CONNECTION_PROXY_HEADER, /* accepted from a load balancer, which says first who the client is */
	CONNECTION_TLS,          /* the handshake */
	CONNECTION_OPEN,         /* bytes go up (to WebSocket: its upgrade first) and down */
	CONNECTION_DRAINING,     /* gone to those above; writes what is queued */
	CONNECTION_LINGERING, /* all written, our FIN is sent; reads to nowhere until the peer's */
	CONNECTION_ENDED      /* no descriptor */
};

/* Nearly always one or two messages wait; more need memory of their own. */
#define SEND_QUEUE_INLINE 4

struct send_queue {
	struct bytes **items; /* a ring: few, or on the heap */
	unsigned first, count, capacity;
	size_t offset; /* of the first item, written already */
	size_t bytes;  /* waiting in all items */
	struct bytes *few[SEND_QUEUE_INLINE];
};

/*
 * What carries the bytes below the framing: the plain socket, or TLS on it. None waits. What the kernel does not
 * take arms `writable` (connection_wait_writable) and is -EAGAIN.
 */
struct stream_io {
	/* At most size bytes. 0: the peer has ended. -EAGAIN: none now. -EPROTO: it is no TLS any more. */
	ssize_t (*read)(struct connection *connection, char *bytes, size_t size);
	/* How many of the bytes were taken, at least one. */
	ssize_t (*write)(struct connection *connection, const struct iovec *pieces, unsigned count);
	/* Tell the peer that we write no more, before the FIN says it. */
	void (*end)(struct connection *connection);
};
extern const struct stream_io stream_io_plain;

/* Whom we have opened it to, over TLS; one block. */
struct dialled {
	const char *tls, *name; /* name NULL: its address */
};

/* What a WebSocket connection has on top of a stream. */
struct web {
	struct websocket_reader *reader; /* NULL between frames: shared then */
	size_t held;                     /* bytes of it, in partial_bytes */
	uint64_t heard_ms, window_ms;    /* bytes last read; when `controls` began to count */
	uint16_t controls;
	uint8_t pings; /* sent since it was heard */
	bool upgraded, close_sent;
};

struct connection {
	struct transport *transport;
	struct hop hop;
	enum connection_state state;
	enum close_reason reason; /* once it is past OPEN */
	int fd;
	const struct stream_io *io;
	struct tls_stream *tls;  /* owned; NULL: none, or over */
	struct dialled *dialled; /* owned; NULL: accepted, or not over TLS */
	bool opened_by_us, told, counted;
	bool heard;    /* a byte has come */
	bool in_crowd; /* counted among those of its address */
	bool held;     /* not read from until it has taken what waits for it */
	bool more; /* io has to tell something at once, though it gave less than there was room for */
	bool blocked;       /* `writable` waits: until it is connected, or the kernel takes more */
	unsigned pins;      /* registered flows that hold it */
	uint64_t active_ms; /* bytes last read or queued */
	uint64_t partial_since; /* when the message begun did begin, 0: none */
	uint64_t held_since;
	struct framer framer;
	char *partial; /* a message begun; NULL: none */
	size_t partial_length, partial_capacity;
	struct web web;
	struct send_queue queue;
	struct event readable, writable;
	struct timer life; /* connect, handshake, partial, idle or linger deadline, by state */
	struct hash_link in_table, in_pool;
	struct list_link in_all, in_flush, in_gone;
	struct grave grave;
};

struct connection *connection_find(const struct transport *transport, const struct hop *hop);
struct connection *connection_find_pooled(const struct transport *transport, enum side side,
                                          const struct transport_peer *peer);
/* Both take the descriptor in any case. It is connecting then; or accepted and in the first state that it needs. */
int connection_open(struct listener *listener, int fd, const struct transport_peer *peer,
                    struct connection **out);
int connection_accept(struct listener *listener, int fd, const struct address *remote,
                      bool proxy_due, struct connection **out);
/* The state it is in is done with: on to the next one that it needs. */
void connection_proceed(struct connection *connection);
/* tcp_on_writable will be called, once; until then it is `blocked`. */
int connection_wait_writable(struct connection *connection);
void connection_set_state(struct connection *connection, enum connection_state state);
/* Written first what is queued, if the state allows; told upward later. Does nothing the second time. */
void connection_close(struct connection *connection, enum close_reason reason);
/* The outcome of connecting: 0 or an errno. */
void connection_connected(struct connection *connection, int error);
/* At once, queue and all. */
void connection_abort(struct connection *connection, enum close_reason reason);
void connection_arm(struct connection *connection);
void connection_tell(struct connection *connection);
int connections_init(struct transport *transport);
void connections_free(struct transport *transport);

/* ---- back_pressure.c ---- */
/* The queue has changed: stop or go on reading what the client sends. */
void connection_weigh(struct connection *connection);

/* ---- crowd.c ---- */
int crowds_init(struct transport *transport);
void crowds_free(struct transport *transport);
/* May another connection come from there? */
bool crowd_has_room(const struct transport *transport, const struct address *remote);
/* Count an access connection by its hop.remote, which stays as it is until crowd_leave. -EUSERS: no room,
 * counted. */
int crowd_enter(struct connection *connection);
void crowd_leave(struct connection *connection);

/* ---- send_queue.c ---- */
void send_queue_init(struct send_queue *queue);
void send_queue_free(struct send_queue *queue);
int send_queue_push(struct send_queue *queue, struct bytes **bytes);
/* Fill at most FLUSH_BATCH pieces; returns how many. */
unsigned send_queue_pieces(const struct send_queue *queue, struct iovec *pieces);
void send_queue_written(struct send_queue *queue, size_t length);

/* ---- stream.c ---- */
/* Cut what was read into messages and hand them up; keep the rest. scratch holds `length` bytes, of which
 * the first partial_length were kept before. */
void stream_take(struct connection *connection, size_t length);
/* Keep what is left of it; its first `same` bytes are those kept already. */
int stream_keep(struct connection *connection, const char *data, size_t length, size_t same);
void stream_drop(struct connection *connection); /* nothing is kept any more */
/* Begun messages of all connections of a worker: 1000 of the longest at once. Beyond it the next one who
 * begins is closed: an attacker with many slow connections shall not take the host's memory. */
#define PARTIAL_BYTES_MAX (64u << 20)

/* ---- websocket_stream.c ---- */
static inline bool connection_is_websocket(const struct connection *connection)
{
	return connection->hop.transport == TRANSPORT_WS ||
	       connection->hop.transport == TRANSPORT_WSS;
}
/* As stream_take. */
void websocket_take(struct connection *connection, size_t length);
/* Its request or its message did not come to an end in time. */
void websocket_on_slow(struct connection *connection);
/* Say in a close frame, unless one was sent, that we leave. */
void websocket_say_goodbye(struct connection *connection, enum close_reason reason);
uint64_t websocket_ping_due(const struct connection *connection);
void websocket_on_ping_due(struct connection *connection);
void websocket_let_go(struct connection *connection);

/* ---- proxy_header.c ---- */
bool proxy_header_is_due(const struct listener *listener, const struct address *peer);
/* In CONNECTION_PROXY_HEADER there is something to read. */
void proxy_header_take(struct connection *connection);

/* ---- tcp.c ---- */
int tcp_listen(struct transport *transport, struct listener *listener);
void tcp_close(struct transport *transport, const struct hop *hop, enum close_reason reason);
/* Both go out one behind the other, or none; front: NULL, or what a layer above TCP writes before. Takes them if 0. */
int tcp_queue(struct connection *connection, struct bytes **front, struct bytes **bytes);
void tcp_read(struct connection *connection);
void tcp_on_readable(evutil_socket_t fd, short what, void *arg);
void tcp_on_writable(evutil_socket_t fd, short what, void *arg);
void tcp_flush(struct connection *connection);
void tcp_set_options(int fd, enum side side);
size_t tcp_scratch_size(size_t message_bytes);

/* ---- tls.c ---- */
/* -EINVAL: it wants TLS, and there is no such profile. */
int tls_may_open(const struct transport *transport, const struct transport_peer *peer);
bool tls_is_due(const struct connection *connection);
void tls_begin(struct connection *connection);
/* It may go on with its handshake; at the end of this turn, or a later one if many want to. */
void tls_shake_soon(struct connection *connection);
void tls_on_deadline(struct connection *connection);
void tls_let_go(struct connection *connection);
int tls_worker_create(struct transport *transport);
void tls_worker_destroy(struct transport *transport);

/* ---- remote.c ---- */
int remote_send(struct transport *transport, const struct hop *hop, struct bytes **bytes);

#endif
