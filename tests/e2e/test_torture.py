"""The torture messages of RFC 4475 and RFC 5118 from a registered flow, over UDP and TCP.

expected.tsv tells for each what must come of it: `forward` (it reaches the Sprout, or 16.3 validation
passed and a later rule spoke), a status, `drop` (nothing comes back), `close` (TCP: the stream cannot be
trusted any more). Several allowed outcomes are separated by a bar. Bono serves on after each of them.
"""

import pathlib
import re

import pytest

from bono_lab import Client, Lab, Scene, until
from bono_lab.sip import options_to

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "torture"


def table():
    rows = []
    for path in sorted(DATA.rglob("expected.tsv")):
        for line in path.read_text().splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            name, udp, tcp = line.split("\t")[:3]
            if name == "file":
                continue
            for transport, outcome in (("udp", udp), ("tcp", tcp)):
                rows.append(pytest.param(path.parent / name, transport, outcome.strip(),
                                         id=f"{pathlib.Path(name).stem}-{transport}"))
    return rows


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("torture"))
    yield Scene(lab)
    lab.close()


def via_port(raw):
    match = re.search(rb"^v(?:ia)?\s*:\s*SIP\s*/\s*2\.0\s*/\s*\S+\s+[^\s:;,]+(?:\s*:\s*(\d+))?", raw,
                      re.M | re.I)
    return int(match.group(1)) if match and match.group(1) else 5060


def test_the_table_names_every_message():
    named = {row.values[0].name for row in table()}
    there = {path.name for path in DATA.rglob("*.dat")}
    assert there and named == there


@pytest.mark.parametrize("path,transport,expected", table())
def test_torture(scene, request, path, transport, expected):
    user = "t" + "".join(letter for letter in request.node.name if letter.isalnum())
    client = scene.lab.add(Client(scene.lab, scene.bono, user, transport))
    scene.register(client)
    seen_before = len(scene.sprout.all)
    raw = path.read_bytes()
    client.end.send(raw)
    if transport == "udp":
        outcome = outcome_on_udp(scene, client, seen_before)
    else:
        outcome = outcome_on_tcp(scene, client, seen_before)
    client.stop()
    scene.bono.assert_serving()
    assert outcome in expected.split("|"), f"{path.name} over {transport}: {outcome!r}"


def reached_sprout(scene, since):
    return len(scene.sprout.all) > since


def answer_of(client):
    """The status of a final answer to anything but our own OPTIONS and REGISTER."""
    own = client.register_call_id
    for message in client.end.all:
        if message.is_response and message.status >= 200 and message.get("call-id") != own \
                and not message.__dict__.get("fence"):
            return message
    return None


def judge(scene, client, since):
    if reached_sprout(scene, since):
        for message in scene.sprout.all[since:]:
            if not message.is_response and message.method not in ("ACK", "CANCEL"):
                message.reply(404)
        return "forward"
    answer = answer_of(client)
    return str(answer.status) if answer is not None else None


def outcome_on_udp(scene, client, since):
    """An OPTIONS of ours behind it is the fence: datagrams of one client are worked on in order."""
    fence = options_to(client.end, scene.bono.access)
    client.end.send(fence)
    call_id = re.search(rb"Call-ID: (\S+)", fence).group(1).decode()
    done = []

    def fenced():
        client.end.pump(0.05)
        for message in client.end.all:
            if message.is_response and message.get("call-id") == call_id:
                message.fence = True
                done.append(message)
        return done
    until(fenced, "the fence behind a torture message")
    # What is on its way to the Sprout was sent before the fence was answered.
    return until_outcome(scene, client, since)


def until_outcome(scene, client, since):
    """A probe by MESSAGE through the Sprout is the second fence: what was forwarded came before."""
    verdict = judge(scene, client, since)
    if verdict is not None:
        return verdict
    probe = scene.lab.add(Client(scene.lab, scene.bono, "fence"))
    raw = probe.register_bytes()
    probe.end.send(raw)
    before = len(scene.sprout.all)
    scene.sprout.accept_register()
    probe.end.response("REGISTER")
    probe.stop()
    forwarded = [m for m in scene.sprout.all[since:]
                 if m.get("call-id") != probe.register_call_id]
    if forwarded and before >= since:
        for message in forwarded:
            if not message.is_response and message.method not in ("ACK", "CANCEL"):
                message.reply(404)
        return "forward"
    client.end.drain()
    answer = answer_of(client)
    return str(answer.status) if answer is not None else "drop"


def outcome_on_tcp(scene, client, since):
    """The stream ends after the message: what is incomplete is told by the end."""
    fence = options_to(client.end, scene.bono.access)
    call_id = re.search(rb"Call-ID: (\S+)", fence).group(1).decode()
    try:
        client.end.send(fence)
    except (BrokenPipeError, ConnectionResetError):
        pass

    def settled():
        client.end.pump(0.05)
        for message in client.end.all:
            if message.is_response and message.get("call-id") == call_id:
                message.fence = True
                return True
        # An incomplete message swallows the fence as its body and waits for more.
        return client.end.closed or judge(scene, client, since) is not None
    try:
        until(settled, "the fence behind a torture message", patience=2)
    except AssertionError:
        return "drop"
    verdict = judge(scene, client, since)
    if verdict is not None:
        return verdict
    if client.end.closed:
        return "close"
    return until_outcome(scene, client, since)
