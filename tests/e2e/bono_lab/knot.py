"""DNS for a scene: Knot, Debian's package, with one zone that the test changes while it is served; and
a server that stands before it and lies."""

import random
import socket
import struct
import subprocess
import threading

from .process import Process

ZONE = "example.test"
PORT = 5353

CONFIG = """\
server:
    rundir: "@DIR@"
    listen: [ "@IP@@@PORT@" ]
    background-workers: 1
    udp-workers: 1
    tcp-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: "@DIR@"
control:
    listen: "@SOCKET@"
zone:
  - domain: @ZONE@
    file: "@DIR@/zone"
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
"""


class Knot(Process):
    """Records are lines "OWNER TYPE DATA", owners and names in data relative to the zone."""

    count = 0

    def __init__(self, lab, records, ttl=1, ip=None):
        Knot.count += 1
        self.ip = ip or lab.ip(53)
        self.address = (self.ip, PORT)
        self.ttl = ttl
        directory = lab.path(f"knot-{Knot.count}")
        directory.mkdir()
        self.socket = str(directory / "ctl")
        text = CONFIG
        for name, value in (("DIR", directory), ("IP", self.ip), ("PORT", PORT), ("ZONE", ZONE),
                            ("SOCKET", self.socket)):
            text = text.replace(f"@{name}@", str(value))
        (directory / "knot.conf").write_text(text)
        (directory / "zone").write_text("\n".join(
            [f"$ORIGIN {ZONE}.", f"$TTL {ttl}", "@ SOA ns hostmaster 1 60 30 600 1", "@ NS ns",
             f"ns A {self.ip}"] + list(records)) + "\n")
        super().__init__("knot", ["knotd", "-c", directory / "knot.conf"],
                         lab.path(f"knot-{Knot.count}.log"))
        lab.add(self)
        self.wait_for_log("control, binding")

    def ctl(self, *words):
        done = subprocess.run(["knotc", "-s", self.socket, *words], capture_output=True, text=True,
                              timeout=20, check=False)
        assert done.returncode == 0, f"knotc {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def change(self, add=(), remove=()):
        """One transaction. remove: "OWNER", "OWNER TYPE" or "OWNER TYPE DATA"."""
        self.ctl("zone-begin", ZONE)
        for record in remove:
            self.ctl("zone-unset", ZONE, *record.split(maxsplit=2))
        for record in add:
            owner, kind, data = record.split(maxsplit=2)
            self.ctl("zone-set", ZONE, owner, str(self.ttl), kind, data)
        self.ctl("zone-commit", ZONE)

    def ask(self, name, kind, udp_bytes=1232):
        """The raw answer over UDP; kind is the number of the type."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(5)
            client.sendto(query(name, kind, udp_bytes), self.address)
            return client.recv(65535)


def query(name, kind, udp_bytes):
    labels = b"".join(bytes([len(part)]) + part.encode() for part in f"{name}.{ZONE}".split("."))
    return (struct.pack(">6H", 4711, 0x0100, 1, 0, 0, 1) + labels + b"\0"
            + struct.pack(">HH", kind, 1)
            + b"\0" + struct.pack(">HHIH", 41, udp_bytes, 0, 0))


def is_truncated(answer):
    return bool(answer[2] & 2)


def after_question(packet):
    """Where the first record of the answer section stands."""
    at = 12
    while packet[at]:
        at += 1 + packet[at]
    return at + 5


class LyingServer:
    """Passes questions to a Knot and its answers back, UDP; or, as `mood` says, something else."""

    def __init__(self, lab, knot, ip=None):
        self.knot = knot
        self.mood = "honest"
        self.asked = 0
        self.random = random.Random(53)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip or lab.ip(54), PORT))
        self.address = self.socket.getsockname()
        self.ended = False
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        lab.add(self)

    def serve(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
            upstream.settimeout(1)
            while True:
                question, source = self.socket.recvfrom(65535)
                if self.ended:
                    return
                self.asked += 1
                upstream.sendto(question, self.knot.address)
                try:
                    answer = upstream.recv(65535)
                except OSError:
                    continue
                for packet in self.answers(question, answer):
                    self.socket.sendto(packet, source)

    def answers(self, question, answer):
        """What goes out instead of this answer."""
        begin = after_question(answer)
        noise = bytes(self.random.randrange(256) for _ in range(200))
        if self.mood == "honest":
            return [answer]
        if self.mood == "noise":            # no DNS at all
            return [noise]
        if self.mood == "other question":   # the right number, another name
            return [answer[:13] + b"\x78" + answer[14:]]
        if self.mood == "broken records":   # a sound head, then rubbish
            return [answer[:begin] + noise]
        if self.mood == "cut":
            return [answer[:begin + 7]]
        if self.mood == "circle":           # a name that points at itself
            return [answer[:begin] + struct.pack(">H", 0xC000 | begin) + noise]
        if self.mood == "refused":
            return [answer[:3] + bytes([answer[3] & 0xF0 | 5]) + answer[4:]]
        if self.mood == "server failure":
            return [answer[:3] + bytes([answer[3] & 0xF0 | 2]) + answer[4:]]
        assert self.mood == "silent", self.mood
        return []

    def stop(self):
        self.ended = True
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", self.address)
        self.thread.join(5)
        self.socket.close()
