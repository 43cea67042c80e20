"""A place where nobody of ours has business."""

import socket

import pytest


class Stranger:
    """Listens on UDP and TCP at one port, and remembers whether anyone came."""

    def __init__(self, lab):
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((lab.client_ip(), 0))
        self.host, self.port = self.udp.getsockname()
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.bind((self.host, self.port))
        self.tcp.listen(8)
        self.udp.setblocking(False)
        self.tcp.setblocking(False)
        lab.add(self)

    def __str__(self):
        return f"{self.host}:{self.port}"

    def uri(self, extra=""):
        return f"sip:{self}{extra}"

    def assert_nobody_came(self):
        for take in (lambda: self.udp.recv(65536), self.tcp.accept):
            with pytest.raises(BlockingIOError):
                take()

    def stop(self):
        self.udp.close()
        self.tcp.close()
