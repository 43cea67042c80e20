"""The drill in its quick form, each fault a test: no request is lost and events come in their order."""

import subprocess

import pytest

from bono_lab.bono import ROOT

DRILL = ROOT / "tests/drill/run"


def rows():
    return subprocess.run([DRILL, "--list"], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize("row", rows())
def test_no_request_is_lost(row):
    done = subprocess.run([DRILL, "--quick", "--row", row], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_request_is_lost_on_loopback_addresses():
    """As it runs for who is not root."""
    done = subprocess.run([DRILL, "--quick", "--loopback", "--row", "killed-udp"], capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
