"""Fixtures. The stage itself is bono_lab."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from bono_lab import Authority, Bono, KamailioEdge, Lab  # noqa: E402


@pytest.fixture
def lab(tmp_path):
    """A scene of its own; fails the test if a program in it crashed."""
    stage = Lab(tmp_path)
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory):
    """A scene for all tests of a module: for those that only look and never break anything."""
    stage = Lab(tmp_path_factory.mktemp("lab"))
    yield stage
    stage.close()


@pytest.fixture
def edge_kind():
    """Bono, or with BONO_LAB_EDGE=kamailio the edge of stock modules, to try the tests on."""
    return KamailioEdge if os.environ.get("BONO_LAB_EDGE") == "kamailio" else Bono


@pytest.fixture(params=["udp", "tcp"])
def way(request):
    """How the clients of a test reach us; a module that knows more ways has its own."""
    return request.param


@pytest.fixture
def user(request):
    """A user of the test's own, so that tests may share a scene."""
    return "".join(letter for letter in request.node.name.lower() if letter.isalnum())[5:60]


@pytest.fixture
def authority(lab):
    """Who issues the certificates of a test."""
    return Authority(lab.path("ca"))


@pytest.fixture
def measured(capsys):
    """measured("what, how much"): printed past pytest's capture, and by make check at its end."""
    def say(words):
        with capsys.disabled():
            print(f"\n  measured: {words}", flush=True)
    return say
