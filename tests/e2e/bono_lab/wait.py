"""Waiting for a condition, never for a time."""

import time

# Generous: it bounds a failing test only; a passing one leaves as soon as its condition holds.
PATIENCE = 15.0


def until(condition, what, patience=PATIENCE, every=0.02):
    """Ask until the answer is true, return it; AssertionError with `what` when patience ends."""
    end = time.monotonic() + patience
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience:g} s in vain for {what}")
        time.sleep(every)
