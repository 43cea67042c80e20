"""Trunks (IBCF): calls both ways, what is screened, how dialogs find their way, and what is refused."""

import socket
import ssl

import pytest

from bono_lab import Authority, Bono, Lab, Scene, ScriptedSprout
from bono_lab.bono import configuration
from bono_lab.peer import Peer
from bono_lab.sip import Message, build, cut_message, request, unique, uri_of, uri_parameters, user_of

CORE_ONLY = [("P-Charging-Vector", "icid-value=1"), ("P-Served-User", "<sip:boss@example.net>"),
             ("P-Access-Network-Info", "IEEE-802.11"), ("P-Visited-Network-ID", "other.example")]
SCREENED = ["p-charging-vector", "p-served-user", "p-access-network-info", "p-visited-network-id"]


@pytest.fixture(scope="module", params=["tcp", "udp"])
def scene(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("trunk"))
    scene = Scene(lab, request.param, peers={"trunks": [f"{lab.ip(32)}/30"]})
    scene.trunk = Peer(lab, scene.bono, lab.ip(33))
    scene.stranger = Peer(lab, scene.bono, lab.ip(36))
    yield scene
    lab.close()


def contact(scene):
    ip, port = scene.sprout.address
    return ("Contact", f"<sip:alice@{ip}:{port};transport={scene.core}>")


def record_route(scene, message):
    """The Sprout stays in the path, as Sprouts do."""
    ip, port = scene.sprout.address
    return [("Record-Route", f"<sip:{ip}:{port};transport={scene.core};lr>")] + [
        ("Record-Route", value) for value in message.lines("record-route")]


def answer_staying(scene, message, status, headers=()):
    """200 with the Sprout's own Record-Route on top of ours."""
    whole = Message(message.raw)
    whole.reply_way = message.reply_way
    whole.headers = [(n, v) for n, v in message.headers if n != "record-route"]
    whole.headers += [(n.lower(), v) for n, v in record_route(scene, message)]
    whole.reply(status, headers=list(headers))


def assert_screened(message):
    assert not [name for name in SCREENED if message.has(name)], repr(message)


def test_call_from_a_trunk(scene, way):
    call = scene.trunk.call(way, headers=CORE_ONLY + [
        ("P-Asserted-Identity", "<sip:+15551000@other.example>")])
    invite = scene.sprout.expect("INVITE", call_id=call.call_id)
    assert_screened(invite)
    assert invite.get("p-asserted-identity") == "<sip:+15551000@other.example>"
    assert len(invite.values("route")) == 1
    assert "orig" not in uri_parameters(uri_of(invite.get("route")))
    assert not invite.has("authorization") and not invite.has("proxy-authorization")
    core, access = [uri_of(value) for value in invite.values("record-route")]
    assert uri_parameters(core)["transport"] == scene.core and ":5058" in core
    assert uri_parameters(access)["transport"] == way and ":5060" in access
    assert user_of(core) == user_of(access)
    answer_staying(scene, invite, 200, [contact(scene)] + CORE_ONLY)
    answer = call.answer()
    assert answer.status == 200
    assert_screened(answer)
    call.in_dialog("ACK")
    assert scene.sprout.expect("ACK", call_id=call.call_id).uri.startswith("sip:alice@")
    call.in_dialog("INFO", headers=CORE_ONLY)
    info = scene.sprout.expect("INFO", call_id=call.call_id)
    assert_screened(info)
    assert len(info.values("route")) == 1       # the Sprout's own; ours are off
    info.reply(200)
    assert call.answer("INFO").status == 200
    # The callee hangs up: along our entries to the trunk, wherever it calls from.
    way_back = scene.way()
    way_back.send(request("BYE", uri_of(call.sent.get("contact")), way_back.end.via(),
                          [("Route", value) for value in invite.values("record-route")] + CORE_ONLY,
                          call_id=call.call_id, sender="<sip:alice@example.net>;tag=x",
                          to=call.sent.get("from")))
    bye = scene.trunk.expect("BYE", call_id=call.call_id)
    assert bye.transport == way and not bye.has("route")
    assert_screened(bye)
    bye.reply(200)
    assert way_back.end.response("BYE", call.call_id).status == 200


def test_cancel_from_a_trunk(scene, way):
    call = scene.trunk.call(way)
    invite = scene.sprout.expect("INVITE", call_id=call.call_id)
    invite.reply(180)
    call.end.take(lambda m: m.is_response and m.status == 180, "180")
    call.cancel()
    assert call.answer("CANCEL").status == 200
    cancel = scene.sprout.expect("CANCEL", call_id=call.call_id)
    cancel.reply(200)
    invite.reply(487)
    assert call.answer("INVITE").status == 487
    call.ack_refusal()


def test_our_name_in_the_request_uri_means_home(scene, way):
    call = scene.trunk.call(way, uri=f"sip:+15550001@{scene.bono.ip}:5060;user=phone", method="MESSAGE")
    message = scene.sprout.expect("MESSAGE", call_id=call.call_id)
    assert message.uri == "sip:+15550001@example.net;user=phone"
    message.reply(200)
    assert call.answer().status == 200


@pytest.mark.parametrize("route", ["<sip:example.net;orig>", "<sip:{edge}:5060;lr;orig>",
                                   "<sip:{edge}:5060;lr>, <sip:{sprout}:5054;lr;o%72ig>"])
def test_a_trunk_is_never_served_as_a_caller(scene, way, route):
    route = route.format(edge=scene.bono.ip, sprout=scene.sprout.address[0])
    call = scene.trunk.call(way, headers=[("Route", route)])
    assert call.answer().status == 403
    call.ack_refusal()
    assert not [m for m in scene.sprout.all if m.get("call-id") == call.call_id]


def test_register_from_a_trunk_is_405_with_allow(scene, way):
    call = scene.trunk.call(way, uri="sip:example.net", method="REGISTER")
    answer = call.answer()
    assert answer.status == 405
    assert "INVITE" in answer.get("allow") and "REGISTER" not in answer.get("allow")


def test_a_made_up_dialog_from_a_trunk_is_403(scene, way):
    end = scene.trunk.way(way)
    call_id = unique("made")
    ip, port = scene.sprout.address
    end.send(request("MESSAGE", "sip:alice@example.net", end.via(),
                     [("Route", f"<sip:{ip}:{port};transport={scene.core};lr>")], user="x",
                     to="<sip:alice@example.net>;tag=madeup", call_id=call_id))
    assert end.response("MESSAGE", call_id).status == 403
    assert not [m for m in scene.sprout.all if m.get("call-id") == call_id]


def test_the_neighbour_of_the_trunks_is_no_trunk(scene, way):
    call = scene.stranger.call(way)
    assert call.answer().status == 403
    call.ack_refusal()


def test_call_to_a_trunk(scene, way):
    core = scene.way()
    call_id = unique("out")
    gateway = f"{scene.trunk.address[0]}:5060"
    core.send(core.request_bytes(
        "INVITE", "sip:+15559@other.example",
        [f"<sip:{scene.bono.ip}:5058;transport={scene.core};lr>",
         f"<sip:{gateway};transport={way};lr>"],
        CORE_ONLY + [("P-Asserted-Identity", "<sip:alice@example.net>")], call_id=call_id))
    invite = scene.trunk.expect("INVITE", call_id=call_id)
    assert invite.transport == way
    assert_screened(invite)
    assert invite.values("route") == [f"<sip:{gateway};transport={way};lr>"]
    assert invite.get("p-asserted-identity") == "<sip:alice@example.net>"
    access, inner = [uri_of(value) for value in invite.values("record-route")]
    assert uri_parameters(access)["transport"] == way and ":5060" in access
    assert uri_parameters(inner)["transport"] == scene.core and ":5058" in inner
    invite.reply(200, headers=[scene.trunk.contact(way)] + CORE_ONLY)
    answer = core.end.response("INVITE", call_id)
    assert answer.status == 200
    assert_screened(answer)
    core.send(build(f"ACK {uri_of(answer.get('contact'))} SIP/2.0",
                    [("Via", core.end.via()), ("Max-Forwards", 70)]
                    + [("Route", r) for r in reversed(answer.values("record-route"))]
                    + [("From", answer.get("from")), ("To", answer.get("to")),
                       ("Call-ID", call_id), ("CSeq", "1 ACK")]))
    ack = scene.trunk.expect("ACK", call_id=call_id)
    assert not ack.has("route")
    # The other network hangs up, along the route set it was given.
    end = scene.trunk.way(way)
    caller = uri_of(invite.get("contact"))
    end.send(build(f"BYE {caller} SIP/2.0",
                   [("Via", end.via()), ("Max-Forwards", 70)]
                   + [("Route", r) for r in invite.values("record-route")]
                   + [("From", answer.get("to")), ("To", answer.get("from")),
                      ("Call-ID", call_id), ("CSeq", "1 BYE")]))
    bye = scene.sprout.expect("BYE", call_id=call_id)
    assert bye.uri == caller
    bye.reply(200)
    assert end.response("BYE", call_id).status == 200


def test_what_a_trunk_sends_on_the_connection_we_opened_is_its_own(scene):
    """A way that the edge opened makes nobody a member of the core."""
    core = scene.way()
    call_id = unique("open")
    core.send(core.request_bytes("MESSAGE", f"sip:x@{scene.trunk.address[0]}:5060;transport=tcp", [],
                                 call_id=call_id))
    message = scene.trunk.expect("MESSAGE", call_id=call_id)
    back = unique("back")
    message.reply_way(request(
        "REGISTER", "sip:example.net", f"SIP/2.0/TCP {scene.trunk.address[0]}:5060;branch=z9hG4bK{back}",
        [], call_id=back))
    answer = scene.trunk.expect_response("REGISTER")
    assert answer.status == 405
    message.reply(200)
    assert core.end.response("MESSAGE", call_id).status == 200


def test_a_trunk_where_nobody_listens_is_503(scene):
    core = scene.way()
    call_id = unique("dead")
    core.send(core.request_bytes("MESSAGE", f"sip:x@{scene.lab.ip(34)}:5060;transport=tcp", [],
                                 call_id=call_id))
    answer = core.end.response("MESSAGE", call_id)
    assert answer.status == 503 and answer.has("retry-after")


def test_a_stranger_is_404_unless_configured(scene):
    core = scene.way()
    call_id = unique("off")
    core.send(core.request_bytes("MESSAGE", "sip:bob@elsewhere.example", [], call_id=call_id))
    assert core.end.response("MESSAGE", call_id).status == 404


def test_what_is_off_net_takes_the_trunk_that_was_named(tmp_path):
    lab = Lab(tmp_path)
    gateway = lab.ip(33)
    scene = Scene(lab, peers={"trunks": [gateway], "off_net": f"sip:{gateway}:5060;transport=tcp;lr"})
    trunk = Peer(lab, scene.bono, gateway)
    core = scene.way()
    call_id = unique("off")
    core.send(core.request_bytes("MESSAGE", "sip:bob@elsewhere.example", [], call_id=call_id))
    message = trunk.expect("MESSAGE", call_id=call_id)
    assert message.uri == "sip:bob@elsewhere.example"
    assert message.values("route") == [f"<sip:{gateway}:5060;transport=tcp;lr>"]
    message.reply(200)
    assert core.end.response("MESSAGE", call_id).status == 200
    lab.close()


def test_a_dead_sprout_loses_no_call_of_a_trunk(tmp_path):
    lab = Lab(tmp_path)
    living, dying = ScriptedSprout(lab, lab.ip(11)), ScriptedSprout(lab, lab.ip(12))
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054", f"{lab.ip(12)}:5054"]},
                peers={"trunks": [lab.ip(33)]}, health={"interval": "60s"})
    bono.wait_for_targets(site_a="UP")
    lab.things.remove(dying)
    dying.stop()            # the next probe is far: traffic must find out
    trunk = Peer(lab, bono, lab.ip(33))
    for number in range(6):
        call = trunk.call("udp", uri=f"sip:user{number}@example.net", method="MESSAGE")
        living.expect("MESSAGE", call_id=call.call_id).reply(200)
        assert call.answer().status == 200
    lab.close()


def tls_edge(lab, authority):
    """An edge that reaches its trunk over TLS by a profile."""
    ours = authority.issue("edge", names=["edge.example.net"], ips=[lab.ip(1)])
    listeners = configuration(lab, {"site-a": ["127.0.0.1:1"]})["listeners"] + [
        {"name": "access-tls", "side": "access", "transport": "tls", "bind": f"{lab.ip(1)}:5061",
         "tls": "interconnect"}]
    return Scene(lab, listeners=listeners, peers={"trunks": [lab.ip(33)], "tls": "interconnect"},
                 tls={"interconnect": {"certificate": ours.certificate, "key": ours.key,
                                       "ca": authority.ca}})


class TlsTrunk:
    """Listens on 5061, takes one connection and one message on it."""

    def __init__(self, lab, ip, certificate):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        self.listening = socket.create_server((ip, 5061))
        self.listening.settimeout(20)
        self.context, self.end = context, None
        lab.add(self)

    def expect(self):
        connection, _ = self.listening.accept()
        connection.settimeout(20)
        self.end = self.context.wrap_socket(connection, server_side=True)
        data, raw = b"", None
        while raw is None:
            more = self.end.recv(65536)
            if not more:
                raise ConnectionResetError("the edge went away")
            data += more
            raw, data = cut_message(data)
        message = Message(raw)
        message.reply_way = self.end.sendall
        return message

    def stop(self):
        self.listening.close()
        if self.end is not None:
            self.end.close()


def test_a_trunk_over_tls_shows_its_address(tmp_path):
    lab = Lab(tmp_path)
    authority = Authority(lab.path("ca"))
    scene = tls_edge(lab, authority)
    trunk = TlsTrunk(lab, lab.ip(33), authority.issue("gateway", ips=[lab.ip(33)]))
    core = scene.way()
    call_id = unique("tls")
    core.send(core.request_bytes("MESSAGE", f"sip:x@{lab.ip(33)}:5061;transport=tls", [],
                                 call_id=call_id))
    message = trunk.expect()
    assert "SIP/2.0/TLS" in message.lines("via")[0]
    assert uri_parameters(uri_of(message.values("record-route")[0]))["transport"] == "tls"
    message.reply(200)
    assert core.end.response("MESSAGE", call_id).status == 200
    lab.close()


def test_a_trunk_with_a_foreign_certificate_is_not_reached(tmp_path):
    lab = Lab(tmp_path)
    authority = Authority(lab.path("ca"))
    scene = tls_edge(lab, authority)
    trunk = TlsTrunk(lab, lab.ip(33), authority.issue("gateway", ips=[lab.ip(34)]))
    core = scene.way()
    call_id = unique("tls")
    core.send(core.request_bytes("MESSAGE", f"sip:x@{lab.ip(33)}:5061;transport=tls", [],
                                 call_id=call_id))
    with pytest.raises(OSError):
        trunk.expect()
    assert core.end.response("MESSAGE", call_id).status == 503
    lab.close()
