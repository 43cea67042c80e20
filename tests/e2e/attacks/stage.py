"""The people of an attack, and what may come of one."""

from bono_lab import Scene
from bono_lab.calls import CoreCall, answer_staying, contact_of
from bono_lab.peer import Peer
from bono_lab.sip import Call, Message, build, options_to, request, unique, uri_of, user_of
from bono_lab.stranger import Stranger

ATTACKS, ANSWERS = {}, {}
# What a client's request never brings into the core, whatever it says.
NEVER = ["p-preferred-identity", "p-served-user", "p-associated-uri", "p-called-party-id", "path", "service-route",
         "p-profile-key", "p-user-database", "remote-party-id", "resource-priority", "feature-caps",
         "restoration-info", "relayed-charge", "p-visited-network-id", "p-private-network-indication",
         "response-source", "x-injected"]


class Stage(Scene):
    """Bono with a trunk and an E-CSCF; a victim in a call, and one that is just calling; a bystander."""

    def __init__(self, lab):
        super().__init__(lab, "tcp", charging={"vector": True, "ccf": ["cdf.example.net"]},
                         session_timers={"expires": "30m", "minimum": "120s"},
                         peers={"trunks": [lab.ip(33)]},
                         emergency={"route": f"sip:{lab.ip(51)}:5060;transport=tcp;lr"})
        self.trunk, self.ecscf = Peer(lab, self.bono, lab.ip(33)), Peer(lab, self.bono, lab.ip(51))
        self.stranger = Stranger(lab)
        self.victim, self.bystander = self.registered("victim", "udp"), self.registered("bystander", "tcp")
        self.call = Call(self.victim, "sip:peer@example.net")
        answer_staying(self, self.sprout.expect("INVITE"), 200, [contact_of(self)])
        assert self.call.answer().status == 200
        self.call.ack()
        self.sprout.expect("ACK")
        self.ringing = Call(self.victim, "sip:other@example.net")
        self.rung = self.sprout.expect("INVITE")
        self.rung.reply(180, headers=[contact_of(self)])
        self.ringing.ringing()
        self.attackers = {}

    def attacker(self, way):
        """Registered, with a call of its own; anew when its connection is gone."""
        client = self.attackers.get(way)
        if client is None or client.end.closed:
            client = self.attackers[way] = self.registered(f"mallory{way}", way)
            client.call = Call(client, "sip:peer@example.net")
            answer_staying(self, self.sprout.expect("INVITE"), 200, [contact_of(self)])
            client.call.answer()
            client.call.ack()
            self.sprout.expect("ACK")
        return client

    def assert_victim_is_well(self):
        """The call goes on both ways, the other one still rings, and nobody has heard of anything."""
        self.victim.end.send(self.call.in_dialog_bytes("INFO"))
        self.sprout.expect("INFO", call_id=self.call.invite.get("call-id")).reply(200)
        assert self.victim.end.response("INFO").status == 200
        for client, known in ((self.victim, [self.call, self.ringing]), (self.bystander, [])):
            calls = [call.invite.get("call-id") for call in known] + [client.register_call_id]
            assert not client.end.got(lambda m, calls=calls: m.get("call-id") not in calls or not m.is_response)
        assert not [m for m in self.victim.end.all if m.status == 487]
        ringing = self.ringing.invite.get("call-id")
        assert not [m for m in self.sprout.all if m.get("call-id") == ringing and m.method == "CANCEL"]
        reached = core_reaches(self, self.bystander)
        assert reached, "the bystander cannot be called any more"
        self.bystander.end.all.clear()
        assert not self.trunk.all
        self.stranger.assert_nobody_came()


def core_reaches(stage, client):
    call = CoreCall(stage, client, method="MESSAGE")
    client.end.request("MESSAGE").reply(200)
    return call.answer().status == 200


class Strike:
    """One attack over one way: what its message is made of."""

    def __init__(self, stage, way, registered):
        self.stage, self.way = stage, way
        self.client = stage.attacker(way) if registered else stage.client(unique("nobody"), way)
        self.end, self.registered = self.client.end, registered
        self.victim, self.stranger = stage.victim, stage.stranger
        self.edge = f"{stage.bono.ip}:5060"
        self.core = f"{stage.bono.ip}:5058"
        self.admin = f"{stage.bono.ip}:9090"
        self.sprout = f"{stage.sprout.address[0]}:{stage.sprout.address[1]}"
        self.trunk = f"{stage.trunk.address[0]}:{stage.trunk.address[1]}"
        self.ecscf = f"{stage.ecscf.address[0]}:{stage.ecscf.address[1]}"
        self.call_id = unique("attack")

    @property
    def victims_contact(self):
        return uri_of(self.victim.end.contact("victim"))

    def token(self, client):
        return user_of(uri_of(client.path[0]))

    def message(self, *headers, method="MESSAGE", uri="sip:peer@example.net", body=b"", **more):
        """A request outside of dialogs."""
        return self.client.request_bytes(method, uri, list(headers), body,
                                         call_id=more.pop("call_id", self.call_id), **more)

    def in_dialog(self, method, uri, routes=(), call_id=None, sender=None, to=None, headers=()):
        return build(f"{method} {uri} SIP/2.0",
                     [("Via", self.end.via()), ("Max-Forwards", 70)] + [("Route", route) for route in routes]
                     + [("From", sender or f"<{self.client.aor}>;tag=mine"),
                        ("To", to or "<sip:peer@example.net>;tag=made-up"),
                        ("Call-ID", call_id or self.call_id), ("CSeq", f"77 {method}")] + list(headers))

    def register(self, *headers, aor=None, contact=None, sender=None, expires=None, **more):
        aor = aor or self.client.aor
        return request("REGISTER", more.pop("uri", "sip:example.net"), self.end.via(),
                       [("Contact", contact or self.end.contact("mallory")), ("Supported", "path"),
                        ("Expires", expires)] + list(headers), call_id=self.call_id, to=f"<{aor}>",
                       sender=sender or f"<{aor}>;tag={unique('f')}", **more)

    # ---- afterwards ----

    def answers(self):
        return self.end.got(lambda m: m.is_response and m.get("call-id") == self.call_id and m.status >= 200)

    def settle(self):
        """What came before this on the same way has been handled when it is answered."""
        if self.end.closed:
            return
        self.end.send(options_to(self.end, (self.stage.bono.ip, 5060)))
        try:
            self.end.response("OPTIONS")
        except (AssertionError, OSError):
            assert self.end.closed, "Bono does not answer any more"

    def reached(self, where):
        return [m for m in where.all if m.get("call-id") == self.call_id]

    def assert_nothing_came_out(self):
        assert not self.reached(self.stage.sprout), self.reached(self.stage.sprout)[0]
        assert not self.reached(self.stage.ecscf) and not self.reached(self.stage.trunk)


# ---- outcomes ----

class Refused:
    """Answered by Bono with one of these, and nothing went on. `closes`: a stream may be cut instead."""

    def __init__(self, *statuses, counter=None, closes=False, header=None):
        self.statuses, self.counter, self.closes, self.header = statuses, counter, closes, header

    def check(self, strike):
        if self.closes and strike.way != "udp":
            strike.settle()
            answers = strike.answers()
            assert strike.end.closed or answers
        else:
            answers = [strike.end.response(call_id=strike.call_id)]
            strike.settle()
        assert all(answer.status in self.statuses for answer in answers), answers
        if self.header:
            assert all(answer.has(self.header) for answer in answers)
        strike.assert_nothing_came_out()


class Dropped:
    """No answer, and nothing went on; a stream may be cut."""

    def __init__(self, counter=None):
        self.counter = counter

    def check(self, strike):
        strike.settle()
        assert not strike.answers(), strike.answers()
        strike.assert_nothing_came_out()


class Defused:
    """It goes to the Sprout, and to nobody else, without what made it an attack."""

    counter = None

    def __init__(self, check=None, answer=403, in_dialog=False):
        self.more, self.status, self.in_dialog = check, answer, in_dialog

    def check(self, strike):
        seen = strike.stage.sprout.find(
            strike.stage.sprout.requests, strike.stage.sprout.kept_requests,
            lambda m: m.get("call-id") == strike.call_id, "attack at the Sprout", 15)
        if seen.method != "REGISTER":
            assert_as_any_request(strike, seen)
            given = strike.client.call.final.values("record-route")[:1] if self.in_dialog \
                else strike.client.service_route
            assert [uri_of(v) for v in seen.values("route")] == [uri_of(v) for v in given], seen
        if self.more is not None:
            self.more(strike, seen)
        if seen.method == "ACK":
            return
        seen.reply(self.status)
        answer = strike.end.response(call_id=strike.call_id)
        assert answer.status == self.status
        assert not answer.has("p-charging-vector")
        strike.settle()
        assert len([m for m in strike.reached(strike.stage.sprout) if m.values("via")[1:] == seen.values("via")[1:]
                    and m.method == seen.method]) == 1


def assert_as_any_request(strike, seen):
    assert seen.lines("p-asserted-identity") == [f"<{strike.client.aor}>"], seen
    assert not [name for name in NEVER if seen.has(name)], seen
    assert len(seen.lines("p-charging-vector")) == 1 and strike.call_id in seen.get("p-charging-vector")
    assert seen.lines("p-charging-function-addresses") == ["ccf=cdf.example.net"]
    assert "integrity-protected" not in outside_quotes(seen), seen


def outside_quotes(message):
    """The words of all credentials that are not quoted strings."""
    words, quoted, escaped = [], False, False
    for letter in "\n".join(message.lines("authorization") + message.lines("proxy-authorization")):
        if escaped:
            escaped = False
        elif quoted and letter == "\\":
            escaped = True
        elif letter == '"':
            quoted = not quoted
        elif not quoted:
            words.append(letter.lower())
    return "".join(words)


class Answered(Refused):
    """By Bono itself; it is nothing bad."""


class Rescued:
    """It goes to the E-CSCF and to nobody else, and says nothing of who calls."""

    counter = None

    def check(self, strike):
        seen = strike.stage.ecscf.expect("INVITE", call_id=strike.call_id)
        assert not [name for name in [*NEVER, "p-asserted-identity"] if seen.has(name)]
        assert [uri_of(v) for v in seen.values("route")] == [f"sip:{strike.ecscf};transport=tcp;lr"]
        seen.reply(486)
        assert strike.end.response(call_id=strike.call_id).status == 486
        assert not strike.reached(strike.stage.sprout) and not strike.reached(strike.stage.trunk)


class ByWay:
    """Not the same over datagrams and streams."""

    counter = None

    def __init__(self, udp, stream):
        self.udp, self.stream = udp, stream

    def check(self, strike):
        (self.udp if strike.way == "udp" else self.stream).check(strike)


# ---- the books ----

class Attack:
    def __init__(self, make, tries, must, registered, web):
        self.make, self.tries, self.must = make, tries, must
        self.registered, self.web = registered, web


def attack(tries, must, registered=True, web=False, name=None):
    """The function gives the bytes (or a list of them) to be sent. web: over WebSocket too."""
    def keep(make):
        key = name or make.__name__
        assert key not in ATTACKS, key
        ATTACKS[key] = Attack(make, tries, must, registered, web)
        return make
    return keep


def answer(tries, must=None, name=None):
    """The function gives the bytes with which a called client answers; `must` looks at what the core hears, None:
    nothing may come of it."""
    def keep(make):
        key = name or make.__name__
        assert key not in ANSWERS, key
        ANSWERS[key] = Attack(make, tries, must, True, False)
        return make
    return keep


def lied(message, old, new, count=1):
    """Bytes that a sound writer would not produce."""
    assert old in message, old
    return message.replace(old, new, count)


def parsed(raw):
    return Message(raw)
