"""sprout-sim: the simulated Sprouts of one site, and their faults."""

import socket

from .bono import program
from .process import Process


class SproutSim(Process):
    """One process stands for all Sprouts of a site: one --listen each."""

    def __init__(self, lab, site, listen, transport="both", store="store", certificate=None, ca=None,
                 users=None):
        """users: a file of those who must show a password.
        transport tls: a Certificate of ours, and by whose `ca` peers are judged."""
        self.site = site
        self.listen = list(listen)
        self.control_path = str(lab.path(f"{site}.control"))
        store_path = lab.path(store)
        store_path.mkdir(exist_ok=True)
        argv = [program("sprout-sim"), "--site", site]
        for address in self.listen:
            for kind in (("tcp", "udp") if transport == "both" else (transport,)):
                argv += ["--listen", f"{address}/{kind}"]
        if certificate is not None:
            argv += ["--certificate", certificate.certificate, "--key", certificate.key]
        if ca is not None:
            argv += ["--ca", ca]
        if users is not None:
            argv += ["--users", users]
        argv += ["--peer-store", store_path, "--control", self.control_path]
        super().__init__(f"sprout-sim {site}", argv, lab.path(f"{site}.log"))
        lab.add(self)
        self.wait_for_log("ready")

    def control(self, line):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(10)
            control.connect(self.control_path)
            control.sendall(line.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                more = control.recv(4096)
                if not more:
                    break
                answer += more
        return answer.decode().strip()

    def fault(self, words, target="*"):
        """fault("refuse"), fault("status 503 7", target="127.1.1.1:5054"), fault("none")."""
        answer = self.control(f"fault {target} {words}")
        assert answer == "ok", f"{self.name}: {answer}"
