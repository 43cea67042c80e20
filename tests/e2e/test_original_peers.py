"""As test_original.py: the scenarios with a PBX, and those of the IBCF."""

import pytest

from bono_lab import Lab, Scene
from bono_lab.calls import answer_staying, contact_of, sprouts_entry
from bono_lab.peer import Peer
from bono_lab.sip import request, unique, uri_of, uri_parameters

PANI = ("P-Access-Network-Info", "IEEE-802.11;i-wlan-node-id=0")
PVNI = ("P-Visited-Network-ID", '"other.net"')
STRIPPED = ["p-access-network-info", "p-visited-network-id", "authorization", "proxy-authorization"]
CHARGING = ["p-charging-vector", "p-charging-function-addresses"]


@pytest.fixture(scope="module", params=["tcp", "udp"])
def scene(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("peers"))
    scene = Scene(lab, request.param, charging={"vector": True, "ccf": ["cdf.example.net"]},
                  peers={"trunks": [lab.ip(33), lab.ip(35)], "pbxes": [lab.ip(41)],
                         "pbx_service_route": f"sip:{lab.ip(11)}:5054;transport={request.param};lr;orig"})
    scene.first, scene.second = Peer(lab, scene.bono, lab.ip(33)), Peer(lab, scene.bono, lab.ip(35))
    scene.pbx, scene.stranger = Peer(lab, scene.bono, lab.ip(41)), Peer(lab, scene.bono, lab.ip(36))
    yield scene
    lab.close()


def assert_clean(message, *names):
    assert not [name for name in [*STRIPPED, *names] if message.has(name)], repr(message)


def test_accept_invite(scene):
    """AcceptInvite, of the PBX."""
    call = scene.pbx.call("udp", uri="sip:bob@example.net")
    invite = scene.sprout.expect("INVITE", call_id=call.call_id)
    assert invite.values("route") == [sprouts_entry(scene).replace(";lr", ";lr;orig")]
    assert len(invite.lines("proxy-authorization")) == 1
    assert 'response=""' in invite.get("proxy-authorization")
    invite.reply(200, headers=[contact_of(scene)])
    assert call.answer().status == 200
    call.in_dialog("ACK")
    scene.sprout.expect("ACK", call_id=call.call_id)


def test_mainline_headers_ibcf_trusted_in(scene):
    """TestMainlineHeadersIbcfTrustedIn: a whole call from a trunk."""
    call = scene.first.call("tcp", headers=[PANI, PVNI])
    invite = scene.sprout.expect("INVITE", call_id=call.call_id)
    assert_clean(invite)
    assert len(invite.values("route")) == 1 and "orig" not in uri_parameters(uri_of(invite.get("route")))
    answer_staying(scene, invite, 183, [contact_of(scene), PANI, PVNI, ("Require", "100rel"), ("RSeq", 1)])
    call.final = call.end.provisional(183)
    assert_clean(call.final, *CHARGING)
    call.in_dialog("PRACK", [("RAck", "1 1 INVITE"), PANI, PVNI])
    prack = scene.sprout.expect("PRACK", call_id=call.call_id)
    assert_clean(prack)
    prack.reply(200, headers=[PANI, PVNI])
    assert_clean(call.end.response("PRACK", call.call_id), *CHARGING)
    for _ in range(2):
        answer_staying(scene, invite, 200, [contact_of(scene), PANI, PVNI])
        assert_clean(call.answer("INVITE"), *CHARGING)
        call.in_dialog("ACK", [PANI, PVNI])
        assert_clean(scene.sprout.expect("ACK", call_id=call.call_id))
    call.in_dialog("BYE", [PANI, PVNI])
    bye = scene.sprout.expect("BYE", call_id=call.call_id)
    assert_clean(bye)
    bye.reply(200, headers=[PANI, PVNI])
    assert_clean(call.answer("BYE"), *CHARGING)


def test_mainline_headers_ibcf_trusted_out(scene):
    """TestMainlineHeadersIbcfTrustedOut: a whole call to a trunk."""
    core, call_id = scene.way(), unique("out")
    ip, port = scene.first.address
    routes = [f"<sip:{scene.bono.ip}:5058;transport={scene.core};lr>", f"<sip:{ip}:{port};transport=tcp;lr>"]
    core.send(core.request_bytes("INVITE", "sip:+15559@other.example", routes, [PANI, PVNI], call_id=call_id))
    invite = scene.first.expect("INVITE", call_id=call_id)
    assert_clean(invite, *CHARGING)
    for again in range(2):
        invite.reply(200, headers=[scene.first.contact("tcp"), PANI, PVNI])
        answer = core.end.response("INVITE", call_id)
        assert answer.status == 200
        assert_clean(answer)
        for method in (("ACK",), ("ACK", "INFO"))[again]:
            core.send(request(method, uri_of(answer.get("contact")), core.end.via(),
                              [("Route", r) for r in reversed(answer.values("record-route"))] + [PANI, PVNI],
                              call_id=call_id, sender=answer.get("from"), to=answer.get("to"),
                              cseq=1 if method == "ACK" else 2))
            seen = scene.first.expect(method, call_id=call_id)
            assert_clean(seen, *CHARGING)
    seen.reply(200, headers=[PANI, PVNI])
    assert_clean(core.end.response("INFO", call_id))


def accepted(scene, trunk):
    call = trunk.call("tcp")
    invite = scene.sprout.expect("INVITE", call_id=call.call_id)
    assert not invite.has("authorization") and not invite.has("proxy-authorization")
    invite.reply(200, headers=[contact_of(scene)])
    assert call.answer().status == 200
    call.in_dialog("ACK")
    scene.sprout.expect("ACK", call_id=call.call_id)


def test_ibcf_trusted1(scene):
    """TestIbcfTrusted1."""
    accepted(scene, scene.first)


def test_ibcf_trusted2(scene):
    """TestIbcfTrusted2."""
    accepted(scene, scene.second)


def refused(scene, call):
    assert call.answer().status == 403
    call.ack_refusal()
    assert not [m for m in scene.sprout.all if m.get("call-id") == call.call_id]


def test_ibcf_orig(scene):
    """TestIbcfOrig."""
    refused(scene, scene.first.call("tcp", headers=[("Route", "<sip:example.net;orig>")]))


def test_ibcf_untrusted(scene):
    """TestIbcfUntrusted."""
    refused(scene, scene.stranger.call("tcp"))
