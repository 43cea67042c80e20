"""A site whose Sprout is Kamailio, over TLS in both directions: Bono enters it with a certificate, and it Bono."""

from bono_lab import Authority, Baresip, Bono, KamailioSprout, until

SPROUT, OURS = "sprout.site-a.example.net", "bono-1.site-a.example.net"


def start(lab, authority, sprout_names=(SPROUT,), sprout_ca=None, expected=SPROUT, allowed=SPROUT):
    """sprout_ca: of those whom Kamailio believes. expected: its name; allowed: that by which it may enter."""
    ip, edge = lab.ip(11), lab.ip(1)
    ours = authority.issue("ours", names=[OURS])
    lab.sprout = KamailioSprout(lab, "site-a", ip, ip, transport="tls", ca=sprout_ca or authority.ca,
                                certificate=authority.issue("sprout", names=sprout_names))
    return Bono(
        lab, {"site-a": {"tls": "intersite", "targets": [{"uri": f"sip:{ip}:5054;transport=tls",
                                                          "tls_name": expected}]}}, workers=2,
        listeners=[
            {"name": "access-udp", "side": "access", "transport": "udp", "bind": f"{edge}:5060"},
            {"name": "access-tcp", "side": "access", "transport": "tcp", "bind": f"{edge}:5060"},
            {"name": "core-tls", "side": "core", "transport": "tls", "bind": f"{edge}:5058",
             "tls": "intersite", "allow_names": [allowed], "path": True}],
        tls={"intersite": {"certificate": ours.certificate, "key": ours.key, "ca": authority.ca}})


def handshakes(bono, result):
    return bono.metrics().sum("bono_tls_handshakes_total", side="core", result=result)


def test_phones_register_and_call_with_kamailio_over_tls(lab, authority):
    bono = start(lab, authority)
    bono.wait_for_targets(site_a="UP")
    alice = Baresip(lab, "alice", bono.access, "udp", tone_s=60).wait_for_register()
    bob = Baresip(lab, "bob", bono.access, "tcp", tone_s=60).wait_for_register()
    assert lab.sprout.contacts("alice") == 1
    binding = lab.sprout.rpc("ul.lookup", "location", "alice@example.net")
    assert ":5058;transport=tls;lr;ob>" in binding, binding
    for caller, callee in ((alice, bob), (bob, alice)):
        established = len(callee.happened("CALL_ESTABLISHED"))
        closed = len(callee.happened("CALL_CLOSED"))
        caller.call(callee.user)
        callee.wait_for("CALL_ESTABLISHED", established + 1)
        caller.wait_for("CALL_ESTABLISHED", established + 1)
        caller.hang_up()
        callee.wait_for("CALL_CLOSED", closed + 1)
    assert handshakes(bono, "ok") >= 1


def test_kamailio_of_another_name_is_not_used(lab, authority):
    bono = start(lab, authority, sprout_names=["impostor.example.net"])
    bono.wait_for_targets(site_a="DOWN")
    assert bono.targets()["site-a/sprout-1"]["reason"] == "TLS failed"
    assert handshakes(bono, "wrong_name") >= 1


def test_kamailio_refuses_a_node_of_another_house(lab, authority):
    bono = start(lab, authority, sprout_ca=Authority(lab.path("other-ca")).ca)
    bono.wait_for_targets(site_a="DOWN")
    # TLS 1.3 tells a client so after its own end of the handshake, else the handshake fails.
    assert handshakes(bono, "ok") + handshakes(bono, "peer_alert") >= 1


def test_kamailio_that_is_not_named_does_not_enter(lab, authority):
    """It is believed where we go to it; its own connection to us, for a call, is not."""
    bono = start(lab, authority, allowed="somebody-else.example.net")
    bono.wait_for_targets(site_a="UP")
    phones = [Baresip(lab, user, bono.access, "tcp").wait_for_register() for user in ("alice", "bob")]
    phones[0].call("bob")
    phones[0].wait_for("CALL_CLOSED")
    assert not phones[1].happened("CALL_INCOMING")
    until(lambda: handshakes(bono, "wrong_name") >= 1, "the name to be counted")
