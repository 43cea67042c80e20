"""A hundred renewals under calls: none of them fails, nor does a new connection. make soak does a thousand."""

from bono_lab.rotation import Rotation

TIMES = 100
GROWTH_KB = 4096


def test_certificates_are_replaced_a_hundred_times_without_a_failed_call(lab, measured):
    rotation = Rotation(lab)
    rotation.start()
    rotation.rotate(20)
    before = rotation.footprint()
    rotation.rotate(TIMES - 20, 20)
    after = rotation.footprint()
    rotation.finish()
    measured(f"{TIMES} renewals, {rotation.calls} calls, {rotation.visits} new connections, {rotation.resumed} of them "
             f"resumed: {after[0] - before[0]:+} KiB")
    assert rotation.calls > 0 and rotation.visits > rotation.resumed > 0
    assert after[0] - before[0] < GROWTH_KB and after[1] <= before[1] + 8     # connections that just go
