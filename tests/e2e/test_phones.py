"""Real phones over TLS, and in every pair with those that do not encrypt: baresip (OpenSSL) and linphone (mbed TLS),
each of which judges Bono's certificate."""

import itertools

import pytest

from bono_lab import Authority, Baresip, Bono, Lab, Linphone, Process, SproutSim, until
from bono_lab.bono import tcp_open

WAYS = ["udp", "tcp", "tls"]


class PhoneScene:
    def __init__(self, lab):
        self.lab = lab
        edge, sprout = lab.ip(1), f"{lab.ip(11)}:5054"
        self.authority, self.stranger = Authority(lab.path("ca")), Authority(lab.path("other-ca"))
        self.sprout = SproutSim(lab, "site-a", [sprout])
        pairs = {
            "address": self.authority.issue("address", ips=[edge, lab.ip(50)]),
            # Linphone looks for an address in the common name only.
            "common": self.authority.issue("common", common_name=edge),
            "elsewhere": self.authority.issue("elsewhere", ips=[lab.ip(9)], common_name=lab.ip(9)),
        }

        def access(name, transport, port, **more):
            return {"name": name, "side": "access", "transport": transport,
                    "bind": f"{edge}:{port}", **more}
        self.bono = Bono(
            lab, {"site-a": [sprout]}, workers=2,
            tls={name: {"certificate": pair.certificate, "key": pair.key} for name, pair in pairs.items()},
            listeners=[access("access-udp", "udp", 5060), access("access-tcp", "tcp", 5060)]
            + [access(name, "tls", port, tls=name) for port, name in enumerate(pairs, 5061)]
            + [{"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{edge}:5058",
                "allow": ["127.0.0.0/8"], "path": True}])
        self.tls = {name: (edge, port) for port, name in enumerate(pairs, 5061)}
        self.bono.wait_for_targets(site_a="UP")
        self.serial = itertools.count(1)

    def edge(self, way, kind):
        return self.tls[kind] if way == "tls" else self.bono.access

    def baresip(self, way, kind="address", ca=None, **more):
        return Baresip(self.lab, f"bare{next(self.serial)}", self.edge(way, kind), way,
                       ca=ca or self.authority.ca, **more)

    def linphone(self, way, kind="common", ca=None):
        return Linphone(self.lab, f"lin{next(self.serial)}", self.edge(way, kind), way,
                        ca or self.authority.ca)

    def handshakes(self, result):
        return self.bono.metrics().sum("bono_tls_handshakes_total", side="access", result=result)

    def contacts(self):
        return int(self.sprout.control("registrations").split()[-1])

    def flows(self, way):
        return self.bono.status()["flows"][way]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("phones"))
    yield PhoneScene(lab)
    lab.close()


@pytest.fixture(scope="module")
def phones(scene):
    """A caller and a callee by every way."""
    both = [{way: scene.baresip(way, tone_s=60) for way in WAYS} for _ in range(2)]
    for phone in itertools.chain(*(side.values() for side in both)):
        phone.wait_for_register()
    assert scene.flows("tls") == 2
    yield both
    for phone in itertools.chain(*(side.values() for side in both)):
        phone.stop()


@pytest.mark.parametrize("callee_way", WAYS)
@pytest.mark.parametrize("caller_way", WAYS)
def test_baresip_calls_baresip(phones, caller_way, callee_way):
    caller, callee = phones[0][caller_way], phones[1][callee_way]
    for hangs_up in (caller, callee):
        counts = [(phone, kind, len(phone.happened(kind)) + 1)
                  for kind in ("CALL_ESTABLISHED", "CALL_CLOSED") for phone in (caller, callee)]
        caller.call(callee.user)
        for phone, kind, count in counts[:2]:
            phone.wait_for(kind, count)
        hangs_up.hang_up()
        # Who hangs up is told nothing by its own control port.
        for phone, kind, count in counts[2:]:
            if phone is not hangs_up:
                phone.wait_for(kind, count)


@pytest.mark.parametrize("way", WAYS)
def test_linphone_registers_answers_and_calls(scene, way):
    flows = scene.flows(way)
    linphone = scene.linphone(way).wait_for_registration("Ok")
    assert scene.flows(way) == flows + 1
    phone = scene.baresip("tcp", tone_s=60).wait_for_register()
    phone.call(linphone.user)
    phone.wait_for("CALL_ESTABLISHED")
    linphone.wait_for_call(1)
    phone.hang_up()
    linphone.wait_for_no_call()
    linphone.call(phone.user)
    phone.wait_for("CALL_ESTABLISHED", 2)
    linphone.wait_for_call(2)
    closed = len(phone.happened("CALL_CLOSED"))
    linphone.hang_up(2)
    phone.wait_for("CALL_CLOSED", closed + 1)
    registrations = scene.bono.status()["registrations"]
    linphone.unregister()
    until(lambda: scene.bono.status()["registrations"] == registrations - 1, "the registration to go")
    linphone.stop()
    phone.stop()


# ---- phones that are shown a certificate that they cannot believe ----

@pytest.mark.parametrize("maker,kind,stranger,words", [
    ("baresip", "address", True, "unknown CA"), ("linphone", "common", True, "unknown CA"),
    ("linphone", "elsewhere", False, "bad certificate"),
], ids=["baresip-unknown-authority", "linphone-unknown-authority", "linphone-wrong-name"])
def test_phone_refuses_a_certificate_and_that_is_counted(scene, maker, kind, stranger, words):
    before, flows = scene.handshakes("peer_alert"), scene.flows("tls")
    ca = scene.stranger.ca if stranger else scene.authority.ca
    if maker == "baresip":
        phone = scene.baresip("tls", kind, ca)
        until(lambda: phone.log_contains("tls: connect: error"), "baresip to refuse")
    else:
        phone = scene.linphone("tls", kind, ca).wait_for_registration("Failed")
    until(lambda: scene.handshakes("peer_alert") > before, "the alert to be counted")
    listener = f"tls {kind} "
    assert any(listener in line and line.endswith(f"the peer says: {words}")
               for line in scene.bono.log().decode().splitlines())
    assert scene.flows("tls") == flows
    phone.stop()


# ---- one phone, two flows ----

@pytest.mark.parametrize("first,second,lost", [
    ("tls", "tcp", 1), ("tls", "udp", 1), ("udp", "tls", 2), ("tcp", "tls", 2),
])
def test_phone_with_two_flows_is_called_by_the_one_that_is_left(scene, first, second, lost):
    """Both are registered, by reg-id; a relay stands in one of them and is killed."""
    way = first if lost == 1 else second
    edges = [scene.edge(first, "address"), scene.edge(second, "address")]
    relay_address = (scene.lab.ip(50), 5080)
    relay = scene.lab.add(Process(
        "relay", ["socat", f"tcp-listen:5080,bind={relay_address[0]},reuseaddr,fork",
                  "tcp:{}:{}".format(*edges[lost - 1])], scene.lab.path("relay.log")))
    until(lambda: tcp_open(relay_address), "the relay to listen")
    edges[lost - 1] = relay_address
    contacts, flows = scene.contacts(), scene.flows(way)
    phone = Baresip(scene.lab, f"bare{next(scene.serial)}", edges[0], first, tone_s=60,
                    ca=scene.authority.ca, second=(edges[1], second))
    until(lambda: scene.contacts() == contacts + 2, f"two flows registered:\n{phone.tail()}")
    assert scene.flows(way) == flows + 1
    caller = scene.baresip("tcp", tone_s=60).wait_for_register()
    caller.call(phone.user)
    caller.wait_for("CALL_ESTABLISHED")
    caller.hang_up()
    phone.wait_for("CALL_CLOSED")
    relay.kill()
    until(lambda: scene.flows(way) == flows, "Bono to lose the flow")
    caller.call(phone.user)
    caller.wait_for("CALL_ESTABLISHED", 2)
    phone.wait_for("CALL_ESTABLISHED", 2)
    caller.stop()
    phone.stop()
