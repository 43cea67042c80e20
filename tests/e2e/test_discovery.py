"""The Sprouts of a site as DNS knows them: found, changed and withdrawn while calls run; DNS dead,
empty and wrong."""

import threading

import pytest

from bono_lab import Bono, Client, Knot, LyingServer, SproutSim, until
from bono_lab.knot import is_truncated
from bono_lab.sip import Background, Call

SRV = 33


@pytest.fixture
def sites(lab):
    """Two Sprouts of site-a that DNS shall know, two of site-b that the configuration knows."""
    lab.sites = {"site-a": [f"{lab.ip(11)}:5054", f"{lab.ip(12)}:5054"],
                 "site-b": [f"{lab.ip(21)}:5054", f"{lab.ip(22)}:5054"]}
    lab.site_a = SproutSim(lab, "site-a", lab.sites["site-a"])
    lab.site_b = SproutSim(lab, "site-b", lab.sites["site-b"])
    return lab


def two_sprouts(lab, kind="tcp"):
    return [f"_sip._{kind}.core SRV 1 50 5054 s1", f"_sip._{kind}.core SRV 1 50 5054 s2",
            f"s1 A {lab.ip(11)}", f"s2 A {lab.ip(12)}"]


def start(lab, servers, uri="sip:core.example.test;transport=tcp", site_a=None, **changes):
    return Bono(lab, {"site-a": site_a or {"discover": uri}, "site-b": lab.sites["site-b"]}, "tcp",
                dns={"servers": [f"{ip}:{port}" for ip, port in servers], "timeout": "300ms"},
                **changes)


def name(lab, host, kind="tcp"):
    return f"site-a/{lab.ip(host)}:5054/{kind}"


def wait_for(bono, **states):
    """wait_for(bono, **{"site-a/...": "UP"}): those targets in those states; None: not there."""
    def stand():
        targets = bono.targets()
        return all(targets.get(target, {"state": None})["state"] == state
                   for target, state in states.items())
    until(stand, f"{states}; log:\n{bono.tail()}", 20)


def results(bono, result):
    return bono.metrics().sum("bono_dns_resolutions_total", result=result)


def age(bono):
    return next(value for series, labels, value in bono.metrics().series
                if series == "bono_dns_age_seconds" and labels == {"name": "core.example.test"})


def lost(bono):
    return bono.metrics().sum("bono_requests_lost_total")


class Traffic:
    """Registrations and calls, one after the other, until told to stop; any that fails is raised."""

    def __init__(self, lab, bono):
        self.alice = Client(lab, bono, "traffic-alice")
        self.bob = Client(lab, bono, "traffic-bob", "tcp")
        self.rounds = 0
        self.enough = threading.Event()
        self.thread = Background(self.run)

    def run(self):
        while not self.enough.is_set():
            self.alice.register()
            self.bob.register()
            call = ring(self.alice, self.bob)
            assert call.bye().status == 200
            call.callee.finish()
            self.rounds += 1

    def go_on(self, rounds=3):
        """Some more of it from here on."""
        goal = self.rounds + rounds
        until(lambda: self.rounds >= goal or not self.thread.is_alive(), "traffic", 30)
        if not self.thread.is_alive():
            self.thread.finish()

    def stop(self):
        self.enough.set()

    def finish(self):
        self.enough.set()
        self.thread.finish(30)


def ring(alice, bob):
    """A call that has been answered; bob hangs on until BYE."""
    def answer():
        invite = bob.end.request("INVITE")
        invite.reply(200, headers=[("Contact", bob.end.contact(bob.user)),
                                   ("Content-Type", "application/sdp")], body=b"v=0\r\n")
        bob.end.request("ACK")
        bob.end.request("BYE", patience=60).reply(200)
    callee = Background(answer)
    call = Call(alice, bob.aor)
    assert call.answer().status == 200, repr(call.final)
    call.ack()
    call.callee = callee
    return call


def served_by(answer, lab):
    """Which host of the lab wrote this Service-Route."""
    return next(host for host in (11, 12, 21, 22) if lab.ip(host) in answer.get("service-route"))


# ---- finding ----

@pytest.mark.parametrize("uri, records", [
    ("sip:core.example.test", ["core NAPTR 20 50 \"s\" \"SIP+D2U\" \"\" _sip._udp.core",
                               "core NAPTR 10 50 \"s\" \"SIP+D2T\" \"\" other",
                               "core NAPTR 5 50 \"s\" \"SIPS+D2T\" \"\" _sips._tcp.core",
                               "other SRV 1 50 5054 s1", "other SRV 1 50 5054 s2"]),
    ("sip:core.example.test", ["_sip._tcp.core SRV 1 50 5054 s1", "_sip._tcp.core SRV 1 50 5054 s2"]),
    ("sip:core.example.test;transport=tcp", ["_sip._tcp.core SRV 1 50 5054 s1",
                                             "_sip._tcp.core SRV 1 50 5054 alias",
                                             "alias CNAME s2"]),
    ("sip:core.example.test:5054;transport=tcp", ["core A @11@", "core A @12@"]),
])
def test_sprouts_are_found_as_rfc_3263_says(sites, uri, records):
    knot = Knot(sites, [line.replace("@11@", sites.ip(11)).replace("@12@", sites.ip(12))
                        for line in records] + two_sprouts(sites)[2:])
    bono = start(sites, [knot.address], uri)
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    assert len([t for t in bono.targets() if t.startswith("site-a/")]) == 2
    alice = Client(sites, bono, "alice")
    assert served_by(alice.register(), sites) in (11, 12)
    assert age(bono) < 5
    assert bono.metrics().sum("bono_target_up", site="site-a") == 2


def test_udp_sprouts_are_found_too(sites):
    knot = Knot(sites, two_sprouts(sites, "udp"))
    bono = start(sites, [knot.address], "sip:core.example.test")
    wait_for(bono, **{name(sites, 11, "udp"): "UP", name(sites, 12, "udp"): "UP"})
    assert served_by(Client(sites, bono, "alice").register(), sites) in (11, 12)


def test_target_with_a_name_stands_beside_one_with_an_address(sites):
    knot = Knot(sites, [f"pool A {sites.ip(12)}"])
    bono = start(sites, [knot.address], site_a={"targets": [
        f"sip:{sites.ip(11)}:5054;transport=tcp",
        {"uri": "sip:pool.example.test:5054;transport=tcp", "weight": 3}]})
    wait_for(bono, **{"site-a/sprout-1": "UP", name(sites, 12): "UP"})
    assert bono.targets()[name(sites, 12)]["weight"] == 3


def test_priority_is_obeyed_within_the_site(sites):
    knot = Knot(sites, ["_sip._tcp.core SRV 20 50 5054 s1", "_sip._tcp.core SRV 10 50 5054 s2"]
                + two_sprouts(sites)[2:])
    bono = start(sites, [knot.address])
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    for number in range(10):
        assert served_by(Client(sites, bono, f"user{number}").register(), sites) == 12
    sites.site_a.fault("refuse", target=sites.sites["site-a"][1])
    for number in range(10):
        assert served_by(Client(sites, bono, f"other{number}").register(), sites) == 11
    assert lost(bono) == 0


def test_64_srv_records_come_over_tcp(sites):
    """128 addresses: more than any UDP answer carries."""
    records = []
    for number in range(64):
        records += [f"_sip._tcp.core SRV 1 50 5054 sprout-number-{number:02}",
                    f"sprout-number-{number:02} A {sites.ip(11) if number == 0 else f'127.1.1.{number}'}",
                    f"sprout-number-{number:02} A {sites.ip(12) if number == 0 else f'127.1.2.{number}'}"]
    knot = Knot(sites, records)
    assert is_truncated(knot.ask("_sip._tcp.core", SRV))
    bono = start(sites, [knot.address])
    until(lambda: len([t for t in bono.targets() if t.startswith("site-a/")]) == 128,
          "128 targets", 20)
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP",
                      "site-a/127.1.1.7:5054/tcp": "DOWN"})
    assert served_by(Client(sites, bono, "alice").register(), sites) in (11, 12)
    assert lost(bono) == 0


# ---- changes while calls run ----

def test_record_added_and_removed_while_calls_run(sites):
    knot = Knot(sites, [two_sprouts(sites)[0]] + two_sprouts(sites)[2:])
    bono = start(sites, [knot.address])
    wait_for(bono, **{name(sites, 11): "UP"})
    traffic = sites.add(Traffic(sites, bono))
    alice, bob = Client(sites, bono, "alice"), Client(sites, bono, "bob")
    alice.register()
    bob.register()
    call = ring(alice, bob)
    traffic.go_on()
    knot.change(add=["_sip._tcp.core SRV 1 50 5054 s2"])
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    traffic.go_on()
    knot.change(remove=["_sip._tcp.core SRV 1 50 5054 s1"])
    wait_for(bono, **{name(sites, 11): "DRAINING", name(sites, 12): "UP"})
    traffic.go_on()
    for number in range(8):
        assert served_by(Client(sites, bono, f"new{number}").register(), sites) == 12
    assert call.bye().status == 200             # it was set up by way of the one that left
    call.callee.finish()
    knot.change(add=["_sip._tcp.core SRV 1 50 5054 s1"])
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    traffic.go_on()
    traffic.finish()
    assert lost(bono) == 0


def test_wrong_addresses_send_the_work_elsewhere(sites):
    """DNS says, soundly, what is not so."""
    knot = Knot(sites, two_sprouts(sites))
    bono = start(sites, [knot.address])
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    traffic = sites.add(Traffic(sites, bono))
    traffic.go_on()
    knot.change(remove=["s1 A", "s2 A"], add=[f"s1 A {sites.ip(13)}", f"s2 A {sites.ip(14)}"])
    wait_for(bono, **{name(sites, 11): "DRAINING", name(sites, 13): "DOWN",
                      name(sites, 14): "DOWN"})
    traffic.go_on()
    knot.change(remove=["s1 A", "s2 A"], add=two_sprouts(sites)[2:])
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    traffic.go_on()
    traffic.finish()
    assert lost(bono) == 0


# ---- DNS fails ----

def test_dead_dns_disturbs_nobody_and_its_news_are_taken_when_it_is_back(sites):
    knot = Knot(sites, two_sprouts(sites))
    bono = start(sites, [knot.address])
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    traffic = sites.add(Traffic(sites, bono))
    traffic.go_on()
    knot.kill()
    until(lambda: results(bono, "failed") >= 2, "resolutions that fail")
    until(lambda: age(bono) > 2, "an answer grown old")
    traffic.go_on()
    traffic.finish()  # no call under way may hang on the Sprout that dies
    # Probing goes on all the while: a Sprout dies and comes back.
    sites.site_a.fault("blackhole", target=sites.sites["site-a"][0])
    wait_for(bono, **{name(sites, 11): "DOWN", name(sites, 12): "UP"})
    sites.site_a.fault("none")
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    traffic = sites.add(Traffic(sites, bono))
    traffic.go_on()
    assert bono.log().count(b"what it said before is kept") == 1
    Knot(sites, two_sprouts(sites)[1:])
    wait_for(bono, **{name(sites, 11): "DRAINING", name(sites, 12): "UP"})
    until(lambda: age(bono) < 2, "a young answer")
    assert bono.log_contains("good answers again")
    traffic.go_on()
    traffic.finish()
    assert lost(bono) == 0


@pytest.mark.parametrize("gone, returns", [
    (["_sip._tcp.core SRV"], ["_sip._tcp.core SRV 1 50 5054 s2"]),              # no such name
    (["s1 A", "s2 A"], None),                                                   # servers without addresses
    (["_sip._tcp.core SRV", "s1 A", "s2 A"], ["_sip._tcp.core SRV 1 50 5054 s2", "s2 A @12@"]),
])
def test_denial_never_empties_a_site(sites, gone, returns):
    knot = Knot(sites, two_sprouts(sites))
    bono = start(sites, [knot.address])
    both_up = {name(sites, 11): "UP", name(sites, 12): "UP"}
    wait_for(bono, **both_up)
    traffic = sites.add(Traffic(sites, bono))
    knot.change(remove=gone)
    until(lambda: results(bono, "negative") >= 3, "answers that deny")
    traffic.go_on()
    wait_for(bono, **both_up)
    assert bono.log().count(b"what it said before is kept") == 1
    if returns is None:
        knot.change(add=[f"s1 A {sites.ip(11)}", f"s2 A {sites.ip(12)}"])
        until(lambda: bono.log_contains("good answers again"), "good answers")
    else:
        knot.change(add=[line.replace("@12@", sites.ip(12)) for line in returns])
        wait_for(bono, **{name(sites, 11): "DRAINING", name(sites, 12): "UP"})
    traffic.go_on()
    traffic.finish()
    assert lost(bono) == 0


def test_empty_answer_never_empties_a_site(sites):
    """The name is there, its SRV is not: NOERROR without records."""
    knot = Knot(sites, two_sprouts(sites) + ["_sip._tcp.core TXT here"])
    bono = start(sites, [knot.address])
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    knot.change(remove=["_sip._tcp.core SRV"], add=[f"core A {sites.ip(13)}"])
    until(lambda: results(bono, "negative") >= 3, "answers that deny")
    assert name(sites, 13) not in bono.targets()
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    assert served_by(Client(sites, bono, "alice").register(), sites) in (11, 12)


@pytest.mark.parametrize("mood", ["noise", "other question", "broken records", "cut", "circle",
                                  "refused", "server failure", "silent"])
def test_rubbish_is_not_believed(sites, mood):
    knot = Knot(sites, two_sprouts(sites))
    liar = LyingServer(sites, knot)
    bono = start(sites, [liar.address])
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    liar.mood = mood
    before = liar.asked
    until(lambda: liar.asked >= before + 2 and results(bono, "failed") >= 2, "resolutions that fail")
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    assert len([t for t in bono.targets() if t.startswith("site-a/")]) == 2
    assert served_by(Client(sites, bono, "alice").register(), sites) in (11, 12)
    good = results(bono, "good")
    liar.mood = "honest"
    until(lambda: results(bono, "good") > good, "good answers")
    assert lost(bono) == 0


def test_second_server_is_asked_when_the_first_is_dead(sites):
    knot = Knot(sites, two_sprouts(sites))
    bono = start(sites, [(sites.ip(55), 5353), knot.address])
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})


def test_start_without_dns_serves_from_the_other_site_until_it_comes(sites):
    bono = start(sites, [(sites.ip(53), 5353)])     # ready, though nobody answers there
    bono.wait_for_targets(site_b="UP")
    until(lambda: results(bono, "failed") >= 1, "a resolution that fails")
    alice = Client(sites, bono, "alice")
    assert served_by(alice.register(), sites) in (21, 22)
    assert bono.log_contains("no targets from it yet")
    Knot(sites, two_sprouts(sites))
    wait_for(bono, **{name(sites, 11): "UP", name(sites, 12): "UP"})
    until(lambda: served_by(alice.register(), sites) in (11, 12), "the local site to serve", 20)
    assert lost(bono) == 0
