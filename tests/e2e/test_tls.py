"""TLS toward clients, asked by others' hands: openssl, GnuTLS, sslscan, and Python's ssl where every byte counts."""

import contextlib
import re
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from bono_lab import Authority, Bono, Client, Lab, Scene, SproutSim, TcpClient, TlsClient, until
from bono_lab.sip import options_to, request, unique, uri_of

EDGE, OTHER, WILD = "edge.example.net", "other.example.net", "*.wild.example.net"
PEER = "sprout.site-b.example.net"
PUBLIC, MODERN, OPTIONAL, REQUIRED, CORE = 5061, 5071, 5072, 5073, 5059
# What OpenSSL's client prints of the alert that it got (RFC 8446 6).
HANDSHAKE_FAILURE, BAD, UNSUPPORTED, EXPIRED, UNKNOWN_CA, VERSION, CERTIFICATE_REQUIRED = 40, 42, 43, 45, 48, 70, 116


class Stand:
    """One Bono with listeners of each kind, for tests that only look."""

    def __init__(self, directory):
        self.lab = lab = Lab(directory)
        self.authority, self.stranger = Authority(lab.path("ca")), Authority(lab.path("stranger"))
        self.edge, self.other, self.wild = (self.authority.issue(file, names=[name]) for file, name in
                                            (("edge", EDGE), ("other", OTHER), ("wild", WILD)))
        SproutSim(lab, "site-a", [f"{lab.ip(11)}:5054"])
        self.bono = None
        self.start()

    def start(self):
        """Anew when it has told of so many failures that it would soon sum them up (20 in ten seconds of a worker)."""
        if self.bono is not None:
            if len(self.lines_of("handshake failed")) < 10:
                return
            self.bono.stop()
        pair = {"certificate": self.edge.certificate, "key": self.edge.key}
        more = [{"certificate": c.certificate, "key": c.key} for c in (self.other, self.wild)]
        self.bono = Bono(self.lab, {"site-a": [f"{self.lab.ip(11)}:5054"]}, listeners=self.listeners(), workers=2, tls={
            "public": {**pair, "more": more}, "modern": {**pair, "minimum": "1.3"},
            "mutual": {**pair, "ca": self.authority.ca}})
        self.bono.wait_for_targets(site_a="UP")

    def listeners(self):
        ip = self.lab.ip(1)

        def access(name, port, transport="tls", **more):
            return {"name": name, "side": "access", "transport": transport, "bind": f"{ip}:{port}", **more}
        return [
            access("access-udp", 5060, "udp"), access("access-tcp", 5060, "tcp"),
            access("public", PUBLIC, tls="public"), access("modern", MODERN, tls="modern"),
            access("optional", OPTIONAL, tls="mutual", client_certificate="optional"),
            access("required", REQUIRED, tls="mutual", client_certificate="required"),
            {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{ip}:5058", "allow": ["127.0.0.0/8"]},
            {"name": "core-tls", "side": "core", "transport": "tls", "bind": f"{ip}:{CORE}", "tls": "mutual",
             "allow_names": [PEER]},
        ]

    def address(self, port):
        return self.lab.ip(1), port

    def context(self, certificate=None):
        context = ssl.create_default_context(cafile=self.authority.ca)
        if certificate is not None:
            context.load_cert_chain(certificate.certificate, certificate.key)
        return context

    def client(self, port=PUBLIC, context=None):
        return TlsClient(self.lab.ip(2), self.address(port), context or self.context(), EDGE)

    def results(self):
        """{(side, result): count} of handshakes that are over."""
        return {(labels["side"], labels["result"]): value for name, labels, value in self.bono.metrics().series
                if name == "bono_tls_handshakes_total" and value > 0}

    def lines_of(self, words):
        return [line for line in self.bono.log().decode().splitlines() if words in line]

    @contextlib.contextmanager
    def one_more(self, result, side="access", count=1):
        """What happens inside ends so many handshakes, all of them in this way."""
        before = self.results()
        expected = {**before, (side, result): before.get((side, result), 0) + count}
        yield
        until(lambda: self.results().get((side, result), 0) >= expected[side, result], f"{result} to be counted: {self.results()}")
        assert self.results() == expected

    def refused(self, source, result):
        """One line says so, of this client alone."""
        until(lambda: self.lines_of(f" {source[0]}:{source[1]}: "), f"a line about {source}")
        lines = self.lines_of(f" {source[0]}:{source[1]}: ")
        assert len(lines) == 1 and f"handshake failed, {result}: " in lines[0], lines
        assert lines[0].isprintable()


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    stage = Stand(tmp_path_factory.mktemp("lab"))
    yield stage
    stage.lab.close()


@pytest.fixture
def stand(stage):
    stage.start()
    return stage


ports = iter(range(20000, 30000))


class Tool:
    """A command that speaks TLS and hands on what is typed: `said` is all that it printed."""

    def __init__(self, stand, argv, ask=True):
        self.child = subprocess.Popen([str(word) for word in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT)
        self.said = ""
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if ask:
            self.ask(stand)

    def read(self):
        while True:
            data = self.child.stdout.read1(65536)
            if not data:
                return
            self.said += data.decode("utf-8", "replace")

    def type(self, text):
        try:
            self.child.stdin.write(text)
            self.child.stdin.flush()
        except BrokenPipeError:
            pass

    def over(self):
        return self.child.poll() is not None

    def ask(self, stand):
        """OPTIONS; True when it is answered."""
        count = self.said.count("SIP/2.0 200")
        self.type(request("OPTIONS", f"sip:{stand.lab.ip(1)}:{PUBLIC}", f"SIP/2.0/TLS {stand.lab.ip(2)}:5061;rport;branch=z9hG4bK{unique()}"))
        until(lambda: self.said.count("SIP/2.0 200") > count or self.over(), f"an answer: {self.said}")
        self.served = self.said.count("SIP/2.0 200") > count
        return self.served

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.child.stdin.close()
        self.child.wait(15)
        self.reader.join(15)
        self.child.stdout.close()
        return self


def openssl(stand, port, *words, ask=True, name=EDGE, at=None):
    """openssl s_client; gives the Tool, with `source` where it came from."""
    source = at or (stand.lab.ip(2), next(ports))
    argv = ["openssl", "s_client", "-connect", f"{stand.lab.ip(1)}:{port}", "-bind", f"{source[0]}:{source[1]}",
            "-CAfile", stand.authority.ca, "-verify_return_error", *(["-servername", name] if name else ["-noservername"]),
            *words]
    tool = Tool(stand, argv, ask)
    tool.source = source
    return tool


def identity(certificate):
    return ["-cert", certificate.certificate, "-key", certificate.key]


# ---- versions and ciphers ----

@pytest.mark.parametrize("version,shown", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_openssl_is_served_by_the_versions_of_today(stand, version, shown):
    with stand.one_more("ok"):
        tool = openssl(stand, PUBLIC, version, "-verify_hostname", EDGE).end()
    assert tool.served and f"New, {shown}, Cipher is" in tool.said, tool.said
    assert "Verification: OK" in tool.said and "Verified peername: " + EDGE in tool.said


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_openssl_is_refused_the_versions_of_yesterday(stand, version):
    with stand.one_more("no_shared_version"):
        tool = openssl(stand, PUBLIC, version, "-cipher", "ALL:@SECLEVEL=0").end()
    assert not tool.served and f"SSL alert number {VERSION}" in tool.said, tool.said
    stand.refused(tool.source, "no_shared_version")


def test_a_listener_of_1_3_alone_refuses_1_2(stand):
    with stand.one_more("no_shared_version"):
        tool = openssl(stand, MODERN, "-tls1_2").end()
    assert not tool.served and f"SSL alert number {VERSION}" in tool.said, tool.said
    stand.refused(tool.source, "no_shared_version")
    assert openssl(stand, MODERN, "-tls1_3").end().served


def test_a_client_without_a_cipher_of_ours_is_refused(stand):
    with stand.one_more("no_shared_cipher"):
        tool = openssl(stand, PUBLIC, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA").end()
    assert not tool.served and f"SSL alert number {HANDSHAKE_FAILURE}" in tool.said, tool.said
    stand.refused(tool.source, "no_shared_cipher")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_gnutls_is_served(stand, version):
    tool = Tool(stand, ["gnutls-cli", "--x509cafile", stand.authority.ca, "--sni-hostname", EDGE, "--verify-hostname",
                        EDGE, "--priority", f"NORMAL:-VERS-ALL:+VERS-TLS{version}", "-p", PUBLIC, stand.lab.ip(1)]).end()
    assert tool.served and f"- Description: (TLS{version}-X.509)" in tool.said, tool.said
    assert "The certificate is trusted" in tool.said


def test_gnutls_of_yesterday_is_refused(stand):
    with stand.one_more("no_shared_version"):
        tool = Tool(stand, ["gnutls-cli", "--insecure", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.1:%UNSAFE_RENEGOTIATION",
                            "-p", PUBLIC, stand.lab.ip(1)]).end()
    assert not tool.served, tool.said


def scan(stand, port):
    done = subprocess.run(["sslscan", "--no-colour", f"{stand.lab.ip(1)}:{port}"], capture_output=True, text=True,
                          timeout=60, check=True)
    return done.stdout


def test_sslscan_finds_nothing_old(stand):
    said = scan(stand, PUBLIC)
    for version, state in (("SSLv2", "disabled"), ("SSLv3", "disabled"), ("TLSv1.0", "disabled"),
                           ("TLSv1.1", "disabled"), ("TLSv1.2", "enabled"), ("TLSv1.3", "enabled")):
        assert re.search(rf"^{re.escape(version)}\s+{state}$", said, re.MULTILINE), said
    assert "Server supports TLS Fallback SCSV" in said
    assert "Session renegotiation not supported" in said
    assert len(re.findall(r"^TLSv1\.\d not vulnerable to heartbleed$", said, re.MULTILINE)) == 2
    ciphers = re.findall(r"^(?:Preferred|Accepted)\s+(TLSv1\.\d)\s+\d+ bits\s+(\S+)", said, re.MULTILINE)
    assert len(ciphers) >= 5
    for version, cipher in ciphers:
        assert version == "TLSv1.3" or re.fullmatch(r"ECDHE-ECDSA-(AES\d+-GCM-SHA\d+|CHACHA20-POLY1305)", cipher), cipher
    said = scan(stand, MODERN)
    assert re.search(r"^TLSv1\.2\s+disabled$", said, re.MULTILINE) and re.search(r"^TLSv1\.3\s+enabled$", said, re.MULTILINE)
    stand.bono.assert_serving()


def test_renegotiation_is_refused_and_a_new_key_is_not(stand):
    with stand.one_more("ok"):
        tool = openssl(stand, PUBLIC, "-tls1_2")
        tool.type(b"R\n")
        until(tool.over, "openssl to give up")
    assert "RENEGOTIATING" in tool.said and "no renegotiation" in tool.end().said, tool.said
    tool = openssl(stand, PUBLIC, "-tls1_3")
    tool.type(b"K\n")
    until(lambda: "KEYUPDATE" in tool.said, "openssl to change its key")
    assert tool.ask(stand), tool.said
    tool.end()


# ---- names ----

def serial_shown(stand, name):
    tool = openssl(stand, PUBLIC, name=name).end()
    assert tool.served
    begin = tool.said.index("-----BEGIN CERTIFICATE-----")
    done = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=tool.said[begin:], capture_output=True, text=True,
                          timeout=20, check=True)
    return done.stdout.strip().split("=")[1]


def test_a_client_is_shown_the_certificate_of_the_name_it_asks_for(stand):
    assert serial_shown(stand, EDGE) == stand.edge.serial
    assert serial_shown(stand, OTHER.upper()) == stand.other.serial
    assert serial_shown(stand, "a.wild.example.net") == stand.wild.serial
    for unknown in (None, "nowhere.example.org", "a.b.wild.example.net", "wild.example.net"):
        assert serial_shown(stand, unknown) == stand.edge.serial, unknown


# ---- certificates of clients ----

@pytest.fixture(scope="module")
def shown(stage):
    """Certificates that nobody should take for good: {result: (certificate, alert)}."""
    own = stage.authority
    return {"unknown_ca": (stage.stranger.issue("client", names=[PEER]), UNKNOWN_CA),
            "expired": (own.expired("gone", names=[PEER]), EXPIRED),
            "not_yet_valid": (own.not_yet_valid("early", names=[PEER]), BAD),
            "other_certificate": (own.issue("server", names=[PEER], usage="serverAuth"), UNSUPPORTED)}


@pytest.mark.parametrize("port", [OPTIONAL, REQUIRED])
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_with_a_bad_certificate_is_refused(stand, shown, version, port):
    for result, (certificate, alert) in shown.items():
        with stand.one_more(result):
            tool = openssl(stand, port, version, *identity(certificate)).end()
        assert not tool.served and f"SSL alert number {alert}" in tool.said, (result, tool.said)
        stand.refused(tool.source, result)


@pytest.mark.parametrize("version,alert", [("-tls1_2", HANDSHAKE_FAILURE), ("-tls1_3", CERTIFICATE_REQUIRED)])
def test_a_client_without_a_certificate_is_refused_where_one_is_required(stand, version, alert):
    with stand.one_more("no_client_certificate"):
        tool = openssl(stand, REQUIRED, version).end()
    assert not tool.served and f"SSL alert number {alert}" in tool.said, tool.said
    stand.refused(tool.source, "no_client_certificate")


def test_a_client_with_a_good_certificate_is_served_anywhere(stand):
    good = stand.authority.issue("good", names=["alice.example.net"], usage="clientAuth")
    for port in (PUBLIC, OPTIONAL, REQUIRED):
        for version in ("-tls1_2", "-tls1_3"):
            with stand.one_more("ok"):
                assert openssl(stand, port, version, *identity(good)).end().served
    with stand.one_more("ok"):
        tool = openssl(stand, OPTIONAL).end()
    assert tool.served
    assert "Acceptable client certificate CA names" in tool.said and "CN = Test root" in tool.said
    assert "No client certificate CA names sent" in openssl(stand, PUBLIC).end().said


# ---- who enters the core ----

@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_the_core_is_for_named_peers(stand, shown, version):
    for good in (stand.authority.issue("peer", names=[PEER]), stand.authority.issue("peer-uri", uris=[f"sip:{PEER}"])):
        with stand.one_more("ok", "core"):
            assert openssl(stand, CORE, version, *identity(good)).end().served
    strangers = dict(shown)
    strangers["wrong_name"] = (stand.authority.issue("impostor", names=["impostor.example.net"]), BAD)
    strangers["no_client_certificate"] = (None, HANDSHAKE_FAILURE if version == "-tls1_2" else CERTIFICATE_REQUIRED)
    for result, (certificate, alert) in strangers.items():
        with stand.one_more(result, "core"):
            tool = openssl(stand, CORE, version, *(identity(certificate) if certificate else [])).end()
        assert not tool.served and f"SSL alert number {alert}" in tool.said, (result, tool.said)
        stand.refused(tool.source, result)


def test_a_name_that_only_looks_alike_does_not_enter_the_core(stand):
    for name in ("*.site-b.example.net", f"{PEER}.evil.example", f"x.{PEER}"):
        alike = stand.authority.issue("alike", names=[name], common_name=PEER)
        with stand.one_more("wrong_name", "core"):
            assert not openssl(stand, CORE, *identity(alike)).end().served


# ---- no TLS at all ----

def raw(stand, port=PUBLIC):
    return TcpClient(stand.lab.ip(2), stand.address(port))


@pytest.mark.parametrize("words", [b"OPTIONS sip:edge SIP/2.0\r\n", b"GET / HTTP/1.1\r\nHost: edge\r\n\r\n",
                                   b"SIP/2.0 200 OK\r\n"])
def test_plain_text_on_a_tls_port_is_turned_away(stand, words):
    way = raw(stand)
    with stand.one_more("not_tls"):
        way.send(words)
        way.wait_for_close()
    stand.refused(way.address, "not_tls")
    way.close()


@pytest.mark.parametrize("noise", [b"\r\n\r\n", b"\0" * 64, b"\x16\x03\x01\xff\xff" + b"\x01" * 100, b"\x80\x2e\x01\x00\x02" + b"\0" * 60,
                                   b"\x15\x03\x03\x00\x02\x02\x28", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"])
def test_noise_is_turned_away_or_waits_for_its_end(stand, noise):
    """Never an answer, never a fault; who goes away has failed once, in one line."""
    way = raw(stand)
    before = sum(stand.results().values())
    way.send(noise)
    way.socket.shutdown(socket.SHUT_WR)
    way.wait_for_close()
    until(lambda: sum(stand.results().values()) == before + 1, "it to be counted")
    assert len(stand.lines_of(f" {way.address[0]}:{way.address[1]}: ")) == 1
    assert way.all == []
    way.close()
    stand.bono.assert_serving()


def test_who_looks_whether_the_port_is_open_is_no_failure(stand):
    before = stand.results()
    for reset in (False, True):
        way = raw(stand)
        if reset:
            way.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        way.close()
    with stand.one_more("ok"):
        openssl(stand, PUBLIC).end()
    assert {**stand.results(), ("access", "ok"): 0} == {**before, ("access", "ok"): 0}


def hello():
    """A whole ClientHello."""
    out = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
    return out.read()


def test_who_begins_a_handshake_and_falls_silent_is_let_go(stand):
    """Half a ClientHello, a whole one without more, nothing at all, and a byte now and then."""
    half, whole, nothing, slow = (raw(stand) for _ in range(4))
    first = hello()
    with stand.one_more("timeout", count=4):
        half.send(first[:100])
        whole.send(first)
        slow.send(first[:5])
        sent = 5

        def all_ended():
            nonlocal sent
            if not slow.closed and sent < 100:      # does not win time by it
                with contextlib.suppress(OSError):
                    slow.send(first[sent:sent + 1])
                sent += 1
            for way in (half, whole, nothing, slow):
                way.pump(0.05)
            return all(way.closed for way in (half, whole, nothing, slow))
        until(all_ended, "all four to be let go", 40)
    for way in (half, whole, nothing, slow):
        stand.refused(way.address, "timeout")
        way.close()


# ---- messages ----

def test_many_small_messages_in_one_record_and_one_in_many(stand):
    client = stand.client()
    asked = [options_to(client, stand.address(PUBLIC)) for _ in range(300)]
    client.send(b"".join(asked))
    until(lambda: len(client.all) == 300 or (client.pump(0.2), False)[1], "300 answers")
    ids = [re.search(rb"Call-ID: (\S+)", message).group(1).decode() for message in asked]
    assert [answer.get("call-id") for answer in client.all] == ids
    client.inbox.clear()
    for byte in options_to(client, stand.address(PUBLIC)):
        client.send(bytes([byte]))
    assert client.response("OPTIONS").status == 200 and len(client.all) == 301
    client.close()


def test_the_end_is_told_both_ways(stand):
    client = stand.client()
    assert client.ask(options_to(client, stand.address(PUBLIC))).status == 200
    client.socket.settimeout(10)
    plain = client.socket.unwrap()          # our close_notify, then theirs
    assert plain.recv(1) == b""
    plain.close()


@pytest.mark.parametrize("how", ["notify", "fin"])
def test_who_asks_and_closes_its_half_is_answered(stand, how):
    client = stand.client()
    client.send(options_to(client, stand.address(PUBLIC)))
    if how == "notify":
        with pytest.raises(ssl.SSLError, match="APPLICATION_DATA_AFTER_CLOSE_NOTIFY|application data after close notify"):
            client.socket.settimeout(10)
            client.socket.unwrap()          # OpenSSL's own complaint: the answer came, not an end
        client.socket.close()
    else:
        socket.socket.shutdown(client.socket, socket.SHUT_WR)
        assert client.response("OPTIONS").status == 200
        client.wait_for_close()
        client.close()


class TestScenes:
    """Each with a Bono of its own."""

    @staticmethod
    def tls(lab, **changes):
        authority = Authority(lab.path("ca"))
        edge = authority.issue("edge", names=[EDGE])
        listeners = [
            {"name": "access-udp", "side": "access", "transport": "udp", "bind": f"{lab.ip(1)}:5060"},
            {"name": "access-tcp", "side": "access", "transport": "tcp", "bind": f"{lab.ip(1)}:5060"},
            {"name": "access-tls", "side": "access", "transport": "tls", "bind": f"{lab.ip(1)}:{PUBLIC}", "tls": "public"},
            {"name": "core-tcp", "side": "core", "transport": "tcp", "bind": f"{lab.ip(1)}:5058",
             "allow": ["127.0.0.0/8"], "path": True}]
        scene = Scene(lab, listeners=listeners,
                      tls={"public": {"certificate": edge.certificate, "key": edge.key}}, **changes)
        scene.authority = authority
        return scene

    @staticmethod
    def client(scene, user):
        lab = scene.lab
        end = TlsClient(lab.client_ip(), (lab.ip(1), PUBLIC), ssl.create_default_context(cafile=scene.authority.ca), EDGE)
        end.contact = lambda name="alice": f"<sip:{name}@{end.address[0]}:{end.address[1]};transport=tls>"
        return Client(lab, scene.bono, user, end=end)

    def registered(self, scene, user):
        client = self.client(scene, user)
        scene.register(client)
        return client

    def test_great_messages_pass_both_ways(self, lab):
        scene = self.tls(lab)
        alice = self.registered(scene, "alice")
        body = bytes(range(32, 127)) * 620                # 58,900 bytes: with what is added 60 KiB
        seen = scene.through(alice, "MESSAGE", body=body)
        assert seen.body == body
        seen.reply(200, body=body)
        assert alice.end.response("MESSAGE").body == body
        way = scene.way()
        for _ in range(5):                                # one after the other, unread by the client
            way.send(way.request_bytes("MESSAGE", uri_of(alice.end.contact("alice")), alice.path, body=body))
        for _ in range(5):
            message = alice.end.request("MESSAGE")
            assert message.body == body
            message.reply(200, body=body)
        for _ in range(5):
            assert way.end.response("MESSAGE").body == body

    def test_a_flood_of_handshakes_takes_nothing_from_those_who_are_there(self, lab):
        scene = self.tls(lab, limits={"tls_handshakes": 20})
        bono = scene.bono
        alice, bob = self.registered(scene, "alice"), scene.registered("bob", "udp")
        first, held, source = hello(), [], lab.client_ip()

        def counted(result):
            return bono.metrics().sum("bono_tls_handshakes_total", result=result)
        for lap in range(10):
            for _ in range(30):
                way = socket.create_connection((lab.ip(1), PUBLIC), 10, (source, 0))
                way.sendall(first)
                held.append(way)
            for client in (alice, bob):
                scene.register(client)
                scene.through(client, "MESSAGE", body=b"x").reply(200)
                assert client.end.response("MESSAGE").status == 200
        until(lambda: counted("budget") >= 200, "the flood to be turned away")
        assert bono.metrics().sum("bono_tls_handshakes_total", result="ok") == 1
        told = [line for line in bono.log().decode().splitlines() if "handshake failed, budget: " in line]
        assert 1 <= len(told) <= 100         # few of three hundred
        for way in held:
            way.close()
        self.registered(scene, "carol")
        bono.assert_serving()

    def test_bono_says_its_end_when_it_stops(self, lab):
        scene = self.tls(lab)
        alice = self.registered(scene, "alice")
        alice.end.socket.suppress_ragged_eofs = False
        scene.bono.signal_group(15)
        alice.end.socket.settimeout(20)
        assert alice.end.socket.recv(1) == b""      # a FIN alone would be an SSLEOFError
        scene.bono.wait_for_end()
