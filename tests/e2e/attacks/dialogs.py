"""Others' calls, and route sets that were not given."""

from bono_lab.sip import build, uri_of

from .stage import Defused, Dropped, Refused, attack

BAD_ROUTE = Refused(403, counter="bad_route")


def given(call):
    return list(reversed(call.final.values("record-route")))


def target(call):
    return uri_of(call.final.get("contact"))


# ---- CANCEL ----

def cancel(s, call, sender=None, sent_by=None):
    via = call.invite.lines("via")[0]
    if sent_by:
        via = via.replace(via.split()[1].split(";")[0], sent_by)
    via = via.replace("SIP/2.0/UDP", f"SIP/2.0/{s.end.transport}")
    return build(f"CANCEL {call.uri} SIP/2.0",
                 [("Via", via), ("Max-Forwards", 70), ("From", sender or call.invite.get("from")),
                  ("To", call.invite.get("to")), ("Call-ID", s.call_id), ("CSeq", "1 CANCEL")])


@attack("cancel the victim's call by its own branch", Refused(481), web=True)
def cancel_of_the_victims_call(s):
    return cancel(s, s.stage.ringing)


@attack("the same under one's own name", Refused(481))
def cancel_under_another_name(s):
    return cancel(s, s.stage.ringing, sender=f"<{s.client.aor}>;tag=1")


@attack("the same with one's own address in Via", Refused(481))
def cancel_with_own_sent_by(s):
    return cancel(s, s.stage.ringing, sent_by=f"{s.end.address[0]}:{s.end.address[1]}")


@attack("the same from nobody in particular", Refused(481), registered=False)
def unregistered_cancel(s):
    return cancel(s, s.stage.ringing)


@attack("the victim's whole CANCEL, Call-ID and all", Refused(481))
def cancel_to_the_letter(s):
    s.call_id = s.stage.ringing.invite.get("call-id")
    s.assert_nothing_came_out = lambda: None    # the victim's INVITE has this Call-ID; its CANCEL is looked for
    return cancel(s, s.stage.ringing)


# ---- the victim's dialog ----

for method in ("BYE", "INVITE", "INFO", "REFER", "UPDATE", "NOTIFY", "MESSAGE"):
    attack(f"{method} in the victim's call along its route set", BAD_ROUTE, web=method == "BYE",
           name=f"stolen_route_set_{method.lower()}")(
        lambda s, method=method: s.in_dialog(method, target(s.stage.call), given(s.stage.call),
                                             sender=s.stage.call.invite.get("from"),
                                             to=s.stage.call.final.get("to")))
    attack(f"{method} in a dialog that nobody made, to the victim", BAD_ROUTE,
           name=f"made_up_dialog_{method.lower()}")(
        lambda s, method=method: s.in_dialog(method, s.victims_contact))


@attack("ACK along the victim's route set", Dropped(counter="bad_route"))
def stolen_route_set_ack(s):
    return s.in_dialog("ACK", target(s.stage.call), given(s.stage.call))


@attack("without a registration, along the victim's route set", Refused(403), registered=False)
def unregistered_stolen_route_set(s):
    return s.in_dialog("BYE", target(s.stage.call), given(s.stage.call), to=s.stage.call.final.get("to"))


# ---- its own route set, improved ----

def improved(name, tries, change, must=BAD_ROUTE, web=False):
    attack(tries, must, web=web, name=f"route_set_{name}")(
        lambda s: s.in_dialog("INFO", target(s.client.call), change(s, given(s.client.call))))


improved("with_a_stranger_behind", "one entry more", lambda s, own: own + [f"<sip:{s.stranger};lr>"], web=True)
improved("with_a_stranger_before", "one entry before", lambda s, own: [f"<sip:{s.stranger};lr>"] + own)
improved("with_a_stranger_between", "one entry between", lambda s, own: own[:2] + [f"<sip:{s.stranger};lr>"] + own[2:])
improved("with_another_end", "the last entry is another", lambda s, own: own[:-1] + [f"<sip:{s.stranger};lr>"])
improved("of_ours_alone", "nothing behind ours, so that the Request-URI leads", lambda s, own: own[:2])
improved("without_ours", "past the edge", lambda s, own: own[2:])
improved("with_our_core_port", "as if it came from the core", lambda s, own: [f"<sip:{s.core};transport=tcp;lr;orig>"])
improved("with_our_admin_port", "to the admin port", lambda s, own: [f"<sip:{s.admin};transport=tcp;lr>"])
improved("with_orig", "be served as another caller", lambda s, own: own[:-1] + [own[-1].replace(";lr", ";lr;orig")])
improved("of_a_trunk", "to the trunk", lambda s, own: [f"<sip:{s.trunk};transport=tcp;lr>"])
improved("strictly", "a strict router at the top", lambda s, own: [f"<sip:{s.stranger}>"] + own[1:])
improved("with_the_victims_token", "another flow's token in ours",
         lambda s, own: [entry.replace(s.token(s.client), s.token(s.victim)) for entry in own])
improved("with_a_token_of_another_node", "a token that another node made",
         lambda s, own: [entry.replace(s.token(s.client), "b" * len(s.token(s.client))) for entry in own])
improved("with_another_mark", "a mark that is not ours",
         lambda s, own: [own[0].partition(";rs=")[0] + ";rs=" + "a" * 24 + ">"] + own[1:])
improved("without_its_mark", "no mark", lambda s, own: [own[0].partition(";rs=")[0] + ">"] + own[1:])
improved("in_capitals", "another Sprout's name by case", lambda s, own: own[:-1] + [own[-1].replace("sip:", "sip:X@")])
improved("doubled", "twice through us", lambda s, own: own + own)


def to_the_sprout(s, seen):
    assert seen.uri == f"sip:{s.stranger}", "the last entry is where it wants to be in the end, as any Contact"


@attack("ours as Request-URI, as strict routers do, and a stranger behind", Defused(to_the_sprout, in_dialog=True))
def route_set_as_request_uri(s):
    own = given(s.client.call)
    return s.in_dialog("INFO", uri_of(own[0]), own[1:] + [f"<sip:{s.stranger}>"])


@attack("the victim's Call-ID and tags on one's own way: the core hears who it is that hangs up",
        Defused(in_dialog=True), web=True)
def bye_of_the_victims_call_on_ones_own_way(s):
    call = s.stage.call
    s.call_id = call.invite.get("call-id")
    return s.in_dialog("BYE", target(call), given(s.client.call), sender=call.invite.get("from"),
                       to=call.final.get("to"))


@attack("a Replaces for the victim's call: whether it may, those it is for decide", Defused())
def replaces_the_victims_call(s):
    call = s.stage.call
    return s.message(("Replaces", f"{call.invite.get('call-id')};to-tag={call.final.to_tag()};from-tag=x"),
                     method="INVITE")


@attack("a REFER to a stranger, outside of any dialog", Defused())
def refer_to_a_stranger(s):
    return s.message(("Refer-To", f"<sip:{s.stranger};method=INVITE>"), ("Contact", s.end.contact("m")),
                     method="REFER", uri="sip:victim@example.net")
