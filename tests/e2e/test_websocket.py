"""SIP over WebSocket (RFC 6455, RFC 7118), and clients behind a load balancer (PROXY protocol)."""

import socket
import ssl
import struct
import time

import pytest

from bono_lab import (Authority, Bono, BrokenWeb, Client, Lab, Refused, SproutSim, TcpClient,
                      WebClient, until)
from bono_lab.sip import Call, options_to, parameter, request, uri_of, uri_parameters
from bono_lab.web import connect

OURS = "https://phone.example.net"
FIN, TEXT, BINARY, CLOSE, PING = 0x80, 1, 2, 8, 9
NAME = "edge.example.net"
MESSAGE_BYTES = 65535
V2 = b"\r\n\r\n\0\r\nQUIT\n"


class WebScene:
    def __init__(self, lab):
        self.lab = lab
        edge, self.balancer = lab.ip(1), lab.ip(200)
        sprout = f"{lab.ip(11)}:5054"
        SproutSim(lab, "site-a", [sprout])
        authority = Authority(lab.path("ca"))
        pair = authority.issue("edge", names=[NAME])
        self.trust = ssl.create_default_context(cafile=authority.ca)

        def access(name, transport, port, **more):
            return {"name": name, "side": "access", "transport": transport,
                    "bind": f"{edge}:{port}", **more}
        public = {"certificate": pair.certificate, "key": pair.key}
        self.bono = Bono(lab, {"site-a": [sprout]}, workers=2, websocket={"ping": "1s"},
                         tls={"public": public}, listeners=[
            access("access-udp", "udp", 5060), access("access-tcp", "tcp", 5060),
            access("access-ws", "ws", 5062), access("access-page", "ws", 5064, origins=[OURS]),
            access("access-wss", "wss", 5063, tls="public"),
            access("behind-wss", "wss", 5073, tls="public",
                   proxy_from=[f"{self.balancer}/32"]),
            access("behind-tcp", "tcp", 5070, proxy_from=[f"{self.balancer}/32"]),
            access("behind-ws", "ws", 5072, proxy_from=[f"{self.balancer}/32"]),
            {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{edge}:5058",
             "allow": ["127.0.0.0/8"], "path": True}])
        self.bono.wait_for_targets(site_a="UP")
        self.web, self.page = (edge, 5062), (edge, 5064)
        self.secure, self.behind_secure = (edge, 5063), (edge, 5073)
        self.behind_tcp, self.behind_web = (edge, 5070), (edge, 5072)
        # Both have 15 s; the last test looks what became of them.
        self.slow = self.broken()
        self.slow.write(b"GET / HTTP/1.1\r\nHost: ed")
        self.begun = self.broken().upgrade()
        self.begun.write(b"\x81\xfe\x01")

    def end(self, **more):
        return WebClient(self.lab.client_ip(), more.pop("edge", self.web), **more)

    def secure_end(self, **more):
        return self.end(edge=self.secure, tls=self.trust, server_name=NAME, **more)

    def client(self, user, **more):
        return Client(self.lab, self.bono, user, end=self.end(**more))

    def registered(self, user, **more):
        client = self.client(user, **more)
        client.register()
        return client

    def broken(self, edge=None, **more):
        end = BrokenWeb(more.pop("ip", None) or self.lab.client_ip(), edge or self.web, **more)
        return self.lab.add(end)

    def count(self, name, **labels):
        return self.bono.metrics().sum(name, **labels)

    def closed(self, reason):
        return self.count("bono_connection_closed_total", side="access", reason=reason)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("web"))
    yield WebScene(lab)
    lab.close()


def options_on(end):
    end.send(options_to(end, end.edge))
    return end.response("OPTIONS")


# ---- what a phone in a browser does ----

def test_register_call_and_hang_up_between_two_browsers(scene):
    alice, bob = scene.registered("alice-web"), scene.registered("bob-web")
    call = Call(alice, bob.aor, [("Route", route) for route in alice.service_route])
    invite = bob.end.request("INVITE")
    assert invite.values("via")[0].startswith("SIP/2.0/WS "), "toward a browser we are WS"
    ours = uri_parameters(uri_of(invite.values("record-route")[0]))
    assert ours["transport"] == "ws" and "lr" in ours, "RFC 7118 5.2.2"
    assert invite.uri.endswith(".invalid;transport=ws")
    invite.reply(180)
    call.ringing()
    invite.reply(200, headers=[("Contact", bob.end.contact(bob.user))], body=b"v=0\r\n")
    assert call.answer().status == 200
    call.ack()
    assert bob.end.request("ACK")
    call.client.end.send(call.in_dialog_bytes("BYE"))
    bob.end.request("BYE").reply(200)
    assert alice.end.response("BYE").status == 200


def test_browser_and_tcp_phone_reach_each_other(scene):
    web, phone = scene.registered("carol-web"), Client(scene.lab, scene.bono, "dave-tcp", "tcp")
    phone.register()
    for sender, taker in ((web, phone), (phone, web)):
        raw = sender.request_bytes("MESSAGE", taker.aor,
                                   [("Route", route) for route in sender.service_route]
                                   + [("Content-Type", "text/plain")], "Grüße".encode())
        sender.end.send(raw)
        message = taker.end.request("MESSAGE")
        assert message.body == "Grüße".encode()
        message.reply(200)
        assert sender.end.response("MESSAGE").status == 200


def test_via_of_a_browser_gets_its_address_and_answers_come_over_the_connection(scene):
    end = scene.end()
    answer = options_on(end)
    assert answer.status == 200
    via = answer.values("via")[0]
    assert ".invalid" in via and parameter(via, "received") == end.address[0]
    end.close()


def test_flow_of_a_browser_is_counted_as_ws(scene):
    scene.registered("erin-web")
    assert scene.bono.status()["flows"]["ws"] >= 1
    assert scene.count("bono_connections", side="access", transport="ws") >= 1
    assert scene.count("bono_requests_total", side="access", transport="ws", method="REGISTER") >= 1


# ---- over TLS ----

def test_call_between_wss_and_ws(scene):
    alice = Client(scene.lab, scene.bono, "alice-wss", end=scene.secure_end())
    alice.register()
    bob = scene.registered("bob-ws")
    for sender, taker in ((alice, bob), (bob, alice)):
        call = Call(sender, taker.aor, [("Route", route) for route in sender.service_route])
        invite = taker.end.request("INVITE")
        assert invite.values("via")[0].startswith(f"SIP/2.0/{taker.end.transport} ")
        assert uri_parameters(uri_of(invite.values("record-route")[0]))["transport"] == "ws"
        invite.reply(200, headers=[("Contact", taker.end.contact(taker.user))], body=b"v=0\r\n")
        assert call.answer().status == 200
        call.ack()
        taker.end.request("ACK")
        sender.end.send(call.in_dialog_bytes("BYE"))
        taker.end.request("BYE").reply(200)
        assert sender.end.response("BYE").status == 200
    assert scene.bono.status()["flows"]["wss"] == 1


def test_frames_pings_and_closing_over_tls(scene):
    end = scene.secure_end()
    raw = options_to(end, end.edge).replace(b"Content-Length: 0\r\n", b"")
    end.send_fragments(raw + b"x" * (MESSAGE_BYTES - len(raw)), 9000)
    assert end.response("OPTIONS").status == 200
    end.ping(b"over tls")
    end.wait_until(lambda: end.web_pongs == [b"over tls"], "pong")
    end.leave(1000)
    assert end.wait_for_close() == 1000


def test_plain_upgrade_on_the_tls_port_is_no_tls(scene):
    before = scene.count("bono_tls_handshakes_total", side="access", result="not_tls")
    end = scene.broken(scene.secure)
    end.write(end.request())
    assert b"HTTP" not in end.rest()
    until(lambda: scene.count("bono_tls_handshakes_total", side="access", result="not_tls")
          == before + 1, "the handshake to be counted")


# ---- frames ----

def test_text_binary_and_fragments_carry_the_same_message(scene):
    end = scene.end()
    for send in (end.send, end.send_binary, lambda data: end.send_fragments(data, 7)):
        send(options_to(end, end.edge))
        assert end.response("OPTIONS").status == 200
    end.close()


def test_large_message_passes_and_a_larger_is_1009(scene):
    end = scene.end()
    raw = options_to(end, end.edge)
    head = raw.replace(b"Content-Length: 0\r\n", b"")
    body = b"x" * (MESSAGE_BYTES - len(head))
    end.send_fragments(head + body, 9000)
    assert end.response("OPTIONS").status == 200
    before = scene.closed("frame_too_long")
    end.send(b"x" * 1_000_000)
    assert end.wait_for_close() == 1009
    until(lambda: scene.closed("frame_too_long") == before + 1, "the closing to be counted")


def test_message_with_bytes_beyond_its_content_length_is_400_and_the_next_is_sound(scene):
    end = scene.end()
    end.send(options_to(end, end.edge) + b"OPTIONS sip:second SIP/2.0\r\n\r\n")
    assert end.response("OPTIONS").status == 400
    assert options_on(end).status == 200
    end.close()


@pytest.mark.parametrize("name,first,payload,masked,code,counted", [
    ("no mask", FIN | TEXT, b"hello", False, 1002, "frame_protocol"),
    ("opcode 3", FIN | 3, b"hello", True, 1002, "frame_protocol"),
    ("reserved bit", FIN | 0x40 | TEXT, b"hello", True, 1002, "frame_protocol"),
    ("fragment of nothing", FIN | 0, b"hello", True, 1002, "frame_protocol"),
    ("cut ping", PING, b"x", True, 1002, "frame_protocol"),
    ("half a close code", FIN | CLOSE, b"\x03", True, 1002, "frame_protocol"),
    ("close code 1005", FIN | CLOSE, b"\x03\xed", True, 1002, "frame_protocol"),
    ("bad UTF-8", FIN | TEXT, b"\xc3(", True, 1007, "frame_not_utf8"),
])
def test_who_breaks_the_protocol_is_closed_with_the_code(scene, name, first, payload, masked, code,
                                                         counted):
    before = scene.count("bono_parse_errors_total", transport="ws", reason=counted)
    end = scene.broken().upgrade()
    end.frame(first, payload, masked)
    assert end.close_code() == code, name
    assert scene.count("bono_parse_errors_total", transport="ws", reason=counted) == before + 1


def test_announced_length_beyond_the_limit_is_refused_before_it_comes(scene):
    end = scene.broken().upgrade()
    end.frame(FIN | BINARY, b"x", length=2 ** 40)
    assert end.close_code() == 1009


# ---- keep-alive and leaving ----

def test_ping_is_answered_and_so_is_the_double_crlf(scene):
    end = scene.end()
    end.ping(b"are you there")
    end.wait_until(lambda: end.web_pongs == [b"are you there"], "pong")
    end.send(b"\r\n\r\n")
    end.wait_until(lambda: end.pongs == 1, "CRLF")
    end.close()


def test_silent_browser_is_pinged_and_one_that_is_dead_closed(scene):
    end, dead = scene.end(), scene.broken().upgrade()
    end.wait_until(lambda: end.pings >= 3, "pings")
    assert options_on(end).status == 200    # it answered them: the library does
    assert dead.close_code() == 1001
    end.close()


def test_flood_of_pings_is_closed_and_others_are_served(scene):
    end = scene.broken().upgrade()
    other = scene.end()
    frame = bytes([FIN | PING, 0x81, 0, 0, 0, 0, 65])
    try:
        for _ in range(50):
            end.write(frame * 100)
    except (BrokenPipeError, ConnectionResetError):
        pass
    answered = end.rest()
    assert answered.count(bytes([FIN | 10, 1, 65])) <= 100
    assert options_on(other).status == 200
    other.close()


def test_close_is_echoed(scene):
    end = scene.end()
    end.leave(1001)
    assert end.wait_for_close() == 1001


def test_lost_browser_loses_its_flow_and_1001_is_said_at_the_end(lab):
    scene = WebScene(lab)
    client = scene.registered("frank-web")
    until(lambda: scene.bono.status()["flows"]["ws"] == 1, "the flow")
    client.end.leave()
    client.end.wait_for_close()
    until(lambda: scene.bono.status()["flows"]["ws"] == 0, "the flow to go")
    end = scene.end()
    scene.bono.child.terminate()
    assert end.wait_for_close() == 1001


# ---- the upgrade ----

@pytest.mark.parametrize("changes,status,counted", [
    ({"Sec_WebSocket_Protocol": None}, 400, "no_subprotocol"),
    ({"Sec_WebSocket_Protocol": "msrp"}, 400, "no_subprotocol"),
    ({"Sec_WebSocket_Version": "8"}, 426, "bad_version"),
    ({"Upgrade": None, "Connection": None}, 426, "not_asked"),
    ({"Sec_WebSocket_Key": "short"}, 400, "bad_request"),
    ({"Host": None}, 400, "bad_request"),
    ({"version": "HTTP/1.0"}, 400, "bad_request"),
    ({"method": "POST"}, 405, "bad_method"),
    ({"Cookie": "x" * 9000}, 413, "too_large"),
])
def test_upgrade_that_cannot_be_is_answered_and_counted(scene, changes, status, counted):
    before = scene.count("bono_websocket_upgrades_total", result=counted)
    end = scene.broken()
    got, headers = end.ask(**changes)
    assert got == status
    assert headers["connection"] == "close"
    if status == 426:
        assert headers["sec-websocket-version"] == "13" and headers["upgrade"] == "websocket"
    if status == 405:
        assert headers["allow"] == "GET"
    end.rest()                              # and the stream ends
    assert scene.count("bono_websocket_upgrades_total", result=counted) == before + 1


def test_without_the_sub_protocol_the_library_is_refused_too(scene):
    with pytest.raises(Refused) as refused:
        scene.end(subprotocols=())
    assert refused.value.status == 400


def test_pages_from_elsewhere_are_refused(scene):
    with pytest.raises(Refused) as refused:
        scene.end(edge=scene.page, origin="https://evil.example")
    assert refused.value.status == 403
    for origin in (OURS, None):             # None: not a browser
        end = scene.end(edge=scene.page, origin=origin)
        assert options_on(end).status == 200
        end.close()


def test_sip_or_tls_on_the_websocket_port_is_refused_at_once(scene):
    for opening in (b"\x16\x03\x01\x02\x00\x01\x00", b"OPTIONS sip:a SIP/2.0\r\n\r\n"):
        end = scene.broken()
        end.write(opening)
        assert end.answer()[0] == 400
        end.rest()


# ---- behind a load balancer ----

def v1(source, port=40000, edge="203.0.113.9"):
    return f"PROXY TCP4 {source} {edge} {port} 5060\r\n".encode()


def v2(source, port=40000, edge="203.0.113.9", more=b""):
    addresses = socket.inet_aton(source) + socket.inet_aton(edge) + struct.pack(">HH", port, 5060)
    return V2 + b"\x21\x11" + struct.pack(">H", len(addresses + more)) + addresses + more


@pytest.mark.parametrize("header", [v1("198.51.100.7"), v2("198.51.100.7"),
                                    v2("198.51.100.7", more=b"\x04\x00\x02xx")])
def test_client_behind_the_balancer_keeps_its_address(scene, header):
    for edge in (scene.behind_tcp, scene.behind_web):
        if edge is scene.behind_web:
            end = WebClient(scene.balancer, edge, before=header)
            via = end.via() + ";rport"
        else:
            stream = connect(scene.balancer, edge, header)
            end = TcpClient.__new__(TcpClient)
            super(TcpClient, end).__init__()
            end.socket, end.edge, end.buffer, end.pongs = stream, edge, b"", 0
            end.address = stream.getsockname()
            via = end.via()
        end.send(request("OPTIONS", f"sip:{edge[0]}:{edge[1]}", via))
        answer = end.response("OPTIONS")
        assert answer.status == 200
        assert parameter(answer.values("via")[0], "received") == "198.51.100.7"
        assert parameter(answer.values("via")[0], "rport") == "40000"
        end.close()


def test_registered_client_behind_the_balancer_is_known_by_its_address(scene):
    end = WebClient(scene.balancer, scene.behind_web, before=v1("198.51.100.23", 4711))
    client = Client(scene.lab, scene.bono, "grace-web", end=end)
    client.register()
    code, out, _ = scene.bono.ctl("flows", "--identity", client.aor)
    assert code == 0 and "198.51.100.23:4711" in out, out


def test_header_stands_before_tls(scene):
    end = WebClient(scene.balancer, scene.behind_secure, before=v2("198.51.100.9"),
                    tls=scene.trust, server_name=NAME)
    answer = options_on(end)
    assert parameter(answer.values("via")[0], "received") == "198.51.100.9"
    end.close()


def test_local_and_unknown_keep_the_address_of_the_balancer(scene):
    for header in (b"PROXY UNKNOWN\r\n", V2 + b"\x20\x00\x00\x00"):
        end = WebClient(scene.balancer, scene.behind_web, before=header)
        answer = options_on(end)
        assert parameter(answer.values("via")[0], "received") == scene.balancer
        end.close()


@pytest.mark.parametrize("opening", [b"", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY TCP9 a b 1 2\r\n",
                                     V2 + b"\x21\x11\x00\x01x", b"\x16\x03\x01"])
def test_balancer_without_a_sound_header_is_closed_and_counted(scene, opening):
    before = scene.closed("proxy_header")
    end = scene.broken(scene.behind_web, ip=scene.balancer, before=opening)
    try:
        end.write(end.request())
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert end.rest() == b""
    until(lambda: scene.closed("proxy_header") == before + 1, "the closing to be counted")


def test_header_of_somebody_else_is_not_believed(scene):
    end = scene.broken(scene.behind_web, before=v1("198.51.100.7"))
    assert end.answer()[0] == 400           # no HTTP
    stream = TcpClient(scene.lab.client_ip(), scene.behind_tcp)
    assert options_on(stream).status == 200
    stream.close()


# ---- those who take their time; opened at the beginning ----

def test_slow_clients_are_closed(scene):
    for end in (scene.slow, scene.begun):
        end.socket.settimeout(40)
    start = time.monotonic()
    assert scene.slow.answer()[0] == 408
    scene.slow.rest()
    assert scene.begun.close_code() == 1008, time.monotonic() - start
    assert scene.count("bono_websocket_upgrades_total", result="slow") == 1
