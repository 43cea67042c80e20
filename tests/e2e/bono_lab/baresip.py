"""baresip, a real user agent, driven through its control port."""

import array
import json
import math
import socket
import uuid
import wave

from .address import host_port
from .process import Process
from .wait import until

MODULES = "/usr/lib/baresip/modules"
CONFIG = """poll_method epoll
net_interface {host}
sip_listen {listen}
call_max_calls 4
audio_source aufile,{directory}/tone.wav
audio_player aufile,{directory}/heard.wav
audio_alert none
rtp_ports 20000-20400
module_path {modules}
module stdio.so
module g711.so
module aufile.so
module uuid.so
{more}module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {ip}:4444
"""


# baresip 1.0 loads sip_cafile and never asks for its judgement: OpenSSL itself is told to refuse.
VERIFY = """openssl_conf = start
[start]
ssl_conf = ssl
[ssl]
system_default = all
[all]
VerifyMode = Peer
"""


def write_tone(path, seconds):
    """440 Hz as telephones know it."""
    with wave.open(str(path), "wb") as tone:
        tone.setparams((1, 2, 8000, 8000, "NONE", ""))
        tone.writeframes(array.array("h", (int(8000 * math.sin(i * 440 * math.tau / 8000))
                                           for i in range(8000))).tobytes() * seconds)


class Baresip(Process):
    """A user with an outbound flow (sip.instance, reg-id 1) through each of the given edges.
    When its tone is over baresip hangs up by itself."""

    def __init__(self, lab, user, edge, transport="udp", domain="example.net", answer="auto",
                 password="secret", regint=60, tone_s=1, ip=None, listen=None, ca=None, second=None,
                 web=False, also=()):
        """also: further users of this phone, over the same socket. ca: the root by which it judges the edge over TLS (the chain, no name). second: (edge, transport) of a second flow, reg-id 2.
        web: media as browsers have it, ICE and DTLS-SRTP."""
        self.user, self.domain = user, domain
        self.ip = ip or lab.client_ip()     # of its control port, and of SIP unless `listen` says another
        listen = listen or (self.ip, 5070)
        directory = lab.path(f"baresip-{user}")
        directory.mkdir()
        more = "rtcp_mux yes\nmodule ice.so\nmodule dtls_srtp.so\n" if web else ""
        if ca is not None:
            more += f"sip_cafile {ca}\n"
            (directory / "openssl.cnf").write_text(VERIFY)
        (directory / "config").write_text(CONFIG.format(ip=self.ip, host=listen[0],
                                                        listen=host_port(listen), directory=directory,
                                                        modules=MODULES, more=more))
        ways = [f'outbound="sip:{host_port(edge)};transport={transport}"']
        if second is not None:
            ways.append(f'outbound2="sip:{host_port(second[0])};transport={second[1]}"')
        media = ";medianat=ice;mediaenc=dtls_srtp" if web else ""
        (directory / "accounts").write_text("".join(
            f"<sip:{name}@{domain};transport={transport}>;auth_user={name};auth_pass={password};"
            f"{';'.join(ways)};sipnat=outbound;regint={regint};answermode={answer}{media}\n"
            for name in (user, *also)))
        write_tone(directory / "tone.wav", tone_s)
        (directory / "contacts").write_text("")
        (directory / "uuid").write_text(str(uuid.uuid4()))
        environment = {"HOME": str(directory)}
        if ca is not None:
            environment["OPENSSL_CONF"] = str(directory / "openssl.cnf")
        self.events, self.buffer, self.control = [], b"", None
        super().__init__(f"baresip {user}", ["baresip", "-s", "-f", directory],
                         lab.path(f"baresip-{user}.log"), env=environment)
        lab.add(self)
        until(self.connect, f"control port of {self.name}:\n{self.tail()}")

    def connect(self):
        try:
            self.control = socket.create_connection((self.ip, 4444), 1)
        except OSError:
            assert self.alive(), f"{self.name} ended:\n{self.tail()}"
            return False
        self.control.settimeout(0.05)
        return True

    def command(self, name, parameters=""):
        body = json.dumps({"command": name, "params": parameters, "token": name}).encode()
        self.control.sendall(b"%d:%s," % (len(body), body))

    def pump(self):
        """Take in the events (netstrings of JSON) that have come."""
        try:
            self.buffer += self.control.recv(65536)
        except TimeoutError:
            pass
        while b":" in self.buffer:
            length, rest = self.buffer.split(b":", 1)
            if len(rest) <= int(length):
                return
            self.events.append(json.loads(rest[:int(length)]))
            self.buffer = rest[int(length) + 1:]

    def happened(self, kind):
        self.pump()
        return [event for event in self.events if event.get("type") == kind]

    def wait_for(self, kind, count=1, patience=20):
        def came():
            return len(self.happened(kind)) >= count
        try:
            return until(came, f"{kind} at {self.name}", patience)
        except AssertionError as fault:
            seen = [(e.get("type"), e.get("param")) for e in self.events if e.get("event")]
            raise AssertionError(f"{fault}; events {seen}\n{self.tail()}") from None

    def wait_for_register(self, count=1):
        """Registered at least so many times: at start the control port may have come too late for the
        first event, so the account is asked as well."""
        def registered():
            if self.log_contains(b"200 OK"):
                return True
            return len(self.happened("REGISTER_OK")) >= count
        until(registered, f"{self.name} to be registered:\n{self.tail()}", 20)
        return self

    def call(self, user):
        self.command("dial", f"sip:{user}@{self.domain}")

    def be(self, user):
        """The user of this phone that calls from now on."""
        self.command("uafind", f"sip:{user}@{self.domain}")

    def hang_up(self):
        self.command("hangup")

    def answer(self):
        self.command("accept")

    def stop(self, patience=10):
        if self.control is not None:
            self.control.close()
        super().stop(patience)
