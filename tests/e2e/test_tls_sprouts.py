"""A Sprout over TLS that is not who it should be: its state, the reason, a counter, a line; and the other site serves."""

import re

import pytest

from bono_lab import Authority, Bono, Client, Knot, Process, SproutSim, until
from bono_lab.bono import tcp_open

SPROUT = "sprout.site-a.example.net"
OURS = "bono-1.site-a.example.net"


def sprout(lab, certificate, ca=None, port=5054):
    """Site-a's only one, over TLS; with ca it asks for a certificate."""
    return SproutSim(lab, "site-a", [f"{lab.ip(11)}:{port}"], "tls", certificate=certificate, ca=ca)


def unsound_sprout(lab, certificate):
    """sprout-sim refuses to start with a certificate out of its dates; socat in front of it does not look."""
    SproutSim(lab, "site-a", [f"{lab.ip(12)}:5054"], "tcp")
    lab.add(Process("socat", ["socat", f"openssl-listen:5054,bind={lab.ip(11)},reuseaddr,fork,"
                              f"certificate={certificate.certificate},key={certificate.key},verify=0",
                              f"tcp:{lab.ip(12)}:5054"], lab.path("socat.log")))
    until(lambda: tcp_open((lab.ip(11), 5054)), "socat to listen")


def start(lab, authority, site_a=None, verify="name", shows=True, **changes):
    """site-a at home is reached over TLS, site-b in plaintext."""
    ours = authority.issue("ours", names=[OURS])
    profile = {"ca": authority.ca, "verify": verify}
    if shows:
        profile.update(certificate=ours.certificate, key=ours.key)
    SproutSim(lab, "site-b", [f"{lab.ip(21)}:5054"])
    site_a = site_a or {"targets": [{"uri": f"sip:{lab.ip(11)}:5054;transport=tls", "tls_name": SPROUT}]}
    ip, everyone = lab.ip(1), ["127.0.0.0/8"]
    listeners = [
        {"name": "access-udp", "side": "access", "transport": "udp", "bind": f"{ip}:5060"},
        {"name": "access-tcp", "side": "access", "transport": "tcp", "bind": f"{ip}:5060"},
        {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{ip}:5058", "allow": everyone, "path": True},
        {"name": "core-tls", "side": "core", "transport": "tls", "bind": f"{ip}:5059", "allow": everyone, "tls": "door"}]
    return Bono(lab, {"site-a": {"tls": "core", **site_a}, "site-b": [f"{lab.ip(21)}:5054"]}, listeners=listeners,
                tls={"core": profile, "door": {"certificate": ours.certificate, "key": ours.key, "ca": authority.ca}},
                **changes)


def result(bono, name):
    return bono.metrics().sum("bono_tls_handshakes_total", side="core", result=name)


def requests_to(bono, site):
    return bono.metrics().sum("bono_target_requests_total", site=site)


def refused(bono, why, reason="TLS failed"):
    """Everything that the operator sees of it; and clients see nothing."""
    bono.wait_for_targets(site_a="DOWN", site_b="UP")
    code, told, _ = bono.ctl("targets")
    assert code == 0
    line = next(line for line in told.splitlines() if "site-a" in line)
    assert "DOWN" in line and reason in line, told
    assert [target["reason"] for name, target in bono.targets().items() if name.startswith("site-a/")] == [reason]
    if why is not None:
        def as_many_lines_as_handshakes():
            count = result(bono, why)       # of more than 20 in ten seconds the rest is summed up
            return count >= 2 and len(re.findall(rf"handshake failed, {why}: .+", bono.log().decode())) == min(count, 20)
        until(as_many_lines_as_handshakes, f"a line for each {why}: {bono.tail()}")
    Client(bono.lab, bono, "alice").register()
    assert requests_to(bono, "site-a") == 0 and requests_to(bono, "site-b") >= 1


def serves(bono):
    bono.wait_for_targets(site_a="UP", site_b="UP")
    Client(bono.lab, bono, "alice").register()
    assert requests_to(bono, "site-a") == 1 and requests_to(bono, "site-b") == 0
    assert "handshake failed" not in bono.log().decode()


# ---- names ----

def test_the_right_name_serves(lab, authority):
    sprout(lab, authority.issue("sprout", names=["something.else.example", SPROUT]), authority.ca)
    serves(start(lab, authority))


def test_a_name_as_uri_serves(lab, authority):
    sprout(lab, authority.issue("sprout", uris=[f"sip:{SPROUT}"]))
    serves(start(lab, authority))


@pytest.mark.parametrize("names", [["impostor.example.net"], ["*.site-a.example.net"], [f"sip:alice@{SPROUT}"],
                                   [f"{SPROUT}.evil.example"]])
def test_a_wrong_name_is_refused(lab, authority, names):
    """RFC 5922 7.2: no wildcards, no user, and the subject counts only where there is no alternative."""
    sprout(lab, authority.issue("sprout", names=names, common_name=SPROUT))
    refused(start(lab, authority), "wrong_name")


def test_an_unknown_authority_is_refused(lab, authority):
    sprout(lab, Authority(lab.path("stranger")).issue("sprout", names=[SPROUT]))
    refused(start(lab, authority), "unknown_ca")


def test_an_expired_certificate_is_refused(lab, authority):
    unsound_sprout(lab, authority.expired("sprout", names=[SPROUT]))
    bono = start(lab, authority)
    refused(bono, "expired")
    assert re.search(r"certificate of CN=sprout expired \d{4}-\d\d-\d\d", bono.log().decode())


def test_a_certificate_of_tomorrow_is_refused(lab, authority):
    unsound_sprout(lab, authority.not_yet_valid("sprout", names=[SPROUT]))
    refused(start(lab, authority), "not_yet_valid")


def test_a_clients_certificate_is_no_servers(lab, authority):
    sprout(lab, authority.issue("sprout", names=[SPROUT], usage="clientAuth"))
    refused(start(lab, authority), "other_certificate")


@pytest.mark.parametrize("shown,state", [(11, "UP"), (12, "DOWN")])
def test_a_target_given_by_address_shows_its_address(lab, authority, shown, state):
    sprout(lab, authority.issue("sprout", ips=[lab.ip(shown)]))
    bono = start(lab, authority, {"targets": [f"sip:{lab.ip(11)}:5054;transport=tls"]})
    serves(bono) if state == "UP" else refused(bono, "wrong_name")


# ---- the other way round: the Sprout judges us ----

def test_a_sprout_that_demands_a_certificate_gets_ours_or_is_down(lab, authority):
    sim = sprout(lab, authority.issue("sprout", names=[SPROUT]), authority.ca)
    bono = start(lab, authority, shows=False)
    refused(bono, None)
    assert result(bono, "peer_alert") + result(bono, "ok") >= 1
    assert sim.alive()


# ---- ways out ----

def test_verify_chain_takes_any_name_of_the_authority(lab, authority):
    sprout(lab, authority.issue("sprout", names=["impostor.example.net"]))
    serves(start(lab, authority, verify="chain"))


def test_verify_chain_takes_no_other_authority(lab, authority):
    sprout(lab, Authority(lab.path("stranger")).issue("sprout", names=[SPROUT]))
    refused(start(lab, authority, verify="chain"), "unknown_ca")


def test_verify_none_takes_anybody(lab, authority):
    unsound_sprout(lab, Authority(lab.path("stranger")).expired("sprout", names=["impostor.example.net"]))
    serves(start(lab, authority, verify="none"))


# ---- found by DNS: the name is that of the domain (RFC 5922 4) ----

def discovered(lab, authority, names):
    sprout(lab, authority.issue("sprout", names=names), authority.ca, 5061)
    knot = Knot(lab, ["core NAPTR 10 10 \"s\" \"SIPS+D2T\" \"\" _sips._tcp.core", "_sips._tcp.core SRV 1 50 5061 s1",
                      f"s1 A {lab.ip(11)}"])
    return start(lab, authority, {"discover": "sip:core.example.test"},
                 dns={"servers": [f"{ip}:{port}" for ip, port in [knot.address]], "timeout": "300ms"})


def test_a_discovered_sprout_shows_the_domain(lab, authority):
    serves(discovered(lab, authority, ["core.example.test"]))


def test_a_discovered_sprout_that_shows_only_its_host_is_refused(lab, authority):
    """Whoever lies in DNS has a certificate of his own host, too."""
    bono = discovered(lab, authority, ["s1.example.test", "_sips._tcp.core.example.test"])
    refused(bono, "wrong_name")
    assert bono.log_contains("does not show core.example.test")


# ---- in the midst of a request ----

def test_a_request_that_meets_a_false_sprout_goes_to_the_other_site(lab, authority):
    """The connection of before is gone, no probe has looked yet: the request itself finds out."""
    good = authority.issue("sprout", names=[SPROUT])
    true = sprout(lab, good)
    # health is asked so seldom that only traffic can have noticed
    bono = start(lab, authority, health={"interval": "60s", "timeout": "250ms", "fall": 2, "rise": 1})
    serves(bono)
    true.kill()
    until(lambda: bono.metrics().sum("bono_connections", side="core") <= 1, "the connections of before to be gone")
    authority.issue("sprout", names=["impostor.example.net"])
    false = sprout(lab, good)
    until(lambda: tcp_open((lab.ip(11), 5054)), "the false one to listen")
    bob = Client(lab, bono, "bob")
    bob.register()
    assert len(bob.end.got(lambda m: m.is_response and m.status >= 200)) == 1
    assert requests_to(bono, "site-b") == 1 and result(bono, "wrong_name") >= 1
    bono.wait_for_targets(site_a="DOWN")        # asked at once, of course
    assert bono.targets()["site-a/sprout-1"]["reason"] == "TLS failed"
    assert false.alive()
