"""Loopback networks of one's own: 127.A.B.0/24, claimed across processes by a listening socket."""

import os
import socket


def family(ip):
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def host_port(address):
    """As it stands in a URI: ("::1", 5060) is [::1]:5060."""
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


# 127.0.x.y is left to people and to the demo.
FIRST, LAST = 20, 89
CLAIM_PORT = 39999


class Block:
    """One /24 of loopback: nobody else who asks for a Block is given it while we hold it."""

    def __init__(self):
        count = (LAST - FIRST + 1) * 256
        start = os.getpid() * 7919 % count
        for step in range(count):
            index = (start + step) % count
            self.prefix = f"127.{FIRST + index // 256}.{index % 256}"
            self.claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                self.claim.bind((f"{self.prefix}.254", CLAIM_PORT))
                self.claim.listen(1)
                break
            except OSError:
                self.claim.close()
        else:
            raise RuntimeError("no free loopback network")
        self.next_client = 100

    def ip(self, host):
        return f"{self.prefix}.{host}"

    def client(self):
        """A client's address that nobody had before in this block."""
        self.next_client += 1
        assert self.next_client < 254, "a block has 153 clients"
        return self.ip(self.next_client)

    def release(self):
        self.claim.close()


class Ports:
    """Ten ports of ::1 of one's own: loopback has but one address in IPv6."""

    FIRST, LAST = 29000, 31990      # below what the kernel gives away by itself

    def __init__(self):
        count = (self.LAST - self.FIRST) // 10
        start = os.getpid() * 7919 % count
        for step in range(count):
            self.first = self.FIRST + (start + step) % count * 10
            self.claim = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            try:
                self.claim.bind(("::1", self.first + 9))
                self.claim.listen(1)
                return
            except OSError:
                self.claim.close()
        raise RuntimeError("no free ports of ::1")

    def port(self, index):
        assert index < 9
        return self.first + index

    def stop(self):
        self.claim.close()
