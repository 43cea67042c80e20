"""Requests other than REGISTER, both ways: validation, identity, routes, tokens, bodies."""

import pytest

from bono_lab import Lab, Scene, TcpClient, UdpClient, token_of, until
from bono_lab.sip import Message, build, options_to, parameter, request, unique, uri_of


@pytest.fixture(scope="module", params=["tcp", "udp"])
def scene(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("wire"))
    yield Scene(lab, request.param)
    lab.close()


@pytest.fixture(params=["udp", "tcp", "ws"])
def way(request):
    return request.param


# ---- who may speak, and as whom ----

@pytest.mark.parametrize("method", ["MESSAGE", "INVITE", "SUBSCRIBE", "BYE"])
def test_unregistered_client_gets_403(scene, user, way, method):
    client = scene.client(user, way)
    answer = client.ask(method, "sip:peer@example.net")
    assert answer.status == 403
    assert answer.get("to") and answer.to_tag()


def test_registered_client_is_asserted(scene, user, way):
    client = scene.registered(user, way)
    seen = scene.through(client, "MESSAGE", body=b"hello")
    seen.reply(200)
    assert [uri_of(v) for v in seen.values("p-asserted-identity")] == [client.aor]
    assert client.end.response("MESSAGE").status == 200


def test_clients_own_assertion_is_taken_away(scene, user, way):
    client = scene.registered(user, way)
    seen = scene.through(client, "MESSAGE", [("P-Asserted-Identity", "<sip:president@example.net>"),
                                             ("Path", "<sip:10.9.9.9;lr>")], b"hello")
    seen.reply(200)
    assert [uri_of(v) for v in seen.values("p-asserted-identity")] == [client.aor]
    assert not seen.has("path")


def test_request_follows_the_service_route(scene, user, way):
    client = scene.registered(user, way)
    seen = scene.through(client, "MESSAGE", body=b"hello")
    seen.reply(200)
    assert [uri_of(r) for r in seen.values("route")] == [uri_of(r) for r in client.service_route]


@pytest.mark.parametrize("transport", [UdpClient, TcpClient])
def test_options_to_ourselves_is_answered_to_anyone(scene, transport):
    client = transport(scene.lab.client_ip(), scene.bono.access)
    answer = client.ask(options_to(client, scene.bono.access))
    client.close()
    assert answer.status == 200


# ---- RFC 3261 16.3 ----

def test_zero_max_forwards_is_483(scene, user, way):
    client = scene.registered(user, way)
    assert client.ask("MESSAGE", "sip:peer@example.net", max_forwards=0).status == 483


def test_unknown_scheme_is_416(scene, user, way):
    client = scene.registered(user, way)
    assert client.ask("MESSAGE", "nobodyknows:peer").status == 416


def test_unknown_proxy_require_is_420_and_named(scene, user, way):
    client = scene.registered(user, way)
    answer = client.ask("MESSAGE", "sip:peer@example.net", [("Proxy-Require", "tachyons, path")])
    assert answer.status == 420
    assert "tachyons" in answer.values("unsupported")


def test_loop_is_482(scene, user, way):
    """The Sprout sends back what it got, Route taken off: the same request passes us once more."""
    client = scene.registered(user, way)
    seen = scene.through(client, "MESSAGE", body=b"round")
    core = scene.way()
    headers = [(n.title(), v) for n, v in seen.headers if n not in ("route", "content-length")]
    core.send(build(seen.start, [("Via", core.end.via())] + headers, seen.body))
    assert core.end.response("MESSAGE").status == 482
    seen.reply(482, "Loop Detected")
    assert client.end.response("MESSAGE").status == 482


def test_missing_call_id_is_400(scene, user, way):
    client = scene.registered(user, way)
    raw = request("MESSAGE", "sip:peer@example.net", client.end.via(), [("Call-ID", None)])
    client.end.send(raw)
    assert client.end.response().status == 400


def test_max_forwards_is_decremented(scene, user, way):
    client = scene.registered(user, way)
    seen = scene.through(client, "MESSAGE", max_forwards=9)
    seen.reply(200)
    assert seen.get("max-forwards") == "8"


# ---- bodies, headers, routes ----

def test_body_passes_byte_by_byte(scene, user, way):
    client = scene.registered(user, way)
    body = bytes(range(256)) * 4 + b"\r\n\r\n\x00\r\n.\r\nSIP/2.0 200 OK\r\n\r\n"
    seen = scene.through(client, "MESSAGE", [("Content-Type", "application/octet-stream")], body)
    assert seen.body == body
    seen.reply(200, headers=[("Content-Type", "application/octet-stream")], body=body[::-1])
    assert client.end.response("MESSAGE").body == body[::-1]


def test_unknown_headers_pass(scene, user, way):
    client = scene.registered(user, way)
    seen = scene.through(client, "MESSAGE", [("X-Colour", "blue;shade=\"sky, wide\""),
                                             ("Subject", "gr\u00fc\u00df")])
    seen.reply(200)
    assert seen.get("x-colour") == 'blue;shade="sky, wide"'
    assert seen.get("subject") == "gr\u00fc\u00df"


def test_record_route_is_double_and_both_carry_the_token(scene, user, way):
    client = scene.registered(user, way)
    seen = scene.through(client, "INVITE", body=b"v=0\r\n")
    first, second = seen.values("record-route")
    assert f"{scene.bono.ip}:5058" in uri_of(first), "the core's entry stands on top"
    assert f"{scene.bono.ip}:{client.end.edge[1]};transport={way}" in uri_of(second)
    assert token_of(first) == token_of(second) == token_of(client.path[0])
    seen.reply(486)
    assert client.end.response("INVITE").status == 486


def test_from_the_core_the_access_entry_stands_on_top(scene, user, way):
    client = scene.registered(user, way)
    core = scene.way()
    core.send(core.request_bytes("INVITE", f"sip:{user}@{client.end.address[0]}", client.path))
    seen = client.end.request("INVITE")
    first, second = seen.values("record-route")
    assert f"{scene.bono.ip}:{client.end.edge[1]};transport={way}" in uri_of(first)
    assert f"{scene.bono.ip}:5058" in uri_of(second)
    assert not seen.values("route"), "our Path has been taken off"
    seen.reply(486)
    answer = core.end.response("INVITE")
    assert answer.status == 486
    core.send(build(f"ACK {seen.uri} SIP/2.0",
                    [("Via", answer.lines("via")[0]), ("Route", client.path[0]),
                     ("From", answer.get("from")), ("To", answer.get("to")),
                     ("Call-ID", answer.get("call-id")), ("CSeq", "1 ACK")]))
    assert client.end.request("ACK").get("call-id") == seen.get("call-id")


def test_request_from_the_core_finds_the_flow_on_any_worker(scene, user, way):
    """Ten connections land on whichever worker takes them; the token names the owner."""
    client = scene.registered(user, way)
    for _ in range(10):
        core = scene.way()
        core.send(core.request_bytes("MESSAGE", f"sip:{user}@10.0.0.1", client.path, body=b"hi"))
        client.end.request("MESSAGE").reply(200)
        assert core.end.response("MESSAGE").status == 200


def test_rport_and_received_reach_the_next_hop(scene, user, way):
    client = scene.registered(user, way)
    via = f"SIP/2.0/{client.end.transport} 10.11.12.13:9;rport;branch=z9hG4bK{unique()}"
    seen = scene.through(client, "MESSAGE", via=via)
    theirs = seen.values("via")[1]
    assert parameter(theirs, "received") == client.end.address[0]
    assert parameter(theirs, "rport") == str(client.end.address[1])
    seen.reply(200)
    assert client.end.response("MESSAGE").status == 200


def test_answer_without_rport_goes_to_the_sent_by_port(scene):
    """RFC 3261 18.2.2, for a stranger."""
    ip = scene.lab.client_ip()
    sender = UdpClient(ip, scene.bono.access, 7001)
    listener = UdpClient(ip, scene.bono.access, 7002)
    sender.send(request("MESSAGE", "sip:peer@example.net",
                        f"SIP/2.0/UDP {ip}:7002;branch=z9hG4bK{unique()}"))
    assert listener.response("MESSAGE").status == 403
    sender.close()
    listener.close()


def test_registered_client_without_rport_is_answered_where_it_is(scene, user):
    client = scene.registered(user)
    via = f"SIP/2.0/UDP {client.end.address[0]}:9;branch=z9hG4bK{unique()}"
    seen = scene.through(client, "MESSAGE", via=via)
    seen.reply(200)
    assert client.end.response("MESSAGE").status == 200


# ---- tokens ----

def test_forged_token_is_403(scene, user, way):
    client = scene.registered(user, way)
    token = token_of(client.path[0])
    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"
    forged = client.path[0].replace(token, token[:middle] + other + token[middle + 1:])
    core = scene.way()
    core.send(core.request_bytes("MESSAGE", f"sip:{user}@10.0.0.1", [forged]))
    assert core.end.response("MESSAGE").status == 403


def test_flow_that_is_gone_is_430(scene, user):
    client = scene.registered(user, "tcp")
    before = scene.bono.metrics().sum("bono_flow_closed_total", reason="connection")
    client.end.close()
    until(lambda: scene.bono.metrics().sum("bono_flow_closed_total", reason="connection") > before,
          "the flow to end")
    core = scene.way()
    core.send(core.request_bytes("MESSAGE", f"sip:{user}@10.0.0.1", client.path))
    answer = core.end.response("MESSAGE")
    assert (answer.status, answer.reason) == (430, "Flow Failed")


def test_clients_own_route_with_our_token_is_only_popped(scene, user, way):
    client = scene.registered(user, way)
    own = f"<sip:{token_of(client.path[0])}@{scene.bono.ip}:5060;lr>"
    seen = scene.through(client, "MESSAGE", [("Route", own)])
    assert all(token_of(client.path[0]) not in route for route in seen.values("route"))
    seen.reply(200)
    assert client.end.response("MESSAGE").status == 200


def test_stray_response_goes_nowhere(scene, user, way):
    client = scene.registered(user, way)
    before = scene.bono.metrics().sum("bono_rejected_total", reason="stray_response")
    core = scene.way()
    core.send(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/%s %s:5058;branch=z9hG4bKnone\r\n"
              b"Via: SIP/2.0/UDP %s:5060;branch=z9hG4bKx\r\nFrom: <sip:a@b>;tag=1\r\n"
              b"To: <sip:c@d>;tag=2\r\nCall-ID: stray\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
              % (scene.core.upper().encode(), scene.bono.ip.encode(),
                 client.end.address[0].encode()))
    until(lambda: scene.bono.metrics().sum("bono_rejected_total", reason="stray_response") > before,
          "the stray response to be counted")
    assert not client.end.got(lambda m: m.get("call-id") == "stray")


def test_double_crlf_is_answered_on_tcp(scene, user):
    client = scene.registered(user, "tcp")
    client.end.send(b"\r\n\r\n")
    until(lambda: client.end.pump(0.1) and client.end.pongs == 1, "the pong of RFC 5626 4.4.1")


def test_message_between_two_own_clients_passes_twice(scene, user, way):
    """A spiral is no loop (RFC 3261 16.3): out by one client's flow and in by the other's."""
    alice = scene.registered(f"a{user}", way)
    bob = scene.registered(f"b{user}", way)
    seen = scene.through(alice, "MESSAGE", body=b"spiral")
    core = scene.way()
    headers = [(n.title(), v) for n, v in seen.headers if n not in ("route", "content-length")]
    contact = f"sip:b{user}@{bob.end.address[0]}:{bob.end.address[1]}"
    core.send(build(f"MESSAGE {contact} SIP/2.0", [("Via", core.end.via()), ("Route", bob.path[0])]
                    + headers, seen.body))
    bob.end.request("MESSAGE").reply(200)
    answer = core.end.response("MESSAGE")
    assert answer.status == 200
    seen.reply(200)
    assert alice.end.response("MESSAGE").status == 200
    assert Message(answer.raw).get("call-id") == seen.get("call-id")
