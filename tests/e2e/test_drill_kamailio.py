"""A site of real Kamailio dies during a call of a real phone: the BYE, the next call to and from that phone
and its re-registration all work. Both sites are Kamailio, their registrations replicated by dmq_usrloc."""

import pytest

from bono_lab import Baresip, Bono, KamailioSprout, until


@pytest.fixture(params=["tcp", "udp"])
def scene(lab, request):
    """Two sites, Bono in site-a, traffic to the Sprouts over both transports."""
    core, one, two = request.param, lab.ip(11), lab.ip(21)
    lab.site_a = KamailioSprout(lab, "site-a", one, two, transport=core)
    lab.site_b = KamailioSprout(lab, "site-b", two, one, transport=core)
    lab.site_a.wait_for_peer()
    lab.site_b.wait_for_peer()
    lab.bono = Bono(lab, {"site-a": [f"{one}:5054"], "site-b": [f"{two}:5054"]}, core, workers=2,
                    health={"interval": "2s", "timeout": "800ms", "fall": 2, "rise": 3},
                    failback={"hold_down": "2s", "ramp": "4s"})
    lab.bono.wait_for_targets(site_a="UP", site_b="UP")
    return lab


def registered(scene, user, transport, regint=60):
    """A phone that both sites know."""
    phone = Baresip(scene, user, scene.bono.access, transport, regint=regint,
                    tone_s=100).wait_for_register()
    for sprout in (scene.site_a, scene.site_b):
        sprout.wait_for_contacts(user)
    return phone


def established(caller, callee):
    before = len(caller.happened("CALL_ESTABLISHED")), len(callee.happened("CALL_ESTABLISHED"))
    caller.call(callee.user)
    caller.wait_for("CALL_ESTABLISHED", before[0] + 1)
    callee.wait_for("CALL_ESTABLISHED", before[1] + 1)


def hung_up(by, other):
    """The other phone hears the BYE."""
    before = len(other.happened("CALL_CLOSED"))
    by.hang_up()
    other.wait_for("CALL_CLOSED", before + 1)


def talk(caller, callee):
    established(caller, callee)
    hung_up(caller, callee)


def answers(scene, method, code_class):
    """Those that Bono gave to phones."""
    return scene.bono.metrics().sum("bono_responses_total", side="access", method=method,
                                    code_class=code_class)


def assert_nobody_noticed(scene):
    assert scene.bono.metrics().sum("bono_requests_lost_total") == 0
    for method in ("REGISTER", "INVITE", "BYE"):
        for code_class in ("4xx", "5xx", "6xx"):
            assert answers(scene, method, code_class) == 0, f"{method} got {code_class}"


@pytest.mark.parametrize("hangs_up", ["caller", "callee"])
def test_site_dies_during_a_call(scene, hangs_up):
    alice = registered(scene, "alice", "udp")
    bob = registered(scene, "bob", "tcp")
    established(alice, bob)
    scene.site_a.kill()
    if hangs_up == "caller":
        hung_up(alice, bob)
    else:
        hung_up(bob, alice)
    talk(alice, bob)
    talk(bob, alice)
    assert_nobody_noticed(scene)


def test_phone_registers_again_with_its_site_dead(scene):
    """regint 10: baresip asks again within that time, by itself."""
    alice = registered(scene, "alice", "udp", regint=10)
    bob = registered(scene, "bob", "tcp")
    established(alice, bob)
    scene.site_a.kill()
    before = answers(scene, "REGISTER", "2xx")
    until(lambda: answers(scene, "REGISTER", "2xx") > before, "alice to register again", 30)
    assert scene.site_b.contacts("alice") == 1
    hung_up(bob, alice)
    talk(bob, alice)
    assert_nobody_noticed(scene)


def test_site_comes_back_and_knows_everybody(scene):
    """Killed, left, started again: it learns the registrations from its twin, and work returns."""
    alice = registered(scene, "alice", "udp")
    bob = registered(scene, "bob", "tcp")
    scene.site_a.kill()
    established(alice, bob)
    scene.site_a = KamailioSprout(scene, "site-a", scene.ip(11), scene.ip(21),
                                  transport=scene.site_a.transport)
    for user in ("alice", "bob"):
        scene.site_a.wait_for_contacts(user)
    scene.bono.wait_for_targets(site_a="UP", site_b="UP")
    until(lambda: scene.bono.metrics().sum("bono_site_serving", site="site-a") == 1, "site-a to serve", 30)
    hung_up(bob, alice)
    talk(alice, bob)
    talk(bob, alice)
    assert_nobody_noticed(scene)
