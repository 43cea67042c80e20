"""SIP by hand, for tests that must see the very bytes. No transactions: a test says every message."""

import itertools
import os
import socket
import ssl
import threading
import time

from .address import family, host_port
from .wait import PATIENCE

COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length",
           "c": "content-type", "s": "subject", "k": "supported", "e": "content-encoding"}
serial = itertools.count(1)
BOOT = f"{os.getpid():x}{int(time.time() * 1000):x}"
CRLF = "\r\n"


def unique(what="id"):
    return f"{what}{BOOT}{next(serial)}"


def split_list(text):
    """A header's items: commas outside <> and quotes."""
    items, item, quoted, depth = [], "", False, 0
    for letter in text:
        if letter == '"':
            quoted = not quoted
        elif not quoted and letter == "<":
            depth += 1
        elif not quoted and letter == ">":
            depth -= 1
        if letter == "," and not quoted and depth == 0:
            items.append(item.strip())
            item = ""
        else:
            item += letter
    return items + [item.strip()] if item.strip() else items


class Message:
    """A message as it came. Header names in lower case and long form."""

    def __init__(self, raw):
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "surrogateescape").split(CRLF)
        self.start = lines[0]
        self.headers = []
        for line in lines[1:]:
            if line[:1] in " \t" and self.headers:
                name, value = self.headers[-1]
                self.headers[-1] = (name, value + " " + line.strip())
            else:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                self.headers.append((COMPACT.get(name, name), value.strip()))
        self.source = None      # who sent it, filled in by the receiver
        self.reply_way = None   # a function that sends bytes back where it came from

    @property
    def is_response(self):
        return self.start.startswith("SIP/2.0 ")

    @property
    def status(self):
        return int(self.start.split()[1])

    @property
    def reason(self):
        return self.start.split(" ", 2)[2]

    @property
    def method(self):
        """A request's own, a response's from CSeq."""
        return self.get("cseq").split()[-1] if self.is_response else self.start.split()[0]

    @property
    def uri(self):
        return self.start.split()[1]

    def get(self, name, default=None):
        return next((value for own, value in self.headers if own == name.lower()), default)

    def lines(self, name):
        return [value for own, value in self.headers if own == name.lower()]

    def values(self, name):
        """Every item of every line of this header."""
        return [item for line in self.lines(name) for item in split_list(line)]

    def has(self, name):
        return self.get(name) is not None

    def to_tag(self):
        return parameter(self.get("to"), "tag")

    def reply(self, status, reason="", headers=(), body=b"", tag=None):
        """Answer on the way it came."""
        answer = response(self, status, reason, headers, body, tag)
        self.reply_way(answer)
        return answer

    def __repr__(self):
        return self.raw.decode("utf-8", "replace")


def parameter(value, name):
    """A header parameter (after the last '>'), or None if absent, '' if without value."""
    tail = value.rpartition(">")[2] if "<" in value else value
    for part in tail.split(";")[0 if "<" in value else 1:]:
        key, _, text = part.strip().partition("=")
        if key.lower() == name:
            return text.strip('"')
    return None


def uri_of(value):
    """The URI of a name-addr."""
    return value[value.index("<") + 1:value.index(">")] if "<" in value else value.split(";")[0]


def uri_parameters(uri):
    return {key.lower(): text for key, _, text in
            (part.partition("=") for part in uri.split("?")[0].split(";")[1:])}


def user_of(uri):
    """The user part of a URI, None without."""
    rest = uri.split(":", 1)[1]
    return rest.split("@")[0] if "@" in rest else None


def build(start, headers, body=b""):
    lines = [start] + [f"{name}: {value}" for name, value in headers if value is not None]
    if not any(name.lower() in ("content-length", "l") for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    return (CRLF.join(lines) + CRLF + CRLF).encode("utf-8", "surrogateescape") + body


def request(method, uri, via, headers=(), body=b"", user="alice", domain="example.net", cseq=None,
            call_id=None, max_forwards=70, to=None, from_tag=None, sender=None):
    """The usual mandatory headers, then the given ones. Headers with value None are left out."""
    own = {name.lower() for name, _ in headers}
    standard = [
        ("Via", via),
        ("Max-Forwards", max_forwards),
        ("From", sender or f"<sip:{user}@{domain}>;tag={from_tag or unique('f')}"),
        ("To", to or (f"<sip:{user}@{domain}>" if method == "REGISTER" else f"<{uri}>")),
        ("Call-ID", call_id or unique("c")),
        ("CSeq", f"{cseq or 1} {method}"),
    ]
    return build(f"{method} {uri} SIP/2.0",
                 [pair for pair in standard if pair[0].lower() not in own] + list(headers), body)


REASONS = {100: "Trying", 180: "Ringing", 200: "OK", 404: "Not Found", 486: "Busy Here",
           487: "Request Terminated", 503: "Service Unavailable"}


def response(to, status, reason="", headers=(), body=b"", tag=None):
    """An answer to this request as RFC 3261 8.2.6 builds it, with its Record-Route."""
    lines = [(name.title(), value) for name, value in to.headers
             if name in ("via", "from", "call-id", "cseq", "record-route", "timestamp")]
    own = to.get("to")
    if status > 100 and parameter(own, "tag") is None:
        if tag is None:
            tag = to.__dict__.setdefault("our_tag", unique("t"))
        own += f";tag={tag}"
    lines.append(("To", own))
    return build(f"SIP/2.0 {status} {reason or REASONS.get(status, 'Whatever')}",
                 lines + list(headers), body)


def options_to(client, edge):
    """The question every SIP element answers (RFC 3261 11)."""
    return request("OPTIONS", f"sip:{host_port(edge)}", client.via(),
                   [("Accept", "application/sdp")])


def cut_message(data):
    """One whole message off the front of a stream: (message or None, rest)."""
    data = data.lstrip(b"\r\n")
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None, data
    length = 0
    for line in data[:end].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"content-length", b"l"):
            length = int(value)
    whole = end + 4 + length
    if len(data) < whole:
        return None, data
    return data[:whole], data[whole:]


def receive(connection, timeout):
    """What has come within the time; None: nothing; b"": it has ended."""
    connection.settimeout(timeout or 0.000001)
    try:
        return connection.recv(65536)
    except (TimeoutError, BlockingIOError):
        return None
    except (ConnectionResetError, BrokenPipeError):
        return b""


class Endpoint:
    """What came in is kept until somebody asks for it."""

    transport = None

    def __init__(self):
        self.inbox = []
        self.all = []           # everything ever received, for assertions of absence
        self.closed = False
        self.edge = None

    def via(self, rport=True, branch=None):
        return (f"SIP/2.0/{self.transport} {host_port(self.address)}"
                f"{';rport' if rport else ''};branch={branch or 'z9hG4bK' + unique('b')}")

    def contact(self, user="alice"):
        return (f"<sip:{user}@{host_port(self.address)}"
                f"{';transport=tcp' if self.transport == 'TCP' else ''}>")

    def pump(self, timeout):
        raise NotImplementedError

    def take(self, wanted, what, patience=PATIENCE):
        """The oldest message for which wanted(message), waiting for it."""
        end = time.monotonic() + patience
        while True:
            for index, message in enumerate(self.inbox):
                if wanted(message):
                    return self.inbox.pop(index)
            left = end - time.monotonic()
            if left <= 0 or (self.closed and not self.inbox):
                got = "\n".join(m.start for m in self.all[-8:]) or "nothing"
                raise AssertionError(f"no {what} within {patience:g} s"
                                     f"{' (connection closed)' if self.closed else ''}; got:\n{got}")
            if self.closed:
                raise AssertionError(f"no {what}: connection closed; got "
                                     f"{[m.start for m in self.all[-8:]]}")
            self.pump(min(left, 0.2))

    def response(self, method=None, call_id=None, cseq=None, final=True, patience=PATIENCE):
        """A response; with final=True provisional ones are left in the inbox."""
        def wanted(message):
            return (message.is_response and (not final or message.status >= 200)
                    and (method is None or message.method == method)
                    and (call_id is None or message.get("call-id") == call_id)
                    and (cseq is None or message.get("cseq").split()[0] == str(cseq)))
        return self.take(wanted, f"response to {method or 'anything'}", patience)

    def provisional(self, status, patience=PATIENCE):
        return self.take(lambda m: m.is_response and m.status == status, f"{status}", patience)

    def request(self, method, patience=PATIENCE):
        return self.take(lambda m: not m.is_response and m.method == method, f"{method} request",
                         patience)

    def ask(self, data, patience=PATIENCE):
        """Send a request, give its final response."""
        sent = Message(data)
        self.send(data)
        return self.response(sent.method, sent.get("call-id"), sent.get("cseq").split()[0],
                             patience=patience)

    def drain(self):
        """Take in what has arrived by now."""
        while self.pump(0):
            pass

    def got(self, wanted):
        """Everything ever received for which wanted(message)."""
        self.drain()
        return [message for message in self.all if wanted(message)]

    def arrived(self, raw, source, reply_way):
        message = Message(raw)
        message.source, message.reply_way = source, reply_way
        self.inbox.append(message)
        self.all.append(message)


class UdpClient(Endpoint):
    transport = "UDP"

    def __init__(self, ip, edge, port=5060):
        super().__init__()
        self.edge = edge
        self.socket = socket.socket(family(ip), socket.SOCK_DGRAM)
        self.socket.bind((ip, port))
        self.address = self.socket.getsockname()

    def send(self, data, to=None):
        self.socket.sendto(data, to or self.edge)

    def pump(self, timeout):
        self.socket.settimeout(timeout or 0.000001)
        try:
            data, source = self.socket.recvfrom(70000)
        except (TimeoutError, BlockingIOError):
            return False
        except ConnectionRefusedError:
            return True
        if data.strip():
            self.arrived(data, source, lambda answer: self.send(answer, source))
        return True

    def close(self):
        self.socket.close()


class TcpClient(Endpoint):
    transport = "TCP"

    def __init__(self, ip, edge, port=0):
        super().__init__()
        self.edge = edge
        self.socket = socket.socket(family(ip), socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind((ip, port))
        self.socket.settimeout(PATIENCE)
        self.socket.connect(edge)
        self.address = self.socket.getsockname()
        self.buffer = b""
        self.pongs = 0

    def send(self, data):
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(data)

    def pump(self, timeout):
        if self.closed:
            return False
        data = receive(self.socket, timeout)
        if data is None:
            return False
        if not data:
            self.closed = True
            return False
        if data == b"\r\n":
            self.pongs += 1
        self.buffer += data
        while True:
            raw, self.buffer = cut_message(self.buffer)
            if raw is None:
                return True
            self.arrived(raw, self.edge, self.send)

    def wait_for_close(self, patience=PATIENCE):
        end = time.monotonic() + patience
        while not self.closed:
            assert time.monotonic() < end, "the connection stayed open"
            self.pump(0.2)

    def close(self):
        self.socket.close()


class TlsClient(TcpClient):
    """The same by an ssl.SSLContext; server_name as in SNI, None: none. session: of an earlier one, to take up."""

    transport = "TLS"

    def __init__(self, ip, edge, context, server_name=None, port=0, session=None):
        super().__init__(ip, edge, port)
        self.socket = context.wrap_socket(self.socket, server_hostname=server_name, session=session)

    def pump(self, timeout):
        try:
            return super().pump(timeout)
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError:    # refused by an alert, or cut off without a word
            self.closed = True
            return False


class Client:
    """A user agent over an Endpoint: registered flow, calls said step by step."""

    def __init__(self, lab, bono, user, transport="udp", port=None, domain="example.net", end=None):
        if end is None and transport == "ws":
            from .web import WebClient
            end = WebClient(lab.client_ip(), bono.access_web)
        elif end is None:
            kind = UdpClient if transport == "udp" else TcpClient
            end = kind(lab.client_ip(), bono.access, port if port is not None else
                       (5060 if transport == "udp" else 0))
        self.end = end
        lab.add(self)
        self.user, self.domain = user, domain
        self.aor = f"sip:{user}@{domain}"
        self.cseq = 0
        self.register_call_id = unique("reg")
        self.instance = f'"<urn:uuid:00000000-0000-4000-8000-{next(serial):012x}>"'
        self.service_route = []

    def stop(self):
        self.end.close()

    def register_bytes(self, headers=(), expires=600, outbound=True, **more):
        self.cseq += 1
        contact = self.end.contact(self.user)
        if outbound:
            contact += f";+sip.instance={self.instance};reg-id=1"
        return request("REGISTER", f"sip:{self.domain}", self.end.via(),
                       [("Contact", contact), ("Supported", "path, outbound"),
                        ("Expires", expires)] + list(headers),
                       user=self.user, domain=self.domain, cseq=self.cseq,
                       call_id=self.register_call_id, **more)

    def register(self, expect=200, **more):
        answer = self.end.ask(self.register_bytes(**more))
        assert answer.status == expect, f"REGISTER of {self.user}: {answer!r}"
        self.service_route = answer.values("service-route")
        return answer

    def request_bytes(self, method, uri, headers=(), body=b"", via=None, **more):
        contact = [("Contact", self.end.contact(self.user))] if method in ("INVITE", "SUBSCRIBE") \
            and not any(name.lower() == "contact" for name, _ in headers) else []
        return request(method, uri, via or self.end.via(), contact + list(headers), body,
                       user=self.user, domain=self.domain, **more)

    def ask(self, method, uri, headers=(), body=b"", patience=PATIENCE, **more):
        return self.end.ask(self.request_bytes(method, uri, headers, body, **more), patience)


class Call:
    """The caller's view of one INVITE: what ACK, CANCEL and in-dialog requests are made of."""

    def __init__(self, client, uri, headers=(), body=b"v=0\r\n", sender=None, via=None):
        self.client, self.uri = client, uri
        self.invite = Message(client.request_bytes(
            "INVITE", uri, list(headers) + [("Content-Type", "application/sdp")], body,
            sender=sender, via=via))
        self.cseq = 1
        self.final = None
        client.end.send(self.invite.raw)

    def answer(self, patience=PATIENCE):
        self.final = self.client.end.response("INVITE", self.invite.get("call-id"),
                                              patience=patience)
        return self.final

    def ringing(self):
        call_id = self.invite.get("call-id")
        return self.client.end.take(
            lambda m: m.is_response and m.status == 180 and m.get("call-id") == call_id, "180")

    def cancel_bytes(self, headers=()):
        return build(f"CANCEL {self.uri} SIP/2.0",
                     [("Via", self.invite.lines("via")[0]), ("Max-Forwards", 70)]
                     + [("Route", r) for r in self.invite.lines("route")]
                     + [("From", self.invite.get("from")), ("To", self.invite.get("to")),
                        ("Call-ID", self.invite.get("call-id")), ("CSeq", "1 CANCEL")]
                     + list(headers))

    def in_dialog_bytes(self, method, headers=(), body=b""):
        """A request inside the dialog that the 2xx made; ACK keeps the CSeq number."""
        if method != "ACK":
            self.cseq += 1
        target = uri_of(self.final.get("contact"))
        routes = [("Route", r) for r in reversed(self.final.values("record-route"))]
        return build(f"{method} {target} SIP/2.0",
                     [("Via", self.client.end.via()), ("Max-Forwards", 70)] + routes
                     + [("From", self.invite.get("from")), ("To", self.final.get("to")),
                        ("Call-ID", self.invite.get("call-id")), ("CSeq", f"{self.cseq} {method}")]
                     + list(headers), body)

    def ack(self):
        if self.final.status < 300:
            self.client.end.send(self.in_dialog_bytes("ACK"))
        else:                       # RFC 3261 17.1.1.3: the INVITE's own Via
            self.client.end.send(build(
                f"ACK {self.uri} SIP/2.0",
                [("Via", self.invite.lines("via")[0]), ("Max-Forwards", 70),
                 ("From", self.invite.get("from")), ("To", self.final.get("to")),
                 ("Call-ID", self.invite.get("call-id")), ("CSeq", "1 ACK")]))

    def bye(self):
        self.client.end.send(self.in_dialog_bytes("BYE"))
        return self.client.end.response("BYE", self.invite.get("call-id"))


class Background(threading.Thread):
    """Runs a function beside the test and hands on what it raised."""

    def __init__(self, function):
        super().__init__(daemon=True)
        self.function, self.fault = function, None
        self.start()

    def run(self):
        try:
            self.function()
        except BaseException as fault:      # told to the test by finish()
            self.fault = fault

    def finish(self, patience=PATIENCE):
        self.join(patience)
        assert not self.is_alive(), "the other side did not finish"
        if self.fault is not None:
            raise self.fault
