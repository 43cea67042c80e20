"""What a registered client may reach in a dialog: the route set that it was given, and nothing else."""

import pytest

from bono_lab import Bono, Lab, Scene
from bono_lab.sip import Call, Message, build, unique, uri_of
from bono_lab.stranger import Stranger
from bono_lab.wait import until

MARK = ";rs="


@pytest.fixture(scope="module", params=["tcp", "udp"])
def scene(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("routes"))
    yield Scene(lab, request.param)
    lab.close()


@pytest.fixture
def stranger(scene):
    return Stranger(scene.lab)


def sprouts_entry(scene, tag="x1"):
    ip, port = scene.sprout.address
    return f"<sip:{tag}@{ip}:{port};transport={scene.core};lr;dialog={tag}>"


def contact_of_peer(scene):
    ip, port = scene.sprout.address
    return ("Contact", f"<sip:peer@{ip}:{port};transport={scene.core}>")


def answered(scene, invite, entry):
    """200 to an INVITE by a Sprout that stays in the path: its Record-Route stands above ours."""
    lines = [(name, value) for name, value in invite.headers if name != "record-route"]
    own = Message(invite.raw)
    own.headers = lines
    own.reply_way = invite.reply_way
    own.our_tag = unique("t")
    return own.reply(200, headers=[("Record-Route", entry)]
                     + [("Record-Route", value) for value in invite.values("record-route")]
                     + [contact_of_peer(scene)], body=b"v=0\r\n")


def established(scene, client):
    """A call from this client, ACK and all."""
    call = Call(client, "sip:peer@example.net")
    invite = scene.sprout.expect("INVITE", call_id=call.invite.get("call-id"))
    answered(scene, invite, sprouts_entry(scene))
    assert call.answer().status == 200
    call.ack()
    scene.sprout.expect("ACK", call_id=call.invite.get("call-id"))
    return call


def in_dialog(client, method, uri, routes, call_id=None):
    return build(f"{method} {uri} SIP/2.0",
                 [("Via", client.end.via()), ("Max-Forwards", 70)]
                 + [("Route", route) for route in routes]
                 + [("From", f"<{client.aor}>;tag=mine"), ("To", "<sip:peer@example.net>;tag=made-up"),
                    ("Call-ID", call_id or unique("relay")), ("CSeq", f"7 {method}")])


def refused(scene):
    return scene.bono.metrics().sum("bono_rejected_total", reason="bad_route")


def assert_refused(scene, client, raw, stranger):
    """403, counted, and nothing came out: neither at the Sprout nor elsewhere."""
    before = refused(scene)
    call_id = Message(raw).get("call-id")
    client.end.send(raw)
    assert client.end.response(call_id=call_id).status == 403
    assert refused(scene) == before + 1
    stranger.assert_nobody_came()
    assert not [m for m in scene.sprout.all if m.get("call-id") == call_id]


def route_of(call):
    return list(reversed(call.final.values("record-route")))


# ---- what may not be ----

@pytest.mark.parametrize("method", ["BYE", "INVITE", "MESSAGE", "INFO", "NOTIFY", "SUBSCRIBE"])
def test_a_made_up_to_tag_opens_no_way(scene, user, way, method, stranger):
    client = scene.registered(user, way)
    token = uri_of(client.path[0]).split(":")[1].split("@")[0]
    ours = [f"<sip:{token}@{scene.bono.ip}:5060;transport={way};lr>",
            f"<sip:{token}@{scene.bono.core[0]}:{scene.bono.core[1]};transport=tcp;lr>"]
    for uri, routes in (
            (stranger.uri(), []),
            (stranger.uri(";transport=tcp"), []),
            ("sip:peer@example.net", []),
            ("sip:peer@example.net", [f"<{stranger.uri(';lr')}>"]),
            ("sip:peer@example.net", [f"<{stranger.uri()}>"]),
            ("sip:peer@example.net", ours + [f"<{stranger.uri(';lr')}>"]),
            (stranger.uri(), ours),
            ("sip:peer@example.net", ours + [sprouts_entry(scene)]),
            ("sip:peer@example.net", [sprouts_entry(scene)]),
            ("sip:peer@example.net", [ours[0].replace(";lr", ";lr;rs=" + "a" * 24),
                                      sprouts_entry(scene)]),
            (uri_of(ours[0]), [f"<{stranger.uri(';lr')}>", "<sip:peer@example.net>"]),
            (uri_of(ours[0]), []),
    ):
        assert_refused(scene, client, in_dialog(client, method, uri, routes), stranger)


def test_an_ack_with_a_made_up_to_tag_is_dropped(scene, user, way, stranger):
    client = scene.registered(user, way)
    before = refused(scene)
    client.end.send(in_dialog(client, "ACK", stranger.uri(), [f"<{stranger.uri(';lr')}>"]))
    until(lambda: refused(scene) == before + 1, "the ACK to be refused")
    assert_refused(scene, client, in_dialog(client, "BYE", stranger.uri(), []), stranger)
    assert not client.end.got(lambda m: m.is_response and m.method == "ACK")


def test_a_given_route_set_cannot_be_altered(scene, user, way, stranger):
    call = established(scene, scene.registered(user, way))
    routes = route_of(call)
    assert MARK in routes[0] and MARK not in routes[1] and len(routes) == 3
    at = routes[0].index(MARK) + len(MARK)
    letter = "a" if routes[0][at + 12] != "a" else "b"
    for altered in (
            [routes[0][:at + 12] + letter + routes[0][at + 13:]] + routes[1:],
            [routes[0].replace(routes[0][at:at + 24], "")] + routes[1:],
            routes[:2] + [sprouts_entry(scene, "x2")],
            routes[:2] + [f"<{stranger.uri(';lr')}>"],
            routes[:2] + [f"<{stranger.uri(';lr')}>"] + routes[2:],
            routes + [f"<{stranger.uri(';lr')}>"],
            routes[:2],
            routes[1:],
            routes[2:],
            [f"<{stranger.uri(';lr')}>"] + routes,
    ):
        raw = in_dialog(call.client, "INFO", uri_of(call.final.get("contact")), altered)
        assert_refused(scene, call.client, raw, stranger)
    call.client.end.send(call.in_dialog_bytes("BYE"))
    scene.sprout.expect("BYE", call_id=call.invite.get("call-id")).reply(200)
    assert call.client.end.response("BYE").status == 200


@pytest.mark.parametrize("thief_way", ["udp", "tcp"])
def test_a_stolen_route_set_is_of_no_use(scene, user, way, thief_way, stranger):
    call = established(scene, scene.registered(user, way))
    thief = scene.registered("thief" + user, thief_way)
    raw = in_dialog(thief, "BYE", uri_of(call.final.get("contact")), route_of(call),
                    call.invite.get("call-id"))
    before = refused(scene)
    thief.end.send(raw)
    assert thief.end.response("BYE").status == 403
    assert refused(scene) == before + 1
    assert not [m for m in scene.sprout.all
                if m.method == "BYE" and m.get("call-id") == call.invite.get("call-id")]
    # Nor with the thief's own token in it.
    token = uri_of(thief.path[0]).split(":")[1].split("@")[0]
    theirs = uri_of(call.final.values("record-route")[-1]).split(":")[1].split("@")[0]
    raw = in_dialog(thief, "BYE", uri_of(call.final.get("contact")),
                    [route.replace(theirs, token) for route in route_of(call)])
    assert_refused(scene, thief, raw, stranger)


def test_a_thief_that_gives_the_devices_name_is_still_another(scene, user, stranger):
    victim = scene.registered(user, "tcp")
    call = established(scene, victim)
    thief = scene.client("thief" + user, "tcp")
    thief.instance = victim.instance
    scene.register(thief)
    assert_refused(scene, thief, in_dialog(thief, "BYE", uri_of(call.final.get("contact")),
                                           route_of(call)), stranger)


# ---- what goes on ----

def test_the_caller_goes_on_over_the_flow_that_replaced_the_old(scene, user, way):
    call = established(scene, scene.registered(user, way))
    again = scene.client(user, way)
    again.instance = call.client.instance
    scene.register(again)
    call.client = again
    again.end.send(call.in_dialog_bytes("INFO"))
    info = scene.sprout.expect("INFO", call_id=call.invite.get("call-id"))
    assert info.values("route") == [sprouts_entry(scene)]
    info.reply(200)
    assert again.end.response("INFO").status == 200


def test_the_callee_goes_on_over_the_flow_that_replaced_the_old(scene, user, way):
    client = scene.registered(user, way)
    core = scene.way()
    core.send(core.request_bytes("INVITE", uri_of(client.end.contact(user)), client.path,
                                 [("Record-Route", sprouts_entry(scene))]))
    invite = client.end.request("INVITE")
    routes = invite.values("record-route")
    assert MARK in routes[0] and len(routes) == 3
    invite.reply(200, headers=[("Contact", client.end.contact(user))])
    answer = core.end.response("INVITE")
    assert answer.values("record-route") == routes
    for step in ("same flow", "new flow"):
        if step == "new flow":
            again = scene.client(user, way)
            again.instance = client.instance
            scene.register(again)
            client = again
        client.end.send(in_dialog(client, "INFO", uri_of(invite.get("contact")), routes,
                                  invite.get("call-id")))
        info = scene.sprout.expect("INFO", call_id=invite.get("call-id"))
        assert info.values("route") == [sprouts_entry(scene)]
        info.reply(200)
        assert client.end.response("INFO").status == 200


def test_a_list_that_a_callee_spoilt_reaches_the_core_whole(scene, user, way, stranger):
    client = scene.registered(user, way)
    core = scene.way()
    core.send(core.request_bytes("INVITE", uri_of(client.end.contact(user)), client.path,
                                 [("Record-Route", sprouts_entry(scene))]))
    invite = client.end.request("INVITE")
    routes = invite.values("record-route")
    spoilt = Message(invite.raw)
    spoilt.headers = [pair for pair in invite.headers if pair[0] != "record-route"]
    spoilt.reply_way = invite.reply_way
    spoilt.reply(200, headers=[("Record-Route", f"<{stranger.uri(';lr')}>"),
                               ("Contact", client.end.contact(user))])
    answer = core.end.response("INVITE")
    assert answer.status == 200
    assert answer.values("record-route") == routes


def test_a_subscriber_may_go_by_the_notify_that_came_first(scene, user, way):
    """RFC 6665 4.4.1: the NOTIFY makes the dialog, whatever becomes of the 2xx."""
    client = scene.registered(user, way)
    client.end.send(client.request_bytes("SUBSCRIBE", "sip:peer@example.net",
                                         [("Event", "presence"), ("Expires", 600)]))
    subscribe = scene.sprout.expect("SUBSCRIBE")
    core = scene.way()
    core.send(build(f"NOTIFY {uri_of(subscribe.get('contact'))} SIP/2.0",
                    [("Via", core.end.via()), ("Max-Forwards", 70)]
                    + [("Route", route) for route in subscribe.values("record-route")]
                    + [("Record-Route", sprouts_entry(scene)),
                       ("From", subscribe.get("to") + ";tag=notifier"),
                       ("To", subscribe.get("from")), ("Call-ID", subscribe.get("call-id")),
                       ("CSeq", "1 NOTIFY"), ("Event", "presence"), contact_of_peer(scene),
                       ("Subscription-State", "active;expires=600")]))
    notify = client.end.request("NOTIFY")
    notify.reply(200)
    assert core.end.response("NOTIFY").status == 200
    client.end.send(in_dialog(client, "SUBSCRIBE", uri_of(notify.get("contact")),
                              notify.values("record-route"), subscribe.get("call-id")))
    again = scene.sprout.find(scene.sprout.requests, scene.sprout.kept_requests,
                              lambda m: m.method == "SUBSCRIBE" and m.get("cseq").startswith("7 "),
                              "refreshing SUBSCRIBE", 15)
    assert again.values("route") == [sprouts_entry(scene)]
    again.reply(200)
    subscribe.reply(200)


def test_a_call_outlives_a_restart_of_ours(tmp_path):
    """The key in state_dir stays, so a client with outbound ends its call once it has registered again."""
    lab = Lab(tmp_path)
    try:
        scene = Scene(lab)
        call = established(scene, scene.registered("alice", "udp"))
        scene.bono.stop()
        scene.bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]})
        scene.bono.wait_for_targets(site_a="UP")
        call.client.end.send(call.in_dialog_bytes("INFO"))
        assert call.client.end.response("INFO").status == 403      # not registered
        scene.register(call.client)
        call.client.end.send(call.in_dialog_bytes("BYE"))
        scene.sprout.expect("BYE", call_id=call.invite.get("call-id")).reply(200)
        assert call.client.end.response("BYE").status == 200
    finally:
        lab.close()
