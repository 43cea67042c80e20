"""Somebody on the access side who has no flow: a trunk or a PBX at an address of its own, every word said by hand."""

from .scripted import ScriptedSprout
from .sip import Message, TcpClient, UdpClient, build, request, unique, uri_of


class Peer(ScriptedSprout):
    """Listens on UDP and TCP 5060, and calls from ports of its own."""

    def __init__(self, lab, bono, ip):
        super().__init__(lab, ip, 5060, answer_probes=False)
        self.lab, self.bono = lab, bono

    def contact(self, transport="udp"):
        return ("Contact", f"<sip:gw@{self.address[0]}:{self.address[1]};transport={transport}>")

    def way(self, transport="udp"):
        """A fresh way to the edge."""
        kind = UdpClient if transport == "udp" else TcpClient
        way = kind(self.address[0], self.bono.access, 0)
        way.stop = way.close
        return self.lab.add(way)

    def call(self, transport="udp", uri="sip:alice@example.net", headers=(), method="INVITE"):
        return PeerCall(self, transport, uri, headers, method)


class PeerCall:
    """A request that the peer sends, and the dialog it makes."""

    def __init__(self, peer, transport, uri, headers=(), method="INVITE"):
        self.end, self.peer = peer.way(transport), peer
        self.call_id, self.cseq = unique("peer"), 1
        self.sent = Message(request(method, uri, self.end.via(),
                                    [peer.contact(transport), *headers], b"", user="+15551000",
                                    domain="other.example", call_id=self.call_id))
        self.final = None
        self.end.send(self.sent.raw)

    def answer(self, method=None):
        self.final = self.end.response(method or self.sent.method, self.call_id)
        return self.final

    def cancel(self):
        self.end.send(build(f"CANCEL {self.sent.uri} SIP/2.0",
                            [(name, self.sent.get(name)) for name in ("via", "from", "to")]
                            + [("Max-Forwards", 70), ("Call-ID", self.call_id),
                               ("CSeq", "1 CANCEL")]))

    def ack_refusal(self):
        self.end.send(build(f"ACK {self.sent.uri} SIP/2.0",
                            [("Via", self.sent.get("via")), ("From", self.sent.get("from")),
                             ("To", self.final.get("to")), ("Max-Forwards", 70),
                             ("Call-ID", self.call_id), ("CSeq", "1 ACK")]))

    def in_dialog(self, method, headers=(), call_id=None):
        if method != "ACK":
            self.cseq += 1
        self.end.send(build(
            f"{method} {uri_of(self.final.get('contact'))} SIP/2.0",
            [("Via", self.end.via()), ("Max-Forwards", 70)]
            + [("Route", r) for r in reversed(self.final.values("record-route"))]
            + [("From", self.sent.get("from")), ("To", self.final.get("to")),
               ("Call-ID", call_id or self.call_id), ("CSeq", f"{self.cseq} {method}")]
            + list(headers)))
