"""linphone-daemon, Debian's, driven through its Unix socket."""

import os
import pathlib
import re
import socket

from .address import host_port
from .process import Process
from .wait import until

# No sound card, no video, nobody asked on the Internet.
CONFIG = """[sip]
sip_port=-1
sip_tcp_port=-1
sip_tls_port=-1
bind_address={ip}
use_ipv6=0
guess_hostname=0
verify_server_certs=1
verify_server_cn=1
root_ca={ca}

[net]
firewall_policy=0

[rtp]
audio_rtp_port=-1

[sound]
use_files=1

[video]
enabled=0
capture=0
display=0

[misc]
version_check_url_root=
"""


ACCOUNT = """
[auth_info_{index}]
username={user}
userid={user}
passwd={password}
domain={domain}
realm={domain}

[proxy_{index}]
reg_proxy=<sip:{edge}>
reg_route=<sip:{edge};lr>
reg_identity="{user}" <sip:{user}@{domain}>
reg_expires=600
reg_sendregister=1
publish=0
"""


class Linphone(Process):
    """A user that answers every call, registered through the edge.

    ca: the root by which it judges the edge over TLS. By its library it finds an address in a certificate as
    common name only, and there only when the certificate has no other names."""

    count = 0

    def __init__(self, lab, user, edge, transport="tls", ca="/nowhere", domain="example.net",
                 password="secret", also=None):
        """also: a list of further users. Then the edge stands in their configuration as a Route, too: without one
        linphone sends its calls where Service-Route says, and not by the edge."""
        self.user, self.domain = user, domain
        home = lab.path(f"linphone-{user}")
        (home / ".local" / "share" / "linphone").mkdir(parents=True)
        users = [] if also is None else [user, *also]
        (home / "rc").write_text(CONFIG.format(ip=lab.client_ip(), user=user, ca=ca) + "".join(
            ACCOUNT.format(index=index, user=name, domain=domain, password=password,
                           edge=f"{host_port(edge)};transport={transport}")
            for index, name in enumerate(users)))
        Linphone.count += 1
        pipe = f"bono-linphone-{os.getpid()}-{Linphone.count}"
        self.socket_path = f"/tmp/{pipe}"   # it knows no other directory
        self.control = None
        super().__init__(f"linphone {user}",
                         ["linphone-daemon", "--pipe", pipe, "--config", home / "rc", "--auto-answer",
                          "--log", home / "log"],
                         lab.path(f"linphone-{user}.log"), cwd=home,
                         env={"HOME": str(home), "TMPDIR": str(home), "XDG_DATA_HOME": "",
                              "XDG_CONFIG_HOME": ""})
        self.words = home / "log"
        lab.add(self)
        until(self.connect, f"socket of {self.name}:\n{self.tail()}")
        if not users:
            self.ask("register", f"sip:{user}@{domain}",
                     f"sip:{host_port(edge)};transport={transport}", password, user)

    def connect(self):
        assert self.alive(), f"{self.name} ended:\n{self.tail()}"
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        control.settimeout(20)
        try:
            control.connect(self.socket_path)
        except OSError:
            control.close()
            return False
        self.control = control
        return True

    def ask(self, *words):
        """The answer, whatever it is: an object that is gone is told by an error."""
        self.control.sendall(" ".join(words).encode() + b"\n")
        answer = self.control.recv(65536).decode()
        assert answer.startswith("Status: "), f"{self.name}: {' '.join(words)}: {answer!r}"
        return answer

    def value(self, name, *words):
        """What an answer says of this name; empty when it says nothing."""
        found = re.search(rf"^{name}: (\S+)$", self.ask(*words), re.MULTILINE)
        return found[1] if found else ""

    def wait_for_registration(self, state):
        until(lambda: self.value("State", "register-status", "1") == f"LinphoneRegistration{state}",
              f"{self.name} to be {state}, {self.words}")
        return self

    def wait_for_call(self, number):
        """The number-th call since it began, its own ones counted too, to have its media."""
        until(lambda: self.value("State", "call-status", str(number)) == "LinphoneCallStreamsRunning",
              f"call {number} of {self.name}, {self.words}")

    def wait_for_no_call(self):
        until(lambda: "No current call" in self.ask("call-status"), f"{self.name} to be in no call")

    def call(self, user):
        self.ask("call", f"sip:{user}@{self.domain}")

    def hang_up(self, number):
        self.ask("terminate", str(number))

    def unregister(self):
        self.ask("unregister", "1")

    def stop(self, patience=10):
        if self.control is not None:
            self.control.close()
        super().stop(patience)
        pathlib.Path(self.socket_path).unlink(missing_ok=True)

    def complaints(self):
        return ""           # not the program under test
