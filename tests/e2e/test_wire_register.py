"""What a REGISTER looks like on its way to the Sprout, and its answer on the way back."""

import pytest

from bono_lab import Lab, Scene, token_of
from bono_lab.sip import parameter, uri_of, uri_parameters


@pytest.fixture(scope="module", params=["tcp", "udp"])
def scene(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("wire"))
    yield Scene(lab, request.param)
    lab.close()


@pytest.fixture(params=["udp", "tcp", "ws"])
def way(request):
    return request.param


def test_path_names_us_with_a_token_and_ob(scene, user, way):
    client = scene.client(user, way)
    seen, _ = scene.register(client)
    uri = uri_of(seen.values("path")[0])
    assert token_of(seen.values("path")[0])
    assert f"@{scene.bono.ip}:5058" in uri
    parameters = uri_parameters(uri)
    assert "lr" in parameters and "ob" in parameters, uri
    assert parameters.get("transport", "udp") == scene.core


def test_path_has_no_ob_when_the_client_is_not_one_hop_away(scene, user, way):
    client = scene.client(user, way)
    seen, _ = scene.register(
        client, [("Via", f"{client.end.via()}, SIP/2.0/UDP 10.1.1.1;branch=z9hG4bKfar{user}")])
    assert "ob" not in uri_parameters(uri_of(seen.values("path")[0]))


def test_refresh_on_the_same_flow_keeps_the_token(scene, user, way):
    client = scene.client(user, way)
    first, _ = scene.register(client)
    second, _ = scene.register(client)
    assert token_of(first.values("path")[0]) == token_of(second.values("path")[0])


def test_route_names_the_sprout_and_says_orig(scene, user, way):
    seen, _ = scene.register(scene.client(user, way))
    routes = seen.values("route")
    assert len(routes) == 1
    assert scene.sprout.address[0] in routes[0]
    assert {"lr", "orig"} <= uri_parameters(uri_of(routes[0])).keys()


def test_visited_network_is_ours_alone(scene, user, way):
    seen, _ = scene.register(scene.client(user, way), [("P-Visited-Network-ID", "mars")])
    assert len(seen.lines("p-visited-network-id")) == 1
    assert "mars" not in seen.get("p-visited-network-id")


@pytest.mark.parametrize("header,value", [
    ("P-Asserted-Identity", "<sip:president@example.net>"),
    ("Path", "<sip:elsewhere@10.9.9.9;lr>"),
    ("P-Charging-Vector", "icid-value=1"),
    ("P-Charging-Function-Addresses", "ccf=10.0.0.9"),
    ("P-Associated-URI", "<sip:president@example.net>"),
    ("Service-Route", "<sip:10.9.9.9;lr>"),
])
def test_what_a_client_may_not_say_is_taken_away(scene, user, way, header, value):
    client = scene.client(user, way)
    seen, _ = scene.register(client, [(header, value)])
    assert all(value not in line for line in seen.lines(header)), repr(seen)


def test_integrity_protected_is_only_ever_ours(scene, user, way):
    client = scene.client(user, way)
    seen, _ = scene.register(client, [(
        "Authorization", f'Digest username="{user}", realm="example.net", nonce="n", '
        f'uri="sip:example.net", response="r", integrity-protected="tls-yes"')])
    authorization = seen.get("authorization")
    assert f'username="{user}"' in authorization and "tls-yes" not in authorization


def test_max_forwards_is_decremented(scene, user, way):
    seen, _ = scene.register(scene.client(user, way), max_forwards=17)
    assert seen.get("max-forwards") == "16"


def test_max_forwards_is_added_when_absent(scene, user, way):
    seen, _ = scene.register(scene.client(user, way), max_forwards=None)
    assert seen.get("max-forwards") == "70"


def test_via_tells_where_the_client_really_is(scene, user, way):
    client = scene.client(user, way)
    seen, answer = scene.register(client, [(
        "Via", f"SIP/2.0/{client.end.transport} phone.example:7777;rport;branch=z9hG4bK{user}")])
    ours, theirs = seen.values("via")
    assert ours.split()[0] == f"SIP/2.0/{scene.core.upper()}"
    assert parameter(theirs, "received") == client.end.address[0]
    assert parameter(theirs, "rport") == str(client.end.address[1])
    assert len(answer.values("via")) == 1, "our own Via is taken off again"
    assert parameter(answer.values("via")[0], "branch") == f"z9hG4bK{user}"


def test_challenge_passes_and_teaches_nothing(scene, user, way):
    client = scene.client(user, way)
    client.end.send(client.register_bytes())
    challenge = 'Digest realm="example.net", nonce="abc", algorithm=MD5, qop="auth"'
    scene.sprout.expect("REGISTER").reply(401, "Unauthorized", [("WWW-Authenticate", challenge)])
    answer = client.end.response("REGISTER")
    assert answer.status == 401
    assert "abc" in answer.get("www-authenticate")
    assert client.ask("MESSAGE", "sip:peer@example.net", body=b"hello").status == 403


def test_what_the_registrar_says_reaches_the_client(scene, user, way):
    client = scene.client(user, way)
    _, answer = scene.register(client, answer=[("Require", "outbound"), ("X-Own", "kept")])
    assert answer.get("x-own") == "kept"
    assert "outbound" in answer.get("require")
    assert answer.values("service-route") and answer.values("p-associated-uri")
    assert answer.has("flow-timer"), "RFC 5626 5.4: the last proxy's word, see test_outbound.py"


def test_no_flow_timer_without_outbound(scene, user, way):
    _, answer = scene.register(scene.client(user, way))
    assert not answer.has("require") and not answer.has("flow-timer")


def test_deregistered_client_is_a_stranger_again(scene, user, way):
    client = scene.client(user, way)
    scene.register(client)
    raw = client.register_bytes(expires=0)
    client.end.send(raw)
    scene.sprout.expect("REGISTER").reply(200)
    assert client.end.response("REGISTER", cseq=2).status == 200
    assert client.ask("MESSAGE", "sip:peer@example.net", body=b"hello").status == 403


def test_retransmitted_register_is_absorbed(scene, user):
    client = scene.client(user, "udp")
    raw = client.register_bytes()
    client.end.send(raw)
    client.end.send(raw)
    scene.sprout.accept_register()
    assert client.end.response("REGISTER").status == 200
    client.end.send(raw)            # and again, when it is answered already
    assert client.end.response("REGISTER").status == 200
    seen = [m for m in scene.sprout.all if m.get("call-id") == client.register_call_id]
    branches = {parameter(m.values("via")[0], "branch") for m in seen}
    assert len(branches) == 1, "one transaction, whatever was repeated"
