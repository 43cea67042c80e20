"""Connections whose other end has gone without a word: on each that was accepted, and toward the core, the kernel is
told to ask and to give up. That it then does, and what becomes of the flow, takes half a minute: soak/test_half_open.py.
"""

import ctypes
import os
import pathlib
import socket

import pytest

from bono_lab import Bono, Ports, SproutSim, until
from bono_lab.churn import TLS_PORTS, secured

LIBC = ctypes.CDLL(None, use_errno=True)
PIDFD_GETFD = 438
# Idle, between probes, probes, and how long our bytes may stay unacknowledged (ms).
ACCESS = {"idle": 120, "interval": 30, "probes": 4, "unacknowledged": 30000}
CORE = {"idle": 10, "interval": 3, "probes": 3, "unacknowledged": 10000}

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root looks at another's sockets")


def borrowed(process, descriptor):
    """A copy of the descriptor of another process; None: it is gone."""
    got = LIBC.syscall(PIDFD_GETFD, process, descriptor, 0)
    return None if got < 0 else got


def connection_to(bono, peer):
    """Bono's socket whose other end is the address; None: there is none yet."""
    process = os.pidfd_open(bono.pid)
    try:
        for entry in pathlib.Path(f"/proc/{bono.pid}/fd").iterdir():
            got = borrowed(process, int(entry.name))
            if got is None:
                continue
            try:
                theirs = socket.socket(fileno=got)
            except OSError:
                os.close(got)
                continue
            try:
                if theirs.type == socket.SOCK_STREAM and theirs.getpeername()[:2] == peer:
                    return theirs
            except OSError:
                pass
            theirs.close()
    finally:
        os.close(process)
    return None


def told(bono, peer):
    with until(lambda: connection_to(bono, peer), f"the connection with {peer}") as theirs:
        assert theirs.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        read = {name: theirs.getsockopt(socket.IPPROTO_TCP, option) for name, option in (
            ("idle", socket.TCP_KEEPIDLE), ("interval", socket.TCP_KEEPINTVL), ("probes", socket.TCP_KEEPCNT),
            ("unacknowledged", socket.TCP_USER_TIMEOUT))}
    return read


def test_the_kernel_asks_on_every_connection(lab):
    site = [f"{lab.ip(11)}:5054"]
    SproutSim(lab, "site-a", site)
    six = lab.add(Ports()).port(0)
    changes = secured(lab)
    changes["listeners"].insert(0, {"name": "access-6", "side": "access", "transport": "tcp", "bind": f"[::1]:{six}"})
    bono = Bono(lab, {"site-a": site}, workers=2, **changes)
    bono.wait_for_targets(site_a="UP")
    ways = {"tcp": (lab.ip(1), 5060), "ws": (lab.ip(1), 5062), "tcp6": ("::1", six),
            **{way: (lab.ip(1), port) for way, port in TLS_PORTS.items()}}
    for edge in ways.values():
        with socket.create_connection(edge, timeout=10) as end:
            assert told(bono, end.getsockname()[:2]) == ACCESS
    with socket.create_connection(bono.core, timeout=10, source_address=(lab.ip(11), 0)) as end:
        assert told(bono, end.getsockname()[:2]) == CORE
    assert told(bono, (lab.ip(11), 5054)) == CORE
