"""The faults of the drill, one row of the table each: how it begins, how it ends, what it must show."""

import dataclasses
import signal
import typing


@dataclasses.dataclass
class Row:
    name: str                       # on the command line
    words: str                      # in the table
    core: str                       # udp or tcp, between the edge and the Sprouts
    begin: typing.Callable
    end: typing.Callable
    site: str = "site-a"            # where it happens
    prepare: typing.Callable = None
    one: bool = False               # only the first target of the site
    idle: bool = False              # no load: probes alone
    home: bool = True               # wait until all work is back
    home_quick: bool = False        # the same in the quick form
    returns: bool = False           # a line of its own for the way back, at the full hold-down and ramp
    fault_s: float = 6              # how long it lasts
    fault_quick_s: float = 2.5
    until: str = None               # it lasts until the target is in this state, fault_s at most
    keeps_trying: bool = False      # the target may be tried while the fault lasts
    not_up_before_s: float = 0      # after its begin
    caught_p99_ms: float = None     # bounds of the full form
    detected_s: float = None
    share_within_s: float = None    # its share falls under 10 %
    quiet: bool = False             # the latency of everybody stays what it was
    dns: bool = False               # the site's Sprouts are known by name
    blames: bool = True             # its targets leave service, and come back
    peers: bool = True              # an edge without Bono's knowledge can be put through it


def kill(stage, site):
    stage.sites[site].program.kill()


def restart(stage, site):
    stage.sites[site].start()


def vanish(stage, site):
    if stage.network.vanishes:
        stage.network.vanish(site)
    else:
        stage.sites[site].fault("blackhole")


def appear(stage, site):
    if stage.network.vanishes:
        stage.network.appear(site)
    else:
        stage.sites[site].fault("none")


def stop(stage, site):
    stage.sites[site].program.signal(signal.SIGSTOP)


def go_on(stage, site):
    stage.sites[site].program.signal(signal.SIGCONT)


def fault(words):
    return lambda stage, site: stage.sites[site].fault(words)


def fault_of_first(words):
    return lambda stage, site: stage.sites[site].fault(words, stage.sites[site].addresses[0])


def dns_dead(stage, _):
    stage.dns.program.signal(signal.SIGSTOP)


def dns_alive(stage, _):
    stage.dns.program.signal(signal.SIGCONT)


def dns_empty(stage, _):
    stage.dns.know([])


def dns_wrong(stage, site):
    """Addresses of that network where nobody is."""
    stage.dns.know([address + "7" for address in stage.sprouts[site]])


def dns_right(stage, site):
    stage.dns.know(stage.sprouts[site])


RETRY_AFTER_S = 6

ROWS = [
    Row("killed-tcp", "site killed, core over TCP", "tcp", kill, restart, home_quick=True, returns=True,
        caught_p99_ms=50),
    Row("killed-udp", "site killed, core over UDP", "udp", kill, restart, caught_p99_ms=50),
    Row("vanished-tcp", "packets vanish, core over TCP", "tcp", vanish, appear, home_quick=True,
        caught_p99_ms=700, detected_s=1),
    Row("vanished-udp", "packets vanish, core over UDP", "udp", vanish, appear, caught_p99_ms=700,
        detected_s=1),
    Row("vanished-idle", "packets vanish, no load", "tcp", vanish, appear, idle=True, home=False,
        fault_quick_s=6, until="DOWN", detected_s=4.4, peers=False),
    Row("stopped-tcp", "Sprouts stopped, core over TCP", "tcp", stop, go_on, home_quick=True,
        detected_s=1.5),
    Row("stopped-udp", "Sprouts stopped, core over UDP", "udp", stop, go_on, detected_s=1.5),
    Row("busy", "503 to everything", "tcp", fault("status 503"), fault("none")),
    Row("busy-retry", f"503, Retry-After {RETRY_AFTER_S} s", "udp", fault(f"status 503 {RETRY_AFTER_S}"),
        fault("none"), home_quick=True, fault_s=3, not_up_before_s=RETRY_AFTER_S),
    Row("slow", "one Sprout of two 10 times slower", "udp", fault_of_first("slow 50"),
        fault_of_first("slow 5"), prepare=fault("slow 5"), one=True, home=False, fault_s=14,
        fault_quick_s=20, until="DEGRADED", share_within_s=10),
    Row("lossy", "one Sprout of two loses 5 %", "udp", fault_of_first("loss 5"), fault_of_first("none"),
        one=True, home=False, fault_s=16, fault_quick_s=20, until="DEGRADED", share_within_s=10),
    Row("remote", "remote site vanishes", "tcp", vanish, appear, site="site-b", home=False,
        fault_quick_s=6, until="DOWN", quiet=True),
    Row("one-way", "probes answered, requests not", "udp", fault("mute"), fault("none"),
        keeps_trying=True),
    Row("dns-dead", "DNS dead, its records 1 s old", "tcp", dns_dead, dns_alive, dns=True, blames=False,
        home=False, peers=False, quiet=True),
    Row("dns-empty", "DNS says there are no Sprouts", "tcp", dns_empty, dns_right, dns=True, blames=False,
        home=False, peers=False, quiet=True),
    Row("dns-wrong", "DNS names addresses of nobody", "tcp", dns_wrong, dns_right, dns=True, blames=False,
        peers=False),
]
