"""A hundred thousand clients begin TLS and are killed on the way or after it: memory and descriptors stay flat."""

import time

from bono_lab import Bono, Crowd, SproutSim, until
from bono_lab.churn import TLS_PORTS, descriptors, heap_kb, secured, wait_until_nobody_is_left

LAPS = 10
GROWTH_KB = 4096        # over all laps


def test_killed_tls_connections(lab, size, tell):
    killed = size("KILLED_TLS", 100000)
    site = [f"{lab.ip(11)}:5054"]
    SproutSim(lab, "site-a", site)
    bono = Bono(lab, {"site-a": site}, workers=2, limits={"transactions": 2000}, **secured(lab))
    bono.wait_for_targets(site_a="UP")
    ips, edge = [lab.client_ip() for _ in range(8)], (bono.ip, TLS_PORTS["tls"])
    Crowd(lab, "tls", edge, 5000, "kill", ips)
    wait_until_nobody_is_left(bono)
    before = heap_kb(bono), descriptors(bono)
    tell(f"at first: {before[0]} KiB of heap, {before[1]} descriptors")
    for lap in range(LAPS):
        began = time.monotonic()
        Crowd(lab, "tls", edge, killed // LAPS, "kill", ips)
        rate = killed / LAPS / (time.monotonic() - began)
        wait_until_nobody_is_left(bono)
        tell(f"{killed // LAPS * (lap + 1)} killed, {rate:.0f}/s: {heap_kb(bono)} KiB, {descriptors(bono)} descriptors")
    until(lambda: descriptors(bono) <= before[1], "as many descriptors as before")
    assert heap_kb(bono) - before[0] < GROWTH_KB
    bono.assert_serving()
