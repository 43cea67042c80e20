"""Clients come and go by the thousand and leave nothing behind: neither memory nor descriptors."""

import pathlib
import select
import socket

from bono_lab import Bono, SproutSim, until
from bono_lab.sip import request, unique

AT_ONCE = 20
SOCKETS = 50
UDP_CLIENTS = 20000
TCP_CLIENTS = 2000
# What one lap of the warm-up already showed may come once more, by the heap's way of cutting. A leak of the
# smallest block per client would be ten times that.
GROWTH_KB = 4096


class Edge:
    def __init__(self, lab):
        self.lab = lab
        site = [f"{lab.ip(11)}:5054"]
        SproutSim(lab, "site-a", site)
        # So few that finished transactions, which live for 32 s, are at their bound before we measure.
        self.bono = Bono(lab, {"site-a": site}, workers=2, limits={"transactions": 2000})
        self.bono.wait_for_targets(site_a="UP")
        self.process = pathlib.Path(f"/proc/{self.bono.pid}")

    def descriptors(self):
        return len(list((self.process / "fd").iterdir()))

    def heap_kb(self):
        """Resident and not of a file."""
        return next(int(line.split()[1]) for line in (self.process / "status").read_text().splitlines()
                    if line.startswith("RssAnon:"))

    def wait_until_nobody_is_left(self):
        until(lambda: self.bono.metrics().sum("bono_flows") == 0
              and self.bono.metrics().sum("bono_connections", side="access") == 0,
              "all flows and connections to end", 30)
        assert self.bono.metrics().sum("bono_registrations") == 0


def register(user, kind, address, expires):
    host = f"{address[0]}:{address[1]}"
    return request("REGISTER", "sip:example.net", f"SIP/2.0/{kind} {host};rport;branch=z9hG4bK{unique()}",
                   [("Contact", f"<sip:{user}@{host}>"), ("Expires", expires)], user=user)


def finals(sock, kind, patience=10):
    """Read until there is a final answer; gives its status."""
    data = b""
    while True:
        assert select.select([sock], [], [], patience)[0], f"no answer over {kind}"
        data = sock.recv(65536) if kind == "UDP" else data + sock.recv(65536)
        assert data, "closed without an answer"
        if data.startswith(b"SIP/2.0 ") and b"\r\n\r\n" in data:
            return int(data[8:11])


def udp_lap(edge, ip, clients):
    """Each client a socket's turn under a name of its own: registers, then takes it back."""
    sockets = []
    for _ in range(SOCKETS):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((ip, 0))
        sock.connect(edge.bono.access)
        sockets.append(sock)
    for first in range(0, clients, AT_ONCE):
        some = [(sockets[(first + i) % SOCKETS], unique("u")) for i in range(AT_ONCE)]
        for expires in (600, 0):
            for sock, user in some:
                sock.send(register(user, "UDP", sock.getsockname(), expires))
            for sock, _ in some:
                assert finals(sock, "UDP") == 200
    for sock in sockets:
        sock.close()


def tcp_lap(edge, ip, clients):
    """Connects, registers, goes away without a word."""
    for _ in range(0, clients, AT_ONCE):
        some = []
        for _ in range(AT_ONCE):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((ip, 0))
            sock.connect(edge.bono.access)
            sock.sendall(register(unique("t"), "TCP", sock.getsockname(), 600))
            some.append(sock)
        for sock in some:
            assert finals(sock, "TCP") == 200
            sock.close()


def test_twenty_thousand_registrations_leave_no_memory_behind(lab):
    edge, ip = Edge(lab), lab.client_ip()
    udp_lap(edge, ip, 3000)
    edge.wait_until_nobody_is_left()
    before = edge.heap_kb(), edge.descriptors()
    udp_lap(edge, ip, UDP_CLIENTS)
    edge.wait_until_nobody_is_left()
    assert edge.descriptors() <= before[1]
    assert edge.heap_kb() - before[0] < GROWTH_KB, (before, edge.heap_kb())
    edge.bono.assert_serving()


def test_two_thousand_connections_leave_nothing_behind(lab):
    edge, ip = Edge(lab), lab.client_ip()
    tcp_lap(edge, ip, 500)
    edge.wait_until_nobody_is_left()
    before = edge.heap_kb(), edge.descriptors()
    tcp_lap(edge, ip, TCP_CLIENTS)
    edge.wait_until_nobody_is_left()
    assert edge.descriptors() <= before[1]
    assert edge.heap_kb() - before[0] < GROWTH_KB, (before, edge.heap_kb())
    edge.bono.assert_serving()
