"""A Sprout or a whole site fails, each in its own way: the very request that met it is answered."""

import pytest

from bono_lab import Baresip, Bono, Client, ScriptedSprout, SproutSim, until
from bono_lab.sip import Background, Call, parameter

# Probes so slow that traffic always meets the fault first.
BLIND = {"interval": "60s", "timeout": "1s", "fall": 2, "rise": 2}


@pytest.fixture
def sites(lab):
    lab.sites = {"site-a": [f"{lab.ip(11)}:5054", f"{lab.ip(12)}:5054"],
                 "site-b": [f"{lab.ip(21)}:5054", f"{lab.ip(22)}:5054"]}
    lab.site_a = SproutSim(lab, "site-a", lab.sites["site-a"])
    lab.site_b = SproutSim(lab, "site-b", lab.sites["site-b"])
    return lab


def start(lab, core, **changes):
    bono = Bono(lab, lab.sites, core, **changes)
    bono.wait_for_targets(site_a="UP", site_b="UP")
    return bono


def call_between(alice, bob):
    """A whole call, bob's side by a thread."""
    def answer():
        invite = bob.end.request("INVITE")
        invite.reply(180, headers=[("Contact", bob.end.contact(bob.user))])
        invite.reply(200, headers=[("Contact", bob.end.contact(bob.user)),
                                   ("Content-Type", "application/sdp")], body=b"v=0\r\n")
        bob.end.request("ACK")
        bob.end.request("BYE").reply(200)
    callee = Background(answer)
    call = Call(alice, bob.aor)
    assert call.answer().status == 200, repr(call.final)
    call.ack()
    assert call.bye().status == 200
    callee.finish()


@pytest.mark.parametrize("core", ["tcp", "udp"])
def test_killed_site_is_left_within_the_request(sites, core):
    bono = start(sites, core, health=BLIND)
    alice = Client(sites, bono, "alice")
    bob = Client(sites, bono, "bob", "tcp")
    alice.register()
    bob.register()
    sites.site_a.kill()
    alice.register()
    bob.register()
    call_between(alice, bob)
    call_between(bob, alice)
    metrics = bono.metrics()
    assert metrics.sum("bono_failovers_total", from_site="site-a", to_site="site-b") > 0
    assert metrics.sum("bono_requests_lost_total") == 0


@pytest.mark.parametrize("core", ["tcp", "udp"])
@pytest.mark.parametrize("fault", ["refuse", "blackhole", "hang", "status 503"])
def test_faulty_site_is_left_within_the_request(sites, core, fault):
    bono = start(sites, core, health=BLIND)
    alice = Client(sites, bono, "alice")
    bob = Client(sites, bono, "bob")
    alice.register()
    bob.register()
    sites.site_a.fault(fault)
    alice.register()
    call_between(alice, bob)
    metrics = bono.metrics()
    assert metrics.sum("bono_failovers_total") > 0
    assert metrics.sum("bono_requests_lost_total") == 0


@pytest.mark.parametrize("core", ["tcp", "udp"])
def test_one_faulty_sprout_moves_us_to_its_twin_before_the_other_site(sites, core):
    """Users spread over both Sprouts of the site: some of twenty meet the one that refuses."""
    bono = start(sites, core, health=BLIND)
    sites.site_a.fault("refuse", target=sites.sites["site-a"][0])
    for number in range(20):
        Client(sites, bono, f"user{number}").register()
    metrics = bono.metrics()
    assert metrics.sum("bono_failovers_total", from_site="site-a", to_site="site-a") > 0
    assert metrics.sum("bono_failovers_total", to_site="site-b") == 0


@pytest.mark.parametrize("core", ["tcp", "udp"])
def test_only_503_everywhere_gives_one_503_with_the_shortest_retry_after(sites, core):
    bono = start(sites, core, health=BLIND)
    alice = Client(sites, bono, "alice")
    sites.site_a.fault("status 503 40", target=sites.sites["site-a"][0])
    sites.site_a.fault("status 503 30", target=sites.sites["site-a"][1])
    sites.site_b.fault("status 503 20", target=sites.sites["site-b"][0])
    sites.site_b.fault("status 503 50", target=sites.sites["site-b"][1])
    answer = alice.end.ask(alice.register_bytes())
    assert answer.status == 503
    # The answer is ours, its Retry-After spread so that not all clients come back together.
    assert 15 <= int(answer.get("retry-after").split()[0].split(";")[0]) < 30
    assert not [m for m in alice.end.all if m is not answer and m.status >= 200]


def test_status_other_than_503_is_an_answer(sites):
    bono = start(sites, "tcp", health=BLIND)
    alice = Client(sites, bono, "alice")
    sites.site_a.fault("status 500")
    assert alice.end.ask(alice.register_bytes()).status == 500
    assert bono.metrics().sum("bono_failovers_total") == 0


@pytest.mark.parametrize("core", ["tcp", "udp"])
def test_everything_dead_is_answered_all_the_same(sites, core):
    bono = start(sites, core, health=BLIND, failover={"deadline": "3s"})
    alice = Client(sites, bono, "alice")
    alice.register()
    sites.site_a.kill()
    sites.site_b.kill()
    answer = alice.end.ask(alice.register_bytes())
    assert answer.status == 503 and answer.has("retry-after"), repr(answer)
    call = Call(alice, "sip:bob@example.net")
    assert call.answer().status in (503, 504)
    call.ack()
    assert bono.metrics().sum("bono_requests_lost_total") >= 2


@pytest.mark.parametrize("core", ["tcp", "udp"])
def test_probes_see_death_and_recovery(sites, core):
    bono = start(sites, core)
    sites.site_a.fault("blackhole")
    bono.wait_for_targets(site_a="DOWN", site_b="UP")
    serving = {site["name"]: site["serving"] for site in bono.status()["sites"]}
    assert serving == {"site-a": False, "site-b": True}
    before = bono.metrics().sum("bono_failovers_total")
    Client(sites, bono, "alice").register()
    assert bono.metrics().sum("bono_failovers_total") == before, "site-b is asked at once"
    sites.site_a.fault("none")
    bono.wait_for_targets(site_a="UP", site_b="UP")
    until(lambda: bono.metrics().sum("bono_site_serving", site="site-a") == 1, "failback")
    bob = Client(sites, bono, "bob")

    def at_home():  # a user comes home at some point of the ramp
        answer = bob.register()
        return any(ip in answer.get("service-route") for ip in (sites.ip(11), sites.ip(12)))

    until(at_home, "bob is registered at home again")


@pytest.mark.parametrize("core", ["tcp", "udp"])
def test_reset_connections_lose_nothing(sites, core):
    """The site dies and comes back between two requests: the pooled connections are dead."""
    bono = start(sites, core, health=BLIND)
    alice = Client(sites, bono, "alice")
    alice.register()
    sites.site_a.fault("refuse")
    sites.site_a.fault("none")
    alice.register()
    assert bono.metrics().sum("bono_requests_lost_total") == 0


@pytest.mark.parametrize("core", ["tcp", "udp"])
def test_ringing_call_is_never_taken_elsewhere(lab, core):
    """A provisional but 100 ends the search: RFC 3261 16.7, and the callee's phone rings."""
    first, second = ScriptedSprout(lab, lab.ip(11)), ScriptedSprout(lab, lab.ip(21))
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"], "site-b": [f"{lab.ip(21)}:5054"]}, core,
                health=BLIND, failover={"deadline": "1s"})
    bono.wait_for_targets(site_a="UP", site_b="UP")
    alice = Client(lab, bono, "alice")
    alice.end.send(alice.register_bytes())
    first.accept_register()
    assert alice.end.response("REGISTER").status == 200
    call = Call(alice, "sip:bob@example.net")
    invite = first.expect("INVITE")
    invite.reply(180)
    call.ringing()
    # The deadline of the search has no say over a ringing call; a 503 is now the callee's answer.
    invite.reply(503, headers=[("Retry-After", 5)])
    assert call.answer().status in (500, 503)       # RFC 3261 16.7 step 6: 503 may become 500
    call.ack()
    second.nothing_but("OPTIONS")


@pytest.mark.parametrize("core", ["tcp", "udp"])
def test_503_before_ringing_moves_the_call(lab, core):
    first, second = ScriptedSprout(lab, lab.ip(11)), ScriptedSprout(lab, lab.ip(21))
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"], "site-b": [f"{lab.ip(21)}:5054"]}, core,
                health=BLIND)
    bono.wait_for_targets(site_a="UP", site_b="UP")
    alice = Client(lab, bono, "alice")
    alice.end.send(alice.register_bytes())
    first.accept_register()
    assert alice.end.response("REGISTER").status == 200
    call = Call(alice, "sip:bob@example.net")
    invite = first.expect("INVITE")
    invite.reply(100)
    invite.reply(503)
    assert first.expect("ACK").get("call-id") == invite.get("call-id")
    again = second.expect("INVITE")
    assert parameter(again.values("via")[0], "branch") != parameter(invite.values("via")[0], "branch")
    again.reply(486)
    assert call.answer().status == 486
    call.ack()


def test_baresip_calls_while_sites_die(sites):
    bono = start(sites, "tcp")
    alice = Baresip(sites, "alice", bono.access, "udp").wait_for_register()
    bob = Baresip(sites, "bob", bono.access, "tcp").wait_for_register()
    sites.site_a.kill()
    alice.call("bob")
    alice.wait_for("CALL_ESTABLISHED")
    bob.wait_for("CALL_ESTABLISHED")
    alice.hang_up()
    bob.wait_for("CALL_CLOSED")
