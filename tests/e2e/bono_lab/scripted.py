"""A Sprout whose every word the test says. It answers OPTIONS probes by itself and keeps the rest."""

import queue
import selectors
import socket
import threading

from .address import family, host_port
from .sip import Message, cut_message, request, unique
from .wait import PATIENCE

PATH_PORT = 5054


class ScriptedSprout:
    """Listens on UDP and TCP. Reading is a thread's work; the test's work is expect() and reply()."""

    def __init__(self, lab, ip, port=PATH_PORT, answer_probes=True):
        self.address = (ip, port)
        self.answer_probes = answer_probes
        self.requests, self.responses = queue.Queue(), queue.Queue()
        self.kept_requests, self.kept_responses = [], []
        self.all = []           # every message but probes
        self.probes = 0
        self.udp = socket.socket(family(ip), socket.SOCK_DGRAM)
        self.udp.bind(self.address)
        self.tcp = socket.socket(family(ip), socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(self.address)
        self.tcp.listen(64)
        self.selector = selectors.DefaultSelector()
        self.wake, self.woken = socket.socketpair()
        self.running = True
        for thing, reader in ((self.udp, self.read_udp), (self.tcp, self.accept),
                              (self.woken, lambda: None)):
            self.selector.register(thing, selectors.EVENT_READ, reader)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        lab.add(self)

    def run(self):
        while self.running:
            for key, _ in self.selector.select():
                key.data()

    def read_udp(self):
        try:
            data, source = self.udp.recvfrom(70000)
        except ConnectionRefusedError:
            return
        if data.strip():
            self.arrived(data, source, "udp", lambda answer: self.udp.sendto(answer, source))

    def accept(self):
        connection, source = self.tcp.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        state = {"buffer": b""}
        self.selector.register(connection, selectors.EVENT_READ,
                               lambda: self.read_tcp(connection, source, state))

    def read_tcp(self, connection, source, state):
        try:
            data = connection.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self.selector.unregister(connection)
            connection.close()
            return
        state["buffer"] += data
        while True:
            raw, state["buffer"] = cut_message(state["buffer"])
            if raw is None:
                return
            self.arrived(raw, source, "tcp", connection.sendall)

    def arrived(self, raw, source, transport, reply_way):
        message = Message(raw)
        message.source, message.reply_way, message.transport = source, reply_way, transport
        if not message.is_response and message.method == "OPTIONS" and self.answer_probes \
                and not message.uri.startswith("sip:user"):
            self.probes += 1
            message.reply(200)
            return
        self.all.append(message)
        (self.responses if message.is_response else self.requests).put(message)

    def expect(self, method, patience=PATIENCE, call_id=None):
        """The oldest request of this method, waiting for it; retransmissions are requests too."""
        return self.find(self.requests, self.kept_requests,
                         lambda m: m.method == method
                         and (call_id is None or m.get("call-id") == call_id),
                         f"{method} at the Sprout", patience)

    def expect_response(self, method=None, patience=PATIENCE, final=True):
        return self.find(self.responses, self.kept_responses,
                         lambda m: (method is None or m.method == method)
                         and (not final or m.status >= 200),
                         f"response to {method} at the Sprout", patience)

    @staticmethod
    def find(fresh, kept, wanted, what, patience):
        for index, message in enumerate(kept):
            if wanted(message):
                return kept.pop(index)
        import time
        end = time.monotonic() + patience
        while True:
            left = end - time.monotonic()
            try:
                message = fresh.get(timeout=max(left, 0.001))
            except queue.Empty:
                raise AssertionError(f"no {what} within {patience:g} s; kept: "
                                     f"{[m.start for m in kept]}") from None
            if wanted(message):
                return message
            kept.append(message)

    def nothing_but(self, *methods):
        """Every request seen so far was of one of these methods."""
        others = [m.start for m in self.all if not m.is_response and m.method not in methods]
        assert not others, f"unexpected at the Sprout: {others}"

    def accept_register(self, patience=PATIENCE, service_route=True, identities=None, expires=600,
                        headers=(), call_id=None):
        """Answer the next REGISTER with 200 as a registrar does; gives the REGISTER."""
        register = self.expect("REGISTER", patience, call_id)
        aor = register.get("to").split(";tag=")[0].strip("<> ")
        answer = [("Contact", f"{register.get('contact')};expires={expires}")]
        answer += [("Path", path) for path in register.lines("path")]
        if service_route:
            answer.append(("Service-Route", f"<sip:orig@{host_port(self.address)};transport="
                                            f"{register.transport};lr;orig>"))
        answer.append(("P-Associated-URI", ", ".join(
            f"<{uri}>" for uri in (identities or [aor]))))
        register.reply(200, headers=answer + list(headers))
        return register

    def way_to(self, edge_core, transport="tcp"):
        """A fresh way to the edge's core listener: an object with send, request, response."""
        return CoreWay(self, edge_core, transport)

    def stop(self):
        self.running = False
        self.wake.send(b"x")
        self.thread.join(5)
        for key in list(self.selector.get_map().values()):
            key.fileobj.close()
        self.selector.close()
        self.wake.close()


class CoreWay:
    """Requests from the Sprout toward the edge, over a connection of its own."""

    def __init__(self, sprout, edge_core, transport):
        from .sip import TcpClient, UdpClient
        ip = sprout.address[0]
        self.end = TcpClient(ip, edge_core) if transport == "tcp" else UdpClient(ip, edge_core, 0)
        self.sprout = sprout

    def request_bytes(self, method, contact_uri, path, headers=(), body=b"", **more):
        """A request to a registered contact: its URI, and its Path as Route (RFC 3327 5.4)."""
        extra = [("Route", item) for item in path]
        if method in ("INVITE", "SUBSCRIBE"):
            extra.append(("Contact", f"<sip:caller@{host_port(self.end.address)}"
                                     f";transport={self.end.transport.lower()}>"))
        more.setdefault("user", "caller")
        return request(method, contact_uri, self.end.via(), extra + list(headers), body,
                       call_id=more.pop("call_id", unique("core")), **more)

    def send(self, data):
        self.end.send(data)

    def stop(self):
        self.end.close()
