"""Both ends of a call said step by step, the Sprout's end with its own Record-Route."""

from .sip import Message, build, unique, uri_of


def sprouts_entry(scene):
    ip, port = scene.sprout.address
    return f"<sip:{ip}:{port};transport={scene.core};lr>"


def contact_of(scene, user="peer"):
    ip, port = scene.sprout.address
    return ("Contact", f"<sip:{user}@{ip}:{port};transport={scene.core}>")


def answer_staying(scene, invite, status=200, headers=(), entries=None):
    """An answer of a Sprout that stays in the path: its entries (its own one, unless told) stand above ours."""
    own = Message(invite.raw)
    own.headers = [pair for pair in invite.headers if pair[0] != "record-route"]
    own.our_tag = invite.__dict__.setdefault("our_tag", unique("t"))
    own.reply_way = invite.reply_way
    above = [sprouts_entry(scene)] if entries is None else entries
    return own.reply(status, headers=[("Record-Route", value)
                                      for value in above + invite.values("record-route")]
                     + list(headers), body=b"v=0\r\n")


class CoreCall:
    """A call that the core makes to a client, and what it sends in the dialog."""

    def __init__(self, scene, client, headers=(), path=None, way=None, method="INVITE"):
        self.scene, self.way, self.cseq = scene, way or scene.way(), 1
        self.sent = Message(self.way.request_bytes(
            method, uri_of(client.end.contact(client.user)), client.path if path is None else path,
            list(headers), b"", call_id=unique("core")))
        self.call_id, self.final = self.sent.get("call-id"), None
        self.way.send(self.sent.raw)

    def answer(self, method=None):
        answer = self.way.end.response(method or self.sent.method, self.call_id)
        if answer.method == self.sent.method:
            self.final = answer
        return answer

    def provisional(self, status):
        return self.way.end.take(lambda m: m.is_response and m.status == status
                                 and m.get("call-id") == self.call_id, f"{status}")

    def cancel(self, headers=()):
        self.way.send(build(f"CANCEL {self.sent.uri} SIP/2.0",
                            [(name, value) for name, value in self.sent.headers
                             if name in ("via", "route", "from", "to")]
                            + [("Max-Forwards", 70), ("Call-ID", self.call_id), ("CSeq", "1 CANCEL")]
                            + list(headers)))

    def in_dialog(self, method, headers=()):
        """By self.final: the final answer, or an early one that was put there."""
        if method != "ACK":
            self.cseq += 1
        self.way.send(build(
            f"{method} {uri_of(self.final.get('contact'))} SIP/2.0",
            [("Via", self.way.end.via()), ("Max-Forwards", 70)]
            + [("Route", r) for r in reversed(self.final.values("record-route"))]
            + [("From", self.final.get("from")), ("To", self.final.get("to")),
               ("Call-ID", self.call_id), ("CSeq", f"{self.cseq if method != 'ACK' else 1} {method}")]
            + list(headers)))
