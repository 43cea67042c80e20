"""make demo, as a newcomer uses it: two phones, a call, a dead site, a call, and everything gone at the end."""

import os
import re
import signal
import socket
import subprocess

import pytest

from bono_lab import until
from bono_lab.bono import ROOT, program, tcp_open
from bono_lab.process import Process
from bono_lab.sip import Background, Call, Client

SCRIPT = ROOT / "scripts/demo"
ACCESS = ("127.0.0.1", 5060)
# A probe that a busy machine lost before counts as a loss of service, and the next loss is damped: 10 s, then 20 s
# (docs/HEALTH.md), and the answered probes besides.
TRUSTED_AGAIN = 60
SPROUTS = [(f"127.0.{site}.{number}", 5054) for site in (1, 2) for number in (1, 2)]


class Demo(Process):
    """The foreground of `make demo`."""

    def __init__(self, lab):
        super().__init__("demo", [SCRIPT, "run"], lab.path("demo.log"))
        self.access = ACCESS
        lab.add(self)

    def verb(self, *words):
        done = subprocess.run([SCRIPT, *words], capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout

    def wait_until_site_is(self, site, up):
        """As bonoctl sees it: both of its targets."""
        words = f"{2 if up else 0} of 2 up"

        def stands():
            done = subprocess.run([program("bonoctl"), "-s", program("demo") / "admin.sock", "sites"],
                                  capture_output=True, text=True, timeout=20, check=False)
            return re.search(rf"^{site} .*\b{words}\b", done.stdout, re.MULTILINE)
        until(stands, f"{site} to have {words}:\n{self.tail()}", TRUSTED_AGAIN)

    def pids(self):
        return [int((program("demo") / f"{name}.pid").read_text())
                for name in ("bono", "site-a", "site-b")]


@pytest.fixture
def demo(lab):
    return Demo(lab).wait_for_log("Bono's log follows")


def phone(lab, demo, user, transport):
    client = Client(lab, demo, user, transport)
    client.register()
    return client


def call(caller, callee):
    """A whole call; the final answer to its INVITE."""
    def answer():
        invite = callee.end.request("INVITE")
        invite.reply(180)
        invite.reply(200, headers=[("Contact", callee.end.contact(callee.user))])
        callee.end.request("ACK")
        callee.end.request("BYE").reply(200)
    other_side = Background(answer)
    ours = Call(caller, callee.aor)
    final = ours.answer()
    assert final.status == 200, repr(final)
    ours.ack()
    assert ours.bye().status == 200
    other_side.finish()


def gone(pid):
    try:
        os.kill(pid, 0)
        return False
    except ProcessLookupError:
        return True


def test_calls_go_on_when_a_site_is_killed_and_ctrl_c_ends_it_all(lab, demo):
    demo.wait_until_site_is("site-a", True)
    demo.wait_until_site_is("site-b", True)
    alice, bob = phone(lab, demo, "alice", "udp"), phone(lab, demo, "bob", "tcp")
    call(alice, bob)
    code, words = demo.verb("kill", "site-a")
    assert code == 0, words
    call(bob, alice)        # at once: this very request meets the dead site
    alice.register()
    demo.wait_for_log("demo: site-a is dead")
    code, words = demo.verb("restore", "site-a")
    assert code == 0, words
    demo.wait_until_site_is("site-a", True)
    demo.verb("kill", "site-b")
    call(alice, bob)        # what site-b learnt meanwhile, site-a knows
    pids = demo.pids()[:2]
    demo.child.send_signal(signal.SIGINT)
    assert demo.wait_for_end() == 0
    assert all(gone(pid) for pid in pids)
    assert not any(tcp_open(address) for address in [ACCESS, *SPROUTS])


def test_a_program_that_ends_by_itself_is_told(demo):
    os.kill(demo.pids()[2], signal.SIGKILL)
    demo.wait_for_log("demo: site-b ended by itself, by SIGKILL")
    assert demo.verb("restore", "site-b")[0] == 0
    os.kill(demo.pids()[0], signal.SIGKILL)
    demo.wait_for_log("demo: bono ended by itself, by SIGKILL")
    assert demo.wait_for_end() == 1


def test_a_port_in_use_is_told_before_anything_starts(lab):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(ACCESS)
        demo = Demo(lab)
        assert demo.wait_for_end() == 1
        assert demo.log_contains("demo: 127.0.0.1:5060/udp is in use (by ")


def test_a_second_demo_names_the_first(demo, lab):
    second = Process("second demo", [SCRIPT, "run"], lab.path("second.log"))
    lab.add(second)
    assert second.wait_for_end() == 1
    assert second.log_contains(f"demo: a demo runs here already (bono is pid {demo.pids()[0]})")


@pytest.mark.parametrize("words", [["kill"], ["kill", "site-x"], ["restore", "site-a"], ["kill", "site-a"]])
def test_kill_and_restore_say_what_they_miss(words):
    done = subprocess.run([SCRIPT, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1 and done.stdout.startswith("demo: ")
