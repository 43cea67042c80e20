"""Bono itself: a configuration, the daemon, and what its admin side says."""

import json
import os
import pathlib
import re
import socket
import subprocess
import urllib.error
import urllib.request

from .process import Process
from .wait import until

ROOT = pathlib.Path(__file__).resolve().parents[3]


def program(name):
    """The binary under test, from the directory that BUILD names."""
    return ROOT / os.environ.get("BUILD", "build") / name


SERIES = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """A scrape as a mapping."""

    def __init__(self, text):
        self.text = text
        self.series = []
        for line in text.splitlines():
            match = SERIES.match(line)
            if match:
                labels = dict(LABEL.findall(match.group(2) or ""))
                self.series.append((match.group(1), labels, float(match.group(3))))

    def sum(self, name, /, **labels):
        """The sum of the series of this name that carry these labels."""
        return sum(value for series, own, value in self.series
                   if series == name and all(own.get(k) == v for k, v in labels.items()))

    def has(self, name, /, **labels):
        return any(series == name and all(own.get(k) == v for k, v in labels.items())
                   for series, own, _ in self.series)


def configuration(lab, sites, transport="tcp", workers=1, **changes):
    """A whole configuration. sites: {"site-a": ["IP:PORT", ...], ...}, the first is the local one;
    or {"site-a": {keys of its own}}.
    changes: sections to merge over the defaults."""
    edge = lab.ip(1)
    everyone = ["127.0.0.0/8"]
    config = {
        "node": {"name": "bono-1", "site": next(iter(sites)), "home_domains": ["example.net"],
                 "state_dir": str(lab.path("state"))},
        "workers": workers,
        "listeners": [
            {"name": "access-udp", "side": "access", "transport": "udp", "bind": f"{edge}:5060"},
            {"name": "access-tcp", "side": "access", "transport": "tcp", "bind": f"{edge}:5060"},
            {"name": "access-ws", "side": "access", "transport": "ws", "bind": f"{edge}:5062"},
            {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{edge}:5058",
             "allow": everyone, "path": transport == "tcp"},
            {"name": "core-udp", "side": "core", "transport": "udp", "bind": f"{edge}:5058",
             "allow": everyone, "path": transport == "udp"},
        ],
        "sites": {},
        "health": {"interval": "300ms", "timeout": "250ms", "fall": 2, "rise": 2},
        "failover": {"first_answer": "500ms", "deadline": "8s"},
        "failback": {"hold_down": "1s", "ramp": "1s"},
        "admin": {"http": f"{edge}:9090", "socket": str(lab.path("admin.sock"))},
    }
    for name, targets in sites.items():
        config["sites"][name] = dict(targets) if isinstance(targets, dict) else {"targets": [
            target if target.startswith("sip:") else f"sip:{target};transport={transport}"
            for target in targets]}
        if name != config["node"]["site"] and "tls" not in config["sites"][name]:
            config["sites"][name]["plaintext"] = "allowed"
    for section, value in changes.items():
        if isinstance(value, dict) and isinstance(config.get(section), dict):
            config[section].update(value)
        else:
            config[section] = value
    return config


class Bono(Process):
    """Starts at once and is ready when the constructor returns."""

    count = 0

    def __init__(self, lab, sites, transport="tcp", under=(), **changes):
        """under: a command that runs it, as prlimit."""
        Bono.count += 1
        self.lab = lab
        self.config = configuration(lab, sites, transport, **changes)
        lab.path("state").mkdir(exist_ok=True)
        self.config_path = lab.path(f"bono-{Bono.count}.yaml")
        self.config_path.write_text(json.dumps(self.config, indent=1))
        self.ip = lab.ip(1)
        self.access = (self.ip, 5060)
        self.access_web = (self.ip, 5062)
        self.core = (self.ip, 5058)
        self.socket_path = self.config["admin"]["socket"]
        super().__init__("bono", [*under, program("bono"), "-c", self.config_path],
                         lab.path(f"bono-{Bono.count}.log"))
        lab.add(self)
        self.wait_for_log("bono: ready")

    def get(self, path):
        """(status, body) of an admin page."""
        url = f"http://{self.config['admin']['http']}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self):
        code, body = self.get("/status")
        assert code == 200, f"/status answered {code}: {body}"
        return json.loads(body)

    def metrics(self):
        code, body = self.get("/metrics")
        assert code == 200, f"/metrics answered {code}"
        return Metrics(body)

    def targets(self):
        """{"site-a/sprout-1": target object}."""
        return {f"{site['name']}/{target['name']}": target
                for site in self.status()["sites"] for target in site["targets"]}

    def wait_for_targets(self, **states):
        """wait_for_targets(site_a="UP", site_b="DOWN"): all targets of those sites."""
        wanted = {name.replace("_", "-"): state for name, state in states.items()}

        def stand():
            return all(target["state"] == wanted[site["name"]]
                       for site in self.status()["sites"] if site["name"] in wanted
                       for target in site["targets"])
        until(stand, f"targets to be {wanted}, log:\n{self.tail()}")
        return self

    def ctl(self, *words):
        """bonoctl: (exit code, stdout, stderr)."""
        done = subprocess.run([program("bonoctl"), "-s", self.socket_path, *words],
                              capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stdout, done.stderr

    def assert_serving(self):
        """Alive, and its data path answers: OPTIONS to itself over UDP and a fresh TCP connection."""
        from .sip import TcpClient, UdpClient, options_to
        assert self.alive(), f"bono ended with {self.child.returncode}:\n{self.tail()}"
        for kind in (UdpClient, TcpClient):
            client = kind(self.lab.ip(99), self.access, 0)
            try:
                client.send(options_to(client, self.access))
                answer = client.response(method="OPTIONS")
                assert answer.status == 200, answer.start
            finally:
                client.close()

    def complaints(self):
        faults = super().complaints()
        code = self.child.poll()
        if not faults and code is not None and code > 0:
            faults = f"bono: exit status {code}; last words:\n{self.tail()}"
        return faults


def tcp_open(address):
    """Does somebody listen there?"""
    try:
        socket.create_connection(address, 1).close()
        return True
    except OSError:
        return False
