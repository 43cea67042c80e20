"""A thousand renewals of the certificate under calls: none fails, memory stays flat."""

import time

from bono_lab.rotation import Rotation

LAPS = 10
GROWTH_KB = 4096        # half a KiB of each is its place among the events, which are kept up to a number


def test_renewed_certificates(lab, size, tell):
    times = size("ROTATIONS", 1000)
    rotation = Rotation(lab)
    rotation.start()
    rotation.rotate(50)
    before = rotation.footprint()
    tell(f"at first: {before[0]} KiB of heap, {before[1]} descriptors")
    for lap in range(LAPS):
        began = time.monotonic()
        rotation.rotate(times // LAPS, 50 + lap * (times // LAPS))
        heap, descriptors = rotation.footprint()
        tell(f"{times // LAPS * (lap + 1)} renewals, {time.monotonic() - began:.0f} s, {rotation.calls} calls, "
             f"{rotation.visits} new connections, {rotation.resumed} of them resumed: {heap} KiB, {descriptors} descriptors")
    rotation.finish()
    assert heap - before[0] < GROWTH_KB and descriptors <= before[1] + 8      # connections that just go
