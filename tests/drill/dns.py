"""A DNS server for the drill: Knot, Debian's, with one zone whose records can be changed."""

import subprocess

from stage import PATIENCE, Program, Trouble

PORT = 5353
ZONE = "example.test"
TTL_S = 1

CONFIG = """server:
    rundir: "{directory}"
    listen: [ "{ip}@{port}" ]
    background-workers: 1
    udp-workers: 1
    tcp-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: "{directory}"
control:
    listen: "{directory}/ctl"
zone:
  - domain: {zone}
    file: "{directory}/zone"
    zonefile-load: whole
    zonefile-sync: -1
    journal-content: none
"""


class Dns:
    """Knows the Sprouts of one site as sip:core.example.test, by SRV records of one second."""

    def __init__(self, stage, core, addresses):
        self.core, self.known = core, addresses
        self.directory = stage.directory / "knot"
        self.directory.mkdir()
        (self.directory / "conf").write_text(CONFIG.format(directory=self.directory, ip=stage.edge, port=PORT,
                                                           zone=ZONE))
        lines = [f"$ORIGIN {ZONE}.", f"$TTL {TTL_S}", "@ SOA ns hostmaster 1 60 30 600 1", "@ NS ns",
                 f"ns A {stage.edge}"]
        lines += [" ".join(record) for record in self.records(addresses)]
        (self.directory / "zone").write_text("\n".join(lines) + "\n")
        self.server = f"{stage.edge}:{PORT}"
        self.argv = [*stage.network.inside("edge"), "knotd", "-c", self.directory / "conf"]
        self.program = None
        self.start()

    def uri(self):
        return f"sip:core.{ZONE};transport={self.core}"

    def records(self, addresses):
        for number, address in enumerate(addresses, 1):
            yield f"_sip._{self.core}.core", "SRV", f"1 50 5054 s{number}.{ZONE}."
            yield f"s{number}", "A", address

    def start(self):
        self.program = Program("knotd", self.argv, self.directory / "log", "control, binding")

    def ctl(self, *words):
        done = subprocess.run(["knotc", "-s", self.directory / "ctl", *words], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        if done.returncode != 0:
            raise Trouble(f"knotc {' '.join(words)}: {done.stdout}{done.stderr}")

    def know(self, addresses):
        """From now on these, in one change; none: the names are gone."""
        self.ctl("zone-begin", ZONE)
        for name in sorted({record[0] for record in self.records(self.known)}):
            self.ctl("zone-unset", ZONE, name)
        for name, kind, words in self.records(addresses):
            self.ctl("zone-set", ZONE, name, str(TTL_S), kind, words)
        self.ctl("zone-commit", ZONE)
        self.known = addresses

    def stop(self):
        self.program.stop()
