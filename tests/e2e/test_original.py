"""The scenarios of the unit tests that Project Clearwater's Bono had, under their names, over the wire.

Where a rule of the RFCs asks for something else than the original did, the test says so and docs/CONFORMANCE.md has
the row. Those of trunks and PBXes are in test_original_peers.py.
"""

import signal

import pytest

from bono_lab import Lab, Scene, token_of, until
from bono_lab.calls import CoreCall, answer_staying, contact_of, sprouts_entry
from bono_lab.sip import Call, parameter, unique, uri_of, uri_parameters, user_of

CDF = "cdf.example.net"
PANI = ("P-Access-Network-Info", "IEEE-802.11;i-wlan-node-id=0")
PVNI = ("P-Visited-Network-ID", '"other.net, \\"1.0\\""')
PANI_NAME, PVNI_NAME = PANI[0].lower(), PVNI[0].lower()


def original_scene(lab, core="tcp", **changes):
    changes.setdefault("charging", {"vector": True, "ccf": [CDF]})
    changes.setdefault("session_timers", {"expires": "10m"})
    return Scene(lab, core, **changes)


@pytest.fixture(scope="module", params=["tcp", "udp"])
def scene(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("original"))
    yield original_scene(lab, request.param)
    lab.close()


@pytest.fixture
def user(request):
    return "".join(letter for letter in request.node.name.lower() if letter.isalnum())[4:60]


# ---- what the original asserted of every REGISTER and of every request upstream ----

def auth_params(register):
    pairs = [item.split(None, 1)[-1].partition("=") if item.startswith("Digest") else item.partition("=")
             for item in register.values("authorization")]
    return {name.strip(): value for name, _, value in pairs}


def assert_charged(scene, message):
    ours = message.get("call-id").replace("@", "").replace('"', "")
    vector = message.lines("p-charging-vector")
    assert vector == [f'icid-value="{ours}";icid-generated-at={scene.bono.ip}'], vector
    assert message.lines("p-charging-function-addresses") == [f"ccf={CDF}"]


def assert_not_charged(message):
    assert not message.has("p-charging-vector") and not message.has("p-charging-function-addresses")


def assert_boring_route(scene, message):
    """Exactly one Route: the upstream one, for an originating request."""
    routes = message.values("route")
    assert len(routes) == 1, routes
    uri = uri_of(routes[0])
    assert uri.startswith("sip:") and f"{scene.sprout.address[0]}:{scene.sprout.address[1]}" in uri
    assert uri_parameters(uri).get("transport") == scene.core
    assert {"lr", "orig"} <= uri_parameters(uri).keys()


def register_edge(scene, client, integrity=None, headers=(), identities=None, expires=600, response=True,
                  service_route=False, answer=()):
    """REGISTER by the edge, with everything asserted that the original asserted; gives the 200."""
    client.register_call_id = client.register_call_id.partition('"')[0] + '"x"@' + client.end.address[0]
    digest = [("Authorization", f'Digest username="{client.user}@example.net", realm="example.net", '
                                'nonce="n", uri="sip:example.net", response="0123"')] if response else []
    client.end.send(client.register_bytes(digest + list(headers), expires))
    seen = scene.sprout.expect("REGISTER", call_id=client.register_call_id)
    assert_boring_route(scene, seen)
    assert len(seen.values("path")) == 1
    path = uri_of(seen.values("path")[0])
    assert f"@{scene.bono.ip}:5058" in path and user_of(path)
    parameters = uri_parameters(path)
    assert parameters.get("transport", "udp") == scene.core and "lr" in parameters
    assert ("ob" in parameters) == (len(seen.values("via")) == 2)      # the client's alone, and ours
    assert auth_params(seen).get("integrity-protected") == (f'"{integrity}"' if integrity else None)
    assert seen.lines("p-visited-network-id") == ['"example.net"']
    assert_charged(scene, seen)
    assert not seen.has("record-route")
    own = seen.get("contact")
    seen.reply(200, headers=[("Contact", f"{own};expires={expires}")]
               + [("Path", value) for value in seen.lines("path")]
               + [("P-Associated-URI", ", ".join(f"<{uri}>" for uri in identities or [client.aor])), PANI]
               + ([("Service-Route", sprouts_entry(scene).replace(";lr", ";lr;orig"))]
                  if service_route else []) + list(answer))
    final = client.end.response("REGISTER", client.register_call_id, client.cseq)
    assert final.status == 200
    assert final.values("path") == seen.values("path")
    assert_not_charged(final)
    assert not final.has(PANI_NAME) and not final.has("authorization")
    client.path = seen.values("path")
    return seen


def edge_client(scene, user, way="tcp", **more):
    client = scene.client(user, way)
    register_edge(scene, client, "ip-assoc-pending", **more)
    return client


def assert_ours_in_client_request(scene, client, message):
    """Record-Route: the trusted entry on top, then the one with the token for the client's side."""
    core, access = [uri_of(value) for value in message.values("record-route")]
    assert f"{scene.bono.ip}:5058" in core and f"{scene.bono.ip}:5060" in access
    assert user_of(access) == token_of(client.path[0])
    for uri in (core, access):
        assert "lr" in uri_parameters(uri) and "ob" not in uri_parameters(uri)
    assert uri_parameters(access)["transport"] == client.end.transport.lower()
    assert not message.has("path")


# ---- registration and flows ----

def test_edge_register_quiesced(lab):
    """TestEdgeRegisterQuiesced: a node that is stopping takes no REGISTER on a new flow.

    The original answered 305 without Contact; a stopping node here says 503 with Retry-After, which leads a client to
    another edge (RFC 3263 4.3, RFC 5626 4.5), and finishes what is under way.
    """
    scene = original_scene(lab)
    first, other = scene.client("first", "tcp"), scene.client("other", "tcp")
    first.end.send(first.register_bytes())
    under_way = scene.sprout.expect("REGISTER")
    scene.bono.child.send_signal(signal.SIGTERM)
    until(lambda: scene.bono.get("/readyz")[0] == 503, "the node to be stopping")
    answer = other.end.ask(other.register_bytes())
    assert answer.status == 503 and int(answer.get("retry-after")) > 0
    assert not [m for m in scene.sprout.all if m.get("call-id") == other.register_call_id]
    under_way.reply(200, headers=[("Contact", under_way.get("contact"))])
    assert first.end.response("REGISTER").status == 200
    assert scene.bono.wait_for_end() == 0


def test_empty_flow_no_quiesce(scene, user):
    """EmptyFlowNoQuiesce: without quiescing, a flow without dialogs is served."""
    client = edge_client(scene, user)
    register_edge(scene, client, "ip-assoc-yes", response=False)


def test_empty_flow_quiesce(lab):
    """EmptyFlowQuiesce: a flow without dialogs sends its REGISTER elsewhere; 503 for 305, as above."""
    scene = original_scene(lab)
    client = edge_client(scene, "quiesce")
    holding = scene.client("holding", "udp")        # something under way keeps the node here
    holding.end.send(holding.register_bytes())
    under_way = scene.sprout.expect("REGISTER", call_id=holding.register_call_id)
    scene.bono.child.send_signal(signal.SIGTERM)
    until(lambda: scene.bono.get("/readyz")[0] == 503, "the node to be stopping")
    answer = client.end.ask(client.register_bytes())
    assert answer.status == 503 and answer.has("retry-after")
    under_way.reply(404)
    assert holding.end.response("REGISTER").status == 404
    assert scene.bono.wait_for_end() == 0


def test_edge_register_fw_tcp(scene, user):
    """TestEdgeRegisterFWTCP."""
    call_and_cancel_twice(scene, edge_client(scene, user, "tcp"))


def test_edge_register_fw_udp(scene, user):
    """TestEdgeRegisterFWUDP."""
    call_and_cancel_twice(scene, edge_client(scene, user, "udp"))


def call_and_cancel_twice(scene, client):
    """From the core by the token, to the flow that registered."""
    for _ in range(2):
        call = CoreCall(scene, client)
        invite = client.end.request("INVITE")       # on the flow that registered
        assert not invite.has("path") and not invite.has("route")
        access, core = [uri_of(value) for value in invite.values("record-route")]
        assert user_of(access) == token_of(client.path[0])
        assert f":{client.end.edge[1]}" in access and ":5058" in core
        for uri in (access, core):
            assert "lr" in uri_parameters(uri) and "ob" not in uri_parameters(uri)
        invite.reply(180)
        call.provisional(180)
        call.cancel()
        assert call.answer("CANCEL").status == 200
        cancel = client.end.request("CANCEL")
        assert cancel.uri == invite.uri and not cancel.has("route")
        assert parameter(cancel.values("via")[0], "branch") == parameter(invite.values("via")[0], "branch")
        cancel.reply(200)
        invite.reply(487)
        assert call.answer("INVITE").status == 487
        client.end.request("ACK")


def test_edge_deregister(scene, user):
    """TestEdgeDeregister: by somebody never seen before, answered with expires=0; the edge lives."""
    client = scene.client(user, "tcp")
    register_edge(scene, client, "ip-assoc-pending", expires=0)
    assert client.ask("MESSAGE", "sip:peer@example.net").status == 403
    scene.bono.assert_serving()


def flow_tokens(token):
    """As the original broke them; here a token that does not verify is 403 (RFC 5626 5.3), and never a way."""
    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"
    return {
        "altered": token[:middle] + other + token[middle + 1:],
        "no letter of ours": token[:middle] + "%21" + token[middle + 1:],
        "short by one": token[:-1],
        "half": token[:middle],
        "long": token + "AAAA",
    }


@pytest.mark.parametrize("way", ["tcp", "udp"])
def test_edge_corrupt_token(scene, user, way):
    """TestEdgeCorruptToken.

    The original said 430 for all; RFC 5626 5.3 asks for 403 if the token was tampered with, and the S-CSCF must not
    delete a binding for it. 430 is for a flow that is gone.
    """
    client = edge_client(scene, user, way)
    path, token = client.path[0], token_of(client.path[0])
    for what, broken in flow_tokens(token).items():
        call = CoreCall(scene, client, path=[path.replace(token, broken)])
        answer = call.answer()
        assert 400 <= answer.status < 500, what
        assert answer.status == 403 or what != "altered", answer.start
        assert answer.status != 430, "the registrar would forget a client that is there"
    assert not client.end.got(lambda m: not m.is_response)
    call = CoreCall(scene, client)
    client.end.request("INVITE").reply(486)         # the valid one still works
    assert call.answer().status == 486
    client.end.request("ACK")
    if way == "tcp":
        client.end.close()
        until(lambda: client.aor not in scene.bono.get("/flows")[1], "the flow to be gone")
        answer = CoreCall(scene, client).answer()
        assert answer.status == 430 and answer.reason == "Flow Failed"


@pytest.mark.parametrize("supported", [[("Supported", "outbound, path")], [("Supported", "path")], []])
@pytest.mark.parametrize("via", ["own", "private", "name"])
def test_edge_first_hop_detection(scene, user, supported, via):
    """TestEdgeFirstHopDetection: Path is there whatever the client supports and wherever its Via says it is."""
    client = scene.client(user, "tcp")
    host = {"own": client.end.address[0], "private": "10.83.18.38:36530", "name": "phone.invalid"}[via]
    raw = client.register_bytes([("Via", f"SIP/2.0/TCP {host};rport;branch=z9hG4bK{unique('v')}")])
    lines = [line for line in raw.split(b"\r\n") if not line.startswith(b"Supported:")]
    lines[-2:-2] = [f"{name}: {value}".encode() for name, value in supported]
    client.end.send(b"\r\n".join(lines))
    seen = scene.sprout.accept_register(call_id=client.register_call_id)
    assert client.end.response("REGISTER").status == 200
    assert len(seen.values("path")) == 1 and "ob" in uri_parameters(uri_of(seen.values("path")[0]))


def test_edge_first_hop(scene, user):
    """TestEdgeFirstHop: a call to the client by its token, one of it with a parameter in From."""
    client = edge_client(scene, user)
    assert "ob" in uri_parameters(uri_of(client.path[0]))
    call = CoreCall(scene, client)
    invite = client.end.request("INVITE")
    assert token_of(invite.values("record-route")[0]) == token_of(client.path[0])
    invite.reply(486)
    call.answer()
    client.end.request("ACK")
    outgoing = Call(client, "sip:peer@example.net",
                    sender=f"<sip:{user}@example.net;user=phone>;tag={unique('f')}")
    invite = scene.sprout.expect("INVITE", call_id=outgoing.invite.get("call-id"))
    assert_boring_route(scene, invite)
    assert_ours_in_client_request(scene, client, invite)
    invite.reply(486)
    assert outgoing.answer().status == 486
    outgoing.ack()


# ---- identities ----

def invite_preferring(scene, client, preferred, expected):
    """INVITE with these preferred identities; expected: those asserted, None if it is refused."""
    call = Call(client, "sip:peer@example.net", headers=[
        ("P-Preferred-Identity", f"<{uri}>") for uri in preferred] + [("Supported", "timer")])
    if expected is None:
        assert call.answer().status == 403
        call.ack()
        return
    invite = scene.sprout.expect("INVITE", call_id=call.invite.get("call-id"))
    assert [uri_of(v) for v in invite.values("p-asserted-identity")] == expected
    assert not invite.has("p-preferred-identity")
    assert_boring_route(scene, invite)
    assert_ours_in_client_request(scene, client, invite)
    assert invite.get("session-expires") == "600"
    assert_charged(scene, invite)
    invite.reply(200, headers=[contact_of(scene)])
    assert call.answer().get("session-expires") == "600;refresher=uac"
    call.ack()
    scene.sprout.expect("ACK", call_id=call.invite.get("call-id"))


def test_preferred_asserted_identities(scene, user):
    """TestPreferredAssertedIdentities.

    The original refused an identity that is not the user's own, and two of one kind, with 403. TS 24.229 5.2.6.3 wants
    the default identity then, and RFC 5876 4.5 the first of a kind.
    """
    client = scene.client(user, "tcp")
    own = [client.aor, f"sip:+1650{user}@example.net", f"tel:+1650{len(user)}5550001", f"sip:x{user}@example.net"]
    register_edge(scene, client, "ip-assoc-pending", identities=own)
    for _ in range(2):
        invite_preferring(scene, client, [own[1]], [own[1]])
        invite_preferring(scene, client, [], [own[0]])
        invite_preferring(scene, client, [own[0], own[2]], [own[0], own[2]])
        invite_preferring(scene, client, [own[2]], [own[2]])
        invite_preferring(scene, client, ["sip:boss@example.net"], [own[0]])
        invite_preferring(scene, client, [own[1], own[3]], [own[1]])
        register_edge(scene, client, "ip-assoc-yes", identities=own)
    register_edge(scene, client, "ip-assoc-yes", identities=own, expires=0)
    invite_preferring(scene, client, [], None)


# ---- headers over a whole call ----

class MainlineOut:
    """Core to client: INVITE, 183, PRACK, 200, ACK, 200 once more, BYE; then an INVITE that gets 404."""

    def __init__(self, scene, client):
        self.scene, self.client = scene, client

    def seen(self, method):
        message = self.client.end.request(method)
        assert not message.has(PANI_NAME) and not message.has(PVNI_NAME)
        assert_not_charged(message)
        return message

    def reply(self, message, status, **more):
        message.reply(status, headers=[PANI, PVNI, ("Contact", self.client.end.contact(self.client.user)),
                                       *more.get("headers", ())], tag="callee")

    def heard(self, call, message):
        """PVNI of a client is never let in (RFC 7315 5.4); its access network is (4.4)."""
        assert message.get(PANI_NAME) == PANI[1] and not message.has(PVNI_NAME)
        return message

    def run(self):
        call = CoreCall(self.scene, self.client, [PANI, PVNI])
        invite = self.seen("INVITE")
        assert "user=phone" not in invite.uri
        self.reply(invite, 183, headers=[("Require", "100rel"), ("RSeq", 1)])
        call.final = self.heard(call, call.provisional(183))
        call.in_dialog("PRACK", [("RAck", "1 1 INVITE"), PANI, PVNI])
        self.reply(self.seen("PRACK"), 200)
        self.heard(call, call.answer("PRACK"))
        self.reply(invite, 200)
        self.heard(call, call.answer())
        call.in_dialog("ACK", [PANI, PVNI])
        self.seen("ACK")
        self.reply(invite, 200)                     # it comes again, over the same transaction (RFC 6026)
        self.heard(call, call.answer())
        call.in_dialog("ACK", [PANI, PVNI])
        self.seen("ACK")
        call.in_dialog("BYE", [PANI, PVNI])
        self.reply(self.seen("BYE"), 200)
        self.heard(call, call.answer("BYE"))
        refused = CoreCall(self.scene, self.client, [PANI, PVNI])
        self.reply(self.seen("INVITE"), 404)
        self.heard(refused, refused.answer())
        self.seen("ACK")                            # our own
        assert not [m for m in call.way.end.all if m.is_response and m.status == 100]


class MainlineIn:
    """Client to core, the same."""

    def __init__(self, scene, client, headers=()):
        self.scene, self.client, self.more = scene, client, list(headers)

    def seen(self, method, call_id):
        message = self.scene.sprout.expect(method, call_id=call_id)
        assert message.get(PANI_NAME) == PANI[1] and not message.has(PVNI_NAME)
        return message

    def reply(self, message, status, headers=()):
        answer_staying(self.scene, message, status, [contact_of(self.scene), PANI, PVNI, *headers])

    @staticmethod
    def heard(message):
        assert not message.has(PANI_NAME) and not message.has(PVNI_NAME)
        assert_not_charged(message)
        return message

    def run(self, via=None):
        call = Call(self.client, "sip:peer@example.net", headers=[PANI, PVNI, *self.more], via=via)
        call_id = call.invite.get("call-id")
        invite = self.seen("INVITE", call_id)
        assert_boring_route(self.scene, invite)
        assert_ours_in_client_request(self.scene, self.client, invite)
        self.reply(invite, 183, [("Require", "100rel"), ("RSeq", 1)])
        call.final = self.heard(self.client.end.provisional(183))
        self.client.end.send(call.in_dialog_bytes("PRACK", [("RAck", "1 1 INVITE"), PANI, PVNI]))
        self.seen("PRACK", call_id).reply(200, headers=[PANI, PVNI])
        self.heard(self.client.end.response("PRACK", call_id))
        for _ in range(2):
            self.reply(invite, 200)
            self.heard(call.answer())
            self.client.end.send(call.in_dialog_bytes("ACK", [PANI, PVNI]))
            self.seen("ACK", call_id)
        self.client.end.send(call.in_dialog_bytes("BYE", [PANI, PVNI]))
        self.seen("BYE", call_id).reply(200, headers=[PANI, PVNI])
        self.heard(self.client.end.response("BYE", call_id))
        refused = Call(self.client, "sip:nobody@example.net", headers=[PANI, PVNI, *self.more])
        self.reply(self.seen("INVITE", refused.invite.get("call-id")), 404)
        assert self.heard(refused.answer()).status == 404
        refused.ack()
        self.scene.sprout.expect("ACK", call_id=refused.invite.get("call-id"))  # our own; the client's ends here


@pytest.mark.parametrize("way", ["tcp", "udp"])
def test_mainline_headers_bono_first_out(scene, user, way):
    """TestMainlineHeadersBonoFirstOut.

    The original let the stateless 200 lose them, and let a client name the visited network; P-Visited-Network-ID is
    ours alone (RFC 7315 4.3).
    """
    MainlineOut(scene, edge_client(scene, user, way)).run()


@pytest.mark.parametrize("way", ["tcp", "udp"])
def test_mainline_headers_bono_first_in(scene, user, way):
    """TestMainlineHeadersBonoFirstIn; P-Visited-Network-ID as above."""
    MainlineIn(scene, edge_client(scene, user, way)).run()


def test_mainline_headers_bono_proxy_out(scene, user):
    """TestMainlineHeadersBonoProxyOut: the client behind another proxy."""
    client = scene.client(user, "tcp")
    far = f"SIP/2.0/TCP 10.114.61.213:5061;branch=z9hG4bK{unique('far')}"
    register_edge(scene, client, "ip-assoc-pending", headers=[("Via", f"{client.end.via()}, {far}")])
    assert "ob" not in uri_parameters(uri_of(client.path[0]))
    MainlineOut(scene, client).run()


def test_mainline_headers_bono_proxy_in(scene, user):
    """TestMainlineHeadersBonoProxyIn: the same, the other way."""
    client = scene.client(user, "tcp")
    far = f"SIP/2.0/TCP 10.114.61.213:5061;branch=z9hG4bK{unique('far')}"
    register_edge(scene, client, "ip-assoc-pending", headers=[("Via", f"{client.end.via()}, {far}")])
    MainlineIn(scene, client).run(via=f"{client.end.via()}, SIP/2.0/TCP 10.114.61.213;branch=z9hG4bK"
                                      f"{unique('far')}")


# ---- routes ----

def test_loopback_req_uri(scene, user):
    """TestLoopbackReqUri: an ACK whose Request-URI is a loopback address, through us and through another edge.

    Our own two entries go, those of the other edge stay. The original dialled that edge because the Route said so; here
    a Sprout gets what names nobody in our view, and only along the route set that we gave (24.229 5.2.6.3).
    """
    client = edge_client(scene, user)
    call = Call(client, "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE", call_id=call.invite.get("call-id"))
    other = ["<sip:tokenoftheother@127.0.0.9:5060;transport=tcp;lr>", "<sip:127.0.0.9:5058;transport=tcp;lr>"]
    answer_staying(scene, invite, 200, [("Contact", "<sip:peer@127.0.0.1:5061;transport=tcp>")], other)
    assert call.answer().status == 200
    call.ack()
    ack = scene.sprout.expect("ACK", call_id=call.invite.get("call-id"))
    assert ack.uri == "sip:peer@127.0.0.1:5061;transport=tcp"
    assert ack.values("route") == list(reversed(other))


def test_always_route_upstream(scene, user):
    """TestAlwaysRouteUpstream."""
    message_goes_upstream(scene, edge_client(scene, user), "sip:peer@elsewhere.example")


def test_always_route_upstream_tel(scene, user):
    """TestAlwaysRouteUpstreamTel."""
    message_goes_upstream(scene, edge_client(scene, user), "tel:+16505551234")


def message_goes_upstream(scene, client, uri):
    client.end.send(client.request_bytes("MESSAGE", uri, body=b"hello"))
    message = scene.sprout.expect("MESSAGE")
    assert message.uri == uri
    assert_boring_route(scene, message)
    message.reply(200)
    assert client.end.response("MESSAGE").status == 200


def test_mainline_bono_route_in(scene, user):
    """TestMainlineBonoRouteIn: the client's own preloaded Route is replaced."""
    client = edge_client(scene, user)
    MainlineIn(scene, client, [("Route", "<sip:upstreamnode;lr;orig>")]).run()


def test_pcscf_orig(scene, user):
    """TestPcscfOrig: on the trusted side `orig` is honoured: what is for home goes to a Sprout with it."""
    way = scene.way()
    way.send(way.request_bytes("MESSAGE", f"sip:{user}@example.net", ["<sip:example.net;lr;orig>"]))
    message = scene.sprout.expect("MESSAGE")
    assert_boring_route(scene, message)
    message.reply(200)
    assert way.end.response("MESSAGE").status == 200


# ---- emergency, session timers ----

def register_sos(client):
    ip, port = client.end.address
    raw = client.register_bytes(outbound=False)
    return raw.replace(f"@{ip}:{port}".encode(), f"@{ip}:{port};sos".encode(), 1)


def test_bono_emergency_reject_register(scene, user):
    """TestBonoEmergencyRejectRegister; with Retry-After."""
    client = scene.client(user, "udp")
    client.end.send(register_sos(client))
    answer = client.end.response("REGISTER")
    assert answer.status == 503 and answer.has("retry-after")
    assert not [m for m in scene.sprout.all if m.get("call-id") == client.register_call_id]


def test_bono_emergency_accept_register(lab):
    """TestBonoEmergencyAcceptRegister."""
    scene = original_scene(lab, emergency={"register": "allow"})
    client = scene.client("sosyes", "udp")
    client.end.send(register_sos(client))
    seen = scene.sprout.accept_register(call_id=client.register_call_id)
    assert ";sos" in seen.get("contact") and len(seen.values("path")) == 1
    assert client.end.response("REGISTER").status == 200


def test_session_expires(scene, user):
    """TestSessionExpires: the caller supports timers, the callee says nothing of them."""
    client = edge_client(scene, user)
    call = Call(client, "sip:peer@example.net", headers=[("Supported", "timer")])
    invite = scene.sprout.expect("INVITE", call_id=call.invite.get("call-id"))
    assert invite.get("session-expires") == "600"
    invite.reply(200, headers=[contact_of(scene)])
    answer = call.answer()
    assert answer.get("session-expires") == "600;refresher=uac" and "timer" in answer.values("require")
    call.ack()
    scene.sprout.expect("ACK", call_id=call.invite.get("call-id"))
