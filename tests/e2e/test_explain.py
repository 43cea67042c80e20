"""What happened and why, and the operator's word: events, why, target, site."""

import json
import re
import subprocess
import urllib.error
import urllib.request

import pytest

from bono_lab import Bono, Client, Knot, Process, SproutSim, program, until
from bono_lab.sip import Background, Call

# Probes so slow that only traffic and the operator speak.
BLIND = {"interval": "60s", "timeout": "1s", "fall": 2, "rise": 2}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@pytest.fixture
def sites(lab):
    lab.sites = {"site-a": [f"{lab.ip(11)}:5054", f"{lab.ip(12)}:5054"],
                 "site-b": [f"{lab.ip(21)}:5054", f"{lab.ip(22)}:5054"]}
    lab.site_a = SproutSim(lab, "site-a", lab.sites["site-a"])
    lab.site_b = SproutSim(lab, "site-b", lab.sites["site-b"])
    return lab


def start(lab, **changes):
    bono = Bono(lab, lab.sites, "tcp", **changes)
    bono.wait_for_targets(site_a="UP", site_b="UP")
    return bono


def events(bono, *words):
    code, out, err = bono.ctl("-o", "json", "events", *words)
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def requests(bono):
    return {name: target["requests"] for name, target in bono.targets().items()}


def grown(bono, before):
    """Names of the targets that were asked since."""
    return {name for name, count in requests(bono).items() if count > before[name]}


class Follower(Process):
    """bonoctl events -f, as a person leaves it open."""

    def __init__(self, lab, bono, *words):
        super().__init__("bonoctl", [program("bonoctl"), "-s", bono.socket_path, *words],
                         lab.path("follower.log"))
        lab.add(self)

    def events(self):
        return [json.loads(line) for line in self.log().decode().splitlines()
                if line.startswith("{")]

    def wait_for(self, **fields):
        def come():
            return [event for event in self.events()
                    if all(event[key] == value for key, value in fields.items())]
        return until(come, f"an event of {fields}; there were {self.tail()}")[0]


# ---- events ----

def test_events_are_followed_while_a_site_dies(sites):
    bono = start(sites)
    follower = Follower(sites, bono, "-o", "json", "events", "-f", "--since", "10m")
    follower.wait_for(kind="node", to="READY")
    sites.site_a.kill()
    for target in ("site-a/sprout-1", "site-a/sprout-2"):
        down = follower.wait_for(kind="target", subject=target, to="DOWN")
        assert down["from"] == "UP" and down["reason"] and down["evidence"], down
    lost = follower.wait_for(kind="site", subject="site-a", to="DOWN")
    assert "site-b" in lost["evidence"], lost
    told = follower.events()
    assert all(set(event) == {"time", "kind", "subject", "from", "to", "reason", "evidence"}
               and TIME.fullmatch(event["time"]) for event in told)
    assert [event["time"] for event in told] == sorted(event["time"] for event in told)
    kept = events(bono)
    assert kept[:len(told)] == told
    bono.stop()
    assert follower.wait_for_end() == 1
    assert follower.wait_for(kind="node", to="STOPPING")


def test_events_for_people_and_since(sites):
    bono = start(sites)
    code, out, _ = bono.ctl("events")
    assert code == 0
    assert out.splitlines()[0].split() == ["TIME", "KIND", "SUBJECT", "CHANGE", "WHY"]
    assert re.search(r"target +site-a/sprout-1 +UNKNOWN -> UP ", out), out
    assert events(bono, "--since", "10m") == events(bono)
    until(lambda: not events(bono, "--since", "1ms"), "the last millisecond to be quiet")
    for nonsense in ("soon", "30", "-1m", "0s", "1y"):
        assert bono.ctl("events", f"--since={nonsense}")[0] == 2
        assert bono.ctl("events", "-f", f"--since={nonsense}")[0] == 2


def test_events_on_tcp_as_lines_and_as_a_stream(sites):
    bono = start(sites)
    url = f"http://{bono.config['admin']['http']}/events"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in answer]
    assert lines == events(bono)
    query = urllib.request.Request(url + "?since=10m", headers={"Accept": "text/event-stream"})
    with urllib.request.urlopen(query, timeout=10) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        told, numbers = [], []
        bono.ctl("target", "site-b/sprout-1", "drain")
        while not any(event["kind"] == "operator" for event in told):
            line = stream.readline().decode()
            if line.startswith("id: "):
                numbers.append(int(line[4:]))
            if line.startswith("data: "):
                told.append(json.loads(line[6:]))
    assert told[:len(lines)] == lines
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    # A browser that comes back goes on behind the last it heard.
    query.add_header("Last-Event-ID", str(numbers[-2]))
    with urllib.request.urlopen(query, timeout=10) as stream:
        assert stream.readline().decode() == f"id: {numbers[-1]}\n"


def test_what_dns_says_is_an_event(sites):
    names = Knot(sites, records=["_sip._tcp.core SRV 1 50 5054 s1", f"s1 A {sites.ip(11)}",
                                 f"s2 A {sites.ip(12)}"])
    bono = Bono(sites, {"site-a": {"discover": "sip:core.example.test;transport=tcp"},
                        "site-b": sites.sites["site-b"]}, "tcp",
                dns={"servers": [f"{names.address[0]}:{names.address[1]}"], "timeout": "300ms"})

    def told():
        return [(event["subject"], event["to"]) for event in events(bono)
                if event["kind"] == "discovery"]
    first = f"site-a/{sites.ip(11)}:5054/tcp"
    second = f"site-a/{sites.ip(12)}:5054/tcp"
    until(lambda: told() == [(first, "NAMED")], "the first Sprout to be named")
    names.change(["_sip._tcp.core SRV 1 50 5054 s2"], ["_sip._tcp.core SRV 1 50 5054 s1"])
    until(lambda: set(told()) == {(first, "NAMED"), (second, "NAMED"), (first, "WITHDRAWN")},
          f"the change; {told()}")
    until(lambda: second in bono.targets() and bono.targets()[second]["state"] == "UP", "the second")
    code, out, _ = bono.ctl("why", second)
    assert code == 0 and re.search(r"5054/tcp NAMED: sip:", out), out
    bono.ctl("target", second, "drain")
    assert len(told()) == 3


# ---- why ----

def test_why_a_target_is_down(sites):
    bono = start(sites)
    sites.site_a.kill()
    bono.wait_for_targets(site_a="DOWN")
    until(lambda: any(event["subject"] == "site-a" for event in events(bono)), "the site to fall")
    code, out, _ = bono.ctl("why", "site-a/sprout-2")
    assert code == 0
    assert out.startswith("site-a/sprout-2 is DOWN since "), out
    assert re.search(r"^\d\d:\d\d:\d\d sprout-2 DOWN: .*last answer \d+\.\d s ago", out, re.M), out
    assert re.search(r"^\d\d:\d\d:\d\d site-a DOWN: .*its work goes to site-b", out, re.M), out
    assert "sprout-1 DOWN:" not in out
    code, out, _ = bono.ctl("-o", "json", "why", "site-a/sprout-2")
    told = json.loads(out)
    assert told["target"]["state"] == "DOWN" and told["events"][-1]["subject"].startswith("site-a")
    code, page = bono.get("/why?target=site-a/sprout-2")
    assert code == 200 and json.loads(page)["target"]["name"] == "sprout-2"
    code, out, _ = bono.ctl("why", "site-b")
    assert code == 0 and out.startswith("site-b is "), out


def test_why_a_call_went_where_it_went(sites):
    bono = start(sites, health=BLIND)
    alice, bob = Client(sites, bono, "alice"), Client(sites, bono, "bob")
    alice.register()
    bob.register()
    sites.site_a.kill()
    callee = Background(lambda: bob.end.request("INVITE").reply(486))
    call = Call(alice, bob.aor)
    assert call.answer().status == 486
    call.ack()
    callee.finish()
    call_id = call.invite.get("call-id")
    until(lambda: bono.ctl("why", call_id)[0] == 0, "the record to be kept")
    code, out, _ = bono.ctl("why", call_id)
    assert re.search(r"^\d\d:\d\d:\d\d INVITE: site-a/sprout-\d (reset|refused) after \d+ ms, .*"
                     r"site-b/sprout-\d answered 486 after \d+ ms", out, re.M), out
    code, out, _ = bono.ctl("-o", "json", "why", call_id)
    record = json.loads(out)["decisions"][0]
    assert record["method"] == "INVITE" and record["status"] == 486 and not record["lost"]
    assert record["attempts"][0]["target"].startswith("site-a/")
    assert record["attempts"][-1] == {**record["attempts"][-1], "end": "answered", "status": 486}
    assert bono.log_contains(f"request {call_id}: INVITE: site-a/")
    assert bono.log().count(f"request {call_id}: ".encode()) == 1
    # Whom a user calls is not told on a port that anyone reaches.
    assert bono.get(f"/why?call-id={call_id}")[0] == 403


def test_why_a_request_was_lost(sites):
    bono = start(sites, health=BLIND)
    alice = Client(sites, bono, "alice")
    sites.site_a.kill()
    sites.site_b.kill()
    assert alice.end.ask(alice.register_bytes()).status == 503
    until(lambda: bono.ctl("why", alice.register_call_id)[0] == 0, "the record to be kept")
    _, out, _ = bono.ctl("why", alice.register_call_id)
    assert "the client got 503" in out and "lost" in out, out
    assert len(re.findall(r"(?:refused|reset) after", out)) == 4, out


def test_why_of_what_is_not_known(sites):
    bono = start(sites)
    code, _, err = bono.ctl("why", "site-a/sprout-9")
    assert code == 1 and "site-a/sprout-" in err, err
    assert bono.ctl("why", "no-such-call@nowhere")[0] == 1
    assert bono.ctl("why")[0] == 2
    assert bono.get("/why")[0] == 400
    assert bono.get("/why?target=a&call-id=b")[0] == 400
    assert bono.get("/why?subject=a")[0] == 400


# ---- the operator's word ----

def call_between(alice, bob):
    def answer():
        invite = bob.end.request("INVITE")
        invite.reply(200, headers=[("Contact", bob.end.contact(bob.user)),
                                   ("Content-Type", "application/sdp")], body=b"v=0\r\n")
        bob.end.request("ACK")
    callee = Background(answer)
    call = Call(alice, bob.aor)
    assert call.answer().status == 200
    call.ack()
    callee.finish()
    return call


def test_drained_target_gets_no_new_work_but_keeps_its_calls(sites):
    bono = start(sites)
    before = requests(bono)
    alice, bob = Client(sites, bono, "alice"), Client(sites, bono, "bob")
    alice.register()
    bob.register()
    assert grown(bono, before)
    before = requests(bono)
    call = call_between(alice, bob)
    home = grown(bono, before).pop()
    code, out, err = bono.ctl("target", home, "drain", "--reason", "new disk")
    assert (code, out) == (0, f"{home}: drain, new disk\n"), err
    until(lambda: bono.targets()[home]["state"] == "DRAINING", "the word to be obeyed")
    assert bono.targets()[home]["operator"] == {"word": "drain", "until": None,
                                                "reason": "new disk"}
    assert "drain, new disk" in bono.ctl("targets")[1]
    before = requests(bono)
    for number in range(12):
        Client(sites, bono, f"user{number}").register()
    alice.register()
    assert home not in grown(bono, before)
    before = requests(bono)
    callee = Background(lambda: bob.end.request("BYE").reply(200))
    assert call.bye().status == 200
    callee.finish()
    assert grown(bono, before) == {home}
    assert bono.ctl("target", home, "enable")[0] == 0
    until(lambda: bono.targets()[home]["state"] == "UP", "the word to be revoked")
    assert bono.targets()[home]["operator"] is None
    said = [(event["subject"], event["from"], event["to"]) for event in events(bono)
            if event["kind"] == "operator"]
    assert said == [(home, "", "drain"), (home, "drain", "enable")]
    assert "operator says drain: new disk" in bono.ctl("why", home)[1]
    assert bono.metrics().sum("bono_requests_lost_total") == 0


def test_disabled_target_gets_nothing_at_all(sites):
    bono = start(sites)
    alice, bob = Client(sites, bono, "alice"), Client(sites, bono, "bob")
    alice.register()
    bob.register()
    before = requests(bono)
    call = call_between(alice, bob)
    home = grown(bono, before).pop()
    assert bono.ctl("target", home, "disable")[0] == 0
    until(lambda: bono.targets()[home]["state"] == "DRAINING", "the word to be obeyed")
    before = requests(bono)
    callee = Background(lambda: bob.end.request("BYE").reply(200))
    assert call.bye().status == 200
    callee.finish()
    assert grown(bono, before) and home not in grown(bono, before)


def test_site_is_evacuated_and_restored(sites):
    bono = start(sites)
    alice = Client(sites, bono, "alice")
    alice.register()
    code, out, _ = bono.ctl("site", "site-a", "evacuate", "--reason", "power works")
    assert (code, out) == (0, "site-a: evacuate, power works\n")
    until(lambda: bono.status()["sites"][0]["state"] == "EVACUATED", "the site to be left")
    assert "evacuate, power works" in bono.ctl("sites")[1]
    assert "evacuate, power works" in bono.ctl("status")[1]
    before = requests(bono)
    for number in range(8):
        Client(sites, bono, f"user{number}").register()
    assert grown(bono, before) <= {"site-b/sprout-1", "site-b/sprout-2"}
    assert bono.ctl("site", "site-a", "restore")[0] == 0

    def home_again():
        start_of = requests(bono)
        alice.register()
        return grown(bono, start_of) <= {"site-a/sprout-1", "site-a/sprout-2"}
    until(home_again, "work to come home")
    assert bono.status()["sites"][0]["operator"] is None


def test_word_expires_by_itself(sites):
    bono = start(sites)
    code, out, _ = bono.ctl("target", "site-a/sprout-1", "drain", "--for", "1s")
    assert code == 0
    assert re.fullmatch(r"site-a/sprout-1: drain until " + TIME.pattern + "\n", out), out
    until(lambda: bono.targets()["site-a/sprout-1"]["state"] == "DRAINING", "obedience")
    until(lambda: bono.targets()["site-a/sprout-1"]["state"] == "UP", "the word to expire")
    until(lambda: [event for event in events(bono) if event["reason"] == "expired"
                   and event["subject"] == "site-a/sprout-1"], "the event of it")
    assert bono.targets()["site-a/sprout-1"]["operator"] is None
    assert json.loads(sites.path("state/operator.json").read_text()) == {"words": []}
    assert "operator's drain has expired" in bono.ctl("why", "site-a/sprout-1")[1]


def test_words_survive_a_restart(sites):
    bono = start(sites)
    bono.ctl("target", "site-a/sprout-1", "drain", "--reason", "disk")
    bono.ctl("target", "site-a/sprout-2", "disable", "--for", "1ms")
    bono.ctl("site", "site-b", "evacuate", "--for", "1h")
    path = sites.path("state/operator.json")
    assert path.stat().st_mode & 0o777 == 0o600
    bono.stop()
    again = Bono(sites, sites.sites, "tcp")
    again.wait_for_targets(site_b="UP")
    until(lambda: again.targets()["site-a/sprout-2"]["state"] == "UP", "an expired word to be gone")
    assert again.targets()["site-a/sprout-1"]["state"] == "DRAINING"
    assert again.targets()["site-a/sprout-1"]["operator"]["reason"] == "disk"
    assert again.status()["sites"][1]["operator"]["word"] == "evacuate"
    assert {word["word"] for word in json.loads(path.read_text())["words"]} == {"drain", "evacuate"}
    again.stop()
    path.write_text('{"words": [{"site": "site-a", "wor')
    third = Bono(sites, sites.sites, "tcp")
    third.wait_for_targets(site_a="UP", site_b="UP")
    assert third.log_contains("cannot be understood")
    assert sites.path("state/operator.json.broken").exists()


def test_word_that_cannot_be_kept_is_told(sites):
    bono = start(sites)
    sites.path("state/operator.json.new").mkdir()
    code, out, err = bono.ctl("target", "site-a/sprout-1", "drain")
    assert code == 1 and "a restart will forget it" in err, err
    until(lambda: bono.targets()["site-a/sprout-1"]["state"] == "DRAINING", "obedience")


@pytest.mark.parametrize("words,code,hint", [
    (("target", "site-a/sprout-3", "drain"), 1, "site-a/sprout-"),
    (("target", "sprout-1", "drain"), 1, "site-a/sprout-1"),
    (("target", "elsewhere", "drain"), 1, "no such target"),
    (("site", "site-A", "evacuate"), 1, "site-a is there"),
    (("site", "site-a/sprout-1", "evacuate"), 1, "no such site"),
    (("target", "site-a/sprout-1", "evacuate"), 2, "drain"),
    (("target", "site-a/sprout-1", "dra"), 2, "drain"),
    (("site", "site-a", "drain"), 2, "evacuate"),
    (("target", "site-a/sprout-1", "drain", "--for", "soon"), 2, "30m"),
    (("target", "site-a/sprout-1", "enable", "--for", "1m"), 2, "revoked"),
    (("target", "site-a/sprout-1", "drain", "--reason", "x" * 128), 2, "127"),
    (("target", "site-a/sprout-1", "drain", "--reason", "two\nlines"), 2, "one line"),
    (("target", "site-a/sprout-1"), 2, "usage"),
    (("target", "site-a/sprout-1", "drain", "now"), 2, "usage"),
    (("status", "--for", "1m"), 2, "usage"),
    (("events", "--reason", "x"), 2, "usage"),
])
def test_word_that_is_not_understood_does_nothing(shared, words, code, hint):
    got, _, err = shared.bono.ctl(*words)
    assert (got, hint in err) == (code, True), err
    assert all(target["operator"] is None for target in shared.bono.targets().values())
    assert not [event for event in events(shared.bono) if event["kind"] == "operator"]


@pytest.fixture(scope="module")
def shared(shared_lab):
    lab = shared_lab
    lab.sites = {"site-a": [f"{lab.ip(11)}:5054", f"{lab.ip(12)}:5054"],
                 "site-b": [f"{lab.ip(21)}:5054", f"{lab.ip(22)}:5054"]}
    SproutSim(lab, "site-a", lab.sites["site-a"])
    SproutSim(lab, "site-b", lab.sites["site-b"])
    lab.bono = start(lab)
    return lab


def test_tcp_port_changes_nothing(shared):
    for path in ("/target?name=site-a/sprout-1&word=drain", "/site?name=site-a&word=evacuate"):
        order = urllib.request.Request(f"http://{shared.bono.config['admin']['http']}{path}",
                                       method="POST")
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(order, timeout=10)
        assert refusal.value.code == 405
        assert shared.bono.get(path)[0] == 405
    assert all(target["operator"] is None for target in shared.bono.targets().values())


def test_no_daemon_is_exit_three(lab):
    for words in (("events",), ("events", "-f"), ("why", "x"), ("target", "a/b", "drain")):
        done = subprocess.run([program("bonoctl"), "-s", lab.path("nobody.sock"), *words],
                              capture_output=True, timeout=20, check=False)
        assert done.returncode == 3
