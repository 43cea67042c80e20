"""Clients come and go by the thousand and leave nothing behind: neither memory nor descriptors."""

import socket

import pytest

from bono_lab import Bono, Crowd, SproutSim, until
from bono_lab.churn import (TLS_PORTS, connect_and_kill, descriptors, finals, heap_kb, register, secured,
                            wait_for_descriptors, wait_until_nobody_is_left)
from bono_lab.sip import unique

AT_ONCE = 20
SOCKETS = 50
UDP_CLIENTS = 20000
TCP_CLIENTS = 2000
KILLED = 10000          # make soak kills more
# What one lap of the warm-up already showed may come once more, by the heap's way of cutting. A leak of the
# smallest block per client would be ten times that.
GROWTH_KB = 4096


class Edge:
    def __init__(self, lab, **changes):
        self.lab = lab
        site = [f"{lab.ip(11)}:5054"]
        SproutSim(lab, "site-a", site)
        # So few that finished transactions, which live for 32 s, are at their bound before we measure.
        self.bono = Bono(lab, {"site-a": site}, workers=2, limits={"transactions": 2000}, **changes)
        self.bono.wait_for_targets(site_a="UP")


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


def assert_nothing_is_left(edge, lap, warm_up, clients):
    """lap(clients) after a smaller one: nobody stays, no descriptor, no memory to speak of; and it goes on serving."""
    lap(warm_up)
    wait_until_nobody_is_left(edge.bono)
    before = heap_kb(edge.bono), descriptors(edge.bono)
    lap(clients)
    wait_until_nobody_is_left(edge.bono)
    wait_for_descriptors(edge.bono, before[1])
    assert heap_kb(edge.bono) - before[0] < GROWTH_KB, (before, heap_kb(edge.bono))
    edge.bono.assert_serving()


def test_twenty_thousand_registrations_leave_no_memory_behind(lab):
    edge, ip = Edge(lab), lab.client_ip()
    assert_nothing_is_left(edge, lambda clients: udp_lap(edge, ip, clients), 3000, UDP_CLIENTS)


def test_two_thousand_connections_leave_nothing_behind(lab):
    edge, ip = Edge(lab), lab.client_ip()
    assert_nothing_is_left(edge, lambda clients: tcp_lap(edge, ip, clients), 500, TCP_CLIENTS)


def test_ten_thousand_connections_killed_leave_nothing_behind(lab):
    edge, ip = Edge(lab), lab.client_ip()
    assert_nothing_is_left(edge, lambda clients: connect_and_kill(ip, edge.bono.access, clients), 2000, KILLED)


@pytest.mark.parametrize("way", ["tls", "wss"])
def test_ten_thousand_connections_killed_over_tls_leave_nothing_behind(lab, measured, way):
    """By a reset: at once, with half a ClientHello or a whole one, before they read the answer, after the handshake,
    with half a REGISTER or a whole one, and registered."""
    edge = Edge(lab, **secured(lab))
    bono, ips = edge.bono, [lab.client_ip() for _ in range(8)]
    Crowd(lab, way, (bono.ip, TLS_PORTS[way]), 2000, "kill", ips)
    wait_until_nobody_is_left(bono)
    before = heap_kb(bono), descriptors(bono)
    Crowd(lab, way, (bono.ip, TLS_PORTS[way]), KILLED, "kill", ips)
    wait_until_nobody_is_left(bono)
    measured(f"{KILLED} {way} connections killed: {heap_kb(bono) - before[0]:+} KiB")
    until(lambda: descriptors(bono) <= before[1], "as many descriptors as before")
    assert heap_kb(bono) - before[0] < GROWTH_KB, (before, heap_kb(bono))
    bono.assert_serving()
