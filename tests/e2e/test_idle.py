"""Ten thousand clients that are registered and silent: what each of them costs."""

import pytest

from bono_lab import Bono, Crowd, SproutSim, until
from bono_lab.churn import TLS_PORTS, secured
from bono_lab.crowd import memory_kib

FIRST, CLIENTS = 500, 10000
# Per flow, with all that belongs to it: connection, TLS, flow, registration.
BOUND_KIB = {"tcp": 3, "tls": 16, "ws": 3, "wss": 16}
PORTS = {"tcp": 5060, "ws": 5062, **TLS_PORTS}


def start(lab):
    site = [f"{lab.ip(11)}:5054"]
    SproutSim(lab, "site-a", site)
    bono = Bono(lab, {"site-a": site}, workers=2, **secured(lab))
    return bono.wait_for_targets(site_a="UP")


def connections(bono):
    return bono.metrics().sum("bono_connections", side="access")


@pytest.mark.parametrize("way", PORTS)
def test_idle_flows_cost_little(lab, measured, way):
    bono = start(lab)
    edge = (lab.ip(1), PORTS[way])
    Crowd(lab, way, edge, FIRST)       # what is spent once, whoever comes; they stay
    before = memory_kib(bono)
    Crowd(lab, way, edge, CLIENTS)
    until(lambda: bono.metrics().sum("bono_registrations") == FIRST + CLIENTS, "all to be registered")
    each = (memory_kib(bono) - before) / CLIENTS
    measured(f"{CLIENTS} idle {way} flows: {each:.2f} KiB each")
    assert connections(bono) == FIRST + CLIENTS
    assert each < BOUND_KIB[way]
    bono.assert_serving()
