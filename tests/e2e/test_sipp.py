"""SIPp plays the user agents; each case over UDP and TCP, with sprout-sim and with Kamailio as Sprout."""

import os

import pytest

from bono_lab import Bono, KamailioEdge, KamailioSprout, Lab, Sipp, SproutSim

REAL_SPROUT = pytest.param("kamailio", id="kamailio-sprout")
SIM = pytest.param("sim", id="sprout-sim")
PAIRS = ["call", "cancel", "reject", "reinvite-by-caller", "reinvite-by-callee", "message"]


def make_sites(lab, kind):
    """Two sites of Sprouts; the target addresses for the edge."""
    if kind == "kamailio":
        one, two = lab.ip(11), lab.ip(21)
        KamailioSprout(lab, "site-a", one, two)
        KamailioSprout(lab, "site-b", two, one)
        return {"site-a": [f"{one}:5054"], "site-b": [f"{two}:5054"]}
    sites = {"site-a": [f"{lab.ip(11)}:5054", f"{lab.ip(12)}:5054"],
             "site-b": [f"{lab.ip(21)}:5054", f"{lab.ip(22)}:5054"]}
    for site, targets in sites.items():
        SproutSim(lab, site, targets)
    return sites


@pytest.fixture(scope="module", params=[SIM, REAL_SPROUT])
def edge(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("sipp"))
    sites = make_sites(lab, request.param)
    kind = KamailioEdge if os.environ.get("BONO_LAB_EDGE") == "kamailio" else Bono
    started = kind(lab, sites, workers=2)
    started.lab = lab
    yield started
    lab.close()


@pytest.fixture(scope="module", params=["site-a", "site-b"])
def edge_with_dead_site(request, tmp_path_factory):
    """Kamailio in both sites; one was killed, children and all, before the first client came."""
    lab = Lab(tmp_path_factory.mktemp("sipp-dead"))
    one, two = lab.ip(11), lab.ip(21)
    sprouts = {"site-a": KamailioSprout(lab, "site-a", one, two),
               "site-b": KamailioSprout(lab, "site-b", two, one)}
    for sprout in sprouts.values():
        sprout.wait_for_peer()
    started = Bono(lab, {"site-a": [f"{one}:5054"], "site-b": [f"{two}:5054"]}, workers=2)
    started.wait_for_targets(site_a="UP", site_b="UP")
    sprouts[request.param].kill()
    started.lab = lab
    yield started
    assert started.metrics().sum("bono_requests_lost_total") == 0
    lab.close()


def users(request):
    """Names that no other test of this run has."""
    stem = "".join(letter for letter in request.node.name if letter.isalnum())
    return f"a{stem}", f"b{stem}"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("scenario", ["register", "reregister", "deregister"])
def test_client_keeps_its_binding(edge, request, scenario, transport):
    user, _ = users(request)
    Sipp(edge.lab, scenario, edge.access, transport, user=user).succeed()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("case", PAIRS)
def test_two_clients(edge, request, case, transport):
    caller, callee = users(request)
    key = f"{case}-{transport}-{caller}"
    uas = Sipp(edge.lab, f"{case}-uas", edge.access, transport, user=callee, peer=caller, key=key)
    uas.wait_for_word("registered")
    uac = Sipp(edge.lab, f"{case}-uac", edge.access, transport, user=caller, peer=callee, key=key)
    uac.succeed()
    uas.succeed()


@pytest.mark.parametrize("caller_way,callee_way", [("udp", "tcp"), ("tcp", "udp")])
def test_call_between_udp_and_tcp(edge, request, caller_way, callee_way):
    caller, callee = users(request)
    uas = Sipp(edge.lab, "call-uas", edge.access, callee_way, user=callee, peer=caller, key=caller)
    uas.wait_for_word("registered")
    uac = Sipp(edge.lab, "call-uac", edge.access, caller_way, user=caller, peer=callee, key=caller)
    uac.succeed()
    uas.succeed()


@pytest.mark.parametrize("scenario", ["register", "reregister", "deregister"])
def test_client_keeps_its_binding_with_one_site_dead(edge_with_dead_site, request, scenario):
    test_client_keeps_its_binding(edge_with_dead_site, request, scenario, "udp")


@pytest.mark.parametrize("case", PAIRS)
def test_two_clients_with_one_site_dead(edge_with_dead_site, request, case):
    test_two_clients(edge_with_dead_site, request, case, "tcp")
