"""Every byte from the network is hostile: a counter and, where the RFC allows it, an answer; never a
crash, never a connection that hangs the others."""

import pytest

from bono_lab import Lab, Scene, TcpClient, UdpClient, until
from bono_lab.sip import Message, options_to, request, unique


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("bad"))
    yield Scene(lab)
    lab.close()


@pytest.fixture(params=[UdpClient, TcpClient], ids=["udp", "tcp"])
def end(request, scene):
    client = request.param(scene.lab.client_ip(), scene.bono.access)
    yield client
    client.close()
    scene.bono.assert_serving()


@pytest.fixture
def stream(scene):
    client = TcpClient(scene.lab.client_ip(), scene.bono.access)
    yield client
    client.close()
    scene.bono.assert_serving()


def parse_errors(scene, **labels):
    return scene.bono.metrics().sum("bono_parse_errors_total", **labels)


def rejected(scene):
    return scene.bono.metrics().sum("bono_rejected_total")


def faults(scene):
    """Everything that Bono has counted as bad; a datagram that begins like STUN may be that."""
    return (parse_errors(scene) + rejected(scene)
            + scene.bono.metrics().sum("bono_stun_total", result="malformed")
            + scene.bono.metrics().sum("bono_stun_total", result="no_cookie"))


def noticed(scene, before, what):
    until(lambda: faults(scene) > before, f"{what} to be counted")


def options(end, *headers, body=b"", uri=None, **more):
    return request("OPTIONS", uri or f"sip:{end.edge[0]}:{end.edge[1]}", end.via(), list(headers),
                   body, **more)


GARBAGE = {
    "zeros": b"\0" * 300,
    "words": b"hello, is this the telephone?\r\n\r\n",
    "http": b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    "tls_hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
    "not_utf8": b"\xff\xfe\xfd\xfc SIP/2.0\r\nVia: \xc3\x28\r\n\r\n",
    "only_colon": b":\r\n:\r\n\r\n",
    "response_line_only": b"SIP/2.0 200 OK\r\n\r\n",
    "request_line_only": b"OPTIONS sip:a SIP/2.0\r\n\r\n",
    "huge_status": b"SIP/2.0 99999999999999999999 OK\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\r\n",
    "spaces": b" " * 400 + b"\r\n\r\n",
    "tabs_and_folds": b"OPTIONS sip:a SIP/2.0\r\n" + b"\t\r\n " * 60 + b"\r\n\r\n",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_counted(scene, end, kind):
    before = faults(scene)
    end.send(GARBAGE[kind])
    noticed(scene, before, kind)


def test_missing_headers_are_400(scene, end):
    for name in ("From", "To", "Call-ID", "CSeq"):
        end.send(options(end, (name, None)))
        assert end.response().status == 400, name


def test_message_without_via_is_counted_and_not_answered(scene, end):
    before = faults(scene)
    end.send(options(end, ("Via", None)))
    noticed(scene, before, "a request without Via")


@pytest.mark.parametrize("name,value", [
    ("CSeq", "99999999999999999999 OPTIONS"), ("CSeq", "1 INVITE"), ("CSeq", "-1 OPTIONS"),
    ("CSeq", "OPTIONS"), ("Max-Forwards", "99999999999999999999"), ("Max-Forwards", "many"),
    ("From", "<<<<>>>>"), ("To", '"unfinished <sip:a@b>'), ("Call-ID", ""),
])
def test_nonsense_in_a_mandatory_header_is_400(scene, end, name, value):
    before = faults(scene)
    end.send(options(end, (name, value)))
    noticed(scene, before, f"{name}: {value}")
    assert end.response().status == 400


def test_a_thousand_vias_are_refused(scene, end):
    before = faults(scene)
    vias = [("Via", f"SIP/2.0/UDP 10.0.0.1:{port};branch=z9hG4bK{port}") for port in range(1000)]
    end.send(options(end, *([("Via", end.via())] + vias)))
    noticed(scene, before, "a thousand Vias")


def test_a_thousand_vias_in_one_line_are_refused(scene, end):
    before = faults(scene)
    many = ",".join(f"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK{n}" for n in range(1000))
    end.send(options(end, ("Via", f"{end.via()},{many}")))
    noticed(scene, before, "a thousand Vias in one line")


@pytest.mark.parametrize("name", ["Subject", "Contact", "Route", "X-Long"])
def test_a_header_of_sixty_kilobytes_is_refused(scene, end, name):
    before = faults(scene)
    end.send(options(end, (name, "<sip:" + "a" * 60000 + "@example.net>")))
    noticed(scene, before, f"a long {name}")


def test_commas_without_end_are_refused(scene, end):
    before = faults(scene)
    end.send(options(end, ("Contact", "," * 6000)))
    noticed(scene, before, "commas")


@pytest.mark.parametrize("evil", [b"\0", b"\r", b"\n"], ids=["nul", "bare_cr", "bare_lf"])
def test_smuggling_bytes_in_headers_are_refused(scene, end, evil):
    before = faults(scene)
    end.send(options(end, ("Subject", "here")).replace(b"here", b"he" + evil + b"re"))
    noticed(scene, before, "the byte")


@pytest.mark.parametrize("good,evil", [
    (b"OPTIONS sip", b"OPTIONS \rsip"), (b" SIP/2.0\r\n", b"\r SIP/2.0\r\n"),
    (b" SIP/2.0\r\n", b" SIP/2.0\r\r\n"), (b"Max-Forwards", b"Max\rForwards"), (b"here", b"he\rre"),
])
def test_bare_cr_is_400_where_the_answer_does_not_carry_it_on(scene, end, good, evil):
    raw = options(end, ("Subject", "here"))
    assert good in raw
    before = parse_errors(scene, reason="bare_cr")
    end.send(raw.replace(good, evil, 1))
    answer = end.response()
    assert answer.status == 400
    assert b"\r" not in answer.raw.replace(b"\r\n", b"")
    assert parse_errors(scene, reason="bare_cr") == before + 1
    assert end.ask(options(end)).status == 200      # the stream goes on behind it


@pytest.mark.parametrize("behind", ["OP", "Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "])
def test_bare_cr_in_what_an_answer_copies_is_dropped(scene, end, behind):
    """And in the method: it may have been an ACK, which is never answered."""
    before = parse_errors(scene, reason="bare_cr")
    raw = options(end)
    at = raw.index(behind.encode()) + len(behind)
    end.send(raw[:at] + b"x\r" + raw[at:])
    until(lambda: parse_errors(scene, reason="bare_cr") > before, "the CR to be counted")
    assert end.ask(options(end)).status == 200
    assert len(end.all) == 1


def test_non_utf8_header_passes_untouched(scene, user):
    client = scene.registered(user)
    raw = client.request_bytes("MESSAGE", "sip:peer@example.net", [("X-Odd", "Q")], b"x")
    client.end.send(raw.replace(b"X-Odd: Q", b"X-Odd: \xff\xfe\x80"))
    seen = scene.sprout.expect("MESSAGE")
    assert b"\xff\xfe\x80" in seen.raw
    seen.reply(200)
    assert client.end.response("MESSAGE").status == 200


# ---- lengths ----

def test_datagram_shorter_than_content_length_is_400(scene, user):
    client = scene.registered(user)
    raw = client.request_bytes("MESSAGE", "sip:peer@example.net", [("Content-Length", 500)], b"short")
    client.end.send(raw)
    assert client.end.response("MESSAGE").status == 400


def test_datagram_longer_than_content_length_is_cut(scene, user):
    """RFC 3261 18.3: what follows the length over UDP is discarded."""
    client = scene.registered(user)
    raw = client.request_bytes("MESSAGE", "sip:peer@example.net", [("Content-Length", 4)],
                               b"bodyAND MORE")
    client.end.send(raw)
    seen = scene.sprout.expect("MESSAGE")
    assert seen.body == b"body"
    seen.reply(200)
    assert client.end.response("MESSAGE").status == 200


@pytest.mark.parametrize("length", ["-1", "abc", "99999999999999999999", "4294967297", "1e3"])
def test_impossible_length_ends_the_stream(scene, stream, length):
    before = faults(scene)
    stream.send(options(stream, ("Content-Length", length)))
    noticed(scene, before, "the length")
    stream.wait_for_close()


def test_two_different_lengths_end_the_stream(scene, stream):
    before = faults(scene)
    stream.send(options(stream, ("Content-Length", 0), ("Content-Length", 10)) + b"0123456789")
    noticed(scene, before, "two lengths")


def test_stream_message_without_length_is_counted(scene, stream):
    before = faults(scene)
    raw = options(stream).replace(b"Content-Length: 0\r\n", b"")
    assert b"Content-Length" not in raw
    stream.send(raw)
    noticed(scene, before, "the missing length")


def test_oversized_message_ends_the_stream(scene, stream):
    before = faults(scene)
    stream.send(options(stream, body=b"x" * 70000))
    noticed(scene, before, "the size")
    stream.wait_for_close()


def test_endless_header_ends_the_stream(scene, stream):
    before = faults(scene)
    try:
        stream.send(b"OPTIONS sip:a SIP/2.0\r\nX: " + b"y" * 200000)
    except (BrokenPipeError, ConnectionResetError):
        pass
    noticed(scene, before, "the endless header")
    stream.wait_for_close()


# ---- streams cut anyhow ----

def test_message_byte_by_byte_is_one_message(scene, stream):
    raw = options(stream)
    for at in range(len(raw)):
        stream.send(raw[at:at + 1])
    assert stream.response("OPTIONS").status == 200


def test_slow_client_holds_up_nobody(scene, stream):
    raw = options(stream)
    stream.send(raw[:40])
    scene.bono.assert_serving()
    stream.send(raw[40:])
    assert stream.response("OPTIONS").status == 200


def test_pipelined_messages_are_all_answered(scene, stream):
    raws = [options(stream) for _ in range(50)]
    stream.send(b"\r\n\r\n".join(raws))
    wanted = {Message(raw).get("call-id") for raw in raws}
    while wanted:
        answer = stream.response("OPTIONS")
        assert answer.status == 200
        wanted.discard(answer.get("call-id"))


@pytest.mark.parametrize("size", [1, 7, 100])
def test_pipeline_cut_in_odd_places(scene, stream, size):
    count = 3
    raw = b"".join(options(stream) for _ in range(count))
    for at in range(0, len(raw), size):
        stream.send(raw[at:at + size])
    for _ in range(count):
        assert stream.response("OPTIONS").status == 200


def test_bad_message_in_a_pipeline_does_not_eat_the_next(scene, stream):
    good = options(stream)
    stream.send(options(stream, ("CSeq", "rubbish")) + good)
    call_id = Message(good).get("call-id")
    assert stream.response("OPTIONS", call_id=call_id).status == 200


def test_client_that_never_reads_is_let_go_or_waits_alone(scene):
    """Answers pile up unread: a bound, and nobody else suffers."""
    deaf = TcpClient(scene.lab.client_ip(), scene.bono.access)
    deaf.socket.setblocking(False)
    raw = b"".join(options(deaf) for _ in range(200))
    sent = 0
    try:
        while sent < 30_000_000:
            sent += deaf.socket.send(raw)
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass
    scene.bono.assert_serving()
    deaf.close()
    scene.bono.assert_serving()


def test_half_a_message_then_goodbye(scene):
    for cut in (1, 10, 100, 200):
        client = TcpClient(scene.lab.ip(98), scene.bono.access)
        client.send(options(client)[:cut])
        client.close()
    scene.bono.assert_serving()


@pytest.mark.parametrize("cut", [1, 20, 60, 120, 200, 240])
def test_truncated_datagram_is_counted(scene, cut):
    client = UdpClient(scene.lab.client_ip(), scene.bono.access)
    before = faults(scene)
    raw = options(client)
    assert cut < len(raw)
    client.send(raw[:cut])
    noticed(scene, before, f"{cut} bytes of a message")
    client.close()
    scene.bono.assert_serving()


def test_bad_messages_from_the_core_are_counted_too(scene):
    for kind, raw in GARBAGE.items():
        core = scene.way()
        before = faults(scene)
        core.send(raw)
        noticed(scene, before, f"{kind} from the core")
    scene.bono.assert_serving()


def test_bad_responses_from_the_core_end_nothing(scene, user):
    """The answer to a client's request is rubbish at first; the good one still counts."""
    client = scene.registered(user)
    seen = scene.through(client, "MESSAGE", body=b"x")
    rubbish = b"SIP/2.0 200 OK\r\nVia: " + seen.lines("via")[0].encode() + b"\r\nContent-Length: 0\r\n\r\n"
    before = faults(scene)
    seen.reply_way(rubbish)
    noticed(scene, before, "the rubbish answer")
    seen.reply(200)
    assert client.end.response("MESSAGE").status == 200


def test_strangers_answer_is_small(scene):
    """No answer to an unverified source is larger than its request by more than 128 bytes."""
    client = UdpClient(scene.lab.client_ip(), scene.bono.access)
    for raw in (options(client), request("MESSAGE", "sip:p@example.net", client.via()),
                request("MESSAGE", "bad:p", client.via()),
                request("MESSAGE", "sip:p@example.net", client.via(),
                        [("Proxy-Require", ",".join(unique("x") for _ in range(100)))])):
        client.send(raw)
        assert len(client.response().raw) <= len(raw) + 128
    assert client.ask(options_to(client, scene.bono.access)).status == 200
    client.close()
