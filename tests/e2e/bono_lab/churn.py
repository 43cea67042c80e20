"""Clients that come and are killed, by the thousand; and what they leave behind in Bono."""

import pathlib
import select
import socket
import struct

from .certificates import Authority
from .sip import request, unique
from .wait import until

RESET = struct.pack("ii", 1, 0)     # SO_LINGER: close sends RST and leaves no TIME_WAIT


TLS_PORTS = {"tls": 5061, "wss": 5063}


def secured(lab, name="edge.example.net"):
    """What a configuration has besides, for clients over TLS: {"listeners": ..., "tls": ...}."""
    certificate = Authority(lab.path("ca")).issue("edge", names=[name])
    ip = lab.ip(1)
    access = [{"name": f"access-{way}", "side": "access", "transport": way, "bind": f"{ip}:{port}"}
              for way, port in (("udp", 5060), ("tcp", 5060), ("ws", 5062))]
    access += [{"name": f"access-{way}", "side": "access", "transport": way, "bind": f"{ip}:{port}", "tls": "public"}
               for way, port in TLS_PORTS.items()]
    return {"listeners": access + [{"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{ip}:5058",
                                    "allow": ["127.0.0.0/8"], "path": True}],
            "tls": {"public": {"certificate": certificate.certificate, "key": certificate.key}}}


def descriptors(bono):
    return len(list(pathlib.Path(f"/proc/{bono.pid}/fd").iterdir()))


def wait_for_descriptors(bono, most):
    """The admin port may be closing one of ours still."""
    until(lambda: descriptors(bono) <= most, f"at most {most} descriptors, there are {descriptors(bono)}")


def heap_kb(bono):
    """Resident and not of a file."""
    status = pathlib.Path(f"/proc/{bono.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))


def wait_until_nobody_is_left(bono, patience=40):
    until(lambda: bono.metrics().sum("bono_flows") == 0
          and bono.metrics().sum("bono_connections", side="access") == 0,
          "all flows and connections to end", patience)
    assert bono.metrics().sum("bono_registrations") == 0


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


def connect(ip, edge):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.bind((ip, 0))
    sock.connect(edge)
    return sock


def connect_and_kill(ip, edge, cycles):
    """Each connects and is killed by a reset: at once, in the midst of a message, with a ping or a REGISTER just
    sent, or (each sixteenth) registered."""
    for cycle in range(cycles):
        sock = connect(ip, edge)
        kind = cycle % 16
        if kind in (1, 9):
            sock.sendall(register("half", "TCP", sock.getsockname(), 600)[:20 * kind])
        elif kind in (2, 6, 10):
            sock.sendall(b"\r\n\r\n")
        elif kind in (4, 12):
            sock.sendall(register(unique("k"), "TCP", sock.getsockname(), 600))
        elif kind == 8:
            sock.sendall(register(unique("k"), "TCP", sock.getsockname(), 600))
            assert finals(sock, "TCP") == 200
        sock.close()
