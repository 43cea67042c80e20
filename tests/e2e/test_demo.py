"""`make demo`: one command, two sites, a phone, a site that dies and comes back."""

import os
import signal
import subprocess
import urllib.request

import json

from bono_lab import Process, UdpClient, until
from bono_lab.bono import ROOT
from bono_lab.sip import request, unique

EDGE = ("127.0.0.1", 5060)


def status():
    try:
        with urllib.request.urlopen("http://127.0.0.1:9090/status", timeout=5) as answer:
            return json.load(answer)
    except OSError:
        return None


def serving():
    page = status()
    return [site["name"] for site in page["sites"] if site["serving"]] if page else None


def demo_word(*words):
    subprocess.run([ROOT / "scripts" / "demo", *words], check=True, timeout=60, cwd=ROOT,
                   capture_output=True)


def register(phone, user, cseq):
    return phone.ask(request(
        "REGISTER", "sip:example.net", phone.via(),
        [("Contact", phone.contact(user)), ("Supported", "path, outbound"), ("Expires", 300)],
        user=user, cseq=cseq, call_id=f"demo-{user}"))


def message(sender, receiver, user, peer):
    raw = request("MESSAGE", f"sip:{peer}@example.net", sender.via(),
                  [("Content-Type", "text/plain")], b"ahoy", user=user, call_id=unique("demo"))
    sender.send(raw)
    receiver.request("MESSAGE").reply(200)
    return sender.response("MESSAGE")


def test_demo_runs_and_survives_a_site(lab):
    demo = Process("demo", [ROOT / "scripts" / "demo", "run"], lab.path("demo.log"), cwd=ROOT,
                   env={"BUILD": os.environ.get("BUILD", "build")})
    lab.add(demo)

    def up():
        assert demo.alive(), demo.tail()
        return serving() == ["site-a"]
    until(up, f"the demo to serve from site-a:\n{demo.tail()}", 60)
    alice, bob = (lab.add(Phone(lab.client_ip())) for _ in range(2))
    assert register(alice, "alice", 1).status == 200
    assert register(bob, "bob", 1).status == 200
    assert message(alice, bob, "alice", "bob").status == 200

    demo_word("kill", "site-a")
    assert register(alice, "alice", 2).status == 200
    assert message(bob, alice, "bob", "alice").status == 200
    until(lambda: serving() == ["site-b"], "site-b to serve", 60)

    demo_word("restore", "site-a")
    until(lambda: serving() == ["site-a"], "site-a to serve again", 120)
    assert register(alice, "alice", 3).status == 200
    assert message(alice, bob, "alice", "bob").status == 200

    demo.child.send_signal(signal.SIGINT)
    demo.wait_for_end(30)
    until(lambda: status() is None, "the admin page to be gone")


class Phone(UdpClient):
    def __init__(self, ip):
        super().__init__(ip, EDGE)

    def stop(self):
        self.close()
