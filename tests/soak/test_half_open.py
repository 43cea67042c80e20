"""A registered phone vanishes without a word: its packets are dropped, what the core has for it stays unacknowledged.
Within the bound of the access side (transport/tcp.c: 30 s) the flow is gone, and the next request is told so."""

import os
import time

import pytest

from bono_lab import Bono, Client, Lab, ScriptedSprout, until
from bono_lab.nat import Nat, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")

UNACKNOWLEDGED_S = 30
# The kernel looks when it would send once more, and then less and less often: at twice the time at worst.
BOUND_S = 2 * UNACKNOWLEDGED_S


@pytest.fixture
def nat():
    made = Nat()
    yield made
    made.stop()


@pytest.fixture
def stage(nat, tmp_path):
    with nat.inside("edge"):
        made = Lab(tmp_path)
        try:
            yield made
        finally:
            made.close()


def drop_all(nat):
    run("ip", "netns", "exec", nat.name("nat"), "nft", "-f", "-", text=(
        "table ip hole {\nchain through {\ntype filter hook forward priority 0; policy drop;\n}\n}\n"))


def test_a_phone_that_vanished_is_430(stage, nat, tell):
    sprout = ScriptedSprout(stage, stage.ip(11))
    bono = Bono(stage, {"site-a": [f"{stage.ip(11)}:5054"]}, workers=2, listeners=[
        {"name": "access-tcp", "side": "access", "transport": "tcp", "bind": f"{Nat.EDGE}:5060"},
        {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{stage.ip(1)}:5058",
         "allow": ["127.0.0.0/8"], "path": True}])
    bono.access = (Nat.EDGE, 5060)
    bono.wait_for_targets(site_a="UP")
    original, stage.client_ip = stage.client_ip, lambda: Nat.PHONE
    with nat.inside("phone"):
        phone = Client(stage, bono, "alice", "tcp")
    stage.client_ip = original
    phone.end.send(phone.register_bytes())
    seen = sprout.accept_register(call_id=phone.register_call_id)
    assert phone.end.response("REGISTER", phone.register_call_id).status == 200
    contact, path = seen.get("contact").split("<")[1].split(">")[0], seen.lines("path")
    way = sprout.way_to(bono.core)
    stage.add(way)

    drop_all(nat)
    began = time.monotonic()
    way.send(way.request_bytes("MESSAGE", contact, path, body=b"into the void"))
    until(lambda: bono.metrics().sum("bono_flow_closed_total", reason="connection") == 1,
          "the kernel to give the connection up", BOUND_S, 0.1)
    tell(f"the flow of a phone that vanished was gone {time.monotonic() - began:.1f} s after the first byte for it")
    assert bono.status()["registrations"] == 0
    way.send(way.request_bytes("OPTIONS", contact, path))
    assert way.end.response("OPTIONS").status == 430
