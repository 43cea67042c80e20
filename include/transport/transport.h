/*
 * Bytes and connections of one worker: packets in, bytes out, each by a hop. Knows framing, not meaning.
 * Lives on its worker's thread; only transport_deliver_remote (inside) crosses threads, by letter.
 * RFC 3261 18.
 *
 * UDP in: recvmmsg batches. Out: queued and sent by sendmmsg at the end of the turn (or when 64 wait).
 * Streams: each connection belongs to one worker for life; TCP listeners are one per worker with SO_REUSEPORT.
 */
#ifndef BONO_TRANSPORT_TRANSPORT_H
#define BONO_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buffer.h"
#include "loop/loop.h"
#include "metrics/metrics.h"
#include "sip/via.h"
#include "transport/tls.h"

enum side { SIDE_ACCESS, SIDE_CORE, SIDES };
const char *side_name(enum side side);

/* The way a packet came and the way back; a small value (40 bytes), kept in flows and transactions. */
struct hop {
	uint8_t worker;        /* whose sockets */
	uint8_t transport : 4; /* enum sip_transport */
	uint8_t side : 3;      /* enum side */
	uint8_t own_socket : 1; /* UDP toward the core: by this worker's own port, not the listener's */
	/* Index in transport_settings: the socket (UDP), or where it was accepted; for connections we
	 * opened: the listener of that side that names us to that peer. */
	uint8_t listener;
	/* On a wildcard bind: which of our addresses it came to, as the transport of that worker numbers
	 * them; 0: no wildcard, or let the kernel choose. */
	uint8_t local;
	struct address remote;
	uint64_t connection; /* 0: UDP. Unique in the life of the worker, never re-used */
};
/* The same flow (RFC 5626): the connection, or over UDP the socket and the remote address. */
bool hop_equal(const struct hop *a, const struct hop *b);
uint64_t hop_hash(const struct hop *hop);
/* "198.51.100.7:5061/tcp"; size >= ADDRESS_TEXT_MAX + 8; returns text. */
const char *hop_format(const struct hop *hop, char *text, size_t size);

struct listener_settings { /* static for the life of the process (reload comes later) */
	const char *name;
	enum side side;
	enum sip_transport transport;
	struct address bind;
	const char *advertise; /* "host:port" used in Via, Path, Record-Route; never NULL */
	/* core: who may send; others are dropped and counted. An empty list allows nobody. Access: unused */
	const struct address_range *allow;
	unsigned allow_count;

	const char *tls; /* tls, wss: the profile; else NULL */
	enum tls_client_certificate client_certificate;
	/* core, tls: DNS and URI names (RFC 5922 7.1) of which the client's certificate must show one. Without: the
	 * addresses in `allow` alone decide. With names and no addresses: from anywhere, but only these. */
	const char *const *allow_names;
	unsigned allow_name_count;
	/* streams: from these addresses, and from nobody else, a PROXY protocol header comes first */
	const struct address_range *proxy_from;
	unsigned proxy_from_count;
	const char *const *origins; /* ws, wss: Origin must be one of these; none: any */
	unsigned origin_count;
};

struct transport_settings {
	const struct listener_settings *listeners;
	unsigned listener_count; /* at most 255 */
	unsigned workers;
	size_t message_bytes; /* longest message */
	/* accepted by this worker, on each side; those we open are not limited */
	unsigned max_connections;
	/* accepted by this worker from one client address (IPv6: /64) on the access side; 0: no limit */
	unsigned max_connections_per_address;
	/* Access connections whose descriptor would have this number or a higher one are turned away: what
	 * is left is for ourselves (Sprouts, admin, DNS). 0: all may be used up. */
	unsigned descriptor_limit;
	unsigned tls_handshakes; /* under way at once on this worker; 0: TLS_HANDSHAKES_DEFAULT */
	uint64_t websocket_ping_ms; /* a WebSocket silent that long is pinged; 0: never */
	/* Waiting to be written on one connection; beyond: closed, QUEUE_FULL. From a quarter of it on a
	 * client is not read from until it has taken most of it, and closed if that takes partial_ms. */
	size_t connection_queue_bytes;
	uint64_t connect_timeout_ms;
	uint64_t idle_ms; /* an access connection that no registered flow pins, silent that long */
	uint64_t partial_ms; /* a message begun must be whole within this, else closed (slow) */
	uint64_t
		first_byte_ms; /* an access connection must have said something by then; 0: idle_ms */
};

#define TLS_HANDSHAKES_DEFAULT 256

struct packet {
	struct slice bytes; /* one whole message (or datagram); good during the callback only */
	struct hop hop;     /* remote: the source; the way back */
};

enum close_reason {
	CLOSE_PEER,        /* orderly end by the peer */
	CLOSE_RESET,       /* ECONNRESET, EPIPE and other socket errors */
	CLOSE_REFUSED,     /* connect: refused */
	CLOSE_UNREACHABLE, /* connect: no route, network down */
	CLOSE_CONNECT_TIMEOUT,
	CLOSE_FRAME_TOO_LONG,
	CLOSE_FRAME_BAD, /* no or bad Content-Length, bad bytes */
	CLOSE_SLOW,      /* a message begun was not finished in time */
	CLOSE_QUEUE_FULL,
	CLOSE_IDLE,
	CLOSE_SILENT,       /* accepted, and never a byte came */
	CLOSE_LIMIT,        /* too many connections */
	CLOSE_LOCAL,        /* transport_close or shutdown */
	CLOSE_TLS,          /* the handshake or a record failed */
	CLOSE_WEBSOCKET,    /* the peer broke RFC 6455, or its upgrade was refused */
	CLOSE_PROXY_HEADER, /* no PROXY protocol where one is due, or a bad one */
	CLOSE_REASONS
};
const char *close_reason_name(enum close_reason reason);

/* Upward. All are called from the loop, never from inside a call to this module. */
struct transport_events {
	/* A whole message. For stream framing faults that can be answered (no Content-Length) the header
	 * section comes with `fault` set, once, and the connection closes after what the callee sends. Over
	 * WebSocket, where the next message is sound all the same: the whole message with bytes beyond its
	 * Content-Length, and nothing closes. */
	void (*on_packet)(void *arg, const struct packet *packet, bool framing_fault);
	/* This hop's connection is gone; requests sent on it and not answered will not be.
	 * Not called for connections this side closes in transport_destroy. */
	void (*on_connection_closed)(void *arg, const struct hop *hop, enum close_reason reason);
	/* ICMP says that nobody listens at this UDP peer (error: ECONNREFUSED, EHOSTUNREACH ...). */
	void (*on_unreachable)(void *arg, const struct address *peer, int error);
	/* A CRLF ping, STUN binding request, WebSocket ping or pong came from this hop (RFC 5626 4.4, 8). NULL:
	 * nobody asks. */
	void (*on_keepalive)(void *arg, const struct hop *hop);
};

struct transport;

/* siblings: the loops of all workers, index = worker (for hops of others); own index `worker`.
 * Binds everything at once: -EADDRINUSE and such come back, with the listener named in the log. Sockets of
 * all workers must be bound in worker order: main creates the workers one after another. */
int transport_create(struct loop *loop, uint8_t worker, const struct transport_settings *settings,
                     struct metrics *metrics, const struct transport_events *events, void *arg,
                     struct transport **out);
void transport_destroy(struct transport **transport);
/* Tell where the others live, once all are created, before any loop runs. */
void transport_set_siblings(struct transport *transport, struct transport *const *siblings);

/* Whom to reach; lent. */
struct transport_peer {
	enum sip_transport transport;
	const struct address *address;
	const char *tls; /* the profile; NULL: none */
	const char *
		name; /* RFC 5922: what its certificate must show; NULL: the address itself (IP SAN) */
};

/*
 * A way to a core peer: the pooled connection of this worker to that peer, all four of it alike (made and
 * connecting if there is none), or this worker's own UDP core socket. listener: the core listener of that transport
 * whose name goes into our Via. Never waits. -EMFILE, -ENETUNREACH..., -EPROTONOSUPPORT without such a listener,
 * -EINVAL over TLS without a profile, or one that is not in the book.
 */
int transport_open(struct transport *transport, const struct transport_peer *peer, struct hop *out);
/* The same to a peer of the access side (a trunk, a PBX): from an access listener; over UDP from its own port. What
 * comes back on it is of the access side too: a way that we opened makes nobody a member of the core. */
int transport_open_access(struct transport *transport, const struct transport_peer *peer,
                          struct hop *out);
/* The value of our own sent-by on this hop: "host:port" for Via (for UDP toward the core that worker's own
 * port; else the listener's advertise, or, where that is a wildcard, the address the hop came to). Static
 * while the transport lives. */
const char *transport_sent_by(const struct transport *transport, const struct hop *hop);

/*
 * Send; takes the bytes in every case. 0: queued (while connecting, too). Loss is told later by
 * on_connection_closed or on_unreachable. -ENOTCONN: that connection is gone already. -ENOBUFS: its queue is
 * full (it will be closed), or the mailbox of the worker that owns the hop is. -EMSGSIZE: too long for a
 * datagram. A hop of another worker is posted there and 0 returned. UDP that finds the kernel's buffer and
 * our queue full is dropped, counted and 0 returned: to the caller it is a loss as any other.
 */
int transport_send(struct transport *transport, const struct hop *hop, struct bytes **bytes);

/* True while the hop's connection lives (UDP: always; another worker's: true, unknown). */
bool transport_is_alive(const struct transport *transport, const struct hop *hop);
/* A registered flow holds its connection: not closed for idleness. Counted. */
void transport_pin(struct transport *transport, const struct hop *hop);
void transport_unpin(struct transport *transport, const struct hop *hop);
/* Close after what is queued has been written (at once if it is still connecting). To all others the
 * connection is gone from now on. */
void transport_close(struct transport *transport, const struct hop *hop, enum close_reason reason);
/* Stop accepting connections (shutdown). */
void transport_stop_accepting(struct transport *transport);
unsigned transport_connection_count(const struct transport *transport, enum side side,
                                    enum sip_transport kind);
/* Where a listener is bound: with its port when the settings said 0. */
const struct address *transport_listener_address(const struct transport *transport,
                                                 unsigned listener);

/* Which worker the kernel gives datagrams of this client to, on access UDP sockets (the same mix as the
 * classic BPF program). */
unsigned transport_udp_worker(const struct address *client, unsigned workers);

#endif
