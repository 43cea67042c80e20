"""INVITE and what belongs to it: 100, CANCEL, ACK, late and repeated 2xx."""

import pytest

from bono_lab import Lab, Scene, TcpClient, UdpClient
from bono_lab.sip import Call, build, options_to, parameter, request, unique


@pytest.fixture(scope="module", params=["tcp", "udp"])
def scene(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("wire"))
    yield Scene(lab, request.param)
    lab.close()


@pytest.fixture(params=["udp", "tcp", "ws"])
def way(request):
    return request.param


def contact(scene):
    ip, port = scene.sprout.address
    return [("Contact", f"<sip:peer@{ip}:{port};transport={scene.core}>")]


def test_we_say_100_when_the_core_is_slow(scene, user, way):
    call = Call(scene.registered(user, way), "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE")
    trying = call.client.end.provisional(100)       # the Sprout has said nothing yet
    assert trying.to_tag() is None
    invite.reply(486)
    assert call.answer().status == 486
    call.ack()


def test_the_cores_100_is_not_passed_on(scene, user, way):
    call = Call(scene.registered(user, way), "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE")
    invite.reply(100, "Core Is Trying")
    invite.reply(180, headers=contact(scene))
    call.ringing()
    invite.reply(486)
    assert call.answer().status == 486
    call.ack()
    assert not call.client.end.got(lambda m: "Core Is Trying" in m.start)


def test_call_with_ack_and_bye_through_the_record_route(scene, user, way):
    call = Call(scene.registered(user, way), "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE")
    invite.reply(180, headers=contact(scene))
    call.ringing()
    invite.reply(200, headers=contact(scene), body=b"v=0\r\n")
    assert call.answer().status == 200
    call.ack()
    ack = scene.sprout.expect("ACK", call_id=invite.get("call-id"))
    assert parameter(ack.values("via")[0], "branch") != parameter(invite.values("via")[0], "branch")
    call.client.end.send(call.in_dialog_bytes("BYE"))
    scene.sprout.expect("BYE").reply(200)
    assert call.client.end.response("BYE").status == 200


def test_bye_from_the_core_reaches_the_caller(scene, user, way):
    call = Call(scene.registered(user, way), "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE")
    invite.reply(200, headers=contact(scene), body=b"v=0\r\n")
    final = call.answer()
    call.ack()
    scene.sprout.expect("ACK", call_id=invite.get("call-id"))
    core = scene.way()
    core.send(build(f"BYE {invite.get('contact').strip('<>')} SIP/2.0",
                    [("Via", core.end.via()), ("Max-Forwards", 70)]
                    + [("Route", r) for r in invite.values("record-route")]
                    + [("From", final.get("to")), ("To", final.get("from")),
                       ("Call-ID", final.get("call-id")), ("CSeq", "1 BYE")]))
    call.client.end.request("BYE").reply(200)
    assert core.end.response("BYE").status == 200


def test_every_2xx_is_forwarded(scene, user, way):
    """RFC 3261 16.7 step 5 and RFC 6026: a second fork's 2xx, and a repeated one."""
    call = Call(scene.registered(user, way), "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE")
    invite.reply(200, headers=contact(scene), tag="fork-one")
    assert call.answer().to_tag() == "fork-one"
    invite.reply(200, headers=contact(scene), tag="fork-two")
    assert call.answer().to_tag() == "fork-two"
    invite.reply(200, headers=contact(scene), tag="fork-one")
    assert call.answer().to_tag() == "fork-one"


def test_failure_after_2xx_is_not_forwarded(scene, user, way):
    call = Call(scene.registered(user, way), "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE")
    invite.reply(200, headers=contact(scene), tag="winner")
    assert call.answer().status == 200
    invite.reply(486, tag="loser")
    invite.reply(200, headers=contact(scene), tag="last")
    assert call.answer().to_tag() == "last"
    assert not call.client.end.got(lambda m: m.is_response and m.status == 486)


@pytest.mark.parametrize("sender", [None, '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=anon'])
def test_cancel_goes_on_with_its_reason(scene, user, way, sender):
    call = Call(scene.registered(user, way), "sip:peer@example.net", sender=sender)
    invite = scene.sprout.expect("INVITE")
    invite.reply(180, headers=contact(scene))
    call.ringing()
    reason = 'SIP;cause=200;text="Call completed elsewhere"'
    call.client.end.send(call.cancel_bytes([("Reason", reason)]))
    assert call.client.end.response("CANCEL").status == 200
    cancel = scene.sprout.expect("CANCEL", call_id=invite.get("call-id"))
    assert cancel.get("reason") == reason
    assert not cancel.has("record-route")
    assert cancel.uri == invite.uri
    assert parameter(cancel.values("via")[0], "branch") == \
        parameter(invite.values("via")[0], "branch")
    cancel.reply(200)
    invite.reply(487)
    assert call.answer().status == 487
    call.ack()
    ack = scene.sprout.expect("ACK", call_id=invite.get("call-id"))
    assert parameter(ack.values("via")[0], "branch") == parameter(invite.values("via")[0], "branch")


def test_cancel_waits_for_a_provisional(scene, user, way):
    """RFC 3261 9.1: no CANCEL before the next hop has said something."""
    call = Call(scene.registered(user, way), "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE")
    call.client.end.send(call.cancel_bytes())
    assert call.client.end.response("CANCEL").status == 200
    assert not [m for m in scene.sprout.all
                if not m.is_response and m.method == "CANCEL"
                and m.get("call-id") == invite.get("call-id")]
    invite.reply(180, headers=contact(scene))
    cancel = scene.sprout.expect("CANCEL", call_id=invite.get("call-id"))
    cancel.reply(200)
    invite.reply(487)
    assert call.answer().status == 487
    call.ack()


def test_cancel_of_nothing_is_481(scene, user, way):
    client = scene.registered(user, way)
    assert client.ask("CANCEL", "sip:peer@example.net").status == 481


def test_cancel_from_the_core_reaches_the_callee(scene, user, way):
    client = scene.registered(user, way)
    core = scene.way()
    raw = core.request_bytes("INVITE", f"sip:{user}@10.0.0.1", client.path)
    core.send(raw)
    invite = client.end.request("INVITE")
    invite.reply(180)
    core.end.provisional(180)
    lines = raw.decode().split("\r\n")
    keep = [line for line in lines if line.split(":")[0] in
            ("Via", "Max-Forwards", "From", "To", "Call-ID", "Route")]
    core.send("\r\n".join([lines[0].replace("INVITE", "CANCEL", 1)] + keep
                          + ["CSeq: 1 CANCEL", "Content-Length: 0", "", ""]).encode())
    assert core.end.response("CANCEL").status == 200
    cancel = client.end.request("CANCEL")
    cancel.reply(200)
    invite.reply(487)
    assert core.end.response("INVITE").status == 487


@pytest.mark.parametrize("transport", [UdpClient, TcpClient])
@pytest.mark.parametrize("fault", ["stranger", "no hops left", "bad scheme", "bad extension"])
def test_ack_is_never_answered(scene, transport, fault):
    client = transport(scene.lab.client_ip(), scene.bono.access)
    uri = "nobody:knows" if fault == "bad scheme" else "sip:peer@example.net"
    extra = [("Proxy-Require", "tachyons")] if fault == "bad extension" else []
    client.send(request("ACK", uri, client.via(), extra, call_id=unique("ack"),
                        max_forwards=0 if fault == "no hops left" else 70))
    # What follows on the same way is answered: had the ACK been, its answer would be here.
    assert client.ask(options_to(client, scene.bono.access)).status == 200
    assert not client.got(lambda m: m.is_response and m.method == "ACK")
    client.close()


def test_invite_retransmission_gets_the_last_provisional(scene, user):
    call = Call(scene.registered(user, "udp"), "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE")
    invite.reply(180, headers=contact(scene))
    call.ringing()
    call.client.end.send(call.invite.raw)
    call.ringing()
    invite.reply(486)
    assert call.answer().status == 486
    call.ack()
    same = [m for m in scene.sprout.all if not m.is_response and m.method == "INVITE"
            and m.get("call-id") == invite.get("call-id")]
    assert len({parameter(m.values("via")[0], "branch") for m in same}) == 1


def test_failure_to_invite_is_repeated_until_ack(scene, user):
    """Timer G of RFC 3261 17.2.1, UDP only."""
    call = Call(scene.registered(user, "udp"), "sip:peer@example.net")
    scene.sprout.expect("INVITE").reply(486)
    assert call.answer().status == 486
    assert call.answer().status == 486      # we did not ACK: here it is again
    call.ack()
    client = call.client.end
    assert client.ask(options_to(client, scene.bono.access)).status == 200
