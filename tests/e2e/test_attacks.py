"""Every message of the attack book against a Bono that serves a victim: refused, dropped or defused, as the book
says, and the victim's call goes on. See attacks/."""

import pytest

from attacks import ANSWERS, ATTACKS, Stage, Strike
from bono_lab import Lab
from bono_lab.calls import CoreCall, contact_of
from bono_lab.sip import build, uri_of


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


@pytest.mark.parametrize("way", ["udp", "tcp", "ws"])
def test_what_follows_a_forged_record_route_ends_at_who_forged_it(stage, way):
    """The core sends its requests back along all that the attacker wrote: they come to the attacker, and to nobody else."""
    strike = Strike(stage, way, True)
    strike.end.send(strike.message(
        ("Record-Route", f"<sip:{strike.token(strike.victim)}@{strike.edge};transport=udp;lr>"),
        ("Record-Route", f"<sip:{strike.token(strike.victim)}@{strike.core};transport=tcp;lr>"),
        ("Record-Route", f"<sip:{strike.stranger};lr>"), method="INVITE"))
    invite = stage.sprout.expect("INVITE", call_id=strike.call_id)
    invite.reply(200, headers=[contact_of(stage)])
    assert strike.end.response("INVITE", strike.call_id).status == 200
    core = stage.way()
    core.send(build(f"BYE {uri_of(invite.get('contact'))} SIP/2.0",
                    [("Via", core.end.via()), ("Max-Forwards", 70)]
                    + [("Route", route) for route in invite.values("record-route")]
                    + [("From", f"{invite.get('to')};tag=x"), ("To", invite.get("from")), ("Call-ID", strike.call_id),
                       ("CSeq", "1 BYE")]))
    strike.end.request("BYE").reply(200)
    assert core.end.response("BYE", strike.call_id).status == 200
    stage.assert_victim_is_well()


def test_a_redirection_is_followed_by_nobody(stage):
    """A Contact that leads to a stranger is asked along the flow it was registered on."""
    strike = Strike(stage, "udp", False)
    raw = strike.register(contact=f"<sip:mallory@{strike.stranger}>", aor="sip:elsewhere@example.net", expires=600)
    strike.end.send(raw)
    path = stage.sprout.accept_register(call_id=strike.call_id).values("path")
    assert strike.end.response("REGISTER").status == 200
    core = stage.way()
    core.send(core.request_bytes("MESSAGE", f"sip:mallory@{strike.stranger}", path))
    strike.end.request("MESSAGE").reply(302, headers=[("Contact", f"<sip:{strike.stranger}>")])
    assert core.end.response("MESSAGE").status == 302
    stage.assert_victim_is_well()


def test_bono_still_serves_after_all_that(stage):
    stage.bono.assert_serving()
    assert len(ATTACKS) + len(ANSWERS) >= 60
    assert all(entry.tries for entry in [*ATTACKS.values(), *ANSWERS.values()])
