"""Between sites over TLS: both ends say who they are, and who does not is not spoken to.

The Sprouts' TLS is that of socat, in front of simulated ones: another's words about certificates.
"""

import ssl

import pytest

from bono_lab import Authority, Bono, Client, Process, SproutSim, TcpClient, TlsClient, until
from bono_lab.bono import tcp_open
from bono_lab.sip import options_to

SPROUT_B = "sprout.site-b.example.net"
OURS = "bono-1.site-a.example.net"


def listeners(lab):
    edge = lab.ip(1)
    return [
        {"name": "access-udp", "side": "access", "transport": "udp", "bind": f"{edge}:5060"},
        {"name": "access-tcp", "side": "access", "transport": "tcp", "bind": f"{edge}:5060"},
        {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{edge}:5058",
         "allow": ["127.0.0.0/8"], "path": True},
        {"name": "core-tls", "side": "core", "transport": "tls", "bind": f"{edge}:5059",
         "tls": "intersite", "allow_names": [SPROUT_B]},
    ]


def start(lab, authority, tls_name=SPROUT_B, ca=None, **changes):
    """site-a in plaintext at home, site-b over TLS."""
    ours = authority.issue("ours", names=[OURS], ips=[lab.ip(1)])
    target = {"uri": f"sip:{lab.ip(21)}:5061;transport=tls"}
    if tls_name is not None:
        target["tls_name"] = tls_name
    return Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"],
                      "site-b": {"tls": "intersite", "targets": [target]}},
                listeners=listeners(lab),
                tls={"intersite": {"certificate": ours.certificate, "key": ours.key,
                                   "ca": ca or authority.ca}}, **changes)


def sprouts_b(lab, certificate, ca):
    """Asks for a certificate of that CA and shows its own."""
    sprout = SproutSim(lab, "site-b", [f"{lab.ip(22)}:5054"], "tcp")
    lab.add(Process("socat", ["socat", f"openssl-listen:5061,bind={lab.ip(21)},reuseaddr,fork,"
                              f"certificate={certificate.certificate},key={certificate.key},"
                              f"cafile={ca},verify=1", f"tcp:{lab.ip(22)}:5054"],
                    lab.path("socat.log")))
    until(lambda: tcp_open((lab.ip(21), 5061)), "socat to listen")
    return sprout


def result(bono, side, name):
    return bono.metrics().sum("bono_tls_handshakes_total", side=side, result=name)


def test_a_site_over_tls_serves_when_both_ends_are_who_they_say(lab, authority):
    sprouts_b(lab, authority.issue("sprout", names=[SPROUT_B]), authority.ca)
    home = SproutSim(lab, "site-a", [f"{lab.ip(11)}:5054"])
    bono = start(lab, authority)
    bono.wait_for_targets(site_a="UP", site_b="UP")
    Client(lab, bono, "alice").register()
    home.fault("refuse")
    bono.wait_for_targets(site_a="DOWN")
    Client(lab, bono, "bob").register()
    metrics = bono.metrics()
    assert metrics.sum("bono_target_requests_total", site="site-b") >= 1
    assert result(bono, "core", "ok") >= 1


@pytest.mark.parametrize("what", ["wrong_name", "unknown_ca", "expired"])
def test_a_sprout_that_does_not_prove_its_name_is_not_used(lab, authority, what):
    if what == "unknown_ca":
        certificate = Authority(lab.path("other-ca")).issue("sprout", names=[SPROUT_B])
    elif what == "expired":
        certificate = authority.expired("sprout", names=[SPROUT_B])
    else:
        certificate = authority.issue("sprout", names=["impostor.example.net"])
    sprouts_b(lab, certificate, authority.ca)
    SproutSim(lab, "site-a", [f"{lab.ip(11)}:5054"])
    bono = start(lab, authority)
    bono.wait_for_targets(site_a="UP", site_b="DOWN")
    target = bono.targets()["site-b/sprout-1"]
    assert target["reason"] == "TLS failed", target
    assert result(bono, "core", what) >= 1
    assert bono.metrics().sum("bono_target_transitions_total", site="site-b", to="DOWN",
                              reason="probe_tls") >= 1
    Client(lab, bono, "alice").register()       # the other site's work
    assert bono.metrics().sum("bono_target_requests_total", site="site-b") == 0


def test_the_address_is_the_name_where_the_file_gives_none(lab, authority):
    sprouts_b(lab, authority.issue("sprout", ips=[lab.ip(21)]), authority.ca)
    bono = start(lab, authority, tls_name=None)
    bono.wait_for_targets(site_b="UP")


def test_a_sprout_refuses_a_node_of_another_house(lab, authority):
    """And says so: what comes back is an alert."""
    stranger = Authority(lab.path("other-ca"))
    sprouts_b(lab, authority.issue("sprout", names=[SPROUT_B]), stranger.ca)
    bono = start(lab, authority)
    bono.wait_for_targets(site_b="DOWN")
    # TLS 1.3 tells a client so after its own end of the handshake, else the handshake fails.
    assert result(bono, "core", "ok") + result(bono, "core", "peer_alert") >= 1


# ---- who enters ----

def context_of(authority, certificate=None):
    context = ssl.create_default_context(cafile=authority.ca)
    context.check_hostname = False
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


def is_let_in(lab, authority, certificate):
    """Does an OPTIONS over the core TLS listener get an answer?"""
    core = (lab.ip(1), 5059)
    try:
        way = TlsClient(lab.client_ip(), core, context_of(authority, certificate))
    except (ssl.SSLError, ConnectionError):
        return False
    try:
        way.send(options_to(way, core))
        until(lambda: way.pump(0.2) or way.closed or way.got(lambda m: m.is_response),
              "an answer or the end")
        return not way.closed
    except (ssl.SSLError, ConnectionError):
        return False
    finally:
        way.close()


def test_only_named_peers_enter_the_core(lab, authority):
    bono = start(lab, authority)
    other = Authority(lab.path("other-ca"))
    assert is_let_in(lab, authority, authority.issue("peer", names=[SPROUT_B]))
    assert is_let_in(lab, authority, authority.issue("peer-uri", uris=[f"sip:{SPROUT_B}"]))
    strangers = {
        "no_client_certificate": None,
        "wrong_name": authority.issue("wrong", names=["impostor.example.net"]),
        "unknown_ca": other.issue("foreign", names=[SPROUT_B]),
        "expired": authority.expired("gone", names=[SPROUT_B]),
        "not_yet_valid": authority.not_yet_valid("early", names=[SPROUT_B]),
    }
    for counted, certificate in strangers.items():
        before = result(bono, "core", counted)
        assert not is_let_in(lab, authority, certificate), counted
        until(lambda counted=counted, before=before: result(bono, "core", counted) > before,
              f"{counted} to be counted")
    bono.assert_serving()


def test_plain_sip_at_a_tls_listener_is_counted(lab, authority):
    bono = start(lab, authority)
    way = TcpClient(lab.client_ip(), (lab.ip(1), 5059))
    way.send(options_to(way, (lab.ip(1), 5059)))
    way.wait_for_close()
    way.close()
    until(lambda: result(bono, "core", "not_tls") == 1, "plain SIP to be counted")


def test_who_verifies_nothing_is_told_at_the_start(lab, authority):
    ours = authority.issue("ours", names=[OURS])
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"],
                      "site-b": {"tls": "intersite", "targets": [f"sip:{lab.ip(21)};transport=tls"]}},
                listeners=listeners(lab),
                tls={"intersite": {"certificate": ours.certificate, "key": ours.key,
                                   "ca": authority.ca, "verify": "none"}})
    assert bono.log_contains("site site-b: reached over TLS by profile intersite, which verifies nothing")


def test_simulated_sprouts_speak_tls_and_reach_their_edge_by_it(lab, authority):
    """Both ways: the edge connects to register, the Sprout connects to the Path with a call's request."""
    sprout = authority.issue("sprout", names=[SPROUT_B], ips=[lab.ip(21)])
    ours = authority.issue("ours", names=[OURS], ips=[lab.ip(1)])
    edge = lab.ip(1)
    SproutSim(lab, "site-b", [f"{lab.ip(21)}:5061"], "tls", certificate=sprout, ca=authority.ca)
    bono = Bono(lab, {"site-b": {"tls": "intersite",
                                 "targets": [{"uri": f"sip:{lab.ip(21)}:5061;transport=tls",
                                              "tls_name": SPROUT_B}]}},
                node={"site": "site-b"},
                listeners=[{"name": "access-udp", "side": "access", "transport": "udp", "bind": f"{edge}:5060"},
                           {"name": "access-tcp", "side": "access", "transport": "tcp", "bind": f"{edge}:5060"},
                           {"name": "core-tls", "side": "core", "transport": "tls", "bind": f"{edge}:5059",
                            "tls": "intersite", "allow_names": [SPROUT_B]}],
                tls={"intersite": {"certificate": ours.certificate, "key": ours.key, "ca": authority.ca}})
    bono.wait_for_targets(site_b="UP")
    alice, bob = Client(lab, bono, "alice"), Client(lab, bono, "bob")
    alice.register()
    bob.register()
    alice.end.send(alice.request_bytes("MESSAGE", "sip:bob@example.net", body=b"hello"))
    bob.end.send(bob.end.request("MESSAGE").reply(200))
    assert alice.end.response("MESSAGE").status == 200
    assert result(bono, "core", "ok") >= 2
