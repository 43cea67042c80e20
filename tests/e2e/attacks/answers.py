"""What a called client may answer, and answers that nobody asked for."""

from bono_lab.sip import Message, build, parameter, unique

from .stage import NEVER, answer, attack, Dropped

VICTIM = "<sip:victim@example.net>"


def answered(invite, status, *headers, body=b"", without=(), reason="Whatever"):
    """As response() would, but for what is left out."""
    keep = [(name.title(), value) for name, value in invite.headers
            if name in ("via", "from", "call-id", "cseq", "record-route") and name not in without]
    return build(f"SIP/2.0 {status} {reason}", keep + [("To", invite.get("to") + ";tag=callee")] + list(headers), body)


def clean(status):
    def check(s, seen, invite):
        assert seen.status == status, seen
        assert not [name for name in [*NEVER, "authorization"] if seen.has(name)], seen
        if 100 < status < 300:
            assert seen.lines("p-asserted-identity") == [f"<{s.client.aor}>"], seen
        else:
            assert not seen.has("p-asserted-identity")
        assert len(seen.values("via")) == 1
    return check


def lie(name, tries, *headers, status=200):
    answer(tries, clean(status), name=name)(
        lambda s, invite: answered(invite, status, ("Contact", s.end.contact("m")),
                                   *[(key, value.format(s=s)) for key, value in headers]))


lie("answer_pai", "be the victim who answers", ("P-Asserted-Identity", VICTIM))
lie("answer_pai_list", "several", ("p-asserted-identity", f"{VICTIM}, <tel:+1555>"), ("P-Asserted-Identity", VICTIM))
lie("answer_pai_in_a_refusal", "an identity in a 4xx", ("P-Asserted-Identity", VICTIM), status=404)
lie("answer_ppi", "prefer the victim", ("P-Preferred-Identity", VICTIM))
lie("answer_associated_uri", "teach identities by an answer", ("P-Associated-URI", VICTIM),
    ("Service-Route", "<sip:{s.stranger};lr>"), ("Path", "<sip:{s.stranger};lr>"))
lie("answer_charging", "send the bill elsewhere", ("P-Charging-Function-Addresses", "ccf=192.0.2.1"))
lie("answer_served_user", "words of the network", ("P-Served-User", VICTIM), ("P-Profile-Key", VICTIM),
    ("Remote-Party-ID", VICTIM), ("Restoration-Info", "x"), ("Authorization", "Digest x=y"))
lie("answer_elsewhere", "have the edge follow a redirection", ("Contact", "<sip:{s.stranger}>"), status=302)
lie("answer_elsewhere_300", "several places", ("Contact", "<sip:{s.stranger}>, <sip:x@{s.core}>"), status=300)
lie("answer_alternative", "an alternative service", ("Contact", "<sip:{s.stranger}>"), status=380)
lie("answer_gone", "gone for good", status=410)
lie("answer_challenge", "ask the core for its password", ("Proxy-Authenticate", 'Digest realm="x", nonce="y"'), status=407)
lie("answer_no_more", "decline for everybody", status=603)
lie("answer_contact_with_headers", "headers in Contact", ("Contact", "<sip:x@10.0.0.1?Route=%3Csip:evil%3E>"))


def own_list(s, seen, invite):
    assert seen.status == 200
    assert seen.values("record-route") == invite.values("record-route")


@answer("a Record-Route that leads elsewhere", own_list)
def answer_with_another_route(s, invite):
    return answered(invite, 200, ("Record-Route", f"<sip:{s.stranger};lr>"), ("Contact", s.end.contact("m")),
                    without=("record-route",))


@answer("no Record-Route", own_list)
def answer_without_route(s, invite):
    return answered(invite, 200, ("Contact", s.end.contact("m")), without=("record-route",))


@answer("one entry more in front", own_list)
def answer_with_one_more(s, invite):
    return answered(invite, 200, ("Record-Route", invite.get("record-route")),
                    ("Record-Route", f"<sip:{s.stranger};lr>"), ("Contact", s.end.contact("m")), without=("record-route",))


def overloaded(s, seen, invite):
    assert seen.status == 500 and not seen.has("retry-after")


@answer("say that the edge is overloaded", overloaded)
def answer_overloaded(s, invite):
    return answered(invite, 503, ("Retry-After", "100000"))


# ---- nothing may come of these ----

@answer("a status that is none")
def answer_99(s, invite):
    return answered(invite, 99)


@answer("a status beyond all")
def answer_700(s, invite):
    return answered(invite, 700)


@answer("a status of many digits")
def answer_of_digits(s, invite):
    return answered(invite, 20000000000)


@answer("100 of its own")
def answer_trying(s, invite):
    return answered(invite, 100, ("P-Asserted-Identity", VICTIM))


@answer("a Via in front, so that we pass it on to there")
def answer_to_a_stranger(s, invite):
    return answered(invite, 200, without=("via",)).replace(
        b"From:", f"Via: SIP/2.0/UDP {s.stranger};branch=z9hG4bK1\r\nVia: {invite.lines('via')[0]}\r\nFrom:".encode(), 1)


def by_its_own_way(s, seen, invite):
    assert seen.status == 200


@answer("a Via in between, so that the core passes it on to there", by_its_own_way)
def answer_by_way_of_a_stranger(s, invite):
    ours, rest = invite.values("via")[0], invite.values("via")[1]
    return answered(invite, 200, ("Contact", s.end.contact("m")), without=("via",)).replace(
        b"From:", f"Via: {ours}\r\nVia: SIP/2.0/UDP {s.stranger};branch=z9hG4bK1\r\nVia: {rest}\r\nFrom:".encode(), 1)


@answer("to another request: the method is not what was asked")
def answer_to_another_method(s, invite):
    return answered(invite, 200, ("Contact", s.end.contact("m"))).replace(b" INVITE\r\n", b" BYE\r\n")


@answer("a branch that is nearly the one")
def answer_to_another_branch(s, invite):
    branch = parameter(invite.values("via")[0], "branch")
    return answered(invite, 200).replace(branch.encode(), (branch[:-1] + ("1" if branch[-1] == "0" else "0")).encode())


@answer("without the Via it was sent")
def answer_without_via(s, invite):
    return answered(invite, 200, without=("via",))


@answer("200 to a CANCEL that nobody sent")
def answer_to_a_cancel(s, invite):
    return answered(invite, 200).replace(b" INVITE\r\n", b" CANCEL\r\n")


# ---- and these answer nothing at all ----

def stray(s, via, method="INVITE", status=200, **more):
    return build(f"SIP/2.0 {status} OK",
                 [("Via", via), ("From", f"{VICTIM};tag=1"), ("To", f"<{s.client.aor}>;tag=2"), ("Call-ID", s.call_id),
                  ("CSeq", f"1 {method}")] + list(more.get("headers", ())))


@attack("an answer to nothing", Dropped(counter="stray_response"), web=True)
def stray_2xx(s):
    return stray(s, f"SIP/2.0/TCP {s.core};branch=z9hG4bK{unique('x')}")


@attack("an answer to what we asked a Sprout, by its very branch", Dropped(counter="stray_response"))
def stray_answer_of_a_sprout(s):
    """The victim's INVITE rings at the Sprout; its branch is not for clients to answer."""
    via = s.stage.rung.values("via")[0]
    return Message(stray(s, via)).raw


@attack("the end of the victim's registration, in the registrar's name", Dropped(counter="stray_response"))
def stray_answer_to_a_register(s):
    return stray(s, f"SIP/2.0/TCP {s.core};branch=z9hG4bK-b00-0000000000000001-0", "REGISTER",
                 headers=[("Contact", f"<{s.victims_contact}>;expires=0")])


@attack("an answer with a Via of a stranger alone", Dropped(counter="stray_response"), registered=False)
def unregistered_answer(s):
    return stray(s, f"SIP/2.0/UDP {s.stranger};branch=z9hG4bK{unique('x')}")
