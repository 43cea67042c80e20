"""The form of messages: lengths, numbers, twice the same header, timers and keep-alives."""

from .stage import Answered, ByWay, Defused, Refused, attack, lied

BAD = Refused(400, closes=True)


def bent(name, tries, old, new, must=BAD, web=False, **more):
    attack(tries, must, web=web, name=name)(
        lambda s: lied(s.message(("Subject", "x"), **more), old, new.replace(b"CALLID", s.call_id.encode())))


bent("length_negative", "less than nothing", b"Content-Length: 0", b"Content-Length: -1")
bent("length_of_letters", "no number", b"Content-Length: 0", b"Content-Length: 0x0")
bent("length_beyond_numbers", "more than there are", b"Content-Length: 0", b"Content-Length: 18446744073709551616")
bent("length_twice", "two readers, two messages", b"Content-Length: 0", b"Content-Length: 0\r\nContent-Length: 40")
bent("length_twice_and_compact", "the same by its short name", b"Content-Length: 0", b"l: 40\r\nContent-Length: 0")
bent("from_twice", "two callers", b"Subject: x", b"From: <sip:victim@example.net>;tag=2")
bent("to_twice", "two callees", b"Subject: x", b"t: <sip:victim@example.net>")
bent("call_id_twice", "two calls", b"Subject: x", b"i: other")
bent("cseq_twice", "two numbers", b"Subject: x", b"CSeq: 2 MESSAGE")
bent("cseq_of_another_method", "a BYE that says it is a MESSAGE", b"1 MESSAGE", b"1 BYE")
bent("max_forwards_twice", "two counts", b"Subject: x", b"Max-Forwards: 70")
bent("no_version", "a request line without version", b" SIP/2.0\r\n", b"\r\n")
bent("version_3", "another protocol", b" SIP/2.0\r\n", b" SIP/3.0\r\n", must=Refused(400, 505, closes=True))
bent("two_blanks", "a request line that readers split in two ways", b"MESSAGE sip:", b"MESSAGE  sip:")
bent("a_blank_in_the_uri", "the same", b"sip:peer@example.net SIP", b"sip:peer@example.net x SIP")


@attack("more bytes announced than come", ByWay(Refused(400), Refused(400, closes=True)))
def length_too_long(s):
    """A stream waits for them; so they come, and are the body."""
    raw = lied(s.message(), b"Content-Length: 0", b"Content-Length: 70000")
    return raw if s.way == "udp" else raw + b"x" * 70000


@attack("another message behind the first", ByWay(Defused(), Defused()))
def length_too_short(s):
    """In a datagram the rest is cut off; in a stream it is the client's next message, and as any of its messages."""
    return s.message(body=b"") + s.message(("P-Asserted-Identity", "<sip:victim@example.net>"), uri="http://evil.example/",
                                           call_id=s.call_id + "second")


# ---- session timers: RFC 4028 ----

attack("a session of a second", Refused(422, counter="interval", header="min-se"), name="session_of_a_second")(
    lambda s: s.message(("Supported", "timer"), ("Session-Expires", "1"), method="INVITE"))


def raised(_, seen):
    assert seen.get("session-expires").split(";")[0] in ("120", "1800") and seen.get("min-se") == "120"


attack("a session of a second, from one who could make nothing of a 422", Defused(raised),
       name="session_of_a_second_without_timer")(
    lambda s: s.message(("Session-Expires", "0;refresher=uac"), method="INVITE"))


def bounded(_, seen):
    assert len(seen.lines("session-expires")) == 1
    assert 90 <= int(seen.get("session-expires").split(";")[0]) <= 2 ** 32


for name, headers in {"min_se_0": [("Min-SE", "0")], "min_se_giant": [("Min-SE", "99999999999999999999")],
                      "min_se_of_letters": [("Min-SE", "never")], "session_for_ever": [("Session-Expires", "4294967295")],
                      "session_twice": [("Session-Expires", "1800"), ("x", "1800")]}.items():
    attack(f"an interval that is none: {name.replace('_', ' ')}", Defused(bounded), name=name)(
        lambda s, headers=headers: s.message(*headers, ("Supported", "timer"), method="INVITE"))


# ---- much ----

attack("as many headers as may be", Defused(), name="two_hundred_headers")(
    lambda s: s.message(*[(f"X-{n}", "x" * 20) for n in range(200)]))
attack("a list as long as may be", Defused(), name="a_hundred_options")(
    lambda s: s.message(("Supported", ", ".join(f"option{n}" for n in range(100)))))
attack("more headers than may be", Refused(400, closes=True), name="a_thousand_headers")(
    lambda s: s.message(*[(f"X-{n}", "x" * 20) for n in range(1000)]))
attack("a list of a thousand", Refused(400, closes=True), name="a_thousand_options")(
    lambda s: s.message(("Supported", ", ".join(f"option{n}" for n in range(1000)))))
attack("a header longer than may be", Refused(400, closes=True), name="a_header_of_20_kilobytes")(
    lambda s: s.message(("Subject", "x" * 20000)))
attack("five thousand commas", Refused(400, closes=True), name="commas")(
    lambda s: s.message(("Contact", "," * 5000)))
attack("extensions that proxies must know", Refused(420, counter="bad_extension", header="unsupported"),
       name="many_proxy_requires")(
    lambda s: s.message(("Proxy-Require", ", ".join(f"x{n}" for n in range(50)))))


@attack("an unknown method with all the rest in order", Defused(), web=True)
def unknown_method(s):
    return s.message(("Content-Type", "text/plain"), method="BREW", body=b"coffee")


@attack("percent signs where formats are written", Defused())
def formats(s):
    return s.message(("User-Agent", "%s%s%n%n"), ("Subject", "%1$*2$n"), uri="sip:%25s%25n@example.net")


@attack("a question to the edge with a way to go on", Answered(200))
def options_to_us_with_a_route(s):
    return s.message(("Route", f"<sip:{s.stranger};lr>"), ("Contact", f"<sip:{s.stranger}>"), method="OPTIONS",
                     uri=f"sip:{s.edge}")
