/*
 * Which worker a datagram belongs to: a mix of the client's address and port, computed by the kernel for
 * each datagram (SO_ATTACH_REUSEPORT_CBPF) and by us in the same way. So a client's datagrams reach the
 * worker that owns its flow, after a restart too. Sockets of one port are numbered in the order of binding.
 */
#include <arpa/inet.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "transport_internal.h"

/* The golden ratio spreads each word upward; then the finalizer of MurmurHash3, since the remainder is
 * taken from the low bits and a plain product splits unevenly. */
#define MIX_WORD 0x9e3779b1u
#define MIX_FIRST 0x85ebca6bu
#define MIX_SECOND 0xc2b2ae35u

/* Offsets from the start of the IP header (RFC 791, RFC 8200). The port follows the header, whose length
 * the IPv4 program reads; IPv6 extension headers are not walked: such a datagram goes to some worker,
 * always the same. */
#define NET(offset) ((uint32_t)(SKF_NET_OFF + (offset)))
#define IPV4_SOURCE NET(12)
#define IPV6_SOURCE(word) NET(8 + 4 * (word))
#define IPV6_PORT NET(40)

#define LOAD_WORD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define LOAD_HALF(at) BPF_STMT(BPF_LD | BPF_H | BPF_ABS, (at))
#define MULTIPLY(by) BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, (by))
#define XOR_X BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0)
#define A_TO_X BPF_STMT(BPF_MISC | BPF_TAX, 0)
#define FOLD(bits) A_TO_X, BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, (bits)), XOR_X

static uint32_t mix_word(uint32_t hash, uint32_t word)
{
	return (hash ^ word) * MIX_WORD;
}

static uint32_t mix_finish(uint32_t hash)
{
	hash ^= hash >> 16;
	hash *= MIX_FIRST;
	hash ^= hash >> 13;
	hash *= MIX_SECOND;
	return hash ^ hash >> 16;
}

unsigned transport_udp_worker(const struct address *client, unsigned workers)
{
	struct address address = *client;
	uint32_t hash = 0, word;

	if (workers <= 1)
		return 0;
	address_normalise(&address); /* a v4-mapped packet has an IPv4 header */
	if (address.family == AF_INET6) {
		for (unsigned i = 0; i < 4; i++) {
			memcpy(&word, &address.v6.sin6_addr.s6_addr[4 * i], sizeof(word));
			hash = mix_word(hash, ntohl(word));
		}
	} else {
		hash = mix_word(hash, ntohl(address.v4.sin_addr.s_addr));
	}
	return mix_finish(hash ^ address_port(&address)) % workers;
}

int steering_attach(int fd, unsigned workers)
{
	/* clang-format off */
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, NET(0)),
		BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 4, 0, 7), /* the version */
		/* IPv4: the mixed address waits in a cell while X holds the header's length */
		LOAD_WORD(IPV4_SOURCE),
		MULTIPLY(MIX_WORD),
		BPF_STMT(BPF_ST, 0),
		BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, NET(0)),
		BPF_STMT(BPF_LD | BPF_H | BPF_IND, NET(0)),
		BPF_STMT(BPF_LDX | BPF_W | BPF_MEM, 0),
		BPF_STMT(BPF_JMP | BPF_JA, 16),
		/* IPv6 */
		LOAD_WORD(IPV6_SOURCE(0)), MULTIPLY(MIX_WORD), A_TO_X,
		LOAD_WORD(IPV6_SOURCE(1)), XOR_X, MULTIPLY(MIX_WORD), A_TO_X,
		LOAD_WORD(IPV6_SOURCE(2)), XOR_X, MULTIPLY(MIX_WORD), A_TO_X,
		LOAD_WORD(IPV6_SOURCE(3)), XOR_X, MULTIPLY(MIX_WORD), A_TO_X,
		LOAD_HALF(IPV6_PORT),
		/* both: the mixed address in X, the port in A */
		XOR_X,
		FOLD(16),
		MULTIPLY(MIX_FIRST),
		FOLD(13),
		MULTIPLY(MIX_SECOND),
		FOLD(16),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	/* clang-format on */
	struct sock_fprog attached = {ARRAY_LENGTH(program), program};

	if (workers <= 1)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &attached, sizeof(attached)) != 0)
		return -errno;
	return 0;
}
