"""What takes too long for `make check`. Each soak is a test in a file of its own, prints what it measured, and takes
its size from a variable SOAK_NAME of the environment.

The stage is that of the end-to-end tests (tests/e2e/bono_lab).
"""

import os
import pathlib
import sys

import pytest

E2E = pathlib.Path(__file__).resolve().parent.parent / "e2e"
sys.path.insert(0, str(E2E))

from bono_lab import Lab  # noqa: E402


@pytest.fixture
def lab(tmp_path):
    stage = Lab(tmp_path)
    yield stage
    stage.close()


@pytest.fixture
def size():
    """size("KILLED", 100000): how much of it."""
    return lambda name, usual: int(os.environ.get(f"SOAK_{name}") or usual)


@pytest.fixture
def tell(capsys):
    """Print now, past pytest's capture."""
    def say(words):
        with capsys.disabled():
            print(f"\n  {words}", end="", flush=True)
    return say
