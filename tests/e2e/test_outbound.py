"""RFC 5626 and RFC 6223 seen from outside: keep-alives promised, kept and broken; a client that comes back over
another flow; a flow that is lost. And STUN on the port of the clients (RFC 8489, RFC 5626 8)."""

import itertools
import select
import socket
import struct
import time
import zlib

import pytest

from bono_lab import (Baresip, Bono, Client, KamailioSprout, Lab, Scene, SproutSim, TcpClient, UdpClient,
                      token_of, until)
from bono_lab.sip import Message, parameter, uri_of

REQUIRE = [("Require", "outbound")]
TIMERS = {"flow_timer": "1s", "flow_timer_udp": "1s", "grace": "500ms"}
serial = itertools.count(1)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Nothing falls silent here."""
    lab = Lab(tmp_path_factory.mktemp("outbound"))
    yield Scene(lab, workers=4)
    lab.close()


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """Flow-Timer of a second."""
    lab = Lab(tmp_path_factory.mktemp("strict"))
    yield Scene(lab, workers=2, outbound=TIMERS)
    lab.close()


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    """Lost flows are taken off the registrar."""
    lab = Lab(tmp_path_factory.mktemp("telling"))
    yield Scene(lab, workers=2, outbound={"deregister_lost": True, "deregister_after": "500ms"})
    lab.close()


@pytest.fixture
def user():
    return f"user{next(serial)}"


def closed(scene, reason):
    return scene.bono.metrics().sum("bono_flow_closed_total", reason=reason)


def call_client(scene, path, contact, **more):
    """A MESSAGE from the core along this Path; gives the way it was sent by."""
    way = scene.way()
    way.send(way.request_bytes("MESSAGE", contact, path, body=b"hello", **more))
    return way


# ---- Flow-Timer ----

def test_flow_timer_is_of_the_transport(scene, user, way):
    _, answer = scene.register(scene.client(user, way), answer=REQUIRE)
    assert answer.lines("flow-timer") == ["29" if way == "udp" else "120"]
    assert answer.get("require") == "outbound"


@pytest.mark.parametrize("said,registrar", [
    ({}, ()),
    ({"outbound": False}, REQUIRE),
    ({"headers": [("Supported", "path")]}, REQUIRE),
], ids=["registrar-without-outbound", "no-reg-id", "not-supported"])
def test_flow_timer_needs_both_sides(scene, user, way, said, registrar):
    client = scene.client(user, way)
    raw = client.register_bytes(**{k: v for k, v in said.items() if k != "headers"})
    if "headers" in said:
        raw = raw.replace(b"Supported: path, outbound", b"Supported: path")
    client.end.send(raw)
    scene.sprout.accept_register(headers=registrar, call_id=client.register_call_id)
    assert not client.end.response("REGISTER").has("flow-timer")


def test_flow_timer_needs_a_client_one_hop_away(scene, user, way):
    client = scene.client(user, way)
    _, answer = scene.register(client, [(
        "Via", f"{client.end.via()}, SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKfar{user}")],
        answer=REQUIRE)
    assert not answer.has("flow-timer")


def test_a_silent_flow_is_closed(strict, user, way):
    before = closed(strict, "silent")
    client = strict.client(user, way)
    seen, answer = strict.register(client, answer=REQUIRE)
    assert answer.get("flow-timer") == "1"
    if way == "tcp":
        client.end.wait_for_close()
    until(lambda: closed(strict, "silent") > before, "the silent flow to end")
    late = call_client(strict, seen.lines("path"), uri_of(seen.get("contact")))
    assert late.end.response("MESSAGE").status == 430
    assert not client.end.got(lambda m: m.method == "MESSAGE")


def pings_for_a_while(client, way):
    """Longer than the client may be silent. The longest time between two pings: on a busy machine we may be
    the ones who are late."""
    longest, last = 0, time.monotonic()
    for number in range(8):
        if way == "udp":
            client.end.send(binding_request(b"keepalive%03d" % number))
        else:
            client.end.send(b"\r\n\r\n")
            until(lambda: client.end.pump(0.1) or client.end.pongs > number or client.end.closed,
                  "a pong")
        now = time.monotonic()
        longest, last = max(longest, now - last), now
        select.select([], [], [], 0.3)
    return max(longest, time.monotonic() - last)


def test_who_pings_stays(strict, user, way):
    """STUN on UDP, a double CRLF on TCP."""
    for _ in range(20):
        client = strict.client(f"{user}x{next(serial)}", way)
        seen, _ = strict.register(client, answer=REQUIRE)
        if pings_for_a_while(client, way) < 1:
            break
    asked = call_client(strict, seen.lines("path"), uri_of(seen.get("contact")))
    client.end.request("MESSAGE").reply(200)
    assert asked.end.response("MESSAGE").status == 200


# ---- keep ----

def test_keep_is_given_to_who_asks(scene, user, way):
    client = scene.client(user, way)
    raw = client.register_bytes(outbound=False).replace(b";branch=", b";keep;branch=", 1)
    client.end.send(raw)
    scene.sprout.accept_register(call_id=client.register_call_id)
    via = client.end.response("REGISTER").get("via")
    assert parameter(via, "keep") == ("29" if way == "udp" else "120"), via
    assert parameter(via, "branch") == parameter(Message(raw).get("via"), "branch")


def test_keep_is_no_answer_to_a_refusal(scene, user, way):
    client = scene.client(user, way)
    client.end.send(client.register_bytes().replace(b";branch=", b";keep;branch=", 1))
    scene.sprout.expect("REGISTER", call_id=client.register_call_id).reply(403)
    assert parameter(client.end.response("REGISTER").get("via"), "keep") == ""


def test_keep_is_enforced_for_a_registration(strict, user, way):
    before = closed(strict, "silent")
    client = strict.client(user, way)
    client.end.send(client.register_bytes(outbound=False)
                    .replace(b";branch=", b";keep;branch=", 1))
    strict.sprout.accept_register(call_id=client.register_call_id)
    assert parameter(client.end.response("REGISTER").get("via"), "keep") == "1"
    until(lambda: closed(strict, "silent") > before, "the silent flow to end")


# ---- several flows of one client ----

def test_two_reg_ids_of_an_instance_live_side_by_side(scene, user):
    first, second = scene.client(user, "udp"), scene.client(user, "tcp")
    second.instance = first.instance
    seen_first, _ = scene.register(first, answer=REQUIRE)
    raw = second.register_bytes().replace(b"reg-id=1", b"reg-id=2")
    second.end.send(raw)
    seen_second = scene.sprout.accept_register(headers=REQUIRE, call_id=second.register_call_id)
    assert second.end.response("REGISTER").status == 200
    for client, seen in ((first, seen_first), (second, seen_second)):
        asked = call_client(scene, seen.lines("path"), uri_of(seen.get("contact")))
        client.end.request("MESSAGE").reply(200)
        assert asked.end.response("MESSAGE").status == 200


def test_calls_follow_a_client_whose_port_changes(scene, user):
    """As behind a NAT that forgets: with four workers most of the new ports are another worker's."""
    client = scene.client(user, "udp")
    replaced = closed(scene, "replaced")
    seen, _ = scene.register(client, answer=REQUIRE)
    first_path, contact = seen.lines("path"), uri_of(seen.get("contact"))
    address = client.end.address[0]
    for number in range(1, 7):
        client.end.close()
        client.end = UdpClient(address, scene.bono.access, 0)
        raw = client.register_bytes().replace(
            f"{address}:{client.end.address[1]}>".encode(), f"{address}:5060>".encode(), 1)
        client.end.send(raw)
        seen = scene.sprout.accept_register(headers=REQUIRE, call_id=client.register_call_id)
        client.end.response("REGISTER", client.register_call_id)
        assert token_of(seen.values("path")[0]) != token_of(first_path[0].strip())
        until(lambda: closed(scene, "replaced") == replaced + number,
              "the old flow to hear of the new one")
        asked = call_client(scene, first_path, contact)
        client.end.request("MESSAGE").reply(200)
        assert asked.end.response("MESSAGE").status == 200


def test_a_tcp_client_that_comes_back_leaves_no_connection_behind(scene, user):
    """TCP connections go to whichever worker the kernel likes."""
    client = scene.client(user, "tcp")
    seen, _ = scene.register(client, answer=REQUIRE)
    first_path, contact = seen.lines("path"), uri_of(seen.get("contact"))
    for _ in range(6):
        old = client.end
        client.end = TcpClient(old.address[0], scene.bono.access)
        scene.register(client, answer=REQUIRE)
        old.wait_for_close()
        old.close()
        asked = call_client(scene, first_path, contact)
        client.end.request("MESSAGE").reply(200)
        assert asked.end.response("MESSAGE").status == 200


# ---- lost flows ----

def test_a_request_under_way_hears_430_when_its_flow_breaks(scene, user):
    client = scene.client(user, "tcp")
    seen, _ = scene.register(client, answer=REQUIRE)
    asked = call_client(scene, seen.lines("path"), uri_of(seen.get("contact")))
    client.end.request("MESSAGE")
    client.end.close()
    assert asked.end.response("MESSAGE").status == 430
    again = call_client(scene, seen.lines("path"), uri_of(seen.get("contact")))
    assert again.end.response("MESSAGE").status == 430


def test_a_lost_flow_is_taken_off_the_registrar(telling, user):
    client = telling.client(user, "tcp")
    seen, _ = telling.register(client, answer=REQUIRE)
    done = telling.bono.metrics().sum("bono_deregistrations_total", result="done")
    client.end.close()
    away = telling.sprout.find(telling.sprout.requests, telling.sprout.kept_requests,
                              lambda m: m.method == "REGISTER" and user in m.get("to")
                              and m.get("call-id") != client.register_call_id,
                              "de-registration", 15)
    assert parameter(away.get("contact"), "expires") == "0"
    assert parameter(away.get("contact"), "reg-id") == "1"
    assert f"+sip.instance={client.instance}" in away.get("contact")
    assert uri_of(away.get("contact")) == uri_of(seen.get("contact"))
    assert token_of(away.values("path")[0]) == token_of(seen.values("path")[0])
    assert 'integrity-protected="ip-assoc-yes"' in away.get("authorization")
    assert len(away.values("via")) == 1
    away.reply(200)
    until(lambda: telling.bono.metrics().sum("bono_deregistrations_total", result="done") > done,
          "the registrar's answer to be counted")


def test_a_client_that_comes_back_is_not_taken_off(telling, user):
    returned = telling.bono.metrics().sum("bono_deregistrations_total", result="returned")
    client = telling.client(user, "tcp")
    telling.register(client, answer=REQUIRE)
    old = client.end
    client.end = TcpClient(old.address[0], telling.bono.access)
    old.close()
    telling.register(client, answer=REQUIRE)
    client.end.send(b"\r\n\r\n")
    # either its old flow was replaced before it was seen to break, or the word was taken back
    until(lambda: telling.bono.metrics().sum("bono_deregistrations_total", result="returned")
          > returned or closed(telling, "replaced") > 0, "the client's return to be seen")
    assert not [m for m in telling.sprout.all if not m.is_response and user in m.get("to")
                and m.get("call-id") != client.register_call_id]


# ---- STUN ----

COOKIE = 0x2112A442


def binding_request(transaction, attributes=b"", fingerprint=False, kind=1):
    """Written from RFC 8489, not from the server."""
    length = len(attributes) + (8 if fingerprint else 0)
    message = struct.pack("!HHI", kind, length, COOKIE) + transaction.ljust(12, b"\0") + attributes
    if fingerprint:
        message += struct.pack("!HHI", 0x8028, 4, zlib.crc32(message) ^ 0x5354554E)
    return message


def attributes_of(message):
    kind, length, cookie = struct.unpack("!HHI", message[:8])
    assert cookie == COOKIE and length == len(message) - 20 and length % 4 == 0
    at, found = 20, {}
    while at < len(message):
        name, size = struct.unpack("!HH", message[at:at + 4])
        found[name] = message[at + 4:at + 4 + size]
        at += 4 + (size + 3) // 4 * 4
    return kind, found


def ask_stun(scene, data, answered=True):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.bind((scene.lab.ip(98), 0))
        end.sendto(data, scene.bono.access)
        if not answered:    # the next one is: datagrams of one client keep their order
            end.sendto(binding_request(b"afterwards"), scene.bono.access)
        end.settimeout(15)
        answer, source = end.recvfrom(2000)
        assert source == scene.bono.access
        return answer, end.getsockname()


def test_stun_tells_the_client_its_address(scene):
    answer, own = ask_stun(scene, binding_request(b"where am I?"))
    kind, attributes = attributes_of(answer)
    assert kind == 0x0101 and list(attributes) == [0x0020] and answer[8:20] == b"where am I?\0"
    _, family, port, address = struct.unpack("!BBHI", attributes[0x0020])
    assert family == 1 and port ^ (COOKIE >> 16) == own[1]
    assert socket.inet_ntoa(struct.pack("!I", address ^ COOKIE)) == own[0]


def test_stun_with_fingerprint_is_answered_with_one(scene):
    answer, _ = ask_stun(scene, binding_request(b"finger", fingerprint=True))
    _, attributes = attributes_of(answer)
    assert list(attributes) == [0x0020, 0x8028]
    assert struct.unpack("!I", attributes[0x8028])[0] == zlib.crc32(answer[:-8]) ^ 0x5354554E


def test_stun_refuses_what_it_must_understand(scene):
    answer, _ = ask_stun(scene, binding_request(b"priority", struct.pack("!HHI", 0x0024, 4, 7)))
    kind, attributes = attributes_of(answer)
    assert kind == 0x0111 and attributes[0x0009][2:4] == bytes([4, 20])
    assert attributes[0x000A] == b"\x00\x24"


@pytest.mark.parametrize("data,result", [
    (binding_request(b"x", kind=0x0011), "no_request"),
    (binding_request(b"x", kind=0x0101), "no_request"),
    (binding_request(b"x", kind=0x0003), "other_method"),
    (binding_request(b"x")[:-4], "malformed"),
    (binding_request(b"x", fingerprint=True)[:-1] + b"?", "bad_fingerprint"),
    (b"\x00\x01\x00\x00" + b"old stun of 3489", "no_cookie"),
], ids=["indication", "answer", "allocate", "short", "fingerprint", "rfc3489"])
def test_other_stun_is_counted_and_not_answered(scene, data, result):
    before = scene.bono.metrics().sum("bono_stun_total", result=result)
    answer, _ = ask_stun(scene, data, answered=False)
    assert answer[8:20] == b"afterwards\0\0"
    assert scene.bono.metrics().sum("bono_stun_total", result=result) == before + 1


def test_baresip_keeps_its_flow_with_stun(lab):
    """It takes the interval from Flow-Timer; the registrar is Kamailio's."""
    lab.sprout = KamailioSprout(lab, "site-a", lab.ip(11), lab.ip(11))
    lab.bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, workers=2,
                    outbound={"flow_timer_udp": "2s", "grace": "15s"})
    lab.bono.wait_for_targets(site_a="UP")
    Baresip(lab, "alice", lab.bono.access, "udp", regint=600).wait_for_register()
    until(lambda: lab.bono.metrics().sum("bono_stun_total", result="answered") >= 3,
          "baresip's keep-alives")
    assert closed(lab, "silent") == 0
    assert lab.bono.status()["registrations"] == 1


def test_after_a_lost_flow_the_sprouts_know_that_the_phone_is_away(lab):
    SproutSim(lab, "site-a", [f"{lab.ip(11)}:5054", f"{lab.ip(12)}:5054"])
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054", f"{lab.ip(12)}:5054"]}, workers=2,
                outbound={"deregister_lost": True, "deregister_after": "100ms"})
    bono.wait_for_targets(site_a="UP")
    alice, bob = Client(lab, bono, "alice", "tcp"), Client(lab, bono, "bob")
    alice.register()
    bob.register()
    alice.end.close()
    until(lambda: bono.metrics().sum("bono_deregistrations_total", result="done") == 1,
          "the registrar to be told")
    answer = bob.ask("MESSAGE", "sip:alice@example.net", [("Content-Type", "text/plain")], b"hello")
    assert answer.status == 480, answer.start
