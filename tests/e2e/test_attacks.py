"""Every message of the attack book against a Bono that serves a victim: refused, dropped or defused, as the book
says, and the victim's call goes on. See attacks/."""

import pytest

from attacks import ANSWERS, ATTACKS, Stage, Strike
from bono_lab import Lab
from bono_lab.calls import CoreCall


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("attacks"))
    yield Stage(lab)
    lab.close()


def ways(book):
    return [pytest.param(name, way, id=f"{name}-{way}") for name, entry in book.items()
            for way in ("udp", "tcp", "ws") if way != "ws" or entry.web]


def counted(stage, reason):
    metrics = stage.bono.metrics()
    return metrics.sum("bono_rejected_total", reason=reason) + metrics.sum("bono_parse_errors_total", reason=reason)


@pytest.mark.parametrize("name,way", ways(ATTACKS))
def test_attack(stage, name, way):
    entry = ATTACKS[name]
    strike = Strike(stage, way, entry.registered)
    counter = entry.must.counter
    before = counted(stage, counter) if counter else 0
    strike.end.send(entry.make(strike))
    entry.must.check(strike)
    if counter:
        assert counted(stage, counter) == before + 1
    stage.assert_victim_is_well()


@pytest.mark.parametrize("name,way", ways(ANSWERS))
def test_hostile_answer(stage, name, way):
    entry = ANSWERS[name]
    strike = Strike(stage, way, True)
    call = CoreCall(stage, strike.client)
    invite = strike.end.request("INVITE")
    strike.call_id = call.call_id
    strike.end.send(entry.make(strike, invite))
    if entry.must is not None:
        entry.must(strike, call.answer(), invite)
    else:
        strike.settle()
        assert not call.way.end.got(lambda m: m.is_response and m.status > 100)
        if not strike.end.closed:       # the honest answer that follows is taken
            invite.reply(486)
        assert call.answer().status in (486, 430)
    if call.final.status == 200:
        call.in_dialog("ACK")
    strike.end.drain()
    assert not strike.reached(stage.trunk)
    stage.assert_victim_is_well()


def test_bono_still_serves_after_all_that(stage):
    stage.bono.assert_serving()
    assert len(ATTACKS) + len(ANSWERS) >= 60
    assert all(entry.tries for entry in [*ATTACKS.values(), *ANSWERS.values()])
