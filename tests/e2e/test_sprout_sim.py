"""sprout-sim alone: what the demo, the other tests and the measurements rely on."""

import contextlib
import hashlib
import re
import socket
import subprocess
import time

import pytest

from bono_lab import Sipp, SproutSim, TcpClient, UdpClient, program, request, until
from bono_lab.process import Process
from bono_lab.sip import build, split_list, unique, uri_of

DOMAIN = "example.net"


# ---- the stage ----

class Sim(Process):
    """sprout-sim with any options, where SproutSim of the lab has the usual ones."""

    def __init__(self, lab, name, *options):
        super().__init__(name, [program("sprout-sim"), "--site", name, *options],
                         lab.path(f"{name}.log"))
        lab.add(self)

    def ready(self):
        return self.wait_for_log("ready")


class User:
    """A user agent whose Path is itself: what an edge would be to the Sprout."""

    def __init__(self, lab, sprout, user, transport="udp", instance=None):
        kind = UdpClient if transport == "udp" else TcpClient
        self.end = kind(lab.client_ip(), sprout, 0)
        self.user, self.sprout, self.transport = user, sprout, transport
        self.aor = f"sip:{user}@{DOMAIN}"
        self.cseq, self.call_id = 0, unique("reg")
        self.instance = instance or unique("urn:x-")
        if transport == "tcp":      # where calls come in: an edge listens for its Sprouts
            self.listener = socket.create_server(self.end.address[:1] + (0,))
        lab.add(self)

    def stop(self):
        self.end.close()
        if self.transport == "tcp":
            self.listener.close()

    def contact(self, reg_id=1, expires=None):
        where = self.end.address
        return (f"<sip:{self.user}@{where[0]}:{where[1]}>;+sip.instance=\"<{self.instance}>\""
                + (f";reg-id={reg_id}" if reg_id else "")
                + (f";expires={expires}" if expires is not None else ""))

    def path(self, token="token", parameters=";lr;ob"):
        where = self.end.address if self.transport == "udp" else self.listener.getsockname()
        return f"<sip:{token}@{where[0]}:{where[1]};transport={self.transport}{parameters}>"

    def register(self, headers=None, contact=None, cseq=None, path=True, to=None):
        self.cseq += 1
        own = [("Contact", contact or self.contact())]
        own += [("Path", self.path()), ("Supported", "path, outbound")] if path else []
        return self.end.ask(request("REGISTER", f"sip:{DOMAIN}", self.end.via(), own + (headers or []),
                                    user=self.user, domain=DOMAIN, cseq=cseq or self.cseq, to=to,
                                    call_id=self.call_id))

    def ask(self, method, uri, headers=(), **more):
        return self.end.ask(request(method, uri, self.end.via(), list(headers), user=self.user,
                                    domain=DOMAIN, **more))

    def invite(self, uri, headers=(), **more):
        data = request("INVITE", uri, self.end.via(), [("Contact", self.contact(None)), *headers],
                       user=self.user, domain=DOMAIN, **more)
        self.end.send(data)
        return data


class Pair:
    """A simulator with two Sprouts."""

    def __init__(self, lab):
        self.addresses = [f"{lab.ip(11)}:5054", f"{lab.ip(12)}:5054"]
        self.sim = SproutSim(lab, "site-a", self.addresses)
        self.sprout = (lab.ip(11), 5054)
        self.second = (lab.ip(12), 5054)


@pytest.fixture
def pair(lab):
    return Pair(lab)


@pytest.fixture
def alice(lab, pair):
    return User(lab, pair.sprout, "alice")


@pytest.fixture
def bob(lab, pair):
    return User(lab, pair.sprout, "bob")


def of_contact(contact, name):
    """A parameter of a Contact, whose instance holds brackets too."""
    found = re.search(rf';{name}="?([^;"]*)', contact)
    return found and found.group(1)


def probe(end, sprout):
    return request("OPTIONS", f"sip:{sprout[0]}:{sprout[1]}", end.via())


def answer_of(lab, sprout, patience=0.5, transport="udp"):
    """The status of an OPTIONS probe, None when nothing came."""
    end = (UdpClient if transport == "udp" else TcpClient)(lab.client_ip(), sprout, 0)
    with contextlib.closing(end):
        try:
            return end.ask(probe(end, sprout), patience).status
        except AssertionError:
            return None


def ack(invite, final, via=None):
    """For a non-2xx: the INVITE's own Via."""
    lines = invite.decode().split("\r\n")
    keep = [line.partition(": ")[::2] for line in lines
            if line.startswith(("Via", "From", "Call-ID", "Max-Forwards"))]
    return build(lines[0].replace("INVITE", "ACK", 1), keep + [("To", final.get("to")), ("CSeq", "1 ACK")])


# ---- registrar ----

def test_options_is_answered_over_udp_and_tcp(lab, pair):
    assert answer_of(lab, pair.sprout) == 200
    assert answer_of(lab, pair.second, transport="tcp") == 200


def test_register_tells_contacts_service_route_and_identity(pair, alice):
    answer = alice.register([("Expires", 600)])
    assert answer.status == 200
    assert answer.values("contact") == [alice.contact(expires=600).replace(
        f';+sip.instance="<{alice.instance}>";reg-id=1;expires=600',
        f';expires=600;+sip.instance="<{alice.instance}>";reg-id=1')]
    assert answer.get("service-route") == f"<sip:orig@{pair.addresses[0]};transport=udp;lr;orig>"
    assert answer.get("p-associated-uri") == f"<{alice.aor}>"
    assert answer.get("path") == alice.path()
    assert answer.get("require") == "outbound"


def test_register_without_expires_is_for_an_hour(alice):
    assert of_contact(alice.register().get("contact"), "expires") == "3600"


def test_path_is_told_only_to_a_client_that_supports_it(alice):
    answer = alice.register([("Path", alice.path())], path=False)
    assert answer.status == 200
    assert answer.get("path") is None and answer.get("require") is None


def test_path_without_ob_is_no_outbound(alice):
    answer = alice.register([("Path", alice.path(parameters=";lr")), ("Supported", "path, outbound")],
                            path=False)
    assert answer.get("require") is None
    assert of_contact(answer.get("contact"), "reg-id") is None


def test_same_instance_and_reg_id_replaces_another_reg_id_adds(lab, pair, alice):
    alice.register()
    moved = User(lab, pair.sprout, "alice", instance=alice.instance)
    assert len(moved.register().values("contact")) == 1
    both = moved.register(contact=moved.contact(reg_id=2)).values("contact")
    assert sorted(of_contact(contact, "reg-id") for contact in both) == ["1", "2"]


def test_another_instance_adds_a_contact(lab, pair, alice):
    alice.register()
    assert len(User(lab, pair.sprout, "alice").register().values("contact")) == 2


def test_expires_zero_removes_that_contact_and_star_removes_all(lab, pair, alice):
    alice.register()
    other = User(lab, pair.sprout, "alice")
    other.register()
    assert len(alice.register(contact=alice.contact(expires=0)).values("contact")) == 1
    alice.register()
    answer = alice.register([("Expires", 0)], contact="*")
    assert answer.status == 200 and answer.values("contact") == []


def test_star_with_a_lifetime_is_refused(alice):
    assert alice.register([("Expires", 60)], contact="*").status == 400


def test_a_late_older_register_undoes_nothing(alice):
    alice.register(cseq=10)
    assert alice.register(contact=alice.contact(expires=0), cseq=9).status == 500
    assert len(alice.register(cseq=11).values("contact")) == 1


def test_a_contact_lapses(alice):
    alice.register(contact=alice.contact(expires=1))
    time.sleep(1.2)
    assert alice.ask("MESSAGE", alice.aor).status == 480


def test_unknown_option_in_require_is_420(alice):
    answer = alice.register([("Require", "path, time-travel")])
    assert answer.status == 420 and answer.get("unsupported") == "time-travel"


def test_min_expires_is_423(lab):
    address = f"{lab.ip(11)}:5054"
    Sim(lab, "short", "--listen", address, "--min-expires", "60").ready()
    user = User(lab, (lab.ip(11), 5054), "alice")
    answer = user.register([("Expires", 30)])
    assert answer.status == 423 and answer.get("min-expires") == "60"
    assert user.register([("Expires", 60)]).status == 200
    assert user.register([("Expires", 0)]).status == 200


# ---- digest ----

def md5(*parts):
    return hashlib.md5(":".join(parts).encode()).hexdigest()


def credentials(challenge, user, password, uri=f"sip:{DOMAIN}", qop=True):
    fields = {key: value.strip('"') for key, _, value in
              (part.strip().partition("=") for part in split_list(challenge.partition(" ")[2]))}
    a1, a2 = md5(user, fields["realm"], password), md5("REGISTER", uri)
    if qop:
        response = md5(a1, fields["nonce"], "00000001", "abc", "auth", a2)
        extra = ', qop=auth, nc=00000001, cnonce="abc"'
    else:
        response, extra = md5(a1, fields["nonce"], a2), ""
    return (f'Digest username="{user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", '
            f'uri="{uri}", response="{response}", algorithm=MD5{extra}')


@pytest.fixture
def guarded(lab):
    users = lab.path("users")
    users.write_text("# who may\nalice:secret\nbob:hush\n")
    Sim(lab, "guarded", "--listen", f"{lab.ip(11)}:5054", "--users", str(users)).ready()
    return User(lab, (lab.ip(11), 5054), "alice")


@pytest.mark.parametrize("qop", [True, False])
def test_digest_right_password_registers(guarded, qop):
    challenge = guarded.register()
    assert challenge.status == 401
    answer = guarded.register([("Authorization", credentials(challenge.get("www-authenticate"), "alice",
                                                             "secret", qop=qop))])
    assert answer.status == 200


def test_digest_wrong_password_is_asked_again_and_another_user_refused(guarded):
    challenge = guarded.register().get("www-authenticate")
    wrong = guarded.register([("Authorization", credentials(challenge, "alice", "guess"))])
    assert wrong.status == 401
    assert guarded.register([("Authorization", credentials(challenge, "bob", "hush"))]).status == 403


def test_digest_nonce_of_somebody_else_is_stale(guarded):
    foreign = f'Digest realm="{DOMAIN}", nonce="{"0" * 32}", algorithm=MD5, qop="auth"'
    answer = guarded.register([("Authorization", credentials(foreign, "alice", "secret"))])
    assert answer.status == 401 and "stale=true" in answer.get("www-authenticate")


def test_digest_users_are_known_before_they_register(guarded):
    assert guarded.ask("MESSAGE", f"sip:bob@{DOMAIN}").status == 480
    assert guarded.ask("MESSAGE", f"sip:carol@{DOMAIN}").status == 404


# ---- proxy ----

def test_unknown_user_is_404_and_unregistered_480(alice, bob):
    assert alice.ask("MESSAGE", bob.aor).status == 404
    bob.register()
    bob.register([("Expires", 0)])
    assert alice.ask("MESSAGE", bob.aor).status == 480


def test_request_reaches_the_contact_through_its_path(pair, alice, bob):
    bob.register()
    alice.invite(bob.aor, [("Route", f"<sip:orig@{pair.addresses[0]};lr;orig>")])
    came = bob.end.request("INVITE")
    assert came.uri == uri_of(bob.contact())
    assert came.values("route") == [bob.path()]
    assert came.values("record-route") == [f"<sip:{pair.addresses[0]};transport=udp;lr>"]
    assert came.get("max-forwards") == "69"
    assert len(came.values("via")) == 2


def test_answers_come_back_and_100_stays_here(alice, bob):
    bob.register()
    alice.invite(bob.aor)
    came = bob.end.request("INVITE")
    came.reply(100)
    came.reply(180)
    assert len(alice.end.provisional(180).values("via")) == 1
    came.reply(200, headers=[("Contact", bob.contact(None))])
    assert alice.end.response("INVITE").status == 200
    assert not alice.end.got(lambda m: m.is_response and m.status == 100
                             and m.to_tag() is not None)


def test_path_over_tcp_is_dialled(lab, pair, alice):
    carol = User(lab, pair.sprout, "carol", transport="tcp")
    carol.register()
    alice.end.send(request("MESSAGE", carol.aor, alice.end.via(), [("Content-Type", "text/plain")],
                           b"hello\r\n\x00there", user="alice"))
    carol.listener.settimeout(5)
    edge, _ = carol.listener.accept()
    with edge:
        edge.settimeout(5)
        came = edge.recv(65536)
        assert came.startswith(b"MESSAGE ") and came.endswith(b"\r\n\r\nhello\r\n\x00there")
        head = came.split(b"\r\n\r\n")[0].decode().split("\r\n")
        edge.sendall(build("SIP/2.0 200 OK", [line.partition(": ")[::2] for line in head
                                              if line.startswith(("Via", "From", "To", "Call-ID", "CSeq"))]))
        assert alice.end.response("MESSAGE").status == 200


def test_max_forwards_zero_is_483(alice, bob):
    bob.register()
    assert alice.ask("MESSAGE", bob.aor, max_forwards=0).status == 483


def test_route_to_somebody_else_is_followed(pair, alice, bob):
    where = bob.end.address
    routes = [("Route", f"<sip:{pair.addresses[1]};lr>, <sip:x@{where[0]}:{where[1]};lr>")]
    alice.end.send(request("MESSAGE", "sip:anyone@elsewhere.invalid", alice.end.via(), routes))
    came = bob.end.request("MESSAGE")
    assert came.values("route") == [f"<sip:x@{where[0]}:{where[1]};lr>"]
    assert came.uri == "sip:anyone@elsewhere.invalid"


def test_in_dialog_request_without_route_goes_to_its_uri(alice, bob):
    where = bob.end.address
    alice.end.send(request("BYE", f"sip:bob@{where[0]}:{where[1]}", alice.end.via(),
                           to=f"<{bob.aor}>;tag=there"))
    bob.end.request("BYE").reply(200)
    assert alice.end.response("BYE").status == 200


def test_ack_to_2xx_follows_its_route(pair, alice, bob):
    where = bob.end.address
    alice.end.send(request("ACK", f"sip:bob@{where[0]}:{where[1]}", alice.end.via(),
                           [("Route", f"<sip:{pair.addresses[0]};transport=udp;lr>")],
                           to=f"<{bob.aor}>;tag=there"))
    assert bob.end.request("ACK").values("route") == []


def test_cancel_is_answered_and_passed_with_its_reason(alice, bob):
    bob.register()
    invite = alice.invite(bob.aor).decode()
    came = bob.end.request("INVITE")
    came.reply(180)
    alice.end.provisional(180)
    lines = [line.partition(": ")[::2] for line in invite.split("\r\n")
             if line.startswith(("Via", "From", "To", "Call-ID", "Max-Forwards"))]
    alice.end.send(build(f"CANCEL {bob.aor} SIP/2.0",
                         lines + [("CSeq", "1 CANCEL"), ("Reason", "SIP;cause=200")]))
    assert alice.end.response("CANCEL").status == 200
    cancel = bob.end.request("CANCEL")
    assert cancel.get("reason") == "SIP;cause=200"
    cancel.reply(200)
    came.reply(487)
    assert alice.end.response("INVITE").status == 487


def test_cancel_without_invite_is_481(alice):
    assert alice.ask("CANCEL", alice.aor).status == 481


def test_all_contacts_ring_and_the_first_2xx_wins(lab, pair, alice, bob):
    bob.register()
    tablet = User(lab, pair.sprout, "bob")
    tablet.register()
    alice.invite(bob.aor)
    phone_call, tablet_call = bob.end.request("INVITE"), tablet.end.request("INVITE")
    phone_call.reply(180)
    tablet_call.reply(180)
    tablet_call.reply(200, headers=[("Contact", tablet.contact(None))])
    assert alice.end.response("INVITE").to_tag() == tablet_call.our_tag
    cancel = bob.end.request("CANCEL")
    cancel.reply(200)
    phone_call.reply(487)
    bob.end.request("ACK")
    with pytest.raises(AssertionError):
        tablet.end.request("CANCEL", 0.3)


def test_of_several_refusals_the_best_is_passed(lab, pair, alice, bob):
    bob.register()
    tablet = User(lab, pair.sprout, "bob")
    tablet.register()
    invite = alice.invite(bob.aor)
    bob.end.request("INVITE").reply(500, "Broken")
    with pytest.raises(AssertionError):
        alice.end.response("INVITE", patience=0.3)
    tablet.end.request("INVITE").reply(486)
    final = alice.end.response("INVITE")
    assert final.status == 486
    alice.end.send(ack(invite, final))


def test_two_flows_of_one_instance_are_tried_one_after_the_other(alice, bob):
    bob.register([("Path", bob.path("first")), ("Supported", "path, outbound")], path=False)
    bob.register([("Path", bob.path("second")), ("Supported", "path, outbound")], path=False,
                 contact=bob.contact(reg_id=2))
    alice.end.send(request("MESSAGE", bob.aor, alice.end.via(), user="alice"))
    newest = bob.end.request("MESSAGE")
    assert newest.values("route") == [bob.path("second")]
    newest.reply(430, "Flow Failed")
    older = bob.end.request("MESSAGE")
    assert older.values("route") == [bob.path("first")]
    older.reply(200)
    assert alice.end.response("MESSAGE").status == 200


def test_failed_flow_is_480_to_the_caller(alice, bob):
    bob.register()
    alice.end.send(request("MESSAGE", bob.aor, alice.end.via(), user="alice"))
    bob.end.request("MESSAGE").reply(430, "Flow Failed")
    assert alice.end.response("MESSAGE").status == 480


def test_edge_that_is_gone_is_480_to_the_caller(lab, pair, alice):
    carol = User(lab, pair.sprout, "carol", transport="tcp")
    carol.register()
    carol.listener.close()
    assert alice.ask("MESSAGE", carol.aor).status == 480


def test_broken_message_is_answered_400_and_nothing_breaks(pair, lab, alice):
    alice.end.send(request("MESSAGE", alice.aor, alice.end.via(), [("CSeq", "x MESSAGE")]))
    assert alice.end.take(lambda m: m.is_response, "an answer").status == 400
    alice.end.send(b"\x00" * 100)
    assert answer_of(lab, pair.sprout) == 200


def test_a_whole_call_of_sipp_passes(lab, pair):
    callee = Sipp(lab, "call-uas", pair.sprout, user="bob", peer="alice", key="one")
    callee.wait_for_word("registered")
    Sipp(lab, "call-uac", pair.sprout, user="alice", peer="bob", key="one").succeed()
    callee.succeed()


# ---- faults ----

def test_refuse_closes_listener_and_connections(lab, pair):
    end = TcpClient(lab.client_ip(), pair.sprout)
    assert end.ask(probe(end, pair.sprout)).status == 200
    pair.sim.fault("refuse", pair.addresses[0])
    end.wait_for_close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(pair.sprout, 1)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with udp:
        udp.settimeout(5)
        udp.connect(pair.sprout)
        udp.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            udp.recv(10)
    assert answer_of(lab, pair.second) == 200
    pair.sim.fault("none")
    assert answer_of(lab, pair.sprout, transport="tcp") == 200


def test_blackhole_says_nothing_then_or_later(lab, pair):
    pair.sim.fault("blackhole", pair.addresses[0])
    end = UdpClient(lab.client_ip(), pair.sprout, 0)
    with contextlib.closing(end):
        end.send(probe(end, pair.sprout))
        assert answer_of(lab, pair.second) == 200
        pair.sim.fault("none")
        with pytest.raises(AssertionError):
            end.response(patience=0.3)


def test_hang_answers_when_it_goes_on(lab, pair):
    pair.sim.fault("hang", pair.addresses[0])
    end = UdpClient(lab.client_ip(), pair.sprout, 0)
    with contextlib.closing(end):
        end.send(probe(end, pair.sprout))
        with pytest.raises(AssertionError):
            end.response(patience=0.3)
        pair.sim.fault("none")
        assert end.response().status == 200


def test_slow_answers_late(lab, pair):
    pair.sim.fault("slow 400")
    begun = time.monotonic()
    assert answer_of(lab, pair.sprout, 5) == 200
    assert time.monotonic() - begun >= 0.4


def test_status_answers_everything_with_it(lab, pair, alice):
    pair.sim.fault("status 503 7", pair.addresses[0])
    answer = alice.register()
    assert answer.status == 503 and answer.get("retry-after") == "7"
    assert answer_of(lab, pair.sprout) == 503
    final = alice.end.ask(request("INVITE", alice.aor, alice.end.via()))
    assert final.status == 503
    pair.sim.fault("status 500")
    assert alice.register().get("retry-after") is None
    pair.sim.fault("none")
    assert alice.register().status == 200


def test_mute_answers_probes_alone(lab, pair, alice):
    pair.sim.fault("mute", pair.addresses[0])
    alice.end.send(request("MESSAGE", alice.aor, alice.end.via()))
    assert answer_of(lab, pair.sprout) == 200
    with pytest.raises(AssertionError):
        alice.end.response("MESSAGE", patience=0.3)
    pair.sim.fault("none")
    assert alice.register().status == 200


def test_loss_of_all_is_silence_and_of_nothing_is_none(lab, pair):
    pair.sim.fault("loss 100")
    assert answer_of(lab, pair.sprout) is None
    pair.sim.fault("loss 0")
    assert all(answer_of(lab, pair.sprout) == 200 for _ in range(20))


@pytest.mark.parametrize("line", [
    "fault", "fault *", "fault * explode", "fault * slow", "fault * slow soon", "fault * loss 101",
    "fault * status 200", "fault * status 503 x", "fault * none please", "fault 127.9.9.9:1 none", "jump",
])
def test_wrong_control_lines_are_told(pair, line):
    assert pair.sim.control(line).startswith("error: ")


def test_control_counts_requests_and_registrations(pair, alice):
    alice.register()
    assert " REGISTER=1 " in pair.sim.control(f"requests {pair.addresses[0]}")
    assert " REGISTER=0 " in pair.sim.control(f"requests {pair.addresses[1]}")
    assert pair.sim.control("registrations") == "ok 1"


# ---- the shared store ----

class TwoSites:
    def __init__(self, lab):
        self.lab = lab
        self.sprouts = [(lab.ip(11), 5054), (lab.ip(21), 5054)]
        self.sims = [self.start(0), self.start(1)]

    def start(self, number):
        host, port = self.sprouts[number]
        earlier = self.lab.path(f"site-{'ab'[number]}.log")
        if earlier.exists():    # its "ready" is not that of the new life
            earlier.rename(self.lab.path(unique("earlier")))
        return SproutSim(self.lab, f"site-{'ab'[number]}", [f"{host}:{port}"])


@pytest.fixture
def sites(lab):
    return TwoSites(lab)


def reaches(caller, callee):
    caller.end.send(request("MESSAGE", callee.aor, caller.end.via(), user=caller.user))
    callee.end.request("MESSAGE").reply(200)
    return caller.end.response("MESSAGE").status == 200


def test_a_site_sees_the_registrations_of_the_other_at_once(lab, sites):
    bob = User(lab, sites.sprouts[0], "bob")
    alice = User(lab, sites.sprouts[1], "alice")
    for _ in range(20):
        bob.register()
        assert reaches(alice, bob)
        bob.register([("Expires", 0)])
        assert alice.ask("MESSAGE", bob.aor).status == 480


def test_a_refresh_at_the_other_site_replaces(lab, sites):
    bob = User(lab, sites.sprouts[0], "bob")
    bob.register()
    bob.end.edge = sites.sprouts[1]
    assert len(bob.register().values("contact")) == 1


def test_registrations_survive_the_death_of_a_site(lab, sites):
    bob = User(lab, sites.sprouts[0], "bob")
    alice = User(lab, sites.sprouts[1], "alice")
    bob.register()
    sites.sims[0].kill()
    assert reaches(alice, bob)
    # and what happened meanwhile is known when it is back
    alice.register()
    sites.sims[0] = sites.start(0)
    assert sites.sims[0].control("registrations") == "ok 2"
    bob.end.edge = sites.sprouts[0]
    assert reaches(bob, alice)


def test_what_was_removed_at_one_site_does_not_come_back_with_the_other(lab, sites):
    bob = User(lab, sites.sprouts[0], "bob")
    bob.register()
    bob.end.edge = sites.sprouts[1]
    assert bob.register([("Expires", 0)]).status == 200
    sites.sims[0].kill()
    sites.sims[0] = sites.start(0)
    assert sites.sims[0].control("registrations") == "ok 0"


def test_a_route_to_a_sprout_of_the_other_site_is_ours(lab, sites):
    bob = User(lab, sites.sprouts[0], "bob")
    alice = User(lab, sites.sprouts[1], "alice")
    bob.register()
    sites.sims[0].kill()
    host, port = sites.sprouts[0]
    alice.end.send(request("MESSAGE", bob.aor, alice.end.via(),
                           [("Route", f"<sip:orig@{host}:{port};transport=tcp;lr;orig>")]))
    assert bob.end.request("MESSAGE").values("route") == [bob.path()]


def test_a_log_begun_anew_is_read_on(lab, sites):
    """A simulator that starts rewrites its log as another file; its neighbour must follow."""
    bob = User(lab, sites.sprouts[0], "bob")
    bob.register()
    assert sites.sims[1].control("registrations") == "ok 1"
    for _ in range(3):
        sites.sims[0].stop()
        sites.sims[0] = sites.start(0)
        carol = User(lab, sites.sprouts[0], unique("carol"))
        carol.register()
        assert sites.sims[1].control("registrations") == sites.sims[0].control("registrations")
    assert sites.sims[1].control("registrations") == "ok 4"


# ---- the program ----

@pytest.mark.parametrize("options", [
    [], ["--listen", "127.0.0.1:5054"], ["--site", "x"], ["--site", "x", "--listen", "nowhere"],
    ["--site", "x", "--listen", "0.0.0.0:5054"], ["--site", "x", "--listen", "127.0.0.1:5054/sctp"],
    ["--site", "x", "--listen", "127.0.0.1:5054", "more"], ["--sight", "x"],
])
def test_wrong_options_are_usage_errors(options):
    done = subprocess.run([program("sprout-sim"), *options], capture_output=True, text=True, timeout=20,
                          check=False)
    assert done.returncode == 2 and re.match("sprout-sim: |.*unrecognized", done.stderr)


def test_wrong_users_file_is_told_with_its_line(lab):
    users = lab.path("users")
    users.write_text("alice:secret\nnonsense\n")
    done = subprocess.run([program("sprout-sim"), "--site", "x", "--listen", f"{lab.ip(11)}:5054",
                           "--users", users], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1 and "users:2: " in done.stderr


def test_help_names_every_fault():
    done = subprocess.run([program("sprout-sim"), "--help"], capture_output=True, text=True, timeout=20,
                          check=True)
    for fault in ("none", "refuse", "blackhole", "hang", "slow", "status", "loss", "mute"):
        assert fault in done.stdout


def test_sigterm_ends_it_cleanly(lab, pair):
    pair.sim.child.terminate()
    assert pair.sim.wait_for_end() == 0
    assert answer_of(lab, pair.sprout) is None


def test_a_port_in_use_is_told(lab):
    with socket.create_server((lab.ip(11), 5054)):
        sim = Sim(lab, "late", "--listen", f"{lab.ip(11)}:5054")
        assert sim.wait_for_end() == 1
        assert sim.log_contains(f"{lab.ip(11)}:5054")
        until(lambda: sim.log_contains("in use"), "the reason")
