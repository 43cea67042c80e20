"""Thousands of clients on TCP, TLS or WebSocket at once: tests/bench/crowd.c, built when it is older than its source."""

import os
import pathlib
import re
import subprocess

from .bono import ROOT, program
from .process import Process
from .wait import until

ADDRESSES = 8       # limits.connections_per_address is 10,000, in equal shares of the workers


def build():
    source, target = ROOT / "tests/bench/crowd.c", program("bench/crowd")
    newest = max(path.stat().st_mtime for path in (source, source.with_name("wire.h")))
    if not target.exists() or target.stat().st_mtime < newest:
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall", "-Wextra",
                        "-Wshadow", "-Wno-unused-parameter", "-Werror", "-o", target, source, "-lssl", "-lcrypto"],
                       check=True)
    return target


def memory_kib(process):
    """Of its own: what its threads hold of memory that is of no file."""
    text = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    return sum(int(kib) for kib in re.findall(r"^Pss_(?:Anon|Shmem):\s+(\d+)", text, re.MULTILINE))


class Crowd(Process):
    """way: tcp, tls, ws, wss. Has come when the constructor returns: what="hold" or "resume", all are registered (and
    took up TLS sessions of others); what="kill", all were killed."""

    def __init__(self, lab, way, edge, count, what="hold", ips=None, patience=180):
        ips = ips or [lab.client_ip() for _ in range(ADDRESSES)]
        path = lab.path(f"crowd-{len(lab.things)}.log")
        argv = [build(), what, way, f"{edge[0]}:{edge[1]}", count, ",".join(ips)]
        super().__init__(f"crowd of {way}", argv, path, stdin=subprocess.PIPE)
        lab.add(self)
        self._wait(b"killed " if what == "kill" else b"registered ", patience)
        if what == "kill":
            self.wait_for_end()

    def _wait(self, words, patience, times=1):
        until(lambda: self.log().count(words) == times or not self.alive(), f"a crowd of {self.name}", patience)
        assert self.log().count(words) == times, f"{self.name}: {self.tail()}"

    @property
    def resumed(self):
        return int(re.search(rb"resumed (\d+)", self.log()).group(1))

    def again(self, times=1, patience=180):
        """All register once more, each on its own connection. times: which time it is."""
        self.child.stdin.write(b"again\n")
        self.child.stdin.flush()
        self._wait(b"again ", patience, times)

    def stop(self, patience=20):
        self.child.stdin.close()
        try:
            self.child.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        super().stop()
