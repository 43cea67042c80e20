"""Connections that nobody looks after well: too many, too few descriptors, deaf, gone. Bono bounds them, counts them,
and serves on; and it never dials a client."""

import select
import socket

import pytest

from bono_lab import Bono, Scene, ScriptedSprout, TcpClient, until
from bono_lab.churn import connect, descriptors
from bono_lab.sip import options_to, request, unique

FEW = 100       # descriptors


def rejected(bono, reason):
    return bono.metrics().sum("bono_rejected_total", **{"class": "connection", "reason": reason})


def is_ended(sock):
    if not select.select([sock], [], [], 0)[0]:
        return False
    try:
        return sock.recv(1) == b""
    except ConnectionError:
        return True


def test_one_address_has_its_share_of_connections(lab):
    ScriptedSprout(lab, lab.ip(11))
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, limits={"connections_per_address": 5})
    greedy, modest = lab.client_ip(), lab.client_ip()
    held = [connect(greedy, bono.access) for _ in range(5)]
    until(lambda: bono.metrics().sum("bono_connections", side="access") == 5, "five connections")
    beyond = connect(greedy, bono.access)
    until(lambda: is_ended(beyond), "the sixth to be turned away")
    assert rejected(bono, "address_limit") == 1
    other = TcpClient(modest, bono.access)
    assert other.ask(options_to(other, bono.access)).status == 200
    other.close()
    # a place that becomes free is given again
    held.pop().close()
    until(lambda: bono.metrics().sum("bono_connections", side="access") == 4, "the place to be free")
    again = TcpClient(greedy, bono.access)
    assert again.ask(options_to(again, bono.access)).status == 200
    again.close()
    for sock in held + [beyond]:
        sock.close()


def test_without_descriptors_the_core_and_the_operator_are_served(lab):
    """Clients are turned away before the last quarter; who is there is served, the Sprout is reached anew."""
    scene = Scene(lab, workers=1, under=["prlimit", f"--nofile={FEW}:{FEW}"])
    bono = scene.bono
    assert bono.log_contains("less than limits.connections")
    early = scene.registered("early", "tcp")
    ip, crowd = lab.client_ip(), []
    while rejected(bono, "descriptors") == 0:
        crowd.append(connect(ip, bono.access))
        assert len(crowd) <= FEW + 50
    assert descriptors(bono) <= FEW - FEW // 5
    code, _, _ = bono.ctl("flows")
    assert code == 0
    scene.through(early, "MESSAGE", body=b"x").reply(200)
    assert early.end.response("MESSAGE").status == 200
    way = scene.way()               # the Sprout connects to us
    way.send(options_to(way.end, bono.core))
    assert way.end.response("OPTIONS").status == 200
    # once they go, others may come
    for sock in crowd:
        sock.close()
    bono.assert_serving()
    assert bono.log_contains("not accepting")


def test_soft_limit_of_descriptors_is_raised(lab):
    ScriptedSprout(lab, lab.ip(11))
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, under=["prlimit", "--nofile=64:4096"],
                limits={"connections": 1000})
    with open(f"/proc/{bono.pid}/limits") as limits:
        words = next(line for line in limits if line.startswith("Max open files")).split()
    assert words[3:5] == ["4096", "4096"]
    assert not bono.log_contains("less than limits.connections")


def test_client_that_asks_and_does_not_read_is_not_read_from(lab, user):
    """Its requests stay with it, our memory stays ours, and it is let go in the end or served when it reads."""
    scene = Scene(lab, workers=1)
    bono = scene.bono
    deaf = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
    deaf.bind((lab.client_ip(), 0))
    deaf.connect(bono.access)
    deaf.setblocking(False)
    host = "%s:%d" % deaf.getsockname()

    def one():
        return request("OPTIONS", f"sip:{bono.ip}:5060", f"SIP/2.0/TCP {host};branch=z9hG4bK{unique()}")
    rest = b""

    def pour():
        nonlocal rest
        rest = rest or b"".join(one() for _ in range(50))
        try:
            rest = rest[deaf.send(rest):]
            return False
        except BlockingIOError:     # the kernel's buffers are full on both sides
            return bono.metrics().sum("bono_connection_held_total", side="access") >= 1
    until(pour, "the connection to be held", 60, every=0)
    before = bono.metrics().sum("bono_requests_total", side="access", transport="tcp")
    bono.assert_serving()           # one OPTIONS over TCP
    assert bono.metrics().sum("bono_requests_total", side="access", transport="tcp") == before + 1
    # it reads again, and is heard again
    deaf.setblocking(True)
    deaf.settimeout(10)

    def read():
        deaf.recv(1 << 20)
        return bono.metrics().sum("bono_requests_total", side="access", transport="tcp") > before + 1
    until(read, "its requests to be taken again", every=0)
    deaf.close()


class Home:
    """Where a client could be dialled, by its Via and its Contact: it listens there, and nobody may come."""

    def __init__(self, lab):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((lab.client_ip(), 5060))
        self.socket.listen(8)
        self.address = self.socket.getsockname()

    def client(self, scene, user):
        """A client that says everywhere that it is at home, and connects from another port."""
        client = scene.client(user, "tcp", end=TcpClient(self.address[0], scene.bono.access))
        client.end.address = self.address
        return client

    def was_visited(self):
        return bool(select.select([self.socket], [], [], 0)[0])


@pytest.fixture
def home(lab):
    place = Home(lab)
    yield place
    place.socket.close()


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_request_to_a_flow_that_is_gone_is_430_and_nobody_is_dialled(lab, home, user, method):
    scene = Scene(lab)
    client = home.client(scene, user)
    scene.register(client)
    uri = f"sip:{user}@{home.address[0]}:{home.address[1]};transport=tcp"
    client.end.close()
    until(lambda: scene.bono.metrics().sum("bono_flows") == 0, "the flow to end")
    way = scene.way()
    way.send(way.request_bytes(method, uri, client.path))
    assert way.end.response(method).status == 430
    assert not home.was_visited()


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_answer_to_a_connection_that_is_gone_goes_nowhere(lab, home, user, method):
    """RFC 3261 18.2.2 would have it dialled by its Via; behind NATs that is nobody, or somebody else."""
    scene = Scene(lab, workers=1)
    client = home.client(scene, user)
    scene.register(client)
    seen = scene.through(client, method, body=b"x")
    client.end.close()
    until(lambda: scene.bono.metrics().sum("bono_connections", side="access") == 0, "it to be gone")
    seen.reply(486)
    if method == "INVITE":
        scene.sprout.expect("ACK")      # the answer has been taken
    scene.bono.assert_serving()         # behind it on the same worker
    assert not home.was_visited()


def test_thousands_of_slow_messages_are_let_go_and_cost_little(lab):
    """Each has begun a message; none is finished. Others are served meanwhile."""
    scene = Scene(lab, workers=2)
    ip = lab.client_ip()
    before = scene.bono.metrics().sum("bono_connections", side="access")
    half = b"REGISTER sip:example.net SIP/2.0\r\nVia: " + b"x" * 1000
    slow = [connect(ip, scene.bono.access) for _ in range(800)]
    for sock in slow:
        sock.sendall(half)
    until(lambda: scene.bono.metrics().sum("bono_connections", side="access") >= before + 800, "all to be there")
    scene.bono.assert_serving()
    until(lambda: scene.bono.metrics().sum("bono_connection_closed_total", reason="slow") == 800,
          "the slow ones to be let go", 40)
    for sock in slow:
        sock.close()
    scene.bono.assert_serving()
