"""A registrar that answers as an S-CSCF does, and phones that nobody here wrote: baresip and linphone, two users each,
each of them with two SIP identities and a telephone number. Kamailio is the S-CSCF."""

import hashlib

import pytest

from bono_lab import Baresip, Bono, KamailioScscf, Lab, Linphone, until
from bono_lab.sip import Call, Client, split_list, uri_of, user_of

KEYS = (b"00112233445566778899aabbccddeeff", b"ffeeddccbbaa99887766554433221100")
NUMBERS = {"alice": "+15550001", "sales": "+15550002", "bob": "+15550003", "desk": "+15550004", "carol": "+15550005"}


class Home:
    """One Bono before one S-CSCF; baresip is alice and sales, linphone is bob and desk."""

    def __init__(self, lab, way):
        self.lab, self.way = lab, way
        self.scscf = KamailioScscf(lab, lab.ip(11))
        self.bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, workers=2)
        self.bono.wait_for_targets(site_a="UP")
        self.alice = Baresip(lab, "alice", self.bono.access, way, also=["sales"], tone_s=60)
        self.bob = Linphone(lab, "bob", self.bono.access, way, also=["desk"])
        for user in ("alice", "sales", "bob", "desk"):
            until(lambda user=user: self.contacts(user) == 1, f"{user} at the registrar:\n{self.scscf.tail()}")

    def contacts(self, user):
        found = self.scscf.rpc("ul.lookup", "location", f"{user}@example.net")
        return found.count("Address:") if found else 0

    def invites(self, sender, at):
        return self.scscf.seen(f"INVITE at={at} from={sender} ")


@pytest.fixture(scope="module", params=["tcp", "udp"])
def home(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("scscf"))
    yield Home(lab, request.param)
    lab.close()


def talk(home, sender, callee):
    """baresip calls linphone as `sender`, hears it and hangs up."""
    before, ended = (len(home.alice.happened(kind)) for kind in ("CALL_ESTABLISHED", "CALL_CLOSED"))
    home.alice.be(sender)
    home.alice.call(callee)
    home.alice.wait_for("CALL_ESTABLISHED", before + 1)
    home.alice.hang_up()
    home.bob.wait_for_no_call()
    home.alice.wait_for("CALL_CLOSED", ended + 1)


# ---- phones ----

def test_every_user_answered_a_challenge_whose_keys_it_never_saw(home):
    for user in ("alice", "sales", "bob", "desk"):
        said = [line["standing"] for line in home.scscf.seen(f"REGISTER of={user} ")]
        assert "ip-assoc-pending" in said, said
        assert all(line["visited"] == '"example.net"' for line in home.scscf.seen(f"REGISTER of={user} "))
    for words in (home.alice.log(), home.bob.words.read_bytes()):
        assert b"401 Unauthorized" in words and b"nonce=" in words, "the challenge is in the phone's log"
        assert not [key for key in KEYS if key in words] and b" ck=" not in words and b" ik=" not in words


@pytest.mark.parametrize("sender", ["alice", "sales"])
def test_a_phone_with_two_users_calls_as_each(home, sender):
    """Over one flow; who is From has its own default identity asserted, and both Routes are gone along in order."""
    first, second = (len(home.invites(sender, at)) for at in (5054, 5055))
    talk(home, sender, "bob")
    for at, before, routes in ((5054, first, ["orig", "next"]), (5055, second, ["next"])):
        seen = home.invites(sender, at)[before]
        assert uri_of(seen["pai"]) == f"sip:{sender}@example.net"
        assert seen["more"] == "<null>" and seen["ppi"] == "<null>"
        assert [user_of(uri_of(route)) for route in split_list(seen["route"])] == routes


def test_a_number_is_called_and_answers_by_its_number(home):
    """P-Called-Party-ID says which identity was called, a tel URI; the edge asserts that one in the answer."""
    before = len(home.scscf.seen("ANSWER 200 "))
    talk(home, "alice", "+15550003")
    answers = home.scscf.seen("ANSWER 200 ")[before:]
    assert "tel:+15550003" in [uri_of(answer["pai"]) for answer in answers]


def test_the_second_user_of_the_other_phone_is_called(home):
    before = len(home.scscf.seen("ANSWER 200 "))
    talk(home, "sales", "desk")
    assert "sip:desk@example.net" in [uri_of(answer["pai"]) for answer in home.scscf.seen("ANSWER 200 ")[before:]]


def test_the_phone_that_was_called_calls_back(home):
    """linphone calls; it has no word of a default account, so it is the one or the other."""
    established = len(home.alice.happened("CALL_ESTABLISHED"))
    ended = len(home.alice.happened("CALL_CLOSED"))
    home.bob.call("sales")
    home.alice.wait_for("CALL_ESTABLISHED", established + 1)
    home.alice.hang_up()
    home.alice.wait_for("CALL_CLOSED", ended + 1)
    home.bob.wait_for_no_call()
    seen = [line for user in ("bob", "desk") for line in home.invites(user, 5055)]
    assert seen and uri_of(seen[-1]["pai"]) in ("sip:bob@example.net", "sip:desk@example.net")


# ---- every identity, by a client that can say which one it prefers ----

def digest(challenge, user, method, uri):
    words = dict(item.split("=", 1) for item in challenge.removeprefix("Digest ").replace(" ", "").split(","))
    realm, nonce = (words[name].strip('"') for name in ("realm", "nonce"))

    def md5(text):
        return hashlib.md5(text.encode()).hexdigest()
    response = md5(f"{md5(f'{user}:{realm}:secret')}:{nonce}:{md5(f'{method}:{uri}')}")
    return (f'Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
            f'response="{response}"')


@pytest.fixture
def carol(home):
    client = Client(home.lab, home.bono, "carol", home.way, port=0)
    challenge = client.end.ask(client.register_bytes())
    assert challenge.status == 401
    assert not [key for key in KEYS if key in challenge.raw] and b"ck=" not in challenge.raw
    words = challenge.get("www-authenticate")
    assert words.startswith("Digest ") and "ik=" not in words
    final = client.end.ask(client.register_bytes(
        [("Authorization", digest(words, "carol", "REGISTER", "sip:example.net"))]))
    assert final.status == 200
    assert [uri_of(v) for v in final.values("p-associated-uri")] == [
        "sip:carol@example.net", "sip:carol.two@example.net", "tel:+15550005"]
    assert len(final.values("service-route")) == 2
    return client


OWN = {"default": [], "sip": ["sip:carol@example.net"], "second": ["sip:carol.two@example.net"], "tel": ["tel:+15550005"],
       "sip_and_tel": ["sip:carol.two@example.net", "tel:+15550005"], "of_another": ["sip:alice@example.net"],
       "number_of_another": ["tel:+15550001"]}
ASSERTED = {"default": ["sip:carol@example.net"], "of_another": ["sip:carol@example.net"],
            "number_of_another": ["sip:carol@example.net"]}


@pytest.mark.parametrize("preferred", OWN)
def test_each_identity_that_is_preferred_is_asserted(home, carol, preferred):
    before = {at: len(home.invites("carol", at)) for at in (5054, 5055)}
    call = Call(carol, "sip:nobody@example.net", headers=[
        ("P-Preferred-Identity", f"<{uri}>") for uri in OWN[preferred]])
    assert call.answer().status == 404
    call.ack()
    for at, count in before.items():
        seen = home.invites("carol", at)[count]
        asserted = [uri_of(seen[name]) for name in ("pai", "more") if seen[name] != "<null>"]
        assert asserted == ASSERTED.get(preferred, OWN[preferred])
        assert seen["ppi"] == "<null>"


def test_a_refresh_needs_no_challenge(home, carol):
    """Over the flow that registered, the edge vouches, and the registrar takes its word."""
    assert carol.end.ask(carol.register_bytes()).status == 200
    assert home.scscf.seen("REGISTER of=carol ")[-1]["standing"] == "ip-assoc-yes"
