"""A phone behind a NAT, in network namespaces of one's own: phone - NAT - edge. The NAT is the kernel's, by nftables.

Sockets and processes belong to the namespace that the calling thread is in when they are made:

    with nat.inside("phone"):
        phone = UdpClient(nat.PHONE, bono.access)
"""

import contextlib
import ctypes
import os
import subprocess

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def run(*words, text=None):
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


def enter(descriptor):
    if LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Nat:
    PHONE, INSIDE = "10.204.1.2", "10.204.1.1"
    OUTSIDE, EDGE = "10.204.2.2", "10.204.2.1"
    parts = ("phone", "nat", "edge")

    def __init__(self):
        self.made = []
        self.port = 40000
        try:
            self.build()
        except BaseException:
            self.stop()
            raise

    def name(self, part):
        return f"bono-nat-{os.getpid()}-{part}"

    def build(self):
        for part in self.parts:
            run("ip", "netns", "add", self.name(part))
            self.made.append(self.name(part))
            run("ip", "-n", self.name(part), "link", "set", "lo", "up")
        self.join("phone", self.PHONE, "inside", self.INSIDE)
        self.join("edge", self.EDGE, "outside", self.OUTSIDE)
        run("ip", "-n", self.name("phone"), "route", "add", "default", "via", self.INSIDE)
        run("ip", "netns", "exec", self.name("nat"), "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.map()

    def join(self, part, address, port, gateway):
        near, far = self.name("nat"), self.name(part)
        run("ip", "-n", near, "link", "add", port, "type", "veth", "peer", "name", "eth0",
            "netns", far)
        for name, device, own in ((near, port, gateway), (far, "eth0", address)):
            run("ip", "-n", name, "addr", "add", f"{own}/24", "dev", device)
            run("ip", "-n", name, "link", "set", device, "up")

    def map(self):
        """All that is sent from now on gets a port nobody had before."""
        self.port += 100
        run("ip", "netns", "exec", self.name("nat"), "nft", "-f", "-", text=(
            "table ip nat\ndelete table ip nat\n"
            "table ip nat {\nchain out {\ntype nat hook postrouting priority 100;\n"
            'oifname "outside" ip protocol { tcp, udp } '
            f"masquerade to :{self.port}-{self.port + 99}\n}}\n}}\n"))

    def forget(self):
        """The NAT restarts: the kernel drops the mappings of an interface that goes down."""
        self.map()
        for state in ("down", "up"):
            run("ip", "-n", self.name("nat"), "link", "set", "outside", state)

    @contextlib.contextmanager
    def inside(self, part):
        """What this thread makes now is of that namespace."""
        with open("/proc/thread-self/ns/net", "rb") as before, \
                open(f"/run/netns/{self.name(part)}", "rb") as wanted:
            enter(wanted.fileno())
            try:
                yield
            finally:
                enter(before.fileno())

    def stop(self):
        for name in self.made:
            subprocess.run(["ip", "netns", "del", name], check=False)
        self.made = []
