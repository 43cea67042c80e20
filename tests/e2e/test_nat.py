"""A UDP phone behind a NAT that forgets: the phone sees by STUN that its address is another one, registers again
as the same instance and reg-id, and what the core has for it, new calls and old ones, arrives there."""

import os
import struct

import pytest

from bono_lab import Baresip, Bono, Client, KamailioSprout, Lab, ScriptedSprout, token_of, until
from bono_lab.nat import Nat
from bono_lab.sip import build, uri_of

# Namespaces are root's to make, here as in the drill; the same moves on loopback: test_outbound.py.
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")


@pytest.fixture
def nat():
    made = Nat()
    yield made
    made.stop()


@pytest.fixture
def lab(nat, tmp_path):
    """All of it stands in the edge's namespace; phones say where they are."""
    with nat.inside("edge"):
        stage = Lab(tmp_path)
        try:
            yield stage
        finally:
            stage.close()


def start_bono(lab, **changes):
    edge = lab.ip(1)
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, workers=4, listeners=[
        {"name": "access-udp", "side": "access", "transport": "udp", "bind": f"{Nat.EDGE}:5060"},
        {"name": "access-tcp", "side": "access", "transport": "tcp", "bind": f"{Nat.EDGE}:5060"},
        {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{edge}:5058",
         "allow": ["127.0.0.0/8"], "path": True},
    ], **changes)
    bono.access = (Nat.EDGE, 5060)
    bono.wait_for_targets(site_a="UP")
    return bono


def mapped_port(end):
    """The port that the world sees."""
    request = struct.pack("!HHI", 1, 0, 0x2112A442) + os.urandom(12)
    end.socket.settimeout(15)
    end.socket.sendto(request, end.edge)
    while True:
        answer, _ = end.socket.recvfrom(2000)
        if answer[4:20] == request[4:20]:
            return struct.unpack("!H", answer[26:28])[0] ^ 0x2112


class Phone:
    """Nothing but Client, made behind the NAT."""

    def __init__(self, lab, nat, bono, user):
        original, lab.client_ip = lab.client_ip, lambda: Nat.PHONE
        with nat.inside("phone"):
            self.client = Client(lab, bono, user)
        lab.client_ip = original
        self.end = self.client.end

    def registers(self, sprout):
        self.end.send(self.client.register_bytes())
        seen = sprout.accept_register(headers=[("Require", "outbound")],
                                      call_id=self.client.register_call_id)
        assert self.end.response("REGISTER", self.client.register_call_id).status == 200
        return seen


def in_dialog(method, cseq, invite, answer, way):
    """A request of the caller, along the route set that the 200 brought."""
    return build(f"{method} {uri_of(answer.get('contact'))} SIP/2.0",
                 [("Via", way.end.via()), ("Max-Forwards", 70)]
                 + [("Route", route) for route in reversed(answer.values("record-route"))]
                 + [("From", invite.get("from")), ("To", answer.get("to")),
                    ("Call-ID", invite.get("call-id")), ("CSeq", f"{cseq} {method}")])


def test_new_calls_and_old_ones_follow_the_phone(lab, nat):
    sprout = ScriptedSprout(lab, lab.ip(11))
    bono = start_bono(lab)
    phone = Phone(lab, nat, bono, "alice")
    seen = phone.registers(sprout)
    assert mapped_port(phone.end) == int(seen.values("via")[-1].split("rport=")[1].split(";")[0])
    path, contact = seen.lines("path"), uri_of(seen.get("contact"))
    way = sprout.way_to(bono.core)
    lab.add(way)

    # a call is set up
    way.send(way.request_bytes("INVITE", contact, path, [("Content-Type", "application/sdp")],
                               b"v=0\r\n"))
    invite = phone.end.request("INVITE")
    invite.reply(200, headers=[("Contact", f"<{contact}>")])
    answer = way.end.response("INVITE")
    way.send(in_dialog("ACK", 1, invite, answer, way))
    phone.end.request("ACK")

    for number in range(1, 4):
        before = mapped_port(phone.end)
        nat.forget()
        assert mapped_port(phone.end) != before, "the NAT has another mapping"
        again = phone.registers(sprout)
        assert token_of(again.values("path")[0]) != token_of(path[0])
        until(lambda: bono.metrics().sum("bono_flow_closed_total", reason="replaced") == number,
              "the old flow to hear of the new one")
        # a new request by the new Path
        way.send(way.request_bytes("MESSAGE", contact, again.lines("path"), body=b"new"))
        phone.end.request("MESSAGE").reply(200)
        assert way.end.response("MESSAGE").status == 200
        # the call goes on by the token it began with
        way.send(in_dialog("INFO", 1 + number, invite, answer, way))
        phone.end.request("INFO").reply(200)
        assert way.end.response("INFO").status == 200

    way.send(in_dialog("BYE", 9, invite, answer, way))
    phone.end.request("BYE").reply(200)
    assert way.end.response("BYE").status == 200
    assert bono.status()["registrations"] == 1


def test_baresip_sees_its_mapping_change_and_is_called_again(lab, nat):
    KamailioSprout(lab, "site-a", lab.ip(11), lab.ip(11))
    bono = start_bono(lab, outbound={"flow_timer_udp": "2s", "grace": "5m"})
    with nat.inside("phone"):
        alice = Baresip(lab, "alice", bono.access, "udp", regint=600, ip=Nat.PHONE)
        alice.wait_for_register()
    until(lambda: bono.metrics().sum("bono_stun_total", result="answered") >= 2,
          "baresip's keep-alives")
    nat.forget()
    # by STUN it learns of the other mapping within seconds; then it waits as RFC 5626 4.5 says, half a minute to one
    until(lambda: bono.metrics().sum("bono_flow_closed_total", reason="replaced") >= 1,
          "baresip to come back by its new mapping", 100)
    bob = Client(lab, bono, "bob", "tcp")
    bob.register()
    bob.end.send(bob.request_bytes("MESSAGE", "sip:alice@example.net",
                                   [("Content-Type", "text/plain")], b"hello",
                                   to="<sip:alice@example.net>"))
    assert bob.end.response("MESSAGE").status == 200
