"""The stage of the drill: networks, the Sprouts of two sites, the edge, the clients.

With root and `ip` and `nft`, every part has a network namespace of its own, named bono-drill-PID-PART and
joined to the edge's by a veth pair, so that packets can vanish and ports close as between machines. Without,
everything stands on loopback addresses and sprout-sim plays the network's faults.
"""

import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / os.environ.get("BUILD", "build")
MODULES = "/usr/lib/x86_64-linux-gnu/kamailio/modules/"
PATIENCE = 30
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class Trouble(Exception):
    """The drill itself could not go on."""


def wait_for(condition, what, patience=PATIENCE, every=0.02):
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise Trouble(f"waited {patience} s in vain for {what() if callable(what) else what}")
        time.sleep(every)


# ---- networks ----

class Loopback:
    """127.N.0.0/16 of our own, claimed by a listening socket."""

    kind = "loopback"
    vanishes = False        # packets cannot be dropped here: sprout-sim does it

    def __init__(self):
        for step in range(40):
            number = 140 + (os.getpid() + step) % 40
            self.prefix = f"127.{number}"
            self.claim = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                self.claim.bind((f"{self.prefix}.255.250", 39998))
                self.claim.listen(1)
                return
            except OSError:
                self.claim.close()
        raise Trouble("no free loopback network")

    def inside(self, part):
        return []

    def close(self):
        self.claim.close()


class Namespaces:
    """One for each site, one for the clients, one for the edge that all are joined to."""

    kind = "network namespaces"
    vanishes = True
    prefix = "10.203"
    parts = {"edge": ["10.203.0.1"], "site-a": ["10.203.1.1", "10.203.1.2"],
             "site-b": ["10.203.2.1", "10.203.2.2"], "clients": []}
    nets = {"site-a": "10.203.1.0/24", "site-b": "10.203.2.0/24", "clients": "10.203.128.0/17"}

    @staticmethod
    def possible():
        if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"):
            return False
        name = f"bono-drill-{os.getpid()}-try"
        if run(["ip", "netns", "add", name]) != 0:
            return False
        good = run(["ip", "netns", "exec", name, "nft", "add", "table", "inet", "t"]) == 0 and \
            run(["ip", "-n", name, "link", "add", "v", "type", "veth", "peer", "w"]) == 0
        run(["ip", "netns", "del", name])
        return good

    def __init__(self):
        self.made = []
        try:
            self.build()
        except BaseException:
            self.close()
            raise

    def name(self, part):
        return f"bono-drill-{os.getpid()}-{part}"

    def build(self):
        for part, addresses in self.parts.items():
            must(["ip", "netns", "add", self.name(part)])
            self.made.append(self.name(part))
            must(["ip", "-n", self.name(part), "link", "set", "lo", "up"])
            for address in addresses:
                must(["ip", "-n", self.name(part), "addr", "add", f"{address}/32", "dev", "lo"])
        for number, (part, net) in enumerate(self.nets.items()):
            self.join(part, net, number)
        # The sites reach each other by way of the edge's namespace, as by a router beside it.
        must(["ip", "netns", "exec", self.name("edge"), "sysctl", "-qw", "net.ipv4.ip_forward=1"])
        # All clients' addresses are ours, without listing them.
        must(["ip", "-n", self.name("clients"), "route", "add", "local", self.nets["clients"],
              "dev", "lo"])

    def join(self, part, net, number):
        edge, there = self.name("edge"), self.name(part)
        must(["ip", "-n", edge, "link", "add", part, "type", "veth", "peer", "name", "edge",
              "netns", there])
        near, far = f"10.203.64.{number * 4 + 1}", f"10.203.64.{number * 4 + 2}"
        must(["ip", "-n", edge, "addr", "add", f"{near}/30", "dev", part])
        must(["ip", "-n", there, "addr", "add", f"{far}/30", "dev", "edge"])
        must(["ip", "-n", edge, "link", "set", part, "up"])
        must(["ip", "-n", there, "link", "set", "edge", "up"])
        source = self.parts["edge"][0]
        must(["ip", "-n", edge, "route", "add", net, "via", far, "src", source])
        own = ["src", self.parts[part][0]] if self.parts[part] else []
        must(["ip", "-n", there, "route", "add", "default", "via", near, *own])

    def inside(self, part):
        return ["ip", "netns", "exec", self.name(part)]

    def vanish(self, part):
        """Every packet to and from this part is dropped, without a word."""
        must([*self.inside(part), "nft", "-f", "-"],
             "table inet drill { chain in { type filter hook input priority 0; iif != lo drop; }\n"
             "chain out { type filter hook output priority 0; oif != lo drop; }\n}\n")

    def appear(self, part):
        must([*self.inside(part), "nft", "delete", "table", "inet", "drill"])

    def close(self):
        for name in self.made:
            run(["ip", "netns", "del", name])
        self.made = []


def run(argv):
    return subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          check=False).returncode


def must(argv, text=None):
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Trouble(f"{' '.join(argv)}: {done.stderr.strip()}")


# ---- programs ----

class Program:
    """In a group of its own; it ends with us, however we end."""

    def __init__(self, name, argv, log, ready=None, **how):
        self.name, self.log = name, log
        how.setdefault("stdin", subprocess.DEVNULL)
        with open(log, "ab") as file:
            begun = file.tell()
            how.setdefault("stdout", file)
            self.child = subprocess.Popen([str(word) for word in argv], stderr=file,
                                          start_new_session=True, preexec_fn=end_with_parent, **how)
        if ready:
            wait_for(lambda: self.said(ready, begun), lambda: f"{name} to start:\n{self.words()}")

    def words(self):
        return pathlib.Path(self.log).read_text(errors="replace")[-3000:]

    def said(self, what, begun):
        if self.child.poll() is not None:
            raise Trouble(f"{self.name} ended with {self.child.returncode}:\n{self.words()}")
        return what.encode() in pathlib.Path(self.log).read_bytes()[begun:]

    def signal(self, number):
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait()

    def stop(self):
        """Its exit status after SIGTERM."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.child.wait(8)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()


def end_with_parent():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Site:
    """The simulated Sprouts of one site."""

    def __init__(self, stage, name, addresses):
        self.stage, self.name, self.addresses = stage, name, addresses
        self.control_path = stage.directory / f"{name}.control"
        self.program = None
        self.start()

    def start(self):
        argv = [*self.stage.network.inside(self.name), BUILD / "sprout-sim", "--site", self.name]
        for address in self.addresses:
            argv += ["--listen", f"{address}:5054"]
        argv += ["--peer-store", self.stage.directory / "store", "--control", self.control_path]
        self.program = Program(self.name, argv, self.stage.directory / f"{self.name}.log", "ready")

    def say(self, line):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(5)
            control.connect(str(self.control_path))
            control.sendall(line.encode() + b"\n")
            answer = control.recv(4096).decode().strip()
        if not answer.startswith("ok"):
            raise Trouble(f"{self.name}: {line}: {answer}")
        return answer

    def fault(self, words, address=None):
        self.say(f"fault {f'{address}:5054' if address else '*'} {words}")

    def registers(self):
        """REGISTERs it has taken since it started, None while it cannot say."""
        try:
            words = dict(word.split("=") for word in self.say("requests *").split()[1:])
            return int(words["REGISTER"])
        except (OSError, Trouble):
            return None

    def stop(self):
        self.program.stop()


class Watch(threading.Thread):
    """What Bono says of its targets, each change with its time. Asked often, on the admin's socket."""

    EVERY = 0.02

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.changes, self.over, self.fault = path, [], False, None
        self.last = {}
        self.look()
        self.start()

    def status(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as admin:
            admin.settimeout(5)
            admin.connect(str(self.path))
            admin.sendall(b"GET /status HTTP/1.0\r\nHost: bono\r\nConnection: close\r\n\r\n")
            answer = b""
            while more := admin.recv(65536):
                answer += more
        return json.loads(answer.split(b"\r\n\r\n", 1)[1])

    def look(self):
        status = self.status()
        now = time.monotonic()
        for site in status["sites"]:
            self.note(now, site["name"], "serving" if site["serving"] else "not serving", "")
            for target in site["targets"]:
                self.note(now, f"{site['name']}/{target['name']}", target["state"], target["reason"])

    def note(self, now, name, state, reason):
        if self.last.get(name) != state:
            self.last[name] = state
            self.changes.append((now, name, state, reason))

    def run(self):
        while not self.over:
            try:
                self.look()
            except (OSError, ValueError, KeyError) as fault:
                if not self.over:
                    self.fault = fault
            time.sleep(self.EVERY)

    def of(self, site):
        return [change for change in self.changes if change[1].startswith(f"{site}/")]

    def states(self, site):
        return {name: state for name, state in self.last.items() if name.startswith(f"{site}/")}

    def stop(self):
        self.over = True
        self.join()


class Edge:
    """What both kinds of edge have."""

    watch = None

    def stop(self):
        if self.watch:
            self.watch.stop()
        return self.program.stop()


class Bono(Edge):
    name = "bono"

    def __init__(self, stage, core, health):
        directory = stage.directory
        (directory / "state").mkdir(exist_ok=True)
        net = f"{stage.network.prefix}.0.0/16"
        config = {
            "node": {"name": "bono-1", "site": "site-a", "home_domains": ["example.net"],
                     "state_dir": str(directory / "state")},
            "workers": 2,
            "listeners": [
                {"name": "access-udp", "side": "access", "transport": "udp",
                 "bind": f"{stage.edge}:5060"},
                {"name": "core-tcp", "side": "core", "transport": "tcp",
                 "bind": f"{stage.edge}:5058", "allow": [net], "path": core == "tcp"},
                {"name": "core-udp", "side": "core", "transport": "udp",
                 "bind": f"{stage.edge}:5058", "allow": [net], "path": core == "udp"}],
            "sites": {
                name: {"targets": [f"sip:{address}:5054;transport={core}" for address in addresses]}
                for name, addresses in stage.sprouts.items()},
            "admin": {"socket": str(directory / "admin.sock")},
            **health,
        }
        config["sites"]["site-b"]["plaintext"] = "allowed"
        if stage.dns:
            config["sites"]["site-a"] = {"discover": stage.dns.uri()}
            config["dns"] = {"servers": [stage.dns.server], "timeout": "300ms"}
        (directory / "bono.yaml").write_text(json.dumps(config, indent=1))
        self.access = f"{stage.edge}:5060"
        self.socket = directory / "admin.sock"
        self.program = Program("bono", [*stage.network.inside("edge"), BUILD / "bono", "-c",
                                        directory / "bono.yaml"],
                               directory / "bono.log", "bono: ready")
        self.watch = Watch(self.socket)

    def wait_until_ready(self, sites=("site-a", "site-b")):
        wait_for(lambda: all(set(self.watch.states(site).values()) == {"UP"} for site in sites),
                 lambda: f"all targets to be UP: {self.watch.last}")

    def ctl(self, *words):
        done = subprocess.run([BUILD / "bonoctl", "-s", self.socket, *words], capture_output=True,
                              text=True, timeout=20, check=False)
        return done.stdout if done.returncode == 0 else f"bonoctl {words}: {done.stderr}"

    def lost(self):
        """Its own count of lost requests, as {reason: count}."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as admin:
            admin.settimeout(5)
            admin.connect(str(self.socket))
            admin.sendall(b"GET /metrics HTTP/1.0\r\nHost: bono\r\n\r\n")
            text = b""
            while more := admin.recv(65536):
                text += more
        lines = [line for line in text.decode().splitlines()
                 if line.startswith("bono_requests_lost_total{") and not line.endswith(" 0")]
        return "; ".join(line[len("bono_requests_lost_total"):] for line in lines)


class Kamailio(Edge):
    """Debian's Kamailio, tuned, as the bench has it."""

    name = "kamailio"

    def __init__(self, stage, core, health):
        directory = stage.directory
        lines = [f"{group} sip:{address}:5054;transport={core} 0 0\n"
                 for group, addresses in enumerate(stage.sprouts.values(), 1) for address in addresses]
        (directory / "targets").write_text("".join(lines))
        text = (ROOT / "tests/bench/kamailio-edge.cfg.in").read_text()
        for word, value in {"IP": stage.edge, "WORKERS": 4, "MODULES": MODULES,
                            "TARGETS": directory / "targets", "RPC": directory / "rpc"}.items():
            text = text.replace(f"@{word}@", str(value))
        (directory / "kamailio.cfg").write_text(text)
        self.access = f"{stage.edge}:5060"
        self.rpc = directory / "rpc"
        self.program = Program("kamailio", [
            *stage.network.inside("edge"), "kamailio", "-f", directory / "kamailio.cfg",
            "-Y", directory, "-P", directory / "pid", "-m", "256", "-M", "8", "-DD", "-E"],
            directory / "kamailio.log")

    def wait_until_ready(self, sites=()):
        wait_for(lambda: run(["kamcmd", "-s", f"unix:{self.rpc}", "core.uptime"]) == 0,
                 lambda: f"kamailio:\n{self.program.words()}", every=0.1)
        time.sleep(1)

    def lost(self):
        return ""


EDGES = {"bono": Bono, "kamailio": Kamailio}


class Stage:
    """Everything for one row of the table; gone when it is left."""

    def __init__(self, network, directory, edge, core, health, dns=None):
        self.network = network
        self.directory = pathlib.Path(directory)
        (self.directory / "store").mkdir(parents=True)
        self.sprouts = {f"site-{site}": [f"{network.prefix}.{number}.{host}" for host in (1, 2)]
                        for number, site in enumerate("ab", 1)}
        self.edge = f"{network.prefix}.0.1"
        self.parts, self.dns = [], None
        try:
            if dns:
                self.dns = dns(self, core, self.sprouts["site-a"])
                self.parts.append(self.dns)
            self.sites = {}
            for name, addresses in self.sprouts.items():
                self.sites[name] = Site(self, name, addresses)
                self.parts.append(self.sites[name])
            self.bono = EDGES[edge](self, core, health)
            self.parts.append(self.bono)
            self.bono.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def load(self, options):
        records = self.directory / "records"
        argv = [*self.network.inside("clients"), BUILD / "drill" / "load", "-e", self.bono.access,
                "-o", records, "-b", f"{self.network.prefix}.128.1", "-p", free_port(), *options]
        load = Program("load", argv, self.directory / "load.log", stdin=subprocess.PIPE,
                       stdout=subprocess.PIPE)
        self.parts.append(load)
        self.expect(load, "registered")
        return load, records

    @staticmethod
    def expect(load, word):
        line = load.child.stdout.readline().decode().strip()
        if line != word:
            raise Trouble(f"load said {line!r} and not {word!r}:\n{load.words()}")

    @staticmethod
    def tell(load):
        load.child.stdin.write(b"now\n")
        load.child.stdin.flush()

    def close(self):
        """True if the edge ended well."""
        ended = {part: part.stop() for part in reversed(self.parts)}
        self.parts = []
        return ended.get(getattr(self, "bono", None)) == 0


def free_port():
    """One that nobody has on any address: on loopback the clients share them with whatever else runs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def build():
    """The load generator, if it is older than its sources."""
    target = BUILD / "drill" / "load"
    target.parent.mkdir(parents=True, exist_ok=True)
    sources = [HERE / "load.c", *(ROOT / "tests/bench").glob("*.h")]
    if not target.exists() or target.stat().st_mtime < max(s.stat().st_mtime for s in sources):
        subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-g", "-Wall",
                        "-Wextra", "-Wshadow", "-Werror", "-o", target, HERE / "load.c"], check=True)
