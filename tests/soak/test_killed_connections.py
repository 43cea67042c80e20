"""A hundred thousand clients connect and are killed: memory and descriptors stay flat."""

import time

from bono_lab import Bono, SproutSim
from bono_lab.churn import connect_and_kill, descriptors, heap_kb, wait_for_descriptors, wait_until_nobody_is_left

LAPS = 10
GROWTH_KB = 4096        # over all laps: the heap's way of cutting, not a leak of a block per client


def test_killed_connections(lab, size, tell):
    killed = size("KILLED", 100000)
    site = [f"{lab.ip(11)}:5054"]
    SproutSim(lab, "site-a", site)
    bono = Bono(lab, {"site-a": site}, workers=2, limits={"transactions": 2000})
    bono.wait_for_targets(site_a="UP")
    ip = lab.client_ip()
    connect_and_kill(ip, bono.access, 5000)
    wait_until_nobody_is_left(bono)
    before = heap_kb(bono), descriptors(bono)
    tell(f"at first: {before[0]} KiB of heap, {before[1]} descriptors")
    for lap in range(LAPS):
        began = time.monotonic()
        connect_and_kill(ip, bono.access, killed // LAPS)
        rate = killed / LAPS / (time.monotonic() - began)
        wait_until_nobody_is_left(bono)
        tell(f"{killed // LAPS * (lap + 1)} killed, {rate:.0f}/s: {heap_kb(bono)} KiB, {descriptors(bono)} descriptors")
    wait_for_descriptors(bono, before[1])
    assert heap_kb(bono) - before[0] < GROWTH_KB
    bono.assert_serving()
