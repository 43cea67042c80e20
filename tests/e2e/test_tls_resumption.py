"""Who comes back by TLS is known: at whichever worker, after a restart, at another node with the same keys."""

import json
import os
import ssl

import pytest

from bono_lab import Authority, Bono, Client, Crowd, SproutSim, TlsClient, until
from bono_lab.sip import options_to, unique

NAME = "edge.example.net"
MANY = 32       # connections over two workers: that all of them land on one is out of the question


class Node:
    """One Bono with a TLS listener on an address of its own."""

    def __init__(self, lab, authority, number, tickets=None, transport="tls"):
        self.lab, self.authority = lab, authority
        if not hasattr(lab, "edge_certificate"):
            lab.edge_certificate = authority.issue("edge", names=[NAME])
        certificate = lab.edge_certificate
        ip = lab.ip(number)
        self.edge = (ip, 5061)
        state = lab.path(f"state-{number}")
        state.mkdir(exist_ok=True)
        self.bono = Bono(
            lab, {"site-a": [f"{lab.ip(11)}:5054"]}, workers=2,
            node={"name": f"bono-{number}", "state_dir": str(state)},
            listeners=[
                {"name": "access-udp", "side": "access", "transport": "udp", "bind": f"{ip}:5060"},
                {"name": "access-tcp", "side": "access", "transport": "tcp", "bind": f"{ip}:5060"},
                {"name": "access-tls", "side": "access", "transport": transport, "bind": f"{ip}:5061", "tls": "public"},
                {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{ip}:5058", "allow": ["127.0.0.0/8"]}],
            admin={"http": f"{ip}:9090", "socket": str(lab.path(f"admin-{number}.sock"))},
            tls={"public": {"certificate": certificate.certificate, "key": certificate.key}},
            **({"tls_tickets": {"keys": str(tickets)}} if tickets else {}))
        self.bono.wait_for_targets(site_a="UP")

    def count(self, result):
        return self.bono.metrics().sum("bono_tls_handshakes_total", side="access", result=result)

    def visit(self, context, session=None):
        """Connect, ask, go; gives (was it taken up, the session that is good for the next time)."""
        client = TlsClient(self.lab.ip(2), self.edge, context, NAME, session=session)
        assert client.ask(options_to(client, self.edge)).status == 200
        result = client.socket.session_reused, client.socket.session
        client.close()
        return result

    def stay(self, context, session=None):
        """The same, registered and staying."""
        end = TlsClient(self.lab.ip(2), self.edge, context, NAME, session=session)
        Client(self.lab, self.bono, unique("u"), end=end).register()
        return end.socket.session_reused, end.socket.session


@pytest.fixture
def authority(lab):
    SproutSim(lab, "site-a", [f"{lab.ip(11)}:5054"])
    return Authority(lab.path("ca"))


def context_of(authority, version):
    context = ssl.create_default_context(cafile=authority.ca)
    context.minimum_version = context.maximum_version = version
    return context


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def key_file(lab, name, lines=1):
    path = lab.path(name)
    path.write_text("".join(os.urandom(80).hex() + "\n" for _ in range(lines)))
    path.chmod(0o600)
    return path


@VERSIONS
def test_a_session_is_taken_up_at_whichever_worker(lab, authority, version):
    """One session after the other and each of them from the last: every connection after the first is short."""
    node = Node(lab, authority, 1)
    context, session = context_of(authority, version), None
    for lap in range(MANY):
        reused, session = node.stay(context, session)
        assert reused == (lap > 0), lap
    assert (node.count("ok"), node.count("resumed")) == (1, MANY - 1)
    assert {flow["worker"] for flow in json.loads(node.bono.ctl("-o", "json", "flows")[1])["flows"]} == {0, 1}


def test_a_crowd_comes_back(lab, authority):
    """All but those who came before there was a session."""
    node = Node(lab, authority, 1)
    crowd = Crowd(lab, "tls", node.edge, 500, "resume")
    assert crowd.resumed >= 500 - 2 * 64
    until(lambda: node.count("resumed") == crowd.resumed, "the same to be counted")
    assert node.count("ok") == 500 - crowd.resumed


@VERSIONS
def test_a_session_outlives_a_restart_with_the_same_keys(lab, authority, version):
    context = context_of(authority, version)
    keys = key_file(lab, "tickets")
    node = Node(lab, authority, 1, keys)
    _, session = node.visit(context)
    node.bono.stop()
    node = Node(lab, authority, 1, keys)
    reused, session = node.visit(context, session)
    assert reused and node.count("resumed") == 1
    node.bono.stop()
    node = Node(lab, authority, 1)              # random keys: a full handshake, no failure
    reused, _ = node.visit(context, session)
    assert not reused and node.count("ok") == 1 and node.count("resumed") == 0


@VERSIONS
def test_a_session_is_taken_up_at_a_second_node_of_the_same_keys_alone(lab, authority, version):
    context = context_of(authority, version)
    keys = key_file(lab, "tickets")
    first, second = Node(lab, authority, 1, keys), Node(lab, authority, 3, keys)
    stranger = Node(lab, authority, 4, key_file(lab, "other-tickets"))
    _, session = first.visit(context)
    assert second.visit(context, session)[0] and second.count("resumed") == 1
    assert not stranger.visit(context, session)[0] and stranger.count("ok") == 1


@VERSIONS
def test_keys_are_changed_without_a_full_handshake(lab, authority, version):
    """As docs/OPERATION.md says: a new first line, the old one opens yet; and once that is gone it opens no more."""
    context = context_of(authority, version)
    keys = key_file(lab, "tickets")
    node = Node(lab, authority, 1, keys)
    _, old = node.visit(context)
    before = keys.read_text()
    keys.write_text(os.urandom(80).hex() + "\n" + before)
    assert node.bono.ctl("reload", "tls")[0] == 0
    reused, new = node.visit(context, old)
    assert reused
    keys.write_text(keys.read_text().splitlines()[0] + "\n")
    assert node.bono.ctl("reload", "tls")[0] == 0
    assert not node.visit(context, old)[0]
    assert node.visit(context, new)[0]


def test_sessions_of_listeners_that_ask_for_certificates_are_their_own(lab, authority):
    """A session from a listener that asks for nothing is no way in where a certificate is required."""
    certificate = authority.issue("edge", names=[NAME])
    client = authority.issue("client", names=["alice.example.net"])
    ip = lab.ip(1)
    pair = {"certificate": certificate.certificate, "key": certificate.key, "ca": authority.ca}
    bono = Bono(lab, {"site-a": [f"{lab.ip(11)}:5054"]}, tls={"public": pair}, listeners=[
        {"name": "open", "side": "access", "transport": "tls", "bind": f"{ip}:5061", "tls": "public"},
        {"name": "closed", "side": "access", "transport": "tls", "bind": f"{ip}:5062", "tls": "public",
         "client_certificate": "required"},
        {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{ip}:5058", "allow": ["127.0.0.0/8"]}])
    bono.wait_for_targets(site_a="UP")

    def visit(port, context, session=None):
        way = TlsClient(lab.ip(2), (ip, port), context, NAME, session=session)
        try:
            assert way.ask(options_to(way, (ip, port))).status == 200
            return way.socket.session_reused, way.socket.session
        finally:
            way.close()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        nobody = context_of(authority, version)
        _, session = visit(5061, nobody)
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
            visit(5062, nobody, session)
        known = context_of(authority, version)
        known.load_cert_chain(client.certificate, client.key)
        _, session = visit(5062, known)
        assert visit(5062, known, session)[0]
    assert bono.metrics().sum("bono_tls_handshakes_total", result="no_client_certificate") \
        + bono.metrics().sum("bono_tls_handshakes_total", result="protocol") == 2
