"""Kamailio, Debian's package: as the Sprouts of a site, and as the edge that our tests are tried on."""

import pathlib
import re
import subprocess

from .process import Process
from .wait import until

HERE = pathlib.Path(__file__).resolve().parent.parent
MODULES = "/usr/lib/x86_64-linux-gnu/kamailio/modules/"


def fill(template, **values):
    text = template.read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


class Kamailio(Process):
    def __init__(self, lab, name, template, defines=(), **values):
        self.lab = lab
        self.rpc_path = str(lab.path(f"{name}.ctl"))
        self.config_path = lab.path(f"{name}.cfg")
        self.config_path.write_text(fill(template, RPC=self.rpc_path, MODULES=MODULES, **values))
        argv = ["kamailio", "-f", self.config_path, "-Y", lab.directory,
                "-P", lab.path(f"{name}.pid"), "-m", "32", "-M", "4", "-DD", "-E"]
        for define in defines:
            argv += ["-A", define]
        super().__init__(name, argv, lab.path(f"{name}.log"))
        lab.add(self)
        until(lambda: self.rpc("core.uptime") is not None, f"{name} to answer:\n{self.tail()}")

    def rpc(self, *words):
        """Output of a kamcmd command, None if it failed."""
        assert self.alive(), f"{self.name} ended:\n{self.tail()}"
        done = subprocess.run(["kamcmd", "-s", f"unix:{self.rpc_path}", *words],
                              capture_output=True, text=True, timeout=20, check=False)
        return done.stdout if done.returncode == 0 else None

    def complaints(self):
        return ""           # not the program under test


# Both ways it shows its certificate and wants one of the same house.
TLS = """[server:default]
method = TLSv1.2+
certificate = {certificate.certificate}
private_key = {certificate.key}
ca_list = {ca}
verify_certificate = yes
require_certificate = yes
[client:default]
method = TLSv1.2+
certificate = {certificate.certificate}
private_key = {certificate.key}
ca_list = {ca}
verify_certificate = yes
require_certificate = yes
"""


class KamailioSprout(Kamailio):
    """A registrar that shares its bindings with the one of the other site (DMQ). `others` are the
    addresses whose Routes it takes as its own, as Sprouts over one store do."""

    def __init__(self, lab, site, ip, peer_ip, others=(), transport="tcp", certificate=None, ca=None):
        """transport tls: a Certificate of its own, and the root of those whom it speaks with."""
        self.site, self.ip = site, ip
        self.transport = transport
        aliases = "\n".join(f"alias={other}:5054" for other in (peer_ip, *others))
        tls = lab.path(f"kamailio-{site}-tls.cfg")
        if certificate is not None:
            tls.write_text(TLS.format(certificate=certificate, ca=ca))
        super().__init__(lab, f"kamailio-{site}", HERE / "kamailio" / "sprout.cfg.in",
                         ["WITH_TLS"] if certificate is not None else [], IP=ip, PEER=peer_ip, SITE=site,
                         ALIASES=aliases, TRANSPORT=transport, TLS=tls)

    def contacts(self, user):
        """How many bindings of this user it holds."""
        found = self.rpc("ul.lookup", "location", f"{user}@example.net")
        return found.count("Address:") if found else 0

    def wait_for_contacts(self, user, count=1):
        until(lambda: self.contacts(user) == count,
              f"{count} bindings of {user} at {self.name} (has {self.contacts(user)})")
        return self

    def wait_for_peer(self):
        """Joined with the other site: what one learns now the other is told."""
        until(lambda: (self.rpc("dmq.list_nodes") or "").count("status: active") >= 2,
              f"{self.name} to see its peer: {self.rpc('dmq.list_nodes')}")
        return self


class KamailioEdge(Kamailio):
    """The edge of stock modules: a test that it fails is suspect, where it can do the thing at all."""

    def __init__(self, lab, sites, transport="tcp", **_):
        self.ip = lab.ip(1)
        self.access, self.core = (self.ip, 5060), (self.ip, 5060)
        lines = []
        for group, targets in enumerate(sites.values(), 1):
            lines += [f"{group} sip:{target};transport={transport} 0 0" for target in targets]
        lab.path("dispatcher.list").write_text("\n".join(lines) + "\n")
        template = HERE.parent / "bench" / "kamailio-edge.cfg.in"
        super().__init__(lab, "kamailio-edge", template, IP=self.ip, WORKERS=2,
                         TARGETS=lab.path("dispatcher.list"))


class KamailioScscf(Kamailio):
    """A registrar that answers as an S-CSCF does; what it saw stands in its log."""

    def __init__(self, lab, ip):
        self.ip = ip
        super().__init__(lab, "kamailio-scscf", HERE / "kamailio" / "scscf.cfg.in", IP=ip)

    def seen(self, *words):
        """What it told of messages, oldest first: the lines that have all these words, as mappings."""
        lines = [line.partition("SEEN ")[2] for line in self.log().decode("utf-8", "replace").splitlines()
                 if "SEEN " in line]
        return [dict(re.findall(r"(\w+)=(.*?)(?= \w+=|$)", line)) for line in lines
                if all(word in line for word in words)]
