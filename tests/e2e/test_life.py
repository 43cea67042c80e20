"""What watches over a node sees: a worker that hangs, a node that is stopping, a start that fails."""

import ctypes
import os
import pathlib
import re
import signal
import socket

import pytest

from bono_lab import Bono, Client, ScriptedSprout, TcpClient, UdpClient, program, until
from bono_lab.bono import configuration
from bono_lab.sip import options_to

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long
SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000


class Hanging:
    """One thread of a child of ours stands still, the others go on."""

    def __init__(self, pid, name):
        self.tid = next(int(task.name) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
                        if (task / "comm").read_text().strip() == name)

    def trace(self, what):
        if LIBC.ptrace(what, self.tid, None, None) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace {what:#x} of thread {self.tid}")

    def __enter__(self):
        self.trace(SEIZE)
        self.trace(INTERRUPT)
        os.waitpid(self.tid, WALL)
        return self

    def reaped(self):
        """It has ended with its process; we who traced it must hear so before anybody hears of the process."""
        return os.waitpid(self.tid, WALL | os.WNOHANG)[0] == self.tid

    def __exit__(self, *_):
        try:
            self.trace(DETACH)
        except OSError:
            pass                # it ended meanwhile


@pytest.fixture
def bono(lab):
    lab.sprout = ScriptedSprout(lab, lab.ip(11))
    started = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, workers=2)
    started.wait_for_targets(site_a="UP")
    return started


def test_livez_tells_of_a_worker_that_hangs_and_of_its_recovery(bono):
    """A dead upstream is no reason, a loop that does not turn is."""
    assert bono.get("/livez")[0] == 200
    with Hanging(bono.child.pid, "worker-1"):
        until(lambda: bono.get("/livez")[0] == 503, "/livez to tell", 20)
        assert bono.get("/metrics")[0] == 200
    until(lambda: bono.get("/livez")[0] == 200, "/livez to be well again")
    bono.assert_serving()


def test_livez_says_nothing_about_upstream(lab):
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]})
    bono.wait_for_targets(site_a="DOWN")
    assert bono.get("/livez")[0] == 200


@pytest.mark.parametrize("signals", [1, 2])
def test_a_worker_that_hangs_does_not_hold_up_the_end(lab, bono, signals):
    """Once: it is waited for, not for ever; twice: not at all."""
    with Hanging(bono.child.pid, "worker-0") as worker:
        bono.child.send_signal(signal.SIGTERM)
        bono.wait_for_log("stopping, no new work")  # two signals within one turn would be one
        if signals == 2:
            bono.child.send_signal(signal.SIGTERM)
        until(worker.reaped, "bono to end", 20)
        assert bono.wait_for_end() == 1
    assert "worker-0: hangs" in bono.tail()
    if signals == 2:
        assert "stopping at once" in bono.tail()
    lab.things.remove(bono)     # 1 is how it should end


def test_a_stopping_node_says_so_everywhere(lab, bono):
    assert bono.metrics().sum("bono_draining") == 0
    client = Client(lab, bono, "alice")
    client.end.send(client.register_bytes())
    seen = lab.sprout.expect("REGISTER")        # what is owed keeps the node here
    stranger = UdpClient(lab.client_ip(), bono.access)
    bono.child.send_signal(signal.SIGTERM)
    until(lambda: bono.get("/readyz")[0] == 503, "/readyz to tell")
    assert bono.get("/livez")[0] == 200
    assert bono.status()["draining"] is True and bono.status()["ready"] is False
    assert bono.metrics().sum("bono_draining") == 1
    answer = stranger.ask(options_to(stranger, bono.access))
    assert answer.status == 503 and int(answer.get("retry-after")) > 0
    stranger.close()
    with pytest.raises(OSError):
        socket.create_connection(bono.access, 2)
    seen.reply(200, headers=[("Contact", seen.get("contact"))])
    assert client.end.response("REGISTER").status == 200
    assert bono.wait_for_end() == 0


def test_ready_is_said_when_every_listener_hears(lab):
    """Without any Sprout, and again and again: the line comes last."""
    for _ in range(5):
        bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, workers=2)
        for kind in (UdpClient, TcpClient):
            for address in (bono.access, bono.core):
                client = kind(lab.client_ip(), address, 0)
                client.send(options_to(client, address))
                assert client.response("OPTIONS").status == 200
                client.close()
        bono.stop()


def test_a_port_in_use_is_told_and_nothing_is_ready(lab):
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)   # the block had tenants before us
    taken.bind((lab.ip(1), 5058))
    taken.listen()
    with pytest.raises(AssertionError):
        Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]})
    taken.close()
    bono = lab.things.pop()     # it failed as it should: no complaint
    assert bono.wait_for_end() == 1
    assert "bono: ready" not in bono.tail() and re.search(r":5058\b", bono.tail())
