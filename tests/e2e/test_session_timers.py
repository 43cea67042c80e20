"""Session timers asked for by the edge (RFC 4028 8), between user agents that know them and such that do not."""

import pytest

from bono_lab import Lab, Scene
from bono_lab.sip import Call


@pytest.fixture(scope="module", params=["tcp", "udp"])
def scene(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("timers"))
    yield Scene(lab, request.param, session_timers={"expires": "30m", "minimum": "120s"})
    lab.close()


def contact(scene):
    ip, port = scene.sprout.address
    return ("Contact", f"<sip:peer@{ip}:{port};transport={scene.core}>")


def finish(scene, call):
    call.ack()
    scene.sprout.expect("ACK", call_id=call.invite.get("call-id"))


def test_inserted_on_the_way_and_answered_for_a_callee_without_timers(scene, user):
    call = Call(scene.registered(user), "sip:peer@example.net", headers=[("Supported", "timer")])
    invite = scene.sprout.expect("INVITE", call_id=call.invite.get("call-id"))
    assert invite.get("session-expires") == "1800"
    assert invite.values("supported") == ["timer"]
    invite.reply(200, headers=[contact(scene)])
    answer = call.answer()
    assert answer.get("session-expires") == "1800;refresher=uac"
    assert "timer" in answer.values("require")
    finish(scene, call)


def test_a_caller_without_timers_hears_nothing_of_them(scene, user):
    call = Call(scene.registered(user), "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE", call_id=call.invite.get("call-id"))
    assert not invite.has("supported")
    invite.reply(200, headers=[contact(scene)])
    answer = call.answer()
    assert not answer.has("session-expires") and not answer.has("require")
    finish(scene, call)


def test_a_callee_that_knows_them_has_the_word(scene, user):
    call = Call(scene.registered(user), "sip:peer@example.net",
                headers=[("Supported", "timer"), ("Session-Expires", "7200;refresher=uas")])
    invite = scene.sprout.expect("INVITE", call_id=call.invite.get("call-id"))
    assert invite.lines("session-expires") == ["1800;refresher=uas"]
    invite.reply(200, headers=[contact(scene), ("Session-Expires", "900;refresher=uas"),
                               ("Require", "timer")])
    assert call.answer().lines("session-expires") == ["900;refresher=uas"]
    finish(scene, call)


def test_too_short_is_422_with_min_se_and_the_next_try_passes(scene, user):
    client = scene.registered(user)
    call = Call(client, "sip:peer@example.net",
                headers=[("Supported", "timer"), ("Session-Expires", "90")])
    answer = call.answer()
    assert answer.status == 422 and answer.get("min-se") == "120"
    call.ack()
    again = Call(client, "sip:peer@example.net",
                 headers=[("Supported", "timer"), ("Session-Expires", "120"), ("Min-SE", "120")])
    invite = scene.sprout.expect("INVITE", call_id=again.invite.get("call-id"))
    assert invite.get("session-expires") == "120"
    invite.reply(486)
    assert again.answer().status == 486
    again.ack()


def test_a_call_to_a_client_has_one_too(scene, user):
    client = scene.registered(user)
    core = scene.way()
    core.send(core.request_bytes("INVITE", f"sip:{user}@{client.end.address[0]}", client.path,
                                 [("Supported", "timer")]))
    invite = client.end.request("INVITE")
    assert invite.get("session-expires") == "1800"
    invite.reply(200, headers=[("Contact", client.end.contact(user))])
    assert core.end.response("INVITE").get("session-expires") == "1800;refresher=uac"
