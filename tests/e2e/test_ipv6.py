"""IPv6 and both families at once: clients, Sprouts, the admin port; every name we write has its brackets.

Bono listens on [::], so that IPv4 clients come as v4-mapped addresses and must be nothing but IPv4 to everybody.
"""

import json
import subprocess

import pytest

from bono_lab import (Baresip, Bono, Client, Lab, Ports, ScriptedSprout, Sipp, SproutSim, TcpClient, UdpClient,
                      host_port, program)
from bono_lab.sip import Call, options_to, parameter, request, unique, uri_of
from test_torture import judge, table as torture_table

WAYS = ["udp", "tcp"]
FAMILIES = ["v6", "v4"]


def client_of(lab, bono, user, way, edge):
    """Of the family of the edge's address."""
    kind = UdpClient if way == "udp" else TcpClient
    return Client(lab, bono, user, end=kind("::1" if ":" in edge[0] else lab.client_ip(), edge, 0))


class Dual:
    """A Bono on [::] (access) and [::1] (core, admin), ports of its own."""

    def __init__(self, lab, sites, core="tcp", access_advertise=None, core_bind=None, **changes):
        self.lab = lab
        self.ports = lab.ports
        self.v6 = ("::1", self.ports.port(0))
        self.v4 = (lab.ip(1), self.ports.port(0))
        core_bind = core_bind or f"[::1]:{self.ports.port(1)}"
        allow = ["::1/128", "127.0.0.0/8"]
        listeners = [
            {"name": f"access-{kind}", "side": "access", "transport": kind,
             "bind": f"[::]:{self.ports.port(0)}"} for kind in WAYS
        ] + [
            {"name": f"core-{kind}", "side": "core", "transport": kind, "bind": core_bind,
             "allow": allow, "path": kind == core} for kind in WAYS
        ]
        if access_advertise:
            listeners[0]["advertise"] = access_advertise
        changes.setdefault("admin", {"http": f"[::1]:{self.ports.port(2)}",
                                     "socket": str(lab.path("admin.sock"))})
        self.bono = Bono(lab, sites, core, listeners=listeners, workers=2, **changes)
        self.bono.access = self.v4
        self.core = ("::1", self.ports.port(1))

    def client(self, user, way, family):
        return client_of(self.lab, self.bono, user, way, self.v6 if family == "v6" else self.v4)


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("ipv6"))
    lab.ports = lab.add(Ports())
    yield lab
    lab.close()


@pytest.fixture
def own(lab):
    lab.ports = lab.add(Ports())
    return lab


def scripted(lab):
    """One scripted Sprout on ::1, reached over TCP."""
    sprout = ScriptedSprout(lab, "::1", lab.ports.port(4))
    dual = Dual(lab, {"site-a": [host_port(sprout.address)]})
    dual.sprout = sprout
    dual.bono.wait_for_targets(site_a="UP")
    return dual


@pytest.fixture(scope="module")
def wire(stage):
    return scripted(stage)


def register(wire, client):
    """(the REGISTER as the Sprout saw it, the answer)."""
    client.end.send(client.register_bytes())
    seen = wire.sprout.accept_register(call_id=client.register_call_id)
    answer = client.end.response("REGISTER", client.register_call_id)
    assert answer.status == 200, repr(answer)
    client.service_route = answer.values("service-route")
    return seen, answer


def contact(wire):
    return [("Contact", f"<sip:peer@{host_port(wire.sprout.address)};transport=tcp>")]


@pytest.mark.parametrize("way", WAYS)
def test_register_over_ipv6_writes_every_name_with_brackets(wire, user, way):
    client = wire.client(user, way, "v6")
    seen, answer = register(wire, client)
    ours, theirs = seen.values("via")
    assert ours.startswith(f"SIP/2.0/TCP [::1]:{wire.core[1]};branch=")
    # RFC 5118 4.5: received is written as the grammar of RFC 3261 has it, without brackets
    assert parameter(theirs, "received") == "::1"
    assert parameter(theirs, "rport") == str(client.end.address[1])
    assert f"@[::1]:{wire.core[1]};" in seen.get("path")
    assert answer.values("via") == [theirs]


@pytest.mark.parametrize("way", WAYS)
def test_ipv4_client_of_a_dual_listener_is_ipv4_to_everybody(wire, user, way):
    client = wire.client(user, way, "v4")
    seen, answer = register(wire, client)
    theirs = seen.values("via")[1]
    assert parameter(theirs, "received") == client.end.address[0]
    code, flows, _ = wire.bono.ctl("flows")
    assert code == 0
    assert host_port(client.end.address) in flows
    assert b"ffff" not in seen.raw.lower() and b"ffff" not in answer.raw.lower() and "::ffff" not in flows


@pytest.mark.parametrize("way", WAYS)
def test_flows_are_shown_with_brackets(wire, user, way):
    client = wire.client(user, way, "v6")
    register(wire, client)
    code, flows, _ = wire.bono.ctl("flows")
    assert code == 0 and host_port(client.end.address) in flows, flows


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("way", WAYS)
def test_call_and_its_route_are_of_the_callers_family(wire, user, way, family):
    """On a wildcard we name the address that the client reached: it can reach that one again."""
    client = wire.client(user, way, family)
    register(wire, client)
    call = Call(client, "sip:peer@example.net")
    invite = wire.sprout.expect("INVITE")
    routes = invite.values("record-route")
    assert f"@{host_port(wire.v6 if family == 'v6' else wire.v4)};" in routes[1]
    assert f"@[::1]:{wire.core[1]};" in routes[0]
    invite.reply(200, headers=contact(wire), body=b"v=0\r\n")
    assert call.answer().status == 200
    call.ack()
    wire.sprout.expect("ACK", call_id=invite.get("call-id"))
    call.client.end.send(call.in_dialog_bytes("BYE"))
    wire.sprout.expect("BYE").reply(200)
    assert client.end.response("BYE").status == 200


@pytest.mark.parametrize("core", WAYS)
@pytest.mark.parametrize("way", WAYS)
def test_call_from_the_core_reaches_the_ipv6_client(wire, user, way, core):
    client = wire.client(user, way, "v6")
    seen, _ = register(wire, client)
    uri = uri_of(client.end.contact(user))
    back = wire.lab.add(wire.sprout.way_to(wire.core, core))
    back.send(back.request_bytes("MESSAGE", uri, seen.values("path"), body=b"x"))
    message = client.end.request("MESSAGE")
    assert message.uri == uri
    message.reply(200)
    assert back.end.response("MESSAGE").status == 200


def test_options_to_our_ipv6_name_is_answered_by_us(wire):
    for kind in (UdpClient, TcpClient):
        client = kind("::1", wire.v6, 0)
        assert client.ask(options_to(client, wire.v6)).status == 200
        # any spelling of the same address is the same name
        assert client.ask(request("OPTIONS", f"sip:[0:0::0:1]:{wire.v6[1]}", client.via())).status == 200
        client.close()


def test_clients_of_ipv6_and_a_core_of_ipv4(own):
    sprout = ScriptedSprout(own, own.ip(11))
    dual = Dual(own, {"site-a": [host_port(sprout.address)]}, core_bind=f"{own.ip(1)}:5058")
    dual.bono.wait_for_targets(site_a="UP")     # access of both families, core IPv4
    client = dual.client("mixed", "udp", "v6")
    dual.sprout = sprout
    seen, _ = register(dual, client)
    assert parameter(seen.values("via")[1], "received") == "::1"
    assert f"@{own.ip(1)}:5058;" in seen.get("path")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("uri,status", [
    ("sip:[::1", 400), ("sip:::1", 400), ("sip:2001:db8::1", 400), ("sip:[::1]x", 400), ("sip:[:::1]", 400),
    ("sip:[fe80::1%25eth0]", 400), ("sip:[1.2.3.4]", 400), ("sip:[]", 400), ("sip:[::1]:99999", 400),
    ("sip:[2001:db8:::1]:5060", 400), ("sip:[2001:db8::1::2]", 400),
])
def test_uri_that_is_no_ipv6_is_400(wire, way, uri, status):
    client = (UdpClient if way == "udp" else TcpClient)("::1", wire.v6, 0)
    assert client.ask(request("OPTIONS", uri, client.via())).status == status
    client.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", ["[2001:DB8::ABCD]", "[::ffff:192.0.2.7]:5070", "[::192.0.2.7]",
                                  "[2001:db8::10:5070]"])
def test_request_uri_of_any_spelling_passes_untouched(wire, user, way, host):
    client = wire.client(user, way, "v6")
    register(wire, client)
    raw = client.request_bytes("MESSAGE", f"sip:peer@{host}", body=b"x")
    client.end.send(raw)
    seen = wire.sprout.expect("MESSAGE")
    assert seen.uri == f"sip:peer@{host}"
    seen.reply(200)
    assert client.end.response("MESSAGE").status == 200


@pytest.mark.parametrize("received", ["2001:db8::9:255", "[2001:db8::9:255]"])
def test_received_is_read_with_and_without_brackets(wire, user, received):
    """RFC 5118 4.5: a proxy before us wrote it."""
    client = wire.client(user, "tcp", "v6")
    register(wire, client)
    via = f"SIP/2.0/UDP [2001:db8::9:1];received={received};branch=z9hG4bK{unique()}"
    raw = client.request_bytes("MESSAGE", "sip:peer@example.net", [("Via", f"{client.end.via()}, {via}")], b"x")
    client.end.send(raw)
    seen = wire.sprout.expect("MESSAGE")
    assert f"received={received}" in seen.values("via")[2]
    seen.reply(200)
    assert client.end.response("MESSAGE").status == 200


class Sight:
    """What the torture asks of a scene, all of it over IPv6."""

    def __init__(self, wire):
        self.sprout, self.bono, self.access, self.metrics = wire.sprout, self, wire.v6, wire.bono.metrics

    def assert_serving(self):
        for kind in (UdpClient, TcpClient):
            client = kind("::1", self.access, 0)
            assert client.ask(options_to(client, self.access)).status == 200
            client.close()


RFC_5118 = [row for row in torture_table() if "rfc5118" in row.values[0] and row.values[1] in WAYS]


@pytest.mark.parametrize("name,way,expected", RFC_5118)
def test_messages_of_rfc_5118_over_ipv6(own, user, name, way, expected):
    wire = scripted(own)        # some of them have the same branch, which would be one transaction from one address
    client = wire.client(user, way, "v6")
    register(wire, client)
    judge(Sight(wire), client, name, way, expected)
    client.stop()


# ---- two clients, Sprouts of both families ----

class Sites:
    """site-a on IPv6, site-b on IPv4; a core listener for each family, or one for both."""

    def __init__(self, lab, one_core=False):
        self.lab = lab
        ports = lab.ports
        self.v6, self.v4 = f"[::1]:{ports.port(4)}", f"{lab.ip(21)}:5054"
        self.a, self.b = SproutSim(lab, "site-a", [self.v6]), SproutSim(lab, "site-b", [self.v4])
        self.access = {"v6": ("::1", ports.port(0)), "v4": (lab.ip(1), ports.port(0))}
        listeners = [{"name": f"access-{kind}", "side": "access", "transport": kind,
                      "bind": f"[::]:{ports.port(0)}"} for kind in WAYS]
        cores = {"both": f"[::]:{ports.port(1)}"} if one_core else {
            "v6": f"[::1]:{ports.port(1)}", "v4": f"{lab.ip(1)}:5058"}
        for name, bind in cores.items():
            for kind in WAYS:
                listeners.append({"name": f"core-{name}-{kind}", "side": "core", "transport": kind, "bind": bind,
                                  "advertise": bind.replace("[::]", "[::1]"), "path": name != "v4" and kind == "tcp",
                                  "allow": ["::1", "127.0.0.0/8"]})
        self.bono = Bono(lab, {"site-a": [self.v6], "site-b": [self.v4]}, listeners=listeners, workers=2,
                         admin={"http": f"[::1]:{ports.port(2)}", "socket": str(lab.path("admin.sock"))})
        self.bono.wait_for_targets(site_a="UP", site_b="UP")

    def client(self, user, way, family):
        return client_of(self.lab, self.bono, user, way, self.access[family])


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("ipv6-sites"))
    lab.ports = lab.add(Ports())
    yield Sites(lab)
    lab.close()


def call_and_hang_up(caller, callee):
    """INVITE, 180, 200, ACK, BYE, each seen at the other end."""
    call = Call(caller, callee.aor)
    invite = callee.end.request("INVITE")
    own = [("Contact", callee.end.contact(callee.user))]
    invite.reply(180, headers=own)
    call.ringing()
    invite.reply(200, headers=own, body=b"v=0\r\n")
    assert call.answer().status == 200
    call.ack()
    callee.end.request("ACK")
    call.client.end.send(call.in_dialog_bytes("BYE"))
    callee.end.request("BYE").reply(200)
    assert caller.end.response("BYE").status == 200


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("caller,callee", [("v6", "v6"), ("v6", "v4"), ("v4", "v6")])
def test_call_between_the_families(sites, user, way, caller, callee):
    one, two = sites.client(f"a{user}", way, caller), sites.client(f"b{user}", way, callee)
    one.register()
    two.register()
    call_and_hang_up(one, two)


@pytest.mark.parametrize("way,other", [("udp", "tcp"), ("tcp", "udp")])
def test_call_between_the_families_and_transports(sites, user, way, other):
    one, two = sites.client(f"a{user}", way, "v6"), sites.client(f"b{user}", other, "v4")
    one.register()
    two.register()
    call_and_hang_up(one, two)
    call_and_hang_up(two, one)


@pytest.mark.parametrize("transport", WAYS)
@pytest.mark.parametrize("case", ["call", "cancel", "reject", "message"])
def test_sipp_over_ipv6(sites, user, case, transport):
    caller, callee = f"a{user}", f"b{user}"
    ports = sites.lab.ports
    uas = Sipp(sites.lab, f"{case}-uas", sites.access["v6"], transport, user=callee, peer=caller, key=user,
               ip="::1", port=ports.port(5))
    uas.wait_for_word("registered")
    uac = Sipp(sites.lab, f"{case}-uac", sites.access["v6"], transport, user=caller, peer=callee, key=user,
               ip="::1", port=ports.port(6))
    uac.succeed()
    uas.succeed()


@pytest.mark.parametrize("way", WAYS)
def test_baresip_over_ipv6_calls_baresip(sites, user, way):
    """With sound between them; nobody here would carry it from one family to the other."""
    ports = sites.lab.ports
    one = Baresip(sites.lab, f"a{user}", sites.access["v6"], way, listen=("::1", ports.port(5)))     # and the next port for TLS
    two = Baresip(sites.lab, f"b{user}", sites.access["v6"], way, listen=("::1", ports.port(7)))
    one.wait_for_register()
    two.wait_for_register()
    one.call(two.user)
    one.wait_for("CALL_ESTABLISHED")
    two.wait_for("CALL_ESTABLISHED")
    one.hang_up()
    two.wait_for("CALL_CLOSED")
    one.stop()
    two.stop()


def test_site_of_the_other_family_takes_over(own):
    sites = Sites(own)
    client = sites.client("moving", "udp", "v6")
    client.register()
    sites.a.kill()
    client.register()                   # the very request that meets the failure
    sites.bono.wait_for_targets(site_a="DOWN", site_b="UP")
    client.register()
    metrics = sites.bono.metrics()
    assert metrics.sum("bono_requests_lost_total") == 0
    assert metrics.sum("bono_target_requests_total", site="site-b") >= 2
    assert host_port(("::1", sites.lab.ports.port(4))) in json.dumps(sites.bono.status())


def test_one_core_listener_reaches_sprouts_of_both_families(own):
    sites = Sites(own, one_core=True)
    one, two = sites.client("one", "tcp", "v6"), sites.client("two", "udp", "v4")
    one.register()
    two.register()
    call_and_hang_up(one, two)
    sites.a.kill()
    one.register()
    assert sites.bono.metrics().sum("bono_requests_lost_total") == 0


def test_admin_port_of_ipv6_serves(sites):
    code, body = sites.bono.get("/readyz")
    assert code == 200, body


# ---- configuration ----

@pytest.mark.parametrize("bind,why", [
    ("[fe80::1%eth0]:5060", "a link-local address"), ("[fe80::1]:5060", "a link-local address"),
    ("::1:5060", "IPv6 in brackets"), ("[::1]", "ADDRESS:PORT"), ("[:::1]:5060", "ADDRESS:PORT"),
])
def test_bind_that_cannot_be_is_refused_with_its_place(lab, bind, why):
    config = {"node": {"name": "n", "site": "a", "home_domains": ["example.net"]},
              "listeners": [{"name": "out", "side": "access", "transport": "udp", "bind": bind},
                            {"name": "in", "side": "core", "transport": "udp", "bind": "[::1]:5058",
                             "allow": ["2001:db8::/32"]}],
              "sites": {"a": {"targets": ["sip:[2001:db8::1]:5054"]}}}
    path = lab.path("bad.yaml")
    path.write_text(json.dumps(config, indent=1))
    done = subprocess.run([program("bono"), "--check", path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert why in done.stdout and f"{path}:" in done.stdout, done.stdout
