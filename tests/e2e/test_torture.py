"""The torture messages of RFC 4475 and RFC 5118, from a registered flow, over UDP, TCP and WebSocket.

tests/data/torture/expected.tsv tells what must come of each. `forward`: validation (RFC 3261 16.3) passed, so
the Sprout got it, or a rule that comes later spoke. Bono serves on after each of them.
"""

import pathlib

import pytest

from bono_lab import Lab, Scene, WebClient, until
from bono_lab.sip import Message, options_to

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "torture"
SILENT = {"absorb", "drop", "wait", "close"}
# Answers of 16.3 itself, and of what must be right before it.
VALIDATION = {400, 416, 420, 482, 483, 505}
# A WebSocket message is one SIP message (RFC 7118 5) as a datagram is, but what is over is not discarded.
WEB = {name: "400" for name in ("rfc4475/dblreq.dat", "rfc5118/ipv4-mapped-ipv6.dat",
                                "rfc5118/ipv6-in-sdp.dat", "rfc5118/mult-ip-in-sdp.dat")}


def table():
    rows = []
    for line in (DATA / "expected.tsv").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, udp, tcp = (field.strip() for field in line.split("\t")[:3])
            rows.append(pytest.param(name, "udp", udp, id=f"{name}-udp"))
            rows.append(pytest.param(name, "tcp", tcp, id=f"{name}-tcp"))
            rows.append(pytest.param(name, "ws", WEB.get(name, udp), id=f"{name}-ws"))
    return rows


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("torture"))
    yield Scene(lab)
    lab.close()


@pytest.fixture
def client(scene, request):
    user = "".join(letter for letter in request.node.name if letter.isalnum())
    transport = request.node.name.rpartition("-")[2].rstrip("]")
    # one address for all of them: the block has not so many
    end = WebClient(scene.lab.ip(98), scene.bono.access_web) if transport == "ws" else None
    started = scene.registered(user, transport, end=end)
    yield started
    started.stop()


def counted(scene):
    metrics = scene.bono.metrics()
    return metrics.sum("bono_parse_errors_total") + metrics.sum("bono_rejected_total")


class Watch:
    """What comes of the bytes: at the Sprout, at the client."""

    def __init__(self, scene, client, raw):
        self.scene, self.client = scene, client
        self.before = len(scene.sprout.all)
        self.known = len(client.end.all)
        self.is_ack = raw.lstrip().startswith(b"ACK ")
        self.fences = set()

    def outcomes(self):
        """In order of discovery: `forward` or the status of an answer."""
        found = []
        for message in self.scene.sprout.all[self.before:]:
            if message.is_response or (message.method in ("ACK", "CANCEL") and not self.is_ack):
                continue
            found.append("forward")
            if not message.__dict__.get("answered") and not self.is_ack:
                message.answered = True
                message.reply(404)
        if found:
            return found
        self.client.end.pump(0.01)
        for message in self.client.end.all[self.known:]:
            if message.is_response and message.status >= 200 \
                    and message.get("call-id") not in self.fences:
                found.append("forward" if message.status not in VALIDATION else str(message.status))
        return found

    def fence(self):
        """Datagrams of one client, and messages of one stream, are worked on in order."""
        raw = options_to(self.client.end, self.scene.bono.access)
        self.fences.add(Message(raw).get("call-id"))
        answer = self.client.end.ask(raw)
        assert answer.status == 200


def test_the_table_names_every_message():
    there = {str(path.relative_to(DATA)) for path in DATA.rglob("*.dat")}
    assert there and {row.values[0] for row in table()} == there


def judge(scene, client, name, transport, expected):
    raw = (DATA / name).read_bytes()
    faults = counted(scene)
    watch = Watch(scene, client, raw)
    client.end.send(raw)
    wanted = expected.split(",")            # one outcome a message; the last may be a silent one
    spoken = [outcome for outcome in wanted if outcome not in SILENT]
    assert wanted[:len(spoken)] == spoken, "a silent outcome ends what can be told apart"
    try:
        until(lambda: len(watch.outcomes()) >= len(spoken), name, patience=5)
    except AssertionError:
        assert watch.outcomes() == spoken
    end = wanted[-1]
    if end in ("absorb", "drop"):
        watch.fence()
        until(lambda: counted(scene) > faults, f"{name} to be counted")
    elif end == "close":
        client.end.wait_for_close()
        until(lambda: counted(scene) > faults, f"{name} to be counted")
    scene.bono.assert_serving()
    assert watch.outcomes() == spoken
    if end == "wait":
        assert not client.end.closed


@pytest.mark.parametrize("name,transport,expected", table())
def test_torture(scene, client, name, transport, expected):
    judge(scene, client, name, transport, expected)
