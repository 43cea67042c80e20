"""Registrations that the network ends, as the edge hears of them by its own subscription: RFC 3680, TS 24.229 5.2.3."""

import itertools
import re
import shutil
import time

import pytest

from bono_lab import Bono, Client, Lab, Scene, ScriptedSprout, until
from bono_lab.kamailio import HERE, Kamailio
from bono_lab.sip import build, parameter, unique, uri_of

serial = itertools.count(1)
NS = 'xmlns="urn:ietf:params:xml:ns:reginfo"'


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("reg"))
    yield Scene(lab, workers=4, registration={"subscribe": True})
    lab.close()


@pytest.fixture
def user():
    return f"user{next(serial)}"


@pytest.fixture(params=["udp", "tcp"])
def transport(request):
    return request.param


def contact_of(client):
    return uri_of(client.end.contact(client.user))


def document(version, kind, *registrations):
    return (f'<?xml version="1.0"?><reginfo {NS} version="{version}" state="{kind}">'
            + "".join(registrations) + "</reginfo>").encode()


def registration(aor, state="active", *contacts):
    return f'<registration aor="{aor}" id="a{aor}" state="{state}">{"".join(contacts)}</registration>'


def contact(client, state="active", event="registered", more=""):
    return (f'<contact id="c" state="{state}" event="{event}" {more}>'
            f'<uri>{contact_of(client)}</uri></contact>')


class Notifier:
    """The S-CSCF's end of one subscription."""

    def __init__(self, scene, subscribe, sprout=None, accept=True):
        self.scene, self.subscribe = scene, subscribe
        self.sprout = sprout or scene.sprout
        self.tag, self.cseq = unique("scscf"), 0
        if accept:
            self.accept(subscribe)

    def accept(self, subscribe, expires=None):
        ip, port = self.sprout.address
        subscribe.reply(200, headers=[("Contact", f"<sip:scscf@{ip}:{port};transport=tcp>"),
                                      ("Expires", expires or subscribe.get("expires"))],
                        tag=self.tag)

    def notify_bytes(self, way, body=b"", state="active;expires=600000", cseq=None, call_id=None, tag=None):
        self.cseq = cseq or self.cseq + 1
        ip, port = self.sprout.address
        to = self.subscribe.get("to")
        return build(f"NOTIFY {uri_of(self.subscribe.get('contact'))} SIP/2.0", [
            ("Via", way.end.via()), ("Max-Forwards", 70),
            ("From", f"{to.split(';tag=')[0]};tag={tag or self.tag}"),
            ("To", self.subscribe.get("from")),
            ("Call-ID", call_id or self.subscribe.get("call-id")),
            ("CSeq", f"{self.cseq} NOTIFY"), ("Event", "reg"), ("Subscription-State", state),
            ("Contact", f"<sip:scscf@{ip}:{port};transport=tcp>"),
            *([("Content-Type", "application/reginfo+xml")] if body else [])], body)

    def notify(self, body=b"", way=None, **more):
        """The status of its answer."""
        way = way or self.scene.way()
        return way.end.ask(self.notify_bytes(way, body, **more)).status


def watched(scene, client, **answer):
    """Registers; gives the notifier that was asked for it."""
    raw = client.register_bytes()
    client.end.send(raw)
    scene.sprout.accept_register(call_id=client.register_call_id, **answer)
    assert client.end.response("REGISTER", client.register_call_id).status == 200
    notifier = Notifier(scene, scene.sprout.find(
        scene.sprout.requests, scene.sprout.kept_requests,
        lambda m: m.method == "SUBSCRIBE" and client.user in m.uri, "SUBSCRIBE", 10))
    assert notifier.notify(document(0, "full", registration(client.aor, "active",
                                                            contact(client)))) == 200
    return notifier


def goes_through(scene, client, headers=()):
    """A MESSAGE of the client reaches the Sprout: gives it as seen there."""
    raw = client.request_bytes("MESSAGE", "sip:peer@example.net", headers, call_id=unique("msg"))
    client.end.send(raw)
    seen = scene.sprout.find(
        scene.sprout.requests, scene.sprout.kept_requests,
        lambda m: m.method == "MESSAGE" and client.user in m.get("from"), "MESSAGE", 10)
    seen.reply(200)
    assert client.end.response("MESSAGE").status == 200
    return seen


def is_refused(client):
    return client.ask("MESSAGE", "sip:peer@example.net").status == 403


def notifies(scene, result):
    return scene.bono.metrics().sum("bono_reg_notifies_total", result=result)


def subscribes(scene, user):
    return [m for m in scene.sprout.all
            if not m.is_response and m.method == "SUBSCRIBE" and f"{user}@" in m.uri]


def test_the_subscription_says_who_asks_and_what(scene, user):
    client = scene.client(user, "tcp")
    seen, _ = scene.register(client)
    asked = scene.sprout.expect("SUBSCRIBE")
    assert asked.uri == client.aor
    assert uri_of(asked.get("to")) == client.aor
    assert asked.get("event") == "reg"
    assert asked.get("accept") == "application/reginfo+xml"
    assert asked.get("expires") == "600000"
    # As it stands in the Path of this registration, but for ob.
    assert uri_of(asked.get("p-asserted-identity")) == uri_of(seen.lines("path")[0]).replace(";ob", "")
    assert ";orig" not in asked.get("route")
    Notifier(scene, asked)


def test_a_refresh_of_the_client_subscribes_no_second_time(scene, user):
    client = scene.client(user, "udp")
    notifier = watched(scene, client)
    for _ in range(5):
        scene.register(client)
    assert notifier.notify() == 200     # whatever the refreshes began is on the wire by now
    assert len(subscribes(scene, user)) == 1


@pytest.mark.parametrize("event", ["deactivated", "rejected", "probation"])
def test_a_registration_ended_by_the_network_ends_the_standing(scene, user, transport, event):
    client = scene.client(user, transport)
    notifier = watched(scene, client)
    goes_through(scene, client)
    before = notifies(scene, "applied")
    assert notifier.notify(document(1, "partial", registration(
        client.aor, "terminated", contact(client, "terminated", event)))) == 200
    assert is_refused(client)
    assert notifies(scene, "applied") == before + 1
    # The connection stays, and over it the client proves itself anew.
    digest = f'Digest username="{user}@example.net",realm="example.net",nonce="n",uri="sip:x",response="r"'
    seen, _ = scene.register(client, [("Authorization", digest)])
    assert 'integrity-protected="ip-assoc-pending"' in seen.get("authorization")
    goes_through(scene, client)


def test_shortened_ends_it_sooner(scene, user):
    client = scene.client(user, "tcp")
    notifier = watched(scene, client)
    assert notifier.notify(document(1, "partial", registration(
        client.aor, "active", contact(client, "active", "shortened", 'expires="1"')))) == 200
    until(lambda: is_refused(client), "the shortened registration to end")


def test_an_identity_is_lost_and_the_others_stay(scene, user):
    client = scene.client(user, "tcp")
    notifier = watched(scene, client, identities=[client.aor, f"sip:{user}.two@example.net"])
    second = [("P-Preferred-Identity", f"<sip:{user}.two@example.net>")]
    assert ".two@" in goes_through(scene, client, second).get("p-asserted-identity")
    assert notifier.notify(document(1, "partial", registration(
        f"sip:{user}.two@example.net", "terminated",
        contact(client, "terminated", "deactivated")))) == 200
    assert uri_of(goes_through(scene, client, second).get("p-asserted-identity")) == client.aor


def test_any_worker_takes_a_notify_to_its_own(scene, user):
    client = scene.client(user, "udp")
    notifier = watched(scene, client)
    for version in range(1, 17):        # as many connections: the kernel spreads them over four workers
        assert notifier.notify(document(version, "partial")) == 200
    way = scene.way()
    assert notifier.notify(document(17, "partial", registration(
        client.aor, "active", contact(client, "terminated", "deactivated"))), way) == 200
    until(lambda: is_refused(client), "the registration to end")


def test_a_stray_notify_is_answered_481(scene, user):
    client = scene.client(user, "tcp")
    notifier = watched(scene, client)
    ended = document(9, "full", registration(client.aor, "terminated",
                                             contact(client, "terminated", "deactivated")))
    before = notifies(scene, "unknown")
    assert notifier.notify(ended, call_id="another") == 481
    assert notifier.notify(ended, tag="another") == 481
    assert notifies(scene, "unknown") == before + 2
    assert notifier.notify(ended, cseq=1) == 200      # the number of the first one: as if sent again
    goes_through(scene, client)


def test_a_client_cannot_notify(scene, user):
    """Not even one who knows what is between us and the registrar: from its side nothing leads there."""
    client, thief = scene.client(user, "tcp"), scene.client(f"{user}x", "tcp")
    notifier = watched(scene, client)
    watched(scene, thief)

    class Way:
        end = thief.end
    raw = notifier.notify_bytes(Way, document(5, "full", registration(
        client.aor, "terminated", contact(client, "terminated", "deactivated"))))
    assert thief.end.ask(raw).status == 403
    goes_through(scene, client)


@pytest.mark.parametrize("body", [
    b"<reginfo", b"<html/>",
    b'<!DOCTYPE r [<!ENTITY a "aaaa">]><reginfo ' + NS.encode() + b' version="1" state="full">&a;</reginfo>',
    b"<a>" * 5000,
], ids=["cut", "other", "entities", "deep"])
def test_a_broken_document_changes_nothing(scene, user, body):
    client = scene.client(user, "tcp")
    notifier = watched(scene, client)
    before = notifies(scene, "malformed")
    assert notifier.notify(body) == 400
    assert notifies(scene, "malformed") == before + 1
    goes_through(scene, client)
    assert notifier.notify(document(1, "partial")) == 200


def test_a_missed_notify_makes_it_ask_for_everything(scene, user):
    client = scene.client(user, "tcp")
    notifier = watched(scene, client)
    version = itertools.count(2, 3)

    def missed_and_told_everything():
        now = next(version)
        assert notifier.notify(document(now, "partial")) == 200
        refresh = scene.sprout.expect("SUBSCRIBE", call_id=notifier.subscribe.get("call-id"))
        assert parameter(refresh.get("to"), "tag") == notifier.tag
        notifier.accept(refresh)
        assert notifier.notify(document(now + 1, "full", registration(client.aor, "active"))) == 200
        return is_refused(client)
    # Who is not in it is not registered; but at first this binding is too young to be held to that.
    until(missed_and_told_everything, "the registration to end")


def test_who_leaves_is_watched_no_more(scene, user):
    client = scene.client(user, "tcp")
    notifier = watched(scene, client)
    client.end.send(client.register_bytes(expires=0))
    asked = scene.sprout.expect("REGISTER", call_id=client.register_call_id)
    asked.reply(200)
    bye = scene.sprout.expect("SUBSCRIBE", call_id=notifier.subscribe.get("call-id"))
    assert bye.get("expires") == "0"
    bye.reply(200, headers=[("Expires", "0")], tag=notifier.tag)
    until(lambda: notifier.notify(state="terminated;reason=timeout") == 481, "it to be forgotten")


def test_a_dead_sprout_is_replaced_at_the_next_refresh(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("replaced"))
    try:
        other = ScriptedSprout(lab, lab.ip(12))
        scene = Scene(lab, sites={"site-a": [f"{lab.ip(11)}:5054"], "site-b": [f"{lab.ip(12)}:5054"]},
                      registration={"subscribe": True})
        client = scene.client("alice", "tcp")
        watched(scene, client)
        scene.sprout.stop()
        lab.things.remove(scene.sprout)
        scene.bono.wait_for_targets(site_a="DOWN")
        client.end.send(client.register_bytes())
        other.accept_register()
        assert client.end.response("REGISTER").status == 200
        again = other.expect("SUBSCRIBE")
        assert again.get("cseq") == "1 SUBSCRIBE"
        notifier = Notifier(scene, again, other)
        way = other.way_to(scene.bono.core)
        lab.add(way)
        assert notifier.notify(document(0, "full", registration(
            client.aor, "terminated", contact(client, "terminated", "deactivated"))), way) == 200
        assert is_refused(client)
    finally:
        lab.close()


def test_a_storm_of_registrations_is_no_storm_of_subscriptions(tmp_path_factory):
    """Three hundred clients register three times each: each is subscribed to once, a hundred a second."""
    lab = Lab(tmp_path_factory.mktemp("storm"))
    try:
        scene = Scene(lab, workers=1, registration={"subscribe": True})
        client = scene.client("crowd", "tcp")
        names = [f"crowd{n}" for n in range(300)]
        began = time.monotonic()
        for _ in range(3):
            for name in names:
                client.user, client.aor = name, f"sip:{name}@example.net"
                client.register_call_id = unique("storm")
                client.end.send(client.register_bytes(outbound=False))
                scene.sprout.accept_register(call_id=client.register_call_id)
        asked = {}

        def answer_all():
            for message in scene.sprout.all:
                if not message.is_response and message.method == "SUBSCRIBE" \
                        and message.get("call-id") not in asked:
                    asked[message.get("call-id")] = time.monotonic()
                    Notifier(scene, message)
            return len(asked) >= len(names)
        until(answer_all, "every user to be subscribed to", 30)
        # Ten milliseconds lie between two of them, however fast they registered.
        assert time.monotonic() - began >= (len(names) - 1) * 0.01
        assert len({m.uri for m in scene.sprout.all
                    if not m.is_response and m.method == "SUBSCRIBE"}) == len(names)
        assert len(asked) == len(names)
        until(lambda: scene.bono.metrics().sum("bono_reg_subscriptions") == len(names),
              "all subscriptions to stand")
        scene.sprout.nothing_but("REGISTER", "SUBSCRIBE")
    finally:
        lab.close()


def test_kamailio_tells_of_an_end(tmp_path_factory):
    """A notifier that knows nothing of us: Kamailio's presence server. Its operator removes a binding."""
    lab = Lab(tmp_path_factory.mktemp("kamailio"))
    try:
        shutil.copytree("/usr/share/kamailio/dbtext/kamailio", lab.path("db"))
        registrar = Kamailio(lab, "notifier", HERE / "kamailio" / "notifier.cfg.in", IP=lab.ip(11),
                             DB=lab.path("db"))
        bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, "tcp", workers=2,
                    registration={"subscribe": True})
        bono.wait_for_targets(site_a="UP")
        client = Client(lab, bono, "alice", "tcp")
        client.register()
        until(lambda: bono.metrics().sum("bono_reg_notifies_total", result="taken") > 0, "a NOTIFY")
        assert client.ask("MESSAGE", "sip:peer@example.net").status == 200

        def seconds_left():
            return int(re.search(r"Expires: (\d+)",
                                 registrar.rpc("ul.lookup", "location", "alice@example.net"))[1])
        # "unregistered" is not held against a binding that may be younger than that word.
        until(lambda: seconds_left() <= 596, "the registration to be a few seconds old")
        assert registrar.rpc("ul.rm", "location", "alice@example.net") is not None
        until(lambda: client.ask("MESSAGE", "sip:peer@example.net").status == 403,
              "the registration to end")
        assert bono.metrics().sum("bono_reg_notifies_total", result="applied") == 1
        client.register()
        assert client.ask("MESSAGE", "sip:peer@example.net").status == 200
    finally:
        lab.close()
