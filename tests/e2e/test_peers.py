"""PBXes that do not register, and emergency: who is served without a registration, and how."""

import pytest

from bono_lab import Lab, Scene
from bono_lab.peer import Peer
from bono_lab.sip import Call, TcpClient, request, unique, uri_of, uri_parameters

WHERE = ["udp", "tcp"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("pbx"))
    scene = Scene(lab, peers={
        "pbxes": [lab.ip(41)],
        "pbx_service_route": f"sip:pbx@{lab.ip(11)}:5054;transport=tcp;lr;orig"})
    scene.pbx = Peer(lab, scene.bono, lab.ip(41))
    yield scene
    lab.close()


def contact(scene):
    ip, port = scene.sprout.address
    return ("Contact", f"<sip:bob@{ip}:{port};transport=tcp>")


@pytest.mark.parametrize("way", WHERE)
def test_a_pbx_calls_without_registering(scene, way):
    call = scene.pbx.call(way, uri="sip:bob@example.net",
                          headers=[("P-Served-User", "<sip:boss@example.net>")])
    invite = scene.sprout.expect("INVITE", call_id=call.call_id)
    assert invite.values("route") == [
        f"<sip:pbx@{scene.sprout.address[0]}:5054;transport=tcp;lr;orig>"]
    assert invite.lines("proxy-authorization") == ['Digest nonce="", response=""']
    assert not invite.has("p-served-user")
    access = uri_of(invite.values("record-route")[1])
    assert uri_parameters(access)["transport"] == way
    invite.reply(200, headers=[contact(scene)])
    assert call.answer().status == 200
    call.in_dialog("ACK")
    assert scene.sprout.expect("ACK", call_id=call.call_id)
    call.in_dialog("BYE")
    bye = scene.sprout.expect("BYE", call_id=call.call_id)
    assert not bye.has("proxy-authorization")
    bye.reply(200)
    assert call.answer("BYE").status == 200


@pytest.mark.parametrize("way", WHERE)
def test_a_challenged_pbx_answers_the_sprout(scene, way):
    call = scene.pbx.call(way, uri="sip:bob@example.net")
    invite = scene.sprout.expect("INVITE", call_id=call.call_id)
    invite.reply(407, headers=[("Proxy-Authenticate", 'Digest realm="r", nonce="n1"')])
    assert call.answer().status == 407
    call.ack_refusal()
    again = scene.pbx.call(way, uri="sip:bob@example.net", headers=[
        ("Proxy-Authorization", 'Digest username="ext", realm="r", nonce="n1", '
                                'uri="sip:bob@example.net", response="0123"')])
    invite = scene.sprout.expect("INVITE", call_id=again.call_id)
    assert 'username="ext"' in invite.get("proxy-authorization")
    assert len(invite.lines("proxy-authorization")) == 1
    invite.reply(486)
    assert again.answer().status == 486
    again.ack_refusal()


@pytest.mark.parametrize("way", WHERE)
def test_a_pbx_cancels(scene, way):
    call = scene.pbx.call(way, uri="sip:bob@example.net")
    invite = scene.sprout.expect("INVITE", call_id=call.call_id)
    invite.reply(180)
    call.end.take(lambda m: m.is_response and m.status == 180, "180")
    call.cancel()
    assert call.answer("CANCEL").status == 200
    scene.sprout.expect("CANCEL", call_id=call.call_id).reply(200)
    invite.reply(487)
    assert call.answer("INVITE").status == 487
    call.ack_refusal()


@pytest.mark.parametrize("way", WHERE)
def test_the_core_calls_a_pbx(scene, way):
    core = scene.way()
    call_id = unique("topbx")
    core.send(core.request_bytes("INVITE", f"sip:ext@{scene.pbx.address[0]}:5060;transport={way}", [],
                                 [("P-Charging-Vector", "icid-value=1")], call_id=call_id))
    invite = scene.pbx.expect("INVITE", call_id=call_id)
    assert invite.transport == way and not invite.has("p-charging-vector")
    invite.reply(486)
    assert core.end.response("INVITE", call_id).status == 486
    assert scene.pbx.expect("ACK", call_id=call_id)


def test_anybody_else_must_register(scene):
    client = scene.client("mallory")
    assert client.ask("MESSAGE", "sip:bob@example.net").status == 403


# ---- emergency ----

@pytest.fixture(scope="module")
def rescue(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("sos"))
    scene = Scene(lab, emergency={"register": "allow",
                                  "route": f"sip:{lab.ip(51)}:5060;transport=tcp;lr"})
    scene.ecscf = Peer(lab, scene.bono, lab.ip(51))
    yield scene
    lab.close()


def register_sos(scene, client, parameter):
    ip, port = client.end.address
    call_id = unique("sos")
    client.end.send(request("REGISTER", "sip:example.net", client.end.via(),
                            [("Contact", f"<sip:{client.user}@{ip}:{port};{parameter}>"),
                             ("Expires", 60)], user=client.user, call_id=call_id))
    return call_id


def test_an_emergency_registration_is_503_unless_allowed(scene):
    client = scene.client("sosno")
    call_id = register_sos(scene, client, "sos")
    answer = client.end.response("REGISTER", call_id)
    assert answer.status == 503 and answer.has("retry-after")
    scene.sprout.nothing_but("INVITE", "ACK", "BYE", "CANCEL", "MESSAGE")


def test_an_emergency_registration_is_taken_where_allowed(rescue):
    client = rescue.client("sosyes")
    call_id = register_sos(rescue, client, "sos")
    rescue.sprout.accept_register(call_id=call_id)
    assert client.end.response("REGISTER", call_id).status == 200


@pytest.mark.parametrize("way", WHERE)
def test_a_stranger_in_need_reaches_the_e_cscf(rescue, way):
    client = rescue.client("stranger", way)
    call = Call(client, "urn:service:sos.fire",
                headers=[("P-Asserted-Identity", "<sip:boss@example.net>")])
    invite = rescue.ecscf.expect("INVITE", call_id=call.invite.get("call-id"))
    assert invite.uri == "urn:service:sos.fire"
    assert not invite.has("p-asserted-identity")
    ip, port = rescue.ecscf.address
    invite.reply(200, headers=[("Contact", f"<sip:psap@{ip}:{port};transport=tcp>")])
    assert call.answer().status == 200
    call.ack()
    rescue.ecscf.expect("ACK", call_id=call.invite.get("call-id"))
    # The centre calls back within the dialog: to where the caller is, over its own connection.
    end = TcpClient(ip, rescue.bono.core)
    end.send(request("INFO", uri_of(invite.get("contact")), end.via(),
                     [("Route", value) for value in invite.values("record-route")],
                     call_id=call.invite.get("call-id"), sender=call.final.get("to"),
                     to=call.invite.get("from")))
    info = client.end.request("INFO")
    info.reply(200)
    assert end.response("INFO", call.invite.get("call-id")).status == 200
    end.close()
    client.end.send(call.in_dialog_bytes("BYE"))
    bye = rescue.ecscf.expect("BYE", call_id=call.invite.get("call-id"))
    bye.reply(200)
    assert client.end.response("BYE", call.invite.get("call-id")).status == 200


def test_a_stranger_may_call_nobody_else(rescue):
    client = rescue.client("prankster")
    assert client.ask("MESSAGE", "sip:bob@example.net").status == 403
    assert client.ask("MESSAGE", "urn:service:sossy").status == 403
