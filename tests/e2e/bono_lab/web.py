"""SIP over WebSocket, as a browser speaks it. The frames are those of python3-websockets, so what Bono
understands and says is measured by somebody else; BrokenWeb writes bytes that no sound client would."""

import base64
import os
import socket
import struct
import time

from websockets.client import ClientConnection
from websockets.connection import State
from websockets.frames import Opcode
from websockets.uri import parse_uri

from .sip import Endpoint, receive, unique
from .wait import PATIENCE


class Refused(Exception):
    """The upgrade was answered by something else than 101."""

    def __init__(self, status, headers):
        super().__init__(f"HTTP {status}")
        self.status, self.headers = status, headers


def connect(ip, edge, before=b""):
    """A stream from this address; `before` is written first."""
    stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.bind((ip, 0))
    stream.settimeout(PATIENCE)
    stream.connect(edge)
    if before:
        stream.sendall(before)
    return stream


class WebClient(Endpoint):
    """An Endpoint over ws, or over wss with an ssl.SSLContext."""

    transport = "WS"

    def __init__(self, ip, edge, port=0, origin=None, subprotocols=("sip",), tls=None,
                 server_name=None, before=b""):
        super().__init__()
        self.edge = edge
        self.socket = connect(ip, edge, before)
        self.address = self.socket.getsockname()
        if tls is not None:
            self.transport = "WSS"
            self.socket = tls.wrap_socket(self.socket, server_hostname=server_name)
        self.host = f"{unique('h')}.invalid"        # RFC 7118 5.2.1: a browser knows no address
        self.pongs, self.web_pongs, self.pings = 0, [], 0
        self.message, self.kinds = b"", []          # of fragments; Opcode of every whole message
        scheme = "ws" if tls is None else "wss"
        self.web = ClientConnection(parse_uri(f"{scheme}://{edge[0]}:{edge[1]}/"), origin=origin,
                                    subprotocols=list(subprotocols) or None, max_size=None)
        self.web.send_request(self.web.connect())
        self.flush()
        self.await_upgrade()

    def await_upgrade(self):
        end = time.monotonic() + PATIENCE
        while self.web.state is State.CONNECTING and self.web.handshake_exc is None:
            assert time.monotonic() < end, "no answer to the upgrade"
            self.pump(0.2)
        if self.web.handshake_exc is not None:
            answer = self.answer
            self.socket.close()
            if answer is None or answer.status_code == 101:
                raise self.web.handshake_exc
            raise Refused(answer.status_code, answer.headers)

    answer = None

    def via(self, rport=True, branch=None):
        return (f"SIP/2.0/{self.transport} {self.host}"
                f";branch={branch or 'z9hG4bK' + unique('b')}")

    def contact(self, user="alice"):
        return f"<sip:{user}@{self.host};transport=ws>"

    def flush(self):
        self.socket.settimeout(PATIENCE)
        for data in self.web.data_to_send():
            if data:
                self.socket.sendall(data)
            else:
                try:
                    self.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

    def send(self, data):
        """Text as browsers send it, but what is no UTF-8."""
        try:
            data.decode()
        except UnicodeDecodeError:
            self.web.send_binary(data)
        else:
            self.web.send_text(data)
        self.flush()

    def send_binary(self, data):
        self.web.send_binary(data)
        self.flush()

    def send_fragments(self, data, size):
        pieces = [data[i:i + size] for i in range(0, len(data), size)]
        self.web.send_text(pieces[0], fin=len(pieces) == 1)
        for index, piece in enumerate(pieces[1:], 2):
            self.web.send_continuation(piece, fin=index == len(pieces))
        self.flush()

    def ping(self, data=b""):
        self.web.send_ping(data)
        self.flush()

    def leave(self, code=1000):
        self.web.send_close(code)
        self.flush()

    @property
    def close_code(self):
        return self.web.close_rcvd.code if self.web.close_rcvd is not None else None

    def pump(self, timeout):
        if self.closed:
            return False
        data = receive(self.socket, timeout)
        if data is None:
            return False
        if data:
            self.web.receive_data(data)
        else:
            self.web.receive_eof()
            self.closed = True
        for event in self.web.events_received():
            self.take_event(event)
        try:
            self.flush()                            # pongs and close frames of the library
        except (ConnectionResetError, BrokenPipeError):
            self.closed = True
        return bool(data)

    def take_event(self, event):
        if not hasattr(event, "opcode"):
            self.answer = event                     # the HTTP response
            return
        if event.opcode is Opcode.PING:
            self.pings += 1
        elif event.opcode is Opcode.PONG:
            self.web_pongs.append(event.data)
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if event.opcode is not Opcode.CONT:
                self.kinds.append(event.opcode)
            self.message += event.data
            if event.fin:
                self.take_message()

    def take_message(self):
        raw, self.message = self.message, b""
        if raw == b"\r\n":
            self.pongs += 1
        else:
            self.arrived(raw, self.edge, self.send)

    def wait_until(self, condition, what, patience=PATIENCE):
        end = time.monotonic() + patience
        while not condition():
            assert time.monotonic() < end, f"no {what}"
            assert not self.closed, f"no {what}: connection closed, code {self.close_code}"
            self.pump(0.2)

    def wait_for_close(self, patience=PATIENCE):
        end = time.monotonic() + patience
        while not self.closed:
            assert time.monotonic() < end, "the connection stayed open"
            self.pump(0.2)
        return self.close_code

    def close(self):
        self.socket.close()

    stop = close


class BrokenWeb:
    """A stream on which a test writes HTTP and frames byte for byte."""

    def __init__(self, ip, edge, before=b""):
        self.socket = connect(ip, edge, before)

    def request(self, method="GET", version="HTTP/1.1", **changes):
        """The bytes of a sound upgrade with some headers changed; None leaves one out."""
        headers = {"Host": "edge", "Upgrade": "websocket", "Connection": "Upgrade",
                   "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
                   "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": "sip"}
        headers.update({name.replace("_", "-"): value for name, value in changes.items()})
        lines = [f"{method} / {version}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def write(self, data):
        self.socket.sendall(data)

    def answer(self):
        """(status, headers in lower case) of the HTTP answer."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.socket.recv(1)
            assert more, f"the stream ended in the middle of an answer: {data!r}"
            data += more
        lines = data.decode().split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in
                   (line.partition(":") for line in lines[1:] if line)}
        return int(lines[0].split()[1]), headers

    def ask(self, **changes):
        self.write(self.request(**changes))
        return self.answer()

    def upgrade(self):
        status, _ = self.ask()
        assert status == 101, status
        return self

    def frame(self, first, payload=b"", masked=True, length=None):
        """first: FIN, RSV and opcode; length: what is announced, if not the truth."""
        length = len(payload) if length is None else length
        bit = 0x80 if masked else 0
        head = bytes([first])
        if length < 126:
            head += bytes([bit | length])
        elif length < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", length)
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", length)
        mask = os.urandom(4)
        if masked:
            head += mask
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.write(head + payload)

    def rest(self):
        """Everything until the end of the stream."""
        data = b""
        while True:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return data
            data += more

    def close_code(self):
        """The code of the close frame that must be the last thing said."""
        data = self.rest()
        assert data[-4:-2] == b"\x88\x02", f"no close frame at the end of {data[-40:]!r}"
        return struct.unpack(">H", data[-2:])[0]

    def close(self):
        self.socket.close()

    stop = close
