"""Who may say what: a client that lies in every header of every message, and a core that tells itself secrets."""

import itertools

import pytest

from bono_lab import Lab, Scene
from bono_lab.sip import uri_of

MARK = "mark9f3"

# What no client may say, in requests or answers: RFC 3325, 7315, 5002, 5502, 5503, 6050, 6809, 7316; TS 24.229 4.4.
LIES = [
    ("P-Asserted-Identity", f"<sip:{MARK}@example.net>"),
    ("p-AsSeRtEd-IdEnTiTy", f"<sip:{MARK}@example.net>, <tel:+1{MARK}>"),
    ("P-Preferred-Identity", f"<sip:{MARK}@example.net>"),
    ("P-Asserted-Service", f"urn:urn-7:3gpp-service.ims.icsi.{MARK}"),
    ("P-Associated-URI", f"<sip:{MARK}@example.net>"),
    ("P-Called-Party-ID", f"<sip:{MARK}@example.net>"),
    ("P-Charging-Vector", f"icid-value={MARK};icid-generated-at=192.0.2.1"),
    ("P-Charging-Function-Addresses", f"ccf={MARK}"),
    ("P-Access-Network-Info", f"3GPP-E-UTRAN-FDD;utran-cell-id-3gpp={MARK};network-provided"),
    ("P-Visited-Network-ID", MARK),
    ("P-Served-User", f"<sip:{MARK}@example.net>;sescase=orig;regstate=reg"),
    ("P-User-Database", f"<aaa://{MARK}.example>"),
    ("P-Profile-Key", f"<sip:{MARK}@example.net>"),
    ("P-Private-Network-Indication", f"{MARK}.example"),
    ("P-DCS-Billing-Info", f"1/{MARK}@example"),
    ("P-DCS-LAES", f"{MARK}.example:1"),
    ("Remote-Party-ID", f"<sip:{MARK}@example.net>;party=calling"),
    ("Feature-Caps", f"*;+g.{MARK}"),
    ("Restoration-Info", MARK),
    ("Relayed-Charge", MARK),
    ("Resource-Share", MARK),
    ("Response-Source", MARK),
    ("Service-Interact-Info", MARK),
    ("Path", f"<sip:{MARK}@192.0.2.66;lr>"),
    ("Service-Route", f"<sip:{MARK}@192.0.2.66;lr>"),
]
CREDENTIALS = [
    ("Authorization", f'Digest username="u", realm="r", INTEGRITY-protected = "{MARK}", response="0"'),
    ("Proxy-Authorization", f'Digest integrity-protected={MARK},username="u", realm="r"'),
]

# What the core tells nobody outside.
SECRETS = [
    ("P-Access-Network-Info", f"3GPP-E-UTRAN-FDD;utran-cell-id-3gpp={MARK}"),
    ("P-Charging-Vector", f"icid-value={MARK}"),
    ("P-Charging-Function-Addresses", f"ccf={MARK}"),
    ("P-Visited-Network-ID", MARK),
    ("P-Served-User", f"<sip:{MARK}@example.net>"),
    ("P-User-Database", f"<aaa://{MARK}.example>"),
    ("P-Profile-Key", f"<sip:{MARK}@example.net>"),
    ("P-Asserted-Service", f"urn:urn-7:3gpp-service.ims.icsi.{MARK}"),
    ("P-DCS-Billing-Info", f"1/{MARK}@example"),
    ("P-DCS-LAES", f"{MARK}.example:1"),
    ("Authorization", f'Digest username="{MARK}", realm="r", response="0"'),
    ("Proxy-Authorization", f'Digest username="{MARK}", realm="r", response="0"'),
    ("Restoration-Info", MARK),
    ("Relayed-Charge", MARK),
    ("Cellular-Network-Info", MARK),
]


@pytest.fixture(scope="module", params=["tcp", "udp"])
def scene(request, tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("trust"))
    yield Scene(lab, request.param)
    lab.close()


def assert_clean(message):
    assert MARK not in repr(message), repr(message)


def parameter_of(register, name):
    """An auth parameter, as written."""
    for item in register.values("authorization"):
        key, _, value = item.split(None, 1)[-1].partition("=") if item.startswith("Digest") \
            else item.partition("=")
        if key.strip() == name:
            return value
    return None


# ---- what a client says ----

def test_no_lie_of_a_client_reaches_the_core_in_a_request(scene, user, way):
    client = scene.registered(user, way)
    for lie, method in itertools.product(LIES + CREDENTIALS, ["MESSAGE", "INVITE"]):
        seen = scene.through(client, method, [lie])
        assert_clean(seen)
        assert [uri_of(v) for v in seen.values("p-asserted-identity")] == [client.aor]
        seen.reply(486)
        client.end.response(method)


def test_no_lie_of_a_client_reaches_the_core_all_at_once(scene, user, way):
    client = scene.registered(user, way)
    seen = scene.through(client, "MESSAGE", LIES + CREDENTIALS)
    assert_clean(seen)
    seen.reply(200)


def test_no_lie_of_a_client_reaches_the_core_in_a_register(scene, user, way):
    client = scene.client(user, way)
    seen, _ = scene.register(client, LIES + CREDENTIALS)
    assert_clean(seen)
    assert len(seen.lines("path")) == 1 and len(seen.lines("p-visited-network-id")) == 1
    assert seen.get("p-visited-network-id").startswith('"')
    assert "path" in seen.values("require")
    assert parameter_of(seen, "integrity-protected") == '"ip-assoc-pending"'


def test_no_lie_of_a_client_reaches_the_core_in_an_answer(scene, user, way):
    client = scene.registered(user, way)
    core = scene.way()
    core.send(core.request_bytes("INVITE", f"sip:{user}@10.0.0.1", client.path))
    seen = client.end.request("INVITE")
    seen.reply(183, headers=LIES)
    answer = core.end.provisional(183)
    assert_clean(answer)
    assert [uri_of(v) for v in answer.values("p-asserted-identity")] == [client.aor]
    for _ in range(3):  # the first 200, and those that come late
        seen.reply(200, headers=LIES)
        answer = core.end.response("INVITE")
        assert answer.status == 200
        assert_clean(answer)
        assert [uri_of(v) for v in answer.values("p-asserted-identity")] == [client.aor]


def test_answer_prefers_another_identity_of_its_own(scene, user, way):
    client = scene.client(user, way)
    client.end.send(client.register_bytes())
    path = scene.sprout.accept_register(identities=[client.aor, f"sip:second{user}@example.net"],
                                        call_id=client.register_call_id).values("path")
    assert client.end.response("REGISTER").status == 200
    core = scene.way()
    for preferred, asserted in ((f"sip:second{user}@example.net", f"sip:second{user}@example.net"),
                                ("sip:boss@example.net", client.aor)):
        core.send(core.request_bytes("MESSAGE", f"sip:{user}@10.0.0.1", path))
        client.end.request("MESSAGE").reply(200, headers=[("P-Preferred-Identity", f"<{preferred}>")])
        answer = core.end.response("MESSAGE")
        assert [uri_of(v) for v in answer.values("p-asserted-identity")] == [asserted]
        assert not answer.has("p-preferred-identity")


# ---- what the core says ----

def test_no_secret_of_the_core_reaches_a_client_in_a_request(scene, user, way):
    client = scene.registered(user, way)
    core = scene.way()
    for secrets in [[one] for one in SECRETS] + [SECRETS]:
        core.send(core.request_bytes("MESSAGE", f"sip:{user}@10.0.0.1", client.path, secrets))
        seen = client.end.request("MESSAGE")
        assert_clean(seen)
        seen.reply(200)
        assert core.end.response("MESSAGE").status == 200


def test_no_secret_of_the_core_reaches_a_client_in_an_answer(scene, user, way):
    client = scene.registered(user, way)
    seen = scene.through(client, "INVITE")
    seen.reply(183, headers=SECRETS)
    assert_clean(client.end.provisional(183))
    for _ in range(3):
        seen.reply(200, headers=SECRETS)
        answer = client.end.response("INVITE")
        assert answer.status == 200
        assert_clean(answer)
    seen = scene.through(client, "MESSAGE")
    seen.reply(486, headers=SECRETS)
    assert_clean(client.end.response("MESSAGE"))


def test_our_own_errors_repeat_nothing_to_a_client(scene, user, way):
    client = scene.registered(user, way)
    answer = client.ask("MESSAGE", "sip:peer@example.net", SECRETS, max_forwards=0)
    assert answer.status == 483
    assert_clean(answer)
    core = scene.way()
    core.send(core.request_bytes("MESSAGE", f"sip:{user}@10.0.0.1", client.path, SECRETS,
                                 max_forwards=0))
    answer = core.end.response("MESSAGE")
    assert answer.status == 483
    assert_clean(answer)


def test_called_party_passes_to_the_client_and_is_asserted_when_it_answers(scene, user, way):
    client = scene.registered(user, way)
    core = scene.way()
    core.send(core.request_bytes("MESSAGE", f"sip:{user}@10.0.0.1", client.path,
                                 [("P-Called-Party-ID", f"<{client.aor}>")]))
    seen = client.end.request("MESSAGE")
    assert uri_of(seen.get("p-called-party-id")) == client.aor
    seen.reply(200)
    assert uri_of(core.end.response("MESSAGE").get("p-asserted-identity")) == client.aor


# ---- keys of a challenge ----

@pytest.mark.parametrize("status,header", [(401, "WWW-Authenticate"), (407, "Proxy-Authenticate")])
def test_keys_of_a_challenge_end_here(scene, user, way, status, header):
    client = scene.registered(user, way)
    for method in ("MESSAGE", "INVITE"):
        seen = scene.through(client, method)
        seen.reply(status, headers=[
            (header, f'Digest realm="a", nonce="n1", ck="{MARK}", algorithm=AKAv1-MD5, ik="{MARK}"'),
            (header, f'Digest CK = {MARK} , realm="b, ck=1", nonce="n2",IK="{MARK}"')])
        answer = client.end.response(method)
        assert answer.status == status
        assert_clean(answer)
        assert answer.lines(header) == ['Digest realm="a", nonce="n1", algorithm=AKAv1-MD5',
                                        'Digest realm="b, ck=1", nonce="n2"']


# ---- privacy: RFC 3323, 3325, 7044 ----

IDENTITY = ("P-Asserted-Identity", f'"{MARK}" <sip:{MARK}@example.net>')


@pytest.mark.parametrize("privacy,hidden", [
    ("id", [IDENTITY]),
    ("header;id", [IDENTITY, ("Organization", MARK), ("Server", MARK)]),
    ("user", [("Subject", MARK), ("Call-Info", f"<http://{MARK}/>"), ("User-Agent", MARK),
              ("Reply-To", f"<sip:{MARK}@example.net>"), ("In-Reply-To", f"{MARK}@a")]),
    ("history", [("History-Info", f"<sip:{MARK}@example.net>;index=1")]),
    ("critical;id", [IDENTITY]),
])
def test_privacy_is_kept_toward_a_client(scene, user, way, privacy, hidden):
    client = scene.registered(user, way)
    core = scene.way()
    core.send(core.request_bytes("MESSAGE", f"sip:{user}@10.0.0.1", client.path,
                                 hidden + [("Privacy", privacy)]))
    seen = client.end.request("MESSAGE")
    assert_clean(seen)
    assert seen.get("privacy") == privacy
    seen.reply(200)
    core.end.response("MESSAGE")
    # and of the callee toward the caller
    seen = scene.through(client, "INVITE")
    seen.reply(180, headers=hidden + [("Privacy", privacy)])
    assert_clean(client.end.provisional(180))
    seen.reply(200, headers=[("Privacy", privacy)] + hidden)
    assert_clean(client.end.response("INVITE"))


def test_without_a_wish_nothing_is_withheld(scene, user, way):
    client = scene.registered(user, way)
    core = scene.way()
    for wish in ([], [("Privacy", "none")]):
        core.send(core.request_bytes("MESSAGE", f"sip:{user}@10.0.0.1", client.path,
                                     [IDENTITY, ("Subject", "lunch")] + wish))
        seen = client.end.request("MESSAGE")
        assert seen.get("p-asserted-identity") == IDENTITY[1] and seen.get("subject") == "lunch"
        seen.reply(200)
        core.end.response("MESSAGE")


def test_critical_privacy_that_nobody_gives_is_500(scene, user, way):
    client = scene.registered(user, way)
    core = scene.way()
    core.send(core.request_bytes("INVITE", f"sip:{user}@10.0.0.1", client.path,
                                 [("Privacy", "session;critical")]))
    answer = core.end.response("INVITE")
    assert answer.status == 500 and "Privacy" in answer.reason
    assert not client.end.got(lambda message: message.method == "INVITE")


# ---- whose credentials ----

def test_only_its_own_credentials_are_vouched_for(scene, user, way):
    client = scene.client(user, way)

    def standing(username):
        digest = [("Authorization", f'Digest username="{username}", realm="example.net", '
                   f'nonce="n", uri="sip:example.net", response="r"')] if username else []
        raw = client.register_bytes(digest)
        client.end.send(raw)
        register = scene.sprout.accept_register(call_id=client.register_call_id)
        assert client.end.response("REGISTER", client.register_call_id).status == 200
        return parameter_of(register, "integrity-protected")

    assert standing(None) is None
    assert standing("me@example.net") == '"ip-assoc-pending"'
    assert standing("me@example.net") == '"ip-assoc-yes"'
    assert standing(None) == '"ip-assoc-yes"'
    assert standing("you@example.net") == '"ip-assoc-pending"'
    assert standing("me@example.net") == '"ip-assoc-pending"'
