"""baresip, a user agent nobody here wrote, registers with outbound and calls another through Bono;
Kamailio is the Sprout of both sites."""

import pytest

from bono_lab import Baresip, KamailioSprout, until


@pytest.fixture
def scene(lab, edge_kind):
    """Two sites that share their bindings, and an edge that stands in site-a."""
    one, two = lab.ip(11), lab.ip(21)
    lab.site_a = KamailioSprout(lab, "site-a", one, two)
    lab.site_b = KamailioSprout(lab, "site-b", two, one)
    lab.site_a.wait_for_peer()
    lab.site_b.wait_for_peer()
    lab.edge = edge_kind(lab, {"site-a": [f"{one}:5054"], "site-b": [f"{two}:5054"]}, workers=2)
    if hasattr(lab.edge, "wait_for_targets"):
        lab.edge.wait_for_targets(site_a="UP", site_b="UP")
    return lab


def talk(caller, callee):
    """A call that both sides see established, and end."""
    before = len(callee.happened("CALL_ESTABLISHED"))
    before_caller = len(caller.happened("CALL_ESTABLISHED"))
    ended = len(callee.happened("CALL_CLOSED"))
    caller.call(callee.user)
    caller.wait_for("CALL_ESTABLISHED", before_caller + 1)
    callee.wait_for("CALL_ESTABLISHED", before + 1)
    caller.hang_up()
    callee.wait_for("CALL_CLOSED", ended + 1)


@pytest.mark.parametrize("caller_way", ["udp", "tcp"])
@pytest.mark.parametrize("callee_way", ["udp", "tcp"])
def test_two_phones_register_with_outbound_and_call_each_other(scene, caller_way, callee_way):
    alice = Baresip(scene, "alice", scene.edge.access, caller_way).wait_for_register()
    bob = Baresip(scene, "bob", scene.edge.access, callee_way).wait_for_register()
    binding = scene.site_a.rpc("ul.lookup", "location", "alice@example.net")
    assert "Reg-Id: 1" in binding and "urn:uuid:" in binding, binding
    assert ";lr;ob>" in binding, "the Path says that the flow is kept: RFC 5626 5.1"
    talk(alice, bob)
    talk(bob, alice)


@pytest.mark.parametrize("dead", ["site-a", "site-b"])
def test_phones_call_each_other_with_one_site_dead(scene, dead):
    """Registered while both sites live; then one is killed, children and all."""
    alice = Baresip(scene, "alice", scene.edge.access, "udp", regint=60).wait_for_register()
    bob = Baresip(scene, "bob", scene.edge.access, "tcp", regint=60).wait_for_register()
    for sprout in (scene.site_a, scene.site_b):
        sprout.wait_for_contacts("alice").wait_for_contacts("bob")
    (scene.site_a if dead == "site-a" else scene.site_b).kill()
    talk(alice, bob)
    talk(bob, alice)


def test_phone_registers_with_its_own_site_dead(scene):
    scene.site_a.kill()
    alice = Baresip(scene, "alice", scene.edge.access, "tcp").wait_for_register()
    bob = Baresip(scene, "bob", scene.edge.access, "udp").wait_for_register()
    until(lambda: scene.site_b.contacts("alice") == 1, "alice at site-b")
    talk(alice, bob)
